//! A toy Intel: random roots, real shapes.
//!
//! Makes keys, certificates, revocation lists, TCB Info, QE Identity and quotes of SGX and TDX
//! that differ from real ones only in whose keys they are. Time is an argument; randomness is the
//! operating system's. Nothing real trusts it, and nothing of it is compiled into anything that
//! ships.

pub mod boot_log;
mod certificates;
mod containers;
pub(crate) mod documents;
mod lies;
mod pcs;
mod quote;
mod ratls;
mod swaps;
mod tell;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::json;
use zeuge_evidence::UnixTime;

use crate::{
    der_write::pem,
    x509_write::{
        CERT_SIGN, CRL_SIGN, DAY, DIGITAL_SIGNATURE, NON_REPUDIATION, P256, Window, curve_key_info,
        key_id, years_later,
    },
};
use certificates::{CertificateBody, Constraints, ListBody, SgxClaims, extensions};
pub use lies::IntelLie;
pub use pcs::PcsAnswer;
pub use quote::{Certification, PckCa, QuoteForm, QuoteSpec, Tee};
pub use ratls::{RatlsForm, RatlsLie};
pub use swaps::IntelSwap;
pub use tell::ToyQuote;

const ROOT: &str = "Intel SGX Root CA";
const SIGNING: &str = "Intel SGX TCB Signing";
const LEAF: &str = "Intel SGX PCK Certificate";
/// How long before `now` a PCK certificate was issued.
const LEAF_AGE: i64 = 30 * DAY;
/// How long before `now` a list or a document was issued.
const ISSUE_AGE: i64 = 10 * DAY;
/// How long Intel's lists and documents count.
const ISSUE_DAYS: i64 = 30 * DAY;
/// PCK keys that one toy keeps, under 1 KiB each; no test and no demonstration needs more.
const LEAVES_MAX: usize = 16_384;

/// The keys of one house with Intel's names, and its root certificate.
pub(crate) struct Authorities {
    root: EcdsaKeyPair,
    platform: EcdsaKeyPair,
    processor: EcdsaKeyPair,
    pub(crate) signing: EcdsaKeyPair,
    root_certificate: Vec<u8>,
}

impl Authorities {
    fn new() -> Self {
        let root = new_key();
        let root_certificate = CertificateBody {
            serial: key_id(root.public_key().as_ref()),
            issuer: ROOT.to_owned(),
            subject: ROOT.to_owned(),
            window: root_window(),
            key: curve_key_info(&P256, root.public_key().as_ref()),
            extensions: extensions(&root, root.public_key().as_ref(), &Constraints::root()),
        }
        .signed_with(&root);
        Self {
            root,
            platform: new_key(),
            processor: new_key(),
            signing: new_key(),
            root_certificate,
        }
    }

    const fn pck_ca(&self, ca: PckCa) -> &EcdsaKeyPair {
        match ca {
            PckCa::Platform => &self.platform,
            PckCa::Processor => &self.processor,
        }
    }

    fn pck_ca_body(&self, ca: PckCa, window: Window) -> CertificateBody {
        let constraints = Constraints {
            usage: CERT_SIGN | CRL_SIGN,
            authority: true,
            path_length: Some(0),
            list: certificates::ROOT_LIST.to_owned(),
        };
        self.body(self.pck_ca(ca), ca.common_name(), window, &constraints)
    }

    fn signing_body(&self, window: Window) -> CertificateBody {
        let constraints = Constraints {
            usage: DIGITAL_SIGNATURE | NON_REPUDIATION,
            authority: false,
            path_length: None,
            list: certificates::ROOT_LIST.to_owned(),
        };
        self.body(&self.signing, SIGNING, window, &constraints)
    }

    /// A certificate under the root.
    fn body(
        &self,
        key: &EcdsaKeyPair,
        subject: &str,
        window: Window,
        constraints: &Constraints,
    ) -> CertificateBody {
        let point = key.public_key().as_ref();
        CertificateBody {
            serial: key_id(point),
            issuer: ROOT.to_owned(),
            subject: subject.to_owned(),
            window,
            key: curve_key_info(&P256, point),
            extensions: extensions(&self.root, point, constraints),
        }
    }

    fn list_body(&self, issuer: Issuer, now: UnixTime) -> ListBody {
        let window = issue_window(now);
        let (name, key) = match issuer {
            Issuer::Root => (ROOT, &self.root),
            Issuer::PckCa(ca) => (ca.common_name(), self.pck_ca(ca)),
        };
        ListBody {
            issuer: name.to_owned(),
            issuer_key_id: key_id(key.public_key().as_ref()),
            window,
            number: 1,
            revoked: Vec::new(),
        }
    }

    const fn list_key(&self, issuer: Issuer) -> &EcdsaKeyPair {
        match issuer {
            Issuer::Root => &self.root,
            Issuer::PckCa(ca) => self.pck_ca(ca),
        }
    }
}

/// Who issues a revocation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Issuer {
    Root,
    PckCa(PckCa),
}

/// Whose key a PCK certificate certifies: the same platform and TCB, the same key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PckIdentity {
    ca: PckCa,
    fmspc: [u8; 6],
    ppid: [u8; 16],
    components: [u8; 16],
    pce_svn: u16,
}

impl PckIdentity {
    const fn of(spec: &QuoteSpec) -> Self {
        Self {
            ca: spec.ca,
            fmspc: spec.fmspc,
            ppid: spec.ppid,
            components: spec.components,
            pce_svn: spec.pce_svn,
        }
    }
}

/// The toy maker of SGX and TDX, with random keys that live as long as this value.
pub struct ToyIntel {
    pub(crate) own: Authorities,
    /// Somebody else who uses the same names.
    stranger: Authorities,
    pub(crate) attestation: EcdsaKeyPair,
    leaves: Mutex<HashMap<PckIdentity, Arc<EcdsaKeyPair>>>,
    /// What a platform at one TCB brings with every quote of one instant.
    chains: Mutex<HashMap<(PckIdentity, UnixTime), tell::Chain>>,
}

impl std::fmt::Debug for ToyIntel {
    /// The name only: keys stay put.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ToyIntel")
    }
}

impl Default for ToyIntel {
    fn default() -> Self {
        Self::new()
    }
}

impl ToyIntel {
    /// A maker with new random keys.
    #[must_use]
    pub fn new() -> Self {
        Self {
            own: Authorities::new(),
            stranger: Authorities::new(),
            attestation: new_key(),
            leaves: Mutex::default(),
            chains: Mutex::default(),
        }
    }

    /// One maker for the whole process.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ToyIntel> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    /// The root certificate in DER.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        &self.own.root_certificate
    }

    /// The trust file of this maker: JSON of schema `zeuge.sim-trust.v1` with the PEM of its root,
    /// for `--dangerous-trust-sim`. It holds no private key.
    #[must_use]
    pub fn trust_file(&self) -> String {
        let root = pem("CERTIFICATE", self.root());
        let file = json!({
            "schema": "zeuge.sim-trust.v1", "amd": {}, "intel": {"root": root}, "tpm": {}
        });
        format!("{file:#}\n")
    }

    /// The PCK certificate of this platform in DER, as an honest maker issues it.
    #[must_use]
    pub fn pck_certificate(&self, spec: &QuoteSpec, at: UnixTime) -> Vec<u8> {
        self.leaf_body(&self.own, spec, at)
            .signed_with(self.own.pck_ca(spec.ca))
    }

    /// The PCK certificate body of this platform, issued 30 days before `at`, for seven years.
    fn leaf_body(&self, house: &Authorities, spec: &QuoteSpec, at: UnixTime) -> CertificateBody {
        let key = self.leaf_key(spec);
        let point = key.public_key().as_ref();
        let constraints = Constraints {
            usage: DIGITAL_SIGNATURE | NON_REPUDIATION,
            authority: false,
            path_length: None,
            list: certificates::pck_list(spec.ca),
        };
        let mut extensions = extensions(house.pck_ca(spec.ca), point, &constraints);
        extensions.push(SgxClaims::of(spec).extension());
        let from = at.plus(-LEAF_AGE);
        CertificateBody {
            serial: key_id(point),
            issuer: spec.ca.common_name().to_owned(),
            subject: LEAF.to_owned(),
            window: Window {
                from,
                to: years_later(from, 7),
            },
            key: curve_key_info(&P256, point),
            extensions,
        }
    }

    /// The key that the provisioning certification enclave of this platform derives at its TCB.
    ///
    /// When the toy has made as many keys as it keeps, it forgets them all: a platform then gets
    /// another key, as after a reset.
    fn leaf_key(&self, spec: &QuoteSpec) -> Arc<EcdsaKeyPair> {
        let identity = PckIdentity::of(spec);
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if leaves.len() >= LEAVES_MAX {
            leaves.clear();
        }
        Arc::clone(
            leaves
                .entry(identity)
                .or_insert_with(|| Arc::new(new_key())),
        )
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
        .expect("the operating system has random bytes")
}

/// r‖s, 64 bytes.
fn sign(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), message)
        .expect("a curve key signs any message")
        .as_ref()
        .to_vec()
}

/// The real root is in force from 2018-05-21T10:45:10Z to the end of 2049. The toy's PCK CAs and
/// TCB signing certificate share this window, so that evidence of any year can be told.
const fn root_window() -> Window {
    Window {
        from: UnixTime(1_526_899_510),
        to: UnixTime(2_524_607_999),
    }
}

/// Lists and documents are issued 10 days before `now` and count for 30.
const fn issue_window(now: UnixTime) -> Window {
    let from = UnixTime(now.0 - ISSUE_AGE);
    Window {
        from,
        to: UnixTime(from.0 + ISSUE_DAYS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_evidence::x509::{Certificate, RevocationList};

    const NOW: UnixTime = UnixTime(1_772_323_200);

    #[test]
    fn certificates_and_lists_are_shaped_like_real_ones() {
        let intel = ToyIntel::shared();
        let root = Certificate::parse(intel.root()).unwrap();
        assert!(root.is_self_issued());
        assert_eq!(root.subject.common_name(), Some(ROOT));
        assert_eq!(root.not_after.to_string(), "2049-12-31T23:59:59Z");
        let ca = intel
            .own
            .pck_ca_body(PckCa::Platform, root_window())
            .signed_with(&intel.own.root);
        let ca = Certificate::parse(&ca).unwrap();
        assert_eq!(ca.issuer.raw, root.subject.raw);
        let constraints = ca.basic_constraints().unwrap().unwrap();
        assert!(constraints.authority && constraints.path_length == Some(0));
        let leaf = intel
            .leaf_body(&intel.own, &QuoteSpec::new(QuoteForm::Tdx4), NOW)
            .signed_with(&intel.own.platform);
        let leaf = Certificate::parse(&leaf).unwrap();
        assert_eq!(leaf.extensions.len(), 6);
        assert_eq!(leaf.issuer.raw, ca.subject.raw);
        assert!(
            leaf.extensions
                .iter()
                .any(|found| found.oid == "1.2.840.113741.1.13.1")
        );
        let list = intel
            .own
            .list_body(Issuer::Root, NOW)
            .signed_with(&intel.own.root);
        let list = RevocationList::parse(&list).unwrap();
        assert_eq!(list.number(), Some(1));
        assert_eq!(list.next_update.unwrap().0, NOW.0 + 20 * DAY);
    }

    #[test]
    fn one_platform_at_one_tcb_has_one_key() {
        let intel = ToyIntel::shared();
        let spec = QuoteSpec::new(QuoteForm::Sgx3);
        let other = QuoteSpec {
            pce_svn: spec.pce_svn - 1,
            ..spec.clone()
        };
        let point = |spec: &QuoteSpec| intel.leaf_key(spec).public_key().as_ref().to_vec();
        assert_eq!(point(&spec), point(&spec));
        assert_ne!(point(&spec), point(&other));
    }
}
