//! Decisions in the database: as many in one transaction as there are, each whole or not at all.
//!
//! A decision is refused before anything of it is written; only what a TPM's clock says is written
//! to find out, and taken back. Never decides about evidence.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Transaction, params};
use zeuge_protocol::challenge::SPENT;

use super::sqlite::{Sqlite, epoch, held_time, set_time};
use crate::archive::Evidence;
use crate::clock::SKEW_SECS_MAX;
use crate::endorsements::{Counted, FirstSeen};
use crate::refusal::Refusal;
use crate::sequencer::NewLeaf;
use crate::session::{Decision, VerdictRow};
use crate::told::Told;

/// How often nonces whose challenges are long gone are looked for, in seconds.
const SWEEP_SECS: i64 = 1;
/// Fingerprints of endorsements that are remembered as seen; with more of them all are forgotten.
const SEEN_MAX: usize = 65_536;
/// Under which the bytes of archived evidence are counted.
const ARCHIVED: &str = "archived-bytes";

/// One transaction of decisions.
pub(super) struct Batch<'t> {
    store: &'t Sqlite,
    transaction: &'t Transaction<'t>,
    /// The highest instant on record.
    held: i64,
    /// The highest instant of what was decided here.
    now: Option<i64>,
    /// The number of the next leaf.
    next: i64,
    epochs: HashMap<String, u64>,
    archived: u64,
    /// What the process may remember once this is durable.
    seen: Vec<[u8; 32]>,
    told: Vec<Arc<Told>>,
}

/// What became durable with a batch.
pub(super) struct Durable {
    seen: Vec<[u8; 32]>,
    told: Vec<Arc<Told>>,
}

impl<'t> Batch<'t> {
    pub(super) fn begin(
        store: &'t Sqlite,
        transaction: &'t Transaction<'t>,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            store,
            transaction,
            held: held_time(transaction)?,
            now: None,
            next: next_leaf(transaction)?,
            epochs: HashMap::new(),
            archived: 0,
            seen: Vec::new(),
            told: Vec::new(),
        })
    }

    /// Whether the leaves of one more decision, endorsements and all, end before this number.
    pub(super) fn has_room(&self, decision: &Decision, end: u64) -> bool {
        let more = decision
            .leaves
            .len()
            .saturating_add(decision.endorsements.len());
        let next = u64::try_from(self.next).unwrap_or(u64::MAX);
        next.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)) <= end
    }

    /// One decision; the number of its first leaf, or why nothing of it was written.
    ///
    /// # Errors
    /// What must take the whole transaction with it.
    pub(super) fn decide(&mut self, decision: &Decision) -> Result<Result<u64, Refusal>, Refusal> {
        match self.admit(decision) {
            Ok(()) => self.write(decision).map(Ok),
            Err(refusal) if refusal.check == super::UNAVAILABLE => Err(refusal),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Everything that must hold, and the challenge is spent.
    fn admit(&mut self, decision: &Decision) -> Result<(), Refusal> {
        self.in_time(decision)?;
        let held = self.epoch(&decision.tenant)?;
        if held != decision.epoch {
            let because = "the owners' documents changed while the evidence was judged";
            let refusal = Refusal::new("release.epoch", 503, because).retry_after(1);
            return Err(refusal.difference(decision.epoch.to_string(), held.to_string()));
        }
        let Some(stand) = &decision.stand else {
            return self.spend(decision);
        };
        self.run("SAVEPOINT one")?;
        let marked = super::clocks::mark(self.transaction, stand);
        let done = marked.and_then(|()| self.spend(decision));
        if done.is_err() {
            self.run("ROLLBACK TO one")?;
        }
        self.run("RELEASE one")?;
        done
    }

    fn write(&mut self, decision: &Decision) -> Result<u64, Refusal> {
        let first = self.next;
        for leaf in &decision.leaves {
            self.append(leaf)?;
        }
        for counted in &decision.endorsements {
            self.first_seen(counted)?;
        }
        self.verdict(decision, first)?;
        self.now = Some(self.now.unwrap_or(i64::MIN).max(decision.now));
        u64::try_from(first).map_err(|error| Refusal::store(&error))
    }

    /// Writes what is written once for all; to be committed then.
    pub(super) fn end(self) -> Result<Durable, Refusal> {
        if let Some(now) = self.now {
            if now > self.held {
                set_time(self.transaction, now)?;
            }
            // Long gone ones cannot be in time any more, so they may be forgotten.
            if self.store.may_sweep(now, SWEEP_SECS) {
                let gone = now.saturating_sub(SKEW_SECS_MAX.saturating_mul(2));
                let sql = "DELETE FROM spent WHERE expires < ?1";
                self.transaction.prepare_cached(sql)?.execute([gone])?;
            }
        }
        if self.archived > 0 {
            let held = archived_bytes(self.transaction)?.saturating_add(self.archived);
            let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)";
            let held = held.to_be_bytes();
            let mut statement = self.transaction.prepare_cached(sql)?;
            statement.execute(params![ARCHIVED, held.as_slice()])?;
        }
        let Self { seen, told, .. } = self;
        Ok(Durable { seen, told })
    }

    fn run(&self, sql: &str) -> Result<(), Refusal> {
        self.transaction.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn in_time(&self, decision: &Decision) -> Result<(), Refusal> {
        super::sqlite::not_before(self.held, decision.now)?;
        if decision.now < decision.expires {
            return Ok(());
        }
        let because = "the challenge expired while the evidence was judged";
        let refusal = Refusal::new("challenge.expired", 403, because);
        Err(refusal.difference(
            decision.now.to_string(),
            format!("before {}", decision.expires),
        ))
    }

    fn epoch(&mut self, tenant: &str) -> Result<u64, Refusal> {
        if let Some(held) = self.epochs.get(tenant) {
            return Ok(*held);
        }
        let held = epoch(self.transaction, tenant)?;
        self.epochs.insert(tenant.to_owned(), held);
        Ok(held)
    }

    /// The expiry stands in the challenge under its MAC: one nonce has one expiry.
    fn spend(&self, decision: &Decision) -> Result<(), Refusal> {
        let sql = "INSERT OR IGNORE INTO spent (nonce, expires) VALUES (?1, ?2)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let spent = statement.execute(params![decision.nonce.as_slice(), decision.expires])?;
        if spent > 0 {
            return Ok(());
        }
        let because = "this challenge was answered before; ask for a new one";
        let refusal = Refusal::new(SPENT, 403, because);
        Err(refusal.difference(hex::encode(decision.nonce), "an unused nonce"))
    }

    fn append(&mut self, leaf: &NewLeaf) -> Result<i64, Refusal> {
        let number = self.next;
        super::sqlite::append_one(self.transaction, number, leaf)?;
        self.next = number.saturating_add(1);
        Ok(number)
    }

    /// Writes the leaf of an endorsement that was never seen before.
    fn first_seen(&mut self, counted: &Counted) -> Result<(), Refusal> {
        let fingerprint = counted.fingerprint;
        if self.store.has_seen(&fingerprint) || self.seen.contains(&fingerprint) {
            return Ok(());
        }
        let known: bool = self.transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM endorsements WHERE fingerprint = ?1)",
            [fingerprint.as_slice()],
            |row| row.get(0),
        )?;
        if !known {
            let FirstSeen { fingerprint, leaf } = counted.clone().first_seen()?;
            let number = self.append(&leaf)?;
            self.transaction.execute(
                "INSERT INTO endorsements (fingerprint, leaf) VALUES (?1, ?2)",
                params![fingerprint.as_slice(), number],
            )?;
        }
        self.seen.push(fingerprint);
        Ok(())
    }

    /// Archives the evidence and writes what people look at.
    fn verdict(&mut self, decision: &Decision, first: i64) -> Result<(), Refusal> {
        let VerdictRow {
            machine,
            word,
            released,
            json,
            told,
            record,
        } = &decision.verdict;
        if !told.is_stored() && !self.told.iter().any(|held| held.digest == told.digest) {
            self.transaction.execute(
                "INSERT OR IGNORE INTO assessments (digest, text) VALUES (?1, ?2)",
                params![told.digest.as_slice(), told.text],
            )?;
            self.told.push(Arc::clone(told));
        }
        let Evidence { bytes, shared } = &decision.evidence;
        let (at, shared) = shared
            .as_ref()
            .map(|(at, name)| (*at, name.as_slice()))
            .unzip();
        let sql = "INSERT INTO archived (bytes, at, shared) VALUES (?1, ?2, ?3)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let evidence = statement.insert(params![bytes, at, shared])?;
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.archived = self.archived.saturating_add(length);
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO verdicts (leaf, time, tenant, machine, word, released, json, record,
               assessment, evidence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        statement.execute(params![
            first,
            decision.now,
            decision.tenant,
            machine,
            word,
            released,
            json,
            record,
            told.digest.as_slice(),
            evidence
        ])?;
        Ok(())
    }
}

impl Durable {
    /// Remembers what need not be asked of the database again.
    pub(super) fn remember(self, seen: &mut std::collections::HashSet<[u8; 32]>) {
        for told in self.told {
            told.stored();
        }
        if seen.len() >= SEEN_MAX {
            seen.clear();
        }
        seen.extend(self.seen);
    }
}

/// The number that the next leaf gets.
pub(super) fn next_leaf(transaction: &Transaction<'_>) -> Result<i64, Refusal> {
    let sql = "SELECT COALESCE(MAX(number), -1) + 1 FROM leaves";
    let mut statement = transaction.prepare_cached(sql)?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Bytes of evidence in the database.
pub(super) fn archived_bytes(connection: &rusqlite::Connection) -> Result<u64, Refusal> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    let held: Result<Vec<u8>, _> = statement.query_row([ARCHIVED], |row| row.get(0));
    match held {
        Ok(bytes) => Ok(bytes.try_into().map_or(0, u64::from_be_bytes)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Archived evidence from three columns of a row, the first of which is this one.
pub(super) fn evidence(
    row: &rusqlite::Row<'_>,
    first: usize,
) -> rusqlite::Result<Option<Evidence>> {
    let Some(bytes) = row.get(first)? else {
        return Ok(None);
    };
    let at: Option<i64> = row.get(first.saturating_add(1))?;
    let name: Option<[u8; 32]> = row.get(first.saturating_add(2))?;
    let shared = at.zip(name);
    Ok(Some(Evidence { bytes, shared }))
}
