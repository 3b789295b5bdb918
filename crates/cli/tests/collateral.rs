//! Fetching as a user meets it: the program itself against a toy key service on a real socket.

mod kds;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use kds::{Kds, now};
use serde_json::Value;
use zeuge_sim::{Product, ReportSpec, ToyAmd};

const DATA: [u8; 64] = [0x5a; 64];
const DAY: i64 = 86_400;

/// A report without anything beside it, the toy's roots, and a folder for both.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let spec = ReportSpec {
        report_data: DATA,
        ..ReportSpec::new(Product::Milan)
    };
    let told = ToyAmd::shared().tell(None, &spec, now());
    fs::write(folder.path().join("report.bin"), &told.report).unwrap();
    fs::create_dir(folder.path().join("amd")).unwrap();
    for (name, bytes) in &told.endorsements {
        fs::write(folder.path().join("amd").join(name), bytes).unwrap();
    }
    let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
    fs::write(folder.path().join("trust.json"), trust).unwrap();
    folder
}

fn zeuge(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .args(arguments)
        .args(["--dangerous-trust-sim", "trust.json"])
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// The exit code and the one verdict of `zeuge verify --fetch`.
fn verify(folder: &Path, url: &str, more: &[&str]) -> (i32, Value) {
    let data = hex::encode(DATA);
    let fixed = [
        "verify",
        "report.bin",
        "--hardware-only",
        "--format",
        "json",
    ];
    let bound = ["--report-data", &data, "--fetch", "--kds", url];
    let (code, out, err) = zeuge(folder, &[&fixed[..], &bound[..], more].concat());
    let verdict = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    (code, verdict)
}

#[test]
fn a_lone_report_verifies_with_what_the_maker_adds_and_later_without_the_maker() {
    let (folder, kds) = (world(), Kds::start());
    let (code, verdict) = verify(folder.path(), &kds.url, &[]);
    assert_eq!((code, &verdict["verdict"]), (10, &"warning".into()));
    assert_eq!(kds.asked(), 3);
    kds.down();
    let (code, _) = verify(folder.path(), &kds.url, &[]);
    assert_eq!((code, kds.asked()), (10, 3), "the cache has everything");
    // Offline is the default: nothing is fetched, and the cache is not looked into.
    let data = hex::encode(DATA);
    let arguments = ["verify", "report.bin", "--report-data", &data];
    let (code, out, _) = zeuge(folder.path(), &arguments);
    assert_eq!((code, kds.asked()), (4, 3), "{out}");
    assert!(out.contains("snp.vcek.available"), "{out}");
}

#[test]
fn a_maker_that_does_not_answer_is_named_and_what_is_missing_stays_unavailable() {
    let (folder, kds) = (world(), Kds::start());
    kds.down();
    let (code, verdict) = verify(folder.path(), &kds.url, &[]);
    assert_eq!(code, 4);
    assert_eq!(verdict["failed"], serde_json::json!(["snp.vcek.available"]));
    let (code, out, _) = zeuge(
        folder.path(),
        &["collateral", "fetch", "report.bin", "--kds", &kds.url],
    );
    assert_eq!(code, 4);
    assert!(out.contains("collateral.back-off"), "{out}");
}

#[test]
fn an_older_list_than_one_seen_is_refused_by_its_id() {
    let (folder, kds) = (world(), Kds::start());
    let list = "amd/crl/Milan/vcek";
    let fetch = ["collateral", "fetch", "report.bin", "--kds", &kds.url];
    let (code, out, err) = zeuge(folder.path(), &fetch);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains(&format!("{list}: fetched")), "{out}");
    // A mirror that lags, and the newer one lost: the mark stands.
    kds.behind(30 * DAY);
    let cache = folder.path().join("cache/zeuge/collateral-sim");
    fs::remove_file(cache.join("index.json")).unwrap();
    let (code, out, _) = zeuge(folder.path(), &fetch);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("collateral.rollback"), "{out}");
    // An older one beside the evidence.
    let old = ToyAmd::shared().revocation_list(Product::Milan, now().plus(-30 * DAY));
    fs::write(folder.path().join("amd/crl.der"), old).unwrap();
    let (code, verdict) = verify(folder.path(), &kds.url, &["--endorsements", "amd"]);
    assert_eq!(code, 3, "{verdict}");
    assert_eq!(
        verdict["failed"],
        serde_json::json!(["collateral.rollback"])
    );
}

#[test]
fn a_cache_is_carried_to_a_machine_that_reaches_no_maker() {
    let (here, there, kds) = (world(), world(), Kds::start());
    let fetch = ["collateral", "fetch", "report.bin", "--kds", &kds.url];
    let format = ["--format", "json"];
    let (code, out, _) = zeuge(here.path(), &[&fetch[..], &format[..]].concat());
    assert_eq!(code, 0);
    let lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
    let lines: Vec<Value> = lines.collect();
    assert!(lines.iter().all(|line| line["state"] == "fetched"), "{out}");
    let out = there.path().join("c.json").display().to_string();
    let (code, ..) = zeuge(here.path(), &["collateral", "export", "--out", &out]);
    assert_eq!(code, 0);
    let (code, said, _) = zeuge(there.path(), &["collateral", "import", "c.json"]);
    assert_eq!((code, said.matches(": kept").count()), (0, 3), "{said}");
    let (code, said, _) = zeuge(there.path(), &["collateral", "status"]);
    assert_eq!(code, 0);
    assert!(said.contains("amd/crl/Milan/vcek") && said.contains("was seen"));
    // Nobody listens on the discard port of this machine.
    let (code, verdict) = verify(there.path(), "http://127.0.0.1:9", &[]);
    assert_eq!(code, 10, "{verdict}");
    // One damaged byte, and nothing is taken.
    let mut bytes = fs::read(there.path().join("c.json")).unwrap();
    let place = bytes.windows(6).position(|six| six == b"\"data\"").unwrap() + 12;
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    fs::write(there.path().join("c.json"), bytes).unwrap();
    let (code, _, said) = zeuge(there.path(), &["collateral", "import", "c.json"]);
    assert_eq!(code, 2);
    assert!(said.contains("collateral.bundle"), "{said}");
}

#[test]
fn addresses_and_options_that_cannot_be_meant_are_refused() {
    let folder = world();
    let run = |arguments: &[&str]| zeuge(folder.path(), arguments);
    let plain = ["collateral", "fetch", "--kds", "http://kds.example"];
    let (code, _, said) = run(&plain);
    assert_eq!(code, 1);
    assert!(said.contains("collateral.address"), "{said}");
    let data = hex::encode(DATA);
    let past = ["--fetch", "--at", "2026-01-01T00:00:00Z", "report.bin"];
    let (code, ..) = run(&[&["verify", "--report-data", &data][..], &past[..]].concat());
    assert_eq!(code, 1);
}
