//! The log's files: notes, checkpoints, proofs, receipts, tiles, entries.

use zeuge_log::{
    checkpoint::{Checkpoint, VerifiedCheckpoint},
    leaf::Leaf,
    note::{Note, VerifierKey},
    proof::TlogProof,
    receipt::WireReceipt,
    tile::{TileId, read_bundle, read_hashes, write_bundle, write_hashes},
};

use crate::{
    meter::{Bound, within},
    must, seeds,
};

const PARTS: Bound = Bound::new(32, 8192);

fn refuse(error: &zeuge_log::Error) {
    must::name_a_check(error.check());
    must::be_short(&error.to_string());
}

/// A signed note, the checkpoint in it, and a verifier key.
pub(crate) fn checkpoint(bytes: &[u8]) {
    match within(PARTS, bytes.len(), || Note::parse(bytes)) {
        Ok(note) => {
            assert_eq!(note.write().as_bytes(), bytes);
            match within(PARTS, bytes.len(), || Checkpoint::parse(note.text())) {
                Ok(checkpoint) => assert_eq!(checkpoint.text(), note.text()),
                Err(error) => refuse(&error),
            }
        }
        Err(error) => refuse(&error),
    }
    let log = seeds::log_key();
    match VerifiedCheckpoint::open(bytes, &log, &[]) {
        Ok(open) => assert_eq!(open.checkpoint().origin, log.name()),
        Err(error) => refuse(&error),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        match VerifierKey::parse(text) {
            Ok(key) => assert_eq!(key.to_string(), text),
            Err(error) => refuse(&error),
        }
    }
}

/// A proof, and a receipt from the wire.
pub(crate) fn proof(bytes: &[u8]) {
    match within(PARTS, bytes.len(), || TlogProof::parse(bytes)) {
        Ok(proof) => assert_eq!(proof.write().as_bytes(), bytes),
        Err(error) => refuse(&error),
    }
    if let Ok(receipt) = WireReceipt::parse(bytes)
        && let Err(error) = receipt.verify(&seeds::log_key(), &[], 0)
    {
        refuse(&error);
    }
}

/// An entry: one spelling.
pub(crate) fn leaf(bytes: &[u8]) {
    match within(PARTS, bytes.len(), || Leaf::decode(bytes)) {
        Ok(leaf) => assert_eq!(leaf.encode().as_deref(), Ok(bytes)),
        Err(error) => refuse(&error),
    }
}

/// Tiles, entry bundles and the paths of both.
pub(crate) fn tile(bytes: &[u8]) {
    match within(PARTS, bytes.len(), || read_bundle(bytes)) {
        Ok(entries) => assert_eq!(write_bundle(&entries).as_deref(), Ok(bytes)),
        Err(error) => refuse(&error),
    }
    let width = u16::try_from(bytes.len() / 32).unwrap_or(u16::MAX);
    match within(PARTS, bytes.len(), || read_hashes(bytes, width)) {
        Ok(hashes) => assert_eq!(write_hashes(&hashes), bytes),
        Err(error) => refuse(&error),
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        match TileId::parse(text) {
            Ok(id) => assert_eq!(id.path(), text),
            Err(error) => refuse(&error),
        }
    }
}
