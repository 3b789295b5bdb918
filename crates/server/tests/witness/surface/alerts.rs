//! Every rule of `deploy/witness-alerts.yaml`: its figures are told, it is silent on a calm witness, it fires
//! in the situation that it is for, and a runbook says what to do then. And that what is told is
//! OpenMetrics, by check id, without names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use zeuge_protocol::bundle::Bundle;
use zeuge_protocol::request::Request;
use zeuge_protocol::suite::Suite;
use zeuge_server::limits::SOURCE_APPRAISALS_MAX;
use zeuge_sim::{Product, ReportSpec};

use crate::collateral::{Kds, ask};
use crate::common::{Attempt, Client, Running, World, evidence, evidence_of};
use crate::surface::served::{Served, attest};

const RULES: &str = include_str!("../../../../../deploy/witness-alerts.yaml");
const RUNBOOKS: &str = include_str!("../../../../../docs/runbooks.md");

/// Series and their values, as scraped.
type Scrape = BTreeMap<String, f64>;

fn scrape(client: &Client) -> Scrape {
    // A witness that sheds closes some connections, also those of whoever watches it.
    let until = Instant::now() + Duration::from_secs(20);
    let text = loop {
        if let Some(Ok(text)) = client.try_answer("GET", "/metrics", None, b"") {
            break String::from_utf8(text).unwrap();
        }
        assert!(Instant::now() < until, "no figures");
        std::thread::sleep(Duration::from_millis(100));
    };
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// A rule: its name, its expression, its runbook.
struct Rule<'a> {
    name: &'a str,
    expr: &'a str,
    runbook: &'a str,
}

fn rules() -> Vec<Rule<'static>> {
    let parts = RULES.split("- alert: ").skip(1);
    let field = |part: &'static str, key: &str| {
        let line = part.lines().find_map(|line| line.trim().strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key} in {part}"))
    };
    parts
        .map(|part| Rule {
            name: part.lines().next().unwrap().trim(),
            expr: field(part, "expr: "),
            runbook: field(part, "runbook_url: docs/runbooks.md#"),
        })
        .collect()
}

/// The values of all series that a selector names.
fn select(scrape: &Scrape, selector: &str) -> Vec<f64> {
    let wanted = selector
        .trim_end_matches('}')
        .replace('{', "{,")
        .replace('{', "");
    let mut wanted = wanted.split(',');
    let name = wanted.next().unwrap();
    let labels: Vec<_> = wanted.filter(|label| !label.is_empty()).collect();
    let is_it = |series: &&String| {
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        found == name && labels.iter().all(|label| rest.contains(label))
    };
    let found = scrape.keys().filter(is_it);
    found.map(|series| scrape[series]).collect()
}

/// Whether an expression of the few forms that the rules have holds between two scrapes.
fn fires(expr: &str, before: &Scrape, after: &Scrape) -> bool {
    let (left, rest) = expr.rsplit_once([' ']).unwrap();
    let (left, operator) = left.rsplit_once(' ').unwrap();
    let wanted: f64 = rest.parse().unwrap();
    let holds = |value: &f64| match operator {
        ">" => *value > wanted,
        "<" => *value < wanted,
        "==" => (*value - wanted).abs() < f64::EPSILON,
        other => panic!("{other}: an operator that this test does not know"),
    };
    let inside = |text: &'static str, end: &str| {
        let rest = left.strip_prefix(text)?.strip_suffix(end)?;
        Some(rest.rsplit_once('[').unwrap().0)
    };
    if let Some(selector) = inside("increase(", ")") {
        let sum = |scrape| select(scrape, selector).iter().sum::<f64>();
        return holds(&(sum(after) - sum(before)));
    }
    if let Some(selector) = inside("histogram_quantile(0.9, sum by (le) (rate(", ")))") {
        return quantile(0.9, selector, before, after).is_some_and(|value| holds(&value));
    }
    assert!(
        !left.contains('('),
        "{left}: a form that this test does not know"
    );
    select(after, left).iter().any(holds)
}

/// The upper end of the bucket in which this part of what came between two scrapes lies.
fn quantile(part: f64, selector: &str, before: &Scrape, after: &Scrape) -> Option<f64> {
    let name = selector.split('{').next().unwrap();
    let label = selector.split_once('{').unwrap().1.trim_end_matches('}');
    let mut buckets: Vec<(f64, f64)> = after
        .iter()
        .filter(|(series, _)| series.starts_with(name) && series.contains(label))
        .map(|(series, count)| {
            let le = series
                .split_once("le=\"")
                .unwrap()
                .1
                .trim_end_matches("\"}");
            let le = le.parse().unwrap_or(f64::INFINITY);
            (le, count - before.get(series).unwrap_or(&0.0))
        })
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let all = buckets.last()?.1;
    let found = buckets.iter().find(|(_, count)| *count >= all * part);
    found.filter(|_| all > 0.0).map(|(le, _)| *le)
}

/// Asks until the rule fires; the situation is there, and some figures need a second look.
fn until_it_fires(rule: &Rule<'_>, client: &Client, before: &Scrape) {
    let until = Instant::now() + Duration::from_secs(20);
    while !fires(rule.expr, before, &scrape(client)) {
        let told = scrape(client);
        assert!(
            Instant::now() < until,
            "{} never fires: {told:#?}",
            rule.name
        );
        std::thread::yield_now();
    }
}

fn released(running: &Running, world: &World, bundle: impl FnOnce([u8; 64], i64) -> Bundle) {
    let attempt = Attempt::honest(running, "sim", &["db/key"]);
    let bundle = bundle(attempt.binding.report_data(), world.now());
    let _ = running.attest(&attempt.body(&bundle));
}

/// What brings a rule about that is about log and store.
fn provoke_log(name: &str, world: &World, running: &Running) -> bool {
    match name {
        "ZeugeLogStandsStill" => {
            let log = world.data().join("log");
            std::fs::rename(&log, world.folder.path().join("gone")).unwrap();
            std::fs::write(&log, "no folder").unwrap();
            let mut leaf = running.witness.denials.end(world.now()).unwrap();
            running
                .witness
                .denials
                .count("test", "challenge.mac", world.now());
            leaf.extend(running.witness.denials.end(world.now()).unwrap());
            running.witness.store.append(&leaf, world.now()).unwrap();
            running.witness.sequencer.wake();
        }
        "ZeugeLogAlarm" => {
            let fork = world.folder.path().join("fork");
            let copied = std::process::Command::new("cp")
                .arg("-a")
                .args([world.data(), fork.clone()])
                .status();
            assert!(copied.unwrap().success());
            let other = world.start_on(&fork);
            for (witness, secret) in [(running, "first/history"), (&other, "second/history")] {
                let owner = &world.owner;
                world.put_secret(witness, "sim", secret, 1, owner).unwrap();
                witness.witness.sequencer.sequence().unwrap();
            }
            let note = other.get("/log/checkpoint").unwrap();
            let shown = running.send("POST", "/v1/checkpoints", None, &note);
            assert_eq!(shown.unwrap_err().check(), Some("log.fork"));
        }
        "ZeugeStoreFails" => {
            let file = world.data().join("zeuge.sqlite");
            let database = rusqlite::Connection::open(file).unwrap();
            database.execute("DROP TABLE spent", []).unwrap();
            released(running, world, evidence);
        }
        _ => return false,
    }
    true
}

/// What brings a rule about in a witness of this process.
fn provoke(name: &str, world: &World, running: &Running) -> bool {
    match name {
        "ZeugeNotReady" => running.wall.store(1000, Ordering::Relaxed),
        "ZeugeCollateralEnds" => {
            let left = select(&scrape(running), "zeuge_collateral_list_left_seconds");
            let left = left.into_iter().fold(f64::INFINITY, f64::min);
            world.pass(left as i64 - 86_400);
        }
        "ZeugeCollateralOld" => world.pass(46 * 86_400),
        "ZeugeReleasesSlow" => {
            let gate = running.witness.gate.clone();
            let held = gate.try_write().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| released(running, world, evidence));
                // It waits as long as the change that it waits for takes.
                std::thread::sleep(Duration::from_millis(600));
                drop(held);
            });
        }
        "ZeugeBusy" => {
            let gate = running.witness.gate.clone();
            let held = gate.try_write().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..SOURCE_APPRAISALS_MAX + 12 {
                    scope.spawn(|| released(running, world, evidence));
                }
                let busy = "zeuge_refusals_total{check=\"session.busy\"}";
                while scrape(running).get(busy).copied().unwrap_or(0.0) < 11.0 {
                    std::thread::yield_now();
                }
                drop(held);
            });
        }
        "ZeugeReplays" => {
            let attempt = Attempt::honest(running, "sim", &["db/key"]);
            let bundle = evidence(attempt.binding.report_data(), world.now());
            let body = attempt.body(&bundle);
            running.attest(&body).unwrap();
            assert_eq!(
                running.attest(&body).unwrap_err().check(),
                Some("challenge.spent")
            );
        }
        "ZeugeMachinesFail" => {
            let request = Request::appraisal("me");
            let attempt = Attempt::new(running.challenge("sim"), request, Suite::X_WING);
            let spec = ReportSpec {
                measurement: [0x66; 48],
                report_data: attempt.binding.report_data(),
                ..ReportSpec::new(Product::Milan)
            };
            running
                .attest(&attempt.body(&evidence_of(&spec, world.now())))
                .unwrap();
        }
        "ZeugeReleasesStopped" => {
            let stop = br#"{"name": "incident", "because": "a test"}"#;
            let at = "/v1/stops?tenant=sim";
            running.admin("POST", at, &world.admin, stop).unwrap();
        }
        "ZeugeDenied" => {
            for _ in 0..11 {
                running
                    .admin("GET", "/v1/tenants", "guess", b"")
                    .unwrap_err();
            }
        }
        _ => return provoke_log(name, world, running),
    }
    true
}

/// What brings a rule about only in a process of its own, and how that is started.
fn provoke_process(name: &str) -> (World, Served, Scrape) {
    let (before, options): (_, &[&str]) = match name {
        "ZeugeArchiveFull" => ("", &["--offline", "--archive-bytes-max", "90000000"]),
        "ZeugeSheds" => ("", &["--offline", "--source-per-second", "20"]),
        "ZeugeConnectionsFull" => ("ulimit -n 128;", &["--offline"]),
        other => panic!("{other}: nothing in this test brings it about"),
    };
    let world = World::new();
    let served = Served::start_after(before, &world, options);
    let calm = scrape(&served.client);
    match name {
        "ZeugeSheds" => {
            for _ in 0..100 {
                let _ = served.client.try_answer("GET", "/healthz", None, b"");
            }
        }
        "ZeugeConnectionsFull" => {
            let held: Vec<_> = (0..200)
                .map(|_| std::net::TcpStream::connect(served.client.0).unwrap())
                .collect();
            served.client.get("/healthz").unwrap();
            drop(held);
        }
        _ => {}
    }
    (world, served, calm)
}

#[test]
fn every_alert_is_silent_in_calm_fires_when_it_should_and_has_a_runbook() {
    let rules = rules();
    assert!(rules.len() >= 12);
    let headings: Vec<_> = RUNBOOKS
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let names: Vec<_> = rules.iter().map(|rule| rule.name).collect();
    assert_eq!(
        names, headings,
        "a rule without a runbook, or a runbook without a rule"
    );
    for rule in rules {
        assert_eq!(rule.runbook, rule.name.to_lowercase());
        let world = World::new();
        let kds = Kds::start(Arc::clone(&world.now));
        let running = world.start_with(&world.data(), Some(kds.sources.clone()));
        world.furnish(&running, "sim");
        ask(&world, &running).unwrap();
        let calm = scrape(&running);
        let still = scrape(&running);
        assert!(
            !fires(rule.expr, &calm, &still),
            "{} fires in calm",
            rule.name
        );
        if provoke(rule.name, &world, &running) {
            until_it_fires(&rule, &running, &calm);
        } else {
            let (_world, served, calm) = provoke_process(rule.name);
            until_it_fires(&rule, &served.client, &calm);
        }
    }
}

#[test]
fn figures_are_openmetrics_by_check_id_and_name_nobody() {
    let (world, served) = Served::furnished(&["--offline"]);
    assert!(attest(served.client).is_some());
    let (head, body) = served
        .client
        .send_accepting("GET", "/metrics", None, ("*/*", b""))
        .unwrap();
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    let text = String::from_utf8(body).unwrap();
    assert!(text.ends_with("# EOF\n"));
    let mut family = ("", "");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split_once(' ').unwrap();
        } else if !line.starts_with("# ") {
            let series = line.split(['{', ' ']).next().unwrap();
            let suffix = series.strip_prefix(family.0);
            let suffix = suffix.unwrap_or_else(|| panic!("{line} is not of {family:?}"));
            let allowed: &[&str] = match family.1 {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            assert!(allowed.contains(&suffix), "{line} is no {}", family.1);
        }
    }
    for series in [
        "zeuge_request_seconds_count{method=\"post\",path=\"/v1/releases\"} 1",
        "zeuge_publish_seconds_count 1",
        "zeuge_releases_total 1",
        "zeuge_ready 1",
        "zeuge_log_lag_leaves 0",
        "zeuge_requests_under_way 1",
        "zeuge_appraisals_under_way 0",
    ] {
        assert!(text.lines().any(|line| line == series), "{series}\n{text}");
    }
    assert!(text.contains("zeuge_verdicts_total{verdict=\""));
    for name in ["acme", "db/key", &world.admin] {
        assert!(!text.contains(name), "{name} is told");
    }
}

/// Author, action, tenant, subject and check of every line of a log of audit events alone.
fn told(log: &str) -> Vec<[String; 5]> {
    let lines = log.lines();
    lines
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["target"], "zeuge::audit");
            ["actor", "action", "tenant", "what", "check"]
                .map(|key| event["fields"][key].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

#[test]
fn every_change_is_an_audit_event_with_its_author_whatever_is_logged() {
    let world = World::new();
    let served = Served::start_after("export RUST_LOG=off;", &world, &["--offline"]);
    let client = served.client;
    world.furnish(&client, "sim");
    let token = br#"{"name":"deploy","role":"operator"}"#;
    let tokens = "/v1/tenants/sim/tokens";
    let made = client.admin("POST", tokens, &world.admin, token).unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
    let operator = made["token"].as_str().unwrap();
    let owners = serde_json::to_vec(&world.owners("late")).unwrap();
    client
        .admin("POST", "/v1/tenants", &world.admin, &owners)
        .unwrap();
    client
        .admin("POST", "/v1/tenants", operator, &owners)
        .unwrap_err();
    for at in [
        "/v1/secrets?tenant=sim&path=db/key",
        "/v1/documents/release-rule?tenant=sim&name=db/key",
    ] {
        client.admin("DELETE", at, operator, b"").unwrap();
    }
    let gone = format!("{tokens}?name=deploy");
    client.admin("DELETE", &gone, &world.admin, b"").unwrap();
    client
        .admin("GET", "/v1/tenants", operator, b"")
        .unwrap_err();
    let log = served.terminate();
    let told = told(&log);
    let told: Vec<_> = told
        .iter()
        .map(|event| event.each_ref().map(String::as_str))
        .collect();
    let by_admin = |action, tenant, what| ["administrator", action, tenant, what, ""];
    let by_operator = |action, what| ["sim/deploy", action, "sim", what, ""];
    assert_eq!(
        told,
        [
            by_admin(
                "document-put",
                "sim",
                "reference-values/reference-values version 1"
            ),
            by_admin("document-put", "sim", "release-rule/db/key version 1"),
            by_admin("secret-put", "sim", "db/key version 1"),
            by_admin("token-make", "sim", "deploy"),
            by_admin("tenant-add", "late", ""),
            ["", "", "", "", "admin.role"],
            by_operator("secret-delete", "db/key"),
            by_operator("document-retire", "release-rule/db/key"),
            by_admin("token-remove", "sim", "deploy"),
            ["", "", "", "", "admin.token"],
        ]
    );
}
