//! What witnesses are to know of a pass, and what people read of their having been told.
//!
//! Waivers that counted are kept in the policy's status until a witness has written them down, so
//! that one which ended while the witness was away is not forgotten. They are the owners' own text:
//! whoever changes the status can lose one and make none.

use std::collections::BTreeMap;

use kube::runtime::reflector::ObjectRef;

use super::Controller;
use crate::api::AttestationPolicy;
use crate::belief::Pinned;
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
