//! Whether an attestation costs the same over a log of 1,000 and of 1,000,000 leaves.
//!
//! The leaves below are no attestations: they are written by thousands through the same store and
//! sequencer, whose tiles, checkpoints and proofs are those of any other leaf. What is measured over
//! each size are real attestations.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use zeuge_log::leaf::Leaf;
use zeuge_protocol::suite::Suite;
use zeuge_server::archive::Evidence;
use zeuge_server::keys;
use zeuge_server::sequencer::{NewLeaf, salted};
use zeuge_server::session::{Decision, Ledger as _, VerdictRow};
use zeuge_server::told::Told;

use crate::load::{Kind, Load, run};
use crate::serve::Witness;

/// Leaves in one transaction of the filling.
const BATCH: usize = 20_000;

/// Fills the log step by step and measures the same load over each.
pub(crate) fn flat() {
    let witness = Witness::new();
    let mut first = None;
    println!(
        "leaves are filled in by thousands; 3,000 real releases at 16 connections over each size"
    );
    for size in [1_000_u64, 10_000, 100_000, 1_000_000] {
        fill(&witness, size);
        let server = witness.serve();
        let done = run(
            &server,
            Kind::Release(Suite::X25519),
            Load::counted(16, 3_000),
        );
        let first = *first.get_or_insert(done.cpu_ms);
        println!(
            "{size:>9} leaves: {:.3} CPU ms a release ({:.2} x that at 1,000), p50 {:.2} ms, resident {} MiB",
            done.cpu_ms,
            done.cpu_ms / first,
            done.p50_ms,
            server.resident_kib() / 1024
        );
    }
}

/// Appends leaves by the thousand, one transaction each time.
fn fill(witness: &Witness, size: u64) {
    let running = witness.world.start();
    let (store, log) = (&running.witness.store, &running.witness.sequencer);
    // The real clock: the server that was measured before has written its time.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let mut held = log.checkpoint().unwrap().checkpoint().size;
    while held < size {
        let count = usize::try_from(size - held).unwrap().min(BATCH);
        let leaves: Vec<_> = (0..count).map(|_| action()).collect();
        let mut nonce = [0; 32];
        keys::random(&mut nonce);
        let decision = Decision {
            now,
            nonce,
            expires: now + 100,
            tenant: "sim".to_owned(),
            epoch: store.epoch("sim").unwrap(),
            leaves,
            endorsements: Vec::new(),
            verdict: VerdictRow {
                machine: "filler".to_owned(),
                word: "affirming".to_owned(),
                released: "[]".to_owned(),
                json: "{}".to_owned(),
                told: Arc::new(Told::of(String::new())),
                record: "{}".to_owned(),
            },
            evidence: Evidence {
                bytes: Vec::new(),
                shared: None,
            },
            room: None,
            stand: None,
        };
        store.commit(&decision).unwrap();
        log.sequence().unwrap();
        held = log.checkpoint().unwrap().checkpoint().size;
    }
    store.fold().unwrap();
}

fn action() -> NewLeaf {
    let opening = salted("actor", b"filler");
    let leaf = Leaf::OperatorAction {
        action: "fill".to_owned(),
        actor: opening.commit(),
    };
    NewLeaf::new(leaf, vec![opening]).unwrap()
}
