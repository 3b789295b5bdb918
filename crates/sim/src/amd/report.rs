//! Reports as the firmware writes them, by the offsets of AMD 56860 (fact sheet §1).
//!
//! Writes raw bytes and shares no code with the parser that reads them: an offset that is wrong
//! in both would cancel out. Never decides what a report should say; [`ReportSpec`] does.

use super::{Product, Signer};

/// ATTESTATION_REPORT in bytes, in every version.
pub const REPORT_BYTES: usize = 0x4a0;
/// The signed part: everything before SIGNATURE.
pub(crate) const SIGNED_BYTES: usize = 0x2a0;
/// R and S, each, in bytes.
const SCALAR_BYTES: usize = 72;
/// Bit 17 of GUEST_POLICY, always one.
pub(crate) const POLICY_MUST_BE_ONE: u64 = 1 << 17;

/// A TCB_VERSION by its components; how they lie in eight bytes depends on the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tcb {
    /// FMC; only Turin has one.
    pub fmc: u8,
    /// BOOT_LOADER.
    pub boot_loader: u8,
    /// TEE.
    pub tee: u8,
    /// SNP.
    pub snp: u8,
    /// MICROCODE.
    pub microcode: u8,
}

impl Tcb {
    /// The eight bytes of a TCB_VERSION in the layout of this product (AMD 56860, TCB_VERSION).
    #[must_use]
    pub const fn bytes(self, product: Product) -> [u8; 8] {
        let (boot_loader, tee, snp, microcode) =
            (self.boot_loader, self.tee, self.snp, self.microcode);
        match product {
            Product::Milan | Product::Genoa => [boot_loader, tee, 0, 0, 0, 0, snp, microcode],
            Product::Turin => [self.fmc, boot_loader, tee, snp, 0, 0, 0, microcode],
        }
    }
}

/// What a toy report says. The defaults are those of a well-kept machine of the product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSpec {
    /// The product line.
    pub product: Product,
    /// VERSION: 2 to 5.
    pub version: u32,
    /// Which key signs.
    pub signer: Signer,
    /// GUEST_SVN.
    pub guest_svn: u32,
    /// GUEST_POLICY; bit 17 is always one.
    pub policy: u64,
    /// FAMILY_ID.
    pub family_id: [u8; 16],
    /// IMAGE_ID.
    pub image_id: [u8; 16],
    /// VMPL.
    pub vmpl: u32,
    /// PLATFORM_INFO.
    pub platform_info: u64,
    /// CURRENT_TCB.
    pub current_tcb: Tcb,
    /// COMMITTED_TCB.
    pub committed_tcb: Tcb,
    /// REPORTED_TCB, from which the signing key is derived.
    pub reported_tcb: Tcb,
    /// LAUNCH_TCB.
    pub launch_tcb: Tcb,
    /// REPORT_DATA.
    pub report_data: [u8; 64],
    /// MEASUREMENT.
    pub measurement: [u8; 48],
    /// HOST_DATA.
    pub host_data: [u8; 32],
    /// ID_KEY_DIGEST.
    pub id_key_digest: [u8; 48],
    /// AUTHOR_KEY_DIGEST; when it is not zero, AUTHOR_KEY_EN is set.
    pub author_key_digest: [u8; 48],
    /// REPORT_ID.
    pub report_id: [u8; 32],
    /// The chip: 64 bytes, on Turin only the first eight count. Reports signed by a VLEK hide it.
    pub chip_id: [u8; 64],
    /// Major, minor and build number of the firmware, current and committed.
    pub firmware: [u8; 3],
    /// Mitigation bits at launch and now; written from version 5 on.
    pub mitigations: u64,
    /// cspID of the VLEK.
    pub provider: String,
    /// Whether a revocation list comes with the evidence.
    pub revocation_list: bool,
}

impl ReportSpec {
    /// A well-kept machine of this product: version as its current firmware writes it, signed by
    /// the chip's own key.
    #[must_use]
    pub fn new(product: Product) -> Self {
        let (version, tcb, firmware, platform_info) = match product {
            Product::Milan => (3, [0, 4, 0, 24, 219], [1, 55, 29], 0x25),
            Product::Genoa => (3, [0, 10, 0, 23, 84], [1, 55, 40], 0x25),
            Product::Turin => (5, [1, 1, 1, 4, 81], [1, 55, 65], 0x65),
        };
        let [fmc, boot_loader, tee, snp, microcode] = tcb;
        let tcb = Tcb {
            fmc,
            boot_loader,
            tee,
            snp,
            microcode,
        };
        Self {
            product,
            version,
            signer: Signer::Vcek,
            guest_svn: 0,
            policy: 0x30000,
            family_id: [0; 16],
            image_id: [0; 16],
            vmpl: 0,
            platform_info,
            current_tcb: tcb,
            committed_tcb: tcb,
            reported_tcb: tcb,
            launch_tcb: tcb,
            report_data: [0x11; 64],
            measurement: [0x22; 48],
            host_data: [0; 32],
            id_key_digest: [0; 48],
            author_key_digest: [0; 48],
            report_id: [0x33; 32],
            chip_id: product.chip(0x44),
            firmware,
            mitigations: 0x3f,
            provider: "CN=cc-eu-toy-1.example".to_owned(),
            revocation_list: true,
        }
    }

    /// The same with all four TCB fields at this value.
    #[must_use]
    pub const fn with_tcb(mut self, tcb: Tcb) -> Self {
        self.current_tcb = tcb;
        self.committed_tcb = tcb;
        self.reported_tcb = tcb;
        self.launch_tcb = tcb;
        self
    }

    /// The report without a signature; SIGNATURE is zero.
    pub(crate) fn unsigned(&self) -> Draft {
        let mut draft = Draft(vec![0; REPORT_BYTES]);
        let tcb = |tcb: Tcb| tcb.bytes(self.product);
        draft.put(0x000, &self.version.to_le_bytes());
        draft.put(0x004, &self.guest_svn.to_le_bytes());
        draft.put(0x008, &self.policy.to_le_bytes());
        draft.put(0x010, &self.family_id);
        draft.put(0x020, &self.image_id);
        draft.put(0x030, &self.vmpl.to_le_bytes());
        draft.put(0x034, &1_u32.to_le_bytes());
        draft.put(0x038, &tcb(self.current_tcb));
        draft.put(0x040, &self.platform_info.to_le_bytes());
        draft.put(0x048, &self.key_info().to_le_bytes());
        draft.put(0x050, &self.report_data);
        draft.put(0x090, &self.measurement);
        draft.put(0x0c0, &self.host_data);
        draft.put(0x0e0, &self.id_key_digest);
        draft.put(0x110, &self.author_key_digest);
        draft.put(0x140, &self.report_id);
        // No migration agent.
        draft.put(0x160, &[0xff; 32]);
        draft.put(0x180, &tcb(self.reported_tcb));
        if self.version >= 3 {
            draft.put(0x188, &self.product.cpuid());
        }
        if self.signer == Signer::Vcek {
            draft.put(0x1a0, &self.chip_id);
        }
        draft.put(0x1e0, &tcb(self.committed_tcb));
        let [major, minor, build] = self.firmware;
        draft.put(0x1e8, &[build, minor, major, 0]);
        draft.put(0x1ec, &[build, minor, major, 0]);
        draft.put(0x1f0, &tcb(self.launch_tcb));
        if self.version >= 5 {
            draft.put(0x1f8, &self.mitigations.to_le_bytes());
            draft.put(0x200, &self.mitigations.to_le_bytes());
        }
        draft
    }

    /// KEY_INFO: AUTHOR_KEY_EN in bit 0, SIGNING_KEY in bits 4:2.
    pub(crate) fn key_info(&self) -> u32 {
        let author = u32::from(self.author_key_digest != [0; 48]);
        author | (self.signer.number() << 2)
    }
}

/// A report that is being written.
#[derive(Debug, Clone)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    /// A report that is there already.
    pub(crate) fn of(report: &[u8]) -> Self {
        Self(report.to_vec())
    }

    /// Writes a field at its offset.
    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Flips one bit of the byte at this offset.
    pub(crate) fn flip(&mut self, offset: usize) {
        self.0[offset] ^= 1;
    }

    /// The bytes that are signed.
    pub(crate) fn signed_part(&self) -> &[u8] {
        &self.0[..SIGNED_BYTES]
    }

    /// Writes the signature: R and S of equal length, big-endian, into little-endian fields.
    pub(crate) fn put_signature(&mut self, fixed: &[u8]) {
        let (r, s) = fixed.split_at(fixed.len() / 2);
        for (place, scalar) in [(SIGNED_BYTES, r), (SIGNED_BYTES + SCALAR_BYTES, s)] {
            let little: Vec<u8> = scalar.iter().rev().copied().collect();
            self.put(place, &little);
        }
    }

    /// The whole report.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
