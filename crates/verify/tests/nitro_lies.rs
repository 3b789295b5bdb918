//! Every lie of the toy hypervisor is caught by exactly the check that it is named after, what it
//! says without lying is believed, and the captures say what their sources say.

use std::collections::BTreeSet;

mod told_nitro;

use told_nitro::{NOW, caught, machines, prove, trusted};
use zeuge_evidence::{
    UnixTime,
    nitro::{Signed, unwrapped},
};
use zeuge_sim::{NitroLie, Room, ToyNitro, nitro::TOY_IMAGE};
use zeuge_verify::{
    Anchors,
    crypto::AWS_LC,
    nitro::{Demand, nitro},
};

fn lies() -> impl Iterator<Item = NitroLie> {
    let lies = NitroLie::ALL.iter().copied();
    lies.filter(|lie| lie.room() != Room::Appraise)
}

#[test]
fn every_check_has_its_lie_and_every_lie_its_check() {
    let checks = [zeuge_evidence::nitro::CHECKS, zeuge_verify::nitro::CHECKS].concat();
    let checks: BTreeSet<&str> = checks.into_iter().collect();
    assert_eq!(checks, lies().map(NitroLie::check).collect());
}

#[test]
fn every_lie_is_caught_by_the_check_it_is_named_after() {
    for spec in machines() {
        for lie in lies() {
            assert_eq!(caught(Some(lie), &spec), Err(lie.check()), "{spec:?}");
        }
    }
}

#[test]
fn honest_documents_are_believed_with_either_binding() {
    for spec in machines() {
        let told = ToyNitro::shared().tell(None, &spec, NOW);
        for demand in [
            Demand::Nonce(&told.nonce),
            Demand::UserData(&told.user_data),
        ] {
            let (facts, _) = prove(&told, demand, &trusted()).expect("honest");
            assert_eq!(facts.pcrs[&0], [TOY_IMAGE; 48]);
            assert_eq!(facts.nonce.as_ref(), Some(&told.nonce));
            assert!(facts.root.toy && facts.unbound.is_none());
        }
        let makers = prove(&told, Demand::Nonce(&told.nonce), &Anchors::makers());
        assert_eq!(
            makers.map_err(|error| error.check()),
            Err("nitro.root.pinned")
        );
    }
}

#[test]
fn a_document_that_lacks_the_nonce_answers_no_question() {
    for spec in machines() {
        let told = ToyNitro::shared().tell(None, &spec, NOW);
        let error = prove(&told, Demand::Nonce(b""), &trusted()).expect_err("refused");
        assert_eq!(error.check(), "nitro.nonce");
    }
}

/// File, instant inside the life of its certificate, a day later, and whether it is of debug mode.
const CAPTURES: [(&str, &str, bool); 8] = [
    (
        "dstack__nitro_attestation.cbor",
        "2025-12-25T17:34:17Z",
        false,
    ),
    (
        "dstack__nitro_attestation-a2040f.cbor",
        "2025-12-25T14:45:35Z",
        false,
    ),
    (
        "nitrite__nitro_attestation-1.cbor",
        "2024-09-07T16:07:37Z",
        false,
    ),
    (
        "nitrite__nitro_attestation_debug-1.cbor",
        "2024-09-07T16:08:04Z",
        true,
    ),
    (
        "attestation-doc-validation__valid-attestation-doc-bytes.cbor",
        "2022-10-13T10:28:00Z",
        false,
    ),
    (
        "attestation-doc-validation__debug-mode-attestation-doc-bytes.cbor",
        "2022-10-12T15:19:52Z",
        true,
    ),
    (
        "NitroProver__attestation.bin",
        "2024-04-10T08:38:59Z",
        false,
    ),
    (
        "NitroProver__sample_attestation.bin",
        "2024-02-26T08:29:34Z",
        false,
    ),
];

#[test]
fn captured_documents_hold_at_their_instants_and_on_no_other_day() {
    let Some(folder) = std::env::var_os("ZEUGE_VECTORS").map(std::path::PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return;
    };
    let anchors = Anchors::makers();
    for (name, at, debug) in CAPTURES {
        let file = std::fs::read(folder.join("open/nitro").join(name)).expect("a capture");
        let (bytes, _) = unwrapped(&file).expect("a document");
        let signed = Signed::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let at = UnixTime::parse_rfc3339(at).expect("an instant");
        let because = "a capture";
        let verify = |at| nitro(&signed, Demand::Unbound { because }, &anchors, at, &AWS_LC);
        let verified = verify(at).unwrap_or_else(|error| panic!("{name}: {error}"));
        let zero = verified.fact().pcrs[&0].iter().all(|byte| *byte == 0);
        assert_eq!(zero, debug, "{name}");
        let error = verify(at.plus(86_400)).expect_err("ended");
        assert_eq!(error.check(), "nitro.chain.validity", "{name}");
        // A flipped bit of the module name.
        let mut changed = bytes.to_vec();
        changed[signed.payload_offset + 20] ^= 1;
        let outcome = Signed::parse(&changed).map_err(|error| error.check);
        let outcome = outcome.and_then(|signed| {
            let demand = Demand::Unbound { because };
            let verified = nitro(&signed, demand, &anchors, at, &AWS_LC);
            verified.map(|_| ()).map_err(|error| error.check())
        });
        assert_eq!(outcome, Err("nitro.signature"), "{name}");
    }
}

#[test]
fn another_partitions_root_counts_where_somebody_brought_it_and_is_named() {
    let trust: serde_json::Value =
        serde_json::from_str(&ToyNitro::shared().trust_file()).expect("JSON");
    let root = trust["aws"]["root"].as_str().expect("PEM");
    for spec in machines() {
        let told = ToyNitro::shared().tell(None, &spec, NOW);
        let demand = Demand::Nonce(&told.nonce);
        let refused = prove(&told, demand, &Anchors::makers()).expect_err("nobody brought it");
        assert_eq!(refused.check(), "nitro.root.pinned");
        let mut anchors = Anchors::makers();
        let added = anchors.add_nitro("AWS China (Sinnet)", "CN", root.as_bytes());
        added.expect("a certificate");
        let (facts, _) = prove(&told, demand, &anchors).expect("honest");
        assert_eq!(facts.root.maker, "AWS China (Sinnet)");
        assert_eq!(
            (facts.root.jurisdiction.as_str(), facts.root.toy),
            ("CN", false)
        );
    }
    let nothing = Anchors::makers().add_nitro("AWS", "US", b"nothing");
    assert_eq!(
        nothing.expect_err("no certificate").check,
        "x509.certificate"
    );
}
