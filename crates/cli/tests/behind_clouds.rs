//! Agent and witness behind the clouds' layers, as processes: challenge, evidence, verdict and release
//! on a machine behind Azure's paravisor (swtpm, a stand-in for the metadata service) and on an
//! instance of AWS's (a stand-in for its NitroTPM), under the starter policies that the documentation
//! hands out; then the machine's report, and whoever must not get the secret.
//!
//! Skips by name what is not built or not installed here.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

mod azure_machine;
mod nitro_instance;
mod programs;
#[path = "programs/world.rs"]
mod world;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{SystemTime, UNIX_EPOCH},
};

use azure_machine::{MACHINE, Silicon, Tpm, agent, booted, paravisor_between};
use nitro_instance::{Kind, tpm};
use programs::send;
use serde_json::{Value, json};
use world::World;
use zeuge_evidence::{UnixTime, tpm::HashAlgorithm};
use zeuge_sim::{NitroLie, ToyNitro, nitro::TOY_IMAGE, nitro::TOY_INSTANCE};

const SECRET: &str = "never in the clear";
const KEY: [&str; 2] = ["--key", "owner/owner.key"];

fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixTime(i64::try_from(since.as_secs()).unwrap())
}

/// The starter policy of a cloud, with what its comments offer for the owner's own machines.
fn policy(name: &str, from: &str, own: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policies");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    assert!(text.contains(from));
    text.replace(from, own)
}

/// One secret for one kind of machine.
fn furnish(world: &World, kind: &str, values: &str, policy: &str) {
    let rule = format!(
        "schema = \"zeuge.release-rule.v1\"\ntenant = \"sim\"\npath = \"db/key\"\n\
         door = \"agent\"\nevidence = [\"{kind}\"]\nminimum_suite = \"x-wing\"\n\
         chips = \"dangerous_any_chip\"\nworkload = \"web\"\nbefore_closed = {}\n",
        kind == "azure"
    );
    let values = format!("schema = \"zeuge.reference-values.v1\"\n{values}");
    world.put("fleet/values.toml", &values);
    world.put("fleet/policy.toml", policy);
    world.put("fleet/rule.toml", &rule);
    world.done(&[&["apply", "-f", "fleet"][..], &KEY].concat());
    world.put("value", SECRET);
    let put = [
        "secret", "put", "--tenant", "sim", "--path", "db/key", "--from", "value",
    ];
    world.done(&[&put[..], &KEY].concat());
}

/// Writes the agent's configuration for this witness; its SHA-256.
fn configure(world: &World) -> [u8; 32] {
    let owners = fs::read(world.at().join("owner/owner.pub")).unwrap();
    let owners: Value = serde_json::from_slice(&owners).unwrap();
    let config = json!({
        "schema": "zeuge.agent.v1",
        "witness": {
            "url": world.url, "id": "w1",
            "answer_key": world.answer_key, "log_key": world.vkey
        },
        "tenant": "sim",
        "owners": owners,
    })
    .to_string();
    world.put("agent.json", &config);
    sha256(&[config.as_bytes()])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let digest = HashAlgorithm::SHA256.digest(parts).unwrap();
    digest.try_into().unwrap()
}

/// What a register holds after one extension.
fn extended(digest: &[u8]) -> [u8; 32] {
    sha256(&[&[0; 32], digest])
}

/// The agent asks for the secret, through this layer.
fn get(world: &World, layer: &[&str], more: &[&str]) -> Output {
    Command::new(agent())
        .args(["get", "db/key", "--stdout", "--config", "agent.json"])
        .args(["--state", "state"])
        .args(layer)
        .args(more)
        .current_dir(world.at())
        .output()
        .unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn receives(output: &Output) {
    // A toy's root warns.
    assert_eq!(output.status.code(), Some(10), "{}", told(output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), SECRET);
}

#[track_caller]
fn refused(output: &Output, check: &str, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", told(output));
    assert!(told(output).contains(check), "{}", told(output));
    assert!(output.stdout.is_empty());
}

/// The report of the machine: the same verdict once more from its witness's archive, held to its
/// word and its log; then from the bundle alone.
fn reported(world: &World, machine: &str, kind: &str) -> Value {
    let report = [
        "report",
        "--machine",
        machine,
        "--tenant",
        "sim",
        "--dangerous-trust-sim",
        "trust.json",
        "--format",
        "json",
        "--bundle",
        "machine.zeuge",
    ];
    let (code, said, err) = world.zeuge(&report);
    assert_eq!(code, 10, "{said}{err}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["witnessed"]["same"], true, "{}", said["witnessed"]);
    assert_eq!(said["verdict"]["kind"], kind);
    let (code, again, err) = world.zeuge(&["verify", "machine.zeuge"]);
    assert_eq!(code, 10, "{again}{err}");
    assert!(again.contains("reproduced: the same verdict"), "{again}");
    let nobody = world.refused(
        &report.map(|word| if word == machine { "nobody" } else { word }),
        1,
    );
    assert!(nobody.contains("archive.missing"), "{nobody}");
    said
}

/// The name under which the witness knows the newest machine.
fn newest(world: &World) -> String {
    let token = fs::read_to_string(world.at().join("token")).unwrap();
    let at = "/v1/verdicts?tenant=sim&limit=1";
    let rows = send((&world.url, Some(&token)), "GET", at, b"");
    let rows: Value = serde_json::from_slice(&rows).unwrap();
    rows["verdicts"][0]["machine"].as_str().unwrap().to_owned()
}

fn azure(silicon: Silicon) {
    let Some(tpm) = Tpm::new() else { return };
    let modulus = tpm.ak();
    let metadata = booted(&tpm, silicon, &modulus, now());
    let trust = fs::read_to_string(tpm.at("trust.json")).unwrap();
    let makers = tpm.at("makers").display().to_string();
    let Some(world) = World::start(&trust, &["--endorsements", &makers]) else {
        return;
    };
    // The guest measured its configuration before anything else.
    let digest = configure(&world);
    tpm.run(&format!("tpm2_pcrextend 8:sha256={}", hex::encode(digest)));
    let values = format!(
        "[[snp]]\nname = \"paravisor\"\nbinding_profile = \"hcl\"\nmeasurements = [\"{}\"]\n\
         [[tdx]]\nname = \"paravisor\"\nbinding_profile = \"hcl\"\nmr_td = [\"{}\"]\n\
         [[tpm]]\nname = \"web\"\npcrs = {{ sha256 = {{ \"8\" = [\"{}\"] }} }}\n",
        "22".repeat(48),
        "d1".repeat(48),
        hex::encode(extended(&digest)),
    );
    let own = format!("machines = [\"{MACHINE}\"]");
    let comment = "# machines = [\"8D2C0F60-0000-4000-8000-000000000001\"]";
    furnish(
        &world,
        "azure",
        &values,
        &policy("azure.toml", comment, &own),
    );
    let layer = |modulus: &[u8]| {
        paravisor_between(&tpm, silicon, modulus, now())
            .display()
            .to_string()
    };
    let own = layer(&modulus);
    let behind = |socket: &str| {
        let words = ["--behind", "azure", "--metadata-service", &metadata];
        let words = [&words[..], &["--tpm-socket", socket]].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let ask = |socket: &str, more: &[&str]| {
        let words = behind(socket);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        get(&world, &words, more)
    };
    receives(&ask(&own, &[]));
    let said = reported(&world, &newest(&world), "azure");
    let claims = &said["verdict"]["claims"]["azure"];
    assert_eq!(claims["same_machine"], "proven", "{claims}");
    // A paravisor that shows the genuine report of another machine.
    let mut neighbour = modulus.clone();
    neighbour[0] ^= 0x40;
    refused(&ask(&layer(&neighbour), &[]), "azure.report.machine", 3);
    // Whoever comes after the boot comes too late.
    receives(&ask(&own, &["--close"]));
    refused(&ask(&own, &[]), "release.closed", 5);
}

#[test]
fn behind_azures_paravisor_on_amd_the_agent_receives_and_the_report_reproduces() {
    azure(Silicon::Amd);
}

#[test]
fn behind_azures_paravisor_on_intel_the_agent_receives_and_the_report_reproduces() {
    azure(Silicon::Intel);
}

#[test]
fn behind_nitro_the_agent_receives_and_the_report_reproduces() {
    if !agent().exists() {
        println!("skipped: zeuge-agent is not built (cargo build -p zeuge-agent)");
        return;
    }
    let Some(world) = World::start(&ToyNitro::shared().trust_file(), &[]) else {
        return;
    };
    let register = extended(&configure(&world));
    let values = format!(
        "[[nitro]]\nname = \"web\"\nsource = \"tpm\"\npcrs = {{ \"4\" = [\"{}\"] }}\n",
        hex::encode([TOY_IMAGE; 48])
    );
    let own = format!("instances = [\"{TOY_INSTANCE}\"]");
    let comment = "# instances = [\"i-0123456789abcdef0\"]";
    let policy = policy("aws-nitro.toml", comment, &own);
    furnish(&world, "nitro", &values, &policy);
    let ask = |name: &str, kind, register| {
        let socket = world.at().join(name);
        let server = tpm(&socket, kind, register, now());
        let socket = socket.display().to_string();
        let output = get(&world, &["--behind", "nitro", "--tpm-socket", &socket], &[]);
        assert!(server.join().unwrap(), "the index is removed");
        output
    };
    let honest = Kind::Nitro(None);
    receives(&ask("honest", honest, register));
    assert_eq!(newest(&world), TOY_INSTANCE);
    let said = reported(&world, TOY_INSTANCE, "nitro");
    assert_eq!(
        said["verdict"]["claims"]["nitro"]["module_id"],
        TOY_INSTANCE
    );
    for (lie, code) in [
        (NitroLie::Nonce, 3),
        (NitroLie::Instance, 5),
        (NitroLie::Age, 5),
    ] {
        let output = ask(lie.check(), Kind::Nitro(Some(lie)), register);
        refused(&output, lie.check(), code);
    }
    // Another maker's TPM does not know the command, and nothing is asked of the witness.
    let output = ask("plain", Kind::Plain, register);
    refused(&output, "NitroTPM's request", 4);
    // A configuration that the boot did not measure is not used.
    refused(&ask("unpinned", honest, [0; 32]), "agent.config", 3);
}
