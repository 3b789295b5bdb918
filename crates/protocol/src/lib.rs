//! The wire between an agent in a confidential VM, a witness and a relying party.
//!
//! Challenges, evidence bundles, the binding that ties hardware evidence to keys, owner-signed
//! documents and secret manifests, sealed secrets, Attestation Results (EAR), the API types and
//! the session machines of both sides. Every parser has a byte limit with its reason beside it.
//!
//! Never reads a clock, a socket, a disk or a random source: instants are Unix seconds given as
//! `i64`, random bytes come from a [`Random`] that the caller gives. Never appraises: a verdict
//! comes in as an event and is carried, not made.
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

pub mod answer;
pub mod api;
pub mod binding;
pub mod bundle;
pub mod cbor;
pub mod challenge;
pub mod document;
pub mod ear;
mod error;
pub mod keys;
pub mod manifest;
pub mod name;
pub mod report;
pub mod report_bundle;
pub mod request;
pub mod seal;
pub mod session;
pub mod suite;
pub mod text;
pub mod waiver;

pub use error::Error;

/// A source of secret random bytes that fills the whole slice; the caller owns its quality.
pub type Random<'a> = &'a mut dyn FnMut(&mut [u8]);

// The client that the page shows is compiled with the tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/enclaves.md")]
struct Enclaves;

/// The check ids of this crate, one list per module.
pub const CHECKS: &[&[&str]] = &[
    answer::CHECKS,
    binding::CHECKS,
    bundle::CHECKS,
    challenge::CHECKS,
    document::CHECKS,
    ear::CHECKS,
    keys::CHECKS,
    manifest::CHECKS,
    name::CHECKS,
    report::CHECKS,
    request::CHECKS,
    seal::CHECKS,
    session::CHECKS,
];
