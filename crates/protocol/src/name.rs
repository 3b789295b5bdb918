//! Names of tenants, witnesses, bundle members, and secret paths (DESIGN §4).
//!
//! Compared bytewise, never normalised: no case folding, no Unicode, no `.` or `..`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;

/// The check ids of this module.
pub const CHECKS: &[&str] = &["name.malformed", "path.malformed"];

/// The longest name in bytes: that of a DNS name (RFC 1035 §2.3.4), which witness ids often are.
pub const NAME_BYTES_MAX: usize = 253;
/// The longest path in bytes: what common file systems allow for one name, so paths can be files.
pub const PATH_BYTES_MAX: usize = 255;

/// One segment of `[a-z0-9._-]+` that is neither `.` nor `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// One or more segments with `/` between them: the name of a secret inside its tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Path(String);

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// `name.malformed` when it is empty, longer than [`NAME_BYTES_MAX`], `.`, `..`, or holds a
    /// byte outside `[a-z0-9._-]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > NAME_BYTES_MAX {
            return Err(Error::malformed(
                "name.malformed",
                NAME_BYTES_MAX,
                "it is longer than 253 bytes",
            ));
        }
        segment(text, "name.malformed", 0)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// `path.malformed` when it is longer than [`PATH_BYTES_MAX`] or a segment is empty, `.`,
    /// `..`, or holds a byte outside `[a-z0-9._-]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > PATH_BYTES_MAX {
            return Err(Error::malformed(
                "path.malformed",
                PATH_BYTES_MAX,
                "it is longer than 255 bytes",
            ));
        }
        let mut at = 0_usize;
        for part in text.split('/') {
            segment(part, "path.malformed", at)?;
            at = at.saturating_add(part.len()).saturating_add(1);
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments, first to last; there is at least one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

fn segment(text: &str, check: &'static str, base: usize) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::malformed(check, base, "a segment is empty"));
    }
    if text == "." || text == ".." {
        return Err(Error::malformed(check, base, "a segment is . or .."));
    }
    let stranger = text
        .bytes()
        .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
    match stranger {
        None => Ok(()),
        Some(index) => Err(Error::malformed(
            check,
            base.saturating_add(index),
            "only a-z, 0-9, '.', '_' and '-' are allowed",
        )),
    }
}

macro_rules! text_like {
    ($kind:ident) => {
        impl fmt::Display for $kind {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
        impl FromStr for $kind {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::parse(text)
            }
        }
        impl TryFrom<String> for $kind {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::parse(&text)
            }
        }
        impl From<$kind> for String {
            fn from(from: $kind) -> Self {
                from.0
            }
        }
    };
}
text_like!(Name);
text_like!(Path);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_with_dots_for_a_segment_is_refused_where_it_stands() {
        assert_eq!(
            Path::parse("disk/../root"),
            Err(Error::malformed(
                "path.malformed",
                5,
                "a segment is . or .."
            ))
        );
        assert_eq!(
            Path::parse("disk//root"),
            Err(Error::malformed("path.malformed", 5, "a segment is empty"))
        );
        assert_eq!(
            Path::parse("Disk"),
            Err(Error::malformed(
                "path.malformed",
                0,
                "only a-z, 0-9, '.', '_' and '-' are allowed"
            ))
        );
    }

    #[test]
    fn a_name_has_no_slash_and_an_end() {
        assert_eq!(
            Name::parse("a/b").map_err(|refusal| refusal.check()),
            Err("name.malformed")
        );
        assert!(Name::parse(&"a".repeat(NAME_BYTES_MAX)).is_ok());
        assert_eq!(
            Name::parse(&"a".repeat(NAME_BYTES_MAX + 1)),
            Err(Error::malformed(
                "name.malformed",
                NAME_BYTES_MAX,
                "it is longer than 253 bytes"
            ))
        );
    }

    proptest! {
        #[test]
        fn a_path_that_parses_says_itself(text in ".{0,40}") {
            if let Ok(path) = Path::parse(&text) {
                prop_assert_eq!(path.as_str(), text.as_str());
                prop_assert!(path.segments().all(|part| Name::parse(part).is_ok()));
            }
        }
    }
}
