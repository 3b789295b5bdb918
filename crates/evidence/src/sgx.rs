//! The report body of an SGX enclave: 384 bytes, also the form in which the quoting enclave (QE)
//! speaks of itself.
//!
//! Reads fields and believes none of them. Never decides whether an enclave is wanted, and never
//! refuses a reserved range: Intel's verifier does not, and a signature covers it.

use crate::{Malformed, annotate::Node, reader::Reader};

/// Length of a report body (Intel SGX ECDSA Quote Library API, "Enclave Report Body").
pub const REPORT_BYTES: usize = 384;

const SPEC: &str = "Intel SGX DCAP API, Enclave Report Body";

/// ATTRIBUTES of an enclave: flags and the extended features it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Bit 0 INIT, 1 DEBUG, 2 MODE64BIT, 4 PROVISION_KEY, 5 EINITTOKEN_KEY, 7 KSS.
    pub flags: u64,
    /// XFRM, bits as in XCR0.
    pub xfrm: u64,
}

impl Attributes {
    /// Whether a debugger may read and change the enclave (bit 1).
    #[must_use]
    pub const fn debug(self) -> bool {
        self.flags & (1 << 1) != 0
    }

    /// Whether the enclave may use the provisioning key (bit 4).
    #[must_use]
    pub const fn provision_key(self) -> bool {
        self.flags & (1 << 4) != 0
    }

    /// Whether key separation and sharing is on (bit 7): then the KSS fields mean something.
    #[must_use]
    pub const fn key_separation(self) -> bool {
        self.flags & (1 << 7) != 0
    }

    fn names(self) -> String {
        names(
            self.flags,
            &[
                (0, "INIT"),
                (1, "DEBUG"),
                (2, "MODE64BIT"),
                (4, "PROVISION_KEY"),
                (5, "EINITTOKEN_KEY"),
                (6, "CET"),
                (7, "KSS"),
                (10, "AEXNOTIFY"),
            ],
        )
    }
}

/// A report body, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnclaveReport {
    /// CPUSVN: security versions of the platform, opaque here.
    pub cpu_svn: [u8; 16],
    /// MISCSELECT: which exception information the enclave asks for.
    pub misc_select: u32,
    /// ISVEXTPRODID (with KSS).
    pub isv_ext_prod_id: [u8; 16],
    /// ATTRIBUTES.
    pub attributes: Attributes,
    /// ATTRIBUTES as the 16 bytes received; masks of an identity are byte strings.
    pub attribute_bytes: [u8; 16],
    /// MRENCLAVE: what was loaded.
    pub mr_enclave: [u8; 32],
    /// MRSIGNER: hash of the key that signed the enclave.
    pub mr_signer: [u8; 32],
    /// CONFIGID (with KSS).
    pub config_id: [u8; 64],
    /// ISVPRODID: which product of the signer.
    pub isv_prod_id: u16,
    /// ISVSVN: security version of the enclave.
    pub isv_svn: u16,
    /// CONFIGSVN (with KSS).
    pub config_svn: u16,
    /// ISVFAMILYID (with KSS).
    pub isv_family_id: [u8; 16],
    /// REPORTDATA: 64 bytes that the enclave chose.
    pub report_data: [u8; 64],
}

impl EnclaveReport {
    /// Reads a body; exactly [`REPORT_BYTES`] are taken.
    ///
    /// # Errors
    /// Shortness, under the reader's check id.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let cpu_svn = reader.array()?;
        let misc_select = reader.u32_le()?;
        reader.take(12)?;
        let isv_ext_prod_id = reader.array()?;
        let attribute_bytes: [u8; 16] = reader.array()?;
        let mut attributes = Reader::new(&attribute_bytes, reader.check());
        let attributes = Attributes {
            flags: attributes.u64_le()?,
            xfrm: attributes.u64_le()?,
        };
        let mr_enclave = reader.array()?;
        reader.take(32)?;
        let mr_signer = reader.array()?;
        reader.take(32)?;
        let config_id = reader.array()?;
        let isv_prod_id = reader.u16_le()?;
        let isv_svn = reader.u16_le()?;
        let config_svn = reader.u16_le()?;
        reader.take(42)?;
        Ok(Self {
            cpu_svn,
            misc_select,
            isv_ext_prod_id,
            attributes,
            attribute_bytes,
            mr_enclave,
            mr_signer,
            config_id,
            isv_prod_id,
            isv_svn,
            config_svn,
            isv_family_id: reader.array()?,
            report_data: reader.array()?,
        })
    }

    /// The fields for people, with offsets counted from `base`; `raw` is the body as received.
    #[must_use]
    pub fn annotate(&self, name: &str, base: usize, raw: &[u8]) -> Node {
        let at = |offset: usize| base.saturating_add(offset);
        let number = |name: &str, offset: usize, length: usize, value: u64| {
            Node::field(name, at(offset), length, format!("{value} ({value:#x})"))
        };
        let reserved = |offset: usize, length: usize| {
            let content = raw.get(offset..offset.saturating_add(length));
            Node::bytes("reserved", at(offset), content.unwrap_or_default())
        };
        Node::group(
            name,
            base,
            REPORT_BYTES,
            vec![
                Node::bytes("CPUSVN", at(0), &self.cpu_svn),
                number("MISCSELECT", 16, 4, u64::from(self.misc_select)),
                reserved(20, 12),
                Node::bytes("ISVEXTPRODID", at(32), &self.isv_ext_prod_id),
                Node::bytes(
                    "ATTRIBUTES.FLAGS",
                    at(48),
                    &self.attributes.flags.to_le_bytes(),
                )
                .meaning(self.attributes.names()),
                Node::bytes(
                    "ATTRIBUTES.XFRM",
                    at(56),
                    &self.attributes.xfrm.to_le_bytes(),
                )
                .meaning("extended processor state that the enclave may use"),
                Node::bytes("MRENCLAVE", at(64), &self.mr_enclave)
                    .meaning("measurement of what was loaded"),
                reserved(96, 32),
                Node::bytes("MRSIGNER", at(128), &self.mr_signer)
                    .meaning("hash of the key that signed the enclave"),
                reserved(160, 32),
                Node::bytes("CONFIGID", at(192), &self.config_id),
                number("ISVPRODID", 256, 2, u64::from(self.isv_prod_id)),
                number("ISVSVN", 258, 2, u64::from(self.isv_svn)),
                number("CONFIGSVN", 260, 2, u64::from(self.config_svn)),
                reserved(262, 42),
                Node::bytes("ISVFAMILYID", at(304), &self.isv_family_id),
                Node::bytes("REPORTDATA", at(320), &self.report_data)
                    .meaning("64 bytes that the enclave chose"),
            ],
        )
        .spec(SPEC)
    }
}

/// The names of the bits that are set; unknown ones by number. Empty set: `none`.
pub(crate) fn names(bits: u64, known: &[(u32, &str)]) -> String {
    let mut out: Vec<String> = Vec::new();
    for bit in 0..u64::BITS {
        if bits.checked_shr(bit).unwrap_or_default() & 1 == 1 {
            let name = known.iter().find(|(at, _)| *at == bit);
            out.push(name.map_or_else(|| format!("bit {bit}"), |(_, name)| (*name).to_owned()));
        }
    }
    if out.is_empty() {
        "none".to_owned()
    } else {
        out.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_read_from_its_place() {
        let mut bytes: Vec<u8> = (0..384u32).map(|at| (at % 251) as u8).collect();
        bytes[48..56].copy_from_slice(&0b1000_0111u64.to_le_bytes());
        let report = EnclaveReport::read(&mut Reader::new(&bytes, "test.short")).unwrap();
        assert_eq!(report.cpu_svn, bytes[0..16]);
        assert_eq!(report.misc_select.to_le_bytes(), bytes[16..20]);
        assert_eq!(report.isv_ext_prod_id, bytes[32..48]);
        assert!(report.attributes.debug() && report.attributes.key_separation());
        assert!(!report.attributes.provision_key());
        assert_eq!(report.mr_enclave, bytes[64..96]);
        assert_eq!(report.mr_signer, bytes[128..160]);
        assert_eq!(report.config_id, bytes[192..256]);
        assert_eq!(report.isv_prod_id.to_le_bytes(), bytes[256..258]);
        assert_eq!(report.isv_svn.to_le_bytes(), bytes[258..260]);
        assert_eq!(report.config_svn.to_le_bytes(), bytes[260..262]);
        assert_eq!(report.isv_family_id, bytes[304..320]);
        assert_eq!(report.report_data, bytes[320..384]);
    }

    #[test]
    fn a_body_that_is_one_byte_short_is_refused() {
        let refusal = EnclaveReport::read(&mut Reader::new(&[0; 383], "test.short")).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), ("test.short", 320));
    }

    #[test]
    fn bits_have_names() {
        assert_eq!(names(0, &[]), "none");
        assert_eq!(names(0b1001, &[(0, "INIT")]), "INIT, bit 3");
    }
}
