//! Secrets at rest: an owner-signed manifest, the encrypted payload, and the share that a witness
//! keeps (DESIGN §5.3, §5.7).
//!
//! A random scalar is the share; KEK = HKDF-SHA256(scalar, manifest context) encrypts the payload
//! with AES-256-GCM. Until k of n exists, k = n = 1, the commitments are empty, the one share is
//! the scalar, and no curve is needed: the scalar is 32 random bytes reduced below 2^252, hence
//! canonical for ristretto255 when shares arrive. Other k or n are refused by name.
//! Never sees a policy; never prints a scalar, a KEK or a payload.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::cbor::Value;
use crate::document::{Document, Header, Kind, OwnerSet};
use crate::name::{Name, Path};
use crate::{Error, Random};

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "manifest.malformed",
    "manifest.mismatch",
    "manifest.quorum",
    "manifest.signature",
    "secret.open",
];

/// The longest secret in bytes: a key, a certificate chain, a configuration; images are not
/// secrets.
pub const SECRET_BYTES_MAX: usize = 1024 * 1024;
/// The longest manifest in bytes: 16 witness ids of 253 bytes and 16 commitments are under 5 KiB.
pub const MANIFEST_BYTES_MAX: usize = 8 * 1024;
/// The longest share encoding in bytes: three names, three numbers, 32 bytes.
pub const SHARE_BYTES_MAX: usize = 1024;

const NONCE_BYTES: usize = 12;

/// What a secret is, without the secret. Signed by the owners as a [`Document`] whose name and
/// version are the secret's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Whose secret it is.
    pub tenant: Name,
    /// Its path.
    pub path: Path,
    /// Its version, from 1.
    pub version: u64,
    /// The generation of its shares; refreshing counts up, generations never mix.
    pub generation: u64,
    /// SHA-256 of the encrypted payload.
    pub ciphertext: [u8; 32],
    /// How many shares open it.
    pub k: u8,
    /// How many shares there are.
    pub n: u8,
    /// The witnesses that hold shares, in order of index from 1.
    pub witnesses: Vec<Name>,
    /// Pedersen commitments; empty while k = n = 1.
    pub commitments: Vec<[u8; 32]>,
}

/// What one witness keeps of one secret. Its `Debug` leaves the value out.
#[derive(Clone)]
pub struct Share {
    /// The tenant of the secret.
    pub tenant: Name,
    /// The path of the secret.
    pub path: Path,
    /// The version of the secret.
    pub version: u64,
    /// The generation of the shares.
    pub generation: u64,
    /// Which share this is, from 1.
    pub index: u8,
    /// The witness that keeps it.
    pub witness: Name,
    value: Box<Zeroizing<[u8; 32]>>,
}

impl fmt::Debug for Share {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Share({}/{} version {} generation {} index {} of {})",
            self.tenant, self.path, self.version, self.generation, self.index, self.witness
        )
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.encode().ct_eq(&other.encode()).into()
    }
}

impl Eq for Share {}

impl Manifest {
    fn check(&self) -> Result<(), Error> {
        if (self.k, self.n) != (1, 1) || self.witnesses.len() != 1 || !self.commitments.is_empty() {
            return Err(Error::differs(
                "manifest.quorum",
                format!(
                    "{} of {} at {} witnesses with {} commitments",
                    self.k,
                    self.n,
                    self.witnesses.len(),
                    self.commitments.len()
                ),
                "1 of 1 at one witness without commitments; splitting is not in this version",
            ));
        }
        if self.version == 0 {
            return Err(Error::malformed(
                "manifest.malformed",
                0,
                "versions start at 1",
            ));
        }
        Ok(())
    }

    /// The deterministic encoding: the payload of the owners' document.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut map = self.fields();
        map.push((9, Value::bytes(&self.ciphertext)));
        Value::map(map).encode()
    }

    /// The encoding without the ciphertext's hash, which cannot be known before encryption.
    fn context(&self) -> Vec<u8> {
        let label = Value::text("zeuge-secret-v1");
        Value::Array(vec![label, Value::map(self.fields())]).encode()
    }

    fn fields(&self) -> Vec<(i64, Value)> {
        let witnesses = self.witnesses.iter().map(|name| Value::text(name.as_str()));
        let commitments = self.commitments.iter().map(|point| Value::bytes(point));
        vec![
            (1, Value::text(self.tenant.as_str())),
            (2, Value::text(self.path.as_str())),
            (3, Value::count(self.version)),
            (4, Value::count(self.generation)),
            (5, Value::Integer(i64::from(self.k))),
            (6, Value::Integer(i64::from(self.n))),
            (7, Value::Array(witnesses.collect())),
            (8, Value::Array(commitments.collect())),
        ]
    }

    /// Reads an encoding.
    ///
    /// # Errors
    /// `manifest.malformed` for anything but the deterministic form; `manifest.quorum` for a
    /// split that this version does not know.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const ID: &str = "manifest.malformed";
        let value = Value::parse(bytes, MANIFEST_BYTES_MAX, ID)?;
        let manifest = Self::from_value(&value).ok_or_else(|| {
            Error::malformed(ID, 0, "a field is missing, unknown or of another type")
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let map = value.as_map()?;
        (map.len() == 9).then_some(())?;
        let small = |key: i64| u8::try_from(map.get(&key.into())?.as_integer()?).ok();
        let witnesses = map.get(&7.into())?.as_items()?.iter();
        let commitments = map.get(&8.into())?.as_items()?.iter();
        Some(Self {
            tenant: Name::parse(map.get(&1.into())?.as_text()?).ok()?,
            path: Path::parse(map.get(&2.into())?.as_text()?).ok()?,
            version: map.get(&3.into())?.as_count()?,
            generation: map.get(&4.into())?.as_count()?,
            k: small(5)?,
            n: small(6)?,
            witnesses: witnesses
                .map(|name| Name::parse(name.as_text()?).ok())
                .collect::<Option<_>>()?,
            commitments: commitments.map(Value::as_array_of).collect::<Option<_>>()?,
            ciphertext: map.get(&9.into())?.as_array_of()?,
        })
    }

    /// SHA-256 of the encoding: the digest that the seal's info names.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    /// The document that the owners sign.
    #[must_use]
    pub fn document(&self, issued: i64, expires: i64) -> Document {
        let header = Header {
            kind: Kind::SecretManifest,
            tenant: self.tenant.clone(),
            name: self.path.clone(),
            version: self.version,
            issued,
            expires,
        };
        Document::unsigned(header, self.encode())
    }

    /// Believes a manifest that the owners signed. `floor` is the lowest version that counts.
    ///
    /// # Errors
    /// `manifest.signature` when the document is not the owners' or not in force;
    /// `manifest.mismatch` when header and manifest name different secrets; those of
    /// [`Manifest::parse`].
    pub fn believe(
        document: &Document,
        owners: &OwnerSet,
        floor: u64,
        now: i64,
    ) -> Result<Self, Error> {
        let approved = document
            .verify(owners, Kind::SecretManifest, floor, now)
            .map_err(|refusal| refusal.under("manifest.signature"))?;
        let manifest = Self::parse(approved.payload())?;
        let header = approved.header();
        if header.tenant != manifest.tenant
            || header.name != manifest.path
            || header.version != manifest.version
        {
            return Err(Error::differs(
                "manifest.mismatch",
                manifest.title(),
                format!(
                    "{}/{} version {}",
                    header.tenant, header.name, header.version
                ),
            ));
        }
        Ok(manifest)
    }

    fn title(&self) -> String {
        format!("{}/{} version {}", self.tenant, self.path, self.version)
    }
}

impl Share {
    /// The share as it is sealed to an agent or stored by a witness. Secret.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let map = Value::map([
            (1, Value::text(self.tenant.as_str())),
            (2, Value::text(self.path.as_str())),
            (3, Value::count(self.version)),
            (4, Value::count(self.generation)),
            (5, Value::Integer(i64::from(self.index))),
            (6, Value::text(self.witness.as_str())),
            (7, Value::bytes(self.value.as_slice())),
        ]);
        // The value has the last key, so nothing is written after it and no growing buffer leaves
        // a copy of it behind.
        let encoded = Zeroizing::new(map.encode());
        wipe(map);
        encoded
    }

    /// Reads a share.
    ///
    /// # Errors
    /// `manifest.malformed` for anything but its deterministic form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const ID: &str = "manifest.malformed";
        let value = Value::parse(bytes, SHARE_BYTES_MAX, ID)?;
        let share = Self::from_value(&value);
        wipe(value);
        share.ok_or_else(|| Error::malformed(ID, 0, "it is not a share"))
    }

    /// The value in its place: a share that is moved must leave no copy on a stack.
    fn value(bytes: &[u8]) -> Option<Box<Zeroizing<[u8; 32]>>> {
        let mut value = Box::new(Zeroizing::new([0; 32]));
        (bytes.len() == value.len()).then(|| value.copy_from_slice(bytes))?;
        Some(value)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let map = value.as_map()?;
        (map.len() == 7).then_some(())?;
        Some(Self {
            tenant: Name::parse(map.get(&1.into())?.as_text()?).ok()?,
            path: Path::parse(map.get(&2.into())?.as_text()?).ok()?,
            version: map.get(&3.into())?.as_count()?,
            generation: map.get(&4.into())?.as_count()?,
            index: u8::try_from(map.get(&5.into())?.as_integer()?).ok()?,
            witness: Name::parse(map.get(&6.into())?.as_text()?).ok()?,
            value: Self::value(map.get(&7.into())?.as_bytes()?)?,
        })
    }

    /// Whether the share is one of this manifest's.
    ///
    /// # Errors
    /// `manifest.mismatch` when it names another secret, version, generation or witness.
    pub fn belongs_to(&self, manifest: &Manifest) -> Result<(), Error> {
        let index = usize::from(self.index).checked_sub(1);
        let witness = index.and_then(|index| manifest.witnesses.get(index));
        if self.tenant == manifest.tenant
            && self.path == manifest.path
            && self.version == manifest.version
            && self.generation == manifest.generation
            && witness == Some(&self.witness)
        {
            return Ok(());
        }
        Err(Error::differs(
            "manifest.mismatch",
            format!("{self:?}"),
            format!(
                "a share of {} generation {}",
                manifest.title(),
                manifest.generation
            ),
        ))
    }
}

/// Overwrites the byte strings of a value that held a share.
fn wipe(value: Value) {
    if let Value::Map(map) = value {
        for (_, entry) in map {
            if let Value::Bytes(bytes) = entry {
                drop(Zeroizing::new(bytes));
            }
        }
    }
}

/// A secret made ready to be stored: what is public, what is encrypted, what the witness keeps.
#[derive(Debug)]
pub struct EncryptedSecret {
    /// The manifest; the owners sign [`Manifest::document`].
    pub manifest: Manifest,
    /// The encrypted payload: nonce (12) ‖ ciphertext ‖ tag (16).
    pub ciphertext: Vec<u8>,
    /// The share for the one witness. Secret.
    pub share: Share,
}

/// Encrypts a secret under a fresh scalar for one witness.
///
/// # Errors
/// `secret.open` when the payload is longer than [`SECRET_BYTES_MAX`] or the provider fails;
/// `manifest.malformed` for version 0.
pub fn encrypt_secret(
    tenant: &Name,
    path: &Path,
    version: u64,
    witness: &Name,
    payload: &[u8],
    random: Random<'_>,
) -> Result<EncryptedSecret, Error> {
    if payload.len() > SECRET_BYTES_MAX {
        return Err(failed("the payload is longer than 1 MiB"));
    }
    let mut scalar = Box::new(Zeroizing::new([0; 32]));
    random(scalar.as_mut_slice());
    // Little-endian below 2^252, which is below the order of ristretto255: canonical, and the
    // lost part of the range is a fraction of 2^-127.
    if let Some(top) = scalar.last_mut() {
        *top &= 0x0f;
    }
    let mut manifest = Manifest {
        tenant: tenant.clone(),
        path: path.clone(),
        version,
        generation: 1,
        ciphertext: [0; 32],
        k: 1,
        n: 1,
        witnesses: vec![witness.clone()],
        commitments: Vec::new(),
    };
    manifest.check()?;
    let mut nonce = [0; NONCE_BYTES];
    random(&mut nonce);
    let context = manifest.context();
    // Room for the tag beforehand: growing the vector would leave a copy of the payload behind.
    let mut body = Zeroizing::new(Vec::with_capacity(payload.len().saturating_add(16)));
    body.extend_from_slice(payload);
    kek(&scalar, &context)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(&context),
            &mut *body,
        )
        .map_err(|_| failed("the provider could not encrypt"))?;
    let ciphertext = [&nonce[..], body.as_slice()].concat();
    manifest.ciphertext = Sha256::digest(&ciphertext).into();
    let share = Share {
        tenant: tenant.clone(),
        path: path.clone(),
        version,
        generation: 1,
        index: 1,
        witness: witness.clone(),
        value: scalar,
    };
    Ok(EncryptedSecret {
        manifest,
        ciphertext,
        share,
    })
}

/// Decrypts a secret with the one share of a believed manifest.
///
/// # Errors
/// `manifest.mismatch` when the ciphertext or the share is not the manifest's; `secret.open` when
/// decryption fails.
pub fn decrypt_secret(
    manifest: &Manifest,
    ciphertext: &[u8],
    share: &Share,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let found: [u8; 32] = Sha256::digest(ciphertext).into();
    if found != manifest.ciphertext {
        return Err(Error::differs(
            "manifest.mismatch",
            hex::encode(found),
            hex::encode(manifest.ciphertext),
        ));
    }
    share.belongs_to(manifest)?;
    let (nonce, body) = ciphertext
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or_else(|| failed("the ciphertext is too short"))?;
    let context = manifest.context();
    let mut body = Zeroizing::new(body.to_vec());
    let length = kek(&share.value, &context)?
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(&context),
            &mut body,
        )
        .map_err(|_| failed("the share does not open the ciphertext"))?
        .len();
    body.truncate(length);
    Ok(body)
}

const fn failed(because: &'static str) -> Error {
    Error::Unproven {
        check: "secret.open",
        because,
    }
}

fn kek(scalar: &[u8; 32], context: &[u8]) -> Result<LessSafeKey, Error> {
    let mut key = Zeroizing::new([0; 32]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, b"zeuge-kek-v1")
        .extract(scalar)
        .expand(&[context], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(key.as_mut_slice()))
        .and_then(|()| UnboundKey::new(&AES_256_GCM, key.as_slice()))
        .map(LessSafeKey::new)
        .map_err(|_| failed("the provider could not derive the key"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::document::tests::{key, owners};
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    pub(crate) fn secret(payload: &[u8]) -> EncryptedSecret {
        let path = Path::parse("disk/root").unwrap();
        encrypt_secret(&name("acme"), &path, 1, &name("w1"), payload, &mut |out| {
            out.fill(0xff);
        })
        .unwrap()
    }

    #[test]
    fn the_scalar_is_below_the_group_order() {
        let secret = secret(b"x");
        assert_eq!(secret.share.value[31], 0x0f);
        assert_eq!(secret.share.value[..31], [0xff; 31]);
    }

    #[test]
    fn a_secret_opens_with_its_own_share_only() {
        let made = secret(b"open sesame");
        let opened = decrypt_secret(&made.manifest, &made.ciphertext, &made.share).unwrap();
        assert_eq!(opened.as_slice(), b"open sesame");

        let mut other = made.share.clone();
        other.value[0] ^= 1;
        assert_eq!(
            decrypt_secret(&made.manifest, &made.ciphertext, &other),
            Err(failed("the share does not open the ciphertext"))
        );
        let mut other = made.share.clone();
        other.generation = 2;
        let refusal = decrypt_secret(&made.manifest, &made.ciphertext, &other);
        assert_eq!(
            refusal.map_err(|error| error.check()),
            Err("manifest.mismatch")
        );
        let refusal = decrypt_secret(&made.manifest, b"other", &made.share);
        assert_eq!(
            refusal.map_err(|error| error.check()),
            Err("manifest.mismatch")
        );
    }

    #[test]
    fn a_manifest_counts_with_the_owners_signature_only() {
        let made = secret(b"x").manifest;
        let set = owners(1, &[("ada", 1)]);
        let mut document = made.document(1000, 2000);
        let refusal = Manifest::believe(&document, &set, 1, 1500);
        assert_eq!(
            refusal,
            Err(Error::differs("manifest.signature", "0 owners", "1 owners"))
        );
        document.sign(&key(1));
        assert_eq!(Manifest::believe(&document, &set, 1, 1500), Ok(made));
        document.header.version = 2;
        let refusal = Manifest::believe(&document, &set, 1, 1500);
        assert_eq!(
            refusal.map_err(|error| error.check()),
            Err("manifest.signature")
        );
    }

    #[test]
    fn a_header_that_names_another_secret_is_refused_though_signed() {
        let made = secret(b"x").manifest;
        let mut document = made.document(1000, 2000);
        document.header.version = 2;
        document.sign(&key(1));
        assert_eq!(
            Manifest::believe(&document, &owners(1, &[("ada", 1)]), 1, 1500),
            Err(Error::differs(
                "manifest.mismatch",
                "acme/disk/root version 1",
                "acme/disk/root version 2"
            ))
        );
    }

    #[test]
    fn two_of_three_is_refused_by_name() {
        let mut made = secret(b"x").manifest;
        made.k = 2;
        made.n = 3;
        let refusal = Manifest::parse(&made.encode());
        assert_eq!(
            refusal.map_err(|error| error.check()),
            Err("manifest.quorum")
        );
    }

    #[test]
    fn a_share_does_not_print_its_value_and_survives_its_encoding() {
        let share = secret(b"x").share;
        assert_eq!(
            format!("{share:?}"),
            "Share(acme/disk/root version 1 generation 1 index 1 of w1)"
        );
        assert_eq!(Share::parse(&share.encode()), Ok(share));
    }

    proptest! {
        #[test]
        fn payloads_of_any_size_come_back(payload in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let made = secret(&payload);
            let opened = decrypt_secret(&made.manifest, &made.ciphertext, &made.share).unwrap();
            prop_assert_eq!(opened.as_slice(), &payload[..]);
            prop_assert_eq!(Manifest::parse(&made.manifest.encode()), Ok(made.manifest));
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Manifest::parse(&bytes));
            drop(Share::parse(&bytes));
        }
    }
}
