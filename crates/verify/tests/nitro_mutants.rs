//! The mutation loop over the checks on Nitro's documents: with the body of a check taken away, its
//! lie is no longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_nitro;

use told_nitro::{caught, machines};
use zeuge_sim::NitroLie;
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let mut survivors = Vec::new();
    for id in zeuge_verify::nitro::CHECKS {
        let lie = NitroLie::about(id).expect("every check has its lie");
        for spec in machines() {
            mutants::take_away(None);
            assert_eq!(caught(Some(lie), &spec), Err(*id), "{spec:?}");
            mutants::take_away(Some(id));
            if caught(Some(lie), &spec) == Err(*id) {
                survivors.push(format!("{id} of {spec:?}"));
            }
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
