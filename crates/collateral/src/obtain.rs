//! Endorsements by name: from the cache, else from the maker, else from the cache though old.
//!
//! The decisions are functions of what is held and the instant; the waiting is here alone.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zeuge_verify::{Anchors, Endorsements, UnixTime};

use crate::{
    Allowance, CacheError, EntryStatus, Fetcher, Imported, Problem, Sources, Status, Unreachable,
    Wanted,
    back_off::{BackOff, retry_after_secs},
    budget::{self, ASKING_MAX, Budget},
    bundle,
    cache::{Cache, Held, NotFound},
    content::{self, Content},
    mark::Mark,
    warm::Kept,
};

mod look;

/// How long things are kept before they are asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// Certificates. Their keys do not change; AMD renews their dates.
    pub certificate_secs_max: i64,
    /// Revocation lists, and Intel's documents.
    pub list_secs_max: i64,
    /// That a service has no such thing.
    pub not_found_secs: i64,
    /// How long past its end a list is still handed out when no newer one is had. Zero unless
    /// somebody accepts that a revocation goes unseen; appraisal refuses such a list all the same
    /// unless its policy says otherwise too.
    pub dangerous_list_past_end_secs: i64,
}

impl Default for Ages {
    /// 30 days, one day, one hour, and never past the end.
    fn default() -> Self {
        Self {
            certificate_secs_max: 30 * 86_400,
            list_secs_max: 86_400,
            not_found_secs: 3600,
            dangerous_list_past_end_secs: 0,
        }
    }
}

impl Ages {
    /// Whether what is held need not be asked for again.
    fn is_fresh(&self, wanted: &Wanted, found: &Found, now: UnixTime) -> bool {
        let max = if wanted.is_short_lived() {
            self.list_secs_max
        } else {
            self.certificate_secs_max
        };
        let in_force = found.content.until.is_some_and(|until| now <= until);
        in_force && (0..max).contains(&found.age_secs(now))
    }

    /// Whether what is held may be handed out at all.
    fn usable(&self, content: &Content, now: UnixTime) -> Result<(), Problem> {
        let ended = Problem::ListEnded {
            ended: content.until,
            at: now,
        };
        match content.until {
            Some(until) if now <= until.plus(self.dangerous_list_past_end_secs.max(0)) => Ok(()),
            _ => Err(ended),
        }
    }
}

/// Where an endorsement came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// From the cache, fetched this many seconds ago.
    Cached {
        /// Its age.
        age_secs: i64,
    },
    /// From the service, just now.
    Fetched,
    /// Not at hand.
    Missing,
    /// From the cache although it is old, because no newer one was had.
    Stale {
        /// Its age.
        age_secs: i64,
    },
}

/// What came of one wanted endorsement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub wanted: Wanted,
    /// Where it came from.
    pub state: State,
    /// What stood in the way, first things first.
    pub problems: Vec<Problem>,
}

/// What was obtained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obtained {
    /// What is at hand, for `verify`; sources are cache keys.
    pub endorsements: Endorsements,
    /// One for each that was wanted.
    pub outcomes: Vec<Outcome>,
}

/// How old something in the cache is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldAge {
    /// The key of a chain or list; `amd/vcek` for all certificates of chips, `intel/tcb/tdx/early`
    /// for all TCB Info of one environment and channel.
    pub key: String,
    /// How many there are of it.
    pub count: u64,
    /// Seconds since the oldest of them was had from its maker.
    pub oldest_secs: i64,
    /// For lists and documents: seconds until the first of them ends; negative when it has ended.
    pub left_secs: Option<i64>,
}

/// Held bytes that passed.
#[derive(Debug, Clone)]
struct Found {
    bytes: Vec<u8>,
    content: Content,
    fetched_at: UnixTime,
}

impl Found {
    const fn age_secs(&self, now: UnixTime) -> i64 {
        now.0.saturating_sub(self.fetched_at.0)
    }
}

/// One request under way per key; the others wait for it and then look into the cache.
type Flights = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

#[derive(Debug)]
struct Inner {
    cache: Mutex<Cache>,
    fetcher: Option<Arc<dyn Fetcher>>,
    sources: Sources,
    anchors: Anchors,
    ages: Ages,
    budget: Mutex<Budget>,
    flights: Mutex<Flights>,
    asking: tokio::sync::Semaphore,
    warm: Kept,
}

/// The cache and the road to the makers. Cheap to clone: all clones are one.
#[derive(Debug, Clone)]
pub struct Collateral {
    inner: Arc<Inner>,
}

impl Collateral {
    /// Opens the cache in `folder`, making it if need be. Without a fetcher it stays offline.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used or its marks cannot be read.
    pub fn open(
        folder: &Path,
        fetcher: Option<Arc<dyn Fetcher>>,
        sources: Sources,
        anchors: Anchors,
        ages: Ages,
        allowance: Allowance,
    ) -> Result<Self, CacheError> {
        let inner = Inner {
            cache: Mutex::new(Cache::open(folder)?),
            fetcher,
            sources,
            anchors,
            ages,
            budget: Mutex::new(Budget::new(allowance)),
            flights: Mutex::new(Flights::new()),
            asking: tokio::sync::Semaphore::new(ASKING_MAX),
            warm: Kept::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Hands out what `verify` says it needs. `source` names whoever asks, for the budget.
    ///
    /// What cannot be had is named in the outcomes and is no error: verification says what it
    /// cannot do without. Reads and writes a few small files on the calling thread.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used.
    pub async fn obtain(
        &self,
        wanted: &[Wanted],
        source: &str,
        now: UnixTime,
    ) -> Result<Obtained, CacheError> {
        self.all(wanted, source, now, false).await
    }

    /// As [`Self::obtain`], but asks the service also for what is held and fresh.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used.
    pub async fn refresh(
        &self,
        wanted: &[Wanted],
        source: &str,
        now: UnixTime,
    ) -> Result<Obtained, CacheError> {
        self.all(wanted, source, now, true).await
    }

    /// How long things are kept.
    pub(crate) fn ages(&self) -> &Ages {
        &self.inner.ages
    }

    /// What was proven about machines before.
    pub(crate) fn warm(&self) -> &Kept {
        &self.inner.warm
    }

    /// The roots that everything is held against.
    #[must_use]
    pub fn anchors(&self) -> &Anchors {
        &self.inner.anchors
    }

    /// Whether a list with this mark is older than one already seen.
    pub(crate) fn is_behind(&self, mark: &(String, Mark)) -> bool {
        held(&self.inner.cache).behind(Some(mark)).is_err()
    }

    /// Raises the mark of an issuer by a list that the root signed, and keeps the list where its
    /// bytes are at hand.
    pub(crate) fn saw(
        &self,
        wanted: &Wanted,
        mark: &(String, Mark),
        bytes: Option<&[u8]>,
        now: UnixTime,
    ) -> Result<Result<(), Problem>, CacheError> {
        self.with_cache(|cache| {
            if let Err(problem) = cache.behind(Some(mark)) {
                return Ok(Err(problem));
            }
            let (issuer, level) = mark;
            if cache
                .marks()
                .any(|(seen, at)| seen == issuer && at == level)
            {
                return Ok(Ok(()));
            }
            let Some(bytes) = bytes else {
                return cache.raise(issuer, *level).map(Ok);
            };
            // Not as young as if the maker had been asked now: a list from a machine may be old.
            let asked = cache.held(wanted)?.map(|held| held.entry.fetched_at);
            let since = asked.unwrap_or(i64::MIN).max(level.this_update);
            cache.keep(
                wanted,
                bytes,
                Some(mark),
                UnixTime(since).min(now),
                "evidence",
            )
        })
    }

    /// The file under this name that would be handed out at this instant. Asks nobody.
    pub(crate) fn held_file(
        &self,
        wanted: &Wanted,
        now: UnixTime,
    ) -> Result<Option<Vec<u8>>, CacheError> {
        let (found, _) = self.look(wanted, &Endorsements::new(), now)?;
        let usable = found.filter(|found| self.inner.ages.usable(&found.content, now).is_ok());
        Ok(usable.map(|found| found.bytes))
    }

    /// Writes what is held and would be handed out into one bundle.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used.
    pub fn export(&self, now: UnixTime) -> Result<Result<Vec<u8>, Problem>, CacheError> {
        let mut held = Vec::new();
        for (wanted, entry) in self.held_all()? {
            if self.judge(&wanted, &entry, now)?.1.is_none() {
                held.push((wanted, entry));
            }
        }
        Ok(bundle::write(&held, now))
    }

    /// Takes a bundle into the cache: each member that the pinned roots vouch for, that has not
    /// ended, and that is not older than the marks.
    ///
    /// # Errors
    /// The outer one when the folder cannot be used; the inner one for a bundle that is damaged:
    /// then nothing is taken.
    pub fn import(
        &self,
        bytes: &[u8],
        now: UnixTime,
    ) -> Result<Result<Imported, Problem>, CacheError> {
        let members = match bundle::read(bytes) {
            Ok(members) => members,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut imported = Imported::default();
        for member in members {
            let fetched_at = member.fetched_at.min(now);
            let wanted = &member.wanted;
            let heap = self.chain_of(wanted, &Endorsements::new())?;
            let kept = match self.passes(wanted, &member.bytes, &heap, now) {
                Ok(content) => self.with_cache(|cache| {
                    let mark = content.mark.as_ref();
                    cache.keep(wanted, &member.bytes, mark, fetched_at, "import")
                })?,
                Err(problem) => Err(problem),
            };
            match kept {
                Ok(()) => imported.kept.push(wanted.key()),
                Err(problem) => imported.refused.push((wanted.key(), problem)),
            }
        }
        Ok(Ok(imported))
    }

    /// What the folder holds, and what would be handed out of it at this instant.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used.
    pub fn status(&self, now: UnixTime) -> Result<Status, CacheError> {
        self.with_cache(Cache::reload)?;
        let mut entries = Vec::new();
        for (wanted, held) in self.held_all()? {
            let (until, problem) = self.judge(&wanted, &held, now)?;
            entries.push(EntryStatus {
                key: wanted.key(),
                bytes: held.bytes.len(),
                fetched_at: UnixTime(held.entry.fetched_at),
                until,
                origin: held.entry.origin,
                problem,
            });
        }
        self.with_cache(|cache| {
            let index = cache.index();
            let not_found = index.not_found.iter();
            let back_off = index.back_off.iter();
            Ok(Status {
                entries,
                not_found: not_found
                    .map(|(key, entry)| (key.clone(), entry.status, UnixTime(entry.until)))
                    .collect(),
                back_off: back_off
                    .filter_map(|(name, entry)| Some((name.clone(), entry.running(now)?)))
                    .collect(),
                marks: cache
                    .marks()
                    .map(|(issuer, mark)| (issuer.clone(), *mark))
                    .collect(),
            })
        })
    }

    /// How old what is held is, without looking at every certificate: leaves are counted together.
    ///
    /// # Errors
    /// [`CacheError`] when a list cannot be read.
    pub fn held_ages(&self, now: UnixTime) -> Result<Vec<HeldAge>, CacheError> {
        let keys: Vec<(String, i64)> = self.with_cache(|cache| {
            let entries = cache.index().entries.iter();
            Ok(entries
                .map(|(key, entry)| (key.clone(), entry.fetched_at))
                .collect())
        })?;
        let mut ages: BTreeMap<String, HeldAge> = BTreeMap::new();
        for (key, fetched_at) in keys {
            let Some(wanted) = Wanted::parse(&key) else {
                continue;
            };
            let mut left_secs = None;
            if wanted.is_short_lived()
                && let Some(list) = self.with_cache(|cache| cache.held(&wanted))?
            {
                let until = self.judge(&wanted, &list, now)?.0;
                left_secs = until.map(|until| until.0.saturating_sub(now.0));
            }
            let key = wanted.group();
            let age = ages.entry(key.clone()).or_insert(HeldAge {
                key,
                count: 0,
                oldest_secs: 0,
                left_secs,
            });
            age.count = age.count.saturating_add(1);
            age.left_secs = match (age.left_secs, left_secs) {
                (Some(held), Some(own)) => Some(held.min(own)),
                (held, own) => held.or(own),
            };
            let secs = now.0.saturating_sub(fetched_at);
            age.oldest_secs = age.oldest_secs.max(secs);
        }
        Ok(ages.into_values().collect())
    }

    async fn all(
        &self,
        wanted: &[Wanted],
        source: &str,
        now: UnixTime,
        refresh: bool,
    ) -> Result<Obtained, CacheError> {
        let mut order: Vec<&Wanted> = Vec::new();
        for one in wanted {
            if !order.contains(&one) {
                order.push(one);
            }
        }
        order.sort_by_key(|wanted| wanted.rank());
        let mut endorsements = Endorsements::new();
        let mut outcomes = Vec::new();
        for wanted in order {
            let heap = self.chain_of(wanted, &endorsements)?;
            let (bytes, outcome) = self.one(wanted, &heap, source, now, refresh).await?;
            if let Some(bytes) = bytes {
                endorsements.add(&wanted.key(), &bytes);
            }
            outcomes.push(outcome);
        }
        Ok(Obtained {
            endorsements,
            outcomes,
        })
    }

    async fn one(
        &self,
        wanted: &Wanted,
        heap: &Endorsements,
        source: &str,
        now: UnixTime,
        refresh: bool,
    ) -> Result<(Option<Vec<u8>>, Outcome), CacheError> {
        let (found, mut problems) = self.look(wanted, heap, now)?;
        if let Some(found) = &found
            && !refresh
            && self.inner.ages.is_fresh(wanted, found, now)
        {
            return Ok(cached(wanted, found, now));
        }
        let Some(fetcher) = &self.inner.fetcher else {
            problems.push(Problem::Offline);
            return Ok(self.fall_back(wanted, found, problems, now));
        };
        let Ok(_asking) = self.inner.asking.try_acquire() else {
            problems.push(budget::too_many(now));
            return Ok(self.fall_back(wanted, found, problems, now));
        };
        let key = wanted.key();
        let flight = self.flight(&key);
        let under_way = flight.lock().await;
        // Whoever was before us may have brought it.
        self.with_cache(Cache::reload)?;
        let (found, mut problems) = self.look(wanted, heap, now)?;
        let answer = match &found {
            Some(found)
                if self.inner.ages.is_fresh(wanted, found, now)
                    && (!refresh || found.fetched_at >= now) =>
            {
                None
            }
            _ => Some(self.ask(fetcher, wanted, heap, source, now).await),
        };
        drop(under_way);
        match (answer, found) {
            (None, Some(found)) => Ok(cached(wanted, &found, now)),
            (None, None) => Ok(self.fall_back(wanted, None, problems, now)),
            (Some(answer), found) => match answer? {
                Ok(bytes) => Ok((
                    Some(bytes),
                    Outcome {
                        wanted: wanted.clone(),
                        state: State::Fetched,
                        problems: Vec::new(),
                    },
                )),
                Err(problem) => {
                    problems.push(problem);
                    Ok(self.fall_back(wanted, found, problems, now))
                }
            },
        }
    }

    /// Asks the service once, if it may be asked, and keeps what passes.
    async fn ask(
        &self,
        fetcher: &Arc<dyn Fetcher>,
        wanted: &Wanted,
        heap: &Endorsements,
        source: &str,
        now: UnixTime,
    ) -> Result<Result<Vec<u8>, Problem>, CacheError> {
        let Some((host, address)) = self.inner.sources.place(wanted) else {
            return Ok(Err(Problem::Offline));
        };
        let allowed = self
            .may_ask(wanted, &host, now)
            .and_then(|()| held(&self.inner.budget).spend(source, now));
        if let Err(problem) = allowed {
            return Ok(Err(problem));
        }
        let bytes_max = wanted.bytes_max();
        let answer = match fetcher.get(&address, bytes_max).await {
            Ok(answer) => answer,
            Err(Unreachable::TooLong) => {
                self.pause(&wanted.key(), None, now)?;
                return Ok(Err(Problem::Size { bytes_max }));
            }
            Err(Unreachable::Failed(found)) => {
                self.pause(&host, None, now)?;
                return Ok(Err(Problem::Transport { found }));
            }
        };
        match answer.status {
            200 => {
                let file = wanted.file(answer.body, answer.issuer_chain.as_deref());
                self.take(wanted, heap, file, (&host, &address), now)
            }
            400 | 401 | 403 | 404 | 410 => self.forget(wanted, answer.status, now).map(Err),
            status => {
                let asked = answer.retry_after.as_deref();
                let asked = asked.and_then(|header| retry_after_secs(header, now));
                let until = self.pause(&host, asked, now)?;
                Ok(Err(if matches!(status, 429 | 503) {
                    Problem::BackOff { host, until }
                } else {
                    Problem::Transport {
                        found: format!("{host} answered with status {status}"),
                    }
                }))
            }
        }
    }

    /// Keeps an answer that passes; pauses for this key otherwise.
    fn take(
        &self,
        wanted: &Wanted,
        heap: &Endorsements,
        bytes: Vec<u8>,
        (host, address): (&str, &str),
        now: UnixTime,
    ) -> Result<Result<Vec<u8>, Problem>, CacheError> {
        let kept = match self.passes(wanted, &bytes, heap, now) {
            Ok(content) => self.with_cache(|cache| {
                cache.keep(wanted, &bytes, content.mark.as_ref(), now, address)
            })?,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = kept {
            self.pause(&wanted.key(), None, now)?;
            return Ok(Err(problem));
        }
        if self.with_cache(|cache| Ok(cache.index().back_off.contains_key(host)))? {
            self.with_cache(|cache| {
                cache.note(|index| {
                    index.back_off.remove(host);
                })
            })?;
        }
        Ok(Ok(bytes))
    }

    fn forget(&self, wanted: &Wanted, status: u16, now: UnixTime) -> Result<Problem, CacheError> {
        let until = now.plus(self.inner.ages.not_found_secs.max(0));
        let entry = NotFound {
            status,
            until: until.0,
        };
        self.with_cache(|cache| {
            cache.note(|index| {
                index.not_found.insert(wanted.key(), entry);
            })
        })?;
        Ok(Problem::NotFound { status, until })
    }

    fn pause(&self, name: &str, asked: Option<i64>, now: UnixTime) -> Result<UnixTime, CacheError> {
        self.with_cache(|cache| {
            let next = BackOff::after(cache.index().back_off.get(name).copied(), asked, now);
            cache.note(|index| {
                index.back_off.insert(name.to_owned(), next);
            })?;
            Ok(UnixTime(next.until))
        })
    }

    /// Whether neither a refusal nor a pause stands in the way.
    fn may_ask(&self, wanted: &Wanted, host: &str, now: UnixTime) -> Result<(), Problem> {
        if !wanted.is_well_formed() {
            // Would be written into an address.
            return Err(Problem::Address {
                found: wanted.key(),
                wanted: "ids in lower-case hex, as long as the maker's are",
            });
        }
        let cache = held(&self.inner.cache);
        let index = cache.index();
        let key = wanted.key();
        if let Some(entry) = index.not_found.get(&key) {
            let left = entry.until.saturating_sub(now.0);
            if left > 0 && left <= self.inner.ages.not_found_secs {
                return Err(Problem::NotFound {
                    status: entry.status,
                    until: UnixTime(entry.until),
                });
            }
        }
        for name in [host, key.as_str()] {
            let pause = index.back_off.get(name);
            if let Some(until) = pause.and_then(|pause| pause.running(now)) {
                return Err(Problem::BackOff {
                    host: name.to_owned(),
                    until,
                });
            }
        }
        Ok(())
    }

    /// Holds bytes against what was asked for, the marks and their end.
    pub(crate) fn passes(
        &self,
        wanted: &Wanted,
        bytes: &[u8],
        heap: &Endorsements,
        now: UnixTime,
    ) -> Result<Content, Problem> {
        let content = content::check(wanted, bytes, heap, &self.inner.anchors, now)?;
        held(&self.inner.cache).behind(content.mark.as_ref())?;
        self.inner.ages.usable(&content, now)?;
        Ok(content)
    }

    /// What is held although it is old, unless it is a list past its end.
    fn fall_back(
        &self,
        wanted: &Wanted,
        found: Option<Found>,
        mut problems: Vec<Problem>,
        now: UnixTime,
    ) -> (Option<Vec<u8>>, Outcome) {
        let strict = Ages {
            dangerous_list_past_end_secs: 0,
            ..self.inner.ages
        };
        let mut handed = None;
        if let Some(found) = found {
            // Named even where it is forgiven.
            problems.extend(strict.usable(&found.content, now).err());
            if self.inner.ages.usable(&found.content, now).is_ok() {
                handed = Some(found);
            }
        }
        let state = handed
            .as_ref()
            .map_or(State::Missing, |found| State::Stale {
                age_secs: found.age_secs(now),
            });
        let outcome = Outcome {
            wanted: wanted.clone(),
            state,
            problems,
        };
        (handed.map(|found| found.bytes), outcome)
    }

    /// What a leaf is held against: what was obtained with it, and the chain in the cache.
    fn chain_of(
        &self,
        wanted: &Wanted,
        obtained: &Endorsements,
    ) -> Result<Endorsements, CacheError> {
        let Some(chain) = wanted.chain() else {
            return Ok(Endorsements::new());
        };
        let mut heap = obtained.clone();
        if let Some(entry) = self.with_cache(|cache| cache.held(&chain))? {
            heap.add(&chain.key(), &entry.bytes);
        }
        Ok(heap)
    }

    /// Until when an entry counts, and why it would not be handed out, if it would not.
    fn judge(
        &self,
        wanted: &Wanted,
        entry: &Held,
        now: UnixTime,
    ) -> Result<(Option<UnixTime>, Option<Problem>), CacheError> {
        let heap = self.chain_of(wanted, &Endorsements::new())?;
        let checked = content::check(wanted, &entry.bytes, &heap, &self.inner.anchors, now);
        Ok(match checked {
            Err(problem) => (None, Some(problem)),
            Ok(content) => {
                let behind = held(&self.inner.cache).behind(content.mark.as_ref());
                let usable = behind.and_then(|()| self.inner.ages.usable(&content, now));
                (content.until, usable.err())
            }
        })
    }

    fn held_all(&self) -> Result<Vec<(Wanted, Held)>, CacheError> {
        self.with_cache(|cache| {
            let mut all = Vec::new();
            for key in cache.index().entries.keys() {
                let Some(wanted) = Wanted::parse(key) else {
                    continue;
                };
                all.extend(cache.held(&wanted)?.map(|entry| (wanted, entry)));
            }
            Ok(all)
        })
    }

    pub(crate) fn with_cache<T>(
        &self,
        work: impl FnOnce(&mut Cache) -> Result<T, CacheError>,
    ) -> Result<T, CacheError> {
        work(&mut held(&self.inner.cache))
    }

    fn flight(&self, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut flights = held(&self.inner.flights);
        // Those that have landed; also where a caller went away in mid-air.
        flights.retain(|_, flight| Arc::strong_count(flight) > 1);
        Arc::clone(flights.entry(key.to_owned()).or_default())
    }
}

fn cached(wanted: &Wanted, found: &Found, now: UnixTime) -> (Option<Vec<u8>>, Outcome) {
    let outcome = Outcome {
        wanted: wanted.clone(),
        state: State::Cached {
            age_secs: found.age_secs(now),
        },
        problems: Vec::new(),
    };
    (Some(found.bytes.clone()), outcome)
}

/// A panic elsewhere leaves nothing half done here: every change is written whole.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
