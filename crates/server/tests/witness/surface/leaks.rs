//! Secrets of the witness, searched for in everything that it says: answers, errors, metrics, the
//! log at its most talkative, the data folder, a core dump; and what a debugger of root finds.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use serde_json::{Value, json};
use zeuge_protocol::text::base64url;

use crate::common::{World, found_in};
use crate::surface::served::{Served, attest};

/// A secret with its name, in every form in which it could slip out.
struct Canary(String, Vec<Vec<u8>>);

impl Canary {
    fn new(name: &str, secret: &[u8]) -> Self {
        use base64::Engine as _;
        let standard = base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret);
        let hex = hex::encode(secret);
        let forms = vec![
            secret.to_vec(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
            base64url(secret).into_bytes(),
            standard.into_bytes(),
            format!("{secret:?}")
                .trim_matches(['[', ']'])
                .as_bytes()
                .to_vec(),
        ];
        Self(name.to_owned(), forms)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.1.iter().any(|form| holds(bytes, form))
    }
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let (first, rest) = needle.split_first().unwrap();
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if bytes[from..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// Every key of the data folder, the administrator's token, and the share of an upload.
fn canaries(world: &World, share: &[u8]) -> Vec<Canary> {
    let mut all = vec![
        Canary::new("the administrator's token", world.admin.as_bytes()),
        Canary::new("the share of a secret", &share[share.len() - 32..]),
        Canary::new("the secret itself", crate::common::SECRET),
    ];
    for entry in fs::read_dir(world.data().join("keys")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        all.push(Canary::new(&name, &fs::read(entry.path()).unwrap()));
    }
    assert!(all.len() >= 8, "the folder has a key for each purpose");
    all
}

/// Requests that go well and requests that do not, with what they carry in the wrong places.
fn talk(world: &World, served: &Served, share: &[u8]) -> Vec<u8> {
    let client = served.client;
    let mut said = Vec::new();
    let mut ask = |method: &str, at: &str, token: Option<&str>, body: &[u8]| {
        said.extend(client.exchange((method, at), token, ("*/*", body)).unwrap());
    };
    let admin = Some(world.admin.as_str());
    for at in [
        "/metrics",
        "/openapi.json",
        "/v1/witness",
        "/readyz",
        "/v1/verdicts",
        "/v1/machines",
    ] {
        ask("GET", at, admin, b"");
    }
    for at in [
        "/v1/secrets?tenant=sim",
        "/v1/documents/release-rule?tenant=sim",
        "/v1/tenants",
        "/v1/tenants/sim/tokens",
        "/v1/enrolments?tenant=sim",
    ] {
        ask("GET", at, admin, b"");
        ask("GET", at, Some("guess"), b"");
    }
    // A share where none belongs, and an upload that is refused in several ways.
    let mut upload =
        serde_json::to_value(world.upload("sim", "db/other", 1, &world.owner)).unwrap();
    upload["share"] = json!(base64url(share));
    for spoil in ["payload", "manifest", "share"] {
        let mut spoiled = upload.clone();
        if spoil != "share" {
            spoiled[spoil] = Value::Null;
        }
        ask("PUT", "/v1/secrets", admin, spoiled.to_string().as_bytes());
    }
    ask(
        "PUT",
        "/v1/documents/policy",
        admin,
        upload.to_string().as_bytes(),
    );
    ask("POST", "/v1/releases", None, upload.to_string().as_bytes());
    said
}

#[test]
fn no_secret_is_in_any_answer_log_or_file() {
    let world = World::new();
    let served = Served::start_after("export RUST_LOG=trace;", &world, &["--offline"]);
    world.furnish(&served.client, "sim");
    let upload = world.upload("sim", "db/key", 2, &world.owner);
    let share = upload.share.clone();
    let body = serde_json::to_vec(&upload).unwrap();
    let client = served.client;
    client
        .admin("PUT", "/v1/secrets", &world.admin, &body)
        .unwrap();
    let made = client.admin(
        "POST",
        "/v1/tenants/sim/tokens",
        &world.admin,
        b"{\"name\":\"t\",\"role\":\"reader\"}",
    );
    let made: Value = serde_json::from_slice(&made.unwrap()).unwrap();
    let token = made["token"].as_str().unwrap().to_owned();
    assert!(attest(client).is_some());
    let mut canaries = canaries(&world, &share);
    canaries.push(Canary::new("a tenant's token", token.as_bytes()));
    let said = talk(&world, &served, &share);
    let log = served.terminate();
    assert!(log.contains("\"level\":\"TRACE\"") || log.contains("\"level\":\"DEBUG\""));
    for canary in &canaries {
        assert!(!canary.is_in(&said), "{} is in an answer", canary.0);
        assert!(!canary.is_in(log.as_bytes()), "{} is in the log", canary.0);
    }
    // In the folder keys lie in their own files alone; secrets and tokens not at all.
    fs::rename(world.data().join("keys"), world.folder.path().join("keys")).unwrap();
    for canary in &canaries {
        for form in &canary.1 {
            assert_eq!(found_in(&world.data(), form), None, "{}", canary.0);
        }
    }
    // That the search finds what is there.
    let vkey = Canary::new("the log's public key", world.vkey.as_bytes());
    assert!(vkey.is_in(&said));
}

#[test]
fn a_witness_that_dies_leaves_no_core() {
    let place = tempfile::tempdir().unwrap();
    let before = format!("cd {}; ulimit -c unlimited;", place.path().display());
    let control = Command::new("sh")
        .args(["-c", &format!("{before} kill -ABRT $$")])
        .status()
        .unwrap();
    if !control.core_dumped() {
        return println!("skipped: nothing dumps core on this machine");
    }
    let world = World::new();
    let mut served = Served::start_after(&before, &world, &["--offline"]);
    world.furnish(&served.client, "sim");
    assert!(attest(served.client).is_some());
    let killed = Command::new("kill")
        .args(["-ABRT", &served.child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let ended = served.child.wait().unwrap();
    assert_eq!(ended.signal(), Some(6));
    assert!(!ended.core_dumped(), "a core was dumped");
}

#[test]
fn what_was_released_does_not_stay_in_memory() {
    let world = World::new();
    let served = Served::start(&world, &["--offline"]);
    world.furnish(&served.client, "sim");
    let upload = world.upload("sim", "db/key", 2, &world.owner);
    let share = upload.share.clone();
    let body = serde_json::to_vec(&upload).unwrap();
    let at = "/v1/secrets";
    served.client.admin("PUT", at, &world.admin, &body).unwrap();
    served.terminate();
    // The HTTP library's buffers of an upload are not overwritten (docs/secrets-in-memory.md): so
    // this looks at a process that only released.
    let there = "a word that is in every process of this shell";
    let before = format!("export ZEUGE_CANARY='{there}';");
    let served = Served::start_after(&before, &world, &["--offline"]);
    for _ in 0..20 {
        assert!(attest(served.client).is_some());
    }
    let file = world.folder.path().join("memory");
    let done = Command::new("gcore")
        .arg("-o")
        .arg(&file)
        .arg(served.child.id().to_string())
        .output();
    let dumped = format!("{}.{}", file.display(), served.child.id());
    let Ok(memory) = done.and_then(|_| fs::read(dumped)) else {
        return println!("skipped: gcore is not installed, or may not look");
    };
    let canary = Canary::new("the share", &share[share.len() - 32..]);
    assert!(!canary.is_in(&memory), "the share stays in memory");
    // That the search finds what is there.
    assert!(holds(&memory, there.as_bytes()));
}
