//! From leaves in the database to a published log (DESIGN §5.6): bundles and tiles are written
//! and synced, then the checkpoint is signed and stored, then receipts exist.
//!
//! Tiles derive from the database and are made anew where they are missing. Never signs a
//! checkpoint that is not an extension of the last one signed; never deletes a full tile.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use zeuge_log::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use zeuge_log::commitment::Opening;
use zeuge_log::hash::leaf_hash;
use zeuge_log::leaf::Leaf;
use zeuge_log::note::Signer;
use zeuge_log::proof::{TlogProof, verify_consistency};
use zeuge_log::receipt::Receipt;
use zeuge_log::tile::{Row, TILE_WIDTH, TileId, new_bundles, width_at, write_bundle};
use zeuge_log::tree::{self, TileSource};

use crate::keys;
use crate::refusal::Refusal;

/// The ids of this file.
pub const CHECKS: &[&str] = &["log.fork", "log.rollback", "log.unavailable"];
/// Leaves in one batch: a batch is done well within 50 ms then.
const BATCH_LEAVES_MAX: u32 = 4096;
/// How long an answer waits for its checkpoint: as long as an admission lives.
const WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether something waits, should a wake-up be lost.
const IDLE: Duration = Duration::from_secs(1);

/// A leaf to be written, and what opens its commitments.
#[derive(Debug, Clone)]
pub struct NewLeaf {
    /// The leaf.
    pub leaf: Leaf,
    /// Its bytes.
    pub entry: Vec<u8>,
    /// Kept apart from the log, in a table that can be erased.
    pub openings: Vec<Opening>,
}

impl NewLeaf {
    /// Encodes a leaf.
    ///
    /// # Errors
    /// `log.leaf` for one that is not canonical.
    pub fn new(leaf: Leaf, openings: Vec<Opening>) -> Result<Self, Refusal> {
        Ok(Self {
            entry: leaf.encode()?,
            leaf,
            openings,
        })
    }
}

/// An opening with a fresh salt.
#[must_use]
pub fn salted(label: &str, value: &[u8]) -> Opening {
    let mut salt = [0; 32];
    keys::random(&mut salt);
    Opening {
        label: label.to_owned(),
        salt,
        value: value.to_vec(),
    }
}

/// The last checkpoint that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Entries.
    pub size: u64,
    /// Root.
    pub root: [u8; 32],
    /// The note.
    pub note: String,
}

/// Where entries come from and checkpoints stay. Entries are numbered from 0 without a gap and
/// never change; [`Entries::publish`] is durable when it returns.
pub trait Entries: Send + Sync {
    /// The last checkpoint that was signed; `None` for a new log.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn published(&self) -> Result<Option<Published>, Refusal>;
    /// At most `limit` entries in order, the first with number `from`.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn entries(&self, from: u64, limit: u32) -> Result<Vec<Vec<u8>>, Refusal>;
    /// Keeps the checkpoint in the place of the last one.
    ///
    /// # Errors
    /// `store.unavailable`.
    fn publish(&self, checkpoint: &Published) -> Result<(), Refusal>;
}

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

    fn write(&self, id: TileId, bytes: &[u8]) -> io::Result<()> {
        write_durably(&self.folder.join(id.path()), bytes)
    }

    /// Removes partial files that a wider one has replaced.
    fn prune(&self, id: TileId) {
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
                let entries = zeuge_log::tile::read_bundle(&bytes).ok()?;
                write_bundle(entries.get(..usize::from(id.width))?).ok()
            }
        }
    }
}

impl TileSource for Tiles {
    fn tile(&self, id: TileId) -> Option<Vec<u8>> {
        if let Ok(bytes) = fs::read(self.full(id)) {
            return Some(bytes);
        }
        let widths = self.partials(id).into_iter();
        let width = widths.filter(|width| *width >= id.width).min()?;
        fs::read(self.folder.join(TileId { width, ..id }.path())).ok()
    }
}

/// Writes beside, syncs, renames, syncs the folder.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
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

fn disk(error: &io::Error) -> Refusal {
    tracing::error!(check = "log.unavailable", %error, "tiles cannot be written");
    Refusal::new("log.unavailable", 503, "the log cannot be written").retry_after(1)
}

/// What readers see: the last checkpoint, or why the log stands still.
pub type Shown = Result<Arc<SignedCheckpoint>, Refusal>;

/// The one writer of a log.
pub struct Sequencer {
    entries: Arc<dyn Entries>,
    tiles: Tiles,
    signer: Signer,
    shown: watch::Sender<Shown>,
    wake: Notify,
    /// Held while a batch is written: a log has one writer.
    writing: Mutex<()>,
}

impl std::fmt::Debug for Sequencer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Sequencer({})", self.signer.verifier())
    }
}

impl Sequencer {
    /// Opens the log: the tiles must give the root that was signed last. Tiles that are missing
    /// or differ are made anew from the database; if they differ then, the database is not the
    /// one that was signed, and nothing is signed. `outside` are checkpoints that somebody else
    /// held, as notes or in receipts: the log must continue each of them.
    ///
    /// # Errors
    /// `log.rollback` in that case, and for a log that is behind what was held outside;
    /// `log.fork` for one that is another; `store.unavailable`, `log.unavailable` when nothing can be
    /// read or written.
    pub fn open(
        entries: Arc<dyn Entries>,
        folder: PathBuf,
        signer: Signer,
        outside: &[Vec<u8>],
    ) -> Result<Self, Refusal> {
        let tiles = Tiles::new(folder);
        let last = entries.published()?;
        let (size, root) = last.as_ref().map_or_else(
            || (0, zeuge_log::hash::empty_root()),
            |last| (last.size, last.root),
        );
        if tree::root(&tiles, size) != Ok(root) {
            tracing::warn!(
                size,
                "tiles are missing or differ; made anew from the database"
            );
            let _ = fs::remove_dir_all(tiles.folder.join("tile"));
            let found = rebuild(entries.as_ref(), &tiles, size)?;
            if found != root {
                let because = "the database is not the one whose checkpoint was signed last";
                return Err(Refusal::new("log.rollback", 503, because)
                    .difference(hex::encode(found), hex::encode(root)));
            }
        }
        shown_before(&tiles, &signer, size, &root)?;
        for note in outside {
            held_outside(&tiles, &signer, size, note)?;
        }
        let signed = SignedCheckpoint::sign(&signer, size, root)?;
        let sequencer = Self {
            entries,
            tiles,
            signer,
            shown: watch::Sender::new(Ok(Arc::new(signed))),
            wake: Notify::new(),
            writing: Mutex::new(()),
        };
        sequencer.sequence()?;
        Ok(sequencer)
    }

    /// Says that there are new leaves.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The last published checkpoint.
    ///
    /// # Errors
    /// Why the log stands still.
    pub fn checkpoint(&self) -> Result<Arc<SignedCheckpoint>, Refusal> {
        self.shown.borrow().clone()
    }

    /// Hears of every checkpoint that is published.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// The tiles.
    #[must_use]
    pub const fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// The log's public key.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.signer.verifier().to_string()
    }

    /// Waits until leaf `number` is under a published checkpoint.
    ///
    /// # Errors
    /// `log.unavailable` after `WAIT`, or why the log stands still.
    pub async fn published(&self, number: u64) -> Result<Arc<SignedCheckpoint>, Refusal> {
        let mut seen = self.shown.subscribe();
        let there = |shown: &Shown| match shown {
            Ok(signed) => signed.checkpoint().size > number,
            Err(_) => true,
        };
        let waited = tokio::time::timeout(WAIT, seen.wait_for(there)).await;
        match waited {
            Ok(Ok(shown)) => shown.clone(),
            _ => Err(
                Refusal::new("log.unavailable", 503, "the log did not publish in time")
                    .retry_after(1),
            ),
        }
    }

    /// The receipt of a published entry.
    ///
    /// # Errors
    /// `log.tile`, `log.proof.inclusion` when it is not there.
    pub fn receipt(
        &self,
        signed: &SignedCheckpoint,
        number: u64,
        entry: &[u8],
    ) -> Result<Receipt, Refusal> {
        Ok(Receipt::mint(signed, &self.tiles, number, entry)?)
    }

    /// Publishes batches until told to stop, and once more then.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let stopped = tokio::select! {
                () = self.wake.notified() => false,
                () = tokio::time::sleep(IDLE) => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            let this = Arc::clone(&self);
            let done = tokio::task::spawn_blocking(move || this.sequence()).await;
            let refusal = match done {
                Ok(Ok(())) => None,
                Ok(Err(refusal)) => Some(refusal),
                Err(error) => Some(Refusal::store(&error)),
            };
            if let Some(refusal) = refusal {
                tracing::error!(check = refusal.check, %refusal, "the log stands still");
                let _ = self.shown.send_replace(Err(refusal));
                tokio::time::sleep(IDLE).await;
            }
            if stopped {
                return;
            }
        }
    }

    /// Publishes everything that is committed and not yet published.
    ///
    /// # Errors
    /// Those of the store, the disk and the log's rules; nothing is shown then.
    pub fn sequence(&self) -> Result<(), Refusal> {
        let poisoned = |_| Refusal::store(&"an earlier batch failed in the middle");
        let _writing = self.writing.lock().map_err(poisoned)?;
        loop {
            let last = self.entries.published()?.unwrap_or_else(|| Published {
                size: 0,
                root: zeuge_log::hash::empty_root(),
                note: String::new(),
            });
            let batch = self.entries.entries(last.size, BATCH_LEAVES_MAX)?;
            let nothing_new = batch.is_empty() && !last.note.is_empty();
            if nothing_new
                && self
                    .checkpoint()
                    .is_ok_and(|shown| shown.checkpoint().size == last.size)
            {
                return Ok(());
            }
            let (size, root) = extend(self.entries.as_ref(), &self.tiles, last.size, &batch)?;
            let proof = tree::consistency(&self.tiles, last.size, size)?;
            verify_consistency(last.size, size, &last.root, &root, &proof)?;
            let signed = SignedCheckpoint::sign(&self.signer, size, root)?;
            let note = signed.note();
            self.entries.publish(&Published {
                size,
                root,
                note: note.clone(),
            })?;
            let path = self.tiles.folder.join("checkpoint");
            write_durably(&path, note.as_bytes()).map_err(|error| disk(&error))?;
            let _ = self.shown.send_replace(Ok(Arc::new(signed)));
        }
    }
}

/// Writes the tiles and bundles of a batch and returns the new size and root.
fn extend(
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

/// Compares the database with the checkpoint file, which is written after it and therefore never
/// ahead of it: a file that is ahead was shown to somebody before the database was set back.
fn shown_before(tiles: &Tiles, signer: &Signer, size: u64, root: &[u8; 32]) -> Result<(), Refusal> {
    let Ok(note) = fs::read(tiles.folder.join("checkpoint")) else {
        return Ok(());
    };
    let shown = VerifiedCheckpoint::open(&note, signer.verifier(), &[])?;
    let shown = shown.checkpoint();
    if shown.size > size || (shown.size == size && shown.root != *root) {
        let because = "the database is older than the checkpoint that was shown";
        return Err(Refusal::new("log.rollback", 503, because).difference(
            format!("size {size}"),
            format!("at least size {} with its root", shown.size),
        ));
    }
    Ok(())
}

/// Compares the log with a checkpoint that was held outside the data folder.
fn held_outside(tiles: &Tiles, signer: &Signer, size: u64, held: &[u8]) -> Result<(), Refusal> {
    let in_receipt = TlogProof::parse(held).map(|proof| proof.checkpoint.into_bytes());
    let note = in_receipt.unwrap_or_else(|_| held.to_vec());
    let held = VerifiedCheckpoint::open(&note, signer.verifier(), &[])?;
    let held = held.checkpoint();
    if held.size > size {
        let because = "the log is behind a checkpoint that is held outside: it was set back";
        return Err(Refusal::new("log.rollback", 503, because)
            .difference(size.to_string(), format!("at least {}", held.size)));
    }
    let root = tree::root(tiles, held.size)?;
    if root != held.root {
        let because = "the log is another than the one whose checkpoint is held outside";
        return Err(Refusal::new("log.fork", 503, because)
            .difference(hex::encode(root), hex::encode(held.root)));
    }
    Ok(())
}

/// Makes the tiles of the first `size` entries and returns their root.
fn rebuild(entries: &dyn Entries, tiles: &Tiles, size: u64) -> Result<[u8; 32], Refusal> {
    let (mut done, mut root) = (0_u64, zeuge_log::hash::empty_root());
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
