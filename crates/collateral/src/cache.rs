//! The folder: content by its hash, an index with ages, pauses and refusals, and the marks.
//!
//! ```text
//! FOLDER/index.json      what is held since when; what is not there; whom not to ask
//! FOLDER/marks.json      the latest list seen from each issuer; never lowered
//! FOLDER/content/<hash>  the bytes, named by their SHA-256
//! FOLDER/lock            one writer at a time, also between processes
//! ```
//! A broken index is an empty cache. Broken marks are an error: see [`CacheError::Marks`].
//! Decides nothing about content: that is `content.rs`.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeuge_verify::UnixTime;

use crate::{CacheError, Problem, Wanted, back_off::BackOff, disk, mark::Mark};

const INDEX_SCHEMA: &str = "zeuge.collateral-cache.v1";
const MARKS_SCHEMA: &str = "zeuge.collateral-marks.v1";
/// Chips of the largest fleets that one witness has been thought for, a few TCBs each.
pub(crate) const ENTRIES_MAX: usize = 10_000;
/// Ten thousand entries and refusals of under 1 KiB each.
const INDEX_BYTES_MAX: usize = 32 * 1024 * 1024;
/// AMD has a root per product; a toy has three per run.
const ISSUERS_MAX: usize = 10_000;
const MARKS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One held thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// SHA-256 in hex, and the name of the file.
    pub(crate) sha256: String,
    /// Seconds since 1970 at which it was fetched.
    pub(crate) fetched_at: i64,
    /// The address, or `import`.
    pub(crate) origin: String,
}

/// A service said that there is no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NotFound {
    pub(crate) status: u16,
    /// Seconds since 1970 at which it may be asked for again.
    pub(crate) until: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Index {
    schema: String,
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) not_found: BTreeMap<String, NotFound>,
    /// By host, and by key for answers that were not what was asked for.
    pub(crate) back_off: BTreeMap<String, BackOff>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marks {
    schema: String,
    issuers: BTreeMap<String, Mark>,
}

/// One line of `zeuge collateral status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryStatus {
    /// The key, as [`Wanted::key`] writes it.
    pub key: String,
    /// Length in bytes.
    pub bytes: usize,
    /// When it was fetched.
    pub fetched_at: UnixTime,
    /// The last instant at which it counts, where it says so.
    pub until: Option<UnixTime>,
    /// The address, or `import`.
    pub origin: String,
    /// Why it would not be handed out, if it would not.
    pub problem: Option<Problem>,
}

/// What the folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What is held, by key.
    pub entries: Vec<EntryStatus>,
    /// Keys that a service does not have, with its status, and until when it is not asked.
    pub not_found: Vec<(String, u16, UnixTime)>,
    /// Hosts and keys that are not asked, and until when.
    pub back_off: Vec<(String, UnixTime)>,
    /// Issuers (SHA-256 of the root in hex) and the latest list seen; of Intel's, with what it is
    /// about behind a slash.
    pub marks: Vec<(String, Mark)>,
}

/// Bytes with their age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: Entry,
}

/// The folder, with a copy of its index.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    index: Index,
    marks: Marks,
}

impl Cache {
    /// Opens or makes the folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, CacheError> {
        let content = folder.join("content");
        fs::create_dir_all(&content).map_err(disk::at(&content))?;
        let mut cache = Self {
            folder: folder.to_path_buf(),
            index: Index::default(),
            marks: Marks::default(),
        };
        cache.reload()?;
        Ok(cache)
    }

    /// Takes over what other processes wrote.
    pub(crate) fn reload(&mut self) -> Result<(), CacheError> {
        self.marks = self.read_marks()?;
        let index = disk::read(&self.folder.join("index.json"), INDEX_BYTES_MAX)?;
        let index = index.and_then(|bytes| serde_json::from_slice::<Index>(&bytes).ok());
        self.index = index
            .filter(|index| index.schema == INDEX_SCHEMA)
            .unwrap_or_default();
        Ok(())
    }

    pub(crate) const fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn marks(&self) -> impl Iterator<Item = (&String, &Mark)> {
        self.marks.issuers.iter()
    }

    /// The mark under this key.
    pub(crate) fn mark(&self, key: &str) -> Option<Mark> {
        self.marks.issuers.get(key).copied()
    }

    /// The bytes under this key; `None` also where the file is not what the index says.
    pub(crate) fn held(&self, wanted: &Wanted) -> Result<Option<Held>, CacheError> {
        let Some(entry) = self.index.entries.get(&wanted.key()) else {
            return Ok(None);
        };
        if !is_hash(&entry.sha256) {
            return Ok(None);
        }
        let path = self.content(&entry.sha256);
        let bytes = disk::read(&path, wanted.bytes_max())?;
        let bytes = bytes.filter(|bytes| hash(bytes) == entry.sha256);
        Ok(bytes.map(|bytes| Held {
            bytes,
            entry: entry.clone(),
        }))
    }

    /// Whether a list with this mark is older than one already seen.
    pub(crate) fn behind(&self, mark: Option<&(String, Mark)>) -> Result<(), Problem> {
        let Some((issuer, found)) = mark else {
            return Ok(());
        };
        match self.marks.issuers.get(issuer) {
            Some(seen) if found.is_behind(*seen) => Err(Problem::Rollback {
                found: *found,
                wanted: *seen,
            }),
            _ => Ok(()),
        }
    }

    /// Keeps bytes that passed `content::check`, and raises the mark of their issuer first.
    ///
    /// The inner error is `collateral.rollback`; then nothing is kept.
    pub(crate) fn keep(
        &mut self,
        wanted: &Wanted,
        bytes: &[u8],
        mark: Option<&(String, Mark)>,
        fetched_at: UnixTime,
        origin: &str,
    ) -> Result<Result<(), Problem>, CacheError> {
        let lock = disk::lock(&self.folder.join("lock"))?;
        self.reload()?;
        if let Err(problem) = self.behind(mark) {
            return Ok(Err(problem));
        }
        if let Some((issuer, mark)) = mark {
            self.raise_locked(issuer, *mark)?;
        }
        let sha256 = hash(bytes);
        disk::write(&self.content(&sha256), bytes)?;
        let key = wanted.key();
        let entry = Entry {
            sha256,
            fetched_at: fetched_at.0,
            origin: origin.to_owned(),
        };
        self.index.not_found.remove(&key);
        self.index.back_off.remove(&key);
        let earlier = self.index.entries.insert(key, entry);
        let evicted = self.evict();
        self.write_index()?;
        for gone in earlier.into_iter().chain(evicted) {
            self.remove_content(&gone.sha256)?;
        }
        drop(lock);
        Ok(Ok(()))
    }

    /// Raises the mark of an issuer; a lower one changes nothing.
    pub(crate) fn raise(&mut self, issuer: &str, mark: Mark) -> Result<(), CacheError> {
        let lock = disk::lock(&self.folder.join("lock"))?;
        self.marks = self.read_marks()?;
        let raised = self.raise_locked(issuer, mark);
        drop(lock);
        raised
    }

    /// Changes pauses and refusals.
    pub(crate) fn note(&mut self, change: impl FnOnce(&mut Index)) -> Result<(), CacheError> {
        let lock = disk::lock(&self.folder.join("lock"))?;
        self.reload()?;
        change(&mut self.index);
        shorten(&mut self.index.not_found, |entry| entry.until);
        shorten(&mut self.index.back_off, |entry| entry.until);
        let written = self.write_index();
        drop(lock);
        written
    }

    fn raise_locked(&mut self, issuer: &str, mark: Mark) -> Result<(), CacheError> {
        let seen = self.marks.issuers.get(issuer).copied();
        let raised = seen.map_or(mark, |seen| seen.raised_by(mark));
        if seen == Some(raised) {
            return Ok(());
        }
        if seen.is_none() && self.marks.issuers.len() >= ISSUERS_MAX {
            return Err(self.marks_error("there are too many issuers"));
        }
        self.marks.issuers.insert(issuer.to_owned(), raised);
        self.marks.schema = MARKS_SCHEMA.to_owned();
        let path = self.folder.join("marks.json");
        let text = serde_json::to_vec_pretty(&self.marks)
            .map_err(|error| self.marks_error(&error.to_string()))?;
        disk::write(&path, &text)
    }

    fn read_marks(&self) -> Result<Marks, CacheError> {
        let path = self.folder.join("marks.json");
        if !path.exists() {
            return Ok(Marks::default());
        }
        let bytes = disk::read(&path, MARKS_BYTES_MAX)?
            .ok_or_else(|| self.marks_error("the file is too long"))?;
        let marks: Marks =
            serde_json::from_slice(&bytes).map_err(|error| self.marks_error(&error.to_string()))?;
        if marks.schema != MARKS_SCHEMA {
            return Err(self.marks_error("the schema is another"));
        }
        Ok(marks)
    }

    fn marks_error(&self, because: &str) -> CacheError {
        CacheError::Marks {
            path: self.folder.join("marks.json"),
            because: because.to_owned(),
        }
    }

    fn write_index(&mut self) -> Result<(), CacheError> {
        self.index.schema = INDEX_SCHEMA.to_owned();
        let path = self.folder.join("index.json");
        let text = serde_json::to_vec_pretty(&self.index)
            .map_err(|error| disk::at(&path)(error.into()))?;
        disk::write(&path, &text)
    }

    /// Takes out of a full index what was fetched longest ago, leaves before what they hang on:
    /// whoever invents chips drives out no chain and no list.
    fn evict(&mut self) -> Vec<Entry> {
        let mut evicted = Vec::new();
        while self.index.entries.len() > ENTRIES_MAX {
            let oldest = self
                .index
                .entries
                .iter()
                .min_by_key(|(key, entry)| {
                    let rank = Wanted::parse(key).map_or(u8::MAX, |wanted| wanted.rank());
                    (Reverse(rank), entry.fetched_at)
                })
                .map(|(key, _)| key.clone());
            evicted.extend(oldest.and_then(|key| self.index.entries.remove(&key)));
        }
        evicted
    }

    /// Two keys may hold the same bytes.
    fn remove_content(&self, sha256: &str) -> Result<(), CacheError> {
        let in_use = self.index.entries.values().any(|at| at.sha256 == sha256);
        let path = self.content(sha256);
        if in_use || !is_hash(sha256) || !path.exists() {
            return Ok(());
        }
        fs::remove_file(&path).map_err(disk::at(&path))
    }

    fn content(&self, sha256: &str) -> PathBuf {
        self.folder.join("content").join(sha256)
    }
}

/// SHA-256 in hex.
pub(crate) fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Names in the index become paths, so they have exactly this form.
fn is_hash(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Takes out what ends first until the rest fits.
fn shorten<T>(map: &mut BTreeMap<String, T>, until: impl Fn(&T) -> i64) {
    while map.len() > ENTRIES_MAX {
        let first = map.iter().min_by_key(|(_, entry)| until(entry));
        let Some(key) = first.map(|(key, _)| key.clone()) else {
            return;
        };
        map.remove(&key);
    }
}
