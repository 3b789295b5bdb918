//! The agent in a pod of a DaemonSet, on nodes whose kubelets' keys nobody attested: the pods that
//! the controller-manager makes, the token that one of them gets, the evidence of a toy machine. What
//! comes of it is shown, and nothing depends on it.

use std::path::Path;
use std::process::{Command, Output};

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use zeuge_kube::api::{AttestedNode, AttestedNodeStatus};
use zeuge_kube::cluster::{START_TAINT, UNTRUSTED};
use zeuge_kube::install::AGENTS;

use super::machines::{self, Kind, Machines};
use super::told;
use crate::cluster::{self, Cluster, Machine, cordoned, eventually, tainted, trusted};

const TEST: &str = "what_a_pod_declares_is_shown_and_moves_nothing";
const IMAGE: &str = "registry.invalid/zeuge-agent@sha256:\
                     0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_declares_is_shown_and_moves_nothing() {
    if !crate::wanted(TEST) {
        return;
    }
    if let Some(because) = machines::impossible() {
        println!("skipped: {TEST}: {because}");
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = Cluster::start().await;
    let pin = cluster.path("witness.json");
    let machines = Machines::toys_alone(cluster.path("machines").into(), Path::new(&pin)).await;
    let config = machines.toy_config();
    let set = ["--daemonset", IMAGE, "--agent-config", &config];
    let set = [
        &["install", "--apply", "--audience", "cluster.test"][..],
        &set,
    ]
    .concat();
    cluster.program(&set);
    cluster.apply(crate::policy("Delete")).await;
    cluster.tenant = machines::TENANT;
    cluster.start_controller().await;
    for name in ["pool-1", "pool-2"] {
        appears(&cluster, name).await;
    }
    let kubeconfig = pod_of(&cluster, "pool-1").await;
    let declare = |name: &str, kind| machines.declare(name, kind, &kubeconfig);
    shown(&cluster, &declare("pool-1", Kind::Good)).await;
    kept(&cluster, &declare("pool-2", Kind::Good), &kubeconfig).await;
    no_certificate(&cluster).await;
    bad(&cluster, &declare("pool-1", Kind::Debug)).await;
    explained(&cluster);
    let device = [&set[..], &["--device", "example.org/tpm"]].concat();
    cluster.program(&device);
    by_a_plugin(&cluster).await;
}

/// A node that the provider made, as a pool with initialization taints does.
async fn appears(cluster: &Cluster, name: &str) {
    let taint = json!([{"key": START_TAINT, "effect": "NoSchedule"}]);
    let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux"}}, "spec": {"taints": taint}});
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let all = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    let status = json!({"status": {"capacity": all, "allocatable": all, "conditions": [
        {"type": "Ready", "status": "True", "reason": "Test", "message": ""}]}});
    let put = PatchParams::default();
    nodes
        .patch_status(name, &put, &Patch::Strategic(status))
        .await
        .unwrap();
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let there = || async { memories.get_opt(name).await.ok()?.map(drop) };
    eventually("the controller knows it", there).await;
}

async fn pod_on(cluster: &Cluster, node: &str, fits: impl Fn(&Pod) -> bool) -> Pod {
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), AGENTS);
    eventually(
        &format!("a pod of the DaemonSet is bound to {node}"),
        || async {
            let list = pods.list(&ListParams::default()).await.ok()?;
            let here = |it: &Pod| {
                it.spec
                    .as_ref()
                    .is_some_and(|it| it.node_name.as_deref() == Some(node))
            };
            list.items.into_iter().find(|it| here(it) && fits(it))
        },
    )
    .await
}

/// The configuration of the pod that the controller-manager made for a node: a file.
async fn pod_of(cluster: &Cluster, node: &str) -> String {
    let pod = pod_on(cluster, node, |_| true).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin.clone(), AGENTS);
    let spec = TokenRequestSpec {
        bound_object_ref: Some(BoundObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(pod.name_any()),
            uid: pod.uid(),
        }),
        ..Default::default()
    };
    let asked = TokenRequest {
        spec,
        ..Default::default()
    };
    let made = accounts
        .create_token_request("zeuge-agent", &PostParams::default(), &asked)
        .await;
    cluster.file_with_token("pod.kubeconfig", &made.unwrap().status.unwrap().token)
}

/// The memory of the node once it is as wanted.
async fn memory(
    cluster: &Cluster,
    what: &str,
    fits: impl Fn(&AttestedNodeStatus) -> bool,
) -> AttestedNodeStatus {
    let api: Api<AttestedNode> = Api::all(cluster.admin.clone());
    eventually(what, || async {
        api.get("pool-1").await.ok()?.status.filter(|it| fits(it))
    })
    .await
}

fn declared(status: &AttestedNodeStatus) -> Option<&str> {
    status.declared.as_ref()?.verdict.as_deref()
}

/// The verdict itself says what it does not prove, and so does everything that shows it.
async fn shown(cluster: &Cluster, ended: &Output) {
    assert!(ended.status.success(), "{}", told(ended));
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        said.contains("not proved: That this machine is the Kubernetes node"),
        "{said}"
    );
    let reason = |it: &AttestedNodeStatus| {
        let condition = it.conditions.first().cloned();
        condition.is_some_and(|it| it.reason == "KubeNodeDeclared" && it.status == "Unknown")
    };
    let good = |it: &AttestedNodeStatus| declared(it).is_some_and(|it| it != "contraindicated");
    let status = memory(cluster, "it is shown as declared", |it| {
        good(it) && reason(it)
    })
    .await;
    assert!(status.verdict.is_none() && status.adversaries.is_empty() && status.keys.is_empty());
    assert_eq!(status.declared.unwrap().not_proved.len(), 3);
    untouched(cluster).await;
}

/// Neither trusted nor taken away: as the provider made it.
async fn untouched(cluster: &Cluster) {
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    for node in nodes.list(&ListParams::default()).await.unwrap() {
        assert!(!trusted(&node) && !cordoned(&node) && !tainted(&node, UNTRUSTED));
        assert!(tainted(&node, START_TAINT));
    }
}

/// A pod speaks for its own node and changes nothing else there.
async fn kept(cluster: &Cluster, for_another: &Output, kubeconfig: &str) {
    assert!(!for_another.status.success());
    let said = told(for_another);
    assert!(
        said.contains("a pod declares for the node that it runs on only"),
        "{said}"
    );
    let client: Client = cluster::client_of(kubeconfig).await;
    let memories: Api<AttestedNode> = Api::all(client.clone());
    let put = PatchParams::default();
    for change in [
        json!({"spec": {"results": ["x"]}}),
        json!({"metadata": {"labels": {"zeuge.dev/denied": "true"}}}),
        json!({"metadata": {"annotations": {"zeuge.dev/attest": "now"}}}),
    ] {
        let refused = memories.patch("pool-1", &put, &Patch::Merge(change)).await;
        crate::refused(
            &refused.unwrap_err(),
            "a pod changes nothing but what it declares",
        );
    }
    let lie = Patch::Merge(json!({"status": {"verdict": "affirming"}}));
    let refused = memories.patch_status("pool-1", &put, &lie).await;
    crate::refused(&refused.unwrap_err(), "forbidden");
    // Nor without a pod: a token of the same account that names none.
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin.clone(), AGENTS);
    let asked = TokenRequest::default();
    let made = accounts
        .create_token_request("zeuge-agent", &PostParams::default(), &asked)
        .await;
    let file = cluster.file_with_token("loose.kubeconfig", &made.unwrap().status.unwrap().token);
    let memories: Api<AttestedNode> = Api::all(cluster::client_of(&file).await);
    let change = Patch::Merge(json!({"spec": {"declared": "x"}}));
    let refused = memories.patch("pool-1", &put, &change).await;
    crate::refused(
        &refused.unwrap_err(),
        "a pod declares for the node that it runs on only",
    );
}

/// A good declaration gets nobody a certificate.
async fn no_certificate(cluster: &Cluster) {
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let declared = memories.get("pool-1").await.unwrap().spec.declared.unwrap();
    let machine = Machine::new("pool-3");
    let newcomer = cluster.newcomer().await;
    let csr = cluster.ask_with(&newcomer, &machine, Some(declared)).await;
    // Another that is decided after it was seen.
    let other = cluster
        .ask(&newcomer, &Machine::new("worker-1"), None)
        .await;
    cluster.passes(2).await;
    assert!(cluster.pending(&csr).await && cluster.pending(&other).await);
}

/// Bad evidence is shown too, and moves nothing: nobody proved whose it is.
async fn bad(cluster: &Cluster, ended: &Output) {
    assert!(ended.status.success(), "{}", told(ended));
    let bad = |it: &AttestedNodeStatus| declared(it) == Some("contraindicated");
    let status = memory(cluster, "bad evidence is shown", bad).await;
    assert_eq!(status.declared.unwrap().failed, ["policy.debug"]);
    cluster.passes(3).await;
    untouched(cluster).await;
}

fn explained(cluster: &Cluster) {
    let asked = |arguments: &[&str]| {
        let ended = Command::new(env!("CARGO_BIN_EXE_kubectl-zeuge"))
            .args(arguments)
            .env("KUBECONFIG", cluster.path("plane/admin.kubeconfig"))
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        (ended.status.code(), said)
    };
    let (code, said) = asked(&["explain", "pool-1"]);
    assert_eq!(code, Some(10), "{said}");
    for part in [
        "declared (kube.node.declared)",
        "contraindicated",
        "not proved",
        "policy.debug",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (_, said) = asked(&["nodes"]);
    let line = said.lines().find(|it| it.starts_with("pool-1")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..3], ["declared", "-"], "{line}");
}

/// Where a device plugin brings the TPM, Pod Security lets the pods in at *baseline*.
async fn by_a_plugin(cluster: &Cluster) {
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), AGENTS);
    let asks = |it: &Pod| {
        let text = serde_json::to_string(&it.spec).unwrap();
        text.contains("example.org/tpm") && !text.contains("hostPath")
    };
    eventually("pods that ask for the device are admitted", || async {
        let list = pods.list(&ListParams::default()).await.ok()?;
        // No kubelet says that the old ones ended.
        let now = DeleteParams::default().grace_period(0);
        for old in list.items.iter().filter(|it| !asks(it)) {
            let _ = pods.delete(&old.name_any(), &now).await;
        }
        list.items.iter().any(asks).then_some(())
    })
    .await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.admin.clone());
    let namespace = namespaces.get(AGENTS).await.unwrap();
    let level = namespace.labels().get("pod-security.kubernetes.io/enforce");
    assert_eq!(level.map(String::as_str), Some("baseline"));
}
