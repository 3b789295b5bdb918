//! The mutation loop over the checks on firmware endorsements: with the body of a check taken away,
//! its lie is no longer caught by it.
//!
//! Only in builds with `--cfg zeuge_mutants` (`make mutants`).
#![cfg(zeuge_mutants)]

mod told_google;

use told_google::caught;
use zeuge_sim::GoogleLie;
use zeuge_verify::mutants;

/// One test, not one per check: which body is gone is a state of the whole process.
#[test]
fn without_its_body_no_check_catches_its_lie() {
    let mut survivors = Vec::new();
    for id in zeuge_verify::google::CHECKS {
        let lie = GoogleLie::about(id).expect("every check has its lie");
        mutants::take_away(None);
        assert_eq!(caught(lie), [Some(*id); 2]);
        mutants::take_away(Some(id));
        if caught(lie).contains(&Some(*id)) {
            survivors.push(*id);
        }
    }
    mutants::take_away(None);
    assert!(survivors.is_empty(), "{}", survivors.join("\n"));
}
