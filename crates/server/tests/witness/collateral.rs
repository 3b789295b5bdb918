//! Endorsements that a machine did not bring: from the cache, else from a toy key service on a
//! real socket; and revocation lists that only ever become newer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use zeuge_collateral::{BaseUrl, Sources};
use zeuge_evidence::UnixTime;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_protocol::request::Request;
use zeuge_protocol::suite::Suite;
use zeuge_sim::{Product, ReportSpec, ToyAmd};

use crate::common::{Attempt, Running, World, evidence, name};
use crate::reports::{newest, prove_again};

/// The toy's key service.
pub(crate) struct Kds {
    pub(crate) sources: Sources,
    asked: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
}

impl Kds {
    /// Serves by the world's clock.
    pub(crate) fn start(now: Arc<AtomicI64>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let amd = BaseUrl::parse(&url).unwrap();
        let kds = Self {
            sources: Sources {
                amd: Some(amd),
                intel: None,
            },
            asked: Arc::default(),
            down: Arc::default(),
        };
        let (asked, down) = (Arc::clone(&kds.asked), Arc::clone(&kds.down));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let line = lines.next().unwrap().unwrap();
                while lines
                    .next()
                    .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
                {}
                asked.fetch_add(1, Ordering::SeqCst);
                if down.load(Ordering::SeqCst) {
                    let _ = stream.write_all(b"HTTP/1.1 500 Down\r\nContent-Length: 0\r\n\r\n");
                    continue;
                }
                let path = line.split(' ').nth(1).unwrap();
                let at = UnixTime(now.load(Ordering::Relaxed));
                let answer = ToyAmd::shared().kds(path, at);
                let length = answer.body.len();
                let head = format!(
                    "HTTP/1.1 {} Toy\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
                    answer.status
                );
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&answer.body);
            }
        });
        kds
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn down(&self) {
        self.down.store(true, Ordering::SeqCst);
    }
}

/// A bundle with the report alone, as a cloud without a certificate table gives it.
pub(crate) fn lone(spec: &ReportSpec, now: i64) -> Bundle {
    let told = ToyAmd::shared().tell(None, spec, UnixTime(now));
    let mut bundle = Bundle::new();
    bundle
        .put(name("snp"), Media::SnpReport, told.report)
        .unwrap();
    bundle
}

pub(crate) fn spec(attempt: &Attempt) -> ReportSpec {
    ReportSpec {
        report_data: attempt.binding.report_data(),
        ..ReportSpec::new(Product::Milan)
    }
}

/// A machine that brings no certificate asks for the secret; the check that refuses it, if any.
pub(crate) fn ask(world: &World, running: &Running) -> Result<(), String> {
    let attempt = Attempt::honest(running, "sim", &["db/key"]);
    let bundle = lone(&spec(&attempt), world.now());
    let answer = running.attest(&attempt.body(&bundle));
    answer
        .map(drop)
        .map_err(|problem| problem.check().unwrap().to_owned())
}

fn appraisal(running: &Running) -> Attempt {
    Attempt::new(
        running.challenge("sim"),
        Request::appraisal("me"),
        Suite::X_WING,
    )
}

fn list(at: i64) -> Vec<u8> {
    ToyAmd::shared().revocation_list(Product::Milan, UnixTime(at))
}

/// Offers evidence with everything beside it and this revocation list instead of today's.
fn offer(world: &World, running: &Running, made: i64) -> Result<(), String> {
    let attempt = appraisal(running);
    let told = ToyAmd::shared().tell(None, &spec(&attempt), UnixTime(world.now()));
    let mut told = told;
    for (file, bytes) in &mut told.endorsements {
        if file == "crl.der" {
            *bytes = list(made);
        }
    }
    let file = told.table_file();
    let (report, table) = file.split_at(zeuge_sim::REPORT_BYTES);
    let mut bundle = Bundle::new();
    bundle
        .put(name("snp"), Media::SnpReport, report.to_vec())
        .unwrap();
    bundle
        .put(
            name("snp.certificates"),
            Media::SnpCertificates,
            table.to_vec(),
        )
        .unwrap();
    let answer = running.attest(&attempt.body(&bundle));
    answer
        .map(drop)
        .map_err(|problem| problem.check().unwrap().to_owned())
}

#[test]
fn a_machine_without_its_certificate_is_released_to_and_again_when_the_maker_is_down() {
    let world = World::new();
    let kds = Kds::start(Arc::clone(&world.now));
    let running = world.start_with(&world.data(), Some(kds.sources.clone()));
    world.furnish(&running, "sim");
    ask(&world, &running).unwrap();
    assert_eq!(kds.asked(), 3);
    kds.down();
    ask(&world, &running).unwrap();
    assert_eq!(kds.asked(), 3, "the cache has everything");
    // So has the report, though the machine brought nothing.
    prove_again(&world, &running, &newest(&world, &running, "sim")).unwrap();
    let metrics = String::from_utf8(running.get("/metrics").unwrap()).unwrap();
    for line in [
        "zeuge_collateral_age_seconds{key=\"sim/amd/vcek\"} 0\n",
        "zeuge_collateral_age_seconds{key=\"sim/amd/crl/Milan/vcek\"} 0\n",
        "zeuge_collateral_list_left_seconds{key=\"sim/amd/crl/Milan/vcek\"} ",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    // A restart with nobody to ask.
    drop(running);
    let running = world.start();
    world.pass(3600);
    ask(&world, &running).unwrap();
}

#[test]
fn a_maker_that_does_not_answer_is_named_and_asked_once_until_its_pause_is_over() {
    let world = World::new();
    let kds = Kds::start(Arc::clone(&world.now));
    kds.down();
    let running = world.start_with(&world.data(), Some(kds.sources.clone()));
    world.furnish(&running, "sim");
    for _ in 0..3 {
        let attempt = Attempt::honest(&running, "sim", &["db/key"]);
        let bundle = lone(&spec(&attempt), world.now());
        let problem = running.attest(&attempt.body(&bundle)).unwrap_err();
        assert_eq!(problem.check(), Some("snp.vcek.available"));
        let detail = problem.detail.unwrap();
        assert!(detail.contains("collateral.back-off"), "{detail}");
    }
    assert_eq!(kds.asked(), 1);
    // Evidence that brings everything needs no maker.
    let attempt = Attempt::honest(&running, "sim", &["db/key"]);
    let bundle = evidence(attempt.binding.report_data(), world.now());
    running.attest(&attempt.body(&bundle)).unwrap();
}

#[test]
fn a_source_that_invents_chips_uses_up_its_own_budget() {
    let world = World::new();
    let kds = Kds::start(Arc::clone(&world.now));
    let running = world.start_with(&world.data(), Some(kds.sources.clone()));
    let mut details = Vec::new();
    for number in 0..32_u8 {
        let attempt = appraisal(&running);
        let mut spec = spec(&attempt);
        spec.chip_id = [number; 64];
        spec.chip_id[0] = 0xee;
        let told = ToyAmd::shared().tell(None, &spec, UnixTime(world.now()));
        let mut report = told.report;
        // Another chip than the key's, so that nothing of it is ever in the cache.
        report[0x1a0] ^= 1;
        let mut bundle = Bundle::new();
        bundle.put(name("snp"), Media::SnpReport, report).unwrap();
        let problem = running.attest(&attempt.body(&bundle)).unwrap_err();
        details.push(problem.detail.unwrap_or_default());
    }
    let spent = details
        .iter()
        .filter(|text| text.contains("collateral.budget"));
    assert_eq!(spent.count(), 4, "{details:?}");
    assert_eq!(kds.asked(), 30);
}

#[test]
fn a_list_that_came_with_evidence_counts_from_then_on_and_an_older_one_is_refused() {
    let world = World::new();
    let running = world.start();
    let (now, day) = (world.now(), 86_400);
    offer(&world, &running, now).unwrap();
    // An older list beside the next evidence: the newer one was kept, and is used.
    offer(&world, &running, now - 20 * day).unwrap();
    drop(running);
    // The cache lost, the mark not; also across a backup.
    let cache = world.data().join("collateral-sim");
    std::fs::remove_file(cache.join("index.json")).unwrap();
    let running = world.start();
    let refused = offer(&world, &running, now - 20 * day);
    assert_eq!(refused, Err("collateral.rollback".to_owned()));
    offer(&world, &running, now).unwrap();
    let metrics = String::from_utf8(running.get("/metrics").unwrap()).unwrap();
    let counted = "zeuge_refusals_total{check=\"collateral.rollback\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    drop(running);
    let (backup, restored) = (
        world.folder.path().join("backup"),
        world.folder.path().join("restored"),
    );
    let (backup, restored_text) = (backup.to_str().unwrap(), restored.to_str().unwrap());
    let data = world.data();
    crate::common::zeuged(&["backup", "--data", data.to_str().unwrap(), "--to", backup]).unwrap();
    crate::common::zeuged(&["restore", "--from", backup, "--data", restored_text]).unwrap();
    crate::common::zeuged(&["recover", "--data", restored_text]).unwrap();
    let running = world.start_on(&restored);
    let refused = offer(&world, &running, now - 20 * day);
    assert_eq!(refused, Err("collateral.rollback".to_owned()));
}
