//! What the witness costs, beside the floor: a bare HTTP server that verifies one P-384 signature
//! per request. Everything from one run, on one machine; what counts are the ratios.
//!
//! The real `zeuged` serves, with its durable log and store; clients keep their connections, make
//! fresh evidence for each challenge, and run on the same processors. Costs are the server's own
//! CPU time (user and system) as the kernel counts it. The floor is one request; an appraisal or a
//! release is two, the challenge's and the evidence's, and the ratio is of both to the floor's one.
//!
//! `make bench-witness`, and with `BENCH=` one of `rates`, `release` (the floor and X25519 alone: two
//! minutes with the building), `memory` and `leaves` only that part.
#![expect(clippy::print_stdout, reason = "figures are for people")]

#[expect(
    dead_code,
    reason = "the world of the tests; a benchmark needs a part of it"
)]
#[path = "../../tests/witness/common.rs"]
mod common;
mod floor;
mod leaves;
mod load;
mod serve;

use std::time::Duration;

use zeuge_protocol::suite::Suite;

use load::{Kind, Load, run};
use serve::{Server, Witness};

/// How long each load lasts.
const EACH: Duration = Duration::from_secs(5);
/// Connections at once.
const CONNECTIONS: [usize; 3] = [1, 16, 64];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is = |word: &str| arguments.iter().any(|argument| argument == word);
    if is("floor") {
        floor::serve();
        return;
    }
    println!(
        "{} processors",
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let parts = ["rates", "release", "memory", "leaves"];
    let all = !parts.iter().any(|part| is(part));
    if all || is("rates") {
        rates(&KINDS);
    }
    if is("release") {
        rates(&[KINDS[0], KINDS[2]]);
    }
    if all || is("memory") {
        memory();
    }
    if all || is("leaves") {
        leaves::flat();
    }
}

/// What is measured, the floor first.
const KINDS: [(&str, Kind); 5] = [
    ("floor: one P-384 signature", Kind::Floor),
    ("appraisal", Kind::Appraisal),
    ("release, X25519", Kind::Release(Suite::X25519)),
    ("release, X-Wing", Kind::Release(Suite::X_WING)),
    ("release, X25519, all told", Kind::Whole(Suite::X25519)),
];

/// CPU and latency at several numbers of connections, then at half load.
fn rates(kinds: &[(&str, Kind)]) {
    let floor = Server::floor();
    let witness = Witness::new();
    let server = witness.serve();
    println!(
        "the floor answers one request, with one signature verified; each appraisal and each release \
         is two (challenge, then evidence)"
    );
    println!(
        "{:<28} {:>4} {:>9} {:>11} {:>9} {:>9} {:>9}",
        "", "at", "per s", "CPU ms each", "x floor", "p50 ms", "p99 ms"
    );
    let (mut base, mut full) = ([0.0; CONNECTIONS.len()], 0.0);
    for &(name, kind) in kinds {
        for (place, connections) in CONNECTIONS.into_iter().enumerate() {
            let server = if matches!(kind, Kind::Floor) {
                &floor
            } else {
                &server
            };
            let done = run(server, kind, Load::closed(connections, EACH));
            if matches!(kind, Kind::Floor) {
                base[place] = done.cpu_ms;
            }
            if matches!(kind, Kind::Release(Suite::X25519)) {
                full = f64::max(full, done.per_second);
            }
            println!(
                "{name:<28} {connections:>4} {:>9.0} {:>11.3} {:>9.2} {:>9.2} {:>9.2}",
                done.per_second,
                done.cpu_ms,
                done.cpu_ms / base[place],
                done.p50_ms,
                done.p99_ms
            );
        }
    }
    let done = run(
        &server,
        Kind::Release(Suite::X25519),
        Load::paced(64, EACH * 2, full / 2.0),
    );
    println!(
        "release, X25519, half load   {:>4} {:>9.0} {:>11.3} {:>9} {:>9.2} {:>9.2}",
        64, done.per_second, done.cpu_ms, "", done.p50_ms, done.p99_ms
    );
}

/// Memory after 100,000 attestations.
fn memory() {
    let wanted = std::env::var("ZEUGE_ATTESTATIONS").ok();
    let wanted: usize = wanted.map_or(100_000, |count| count.parse().unwrap());
    let witness = Witness::new();
    let server = witness.serve();
    println!(
        "resident at the start: {} MiB",
        server.resident_kib() / 1024
    );
    let mut done = 0;
    while done < wanted {
        let count = (wanted - done).min(wanted.div_ceil(4));
        let ran = run(
            &server,
            Kind::Release(Suite::X25519),
            Load::counted(16, count),
        );
        done += ran.count;
        println!(
            "resident after {done} attestations: {} MiB (peak {} MiB), {:.3} CPU ms each",
            server.resident_kib() / 1024,
            server.peak_kib() / 1024,
            ran.cpu_ms
        );
    }
}
