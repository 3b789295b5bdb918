//! What both tests of lies need: the toy's trust, its machines, and the way from a told file to a
//! verdict.

use zeuge_evidence::{
    UnixTime,
    snp::{Evidence, Report},
};
use zeuge_sim::{Product, ReportSpec, Signer, ToyAmd, ToyEvidence};
use zeuge_verify::{Anchors, Binding, Endorsements, Error, crypto::AWS_LC, snp};

/// The roots of the process's toy AMD.
pub(crate) fn trusted() -> Anchors {
    let file = ToyAmd::shared().trust_file(&Product::ALL);
    Anchors::dangerous_sim(&file).expect("the toy writes a good trust file")
}

/// A machine of every product with either signing key.
pub(crate) fn machines() -> impl Iterator<Item = ReportSpec> {
    Product::ALL.into_iter().flat_map(|product| {
        Signer::ALL.into_iter().map(move |signer| ReportSpec {
            signer,
            ..ReportSpec::new(product)
        })
    })
}

/// An instant in RFC 3339.
pub(crate) fn instant(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).expect("a good instant")
}

/// A heap of everything that came with the evidence.
pub(crate) fn heap(told: &ToyEvidence) -> Endorsements {
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    heap
}

/// Reads a told file in whatever form it has, with what lies beside its report, and verifies it at
/// its instant.
pub(crate) fn judge(told: &ToyEvidence, anchors: &Anchors) -> Result<(), Error> {
    let evidence = Evidence::read(&told.evidence_file)?;
    let mut heap = heap(told);
    let broken = heap.add_beside(&evidence.endorsements);
    let report = Report::parse(&evidence.report)?;
    let binding = Binding::ReportData(told.expected_report_data);
    let outcome = snp::snp(&report, &heap, anchors, &binding, told.at, &AWS_LC);
    snp::unless_broken_beside(outcome, &broken).map(|_| ())
}
