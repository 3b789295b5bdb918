//! Intel's collateral as a user meets it: the program itself against a toy of Intel's service on a
//! real socket.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use zeuge_evidence::UnixTime;
use zeuge_sim::{QuoteForm, QuoteSpec, RatlsForm, RatlsLie, ToyIntel};

const DATA: [u8; 64] = [0x5a; 64];

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime(i64::try_from(since.as_secs()).unwrap())
}

/// The toy's service; answers one request per connection until the test ends.
fn pcs() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            let mut rest = String::new();
            while reader.read_line(&mut rest).is_ok_and(|length| length > 2) {
                rest.clear();
            }
            let path = line.split(' ').nth(1).unwrap_or_default();
            let answer = ToyIntel::shared().pcs(path, now());
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
    url
}

/// A folder with a quote of either kind, alone, and the toy's root.
fn world() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("quotes")).unwrap();
    for (file, form) in [
        ("td.bin", QuoteForm::Tdx4),
        ("enclave.bin", QuoteForm::Sgx3),
    ] {
        let spec = QuoteSpec {
            report_data: DATA,
            ..QuoteSpec::new(form)
        };
        let told = ToyIntel::shared().tell(None, &spec, now());
        fs::write(folder.path().join("quotes").join(file), &told.quote).unwrap();
    }
    fs::write(folder.path().join("quotes/notes.txt"), "no quote").unwrap();
    fs::write(
        folder.path().join("trust.json"),
        ToyIntel::shared().trust_file(),
    )
    .unwrap();
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

fn verify(folder: &Path, more: &[&str]) -> (i32, Value) {
    let data = hex::encode(DATA);
    let fixed = [
        "verify",
        "quotes/td.bin",
        "--hardware-only",
        "--format",
        "json",
    ];
    let bound = ["--report-data", &data];
    let (code, out, err) = zeuge(folder, &[&fixed[..], &bound[..], more].concat());
    let verdict = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    (code, verdict)
}

fn check<'v>(verdict: &'v Value, id: &str) -> Option<&'v Value> {
    let mut checks = verdict["checks"].as_array().unwrap().iter();
    checks.find(|check| check["id"] == id)
}

#[test]
fn a_lone_quote_verifies_with_what_intel_adds_and_says_what_is_coming() {
    let (folder, url) = (world(), pcs());
    let (code, _) = verify(folder.path(), &[]);
    assert_eq!(code, 4, "offline is the default");
    let (code, verdict) = verify(folder.path(), &["--fetch", "--pcs", &url]);
    assert_eq!((code, &verdict["verdict"]), (10, &"warning".into()));
    assert_eq!(verdict["claims"]["tdx"]["tcb_status"], "UpToDate");
    assert_eq!(
        check(&verdict, "policy.tcb-outlook").unwrap()["status"],
        "warn"
    );
    // The service is not asked again, and under the early documents the platform is refused.
    let nobody = ["--fetch", "--pcs", "http://127.0.0.1:9"];
    let (code, _) = verify(folder.path(), &nobody);
    assert_eq!(code, 10);
    let early = [&nobody[..], &["--update", "early"]].concat();
    let (code, verdict) = verify(folder.path(), &early);
    assert_eq!(code, 5);
    assert_eq!(verdict["failed"], serde_json::json!(["policy.tcb-status"]));
    // The makers are not asked about a toy's machines.
    let other = tempfile::tempdir().unwrap();
    let cache = other.path().to_str().unwrap();
    let (code, verdict) = verify(folder.path(), &["--fetch", "--cache", cache]);
    assert_eq!(code, 4, "{verdict}");
}

#[test]
fn collateral_of_both_channels_is_fetched_carried_and_listed() {
    let (here, there, url) = (world(), world(), pcs());
    let fetch = [
        "collateral",
        "fetch",
        "quotes/td.bin",
        "quotes/enclave.bin",
        "--pcs",
        &url,
    ];
    let (code, out, err) = zeuge(here.path(), &fetch);
    assert_eq!(code, 0, "{out}{err}");
    for key in [
        "intel/crl/root: fetched",
        "intel/crl/platform: fetched",
        "intel/tcb/tdx/00806f050000/early: fetched",
        "intel/tcb/sgx/00806f050000/standard: fetched",
        "intel/qe/tdx/standard: fetched",
    ] {
        assert!(out.contains(key), "{key}\n{out}");
    }
    let out_file = there.path().join("c.json");
    let out_file = out_file.to_str().unwrap();
    assert_eq!(
        zeuge(here.path(), &["collateral", "export", "--out", out_file]).0,
        0
    );
    let (code, out, _) = zeuge(there.path(), &["collateral", "import", "c.json"]);
    assert_eq!(code, 0, "{out}");
    let (_, out, _) = zeuge(there.path(), &["collateral", "status", "--format", "json"]);
    assert!(
        out.contains("\"key\":\"intel/tcb/tdx/00806f050000/early\""),
        "{out}"
    );
    let (code, out, err) = zeuge(there.path(), &["collateral", "forecast", "quotes"]);
    assert_eq!(code, 10, "{out}{err}");
}

#[test]
fn a_forecast_says_how_a_folder_of_quotes_stands_and_from_when_it_is_refused() {
    let (folder, url) = (world(), pcs());
    let (code, out, _) = zeuge(folder.path(), &["collateral", "forecast", "quotes"]);
    assert_eq!(code, 4, "nothing is at hand: {out}");
    let asked = ["collateral", "forecast", "quotes", "--fetch", "--pcs", &url];
    let (code, out, err) = zeuge(folder.path(), &asked);
    assert_eq!(code, 10, "{out}{err}");
    assert!(err.contains("1 files are no quotes"), "{err}");
    for line in [
        "quotes/td.bin  FMSPC 00806f050000",
        "  standard (number 20): UpToDate",
        "  early (number 21): OutOfDate, refused",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    // Days of grace put the refusal off to a day that is named.
    let level = 1_755_043_200; // 13 August 2025
    let days = (now().0 - level) / 86_400 + 100;
    let policy = format!("schema = \"zeuge.policy.v1\"\n[intel]\ngrace_days = {days}\n");
    fs::write(folder.path().join("grace.toml"), policy).unwrap();
    let graced = [
        "collateral",
        "forecast",
        "quotes/td.bin",
        "--policy",
        "grace.toml",
    ];
    let (code, out, _) = zeuge(
        folder.path(),
        &[&graced[..], &["--format", "json"]].concat(),
    );
    assert_eq!(code, 10);
    let row: Value = serde_json::from_str(&out).unwrap();
    let early = &row["channels"][1];
    assert_eq!(
        (&early["channel"], &early["check"]),
        (&"early".into(), &"policy.tcb-status".into())
    );
    let ends = UnixTime(level + days * 86_400 + 1).to_string();
    assert_eq!(early["refused_from"], ends);
    // What the policy accepts stays accepted.
    let policy = "schema = \"zeuge.policy.v1\"\n[intel]\naccepted_statuses = [\"OutOfDate\"]\n";
    fs::write(folder.path().join("accept.toml"), policy).unwrap();
    let accepted = [
        "collateral",
        "forecast",
        "quotes/td.bin",
        "--policy",
        "accept.toml",
    ];
    assert_eq!(zeuge(folder.path(), &accepted).0, 0);
}

#[test]
fn a_certificate_that_carries_a_quote_is_verified_and_shown_with_it() {
    let folder = world();
    let spec = QuoteSpec::new(QuoteForm::Sgx3);
    let tell = |lie| ToyIntel::shared().ra_tls(lie, RatlsForm::Gramine, &spec, now());
    let (honest, endorsements) = tell(None);
    fs::create_dir(folder.path().join("intel")).unwrap();
    for (name, bytes) in &endorsements {
        fs::write(folder.path().join("intel").join(name), bytes).unwrap();
    }
    fs::write(folder.path().join("honest.der"), &honest).unwrap();
    let verify = |file: &str| {
        let fixed = ["verify", file, "--hardware-only", "--format", "json"];
        let more = ["--unbound", "a connection", "--endorsements", "intel"];
        zeuge(folder.path(), &[&fixed[..], &more[..]].concat())
    };
    let (code, out, err) = verify("honest.der");
    assert_eq!(code, 10, "{out}{err}");
    let verdict: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(verdict["kind"], "sgx");
    for id in ["ratls.key", "ratls.validity"] {
        assert_eq!(check(&verdict, id).unwrap()["status"], "pass");
    }
    for lie in RatlsLie::ALL {
        fs::write(folder.path().join("lie.der"), tell(Some(*lie)).0).unwrap();
        let (code, out, _) = verify("lie.der");
        let verdict: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(verdict["failed"], serde_json::json!([lie.check()]));
        assert_eq!(
            code,
            if lie.check() == "ratls.evidence" {
                2
            } else {
                3
            }
        );
    }
    let output = Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .args(["inspect", "honest.der"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("MRENCLAVE"), "{shown}");
}
