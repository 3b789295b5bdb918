//! `zeuge-kube`: nodes of a Kubernetes cluster join only if attested, and lose their work when
//! their evidence fails.
//!
//! Believes nothing but Attestation Results that a pinned witness signed, and appraises nothing.
//! What is decided stands in [`plan`] and [`join`], pure functions; the rest carries it out.
//! `docs/kubernetes.md` says against whom this protects: labels, taints and objects are hints to
//! a scheduler, and whoever runs the API server can change them.

pub mod api;
pub mod belief;
pub mod bypass;
pub mod certificate;
mod cli;
pub mod cluster;
pub mod controller;
pub mod declared;
pub mod denial;
mod der;
mod error;
pub mod history;
pub mod install;
pub mod join;
pub mod leader;
pub mod metrics;
pub mod model;
pub mod node;
pub mod owner;
pub mod pkcs10;
pub mod plan;
mod plugin;
pub mod preflight;
pub mod request;
pub mod selection;
pub mod tell;
pub mod waiver;

pub use error::{Error, reason};

/// The check ids of this crate, one list per module.
pub const CHECKS: &[&[&str]] = &[
    bypass::CHECKS,
    declared::CHECKS,
    denial::CHECKS,
    error::CHECKS,
    join::CHECKS,
    leader::CHECKS,
    plan::CHECKS,
    preflight::CHECKS,
    tell::CHECKS,
    waiver::CHECKS,
];

/// Runs `kubectl-zeuge`, which kubectl finds as `kubectl zeuge`; returns its exit code.
#[must_use]
pub fn kubectl() -> std::process::ExitCode {
    plugin::main()
}

/// A report that this key signed, in words: what `kubectl zeuge verify-report` prints.
///
/// # Errors
/// Why it is not believed.
pub fn report(
    signed: &str,
    public: &zeuge_protocol::keys::PublicKey,
) -> Result<String, &'static str> {
    plugin::report(signed, public)
}

/// Runs the program with the arguments of the process; returns its exit code (DESIGN §5.1).
#[must_use]
pub fn main() -> std::process::ExitCode {
    cli::main()
}
