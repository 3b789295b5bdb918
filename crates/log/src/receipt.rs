//! Receipts: proof that a leaf is in the log.
//!
//! A [`Receipt`] is ours, minted only against a checkpoint that this log signed. A
//! [`WireReceipt`] was read from the wire and is believed only as a [`VerifiedReceipt`]. The two
//! never turn into each other: what came over the wire releases nothing.
//! On the wire a receipt is a C2SP tlog-proof whose `extra` is the entry.

use crate::{
    Error, Hash,
    checkpoint::{SignedCheckpoint, VerifiedCheckpoint},
    hash::leaf_hash,
    note::VerifierKey,
    proof::{TlogProof, verify_inclusion},
    tree::{Prover, TileSource},
};

/// Our own receipt. Neither cloned nor read: minted.
#[derive(Debug)]
pub struct Receipt {
    leaf: Hash,
    proof: TlogProof,
}

fn same_leaf(found: &Hash, wanted: &Hash) -> Result<(), Error> {
    if found != wanted {
        return Err(Error::ReceiptLeaf {
            found: *found,
            wanted: *wanted,
        });
    }
    Ok(())
}

impl Receipt {
    /// Mints the receipt of `entry` at `index` from stored tiles and our signed checkpoint.
    ///
    /// # Errors
    /// [`Error::Tile`] for missing tiles; [`Error::Inclusion`] if the entry is not there.
    pub fn mint<S: TileSource + ?Sized>(
        signed: &SignedCheckpoint,
        source: &S,
        index: u64,
        entry: &[u8],
    ) -> Result<Self, Error> {
        let mut prover = Prover::new(source, signed.checkpoint().size)?;
        Self::mint_with(signed, &mut prover, index, entry)
    }

    /// As [`Receipt::mint`], one of several: the prover must be of the checkpoint's size.
    ///
    /// # Errors
    /// As [`Receipt::mint`].
    pub fn mint_with<S: TileSource + ?Sized>(
        signed: &SignedCheckpoint,
        prover: &mut Prover<'_, S>,
        index: u64,
        entry: &[u8],
    ) -> Result<Self, Error> {
        let (size, leaf) = (signed.checkpoint().size, leaf_hash(entry));
        let path = prover.inclusion(index)?;
        verify_inclusion(&leaf, index, size, &path, &signed.checkpoint().root)?;
        let proof = TlogProof {
            extra: Some(entry.to_vec()),
            index,
            path,
            checkpoint: signed.note(),
        };
        Ok(Self { leaf, proof })
    }

    /// Hash of the leaf that this receipt speaks of.
    #[must_use]
    pub const fn leaf(&self) -> &Hash {
        &self.leaf
    }

    /// Index of the leaf.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.proof.index
    }

    /// Demands that the receipt is for this leaf hash.
    ///
    /// # Errors
    /// [`Error::ReceiptLeaf`] if it is for another one.
    pub fn demand(&self, leaf: &Hash) -> Result<(), Error> {
        same_leaf(&self.leaf, leaf)
    }

    /// The receipt as it travels.
    #[must_use]
    pub fn to_wire(&self) -> String {
        self.proof.write()
    }
}

/// A receipt from the wire: parsed, believed by nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireReceipt {
    entry: Vec<u8>,
    proof: TlogProof,
}

impl WireReceipt {
    /// Reads a tlog-proof that carries its entry.
    ///
    /// # Errors
    /// [`Error::Inclusion`] if it is not one or has no `extra` line.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let proof = TlogProof::parse(bytes)?;
        let entry = proof
            .extra
            .clone()
            .ok_or(Error::Inclusion("a receipt that carries its entry"))?;
        Ok(Self { entry, proof })
    }

    /// Verifies it: the log's signature, then the quorum of cosigners, then inclusion.
    ///
    /// # Errors
    /// [`Error::Origin`], [`Error::ReceiptSignature`], [`Error::Checkpoint`],
    /// [`Error::Cosignature`] or [`Error::Inclusion`].
    pub fn verify(
        &self,
        log: &VerifierKey,
        cosigners: &[VerifierKey],
        quorum: usize,
    ) -> Result<VerifiedReceipt, Error> {
        let checkpoint = VerifiedCheckpoint::open(self.proof.checkpoint.as_bytes(), log, cosigners)
            .map_err(|error| match error {
                Error::Note(wanted) => Error::ReceiptSignature(wanted),
                other => other,
            })?;
        checkpoint.demand(quorum)?;
        let leaf = leaf_hash(&self.entry);
        let body = checkpoint.checkpoint();
        verify_inclusion(
            &leaf,
            self.proof.index,
            body.size,
            &self.proof.path,
            &body.root,
        )?;
        Ok(VerifiedReceipt {
            leaf,
            entry: self.entry.clone(),
            index: self.proof.index,
            checkpoint,
        })
    }
}

/// A receipt from the wire that holds under a log key that the caller trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt {
    leaf: Hash,
    entry: Vec<u8>,
    index: u64,
    checkpoint: VerifiedCheckpoint,
}

impl VerifiedReceipt {
    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &[u8] {
        &self.entry
    }

    /// Index of the entry.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The checkpoint under which it is included; worth remembering against rollback.
    #[must_use]
    pub const fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// Demands that the receipt is for this leaf hash.
    ///
    /// # Errors
    /// [`Error::ReceiptLeaf`] if it is for another one.
    pub fn demand(&self, leaf: &Hash) -> Result<(), Error> {
        same_leaf(&self.leaf, leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        note::Signer,
        tree::{MemoryTiles, grow},
    };

    fn log() -> (Signer, MemoryTiles, SignedCheckpoint) {
        let signer = Signer::log("example.invalid/log", &[1; 32]).unwrap();
        let leaves: Vec<Hash> = (0_u8..5).map(|i| leaf_hash(&[i])).collect();
        let mut tiles = MemoryTiles::default();
        let growth = grow(&tiles, 0, &leaves).unwrap();
        for (id, bytes) in growth.tiles {
            tiles.put(id, bytes);
        }
        let signed = SignedCheckpoint::sign(&signer, growth.size, growth.root).unwrap();
        (signer, tiles, signed)
    }

    #[test]
    fn a_minted_receipt_verifies_on_the_other_side() {
        let (signer, tiles, signed) = log();
        let receipt = Receipt::mint(&signed, &tiles, 3, &[3]).unwrap();
        let wire = WireReceipt::parse(receipt.to_wire().as_bytes()).unwrap();
        let verified = wire.verify(signer.verifier(), &[], 0).unwrap();
        assert_eq!((verified.entry(), verified.index()), ([3].as_slice(), 3));
        assert_eq!(verified.demand(receipt.leaf()), Ok(()));
        let other = leaf_hash(&[4]);
        let wanted = Err(Error::ReceiptLeaf {
            found: *receipt.leaf(),
            wanted: other,
        });
        assert_eq!(verified.demand(&other), wanted);
        assert_eq!(receipt.demand(&other), wanted);
        assert_eq!(
            wire.verify(signer.verifier(), &[], 1),
            Err(Error::Cosignature("as many known cosigners as the quorum"))
        );
    }

    #[test]
    fn no_receipt_is_minted_for_an_entry_that_is_not_there() {
        let (_, tiles, signed) = log();
        assert_eq!(
            Receipt::mint(&signed, &tiles, 3, &[4]).unwrap_err(),
            Error::Inclusion("a path that leads to the root")
        );
    }

    #[test]
    fn a_receipt_signed_by_another_key_is_refused() {
        let (_, tiles, signed) = log();
        let receipt = Receipt::mint(&signed, &tiles, 0, &[0]).unwrap();
        let wire = WireReceipt::parse(receipt.to_wire().as_bytes()).unwrap();
        let thief = Signer::log("example.invalid/log", &[2; 32]).unwrap();
        assert_eq!(
            wire.verify(thief.verifier(), &[], 0),
            Err(Error::ReceiptSignature("a signature of a known key"))
        );
    }
}
