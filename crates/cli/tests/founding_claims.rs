//! The founding claims, on real captures: different machines get different words, each with its
//! reasons, and hands on the hardware or the maker of the processor are nowhere plainly protected
//! from.
#![expect(
    clippy::print_stdout,
    reason = "a test that is skipped says so, and the table is worth reading"
)]

use std::{collections::BTreeMap, path::Path, process::Command};

use serde_json::Value;

const MILAN: &str = "snp-report/v3-milan-vcek__oak__cb_evidence-emb1.bin";
const GENOA: &str = "snp-report/v3-genoa-vcek__tinfoil-conformance__real_genoa_bundle-emb1.bin";
const TURIN: &str = "snp-report/v5-turin-vcek__trustee__turin-report.bin";
const VLEK: &str = "snp-report/v3-milan-vlek__trustee__test-vlek-report.bin";
const AZURE: &str = "azure-hcl/snp-genoa__trustee__evidence-genoa-1.bin";
const TDX: &str = "tdx-quote/v4-90c06f000000__teep__deepseek-v3.2_attestation-1.bin";
const TDX_OLD: &str = "tdx-quote/v4-90c06f000000__trust-center__debug-data-4.bin";

/// The verdict of the program on one capture; `None` without captures.
fn verdict(path: &str, at: &str) -> Option<Value> {
    let Some(vectors) = std::env::var_os("ZEUGE_VECTORS") else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return None;
    };
    let open = Path::new(&vectors).join("open");
    let mut command = Command::new(env!("CARGO_BIN_EXE_zeuge"));
    command.args(["verify", "--format", "json", "--hardware-only", "--at", at]);
    command.args(["--unbound", "a published capture"]);
    for folder in ["amd-cert", "crl", "intel-cert", "intel-collateral"] {
        command.arg("--endorsements").arg(open.join(folder));
    }
    let output = command.arg(open.join(path)).output().expect("it runs");
    Some(
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "{path}: {error}: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        }),
    )
}

fn state<'v>(verdict: &'v Value, id: &str) -> (&'v str, &'v str) {
    let threats = verdict["threats"].as_array().expect("threats");
    let one = threats.iter().find(|one| one["id"] == id).expect(id);
    (
        one["state"].as_str().expect("a state"),
        one["because"].as_str().expect("a reason"),
    )
}

fn words(verdict: &Value) -> BTreeMap<String, String> {
    let all = verdict["adversaries"].as_array().expect("adversaries");
    let text = |value: &Value| value.as_str().expect("a word").to_owned();
    let words = all
        .iter()
        .map(|one| (text(&one["who"]), text(&one["verdict"])));
    words.collect()
}

fn reasons(verdict: &Value, who: &str) -> String {
    let all = verdict["adversaries"].as_array().expect("adversaries");
    let one = all.iter().find(|one| one["who"] == who).expect(who);
    one["because"].to_string()
}

#[test]
fn milan_is_forgeable_by_name_source_and_confidence() {
    let Some(verdict) = verdict(MILAN, "2026-01-10T00:00:00Z") else {
        return;
    };
    let (state, because) = state(&verdict, "AMD-30");
    assert_eq!(state, "FORGEABLE");
    assert!(because.contains("the processor is Milan"), "{because}");
    assert!(
        because.contains("[primary source: S1, https://arxiv.org/abs/2605.12990]"),
        "{because}"
    );
    // Nothing that rests on such evidence is proven any more.
    let threats = verdict["threats"].as_array().expect("threats");
    for one in threats.iter().filter(|one| one["state"] == "PROVEN") {
        let id = one["id"].as_str().expect("an id");
        assert!(id.starts_with("PRO") || id.starts_with("OWN"), "{id}");
    }
    assert_eq!(words(&verdict)["provider-employee"], "not_protected");
    assert!(reasons(&verdict, "provider-employee").starts_with("[\"AMD-"));
    assert!(reasons(&verdict, "provider-employee").contains("AMD-30"));
}

#[test]
fn a_provider_s_key_shows_against_the_provider_as_an_organisation() {
    let Some(vlek) = verdict(VLEK, "2025-06-11T10:14:21Z") else {
        return;
    };
    assert_eq!(vlek["kind"], "snp", "{vlek}");
    let (found, because) = state(&vlek, "CSP-01");
    assert_eq!(found, "EXPOSED", "{because}");
    assert!(because.contains("SIGNING_KEY: vlek"), "{because}");
    let (found, _) = state(&vlek, "AMD-30");
    assert_eq!(found, "FORGEABLE");
    let Some(genoa) = verdict(GENOA, "2026-06-18T08:19:28Z") else {
        return;
    };
    assert_eq!(state(&genoa, "CSP-01").0, "PROVEN");
}

#[test]
fn azure_s_genoa_shows_the_paravisor_and_what_it_stands_on() {
    let Some(azure) = verdict(AZURE, "2025-12-24T01:10:54Z") else {
        return;
    };
    assert_eq!(azure["kind"], "azure", "{azure}");
    for (id, wanted) in [
        ("PAR-01", "UNPROVABLE"),
        ("PAR-03", "EXPOSED"),
        ("TPM-09", "EXPOSED"),
        ("AMD-16", "PROVEN"),
        ("AMD-28", "EXPOSED"),
        ("AMD-30", "NOT_APPLICABLE"),
        ("CSP-01", "PROVEN"),
        ("MEM-01", "NOT_APPLICABLE"),
    ] {
        let (found, because) = state(&azure, id);
        assert_eq!(found, wanted, "{id}: {because}");
    }
    assert!(reasons(&azure, "provider-organisation").starts_with("[\"PAR-03"));
}

#[test]
fn genoa_s_figures_are_read_in_all_four_views_of_its_own_line() {
    let Some(genoa) = verdict(GENOA, "2026-06-18T08:19:28Z") else {
        return;
    };
    // SNP 23 and microcode 84: past BadRAM and EntrySign, below the figures of 2026.
    for (id, wanted) in [
        ("AMD-16", "PROVEN"),
        ("AMD-18", "PROVEN"),
        ("AMD-21", "EXPOSED"),
        ("AMD-24", "EXPOSED"),
        ("AMD-28", "EXPOSED"),
        ("AMD-25", "NO_THRESHOLD"),
        ("AMD-27", "NO_THRESHOLD"),
        ("AMD-30", "NOT_APPLICABLE"),
        ("PHY-03", "INVISIBLE"),
    ] {
        let (found, because) = state(&genoa, id);
        assert_eq!(found, wanted, "{id}: {because}");
    }
    let (_, because) = state(&genoa, "AMD-28");
    assert!(
        because.contains("snp 23 is the lowest of the four views; AMD-SB-3016 names 27"),
        "{because}"
    );
}

#[test]
fn a_current_trust_domain_and_an_old_one_get_different_words() {
    let Some(current) = verdict(TDX, "2026-02-25T00:45:20Z") else {
        return;
    };
    assert_eq!(current["kind"], "tdx", "{current}");
    assert_eq!(state(&current, "TDX-00").0, "PROVEN");
    assert_eq!(state(&current, "TDX-04").0, "PROVEN");
    // An older set of Intel's does not know the advisories of a newer one: not seen is not fixed.
    assert_eq!(state(&current, "TDX-07").0, "UNPROVABLE");
    assert_eq!(state(&current, "PHY-03").0, "INVISIBLE");
    assert_eq!(words(&current)["co-tenant"], "protected");
    let Some(old) = verdict(TDX_OLD, "2026-02-25T00:45:20Z") else {
        return;
    };
    for id in ["TDX-00", "TDX-03", "TDX-04", "TDX-08"] {
        assert_eq!(state(&old, id).0, "EXPOSED", "{id}");
    }
    assert_eq!(words(&old)["provider-employee"], "not_protected");
    assert_eq!(words(&old)["co-tenant"], "not_protected");
}

#[test]
fn hands_and_makers_are_nowhere_plainly_protected_from() {
    let machines = [
        (MILAN, "2026-01-10T00:00:00Z"),
        (GENOA, "2026-06-18T08:19:28Z"),
        (TURIN, "2026-09-10T04:28:25Z"),
        (VLEK, "2025-06-11T10:14:21Z"),
        (AZURE, "2025-12-24T01:10:54Z"),
        (TDX, "2026-02-25T00:45:20Z"),
        (TDX_OLD, "2026-02-25T00:45:20Z"),
    ];
    for (path, at) in machines {
        let Some(verdict) = verdict(path, at) else {
            return;
        };
        let words = words(&verdict);
        println!("{path}: {words:?}");
        assert_eq!(words.len(), 9, "{path}");
        for who in ["physical-brief", "physical-laboratory", "cpu-maker"] {
            assert_eq!(words[who], "not_protected", "{path} {who}");
        }
        assert_ne!(words["provider-organisation"], "protected", "{path}");
        assert_ne!(words["witness-operator"], "protected", "{path}");
        assert_eq!(verdict["knowledge"]["version"], 1);
        for one in verdict["adversaries"].as_array().expect("adversaries") {
            let because = one["because"].as_array().expect("reasons");
            assert!(
                !because.is_empty() || one["verdict"] == "protected",
                "{path} {one}"
            );
        }
    }
}

#[test]
fn nothing_proven_leaves_every_adversary_unknown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("garbage.bin");
    std::fs::write(&file, [0; 10]).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .args(["verify", "--format", "json", "--unbound", "garbage"])
        .arg(&file)
        .output()
        .expect("it runs");
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("a verdict");
    let words = words(&verdict);
    assert!(words.values().all(|word| word == "unknown"), "{words:?}");
    assert_eq!(verdict["threats"], Value::Array(Vec::new()));
}
