//! Why a log artefact was refused. One variant is one broken rule with its check id.
//!
//! Carries no vendor text and no secret: found and wanted values are hashes, names of keys and
//! fixed sentences.

use crate::Hash;
use std::fmt;

/// Every check id of this crate, sorted.
pub const CHECKS: &[&str] = &[
    "log.checkpoint",
    "log.cosignature",
    "log.leaf",
    "log.note",
    "log.origin",
    "log.proof.consistency",
    "log.proof.inclusion",
    "log.receipt.leaf",
    "log.receipt.signature",
    "log.tile",
];

/// A broken rule of the log. The text inside a variant says what would have been right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// `log.checkpoint`: a checkpoint body is not written as tlog-checkpoint says.
    Checkpoint(&'static str),
    /// `log.proof.consistency`: two checkpoints are not shown to be one log.
    Consistency(&'static str),
    /// `log.cosignature`: a known cosigner's signature is missing, malformed or wrong.
    Cosignature(&'static str),
    /// `log.proof.inclusion`: an entry is not shown to be in the tree.
    Inclusion(&'static str),
    /// `log.leaf`: an entry is not a canonical leaf of a known version.
    Leaf {
        /// Bytes from the start of the entry.
        offset: usize,
        /// The rule, as what would have been right.
        wanted: &'static str,
    },
    /// `log.note`: a signed note or a verifier key is malformed, or a known signature is wrong.
    Note(&'static str),
    /// `log.origin`: the checkpoint belongs to another log.
    Origin {
        /// The origin line that was read.
        found: String,
        /// The origin that the caller trusts.
        wanted: String,
    },
    /// `log.receipt.leaf`: a receipt speaks of another entry.
    ReceiptLeaf {
        /// Leaf hash of the receipt.
        found: Hash,
        /// Leaf hash that was recomputed.
        wanted: Hash,
    },
    /// `log.receipt.signature`: the checkpoint of a receipt is not signed by the log's key.
    ReceiptSignature(&'static str),
    /// `log.tile`: a tile, an entry bundle or a tile path is missing or malformed.
    Tile(&'static str),
}

impl Error {
    /// The id of the check that refused.
    #[must_use]
    pub const fn check(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "log.checkpoint",
            Self::Consistency(_) => "log.proof.consistency",
            Self::Cosignature(_) => "log.cosignature",
            Self::Inclusion(_) => "log.proof.inclusion",
            Self::Leaf { .. } => "log.leaf",
            Self::Note(_) => "log.note",
            Self::Origin { .. } => "log.origin",
            Self::ReceiptLeaf { .. } => "log.receipt.leaf",
            Self::ReceiptSignature(_) => "log.receipt.signature",
            Self::Tile(_) => "log.tile",
        }
    }

    /// What was found and what was wanted, where both are values.
    #[must_use]
    pub fn difference(&self) -> Option<(String, String)> {
        match self {
            Self::Origin { found, wanted } => Some((found.clone(), wanted.clone())),
            Self::ReceiptLeaf { found, wanted } => Some((hex::encode(found), hex::encode(wanted))),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint(wanted) => write!(f, "the checkpoint is refused: wanted {wanted}"),
            Self::Consistency(wanted) => {
                write!(f, "the consistency proof is refused: wanted {wanted}")
            }
            Self::Cosignature(wanted) => write!(f, "the cosignature is refused: wanted {wanted}"),
            Self::Inclusion(wanted) => write!(f, "the inclusion proof is refused: wanted {wanted}"),
            Self::Leaf { offset, wanted } => {
                write!(f, "the leaf is refused at byte {offset}: wanted {wanted}")
            }
            Self::Note(wanted) => write!(f, "the signed note is refused: wanted {wanted}"),
            Self::Origin { found, wanted } => {
                write!(f, "the checkpoint is of log {found}, wanted {wanted}")
            }
            Self::ReceiptLeaf { found, wanted } => write!(
                f,
                "the receipt is for leaf {}, wanted {}",
                hex::encode(found),
                hex::encode(wanted)
            ),
            Self::ReceiptSignature(wanted) => {
                write!(f, "the receipt's checkpoint is refused: wanted {wanted}")
            }
            Self::Tile(wanted) => write!(f, "the tile is refused: wanted {wanted}"),
        }
    }
}

impl std::error::Error for Error {}
