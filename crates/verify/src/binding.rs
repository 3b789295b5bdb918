//! What the evidence must be bound to: 64 bytes that the caller computed, or a written reason why
//! nothing is demanded.
//!
//! Never computes the 64 bytes (that is `zeuge-protocol`), never pads and never truncates them.

use std::fmt;

use crate::{Error, Trail, Untrusted};

/// The ids of the checks in this file.
pub const CHECKS: &[&str] = &["binding.report-data"];

/// What the report data must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// Exactly these 64 bytes.
    ReportData([u8; 64]),
    /// Anything, for a reason that somebody wrote down and that the verdict repeats.
    Unbound {
        /// Why no binding is demanded.
        because: String,
    },
}

/// A rule of binding that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// `binding.report-data`: the evidence was made for another challenge or another key.
    ReportDataDiffers {
        /// The report data of the evidence, in hex.
        found: String,
        /// The report data demanded, in hex.
        wanted: String,
    },
}

impl Broken {
    /// The id of the check that failed.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::ReportDataDiffers { .. } => "binding.report-data",
        }
    }

    /// What was found and what was wanted, in hex.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        match self {
            Self::ReportDataDiffers { found, wanted } => Some((found.clone(), wanted.clone())),
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReportDataDiffers { found, wanted } => write!(
                out,
                "the evidence was made for another challenge or key: its report data is {found}, wanted {wanted}"
            ),
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Untrusted(Untrusted::Binding(broken))
    }
}

impl Binding {
    /// Runs `binding.report-data` against the report data found in the evidence. An unbound
    /// appraisal leaves no entry on the trail.
    ///
    /// # Errors
    /// [`Broken::ReportDataDiffers`].
    pub(crate) fn check(&self, trail: &mut Trail, found: &[u8; 64]) -> Result<(), Error> {
        let Self::ReportData(wanted) = self else {
            return Ok(());
        };
        // spec: sev-snp.launch.report-data
        trail.check("binding.report-data", || {
            if found == wanted {
                return Ok(());
            }
            Err(Broken::ReportDataDiffers {
                found: hex::encode(found),
                wanted: hex::encode(wanted),
            }
            .into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_different_byte_breaks_the_binding() {
        let mut found = [7; 64];
        let binding = Binding::ReportData(found);
        let mut trail = Trail::new();
        assert_eq!(binding.check(&mut trail, &found), Ok(()));
        found[63] ^= 1;
        let error = binding.check(&mut trail, &found).unwrap_err();
        assert_eq!(error.check(), "binding.report-data");
        assert_eq!(trail.passed(), ["binding.report-data"]);
    }

    #[test]
    fn an_unbound_appraisal_leaves_no_entry_on_the_trail() {
        let binding = Binding::Unbound {
            because: "an archive".to_owned(),
        };
        let mut trail = Trail::new();
        assert_eq!(binding.check(&mut trail, &[1; 64]), Ok(()));
        assert!(trail.passed().is_empty());
    }
}
