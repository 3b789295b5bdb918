//! Kill -9 of the real `zeuged` at random points under load, and restart on the same folder.
//!
//! After each kill: every receipt that a machine holds is in the log that a fresh start publishes;
//! nothing was released without its leaf; no acknowledged write of the owner's is lost; a spent
//! challenge stays spent; the log continues every checkpoint that was ever shown. How often:
//! `ZEUGE_CRASHES`, 20 when absent (`make test-crash` takes 1,000).
//!
//! A killed process leaves what it wrote to the kernel. The same therefore on a disk whose power is
//! cut (see [`crate::power`]), and on one that lies about syncing, where it must *not* hold: so a
//! witness that answered before it had synced would be caught.
#![expect(clippy::print_stdout, reason = "figures and skips are for people")]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zeuge_log::hash::leaf_hash;
use zeuge_log::note::VerifierKey;
use zeuge_log::receipt::WireReceipt;
use zeuge_protocol::answer::SignedAnswer;
use zeuge_protocol::api::{AttestAnswer, AttestRequest};
use zeuge_server::keys;
use zeuge_server::secrets::Vault as _;
use zeuge_server::sequencer::Entries as _;
use zeuge_server::session::CHALLENGE_SECS;

use crate::common::{Attempt, Client, World, evidence, name, trust_file};
use crate::power::Disk;

/// Machines that attest at once.
const MACHINES: usize = 3;

/// What was acknowledged since the world began.
#[derive(Default)]
struct Held {
    /// Receipts, with the hash of each secret's leaf.
    answers: Vec<(String, Vec<[u8; 32]>)>,
    /// The last request that was answered, its nonce, and when.
    last: Option<(AttestRequest, [u8; 32], i64)>,
    /// The highest version of the secret.
    version: u64,
    /// How often a life in a row was too short for an answer: a busy machine is given more.
    unanswered: u32,
}

/// A running `zeuged`, killed when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts `zeuged` on the folder; nothing when it refuses.
fn serve(world: &World) -> Option<(Process, Client)> {
    let trust = world.folder.path().join("trust.json");
    std::fs::write(&trust, trust_file()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_zeuged"))
        .args(["serve", "--data", world.data().to_str().unwrap()])
        .args(["--listen", "127.0.0.1:0", "--offline"])
        .args(["--dangerous-trust-sim", trust.to_str().unwrap()])
        .env("RUST_LOG", "off")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let process = Process(child);
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on http://")?;
    Some((process, Client(address.parse().unwrap())))
}

fn real_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// One attempt of a machine; `None` when the witness died on the way or shed it.
fn attest(world: &World, client: Client, held: &Mutex<Held>) -> Option<()> {
    let wanted = b"{\"tenant\":\"sim\"}";
    let challenge = client.try_answer("POST", "/v1/challenges", None, wanted)?;
    let challenge = serde_json::from_slice(&challenge.ok()?).unwrap();
    let request = crate::common::release_of(&["db/key"]);
    let attempt = Attempt::new(challenge, request, zeuge_protocol::suite::Suite::X_WING);
    let bundle = evidence(attempt.binding.report_data(), real_now());
    let body = attempt.body(&bundle);
    let json = serde_json::to_vec(&body).unwrap();
    let answer = client.try_answer("POST", "/v1/releases", None, &json)?;
    let signed: SignedAnswer = serde_json::from_slice(&answer.ok()?).unwrap();
    let binding = attempt.binding.digest();
    let answer: AttestAnswer = signed
        .verify(&name("w1"), &binding, &world.answer_key)
        .unwrap();
    let leaves = answer.secrets.iter().map(|secret| secret.leaf).collect();
    let mut held = held.lock().unwrap();
    held.answers.push((answer.receipt.unwrap(), leaves));
    held.last = Some((body, attempt.challenge.nonce, real_now()));
    Some(())
}

/// The owner brings the next version; it counts once it is acknowledged.
fn put(world: &World, client: Client, held: &Mutex<Held>) -> Option<()> {
    let version = held.lock().unwrap().version + 1;
    let upload = world.upload("sim", "db/key", version, &world.owner);
    let json = serde_json::to_vec(&upload).unwrap();
    match client.try_answer("PUT", "/v1/secrets", Some(&world.admin), &json)? {
        Ok(_) => {}
        // An upload whose answer died with the witness may have been kept.
        Err(problem) if problem.check() == Some("document.version") => {}
        Err(_) => return None,
    }
    held.lock().unwrap().version = version;
    Some(())
}

/// Loads a witness for a random time, then does what ends it, and kills what is left.
fn load(
    world: &World,
    (process, client): (Process, Client),
    held: &Mutex<Held>,
    end: impl FnOnce(),
) {
    let mut random = [0; 2];
    keys::random(&mut random);
    let life = Duration::from_millis(50 + u64::from(u16::from_be_bytes(random)) % 800);
    let (answered, unanswered) = {
        let held = held.lock().unwrap();
        (held.answers.len(), held.unanswered)
    };
    let life = life * 2_u32.pow(unanswered.min(5));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..MACHINES {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    attest(world, client, held);
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                put(world, client, held);
            }
        });
        // A random instant is what is tested; nothing waits for it.
        std::thread::sleep(life);
        end();
        // SIGKILL, and the process is gone when this returns.
        drop(process);
        over.store(true, Ordering::Relaxed);
    });
    let mut held = held.lock().unwrap();
    held.unanswered = if held.answers.len() > answered {
        0
    } else {
        unanswered + 1
    };
}

fn demand(holds: bool, because: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(because.into()) }
}

/// Everything that must hold of the folder after the end.
fn check(world: &World, held: &Held) -> Result<(), String> {
    world.now.store(real_now(), Ordering::Relaxed);
    let begun = Instant::now();
    let running = world.try_start()?;
    let took = begun.elapsed();
    let store = &running.witness.store;
    let told = |refusal: zeuge_server::refusal::Refusal| refusal.to_string();
    let entries = store.entries(0, u32::MAX).map_err(told)?;
    let hashes: HashSet<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    let vkey = VerifierKey::parse(&world.vkey).unwrap();
    let signed = running.witness.sequencer.checkpoint().map_err(told)?;
    let size = signed.checkpoint().size;
    demand(size == entries.len() as u64, "not everything is published")?;
    let tiles = running.witness.sequencer.tiles();
    for (receipt, leaves) in &held.answers {
        let receipt = WireReceipt::parse(receipt.as_bytes()).unwrap();
        let receipt = receipt.verify(&vkey, &[], 0).unwrap();
        let index = receipt.index();
        let entry = entries.get(usize::try_from(index).unwrap());
        let is_there = entry.is_some_and(|entry| entry.as_slice() == receipt.entry());
        demand(
            is_there,
            format!("the receipt of leaf {index} is of no log"),
        )?;
        let seen = receipt.checkpoint().checkpoint();
        let continues = zeuge_log::tree::root(tiles, seen.size) == Ok(seen.root);
        let behind = format!("the checkpoint of {} entries is not continued", seen.size);
        demand(seen.size <= size && continues, behind)?;
        let all_logged = leaves.iter().all(|leaf| hashes.contains(leaf));
        demand(all_logged, "a secret was released without its leaf")?;
    }
    let newest = store.secret("sim", "db/key", 0).map_err(told)?;
    let newest = newest.map_or(0, |row| u64::try_from(row.version).unwrap());
    let lost = format!("version {} of a secret, now {newest}", held.version);
    demand(newest >= held.version, lost)?;
    if let Some((request, nonce, at)) = &held.last {
        let again = running.attest(request).map(drop);
        demand(again.is_err(), "an answered challenge counts again")?;
        // Other rules may refuse it first; so also by the record, as long as that is kept.
        let database = rusqlite::Connection::open(world.data().join("zeuge.sqlite"));
        let sql = "SELECT COUNT(*) FROM spent WHERE nonce = ?1";
        let spent: Result<i64, _> = database
            .and_then(|database| database.query_row(sql, [nonce.as_slice()], |row| row.get(0)));
        let is_kept = real_now() - at < i64::from(CHALLENGE_SECS);
        demand(
            !is_kept || spent == Ok(1),
            "a spent challenge is not on record",
        )?;
    }
    println!(
        "restart {} ms, {size} leaves, {} answers, secret version {newest}",
        took.as_millis(),
        held.answers.len()
    );
    Ok(())
}

fn rounds(standard: u32) -> u32 {
    let wanted = std::env::var("ZEUGE_CRASHES").ok();
    wanted.map_or(standard, |count| count.parse().unwrap())
}

/// A furnished world whose secret has version 1.
fn furnished(world: World) -> (World, Mutex<Held>) {
    let running = world.start();
    world.furnish(&running, "sim");
    drop(running);
    let held = Held {
        version: 1,
        ..Held::default()
    };
    (world, Mutex::new(held))
}

#[test]
fn whoever_kills_a_witness_under_load_loses_nothing_that_was_acknowledged() {
    let (world, held) = furnished(World::new());
    for _ in 0..rounds(20) {
        let started = serve(&world).unwrap();
        load(&world, started, &held, || {});
        check(&world, &held.lock().unwrap()).unwrap();
    }
    let held = held.into_inner().unwrap();
    assert!(!held.answers.is_empty(), "nothing was ever answered");
}

/// Cuts the power under load so often, or until something is lost; says what was.
fn cut_power(lies: bool, rounds: u32) -> Option<Result<usize, String>> {
    let disk = Disk::new(lies);
    let mut mounted = None;
    let world = World::within(|data| {
        std::fs::create_dir(data).unwrap();
        mounted = disk.mount(data).ok();
        mounted.is_some()
    });
    let (world, held) = furnished(world?);
    disk.settle();
    for _ in 0..rounds {
        let Some(started) = serve(&world) else {
            return Some(Err("zeuged does not start".to_owned()));
        };
        load(&world, started, &held, || disk.off());
        // The kernel forgets what it knew of the disk.
        drop(mounted.take());
        disk.on();
        mounted = Some(disk.mount(&world.data()).unwrap());
        if let Err(lost) = check(&world, &held.lock().unwrap()) {
            return Some(Err(lost));
        }
    }
    drop(mounted);
    Some(Ok(held.into_inner().unwrap().answers.len()))
}

const SKIPPED: &str = "skipped: no FUSE file system can be mounted here";

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    match cut_power(false, rounds(10)) {
        None => println!("{SKIPPED}"),
        Some(done) => assert!(done.unwrap() > 0, "nothing was ever answered"),
    }
}

#[test]
fn a_disk_that_lies_about_syncing_is_found_out() {
    // Also the proof that the test above can fail.
    match cut_power(true, 40) {
        None => println!("{SKIPPED}"),
        Some(done) => {
            let lost = done.unwrap_err();
            println!("found: {lost}");
        }
    }
}
