//! Chains of machines that were verified before, so that the next report of the same machine
//! costs one signature instead of four.
//!
//! Only keeps; whether a kept chain answers is [`KeptChain`]'s business, and its answer is the one
//! that verification anew would give. Bounded in chains and in bytes; the oldest goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use zeuge_verify::{
    Endorsements,
    snp::{KeptChain, Report},
};

/// Chains that are kept: a fleet on a few racks.
const CHAINS_MAX: usize = 4096;
/// Bytes of endorsements that all kept chains hold together.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that one may hold: what one machine brings, not a folder of many.
const CHAIN_BYTES_MAX: usize = 32 * 1024;

/// Chip and TCB, which its certificate is about.
type Key = ([u8; 64], [u8; 8]);

/// The kept chains.
#[derive(Debug, Default)]
pub(crate) struct Warm {
    chains: HashMap<Key, (Arc<KeptChain>, usize)>,
    order: VecDeque<Key>,
    bytes: usize,
}

/// What a chain is kept under.
pub(crate) fn key(report: &Report<'_>) -> Key {
    (report.claims.chip_id, report.claims.reported_tcb.0)
}

/// Whether so much may be kept for one machine.
pub(crate) fn size(heap: &Endorsements) -> Option<usize> {
    let held = heap.certificates.iter().chain(&heap.revocation_lists);
    let held = held.chain(&heap.documents);
    let bytes = held.fold(0_usize, |sum, held| sum.saturating_add(held.bytes.len()));
    (bytes <= CHAIN_BYTES_MAX).then_some(bytes)
}

impl Warm {
    /// The chain that may answer.
    pub(crate) fn chain(&self, key: &Key) -> Option<Arc<KeptChain>> {
        self.chains.get(key).map(|(chain, _)| Arc::clone(chain))
    }

    /// Keeps a chain in the place of an older one of the same machine.
    pub(crate) fn keep(&mut self, key: Key, chain: KeptChain, bytes: usize) {
        if let Some((_, held)) = self.chains.insert(key, (Arc::new(chain), bytes)) {
            self.bytes = self.bytes.saturating_sub(held);
        } else {
            self.order.push_back(key);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        while self.chains.len() > CHAINS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some((_, held)) = self.chains.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(held);
            }
        }
    }
}
