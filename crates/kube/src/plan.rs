//! From state to next steps: the ladder, its limits and the breaker, as one pure function.
//!
//! Guarantees, model-checked in `plan/tests.rs`:
//! - a node that is available is made unavailable only while fewer than `max_unavailable` nodes
//!   are unavailable, whoever made them so;
//! - only a machine whose last verdict failed is cordoned, drained, denied or deleted; one that is
//!   silent, unknown or rebooted never is;
//! - NoExecute comes when nothing that may be evicted is left, or after the deadline by force;
//! - one that joined as a machine without evidence never gets the trust label;
//! - while a hold lasts, nothing that it guards happens, except to machines declared compromised.
//!
//! Every step is derived from what is observed and changes what will be observed: a controller
//! that is killed between any two steps goes on with the next. Never reads a clock.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::model::{
    Action, Believed, Cordon, Health, Hold, Node, Plan, Policy, Rung, Stage, State, Step,
};

/// The check ids of this module.
pub const CHECKS: &[&str] = &[
    "kube.breaker",
    "kube.clock-skew",
    "kube.drain.stuck",
    "kube.node.failed",
    "kube.node.never",
    "kube.node.not-applicable",
    "kube.node.rebooted",
    "kube.node.stale",
    "kube.silence",
];

/// The largest difference of clocks in seconds, as everywhere (DESIGN §5.6).
pub const SKEW_SECS_MAX: i64 = zeuge_protocol::challenge::SKEW_SECS_MAX;

impl Hold {
    /// The check id.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Skew(_) => "kube.clock-skew",
            Self::Silence(_) => "kube.silence",
            Self::Breaker { .. } => "kube.breaker",
        }
    }
}

impl Health {
    /// The check id of what is not good.
    #[must_use]
    pub const fn check(self) -> Option<&'static str> {
        match self {
            Self::Good => None,
            Self::Failed => Some("kube.node.failed"),
            Self::Never => Some("kube.node.never"),
            Self::Stale => Some("kube.node.stale"),
            Self::Rebooted => Some("kube.node.rebooted"),
            Self::Waived => Some("kube.waiver"),
            Self::NotApplicable => Some("kube.node.not-applicable"),
        }
    }
}

/// What is known about a machine at `now`.
#[must_use]
pub fn health(node: &Node, policy: &Policy, now: i64) -> Health {
    let health = without_waivers(node, policy, now);
    let waived = match health {
        // No waiver passes a key that is declared compromised.
        Health::Failed if !node.compromised => node.waived_until,
        Health::Stale | Health::Rebooted => node.silence_waived_until,
        _ => None,
    };
    if waived.is_some_and(|until| now < until) {
        return Health::Waived;
    }
    health
}

fn without_waivers(node: &Node, policy: &Policy, now: i64) -> Health {
    match &node.believed {
        Believed::Failed { .. } => Health::Failed,
        _ if node.compromised => Health::Failed,
        _ if node.not_applicable => Health::NotApplicable,
        Believed::Nothing => Health::Never,
        Believed::Good { .. } if node.rebooted => Health::Rebooted,
        Believed::Good { at } if now.saturating_sub(*at) >= policy.age_of(node) => Health::Stale,
        Believed::Good { .. } => Health::Good,
    }
}

/// What holds steps back at `now`.
#[must_use]
pub fn holds(state: &State, now: i64) -> Vec<Hold> {
    let mut holds = Vec::new();
    if state.skew_secs.saturating_abs() > SKEW_SECS_MAX {
        holds.push(Hold::Skew(state.skew_secs));
    }
    let live = state.nodes.values().filter(|node| node.live).count();
    let allowed = state.policy.breaker.of(live);
    let silent = state
        .nodes
        .values()
        .filter(|node| node.live && health(node, &state.policy, now) == Health::Stale)
        .count();
    if silent > allowed {
        holds.push(Hold::Silence(silent));
    }
    holds.extend(breaker(state, now, allowed));
    holds
}

/// The breaker: counts every machine that began to fail within the window, expelled ones too, so
/// that neither a restart nor slow expulsion hides how many a change flips.
fn breaker(state: &State, now: i64, allowed: usize) -> Option<Hold> {
    let oldest = now.saturating_sub(state.policy.breaker_secs);
    let mut failed = 0_usize;
    let mut causes = BTreeSet::new();
    for node in state.nodes.values().filter(|node| !node.compromised) {
        if let Believed::Failed { since, cause } = &node.believed
            && *since > oldest
        {
            failed = failed.saturating_add(1);
            causes.insert(cause.as_str());
        }
    }
    if failed <= allowed {
        return None;
    }
    let cause = cause(&causes);
    let stage = match &state.policy.acknowledged {
        Some((looked_at, stage)) if *looked_at == cause => *stage,
        _ => Stage::Observe,
    };
    Some(Hold::Breaker {
        failed,
        allowed,
        cause,
        stage,
    })
}

/// One name for a set of causes: 16 hexadecimal digits of their digest.
fn cause(causes: &BTreeSet<&str>) -> String {
    let mut digest = Sha256::new();
    for cause in causes {
        digest.update(cause.as_bytes());
        digest.update([0]);
    }
    let mut name = hex::encode(digest.finalize());
    name.truncate(16);
    name
}

/// How far anything may act on a machine that failed.
fn reach(holds: &[Hold], node: &Node) -> Stage {
    if node.compromised {
        return Stage::Evict;
    }
    let stages = holds.iter().map(|hold| match hold {
        Hold::Skew(_) | Hold::Silence(_) => Stage::Observe,
        Hold::Breaker { stage, .. } => *stage,
    });
    stages.min().unwrap_or(Stage::Evict)
}

/// Whether a machine whose evidence fails may be refused to join or renew now.
#[must_use]
pub fn refuses_joins(holds: &[Hold]) -> bool {
    let breaker = holds.iter().find_map(|hold| match hold {
        Hold::Breaker { stage, .. } => Some(*stage),
        _ => None,
    });
    breaker.is_none_or(|stage| stage >= Stage::NoJoins)
}

/// The machines to which no new secrets are due: those whose keys a person declared compromised, and
/// while the breaker is held at [`Stage::NoSecrets`] or further all that fail. What fails otherwise
/// is refused by the witness that judged it; it needs no word from here.
#[must_use]
pub fn without_secrets(state: &State, holds: &[Hold], now: i64) -> BTreeSet<String> {
    let staged = holds
        .iter()
        .any(|hold| matches!(hold, Hold::Breaker { stage, .. } if *stage >= Stage::NoSecrets));
    let due = |node: &Node| {
        node.compromised || (staged && health(node, &state.policy, now) == Health::Failed)
    };
    let stopped = state.nodes.iter().filter(|(_, node)| due(node));
    stopped.map(|(name, _)| name.clone()).collect()
}

/// The next step of every machine that has one.
#[must_use]
pub fn plan(state: &State, now: i64) -> Plan {
    let holds = holds(state, now);
    let frozen = holds
        .iter()
        .any(|hold| matches!(hold, Hold::Skew(_) | Hold::Silence(_)));
    let live = state.nodes.values().filter(|node| node.live).count();
    let unavailable = state
        .nodes
        .values()
        .filter(|node| node.unavailable())
        .count();
    let mut free = state
        .policy
        .max_unavailable
        .of(live)
        .saturating_sub(unavailable);
    let mut actions = Vec::new();
    for (name, node) in state.nodes.iter().filter(|(_, node)| node.live) {
        let step = match health(node, &state.policy, now) {
            Health::Failed => expel(node, &state.policy, reach(&holds, node), &mut free, now),
            _ if frozen => None,
            Health::Good | Health::Waived => readmit(node, Step::Trust),
            Health::NotApplicable => readmit(node, Step::Exempt),
            Health::Rebooted => (!node.start_taint).then_some(Step::Restart),
            Health::Stale => (node.trusted || !node.no_schedule).then_some(Step::Distrust),
            // It may run pods since before we came: an installation taints nothing.
            Health::Never => None,
        };
        if let Some(step) = step {
            actions.push(Action {
                node: name.clone(),
                step,
            });
        }
    }
    Plan { actions, holds }
}

/// The next rung down.
fn expel(node: &Node, policy: &Policy, reach: Stage, free: &mut usize, now: i64) -> Option<Step> {
    let ladder = policy.ladder_of(node);
    let may = |rung| ladder >= rung && reach == Stage::Evict;
    if ladder < Rung::Taint || reach < Stage::NoJoins {
        return None;
    }
    if node.trusted || !node.no_schedule {
        return Some(Step::Distrust);
    }
    if node.maintenance_until.is_some_and(|until| now < until) || !may(Rung::Cordon) {
        return None;
    }
    if node.cordon == Cordon::No {
        if !node.unavailable() {
            *free = free.checked_sub(1)?;
        }
        return Some(Step::Cordon);
    }
    if !may(Rung::Drain) {
        return None;
    }
    if node.pods.movable > 0 && !node.no_execute {
        let late = node
            .drain_since
            .is_some_and(|since| now.saturating_sub(since) >= policy.drain_secs_max);
        return Some(match (late, policy.force && may(Rung::NoExecute)) {
            (false, _) => Step::Evict,
            (true, false) => Step::Stuck,
            (true, true) => Step::NoExecute,
        });
    }
    if may(Rung::NoExecute) && !node.no_execute {
        return Some(Step::NoExecute);
    }
    if may(Rung::Credentials) && !node.denied {
        return Some(Step::Deny);
    }
    (may(Rung::Delete) && node.denied && node.pods.movable == 0).then_some(Step::Delete)
}

/// The next rung up, in the opposite order; `last` is the one that opens it to new pods.
const fn readmit(node: &Node, last: Step) -> Option<Step> {
    if node.denied {
        return Some(Step::Allow);
    }
    if node.no_execute {
        return Some(Step::Permit);
    }
    if matches!(node.cordon, Cordon::Ours) {
        return Some(Step::Uncordon);
    }
    let trusted = matches!(last, Step::Trust);
    if node.start_taint || node.no_schedule || node.trusted != trusted {
        return Some(last);
    }
    None
}

#[cfg(test)]
mod tests;
