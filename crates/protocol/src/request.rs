//! What an agent asks for, in the one form whose digest stands in the binding (DESIGN §5.3).
//!
//! JSON on the wire, deterministic CBOR under the digest: so a witness that answers another
//! question than the one bound into the evidence is found out. Never decides what is granted.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::cbor::Value;
use crate::name::Path;
use crate::suite::Suite;

/// The check ids of this module.
pub const CHECKS: &[&str] = &["request.malformed"];

/// How many secrets one request may name: a machine that boots needs a handful.
pub const SECRETS_MAX: usize = 64;
/// How many suites one request may name: there are four.
pub const SUITES_MAX: usize = 8;
/// The context key under which an agent says how it was started, where that weakens what it shows.
pub const PLACEMENT: &str = "placement";
/// [`PLACEMENT`] of an agent in a pod of a Kubernetes DaemonSet.
pub const DAEMONSET: &str = "daemonset";
/// How many context entries one request may have: cluster, node and a few of the caller's own.
pub const CONTEXT_ENTRIES_MAX: usize = 16;
/// The longest context key, context value or audience in bytes: a URL or a certificate subject.
pub const TEXT_BYTES_MAX: usize = 512;

/// What the answer will be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// An Attestation Result, and nothing else.
    Appraisal,
    /// An Attestation Result and secrets.
    Release,
    /// Enrolment of a TPM.
    Enrolment,
}

impl Purpose {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appraisal => "appraisal",
            Self::Release => "release",
            Self::Enrolment => "enrolment",
        }
    }
}

/// A secret that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The path inside the tenant.
    pub path: Path,
    /// The version; 0 asks for the newest.
    #[serde(default)]
    pub version: u64,
}

/// The canonical request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What the answer will be used for.
    pub purpose: Purpose,
    /// The secrets wanted, sorted, each path once; empty unless the purpose is release.
    #[serde(default)]
    pub secrets: BTreeSet<Wanted>,
    /// The HPKE suites that the agent accepts, sorted.
    #[serde(default)]
    pub suites: BTreeSet<Suite>,
    /// For whom the Attestation Result is meant; empty when none is wanted.
    #[serde(default)]
    pub audience: String,
    /// What else the answer depends on, such as `cluster-uid` and `node-name`.
    #[serde(default)]
    pub context: BTreeMap<String, String>,
}

impl Request {
    /// A request for an Attestation Result for `audience`.
    #[must_use]
    pub fn appraisal(audience: &str) -> Self {
        Self {
            purpose: Purpose::Appraisal,
            secrets: BTreeSet::new(),
            suites: BTreeSet::new(),
            audience: audience.to_owned(),
            context: BTreeMap::new(),
        }
    }

    /// A request for secrets, sealed with one of `suites`.
    #[must_use]
    pub fn release(
        secrets: impl IntoIterator<Item = Wanted>,
        suites: impl IntoIterator<Item = Suite>,
    ) -> Self {
        Self {
            purpose: Purpose::Release,
            secrets: secrets.into_iter().collect(),
            suites: suites.into_iter().collect(),
            audience: String::new(),
            context: BTreeMap::new(),
        }
    }

    /// Whether the request keeps its limits and says one thing.
    ///
    /// # Errors
    /// `request.malformed` when a limit of this module is exceeded, a path stands twice, an
    /// appraisal names secrets, or a release names none or no suite.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |because| Err(Error::malformed("request.malformed", 0, because));
        let paths: BTreeSet<_> = self.secrets.iter().map(|wanted| &wanted.path).collect();
        let texts = self.context.iter().flat_map(|(key, value)| [key, value]);
        if self.secrets.len() > SECRETS_MAX || self.suites.len() > SUITES_MAX {
            return refuse("it names too many secrets or suites");
        }
        if self.context.len() > CONTEXT_ENTRIES_MAX {
            return refuse("it has too many context entries");
        }
        if texts
            .chain([&self.audience])
            .any(|text| text.len() > TEXT_BYTES_MAX)
        {
            return refuse("a context entry or the audience is longer than 512 bytes");
        }
        if self
            .secrets
            .iter()
            .any(|wanted| i64::try_from(wanted.version).is_err())
        {
            return refuse("a version is wider than 63 bits");
        }
        if paths.len() != self.secrets.len() {
            return refuse("a path stands twice");
        }
        match self.purpose {
            Purpose::Release if self.secrets.is_empty() => refuse("a release names no secret"),
            Purpose::Release if self.suites.is_empty() => refuse("a release names no suite"),
            Purpose::Appraisal | Purpose::Enrolment if !self.secrets.is_empty() => {
                refuse("only a release may name secrets")
            }
            _ => Ok(()),
        }
    }

    /// The deterministic encoding: `{1: purpose, 2: [[path, version]], 3: [[kem, kdf, aead]],
    /// 4: audience, 5: {context}}`.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let secrets = self.secrets.iter().map(|wanted| {
            Value::Array(vec![
                Value::text(wanted.path.as_str()),
                Value::count(wanted.version),
            ])
        });
        let suites = self.suites.iter().map(|suite| {
            Value::Array(
                <[u16; 3]>::from(*suite)
                    .iter()
                    .map(|number| Value::Integer(i64::from(*number)))
                    .collect(),
            )
        });
        let context = self
            .context
            .iter()
            .map(|(key, value)| (key.as_str(), Value::text(value)));
        Value::map([
            (1, Value::text(self.purpose.as_str())),
            (2, Value::Array(secrets.collect())),
            (3, Value::Array(suites.collect())),
            (4, Value::text(&self.audience)),
            (5, Value::map(context)),
        ])
        .encode()
    }

    /// SHA-256 of the deterministic encoding.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str, version: u64) -> Wanted {
        Wanted {
            path: Path::parse(path).unwrap(),
            version,
        }
    }

    #[test]
    fn the_order_of_writing_does_not_change_the_digest() {
        let one = Request::release(
            [wanted("a", 1), wanted("b", 0)],
            [Suite::X_WING, Suite::X25519],
        );
        let other = Request::release(
            [wanted("b", 0), wanted("a", 1)],
            [Suite::X25519, Suite::X_WING],
        );
        assert_eq!(one.digest(), other.digest());
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), one);
    }

    #[test]
    fn every_field_changes_the_digest() {
        let base = Request::release([wanted("a", 1)], [Suite::X_WING]);
        let mut seen = BTreeSet::from([base.digest()]);
        let mut differ = |change: &dyn Fn(&mut Request)| {
            let mut request = base.clone();
            change(&mut request);
            assert!(seen.insert(request.digest()), "{request:?}");
        };
        differ(&|request| request.purpose = Purpose::Appraisal);
        differ(&|request| request.secrets = BTreeSet::from([wanted("a", 2)]));
        differ(&|request| request.secrets = BTreeSet::from([wanted("b", 1)]));
        differ(&|request| request.suites = BTreeSet::from([Suite::X25519]));
        differ(&|request| request.audience = "x".into());
        differ(&|request| drop(request.context.insert("node".into(), "n".into())));
    }

    #[test]
    fn one_path_in_two_versions_is_refused() {
        let request = Request::release([wanted("a", 1), wanted("a", 2)], [Suite::X_WING]);
        assert_eq!(
            request.check(),
            Err(Error::malformed(
                "request.malformed",
                0,
                "a path stands twice"
            ))
        );
    }

    #[test]
    fn an_appraisal_names_no_secrets_and_a_release_names_some() {
        let mut request = Request::appraisal("me");
        assert_eq!(request.check(), Ok(()));
        request.secrets.insert(wanted("a", 0));
        assert_eq!(
            request.check(),
            Err(Error::malformed(
                "request.malformed",
                0,
                "only a release may name secrets"
            ))
        );
        assert_eq!(
            Request::release([], [Suite::X_WING]).check(),
            Err(Error::malformed(
                "request.malformed",
                0,
                "a release names no secret"
            ))
        );
    }
}
