//! A tree that lives in tiles: growing it, and proofs out of what is stored.
//!
//! Never keeps a tile longer than one call and never writes one: new tiles are handed back.

use crate::{
    Error, Hash,
    hash::{empty_root, node_hash, root_of, split},
    tile::{
        LEVEL_MAX, Row, TILE_WIDTH, TREE_SIZE_MAX, TileId, hashes_at, read_hashes, width_at,
        write_hashes,
    },
};
use std::collections::BTreeMap;

/// Leaves in one call of [`grow`]: 32 MiB of hashes, far above any batch of 50 ms.
pub const BATCH_LEAVES_MAX: usize = 1 << 20;

/// Where stored tiles come from. Implemented by the store that owns them.
pub trait TileSource {
    /// Bytes of the tile, or of any wider tile of the same row and index; `None` if not stored.
    fn tile(&self, id: TileId) -> Option<Vec<u8>>;
    /// Root of the complete subtree of 2^height entries with this index among its like, where the
    /// source has it without a look into a tile. It must be what the tiles give.
    fn node(&self, _height: u32, _index: u64) -> Option<Hash> {
        None
    }
}

/// Tiles and bundles in memory: for tests, tools and small logs.
#[derive(Clone, Debug, Default)]
pub struct MemoryTiles {
    stored: BTreeMap<TileId, Vec<u8>>,
}

impl MemoryTiles {
    /// Stores a tile.
    pub fn put(&mut self, id: TileId, bytes: Vec<u8>) {
        self.stored.insert(id, bytes);
    }

    /// Everything stored, in order of row, index and width.
    pub fn iter(&self) -> impl Iterator<Item = (&TileId, &Vec<u8>)> {
        self.stored.iter()
    }
}

impl TileSource for MemoryTiles {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        let widest = TileId {
            width: TILE_WIDTH,
            ..id
        };
        self.stored
            .range(id..=widest)
            .next()
            .map(|(_, bytes)| bytes.clone())
    }
}

/// What [`grow`] computed: to be stored, tiles first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Entries in the tree now.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// New tiles with their bytes, lowest level first. Bundles are the caller's.
    pub tiles: Vec<(TileId, Vec<u8>)>,
}

/// New tiles over stored ones, so that the root is computed from what will be served.
struct Overlay<'a, S: ?Sized> {
    new: &'a BTreeMap<TileId, Vec<u8>>,
    old: &'a S,
}

impl<S: TileSource + ?Sized> TileSource for Overlay<'_, S> {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        self.new.get(&id).cloned().or_else(|| self.old.tile(id))
    }
}

/// Appends leaf hashes to a tree of `size` entries whose tiles `source` holds.
///
/// # Errors
/// [`Error::Tile`] if a stored edge tile is missing or malformed, the batch is above
/// [`BATCH_LEAVES_MAX`], or the tree would pass 2^63−1 entries.
pub fn grow<S: TileSource + ?Sized>(
    source: &S,
    size: u64,
    leaves: &[Hash],
) -> Result<Growth, Error> {
    if leaves.len() > BATCH_LEAVES_MAX {
        return Err(Error::Tile("at most 2^20 leaves in a batch"));
    }
    let added = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
    let new_size = size
        .checked_add(added)
        .filter(|n| *n <= TREE_SIZE_MAX)
        .ok_or(Error::Tile("a tree of at most 2^63-1 entries"))?;
    let mut tiles = BTreeMap::new();
    let mut fresh = leaves.to_vec();
    for level in 0..=LEVEL_MAX {
        if fresh.is_empty() {
            break;
        }
        let first = hashes_at(level, size) / 256;
        let mut row = edge(source, level, first, size)?;
        row.append(&mut fresh);
        for (index, chunk) in (first..).zip(row.chunks(usize::from(TILE_WIDTH))) {
            let width = u16::try_from(chunk.len()).unwrap_or(TILE_WIDTH);
            let id = TileId {
                row: Row::Hashes(level),
                index,
                width,
            };
            tiles.insert(id, write_hashes(chunk));
            if width == TILE_WIDTH {
                fresh.push(root_of(chunk));
            }
        }
    }
    let root = Prover::new(
        &Overlay {
            new: &tiles,
            old: source,
        },
        new_size,
    )?
    .range(0, new_size)?;
    Ok(Growth {
        size: new_size,
        root,
        tiles: tiles.into_iter().collect(),
    })
}

/// Hashes of the partial tile at the right edge; none if the edge is on a tile boundary.
fn edge<S: TileSource + ?Sized>(
    source: &S,
    level: u8,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, Error> {
    let width = width_at(level, index, size);
    if width == 0 {
        return Ok(Vec::new());
    }
    let id = TileId {
        row: Row::Hashes(level),
        index,
        width,
    };
    let bytes = source
        .tile(id)
        .ok_or(Error::Tile("a stored tile for every hash"))?;
    read_hashes(&bytes, width)
}

/// Root of a tree of `size` entries, from its tiles.
///
/// # Errors
/// [`Error::Tile`] if a needed tile is missing or malformed.
pub fn root<S: TileSource + ?Sized>(source: &S, size: u64) -> Result<Hash, Error> {
    Prover::new(source, size)?.range(0, size)
}

/// Inclusion path of entry `index` in a tree of `size`, the leaf's sibling first.
///
/// # Errors
/// [`Error::Inclusion`] if `index` is not below `size`; [`Error::Tile`] for missing tiles.
pub fn inclusion<S: TileSource + ?Sized>(
    source: &S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, Error> {
    Prover::new(source, size)?.inclusion(index)
}

/// Consistency proof from a tree of `old` entries to one of `new` (RFC 6962 §2.1.2); empty for
/// `old` 0 and for equal sizes.
///
/// # Errors
/// [`Error::Consistency`] if `old` is above `new`; [`Error::Tile`] for missing tiles.
pub fn consistency<S: TileSource + ?Sized>(
    source: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, Error> {
    Prover::new(source, new)?.consistency(old)
}

/// Proofs out of one tree: each tile is read, and its hashes computed, once for all of them.
#[derive(Debug)]
pub struct Prover<'a, S: ?Sized> {
    source: &'a S,
    size: u64,
    /// By level and index of a tile: its hashes, those of their pairs, of their fours, and so on.
    read: BTreeMap<(u8, u64), Vec<Vec<Hash>>>,
}

impl<'a, S: TileSource + ?Sized> Prover<'a, S> {
    /// Of the tree of `size` entries.
    ///
    /// # Errors
    /// [`Error::Tile`] for a size above 2^63−1.
    pub fn new(source: &'a S, size: u64) -> Result<Self, Error> {
        if size > TREE_SIZE_MAX {
            return Err(Error::Tile("a tree of at most 2^63-1 entries"));
        }
        Ok(Self {
            source,
            size,
            read: BTreeMap::new(),
        })
    }

    /// As [`inclusion`].
    ///
    /// # Errors
    /// As [`inclusion`].
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, Error> {
        if index >= self.size {
            return Err(Error::Inclusion("an index below the tree size"));
        }
        let (mut start, mut end) = (0_u64, self.size);
        let mut path = Vec::new();
        // Down from the root; what stands beside the way is the path, from its end.
        while end.saturating_sub(start) > 1 {
            let middle = start.saturating_add(split(end.saturating_sub(start)));
            if index < middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// As [`consistency`], from a tree of `old` entries to this one.
    ///
    /// # Errors
    /// As [`consistency`].
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, Error> {
        if old > self.size {
            return Err(Error::Consistency("an old size not above the new one"));
        }
        if old == 0 || old == self.size {
            return Ok(Vec::new());
        }
        let (mut start, mut end) = (0_u64, self.size);
        let mut path = Vec::new();
        // Down along the old tree's right edge until a subtree ends exactly there.
        while end != old {
            let middle = start.saturating_add(split(end.saturating_sub(start)));
            if old <= middle {
                path.push(self.range(middle, end)?);
                end = middle;
            } else {
                path.push(self.range(start, middle)?);
                start = middle;
            }
        }
        // A subtree that begins at 0 is the old root itself, which the verifier has.
        if start != 0 {
            path.push(self.range(start, end)?);
        }
        path.reverse();
        Ok(path)
    }

    /// Root of the entries `start..end`, a range as RFC 6962 splits give it: complete subtrees
    /// of falling size from an aligned start.
    fn range(&mut self, start: u64, end: u64) -> Result<Hash, Error> {
        let mut complete = Vec::new();
        let mut at = start;
        while at < end {
            let height = end.saturating_sub(at).ilog2();
            let count = 1_u64.checked_shl(height).unwrap_or(0);
            complete.push(self.complete(height, at.checked_shr(height).unwrap_or(0))?);
            at = at.saturating_add(count);
        }
        let Some(mut root) = complete.pop() else {
            return Ok(empty_root());
        };
        while let Some(left) = complete.pop() {
            root = node_hash(&left, &root);
        }
        Ok(root)
    }

    /// Root of the complete subtree of 2^height entries with this index among its like.
    fn complete(&mut self, height: u32, index: u64) -> Result<Hash, Error> {
        const MISSING: Error = Error::Tile("a stored tile for every hash");
        if let Some(known) = self.source.node(height, index) {
            return Ok(known);
        }
        let level = u8::try_from(height / 8).map_err(|_| MISSING)?;
        let within = height % 8;
        let first = 1_u64.checked_shl(within).and_then(|n| index.checked_mul(n));
        let first = first.ok_or(MISSING)?;
        let tile = first / 256;
        if !self.read.contains_key(&(level, tile)) {
            let hashes = edge(self.source, level, tile, self.size)?;
            self.read.insert((level, tile), heights(hashes));
        }
        let rows = self.read.get(&(level, tile)).ok_or(MISSING)?;
        let row = usize::try_from(within)
            .ok()
            .and_then(|within| rows.get(within));
        let place = (first % 256).checked_shr(within).ok_or(MISSING)?;
        let place = usize::try_from(place).map_err(|_| MISSING)?;
        row.and_then(|row| row.get(place)).copied().ok_or(MISSING)
    }
}

/// The hashes of a tile, of their pairs, and so on, as far as both of a pair are there.
fn heights(hashes: Vec<Hash>) -> Vec<Vec<Hash>> {
    let mut rows = vec![hashes];
    for _ in 1..8 {
        let (pairs, _) = rows.last().map_or(&[][..], Vec::as_slice).as_chunks::<2>();
        let above = pairs.iter().map(|[left, right]| node_hash(left, right));
        let above = above.collect();
        rows.push(above);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::{leaf_hash, tests::naive_root},
        proof::{verify_consistency, verify_inclusion},
        tile::new_tiles,
    };
    use proptest::prelude::*;

    fn leaves(count: u32) -> Vec<Hash> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn stored(leaves: &[Hash], batches: &[usize]) -> (MemoryTiles, Hash) {
        let mut tiles = MemoryTiles::default();
        let (mut size, mut root, mut rest) = (0, empty_root(), leaves);
        for batch in batches.iter().chain([&usize::MAX]) {
            let (now, later) = rest.split_at((*batch).min(rest.len()));
            rest = later;
            let growth = grow(&tiles, size, now).unwrap();
            assert_eq!(
                growth.tiles.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
                new_tiles(size, growth.size)
            );
            for (id, bytes) in growth.tiles {
                tiles.put(id, bytes);
            }
            (size, root) = (growth.size, growth.root);
        }
        (tiles, root)
    }

    fn naive_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() == 1 {
            return vec![];
        }
        let k = usize::try_from(split(leaves.len() as u64)).unwrap();
        let (left, right) = leaves.split_at(k);
        let (mut path, beside) = if index < k {
            (naive_path(index, left), naive_root(right))
        } else {
            (naive_path(index - k, right), naive_root(left))
        };
        path.push(beside);
        path
    }

    fn naive_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
        if m == leaves.len() {
            return if whole {
                vec![]
            } else {
                vec![naive_root(leaves)]
            };
        }
        let k = usize::try_from(split(leaves.len() as u64)).unwrap();
        let (left, right) = leaves.split_at(k);
        let (mut path, beside) = if m <= k {
            (naive_subproof(m, left, whole), naive_root(right))
        } else {
            (naive_subproof(m - k, right, false), naive_root(left))
        };
        path.push(beside);
        path
    }

    #[test]
    fn every_proof_up_to_64_equals_the_reference_and_verifies() {
        let all = leaves(64);
        let (tiles, _) = stored(&all, &[1; 64]);
        for size in 1..=64_usize {
            let root = naive_root(&all[..size]);
            let n = size as u64;
            assert_eq!(super::root(&tiles, n), Ok(root));
            for index in 0..size {
                let path = inclusion(&tiles, index as u64, n).unwrap();
                assert_eq!(path, naive_path(index, &all[..size]));
                assert_eq!(
                    verify_inclusion(&all[index], index as u64, n, &path, &root),
                    Ok(())
                );
            }
            for old in 1..=size {
                let path = consistency(&tiles, old as u64, n).unwrap();
                assert_eq!(path, naive_subproof(old, &all[..size], true));
                let old_root = naive_root(&all[..old]);
                assert_eq!(
                    verify_consistency(old as u64, n, &old_root, &root, &path),
                    Ok(())
                );
            }
        }
    }

    #[test]
    fn a_tree_of_70_000_is_served_from_its_tiles() {
        let all = leaves(70_000);
        let (tiles, root) = stored(&all, &[300, 65_000]);
        assert_eq!(root, root_of(&all));
        for index in [0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
            let path = inclusion(&tiles, index, 70_000).unwrap();
            let leaf = &all[usize::try_from(index).unwrap()];
            assert_eq!(verify_inclusion(leaf, index, 70_000, &path, &root), Ok(()));
        }
        let path = consistency(&tiles, 65_300, 70_000).unwrap();
        let old = root_of(&all[..65_300]);
        assert_eq!(
            verify_consistency(65_300, 70_000, &old, &root, &path),
            Ok(())
        );
    }

    #[test]
    fn a_missing_tile_is_named_and_not_guessed() {
        let missing = Err(Error::Tile("a stored tile for every hash"));
        assert_eq!(root(&MemoryTiles::default(), 5), missing);
        assert_eq!(
            inclusion(&MemoryTiles::default(), 5, 5),
            Err(Error::Inclusion("an index below the tree size"))
        );
        assert_eq!(
            consistency(&MemoryTiles::default(), 6, 5),
            Err(Error::Consistency("an old size not above the new one"))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn batches_make_the_same_tree_as_one(count in 0_u32..1500, batches in proptest::collection::vec(0_usize..400, 0..8)) {
            let all = leaves(count);
            let (many, root) = stored(&all, &batches);
            let (one, same) = stored(&all, &[]);
            prop_assert_eq!(root, same);
            prop_assert_eq!(root, naive_root(&all));
            for (id, bytes) in one.iter() {
                prop_assert_eq!(many.tile(*id), Some(bytes.clone()));
            }
        }
    }
}
