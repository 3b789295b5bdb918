//! 300 simulated nodes: an outage of the witness, and a change that would flip 70 %, while the
//! controller is killed again and again and the API server is restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use zeuge_kube::api::{AttestationPolicy, AttestedNode};
use zeuge_kube::belief;
use zeuge_kube::cluster::{START_TAINT, UNTRUSTED};

use crate::cluster::{self, Cluster, Machine, cordoned, eventually, now, tainted, token, trusted};

const NODES: usize = 300;
const FLIPPED: usize = 210;
const AT_ONCE: usize = 16;
const MAX_UNAVAILABLE: usize = 3;

fn policy(age: i64, acknowledged: Option<(&str, &str)>) -> Value {
    let mut breaker = json!({"limit": "10%"});
    if let Some((cause, stage)) = acknowledged {
        breaker["acknowledged"] = json!({"cause": cause, "stage": stage});
    }
    json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestationPolicy",
        "metadata": {"name": "default"},
        "spec": {"reaction": "Credentials", "maxUnavailable": MAX_UNAVAILABLE.to_string(),
            "maxAgeSeconds": age, "breaker": breaker}})
}

/// Nodes as the administrator can make them: keys that count as approved, Ready, with a lease.
async fn populate(cluster: &Cluster, machines: &[Machine]) {
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let made = stream::iter(machines).map(|machine| {
        let (nodes, memories) = (nodes.clone(), memories.clone());
        async move {
            let ear = cluster.result_at(machine, &[], now());
            let new = json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestedNode",
                "metadata": {"name": machine.name}, "spec": {}});
            let put = PostParams::default();
            let mut memory = memories
                .create(&put, &serde_json::from_value(new).unwrap())
                .await?;
            let mut status = zeuge_kube::api::AttestedNodeStatus::default();
            belief::approve(&mut status, belief::key_name(&ear).unwrap());
            memory.status = Some(status);
            memories
                .replace_status(&machine.name, &put, &memory)
                .await?;
            let node = json!({"metadata": {"name": machine.name},
                "spec": {"taints": [{"key": START_TAINT, "effect": "NoSchedule"}]}});
            nodes
                .create(&put, &serde_json::from_value(node).unwrap())
                .await?;
            let at = belief::time(now());
            let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
                "reason": "Test", "message": "", "lastHeartbeatTime": at,
                "lastTransitionTime": at}]}});
            let patch = PatchParams::default();
            nodes
                .patch_status(&machine.name, &patch, &Patch::Strategic(ready))
                .await?;
            renew(&cluster.admin, &machine.name).await
        }
    });
    made.buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .unwrap();
    // Old enough to become silent, and good for 200 s more.
    bring(cluster, machines, &[], now() - 100).await;
}

async fn renew(admin: &Client, name: &str) -> Result<(), kube::Error> {
    let leases: Api<Lease> = Api::namespaced(admin.clone(), "kube-node-lease");
    let at = jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.000000Z")
        .to_string();
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": at}});
    let ours = PatchParams::apply("test").force();
    leases
        .patch(name, &ours, &Patch::Apply(&lease))
        .await
        .map(drop)
}

/// Renews all leases until the test ends: the API server may be away for a moment.
fn keep_alive(admin: Client, names: Vec<String>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            let all = stream::iter(&names).for_each_concurrent(4, |name| async {
                let _ = renew(&admin, name).await;
            });
            all.await;
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
    })
}

/// New results for these machines, issued then.
async fn bring(cluster: &Cluster, machines: &[Machine], failed: &[&str], issued: i64) {
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let brought = stream::iter(machines).map(|machine| {
        let memories = memories.clone();
        async move {
            let mut ear = cluster.result_at(machine, failed, issued);
            ear.knowledge_version = u64::from(!failed.is_empty());
            let patch = Patch::Merge(json!({"spec": {"results": [token(&ear)]}}));
            let put = PatchParams::default();
            let put = memories.patch(&machine.name, &put, &patch);
            put.await.map(drop)
        }
    });
    brought
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await
        .unwrap();
}

async fn count(admin: &Client, is: impl Fn(&Node) -> bool) -> Option<usize> {
    let nodes: Api<Node> = Api::all(admin.clone());
    let list = nodes.list(&ListParams::default()).await.ok()?;
    Some(list.iter().filter(|node| is(node)).count())
}

async fn reaches(cluster: &Cluster, what: &str, wanted: usize, is: impl Fn(&Node) -> bool + Copy) {
    let admin = &cluster.admin;
    let there = || async move { (count(admin, is).await? == wanted).then_some(()) };
    eventually(&format!("{wanted} {what}"), there).await;
}

/// The cause that the breaker shows, once it counts all that fail.
async fn held(cluster: &Cluster, check: &str, part: &str) -> Option<String> {
    let policies: Api<AttestationPolicy> = Api::all(cluster.admin.clone());
    let status = policies.get("default").await.ok()?.status?;
    let mut holds = status.holds.into_iter();
    let hold = holds.find(|it| it.check == check && it.message.starts_with(part))?;
    Some(hold.cause.unwrap_or_default())
}

/// Looks all the time at how many nodes are cordoned, and whether a good one ever is touched.
struct Guard {
    cordoned_max: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
    touched: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

fn guard(admin: Client, good: Vec<String>) -> Guard {
    let (cordoned_max, looks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let touched = Arc::new(AtomicBool::new(false));
    let (most, seen, bad) = (cordoned_max.clone(), looks.clone(), touched.clone());
    let task = tokio::spawn(async move {
        let nodes: Api<Node> = Api::all(admin);
        loop {
            if let Ok(list) = nodes.list(&ListParams::default()).await {
                let unavailable = list.iter().filter(|it| cordoned(it)).count();
                most.fetch_max(unavailable, Ordering::Relaxed);
                seen.fetch_add(1, Ordering::Relaxed);
                let hurt = |it: &&Node| cordoned(it) || tainted(it, UNTRUSTED);
                if list
                    .iter()
                    .filter(hurt)
                    .any(|it| good.contains(&it.name_any()))
                {
                    bad.store(true, Ordering::Relaxed);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    Guard {
        cordoned_max,
        looks,
        touched,
        task,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_flips_seven_of_ten_is_held_and_never_drains_more_than_allowed() {
    if !crate::wanted("a_change_that_flips_seven_of_ten_is_held_and_never_drains_more_than_allowed")
    {
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = Cluster::start().await;
    cluster.program(&["install", "--apply"]);
    cluster.apply(policy(3600, None)).await;
    let machines: Vec<Machine> = (0..NODES)
        .map(|at| Machine::new(&format!("fleet-{at}")))
        .collect();
    let names: Vec<String> = machines.iter().map(|it| it.name.clone()).collect();
    populate(&cluster, &machines).await;
    let beats = keep_alive(cluster.admin.clone(), names.clone());
    cluster.start_controller().await;
    reaches(&cluster, "are trusted", NODES, trusted).await;

    outage(&cluster).await;

    let (flipped, good) = machines.split_at(FLIPPED);
    let good = good.iter().map(|it| it.name.clone()).collect();
    let guard = guard(cluster.admin.clone(), good);
    bring(&cluster, flipped, &["policy.tcb"], now()).await;
    let all = || async { held(&cluster, "kube.breaker", &format!("{FLIPPED} nodes")).await };
    let cause = eventually("the breaker holds all", all).await;
    // Those that came before it was full are within its limit.
    let lost = count(&cluster.admin, |it| tainted(it, UNTRUSTED))
        .await
        .unwrap();
    assert!(
        lost <= NODES / 10,
        "{lost} lost new pods before the breaker held"
    );
    let taken = guard.cordoned_max.load(Ordering::Relaxed);
    assert!(taken <= MAX_UNAVAILABLE, "{taken} were cordoned at once");

    cluster.apply(policy(3600, Some((&cause, "Evict")))).await;
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.stop_controller();
        if round == 4 {
            cluster.restart_api();
        }
        cluster.start_controller().await;
    }
    reaches(&cluster, "get no new pods", FLIPPED, |it| {
        tainted(it, UNTRUSTED)
    })
    .await;
    reaches(&cluster, "are cordoned", MAX_UNAVAILABLE, cordoned).await;
    bring(&cluster, flipped, &[], now()).await;
    reaches(&cluster, "are tainted", 0, |it| tainted(it, UNTRUSTED)).await;
    reaches(&cluster, "are trusted again", NODES, |it| {
        trusted(it) && !cordoned(it)
    })
    .await;
    let (taken, looks) = (&guard.cordoned_max, &guard.looks);
    let (taken, looks) = (taken.load(Ordering::Relaxed), looks.load(Ordering::Relaxed));
    println!("{taken} cordoned at most, in {looks} looks");
    assert_eq!(taken, MAX_UNAVAILABLE);
    assert!(looks > 50);
    assert!(
        !guard.touched.load(Ordering::Relaxed),
        "a good node was touched"
    );
    guard.task.abort();
    beats.abort();
}

/// All verdicts are too old at once, as when the witness is away: nothing happens to anybody.
async fn outage(cluster: &Cluster) {
    cluster.apply(policy(60, None)).await;
    let silent = || async { held(cluster, "kube.silence", &format!("{NODES} nodes")).await };
    eventually("the silence is seen", silent).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let hurt = |it: &Node| cordoned(it) || tainted(it, UNTRUSTED) || !trusted(it);
    assert_eq!(count(&cluster.admin, hurt).await, Some(0));
    cluster.apply(policy(3600, None)).await;
    let over = || async {
        held(cluster, "kube.silence", "")
            .await
            .is_none()
            .then_some(())
    };
    eventually("the silence is over", over).await;
}
