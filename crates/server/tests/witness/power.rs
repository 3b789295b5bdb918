//! A disk whose power can be cut: a FUSE file system in memory that knows, of every file and
//! folder, what was synced. A cut takes away what was not, or parts of it, as real disks do:
//! unsynced blocks may be lost one by one, unsynced names may be lost or there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use zeuge_server::keys;

const NO_TIME: Duration = Duration::ZERO;
const ROOT: u64 = 1;
/// What is lost or kept of a file as one.
const BLOCK: usize = 4096;

#[derive(Clone)]
enum Content {
    /// Bytes, and those that were synced.
    File { now: Vec<u8>, kept: Vec<u8> },
    /// Names, and those that were synced.
    Folder {
        now: BTreeMap<String, u64>,
        kept: BTreeMap<String, u64>,
    },
}

#[derive(Clone)]
struct Node {
    content: Content,
    perm: u16,
    /// Whether it is of the database, by the name that it was made with.
    is_database: bool,
}

struct State {
    nodes: BTreeMap<u64, Node>,
    next: u64,
    /// The power is off: nothing is read or written any more.
    is_off: bool,
    /// A disk that says it synced the database and did not.
    lies: bool,
    trouble: Trouble,
}

/// What is wrong with a disk that has power.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// No file grows, and there are no new ones.
    Full,
    /// Nothing is written, as after an error the kernel does not trust.
    ReadOnly,
    /// Every sync takes this long.
    Slow(Duration),
}

/// The disk. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(crate) fn new(lies: bool) -> Self {
        let root = Node {
            content: Content::Folder {
                now: BTreeMap::new(),
                kept: BTreeMap::new(),
            },
            perm: 0o755,
            is_database: false,
        };
        Self(Arc::new(Mutex::new(State {
            nodes: [(ROOT, root)].into(),
            next: ROOT + 1,
            is_off: false,
            lies,
            trouble: Trouble::None,
        })))
    }

    /// Mounts it; nothing where this machine does not let us.
    pub(crate) fn mount(&self, at: &Path) -> std::io::Result<BackgroundSession> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("zeuge-power".to_owned())];
        fuser::spawn_mount(self.clone(), at, &config)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is wrong with it.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    /// Everything counts as synced.
    pub(crate) fn settle(&self) {
        for node in self.state().nodes.values_mut() {
            node.content.settle();
        }
    }

    /// The power goes: from now on every call fails.
    pub(crate) fn off(&self) {
        self.state().is_off = true;
    }

    /// The power comes back, without what was not synced.
    pub(crate) fn on(&self) {
        let mut state = self.state();
        state.is_off = false;
        for node in state.nodes.values_mut() {
            match &mut node.content {
                Content::File { now, kept } => {
                    *now = torn(now, kept);
                    *kept = now.clone();
                }
                Content::Folder { now, kept } => {
                    if toss() {
                        *now = kept.clone();
                    }
                    *kept = now.clone();
                }
            }
        }
    }
}

impl Content {
    fn settle(&mut self) {
        match self {
            Self::File { now, kept } => kept.clone_from(now),
            Self::Folder { now, kept } => kept.clone_from(now),
        }
    }
}

fn toss() -> bool {
    let mut byte = [0];
    keys::random(&mut byte);
    byte[0] & 1 == 0
}

/// What is left of a file: in half of all cases what was synced, else a mixture by blocks.
fn torn(now: &[u8], kept: &[u8]) -> Vec<u8> {
    if now == kept || toss() {
        return kept.to_vec();
    }
    let length = if toss() { now.len() } else { kept.len() };
    let mut left = vec![0; length];
    for (number, block) in left.chunks_mut(BLOCK).enumerate() {
        let source = if toss() { now } else { kept };
        let from = source.get(number * BLOCK..).unwrap_or_default();
        let count = from.len().min(block.len());
        block[..count].copy_from_slice(&from[..count]);
    }
    left
}

impl State {
    /// Whether something may be written, and whether it may take room.
    fn may_write(&self, grows: bool) -> Result<(), Errno> {
        match self.trouble {
            Trouble::ReadOnly => Err(Errno::EROFS),
            Trouble::Full if grows => Err(Errno::ENOSPC),
            _ => Ok(()),
        }
    }

    fn node(&mut self, inode: INodeNo) -> Result<&mut Node, Errno> {
        if self.is_off {
            return Err(Errno::EIO);
        }
        self.nodes.get_mut(&u64::from(inode)).ok_or(Errno::ENOENT)
    }

    fn names(&mut self, inode: INodeNo) -> Result<&mut BTreeMap<String, u64>, Errno> {
        match &mut self.node(inode)?.content {
            Content::Folder { now, .. } => Ok(now),
            Content::File { .. } => Err(Errno::ENOTDIR),
        }
    }

    fn bytes(&mut self, inode: INodeNo) -> Result<&mut Vec<u8>, Errno> {
        match &mut self.node(inode)?.content {
            Content::File { now, .. } => Ok(now),
            Content::Folder { .. } => Err(Errno::EISDIR),
        }
    }

    fn attributes(&mut self, inode: INodeNo) -> Result<FileAttr, Errno> {
        let node = self.node(inode)?;
        let (kind, size) = match &node.content {
            Content::File { now, .. } => (FileType::RegularFile, now.len()),
            Content::Folder { .. } => (FileType::Directory, 0),
        };
        Ok(FileAttr {
            ino: inode,
            size: size as u64,
            blocks: size.div_ceil(512) as u64,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: node.perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn find(&mut self, parent: INodeNo, name: &OsStr) -> Result<FileAttr, Errno> {
        let name = name.to_string_lossy();
        let found = self.names(parent)?.get(name.as_ref()).copied();
        self.attributes(INodeNo(found.ok_or(Errno::ENOENT)?))
    }

    fn make(
        &mut self,
        parent: INodeNo,
        name: &OsStr,
        (content, perm): (Content, u32),
    ) -> Result<FileAttr, Errno> {
        self.may_write(true)?;
        let number = self.next;
        let name = name.to_string_lossy().into_owned();
        let is_database = name.starts_with("zeuge.sqlite");
        let names = self.names(parent)?;
        if names.contains_key(&name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name, number);
        self.next += 1;
        let perm = u16::try_from(perm & 0o7777).unwrap_or(0o600);
        let node = Node {
            content,
            perm,
            is_database,
        };
        self.nodes.insert(number, node);
        self.attributes(INodeNo(number))
    }

    fn take(&mut self, parent: INodeNo, name: &OsStr) -> Result<u64, Errno> {
        self.may_write(false)?;
        let name = name.to_string_lossy();
        self.names(parent)?
            .remove(name.as_ref())
            .ok_or(Errno::ENOENT)
    }

    fn sync(&mut self, inode: INodeNo) -> Result<(), Errno> {
        let lies = self.lies;
        let node = self.node(inode)?;
        if !(lies && node.is_database) {
            node.content.settle();
        }
        Ok(())
    }
}

fn empty(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn entry(done: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match done {
        Ok(found) => reply.entry(&NO_TIME, &found, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn attr(done: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match done {
        Ok(found) => reply.attr(&NO_TIME, &found),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.state().find(parent, name), reply);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(self.state().attributes(inode), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.state();
        if let Some(size) = size {
            let size = usize::try_from(size).unwrap_or(0);
            let held = state.bytes(inode).map_or(0, |bytes| bytes.len());
            let done = state.may_write(size > held);
            let bytes = done.and_then(|()| state.bytes(inode));
            if let Err(error) = bytes.map(|bytes| bytes.resize(size, 0)) {
                return reply.error(error);
            }
        }
        if let (Some(mode), Ok(node)) = (mode, state.node(inode)) {
            node.perm = u16::try_from(mode & 0o7777).unwrap_or(0o600);
        }
        attr(state.attributes(inode), reply);
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let folder = Content::Folder {
            now: BTreeMap::new(),
            kept: BTreeMap::new(),
        };
        entry(self.state().make(parent, name, (folder, mode)), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        // The node stays: it may be open, or come back when the removal was not synced.
        empty(self.state().take(parent, name).map(drop), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut state = self.state();
        let found = state.find(parent, name).map(|found| found.ino);
        let is_empty = found.and_then(|inode| state.names(inode).map(|names| names.is_empty()));
        let done = match is_empty {
            Ok(true) => state.take(parent, name).map(drop),
            Ok(false) => Err(Errno::ENOTEMPTY),
            Err(error) => Err(error),
        };
        empty(done, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let mut state = self.state();
        let new = new.to_string_lossy().into_owned();
        let moved = state.take(parent, name);
        let done = moved.and_then(|number| state.names(to).map(|names| names.insert(new, number)));
        empty(done.map(drop), reply);
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.state().bytes(inode) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let file = Content::File {
            now: Vec::new(),
            kept: Vec::new(),
        };
        match self.state().make(parent, name, (file, mode)) {
            Ok(made) => reply.created(
                &NO_TIME,
                &made,
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(error),
        }
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
        match self.state().bytes(inode) {
            Ok(bytes) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = start.saturating_add(size as usize).min(bytes.len());
                reply.data(&bytes[start..end]);
            }
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
        let mut state = self.state();
        let start = usize::try_from(offset).unwrap_or(0);
        let end = start + data.len();
        let held = state.bytes(inode).map_or(0, |bytes| bytes.len());
        let done = state.may_write(end > held);
        match done.and_then(|()| state.bytes(inode)) {
            Ok(bytes) => {
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(data);
                reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
            }
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let trouble = self.state().trouble;
        if let Trouble::Slow(time) = trouble {
            // This is the fault, not a way to wait for anything.
            std::thread::sleep(time);
        }
        empty(self.state().sync(inode), reply);
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(self.state().sync(inode), reply);
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let mut state = self.state();
        let names = match state.names(inode) {
            Ok(names) => names.clone(),
            Err(error) => return reply.error(error),
        };
        let mut all = vec![
            (u64::from(inode), FileType::Directory, ".".to_owned()),
            (ROOT, FileType::Directory, "..".to_owned()),
        ];
        for (name, number) in names {
            if let Ok(found) = state.attributes(INodeNo(number)) {
                all.push((number, found.kind, name));
            }
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (number, kind, name)) in all.into_iter().enumerate().skip(from) {
            if reply.add(INodeNo(number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
