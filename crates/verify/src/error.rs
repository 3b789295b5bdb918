//! Why something is not proven, sorted by whose fault it is.
//!
//! Each platform owns the enum of the rules it can find broken; this file joins them. Every
//! variant knows the id of its check.

use std::fmt;

use zeuge_evidence::Malformed;

use crate::{amd, azure, binding, composite, dcap, google, nitro, ratls, tpm};

/// The first check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Bytes that are not what they claim to be (exit code 2).
    Malformed(Malformed),
    /// Something without which verification cannot go on is not at hand (exit code 4).
    Unavailable(Unavailable),
    /// A chain, signature, date or binding that does not hold (exit code 3).
    Untrusted(Untrusted),
}

/// A rule of a maker that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untrusted {
    /// A rule of AMD SEV-SNP or of AMD's certificates.
    Amd(amd::Broken),
    /// A link of Azure's between challenge, virtual TPM, claims and report.
    Azure(azure::Broken),
    /// The evidence was made for something else.
    Binding(binding::Broken),
    /// Members of one bundle do not belong together.
    Composite(composite::Broken),
    /// A rule of Intel SGX or TDX, or of Intel's certificates and documents.
    Dcap(dcap::Broken),
    /// A rule of Google's firmware endorsements.
    Google(google::Broken),
    /// A rule of AWS's attestation documents.
    Nitro(nitro::Broken),
    /// A certificate that carries a quote does not fit it.
    Ratls(ratls::Broken),
    /// A rule of a TPM, its keys or its logs.
    Tpm(tpm::Broken),
}

/// A needed endorsement that is not at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// The id of the check that needs it.
    pub check: &'static str,
    /// What is needed, for people: "a VCEK of Milan for chip 3ac3…".
    pub what: String,
    /// Where it is usually had, for people.
    pub remedy: &'static str,
}

impl Error {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.check,
            Self::Unavailable(unavailable) => unavailable.check,
            Self::Untrusted(Untrusted::Amd(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Azure(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Binding(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Composite(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Dcap(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Google(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Nitro(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Ratls(broken)) => broken.check(),
            Self::Untrusted(Untrusted::Tpm(broken)) => broken.check(),
        }
    }

    /// What was found and what was wanted, where the rule compares.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        match self {
            Self::Malformed(malformed) => malformed.difference(),
            Self::Unavailable(unavailable) => {
                Some(("nothing".to_owned(), unavailable.what.clone()))
            }
            Self::Untrusted(Untrusted::Amd(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Azure(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Binding(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Composite(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Dcap(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Google(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Nitro(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Ratls(broken)) => broken.difference(),
            Self::Untrusted(Untrusted::Tpm(broken)) => broken.difference(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(out),
            Self::Unavailable(Unavailable { what, remedy, .. }) => {
                write!(out, "{what} is needed and not at hand; {remedy}")
            }
            Self::Untrusted(Untrusted::Amd(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Azure(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Binding(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Composite(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Dcap(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Google(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Nitro(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Ratls(broken)) => broken.fmt(out),
            Self::Untrusted(Untrusted::Tpm(broken)) => broken.fmt(out),
        }
    }
}

impl std::error::Error for Error {}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<ratls::Broken> for Error {
    fn from(broken: ratls::Broken) -> Self {
        Self::Untrusted(Untrusted::Ratls(broken))
    }
}

impl From<amd::Broken> for Error {
    fn from(broken: amd::Broken) -> Self {
        Self::Untrusted(Untrusted::Amd(broken))
    }
}

impl From<tpm::Broken> for Error {
    fn from(broken: tpm::Broken) -> Self {
        Self::Untrusted(Untrusted::Tpm(broken))
    }
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}
