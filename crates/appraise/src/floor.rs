//! The built-in floor of versions: below it, published attacks let a host break or forge.
//!
//! AMD publishes no signed list of thresholds, so the figures stand here with their bulletin.
//! An owner's reference values can only raise them; `dangerous_minimum_tcb` of a policy lowers.

use zeuge_evidence::snp::{Cpuid, Product, Tcb};

/// The floor for one product and silicon line, with the bulletin that it comes from.
///
/// Microcode is numbered per silicon line. A version 2 report does not name its line; then the
/// strictest line of the product counts.
#[must_use]
pub(crate) const fn built_in(product: Product, cpuid: Option<Cpuid>) -> (Tcb, &'static str) {
    let (fmc, snp, microcode, bulletin) = match (product, cpuid) {
        // Milan-X.
        (
            Product::Milan,
            Some(Cpuid {
                model: 1,
                stepping: 2,
                ..
            }),
        ) => (None, 0, 0x44, "AMD-SB-3019"),
        (Product::Milan, _) => (None, 0, 0xdb, "AMD-SB-3019"),
        // Genoa-X.
        (
            Product::Genoa,
            Some(Cpuid {
                model: 0x11,
                stepping: 2,
                ..
            }),
        ) => (None, 0x17, 0x4f, "AMD-SB-3019"),
        // Bergamo and Siena.
        (
            Product::Genoa,
            Some(Cpuid {
                model: 0xa0..=0xaf, ..
            }),
        ) => (None, 0, 0x19, "AMD-SB-3019"),
        (Product::Genoa, _) => (None, 0x17, 0x54, "AMD-SB-3019"),
        (Product::Turin, _) => (Some(0), 0x04, 0, "AMD-SB-3020"),
    };
    (
        Tcb {
            fmc,
            boot_loader: 0,
            tee: 0,
            snp,
            microcode,
        },
        bulletin,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_silicon_line_has_its_own_microcode_floor() {
        let line = |model, stepping| {
            Some(Cpuid {
                family: 0x19,
                model,
                stepping,
            })
        };
        for (product, cpuid, microcode) in [
            (Product::Milan, None, 0xdb),
            (Product::Milan, line(1, 1), 0xdb),
            (Product::Milan, line(1, 2), 0x44),
            (Product::Genoa, line(0x11, 1), 0x54),
            (Product::Genoa, line(0x11, 2), 0x4f),
            (Product::Genoa, line(0xa0, 2), 0x19),
            (Product::Genoa, None, 0x54),
        ] {
            assert_eq!(built_in(product, cpuid).0.microcode, microcode);
        }
    }
}
