//! Evidence, endorsements, trust anchors and an instant: **what is proven, and by whom**.
//!
//! Verification stops at the first failure and names it. It never fetches: [`snp::needs`] and its
//! neighbours say what is missing. It never reads a clock: the instant is an argument. It never
//! decides whether a proven machine is *wanted*; that is `zeuge-appraise`, which takes only
//! [`Verified`].
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

pub mod amd;
pub mod anchors;
pub mod azure;
pub mod binding;
mod broken;
pub mod composite;
pub mod crypto;
pub mod dcap;
mod endorsements;
mod error;
pub mod google;
pub mod nitro;
mod pss;
pub mod ratls;
pub mod snp;
pub mod tpm;
mod trail;
mod verified;
mod window;
pub mod x509;

pub use anchors::{Anchors, Root};
pub use azure::AzureFacts;
pub use binding::Binding;
pub use dcap::{QuoteFacts, quote};
pub use endorsements::{Endorsement, Endorsements};
pub use error::{Error, Unavailable, Untrusted};
pub use nitro::NitroFacts;
pub use snp::{SnpFacts, snp};
pub use trail::Trail;
#[cfg(zeuge_mutants)]
pub use trail::mutants;
pub use verified::Verified;
// The word for an instant in every signature here, for rooms that may use this one alone.
pub use zeuge_evidence::UnixTime;

/// The ids of all checks of this room, by the file that owns them.
pub const CHECKS: &[&[&str]] = &[
    amd::CHECKS,
    azure::CHECKS,
    binding::CHECKS,
    composite::CHECKS,
    dcap::CHECKS,
    dcap::held::CHECKS,
    google::CHECKS,
    nitro::CHECKS,
    ratls::CHECKS,
    snp::CHECKS,
    tpm::CHECKS,
];
