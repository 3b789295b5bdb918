//! Clocks: back, forward, of witness and agent apart; and a revocation list that ends mid-run. The
//! test owns the clock: the program takes none but the machine's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use zeuge_protocol::seal::Recipient;
use zeuge_server::clock::OFF_SECS_MAX;

use crate::collateral::{Kds, lone, spec};
use crate::common::{Attempt, Running, SECRET, World, evidence, path};
use crate::whole_loop::{attest, id, open, read, refused};

const DAY: i64 = 86_400;

/// What is asked of a witness whose clock cannot be believed, by everybody who may ask.
fn refused_everywhere(world: &World, running: &Running, begun: &Attempt) {
    assert_eq!(id(running.get("/readyz")), "time.jump");
    let wanted = b"{\"tenant\":\"sim\"}";
    let challenge = running.send("POST", "/v1/challenges", None, wanted);
    assert_eq!(id(challenge), "time.jump");
    let bundle = evidence(begun.binding.report_data(), world.now());
    assert_eq!(id(running.attest(&begun.body(&bundle))), "time.jump");
    let put = world.put_secret(running, "sim", "db/other", 1, &world.owner);
    assert_eq!(id(put), "time.jump");
}

#[test]
fn a_clock_that_is_set_back_or_forward_while_it_runs_releases_and_changes_nothing() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let begun = Attempt::honest(&running, "sim", &["db/key"]);
    let size = || running.witness.store.high_water().unwrap();
    let mark = size();
    for jump in [-31, -3600, -400 * DAY, 31, DAY, 365 * DAY, 400 * DAY] {
        running.wall.store(jump, Ordering::Relaxed);
        refused_everywhere(&world, &running, &begun);
        zeuge_server::health::beat(&running.witness).unwrap();
        // Nor does a wrong clock become the record.
        assert_eq!(size(), mark, "{jump}");
    }
    // What stays within the tolerance is no jump.
    for skew in [-30, 30, 0] {
        running.wall.store(skew, Ordering::Relaxed);
        running.get("/readyz").unwrap();
    }
    let answer = attest(&world, &running, &begun);
    assert_eq!(open(&world, &begun, &answer.secrets[0]), SECRET);
}

#[test]
fn a_restart_with_a_clock_behind_or_a_year_ahead_of_the_record_releases_nothing() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let begun = Attempt::honest(&running, "sim", &["db/key"]);
    drop(running);
    let right = world.now();
    for wrong in [right - 31, right - 400 * DAY, right + OFF_SECS_MAX + 60] {
        world.now.store(wrong, Ordering::Relaxed);
        let running = world.start();
        refused_everywhere(&world, &running, &begun);
        drop(running);
    }
    // A year ahead and less may be true. What has ended by then counts no more.
    world.now.store(right + 300 * DAY, Ordering::Relaxed);
    let running = world.start();
    running.get("/readyz").unwrap();
    let bundle = evidence(begun.binding.report_data(), world.now());
    assert_eq!(
        id(running.attest(&begun.body(&bundle))),
        "challenge.expired"
    );
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    assert_eq!(
        id(running.attest(&attempt.body(&bundle))),
        "document.expired"
    );
    drop(running);
    // It has written meanwhile: the true time is behind the record now, and a person must look.
    world.now.store(right, Ordering::Relaxed);
    let running = world.start();
    refused_everywhere(&world, &running, &begun);
}

#[test]
fn the_time_is_on_record_also_while_nobody_asks() {
    let world = World::new();
    let running = world.start();
    world.pass(3 * DAY);
    zeuge_server::health::beat(&running.witness).unwrap();
    assert_eq!(running.witness.store.high_water(), Ok(world.now()));
    drop(running);
    world.pass(-2 * DAY);
    let running = world.start();
    assert_eq!(id(running.get("/readyz")), "time.jump");
}

#[test]
fn an_agent_whose_clock_differs_is_served_and_opens_only_what_is_in_force_by_its_own() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    // The manifest is signed at this instant and ends a day later.
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    // Its evidence and its challenge are judged by the witness's clock alone.
    let answer = attest(&world, &running, &attempt);
    let opened = |skew: i64| {
        let recipient = Recipient {
            session: &attempt.key,
            binding: &attempt.binding.digest(),
            owners: &world.owners("sim"),
            now: world.now() + skew,
        };
        let opened = recipient.open(&answer.secrets[0], &path("db/key"), 0);
        opened
            .map(|secret| secret.to_vec())
            .map_err(|error| error.check())
    };
    for fine in [-30, 0, 30, DAY - 1] {
        assert_eq!(opened(fine).as_deref(), Ok(SECRET), "{fine}");
    }
    for wrong in [-31, DAY, 365 * DAY] {
        assert_eq!(opened(wrong), Err("manifest.signature"), "{wrong}");
    }
}

/// Seconds that are left to the list in the cache.
fn left(running: &Running) -> i64 {
    let metrics = String::from_utf8(running.get("/metrics").unwrap()).unwrap();
    let name = "zeuge_collateral_list_left_seconds{key=\"sim/amd/crl/Milan/vcek\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().parse().unwrap()
}

/// What became of an attempt with the report alone: nothing when the secret was released, else the
/// checks that refused it.
fn judged(world: &World, running: &Running, attempt: &Attempt) -> Vec<String> {
    let bundle = lone(&spec(attempt), world.now());
    match running.attest(&attempt.body(&bundle)) {
        Err(problem) => vec![problem.check().unwrap().to_owned()],
        Ok(answer) => {
            let answer = read(world, attempt, &answer);
            assert_eq!(answer.secrets.len() + answer.refused.len(), 1);
            refused(&answer)
                .iter()
                .map(|(_, check)| (*check).to_owned())
                .collect()
        }
    }
}

#[test]
fn a_revocation_list_that_ends_between_challenge_and_verdict_releases_nothing() {
    let world = World::new();
    // The maker's newest list is many months old; the toy's end after a year.
    let makers = Arc::new(AtomicI64::new(world.now() - 300 * DAY));
    let kds = Kds::start(Arc::clone(&makers));
    let running = world.start_with(&world.data(), Some(kds.sources.clone()));
    world.furnish(&running, "sim");
    let ask = || {
        judged(
            &world,
            &running,
            &Attempt::honest(&running, "sim", &["db/key"]),
        )
    };
    assert_eq!(ask(), [""; 0]);
    let rest = left(&running);
    assert!(rest > 60, "{rest}");
    world.pass(rest - 60);
    world.furnish_again(&running, "sim");
    world
        .put_secret(&running, "sim", "db/key", 2, &world.owner)
        .unwrap();
    assert_eq!(ask(), [""; 0]);
    let rest = left(&running);
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    world.pass(rest + 1);
    assert_eq!(judged(&world, &running, &attempt), ["amd.crl.fresh"]);
    assert_eq!(ask(), ["amd.crl.fresh"]);
    // The maker has a new one: it goes on by itself, once the pause is over.
    makers.store(world.now(), Ordering::Relaxed);
    world.pass(DAY - 3600);
    assert_eq!(ask(), [""; 0]);
}
