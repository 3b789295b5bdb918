//! Disks that are full, read-only, slow or damaged: not ready, a clear refusal that names what
//! helps, nothing released; and going on when the disk does.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zeuge_log::leaf::Leaf;
use zeuge_protocol::api::Problem;
use zeuge_server::sequencer::{NewLeaf, salted};

use crate::common::{
    Attempt, Running, SECRET, World, copy_folder, evidence, refused_start, zeuged,
};
use crate::power::{Disk, Trouble};
use crate::whole_loop::{attest, id, open, read};

/// The longest that a change of the disk may take to show, far above a beat and a slow write.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until the answer is as wanted.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// A machine asks without believing that it will be answered.
fn try_ask(world: &World, running: &Running) -> Result<(Attempt, Vec<u8>), Box<Problem>> {
    let wanted = b"{\"tenant\":\"sim\"}";
    let challenge = running.send("POST", "/v1/challenges", None, wanted)?;
    let challenge = serde_json::from_slice(&challenge).unwrap();
    let request = crate::common::release_of(&["db/key"]);
    let attempt = Attempt::new(challenge, request, zeuge_protocol::suite::Suite::X_WING);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    let answer = running.attest(&attempt.body(&bundle))?;
    Ok((attempt, answer))
}

fn receipt(world: &World, running: &Running) -> String {
    let attempt = Attempt::honest(running, "sim", &["db/key"]);
    let answer = attest(world, running, &attempt);
    assert_eq!(open(world, &attempt, &answer.secrets[0]), SECRET);
    answer.receipt.unwrap()
}

fn continues(running: &Running, held: &str) -> bool {
    running
        .send("POST", "/v1/checkpoints", None, held.as_bytes())
        .is_ok()
}

/// What a witness does while this is wrong with its disk. `None` where no disk can be mounted.
fn under(trouble: Trouble, remedy: &str) -> Option<()> {
    let disk = Disk::new(false);
    let mut mounted = None;
    let world = World::within(|data| {
        std::fs::create_dir(data).unwrap();
        mounted = disk.mount(data).ok();
        mounted.is_some()
    })?;
    let running = world.start();
    world.furnish(&running, "sim");
    let before = receipt(&world, &running);
    let size = running
        .witness
        .sequencer
        .checkpoint()
        .unwrap()
        .checkpoint()
        .size;
    disk.trouble(trouble);
    // What comes at once, before anybody noticed, is refused as well.
    let first = try_ask(&world, &running).map(drop).unwrap_err();
    let refused = |problem: &Problem| {
        let check = problem.check().unwrap_or_default().to_owned();
        let known = [
            "archive.quota",
            "log.unavailable",
            "release.expired",
            "store.unavailable",
        ];
        assert!(known.contains(&check.as_str()), "{problem:?}");
        assert_eq!(problem.status, 503, "{problem:?}");
    };
    refused(&first);
    let problem = until("it stays ready", || running.get("/readyz").err());
    refused(&problem);
    let detail = problem.detail.clone().unwrap();
    assert!(detail.contains(remedy), "{detail}");
    // A slow disk comes back for a moment with each write that ends at last.
    until("the figures say that it is ready", || {
        let metrics = String::from_utf8(running.get("/metrics").unwrap()).unwrap();
        metrics.contains("zeuge_ready 0\n").then_some(())
    });
    refused(&try_ask(&world, &running).map(drop).unwrap_err());
    let put = world.put_secret(&running, "sim", "db/key", 2, &world.owner);
    if trouble == Trouble::ReadOnly {
        refused(&put.unwrap_err());
    }
    // The disk comes back, and nobody restarts anything.
    disk.trouble(Trouble::None);
    until("it stays not ready", || running.get("/readyz").ok());
    let after = until("it answers no more", || {
        let (attempt, answer) = try_ask(&world, &running).ok()?;
        let answer = read(&world, &attempt, &answer);
        assert_eq!(open(&world, &attempt, &answer.secrets[0]), SECRET);
        answer.receipt
    });
    assert!(continues(&running, &before) && continues(&running, &after));
    let now = running
        .witness
        .sequencer
        .checkpoint()
        .unwrap()
        .checkpoint()
        .size;
    assert!(now > size);
    drop(running);
    let running = world.start();
    assert!(continues(&running, &before) && continues(&running, &after));
    drop(running);
    drop(mounted);
    Some(())
}

const SKIPPED: &str = "skipped: no FUSE file system can be mounted here";

#[test]
fn on_a_full_disk_nothing_is_released_until_there_is_room() {
    if under(Trouble::Full, "full").is_none() {
        println!("{SKIPPED}");
    }
}

#[test]
fn on_a_read_only_disk_nothing_is_released_until_it_can_be_written() {
    if under(Trouble::ReadOnly, "read-only").is_none() {
        println!("{SKIPPED}");
    }
}

#[test]
fn on_a_disk_slower_than_an_admission_lives_nothing_is_released() {
    if under(Trouble::Slow(Duration::from_millis(5500)), "too slow").is_none() {
        println!("{SKIPPED}");
    }
}

/// A log of more than one full tile.
fn long_log(world: &World, running: &Running) {
    let leaves: Vec<_> = (0..300)
        .map(|number: u32| {
            let opening = salted("actor", &number.to_be_bytes());
            let leaf = Leaf::OperatorAction {
                action: "test".to_owned(),
                actor: opening.commit(),
            };
            NewLeaf::new(leaf, vec![opening]).unwrap()
        })
        .collect();
    running.witness.store.append(&leaves, world.now()).unwrap();
    running.witness.sequencer.sequence().unwrap();
}

#[test]
fn a_damaged_tile_is_found_and_made_anew_while_the_witness_runs() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    long_log(&world, &running);
    let held = receipt(&world, &running);
    for name in ["0/000", "1/000.p/1", "entries/000"] {
        let file = world.data().join("log/tile").join(name);
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[20] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        until(name, || (std::fs::read(&file).ok()? == good).then_some(()));
        assert!(continues(&running, &held));
    }
    assert!(running.get("/readyz").is_ok());
    // A receipt that the damage would have made wrong is not given.
    receipt(&world, &running);
}

#[test]
fn a_leaf_that_changed_in_the_database_halts_the_log_while_it_runs() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    long_log(&world, &running);
    let database = rusqlite::Connection::open(world.data().join("zeuge.sqlite")).unwrap();
    let sql =
        "UPDATE leaves SET entry = (SELECT entry FROM leaves WHERE number = 8) WHERE number = 7";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    let problem = until("it stays ready", || running.get("/readyz").err());
    assert_eq!(problem.check(), Some("log.rollback"));
    assert_eq!(
        id(try_ask(&world, &running).map(|(_, answer)| answer)),
        "log.rollback"
    );
}

const PAGE: usize = 4096;

/// Overwrites pages with bytes that fit nowhere.
fn damage(file: &Path, pages: &[usize]) {
    let mut bytes = std::fs::read(file).unwrap();
    for page in pages {
        for byte in &mut bytes[page * PAGE..(page + 1) * PAGE] {
            *byte ^= 0xa5;
        }
    }
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn whichever_page_of_the_database_is_damaged_nothing_wrong_is_answered() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let held = receipt(&world, &running);
    running.witness.store.fold().unwrap();
    drop(running);
    let whole = world.data().join("zeuge.sqlite");
    let pages = usize::try_from(std::fs::metadata(&whole).unwrap().len()).unwrap() / PAGE;
    assert!(pages > 20, "{pages}");
    let (mut not_served, mut refused, mut unharmed) = (0, 0, 0);
    for page in 0..pages {
        let copy = world.folder.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        copy_folder(&world.data(), &copy);
        damage(&copy.join("zeuge.sqlite"), &[page]);
        let running = match world.try_start_on(&copy) {
            Ok(running) => running,
            Err(refusal) => {
                let named = [
                    "store.unavailable",
                    "log.rollback",
                    "document.owners",
                    "there is no",
                ];
                let is_named = named.iter().any(|named| refusal.contains(named));
                assert!(is_named, "page {page}: {refusal}");
                not_served += 1;
                continue;
            }
        };
        // An index may be damaged that nobody needs: then the answer is right, and the log goes on.
        match try_ask(&world, &running) {
            Err(problem) => {
                assert!(problem.check().is_some(), "page {page}: {problem:?}");
                refused += 1;
            }
            Ok((attempt, answer)) => {
                let answer = read(&world, &attempt, &answer);
                for secret in &answer.secrets {
                    assert_eq!(open(&world, &attempt, secret), SECRET, "page {page}");
                }
                let own = answer.receipt.unwrap();
                assert!(
                    continues(&running, &held) && continues(&running, &own),
                    "page {page}"
                );
                unharmed += 1;
            }
        }
    }
    println!(
        "{pages} pages: {not_served} not served, {refused} refused, {unharmed} answered rightly"
    );
    assert!(not_served > 0 && not_served + refused > unharmed / 4);
}

#[test]
fn a_damaged_database_says_so_and_goes_on_from_a_backup_that_was_recovered() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let (data, backup) = (world.data(), world.folder.path().join("backup"));
    let to = backup.to_str().unwrap();
    zeuged(&["backup", "--data", data.to_str().unwrap(), "--to", to]).unwrap();
    receipt(&world, &running);
    running.witness.store.fold().unwrap();
    drop(running);
    damage(&data.join("zeuge.sqlite"), &[0]);
    let refusal = refused_start(&data, &[]);
    assert!(
        refusal.contains("store.unavailable: the database is damaged"),
        "{refusal}"
    );
    assert!(refusal.contains("restore the newest backup"), "{refusal}");
    let fresh = world.folder.path().join("fresh");
    let fresh_text = fresh.to_str().unwrap();
    zeuged(&["restore", "--from", to, "--data", fresh_text]).unwrap();
    // The damaged folder still knows what was shown last.
    let shown = data.join("log/checkpoint");
    let held = ["--held-checkpoint", shown.to_str().unwrap()];
    let said = zeuged(&[&["recover", "--data", fresh_text][..], &held].concat()).unwrap();
    assert!(said.contains("Not continued: a checkpoint of"), "{said}");
    world.catch_up();
    let running = world.start_on(&fresh);
    world.furnish_again(&running, "sim");
    receipt(&world, &running);
}

#[test]
fn damage_that_no_request_meets_is_found_after_the_start() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    long_log(&world, &running);
    let witness = Arc::clone(&running.witness);
    witness.store.fold().unwrap();
    drop((running, witness));
    // A page of openings: nobody reads them to judge or to release.
    let file = world.data().join("zeuge.sqlite");
    let database = rusqlite::Connection::open(&file).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'openings'";
    let page: usize = database
        .query_row(sql, [], |row| row.get::<_, i64>(0))
        .unwrap()
        .try_into()
        .unwrap();
    drop(database);
    damage(&file, &[page - 1]);
    let running = world.start();
    let problem = until("it stays ready", || running.get("/readyz").err());
    assert_eq!(problem.check(), Some("store.unavailable"));
    assert!(problem.detail.unwrap().contains("damaged"));
}
