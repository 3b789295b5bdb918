//! Secrets as the witness keeps them: the owners' manifest, the encrypted payload, and its share,
//! sealed under the key for secrets at rest.
//!
//! Takes only what the owners signed and what fits together. Never opens a payload: the share is
//! opened for one release at a time and wiped.

use zeroize::Zeroizing;
use zeuge_log::hash::sha256;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::api::SecretUpload;
use zeuge_protocol::document::{Document, OwnerSet};
use zeuge_protocol::manifest::{Manifest, SECRET_BYTES_MAX, Share};
use zeuge_protocol::name::Name;

use crate::keys::Keys;
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;

/// The ids of this file.
pub const CHECKS: &[&str] = &["manifest.witness"];
/// The longest upload in bytes: payload in base64 inside JSON, and room for the manifest.
pub const UPLOAD_BYTES_MAX: usize = SECRET_BYTES_MAX / 3 * 4 + 64 * 1024;

/// A secret as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// The tenant.
    pub tenant: String,
    /// The path.
    pub path: String,
    /// The version.
    pub version: i64,
    /// The owners' manifest, a document in JSON.
    pub manifest: Vec<u8>,
    /// The encrypted payload.
    pub payload: Vec<u8>,
    /// The share, sealed by [`Keys::seal`].
    pub share: Vec<u8>,
}

impl std::fmt::Debug for SecretRow {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "SecretRow({}/{} version {})",
            self.tenant, self.path, self.version
        )
    }
}

/// Where secrets stay. Writes are durable when they return, are one transaction with their leaf,
/// and start a new epoch; a deleted secret's bytes are overwritten and its versions never return.
pub trait Vault: Send + Sync {
    /// Keeps a secret whose version is above every one that its path ever had.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`; `document.version`.
    fn put_secret(&self, secret: &SecretRow, leaf: &NewLeaf, now: i64) -> Result<(), Refusal>;
    /// One version, or with 0 the newest.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn secret(&self, tenant: &str, path: &str, version: u64) -> Result<Option<SecretRow>, Refusal>;
    /// Paths, versions and manifests (documents in JSON).
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn secrets(&self, tenant: &str) -> Result<Vec<(String, i64, Vec<u8>)>, Refusal>;
    /// Deletes all versions; returns how many there were.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn delete_secret(
        &self,
        tenant: &str,
        path: &str,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<usize, Refusal>;
}

/// What a sealed share is bound to, so that rows of the database cannot be swapped.
fn context(tenant: &str, path: &str, version: i64) -> Vec<u8> {
    format!("zeuge-share-at-rest-v1\n{tenant}\n{path}\n{version}").into_bytes()
}

/// Believes an upload and makes row and leaf of it.
///
/// # Errors
/// Those of [`Manifest::believe`], first of all `manifest.signature`; `manifest.witness` when the
/// owners meant another witness; `manifest.mismatch` when payload or share is of another secret.
pub fn accept(
    upload: &SecretUpload,
    owners: &OwnerSet,
    witness: &Name,
    keys: &Keys,
    now: i64,
) -> Result<(SecretRow, NewLeaf), Refusal> {
    let manifest = Manifest::believe(&upload.manifest, owners, 1, now)?;
    if !manifest.witnesses.contains(witness) {
        let named: Vec<_> = manifest.witnesses.iter().map(Name::to_string).collect();
        let because = "the owners meant this secret for another witness";
        return Err(Refusal::new("manifest.witness", 403, because)
            .difference(named.join(", "), witness.as_str()));
    }
    let share = Share::parse(&upload.share)?;
    share.belongs_to(&manifest)?;
    let found = sha256(&[&upload.payload]);
    if found != manifest.ciphertext {
        let because = "the payload is not the one that the owners signed";
        return Err(Refusal::new("manifest.mismatch", 403, because)
            .difference(hex::encode(found), hex::encode(manifest.ciphertext)));
    }
    let (tenant, path) = (manifest.tenant.to_string(), manifest.path.to_string());
    let version = i64::try_from(manifest.version).unwrap_or(i64::MAX);
    let sealed = keys.seal(&context(&tenant, &path, version), &upload.share)?;
    let author = upload.manifest.signatures.first();
    let leaf = Leaf::DocumentChange {
        kind: "secret-manifest".to_owned(),
        digest: manifest.digest(),
        version: manifest.version,
        signer: author.map_or([0; 32], |signature| *signature.key.as_bytes()),
    };
    let row = SecretRow {
        tenant,
        path,
        version,
        manifest: serde_json::to_vec(&upload.manifest).map_err(|error| Refusal::store(&error))?,
        payload: upload.payload.clone(),
        share: sealed,
    };
    Ok((row, NewLeaf::new(leaf, Vec::new())?))
}

/// Believes the manifest of a row anew, for a release.
///
/// # Errors
/// Those of [`Manifest::believe`].
pub fn manifest(
    row: &SecretRow,
    owners: &OwnerSet,
    now: i64,
) -> Result<(Document, Manifest), Refusal> {
    let document = Document::parse(&row.manifest)?;
    let version = u64::try_from(row.version).unwrap_or(u64::MAX);
    let manifest = Manifest::believe(&document, owners, version, now)?;
    Ok((document, manifest))
}

/// Opens the share of a row.
///
/// # Errors
/// `store.unavailable` when it does not open; those of [`Share::parse`].
pub fn share(row: &SecretRow, keys: &Keys) -> Result<Share, Refusal> {
    let context = context(&row.tenant, &row.path, row.version);
    let bytes: Zeroizing<Vec<u8>> = keys.open_sealed(&context, &row.share)?;
    Ok(Share::parse(&bytes)?)
}
