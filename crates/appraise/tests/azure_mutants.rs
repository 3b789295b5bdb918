//! The mutation loop over appraisal of machines behind Azure's paravisor: with the body of a check
//! taken away, its lie is no longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_behind;

use told_behind::{broken, specs, values, verdict};
use zeuge_sim::AzureLie;
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let mut survivors = Vec::new();
    for id in zeuge_appraise::azure::CHECKS {
        let lie = AzureLie::about(id).expect("every check has its lie");
        for spec in specs() {
            let caught = || broken(&verdict(Some(lie), &spec, &values("hcl"))).contains(id);
            mutants::take_away(None);
            assert!(caught(), "{id} must be caught while it is whole");
            mutants::take_away(Some(id));
            if caught() {
                survivors.push(format!("{id} of {spec:?}"));
            }
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{survivors:?}");
}
