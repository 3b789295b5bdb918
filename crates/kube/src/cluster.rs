//! What the API server says about nodes, as the plan wants it; and steps as changes of objects.
//!
//! Translates and decides nothing. Changes of Node objects carry the version that was read, so
//! that somebody else's change in between makes them fail and not disappear.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node as KubeNode, Pod, Taint};
use serde_json::{Value, json};

use crate::api::{AttestedNode, AttestedNodeStatus};
use crate::belief;
use crate::model::{Cordon, Node, Pods, State, Step};
use crate::selection::Rules;

/// The taint of a machine that is not trusted.
pub const UNTRUSTED: &str = "zeuge.dev/untrusted";
/// The taint with which a kubelet must register.
pub const START_TAINT: &str = "zeuge.dev/unattested";
/// The trust label: kubelets cannot set labels below this domain.
pub const TRUST_LABEL: &str = "attested.zeuge.node-restriction.kubernetes.io/state";
/// The label of an AttestedNode whose credentials shall be denied: the memory behind the list in
/// [`crate::denial`].
pub const DENIED_LABEL: &str = "zeuge.dev/denied";
/// The label of control-plane nodes.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

fn taints(node: &KubeNode) -> &[Taint] {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref());
    taints.unwrap_or_default()
}

fn has(node: &KubeNode, key: &str, effect: &str) -> bool {
    let fits = |taint: &Taint| taint.key == key && taint.effect == effect;
    taints(node).iter().any(fits)
}

/// Whether the kubelet reports Ready.
#[must_use]
pub fn ready(node: &KubeNode) -> bool {
    let conditions = node.status.as_ref().and_then(|it| it.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        let ready = |it: &&k8s_openapi::api::core::v1::NodeCondition| it.type_ == "Ready";
        conditions
            .iter()
            .find(ready)
            .is_some_and(|it| it.status == "True")
    })
}

/// Whether the node belongs to the control plane.
#[must_use]
pub fn control_plane(node: &KubeNode) -> bool {
    let labels = node.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(CONTROL_PLANE))
}

/// Everything that decisions depend on, but pods and clocks: those are asked for where needed.
#[must_use]
pub fn state<'a>(
    nodes: impl Iterator<Item = &'a KubeNode>,
    memories: impl Iterator<Item = &'a AttestedNode>,
    rules: &Rules,
    start_taint: &str,
) -> State {
    let mut all: BTreeMap<&str, (Option<&KubeNode>, Option<&AttestedNode>)> = BTreeMap::new();
    for node in nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        all.entry(name).or_default().0 = Some(node);
    }
    for memory in memories {
        let name = memory.metadata.name.as_deref().unwrap_or_default();
        all.entry(name).or_default().1 = Some(memory);
    }
    let machine = |(name, (node, memory)): (&str, _)| {
        let machine = machine(name, node, memory, rules, start_taint);
        (name.to_owned(), machine)
    };
    State {
        policy: rules.base.policy(),
        nodes: all.into_iter().map(machine).collect(),
        skew_secs: 0,
    }
}

/// One machine from its Node object, if there is one, and what is remembered.
#[must_use]
pub fn machine(
    name: &str,
    node: Option<&KubeNode>,
    memory: Option<&AttestedNode>,
    rules: &Rules,
    start_taint: &str,
) -> Node {
    let policy = &rules.base;
    let unknown = AttestedNodeStatus::default();
    let status = memory.and_then(|it| it.status.as_ref());
    let status = status.unwrap_or(&unknown);
    let labels = node.and_then(|it| it.metadata.labels.as_ref());
    let label = |key: &str| labels.and_then(|it| it.get(key)).map(String::as_str);
    let cordoned = node
        .and_then(|it| it.spec.as_ref()?.unschedulable)
        .unwrap_or(false);
    let boot = node.and_then(|it| Some(it.status.as_ref()?.node_info.as_ref()?.boot_id.as_str()));
    let taint = |key: &str, effect: &str| node.is_some_and(|it| has(it, key, effect));
    let denied = memory.and_then(|it| it.metadata.labels.as_ref());
    let announced = policy.maintenance.iter().find(|it| it.node == name);
    Node {
        live: node.is_some(),
        ready: node.is_some_and(ready),
        start_taint: taint(start_taint, "NoSchedule"),
        no_schedule: taint(UNTRUSTED, "NoSchedule"),
        no_execute: taint(UNTRUSTED, "NoExecute"),
        trusted: label(TRUST_LABEL) == Some("trusted"),
        cordon: match (cordoned, status.cordoned) {
            (false, _) => Cordon::No,
            (true, true) => Cordon::Ours,
            (true, false) => Cordon::Others,
        },
        pods: Pods::default(),
        believed: belief::believed(status),
        not_applicable: status.not_applicable.is_some(),
        rebooted: match (boot, &status.boot_id) {
            (Some(now), Some(judged)) => !now.is_empty() && now != judged,
            _ => false,
        },
        drain_since: belief::seconds(status.drain_since.as_ref()),
        denied: denied
            .and_then(|it| it.get(DENIED_LABEL))
            .is_some_and(|it| it == "true"),
        compromised: policy.compromised.iter().any(|it| it.node == name),
        maintenance_until: announced.and_then(|it| belief::seconds(Some(&it.until))),
        // Waivers are not the cluster's: crate::waiver puts them in.
        waived_until: None,
        silence_waived_until: None,
        tightened: rules.tightened(name, &status.bootstrap_groups),
    }
}

/// Whether a drain has to move the pod: it has not ended, is no mirror of a static pod, and no
/// DaemonSet would put it back at once.
#[must_use]
pub fn movable(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|it| it.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    let annotations = pod.metadata.annotations.as_ref();
    let mirror = annotations.is_some_and(|it| it.contains_key("kubernetes.io/config.mirror"));
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    let daemon = owners.iter().any(|it| it.kind == "DaemonSet");
    !ended && !mirror && !daemon
}

/// The merge patch of a step on the Node object; `None` when the step is not about it.
#[must_use]
pub fn change(node: &KubeNode, step: Step, start_taint: &str) -> Option<Value> {
    let spec = match step {
        Step::Distrust => {
            return Some(with(
                node,
                &[],
                Some((UNTRUSTED, "NoSchedule")),
                Some(Value::Null),
            ));
        }
        Step::Restart => {
            return Some(with(
                node,
                &[],
                Some((start_taint, "NoSchedule")),
                Some(Value::Null),
            ));
        }
        Step::NoExecute => return Some(with(node, &[], Some((UNTRUSTED, "NoExecute")), None)),
        Step::Permit => return Some(with(node, &[(UNTRUSTED, "NoExecute")], None, None)),
        Step::Trust => {
            let gone = [(UNTRUSTED, "NoSchedule"), (start_taint, "NoSchedule")];
            return Some(with(node, &gone, None, Some(json!("trusted"))));
        }
        Step::Exempt => {
            let gone = [(UNTRUSTED, "NoSchedule"), (start_taint, "NoSchedule")];
            return Some(with(node, &gone, None, Some(Value::Null)));
        }
        Step::Cordon => json!({"unschedulable": true}),
        Step::Uncordon => json!({"unschedulable": null}),
        Step::Evict | Step::Stuck | Step::Deny | Step::Delete | Step::Allow => return None,
    };
    Some(json!({"metadata": {"resourceVersion": node.metadata.resource_version}, "spec": spec}))
}

fn with(
    node: &KubeNode,
    gone: &[(&str, &str)],
    new: Option<(&str, &str)>,
    label: Option<Value>,
) -> Value {
    let mut kept: Vec<Value> = taints(node)
        .iter()
        .filter(|it| !gone.contains(&(it.key.as_str(), it.effect.as_str())))
        .map(|it| json!(it))
        .collect();
    if let Some((key, effect)) = new.filter(|(key, effect)| !has(node, key, effect)) {
        kept.push(json!({"key": key, "effect": effect}));
    }
    let mut patch = json!({
        "metadata": {"resourceVersion": node.metadata.resource_version},
        "spec": {"taints": kept},
    });
    if let Some(label) = label {
        patch["metadata"]["labels"] = json!({TRUST_LABEL: label});
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> KubeNode {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn strangers_taints_and_labels_stay() {
        let node = node(json!({
            "metadata": {"name": "n", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {"taints": [
                {"key": "gpu", "effect": "NoSchedule"},
                {"key": START_TAINT, "effect": "NoSchedule"}
            ]}
        }));
        assert_eq!(
            change(&node, Step::Trust, START_TAINT),
            Some(json!({
                "metadata": {"resourceVersion": "7", "labels": {TRUST_LABEL: "trusted"}},
                "spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}
            }))
        );
        let distrust = change(&node, Step::Distrust, START_TAINT).unwrap();
        assert_eq!(distrust["spec"]["taints"].as_array().unwrap().len(), 3);
        assert_eq!(distrust["metadata"]["labels"][TRUST_LABEL], Value::Null);
        assert_eq!(change(&node, Step::Evict, START_TAINT), None);
    }

    /// What a controller that starts anew knows is what the API server stored: bytes.
    #[test]
    fn a_stage_that_people_chose_holds_after_a_restart() {
        use crate::model::{Hold, Stage};
        use crate::plan;
        let now = 1_000_000;
        let nodes: Vec<Value> = (0..10)
            .map(|at| json!({"metadata": {"name": format!("n{at}")}}))
            .collect();
        let memories: Vec<Value> = (0..10)
            .map(|at| {
                let failed = (at < 7).then(|| belief::time(now - 60));
                json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestedNode",
                    "metadata": {"name": format!("n{at}")}, "spec": {}, "status": {
                        "judgedAt": belief::time(now - 60), "failedSince": failed.flatten(),
                        "cause": (at < 7).then_some("knowledge 8")}})
            })
            .collect();
        let policy = |acknowledged: Value| {
            let breaker = json!({"limit": "10%", "acknowledged": acknowledged});
            json!({"reaction": "Drain", "breaker": breaker}).to_string()
        };
        let holds = |policy: &str| {
            let rules = Rules::only(serde_json::from_str(policy).unwrap());
            let read = |it: &Value| it.to_string();
            let nodes: Vec<KubeNode> = nodes
                .iter()
                .map(|it| serde_json::from_str(&read(it)).unwrap())
                .collect();
            let memories: Vec<AttestedNode> = memories
                .iter()
                .map(|it| serde_json::from_str(&read(it)).unwrap())
                .collect();
            plan::holds(
                &state(nodes.iter(), memories.iter(), &rules, START_TAINT),
                now,
            )
        };
        let [Hold::Breaker { cause, stage, .. }] = &holds(&policy(Value::Null))[..] else {
            panic!("it holds");
        };
        assert_eq!(*stage, Stage::Observe);
        let chosen = policy(json!({"cause": cause, "stage": "NoJoins"}));
        for _ in 0..2 {
            assert!(matches!(
                &holds(&chosen)[..],
                [Hold::Breaker { failed: 7, allowed: 1, cause: again, stage: Stage::NoJoins }]
                    if again == cause
            ));
        }
    }

    #[test]
    fn pods_that_would_come_back_at_once_are_not_moved() {
        let pod = |value| movable(&serde_json::from_value(value).unwrap());
        assert!(pod(json!({"metadata": {"name": "a"}})));
        assert!(!pod(
            json!({"metadata": {"name": "a"}, "status": {"phase": "Failed"}})
        ));
        let mirror = json!({"kubernetes.io/config.mirror": "x"});
        assert!(!pod(
            json!({"metadata": {"name": "a", "annotations": mirror}})
        ));
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u"}]);
        assert!(!pod(
            json!({"metadata": {"name": "a", "ownerReferences": owner}})
        ));
    }
}
