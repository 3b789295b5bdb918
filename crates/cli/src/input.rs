//! Files as they come: bounded, named, never trusted.
//!
//! Reads at most a limit of bytes whatever a file claims to be long: a sparse file of a gibibyte
//! costs no more than a small one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use zeuge_verify::Endorsements;

/// A bundle with event logs is under 4 MiB; twice that is hostile.
pub(crate) const INPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Files in one folder of endorsements; a fleet's cache has a few thousand.
const FOLDER_FILES_MAX: usize = 20_000;
/// How deep folders of endorsements are followed.
const FOLDER_DEPTH_MAX: usize = 4;

/// Where files come from: the disk, the disk with a copy kept, or an archive and nothing else.
#[derive(Default)]
enum World {
    #[default]
    Disk,
    Recorded(Vec<(PathBuf, Vec<u8>)>),
    Served(BTreeMap<PathBuf, Vec<u8>>),
}

static WORLD: Mutex<World> = Mutex::new(World::Disk);

fn world() -> MutexGuard<'static, World> {
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a copy of every file that is read from now on.
pub(crate) fn record() {
    *world() = World::Recorded(Vec::new());
}

/// What was read since [`record`], in its order, each file once; reading goes on without copies.
pub(crate) fn recorded() -> Vec<(PathBuf, Vec<u8>)> {
    let World::Recorded(all) = std::mem::take(&mut *world()) else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    let first = |(path, _): &(PathBuf, Vec<u8>)| seen.insert(path.clone());
    all.into_iter().filter(first).collect()
}

/// Serves these files from now on, and no others.
pub(crate) fn serve(files: BTreeMap<PathBuf, Vec<u8>>) {
    *world() = World::Served(files);
}

/// Reads from the disk again.
pub(crate) fn serve_nothing() {
    *world() = World::Disk;
}

/// Whether there is such a file.
pub(crate) fn exists(path: &Path) -> bool {
    match &*world() {
        World::Served(files) => files.contains_key(path),
        World::Disk | World::Recorded(_) => path.exists(),
    }
}

/// Whether this is a file.
pub(crate) fn is_there(path: &Path) -> bool {
    match &*world() {
        World::Served(files) => files.contains_key(path),
        World::Disk | World::Recorded(_) => path.is_file(),
    }
}

/// Whether this is a folder.
pub(crate) fn is_folder(path: &Path) -> bool {
    match &*world() {
        World::Served(files) => {
            !files.contains_key(path) && files.keys().any(|file| file.starts_with(path))
        }
        World::Disk | World::Recorded(_) => path.is_dir(),
    }
}

/// Reads a file, or standard input for `-`. The result may be one byte longer than the limit, so
/// that the parser sees that it is too long.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    read_up_to(path, INPUT_BYTES_MAX)
}

/// As [`read`], with a limit of the caller's.
pub(crate) fn read_up_to(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
    if let World::Served(files) = &*world() {
        let held = files.get(path).cloned();
        return held.ok_or_else(|| format!("{}: not in the archive", path.display()));
    }
    let bytes = from_disk(path, bytes_max)?;
    if let World::Recorded(all) = &mut *world() {
        all.push((path.to_owned(), bytes.clone()));
    }
    Ok(bytes)
}

fn from_disk(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
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

/// The files among these files and folders, in the order of their names.
pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, 0, &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if let World::Served(held) = &*world() {
        let inside = held.keys().filter(|file| file.starts_with(path));
        files.extend(inside.take(FOLDER_FILES_MAX).cloned());
        return Ok(());
    }
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
