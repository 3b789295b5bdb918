//! Bytes that hardware said, turned into typed facts that **nobody believes yet**.
//!
//! This room reads reports, quotes, certificates, revocation lists and event logs. It checks
//! shape: lengths before reads, reserved ranges, known versions. It never checks a signature,
//! never compares against a policy, never reads a clock, a file or a socket.
//! Belief is made next door, in `zeuge-verify`; the wish ("is this what I wanted?") in
//! `zeuge-appraise`.
//!
//! Every parser keeps the bytes it was given, so that a signature is checked over what was
//! received and never over a re-encoding. Every refusal is a [`Malformed`] that names its check
//! and the offset.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod annotate;
pub mod azure;
pub mod dcap;
pub mod der;
mod error;
pub mod eventlog;
pub mod google;
pub mod ima;
pub mod json;
pub mod kind;
pub mod nitro;
mod protobuf;
pub mod ratls;
pub mod reader;
pub mod sgx;
pub mod snp;
pub mod tdx;
mod time;
pub mod tpm;
pub mod x509;

pub use error::{Malformed, What};
pub use time::UnixTime;

/// The ids of the checks of this room, by file.
pub const CHECKS: &[&[&str]] = &[
    azure::CHECKS,
    dcap::CHECKS,
    ratls::CHECKS,
    eventlog::CHECKS,
    google::CHECKS,
    ima::CHECKS,
    kind::CHECKS,
    nitro::CHECKS,
    snp::CHECKS,
    tpm::CHECKS,
    x509::CHECKS,
];
