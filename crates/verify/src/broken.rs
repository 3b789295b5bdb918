//! What every rule that compares says when it does not hold, and how such rules are listed: one row
//! each, with its id and the beginning of its sentence.
//!
//! Knows no rule itself.

use zeuge_evidence::{UnixTime, x509::Certificate};

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
    pub(crate) fn new(found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            wanted: wanted.into(),
        }
    }

    /// Two byte strings, in hex.
    pub(crate) fn hex(found: &[u8], wanted: &[u8]) -> Self {
        Self::new(hex::encode(found), hex::encode(wanted))
    }

    /// An instant outside a certificate's window.
    pub(crate) fn window(at: UnixTime, certificate: &Certificate<'_>) -> Self {
        let (from, to) = (certificate.not_before, certificate.not_after);
        Self::new(at.to_string(), format!("{from} to {to}"))
    }
}

/// The enumeration `Broken` of one platform, as its variant of `Untrusted`. One row per rule: the
/// variant, its id, and the beginning of its sentence.
macro_rules! rules {
    ($untrusted:ident, $about:literal:
     $($(#[$doc:meta])* $variant:ident = $check:literal: $sentence:literal;)*) => {
        #[doc = $about]
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Broken {
            $($(#[$doc])* $variant($crate::broken::Difference),)*
        }

        impl Broken {
            const fn parts(&self) -> (&'static str, &'static str, &$crate::broken::Difference) {
                match self {
                    $(Self::$variant(difference) => ($check, $sentence, difference),)*
                }
            }

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

        impl std::fmt::Display for Broken {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let (_, sentence, difference) = self.parts();
                let $crate::broken::Difference { found, wanted } = difference;
                write!(out, "{sentence}: found {found}, wanted {wanted}")
            }
        }

        impl From<Broken> for $crate::Error {
            fn from(broken: Broken) -> Self {
                Self::Untrusted($crate::Untrusted::$untrusted(broken))
            }
        }
    };
}

pub(crate) use rules;
