//! The mutation loop over appraisal of Nitro's documents: with the body of a check taken away, its
//! lie is no longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_enclave;

use told_enclave::{broken, honest_values, machines, values, verdict};
use zeuge_sim::{NitroLie, NitroSpec};
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let debug = NitroSpec {
        debug: true,
        ..NitroSpec::new(false)
    };
    let told = |id: &str, spec: &NitroSpec| match id {
        "policy.debug" => broken(&verdict(None, &debug, &values(0))),
        "policy.measurement" => broken(&verdict(None, spec, &values(0x77))),
        id => broken(&verdict(NitroLie::about(id), spec, &honest_values())),
    };
    let shared = ["policy.debug", "policy.measurement"];
    for id in zeuge_appraise::nitro::CHECKS.iter().chain(&shared) {
        for spec in machines() {
            mutants::take_away(None);
            assert!(
                told(id, &spec).contains(id),
                "{id} must be caught while it is whole"
            );
            mutants::take_away(Some(id));
            assert!(!told(id, &spec).contains(id), "{id} of {spec:?}");
        }
    }
    mutants::take_away(None);
}
