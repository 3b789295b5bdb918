//! The mutation loop over appraisal of TPMs: with the body of a check taken away, its case is no
//! longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_boot;

use told_boot::{broken, of};
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_case() {
    let mut survivors = Vec::new();
    for id in zeuge_appraise::tpm::CHECKS {
        mutants::take_away(None);
        assert!(
            broken(&of(id)).contains(id),
            "{id} must be caught while it is whole"
        );
        mutants::take_away(Some(id));
        if broken(&of(id)).contains(id) {
            survivors.push(id);
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{survivors:?}");
}
