//! Files that this program makes: never over an existing one, secrets for their owner alone.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Writes a new file that everybody may read.
pub(crate) fn public(path: &Path, bytes: &[u8]) -> Result<(), String> {
    create(path, bytes, 0o644)
}

/// Writes a new file that only its owner may read.
pub(crate) fn private(path: &Path, bytes: &[u8]) -> Result<(), String> {
    create(path, bytes, 0o600)
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "{}: this file exists already and is not overwritten",
            path.display()
        ),
        _ => format!("{}: {error}", path.display()),
    })
}

/// Puts a file in the place of another one, whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let beside = with_suffix(path, &format!(".new-{}", std::process::id()));
    public(&beside, bytes)?;
    std::fs::rename(&beside, path).map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

/// The path with something at the end of its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
