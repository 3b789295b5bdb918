//! The rules of Azure's evidence that can be found broken, each with what was found and wanted.

use std::fmt;

use crate::{Error, Untrusted};

/// A link between challenge, virtual TPM, claims and report that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// `azure.ak.claimed`: the key beside the quote is not the one that the claims name.
    AkClaimed {
        /// The key that came with the quote.
        found: String,
        /// The key in the claims.
        wanted: String,
    },
    /// `azure.ak.signer`: another machine's key signed the quote.
    AkSigner {
        /// The qualified name of the signer, in hex.
        found: String,
        /// The qualified name of the claimed key, in hex.
        wanted: String,
    },
    /// `azure.claims.hash`: the report was made for other claims.
    ClaimsHash {
        /// The report data, in hex.
        found: String,
        /// The hash of the claims and zeros, in hex.
        wanted: String,
    },
    /// `azure.td-quote.report`: the quote is of another trust domain than the TDREPORT.
    TdQuoteReport {
        /// MRTD and REPORTDATA of the quote.
        found: String,
        /// Those of the TDREPORT.
        wanted: String,
    },
    /// `azure.user-data`: the report was not made for this session.
    UserData {
        /// The user data, in hex.
        found: String,
        /// The user data demanded, in hex.
        wanted: String,
    },
}

impl Broken {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::AkClaimed { .. } => "azure.ak.claimed",
            Self::AkSigner { .. } => "azure.ak.signer",
            Self::ClaimsHash { .. } => "azure.claims.hash",
            Self::TdQuoteReport { .. } => "azure.td-quote.report",
            Self::UserData { .. } => "azure.user-data",
        }
    }

    const fn parts(&self) -> (&String, &String) {
        match self {
            Self::AkClaimed { found, wanted }
            | Self::AkSigner { found, wanted }
            | Self::ClaimsHash { found, wanted }
            | Self::TdQuoteReport { found, wanted }
            | Self::UserData { found, wanted } => (found, wanted),
        }
    }

    /// What was found and what was wanted.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        let (found, wanted) = self.parts();
        Some((found.clone(), wanted.clone()))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, wanted) = self.parts();
        let sentence = match self {
            Self::AkClaimed { .. } => "the key beside the quote is not the one in the claims",
            Self::AkSigner { .. } => "the quote was signed in another machine than the report's",
            Self::ClaimsHash { .. } => "the report was made for other runtime claims",
            Self::TdQuoteReport { .. } => "the TD quote is of another machine than the HCL report",
            Self::UserData { .. } => "the HCL report was not made for this session",
        };
        write!(out, "{sentence}: found {found}, wanted {wanted}")
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Untrusted(Untrusted::Azure(broken))
    }
}
