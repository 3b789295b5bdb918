//! What comes over the wire: bundles, bindings, documents, challenges, tokens, requests.

use serde_json::Value as Json;
use zeuge_protocol::{
    api::{AttestRequest, ChallengeRequest, SecretUpload},
    binding::Binding,
    bundle::Bundle,
    cbor::Value,
    challenge::{Challenge, ChallengeKey},
    document::{Document, OwnerSet},
    ear::{Jwks, verify_ear},
    manifest::{Manifest, Share},
    name::{Name, Path},
    waiver,
};

use crate::{
    meter::{Bound, within},
    must, seeds,
};

/// Values of deterministic CBOR: an item of one byte becomes one of some 70.
const CBOR: Bound = Bound::new(160, 16 * 1024);

/// Deterministic CBOR: there is one spelling, so writing gives the same bytes.
pub(crate) fn cbor(bytes: &[u8]) {
    match within(CBOR, bytes.len(), || {
        Value::parse(bytes, 1 << 20, "bundle.malformed")
    }) {
        Ok(value) => assert_eq!(value.encode(), bytes),
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// In CBOR 4096 items at most; in JSON texts, each decoded once.
const BUNDLE: Bound = Bound::new(4, 1024 * 1024);

/// Our bundle in either encoding; both tell the same.
pub(crate) fn bundle(bytes: &[u8]) {
    let _ = within(Bound::new(0, 0), bytes.len(), || Bundle::detect(bytes));
    match within(BUNDLE, bytes.len(), || Bundle::parse(bytes)) {
        Ok(bundle) => {
            let json = bundle.to_json();
            let cbor = bundle.to_cbor();
            assert_eq!(Bundle::parse(json.as_bytes()).as_ref(), Ok(&bundle));
            assert_eq!(Bundle::parse(&cbor).as_ref(), Ok(&bundle));
        }
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// A binding: one spelling.
pub(crate) fn binding(bytes: &[u8]) {
    match within(CBOR, bytes.len(), || Binding::parse(bytes)) {
        Ok(binding) => {
            assert_eq!(binding.encode(), bytes);
            let _ = (binding.digest(), binding.qualifying_data());
            let _ = binding.recipient();
        }
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// A manifest and a share: one spelling each.
pub(crate) fn manifest(bytes: &[u8]) {
    match within(CBOR, bytes.len(), || Manifest::parse(bytes)) {
        Ok(manifest) => assert_eq!(manifest.encode(), bytes),
        Err(error) => must::refuse_on_the_wire(&error),
    }
    match within(CBOR, bytes.len(), || Share::parse(bytes)) {
        Ok(share) => assert_eq!(share.encode()[..], *bytes),
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// A signed document and an owner set in JSON.
pub(crate) fn document(bytes: &[u8]) {
    let owners = seeds::owners();
    match within(Bound::new(4, 16 * 1024), bytes.len(), || {
        Document::parse(bytes)
    }) {
        Ok(document) => {
            let text = serde_json::to_vec(&document).expect("a document is JSON");
            assert_eq!(Document::parse(&text).as_ref(), Ok(&document));
            let kind = document.header.kind;
            if let Err(error) = document.verify(&owners, kind, 1, seeds::NOW) {
                must::refuse_on_the_wire(&error);
            }
            if let Err(error) = Manifest::believe(&document, &owners, 1, seeds::NOW) {
                must::refuse_on_the_wire(&error);
            }
        }
        Err(error) => must::refuse_on_the_wire(&error),
    }
    if let Ok(set) = serde_json::from_slice::<OwnerSet>(bytes)
        && let Err(error) = set.check()
    {
        must::refuse_on_the_wire(&error);
    }
}

/// A waiver of Kubernetes nodes: only what the owners signed is believed, and for four hours.
pub(crate) fn waiver(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let owners = seeds::owners();
    match within(Bound::new(8, 16 * 1024), bytes.len(), || {
        waiver::read(text, &owners)
    }) {
        Ok(believed) => {
            let said = believed.waiver;
            let life = said.until - said.from;
            assert!(life > 0 && life <= waiver::WAIVER_SECS_MAX);
            assert!(!said.nodes.is_empty() && !said.checks.is_empty());
            assert_eq!(believed.people, ["ada"]);
            assert_eq!(waiver::until(text), Some(said.until));
            let elsewhere = format!("not {}", said.cluster_uid);
            assert!(waiver::believe(text, &owners, &elsewhere, said.from).is_err());
            assert!(waiver::believe(text, &owners, &said.cluster_uid, said.until).is_err());
            assert!(waiver::believe(text, &owners, &said.cluster_uid, said.from).is_ok());
        }
        Err(because) => assert!(because.len() <= 2 * bytes.len() + 256, "{because}"),
    }
}

/// A challenge that comes back; only ours under our key is believed.
pub(crate) fn challenge(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let key = ChallengeKey::new(&[7; 32]);
    let (witness, tenant) = (seeds::name("witness"), seeds::name("tenant"));
    match within(Bound::new(8, 8192), bytes.len(), || {
        Challenge::open(text, &key, &witness, &tenant, seeds::NOW)
    }) {
        Ok(challenge) => assert_eq!(challenge.seal(&key), text),
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// Names and paths: what is read is what was written.
pub(crate) fn name(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Name::parse(text) {
        Ok(name) => assert_eq!(name.as_str(), text),
        Err(error) => must::refuse_on_the_wire(&error),
    }
    match Path::parse(text) {
        Ok(path) => {
            assert_eq!(path.as_str(), text);
            for segment in path.segments() {
                assert!(!["", ".", ".."].contains(&segment), "{segment:?}");
            }
        }
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// A token under a key set: JWT or CWT; claims in JSON are signed first.
pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if bytes.first() == Some(&b'{') {
        believed(&seeds::token_of(bytes));
    }
    believed(text);
    // A key set comes from outside as well.
    if let Ok(keys) = serde_json::from_str::<Jwks>(text) {
        let token = seeds::token();
        let _ = verify_ear(&token, &keys, seeds::ISSUER, seeds::AUDIENCE, seeds::NOW);
    }
}

fn believed(text: &str) {
    let keys = seeds::token_keys();
    match within(Bound::new(200, 64 * 1024), text.len(), || {
        verify_ear(text, &keys, seeds::ISSUER, seeds::AUDIENCE, seeds::NOW)
    }) {
        Ok(ear) => {
            assert_eq!(
                (ear.issuer.as_str(), ear.audience.as_str()),
                (seeds::ISSUER, seeds::AUDIENCE)
            );
            let claims: Json = serde_json::from_str(&ear.claims()).expect("claims are JSON");
            assert!(claims.is_object());
        }
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// Requests to the witness.
pub(crate) fn api(bytes: &[u8]) {
    let read = within(Bound::new(4, 64 * 1024), bytes.len(), || {
        serde_json::from_slice::<AttestRequest>(bytes)
    });
    if let Ok(request) = read {
        let again = serde_json::to_vec(&request).expect("a request is JSON");
        let again: AttestRequest = serde_json::from_slice(&again).expect("its own JSON");
        assert_eq!(again, request);
        binding(&request.binding);
        bundle(&request.bundle);
        match request.request.check() {
            Ok(()) => assert_eq!(request.request.digest(), again.request.digest()),
            Err(error) => must::refuse_on_the_wire(&error),
        }
    }
    if let Ok(upload) = serde_json::from_slice::<SecretUpload>(bytes) {
        let _ = Share::parse(&upload.share);
    }
    let _ = serde_json::from_slice::<ChallengeRequest>(bytes);
}
