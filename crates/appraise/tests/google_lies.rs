//! Every check of appraisal about endorsed firmware has its lie; an endorsement that holds is named
//! with its root, and one that does not is a warning or a refusal, as the owner demands.

mod told_firmware;

use told_firmware::{broken, verdicts};
use zeuge_appraise::Word;
use zeuge_sim::{GoogleLie, Room};

/// What the owner demands.
const STRICT: &str =
    "schema = \"zeuge.policy.v1\"\n[google]\nrequire_endorsement = true\nminimum_svn = 4\n";
const FLOOR: &str = "schema = \"zeuge.policy.v1\"\n";

#[test]
fn endorsed_firmware_is_accepted_and_its_root_named() {
    for verdict in verdicts(None, STRICT) {
        assert_eq!(broken(&verdict), [""; 0]);
        let root = verdict.roots.last().expect("roots");
        assert_eq!(
            (root.maker.as_str(), root.kind.as_str()),
            ("toy Google", "firmware")
        );
        assert!(
            verdict
                .findings
                .iter()
                .any(|finding| { finding.id == "policy.firmware-endorsement" })
        );
    }
}

#[test]
fn every_lie_for_appraisal_is_caught_by_its_check_alone() {
    let lies = GoogleLie::ALL.iter();
    let lies: Vec<_> = lies.filter(|lie| lie.room() == Room::Appraise).collect();
    let named: Vec<_> = lies.iter().map(|lie| lie.check()).collect();
    assert_eq!(named, zeuge_appraise::google::CHECKS);
    for lie in lies {
        for verdict in verdicts(Some(*lie), STRICT) {
            assert_eq!(broken(&verdict), [lie.check()]);
            assert_eq!(verdict.word, Word::Contraindicated);
        }
    }
}

#[test]
fn what_nobody_demands_is_no_refusal_and_a_broken_endorsement_is_told() {
    for verdict in verdicts(Some(GoogleLie::Missing), FLOOR) {
        assert_eq!(broken(&verdict), [""; 0]);
        assert!(verdict.roots.iter().all(|root| root.kind != "firmware"));
    }
    for (policy, word) in [(FLOOR, Word::Warning), (STRICT, Word::Contraindicated)] {
        for verdict in verdicts(Some(GoogleLie::Signature), policy) {
            assert_eq!(broken(&verdict), ["policy.firmware-endorsement"]);
            assert_eq!(verdict.word, word);
            let told = verdict.findings.iter();
            let told: Vec<_> = told.map(|finding| finding.because.as_str()).collect();
            assert!(told.join("\n").contains("google.endorsement.signature"));
            assert!(verdict.roots.iter().all(|root| root.kind != "firmware"));
        }
    }
}
