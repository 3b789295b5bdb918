//! `zeuge demo --platform tpm`: the whole loop with a real TPM 2.0 in software: enrol, activate,
//! approve, quote, verify, release; then everybody who must not get the secret.
//!
//! swtpm, the witness and the agent are processes. What plays is the firmware, and the CA that
//! certifies the TPM's EK.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use zeroize::Zeroizing;
use zeuge_protocol::{document::Kind, name::Name};

use super::{
    Step, general, indented,
    machine::Result as Ended,
    middle::Middle,
    owner::{Person, random, sha256},
    refuses,
    software_tpm::{Measured, SoftwareTpm, boot, log},
    told,
    world::{
        Folder, PATH, Process, Programs, WITNESS, configuration, folder, free_address, init, now,
        started, write,
    },
};
use crate::{Outcome, say, witness::Client};

const TENANT: &str = "demo";
/// The image that the demo's machine starts.
const IMAGE: &[u8] = b"the kernel image of the demo";

/// Everything that is up. Fields are dropped in their order: programs before the folder.
struct World {
    tpm: SoftwareTpm,
    stranger: SoftwareTpm,
    _witness: Process,
    middle: Middle,
    programs: Programs,
    client: Client,
    owner: Person,
    secret: Vec<u8>,
    records: Vec<Measured>,
    folder: Folder,
}

/// Runs the demo.
pub(super) fn run(programs: Option<&Path>, keep: bool) -> Outcome {
    if keep {
        return Err("--keep is not supported with --platform tpm".to_owned());
    }
    say("The TPM is real and lives in software (swtpm); a CA made now certifies it.\n\n")?;
    let mut world = World::start(programs)?;
    let mut wrong = 0_u8;
    let mut step = |holds: bool, text: String| -> Result<(), String> {
        wrong = wrong.saturating_add(u8::from(!holds));
        let mark = if holds { "ok      " } else { "WRONG   " };
        say(&format!("{mark} {text}\n"))
    };
    world.enrolled(&mut step)?;
    world.released(&mut step)?;
    world.refused(&mut step)?;
    world.closed_and_restarted(&mut step)?;
    if wrong == 0 {
        say("\nEverything went as it must.\n")?;
        Ok(0)
    } else {
        Err(format!("{wrong} of these steps went wrong"))
    }
}

impl World {
    fn start(programs: Option<&Path>) -> Result<Self, String> {
        let programs = Programs::find(programs)?;
        let folder = folder()?;
        let at = |name: &str| folder.0.join(name);
        say("making two TPMs …\n")?;
        let ca = at("ca");
        let tpm = SoftwareTpm::new(&at("tpm"), &ca)?;
        let stranger = SoftwareTpm::new(&at("stranger"), &ca)?;
        trust(&folder.0)?;

        let tenant = Name::parse(TENANT).map_err(|error| error.to_string())?;
        let owner = Person::new(&tenant, now()?)?;
        let set = serde_json::to_vec(&owner.set()).map_err(|error| error.to_string())?;
        write(&at("owner.pub"), &set)?;
        let keys = init(&programs, &at("witness"), &at("owner.pub"), &tenant)?;
        let text = |name: &str| keys[name].as_str().unwrap_or_default().to_owned();
        let address = free_address()?;
        let middle = Middle::start(address)?;
        let config = configuration(&middle, &owner, &text("answer_key"), &text("log_vkey"))?;
        write(&at("agent.json"), &config)?;
        let records = boot(IMAGE, &config);
        write(&at("boot.log"), &log(&records))?;
        for tpm in [&tpm, &stranger] {
            tpm.measure(&records)?;
        }

        say("starting the witness …\n")?;
        let mut serve = Command::new(&programs.witness);
        serve.args(["serve", "--offline", "--listen", &address.to_string()]);
        serve.arg("--data").arg(at("witness"));
        serve.arg("--endorsements").arg(at("issuers"));
        serve.arg("--roots").arg(at("roots"));
        let serve = started(serve, "zeuged", "listening on", &at("witness.log"))?;
        let token = Some(Zeroizing::new(text("admin_token")));
        let client = Client::new(&format!("http://{address}"), None, token)?;
        let mut secret = [0; 32];
        random(&mut secret)?;
        let world = Self {
            tpm,
            stranger,
            _witness: serve,
            middle,
            programs,
            client,
            owner,
            secret: hex::encode(secret).into_bytes(),
            records,
            folder,
        };
        world.owner_brings(&config)?;
        Ok(world)
    }

    fn put(&self, kind: Kind, name: &str, text: &str) -> Result<(), String> {
        let body = self.owner.document(kind, name, text)?;
        let path = format!("/v1/documents/{}", kind.as_str());
        self.client.put(&path, &body)?.good()?;
        Ok(())
    }

    fn owner_brings(&self, config: &[u8]) -> Result<(), String> {
        let values = format!(
            "schema = \"zeuge.reference-values.v1\"\n[[tpm]]\nname = \"demo\"\nimages = [\"{}\"]\n\
             [[tpm.events]]\npcr = 8\ndigest = \"{}\"\nname = \"agent.json\"\n",
            hex::encode(sha256(IMAGE)),
            hex::encode(sha256(config)),
        );
        let policy = "schema = \"zeuge.policy.v1\"\n[tpm]\npcrs = [\"sha256:0,4,7,8,15\"]\n\
                      require_event_log = true\n";
        let rule = format!(
            "schema = \"zeuge.release-rule.v1\"\ntenant = \"{TENANT}\"\npath = \"{PATH}\"\n\
             door = \"agent\"\nevidence = [\"tpm\"]\nminimum_suite = \"x-wing\"\n\
             chips = \"enrolled\"\nworkload = \"demo\"\nbefore_closed = true\n"
        );
        self.put(Kind::ReferenceValues, "reference-values", &values)?;
        self.put(Kind::Policy, "policy", policy)?;
        self.put(Kind::ReleaseRule, PATH, &rule)?;
        let witness = Name::parse(WITNESS).map_err(|error| error.to_string())?;
        let body = self.owner.secret(&witness, PATH, &self.secret)?;
        self.client.put("/v1/secrets", &body)?.good()?;
        say(&format!(
            "the owner signed reference values, a policy, a rule and the secret {PATH}\n\n"
        ))
    }

    /// The agent with these words, on this TPM.
    fn agent(&self, tpm: &SoftwareTpm, words: &[&str]) -> Result<Ended, String> {
        let output = Command::new(&self.programs.agent)
            .args(words)
            .arg("--config")
            .arg(self.folder.0.join("agent.json"))
            .arg("--tpm-socket")
            .arg(tpm.socket())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("zeuge-agent: {error}"))?;
        Ok(Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.0.join(name).display().to_string()
    }

    /// The agent asks for the secret, with this log and these further words.
    fn get(&self, tpm: &SoftwareTpm, boot_log: &str, more: &[&str]) -> Result<Ended, String> {
        let (log, state) = (self.path(boot_log), self.path("state"));
        let words = [
            "get",
            PATH,
            "--stdout",
            "--tpm-event-log",
            &log,
            "--state",
            &state,
        ];
        self.agent(tpm, &[&words, more].concat())
    }

    fn waiting(&self) -> Result<Vec<serde_json::Value>, String> {
        let answer = self
            .client
            .get(&format!("/v1/enrolments?tenant={TENANT}"))?;
        let rows = answer.json()?["enrolments"].as_array().cloned();
        Ok(rows.unwrap_or_default())
    }

    fn enrolled(&self, step: Step<'_>) -> Result<(), String> {
        let early = self.get(&self.tpm, "boot.log", &[])?;
        let id = "tpm.ak.proof";
        step(
            refuses(&early, id),
            told("a TPM that nobody enrolled", id, &early),
        )?;
        let enrolled = self.agent(&self.tpm, &["tpm", "enroll"])?;
        let rows = self.waiting()?;
        let shown: Vec<String> = rows
            .iter()
            .map(|row| format!("maker {}, EK serial {}", row["maker"], row["serial"]))
            .collect();
        step(
            enrolled.code == 0 && rows.len() == 1,
            format!(
                "the TPM opened a credential that only it can open, and waits for its owner: {}",
                shown.join("; ")
            ),
        )?;
        let again = self.agent(&self.tpm, &["tpm", "enroll"])?;
        step(
            again.code == 0 && again.text().contains("activated"),
            "asking again changes nothing".to_owned(),
        )?;
        let text = |field: &str| {
            let row = rows.first().and_then(|row| row[field].as_str());
            row.unwrap_or_default().to_owned()
        };
        let registry = format!(
            "schema = \"zeuge.hardware.v1\"\n[[tpm]]\nname = \"demo machine\"\nak_name = \"{}\"\n\
             ek_certificate = \"{}\"\n",
            text("ak_name"),
            text("ek_certificate")
        );
        self.put(Kind::HardwareRegistry, "hardware-registry", &registry)?;
        let left = self.waiting()?;
        step(
            left.is_empty(),
            "the owner signed a registry with its AK; nothing waits any more".to_owned(),
        )
    }

    fn released(&self, step: Step<'_>) -> Result<(), String> {
        let (log, state) = (self.path("boot.log"), self.path("state"));
        let words = ["attest", "--tpm-event-log", &log, "--state", &state];
        let attested = self.agent(&self.tpm, &words)?;
        step(
            matches!(attested.code, 0 | 10),
            format!(
                "the machine attests (exit {}):\n{}",
                attested.code,
                indented(&attested.text()).trim_end()
            ),
        )?;
        let got = self.get(&self.tpm, "boot.log", &[])?;
        let same = got.stdout == self.secret;
        step(
            same,
            "the secret arrives, opened inside the machine alone".to_owned(),
        )?;
        if !same {
            say(&indented(&got.text()))?;
        }
        Ok(())
    }

    fn refused(&self, step: Step<'_>) -> Result<(), String> {
        let answer = self.client.post("/v1/releases", &self.middle.recorded()?)?;
        let spent = answer.check() == "challenge.spent";
        let meant = general(&answer.check());
        let id = answer.check();
        step(
            spent,
            format!("a quote sent a second time is refused: {id}{meant}"),
        )?;
        let other = self.get(&self.stranger, "boot.log", &[])?;
        let id = "tpm.ak.trust";
        step(
            refuses(&other, id),
            told("another TPM with another AK", id, &other),
        )?;
        let few = self.get(&self.tpm, "boot.log", &["--tpm-pcrs", "0,4,8,15"])?;
        let id = "policy.pcr-selection";
        step(
            refuses(&few, id),
            told("a quote of fewer registers", id, &few),
        )?;
        let mut changed = boot(b"another kernel image", b"");
        let mut honest = Vec::new();
        for (record, true_one) in changed.iter_mut().zip(&self.records) {
            if record.pcr != 4 {
                record.digest.clone_from(&true_one.digest);
            }
            honest.push(record.digest == true_one.digest);
        }
        write(&self.folder.0.join("changed.log"), &log(&changed))?;
        let tampered = self.get(&self.tpm, "changed.log", &[])?;
        let id = "tpm.eventlog.replay";
        step(
            honest.contains(&false) && refuses(&tampered, id),
            told("a tampered boot log", id, &tampered),
        )
    }

    fn closed_and_restarted(&mut self, step: Step<'_>) -> Result<(), String> {
        let quote = |world: &Self, name: &str, nonce: &str| -> Result<PathBuf, String> {
            let output = Command::new(&world.programs.agent)
                .args(["tpm", "quote", "--nonce", nonce, "--event-log"])
                .arg(world.path("boot.log"))
                .arg("--tpm-socket")
                .arg(world.tpm.socket())
                .output()
                .map_err(|error| format!("zeuge-agent: {error}"))?;
            let path = world.folder.0.join(name);
            write(&path, &output.stdout)?;
            Ok(path)
        };
        let (first, second) = (
            "00112233445566778899aabbccddeeff",
            "ffeeddccbbaa99887766554433221100",
        );
        let before = quote(self, "before.json", first)?;
        let last = self.get(&self.tpm, "boot.log", &["--close"])?;
        let closed = self.get(&self.tpm, "boot.log", &[])?;
        let id = "release.closed";
        step(
            last.stdout == self.secret && refuses(&closed, id),
            told("the same machine once its boot is over", id, &closed),
        )?;
        self.tpm.extend(4, &sha256(b"a program that came later"))?;
        let extended = self.get(&self.tpm, "boot.log", &[])?;
        let id = "tpm.eventlog.replay";
        step(
            refuses(&extended, id),
            told("a register that was extended since", id, &extended),
        )?;
        self.tpm.restart()?;
        self.tpm.measure(&self.records)?;
        let again = self.get(&self.tpm, "boot.log", &[])?;
        step(
            again.stdout == self.secret,
            "after a restart the boot is open again, and the secret arrives".to_owned(),
        )?;
        let after = quote(self, "after.json", second)?;
        let id = "tpm.quote.reset";
        let (code, text) = self.verify(&before, &after, second)?;
        step(
            code == 3 && text.contains(id),
            format!(
                "who holds a quote of before the restart sees it: {id}{}",
                general(id)
            ),
        )
    }

    /// `zeuge verify` of one quote after another.
    fn verify(&self, previous: &Path, file: &Path, nonce: &str) -> Result<(i32, String), String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let ak = self.folder.0.join("policy.toml");
        let policy = "schema = \"zeuge.policy.v1\"\n[tpm]\n\
                      dangerous_allow_unproven_ak = \"the demo looks at the clock alone\"\n";
        fs::write(&ak, policy).map_err(|error| error.to_string())?;
        let output = Command::new(own)
            .args([
                "verify",
                "--kind",
                "tpm",
                "--hardware-only",
                "--nonce",
                nonce,
            ])
            .arg("--policy")
            .arg(&ak)
            .arg("--previous")
            .arg(previous)
            .arg(file)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("zeuge verify: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.code().unwrap_or(-1), text))
    }
}

/// Root and issuer of the demo's CA, where the witness looks for them.
fn trust(folder: &Path) -> Result<(), String> {
    for (from, sub, to) in [
        ("ca/swtpm-localca-rootca-cert.pem", "roots", "root.pem"),
        ("ca/issuercert.pem", "issuers", "issuer.pem"),
    ] {
        let at = folder.join(sub);
        fs::create_dir_all(&at).map_err(|error| format!("{}: {error}", at.display()))?;
        fs::copy(folder.join(from), at.join(to)).map_err(|error| format!("{from}: {error}"))?;
    }
    let named = "schema = \"zeuge.roots.v1\"\n[[root]]\nfile = \"root.pem\"\n\
                 maker = \"the demo's CA\"\njurisdiction = \"none\"\norigin = \"made by this demo\"\n";
    write(&folder.join("roots/roots.toml"), named.as_bytes())
}
