//! From decisions and leaves to a published log (DESIGN §5.6): what waits is written in one durable
//! transaction together with the checkpoint over it; full tiles are synced; then the checkpoint is
//! shown and receipts exist.
//!
//! *Flow of a batch*: everything that waits, each decision whole or not at all → the entries behind
//! the last checkpoint → the tree's edge in memory → checkpoint, signed → commit, one sync for all →
//! tiles that became full → shown, receipts. A batch begins as soon as the last one has ended, or where
//! many wait at once a moment later, together with those that arrive meanwhile.
//!
//! *Guarantees*: nobody sees a checkpoint or receipt whose leaves, and whose checkpoint, are not
//! durable; a note whose transaction does not commit is dropped unseen. Never signs a checkpoint
//! that is not an extension of the last one; never deletes a full tile.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};
use zeuge_log::checkpoint::{Checkpoint, SignedCheckpoint, VerifiedCheckpoint};
use zeuge_log::commitment::Opening;
use zeuge_log::hash::empty_root;
use zeuge_log::leaf::Leaf;
use zeuge_log::note::{Signer, VerifierKey};
use zeuge_log::proof::{TlogProof, verify_consistency};
use zeuge_log::receipt::Receipt;
use zeuge_log::tree::{self, Prover};

use crate::keys;
use crate::refusal::Refusal;
use crate::session::Decision;
use crate::tiles::{BATCH_LEAVES_MAX, Tiles, disk, write_durably};
use crate::view::{Ahead, Right, View};

/// The ids of this file.
pub const CHECKS: &[&str] = &["log.fork", "log.rollback", "log.unavailable"];
/// What the log's own rules refuse when tiles are damaged.
const TILES_FAILED: [&str; 3] = ["log.proof.consistency", "log.proof.inclusion", "log.tile"];
/// How long an answer waits for its checkpoint: as long as an admission lives.
const WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether something waits, should a wake-up be lost, and how late the folder
/// may be.
const IDLE: Duration = Duration::from_secs(1);
/// How far apart batches begin while decisions come faster than one by one: transaction, sync and
/// signature of a batch cost as much for one as for twenty. DESIGN §5.6 allows 50 ms.
const GATHER: Duration = Duration::from_millis(20);
/// After this long without a decision the folder is brought up at once.
const CALM: Duration = Duration::from_millis(100);

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

/// Makes the checkpoint over the entries that follow the last one.
pub type Head<'a> = dyn FnMut(&Published, Vec<Vec<u8>>) -> Result<Published, Refusal> + 'a;

/// Where decisions and entries come from and checkpoints stay. Entries are numbered from 0 without a
/// gap and never change.
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
    /// Writes decisions, and the checkpoint that `head` makes of the last one and of the entries
    /// behind it, in one serialisable transaction that is durable when it returns. Of each decision
    /// that was written the number of its first leaf, or why nothing of it was; decisions whose
    /// leaves would go beyond `limit` entries behind the last checkpoint are left out at the end,
    /// for the next call.
    ///
    /// # Errors
    /// `store.unavailable`, and what `head` refuses: nothing is written then.
    fn decide(
        &self,
        decisions: &[&Decision],
        limit: u32,
        head: &mut Head<'_>,
    ) -> Result<Vec<Result<u64, Refusal>>, Refusal>;
}

/// A decision in the log: the number of its first leaf, and a receipt for each of its leaves.
#[derive(Debug)]
pub struct Logged {
    /// The number of the first.
    pub first: u64,
    /// One for each, in their order.
    pub receipts: Vec<Receipt>,
}

/// A decision that waits for its batch.
struct Waiting {
    decision: Decision,
    answer: oneshot::Sender<Result<Logged, Refusal>>,
}

impl Waiting {
    fn answer(self, answer: Result<Logged, Refusal>) {
        // Whoever went away meanwhile does not hear it; it counts all the same.
        let _ = self.answer.send(answer);
    }
}

/// What readers see: the last checkpoint, or why the log stands still.
pub type Shown = Result<Arc<SignedCheckpoint>, Refusal>;

/// The one writer of a log.
pub struct Sequencer {
    entries: Arc<dyn Entries>,
    view: View,
    signer: Signer,
    shown: watch::Sender<Shown>,
    waiting: Mutex<VecDeque<Waiting>>,
    wake: Notify,
    /// Held while a batch is written: a log has one writer.
    writing: Mutex<()>,
    /// Why nothing is ever signed again by this process.
    stopped: OnceLock<Refusal>,
    /// Whether tiles were found that do not fit.
    is_suspect: AtomicBool,
    /// Whether the folder did not take what was last written to it.
    is_stuck: AtomicBool,
    /// When a batch was published last.
    moved: Mutex<Option<Instant>>,
    /// When the last batch of several decisions began; `None` after one of a single one.
    gathered: Mutex<Option<Instant>>,
    /// Full tiles that are committed and not yet in the folder.
    unfilled: Mutex<Option<Arc<Right>>>,
    /// Since when the folder is behind what is shown.
    behind: Mutex<Option<Instant>>,
}

impl Published {
    /// That of a log without entries, for which nothing was signed.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self {
            size: 0,
            root: empty_root(),
            note: String::new(),
        }
    }
}

/// The last checkpoint that was signed, or that of a log without entries.
fn last(entries: &dyn Entries) -> Result<Published, Refusal> {
    Ok(entries.published()?.unwrap_or_else(Published::of_nothing))
}

/// Compares tiles, database, checkpoint file and what was held outside, and returns the last
/// checkpoint that was signed, with the log as it is served. Signs nothing; makes tiles anew where
/// they are missing or damaged.
///
/// # Errors
/// As [`Sequencer::open`].
pub fn compare(
    entries: &dyn Entries,
    tiles: Tiles,
    key: &VerifierKey,
    outside: &[Vec<u8>],
) -> Result<(Published, View), Refusal> {
    let last = last(entries)?;
    let view = match View::open(entries, tiles.clone(), last.size) {
        Ok(view) if view.right().root() == last.root => view,
        _ => {
            let size = last.size;
            tracing::warn!(
                size,
                "tiles are missing or differ; made anew from the database"
            );
            tiles.remake(entries, (last.size, last.root))?;
            View::open(entries, tiles, last.size)?
        }
    };
    shown_before(view.tiles(), key, (last.size, last.root))?;
    for held in outside {
        continued(entries, &view, key, held)?;
    }
    Ok((last, view))
}

/// Demands that the log continues a checkpoint that was held outside, as a note or in a receipt.
fn continued(
    entries: &dyn Entries,
    view: &View,
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
    if tree::root(view, held.size) != Ok(held.root) {
        // Damaged tiles are no other history.
        view.remake(entries, &last)?;
    }
    let root = tree::root(view, held.size)?;
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
        let (last, view) = compare(entries.as_ref(), tiles, signer.verifier(), outside)?;
        let signed = SignedCheckpoint::sign(&signer, last.size, last.root)?;
        let sequencer = Self {
            entries,
            view,
            signer,
            shown: watch::Sender::new(Ok(Arc::new(signed))),
            waiting: Mutex::default(),
            wake: Notify::new(),
            writing: Mutex::new(()),
            stopped: OnceLock::new(),
            is_suspect: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            moved: Mutex::new(None),
            gathered: Mutex::new(None),
            unfilled: Mutex::new(None),
            behind: Mutex::new(Some(Instant::now())),
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
        if claimed.size <= self.view.right().size()
            && tree::root(&self.view, claimed.size) == Ok(claimed.root)
        {
            return Ok(claimed);
        }
        // Not beside a writer, who may just have moved the edge.
        let poisoned = |_| Refusal::store(&"an earlier batch failed in the middle");
        let _writing = self.writing.lock().map_err(poisoned)?;
        continued(entries, &self.view, self.signer.verifier(), held)
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
        let size = self.view.right().size();
        let tiles = size.div_ceil(u64::from(zeuge_log::tile::TILE_WIDTH));
        let Some(index) = number.checked_rem(tiles) else {
            return Ok(0);
        };
        if self.behind().is_none() && !self.view.is_written_out() {
            tracing::warn!("the edge of the log was changed in its folder; written anew");
            *self.behind() = Some(Instant::now());
            self.wake();
        }
        if !self.view.fits(self.entries.as_ref(), index)? {
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
        self.room()
    }

    fn room(&self) -> Result<(), Refusal> {
        let file = self.view.tiles().checkpoint_file().with_file_name(".room");
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

    /// The log as it is served.
    #[must_use]
    pub const fn tiles(&self) -> &View {
        &self.view
    }

    /// The log's public key.
    #[must_use]
    pub fn vkey(&self) -> String {
        self.signer.verifier().to_string()
    }

    /// Writes a decision with the next batch, and waits until it is published.
    ///
    /// # Errors
    /// Those of [`crate::session::Ledger::commit`]; `log.unavailable` when it was not published in time,
    /// or why the log stands still: then it may count all the same, and its challenge is spent.
    pub async fn decide(&self, decision: Decision) -> Result<Logged, Refusal> {
        let (answer, logged) = oneshot::channel();
        self.waiting().push_back(Waiting { decision, answer });
        self.wake();
        match tokio::time::timeout(WAIT, logged).await {
            Ok(Ok(logged)) => logged,
            _ => Err(
                Refusal::new("log.unavailable", 503, "the log did not publish in time")
                    .retry_after(1),
            ),
        }
    }

    /// For how long others may still join the next batch.
    fn gathers(&self) -> Duration {
        let begun = *self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        begun.map_or(Duration::ZERO, |begun| {
            GATHER.saturating_sub(begun.elapsed())
        })
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behind(&self) -> MutexGuard<'_, Option<Instant>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mint = || Receipt::mint(signed, &self.view, number, entry);
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
            let pause = if self.behind().is_some() { CALM } else { IDLE };
            let (must, stopped) = tokio::select! {
                () = self.wake.notified() => (false, false),
                // Nobody asks for anything just now.
                () = tokio::time::sleep(pause) => (true, false),
                _ = stop.wait_for(|stop| *stop) => (true, true),
            };
            if !must {
                tokio::time::sleep(self.gathers()).await;
            }
            let this = Arc::clone(&self);
            let done = tokio::task::spawn_blocking(move || this.batches(must)).await;
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

    /// Publishes everything that waits or is committed, and brings the folder up to it.
    ///
    /// # Errors
    /// Those of the store, the disk and the log's rules; nothing is shown then.
    pub fn sequence(&self) -> Result<(), Refusal> {
        self.batches(true)
    }

    /// As [`Sequencer::sequence`]; the folder is left behind for a moment unless it `must` not be.
    fn batches(&self, must: bool) -> Result<(), Refusal> {
        let done = self.batches_and_folder(must);
        if let Err(refusal) = &done {
            // What could not be written is not written later behind anybody's back.
            let waiting = std::mem::take(&mut *self.waiting());
            for one in waiting {
                one.answer(Err(refusal.clone()));
            }
        }
        done
    }

    fn batches_and_folder(&self, must: bool) -> Result<(), Refusal> {
        let poisoned = |_| Refusal::store(&"an earlier batch failed in the middle");
        let _writing = self.writing.lock().map_err(poisoned)?;
        // Nothing is shown again before the folder takes something again.
        if self.is_stuck.load(Ordering::Relaxed) {
            self.room()?;
            self.is_stuck.store(false, Ordering::Relaxed);
        }
        if self.is_suspect.swap(false, Ordering::Relaxed) {
            self.mend()?;
        }
        match self.publish(must) {
            // Tiles that changed under us: the database says whether only they did.
            Err(refusal) if TILES_FAILED.contains(&refusal.check) => {
                self.mend()?;
                self.publish(must)?;
            }
            done => done?,
        }
        let since = *self.behind();
        if since.is_some_and(|since| must || since.elapsed() >= IDLE) {
            let written = self.view.write_out(&self.checkpoint()?.note());
            self.is_stuck.store(written.is_err(), Ordering::Relaxed);
            written?;
            *self.behind() = None;
        }
        Ok(())
    }

    /// Makes the tiles anew from the database, if it is the one that was signed.
    fn mend(&self) -> Result<(), Refusal> {
        let last = last(self.entries.as_ref())?;
        tracing::warn!(size = last.size, "tiles are made anew from the database");
        let done = self.view.remake(self.entries.as_ref(), &last);
        match &done {
            // What the database lost does not come back by itself.
            Err(refusal) if refusal.check == "log.rollback" => self.stop(refusal.clone()),
            Err(_) => self.is_suspect.store(true, Ordering::Relaxed),
            Ok(()) => *self.behind() = Some(Instant::now()),
        }
        done
    }

    /// Batch after batch, until nothing waits; unless all `must` be, those that arrive during a batch
    /// of several wait for the next call.
    fn publish(&self, must: bool) -> Result<(), Refusal> {
        loop {
            if let Some(refusal) = self.stopped.get() {
                return Err(refusal.clone());
            }
            self.fill()?;
            let mut waiting: VecDeque<_> = std::mem::take(&mut *self.waiting());
            if waiting.is_empty() && self.is_idle()? {
                return Ok(());
            }
            let begun = (waiting.len() > 1).then(Instant::now);
            let done = self.batch(&mut waiting);
            *self.gathered.lock().unwrap_or_else(PoisonError::into_inner) = begun;
            // Those that found no room, and all of them if nothing was written: in their order.
            let mut held = self.waiting();
            let found_room = waiting.is_empty();
            while let Some(last) = waiting.pop_back() {
                held.push_front(last);
            }
            let more_wait = !held.is_empty();
            drop(held);
            done?;
            if begun.is_some() && found_room && !must {
                if more_wait {
                    self.wake();
                }
                return Ok(());
            }
        }
    }

    /// Whether everything that is committed is shown.
    fn is_idle(&self) -> Result<bool, Refusal> {
        let size = self.view.right().size();
        let is_shown = |shown: &SignedCheckpoint| shown.checkpoint().size == size;
        let is_shown = self.checkpoint().is_ok_and(|shown| is_shown(&shown));
        Ok(is_shown && self.entries.entries(size, 1)?.is_empty() && self.is_signed()?)
    }

    /// Whether the log has a checkpoint in the database: a new one gets its first at once.
    fn is_signed(&self) -> Result<bool, Refusal> {
        Ok(self.view.right().size() > 0 || !last(self.entries.as_ref())?.note.is_empty())
    }

    /// Writes full tiles that are committed.
    fn fill(&self) -> Result<(), Refusal> {
        let mut unfilled = self.unfilled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(right) = unfilled.as_ref() {
            self.view.fill(right)?;
            *unfilled = None;
        }
        Ok(())
    }

    /// One transaction with as many as find room in it; those are answered and taken away.
    fn batch(&self, waiting: &mut VecDeque<Waiting>) -> Result<(), Refusal> {
        let decisions: Vec<&Decision> = waiting.iter().map(|one| &one.decision).collect();
        let mut made = None;
        let mut head = |last: &Published, entries: Vec<Vec<u8>>| -> Result<Published, Refusal> {
            let (right, signed) = self.head(last, entries)?;
            let published = Published {
                size: right.size(),
                root: signed.checkpoint().root,
                note: signed.note(),
            };
            made = Some((Arc::new(right), Arc::new(signed)));
            Ok(published)
        };
        let done = self
            .entries
            .decide(&decisions, BATCH_LEAVES_MAX, &mut head)?;
        let none = || Refusal::store(&"a batch without a checkpoint");
        let (right, signed) = made.ok_or_else(none)?;
        // It is durable. What fails from here on is of the log; the decisions count.
        self.view.show(Arc::clone(&right));
        *self.unfilled.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&right));
        let shown = self.fill().map(|()| self.show(Arc::clone(&signed)));
        let source = Ahead(&right, self.view.tiles());
        let mut prover = Prover::new(&source, right.size())?;
        for done in done {
            let Some(mut one) = waiting.pop_front() else {
                break;
            };
            if let (Ok(_), Some(room)) = (&done, one.decision.room.take()) {
                room.used();
            }
            let logged = match (&shown, &done) {
                (Err(refusal), _) | (_, Err(refusal)) => Err(refusal.clone()),
                (Ok(()), Ok(first)) => {
                    self.logged(&signed, &mut prover, *first, &one.decision.leaves)
                }
            };
            one.answer(logged);
        }
        shown
    }

    /// The edge over entries that follow the last checkpoint, and the checkpoint over it.
    fn head(
        &self,
        last: &Published,
        entries: Vec<Vec<u8>>,
    ) -> Result<(Right, SignedCheckpoint), Refusal> {
        let right = self.view.right().grown(entries)?;
        let (size, root) = (right.size(), right.root());
        let proof = tree::consistency(&Ahead(&right, self.view.tiles()), last.size, size)?;
        verify_consistency(last.size, size, &last.root, &root, &proof)?;
        let signed = SignedCheckpoint::sign(&self.signer, size, root)?;
        Ok((right, signed))
    }

    fn show(&self, signed: Arc<SignedCheckpoint>) {
        if let Ok(mut moved) = self.moved.lock() {
            *moved = Some(Instant::now());
        }
        self.behind().get_or_insert_with(Instant::now);
        self.shown.send_modify(|shown| {
            *shown = match self.stopped.get() {
                Some(refusal) => Err(refusal.clone()),
                None => Ok(signed),
            };
        });
    }

    fn logged(
        &self,
        signed: &SignedCheckpoint,
        prover: &mut Prover<'_, Ahead<'_>>,
        first: u64,
        leaves: &[NewLeaf],
    ) -> Result<Logged, Refusal> {
        if let Some(refusal) = self.stopped.get() {
            return Err(refusal.clone());
        }
        let numbered = (first..).zip(leaves);
        let receipts =
            numbered.map(|(number, leaf)| Receipt::mint_with(signed, prover, number, &leaf.entry));
        let receipts: Result<Vec<_>, _> = receipts.collect();
        let receipts = receipts.inspect_err(|_| self.is_suspect.store(true, Ordering::Relaxed))?;
        Ok(Logged { first, receipts })
    }
}
