//! Rules over pairs: "CPU and TPM", each with its own values, and what is known about them being
//! one machine.

#[path = "../../verify/tests/told_pair/mod.rs"]
mod told_pair;

use told_pair::{caught, honest, swapped};
use zeuge_appraise::{
    CompositeFacts, Cpu, Facts, HardwareRegistry, Policy, ReferenceValues, ReleaseRule, Status,
    Suite, Verdict, Wanted,
    composite::{SameMachine, same_machine},
    judge,
};
use zeuge_evidence::UnixTime;
use zeuge_sim::tpm::digest_of;

fn values() -> ReferenceValues {
    let image = |name: &str| format!("\"{}\"", hex::encode(digest_of(name)));
    let facts = honest().expect("honest");
    let Cpu::Snp(report) = &facts.cpu else {
        panic!("a report")
    };
    let text = format!(
        "schema = \"zeuge.reference-values.v1\"\n[[snp]]\nname = \"web\"\n\
         measurements = [\"{}\"]\n[[tpm]]\nname = \"web\"\nimages = [{}, {}, {}]\n",
        hex::encode(report.claims.measurement),
        image("shim"),
        image("grub"),
        image("kernel")
    );
    ReferenceValues::parse(&text).expect("good values")
}

/// A registry with the chip under one name and the TPM under another, or the same.
fn registry(facts: &CompositeFacts, tpm: &str) -> HardwareRegistry {
    use sha2::Digest as _;
    let Cpu::Snp(report) = &facts.cpu else {
        panic!("a report")
    };
    let text = format!(
        "schema = \"zeuge.hardware.v1\"\n[[chip]]\nname = \"rack 7\"\nchip_id = \"{}\"\n\
         keys = [{{ tcb = \"{}\", public_key = \"{}\" }}]\n[[tpm]]\nname = \"{tpm}\"\n\
         ak_key = \"{}\"\n",
        hex::encode(report.claims.chip_id),
        hex::encode(report.claims.reported_tcb.0),
        hex::encode(sha2::Sha256::digest(&report.leaf_public_key)),
        hex::encode(facts.tpm.ak_key),
    );
    HardwareRegistry::parse(&text).expect("a good registry")
}

fn with<T>(registry: &HardwareRegistry, body: impl FnOnce(&Wanted<'_>) -> T) -> T {
    let (policy, values) = (Policy::default(), values());
    body(&Wanted {
        policy: &policy,
        reference_values: &values,
        hardware: Some(registry),
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: UnixTime(1_772_323_200),
    })
}

fn under(evidence: &str, facts: Facts, registry: &HardwareRegistry) -> Verdict {
    let rule = ReleaseRule::parse(&format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [{evidence}]\nminimum_suite = \"x-wing\"\n\
         chips = \"enrolled\"\nworkload = \"web\""
    ))
    .expect("a good rule");
    with(registry, |wanted| {
        let verdict = judge(&facts, &[], wanted);
        rule.apply(&verdict, wanted, "agent", Suite::XWing)
    })
}

#[test]
fn a_rule_can_demand_a_cpu_and_a_tpm() {
    let pair = honest().expect("honest");
    let registry = registry(&pair, "rack 7");
    let both = "\"snp\", \"tpm\"";
    let Cpu::Snp(report) = pair.cpu.clone() else {
        panic!("a report")
    };
    let verdict = under(both, Facts::from(pair.clone()), &registry);
    assert_eq!(verdict.failed(), [""; 0]);
    let alone = under(both, Facts::Snp(report), &registry);
    assert_eq!(alone.failed(), ["release.evidence"]);
    let mut other = pair;
    let boot = other.tpm.boot.as_mut().expect("a log");
    boot.images[1].digest[0] ^= 1;
    let changed = under(both, Facts::from(other), &registry);
    assert_eq!(
        changed.failed(),
        ["policy.boot-image", "release.workload", "release.verdict"]
    );
}

#[test]
fn one_machine_is_declared_by_one_name_and_by_nothing_else() {
    let pair = honest().expect("honest");
    for (name, known, status) in [
        ("rack 7", SameMachine::Declared, Status::Pass),
        ("rack 8", SameMachine::NotShown, Status::Warn),
    ] {
        let registry = registry(&pair, name);
        with(&registry, |wanted| {
            assert_eq!(same_machine(&pair, wanted), known);
            let verdict = judge(&Facts::from(pair.clone()), &[], wanted);
            let found = verdict.findings.iter();
            let mut found = found.filter(|finding| finding.id == "composite.same-machine");
            assert_eq!(found.next().map(|finding| finding.status), Some(status));
        });
    }
}

#[test]
fn what_does_not_belong_together_is_not_even_judged() {
    assert!(swapped().is_err() && caught(1, 2).is_err());
}
