//! Secrets in flight: a share sealed with HPKE (RFC 9180) to the session key of one machine.
//!
//! The info names binding, witness, path, version, manifest digest and leaf hash, so a seal opens
//! only in the session, for the secret and after the log entry that it was made for. Session keys
//! are fresh per challenge, come from a seed that the caller drew, and live in memory only.
//! Never falls back to another suite; never draws randomness.

use std::convert::Infallible;
use std::fmt;

use hpke::aead::{Aead, AesGcm256, ChaCha20Poly1305};
use hpke::kdf::{HkdfSha256, Kdf};
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::binding::{Binding, BoundKey};
use crate::cbor::Value;
use crate::document::{Document, OwnerSet};
use crate::manifest::{Manifest, SHARE_BYTES_MAX, Share, decrypt_secret};
use crate::name::{Name, Path};
use crate::suite::Suite;
use crate::text;
use crate::{Error, Random};

/// The check ids of this module.
pub const CHECKS: &[&str] = &["seal.open", "seal.suite"];

/// What a seal is bound to beside the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// The binding digest of the session.
    pub binding: [u8; 64],
    /// The witness that seals.
    pub witness: Name,
    /// The path of the secret.
    pub path: Path,
    /// The version of the secret.
    pub version: u64,
    /// The digest of its manifest.
    pub manifest: [u8; 32],
    /// The hash of the log leaf that authorised the release.
    pub leaf: [u8; 32],
}

impl Info {
    /// The HPKE info: deterministic CBOR of
    /// `["zeuge-seal-v1", binding, witness, path, version, manifest digest, leaf hash]`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        Value::Array(vec![
            Value::text("zeuge-seal-v1"),
            Value::bytes(&self.binding),
            Value::text(self.witness.as_str()),
            Value::text(self.path.as_str()),
            Value::count(self.version),
            Value::bytes(&self.manifest),
            Value::bytes(&self.leaf),
        ])
        .encode()
    }
}

/// An HPKE ciphertext with its suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The suite, by its registered numbers.
    pub suite: Suite,
    /// The encapsulated key.
    #[serde(with = "text::b64")]
    pub encapsulated: Vec<u8>,
    /// Ciphertext and tag.
    #[serde(with = "text::b64")]
    pub ciphertext: Vec<u8>,
}

/// One secret as it travels from a witness to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedSecret {
    /// The witness that sealed it.
    pub witness: Name,
    /// The path of the secret.
    pub path: Path,
    /// The version of the secret.
    pub version: u64,
    /// The hash of the log leaf that authorised the release.
    #[serde(with = "text::hex_array")]
    pub leaf: [u8; 32],
    /// The owners' manifest.
    pub manifest: Document,
    /// The encrypted payload.
    #[serde(with = "text::b64")]
    pub payload: Vec<u8>,
    /// The share, sealed.
    pub share: Sealed,
}

/// The private key of one session. Its `Debug` says only the suite.
pub struct SessionKey {
    suite: Suite,
    seed: Zeroizing<[u8; 32]>,
    public_key: Vec<u8>,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SessionKey({})", self.suite)
    }
}

impl SessionKey {
    /// The key pair of a seed of 32 secret random bytes (RFC 9180 §4, `DeriveKeyPair`).
    ///
    /// # Errors
    /// `seal.suite` for a suite that this program does not know.
    pub fn from_seed(suite: Suite, seed: [u8; 32]) -> Result<Self, Error> {
        let seed = Zeroizing::new(seed);
        known(suite)?;
        let public_key = if suite.is_post_quantum() {
            XWing::derive_keypair(seed.as_slice()).1.to_bytes().to_vec()
        } else {
            X25519HkdfSha256::derive_keypair(seed.as_slice())
                .1
                .to_bytes()
                .to_vec()
        };
        Ok(Self {
            suite,
            seed,
            public_key,
        })
    }

    /// The suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The public key as it stands in the binding under role 1.
    #[must_use]
    pub fn bound(&self) -> BoundKey {
        BoundKey::Kem {
            suite: self.suite,
            public_key: self.public_key.clone(),
        }
    }

    /// Opens what was sealed to this key under this info.
    ///
    /// # Errors
    /// `seal.suite` when it was sealed with another suite; `seal.open` when it was sealed to
    /// another key, under another info, or changed.
    pub fn open(&self, sealed: &Sealed, info: &Info) -> Result<Zeroizing<Vec<u8>>, Error> {
        if sealed.suite != self.suite {
            return Err(Error::differs(
                "seal.suite",
                sealed.suite.to_string(),
                self.suite.to_string(),
            ));
        }
        let (seed, info) = (self.seed.as_slice(), info.encode());
        match self.suite {
            Suite::X_WING => open::<AesGcm256, HkdfSha256, XWing>(seed, sealed, &info),
            Suite::X_WING_CHACHA => {
                open::<ChaCha20Poly1305, HkdfSha256, XWing>(seed, sealed, &info)
            }
            Suite::X25519 => open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(seed, sealed, &info),
            _ => open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(seed, sealed, &info),
        }
    }
}

/// Seals `plaintext` to a public key under `info`.
///
/// # Errors
/// `seal.suite` for an unknown suite; `seal.open` when the public key is not one of the suite.
pub fn seal(
    suite: Suite,
    public_key: &[u8],
    info: &Info,
    plaintext: &[u8],
    random: Random<'_>,
) -> Result<Sealed, Error> {
    known(suite)?;
    let info = info.encode();
    let mut given = Given(random);
    let seal = match suite {
        Suite::X_WING => seal_with::<AesGcm256, HkdfSha256, XWing>,
        Suite::X_WING_CHACHA => seal_with::<ChaCha20Poly1305, HkdfSha256, XWing>,
        Suite::X25519 => seal_with::<AesGcm256, HkdfSha256, X25519HkdfSha256>,
        _ => seal_with::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>,
    };
    let (encapsulated, ciphertext) = seal(public_key, &info, plaintext, &mut given)?;
    Ok(Sealed {
        suite,
        encapsulated,
        ciphertext,
    })
}

/// One release of a witness: everything that the seal is bound to, and the share.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The session's binding, whose demands have held.
    pub binding: &'a Binding,
    /// The hash of the log leaf that authorises the release.
    pub leaf: [u8; 32],
    /// The owners' manifest, as they signed it.
    pub manifest: &'a Document,
    /// The encrypted payload.
    pub payload: &'a [u8],
    /// The witness's share.
    pub share: &'a Share,
}

impl SealedSecret {
    /// Seals a share to the session key of a binding. Whether it may be released is the caller's
    /// business; whether the owners signed it, the agent's.
    ///
    /// # Errors
    /// `binding.keys` when the binding has no KEM key; those of [`Manifest::parse`];
    /// `manifest.mismatch` when the share is not the manifest's; those of [`seal`].
    pub fn seal(release: &Release<'_>, random: Random<'_>) -> Result<Self, Error> {
        let Release {
            binding,
            leaf,
            manifest: document,
            payload,
            share,
        } = *release;
        let (suite, public_key) = binding
            .recipient()
            .ok_or_else(|| Error::differs("binding.keys", "no KEM key", "a KEM key"))?;
        let manifest = Manifest::parse(&document.payload)?;
        share.belongs_to(&manifest)?;
        let info = Info {
            binding: binding.digest(),
            witness: share.witness.clone(),
            path: manifest.path.clone(),
            version: manifest.version,
            manifest: manifest.digest(),
            leaf,
        };
        let share = seal(suite, public_key, &info, &share.encode(), random)?;
        Ok(Self {
            witness: info.witness,
            path: info.path,
            version: info.version,
            leaf,
            manifest: document.clone(),
            payload: payload.to_vec(),
            share,
        })
    }
}

/// What an agent knows about its session and its owners when an answer arrives.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// The session's key.
    pub session: &'a SessionKey,
    /// The session's binding digest.
    pub binding: &'a [u8; 64],
    /// The owners, from measured or attested configuration.
    pub owners: &'a OwnerSet,
    /// The present instant in Unix seconds.
    pub now: i64,
}

impl Recipient<'_> {
    /// Opens a secret: the owners' signature first, then the seal, then the payload. `path` and
    /// `version` are what was asked for; version 0 accepts any.
    ///
    /// # Errors
    /// `manifest.signature` when the manifest is not the owners'; `manifest.mismatch` when the
    /// answer, the manifest, the share or the payload is of another secret; `seal.suite`,
    /// `seal.open` and `secret.open` when it does not open.
    pub fn open(
        &self,
        secret: &SealedSecret,
        path: &Path,
        version: u64,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let manifest = Manifest::believe(&secret.manifest, self.owners, version, self.now)?;
        let wanted = if version == 0 {
            manifest.version
        } else {
            version
        };
        if manifest.path != *path
            || manifest.version != wanted
            || secret.path != *path
            || secret.version != wanted
            || !manifest.witnesses.contains(&secret.witness)
        {
            return Err(Error::differs(
                "manifest.mismatch",
                format!(
                    "{} version {} from {}",
                    manifest.path, manifest.version, secret.witness
                ),
                format!("{path} version {wanted} from a witness of the manifest"),
            ));
        }
        let info = Info {
            binding: *self.binding,
            witness: secret.witness.clone(),
            path: path.clone(),
            version: wanted,
            manifest: manifest.digest(),
            leaf: secret.leaf,
        };
        let share = Share::parse(&self.session.open(&secret.share, &info)?)?;
        decrypt_secret(&manifest, &secret.payload, &share)
    }
}

fn known(suite: Suite) -> Result<(), Error> {
    if suite.is_known() {
        return Ok(());
    }
    let known: Vec<_> = Suite::ALL.iter().map(Suite::to_string).collect();
    Err(Error::differs(
        "seal.suite",
        suite.to_string(),
        known.join(" or "),
    ))
}

const fn closed(because: &'static str) -> Error {
    Error::Unproven {
        check: "seal.open",
        because,
    }
}

fn seal_with<A: Aead, K: Kdf, M: Kem>(
    public_key: &[u8],
    info: &[u8],
    plaintext: &[u8],
    random: &mut Given<'_>,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let public_key = M::PublicKey::from_bytes(public_key)
        .map_err(|_| closed("the public key is not one of its suite"))?;
    let mode = OpModeS::Base;
    hpke::single_shot_seal_with_rng::<A, K, M>(&mode, &public_key, info, plaintext, b"", random)
        .map(|(encapsulated, ciphertext)| (encapsulated.to_bytes().to_vec(), ciphertext))
        .map_err(|_| closed("nothing can be sealed to this public key"))
}

fn open<A: Aead, K: Kdf, M: Kem>(
    seed: &[u8],
    sealed: &Sealed,
    info: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let refuse = || closed("it was sealed to another key or session, or was changed");
    // A share is short; anything longer was not sealed by a witness.
    if sealed.ciphertext.len() > SHARE_BYTES_MAX.saturating_add(16) {
        return Err(refuse());
    }
    let (private_key, _) = M::derive_keypair(seed);
    let encapsulated = M::EncappedKey::from_bytes(&sealed.encapsulated).map_err(|_| refuse())?;
    let mode = OpModeR::Base;
    hpke::single_shot_open::<A, K, M>(
        &mode,
        &private_key,
        &encapsulated,
        info,
        &sealed.ciphertext,
        b"",
    )
    .map(Zeroizing::new)
    .map_err(|_| refuse())
}

/// The caller's random bytes, in the shape that `hpke` wants.
struct Given<'a>(Random<'a>);

impl TryRng for Given<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        (self.0)(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        (self.0)(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        (self.0)(out);
        Ok(())
    }
}

impl TryCryptoRng for Given<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::tests::{key, owners};
    use crate::manifest::tests::secret;

    fn info() -> Info {
        Info {
            binding: [1; 64],
            witness: Name::parse("w1").unwrap(),
            path: Path::parse("disk/root").unwrap(),
            version: 1,
            manifest: [2; 32],
            leaf: [3; 32],
        }
    }

    fn sealed_to(session: &SessionKey, info: &Info, plaintext: &[u8]) -> Sealed {
        let BoundKey::Kem { suite, public_key } = session.bound() else {
            unreachable!()
        };
        seal(suite, &public_key, info, plaintext, &mut |out| out.fill(5)).unwrap()
    }

    fn refusal() -> Error {
        closed("it was sealed to another key or session, or was changed")
    }

    #[test]
    fn every_suite_opens_what_it_sealed_and_has_the_key_length_it_says() {
        for suite in Suite::ALL {
            let session = SessionKey::from_seed(suite, [7; 32]).unwrap();
            assert_eq!(Some(session.public_key.len()), suite.public_key_bytes());
            let sealed = sealed_to(&session, &info(), b"share");
            assert_eq!(session.open(&sealed, &info()).unwrap().as_slice(), b"share");
        }
    }

    #[test]
    fn a_seal_opens_under_its_own_info_only() {
        let session = SessionKey::from_seed(Suite::X_WING, [7; 32]).unwrap();
        let sealed = sealed_to(&session, &info(), b"share");
        let changes: [&dyn Fn(&mut Info); 6] = [
            &|info| info.binding[0] ^= 1,
            &|info| info.witness = Name::parse("w2").unwrap(),
            &|info| info.path = Path::parse("disk/data").unwrap(),
            &|info| info.version = 2,
            &|info| info.manifest[0] ^= 1,
            &|info| info.leaf[0] ^= 1,
        ];
        for change in changes {
            let mut other = info();
            change(&mut other);
            assert_eq!(session.open(&sealed, &other), Err(refusal()));
        }
    }

    #[test]
    fn another_key_and_another_suite_do_not_open_it() {
        let session = SessionKey::from_seed(Suite::X25519, [7; 32]).unwrap();
        let sealed = sealed_to(&session, &info(), b"share");
        let other = SessionKey::from_seed(Suite::X25519, [8; 32]).unwrap();
        assert_eq!(other.open(&sealed, &info()), Err(refusal()));
        let other = SessionKey::from_seed(Suite::X_WING, [7; 32]).unwrap();
        assert_eq!(
            other.open(&sealed, &info()),
            Err(Error::differs(
                "seal.suite",
                Suite::X25519.to_string(),
                Suite::X_WING.to_string()
            ))
        );
        let unknown = Suite {
            kem: 0x10,
            kdf: 1,
            aead: 1,
        };
        let refusal = SessionKey::from_seed(unknown, [7; 32]).map(|_| ());
        assert_eq!(refusal.map_err(|error| error.check()), Err("seal.suite"));
    }

    fn binding(session: &SessionKey) -> Binding {
        let witness = crate::binding::Witness {
            id: Name::parse("w1").unwrap(),
            tenant: Name::parse("acme").unwrap(),
            nonce: [1; 32],
        };
        let keys = [(crate::binding::Role::Kem, session.bound())].into();
        Binding::new(vec![witness], keys, [2; 32], vec![], None).unwrap()
    }

    fn travelling(session: &SessionKey, signer: u8) -> SealedSecret {
        let made = secret(b"open sesame");
        let mut manifest = made.manifest.document(1000, 2000);
        manifest.sign(&key(signer));
        let release = Release {
            binding: &binding(session),
            leaf: [3; 32],
            manifest: &manifest,
            payload: &made.ciphertext,
            share: &made.share,
        };
        SealedSecret::seal(&release, &mut |out| out.fill(5)).unwrap()
    }

    #[test]
    fn a_secret_arrives_only_when_the_owner_signed_its_manifest() {
        let session = SessionKey::from_seed(Suite::X_WING, [7; 32]).unwrap();
        let owners = owners(1, &[("ada", 1)]);
        let recipient = Recipient {
            session: &session,
            binding: &binding(&session).digest(),
            owners: &owners,
            now: 1500,
        };
        let path = Path::parse("disk/root").unwrap();
        let good = travelling(&session, 1);
        let json = serde_json::to_string(&good).unwrap();
        let good: SealedSecret = serde_json::from_str(&json).unwrap();
        assert_eq!(
            recipient.open(&good, &path, 0).unwrap().as_slice(),
            b"open sesame"
        );
        assert_eq!(
            recipient.open(&good, &path, 1).unwrap().as_slice(),
            b"open sesame"
        );

        let refused = recipient.open(&travelling(&session, 2), &path, 0);
        assert_eq!(
            refused,
            Err(Error::differs("manifest.signature", "0 owners", "1 owners"))
        );
        let other = Path::parse("disk/data").unwrap();
        let refused = recipient
            .open(&good, &other, 0)
            .map_err(|error| error.check());
        assert_eq!(refused, Err("manifest.mismatch"));
        let refused = recipient
            .open(&good, &path, 2)
            .map_err(|error| error.check());
        assert_eq!(refused, Err("manifest.signature"));
    }

    #[test]
    fn the_session_key_does_not_print_itself() {
        let session = SessionKey::from_seed(Suite::X25519, [7; 32]).unwrap();
        assert_eq!(
            format!("{session:?}"),
            "SessionKey(X25519 (0x0020/0x0001/0x0002))"
        );
    }
}
