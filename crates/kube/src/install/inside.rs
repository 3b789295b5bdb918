//! The controller as pods of the cluster that it guards: two, of which one acts.
//!
//! Weaker than outside, and only when asked for: whoever runs the API server can change these
//! objects, the pinned keys of witnesses among them, and after a cold start the controller waits
//! for a node that waits for the controller, unless a node's certificate is still good
//! (`docs/kubernetes.md`). The pods keep the profile *restricted* of Pod Security.

use serde_json::{Value, json};

use super::{MANAGER, NAMESPACE};

/// Where pods show numbers and whether they live.
pub const METRICS_PORT: u16 = 9464;
/// The user of the pods: nobody that an image knows.
pub(super) const USER: u32 = 65_532;

/// What the pods need to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// The image with the program `zeuge-kube` as its entry point; by digest, or it is anybody's.
    pub image: String,
    /// The pinned witness, as the controller's option `--witness` reads it.
    pub witness: String,
    /// For whom Attestation Results must be meant.
    pub audience: String,
    /// The tenant whose policy must have been applied.
    pub tenant: String,
    /// The port of the API server behind its Service.
    pub api_server_port: String,
    /// The namespace from which numbers may be fetched.
    pub monitoring_namespace: String,
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": MANAGER})
}

fn meta() -> Value {
    json!({"name": MANAGER, "namespace": NAMESPACE})
}

/// A number where it is one; an expression of a chart stays as it is.
fn port(text: &str) -> Value {
    text.parse::<u16>().map_or(json!(text), |port| json!(port))
}

/// The objects beside those that every installation has.
pub(super) fn objects(inside: &Inside, start_taint: &str) -> Vec<Value> {
    vec![
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(),
            "data": {"witness.json": inside.witness}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": meta(), "spec": {
            "clusterIP": "None", "selector": labels(),
            "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"}]}}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta(),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels()}}}),
        network(inside),
        deployment(inside, start_taint),
    ]
}

/// Nothing comes in but who fetches numbers; nothing goes out but to the API server. Its address
/// is nothing that a policy can name for every cluster, so only the port is held.
fn network(inside: &Inside) -> Value {
    let from = json!({"kubernetes.io/metadata.name": inside.monitoring_namespace});
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta(),
    "spec": {
        "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"namespaceSelector": {"matchLabels": from}}],
            "ports": [{"protocol": "TCP", "port": METRICS_PORT}]}],
        "egress": [{"ports": [{"protocol": "TCP", "port": 443},
            {"protocol": "TCP", "port": port(&inside.api_server_port)}]}]
    }})
}

fn deployment(inside: &Inside, start_taint: &str) -> Value {
    let control_plane = "node-role.kubernetes.io/control-plane";
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(), "spec": {
        "replicas": 2,
        "selector": {"matchLabels": labels()},
        "template": {"metadata": {"labels": labels()}, "spec": {
            "serviceAccountName": MANAGER,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "nodeSelector": {control_plane: ""},
            // A node that came back waits for this controller with the start taint on it.
            "tolerations": [
                {"key": control_plane, "operator": "Exists", "effect": "NoSchedule"},
                {"key": start_taint, "operator": "Exists", "effect": "NoSchedule"}
            ],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": labels()}}}]}},
            "securityContext": {"runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container(inside, start_taint)],
            "volumes": [{"name": "witness", "configMap": {"name": MANAGER}}]
        }}
    }})
}

fn container(inside: &Inside, start_taint: &str) -> Value {
    let probe = json!({"httpGet": {"path": "/healthz", "port": "metrics"}, "periodSeconds": 20,
        "failureThreshold": 3});
    json!({
        "name": "controller",
        "image": inside.image,
        "args": [
            "controller", "--witness", "/etc/zeuge/witness.json",
            "--audience", inside.audience, "--tenant", inside.tenant,
            "--start-taint", start_taint, "--metrics", format!("0.0.0.0:{METRICS_PORT}")
        ],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "livenessProbe": probe,
        "resources": {"requests": {"cpu": "50m", "memory": "150Mi"}, "limits": {"memory": "300Mi"}},
        "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "witness", "mountPath": "/etc/zeuge", "readOnly": true}]
    })
}
