//! Stands in for kubelets where no container can run: registers Nodes, renews their leases, says
//! that pods run, and lets go of pods that are asked to leave. Each node speaks with the credentials
//! that `zeuge-kube node join` left in its folder, and with no others.
//!
//!   cargo run --example kubelet -- FOLDER
//!
//! Every FOLDER/NAME/kubelet.kubeconfig is a node; a folder that goes ends its node. What a kubelet
//! may say of itself stands beside it: `boot-id`, by default this machine's. Never runs anything,
//! never judges; a demonstration and a benchmark need nothing more of a kubelet.
#![expect(clippy::print_stderr, reason = "a program for the terminal")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use zeuge_kube::cluster::START_TAINT;

/// How often folders are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often a lease is renewed; the controller-manager waits for 50 s.
const RENEW: Duration = Duration::from_secs(10);
const BOOT_FILE: &str = "/proc/sys/kernel/random/boot_id";

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: kubelet FOLDER");
        return ExitCode::FAILURE;
    };
    let folder = PathBuf::from(folder);
    let mut nodes: BTreeMap<PathBuf, tokio::task::JoinHandle<()>> = BTreeMap::new();
    while folder.is_dir() {
        nodes.retain(|path, task| {
            let stays = path.join("kubelet.kubeconfig").is_file();
            if !stays {
                task.abort();
            }
            stays
        });
        let inside = fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in inside.map(|it| it.path()) {
            if path.join("kubelet.kubeconfig").is_file() && !nodes.contains_key(&path) {
                nodes.insert(path.clone(), tokio::spawn(node(path)));
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    ExitCode::SUCCESS
}

/// A task that ends with this value.
struct Ended(tokio::task::JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One node, until its task is ended.
async fn node(path: PathBuf) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let pods = Ended(tokio::spawn(pods(path.clone(), name.to_string())));
    let mut told = String::new();
    let mut known: Option<(SystemTime, Client)> = None;
    loop {
        let done = async {
            // A renewed certificate stands in a new file.
            let written = fs::metadata(path.join("kubelet.kubeconfig"))?.modified()?;
            let client = match &known {
                Some((at, client)) if *at == written => client.clone(),
                _ => connect(&path).await?,
            };
            known = Some((written, client.clone()));
            beat(client, &path, &name).await
        };
        match done.await {
            Ok(()) => told.clear(),
            // Denied credentials and an API server that is away last; once is enough.
            Err(error) if error.to_string() != told => {
                told = error.to_string();
                eprintln!("kubelet {name}: {told}");
            }
            Err(_) => {}
        }
        if pods.0.is_finished() {
            return;
        }
        tokio::time::sleep(RENEW).await;
    }
}

async fn connect(path: &Path) -> Outcome<Client> {
    let kubeconfig = Kubeconfig::read_from(path.join("kubelet.kubeconfig"))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    Ok(Client::try_from(config)?)
}

/// The Node with the start taint if there is none, its status, its lease.
async fn beat(client: Client, path: &Path, name: &str) -> Outcome<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let now = jiff::Timestamp::now();
    let boot =
        fs::read_to_string(path.join("boot-id")).or_else(|_| fs::read_to_string(BOOT_FILE))?;
    let boot = boot.trim();
    let known = nodes.get_opt(name).await?;
    let said = known
        .as_ref()
        .and_then(|it| Some(it.status.as_ref()?.node_info.as_ref()?.boot_id.clone()));
    if known.is_none() {
        let node = json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux"}},
            "spec": {"taints": [{"key": START_TAINT, "effect": "NoSchedule"}]}});
        nodes
            .create(&PostParams::default(), &serde_json::from_value(node)?)
            .await?;
    }
    let ready = known.as_ref().is_some_and(zeuge_kube::cluster::ready);
    if !ready || said.as_deref() != Some(boot) {
        let patch = status(boot, &now.to_string());
        nodes
            .patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
            .await?;
    }
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let renewed = now.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string();
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed});
    let patched = leases
        .patch(
            name,
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": spec})),
        )
        .await;
    if matches!(&patched, Err(kube::Error::Api(it)) if it.code == 404) {
        let lease =
            json!({"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec});
        leases
            .create(&PostParams::default(), &serde_json::from_value(lease)?)
            .await?;
        return Ok(());
    }
    patched?;
    Ok(())
}

fn status(boot: &str, now: &str) -> Value {
    let resources = json!({"cpu": "4", "memory": "8Gi", "pods": "110"});
    json!({"status": {
        "capacity": resources, "allocatable": resources,
        "conditions": [{"type": "Ready", "status": "True", "reason": "StandIn",
            "message": "no container runs here", "lastHeartbeatTime": now, "lastTransitionTime": now}],
        "nodeInfo": {"bootID": boot, "machineID": "", "systemUUID": "", "kernelVersion": "",
            "osImage": "a stand-in", "containerRuntimeVersion": "none://0", "kubeletVersion": "v1.36.3",
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"}
    }})
}

/// Follows the pods that are bound to the node.
async fn pods(path: PathBuf, name: String) {
    loop {
        if let Err(error) = follow(&path, &name).await {
            eprintln!("kubelet {name}: pods: {error}");
        }
        tokio::time::sleep(RENEW).await;
    }
}

async fn follow(path: &Path, name: &str) -> Outcome<()> {
    let client = connect(path).await?;
    let here = watcher::Config::default().fields(&format!("spec.nodeName={name}"));
    let stream = watcher(Api::<Pod>::all(client.clone()), here)
        .default_backoff()
        .applied_objects();
    let mut stream = std::pin::pin!(stream);
    while let Some(pod) = stream.try_next().await? {
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        let phase = pod.status.as_ref().and_then(|it| it.phase.clone());
        if pod.metadata.deletion_timestamp.is_some() {
            let now = DeleteParams::default().grace_period(0);
            api.delete(&pod.name_any(), &now).await?;
        } else if phase.as_deref() != Some("Running") {
            let running = json!({"status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True"}]}});
            let put = PatchParams::default();
            api.patch_status(&pod.name_any(), &put, &Patch::Strategic(running))
                .await?;
        }
    }
    Ok(())
}
