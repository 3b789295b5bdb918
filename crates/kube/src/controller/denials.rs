//! Keeps the list of denied identities in its admission policy as memories want it.
//!
//! Memory first: the label of an AttestedNode is what is wanted, the policy is what acts. A pass
//! reads the policy and writes it at most once, however many identities it denies or allows, and
//! not at all when it is as wanted; what an upgrade of the chart takes out comes back with the next
//! pass. Never makes the policy: where people took it away, nobody is denied until they install it.

use std::collections::BTreeSet;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::Controller;
use crate::api::AttestedNode;
use crate::cluster::DENIED_LABEL;
use crate::denial;
use crate::error::Error;

/// The policy as it is now.
pub(super) struct Denials {
    version: Option<String>,
    /// Whom it denies.
    pub(super) nodes: BTreeSet<String>,
}

impl Controller {
    /// Reads the policy; `None` where it was taken away.
    pub(super) async fn denials(&self) -> Result<Option<Denials>, Error> {
        let api: Api<ValidatingAdmissionPolicy> = Api::all(self.client.clone());
        let Some(policy) = api.get_opt(denial::POLICY).await? else {
            return Ok(None);
        };
        let version = policy.resource_version();
        let validations = policy.spec.and_then(|it| it.validations);
        let validations = validations.unwrap_or_default();
        let expressions = validations.iter().map(|it| it.expression.as_str());
        Ok(Some(Denials {
            version,
            nodes: denial::denied(expressions),
        }))
    }

    /// Writes the list if it is not as memories want it. `changed` says that steps of this pass
    /// changed memories; what is watched may not show that yet, so they are read anew.
    pub(super) async fn deny(&self, changed: bool) -> Result<(), Error> {
        let watched = self.memories.state();
        let watched = watched.iter().filter(|it| wanted(it));
        let watched: BTreeSet<String> = watched.map(|it| it.name_any()).collect();
        let Some(found) = self.denials().await? else {
            if !watched.is_empty() {
                tracing::warn!(policy = denial::POLICY, "is missing, nobody is denied");
            }
            return Ok(());
        };
        if !changed && watched == found.nodes {
            return Ok(());
        }
        let memories: Api<AttestedNode> = Api::all(self.client.clone());
        let labelled = ListParams::default().labels(&format!("{DENIED_LABEL}=true"));
        let labelled = memories.list(&labelled).await?;
        let wanted: BTreeSet<String> = labelled.iter().map(|it| it.name_any()).collect();
        if wanted == found.nodes {
            return Ok(());
        }
        match denial::validations(&wanted) {
            Ok(list) => self.write_denials(&found, &list).await?,
            Err(full) => {
                // Who was repaired is let in again although nobody else fits.
                let kept: BTreeSet<String> = found.nodes.intersection(&wanted).cloned().collect();
                if kept != found.nodes {
                    let list = denial::validations(&kept)?;
                    self.write_denials(&found, &list).await?;
                }
                return Err(full);
            }
        }
        tracing::info!(count = wanted.len(), "identities are denied");
        Ok(())
    }

    async fn write_denials(&self, found: &Denials, list: &[Value]) -> Result<(), Error> {
        let api: Api<ValidatingAdmissionPolicy> = Api::all(self.hand()?);
        let patch = json!({"metadata": {"resourceVersion": found.version},
            "spec": {"validations": list}});
        let put = PatchParams::default();
        api.patch(denial::POLICY, &put, &Patch::Merge(patch))
            .await?;
        Ok(())
    }
}

fn wanted(memory: &AttestedNode) -> bool {
    let label = memory.labels().get(DENIED_LABEL);
    label.is_some_and(|it| it == "true")
}
