//! Changes of what the owners want while releases are in flight: nothing is released under the old
//! state after a change was acknowledged. The log's order is the judge.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use zeuge_log::leaf::Leaf;
use zeuge_server::sequencer::Entries as _;

use crate::common::{Attempt, Running, World, evidence};

/// Machines that ask at once.
const MACHINES: usize = 6;
/// Releases before the change, so that it falls among them.
const BEFORE: usize = 12;

/// Runs machines, changes something among their releases, and returns the log.
fn among_releases(world: &World, running: &Running, change: impl FnOnce()) -> Vec<Leaf> {
    let (over, released) = (AtomicBool::new(false), AtomicUsize::new(0));
    let refused = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..MACHINES {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let attempt = Attempt::honest(running, "sim", &["db/key"]);
                    let bundle = evidence(attempt.binding.report_data(), world.now());
                    match running.attest(&attempt.body(&bundle)) {
                        Ok(_) => {
                            released.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(problem) => {
                            let check = problem.check().unwrap().to_owned();
                            refused.lock().unwrap().push(check);
                        }
                    }
                }
            });
        }
        while released.load(Ordering::SeqCst) < BEFORE {
            std::thread::yield_now();
        }
        change();
        let until = released.load(Ordering::SeqCst) + MACHINES;
        while released.load(Ordering::SeqCst) < until {
            std::thread::yield_now();
        }
        over.store(true, Ordering::SeqCst);
    });
    // The toy makes a newer list each second; only that and the change itself may refuse.
    for check in refused.into_inner().unwrap() {
        assert!(
            ["release.epoch", "collateral.rollback"].contains(&check.as_str()),
            "{check}"
        );
    }
    let entries = running.witness.store.entries(0, u32::MAX).unwrap();
    entries
        .iter()
        .map(|entry| Leaf::decode(entry).unwrap())
        .collect()
}

fn releases(leaves: &[Leaf]) -> usize {
    let is_release = |leaf: &&Leaf| matches!(leaf, Leaf::ReleaseAuthorised { .. });
    leaves.iter().filter(is_release).count()
}

#[test]
fn after_a_rule_is_retired_or_a_secret_deleted_nothing_is_released_in_the_log() {
    for (action, at) in [
        (
            "document-retire",
            "/v1/documents/release-rule?tenant=sim&name=db/key",
        ),
        ("secret-delete", "/v1/secrets?tenant=sim&path=db/key"),
    ] {
        let world = World::new();
        let running = world.start();
        world.furnish(&running, "sim");
        let leaves = among_releases(&world, &running, || {
            running.admin("DELETE", at, &world.admin, b"").unwrap();
        });
        let change = leaves.iter().position(
            |leaf| matches!(leaf, Leaf::OperatorAction { action: held, .. } if held == action),
        );
        let (before, after) = leaves.split_at(change.unwrap());
        assert!(releases(before) >= BEFORE, "{action}");
        assert_eq!(releases(after), 0, "{action}");
    }
}

#[test]
fn after_a_new_version_is_acknowledged_no_older_one_is_released() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let leaves = among_releases(&world, &running, || {
        world
            .put_secret(&running, "sim", "db/key", 2, &world.owner)
            .unwrap();
    });
    let manifest = |leaf: &Leaf| match leaf {
        Leaf::DocumentChange {
            kind,
            digest,
            version: 2,
            ..
        } if kind == "secret-manifest" => Some(*digest),
        _ => None,
    };
    let change = leaves.iter().position(|leaf| manifest(leaf).is_some());
    let (before, after) = leaves.split_at(change.unwrap());
    let new = manifest(&after[0]).unwrap();
    let of = |leaves: &[Leaf]| -> Vec<[u8; 32]> {
        let released = leaves.iter().filter_map(|leaf| match leaf {
            Leaf::ReleaseAuthorised { manifest, .. } => Some(*manifest),
            _ => None,
        });
        released.collect()
    };
    assert!(of(before).len() >= BEFORE && !of(before).contains(&new));
    let after = of(after);
    assert!(!after.is_empty());
    assert!(after.iter().all(|manifest| *manifest == new));
}
