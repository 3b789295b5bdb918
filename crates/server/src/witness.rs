//! One running witness: its name, keys, store, log and judge, opened from one data folder.
//!
//! Holds what all requests share and decides nothing itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, Semaphore};
use zeuge_appraise::tpm::OwnRoot;
use zeuge_collateral::{Ages, Allowance, Channel, Collateral, Fetcher, HttpFetcher, Sources};
use zeuge_protocol::name::Name;
use zeuge_verify::Anchors;

use crate::appraisal::{Judge, Lines};
use crate::archive::Archive;
use crate::clock::Clock;
use crate::denials::Denials;
use crate::documents;
use crate::door::{self, Seats};
use crate::enrolment::{Enrolments, Queue};
use crate::feed::Feeds;
use crate::forecast::Forecasts;
use crate::health::{self, Health};
use crate::keys::{self, Keys, Purpose};
use crate::limits::{APPRAISALS_MAX, SOURCE_CONNECTIONS_MAX};
use crate::load::Load;
use crate::metrics::Metrics;
use crate::recovery;
use crate::refusal::Refusal;
use crate::remembered::Remembered;
use crate::sequencer::Sequencer;
use crate::store::Sqlite;
use crate::tpm::Makers;

/// The id of a tenant that does not exist.
pub const TENANT_UNKNOWN: &str = "tenant.unknown";
/// What `serve` was told.
#[derive(Debug, Default)]
pub struct Options {
    /// A folder of endorsements.
    pub endorsements: Option<PathBuf>,
    /// DANGEROUS: roots of a toy, for the tenant `sim` alone.
    pub sim: Option<Anchors>,
    /// The largest archive in bytes.
    pub archive_bytes_max: u64,
    /// The makers' services or mirrors of them; `None` asks nobody.
    pub makers: Option<Sources>,
    /// The toy's service, for the tenant `sim` alone; `None` asks nobody.
    pub sim_makers: Option<Sources>,
    /// Roots of makers of TPMs beside those that ship.
    pub roots: Vec<OwnRoot>,
    /// Checkpoints of its log that somebody else held, as notes or in receipts.
    pub held_outside: Vec<Vec<u8>>,
    /// How long what the makers answered is kept.
    pub ages: Ages,
    /// How often the makers are asked.
    pub allowance: Allowance,
    /// In which state of Intel's knowledge machines are judged.
    pub channel: Channel,
    /// Requests that one source may begin in a second; 0 for no such limit.
    pub source_per_second: u32,
}

/// Opens a cache below the data folder; with sources it may ask them.
fn line(
    folder: &Path,
    sources: Option<Sources>,
    anchors: Anchors,
    (ages, allowance): (Ages, Allowance),
) -> io::Result<Collateral> {
    let fetcher: Option<Arc<dyn Fetcher>> = match &sources {
        Some(_) => Some(Arc::new(HttpFetcher::new().map_err(io::Error::other)?)),
        None => None,
    };
    let sources = sources.unwrap_or_else(Sources::makers);
    Collateral::open(folder, fetcher, sources, anchors, ages, allowance).map_err(io::Error::other)
}

/// The archive of a data folder, part of which lies in the database.
fn archive(folder: &Path, bytes_max: u64, store: &Sqlite) -> io::Result<Archive> {
    let in_database = store.archived_bytes().map_err(io::Error::other)?;
    Archive::open(folder.join("archive"), bytes_max, in_database)
}

/// A running witness.
#[derive(Debug)]
pub struct Witness {
    /// Its id, which is also the origin of its log until that was recovered.
    pub id: Name,
    /// Its keys.
    pub keys: Keys,
    /// The truth.
    pub store: Arc<Sqlite>,
    /// The log.
    pub sequencer: Arc<Sequencer>,
    /// The evidence that was judged.
    pub archive: Archive,
    /// The time.
    pub clock: Clock,
    /// Whether its log was compared with what somebody else held.
    pub is_compared: bool,
    /// Who verifies and judges.
    pub judge: Judge,
    /// TPMs that wait for their owners.
    pub enrolments: Enrolments,
    /// The refusals of this window.
    pub denials: Denials,
    /// The counters.
    pub metrics: Metrics,
    /// What is coming for machines of Intel's.
    pub forecasts: Forecasts,
    /// Held for reading from the look at the owners' documents until everything admitted under
    /// them is sealed, for writing by a change of documents: so a change is acknowledged only
    /// when nothing can be released under the old state any more.
    pub gate: Arc<RwLock<()>>,
    /// What the owners want, as far as it is proven.
    pub remembered: Remembered,
    /// Who follows the verdicts.
    pub feeds: Feeds,
    /// What is under way, by source.
    pub load: Arc<Load>,
    /// The connections.
    pub seats: Arc<Seats>,
    /// Slots for appraisals.
    pub slots: Arc<Semaphore>,
    /// SHA-256 of the administrator's token.
    pub admin: [u8; 32],
    /// Whether the disk takes writes.
    pub health: Health,
    /// The file of the database.
    pub database: PathBuf,
    /// Kept locked while the witness runs.
    _lock: fs::File,
}

/// How often the lock of a folder is tried, and how long in between.
const LOCK_TRIES: u32 = 10;
/// See [`LOCK_TRIES`].
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Takes the lock of a data folder, so that two witnesses never share one.
///
/// # Errors
/// When another process holds it, or the folder is not one that `init` made.
pub fn lock(folder: &Path) -> io::Result<fs::File> {
    if !folder.join("zeuge.sqlite").exists() {
        let text = format!(
            "{} holds no witness; make one with: zeuged init --data {} --owner FILE --id NAME",
            folder.display(),
            folder.display()
        );
        return Err(io::Error::other(text));
    }
    let file = fs::File::create(folder.join("lock"))?;
    // A child that somebody is about to start holds what its parent held until it runs its own
    // program: for a moment nobody is there, and the lock is.
    for _ in 0..LOCK_TRIES {
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    let text = format!("another zeuged runs on {}; stop it first", folder.display());
    Err(io::Error::other(text))
}

impl Witness {
    /// Opens a data folder. `clock` makes the clock from the highest instant on record.
    ///
    /// # Errors
    /// When the folder is none or in use, a key is missing, or the log does not fit the database.
    pub fn open(
        folder: &Path,
        options: Options,
        clock: impl FnOnce(i64) -> Clock,
    ) -> io::Result<Arc<Self>> {
        let lock = lock(folder)?;
        let store = Sqlite::open(&folder.join("zeuge.sqlite"));
        let store = store.map_err(|error| io::Error::other(crate::store::refused(&error)))?;
        let store = Arc::new(store);
        let id = store.meta("id").map_err(io::Error::other)?;
        let id = String::from_utf8(id.unwrap_or_default()).map_err(io::Error::other)?;
        let id = Name::parse(&id).map_err(io::Error::other)?;
        let admin = store.meta("admin").map_err(io::Error::other)?;
        let admin = admin.and_then(|hash| hash.try_into().ok());
        let admin = admin.ok_or_else(|| io::Error::other("there is no administrator"))?;
        let keys_folder = folder.join("keys");
        recovery::demand_going(&store).map_err(io::Error::other)?;
        let origin = recovery::origin(&store, &id).map_err(io::Error::other)?;
        keys::ensure(&keys_folder, Purpose::Report)?;
        let keys = Keys::open(&keys_folder, &origin)?;
        documents::check_owners(store.as_ref(), &keys).map_err(io::Error::other)?;
        // The sequencer keeps a signer of its own: signing checkpoints is its business alone.
        let signer = Keys::open(&keys_folder, &origin)?.log;
        let entries = Arc::clone(&store);
        let sequencer = {
            let outside = &options.held_outside;
            Sequencer::open(entries, folder.join("log"), signer, outside)
        };
        let queue = Arc::clone(&store) as Arc<dyn Queue>;
        let tpm_makers = Makers::new(&options.roots, options.sim.as_ref());
        let tpm_makers = Arc::new(tpm_makers.map_err(io::Error::other)?);
        let enrolments = Enrolments::new(Arc::clone(&tpm_makers), queue);
        let limits = (options.ages, options.allowance);
        let sim = options.sim.map(|anchors| {
            line(
                &folder.join("collateral-sim"),
                options.sim_makers,
                anchors,
                limits,
            )
        });
        let mut anchors = Anchors::makers();
        for root in &options.roots {
            root.add_to_anchors(&mut anchors)
                .map_err(io::Error::other)?;
        }
        let makers = line(&folder.join("collateral"), options.makers, anchors, limits)?;
        let lines = Lines {
            makers,
            sim: sim.transpose()?,
        };
        let high_water = store.high_water().map_err(io::Error::other)?;
        Ok(Arc::new(Self {
            id,
            keys,
            sequencer: Arc::new(sequencer.map_err(io::Error::other)?),
            archive: archive(folder, options.archive_bytes_max, &store)?,
            clock: clock(high_water),
            judge: Judge::new(lines, options.endorsements, tpm_makers, options.channel),
            enrolments,
            is_compared: !options.held_outside.is_empty(),
            denials: Denials::default(),
            metrics: Metrics::default(),
            forecasts: Forecasts::default(),
            gate: Arc::new(RwLock::new(())),
            remembered: Remembered::default(),
            feeds: Feeds::default(),
            load: Arc::new(Load::new(options.source_per_second)),
            seats: Seats::new(door::connections_max(), SOURCE_CONNECTIONS_MAX),
            slots: Arc::new(Semaphore::new(APPRAISALS_MAX)),
            admin,
            store,
            health: Health::default(),
            database: folder.join("zeuge.sqlite"),
            _lock: lock,
        }))
    }

    /// The issuer of its Attestation Results.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("https://{}", self.id)
    }

    /// Whether it can release: the clock holds, the log stands as it was shown, the disk takes writes.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), Refusal> {
        self.clock.now()?;
        self.sequencer.checkpoint()?;
        let is_moving = self.sequencer.moved_within(health::SLOW);
        self.health.demand(is_moving)
    }

    /// Writes the refusals of the window into the log.
    ///
    /// # Errors
    /// `store.unavailable`, `time.jump`.
    pub fn log_denials(&self) -> Result<(), Refusal> {
        let now = self.clock.wall();
        let leaves = self.denials.end(now)?;
        if !leaves.is_empty() {
            self.store.append(&leaves, now)?;
            self.sequencer.wake();
        }
        Ok(())
    }
}
