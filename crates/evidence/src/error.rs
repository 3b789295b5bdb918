//! The one shape of "these bytes are not what they claim to be".
//!
//! Never carries the bytes themselves: a refusal may be logged, evidence may not.

use std::fmt;

/// Bytes that break a rule of their format.
///
/// `check` is the id of the rule (for example `snp.report.reserved`), the same id that stands in
/// the check table, the verdict and the explanation. `offset` counts bytes from the start of the
/// input that the parser was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The id of the broken rule.
    pub check: &'static str,
    /// Where in the input, in bytes.
    pub offset: usize,
    /// What was found there.
    pub what: What,
}

/// What is wrong with the bytes at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A value that the format does not allow here.
    Invalid {
        /// The field, by its vendor's name.
        field: &'static str,
        /// Why it is not allowed, as the end of the sentence "… is refused: ".
        because: &'static str,
    },
    /// A range that must be zero is not.
    Reserved {
        /// The range, by its vendor's name or its place.
        field: &'static str,
    },
    /// More bytes than the limit of this format.
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// The length found in bytes.
        found: usize,
    },
    /// Fewer bytes than the format needs.
    TooShort {
        /// The length needed in bytes.
        wanted: usize,
        /// The length found in bytes.
        found: usize,
    },
    /// A version, type or algorithm that this program does not know, refused by its number.
    Unsupported {
        /// The field, by its vendor's name.
        field: &'static str,
        /// The number found.
        found: u64,
    },
}

impl Malformed {
    /// A refusal: rule, place, finding.
    #[must_use]
    pub const fn new(check: &'static str, offset: usize, what: What) -> Self {
        Self {
            check,
            offset,
            what,
        }
    }

    /// A value that the format does not allow.
    #[must_use]
    pub const fn invalid(
        check: &'static str,
        offset: usize,
        field: &'static str,
        because: &'static str,
    ) -> Self {
        Self::new(check, offset, What::Invalid { field, because })
    }

    /// What was found and what was wanted, where the rule compares.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        match &self.what {
            What::Invalid { .. } => None,
            What::Reserved { .. } => Some(("not zero".to_owned(), "zero".to_owned())),
            What::TooLong { limit, found } => {
                Some((format!("{found} bytes"), format!("at most {limit} bytes")))
            }
            What::TooShort { wanted, found } => {
                Some((format!("{found} bytes"), format!("{wanted} bytes")))
            }
            What::Unsupported { found, .. } => Some((
                found.to_string(),
                "a number that this program knows".to_owned(),
            )),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Invalid { field, because } => write!(out, "{field} is refused: {because}")?,
            What::Reserved { field } => write!(out, "{field} must be zero and is not")?,
            What::TooLong { limit, found } => {
                write!(out, "{found} bytes, but the limit here is {limit}")?;
            }
            What::TooShort { wanted, found } => {
                write!(
                    out,
                    "{wanted} bytes are needed here, but only {found} are left"
                )?;
            }
            What::Unsupported { field, found } => {
                write!(out, "{field} {found} ({found:#x}) is not supported")?;
            }
        }
        write!(out, " (at byte {})", self.offset)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_as_a_sentence_with_its_place() {
        let refusal = Malformed::new(
            "snp.report.version",
            0,
            What::Unsupported {
                field: "VERSION",
                found: 6,
            },
        );
        assert_eq!(
            refusal.to_string(),
            "VERSION 6 (0x6) is not supported (at byte 0)"
        );
    }
}
