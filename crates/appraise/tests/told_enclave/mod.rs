//! For every id of appraisal about Nitro one verdict in which exactly that check does not hold.

#![expect(dead_code, reason = "each test uses its part")]

#[path = "../../../verify/tests/told_nitro/mod.rs"]
mod told_nitro;

pub(crate) use told_nitro::machines;
use told_nitro::{NOW, prove, trusted};
use zeuge_appraise::{Facts, Policy, ReferenceValues, Status, Verdict, Wanted, judge};
use zeuge_sim::{
    NitroLie, NitroSpec, ToyNitro,
    nitro::{TOY_IMAGE, TOY_INSTANCE},
};
use zeuge_verify::nitro::Demand;

/// What the owner demands.
pub(crate) fn policy() -> String {
    format!(
        "schema = \"zeuge.policy.v1\"\n[nitro]\nage_seconds_max = 600\n\
         instances = [\"{TOY_INSTANCE}\"]\n"
    )
}

/// The images, with registers 4 and 8 pinned to this value, repeated.
pub(crate) fn values(value: u8) -> String {
    let value = hex::encode([value; 48]);
    let image = |name: &str, source: &str| {
        format!(
            "[[nitro]]\nname = \"{name}\"\nsource = \"{source}\"\n\
             pcrs = {{ \"4\" = [\"{value}\"], \"8\" = [\"{value}\"] }}\n"
        )
    };
    let (enclave, instance) = (image("web", "enclave"), image("vm", "tpm"));
    format!("schema = \"zeuge.reference-values.v1\"\n{enclave}{instance}")
}

/// The values of an honest machine.
pub(crate) fn honest_values() -> String {
    values(TOY_IMAGE)
}

/// The verdict on a machine, honest or with this lie.
pub(crate) fn verdict(lie: Option<NitroLie>, spec: &NitroSpec, values: &str) -> Verdict {
    verdict_under(lie, spec, values, &policy())
}

/// The same under another policy.
pub(crate) fn verdict_under(
    lie: Option<NitroLie>,
    spec: &NitroSpec,
    values: &str,
    policy: &str,
) -> Verdict {
    let told = ToyNitro::shared().tell(lie, spec, NOW);
    let demand = Demand::Nonce(&told.nonce);
    let (facts, passed) = prove(&told, demand, &trusted()).expect("the toy signs well");
    let policy = Policy::parse(policy).expect("a policy");
    let reference_values = ReferenceValues::parse(values).expect("reference values");
    let wanted = Wanted {
        policy: &policy,
        reference_values: &reference_values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: told.at,
    };
    judge(&Facts::from(facts), &passed, &wanted)
}

/// The ids that do not hold, without the mark of the toy's root.
pub(crate) fn broken(verdict: &Verdict) -> Vec<&'static str> {
    let bad = verdict.findings.iter().filter(|finding| {
        matches!(finding.status, Status::Fail | Status::Warn) && finding.id != "dangerous.sim-root"
    });
    bad.map(|finding| finding.id).collect()
}
