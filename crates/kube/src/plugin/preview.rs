//! `drain-preview`: the plan, played forward against the pods and budgets of this moment.
//!
//! Plays the controller's own [`plan::plan`] until nothing changes. Assumes that evicted pods go,
//! that no pod comes, and that budgets allow as many disruptions as they say now.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::core::{Selector, SelectorExt as _};
use serde::Serialize;

use super::{Picture, movable};
use crate::error::Error;
use crate::model::{Believed, Health, State, Step};
use crate::plan;

/// More rounds than any ladder has rungs, for every node that may go one after the other.
const ROUNDS_MAX: usize = 10_000;

/// What would happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Told {
    /// The nodes that were taken as failed.
    supposed: Vec<String>,
    reaction: String,
    max_unavailable: usize,
    unavailable_now: usize,
    unavailable_at_most: usize,
    /// What holds actions back.
    holds: Vec<String>,
    nodes: Vec<Fate>,
}

/// What would happen to one node.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Fate {
    node: String,
    /// The steps in their order.
    steps: Vec<String>,
    /// Pods that would be evicted.
    evicted: Vec<String>,
    /// Pods that stay, each with the budget that keeps it.
    kept: Vec<Kept>,
    /// It failed, and nothing would be done about it beyond these steps.
    waits: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Kept {
    pod: String,
    budget: String,
}

fn full(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

/// Budgets and how many disruptions each still allows.
struct Budgets<'a> {
    all: &'a [PodDisruptionBudget],
    left: BTreeMap<String, i32>,
}

impl<'a> Budgets<'a> {
    fn new(all: &'a [PodDisruptionBudget]) -> Self {
        Self {
            all,
            left: BTreeMap::new(),
        }
    }

    /// Takes one disruption from each budget of the pod, or says which one allows none.
    fn take(&mut self, pod: &Pod) -> Result<(), String> {
        let mut own = Vec::new();
        for budget in self.all {
            let spec = budget.spec.as_ref();
            let selector = spec.and_then(|it| it.selector.clone());
            let Some(selector) = selector.and_then(|it| Selector::try_from(it).ok()) else {
                continue;
            };
            if budget.namespace() != pod.namespace() || !selector.matches(pod.labels()) {
                continue;
            }
            let name = format!(
                "{}/{}",
                budget.namespace().unwrap_or_default(),
                budget.name_any()
            );
            let said = budget
                .status
                .as_ref()
                .map_or(0, |it| it.disruptions_allowed);
            if *self.left.entry(name.clone()).or_insert(said) <= 0 {
                return Err(name);
            }
            own.push(name);
        }
        for name in own {
            if let Some(left) = self.left.get_mut(&name) {
                *left = left.saturating_sub(1);
            }
        }
        Ok(())
    }
}

pub(super) fn preview(picture: &Picture, supposed: &[String]) -> Result<Told, Error> {
    let mut state = picture.state.clone();
    for name in supposed {
        let node = state.nodes.get_mut(name).filter(|it| it.live);
        let node = node.ok_or_else(|| Error::Local(format!("there is no node {name}")))?;
        node.believed = Believed::Failed {
            since: picture.now,
            cause: "supposed".into(),
        };
    }
    let now = picture.now;
    let unavailable = |state: &State| state.nodes.values().filter(|it| it.unavailable()).count();
    let live = state.nodes.values().filter(|it| it.live).count();
    let mut told = Told {
        supposed: supposed.to_vec(),
        reaction: format!("{:?}", picture.policy.spec.reaction),
        max_unavailable: state.policy.max_unavailable.of(live),
        unavailable_now: unavailable(&state),
        unavailable_at_most: unavailable(&state),
        holds: plan::holds(&state, now)
            .iter()
            .map(|it| it.check().to_owned())
            .collect(),
        nodes: Vec::new(),
    };
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    let mut budgets = Budgets::new(&picture.budgets);
    for _ in 0..ROUNDS_MAX {
        let before = state.clone();
        for action in plan::plan(&state, now).actions {
            let fate = fates.entry(action.node.clone()).or_default();
            let Some(node) = state.nodes.get_mut(&action.node) else {
                continue;
            };
            node.take(action.step, now);
            if action.step == Step::Evict {
                let left = evict(picture, &action.node, fate, &mut budgets);
                node.pods.movable = left;
            }
            let step = format!("{:?}", action.step);
            if fate.steps.last() != Some(&step) {
                fate.steps.push(step);
            }
        }
        told.unavailable_at_most = told.unavailable_at_most.max(unavailable(&state));
        if state == before {
            break;
        }
    }
    told.nodes = fates_of(&picture.state, &state, fates, now);
    Ok(told)
}

/// Asks for every pod of the node once; how many stay.
fn evict(picture: &Picture, node: &str, fate: &mut Fate, budgets: &mut Budgets<'_>) -> usize {
    let gone: BTreeSet<String> = fate.evicted.iter().cloned().collect();
    fate.kept.clear();
    for pod in movable(&picture.pods, node) {
        let pod_name = full(pod);
        if gone.contains(&pod_name) {
            continue;
        }
        match budgets.take(pod) {
            Ok(()) => fate.evicted.push(pod_name),
            Err(budget) => fate.kept.push(Kept {
                pod: pod_name,
                budget,
            }),
        }
    }
    fate.kept.len()
}

/// One fate for every node that something happens to, or that failed and waits.
fn fates_of(
    before: &State,
    after: &State,
    mut fates: BTreeMap<String, Fate>,
    now: i64,
) -> Vec<Fate> {
    let mut all = Vec::new();
    for (name, node) in after
        .nodes
        .iter()
        .filter(|(name, _)| before.nodes[*name].live)
    {
        let failed = plan::health(node, &after.policy, now) == Health::Failed;
        let known = fates.remove(name);
        if known.is_none() && !failed {
            continue;
        }
        let mut fate = known.unwrap_or_default();
        fate.node.clone_from(name);
        fate.waits = failed && node.live && (node.pods.movable > 0 || !node.unavailable());
        all.push(fate);
    }
    all
}

impl Told {
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "reaction {}; unavailable now {}, at most {} of {} allowed\n",
            self.reaction, self.unavailable_now, self.unavailable_at_most, self.max_unavailable
        );
        for hold in &self.holds {
            out.push_str(&format!("held back by {hold}\n"));
        }
        if self.nodes.is_empty() {
            out.push_str("nothing would happen\n");
        }
        for fate in &self.nodes {
            let steps = match fate.steps.as_slice() {
                [] => "nothing".to_owned(),
                steps => steps.join(", "),
            };
            out.push_str(&format!("{}: {steps}\n", fate.node));
            for pod in &fate.evicted {
                out.push_str(&format!("  evicted  {pod}\n"));
            }
            for kept in &fate.kept {
                out.push_str(&format!(
                    "  kept     {} by the budget {}\n",
                    kept.pod, kept.budget
                ));
            }
            if fate.waits {
                out.push_str("  waits    it keeps running what it runs\n");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{AttestationPolicy, AttestedNode};
    use crate::cluster::{START_TAINT, TRUST_LABEL};
    use crate::model::Pods;

    const NOW: i64 = 1_700_000_000;

    fn picture() -> Picture {
        let policy: AttestationPolicy = serde_json::from_value(json!({
            "apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestationPolicy",
            "metadata": {"name": "default"},
            "spec": {"reaction": "Drain", "maxUnavailable": "1", "breaker": {"limit": "9"}}}))
        .unwrap();
        let names = ["a", "b", "c"];
        let nodes = names.map(|name| {
            serde_json::from_value(json!({"metadata": {"name": name,
                "labels": {TRUST_LABEL: "trusted"}},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]}}))
            .unwrap()
        });
        let memories = names.map(|name| {
            let mut memory = AttestedNode::new(name, Default::default());
            memory.status = Some(crate::api::AttestedNodeStatus {
                verdict: Some("affirming".into()),
                judged_at: crate::belief::time(NOW),
                ..Default::default()
            });
            memory
        });
        let pod = |name: &str, node: &str, app: &str| {
            serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n",
                "labels": {"app": app}}, "spec": {"nodeName": node, "containers": []}}))
            .unwrap()
        };
        let budget = json!({"metadata": {"name": "two", "namespace": "n"},
            "spec": {"selector": {"matchLabels": {"app": "kept"}}},
            "status": {"disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1,
                "expectedPods": 2}});
        let mut picture = Picture {
            cluster_uid: "u".into(),
            nodes: nodes.to_vec(),
            memories: memories.to_vec(),
            pods: vec![
                pod("one", "a", "kept"),
                pod("two", "a", "kept"),
                pod("free", "a", "free"),
                pod("elsewhere", "b", "free"),
            ],
            budgets: vec![serde_json::from_value(budget).unwrap()],
            state: State {
                policy: policy.spec.policy(),
                nodes: BTreeMap::new(),
                skew_secs: 0,
            },
            rules: crate::selection::Rules::only(policy.spec.clone()),
            policy,
            now: NOW,
        };
        picture.state = crate::cluster::state(
            picture.nodes.iter(),
            picture.memories.iter(),
            &picture.rules,
            START_TAINT,
        );
        for (name, node) in &mut picture.state.nodes {
            node.pods = Pods {
                movable: movable(&picture.pods, name).count(),
            };
        }
        picture
    }

    #[test]
    fn a_healthy_cluster_has_nothing_to_preview() {
        let told = preview(&picture(), &[]).unwrap();
        assert_eq!((told.nodes.len(), told.unavailable_at_most), (0, 0));
        assert!(told.text().contains("nothing would happen"));
    }

    #[test]
    fn pods_go_as_far_as_budgets_allow_and_one_node_at_a_time() {
        let told = preview(&picture(), &["a".into(), "b".into()]).unwrap();
        let [a, b] = told.nodes.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(a.steps, ["Distrust", "Cordon", "Evict"]);
        assert_eq!(a.evicted, ["n/one", "n/free"]);
        assert_eq!(
            (a.kept[0].pod.as_str(), a.kept[0].budget.as_str()),
            ("n/two", "n/two")
        );
        // The second waits: one may be unavailable.
        assert_eq!(b.steps, ["Distrust"]);
        assert!(b.waits && b.evicted.is_empty());
        assert_eq!((told.unavailable_at_most, told.max_unavailable), (1, 1));
        assert!(told.text().contains("kept     n/two by the budget n/two"));
        assert!(preview(&picture(), &["x".into()]).is_err());
    }

    #[test]
    fn the_breaker_shows_in_the_preview() {
        let mut picture = picture();
        picture.state.policy.breaker = crate::model::Amount::Count(1);
        let told = preview(&picture, &["a".into(), "b".into()]).unwrap();
        assert_eq!(told.holds, ["kube.breaker"]);
        assert!(told.nodes.iter().all(|it| it.steps.is_empty() && it.waits));
    }
}
