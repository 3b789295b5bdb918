//! The mutation loop over what appraisal checks on Intel's machines: with the body of a check taken
//! away, its lie is no longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

#[expect(dead_code, reason = "the test of wishes uses the rest")]
mod told_intel;

use told_intel::{caught, forms};
use zeuge_sim::{IntelLie, Room};
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let mut survivors = Vec::new();
    for lie in IntelLie::ALL
        .iter()
        .filter(|lie| lie.room() == Room::Appraise)
    {
        for spec in forms() {
            mutants::take_away(None);
            assert_eq!(caught(Some(*lie), &spec), [lie.check()]);
            mutants::take_away(Some(lie.check()));
            if caught(Some(*lie), &spec).contains(&lie.check()) {
                survivors.push(format!("{} of {:?}", lie.check(), spec.form));
            }
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
