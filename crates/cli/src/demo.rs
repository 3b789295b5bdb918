//! `zeuge demo`: the whole loop on real sockets, with a toy instead of silicon, or with a real
//! TPM 2.0 in software (swtpm).
//!
//! Starts the toy maker, the witness and the agent as the processes that they are, in a folder of
//! its own; plays the owner, and then everybody who would like the secret and must not get it.
//! Never touches anything outside of that folder; never shows a result that a program did not give.

mod machine;
mod middle;
mod owner;
mod software_tpm;
mod tpm;
mod world;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use zeuge_report::{Language, Table};

use crate::{Outcome, say};

use self::{middle::Mode, world::World};

/// `zeuge demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  zeuge demo
  zeuge demo --platform tdx
  zeuge demo --platform tpm
  zeuge demo --keep

Needs root and /dev/fuse: the toy machine is a file system at the place where Linux puts \
configfs-tsm, so that the agent runs unmodified. --platform tpm needs neither, but swtpm.")]
pub(crate) struct Demo {
    /// Whose silicon is played: snp or tdx; tpm is a real TPM in software (swtpm).
    #[arg(long, default_value = "snp")]
    platform: String,
    /// Several witnesses (not supported yet).
    #[arg(long)]
    quorum: bool,
    /// Leave everything up, and print the addresses, until Enter is pressed.
    #[arg(long)]
    keep: bool,
    /// Folder of zeuged, zeuge-agent and zeuge-sim; the one of zeuge itself when absent.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

/// Whose silicon is played.
#[derive(Debug, Clone, Copy)]
enum Platform {
    Snp,
    Tdx,
}

impl Platform {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "snp" => Ok(Self::Snp),
            "tdx" => Ok(Self::Tdx),
            other => Err(format!(
                "--platform {other} is not supported; snp, tdx and tpm are"
            )),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Snp => "snp",
            Self::Tdx => "tdx",
        }
    }

    /// What the owner says that the machine must be; `started` are RTMR1 and RTMR2 of a trust
    /// domain, in hex.
    fn reference_values(self, measurement: &str, host_data: &str, started: &[String; 2]) -> String {
        let head = "schema = \"zeuge.reference-values.v1\"\n";
        match self {
            Self::Snp => format!(
                "{head}[[snp]]\nname = \"demo\"\nmeasurements = [\"{measurement}\"]\n\
                 host_data = [\"{host_data}\"]\n"
            ),
            // What the toy's firmware started stands in RTMR1 and RTMR2; the digest of the
            // configuration is followed by zeros.
            Self::Tdx => {
                let ([first, second], zeros) = (started, "00".repeat(16));
                format!(
                    "{head}[[tdx]]\nname = \"demo\"\nmr_td = [\"{measurement}\"]\n\
                     rtmr = {{ \"1\" = [\"{first}\"], \"2\" = [\"{second}\"] }}\n\
                     mr_config_id = [\"{host_data}{zeros}\"]\n"
                )
            }
        }
    }
}

/// Runs the command.
pub(crate) fn run(demo: &Demo) -> Outcome {
    if demo.quorum {
        return Err("--quorum is not supported yet".to_owned());
    }
    if demo.platform == "tpm" {
        return tpm::run(demo.programs.as_deref(), demo.keep);
    }
    let platform = Platform::parse(&demo.platform)?;
    say("THE SILICON IS A TOY: its roots are made now, and nothing real trusts them.\n\n")?;
    let world = World::start(platform, demo.programs.as_deref())?;
    let mut wrong = 0_u8;
    let mut step = |holds: bool, text: String| -> Result<(), String> {
        if !holds {
            wrong = wrong.saturating_add(1);
        }
        say(&format!(
            "{} {text}\n",
            if holds { "ok      " } else { "WRONG   " }
        ))
    };
    released(&world, &mut step)?;
    refused(&world, &mut step)?;
    let entries = world.log_from_outside()?;
    step(
        true,
        format!("the log verifies from outside: {entries} leaves under its signed root"),
    )?;
    if demo.keep {
        world.keep()?;
    }
    if wrong == 0 {
        say("\nEverything went as it must.\n")?;
        Ok(0)
    } else {
        Err(format!("{wrong} of these steps went wrong"))
    }
}

type Step<'a> = &'a mut dyn FnMut(bool, String) -> Result<(), String>;

/// The honest machine gets its secret, and the verdict is shown.
fn released(world: &World, step: Step<'_>) -> Result<(), String> {
    let attested = world.machines.honest.attest(world)?;
    step(
        matches!(attested.code, 0 | 10),
        format!(
            "the machine attests (exit {}); the verdict, its receipt, and what they mean:\n{}{}\n",
            attested.code,
            indented(&attested.text()).trim_end(),
            general("dangerous.sim-root")
        ),
    )?;
    if world.machines.tampered.is_some() {
        let claims = world.newest_claims()?;
        step(
            claims["event_log"]["explained"] == json!([0, 1, 2, 3]),
            format!(
                "the log of its boot adds up to the registers that its quote signs:\n{}",
                indented(&boot_log(&claims)).trim_end()
            ),
        )?;
    }
    let got = world.machines.honest.get(world)?;
    let same = got.stdout == world.secret;
    step(
        same,
        "the secret arrives, opened inside the machine alone".to_owned(),
    )?;
    if !same {
        say(&indented(&got.text()))?;
    }
    Ok(())
}

/// The records of a boot log as the verdict has them, one line each.
fn boot_log(claims: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line = |event: &Value| {
        let digest: String = text(&event["digest"]).chars().take(16).collect();
        let (kind, label) = (text(&event["kind"]), text(&event["label"]));
        format!("RTMR{} {digest}… {kind} {label}", event["rtmr"])
            .trim_end()
            .to_owned()
    };
    let events = claims["event_log"]["events"].as_array();
    let lines: Vec<_> = events.into_iter().flatten().map(line).collect();
    lines.join("\n")
}

/// What a check is about, for somebody who is no expert.
fn general(id: &str) -> String {
    let entry = Table::get().explain(id);
    entry.map_or_else(String::new, |entry| {
        format!("\n           in general: {}", entry.general(Language::En))
    })
}

/// Everybody who must not get it.
fn refused(world: &World, step: Step<'_>) -> Result<(), String> {
    let changed = world.machines.changed.get(world)?;
    let id = "policy.measurement";
    step(
        refuses(&changed, id),
        told("a machine with a changed image", id, &changed),
    )?;
    let debug = world.machines.debug.get(world)?;
    let id = "policy.debug";
    step(
        refuses(&debug, id),
        told("a machine that its host may debug", id, &debug),
    )?;

    if let Some(tampered) = &world.machines.tampered {
        let tampered = tampered.get(world)?;
        let id = "tdx.eventlog.replay";
        step(
            refuses(&tampered, id),
            told("the machine with a tampered boot log", id, &tampered),
        )?;
    }
    let body = world.middle.recorded()?;
    let answer = world.client.post("/v1/releases", &body)?;
    let spent = answer.check() == "challenge.spent";
    step(
        spent,
        format!(
            "evidence sent a second time is refused: {}{}",
            answer.check(),
            general(&answer.check())
        ),
    )?;

    world.middle.set(Mode::OtherKey)?;
    let stolen = world.machines.honest.get(world)?;
    world.middle.set(Mode::Pass)?;
    let id = world.middle.answered()?;
    let holds = stolen.code != 0 && stolen.stdout != world.secret && id.starts_with("binding.");
    step(
        holds,
        format!(
            "evidence with somebody else's key put in on the way is refused: {id}{}",
            general(&id)
        ),
    )?;

    let answer = world.foreign_secret()?;
    let id = answer.check().to_owned();
    let holds = answer.status >= 400 && !id.is_empty();
    step(
        holds,
        format!(
            "a secret that the owner did not sign is refused: {id}{}",
            general(&id)
        ),
    )
}

fn refuses(result: &machine::Result, id: &str) -> bool {
    result.code != 0 && result.stdout.is_empty() && result.text().contains(id)
}

fn told(who: &str, id: &str, result: &machine::Result) -> String {
    let text = result.text();
    let line = text
        .lines()
        .find(|line| line.contains(id))
        .unwrap_or(text.trim());
    format!(
        "{who} is refused (exit {}): {}{}",
        result.code,
        line.trim(),
        general(id)
    )
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("           {line}\n"))
        .collect()
}
