//! The mutation loop over the SNP checks: with the body of a check taken away, its lie is no
//! longer caught by it. A check that still catches its lie is decided somewhere else than where
//! its id stands, and the test of its lie proves nothing about it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod kept_lies;
mod told;

use told::{instant, judge, machines, trusted};
use zeuge_sim::{Lie, ToyAmd};
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let (amd, anchors) = (ToyAmd::shared(), trusted());
    let checks = [
        zeuge_verify::amd::CHECKS,
        zeuge_verify::binding::CHECKS,
        zeuge_verify::snp::CHECKS,
    ]
    .concat();
    let mut survivors = Vec::new();
    for id in checks {
        let lie = Lie::about(id).expect("every check has its lie");
        for spec in machines() {
            let told = amd.tell(Some(lie), &spec, instant("2026-03-01T00:00:00Z"));
            mutants::take_away(None);
            let whole = judge(&told, &anchors).map_err(|error| error.check());
            assert_eq!(
                whole,
                Err(id),
                "the lie must be caught while the check is whole"
            );
            mutants::take_away(Some(id));
            let mutant = judge(&told, &anchors).map_err(|error| error.check());
            if mutant == Err(id) {
                survivors.push(format!("{id} of {:?} {:?}", spec.product, spec.signer));
            }
            println!("{id} of {:?} {:?}: {mutant:?}", spec.product, spec.signer);
        }
    }
    // The same for a chain that was kept: each check of the report alone stands between the lie
    // and belief.
    for (id, lie) in machines().flat_map(|spec| kept_lies::all(&spec)) {
        mutants::take_away(None);
        assert!(!lie.is_believed(), "{id} with a kept chain");
        mutants::take_away(Some(id));
        if !lie.is_believed() {
            survivors.push(format!("{id} with a kept chain"));
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
