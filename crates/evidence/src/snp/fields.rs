//! The bit fields and small structures of a report.
//!
//! Says what a bit means; never says whether it is wanted.

use std::fmt;

/// One bit of a field: number, vendor's name, meaning when it is one.
pub type Bit = (u8, &'static str, &'static str);

/// What the guest's owner allowed at launch (AMD 56860 §4.3, `GUEST_POLICY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    /// The flags with their meanings.
    pub const BITS: [Bit; 10] = [
        (16, "SMT", "the host may run sibling threads"),
        (17, "RESERVED_1", "always one"),
        (
            18,
            "MIGRATE_MA",
            "a migration agent may take the guest to another machine",
        ),
        (
            19,
            "DEBUG",
            "the host may read and decrypt the guest's memory",
        ),
        (20, "SINGLE_SOCKET", "the guest stays on one socket"),
        (21, "CXL_ALLOW", "memory and devices on CXL may be used"),
        (
            22,
            "MEM_AES_256_XTS",
            "memory must be encrypted with AES-256-XTS",
        ),
        (23, "RAPL_DIS", "power readings must be off"),
        (
            24,
            "CIPHERTEXT_HIDING_DRAM",
            "the host must not see ciphertext of the guest's memory",
        ),
        (
            25,
            "PAGE_SWAP_DISABLE",
            "the host may not move or swap the guest's pages",
        ),
    ];

    /// Minimum major version of the firmware's interface.
    #[must_use]
    pub const fn abi_major(self) -> u8 {
        let [_, major, ..] = self.0.to_le_bytes();
        major
    }

    /// Minimum minor version of the firmware's interface.
    #[must_use]
    pub const fn abi_minor(self) -> u8 {
        let [minor, ..] = self.0.to_le_bytes();
        minor
    }

    /// Sibling threads are allowed.
    #[must_use]
    pub const fn smt(self) -> bool {
        bit(self.0, 16)
    }

    /// The bit that is always one.
    #[must_use]
    pub const fn bit_17(self) -> bool {
        bit(self.0, 17)
    }

    /// A migration agent is allowed.
    #[must_use]
    pub const fn migrate_ma(self) -> bool {
        bit(self.0, 18)
    }

    /// The host may decrypt.
    #[must_use]
    pub const fn debug(self) -> bool {
        bit(self.0, 19)
    }

    /// One socket only.
    #[must_use]
    pub const fn single_socket(self) -> bool {
        bit(self.0, 20)
    }

    /// CXL is allowed.
    #[must_use]
    pub const fn cxl_allow(self) -> bool {
        bit(self.0, 21)
    }

    /// AES-256-XTS is required.
    #[must_use]
    pub const fn mem_aes_256_xts(self) -> bool {
        bit(self.0, 22)
    }

    /// RAPL must be off.
    #[must_use]
    pub const fn rapl_dis(self) -> bool {
        bit(self.0, 23)
    }

    /// Ciphertext hiding is required.
    #[must_use]
    pub const fn ciphertext_hiding_dram(self) -> bool {
        bit(self.0, 24)
    }

    /// Page moves and swaps are disabled.
    #[must_use]
    pub const fn page_swap_disable(self) -> bool {
        bit(self.0, 25)
    }

    /// Bits that no known document names.
    #[must_use]
    pub const fn unknown_bits(self) -> u64 {
        self.0 >> 26 << 26
    }
}

/// What the platform says of itself (`PLATFORM_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlatformInfo(pub u64);

impl PlatformInfo {
    /// The flags with their meanings.
    pub const BITS: [Bit; 7] = [
        (0, "SMT_EN", "sibling threads are on"),
        (1, "TSME_EN", "transparent memory encryption is on"),
        (2, "ECC_EN", "memory has error correction"),
        (3, "RAPL_DIS", "power readings are off"),
        (
            4,
            "CIPHERTEXT_HIDING_DRAM_EN",
            "the host does not see ciphertext of guests' memory",
        ),
        (
            5,
            "ALIAS_CHECK_COMPLETE",
            "no aliased memory was found since the last reset (BadRAM)",
        ),
        (7, "TIO_EN", "trusted devices are on"),
    ];

    /// Sibling threads are on.
    #[must_use]
    pub const fn smt_en(self) -> bool {
        bit(self.0, 0)
    }

    /// Transparent memory encryption is on.
    #[must_use]
    pub const fn tsme_en(self) -> bool {
        bit(self.0, 1)
    }

    /// Memory has error correction.
    #[must_use]
    pub const fn ecc_en(self) -> bool {
        bit(self.0, 2)
    }

    /// Power readings are off.
    #[must_use]
    pub const fn rapl_dis(self) -> bool {
        bit(self.0, 3)
    }

    /// Ciphertext hiding is on.
    #[must_use]
    pub const fn ciphertext_hiding_dram_en(self) -> bool {
        bit(self.0, 4)
    }

    /// No aliased memory was found since the last reset.
    #[must_use]
    pub const fn alias_check_complete(self) -> bool {
        bit(self.0, 5)
    }

    /// Trusted devices are on.
    #[must_use]
    pub const fn tio_en(self) -> bool {
        bit(self.0, 7)
    }

    /// Bits that no known document names. Bit 6 is set in every genuine Turin report.
    #[must_use]
    pub const fn unknown_bits(self) -> u64 {
        // spec: sev-snp.policy.unknown-bits
        self.0 & !0b1011_1111
    }
}

/// Which key signed the report (`KEY_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyInfo(pub u32);

/// The kind of key that signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigningKey {
    /// Nothing signed.
    None,
    /// A number that no known document names.
    Reserved(u8),
    /// The chip's own key.
    Vcek,
    /// A key that AMD gave to a provider.
    Vlek,
}

impl fmt::Display for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("none"),
            Self::Reserved(number) => write!(out, "reserved {number}"),
            Self::Vcek => out.write_str("VCEK"),
            Self::Vlek => out.write_str("VLEK"),
        }
    }
}

impl KeyInfo {
    /// The guest has an author key; its digest stands in the report.
    #[must_use]
    pub const fn author_key_en(self) -> bool {
        self.0 & 1 != 0
    }

    /// The chip's key is masked: the firmware wrote zeros instead of a signature.
    #[must_use]
    pub const fn mask_chip_key(self) -> bool {
        self.0 & 2 != 0
    }

    /// Bits 4 to 2.
    #[must_use]
    pub const fn signing_key(self) -> SigningKey {
        let [low, ..] = self.0.to_le_bytes();
        match (low >> 2) & 7 {
            0 => SigningKey::Vcek,
            1 => SigningKey::Vlek,
            7 => SigningKey::None,
            number => SigningKey::Reserved(number),
        }
    }

    /// Bits 31 to 5, which no known document names.
    #[must_use]
    pub const fn reserved_bits(self) -> u32 {
        self.0 >> 5 << 5
    }
}

/// Combined family, combined model and stepping of the processor (CPUID leaf 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cpuid {
    /// Base and extended family added.
    pub family: u8,
    /// Extended model in the upper half.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

impl Cpuid {
    /// AMD's code name for the processors of this family and model; `None` for unknown ones. A
    /// name here does not say that reports of such a processor can be verified (see
    /// [`crate::snp::Product::from_cpuid`]): Venice has one, and no root that this program knows.
    #[must_use]
    pub const fn codename(self) -> Option<&'static str> {
        match (self.family, self.model) {
            (0x19, 0x00..=0x0f) => Some("Milan"),
            (0x19, 0x10..=0x1f) => Some("Genoa"),
            (0x19, 0xa0..=0xaf) => Some("Bergamo or Siena"),
            (0x1a, 0x00..=0x11) => Some("Turin"),
            (0x1a, 0x50..=0x57 | 0x90..=0xaf | 0xc0..=0xc7) => Some("Venice"),
            _ => None,
        }
    }
}

impl fmt::Display for Cpuid {
    /// `family 0x19 model 0x01 stepping 1 (Milan)`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (family, model, stepping) = (self.family, self.model, self.stepping);
        write!(
            out,
            "family {family:#04x} model {model:#04x} stepping {stepping}"
        )?;
        match self.codename() {
            Some(codename) => write!(out, " ({codename})"),
            None => Ok(()),
        }
    }
}

/// Version of the SNP firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion {
    /// Major version of the interface.
    pub major: u8,
    /// Minor version of the interface.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

impl fmt::Display for FirmwareVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

/// Which mitigations were active (`LAUNCH_MIT_VECTOR`, `CURRENT_MIT_VECTOR`). The meaning of the
/// single bits is not public; a policy can demand a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mitigations {
    /// When the guest was launched.
    pub launch: u64,
    /// Now.
    pub current: u64,
}

const fn bit(field: u64, number: u32) -> bool {
    field & (1 << number) != 0
}
