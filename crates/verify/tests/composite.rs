//! A CPU and a TPM in one bundle: what belongs together is joined, and each lie about it is caught
//! by the check that it is named after; with that check's body gone it is not (`make mutants`).

mod told_pair;

use told_pair::{caught, honest, swapped};
use zeuge_verify::composite::Cpu;

#[test]
fn a_report_and_a_quote_for_one_binding_are_joined_and_keep_their_speakers() {
    let facts = honest().expect("honest");
    assert!(matches!(facts.cpu, Cpu::Snp(_)));
    assert!(facts.tpm.boot.is_some());
}

#[test]
fn a_tpm_that_answers_another_challenge_was_swapped_in() {
    assert_eq!(swapped().map(|_| ()), Err("composite.binding"));
}

#[test]
fn a_missing_and_an_extra_member_are_refused_by_name() {
    for (cpus, tpms) in [(0, 1), (1, 0), (2, 1), (1, 2)] {
        assert_eq!(caught(cpus, tpms).map(|_| ()), Err("composite.members"));
    }
}
