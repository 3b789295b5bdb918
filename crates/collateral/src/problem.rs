//! Why an endorsement is not at hand, or a bundle or an address not taken.
//!
//! Every variant knows the id of its check. What this machine's disk does wrong is no check:
//! [`CacheError`].

use std::{fmt, io, path::PathBuf};

use zeuge_verify::UnixTime;

use crate::mark::Mark;

/// The ids of this room.
pub(crate) const CHECKS: &[&str] = &[
    "collateral.address",
    "collateral.back-off",
    "collateral.budget",
    "collateral.bundle",
    "collateral.list-ended",
    "collateral.not-found",
    "collateral.offline",
    "collateral.response",
    "collateral.rollback",
    "collateral.size",
    "collateral.transport",
];

/// The rule that stood in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// `collateral.address`: a base URL that is not permitted.
    Address {
        /// The address as configured, without what may be a password.
        found: String,
        /// What is permitted.
        wanted: &'static str,
    },
    /// `collateral.back-off`: the service asked for a pause, or does not answer, and it is not over.
    BackOff {
        /// Whose service.
        host: String,
        /// When it may be asked again.
        until: UnixTime,
    },
    /// `collateral.budget`: whoever asks has used up the requests to the makers for this hour.
    Budget {
        /// Who asked, or `all` where the whole witness has used up its own.
        source: String,
        /// When there is room again.
        until: UnixTime,
    },
    /// `collateral.bundle`: a bundle that is not of the form, or not what it says of itself.
    Bundle {
        /// The member, or `bundle`.
        member: String,
        /// What was found.
        found: String,
        /// What was wanted.
        wanted: String,
    },
    /// `collateral.list-ended`: the list at hand is past its end, or does not say when it ends.
    ListEnded {
        /// When it ended; `None` for a list that does not say.
        ended: Option<UnixTime>,
        /// The instant.
        at: UnixTime,
    },
    /// `collateral.not-found`: the service says that it has no such thing.
    NotFound {
        /// Its HTTP status.
        status: u16,
        /// Until when it is not asked again.
        until: UnixTime,
    },
    /// `collateral.offline`: not in the cache, and nobody may be asked.
    Offline,
    /// `collateral.response`: what came is not what was asked for.
    Response {
        /// The id of the check that it fails, where there is one.
        check: &'static str,
        /// What is wrong with it.
        found: String,
    },
    /// `collateral.rollback`: a list older than one that was already seen from the same issuer.
    Rollback {
        /// The list.
        found: Mark,
        /// The latest one seen.
        wanted: Mark,
    },
    /// `collateral.size`: more bytes than such a thing ever has.
    Size {
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// `collateral.transport`: the service cannot be reached, or answers with an error.
    Transport {
        /// What happened.
        found: String,
    },
}

impl Problem {
    /// The id of the check.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Address { .. } => "collateral.address",
            Self::BackOff { .. } => "collateral.back-off",
            Self::Budget { .. } => "collateral.budget",
            Self::Bundle { .. } => "collateral.bundle",
            Self::ListEnded { .. } => "collateral.list-ended",
            Self::NotFound { .. } => "collateral.not-found",
            Self::Offline => "collateral.offline",
            Self::Response { .. } => "collateral.response",
            Self::Rollback { .. } => "collateral.rollback",
            Self::Size { .. } => "collateral.size",
            Self::Transport { .. } => "collateral.transport",
        }
    }

    /// What was found and what was wanted, for people.
    #[must_use]
    pub fn difference(&self) -> (String, String) {
        let pair = |found: &str, wanted: &str| (found.to_owned(), wanted.to_owned());
        match self {
            Self::Address { found, wanted } => pair(found, wanted),
            Self::BackOff { host, until } => pair(
                &format!("a pause of {host} until {until}"),
                "a service that may be asked",
            ),
            Self::Budget { source, until } => pair(
                &format!("no requests left for {source} until {until}"),
                "a request within the budget",
            ),
            Self::Bundle {
                member,
                found,
                wanted,
            } => (format!("{member}: {found}"), wanted.clone()),
            Self::ListEnded { ended, at } => (
                ended.map_or_else(
                    || "a list that does not say when it ends".to_owned(),
                    |ended| format!("a list that ended {ended}"),
                ),
                format!("a list in force at {at}"),
            ),
            Self::NotFound { status, until } => (
                format!("status {status}"),
                format!("the endorsement; asked again after {until}"),
            ),
            Self::Offline => pair("nothing", "the endorsement in the evidence or the cache"),
            Self::Response { check, found } => {
                (found.clone(), format!("an answer that passes {check}"))
            }
            Self::Rollback { found, wanted } => (found.to_string(), format!("{wanted} or later")),
            Self::Size { bytes_max } => (
                format!("more than {bytes_max} bytes"),
                format!("at most {bytes_max} bytes"),
            ),
            Self::Transport { found } => pair(found, "an answer of the service"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response { check, found } => {
                write!(out, "what came is not what was asked for: {check}: {found}")
            }
            other => {
                let (found, wanted) = other.difference();
                write!(out, "found {found}, wanted {wanted}")
            }
        }
    }
}

impl std::error::Error for Problem {}

/// The folder of the cache cannot be used. Local input and output, no check (exit code 1).
#[derive(Debug)]
#[non_exhaustive]
pub enum CacheError {
    /// A file or folder cannot be read or written.
    Disk {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The high-water marks cannot be read. They are never begun anew by themselves: an older
    /// revocation list would count again.
    Marks {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        because: String,
    },
}

impl fmt::Display for CacheError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { path, error } => write!(out, "{}: {error}", path.display()),
            Self::Marks { path, because } => write!(
                out,
                "{}: the high-water marks cannot be read: {because}",
                path.display()
            ),
        }
    }
}

impl std::error::Error for CacheError {}
