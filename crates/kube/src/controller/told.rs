//! What witnesses are to know of a pass, and what people read of their having been told.
//!
//! Waivers that counted are kept in the policy's status until a witness has written them down, so
//! that one which ended while the witness was away is not forgotten. They are the owners' own text:
//! whoever changes the status can lose one and make none.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::runtime::reflector::ObjectRef;

use super::Controller;
use crate::api::{AttestationPolicy, AttestationPolicyStatus};
use crate::belief::{self, Pinned};
use crate::error::reason;
use crate::model::{Plan, State};
use crate::tell::{self, Told, Wanted, Written};
use crate::{plan, waiver};

/// Waivers that wait for a witness: more than fit into a policy at once.
const UNLOGGED_MAX: usize = 32;
/// Machines that are named where no witness can be told of them.
const NAMED_MAX: usize = 16;
const UNTOLD: &str = "kube.witness.untold";

/// What a pass tells.
#[derive(Default)]
pub(super) struct Report {
    /// Sentences for the policy's status.
    pub(super) waivers: Vec<String>,
    /// Sentences for the policy's status.
    pub(super) witnesses: Vec<String>,
    /// The texts that no witness has written down.
    pub(super) unlogged: Vec<String>,
    /// What counts or counted, and where it was written down.
    pub(super) remember: Vec<(waiver::Believed, Option<Written>)>,
}

impl Controller {
    /// Says what witnesses are to know, and what they were told by now.
    pub(super) fn tell(
        &self,
        policy: &AttestationPolicy,
        state: &State,
        plan: &Plan,
        (waivers, said): (Vec<waiver::Believed>, Vec<String>),
        now: i64,
    ) -> Report {
        let mut wanted = Wanted::default();
        let mut report = Report {
            waivers: said,
            ..Report::default()
        };
        let told = self.desk.told();
        for (believed, text) in self.counted(policy, waivers) {
            let written = told.waivers.get(&believed.digest).cloned();
            if written.is_none() && !self.desk.is_empty() {
                report.unlogged.push(text.clone());
            }
            wanted.waivers.insert(believed.digest, text);
            report.remember.push((believed, written));
        }
        let surplus = report.unlogged.len().saturating_sub(UNLOGGED_MAX);
        if surplus > 0 {
            tracing::error!(
                check = UNTOLD,
                surplus,
                "waivers that no witness wrote down are lost"
            );
            report.unlogged.drain(..surplus);
        }
        let stopped = plan::without_secrets(state, &plan.holds, now);
        let mut nowhere = Vec::new();
        for name in &stopped {
            let memory = self.memories.get(&ObjectRef::new(name));
            match memory.and_then(|it| tell::verdict(it.status.as_ref()?)) {
                Some((issuer, leaf)) => {
                    wanted.stops.entry(issuer).or_default().insert(leaf);
                }
                None => nowhere.push(name.clone()),
            }
        }
        report.witnesses = self.sentences(&wanted, &told, &nowhere);
        let counting = &policy.spec.witnesses;
        let counts = |it: &Pinned| counting.is_empty() || counting.contains(&it.issuer);
        if !self.settings.witnesses.iter().any(counts) {
            let said = "kube.csr.witness: no witness that is known here counts: nobody joins";
            report.witnesses.push(said.to_owned());
        }
        let untold = report.witnesses.iter().filter(|it| it.starts_with(UNTOLD));
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let untold = number(untold.count().saturating_add(report.unlogged.len()));
        self.metrics.set("zeuge_kube_untold", "", untold);
        let stopped = number(stopped.len());
        self.metrics.set("zeuge_kube_without_secrets", "", stopped);
        self.desk.want(wanted);
        report
    }

    /// Waivers that count now, and those that did and stand in no log yet; each with its text.
    fn counted(
        &self,
        policy: &AttestationPolicy,
        waivers: Vec<waiver::Believed>,
    ) -> Vec<(waiver::Believed, String)> {
        let Some(owners) = &self.settings.owners else {
            return Vec::new();
        };
        let mut texts: BTreeMap<[u8; 32], (waiver::Believed, String)> = BTreeMap::new();
        let kept = policy.status.iter().flat_map(|it| &it.unlogged);
        for text in kept.chain(&policy.spec.waivers) {
            if let Ok(believed) = waiver::read(text, owners)
                && believed.waiver.cluster_uid == self.cluster_uid
            {
                texts
                    .entry(believed.digest)
                    .or_insert((believed, text.clone()));
            }
        }
        let kept: Vec<[u8; 32]> = policy
            .status
            .iter()
            .flat_map(|it| &it.unlogged)
            .filter_map(|text| Some(waiver::read(text, owners).ok()?.digest))
            .collect();
        let counts = |digest: &[u8; 32]| {
            kept.contains(digest) || waivers.iter().any(|it| it.digest == *digest)
        };
        let mut all: Vec<_> = texts.into_iter().filter(|(it, _)| counts(it)).collect();
        all.sort_by_key(|(_, (believed, _))| believed.waiver.from);
        all.into_iter().map(|(_, it)| it).collect()
    }

    fn sentences(&self, wanted: &Wanted, told: &Told, nowhere: &[String]) -> Vec<String> {
        let mut said = Vec::new();
        for (issuer, because) in &told.trouble {
            said.push(format!("{UNTOLD}: {issuer}: {because}"));
        }
        for (issuer, leaves) in &wanted.stops {
            let (count, stop) = (leaves.len(), self.desk.stop_name());
            if told.stops.get(issuer) == Some(leaves) {
                said.push(format!(
                    "{issuer}: no new secrets for {count} machines until an operator lifts {stop}"
                ));
            } else if !self.desk.reaches(issuer) {
                said.push(format!(
                    "{UNTOLD}: {issuer}: {count} machines are due no new secrets, and its file does \
                     not say how to tell it"
                ));
            } else if !told.trouble.contains_key(issuer) {
                said.push(format!("{issuer}: is being told of {count} machines"));
            }
        }
        for issuer in told.stops.keys() {
            if !wanted.stops.contains_key(issuer) {
                let stop = self.desk.stop_name();
                said.push(format!(
                    "{issuer}: {stop} stands, and nothing here asks for it any more: an operator \
                     lifts it (zeuge stop lift)"
                ));
            }
        }
        if !nowhere.is_empty() {
            let names = nowhere.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>();
            said.push(format!(
                "{UNTOLD}: no witness is known that judged {}",
                names.join(" ")
            ));
        }
        said
    }
}

/// The conditions of a policy; one that says what is known already keeps its instant.
pub(super) fn conditions(
    status: &AttestationPolicyStatus,
    known: &[Condition],
    now: i64,
) -> Vec<Condition> {
    let hold = status.holds.first();
    let hold = hold.map(|it| (it.check.as_str(), it.message.clone()));
    let bypass = status.bypass.first();
    let bypass = bypass.map(|it| ("kube.csr.bypass", it.clone()));
    let untold = status.witnesses.iter().find(|it| it.starts_with(UNTOLD));
    let untold = match (untold, status.unlogged.len()) {
        (Some(sentence), _) => Some((UNTOLD, sentence.clone())),
        (None, 0) => None,
        (None, count) => Some((
            UNTOLD,
            format!("{UNTOLD}: {count} waivers wait for a witness"),
        )),
    };
    let all = [
        ("Acting", "Nothing holds steps back", hold),
        ("Gated", "Nobody joins without attestation", bypass),
        ("Told", "Witnesses know what they should", untold),
    ];
    let made = all.into_iter().map(|(type_, good, bad)| {
        let (word, reason, message) = match bad {
            None => ("True", type_.to_owned(), good.to_owned()),
            Some((check, because)) => {
                let named = because.starts_with(check);
                let message = if named {
                    because
                } else {
                    format!("{check}: {because}")
                };
                ("False", reason(check), message)
            }
        };
        let same = |it: &&Condition| {
            (
                it.type_.as_str(),
                it.status.as_str(),
                &it.reason,
                &it.message,
            ) == (type_, word, &reason, &message)
        };
        let before = known.iter().find(same);
        let at = before.map(|it| it.last_transition_time.clone());
        let now = || belief::time(now).unwrap_or(Time(jiff::Timestamp::UNIX_EPOCH));
        Condition {
            type_: type_.to_owned(),
            status: word.to_owned(),
            last_transition_time: at.unwrap_or_else(now),
            observed_generation: None,
            reason,
            message,
        }
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::HoldStatus;

    const NOW: i64 = 1_000_000;

    fn said(
        status: &AttestationPolicyStatus,
        known: &[Condition],
        now: i64,
    ) -> Vec<(String, bool)> {
        let all = conditions(status, known, now);
        let told = |it: Condition| {
            (
                it.reason,
                it.last_transition_time == belief::time(NOW).unwrap(),
            )
        };
        all.into_iter().map(told).collect()
    }

    #[test]
    fn conditions_have_check_ids_as_reasons_and_keep_their_instant_while_they_say_the_same() {
        let good = AttestationPolicyStatus::default();
        let first = conditions(&good, &[], NOW);
        assert!(first.iter().all(|it| it.status == "True"));
        let reasons = |bad: [bool; 3]| {
            let words = [
                ("KubeBreaker", "Acting"),
                ("KubeCsrBypass", "Gated"),
                ("KubeWitnessUntold", "Told"),
            ];
            let both = words.into_iter().zip(bad);
            both.map(|((bad, good), is)| (if is { bad } else { good }.to_owned(), !is))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(&good, &first, NOW + 5), reasons([false; 3]));
        let mut status = good.clone();
        status.holds = vec![HoldStatus {
            check: "kube.breaker".into(),
            message: "7 nodes began to fail".into(),
            cause: None,
        }];
        assert_eq!(
            said(&status, &first, NOW + 5),
            reasons([true, false, false])
        );
        status.bypass = vec!["everybody".into()];
        status.unlogged = vec!["a waiver".into()];
        assert_eq!(said(&status, &first, NOW + 5), reasons([true; 3]));
        let later = conditions(&status, &first, NOW + 5);
        assert_eq!(later[0].message, "kube.breaker: 7 nodes began to fail");
        assert_eq!(conditions(&status, &later, NOW + 9), later);
    }
}
