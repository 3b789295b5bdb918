//! What a pod says of the machine that it runs on, where the kubelet's key cannot be attested
//! (DaemonSet mode, `docs/kubernetes.md`): shown, and believed for nothing.
//!
//! Such a pod was started by a kubelet that nobody attested, on the word of the API server, which
//! tells it the node's name too; no key of the kubelet stands in its result. So the result proves
//! that there is a machine with this evidence which was told this name, and not that it is this
//! node. Nothing of it reaches [`crate::plan`]: no label, no taint and no certificate depends on it.

use zeuge_protocol::ear::{Ear, Status};
use zeuge_protocol::request::{DAEMONSET, PLACEMENT};

use crate::api::{AttestedNodeStatus, Declaration};
use crate::belief::{seconds, time};
use crate::join::{self, CLUSTER_UID, Facts, NODE_NAME};

/// The check ids of this module.
pub const CHECKS: &[&str] = &["kube.declared.refused", "kube.node.declared"];

const REFUSED: &str = "kube.declared.refused";

/// The state of a node that was declared and never judged by its kubelet's key.
pub const DECLARED: &str = "kube.node.declared";

/// What such a result does not prove, whatever its verdict.
pub const NOT_PROVED: [&str; 3] = [
    "That this machine is the node: no key of the kubelet stands in the result, and the API server \
     told the pod its name.",
    "What the kubelet is, and what ran before the pod that it started: the agent came later, inside \
     of what the API server controls.",
    "That the agent's configuration is the owner's: it is an object of the cluster and not measured.",
];

/// Takes a result that a pod brought, whose signature, audience and time hold; whether it changed
/// anything. What does not fit is told under `kube.declared.refused` and leaves the rest as it was.
pub fn learn(status: &mut AttestedNodeStatus, ear: &Ear, node: &str, facts: &Facts) -> bool {
    let known = status.declared.clone().unwrap_or_default();
    let next = match fits(status, ear, node, facts) {
        Err(because) => Declaration {
            refused: Some(format!("{REFUSED}: {because}")),
            ..known.clone()
        },
        Ok(()) if seconds(known.judged_at.as_ref()).is_some_and(|at| at > ear.issued) => {
            return false;
        }
        Ok(()) => declaration(ear),
    };
    if next == known {
        return false;
    }
    status.declared = Some(next);
    true
}

fn fits(status: &AttestedNodeStatus, ear: &Ear, node: &str, facts: &Facts) -> Result<(), String> {
    let said = |key: &str| ear.context.get(key).map_or("nothing", String::as_str);
    if !status.keys.is_empty() {
        return Err("the node joined by a key of its own, and a pod's word adds nothing".into());
    }
    if status.not_applicable.is_some() {
        return Err("the node joined by a group whose machines are not attested".into());
    }
    if ear.confirmation.is_some() || ear.confirmation_role.is_some() {
        return Err("it confirms a key: such results belong to requests for certificates".into());
    }
    for (key, wanted) in [
        (PLACEMENT, DAEMONSET),
        (CLUSTER_UID, facts.cluster_uid.as_str()),
        (NODE_NAME, node),
    ] {
        if said(key) != wanted {
            return Err(format!("{key} {}, wanted {wanted}", said(key)));
        }
    }
    join::judged(ear, facts).map_err(|it| format!("{}: {}", it.check, it.because))?;
    match ear.status() {
        Status::None => Err("it says nothing of any device".into()),
        _ => Ok(()),
    }
}

/// Without the words on adversaries: of this machine nobody proved them.
fn declaration(ear: &Ear) -> Declaration {
    let failed = join::failed(ear);
    Declaration {
        verdict: Some(ear.status().as_str().to_owned()),
        evidence: ear.submods.keys().cloned().collect(),
        failed: failed.into_iter().map(str::to_owned).collect(),
        judged_at: time(ear.issued),
        receipt: ear.receipt.clone(),
        not_proved: NOT_PROVED.map(str::to_owned).to_vec(),
        refused: None,
    }
}

impl Declaration {
    /// The declaration in a sentence, at `now`.
    #[must_use]
    pub fn sentence(&self, now: i64, age_secs_max: i64) -> String {
        let said = match (&self.verdict, seconds(self.judged_at.as_ref())) {
            (Some(verdict), Some(at)) => {
                let old = now.saturating_sub(at) >= age_secs_max;
                let old = if old { ", too long ago" } else { "" };
                let evidence = self.evidence.join(" ");
                let failed = match self.failed.is_empty() {
                    true => String::new(),
                    false => format!(": {}", self.failed.join(", ")),
                };
                format!(
                    "a pod on it showed a machine that is {verdict}{failed} ({evidence}){old}; that it is this node is not proved, and nothing depends on it"
                )
            }
            _ => "a pod on it showed nothing that could be used".to_owned(),
        };
        match &self.refused {
            Some(refused) => format!("{said} ({refused})"),
            None => said,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use zeuge_protocol::binding::BoundKey;
    use zeuge_protocol::ear::{self, Confirmation, Jwk};

    use super::*;
    use crate::belief;

    const NOW: i64 = 1_000_000;

    fn facts() -> Facts {
        Facts {
            cluster_uid: "c".into(),
            name_lives: true,
            ..join::tests::facts()
        }
    }

    fn ear() -> Ear {
        serde_json::from_value(json!({
            "eat_profile": ear::PROFILE, "iss": "https://w1", "aud": "a",
            "iat": NOW, "exp": NOW + 300, "ear_verifier_id": {"developer": "d", "build": "b"},
            "zeuge_context": {"cluster-uid": "c", "node-name": "n", "placement": "daemonset"},
            "zeuge_tenant": "acme", "zeuge_policy_digest": "04".repeat(32),
            "zeuge_knowledge_version": 1,
            "submods": {"snp": {"ear_status": "affirming",
                "zeuge_adversaries": {"provider-employee": "conditional"}}}
        }))
        .unwrap()
    }

    fn jwk() -> Jwk {
        Jwk::from_bound(&BoundKey::p256(&[1; 32], &[2; 32])).unwrap()
    }

    #[test]
    fn a_declaration_is_shown_with_what_it_does_not_prove_and_is_no_verdict() {
        let mut status = AttestedNodeStatus::default();
        assert!(learn(&mut status, &ear(), "n", &facts()));
        let shown = status.declared.clone().unwrap();
        assert_eq!(shown.verdict.as_deref(), Some("affirming"));
        assert_eq!(shown.not_proved, NOT_PROVED);
        // The plan sees a machine of which nothing is known.
        assert_eq!(belief::believed(&status), crate::model::Believed::Nothing);
        assert!(status.verdict.is_none() && status.adversaries.is_empty());
        let sentence = shown.sentence(NOW + 10, 900);
        assert!(
            sentence.contains("that it is this node is not proved"),
            "{sentence}"
        );
        assert!(shown.sentence(NOW + 900, 900).contains("too long ago"));
        // Again, and one that is older, change nothing.
        assert!(!learn(&mut status, &ear(), "n", &facts()));
        let mut old = ear();
        old.issued -= 1;
        assert!(!learn(&mut status, &old, "n", &facts()));
        assert_eq!(status.declared, Some(shown));
    }

    #[test]
    fn results_that_are_no_declarations_are_refused_by_name() {
        let changed = |change: &dyn Fn(&mut Ear)| {
            let mut it = ear();
            change(&mut it);
            it
        };
        let context = |key: &'static str, value: &'static str| {
            changed(&|it| drop(it.context.insert(key.into(), value.into())))
        };
        let cases = [
            (context("cluster-uid", "d"), "cluster-uid d, wanted c"),
            (context("node-name", "m"), "node-name m, wanted n"),
            (
                context("placement", "unit"),
                "placement unit, wanted daemonset",
            ),
            (
                changed(&|it| it.context = BTreeMap::new()),
                "placement nothing, wanted daemonset",
            ),
            (
                changed(&|it| it.confirmation = Some(Confirmation { jwk: jwk() })),
                "it confirms a key",
            ),
            (
                changed(&|it| it.tenant = zeuge_protocol::name::Name::parse("b").unwrap()),
                "kube.csr.policy: tenant b, wanted acme",
            ),
            (changed(&|it| it.submods.clear()), "nothing of any device"),
        ];
        for (ear, because) in cases {
            let mut status = AttestedNodeStatus::default();
            assert!(learn(&mut status, &ear, "n", &facts()));
            let shown = status.declared.unwrap();
            let refused = shown.refused.unwrap();
            assert!(refused.starts_with("kube.declared.refused: "), "{refused}");
            assert!(refused.contains(because), "{refused}");
            assert_eq!(shown.verdict, None);
        }
    }

    #[test]
    fn a_pods_word_counts_for_nothing_beside_a_key_that_was_attested() {
        for group in [None, Some("system:bootstrappers:plain".to_owned())] {
            let mut status = AttestedNodeStatus::default();
            match group {
                Some(_) => status.not_applicable = group,
                None => belief::approve(&mut status, "key".into()),
            }
            learn(&mut status, &ear(), "n", &facts());
            let shown = status.declared.unwrap();
            assert!(shown.verdict.is_none() && shown.refused.is_some());
        }
    }

    /// Where results count that kubelets bring, a declaration does not.
    #[test]
    fn a_declaration_is_no_result_of_a_kubelet() {
        let mut status = AttestedNodeStatus::default();
        belief::approve(&mut status, "key".into());
        assert!(!belief::learn(&mut status, &ear(), "n", &facts(), 900));
        assert_eq!(status.verdict, None);
    }
}
