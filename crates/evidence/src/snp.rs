//! AMD SEV-SNP: the attestation report of the secure processor (AMD 56860, `ATTESTATION_REPORT`).
//!
//! Reads versions 2 to 5, refuses others by number. Checks shape: length, reserved ranges, the
//! form of the signature. Never checks the signature, never decides which product's root is
//! asked, never judges a flag: bits that this program does not know are surfaced, not refused.

pub mod annotate;
mod fields;
mod forms;
mod inflate;
mod json;
mod protobuf;
mod table;
mod tcb;

pub use fields::{
    Bit, Cpuid, FirmwareVersion, GuestPolicy, KeyInfo, Mitigations, PlatformInfo, SigningKey,
};
pub use forms::{ENDORSEMENTS_MAX, Evidence, Form};
pub use json::{JSON, JSON_BYTES_MAX};
pub use protobuf::{PROTOBUF, PROTOBUF_BYTES_MAX};
pub use table::{CertificateTable, TABLE, TABLE_BYTES_MAX, TableEntry, guid_name};
pub use tcb::{Product, Tcb, TcbBytes, TcbLayout};

use crate::{Malformed, What, reader::Reader};

/// The report is shorter than 1184 bytes.
// spec: sev-snp.report.length
pub const LENGTH: &str = "snp.report.length";
/// A version that this program does not know.
pub const VERSION: &str = "snp.report.version";
/// A reserved range that is not zero.
pub const RESERVED: &str = "snp.report.reserved";
/// R or S wider than 384 bits, or bytes after them.
pub const SIGNATURE_FORMAT: &str = "snp.report.signature-format";
/// Bit 17 of the guest policy is zero.
pub const POLICY_BIT_17: &str = "snp.guest-policy.must-be-one";

/// The ids of this file.
pub const CHECKS: &[&str] = &[
    "snp.guest-policy.must-be-one",
    "snp.json",
    "snp.protobuf",
    "snp.report.length",
    "snp.report.reserved",
    "snp.report.signature-format",
    "snp.report.version",
    "snp.table",
];

/// Where the signature begins: everything before it is signed (AMD 56860 §7.3).
const SIGNATURE_AT: usize = 0x2a0;
/// Width of R and of S in the report, in bytes.
const COMPONENT: usize = 72;
/// Width of a P-384 number, in bytes.
const P384: usize = 48;

/// A report, read and not believed. Keeps the received bytes, over which the signature is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report<'a> {
    bytes: &'a [u8; Report::LEN],
    /// Every field of the report by its vendor's name.
    pub claims: Claims,
}

/// Every field of a report (AMD 56860 §7.3, table of `ATTESTATION_REPORT`), unbelieved.
///
/// Byte strings stand as received; numbers were little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Version of the report's layout: 2 to 5.
    pub version: u32,
    /// Security version of the guest, from its ID block; 0 without one.
    pub guest_svn: u32,
    /// What the guest's owner allowed at launch.
    pub policy: GuestPolicy,
    /// Family id from the ID block.
    pub family_id: [u8; 16],
    /// Image id from the ID block.
    pub image_id: [u8; 16],
    /// Privilege level that asked: 0 to 3, or 0xFFFFFFFF when the host asked.
    pub vmpl: u32,
    /// 1 = ECDSA P-384 with SHA-384, the only defined one.
    pub signature_algo: u32,
    /// Versions that run now.
    pub current_tcb: TcbBytes,
    /// What the platform says of itself.
    pub platform_info: PlatformInfo,
    /// Which key signed, and whether an author key exists.
    pub key_info: KeyInfo,
    /// Chosen by the guest: 64 bytes, our binding.
    pub report_data: [u8; 64],
    /// Launch digest, SHA-384.
    pub measurement: [u8; 48],
    /// Chosen by the hypervisor at launch.
    pub host_data: [u8; 32],
    /// SHA-384 of the ID key; zeros without an ID block.
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the author key; zeros unless `key_info` says that there is one.
    pub author_key_digest: [u8; 48],
    /// Random per guest, stable for its life.
    pub report_id: [u8; 32],
    /// Report id of the migration agent; all ones when there is none.
    pub report_id_ma: [u8; 32],
    /// Versions from which the signing key was derived.
    pub reported_tcb: TcbBytes,
    /// Family, model and stepping of the processor; versions 3 and later.
    pub cpuid: Option<Cpuid>,
    /// Identity of the chip; zeros when masked or signed by a VLEK on some hosts; on Turin only
    /// the first 8 bytes are used.
    pub chip_id: [u8; 64],
    /// Versions below which the firmware cannot be rolled back.
    pub committed_tcb: TcbBytes,
    /// Firmware that runs now.
    pub current_version: FirmwareVersion,
    /// Firmware that was committed.
    pub committed_version: FirmwareVersion,
    /// Versions at launch or import of the guest.
    pub launch_tcb: TcbBytes,
    /// Mitigation bitmaps; version 5.
    pub mitigations: Option<Mitigations>,
}

impl<'a> Report<'a> {
    /// Length of a report in bytes, the same in every version.
    pub const LEN: usize = 0x4a0;
    /// Length of the signed part in bytes.
    pub const SIGNED_LEN: usize = SIGNATURE_AT;

    /// Reads the first 1184 bytes of `bytes`; what follows is not looked at (see
    /// [`crate::snp::Report::LEN`]).
    ///
    /// # Errors
    /// `snp.report.length`, `snp.report.version`, `snp.report.reserved`,
    /// `snp.report.signature-format` or `snp.guest-policy.must-be-one`, each with the offset.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        // spec: sev-snp.report.truncated
        let Some(bytes) = bytes.first_chunk::<{ Report::LEN }>() else {
            let short = What::TooShort {
                wanted: Report::LEN,
                found: bytes.len(),
            };
            return Err(Malformed::new(LENGTH, 0, short));
        };
        let claims = claims(bytes)?;
        signature_form(bytes)?;
        Ok(Self { bytes, claims })
    }

    /// The report as received.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8; Report::LEN] {
        self.bytes
    }

    /// The signed 672 bytes, as received.
    #[must_use]
    pub fn signed_part(&self) -> &'a [u8] {
        self.bytes.get(..SIGNATURE_AT).unwrap_or_default()
    }

    /// The signature as r‖s, big-endian, 48 bytes each.
    #[must_use]
    pub fn signature_fixed(&self) -> [u8; 2 * P384] {
        let mut out = [0; 2 * P384];
        let (r, s) = out.split_at_mut(P384);
        for (target, at) in [(r, 0), (s, COMPONENT)] {
            let from = SIGNATURE_AT.saturating_add(at);
            let number = self
                .bytes
                .get(from..from.saturating_add(P384))
                .unwrap_or_default();
            // spec: sev-snp.signature.encoding
            for (byte, little) in target.iter_mut().zip(number.iter().rev()) {
                *byte = *little;
            }
        }
        out
    }
}

/// Reads the fields in their order; a structure's fields are evaluated as they are written.
fn claims(bytes: &[u8; Report::LEN]) -> Result<Claims, Malformed> {
    let mut at = Reader::new(bytes, LENGTH);
    let version = at.u32_le()?;
    // spec: sev-snp.report.version
    if !(2..=5).contains(&version) {
        let unsupported = What::Unsupported {
            field: "VERSION",
            found: u64::from(version),
        };
        return Err(Malformed::new(VERSION, 0, unsupported));
    }
    // spec: sev-snp.report.fields
    let claims = Claims {
        version,
        guest_svn: at.u32_le()?,
        policy: policy(&mut at)?,
        family_id: at.array()?,
        image_id: at.array()?,
        vmpl: at.u32_le()?,
        signature_algo: at.u32_le()?,
        current_tcb: TcbBytes(at.array()?),
        platform_info: PlatformInfo(at.u64_le()?),
        key_info: key_info(&mut at)?,
        report_data: at.array()?,
        measurement: at.array()?,
        host_data: at.array()?,
        id_key_digest: at.array()?,
        author_key_digest: at.array()?,
        report_id: at.array()?,
        report_id_ma: at.array()?,
        reported_tcb: TcbBytes(at.array()?),
        cpuid: cpuid(&mut at, version)?,
        chip_id: at.array()?,
        committed_tcb: TcbBytes(at.array()?),
        current_version: firmware(&mut at, "reserved at 0x1EB")?,
        committed_version: firmware(&mut at, "reserved at 0x1EF")?,
        launch_tcb: TcbBytes(at.array()?),
        mitigations: mitigations(&mut at, version)?,
    };
    // spec: sev-snp.report.reserved
    at.zeros(152, RESERVED, "reserved at 0x208")?;
    Ok(claims)
}

fn policy(at: &mut Reader<'_>) -> Result<GuestPolicy, Malformed> {
    let offset = at.offset();
    let policy = GuestPolicy(at.u64_le()?);
    // spec: sev-snp.policy.bit-17
    if policy.bit_17() {
        Ok(policy)
    } else {
        let because = "bit 17 must be one in every guest policy";
        Err(Malformed::invalid(POLICY_BIT_17, offset, "POLICY", because))
    }
}

fn key_info(at: &mut Reader<'_>) -> Result<KeyInfo, Malformed> {
    let key_info = KeyInfo(at.u32_le()?);
    at.zeros(4, RESERVED, "reserved at 0x04C")?;
    Ok(key_info)
}

/// 0x188 to 0x19F: three bytes of CPUID and 21 reserved, or (version 2) 24 reserved.
fn cpuid(at: &mut Reader<'_>, version: u32) -> Result<Option<Cpuid>, Malformed> {
    // spec: sev-snp.report.cpuid-since-3
    if version < 3 {
        at.zeros(24, RESERVED, "reserved at 0x188")?;
        return Ok(None);
    }
    let cpuid = Cpuid {
        family: at.u8()?,
        model: at.u8()?,
        stepping: at.u8()?,
    };
    at.zeros(21, RESERVED, "reserved at 0x18B")?;
    Ok(Some(cpuid))
}

/// 0x1F8 to 0x207: two bitmaps in version 5, reserved before.
fn mitigations(at: &mut Reader<'_>, version: u32) -> Result<Option<Mitigations>, Malformed> {
    // spec: sev-snp.report.mitigations-since-5
    if version < 5 {
        at.zeros(16, RESERVED, "reserved at 0x1F8")?;
        return Ok(None);
    }
    Ok(Some(Mitigations {
        launch: at.u64_le()?,
        current: at.u64_le()?,
    }))
}

fn firmware(at: &mut Reader<'_>, reserved: &'static str) -> Result<FirmwareVersion, Malformed> {
    let (build, minor, major) = (at.u8()?, at.u8()?, at.u8()?);
    at.zeros(1, RESERVED, reserved)?;
    Ok(FirmwareVersion {
        major,
        minor,
        build,
    })
}

/// R and S are 48 bytes wide in fields of 72; the rest of the 512 bytes is zero.
fn signature_form(bytes: &[u8; Report::LEN]) -> Result<(), Malformed> {
    let field = bytes.get(SIGNATURE_AT..).unwrap_or_default();
    let mut at = Reader::at_offset(field, SIGNATURE_AT, SIGNATURE_FORMAT);
    for name in ["bytes 48 to 71 of R", "bytes 48 to 71 of S"] {
        at.take(P384)?;
        // spec: sev-snp.signature.width
        at.zeros(COMPONENT.saturating_sub(P384), SIGNATURE_FORMAT, name)?;
    }
    at.zeros(at.left(), SIGNATURE_FORMAT, "the end of SIGNATURE")
}

#[cfg(test)]
mod tests;
