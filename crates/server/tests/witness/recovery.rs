//! Logs that were set back, forked, lost or moved: halted, recovered under a new origin that names
//! the last good checkpoint, and nothing released in between.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use zeuge_log::leaf::Leaf;
use zeuge_log::note::VerifierKey;
use zeuge_log::receipt::WireReceipt;
use zeuge_protocol::api::AttestAnswer;
use zeuge_server::keys;
use zeuge_server::recovery::Recovered;
use zeuge_server::sequencer::Entries as _;

use crate::common::{
    Attempt, Running, SECRET, World, copy_folder, evidence, refused_start, zeuged,
};
use crate::whole_loop::{attest, id, open, refused};

/// A machine asks for the secret; the answer, and what opens it.
fn ask(world: &World, running: &Running) -> (Attempt, AttestAnswer) {
    let attempt = Attempt::honest(running, "sim", &["db/key"]);
    let answer = attest(world, running, &attempt);
    (attempt, answer)
}

/// A machine asks, is given the secret, and keeps the receipt.
fn receipt(world: &World, running: &Running) -> String {
    let (attempt, answer) = ask(world, running);
    assert_eq!(open(world, &attempt, &answer.secrets[0]), SECRET);
    answer.receipt.unwrap()
}

fn recover(data: &Path, held: &[&Path]) -> Result<Recovered, String> {
    let mut arguments = vec![
        "recover",
        "--data",
        data.to_str().unwrap(),
        "--format",
        "json",
    ];
    for held in held {
        arguments.extend(["--held-checkpoint", held.to_str().unwrap()]);
    }
    zeuged(&arguments).map(|said| serde_json::from_str(&said).unwrap())
}

fn write(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn show(running: &Running, held: &str) -> Result<Vec<u8>, Box<zeuge_protocol::api::Problem>> {
    running.send("POST", "/v1/checkpoints", None, held.as_bytes())
}

fn leaves(running: &Running) -> Vec<Leaf> {
    let entries = running.witness.store.entries(0, u32::MAX).unwrap();
    entries
        .iter()
        .map(|entry| Leaf::decode(entry).unwrap())
        .collect()
}

fn action(leaf: &Leaf) -> &str {
    match leaf {
        Leaf::OperatorAction { action, .. } => action,
        _ => "",
    }
}

#[test]
fn a_restored_backup_signs_and_releases_nothing_until_it_is_recovered_under_another_origin() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let before = receipt(&world, &running);
    let (data, backup) = (world.data(), world.folder.path().join("backup"));
    let (from, to) = (data.to_str().unwrap(), backup.to_str().unwrap());
    zeuged(&["backup", "--data", from, "--to", to]).unwrap();
    // What the backup does not know: a release, and a challenge that may be spent.
    let lost = receipt(&world, &running);
    let stale = Attempt::honest(&running, "sim", &["db/key"]);
    drop(running);
    let copy = world.folder.path().join("copy");
    zeuged(&["restore", "--from", to, "--data", copy.to_str().unwrap()]).unwrap();
    let refusal = refused_start(&copy, &[]);
    assert!(
        refusal.contains("log.rollback: the folder was restored"),
        "{refusal}"
    );
    assert!(refusal.contains("zeuged recover"), "{refusal}");

    let held = write(&world, "held", &lost);
    let done = recover(&copy, &[&held]).unwrap();
    assert_eq!((done.from.as_str(), done.origin.as_str()), ("w1", "w1/2"));
    assert_eq!(done.from_vkey, world.vkey);
    let vkey = VerifierKey::parse(&world.vkey).unwrap();
    let parsed = |text: &str| WireReceipt::parse(text.as_bytes()).unwrap();
    let seen = parsed(&lost).verify(&vkey, &[], 0).unwrap();
    let checkpoint = seen.checkpoint().checkpoint();
    assert_eq!(done.lost, [(checkpoint.size, hex::encode(checkpoint.root))]);
    assert!(done.size < checkpoint.size);
    // Once is enough, and a log that is whole is not opened anew.
    let again = recover(&copy, &[]).unwrap_err();
    assert!(again.contains("nothing to recover from"), "{again}");

    world.catch_up();
    let running = world.start_on(&copy);
    // The new log begins with what the old one had, and says what it continues.
    let tiles = running.witness.sequencer.tiles();
    let root = zeuge_log::tree::root(tiles, done.size).unwrap();
    assert_eq!(hex::encode(root), done.root);
    let all = leaves(&running);
    let first = parsed(&before).verify(&vkey, &[], 0).unwrap();
    let place = usize::try_from(first.index()).unwrap();
    assert_eq!(all[place].encode().unwrap(), first.entry());
    let at = usize::try_from(done.size).unwrap();
    let named = Leaf::RecoveredOrigin {
        origin: "w1".to_owned(),
        size: done.size,
        root,
    };
    assert_eq!(all[at], named);
    let said: Vec<_> = all[at + 1..].iter().map(action).collect();
    assert_eq!(said, ["recover", "not-continued"]);
    // A challenge of before does not count, whoever spent it in what was lost.
    let bundle = evidence(stale.binding.report_data(), world.now());
    assert_eq!(id(running.attest(&stale.body(&bundle))), "challenge.mac");
    // Nothing is released before the owners have signed anew what may have come back.
    let (_, answer) = ask(&world, &running);
    assert_eq!(refused(&answer), [("db/key", "release.recovered")]);
    world.furnish_again(&running, "sim");
    let (attempt, answer) = ask(&world, &running);
    assert_eq!(open(&world, &attempt, &answer.secrets[0]), SECRET);
    // Receipts are of the new origin, and old ones are of another log: no alarm.
    let new = VerifierKey::parse(&done.vkey).unwrap();
    parsed(&answer.receipt.unwrap())
        .verify(&new, &[], 0)
        .unwrap();
    assert_eq!(id(show(&running, &lost)), "log.origin");
    assert_eq!(running.get("/readyz").unwrap(), b"ready\n");
    let about: serde_json::Value =
        serde_json::from_slice(&running.get("/v1/witness").unwrap()).unwrap();
    assert_eq!(about["recovered"]["from"], "w1");
    assert_eq!(about["log_vkey"], done.vkey.as_str());
}

#[test]
fn a_copied_folder_that_ran_beside_is_found_out_by_any_receipt_of_the_other() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let common = receipt(&world, &running);
    drop(running);
    let copy = world.folder.path().join("copy");
    copy_folder(&world.data(), &copy);
    let other = receipt(&world, &world.start_on(&copy));
    let running = world.start();
    // Two more leaves than the copy: only the roots differ.
    let own = receipt(&world, &running);
    receipt(&world, &running);
    for known in [&common, &own] {
        let answer: serde_json::Value =
            serde_json::from_slice(&show(&running, known).unwrap()).unwrap();
        assert_eq!(answer["continued"], true);
    }
    assert_eq!(id(show(&running, "nothing")), "log.note");
    assert!(running.get("/readyz").is_ok());
    let admitted = Attempt::honest(&running, "sim", &["db/key"]);
    assert_eq!(id(show(&running, &other)), "log.fork");
    // From now on nothing is signed or released, and everybody can see it.
    for path in ["/readyz", "/log/checkpoint"] {
        assert_eq!(id(running.get(path)), "log.fork", "{path}");
    }
    let metrics = String::from_utf8(running.get("/metrics").unwrap()).unwrap();
    assert!(metrics.contains("zeuge_log_alarms_total{check=\"log.fork\"} 1\n"));
    assert!(metrics.contains("zeuge_ready 0\n"));
    let bundle = evidence(admitted.binding.report_data(), world.now());
    assert_eq!(id(running.attest(&admitted.body(&bundle))), "log.fork");
    drop(running);
    // Also after a restart, until somebody recovers it; the proof is a leaf of the new log.
    let refusal = refused_start(&world.data(), &[]);
    assert!(refusal.contains("log.fork"), "{refusal}");
    let held = write(&world, "held", &other);
    let done = recover(&world.data(), &[&held]).unwrap();
    assert_eq!(done.lost.len(), 1);
    world.catch_up();
    let running = world.start();
    let all = leaves(&running);
    let said: Vec<_> = all
        .iter()
        .map(action)
        .filter(|said| !said.is_empty())
        .collect();
    let end = &said[said.len() - 3..];
    assert_eq!(end, ["log-fork-shown", "recover", "not-continued"]);
    world.furnish_again(&running, "sim");
    receipt(&world, &running);
}

#[test]
fn a_folder_that_was_set_back_whole_halts_when_a_receipt_of_later_is_shown() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    receipt(&world, &running);
    drop(running);
    let old = world.folder.path().join("old");
    copy_folder(&world.data(), &old);
    let running = world.start();
    let later = receipt(&world, &running);
    drop(running);
    let running = world.start_on(&old);
    assert!(running.get("/readyz").is_ok());
    assert_eq!(id(show(&running, &later)), "log.rollback");
    assert_eq!(id(running.get("/readyz")), "log.rollback");
    drop(running);
    // And with a receipt at hand the start alone finds it.
    let held = write(&world, "held", &later);
    let fresh = world.folder.path().join("fresh");
    copy_folder(&old, &fresh);
    let refusal = refused_start(&fresh, &["--held-checkpoint", held.to_str().unwrap()]);
    assert!(refusal.contains("log.rollback"), "{refusal}");
    assert_eq!(recover(&fresh, &[&held]).unwrap().origin, "w1/2");
}

#[test]
fn a_checkpoint_older_than_the_one_that_was_shown_is_not_gone_on_from() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    receipt(&world, &running);
    let old = running.witness.store.published().unwrap().unwrap();
    receipt(&world, &running);
    drop(running);
    // All entries are there; only the record of what was signed is the older one.
    let database = rusqlite::Connection::open(world.data().join("zeuge.sqlite")).unwrap();
    let sql = "UPDATE checkpoint SET size = ?1, root = ?2, note = ?3";
    let size = i64::try_from(old.size).unwrap();
    let changed = database.execute(sql, rusqlite::params![size, old.root.as_slice(), old.note]);
    assert_eq!(changed.unwrap(), 1);
    drop(database);
    let refusal = refused_start(&world.data(), &[]);
    assert!(refusal.contains("log.rollback"), "{refusal}");
    // The entries still give what was shown: the new log names exactly that, and loses nothing.
    let done = recover(&world.data(), &[]).unwrap();
    assert!(done.size > old.size && done.lost.is_empty(), "{done:?}");
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let at = entry.unwrap().path();
        if at.is_dir() {
            found.extend(files(&at));
        } else {
            found.push(at);
        }
    }
    found
}

#[test]
fn truncated_tiles_are_made_anew_while_the_database_gives_what_was_signed() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let before = receipt(&world, &running);
    let truncate = || {
        for file in files(&world.data().join("log/tile")) {
            let length = std::fs::metadata(&file).unwrap().len();
            let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
            file.set_len(length / 2).unwrap();
        }
    };
    // While it runs: the next batch finds it, and what was asked meanwhile is not answered wrongly.
    // The folder may be a moment late: nothing is written into it while it is damaged.
    running.witness.sequencer.sequence().unwrap();
    truncate();
    let after = receipt(&world, &running);
    drop(running);
    truncate();
    let running = world.start();
    for held in [&before, &after] {
        show(&running, held).unwrap();
    }
    receipt(&world, &running);
    drop(running);
    // Without the entries there is nothing to make them from.
    truncate();
    let database = rusqlite::Connection::open(world.data().join("zeuge.sqlite")).unwrap();
    let sql = "DELETE FROM leaves WHERE number = (SELECT MAX(number) FROM leaves)";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    drop(database);
    let refusal = refused_start(&world.data(), &[]);
    assert!(refusal.contains("log.rollback"), "{refusal}");
    let held = write(&world, "held", &before);
    let done = recover(&world.data(), &[&held]).unwrap();
    let vkey = VerifierKey::parse(&world.vkey).unwrap();
    let seen = WireReceipt::parse(before.as_bytes()).unwrap();
    let seen = seen.verify(&vkey, &[], 0).unwrap();
    assert_eq!(done.size, seen.checkpoint().checkpoint().size);
    assert_eq!(done.lost.len(), 1, "{done:?}");
    world.catch_up();
    let running = world.start();
    world.furnish_again(&running, "sim");
    receipt(&world, &running);
}

#[test]
fn a_log_that_is_whole_is_not_recovered_nor_one_that_runs() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let held = write(&world, "held", &receipt(&world, &running));
    let refusal = recover(&world.data(), &[]).unwrap_err();
    assert!(refusal.contains("another zeuged runs on"), "{refusal}");
    drop(running);
    let refusal = recover(&world.data(), &[&held]).unwrap_err();
    assert!(
        refusal.contains("there is nothing to recover from"),
        "{refusal}"
    );
    let stranger = write(&world, "stranger", "w1\n1\nAAAA\n");
    let refusal = recover(&world.data(), &[&stranger]).unwrap_err();
    assert!(refusal.contains("log.note"), "{refusal}");
    receipt(&world, &world.start());
}

#[test]
fn a_last_backup_moves_a_witness_with_its_log_and_stops_the_old_folder() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let before = receipt(&world, &running);
    let (data, backup) = (world.data(), world.folder.path().join("backup"));
    let last = [
        "backup",
        "--data",
        data.to_str().unwrap(),
        "--to",
        backup.to_str().unwrap(),
        "--last",
    ];
    let refusal = zeuged(&last).unwrap_err();
    assert!(refusal.contains("another zeuged runs on"), "{refusal}");
    drop(running);
    zeuged(&last).unwrap();
    let refusal = refused_start(&data, &[]);
    assert!(refusal.contains("was moved into the backup"), "{refusal}");
    let moved = world.folder.path().join("moved");
    let to = moved.to_str().unwrap();
    zeuged(&["restore", "--from", backup.to_str().unwrap(), "--data", to]).unwrap();
    let running = world.start_on(&moved);
    show(&running, &before).unwrap();
    let after = receipt(&world, &running);
    let vkey = VerifierKey::parse(&world.vkey).unwrap();
    let after = WireReceipt::parse(after.as_bytes()).unwrap();
    after.verify(&vkey, &[], 0).unwrap();
}

#[test]
fn a_recovery_that_is_killed_leaves_a_witness_that_is_halted_or_recovered() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    receipt(&world, &running);
    drop(running);
    let old = world.folder.path().join("old");
    copy_folder(&world.data(), &old);
    let running = world.start();
    let later = receipt(&world, &running);
    drop(running);
    let held = write(&world, "held", &later);
    let (mut halted, mut finished) = (0, 0);
    for round in 0..12 {
        let copy = world.folder.path().join(format!("copy-{round}"));
        copy_folder(&old, &copy);
        let mut child = Command::new(env!("CARGO_BIN_EXE_zeuged"))
            .args(["recover", "--data", copy.to_str().unwrap()])
            .args(["--held-checkpoint", held.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut random = [0; 1];
        keys::random(&mut random);
        // A random instant is what is tested; nothing waits for it.
        std::thread::sleep(Duration::from_millis(u64::from(random[0]) / 4));
        let _ = child.kill();
        child.wait().unwrap();
        // Never the old log, behind what was shown: the receipt is at hand at the start.
        match recover(&copy, &[&held]) {
            Ok(done) => {
                halted += 1;
                assert_eq!((done.from.as_str(), done.origin.as_str()), ("w1", "w1/2"));
            }
            Err(refusal) => {
                finished += 1;
                // Already of the new origin, which never signed what is held.
                assert!(refusal.contains("log.origin"), "{refusal}");
            }
        }
        world.catch_up();
        let running = world.start_on(&copy);
        assert_eq!(
            running.witness.sequencer.vkey().split('+').next(),
            Some("w1/2")
        );
        world.furnish_again(&running, "sim");
        receipt(&world, &running);
    }
    assert_eq!(halted + finished, 12);
}
