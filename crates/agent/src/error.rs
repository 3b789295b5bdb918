//! What can go wrong in the agent, with the id of the check and the exit code it ends in.
//!
//! A refusal may be logged: it never carries a secret, a key or evidence bytes.

use std::fmt;

use zeuge_protocol::api::Problem;

/// What kind of trouble it is; decides the exit code (DESIGN §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Usage or local input and output.
    Local,
    /// Bytes that break their format.
    Malformed,
    /// A signature, a binding, a log or a configuration does not hold.
    Untrusted,
    /// Something needed is not there now.
    Unavailable,
    /// It would work, and is not wanted.
    Refused,
}

/// One refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Error {
    /// The id of the check.
    pub(crate) check: String,
    /// The kind of trouble.
    pub(crate) fault: Fault,
    /// A sentence for people.
    pub(crate) because: String,
}

impl Error {
    /// A refusal by a check of this crate.
    pub(crate) fn new(check: &'static str, fault: Fault, because: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            fault,
            because: because.into(),
        }
    }

    /// Local trouble: a file, a folder, the clock.
    pub(crate) fn local(because: impl Into<String>) -> Self {
        Self::new("agent.local", Fault::Local, because)
    }

    /// What a witness answered instead of an answer. It is not signed, so it proves nothing; it
    /// tells people where to look.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let fault = match problem.status {
            400 => Fault::Malformed,
            401 | 403 | 409 => Fault::Untrusted,
            404 | 422 => Fault::Refused,
            _ => Fault::Unavailable,
        };
        let check = problem.check().unwrap_or("session.refused");
        let because = problem.detail.as_ref().unwrap_or(&problem.title);
        Self {
            check: printable(check, 80),
            fault,
            because: format!(
                "the witness answers with a problem (status {}, not signed): {}",
                problem.status,
                printable(because, 500)
            ),
        }
    }

    /// The exit code.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self.fault {
            Fault::Local => 1,
            Fault::Malformed => 2,
            Fault::Untrusted => 3,
            Fault::Unavailable => 4,
            Fault::Refused => 5,
        }
    }
}

/// Text of a stranger for a terminal: no control characters, not endless.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(chars_max)
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.check, self.because)
    }
}

impl From<zeuge_protocol::Error> for Error {
    fn from(refusal: zeuge_protocol::Error) -> Self {
        use zeuge_protocol::Error as Wire;
        let fault = match &refusal {
            Wire::Malformed { .. } | Wire::Misuse { .. } => Fault::Malformed,
            Wire::Differs { check, .. } if *check == "session.timeout" => Fault::Unavailable,
            Wire::Differs { .. } | Wire::Unproven { .. } => Fault::Untrusted,
        };
        let whole = refusal.to_string();
        let because = whole
            .strip_prefix(refusal.check())
            .and_then(|rest| rest.strip_prefix(": "))
            .unwrap_or(&whole);
        Self {
            check: refusal.check().to_owned(),
            fault,
            because: printable(because, 1000),
        }
    }
}

impl From<zeuge_log::Error> for Error {
    fn from(refusal: zeuge_log::Error) -> Self {
        let fault = match &refusal {
            zeuge_log::Error::Tile(_) => Fault::Unavailable,
            _ => Fault::Untrusted,
        };
        Self {
            check: refusal.check().to_owned(),
            fault,
            because: refusal.to_string(),
        }
    }
}

/// The check ids of this module: `agent.local` is trouble with a file, a folder or the clock of
/// this machine.
pub(crate) const CHECKS: &[&str] = &["agent.local"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_check_and_loses_control_characters() {
        let mut problem = Problem::new("policy.measurement", "refused", 403);
        problem.detail = Some("a\u{1b}[31mb".into());
        let error = Error::problem(&problem);
        assert_eq!(
            (error.check.as_str(), error.exit_code()),
            ("policy.measurement", 3)
        );
        assert!(!error.because.contains('\u{1b}'));
    }

    #[test]
    fn refusals_of_the_wire_keep_their_id_once() {
        let wire = zeuge_protocol::Error::Unproven {
            check: "answer.signature",
            because: "no",
        };
        assert_eq!(Error::from(wire).to_string(), "answer.signature: no");
    }
}
