//! The body of an Intel TDX quote: what the TDX module says about a trust domain (TD).
//!
//! Three forms: TDX 1.0 (584 bytes), TDX 1.5 (648) and TDX 1.5 with service-TD fields (885).
//! Reads fields and believes none of them; attribute bits are named, never judged.

use crate::{Malformed, annotate::Node, reader::Reader, sgx::names};

/// Length of a TDX 1.0 body.
pub const TD10_BYTES: usize = 584;
/// Length of a TDX 1.5 body.
pub const TD15_BYTES: usize = 648;
/// Length of a TDX 1.5 body with service-TD fields.
pub const TD15_EXTENDED_BYTES: usize = 885;

const SPEC: &str = "Intel TDX DCAP Quoting Library API, TD Quote Body";
const TD_ATTRIBUTES: [(u32, &str); 12] = [
    (0, "DEBUG"),
    (4, "HGS_PLUS_PROF"),
    (5, "PERF_PROF"),
    (6, "PMT_PROF"),
    (16, "ICSSD"),
    (27, "LASS"),
    (28, "SEPT_VE_DISABLE"),
    (29, "MIGRATABLE"),
    (30, "PKS"),
    (31, "KL"),
    (62, "TPA"),
    (63, "PERFMON"),
];
const XFAM: [(u32, &str); 15] = [
    (0, "x87"),
    (1, "SSE"),
    (2, "AVX"),
    (5, "AVX-512 opmask"),
    (6, "AVX-512 ZMM_Hi256"),
    (7, "AVX-512 Hi16_ZMM"),
    (8, "PT"),
    (9, "PKRU"),
    (11, "CET_U"),
    (12, "CET_S"),
    (14, "UINTR"),
    (15, "LBR"),
    (16, "HWP"),
    (17, "TILECFG"),
    (18, "TILEDATA"),
];

/// TDATTRIBUTES: what the TD was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdAttributes(pub u64);

impl TdAttributes {
    /// Whether the host may read and change the TD (bit 0).
    #[must_use]
    pub const fn debug(self) -> bool {
        self.0 & 1 != 0
    }

    /// Whether any bit of the group "TD under debug" (7 to 0) is set: then nothing is protected.
    #[must_use]
    pub const fn under_debug(self) -> bool {
        self.0 & 0xff != 0
    }

    /// Whether a missing page makes no exception that the host can use against the TD (bit 28).
    #[must_use]
    pub const fn sept_ve_disable(self) -> bool {
        self.0 & (1 << 28) != 0
    }

    /// Whether a migration TD may move this TD to another platform (bit 29).
    #[must_use]
    pub const fn migratable(self) -> bool {
        self.0 & (1 << 29) != 0
    }

    /// The bits that no published document names.
    #[must_use]
    pub fn unknown(self) -> u64 {
        TD_ATTRIBUTES.iter().fold(self.0, |left, (bit, _)| {
            left & !1u64.checked_shl(*bit).unwrap_or_default()
        })
    }

    /// The names of the bits that are set; unknown ones by number.
    #[must_use]
    pub fn names(self) -> String {
        names(self.0, &TD_ATTRIBUTES)
    }
}

/// XFAM: the extended processor features of the TD, bits as in XCR0 | IA32_XSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xfam(pub u64);

impl Xfam {
    /// The names of the bits that are set; unknown ones by number.
    #[must_use]
    pub fn names(self) -> String {
        names(self.0, &XFAM)
    }
}

/// What TDX 1.5 adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Td15 {
    /// TEE_TCB_SVN2: security versions of the TDX module that is loaded now.
    pub tee_tcb_svn2: [u8; 16],
    /// MRSERVICETD: hash of the service TDs bound to this one; zero when there is none.
    pub mr_service_td: [u8; 48],
}

/// What TDX 1.5 with service-TD fields adds (body type 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTd {
    /// VMID: which VM of a partitioned TD speaks.
    pub vm_id: u8,
    /// TD_ID.
    pub td_id: [u8; 32],
    /// DEV_INFO: hash of the devices bound to the TD.
    pub dev_info: [u8; 48],
    /// INIT_SERVICE_TD_HASH.
    pub init_service_td_hash: [u8; 48],
    /// INIT_SERVICE_TD_ATTRIBUTES.
    pub init_service_td_attributes: u64,
    /// INIT_CPUSVN.
    pub init_cpu_svn: [u8; 16],
    /// INIT_TEE_TCB_SVN.
    pub init_tee_tcb_svn: [u8; 16],
    /// INIT_TEE_FMSPC, 12 bytes as received.
    pub init_tee_fmspc: [u8; 12],
    /// CUR_SERVICE_TD_HASH.
    pub cur_service_td_hash: [u8; 48],
    /// CUR_SERVICE_TD_ATTRIBUTES.
    pub cur_service_td_attributes: u64,
}

/// Which form a body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// TDX 1.0.
    Td10,
    /// TDX 1.5.
    Td15,
    /// TDX 1.5 with service-TD fields.
    Td15Extended,
}

impl Form {
    /// The length of a body of this form in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Td10 => TD10_BYTES,
            Self::Td15 => TD15_BYTES,
            Self::Td15Extended => TD15_EXTENDED_BYTES,
        }
    }
}

/// A TD quote body, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdReport {
    /// TEE_TCB_SVN: security versions at the launch of the TD; byte 0 is the TDX module's SVN,
    /// byte 1 its major version.
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM: measurement of the TDX module.
    pub mr_seam: [u8; 48],
    /// MRSIGNERSEAM: signer of the TDX module; zero is Intel.
    pub mr_signer_seam: [u8; 48],
    /// SEAMATTRIBUTES, as received.
    pub seam_attributes: [u8; 8],
    /// TDATTRIBUTES.
    pub td_attributes: TdAttributes,
    /// XFAM.
    pub xfam: Xfam,
    /// MRTD: what the TD was built from.
    pub mr_td: [u8; 48],
    /// MRCONFIGID: set by the host.
    pub mr_config_id: [u8; 48],
    /// MROWNER: set by the host.
    pub mr_owner: [u8; 48],
    /// MROWNERCONFIG: set by the host.
    pub mr_owner_config: [u8; 48],
    /// RTMR0 to RTMR3: run-time registers.
    pub rtmr: [[u8; 48]; 4],
    /// REPORTDATA: 64 bytes that the guest chose.
    pub report_data: [u8; 64],
    /// What TDX 1.5 adds.
    pub td15: Option<Td15>,
    /// What body type 4 adds.
    pub service_td: Option<Box<ServiceTd>>,
}

impl TdReport {
    /// Reads a body of this form; exactly its bytes are taken.
    ///
    /// # Errors
    /// Shortness, under the reader's check id.
    pub fn read(reader: &mut Reader<'_>, form: Form) -> Result<Self, Malformed> {
        Ok(Self {
            tee_tcb_svn: reader.array()?,
            mr_seam: reader.array()?,
            mr_signer_seam: reader.array()?,
            seam_attributes: reader.array()?,
            td_attributes: TdAttributes(reader.u64_le()?),
            xfam: Xfam(reader.u64_le()?),
            mr_td: reader.array()?,
            mr_config_id: reader.array()?,
            mr_owner: reader.array()?,
            mr_owner_config: reader.array()?,
            rtmr: [
                reader.array()?,
                reader.array()?,
                reader.array()?,
                reader.array()?,
            ],
            report_data: reader.array()?,
            td15: match form {
                Form::Td10 => None,
                Form::Td15 | Form::Td15Extended => Some(Td15 {
                    tee_tcb_svn2: reader.array()?,
                    mr_service_td: reader.array()?,
                }),
            },
            service_td: match form {
                Form::Td10 | Form::Td15 => None,
                Form::Td15Extended => Some(Box::new(ServiceTd::read(reader)?)),
            },
        })
    }

    /// The fields for people, with offsets counted from `base`.
    #[must_use]
    pub fn annotate(&self, base: usize) -> Node {
        let at = |offset: usize| base.saturating_add(offset);
        let mut fields = vec![
            Node::bytes("TEE_TCB_SVN", at(0), &self.tee_tcb_svn)
                .meaning("security versions when the TD was launched"),
            Node::bytes("MRSEAM", at(16), &self.mr_seam).meaning("measurement of the TDX module"),
            Node::bytes("MRSIGNERSEAM", at(64), &self.mr_signer_seam)
                .meaning("signer of the TDX module; zero is Intel"),
            Node::bytes("SEAMATTRIBUTES", at(112), &self.seam_attributes),
            Node::bytes("TDATTRIBUTES", at(120), &self.td_attributes.0.to_le_bytes())
                .meaning(self.td_attributes.names()),
            Node::bytes("XFAM", at(128), &self.xfam.0.to_le_bytes()).meaning(self.xfam.names()),
            Node::bytes("MRTD", at(136), &self.mr_td).meaning("what the TD was built from"),
            Node::bytes("MRCONFIGID", at(184), &self.mr_config_id).meaning("set by the host"),
            Node::bytes("MROWNER", at(232), &self.mr_owner).meaning("set by the host"),
            Node::bytes("MROWNERCONFIG", at(280), &self.mr_owner_config).meaning("set by the host"),
        ];
        let meanings = [
            "firmware configuration",
            "boot loader and kernel",
            "kernel command line and initial file system",
            "free for the run time",
        ];
        let places = [328usize, 376, 424, 472];
        let registers = self.rtmr.iter().zip(places).zip(meanings).enumerate();
        for (index, ((register, offset), meaning)) in registers {
            fields.push(Node::bytes(format!("RTMR{index}"), at(offset), register).meaning(meaning));
        }
        fields.push(
            Node::bytes("REPORTDATA", at(520), &self.report_data)
                .meaning("64 bytes that the guest chose"),
        );
        let mut length = TD10_BYTES;
        if let Some(td15) = &self.td15 {
            length = TD15_BYTES;
            fields.push(
                Node::bytes("TEE_TCB_SVN2", at(584), &td15.tee_tcb_svn2)
                    .meaning("security versions of the TDX module that is loaded now"),
            );
            fields.push(
                Node::bytes("MRSERVICETD", at(600), &td15.mr_service_td)
                    .meaning("hash of the service TDs bound to this one; zero is none"),
            );
        }
        if let Some(service) = &self.service_td {
            length = TD15_EXTENDED_BYTES;
            fields.extend(service.annotate(base));
        }
        Node::group("TD quote body", base, length, fields).spec(SPEC)
    }
}

impl ServiceTd {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            vm_id: reader.u8()?,
            td_id: reader.array()?,
            dev_info: reader.array()?,
            init_service_td_hash: reader.array()?,
            init_service_td_attributes: reader.u64_le()?,
            init_cpu_svn: reader.array()?,
            init_tee_tcb_svn: reader.array()?,
            init_tee_fmspc: reader.array()?,
            cur_service_td_hash: reader.array()?,
            cur_service_td_attributes: reader.u64_le()?,
        })
    }

    fn annotate(&self, base: usize) -> Vec<Node> {
        let at = |offset: usize| base.saturating_add(offset);
        let init = self.init_service_td_attributes.to_le_bytes();
        let current = self.cur_service_td_attributes.to_le_bytes();
        vec![
            Node::bytes("VMID", at(648), &[self.vm_id]),
            Node::bytes("TD_ID", at(649), &self.td_id),
            Node::bytes("DEV_INFO", at(681), &self.dev_info),
            Node::bytes("INIT_SERVICE_TD_HASH", at(729), &self.init_service_td_hash),
            Node::bytes("INIT_SERVICE_TD_ATTRIBUTES", at(777), &init),
            Node::bytes("INIT_CPUSVN", at(785), &self.init_cpu_svn),
            Node::bytes("INIT_TEE_TCB_SVN", at(801), &self.init_tee_tcb_svn),
            Node::bytes("INIT_TEE_FMSPC", at(817), &self.init_tee_fmspc),
            Node::bytes("CUR_SERVICE_TD_HASH", at(829), &self.cur_service_td_hash),
            Node::bytes("CUR_SERVICE_TD_ATTRIBUTES", at(877), &current),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered() -> Vec<u8> {
        (0..TD15_EXTENDED_BYTES)
            .map(|at| (at % 251) as u8)
            .collect()
    }

    #[test]
    fn every_field_is_read_from_its_place() {
        let bytes = numbered();
        let mut reader = Reader::new(&bytes, "test.short");
        let report = TdReport::read(&mut reader, Form::Td15Extended).unwrap();
        assert!(reader.is_empty());
        assert_eq!(report.mr_seam, bytes[16..64]);
        assert_eq!(report.td_attributes.0.to_le_bytes(), bytes[120..128]);
        assert_eq!(report.xfam.0.to_le_bytes(), bytes[128..136]);
        assert_eq!(report.mr_td, bytes[136..184]);
        assert_eq!(report.mr_owner_config, bytes[280..328]);
        assert_eq!(report.rtmr[3], bytes[472..520]);
        assert_eq!(report.report_data, bytes[520..584]);
        let td15 = report.td15.unwrap();
        assert_eq!(td15.tee_tcb_svn2, bytes[584..600]);
        assert_eq!(td15.mr_service_td, bytes[600..648]);
        let service = report.service_td.unwrap();
        assert_eq!(service.td_id, bytes[649..681]);
        assert_eq!(service.init_tee_fmspc, bytes[817..829]);
        assert_eq!(
            service.cur_service_td_attributes.to_le_bytes(),
            bytes[877..885]
        );
    }

    #[test]
    fn the_tree_names_each_field_with_the_bytes_at_its_offset() {
        let bytes = numbered();
        let mut reader = Reader::new(&bytes, "test.short");
        let tree = TdReport::read(&mut reader, Form::Td15Extended)
            .unwrap()
            .annotate(0);
        let mut end = 0;
        for field in &tree.children {
            assert_eq!(field.offset, end, "{}", field.name);
            end = field.offset + field.length;
            assert_eq!(
                field.value,
                hex::encode(&bytes[field.offset..end]),
                "{}",
                field.name
            );
        }
        assert_eq!(end, TD15_EXTENDED_BYTES);
    }

    #[test]
    fn attribute_bits_that_no_document_names_are_reported() {
        let attributes = TdAttributes(1 << 28 | 1 << 40);
        assert!(attributes.sept_ve_disable() && !attributes.under_debug());
        assert_eq!(attributes.unknown(), 1 << 40);
        assert_eq!(attributes.names(), "SEPT_VE_DISABLE, bit 40");
    }
}
