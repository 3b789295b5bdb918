//! Certificate requests of kubelets: collects what [`join::decide`] wants to know, and carries
//! its decision out. What is remembered about a name is written before its request is approved.

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use zeuge_protocol::ear::Ear;

use super::Controller;
use crate::api::{AttestationPolicySpec, AttestedNode, AttestedNodeSpec};
use crate::error::{Error, reason};
use crate::join::RESULT_ANNOTATION;
use crate::join::{
    self, Asked, CLIENT_SIGNER, Decision, Facts, NODE_USER, Refusal, SERVING_SIGNER,
};
use crate::selection::{Demands, Rules, bootstrap_groups};
use crate::{belief, cluster, pkcs10};

impl Controller {
    pub(super) async fn gate(&self, rules: &Rules, refuses: bool, now: i64) {
        for request in self.requests.state() {
            if !pending(&request) {
                continue;
            }
            let name = request.name_any();
            if let Err(error) = self.judge(&request, rules, refuses, now).await {
                tracing::warn!(csr = name, %error, "not decided");
            }
        }
    }

    async fn judge(
        &self,
        csr: &CertificateSigningRequest,
        rules: &Rules,
        refuses: bool,
        now: i64,
    ) -> Result<(), Error> {
        let asked = Asked {
            signer: csr.spec.signer_name.clone(),
            user: csr.spec.username.clone().unwrap_or_default(),
            usages: csr.spec.usages.clone().unwrap_or_default(),
            groups: csr.spec.groups.clone().unwrap_or_default(),
        };
        let request = match pkcs10::read(&csr.spec.request.0) {
            Ok(request) => request,
            Err(because) => {
                let refusal = Refusal {
                    check: "kube.csr.malformed",
                    because: because.to_owned(),
                };
                return self.answer(csr, "Denied", &refusal).await;
            }
        };
        let node = join::shape(&asked, &request).unwrap_or_default();
        let memory = self.memories.get(&ObjectRef::new(&node));
        let mut tokens: Vec<&str> = Vec::new();
        tokens.extend(csr.annotations().get(RESULT_ANNOTATION).map(String::as_str));
        if let Some(memory) = &memory {
            tokens.extend(memory.spec.results.iter().map(String::as_str));
        }
        let (witnesses, audience) = (&self.settings.witnesses, &self.settings.audience);
        let mut results: Vec<Ear> = Vec::new();
        for token in tokens {
            match belief::believe(token, witnesses, audience, now) {
                Ok(ear) => results.push(ear),
                Err(error) => tracing::info!(node, %error, "a result is not believed"),
            }
        }
        let groups = groups(&asked, memory.as_deref());
        let demands = rules.demands(&node, &groups);
        let age = demands.age_secs_max;
        let facts = self.about((&node, demands), memory.as_deref(), &rules.base, refuses);
        match join::decide(&asked, &request, &results, &facts) {
            Decision::Approve { node, result } => {
                if asked.signer == CLIENT_SIGNER {
                    let memory = memory.as_deref();
                    self.admit((&node, groups), memory, &result, &facts, age)
                        .await?;
                }
                let approved = Refusal {
                    check: "attested",
                    because: format!("{NODE_USER}{node} by {}", result.issuer),
                };
                self.answer(csr, "Approved", &approved).await
            }
            Decision::Exempt { node, group } => {
                self.exempt(&node, memory.as_deref(), &group).await?;
                let approved = Refusal {
                    check: "kube.node.not-applicable",
                    because: format!("{NODE_USER}{node} by {group}, without evidence"),
                };
                self.answer(csr, "Approved", &approved).await
            }
            Decision::Deny(refusal) => self.answer(csr, "Denied", &refusal).await,
            Decision::Wait(refusal) => {
                tracing::debug!(csr = csr.name_any(), because = refusal.because, "waits");
                Ok(())
            }
        }
    }

    fn about(
        &self,
        (name, demands): (&str, Demands),
        memory: Option<&AttestedNode>,
        policy: &AttestationPolicySpec,
        refuses: bool,
    ) -> Facts {
        let node = self.nodes.get(&ObjectRef::new(name));
        let status = memory.and_then(|it| it.status.as_ref());
        Facts {
            name_lives: node.as_deref().is_some_and(cluster::ready),
            control_plane: node.as_deref().is_some_and(cluster::control_plane),
            enrolled: policy.enrolled_control_plane.iter().any(|it| it == name),
            refuses,
            exempted_by: status.and_then(|it| it.not_applicable.clone()),
            attested_before: status.is_some_and(|it| !it.keys.is_empty()),
            compromised: policy.compromised.iter().any(|it| it.node == name),
            ..self.facts(demands)
        }
    }

    /// Remembers the key, the verdict and the groups for the name.
    async fn admit(
        &self,
        (node, groups): (&str, Vec<String>),
        memory: Option<&AttestedNode>,
        result: &Ear,
        facts: &Facts,
        age_secs_max: i64,
    ) -> Result<(), Error> {
        let mut memory = self.memory(node, memory).await?;
        let mut status = memory.status.take().unwrap_or_default();
        (status.not_applicable, status.declared) = (None, None);
        status.bootstrap_groups = groups;
        if let Some(key) = belief::key_name(result) {
            belief::approve(&mut status, key);
        }
        belief::learn(&mut status, result, node, facts, age_secs_max);
        memory.status = Some(status);
        self.remember(&memory).await?;
        Ok(())
    }

    /// Remembers that the name is a machine without evidence.
    async fn exempt(
        &self,
        node: &str,
        memory: Option<&AttestedNode>,
        group: &str,
    ) -> Result<(), Error> {
        let mut memory = self.memory(node, memory).await?;
        let mut status = memory.status.take().unwrap_or_default();
        if status.not_applicable.as_deref() == Some(group) {
            return Ok(());
        }
        status.not_applicable = Some(group.to_owned());
        memory.status = Some(status);
        self.remember(&memory).await?;
        Ok(())
    }

    async fn memory(
        &self,
        node: &str,
        known: Option<&AttestedNode>,
    ) -> Result<AttestedNode, Error> {
        if let Some(memory) = known {
            return Ok(memory.clone());
        }
        let api: Api<AttestedNode> = Api::all(self.hand()?);
        let new = AttestedNode::new(node, AttestedNodeSpec::default());
        Ok(api.create(&PostParams::default(), &new).await?)
    }

    async fn answer(
        &self,
        csr: &CertificateSigningRequest,
        word: &str,
        why: &Refusal,
    ) -> Result<(), Error> {
        let name = csr.name_any();
        let message = format!("{}: {}", why.check, why.because);
        let condition = json!({
            "type": word, "status": "True", "reason": reason(why.check), "message": message,
            "lastUpdateTime": belief::time(super::clock()?),
        });
        let patch = json!({"status": {"conditions": [condition]}});
        let api: Api<CertificateSigningRequest> = Api::all(self.hand()?);
        let put = PatchParams::default();
        api.patch_approval(&name, &put, &Patch::Merge(patch))
            .await?;
        self.metrics.count("zeuge_kube_decisions_total", why.check);
        tracing::info!(csr = name, word, message, "decided");
        Ok(())
    }
}

/// The bootstrap groups by which the machine joined: those of its token now, or those remembered
/// when it renews as the node that it is.
fn groups(asked: &Asked, memory: Option<&AttestedNode>) -> Vec<String> {
    if !asked.user.starts_with(NODE_USER) {
        return bootstrap_groups(&asked.groups);
    }
    let status = memory.and_then(|it| it.status.as_ref());
    status.map_or_else(Vec::new, |it| it.bootstrap_groups.clone())
}

/// Whether the request is a kubelet's and nobody has decided.
fn pending(csr: &CertificateSigningRequest) -> bool {
    let ours = [CLIENT_SIGNER, SERVING_SIGNER].contains(&csr.spec.signer_name.as_str());
    let conditions = csr.status.as_ref().and_then(|it| it.conditions.as_ref());
    ours && conditions.is_none_or(Vec::is_empty)
}
