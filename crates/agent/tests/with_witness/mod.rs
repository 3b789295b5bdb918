//! The agent and `zeuged`, two programs and a toy machine: the whole loop from challenge to
//! secret, over the real log. Needs root, /dev/fuse, and `zeuged` built beside the agent; skips
//! by name without them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::toy::{AGENT, Sim, accepted, possible, stdout};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zeuge_protocol::api::SecretUpload;
use zeuge_protocol::document::{Document, Header, Kind};
use zeuge_protocol::keys::SigningKey;
use zeuge_protocol::manifest::encrypt_secret;
use zeuge_protocol::name::{Name, Path as SecretPath};

const SECRET: &[u8] = b"the key of the disk";
const TENANT: &str = "sim";

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn owner() -> SigningKey {
    SigningKey::from_seed(&[9; 32]).unwrap()
}

/// PUT with the administrator's token; what comes back must be 200.
fn put(port: u16, at: &str, token: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "PUT {at} HTTP/1.1\r\nhost: w1\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

fn put_document(port: u16, token: &str, kind: Kind, at: &str, text: &str) {
    let header = Header {
        kind,
        tenant: Name::parse(TENANT).unwrap(),
        name: SecretPath::parse(at).unwrap(),
        version: 1,
        issued: now(),
        expires: now() + 86_400,
    };
    let mut document = Document::unsigned(header, text.as_bytes().to_vec());
    document.sign(&owner());
    let body = serde_json::to_vec(&document).unwrap();
    put(
        port,
        &format!("/v1/documents/{}", kind.as_str()),
        token,
        &body,
    );
}

/// One known measurement, one rule, one secret.
fn furnish(port: u16, token: &str, platform: &str, values: &str) {
    let values = format!("schema = \"zeuge.reference-values.v1\"\n{values}");
    put_document(
        port,
        token,
        Kind::ReferenceValues,
        "reference-values",
        &values,
    );
    let rule = format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"{TENANT}\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"{platform}\"]\nminimum_suite = \"x-wing\"\n\
         chips = \"dangerous_any_chip\"\nworkload = \"web\"\nbefore_closed = {}\n",
        platform == "tdx"
    );
    put_document(port, token, Kind::ReleaseRule, "db/key", &rule);
    let mut draw = |out: &mut [u8]| aws_lc_rs::rand::fill(out).unwrap();
    let (tenant, witness) = (Name::parse(TENANT).unwrap(), Name::parse("w1").unwrap());
    let path = SecretPath::parse("db/key").unwrap();
    let made = encrypt_secret(&tenant, &path, 1, &witness, SECRET, &mut draw).unwrap();
    let mut manifest = made.manifest.document(now(), now() + 86_400);
    manifest.sign(&owner());
    let upload = SecretUpload {
        manifest,
        payload: made.ciphertext,
        share: made.share.encode().to_vec(),
    };
    put(
        port,
        "/v1/secrets",
        token,
        &serde_json::to_vec(&upload).unwrap(),
    );
}

fn init(zeuged: &Path, folder: &Path) -> Value {
    let file = folder.join("owner");
    fs::write(&file, hex::encode(owner().public().0)).unwrap();
    let made = Command::new(zeuged)
        .args([
            "init", "--id", "w1", "--tenant", TENANT, "--format", "json", "--data",
        ])
        .arg(folder.join("data"))
        .arg("--owner")
        .arg(&file)
        .output()
        .unwrap();
    serde_json::from_slice(&made.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&made.stderr)))
}

/// A witness, and a toy machine whose report pins the configuration that names it.
struct Pair {
    sim: Sim,
    port: u16,
    token: String,
    _folder: tempfile::TempDir,
    _served: Ended,
}

/// `None` where toys or the witness's program cannot be had; says why.
fn pair(test: &str, platform: &str, more: &[&str]) -> Option<Pair> {
    if !possible(test) {
        return None;
    }
    let zeuged = Path::new(AGENT).parent().unwrap().join("zeuged");
    if !zeuged.is_file() {
        println!(
            "skipped: {} is not built (cargo build -p zeuge-server)",
            zeuged.display()
        );
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let said = init(&zeuged, folder.path());
    // The configuration names the port, and the machine's report names the configuration.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = json!({
        "schema": "zeuge.agent.v1",
        "witness": {
            "url": format!("http://127.0.0.1:{port}"), "id": "w1",
            "answer_key": said["answer_key"], "log_key": said["log_vkey"]
        },
        "tenant": TENANT,
        "owners": {
            "tenant": TENANT, "threshold": 1,
            "owners": [{"person": "owner", "public_key": owner().public()}]
        }
    })
    .to_string();
    let digest = hex::encode(Sha256::digest(&config));
    let sim = Sim::start(&[&["--host-data", &digest, "--platform", platform], more].concat());
    fs::write(sim.path("agent.json"), config).unwrap();
    // A document of Nitro's brings its whole chain.
    let beside = sim.path("toy/endorsements");
    let beside = Path::new(&beside).is_dir().then_some(beside);
    let mut served = Command::new(&zeuged)
        .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--data"])
        .arg(folder.path().join("data"))
        .args(beside.iter().flat_map(|folder| ["--endorsements", folder]))
        .args(["--dangerous-trust-sim", &sim.path("toy/trust.json")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(served.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let served = Ended(served);
    assert!(line.starts_with("listening on "), "{line}");
    Some(Pair {
        sim,
        port,
        token: said["admin_token"].as_str().unwrap().to_owned(),
        _folder: folder,
        _served: served,
    })
}

#[test]
fn the_agent_receives_from_zeuged_what_the_owner_put_there() {
    let test = "the_agent_receives_from_zeuged_what_the_owner_put_there";
    let Some(pair) = pair(test, "snp", &[]) else {
        return;
    };
    let values = format!(
        "[[snp]]\nname = \"web\"\nmeasurements = [\"{}\"]\n",
        "22".repeat(48)
    );
    furnish(pair.port, &pair.token, "snp", &values);
    let sim = &pair.sim;
    let attested = sim.agent(&["attest", "--audience", "me", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&attested.stdout).unwrap();
    assert!(matches!(attested.status.code(), Some(0 | 10)), "{answer}");
    assert!(answer["token"].as_str().unwrap().split('.').count() == 3);
    for _ in 0..2 {
        receives(sim, &[]);
    }
    accepted(&sim.agent(&["detect"]));
}

fn receives(sim: &Sim, more: &[&str]) {
    let secrets = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = secrets.path().display().to_string();
    let got = sim.agent(&[&["get", "db/key", "--out", &target][..], more].concat());
    assert!(
        matches!(got.status.code(), Some(0 | 10)),
        "{}{}",
        stdout(&got),
        String::from_utf8_lossy(&got.stderr)
    );
    assert_eq!(fs::read(secrets.path().join("db/key")).unwrap(), SECRET);
}

#[test]
fn a_trust_domain_shows_its_boot_log_and_gets_nothing_after_it_said_that_the_boot_is_over() {
    let test =
        "a_trust_domain_shows_its_boot_log_and_gets_nothing_after_it_said_that_the_boot_is_over";
    let Some(pair) = pair(test, "tdx", &[]) else {
        return;
    };
    let sim = &pair.sim;
    let rtmr = |index: u8| {
        hex::encode(fs::read(sim.path(&format!("td/measurements/rtmr{index}:sha384"))).unwrap())
    };
    let values = format!(
        "[[tdx]]\nname = \"web\"\nmr_td = [\"{}\"]\nrtmr = {{ 1 = [\"{}\"], 2 = [\"{}\"] }}\n",
        "d1".repeat(48),
        rtmr(1),
        rtmr(2)
    );
    furnish(pair.port, &pair.token, "tdx", &values);
    let detected = stdout(&sim.agent(&["detect"]));
    assert!(
        detected.contains("(CCEL) goes beside the quote"),
        "{detected}"
    );
    assert!(
        detected.contains("can mark the end of the boot in RTMR3"),
        "{detected}"
    );
    let attested = sim.agent(&["attest", "--audience", "me", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&attested.stdout).unwrap();
    let log = &answer["verdict"]["claims"]["tdx"]["event_log"];
    assert_eq!(log["explained"], json!([0, 1, 2, 3]), "{answer}");
    receives(sim, &["--close"]);
    assert_ne!(rtmr(3), "00".repeat(48));
    let secrets = tempfile::tempdir_in("/dev/shm").unwrap();
    let target = secrets.path().display().to_string();
    let got = sim.agent(&["get", "db/key", "--out", &target]);
    assert_eq!(got.status.code(), Some(5), "{}", stdout(&got));
    assert!(stdout(&got).contains("release.closed"), "{}", stdout(&got));
    assert!(!secrets.path().join("db/key").exists());
}

/// A Nitro enclave with its witness, which knows the toy's image.
fn enclave(test: &str, more: &[&str]) -> Option<Pair> {
    let pair = pair(test, "nitro", more)?;
    let values = format!(
        "[[nitro]]\nname = \"web\"\nsource = \"enclave\"\npcrs = {{ \"0\" = [\"{}\"] }}\n",
        "1a".repeat(48)
    );
    furnish(pair.port, &pair.token, "nitro", &values);
    Some(pair)
}

/// What pins the configuration of an enclave is its image, and of this one there is none.
const UNPINNED: [&str; 2] = ["--dangerous-unpinned-config", "the toy has no image"];

#[test]
fn an_enclave_is_found_by_its_module_and_receives_from_zeuged() {
    let test = "an_enclave_is_found_by_its_module_and_receives_from_zeuged";
    let Some(pair) = enclave(test, &[]) else {
        return;
    };
    let sim = &pair.sim;
    let detected = stdout(&sim.agent(&["detect"]));
    assert!(detected.contains("Nitro"), "{detected}");
    let unpinned = sim.agent(&["attest"]);
    assert_eq!(unpinned.status.code(), Some(3));
    let told = String::from_utf8_lossy(&unpinned.stderr).into_owned();
    assert!(told.contains("agent.config"), "{told}");
    receives(sim, &UNPINNED);
    receives(sim, &[&UNPINNED[..], &["--behind", "nitro"]].concat());
}

#[test]
fn an_enclave_that_answers_another_question_or_runs_in_debug_mode_receives_nothing() {
    let test = "an_enclave_that_answers_another_question_or_runs_in_debug_mode_receives_nothing";
    for (more, check, code) in [
        (&["--lie", "nitro.nonce"][..], "nitro.nonce", 3),
        (&["--debug-enclave"], "policy.debug", 5),
    ] {
        let Some(pair) = enclave(test, more) else {
            return;
        };
        let secrets = tempfile::tempdir_in("/dev/shm").unwrap();
        let target = secrets.path().display().to_string();
        let words = ["get", "db/key", "--out", &target];
        let got = pair.sim.agent(&[&words[..], &UNPINNED].concat());
        let told = format!("{}{}", stdout(&got), String::from_utf8_lossy(&got.stderr));
        assert_eq!(got.status.code(), Some(code), "{told}");
        assert!(told.contains(check), "{told}");
        assert!(!secrets.path().join("db/key").exists());
    }
}
