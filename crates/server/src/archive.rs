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

/// Evidence as the database keeps it: without what it shares with other evidence, such as the
/// certificates of its chip, where a file has that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The bytes that are its own.
    pub bytes: Vec<u8>,
    /// Behind how many of them the others stand, and the SHA-256 that names their file.
    pub shared: Option<(i64, [u8; 32])>,
}

/// What is shorter is not worth a look into another file.
const SHARED_BYTES_MIN: usize = 1024;

impl Evidence {
    /// Takes out the longest of these parts that stands in the evidence in one piece; each with the
    /// name of its file.
    #[must_use]
    pub fn cut<'a>(mut bytes: Vec<u8>, parts: impl Iterator<Item = (&'a [u8], [u8; 32])>) -> Self {
        let longest = parts.max_by_key(|(part, _)| part.len());
        let found = longest.and_then(|(part, name)| Some((place(&bytes, part)?, part, name)));
        let mut shared = None;
        if let Some((at, part, name)) = found
            && let Ok(place) = i64::try_from(at)
        {
            bytes.drain(at..at.saturating_add(part.len()));
            shared = Some((place, name));
        }
        Self { bytes, shared }
    }
}

/// Where a part begins in these bytes. In linear time: both are of somebody else's making.
fn place(bytes: &[u8], part: &[u8]) -> Option<usize> {
    part.get(..SHARED_BYTES_MIN)?;
    memchr::memmem::find(bytes, part)
}

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
    pub fn evidence(&self, name: &[u8; 32], held: Option<Evidence>) -> Option<Vec<u8>> {
        let Some(Evidence { mut bytes, shared }) = held else {
            return self.read(name);
        };
        if let Some((at, shared)) = shared {
            let at = usize::try_from(at).ok().filter(|at| *at <= bytes.len())?;
            bytes.splice(at..at, self.read(&shared)?);
        }
        Some(bytes).filter(|bytes| sha256(&[bytes]) == *name)
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
    fn evidence_is_put_together_again_from_what_it_shares() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path().to_path_buf(), 1 << 20, 0).unwrap();
        let certificates = vec![7; 3000];
        let shared = archive.keep(&certificates).unwrap();
        let whole = [&b"report"[..], &certificates, b"end"].concat();
        let name = sha256(&[&whole]);
        let parts = || [(&b"report"[..], [0; 32]), (certificates.as_slice(), shared)].into_iter();
        let cut = Evidence::cut(whole.clone(), parts());
        assert_eq!(cut.bytes, b"reportend");
        assert_eq!(cut.shared, Some((6, shared)));
        assert_eq!(
            archive.evidence(&name, Some(cut.clone())),
            Some(whole.clone())
        );
        // What is in pieces, or short, stays where it is.
        let apart = [&certificates[..2999], b"|", &certificates[2999..]].concat();
        let kept = Evidence::cut(apart.clone(), parts());
        assert_eq!((&kept.bytes, kept.shared), (&apart, None));
        let short = Evidence::cut(b"a report".to_vec(), parts().take(1));
        assert_eq!(short.shared, None);
        // Nothing else comes out of it.
        let wrong = Evidence {
            shared: Some((99, shared)),
            ..cut.clone()
        };
        assert_eq!(archive.evidence(&name, Some(wrong)), None);
        std::fs::write(folder.path().join(hex::encode(shared)), b"other").unwrap();
        assert_eq!(archive.evidence(&name, Some(cut)), None);
    }

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
