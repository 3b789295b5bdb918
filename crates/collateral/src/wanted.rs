//! What can be asked for, its one key in the cache and in bundles, and how long it may be.
//!
//! Knows no address: those are in `address.rs`.

use std::fmt;

use zeuge_verify::snp::{EndorsementId, Product};

/// A VCEK is under 2 KiB; ten times that is hostile.
const CERTIFICATE_BYTES_MAX: usize = 20 * 1024;
/// A chain of two certificates in PEM is under 5 KiB.
const CHAIN_BYTES_MAX: usize = 64 * 1024;
/// AMD's lists are under 2 KiB and name intermediates only: a handful in ten years.
const LIST_BYTES_MAX: usize = 256 * 1024;
/// hwID in hex.
const HWID_DIGITS_MAX: usize = 128;

/// One endorsement, by what it is. Ordered as they are fetched: what vouches comes first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wanted {
    /// Of AMD's key distribution service.
    Amd(EndorsementId),
}

impl From<EndorsementId> for Wanted {
    fn from(id: EndorsementId) -> Self {
        Self::Amd(id)
    }
}

impl Wanted {
    /// The one key: `amd/vcek/Milan/<hwid>/<tcb>`, `amd/chain/Milan/vcek`, `amd/crl/Milan/vcek`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Amd(EndorsementId::Vcek { product, hwid, tcb }) => {
                format!("amd/vcek/{}/{hwid}/{}", product.name(), hex::encode(tcb))
            }
            Self::Amd(EndorsementId::AmdChain { product, vlek }) => {
                format!("amd/chain/{}/{}", product.name(), kind(*vlek))
            }
            Self::Amd(EndorsementId::AmdCrl { product, vlek }) => {
                format!("amd/crl/{}/{}", product.name(), kind(*vlek))
            }
        }
    }

    /// The inverse of [`Self::key`]; `None` for anything that it does not write.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        let parts: Vec<&str> = key.split('/').collect();
        let id = match parts.as_slice() {
            ["amd", "vcek", product, hwid, tcb] => EndorsementId::Vcek {
                product: Product::from_name(product)?,
                hwid: (*hwid).to_owned(),
                tcb: hex::decode(tcb).ok()?.try_into().ok()?,
            },
            ["amd", "chain", product, vlek] => EndorsementId::AmdChain {
                product: Product::from_name(product)?,
                vlek: is_vlek(vlek)?,
            },
            ["amd", "crl", product, vlek] => EndorsementId::AmdCrl {
                product: Product::from_name(product)?,
                vlek: is_vlek(vlek)?,
            },
            _ => return None,
        };
        Some(Self::Amd(id)).filter(|wanted| wanted.is_well_formed() && wanted.key() == key)
    }

    /// Chain and list of every product, for keys of chips: what `fetch` without evidence gets.
    #[must_use]
    pub fn common() -> Vec<Self> {
        let vlek = false;
        Product::ALL
            .into_iter()
            .flat_map(|product| {
                [
                    Self::Amd(EndorsementId::AmdChain { product, vlek }),
                    Self::Amd(EndorsementId::AmdCrl { product, vlek }),
                ]
            })
            .collect()
    }

    /// Whether the parts have the forms that addresses and file names rely on.
    pub(crate) fn is_well_formed(&self) -> bool {
        match self {
            Self::Amd(EndorsementId::Vcek { product, hwid, .. }) => {
                let digits = product.chip_id_len().saturating_mul(2);
                hwid.len() == digits
                    && digits <= HWID_DIGITS_MAX
                    && hwid
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }
            Self::Amd(EndorsementId::AmdChain { .. } | EndorsementId::AmdCrl { .. }) => true,
        }
    }

    /// How many bytes such a thing may have.
    pub(crate) const fn bytes_max(&self) -> usize {
        match self {
            Self::Amd(EndorsementId::Vcek { .. }) => CERTIFICATE_BYTES_MAX,
            Self::Amd(EndorsementId::AmdChain { .. }) => CHAIN_BYTES_MAX,
            Self::Amd(EndorsementId::AmdCrl { .. }) => LIST_BYTES_MAX,
        }
    }

    /// Whether it is a revocation list.
    pub(crate) const fn is_list(&self) -> bool {
        matches!(self, Self::Amd(EndorsementId::AmdCrl { .. }))
    }

    /// Chains first, then lists, then leaves, because a leaf is held against its chain.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Amd(EndorsementId::AmdChain { .. }) => 0,
            Self::Amd(EndorsementId::AmdCrl { .. }) => 1,
            Self::Amd(EndorsementId::Vcek { .. }) => 2,
        }
    }

    /// The chain that this one is held against.
    pub(crate) fn chain(&self) -> Option<Self> {
        match self {
            Self::Amd(EndorsementId::Vcek { product, .. }) => {
                Some(Self::Amd(EndorsementId::AmdChain {
                    product: *product,
                    vlek: false,
                }))
            }
            Self::Amd(_) => None,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.key())
    }
}

pub(crate) const fn kind(vlek: bool) -> &'static str {
    if vlek { "vlek" } else { "vcek" }
}

fn is_vlek(text: &str) -> Option<bool> {
    match text {
        "vcek" => Some(false),
        "vlek" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_back() {
        let leaf = Wanted::Amd(EndorsementId::Vcek {
            product: Product::Turin,
            hwid: "0123456789abcdef".to_owned(),
            tcb: [1, 2, 3, 4, 0, 0, 0, 8],
        });
        for wanted in Wanted::common().into_iter().chain([leaf]) {
            assert_eq!(Wanted::parse(&wanted.key()), Some(wanted));
        }
    }

    #[test]
    fn keys_of_another_form_are_refused() {
        for key in [
            "",
            "amd/crl/Rome/vcek",
            "amd/crl/Milan/other",
            "amd/crl/Milan/vcek/",
            "amd/vcek/Turin/0123456789ABCDEF/0102030400000008",
            "amd/vcek/Turin/../0102030400000008",
            "amd/vcek/Milan/0123456789abcdef/0102030400000008",
        ] {
            assert_eq!(Wanted::parse(key), None, "{key}");
        }
    }
}
