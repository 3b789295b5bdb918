//! What an installation puts into a cluster: definitions, rights and admission policies.
//!
//! The controller itself is not among them: it runs outside of the cluster that it guards, so that
//! a cold start does not wait for itself (`docs/kubernetes.md`). One list is the source of
//! `--dry-run`, `--apply`, `uninstall` and the committed file. Never puts a taint on a node.

use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::CustomResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::api::{AttestationPolicy, AttestedNode};
use crate::cluster::{DENIED_LABEL, TRUST_LABEL, UNTRUSTED};
use crate::error::Error;
use crate::join::{CLIENT_SIGNER, SERVING_SIGNER};

/// The namespace of the controller's identity.
pub const NAMESPACE: &str = "zeuge-system";
const MANAGER: &str = "zeuge-kube";

/// Everything, in the order in which it must come to be.
#[must_use]
pub fn objects(start_taint: &str) -> Vec<Value> {
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
                {"apiGroups": ["zeuge.dev"], "resources": ["attestednodes"], "verbs": ["get", "patch"]}
            ]),
        ),
        binding(
            "zeuge-kube-node",
            &json!({"kind": "Group", "name": "system:nodes",
            "apiGroup": "rbac.authorization.k8s.io"}),
        ),
    ];
    for (policy, parameters) in [
        (start_taint_policy(start_taint), None),
        (own_result_policy(), None),
        (
            denied_policy(),
            Some(json!({"selector": {"matchLabels": {DENIED_LABEL: "true"}},
                "parameterNotFoundAction": "Allow"})),
        ),
    ] {
        let mut bound = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": policy["metadata"],
            "spec": {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
        });
        if let Some(parameters) = parameters {
            bound["spec"]["paramRef"] = parameters;
        }
        all.extend([policy, bound]);
    }
    for object in &mut all {
        object["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!(MANAGER);
    }
    all
}

fn controller_rules() -> Value {
    let certificates = "certificates.k8s.io";
    json!([
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
        {"apiGroups": [certificates], "resources": ["certificatesigningrequests"], "verbs": ["list", "watch"]},
        {"apiGroups": [certificates], "resources": ["certificatesigningrequests/approval"],
            "verbs": ["patch", "update"]},
        {"apiGroups": [certificates], "resources": ["signers"],
            "resourceNames": [CLIENT_SIGNER, SERVING_SIGNER], "verbs": ["approve"]},
        {"apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["clusterroles", "clusterrolebindings"], "verbs": ["list"]},
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

/// A node whose credentials are denied writes nothing but results, for the day it is repaired.
fn denied_policy() -> Value {
    let mut policy = policy(
        "zeuge-denied",
        &json!({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"],
            "operations": ["CREATE", "UPDATE", "DELETE"]}),
        "'system:nodes' in request.userInfo.groups && request.resource.group != 'zeuge.dev'",
        &json!([{"expression":
            "request.userInfo.username != 'system:node:' + params.metadata.name",
            "message": "the evidence of this node failed: its credentials are denied"}]),
    );
    policy["spec"]["paramKind"] =
        json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestedNode"});
    policy
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
pub async fn apply(client: &Client, start_taint: &str) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    for object in objects(start_taint) {
        let Some((api, name)) = api(client, &object) else {
            continue;
        };
        let ours = PatchParams::apply(MANAGER).force();
        // A policy may name a kind whose definition the API server has not taken up yet.
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

/// Takes our taints and labels from all nodes, then everything else.
///
/// # Errors
/// `kube.api`.
pub async fn remove(client: &Client, start_taint: &str) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    let nodes: Api<KubeNode> = Api::all(client.clone());
    let mut all = objects(start_taint);
    all.reverse();
    // Policies first: they would speak about objects that go.
    let rank = |it: &Value| u8::from(it["kind"] == "CustomResourceDefinition");
    all.sort_by_key(rank);
    for object in &all {
        let Some((api, name)) = api(client, object) else {
            continue;
        };
        match api
            .delete(&name, &DeleteParams::default())
            .await
            .map_err(Error::from)
        {
            Ok(_) => done.push(format!(
                "{} {name}",
                object["kind"].as_str().unwrap_or_default()
            )),
            Err(error) if error.is(404) => {}
            Err(error) => return Err(error),
        }
    }
    for node in nodes.list(&ListParams::default()).await? {
        let taints = node
            .spec
            .as_ref()
            .and_then(|it| it.taints.clone())
            .unwrap_or_default();
        let kept: Vec<_> = taints
            .iter()
            .filter(|it| it.key != UNTRUSTED && it.key != start_taint)
            .collect();
        let name = node.name_any();
        if kept.len() == taints.len() && !node.labels().contains_key(TRUST_LABEL) {
            continue;
        }
        let patch = json!({"metadata": {"resourceVersion": node.metadata.resource_version,
            "labels": {TRUST_LABEL: null}}, "spec": {"taints": kept}});
        nodes
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        done.push(format!("taints and label of Node {name}"));
    }
    Ok(done)
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
        other => out.push_str(&format!("{pad}{other}\n")),
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
        out.push_str(&format!(" {value}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_file_is_what_the_program_would_apply() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/kubernetes.yaml");
        let wanted = yaml(&objects(crate::cluster::START_TAINT));
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == wanted,
            "deploy/kubernetes.yaml: zeuge-kube install --dry-run > deploy/kubernetes.yaml"
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
