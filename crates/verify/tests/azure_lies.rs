//! Every lie of the toy Azure is caught by exactly the check that it is named after, and what it
//! says without lying is believed, from the challenge to the maker's root.

use std::collections::BTreeSet;

mod told_azure;

use told_azure::{NOW, caught, machines, prove, trusted};
use zeuge_sim::{AzureLie, AzureSpec, Room, ToyAzure, azure::PARAVISOR};
use zeuge_verify::{
    Anchors,
    composite::Cpu,
    dcap::Body,
    tpm::{Nonce, TrustBasis},
};

fn lies() -> impl Iterator<Item = AzureLie> {
    let lies = AzureLie::ALL.iter().copied();
    lies.filter(|lie| lie.room() != Room::Appraise)
}

#[test]
fn every_check_has_its_lie_and_every_lie_its_check() {
    let checks = [zeuge_evidence::azure::CHECKS, zeuge_verify::azure::CHECKS].concat();
    let checks: BTreeSet<&str> = checks.into_iter().collect();
    assert_eq!(checks, lies().map(AzureLie::check).collect());
}

#[test]
fn every_lie_is_caught_by_the_check_it_is_named_after() {
    let mut wrong = Vec::new();
    for spec in machines() {
        for lie in lies() {
            let found = caught(Some(lie), &spec);
            if found != Err(lie.check()) {
                wrong.push(format!("{} of {spec:?}: {found:?}", lie.check()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn honest_evidence_of_every_version_is_believed_down_to_the_root() {
    for spec in machines() {
        let told = ToyAzure::shared().tell(None, &spec, NOW);
        let (facts, passed) = prove(&told, &trusted(&spec, None), Nonce::Exact(&told.nonce))
            .unwrap_or_else(|error| panic!("{spec:?}: {}: {error}", error.check()));
        let measured = match &facts.cpu {
            Cpu::Snp(report) => report.claims.measurement,
            Cpu::Quote(quote) => match &quote.claims {
                Body::Tdx(report) => report.mr_td,
                Body::Sgx(_) => panic!("no enclave was told"),
            },
        };
        assert_eq!(measured, PARAVISOR);
        let quoted = facts.tpm.expect("a quote");
        assert_eq!(quoted.trust, TrustBasis::CommittedByReport);
        assert_eq!(quoted.nonce, told.nonce);
        assert_eq!(Some(quoted.ak_key), facts.ak_key);
        assert_eq!(
            (facts.ak_is_primary, facts.vm.secure_boot),
            (Some(true), Some(true))
        );
        for id in [
            "azure.claims.hash",
            "binding.report-data",
            "tpm.quote.nonce",
        ] {
            assert!(passed.contains(&id), "{id}");
        }
        assert_eq!(passed.contains(&"azure.user-data"), spec.json == 2);
    }
}

#[test]
fn another_challenge_is_refused_and_so_is_an_empty_one() {
    for spec in machines() {
        let told = ToyAzure::shared().tell(None, &spec, NOW);
        let anchors = trusted(&spec, None);
        let refused = |nonce: &[u8]| {
            let error = prove(&told, &anchors, Nonce::Exact(nonce)).expect_err("refused");
            error.check()
        };
        assert_eq!(refused(b"another challenge"), "tpm.quote.nonce");
        assert_eq!(refused(b""), "tpm.quote.nonce");
        let empty = AzureSpec {
            nonce: Vec::new(),
            ..spec.clone()
        };
        let replayable = ToyAzure::shared().tell(None, &empty, NOW);
        let error = prove(&replayable, &anchors, Nonce::Exact(&told.nonce)).expect_err("refused");
        assert_eq!(error.check(), "tpm.quote.nonce");
    }
}

#[test]
fn a_toy_is_not_believed_by_those_who_did_not_ask_for_it() {
    for spec in machines() {
        let told = ToyAzure::shared().tell(None, &spec, NOW);
        let outcome = prove(&told, &Anchors::makers(), Nonce::Exact(&told.nonce));
        assert!(outcome.is_err(), "{spec:?}");
    }
}
