//! What an installation is worth at a real API server: pods under Pod Security, one of two
//! controllers acts, every right is used and none is missing, the chart is the same, and nothing
//! is left behind. Runs with `make test-kubernetes` (ZEUGE_KUBERNETES=1).
#![expect(
    clippy::print_stdout,
    reason = "a run says what it waited for, and what it skipped"
)]

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use zeuge_kube::cluster::{START_TAINT, UNTRUSTED};

#[expect(dead_code, reason = "other tests use what this one does not")]
mod cluster;

use cluster::{AUDIENCE, Cluster, cordoned, eventually, tainted, trusted};

/// A Helm that was built from source believes that it speaks to Kubernetes 1.20.
const KUBE: &str = "1.36.3";
const IMAGE: &str = "registry.invalid/zeuge-kube@sha256:\
                     0000000000000000000000000000000000000000000000000000000000000000";

fn policy(reaction: &str) -> Value {
    json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestationPolicy",
        "metadata": {"name": "default"},
        "spec": {"reaction": reaction, "drainSeconds": 3600, "breaker": {"limit": "9"}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_needs_what_it_has_acts_once_and_leaves_nothing() {
    if std::env::var_os("ZEUGE_KUBERNETES").is_none() {
        println!("skipped: an installation needs a control plane (make test-kubernetes)");
        return;
    }
    let mut cluster = Cluster::start().await;
    let witness = cluster.path("witness.json");
    let shape = [
        "--inside",
        IMAGE,
        "--witness",
        &witness,
        "--audience",
        AUDIENCE,
        "--tenant",
        "acme",
        "--daemonset",
        IMAGE,
        "--agent-config",
        &witness,
    ];
    let options = |what: &'static str| [&["install", what][..], &shape].concat();
    cluster.program(&options("--apply"));
    restricted(&cluster).await;
    chart(&cluster, &cluster.program(&options("--dry-run")));
    cluster.apply(policy("Delete")).await;
    let mut controllers = one_acts(&cluster).await;
    rights(&cluster).await;
    cluster.apply(policy("Cordon")).await;
    let worker = cluster.join("worker-2").await;
    let bad = cluster.result(&worker, &["policy.debug"]);
    cluster.bring(&worker, &[&bad]).await.unwrap();
    cluster.node("worker-2", "is cordoned", cordoned).await;
    plugin(&cluster);
    // While controllers still run: they must not put anything back.
    cluster.program(&["uninstall"]);
    nothing_is_left(&cluster).await;
    for controller in &mut controllers {
        let _ = controller.kill();
        let _ = controller.wait();
    }
    cluster.stop_controller();
}

/// The controller-manager makes the pods, so they keep the profile; one that does not is refused.
async fn restricted(cluster: &Cluster) {
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), "zeuge-system");
    let two = || async {
        let list = pods.list(&ListParams::default()).await.ok()?;
        (list.items.len() == 2).then_some(())
    };
    eventually("both pods of the controller are admitted", two).await;
    let careless: Pod = serde_json::from_value(json!({"metadata": {"name": "careless"},
        "spec": {"serviceAccountName": "zeuge-kube",
            "containers": [{"name": "c", "image": "none.invalid/c"}]}}))
    .unwrap();
    let refused = pods.create(&PostParams::default(), &careless).await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("violates PodSecurity \"restricted"),
        "{refused}"
    );
}

/// Documents without what Helm writes above them, in any order.
fn documents(text: &str) -> BTreeSet<String> {
    text.split("---\n")
        .map(|document| {
            let lines = document
                .lines()
                .filter(|line| !line.starts_with("# Source:"));
            lines.collect::<Vec<_>>().join("\n").trim().to_owned()
        })
        .filter(|document| !document.is_empty())
        .collect()
}

/// The real Helm renders the committed chart to what the program applies, and the API server
/// takes it.
fn chart(cluster: &Cluster, wanted: &str) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let helm = Command::new(format!("{root}scripts/helm"))
        .output()
        .unwrap();
    if !helm.status.success() {
        println!("skipped: the chart with the real Helm (scripts/helm build)");
        return;
    }
    let helm = String::from_utf8(helm.stdout).unwrap();
    let mut command = Command::new(helm.trim());
    command.args(["template", "zeuge-kube", &format!("{root}deploy/chart")]);
    command.args(["--kube-version", KUBE]);
    for value in [
        "daemonset.configfs.enabled=true".to_owned(),
        format!("daemonset.image={IMAGE}"),
        format!("daemonset.audience={AUDIENCE}"),
        "controller.enabled=true".to_owned(),
        format!("controller.image={IMAGE}"),
        format!("controller.audience={AUDIENCE}"),
        "controller.tenant=acme".to_owned(),
    ] {
        command.args(["--set", &value]);
    }
    let witness = format!("controller.witness={}", cluster.path("witness.json"));
    // Any JSON will do as the agents' configuration.
    let config = format!("daemonset.config={}", cluster.path("witness.json"));
    let files = ["--set-file", &witness, "--set-file", &config];
    let rendered = command.args(files).output().unwrap();
    let complaint = String::from_utf8_lossy(&rendered.stderr).into_owned();
    assert!(rendered.status.success(), "{complaint}");
    let rendered = String::from_utf8(rendered.stdout).unwrap();
    let (found, wanted) = (documents(&rendered), documents(wanted));
    let differ = found.symmetric_difference(&wanted);
    let differ: Vec<_> = differ
        .map(|it| it.lines().take(7).collect::<Vec<_>>())
        .collect();
    assert!(
        differ.is_empty(),
        "other in the chart, or in the program: {differ:?}"
    );
    println!("the chart: {} objects, by the real Helm", wanted.len());
    refuses_bad_values(helm.trim(), &root_chart(root));
    taken_by_kubectl(cluster, rendered);
}

fn root_chart(root: &str) -> String {
    format!("{root}deploy/chart")
}

/// The schema of the values.
fn refuses_bad_values(helm: &str, chart: &str) {
    // Enabled without an image.
    let refused = Command::new(helm)
        .args(["template", "x", chart, "--kube-version", KUBE])
        .args(["--set", "controller.enabled=true"])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && complaint.contains("image"),
        "{complaint}"
    );
    // Both ways to the device at once.
    let both = [
        "--set",
        "daemonset.configfs.enabled=true",
        "--set",
        "daemonset.device.enabled=true",
    ];
    let refused = Command::new(helm)
        .args(["template", "x", chart, "--kube-version", KUBE])
        .args(both)
        .args([
            "--set",
            "daemonset.image=i,daemonset.audience=a,daemonset.config=c",
        ])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && complaint.contains("daemonset"),
        "{complaint}"
    );
    let hostile = "startTaint=a' || true || '";
    let refused = Command::new(helm)
        .args(["template", "x", chart, "--kube-version", KUBE])
        .args(["--set", hostile])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && complaint.contains("startTaint"));
}

/// The API server takes what Helm rendered.
fn taken_by_kubectl(cluster: &Cluster, rendered: String) {
    let Ok(kubectl) = Command::new("kubectl")
        .arg("version")
        .arg("--client")
        .output()
    else {
        println!("skipped: kubectl apply of the chart (kubectl)");
        return;
    };
    assert!(kubectl.status.success());
    let file = cluster.path("chart.yaml");
    std::fs::write(&file, rendered).unwrap();
    let kubeconfig = cluster.path("plane/admin.kubeconfig");
    let applied = Command::new("kubectl")
        .args([
            "--kubeconfig",
            &kubeconfig,
            "apply",
            "--server-side",
            "--force-conflicts",
        ])
        .args(["--dry-run=server", "-f", &file])
        .output()
        .unwrap();
    assert!(
        applied.status.success(),
        "{}",
        String::from_utf8_lossy(&applied.stderr)
    );
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

async fn holder(cluster: &Cluster) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(cluster.admin.clone(), "zeuge-system");
    let spec = leases.get("zeuge-kube").await.ok()?.spec?;
    spec.holder_identity.filter(|it| !it.is_empty())
}

/// What a controller's log says last of the Lease.
fn held(cluster: &Cluster, log: &str) -> Option<bool> {
    let text = std::fs::read_to_string(cluster.path(log)).unwrap_or_default();
    let last = text.lines().rfind(|line| line.contains("the Lease own="))?;
    Some(last.contains("true"))
}

/// Two controllers run and one acts; it is killed, then another is stopped in mid-flight, and the
/// next goes on where they were. Returns those that still run.
async fn one_acts(cluster: &Cluster) -> Vec<Child> {
    let mut first = cluster.spawn_controller("log-1").await;
    let leads = |log: &'static str| {
        eventually("a controller holds the Lease", move || async move {
            (held(cluster, log) == Some(true)).then_some(())
        })
    };
    leads("log-1").await;
    let second = cluster.spawn_controller("log-2").await;
    let worker = cluster.join("worker-1").await;
    work(cluster).await;
    assert_eq!(held(cluster, "log-2"), None);
    let before = holder(cluster).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let bad = cluster.result(&worker, &["policy.debug"]);
    let killed = Instant::now();
    cluster.bring(&worker, &[&bad]).await.unwrap();
    cluster
        .node("worker-1", "is tainted by the next", |it| {
            tainted(it, UNTRUSTED)
        })
        .await;
    // Nobody acted before the Lease had run out.
    assert!(killed.elapsed() > Duration::from_secs(10));
    assert_ne!(holder(cluster).await, before);
    leads("log-2").await;
    // One that is stopped in mid-flight finds out when it goes on.
    let third = cluster.spawn_controller("log-3").await;
    signal(&second, "-STOP");
    leads("log-3").await;
    signal(&second, "-CONT");
    eventually("the one that slept sees that it lost the Lease", || async {
        (held(cluster, "log-2") == Some(false)).then_some(())
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), "default");
    let evicted = || async {
        let pod = pods.get_opt("work").await.ok()??;
        pod.metadata.deletion_timestamp.map(drop)
    };
    eventually("the pod is evicted", evicted).await;
    let at_once = kube::api::DeleteParams::default().grace_period(0);
    pods.delete("work", &at_once).await.unwrap();
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    eventually("the node is deleted, last", || async {
        nodes
            .get_opt("worker-1")
            .await
            .ok()?
            .is_none()
            .then_some(())
    })
    .await;
    // One that is told to end gives the Lease back: nobody waits for its life.
    let told = Instant::now();
    signal(&third, "-TERM");
    leads("log-2").await;
    assert!(told.elapsed() < Duration::from_secs(10));
    let mut third = third;
    assert!(third.wait().unwrap().success());
    vec![second]
}

/// A pod on worker-1 that has to be evicted.
async fn work(cluster: &Cluster) {
    let pods: Api<Pod> = Api::namespaced(cluster.admin.clone(), "default");
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "work"}, "spec": {
        "nodeName": "worker-1", "automountServiceAccountToken": false,
        "containers": [{"name": "c", "image": "none.invalid/c"}]}}))
    .unwrap();
    eventually("a pod can be made", || async {
        pods.create(&PostParams::default(), &pod)
            .await
            .ok()
            .map(drop)
    })
    .await;
}

/// Runs `kubectl zeuge` as kubectl does where it is there; exit code and what was printed.
fn zeuge(cluster: &Cluster, arguments: &[&str]) -> (i32, String) {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-zeuge"));
    let mut command = Command::new("kubectl");
    command.arg("zeuge");
    if Command::new("kubectl").arg("help").output().is_err() {
        println!("skipped: kubectl, the program is run by its own name");
        command = Command::new(program);
    }
    let folder = program.parent().unwrap().display();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let ended = command
        .args(arguments)
        .env("PATH", path)
        .env("KUBECONFIG", cluster.path("plane/admin.kubeconfig"))
        .output()
        .unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    println!("{printed}{}", String::from_utf8_lossy(&ended.stderr));
    (ended.status.code().unwrap(), printed)
}

/// The program for people: worker-1 was expelled, worker-2 is cordoned and fails.
fn plugin(cluster: &Cluster) {
    let (code, text) = zeuge(cluster, &["nodes", "--format", "json"]);
    let nodes: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, nodes.as_array().unwrap().len()), (0, 2));
    assert_eq!(
        (&nodes[0]["node"], &nodes[0]["state"]),
        (&json!("worker-1"), &json!("gone"))
    );
    assert_eq!(
        (&nodes[1]["node"], &nodes[1]["state"]),
        (&json!("worker-2"), &json!("failed"))
    );
    let (code, text) = zeuge(cluster, &["explain", "worker-2"]);
    assert!(code == 5 && text.contains("kube.node.failed") && text.contains("policy.debug"));
    assert!(
        text.contains("the reaction Cordon goes no further"),
        "{text}"
    );
    assert_eq!(zeuge(cluster, &["explain", "nobody"]).0, 1);
    let (code, text) = zeuge(cluster, &["drain-preview"]);
    assert!(code == 0 && text.contains("worker-2: nothing"), "{text}");
    report(cluster);
}

/// Signed, whole, and by no other key.
fn report(cluster: &Cluster) {
    use zeuge_protocol::{keys::SigningKey, text::base64url};
    let key = SigningKey::from_seed(&[3; 32]).unwrap();
    let (public, other) = (
        base64url(&key.public().0),
        base64url(&SigningKey::from_seed(&[4; 32]).unwrap().public().0),
    );
    let seed = base64url(&[3; 32]);
    let text =
        format!("zeuge-owner-key-v1\nname: Ada\ntenant: acme\npublic: {public}\nseed: {seed}\n");
    let (key, file) = (cluster.path("auditor.key"), cluster.path("report.json"));
    std::fs::write(&key, text).unwrap();
    let asked = [
        "report",
        "--from",
        "2026-01-01",
        "--key",
        &key,
        "--out",
        &file,
    ];
    assert_eq!(zeuge(cluster, &asked).0, 0);
    let verify = |key: &str| {
        let asked = [
            "verify-report",
            &file,
            "--public-key",
            key,
            "--format",
            "json",
        ];
        zeuge(cluster, &asked)
    };
    assert_eq!(verify(&other).0, 3);
    let (code, told) = verify(&public);
    assert_eq!(code, 0);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["signer"], &told["summary"]["nodes"]),
        (&json!("Ada"), &json!(2))
    );
    for node in told["nodes"].as_array().unwrap() {
        assert!(node["actual"].as_i64().unwrap() >= 2, "{node}");
        let failure = &node["failures"][0];
        assert_eq!(failure["checks"], json!(["policy.debug"]));
        assert_eq!(failure["step"]["step"], "Distrust");
        assert!(failure["reaction_seconds"].as_i64().is_some());
    }
    // What was expelled was there, and is not any more.
    assert_eq!(told["nodes"][0]["lives"].as_array().unwrap().len(), 1);
}

type Right = (String, String, String);

fn granted(rules: &[PolicyRule]) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.as_deref().unwrap_or_default() {
            for resource in rule.resources.as_deref().unwrap_or_default() {
                for verb in &rule.verbs {
                    all.insert((group.clone(), resource.clone(), verb.clone()));
                }
            }
        }
    }
    all
}

/// Rights that no request of its own shows, each with the reason.
const ASKED_BY_OTHERS: &[(&str, &str, &str, &str)] = &[(
    "certificates.k8s.io",
    "signers",
    "approve",
    "the API server asks whether it may, when it approves: approvals were taken above",
)];

/// The API server's own record: every right that was given was used, and none was missing.
async fn rights(cluster: &Cluster) {
    let roles: Api<ClusterRole> = Api::all(cluster.admin.clone());
    let own: Api<Role> = Api::namespaced(cluster.admin.clone(), "zeuge-system");
    let rules = roles.get("zeuge-kube-controller").await.unwrap().rules;
    let mut given = granted(&rules.unwrap_or_default());
    given.extend(granted(
        &own.get("zeuge-kube")
            .await
            .unwrap()
            .rules
            .unwrap_or_default(),
    ));
    for (group, resource, verb, because) in ASKED_BY_OTHERS {
        println!("not in the record: {verb} {resource}: {because}");
        assert!(given.remove(&((*group).into(), (*resource).into(), (*verb).into())));
    }
    let record = std::fs::read_to_string(cluster.path("plane/audit.log")).unwrap();
    let (mut used, mut missing) = (BTreeSet::new(), BTreeSet::new());
    for line in record.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue; // The last line may be on its way.
        };
        let about = &event["objectRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut resource = text(&about["resource"]);
        if let Some(part) = about["subresource"].as_str() {
            resource = format!("{resource}/{part}");
        }
        let right = (text(&about["apiGroup"]), resource, text(&event["verb"]));
        match event["responseStatus"]["code"].as_u64() {
            Some(403) => missing.insert(right),
            Some(code) if code < 400 => used.insert(right),
            _ => false,
        };
    }
    let unused: Vec<_> = given.difference(&used).collect();
    assert!(unused.is_empty(), "given and not used: {unused:?}");
    assert!(missing.is_empty(), "asked for and not given: {missing:?}");
    println!("{} rights, each used", given.len());
}

/// Looks through every kind of object that the API server has.
async fn nothing_is_left(cluster: &Cluster) {
    let nodes: Api<Node> = Api::all(cluster.admin.clone());
    // Longer than a controller that still runs takes for a pass.
    let until = Instant::now() + Duration::from_secs(5);
    let mut looks = 0;
    while looks == 0 || Instant::now() < until {
        let list = nodes.list(&ListParams::default()).await.unwrap();
        assert!(list.iter().any(|it| it.name_any() == "worker-2"));
        for node in &list {
            assert!(!trusted(node) && !cordoned(node));
            assert!(!tainted(node, UNTRUSTED) && !tainted(node, START_TAINT));
        }
        looks += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let found = Discovery::new(cluster.admin.clone()).run().await.unwrap();
    let mut kinds = 0_usize;
    for group in found.groups() {
        assert_ne!(group.name(), "zeuge.dev");
        for (resource, can) in group.recommended_resources() {
            // What happened stays told for an hour: events, and requests that nodes made.
            if !can.supports_operation(verbs::LIST)
                || ["Event", "CertificateSigningRequest"].contains(&resource.kind.as_str())
            {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(cluster.admin.clone(), &resource);
            kinds += 1;
            for object in api.list(&ListParams::default()).await.unwrap() {
                let of_ours = object.labels().values().any(|it| it.contains("zeuge"))
                    || object.labels().keys().any(|it| it.contains("zeuge"))
                    || object.annotations().keys().any(|it| it.contains("zeuge"))
                    || object.name_any().contains("zeuge")
                    || object.namespace().is_some_and(|it| it.contains("zeuge"));
                assert!(
                    !of_ours,
                    "left behind: {} {}",
                    resource.kind,
                    object.name_any()
                );
            }
        }
    }
    assert!(kinds > 30, "{kinds} kinds");
    println!("{kinds} kinds of objects hold nothing of ours");
}
