//! The same inputs give the same bytes: from one run of the program to the next, and whatever the
//! order in which endorsements are named.

use std::{fs, path::Path, process::Command};

use zeuge_evidence::UnixTime;
use zeuge_sim::{Product, QuoteForm, QuoteSpec, ReportSpec, ToyAmd, ToyIntel};

const AT: &str = "2026-03-01T00:00:00Z";

/// Writes evidence, its endorsements and the trust file; gives the endorsements' names.
fn written(
    folder: &Path,
    evidence: &[u8],
    files: &[(String, Vec<u8>)],
    trust: &str,
) -> Vec<String> {
    let put = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file");
    put("evidence.bin", evidence);
    put("trust.json", trust.as_bytes());
    for (name, bytes) in files {
        put(name, bytes);
    }
    files.iter().map(|(name, _)| name.clone()).collect()
}

fn verdict(folder: &Path, endorsements: &[String]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zeuge"));
    command.current_dir(folder);
    command.args(["verify", "--format", "json", "--at", AT, "--hardware-only"]);
    command.args(["--unbound", "a toy", "--dangerous-trust-sim", "trust.json"]);
    for name in endorsements {
        command.args(["--endorsements", name]);
    }
    let output = command.arg("evidence.bin").output().expect("it runs");
    assert!(!output.stdout.is_empty(), "{output:?}");
    output.stdout
}

/// In every rotation, and backwards; each is a process of its own.
fn holds(folder: &Path, mut names: Vec<String>, word: &str) {
    let first = verdict(folder, &names);
    let text = String::from_utf8_lossy(&first).into_owned();
    assert!(text.contains(word), "{text}");
    assert_eq!(verdict(folder, &names), first);
    for _ in 1..names.len() {
        names.rotate_left(1);
        assert_eq!(verdict(folder, &names), first, "{names:?}");
    }
    names.reverse();
    assert_eq!(verdict(folder, &names), first, "{names:?}");
}

#[test]
fn one_report_has_one_verdict_byte_for_byte() {
    let now = UnixTime::parse_rfc3339(AT).expect("an instant");
    let told = ToyAmd::shared().tell(None, &ReportSpec::new(Product::Milan), now);
    let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
    let folder = tempfile::tempdir().expect("a folder");
    let names = written(
        folder.path(),
        &told.evidence_file,
        &told.endorsements,
        &trust,
    );
    holds(folder.path(), names.clone(), r#""verdict":"warning""#);
    // Without its leaf the report is refused, also in one way only.
    let without = names.into_iter().filter(|name| name != "vcek.der");
    holds(
        folder.path(),
        without.collect(),
        r#""verdict":"unavailable""#,
    );
}

#[test]
fn one_quote_has_one_verdict_byte_for_byte() {
    let now = UnixTime::parse_rfc3339(AT).expect("an instant");
    let spec = QuoteSpec::new(QuoteForm::Tdx4);
    // The second as Trustee's client sends it, with the log of its boot.
    for (spec, wanted) in [
        (spec.clone(), r#""verdict":"warning""#),
        (spec.with_boot_log(), r#""event_log":{"#),
    ] {
        let told = ToyIntel::shared().tell(None, &spec, now);
        let trust = ToyIntel::shared().trust_file();
        let folder = tempfile::tempdir().expect("a folder");
        let names = written(
            folder.path(),
            &told.evidence_file,
            &told.endorsements,
            &trust,
        );
        holds(folder.path(), names, wanted);
    }
}
