//! Carries out one step. Before an available node is taken away, the nodes are read and counted
//! once more: what was watched may be older than what we did.

use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::Controller;
use crate::api::AttestedNode;
use crate::error::Error;
use crate::model::{Action, State, Step};
use crate::{belief, cluster};

impl Controller {
    pub(super) async fn act(&self, action: &Action, state: &State, now: i64) -> Result<(), Error> {
        let (name, step) = (action.node.as_str(), action.step);
        let nodes: Api<KubeNode> = Api::all(self.hand()?);
        // Memory first: a step that is done must never be a stranger's after a restart.
        match step {
            Step::Cordon => {
                if !self.room(name, state).await? {
                    return Ok(());
                }
                self.note(name, step, &|it| it.cordoned = true).await?;
            }
            Step::Evict => {
                let begun = belief::time(now);
                let note = |it: &mut crate::api::AttestedNodeStatus| {
                    if it.drain_since.is_none() {
                        it.drain_since.clone_from(&begun);
                    }
                };
                self.note(name, step, &note).await?;
                return self.evict(name).await;
            }
            Step::Stuck => {
                tracing::error!(
                    check = "kube.drain.stuck",
                    node = name,
                    "a budget blocks the drain"
                );
                return self.note(name, step, &|_| {}).await;
            }
            Step::Deny | Step::Allow => {
                let label = (step == Step::Deny).then_some("true");
                let patch = json!({"metadata": {"labels": {cluster::DENIED_LABEL: label}}});
                let api: Api<AttestedNode> = Api::all(self.hand()?);
                api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
                    .await?;
            }
            Step::Delete => {
                // A kubelet makes its Node again, unless it is denied by now.
                let denials = self.denials().await?;
                if !denials.is_some_and(|it| it.nodes.contains(name)) {
                    tracing::info!(node = name, "is deleted once it is denied");
                    return Ok(());
                }
                nodes.delete(name, &DeleteParams::default()).await?;
            }
            _ => {}
        }
        if let Some(node) = self.nodes.get(&ObjectRef::new(name))
            && let Some(change) = cluster::change(&node, step, &self.settings.start_taint)
        {
            self.seat.demand()?;
            nodes
                .patch(name, &PatchParams::default(), &Patch::Merge(change))
                .await?;
        }
        tracing::info!(node = name, step = ?step, "done");
        match step {
            Step::Cordon => Ok(()),
            Step::Uncordon => {
                let end = |it: &mut crate::api::AttestedNodeStatus| {
                    (it.cordoned, it.drain_since) = (false, None);
                };
                self.note(name, step, &end).await
            }
            _ => self.note(name, step, &|_| {}).await,
        }
    }

    /// Counts the unavailable nodes anew, as the API server has them now.
    async fn room(&self, name: &str, state: &State) -> Result<bool, Error> {
        let nodes: Api<KubeNode> = Api::all(self.client.clone());
        let live = nodes.list(&ListParams::default()).await?;
        let mut unavailable = 0_usize;
        for node in &live {
            let (Some(known), false) = (state.nodes.get(&node.name_any()), node.name_any() == name)
            else {
                continue;
            };
            let cordoned = node.spec.as_ref().and_then(|it| it.unschedulable) == Some(true);
            if known.unavailable() || cordoned {
                unavailable = unavailable.saturating_add(1);
            }
        }
        let itself = state.nodes.get(name).is_some_and(|it| it.unavailable());
        Ok(itself || unavailable < state.policy.max_unavailable.of(live.items.len()))
    }

    async fn evict(&self, name: &str) -> Result<(), Error> {
        let all: Api<Pod> = Api::all(self.client.clone());
        let there = ListParams::default().fields(&format!("spec.nodeName={name}"));
        for pod in all
            .list(&there)
            .await?
            .iter()
            .filter(|it| cluster::movable(it))
        {
            let (Some(namespace), pod) = (pod.namespace(), pod.name_any()) else {
                continue;
            };
            let pods: Api<Pod> = Api::namespaced(self.hand()?, &namespace);
            match pods
                .evict(&pod, &EvictParams::default())
                .await
                .map_err(Error::from)
            {
                Ok(_) => tracing::info!(node = name, namespace, pod, "evicted"),
                Err(error) if error.is(429) => {
                    tracing::info!(node = name, namespace, pod, "a budget keeps it for now");
                }
                Err(error) if error.is(404) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Remembers a step, if that changes the memory.
    async fn note(
        &self,
        name: &str,
        step: Step,
        change: &(dyn Fn(&mut crate::api::AttestedNodeStatus) + Sync),
    ) -> Result<(), Error> {
        let api: Api<AttestedNode> = Api::all(self.client.clone());
        let Some(mut memory) = api.get_opt(name).await? else {
            return Ok(());
        };
        let before = memory.status.clone().unwrap_or_default();
        let mut status = before.clone();
        change(&mut status);
        status.step = Some(format!("{step:?}"));
        status
            .history
            .stepped(super::clock()?, &format!("{step:?}"));
        if status != before {
            memory.status = Some(status);
            self.remember(&memory).await?;
        }
        Ok(())
    }
}
