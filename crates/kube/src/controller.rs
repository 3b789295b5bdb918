//! The controller: watches, takes results into memory, judges certificate requests, and takes the
//! next step of the plan.
//!
//! Flow: every change of a watched object, and a clock, lead to one pass over everything. A pass
//! derives all it does from what is stored, so a controller that is killed goes on where it was.
//! Of several, one acts: every write asks for the Lease first ([`crate::leader`]). What it
//! remembers stands in AttestedNode objects; what it believes is in its own files.

mod act;
mod certificates;
mod denials;
mod gate;
mod lives;
mod told;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{Namespace, Node as KubeNode, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{ListParams, PostParams};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use zeuge_protocol::document::OwnerSet;

use crate::api::{AttestationPolicy, AttestationPolicyStatus, AttestedNode, HoldStatus};
use crate::belief::{self, Pinned};
use crate::error::{Error, reason};
use crate::join::Facts;
use crate::leader::{self, Seat};
use crate::metrics::{self, Metrics};
use crate::model::{Believed, Cordon, Health, Hold, Plan, Pods, State, Step};
use crate::selection::{Demands, Rules};
use crate::tell::Desk;
use crate::{bypass, cluster, declared, plan, waiver};

/// How often who passes the built-in approver is looked up: an alarm is due within a minute.
const BYPASS_EVERY: Duration = Duration::from_secs(20);
/// Changes that come together are one pass.
const SETTLE: Duration = Duration::from_millis(100);
/// A pass is followed by so many times as much rest as it took to look at all machines, so that
/// with thousands of them a change here and there costs little; a pass looks at each four times.
const REST: u32 = 100;
/// And by this much at most.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// How many memories one pass writes that nothing depends on.
const BOOKS_MAX: usize = 50;

/// What the controller is started with; never read from the cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The witnesses whose tokens are believed.
    pub witnesses: Vec<Pinned>,
    /// For whom tokens must be meant.
    pub audience: String,
    /// The tenant that must have been judged for.
    pub tenant: String,
    /// The name of the AttestationPolicy.
    pub policy: String,
    /// The key of the start taint.
    pub start_taint: String,
    /// A pass happens at least so often.
    pub interval: Duration,
    /// Where numbers are shown, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Bootstrap groups of machines that are not attested: they join without evidence and are
    /// never trusted.
    pub not_applicable: Vec<String>,
    /// Whose waivers count; with none, no waiver does.
    pub owners: Option<OwnerSet>,
}

struct Controller {
    /// For reading; writes go through [`Controller::hand`].
    client: Client,
    seat: Arc<Seat>,
    metrics: Arc<Metrics>,
    desk: Arc<Desk>,
    settings: Settings,
    cluster_uid: String,
    nodes: Store<KubeNode>,
    memories: Store<AttestedNode>,
    requests: Store<CertificateSigningRequest>,
    policies: Store<AttestationPolicy>,
    /// The version of each AttestedNode whose results were read.
    read: HashMap<String, String>,
    /// Requests whose certificates were looked at.
    signed: HashSet<String>,
    bypass: Vec<String>,
    bypass_at: Option<Instant>,
    /// How long it took to look at all machines.
    look: Duration,
    warned: bool,
}

/// Runs until the process is told to end; then gives the Lease back.
///
/// # Errors
/// `kube.api` when the cluster cannot be named or watched at the start; later trouble is told and
/// tried again.
pub async fn run(client: Client, settings: Settings) -> Result<(), Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let cluster_uid = namespaces.get("kube-system").await?.uid();
    let cluster_uid = cluster_uid.ok_or_else(|| Error::Local("kube-system has no UID".into()))?;
    let (wake, metrics) = (Arc::new(Notify::new()), Arc::new(Metrics::default()));
    if let Some(address) = settings.metrics {
        metrics::serve(address, Arc::clone(&metrics)).await?;
    }
    let seat = Arc::new(Seat::new(leader::identity()?));
    let desk = Desk::open(&settings.witnesses, &settings.tenant, &cluster_uid)?;
    let desk = Arc::new(desk);
    let mut controller = Controller {
        nodes: watch(Api::all(client.clone()), &wake, lean_node),
        memories: watch(Api::all(client.clone()), &wake, lean),
        requests: watch(Api::all(client.clone()), &wake, lean),
        policies: watch(Api::all(client.clone()), &wake, lean),
        client: client.clone(),
        seat: Arc::clone(&seat),
        metrics,
        desk: Arc::clone(&desk),
        settings,
        cluster_uid,
        read: HashMap::new(),
        signed: HashSet::new(),
        bypass: Vec::new(),
        bypass_at: None,
        look: Duration::ZERO,
        warned: false,
    };
    let ended = |_| Error::Local("a watch ended".into());
    controller.nodes.wait_until_ready().await.map_err(ended)?;
    controller
        .memories
        .wait_until_ready()
        .await
        .map_err(ended)?;
    controller
        .requests
        .wait_until_ready()
        .await
        .map_err(ended)?;
    controller
        .policies
        .wait_until_ready()
        .await
        .map_err(ended)?;
    tracing::info!(cluster = controller.cluster_uid, "watching");
    let renewals = leader::keep(client.clone(), Arc::clone(&seat), Arc::clone(&wake));
    let renewals = tokio::spawn(renewals);
    let telling = tokio::spawn(desk.run(Arc::clone(&seat)));
    tokio::select! {
        () = controller.turns(&wake) => {}
        () = told_to_end() => {}
    }
    telling.abort();
    renewals.abort();
    leader::give_back(&client, &seat).await
}

/// Waits for the signals with which people and kubelets end a program.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Who wrote which field, and images that a node holds, are most of an object and nothing to us.
fn lean<K: kube::Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

fn lean_node(node: &mut KubeNode) {
    lean(node);
    if let Some(status) = node.status.as_mut() {
        (
            status.images,
            status.volumes_attached,
            status.volumes_in_use,
        ) = (None, None, None);
    }
}

fn watch<K>(api: Api<K>, wake: &Arc<Notify>, slim: fn(&mut K)) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .modify(slim)
        .reflect(writer);
    let wake = Arc::clone(wake);
    tokio::spawn(changes.for_each(move |event| {
        if let Err(error) = event {
            tracing::warn!(%error, "a watch was interrupted");
        }
        wake.notify_one();
        std::future::ready(())
    }));
    store
}

fn clock() -> Result<i64, Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .ok_or_else(|| Error::Local("the clock of this machine stands before 1970".into()))
}

impl Controller {
    /// Passes, while the Lease is held; for ever.
    async fn turns(&mut self, wake: &Notify) {
        loop {
            let held = self.seat.held();
            self.metrics.turned();
            self.metrics.set("zeuge_kube_leader", "", held.into());
            if held {
                let done = self.pass().await;
                let name = match &done {
                    Ok(()) => "zeuge_kube_passes_total",
                    Err(_) => "zeuge_kube_pass_failures_total",
                };
                self.metrics.count(name, "");
                if let Err(error) = done {
                    tracing::warn!(%error, "a pass was not finished");
                }
            }
            let rest = (self.look * REST).clamp(SETTLE, SETTLE_MAX);
            let _ = tokio::time::timeout(self.settings.interval, wake.notified()).await;
            tokio::time::sleep(rest).await;
        }
    }

    /// The client for a write, while the Lease is held.
    fn hand(&self) -> Result<Client, Error> {
        self.seat.demand()?;
        Ok(self.client.clone())
    }

    async fn pass(&mut self) -> Result<(), Error> {
        let named = |it: &Arc<AttestationPolicy>| it.name_any() == self.settings.policy;
        let Some(policy) = self.policies.state().into_iter().find(named) else {
            if !self.warned {
                let name = &self.settings.policy;
                tracing::warn!(
                    name,
                    "there is no AttestationPolicy: nobody joins, nothing acts"
                );
            }
            self.warned = true;
            return Ok(());
        };
        self.warned = false;
        let now = clock()?;
        let skew_secs = self.skew(now).await?;
        let all = self.policies.state();
        let rules = Rules::of(&policy, all.iter().map(|it| &**it));
        self.learn(&rules, now).await;
        let begun = Instant::now();
        let mut state = self.state(&rules, skew_secs);
        self.look = begun.elapsed();
        let waivers = self.waivers(&policy, &mut state, now);
        self.count_pods(&mut state, now).await?;
        let plan = plan::plan(&state, now);
        let refuses = plan::refuses_joins(&plan.holds);
        let said = self.tell(&policy, &state, &plan, waivers, now);
        let skewed = plan.holds.iter().any(|it| matches!(it, Hold::Skew(_)));
        if !skewed {
            self.gate(&rules, refuses, now).await;
        }
        let mut denials = false;
        for action in &plan.actions {
            denials |= matches!(action.step, Step::Deny | Step::Allow);
            let done = self.act(action, &state, now).await;
            let name = match &done {
                Ok(()) => "zeuge_kube_actions_total",
                Err(_) => "zeuge_kube_action_failures_total",
            };
            self.metrics.count(name, &format!("{:?}", action.step));
            // A long pass is no dead one.
            self.metrics.turned();
            if let Err(error) = done {
                tracing::warn!(node = action.node, step = ?action.step, %error, "not done");
            }
        }
        if let Err(error) = self.deny(denials).await {
            let name = "zeuge_kube_action_failures_total";
            self.metrics.count(name, "Deny");
            tracing::warn!(check = error.check(), %error, "the list of denied nodes is as it was");
        }
        self.count(&state, &plan, now);
        self.conditions(&state, now).await;
        self.lives(now).await;
        self.remember_waivers(&said.remember).await;
        self.certificates().await;
        self.look_for_bypass().await?;
        self.report(&policy, &plan.holds, said).await
    }

    /// How far our clock is from the API server's.
    async fn skew(&self, now: i64) -> Result<i64, Error> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = SelfSubjectReview::default();
        let review = reviews.create(&PostParams::default(), &review).await?;
        let there = belief::seconds(review.metadata.creation_timestamp.as_ref());
        Ok(there.map_or(0, |there| now.saturating_sub(there)))
    }

    fn facts(&self, demands: Demands) -> Facts {
        Facts {
            cluster_uid: self.cluster_uid.clone(),
            name_lives: false,
            control_plane: false,
            enrolled: false,
            policies: demands.policies,
            witnesses: demands.witnesses,
            tenant: self.settings.tenant.clone(),
            refuses: true,
            exempt: self.settings.not_applicable.clone(),
            exempted_by: None,
            attested_before: false,
            compromised: false,
        }
    }

    /// Takes the results that nodes brought into memory.
    async fn learn(&mut self, rules: &Rules, now: i64) {
        for memory in self.memories.state() {
            let (name, version) = (memory.name_any(), memory.resource_version());
            let version = version.unwrap_or_default();
            if self.read.get(&name) == Some(&version) {
                continue;
            }
            let mut next = (*memory).clone();
            let mut status = next.status.take().unwrap_or_default();
            let demands = rules.demands(&name, &status.bootstrap_groups);
            let age = demands.age_secs_max;
            let facts = self.facts(demands);
            let mut changed = false;
            let (witnesses, audience) = (&self.settings.witnesses, &self.settings.audience);
            let brought = memory.spec.results.iter().map(|it| (it, false));
            for (token, declares) in brought.chain(memory.spec.declared.iter().map(|it| (it, true)))
            {
                match belief::believe(token, witnesses, audience, now) {
                    Ok(ear) if declares => {
                        changed |= declared::learn(&mut status, &ear, &name, &facts);
                    }
                    Ok(ear) => {
                        changed |= belief::learn(&mut status, &ear, &name, &facts, age);
                    }
                    Err(error) => tracing::debug!(node = name, %error, "a result is not believed"),
                }
            }
            if changed {
                match (&status.declared, memory.spec.results.is_empty()) {
                    (Some(it), true) => {
                        let said = it.sentence(now, age);
                        tracing::info!(node = name, check = declared::DECLARED, "{said}");
                    }
                    _ => {
                        let (verdict, failed) = (status.verdict.clone(), status.failed.join(" "));
                        tracing::info!(node = name, verdict, failed, "a result was believed");
                    }
                }
                next.status = Some(status);
                if let Err(error) = self.remember(&next).await {
                    tracing::warn!(node = name, %error, "not remembered");
                    continue;
                }
            }
            self.read.insert(name, version);
        }
    }

    /// Writes a memory, unless somebody wrote in between.
    async fn remember(&self, memory: &AttestedNode) -> Result<AttestedNode, Error> {
        let api: Api<AttestedNode> = Api::all(self.hand()?);
        let name = memory.name_any();
        Ok(api
            .replace_status(&name, &PostParams::default(), memory)
            .await?)
    }

    fn state(&self, rules: &Rules, skew_secs: i64) -> State {
        let (nodes, memories) = (self.nodes.state(), self.memories.state());
        let nodes = nodes.iter().map(|it| &**it);
        let memories = memories.iter().map(|it| &**it);
        State {
            skew_secs,
            ..cluster::state(nodes, memories, rules, &self.settings.start_taint)
        }
    }

    /// Puts into the state what owners waived; the waivers that count, and a sentence for each one,
    /// also for one that does not.
    fn waivers(
        &self,
        policy: &AttestationPolicy,
        state: &mut State,
        now: i64,
    ) -> (Vec<waiver::Believed>, Vec<String>) {
        let (mut believed, mut said) = (Vec::new(), Vec::new());
        for text in &policy.spec.waivers {
            let read = match &self.settings.owners {
                None => Err("the controller knows no owners (--owners)".to_owned()),
                Some(owners) => waiver::believe(text, owners, &self.cluster_uid, now),
            };
            let (check, text) = match &read {
                Ok(it) => ("kube.waiver", waiver::told(it)),
                Err(because) => ("kube.waiver.refused", because.clone()),
            };
            said.push(format!("{check}: {text}"));
            believed.extend(read);
        }
        let failed = |name: &str| {
            let memory = self.memories.get(&ObjectRef::new(name));
            memory.and_then(|it| Some(it.status.as_ref()?.failed.clone()))
        };
        waiver::apply(&believed, &mut state.nodes, &failed);
        (believed, said)
    }

    /// Counts pods where a decision depends on them: on machines that fail and are cordoned, and on
    /// those that wait while they are not ready.
    async fn count_pods(&self, state: &mut State, now: i64) -> Result<(), Error> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let policy = state.policy.clone();
        for (name, node) in state.nodes.iter_mut().filter(|(_, node)| node.live) {
            let failed = plan::health(node, &policy, now) == Health::Failed;
            if (failed && node.cordon != Cordon::No) || (node.start_taint && !node.ready) {
                let there = ListParams::default().fields(&format!("spec.nodeName={name}"));
                let list = pods.list(&there).await?;
                node.pods = Pods {
                    movable: list.iter().filter(|it| cluster::movable(it)).count(),
                };
            }
        }
        Ok(())
    }

    /// One condition per machine, written when it changes; some in this pass and others in the
    /// next, because nothing acts while they are written.
    async fn conditions(&self, state: &State, now: i64) {
        let mut written = 0_usize;
        for memory in self.memories.state() {
            if written >= BOOKS_MAX {
                return;
            }
            let name = memory.name_any();
            let Some(node) = state.nodes.get(&name) else {
                continue;
            };
            let health = plan::health(node, &state.policy, now);
            let (known, failed) = match &memory.status {
                Some(status) => (&status.conditions[..], &status.failed[..]),
                None => (&[][..], &[][..]),
            };
            let declared = memory.status.as_ref().and_then(|it| it.declared.as_ref());
            let condition = match declared.filter(|_| health == Health::Never) {
                Some(it) => {
                    let said = it.sentence(now, state.policy.age_secs_max);
                    told("Unknown", declared::DECLARED, &said, now)
                }
                None => condition(health, failed, now),
            };
            let same = |it: &Condition| {
                (&it.status, &it.reason, &it.message)
                    == (&condition.status, &condition.reason, &condition.message)
            };
            if known.iter().any(same) {
                continue;
            }
            let mut next = (*memory).clone();
            let mut status = next.status.take().unwrap_or_default();
            status.conditions = vec![condition];
            next.status = Some(status);
            written = written.saturating_add(1);
            match self.remember(&next).await {
                Err(error) if !error.is(409) => tracing::warn!(node = name, %error, "not told"),
                // Somebody wrote in between: the next pass sees it.
                _ => {}
            }
        }
    }

    /// How many live nodes were declared by a pod and never judged.
    fn declared(&self, state: &State, now: i64) -> usize {
        let nodes = state.nodes.iter().filter(|(_, node)| {
            node.live && plan::health(node, &state.policy, now) == Health::Never
        });
        let declared = |name: &str| {
            let memory = self.memories.get(&ObjectRef::new(name))?;
            memory.status.as_ref()?.declared.clone()
        };
        nodes.filter(|(name, _)| declared(name).is_some()).count()
    }

    /// What the numbers say of this pass.
    fn count(&self, state: &State, plan: &Plan, now: i64) {
        let live = || state.nodes.values().filter(|node| node.live);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (word, wanted) in [
            ("failed", Health::Failed),
            ("good", Health::Good),
            ("never", Health::Never),
            ("not-applicable", Health::NotApplicable),
            ("rebooted", Health::Rebooted),
            ("stale", Health::Stale),
            ("waived", Health::Waived),
        ] {
            let like = live().filter(|node| plan::health(node, &state.policy, now) == wanted);
            let mut count = number(like.count());
            if wanted == Health::Never {
                let declared = number(self.declared(state, now));
                self.metrics.set("zeuge_kube_nodes", "declared", declared);
                count = count.saturating_sub(declared);
            }
            self.metrics.set("zeuge_kube_nodes", word, count);
        }
        let oldest = live().filter_map(|node| match node.believed {
            Believed::Good { at } => Some(now.saturating_sub(at)),
            _ => None,
        });
        let oldest = oldest.max().unwrap_or(0);
        self.metrics
            .set("zeuge_kube_oldest_verdict_seconds", "", oldest);
        for check in ["kube.breaker", "kube.clock-skew", "kube.silence"] {
            let holds = plan.holds.iter().any(|hold| hold.check() == check);
            self.metrics.set("zeuge_kube_hold", check, holds.into());
        }
        let stuck = plan.actions.iter().filter(|it| it.step == Step::Stuck);
        self.metrics
            .set("zeuge_kube_drains_stuck", "", number(stuck.count()));
        self.metrics
            .set("zeuge_kube_bypass", "", number(self.bypass.len()));
    }

    async fn look_for_bypass(&mut self) -> Result<(), Error> {
        if self.bypass_at.is_some_and(|at| at.elapsed() < BYPASS_EVERY) {
            return Ok(());
        }
        let (roles, bindings): (Api<ClusterRole>, Api<ClusterRoleBinding>) =
            (Api::all(self.client.clone()), Api::all(self.client.clone()));
        let all = ListParams::default();
        let (roles, bindings) = (roles.list(&all).await?, bindings.list(&all).await?);
        let found = bypass::bypass(&roles.items, &bindings.items);
        for sentence in found.iter().filter(|it| !self.bypass.contains(it)) {
            tracing::error!(
                check = "kube.csr.bypass",
                "nodes join without attestation: {sentence}"
            );
        }
        self.bypass = found;
        self.bypass_at = Some(Instant::now());
        Ok(())
    }

    /// Writes what holds actions back, who bypasses us and what is waived, when it changed.
    async fn report(
        &self,
        policy: &AttestationPolicy,
        holds: &[Hold],
        said: told::Report,
    ) -> Result<(), Error> {
        let mut status = AttestationPolicyStatus {
            holds: holds.iter().map(hold).collect(),
            bypass: self.bypass.clone(),
            waivers: said.waivers,
            unlogged: said.unlogged,
            witnesses: said.witnesses,
            conditions: Vec::new(),
        };
        let known = policy.status.as_ref().map(|it| it.conditions.as_slice());
        status.conditions = told::conditions(&status, known.unwrap_or_default(), clock()?);
        if policy.status.as_ref() == Some(&status) {
            return Ok(());
        }
        for hold in &status.holds {
            tracing::error!(check = hold.check, "{}", hold.message);
        }
        for sentence in status.waivers.iter().chain(&status.witnesses) {
            tracing::warn!("{sentence}");
        }
        let mut next = policy.clone();
        next.status = Some(status);
        let api: Api<AttestationPolicy> = Api::all(self.hand()?);
        let put = PostParams::default();
        api.replace_status(&policy.name_any(), &put, &next).await?;
        Ok(())
    }
}

fn hold(hold: &Hold) -> HoldStatus {
    let (message, cause) = match hold {
        Hold::Skew(secs) => (
            format!("this clock and the API server's differ by {secs} s, 30 are allowed"),
            None,
        ),
        Hold::Silence(silent) => (
            format!("{silent} nodes are silent at once: look at the witness and the network"),
            None,
        ),
        Hold::Breaker {
            failed,
            allowed,
            cause,
            stage,
        } => (
            format!("{failed} nodes began to fail, {allowed} may; stage {stage:?}, cause {cause}"),
            Some(cause.clone()),
        ),
    };
    HoldStatus {
        check: hold.check().to_owned(),
        message,
        cause,
    }
}

fn condition(health: Health, failed: &[String], now: i64) -> Condition {
    let (status, check, said) = match health {
        Health::Good => ("True", "attested", "the last verdict is as wanted"),
        Health::Failed => ("False", "", "the evidence failed"),
        Health::Never => ("Unknown", "", "it was never judged"),
        Health::Stale => ("Unknown", "", "its last verdict is too old"),
        Health::Rebooted => ("Unknown", "", "it booted since its last verdict"),
        Health::Waived => ("False", "", "owners signed that it counts for now"),
        Health::NotApplicable => ("Unknown", "", "it joined as a machine that is not attested"),
    };
    let own = health.check().unwrap_or(check);
    // What failed says more than that something failed.
    let named = failed.first().map_or(own, |first| match health {
        Health::Failed => first.as_str(),
        _ => own,
    });
    let failed = match failed.is_empty() {
        true => String::new(),
        false => format!(" ({})", failed.join(", ")),
    };
    told(status, named, &format!("{said}{failed}"), now)
}

fn told(status: &str, check: &str, said: &str, now: i64) -> Condition {
    Condition {
        type_: "Attested".to_owned(),
        status: status.to_owned(),
        reason: reason(check),
        message: format!("{check}: {said}"),
        last_transition_time: belief::time(now).unwrap_or(Time(jiff::Timestamp::UNIX_EPOCH)),
        observed_generation: None,
    }
}
