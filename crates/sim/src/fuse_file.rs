//! What the stand-ins have in common: attributes without times or owners, and parts of contents, as
//! the kernel's own file systems of this kind give them.

use std::time::UNIX_EPOCH;

use fuser::{FileAttr, FileType, INodeNo, ReplyData, ReplyDirectory};

/// Attributes of a file or folder of root's with these permissions.
pub(crate) fn attributes(inode: u64, kind: FileType, perm: u16, size: u64) -> FileAttr {
    FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Answers a read with what lies at this place of the content.
pub(crate) fn reply_part(reply: ReplyData, content: &[u8], offset: u64, size: u32) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let start = start.min(content.len());
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let end = start.saturating_add(size).min(content.len());
    reply.data(content.get(start..end).unwrap_or_default());
}

/// Answers a listing with these inodes, from the given place on.
pub(crate) fn reply_list(
    mut reply: ReplyDirectory,
    offset: u64,
    list: impl Iterator<Item = (u64, FileType, impl AsRef<str>)>,
) {
    let skip = usize::try_from(offset).unwrap_or(usize::MAX);
    for (next, (number, kind, name)) in (1..).zip(list).skip(skip) {
        if reply.add(INodeNo(number), next, kind, name.as_ref()) {
            break;
        }
    }
    reply.ok();
}
