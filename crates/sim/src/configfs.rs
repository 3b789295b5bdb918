//! A stand-in for the kernel's configfs-tsm, as a FUSE file system whose root is
//! `/sys/kernel/config/tsm/report`.
//!
//! Behaves as Documentation/ABI/testing/configfs-tsm-report says for `sev_guest` and `tdx_guest`:
//! `mkdir` makes a request with `inblob outblob provider generation`, for `sev_guest` also with
//! `auxblob privlevel privlevel_floor`, `inblob` takes exactly 64 bytes, every write counts `generation` up, `outblob` before `inblob` is
//! EINVAL. Never caches: everything is direct I/O. Knows nothing of who asks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite,
    Request, WriteFlags,
};

use crate::fuse_file;

/// Nothing is remembered by the kernel.
const NO_TIME: Duration = Duration::ZERO;
/// How many requests there may be at once: agents make one and remove it.
const ENTRIES_MAX: usize = 64;
/// Inode numbers per request: the folder and its attributes.
const STRIDE: u64 = 16;
/// What SNP and TDX take, no more and no less.
const INBLOB_BYTES: usize = 64;

/// Report and certificate table for report data and a VMPL.
pub(crate) type Maker = Box<dyn Fn([u8; 64], u32) -> (Vec<u8>, Vec<u8>) + Send + Sync>;

/// Whose machine this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// AMD SEV-SNP.
    SevGuest,
    /// Intel TDX: no privilege levels, no certificates.
    TdxGuest,
}

impl Provider {
    const fn name(self) -> &'static str {
        match self {
            Self::SevGuest => "sev_guest",
            Self::TdxGuest => "tdx_guest",
        }
    }

    fn shows(self, attribute: Attribute) -> bool {
        self == Self::SevGuest
            || !matches!(
                attribute,
                Attribute::Auxblob | Attribute::Privlevel | Attribute::PrivlevelFloor
            )
    }
}

/// How the stand-in misbehaves, to see how an agent takes it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// So many reads of `outblob` are followed by somebody else's write.
    pub(crate) races: u32,
    /// So many writes of `inblob` find the entry busy.
    pub(crate) busy: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Inblob,
    Outblob,
    Auxblob,
    Provider,
    Generation,
    Privlevel,
    PrivlevelFloor,
}

impl Attribute {
    const ALL: [Self; 7] = [
        Self::Inblob,
        Self::Outblob,
        Self::Auxblob,
        Self::Provider,
        Self::Generation,
        Self::Privlevel,
        Self::PrivlevelFloor,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Inblob => "inblob",
            Self::Outblob => "outblob",
            Self::Auxblob => "auxblob",
            Self::Provider => "provider",
            Self::Generation => "generation",
            Self::Privlevel => "privlevel",
            Self::PrivlevelFloor => "privlevel_floor",
        }
    }

    const fn is_written(self) -> bool {
        matches!(self, Self::Inblob | Self::Privlevel)
    }
}

/// One request.
#[derive(Default)]
struct Entry {
    number: u64,
    inblob: Option<[u8; INBLOB_BYTES]>,
    privlevel: u32,
    generation: u64,
    made: Option<(Vec<u8>, Vec<u8>)>,
}

struct State {
    entries: BTreeMap<String, Entry>,
    next: u64,
    trouble: Trouble,
    log: File,
}

/// The file system.
pub(crate) struct Configfs {
    provider: Provider,
    maker: Maker,
    state: Mutex<State>,
}

enum Node {
    Root,
    Folder,
    Attribute(String, Attribute),
}

impl Configfs {
    /// A stand-in that writes every access into `log`, one line each.
    pub(crate) fn new(provider: Provider, maker: Maker, trouble: Trouble, log: File) -> Self {
        Self {
            provider,
            maker,
            state: Mutex::new(State {
                entries: BTreeMap::new(),
                next: 1,
                trouble,
                log,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `first` is the read at offset 0: what happens beside a read happens once.
    fn contents(&self, name: &str, attribute: Attribute, first: bool) -> Result<Vec<u8>, Errno> {
        let mut guard = self.state();
        let state = &mut *guard;
        let entry = state.entries.get_mut(name).ok_or(Errno::ENOENT)?;
        match attribute {
            Attribute::Provider => Ok(format!("{}\n", self.provider.name()).into_bytes()),
            Attribute::Generation => Ok(format!("{}\n", entry.generation).into_bytes()),
            Attribute::PrivlevelFloor => Ok(b"0\n".to_vec()),
            Attribute::Inblob | Attribute::Privlevel => Err(Errno::EACCES),
            Attribute::Outblob | Attribute::Auxblob => {
                let inblob = entry.inblob.ok_or(Errno::EINVAL)?;
                let made = entry
                    .made
                    .get_or_insert_with(|| (self.maker)(inblob, entry.privlevel));
                let bytes = match attribute {
                    Attribute::Outblob => made.0.clone(),
                    _ => made.1.clone(),
                };
                if first && attribute == Attribute::Outblob && state.trouble.races > 0 {
                    state.trouble.races -= 1;
                    entry.generation += 1;
                    entry.made = None;
                }
                Ok(bytes)
            }
        }
    }

    fn store(&self, name: &str, attribute: Attribute, data: &[u8]) -> Result<(), Errno> {
        let mut guard = self.state();
        let state = &mut *guard;
        let entry = state.entries.get_mut(name).ok_or(Errno::ENOENT)?;
        match attribute {
            Attribute::Inblob => {
                if state.trouble.busy > 0 {
                    state.trouble.busy -= 1;
                    return Err(Errno::EBUSY);
                }
                entry.inblob = Some(data.try_into().map_err(|_| Errno::EINVAL)?);
            }
            Attribute::Privlevel => {
                let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
                let level = text.trim_end().parse().ok().filter(|level| *level <= 3);
                entry.privlevel = level.ok_or(Errno::EINVAL)?;
            }
            _ => return Err(Errno::EACCES),
        }
        entry.generation += 1;
        entry.made = None;
        Ok(())
    }
}

impl State {
    fn node(&self, inode: INodeNo) -> Option<Node> {
        let inode = u64::from(inode);
        if inode == 1 {
            return Some(Node::Root);
        }
        let (number, place) = (inode / STRIDE, inode % STRIDE);
        let (name, _) = self
            .entries
            .iter()
            .find(|(_, entry)| entry.number == number)?;
        if place == 0 {
            return Some(Node::Folder);
        }
        let place = usize::try_from(place).ok()?.checked_sub(1)?;
        let attribute = *Attribute::ALL.get(place)?;
        Some(Node::Attribute(name.clone(), attribute))
    }

    fn say(&mut self, what: &str, name: &str, attribute: &str) {
        // An access log that cannot be written makes the test that reads it fail.
        let _ = writeln!(self.log, "{what} {name} {attribute}");
    }
}

fn attributes(inode: u64, attribute: Option<Attribute>) -> FileAttr {
    let (kind, perm) = match attribute {
        None => (FileType::Directory, 0o755),
        Some(attribute) if attribute.is_written() => (FileType::RegularFile, 0o200),
        Some(_) => (FileType::RegularFile, 0o444),
    };
    fuse_file::attributes(inode, kind, perm, 0)
}

fn place(attribute: Attribute) -> u64 {
    let at = Attribute::ALL.iter().position(|known| *known == attribute);
    at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0) + 1
}

impl Filesystem for Configfs {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state();
        let name = name.to_string_lossy();
        let found = match state.node(parent) {
            Some(Node::Root) => state
                .entries
                .get(name.as_ref())
                .map(|entry| attributes(entry.number * STRIDE, None)),
            Some(Node::Folder) => Attribute::ALL
                .into_iter()
                .find(|attribute| attribute.name() == name && self.provider.shows(*attribute))
                .map(|attribute| attributes(u64::from(parent) + place(attribute), Some(attribute))),
            _ => None,
        };
        match found {
            Some(found) => reply.entry(&NO_TIME, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state().node(inode) {
            Some(Node::Root | Node::Folder) => {
                reply.attr(&NO_TIME, &attributes(u64::from(inode), None));
            }
            Some(Node::Attribute(_, attribute)) => {
                reply.attr(&NO_TIME, &attributes(u64::from(inode), Some(attribute)));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let mut guard = self.state();
        let state = &mut *guard;
        let name = name.to_string_lossy().into_owned();
        if parent != INodeNo::ROOT {
            return reply.error(Errno::EPERM);
        }
        if state.entries.contains_key(&name) {
            return reply.error(Errno::EEXIST);
        }
        if state.entries.len() >= ENTRIES_MAX {
            return reply.error(Errno::ENOSPC);
        }
        let number = state.next;
        state.next += 1;
        state.say("mkdir", &name, "");
        let entry = Entry {
            number,
            ..Entry::default()
        };
        state.entries.insert(name, entry);
        reply.entry(&NO_TIME, &attributes(number * STRIDE, None), Generation(0));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let name = name.to_string_lossy().into_owned();
        if parent != INodeNo::ROOT || state.entries.remove(&name).is_none() {
            return reply.error(Errno::ENOENT);
        }
        state.say("rmdir", &name, "");
        reply.ok();
    }

    /// Opening for writing truncates; attributes have no size, so nothing happens.
    fn setattr(
        &self,
        request: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<fuser::TimeOrNow>,
        _: Option<fuser::TimeOrNow>,
        _: Option<std::time::SystemTime>,
        handle: Option<FileHandle>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<std::time::SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.getattr(request, inode, handle, reply);
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let mut state = self.state();
        let Some(Node::Attribute(name, attribute)) = state.node(inode) else {
            return reply.error(Errno::EISDIR);
        };
        state.say("open", &name, attribute.name());
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let node = self.state().node(inode);
        let Some(Node::Attribute(name, attribute)) = node else {
            return reply.error(Errno::EISDIR);
        };
        match self.contents(&name, attribute, offset == 0) {
            Ok(bytes) => fuse_file::reply_part(reply, &bytes, offset, size),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let node = self.state().node(inode);
        let Some(Node::Attribute(name, attribute)) = node else {
            return reply.error(Errno::EISDIR);
        };
        let stored = if offset == 0 {
            self.store(&name, attribute, data)
        } else {
            Err(Errno::EINVAL)
        };
        match stored {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let state = self.state();
        let names: Vec<(u64, FileType, String)> = match state.node(inode) {
            Some(Node::Root) => state
                .entries
                .iter()
                .map(|(name, entry)| (entry.number * STRIDE, FileType::Directory, name.clone()))
                .collect(),
            Some(Node::Folder) => Attribute::ALL
                .into_iter()
                .filter(|attribute| self.provider.shows(*attribute))
                .map(|attribute| {
                    let number = u64::from(inode) + place(attribute);
                    (number, FileType::RegularFile, attribute.name().to_owned())
                })
                .collect(),
            _ => return reply.error(Errno::ENOTDIR),
        };
        fuse_file::reply_list(reply, offset, names.into_iter());
    }
}
