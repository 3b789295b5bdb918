//! The mutation loop over appraisal of Intel's quotes: with the body of a check taken away, none of
//! its cases is caught by it any more.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_dcap;

use told_dcap::cases;
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_cases() {
    let mut survivors = Vec::new();
    for id in cases::checks() {
        let caught = || {
            cases::of(id)
                .iter()
                .filter(|verdict| cases::is_caught(verdict, id))
                .count()
        };
        mutants::take_away(None);
        assert!(caught() > 0, "{id} must be caught while it is whole");
        mutants::take_away(Some(id));
        if caught() > 0 {
            survivors.push(id);
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
