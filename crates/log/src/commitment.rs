//! Salted commitments: a public leaf says "this value" without saying which (DESIGN §5.6).
//!
//! The salt is the caller's: 32 fresh random bytes per value, kept in the erasable store. Never
//! stores or prints a value.

use crate::{Error, Hash, hash::sha256};
use std::fmt;

const TAG: &[u8] = b"zeuge-commitment-v1";

/// A commitment as it stands in a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commitment(pub Hash);

/// What opens a commitment: shown to the owner and the auditor only.
#[derive(Clone, PartialEq, Eq)]
pub struct Opening {
    /// What the value is, such as `tenant`.
    pub label: String,
    /// 32 random bytes, used once.
    pub salt: [u8; 32],
    /// The value.
    pub value: Vec<u8>,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening")
    }
}

impl Opening {
    /// SHA-256(tag ‖ label length ‖ label ‖ salt ‖ value length ‖ value), lengths as eight
    /// big-endian bytes.
    #[must_use]
    pub fn commit(&self) -> Commitment {
        let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes();
        Commitment(sha256(&[
            TAG,
            &length(self.label.as_bytes()),
            self.label.as_bytes(),
            &self.salt,
            &length(&self.value),
            &self.value,
        ]))
    }

    /// Whether this opens the commitment.
    ///
    /// # Errors
    /// [`Error::Leaf`] if it opens another one.
    pub fn verify(&self, commitment: &Commitment) -> Result<(), Error> {
        if self.commit() != *commitment {
            return Err(Error::Leaf {
                offset: 0,
                wanted: "a commitment that the opening gives",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_salt_and_value_are_all_bound() {
        let opening = Opening {
            label: "tenant".to_owned(),
            salt: [1; 32],
            value: b"acme".to_vec(),
        };
        let commitment = opening.commit();
        assert_eq!(opening.verify(&commitment), Ok(()));
        let refused = Err(Error::Leaf {
            offset: 0,
            wanted: "a commitment that the opening gives",
        });
        for other in [
            Opening {
                label: "path".to_owned(),
                ..opening.clone()
            },
            Opening {
                salt: [2; 32],
                ..opening.clone()
            },
            Opening {
                value: b"acm".to_vec(),
                ..opening.clone()
            },
        ] {
            assert_eq!(other.verify(&commitment), refused);
        }
        assert_eq!(format!("{opening:?}"), "Opening");
    }
}
