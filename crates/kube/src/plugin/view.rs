//! `nodes` and `explain`: what the last verdicts say, and which step comes next.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use super::Picture;
use super::table::{span, table as columns};
use crate::api::{AttestedNodeStatus, Declaration};
use crate::belief::seconds;
use crate::error::Error;
use crate::history::Taken;
use crate::model::{Action, Cordon, Health, Node};
use crate::{declared, plan, tell};

/// One line of `nodes`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    node: String,
    /// good, failed, never, declared, stale, rebooted, waived or not_applicable; gone when there is no
    /// Node object.
    state: &'static str,
    live: bool,
    ready: bool,
    trusted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    evidence: Vec<String>,
    makers: Vec<String>,
    products: Vec<String>,
    /// Against whom it protects, as the witness signed it.
    adversaries: BTreeMap<String, String>,
    failed: Vec<String>,
    /// What a pod on it declared: no verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    declared: Option<Declaration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "good",
        Health::Failed => "failed",
        Health::Never => "never",
        Health::Stale => "stale",
        Health::Rebooted => "rebooted",
        Health::Waived => "waived",
        Health::NotApplicable => "not_applicable",
    }
}

pub(super) fn nodes(picture: &Picture) -> Vec<Row> {
    let row = |(name, node): (&String, &Node)| row(picture, name, node);
    picture.state.nodes.iter().map(row).collect()
}

fn row(picture: &Picture, name: &str, node: &Node) -> Row {
    let status = picture.memory(name).and_then(|it| it.status.clone());
    let status = status.unwrap_or_default();
    let health = plan::health(node, &picture.state.policy, picture.now);
    let judged = seconds(status.judged_at.as_ref());
    Row {
        node: name.to_owned(),
        state: match (node.live, health, &status.declared) {
            (false, ..) => "gone",
            (true, Health::Never, Some(_)) => "declared",
            _ => word(health),
        },
        live: node.live,
        ready: node.ready,
        trusted: node.trusted,
        verdict: status.verdict,
        evidence: status.evidence,
        makers: status.makers,
        products: status.products,
        adversaries: status.adversaries,
        failed: status.failed,
        declared: status.declared,
        judged_at: status.judged_at,
        age_seconds: judged.map(|at| picture.now.saturating_sub(at)),
        step: status.step,
    }
}

pub(super) fn table(rows: &[Row]) -> String {
    let head = [
        "NODE", "STATE", "VERDICT", "EVIDENCE", "JUDGED", "STEP", "FAILED",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    lines.extend(rows.iter().map(|row| {
        let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let age = row.age_seconds.map(|age| format!("{} ago", span(age)));
        vec![
            row.node.clone(),
            row.state.to_owned(),
            or_dash(row.verdict.as_deref()),
            or_dash(Some(row.evidence.join(" ").as_str()).filter(|it| !it.is_empty())),
            or_dash(age.as_deref()),
            or_dash(row.step.as_deref()),
            row.failed.join(" "),
        ]
    }));
    columns(&lines)
}

/// What `explain` says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    row: Row,
    /// The check id of the state, unless it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
    /// The state in a sentence.
    sentence: String,
    /// The step that comes next, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// Why none comes although the evidence failed.
    held_by: Vec<String>,
    cordon: &'static str,
    denied: bool,
    movable_pods: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    /// The witness that judged, and the leaf of the verdict in its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_by: Option<String>,
    /// Witnesses are told to give it no new secrets.
    without_secrets: bool,
    /// SHA-256 of the keys that were approved for the name.
    keys: Vec<String>,
    /// Conditions of the object, as the controller wrote them.
    conditions: Vec<String>,
    /// The last steps.
    steps: Vec<Taken>,
}

pub(super) fn explain(picture: &Picture, name: &str) -> Result<Told, Error> {
    let state = &picture.state;
    let node = state
        .nodes
        .get(name)
        .ok_or_else(|| Error::Local(format!("there neither is nor was a node {name}")))?;
    let status = picture.memory(name).and_then(|it| it.status.clone());
    let status = status.unwrap_or_default();
    let health = plan::health(node, &state.policy, picture.now);
    let plan = plan::plan(state, picture.now);
    let own = |it: &&Action| it.node == name;
    let next = plan.actions.iter().find(own).map(|it| it.step);
    let mut held_by: Vec<String> = plan.holds.iter().map(|it| it.check().to_owned()).collect();
    if health == Health::Failed && next.is_none() && held_by.is_empty() && node.live {
        held_by.push(waits(picture, node));
    }
    let condition = |it: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition| {
        format!("{}={} {}: {}", it.type_, it.status, it.reason, it.message)
    };
    let judged_by = match (tell::verdict(&status), &status.witness) {
        (Some((issuer, leaf)), _) => Some(format!("{issuer}, leaf {leaf} of its log")),
        (None, issuer) => issuer.clone(),
    };
    let without = plan::without_secrets(state, &plan.holds, picture.now);
    Ok(Told {
        judged_by,
        without_secrets: without.contains(name),
        row: row(picture, name, node),
        check: match (health, &status.declared) {
            (Health::Never, Some(_)) => Some(declared::DECLARED),
            _ => health.check(),
        },
        sentence: sentence(health, node, &status, picture),
        next: next.map(|it| format!("{it:?}")),
        held_by,
        cordon: match node.cordon {
            Cordon::No => "no",
            Cordon::Ours => "ours",
            Cordon::Others => "somebody else's",
        },
        denied: node.denied,
        movable_pods: node.pods.movable,
        failed_since: status.failed_since,
        cause: status.cause,
        policy_digest: status.policy_digest,
        boot_id: status.boot_id,
        expires: status.expires,
        certificate_until: status.certificate_until,
        receipt: status.receipt,
        keys: status.keys,
        conditions: status.conditions.iter().map(condition).collect(),
        steps: status
            .history
            .steps
            .iter()
            .rev()
            .take(8)
            .rev()
            .cloned()
            .collect(),
    })
}

/// Why a machine that failed is left where it is, when nothing holds everything.
fn waits(picture: &Picture, node: &Node) -> String {
    let policy = &picture.state.policy;
    let live = picture.state.nodes.values().filter(|it| it.live).count();
    let taken = picture.state.nodes.values().filter(|it| it.unavailable());
    let (taken, allowed) = (taken.count(), policy.max_unavailable.of(live));
    if node
        .maintenance_until
        .is_some_and(|until| picture.now < until)
    {
        "maintenance is announced".to_owned()
    } else if node.cordon == Cordon::No && !node.unavailable() && taken >= allowed {
        format!("{taken} nodes are unavailable, maxUnavailable allows {allowed}")
    } else {
        format!(
            "the reaction {:?} goes no further",
            picture.policy.spec.reaction
        )
    }
}

fn sentence(health: Health, node: &Node, status: &AttestedNodeStatus, of: &Picture) -> String {
    let age = seconds(status.judged_at.as_ref()).map(|at| span(of.now.saturating_sub(at)));
    let age = age.unwrap_or_else(|| "never".into());
    let limit = span(of.state.policy.age_of(node));
    match health {
        _ if !node.live => "There is no Node object; this is what is remembered.".into(),
        Health::Good => format!("Judged {age} ago and as wanted; a verdict counts for {limit}."),
        Health::Failed if node.compromised => "Its key is declared compromised.".into(),
        Health::Failed => format!(
            "Judged {age} ago and refused: {}.",
            status.failed.join(", ")
        ),
        Health::Never if status.declared.is_some() => {
            let said = status.declared.as_ref();
            let said = said.map(|it| it.sentence(of.now, of.state.policy.age_secs_max));
            format!("It was declared only: {}.", said.unwrap_or_default())
        }
        Health::Never => "It was never judged, so nothing is known and nothing is done.".into(),
        Health::Stale => format!("Judged {age} ago, a verdict counts for {limit}: no new pods."),
        Health::Rebooted => "It booted since it was judged: no new pods until it is again.".into(),
        Health::NotApplicable => format!(
            "It joined by {} without evidence: it is never trusted.",
            status.not_applicable.as_deref().unwrap_or_default()
        ),
        Health::Waived => "Owners signed that it counts as good for now (kube.waiver).".into(),
    }
}

impl Told {
    pub(super) fn exit_code(&self) -> u8 {
        match self.check {
            None => 0,
            Some("kube.node.failed") => 5,
            Some(_) => 10,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines: Vec<(&str, String)> = vec![
            ("node", self.row.node.clone()),
            (
                "state",
                format!("{} ({})", self.row.state, self.check.unwrap_or("attested")),
            ),
            ("", self.sentence.clone()),
        ];
        let mut say = |name: &'static str, value: Option<String>| {
            lines.extend(value.filter(|it| !it.is_empty()).map(|it| (name, it)));
        };
        say("verdict", self.row.verdict.clone());
        say("evidence", Some(self.row.evidence.join(" ")));
        let maker = [self.row.makers.join(" "), self.row.products.join(" ")].join(" ");
        say("maker", Some(maker.trim().to_owned()));
        for (who, word) in &self.row.adversaries {
            say("protects", Some(format!("{who}: {word}")));
        }
        say("failed checks", Some(self.row.failed.join(" ")));
        for line in self.row.declared.iter().flat_map(|it| &it.not_proved) {
            say("not proved", Some(line.clone()));
        }
        say(
            "failed since",
            self.failed_since.as_ref().map(|it| it.0.to_string()),
        );
        say("cause", self.cause.clone());
        say("judged by", self.judged_by.clone());
        say("cordon", Some(self.cordon.to_owned()));
        say("credentials", self.denied.then(|| "denied".to_owned()));
        let told = "none: witnesses are told to give it no new ones";
        say("secrets", self.without_secrets.then(|| told.to_owned()));
        say("pods to move", Some(self.movable_pods.to_string()));
        say("last step", self.row.step.clone());
        say(
            "next step",
            Some(self.next.clone().unwrap_or_else(|| "none".into())),
        );
        say("held by", Some(self.held_by.join("; ")));
        let at = |time: &Option<Time>| time.as_ref().map(|it| it.0.to_string());
        say("verdict until", at(&self.expires));
        say("certificate valid until", at(&self.certificate_until));
        say("policy", self.policy_digest.clone());
        say("boot", self.boot_id.clone());
        for key in &self.keys {
            say("key", Some(key.clone()));
        }
        for condition in &self.conditions {
            say("condition", Some(condition.clone()));
        }
        for step in &self.steps {
            say("step", Some(format!("{} {}", step.at.0, step.step)));
        }
        say("receipt", self.receipt.clone());
        let lines = lines
            .into_iter()
            .map(|(name, value)| vec![name.to_owned(), value]);
        columns(&lines.collect::<Vec<_>>())
    }
}
