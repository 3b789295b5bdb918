//! Another tool's conformance cases for TDX: what they say about the evidence, in our words.
//!
//! Walks the folder `open/conformance-tdx` of `ZEUGE_VECTORS`. `intel_conformance.tsv` says per
//! case what this program finds and why that fits the case; the cases' own policies (pinned
//! measurements, allowed attributes) belong to appraisal. Strict in both directions.

use std::{collections::BTreeMap, fs, path::Path, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeuge_evidence::{UnixTime, dcap::Quote};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error,
    crypto::AWS_LC,
    dcap::{self, Revocation},
};

fn outcome(case: &serde_json::Value, certificates: &Endorsements) -> String {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let collateral = &case["collateral"];
    let mut heap = certificates.clone();
    let names = [
        "tcb_info_json",
        "qe_identity_json",
        "tcb_info_issuer_chain_pem",
        "qe_identity_issuer_chain_pem",
        "pck_crl_issuer_chain_pem",
    ];
    for name in names {
        let content = text(&collateral[name]);
        if !content.is_empty() {
            heap.add(name, content.as_bytes());
        }
    }
    for name in ["pck_crl_der_b64", "root_crl_der_b64"] {
        heap.add(name, &STANDARD.decode(text(&collateral[name])).unwrap());
    }
    let root = text(&collateral["intel_root_ca_pem"]);
    let anchors = if root.is_empty() {
        Anchors::makers()
    } else {
        let trust = serde_json::json!({"schema": "zeuge.sim-trust.v1", "intel": {"root": root}});
        Anchors::dangerous_sim(&trust.to_string()).unwrap()
    };
    let at = &case["expiration_check_date_unix"];
    let at = UnixTime(at.as_i64().or_else(|| at.as_str()?.parse().ok()).unwrap());
    let bytes = STANDARD.decode(text(&case["quote_b64"])).unwrap();
    let because = "a case".to_owned();
    let result = Quote::parse(&bytes).map_err(Error::from).and_then(|quote| {
        dcap::quote(
            &quote,
            &heap,
            &anchors,
            &Binding::Unbound { because },
            at,
            &AWS_LC,
        )
    });
    match result {
        Ok(verified) => {
            let fact = verified.fact();
            let fresh = |list: &Revocation| match list {
                Revocation::Checked {
                    next_update: Some(next),
                    ..
                } if at <= *next => "fresh",
                Revocation::Checked { .. } => "stale",
                Revocation::Missing => "missing",
            };
            let (root, pck) = (fresh(&fact.root_revocation), fresh(&fact.pck_revocation));
            format!("{} root-crl={root} pck-crl={pck}", fact.standing.status)
        }
        Err(Error::Malformed(error)) => format!("2 {}", error.check),
        Err(error @ Error::Untrusted(_)) => format!("3 {}", error.check()),
        Err(error @ Error::Unavailable(_)) => format!("4 {}", error.check()),
    }
}

fn certificates(folder: &Path) -> Endorsements {
    let mut heap = Endorsements::new();
    for class in ["intel-cert", "intel-collateral"] {
        for entry in fs::read_dir(folder.join("open").join(class)).unwrap() {
            let path = entry.unwrap().path();
            heap.add(&path.to_string_lossy(), &fs::read(&path).unwrap());
        }
    }
    // The cases bring these themselves.
    heap.revocation_lists.clear();
    heap.documents.clear();
    heap
}

#[test]
fn every_case_ends_as_the_table_says() {
    let Some(folder) = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return;
    };
    let mut table: BTreeMap<&str, &str> = include_str!("intel_conformance.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut cells = line.split('\t');
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    let certificates = certificates(&folder);
    let mut wrong = Vec::new();
    let mut names: Vec<PathBuf> = fs::read_dir(folder.join("open/conformance-tdx"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".input.json"))
        .collect();
    names.sort();
    for path in names {
        let case: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let name = path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .replace(".input.json", "");
        let ours = outcome(&case, &certificates);
        if table.remove(name.as_str()) != Some(ours.as_str()) {
            wrong.push(format!("{name}\t{ours}"));
        }
    }
    wrong.extend(table.keys().map(|name| format!("{name}: no such case")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
