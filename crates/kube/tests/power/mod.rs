//! Everything loses power at once and comes back: machines with new boots and, as their keys were in
//! memory, with new keys.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use zeuge_kube::api::AttestedNode;
use zeuge_kube::cluster::{START_TAINT, UNTRUSTED};
use zeuge_protocol::ear::Ear;

use crate::cluster::{self, Cluster, Machine, cordoned, eventually, tainted, trusted};

fn of_boot(mut ear: Ear, boot: &str) -> Ear {
    ear.context.insert("boot-id".into(), boot.into());
    ear
}

/// The kubelet says which boot this is.
async fn boots(machine: &Machine, boot: &str) {
    let nodes: Api<Node> = Api::all(machine.client.clone().unwrap());
    let patch = json!({"status": {"nodeInfo": {"bootID": boot, "machineID": "", "systemUUID": "",
        "kernelVersion": "", "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "",
        "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": ""}}});
    let put = PatchParams::default();
    let patched = nodes
        .patch_status(&machine.name, &put, &Patch::Merge(patch))
        .await;
    patched.unwrap();
}

/// Asks until the name is free: for a while the cluster still believes that the old boot lives.
async fn rejoin(cluster: &Cluster, name: &str, boot: &str) -> Machine {
    let mut machine = Machine::new(name);
    let newcomer = cluster.newcomer().await;
    let begun = std::time::Instant::now();
    let mut refusals = 0_usize;
    loop {
        let result = of_boot(cluster.result(&machine, &[]), boot);
        let csr = cluster.ask(&newcomer, &machine, Some(&result)).await;
        let (word, reason) = cluster.decision(&csr).await;
        if word == "Approved" {
            cluster.take(&csr, &mut machine).await;
            println!("{name} was refused {refusals} times while its name lived");
            return machine;
        }
        assert_eq!(reason, "KubeNodeNameTaken");
        refusals += 1;
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "{name} never came back"
        );
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_power_comes_back_attested_and_loses_no_work() {
    if !crate::wanted("a_cluster_that_lost_power_comes_back_attested_and_loses_no_work") {
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = crate::furnished().await;
    let worker = cluster.join("worker-1").await;
    let first = of_boot(cluster.result(&worker, &[]), "boot-1");
    cluster.bring(&worker, &[&first]).await.unwrap();
    boots(&worker, "boot-1").await;
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let known = || async {
        let status = memories.get("worker-1").await.ok()?.status?;
        let until = status.certificate_until.is_some();
        (status.boot_id.as_deref() == Some("boot-1") && until).then_some(())
    };
    eventually("boot and certificate are known", known).await;
    cluster.node("worker-1", "is trusted", trusted).await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), "default");
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(cluster.admin.clone(), "default");
    let there = || async { accounts.get_opt("default").await.ok()?.map(drop) };
    eventually("the default account is there", there).await;
    let pod = json!({"metadata": {"name": "work"}, "spec": {"nodeName": "worker-1",
        "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "none.invalid/c"}]}});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();

    worker.lose_power();
    cluster.power_off_and_on();
    cluster.start_controller().await;
    let machine = rejoin(&cluster, "worker-1", "boot-2").await;
    // The node's object is that of the old boot until the kubelet speaks.
    cluster
        .node("worker-1", "has the start taint again", |it| {
            tainted(it, START_TAINT) && !trusted(it)
        })
        .await;
    boots(&machine, "boot-2").await;
    machine.keep_ready();
    cluster
        .node("worker-1", "is trusted again", |it| {
            trusted(it) && !tainted(it, START_TAINT)
        })
        .await;
    let node = Api::<Node>::all(cluster.admin.clone())
        .get("worker-1")
        .await
        .unwrap();
    assert!(!cordoned(&node) && !tainted(&node, UNTRUSTED));
    let pod = pods.get("work").await.unwrap();
    assert!(
        pod.metadata.deletion_timestamp.is_none(),
        "silence took work away"
    );
}
