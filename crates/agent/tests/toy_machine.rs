//! The unmodified agent inside a toy machine: the program that ships, run by
//! `scripts/in-toy-machine` over the configfs stand-in of `zeuge-sim serve`. Needs root and
//! /dev/fuse; skips by name without them.
#![expect(clippy::print_stdout, reason = "a test that skips says so")]

mod toy;
mod with_witness;
mod world;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};
use toy::{AGENT, Sim, accepted, possible, refused, stdout};
use world::{Lie, SECRET, ToyWitness};

/// A toy machine whose report pins the configuration of a witness that lies on demand.
struct Toy {
    sim: Sim,
    /// A tmpfs for secrets.
    memory: tempfile::TempDir,
    witness: ToyWitness,
}

impl Deref for Toy {
    type Target = Sim;

    fn deref(&self) -> &Sim {
        &self.sim
    }
}

impl Toy {
    fn start(options: &[&str]) -> Self {
        let witness = ToyWitness::start();
        let config = witness.config();
        let digest = hex::encode(Sha256::digest(&config));
        let sim = Sim::start(&[&["--host-data", &digest], options].concat());
        fs::write(sim.path("agent.json"), config).unwrap();
        Self {
            sim,
            memory: tempfile::tempdir_in("/dev/shm").unwrap(),
            witness,
        }
    }

    fn secrets(&self) -> String {
        self.memory.path().display().to_string()
    }
}

#[test]
fn the_unmodified_agent_attests_and_receives_in_a_toy_machine() {
    if !possible("the_unmodified_agent_attests_and_receives_in_a_toy_machine") {
        return;
    }
    let toy = Toy::start(&[]);
    let detected = toy.agent(&["detect"]);
    accepted(&detected);
    let text = stdout(&detected);
    assert!(
        text.starts_with("This is a confidential VM: AMD SEV-SNP"),
        "{text}"
    );

    let token = toy.path("token");
    let attested = toy.agent(&["attest", "--audience", "me", "--token-out", &token]);
    accepted(&attested);
    assert!(stdout(&attested).contains("verdict affirming"));
    assert_eq!(fs::read_to_string(&token).unwrap(), "a.b.c");

    let secrets = toy.secrets();
    accepted(&toy.agent(&["get", "db/password", "--out", &secrets]));
    assert_eq!(fs::read(format!("{secrets}/db/password")).unwrap(), SECRET);
    let piped = toy.agent(&["get", "db/password@1", "--stdout"]);
    accepted(&piped);
    assert_eq!(piped.stdout, SECRET);

    let both = toy.agent(&["get", "db/password", "no/such", "--out", &secrets]);
    assert_eq!(both.status.code(), Some(5));
    assert!(stdout(&both).contains("refused no/such: no rule allows it (policy.release-rule)"));

    let status = toy.agent(&["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["command"], "get");
    assert_eq!(
        (&status["log_index"], &status["log_size"]),
        (&3.into(), &4.into())
    );
    assert_eq!(fs::read_dir(toy.path("state/receipts")).unwrap().count(), 4);

    the_trace_shows_the_kernel_s_path(&toy);
    let made = toy.access_log();
    let count = |what: &str| made.iter().filter(|line| line.starts_with(what)).count();
    assert!(count("mkdir ") > 5);
    assert_eq!(
        count("mkdir "),
        count("rmdir "),
        "no request is left behind"
    );
}

/// What the program opened, by strace where it is installed; and that nothing in the program
/// knows of toys.
fn the_trace_shows_the_kernel_s_path(toy: &Toy) {
    let program = fs::read(AGENT).unwrap();
    for word in ["zeuge-sim", "sim-trust", "in-toy-machine", "access.log"] {
        let found = program.windows(word.len()).any(|at| at == word.as_bytes());
        assert!(!found, "the agent's program holds {word}");
    }
    let installed = Command::new("strace").arg("--version").output().is_ok();
    if !installed {
        println!("skipped: the system calls, because strace is not installed");
        return;
    }
    let (trace, config, state) = (toy.path("trace"), toy.path("agent.json"), toy.path("state"));
    let traced = [
        "strace",
        "-f",
        "-o",
        &trace,
        "-e",
        "trace=file",
        AGENT,
        "attest",
    ];
    let mut arguments = traced.to_vec();
    arguments.extend(["--config", &config, "--state", &state]);
    accepted(&toy.command(&arguments).output().unwrap());
    let trace = fs::read_to_string(trace).unwrap();
    for wanted in [
        "mkdir(\"/sys/kernel/config/tsm/report/zeuge-",
        "/inblob\", O_WRONLY",
        "/outblob\", O_RDONLY",
        "rmdir(\"/sys/kernel/config/tsm/report/zeuge-",
    ] {
        assert!(trace.contains(wanted), "no {wanted} in the trace");
    }
    let opened = trace.lines().filter(|line| line.contains("outblob"));
    for line in opened {
        assert!(
            line.contains("\"/sys/kernel/config/tsm/report/zeuge-"),
            "{line}"
        );
    }
}

#[test]
fn a_witness_that_lies_gets_nothing_believed() {
    if !possible("a_witness_that_lies_gets_nothing_believed") {
        return;
    }
    let toy = Toy::start(&["--no-certificates"]);
    let secrets = toy.secrets();
    let get = || toy.agent(&["get", "db/password", "--out", &secrets]);
    let never = || assert!(!Path::new(&secrets).join("db").exists());
    toy.witness.lie(Lie::NoReceipt);
    refused(&get(), "agent.receipt", 3);
    never();
    toy.witness.lie(Lie::OtherAnswerKey);
    refused(&get(), "answer.signature", 3);
    never();
    toy.witness.lie(Lie::StrangersSecret);
    refused(&get(), "manifest.signature", 3);
    never();
    toy.witness.lie(Lie::Refuses);
    let answer = get();
    assert_eq!(answer.status.code(), Some(5));
    assert!(stdout(&answer).contains("failed: policy.measurement"));
    never();

    toy.witness.lie(Lie::None);
    accepted(&get());
    toy.witness.lie(Lie::LogFromScratch);
    assert!(toy.witness.shown().is_empty());
    refused(&get(), "agent.log-went-back", 3);
    // The witness is shown what it signed before, so that an honest one halts.
    let shown = toy.witness.shown();
    assert!(shown.len() == 1 && shown[0].ends_with(b"\n"), "{shown:?}");
    let status = toy.agent(&["status"]);
    assert_eq!(status.status.code(), Some(3));
    assert!(stdout(&status).contains("ALARM"));
    // Longer than what the agent has seen, and another log.
    for _ in 0..8 {
        let _ = get();
    }
    toy.witness.lie(Lie::OtherLog);
    refused(&get(), "log.proof.consistency", 3);
    assert_eq!(toy.witness.shown().last(), shown.last());
}

#[test]
fn a_configuration_that_the_report_does_not_pin_is_not_used() {
    if !possible("a_configuration_that_the_report_does_not_pin_is_not_used") {
        return;
    }
    let toy = Toy::start(&[]);
    let file = toy.path("agent.json");
    let config = fs::read_to_string(&file).unwrap();
    // The same meaning, another file.
    fs::write(&file, format!("{config}\n")).unwrap();
    refused(&toy.agent(&["attest"]), "agent.config", 3);
    assert_eq!(toy.witness.asked(), 0);
    let unpinned = toy.agent(&["attest", "--dangerous-unpinned-config", "a test"]);
    accepted(&unpinned);
    assert!(stdout(&unpinned).contains("DANGEROUS: nothing pins the configuration (a test)"));
    fs::write(&file, config).unwrap();

    let disk = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .display()
        .to_string();
    let asked = toy.witness.asked();
    refused(
        &toy.agent(&["get", "db/password", "--out", &disk]),
        "agent.target",
        5,
    );
    assert_eq!(toy.witness.asked(), asked);
}

#[test]
fn somebody_who_writes_to_our_request_makes_us_begin_anew_and_at_last_give_up() {
    if !possible("somebody_who_writes_to_our_request_makes_us_begin_anew_and_at_last_give_up") {
        return;
    }
    let toy = Toy::start(&["--races", "2", "--busy", "1"]);
    accepted(&toy.agent(&["attest", "--privlevel", "1"]));
    // One busy and two disturbed requests, then one for the pin and one for the binding.
    let made = toy.access_log();
    assert_eq!(
        made.iter().filter(|line| line.starts_with("mkdir")).count(),
        5
    );
    drop(toy);
    let toy = Toy::start(&["--races", "1000"]);
    refused(&toy.agent(&["attest"]), "agent.device.generation", 4);
    let made = toy.access_log();
    let count = |what: &str| made.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!((count("mkdir"), count("rmdir")), (5, 5));
}

#[test]
fn run_keeps_a_token_until_it_is_told_to_stop() {
    if !possible("run_keeps_a_token_until_it_is_told_to_stop") {
        return;
    }
    let toy = Toy::start(&[]);
    let (config, state, token) = (toy.path("agent.json"), toy.path("state"), toy.path("token"));
    let arguments = [
        AGENT,
        "run",
        "--config",
        &config,
        "--state",
        &state,
        "--token-out",
        &token,
        "--audience",
        "me",
        "--interval",
        "1",
    ];
    let mut agent = toy
        .command(&arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(agent.stdout.take().unwrap()).lines();
    let mut verdicts = lines
        .map_while(Result::ok)
        .filter(|line| line.contains("verdict affirming"));
    assert!(verdicts.next().is_some() && verdicts.next().is_some());
    assert_eq!(fs::read_to_string(&token).unwrap(), "a.b.c");
    // The script has become the agent, so this is the agent's number.
    let pid = rustix::process::Pid::from_child(&agent);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(agent.wait().unwrap().code(), Some(0));
    toy.witness.lie(Lie::Refuses);
    let refused = toy.agent(&["attest", "--audience", "me", "--token-out", &token]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(
        !Path::new(&token).exists(),
        "a token that no longer holds is gone"
    );
}
