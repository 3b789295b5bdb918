//! Threat knowledge, trust reports, archives and advice, as people call them.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use zeuge_appraise::Knowledge;
use zeuge_evidence::UnixTime;
use zeuge_sim::{Product, ReportSpec, ToyAmd};

const AT: &str = "2026-03-01T00:00:00Z";

/// Runs the program in a folder that is its home, too.
fn zeuge(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .current_dir(folder)
        .env("HOME", folder)
        .env_remove("XDG_DATA_HOME")
        .args(arguments)
        .output()
        .expect("it runs")
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = zeuge(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = zeuge(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// A toy machine's evidence in a folder.
fn machine(folder: &Path) {
    let now = UnixTime::parse_rfc3339(AT).expect("an instant");
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Genoa), now);
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file");
    put("evidence.bin", &told.evidence_file);
    let trust = ToyAmd::shared().trust_file(&[Product::Genoa]);
    put("trust.json", trust.as_bytes());
    fs::create_dir_all(folder.join("amd")).expect("a folder");
    for (name, bytes) in &told.endorsements {
        put(&format!("amd/{name}"), bytes);
    }
}

const JUDGE: [&str; 8] = [
    "--at",
    AT,
    "--unbound",
    "a toy",
    "--hardware-only",
    "--endorsements",
    "amd",
    "--dangerous-trust-sim",
];

fn judged(command: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    let mut all = vec![command];
    all.extend(JUDGE);
    all.push("trust.json");
    all.extend(more);
    all.push("evidence.bin");
    all
}

fn version_in_verdict(folder: &Path) -> Value {
    let output = zeuge(folder, &judged("verify", &["--format", "json"]));
    let verdict: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    verdict["knowledge"]["version"].clone()
}

#[test]
fn threats_are_listed_shown_and_explained_in_two_languages() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let list = done(folder, &["threats", "list"]);
    assert_eq!(list.lines().count(), Knowledge::built_in().threats().len());
    let whole = done(folder, &["threats", "list", "--whole"]);
    assert_eq!(whole, Knowledge::built_in_text());
    let show = done(folder, &["threats", "show", "AMD-25"]);
    assert!(
        show.contains("withdrawn") && show.contains("WITHDRAWN"),
        "{show}"
    );
    assert!(show.contains("AMD-SB-3034 genoa-b1 snp >= 28"), "{show}");
    let german = done(folder, &["threats", "explain", "FORGEABLE", "--lang", "de"]);
    assert!(german.contains("Angreifer"), "{german}");
    let who = done(
        folder,
        &["threats", "explain", "physical-brief", "--lang", "de"],
    );
    assert!(who.contains("Schraubendreher"), "{who}");
    let near = refused(folder, &["threats", "show", "AMD-99"]);
    assert!(near.contains("AMD-30"), "{near}");
}

#[test]
fn knowledge_comes_only_from_owners_only_upwards_and_fails_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    machine(folder);
    done(folder, &["owner", "init", "--out", "owner"]);
    done(folder, &["owner", "init", "--out", "stranger"]);
    let newer = Knowledge::built_in_text().replacen("version = 1", "version = 2", 1);
    fs::write(folder.join("k.toml"), &newer).expect("a file");
    done(
        folder,
        &[
            "owner",
            "sign",
            "--key",
            "owner/owner.key",
            "--version",
            "2",
            "k.toml",
        ],
    );
    let update = ["threats", "update", "k.toml.signed", "--owners"];
    let by = |owners: &'static str| [&update[..], &[owners]].concat();
    assert_eq!(version_in_verdict(folder), 1);
    let said = refused(folder, &by("stranger/owner.pub"));
    assert!(said.contains("document.threshold"), "{said}");
    let said = done(folder, &by("owner/owner.pub"));
    assert!(said.contains("version 2"), "{said}");
    assert_eq!(version_in_verdict(folder), 2);
    // The same version again, and other owners, are refused; what is kept stays.
    let said = refused(folder, &by("owner/owner.pub"));
    assert!(said.contains("document.version"), "{said}");
    let said = refused(folder, &by("stranger/owner.pub"));
    assert!(said.contains("document.owners"), "{said}");
    // A changed document stops every verdict until somebody acts.
    let kept = folder.join(".local/share/zeuge/threat-knowledge.json");
    let text = fs::read_to_string(&kept).expect("what is kept");
    fs::write(&kept, text.replacen("\"version\": 2", "\"version\": 3", 1)).expect("a file");
    let output = zeuge(folder, &judged("verify", &["--format", "json"]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("threat knowledge is refused"), "{said}");
    done(folder, &["threats", "update", "--drop"]);
    assert_eq!(version_in_verdict(folder), 1);
    // Knowledge that claims too much is not even signed.
    let loose = newer.replacen("otherwise = \"EXPOSED\"", "otherwise = \"PROVEN\"", 1);
    fs::write(folder.join("loose.toml"), loose).expect("a file");
    let said = refused(
        folder,
        &["owner", "sign", "--key", "owner/owner.key", "loose.toml"],
    );
    assert!(
        said.contains("nothing is PROVEN where no rule holds"),
        "{said}"
    );
}

#[test]
fn an_archive_reproduces_the_verdict_and_says_what_differs() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    machine(folder);
    done(
        folder,
        &["owner", "init", "--out", "owner", "--name", "anna"],
    );
    let made = judged(
        "report",
        &[
            "--format",
            "html",
            "--lang",
            "de",
            "--out",
            "r.html",
            "--sign",
            "owner/owner.key",
            "--bundle",
            "r.zeuge",
        ],
    );
    assert_eq!(zeuge(folder, &made).status.code(), Some(10));
    let page = fs::read_to_string(folder.join("r.html")).expect("a page");
    assert!(page.contains("Vor wem diese Maschine schützt"));
    let said = done(
        folder,
        &["owner", "check", "r.html", "--set", "owner/owner.pub"],
    );
    assert!(said.contains("signed by anna"), "{said}");
    signed_by_nobody_else(folder);
    // Nothing of the folder is needed any more, and nothing secret went along.
    let archive = fs::read_to_string(folder.join("r.zeuge")).expect("an archive");
    for name in ["evidence.bin", "trust.json"] {
        fs::remove_file(folder.join(name)).expect("a file");
    }
    fs::remove_dir_all(folder.join("amd")).expect("a folder");
    let seed = fs::read_to_string(folder.join("owner/owner.key")).expect("a key");
    let seed = seed
        .lines()
        .last()
        .expect("a seed")
        .trim_start_matches("seed: ")
        .to_owned();
    assert!(!archive.contains(&seed));
    let again = zeuge(folder, &["verify", "r.zeuge"]);
    assert_eq!(again.status.code(), Some(10), "{again:?}");
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(
        said.contains("reproduced: the same verdict, byte for byte"),
        "{said}"
    );
    assert!(said.contains("by the same verifier"), "{said}");
    assert!(said.contains("is signed by anna"), "{said}");
    changed(folder, &archive);
}

/// A stranger's set, and a changed page.
fn signed_by_nobody_else(folder: &Path) {
    done(folder, &["owner", "init", "--out", "stranger"]);
    let check = ["owner", "check", "r.html", "--set", "stranger/owner.pub"];
    assert_eq!(zeuge(folder, &check).status.code(), Some(3));
    let page = fs::read_to_string(folder.join("r.html")).expect("a page");
    fs::write(
        folder.join("x.html"),
        page.replacen("ABGELEHNT", "BESTÄTIGT", 1) + " ",
    )
    .expect("a file");
    let check = [
        "owner",
        "check",
        "x.html",
        "--signature",
        "r.html.sig",
        "--set",
        "owner/owner.pub",
    ];
    let refusal = zeuge(folder, &check);
    assert_eq!(refusal.status.code(), Some(3), "{refusal:?}");
}

/// Another verdict than the one that comes out, and an archive of another form.
fn changed(folder: &Path, archive: &str) {
    for (from, to, wanted) in [
        (
            "\"verdict\": \"warning\"",
            "\"verdict\": \"affirming\"",
            "differs: verdict",
        ),
        (
            "\"at\": \"2026-03-01",
            "\"at\": \"2026-03-02",
            "differs: at",
        ),
        (
            "\"person\": \"anna\"",
            "\"person\": \"anna\", \"x\": 1",
            "bundle.malformed",
        ),
    ] {
        assert!(archive.contains(from), "{from}");
        fs::write(folder.join("bad.zeuge"), archive.replacen(from, to, 1)).expect("a file");
        let bad = zeuge(folder, &["verify", "bad.zeuge"]);
        assert!(matches!(bad.status.code(), Some(2 | 3)), "{from}: {bad:?}");
        let all = [bad.stdout, bad.stderr].concat();
        let said = String::from_utf8_lossy(&all);
        assert!(said.contains(wanted), "{from}: {said}");
    }
}

#[test]
fn a_signature_over_another_report_does_not_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    machine(folder);
    done(
        folder,
        &["owner", "init", "--out", "owner", "--name", "anna"],
    );
    let made = judged(
        "report",
        &[
            "--out",
            "r.txt",
            "--sign",
            "owner/owner.key",
            "--bundle",
            "r.zeuge",
        ],
    );
    assert_eq!(zeuge(folder, &made).status.code(), Some(10));
    let archive = fs::read_to_string(folder.join("r.zeuge")).expect("an archive");
    let mut whole: Value = serde_json::from_str(&archive).expect("JSON");
    let digest = whole["signature"]["sha256"]
        .as_str()
        .expect("a digest")
        .to_owned();
    whole["signature"]["sha256"] = Value::String(digest.replace('a', "b"));
    fs::write(folder.join("bad.zeuge"), whole.to_string()).expect("a file");
    let bad = zeuge(folder, &["verify", "bad.zeuge"]);
    assert_eq!(bad.status.code(), Some(3), "{bad:?}");
    assert!(String::from_utf8_lossy(&bad.stdout).contains("does not hold over the report"));
}

#[test]
fn a_report_in_json_holds_the_verdict_the_limits_and_the_auditors_questions() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    machine(folder);
    let output = zeuge(folder, &judged("report", &["--format", "json"]));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["schema"], "zeuge.report.v1");
    assert_eq!(report["verdict"]["schema"], "zeuge.verdict.v1");
    assert_eq!(report["limits"].as_array().map(Vec::len), Some(8));
    assert_eq!(report["auditors"].as_array().map(Vec::len), Some(5));
    assert!(
        report["inputs"]
            .as_array()
            .is_some_and(|all| all.len() >= 4)
    );
    let again = zeuge(folder, &judged("report", &["--format", "json"]));
    assert_eq!(output.stdout, again.stdout);
}

#[test]
fn advice_says_first_what_does_not_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let asked = [
        "advise",
        "--data",
        "health",
        "--against",
        "provider-employee",
        "--against",
        "cpu-maker",
        "--provider",
        "azure",
        "--budget",
        "small",
    ];
    let english = done(folder.path(), &asked);
    let no = english
        .find("NO: The maker of the processor")
        .expect("a no");
    let yes = english.find("YES, where evidence proves").expect("a yes");
    assert!(no < yes, "{english}");
    for part in [
        "zeuge.policy.v1",
        "431 %",
        "Where the machine stands.",
        "gematik",
    ] {
        assert!(english.contains(part), "{part}: {english}");
    }
    let german = done(folder.path(), &[&asked[..], &["--lang", "de"]].concat());
    assert!(german.contains("NEIN: Der Hersteller"), "{german}");
    let said = refused(folder.path(), &["advise", "--data", "health"]);
    assert!(said.contains("--against"), "{said}");
}

#[test]
fn advice_asks_on_a_terminal_in_the_readers_language_and_asks_again() {
    use std::{io::Write as _, process::Stdio};
    let folder = tempfile::tempdir().expect("a folder");
    let program = format!("{} advise --lang de", env!("CARGO_BIN_EXE_zeuge"));
    let started = Command::new("script")
        .args(["-qec", &program, "/dev/null"])
        .env("HOME", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut asked) = started else {
        // Part of bsdutils, which Debian always has.
        return;
    };
    let answers = b"gesund\nhealth\nprovider-employee cpu-maker\nazure\nsmall\n";
    let mut to = asked.stdin.take().expect("a pipe");
    to.write_all(answers).expect("it listens");
    let output = asked.wait_with_output().expect("it ends");
    drop(to);
    let said = String::from_utf8_lossy(&output.stdout);
    for part in [
        "health: Daten über die Gesundheit.",
        "eines der Wörter vor den Doppelpunkten",
        "cpu-maker: Der Hersteller",
        "small: Kaum.",
        "NEIN: Der Hersteller",
        "Was es kostet",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
