//! The bodies of the witness's HTTP API (DESIGN §5.5) and `zeuge.verdict.v1` (DESIGN §5.1).
//!
//! Shapes only. Never decides, never fetches; the doors fill and read these. Unknown fields are
//! refused in requests and ignored in answers, so that a newer witness can say more.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::Error;
use crate::document::Document;
use crate::name::Name;
use crate::request::Request;
use crate::seal::SealedSecret;
use crate::text;

/// The longest body of a request in bytes: a bundle in base64 inside JSON, and room.
pub const BODY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// What precedes the check id in a problem's `type`.
pub const PROBLEM_TYPE: &str = "tag:zeuge.invalid,2026:check/";

/// `POST /v1/challenges`, the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// The tenant for which evidence will be shown.
    pub tenant: Name,
}

/// `POST /v1/challenges`, the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeAnswer {
    /// The witness's id, as it must stand in the binding.
    pub witness: Name,
    /// The tenant, as it must stand in the binding.
    pub tenant: Name,
    /// The nonce, as it must stand in the binding.
    #[serde(with = "text::b64_array")]
    pub nonce: [u8; 32],
    /// The opaque challenge, to be sent back unchanged.
    pub challenge: String,
    /// The first instant at which it no longer counts, in Unix seconds by the witness's clock.
    pub expires: i64,
}

/// `POST /v1/appraisals` and `POST /v1/releases`, the request. Which of the two it is stands in
/// [`Request::purpose`] and must fit the path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestRequest {
    /// The tenant for which the challenge was asked.
    pub tenant: Name,
    /// The opaque challenge as it was answered.
    pub challenge: String,
    /// The binding's deterministic encoding ([`crate::binding::Binding::encode`]); the keys are
    /// in it.
    #[serde(with = "text::b64")]
    pub binding: Vec<u8>,
    /// What is asked for; its digest stands in the binding.
    pub request: Request,
    /// The bundle in either encoding ([`crate::bundle::Bundle`]).
    #[serde(with = "text::b64")]
    pub bundle: Vec<u8>,
}

/// `PUT /v1/secrets`, the request: what [`crate::manifest::encrypt_secret`] made, with the
/// manifest signed by the owners. The share is secret: it goes to its witness over TLS only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretUpload {
    /// The owners' manifest.
    pub manifest: Document,
    /// The encrypted payload.
    #[serde(with = "text::b64")]
    pub payload: Vec<u8>,
    /// The witness's share ([`crate::manifest::Share::encode`]).
    #[serde(with = "text::b64")]
    pub share: Vec<u8>,
}

impl fmt::Debug for SecretUpload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = &self.manifest.header;
        write!(
            out,
            "SecretUpload({}/{} version {})",
            header.tenant, header.name, header.version
        )
    }
}

impl Drop for SecretUpload {
    fn drop(&mut self) {
        self.share.zeroize();
    }
}

/// The payload of the answer to [`AttestRequest`]; it travels inside
/// [`crate::answer::SignedAnswer`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttestAnswer {
    /// The verdict.
    pub verdict: Verdict,
    /// The Attestation Result: a JWT, or a CWT in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The receipt of the log, in the text form of `zeuge-log`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The secrets that were released.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SealedSecret>,
    /// What was wanted and not released, and by which check.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
}

/// A secret that was wanted and not released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The path as it was asked for.
    pub path: String,
    /// The id of the check that refused.
    pub check: String,
    /// Why, in a sentence.
    pub because: String,
}

/// A problem (RFC 9457), media type `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`PROBLEM_TYPE`] and the check id.
    #[serde(rename = "type")]
    pub kind: String,
    /// The rule in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What was found, where the rule compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What was wanted, where the rule compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
}

impl Problem {
    /// A problem of a check id.
    #[must_use]
    pub fn new(check: &str, title: &str, status: u16) -> Self {
        Self {
            kind: format!("{PROBLEM_TYPE}{check}"),
            title: title.to_owned(),
            status,
            detail: None,
            found: None,
            wanted: None,
        }
    }

    /// The problem of a refusal of the wire: 400 for bytes out of shape, 503 and 500 for
    /// the witness's own delays and faults, 403 for the rest.
    #[must_use]
    pub fn of(refusal: &Error) -> Self {
        let (title, status) = match refusal {
            _ if refusal.check() == "session.timeout" => ("unavailable", 503),
            // A fault of the witness, noticed before anything left it.
            _ if refusal.check() == "session.release" => ("refused", 500),
            Error::Malformed { .. } | Error::Misuse { .. } => ("malformed", 400),
            Error::Differs { .. } | Error::Unproven { .. } => ("untrusted", 403),
        };
        let difference = refusal.difference();
        Self {
            detail: Some(refusal.to_string()),
            found: difference.as_ref().map(|(found, _)| found.clone()),
            wanted: difference.map(|(_, wanted)| wanted),
            ..Self::new(refusal.check(), title, status)
        }
    }

    /// The check id at the end of `type`; `None` for a problem of another maker.
    #[must_use]
    pub fn check(&self) -> Option<&str> {
        self.kind.strip_prefix(PROBLEM_TYPE)
    }
}

/// The word of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictWord {
    /// Verified and as wanted.
    Affirming,
    /// Verified and wanted with warnings.
    Warning,
    /// Verified and not as wanted.
    Contraindicated,
    /// The bytes break their format.
    Malformed,
    /// Chain, signature, freshness or binding does not hold.
    Untrusted,
    /// An endorsement is missing that verification cannot go on without.
    Unavailable,
}

impl VerdictWord {
    /// The exit code of one verdict (DESIGN §5.1).
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Affirming => 0,
            Self::Malformed => 2,
            Self::Untrusted => 3,
            Self::Unavailable => 4,
            Self::Contraindicated => 5,
            Self::Warning => 10,
        }
    }

    /// The worst exit code of several files: 1 > 2 > 3 > 4 > 5 > 10 > 0.
    #[must_use]
    pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
        codes
            .into_iter()
            .reduce(|one, other| match (one, other) {
                (0, code) | (code, 0) => code,
                _ => one.min(other),
            })
            .unwrap_or_default()
    }
}

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// It held.
    Pass,
    /// It did not hold.
    Fail,
    /// It held with a warning.
    Warn,
    /// Somebody wrote that it is not to be checked, and why.
    Unchecked,
}

/// One check of a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The check id.
    pub id: String,
    /// How it went.
    pub status: CheckStatus,
    /// Why, where it did not simply pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// A root that somebody has to trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The maker, such as `AMD`.
    pub maker: String,
    /// Whose law binds the maker, such as `US`.
    pub jurisdiction: String,
    /// What the root speaks for, such as `cpu`.
    pub kind: String,
    /// `sha256:` and hexadecimal.
    pub fingerprint: String,
    /// What its holder can forge.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub forges: String,
    /// Who can issue below it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub below: String,
}

/// What the evidence says about one known attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threat {
    /// The threat's id in the knowledge base.
    pub id: String,
    /// Who can do it.
    pub adversary: String,
    /// One of `PROVEN EXPOSED UNPROVABLE INVISIBLE NO_THRESHOLD FORGEABLE NOT_APPLICABLE`.
    pub state: String,
    /// Why.
    pub because: String,
    /// How sure the knowledge is of what decided: `primary secondary memory`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub confidence: String,
    /// Keys of its sources in the knowledge base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
}

/// Whether the machine protects from one kind of adversary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adversary {
    /// One of the nine of DESIGN §5.1, such as `provider-employee`.
    pub who: String,
    /// One of `protected conditional not_protected unknown`.
    pub verdict: String,
    /// Why, the worst first.
    pub because: Vec<String>,
    /// What would improve it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub improve: Vec<String>,
}

/// Which threat knowledge a verdict was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knowledge {
    /// Counts up with every issue.
    pub version: u64,
    /// `sha256:` and hexadecimal, of its text.
    pub digest: String,
}

/// `zeuge.verdict.v1`, one object per bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Always [`Verdict::SCHEMA`].
    pub schema: String,
    /// The file that was judged; absent over the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The word.
    pub verdict: VerdictWord,
    /// The kind of evidence, such as `snp`; absent when it was not recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The product, such as `Milan`; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The instant for which it was judged, RFC 3339.
    pub at: String,
    /// The checks in the order in which they ran.
    pub checks: Vec<Check>,
    /// The ids of those that failed.
    pub failed: Vec<String>,
    /// The facts by platform.
    pub claims: serde_json::Value,
    /// Who has to be trusted.
    pub roots: Vec<Root>,
    /// The known attacks.
    pub threats: Vec<Threat>,
    /// Against whom it protects.
    pub adversaries: Vec<Adversary>,
    /// What no evidence here could show.
    pub not_proved: Vec<String>,
    /// The knowledge behind threats and adversaries; absent where nobody assessed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knowledge: Option<Knowledge>,
    /// Where `threats` and `adversaries` were left out because the asker preferred that: `sha256:` and
    /// hexadecimal, of both lists with their keys as the whole verdict has them. Its tenant's people
    /// read the whole one at the witness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assessment: Option<String>,
}

impl Verdict {
    /// The value of `schema`.
    pub const SCHEMA: &'static str = "zeuge.verdict.v1";

    /// A verdict with nothing in its lists.
    #[must_use]
    pub fn new(verdict: VerdictWord, at: &str) -> Self {
        Self {
            schema: Self::SCHEMA.to_owned(),
            file: None,
            verdict,
            kind: None,
            product: None,
            at: at.to_owned(),
            checks: Vec::new(),
            failed: Vec::new(),
            claims: serde_json::Value::Object(serde_json::Map::new()),
            roots: Vec::new(),
            threats: Vec::new(),
            adversaries: Vec::new(),
            not_proved: Vec::new(),
            knowledge: None,
            assessment: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_problem_ends_in_the_check_id() {
        let refusal = Error::differs("binding.request", "aa", "bb");
        let problem = Problem::of(&refusal);
        assert!(problem.kind.ends_with("/binding.request"));
        assert_eq!(problem.check(), Some("binding.request"));
        assert_eq!(problem.status, 403);
        assert_eq!(
            (problem.found.as_deref(), problem.wanted.as_deref()),
            (Some("aa"), Some("bb"))
        );
        let problem = Problem::of(&Error::malformed("bundle.malformed", 3, "no"));
        assert_eq!(problem.status, 400);
    }

    #[test]
    fn the_worst_exit_code_is_the_design_s() {
        assert_eq!(VerdictWord::worst([0, 10, 5]), 5);
        assert_eq!(VerdictWord::worst([10, 0]), 10);
        assert_eq!(VerdictWord::worst([5, 4, 3, 2, 1, 0, 10]), 1);
        assert_eq!(VerdictWord::worst([]), 0);
    }

    #[test]
    fn a_verdict_has_the_keys_of_the_schema_in_their_order() {
        let verdict = Verdict {
            file: Some("report.bin".into()),
            kind: Some("snp".into()),
            product: Some("Milan".into()),
            ..Verdict::new(VerdictWord::Affirming, "2026-11-24T00:00:00Z")
        };
        assert_eq!(
            serde_json::to_string(&verdict).unwrap(),
            concat!(
                r#"{"schema":"zeuge.verdict.v1","file":"report.bin","verdict":"affirming","#,
                r#""kind":"snp","product":"Milan","at":"2026-11-24T00:00:00Z","checks":[],"#,
                r#""failed":[],"claims":{},"roots":[],"threats":[],"adversaries":[],"#,
                r#""not_proved":[]}"#
            )
        );
    }

    #[test]
    fn an_unknown_field_in_a_request_is_refused() {
        let read = serde_json::from_str::<ChallengeRequest>(r#"{"tenant":"acme","more":1}"#);
        assert!(read.is_err());
    }
}
