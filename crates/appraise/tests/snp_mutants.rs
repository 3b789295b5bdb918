//! The mutation loop over appraisal: with the body of a check taken away, its case is no longer
//! caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told;

use told::cases;
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_case() {
    let mut survivors = Vec::new();
    for id in cases::checks() {
        mutants::take_away(None);
        assert!(
            cases::is_caught(id),
            "{id} must be caught while it is whole"
        );
        mutants::take_away(Some(id));
        if cases::is_caught(id) {
            survivors.push(id);
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
