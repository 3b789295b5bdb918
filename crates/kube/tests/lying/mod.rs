//! What whoever runs the API server can do by lying about objects, and what not: here the
//! administrator writes the lies, and the controller reads them as it would read any answer.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use zeuge_kube::api::{AttestationPolicy, AttestedNode, AttestedNodeStatus};
use zeuge_kube::belief;
use zeuge_kube::owner::OwnerKey;
use zeuge_kube::waiver::{self, Waiver};
use zeuge_protocol::ear::{self, Ear};
use zeuge_protocol::keys::SigningKey;

use crate::cluster::{self, Cluster, Machine, cordoned, eventually, now, token, trusted};

struct Stage {
    cluster: Cluster,
    memories: Api<AttestedNode>,
    failing: Machine,
    sentinel: Machine,
}

impl Stage {
    async fn write(&self, tokens: &[String]) {
        let patch = json!({"spec": {"results": tokens}});
        let put = PatchParams::default();
        let name = &self.failing.name;
        self.memories
            .patch(name, &put, &Patch::Merge(patch))
            .await
            .unwrap();
    }

    async fn status(&self) -> AttestedNodeStatus {
        let memory = self.memories.get(&self.failing.name).await.unwrap();
        memory.status.unwrap_or_default()
    }

    /// Changes what is remembered; the controller may write in between.
    async fn rewrite(&self, change: &dyn Fn(&mut AttestedNodeStatus)) {
        let put = PostParams::default();
        let written = || async {
            let mut memory = self.memories.get(&self.failing.name).await.unwrap();
            change(memory.status.get_or_insert_default());
            let name = &self.failing.name;
            match self.memories.replace_status(name, &put, &memory).await {
                Err(kube::Error::Api(status)) if status.code == 409 => None,
                written => {
                    written.unwrap();
                    Some(())
                }
            }
        };
        eventually("the memory is rewritten", written).await;
    }

    /// Waits until the controller has read everything that was written before: it reads in order,
    /// and this comes last.
    async fn read(&self) {
        let ear = self.cluster.result(&self.sentinel, &[]);
        self.cluster.bring(&self.sentinel, &[&ear]).await.unwrap();
        let name = &self.sentinel.name;
        let judged = || async {
            let status = self.memories.get(name).await.ok()?.status?;
            (belief::seconds(status.judged_at.as_ref())? >= ear.issued).then_some(())
        };
        eventually("the controller has read it", judged).await;
    }

    async fn changes_nothing(&self, what: &str, tokens: &[String]) {
        let before = self.status().await;
        self.write(tokens).await;
        self.read().await;
        let after = self.status().await;
        assert_eq!(after.verdict.as_deref(), Some("contraindicated"), "{what}");
        assert_eq!(after.failed_since, before.failed_since, "{what}");
    }
}

/// The result with this change, signed by somebody else.
fn forged(ear: &Ear) -> String {
    ear::jwt::sign(ear, &SigningKey::from_seed(&[66; 32]).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_runs_the_api_server_can_lie_about_nodes_and_forge_no_result() {
    if !crate::wanted("whoever_runs_the_api_server_can_lie_about_nodes_and_forge_no_result") {
        return;
    }
    let _alone = cluster::alone().await;
    let cluster = crate::furnished().await;
    let failing = cluster.join("worker-1").await;
    let sentinel = cluster.join("worker-2").await;
    let early = cluster.result(&failing, &[]);
    let bad = cluster.result(&failing, &["policy.debug"]);
    cluster.bring(&failing, &[&bad]).await.unwrap();
    cluster.node("worker-1", "is cordoned", cordoned).await;
    let memories = Api::all(cluster.admin.clone());
    let stage = Stage {
        cluster,
        memories,
        failing,
        sentinel,
    };
    results(&stage, &early).await;
    requests(&stage).await;
    waivers(&stage).await;
    // What it can do: make the controller forget. Then the machine counts as never judged.
    stage.write(&[]).await;
    stage
        .rewrite(&|status| {
            let keys = std::mem::take(&mut status.keys);
            *status = AttestedNodeStatus {
                keys,
                ..Default::default()
            };
        })
        .await;
    let never = || async {
        let conditions = stage.status().await.conditions;
        (conditions.first()?.reason == "KubeNodeNever").then_some(())
    };
    eventually("the controller has forgotten", never).await;
}

/// Results of others, old ones, changed ones and own inventions.
async fn results(stage: &Stage, early: &Ear) {
    let of_other = stage.cluster.result(&stage.sentinel, &[]);
    let of_other = token(&of_other);
    stage
        .changes_nothing("another node's result", std::slice::from_ref(&of_other))
        .await;
    // The other's key written down as approved for this name does not help: the name is bound too.
    let other = stage.memories.get("worker-2").await.unwrap();
    let keys = other.status.unwrap_or_default().keys;
    let own = stage.status().await.keys;
    stage.rewrite(&|status| status.keys.clone_from(&keys)).await;
    stage
        .changes_nothing("another node's key", &[of_other])
        .await;
    stage.rewrite(&|status| status.keys.clone_from(&own)).await;
    stage
        .changes_nothing("an older good result", &[token(early)])
        .await;
    let good = stage.cluster.result(&stage.failing, &[]);
    stage
        .changes_nothing("a result that nobody pinned signed", &[forged(&good)])
        .await;
    let bad = token(&stage.cluster.result(&stage.failing, &["policy.debug"]));
    let (head, signature) = bad.rsplit_once('.').unwrap();
    let (algorithm, _) = head.split_once('.').unwrap();
    let good = token(&good);
    let claims = good.split('.').nth(1).unwrap();
    let changed = format!("{algorithm}.{claims}.{signature}");
    stage
        .changes_nothing("claims under another signature", &[changed])
        .await;
    let mut elsewhere = stage.cluster.result(&stage.failing, &[]);
    elsewhere.audience = "another".into();
    stage
        .changes_nothing("a result for somebody else", &[token(&elsewhere)])
        .await;
}

/// A request with the key of whoever runs the API server, under a true result of a node's.
async fn requests(stage: &Stage) {
    let thief = Machine::new("worker-3");
    let newcomer = stage.cluster.newcomer().await;
    let mut theirs = stage.cluster.result(&stage.sentinel, &[]);
    let csr = stage.cluster.ask(&newcomer, &thief, Some(&theirs)).await;
    theirs.context.insert("node-name".into(), "worker-3".into());
    let renamed = stage.cluster.ask(&newcomer, &thief, Some(&theirs)).await;
    stage.read().await;
    assert!(stage.cluster.pending(&csr).await && stage.cluster.pending(&renamed).await);
}

async fn policy(stage: &Stage, waivers: &[String]) {
    let mut policy: Value = crate::policy("Cordon");
    policy["spec"]["waivers"] = json!(waivers);
    stage.cluster.apply(policy).await;
}

async fn said(stage: &Stage, part: &str) {
    let policies: Api<AttestationPolicy> = Api::all(stage.cluster.admin.clone());
    let there = || async {
        let waivers = policies.get("default").await.ok()?.status?.waivers;
        waivers.iter().any(|it| it.contains(part)).then_some(())
    };
    eventually(&format!("it is said: {part}"), there).await;
}

/// A waiver of its own, and then an owner's.
async fn waivers(stage: &Stage) {
    let ear = stage.cluster.result(&stage.failing, &["policy.debug"]);
    stage
        .changes_nothing("the same failure again", &[token(&ear)])
        .await;
    let waiver = Waiver {
        because: "a test".into(),
        from: now(),
        until: now() + 600,
        ..Waiver::new(
            stage.cluster.uid.clone(),
            vec!["worker-1".into()],
            vec!["policy.debug".into()],
        )
    };
    let stranger = OwnerKey {
        person: "anna".into(),
        key: SigningKey::from_seed(&[66; 32]).unwrap(),
    };
    policy(stage, &[waiver::sign(&waiver, &[stranger])]).await;
    said(stage, "kube.waiver.refused: 0 owners signed, 1 must").await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(stage.cluster.admin.clone());
    assert!(cordoned(&nodes.get("worker-1").await.unwrap()));
    policy(stage, &[waiver::sign(&waiver, &[cluster::owner()])]).await;
    said(stage, "kube.waiver: policy.debug of worker-1 until").await;
    let back = |it: &k8s_openapi::api::core::v1::Node| trusted(it) && !cordoned(it);
    stage
        .cluster
        .node("worker-1", "counts by the waiver", back)
        .await;
    let shown = || async {
        let conditions = stage.status().await.conditions;
        let condition = conditions.first()?;
        (condition.reason == "KubeWaiver" && condition.status == "False").then_some(())
    };
    eventually("the verdict shows the waiver", shown).await;
    policy(stage, &[]).await;
    stage
        .cluster
        .node("worker-1", "is cordoned again", cordoned)
        .await;
}
