//! Which machines get no new secrets, and of which more is demanded.

use super::*;

fn due(state: &State) -> Vec<String> {
    let holds = holds(state, NOW);
    without_secrets(state, &holds, NOW).into_iter().collect()
}

/// Two of three fail within the window, which the breaker does not let through.
fn held(stage: Option<Stage>) -> State {
    let mut state = cluster([good(), good(), good()]);
    for name in ["n0", "n1"] {
        state.nodes.get_mut(name).unwrap().believed = failed(NOW);
    }
    let cause = holds(&state, NOW).into_iter().find_map(|hold| match hold {
        Hold::Breaker { cause, .. } => Some(cause),
        _ => None,
    });
    state.policy.acknowledged = stage.map(|stage| (cause.unwrap(), stage));
    state
}

#[test]
fn machines_that_fail_get_no_secrets_from_the_stage_that_a_person_chose() {
    for stage in [None, Some(Stage::Observe), Some(Stage::NoJoins)] {
        assert_eq!(due(&held(stage)), [""; 0], "{stage:?}");
    }
    for stage in [Stage::NoSecrets, Stage::Evict] {
        assert_eq!(due(&held(Some(stage))), ["n0", "n1"], "{stage:?}");
    }
    // Another cause than the one that was looked at is held anew.
    let mut state = held(Some(Stage::NoSecrets));
    state.policy.acknowledged = Some(("0".repeat(16), Stage::NoSecrets));
    assert_eq!(due(&state), [""; 0]);
}

#[test]
fn what_is_waived_silent_or_unknown_is_no_failure_that_takes_secrets() {
    let mut state = held(Some(Stage::NoSecrets));
    state.nodes.get_mut("n0").unwrap().waived_until = Some(NOW + 1);
    let silent = state.nodes.get_mut("n2").unwrap();
    silent.believed = Believed::Good { at: NOW - 900 };
    assert_eq!(due(&state), ["n1"]);
    // What was thrown out already is still a machine.
    state.nodes.get_mut("n1").unwrap().live = false;
    state.policy.breaker = Amount::Count(1);
    assert_eq!(due(&state), ["n1"]);
}

#[test]
fn a_key_declared_compromised_gets_no_secrets_whatever_holds() {
    for stage in [None, Some(Stage::NoSecrets)] {
        let mut state = held(stage);
        state.skew_secs = 31;
        let node = state.nodes.get_mut("n2").unwrap();
        node.compromised = true;
        node.waived_until = Some(NOW + 1);
        assert!(due(&state).contains(&"n2".to_owned()), "{stage:?}");
    }
    // One machine that fails by itself is its witness's business: no word of ours.
    let mut state = cluster([good(), good(), good()]);
    state.nodes.get_mut("n0").unwrap().believed = failed(NOW);
    assert_eq!(due(&state), [""; 0]);
}

#[test]
fn neither_silence_nor_clocks_take_secrets() {
    let mut state = cluster([good(), good(), good()]);
    for node in state.nodes.values_mut() {
        node.believed = Believed::Good { at: NOW - 900 };
    }
    state.skew_secs = 31;
    assert_eq!(due(&state), [""; 0]);
}

#[test]
fn a_machine_of_which_more_is_demanded_goes_further_and_is_too_old_sooner() {
    let mut state = cluster([good(), good()]);
    state.policy.ladder = Rung::Taint;
    for node in state.nodes.values_mut() {
        (node.believed, node.trusted, node.no_schedule) = (failed(NOW - 90_000), false, true);
    }
    // Taints stand, and for all that is as far as it goes.
    assert_eq!(steps(&state), []);
    let strict = state.nodes.get_mut("n1").unwrap();
    strict.tightened.ladder = Some(Rung::Cordon);
    assert_eq!(steps(&state), [("n1".into(), Step::Cordon)]);
    let mut state = cluster([good(), good()]);
    let strict = state.nodes.get_mut("n1").unwrap();
    strict.tightened.age_secs_max = Some(60);
    for node in state.nodes.values_mut() {
        node.believed = Believed::Good { at: NOW - 60 };
    }
    assert_eq!(steps(&state), [("n1".into(), Step::Distrust)]);
    // What says less changes nothing.
    let loose = state.nodes.get_mut("n1").unwrap();
    loose.tightened.age_secs_max = Some(100_000);
    loose.tightened.ladder = Some(Rung::Report);
    assert_eq!(steps(&state), []);
    assert_eq!(state.policy.ladder_of(&state.nodes["n1"]), Rung::Delete);
}
