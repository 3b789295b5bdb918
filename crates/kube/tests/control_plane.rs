//! The controller against a real API server, controller-manager and scheduler. Runs with
//! `make test-kubernetes` (ZEUGE_KUBERNETES=1); builds the control plane when it is not there.
#![expect(
    clippy::print_stdout,
    reason = "a run says what it waited for, and what it skipped"
)]

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use zeuge_kube::api::{AttestationPolicy, AttestedNode};
use zeuge_kube::cluster::{START_TAINT, UNTRUSTED};

mod admission;
mod cluster;
mod emergency;
mod fleet;
mod killed;
mod lying;
mod power;
mod real;
mod selection;

use cluster::{Cluster, Machine, cordoned, eventually, tainted, token, trusted};

fn wanted(test: &str) -> bool {
    let wanted = std::env::var_os("ZEUGE_KUBERNETES").is_some();
    if !wanted {
        println!("skipped: {test} needs a control plane (make test-kubernetes)");
    }
    wanted
}

fn policy(reaction: &str) -> Value {
    json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestationPolicy",
        "metadata": {"name": "default"},
        "spec": {"reaction": reaction, "drainSeconds": 3600, "breaker": {"limit": "34%"}}})
}

async fn furnished() -> Cluster {
    let mut cluster = Cluster::start().await;
    cluster.program(&["install", "--apply"]);
    cluster.apply(policy("Credentials")).await;
    cluster.start_controller().await;
    cluster
}

fn refused(error: &kube::Error, part: &str) {
    let text = error.to_string();
    assert!(text.contains(part), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_join_only_if_attested_and_lose_and_regain_their_work() {
    if !wanted("nodes_join_only_if_attested_and_lose_and_regain_their_work") {
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = furnished().await;
    gate(&cluster).await;
    let mut worker = cluster.join("worker-1").await;
    let other = cluster.join("worker-2").await;
    names(&cluster, &worker, &other).await;
    renewal(&cluster, &mut worker).await;
    gone_bad(&mut cluster, &worker).await;
    repaired(&cluster, &worker).await;
    bypass(&cluster).await;
    // The API server is away for a moment; the watches come back.
    cluster.restart_api();
    let third = cluster.join("worker-3").await;
    assert_eq!(third.name, "worker-3");
    uninstalled(&mut cluster).await;
}

/// What a newcomer may not bring, one at a time.
async fn gate(cluster: &Cluster) {
    let newcomer = cluster.newcomer().await;
    let machine = Machine::new("stranger");
    let bad = cluster.result(&machine, &["policy.debug"]);
    let mut elsewhere = cluster.result(&machine, &[]);
    elsewhere
        .context
        .insert("cluster-uid".into(), "another".into());
    let mut named = cluster.result(&machine, &[]);
    named.context.insert("node-name".into(), "another".into());
    let mut tls = cluster.result(&machine, &[]);
    tls.confirmation_role = Some(zeuge_protocol::binding::Role::Tls);
    let mut tenant = cluster.result(&machine, &[]);
    tenant.tenant = zeuge_protocol::name::Name::parse("other").unwrap();
    let of_another_key = cluster.result(&Machine::new("stranger"), &[]);
    let without = cluster.ask(&newcomer, &machine, None).await;
    let another_key = cluster
        .ask(&newcomer, &machine, Some(&of_another_key))
        .await;
    for (result, reason) in [
        (bad, "KubeCsrVerdict"),
        (elsewhere, "KubeCsrCluster"),
        (named, "KubeCsrNode"),
        (tls, "KubeCsrRole"),
        (tenant, "KubeCsrPolicy"),
    ] {
        let csr = cluster.ask(&newcomer, &machine, Some(&result)).await;
        assert_eq!(
            cluster.decision(&csr).await,
            ("Denied".into(), reason.into())
        );
    }
    // Both came before those that are decided, and still wait.
    assert!(cluster.pending(&without).await && cluster.pending(&another_key).await);
    let api: Api<AttestedNode> = Api::all(cluster.admin.clone());
    assert!(api.get_opt("stranger").await.unwrap().is_none());
}

/// Names that live, the start taint, and results for others.
async fn names(cluster: &Cluster, worker: &Machine, other: &Machine) {
    let newcomer = cluster.newcomer().await;
    let thief = Machine::new("worker-1");
    let result = cluster.result(&thief, &[]);
    let csr = cluster.ask(&newcomer, &thief, Some(&result)).await;
    let taken = ("Denied".into(), "KubeNodeNameTaken".into());
    assert_eq!(cluster.decision(&csr).await, taken);
    let mut bare = Machine::new("bare");
    let result = cluster.result(&bare, &[]);
    let csr = cluster.ask(&newcomer, &bare, Some(&result)).await;
    cluster.take(&csr, &mut bare).await;
    refused(
        &bare.register(false).await.unwrap_err(),
        "zeuge-start-taint",
    );
    let api: Api<AttestedNode> = Api::all(other.client.clone().unwrap());
    let patch = json!({"spec": {"results": [token(&cluster.result(worker, &["policy.debug"]))]}});
    let patch = kube::api::Patch::Merge(patch);
    let put = kube::api::PatchParams::default();
    let foreign = api.patch("worker-1", &put, &patch).await.unwrap_err();
    refused(&foreign, "a node brings results for itself only");
    let label =
        kube::api::Patch::Merge(json!({"metadata": {"labels": {"zeuge.dev/denied": "true"}}}));
    let labelled = api.patch("worker-2", &put, &label).await.unwrap_err();
    refused(&labelled, "labels are the controller's");
}

/// The kubelet asks by itself; the node brings a result for the new key.
async fn renewal(cluster: &Cluster, worker: &mut Machine) {
    let mut renewed = Machine::new("worker-1");
    let csr = cluster
        .ask(worker.client.as_ref().unwrap(), &renewed, None)
        .await;
    let old = cluster.result(worker, &[]);
    let new = cluster.result(&renewed, &[]);
    cluster.bring(worker, &[&old, &new]).await.unwrap();
    assert_eq!(cluster.decision(&csr).await.0, "Approved");
    cluster.take(&csr, &mut renewed).await;
    renewed.keep_ready();
    *worker = renewed;
}

/// A pod on worker-1, and a budget that keeps it.
async fn work(cluster: &Cluster) -> Api<Pod> {
    let namespace = "default";
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), namespace);
    let spec = json!({"metadata": {"name": "work", "labels": {"app": "work"}}, "spec": {
        "nodeName": "worker-1", "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "none.invalid/c"}]}});
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(cluster.admin.clone(), namespace);
    let there = || async { accounts.get_opt("default").await.ok()?.map(drop) };
    eventually("the default account is there", there).await;
    pods.create(
        &PostParams::default(),
        &serde_json::from_value(spec).unwrap(),
    )
    .await
    .unwrap();
    let running = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True"}]}});
    let put = kube::api::PatchParams::default();
    pods.patch_status("work", &put, &kube::api::Patch::Strategic(running))
        .await
        .unwrap();
    cluster
        .apply(
            json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "work", "namespace": namespace},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "work"}}}}),
        )
        .await;
    pods
}

/// Down the ladder around a budget, with the controller killed in the middle.
async fn gone_bad(cluster: &mut Cluster, worker: &Machine) {
    let pods = work(cluster).await;
    let bad = cluster.result(worker, &["policy.debug"]);
    cluster.bring(worker, &[&bad]).await.unwrap();
    cluster
        .node("worker-1", "is tainted", |it| {
            tainted(it, UNTRUSTED) && !trusted(it)
        })
        .await;
    cluster.node("worker-1", "is cordoned", cordoned).await;
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let draining = || async {
        memories
            .get("worker-1")
            .await
            .ok()?
            .status?
            .drain_since
            .map(drop)
    };
    eventually("the drain has begun", draining).await;
    cluster.stop_controller();
    assert!(
        pods.get_opt("work")
            .await
            .unwrap()
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
    );
    cluster.start_controller().await;
    // The budget holds it; NoExecute would not ask.
    let held = || async {
        cluster
            .log()
            .contains("a budget keeps it for now")
            .then_some(())
    };
    eventually("the budget keeps the pod", held).await;
    cluster
        .node("worker-1", "has no NoExecute", |it| !no_execute(it))
        .await;
    let budgets: Api<k8s_openapi::api::policy::v1::PodDisruptionBudget> =
        Api::namespaced(cluster.admin.clone(), "default");
    budgets
        .delete("work", &DeleteParams::default())
        .await
        .unwrap();
    let evicted = || async {
        let pod = pods.get_opt("work").await.ok()??;
        pod.metadata.deletion_timestamp.map(drop)
    };
    eventually("the pod is evicted", evicted).await;
    pods.delete("work", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    expelled(cluster, worker).await;
}

/// The last rungs.
async fn expelled(cluster: &Cluster, worker: &Machine) {
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let put = kube::api::PatchParams::default();
    cluster
        .node("worker-1", "has NoExecute, last", no_execute)
        .await;
    let denied = || async {
        let memory = memories.get("worker-1").await.ok()?;
        memory
            .labels()
            .contains_key("zeuge.dev/denied")
            .then_some(())
    };
    eventually("the credentials are denied", denied).await;
    let nodes: Api<Node> = Api::all(worker.client.clone().unwrap());
    let label = kube::api::Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let write = || async {
        let error = nodes.patch("worker-1", &put, &label).await.err()?;
        error
            .to_string()
            .contains("its credentials are denied")
            .then_some(())
    };
    eventually("a write is refused", write).await;
    let condition = memories
        .get("worker-1")
        .await
        .unwrap()
        .status
        .unwrap()
        .conditions;
    assert_eq!(condition[0].reason, "PolicyDebug");
}

fn no_execute(node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|it| it.taints.as_ref());
    taints.is_some_and(|it| {
        it.iter()
            .any(|it| it.key == UNTRUSTED && it.effect == "NoExecute")
    })
}

async fn repaired(cluster: &Cluster, worker: &Machine) {
    // A denied node still brings results: so it comes back.
    let good = cluster.result(worker, &[]);
    cluster.bring(worker, &[&good]).await.unwrap();
    let back = |it: &Node| trusted(it) && !tainted(it, UNTRUSTED) && !cordoned(it);
    cluster.node("worker-1", "is re-admitted", back).await;
}

/// What `kubeadm upgrade` does.
async fn bypass(cluster: &Cluster) {
    let role = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
    cluster
        .bind(
            "kubeadm:node-autoapprove-bootstrap",
            role,
            "system:bootstrappers",
        )
        .await;
    let policies: Api<AttestationPolicy> = Api::all(cluster.admin.clone());
    let alarmed = || async {
        let status = policies.get("default").await.ok()?.status?;
        status
            .bypass
            .first()
            .filter(|it| it.contains("autoapprove"))
            .map(drop)
    };
    eventually("the bypass is alarmed", alarmed).await;
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> =
        Api::all(cluster.admin.clone());
    let delete = DeleteParams::default();
    bindings
        .delete("kubeadm:node-autoapprove-bootstrap", &delete)
        .await
        .unwrap();
    let over = || async {
        policies
            .get("default")
            .await
            .ok()?
            .status?
            .bypass
            .is_empty()
            .then_some(())
    };
    eventually("the alarm ends", over).await;
}

async fn uninstalled(cluster: &mut Cluster) {
    cluster.stop_controller();
    cluster.program(&["uninstall"]);
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    for node in nodes.list(&kube::api::ListParams::default()).await.unwrap() {
        assert!(!trusted(&node) && !tainted(&node, UNTRUSTED) && !tainted(&node, START_TAINT));
    }
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let gone = || async {
        memories
            .list(&kube::api::ListParams::default())
            .await
            .is_err()
            .then_some(())
    };
    eventually("the definitions are gone", gone).await;
}
