//! `zeuge`: the command line for people.
//!
//! Reads files, calls the rooms in their order, prints. Never decides what is trusted: that is
//! `zeuge-verify` and `zeuge-appraise`. Exit codes are those of DESIGN §5.1.
#![forbid(unsafe_code)]

mod advise;
mod apply;
mod archive;
mod args;
mod clock;
mod collateral;
mod contexts;
mod demo;
mod doctor;
mod enrol_tpm;
mod forecast;
mod hardware;
mod input;
mod inspect;
mod judge;
mod judge_azure;
mod judge_nitro;
mod judge_tpm;
mod knowledge;
mod log;
mod output;
mod owner;
mod payload;
mod policy;
mod reference;
mod secret;
mod stop;
mod tenant;
mod threats;
mod token;
mod trust_report;
mod verify;
mod waiting;
mod waiver;
mod witness;
mod witnessed;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Arguments, Command};

/// Usage errors and local I/O.
const USAGE: u8 = 1;

/// What a command answers: its exit code, or a sentence about what went wrong here (exit code 1).
pub(crate) type Outcome = Result<u8, String>;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers, not errors; clap knows which stream they go to.
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let outcome = match arguments.command {
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Verify(verify) => verify::run(&verify),
        Command::Report(report) => trust_report::run(&report),
        Command::Threats(threats) => threats::run(&threats),
        Command::Advise(advise) => advise::run(&advise),
        Command::Demo(demo) => demo::run(&demo),
        Command::Owner(owner) => owner::run(&owner),
        Command::Apply(apply) => apply::run(&apply),
        Command::Secret(secret) => secret::run(&secret),
        Command::Waiver(waiver) => waiver::run(&waiver),
        Command::Stop(stop) => stop::run(&stop),
        Command::Context(context) => contexts::run(&context),
        Command::Policy(policy) => policy::run(&policy),
        Command::Reference(reference) => reference::run(&reference),
        Command::Hardware(hardware) => hardware::run(&hardware),
        Command::Tenant(tenant) => tenant::run(&tenant),
        Command::Token(token) => token::run(&token),
        Command::Log(log) => log::run(&log),
        Command::Collateral(collateral) => collateral::run(&collateral),
        Command::Doctor => doctor::run(),
        Command::Later(later) => Err(later.refusal()),
        Command::Completions { shell } => args::completions(shell),
        Command::Manual => args::manual(),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(sentence) => {
            complain(&sentence);
            ExitCode::from(USAGE)
        }
    }
}

/// Writes one line of output; a closed pipe ends the program quietly, as `head` expects.
pub(crate) fn say(text: &str) -> Result<(), String> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(format!("standard output: {error}")),
    }
}

fn complain(sentence: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "zeuge: {sentence}");
}
