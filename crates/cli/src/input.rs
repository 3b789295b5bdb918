//! Files as they come: bounded, named, never trusted.
//!
//! Reads at most a limit of bytes whatever a file claims to be long: a sparse file of a gibibyte
//! costs no more than a small one.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use zeuge_verify::Endorsements;

/// A bundle with event logs is under 4 MiB; twice that is hostile.
pub(crate) const INPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Files in one folder of endorsements; a fleet's cache has a few thousand.
const FOLDER_FILES_MAX: usize = 20_000;
/// How deep folders of endorsements are followed.
const FOLDER_DEPTH_MAX: usize = 4;

/// Reads a file, or standard input for `-`. The result may be one byte longer than the limit, so
/// that the parser sees that it is too long.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    read_up_to(path, INPUT_BYTES_MAX)
}

/// As [`read`], with a limit of the caller's.
pub(crate) fn read_up_to(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(bytes_max)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    } else {
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(format!(
                "{}: this is a folder; name the files in it",
                path.display()
            ));
        }
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(bytes)
}

/// Reads a text file of the owner's.
pub(crate) fn text(path: &Path) -> Result<String, String> {
    String::from_utf8(read(path)?).map_err(|_| format!("{}: this is not text", path.display()))
}

/// Reads endorsements from files and folders, in the order of their names.
pub(crate) fn endorsements(paths: &[PathBuf]) -> Result<Endorsements, String> {
    let mut heap = Endorsements::new();
    for path in paths {
        let mut files = Vec::new();
        collect(path, 0, &mut files)?;
        files.sort();
        for file in files {
            let bytes = read(&file)?;
            heap.add(&file.display().to_string(), &bytes);
        }
    }
    Ok(heap)
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.metadata().map_err(failed)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth >= FOLDER_DEPTH_MAX {
        return Err(format!(
            "{}: folders are followed four deep, not deeper",
            path.display()
        ));
    }
    for entry in path.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if files.len() >= FOLDER_FILES_MAX {
            return Err(format!(
                "{}: more than {FOLDER_FILES_MAX} files",
                path.display()
            ));
        }
        collect(&entry.path(), depth.saturating_add(1), files)?;
    }
    Ok(())
}
