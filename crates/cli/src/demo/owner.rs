//! The owner's part of the demo: a key, signed documents, a secret.
//!
//! The same forms that `zeuge owner`, `zeuge apply` and `zeuge secret` write; nothing is signed by
//! anybody else.

use aws_lc_rs::rand;
use zeuge_evidence::{
    der::Der,
    x509::{self, Certificate},
};
use zeuge_protocol::{
    api::SecretUpload,
    document::{Document, Header, Kind, Owner, OwnerSet},
    keys::SigningKey,
    manifest::encrypt_secret,
    name::{Name, Path},
};
use zeuge_verify::dcap::PckExtension;

/// How long the demo's documents count, in seconds.
const DAY: i64 = 86_400;

/// Somebody with a signing key.
pub(super) struct Person {
    key: SigningKey,
    tenant: Name,
    now: i64,
}

/// Fills with random bytes of the provider's.
pub(super) fn random(bytes: &mut [u8]) -> Result<(), String> {
    rand::fill(bytes).map_err(|_| "the system gave no random bytes".to_owned())
}

impl Person {
    /// A new key for a tenant.
    pub(super) fn new(tenant: &Name, now: i64) -> Result<Self, String> {
        let mut seed = [0; 32];
        random(&mut seed)?;
        let key = SigningKey::from_seed(&seed).map_err(|error| error.to_string())?;
        Ok(Self {
            key,
            tenant: tenant.clone(),
            now,
        })
    }

    /// Whose owner it is.
    pub(super) const fn tenant(&self) -> &Name {
        &self.tenant
    }

    /// The set of this one owner.
    pub(super) fn set(&self) -> OwnerSet {
        OwnerSet {
            tenant: self.tenant.clone(),
            threshold: 1,
            author_is_not_approver: false,
            owners: vec![Owner {
                person: "demo".to_owned(),
                public_key: self.key.public(),
            }],
            carries: std::collections::BTreeSet::new(),
        }
    }

    /// A signed document, as JSON.
    pub(super) fn document(&self, kind: Kind, name: &str, text: &str) -> Result<Vec<u8>, String> {
        let header = Header {
            kind,
            tenant: self.tenant.clone(),
            name: Path::parse(name).map_err(|error| error.to_string())?,
            version: 1,
            issued: self.now,
            expires: self.now.saturating_add(DAY),
        };
        self.signed(Document::unsigned(header, text.as_bytes().to_vec()))
    }

    fn signed(&self, mut document: Document) -> Result<Vec<u8>, String> {
        document.sign(&self.key);
        serde_json::to_vec(&document).map_err(|error| error.to_string())
    }

    /// A secret, encrypted for a witness, with its manifest signed.
    pub(super) fn secret(
        &self,
        witness: &Name,
        path: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, String> {
        let path = Path::parse(path).map_err(|error| error.to_string())?;
        let mut failed = None;
        let mut fill = |bytes: &mut [u8]| failed = failed.take().or(random(bytes).err());
        let made = encrypt_secret(&self.tenant, &path, 1, witness, payload, &mut fill);
        if let Some(sentence) = failed {
            return Err(sentence);
        }
        let made = made.map_err(|error| error.to_string())?;
        let mut manifest = made
            .manifest
            .document(self.now, self.now.saturating_add(DAY));
        manifest.sign(&self.key);
        let upload = SecretUpload {
            manifest,
            payload: made.ciphertext,
            share: made.share.encode().to_vec(),
        };
        serde_json::to_vec(&upload).map_err(|error| error.to_string())
    }
}

/// The registry entry of a chip, out of the certificate that its maker gave (Milan's and Genoa's
/// layout of versions).
pub(super) fn registry(leaf: &[u8]) -> Result<String, String> {
    const PREFIX: &str = "1.3.6.1.4.1.3704.1";
    let leaf = Certificate::parse(leaf).map_err(|error| error.to_string())?;
    let value = |suffix: &str| {
        let extension = leaf.extension(&format!("{PREFIX}{suffix}"));
        extension.ok_or_else(|| format!("the certificate has no {PREFIX}{suffix}"))
    };
    let version = |suffix: &str| -> Result<u64, String> {
        let extension = value(suffix)?;
        let mut der = Der::at_offset(extension.value, extension.offset, x509::CERTIFICATE);
        der.any()
            .and_then(|element| element.u64())
            .map_err(|error| error.to_string())
    };
    let tcb = format!(
        "{:02x}{:02x}00000000{:02x}{:02x}",
        version(".3.1")?,
        version(".3.2")?,
        version(".3.3")?,
        version(".3.8")?
    );
    Ok(format!(
        "schema = \"zeuge.hardware.v1\"\n[[chip]]\nname = \"demo machine\"\nchip_id = \"{}\"\n\
         [[chip.keys]]\ntcb = \"{tcb}\"\npublic_key = \"{}\"\n",
        hex::encode(value(".4")?.value),
        hex::encode(sha256(leaf.public_key.key))
    ))
}

/// The registry entry of a platform of Intel's, out of its PCK certificate.
pub(super) fn intel_registry(leaf: &[u8]) -> Result<String, String> {
    let leaf = Certificate::parse(leaf).map_err(|error| error.to_string())?;
    let platform = PckExtension::of(&leaf).map_err(|error| error.to_string())?;
    Ok(format!(
        "schema = \"zeuge.hardware.v1\"\n[[intel]]\nname = \"demo machine\"\nppid = \"{}\"\n\
         [[intel.keys]]\ncpu_svn = \"{}\"\npce_svn = {}\npublic_key = \"{}\"\n",
        hex::encode(platform.ppid),
        hex::encode(platform.tcb.cpu_svn),
        platform.tcb.pce_svn,
        hex::encode(sha256(leaf.public_key.key))
    ))
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
        .as_ref()
        .to_vec()
}
