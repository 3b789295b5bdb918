//! Evidence and endorsements of every appraisal, kept from the first day (DESIGN §5.6), written only
//! after verification, under one quota.
//!
//! Endorsements and documents, which many appraisals share, are files named by their SHA-256. The
//! evidence itself, of which no two are alike, goes into the database within the transaction of its
//! verdict, whose leaf names its SHA-256; here its bytes are only counted. Never overwrites: what
//! has the same name has the same bytes. Never judges what it keeps.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zeuge_log::hash::sha256;

use crate::refusal::Refusal;

/// The ids of this file.
pub const CHECKS: &[&str] = &["archive.quota"];

/// The archive of one data folder.
#[derive(Debug)]
pub struct Archive {
    folder: PathBuf,
    bytes_max: u64,
    bytes: Arc<AtomicU64>,
    /// Whether a write failed since somebody asked.
    has_failed: AtomicBool,
}

impl Archive {
    /// Opens or makes the folder and counts what it holds, beside the bytes in the database.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(folder: PathBuf, bytes_max: u64, in_database: u64) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut bytes = in_database;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // Left by a crash in the middle of a write.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                fs::remove_file(entry.path())?;
                continue;
            }
            bytes = bytes.saturating_add(entry.metadata()?.len());
        }
        Ok(Self {
            folder,
            bytes_max,
            bytes: Arc::new(AtomicU64::new(bytes)),
            has_failed: AtomicBool::new(false),
        })
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it holds a file of this name.
    #[must_use]
    pub fn has(&self, name: &[u8; 32]) -> bool {
        self.folder.join(hex::encode(name)).exists()
    }

    /// Whether a write failed since this was asked last.
    pub fn has_failed(&self) -> bool {
        self.has_failed.swap(false, Ordering::Relaxed)
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.bytes_max.saturating_sub(self.bytes())
    }

    /// Room for evidence that the database is about to keep; given back unless it is used.
    ///
    /// # Errors
    /// `archive.quota` when it does not fit any more.
    pub fn reserve(&self, length: usize) -> Result<Room, Refusal> {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let held = self.bytes.fetch_add(length, Ordering::Relaxed);
        let room = Room {
            bytes: Arc::clone(&self.bytes),
            length,
        };
        if held.saturating_add(length) > self.bytes_max {
            let error = io::Error::other("the quota is used up");
            return Err(self.refused(&error, held));
        }
        Ok(room)
    }

    fn refused(&self, error: &io::Error, held: u64) -> Refusal {
        tracing::error!(check = "archive.quota", %error, "evidence cannot be archived");
        let because = "evidence cannot be archived; raise --archive-bytes-max or make room";
        Refusal::new("archive.quota", 503, because).difference(
            held.to_string(),
            format!("at most {} bytes", self.bytes_max),
        )
    }

    /// Keeps the bytes durably and returns their SHA-256.
    ///
    /// # Errors
    /// `archive.quota` when they do not fit any more or cannot be written: what cannot be kept is
    /// not appraised.
    pub fn keep(&self, bytes: &[u8]) -> Result<[u8; 32], Refusal> {
        let name = sha256(&[bytes]);
        let path = self.folder.join(hex::encode(name));
        if path.exists() {
            return Ok(name);
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let held = self.bytes.fetch_add(length, Ordering::Relaxed);
        let full = held.saturating_add(length) > self.bytes_max;
        let written = if full {
            Err(io::Error::other("the quota is used up"))
        } else {
            self.write(&path, bytes)
        };
        written.map_err(|error| {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            self.has_failed.store(!full, Ordering::Relaxed);
            self.refused(&error, held)
        })?;
        Ok(name)
    }

    /// The bytes with this SHA-256; `None` where they are not there, or are not these any more.
    #[must_use]
    pub fn read(&self, name: &[u8; 32]) -> Option<Vec<u8>> {
        let bytes = fs::read(self.folder.join(hex::encode(name))).ok()?;
        Some(bytes).filter(|bytes| sha256(&[bytes]) == *name)
    }

    /// The evidence with this SHA-256, from the database where it is there (`held`), else from the
    /// file of an older build; `None` where it is lost, or is not these bytes any more.
    #[must_use]
    pub fn evidence(&self, name: &[u8; 32], held: Option<Vec<u8>>) -> Option<Vec<u8>> {
        match held {
            Some(bytes) => Some(bytes).filter(|bytes| sha256(&[bytes]) == *name),
            None => self.read(name),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut salt = [0; 8];
        crate::keys::random(&mut salt);
        let beside = self.folder.join(format!(".{}", hex::encode(salt)));
        let mut file = fs::File::create_new(&beside)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
            // A full disk needs the room.
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        fs::File::open(&self.folder)?.sync_all()
    }
}

/// Room in the archive.
#[derive(Debug)]
pub struct Room {
    bytes: Arc<AtomicU64>,
    length: u64,
}

impl Room {
    /// The bytes are kept.
    pub fn used(mut self) {
        self.length = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_there_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path().to_path_buf(), 10, 0).unwrap();
        let name = archive.keep(b"12345678").unwrap();
        assert_eq!(archive.keep(b"12345678"), Ok(name));
        assert_eq!(archive.bytes(), 8);
        assert_eq!(archive.read(&name).as_deref(), Some(&b"12345678"[..]));
        assert_eq!(archive.read(&[0; 32]), None);
        assert_eq!(
            archive.keep(b"abc").map_err(|refusal| refusal.check),
            Err("archive.quota")
        );
        // Evidence counts, too, as long as it is or will be there.
        drop(archive.reserve(2).unwrap());
        archive.reserve(2).unwrap().used();
        assert_eq!(
            archive
                .reserve(1)
                .map(drop)
                .map_err(|refusal| refusal.check),
            Err("archive.quota")
        );
        assert_eq!(archive.bytes(), 10);
        // What a crash left half-written is taken away and does not count.
        let half = folder.path().join(".0011223344556677");
        fs::write(&half, b"half of it").unwrap();
        let again = Archive::open(folder.path().to_path_buf(), 11, 0).unwrap();
        assert!(!half.exists());
        assert_eq!(again.bytes(), 8);
        assert!(again.keep(b"abc").is_ok());
    }
}
