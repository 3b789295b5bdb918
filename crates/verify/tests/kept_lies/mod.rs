//! Lies against a chain that was kept: the chain is a true one of the machine that lies, and the
//! endorsements are those that were verified, so nothing but one check of the report can catch it.

use zeuge_evidence::snp::Report;
use zeuge_sim::{Lie, ReportSpec, Signer, ToyAmd, ToyEvidence};
use zeuge_verify::{Anchors, Binding, Endorsements, crypto::AWS_LC, snp::KeptChain};

use crate::told::{heap, instant, trusted};

/// One lie, and the chain that its teller can point to.
pub(crate) struct KeptLie {
    told: ToyEvidence,
    endorsements: Endorsements,
    kept: KeptChain,
    anchors: Anchors,
}

impl KeptLie {
    /// A lie by this machine, before the chain of `holder`: the machine whose key signs.
    fn new(lie: Lie, spec: &ReportSpec, holder: &ReportSpec) -> Self {
        let (amd, anchors, now) = (ToyAmd::shared(), trusted(), instant("2026-03-01T00:00:00Z"));
        let honest = amd.tell(None, holder, now);
        let endorsements = heap(&honest);
        let report = Report::parse(&honest.report).expect("an honest report");
        let binding = Binding::ReportData(honest.expected_report_data);
        let kept =
            KeptChain::verify_and_keep(&report, &endorsements, &anchors, &binding, now, &AWS_LC);
        let (_, kept) = kept.expect("an honest chain");
        Self {
            told: amd.tell(Some(lie), spec, now),
            endorsements,
            kept,
            anchors,
        }
    }

    /// Whether the kept chain answers for the lie.
    pub(crate) fn is_believed(&self) -> bool {
        let report = Report::parse(&self.told.report).expect("a lie that can be read");
        let binding = Binding::ReportData(self.told.expected_report_data);
        let (heap, anchors) = (&self.endorsements, &self.anchors);
        let answer = self
            .kept
            .verify(&report, heap, anchors, &binding, self.told.at);
        answer.is_some()
    }
}

/// One lie for every check that depends on the report, by check id. Without the one about reports
/// that the host asked for: their VMPL is out of range as well, so two checks stand before it.
pub(crate) fn all(spec: &ReportSpec) -> Vec<(&'static str, KeptLie)> {
    let same = [
        Lie::ReportData,
        Lie::KeyInfoReserved,
        Lie::Signature,
        Lie::SignatureAlgorithm,
        Lie::TcbOrder,
        Lie::VcekKind,
        Lie::VmplRange,
    ];
    let mut out: Vec<(Lie, ReportSpec)> = same.map(|lie| (lie, spec.clone())).to_vec();
    let mut older = spec.clone();
    older.reported_tcb.microcode -= 1;
    out.push((Lie::VcekTcb, older));
    if spec.signer == Signer::Vcek {
        let mut neighbour = spec.clone();
        neighbour.chip_id[0] ^= 1;
        out.push((Lie::VcekChipId, neighbour));
    }
    out.into_iter()
        .map(|(lie, holder)| (lie.check(), KeptLie::new(lie, spec, &holder)))
        .collect()
}
