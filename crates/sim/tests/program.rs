//! The program `zeuge-sim` as people use it.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zeuge-sim"))
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn help_says_that_this_is_a_toy_and_exits_with_0() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("This is a toy") && text.contains("Examples:"));
}

#[test]
fn wrong_usage_exits_with_1() {
    assert_eq!(run(&["snp"]).status.code(), Some(1));
    let output = run(&["snp", "--out", "x", "--lie", "snp.nothing"]);
    assert_eq!(output.status.code(), Some(1));
    let output = run(&["quote", "--out", "x", "--tee", "tdx", "--version", "3"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn lies_are_listed_one_a_line_by_their_check() {
    let output = run(&["lies"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let amd = zeuge_sim::Lie::ALL.iter().map(|lie| lie.check());
    let intel = zeuge_sim::IntelLie::ALL.iter().map(|lie| lie.check());
    let aws = zeuge_sim::NitroLie::ALL.iter().map(|lie| lie.check());
    let azure = zeuge_sim::AzureLie::ALL.iter().map(|lie| lie.check());
    let google = zeuge_sim::GoogleLie::ALL.iter().map(|lie| lie.check());
    let ratls = zeuge_sim::RatlsLie::ALL.iter().map(|lie| lie.check());
    let tpm = zeuge_sim::TpmLie::ALL.iter().map(|lie| lie.check());
    assert_eq!(
        listed,
        amd.chain(intel)
            .chain(aws)
            .chain(azure)
            .chain(google)
            .chain(ratls)
            .chain(tpm)
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_run_writes_report_endorsements_and_trust_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_string_lossy().into_owned();
    let data = "ab".repeat(64);
    let output = run(&[
        "snp",
        "--out",
        &out,
        "--product",
        "Genoa",
        "--report-data",
        &data,
        "--at",
        "2026-03-01T00:00:00Z",
    ]);
    assert_eq!(output.status.code(), Some(0));
    let report = std::fs::read(folder.path().join("report.bin")).expect("a report");
    assert_eq!(report.len(), zeuge_sim::REPORT_BYTES);
    assert_eq!(report[0x50..0x90], [0xab; 64]);
    for name in ["vcek.der", "ask.der", "ark.der", "crl.der", "trust.json"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a_quote_comes_with_its_collateral_and_a_trust_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().to_string_lossy().into_owned();
    let data = "ab".repeat(64);
    let run = |arguments: &[&str]| {
        let fixed = ["quote", "--out", &out, "--report-data", &data];
        run(&[&fixed[..], arguments].concat()).status.code()
    };
    let quote = || std::fs::read(folder.path().join("quote.bin")).expect("a quote");
    assert_eq!(run(&["--tee", "sgx", "--version", "3"]), Some(0));
    assert_eq!(quote()[48 + 320..48 + 384], [0xab; 64]);
    assert_eq!(run(&["--lie", "tdx.module.signer"]), Some(0));
    assert_eq!(quote()[568..632], [0xab; 64]);
    assert_ne!(quote()[48 + 64..48 + 112], [0; 48]);
    for name in [
        "pck-crl-issuer-chain.pem",
        "tcb-issuer-chain.pem",
        "root-crl.der",
        "pck-crl.der",
        "tcb-info.json",
        "qe-identity.json",
        "trust.json",
    ] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
}
