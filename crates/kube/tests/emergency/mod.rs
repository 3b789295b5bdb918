//! Preflight, waivers by the command line, and the script that needs nothing of ours.

use std::fs;
use std::process::Command;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use zeuge_kube::api::AttestedNode;
use zeuge_kube::cluster::{START_TAINT, UNTRUSTED};
use zeuge_protocol::text::base64url;

use crate::cluster::{self, Cluster, cordoned, eventually, tainted, trusted};

#[tokio::test(flavor = "multi_thread")]
async fn preflight_refuses_what_would_not_hold_and_break_glass_frees_a_cluster() {
    if !crate::wanted("preflight_refuses_what_would_not_hold_and_break_glass_frees_a_cluster") {
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = crate::furnished().await;
    preflight(&cluster).await;
    let worker = cluster.join("worker-1").await;
    outage(&cluster);
    let bad = cluster.result(&worker, &["policy.debug"]);
    cluster.bring(&worker, &[&bad]).await.unwrap();
    cluster.node("worker-1", "is cordoned", cordoned).await;
    waived(&cluster).await;
    // Somebody else wrote the waiver, so it goes only by being named.
    let mut without = crate::policy("Cordon");
    without["spec"]["waivers"] = json!([]);
    cluster.apply(without).await;
    cluster
        .node("worker-1", "is cordoned again", cordoned)
        .await;
    cluster.stop_controller();
    break_glass(&cluster).await;
}

fn witness(cluster: &Cluster, issuer: &str) -> String {
    let file = cluster.path("another-witness.json");
    let pinned = json!({"issuer": issuer, "jwks": {"keys": []}});
    fs::write(&file, pinned.to_string()).unwrap();
    file
}

async fn preflight(cluster: &Cluster) {
    let elsewhere = witness(cluster, "https://127.0.0.1:8443");
    let (code, said) = cluster.attempt(&["preflight", "--witness", &elsewhere]);
    assert_eq!(code, Some(0), "{said}");
    for check in [
        "kube.version",
        "kube.csr.bypass",
        "kube.node-restriction",
        "kube.witness.inside",
    ] {
        assert!(said.contains(&format!("ok      {check}: ")), "{said}");
    }
    let inside = witness(cluster, "https://witness.zeuge-system.svc");
    let (code, said) = cluster.attempt(&["preflight", "--witness", &inside]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("NO      kube.witness.inside: "), "{said}");
    // The address of a Service of this cluster.
    let address = witness(cluster, "https://10.0.0.1");
    let (code, said) = cluster.attempt(&["preflight", "--witness", &address]);
    assert_eq!(code, Some(5), "{said}");
    let role = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";
    cluster.bind("by-itself", role, "system:nodes").await;
    let (code, said) = cluster.attempt(&["preflight"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("NO      kube.csr.bypass: "), "{said}");
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> =
        Api::all(cluster.admin.clone());
    let now = DeleteParams::default();
    bindings.delete("by-itself", &now).await.unwrap();
}

/// Certificates here live for the two days of the CA that signs them, whatever is asked for.
fn outage(cluster: &Cluster) {
    let (code, said) = cluster.attempt(&["preflight", "--outage-hours", "11"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ok      kube.witness.outage: "), "{said}");
    let (code, said) = cluster.attempt(&["preflight", "--outage-hours", "13"]);
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("NO      kube.witness.outage: "), "{said}");
}

async fn waived(cluster: &Cluster) {
    let file = cluster.path("owner.key");
    let public = base64url(&cluster::owner().key.public().0);
    let seed = base64url(&[8; 32]);
    let text =
        format!("zeuge-owner-key-v1\nname: anna\ntenant: acme\npublic: {public}\nseed: {seed}\n");
    fs::write(&file, text).unwrap();
    let waive = ["waive", "--key", &file, "--node", "worker-1"];
    let rest = ["--check", "policy.debug", "--because", "a test", "--hours"];
    let (code, said) = cluster.attempt(&[&waive[..], &rest[..], &["5"]].concat());
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = cluster.attempt(&[&waive[..], &rest[..], &["1"]].concat());
    assert_eq!(code, Some(0), "{said}");
    let back = |it: &Node| trusted(it) && !cordoned(it) && !tainted(it, UNTRUSTED);
    cluster.node("worker-1", "counts by the waiver", back).await;
    // For reports, when it is over and gone.
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let remembered = || async {
        let history = memories.get("worker-1").await.ok()?.status?.history;
        let waived = history.waivers.first()?;
        (waived.by == ["anna"] && waived.because == "a test").then_some(())
    };
    eventually("the waiver is remembered", remembered).await;
}

async fn break_glass(cluster: &Cluster) {
    if Command::new("kubectl").arg("version").output().is_err() {
        println!("skipped: break-glass needs kubectl");
        return;
    }
    let run = |options: &[&str]| {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../scripts/kubernetes-break-glass"
        );
        let ended = Command::new(script)
            .args(options)
            .env("KUBECONFIG", cluster.path("plane/admin.kubeconfig"))
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
    };
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.admin.clone());
    run(&[]);
    assert!(tainted(&nodes.get("worker-1").await.unwrap(), UNTRUSTED));
    run(&["--do-it"]);
    let node = nodes.get("worker-1").await.unwrap();
    assert!(!tainted(&node, UNTRUSTED) && !tainted(&node, START_TAINT) && !cordoned(&node));
    assert!(!trusted(&node));
    let left = || async {
        let list = policies.list(&ListParams::default()).await.ok()?;
        list.items.is_empty().then_some(())
    };
    eventually("our admission policies are gone", left).await;
    // Once more is no trouble.
    run(&["--do-it"]);
}
