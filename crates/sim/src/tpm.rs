//! A toy maker of TPMs: random roots, real shapes.
//!
//! Certifies EKs and AKs, keeps revocation lists, opens credentials as a TPM does, and tells of a
//! plausible boot in quotes, boot logs and IMA lists. Time is an argument; randomness is the
//! operating system's. Nothing real trusts it, and nothing of it is compiled into anything that
//! ships.

mod boot;
mod certificates;
mod keys;
mod lies;
mod tell;

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
use serde_json::json;
use zeuge_evidence::UnixTime;

use crate::{
    der_write::pem,
    x509_write::{
        CERT_SIGN, CRL_SIGN, DAY, P256, Window, basic_constraints, curve_key_info, key_id,
        key_usage,
    },
};
use certificates::CertificateBody;
use keys::{Ak, Ek, new_curve_key};

pub use boot::{COMMAND_LINE, PROGRAMS, digest_of};
pub use keys::{AkKind, EkKind};
pub use lies::TpmLie;
pub use tell::{Clock, ToyTpmQuote};

const ROOT: &str = "Toy TPM Root CA";
const CA: &str = "Toy TPM EK CA 01";

/// The keys of one house with this maker's names, and the certificates of its authorities.
struct House {
    root: EcdsaKeyPair,
    ca: EcdsaKeyPair,
    root_certificate: Vec<u8>,
    ca_certificate: Vec<u8>,
}

impl House {
    fn new() -> Self {
        let (root, ca) = (new_curve_key(), new_curve_key());
        let authority = |subject: &str, key: &EcdsaKeyPair, path_length: u64| {
            let point = key.public_key().as_ref();
            CertificateBody {
                serial: key_id(point),
                issuer: ROOT.to_owned(),
                subject: subject.to_owned(),
                window: AUTHORITIES,
                key: curve_key_info(&P256, point),
                extensions: vec![
                    key_usage(CERT_SIGN | CRL_SIGN),
                    basic_constraints(true, Some(path_length)),
                ],
            }
            .signed_with(&root)
        };
        let root_certificate = authority(ROOT, &root, 1);
        let ca_certificate = authority(CA, &ca, 0);
        Self {
            root,
            ca,
            root_certificate,
            ca_certificate,
        }
    }
}

/// Root and CA count from May 2018 to the end of 2049, so that evidence of any year can be told.
const AUTHORITIES: Window = Window {
    from: UnixTime(1_526_899_510),
    to: UnixTime(2_524_607_999),
};

/// Why the AK of a told quote is to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The TPM opens a credential for it.
    Activation,
    /// The maker certified it.
    Certificate,
    /// The owner names it.
    Enrolment,
}

impl Proof {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Activation, Self::Certificate, Self::Enrolment];
}

/// A machine and what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmSpec {
    /// The kind of its EK.
    pub ek: EkKind,
    /// How its AK signs.
    pub ak: AkKind,
    /// Why the AK is to be believed.
    pub proof: Proof,
    /// The challenge.
    pub nonce: Vec<u8>,
    /// The PCRs asked for, bit `n` for PCR `n`.
    pub pcrs: u32,
    /// Whether the boot log comes along.
    pub log: bool,
    /// Whether the IMA list comes along.
    pub ima: bool,
    /// Whether it has said that its boot is over: PCR 15 holds `zeuge:closed`.
    pub closed: bool,
}

impl TpmSpec {
    /// A machine with these keys, asked for PCR 0 to 15, with both logs.
    #[must_use]
    pub fn new(ek: EkKind, ak: AkKind) -> Self {
        Self {
            ek,
            ak,
            proof: Proof::Activation,
            nonce: b"the challenge of a witness".to_vec(),
            pcrs: 0xffff,
            log: true,
            ima: true,
            closed: false,
        }
    }
}

type Kept<K, V> = Mutex<HashMap<K, Arc<V>>>;

/// The toy maker, with random keys that live as long as this value.
pub struct ToyTpm {
    own: House,
    /// Somebody else who uses the same names.
    stranger: House,
    eks: Kept<EkKind, Ek>,
    /// By kind, and whether it is the machine's second one.
    aks: Kept<(AkKind, bool), Ak>,
}

impl std::fmt::Debug for ToyTpm {
    /// The name only: keys stay put.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ToyTpm")
    }
}

impl Default for ToyTpm {
    fn default() -> Self {
        Self::new()
    }
}

impl ToyTpm {
    /// A maker with new random keys.
    #[must_use]
    pub fn new() -> Self {
        Self {
            own: House::new(),
            stranger: House::new(),
            eks: Mutex::default(),
            aks: Mutex::default(),
        }
    }

    /// One maker for the whole process.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ToyTpm> = OnceLock::new();
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
            "schema": "zeuge.sim-trust.v1", "amd": {}, "intel": {}, "tpm": {"roots": [root]}
        });
        format!("{file:#}\n")
    }

    fn ek(&self, kind: EkKind) -> Arc<Ek> {
        kept(&self.eks, kind, || Ek::new(kind))
    }

    fn ak(&self, kind: AkKind, second: bool) -> Arc<Ak> {
        kept(&self.aks, (kind, second), || Ak::new(kind))
    }
}

fn kept<K: Hash + Eq, V>(map: &Kept<K, V>, key: K, make: impl FnOnce() -> V) -> Arc<V> {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(map.entry(key).or_insert_with(|| Arc::new(make())))
}

/// Lists are issued 10 days before `now` and count for 30.
const fn issue_window(now: UnixTime) -> Window {
    let from = UnixTime(now.0 - 10 * DAY);
    Window {
        from,
        to: UnixTime(from.0 + 30 * DAY),
    }
}
