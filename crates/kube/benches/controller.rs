//! What the controller costs with many nodes, at a real API server (`make bench-kubernetes`):
//! processor time, memory and writes, idle and under load, and how long a failure takes to become
//! a taint. The floor beside it is the bare verification of the same tokens.
//!
//! Nodes are objects without kubelets: each brings a result every five minutes and writes its
//! status as often, as kubelets do. ZEUGE_BENCH_NODES (5000) and ZEUGE_BENCH_SECS (300) change
//! the size.
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use zeuge_kube::api::AttestedNode;
use zeuge_kube::belief;
use zeuge_kube::cluster::{TRUST_LABEL, UNTRUSTED};
use zeuge_protocol::ear::{Ear, verify_ear};

#[expect(dead_code, reason = "tests use what this does not")]
#[path = "../tests/cluster/mod.rs"]
mod cluster;

use cluster::{AUDIENCE, Cluster, Machine, jwks, now, tainted, token};

/// How often each node brings a result, in seconds.
const EVERY: usize = 300;
const AT_ONCE: usize = 16;
const FAILURES: usize = 20;

fn size(name: &str, default: usize) -> usize {
    let set = std::env::var(name).ok();
    set.and_then(|it| it.parse().ok()).unwrap_or(default)
}

fn name(at: usize) -> String {
    format!("node-{at:05}")
}

#[tokio::main]
async fn main() {
    if std::env::var_os("ZEUGE_KUBERNETES").is_none() {
        println!("skipped: this needs a control plane (make bench-kubernetes)");
        return;
    }
    let (count, secs) = (
        size("ZEUGE_BENCH_NODES", 5000),
        size("ZEUGE_BENCH_SECS", 300),
    );
    let cluster = Cluster::start().await;
    cluster.program(&["install", "--apply"]);
    // Without kubelets it would call all nodes lost.
    let file = cluster.path("plane/kube-controller-manager.pid");
    let id = std::fs::read_to_string(file).unwrap();
    assert!(
        Command::new("kill")
            .arg(id.trim())
            .status()
            .unwrap()
            .success()
    );
    cluster
        .apply(
            json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestationPolicy",
            "metadata": {"name": "default"}, "spec": {"reaction": "Taint"}}),
        )
        .await;
    let template = template(&cluster);
    let begun = Instant::now();
    populate(&cluster, &template, count).await;
    println!("{count} nodes made in {} s", begun.elapsed().as_secs());
    let mut controller = cluster.spawn_controller_every("log", "5").await;
    let watched = Process(controller.id());
    settled(&cluster).await;
    println!(
        "{:24} {:>8} {:>10} {:>8} {:>8}",
        "", "cores", "MiB (peak)", "results", "writes"
    );
    let idle = secs.min(120);
    let phase = Phase::begin(&cluster, &watched);
    tokio::time::sleep(Duration::from_secs(idle as u64)).await;
    phase.end(&cluster, &watched, "nothing changes", 0);
    let phase = Phase::begin(&cluster, &watched);
    let brought = load(&cluster, &template, count, secs).await;
    phase.end(&cluster, &watched, "results every 5 minutes", brought);
    floor(&template);
    let failing = FAILURES.min(count / 40);
    reaction(&cluster, &template, "at rest", count - failing..count).await;
    let under = count - 2 * failing..count - failing;
    let _ = tokio::join!(
        load(&cluster, &template, count / 2, secs.min(60)),
        reaction(&cluster, &template, "under that load", under)
    );
    let _ = controller.kill();
    let _ = controller.wait();
}

/// Waits until what a controller writes when it begins is written: nothing for a while.
async fn settled(cluster: &Cluster) {
    let begun = Instant::now();
    let mut before = total(&writes(cluster));
    loop {
        tokio::time::sleep(Duration::from_secs(15)).await;
        let now = total(&writes(cluster));
        if now == before {
            break;
        }
        before = now;
        assert!(
            begun.elapsed() < Duration::from_secs(600),
            "it writes and writes: {:?}",
            writes(cluster)
        );
    }
    println!(
        "settled after {} s and {before} writes {:?}",
        begun.elapsed().as_secs(),
        writes(cluster)
    );
}

/// A result with claims as large as those of a real report.
fn template(cluster: &Cluster) -> Ear {
    let mut ear = cluster.result(&Machine::new("node-00000"), &[]);
    let claims = json!({"measurement": "a".repeat(96), "report_data": "b".repeat(128),
        "chip_id": "c".repeat(128), "tcb": {"bootloader": 4, "tee": 0, "snp": 24, "microcode": 219},
        "guest_policy": {"debug": false, "smt": true}, "vmpl": 0});
    if let Some(device) = ear.submods.get_mut("snp") {
        device.claims = claims;
    }
    ear.receipt = Some("r".repeat(600));
    ear
}

fn of(template: &Ear, name: &str, issued: i64) -> Ear {
    let mut ear = template.clone();
    ear.context.insert("node-name".into(), name.into());
    (ear.issued, ear.expires) = (issued, issued + 300);
    ear
}

/// Nodes and memories, as they are after a day without trouble.
async fn populate(cluster: &Cluster, template: &Ear, count: usize) {
    let key = belief::key_name(template).unwrap();
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let put = PostParams::default();
    let images: Vec<Value> = (0..30)
        .map(|at| {
            json!({"names": [format!("registry.example/image-{at}@sha256:{}", "0".repeat(64))],
            "sizeBytes": 100_000_000})
        })
        .collect();
    let one = |at: usize| {
        let (nodes, memories, put) = (&nodes, &memories, &put);
        let (key, images, name) = (&key, &images, name(at));
        async move {
            let node = json!({"metadata": {"name": name, "labels": {TRUST_LABEL: "trusted",
                    "kubernetes.io/hostname": name}}, "spec": {},
                "status": {"images": images, "nodeInfo": info(), "conditions": [
                    {"type": "Ready", "status": "True", "reason": "Bench", "message": "",
                     "lastHeartbeatTime": belief::time(now()),
                     "lastTransitionTime": belief::time(now())}]}});
            let node: Node = serde_json::from_value(node).unwrap();
            let made = nodes.create(put, &node).await.unwrap();
            let mut memory = AttestedNode::new(&name, Default::default());
            memory = memories.create(put, &memory).await.unwrap();
            let mut status = zeuge_kube::api::AttestedNodeStatus {
                verdict: Some("affirming".into()),
                judged_at: belief::time(now() - 60),
                keys: vec![key.clone()],
                conditions: vec![serde_json::from_value(attested()).unwrap()],
                ..Default::default()
            };
            let uid = made.metadata.uid.unwrap();
            status.history.lives(&uid, now() - 60, now());
            status.history.judged(now() - 60, "affirming", &[], 900);
            memory.status = Some(status);
            memories.replace_status(&name, put, &memory).await.unwrap();
        }
    };
    let all = futures::stream::iter((0..count).map(one)).buffer_unordered(AT_ONCE);
    all.for_each(|()| std::future::ready(())).await;
}

/// What the controller says of a node that is as wanted: said before, so that it is no news.
fn attested() -> Value {
    json!({"type": "Attested", "status": "True", "reason": "Attested",
        "message": "attested: the last verdict is as wanted",
        "lastTransitionTime": belief::time(now())})
}

fn info() -> Value {
    json!({"architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "containerd://2.0",
        "kernelVersion": "6.12", "kubeProxyVersion": "", "kubeletVersion": "v1.36.3",
        "machineID": "m", "operatingSystem": "linux", "osImage": "bench", "systemUUID": "s"})
}

/// Each node brings a result and writes its status, evenly spread; how many results.
async fn load(cluster: &Cluster, template: &Ear, count: usize, secs: usize) -> usize {
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let brought = AtomicUsize::new(0);
    let total = count * secs / EVERY;
    let gap = Duration::from_secs_f64(secs as f64 / total as f64);
    let begun = Instant::now();
    let one = |at: usize| {
        let (memories, nodes, brought) = (&memories, &nodes, &brought);
        async move {
            tokio::time::sleep_until((begun + gap * u32::try_from(at).unwrap()).into()).await;
            let name = name(at % count);
            let result = token(&of(template, &name, now()));
            let put = PatchParams::default();
            let patch = Patch::Merge(json!({"spec": {"results": [result]}}));
            memories.patch(&name, &put, &patch).await.unwrap();
            let beat = json!({"status": {"conditions": [{"type": "Ready", "status": "True",
                "lastHeartbeatTime": belief::time(now())}]}});
            nodes
                .patch_status(&name, &put, &Patch::Strategic(beat))
                .await
                .unwrap();
            brought.fetch_add(1, Ordering::Relaxed);
        }
    };
    let all = futures::stream::iter((0..total).map(one)).buffered(AT_ONCE);
    all.for_each(|()| std::future::ready(())).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    brought.into_inner()
}

/// Bare verifications of one such token.
fn floor(template: &Ear) {
    let ear = of(template, "node-00000", now());
    let text = token(&ear);
    let (jwks, begun, times) = (jwks(), Instant::now(), 2000_u32);
    for _ in 0..times {
        assert!(verify_ear(&text, &jwks, "https://w1.test", AUDIENCE, now()).is_ok());
    }
    let each = begun.elapsed() / times;
    println!(
        "the floor: one verification of such a token ({} bytes): {each:?}",
        text.len()
    );
}

/// From the moment a failed result is brought to the moment the taint is read.
async fn reaction(cluster: &Cluster, template: &Ear, when: &str, which: std::ops::Range<usize>) {
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let mut took = Vec::new();
    for at in which {
        let name = name(at);
        let mut ear = of(template, &name, now() + 1);
        for device in ear.submods.values_mut() {
            device.status = zeuge_protocol::ear::Status::Contraindicated;
            device.failed = vec!["policy.debug".into()];
        }
        let patch = Patch::Merge(json!({"spec": {"results": [token(&ear)]}}));
        let begun = Instant::now();
        memories
            .patch(&name, &PatchParams::default(), &patch)
            .await
            .unwrap();
        while !tainted(&nodes.get(&name).await.unwrap(), UNTRUSTED) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{name} is not tainted"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "from failed evidence to the taint, {when}: median {median:.1?}, worst {worst:.1?} of {}",
        took.len()
    );
}

/// A process of Linux.
struct Process(u32);

impl Process {
    /// Processor time in seconds; the kernel counts hundredths.
    fn cpu(&self) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        let fields: Vec<&str> = text
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11..13]
            .iter()
            .map(|it| it.parse::<f64>().unwrap())
            .sum();
        ticks / 100.0
    }

    fn mib(&self, what: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = text.lines().find(|it| it.starts_with(what)).unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
            / 1024
    }
}

struct Phase {
    begun: Instant,
    cpu: f64,
    writes: BTreeMap<String, usize>,
}

impl Phase {
    fn begin(cluster: &Cluster, process: &Process) -> Self {
        Self {
            begun: Instant::now(),
            cpu: process.cpu(),
            writes: writes(cluster),
        }
    }

    fn end(self, cluster: &Cluster, process: &Process, what: &str, results: usize) {
        let cores = (process.cpu() - self.cpu) / self.begun.elapsed().as_secs_f64();
        let memory = format!("{} ({})", process.mib("VmRSS"), process.mib("VmHWM"));
        let mut new = writes(cluster);
        for (what, before) in &self.writes {
            if let Some(count) = new.get_mut(what) {
                *count -= before;
            }
        }
        new.retain(|_, count| *count > 0);
        let writes = total(&new);
        println!("{what:24} {cores:>8.3} {memory:>10} {results:>8} {writes:>8}  {new:?}");
    }
}

/// Writes of the controller that the API server stored, by verb and resource, as its own record has
/// them; [`total`] leaves the Lease out, and a question about clocks stores nothing.
fn writes(cluster: &Cluster) -> BTreeMap<String, usize> {
    let record = std::fs::read_to_string(cluster.path("plane/audit.log")).unwrap_or_default();
    let mut all = BTreeMap::new();
    for line in record.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let verb = event["verb"].as_str().unwrap_or_default();
        let resource = event["objectRef"]["resource"].as_str().unwrap_or_default();
        let stored = ["create", "update", "patch", "delete"].contains(&verb)
            && resource != "selfsubjectreviews"
            && event["responseStatus"]["code"]
                .as_u64()
                .is_some_and(|it| it < 400);
        if stored {
            *all.entry(format!("{verb} {resource}")).or_default() += 1;
        }
    }
    all
}

/// What is written beyond the Lease.
fn total(writes: &BTreeMap<String, usize>) -> usize {
    let kept = writes.iter().filter(|(what, _)| *what != "update leases");
    kept.map(|(_, count)| count).sum()
}
