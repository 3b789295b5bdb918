//! What all documents in TOML share: a limit, a schema name, hex of an exact length.
//!
//! Never pads and never truncates an expected value: lengths are checked.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Error as _};

/// A document of an owner's is a few KiB; one MiB is hostile.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// Marks that begin a part of a document: its tables, members and list items. A registry of 4,000
/// chips has under 60,000. A part costs its reader up to 1,200 bytes, however short it is.
const PARTS_MAX: usize = 64 * 1024;

/// The id of a document that cannot be read.
pub const SCHEMA: &str = "document.schema";
/// The ids of this file.
pub const CHECKS: &[&str] = &["document.schema"];

/// A document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError {
    /// The schema that was wanted.
    pub wanted: &'static str,
    /// What is wrong, with line and column where the reader knows them.
    pub because: String,
}

impl DocumentError {
    /// The id of the check.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        SCHEMA
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "this is not a {} document: {}",
            self.wanted, self.because
        )
    }
}

impl std::error::Error for DocumentError {}

/// Reads a document whose `schema` must be `wanted`.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    text: &str,
    wanted: &'static str,
    schema: impl FnOnce(&T) -> &str,
) -> Result<T, DocumentError> {
    let bad = |because: String| DocumentError { wanted, because };
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(bad(format!("it is longer than {DOCUMENT_BYTES_MAX} bytes")));
    }
    let begins = |byte: &&u8| b".,=[{".contains(byte);
    if text.as_bytes().iter().filter(begins).count() > PARTS_MAX {
        return Err(bad(format!("it has more than {PARTS_MAX} parts")));
    }
    let document: T = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
    let found = schema(&document);
    if found == wanted {
        Ok(document)
    } else {
        Err(bad(format!("its schema is \"{found}\"")))
    }
}

/// `N` bytes, written as exactly `2 * N` hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut out = [0; N];
        hex::decode_to_slice(text.trim(), &mut out).map_err(|_| {
            D::Error::custom(format!(
                "{} hex digits are wanted here, not {:?}",
                N.saturating_mul(2),
                text
            ))
        })?;
        Ok(Self(out))
    }
}
