//! What can be asked for, its one key in the cache and in bundles, and how long it may be.
//!
//! Knows no address: those are in `address.rs`.

use std::fmt;

use zeuge_verify::{
    dcap::Tee,
    snp::{EndorsementId, Product},
};

use crate::pcs::{Channel, PcsId};

/// A VCEK is under 2 KiB; ten times that is hostile.
const CERTIFICATE_BYTES_MAX: usize = 20 * 1024;
/// A chain of two certificates in PEM is under 5 KiB.
const CHAIN_BYTES_MAX: usize = 64 * 1024;
/// AMD's lists are under 2 KiB and name intermediates only: a handful in ten years.
const LIST_BYTES_MAX: usize = 256 * 1024;
/// Intel's list for the Platform CA grows with every platform that is revoked; today under 4 KiB.
const INTEL_LIST_BYTES_MAX: usize = 1024 * 1024;
/// The largest real document has 22 KiB; twice the limit of verification, for the text is escaped.
const DOCUMENT_BYTES_MAX: usize = 2 * zeuge_verify::dcap::DOCUMENT_BYTES_MAX;
/// hwID in hex.
const HWID_DIGITS_MAX: usize = 128;

/// One endorsement, by what it is. Ordered as they are fetched: what vouches comes first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wanted {
    /// Of AMD's key distribution service.
    Amd(EndorsementId),
    /// Of Intel's provisioning certification service.
    Intel(PcsId),
}

impl From<PcsId> for Wanted {
    fn from(id: PcsId) -> Self {
        Self::Intel(id)
    }
}

impl From<EndorsementId> for Wanted {
    fn from(id: EndorsementId) -> Self {
        Self::Amd(id)
    }
}

impl Wanted {
    /// The one key: `amd/vcek/Milan/<hwid>/<tcb>`, `amd/chain/Milan/vcek`, `amd/crl/Milan/vcek`,
    /// `intel/crl/root`, `intel/tcb/tdx/<fmspc>/standard`, `intel/qe/sgx/early`.
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
            Self::Intel(id) => format!("intel/{}", id.key()),
        }
    }

    /// The key under which things of one kind are counted together.
    pub(crate) fn group(&self) -> String {
        match self {
            Self::Amd(EndorsementId::Vcek { .. }) => "amd/vcek".to_owned(),
            Self::Amd(_) => self.key(),
            Self::Intel(id) => format!("intel/{}", id.group()),
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
            ["intel", rest @ ..] => {
                let wanted = Self::Intel(PcsId::parse(rest)?);
                return Some(wanted)
                    .filter(|wanted| wanted.is_well_formed() && wanted.key() == key);
            }
            _ => return None,
        };
        Some(Self::Amd(id)).filter(|wanted| wanted.is_well_formed() && wanted.key() == key)
    }

    /// What `fetch` without evidence gets: of AMD chain and list of every product, for keys of
    /// chips; of Intel the lists, and the identities of the quoting enclaves in both channels.
    #[must_use]
    pub fn common() -> Vec<Self> {
        let mut all = Self::common_amd();
        all.extend([
            Self::Intel(PcsId::RootCrl),
            Self::Intel(PcsId::PckCrl { ca: "platform" }),
            Self::Intel(PcsId::PckCrl { ca: "processor" }),
        ]);
        for tee in [Tee::Sgx, Tee::Tdx] {
            all.push(Self::Intel(PcsId::EvaluationNumbers { tee }));
            let channels = Channel::SERVED.into_iter();
            all.extend(channels.map(|channel| Self::Intel(PcsId::QeIdentity { tee, channel })));
        }
        all
    }

    fn common_amd() -> Vec<Self> {
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
            Self::Intel(id) => id.is_well_formed(),
        }
    }

    /// How many bytes such a thing may have.
    pub(crate) const fn bytes_max(&self) -> usize {
        match self {
            Self::Amd(EndorsementId::Vcek { .. }) => CERTIFICATE_BYTES_MAX,
            Self::Amd(EndorsementId::AmdChain { .. }) => CHAIN_BYTES_MAX,
            Self::Amd(EndorsementId::AmdCrl { .. }) => LIST_BYTES_MAX,
            Self::Intel(PcsId::RootCrl | PcsId::PckCrl { .. }) => INTEL_LIST_BYTES_MAX,
            Self::Intel(PcsId::PckCertificate(_)) => CHAIN_BYTES_MAX,
            Self::Intel(_) => DOCUMENT_BYTES_MAX,
        }
    }

    /// Whether its maker issues it anew every few days or weeks: lists, and Intel's documents.
    pub(crate) const fn is_short_lived(&self) -> bool {
        match self {
            Self::Amd(id) => matches!(id, EndorsementId::AmdCrl { .. }),
            Self::Intel(id) => !matches!(id, PcsId::PckCertificate(_)),
        }
    }

    /// The file that is kept of an answer.
    pub(crate) fn file(&self, body: Vec<u8>, issuer_chain: Option<&str>) -> Vec<u8> {
        match self {
            Self::Amd(_) => body,
            Self::Intel(id) => id.file(body, issuer_chain),
        }
    }

    /// Chains first, then lists, then leaves, because a leaf is held against its chain.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Amd(EndorsementId::AmdChain { .. }) => 0,
            Self::Amd(EndorsementId::AmdCrl { .. }) => 1,
            Self::Amd(EndorsementId::Vcek { .. }) => 2,
            // What evidence can invent is put out of a full cache first.
            Self::Intel(PcsId::TcbInfo { .. } | PcsId::PckCertificate(_)) => 2,
            Self::Intel(_) => 1,
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
            Self::Amd(_) | Self::Intel(_) => None,
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
    use crate::pcs::PckRequest;

    #[test]
    fn every_key_is_read_back() {
        let leaf = Wanted::Amd(EndorsementId::Vcek {
            product: Product::Turin,
            hwid: "0123456789abcdef".to_owned(),
            tcb: [1, 2, 3, 4, 0, 0, 0, 8],
        });
        let named = PckRequest {
            ppid: "ab".repeat(384),
            cpu_svn: "cd".repeat(16),
            pce_svn: "0d00".to_owned(),
            pce_id: "0000".to_owned(),
            qe_id: "ef".repeat(16),
        };
        let pck = Wanted::Intel(PcsId::PckCertificate(Box::new(named)));
        let info = Wanted::Intel(PcsId::TcbInfo {
            tee: Tee::Tdx,
            fmspc: [0, 0x80, 0x6f, 5, 0, 0],
            channel: Channel::Evidence,
        });
        assert_eq!(info.key(), "intel/tcb/tdx/00806f050000/evidence");
        for wanted in Wanted::common().into_iter().chain([leaf, pck, info]) {
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
            "intel/crl/other",
            "intel/tcb/sev/00806f050000/early",
            "intel/tcb/tdx/00806F050000/early",
            "intel/tcb/tdx/00806f0500/early",
            "intel/tcb/tdx/00806f050000/late",
            "intel/pck/00/00/0000/0000/00",
            "intel/crl/root/",
        ] {
            assert_eq!(Wanted::parse(key), None, "{key}");
        }
    }
}
