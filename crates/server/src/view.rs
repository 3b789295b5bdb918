//! The log as it is served: full tiles and bundles from their folder, the right edge from memory.
//!
//! What is not full derives from the last entries of the database, and is made of them at the start;
//! so a batch writes no tile but those that it filled. The folder also gets the edge and the
//! checkpoint, for whoever reads it instead of asking (`zeuge log verify --log FOLDER`): at most a
//! moment late, and always tiles before the checkpoint. Never signs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use zeuge_log::edge::Edge;
use zeuge_log::hash::leaf_hash;
use zeuge_log::tile::{
    LEVEL_MAX, Row, TILE_WIDTH, TileId, hashes_at, read_bundle, read_hashes, width_at, write_bundle,
};
use zeuge_log::tree::TileSource;

use crate::refusal::Refusal;
use crate::sequencer::{Entries, Published};
use crate::tiles::{Tiles, disk, write_durably};

/// Entries in a full bundle.
const FULL: u64 = 256;

/// The right edge, with what became full and is not yet known to be in the folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Right {
    edge: Edge,
    /// The entries behind the last full bundle.
    entries: Vec<Arc<[u8]>>,
    /// Full tiles and bundles of the last batch.
    full: BTreeMap<TileId, Arc<[u8]>>,
}

impl Right {
    /// Entries in the tree.
    pub(crate) const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> [u8; 32] {
        self.edge.root()
    }

    /// The same with more entries behind.
    ///
    /// # Errors
    /// `log.tile` for an entry that is too long.
    pub(crate) fn grown(&self, entries: Vec<Vec<u8>>) -> Result<Self, Refusal> {
        let mut next = Self {
            edge: self.edge.clone(),
            entries: self.entries.clone(),
            full: BTreeMap::new(),
        };
        for entry in entries {
            let tiles = next.edge.push(leaf_hash(&entry))?;
            next.entries.push(entry.into());
            if next.entries.len() == usize::from(TILE_WIDTH) {
                let entries = std::mem::take(&mut next.entries);
                let id = TileId {
                    row: Row::Entries,
                    index: (next.size() / FULL).saturating_sub(1),
                    width: TILE_WIDTH,
                };
                next.full.insert(id, write_bundle(&entries)?.into());
            }
            for (id, bytes) in tiles {
                next.full.insert(id, bytes.into());
            }
        }
        Ok(next)
    }

    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        let whole = TileId {
            width: TILE_WIDTH,
            ..id
        };
        if let Some(bytes) = self.full.get(&whole) {
            return Some(bytes.to_vec());
        }
        match id.row {
            Row::Hashes(_) => self.edge.tile(id),
            Row::Entries => {
                let is_here = id.index == self.size() / FULL;
                let is_wide = self.entries.len() >= usize::from(id.width);
                (is_here && is_wide).then(|| write_bundle(&self.entries).ok())?
            }
        }
    }

    /// What is not full: the bundle, then the tiles.
    fn young(&self) -> Result<Vec<(TileId, Vec<u8>)>, Refusal> {
        let mut young = self.edge.tiles();
        if !self.entries.is_empty() {
            let id = TileId {
                row: Row::Entries,
                index: self.size() / FULL,
                width: u16::try_from(self.entries.len()).unwrap_or(TILE_WIDTH),
            };
            young.insert(0, (id, write_bundle(&self.entries)?));
        }
        Ok(young)
    }
}

/// Tiles over those that are served: a batch before it counts.
pub(crate) struct Ahead<'a>(pub(crate) &'a Right, pub(crate) &'a Tiles);

impl TileSource for Ahead<'_> {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        self.0.tile(id).or_else(|| self.1.tile(id))
    }

    fn node(&self, height: u32, index: u64) -> Option<[u8; 32]> {
        self.0.edge.node(height, index)
    }
}

/// The log as readers see it.
#[derive(Debug)]
pub struct View {
    tiles: Tiles,
    right: RwLock<Arc<Right>>,
}

impl TileSource for View {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        let right = self.right();
        Ahead(&right, &self.tiles).tile(id)
    }

    fn node(&self, height: u32, index: u64) -> Option<[u8; 32]> {
        self.right().edge.node(height, index)
    }
}

/// Full tiles that may be missing at the edge after an end between commit and tile: those of one
/// batch. If there are more, all are made anew.
const MISSING_MAX: u64 = 64;

impl View {
    /// The log of `size` entries, from full tiles in their folder and the last entries of the
    /// database. Full tiles that a batch did not come to write are written.
    ///
    /// # Errors
    /// `log.tile` for tiles that are missing or malformed; `log.rollback` where entries are;
    /// `store.unavailable`, `log.unavailable`.
    pub(crate) fn open(entries: &dyn Entries, tiles: Tiles, size: u64) -> Result<Self, Refusal> {
        let right = right(entries, &tiles, size)?;
        Ok(Self {
            tiles,
            right: RwLock::new(Arc::new(right)),
        })
    }

    /// The edge at this moment.
    pub(crate) fn right(&self) -> Arc<Right> {
        let right = self.right.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&right)
    }

    /// From now on this is the edge.
    pub(crate) fn show(&self, right: Arc<Right>) {
        let mut held = self.right.write().unwrap_or_else(PoisonError::into_inner);
        *held = right;
    }

    /// The folder.
    pub(crate) const fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// Writes the full tiles of the present edge durably; from then on they are read from the folder.
    ///
    /// # Errors
    /// `log.unavailable`.
    pub(crate) fn fill(&self, right: &Right) -> Result<(), Refusal> {
        if right.full.is_empty() {
            return Ok(());
        }
        for (id, bytes) in &right.full {
            let written = self.tiles.write(*id, bytes);
            written.map_err(|error| disk(&error))?;
            self.tiles.prune(*id);
        }
        self.show(Arc::new(Right {
            full: BTreeMap::new(),
            ..right.clone()
        }));
        Ok(())
    }

    /// Brings the folder to the present edge, then to this checkpoint.
    ///
    /// # Errors
    /// `log.unavailable`.
    pub(crate) fn write_out(&self, note: &str) -> Result<(), Refusal> {
        let right = self.right();
        let write = || -> io::Result<()> {
            let young = right.young().map_err(io::Error::other)?;
            for (id, bytes) in &young {
                self.tiles.write(*id, bytes)?;
            }
            for (id, _) in &young {
                self.tiles.prune(*id);
            }
            write_durably(&self.tiles.checkpoint_file(), note.as_bytes())
        };
        write().map_err(|error| disk(&error))
    }

    /// Whether the folder has the present edge as it is.
    pub(crate) fn is_written_out(&self) -> bool {
        let young = self.right().young().unwrap_or_default();
        let mut young = young.into_iter();
        young.all(|(id, bytes)| fs::read(self.tiles.file(id)).is_ok_and(|held| held == bytes))
    }

    /// Makes all tiles anew from the entries, if they give this root.
    ///
    /// # Errors
    /// As [`Tiles::remake`].
    pub(crate) fn remake(&self, entries: &dyn Entries, last: &Published) -> Result<(), Refusal> {
        self.tiles.remake(entries, (last.size, last.root))?;
        let right = right(entries, &self.tiles, last.size)?;
        self.show(Arc::new(right));
        Ok(())
    }

    /// Whether the lowest tile and the bundle of this index, and the hashes over them up to a tile
    /// that is not full yet, are those of the entries. Not beside a writer.
    ///
    /// # Errors
    /// `store.unavailable`, `log.rollback` for entries that cannot be read or are not there.
    pub(crate) fn fits(&self, entries: &dyn Entries, index: u64) -> Result<bool, Refusal> {
        let size = self.right().size();
        let width = width_at(0, index, size);
        let held = entries.entries(index.saturating_mul(FULL), u32::from(width))?;
        let row = Row::Entries;
        let bundle = self.tile(TileId { row, index, width });
        // A wider one begins with it.
        let bundle = bundle.unwrap_or_default();
        let stored = read_bundle(&bundle).unwrap_or_default();
        let held_here: Vec<&[u8]> = held.iter().map(Vec::as_slice).collect();
        let is_whole = held.len() == usize::from(width);
        if !is_whole || stored.get(..usize::from(width)) != Some(held_here.as_slice()) {
            return Ok(false);
        }
        let hashes_of = |level: u8, index: u64| {
            let (row, width) = (Row::Hashes(level), width_at(level, index, size));
            let stored = self.tile(TileId { row, index, width })?;
            read_hashes(&stored, width).ok()
        };
        let mut hashes: Vec<_> = held.iter().map(|entry| leaf_hash(entry)).collect();
        if hashes_of(0, index).as_ref() != Some(&hashes) {
            return Ok(false);
        }
        let (mut level, mut index) = (0_u8, index);
        while hashes.len() == usize::from(TILE_WIDTH) {
            let below = zeuge_log::tile::tile_root(&hashes);
            let place = usize::try_from(index % FULL).unwrap_or(0);
            level = level.saturating_add(1);
            index /= FULL;
            hashes = hashes_of(level, index).unwrap_or_default();
            if hashes.get(place) != Some(&below) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The bytes of a served resource at a tree size; `None` where that tree has none.
    #[must_use]
    pub fn serve(&self, id: TileId, size: u64) -> Option<Vec<u8>> {
        let level = match id.row {
            Row::Hashes(level) => level,
            Row::Entries => 0,
        };
        if id.width > width_at(level, id.index, size) {
            return None;
        }
        let bytes = self.tile(id)?;
        match id.row {
            Row::Hashes(_) => bytes
                .get(..usize::from(id.width).checked_mul(32)?)
                .map(<[u8]>::to_vec),
            Row::Entries => {
                let entries = read_bundle(&bytes).ok()?;
                write_bundle(entries.get(..usize::from(id.width))?).ok()
            }
        }
    }
}

fn right(entries: &dyn Entries, tiles: &Tiles, size: u64) -> Result<Right, Refusal> {
    catch_up(entries, tiles, size)?;
    let index = size / FULL;
    let held = exactly(entries, index, width_at(0, index, size))?;
    let hashes: Vec<_> = held.iter().map(|entry| leaf_hash(entry)).collect();
    Ok(Right {
        edge: Edge::load(tiles, size, &hashes)?,
        entries: held.into_iter().map(Into::into).collect(),
        full: BTreeMap::new(),
    })
}

/// So many entries of a bundle.
fn exactly(entries: &dyn Entries, index: u64, width: u16) -> Result<Vec<Vec<u8>>, Refusal> {
    let held = entries.entries(index.saturating_mul(FULL), u32::from(width))?;
    if held.len() == usize::from(width) {
        return Ok(held);
    }
    let because = "the database holds fewer leaves than were signed";
    Err(Refusal::new("log.rollback", 503, because)
        .difference(held.len().to_string(), width.to_string()))
}

/// Writes full tiles and bundles that are not there, from the right edge on.
fn catch_up(entries: &dyn Entries, tiles: &Tiles, size: u64) -> Result<(), Refusal> {
    let write = |id, bytes: &[u8]| tiles.write(id, bytes).map_err(|error| disk(&error));
    for level in 0..=LEVEL_MAX {
        let count = hashes_at(level, size) / FULL;
        let id = |row, index| TileId {
            row,
            index,
            width: TILE_WIDTH,
        };
        let is_there = |index: u64| {
            let has = |row| tiles.file(id(row, index)).exists();
            has(Row::Hashes(level)) && (level > 0 || has(Row::Entries))
        };
        let mut from = count;
        while from > 0 && !is_there(from.saturating_sub(1)) {
            from = from.saturating_sub(1);
        }
        if count.saturating_sub(from) > MISSING_MAX {
            // All are made anew then.
            return Ok(());
        }
        for index in from..count {
            let hashes = if level == 0 {
                let held = exactly(entries, index, TILE_WIDTH)?;
                write(id(Row::Entries, index), &write_bundle(&held)?)?;
                held.iter().map(|entry| leaf_hash(entry)).collect()
            } else {
                children(tiles, level.saturating_sub(1), index)?
            };
            let bytes = zeuge_log::tile::write_hashes(&hashes);
            write(id(Row::Hashes(level), index), &bytes)?;
        }
    }
    Ok(())
}

/// The hashes of a full tile over `below`, from the tiles that it is made of.
fn children(tiles: &Tiles, below: u8, index: u64) -> Result<Vec<[u8; 32]>, Refusal> {
    let first = index.saturating_mul(FULL);
    let row = Row::Hashes(below);
    let each = (first..first.saturating_add(FULL)).map(|index| {
        let width = TILE_WIDTH;
        let bytes = tiles.tile(TileId { row, index, width });
        let missing = zeuge_log::Error::Tile("a stored tile for every hash");
        let hashes = read_hashes(&bytes.ok_or(missing)?, width)?;
        Ok(zeuge_log::tile::tile_root(&hashes))
    });
    each.collect()
}
