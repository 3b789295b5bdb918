//! A toy AMD: random roots, real shapes.
//!
//! Makes keys, certificates, revocation lists and reports for Milan, Genoa and Turin that differ
//! from real ones only in whose keys they are. Time is an argument; randomness is the operating
//! system's. Nothing real trusts it, and nothing of it is compiled into anything that ships.

pub(crate) mod certificates;
mod containers;
mod kds;
pub(crate) mod report;
mod tell;
mod trust;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use aws_lc_rs::{
    rsa::{self, KeySize},
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use zeuge_evidence::UnixTime;

use crate::x509_write::{DAY, P384, Window, curve_key_info, years_later};
use certificates::{
    CertificateBody, LeafClaims, ListBody, Pss, intermediate_extensions, key_id, root_extensions,
    rsa_key_info,
};
pub use kds::Answer;
pub use report::{REPORT_BYTES, ReportSpec, Tcb};
pub use tell::ToyEvidence;

/// How long before `now` a leaf was issued.
const LEAF_AGE: i64 = 30 * DAY;
/// How long before `now` a revocation list was issued.
const LIST_AGE: i64 = 10 * DAY;
/// AMD's leaves omit the DEFAULT trailerField since about this instant (2024-11-01).
const TRAILER_OMITTED_SINCE: UnixTime = UnixTime(1_730_419_200);
/// Leaf keys that one toy keeps, under 1 KiB each; no test and no demonstration needs more chips.
pub(crate) const LEAVES_MAX: usize = 16_384;
/// A product line: its own root, its own CPUID range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// Third generation, family 0x19 model 0x01.
    Milan,
    /// Fourth generation, family 0x19 model 0x11.
    Genoa,
    /// Fifth generation, family 0x1A model 0x02.
    Turin,
}

impl Product {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name in addresses and common names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The product with this name, or none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

    /// A chip id filled with this byte, in the product's form: 64 bytes, on Turin eight and zeros.
    #[must_use]
    pub fn chip(self, fill: u8) -> [u8; 64] {
        let mut chip = [0; 64];
        chip[..self.chip_bytes()].fill(fill);
        chip
    }

    /// How many bytes of a chip id count, in CHIP_ID and in hwID.
    #[must_use]
    pub const fn chip_bytes(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }

    /// CPUID_FAM_ID, CPUID_MOD_ID and CPUID_STEP.
    pub(crate) const fn cpuid(self) -> [u8; 3] {
        match self {
            Self::Milan => [0x19, 0x01, 0x01],
            Self::Genoa => [0x19, 0x11, 0x01],
            Self::Turin => [0x1a, 0x02, 0x01],
        }
    }

    /// Another product, for lies about the product.
    const fn other(self) -> Self {
        match self {
            Self::Milan | Self::Turin => Self::Genoa,
            Self::Genoa => Self::Milan,
        }
    }

    const fn root_serial(self) -> u64 {
        match self {
            Self::Milan => 0x10000,
            Self::Genoa => 0x20000,
            Self::Turin => 0x30000,
        }
    }

    pub(crate) const fn intermediate_serial(self, signer: Signer) -> u64 {
        match (self, signer) {
            (Self::Milan, Signer::Vcek) => 0x10001,
            // The first ASK of Genoa, 0x20001, is revoked.
            (Self::Genoa, Signer::Vcek) => 0x20002,
            (Self::Turin, Signer::Vcek) => 0x30001,
            (Self::Milan, Signer::Vlek) => 0x10101,
            (Self::Genoa, Signer::Vlek) => 0x20101,
            (Self::Turin, Signer::Vlek) => 0x30101,
        }
    }

    fn root_name(self) -> String {
        format!("ARK-{}", self.name())
    }

    /// Real roots are in force for 25 years from these instants.
    fn root_window(self) -> Window {
        let from = UnixTime(match self {
            Self::Milan => 1_603_387_385,
            Self::Genoa => 1_643_220_000,
            Self::Turin => 1_684_180_992,
        });
        Window {
            from,
            to: years_later(from, 25),
        }
    }
}

/// Which kind of key signs a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signer {
    /// The chip's own key.
    Vcek,
    /// A key that AMD gave to a cloud provider.
    Vlek,
}

impl Signer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Vcek, Self::Vlek];

    /// `vcek` or `vlek`, as in addresses and file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }

    /// SIGNING_KEY in KEY_INFO.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Vcek => 0,
            Self::Vlek => 1,
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Vcek => Self::Vlek,
            Self::Vlek => Self::Vcek,
        }
    }

    fn issuer_name(self, product: Product) -> String {
        match self {
            Self::Vcek => format!("SEV-{}", product.name()),
            Self::Vlek => format!("SEV-VLEK-{}", product.name()),
        }
    }
}

/// Whose key a leaf certifies: the same answer, the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LeafIdentity {
    product: Product,
    tcb: Tcb,
    /// hwID, or cspID for a VLEK.
    holder: Vec<u8>,
}

/// Keys of one product, each made when it is first needed.
#[derive(Default)]
struct ProductKeys {
    root: OnceLock<rsa::KeyPair>,
    /// The root of somebody else who uses the same names.
    stranger: OnceLock<rsa::KeyPair>,
    ask: OnceLock<rsa::KeyPair>,
    asvk: OnceLock<rsa::KeyPair>,
    root_certificate: OnceLock<Vec<u8>>,
}

/// The toy vendor: three product lines with random keys that live as long as this value.
#[derive(Default)]
pub struct ToyAmd {
    milan: ProductKeys,
    genoa: ProductKeys,
    turin: ProductKeys,
    leaves: Mutex<HashMap<LeafIdentity, Arc<EcdsaKeyPair>>>,
}

impl std::fmt::Debug for ToyAmd {
    /// The name only: keys stay put.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ToyAmd")
    }
}

impl ToyAmd {
    /// A vendor whose keys are made when they are first needed (a second or so each).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One vendor for the whole process, so that tests make the slow keys once.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ToyAmd> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// The root certificate (ARK) of this product in DER.
    #[must_use]
    pub fn root(&self, product: Product) -> &[u8] {
        self.keys(product)
            .root_certificate
            .get_or_init(|| self.root_of(product, self.root_key(product)))
    }

    /// The intermediate (ASK or ASVK) of this product in DER, in force as long as its root.
    #[must_use]
    pub fn intermediate(&self, product: Product, signer: Signer) -> Vec<u8> {
        self.intermediate_body(product, signer, product.root_window(), true)
            .signed_with(self.root_key(product))
    }

    /// The revocation list in force at `now`, in DER.
    #[must_use]
    pub fn revocation_list(&self, product: Product, now: UnixTime) -> Vec<u8> {
        let key = self.root_key(product);
        self.list_body(product, key, now).signed_with(key)
    }

    /// A fresh leaf for what this report says: issued 30 days before `now`, in force for seven
    /// years (VCEK) or one (VLEK).
    #[must_use]
    pub fn leaf(&self, spec: &ReportSpec, now: UnixTime) -> Vec<u8> {
        self.leaf_body(spec, leaf_window(spec.signer, now))
            .signed_with(self.intermediate_key(spec.product, spec.signer))
    }

    fn keys(&self, product: Product) -> &ProductKeys {
        match product {
            Product::Milan => &self.milan,
            Product::Genoa => &self.genoa,
            Product::Turin => &self.turin,
        }
    }

    fn root_key(&self, product: Product) -> &rsa::KeyPair {
        self.keys(product).root.get_or_init(new_authority_key)
    }

    fn stranger_key(&self, product: Product) -> &rsa::KeyPair {
        self.keys(product).stranger.get_or_init(new_authority_key)
    }

    fn intermediate_key(&self, product: Product, signer: Signer) -> &rsa::KeyPair {
        let keys = self.keys(product);
        let cell = match signer {
            Signer::Vcek => &keys.ask,
            Signer::Vlek => &keys.asvk,
        };
        cell.get_or_init(new_authority_key)
    }

    fn root_of(&self, product: Product, key: &rsa::KeyPair) -> Vec<u8> {
        CertificateBody {
            serial: product.root_serial(),
            issuer: product.root_name(),
            subject: product.root_name(),
            window: product.root_window(),
            key: rsa_key_info(key),
            extensions: root_extensions(product, key),
            pss: Pss::TrailerWritten,
        }
        .signed_with(key)
    }

    fn intermediate_body(
        &self,
        product: Product,
        signer: Signer,
        window: Window,
        authority: bool,
    ) -> CertificateBody {
        let key = self.intermediate_key(product, signer);
        let root = self.root_key(product);
        CertificateBody {
            serial: product.intermediate_serial(signer),
            issuer: product.root_name(),
            subject: signer.issuer_name(product),
            window,
            key: rsa_key_info(key),
            extensions: intermediate_extensions(product, signer.name(), key, root, authority),
            pss: Pss::TrailerWritten,
        }
    }

    fn list_body(&self, product: Product, root: &rsa::KeyPair, now: UnixTime) -> ListBody {
        let this_update = now.plus(-LIST_AGE);
        let due = years_later(this_update, 1);
        let revoked = match product {
            Product::Genoa => vec![(0x20001, UnixTime(1_667_174_400))],
            Product::Milan | Product::Turin => Vec::new(),
        };
        ListBody {
            issuer: product.root_name(),
            issuer_key_id: key_id(root),
            this_update,
            // AMD's lists end at 23:00:00 of the day.
            next_update: UnixTime(due.0 - due.0.rem_euclid(DAY) + 23 * 3600),
            number: 3,
            revoked,
        }
    }

    fn leaf_body(&self, spec: &ReportSpec, window: Window) -> CertificateBody {
        let (product, signer) = (spec.product, spec.signer);
        let key = self.leaf_key(spec);
        let claims = leaf_claims(spec);
        CertificateBody {
            serial: 0,
            issuer: signer.issuer_name(product),
            subject: format!("SEV-{}", signer.name().to_uppercase()),
            window,
            key: curve_key_info(&P384, key.public_key().as_ref()),
            extensions: claims.extensions(),
            pss: if window.from < TRAILER_OMITTED_SINCE {
                Pss::TrailerWritten
            } else {
                Pss::TrailerOmitted
            },
        }
    }

    fn leaves_made(&self) -> usize {
        self.leaves
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// The key that the firmware of this chip derives at this REPORTED_TCB.
    pub(crate) fn leaf_key(&self, spec: &ReportSpec) -> Arc<EcdsaKeyPair> {
        let holder = match spec.signer {
            Signer::Vcek => spec.chip_id[..spec.product.chip_bytes()].to_vec(),
            Signer::Vlek => spec.provider.clone().into_bytes(),
        };
        let identity = LeafIdentity {
            product: spec.product,
            tcb: spec.reported_tcb,
            holder,
        };
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        let key = leaves.entry(identity).or_insert_with(|| {
            let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)
                .expect("the operating system has random bytes");
            Arc::new(key)
        });
        Arc::clone(key)
    }
}

fn new_authority_key() -> rsa::KeyPair {
    rsa::KeyPair::generate(KeySize::Rsa4096).expect("the operating system has random bytes")
}

fn leaf_claims(spec: &ReportSpec) -> LeafClaims {
    let product = spec.product;
    let (chip, provider) = match spec.signer {
        Signer::Vcek => (Some(spec.chip_id[..product.chip_bytes()].to_vec()), None),
        Signer::Vlek => (None, Some(spec.provider.clone())),
    };
    let product_name = match (product, spec.signer) {
        (Product::Milan, Signer::Vcek) => "Milan-B0".to_owned(),
        _ => product.name().to_owned(),
    };
    LeafClaims {
        product,
        product_name,
        tcb: spec.reported_tcb,
        chip,
        provider,
        microcode: true,
    }
}

fn leaf_window(signer: Signer, now: UnixTime) -> Window {
    let from = now.plus(-LEAF_AGE);
    let years = match signer {
        Signer::Vcek => 7,
        Signer::Vlek => 1,
    };
    Window {
        from,
        to: years_later(from, years),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_evidence::x509::{Certificate, RevocationList};

    #[test]
    fn roots_are_in_force_for_the_25_years_of_the_real_ones() {
        let text = |product: Product| {
            let window = product.root_window();
            (window.from.to_string(), window.to.to_string())
        };
        let window = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(
            text(Product::Milan),
            window("2020-10-22T17:23:05Z", "2045-10-22T17:23:05Z")
        );
        assert_eq!(
            text(Product::Genoa),
            window("2022-01-26T18:00:00Z", "2047-01-26T18:00:00Z")
        );
        assert_eq!(
            text(Product::Turin),
            window("2023-05-15T20:03:12Z", "2048-05-15T20:03:12Z")
        );
    }

    #[test]
    fn certificates_and_lists_are_shaped_like_real_ones() {
        let amd = ToyAmd::shared();
        let now = UnixTime::parse_rfc3339("2026-03-01T00:00:00Z").unwrap();
        let root = Certificate::parse(amd.root(Product::Turin)).unwrap();
        assert_eq!(root.serial, [3, 0, 0]);
        assert!(root.is_self_issued());
        assert_eq!(root.algorithm.raw.len(), 72);
        assert_eq!(
            root.basic_constraints()
                .unwrap()
                .map(|found| found.authority),
            Some(true)
        );
        assert!(
            root.key_usage()
                .unwrap()
                .is_some_and(|usage| usage.crl_sign() && usage.cert_sign())
        );
        let ask = amd.intermediate(Product::Turin, Signer::Vcek);
        let ask = Certificate::parse(&ask).unwrap();
        assert_eq!(ask.issuer.raw, root.subject.raw);
        assert!(
            ask.key_usage()
                .unwrap()
                .is_some_and(|usage| !usage.crl_sign() && usage.cert_sign())
        );
        let leaf = amd.leaf(&ReportSpec::new(Product::Turin), now);
        let leaf = Certificate::parse(&leaf).unwrap();
        assert_eq!((leaf.serial, leaf.version), (&[][..], 3));
        assert_eq!(leaf.algorithm.raw.len(), 67);
        assert_eq!(leaf.issuer.raw, ask.subject.raw);
        assert_eq!(leaf.not_after.to_string(), "2033-01-30T00:00:00Z");
        assert_eq!(
            leaf.extension("1.3.6.1.4.1.3704.1.4").unwrap().value,
            [0x44; 8]
        );
        let list = amd.revocation_list(Product::Turin, now);
        let list = RevocationList::parse(&list).unwrap();
        assert_eq!(list.number(), Some(3));
        assert_eq!(
            list.next_update.unwrap().to_string(),
            "2027-02-19T23:00:00Z"
        );
    }
}
