//! From leaves in the database to a published log (DESIGN §5.6): bundles and tiles are written
//! and synced, then the checkpoint is signed and stored, then receipts exist.
//!
//! Tiles derive from the database and are made anew where they are missing. Never signs a
//! checkpoint that is not an extension of the last one signed; never deletes a full tile.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use zeuge_log::checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint};
use zeuge_log::commitment::Opening;
use zeuge_log::hash::empty_root;
use zeuge_log::leaf::Leaf;
use zeuge_log::note::{Signer, VerifierKey};
use zeuge_log::proof::{TlogProof, verify_consistency};
use zeuge_log::receipt::Receipt;
use zeuge_log::tree;

use crate::keys;
use crate::refusal::Refusal;
use crate::tiles::{BATCH_LEAVES_MAX, Tiles, disk, extend, write_durably};

/// The ids of this file.
pub const CHECKS: &[&str] = &["log.fork", "log.rollback", "log.unavailable"];
/// What the log's own rules refuse when tiles are damaged.
const TILES_FAILED: [&str; 3] = ["log.proof.consistency", "log.proof.inclusion", "log.tile"];
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
    /// Why nothing is ever signed again by this process.
    stopped: OnceLock<Refusal>,
    /// Whether tiles were found that do not fit.
    is_suspect: AtomicBool,
    /// When a batch was published last.
    moved: Mutex<Option<Instant>>,
}

/// The last checkpoint that was signed, or that of a log without entries.
fn last(entries: &dyn Entries) -> Result<Published, Refusal> {
    let last = entries.published()?;
    Ok(last.unwrap_or_else(|| Published {
        size: 0,
        root: empty_root(),
        note: String::new(),
    }))
}

/// Compares tiles, database, checkpoint file and what was held outside, and returns the last
/// checkpoint that was signed. Signs nothing; makes tiles anew where they are missing or damaged.
///
/// # Errors
/// As [`Sequencer::open`].
pub fn compare(
    entries: &dyn Entries,
    tiles: &Tiles,
    key: &VerifierKey,
    outside: &[Vec<u8>],
) -> Result<Published, Refusal> {
    let last = last(entries)?;
    let signed = (last.size, last.root);
    if tree::root(tiles, last.size) != Ok(last.root) {
        let size = last.size;
        tracing::warn!(
            size,
            "tiles are missing or differ; made anew from the database"
        );
        tiles.remake(entries, signed)?;
    }
    shown_before(tiles, key, signed)?;
    for held in outside {
        continued(entries, tiles, key, held)?;
    }
    Ok(last)
}

/// Demands that the log continues a checkpoint that was held outside, as a note or in a receipt.
fn continued(
    entries: &dyn Entries,
    tiles: &Tiles,
    key: &VerifierKey,
    held: &[u8],
) -> Result<Checkpoint, Refusal> {
    let held = opened(key, held)?;
    let last = last(entries)?;
    if held.size > last.size {
        let because = "the log is behind a checkpoint that is held outside: it was set back";
        return Err(Refusal::new("log.rollback", 503, because)
            .difference(last.size.to_string(), format!("at least {}", held.size)));
    }
    if tree::root(tiles, held.size) != Ok(held.root) {
        // Damaged tiles are no other history.
        tiles.remake(entries, (last.size, last.root))?;
    }
    let root = tree::root(tiles, held.size)?;
    if root != held.root {
        let because = "the log is another than the one whose checkpoint is held outside";
        return Err(Refusal::new("log.fork", 503, because)
            .difference(hex::encode(root), hex::encode(held.root)));
    }
    Ok(held)
}

/// The checkpoint of a note or of a receipt, under the log's key.
///
/// # Errors
/// `log.note`, `log.checkpoint`, `log.origin` for one of nobody's or of another log.
pub fn opened(key: &VerifierKey, held: &[u8]) -> Result<Checkpoint, Refusal> {
    let in_receipt = TlogProof::parse(held).map(|proof| proof.checkpoint.into_bytes());
    let note = in_receipt.unwrap_or_else(|_| held.to_vec());
    // Whoever showed it is wrong, not the log.
    let held = VerifiedCheckpoint::open(&note, key, &[]).map_err(|error| Refusal {
        difference: error.difference(),
        ..Refusal::new(error.check(), 400, error.to_string())
    })?;
    Ok(held.checkpoint().clone())
}

/// Compares the database with the checkpoint file, which is written after it and therefore never
/// ahead of it: a file that is ahead was shown to somebody before the database was set back.
fn shown_before(
    tiles: &Tiles,
    key: &VerifierKey,
    (size, root): (u64, [u8; 32]),
) -> Result<(), Refusal> {
    let Ok(note) = fs::read(tiles.checkpoint_file()) else {
        return Ok(());
    };
    let shown = opened(key, &note)?;
    if shown.size > size || (shown.size == size && shown.root != root) {
        let because = "the database is older than the checkpoint that was shown";
        return Err(Refusal::new("log.rollback", 503, because).difference(
            format!("size {size}"),
            format!("at least size {} with its root", shown.size),
        ));
    }
    Ok(())
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
        let last = compare(entries.as_ref(), &tiles, signer.verifier(), outside)?;
        let signed = SignedCheckpoint::sign(&signer, last.size, last.root)?;
        let sequencer = Self {
            entries,
            tiles,
            signer,
            shown: watch::Sender::new(Ok(Arc::new(signed))),
            wake: Notify::new(),
            writing: Mutex::new(()),
            stopped: OnceLock::new(),
            is_suspect: AtomicBool::new(false),
            moved: Mutex::new(None),
        };
        sequencer.sequence()?;
        Ok(sequencer)
    }

    /// Nothing is signed or shown from now on, whatever the disk says.
    pub fn stop(&self, refusal: Refusal) {
        tracing::error!(check = refusal.check, %refusal, "ALARM: the log stands still for good");
        let _ = self.stopped.set(refusal.clone());
        let _ = self.shown.send_replace(Err(refusal));
    }

    /// Demands that the log continues a checkpoint that somebody holds, as a note or in a receipt.
    ///
    /// # Errors
    /// `log.note`, `log.checkpoint`, `log.origin` for one that this log never signed;
    /// `log.rollback`, `log.fork` for one that it signed and does not continue.
    pub fn continues(&self, held: &[u8]) -> Result<Checkpoint, Refusal> {
        let claimed = opened(self.signer.verifier(), held)?;
        let entries = self.entries.as_ref();
        if claimed.size <= last(entries)?.size
            && tree::root(&self.tiles, claimed.size) == Ok(claimed.root)
        {
            return Ok(claimed);
        }
        // Not beside a writer, who may just have moved the edge.
        let poisoned = |_| Refusal::store(&"an earlier batch failed in the middle");
        let _writing = self.writing.lock().map_err(poisoned)?;
        continued(entries, &self.tiles, self.signer.verifier(), held)
    }

    /// Holds one tile, and what is over it, against the database; returns the number of tiles.
    /// What does not fit is made anew, or stops the log, with the next batch.
    ///
    /// # Errors
    /// `store.unavailable`, `log.rollback` for a database that cannot be read or lacks leaves.
    pub fn examine(&self, number: u64) -> Result<u64, Refusal> {
        // The edge moves only with a batch.
        let poisoned = |_| Refusal::store(&"an earlier batch failed in the middle");
        let _writing = self.writing.lock().map_err(poisoned)?;
        let size = last(self.entries.as_ref())?.size;
        let tiles = size.div_ceil(u64::from(zeuge_log::tile::TILE_WIDTH));
        let Some(index) = number.checked_rem(tiles) else {
            return Ok(0);
        };
        if !self.tiles.fits(self.entries.as_ref(), index, size)? {
            tracing::error!(
                check = "log.tile",
                index,
                "a tile does not fit the database"
            );
            self.is_suspect.store(true, Ordering::Relaxed);
            self.wake();
        }
        Ok(tiles)
    }

    /// Writes a file of one block as a tile is written: whether the disk has room for the log.
    ///
    /// # Errors
    /// `log.unavailable`.
    pub fn probe(&self) -> Result<(), Refusal> {
        let poisoned = |_| Refusal::store(&"an earlier batch failed in the middle");
        let _writing = self.writing.lock().map_err(poisoned)?;
        let file = self.tiles.checkpoint_file().with_file_name(".room");
        write_durably(&file, &[0; 4096]).map_err(|error| disk(&error))
    }

    /// Whether a batch was published this short a while ago.
    #[must_use]
    pub fn moved_within(&self, time: Duration) -> bool {
        let moved = self.moved.lock().ok().and_then(|moved| *moved);
        moved.is_some_and(|moved| moved.elapsed() <= time)
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
        let mint = || Receipt::mint(signed, &self.tiles, number, entry);
        if let Ok(receipt) = mint() {
            return Ok(receipt);
        }
        // Not beside a writer, who may be putting tiles in the place of damaged ones.
        let poisoned = |_| Refusal::store(&"an earlier batch failed in the middle");
        let _writing = self.writing.lock().map_err(poisoned)?;
        if let Ok(receipt) = mint() {
            return Ok(receipt);
        }
        self.mend()?;
        Ok(mint()?)
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
                // What the database lost does not come back by itself.
                if refusal.check == "log.rollback" {
                    self.stop(refusal);
                } else {
                    tracing::error!(check = refusal.check, %refusal, "the log stands still");
                    let _ = self.shown.send_replace(Err(refusal));
                }
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
        if self.is_suspect.swap(false, Ordering::Relaxed) {
            self.mend()?;
        }
        match self.publish() {
            // Tiles that changed under us: the database says whether only they did.
            Err(refusal) if TILES_FAILED.contains(&refusal.check) => {
                self.mend()?;
                self.publish()
            }
            done => done,
        }
    }

    /// Makes the tiles anew from the database, if it is the one that was signed.
    fn mend(&self) -> Result<(), Refusal> {
        let last = last(self.entries.as_ref())?;
        tracing::warn!(size = last.size, "tiles are made anew from the database");
        let done = self
            .tiles
            .remake(self.entries.as_ref(), (last.size, last.root));
        match &done {
            // What the database lost does not come back by itself.
            Err(refusal) if refusal.check == "log.rollback" => self.stop(refusal.clone()),
            Err(_) => self.is_suspect.store(true, Ordering::Relaxed),
            Ok(()) => {}
        }
        done
    }

    fn publish(&self) -> Result<(), Refusal> {
        loop {
            if let Some(refusal) = self.stopped.get() {
                return Err(refusal.clone());
            }
            let last = last(self.entries.as_ref())?;
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
            let path = self.tiles.checkpoint_file();
            write_durably(&path, note.as_bytes()).map_err(|error| disk(&error))?;
            if let Ok(mut moved) = self.moved.lock() {
                *moved = Some(Instant::now());
            }
            self.shown.send_modify(|shown| {
                *shown = match self.stopped.get() {
                    Some(refusal) => Err(refusal.clone()),
                    None => Ok(Arc::new(signed)),
                };
            });
        }
    }
}
