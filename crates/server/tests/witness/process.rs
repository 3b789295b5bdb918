//! The program as a process: what it prints, how it ends, what it refuses to start on.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::common::{World, zeuged};

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(world: &World, more: &[&str]) -> (Process, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_zeuged"))
        .args(["serve", "--data", world.data().to_str().unwrap()])
        .args(["--listen", "127.0.0.1:0"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = child.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    (Process(child), line.trim().to_owned())
}

#[test]
fn a_terminated_witness_finishes_and_writes_what_it_refused() {
    let world = World::new();
    let (mut process, line) = serve(&world, &[]);
    let address = line
        .strip_prefix("listening on http://")
        .unwrap()
        .to_owned();
    let probe = crate::common::Client(address.parse().unwrap());
    assert_eq!(probe.get("/healthz").unwrap(), b"ok\n");
    let refusal = probe.send("POST", "/v1/challenges", None, b"{\"tenant\":\"nobody\"}");
    assert_eq!(refusal.unwrap_err().check(), Some("tenant.unknown"));
    let ended = Command::new("kill")
        .args(["-TERM", &process.0.id().to_string()])
        .status();
    assert!(ended.unwrap().success());
    let ended = process.0.wait().unwrap();
    let mut log = String::new();
    process
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(ended.success(), "{ended}: {log}");
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
    assert!(!log.contains(&world.admin));
    // The refusal is the one leaf of the log.
    let checkpoint = std::fs::read_to_string(world.data().join("log/checkpoint")).unwrap();
    assert_eq!(checkpoint.lines().nth(1), Some("1"));
}

#[test]
fn tls_is_spoken_with_the_certificate_that_init_made() {
    let world = World::new();
    let (_process, line) = serve(&world, &["--tls"]);
    let address = line.strip_prefix("listening on https://").unwrap();
    let certificate = std::fs::read(world.data().join("tls/cert.pem")).unwrap();
    let body = crate::common::get_over_tls(address.parse().unwrap(), &certificate, "/healthz");
    assert!(
        body.ends_with(b"ok\n"),
        "{}",
        String::from_utf8_lossy(&body)
    );
}

#[test]
fn a_database_that_is_not_the_one_that_was_signed_is_not_served() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    running.witness.sequencer.sequence().unwrap();
    drop(running);
    let file = world.data().join("zeuge.sqlite");
    let database = rusqlite::Connection::open(&file).unwrap();
    let changed = database
        .execute("DELETE FROM leaves WHERE number = 2", [])
        .unwrap();
    assert_eq!(changed, 1);
    drop(database);
    // The tiles on the disk still fit; without them the loss shows.
    std::fs::remove_dir_all(world.data().join("log")).unwrap();
    let data = world.data();
    let arguments = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ];
    let refusal = zeuged(&arguments).unwrap_err();
    assert!(refusal.contains("log.rollback"), "{refusal}");
}

#[test]
fn a_database_that_was_set_back_behind_what_was_shown_is_not_served() {
    let world = World::new();
    let old = std::fs::read(world.data().join("zeuge.sqlite")).unwrap();
    let running = world.start();
    world.furnish(&running, "sim");
    running.witness.sequencer.sequence().unwrap();
    drop(running);
    for file in ["zeuge.sqlite-wal", "zeuge.sqlite-shm"] {
        let _ = std::fs::remove_file(world.data().join(file));
    }
    std::fs::write(world.data().join("zeuge.sqlite"), old).unwrap();
    let data = world.data();
    let arguments = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ];
    let refusal = zeuged(&arguments).unwrap_err();
    assert!(refusal.contains("log.rollback"), "{refusal}");
}

#[test]
fn a_key_service_over_plain_http_on_another_machine_is_refused_at_the_start() {
    let world = World::new();
    let data = world.data();
    let serve = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ];
    let refused = zeuged(&[&serve[..], &["--kds", "http://kds.example"]].concat()).unwrap_err();
    assert!(refused.contains("collateral.address"), "{refused}");
    let both = ["--offline", "--kds", "https://kds.example"];
    assert!(zeuged(&[&serve[..], &both[..]].concat()).is_err());
}

/// What zeuged says that must not start with this checkpoint.
fn refused_with(world: &World, held: &std::path::Path) -> String {
    let data = world.data();
    let data = data.to_str().unwrap();
    let serve = ["serve", "--data", data, "--listen", "127.0.0.1:0"];
    zeuged(&[&serve[..], &["--held-checkpoint", held.to_str().unwrap()]].concat()).unwrap_err()
}

#[test]
fn a_log_that_does_not_continue_what_is_held_outside_is_not_served() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    running.witness.sequencer.sequence().unwrap();
    drop(running);
    // The whole folder is copied, and the copy goes on: an agent holds a receipt of it.
    let old = world.folder.path().join("old");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(world.data())
        .arg(&old)
        .status();
    assert!(copied.unwrap().success());
    let held = world.folder.path().join("held");
    let go_on = |secret: &str| {
        let running = world.start();
        world
            .put_secret(&running, "sim", secret, 1, &world.owner)
            .unwrap();
        running.witness.sequencer.sequence().unwrap();
        running.get("/log/checkpoint").unwrap()
    };
    let checkpoint = go_on("first/history");
    std::fs::write(&held, &checkpoint).unwrap();
    let (process, line) = serve(&world, &["--held-checkpoint", held.to_str().unwrap()]);
    assert!(line.starts_with("listening on "), "{line}");
    drop(process);
    // Set back whole, checkpoint file and all: only what is held outside shows it.
    std::fs::remove_dir_all(world.data()).unwrap();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(&old)
        .arg(world.data())
        .status();
    assert!(copied.unwrap().success());
    let refusal = refused_with(&world, &held);
    assert!(refusal.contains("log.rollback"), "{refusal}");
    // And another history of the same length is a fork.
    assert_ne!(go_on("second/history"), checkpoint);
    let refusal = refused_with(&world, &held);
    assert!(refusal.contains("log.fork"), "{refusal}");
    // A checkpoint of nobody's is no reason to serve.
    std::fs::write(&held, "w1\n1\nAAAA\n").unwrap();
    let refusal = refused_with(&world, &held);
    assert!(refusal.contains("log.note"), "{refusal}");
}

#[test]
fn two_witnesses_never_share_a_folder() {
    let world = World::new();
    let (_process, line) = serve(&world, &[]);
    assert!(line.starts_with("listening on "), "{line}");
    let data = world.data();
    let data = data.to_str().unwrap();
    let second = zeuged(&["serve", "--data", data, "--listen", "127.0.0.1:0"]);
    let refusal = second.unwrap_err();
    assert!(refusal.contains("another zeuged runs on"), "{refusal}");
}
