//! Every refusal of the witness: a check id, a status, a sentence; a problem of RFC 9457 outside.
//!
//! Never carries a secret or evidence bytes: refusals are answered, counted and logged.

use zeuge_protocol::api::Problem;

/// Why something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The id of the check.
    pub check: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened, in a sentence.
    pub because: String,
    /// What was found and what was wanted, where the rule compares.
    pub difference: Option<(String, String)>,
    /// After how many seconds to come back, where that helps.
    pub retry_after_secs: Option<u32>,
}

impl Refusal {
    /// A refusal of the caller's fault.
    #[must_use]
    pub fn new(check: &'static str, status: u16, because: impl Into<String>) -> Self {
        Self {
            check,
            status,
            because: because.into(),
            difference: None,
            retry_after_secs: None,
        }
    }

    /// The same with what was found and what was wanted.
    #[must_use]
    pub fn difference(mut self, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        self.difference = Some((found.into(), wanted.into()));
        self
    }

    /// The same with a hint when to come back.
    #[must_use]
    pub const fn retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// A fault of the witness's own store; what the driver says goes to the log, not outside.
    #[must_use]
    pub fn store(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(check = crate::store::UNAVAILABLE, %error, "the store failed");
        Self::new(
            crate::store::UNAVAILABLE,
            503,
            "the witness cannot read or write its store",
        )
        .retry_after(1)
    }

    /// The problem that is answered.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let title = match self.status {
            400 | 405 | 413 => "malformed",
            401 | 403 => "refused",
            404 => "unknown",
            429 | 503 => "unavailable",
            _ => "failed",
        };
        let (found, wanted) = self.difference.clone().unzip();
        Problem {
            detail: Some(self.because.clone()),
            found,
            wanted,
            ..Problem::new(self.check, title, self.status)
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.check, self.because)?;
        match &self.difference {
            Some((found, wanted)) => write!(out, " (found {found}, wanted {wanted})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<zeuge_protocol::Error> for Refusal {
    fn from(error: zeuge_protocol::Error) -> Self {
        let status = Problem::of(&error).status;
        Self {
            difference: error.difference(),
            ..Self::new(error.check(), status, sentence(&error))
        }
    }
}

/// What an error of the wire says, without its id, which stands beside it.
fn sentence(error: &zeuge_protocol::Error) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix(error.check());
    let rest = rest.and_then(|rest| rest.strip_prefix(": "));
    rest.map_or_else(|| text.clone(), str::to_owned)
}

impl From<zeuge_verify::Error> for Refusal {
    fn from(error: zeuge_verify::Error) -> Self {
        let status = match error {
            zeuge_verify::Error::Malformed(_) => 400,
            zeuge_verify::Error::Unavailable(_) => 503,
            zeuge_verify::Error::Untrusted(_) => 403,
        };
        Self {
            difference: error.difference(),
            ..Self::new(error.check(), status, error.to_string())
        }
    }
}

impl From<zeuge_appraise::DocumentError> for Refusal {
    fn from(error: zeuge_appraise::DocumentError) -> Self {
        Self::new(error.check(), 400, error.to_string())
    }
}

impl From<zeuge_log::Error> for Refusal {
    fn from(error: zeuge_log::Error) -> Self {
        tracing::error!(check = error.check(), %error, "the log failed");
        Self {
            difference: error.difference(),
            ..Self::new(error.check(), 503, error.to_string())
        }
    }
}
