//! The agent on an instance of AWS's: a stand-in for its NitroTPM answers the one command that only
//! such a TPM knows, and the owner's program verifies the document.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

mod nitro_instance;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use nitro_instance::{Kind, tpm};
use zeuge_evidence::UnixTime;
use zeuge_sim::ToyNitro;

const NOW: UnixTime = UnixTime(1_772_323_200);
const AT: &str = "2026-03-01T00:00:00Z";
const NONCE: &str = "00112233445566778899aabbccddeeff";

fn agent() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_zeuge")).with_file_name("zeuge-agent");
    if !path.exists() {
        println!("skipped: zeuge-agent is not built (cargo build -p zeuge-agent)");
        return None;
    }
    Some(path)
}

fn asked(agent: &Path, socket: &Path) -> Output {
    Command::new(agent)
        .args(["nitro", "--nonce", NONCE, "--user-data", &"5a".repeat(64)])
        .arg("--tpm-socket")
        .arg(socket)
        .output()
        .expect("the agent runs")
}

#[test]
fn the_document_of_a_nitro_tpm_is_fetched_and_believed_and_nothing_is_left_behind() {
    let Some(agent) = agent() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let server = tpm(&at("sock"), Kind::Nitro(None), [0; 32], NOW);
    let output = asked(&agent, &at("sock"));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(server.join().expect("it ends"), "the index is removed");
    fs::write(at("document.cbor"), output.stdout).expect("a file");
    fs::write(at("trust.json"), ToyNitro::shared().trust_file()).expect("a file");
    for (option, value, code) in [
        ("--nonce", NONCE.to_owned(), 10),
        ("--report-data", "5a".repeat(64), 10),
        ("--nonce", "ff".repeat(16), 3),
    ] {
        let verdict = Command::new(env!("CARGO_BIN_EXE_zeuge"))
            .args(["verify", "--kind", "nitro", "--hardware-only", "--at", AT])
            .args(["--format", "json", option, &value])
            .arg("--dangerous-trust-sim")
            .args([at("trust.json"), at("document.cbor")])
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&verdict.stdout).into_owned();
        assert_eq!(verdict.status.code(), Some(code), "{option}: {said}");
    }
}

#[test]
fn a_tpm_that_is_no_nitro_tpm_is_named_and_left_as_it_was() {
    let Some(agent) = agent() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("sock");
    let server = tpm(&socket, Kind::Plain, [0; 32], NOW);
    let output = asked(&agent, &socket);
    assert_eq!(output.status.code(), Some(4));
    assert!(output.stdout.is_empty());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("NitroTPM's request answers 0x143"), "{told}");
    assert!(server.join().expect("it ends"), "the index is removed");
}
