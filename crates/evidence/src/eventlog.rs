//! The TCG boot log: SHA-1 and crypto-agile logs of TPMs, and the CCEL of confidential VMs.
//!
//! Reads records and replays them per bank (TCG PC Client Platform Firmware Profile §10;
//! CCEL: UEFI 2.10 §38). A log is a story told by the guest: nothing in it counts until the
//! replay equals registers that hardware signed, and even then a record's *data* counts only
//! where the digest is a hash of it ([`facts::Proof`]). Never compares with registers itself.

mod annotate;
pub mod facts;
mod replay;
pub mod uefi;

pub use annotate::{annotate, describe};
pub use replay::{Register, Replay};

use crate::{Malformed, What, reader::Reader, tpm::HashAlgorithm};

/// A CCEL area of 1 MiB is real; four times that holds every log.
pub const LOG_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Real logs have up to 210 records, GRUB scripts some hundreds more.
pub const EVENTS_MAX: usize = 16_384;
/// Algorithms in one header: there are eight.
const ALGORITHMS_MAX: u32 = 16;
/// The longest digest that a header may announce, in bytes.
const DIGEST_BYTES_MAX: u16 = 64;

/// The id under which a broken header is refused.
pub const HEADER: &str = "eventlog.header";
/// The id under which a broken record is refused.
pub const EVENT: &str = "eventlog.event";
/// The id under which a broken list of Secure Boot signatures, or an update of one, is refused.
pub const SIGNATURE_LIST: &str = "secureboot.signature-list";

/// Every id that this module refuses under.
pub const CHECKS: &[&str] = &[EVENT, HEADER, SIGNATURE_LIST];

/// The type of a record (Firmware Profile §10.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventKind(pub u32);

impl EventKind {
    /// Says something about the log, extends nothing.
    pub const NO_ACTION: Self = Self(3);
    /// The end of the firmware's part of a register.
    pub const SEPARATOR: Self = Self(4);
    /// Version of the first firmware code.
    pub const S_CRTM_VERSION: Self = Self(8);
    /// A tag, a size and tagged data.
    pub const EVENT_TAG: Self = Self(6);
    /// A boot loader's own measurement.
    pub const IPL: Self = Self(0x0d);
    /// What the platform outside the host says of itself.
    pub const NONHOST_INFO: Self = Self(0x11);
    /// A variable that configures a driver: Secure Boot, PK, KEK, db, dbx.
    pub const VARIABLE_DRIVER_CONFIG: Self = Self(0x8000_0001);
    /// A boot option.
    pub const VARIABLE_BOOT: Self = Self(0x8000_0002);
    /// An EFI application.
    pub const BOOT_SERVICES_APPLICATION: Self = Self(0x8000_0003);
    /// An EFI driver that ends with the firmware.
    pub const BOOT_SERVICES_DRIVER: Self = Self(0x8000_0004);
    /// An EFI driver that stays.
    pub const RUNTIME_SERVICES_DRIVER: Self = Self(0x8000_0005);
    /// A partition table.
    pub const GPT_EVENT: Self = Self(0x8000_0006);
    /// A sentence of the firmware.
    pub const EFI_ACTION: Self = Self(0x8000_0007);
    /// A boot option, second form.
    pub const VARIABLE_BOOT2: Self = Self(0x8000_000c);
    /// The certificate that allowed an image.
    pub const VARIABLE_AUTHORITY: Self = Self(0x8000_00e0);

    /// The name of the type; empty for a number that is not known here.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "EV_PREBOOT_CERT",
            1 => "EV_POST_CODE",
            3 => "EV_NO_ACTION",
            4 => "EV_SEPARATOR",
            5 => "EV_ACTION",
            6 => "EV_EVENT_TAG",
            7 => "EV_S_CRTM_CONTENTS",
            8 => "EV_S_CRTM_VERSION",
            9 => "EV_CPU_MICROCODE",
            0x0a => "EV_PLATFORM_CONFIG_FLAGS",
            0x0b => "EV_TABLE_OF_DEVICES",
            0x0c => "EV_COMPACT_HASH",
            0x0d => "EV_IPL",
            0x0e => "EV_IPL_PARTITION_DATA",
            0x0f => "EV_NONHOST_CODE",
            0x10 => "EV_NONHOST_CONFIG",
            0x11 => "EV_NONHOST_INFO",
            0x12 => "EV_OMIT_BOOT_DEVICE_EVENTS",
            0x8000_0001 => "EV_EFI_VARIABLE_DRIVER_CONFIG",
            0x8000_0002 => "EV_EFI_VARIABLE_BOOT",
            0x8000_0003 => "EV_EFI_BOOT_SERVICES_APPLICATION",
            0x8000_0004 => "EV_EFI_BOOT_SERVICES_DRIVER",
            0x8000_0005 => "EV_EFI_RUNTIME_SERVICES_DRIVER",
            0x8000_0006 => "EV_EFI_GPT_EVENT",
            0x8000_0007 => "EV_EFI_ACTION",
            0x8000_0008 => "EV_EFI_PLATFORM_FIRMWARE_BLOB",
            0x8000_0009 => "EV_EFI_HANDOFF_TABLES",
            0x8000_000a => "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
            0x8000_000b => "EV_EFI_HANDOFF_TABLES2",
            0x8000_000c => "EV_EFI_VARIABLE_BOOT2",
            0x8000_0010 => "EV_EFI_HCRTM_EVENT",
            0x8000_00e0 => "EV_EFI_VARIABLE_AUTHORITY",
            0x8000_00e1 => "EV_EFI_SPDM_FIRMWARE_BLOB",
            0x8000_00e2 => "EV_EFI_SPDM_FIRMWARE_CONFIG",
            _ => "",
        }
    }
}

impl std::fmt::Display for EventKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            "" => write!(out, "event type {:#x}", self.0),
            name => out.write_str(name),
        }
    }
}

/// Which registers the log speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registers {
    /// PCRs of a TPM.
    Tpm,
    /// Measurement registers of a confidential VM: 1 to 4 are RTMR 0 to 3 of TDX; 0 is MRTD,
    /// which no record extends.
    ConfidentialComputing,
}

/// How the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// TPM 1.2 form: every record has one SHA-1 digest, and there is no header.
    Sha1Only,
    /// With a `Spec ID Event03` header.
    CryptoAgile {
        /// 0 = client, 1 = server.
        platform_class: u32,
        /// Major and minor version, errata.
        version: (u8, u8, u8),
        /// Announced algorithms and the length of their digests in bytes.
        algorithms: Vec<(HashAlgorithm, u16)>,
        /// The vendor's bytes.
        vendor: Vec<u8>,
    },
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<'a> {
    /// The register, as written. 0xFFFFFFFF occurs in Windows' logs and extends nothing.
    pub register: u32,
    /// The type.
    pub kind: EventKind,
    /// Algorithm and digest, in the order received; none twice.
    pub digests: Vec<(HashAlgorithm, &'a [u8])>,
    /// The data.
    pub data: &'a [u8],
    /// Where the record begins in the log, in bytes.
    pub offset: usize,
    /// How long it is, in bytes.
    pub length: usize,
}

impl<'a> Event<'a> {
    /// The digest of this bank, if the record has one.
    #[must_use]
    pub fn digest(&self, bank: HashAlgorithm) -> Option<&'a [u8]> {
        self.digests
            .iter()
            .find(|(algorithm, _)| *algorithm == bank)
            .map(|(_, digest)| *digest)
    }

    // spec: tpm.log.no-action
    /// Whether the record extends its register.
    #[must_use]
    pub fn extends(&self) -> bool {
        self.kind != EventKind::NO_ACTION
    }
}

/// A log, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog<'a> {
    /// Which registers it speaks of.
    pub registers: Registers,
    /// How it is written.
    pub form: Form,
    /// The records behind the header, in order; in the old form all of them.
    pub events: Vec<Event<'a>>,
    /// Where the last record ends, in bytes; padding may follow.
    pub end: usize,
    /// Whether bytes other than padding (00 or FF) stand behind the end. They are not read.
    pub unread: bool,
}

impl<'a> EventLog<'a> {
    /// Reads the log of a TPM, old or crypto-agile form.
    ///
    /// # Errors
    /// `eventlog.header` and `eventlog.event`, with the offset: over the limits, a digest of an
    /// algorithm that the header does not announce or that occurs twice, a record without
    /// digests, a record that ends after the log.
    pub fn parse_tpm(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes, Registers::Tpm)
    }

    /// Reads the log area of a confidential VM (the data that the CCEL table points to). It must
    /// be crypto-agile.
    ///
    /// # Errors
    /// As [`EventLog::parse_tpm`].
    pub fn parse_ccel(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes, Registers::ConfidentialComputing)
    }

    fn parse(bytes: &'a [u8], registers: Registers) -> Result<Self, Malformed> {
        if bytes.len() > LOG_BYTES_MAX {
            let what = What::TooLong {
                limit: LOG_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(HEADER, LOG_BYTES_MAX, what));
        }
        let mut reader = Reader::new(bytes, HEADER);
        let first = old_event(&mut reader)?;
        let form = form(&first)?;
        if registers == Registers::ConfidentialComputing && form == Form::Sha1Only {
            return Err(Malformed::invalid(
                HEADER,
                0,
                "Spec ID Event03",
                "the log of a confidential VM must have this header",
            ));
        }
        let mut events = Vec::new();
        if form == Form::Sha1Only {
            events.push(first);
        }
        let end = records(bytes, reader.offset(), &form, &mut events)?;
        let rest = bytes.get(end..).unwrap_or_default();
        let padding = |filling: u8| rest.iter().all(|byte| *byte == filling);
        Ok(Self {
            registers,
            form,
            events,
            end,
            unread: !(padding(0) || padding(0xff)),
        })
    }

    /// The banks that the log announces.
    #[must_use]
    pub fn banks(&self) -> Vec<HashAlgorithm> {
        match &self.form {
            Form::Sha1Only => vec![HashAlgorithm::SHA1],
            Form::CryptoAgile { algorithms, .. } => {
                algorithms.iter().map(|(algorithm, _)| *algorithm).collect()
            }
        }
    }
}

/// `TCG_PCR_EVENT`: the old form of a record, and the form of every header.
fn old_event<'a>(reader: &mut Reader<'a>) -> Result<Event<'a>, Malformed> {
    let offset = reader.offset();
    let register = reader.u32_le()?;
    let kind = EventKind(reader.u32_le()?);
    let digest = reader.take(20)?;
    let data = data(reader)?;
    Ok(Event {
        register,
        kind,
        digests: vec![(HashAlgorithm::SHA1, digest)],
        data,
        offset,
        length: reader.offset().saturating_sub(offset),
    })
}

// spec: tpm.log.truncated
fn data<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let at = reader.offset();
    let size = usize::try_from(reader.u32_le()?).unwrap_or(usize::MAX);
    if size > reader.left() {
        let what = What::TooShort {
            wanted: size,
            found: reader.left(),
        };
        return Err(Malformed::new(reader.check(), at, what));
    }
    reader.take(size)
}

// spec: tpm.log.header, tpm.log.old-form
fn form(first: &Event<'_>) -> Result<Form, Malformed> {
    let Some(rest) = first
        .data
        .strip_prefix(b"Spec ID Event03\0")
        .filter(|_| first.kind == EventKind::NO_ACTION)
    else {
        return Ok(Form::Sha1Only);
    };
    // Register, type, digest, size and the signature stand before.
    let base = first.offset.saturating_add(32).saturating_add(16);
    let mut reader = Reader::at_offset(rest, base, HEADER);
    let platform_class = reader.u32_le()?;
    let minor = reader.u8()?;
    let major = reader.u8()?;
    let errata = reader.u8()?;
    let _uintn_size = reader.u8()?;
    let at = reader.offset();
    let count = reader.u32_le()?;
    if count == 0 || count > ALGORITHMS_MAX {
        return Err(Malformed::invalid(
            HEADER,
            at,
            "numberOfAlgorithms",
            "it is zero or over sixteen",
        ));
    }
    let mut algorithms: Vec<(HashAlgorithm, u16)> = Vec::new();
    for _ in 0..count {
        let at = reader.offset();
        let algorithm = HashAlgorithm(reader.u16_le()?);
        let size = reader.u16_le()?;
        let known = algorithm
            .size()
            .is_none_or(|known| known == usize::from(size));
        if size == 0 || size > DIGEST_BYTES_MAX || !known {
            return Err(Malformed::invalid(
                HEADER,
                at,
                "digestSize",
                "it is not the size of this algorithm",
            ));
        }
        if algorithms.iter().any(|(earlier, _)| *earlier == algorithm) {
            return Err(Malformed::invalid(
                HEADER,
                at,
                "algorithmId",
                "the same algorithm occurs twice",
            ));
        }
        algorithms.push((algorithm, size));
    }
    let vendor_size = usize::from(reader.u8()?);
    let vendor = reader.take(vendor_size)?.to_vec();
    Ok(Form::CryptoAgile {
        platform_class,
        version: (major, minor, errata),
        algorithms,
        vendor,
    })
}

/// Reads records until the log ends; returns where.
fn records<'a>(
    bytes: &'a [u8],
    from: usize,
    form: &Form,
    events: &mut Vec<Event<'a>>,
) -> Result<usize, Malformed> {
    let rest = bytes.get(from..).unwrap_or_default();
    let mut reader = Reader::at_offset(rest, from, EVENT);
    while !reader.is_empty() && !ends(reader.rest()) {
        if events.len() >= EVENTS_MAX {
            return Err(Malformed::invalid(
                EVENT,
                reader.offset(),
                "log",
                "it has more than 16384 records",
            ));
        }
        events.push(match form {
            Form::Sha1Only => old_event(&mut reader)?,
            Form::CryptoAgile { algorithms, .. } => event(&mut reader, algorithms)?,
        });
    }
    Ok(reader.offset())
}

// spec: tpm.log.end
/// A log ends at an erased area (register and type all ones) or at a zero record; a few bytes of
/// the same filling may be all that is left of it.
fn ends(rest: &[u8]) -> bool {
    let head = rest.get(..12).unwrap_or(rest);
    head.iter().all(|byte| *byte == 0)
        || head
            .get(..8)
            .unwrap_or(head)
            .iter()
            .all(|byte| *byte == 0xff)
}

// spec: tpm.log.records
/// `TCG_PCR_EVENT2`.
fn event<'a>(
    reader: &mut Reader<'a>,
    algorithms: &[(HashAlgorithm, u16)],
) -> Result<Event<'a>, Malformed> {
    let offset = reader.offset();
    let register = reader.u32_le()?;
    let kind = EventKind(reader.u32_le()?);
    let at = reader.offset();
    let count = usize::try_from(reader.u32_le()?).unwrap_or(usize::MAX);
    if count == 0 || count > algorithms.len() {
        return Err(Malformed::invalid(
            EVENT,
            at,
            "digests",
            "there is none, or more than the header announces",
        ));
    }
    let mut digests: Vec<(HashAlgorithm, &[u8])> = Vec::new();
    for _ in 0..count {
        let at = reader.offset();
        let algorithm = HashAlgorithm(reader.u16_le()?);
        let size = algorithms
            .iter()
            .find(|(announced, _)| *announced == algorithm)
            .map(|(_, size)| usize::from(*size));
        match size {
            Some(size) if !digests.iter().any(|(earlier, _)| *earlier == algorithm) => {
                digests.push((algorithm, reader.take(size)?));
            }
            _ => {
                return Err(Malformed::invalid(
                    EVENT,
                    at,
                    "digests",
                    "an algorithm is not announced or occurs twice",
                ));
            }
        }
    }
    let data = data(reader)?;
    Ok(Event {
        register,
        kind,
        digests,
        data,
        offset,
        length: reader.offset().saturating_sub(offset),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A crypto-agile log with one SHA-256 bank and these records.
    pub(crate) fn log(records: &[(u32, u32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(0_u32.to_le_bytes());
        out.extend(3_u32.to_le_bytes());
        out.extend([0; 20]);
        out.extend(33_u32.to_le_bytes());
        out.extend(b"Spec ID Event03\0");
        out.extend(hex::decode("00000000000200020100000 00b00200000".replace(' ', "")).unwrap());
        for (register, kind, data) in records {
            out.extend(register.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend(1_u32.to_le_bytes());
            out.extend(0x000b_u16.to_le_bytes());
            out.extend(HashAlgorithm::SHA256.digest(&[data]).unwrap());
            out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            out.extend(*data);
        }
        out
    }

    #[test]
    fn padding_of_either_kind_ends_the_log_and_other_bytes_are_reported() {
        let plain = log(&[(0, 8, b"v1"), (0, 4, &[0; 4])]);
        for (padding, unread) in [(&[0_u8; 40][..], false), (&[0xff; 8], false)] {
            let mut bytes = plain.clone();
            bytes.extend(padding);
            let read = EventLog::parse_tpm(&bytes).unwrap();
            assert_eq!((read.events.len(), read.end), (2, plain.len()));
            assert_eq!(read.unread, unread);
        }
        let mut bytes = plain.clone();
        bytes.extend([0; 12]);
        bytes.push(7);
        assert!(EventLog::parse_tpm(&bytes).unwrap().unread);
    }

    #[test]
    fn a_record_that_ends_after_the_log_is_refused_at_its_size() {
        let mut bytes = log(&[(0, 8, b"v1")]);
        bytes.pop();
        let refusal = EventLog::parse_tpm(&bytes).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (EVENT, bytes.len() - 5));
    }

    #[test]
    fn a_digest_that_the_header_does_not_announce_is_refused() {
        let mut bytes = log(&[(0, 8, b"v1")]);
        let at = log(&[]).len() + 12;
        bytes[at] = 0x0c;
        let refusal = EventLog::parse_tpm(&bytes).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (EVENT, at));
    }

    #[test]
    fn a_confidential_log_without_a_header_is_refused() {
        let refusal = EventLog::parse_ccel(&[0; 64]).unwrap_err();
        assert_eq!(refusal.check, HEADER);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), at in 0_usize..200, value: u8) {
            let _ = EventLog::parse_tpm(&bytes).map(|log| facts::BootFacts::of(&log, HashAlgorithm::SHA1));
            let mut changed = log(&[(7, 0x8000_0001, &bytes), (8, 0x0d, &bytes), (5, 0x8000_0006, &bytes), (9, 6, &bytes), (4, 0x8000_0003, &bytes)]);
            let _ = EventLog::parse_tpm(&changed).map(|log| facts::BootFacts::of(&log, HashAlgorithm::SHA256));
            let at = at % changed.len();
            changed[at] = value;
            if let Ok(log) = EventLog::parse_ccel(&changed) {
                proptest::prop_assert!(log.events.len() <= EVENTS_MAX);
                let _ = log.replay(HashAlgorithm::SHA256);
                let _ = annotate(&log);
            }
        }
    }
}
