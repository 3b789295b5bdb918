//! What an installation puts into a cluster: definitions, rights and admission policies.
//!
//! The controller itself is among them only when asked for ([`Inside`]): it runs outside of the
//! cluster that it guards, so that a cold start does not wait for itself (`docs/kubernetes.md`).
//! One list is the source of `--dry-run`, `--apply`, `uninstall`, the chart and the committed file.
//! Never puts a taint on a node.

mod alerts;
mod chart;
mod daemonset;
mod inside;
mod static_pod;

use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::CustomResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::api::{AttestationPolicy, AttestedNode};
use crate::cluster::{START_TAINT, TRUST_LABEL, UNTRUSTED};
use crate::denial;
use crate::error::Error;
use crate::join::{CLIENT_SIGNER, SERVING_SIGNER};
use crate::leader::LEASE;

/// The namespace of the controller's identity.
pub const NAMESPACE: &str = "zeuge-system";
const MANAGER: &str = "zeuge-kube";

pub use alerts::{RUNBOOKS, groups};
pub use chart::files;
pub use daemonset::{AGENTS, DaemonSet};
pub use inside::{Inside, METRICS_PORT};
pub use static_pod::{FOLDER, static_pod};

/// What differs between installations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The key of the taint with which kubelets must register.
    pub start_taint: String,
    /// The controller as pods of the cluster.
    pub inside: Option<Inside>,
    /// The agent as pods of every node, on managed clusters.
    pub daemonset: Option<DaemonSet>,
    /// Rules for the operator of Prometheus, whose definitions must be there.
    pub alerts: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            start_taint: START_TAINT.to_owned(),
            inside: None,
            daemonset: None,
            alerts: false,
        }
    }
}

/// Everything, in the order in which it must come to be.
#[must_use]
pub fn objects(shape: &Shape) -> Vec<Value> {
    let mut all = base(&shape.start_taint);
    if let Some(inside) = &shape.inside {
        all.extend(inside::objects(inside, &shape.start_taint));
    }
    if let Some(daemonset) = &shape.daemonset {
        all.extend(daemonset::objects(daemonset));
    }
    if shape.alerts {
        all.push(alerts::object());
    }
    furnish(&mut all);
    all
}

fn furnish(objects: &mut [Value]) {
    for object in objects {
        object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!(MANAGER);
    }
}

/// What every installation has.
fn base(start_taint: &str) -> Vec<Value> {
    let mut all = vec![
        json!(AttestationPolicy::crd()),
        json!(AttestedNode::crd()),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": MANAGER, "namespace": NAMESPACE},
            "automountServiceAccountToken": false}),
        role("zeuge-kube-controller", &controller_rules()),
        binding(
            "zeuge-kube-controller",
            &json!({"kind": "ServiceAccount", "name": MANAGER,
            "namespace": NAMESPACE}),
        ),
        role(
            "zeuge-kube-node",
            &json!([
                {"apiGroups": ["zeuge.dev"], "resources": ["attestednodes"],
                    "verbs": ["get", "list", "watch", "patch"]}
            ]),
        ),
        binding(
            "zeuge-kube-node",
            &json!({"kind": "Group", "name": "system:nodes",
            "apiGroup": "rbac.authorization.k8s.io"}),
        ),
    ];
    all.extend(lease());
    for policy in [
        start_taint_policy(start_taint),
        own_result_policy(),
        denial::policy(),
    ] {
        let bound = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": policy["metadata"],
            "spec": {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
        });
        all.extend([policy, bound]);
    }
    all
}

/// The Lease, and the right to renew this one and no other; so nobody need be allowed to create.
fn lease() -> [Value; 3] {
    let (place, group) = (
        json!({"name": LEASE, "namespace": NAMESPACE}),
        "rbac.authorization.k8s.io",
    );
    [
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": place}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": place,
            "rules": [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "resourceNames": [LEASE], "verbs": ["get", "update"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": place,
            "subjects": [{"kind": "ServiceAccount", "name": MANAGER, "namespace": NAMESPACE}],
            "roleRef": {"apiGroup": group, "kind": "Role", "name": LEASE}}),
    ]
}

fn controller_rules() -> Value {
    let certificates = "certificates.k8s.io";
    json!([
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
        {"apiGroups": [certificates], "resources": ["certificatesigningrequests"], "verbs": ["list", "watch"]},
        {"apiGroups": [certificates], "resources": ["certificatesigningrequests/approval"],
            "verbs": ["patch"]},
        {"apiGroups": [certificates], "resources": ["signers"],
            "resourceNames": [CLIENT_SIGNER, SERVING_SIGNER], "verbs": ["approve"]},
        {"apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["clusterroles", "clusterrolebindings"], "verbs": ["list"]},
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["validatingadmissionpolicies"],
            "resourceNames": [denial::POLICY], "verbs": ["get", "patch"]},
        {"apiGroups": ["zeuge.dev"], "resources": ["attestationpolicies"], "verbs": ["list", "watch"]},
        {"apiGroups": ["zeuge.dev"], "resources": ["attestednodes"],
            "verbs": ["get", "list", "watch", "create", "patch"]},
        {"apiGroups": ["zeuge.dev"], "resources": ["attestationpolicies/status", "attestednodes/status"],
            "verbs": ["update"]},
    ])
}

fn role(name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, subject: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": name}, "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}})
}

fn policy(name: &str, rule: &Value, condition: &str, validations: &Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "who", "expression": condition}],
            "validations": validations
        }
    })
}

const BY_A_NODE: &str = "'system:nodes' in request.userInfo.groups";

/// A kubelet registers with the start taint, or not at all.
fn start_taint_policy(key: &str) -> Value {
    let demand = format!(
        "has(object.spec.taints) && object.spec.taints.exists(t, t.key == '{key}' && t.effect == 'NoSchedule')"
    );
    policy(
        "zeuge-start-taint",
        &json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["nodes"]}),
        BY_A_NODE,
        &json!([{"expression": demand, "message":
            format!("a node registers with the taint {key}:NoSchedule (--register-with-taints)")}]),
    )
}

/// A node brings results for itself and changes nothing else.
fn own_result_policy() -> Value {
    policy(
        "zeuge-own-result",
        &json!({"apiGroups": ["zeuge.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": ["attestednodes"]}),
        BY_A_NODE,
        &json!([
            {"expression": "request.userInfo.username == 'system:node:' + object.metadata.name",
                "message": "a node brings results for itself only"},
            {"expression": "oldObject != null && object.metadata.?labels == oldObject.metadata.?labels",
                "message": "labels are the controller's"}
        ]),
    )
}

fn api(client: &Client, object: &Value) -> Option<(Api<DynamicObject>, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (group, version) = match text(&object["apiVersion"])?.split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), text(&object["apiVersion"])?),
    };
    let kind = GroupVersionKind {
        group,
        version,
        kind: text(&object["kind"])?,
    };
    let plural = match kind.kind.as_str() {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        other => format!("{}s", other.to_lowercase()),
    };
    let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
    let api = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Some((api, text(&object["metadata"]["name"])?))
}

/// Applies everything on the server's side; again is the same.
///
/// # Errors
/// `kube.api`.
pub async fn apply(client: &Client, shape: &Shape) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    for object in objects(shape) {
        let Some((api, name)) = api(client, &object) else {
            continue;
        };
        let ours = PatchParams::apply(MANAGER).force();
        let object = keeping(&api, object).await?;
        // The API server may not have taken up a definition yet.
        let mut tries = 0_u32;
        loop {
            match api
                .patch(&name, &ours, &Patch::Apply(&object))
                .await
                .map_err(Error::from)
            {
                Ok(_) => break,
                Err(error) if error.is(404) && tries < 20 => {
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
                }
                Err(error) => return Err(error),
            }
        }
        done.push(format!(
            "{} {name}",
            object["kind"].as_str().unwrap_or_default()
        ));
    }
    Ok(done)
}

/// Who is denied stays denied: the list in that policy is the controller's.
async fn keeping(api: &Api<DynamicObject>, mut object: Value) -> Result<Value, Error> {
    let named = object["metadata"]["name"] == denial::POLICY;
    if named && object["kind"] == "ValidatingAdmissionPolicy" {
        let there = api.get_opt(denial::POLICY).await?;
        let expressions = there.as_ref().map(|it| &it.data["spec"]["validations"]);
        let expressions = expressions.and_then(Value::as_array).into_iter().flatten();
        let denied = denial::denied(expressions.filter_map(|it| it["expression"].as_str()));
        object["spec"]["validations"] = json!(denial::validations(&denied)?);
    }
    Ok(object)
}

/// Takes everything back: rights first, so that a controller that still runs puts nothing again,
/// then objects, then our taints, labels and cordons of nodes. Waits until all is gone.
///
/// # Errors
/// `kube.api`; `kube.local` when something is still there after a minute.
pub async fn remove(client: &Client, start_taint: &str) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    let mut all = base(start_taint);
    // Whether there were any or not; their contents do not matter here.
    all.extend(daemonset::objects(&DaemonSet {
        image: String::new(),
        audience: String::new(),
        config: String::new(),
        device: None,
    }));
    all.reverse();
    // Then policies: they would speak about objects that go.
    let rank = |it: &Value| match it["kind"].as_str() {
        Some("ClusterRoleBinding" | "RoleBinding") => 0,
        Some("CustomResourceDefinition") => 2,
        _ => 1,
    };
    all.sort_by_key(rank);
    let bindings = all.iter().filter(|it| rank(it) == 0).count();
    let (bindings, others) = all.split_at(bindings);
    delete(client, bindings, &mut done).await?;
    let memories: Api<AttestedNode> = Api::all(client.clone());
    let memories = match memories
        .list(&ListParams::default())
        .await
        .map_err(Error::from)
    {
        Ok(list) => list.items,
        Err(error) if error.is(404) => Vec::new(),
        Err(error) => return Err(error),
    };
    let ours = |it: &&AttestedNode| it.status.as_ref().is_some_and(|status| status.cordoned);
    let cordoned: Vec<String> = memories
        .iter()
        .filter(ours)
        .map(|it| it.name_any())
        .collect();
    delete(client, others, &mut done).await?;
    let nodes: Api<KubeNode> = Api::all(client.clone());
    for node in nodes.list(&ListParams::default()).await? {
        let name = node.name_any();
        if free(&nodes, &name, start_taint, cordoned.contains(&name)).await? {
            done.push(format!("taints, label and cordon of Node {name}"));
        }
    }
    gone(client, &all).await?;
    Ok(done)
}

async fn delete(client: &Client, objects: &[Value], done: &mut Vec<String>) -> Result<(), Error> {
    for object in objects {
        let Some((api, name)) = api(client, object) else {
            continue;
        };
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        match deleted.map_err(Error::from) {
            Ok(_) => done.push(format!(
                "{} {name}",
                object["kind"].as_str().unwrap_or_default()
            )),
            Err(error) if error.is(404) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until none of the objects is there.
async fn gone(client: &Client, objects: &[Value]) -> Result<(), Error> {
    for object in objects {
        let Some((api, name)) = api(client, object) else {
            continue;
        };
        let mut tries = 0_u32;
        loop {
            match api.get(&name).await.map_err(Error::from) {
                Err(error) if error.is(404) => break,
                Err(error) => return Err(error),
                Ok(_) if tries >= 240 => {
                    return Err(Error::Local(format!("{name} does not go")));
                }
                Ok(_) => {}
            }
            tries = tries.saturating_add(1);
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
    }
    Ok(())
}

/// Takes from one node what is ours; whether there was anything. Its kubelet writes it all the
/// time, so what fails for that is read again.
async fn free(
    nodes: &Api<KubeNode>,
    name: &str,
    start_taint: &str,
    cordoned: bool,
) -> Result<bool, Error> {
    let mut tries = 0_u32;
    loop {
        let Some(node) = nodes.get_opt(name).await? else {
            return Ok(false);
        };
        let spec = node.spec.clone().unwrap_or_default();
        let taints = spec.taints.unwrap_or_default();
        let ours = |key: &str| key == UNTRUSTED || key == start_taint;
        let kept: Vec<_> = taints.iter().filter(|it| !ours(&it.key)).collect();
        let uncordon = cordoned && spec.unschedulable == Some(true);
        if kept.len() == taints.len() && !node.labels().contains_key(TRUST_LABEL) && !uncordon {
            return Ok(false);
        }
        let mut patch = json!({"metadata": {"resourceVersion": node.metadata.resource_version,
            "labels": {TRUST_LABEL: null}}, "spec": {"taints": kept}});
        if uncordon {
            patch["spec"]["unschedulable"] = Value::Null;
        }
        let patched = nodes
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        match patched.map_err(Error::from) {
            Ok(_) => return Ok(true),
            Err(error) if error.is(409) && tries < 10 => tries = tries.saturating_add(1),
            Err(error) => return Err(error),
        }
    }
}

/// Documents of YAML; strings are quoted as in JSON, which YAML reads.
#[must_use]
pub fn yaml(objects: &[Value]) -> String {
    let mut out = String::new();
    for object in objects {
        out.push_str("---\n");
        write(object, 0, &mut out);
    }
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = json!(key).to_string();
                let plain = key.trim_matches('"');
                let simple = plain
                    .bytes()
                    .all(|it| it.is_ascii_alphanumeric() || it == b'-');
                out.push_str(&format!("{pad}{}:", if simple { plain } else { &key }));
                below(value, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&format!("{pad}-"));
                below(item, depth, out);
            }
        }
        other => out.push_str(&format!("{pad}{}\n", scalar(other))),
    }
}

/// An expression of a chart stands as it is: Helm quotes what it puts there.
fn scalar(value: &Value) -> String {
    match value.as_str() {
        Some(text) if text.starts_with("{{") && text.ends_with("}}") && text.contains('|') => {
            text.to_owned()
        }
        _ => value.to_string(),
    }
}

fn below(value: &Value, depth: usize, out: &mut String) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        write(value, depth.saturating_add(1), out);
    } else {
        out.push_str(&format!(" {}\n", scalar(value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_file_is_what_the_program_would_apply() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kubernetes.yaml");
        let wanted = yaml(&objects(&Shape::default()));
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == wanted,
            "deploy/kubernetes.yaml: zeuge-kube install --dry-run > deploy/kubernetes.yaml"
        );
    }

    #[test]
    fn the_committed_alerts_are_those_of_the_program() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/alerts.yaml");
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == yaml(&[json!({"groups": groups()})]),
            "deploy/alerts.yaml: zeuge-kube install --print-alerts > deploy/alerts.yaml"
        );
    }

    #[test]
    fn yaml_nests_and_quotes() {
        let object = json!({"a": {"b/c": ["x: y", {"d": 1}, []]}, "e": null});
        let wanted = "---\na:\n  \"b/c\":\n    - \"x: y\"\n    -\n      d: 1\n    - []\ne: null\n";
        assert_eq!(yaml(&[object]), wanted);
    }

    #[test]
    fn the_controller_can_neither_sign_nor_impersonate_nor_read_secrets() {
        let text = controller_rules().to_string();
        for word in [
            "secrets",
            "impersonate",
            "\"sign\"",
            "\"*\"",
            "escalate",
            "bind\"",
        ] {
            assert!(!text.contains(word), "{word}");
        }
    }
}
