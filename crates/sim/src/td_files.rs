//! A stand-in for what Linux shows a trust domain beside configfs-tsm, as a FUSE file system: the boot
//! log (`CCEL`, `data/CCEL`, as below `/sys/firmware/acpi/tables`) and the registers (`measurements/`,
//! as below `/sys/devices/virtual/misc/tdx_guest`).
//!
//! Behaves as Documentation/ABI/testing/sysfs-devices-virtual-misc-tdx_guest says: a read gives 48 bytes,
//! a write of exactly 48 bytes at offset 0 extends, and RTMR0 and RTMR1 take none. What is extended here,
//! the next quote says.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};
use zeuge_sim::td_boot;

use crate::fuse_file;

/// Nothing is remembered by the kernel.
const NO_TIME: Duration = Duration::ZERO;

/// RTMR0 to RTMR3 of a running machine.
pub(crate) type Registers = Arc<Mutex<[[u8; 48]; 4]>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    Table,
    Area,
    Rtmr(usize),
}

/// Inode, inode of the folder, name, what it is.
const NODES: [(u64, u64, &str, Node); 9] = [
    (1, 0, "", Node::Folder),
    (2, 1, "CCEL", Node::Table),
    (3, 1, "data", Node::Folder),
    (4, 3, "CCEL", Node::Area),
    (5, 1, "measurements", Node::Folder),
    (6, 5, "rtmr0:sha384", Node::Rtmr(0)),
    (7, 5, "rtmr1:sha384", Node::Rtmr(1)),
    (8, 5, "rtmr2:sha384", Node::Rtmr(2)),
    (9, 5, "rtmr3:sha384", Node::Rtmr(3)),
];

/// The file system.
pub(crate) struct TdFiles {
    registers: Registers,
    area: Vec<u8>,
}

impl TdFiles {
    /// A machine with these registers whose boot left this log.
    pub(crate) const fn new(registers: Registers, area: Vec<u8>) -> Self {
        Self { registers, area }
    }

    fn content(&self, node: Node) -> Vec<u8> {
        match node {
            Node::Folder => Vec::new(),
            Node::Table => td_boot::table(),
            Node::Area => self.area.clone(),
            Node::Rtmr(index) => {
                let registers = self.registers.lock();
                let registers = registers.unwrap_or_else(PoisonError::into_inner);
                registers[index].to_vec()
            }
        }
    }

    fn extend(&self, node: Node, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let Node::Rtmr(index @ 2..) = node else {
            return Err(Errno::EACCES);
        };
        let digest: &[u8; 48] = data.try_into().map_err(|_| Errno::EINVAL)?;
        if offset != 0 {
            return Err(Errno::EINVAL);
        }
        let registers = self.registers.lock();
        let mut registers = registers.unwrap_or_else(PoisonError::into_inner);
        let register = &mut registers[index];
        *register = td_boot::extended(register, digest);
        Ok(())
    }

    fn attributes(&self, inode: u64, node: Node) -> FileAttr {
        let (kind, perm) = match node {
            Node::Folder => (FileType::Directory, 0o755),
            Node::Rtmr(2..) => (FileType::RegularFile, 0o644),
            _ => (FileType::RegularFile, 0o444),
        };
        let size = self.content(node).len() as u64;
        fuse_file::attributes(inode, kind, perm, size)
    }
}

fn node(inode: INodeNo) -> Option<Node> {
    let found = NODES
        .iter()
        .find(|(number, ..)| *number == u64::from(inode));
    found.map(|(_, _, _, node)| *node)
}

impl Filesystem for TdFiles {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = NODES
            .iter()
            .find(|(_, folder, known, _)| *folder == u64::from(parent) && *known == name);
        match found {
            Some((inode, _, _, node)) => {
                reply.entry(&NO_TIME, &self.attributes(*inode, *node), Generation(0));
            }
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match node(inode) {
            Some(node) => reply.attr(&NO_TIME, &self.attributes(u64::from(inode), node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match node(inode) {
            None | Some(Node::Folder) => reply.error(Errno::EISDIR),
            Some(_) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
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
        let content = node(inode)
            .map(|node| self.content(node))
            .unwrap_or_default();
        fuse_file::reply_part(reply, &content, offset, size);
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
        let node = node(inode).unwrap_or(Node::Folder);
        match self.extend(node, offset, data) {
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
        let inside = NODES
            .iter()
            .filter(|(_, folder, ..)| *folder == u64::from(inode));
        let inside = inside.map(|(number, _, name, node)| {
            let kind = match node {
                Node::Folder => FileType::Directory,
                _ => FileType::RegularFile,
            };
            (*number, kind, *name)
        });
        fuse_file::reply_list(reply, offset, inside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_is_extended_by_a_whole_digest_at_its_beginning_and_firmware_s_by_none() {
        let files = TdFiles::new(Arc::new(Mutex::new([[0; 48]; 4])), Vec::new());
        for (index, offset, length) in [(0, 0, 48), (1, 0, 48), (2, 0, 47), (3, 1, 48), (3, 0, 96)]
        {
            let data = vec![7; length];
            assert!(files.extend(Node::Rtmr(index), offset, &data).is_err());
            assert_eq!(files.content(Node::Rtmr(index)), [0; 48]);
        }
        files.extend(Node::Rtmr(3), 0, &[7; 48]).unwrap();
        let wanted = td_boot::extended(&[0; 48], &[7; 48]);
        assert_eq!(files.content(Node::Rtmr(3)), wanted);
        assert_eq!(files.content(Node::Rtmr(2)), [0; 48]);
    }
}
