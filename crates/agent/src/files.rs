//! Folders and files: written whole or not at all, for their owner alone.
//!
//! Works relative to an open folder, so that nobody exchanges it meanwhile. Never follows a
//! symbolic link inside it; never writes a secret where it would outlive the machine, unless
//! somebody wrote a dangerous option.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self as sys, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use zeuge_protocol::name;

use crate::error::{Error, Fault};
use crate::random;

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &["agent.target"];

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// File systems that live in memory (include/uapi/linux/magic.h): tmpfs, ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// An open folder and how people call it.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: OwnedFd,
    title: String,
}

impl Folder {
    /// Opens a folder; makes it, for its owner alone, when it is not there.
    ///
    /// # Errors
    /// `agent.local` when that fails.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let title = path.display().to_string();
        let trouble = |error: std::io::Error| Error::local(format!("folder {title}: {error}"));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(path).map_err(trouble)?;
        // The last step may be a link: the caller named it.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            sys::open(path, flags, Mode::empty()).map_err(|error| trouble(error.into()))?;
        Ok(Self { folder, title })
    }

    /// The folder of this file, and its name.
    ///
    /// # Errors
    /// `agent.local` when there is no name or no folder.
    pub(crate) fn of(file: &Path) -> Result<(Self, String), Error> {
        let name = file.file_name().and_then(std::ffi::OsStr::to_str);
        let name = name.ok_or_else(|| Error::local(format!("{} names no file", file.display())))?;
        let parent = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        Ok((Self::open(parent)?, name.to_owned()))
    }

    /// A folder inside this one, made when it is not there.
    ///
    /// # Errors
    /// `agent.local` when that fails, or it is a link.
    pub(crate) fn inside(&self, name: &str) -> Result<Self, Error> {
        let title = format!("{}/{name}", self.title);
        let trouble = |error| Error::local(format!("folder {title}: {error}"));
        match sys::mkdirat(&self.folder, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(trouble(error)),
        }
        let folder = sys::openat(&self.folder, name, FOLDER, Mode::empty()).map_err(trouble)?;
        Ok(Self { folder, title })
    }

    /// Whether the folder lies in memory only.
    ///
    /// # Errors
    /// `agent.local` when the kernel does not say.
    pub(crate) fn is_in_memory(&self) -> Result<bool, Error> {
        let found = sys::fstatfs(&self.folder)
            .map_err(|error| Error::local(format!("folder {}: {error}", self.title)))?;
        Ok(IN_MEMORY
            .iter()
            .any(|known| i128::from(*known) == i128::from(found.f_type)))
    }

    /// Refuses a folder that outlives the machine.
    ///
    /// # Errors
    /// `agent.target`.
    pub(crate) fn demand_memory(&self) -> Result<(), Error> {
        if self.is_in_memory()? {
            return Ok(());
        }
        Err(Error::new(
            "agent.target",
            Fault::Refused,
            format!(
                "{} is not a tmpfs: a secret written there stays on a disk that others may read; \
                 name a folder such as /run/secrets, or --dangerous-persistent-target",
                self.title
            ),
        ))
    }

    /// Writes a file of mode 0600 that is there whole or not at all, in place of an older one.
    ///
    /// # Errors
    /// `agent.local` when that fails.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let trouble =
            |error: std::io::Error| Error::local(format!("file {}/{name}: {error}", self.title));
        let mut draft = [0; 8];
        random::fill(&mut draft)?;
        let draft = format!(".zeuge-{}", hex::encode(draft));
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = sys::openat(&self.folder, draft.as_str(), flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| trouble(error.into()))?;
        let mut file = File::from(file);
        let done = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| {
                sys::renameat(&self.folder, draft.as_str(), &self.folder, name)
                    .map_err(std::io::Error::from)
            })
            .and_then(|()| sys::fsync(&self.folder).map_err(std::io::Error::from));
        if done.is_err() {
            let _ = sys::unlinkat(&self.folder, draft.as_str(), AtFlags::empty());
        }
        done.map_err(trouble)
    }

    /// Reads a file; `None` when it is not there.
    ///
    /// # Errors
    /// `agent.local` when it cannot be read, is a link, or is longer than `bytes_max`.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
        let title = format!("{}/{name}", self.title);
        let trouble = |error: std::io::Error| Error::local(format!("file {title}: {error}"));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match sys::openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(trouble(error.into())),
        };
        let mut bytes = Vec::new();
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(trouble)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
            return Err(Error::local(format!(
                "file {title} is longer than {bytes_max} bytes"
            )));
        }
        Ok(Some(bytes))
    }

    /// Removes a file if it is there.
    ///
    /// # Errors
    /// `agent.local` when that fails.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        match sys::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::local(format!("file {}/{name}: {error}", self.title))),
        }
    }

    /// The names of what is inside, sorted.
    ///
    /// # Errors
    /// `agent.local` when that fails.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let trouble = |error| Error::local(format!("folder {}: {error}", self.title));
        let mut names = Vec::new();
        for entry in sys::Dir::read_from(&self.folder).map_err(trouble)? {
            let entry = entry.map_err(trouble)?;
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Waits until this program alone works in the folder; the lock goes with the value.
    ///
    /// # Errors
    /// `agent.local` when that fails.
    pub(crate) fn lock(&self) -> Result<OwnedFd, Error> {
        let trouble = |error| Error::local(format!("lock in {}: {error}", self.title));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            sys::openat(&self.folder, "lock", flags, Mode::RUSR | Mode::WUSR).map_err(trouble)?;
        sys::flock(&file, sys::FlockOperation::LockExclusive).map_err(trouble)?;
        Ok(file)
    }
}

/// The folder and file name of a secret below `root`; folders are made. Nothing leaves `root`:
/// segments are `[a-z0-9._-]+` and never `.` or `..`.
///
/// # Errors
/// Those of [`Folder::inside`].
pub(crate) fn place(root: Folder, path: &name::Path) -> Result<(Folder, String), Error> {
    let mut folder = root;
    let mut segments = path.segments().peekable();
    let mut name = "";
    while let Some(segment) = segments.next() {
        if segments.peek().is_some() {
            folder = folder.inside(segment)?;
        } else {
            name = segment;
        }
    }
    Ok((folder, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_secret_lands_whole_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = name::Path::parse("db/password").unwrap();
        for value in [&b"first"[..], b"second"] {
            let (folder, name) = place(Folder::open(root.path()).unwrap(), &path).unwrap();
            folder.put(&name, value).unwrap();
            let file = root.path().join("db/password");
            assert_eq!(std::fs::read(&file).unwrap(), value);
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let left = std::fs::read_dir(root.path().join("db")).unwrap().count();
        assert_eq!(left, 1);
    }

    #[test]
    fn links_inside_the_target_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        symlink("/tmp", root.path().join("db")).unwrap();
        let path = name::Path::parse("db/password").unwrap();
        let error = place(Folder::open(root.path()).unwrap(), &path).unwrap_err();
        assert_eq!(error.check, "agent.local");
        symlink("/etc/passwd", root.path().join("file")).unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert!(folder.read("file", 10_000).is_err());
        folder.put("file", b"mine").unwrap();
        assert_eq!(folder.read("file", 10).unwrap().unwrap(), b"mine");
    }

    #[test]
    fn only_memory_counts_as_a_target() {
        let memory = Folder::open(Path::new("/dev/shm")).unwrap();
        assert_eq!(memory.demand_memory(), Ok(()));
        let disk = Folder::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        if !disk.is_in_memory().unwrap() {
            let error = disk.demand_memory().unwrap_err();
            assert_eq!(
                (error.check.as_str(), error.exit_code()),
                ("agent.target", 5)
            );
        }
    }
}
