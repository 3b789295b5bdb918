//! Policies with a selector, at a real API server: what it takes of them, and that they demand more
//! of some machines and less of none.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use zeuge_kube::api::AttestationPolicy;
use zeuge_kube::cluster::UNTRUSTED;

use crate::cluster::{self, Cluster, Machine, cordoned, tainted, trusted};

fn policy(name: &str, spec: &Value) -> AttestationPolicy {
    let object = json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestationPolicy",
        "metadata": {"name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

/// What the API server says of a policy as it stands here, word for word.
async fn taken(cluster: &Cluster, spec: &Value) -> Result<(), String> {
    let api: Api<kube::core::DynamicObject> = Api::all_with(
        cluster.admin.clone(),
        &kube::core::ApiResource::erase::<AttestationPolicy>(&()),
    );
    let object = json!({"apiVersion": "zeuge.dev/v1alpha1", "kind": "AttestationPolicy",
        "metadata": {"name": "tried"}, "spec": spec});
    let object = serde_json::from_value(object).unwrap();
    let only_tried = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = api.create(&only_tried, &object).await;
    made.map(|_| ()).map_err(|error| error.to_string())
}

async fn schema(cluster: &Cluster) {
    let names = json!({"names": ["strict-*"]});
    let good = [
        json!({"selector": names, "policies": ["aa".repeat(32)], "witnesses": ["https://w1"],
            "maxAgeSeconds": 300, "reaction": "Drain"}),
        json!({"selector": {"bootstrapGroups": ["system:bootstrappers:db"]}}),
        json!({"witnesses": ["https://w1"], "maxUnavailable": "10%"}),
    ];
    for spec in good {
        taken(cluster, &spec).await.unwrap();
    }
    let elsewhere = "the rest is the cluster's";
    let bad = [
        (json!({"selector": {}}), "a selector names nodes or groups"),
        (json!({"selector": {"names": []}}), "names"),
        (json!({"selector": {"names": ["Strict"]}}), "names"),
        (
            json!({"selector": {"bootstrapGroups": ["system:nodes"]}}),
            "bootstrapGroups",
        ),
        (
            json!({"selector": names, "maxUnavailable": "50%"}),
            elsewhere,
        ),
        (
            json!({"selector": names, "breaker": {"limit": "100%"}}),
            elsewhere,
        ),
        (
            json!({"selector": names, "compromised": [{"node": "n", "because": "x"}]}),
            elsewhere,
        ),
        (
            json!({"selector": names, "enrolledControlPlane": ["n"]}),
            elsewhere,
        ),
        (json!({"witnesses": [""]}), "witnesses"),
    ];
    for (spec, part) in bad {
        let because = taken(cluster, &spec).await.unwrap_err();
        assert!(because.contains(part), "{spec}: {because}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selector_demands_more_of_some_machines_and_less_of_none() {
    if !crate::wanted("a_selector_demands_more_of_some_machines_and_less_of_none") {
        return;
    }
    let _alone = cluster::alone().await;
    let mut cluster = Cluster::start().await;
    cluster.program(&["install", "--apply"]);
    cluster.apply(crate::policy("Taint")).await;
    cluster.start_controller().await;
    schema(&cluster).await;
    let api: Api<AttestationPolicy> = Api::all(cluster.admin.clone());
    let put = PostParams::default();
    let strict = json!({"selector": {"names": ["strict-*"],
        "bootstrapGroups": ["system:bootstrappers:vault"]}, "witnesses": ["https://another"]});
    api.create(&put, &policy("strict", &strict)).await.unwrap();
    // Loose words let nobody out.
    let loose = json!({"selector": {"names": ["*"]}, "maxAgeSeconds": 86400, "reaction": "Report"});
    api.create(&put, &policy("loose", &loose)).await.unwrap();
    let worker = cluster.join("worker-1").await;
    // By name, and by the group of the token whatever the name.
    let refused = ("Denied".to_owned(), "KubeCsrWitness".to_owned());
    let named = Machine::new("strict-1");
    let asked = (cluster.newcomer().await, &named);
    let csr = cluster
        .ask(&asked.0, asked.1, Some(&cluster.result(&named, &[])))
        .await;
    assert_eq!(cluster.decision(&csr).await, refused);
    let grouped = Machine::new("worker-2");
    let token = cluster.newcomer_of("vault").await;
    let csr = cluster
        .ask(&token, &grouped, Some(&cluster.result(&grouped, &[])))
        .await;
    assert_eq!(cluster.decision(&csr).await, refused);
    // The ladder goes as far as for all.
    let bad = cluster.result(&worker, &["policy.debug"]);
    cluster.bring(&worker, &[&bad]).await.unwrap();
    let failed = |it: &Node| tainted(it, UNTRUSTED) && !trusted(it);
    cluster
        .node("worker-1", "fails under the policy for all", failed)
        .await;
    // And further for those of whom more is demanded.
    let further = json!({"selector": {"names": ["worker-*"]}, "reaction": "Cordon"});
    api.create(&put, &policy("further", &further))
        .await
        .unwrap();
    cluster.node("worker-1", "is cordoned too", cordoned).await;
    api.delete("further", &DeleteParams::default())
        .await
        .unwrap();
}
