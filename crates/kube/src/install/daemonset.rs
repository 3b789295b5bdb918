//! The agent in a pod of every node, for managed clusters whose kubelets' keys cannot be attested.
//!
//! Weaker than a unit of the measured image in all that matters, and only when asked for: what the
//! pods bring is shown as declared and believed for nothing ([`crate::declared`]). The pods are as
//! restricted as the device allows; each exception says why. Never privileged.

use serde_json::{Value, json};

use super::policy;

/// The namespace of the pods: what they need is refused in the controller's.
pub const AGENTS: &str = "zeuge-agents";
/// The pods, and their identity.
const AGENT: &str = "zeuge-agent";
/// The policy that keeps a pod to the node that it runs on.
const DECLARED_POLICY: &str = "zeuge-declared";
/// What the API server says of the token of a pod.
const NODE_OF_POD: &str = "authentication.kubernetes.io/node-name";

/// What the pods need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSet {
    /// The image with `zeuge-kube` as its entry point and `zeuge-agent` on its path; by digest.
    pub image: String,
    /// For whom Attestation Results must be meant.
    pub audience: String,
    /// The agent's configuration. An object of the cluster and so not measured.
    pub config: String,
    /// The resource of a device plugin that brings /dev/tpmrm0; with none, configfs-tsm is used.
    pub device: Option<String>,
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": AGENT})
}

fn meta() -> Value {
    json!({"name": AGENT, "namespace": AGENTS})
}

/// The objects beside those that every installation has.
pub(super) fn objects(it: &DaemonSet) -> Vec<Value> {
    let group = "rbac.authorization.k8s.io";
    // Pod Security knows no smaller step: a path of the host is allowed in *privileged* alone, and
    // *restricted* refuses root, who owns both devices.
    let level = if it.device.is_some() {
        "baseline"
    } else {
        "privileged"
    };
    let demanded = demand();
    let bound = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding", "metadata": demanded["metadata"],
        "spec": {"policyName": DECLARED_POLICY, "validationActions": ["Deny"]}});
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AGENTS,
            "labels": {"pod-security.kubernetes.io/enforce": level}}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(),
            "automountServiceAccountToken": false}),
        json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole",
        "metadata": {"name": AGENT}, "rules": [
            {"apiGroups": ["zeuge.dev"], "resources": ["attestednodes"], "verbs": ["patch"]},
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"],
                "verbs": ["get"]}
        ]}),
        json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": AGENT},
            "subjects": [{"kind": "ServiceAccount", "name": AGENT, "namespace": AGENTS}],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": AGENT}}),
        demanded,
        bound,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(),
            "data": {"agent.json": it.config}}),
        // Nothing comes in. Where the witness is, no policy can name for every cluster.
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta(),
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []}}),
        daemonset(it),
    ]
}

/// A pod declares for its own node, and changes nothing else of that object.
fn demand() -> Value {
    policy(
        DECLARED_POLICY,
        &json!({"apiGroups": ["zeuge.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
            "resources": ["attestednodes"]}),
        &format!("request.userInfo.username == 'system:serviceaccount:{AGENTS}:{AGENT}'"),
        &json!([
            {"expression": format!("has(request.userInfo.extra) && '{NODE_OF_POD}' in request.userInfo.extra \
                && request.userInfo.extra['{NODE_OF_POD}'] == [object.metadata.name]"),
                "message": "a pod declares for the node that it runs on only"},
            {"expression": "oldObject != null \
                && object.metadata.?labels == oldObject.metadata.?labels \
                && object.metadata.?annotations == oldObject.metadata.?annotations \
                && object.spec.?results == oldObject.spec.?results",
                "message": "a pod changes nothing but what it declares"}
        ]),
    )
}

fn daemonset(it: &DaemonSet) -> Value {
    let mut volumes = vec![
        json!({"name": "config", "configMap": {"name": AGENT}}),
        json!({"name": "state", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}),
    ];
    if it.device.is_none() {
        volumes.push(json!({"name": "configfs",
            "hostPath": {"path": "/sys/kernel/config", "type": "Directory"}}));
    }
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta(), "spec": {
        "selector": {"matchLabels": labels()},
        "template": {"metadata": {"labels": labels()}, "spec": {
            "serviceAccountName": AGENT,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            // Every node is shown, those that wait and those that others tainted too.
            "tolerations": [{"operator": "Exists"}],
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "containers": [container(it)],
            "volumes": volumes
        }}
    }})
}

fn container(it: &DaemonSet) -> Value {
    let mut mounts = vec![
        json!({"name": "config", "mountPath": "/etc/zeuge", "readOnly": true}),
        json!({"name": "state", "mountPath": "/run/zeuge"}),
    ];
    // Root owns the device, and needs no capability for it.
    let mut security = json!({"runAsUser": 0, "runAsGroup": 0, "privileged": false,
        "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}});
    let mut limits = json!({"memory": "64Mi"});
    match &it.device {
        Some(resource) => limits[resource.as_str()] = json!(1),
        None => {
            mounts.push(json!({"name": "configfs", "mountPath": "/sys/kernel/config"}));
            // The profile of container runtimes refuses to write below /sys, which a question to
            // configfs-tsm does.
            security["appArmorProfile"] = json!({"type": "Unconfined"});
        }
    }
    json!({
        "name": "agent",
        "image": it.image,
        "args": [
            "node", "declare", "--name", "$(NODE_NAME)", "--audience", it.audience,
            "--dir", "/run/zeuge", "--", "zeuge-agent", "attest",
            "--config", "/etc/zeuge/agent.json", "--state", "/run/zeuge/agent"
        ],
        "env": [{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "resources": {"requests": {"cpu": "5m", "memory": "24Mi"}, "limits": limits},
        "securityContext": security,
        "volumeMounts": mounts
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::DaemonSet as KubeDaemonSet;

    use super::*;

    fn made(device: Option<&str>) -> Vec<Value> {
        objects(&DaemonSet {
            image: "i@sha256:0".into(),
            audience: "a".into(),
            config: "{}".into(),
            device: device.map(str::to_owned),
        })
    }

    #[test]
    fn pods_are_never_privileged_and_may_do_what_the_device_needs_and_no_more() {
        for device in [None, Some("example.org/tpm")] {
            let all = made(device);
            let set: KubeDaemonSet = serde_json::from_value(all.last().unwrap().clone()).unwrap();
            let pod = set.spec.unwrap().template.spec.unwrap();
            let security = pod.containers[0].security_context.clone().unwrap();
            assert_eq!(security.privileged, Some(false));
            assert_eq!(security.allow_privilege_escalation, Some(false));
            assert_eq!(security.read_only_root_filesystem, Some(true));
            assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
            assert_eq!(pod.host_network.or(pod.host_pid).or(pod.host_ipc), None);
            let paths = pod.volumes.unwrap();
            let paths: Vec<_> = paths
                .iter()
                .filter_map(|it| it.host_path.as_ref())
                .collect();
            let limits = pod.containers[0].resources.clone().unwrap().limits.unwrap();
            match device {
                None => {
                    assert_eq!(paths.len(), 1);
                    assert_eq!(paths[0].path, "/sys/kernel/config");
                }
                Some(resource) => {
                    assert!(paths.is_empty() && security.app_armor_profile.is_none());
                    assert_eq!(limits[resource].0, "1");
                }
            }
        }
    }

    #[test]
    fn an_agents_identity_may_write_declarations_and_nothing_else() {
        let wanted = json!([
            {"apiGroups": ["zeuge.dev"], "resources": ["attestednodes"], "verbs": ["patch"]},
            {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"],
                "verbs": ["get"]}
        ]);
        let all = made(None);
        let roles: Vec<&Value> = all
            .iter()
            .filter(|it| it["kind"].as_str().is_some_and(|it| it.ends_with("Role")))
            .map(|it| &it["rules"])
            .collect();
        assert_eq!(roles, [&wanted]);
    }
}
