//! Remembers which Node objects there were, so that a report can name every one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt as _};

use super::{BOOKS_MAX, Controller};
use crate::api::{AttestedNode, AttestedNodeSpec};
use crate::error::Error;
use crate::tell::Written;
use crate::{belief, waiver};

impl Controller {
    /// A memory for each Node that has none, and an end for lives whose Node is gone; some in this
    /// pass and others in the next.
    pub(super) async fn lives(&self, now: i64) {
        let mut new = 0_usize;
        for node in self.nodes.state() {
            let name = node.name_any();
            if self.memories.get(&ObjectRef::new(&name)).is_none() && new < BOOKS_MAX {
                new = new.saturating_add(1);
                self.told(&name, self.unknown(&name).await);
            }
        }
        for memory in self.memories.state() {
            let name = memory.name_any();
            let node = self.nodes.get(&ObjectRef::new(&name));
            let status = memory.status.as_ref();
            let last = status.and_then(|it| it.history.lives.last());
            let open = last.filter(|it| it.until.is_none());
            let uid = node.as_ref().and_then(|it| it.uid());
            if open.map(|it| &it.uid) == uid.as_ref() {
                continue;
            }
            let made: Option<&Time> = node
                .as_ref()
                .and_then(|it| it.metadata.creation_timestamp.as_ref());
            let mut next = (*memory).clone();
            let mut status = next.status.take().unwrap_or_default();
            let news = match &uid {
                Some(uid) => {
                    let made = belief::seconds(made).unwrap_or(now);
                    status.history.lives(uid, made, now)
                }
                None => status.history.gone(now),
            };
            if news && new < BOOKS_MAX {
                new = new.saturating_add(1);
                next.status = Some(status);
                self.told(&name, self.remember(&next).await.map(drop));
            }
        }
    }

    /// Waivers end and leave the policy; reports must know of them later.
    pub(super) async fn remember_waivers(&self, all: &[(waiver::Believed, Option<Written>)]) {
        for (waiver, written) in all {
            let logged = written.as_ref().map(ToString::to_string);
            for name in &waiver.waiver.nodes {
                let Some(memory) = self.memories.get(&ObjectRef::new(name)) else {
                    continue;
                };
                let mut next = (*memory).clone();
                let mut status = next.status.take().unwrap_or_default();
                if status.history.waived(waiver, logged.as_deref()) {
                    next.status = Some(status);
                    self.told(name, self.remember(&next).await.map(drop));
                }
            }
        }
    }

    async fn unknown(&self, name: &str) -> Result<(), Error> {
        let api: Api<AttestedNode> = Api::all(self.hand()?);
        let new = AttestedNode::new(name, AttestedNodeSpec::default());
        api.create(&PostParams::default(), &new).await?;
        Ok(())
    }

    fn told(&self, name: &str, done: Result<(), Error>) {
        match done {
            // Somebody wrote in between: the next pass sees it.
            Err(error) if !error.is(409) => {
                tracing::warn!(node = name, %error, "its past is not remembered");
            }
            _ => {}
        }
    }
}
