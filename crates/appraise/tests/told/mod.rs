//! What both tests of lies need: the toy's trust, its machines, the owner who knows them, and the
//! way from a told file to a verdict.

#![expect(dead_code, reason = "each test uses its part")]

pub(crate) mod cases;

use zeuge_appraise::{
    Facts, HardwareRegistry, Policy, ReferenceValues, Status, UnixTime, Verdict, Wanted, judge,
};
use zeuge_evidence::snp::Report;
use zeuge_sim::{Product, ReportSpec, Signer, ToyAmd, ToyEvidence};
use zeuge_verify::{Anchors, Binding, Endorsements, Verified, crypto::AWS_LC, snp, snp::SnpFacts};

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

/// What an owner wishes.
#[derive(Clone)]
pub(crate) struct Wishes {
    pub(crate) policy: Policy,
    pub(crate) reference_values: ReferenceValues,
    pub(crate) hardware: Option<HardwareRegistry>,
}

impl Wishes {
    /// The same wishes as an argument of the appraisal.
    pub(crate) fn at(&self, at: UnixTime) -> Wanted<'_> {
        Wanted {
            policy: &self.policy,
            reference_values: &self.reference_values,
            hardware: self.hardware.as_ref(),
            evaluation_number_seen: None,
            ahead: None,
            hardware_only: None,
            at,
        }
    }
}

/// A policy with these lines in its part for SEV-SNP.
pub(crate) fn policy(snp: &str) -> Policy {
    Policy::parse(&format!("schema = \"zeuge.policy.v1\"\n[snp]\n{snp}")).expect("a good policy")
}

/// Reference values with one workload of this measurement and these further lines.
pub(crate) fn reference_values(measurement: &[u8], more: &str) -> ReferenceValues {
    let text = format!(
        "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"web\"\n\
         measurements = [\"{}\"]\n{more}",
        hex::encode(measurement)
    );
    ReferenceValues::parse(&text).expect("good reference values")
}

/// What the owner of this machine wishes: its provider is named, its measurement known.
pub(crate) fn wishes(spec: &ReportSpec) -> Wishes {
    Wishes {
        policy: policy(&format!("providers = [\"{}\"]", spec.provider)),
        reference_values: reference_values(&spec.measurement, ""),
        hardware: None,
    }
}

/// Verifies what was told, with this binding; it must hold.
pub(crate) fn bound(
    told: &ToyEvidence,
    anchors: &Anchors,
    binding: &Binding,
) -> Verified<SnpFacts> {
    let report = Report::parse(&told.report).expect("a report");
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    snp::snp(&report, &heap, anchors, binding, told.at, &AWS_LC).expect("the toy signs well")
}

/// The verdict on what was told, and the ids that warn or were not checked.
pub(crate) fn appraised(
    told: &ToyEvidence,
    anchors: &Anchors,
    wishes: &Wishes,
) -> (Verdict, Vec<&'static str>) {
    let binding = Binding::ReportData(told.expected_report_data);
    let verified = bound(told, anchors, &binding);
    let facts = Facts::from(verified.fact().clone());
    let verdict = judge(&facts, verified.trail().passed(), &wishes.at(told.at));
    let warned = warnings(&verdict);
    (verdict, warned)
}

/// The ids that warn or were not checked.
pub(crate) fn warnings(verdict: &Verdict) -> Vec<&'static str> {
    let weak = |status| matches!(status, Status::Warn | Status::Unchecked);
    let findings = verdict.findings.iter();
    findings
        .filter(|finding| weak(finding.status))
        .map(|finding| finding.id)
        .collect()
}
