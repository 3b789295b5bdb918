//! What was proven about machines before, so that the next report of the same machine costs one
//! signature instead of four, and the next quote two instead of nine.
//!
//! Only keeps; whether what is kept answers is [`KeptChain`]'s and [`KeptPlatform`]'s business, and their
//! answer is the one that verification anew would give. Bounded in machines and in bytes; the oldest
//! goes first.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeuge_verify::{
    Endorsements,
    dcap::KeptPlatform,
    snp::{EndorsementId, KeptChain, Report},
};

use crate::{Wanted, cache::Held, content::Content};

/// Machines that are kept: a fleet on a few racks.
const MACHINES_MAX: usize = 4096;
/// Bytes of endorsements that all kept chains of AMD's machines hold together.
const CHAINS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that one may hold: what one machine brings, not a folder of many.
const CHAIN_BYTES_MAX: usize = 32 * 1024;
/// The same for Intel's machines: documents and lists of a platform have some 100 KiB.
const PLATFORMS_BYTES_MAX: usize = 64 * 1024 * 1024;
const PLATFORM_BYTES_MAX: usize = 512 * 1024;

/// Chip and TCB, which its certificate is about.
pub(crate) type ChipKey = ([u8; 64], [u8; 8]);
/// Hash of what a quote brings to prove its platform.
pub(crate) type PlatformKey = [u8; 32];

/// What is kept of all machines.
#[derive(Debug)]
pub(crate) struct Kept {
    chains: Mutex<Warm<ChipKey, KeptChain>>,
    platforms: Mutex<Warm<PlatformKey, KeptPlatform>>,
    /// As many as there are products of AMD's and kinds of their intermediates.
    lists: Mutex<HashMap<String, ProvenList>>,
}

/// One of AMD's lists in the cache as it was read and proven.
#[derive(Debug, Clone)]
pub(crate) struct ProvenList {
    /// Names the bytes, as the index of the cache does.
    pub(crate) sha256: String,
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) content: Content,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            chains: Mutex::new(Warm::chains()),
            platforms: Mutex::new(Warm::platforms()),
            lists: Mutex::default(),
        }
    }
}

impl Kept {
    /// The chains of AMD's machines.
    pub(crate) fn chains(&self) -> MutexGuard<'_, Warm<ChipKey, KeptChain>> {
        self.chains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Intel's platforms.
    pub(crate) fn platforms(&self) -> MutexGuard<'_, Warm<PlatformKey, KeptPlatform>> {
        let platforms = self.platforms.lock();
        platforms.unwrap_or_else(PoisonError::into_inner)
    }

    /// The list that was proven last under this name, whose key this is.
    pub(crate) fn list(&self, wanted: &Wanted, key: &str) -> Option<ProvenList> {
        let lists = || self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        is_amd_list(wanted).then(|| lists().get(key).cloned())?
    }

    /// Keeps what was proven about a list. Others than AMD's are proven each time.
    pub(crate) fn keep_list(&self, wanted: &Wanted, held: &Held, content: &Content) {
        if !is_amd_list(wanted) {
            return;
        }
        let list = ProvenList {
            sha256: held.entry.sha256.clone(),
            bytes: Arc::new(held.bytes.clone()),
            content: content.clone(),
        };
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.insert(wanted.key(), list);
    }
}

/// Whether it is a list about which is proven what its bytes and the pinned roots say, at any instant
/// and whatever lies beside it.
const fn is_amd_list(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::Amd(EndorsementId::AmdCrl { .. }))
}

/// What is kept of machines of one maker.
#[derive(Debug)]
pub(crate) struct Warm<K, V> {
    machines: HashMap<K, (Arc<V>, usize)>,
    order: VecDeque<K>,
    bytes: usize,
    bytes_max: usize,
    one_bytes_max: usize,
}

/// What an SNP report's chain is kept under.
pub(crate) fn key(report: &Report<'_>) -> ChipKey {
    (report.claims.chip_id, report.claims.reported_tcb.0)
}

impl Warm<ChipKey, KeptChain> {
    /// Nothing yet of AMD's machines.
    pub(crate) fn chains() -> Self {
        Self::new(CHAINS_BYTES_MAX, CHAIN_BYTES_MAX)
    }
}

impl Warm<PlatformKey, KeptPlatform> {
    /// Nothing yet of Intel's machines.
    pub(crate) fn platforms() -> Self {
        Self::new(PLATFORMS_BYTES_MAX, PLATFORM_BYTES_MAX)
    }
}

impl<K: Eq + Hash + Copy, V> Warm<K, V> {
    fn new(bytes_max: usize, one_bytes_max: usize) -> Self {
        Self {
            machines: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            bytes_max,
            one_bytes_max,
        }
    }

    /// What may answer.
    pub(crate) fn held(&self, key: &K) -> Option<Arc<V>> {
        self.machines.get(key).map(|(kept, _)| Arc::clone(kept))
    }

    /// How much these endorsements are, if so much may be kept for one machine: all of them, and
    /// the names of where they came from.
    pub(crate) fn size(&self, heap: &Endorsements) -> Option<usize> {
        let Endorsements {
            certificates,
            revocation_lists,
            documents,
            firmware,
            skipped,
        } = heap;
        let held = certificates.iter().chain(revocation_lists);
        let held = held.chain(documents).chain(firmware);
        let lengths = held.flat_map(|held| [held.bytes.len(), held.source.len()]);
        let lengths = lengths.chain(skipped.iter().map(String::len));
        let bytes = lengths.fold(0_usize, usize::saturating_add);
        (bytes <= self.one_bytes_max).then_some(bytes)
    }

    /// Keeps something in the place of what is older of the same machine.
    pub(crate) fn keep(&mut self, key: K, kept: V, bytes: usize) {
        if let Some((_, held)) = self.machines.insert(key, (Arc::new(kept), bytes)) {
            self.bytes = self.bytes.saturating_sub(held);
        } else {
            self.order.push_back(key);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        while self.machines.len() > MACHINES_MAX || self.bytes > self.bytes_max {
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if let Some((_, held)) = self.machines.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(held);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_what_is_renewed_counts_once() {
        let mut warm: Warm<u8, &str> = Warm::new(100, 60);
        warm.keep(1, "one", 50);
        warm.keep(1, "one again", 40);
        warm.keep(2, "two", 60);
        assert_eq!(warm.held(&1).as_deref(), Some(&"one again"));
        warm.keep(3, "three", 10);
        assert_eq!(warm.held(&1), None);
        assert_eq!(warm.held(&2).as_deref(), Some(&"two"));
        assert_eq!(warm.bytes, 70);
    }

    #[test]
    fn a_folder_of_many_machines_is_not_kept_for_one() {
        let warm = Warm::chains();
        let mut heap = Endorsements::new();
        assert_eq!(warm.size(&heap), Some(0));
        heap.add(
            "document",
            &[b"{\"a\":\"", [b'b'; CHAIN_BYTES_MAX].as_slice(), b"\"}"].concat(),
        );
        assert_eq!(warm.size(&heap), None);
        assert!(Warm::platforms().size(&heap).is_some());
    }

    #[test]
    fn every_kind_of_endorsement_counts_with_its_name() {
        let held = |length: usize| zeuge_verify::Endorsement {
            source: "name".to_owned(),
            bytes: vec![0; length],
        };
        let mut heap = Endorsements::new();
        heap.certificates.push(held(1));
        heap.revocation_lists.push(held(20));
        heap.documents.push(held(300));
        heap.firmware.push(held(4000));
        heap.skipped.push("other".to_owned());
        assert_eq!(Warm::platforms().size(&heap), Some(4321 + 4 * 4 + 5));
    }
}
