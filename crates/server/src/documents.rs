//! The owners' documents (DESIGN §5.4): who may change them, and what they say at one instant.
//!
//! Every document is verified when it comes and again whenever it is used: signatures of the
//! present owners, version, time. So a document that is too old, or that only former owners
//! signed, stops counting by itself, and a changed database loosens nothing. Never repairs.

use std::collections::BTreeMap;

use zeuge_appraise::{HardwareRegistry, Policy, ReferenceValues, ReleaseRule};
use zeuge_log::hash::sha256;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::document::{Approved, Document, Kind, OwnerSet};

use crate::appraisal::Wishes;
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;

/// The ids of this file.
pub const CHECKS: &[&str] = &["document.owners", "document.retire", "document.subject"];
/// The kinds that this witness takes.
pub const KINDS: [Kind; 5] = [
    Kind::HardwareRegistry,
    Kind::OwnerSet,
    Kind::Policy,
    Kind::ReferenceValues,
    Kind::ReleaseRule,
];

/// A document as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// Whose it is.
    pub tenant: String,
    /// Its kind.
    pub kind: String,
    /// Its name: the path for release rules, the kind itself for all others.
    pub name: String,
    /// Its version.
    pub version: i64,
    /// The document in JSON, as it came.
    pub json: Vec<u8>,
}

/// Where documents stay. A write is durable when it returns, refuses a version that is not above
/// the one held, and starts a new epoch of its tenant in the same transaction as its leaf.
pub trait Shelf: Send + Sync {
    /// The tenants.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn tenants(&self) -> Result<Vec<String>, Refusal>;
    /// Epoch and documents of a tenant, as of one instant.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn documents(&self, tenant: &str) -> Result<(u64, Vec<DocumentRow>), Refusal>;
    /// Keeps a document and its leaf.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`; `document.version`.
    fn put_document(
        &self,
        document: &DocumentRow,
        leaf: Option<&NewLeaf>,
        now: i64,
    ) -> Result<(), Refusal>;
    /// Takes a document away and keeps its version as a mark, so that it never comes back; `false`
    /// when there is none.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn retire_document(
        &self,
        which: (&str, Kind, &str),
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<bool, Refusal>;
    /// Kind, name and version of the documents that were taken away.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn retired(&self, tenant: &str) -> Result<Vec<(String, String, i64)>, Refusal>;
}

/// The kinds that an administrator may take away: without them less is released. What only
/// tightens by being there goes by the owners' signature alone (DESIGN §5.4).
pub const RETIRABLE: [Kind; 2] = [Kind::ReferenceValues, Kind::ReleaseRule];

/// The first owners of a tenant, as its administrator names them at `init`; no document before
/// them could sign them.
///
/// # Errors
/// `store.unavailable`; `document.threshold` for a set that cannot sign.
pub fn first_owners(shelf: &dyn Shelf, owners: &OwnerSet, now: i64) -> Result<(), Refusal> {
    owners.check()?;
    let json = serde_json::to_vec(owners).map_err(|error| Refusal::store(&error))?;
    let row = DocumentRow {
        tenant: owners.tenant.to_string(),
        kind: "first-owners".to_owned(),
        name: "first-owners".to_owned(),
        version: 1,
        json,
    };
    shelf.put_document(&row, None, now)
}

/// The present owners of a tenant.
///
/// # Errors
/// `document.owners` when there are none or their record is broken.
pub fn owners(rows: &[DocumentRow]) -> Result<OwnerSet, Refusal> {
    let broken = || {
        Refusal::new(
            "document.owners",
            503,
            "the tenant's owners are not on record",
        )
    };
    let of = |kind: &str| rows.iter().find(|row| row.kind == kind);
    let payload = match of(Kind::OwnerSet.as_str()) {
        Some(row) => Document::parse(&row.json)?.payload,
        None => of("first-owners").ok_or_else(broken)?.json.clone(),
    };
    serde_json::from_slice(&payload).map_err(|_| broken())
}

/// What the owners want at an instant.
///
/// # Errors
/// Those of [`Document::verify`] for any document of the tenant that no longer counts;
/// `document.schema` for one that cannot be read.
pub fn wishes(shelf: &dyn Shelf, tenant: &str, now: i64) -> Result<Wishes, Refusal> {
    let (epoch, rows) = shelf.documents(tenant)?;
    let mut wishes = Wishes {
        epoch,
        owners: owners(&rows)?,
        policy: Policy::default(),
        policy_digest: sha256(&[]),
        reference_values: ReferenceValues::default(),
        hardware: None,
        rules: BTreeMap::new(),
    };
    for row in &rows {
        let Some(kind) = KINDS.into_iter().find(|kind| kind.as_str() == row.kind) else {
            continue;
        };
        if kind == Kind::OwnerSet {
            continue;
        }
        let document = Document::parse(&row.json)?;
        let floor = u64::try_from(row.version).unwrap_or(u64::MAX);
        let approved = document.verify(&wishes.owners, kind, floor, now)?;
        take(&approved, &mut wishes)?;
    }
    Ok(wishes)
}

/// Reads a document's text into the wishes.
fn take(approved: &Approved<'_>, wishes: &mut Wishes) -> Result<(), Refusal> {
    let payload = approved.payload();
    let text = || {
        std::str::from_utf8(payload)
            .map_err(|_| Refusal::new("document.schema", 400, "the document is not UTF-8 text"))
    };
    match approved.header().kind {
        Kind::HardwareRegistry => wishes.hardware = Some(HardwareRegistry::parse(text()?)?),
        Kind::Policy => {
            wishes.policy = Policy::parse(text()?)?;
            wishes.policy_digest = sha256(&[payload]);
        }
        Kind::ReferenceValues => wishes.reference_values = ReferenceValues::parse(text()?)?,
        Kind::ReleaseRule => {
            let rule = ReleaseRule::parse(text()?)?;
            subject(approved, (&rule.tenant, &rule.path))?;
            wishes.rules.insert(rule.path.clone(), rule);
        }
        Kind::OwnerSet => {
            let broken = |_| Refusal::new("document.schema", 400, "this is not an owner set");
            let set: OwnerSet = serde_json::from_slice(payload).map_err(broken)?;
            set.check()?;
            let header = approved.header();
            subject(approved, (set.tenant.as_str(), header.name.as_str()))?;
        }
        other => {
            let because = "this witness does not take such documents yet";
            return Err(Refusal::new("document.subject", 400, because)
                .difference(other.as_str(), KINDS.map(Kind::as_str).join(", ")));
        }
    }
    Ok(())
}

/// What is signed around a text must be what the text speaks of.
fn subject(approved: &Approved<'_>, (tenant, name): (&str, &str)) -> Result<(), Refusal> {
    let header = approved.header();
    if (header.tenant.as_str(), header.name.as_str()) == (tenant, name) {
        return Ok(());
    }
    let because = "header and text of the document speak of different things";
    Err(Refusal::new("document.subject", 400, because).difference(
        format!("{tenant}/{name}"),
        format!("{}/{}", header.tenant, header.name),
    ))
}

/// Believes a document that came in, and makes row and leaf of it.
///
/// # Errors
/// Those of [`Document::verify`], with the version above the one held; `document.schema`,
/// `document.subject` for a text that cannot be read or speaks of something else.
pub fn accept(
    shelf: &dyn Shelf,
    kind: Kind,
    json: &[u8],
    now: i64,
) -> Result<(DocumentRow, NewLeaf), Refusal> {
    let document = Document::parse(json)?;
    let tenant = document.header.tenant.as_str();
    let (epoch, rows) = shelf.documents(tenant)?;
    let name = if kind == Kind::ReleaseRule {
        document.header.name.to_string()
    } else {
        kind.as_str().to_owned()
    };
    let held = rows
        .iter()
        .find(|row| row.kind == kind.as_str() && row.name == name);
    let held = held.map_or(0, |row| u64::try_from(row.version).unwrap_or(u64::MAX));
    let owners = owners(&rows)?;
    let approved = document.verify(&owners, kind, held.saturating_add(1), now)?;
    let mut trial = Wishes {
        epoch,
        owners: owners.clone(),
        policy: Policy::default(),
        policy_digest: [0; 32],
        reference_values: ReferenceValues::default(),
        hardware: None,
        rules: BTreeMap::new(),
    };
    take(&approved, &mut trial)?;
    let author = document.signatures.first();
    let leaf = Leaf::DocumentChange {
        kind: kind.as_str().to_owned(),
        digest: sha256(&[&document.signing_input()]),
        version: document.header.version,
        signer: author.map_or([0; 32], |signature| *signature.key.as_bytes()),
    };
    let row = DocumentRow {
        tenant: tenant.to_owned(),
        kind: kind.as_str().to_owned(),
        name,
        version: i64::try_from(document.header.version).unwrap_or(i64::MAX),
        json: json.to_vec(),
    };
    Ok((row, NewLeaf::new(leaf, Vec::new())?))
}
