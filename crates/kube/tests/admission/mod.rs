//! Whom admission refuses and whom it lets through: denied identities from the first moment of an
//! installation and of an API server on, and machines that are not attested.

use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use zeuge_kube::api::AttestedNode;
use zeuge_kube::cluster::START_TAINT;
use zeuge_kube::denial;

use crate::cluster::{self, Cluster, Machine, eventually, tainted, trusted};

/// As many as 300 and some more, so that they are more than one change of the breaker's size.
const MANY: usize = 400;

/// The client of a node without a certificate: the API server believes the administrator who it is.
async fn kubelet(cluster: &Cluster, name: &str) -> Api<Node> {
    let file = cluster.path("plane/admin.kubeconfig");
    let kubeconfig = Kubeconfig::read_from(file).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.unwrap();
    config.auth_info.impersonate = Some(format!("system:node:{name}"));
    config.auth_info.impersonate_groups = Some(vec!["system:nodes".to_owned()]);
    Api::all(Client::try_from(config).unwrap())
}

async fn exists(cluster: &Cluster, name: &str) {
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    let node = json!({"metadata": {"name": name}});
    let node = serde_json::from_value(node).unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
}

/// One write of a kubelet: its status.
async fn write(nodes: &Api<Node>, name: &str) -> Result<(), kube::Error> {
    let at = format!("{:?}", Instant::now());
    let patch = json!({"metadata": {"annotations": {"test": at}}});
    let put = PatchParams::default();
    let written = nodes.patch_status(name, &put, &Patch::Merge(patch)).await;
    written.map(drop)
}

/// One write of somebody who is no node.
async fn other_write(cluster: &Cluster) -> Result<(), kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin.clone(), "default");
    let map = json!({"metadata": {"generateName": "test-"}});
    let map = serde_json::from_value(map).unwrap();
    maps.create(&PostParams::default(), &map).await.map(drop)
}

fn denied(written: &Result<(), kube::Error>) -> bool {
    let told = |it: &kube::Error| it.to_string().contains("its credentials are denied");
    written.as_ref().is_err_and(told)
}

/// What the API server said; a connection to the one before says nothing.
fn answered(written: Result<(), kube::Error>) -> Option<Result<(), kube::Error>> {
    match written {
        Err(error) if !matches!(error, kube::Error::Api(_)) => None,
        written => Some(written),
    }
}

async fn listed(cluster: &Cluster) -> usize {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(cluster.admin.clone());
    let spec = policies.get(denial::POLICY).await.unwrap().spec.unwrap();
    let validations = spec.validations.unwrap_or_default();
    denial::denied(validations.iter().map(|it| it.expression.as_str())).len()
}

/// What the controller wrote and the API server stored: verb, resource and name, but for the Lease.
fn stored(cluster: &Cluster) -> Vec<String> {
    let record = std::fs::read_to_string(cluster.path("plane/audit.log")).unwrap_or_default();
    let write = |line: &str| {
        let event: Value = serde_json::from_str(line).ok()?;
        let (verb, about) = (event["verb"].as_str()?, &event["objectRef"]);
        let resource = about["resource"].as_str()?;
        let done = event["responseStatus"]["code"].as_u64()? < 400;
        let writes = ["create", "update", "patch", "delete"].contains(&verb);
        // A question about who asks; nothing is stored.
        let kept = !["leases", "selfsubjectreviews"].contains(&resource);
        let name = about["name"].as_str().unwrap_or_default();
        (done && writes && kept).then(|| format!("{verb} {resource} {name}"))
    };
    record.lines().filter_map(write).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_denied_nodes_are_refused_from_the_first_moment_on() {
    if !crate::wanted("only_denied_nodes_are_refused_from_the_first_moment_on") {
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = Cluster::start().await;
    for name in ["bad", "well"] {
        exists(&cluster, name).await;
    }
    let (bad, well) = (
        kubelet(&cluster, "bad").await,
        kubelet(&cluster, "well").await,
    );
    eventually("kubelets may write", || async {
        write(&bad, "bad").await.ok()?;
        write(&well, "well").await.ok()
    })
    .await;
    cluster.program(&["install", "--apply"]);
    let begun = Instant::now();
    let mut writes = 0;
    while begun.elapsed() < Duration::from_secs(8) {
        write(&well, "well").await.unwrap();
        other_write(&cluster).await.unwrap();
        writes += 2;
    }
    println!("{writes} writes in the 8 s after the installation, none refused");
    cluster.apply(crate::policy("Taint")).await;
    cluster.start_controller().await;
    many_are_denied(&cluster, &bad, &well).await;
    after_a_restart(&cluster, &bad, &well).await;
    static_pod(&cluster).await;
    // An upgrade forgets nobody.
    cluster.program(&["install", "--apply"]);
    assert_eq!(listed(&cluster).await, MANY);
    assert!(denied(&write(&bad, "bad").await));
    at_rest(&cluster).await;
    // A repaired one comes back.
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    let gone = Patch::Merge(json!({"metadata": {"labels": {"zeuge.dev/denied": null}}}));
    let put = PatchParams::default();
    memories.patch("bad", &put, &gone).await.unwrap();
    eventually("a node that is allowed again writes", || async {
        write(&bad, "bad").await.ok()
    })
    .await;
    assert_eq!(listed(&cluster).await, MANY - 1);
}

/// The list of hundreds is written in few writes, and costs nobody else anything.
async fn many_are_denied(cluster: &Cluster, bad: &Api<Node>, well: &Api<Node>) {
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    for at in 0..MANY {
        let name = match at {
            0 => "bad".to_owned(),
            _ => format!("gone-{at}.with-a-name-as-long-as-clouds-make-them.example"),
        };
        let mut memory = AttestedNode::new(&name, Default::default());
        let label = ("zeuge.dev/denied".to_owned(), "true".to_owned());
        memory.metadata.labels = Some([label].into());
        // A Node of that name has a memory already, perhaps.
        let _ = memories.create(&PostParams::default(), &memory).await;
        let labels = json!({"metadata": {"labels": {"zeuge.dev/denied": "true"}}});
        let put = PatchParams::default();
        let labelled = memories.patch(&name, &put, &Patch::Merge(labels)).await;
        labelled.unwrap();
    }
    eventually("all of them are listed", || async {
        (listed(cluster).await == MANY).then_some(())
    })
    .await;
    eventually("a denied node is refused", || async {
        denied(&write(bad, "bad").await).then_some(())
    })
    .await;
    write(well, "well").await.unwrap();
    other_write(cluster).await.unwrap();
    let lists = stored(cluster);
    let lists = lists.iter().filter(|it| it.contains("zeuge-denied"));
    println!("{MANY} identities in {} writes", lists.count());
    let begun = Instant::now();
    for _ in 0..100 {
        write(well, "well").await.unwrap();
    }
    println!(
        "a write of a node that is not among them takes {:?}",
        begun.elapsed() / 100
    );
}

/// From the first answer on: the denied one never, the others always.
async fn after_a_restart(cluster: &Cluster, bad: &Api<Node>, well: &Api<Node>) {
    cluster.restart_api();
    let begun = Instant::now();
    let (mut passed, mut refused) = (0, 0);
    while begun.elapsed() < Duration::from_secs(8) {
        if let Some(written) = answered(write(bad, "bad").await) {
            assert!(denied(&written), "{written:?}");
            refused += 1;
        }
        let others = [write(well, "well").await, other_write(cluster).await];
        for written in others.into_iter().filter_map(answered) {
            written.unwrap();
            passed += 1;
        }
    }
    assert!(refused > 10 && passed > 20);
    println!("8 s after a restart: {refused} writes refused, {passed} taken, as they should be");
}

/// The API server takes the manifest that a kubelet would read.
async fn static_pod(cluster: &Cluster) {
    let pod = zeuge_kube::install::static_pod("i@sha256:0", "a", "acme", START_TAINT);
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), "kube-system");
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    pods.create(&dry, &pod).await.unwrap();
}

/// A controller that has nothing to do writes nothing but its Lease.
async fn at_rest(cluster: &Cluster) {
    let before = eventually("first conditions are written", || async {
        let before = stored(cluster).len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        (stored(cluster).len() == before).then_some(before)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let all = stored(cluster);
    assert_eq!(all.get(before..), Some(&[][..]));
    println!("no write in 15 s but the Lease's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_evidence_joins_by_its_bootstrap_group_alone() {
    if !crate::wanted("a_machine_without_evidence_joins_by_its_bootstrap_group_alone") {
        return;
    }
    let _alone = cluster::alone().await;
    let cluster = crate::furnished().await;
    // One who only says so, with the token that everybody has.
    let mut pretender = Machine::new("pretender");
    let newcomer = cluster.newcomer().await;
    let says = cluster.ask(&newcomer, &pretender, None).await;
    let mut plain = Machine::new("plain-1");
    let exempt = cluster.newcomer_of("plain").await;
    let asked = cluster.ask(&exempt, &plain, None).await;
    let approved = ("Approved".to_owned(), "KubeNodeNotApplicable".to_owned());
    assert_eq!(cluster.decision(&asked).await, approved);
    assert!(cluster.pending(&says).await);
    cluster.take(&asked, &mut plain).await;
    plain.register(true).await.unwrap();
    plain.keep_ready();
    cluster
        .node("plain-1", "takes ordinary work and is not trusted", |it| {
            !tainted(it, START_TAINT) && !trusted(it)
        })
        .await;
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    eventually("it is shown", || async {
        let status = memories.get("plain-1").await.ok()?.status?;
        let shown = status.not_applicable.as_deref() == Some("system:bootstrappers:plain");
        let condition = status.conditions.first()?;
        (shown && condition.reason == "KubeNodeNotApplicable").then_some(())
    })
    .await;
    // An attested one cannot become plain by a label, nor give itself a memory.
    let worker = cluster.join("worker-1").await;
    let nodes: Api<Node> = Api::all(worker.client.clone().unwrap());
    let label = json!({"metadata": {"labels": {"zeuge.dev/not-applicable": "true",
        "kubernetes.io/os": "windows"}}});
    let put = PatchParams::default();
    nodes
        .patch("worker-1", &put, &Patch::Merge(label))
        .await
        .unwrap();
    let own: Api<AttestedNode> = Api::all(worker.client.clone().unwrap());
    let status = json!({"status": {"notApplicable": "system:bootstrappers:plain"}});
    let refused = own
        .patch_status("worker-1", &put, &Patch::Merge(status))
        .await;
    assert!(matches!(refused, Err(kube::Error::Api(it)) if it.code == 403));
    let bad = cluster.result(&worker, &["policy.debug"]);
    cluster.bring(&worker, &[&bad]).await.unwrap();
    let failed = |it: &Node| tainted(it, zeuge_kube::cluster::UNTRUSTED) && !trusted(it);
    cluster.node("worker-1", "fails all the same", failed).await;
    // Its name does not become a plain machine's, even when it is gone.
    let all: Api<Node> = Api::all(cluster.admin.clone());
    all.delete("worker-1", &DeleteParams::default())
        .await
        .unwrap();
    pretender.name = "worker-1".into();
    let takes = cluster.ask(&exempt, &pretender, None).await;
    let taken = ("Denied".to_owned(), "KubeNodeNameTaken".to_owned());
    assert_eq!(cluster.decision(&takes).await, taken);
    let renewed = Machine::new("plain-1");
    let renews = cluster
        .ask(plain.client.as_ref().unwrap(), &renewed, None)
        .await;
    assert_eq!(cluster.decision(&renews).await, approved);
    assert_eq!(memories.get("plain-1").await.unwrap().name_any(), "plain-1");
}

/// A boot that nobody judged has the start taint at once, and loses it with its own result.
async fn booted(cluster: &Cluster, worker: &Machine) {
    let nodes: Api<Node> = Api::all(worker.client.clone().unwrap());
    let says = |boot: &str| {
        json!({"status": {"nodeInfo": {"architecture": "amd64", "bootID": boot,
            "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
            "kubeletVersion": "v1.36.3", "machineID": "", "operatingSystem": "linux",
            "osImage": "", "systemUUID": ""}}})
    };
    let judged = |boot: &str| {
        let mut result = cluster.result(worker, &[]);
        result.context.insert("boot-id".into(), boot.into());
        result
    };
    let put = PatchParams::default();
    cluster.bring(worker, &[&judged("boot-1")]).await.unwrap();
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    eventually("the boot is remembered", || async {
        let status = memories.get("worker-1").await.ok()?.status?;
        (status.boot_id.as_deref() == Some("boot-1")).then_some(())
    })
    .await;
    let patch = |boot: &str| Patch::Strategic(says(boot));
    nodes
        .patch_status("worker-1", &put, &patch("boot-1"))
        .await
        .unwrap();
    nodes
        .patch_status("worker-1", &put, &patch("boot-2"))
        .await
        .unwrap();
    let again = |it: &Node| tainted(it, START_TAINT) && !trusted(it);
    cluster
        .node("worker-1", "has the start taint again", again)
        .await;
    cluster.bring(worker, &[&judged("boot-2")]).await.unwrap();
    let back = |it: &Node| !tainted(it, START_TAINT) && trusted(it);
    cluster
        .node("worker-1", "is trusted by its own result", back)
        .await;
}

/// In an agent's place: hands over the token that the test put there.
const AGENT: &str = "\
#!/bin/sh
while [ $# -gt 0 ]; do
    if [ \"$1\" = --token-out ]; then out=$2; fi
    shift
done
cp \"$(dirname \"$0\")/next\" \"$out\"
";

#[tokio::test(flavor = "multi_thread")]
async fn a_node_brings_evidence_when_somebody_asks() {
    if !crate::wanted("a_node_brings_evidence_when_somebody_asks") {
        return;
    }
    use std::os::unix::fs::PermissionsExt as _;
    let _alone = cluster::alone().await;
    let cluster = crate::furnished().await;
    let worker = cluster.join("worker-1").await;
    booted(&cluster, &worker).await;
    let folder = cluster.path("node");
    std::fs::create_dir(&folder).unwrap();
    let (agent, next) = (format!("{folder}/agent"), format!("{folder}/next"));
    std::fs::write(&agent, AGENT).unwrap();
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kubeconfig = worker.kubeconfig.to_string();
    std::fs::write(format!("{folder}/kubelet.kubeconfig"), kubeconfig).unwrap();
    std::fs::write(&next, cluster::token(&cluster.result(&worker, &[]))).unwrap();
    let mut node = Command::new(env!("CARGO_BIN_EXE_zeuge-kube"))
        .args(["node", "run", "--interval", "86400", "--name", "worker-1"])
        .args([
            "--cluster-uid",
            &cluster.uid,
            "--audience",
            cluster::AUDIENCE,
        ])
        .args(["--dir", &folder, "--", &agent])
        .spawn()
        .unwrap();
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    eventually("the first evidence is there", || async {
        let memory = memories.get("worker-1").await.ok()?;
        (!memory.spec.results.is_empty()).then_some(())
    })
    .await;
    // These results name no boot, so none is missed.
    for (failed, code) in [(&[][..], 0), (&["policy.debug"][..], 5)] {
        std::fs::write(&next, cluster::token(&cluster.result(&worker, failed))).unwrap();
        let asked = Instant::now();
        let ended = Command::new(env!("CARGO_BIN_EXE_kubectl-zeuge"))
            .args(["attest", "worker-1", "--patience", "60"])
            .env("KUBECONFIG", cluster.path("plane/admin.kubeconfig"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{said}{ended:?}");
        assert!(said.contains("provider-employee: conditional"), "{said}");
        println!("asked and answered in {:?}", asked.elapsed());
    }
    node.kill().unwrap();
    node.wait().unwrap();
}
