//! The database. One connection behind one lock: writers are serial by nature, and every write is
//! one `BEGIN IMMEDIATE` transaction that is on disk when the call returns.
//!
//! Never decides anything but what must be decided inside a transaction: is the challenge spent,
//! are epochs and versions as the caller saw them, which number has the next leaf.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params,
};
use zeuge_log::commitment::Opening;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::document::Kind;

use super::decide::Batch;
use crate::archive::Evidence;
use crate::clock::SKEW_SECS_MAX;
use crate::documents::{DocumentRow, SUCCESSION, Shelf};
use crate::refusal::Refusal;
use crate::secrets::SecretRow;
use crate::sequencer::{Entries, Head, NewLeaf, Published};
use crate::session::{Decision, Ledger};
use crate::witness::TENANT_UNKNOWN;

/// How long a connection waits for another one's write.
const BUSY: Duration = Duration::from_secs(5);

/// Pages of the write-ahead log before they are moved into the database: what many decisions change
/// alike is moved once.
const FOLD_PAGES: i64 = 4096;
/// Statements that are kept ready.
const STATEMENTS_MAX: usize = 64;

/// The SHA-256 of evidence, and its bytes where the database has them.
pub type NamedEvidence = ([u8; 32], Option<Evidence>);

/// The database.
#[derive(Debug)]
pub struct Sqlite {
    connection: Mutex<Connection>,
    /// What was read and holds until the next change; locked within the connection or without it.
    known: Mutex<Known>,
    /// Endorsements that stand in the log.
    seen: Mutex<HashSet<[u8; 32]>>,
    /// When nonces were looked through last.
    swept: AtomicI64,
    /// Whether a write failed since somebody asked.
    has_failed: AtomicBool,
}

/// What the owners changed last, as far as somebody asked. Forgotten whole by every change.
#[derive(Debug, Default)]
pub(super) struct Known {
    epochs: HashMap<String, u64>,
    /// Secrets by tenant, path and version as they were asked for.
    pub(super) secrets: HashMap<(String, String, u64), SecretRow>,
    /// Bytes of these.
    pub(super) secrets_bytes: usize,
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        super::refused(&error)
    }
}

impl Sqlite {
    /// Opens or makes the database of a file.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.pragma_update(None, "wal_autocheckpoint", FOLD_PAGES)?;
        // A plan does not depend on what is bound: else statements are prepared anew for each value.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        super::schema::make(&mut connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
            known: Mutex::default(),
            seen: Mutex::default(),
            swept: AtomicI64::new(i64::MIN),
            has_failed: AtomicBool::new(false),
        })
    }

    /// What SQLite finds wrong with the database of a file: `ok` when nothing. Reads everything, on
    /// a connection of its own.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn examine(path: &Path) -> Result<String, Refusal> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(BUSY)?;
        let sql = "PRAGMA quick_check(1)";
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    }

    /// Whether a write failed since this was asked last.
    pub fn has_failed(&self) -> bool {
        self.has_failed.swap(false, Ordering::Relaxed)
    }

    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Connection>, Refusal> {
        let poisoned = |_| Refusal::store(&"an earlier call failed in the middle");
        self.connection.lock().map_err(poisoned)
    }

    /// What is known without a look into the database.
    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the epoch of a tenant is known without a look into the database.
    #[must_use]
    pub fn is_known(&self, tenant: &str) -> bool {
        self.known().epochs.contains_key(tenant)
    }

    /// Whether this endorsement stands in the log, as far as this process knows.
    pub(super) fn has_seen(&self, fingerprint: &[u8; 32]) -> bool {
        let seen = self.seen.lock();
        seen.is_ok_and(|seen| seen.contains(fingerprint))
    }

    /// Whether it is time to look through the nonces again.
    pub(super) fn may_sweep(&self, now: i64, every: i64) -> bool {
        let last = self.swept.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(last) >= every;
        if is_due {
            self.swept.store(now, Ordering::Relaxed);
        }
        is_due
    }

    /// Runs the body as one transaction; nothing of it stays when it refuses. What was known of the
    /// owners' wishes is forgotten before anybody else can write.
    pub(super) fn write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.transact(true, body)
    }

    /// As [`Sqlite::write`], of what changes nothing that the owners want.
    pub(super) fn transact<T>(
        &self,
        is_change: bool,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let write = || {
            let mut connection = self.lock()?;
            let immediate = TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(immediate)?;
            let done = body(&transaction).and_then(|out| {
                transaction.commit()?;
                Ok(out)
            });
            if is_change {
                *self.known() = Known::default();
            }
            done
        };
        let done: Result<T, Refusal> = write();
        if done
            .as_ref()
            .is_err_and(|refusal| refusal.check == super::UNAVAILABLE)
        {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        done
    }

    /// A value of the table of settings.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let connection = self.lock()?;
        let found = connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(found)
    }

    /// Sets a value of the table of settings.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), Refusal> {
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
                params![key, value],
            )?;
            Ok(())
        })
    }

    /// The highest instant on record, in Unix seconds; 0 when there is none.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn high_water(&self) -> Result<i64, Refusal> {
        let bytes = self.meta("time-high-water")?;
        Ok(bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, i64::from_be_bytes))
    }

    /// Adds a tenant.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn add_tenant(&self, name: &str) -> Result<(), Refusal> {
        self.write(|transaction| {
            let sql = "INSERT OR IGNORE INTO tenants (name, epoch) VALUES (?1, 1)";
            transaction.execute(sql, [name])?;
            Ok(())
        })
    }

    /// SHA-256 of the evidence behind this leaf, and the evidence where the database has it; `None`
    /// where it is no verdict.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn evidence_of(&self, leaf: u64) -> Result<Option<NamedEvidence>, Refusal> {
        let number = i64::try_from(leaf).unwrap_or(i64::MAX);
        let sql = "SELECT entry, bytes, at, shared FROM leaves
             LEFT JOIN verdicts ON verdicts.leaf = leaves.number
             LEFT JOIN archived ON archived.id = verdicts.evidence
             WHERE leaves.number = ?1";
        let found = self
            .lock()?
            .query_row(sql, [number], |row| {
                Ok((row.get(0)?, super::decide::evidence(row, 1)?))
            })
            .optional()?;
        Ok(
            found.and_then(|(entry, bytes): (Vec<u8>, _)| match Leaf::decode(&entry) {
                Ok(Leaf::Verdict { evidence, .. }) => Some((evidence, bytes)),
                _ => None,
            }),
        )
    }

    /// Writes a consistent copy of the database to a new file.
    ///
    /// # Errors
    /// Those of the driver.
    pub fn copy_to(&self, path: &Path) -> Result<(), Refusal> {
        let connection = self.lock()?;
        let none = None::<fn(rusqlite::backup::Progress)>;
        connection.backup(rusqlite::MAIN_DB, path, none)?;
        Ok(())
    }

    /// Moves the write-ahead log into the database file.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn fold(&self) -> Result<(), Refusal> {
        let connection = self.lock()?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    /// Appends leaves; returns the number of the first.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn append(&self, leaves: &[NewLeaf], now: i64) -> Result<u64, Refusal> {
        self.transact(false, |transaction| {
            mark_time(transaction, now)?;
            append(transaction, leaves)
        })
    }

    /// Bytes of archived evidence.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn archived_bytes(&self) -> Result<u64, Refusal> {
        super::decide::archived_bytes(&*self.lock()?)
    }
}

/// The highest instant ever written; 0 when there is none.
pub(super) fn held_time(transaction: &Transaction<'_>) -> Result<i64, Refusal> {
    let sql = "SELECT value FROM meta WHERE key = 'time-high-water'";
    let mut statement = transaction.prepare_cached(sql)?;
    let held: Option<Vec<u8>> = statement.query_row([], |row| row.get(0)).optional()?;
    let held = held.and_then(|bytes| bytes.try_into().ok());
    Ok(held.map_or(0, i64::from_be_bytes))
}

/// Demands that an instant is not before the one on record.
pub(super) fn not_before(held: i64, now: i64) -> Result<(), Refusal> {
    if now >= held.saturating_sub(SKEW_SECS_MAX) {
        return Ok(());
    }
    let refusal = Refusal::new("time.jump", 503, "the clock is behind what is on record");
    Err(refusal.difference(now.to_string(), format!("not before {held}")))
}

pub(super) fn set_time(transaction: &Transaction<'_>, now: i64) -> Result<(), Refusal> {
    let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('time-high-water', ?1)";
    let mut statement = transaction.prepare_cached(sql)?;
    statement.execute([now.to_be_bytes().as_slice()])?;
    Ok(())
}

/// Keeps the highest instant ever written, and refuses to write before it.
pub(super) fn mark_time(transaction: &Transaction<'_>, now: i64) -> Result<(), Refusal> {
    let held = held_time(transaction)?;
    not_before(held, now)?;
    set_time(transaction, now.max(held))
}

/// Appends leaves; their numbers have no gap because only this function and [`super::decide`] give
/// them, the next one each time.
pub(super) fn append(transaction: &Transaction<'_>, leaves: &[NewLeaf]) -> Result<u64, Refusal> {
    let first = super::decide::next_leaf(transaction)?;
    for (number, leaf) in (first..).zip(leaves) {
        append_one(transaction, number, leaf)?;
    }
    u64::try_from(first).map_err(|error| Refusal::store(&error))
}

/// Writes one leaf with what opens it.
pub(super) fn append_one(
    transaction: &Transaction<'_>,
    number: i64,
    leaf: &NewLeaf,
) -> Result<(), Refusal> {
    let sql = "INSERT INTO leaves (number, entry) VALUES (?1, ?2)";
    let mut statement = transaction.prepare_cached(sql)?;
    statement.execute(params![number, leaf.entry])?;
    let sql = "INSERT INTO openings (leaf, label, salt, value) VALUES (?1, ?2, ?3, ?4)";
    let mut statement = transaction.prepare_cached(sql)?;
    for Opening { label, salt, value } in &leaf.openings {
        statement.execute(params![number, label, salt.as_slice(), value])?;
    }
    Ok(())
}

pub(super) fn epoch(connection: &Connection, tenant: &str) -> Result<u64, Refusal> {
    let sql = "SELECT epoch FROM tenants WHERE name = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found: Option<i64> = statement.query_row([tenant], |row| row.get(0)).optional()?;
    let unknown = || Refusal::new(TENANT_UNKNOWN, 404, "this witness knows no such tenant");
    u64::try_from(found.ok_or_else(unknown)?).map_err(|error| Refusal::store(&error))
}

pub(super) fn next_epoch(transaction: &Transaction<'_>, tenant: &str) -> Result<(), Refusal> {
    let sql = "UPDATE tenants SET epoch = epoch + 1 WHERE name = ?1";
    transaction.execute(sql, [tenant])?;
    Ok(())
}

impl Ledger for Sqlite {
    fn epoch(&self, tenant: &str) -> Result<u64, Refusal> {
        if let Some(held) = self.known().epochs.get(tenant) {
            return Ok(*held);
        }
        // Until the connection is let go nobody changes what was read.
        let connection = self.lock()?;
        let held = epoch(&connection, tenant)?;
        self.known().epochs.insert(tenant.to_owned(), held);
        Ok(held)
    }

    fn commit(&self, decision: &Decision) -> Result<u64, Refusal> {
        let (first, durable) = self.transact(false, |transaction| {
            let mut batch = Batch::begin(self, transaction)?;
            let first = batch.decide(decision)??;
            Ok((first, batch.end()?))
        })?;
        if let Ok(mut seen) = self.seen.lock() {
            durable.remember(&mut seen);
        }
        Ok(first)
    }
}

impl Shelf for Sqlite {
    fn tenants(&self) -> Result<Vec<String>, Refusal> {
        let connection = self.lock()?;
        let mut statement = connection.prepare("SELECT name FROM tenants ORDER BY name")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn recovered_at(&self) -> Result<Option<i64>, Refusal> {
        Ok(crate::recovery::recovered(self)?.map(|recovered| recovered.at))
    }

    fn documents(&self, tenant: &str) -> Result<(u64, Vec<DocumentRow>), Refusal> {
        let mut connection = self.lock()?;
        let transaction = connection.transaction()?;
        let epoch = epoch(&transaction, tenant)?;
        let mut statement = transaction.prepare(
            "SELECT kind, name, version, json FROM documents
             WHERE tenant = ?1 AND length(json) > 0 ORDER BY kind, name",
        )?;
        let rows = statement.query_map([tenant], |row| {
            Ok(DocumentRow {
                tenant: tenant.to_owned(),
                kind: row.get(0)?,
                name: row.get(1)?,
                version: row.get(2)?,
                json: row.get(3)?,
            })
        })?;
        let rows = rows.collect::<Result<_, _>>()?;
        Ok((epoch, rows))
    }

    fn retire_document(
        &self,
        (tenant, kind, name): (&str, Kind, &str),
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<bool, Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            epoch(transaction, tenant)?;
            let count = transaction.execute(
                "UPDATE documents SET json = x''
                 WHERE tenant = ?1 AND kind = ?2 AND name = ?3 AND length(json) > 0",
                params![tenant, kind.as_str(), name],
            )?;
            if count > 0 {
                append(transaction, std::slice::from_ref(leaf))?;
                next_epoch(transaction, tenant)?;
            }
            Ok(count > 0)
        })
    }

    fn retired(&self, tenant: &str) -> Result<Vec<(String, String, i64)>, Refusal> {
        let connection = self.lock()?;
        let mut statement = connection.prepare(
            "SELECT kind, name, version FROM documents
             WHERE tenant = ?1 AND length(json) = 0 ORDER BY kind, name",
        )?;
        let rows =
            statement.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn put_document(
        &self,
        document: &DocumentRow,
        leaf: Option<&NewLeaf>,
        now: i64,
    ) -> Result<(), Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            epoch(transaction, &document.tenant)?;
            let changed = transaction.execute(
                "INSERT INTO documents (tenant, kind, name, version, json)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (tenant, kind, name) DO UPDATE
                 SET version = excluded.version, json = excluded.json
                 WHERE excluded.version > version",
                params![
                    document.tenant,
                    document.kind,
                    document.name,
                    document.version,
                    document.json
                ],
            )?;
            if changed == 0 {
                let because = "a newer version of this document is held already";
                return Err(Refusal::new("document.version", 403, because));
            }
            if document.kind == Kind::OwnerSet.as_str() {
                // Twenty digits: by name is by version then.
                transaction.execute(
                    "INSERT INTO documents (tenant, kind, name, version, json)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        document.tenant,
                        SUCCESSION,
                        format!("{:020}", document.version),
                        document.version,
                        document.json
                    ],
                )?;
            }
            if let Some(leaf) = leaf {
                append(transaction, std::slice::from_ref(leaf))?;
            }
            next_epoch(transaction, &document.tenant)
        })
    }
}

impl Entries for Sqlite {
    fn published(&self) -> Result<Option<Published>, Refusal> {
        let last = published(&*self.lock()?)?;
        Ok(Some(last).filter(|last| *last != Published::of_nothing()))
    }

    fn entries(&self, from: u64, limit: u32) -> Result<Vec<Vec<u8>>, Refusal> {
        entries(&*self.lock()?, from, limit)
    }

    fn decide(
        &self,
        decisions: &[&Decision],
        limit: u32,
        head: &mut Head<'_>,
    ) -> Result<Vec<Result<u64, Refusal>>, Refusal> {
        let (done, durable) = self.transact(false, |transaction| {
            let last = published(transaction)?;
            let end = last.size.saturating_add(u64::from(limit));
            let mut batch = Batch::begin(self, transaction)?;
            let mut done = Vec::new();
            for decision in decisions {
                if !batch.has_room(decision, end) {
                    break;
                }
                done.push(batch.decide(decision)?);
            }
            let durable = batch.end()?;
            let checkpoint = head(&last, entries(transaction, last.size, limit)?)?;
            let size = i64::try_from(checkpoint.size).map_err(|error| Refusal::store(&error))?;
            let sql =
                "INSERT OR REPLACE INTO checkpoint (one, size, root, note) VALUES (1, ?1, ?2, ?3)";
            let mut statement = transaction.prepare_cached(sql)?;
            statement.execute(params![size, checkpoint.root.as_slice(), checkpoint.note])?;
            Ok((done, durable))
        })?;
        if let Ok(mut seen) = self.seen.lock() {
            durable.remember(&mut seen);
        }
        Ok(done)
    }
}

/// The last checkpoint that was signed, or that of a log without entries.
fn published(connection: &Connection) -> Result<Published, Refusal> {
    let mut statement = connection.prepare_cached("SELECT size, root, note FROM checkpoint")?;
    let row: Option<(i64, Vec<u8>, String)> = statement
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((size, root, note)) = row else {
        return Ok(Published::of_nothing());
    };
    let broken = || Refusal::store(&"the stored checkpoint is not one");
    Ok(Published {
        size: u64::try_from(size).map_err(|_| broken())?,
        root: root.try_into().map_err(|_| broken())?,
        note,
    })
}

fn entries(connection: &Connection, from: u64, limit: u32) -> Result<Vec<Vec<u8>>, Refusal> {
    let from = i64::try_from(from).map_err(|error| Refusal::store(&error))?;
    let sql = "SELECT number, entry FROM leaves WHERE number >= ?1 ORDER BY number LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![from, limit], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?))
    })?;
    let mut entries = Vec::new();
    for (wanted, row) in (from..).zip(rows) {
        let (number, entry) = row?;
        if number != wanted {
            let because = "a leaf is missing in the database";
            return Err(Refusal::new("log.rollback", 503, because)
                .difference(number.to_string(), wanted.to_string()));
        }
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::session::VerdictRow;
    use crate::told::Told;
    use std::sync::Arc;
    use zeuge_protocol::challenge::SPENT;

    pub(in crate::store) fn store() -> (tempfile::TempDir, Arc<Sqlite>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("db")).unwrap();
        store.add_tenant("sim").unwrap();
        (folder, Arc::new(store))
    }

    fn leaf() -> NewLeaf {
        let opening = crate::sequencer::salted("actor", b"ada");
        let leaf = Leaf::OperatorAction {
            action: "test".to_owned(),
            actor: opening.commit(),
        };
        NewLeaf::new(leaf, vec![opening]).unwrap()
    }

    pub(in crate::store) fn decision(nonce: u8, now: i64) -> Decision {
        Decision {
            now,
            nonce: [nonce; 32],
            expires: 1000,
            tenant: "sim".to_owned(),
            epoch: 1,
            leaves: vec![leaf(), leaf()],
            endorsements: Vec::new(),
            verdict: VerdictRow {
                machine: "m".to_owned(),
                word: "affirming".to_owned(),
                released: "[]".to_owned(),
                json: "{}".to_owned(),
                told: Arc::new(Told::of(String::new())),
                record: "{}".to_owned(),
            },
            evidence: Evidence {
                bytes: vec![nonce],
                shared: None,
            },
            room: None,
            stand: None,
        }
    }

    pub(in crate::store) fn check(done: Result<u64, Refusal>) -> &'static str {
        done.unwrap_err().check
    }

    #[test]
    fn of_many_at_once_with_one_nonce_exactly_one_is_written() {
        let (_folder, store) = store();
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                std::thread::spawn(move || store.commit(&decision(1, 10)))
            })
            .collect();
        let done: Vec<_> = threads.into_iter().map(|one| one.join().unwrap()).collect();
        assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
        let refused = done.into_iter().filter(Result::is_err);
        assert!(refused.map(check).all(|check| check == SPENT));
        assert_eq!(store.entries(0, 100).unwrap().len(), 2);
    }

    #[test]
    fn what_is_refused_in_the_transaction_leaves_nothing_behind() {
        let (_folder, store) = store();
        assert_eq!(check(store.commit(&decision(1, 1000))), "challenge.expired");
        let other_epoch = Decision {
            epoch: 2,
            ..decision(1, 10)
        };
        assert_eq!(check(store.commit(&other_epoch)), "release.epoch");
        let stranger = Decision {
            tenant: "nobody".to_owned(),
            ..decision(1, 10)
        };
        assert_eq!(check(store.commit(&stranger)), "tenant.unknown");
        assert_eq!(store.high_water(), Ok(0));
        assert!(store.entries(0, 100).unwrap().is_empty());
        // The nonce is still good.
        assert_eq!(store.commit(&decision(1, 10)), Ok(0));
        assert_eq!(check(store.commit(&decision(2, -21))), "time.jump");
        assert_eq!(store.commit(&decision(2, -20)), Ok(2));
    }

    #[test]
    fn a_nonce_is_kept_until_its_challenge_cannot_count_any_more() {
        let (_folder, store) = store();
        store.commit(&decision(1, 10)).unwrap();
        let later = Decision {
            expires: 5000,
            ..decision(2, 1060)
        };
        store.commit(&later).unwrap();
        let spent = |store: &Sqlite| -> i64 {
            let connection = store.lock().unwrap();
            let sql = "SELECT COUNT(*) FROM spent";
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(spent(&store), 2);
        let last = Decision {
            expires: 5000,
            ..decision(3, 1061)
        };
        store.commit(&last).unwrap();
        assert_eq!(spent(&store), 2);
    }
}
