//! Quotes of versions 3, 4 and 5, written by the fact sheet's offsets.
//!
//! Shares no code with the reader that they are used against. Signs nothing.

use super::boot_log;
use super::documents::{COMPONENTS, PCE_SVN, QE_SVN, TEE_TCB_SVN};

/// The vendor id of Intel's quoting enclaves.
const VENDOR: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
/// SEPT_VE_DISABLE of TDATTRIBUTES.
pub(super) const SEPT_VE_DISABLE: u64 = 1 << 28;
/// MIGRATABLE of TDATTRIBUTES.
pub(super) const MIGRATABLE: u64 = 1 << 29;
/// DEBUG of an enclave's attributes.
pub(super) const SGX_DEBUG: u64 = 1 << 1;

/// What kind of environment speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tee {
    /// An enclave.
    Sgx,
    /// A trust domain.
    Tdx,
}

impl Tee {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sgx, Self::Tdx];

    /// `sgx` or `tdx`, as in addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sgx => "sgx",
            Self::Tdx => "tdx",
        }
    }

    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Sgx => "SGX",
            Self::Tdx => "TDX",
        }
    }

    pub(super) const fn other(self) -> Self {
        match self {
            Self::Sgx => Self::Tdx,
            Self::Tdx => Self::Sgx,
        }
    }

    pub(super) const fn qe_id(self) -> &'static str {
        match self {
            Self::Sgx => "QE",
            Self::Tdx => "TD_QE",
        }
    }

    pub(super) const fn qe_product(self) -> u16 {
        match self {
            Self::Sgx => 1,
            Self::Tdx => 2,
        }
    }

    pub(super) const fn qe_signer(self) -> [u8; 32] {
        match self {
            Self::Sgx => [0x8c; 32],
            Self::Tdx => [0xdc; 32],
        }
    }
}

/// The form of a quote: version and body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuoteForm {
    /// Version 3: an enclave.
    Sgx3,
    /// Version 4 of an enclave.
    Sgx4,
    /// Version 5 of an enclave (body type 1).
    Sgx5,
    /// Version 4 of a trust domain: TDX 1.0.
    Tdx4,
    /// Version 5 with the body of TDX 1.0 (body type 2).
    Tdx5Td10,
    /// Version 5 with the body of TDX 1.5 (body type 3).
    Tdx5,
    /// Version 5 with the body of TDX 1.5 and all fields of service TDs (body type 4).
    Tdx5Service,
}

impl QuoteForm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sgx3,
        Self::Sgx4,
        Self::Sgx5,
        Self::Tdx4,
        Self::Tdx5Td10,
        Self::Tdx5,
        Self::Tdx5Service,
    ];

    /// The usual form of this version, or none.
    #[must_use]
    pub const fn of(tee: Tee, version: u16) -> Option<Self> {
        match (tee, version) {
            (Tee::Sgx, 3) => Some(Self::Sgx3),
            (Tee::Sgx, 4) => Some(Self::Sgx4),
            (Tee::Sgx, 5) => Some(Self::Sgx5),
            (Tee::Tdx, 4) => Some(Self::Tdx4),
            (Tee::Tdx, 5) => Some(Self::Tdx5),
            _ => None,
        }
    }

    /// Who speaks.
    #[must_use]
    pub const fn tee(self) -> Tee {
        match self {
            Self::Sgx3 | Self::Sgx4 | Self::Sgx5 => Tee::Sgx,
            Self::Tdx4 | Self::Tdx5Td10 | Self::Tdx5 | Self::Tdx5Service => Tee::Tdx,
        }
    }

    /// Version of the quote.
    #[must_use]
    pub const fn version(self) -> u16 {
        match self {
            Self::Sgx3 => 3,
            Self::Sgx4 | Self::Tdx4 => 4,
            Self::Sgx5 | Self::Tdx5Td10 | Self::Tdx5 | Self::Tdx5Service => 5,
        }
    }

    /// Body type and size; only version 5 writes them.
    const fn descriptor(self) -> (u16, u32) {
        match self {
            Self::Sgx3 | Self::Sgx4 | Self::Sgx5 => (1, 384),
            Self::Tdx4 | Self::Tdx5Td10 => (2, 584),
            Self::Tdx5 => (3, 648),
            Self::Tdx5Service => (4, 885),
        }
    }
}

/// Which CA certifies the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PckCa {
    /// Platforms of several packages.
    Platform,
    /// Platforms of one package.
    Processor,
}

impl PckCa {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Platform, Self::Processor];

    /// `platform` or `processor`, as in addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }

    pub(super) const fn common_name(self) -> &'static str {
        match self {
            Self::Platform => "Intel SGX PCK Platform CA",
            Self::Processor => "Intel SGX PCK Processor CA",
        }
    }

    /// Real Processor-CA platforms have type 0, Platform-CA platforms type 1.
    pub(super) const fn sgx_type(self) -> u8 {
        match self {
            Self::Platform => 1,
            Self::Processor => 0,
        }
    }
}

/// What the quote brings to find or prove the PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certification {
    /// The chain in PEM (type 5).
    Chain,
    /// The platform's identifier in the clear (type 1); the certificate comes beside the quote.
    Ppid,
}

/// What a quote says, and which platform it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteSpec {
    /// Version and body.
    pub form: QuoteForm,
    /// Who certifies the platform.
    pub ca: PckCa,
    /// What the quote brings.
    pub certification: Certification,
    /// FMSPC of the platform.
    pub fmspc: [u8; 6],
    /// PPID of the platform.
    pub ppid: [u8; 16],
    /// SGX TCB components 1 to 16.
    pub components: [u8; 16],
    /// PCESVN.
    pub pce_svn: u16,
    /// TEE_TCB_SVN of a TD: module SVN, module major version, microcode.
    pub tee_tcb_svn: [u8; 16],
    /// TEE_TCB_SVN2 of a TD (TDX 1.5).
    pub tee_tcb_svn2: [u8; 16],
    /// TDATTRIBUTES.
    pub td_attributes: u64,
    /// XFAM.
    pub xfam: u64,
    /// MRTD.
    pub mr_td: [u8; 48],
    /// MRCONFIGID.
    pub mr_config_id: [u8; 48],
    /// RTMR0 to RTMR3.
    pub rtmr: [[u8; 48]; 4],
    /// MRSERVICETD of a TD (TDX 1.5).
    pub mr_service_td: [u8; 48],
    /// CUR_SERVICE_TD_HASH of a TD (body type 4).
    pub service_td_hash: [u8; 48],
    /// Flags of an enclave's ATTRIBUTES.
    pub sgx_flags: u64,
    /// MRENCLAVE.
    pub mr_enclave: [u8; 32],
    /// MRSIGNER.
    pub mr_signer: [u8; 32],
    /// REPORTDATA.
    pub report_data: [u8; 64],
    /// Whether the revocation lists lie beside the quote.
    pub revocation_lists: bool,
    /// Whether a boot log lies beside the quote; see [`QuoteSpec::with_boot_log`].
    pub boot_log: bool,
}

impl QuoteSpec {
    /// The same, with the registers that the toy's boot ends with and the log of it.
    #[must_use]
    pub fn with_boot_log(self) -> Self {
        Self {
            rtmr: boot_log::registers(),
            boot_log: true,
            ..self
        }
    }

    /// A platform on which everything known is fixed, certified by the Platform CA.
    #[must_use]
    pub fn new(form: QuoteForm) -> Self {
        Self {
            form,
            ca: PckCa::Platform,
            certification: Certification::Chain,
            fmspc: [0x00, 0x80, 0x6f, 0x05, 0, 0],
            ppid: [0x99; 16],
            components: COMPONENTS,
            pce_svn: PCE_SVN,
            tee_tcb_svn: TEE_TCB_SVN,
            tee_tcb_svn2: TEE_TCB_SVN,
            td_attributes: SEPT_VE_DISABLE,
            xfam: 0x0006_02e7,
            mr_td: [0xd1; 48],
            mr_config_id: [0; 48],
            rtmr: [[0xa0; 48], [0xa1; 48], [0xa2; 48], [0; 48]],
            mr_service_td: [0; 48],
            service_td_hash: [0; 48],
            sgx_flags: 0b101,
            mr_enclave: [0xe1; 32],
            mr_signer: [0xe2; 32],
            report_data: [0x5a; 64],
            revocation_lists: true,
            boot_log: false,
        }
    }

    /// Header (48 bytes).
    pub(super) fn header(&self) -> Vec<u8> {
        let mut out = vec![0; 48];
        put(&mut out, 0, &self.form.version().to_le_bytes());
        put(&mut out, 2, &2u16.to_le_bytes());
        if self.form.tee() == Tee::Tdx {
            put(&mut out, 4, &0x81u32.to_le_bytes());
        }
        if self.form.version() == 3 {
            put(&mut out, 8, &QE_SVN.to_le_bytes());
            put(&mut out, 10, &self.pce_svn.to_le_bytes());
        }
        put(&mut out, 12, &VENDOR);
        put(&mut out, 28, &[0x1d; 16]);
        out
    }

    /// Body type and size of version 5; nothing before.
    pub(super) fn descriptor(&self) -> Vec<u8> {
        if self.form.version() < 5 {
            return Vec::new();
        }
        let (number, size) = self.form.descriptor();
        [&number.to_le_bytes()[..], &size.to_le_bytes()].concat()
    }

    /// The body of an enclave (384 bytes) or of a trust domain (584, 648 or 885).
    pub(super) fn body(&self) -> Vec<u8> {
        if self.form.tee() == Tee::Sgx {
            return Enclave {
                cpu_svn: self.components,
                flags: self.sgx_flags,
                mr_enclave: self.mr_enclave,
                mr_signer: self.mr_signer,
                product: 7,
                svn: 1,
                report_data: self.report_data,
            }
            .bytes();
        }
        let size = match self.form {
            QuoteForm::Tdx5 => 648,
            QuoteForm::Tdx5Service => 885,
            _ => 584,
        };
        let mut out = vec![0; size];
        put(&mut out, 0, &self.tee_tcb_svn);
        put(&mut out, 16, &[0x5e; 48]);
        put(&mut out, 120, &self.td_attributes.to_le_bytes());
        put(&mut out, 128, &self.xfam.to_le_bytes());
        put(&mut out, 136, &self.mr_td);
        put(&mut out, 184, &self.mr_config_id);
        for (index, register) in self.rtmr.iter().enumerate() {
            put(&mut out, 328 + 48 * index, register);
        }
        put(&mut out, 520, &self.report_data);
        if size > 584 {
            put(&mut out, 584, &self.tee_tcb_svn2);
            put(&mut out, 600, &self.mr_service_td);
        }
        if size > 648 {
            put(&mut out, 829, &self.service_td_hash);
        }
        out
    }

    /// The quoting enclave's report on itself, with these 64 bytes.
    pub(super) fn qe_report(&self, report_data: [u8; 64]) -> Vec<u8> {
        let tee = self.form.tee();
        Enclave {
            cpu_svn: self.components,
            flags: 0b1_0101,
            mr_enclave: [0x9e; 32],
            mr_signer: tee.qe_signer(),
            product: tee.qe_product(),
            svn: QE_SVN,
            report_data,
        }
        .bytes()
    }

    /// Certification data of type 1: PPID, CPUSVN, PCESVN, PCEID.
    pub(super) fn platform_data(&self) -> Vec<u8> {
        [
            &self.ppid[..],
            &self.components,
            &self.pce_svn.to_le_bytes(),
            &[0, 0],
        ]
        .concat()
    }
}

/// The fields of an enclave's report that the toy fills.
struct Enclave {
    cpu_svn: [u8; 16],
    flags: u64,
    mr_enclave: [u8; 32],
    mr_signer: [u8; 32],
    product: u16,
    svn: u16,
    report_data: [u8; 64],
}

impl Enclave {
    fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; 384];
        put(&mut out, 0, &self.cpu_svn);
        put(&mut out, 48, &self.flags.to_le_bytes());
        put(&mut out, 56, &0xe7u64.to_le_bytes());
        put(&mut out, 64, &self.mr_enclave);
        put(&mut out, 128, &self.mr_signer);
        put(&mut out, 256, &self.product.to_le_bytes());
        put(&mut out, 258, &self.svn.to_le_bytes());
        put(&mut out, 320, &self.report_data);
        out
    }
}

/// Writes these bytes at this offset.
pub(super) fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..at + bytes.len()].copy_from_slice(bytes);
}

/// u32 length, little-endian.
pub(super) fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}
