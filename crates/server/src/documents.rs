//! The owners' documents (DESIGN §5.4): who may change them, and what they say at one instant.
//!
//! Every document is verified when it comes and again whenever it is used: signatures of the
//! present owners, version, time. So a document that is too old, or that only former owners
//! signed, stops counting by itself, and a changed database loosens nothing. Never repairs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use zeuge_appraise::{HardwareRegistry, Knowledge, Policy, ReferenceValues, ReleaseRule};
use zeuge_log::hash::sha256;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::document::{Approved, Document, Kind, OwnerSet};

use crate::appraisal::Wishes;
use crate::keys::Keys;
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;

/// The ids of this file.
pub const CHECKS: &[&str] = &["document.owners", "document.retire", "document.subject"];
/// The kinds that this witness takes.
pub const KINDS: [Kind; 6] = [
    Kind::HardwareRegistry,
    Kind::OwnerSet,
    Kind::Policy,
    Kind::ReferenceValues,
    Kind::ReleaseRule,
    Kind::ThreatKnowledge,
];
/// Knowledge that is kept as it was read; tenants with knowledge of their own are few.
const KNOWLEDGE_MAX: usize = 16;

/// The kind of the row of the first owners.
const FIRST: &str = "first-owners";
/// The kind of rows of owner sets that were ever in force, named by their version.
pub const SUCCESSION: &str = "succession";

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
/// the one held, and starts a new epoch of its tenant in the same transaction as its leaf. Rows come
/// by kind, then by name.
pub trait Shelf: Send + Sync {
    /// The tenants.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn tenants(&self) -> Result<Vec<String>, Refusal>;
    /// When the log was recovered last, in Unix seconds.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn recovered_at(&self) -> Result<Option<i64>, Refusal>;
    /// Epoch and documents of a tenant, as of one instant.
    ///
    /// # Errors
    /// `store.unavailable`; `tenant.unknown`.
    fn documents(&self, tenant: &str) -> Result<(u64, Vec<DocumentRow>), Refusal>;
    /// Keeps a document and its leaf; an owner set also as a link of the succession.
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
pub fn first_owners(
    shelf: &dyn Shelf,
    keys: &Keys,
    owners: &OwnerSet,
    now: i64,
) -> Result<(), Refusal> {
    let row = DocumentRow {
        tenant: owners.tenant.to_string(),
        kind: FIRST.to_owned(),
        name: FIRST.to_owned(),
        version: 1,
        json: sealed_first(keys, owners)?,
    };
    shelf.put_document(&row, None, now)
}

/// The first owners as they are kept: under a key that is not in the database, so that whoever
/// can write there cannot name others.
///
/// # Errors
/// `document.threshold` for a set that cannot sign.
pub fn sealed_first(keys: &Keys, owners: &OwnerSet) -> Result<Vec<u8>, Refusal> {
    owners.check()?;
    let json = serde_json::to_vec(owners).map_err(|error| Refusal::store(&error))?;
    keys.seal(&first_context(owners.tenant.as_str()), &json)
}

fn first_context(tenant: &str) -> Vec<u8> {
    format!("zeuge-first-owners-v1\n{tenant}").into_bytes()
}

fn broken(found: impl Into<String>, wanted: &str) -> Refusal {
    let because = "the record of the tenant's owners does not hold";
    Refusal::new("document.owners", 503, because).difference(found, wanted)
}

/// The owners of a tenant at an instant: the last of an unbroken succession.
///
/// # Errors
/// As [`successors`]; `document.expired` when the time of the last set is over.
pub fn owners(
    rows: &[DocumentRow],
    keys: &Keys,
    tenant: &str,
    now: i64,
) -> Result<OwnerSet, Refusal> {
    let (owners, expires) = successors(rows, keys, tenant)?;
    if now >= expires {
        let because = "the time of the owner set is over; its owners must sign the next one";
        return Err(Refusal::new("document.expired", 403, because)
            .difference(format!("{now} (now)"), format!("before {expires}")));
    }
    Ok(owners)
}

/// The last owner set of a tenant and when it ends, proven from the first: each is signed by the
/// one before it. A set whose time is over may still name who follows.
///
/// # Errors
/// `document.owners` when the first owners are not those that this witness was told, a link is
/// missing, or the present set is not the last of the succession.
pub fn successors(
    rows: &[DocumentRow],
    keys: &Keys,
    tenant: &str,
) -> Result<(OwnerSet, i64), Refusal> {
    let of = |kind: &'static str| rows.iter().filter(move |row| row.kind == kind);
    let first = of(FIRST)
        .next()
        .ok_or_else(|| broken("no first owners", "the owners named when it was made"))?;
    let opened = keys.open_sealed(&first_context(tenant), &first.json);
    let opened = opened.map_err(|_| {
        let found = "first owners that this witness did not keep";
        broken(found, "the owners named when it was made")
    })?;
    let mut owners: OwnerSet =
        serde_json::from_slice(&opened).map_err(|error| broken(error.to_string(), "a set"))?;
    let (mut version, mut expires, mut last) = (0_u64, i64::MAX, None);
    for row in of(SUCCESSION) {
        let link = Document::parse(&row.json)?;
        let floor = version.saturating_add(1);
        // Whether a former set was in force is settled; that its owners signed is not.
        link.verify(&owners, Kind::OwnerSet, floor, link.header.issued)
            .map_err(|error| broken(error.to_string(), "a set that the one before it signed"))?;
        owners = serde_json::from_slice(&link.payload)
            .map_err(|error| broken(error.to_string(), "a set"))?;
        (version, expires, last) = (link.header.version, link.header.expires, Some(&row.json));
    }
    let held = of(Kind::OwnerSet.as_str()).next().map(|row| &row.json);
    if held != last {
        return Err(broken("another owner set", "the last of the succession"));
    }
    Ok((owners, expires))
}

/// Proves the succession of every tenant's owners, before anything is served.
///
/// # Errors
/// As [`successors`], with the tenant.
pub fn check_owners(shelf: &dyn Shelf, keys: &Keys) -> Result<(), Refusal> {
    for tenant in shelf.tenants()? {
        let (_, rows) = shelf.documents(&tenant)?;
        successors(&rows, keys, &tenant).map_err(|refusal| Refusal {
            because: format!("{tenant}: {}", refusal.because),
            ..refusal
        })?;
    }
    Ok(())
}

/// What the owners want at an instant.
///
/// # Errors
/// Those of [`owners`]; those of [`Document::verify`] for any document of the tenant that no longer counts;
/// `document.schema` for one that cannot be read.
pub fn wishes(shelf: &dyn Shelf, keys: &Keys, tenant: &str, now: i64) -> Result<Wishes, Refusal> {
    wishes_until(shelf, keys, tenant, now).map(|(wishes, _)| wishes)
}

/// The same, with the first instant at which any document of it no longer counts.
///
/// # Errors
/// As [`wishes`].
pub fn wishes_until(
    shelf: &dyn Shelf,
    keys: &Keys,
    tenant: &str,
    now: i64,
) -> Result<(Wishes, i64), Refusal> {
    let (epoch, rows) = shelf.documents(tenant)?;
    let (_, mut until) = successors(&rows, keys, tenant)?;
    let mut wishes = Wishes {
        epoch,
        owners: owners(&rows, keys, tenant, now)?,
        policy: Policy::default(),
        policy_digest: sha256(&[]),
        reference_values: ReferenceValues::default(),
        hardware: None,
        knowledge: None,
        rules: BTreeMap::new(),
        texts: Vec::new(),
        unconfirmed: BTreeSet::new(),
    };
    let recovered = shelf.recovered_at()?;
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
        // Within the second of the recovery nobody can tell which came first.
        if recovered.is_some_and(|recovered| approved.header().issued <= recovered) {
            wishes.unconfirmed.insert((kind, row.name.clone()));
        }
        until = until.min(document.header.expires);
        take(&approved, &mut wishes)?;
        if kind != Kind::ReleaseRule {
            wishes.texts.push((kind, document.payload));
        }
    }
    Ok((wishes, until))
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
        Kind::ThreatKnowledge => wishes.knowledge = Some(knowledge(text()?)?),
        other @ Kind::SecretManifest => {
            let because = "this witness does not take such documents yet";
            return Err(Refusal::new("document.subject", 400, because)
                .difference(other.as_str(), KINDS.map(Kind::as_str).join(", ")));
        }
    }
    Ok(())
}

/// Threat knowledge from its text, read once: reading takes milliseconds, and every attestation
/// asks for it.
fn knowledge(text: &str) -> Result<Arc<Knowledge>, Refusal> {
    static READ: Mutex<Vec<Arc<Knowledge>>> = Mutex::new(Vec::new());
    let digest = sha256(&[text.as_bytes()]);
    let held = || READ.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |known: &&Arc<Knowledge>| known.id().digest == digest;
    if let Some(known) = held().iter().find(same) {
        return Ok(Arc::clone(known));
    }
    let read = Arc::new(Knowledge::parse(text)?);
    let mut held = held();
    if held.len() >= KNOWLEDGE_MAX {
        held.remove(0);
    }
    held.push(Arc::clone(&read));
    Ok(read)
}

/// Knowledge only grows: it is not older than what this program brings along or the tenant has.
fn newer(knowledge: &Knowledge, row: Option<&DocumentRow>) -> Result<(), Refusal> {
    let mut floor = Knowledge::built_in().id().version;
    if let Some(row) = row {
        let held = Document::parse(&row.json)?;
        let text = std::str::from_utf8(&held.payload).unwrap_or_default();
        floor = floor.max(self::knowledge(text)?.id().version);
    }
    let found = knowledge.id().version;
    if found < floor {
        let because = "older threat knowledge would turn warnings off";
        return Err(Refusal::new("document.version", 403, because).difference(
            format!("knowledge version {found}"),
            format!("at least {floor}"),
        ));
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
/// Those of [`owners`]; those of [`Document::verify`], with the version above the one held; `document.schema`,
/// `document.subject` for a text that cannot be read or speaks of something else.
pub fn accept(
    shelf: &dyn Shelf,
    keys: &Keys,
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
    let owners = if kind == Kind::OwnerSet {
        successors(&rows, keys, tenant)?.0
    } else {
        owners(&rows, keys, tenant, now)?
    };
    let approved = document.verify(&owners, kind, held.saturating_add(1), now)?;
    let mut trial = Wishes {
        epoch,
        owners: owners.clone(),
        policy: Policy::default(),
        policy_digest: [0; 32],
        reference_values: ReferenceValues::default(),
        hardware: None,
        knowledge: None,
        rules: BTreeMap::new(),
        texts: Vec::new(),
        unconfirmed: BTreeSet::new(),
    };
    take(&approved, &mut trial)?;
    if let Some(knowledge) = &trial.knowledge {
        newer(knowledge, rows.iter().find(|row| row.kind == kind.as_str()))?;
    }
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
