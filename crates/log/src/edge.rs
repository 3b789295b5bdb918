//! The right edge of a growing tree in memory: of each level the tile that is not full yet, with the
//! hashes of every complete subtree in it.
//!
//! An appended leaf costs about two hashes, and proofs about young leaves none but their own path.
//! Never holds a full tile: those are handed back to be stored.

use crate::{
    Error, Hash,
    hash::{empty_root, node_hash},
    tile::{
        LEVEL_MAX, Row, TILE_WIDTH, TREE_SIZE_MAX, TileId, hashes_at, read_hashes, tile_root,
        width_at, write_hashes,
    },
    tree::TileSource,
};

/// Heights within one tile: 2^8 hashes.
const HEIGHTS: usize = 8;

/// The tile of one level that is not full yet: its hashes, then those of pairs, of fours, and so on.
#[derive(Clone, Debug, Default)]
struct Young {
    rows: [Vec<Hash>; HEIGHTS],
}

impl Young {
    /// Adds a hash; when that makes the tile full, hands back its hashes with their root and begins anew.
    fn push(&mut self, hash: Hash) -> Option<(Vec<Hash>, Hash)> {
        let mut above = hash;
        for row in &mut self.rows {
            row.push(above);
            if !row.len().is_multiple_of(2) {
                return None;
            }
            let [.., left, right] = row.as_slice() else {
                return None;
            };
            above = node_hash(left, right);
        }
        // Every row had an even number of hashes: there were 256.
        let full = std::mem::take(self);
        let [hashes, ..] = full.rows;
        Some((hashes, above))
    }

    fn hashes(&self) -> &[Hash] {
        let [hashes, ..] = &self.rows;
        hashes
    }
}

/// The edge of a tree.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<Young>,
}

impl Edge {
    /// The edge of the tree of `size` entries whose full tiles `source` holds, and whose leaf hashes
    /// behind the last full tile are `leaves`.
    ///
    /// # Errors
    /// [`Error::Tile`] if a full tile is missing or malformed, or there are more or fewer leaves.
    pub fn load<S: TileSource + ?Sized>(
        source: &S,
        size: u64,
        leaves: &[Hash],
    ) -> Result<Self, Error> {
        if size > TREE_SIZE_MAX {
            return Err(Error::Tile("a tree of at most 2^63-1 entries"));
        }
        let mut edge = Self {
            size,
            levels: Vec::new(),
        };
        for level in 0..=LEVEL_MAX {
            let first = hashes_at(level, size) / 256;
            let width = width_at(level, first, size);
            let mut young = Young::default();
            let hashes = match level.checked_sub(1) {
                None => leaves.to_vec(),
                Some(below) => below_of(source, below, first, width)?,
            };
            if hashes.len() != usize::from(width) {
                return Err(Error::Tile(
                    "as many leaves as are behind the last full tile",
                ));
            }
            for hash in hashes {
                young.push(hash);
            }
            edge.levels.push(young);
        }
        Ok(edge)
    }

    /// Entries in the tree.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; hands back the tiles that became full, the lowest first.
    ///
    /// # Errors
    /// [`Error::Tile`] if the tree would pass 2^63−1 entries.
    pub fn push(&mut self, leaf: Hash) -> Result<Vec<(TileId, Vec<u8>)>, Error> {
        let size = self.size.checked_add(1).filter(|n| *n <= TREE_SIZE_MAX);
        let size = size.ok_or(Error::Tile("a tree of at most 2^63-1 entries"))?;
        let (mut full, mut hash) = (Vec::new(), leaf);
        for level in 0..=LEVEL_MAX {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Young::default());
            }
            let young = self.levels.get_mut(usize::from(level));
            let Some((hashes, root)) = young.and_then(|young| young.push(hash)) else {
                break;
            };
            let id = TileId {
                row: Row::Hashes(level),
                index: (hashes_at(level, size) / 256).saturating_sub(1),
                width: TILE_WIDTH,
            };
            full.push((id, write_hashes(&hashes)));
            hash = root;
        }
        self.size = size;
        Ok(full)
    }

    /// The tiles that are not full, the lowest first.
    #[must_use]
    pub fn tiles(&self) -> Vec<(TileId, Vec<u8>)> {
        let of = |(level, young): (u8, &Young)| {
            let hashes = young.hashes();
            let id = TileId {
                row: Row::Hashes(level),
                index: hashes_at(level, self.size) / 256,
                width: u16::try_from(hashes.len()).unwrap_or(TILE_WIDTH),
            };
            (id.width > 0).then(|| (id, write_hashes(hashes)))
        };
        (0..).zip(&self.levels).filter_map(of).collect()
    }

    /// The bytes of a tile that is not full, if this is one and as wide at least.
    #[must_use]
    pub fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        let Row::Hashes(level) = id.row else {
            return None;
        };
        let young = self.levels.get(usize::from(level))?;
        let is_here = id.index == hashes_at(level, self.size) / 256;
        let is_wide = young.hashes().len() >= usize::from(id.width);
        (is_here && is_wide).then(|| write_hashes(young.hashes()))
    }

    /// The root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut root = None;
        // From the right: the smallest complete subtree first.
        for height in 0..u64::BITS {
            let index = self.size.checked_shr(height).unwrap_or(0);
            if index & 1 == 0 {
                continue;
            }
            let Some(left) = self.node(height, index.saturating_sub(1)) else {
                continue;
            };
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
        }
        root.unwrap_or_else(empty_root)
    }

    /// Root of the complete subtree of 2^height entries with this index among its like, if it lies
    /// in a tile that is not full.
    #[must_use]
    pub fn node(&self, height: u32, index: u64) -> Option<Hash> {
        let (level, within) = (height / 8, height % 8);
        let first = index.checked_mul(1_u64.checked_shl(within)?)?;
        let level = u8::try_from(level).ok()?;
        let young = self.levels.get(usize::from(level))?;
        if first / 256 != hashes_at(level, self.size) / 256 {
            return None;
        }
        let row = young.rows.get(usize::try_from(within).ok()?)?;
        let place = usize::try_from((first % 256).checked_shr(within)?).ok()?;
        row.get(place).copied()
    }
}

/// The hashes of a tile of the level over `below`, from the tiles that it is made of.
fn below_of<S: TileSource + ?Sized>(
    source: &S,
    below: u8,
    index: u64,
    width: u16,
) -> Result<Vec<Hash>, Error> {
    let first = index.saturating_mul(256);
    (first..first.saturating_add(u64::from(width)))
        .map(|index| {
            let id = TileId {
                row: Row::Hashes(below),
                index,
                width: TILE_WIDTH,
            };
            let bytes = source.tile(id);
            let bytes = bytes.ok_or(Error::Tile("a stored tile for every hash"))?;
            Ok(tile_root(&read_hashes(&bytes, TILE_WIDTH)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hash::{leaf_hash, root_of},
        tree::{MemoryTiles, Prover, grow},
    };

    fn leaf(number: u32) -> Hash {
        leaf_hash(&number.to_be_bytes())
    }

    /// Full tiles in memory, the rest at the edge.
    struct Both(MemoryTiles, Edge);

    impl TileSource for Both {
        fn tile(&self, id: TileId) -> Option<Vec<u8>> {
            self.1.tile(id).or_else(|| self.0.tile(id))
        }

        fn node(&self, height: u32, index: u64) -> Option<Hash> {
            self.1.node(height, index)
        }
    }

    #[test]
    fn an_edge_grows_and_loads_to_the_tree_that_tiles_give() {
        let all: Vec<_> = (0..66_400).map(leaf).collect();
        let mut both = Both(MemoryTiles::default(), Edge::default());
        let mut whole = MemoryTiles::default();
        let mut done = 0;
        for size in [
            1_usize, 2, 255, 256, 257, 300, 512, 65_535, 65_536, 65_537, 66_400,
        ] {
            for hash in &all[done..size] {
                for (id, bytes) in both.1.push(*hash).unwrap() {
                    both.0.put(id, bytes);
                }
            }
            for (id, bytes) in grow(&whole, done as u64, &all[done..size]).unwrap().tiles {
                whole.put(id, bytes);
            }
            done = size;
            let root = root_of(&all[..size]);
            assert_eq!(both.1.root(), root, "{size}");
            for (id, bytes) in both.1.tiles() {
                assert_eq!(whole.tile(id), Some(bytes), "{size} {id:?}");
            }
            let loaded = Edge::load(&both.0, size as u64, &all[size - size % 256..size]).unwrap();
            assert_eq!(loaded.root(), root);
            assert_eq!(loaded.tiles(), both.1.tiles());
            let (mut by_edge, mut by_tiles) = (
                Prover::new(&both, size as u64).unwrap(),
                Prover::new(&whole, size as u64).unwrap(),
            );
            for index in [0, size / 2, size - 1] {
                let path = by_tiles.inclusion(index as u64).unwrap();
                assert_eq!(by_edge.inclusion(index as u64), Ok(path), "{size} {index}");
            }
            let old = size as u64 / 2;
            assert_eq!(by_edge.consistency(old), by_tiles.consistency(old));
        }
    }

    #[test]
    fn an_edge_is_not_loaded_from_what_is_not_whole() {
        let mut tiles = MemoryTiles::default();
        let all: Vec<_> = (0..300).map(leaf).collect();
        let few = Err(Error::Tile(
            "as many leaves as are behind the last full tile",
        ));
        let load = |tiles: &MemoryTiles, leaves: &[Hash]| {
            Edge::load(tiles, 300, leaves).map(|edge| edge.root())
        };
        assert_eq!(load(&tiles, &all[..43]), few);
        let missing = Err(Error::Tile("a stored tile for every hash"));
        assert_eq!(load(&tiles, &all[256..]), missing);
        for (id, bytes) in grow(&tiles, 0, &all).unwrap().tiles {
            tiles.put(id, bytes);
        }
        assert_eq!(load(&tiles, &all[256..]), Ok(root_of(&all)));
    }
}
