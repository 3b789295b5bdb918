//! The example for relying parties, run: it accepts what it should and nothing else.

#[expect(
    dead_code,
    reason = "its main reads arguments; what it does is run here"
)]
#[path = "../examples/accept_ear.rs"]
mod accept_ear;

use std::collections::BTreeMap;

use accept_ear::accept;
use zeuge_protocol::ear::{Appraisal, Ear, Jwks, PROFILE, Status, Vector, VerifierId, cwt, jwt};
use zeuge_protocol::keys::SigningKey;
use zeuge_protocol::name::Name;

fn ear(status: Status) -> Ear {
    let vector = match status {
        Status::Affirming => Vector {
            hardware: 2,
            executables: 2,
            configuration: 2,
            ..Vector::default()
        },
        _ => Vector {
            hardware: 32,
            ..Vector::default()
        },
    };
    let device = Appraisal {
        status,
        vector,
        policy_ids: vec![],
        failed: vec![],
        makers: vec!["AMD".into()],
        product: Some("Milan".into()),
        adversaries: [("provider-employee".into(), "conditional".into())].into(),
        claims: serde_json::json!({}),
    };
    Ear {
        profile: PROFILE.into(),
        issuer: "https://w1.example".into(),
        audience: "bank".into(),
        issued: 1000,
        expires: 1300,
        nonce: None,
        verifier_id: VerifierId {
            developer: "https://zeuge.invalid".into(),
            build: "zeuged 0.1.0".into(),
        },
        confirmation: None,
        confirmation_role: None,
        context: BTreeMap::new(),
        tenant: Name::parse("acme").unwrap(),
        policy_digest: [4; 32],
        knowledge_version: 0,
        receipt: None,
        submods: BTreeMap::from([("snp".into(), device)]),
    }
}

#[test]
fn the_example_accepts_an_affirming_token_of_its_witness_for_itself_in_time() {
    let key = |seed| SigningKey::from_seed(&[seed; 32]).unwrap();
    let keys = Jwks::of(&[key(1).public()]);
    let token = jwt::sign(&ear(Status::Affirming), &key(1)).unwrap();
    let as_file = format!("{token}\n");
    let (issuer, audience) = ("https://w1.example", "bank");
    let accepted = accept(&keys, &as_file, issuer, audience, 1100);
    assert_eq!(accepted, Ok(vec!["snp".to_owned()]));
    // The CWT of the same, as base64url text.
    let cwt = cwt::sign(&ear(Status::Affirming), &key(1)).unwrap();
    let text = zeuge_protocol::text::base64url(&cwt);
    assert_eq!(accept(&keys, &text, issuer, audience, 1100), accepted);
    let check = |done: Result<Vec<String>, zeuge_protocol::Error>| done.unwrap_err().check();
    let warned = jwt::sign(&ear(Status::Warning), &key(1)).unwrap();
    let forged = jwt::sign(&ear(Status::Affirming), &key(2)).unwrap();
    for (token, issuer, audience, now, wanted) in [
        (&warned, issuer, audience, 1100, "token.status"),
        (&forged, issuer, audience, 1100, "token.signature"),
        (&token, "https://w2.example", audience, 1100, "token.issuer"),
        (&token, issuer, "shop", 1100, "token.audience"),
        (&token, issuer, audience, 1331, "token.expired"),
    ] {
        assert_eq!(check(accept(&keys, token, issuer, audience, now)), wanted);
    }
}
