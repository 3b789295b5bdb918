//! What a report's verification will look for, so that another room can fetch it.
//!
//! Names things, never addresses: the addresses of AMD's key service belong to `zeuge-collateral`.

use zeuge_evidence::snp::{Product, Report, SigningKey};

/// One endorsement, by what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndorsementId {
    /// The VCEK of one chip at one TCB.
    Vcek {
        /// The product, as AMD's addresses write it.
        product: Product,
        /// hwID in lower-case hex: 128 digits, on Turin 16.
        hwid: String,
        /// REPORTED_TCB, as the eight bytes of the report.
        tcb: [u8; 8],
    },
    /// Root and intermediate of one product.
    AmdChain {
        /// The product.
        product: Product,
        /// Whether the intermediate for VLEKs is meant (ASVK), not the one for VCEKs (ASK).
        vlek: bool,
    },
    /// AMD's revocation list of one product.
    AmdCrl {
        /// The product.
        product: Product,
        /// Whether the list beside the VLEK intermediate is meant.
        vlek: bool,
    },
}

/// Which endorsements this report needs. Pure: fetches nothing, believes nothing.
///
/// A VLEK is never named: AMD hands it only to providers, so it comes with the evidence. A report
/// of version 2 does not say its product; then all that could be meant are named, and one of them
/// will be found. Nothing is named for a product that is unknown, or for a report that no key of
/// AMD's signed.
#[must_use]
pub fn needs(report: &Report<'_>) -> Vec<EndorsementId> {
    let claims = &report.claims;
    let vlek = match claims.key_info.signing_key() {
        SigningKey::Vcek => false,
        SigningKey::Vlek => true,
        SigningKey::Reserved(_) | SigningKey::None => return Vec::new(),
    };
    let hidden = claims.chip_id.iter().all(|byte| *byte == 0);
    let short = claims.chip_id.iter().skip(8).all(|byte| *byte == 0);
    let products = match &claims.cpuid {
        Some(cpuid) => Product::from_cpuid(cpuid.family, cpuid.model)
            .into_iter()
            .collect(),
        None if short && !hidden => vec![Product::Turin],
        None => vec![Product::Milan, Product::Genoa],
    };
    let mut out = Vec::new();
    for product in products {
        // spec: sev-snp.kds.vlek
        if !vlek && !hidden {
            let hwid = claims.chip_id.get(..product.chip_id_len());
            out.push(EndorsementId::Vcek {
                product,
                hwid: hex::encode(hwid.unwrap_or_default()),
                tcb: claims.reported_tcb.0,
            });
        }
        out.push(EndorsementId::AmdChain { product, vlek });
        out.push(EndorsementId::AmdCrl { product, vlek });
    }
    out
}
