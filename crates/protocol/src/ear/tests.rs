//! Tests of EAR in both forms, from a relying party's side.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use coset::TaggedCborSerializable as _;
use proptest::prelude::*;

use super::*;
use crate::binding::BoundKey;
use crate::document::tests::key;
use crate::text::{base64url, from_base64url};

fn ear() -> Ear {
    let device = Appraisal {
        status: Status::Warning,
        vector: Vector {
            hardware: 2,
            executables: 3,
            configuration: 32,
            runtime_opaque: -2,
            ..Vector::default()
        },
        policy_ids: vec!["acme/default@3".into()],
        failed: vec!["policy.debug".into()],
        makers: vec!["AMD".into()],
        product: Some("Milan".into()),
        adversaries: [("provider-employee".into(), "conditional".into())].into(),
        claims: serde_json::json!({"measurement": "00ff", "vmpl": 0}),
    };
    Ear {
        profile: PROFILE.into(),
        issuer: "https://w1.example".into(),
        audience: "bank".into(),
        issued: 1000,
        expires: 1300,
        nonce: Some(base64url(&[1; 32])),
        verifier_id: VerifierId {
            developer: "https://zeuge.invalid".into(),
            build: "zeuged 0.1.0".into(),
        },
        confirmation: Some(Confirmation {
            jwk: Jwk::from_bound(&BoundKey::p256(&[2; 32], &[3; 32])).unwrap(),
        }),
        confirmation_role: Some(Role::KubeletClient),
        context: BTreeMap::from([("node-name".into(), "n1".into())]),
        tenant: Name::parse("acme").unwrap(),
        policy_digest: [4; 32],
        knowledge_version: 7,
        receipt: Some("receipt".into()),
        submods: BTreeMap::from([("snp".into(), device)]),
    }
}

fn both() -> [String; 2] {
    let signer = key(1);
    [
        jwt::sign(&ear(), &signer).unwrap(),
        base64url(&cwt::sign(&ear(), &signer).unwrap()),
    ]
}

fn keys() -> Jwks {
    Jwks::of(&[key(9).public(), key(1).public()])
}

fn verify(token: &str) -> Result<Ear, Error> {
    verify_ear(token, &keys(), "https://w1.example", "bank", 1100)
}

#[test]
fn both_forms_say_the_same_to_a_relying_party() {
    for token in both() {
        assert_eq!(verify(&token), Ok(ear()));
    }
}

#[test]
fn the_claims_have_the_draft_s_names() {
    let claims: serde_json::Value = serde_json::from_str(&ear().claims()).unwrap();
    assert_eq!(claims["eat_profile"], PROFILE);
    assert_eq!(claims["zeuge_cnf_role"], "kubelet-client");
    let device = &claims["submods"]["snp"];
    assert_eq!(device["ear_status"], "warning");
    assert_eq!(
        device["ear_trustworthiness_vector"],
        serde_json::json!({"configuration": 32, "executables": 3, "hardware": 2, "runtime-opaque": -2})
    );
    assert_eq!(device["ear_appraisal_policy_ids"][0], "acme/default@3");
    assert_eq!(claims["cnf"]["jwk"]["crv"], "P-256");
}

#[test]
fn each_wrong_expectation_is_refused_by_its_own_check() {
    for token in both() {
        let refused =
            |issuer, audience, now| verify_ear(&token, &keys(), issuer, audience, now).unwrap_err();
        assert_eq!(
            refused("https://w2.example", "bank", 1100),
            Error::differs("token.issuer", "https://w1.example", "https://w2.example")
        );
        assert_eq!(
            refused("https://w1.example", "shop", 1100),
            Error::differs("token.audience", "bank", "shop")
        );
        for now in [1300, 969] {
            let refusal = refused("https://w1.example", "bank", now);
            assert_eq!(refusal.check(), "token.expired");
        }
    }
}

#[test]
fn another_profile_is_refused_though_signed() {
    let mut other = ear();
    other.profile = "tag:github.com,2023:veraison/ear".into();
    assert_eq!(
        jwt::sign(&other, &key(1)).map_err(|error| error.check()),
        Err("token.malformed")
    );
    let token = resign(&serde_json::to_vec(&other).unwrap(), r#"{"alg":"EdDSA"}"#);
    let keys = Jwks::of(&[key(1).public()]);
    assert_eq!(
        verify_ear(&token, &keys, "https://w1.example", "bank", 1100),
        Err(Error::differs(
            "token.profile",
            "tag:github.com,2023:veraison/ear",
            PROFILE
        ))
    );
}

fn resign(claims: &[u8], header: &str) -> String {
    let input = format!("{}.{}", base64url(header.as_bytes()), base64url(claims));
    let signature = base64url(&key(1).sign(input.as_bytes()));
    format!("{input}.{signature}")
}

#[test]
fn the_header_never_chooses_the_algorithm() {
    let claims = serde_json::to_vec(&ear()).unwrap();
    let kid = key(1).public().id();
    for alg in ["none", "HS256", "ES256", "eddsa"] {
        let token = resign(&claims, &format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#));
        assert_eq!(
            verify(&token),
            Err(unsigned("the token's algorithm is not its key's"))
        );
    }
    let token = resign(&claims, r#"{"alg":"EdDSA","kid":"somebody"}"#);
    assert_eq!(
        verify(&token),
        Err(unsigned("no key of the set has the token's key name"))
    );
    let token = resign(
        &claims,
        &format!(r#"{{"alg":"EdDSA","kid":"{kid}","crit":["x"]}}"#),
    );
    assert_eq!(
        verify(&token),
        Err(malformed("the header demands an extension"))
    );
    let token = resign(
        &claims,
        &format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"dpop+jwt"}}"#),
    );
    assert_eq!(
        verify(&token),
        Err(malformed(
            "the header says it is something else than an EAR"
        ))
    );
}

#[test]
fn an_unnamed_key_is_taken_only_when_there_is_one() {
    let token = resign(&serde_json::to_vec(&ear()).unwrap(), r#"{"alg":"EdDSA"}"#);
    assert_eq!(
        verify(&token),
        Err(unsigned("no key of the set has the token's key name"))
    );
    let one = Jwks::of(&[key(1).public()]);
    assert!(verify_ear(&token, &one, "https://w1.example", "bank", 1100).is_ok());
}

#[test]
fn an_es256_token_is_accepted_with_its_p256_key() {
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref().to_vec();
    let bound = BoundKey::p256(
        &point[1..33].try_into().unwrap(),
        &point[33..].try_into().unwrap(),
    );
    let keys = Jwks {
        keys: vec![Jwk::from_bound(&bound).unwrap()],
    };
    let claims = serde_json::to_vec(&ear()).unwrap();
    let input = format!(
        "{}.{}",
        base64url(br#"{"alg":"ES256"}"#),
        base64url(&claims)
    );
    let signature = pair.sign(&random, input.as_bytes()).unwrap();
    let token = format!("{input}.{}", base64url(signature.as_ref()));
    assert_eq!(
        verify_ear(&token, &keys, "https://w1.example", "bank", 1100),
        Ok(ear())
    );
    let token = format!("{input}.{}", base64url(&[0; 64]));
    assert_eq!(
        verify_ear(&token, &keys, "https://w1.example", "bank", 1100),
        Err(unsigned("the signature does not hold"))
    );
}

#[test]
fn a_status_better_than_its_vector_is_neither_signed_nor_accepted() {
    let mut lie = ear();
    lie.submods.get_mut("snp").unwrap().status = Status::Affirming;
    let refusal = Error::differs("token.status", "snp affirming", "not better than warning");
    assert_eq!(jwt::sign(&lie, &key(1)), Err(refusal.clone()));
    assert_eq!(cwt::sign(&lie, &key(1)), Err(refusal.clone()));
    let token = resign(&serde_json::to_vec(&lie).unwrap(), r#"{"alg":"EdDSA"}"#);
    let keys = Jwks::of(&[key(1).public()]);
    assert_eq!(
        verify_ear(&token, &keys, "https://w1.example", "bank", 1100),
        Err(refusal)
    );
}

#[test]
fn a_relying_party_says_the_worst_that_it_accepts() {
    assert_eq!(ear().demands(Status::Warning), Ok(()));
    assert_eq!(
        ear().demands(Status::Affirming),
        Err(Error::differs(
            "token.status",
            "snp warning",
            "at least one device, and none worse than affirming"
        ))
    );
    let mut silent = ear();
    silent.submods.get_mut("snp").unwrap().status = Status::None;
    let refusal = silent
        .demands(Status::Warning)
        .map_err(|error| error.check());
    assert_eq!(refusal, Err("token.status"));
    silent.submods.clear();
    let refusal = silent
        .demands(Status::Warning)
        .map_err(|error| error.check());
    assert_eq!(refusal, Err("token.status"));
}

#[test]
fn a_life_beyond_five_minutes_is_neither_signed_nor_accepted() {
    let mut long = ear();
    long.expires = 1301;
    let refusal = jwt::sign(&long, &key(1)).map_err(|error| error.check());
    assert_eq!(refusal, Err("token.malformed"));
    let token = resign(&serde_json::to_vec(&long).unwrap(), r#"{"alg":"EdDSA"}"#);
    let keys = Jwks::of(&[key(1).public()]);
    let refusal = verify_ear(&token, &keys, "https://w1.example", "bank", 1100);
    assert_eq!(refusal.map_err(|error| error.check()), Err("token.expired"));
}

#[test]
fn another_implementation_reads_the_cwt_and_its_signature() {
    let bytes = cwt::sign(&ear(), &key(1)).unwrap();
    let message = coset::CoseSign1::from_tagged_slice(&bytes).unwrap();
    assert_eq!(
        message.protected.header.alg,
        Some(coset::RegisteredLabelWithPrivate::Assigned(
            coset::iana::Algorithm::EdDSA
        ))
    );
    message
        .verify_signature(b"", |signature, input| {
            key(1)
                .public()
                .verifies(input, signature)
                .then_some(())
                .ok_or(())
        })
        .unwrap();
    let claims: ciborium::Value = ciborium::from_reader(&message.payload.unwrap()[..]).unwrap();
    let issuer = claims.as_map().unwrap()[0].clone();
    assert_eq!(issuer.1, ciborium::Value::Text("https://w1.example".into()));
}

#[test]
fn every_tier_has_its_range() {
    for (value, tier) in [
        (-1, Status::None),
        (0, Status::None),
        (1, Status::None),
        (2, Status::Affirming),
        (31, Status::Affirming),
        (-2, Status::Affirming),
        (-32, Status::Affirming),
        (32, Status::Warning),
        (95, Status::Warning),
        (-33, Status::Warning),
        (-96, Status::Warning),
        (96, Status::Contraindicated),
        (127, Status::Contraindicated),
        (-97, Status::Contraindicated),
        (-128, Status::Contraindicated),
    ] {
        assert_eq!(Status::of_claim(value), tier, "{value}");
    }
}

proptest! {
    #[test]
    fn a_changed_token_is_never_accepted(at in 0_usize..2000, to in "[A-Za-z0-9_.-]") {
        for token in both() {
            let at = at % token.len();
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assert!(changed == token || verify(&changed).is_err());
        }
    }

    #[test]
    fn a_changed_byte_of_a_cwt_is_never_accepted(at in 0_usize..2000, bit in 0_u8..8) {
        let mut bytes = from_base64url(&both()[1]).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(verify(&base64url(&bytes)).is_err());
    }

    #[test]
    fn arbitrary_text_is_refused_without_panic(text in ".{0,200}") {
        prop_assert!(verify(&text).is_err());
    }
}
