//! EAR as CWT (RFC 8392): a COSE_Sign1 (RFC 9052 §4.2) over deterministic CBOR.
//!
//! Written with this crate's own CBOR, so the agent needs no second encoder; tests compare with
//! `coset`. Algorithm and key name stand in the protected header only; the algorithm must be the
//! key's.

use std::collections::BTreeMap;

use super::jwk::{Jwk, Jwks};
use super::{Appraisal, Confirmation, Ear, Status, TOKEN_BYTES_MAX, Vector, VerifierId};
use super::{malformed, unsigned};
use crate::Error;
use crate::binding::Role;
use crate::cbor::{Key, Value};
use crate::keys::SigningKey;
use crate::name::Name;

const SIGN1_TAG: u64 = 18;

/// Signs claims as a CWT with EdDSA.
///
/// # Errors
/// As [`super::jwt::sign`]; `token.malformed` also when the confirmation key is not one of ours.
pub fn sign(ear: &Ear, key: &SigningKey) -> Result<Vec<u8>, Error> {
    ear.fit_to_sign()?;
    let kid = key.public().id().to_string();
    let protected = Value::map([
        (1, Value::Integer(super::jwk::Algorithm::EdDsa.cose())),
        (4, Value::bytes(kid.as_bytes())),
    ])
    .encode();
    let payload = write(ear)
        .ok_or_else(|| malformed("the confirmation key is neither Ed25519 nor P-256"))?
        .encode();
    let signature = key.sign(&signing_input(&protected, &payload));
    let message = Value::Array(vec![
        Value::Bytes(protected),
        Value::map::<i64>([]),
        Value::Bytes(payload),
        Value::bytes(&signature),
    ]);
    Ok(Value::Tag(SIGN1_TAG, Box::new(message)).encode())
}

fn signing_input(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    Value::Array(vec![
        Value::text("Signature1"),
        Value::bytes(protected),
        Value::bytes(b""),
        Value::bytes(payload),
    ])
    .encode()
}

/// Claims whose signature holds; nothing else about them is checked here.
pub(super) fn open(bytes: &[u8], keys: &Jwks) -> Result<Ear, Error> {
    const ID: &str = "token.malformed";
    let message = Value::parse(bytes, TOKEN_BYTES_MAX, ID)?;
    let parts = match &message {
        Value::Tag(SIGN1_TAG, message) => message.as_items(),
        _ => None,
    };
    let Some([protected, Value::Map(open), payload, signature]) = parts else {
        return Err(malformed("it is not a COSE_Sign1"));
    };
    let (Some(protected), Some(payload), Some(signature)) = (
        protected.as_bytes(),
        payload.as_bytes(),
        signature.as_bytes(),
    ) else {
        return Err(malformed("a part of the COSE_Sign1 is not a byte string"));
    };
    let header = Value::parse(protected, TOKEN_BYTES_MAX, ID)?;
    let header = header
        .as_map()
        .filter(|header| !header.contains_key(&2.into()) && open.is_empty())
        .ok_or_else(|| malformed("the header demands an extension or is not protected"))?;
    let kid = match header.get(&4.into()) {
        None => None,
        Some(kid) => Some(
            kid.as_bytes()
                .and_then(|kid| std::str::from_utf8(kid).ok())
                .ok_or_else(|| malformed("the key name is not text"))?,
        ),
    };
    let key = keys
        .find(kid)
        .ok_or_else(|| unsigned("no key of the set has the token's key name"))?;
    let algorithm = header.get(&1.into()).and_then(Value::as_integer);
    if algorithm.is_none() || key.algorithm().map(super::jwk::Algorithm::cose) != algorithm {
        return Err(unsigned("the token's algorithm is not its key's"));
    }
    if !key.verifies(&signing_input(protected, payload), signature) {
        return Err(unsigned("the signature does not hold"));
    }
    read(&Value::parse(payload, TOKEN_BYTES_MAX, ID)?)
        .ok_or_else(|| malformed("the claims are not those of an EAR"))
}

fn write(ear: &Ear) -> Option<Value> {
    let submods = ear.submods.iter().map(|(label, device)| {
        let (label, device) = (label.as_str(), appraisal(device));
        (label, device)
    });
    let verifier = Value::map([
        (0, Value::text(&ear.verifier_id.developer)),
        (1, Value::text(&ear.verifier_id.build)),
    ]);
    let mut map: Vec<(Key, Value)> = vec![
        (1.into(), Value::text(&ear.issuer)),
        (3.into(), Value::text(&ear.audience)),
        (4.into(), Value::Integer(ear.expires)),
        (6.into(), Value::Integer(ear.issued)),
        (265.into(), Value::text(&ear.profile)),
        (266.into(), Value::map(submods)),
        (1004.into(), verifier),
        ("zeuge_tenant".into(), Value::text(ear.tenant.as_str())),
        (
            "zeuge_policy_digest".into(),
            Value::bytes(&ear.policy_digest),
        ),
        (
            "zeuge_knowledge_version".into(),
            Value::count(ear.knowledge_version),
        ),
    ];
    if let Some(confirmation) = &ear.confirmation {
        map.push((8.into(), Value::map([(1, confirmation.jwk.to_cose()?)])));
    }
    if let Some(nonce) = &ear.nonce {
        let nonce = crate::text::from_base64url(nonce)?;
        map.push((10.into(), Value::Bytes(nonce)));
    }
    if let Some(receipt) = &ear.receipt {
        map.push(("zeuge_receipt".into(), Value::text(receipt)));
    }
    if let Some(role) = ear.confirmation_role {
        map.push(("zeuge_cnf_role".into(), Value::Integer(role.number())));
    }
    if !ear.context.is_empty() {
        let context = ear.context.iter();
        let context = context.map(|(key, value)| (key.as_str(), Value::text(value)));
        map.push(("zeuge_context".into(), Value::map(context)));
    }
    Some(Value::map(map))
}

fn appraisal(device: &Appraisal) -> Value {
    let vector = (0_i64..).zip(device.vector.values());
    let vector = vector.filter(|(_, value)| *value != 0);
    let policies = device.policy_ids.iter().map(|id| Value::text(id));
    let mut map: Vec<(Key, Value)> = vec![
        (1000.into(), Value::Integer(device.status.number())),
        (
            1001.into(),
            Value::map(vector.map(|(key, value)| (key, Value::Integer(i64::from(value))))),
        ),
        (1003.into(), Value::Array(policies.collect())),
    ];
    if !device.failed.is_empty() {
        let failed = device.failed.iter().map(|id| Value::text(id));
        map.push(("zeuge_failed".into(), Value::Array(failed.collect())));
    }
    if !device.makers.is_empty() {
        let makers = device.makers.iter().map(|it| Value::text(it));
        map.push(("zeuge_makers".into(), Value::Array(makers.collect())));
    }
    if let Some(product) = &device.product {
        map.push(("zeuge_product".into(), Value::text(product)));
    }
    if !device.adversaries.is_empty() {
        let words = device.adversaries.iter();
        let words = words.map(|(who, word)| (who.as_str(), Value::text(word)));
        map.push(("zeuge_adversaries".into(), Value::map(words)));
    }
    if !device.claims.is_null() {
        map.push((
            "zeuge_claims".into(),
            Value::text(&device.claims.to_string()),
        ));
    }
    Value::map(map)
}

fn read(value: &Value) -> Option<Ear> {
    let map = value.as_map()?;
    let text = |key: Key| Some(map.get(&key)?.as_text()?.to_owned());
    let number = |key: Key| map.get(&key)?.as_integer();
    let verifier = map.get(&1004.into())?.as_map()?;
    let part = |key: i64| Some(verifier.get(&key.into())?.as_text()?.to_owned());
    let confirmation = match map.get(&8.into()) {
        None => None,
        Some(cnf) => Some(Confirmation {
            jwk: Jwk::from_cose(cnf.as_map()?.get(&1.into())?)?,
        }),
    };
    let nonce = match map.get(&10.into()) {
        None => None,
        Some(nonce) => Some(crate::text::base64url(nonce.as_bytes()?)),
    };
    let receipt = match map.get(&"zeuge_receipt".into()) {
        None => None,
        Some(receipt) => Some(receipt.as_text()?.to_owned()),
    };
    let confirmation_role = match map.get(&"zeuge_cnf_role".into()) {
        None => None,
        Some(role) => Some(Role::from_number(role.as_integer()?)?),
    };
    let submods = map
        .get(&266.into())?
        .as_map()?
        .iter()
        .map(|(label, device)| match label {
            Key::Text(label) => Some((label.clone(), read_appraisal(device)?)),
            Key::Integer(_) => None,
        });
    Some(Ear {
        profile: text(265.into())?,
        issuer: text(1.into())?,
        audience: text(3.into())?,
        issued: number(6.into())?,
        expires: number(4.into())?,
        nonce,
        verifier_id: VerifierId {
            developer: part(0)?,
            build: part(1)?,
        },
        confirmation,
        confirmation_role,
        context: read_texts(map.get(&"zeuge_context".into()))?,
        tenant: Name::parse(map.get(&"zeuge_tenant".into())?.as_text()?).ok()?,
        policy_digest: map.get(&"zeuge_policy_digest".into())?.as_array_of()?,
        knowledge_version: map.get(&"zeuge_knowledge_version".into())?.as_count()?,
        receipt,
        submods: submods.collect::<Option<_>>()?,
    })
}

/// A map of texts; an empty one where there is none.
fn read_texts(value: Option<&Value>) -> Option<BTreeMap<String, String>> {
    let Some(value) = value else {
        return Some(BTreeMap::new());
    };
    let entries = value.as_map()?.iter().map(|(key, value)| match key {
        Key::Text(key) => Some((key.clone(), value.as_text()?.to_owned())),
        Key::Integer(_) => None,
    });
    entries.collect()
}

fn read_appraisal(value: &Value) -> Option<Appraisal> {
    let map = value.as_map()?;
    let mut values = [0_i8; 8];
    for (key, value) in map.get(&1001.into())?.as_map()? {
        let Key::Integer(key) = key else {
            return None;
        };
        let place = values.get_mut(usize::try_from(*key).ok()?)?;
        *place = i8::try_from(value.as_integer()?).ok()?;
    }
    let policies = map.get(&1003.into())?.as_items()?.iter();
    let claims = match map.get(&"zeuge_claims".into()) {
        None => serde_json::Value::Null,
        Some(claims) => serde_json::from_str(claims.as_text()?).ok()?,
    };
    let texts = |key: &str| match map.get(&key.into()) {
        None => Some(Vec::new()),
        Some(list) => list
            .as_items()?
            .iter()
            .map(|it| it.as_text().map(str::to_owned))
            .collect::<Option<Vec<_>>>(),
    };
    let product = match map.get(&"zeuge_product".into()) {
        None => None,
        Some(product) => Some(product.as_text()?.to_owned()),
    };
    Some(Appraisal {
        status: Status::from_number(map.get(&1000.into())?.as_integer()?)?,
        vector: Vector::from_values(values),
        policy_ids: policies
            .map(|id| id.as_text().map(str::to_owned))
            .collect::<Option<_>>()?,
        failed: texts("zeuge_failed")?,
        makers: texts("zeuge_makers")?,
        product,
        adversaries: read_texts(map.get(&"zeuge_adversaries".into()))?,
        claims,
    })
}
