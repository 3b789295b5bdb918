//! Every lie about a firmware endorsement is caught by exactly the check that it is named after, and
//! never makes a good report a bad one; an honest endorsement is believed down to the pinned root.

use std::collections::BTreeSet;

mod told_google;

use told_google::{MEASUREMENT, NOW, caught, domain, report, spec, told, trusted};
use zeuge_sim::{EndorsementSpec, GoogleLie, Room, ToyGoogle};
use zeuge_verify::{Anchors, google::Firmware};

fn lies() -> impl Iterator<Item = GoogleLie> {
    let lies = GoogleLie::ALL.iter().copied();
    lies.filter(|lie| lie.room() != Room::Appraise)
}

#[test]
fn every_check_has_its_lie_and_every_lie_its_check() {
    let checks = [zeuge_evidence::google::CHECKS, zeuge_verify::google::CHECKS].concat();
    let checks: BTreeSet<&str> = checks.into_iter().collect();
    assert_eq!(checks, lies().map(GoogleLie::check).collect());
}

#[test]
fn every_lie_is_caught_by_the_check_it_is_named_after() {
    for lie in lies() {
        assert_eq!(caught(lie), [Some(lie.check()); 2], "{}", lie.what());
    }
}

#[test]
fn honest_firmware_is_endorsed_with_shape_version_and_root() {
    let [snp, tdx] = told(None);
    for (firmware, shape) in [(snp, "2 virtual CPUs"), (tdx, "16 GiB")] {
        let Firmware::Endorsed(facts) = firmware else {
            panic!("{firmware:?}");
        };
        assert_eq!(
            (facts.svn, facts.shapes.as_slice()),
            (5, &[shape.to_owned()][..])
        );
        assert_eq!(facts.timestamp, NOW.plus(-20 * 86_400));
        assert_eq!((facts.root.kind, facts.root.toy), ("firmware", true));
        assert_eq!(facts.digest, [0xd1; 48]);
    }
    let endorsement = ToyGoogle::shared().tell(None, &spec(), NOW);
    let verified = report(&[&endorsement], &trusted()).expect("a good report");
    let passed = verified.trail().passed();
    for id in zeuge_verify::google::CHECKS {
        assert!(passed.contains(id), "{id}");
    }
}

#[test]
fn the_root_may_lie_beside_instead_of_in_the_endorsement() {
    let spec = EndorsementSpec {
        with_root: false,
        ..spec()
    };
    let endorsement = ToyGoogle::shared().tell(None, &spec, NOW);
    let root = ToyGoogle::shared().root_certificate();
    let firmware = |beside: &[&[u8]]| {
        let verified = domain(beside, &trusted()).expect("a good quote");
        verified.fact().firmware.clone()
    };
    assert!(matches!(
        firmware(&[&endorsement, root]),
        Firmware::Endorsed(_)
    ));
    let Firmware::Refused(error) = firmware(&[&endorsement]) else {
        panic!("no root is at hand");
    };
    assert_eq!(error.check(), "google.endorsement.root");
}

#[test]
fn of_several_the_one_that_speaks_about_the_machine_counts() {
    let toy = ToyGoogle::shared();
    let own = toy.tell(None, &spec(), NOW);
    let other = toy.tell(Some(GoogleLie::Measurement), &spec(), NOW);
    let broken = toy.tell(Some(GoogleLie::Signature), &spec(), NOW);
    let firmware = |beside: &[&[u8]]| {
        let verified = report(beside, &trusted()).expect("a good report");
        verified.fact().firmware.clone()
    };
    assert!(matches!(
        firmware(&[&other, &broken, &own]),
        Firmware::Endorsed(_)
    ));
    // What is broken is told before what is merely of another machine.
    for beside in [[&other, &broken], [&broken, &other]] {
        let Firmware::Refused(error) = firmware(&beside.map(Vec::as_slice)) else {
            panic!("none of them holds");
        };
        assert_eq!(error.check(), "google.endorsement.signature");
    }
    assert_eq!(firmware(&[]), Firmware::NotGiven);
}

#[test]
fn a_toy_is_not_believed_by_those_who_did_not_ask_for_it() {
    let endorsement = ToyGoogle::shared().tell(None, &spec(), NOW);
    let heap = zeuge_verify::Endorsements::new();
    let context = zeuge_verify::google::Context {
        endorsements: &heap,
        anchors: &Anchors::makers(),
        at: NOW,
        crypto: &zeuge_verify::crypto::AWS_LC,
    };
    let measured = zeuge_verify::google::Measured::Snp(&MEASUREMENT);
    let error = zeuge_verify::google::endorsed(&endorsement, measured, &context);
    assert_eq!(
        error.expect_err("refused").check(),
        "google.endorsement.root"
    );
}
