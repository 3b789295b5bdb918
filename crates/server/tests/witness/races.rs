//! Changes of what the owners want while releases are in flight: nothing is released under the old
//! state after a change was acknowledged. The log's order is the judge.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use zeuge_evidence::UnixTime;
use zeuge_evidence::snp::{CertificateTable, Report};
use zeuge_log::hash::sha256;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::bundle::Media;
use zeuge_protocol::document::Kind;
use zeuge_protocol::keys::SigningKey;
use zeuge_server::sequencer::Entries as _;
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::{Anchors, Binding, Endorsements, snp};

use crate::common::{Attempt, Running, SECRET, World, evidence, rule, trust_file, zeuged};
use crate::whole_loop::{open, read};

/// What may refuse a machine for a moment: the change itself, too many at once, and the toy, which
/// makes a newer list each second.
const PASSING: [&str; 3] = ["collateral.rollback", "release.epoch", "session.busy"];

/// Machines that ask at once, below what one source may have under way.
fn machines() -> usize {
    if before() >= 1000 { 48 } else { 6 }
}

/// Releases before the change, so that it falls among them: `ZEUGE_RACES`, 12 when absent.
fn before() -> usize {
    let wanted = std::env::var("ZEUGE_RACES").ok();
    wanted.map_or(12, |count| count.parse().unwrap())
}

/// Runs machines, changes something among their releases, and returns the log. `refused` are the
/// checks that may refuse a machine beside those of the change itself.
fn among_releases(
    world: &World,
    running: &Running,
    also: &[&str],
    change: impl FnOnce(),
) -> Vec<Leaf> {
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let refused = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..machines() {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let attempt = Attempt::honest(running, "sim", &["db/key"]);
                    let bundle = evidence(attempt.binding.report_data(), world.now());
                    match running.attest(&attempt.body(&bundle)) {
                        Ok(answer) => {
                            let answer = read(world, &attempt, &answer);
                            for secret in &answer.secrets {
                                assert_eq!(open(world, &attempt, secret), SECRET);
                            }
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(problem) => {
                            let check = problem.check().unwrap().to_owned();
                            if !PASSING.contains(&check.as_str()) {
                                answered.fetch_add(1, Ordering::SeqCst);
                            }
                            refused.lock().unwrap().push(check);
                        }
                    }
                }
            });
        }
        while answered.load(Ordering::SeqCst) < before() {
            std::thread::yield_now();
        }
        change();
        let until = answered.load(Ordering::SeqCst) + machines();
        while answered.load(Ordering::SeqCst) < until {
            std::thread::yield_now();
        }
        over.store(true, Ordering::SeqCst);
    });
    for check in refused.into_inner().unwrap() {
        let known = PASSING.iter().chain(also).any(|known| *known == check);
        assert!(known, "{check}");
    }
    let entries = running.witness.store.entries(0, u32::MAX).unwrap();
    entries
        .iter()
        .map(|entry| Leaf::decode(entry).unwrap())
        .collect()
}

/// Brings a document of the owner's.
fn bring(world: &World, running: &Running, (kind, at): (Kind, &str), version: u64, text: &str) {
    let document = world.document(kind, "sim", at, version, text);
    let body = serde_json::to_vec(&document).unwrap();
    let at = format!("/v1/documents/{}", kind.as_str());
    running.admin("PUT", &at, &world.admin, &body).unwrap();
}

/// No release stands behind the leaf of this document, and enough stand before it.
fn nothing_behind(leaves: &[Leaf], kind: Kind, version: u64) {
    let is_change = |leaf: &Leaf| {
        matches!(leaf, Leaf::DocumentChange { kind: held, version: of, .. }
            if held == kind.as_str() && *of == version)
    };
    let change = leaves.iter().position(is_change).unwrap();
    let (before_it, after) = leaves.split_at(change);
    assert!(releases(before_it) >= before(), "{kind:?}");
    assert_eq!(releases(after), 0, "{kind:?}");
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
        let leaves = among_releases(&world, &running, &[], || {
            running.admin("DELETE", at, &world.admin, b"").unwrap();
        });
        let change = leaves.iter().position(
            |leaf| matches!(leaf, Leaf::OperatorAction { action: held, .. } if held == action),
        );
        let (earlier, after) = leaves.split_at(change.unwrap());
        assert!(releases(earlier) >= before(), "{action}");
        assert_eq!(releases(after), 0, "{action}");
    }
}

#[test]
fn after_a_stop_is_acknowledged_nothing_is_released_in_the_log() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let leaves = among_releases(&world, &running, &[], || {
        let stop = br#"{"name": "incident", "because": "a test"}"#;
        let at = "/v1/stops?tenant=sim";
        running.admin("POST", at, &world.admin, stop).unwrap();
    });
    let change = leaves.iter().position(
        |leaf| matches!(leaf, Leaf::OperatorAction { action, .. } if action == "release-stop"),
    );
    let (earlier, after) = leaves.split_at(change.unwrap());
    assert!(releases(earlier) >= before());
    assert_eq!(releases(after), 0);
}

#[test]
fn after_a_new_version_is_acknowledged_no_older_one_is_released() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let leaves = among_releases(&world, &running, &[], || {
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
    let (earlier, after) = leaves.split_at(change.unwrap());
    let new = manifest(&after[0]).unwrap();
    let of = |leaves: &[Leaf]| -> Vec<[u8; 32]> {
        let released = leaves.iter().filter_map(|leaf| match leaf {
            Leaf::ReleaseAuthorised { manifest, .. } => Some(*manifest),
            _ => None,
        });
        released.collect()
    };
    assert!(of(earlier).len() >= before() && !of(earlier).contains(&new));
    let after = of(after);
    assert!(!after.is_empty());
    assert!(after.iter().all(|manifest| *manifest == new));
}

/// The registry with the toy's chip and its key, as a verified report tells them.
fn registry(world: &World, chip: &str) -> String {
    let bundle = evidence([7; 64], world.now());
    let report = Report::parse(bundle.only(Media::SnpReport).unwrap()).unwrap();
    let mut heap = Endorsements::new();
    let table = bundle.only(Media::SnpCertificates).unwrap();
    for entry in CertificateTable::parse(table).unwrap().entries {
        heap.add("evidence", entry.data);
    }
    let anchors = Anchors::dangerous_sim(&trust_file()).unwrap();
    let bound = Binding::ReportData([7; 64]);
    let verified = snp(
        &report,
        &heap,
        &anchors,
        &bound,
        UnixTime(world.now()),
        &AWS_LC,
    )
    .unwrap();
    let facts = verified.fact();
    let own = hex::encode(facts.claims.chip_id);
    format!(
        "schema = \"zeuge.hardware.v1\"\n[[chip]]\nname = \"rack 7\"\nchip_id = \"{}\"\n\
         keys = [{{ tcb = \"{}\", public_key = \"{}\" }}]\n",
        if chip.is_empty() { &own } else { chip },
        hex::encode(facts.claims.reported_tcb.0),
        hex::encode(sha256(&[&facts.leaf_public_key])),
    )
}

#[test]
fn after_a_chip_is_retired_nothing_is_released_to_it() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let registered = (Kind::HardwareRegistry, "hardware-registry");
    bring(&world, &running, registered, 1, &registry(&world, ""));
    let enrolled = rule("sim", "db/key").replace("dangerous_any_chip", "enrolled");
    bring(
        &world,
        &running,
        (Kind::ReleaseRule, "db/key"),
        2,
        &enrolled,
    );
    let leaves = among_releases(&world, &running, &[], || {
        let other = registry(&world, &"ab".repeat(64));
        bring(&world, &running, registered, 2, &other);
    });
    nothing_behind(&leaves, Kind::HardwareRegistry, 2);
}

#[test]
fn after_a_policy_that_forbids_it_nothing_is_released() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let leaves = among_releases(&world, &running, &[], || {
        let policy = "schema = \"zeuge.policy.v1\"\n[snp]\nrefused_products = [\"Milan\"]\n";
        bring(&world, &running, (Kind::Policy, "policy"), 1, policy);
    });
    nothing_behind(&leaves, Kind::Policy, 1);
}

#[test]
fn after_an_owners_key_is_rotated_nothing_is_released_by_what_the_old_one_signed() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let mut set = world.owners("sim");
    set.owners[0].public_key = SigningKey::from_seed(&[21; 32]).unwrap().public();
    let text = serde_json::to_string(&set).unwrap();
    let leaves = among_releases(&world, &running, &["document.threshold"], || {
        bring(&world, &running, (Kind::OwnerSet, "owner-set"), 1, &text);
    });
    nothing_behind(&leaves, Kind::OwnerSet, 1);
}

#[test]
fn the_witness_s_own_keys_rotate_among_releases_and_what_the_old_ones_made_still_counts() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let data = world.data();
    let begun = Attempt::honest(&running, "sim", &["db/key"]);
    let leaves = among_releases(&world, &running, &[], || {
        for key in ["challenge", "ear", "sealing"] {
            zeuged(&["rotate", "--data", data.to_str().unwrap(), "--key", key]).unwrap();
        }
    });
    assert!(releases(&leaves) >= before());
    drop(running);
    // Used from the next start on: a challenge of before, and a secret that the old key sealed.
    let running = world.start();
    assert_eq!(running.witness.keys.ear.len(), 2);
    let bundle = evidence(begun.binding.report_data(), world.now());
    let answer = running.attest(&begun.body(&bundle)).unwrap();
    let answer = read(&world, &begun, &answer);
    assert_eq!(open(&world, &begun, &answer.secrets[0]), SECRET);
}
