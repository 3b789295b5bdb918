//! For every id of appraisal about Azure one verdict in which exactly that check does not hold.

#![expect(dead_code, reason = "each test uses its part")]

#[path = "../../../verify/tests/told_azure/mod.rs"]
pub(crate) mod told_azure;

use told_azure::{NOW, prove, trusted};
use zeuge_appraise::{Facts, Policy, ReferenceValues, Status, Verdict, Wanted, judge};
use zeuge_sim::{
    AzureCpu, AzureLie, AzureSpec, Product, ToyAzure,
    azure::{MACHINE, PARAVISOR},
};
use zeuge_verify::tpm::Nonce;

/// The machines: on AMD's silicon and on Intel's.
pub(crate) fn specs() -> [AzureSpec; 2] {
    [AzureCpu::Snp(Product::Milan), AzureCpu::Tdx].map(AzureSpec::new)
}

/// What the owner demands.
pub(crate) fn policy() -> String {
    format!(
        "schema = \"zeuge.policy.v1\"\n[azure]\nrequire_secure_boot = true\n\
         forbid_console = true\nmachines = [\"{}\"]\n",
        MACHINE.to_lowercase()
    )
}

/// The paravisor under this profile, and the boot of the guest.
pub(crate) fn values(profile: &str) -> String {
    let paravisor = hex::encode(PARAVISOR);
    let boot = "04".repeat(32);
    format!(
        "schema = \"zeuge.reference-values.v1\"\n\
         [[snp]]\nname = \"paravisor\"\nmeasurements = [\"{paravisor}\"]\n\
         binding_profile = \"{profile}\"\n\
         [[tdx]]\nname = \"paravisor\"\nmr_td = [\"{paravisor}\"]\nbinding_profile = \"{profile}\"\n\
         [[tpm]]\nname = \"web\"\npcrs = {{ sha256 = {{ \"4\" = [\"{boot}\"] }} }}\n"
    )
}

/// The verdict on a machine, honest or with this lie.
pub(crate) fn verdict(lie: Option<AzureLie>, spec: &AzureSpec, values: &str) -> Verdict {
    verdict_under(lie, spec, values, &policy())
}

/// The same under another policy.
pub(crate) fn verdict_under(
    lie: Option<AzureLie>,
    spec: &AzureSpec,
    values: &str,
    policy: &str,
) -> Verdict {
    let told = ToyAzure::shared().tell(lie, spec, NOW);
    let because = "a report alone answers nothing";
    let nonce = match lie {
        Some(AzureLie::GuestBoot) => Nonce::Unbound { because },
        _ => Nonce::Exact(&told.nonce),
    };
    let (facts, passed) = prove(&told, &trusted(spec, lie), nonce).expect("the toy signs well");
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

/// The ids that do not hold, without the mark of the toy's root and without what nobody asked.
pub(crate) fn broken(verdict: &Verdict) -> Vec<&'static str> {
    let bad = verdict.findings.iter().filter(|finding| {
        matches!(finding.status, Status::Fail | Status::Warn)
            && !["dangerous.sim-root", "policy.binding"].contains(&finding.id)
    });
    bad.map(|finding| finding.id).collect()
}
