//! What can go wrong outside of decisions, with the id of the check.

use std::fmt;

/// The check ids of this module: `kube.api` is trouble with the API server, `kube.local` with a
/// file, an option or the clock of this machine.
pub(crate) const CHECKS: &[&str] = &["kube.api", "kube.local"];

/// Trouble.
#[derive(Debug)]
pub enum Error {
    /// The API server did not do what was asked.
    Api(Box<kube::Error>),
    /// Another process holds the Lease, or it was not renewed in time: nothing was done.
    Lease,
    /// A file, an option or the clock.
    Local(String),
    /// Something that must hold does not; it has been told.
    Refused(&'static str),
}

impl Error {
    /// The check id.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Api(_) => "kube.api",
            Self::Lease => "kube.lease",
            Self::Local(_) => "kube.local",
            Self::Refused(check) => check,
        }
    }

    /// The exit code (DESIGN §5.1).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Api(_) | Self::Lease => 4,
            Self::Local(_) => 1,
            Self::Refused(_) => 5,
        }
    }

    /// Whether the API server answered with this status.
    #[must_use]
    pub fn is(&self, code: u16) -> bool {
        matches!(self, Self::Api(error) if matches!(&**error, kube::Error::Api(it) if it.code == code))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(error) => write!(out, "{}: {error}", self.check()),
            Self::Lease => write!(
                out,
                "{}: the Lease is not held, so nothing is done",
                self.check()
            ),
            Self::Local(because) => write!(out, "{}: {because}", self.check()),
            Self::Refused(check) => write!(out, "{check} does not hold"),
        }
    }
}

impl std::error::Error for Error {}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// A check id as Kubernetes wants reasons: `kube.csr.key` becomes `KubeCsrKey` (DESIGN §4).
#[must_use]
pub fn reason(check: &str) -> String {
    let words = check.split(['.', '-']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            first.to_ascii_uppercase() + rest
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reasons_are_check_ids_in_camel_case() {
        assert_eq!(super::reason("snp.vcek.chip-id"), "SnpVcekChipId");
        assert_eq!(super::reason("kube.csr.key"), "KubeCsrKey");
    }
}
