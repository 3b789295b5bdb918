//! The published log as files below `log/`: tiles and bundles by their C2SP paths, made from the
//! entries of the database, made anew where they are lost or damaged. What is served is
//! [`crate::view`].
//!
//! Never signs, and never puts tiles in the place of others before they have given the root that
//! was signed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use zeuge_log::hash::{empty_root, leaf_hash};
use zeuge_log::tile::{TILE_WIDTH, TileId, new_bundles, write_bundle};
use zeuge_log::tree::{self, TileSource};

use crate::refusal::Refusal;
use crate::sequencer::Entries;

/// Leaves in one batch: a batch is done well within 50 ms then.
pub(crate) const BATCH_LEAVES_MAX: u32 = 4096;

/// Tiles and bundles as files under `log/`, by their paths in the C2SP document. Of the tile at
/// the right edge only the widest is kept; a narrower one is its beginning.
#[derive(Debug, Clone)]
pub struct Tiles {
    folder: PathBuf,
}

impl Tiles {
    /// The tiles of a folder.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn full(&self, id: TileId) -> PathBuf {
        let width = TILE_WIDTH;
        self.folder.join(TileId { width, ..id }.path())
    }

    fn partial_folder(&self, id: TileId) -> PathBuf {
        let mut path = self.full(id).into_os_string();
        path.push(".p");
        path.into()
    }

    /// The widths of the partial files of a tile.
    fn partials(&self, id: TileId) -> Vec<u16> {
        let Ok(entries) = fs::read_dir(self.partial_folder(id)) else {
            return Vec::new();
        };
        let name = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let widths = entries
            .filter_map(name)
            .filter_map(|name| name.parse().ok());
        widths.collect()
    }

    /// Writes a tile or bundle durably.
    pub(crate) fn write(&self, id: TileId, bytes: &[u8]) -> io::Result<()> {
        write_durably(&self.file(id), bytes)
    }

    /// The file of a tile or bundle of exactly this width.
    pub(crate) fn file(&self, id: TileId) -> PathBuf {
        self.folder.join(id.path())
    }

    /// The file of the checkpoint that was shown last. It is written after the database.
    pub(crate) fn checkpoint_file(&self) -> PathBuf {
        self.folder.join("checkpoint")
    }

    /// Makes all tiles anew from the entries, and puts them in the place of those that are there
    /// if they give this root.
    ///
    /// # Errors
    /// `log.rollback` when the entries are not those that were signed; nothing is changed then.
    /// `store.unavailable`, `log.unavailable`.
    pub(crate) fn remake(
        &self,
        entries: &dyn Entries,
        (size, root): (u64, [u8; 32]),
    ) -> Result<(), Refusal> {
        let beside = Self::new(self.folder.join(".remade"));
        let _ = fs::remove_dir_all(&beside.folder);
        // A full disk needs the room of what was not finished.
        let found = rebuild(entries, &beside, size)
            .inspect_err(|_| drop(fs::remove_dir_all(&beside.folder)))?;
        if found != root {
            let _ = fs::remove_dir_all(&beside.folder);
            let because = "the database is not the one whose checkpoint was signed last";
            return Err(Refusal::new("log.rollback", 503, because)
                .difference(hex::encode(found), hex::encode(root)));
        }
        self.replace(&beside).map_err(|error| disk(&error))
    }

    /// Puts the tiles of another folder in the place of these. What a power cut leaves without
    /// tiles gets them at the next start.
    fn replace(&self, beside: &Self) -> io::Result<()> {
        let (own, old) = (self.folder.join("tile"), self.folder.join(".old"));
        let _ = fs::remove_dir_all(&old);
        if own.exists() {
            fs::rename(&own, &old)?;
        }
        let new = beside.folder.join("tile");
        if new.exists() {
            fs::rename(new, &own)?;
        }
        fs::create_dir_all(&self.folder)?;
        fs::File::open(&self.folder)?.sync_all()?;
        let _ = fs::remove_dir_all(&old);
        let _ = fs::remove_dir_all(&beside.folder);
        Ok(())
    }

    /// Removes partial files that a wider one has replaced.
    pub(crate) fn prune(&self, id: TileId) {
        for width in self.partials(id) {
            if width < id.width {
                let old = TileId { width, ..id };
                let _ = fs::remove_file(self.folder.join(old.path()));
            }
        }
        if id.width == TILE_WIDTH {
            let _ = fs::remove_dir(self.partial_folder(id));
        }
    }
}

/// How often a tile is looked for while others replace it.
const LOOKS_MAX: usize = 8;

impl TileSource for Tiles {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        // A wider one is written before a narrower one is removed: whoever looks while that happens
        // finds one or the other when looking again.
        (0..LOOKS_MAX).find_map(|_| {
            if let Ok(bytes) = fs::read(self.full(id)) {
                return Some(bytes);
            }
            let widths = self.partials(id).into_iter();
            let width = widths.filter(|width| *width >= id.width).min()?;
            fs::read(self.folder.join(TileId { width, ..id }.path())).ok()
        })
    }
}

/// Writes beside, syncs, renames, syncs the folder.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .ok_or_else(|| io::Error::other("a path without a folder"))?;
    fs::create_dir_all(folder)?;
    let beside = folder.join(".new");
    let mut file = fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    fs::File::open(folder)?.sync_all()
}

/// What is said of a disk that does not take the log, with what helps.
pub(crate) fn disk(error: &io::Error) -> Refusal {
    tracing::error!(check = "log.unavailable", %error, "tiles cannot be written");
    let because = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the log cannot be written: the disk of the data folder is full. Make room; the witness \
             goes on by itself"
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            "the log cannot be written: the disk of the data folder is read-only. Make it writable; \
             the witness goes on by itself"
        }
        _ => "the log cannot be written; look at the disk of the data folder",
    };
    Refusal::new("log.unavailable", 503, because).retry_after(1)
}

/// Writes the tiles and bundles of a batch and returns the new size and root.
pub(crate) fn extend(
    entries: &dyn Entries,
    tiles: &Tiles,
    size: u64,
    batch: &[Vec<u8>],
) -> Result<(u64, [u8; 32]), Refusal> {
    let hashes: Vec<_> = batch.iter().map(|entry| leaf_hash(entry)).collect();
    let growth = tree::grow(tiles, size, &hashes)?;
    let bundles = new_bundles(size, growth.size);
    for id in &bundles {
        let first = id.index.saturating_mul(u64::from(TILE_WIDTH));
        let held = entries.entries(first, u32::from(id.width))?;
        if held.len() != usize::from(id.width) {
            let because = "the database holds fewer leaves than were signed";
            return Err(Refusal::new("log.rollback", 503, because)
                .difference(held.len().to_string(), id.width.to_string()));
        }
        let bytes = write_bundle(&held)?;
        tiles.write(*id, &bytes).map_err(|error| disk(&error))?;
    }
    for (id, bytes) in &growth.tiles {
        tiles.write(*id, bytes).map_err(|error| disk(&error))?;
    }
    for id in bundles.iter().chain(growth.tiles.iter().map(|(id, _)| id)) {
        tiles.prune(*id);
    }
    Ok((growth.size, growth.root))
}

/// Makes the tiles of the first `size` entries and returns their root.
pub(crate) fn rebuild(
    entries: &dyn Entries,
    tiles: &Tiles,
    size: u64,
) -> Result<[u8; 32], Refusal> {
    let (mut done, mut root) = (0_u64, empty_root());
    while done < size {
        let rest = size.saturating_sub(done).min(u64::from(BATCH_LEAVES_MAX));
        let batch = entries.entries(done, u32::try_from(rest).unwrap_or(BATCH_LEAVES_MAX))?;
        if batch.is_empty() {
            let because = "the database holds fewer leaves than were signed";
            return Err(Refusal::new("log.rollback", 503, because)
                .difference(done.to_string(), size.to_string()));
        }
        (done, root) = extend(entries, tiles, done, &batch)?;
    }
    Ok(root)
}
