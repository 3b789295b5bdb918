//! What both tests of the Intel half of appraisal need: the toy's platforms, what is proven about
//! them, and the owner who knows them.

use zeuge_appraise::{
    Facts, Policy, QuoteFacts, ReferenceValues, Status, UnixTime, Verdict, Wanted, judge,
};
use zeuge_evidence::dcap::Quote;
use zeuge_sim::{IntelLie, PckCa, QuoteForm, QuoteSpec, ToyIntel};
use zeuge_verify::{Anchors, Binding, Endorsements, crypto::AWS_LC, dcap};

/// The instant of all tellings.
pub(crate) const NOW: UnixTime = UnixTime(1_772_323_200);

/// A platform of either CA, speaking in every form.
pub(crate) fn forms() -> impl Iterator<Item = QuoteSpec> {
    QuoteForm::ALL.into_iter().flat_map(|form| {
        PckCa::ALL.into_iter().map(move |ca| QuoteSpec {
            ca,
            ..QuoteSpec::new(form)
        })
    })
}

/// What is proven about what this platform tells.
pub(crate) fn facts(lie: Option<IntelLie>, spec: &QuoteSpec) -> QuoteFacts {
    let told = ToyIntel::shared().tell(lie, spec, NOW);
    let anchors = Anchors::dangerous_sim(&ToyIntel::shared().trust_file()).unwrap();
    let mut heap = Endorsements::new();
    for (name, bytes) in &told.endorsements {
        heap.add(name, bytes);
    }
    let quote = Quote::parse(&told.quote).unwrap();
    let binding = Binding::ReportData(told.expected_report_data);
    let proven = dcap::quote(&quote, &heap, &anchors, &binding, told.at, &AWS_LC);
    proven.unwrap().fact().clone()
}

/// Reference values of both kinds of machine, as the toy is, with further lines for each.
pub(crate) fn values(tdx: &str, sgx: &str) -> ReferenceValues {
    let text = format!(
        "schema = \"zeuge.reference-values.v1\"\n\
         [[tdx]]\nname = \"td\"\nmr_td = [\"{}\"]\n{tdx}\n\
         [[sgx]]\nname = \"enclave\"\n{sgx}\n",
        "d1".repeat(48),
    );
    ReferenceValues::parse(&text).unwrap()
}

/// Reference values that know the toy.
pub(crate) fn known() -> ReferenceValues {
    values("", &format!("mr_enclave = [\"{}\"]", "e1".repeat(32)))
}

/// A policy with these lines.
pub(crate) fn policy(lines: &str) -> Policy {
    Policy::parse(&format!("schema = \"zeuge.policy.v1\"\n{lines}")).unwrap()
}

/// The verdict on these facts.
pub(crate) fn appraised(facts: &QuoteFacts, policy: &Policy, values: &ReferenceValues) -> Verdict {
    let wanted = Wanted {
        policy,
        reference_values: values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: NOW,
    };
    judge(&Facts::from(facts.clone()), &[], &wanted)
}

pub(crate) fn status(verdict: &Verdict, id: &str) -> Option<Status> {
    let found = verdict.findings.iter().find(|finding| finding.id == id);
    found.map(|finding| finding.status)
}

/// The ids that do not pass, but for the toy's root.
pub(crate) fn caught(lie: Option<IntelLie>, spec: &QuoteSpec) -> Vec<&'static str> {
    // The lie about an older state of knowledge is one only to an owner who saw a newer one.
    let policy = policy("[intel]\nminimum_evaluation_number = 20");
    let verdict = appraised(&facts(lie, spec), &policy, &known());
    let not_passed = verdict
        .findings
        .iter()
        .filter(|finding| finding.status != Status::Pass && finding.id != "dangerous.sim-root");
    not_passed.map(|finding| finding.id).collect()
}
