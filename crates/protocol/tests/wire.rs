//! The wire, frozen: digests that an independent encoder (a dozen lines of another language, fed
//! with RFC 8949 §4.2.1 and nothing of this crate) gave for the same values.
//!
//! A change of one of these values is a change of the protocol and needs a new version label.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use zeuge_protocol::binding::{Binding, BoundKey, Role, Witness};
use zeuge_protocol::challenge::{Challenge, ChallengeKey};
use zeuge_protocol::document::{Document, Header, Kind};
use zeuge_protocol::name::{Name, Path};
use zeuge_protocol::request::{Request, Wanted};
use zeuge_protocol::seal::Info;
use zeuge_protocol::suite::Suite;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[test]
fn the_binding_is_the_independent_encoder_s() {
    let witness = |id, nonce| Witness {
        id: name(id),
        tenant: name("acme"),
        nonce: [nonce; 32],
    };
    let kem = BoundKey::Kem {
        suite: Suite::X25519,
        public_key: vec![9; 32],
    };
    let keys = BTreeMap::from([(Role::Kem, kem), (Role::Tls, BoundKey::ed25519(&[8; 32]))]);
    let binding = Binding::new(
        vec![witness("w2", 2), witness("w1", 1)],
        keys,
        [3; 32],
        vec![vec![0, 11, 4]],
        Some(vec![5; 32]),
    )
    .unwrap();
    assert_eq!(
        hex::encode(binding.report_data()),
        concat!(
            "661d33aeea716577b5ec054b361253157bb3a10496fb9789d198effd47f87a4c",
            "65d7ad48061b32ed6d1faf6ae0b700b24f9e3e7909582199ef4b16721dbd2976"
        )
    );
    assert_eq!(
        hex::encode(binding.qualifying_data()),
        "e3b3e5da07a44b79f0d35b2994b418df616e7ad6a68e857f982527bd78e2953f"
    );
}

#[test]
fn the_request_digest_is_the_independent_encoder_s() {
    let wanted = |text, version| Wanted {
        path: path(text),
        version,
    };
    let mut request = Request::release(
        [wanted("a", 1), wanted("b", 0)],
        [Suite::X_WING, Suite::X25519],
    );
    request.context.insert("node".into(), "n1".into());
    assert_eq!(
        hex::encode(request.digest()),
        "938528ef36f410cd113c550244add0211de27c2f7872d9f2979f17a3496bb72b"
    );
}

#[test]
fn what_owners_sign_is_the_independent_encoder_s() {
    let header = Header {
        kind: Kind::Policy,
        tenant: name("acme"),
        name: path("default"),
        version: 3,
        issued: 1000,
        expires: 2000,
    };
    let document = Document::unsigned(header, b"debug = false".to_vec());
    assert_eq!(
        sha256(&document.signing_input()),
        "5f44c4246789870b4d6aca3d3e55469b08ffac7f3bdb7506331f3f0d4656ba91"
    );
}

#[test]
fn the_seal_s_info_is_the_independent_encoder_s() {
    let info = Info {
        binding: [1; 64],
        witness: name("w1"),
        path: path("disk/root"),
        version: 1,
        manifest: [2; 32],
        leaf: [3; 32],
    };
    assert_eq!(
        sha256(&info.encode()),
        "44a2a40ee9402321b89c99390143852950c7b3c52d33ea66920a222ccdda4851"
    );
}

#[test]
fn the_challenge_is_the_independent_encoder_s() {
    let challenge = Challenge::issue(name("w1"), name("acme"), 1000, 60, &mut |out| out.fill(7));
    assert_eq!(
        challenge.seal(&ChallengeKey::new(&[1; 32])),
        concat!(
            "AQAAAAAAAAQkpAFYIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAmJ3MQNkYWNtZQQZA-iz",
            "Ax7XpTngfi9bLaj0aTZZHSJ2fbJDpZZ13LE4lwAt8A"
        )
    );
}
