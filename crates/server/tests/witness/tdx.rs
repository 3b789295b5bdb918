//! The whole loop with a toy of Intel's: a trust domain or an enclave that is enrolled receives, and
//! everybody else does not, each by his own check id.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use zeuge_collateral::{BaseUrl, Sources};
use zeuge_evidence::UnixTime;
use zeuge_log::hash::sha256;
use zeuge_protocol::api::AttestAnswer;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::document::Kind;
use zeuge_sim::{IntelLie, QuoteForm, QuoteSpec, ToyIntel, td_boot};
use zeuge_verify::{Anchors, Binding, Endorsements, crypto::AWS_LC, dcap};

use crate::common::{Attempt, Running, SECRET, World, name, rule, trust_file};
use crate::reports::prove_again;
use crate::whole_loop::{id, open, read, refused};

const DAY: i64 = 86_400;

/// What the owner pins of the toy's platform: its name and key, as a verified quote tells them.
fn registry(spec: &QuoteSpec, now: i64, ppid: Option<&str>) -> String {
    let told = ToyIntel::shared().tell(None, spec, UnixTime(now));
    let mut heap = Endorsements::new();
    heap.add("collateral", &told.collateral_file());
    let quote = zeuge_evidence::dcap::Quote::parse(&told.quote).unwrap();
    let anchors = Anchors::dangerous_sim(&trust_file()).unwrap();
    let binding = Binding::ReportData(told.expected_report_data);
    let verified = dcap::quote(&quote, &heap, &anchors, &binding, told.at, &AWS_LC).unwrap();
    let facts = verified.fact();
    let own = hex::encode(facts.platform.ppid);
    format!(
        "schema = \"zeuge.hardware.v1\"\n[[intel]]\nname = \"rack-7\"\nppid = \"{}\"\n\
         keys = [{{ cpu_svn = \"{}\", pce_svn = {}, public_key = \"{}\" }}]\n",
        ppid.unwrap_or(&own),
        hex::encode(facts.platform.tcb.cpu_svn),
        facts.platform.tcb.pce_svn,
        hex::encode(sha256(&[&facts.pck_public_key])),
    )
}

/// The owner knows this machine, and gives `db/key` to it alone.
fn furnish(world: &World, running: &Running, spec: &QuoteSpec, kind: &str, ppid: Option<&str>) {
    let values = format!(
        "schema = \"zeuge.reference-values.v1\"\n[[tdx]]\nname = \"web\"\nmr_td = [\"{}\"]\n\
         rtmr = {{ \"1\" = [\"{}\"], \"2\" = [\"{}\"] }}\n[[sgx]]\nname = \"web\"\n\
         mr_enclave = [\"{}\"]\n",
        hex::encode(spec.mr_td),
        hex::encode(spec.rtmr[1]),
        hex::encode(spec.rtmr[2]),
        hex::encode(spec.mr_enclave),
    );
    let mut rule = rule("sim", "db/key")
        .replace("\"snp\"", &format!("\"{kind}\""))
        .replace("dangerous_any_chip", "enrolled");
    if spec.boot_log {
        rule += "before_closed = true\n";
    }
    for (kind, at, text) in [
        (Kind::ReferenceValues, "reference-values", values),
        (
            Kind::HardwareRegistry,
            "hardware-registry",
            registry(spec, world.now(), ppid),
        ),
        (Kind::ReleaseRule, "db/key", rule),
    ] {
        let document = world.document(kind, "sim", at, 1, &text);
        let body = serde_json::to_vec(&document).unwrap();
        let at = format!("/v1/documents/{}", kind.as_str());
        running.admin("PUT", &at, &world.admin, &body).unwrap();
    }
    world
        .put_secret(running, "sim", "db/key", 1, &world.owner)
        .unwrap();
}

/// A bundle of this machine, told at `made`; with collateral or without, with a boot log where the
/// machine has one.
fn bundle(spec: &QuoteSpec, lie: Option<&str>, made: i64, collateral: bool) -> Bundle {
    let lie = lie.map(|id| IntelLie::about(id).unwrap());
    let told = ToyIntel::shared().tell(lie, spec, UnixTime(made));
    let media = match spec.form {
        QuoteForm::Sgx3 => Media::SgxQuote,
        _ => Media::TdxQuote,
    };
    let mut bundle = Bundle::new();
    bundle
        .put(name("quote"), media, told.quote.clone())
        .unwrap();
    if let Some(log) = told.boot_log.clone() {
        let label = name("quote.event-log");
        bundle.put(label, Media::CcEventLog, log).unwrap();
    }
    if collateral {
        let file = told.collateral_file();
        let label = name("quote.collateral");
        bundle.put(label, Media::IntelCollateral, file).unwrap();
    }
    bundle
}

/// One attempt with such a bundle: the answer, or the check that refused it.
fn ask(
    world: &World,
    running: &Running,
    spec: &QuoteSpec,
    (lie, age, collateral): (Option<&str>, i64, bool),
) -> Result<(Attempt, AttestAnswer), String> {
    let attempt = Attempt::honest(running, "sim", &["db/key"]);
    let spec = QuoteSpec {
        report_data: attempt.binding.report_data(),
        ..spec.clone()
    };
    let bundle = bundle(&spec, lie, world.now() - age, collateral);
    match running.attest(&attempt.body(&bundle)) {
        Ok(answer) => {
            let answer = read(world, &attempt, &answer);
            Ok((attempt, answer))
        }
        refusal => Err(id(refusal)),
    }
}

#[test]
fn a_machine_of_intels_that_is_enrolled_receives_and_no_liar_does() {
    for (form, kind) in [
        (QuoteForm::Tdx4, "tdx"),
        (QuoteForm::Tdx5, "tdx"),
        (QuoteForm::Sgx3, "sgx"),
    ] {
        let (world, spec) = (World::new(), QuoteSpec::new(form));
        let running = world.start();
        furnish(&world, &running, &spec, kind, None);
        let (attempt, answer) = ask(&world, &running, &spec, (None, 0, true)).unwrap();
        let secret = answer.secrets.first().unwrap();
        assert_eq!(open(&world, &attempt, secret), SECRET);
        for lie in ["policy.debug", "policy.measurement", "policy.tcb-status"] {
            let (_, answer) = ask(&world, &running, &spec, (Some(lie), 0, true)).unwrap();
            assert_eq!(refused(&answer), [("db/key", lie)]);
            assert!(answer.secrets.is_empty());
        }
        for lie in [
            "dcap.quote.signature",
            "dcap.pck.revoked",
            "binding.report-data",
        ] {
            let outcome = ask(&world, &running, &spec, (Some(lie), 0, true));
            assert_eq!(outcome.map(drop).unwrap_err(), lie);
        }
    }
}

#[test]
fn a_platform_that_is_not_enrolled_receives_nothing() {
    let (world, spec) = (World::new(), QuoteSpec::new(QuoteForm::Tdx4));
    let running = world.start();
    let ppid = "11".repeat(16);
    furnish(&world, &running, &spec, "tdx", Some(&ppid));
    let (_, answer) = ask(&world, &running, &spec, (None, 0, true)).unwrap();
    assert_eq!(refused(&answer), [("db/key", "hardware.enrolled")]);
}

#[test]
fn another_register_is_another_workload() {
    let (world, spec) = (World::new(), QuoteSpec::new(QuoteForm::Tdx4));
    let running = world.start();
    furnish(&world, &running, &spec, "tdx", None);
    let mut other = spec;
    other.rtmr[2][0] ^= 1;
    let (_, answer) = ask(&world, &running, &other, (None, 0, true)).unwrap();
    assert_eq!(refused(&answer), [("db/key", "policy.rtmr")]);
}

#[test]
fn a_boot_log_is_held_against_the_registers_and_the_mark_in_rtmr3_closes_the_boot() {
    let spec = QuoteSpec::new(QuoteForm::Tdx5).with_boot_log();
    let world = World::new();
    let running = world.start();
    furnish(&world, &running, &spec, "tdx", None);
    let (attempt, answer) = ask(&world, &running, &spec, (None, 0, true)).unwrap();
    assert_eq!(open(&world, &attempt, &answer.secrets[0]), SECRET);
    let checks = answer.verdict.checks.iter();
    let replayed = checks
        .filter(|check| check.id == "tdx.eventlog.replay")
        .count();
    assert_eq!(replayed, 1);
    let log = &answer.verdict.claims["tdx"]["event_log"];
    assert_eq!(log["explained"], serde_json::json!([0, 1, 2, 3]));
    assert_eq!(log["events"][5]["label"], "\\vmlinuz.efi");
    let lie = (Some("tdx.eventlog.replay"), 0, true);
    let outcome = ask(&world, &running, &spec, lie);
    assert_eq!(outcome.map(drop).unwrap_err(), "tdx.eventlog.replay");
    // The log says nothing of the mark, which is made later; the rule reads the register.
    let mut closed = spec.clone();
    closed.rtmr[3] = td_boot::closed(&closed.rtmr[3]);
    let (_, answer) = ask(&world, &running, &closed, (None, 0, true)).unwrap();
    assert_eq!(refused(&answer), [("db/key", "release.closed")]);
    // An enclave has no boot: a log beside its quote is nobody's.
    let mut enclave = QuoteSpec::new(QuoteForm::Sgx3);
    enclave.boot_log = true;
    let outcome = ask(&world, &running, &enclave, (None, 0, true));
    assert_eq!(outcome.map(drop).unwrap_err(), "bundle.evidence");
}

#[test]
fn what_a_machine_brought_serves_the_next_and_nobody_goes_behind_it() {
    let (world, spec) = (World::new(), QuoteSpec::new(QuoteForm::Tdx4));
    let running = world.start();
    furnish(&world, &running, &spec, "tdx", None);
    let alone = ask(&world, &running, &spec, (None, 0, false));
    assert_eq!(alone.map(drop).unwrap_err(), "dcap.tcb-signer.available");
    // Of an earlier state of Intel's knowledge, and nobody knows better yet.
    let older = (Some("policy.evaluation-number"), 5 * DAY, true);
    let (_, answer) = ask(&world, &running, &spec, older).unwrap();
    assert_eq!(answer.secrets.len(), 1);
    let (_, answer) = ask(&world, &running, &spec, (None, 0, true)).unwrap();
    assert_eq!(answer.secrets.len(), 1);
    // Nothing beside the quote, or something older: what the last one brought counts.
    for next in [(None, 0, false), older] {
        let (_, answer) = ask(&world, &running, &spec, next).unwrap();
        assert_eq!(answer.secrets.len(), 1, "{:?}", refused(&answer));
    }
    // The report of the newest verdict holds all that it rested on, though the machine brought
    // nothing of it.
    let (_, answer) = ask(&world, &running, &spec, (None, 0, false)).unwrap();
    assert_eq!(answer.secrets.len(), 1);
    prove_again(&world, &running, "rack-7").unwrap();
    // What was kept and the marks outlive the process together: nothing is refused for want of it,
    // and nothing older counts.
    drop(running);
    let running = world.start();
    for next in [(None, 0, false), older, (None, 5 * DAY, true)] {
        let (_, answer) = ask(&world, &running, &spec, next).unwrap();
        assert_eq!(answer.secrets.len(), 1, "{:?}", refused(&answer));
    }
    // Without the bytes the marks still refuse.
    drop(running);
    let content = world.data().join("collateral-sim/content");
    for file in std::fs::read_dir(content).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    let running = world.start();
    let (_, answer) = ask(
        &world,
        &running,
        &spec,
        (Some("policy.evaluation-number"), 0, true),
    )
    .unwrap();
    assert_eq!(refused(&answer), [("db/key", "dcap.collateral.rollback")]);
    let outcome = ask(&world, &running, &spec, (None, 5 * DAY, true));
    assert_eq!(outcome.map(drop).unwrap_err(), "collateral.rollback");
}

#[test]
fn a_quote_alone_is_proven_with_what_intels_service_adds_and_what_is_coming_is_told() {
    let (world, spec) = (World::new(), QuoteSpec::new(QuoteForm::Tdx4));
    let service = Pcs::start(Arc::clone(&world.now));
    let running = world.start_with(&world.data(), Some(service.sources.clone()));
    furnish(&world, &running, &spec, "tdx", None);
    let (_, answer) = ask(&world, &running, &spec, (None, 0, false)).unwrap();
    assert_eq!(answer.secrets.len(), 1, "{:?}", refused(&answer));
    // Intel has published the next state of its knowledge: the verdict warns, and releases today.
    let outlook = answer
        .verdict
        .checks
        .iter()
        .find(|check| check.id == "policy.tcb-outlook")
        .unwrap();
    assert!(
        outlook
            .because
            .as_deref()
            .unwrap()
            .contains("policy.tcb-status"),
        "{outlook:?}"
    );
    let asked = service.asked();
    let (_, answer) = ask(&world, &running, &spec, (None, 0, false)).unwrap();
    assert_eq!(answer.secrets.len(), 1);
    assert_eq!(service.asked(), asked, "the cache has everything");
    let body = running
        .admin("GET", "/v1/collateral/forecast", &world.admin, &[])
        .unwrap();
    let found: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let machine = &found["machines"][0];
    assert_eq!(
        (&machine["tenant"], &machine["fmspc"]),
        (&"sim".into(), &"00806f050000".into())
    );
    let statuses: Vec<_> = (0..2)
        .map(|place| machine["channels"][place]["tcb_status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["UpToDate", "OutOfDate"]);
    assert_eq!(machine["channels"][1]["check"], "policy.tcb-status");
    let metrics = running.get("/metrics").unwrap();
    let metrics = String::from_utf8(metrics).unwrap();
    for line in [
        "zeuge_forecast_machines{channel=\"standard\",status=\"UpToDate\"} 1",
        "zeuge_forecast_machines{channel=\"early\",status=\"OutOfDate\"} 1",
        "zeuge_forecast_refused{channel=\"standard\"} 0",
        "zeuge_forecast_refused{channel=\"early\"} 1",
        "zeuge_collateral_age_seconds{key=\"sim/intel/tcb/tdx/early\"}",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

/// The toy's certification service on a socket, by the world's clock.
struct Pcs {
    sources: Sources,
    asked: Arc<AtomicUsize>,
}

impl Pcs {
    fn start(now: Arc<AtomicI64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let line = lines.next().unwrap().unwrap();
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                counted.fetch_add(1, Ordering::SeqCst);
                let path = line.split(' ').nth(1).unwrap();
                let at = UnixTime(now.load(Ordering::Relaxed));
                let answer = ToyIntel::shared().pcs(path, at);
                let headers = answer.headers.iter();
                let headers: String = headers
                    .map(|(name, value)| format!("{name}: {value}\r\n"))
                    .collect();
                let head = format!(
                    "HTTP/1.1 {} Toy\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    answer.status,
                    answer.body.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), &answer.body].concat());
            }
        });
        let base = BaseUrl::parse(&url).unwrap();
        Self {
            sources: Sources {
                amd: None,
                intel: Some(zeuge_collateral::Pcs::cache(base)),
            },
            asked,
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}
