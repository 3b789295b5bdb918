//! A stand-in for the module of a Nitro enclave (`/dev/nsm`), as a FUSE file system of one file.
//!
//! Behaves as include/uapi/linux/nsm.h says: `NSM_IOCTL_RAW` names two buffers of the caller's; the
//! request is read from one and the answer written to the other, with its length. Knows one request,
//! `Attestation`; any other is `InvalidOperation`, as of the real module. A file cannot take what the
//! buffers hold, so they are reached through `/proc/PID/mem` of the caller: this needs root.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, IoctlFlags,
    OpenFlags, ReplyAttr, ReplyDirectory, ReplyEntry, ReplyIoctl, ReplyOpen, Request,
};
use zeuge_evidence::UnixTime;
use zeuge_sim::{NitroLie, NitroSpec, ToyNitro};

use crate::fuse_file;

/// Nothing is remembered by the kernel.
const NO_TIME: Duration = Duration::ZERO;
/// `_IOWR(0x0A, 0, struct nsm_raw)`.
const RAW: u32 = 0xc020_0a00;
/// The longest request and answer that the driver takes, in bytes.
const REQUEST_BYTES_MAX: usize = 0x1000;
const ANSWER_BYTES_MAX: usize = 0x3000;
const FOLDER: INodeNo = INodeNo(1);
const MODULE: INodeNo = INodeNo(2);
const NAME: &str = "nsm";

/// The file system.
pub(crate) struct Nsm {
    lie: Option<NitroLie>,
    debug: bool,
    now: fn() -> UnixTime,
}

impl Nsm {
    /// The module of an enclave that tells this lie, or runs in debug mode.
    pub(crate) const fn new(lie: Option<NitroLie>, debug: bool, now: fn() -> UnixTime) -> Self {
        Self { lie, debug, now }
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        if !request.starts_with(b"\xa1\x6bAttestation\xa3") {
            return b"\xa1\x65Error\x70InvalidOperation".to_vec();
        }
        let spec = NitroSpec {
            debug: self.debug,
            nonce: field(request, b"\x65nonce"),
            user_data: field(request, b"\x69user_data"),
            ..NitroSpec::new(false)
        };
        let file = ToyNitro::shared().tell(self.lie, &spec, (self.now)()).file;
        let mut out = b"\xa1\x6bAttestation\xa1\x68document\x59".to_vec();
        out.extend(u16::try_from(file.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(file);
        out
    }

    /// One call by this process: the structure as it is handed back.
    fn raw(&self, process: u32, structure: &[u8]) -> Result<Vec<u8>, Errno> {
        let number = |at: usize| {
            let part = structure.get(at..)?.first_chunk()?;
            Some(u64::from_ne_bytes(*part))
        };
        let [
            Some(request_at),
            Some(request_bytes),
            Some(answer_at),
            Some(room),
        ] = [0, 8, 16, 24].map(number)
        else {
            return Err(Errno::EINVAL);
        };
        let within = |bytes: u64, most: usize| {
            let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= most);
            bytes.ok_or(Errno::EMSGSIZE)
        };
        let mut request = vec![0; within(request_bytes, REQUEST_BYTES_MAX)?];
        let room = within(room, ANSWER_BYTES_MAX)?;
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{process}/mem"));
        let unreachable = |_: io::Error| Errno::EFAULT;
        let memory = memory.map_err(unreachable)?;
        memory
            .read_exact_at(&mut request, request_at)
            .map_err(unreachable)?;
        let answer = self.answer(&request);
        if answer.len() > room {
            return Err(Errno::EMSGSIZE);
        }
        memory
            .write_all_at(&answer, answer_at)
            .map_err(unreachable)?;
        let mut out = structure.get(..24).unwrap_or_default().to_vec();
        out.extend(u64::try_from(answer.len()).unwrap_or(0).to_ne_bytes());
        Ok(out)
    }

    fn attributes(inode: INodeNo) -> FileAttr {
        let (kind, perm) = match inode {
            FOLDER => (FileType::Directory, 0o755),
            _ => (FileType::RegularFile, 0o600),
        };
        fuse_file::attributes(inode.0, kind, perm, 0)
    }
}

/// The byte string of two length bytes behind a name; empty where there is another thing.
fn field(request: &[u8], name: &[u8]) -> Vec<u8> {
    let at = request.windows(name.len()).position(|part| part == name);
    let rest = at.and_then(|at| request.get(at.saturating_add(name.len())..));
    match rest {
        Some([0x59, high, low, rest @ ..]) => {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            rest.get(..length).unwrap_or_default().to_vec()
        }
        _ => Vec::new(),
    }
}

impl Filesystem for Nsm {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == FOLDER && name == NAME {
            reply.entry(&NO_TIME, &Self::attributes(MODULE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&NO_TIME, &Self::attributes(inode));
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if inode == MODULE {
            reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
        } else {
            reply.error(Errno::EISDIR);
        }
    }

    fn ioctl(
        &self,
        request: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        command: u32,
        structure: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        if inode != MODULE || command != RAW {
            reply.error(Errno::ENOTTY);
            return;
        }
        match self.raw(request.pid(), structure) {
            Ok(structure) => reply.ioctl(0, &structure),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if inode == FOLDER && offset == 0 {
            // One name fits into any answer.
            let _ = reply.add(MODULE, 1, FileType::RegularFile, NAME);
        }
        reply.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_reads_and_writes_the_callers_memory_and_refuses_what_it_does_not_know() {
        if !std::path::Path::new("/proc/self/mem").exists() {
            return;
        }
        let module = Nsm::new(None, false, || UnixTime(1_772_323_200));
        let asked = |request: &[u8], room: usize| {
            let mut answer = vec![0_u8; room];
            let structure: Vec<u8> = [
                request.as_ptr().expose_provenance(),
                request.len(),
                answer.as_mut_ptr().expose_provenance(),
                room,
            ]
            .iter()
            .flat_map(|number| u64::try_from(*number).unwrap().to_ne_bytes())
            .collect();
            let out = module.raw(std::process::id(), &structure)?;
            let length = u64::from_ne_bytes(out[24..].try_into().unwrap());
            answer.truncate(usize::try_from(length).unwrap());
            // What was written went past the compiler.
            Ok::<_, Errno>(std::hint::black_box(answer))
        };
        let request =
            b"\xa1\x6bAttestation\xa3\x69user_data\xf6\x65nonce\x59\x00\x02hi\x6apublic_key\xf6";
        let answer = asked(request, ANSWER_BYTES_MAX).unwrap();
        assert!(answer.starts_with(b"\xa1\x6bAttestation\xa1\x68document\x59"));
        let nonce = answer.windows(9).any(|part| part == b"\x65nonce\x42hi");
        assert!(nonce);
        let other = asked(b"\xa1\x6bDescribeNSM", ANSWER_BYTES_MAX).unwrap();
        assert_eq!(other, b"\xa1\x65Error\x70InvalidOperation");
        assert!(asked(request, 100).is_err());
        assert!(asked(&[0; REQUEST_BYTES_MAX + 1], 100).is_err());
        assert!(asked(request, ANSWER_BYTES_MAX + 1).is_err());
        assert!(module.raw(std::process::id(), &[0; 31]).is_err());
    }
}
