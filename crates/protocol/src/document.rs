//! Owner-signed documents (DESIGN §5.4): a header, the payload's bytes, and signatures over both.
//!
//! Signatures are over a canonical encoding of header and *received* payload bytes; the payload
//! is not parsed before they hold. Never reads a payload's meaning; never loosens: an older
//! version, an expired document or too few owners are refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::cbor::Value;
use crate::challenge::SKEW_SECS_MAX;
use crate::keys::{KeyId, PublicKey, SigningKey};
use crate::name::{Name, Path};
use crate::text;

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "document.approver",
    "document.expired",
    "document.kind",
    "document.malformed",
    "document.signature",
    "document.threshold",
    "document.version",
];

/// The longest document in bytes of JSON: a hardware registry of ten thousand chips.
pub const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many owner keys one set may hold: a board, its deputies and their spare keys.
pub const OWNER_KEYS_MAX: usize = 32;

/// Documents that one set may carry over: as many as a tenant may have.
const CARRIED_MAX: usize = 10_000;

const LABEL: &str = "zeuge-document-v1";

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Which chips are enrolled.
    HardwareRegistry,
    /// Who the owners are and how many must sign.
    OwnerSet,
    /// Appraisal policy.
    Policy,
    /// Known measurements.
    ReferenceValues,
    /// Who may get which secret.
    ReleaseRule,
    /// What a secret is, without the secret.
    SecretManifest,
    /// What is known about attacks.
    ThreatKnowledge,
}

impl Kind {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HardwareRegistry => "hardware-registry",
            Self::OwnerSet => "owner-set",
            Self::Policy => "policy",
            Self::ReferenceValues => "reference-values",
            Self::ReleaseRule => "release-rule",
            Self::SecretManifest => "secret-manifest",
            Self::ThreatKnowledge => "threat-knowledge",
        }
    }
}

/// What is signed beside the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// What the document is about.
    pub kind: Kind,
    /// Whose it is.
    pub tenant: Name,
    /// Which of its kind, inside the tenant.
    pub name: Path,
    /// Counts up with every change, from 1.
    pub version: u64,
    /// When it was written, in Unix seconds.
    pub issued: i64,
    /// The first instant at which it no longer counts, in Unix seconds.
    pub expires: i64,
}

/// One owner's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The name of the key.
    pub key: KeyId,
    /// Ed25519, 64 bytes.
    #[serde(with = "text::b64_array")]
    pub signature: [u8; 64],
}

/// A document as it travels; believed by nobody before [`Document::verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What is signed beside the payload.
    pub header: Header,
    /// The payload, as bytes.
    #[serde(with = "text::b64")]
    pub payload: Vec<u8>,
    /// The signatures; the first is the author's.
    pub signatures: Vec<Signature>,
}

/// One owner key and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// The person or role that holds the key; two keys of one person count as one person.
    pub person: String,
    /// The public key.
    pub public_key: PublicKey,
}

/// Who the owners of a tenant are. It comes from measured or attested configuration, or from a
/// document of kind owner-set that the set before it signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerSet {
    /// The tenant.
    pub tenant: Name,
    /// How many of the keys must sign, at least 1.
    pub threshold: u8,
    /// Whether somebody else than the author must have signed too.
    #[serde(default)]
    pub author_is_not_approver: bool,
    /// The keys.
    pub owners: Vec<Owner>,
    /// Digests (SHA-256 in lower-case hex, see [`Document::digest`]) of documents of former owners
    /// that these vouch for: they stay in force until they expire or are replaced.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub carries: BTreeSet<String>,
}

/// A document whose signatures, version and expiry have held. Made by [`Document::verify`] alone.
#[derive(Debug, Clone, Copy)]
pub struct Approved<'a> {
    header: &'a Header,
    payload: &'a [u8],
}

impl<'a> Approved<'a> {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &'a Header {
        self.header
    }

    /// The payload's bytes, as signed.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

impl OwnerSet {
    /// Whether the set can sign at all.
    ///
    /// # Errors
    /// `document.threshold` when the threshold is 0 or above the number of distinct keys, there
    /// are more than [`OWNER_KEYS_MAX`] keys, or two people are demanded of a set of one.
    pub fn check(&self) -> Result<(), Error> {
        let keys: BTreeSet<_> = self
            .owners
            .iter()
            .map(|owner| owner.public_key.id())
            .collect();
        let people: BTreeSet<_> = self.owners.iter().map(|owner| &owner.person).collect();
        let threshold = usize::from(self.threshold);
        if threshold == 0
            || threshold > keys.len()
            || keys.len() != self.owners.len()
            || keys.len() > OWNER_KEYS_MAX
            || (self.author_is_not_approver && people.len() < 2)
        {
            return Err(Error::differs(
                "document.threshold",
                format!("{threshold} of {} distinct keys", keys.len()),
                "a threshold of 1 to the number of keys, at most 32 keys, each once, and two \
                 people where the author may not approve",
            ));
        }
        let is_digest = |text: &String| text.len() == 64 && is_lower_hex(text);
        if self.carries.len() > CARRIED_MAX || !self.carries.iter().all(is_digest) {
            return Err(Error::differs(
                "document.malformed",
                format!("{} carried documents", self.carries.len()),
                "at most 10000 SHA-256 digests in lower-case hex",
            ));
        }
        Ok(())
    }

    /// Whether these owners vouch for a document that they need not have signed. Never for an
    /// owner set: whom the former owners meant to follow them is settled.
    fn vouches_for(&self, document: &Document) -> bool {
        document.header.kind != Kind::OwnerSet
            && !self.carries.is_empty()
            && self.carries.contains(&hex::encode(document.digest()))
    }

    fn owner(&self, key: &KeyId) -> Option<&Owner> {
        self.owners
            .iter()
            .find(|owner| owner.public_key.id() == *key)
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Document {
    /// A document without signatures.
    #[must_use]
    pub const fn unsigned(header: Header, payload: Vec<u8>) -> Self {
        Self {
            header,
            payload,
            signatures: Vec::new(),
        }
    }

    /// Reads a document from JSON.
    ///
    /// # Errors
    /// `document.malformed` when it is longer than [`DOCUMENT_BYTES_MAX`], not this JSON, or
    /// carries more signatures than there can be owners.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        const ID: &str = "document.malformed";
        if json.len() > DOCUMENT_BYTES_MAX {
            return Err(Error::malformed(
                ID,
                DOCUMENT_BYTES_MAX,
                "it is longer than 8 MiB",
            ));
        }
        let document: Self = serde_json::from_slice(json)
            .map_err(|_| Error::malformed(ID, 0, "it is not a document in JSON"))?;
        if document.signatures.len() > OWNER_KEYS_MAX {
            return Err(Error::malformed(ID, 0, "it carries too many signatures"));
        }
        Ok(document)
    }

    /// What the signatures are over: deterministic CBOR of
    /// `["zeuge-document-v1", kind, tenant, name, version, issued, expires, payload]`.
    #[must_use]
    pub fn signing_input(&self) -> Vec<u8> {
        let header = &self.header;
        Value::Array(vec![
            Value::text(LABEL),
            Value::text(header.kind.as_str()),
            Value::text(header.tenant.as_str()),
            Value::text(header.name.as_str()),
            Value::count(header.version),
            Value::Integer(header.issued),
            Value::Integer(header.expires),
            Value::bytes(&self.payload),
        ])
        .encode()
    }

    /// SHA-256 of [`Self::signing_input`]: names header and payload, not who signed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.signing_input()).into()
    }

    /// Adds an owner's signature; the first signer is the author.
    pub fn sign(&mut self, key: &SigningKey) {
        let signature = key.sign(&self.signing_input());
        self.signatures.push(Signature {
            key: key.public().id(),
            signature,
        });
    }

    /// Believes the document if the owners signed it, or vouch for it, and it is in force.
    ///
    /// `floor` is the lowest version that still counts: the version held, or one above it when
    /// the document is to replace the one held.
    ///
    /// # Errors
    /// In this order: `document.kind` when it is of another kind or tenant; `document.threshold`
    /// for an owner set that cannot sign; `document.signature` when a signature of an owner does
    /// not hold or stands twice; `document.threshold` when fewer owners signed than demanded;
    /// `document.approver` when only the author signed and somebody else must;
    /// `document.version` below `floor`; `document.expired` outside its time.
    /// Signatures of strangers are not counted.
    pub fn verify(
        &self,
        owners: &OwnerSet,
        kind: Kind,
        floor: u64,
        now: i64,
    ) -> Result<Approved<'_>, Error> {
        let header = &self.header;
        if header.kind != kind || header.tenant != owners.tenant {
            return Err(Error::differs(
                "document.kind",
                format!("{} of {}", header.kind.as_str(), header.tenant),
                format!("{} of {}", kind.as_str(), owners.tenant),
            ));
        }
        owners.check()?;
        if !owners.vouches_for(self) {
            self.signed_by(owners)?;
        }
        if header.version < floor || header.version == 0 || i64::try_from(header.version).is_err() {
            return Err(Error::differs(
                "document.version",
                header.version.to_string(),
                format!("at least {}", floor.max(1)),
            ));
        }
        if now >= header.expires || now < header.issued.saturating_sub(SKEW_SECS_MAX) {
            return Err(Error::differs(
                "document.expired",
                format!("{now} (now)"),
                format!("from {} to before {}", header.issued, header.expires),
            ));
        }
        Ok(Approved {
            header,
            payload: &self.payload,
        })
    }

    fn signed_by(&self, owners: &OwnerSet) -> Result<(), Error> {
        let message = self.signing_input();
        let mut keys = BTreeSet::new();
        let mut people = BTreeSet::new();
        for signature in &self.signatures {
            let Some(owner) = owners.owner(&signature.key) else {
                continue;
            };
            if !owner.public_key.verifies(&message, &signature.signature)
                || !keys.insert(signature.key)
            {
                return Err(Error::Unproven {
                    check: "document.signature",
                    because: "a signature in an owner's name does not hold, or stands twice",
                });
            }
            people.insert(&owner.person);
        }
        if keys.len() < usize::from(owners.threshold) {
            return Err(Error::differs(
                "document.threshold",
                format!("{} owners", keys.len()),
                format!("{} owners", owners.threshold),
            ));
        }
        if owners.author_is_not_approver && people.len() < 2 {
            return Err(Error::differs(
                "document.approver",
                "one person",
                "two people",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    pub(crate) fn owners(threshold: u8, seeds: &[(&str, u8)]) -> OwnerSet {
        OwnerSet {
            tenant: Name::parse("acme").unwrap(),
            threshold,
            author_is_not_approver: false,
            owners: seeds
                .iter()
                .map(|(person, seed)| Owner {
                    person: (*person).to_owned(),
                    public_key: key(*seed).public(),
                })
                .collect(),
            carries: BTreeSet::new(),
        }
    }

    fn document(signers: &[u8]) -> Document {
        let header = Header {
            kind: Kind::Policy,
            tenant: Name::parse("acme").unwrap(),
            name: Path::parse("default").unwrap(),
            version: 3,
            issued: 1000,
            expires: 2000,
        };
        let mut document = Document::unsigned(header, b"debug = false".to_vec());
        for seed in signers {
            document.sign(&key(*seed));
        }
        document
    }

    fn verify(document: &Document, owners: &OwnerSet) -> Result<Vec<u8>, Error> {
        document
            .verify(owners, Kind::Policy, 3, 1500)
            .map(|approved| approved.payload().to_vec())
    }

    #[test]
    fn new_owners_keep_what_they_vouch_for_in_force_and_nothing_else() {
        let old = owners(1, &[("ada", 1)]);
        let mut new = owners(1, &[("eve", 9)]);
        let (kept, mut dropped) = (document(&[1]), document(&[]));
        dropped.header.version = 4;
        dropped.sign(&key(1));
        new.carries.insert(hex::encode(kept.digest()));
        let verify = |document: &Document, owners: &OwnerSet, now| {
            let verified = document.verify(owners, document.header.kind, 1, now);
            verified.map(|_| ()).map_err(|error| error.check())
        };
        let now = kept.header.issued;
        assert_eq!(verify(&kept, &old, now), Ok(()));
        assert_eq!(verify(&kept, &new, now), Ok(()));
        assert_eq!(verify(&dropped, &new, now), Err("document.threshold"));
        assert_eq!(
            verify(&kept, &new, kept.header.expires),
            Err("document.expired")
        );
        // One byte of it, and it is another document.
        let mut changed = kept.clone();
        changed.payload.push(b' ');
        assert_eq!(verify(&changed, &new, now), Err("document.threshold"));
        // Nobody vouches for another succession.
        let mut succession = kept;
        succession.header.kind = Kind::OwnerSet;
        new.carries.insert(hex::encode(succession.digest()));
        assert_eq!(verify(&succession, &new, now), Err("document.threshold"));
        new.carries.insert("short".to_owned());
        assert_eq!(
            new.check().map_err(|error| error.check()),
            Err("document.malformed")
        );
    }

    #[test]
    fn a_document_counts_once_enough_owners_signed() {
        let owners = owners(2, &[("ada", 1), ("bob", 2), ("cy", 3)]);
        assert_eq!(
            verify(&document(&[1, 3]), &owners),
            Ok(b"debug = false".to_vec())
        );
        let few = Error::differs("document.threshold", "1 owners", "2 owners");
        assert_eq!(verify(&document(&[1]), &owners), Err(few.clone()));
        assert_eq!(verify(&document(&[1, 9]), &owners), Err(few));
    }

    #[test]
    fn one_owner_who_signs_twice_is_refused() {
        let owners = owners(2, &[("ada", 1), ("bob", 2)]);
        assert_eq!(
            verify(&document(&[1, 1]), &owners),
            Err(Error::Unproven {
                check: "document.signature",
                because: "a signature in an owner's name does not hold, or stands twice",
            })
        );
    }

    #[test]
    fn an_author_with_two_keys_does_not_approve_himself() {
        let mut owners = owners(2, &[("ada", 1), ("ada", 2), ("bob", 3)]);
        owners.author_is_not_approver = true;
        assert_eq!(
            verify(&document(&[1, 2]), &owners),
            Err(Error::differs(
                "document.approver",
                "one person",
                "two people"
            ))
        );
        assert!(verify(&document(&[1, 3]), &owners).is_ok());
    }

    #[test]
    fn every_signed_field_is_under_the_signature() {
        let owners = owners(1, &[("ada", 1)]);
        let changes: [&dyn Fn(&mut Document); 5] = [
            &|document| document.payload.push(b' '),
            &|document| document.header.version = 4,
            &|document| document.header.expires = 3000,
            &|document| document.header.issued = 999,
            &|document| document.header.name = Path::parse("other").unwrap(),
        ];
        for change in changes {
            let mut changed = document(&[1]);
            change(&mut changed);
            let refusal = verify(&changed, &owners).map_err(|error| error.check());
            assert_eq!(refusal, Err("document.signature"));
        }
    }

    #[test]
    fn an_old_expired_or_foreign_document_is_refused_by_its_own_check() {
        let owners = owners(1, &[("ada", 1)]);
        let document = document(&[1]);
        let refusal = |kind, floor, now| {
            document
                .verify(&owners, kind, floor, now)
                .map(|_| ())
                .unwrap_err()
        };
        assert_eq!(
            refusal(Kind::Policy, 4, 1500),
            Error::differs("document.version", "3", "at least 4")
        );
        assert_eq!(
            refusal(Kind::Policy, 3, 2000),
            Error::differs("document.expired", "2000 (now)", "from 1000 to before 2000")
        );
        assert_eq!(
            refusal(Kind::Policy, 3, 969),
            Error::differs("document.expired", "969 (now)", "from 1000 to before 2000")
        );
        assert_eq!(
            refusal(Kind::ReleaseRule, 3, 1500),
            Error::differs("document.kind", "policy of acme", "release-rule of acme")
        );
    }

    #[test]
    fn a_set_with_a_threshold_of_zero_signs_nothing() {
        let refusal = verify(&document(&[1]), &owners(0, &[("ada", 1)]));
        assert_eq!(
            refusal.map_err(|error| error.check()),
            Err("document.threshold")
        );
        let refusal = verify(&document(&[1]), &owners(2, &[("ada", 1), ("bob", 1)]));
        assert_eq!(
            refusal.map_err(|error| error.check()),
            Err("document.threshold")
        );
    }

    #[test]
    fn a_document_survives_its_json() {
        let document = document(&[1, 2]);
        let json = serde_json::to_vec(&document).unwrap();
        assert_eq!(Document::parse(&json), Ok(document));
        assert_eq!(
            Document::parse(b"{}"),
            Err(Error::malformed(
                "document.malformed",
                0,
                "it is not a document in JSON"
            ))
        );
    }

    proptest! {
        #[test]
        fn damaged_json_never_counts_and_never_panics(at in 0_usize..600, to in any::<u8>()) {
            let original = document(&[1]);
            let mut json = serde_json::to_vec(&original).unwrap();
            let at = at % json.len();
            json[at] = to;
            if let Ok(damaged) = Document::parse(&json) {
                let believed = damaged.verify(&owners(1, &[("ada", 1)]), Kind::Policy, 3, 1500);
                prop_assert!(believed.is_err() || damaged == original);
            }
        }
    }
}
