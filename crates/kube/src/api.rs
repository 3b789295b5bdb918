//! The objects of `zeuge.dev/v1alpha1`, as the API server stores them.
//!
//! Hints, not proofs: whoever runs the API server can change them (`docs/kubernetes.md`). A policy
//! here may only tighten what the controller was started with; keys of witnesses never stand here.
#![expect(
    clippy::duplicated_attributes,
    reason = "each column of a table has a name and a type"
)]
#![expect(
    unreachable_pub,
    reason = "the derive of schemas repeats each structure where nobody reaches it"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::model::{Amount, Policy, Rung, Stage};

/// How the cluster demands and uses attestation. The controller reads the one it is told to.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "zeuge.dev",
    version = "v1alpha1",
    kind = "AttestationPolicy",
    plural = "attestationpolicies",
    shortname = "atp",
    category = "zeuge",
    status = "AttestationPolicyStatus",
    doc = "How nodes are demanded to be attested, and what happens to those that fail.",
    printcolumn(name = "Reaction", type_ = "string", json_path = ".spec.reaction"),
    printcolumn(
        name = "Nodes",
        type_ = "string",
        json_path = ".spec.selector.names[*]",
        priority = 1
    ),
    printcolumn(
        name = "Groups",
        type_ = "string",
        json_path = ".spec.selector.bootstrapGroups[*]",
        priority = 1
    ),
    printcolumn(name = "Held", type_ = "string", json_path = ".status.holds[*].check"),
    printcolumn(name = "Bypass", type_ = "string", json_path = ".status.bypass[*]"),
    printcolumn(name = "Waivers", type_ = "string", json_path = ".status.waivers[*]"),
    printcolumn(
        name = "Witnesses",
        type_ = "string",
        json_path = ".status.witnesses[*]",
        priority = 1
    )
)]
#[x_kube(validation = Rule::new("!self.forceAfterDeadline || self.reaction in ['NoExecute', 'Credentials', 'Delete']").message("force needs a reaction that reaches NoExecute"))]
#[x_kube(validation = Rule::new("!has(self.selector) || !(has(self.compromised) || has(self.maintenance) || has(self.waivers) || has(self.enrolledControlPlane) || has(self.breaker.acknowledged) || self.forceAfterDeadline || self.maxUnavailable != '1' || self.drainSeconds != 900 || self.breaker.limit != '10%')").message("a policy with a selector sets policies, witnesses, maxAgeSeconds and reaction; the rest is the cluster's"))]
#[serde(rename_all = "camelCase")]
pub struct AttestationPolicySpec {
    /// Which nodes this policy tightens the demands for; the policy that the controller follows holds
    /// for all, and needs none. Such a policy sets policies, witnesses, maxAgeSeconds and reaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// The issuers of witnesses that count, among those in the controller's files; with none, all of
    /// those do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    pub witnesses: Vec<String>,
    /// SHA-256 of the witness policies that count, hexadecimal; with none, the witness's own does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(max = 64), regex(pattern = r"^[0-9a-f]{64}$"))
    )]
    pub policies: Vec<String>,
    /// How old a verdict may become, in seconds.
    #[serde(default = "age_default")]
    #[schemars(range(min = 60, max = 86400))]
    pub max_age_seconds: i64,
    /// How far the ladder goes for a node whose evidence failed.
    #[serde(default)]
    pub reaction: Reaction,
    /// How many nodes may be unavailable, for whatever reason: a number, or a share such as 10%.
    #[serde(default = "one")]
    #[schemars(regex(pattern = r"^([0-9]{1,5}|[0-9]{1,2}%|100%)$"))]
    pub max_unavailable: String,
    /// How long a drain may take before it counts as stuck, in seconds.
    #[serde(default = "drain_default")]
    #[schemars(range(min = 0, max = 86400))]
    pub drain_seconds: i64,
    /// NoExecute follows at the deadline although a disruption budget still blocks.
    #[serde(default)]
    pub force_after_deadline: bool,
    /// What holds back a change that would flip many nodes at once.
    #[serde(default)]
    pub breaker: BreakerSpec,
    /// Names of control-plane nodes that may join.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enrolled_control_plane: Vec<String>,
    /// Nodes whose key is declared compromised: the breaker does not hold for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compromised: Vec<Declared>,
    /// Nodes that are being worked on: nothing beyond the taint happens to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<Maintenance>,
    /// Waivers as owners signed them (zeuge-kube waive).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 16384)))]
    pub waivers: Vec<String>,
}

/// Nodes by the group of the bootstrap token with which they joined, and by name. Labels are no way to
/// select: machines set them themselves.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.names) || has(self.bootstrapGroups)").message("a selector names nodes or groups"))]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Names of nodes; `*` stands for any letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(max = 253), regex(pattern = r"^[a-z0-9.*-]+$"))
    )]
    pub names: Vec<String>,
    /// Groups that only bootstrap tokens give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 16),
        inner(
            length(max = 277),
            regex(pattern = r"^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$")
        )
    )]
    pub bootstrap_groups: Vec<String>,
}

const fn age_default() -> i64 {
    900
}

const fn drain_default() -> i64 {
    900
}

fn one() -> String {
    "1".to_owned()
}

/// How far the ladder goes; each rung includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Reaction {
    /// Say so.
    Report,
    /// No new pods.
    #[default]
    Taint,
    /// Cordon.
    Cordon,
    /// Drain within disruption budgets.
    Drain,
    /// The taint with the effect NoExecute, last.
    NoExecute,
    /// Deny the node's writes and renewals.
    Credentials,
    /// Delete the Node object.
    Delete,
}

/// The breaker.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerSpec {
    /// How many nodes may begin to fail within the window: a number, or a share such as 10%.
    #[serde(default = "ten_percent")]
    #[schemars(regex(pattern = r"^([0-9]{1,5}|[0-9]{1,2}%|100%)$"))]
    pub limit: String,
    /// The window in seconds.
    #[serde(default = "day")]
    #[schemars(range(min = 60, max = 2592000))]
    pub window_seconds: i64,
    /// The cause that a person has looked at, as status.holds names it, and how far it may act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
}

fn ten_percent() -> String {
    "10%".to_owned()
}

const fn day() -> i64 {
    86_400
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self {
            limit: ten_percent(),
            window_seconds: day(),
            acknowledged: None,
        }
    }
}

/// What a person has looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledged {
    /// The cause, 16 hexadecimal digits.
    #[schemars(regex(pattern = r"^[0-9a-f]{16}$"))]
    pub cause: String,
    /// How far it may act.
    pub stage: StageSpec,
}

/// A stage of a change that flips many nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StageSpec {
    /// Only show it.
    Observe,
    /// No joins and renewals for failing nodes, no new pods on them.
    NoJoins,
    /// Witnesses are told to give failing nodes no new secrets.
    NoSecrets,
    /// Everything.
    Evict,
}

/// A node with a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Declared {
    /// The node's name.
    pub node: String,
    /// Why.
    #[schemars(length(min = 1, max = 512))]
    pub because: String,
}

/// Announced work on a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Maintenance {
    /// The node's name.
    pub node: String,
    /// Until when.
    pub until: Time,
    /// What firmware or image is expected afterwards, for people: nothing is judged by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub expected: Option<String>,
}

/// What the controller last saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttestationPolicyStatus {
    /// What holds actions back.
    #[serde(default)]
    pub holds: Vec<HoldStatus>,
    /// Who passes the controller-manager's own approver, and so joins without attestation.
    #[serde(default)]
    pub bypass: Vec<String>,
    /// The waivers that count now, one sentence each, and those that were refused.
    #[serde(default)]
    pub waivers: Vec<String>,
    /// Waivers that counted and stand in no witness's log yet, as owners signed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlogged: Vec<String>,
    /// What witnesses were told, and which could not be: one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<String>,
    /// Acting (nothing holds steps back), Gated (nobody joins without attestation) and Told (witnesses
    /// know what they should); reasons are check ids in CamelCase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldStatus {
    /// The check id.
    pub check: String,
    /// A sentence.
    pub message: String,
    /// The cause to acknowledge, if it is the breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// What is known about one machine; it stays when the Node object goes.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "zeuge.dev",
    version = "v1alpha1",
    kind = "AttestedNode",
    plural = "attestednodes",
    shortname = "atn",
    category = "zeuge",
    status = "AttestedNodeStatus",
    doc = "The last verdict about a node, and what was done about it.",
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict"),
    printcolumn(name = "Evidence", type_ = "string", json_path = ".status.evidence"),
    printcolumn(name = "Failed", type_ = "string", json_path = ".status.failed"),
    printcolumn(
        name = "Declared",
        type_ = "string",
        json_path = ".status.declared.verdict",
        priority = 1
    ),
    printcolumn(
        name = "Maker",
        type_ = "string",
        json_path = ".status.makers[*]",
        priority = 1
    ),
    printcolumn(
        name = "Product",
        type_ = "string",
        json_path = ".status.products[*]",
        priority = 1
    ),
    printcolumn(
        name = "Provider employee",
        type_ = "string",
        json_path = ".status.adversaries.provider-employee",
        priority = 1
    ),
    printcolumn(name = "Judged", type_ = "date", json_path = ".status.judgedAt"),
    printcolumn(
        name = "Expires",
        type_ = "string",
        json_path = ".status.expires",
        priority = 1
    ),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.step"),
    printcolumn(
        name = "Certificate until",
        type_ = "string",
        json_path = ".status.certificateUntil"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct AttestedNodeSpec {
    /// Attestation Results (JWT) that the node brings; the newest last.
    #[serde(default)]
    #[schemars(length(max = 4), inner(length(max = 65536)))]
    pub results: Vec<String>,
    /// A result (JWT) that a pod on the node brings where no kubelet's key can be attested (DaemonSet
    /// mode): shown, and believed for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub declared: Option<String>,
}

/// What a pod on the node declared of its machine. Proves nothing about the node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Declaration {
    /// affirming, warning or contraindicated: of a machine that was told this node's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The kinds of evidence that were judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The checks that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// When the witness judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_at: Option<Time>,
    /// The log's receipt of the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// What is not proved by it, whatever the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_proved: Vec<String>,
    /// Why the last one was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// The controller's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttestedNodeStatus {
    /// affirming, warning or contraindicated; absent while nothing was believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The kinds of evidence that were judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// The checks that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
    /// The bootstrap group by which it joined as a machine that is not attested. Never said by the
    /// machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<String>,
    /// The groups of the bootstrap token with which it joined, as the API server said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bootstrap_groups: Vec<String>,
    /// What a pod on the node declared (DaemonSet mode). No verdict: nothing depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declaration>,
    /// Who holds the keys that the verdict rests on, such as AMD.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub makers: Vec<String>,
    /// The product lines, such as Milan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<String>,
    /// Against whom it protects, as the witness signed it: protected, conditional, unknown or
    /// not_protected by adversary; of several devices the worst.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub adversaries: BTreeMap<String, String>,
    /// When the witness judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_at: Option<Time>,
    /// When the verdict becomes too old, unless the policy's age is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// When it began to fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_since: Option<Time>,
    /// Under which policy, knowledge and checks it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// SHA-256 of the policy that was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<String>,
    /// The boot that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// SHA-256 of the client keys that were approved for the name, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Until when the newest certificate counts that was signed for the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_until: Option<Time>,
    /// The witness that judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<String>,
    /// The log's receipt of the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// When its drain began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_since: Option<Time>,
    /// The cordon is this controller's.
    #[serde(default)]
    pub cordoned: bool,
    /// The last step that was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The past, for reports.
    #[serde(default, skip_serializing_if = "History::is_empty")]
    pub history: History,
    /// Conditions; reasons are check ids in CamelCase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl AttestationPolicySpec {
    /// The policy for decisions. What the schema keeps out counts as its strictest reading.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            ladder: match self.reaction {
                Reaction::Report => Rung::Report,
                Reaction::Taint => Rung::Taint,
                Reaction::Cordon => Rung::Cordon,
                Reaction::Drain => Rung::Drain,
                Reaction::NoExecute => Rung::NoExecute,
                Reaction::Credentials => Rung::Credentials,
                Reaction::Delete => Rung::Delete,
            },
            max_unavailable: amount(&self.max_unavailable),
            age_secs_max: self.max_age_seconds,
            drain_secs_max: self.drain_seconds,
            force: self.force_after_deadline,
            breaker: amount(&self.breaker.limit),
            breaker_secs: self.breaker.window_seconds,
            acknowledged: self.breaker.acknowledged.as_ref().map(|it| {
                let stage = match it.stage {
                    StageSpec::Observe => Stage::Observe,
                    StageSpec::NoJoins => Stage::NoJoins,
                    StageSpec::NoSecrets => Stage::NoSecrets,
                    StageSpec::Evict => Stage::Evict,
                };
                (it.cause.clone(), stage)
            }),
        }
    }
}

/// A number or a share; 0 for anything else.
fn amount(text: &str) -> Amount {
    match text.strip_suffix('%') {
        Some(share) => Amount::Percent(share.parse().unwrap_or(0)),
        None => Amount::Count(text.parse().unwrap_or(0)),
    }
}
