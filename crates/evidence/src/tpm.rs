//! TPM 2.0 structures: what a TPM signs, the key that signs, and the signature.
//!
//! Reads `TPMS_ATTEST`, `TPMT_PUBLIC`, `TPMT_SIGNATURE` (TCG TPM 2.0 Library, part 2; all numbers
//! big-endian), the files that carry them, and the TCG's parts of EK certificates. Never checks a
//! signature, never compares a nonce, never decides whether a key deserves trust: that is
//! `zeuge_verify::tpm`. The boot log is next door in [`crate::eventlog`].

mod annotate;
mod attest;
mod bundle;
mod containers;
mod ek;
mod hash;
mod public;
mod signature;

pub use annotate::{annotate_attest, annotate_public};
pub use attest::{ATTEST_BYTES_MAX, Attest, Body, ClockInfo, TAG_QUOTE, TPM_GENERATED_VALUE};
pub use bundle::{BUNDLE_BYTES_MAX, BUNDLE_SCHEMA, PcrValue, QuoteBundle};
pub use containers::{GoogleAttestation, GoogleQuote, azure_sample};
pub use ek::{EK_FILE_BYTES_MAX, EkIdentity, certificate_in};
pub(crate) use hash::Hash;
pub use hash::{HashAlgorithm, PcrSelection, PcrSet};
pub use public::{
    ObjectAttributes, PUBLIC_BYTES_MAX, Public, PublicKey, Scheme, Symmetric, qualified_name,
};
pub use signature::{SIGNATURE_BYTES_MAX, Signature, SignatureValue};

/// The id under which a broken `TPMS_ATTEST` is refused.
pub const ATTEST: &str = "tpm.attest";
/// The id under which a broken `TPMT_PUBLIC` is refused.
pub const PUBLIC: &str = "tpm.public";
/// The id under which a broken `TPMT_SIGNATURE` is refused.
pub const SIGNATURE: &str = "tpm.signature-format";
/// The id under which a broken file of a quote is refused.
pub const BUNDLE: &str = "tpm.bundle";
/// The id under which a file is refused that should hold an EK or AK certificate and does not.
pub const EK_FORMAT: &str = "tpm.ek.format";

/// Every id that this module refuses under.
pub const CHECKS: &[&str] = &[ATTEST, BUNDLE, EK_FORMAT, PUBLIC, SIGNATURE];
