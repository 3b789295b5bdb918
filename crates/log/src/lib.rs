//! The transparency log: what was decided, in an order that nobody can rewrite unseen.
//!
//! Tiles, entry bundles, signed notes, checkpoints, proofs and cosignatures follow the C2SP
//! documents (tlog-tiles, signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof); leaves
//! and commitments are ours (DESIGN §5.6). This room computes and judges bytes. It never reads a
//! disk, a clock or a random source: stored tiles come through [`tree::TileSource`], and times,
//! seeds and salts are arguments. It also never decides when to publish: the order "entries,
//! tiles, sync, checkpoint, receipt" is kept by the server.
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

mod cbor;
pub mod checkpoint;
pub mod commitment;
pub mod edge;
mod error;
pub mod hash;
pub mod leaf;
pub mod note;
pub mod proof;
pub mod receipt;
pub mod tile;
pub mod tree;

pub use error::{CHECKS as ERROR_CHECKS, Error};
pub use hash::Hash;

/// Every check id that this crate can name, by module.
pub const CHECKS: &[&[&str]] = &[ERROR_CHECKS];
