//! What a real witness is told by the controller: a waiver, once it answers again, and the machine
//! whose key is declared compromised.

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use zeuge_kube::api::{AttestationPolicy, AttestedNode};

use super::machines::{Machines, TENANT};
use crate::cluster::{Cluster, eventually};

fn listed(machines: &Machines, what: &str) -> Vec<Value> {
    let all = machines.administer(&[what, "list", "--tenant", TENANT, "--format", "json"]);
    let lines = all.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// Signed while the witness answers nobody, and in its log afterwards, without anybody's doing.
pub(crate) async fn waiver(cluster: &Cluster, machines: &Machines) {
    let policies: Api<AttestationPolicy> = Api::all(cluster.admin.clone());
    let memories: Api<AttestedNode> = Api::all(cluster.admin.clone());
    assert!(listed(machines, "waiver").is_empty());
    machines.signal("-STOP");
    let key = machines.owner()[0].display().to_string();
    let signed = ["waive", "--key", &key, "--node", "worker-1", "--hours", "1"];
    let more = ["--check", "policy.tcb", "--because", "the witness is away"];
    cluster.program(&[&signed[..], &more].concat());
    let waits = || async {
        let status = policies.get("default").await.ok()?.status?;
        (status.unlogged.len() == 1).then_some(())
    };
    eventually("the waiver waits for the witness", waits).await;
    machines.signal("-CONT");
    let logged = || async {
        let status = policies.get("default").await.ok()?.status?;
        let history = memories.get("worker-1").await.ok()?.status?.history;
        let leaf = history.waivers.first()?.logged.clone()?;
        status.unlogged.is_empty().then_some(leaf)
    };
    let leaf = eventually("the waiver is written down", logged).await;
    let all = listed(machines, "waiver");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["waiver"]["because"], "the witness is away");
    assert_eq!(leaf, format!("leaf {} of https://w", all[0]["leaf"]));
}

/// The witness gives this machine no more secrets, and is told of no other.
pub(crate) async fn compromised(cluster: &Cluster, machines: &Machines) {
    let policies: Api<AttestationPolicy> = Api::all(cluster.admin.clone());
    let declared = json!([{"node": "worker-1", "because": "its disk was found on a desk"}]);
    let patch = Patch::Merge(json!({"spec": {"compromised": declared}}));
    let put = PatchParams::default();
    assert!(listed(machines, "stop").is_empty());
    policies.patch("default", &put, &patch).await.unwrap();
    let said = || async {
        let status = policies.get("default").await.ok()?.status?;
        let wanted = "https://w: no new secrets for 1 machines";
        let told = status.witnesses.iter().any(|it| it.starts_with(wanted));
        told.then_some(())
    };
    eventually("the witness is told", said).await;
    let stops = listed(machines, "stop");
    assert_eq!(stops.len(), 1);
    let name = format!("cluster-{}", cluster.uid);
    assert_eq!(stops[0]["name"], name.as_str());
    assert!(stops[0]["machine"].is_string());
    // Taken back, the stop stands, and that is said; an operator lifts it.
    let patch = Patch::Merge(json!({"spec": {"compromised": null}}));
    policies.patch("default", &put, &patch).await.unwrap();
    let stands = || async {
        let status = policies.get("default").await.ok()?.status?;
        let told = |it: &String| it.contains("nothing here asks for it any more");
        status.witnesses.iter().any(told).then_some(())
    };
    eventually("it is said that the stop stands", stands).await;
    assert_eq!(listed(machines, "stop").len(), 1);
    machines.administer(&["stop", "lift", "--tenant", TENANT, "--name", &name]);
    assert!(listed(machines, "stop").is_empty());
}
