//! EAR: the Attestation Result for relying parties (draft-ietf-rats-ear, profile `#03`), with our
//! claims beside it (DESIGN §5.5).
//!
//! A witness signs with Ed25519; a relying party accepts EdDSA and ES256, with the algorithm
//! pinned by the key and never chosen by the token. A token is for relying parties: nothing here
//! turns one back into a right to secrets.

pub mod cwt;
pub mod jwk;
pub mod jwt;
mod vector;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::binding::Role;
use crate::challenge::SKEW_SECS_MAX;
use crate::name::Name;
use crate::text;

pub use jwk::{Jwk, Jwks};
pub use vector::{Status, Vector};

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "token.audience",
    "token.expired",
    "token.issuer",
    "token.malformed",
    "token.profile",
    "token.signature",
    "token.status",
];

/// The profile that is written and accepted.
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#03";
/// The longest life of a token in seconds (DESIGN §5.5).
pub const LIFETIME_SECS_MAX: i64 = 300;
/// The longest token in bytes: two submodules with claims and a receipt are under 16 KiB.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Who verified: `ear_verifier_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierId {
    /// The developer, as a URI.
    pub developer: String,
    /// The build, such as name and version.
    pub build: String,
}

/// The key that the bearer of the token holds (RFC 7800, RFC 8747).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The public key; in a CWT a COSE_Key.
    pub jwk: Jwk,
}

/// The appraisal of one device: one submodule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Appraisal {
    /// The status; never better than the worst entry of the vector.
    #[serde(rename = "ear_status")]
    pub status: Status,
    /// The AR4SI vector.
    #[serde(rename = "ear_trustworthiness_vector", default)]
    pub vector: Vector,
    /// The policies that were applied.
    #[serde(
        rename = "ear_appraisal_policy_ids",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub policy_ids: Vec<String>,
    /// The ids of the checks that failed, so that a relying party can say why.
    #[serde(
        rename = "zeuge_failed",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub failed: Vec<String>,
    /// Who holds the keys that the appraisal rests on, such as `AMD`; each once.
    #[serde(
        rename = "zeuge_makers",
        default,
        skip_serializing_if = "Vec::is_empty"
    )]
    pub makers: Vec<String>,
    /// The product line, where the maker has several.
    #[serde(
        rename = "zeuge_product",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub product: Option<String>,
    /// Against whom the machine protects: the words of `adversaries` in `zeuge.verdict.v1`.
    #[serde(
        rename = "zeuge_adversaries",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub adversaries: BTreeMap<String, String>,
    /// The facts, as in `zeuge.verdict.v1`; in a CWT as JSON text.
    #[serde(
        rename = "zeuge_claims",
        default,
        skip_serializing_if = "serde_json::Value::is_null"
    )]
    pub claims: serde_json::Value,
}

/// The claims set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ear {
    /// Always [`PROFILE`].
    #[serde(rename = "eat_profile")]
    pub profile: String,
    /// The witness's issuer URL.
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The one relying party it is for.
    #[serde(rename = "aud")]
    pub audience: String,
    /// When it was made, in Unix seconds.
    #[serde(rename = "iat")]
    pub issued: i64,
    /// The first instant at which it no longer counts; at most 300 s later.
    #[serde(rename = "exp")]
    pub expires: i64,
    /// The nonce of the challenge, base64url.
    #[serde(rename = "eat_nonce", default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Who verified.
    #[serde(rename = "ear_verifier_id")]
    pub verifier_id: VerifierId,
    /// The key that the bearer holds.
    #[serde(rename = "cnf", default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Confirmation>,
    /// What the confirmed key is for, as it was bound into the evidence; a key shown for one role
    /// must not be taken for another.
    #[serde(
        rename = "zeuge_cnf_role",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub confirmation_role: Option<Role>,
    /// The context of the request that the evidence answered, such as `cluster-uid` and
    /// `node-name`: said by the machine and bound into its evidence, judged by nobody.
    #[serde(
        rename = "zeuge_context",
        default,
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub context: BTreeMap<String, String>,
    /// The tenant whose policy was applied.
    #[serde(rename = "zeuge_tenant")]
    pub tenant: Name,
    /// SHA-256 of the policy, hexadecimal.
    #[serde(rename = "zeuge_policy_digest", with = "text::hex_array")]
    pub policy_digest: [u8; 32],
    /// The version of the threat knowledge; 0 where there is none.
    #[serde(rename = "zeuge_knowledge_version")]
    pub knowledge_version: u64,
    /// The log's receipt, in the text form of `zeuge-log`.
    #[serde(
        rename = "zeuge_receipt",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub receipt: Option<String>,
    /// One appraisal per device, by the bundle's label.
    pub submods: BTreeMap<String, Appraisal>,
}

impl Ear {
    /// The unsigned claims set in JSON, as `zeuge verify --format ear` prints it.
    #[must_use]
    pub fn claims(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The worst status of all devices; [`Status::None`] when there is no device.
    #[must_use]
    pub fn status(&self) -> Status {
        self.submods
            .values()
            .map(|appraisal| appraisal.status)
            .max()
            .unwrap_or(Status::None)
    }

    /// A relying party's demand: every device affirming, or at worst warning.
    ///
    /// # Errors
    /// `token.status` when a device is worse, says nothing, or there is none.
    pub fn demands(&self, worst: Status) -> Result<(), Error> {
        let accepted = |status: Status| status != Status::None && status <= worst;
        if !self.submods.is_empty() && self.submods.values().all(|device| accepted(device.status)) {
            return Ok(());
        }
        let found = self
            .submods
            .iter()
            .map(|(label, device)| format!("{label} {}", device.status.as_str()));
        Err(Error::differs(
            "token.status",
            found.collect::<Vec<_>>().join(", "),
            format!(
                "at least one device, and none worse than {}",
                worst.as_str()
            ),
        ))
    }

    /// What a witness must keep before it signs.
    fn fit_to_sign(&self) -> Result<(), Error> {
        let life = self.expires.saturating_sub(self.issued);
        if self.profile != PROFILE || !(1..=LIFETIME_SECS_MAX).contains(&life) {
            return Err(Error::Misuse {
                check: "token.malformed",
                because: "the profile is not ours or the life is not 1 to 300 seconds",
            });
        }
        self.consistent()
    }

    fn consistent(&self) -> Result<(), Error> {
        if self.submods.is_empty() {
            return Err(Error::differs("token.status", "no device", "a device"));
        }
        for (label, device) in &self.submods {
            let worst = device.vector.worst();
            if device.status < worst {
                return Err(Error::differs(
                    "token.status",
                    format!("{label} {}", device.status.as_str()),
                    format!("not better than {}", worst.as_str()),
                ));
            }
        }
        Ok(())
    }

    /// Profile, issuer, audience, time and status of claims whose signature has held.
    fn holds(&self, issuer: &str, audience: &str, now: i64) -> Result<(), Error> {
        if self.profile != PROFILE {
            return Err(Error::differs("token.profile", &self.profile, PROFILE));
        }
        if self.issuer != issuer {
            return Err(Error::differs("token.issuer", &self.issuer, issuer));
        }
        if self.audience != audience {
            return Err(Error::differs("token.audience", &self.audience, audience));
        }
        let life = self.expires.saturating_sub(self.issued);
        if now >= self.expires
            || now < self.issued.saturating_sub(SKEW_SECS_MAX)
            || life > LIFETIME_SECS_MAX
        {
            return Err(Error::differs(
                "token.expired",
                format!("{now} (now), a life of {life} s"),
                format!(
                    "from {} to before {}, a life of at most 300 s",
                    self.issued, self.expires
                ),
            ));
        }
        self.consistent()
    }
}

/// A relying party's door: believes a token, JWT or base64url CWT, that `issuer` made for
/// `audience` and signed with one of `keys`. Look at [`Ear::demands`] next.
///
/// # Errors
/// In this order: `token.malformed` for something that is no token; `token.signature` when no key
/// of the set signed it with the key's own algorithm; `token.profile`, `token.issuer`,
/// `token.audience`, `token.expired`; `token.status` when a status is better than its vector.
pub fn verify_ear(
    token: &str,
    keys: &Jwks,
    issuer: &str,
    audience: &str,
    now: i64,
) -> Result<Ear, Error> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(malformed("it is longer than 64 KiB"));
    }
    let ear = if token.contains('.') {
        jwt::open(token, keys)?
    } else {
        let bytes = text::from_base64url(token)
            .ok_or_else(|| malformed("it is neither a JWT nor base64url"))?;
        cwt::open(&bytes, keys)?
    };
    ear.holds(issuer, audience, now)?;
    Ok(ear)
}

const fn malformed(because: &'static str) -> Error {
    Error::malformed("token.malformed", 0, because)
}

const fn unsigned(because: &'static str) -> Error {
    Error::Unproven {
        check: "token.signature",
        because,
    }
}

#[cfg(test)]
mod tests;
