//! Products and the versions of their trusted parts (`TCB_VERSION`), in two layouts.
//!
//! Never compares versions as one number: each component counts for itself.

use std::fmt;

/// A product line of AMD's, each with a root of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 with Bergamo, and 8004 (Siena): one root for all three.
    Genoa,
    /// EPYC 9005.
    Turin,
}

impl Product {
    /// Every product with a pinned root.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The product of a combined CPUID family and model; `None` for one without a known root
    /// (Venice among them).
    #[must_use]
    pub const fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        // spec: sev-snp.product.cpuid
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x11) => Some(Self::Turin),
            _ => None,
        }
    }

    /// The product by the name that stands in AMD's certificates and addresses.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

    /// The name that stands in AMD's certificates and addresses.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// How this product lays out its versions.
    #[must_use]
    pub const fn layout(self) -> TcbLayout {
        match self {
            Self::Milan | Self::Genoa => TcbLayout::Milan,
            Self::Turin => TcbLayout::Turin,
        }
    }

    /// How many bytes of CHIP_ID this product uses; the others are zero.
    #[must_use]
    pub const fn chip_id_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Which byte of `TCB_VERSION` is which component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcbLayout {
    /// Milan and Genoa: boot loader, TEE, four reserved, SNP, microcode.
    Milan,
    /// Turin: FMC, boot loader, TEE, SNP, three reserved, microcode.
    Turin,
}

/// `TCB_VERSION` as received: 8 bytes whose meaning depends on the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TcbBytes(pub [u8; 8]);

impl TcbBytes {
    /// The components in this layout.
    #[must_use]
    pub const fn parts(self, layout: TcbLayout) -> Tcb {
        // spec: sev-snp.tcb.layout
        let [b0, b1, b2, b3, _, _, b6, microcode] = self.0;
        match layout {
            TcbLayout::Milan => Tcb {
                fmc: None,
                boot_loader: b0,
                tee: b1,
                snp: b6,
                microcode,
            },
            TcbLayout::Turin => Tcb {
                fmc: Some(b0),
                boot_loader: b1,
                tee: b2,
                snp: b3,
                microcode,
            },
        }
    }

    /// Whether a byte that this layout leaves unused is not zero. Surfaced, not refused.
    #[must_use]
    pub const fn uses_reserved(self, layout: TcbLayout) -> bool {
        let [_, _, b2, b3, b4, b5, b6, _] = self.0;
        match layout {
            TcbLayout::Milan => b2 | b3 | b4 | b5 != 0,
            TcbLayout::Turin => b4 | b5 | b6 != 0,
        }
    }
}

/// The security versions of the trusted parts of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tcb {
    /// First mutable code; Turin and later.
    pub fmc: Option<u8>,
    /// Boot loader of the secure processor.
    pub boot_loader: u8,
    /// Trusted operating system of the secure processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode of the cores.
    pub microcode: u8,
}

impl Tcb {
    /// Name and version of each component, in the vendor's order.
    pub fn components(self) -> impl Iterator<Item = (&'static str, u8)> {
        self.fmc.map(|fmc| ("fmc", fmc)).into_iter().chain([
            ("boot_loader", self.boot_loader),
            ("tee", self.tee),
            ("snp", self.snp),
            ("microcode", self.microcode),
        ])
    }

    /// Whether every component is at least that of `floor`. A component that only one of the two
    /// has counts as 0 where it is absent.
    #[must_use]
    pub fn at_least(self, floor: Self) -> bool {
        self.fmc.unwrap_or(0) >= floor.fmc.unwrap_or(0)
            && self.boot_loader >= floor.boot_loader
            && self.tee >= floor.tee
            && self.snp >= floor.snp
            && self.microcode >= floor.microcode
    }
}

impl fmt::Display for Tcb {
    /// `boot_loader=3 tee=0 snp=8 microcode=115`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, version)) in self.components().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(out, "{gap}{name}={version}")?;
        }
        Ok(())
    }
}
