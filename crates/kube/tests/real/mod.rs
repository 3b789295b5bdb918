//! Real nodes at a real control plane: `zeuged` judges, `zeuge-agent` attests in toy SEV-SNP machines
//! and by a TPM in software, `zeuge-kube node` asks and brings. No result here is signed by a test.
//! In place of a kubelet stands what it would write, with the credentials that were left for it.

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use zeuge_kube::api::AttestedNode;
use zeuge_kube::cluster::{START_TAINT, TRUST_LABEL, UNTRUSTED};

use crate::cluster::{self, Cluster, Machine, cordoned, eventually, tainted, trusted};
use crate::killed::killing;

mod declared;
mod machines;
mod told;

use machines::{Kind, Machines};

const TEST: &str = "real_machines_join_renew_fall_and_rise_by_their_own_evidence";

#[tokio::test(flavor = "multi_thread")]
async fn real_machines_join_renew_fall_and_rise_by_their_own_evidence() {
    if !crate::wanted(TEST) {
        return;
    }
    if let Some(because) = machines::impossible() {
        println!("skipped: {TEST}: {because}");
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = Cluster::start().await;
    cluster.program(&["install", "--apply"]);
    let mut policy = crate::policy("Cordon");
    // Two of a few machines fail here, one after the other.
    policy["spec"]["breaker"]["limit"] = json!("2");
    cluster.apply(policy).await;
    let pins = [
        cluster.path("witness.json"),
        cluster.path("tpm-witness.json"),
    ];
    let folder = cluster.path("machines").into();
    let machines = Machines::start(folder, [Path::new(&pins[0]), Path::new(&pins[1])]).await;
    let pinned = if machines.has_tpm { 2 } else { 1 };
    cluster.witnesses = pins.into_iter().take(pinned).collect();
    cluster.tenant = machines::TENANT;
    std::fs::copy(&machines.owner()[1], cluster.path("owners.json")).unwrap();
    cluster.start_controller().await;
    let worker = joins(&cluster, &machines, "worker-1", Kind::Good).await;
    refused(&cluster, &machines, "worker-3", Kind::Debug, "policy.debug").await;
    restricted(&cluster, &worker).await;
    let worker = renews(&cluster, &machines, &worker).await;
    serves(&cluster, &machines, &worker).await;
    if machines.has_tpm {
        tpm(&cluster, &machines).await;
    }
    told::waiver(&cluster, &machines).await;
    falls_and_rises(&mut cluster, &machines).await;
    told::compromised(&cluster, &machines).await;
}

fn told(ended: &Output) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

fn join(cluster: &Cluster, machines: &Machines, name: &str, kind: Kind) -> Output {
    let bootstrap = cluster.bootstrap_file();
    let options = ["--bootstrap", bootstrap.as_str()];
    machines.node("join", name, kind, &cluster.uid, &options)
}

/// Fresh evidence, once.
fn brings(cluster: &Cluster, machines: &Machines, name: &str, kind: Kind) {
    let ended = machines.node("run", name, kind, &cluster.uid, &["--once"]);
    assert!(ended.status.success(), "{}", told(&ended));
}

/// Joins, and registers as a kubelet does with what was left for it.
async fn joins(cluster: &Cluster, machines: &Machines, name: &str, kind: Kind) -> Machine {
    let ended = join(cluster, machines, name, kind);
    assert!(ended.status.success(), "{}", told(&ended));
    let machine = cluster.kubelet(name, machines.kubeconfig(name)).await;
    machine.register(true).await.unwrap();
    machine.keep_ready();
    let ready = |it: &Node| trusted(it) && !tainted(it, START_TAINT);
    cluster.node(name, "is trusted", ready).await;
    machine
}

/// The machine is told which check refused it, and nothing is left for a kubelet.
async fn refused(cluster: &Cluster, machines: &Machines, name: &str, kind: Kind, check: &str) {
    let ended = join(cluster, machines, name, kind);
    let told = told(&ended);
    assert!(!ended.status.success(), "{name} joined");
    assert!(
        told.contains("kube.csr.verdict: contraindicated: ") && told.contains(check),
        "{told}"
    );
    assert!(!machines.place(name).join("kubelet.kubeconfig").exists());
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    assert!(nodes.get_opt(name).await.unwrap().is_none());
}

/// What the API server itself keeps from a node's credentials (NodeRestriction), and what it keeps
/// by our policies.
async fn restricted(cluster: &Cluster, worker: &Machine) {
    let client = worker.client.clone().unwrap();
    let (nodes, put) = (Api::<Node>::all(client.clone()), PatchParams::default());
    let own = |patch: Value| {
        let (nodes, put) = (nodes.clone(), put.clone());
        async move { nodes.patch("worker-1", &put, &Patch::Merge(patch)).await }
    };
    let label = own(json!({"metadata": {"labels": {TRUST_LABEL: "other"}}})).await;
    crate::refused(&label.unwrap_err(), "is not allowed to modify labels");
    let taints = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
    crate::refused(
        &own(taints).await.unwrap_err(),
        "is not allowed to modify taints",
    );
    let memories: Api<AttestedNode> = Api::all(client);
    let lie = Patch::Merge(json!({"status": {"verdict": "affirming"}}));
    let lied = memories.patch_status("worker-1", &put, &lie).await;
    crate::refused(&lied.unwrap_err(), "forbidden");
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    assert!(trusted(&nodes.get("worker-1").await.unwrap()));
}

/// The kubelet asks by itself, with a key of its own making; the agent has this key attested.
async fn renews(cluster: &Cluster, machines: &Machines, worker: &Machine) -> Machine {
    let mut renewed = Machine::new("worker-1");
    let client = worker.client.as_ref().unwrap();
    let csr = cluster.ask(client, &renewed, None).await;
    // Not without evidence, however often it is looked at.
    cluster.passes(2).await;
    assert!(cluster.pending(&csr).await);
    brings(cluster, machines, "worker-1", Kind::Good);
    let approved = ("Approved".into(), "Attested".into());
    assert_eq!(cluster.decision(&csr).await, approved);
    cluster.take(&csr, &mut renewed).await;
    renewed.keep_ready();
    let nodes: Api<Node> = Api::all(renewed.client.clone().unwrap());
    assert_eq!(nodes.get("worker-1").await.unwrap().name_any(), "worker-1");
    // And by `node renew`, which makes and attests the key first.
    let before = machines.kubeconfig("worker-1");
    let ended = machines.node("renew", "worker-1", Kind::Good, &cluster.uid, &[]);
    assert!(ended.status.success(), "{}", told(&ended));
    assert_ne!(machines.kubeconfig("worker-1"), before);
    renewed
}

/// The serving certificate, asked for with a key and a request that OpenSSL made.
async fn serves(cluster: &Cluster, machines: &Machines, worker: &Machine) {
    let key = machines.place("serving.key");
    let made = Command::new("openssl")
        .args(["req", "-new", "-nodes", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout"])
        .arg(&key)
        .args(["-subj", "/O=system:nodes/CN=system:node:worker-1"])
        .args(["-addext", "subjectAltName=DNS:worker-1,IP:127.0.0.1"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", told(&made));
    let csr = json!({"metadata": {"generateName": "serving-"}, "spec": {
        "signerName": "kubernetes.io/kubelet-serving", "request": STANDARD.encode(made.stdout),
        "usages": ["digital signature", "server auth"]}});
    let csr: CertificateSigningRequest = serde_json::from_value(csr).unwrap();
    let api: Api<CertificateSigningRequest> = Api::all(worker.client.clone().unwrap());
    let csr = api.create(&PostParams::default(), &csr).await.unwrap();
    let csr = csr.name_any();
    brings(cluster, machines, "worker-1", Kind::Good);
    let approved = ("Approved".into(), "Attested".into());
    assert_eq!(cluster.decision(&csr).await, approved);
    let api: Api<CertificateSigningRequest> = Api::all(cluster.admin.clone());
    let signed = || async { api.get(&csr).await.ok()?.status?.certificate.map(drop) };
    eventually("the serving certificate is signed", signed).await;
}

/// A machine whose TPM alone speaks: joins, brings evidence, and fails when it measured something
/// else; nor does another name help it then.
async fn tpm(cluster: &Cluster, machines: &Machines) {
    let machine = joins(cluster, machines, "worker-4", Kind::Tpm).await;
    brings(cluster, machines, "worker-4", Kind::Tpm);
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let status = memories.get("worker-4").await.unwrap().status.unwrap();
    assert_eq!(status.evidence, ["tpm"]);
    machines.measure_something_else();
    brings(cluster, machines, "worker-4", Kind::Tpm);
    let distrusted = |it: &Node| tainted(it, UNTRUSTED) && !trusted(it);
    cluster.node("worker-4", "is tainted", distrusted).await;
    refused(cluster, machines, "worker-5", Kind::Tpm, "policy.pcr").await;
    // It goes for good, so that it counts no more.
    machine.lose_power();
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let gone = kube::api::DeleteParams::default();
    nodes.delete("worker-4", &gone).await.unwrap();
}

/// Evidence that fails takes work away and good evidence brings it back, while the controller dies
/// after every change that can be seen.
async fn falls_and_rises(cluster: &mut Cluster, machines: &Machines) {
    brings(cluster, machines, "worker-1", Kind::Debug);
    let down = killing(cluster, |it| it.cordoned).await;
    brings(cluster, machines, "worker-1", Kind::Good);
    let up = killing(cluster, |it| {
        it.trusted && !it.cordoned && it.taints.is_empty()
    })
    .await;
    println!(
        "{} changes down, {} up, a death after each",
        down.len(),
        up.len()
    );
    assert!(down.len() + up.len() >= 4, "{down:?} {up:?}");
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let node = nodes.get("worker-1").await.unwrap();
    assert!(trusted(&node) && !tainted(&node, UNTRUSTED) && !cordoned(&node));
}
