//! "Never drains more than allowed", three ways that go beyond what a search from one start reaches.
//!
//! 1. Every state of two machines, reachable or not.
//! 2. Random clusters of up to forty machines under every ladder, limit and breaker stage.
//! 3. The same through time: the world acts between steps, plans are carried out in part, in any
//!    order and from states that are a step old, as `act.rs` does it: whoever is to be cordoned is
//!    counted anew first.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;
use super::{NOW, apply, cluster, failed, good, policy};
use crate::model::{Amount, Pods, Tightened};

fn unavailable(state: &State) -> usize {
    state.nodes.values().filter(|it| it.unavailable()).count()
}

fn limit(state: &State) -> usize {
    let live = state.nodes.values().filter(|it| it.live).count();
    state.policy.max_unavailable.of(live)
}

/// Steps that take work away.
fn hurts(step: Step) -> bool {
    use Step::{Cordon, Delete, Deny, Evict, NoExecute, Stuck};
    matches!(step, Cordon | Evict | Stuck | NoExecute | Deny | Delete)
}

/// The guarantees for one plan: its steps in their order, and stopped after any of them.
fn keeps_the_limit(state: &State) -> Result<usize, String> {
    let plan = plan(state, NOW);
    let allowed = limit(state).max(unavailable(state));
    let mut after = state.clone();
    for action in &plan.actions {
        let wrong = |what: &str| Err(format!("{what}: {action:?} of {plan:?} in {state:?}"));
        let before = &state.nodes[&action.node];
        let health = health(before, &state.policy, NOW);
        if hurts(action.step) && health != Health::Failed {
            return wrong("a machine that did not fail loses work");
        }
        if hurts(action.step) && reach(&plan.holds, before) != Stage::Evict {
            return wrong("a hold is passed");
        }
        if action.step == Step::Trust && !matches!(health, Health::Good | Health::Waived) {
            return wrong("a machine that is not known to be good is trusted");
        }
        if action.step == Step::NoExecute && before.pods.movable > 0 && !state.policy.force {
            return wrong("NoExecute passes a budget");
        }
        let node = after
            .nodes
            .get_mut(&action.node)
            .expect("it is planned for");
        apply(node, action.step, NOW);
        // A deletion ends what was unavailable already; nothing else may raise the number.
        if unavailable(&after) > allowed {
            return wrong("more is taken than allowed");
        }
    }
    Ok(plan.actions.len())
}

/// Every machine that a plan can tell from another: all fields, with times on both sides of their
/// limits. What cannot matter to a machine that is not live is left out.
fn machines() -> Vec<Node> {
    let mut all = vec![Node {
        live: false,
        believed: failed(NOW),
        ..good()
    }];
    let stale = Believed::Good { at: NOW - 900 };
    let beliefs = [
        (Believed::Good { at: NOW }, false, false),
        (Believed::Good { at: NOW }, true, false),
        (stale, false, false),
        (failed(NOW), false, false),
        (failed(NOW - 90_000), false, false),
        (Believed::Nothing, false, false),
        (Believed::Nothing, false, true),
    ];
    for (believed, rebooted, not_applicable) in beliefs {
        for cordon in [Cordon::No, Cordon::Ours, Cordon::Others] {
            for bits in 0..128_u32 {
                let bit = |at: u32| bits & (1 << at) != 0;
                all.push(Node {
                    ready: bit(0),
                    start_taint: bit(1),
                    // A trust label with the taint, or neither, is a step that was cut short.
                    no_schedule: bit(2),
                    trusted: bit(3),
                    no_execute: bit(4),
                    denied: bit(5),
                    pods: Pods {
                        movable: usize::from(bit(6)),
                    },
                    cordon,
                    believed: believed.clone(),
                    not_applicable,
                    rebooted,
                    ..good()
                });
            }
        }
    }
    all
}

/// Each machine beside one of every class: a plan sees another machine only as a number that is
/// live, unavailable, silent or failed, and as a step that uses what is free. So this is every pair.
#[test]
fn in_every_state_of_two_machines_no_plan_takes_more_than_allowed() {
    let all = machines();
    let (mut states, mut actions) = (0_usize, 0_usize);
    for (max_unavailable, ladder, force) in [
        (Amount::Count(0), Rung::Delete, true),
        (Amount::Count(1), Rung::Delete, true),
        (Amount::Count(1), Rung::Delete, false),
        (Amount::Percent(50), Rung::Drain, false),
    ] {
        let mut state = cluster([good(), good()]);
        state.policy = Policy {
            ladder,
            force,
            max_unavailable,
            breaker: Amount::Count(9),
            ..policy()
        };
        let mut classes = HashMap::new();
        for first in &all {
            state.nodes.insert("n0".into(), first.clone());
            let step = plan(&state, NOW).actions.first().map(|it| it.step);
            let health = health(first, &state.policy, NOW);
            let class = (first.live, first.unavailable(), health as u8, step);
            classes.entry(class).or_insert(first);
        }
        assert!(classes.len() > 10);
        for first in classes.into_values() {
            state.nodes.insert("n0".into(), first.clone());
            for second in &all {
                state.nodes.insert("n1".into(), second.clone());
                actions += keeps_the_limit(&state).unwrap();
                states += 1;
            }
        }
    }
    println!("{states} states, {actions} actions");
    assert!(states > 100_000 && actions > 100_000);
}

fn machine() -> impl Strategy<Value = Node> {
    let times = prop_oneof![
        Just(Believed::Good { at: NOW }),
        Just(Believed::Good { at: NOW - 5000 }),
        Just(failed(NOW)),
        Just(failed(NOW - 90_000)),
        Just(Believed::Nothing),
    ];
    let cordon = prop_oneof![Just(Cordon::No), Just(Cordon::Ours), Just(Cordon::Others)];
    let drain = prop_oneof![Just(None), Just(Some(NOW)), Just(Some(NOW - 5000))];
    let flags = any::<[bool; 12]>();
    (times, cordon, drain, flags, 0..3_usize).prop_map(
        |(believed, cordon, drain, flags, movable)| {
            let [
                live,
                ready,
                start,
                label,
                schedule,
                execute,
                denied,
                rebooted,
                key,
                work,
                plain,
                strict,
            ] = flags;
            Node {
                live,
                ready,
                start_taint: start,
                trusted: label,
                no_schedule: schedule,
                no_execute: execute,
                denied,
                rebooted,
                not_applicable: plain && believed == Believed::Nothing,
                cordon,
                believed,
                pods: Pods { movable },
                drain_since: drain,
                compromised: key && rebooted,
                maintenance_until: (work && denied).then_some(NOW + 5),
                waived_until: None,
                silence_waived_until: None,
                tightened: Tightened {
                    age_secs_max: strict.then_some(100),
                    ladder: strict.then_some(Rung::Delete),
                },
            }
        },
    )
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        (0..5_usize).prop_map(Amount::Count),
        (0..=100_u8).prop_map(Amount::Percent),
    ]
}

fn state() -> impl Strategy<Value = State> {
    let ladder = prop_oneof![
        Just(Rung::Report),
        Just(Rung::Taint),
        Just(Rung::Cordon),
        Just(Rung::Drain),
        Just(Rung::NoExecute),
        Just(Rung::Credentials),
        Just(Rung::Delete),
    ];
    let skew = prop_oneof![4 => Just(0_i64), 1 => Just(31_i64)];
    let parts = (
        vec(machine(), 0..40),
        ladder,
        amount(),
        amount(),
        any::<bool>(),
        skew,
    );
    parts.prop_map(
        |(nodes, ladder, max_unavailable, breaker, force, skew_secs)| {
            let mut state = cluster(nodes);
            state.policy = Policy {
                ladder,
                max_unavailable,
                breaker,
                force,
                ..policy()
            };
            state.skew_secs = skew_secs;
            state
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn in_random_clusters_no_plan_takes_more_than_allowed(mut state in state(), seen in 0..4_u8) {
        // Sometimes a person has looked at the cause.
        let cause = holds(&state, NOW).into_iter().find_map(|hold| match hold {
            Hold::Breaker { cause, .. } => Some(cause),
            _ => None,
        });
        state.policy.acknowledged = cause.map(|cause| {
            let stages = [Stage::Observe, Stage::NoJoins, Stage::NoSecrets, Stage::Evict];
            (cause, stages[usize::from(seen)])
        });
        keeps_the_limit(&state).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn through_time_the_controller_alone_never_goes_beyond_the_limit(
        mut state in state(),
        turns in vec((any::<u8>(), any::<prop::sample::Index>(), machine()), 1..30),
    ) {
        let mut old = plan(&state, NOW);
        for (what, which, changed) in turns {
            let names: Vec<String> = state.nodes.keys().cloned().collect();
            if names.is_empty() {
                return Ok(());
            }
            match what % 3 {
                // The world does anything to a machine.
                0 => {
                    state.nodes.insert(which.get(&names).clone(), changed);
                }
                // A new plan is made.
                1 => old = plan(&state, NOW),
                // A step of a plan that may be old is carried out, as act.rs does.
                _ if old.actions.is_empty() => {}
                _ => {
                    let action = which.get(&old.actions).clone();
                    let (taken, allowed) = (unavailable(&state), limit(&state));
                    let node = state.nodes.get_mut(&action.node).expect("machines stay named");
                    let itself = node.unavailable();
                    if action.step == Step::Cordon && !itself && taken >= allowed {
                        continue;
                    }
                    apply(node, action.step, NOW);
                    let more = unavailable(&state) > taken.max(allowed);
                    // A NoExecute that is a step old may meet a machine that people uncordoned
                    // meanwhile; its patch carries the version that was read, and is refused.
                    prop_assert!(!more || action.step != Step::Cordon, "{action:?}");
                }
            }
        }
    }
}
