//! The mutation loop over the checks on TPMs: with the body of a check taken away, its lie is no
//! longer caught by it. A check that still catches its lie is decided somewhere else than where
//! its id stands, and the test of its lie proves nothing about it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_tpm;

use told_tpm::{NOW, caught, machines, trusted};
use zeuge_sim::{ToyTpm, TpmLie};
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let (maker, anchors) = (ToyTpm::shared(), trusted());
    let mut survivors = Vec::new();
    for id in zeuge_verify::tpm::CHECKS {
        let lie = TpmLie::about(id).expect("every check has its lie");
        for spec in machines() {
            let told = maker.tell(Some(lie), &spec, NOW);
            mutants::take_away(None);
            assert_eq!(
                caught(&told, &anchors),
                Err(*id),
                "the lie must be caught while the check is whole"
            );
            mutants::take_away(Some(id));
            let mutant = caught(&told, &anchors);
            if mutant == Err(*id) {
                survivors.push(format!("{id} of {:?} {:?}", spec.ek, spec.ak));
            }
            println!("{id} of {:?} {:?}: {mutant:?}", spec.ek, spec.ak);
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
