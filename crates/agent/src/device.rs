//! The devices that give evidence: configfs-tsm, and `/dev/sev-guest` or `/dev/tdx_guest` on older
//! kernels.
//!
//! The only module that talks to them. Paths are constants, so nobody can point the program at
//! something else by an option. Never believes what a device gives beyond "it answers my report
//! data"; never leaves an entry behind; one request at a time.
//!
//! *Flow*: own entry → options → `inblob` in one write → generation → `outblob`, `auxblob` →
//! generation again → entry removed. Two equal generations that count our own writes mean that
//! nobody else wrote in between (Documentation/ABI/testing/configfs-tsm-report).

pub(crate) mod td;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::name::Name;

use crate::error::{Error, Fault};
use crate::random;

/// The check ids of this module.
pub(crate) const CHECKS: &[&str] = &[
    "agent.device",
    "agent.device.generation",
    "agent.device.report-data",
];

/// Where the kernel shows configfs-tsm.
pub(crate) const CONFIGFS: &str = "/sys/kernel/config/tsm/report";
/// The module of a Nitro enclave.
pub(crate) const NSM: &str = "/dev/nsm";
/// The older device of SEV-SNP guests.
pub(crate) const SEV_GUEST: &str = "/dev/sev-guest";
/// The older device of TDX guests.
pub(crate) const TDX_GUEST: &str = "/dev/tdx_guest";
/// Where the kernel's other files are; tests take another place.
pub(crate) const ROOT: &str = "/";

/// The longest evidence in bytes: ten times a quote with five certificates.
const OUTBLOB_BYTES_MAX: usize = 80 * 1024;
/// The longest certificate table in bytes: the kernel hands out 16 KiB, newer hosts some more.
const AUXBLOB_BYTES_MAX: usize = 128 * 1024;
/// The longest attribute in bytes: a provider's name, a number.
const ATTRIBUTE_BYTES_MAX: usize = 256;
/// How often an entry is begun anew. Nobody writes to a name that was drawn at random, so a second
/// disturbance in a row is somebody's intent and a fifth is not going to end.
const TRIES_MAX: usize = 5;
/// An SNP report in bytes.
const SNP_REPORT_BYTES: usize = 1184;

/// Who made the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// AMD SEV-SNP.
    SevGuest,
    /// Intel TDX.
    TdxGuest,
}

impl Provider {
    fn parse(text: &str) -> Result<Self, Error> {
        match text.trim_end() {
            "sev_guest" => Ok(Self::SevGuest),
            "tdx_guest" => Ok(Self::TdxGuest),
            other => Err(trouble(format!(
                "the kernel's provider is {other}; this version reads sev_guest and tdx_guest"
            ))),
        }
    }

    /// The kernel's name of it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SevGuest => "sev_guest",
            Self::TdxGuest => "tdx_guest",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What a device gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Who made it.
    pub(crate) provider: Provider,
    /// The report or quote.
    pub(crate) outblob: Vec<u8>,
    /// The certificate table; empty when the host gave none.
    pub(crate) auxblob: Vec<u8>,
    /// The boot log of a trust domain, read after the quote; `None` where there is none.
    pub(crate) event_log: Option<Vec<u8>>,
}

/// A field of evidence by its vendor's name.
pub(crate) struct Field<'a> {
    /// The vendor's name.
    pub(crate) name: &'static str,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
}

impl Evidence {
    /// HOST_DATA of an SNP report, MRCONFIGID of a TDX quote: what whoever started the machine
    /// pinned. `None` where the evidence is too short or of a version that is not known.
    pub(crate) fn pinned_field(&self) -> Option<Field<'_>> {
        let (name, start, bytes) = match self.provider {
            Provider::SevGuest => ("HOST_DATA", 0xc0, 32),
            Provider::TdxGuest => ("MRCONFIGID", self.td_report_at()?.saturating_add(184), 48),
        };
        self.field(name, start, bytes)
    }

    fn report_data(&self) -> Option<Field<'_>> {
        let start = match self.provider {
            Provider::SevGuest => 0x50,
            Provider::TdxGuest => self.td_report_at()?.saturating_add(520),
        };
        self.field("REPORT_DATA", start, 64)
    }

    fn field(&self, name: &'static str, start: usize, bytes: usize) -> Option<Field<'_>> {
        let bytes = self.outblob.get(start..start.saturating_add(bytes))?;
        Some(Field { name, bytes })
    }

    /// Where the TD report begins: behind the header of 48 bytes, and in version 5 behind a type
    /// (2) and a size (4).
    fn td_report_at(&self) -> Option<usize> {
        match self.outblob.get(..2)? {
            [4, 0] => Some(48),
            [5, 0] => Some(54),
            _ => None,
        }
    }

    /// Whether it answers this report data. The kernel does not promise that.
    ///
    /// # Errors
    /// `agent.device` for a report of another length; `agent.device.report-data` when it answers
    /// something else.
    fn answers(&self, report_data: &[u8; 64]) -> Result<(), Error> {
        if self.provider == Provider::SevGuest && self.outblob.len() != SNP_REPORT_BYTES {
            return Err(trouble(format!(
                "the report has {} bytes instead of {SNP_REPORT_BYTES}",
                self.outblob.len()
            )));
        }
        let found = self
            .report_data()
            .ok_or_else(|| trouble("the evidence is too short, or of an unknown version"))?;
        if found.bytes == report_data {
            return Ok(());
        }
        Err(Error::new(
            "agent.device.report-data",
            Fault::Untrusted,
            format!(
                "the device answers report data {} instead of {}",
                hex::encode(found.bytes),
                hex::encode(report_data)
            ),
        ))
    }

    /// The evidence as a bundle.
    ///
    /// # Errors
    /// `bundle.member` when a part is longer than the bundle takes.
    pub(crate) fn bundle(&self) -> Result<Bundle, Error> {
        let mut bundle = Bundle::new();
        let (label, media) = match self.provider {
            Provider::SevGuest => ("snp", Media::SnpReport),
            Provider::TdxGuest => ("tdx", Media::TdxQuote),
        };
        bundle.put(Name::parse(label)?, media, self.outblob.clone())?;
        // A host without certificates leaves the buffer as zeros.
        if self.provider == Provider::SevGuest && self.auxblob.iter().any(|byte| *byte != 0) {
            bundle.put(
                Name::parse("snp.certificates")?,
                Media::SnpCertificates,
                self.auxblob.clone(),
            )?;
        }
        if let Some(log) = &self.event_log {
            let label = Name::parse("tdx.event-log")?;
            bundle.put(label, Media::CcEventLog, log.clone())?;
        }
        Ok(bundle)
    }
}

/// What to ask a device beside the report data.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// The VMPL to ask for; the kernel's own when absent.
    pub(crate) privlevel: Option<u8>,
    /// The service to ask through, such as `svsm`.
    pub(crate) service_provider: Option<String>,
}

/// Something that gives evidence for report data.
pub(crate) trait Device {
    /// Evidence for these 64 bytes.
    ///
    /// # Errors
    /// Those of `CHECKS`.
    fn report(&self, report_data: &[u8; 64]) -> Result<Evidence, Error>;
}

/// The devices of this machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    /// What to ask beside the report data.
    pub(crate) options: Options,
}

impl Device for Machine {
    fn report(&self, report_data: &[u8; 64]) -> Result<Evidence, Error> {
        let mut evidence = match configfs(report_data, &self.options)? {
            Some(evidence) => evidence,
            None if Path::new(SEV_GUEST).exists() => ioctl::report(report_data, &self.options)?,
            None if Path::new(TDX_GUEST).exists() => td::quote(report_data)?,
            None => {
                return Err(trouble(format!(
                    "nothing here gives evidence: neither {CONFIGFS} nor {SEV_GUEST} nor \
                     {TDX_GUEST}; `zeuge-agent detect` says what this machine is"
                )));
            }
        };
        evidence.answers(report_data)?;
        if evidence.provider == Provider::TdxGuest {
            evidence.event_log = td::event_log(Path::new(ROOT))?;
        }
        Ok(evidence)
    }
}

/// Whether a CPU speaks for this machine at all.
///
/// # Errors
/// `agent.device` when configfs-tsm is there and does not answer.
pub(crate) fn is_there() -> Result<bool, Error> {
    let device = [SEV_GUEST, TDX_GUEST]
        .iter()
        .any(|path| Path::new(path).exists());
    Ok(device || provider_name()?.is_some())
}

pub(crate) fn trouble(because: impl Into<String>) -> Error {
    Error::new("agent.device", Fault::Local, because)
}

/// The kernel's provider, if configfs-tsm is there and has one.
///
/// # Errors
/// `agent.device` when it is there and does not answer.
pub(crate) fn provider_name() -> Result<Option<String>, Error> {
    let Some(entry) = Entry::make()? else {
        return Ok(None);
    };
    entry.text("provider").map(Some)
}

/// Evidence by configfs-tsm; `None` when this kernel has none.
fn configfs(report_data: &[u8; 64], options: &Options) -> Result<Option<Evidence>, Error> {
    for _ in 0..TRIES_MAX {
        let Some(entry) = Entry::make()? else {
            return Ok(None);
        };
        if let Some(evidence) = entry.evidence(report_data, options)? {
            return Ok(Some(evidence));
        }
    }
    Err(Error::new(
        "agent.device.generation",
        Fault::Unavailable,
        format!("somebody else writes to our requests at {CONFIGFS}; gave up after {TRIES_MAX}"),
    ))
}

/// A request object of configfs-tsm; its folder goes when it does.
struct Entry(PathBuf);

impl Drop for Entry {
    fn drop(&mut self) {
        // Objects pin memory of the kernel. If this fails there is nobody left to tell.
        let _ = fs::remove_dir(&self.0);
    }
}

impl Entry {
    fn make() -> Result<Option<Self>, Error> {
        let mut name = [0; 8];
        random::fill(&mut name)?;
        let path = Path::new(CONFIGFS).join(format!("zeuge-{}", hex::encode(name)));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Some(Self(path))),
            // ENXIO: configfs-tsm is there, and no provider has registered.
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    || Errno::from_io_error(&error) == Some(Errno::NXIO) =>
            {
                Ok(None)
            }
            Err(error) => Err(trouble(format!(
                "cannot make a request at {CONFIGFS}: {error}"
            ))),
        }
    }

    /// `None` when the request must be begun anew.
    fn evidence(
        &self,
        report_data: &[u8; 64],
        options: &Options,
    ) -> Result<Option<Evidence>, Error> {
        let provider = Provider::parse(&self.text("provider")?)?;
        let privlevel = options.privlevel.map(|level| level.to_string());
        let writes = [
            ("privlevel", privlevel.as_deref().map(str::as_bytes)),
            (
                "service_provider",
                options.service_provider.as_deref().map(str::as_bytes),
            ),
            ("inblob", Some(report_data.as_slice())),
        ];
        let mut written = 0_u64;
        for (name, value) in writes {
            let Some(value) = value else { continue };
            if !self.write(name, value)? {
                return Ok(None);
            }
            written = written.saturating_add(1);
        }
        if self.generation()? != written {
            return Ok(None);
        }
        let Some(outblob) = self.read("outblob", OUTBLOB_BYTES_MAX)? else {
            return Ok(None);
        };
        let Some(auxblob) = self.read("auxblob", AUXBLOB_BYTES_MAX)? else {
            return Ok(None);
        };
        if self.generation()? != written {
            return Ok(None);
        }
        Ok(Some(Evidence {
            provider,
            outblob,
            auxblob,
            event_log: None,
        }))
    }

    fn generation(&self) -> Result<u64, Error> {
        let text = self.text("generation")?;
        text.trim_end()
            .parse()
            .map_err(|_| trouble("generation is not a number"))
    }

    /// One write(2) of the whole value; `false` when the entry is busy.
    fn write(&self, name: &str, value: &[u8]) -> Result<bool, Error> {
        let refuse = |error: io::Error| {
            if Errno::from_io_error(&error) == Some(Errno::BUSY) {
                return Ok(false);
            }
            if error.kind() == io::ErrorKind::NotFound {
                return Err(trouble(format!(
                    "{name} is not supported by this kernel or provider"
                )));
            }
            Err(trouble(format!("cannot write {name}: {error}")))
        };
        let mut file = match OpenOptions::new().write(true).open(self.0.join(name)) {
            Ok(file) => file,
            Err(error) => return refuse(error),
        };
        match file.write(value) {
            Ok(count) if count == value.len() => Ok(true),
            Ok(_) => Err(trouble(format!("{name} took only a part of the value"))),
            Err(error) => refuse(error),
        }
    }

    /// A whole attribute; empty when it does not exist; `None` when the request must be begun
    /// anew.
    fn read(&self, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, Error> {
        let file = match File::open(self.0.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Vec::new())),
            Err(error) => return Err(trouble(format!("cannot open {name}: {error}"))),
        };
        let mut bytes = Vec::new();
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        match file.take(limit.saturating_add(1)).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() > bytes_max => {
                Err(trouble(format!("{name} is longer than {bytes_max} bytes")))
            }
            Ok(_) => Ok(Some(bytes)),
            // A TDX quote waits for the host, and may be interrupted or too late.
            Err(error)
                if matches!(
                    Errno::from_io_error(&error),
                    Some(Errno::BUSY | Errno::TIMEDOUT | Errno::INTR)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(trouble(format!("cannot read {name}: {error}"))),
        }
    }

    fn text(&self, name: &str) -> Result<String, Error> {
        let bytes = self.read(name, ATTRIBUTE_BYTES_MAX)?.unwrap_or_default();
        String::from_utf8(bytes).map_err(|_| trouble(format!("{name} is not text")))
    }
}

/// One request to the module of a Nitro enclave, and its answer (CBOR both).
///
/// # Errors
/// `agent.device`.
pub(crate) fn nsm(request: &[u8]) -> Result<Vec<u8>, Error> {
    security_module::ask(request)
}

/// `/dev/nsm`, NSM_IOCTL_RAW (include/uapi/linux/nsm.h).
mod security_module {
    use super::{Error, NSM, address, trouble};
    use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
    use std::fs::OpenOptions;

    /// The longest answer that the driver gives.
    const ANSWER_BYTES: usize = 0x3000;

    #[repr(C)]
    struct Vector {
        address: u64,
        length: u64,
    }

    #[repr(C)]
    struct Message {
        request: Vector,
        response: Vector,
    }

    const RAW: Opcode = opcode::read_write::<Message>(0x0a, 0);

    // The kernel's layout, by its header.
    const _: () = assert!(size_of::<Message>() == 32 && RAW == 0xc020_0a00);

    #[expect(
        unsafe_code,
        reason = "ioctl has no safe form; the kernel reads and writes through the pointers"
    )]
    pub(super) fn ask(request: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |error: &dyn std::fmt::Display| trouble(format!("{NSM}: {error}"));
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(NSM)
            .map_err(|error| failed(&error))?;
        let mut answer = vec![0_u8; ANSWER_BYTES];
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(0);
        let mut message = Message {
            request: Vector {
                address: address(request.as_ptr()),
                length: length(request),
            },
            response: Vector {
                address: address(answer.as_mut_ptr().cast_const()),
                length: length(&answer),
            },
        };
        // SAFETY: the opcode is that of this structure; both vectors name buffers of these lengths
        // that live until the call returns, and only the second is written to.
        let done = unsafe { ioctl(&device, Updater::<{ RAW }, _>::new(&mut message)) };
        done.map_err(|error| failed(&error))?;
        let written = usize::try_from(message.response.length).unwrap_or(usize::MAX);
        answer.truncate(written);
        Ok(answer)
    }
}

/// A pointer as the kernel takes it. Confidential guests and enclaves run on 64-bit machines only.
fn address<T>(pointer: *const T) -> u64 {
    u64::try_from(pointer.expose_provenance()).unwrap_or(0)
}

/// `/dev/sev-guest`, SNP_GET_EXT_REPORT (include/uapi/linux/sev-guest.h).
mod ioctl {
    use super::{Errno, Error, Evidence, Options, Provider, SEV_GUEST, address, trouble};
    use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
    use std::fs::OpenOptions;

    /// The kernel takes at most 16 KiB of certificates, in whole pages.
    const CERTIFICATES_BYTES: usize = 0x4000;
    const PAGE_BYTES: usize = 4096;
    /// status (4), report_size (4), reserved (24), report; the kernel wants the whole buffer.
    const RESPONSE_BYTES: usize = 4000;
    /// The low half of `exitinfo2` is the firmware's error, the high half the hypervisor's.
    const INVALID_LENGTH: u64 = 1 << 32;

    #[repr(C, align(4096))]
    struct Pages([u8; CERTIFICATES_BYTES]);

    #[repr(C, align(8))]
    struct Response([u8; RESPONSE_BYTES]);

    #[repr(C)]
    struct ReportRequest {
        user_data: [u8; 64],
        vmpl: u32,
        reserved: [u8; 28],
        certificates_address: u64,
        certificates_bytes: u32,
        padding: u32,
    }

    #[repr(C)]
    struct GuestRequest {
        version: u8,
        request: u64,
        response: u64,
        exit_info: u64,
    }

    const GET_EXT_REPORT: Opcode = opcode::read_write::<GuestRequest>(b'S', 2);

    // The kernel's layout, by its header.
    const _: () = assert!(size_of::<ReportRequest>() == 112 && size_of::<GuestRequest>() == 32);
    const _: () = assert!(GET_EXT_REPORT == 0xc020_5302);

    pub(super) fn report(report_data: &[u8; 64], options: &Options) -> Result<Evidence, Error> {
        if options.service_provider.is_some() {
            return Err(trouble(format!(
                "{SEV_GUEST} knows no service provider; configfs-tsm does"
            )));
        }
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(SEV_GUEST)
            .map_err(|error| trouble(format!("cannot open {SEV_GUEST}: {error}")))?;
        let vmpl = u32::from(options.privlevel.unwrap_or(0));
        let mut pages = Box::new(Pages([0; CERTIFICATES_BYTES]));
        match ask(&device, report_data, vmpl, Some(&mut pages)) {
            // The host has more certificates than the kernel takes: do without them.
            Err((Errno::IO, info)) if info & INVALID_LENGTH != 0 => {
                ask(&device, report_data, vmpl, None).map(|report| (report, Vec::new()))
            }
            Err(error) => Err(error),
            Ok(report) => Ok((report, pages.0.to_vec())),
        }
        .and_then(|(outblob, auxblob)| {
            let outblob = unwrap_response(&outblob).ok_or((Errno::PROTO, 0))?;
            Ok(Evidence {
                provider: Provider::SevGuest,
                outblob,
                auxblob,
                event_log: None,
            })
        })
        .map_err(|(error, info)| {
            trouble(format!(
                "{SEV_GUEST} refuses: {error} (exitinfo2 {info:#x})"
            ))
        })
    }

    /// The report in a response whose status is 0.
    fn unwrap_response(response: &[u8]) -> Option<Vec<u8>> {
        let (status, rest) = response.split_first_chunk::<4>()?;
        let (size, _) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*status) != 0 {
            return None;
        }
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let report = response.get(32..32_usize.checked_add(size)?)?;
        Some(report.to_vec())
    }

    #[expect(
        unsafe_code,
        reason = "ioctl has no safe form; the kernel reads and writes through the pointers"
    )]
    fn ask(
        device: &std::fs::File,
        report_data: &[u8; 64],
        vmpl: u32,
        pages: Option<&mut Pages>,
    ) -> Result<Vec<u8>, (Errno, u64)> {
        let length = u32::try_from(CERTIFICATES_BYTES - CERTIFICATES_BYTES % PAGE_BYTES);
        let mut response = Box::new(Response([0; RESPONSE_BYTES]));
        let mut request = ReportRequest {
            user_data: *report_data,
            vmpl,
            reserved: [0; 28],
            certificates_address: 0,
            certificates_bytes: 0,
            padding: 0,
        };
        if let Some(pages) = pages {
            request.certificates_address = address((&raw mut *pages).cast_const());
            request.certificates_bytes = length.unwrap_or(0);
        }
        let mut guest = GuestRequest {
            version: 1,
            request: address((&raw mut request).cast_const()),
            response: address((&raw mut *response).cast_const()),
            exit_info: 0,
        };
        // SAFETY: the opcode is that of `GuestRequest` (asserted above), which the kernel reads
        // and writes as a whole. It reads `request` (112 bytes), writes at most 4000 bytes to
        // `response` and at most `certificates_bytes` to the page-aligned buffer; all three live
        // until the call returns, are exclusively ours, and their addresses are exposed.
        let done = unsafe { ioctl(device, Updater::<{ GET_EXT_REPORT }, _>::new(&mut guest)) };
        done.map_err(|error| (error, guest.exit_info))?;
        Ok(response.0.to_vec())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_response_gives_its_report_only_when_its_status_is_zero() {
            let mut response = vec![0; RESPONSE_BYTES];
            response[4..8].copy_from_slice(&1184_u32.to_le_bytes());
            response[32] = 5;
            let report = unwrap_response(&response).unwrap();
            assert_eq!((report.len(), report[0]), (1184, 5));
            response[0] = 0x16;
            assert_eq!(unwrap_response(&response), None);
            response[0] = 0;
            response[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(unwrap_response(&response), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_answers_other_report_data_is_refused() {
        let mut evidence = Evidence {
            provider: Provider::SevGuest,
            outblob: vec![0; SNP_REPORT_BYTES],
            auxblob: vec![0; 4096],
            event_log: None,
        };
        evidence.outblob[0x50..0x90].fill(7);
        assert_eq!(evidence.answers(&[7; 64]), Ok(()));
        let error = evidence.answers(&[8; 64]).unwrap_err();
        assert_eq!(error.check, "agent.device.report-data");
        // A buffer of zeros is no certificate table.
        assert_eq!(evidence.bundle().unwrap().members().len(), 1);
        evidence.outblob.pop();
        assert_eq!(
            evidence.answers(&[7; 64]).unwrap_err().check,
            "agent.device"
        );
    }

    #[test]
    fn providers_that_are_not_read_are_named() {
        let error = Provider::parse("arm_cca_guest\n").unwrap_err();
        assert!(error.because.contains("arm_cca_guest"));
    }
}
