//! What Linux offers a trust domain beside configfs-tsm: the boot log of its firmware (CCEL), the
//! registers that it may extend, and on kernels before 6.7 `/dev/tdx_guest`.
//!
//! That device gives a TDREPORT, which only the CPU that made it can check. A quoting enclave on the
//! host turns it into a quote: asked over vsock, where the host runs Intel's quote generation service
//! (QGS) there. Where it does not, nothing on such a kernel proves anything to anybody outside.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use sha2::{Digest as _, Sha384};
use zeuge_protocol::bundle::Media;

use super::{Evidence, OUTBLOB_BYTES_MAX, Provider, TDX_GUEST, trouble};
use crate::error::Error;

/// Where the kernel shows the table and the area that it points to (ACPI 6.5, UEFI 2.10 §38).
const CCEL: &str = "sys/firmware/acpi/tables/CCEL";
const CCEL_AREA: &str = "sys/firmware/acpi/tables/data/CCEL";
/// A CCEL table in bytes; its byte 36 is the kind of machine, 2 for TDX.
const CCEL_BYTES: u64 = 56;
const CCEL_KIND: usize = 36;
const TDX: u8 = 2;
/// Firmware reserves far more than it fills. Of a filling at the end this much stays, which is more
/// than the last record's own zeros.
const FILLING_BYTES_MAX: usize = 64 * 1024;
/// The register that is left to software, as Linux 6.16 and newer show it; what is written extends it.
const RTMR3: &str = "sys/devices/virtual/misc/tdx_guest/measurements/rtmr3:sha384";
/// What it is extended with once the boot is over, before it is hashed.
const CLOSED: &[u8] = b"zeuge:closed";

/// The log of this boot, from the files below `root`; `None` where the firmware left none of a TD.
///
/// # Errors
/// `agent.device` when it cannot be read, or is longer than a bundle takes.
pub(crate) fn event_log(root: &Path) -> Result<Option<Vec<u8>>, Error> {
    let Some(table) = read(&root.join(CCEL), CCEL_BYTES)? else {
        return Ok(None);
    };
    if !table.starts_with(b"CCEL") || table.get(CCEL_KIND) != Some(&TDX) {
        return Ok(None);
    }
    let limit = Media::CcEventLog.bytes_max();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let Some(mut area) = read(&root.join(CCEL_AREA), most.saturating_add(1))? else {
        return Ok(None);
    };
    if area.len() > limit {
        return Err(trouble(format!(
            "the boot log is longer than {limit} bytes"
        )));
    }
    let filling = area.last().copied().unwrap_or_default();
    if matches!(filling, 0 | 0xff) {
        let told = area.iter().rposition(|byte| *byte != filling);
        let told = told.map_or(0, |last| last.saturating_add(1));
        area.truncate(told.saturating_add(FILLING_BYTES_MAX));
    }
    Ok((!area.is_empty()).then_some(area))
}

fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
    let failed = |error: io::Error| trouble(format!("{}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(Some(bytes))
}

/// Whether this kernel lets software extend RTMR3.
pub(crate) fn can_close(root: &Path) -> bool {
    root.join(RTMR3).exists()
}

/// Extends RTMR3 with the mark: whoever asks later sees that the boot is over.
///
/// # Errors
/// `agent.device` when the kernel refuses, or the register does not change.
pub(crate) fn close(root: &Path) -> Result<(), Error> {
    let path = root.join(RTMR3);
    let failed = |error: io::Error| trouble(format!("{}: {error}", path.display()));
    let before = fs::read(&path).map_err(failed)?;
    let register = OpenOptions::new().write(true).open(&path).map_err(failed)?;
    // The kernel takes one digest, whole, at the beginning.
    let mark = Sha384::digest(CLOSED);
    register.write_all_at(&mark, 0).map_err(failed)?;
    let wanted = Sha384::new_with_prefix(&before)
        .chain_update(mark)
        .finalize();
    if fs::read(&path).map_err(failed)? == wanted.as_slice() {
        return Ok(());
    }
    Err(trouble(
        "RTMR3 was written and is not what the mark makes of it",
    ))
}

/// Where Intel's own library reads the port of the host's QGS.
const ATTEST_CONF: &str = "/etc/tdx-attest.conf";
/// Intel's default for it.
const QGS_PORT: u32 = 4050;
const QGS_SECS_MAX: u64 = 30;
/// Major and minor version 1.0, as the oldest service speaks it.
const QGS_VERSION: [u8; 4] = [1, 0, 0, 0];
const GET_QUOTE: u32 = 0;
const GET_QUOTE_ANSWER: u32 = 1;
/// Version, type, size, error code; then two lengths.
const QGS_HEAD: usize = 24;

/// A quote by `/dev/tdx_guest` and the host's QGS over vsock.
///
/// # Errors
/// `agent.device` when the device refuses, or the host has no QGS that answers.
pub(super) fn quote(report_data: &[u8; 64]) -> Result<Evidence, Error> {
    let report = td_report(report_data)?;
    let conf = fs::read_to_string(ATTEST_CONF).unwrap_or_default();
    let mut host = host(port(&conf)).map_err(|error| {
        trouble(format!(
            "{TDX_GUEST} gives a report that only this CPU can check, and no quoting service of the \
             host's answers over vsock ({error}); Linux 6.7 and newer ask it through configfs-tsm"
        ))
    })?;
    Ok(Evidence {
        provider: Provider::TdxGuest,
        outblob: ask(&mut host, &report)?,
        auxblob: Vec::new(),
        event_log: None,
    })
}

fn port(conf: &str) -> u32 {
    let named = conf.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "port").then_some(value.trim())
    });
    named.and_then(|port| port.parse().ok()).unwrap_or(QGS_PORT)
}

/// Asks for a quote of a TDREPORT: a length (big-endian), then the message (little-endian).
fn ask(host: &mut (impl Read + Write), report: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |error: io::Error| trouble(format!("the host's quoting service: {error}"));
    let bad = |because: &str| trouble(format!("the host's quoting service: {because}"));
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let whole = length(report.len().saturating_add(QGS_HEAD));
    let mut request = whole.to_be_bytes().to_vec();
    request.extend(QGS_VERSION);
    for word in [GET_QUOTE, whole, 0, length(report.len()), 0] {
        request.extend(word.to_le_bytes());
    }
    request.extend(report);
    host.write_all(&request).map_err(failed)?;

    let mut size = [0; 4];
    host.read_exact(&mut size).map_err(failed)?;
    let size = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if size > OUTBLOB_BYTES_MAX {
        return Err(bad("its answer is too long"));
    }
    let mut answer = vec![0; size];
    host.read_exact(&mut answer).map_err(failed)?;
    let word = |at: usize| {
        let word = answer.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*word))
    };
    let (Some(kind), Some(error), Some(id), Some(quote)) = (word(4), word(12), word(16), word(20))
    else {
        return Err(bad("its answer is too short"));
    };
    if kind != GET_QUOTE_ANSWER || error != 0 {
        return Err(bad(&format!("it refuses (type {kind}, error {error:#x})")));
    }
    let start = usize::try_from(id)
        .ok()
        .and_then(|id| QGS_HEAD.checked_add(id));
    let start = start.unwrap_or(usize::MAX);
    let quoted = answer.get(start..).unwrap_or_default();
    if quoted.is_empty() || usize::try_from(quote) != Ok(quoted.len()) {
        return Err(bad("its answer's lengths do not add up"));
    }
    Ok(quoted.to_vec())
}

/// `struct sockaddr_vm` (include/uapi/linux/vm_sockets.h).
#[repr(C)]
struct VsockAddress {
    family: u16,
    reserved: u16,
    port: u32,
    machine: u32,
    rest: [u8; 4],
}

#[expect(unsafe_code, reason = "rustix has no address of this family")]
// SAFETY: the pointer is to a whole `sockaddr_vm` that lives as long as the call, with its length.
unsafe impl SocketAddrArg for VsockAddress {
    unsafe fn with_sockaddr<R>(
        &self,
        f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R,
    ) -> R {
        let length = SocketAddrLen::try_from(size_of::<Self>()).unwrap_or(0);
        f((&raw const *self).cast(), length)
    }
}

/// A connection to the host (machine 2) over vsock.
fn host(port: u32) -> io::Result<File> {
    let family = AddressFamily::VSOCK;
    let socket = socket(family, SocketType::STREAM, None)?;
    let time = Some(Duration::from_secs(QGS_SECS_MAX));
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, time)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, time)?;
    let address = VsockAddress {
        family: family.as_raw(),
        reserved: 0,
        port,
        machine: 2,
        rest: [0; 4],
    };
    connect(&socket, &address)?;
    Ok(File::from(socket))
}

/// `struct tdx_report_req` (include/uapi/linux/tdx-guest.h).
#[repr(C)]
struct ReportRequest {
    report_data: [u8; 64],
    report: [u8; 1024],
}

const GET_REPORT0: Opcode = opcode::read_write::<ReportRequest>(b'T', 1);
// The kernel's number, by its header.
const _: () = assert!(GET_REPORT0 == 0xc440_5401);

#[expect(unsafe_code, reason = "ioctl has no safe form")]
fn td_report(report_data: &[u8; 64]) -> Result<[u8; 1024], Error> {
    let refused = |error: io::Error| trouble(format!("{TDX_GUEST}: {error}"));
    let device = File::open(TDX_GUEST).map_err(refused)?;
    let mut request = ReportRequest {
        report_data: *report_data,
        report: [0; 1024],
    };
    // SAFETY: the opcode is that of `ReportRequest` (asserted above), which the kernel reads and
    // writes as a whole; it lives until the call returns and is exclusively ours.
    unsafe { ioctl(device, Updater::<{ GET_REPORT0 }, _>::new(&mut request)) }
        .map_err(|error| refused(error.into()))?;
    Ok(request.report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn table(kind: u8) -> Vec<u8> {
        let mut table = vec![0; 56];
        table[..4].copy_from_slice(b"CCEL");
        table[CCEL_KIND] = kind;
        table
    }

    fn machine(table: &[u8], area: &[u8]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in [(CCEL, table), (CCEL_AREA, area)] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    #[test]
    fn the_boot_log_of_a_trust_domain_is_read_without_most_of_its_filling() {
        let whole = |area: &[u8]| event_log(machine(&table(2), area).path()).unwrap();
        assert_eq!(whole(b"records"), Some(b"records".to_vec()));
        for filling in [0, 0xff] {
            let mut area = b"records".to_vec();
            area.resize(1024 * 1024, filling);
            let read = whole(&area).unwrap();
            assert_eq!(read.len(), 7 + FILLING_BYTES_MAX);
            assert_eq!(read, area[..read.len()]);
        }
        let long = machine(&table(2), &vec![1; 1024 * 1024 + 1]);
        assert_eq!(event_log(long.path()).unwrap_err().check, "agent.device");
    }

    #[test]
    fn without_a_table_of_a_trust_domain_there_is_no_log() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(event_log(empty.path()), Ok(None));
        for table in [table(1), table(0), b"CCEL".to_vec(), vec![2; 56]] {
            assert_eq!(event_log(machine(&table, b"records").path()), Ok(None));
        }
        assert_eq!(event_log(machine(&table(2), b"").path()), Ok(None));
    }

    #[test]
    fn a_register_that_does_not_change_as_it_must_is_no_mark() {
        let root = tempfile::tempdir().unwrap();
        assert!(!can_close(root.path()));
        let register = root.path().join(RTMR3);
        fs::create_dir_all(register.parent().unwrap()).unwrap();
        fs::write(&register, [0; 48]).unwrap();
        assert!(can_close(root.path()));
        // A plain file keeps what is written and extends nothing.
        let error = close(root.path()).unwrap_err();
        assert!(error.because.contains("is not what the mark makes of it"));
        assert_eq!(
            fs::read(&register).unwrap(),
            Sha384::digest(CLOSED).as_slice()
        );
    }

    /// What is made of this answer by a host, and what the host was asked.
    fn answered(answer: &[u8]) -> (Result<Vec<u8>, Error>, Vec<u8>) {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let quote = ask(&mut ours, &[7; 1024]);
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        let mut asked = Vec::new();
        theirs.read_to_end(&mut asked).unwrap();
        (quote, asked)
    }

    fn answer(kind: u32, error: u32, id: &[u8], quote: &[u8], said: usize) -> Vec<u8> {
        let size = u32::try_from(QGS_HEAD + id.len() + quote.len()).unwrap();
        let mut out = size.to_be_bytes().to_vec();
        out.extend(QGS_VERSION);
        let (id_bytes, said) = (u32::try_from(id.len()), u32::try_from(said));
        for word in [kind, size, error, id_bytes.unwrap(), said.unwrap()] {
            out.extend(word.to_le_bytes());
        }
        [&out[..], id, quote].concat()
    }

    #[test]
    fn the_host_is_asked_for_a_quote_in_its_words_and_its_answer_taken_whole() {
        let (quote, asked) = answered(&answer(1, 0, b"id", b"a quote", 7));
        assert_eq!(quote.unwrap(), b"a quote");
        assert_eq!(asked.len(), 4 + QGS_HEAD + 1024);
        assert_eq!(asked[..4], 1048_u32.to_be_bytes());
        let head = "01000000 00000000 18040000 00000000 00040000 00000000";
        assert_eq!(hex::encode(&asked[4..28]), head.replace(' ', ""));
    }

    #[test]
    fn an_answer_that_refuses_or_does_not_add_up_is_no_quote() {
        let good = answer(1, 0, b"", b"a quote", 7);
        let mut long = good.clone();
        long[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        for (bytes, because) in [
            (answer(1, 0x1_2001, b"", b"a quote", 7), "refuses"),
            (answer(3, 0, b"", b"a quote", 7), "refuses"),
            (answer(1, 0, b"", b"a quote", 8), "add up"),
            (answer(1, 0, b"", b"", 0), "add up"),
            (long, "too long"),
            (vec![0, 0, 0, 3, 1, 2, 3], "too short"),
            (good[..20].to_vec(), "the host's quoting service"),
        ] {
            let error = answered(&bytes).0.unwrap_err();
            assert!(error.because.contains(because), "{}", error.because);
        }
    }

    #[test]
    fn the_port_is_the_one_that_intels_library_would_take() {
        assert_eq!(port(""), 4050);
        assert_eq!(port("# comment\n port = 5000 \n"), 5000);
        assert_eq!(port("port=none"), 4050);
    }
}
