//! The live feed: what it tells, to whom, how it resumes and how it ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::{Value, json};
use zeuge_server::feed::{self, FOLLOWERS_OF_ONE_MAX, Pace, QUEUE_MAX, Subject};

use crate::common::{Attempt, Running, World, evidence};
use crate::whole_loop::id;

fn attest(world: &World, running: &Running) {
    let attempt = Attempt::honest(running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    running.attest(&attempt.body(&bundle)).unwrap();
}

/// A connection that follows.
struct Follower(BufReader<TcpStream>);

impl Follower {
    fn start(running: &Running, at: &str, token: &str, more: &str) -> Self {
        let mut stream = TcpStream::connect(running.0).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let head = format!(
            "GET {at} HTTP/1.1\r\nhost: w1\r\naccept: text/event-stream\r\n\
             authorization: Bearer {token}\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
        let mut head = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            head.push_str(&line);
        }
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        Self(reader)
    }

    /// Name, id and data of the next event.
    fn next(&mut self) -> (String, Option<u64>, Value) {
        let (mut name, mut number, mut line) = (String::new(), None, String::new());
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "it ended");
            if let Some(text) = line.strip_prefix("event: ") {
                name = text.trim().to_owned();
            } else if let Some(text) = line.strip_prefix("id: ") {
                number = text.trim().parse().ok();
            } else if let Some(text) = line.strip_prefix("data: ") {
                return (name, number, serde_json::from_str(text).unwrap());
            }
        }
    }
}

fn token(world: &World, running: &Running, tenant: &str) -> String {
    let body = json!({"name": "screen", "role": "reader"}).to_string();
    let at = format!("/v1/tenants/{tenant}/tokens");
    let made = running.admin("POST", &at, &world.admin, body.as_bytes());
    let made: Value = serde_json::from_slice(&made.unwrap()).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_verdict_is_told_live_to_its_tenant_and_nothing_is_missed_in_between() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    let (own, other) = (
        token(&world, &running, "sim"),
        token(&world, &running, "acme"),
    );
    let mut screen = Follower::start(&running, "/v1/verdicts", &own, "");
    let mut machines = Follower::start(&running, "/v1/machines?tenant=sim", &world.admin, "");
    let mut strange = Follower::start(&running, "/v1/verdicts", &other, "");
    attest(&world, &running);
    let (name, leaf, told) = screen.next();
    assert_eq!(
        (name.as_str(), &told["word"]),
        ("verdict", &json!("warning"))
    );
    assert_eq!(told["verdict"]["schema"], json!("zeuge.verdict.v1"));
    let leaf = leaf.unwrap();
    assert_eq!(told["leaf"], json!(leaf));
    // What is told stands in the published log.
    let size = running
        .witness
        .sequencer
        .checkpoint()
        .unwrap()
        .checkpoint()
        .size;
    assert!(leaf < size);
    let (name, same, told) = machines.next();
    assert_eq!((name.as_str(), same), ("machine", Some(leaf)));
    assert_eq!(told["verdict"], Value::Null);
    drop(screen);
    attest(&world, &running);
    attest(&world, &running);
    // Whoever comes back with the last id misses neither of the two.
    let last = format!("last-event-id: {leaf}\r\n");
    let mut back = Follower::start(&running, "/v1/verdicts", &own, &last);
    let (second, third) = (back.next().1.unwrap(), back.next().1.unwrap());
    assert!(leaf < second && second < third);
    // A token that is taken away is told nothing more.
    let remove = "/v1/tenants/sim/tokens?name=screen";
    running.admin("DELETE", remove, &world.admin, b"").unwrap();
    attest(&world, &running);
    let (name, _, told) = back.next();
    assert_eq!(
        (name.as_str(), &told["check"]),
        ("refused", &json!("admin.token"))
    );
    // The other tenant heard of none of it: its first event is the end.
    running.witness.feeds.close();
    assert_eq!(strange.next().0, "closing");
    for _ in 0..3 {
        assert_eq!(machines.next().0, "machine");
    }
    assert_eq!(machines.next().0, "closing");
}

#[test]
fn who_may_not_follow_and_who_is_too_many_is_refused() {
    let world = World::new();
    let running = world.start();
    let ask = |at: &str, token: &str| {
        let accepting = ("text/event-stream", &b""[..]);
        running
            .send_accepting("GET", at, Some(token), accepting)
            .map(drop)
    };
    assert_eq!(id(ask("/v1/verdicts", "guess")), "admin.token");
    let own = token(&world, &running, "acme");
    assert_eq!(id(ask("/v1/verdicts?tenant=sim", &own)), "admin.role");
    let following: Vec<_> = (0..FOLLOWERS_OF_ONE_MAX)
        .map(|_| Follower::start(&running, "/v1/verdicts", &own, ""))
        .collect();
    let refused = ask("/v1/machines", &own).unwrap_err();
    assert_eq!((refused.check(), refused.status), (Some("feed.busy"), 429));
    drop(following);
}

#[test]
fn a_reader_that_does_not_read_is_dropped_and_told_so() {
    let world = World::new();
    let running = world.start();
    world.furnish(&running, "sim");
    for _ in 0..=QUEUE_MAX {
        attest(&world, &running);
    }
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", world.admin);
    headers.insert("authorization", bearer.parse().unwrap());
    headers.insert("last-event-id", "0".parse().unwrap());
    let pace = Pace {
        slow: Duration::from_millis(50),
        alive: Duration::from_secs(60),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (witness, subject) = (Arc::clone(&running.witness), Subject::Verdicts);
    let (events, following) = feed::open(witness, subject, None, headers, pace).unwrap();
    // Nobody reads while it follows, so it ends by itself.
    runtime.block_on(following);
    let whole = axum::body::to_bytes(axum::body::Body::from_stream(events), 1 << 24);
    let whole = runtime.block_on(whole).unwrap();
    let whole = String::from_utf8(whole.to_vec()).unwrap();
    assert_eq!(whole.matches("event: verdict\n").count(), QUEUE_MAX);
    assert!(whole.contains("event: dropped\ndata: {"), "{whole}");
    assert!(whole.contains("\"check\":\"feed.slow\""));
    assert!(whole.ends_with("\n\n"));
}
