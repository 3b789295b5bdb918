//! Files: read whole under a limit, written whole or not at all, one writer at a time.
//!
//! Knows nothing of what is in them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::Path,
};

use crate::CacheError;

/// Names the path in an error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> CacheError + '_ {
    |error| CacheError::Disk {
        path: path.to_path_buf(),
        error,
    }
}

/// The whole file; `None` when it is not there or longer than `bytes_max`.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, CacheError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(at(path))?;
    Ok(Some(bytes).filter(|bytes| bytes.len() <= bytes_max))
}

/// Writes beside, syncs, renames, syncs the folder. Only under [`lock`]: the name beside is fixed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside).map_err(at(&beside))?;
    file.write_all(bytes).map_err(at(&beside))?;
    file.sync_all().map_err(at(&beside))?;
    fs::rename(&beside, path).map_err(at(path))?;
    if let Some(folder) = path.parent() {
        let opened = File::open(folder).map_err(at(folder))?;
        opened.sync_all().map_err(at(folder))?;
    }
    Ok(())
}

/// Waits until no other process writes; the lock ends with the returned file.
pub(crate) fn lock(path: &Path) -> Result<File, CacheError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(at(path))?;
    file.lock().map_err(at(path))?;
    Ok(file)
}
