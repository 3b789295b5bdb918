//! The ladder, step by step, and an exhaustive search over what can happen to small clusters.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::*;
use crate::model::{Amount, Pods, Tightened};

mod demands;
mod limits;

const NOW: i64 = 1_000_000;

fn policy() -> Policy {
    Policy {
        ladder: Rung::Delete,
        max_unavailable: Amount::Count(1),
        age_secs_max: 900,
        drain_secs_max: 600,
        force: false,
        breaker: Amount::Percent(34),
        breaker_secs: 86_400,
        acknowledged: None,
    }
}

fn failed(since: i64) -> Believed {
    Believed::Failed {
        since,
        // Empty costs nothing; the search below clones it often.
        cause: String::new(),
    }
}

fn good() -> Node {
    Node {
        live: true,
        ready: true,
        start_taint: false,
        no_schedule: false,
        no_execute: false,
        trusted: true,
        cordon: Cordon::No,
        pods: Pods { movable: 1 },
        believed: Believed::Good { at: NOW },
        not_applicable: false,
        rebooted: false,
        drain_since: None,
        denied: false,
        compromised: false,
        maintenance_until: None,
        waived_until: None,
        silence_waived_until: None,
        tightened: Tightened::default(),
    }
}

fn cluster(nodes: impl IntoIterator<Item = Node>) -> State {
    let named = (0..).zip(nodes);
    State {
        policy: policy(),
        nodes: named.map(|(at, node)| (format!("n{at}"), node)).collect(),
        skew_secs: 0,
    }
}

fn steps(state: &State) -> Vec<(String, Step)> {
    let actions = plan(state, NOW).actions;
    actions.into_iter().map(|it| (it.node, it.step)).collect()
}

fn apply(node: &mut Node, step: Step, now: i64) {
    node.take(step, now);
}

#[test]
fn a_machine_that_fails_goes_down_rung_by_rung_and_comes_back_the_other_way() {
    let mut state = cluster([good(), good(), good()]);
    state.nodes.get_mut("n1").unwrap().believed = failed(NOW);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let next = steps(&state);
        let [(name, step)] = next.as_slice() else {
            break;
        };
        let node = state.nodes.get_mut(name).unwrap();
        apply(node, *step, NOW);
        if *step == Step::Evict {
            node.pods.movable = 0;
        }
        if node.denied && !seen.contains(&Step::Allow) {
            node.believed = Believed::Good { at: NOW };
        }
        seen.push(*step);
    }
    let wanted = [
        Step::Distrust,
        Step::Cordon,
        Step::Evict,
        Step::NoExecute,
        Step::Deny,
        Step::Allow,
        Step::Permit,
        Step::Uncordon,
        Step::Trust,
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn silence_is_not_failure() {
    let mut silent = good();
    silent.believed = Believed::Good { at: NOW - 900 };
    let mut state = cluster([silent.clone(), good(), good()]);
    assert_eq!(steps(&state), [("n0".into(), Step::Distrust)]);
    apply(state.nodes.get_mut("n0").unwrap(), Step::Distrust, NOW);
    assert_eq!(steps(&state), []);
    // Two of three at once: that is the witness.
    let state = cluster([silent.clone(), silent, good()]);
    assert_eq!(steps(&state), []);
    assert_eq!(plan(&state, NOW).holds, [Hold::Silence(2)]);
}

#[test]
fn nodes_from_before_the_installation_are_only_reported() {
    let mut node = good();
    (node.believed, node.trusted) = (Believed::Nothing, false);
    assert_eq!(health(&node, &policy(), NOW), Health::Never);
    assert_eq!(steps(&cluster([node])), []);
}

#[test]
fn a_machine_without_evidence_loses_the_start_taint_and_is_never_trusted() {
    let mut node = good();
    (node.believed, node.trusted, node.start_taint) = (Believed::Nothing, false, true);
    let mut state = cluster([node.clone(), good(), good()]);
    // It does not say so itself.
    assert_eq!(steps(&state), []);
    node.not_applicable = true;
    state.nodes.insert("n0".into(), node.clone());
    assert_eq!(health(&node, &policy(), NOW), Health::NotApplicable);
    assert_eq!(steps(&state), [("n0".into(), Step::Exempt)]);
    apply(state.nodes.get_mut("n0").unwrap(), Step::Exempt, NOW);
    assert_eq!(steps(&state), []);
    assert!(!state.nodes["n0"].trusted && !state.nodes["n0"].start_taint);
    // A label of trust from before goes.
    state.nodes.get_mut("n0").unwrap().trusted = true;
    assert_eq!(steps(&state), [("n0".into(), Step::Exempt)]);
    node.compromised = true;
    assert_eq!(health(&node, &policy(), NOW), Health::Failed);
}

#[test]
fn a_clock_that_is_off_freezes_everything() {
    let mut bad = good();
    bad.believed = failed(NOW);
    let mut state = cluster([bad, good(), good()]);
    state.skew_secs = -31;
    assert_eq!(steps(&state), []);
    assert_eq!(plan(&state, NOW).holds, [Hold::Skew(-31)]);
    state.skew_secs = 30;
    assert_eq!(steps(&state), [("n0".into(), Step::Distrust)]);
}

#[test]
fn a_reboot_brings_the_start_taint_at_once() {
    let mut node = good();
    node.rebooted = true;
    assert_eq!(
        steps(&cluster([node, good(), good()])),
        [("n0".into(), Step::Restart)]
    );
}

#[test]
fn a_budget_that_blocks_is_told_and_forced_only_by_rule() {
    let mut node = good();
    (node.believed, node.trusted, node.no_schedule) = (failed(NOW - 700), false, true);
    (node.cordon, node.drain_since) = (Cordon::Ours, Some(NOW - 600));
    let mut state = cluster([node, good(), good()]);
    assert_eq!(steps(&state), [("n0".into(), Step::Stuck)]);
    state.policy.force = true;
    assert_eq!(steps(&state), [("n0".into(), Step::NoExecute)]);
}

#[test]
fn somebody_else_s_unavailable_node_takes_the_place() {
    let mut bad = good();
    (bad.believed, bad.trusted, bad.no_schedule) = (failed(NOW), false, true);
    let mut unready = good();
    unready.ready = false;
    let mut state = cluster([bad, unready, good()]);
    assert_eq!(steps(&state), []);
    state.nodes.get_mut("n1").unwrap().ready = true;
    assert_eq!(steps(&state), [("n0".into(), Step::Cordon)]);
}

#[test]
fn maintenance_ends_the_ladder_at_the_taint() {
    let mut bad = good();
    (bad.believed, bad.maintenance_until) = (failed(NOW), Some(NOW + 1));
    let mut state = cluster([bad, good(), good()]);
    assert_eq!(steps(&state), [("n0".into(), Step::Distrust)]);
    apply(state.nodes.get_mut("n0").unwrap(), Step::Distrust, NOW);
    assert_eq!(steps(&state), []);
}

#[test]
fn a_waiver_counts_as_good_until_it_ends_and_never_for_a_compromised_key() {
    let mut bad = good();
    (bad.believed, bad.waived_until) = (failed(NOW), Some(NOW + 1));
    assert_eq!(health(&bad, &policy(), NOW), Health::Waived);
    assert_eq!(health(&bad, &policy(), NOW + 1), Health::Failed);
    assert_eq!(steps(&cluster([bad.clone(), good(), good()])), []);
    (bad.cordon, bad.trusted) = (Cordon::Ours, false);
    assert_eq!(
        steps(&cluster([bad.clone(), good(), good()])),
        [("n0".into(), Step::Uncordon)]
    );
    bad.compromised = true;
    assert_eq!(health(&bad, &policy(), NOW), Health::Failed);
    let mut silent = good();
    silent.believed = Believed::Good { at: NOW - 900 };
    silent.waived_until = Some(NOW + 1);
    assert_eq!(health(&silent, &policy(), NOW), Health::Stale);
    silent.silence_waived_until = Some(NOW + 1);
    assert_eq!(health(&silent, &policy(), NOW), Health::Waived);
}

#[test]
fn the_breaker_holds_seven_of_ten_until_somebody_has_looked() {
    let mut nodes: Vec<Node> = (0..300).map(|_| good()).collect();
    for node in nodes.iter_mut().take(210) {
        node.believed = failed(NOW - 5);
    }
    let mut state = cluster(nodes);
    state.policy.max_unavailable = Amount::Count(3);
    let held = plan(&state, NOW);
    assert_eq!(held.actions, []);
    let [
        Hold::Breaker {
            failed,
            allowed,
            cause,
            stage,
        },
    ] = held.holds.as_slice()
    else {
        panic!("{:?}", held.holds);
    };
    assert_eq!((*failed, *allowed, *stage), (210, 102, Stage::Observe));
    assert!(!refuses_joins(&held.holds));
    // One declared compromised passes.
    state.nodes.get_mut("n0").unwrap().compromised = true;
    assert_eq!(steps(&state), [("n0".into(), Step::Distrust)]);
    state.nodes.get_mut("n0").unwrap().compromised = false;
    // Stages act as far as they reach, and for this cause only.
    state.policy.acknowledged = Some((cause.clone(), Stage::NoJoins));
    assert_eq!(steps(&state).len(), 210);
    for (_, node) in state.nodes.iter_mut().take(210) {
        if node.believed != (Believed::Good { at: NOW }) {
            apply(node, Step::Distrust, NOW);
        }
    }
    assert!(
        steps(&state)
            .iter()
            .all(|(_, step)| *step == Step::Distrust)
    );
    state.policy.acknowledged = Some(("another".into(), Stage::Evict));
    assert_eq!(steps(&state), []);
    state.policy.acknowledged = Some((cause.clone(), Stage::Evict));
    let cordoned = |state: &State| {
        let cordons = steps(state).into_iter();
        cordons.filter(|(_, step)| *step == Step::Cordon).count()
    };
    assert_eq!(cordoned(&state), 3);
}

#[test]
fn expelled_machines_still_count_for_the_breaker() {
    let mut gone = good();
    (gone.live, gone.believed) = (false, failed(NOW - 10));
    let mut bad = good();
    bad.believed = failed(NOW);
    let state = cluster([gone.clone(), gone, bad, good()]);
    assert!(matches!(
        plan(&state, NOW).holds[..],
        [Hold::Breaker {
            failed: 3,
            allowed: 1,
            ..
        }]
    ));
}

/// What the world may do to a node between two looks of the controller; readiness changes only
/// where asked, to keep the search short.
fn world(node: &Node, now: i64, readiness: bool) -> Vec<Node> {
    let with = |change: &dyn Fn(&mut Node)| {
        let mut next = node.clone();
        change(&mut next);
        next
    };
    if !node.live {
        return Vec::new();
    }
    let judged =
        |believed: Believed| with(&|it| (it.believed, it.rebooted) = (believed.clone(), false));
    let mut out = vec![
        judged(Believed::Good { at: now }),
        judged(Believed::Good { at: now - 10_000 }),
        judged(failed(now)),
    ];
    if readiness {
        out.push(with(&|it| it.ready = !it.ready));
    }
    if node.believed == (Believed::Good { at: now }) {
        out.push(with(&|it| it.rebooted = true));
    }
    match node.cordon {
        Cordon::No => out.push(with(&|it| it.cordon = Cordon::Others)),
        Cordon::Others => out.push(with(&|it| it.cordon = Cordon::No)),
        // People may take back what we did.
        Cordon::Ours => out.push(with(&|it| (it.cordon, it.drain_since) = (Cordon::No, None))),
    }
    if node.drain_since.is_some() {
        out.push(with(&|it| it.pods.movable = 0));
        out.push(with(&|it| it.drain_since = Some(now - 10_000)));
    }
    out
}

/// The guarantees of the page's head, for one action on one state.
fn guaranteed(state: &State, action: &Action) {
    let node = &state.nodes[&action.node];
    let health = health(node, &state.policy, NOW);
    let unavailable = state.nodes.values().filter(|it| it.unavailable()).count();
    let mut after = node.clone();
    apply(&mut after, action.step, NOW);
    let takes = !node.unavailable() && after.unavailable();
    let hurts = matches!(
        action.step,
        Step::Cordon | Step::Evict | Step::Stuck | Step::NoExecute | Step::Deny | Step::Delete
    );
    assert!(
        !hurts || health == Health::Failed,
        "{action:?} of {state:?}"
    );
    assert!(
        !(hurts && takes) || unavailable < 1,
        "{action:?} of {state:?}"
    );
    if action.step == Step::NoExecute {
        assert!(node.pods.movable == 0 || state.policy.force);
        assert_ne!(node.cordon, Cordon::No);
    }
    if action.step == Step::Delete {
        assert!(node.denied && node.no_execute && node.pods.movable == 0);
    }
    if action.step == Step::Trust {
        assert!(matches!(health, Health::Good | Health::Waived));
    }
    if action.step == Step::Exempt {
        assert_eq!(health, Health::NotApplicable);
    }
}

/// Machines by number, and what the world may make of each: a search over pairs of them then
/// compares and remembers numbers.
#[derive(Default)]
struct Machines {
    all: Vec<Node>,
    numbers: HashMap<Node, usize>,
    world: Vec<Vec<usize>>,
}

impl Machines {
    fn number(&mut self, node: &Node) -> usize {
        if let Some(known) = self.numbers.get(node) {
            return *known;
        }
        self.all.push(node.clone());
        self.world.push(Vec::new());
        self.numbers.insert(node.clone(), self.all.len() - 1);
        self.all.len() - 1
    }

    fn after_the_world(&mut self, at: usize, readiness: bool) -> Vec<usize> {
        if self.world[at].is_empty() {
            let next = world(&self.all[at], NOW, readiness);
            self.world[at] = next.iter().map(|it| self.number(it)).collect();
        }
        self.world[at].clone()
    }
}

/// Breadth first over everything that two machines, the world and a controller that may die
/// after any action can reach.
#[test]
fn never_more_is_drained_than_allowed_and_an_unknown_never_evicts() {
    for force in [false, true] {
        let mut state = cluster([good(), good()]);
        // The breaker is tested above; here it would only hide states.
        state.policy.breaker = Amount::Count(9);
        state.policy.force = force;
        let mut machines = Machines::default();
        let start = [machines.number(&good()); 2];
        let mut seen = HashSet::from([start]);
        let mut open = VecDeque::from([start]);
        let mut actions_seen = 0_usize;
        while let Some(pair) = open.pop_front() {
            let mut next = Vec::new();
            for (node, at) in state.nodes.values_mut().zip(pair) {
                node.clone_from(&machines.all[at]);
            }
            // All actions of one plan may be in flight: the state changes under them in order.
            let mut ongoing = pair;
            for action in plan(&state, NOW).actions {
                guaranteed(&state, &action);
                actions_seen += 1;
                let node = state.nodes.get_mut(&action.node).unwrap();
                apply(node, action.step, NOW);
                ongoing[usize::from(action.node == "n1")] = machines.number(node);
                // Here the controller may die.
                next.push(ongoing);
            }
            for at in 0..pair.len() {
                for changed in machines.after_the_world(pair[at], !force) {
                    let mut other = pair;
                    other[at] = changed;
                    next.push(other);
                }
            }
            open.extend(next.into_iter().filter(|it| seen.insert(*it)));
        }
        println!(
            "force {force}: {} states, {actions_seen} actions",
            seen.len()
        );
        assert!(seen.len() > 10_000 && actions_seen > 10_000);
    }
}

#[test]
fn an_empty_cluster_has_no_plan() {
    let state = State {
        nodes: BTreeMap::new(),
        ..cluster([])
    };
    assert_eq!(plan(&state, NOW), Plan::default());
}
