//! Ed25519 keys of owners and witnesses, and the names of public keys.
//!
//! Keys come from 32-byte seeds that the caller drew. Never prints a seed, never writes one.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::text::hex_array;

/// SHA-256 of a raw public key: its name in documents and key sets, lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(#[serde(with = "hex_array")] [u8; 32]);

impl KeyId {
    /// The name of a raw public key.
    #[must_use]
    pub fn of(public_key: &[u8]) -> Self {
        Self(Sha256::digest(public_key).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A raw Ed25519 public key; base64url on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(#[serde(with = "crate::text::b64_array")] pub [u8; 32]);

impl PublicKey {
    /// The key's name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.0)
    }

    /// Whether the signature over `message` is this key's.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .is_ok()
    }
}

/// An Ed25519 signing key. Its `Debug` says only its name.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.public.id())
    }
}

impl SigningKey {
    /// The key of a 32-byte secret seed (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// `key.malformed` when the provider refuses the seed; it accepts every seed of 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, Error> {
        let refuse = || Error::Misuse {
            check: "key.malformed",
            because: "the seed does not give an Ed25519 key",
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refuse())?;
        let public = pair.public_key().as_ref().try_into();
        let public = PublicKey(public.map_err(|_| refuse())?);
        Ok(Self { pair, public })
    }

    /// The public key.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The signature over `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        let signature = self.pair.sign(message);
        // Ed25519 signatures have 64 bytes; anything else would leave zeros, which verify nowhere.
        if let Ok(bytes) = signature.as_ref().try_into() {
            out = bytes;
        }
        out
    }
}

/// The check ids of this module.
pub const CHECKS: &[&str] = &["key.malformed"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_of_rfc_8032_signs_as_the_rfc_says() {
        let seed = hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = SigningKey::from_seed(&seed.unwrap().try_into().unwrap()).unwrap();
        assert_eq!(
            hex::encode(key.public().0),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let signature = key.sign(b"");
        assert!(
            hex::encode(signature).starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974")
        );
        assert!(key.public().verifies(b"", &signature));
        assert!(!key.public().verifies(b"x", &signature));
        assert!(!format!("{key:?}").contains("9d61"));
    }
}
