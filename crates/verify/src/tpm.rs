//! TPM quotes: who signed which PCR values for which question, and what the logs add to it.
//!
//! A quote proves nothing by itself: anybody can make a key that signs one. Belief needs a reason
//! to trust the AK ([`AkTrust`]): the TPM opened a credential for it, a maker certified it, or the
//! owner enrolled it. There is no trust on first use. Never decides whether the measured software
//! is wanted; never reads a clock or draws a random byte.
//!
//! ```text
//! verify_ek ─► credential::begin ─► (TPM2_ActivateCredential) ─► Pending::redeem ─► Activation
//! bundle + Demand + AkTrust ─► verify ─► Verified<TpmFacts>
//! ```

mod broken;
mod chain;
pub mod credential;
mod ek;
mod key;
mod quote;
mod replay;
mod roots;
mod rsa;
mod trust;

pub use broken::Broken;
pub use chain::{Context, Revocation};
pub use ek::{EkFacts, verify_ek};
pub use key::AttestationKey;
pub(crate) use quote::verify_committed;
pub use quote::{
    Demand, Nonce, Selection, TpmFacts, check_quote_signature, claimed_key, qualifying_data, verify,
};
pub use replay::{ImaFacts, PcrEvent};
pub use roots::{MakerRoot, ROOTS_MAX, TpmRoots};
pub use trust::{AkTrust, EnrolledAk, TrustBasis, verify_ak_certificate};

/// The ids of the checks in this file and its folder.
pub const CHECKS: &[&str] = &[
    "tpm.ak.activation",
    "tpm.ak.attributes",
    "tpm.ak.available",
    "tpm.ak.certificate",
    "tpm.ak.chain",
    "tpm.ak.issuer",
    "tpm.ak.key",
    "tpm.ak.proof",
    "tpm.ak.trust",
    "tpm.ak.validity",
    "tpm.ek.available",
    "tpm.ek.chain",
    "tpm.ek.key",
    "tpm.ek.revoked",
    "tpm.ek.validity",
    "tpm.eventlog.replay",
    "tpm.ima.replay",
    "tpm.quote.available",
    "tpm.quote.bank",
    "tpm.quote.clock",
    "tpm.quote.magic",
    "tpm.quote.nonce",
    "tpm.quote.pcr-digest",
    "tpm.quote.reset",
    "tpm.quote.selection",
    "tpm.quote.signature",
    "tpm.quote.type",
];
