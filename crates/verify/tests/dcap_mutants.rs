//! The mutation loop over the checks on Intel's quotes: with the body of a check taken away, its
//! lie is no longer caught by it. A check that still catches its lie is decided somewhere else
//! than where its id stands, and the test of its lie proves nothing about it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_intel;

use told_intel::{NOW, caught, judge, platforms, trusted};
use zeuge_sim::{IntelLie, IntelSwap, Room, ToyIntel};
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let (intel, anchors) = (ToyIntel::shared(), trusted());
    let checks = [zeuge_verify::binding::CHECKS, zeuge_verify::dcap::CHECKS].concat();
    let mut survivors = Vec::new();
    for id in checks {
        let lie = IntelLie::about(id).expect("every check has its lie");
        for spec in platforms() {
            let told = intel.tell(Some(lie), &spec, NOW);
            mutants::take_away(None);
            assert_eq!(
                caught(&told, &anchors),
                Err(id),
                "the lie must be caught while the check is whole"
            );
            mutants::take_away(Some(id));
            let mutant = judge(&told, &anchors).map(|facts| facts.standing.status);
            let mutant = mutant.map_err(|error| error.check());
            if mutant == Err(id) {
                survivors.push(format!("{id} of {:?} {:?}", spec.form, spec.ca));
            }
            println!("{id} of {:?} {:?}: {mutant:?}", spec.form, spec.ca);
        }
    }
    // The same for genuine parts in the wrong place.
    let swaps = IntelSwap::ALL.iter().copied();
    for swap in swaps.filter(|swap| swap.room() == Room::Verify) {
        for spec in platforms() {
            let told = intel.swapped(swap, &spec, NOW);
            mutants::take_away(None);
            assert_eq!(caught(&told, &anchors), Err(swap.check()), "{swap:?}");
            mutants::take_away(Some(swap.check()));
            if caught(&told, &anchors) == Err(swap.check()) {
                survivors.push(format!("{swap:?} of {:?} {:?}", spec.form, spec.ca));
            }
        }
    }
    // The same for a platform that was kept: each check of the quote alone stands between the lie
    // and belief.
    for (id, lie) in told_intel::against_kept() {
        mutants::take_away(None);
        assert!(!lie.is_believed(), "{id} with a kept platform");
        mutants::take_away(Some(id));
        if !lie.is_believed() {
            survivors.push(format!("{id} with a kept platform"));
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
