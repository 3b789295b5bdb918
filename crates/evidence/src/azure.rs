//! Azure's confidential machines: the HCL report of their paravisor, and the JSON in which it
//! travels with a TPM quote.
//!
//! The paravisor (HCL, OpenHCL) asks the CPU for a report over the hash of its *runtime claims*,
//! which name the key (AK) that its virtual TPM signs with. The report lies in the NV index
//! 0x01400001 of that TPM. Reads shape only: never hashes a claim against a report, never checks
//! a signature. The header is signed by nobody; what counts is inside the report and the claims.
//!
//! Sources: `openhcl_attestation_protocol` of OpenVMM, and 16 captured reports.

mod annotate;
mod claims;
mod evidence;
mod td_report;

use crate::{Malformed, What, reader::Reader, tpm::HashAlgorithm};

pub use annotate::annotate;
pub use claims::{ClaimedKey, KEY_AK, KEY_EK, RuntimeClaims, VmConfiguration};
pub use evidence::{EVIDENCE_BYTES_MAX, Evidence};
pub use td_report::{LocalTdReport, TD_REPORT_BYTES};

/// The id under which a broken HCL report is refused.
pub const HCL: &str = "azure.hcl";
/// The id under which runtime claims are refused.
pub const CLAIMS: &str = "azure.claims";
/// The id under which a TDREPORT is refused.
pub const TD_REPORT: &str = "azure.td-report";
/// The id under which the JSON around an HCL report is refused.
pub const EVIDENCE: &str = "azure.evidence";

/// Every id that this module refuses under.
pub const CHECKS: &[&str] = &[CLAIMS, EVIDENCE, HCL, TD_REPORT];

/// Real NV indexes have 2600 bytes, older ones 2048; six times that is hostile.
pub const HCL_BYTES_MAX: usize = 16 * 1024;
/// The area of the hardware report, as long as the longest of them (SEV-SNP's).
pub const HARDWARE_BYTES: usize = 1184;
/// Bytes before the hardware report.
const HEADER_BYTES: usize = 32;
/// Bytes between the hardware report and the claims.
const CLAIMS_HEADER_BYTES: u32 = 20;
const MAGIC: [u8; 4] = *b"HCLA";

/// Whose report lies in the hardware area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hardware {
    /// AMD SEV-SNP: an attestation report of 1184 bytes.
    Snp,
    /// Intel TDX: a TDREPORT of 1024 bytes, which only the machine it was made on can check; a
    /// quote of the same trust domain must come along.
    Tdx,
}

/// An HCL report, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HclReport<'a> {
    /// Version of the header: 1 or 2, with the same layout.
    pub version: u32,
    /// Why the paravisor made it: 1 to release a key, 2 to certify the AK (all that a guest can
    /// see), 3 for a wrapped key.
    pub request_type: u32,
    /// Whose report lies in the hardware area.
    pub hardware: Hardware,
    /// The hardware area, [`HARDWARE_BYTES`] long.
    pub report: &'a [u8],
    /// The hash of the claims that the report data holds.
    pub hash: HashAlgorithm,
    /// The runtime claims (JSON), as stored: exactly these bytes are hashed.
    pub claims: &'a [u8],
}

impl<'a> HclReport<'a> {
    /// Reads the content of the NV index; zeros may follow the report, nothing else.
    ///
    /// # Errors
    /// `azure.hcl`, with the offset: too long or short, another magic, an unknown version, kind of
    /// report or hash, lengths that do not add up, a status, or bytes in a place for zeros.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > HCL_BYTES_MAX {
            let what = What::TooLong {
                limit: HCL_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(HCL, HCL_BYTES_MAX, what));
        }
        let mut reader = Reader::new(bytes, HCL);
        if reader.array()? != MAGIC {
            let because = "it does not begin with HCLA";
            return Err(Malformed::invalid(HCL, 0, "signature", because));
        }
        let version = one_of(&mut reader, "version", 1..=2)?;
        let report_size = reader.u32_le()?;
        let request_type = one_of(&mut reader, "request_type", 1..=3)?;
        reader.zeros(4, HCL, "status")?;
        reader.zeros(12, HCL, "reserved")?;
        let report = reader.take(HARDWARE_BYTES)?;
        let at = reader.offset();
        let data_size = reader.u32_le()?;
        one_of(&mut reader, "version of the claims", 1..=1)?;
        let kind_at = reader.offset();
        let hardware = match reader.u32_le()? {
            2 => Hardware::Snp,
            4 => Hardware::Tdx,
            // No CPU speaks there: VBS, trusted launch; or a CPU that is not read yet (CCA).
            other => {
                let what = What::Unsupported {
                    field: "report_type",
                    found: u64::from(other),
                };
                return Err(Malformed::new(HCL, kind_at, what));
            }
        };
        let hash = match one_of(&mut reader, "hash type", 1..=3)? {
            1 => HashAlgorithm::SHA256,
            2 => HashAlgorithm::SHA384,
            _ => HashAlgorithm::SHA512,
        };
        let variable = reader.u32_le()?;
        let whole = data_size.checked_add(1216);
        if variable.checked_add(CLAIMS_HEADER_BYTES) != Some(data_size)
            || whole != Some(report_size)
        {
            let because = "the sizes in the header do not add up";
            return Err(Malformed::invalid(HCL, at, "data_size", because));
        }
        let claims = reader.take(usize::try_from(variable).unwrap_or(usize::MAX))?;
        reader.zeros(reader.left(), HCL, "bytes behind the claims")?;
        Ok(Self {
            version,
            request_type,
            hardware,
            report,
            hash,
            claims,
        })
    }

    /// The report data inside the hardware report: not believed before the report is.
    #[must_use]
    pub fn report_data(&self) -> [u8; 64] {
        let at = match self.hardware {
            Hardware::Snp => 0x50,
            Hardware::Tdx => td_report::REPORT_DATA_AT,
        };
        let data = self.report.get(at..).and_then(<[u8]>::first_chunk);
        // The area is longer than both offsets.
        data.copied().unwrap_or([0; 64])
    }

    /// What the report data must be for these claims: their hash, and zeros.
    #[must_use]
    pub fn claims_report_data(&self) -> [u8; 64] {
        let mut out = [0; 64];
        let digest = self.hash.digest(&[self.claims]).unwrap_or_default();
        for (target, byte) in out.iter_mut().zip(digest) {
            *target = byte;
        }
        out
    }

    /// Where the hardware report begins in the input.
    #[must_use]
    pub const fn report_offset() -> usize {
        HEADER_BYTES
    }
}

fn one_of(
    reader: &mut Reader<'_>,
    field: &'static str,
    known: std::ops::RangeInclusive<u32>,
) -> Result<u32, Malformed> {
    let at = reader.offset();
    let found = reader.u32_le()?;
    if known.contains(&found) {
        return Ok(found);
    }
    let what = What::Unsupported {
        field,
        found: u64::from(found),
    };
    Err(Malformed::new(HCL, at, what))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report of this kind with these claims, otherwise zero, with 100 zeros behind it.
    pub(crate) fn hcl(kind: u32, claims: &[u8]) -> Vec<u8> {
        let variable = u32::try_from(claims.len()).unwrap();
        let mut out = b"HCLA".to_vec();
        for number in [2, variable + 20 + 1216, 2, 0, 0, 0, 0] {
            out.extend(u32::to_le_bytes(number));
        }
        out.extend([0; HARDWARE_BYTES]);
        for number in [variable + 20, 1, kind, 1, variable] {
            out.extend(u32::to_le_bytes(number));
        }
        out.extend(claims);
        out.extend([0; 100]);
        out
    }

    #[test]
    fn a_report_gives_its_parts() {
        let bytes = hcl(2, b"{}");
        let report = HclReport::parse(&bytes).unwrap();
        assert_eq!(
            (report.version, report.hardware, report.claims),
            (2, Hardware::Snp, &b"{}"[..])
        );
        assert_eq!(report.hash, HashAlgorithm::SHA256);
        let wanted = report.claims_report_data();
        assert_eq!(
            hex::encode(&wanted[..32]),
            "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(wanted[32..], [0; 32]);
    }

    #[test]
    fn every_broken_field_is_refused_at_its_place() {
        for (at, value, offset) in [
            (0, b'X', 0),
            (4, 3, 4),
            (8, 0, 1216),
            (12, 4, 12),
            (16, 1, 16),
            (31, 1, 31),
            (1216, 1, 1216),
            (1220, 2, 1220),
            (1224, 3, 1224),
            (1228, 0, 1228),
            (1228, 4, 1228),
            (1232, 3, 1216),
            (1238, 1, 1238),
        ] {
            let mut bytes = hcl(4, b"{}");
            bytes[at] = value;
            let refusal = HclReport::parse(&bytes).unwrap_err();
            assert_eq!((refusal.check, refusal.offset), (HCL, offset), "{at}");
        }
        let short = hcl(2, b"{}");
        assert_eq!(HclReport::parse(&short[..1237]).unwrap_err().offset, 1236);
        let long = [hcl(2, b"{}"), vec![0; HCL_BYTES_MAX]].concat();
        assert_eq!(HclReport::parse(&long).unwrap_err().offset, HCL_BYTES_MAX);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            at in 0_usize..1400,
        ) {
            let _ = HclReport::parse(&bytes);
            let mut whole = hcl(2, b"{\"keys\":[]}");
            for (target, byte) in whole.iter_mut().skip(at).zip(&bytes) {
                *target = *byte;
            }
            if let Ok(report) = HclReport::parse(&whole) {
                let _ = RuntimeClaims::parse(report.claims);
            }
        }
    }
}
