//! Every lie of the toy TPM maker is caught by exactly the check that it is named after, and what
//! it says without lying is believed.
//!
//! The table is one to one in both directions: a check without a lie fails here, and so does a
//! lie without a check.

use std::collections::BTreeSet;

mod told_tpm;

use told_tpm::{NOW, caught, judge, machines, trusted};
use zeuge_evidence::tpm::PcrSet;
use zeuge_sim::{
    Room, ToyTpm, TpmLie, TpmSpec,
    tpm::{COMMAND_LINE, PROGRAMS, Proof, digest_of},
};
use zeuge_verify::{
    Anchors,
    tpm::{Revocation, TrustBasis},
};

fn lies() -> impl Iterator<Item = TpmLie> {
    let lies = TpmLie::ALL.iter().copied();
    lies.filter(|lie| lie.room() != Room::Appraise)
}

#[test]
fn every_check_has_its_lie_and_every_lie_its_check() {
    let checks: BTreeSet<&str> = [
        zeuge_evidence::eventlog::CHECKS,
        zeuge_evidence::ima::CHECKS,
        zeuge_evidence::tpm::CHECKS,
        zeuge_verify::tpm::CHECKS,
    ]
    .concat()
    .into_iter()
    .collect();
    assert_eq!(checks, lies().map(TpmLie::check).collect());
}

#[test]
fn every_lie_is_caught_by_the_check_it_is_named_after() {
    let (maker, anchors) = (ToyTpm::shared(), trusted());
    let mut wrong = Vec::new();
    for spec in machines() {
        for lie in lies() {
            let found = caught(&maker.tell(Some(lie), &spec, NOW), &anchors);
            if found != Err(lie.check()) {
                let (ek, ak) = (spec.ek, spec.ak);
                wrong.push(format!("{} of {ek:?} {ak:?}: {found:?}", lie.check()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn lies_for_appraisal_are_proven_true() {
    let (maker, anchors) = (ToyTpm::shared(), trusted());
    for spec in machines() {
        for lie in TpmLie::ALL
            .iter()
            .filter(|lie| lie.room() == Room::Appraise)
        {
            let told = maker.tell(Some(*lie), &spec, NOW);
            assert_eq!(caught(&told, &anchors), Ok(()), "{}", lie.check());
        }
    }
}

// spec: tpm.ima.aggregate
#[test]
fn honest_quotes_are_believed_for_every_reason_and_tell_of_their_boot() {
    let (maker, anchors) = (ToyTpm::shared(), trusted());
    for machine in machines() {
        for proof in Proof::ALL {
            let spec = TpmSpec {
                proof,
                ..machine.clone()
            };
            let facts = judge(&maker.tell(None, &spec, NOW), &anchors).expect("honest");
            let known = match &facts.trust {
                TrustBasis::Activated(ek) if proof == Proof::Activation => Some(ek),
                TrustBasis::Certified(ek) if proof == Proof::Certificate => Some(ek),
                TrustBasis::EnrolledByOwner(_) if proof == Proof::Enrolment => None,
                other => panic!("{proof:?} gave {other:?}"),
            };
            if let Some(ek) = known {
                assert!(ek.root.toy);
                assert_eq!(ek.identity.manufacturer_text().as_deref(), Some("TOY"));
                assert!(matches!(ek.revocation, Revocation::Checked { .. }));
            }
            // PCR 10 is the kernel's, which the boot log does not know.
            assert_eq!(facts.explained, PcrSet(0xffff & !(1 << 10)));
            let boot = facts.boot.expect("a log");
            assert_eq!(boot.secure_boot, Some(true));
            assert_eq!(boot.command_lines[0].text, COMMAND_LINE);
            assert_eq!(boot.initrds[0].digest, digest_of("initrd"));
            assert_eq!(boot.startup_locality, Some(3));
            assert!(boot.notes.is_empty());
            let list = facts.ima.expect("a list");
            assert_eq!(list.boot_aggregate, Some(true));
            assert_eq!(list.attested.len(), 1 + PROGRAMS.len());
        }
    }
}

#[test]
fn a_toy_is_not_believed_by_those_who_did_not_ask_for_it() {
    for spec in machines() {
        let told = ToyTpm::shared().tell(None, &spec, NOW);
        assert_eq!(caught(&told, &Anchors::makers()), Err("tpm.ek.available"));
    }
}

#[test]
fn a_credential_opens_only_for_the_ak_it_was_made_for() {
    let (maker, anchors) = (ToyTpm::shared(), trusted());
    for spec in machines() {
        let mut told = maker.tell(None, &spec, NOW);
        let other = maker.tell(Some(TpmLie::AkAttributes), &spec, NOW);
        assert_eq!(caught(&told, &anchors), Ok(()));
        // The TPM is asked to open it for another of its keys.
        let own = std::mem::replace(&mut told.ak_public, other.ak_public);
        assert_ne!(own, told.ak_public);
        assert_eq!(caught(&told, &anchors), Err("tpm.ak.attributes"));
    }
}
