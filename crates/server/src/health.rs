//! Whether the disk still takes and gives what the witness needs, asked before a request needs it.
//!
//! A beat every ten seconds, and every second after a failed write: one durable write, which also
//! keeps the time on record while nobody asks. Between beats one tile after the other is held
//! against the database, and once after the start the whole database is examined. What fails shows
//! in the readiness and stops release until a beat succeeds; a damaged database stops it for good.
//!
//! Never repairs a database.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::refusal::Refusal;
use crate::store::{self, Sqlite};
use crate::witness::Witness;

/// How often it is looked.
const TICK: Duration = Duration::from_secs(1);
/// How often the disk is asked when nothing else says that it fails.
const BEAT: Duration = Duration::from_secs(10);
/// How long one durable write may take: an admission lives no longer.
pub const SLOW: Duration = Duration::from_secs(5);

/// The beat.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the write under way began.
    begun: Option<Instant>,
    /// Why the last write failed.
    failed: Option<Refusal>,
}

impl Health {
    /// Whether the last beat succeeded, and the one under way does not take too long. A beat that
    /// waits its turn while the log moves on (`is_moving`) says that there is much to do, not that
    /// the disk is slow.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn demand(&self, is_moving: bool) -> Result<(), Refusal> {
        let state = self.state.lock();
        let state = state.map_err(|_| Refusal::store(&"an earlier beat failed in the middle"))?;
        if let Some(refusal) = &state.failed {
            return Err(refusal.clone());
        }
        match state.begun.map(|begun| begun.elapsed()) {
            Some(waited) if waited > SLOW && !is_moving => {
                let because = "the disk of the data folder is too slow: one durable write takes \
                               longer than an admission lives. Look at the disk; the witness goes \
                               on by itself";
                let refusal = Refusal::new(store::UNAVAILABLE, 503, because).retry_after(5);
                Err(refusal.difference(
                    format!("{} ms so far", waited.as_millis()),
                    format!("at most {} ms", SLOW.as_millis()),
                ))
            }
            _ => Ok(()),
        }
    }

    fn set(&self, begun: Option<Instant>, failed: Option<Refusal>) {
        if let Ok(mut state) = self.state.lock() {
            *state = State { begun, failed };
        }
    }

    fn has_failed(&self) -> bool {
        self.state.lock().is_ok_and(|state| state.failed.is_some())
    }
}

/// One beat: a durable write of the present instant.
///
/// # Errors
/// `store.unavailable`, `time.jump`.
pub fn beat(witness: &Witness) -> Result<(), Refusal> {
    let before = witness.health.has_failed();
    if !before {
        witness.health.set(Some(Instant::now()), None);
    }
    let done = match witness.clock.now() {
        // What the clock refuses it says by itself.
        Err(_) => Ok(()),
        // First the file: its error says what is wrong with the disk.
        Ok(now) => witness
            .sequencer
            .probe()
            .and_then(|()| witness.store.append(&[], now).map(drop)),
    };
    match &done {
        Err(refusal) => {
            tracing::error!(check = refusal.check, %refusal, "the witness is not ready");
            witness.health.set(None, Some(refusal.clone()));
        }
        Ok(()) => {
            if before {
                tracing::info!("the disk takes writes again");
            }
            witness.health.set(None, None);
        }
    }
    done
}

/// Examines the whole database on a connection of its own.
///
/// # Errors
/// `store.unavailable` for a damaged one.
fn examine(path: &std::path::Path) -> Result<(), Refusal> {
    let found = Sqlite::examine(path)?;
    if found == "ok" {
        return Ok(());
    }
    Err(store::damaged(&found))
}

/// Looks after a witness until told to stop.
pub async fn watch(witness: Arc<Witness>, mut stop: watch::Receiver<bool>) {
    let path = witness.database.clone();
    let this = Arc::clone(&witness);
    let whole = tokio::task::spawn_blocking(move || whole(&this, path));
    let (mut last, mut tile) = (None::<Instant>, 0_u64);
    loop {
        let is_due = last.is_none_or(|last| last.elapsed() >= BEAT)
            || witness.health.has_failed()
            || witness.store.has_failed()
            || witness.archive.has_failed();
        let this = Arc::clone(&witness);
        let done = tokio::task::spawn_blocking(move || {
            if is_due {
                let _ = beat(&this);
            }
            let examined = this.sequencer.examine(tile);
            if let Err(refusal) = &examined {
                tracing::error!(check = refusal.check, %refusal, "the log could not be examined");
            }
            examined.is_ok_and(|full| full > 0)
        });
        if let Ok(true) = done.await {
            tile = tile.wrapping_add(1);
        }
        if is_due {
            last = Some(Instant::now());
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    whole.abort();
}

fn whole(witness: &Witness, path: PathBuf) {
    match examine(&path) {
        Ok(()) => tracing::info!("the database was examined and is whole"),
        Err(refusal) if store::is_damage(&refusal) => witness.sequencer.stop(refusal),
        // A full or busy disk says so at the next beat.
        Err(_) => {}
    }
}
