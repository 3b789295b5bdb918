//! The rules of Nitro's documents that can be found broken, each with what was found and wanted.

use std::fmt;

use crate::{Error, Untrusted};

/// What was found and what was wanted: hex, names or instants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What was found.
    pub found: String,
    /// What the rule wants.
    pub wanted: String,
}

impl Difference {
    /// A pair.
    pub(super) fn new(found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            wanted: wanted.into(),
        }
    }
}

/// One row per rule: the variant, its id, and the beginning of its sentence.
macro_rules! rules {
    ($($(#[$about:meta])* $variant:ident = $check:literal: $sentence:literal;)*) => {
        /// A rule of AWS's attestation documents that does not hold.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Broken {
            $($(#[$about])* $variant(Difference),)*
        }

        impl Broken {
            const fn parts(&self) -> (&'static str, &'static str, &Difference) {
                match self {
                    $(Self::$variant(difference) => ($check, $sentence, difference),)*
                }
            }
        }
    };
}

rules! {
    /// `nitro.chain.signature`: an issuer did not sign the next certificate.
    ChainSignatureBad = "nitro.chain.signature": "an issuer did not sign the next certificate";
    /// `nitro.chain.issuer`: a certificate names another issuer than the one before it.
    IssuerDiffers = "nitro.chain.issuer": "a certificate names another issuer than the one before it";
    /// `nitro.leaf.key`: the signing key is of another kind.
    LeafKey = "nitro.leaf.key": "the signing key is of another kind";
    /// `nitro.leaf.usage`: the certificate is not one for signing documents.
    LeafUsage = "nitro.leaf.usage": "the certificate is not one for signing documents";
    /// `nitro.nonce`: the document answers another challenge.
    NonceDiffers = "nitro.nonce": "the document answers another challenge";
    /// `nitro.chain.authority`: an issuer may not certify keys.
    NotAuthority = "nitro.chain.authority": "an issuer may not certify keys";
    /// `nitro.chain.validity`: a certificate is not in force at the instant.
    OutOfWindow = "nitro.chain.validity": "a certificate is not in force";
    /// `nitro.root.pinned`: the chain does not begin with AWS's root.
    RootNotPinned = "nitro.root.pinned": "the chain does not begin with AWS's root";
    /// `nitro.signature`: the key did not sign the document.
    SignatureBad = "nitro.signature": "the document was not signed by its key";
    /// `nitro.timestamp`: the document is not from the life of its certificate.
    TimestampOutOfWindow = "nitro.timestamp": "the document is not from the life of its certificate";
    /// `nitro.user-data`: the document was made for another session.
    UserDataDiffers = "nitro.user-data": "the document was made for another session";
}

impl Broken {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        self.parts().0
    }

    /// What was found and what was wanted.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        let difference = self.parts().2;
        Some((difference.found.clone(), difference.wanted.clone()))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, sentence, Difference { found, wanted }) = self.parts();
        write!(out, "{sentence}: found {found}, wanted {wanted}")
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Untrusted(Untrusted::Nitro(broken))
    }
}
