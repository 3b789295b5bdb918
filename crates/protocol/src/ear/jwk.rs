//! Public keys as JWK (RFC 7517), and what of COSE_Key and algorithms hangs on them.
//!
//! Ed25519 and P-256 only; every other key is refused by its names. Never holds a private part.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::binding::{BoundKey, COSE_KEY_BYTES_MAX};
use crate::cbor::Value;
use crate::keys::PublicKey;
use crate::text::{base64url, from_base64url};

/// How many keys a set may hold: current and last ones of a witness's replicas.
pub const KEYS_MAX: usize = 64;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP` or `EC`.
    pub kty: String,
    /// `Ed25519` or `P-256`.
    pub crv: String,
    /// The key or its x coordinate, base64url.
    pub x: String,
    /// The y coordinate of an EC key, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The key's name in its set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The algorithm; if present it must be the curve's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig` in a key set.
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
}

/// A key set, as `/.well-known/jwks.json` gives it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

/// An algorithm that is accepted, pinned by the key's curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    EdDsa,
    Es256,
}

impl Algorithm {
    pub(super) const fn jose(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    pub(super) const fn cose(self) -> i64 {
        match self {
            Self::EdDsa => -8,
            Self::Es256 => -7,
        }
    }
}

impl Jwks {
    /// The set of one Ed25519 key or more.
    #[must_use]
    pub fn of(keys: &[PublicKey]) -> Self {
        Self {
            keys: keys.iter().map(Jwk::ed25519).collect(),
        }
    }

    /// The only key with this name; without a name, the only key there is. `None` also for sets
    /// of more than [`KEYS_MAX`].
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Jwk> {
        if self.keys.len() > KEYS_MAX {
            return None;
        }
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| kid.is_none() || key.kid.as_deref() == kid);
        let found = fitting.next()?;
        fitting.next().is_none().then_some(found)
    }
}

impl Jwk {
    /// An Ed25519 key whose `kid` is [`PublicKey::id`].
    #[must_use]
    pub fn ed25519(key: &PublicKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: base64url(&key.0),
            y: None,
            kid: Some(key.id().to_string()),
            alg: Some("EdDSA".to_owned()),
            usage: Some("sig".to_owned()),
        }
    }

    /// The key of a binding's COSE_Key, without `kid`; `None` for a KEM key and for other curves.
    #[must_use]
    pub fn from_bound(key: &BoundKey) -> Option<Self> {
        let BoundKey::Cose(bytes) = key else {
            return None;
        };
        Self::from_cose(&Value::parse(bytes, COSE_KEY_BYTES_MAX, "binding.keys").ok()?)
    }

    pub(super) fn from_cose(key: &Value) -> Option<Self> {
        let map = key.as_map()?;
        let number = |key: i64| map.get(&key.into())?.as_integer();
        let part = |key: i64| Some(base64url(&map.get(&key.into())?.as_array_of::<32>()?));
        let (kty, crv, y) = match (number(1)?, number(-1)?) {
            (1, 6) => ("OKP", "Ed25519", None),
            (2, 1) => ("EC", "P-256", Some(part(-3)?)),
            _ => return None,
        };
        Some(Self {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x: part(-2)?,
            y,
            kid: None,
            alg: None,
            usage: None,
        })
    }

    pub(super) fn to_cose(&self) -> Option<Value> {
        let x = Value::Bytes(self.part(&self.x)?.to_vec());
        Some(match self.algorithm()? {
            Algorithm::EdDsa => {
                Value::map([(1, Value::Integer(1)), (-1, Value::Integer(6)), (-2, x)])
            }
            Algorithm::Es256 => Value::map([
                (1, Value::Integer(2)),
                (-1, Value::Integer(1)),
                (-2, x),
                (-3, Value::Bytes(self.part(self.y.as_ref()?)?.to_vec())),
            ]),
        })
    }

    fn part(&self, text: &str) -> Option<[u8; 32]> {
        from_base64url(text)?.try_into().ok()
    }

    /// The one algorithm of this key; `None` when its names contradict each other.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        let algorithm = match (self.kty.as_str(), self.crv.as_str()) {
            ("OKP", "Ed25519") => Algorithm::EdDsa,
            ("EC", "P-256") => Algorithm::Es256,
            _ => return None,
        };
        let named = self
            .alg
            .as_deref()
            .is_none_or(|alg| alg == algorithm.jose());
        let for_signing = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        (named && for_signing).then_some(algorithm)
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = || -> Option<()> {
            let x = self.part(&self.x)?;
            match self.algorithm()? {
                Algorithm::EdDsa => UnparsedPublicKey::new(&ED25519, &x[..])
                    .verify(message, signature)
                    .ok(),
                Algorithm::Es256 => {
                    let y = self.part(self.y.as_ref()?)?;
                    let point = [&[4][..], &x, &y].concat();
                    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                        .verify(message, signature)
                        .ok()
                }
            }
        };
        verified().is_some()
    }
}
