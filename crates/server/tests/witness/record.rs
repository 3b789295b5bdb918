//! What a witness keeps on record: endorsements as leaves, owners as an unbroken succession.

use std::sync::Arc;

use zeuge_log::leaf::Leaf;
use zeuge_protocol::document::{Kind, OwnerSet};
use zeuge_protocol::keys::SigningKey;
use zeuge_server::sequencer::Entries as _;

use crate::collateral::{Kds, ask};
use crate::common::{Attempt, Running, World, evidence, zeuged};
use crate::whole_loop::id;

/// The leaves of endorsements, in their order.
fn endorsements(running: &Running) -> Vec<(String, [u8; 32], [u8; 32])> {
    let entries = running.witness.store.entries(0, 1000).unwrap();
    let leaves = entries.iter().map(|entry| Leaf::decode(entry).unwrap());
    leaves
        .filter_map(|leaf| match leaf {
            Leaf::EndorsementSeen {
                kind,
                fingerprint,
                issuer,
                ..
            } => Some((kind, fingerprint, issuer)),
            _ => None,
        })
        .collect()
}

#[test]
fn an_endorsement_becomes_one_leaf_when_it_first_counts_also_across_a_restart() {
    let world = World::new();
    // A service, because a toy that brings its certificates makes them anew every time.
    let kds = Kds::start(Arc::clone(&world.now));
    let start = || world.start_with(&world.data(), Some(kds.sources.clone()));
    let running = start();
    world.furnish(&running, "sim");
    assert!(endorsements(&running).is_empty());
    // What is refused before it is verified leaves nothing.
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let other = running.attest(&attempt.body(&evidence([7; 64], world.now())));
    assert_eq!(id(other), "binding.report-data");
    assert!(endorsements(&running).is_empty());
    ask(&world, &running).unwrap();
    let seen = endorsements(&running);
    let kinds: Vec<_> = seen.iter().map(|(kind, _, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["vcek", "ask", "amd-crl"]);
    // Leaf under intermediate, intermediate and list under the root.
    assert_eq!(seen[0].2, seen[1].1);
    assert_eq!(seen[1].2, seen[2].2);
    ask(&world, &running).unwrap();
    assert_eq!(endorsements(&running), seen);
    drop(running);
    let running = start();
    ask(&world, &running).unwrap();
    assert_eq!(endorsements(&running), seen);
}

/// What a witness says that is started on this folder and must not.
fn refused_start(world: &World) -> String {
    let data = world.data();
    let data = data.to_str().unwrap();
    zeuged(&["serve", "--data", data, "--listen", "127.0.0.1:0"]).unwrap_err()
}

fn succeed(world: &World, running: &Running, set: &OwnerSet, version: u64, signer: &SigningKey) {
    let text = serde_json::to_string(set).unwrap();
    let mut document = world.document(Kind::OwnerSet, "sim", "owner-set", version, &text);
    document.signatures.clear();
    document.sign(signer);
    let body = serde_json::to_vec(&document).unwrap();
    let at = "/v1/documents/owner-set";
    running.admin("PUT", at, &world.admin, &body).unwrap();
}

fn change(world: &World, sql: &str, value: &[u8]) {
    let database = rusqlite::Connection::open(world.data().join("zeuge.sqlite")).unwrap();
    assert!(database.execute(sql, [value]).unwrap() > 0, "{sql}");
}

#[test]
fn owners_are_believed_only_as_the_last_of_an_unbroken_succession() {
    let world = World::new();
    let running = world.start();
    let (second, third) = (
        SigningKey::from_seed(&[21; 32]).unwrap(),
        SigningKey::from_seed(&[22; 32]).unwrap(),
    );
    let mut set = world.owners("sim");
    set.owners[0].public_key = second.public();
    succeed(&world, &running, &set, 1, &world.owner);
    set.owners[0].public_key = third.public();
    succeed(&world, &running, &set, 2, &second);
    drop(running);
    // It holds as it is, and the third owner is the one who may sign.
    let running = world.start();
    world
        .put_secret(&running, "sim", "db/key", 1, &third)
        .unwrap();
    let refused = world.put_secret(&running, "sim", "db/key", 2, &second);
    assert_eq!(id(refused), "manifest.signature");
    drop(running);
    // Whoever can write into the database names himself: in every place where a name stands.
    let stranger = SigningKey::from_seed(&[23; 32]).unwrap();
    set.owners[0].public_key = stranger.public();
    let text = serde_json::to_string(&set).unwrap();
    let mut own = world.document(Kind::OwnerSet, "sim", "owner-set", 2, &text);
    own.signatures.clear();
    own.sign(&stranger);
    let own = serde_json::to_vec(&own).unwrap();
    let file = world.data().join("zeuge.sqlite");
    let good = std::fs::read(&file).unwrap();
    let plain = serde_json::to_vec(&set).unwrap();
    for (sql, value) in [
        (
            "UPDATE documents SET json = ?1 WHERE tenant = 'sim' AND kind = 'owner-set'",
            &own,
        ),
        (
            "UPDATE documents SET json = ?1 WHERE tenant = 'sim' AND version = 2
             AND kind IN ('owner-set', 'succession')",
            &own,
        ),
        (
            "UPDATE documents SET json = ?1 WHERE tenant = 'sim' AND kind = 'first-owners'",
            &plain,
        ),
        (
            "DELETE FROM documents WHERE tenant = 'sim' AND length(?1) > 0 AND version = 1
             AND kind = 'succession'",
            &own,
        ),
        (
            "DELETE FROM documents WHERE tenant = 'sim' AND length(?1) > 0 AND kind = 'owner-set'",
            &own,
        ),
        (
            "DELETE FROM documents WHERE tenant = 'sim' AND length(?1) > 0
             AND kind = 'first-owners'",
            &own,
        ),
    ] {
        for rest in ["zeuge.sqlite-wal", "zeuge.sqlite-shm"] {
            let _ = std::fs::remove_file(world.data().join(rest));
        }
        std::fs::write(&file, &good).unwrap();
        change(&world, sql, value);
        let refusal = refused_start(&world);
        assert!(
            refusal.contains("document.owners: sim: "),
            "{sql}: {refusal}"
        );
    }
}

#[test]
fn owners_whose_time_is_over_release_nothing_and_may_still_name_who_follows() {
    let world = World::new();
    let running = world.start();
    let mut set = world.owners("sim");
    let second = SigningKey::from_seed(&[21; 32]).unwrap();
    set.owners[0].public_key = second.public();
    succeed(&world, &running, &set, 1, &world.owner);
    world.pass(86_401);
    let late = world.put_secret(&running, "sim", "db/key", 1, &second);
    assert_eq!(id(late), "document.expired");
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    assert_eq!(
        id(running.attest(&attempt.body(&bundle))),
        "document.expired"
    );
    succeed(&world, &running, &set, 2, &second);
    world
        .put_secret(&running, "sim", "db/key", 1, &second)
        .unwrap();
}
