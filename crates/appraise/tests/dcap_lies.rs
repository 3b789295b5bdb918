//! Every lie about Intel's quotes that appraisal must catch is caught by exactly the check it is
//! named after; honest toys are accepted with the one warning that no toy escapes, and admitted.

mod told_dcap;

use told_dcap::{Wishes, cases, now, policy, proven, verdict, verified, warnings, wishes};
use zeuge_appraise::{Grant, Suite, Word, admit};
use zeuge_sim::{IntelLie, IntelSwap, PckCa, QuoteForm, QuoteSpec, Room, ToyIntel};

/// A machine of every form and CA.
fn machines() -> impl Iterator<Item = QuoteSpec> {
    QuoteForm::ALL.into_iter().flat_map(|form| {
        PckCa::ALL.into_iter().map(move |ca| QuoteSpec {
            ca,
            ..QuoteSpec::new(form)
        })
    })
}

#[test]
fn honest_evidence_is_accepted_but_for_its_toy_root() {
    for spec in machines() {
        let mut facts = verified(None, &spec, false).fact().clone();
        let judged = verdict(facts.clone(), &wishes(&spec));
        assert_eq!(judged.failed(), [""; 0], "{spec:?}");
        assert_eq!(warnings(&judged), [""; 0], "{spec:?}");
        assert_eq!(judged.word, Word::Warning);
        facts.root.toy = false;
        assert_eq!(verdict(facts, &wishes(&spec)).word, Word::Affirming);
    }
}

#[test]
fn every_lie_is_caught_by_exactly_the_check_it_is_named_after() {
    // A warning, because the owner may know better.
    let warned = [
        "policy.advisories",
        "policy.service-td",
        "policy.td-attributes",
    ];
    for spec in machines() {
        let lies = IntelLie::ALL.iter();
        for lie in lies.filter(|lie| lie.room() == Room::Appraise) {
            let facts = verified(Some(*lie), &spec, false).fact().clone();
            let wishes = Wishes {
                seen: None,
                ..wishes(&spec)
            };
            let judged = verdict(facts, &wishes);
            let id = lie.check();
            let (failed, warns) = (judged.failed(), warnings(&judged));
            if warned.contains(&id) {
                assert_eq!((failed, warns), (vec![], vec![id]), "{spec:?}");
                assert_eq!(judged.word, Word::Warning);
            } else {
                assert_eq!((failed, warns), (vec![id], vec![]), "{spec:?}");
                assert_eq!(judged.word, Word::Contraindicated);
            }
        }
    }
}

#[test]
fn a_list_of_the_root_that_is_missing_is_refused_though_the_cas_is_there() {
    for spec in machines() {
        for swap in IntelSwap::ALL {
            if swap.room() == Room::Appraise {
                let told = ToyIntel::shared().swapped(*swap, &spec, now());
                let judged = verdict(proven(&told, false).fact().clone(), &wishes(&spec));
                assert_eq!(judged.failed(), [swap.check()], "{spec:?}");
                let failed = judged.findings.iter();
                let mut failed = failed.filter(|finding| finding.id == swap.check());
                let because = failed.next().map(|finding| finding.because.as_str());
                let wanted = "no revocation list of Intel's root is at hand";
                assert_eq!(because, Some(wanted));
            }
        }
    }
}

/// What fails and what warns on a lie under this policy.
fn under(lie: &str, text: &str) -> (Vec<&'static str>, Vec<&'static str>) {
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    let wishes = Wishes {
        policy: policy(text),
        ..wishes(&spec)
    };
    let facts = verified(IntelLie::about(lie), &spec, false).fact().clone();
    let judged = verdict(facts, &wishes);
    (judged.failed(), warnings(&judged))
}

#[test]
fn an_accepted_status_and_a_grace_warn_and_end() {
    let id = "policy.tcb-status";
    let warned = (vec![], vec![id]);
    assert_eq!(under(id, "accepted_statuses = [\"OutOfDate\"]"), warned);
    // The level is of 13 March 2024, the machine speaks on 1 March 2026.
    let grace = (vec![], vec![id, "policy.tcb-outlook"]);
    assert_eq!(under(id, "grace_days = 718"), grace);
    assert_eq!(under(id, "grace_days = 717"), (vec![id], vec![]));
    let another = "accepted_statuses = [\"ConfigurationNeeded\"]";
    assert_eq!(under(id, another), (vec![id], vec![]));
}

#[test]
fn what_intel_revoked_or_does_not_know_no_policy_accepts() {
    for status in ["Revoked", "TcbNotSupported"] {
        let text =
            format!("schema = \"zeuge.policy.v1\"\n[intel]\naccepted_statuses = [\"{status}\"]");
        let refusal = zeuge_appraise::Policy::parse(&text).unwrap_err();
        assert!(
            refusal.because.contains("cannot be accepted"),
            "{refusal:?}"
        );
    }
}

#[test]
fn an_advisory_is_allowed_with_a_reason_until_its_end() {
    let text = "[[intel.allowed_advisories]]\nid = \"INTEL-SA-00615\"\n\
                because = \"no such device\"\nuntil = \"2026-03-01T00:00:00Z\"";
    assert_eq!(under("policy.advisories", text), (vec![], vec![]));
}

#[test]
fn dangerous_settings_warn_and_never_pass_in_silence() {
    for (id, setting) in [
        ("dcap.crl.fresh", "dangerous_without_crl"),
        ("policy.debug", "dangerous_allow_debug"),
        ("policy.migration", "dangerous_allow_migration"),
    ] {
        let text = format!("{setting} = \"a test\"");
        assert_eq!(under(id, &text), (vec![], vec![id]));
    }
}

#[test]
fn a_grant_is_admitted_for_the_enrolled_machine_and_for_no_liar() {
    for (form, kind) in [
        (QuoteForm::Tdx4, "tdx"),
        (QuoteForm::Tdx5, "tdx"),
        (QuoteForm::Sgx3, "sgx"),
    ] {
        let spec = QuoteSpec::new(form);
        let admitted = |lie: Option<&str>, enrolled: &str| {
            let lie = lie.and_then(IntelLie::about);
            let verified = verified(lie, &spec, false);
            let mut wishes = wishes(&spec);
            wishes.hardware = Some(cases::registry(enrolled, verified.fact()));
            let grant = Grant {
                tenant: "a".to_owned(),
                path: "db/key".to_owned(),
                version: 1,
                recipient: [1; 32],
                challenge: [2; 32],
                epoch: 3,
                expires: now().plus(5),
            };
            let rule = cases::rule(kind, "workload = \"web\"");
            let wanted = wishes.wanted();
            admit(&verified, &rule, &wanted, "agent", Suite::XWing, grant)
        };
        let good = admitted(None, "");
        assert_eq!(good.verdict.failed(), [""; 0]);
        assert!(
            good.admission
                .is_some_and(|admission| admission.is_current(now(), 3))
        );
        for (lie, enrolled, id) in [
            (Some("policy.debug"), "", "policy.debug"),
            (Some("policy.tcb-status"), "", "policy.tcb-status"),
            (None, "hardware.key", "hardware.key"),
            (None, "hardware.enrolled", "hardware.enrolled"),
        ] {
            let refused = admitted(lie, enrolled);
            let mut failed = refused.verdict.failed();
            failed.sort_unstable();
            assert_eq!(failed, [id, "release.verdict"]);
            assert!(refused.admission.is_none());
        }
    }
}
