//! What must hold of every run, whatever the scheduler did: one function per promise, over the history.

use std::collections::BTreeSet;

use super::{GENUINE, Happened};

type Promise = fn(&[Happened]) -> Result<(), String>;

const PROMISES: &[(&str, Promise)] = &[
    ("a challenge is spent once", a_challenge_is_spent_once),
    ("a nonce is bound once", a_nonce_is_bound_once),
    (
        "no secret is opened for another challenge",
        no_secret_is_opened_for_another_challenge,
    ),
    (
        "no secret leaves without a leaf",
        no_secret_leaves_without_a_leaf,
    ),
    (
        "no secret leaves for a refused verdict",
        no_secret_leaves_for_a_refused_verdict,
    ),
    (
        "the agent never accepts a secret without owner signature",
        the_agent_never_accepts_a_secret_without_owner_signature,
    ),
    ("a session ends once", a_session_ends_once),
    (
        "evidence counts for its own challenge only",
        evidence_counts_for_its_own_challenge_only,
    ),
    (
        "only the bound request is judged",
        only_the_bound_request_is_judged,
    ),
];

fn a_challenge_is_spent_once(history: &[Happened]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for happened in history {
        if let Happened::Spent { nonce } = happened
            && !seen.insert(nonce)
        {
            return Err(format!("{} twice", hex::encode(nonce)));
        }
    }
    Ok(())
}

fn a_nonce_is_bound_once(history: &[Happened]) -> Result<(), String> {
    // Two agents may be handed the same challenge by a misrouting network; one life may not bind
    // it twice.
    let mut seen = BTreeSet::new();
    for happened in history {
        if let Happened::Bound { agent, life, nonce } = happened
            && !seen.insert((agent, life, nonce))
        {
            return Err(format!("{} twice", hex::encode(nonce)));
        }
    }
    Ok(())
}

fn no_secret_is_opened_for_another_challenge(history: &[Happened]) -> Result<(), String> {
    for happened in history {
        let Happened::Accepted {
            agent,
            life,
            nonce,
            leaf,
            ..
        } = happened
        else {
            continue;
        };
        let bound = Happened::Bound {
            agent: *agent,
            life: *life,
            nonce: *nonce,
        };
        if !history.contains(&bound) {
            return Err(format!("agent {agent} never bound {}", hex::encode(nonce)));
        }
        if let Some(leaf) = leaf {
            let logged = Happened::Logged {
                leaf: *leaf,
                nonce: *nonce,
                admits: true,
            };
            if !history.contains(&logged) {
                return Err(format!(
                    "agent {agent} opened under a leaf of another challenge"
                ));
            }
        }
    }
    Ok(())
}

fn no_secret_leaves_without_a_leaf(history: &[Happened]) -> Result<(), String> {
    for (at, happened) in history.iter().enumerate() {
        let Happened::Sealed { leaf, .. } = happened else {
            continue;
        };
        let logged = |before: &Happened| matches!(before, Happened::Logged { leaf: known, .. } if known == leaf);
        if !history[..at].iter().any(logged) {
            return Err(format!("leaf {} is not in the log", hex::encode(leaf)));
        }
    }
    Ok(())
}

fn no_secret_leaves_for_a_refused_verdict(history: &[Happened]) -> Result<(), String> {
    let refused = |happened: &&Happened| matches!(happened, Happened::Sealed { admits: false, .. });
    match history.iter().find(refused) {
        None => Ok(()),
        Some(sealed) => Err(format!("{sealed:?}")),
    }
}

fn the_agent_never_accepts_a_secret_without_owner_signature(
    history: &[Happened],
) -> Result<(), String> {
    for happened in history {
        if let Happened::Accepted {
            value,
            leaf: Some(_),
            ..
        } = happened
            && value != GENUINE
        {
            return Err(format!("{happened:?}"));
        }
    }
    Ok(())
}

fn a_session_ends_once(history: &[Happened]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for happened in history {
        if let Happened::Accepted { agent, life, .. } | Happened::Ended { agent, life, .. } =
            happened
            && !seen.insert((agent, life))
        {
            return Err(format!("agent {agent} ended twice in one life"));
        }
    }
    Ok(())
}

fn evidence_counts_for_its_own_challenge_only(history: &[Happened]) -> Result<(), String> {
    let mixed = |happened: &&Happened| matches!(happened, Happened::Mixed { .. });
    match history.iter().find(mixed) {
        None => Ok(()),
        Some(mixed) => Err(format!("{mixed:?}")),
    }
}

fn only_the_bound_request_is_judged(history: &[Happened]) -> Result<(), String> {
    if history.contains(&Happened::Judged { own_request: false }) {
        return Err("the witness had another request judged".into());
    }
    Ok(())
}

/// The first promise that a history broke, and how.
pub(super) fn broken(history: &[Happened]) -> Option<(&'static str, String)> {
    PROMISES
        .iter()
        .find_map(|(title, promise)| Some((*title, promise(history).err()?)))
}
