//! The agent behind a stand-in for Azure's paravisor: a real TPM 2.0 (swtpm) with a toy's HCL report
//! in NV index 0x01400001 and the key that it commits to at 0x81000003.
//!
//! Needs swtpm and tpm2-tools (`scripts/setup` installs them). Without them it says so and passes.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

mod azure_machine;

use std::{
    fs,
    process::{Command, Output},
};

use azure_machine::{Silicon, Tpm, agent, booted, paravisor_between, report};
use zeuge_evidence::UnixTime;
use zeuge_sim::{Product, ToyAmd};

const NOW: UnixTime = UnixTime(1_772_323_200);
const AT: &str = "2026-03-01T00:00:00Z";
const NONCE: &str = "00112233445566778899aabbccddeeff";

impl Tpm {
    fn agent(&self) -> Output {
        Command::new(agent())
            .args(["tpm", "azure", "--nonce", NONCE])
            // Nobody listens there: what it would say is not needed.
            .args(["--metadata-service", "http://127.0.0.1:9", "--tpm-socket"])
            .arg(self.at("sock"))
            .output()
            .expect("the agent runs")
    }

    fn verify(&self, nonce: &str, file: &str, more: &[&str]) -> (i32, serde_json::Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_zeuge"))
            .args(["verify", "--kind", "azure", "--hardware-only", "--at", AT])
            .args(["--format", "json", "--nonce", nonce, "--endorsements"])
            .arg(self.at("amd"))
            .arg("--dangerous-trust-sim")
            .args([self.at("trust.json"), self.at(file)])
            .args(more)
            .output()
            .expect("the program runs");
        let said = serde_json::from_slice(&output.stdout);
        (output.status.code().expect("a code"), said.expect("JSON"))
    }

    /// An HCL report of the toy's chip that commits to this key, in the index; what endorses it
    /// beside it.
    fn paravisor(&self, modulus: &[u8]) {
        let (hcl, endorsements) = report(Silicon::Amd, modulus, &[0; 64], NOW);
        fs::write(self.at("hcl.bin"), hcl).expect("a file");
        fs::create_dir(self.at("amd")).expect("a folder");
        for (name, bytes) in &endorsements {
            fs::write(self.at("amd").join(name), bytes).expect("a file");
        }
        let trust = ToyAmd::shared().trust_file(&[Product::Milan]);
        fs::write(self.at("trust.json"), trust).expect("a file");
        self.run("tpm2_nvdefine 0x01400001 -C o -s 2048 -a ownerread|ownerwrite");
        self.run("tpm2_nvwrite 0x01400001 -C o -i hcl.bin");
    }
}

#[test]
fn the_agent_takes_report_and_quote_out_of_the_virtual_tpm() {
    let Some(tpm) = Tpm::new() else { return };
    let output = tpm.agent();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "there is no report yet");
    assert!(told.contains("holds no HCL report"), "{told}");
    let modulus = tpm.ak();
    tpm.paravisor(&modulus);
    let output = tpm.agent();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    fs::write(tpm.at("azure.json"), output.stdout).expect("a file");
    let (code, said) = tpm.verify(NONCE, "azure.json", &[]);
    assert_eq!(code, 10, "{said}");
    assert_eq!(said["claims"]["azure"]["same_machine"], "proven");
    assert_eq!(said["claims"]["azure"]["ak_is_primary"], true);
    assert_eq!(said["claims"]["tpm"]["nonce"], NONCE);
    let other = "ffeeddccbbaa99887766554433221100";
    let (code, said) = tpm.verify(other, "azure.json", &[]);
    assert_eq!((code, &said["failed"][0]), (3, &"tpm.quote.nonce".into()));
    // Of two answers of one session the later one comes later.
    fs::write(tpm.at("later.json"), tpm.agent().stdout).expect("a file");
    let [first, later] = ["azure.json", "later.json"].map(|name| tpm.at(name));
    let previous = |file: &std::path::Path| ["--previous".to_owned(), file.display().to_string()];
    let words = previous(&first);
    let (code, said) = tpm.verify(NONCE, "later.json", &[&words[0], &words[1]]);
    assert_eq!(code, 10, "{said}");
    let words = previous(&later);
    let (code, said) = tpm.verify(NONCE, "azure.json", &[&words[0], &words[1]]);
    assert_eq!((code, &said["failed"][0]), (3, &"tpm.quote.clock".into()));
}

#[test]
fn what_the_page_says_to_do_by_hand_gives_evidence_that_holds() {
    let Some(tpm) = Tpm::new() else { return };
    let modulus = tpm.ak();
    tpm.paravisor(&modulus);
    let page = include_str!("../../../docs/azure.md");
    let (_, block) = page
        .split_once("by hand with tpm2-tools")
        .expect("the page");
    let (_, block) = block.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    fs::write(
        tpm.at("by-hand.sh"),
        format!("set -e\nNONCE={NONCE}\n{block}"),
    )
    .expect("a file");
    tpm.run("sh by-hand.sh");
    let (code, said) = tpm.verify(NONCE, "evidence.json", &[]);
    assert_eq!(code, 10, "{said}");
    assert_eq!(said["claims"]["azure"]["same_machine"], "proven");
}

/// What the agent prints for this report data through the paravisor, and the verdict on it.
fn fresh(tpm: &Tpm, silicon: Silicon, modulus: &[u8]) -> (String, i32, serde_json::Value) {
    let data = "5a".repeat(64);
    let url = booted(tpm, silicon, modulus, NOW);
    let socket = paravisor_between(tpm, silicon, modulus, NOW);
    let output = Command::new(agent())
        .args(["tpm", "azure", "--report-data", &data, "--metadata-service"])
        .arg(url)
        .arg("--tpm-socket")
        .arg(socket)
        .output()
        .expect("the agent runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    fs::write(tpm.at("azure.json"), &output.stdout).expect("a file");
    let verdict = Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .args(["verify", "--kind", "azure", "--hardware-only", "--at", AT])
        .args(["--format", "json", "--report-data", &data, "--endorsements"])
        .arg(tpm.at("makers"))
        .arg("--dangerous-trust-sim")
        .args([tpm.at("trust.json"), tpm.at("azure.json")])
        .output()
        .expect("the program runs");
    let said = serde_json::from_slice(&verdict.stdout).expect("JSON");
    let bundle = String::from_utf8(output.stdout).expect("text");
    (bundle, verdict.status.code().expect("a code"), said)
}

#[test]
fn a_fresh_report_is_made_for_the_session_and_the_chips_certificate_comes_from_the_cloud() {
    let Some(tpm) = Tpm::new() else { return };
    let modulus = tpm.ak();
    let (bundle, code, said) = fresh(&tpm, Silicon::Amd, &modulus);
    assert_eq!(code, 10, "{said}");
    assert!(bundle.contains("application/vnd.zeuge.snp-certificates"));
    assert_eq!(said["claims"]["azure"]["user_data"], "5a".repeat(64));
    let passed = said["checks"].as_array().expect("checks").iter();
    let passed: Vec<_> = passed.filter(|check| check["status"] == "pass").collect();
    assert!(passed.iter().any(|check| check["id"] == "azure.user-data"));
}

#[test]
fn a_trust_domains_quote_comes_from_the_clouds_metadata_service() {
    let Some(tpm) = Tpm::new() else { return };
    let modulus = tpm.ak();
    let (bundle, code, said) = fresh(&tpm, Silicon::Intel, &modulus);
    assert_eq!(code, 10, "{said}");
    assert!(bundle.contains("application/vnd.zeuge.tdx-quote"));
    assert_eq!(said["claims"]["azure"]["user_data"], "5a".repeat(64));
}
