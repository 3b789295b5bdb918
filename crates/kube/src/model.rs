//! What the controller knows, and what it may do: plain values without a cluster, clock or socket.
//!
//! Never says whom a machine protects from: that stands in the verdict that was believed.

use std::collections::BTreeMap;

/// How far the ladder goes for a machine whose evidence failed; each rung includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// Say so, and nothing else.
    Report,
    /// No new pods: the taint with the effect NoSchedule, and the trust label goes.
    Taint,
    /// Cordon: so that tolerations do not help either.
    Cordon,
    /// Drain through the eviction API, so that disruption budgets hold.
    Drain,
    /// The taint with the effect NoExecute, when nothing that may be evicted is left.
    NoExecute,
    /// That identity's writes are denied, its certificates are not renewed.
    Credentials,
    /// The Node object is deleted.
    Delete,
}

/// A number of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(usize),
    /// A share of the live nodes in percent, rounded down, and at least one.
    Percent(u8),
}

impl Amount {
    /// The number among `live` nodes.
    #[must_use]
    pub fn of(self, live: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                (live.saturating_mul(usize::from(percent.min(100))) / 100).max(1)
            }
        }
    }
}

/// How far a change that flips too many machines at once may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Nothing acts: it is only shown.
    Observe,
    /// Machines that fail do not join and are not renewed; no new pods go to them.
    NoJoins,
    /// As before; witnesses are told to give those machines no new secrets.
    NoSecrets,
    /// Everything acts.
    Evict,
}

/// What the owner of the cluster decided (`AttestationPolicy`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How far the ladder goes.
    pub ladder: Rung,
    /// How many nodes may be unavailable, for whatever reason, when another is taken away.
    pub max_unavailable: Amount,
    /// How old a verdict may become, in seconds.
    pub age_secs_max: i64,
    /// How long a drain may take before it counts as stuck, in seconds.
    pub drain_secs_max: i64,
    /// Whether NoExecute follows although a budget still blocks at the drain's deadline.
    pub force: bool,
    /// How many machines may fail within the window before nothing acts by itself.
    pub breaker: Amount,
    /// The breaker's window in seconds.
    pub breaker_secs: i64,
    /// The cause that a person has looked at, and how far it may act.
    pub acknowledged: Option<(String, Stage)>,
}

impl Policy {
    /// How far the ladder goes for a machine.
    #[must_use]
    pub fn ladder_of(&self, node: &Node) -> Rung {
        self.ladder
            .max(node.tightened.ladder.unwrap_or(Rung::Report))
    }

    /// How old a verdict about a machine may become, in seconds.
    #[must_use]
    pub fn age_of(&self, node: &Node) -> i64 {
        let own = node.tightened.age_secs_max.unwrap_or(i64::MAX);
        self.age_secs_max.min(own)
    }
}

/// The last verdict about a machine that was believed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Believed {
    /// None yet.
    Nothing,
    /// As wanted.
    Good {
        /// When the witness judged.
        at: i64,
    },
    /// Not as wanted. Stays until evidence is good again: silence does not heal.
    Failed {
        /// When it failed first since it was good.
        since: i64,
        /// The change under which it fails: policy digest, knowledge version and failed checks.
        cause: String,
    },
}

/// Who cordoned a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cordon {
    /// Nobody.
    No,
    /// This controller: it may take it back.
    Ours,
    /// Somebody else: it stays.
    Others,
}

/// Pods on a node that would have to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pods {
    /// How many may be evicted, mirror pods and those of DaemonSets left out.
    pub movable: usize,
}

/// What policies with a selector demand of one machine beyond the policy for all; a larger age or a
/// lower rung changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tightened {
    /// How old a verdict may become, in seconds.
    pub age_secs_max: Option<i64>,
    /// How far the ladder goes.
    pub ladder: Option<Rung>,
}

/// One machine: the Node object, if it lives, and what is remembered about it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Whether there is a Node object.
    pub live: bool,
    /// Whether the kubelet reports Ready.
    pub ready: bool,
    /// Whether it still carries the start taint.
    pub start_taint: bool,
    /// Whether it carries our taint with the effect NoSchedule.
    pub no_schedule: bool,
    /// Whether it carries our taint with the effect NoExecute.
    pub no_execute: bool,
    /// Whether it carries the trust label.
    pub trusted: bool,
    /// Who cordoned it.
    pub cordon: Cordon,
    /// Pods that would have to leave.
    pub pods: Pods,
    /// The last verdict.
    pub believed: Believed,
    /// It joined by a bootstrap group whose machines are not attested.
    pub not_applicable: bool,
    /// Whether it booted since that verdict.
    pub rebooted: bool,
    /// When its drain began.
    pub drain_since: Option<i64>,
    /// Whether its credentials are denied.
    pub denied: bool,
    /// A person declared its key compromised: the breaker does not hold for it.
    pub compromised: bool,
    /// A person announced maintenance until then: nothing beyond the taint happens.
    pub maintenance_until: Option<i64>,
    /// Owners waived what fails until then.
    pub waived_until: Option<i64>,
    /// Owners waived silence and reboots until then.
    pub silence_waived_until: Option<i64>,
    /// What is demanded of it beyond the policy for all.
    pub tightened: Tightened,
}

impl Node {
    /// What a step makes of it, as the plan expects; evictions succeed where the world says so.
    pub fn take(&mut self, step: Step, now: i64) {
        match step {
            Step::Distrust => (self.trusted, self.no_schedule) = (false, true),
            Step::Restart => (self.trusted, self.start_taint) = (false, true),
            Step::Cordon => self.cordon = Cordon::Ours,
            Step::Evict => self.drain_since = self.drain_since.or(Some(now)),
            Step::Stuck => {}
            Step::NoExecute => (self.no_execute, self.pods.movable) = (true, 0),
            Step::Deny => self.denied = true,
            Step::Delete => self.live = false,
            Step::Allow => self.denied = false,
            Step::Permit => self.no_execute = false,
            Step::Uncordon => (self.cordon, self.drain_since) = (Cordon::No, None),
            Step::Trust => {
                (self.start_taint, self.no_schedule, self.trusted) = (false, false, true);
            }
            Step::Exempt => {
                (self.start_taint, self.no_schedule, self.trusted) = (false, false, false);
            }
        }
    }

    /// Whether the cluster has to do without it. A machine that has not been admitted yet carries
    /// no work that could be missed, and does not count.
    #[must_use]
    pub const fn unavailable(&self) -> bool {
        let taken = !self.ready || !matches!(self.cordon, Cordon::No) || self.no_execute;
        let new = self.start_taint
            && self.pods.movable == 0
            && matches!(self.cordon, Cordon::No)
            && !self.not_applicable
            && !matches!(self.believed, Believed::Good { .. });
        self.live && taken && !new
    }
}

/// Everything a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The policy.
    pub policy: Policy,
    /// The machines by node name; also those whose Node object is gone.
    pub nodes: BTreeMap<String, Node>,
    /// How far our clock is from the API server's, in seconds.
    pub skew_secs: i64,
}

/// What is known about a machine at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Judged, as wanted, recently.
    Good,
    /// Judged and refused.
    Failed,
    /// Never judged.
    Never,
    /// Judged once, and too long ago.
    Stale,
    /// Booted since it was judged.
    Rebooted,
    /// Not good, and owners signed that it counts as good for now.
    Waived,
    /// Nobody asks for its evidence: it joined as a machine that has none.
    NotApplicable,
}

/// What the controller shall do next to one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Take the trust label and put the taint with the effect NoSchedule.
    Distrust,
    /// Put the start taint again.
    Restart,
    /// Cordon.
    Cordon,
    /// Ask for the eviction of every pod that may be evicted; remember when that began.
    Evict,
    /// Tell people that budgets block the drain beyond its deadline.
    Stuck,
    /// Put the taint with the effect NoExecute.
    NoExecute,
    /// Deny the identity's writes and renewals.
    Deny,
    /// Delete the Node object.
    Delete,
    /// Take the denial back.
    Allow,
    /// Remove the taint with the effect NoExecute.
    Permit,
    /// Uncordon what this controller cordoned.
    Uncordon,
    /// Remove start taint and NoSchedule taint, put the trust label.
    Trust,
    /// Remove the taints and the trust label too: a machine that is not attested gets the work that
    /// does not ask for attestation.
    Exempt,
}

/// One step for one machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Action {
    /// The node's name.
    pub node: String,
    /// What to do.
    pub step: Step,
}

/// Why nothing acts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// `kube.clock-skew`: our clock and the API server's differ too much.
    Skew(i64),
    /// `kube.silence`: too many machines are silent at once; that is the witness or the network.
    Silence(usize),
    /// `kube.breaker`: too many machines fail at once.
    Breaker {
        /// How many failed within the window.
        failed: usize,
        /// How many may.
        allowed: usize,
        /// The changes under which they fail, in one name to acknowledge.
        cause: String,
        /// How far it may act.
        stage: Stage,
    },
}

/// The next steps, and what holds others back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// At most one step per machine, in the order of names.
    pub actions: Vec<Action>,
    /// What holds actions back.
    pub holds: Vec<Hold>,
}
