//! Break-glass: an owner's signed word that named nodes of one cluster count as good for at most
//! four hours although named checks fail (`zeuge.waiver.v1`).
//!
//! JSON of at most [`WAIVER_BYTES_MAX`] bytes: the payload as it was signed, and Ed25519 signatures
//! of owners over a label and it. The cluster's controller believes one within its time
//! ([`believe`]); a witness writes it down whenever it comes ([`read`]) and acts on none.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::challenge::SKEW_SECS_MAX;
use crate::document::OwnerSet;
use crate::keys::{KeyId, SigningKey};
use crate::text::{base64url, from_base64url};

/// The longest life of a waiver in seconds.
pub const WAIVER_SECS_MAX: i64 = 4 * 3600;
/// The longest waiver in bytes: a hundred nodes and the signatures of a board.
pub const WAIVER_BYTES_MAX: usize = 16 * 1024;
const SCHEMA: &str = "zeuge.waiver.v1";
/// What is signed begins so.
const LABEL: &[u8] = b"zeuge-waiver-v1\0";

/// What is waived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Always `zeuge.waiver.v1`.
    pub schema: String,
    /// The UID of the cluster.
    pub cluster_uid: String,
    /// The nodes.
    pub nodes: Vec<String>,
    /// The ids of the checks that may fail; `kube.node.stale` and `kube.node.rebooted` among them
    /// waive silence.
    pub checks: Vec<String>,
    /// Why.
    pub because: String,
    /// From when, in Unix seconds.
    pub from: i64,
    /// The first instant at which it no longer counts; at most four hours later.
    pub until: i64,
}

/// A waiver as it travels: the bytes that were signed, and by whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    key: KeyId,
    signature: String,
}

/// A waiver that was believed, and who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// What is waived.
    pub waiver: Waiver,
    /// The people who signed.
    pub people: Vec<String>,
    /// The key of the first signer, the author.
    pub author: KeyId,
    /// SHA-256 of what was signed: label and payload.
    pub digest: [u8; 32],
}

impl Waiver {
    /// A waiver for this cluster.
    #[must_use]
    pub fn new(cluster_uid: String, nodes: Vec<String>, checks: Vec<String>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            cluster_uid,
            nodes,
            checks,
            because: String::new(),
            from: 0,
            until: 0,
        }
    }

    /// Until when the node's failures count as waived; `None` when one of them is not.
    #[must_use]
    pub fn covers(&self, node: &str, failed: &[String]) -> Option<i64> {
        let named = self.nodes.iter().any(|it| it == node);
        let all = !failed.is_empty() && failed.iter().all(|it| self.checks.contains(it));
        (named && all).then_some(self.until)
    }
}

/// The waiver's text, signed.
#[must_use]
pub fn sign(waiver: &Waiver, keys: &[&SigningKey]) -> String {
    let payload = serde_json::to_vec(waiver).unwrap_or_default();
    let message = [LABEL, &payload].concat();
    let signatures = keys.iter().map(|key| Signature {
        key: key.public().id(),
        signature: base64url(&key.sign(&message)),
    });
    let envelope = Envelope {
        payload: base64url(&payload),
        signatures: signatures.collect(),
    };
    serde_json::to_string(&envelope).unwrap_or_default()
}

/// Believes a waiver for this cluster at this instant, or says why not.
///
/// # Errors
/// A sentence: those of [`read`], another cluster, not yet, not any more.
pub fn believe(
    text: &str,
    owners: &OwnerSet,
    cluster_uid: &str,
    now: i64,
) -> Result<Believed, String> {
    let believed = read(text, owners)?;
    let waiver = &believed.waiver;
    if waiver.cluster_uid != cluster_uid {
        return Err(format!("it is for the cluster {}", waiver.cluster_uid));
    }
    if now.saturating_add(SKEW_SECS_MAX) < waiver.from || waiver.until <= now {
        return Err("it counts not yet, or not any more".to_owned());
    }
    Ok(believed)
}

/// Reads a waiver that enough owners signed, whenever and wherever it counts.
///
/// # Errors
/// A sentence: too long, unreadable, signatures that do not hold or are too few, no nodes, checks
/// or reason, a life of more than [`WAIVER_SECS_MAX`].
pub fn read(text: &str, owners: &OwnerSet) -> Result<Believed, String> {
    if text.len() > WAIVER_BYTES_MAX {
        return Err(format!("it is longer than {WAIVER_BYTES_MAX} bytes"));
    }
    let envelope: Envelope =
        serde_json::from_str(text).map_err(|error| format!("it cannot be read: {error}"))?;
    let payload = from_base64url(&envelope.payload).ok_or("its payload is not base64url")?;
    let (people, author) = signers(&envelope, &payload, owners)?;
    let waiver: Waiver = serde_json::from_slice(&payload)
        .map_err(|error| format!("its payload cannot be read: {error}"))?;
    let life = waiver.until.saturating_sub(waiver.from);
    if waiver.schema != SCHEMA {
        return Err(format!("its schema is not {SCHEMA}"));
    }
    if waiver.nodes.is_empty() || waiver.checks.is_empty() || waiver.because.trim().is_empty() {
        return Err("it needs nodes, checks and a reason".to_owned());
    }
    if !(1..=WAIVER_SECS_MAX).contains(&life) {
        return Err(format!(
            "it lives for {life} s, at most {WAIVER_SECS_MAX} are allowed"
        ));
    }
    Ok(Believed {
        waiver,
        people,
        author,
        digest: Sha256::digest([LABEL, &payload].concat()).into(),
    })
}

/// What a waiver says; nothing is believed by it.
#[must_use]
pub fn said(text: &str) -> Option<Waiver> {
    let envelope: Envelope = serde_json::from_str(text).ok()?;
    serde_json::from_slice(&from_base64url(&envelope.payload)?).ok()
}

/// Until when a waiver says that it counts; nothing is believed by it.
#[must_use]
pub fn until(text: &str) -> Option<i64> {
    Some(said(text)?.until)
}

/// Who signed, if they are enough, and the first of their keys.
fn signers(
    envelope: &Envelope,
    payload: &[u8],
    owners: &OwnerSet,
) -> Result<(Vec<String>, KeyId), String> {
    owners.check().map_err(|error| error.to_string())?;
    let message = [LABEL, payload].concat();
    let (mut keys, mut people) = (Vec::new(), Vec::new());
    for signature in &envelope.signatures {
        let owner = owners
            .owners
            .iter()
            .find(|it| it.public_key.id() == signature.key);
        let Some(owner) = owner else { continue };
        let bytes = from_base64url(&signature.signature).unwrap_or_default();
        if keys.contains(&signature.key) || !owner.public_key.verifies(&message, &bytes) {
            return Err(format!("the signature of {} does not hold", owner.person));
        }
        keys.push(signature.key);
        if !people.contains(&owner.person) {
            people.push(owner.person.clone());
        }
    }
    let wanted = usize::from(owners.threshold);
    if keys.len() < wanted || (owners.author_is_not_approver && people.len() < 2) {
        return Err(format!("{} owners signed, {wanted} must", keys.len()));
    }
    let author = keys.first().copied().ok_or("nobody signed")?;
    Ok((people, author))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Owner;
    use crate::name::Name;

    const NOW: i64 = 1_000_000;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    fn owners(threshold: u8) -> OwnerSet {
        let owner = |person: &str, seed: u8| Owner {
            person: person.into(),
            public_key: key(seed).public(),
        };
        OwnerSet {
            tenant: Name::parse("acme").unwrap(),
            threshold,
            author_is_not_approver: false,
            owners: vec![owner("anna", 1), owner("berta", 2)],
            carries: std::collections::BTreeSet::new(),
        }
    }

    fn waiver() -> Waiver {
        Waiver {
            because: "the witness is down".into(),
            from: NOW,
            until: NOW + WAIVER_SECS_MAX,
            ..Waiver::new("c".into(), vec!["n".into()], vec!["policy.tcb".into()])
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_no_owner_signed_is_believed(payload: Vec<u8>, text: String) {
            proptest::prop_assert!(believe(&text, &owners(1), "c", NOW).is_err());
            let payload = base64url(&payload);
            let text = format!("{{\"payload\":\"{payload}\",\"signatures\":[]}}");
            proptest::prop_assert!(believe(&text, &owners(1), "c", NOW).is_err());
        }
    }

    #[test]
    fn it_covers_only_what_it_names() {
        let failed = |checks: &[&str]| checks.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let until = Some(NOW + WAIVER_SECS_MAX);
        assert_eq!(waiver().covers("n", &failed(&["policy.tcb"])), until);
        assert_eq!(waiver().covers("m", &failed(&["policy.tcb"])), None);
        assert_eq!(
            waiver().covers("n", &failed(&["policy.tcb", "policy.debug"])),
            None
        );
        assert_eq!(waiver().covers("n", &[]), None);
    }

    #[test]
    fn it_counts_for_one_cluster_signed_by_enough_owners_and_for_four_hours() {
        let text = sign(&waiver(), &[&key(1)]);
        let believed = believe(&text, &owners(1), "c", NOW).unwrap();
        assert_eq!(
            (believed.waiver, believed.people),
            (waiver(), vec!["anna".to_owned()])
        );
        let both = sign(&waiver(), &[&key(1), &key(2)]);
        assert!(believe(&both, &owners(2), "c", NOW).is_ok());
        let refused = |text: &str, set: &OwnerSet, cluster: &str, now: i64, part: &str| {
            let because = believe(text, set, cluster, now).unwrap_err();
            assert!(because.contains(part), "{because}");
        };
        refused(&text, &owners(2), "c", NOW, "1 owners signed, 2 must");
        let stranger = sign(&waiver(), &[&key(9)]);
        refused(&stranger, &owners(1), "c", NOW, "0 owners signed");
        let twice = sign(&waiver(), &[&key(1), &key(1)]);
        refused(&twice, &owners(2), "c", NOW, "does not hold");
        refused(&text, &owners(1), "d", NOW, "for the cluster c");
        refused(
            &text,
            &owners(1),
            "c",
            NOW + WAIVER_SECS_MAX,
            "not any more",
        );
        refused(&text, &owners(1), "c", NOW - 31, "not yet");
        // Written down it may be later, and elsewhere.
        assert_eq!(
            read(&text, &owners(1)).unwrap().author,
            key(1).public().id()
        );
        let mut long = waiver();
        long.until += 1;
        let long = sign(&long, &[&key(1)]);
        refused(&long, &owners(1), "c", NOW, "at most 14400");
        let mut silent = waiver();
        silent.because = " ".into();
        let silent = sign(&silent, &[&key(1)]);
        refused(&silent, &owners(1), "c", NOW, "a reason");
        let mut other: Envelope = serde_json::from_str(&text).unwrap();
        let mut changed = waiver();
        changed.nodes = vec!["m".into()];
        other.payload = base64url(&serde_json::to_vec(&changed).unwrap());
        let other = serde_json::to_string(&other).unwrap();
        refused(&other, &owners(1), "c", NOW, "does not hold");
        refused(
            &"x".repeat(WAIVER_BYTES_MAX + 1),
            &owners(1),
            "c",
            NOW,
            "longer",
        );
    }
}
