//! The mutation loop over the checks on pairs: with the body of a check taken away, its lie is no
//! longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_pair;

use told_pair::{caught, honest, swapped};
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    assert!(honest().is_ok());
    for id in zeuge_verify::composite::CHECKS {
        let lie = || match *id {
            "composite.binding" => swapped().map(|_| ()),
            "composite.members" => caught(2, 1).map(|_| ()),
            other => panic!("{other} has no lie"),
        };
        mutants::take_away(None);
        assert_eq!(lie(), Err(*id));
        mutants::take_away(Some(id));
        assert_ne!(lie(), Err(*id), "{id}");
    }
    mutants::take_away(None);
}
