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
use crate::tell::Place;

/// How many keys are remembered for a name: the current one and one that is being rotated in.
const KEYS_MAX: usize = 2;

/// How many makers, products and adversaries are shown of a machine; there are nine adversaries.
const SHOWN_MAX: usize = 16;

/// A witness that is believed: from a file of the controller, never from the cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The issuer of its tokens.
    pub issuer: String,
    /// Its keys.
    pub jwks: Jwks,
    /// How it is told of waivers, and of machines without new secrets; by default it is not.
    #[serde(default)]
    pub tell: Option<Place>,
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
    let failed = ear.status() == Status::Contraindicated;
    // Of two results of the same second the worse one counts, whichever was read first.
    let worse = failed && status.failed_since.is_none();
    let newer = seconds(status.judged_at.as_ref())
        .is_none_or(|at| at < ear.issued || (at == ear.issued && worse));
    // A device that says nothing is unknown, and unknown changes nothing.
    let known = ear.status() != Status::None;
    if !fits || !newer || !known {
        return false;
    }
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
    status.not_applicable = None;
    show(status, ear);
    status.expires = time(ear.issued.saturating_add(age_secs_max));
    status.failed = checks.into_iter().map(str::to_owned).collect();
    status.judged_at = time(ear.issued);
    let (verdict, failed) = (ear.status().as_str(), status.failed.clone());
    let history = &mut status.history;
    history.judged(ear.issued, verdict, &failed, age_secs_max);
    status.policy_digest = Some(hex::encode(ear.policy_digest));
    status.boot_id = said(BOOT_ID).map(str::to_owned);
    status.receipt.clone_from(&ear.receipt);
    status.witness = Some(ear.issuer.clone());
    true
}

/// What the witness signed about the machine, for people: decides nothing.
fn show(status: &mut AttestedNodeStatus, ear: &Ear) {
    let devices = || ear.submods.values();
    let each = |list: Vec<String>| -> Vec<String> {
        let once: std::collections::BTreeSet<String> = list.into_iter().collect();
        once.into_iter().take(SHOWN_MAX).collect()
    };
    status.makers = each(devices().flat_map(|it| it.makers.clone()).collect());
    status.products = each(devices().filter_map(|it| it.product.clone()).collect());
    status.adversaries.clear();
    for (who, word) in devices().flat_map(|it| &it.adversaries) {
        let known = status.adversaries.get(who);
        let worse = known.is_none_or(|known| badness(word) > badness(known));
        if worse && (known.is_some() || status.adversaries.len() < SHOWN_MAX) {
            status.adversaries.insert(who.clone(), word.clone());
        }
    }
}

/// How bad a word about an adversary is; one that nobody knows is the worst.
fn badness(word: &str) -> usize {
    const WORDS: [&str; 4] = ["protected", "conditional", "unknown", "not_protected"];
    let place = WORDS.iter().position(|it| *it == word);
    place.unwrap_or(WORDS.len())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use zeuge_protocol::ear::jwt;
    use zeuge_protocol::keys::SigningKey;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn facts() -> Facts {
        Facts {
            cluster_uid: "c".into(),
            ..join::tests::facts()
        }
    }

    fn ear(devices: &[(&str, &str)]) -> Ear {
        let device = |(kind, word): &(&str, &str)| {
            let device = serde_json::json!({"ear_status": "affirming", "zeuge_makers": ["AMD"],
                "zeuge_product": "Milan",
                "zeuge_adversaries": {"provider-employee": word, "remote": "protected"}});
            ((*kind).to_owned(), device)
        };
        let devices: BTreeMap<String, serde_json::Value> = devices.iter().map(device).collect();
        let jwk = zeuge_protocol::ear::Jwk::from_bound(&zeuge_protocol::binding::BoundKey::p256(
            &[1; 32], &[2; 32],
        ));
        serde_json::from_value(serde_json::json!({
            "eat_profile": zeuge_protocol::ear::PROFILE, "iss": "https://w1", "aud": "a",
            "iat": NOW, "exp": NOW + 300, "ear_verifier_id": {"developer": "d", "build": "b"},
            "cnf": {"jwk": jwk.unwrap()}, "zeuge_cnf_role": "kubelet-client",
            "zeuge_context": {"cluster-uid": "c", "node-name": "n"}, "zeuge_tenant": "acme",
            "zeuge_policy_digest": "04".repeat(32), "zeuge_knowledge_version": 1,
            "submods": devices
        }))
        .unwrap()
    }

    #[test]
    fn maker_product_and_adversaries_are_those_that_the_witness_signed() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let pinned = [Pinned {
            issuer: "https://w1".into(),
            jwks: Jwks::of(&[key.public()]),
            tell: None,
        }];
        let ear = ear(&[("snp", "conditional"), ("tpm", "not_protected")]);
        let token = jwt::sign(&ear, &key).unwrap();
        let believed = believe(&token, &pinned, "a", NOW).unwrap();
        let mut status = AttestedNodeStatus::default();
        approve(&mut status, key_name(&believed).unwrap());
        status.not_applicable = Some("system:bootstrappers:plain".into());
        assert!(learn(&mut status, &believed, "n", &facts(), 900));
        assert_eq!(status.makers, ["AMD"]);
        assert_eq!(status.products, ["Milan"]);
        // Of two devices the worse word.
        assert_eq!(status.adversaries["provider-employee"], "not_protected");
        assert_eq!(status.adversaries["remote"], "protected");
        assert_eq!(seconds(status.expires.as_ref()), Some(NOW + 900));
        assert_eq!(status.not_applicable, None);
        // One word changed under the same signature.
        let [head, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts");
        };
        let claims = zeuge_protocol::text::from_base64url(payload).unwrap();
        let claims = String::from_utf8(claims).unwrap();
        let better = claims.replace("not_protected", "protected");
        assert_ne!(better, claims);
        let better = zeuge_protocol::text::base64url(better.as_bytes());
        let forged = format!("{head}.{better}.{signature}");
        let refused = believe(&forged, &pinned, "a", NOW).unwrap_err();
        assert_eq!(refused.check(), "token.signature");
    }

    #[test]
    fn of_two_results_of_the_same_second_the_worse_one_counts() {
        let good = ear(&[("snp", "conditional")]);
        let mut bad = good.clone();
        for device in bad.submods.values_mut() {
            device.status = Status::Contraindicated;
            device.failed = vec!["policy.debug".into()];
        }
        for order in [[&good, &bad], [&bad, &good]] {
            let mut status = AttestedNodeStatus::default();
            approve(&mut status, key_name(&good).unwrap());
            for ear in order {
                learn(&mut status, ear, "n", &facts(), 900);
            }
            assert_eq!(status.failed, ["policy.debug"]);
            assert!(matches!(
                believed(&status),
                Believed::Failed { since: NOW, .. }
            ));
            // Read once more, neither changes anything.
            for ear in order {
                assert!(!learn(&mut status, ear, "n", &facts(), 900));
            }
        }
    }

    #[test]
    fn a_word_that_nobody_knows_is_the_worst() {
        let mut status = AttestedNodeStatus::default();
        show(
            &mut status,
            &ear(&[("a", "not_protected"), ("b", "excellent")]),
        );
        assert_eq!(status.adversaries["provider-employee"], "excellent");
        show(&mut status, &ear(&[("a", "protected")]));
        assert_eq!(status.adversaries["provider-employee"], "protected");
    }
}
