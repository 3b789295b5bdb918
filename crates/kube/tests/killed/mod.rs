//! The controller dies after every change that can be seen, all the way down the ladder and back.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use zeuge_kube::api::AttestedNode;
use zeuge_kube::cluster::UNTRUSTED;

use crate::cluster::{self, Cluster, cordoned, eventually, tainted, trusted};

/// What can be seen of one machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    step: Option<String>,
    pub(crate) taints: Vec<String>,
    pub(crate) cordoned: bool,
    pub(crate) trusted: bool,
    denied: bool,
    failed: bool,
}

async fn look(cluster: &Cluster) -> Option<Seen> {
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let node = nodes.get("worker-1").await.ok()?;
    let memory = memories.get("worker-1").await.ok()?;
    let status = memory.status.clone().unwrap_or_default();
    let taints = node
        .spec
        .as_ref()
        .and_then(|it| it.taints.clone())
        .unwrap_or_default();
    let taints = taints.iter().filter(|it| it.key == UNTRUSTED);
    Some(Seen {
        step: status.step,
        taints: taints.map(|it| it.effect.clone()).collect(),
        cordoned: cordoned(&node),
        trusted: trusted(&node),
        denied: memory.labels().contains_key("zeuge.dev/denied"),
        failed: status.failed_since.is_some(),
    })
}

/// Kills and restarts the controller at every change until `done`; what was seen.
pub(crate) async fn killing(cluster: &mut Cluster, done: impl Fn(&Seen) -> bool) -> Vec<Seen> {
    let begun = Instant::now();
    let mut seen = Vec::new();
    loop {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "never: {seen:?}"
        );
        if let Some(now) = look(cluster).await
            && seen.last() != Some(&now)
        {
            let over = done(&now);
            seen.push(now);
            if over {
                return seen;
            }
            cluster.stop_controller();
            cluster.start_controller().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_dies_after_every_step_takes_the_same_way() {
    if !crate::wanted("a_controller_that_dies_after_every_step_takes_the_same_way") {
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = crate::furnished().await;
    let worker = cluster.join("worker-1").await;
    let _other = cluster.join("worker-2").await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), "default");
    let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
        Api::namespaced(cluster.admin.clone(), "default");
    let there = || async { accounts.get_opt("default").await.ok()?.map(drop) };
    eventually("the default account is there", there).await;
    let pod = json!({"metadata": {"name": "work"}, "spec": {"nodeName": "worker-1",
        "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "none.invalid/c"}]}});
    let pod = serde_json::from_value(pod).unwrap();
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let bad = cluster.result(&worker, &["policy.debug"]);
    cluster.bring(&worker, &[&bad]).await.unwrap();
    let kubelet = tokio::spawn(async move {
        // What a kubelet does with a pod that has to go.
        loop {
            let pod = pods.get_opt("work").await.ok().flatten();
            if pod.is_some_and(|it| it.metadata.deletion_timestamp.is_some()) {
                let now = DeleteParams::default().grace_period(0);
                let _ = pods.delete("work", &now).await;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let down = killing(&mut cluster, |it| it.denied).await;
    let good = cluster.result(&worker, &[]);
    cluster.bring(&worker, &[&good]).await.unwrap();
    let back = |it: &Seen| it.trusted && it.taints.is_empty() && !it.cordoned && !it.denied;
    let up = killing(&mut cluster, back).await;
    kubelet.abort();
    println!(
        "{} changes down, {} up, a death after each",
        down.len(),
        up.len()
    );
    assert!(down.len() + up.len() > 8, "{down:?} {up:?}");
    for seen in &down {
        let no_execute = seen.taints.iter().any(|it| it == "NoExecute");
        assert!(!seen.cordoned || (seen.failed && !seen.trusted), "{seen:?}");
        assert!(!no_execute || seen.cordoned, "{seen:?}");
        assert!(!seen.denied || no_execute, "{seen:?}");
    }
    for seen in up.iter().filter(|it| it.trusted) {
        assert!(!seen.denied && !seen.cordoned, "{seen:?}");
    }
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let other = nodes.get("worker-2").await.unwrap();
    assert!(trusted(&other) && !tainted(&other, UNTRUSTED) && !cordoned(&other));
}
