//! The controller as a static pod of a control-plane machine: the kubelet starts it from a file, so
//! that after a power-off it waits for no scheduler, no other node and no network of pods.
//!
//! Its pins and its identity are files of that machine, never objects of the cluster; the manifest
//! names none. Where that machine is not attested, whoever has it has the controller.

use serde_json::{Value, json};

use super::MANAGER;
use super::inside::{METRICS_PORT, USER};

/// Where the machine keeps what the controller reads.
pub const FOLDER: &str = "/etc/kubernetes/zeuge-kube";

/// The manifest, for the kubelet's `staticPodPath`.
#[must_use]
pub fn static_pod(image: &str, audience: &str, tenant: &str, start_taint: &str) -> Value {
    let file = |name: &str| format!("{FOLDER}/{name}");
    let probe = json!({"httpGet": {"host": "127.0.0.1", "path": "/healthz", "port": METRICS_PORT},
        "periodSeconds": 20, "failureThreshold": 3});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": MANAGER, "namespace": "kube-system",
            "labels": {"app.kubernetes.io/name": MANAGER}},
        "spec": {
            // Networks of pods come later than this.
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "securityContext": {"runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "controller",
                "image": image,
                "args": [
                    "controller", "--kubeconfig", file("controller.kubeconfig"),
                    "--witness", file("witness.json"), "--audience", audience,
                    "--tenant", tenant, "--start-taint", start_taint,
                    "--metrics", format!("127.0.0.1:{METRICS_PORT}")
                ],
                "livenessProbe": probe,
                "resources": {"requests": {"cpu": "50m", "memory": "150Mi"},
                    "limits": {"memory": "300Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "files", "mountPath": FOLDER, "readOnly": true}]
            }],
            "volumes": [{"name": "files", "hostPath": {"path": FOLDER, "type": "Directory"}}]
        }
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn a_static_pod_names_no_object_of_the_cluster() {
        let pod = static_pod(
            "i@sha256:0",
            "cluster.example",
            "acme",
            "zeuge.dev/unattested",
        );
        let text = pod.to_string();
        // What a kubelet refuses in a static pod.
        for word in [
            "serviceAccount",
            "configMap",
            "secret",
            "persistentVolumeClaim",
        ] {
            assert!(!text.contains(word), "{word}");
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(pod.spec.unwrap().host_network, Some(true));
    }
}
