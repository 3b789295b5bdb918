//! Every check of appraisal about machines behind Azure's paravisor has its lie; an honest machine
//! is accepted; and a paravisor never counts as a direct guest, nor the other way round.

mod told_behind;

use told_behind::{
    broken, policy, specs,
    told_azure::{NOW, prove, trusted},
    values, verdict,
};
use zeuge_appraise::{
    Facts, Kind, NotProved, Policy, ReferenceValues, ReleaseRule, Suite, Wanted, Word, judge,
};
use zeuge_sim::{AzureLie, Room, ToyAzure};
use zeuge_verify::{composite::Cpu, tpm::Nonce};

#[test]
fn an_honest_machine_is_accepted_but_for_its_toy_root() {
    for spec in specs() {
        let verdict = verdict(None, &spec, &values("hcl"));
        assert_eq!(broken(&verdict), [""; 0], "{spec:?}");
        assert_eq!((verdict.word, verdict.kind), (Word::Warning, Kind::Azure));
        let paravisor = verdict.roots.last().expect("roots");
        assert_eq!(
            (paravisor.maker.as_str(), paravisor.kind.as_str()),
            ("toy Microsoft", "paravisor")
        );
        assert!(verdict.not_proved.contains(&NotProved::Paravisor));
        assert!(!verdict.not_proved.contains(&NotProved::Memory));
    }
}

#[test]
fn every_lie_for_appraisal_is_caught_by_its_check_alone() {
    let lies = AzureLie::ALL.iter();
    let lies: Vec<_> = lies.filter(|lie| lie.room() == Room::Appraise).collect();
    let named: Vec<_> = lies.iter().map(|lie| lie.check()).collect();
    assert_eq!(named, zeuge_appraise::azure::CHECKS);
    for spec in specs() {
        for lie in &lies {
            let verdict = verdict(Some(**lie), &spec, &values("hcl"));
            assert_eq!(broken(&verdict), [lie.check()], "{spec:?}");
        }
    }
}

#[test]
fn a_value_of_a_direct_guest_never_admits_a_paravisor() {
    for spec in specs() {
        let verdict = verdict(None, &spec, &values("direct"));
        assert_eq!(broken(&verdict), ["policy.measurement"]);
        assert_eq!(verdict.word, Word::Contraindicated);
    }
}

#[test]
fn a_paravisors_value_never_admits_a_direct_guest() {
    for spec in specs() {
        let told = ToyAzure::shared().tell(None, &spec, NOW);
        let (facts, passed) =
            prove(&told, &trusted(&spec, None), Nonce::Exact(&told.nonce)).expect("honest");
        // The same report, shown as if the machine had asked its chip itself.
        let alone = match facts.cpu {
            Cpu::Snp(report) => Facts::Snp(report),
            Cpu::Quote(quote) => Facts::Quote(quote),
        };
        for (profile, wanted) in [("hcl", vec!["policy.measurement"]), ("direct", vec![])] {
            let values = ReferenceValues::parse(&values(profile)).expect("values");
            let policy = Policy::default();
            let wishes = Wanted {
                policy: &policy,
                reference_values: &values,
                hardware: None,
                evaluation_number_seen: None,
                ahead: None,
                hardware_only: None,
                at: told.at,
            };
            assert_eq!(
                broken(&judge(&alone, &passed, &wishes)),
                wanted,
                "{profile}"
            );
        }
    }
}

#[test]
fn a_console_that_only_shows_is_a_console() {
    let [spec, _] = specs();
    let told = ToyAzure::shared().tell(None, &spec, NOW);
    let nonce = Nonce::Exact(&told.nonce);
    let (honest, passed) = prove(&told, &trusted(&spec, None), nonce).expect("honest");
    let policy = Policy::parse(&policy()).expect("a policy");
    let values = ReferenceValues::parse(&values("hcl")).expect("values");
    let wanted = Wanted {
        policy: &policy,
        reference_values: &values,
        hardware: None,
        evaluation_number_seen: None,
        ahead: None,
        hardware_only: None,
        at: told.at,
    };
    for (shown, typed, holds) in [
        (Some(false), None, true),
        (Some(false), Some(false), true),
        (Some(true), Some(false), false),
        (Some(false), Some(true), false),
        (None, Some(false), false),
        (None, None, false),
    ] {
        let mut facts = honest.clone();
        facts.vm.console_enabled = shown;
        facts.vm.interactive_console_enabled = typed;
        let verdict = judge(&Facts::from(facts), &passed, &wanted);
        let failed: &[&str] = match holds {
            true => &[],
            false => &["policy.hcl-console"],
        };
        assert_eq!(verdict.failed(), failed, "{shown:?} {typed:?}");
    }
}

#[test]
fn the_profile_of_an_svsm_is_refused_by_name() {
    let refusal = ReferenceValues::parse(&values("svsm")).expect_err("refused");
    assert!(refusal.because.contains("not supported yet"), "{refusal}");
}

#[test]
fn a_secret_goes_to_a_known_guest_and_never_for_the_paravisor_alone() {
    let rule = |kind: &str, workload: &str| {
        let text = format!(
            "schema = \"zeuge.release-rule.v1\"\ntenant = \"a\"\npath = \"db/key\"\n\
             door = \"agent\"\nevidence = [\"{kind}\"]\nminimum_suite = \"x-wing\"\n\
             chips = \"dangerous_any_chip\"\nworkload = \"{workload}\"\n"
        );
        ReleaseRule::parse(&text).expect("a rule")
    };
    for spec in specs() {
        let verdict = verdict(None, &spec, &values("hcl"));
        let policy = Policy::parse(&policy()).expect("a policy");
        let values = ReferenceValues::parse(&values("hcl")).expect("values");
        let wanted = Wanted {
            policy: &policy,
            reference_values: &values,
            hardware: None,
            evaluation_number_seen: None,
            ahead: None,
            hardware_only: None,
            at: verdict.at,
        };
        let failed = |kind: &str, workload: &str| {
            let applied = rule(kind, workload).apply(&verdict, &wanted, "agent", Suite::XWing);
            applied.failed()
        };
        assert_eq!(failed("azure", "web"), [""; 0]);
        assert_eq!(failed("azure", "paravisor"), ["release.workload"]);
        assert_eq!(failed("snp", "web"), ["release.evidence"]);
        assert_eq!(failed("tpm", "web"), ["release.evidence"]);
    }
}
