//! Tiles and entry bundles as C2SP tlog-tiles serves them: names, widths, bytes.
//!
//! Knows where a hash lives; never reads or writes a store.

use crate::{
    Error, Hash,
    hash::{HASH_BYTES, root_of},
};

/// Hashes in a full tile and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Levels above are empty for every size that fits in 63 bits.
pub const LEVEL_MAX: u8 = 7;
/// Largest tree: a reference parser takes 2^64−1, we keep one bit free so that sums cannot wrap.
pub const TREE_SIZE_MAX: u64 = u64::MAX >> 1;
/// An entry's length is written in two bytes.
pub const ENTRY_BYTES_MAX: usize = 65_535;
/// A full bundle of the largest entries: 256 × (2 + 65 535) bytes.
pub const BUNDLE_BYTES_MAX: usize = 256 * 65_537;
/// Seven groups name every index below 2^63; twice that is hostile.
pub const PATH_BYTES_MAX: usize = 80;

/// Which row of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// Hashes of level 0 (leaves) and upwards.
    Hashes(u8),
    /// Entry bundles.
    Entries,
}

/// One served resource: row, index in the row, and how many hashes or entries it holds (1..=256).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Row.
    pub row: Row,
    /// Index in the row.
    pub index: u64,
    /// Hashes or entries; 256 is a full tile.
    pub width: u16,
}

/// How many hashes level `level` has in a tree of `size` entries: those of full tiles below.
#[must_use]
pub fn hashes_at(level: u8, size: u64) -> u64 {
    let shift = u32::from(level).saturating_mul(8);
    size.checked_shr(shift).unwrap_or(0)
}

/// Width (0..=256) of tile `index` in `level` at tree size `size`.
#[must_use]
pub fn width_at(level: u8, index: u64, size: u64) -> u16 {
    let first = index.saturating_mul(u64::from(TILE_WIDTH));
    let held = hashes_at(level, size).saturating_sub(first);
    u16::try_from(held.min(u64::from(TILE_WIDTH))).unwrap_or(TILE_WIDTH)
}

/// Every tile (without bundles) that a tree of `new` entries serves and one of `old` did not:
/// new full tiles and the partial one at each right edge. Empty when `new <= old`.
#[must_use]
pub fn new_tiles(old: u64, new: u64) -> Vec<TileId> {
    (0..=LEVEL_MAX)
        .flat_map(|level| new_in_row(Row::Hashes(level), level, old, new))
        .collect()
}

/// Every entry bundle that a tree of `new` entries serves and one of `old` did not.
#[must_use]
pub fn new_bundles(old: u64, new: u64) -> Vec<TileId> {
    new_in_row(Row::Entries, 0, old, new).collect()
}

fn new_in_row(row: Row, level: u8, old: u64, new: u64) -> impl Iterator<Item = TileId> {
    let width = u64::from(TILE_WIDTH);
    let (from, to) = (hashes_at(level, old), hashes_at(level, new));
    let indices = if to > from {
        (from / 256)..to.div_ceil(width)
    } else {
        0..0
    };
    indices.map(move |index| TileId {
        row,
        index,
        width: width_at(level, index, new),
    })
}

impl TileId {
    /// The path below the log's prefix, without a leading slash: `tile/0/x001/x234/067.p/8`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut groups = Vec::new();
        let mut rest = self.index;
        loop {
            let prefix = if groups.is_empty() { "" } else { "x" };
            groups.push(format!("{prefix}{:03}", rest % 1000));
            rest /= 1000;
            if rest == 0 {
                break;
            }
        }
        groups.reverse();
        let row = match self.row {
            Row::Hashes(level) => level.to_string(),
            Row::Entries => "entries".to_owned(),
        };
        let partial = if self.width < TILE_WIDTH {
            format!(".p/{}", self.width)
        } else {
            String::new()
        };
        format!("tile/{row}/{}{partial}", groups.join("/"))
    }

    /// Reads a path as [`TileId::path`] writes it.
    ///
    /// # Errors
    /// [`Error::Tile`] for any other spelling: leading zeros, missing `x`, width 0 or above 255.
    pub fn parse(path: &str) -> Result<Self, Error> {
        const WANTED: Error = Error::Tile("a path tile/<level or entries>/<groups>[.p/<width>]");
        if path.len() > PATH_BYTES_MAX {
            return Err(WANTED);
        }
        let rest = path.strip_prefix("tile/").ok_or(WANTED)?;
        let (row, rest) = rest.split_once('/').ok_or(WANTED)?;
        let row = match row {
            "entries" => Row::Entries,
            level => Row::Hashes(level.parse().map_err(|_| WANTED)?),
        };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse().map_err(|_| WANTED)?),
            None => (rest, TILE_WIDTH),
        };
        let mut index = 0_u64;
        for group in groups.split('/') {
            let digits: u64 = group
                .strip_prefix('x')
                .unwrap_or(group)
                .parse()
                .map_err(|_| WANTED)?;
            index = index
                .checked_mul(1000)
                .and_then(|i| i.checked_add(digits))
                .filter(|i| *i <= TREE_SIZE_MAX)
                .ok_or(WANTED)?;
        }
        let id = Self { row, index, width };
        let level_fits = !matches!(row, Row::Hashes(level) if level > 63);
        // Writing it again is the whole grammar: only one spelling names a tile.
        if width == 0 || width > TILE_WIDTH || !level_fits || id.path() != path {
            return Err(WANTED);
        }
        Ok(id)
    }
}

/// Bytes of a tile: its hashes one after another.
#[must_use]
pub fn write_hashes(hashes: &[Hash]) -> Vec<u8> {
    hashes.concat()
}

/// Reads the first `width` hashes of a tile. A longer tile is cut: a full tile may stand in for
/// a deleted partial one.
///
/// # Errors
/// [`Error::Tile`] if the bytes are shorter, longer than a full tile, or not whole hashes.
pub fn read_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, Error> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() || hashes.len() > usize::from(TILE_WIDTH) {
        return Err(Error::Tile("whole 32-byte hashes, at most 256"));
    }
    let wanted = hashes.get(..usize::from(width));
    Ok(wanted
        .ok_or(Error::Tile("as many hashes as the tile's width"))?
        .to_vec())
}

/// Hash that a full tile has in the level above.
#[must_use]
pub fn tile_root(hashes: &[Hash]) -> Hash {
    root_of(hashes)
}

/// Bytes of an entry bundle: two-byte big-endian length and entry, repeated.
///
/// # Errors
/// [`Error::Tile`] for more than 256 entries or an entry above [`ENTRY_BYTES_MAX`].
pub fn write_bundle<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, Error> {
    if entries.len() > usize::from(TILE_WIDTH) {
        return Err(Error::Tile("at most 256 entries in a bundle"));
    }
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len())
            .map_err(|_| Error::Tile("entries of at most 65535 bytes"))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// Reads an entry bundle; the entries borrow from it.
///
/// # Errors
/// [`Error::Tile`] if a length passes the end or there are more than 256 entries.
pub fn read_bundle(bytes: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        if entries.len() >= usize::from(TILE_WIDTH) {
            return Err(Error::Tile("at most 256 entries in a bundle"));
        }
        let (length, after) = rest
            .split_first_chunk::<2>()
            .ok_or(Error::Tile("two length bytes per entry"))?;
        let (entry, after) = after
            .split_at_checked(usize::from(u16::from_be_bytes(*length)))
            .ok_or(Error::Tile("as many bytes as the entry's length"))?;
        entries.push(entry);
        rest = after;
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_are_spelled_in_groups_of_three() {
        let id = |row, index, width| TileId { row, index, width };
        for (tile, path) in [
            (id(Row::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067"),
            (id(Row::Hashes(1), 5, 256), "tile/1/005"),
            (id(Row::Entries, 273, 112), "tile/entries/273.p/112"),
            (id(Row::Entries, 1000, 1), "tile/entries/x001/000.p/1"),
        ] {
            assert_eq!(tile.path(), path);
            assert_eq!(TileId::parse(path), Ok(tile));
        }
    }

    #[test]
    fn other_spellings_of_a_path_are_refused() {
        for path in [
            "tile/00/005",
            "tile/0/5",
            "tile/0/0005",
            "tile/0/x000/005",
            "tile/0/001/005",
            "tile/0/005.p/0",
            "tile/0/005.p/256",
            "tile/0/005.p/01",
            "tile/64/005",
            "tile/0/",
            "tile/0/+05",
            "tile/0/x001/x005",
        ] {
            assert_eq!(
                TileId::parse(path).unwrap_err().check(),
                "log.tile",
                "{path}"
            );
        }
    }

    #[test]
    fn a_tree_of_70_000_has_the_tiles_of_the_specification() {
        let tiles = new_tiles(0, 70_000);
        let count = |level, full: bool| {
            tiles
                .iter()
                .filter(|t| t.row == Row::Hashes(level) && (t.width == 256) == full)
                .map(|t| t.width)
                .collect::<Vec<_>>()
        };
        assert_eq!((count(0, true).len(), count(0, false)), (273, vec![112]));
        assert_eq!((count(1, true).len(), count(1, false)), (1, vec![17]));
        assert_eq!((count(2, true).len(), count(2, false)), (0, vec![1]));
        assert_eq!(tiles.len(), 273 + 1 + 1 + 1 + 1);
        assert_eq!(new_bundles(0, 70_000).len(), 274);
        let at_256: Vec<String> = new_tiles(0, 256).iter().map(TileId::path).collect();
        assert_eq!(at_256, ["tile/0/000", "tile/1/000.p/1"]);
    }

    #[test]
    fn a_bundle_that_ends_early_is_refused() {
        let bundle = write_bundle(&[b"abc".as_slice(), b""]).unwrap();
        assert_eq!(read_bundle(&bundle).unwrap(), [b"abc".as_slice(), b""]);
        assert_eq!(
            read_bundle(&bundle[..4]),
            Err(Error::Tile("as many bytes as the entry's length"))
        );
        assert_eq!(
            read_bundle(&[0]),
            Err(Error::Tile("two length bytes per entry"))
        );
        assert_eq!(
            write_bundle(&[vec![0; 65_536]]),
            Err(Error::Tile("entries of at most 65535 bytes"))
        );
    }

    proptest! {
        #[test]
        fn every_tile_has_one_path(level in 0_u8..=63, index in 0..TREE_SIZE_MAX, width in 1_u16..=256) {
            let id = TileId { row: Row::Hashes(level), index, width };
            prop_assert_eq!(TileId::parse(&id.path()), Ok(id));
        }

        #[test]
        fn any_path_and_bundle_is_answered(path in ".{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = TileId::parse(&path);
            if let Ok(entries) = read_bundle(&bytes) {
                prop_assert_eq!(write_bundle(&entries).unwrap(), bytes);
            }
        }
    }
}
