//! From tokens to what is remembered about a machine.
//!
//! A token counts when a pinned witness signed it for us, it is in time, it speaks of this cluster
//! and node, and it names a key that was approved for that name. Older ones change nothing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeuge_protocol::binding::Role;
use zeuge_protocol::ear::{Ear, Jwks, Status, verify_ear};

use crate::api::AttestedNodeStatus;
use crate::join::{self, BOOT_ID, CLUSTER_UID, Facts, NODE_NAME};
use crate::model::Believed;

/// How many keys are remembered for a name: the current one and one that is being rotated in.
const KEYS_MAX: usize = 2;

/// A witness that is believed: from a file of the controller, never from the cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The issuer of its tokens.
    pub issuer: String,
    /// Its keys.
    pub jwks: Jwks,
}

/// The claims of a token that one of the witnesses signed for `audience`.
///
/// # Errors
/// The refusal of the last witness that was tried.
pub fn believe(
    token: &str,
    witnesses: &[Pinned],
    audience: &str,
    now: i64,
) -> Result<Ear, zeuge_protocol::Error> {
    let mut last = zeuge_protocol::Error::Unproven {
        check: "token.signature",
        because: "no witness is pinned",
    };
    for witness in witnesses {
        match verify_ear(token, &witness.jwks, &witness.issuer, audience, now) {
            Ok(ear) => return Ok(ear),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The name of the key that a result confirms.
#[must_use]
pub fn key_name(ear: &Ear) -> Option<String> {
    let jwk = &ear.confirmation.as_ref()?.jwk;
    let text = format!("{} {} {:?}", jwk.crv, jwk.x, jwk.y);
    Some(hex::encode(Sha256::digest(text)))
}

/// Remembers a key that was approved for the name.
pub fn approve(status: &mut AttestedNodeStatus, key: String) {
    status.keys.retain(|known| *known != key);
    status.keys.push(key);
    let surplus = status.keys.len().saturating_sub(KEYS_MAX);
    status.keys.drain(..surplus);
}

/// Takes a result into the memory of `node`; whether it changed anything. `age_secs_max` is how
/// far two verdicts may be apart without a gap.
pub fn learn(
    status: &mut AttestedNodeStatus,
    ear: &Ear,
    node: &str,
    facts: &Facts,
    age_secs_max: i64,
) -> bool {
    let said = |key: &str| ear.context.get(key).map(String::as_str);
    let fits = ear.confirmation_role == Some(Role::KubeletClient)
        && said(CLUSTER_UID) == Some(facts.cluster_uid.as_str())
        && said(NODE_NAME) == Some(node)
        && join::judged(ear, facts).is_ok()
        && key_name(ear).is_some_and(|key| status.keys.contains(&key));
    let newer = seconds(status.judged_at.as_ref()).is_none_or(|at| at < ear.issued);
    // A device that says nothing is unknown, and unknown changes nothing.
    let known = ear.status() != Status::None;
    if !fits || !newer || !known {
        return false;
    }
    let failed = ear.status() == Status::Contraindicated;
    let checks = join::failed(ear);
    if failed {
        let cause = format!(
            "policy {} knowledge {} checks {}",
            hex::encode(ear.policy_digest),
            ear.knowledge_version,
            checks.join(" ")
        );
        // The first failure decides since when; a repaired and broken machine begins anew.
        if status.failed_since.is_none() {
            status.failed_since = time(ear.issued);
        }
        status.cause = Some(cause);
    } else {
        (status.failed_since, status.cause) = (None, None);
    }
    status.verdict = Some(ear.status().as_str().to_owned());
    status.evidence = ear.submods.keys().cloned().collect();
    status.failed = checks.into_iter().map(str::to_owned).collect();
    status.judged_at = time(ear.issued);
    let (verdict, failed) = (ear.status().as_str(), status.failed.clone());
    let history = &mut status.history;
    history.judged(ear.issued, verdict, &failed, age_secs_max);
    status.policy_digest = Some(hex::encode(ear.policy_digest));
    status.boot_id = said(BOOT_ID).map(str::to_owned);
    status.receipt.clone_from(&ear.receipt);
    true
}

/// The memory as the plan wants it.
#[must_use]
pub fn believed(status: &AttestedNodeStatus) -> Believed {
    match (
        seconds(status.failed_since.as_ref()),
        seconds(status.judged_at.as_ref()),
    ) {
        (Some(since), _) => Believed::Failed {
            since,
            cause: status.cause.clone().unwrap_or_default(),
        },
        (None, Some(at)) => Believed::Good { at },
        (None, None) => Believed::Nothing,
    }
}

/// An instant of Kubernetes in Unix seconds.
#[must_use]
pub fn seconds(time: Option<&Time>) -> Option<i64> {
    time.map(|time| time.0.as_second())
}

/// Unix seconds as an instant of Kubernetes; `None` outside of what it can write.
#[must_use]
pub fn time(seconds: i64) -> Option<Time> {
    jiff::Timestamp::from_second(seconds).ok().map(Time)
}
