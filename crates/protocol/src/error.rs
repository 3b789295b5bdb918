//! Every way in which something on the wire can be refused; each variant knows its check id.
//!
//! Never carries secrets or evidence bytes: a refusal may be logged.

use std::fmt;

/// A refusal by a rule of the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// `<area>.malformed` and other ids of shape: bytes that break a rule of their format.
    Malformed {
        /// The id of the broken rule.
        check: &'static str,
        /// Where in the input, in bytes; 0 when the format has no useful offset (JSON objects).
        offset: usize,
        /// Why it is refused, as the end of a sentence.
        because: &'static str,
    },
    /// A rule that compares two values; both travel with the refusal.
    Differs {
        /// The id of the broken rule.
        check: &'static str,
        /// What was found, in the notation of the field (hexadecimal for bytes).
        found: String,
        /// What was wanted, in the same notation.
        wanted: String,
    },
    /// A signature, MAC or seal that does not hold.
    Unproven {
        /// The id of the broken rule.
        check: &'static str,
        /// What did not hold, as the end of a sentence.
        because: &'static str,
    },
    /// The caller gave something that cannot be put on the wire.
    Misuse {
        /// The id of the rule that the result would break.
        check: &'static str,
        /// What is wrong with the call.
        because: &'static str,
    },
}

impl Error {
    /// The id of the broken rule, the same id that stands in the check table.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Malformed { check, .. }
            | Self::Differs { check, .. }
            | Self::Unproven { check, .. }
            | Self::Misuse { check, .. } => check,
        }
    }

    /// What was found and what was wanted, where the rule compares two values.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        match self {
            Self::Differs { found, wanted, .. } => Some((found.clone(), wanted.clone())),
            _ => None,
        }
    }

    /// Bytes that break a rule of their format.
    pub(crate) const fn malformed(
        check: &'static str,
        offset: usize,
        because: &'static str,
    ) -> Self {
        Self::Malformed {
            check,
            offset,
            because,
        }
    }

    /// Two values that should be equal, or in order, and are not.
    pub(crate) fn differs(
        check: &'static str,
        found: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self::Differs {
            check,
            found: found.into(),
            wanted: wanted.into(),
        }
    }

    /// The same refusal under the id of the caller's format.
    pub(crate) fn under(self, id: &'static str) -> Self {
        match self {
            Self::Malformed {
                offset, because, ..
            } => Self::malformed(id, offset, because),
            Self::Differs { found, wanted, .. } => Self::differs(id, found, wanted),
            Self::Unproven { because, .. } => Self::Unproven { check: id, because },
            Self::Misuse { because, .. } => Self::Misuse { check: id, because },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed {
                check,
                offset,
                because,
            } => write!(out, "{check}: {because} (at byte {offset})"),
            Self::Differs {
                check,
                found,
                wanted,
            } => write!(out, "{check}: found {found}, wanted {wanted}"),
            Self::Unproven { check, because } | Self::Misuse { check, because } => {
                write!(out, "{check}: {because}")
            }
        }
    }
}

impl std::error::Error for Error {}
