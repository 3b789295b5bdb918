//! The attester inside a confidential VM: asks the CPU for a report that is bound to a fresh
//! challenge and a fresh key, shows it to a witness, and takes what the owners have signed.
//!
//! *Never*: appraises anything itself, keeps a session key longer than one conversation, believes
//! an unsigned answer, takes a secret that is not the owner's, writes one where it outlives the
//! machine unless told so, or has a branch for toys: a toy machine is a mount, not an option.
//!
//! Whom it asks stands in a configuration that this machine's own report pins (DESIGN §5.3).

mod cli;
mod commands;
mod config;
mod detect;
mod device;
mod enrol;
mod error;
mod files;
mod http;
mod nitro;
mod question;
mod random;
mod session;
mod state;
mod tpm;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use error::Error;

/// The check ids of this crate, one list per module.
pub const CHECKS: &[&[&str]] = &[
    config::CHECKS,
    device::CHECKS,
    error::CHECKS,
    files::CHECKS,
    http::CHECKS,
    nitro::CHECKS,
    state::CHECKS,
    tpm::CHECKS,
];

/// Runs the program with the arguments of the process; returns its exit code (DESIGN §5.1).
#[must_use]
pub fn main() -> ExitCode {
    cli::main()
}

/// The present instant in Unix seconds.
fn clock() -> Result<i64, Error> {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .ok_or_else(|| Error::local("the clock of this machine stands before 1970"))
}
