//! The TDREPORT of a trust domain (Intel TDX Module ABI, TDREPORT_STRUCT): what the paravisor got
//! from the module. Its MAC can be checked on the same machine only; here it names the trust
//! domain whose quote must come along.

use super::{HARDWARE_BYTES, TD_REPORT};
use crate::{Malformed, What, reader::Reader};

/// Bytes of a TDREPORT.
pub const TD_REPORT_BYTES: usize = 1024;
/// REPORTDATA in the MAC structure.
pub(super) const REPORT_DATA_AT: usize = 128;
/// REPORTTYPE.TYPE of a trust domain.
const TYPE_TDX: u8 = 0x81;

/// A TDREPORT, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTdReport {
    /// REPORTDATA.
    pub report_data: [u8; 64],
    /// MRTD.
    pub mr_td: [u8; 48],
}

impl LocalTdReport {
    /// Reads the hardware area of an HCL report: 1024 bytes, and zeros to its end.
    ///
    /// # Errors
    /// `azure.td-report`, with the offset: too short, a report of another type, or bytes in a
    /// place for zeros.
    pub fn parse(area: &[u8]) -> Result<Self, Malformed> {
        if area.len() > HARDWARE_BYTES {
            let what = What::TooLong {
                limit: HARDWARE_BYTES,
                found: area.len(),
            };
            return Err(Malformed::new(TD_REPORT, HARDWARE_BYTES, what));
        }
        let mut reader = Reader::new(area, TD_REPORT);
        let kind = reader.u8()?;
        if kind != TYPE_TDX {
            let what = What::Unsupported {
                field: "REPORTTYPE",
                found: u64::from(kind),
            };
            return Err(Malformed::new(TD_REPORT, 0, what));
        }
        reader.take(2)?;
        reader.zeros(13, TD_REPORT, "reserved at 3")?;
        // CPUSVN and the hashes of the two parts behind.
        reader.take(16 + 48 + 48)?;
        let report_data = reader.array()?;
        reader.zeros(32, TD_REPORT, "reserved at 192")?;
        // MAC, TEE_TCB_INFO, reserved; TDINFO begins at 512 with ATTRIBUTES and XFAM.
        reader.take(32 + 239)?;
        reader.zeros(17, TD_REPORT, "reserved at 495")?;
        reader.take(16)?;
        let mr_td = reader.array()?;
        reader.take(TD_REPORT_BYTES.saturating_sub(reader.offset()))?;
        reader.zeros(reader.left(), TD_REPORT, "bytes behind the TDREPORT")?;
        Ok(Self { report_data, mr_td })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_at_their_places_and_reserved_bytes_are_zero() {
        let mut area = [0; HARDWARE_BYTES];
        area[0] = 0x81;
        area[128] = 1;
        area[191] = 2;
        area[528] = 3;
        area[575] = 4;
        let report = LocalTdReport::parse(&area).unwrap();
        assert_eq!((report.report_data[0], report.report_data[63]), (1, 2));
        assert_eq!((report.mr_td[0], report.mr_td[47]), (3, 4));
        for at in [0, 3, 15, 192, 495, 1024, 1183] {
            let mut broken = area;
            broken[at] = 7;
            let refusal = LocalTdReport::parse(&broken).unwrap_err();
            assert_eq!((refusal.check, refusal.offset), (TD_REPORT, at));
        }
        assert!(LocalTdReport::parse(&area[..1023]).is_err());
    }
}
