//! What a witness does whose log is not what somebody was shown (DESIGN §5.6): it halts, and says so
//! after every restart; [`recover`] then opens a new origin that names the last good checkpoint.
//!
//! The new log begins with the entries of the old one up to that checkpoint, so that everybody can
//! check that it continues it, and says in its next leaf what it continues. What was lost with the
//! old state cannot be known, therefore nothing counts any more that could have been taken back in
//! it: challenges, tokens of tenants, and rules until their owners sign them anew.
//!
//! Never signs for the old origin; never goes on by itself after a halt.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeuge_log::hash::empty_root;
use zeuge_log::leaf::Leaf;
use zeuge_log::note::VerifierKey;
use zeuge_log::tree;
use zeuge_protocol::name::Name;

use crate::clock::Clock;
use crate::keys::{self, Keys, Purpose};
use crate::refusal::Refusal;
use crate::sequencer::{Entries, NewLeaf, compare, opened, salted};
use crate::store::Sqlite;
use crate::tiles::{Tiles, rebuild};
use crate::witness::{Witness, lock};

/// The id of a rule that waits for its owners.
pub const CHECKS: &[&str] = &["release.recovered"];
/// Under which the origin of the log stands; the witness's id where there is none.
const ORIGIN: &str = "origin";
/// Under which the reason of a halt stands.
const HALT: &str = "halt";
/// Under which the last recovery stands.
const RECOVERED: &str = "recovered";

/// Why a witness halted, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// `log.fork` or `log.rollback`.
    pub check: String,
    /// What happened.
    pub because: String,
    /// What was found and what was wanted, where roots or sizes were compared.
    pub difference: Option<(String, String)>,
}

impl Halt {
    /// A halt for this reason.
    #[must_use]
    pub fn rollback(because: &str) -> Self {
        Self {
            check: "log.rollback".to_owned(),
            because: because.to_owned(),
            difference: None,
        }
    }

    /// The refusal that everybody hears.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let check = match self.check.as_str() {
            "log.fork" => "log.fork",
            _ => "log.rollback",
        };
        let because = format!(
            "{}; nothing is signed or released until: zeuged recover",
            self.because
        );
        Refusal {
            difference: self.difference.clone(),
            ..Refusal::new(check, 503, because)
        }
    }
}

impl From<&Refusal> for Halt {
    fn from(refusal: &Refusal) -> Self {
        Self {
            check: refusal.check.to_owned(),
            because: refusal.because.clone(),
            difference: refusal.difference.clone(),
        }
    }
}

/// A log that was continued under another origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// When, in Unix seconds.
    pub at: i64,
    /// Origin of the log that ended.
    pub from: String,
    /// Its key (C2SP signed-note).
    pub from_vkey: String,
    /// Entries under its last good checkpoint.
    pub size: u64,
    /// Root of that checkpoint, in hexadecimal.
    pub root: String,
    /// Origin of the log that continues it.
    pub origin: String,
    /// Its key.
    pub vkey: String,
    /// Why.
    pub because: String,
    /// Checkpoints of the old log that the new one does not continue: size and root.
    pub lost: Vec<(u64, String)>,
}

/// What a recovery changes in the database, in one transaction.
#[derive(Debug)]
pub struct Reopening<'a> {
    /// When.
    pub now: i64,
    /// The new origin.
    pub origin: &'a str,
    /// Entries that stay; all others go.
    pub keep: u64,
    /// What the new log says first.
    pub leaves: &'a [NewLeaf],
    /// The record of it, in JSON.
    pub record: &'a [u8],
}

/// What recovery needs of a store beside [`Entries`]. [`Salvage::reopen`] is one durable
/// transaction: entries behind `keep` go with what refers to them, as do the last checkpoint, the
/// tokens of tenants; every tenant has another epoch.
pub trait Salvage {
    /// How many entries there are from the first on without a gap.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn unbroken(&self) -> Result<u64, Refusal>;
    /// Opens the next origin.
    ///
    /// # Errors
    /// `store.unavailable`, `time.jump`.
    fn reopen(&self, reopening: &Reopening<'_>) -> Result<(), Refusal>;
}

fn json_of<T: for<'a> Deserialize<'a>>(store: &Sqlite, key: &str) -> Result<Option<T>, Refusal> {
    let bytes = store.meta(key)?;
    let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
    let found = bytes.map(read).transpose();
    found.map_err(|error| Refusal::store(&error))
}

/// The origin of a witness's log.
///
/// # Errors
/// `store.unavailable`.
pub fn origin(store: &Sqlite, id: &Name) -> Result<String, Refusal> {
    let held = store.meta(ORIGIN)?;
    let held = held.map(String::from_utf8).transpose();
    let held = held.map_err(|error| Refusal::store(&error))?;
    Ok(held.unwrap_or_else(|| id.as_str().to_owned()))
}

/// The last recovery of a witness's log.
///
/// # Errors
/// `store.unavailable`.
pub fn recovered(store: &Sqlite) -> Result<Option<Recovered>, Refusal> {
    json_of(store, RECOVERED)
}

/// Demands that the witness was not halted.
///
/// # Errors
/// Why it was: `log.fork`, `log.rollback`; `store.unavailable`.
pub fn demand_going(store: &Sqlite) -> Result<(), Refusal> {
    match json_of::<Halt>(store, HALT)? {
        Some(halt) => Err(halt.refusal()),
        None => Ok(()),
    }
}

/// Halts a witness: no start serves it before a recovery.
///
/// # Errors
/// `store.unavailable`.
pub fn halt(store: &Sqlite, halt: &Halt) -> Result<(), Refusal> {
    let json = serde_json::to_vec(halt).map_err(|error| Refusal::store(&error))?;
    store.set_meta(HALT, &json)
}

/// Takes a checkpoint of this log that somebody holds, as a note or in a receipt. One that the log
/// signed and does not continue is an alarm: the witness halts, keeps the proof, and writes a leaf
/// that the log publishes once it was recovered.
///
/// # Errors
/// `log.note`, `log.checkpoint`, `log.origin` for one that this log never signed; `log.fork`,
/// `log.rollback` for the alarm.
pub fn shown(witness: &Witness, held: &[u8]) -> Result<u64, Refusal> {
    let refusal = match witness.sequencer.continues(held) {
        Ok(checkpoint) => return Ok(checkpoint.size),
        Err(refusal) => refusal,
    };
    let action = match refusal.check {
        "log.fork" => "log-fork-shown",
        "log.rollback" => "log-rollback-shown",
        _ => return Err(refusal),
    };
    witness.sequencer.stop(refusal.clone());
    witness
        .metrics
        .count("zeuge_log_alarms_total", refusal.check);
    let record = || {
        halt(&witness.store, &Halt::from(&refusal))?;
        let proof = salted("checkpoint", held);
        let leaf = Leaf::OperatorAction {
            action: action.to_owned(),
            actor: proof.commit(),
        };
        let leaf = NewLeaf::new(leaf, vec![proof])?;
        witness.store.append(&[leaf], witness.clock.wall())
    };
    if let Err(error) = record() {
        tracing::error!(check = error.check, %error, "the alarm could not be written down");
    }
    Err(refusal)
}

/// A witness that is about to be recovered.
struct Patient<'a> {
    folder: &'a Path,
    store: Sqlite,
    id: Name,
    origin: String,
    key: VerifierKey,
}

/// Where the entries still are what the old log signed.
struct Good {
    size: u64,
    root: [u8; 32],
    /// Entries that stay.
    keep: u64,
    /// What was signed and is not continued.
    lost: Vec<(u64, String)>,
}

/// Opens a new origin for a witness whose log was lost, set back or forked. `held` are checkpoints
/// of the old log that others hold, as notes or in receipts: the last good one is chosen among them
/// too, and those that cannot be continued are named.
///
/// The database as it was stays beside, as `zeuge.sqlite.` and the old origin's number.
///
/// # Errors
/// When the folder is in use or none, a checkpoint is not of this log, or nothing is wrong with the
/// log: then it goes on as it is. Nothing is released meanwhile, also after an end in the middle.
pub fn recover(folder: &Path, held: &[Vec<u8>]) -> io::Result<Recovered> {
    let _lock = lock(folder)?;
    let store = Sqlite::open(&folder.join("zeuge.sqlite"));
    let store = store.map_err(|error| io::Error::other(crate::store::refused(&error)))?;
    let id = store.meta("id").map_err(io::Error::other)?;
    let id = String::from_utf8(id.unwrap_or_default()).map_err(io::Error::other)?;
    let id = Name::parse(&id).map_err(io::Error::other)?;
    let origin = origin(&store, &id).map_err(io::Error::other)?;
    let keys_folder = folder.join("keys");
    keys::ensure(&keys_folder, Purpose::Report)?;
    let keys = Keys::open(&keys_folder, &origin)?;
    let patient = Patient {
        folder,
        key: keys.log.verifier().clone(),
        store,
        id,
        origin,
    };
    let high_water = patient.store.high_water().map_err(io::Error::other)?;
    let now = Clock::system(high_water).now().map_err(io::Error::other)?;
    let because = patient.reason(held).map_err(io::Error::other)?;
    let Some(because) = because else {
        let text = format!(
            "the log {} is whole and continues every checkpoint that was shown: there is nothing to \
             recover from. Nothing was changed",
            patient.origin
        );
        return Err(io::Error::other(text));
    };
    patient.reopen(because, held, now)
}

impl Patient<'_> {
    fn tiles(&self) -> Tiles {
        Tiles::new(self.folder.join("log"))
    }

    /// Why the log cannot go on; nothing when it can.
    fn reason(&self, held: &[Vec<u8>]) -> Result<Option<String>, Refusal> {
        for note in held {
            opened(&self.key, note)?;
        }
        if let Some(halt) = json_of::<Halt>(&self.store, HALT)? {
            return Ok(Some(halt.because));
        }
        match compare(&self.store, self.tiles(), &self.key, held) {
            Ok(_) => Ok(None),
            Err(refusal) if matches!(refusal.check, "log.fork" | "log.rollback") => {
                Ok(Some(refusal.because))
            }
            Err(refusal) => Err(refusal),
        }
    }

    fn reopen(&self, because: String, held: &[Vec<u8>], now: i64) -> io::Result<Recovered> {
        let other = |refusal: Refusal| io::Error::other(refusal);
        let good = self.good(held).map_err(other)?;
        let keys_folder = self.folder.join("keys");
        let next = keys::next_origin(&keys_folder, self.id.as_str(), &self.origin)?;
        let new_key = Keys::open(&keys_folder, &next)?.log.verifier().to_string();
        let record = Recovered {
            at: now,
            from: self.origin.clone(),
            from_vkey: self.key.to_string(),
            size: good.size,
            root: hex::encode(good.root),
            origin: next,
            vkey: new_key,
            because,
            lost: good.lost.clone(),
        };
        // From here on an end in the middle leaves a witness that does not start.
        let interrupted = Halt::rollback(&format!("{} (a recovery did not end)", record.because));
        halt(&self.store, &interrupted).map_err(other)?;
        let number = record.origin.rsplit('/').next().unwrap_or_default();
        let kept = self.folder.join(format!("zeuge.sqlite.before-{number}"));
        if !kept.exists() {
            keys::write_secret(&kept, b"")?;
            self.store.copy_to(&kept).map_err(other)?;
            fs::File::open(&kept)?.sync_all()?;
        }
        keys::forget_challenges(&keys_folder)?;
        // Tiles and checkpoint of the old origin: the new one is made from the database.
        let _ = fs::remove_dir_all(self.folder.join("log"));
        let json = serde_json::to_vec(&record).map_err(io::Error::other)?;
        let reopening = Reopening {
            now,
            origin: &record.origin,
            keep: good.keep,
            leaves: &self.leaves(&good).map_err(other)?,
            record: &json,
        };
        self.store.reopen(&reopening).map_err(other)?;
        self.store.fold().map_err(other)?;
        Ok(record)
    }

    /// What the new log says first: what it continues, who opened it, and what it does not continue.
    fn leaves(&self, good: &Good) -> Result<Vec<NewLeaf>, Refusal> {
        let origin = Leaf::RecoveredOrigin {
            origin: self.origin.clone(),
            size: good.size,
            root: good.root,
        };
        let mut leaves = vec![NewLeaf::new(origin, Vec::new())?];
        let action = |action: &str, opening: zeuge_log::commitment::Opening| {
            let leaf = Leaf::OperatorAction {
                action: action.to_owned(),
                actor: opening.commit(),
            };
            NewLeaf::new(leaf, vec![opening])
        };
        leaves.push(action("recover", salted("actor", b"administrator"))?);
        for (size, root) in &good.lost {
            let text = format!("{} {size} {root}", self.origin);
            leaves.push(action(
                "not-continued",
                salted("checkpoint", text.as_bytes()),
            )?);
        }
        Ok(leaves)
    }

    /// The largest checkpoint that the old log signed and that the entries still give.
    fn good(&self, held: &[Vec<u8>]) -> Result<Good, Refusal> {
        let count = self.store.unbroken()?;
        let tiles = Tiles::new(self.folder.join("log").join(".salvaged"));
        let _ = fs::remove_dir_all(self.folder.join("log").join(".salvaged"));
        rebuild(&self.store, &tiles, count)?;
        let gives = |size: u64, root: &[u8; 32]| {
            size <= count && tree::root(&tiles, size).is_ok_and(|found| found == *root)
        };
        let mut good = Good {
            size: 0,
            root: empty_root(),
            keep: 0,
            lost: Vec::new(),
        };
        let mut signed = Vec::new();
        if let Some(last) = self.store.published()? {
            let checkpoint = opened(&self.key, last.note.as_bytes());
            // Entries behind it were committed and not yet published: they are the witness's own.
            if checkpoint.is_ok_and(|signed| signed.root == last.root && signed.size == last.size)
                && gives(last.size, &last.root)
            {
                good.keep = count;
            }
            signed.push((last.size, last.root));
        }
        let file = fs::read(self.tiles().checkpoint_file()).ok();
        for note in held.iter().chain(&file) {
            // A damaged file says nothing; what the administrator brought was looked at before.
            if let Ok(checkpoint) = opened(&self.key, note) {
                signed.push((checkpoint.size, checkpoint.root));
            }
        }
        for (size, root) in signed {
            if gives(size, &root) {
                if size >= good.size {
                    (good.size, good.root) = (size, root);
                }
            } else {
                good.lost.push((size, hex::encode(root)));
            }
        }
        good.keep = good.keep.max(good.size);
        good.lost.sort();
        good.lost.dedup();
        Ok(good)
    }
}
