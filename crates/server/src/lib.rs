//! `zeuged`, the witness: it judges evidence, writes down what it decided, and only then lets a
//! secret go.
//!
//! One datum's way: [`session`] checks challenge and binding, [`appraisal`] verifies and judges,
//! the [`sequencer`] writes as many decisions as there are in one transaction of the [`store`], which
//! spends their challenges and writes verdicts, leaves and the checkpoint over them, and mints
//! receipts; [`release`] seals. Doors
//! to the world: [`door`], [`http`], [`tls`], [`program`].
//!
//! Never releases without a receipt of its own log, never logs or answers a secret in the clear,
//! never fetches an address that stands in evidence. A sole witness that is compromised can read
//! what it keeps; that is what several witnesses are for.
#![forbid(unsafe_code)]

pub mod appraisal;
pub mod archive;
mod audit;
mod azure;
pub mod clock;
pub mod denials;
pub mod documents;
pub mod door;
pub mod endorsements;
pub mod enrolment;
pub mod feed;
pub mod forecast;
mod gauges;
pub mod health;
pub mod http;
pub mod keys;
pub mod limits;
pub mod load;
pub mod metrics;
mod nitro;
pub mod openapi;
pub mod program;
mod quote;
pub mod recovery;
pub mod refusal;
pub mod release;
pub mod remembered;
pub mod reports;
pub mod secrets;
pub mod sequencer;
pub mod session;
mod snp;
pub mod stops;
pub mod store;
pub mod tenants;
pub mod tiles;
pub mod tls;
pub mod told;
pub mod tpm;
#[cfg(feature = "traces")]
pub mod traces;
pub mod view;
pub mod waivers;
pub mod wire;
pub mod witness;

/// The ids of the checks that this room owns.
pub const CHECKS: &[&[&str]] = &[
    archive::CHECKS,
    clock::CHECKS,
    documents::CHECKS,
    enrolment::CHECKS,
    feed::CHECKS,
    recovery::CHECKS,
    release::CHECKS,
    reports::CHECKS,
    secrets::CHECKS,
    sequencer::CHECKS,
    session::CHECKS,
    stops::CHECKS,
    store::CHECKS,
    tenants::CHECKS,
    waivers::CHECKS,
];
