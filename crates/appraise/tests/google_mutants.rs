//! The mutation loop over appraisal of endorsed firmware: with the body of a check taken away, its
//! lie is no longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_firmware;

use told_firmware::{broken, verdicts};
use zeuge_sim::GoogleLie;
use zeuge_verify::mutants;

/// What the owner demands.
const STRICT: &str =
    "schema = \"zeuge.policy.v1\"\n[google]\nrequire_endorsement = true\nminimum_svn = 4\n";

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    for id in zeuge_appraise::google::CHECKS {
        let lie = GoogleLie::about(id).expect("every check has its lie");
        mutants::take_away(None);
        for verdict in verdicts(Some(lie), STRICT) {
            assert!(broken(&verdict).contains(id), "{id}");
        }
        mutants::take_away(Some(id));
        for verdict in verdicts(Some(lie), STRICT) {
            assert!(!broken(&verdict).contains(id), "{id}");
        }
    }
    mutants::take_away(None);
}
