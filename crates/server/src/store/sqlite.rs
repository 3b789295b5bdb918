//! The database. One connection behind one lock: writers are serial by nature, and every write is
//! one `BEGIN IMMEDIATE` transaction that is on disk when the call returns.
//!
//! Never decides anything but what must be decided inside a transaction: is the challenge spent,
//! are epochs and versions as the caller saw them, which number has the next leaf.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params,
};
use zeuge_log::commitment::Opening;
use zeuge_log::leaf::Leaf;
use zeuge_protocol::challenge::SPENT;
use zeuge_protocol::document::Kind;

use crate::clock::SKEW_SECS_MAX;
use crate::documents::{DocumentRow, SUCCESSION, Shelf};
use crate::endorsements::FirstSeen;
use crate::refusal::Refusal;
use crate::sequencer::{Entries, NewLeaf, Published};
use crate::session::{Decision, Ledger, VerdictRow};
use crate::witness::TENANT_UNKNOWN;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tenants (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS spent (nonce BLOB PRIMARY KEY, expires INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS leaves (number INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS openings (leaf INTEGER NOT NULL, label TEXT NOT NULL, salt BLOB NOT NULL,
  value BLOB NOT NULL, PRIMARY KEY (leaf, label)) STRICT;
CREATE TABLE IF NOT EXISTS checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL,
  root BLOB NOT NULL, note TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS documents (tenant TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  version INTEGER NOT NULL, json BLOB NOT NULL, PRIMARY KEY (tenant, kind, name)) STRICT;
CREATE TABLE IF NOT EXISTS secrets (tenant TEXT NOT NULL, path TEXT NOT NULL, version INTEGER NOT NULL,
  manifest BLOB NOT NULL, payload BLOB NOT NULL, share BLOB NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, path, version)) STRICT;
CREATE TABLE IF NOT EXISTS verdicts (leaf INTEGER PRIMARY KEY, time INTEGER NOT NULL, tenant TEXT NOT NULL,
  machine TEXT NOT NULL, word TEXT NOT NULL, released TEXT NOT NULL, json TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS appraisals (leaf INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS endorsements (fingerprint BLOB PRIMARY KEY, leaf INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tokens (tenant TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL, PRIMARY KEY (tenant, name)) STRICT;
CREATE TABLE IF NOT EXISTS enrolments (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, ak_name BLOB NOT NULL,
  expires INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tpm_clocks (tenant TEXT NOT NULL, machine TEXT NOT NULL, ak BLOB NOT NULL,
  stand BLOB NOT NULL, PRIMARY KEY (tenant, machine, ak)) STRICT;
";

/// How long a connection waits for another one's write.
const BUSY: Duration = Duration::from_secs(5);

/// The database.
#[derive(Debug)]
pub struct Sqlite {
    connection: Mutex<Connection>,
    /// Whether a write failed since somebody asked.
    has_failed: AtomicBool,
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
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        connection.busy_timeout(BUSY)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self {
            connection: Mutex::new(connection),
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

    /// Runs the body as one transaction; nothing of it stays when it refuses.
    pub(super) fn write<T>(
        &self,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let write = || {
            let mut connection = self.lock()?;
            let immediate = TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(immediate)?;
            let out = body(&transaction)?;
            transaction.commit()?;
            Ok(out)
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

    /// SHA-256 of the evidence behind this leaf; `None` where it is no verdict.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn evidence_of(&self, leaf: u64) -> Result<Option<[u8; 32]>, Refusal> {
        let number = i64::try_from(leaf).unwrap_or(i64::MAX);
        let entry: Option<Vec<u8>> = self
            .lock()?
            .query_row(
                "SELECT entry FROM leaves WHERE number = ?1",
                [number],
                |row| row.get(0),
            )
            .optional()?;
        let leaf = entry.and_then(|entry| Leaf::decode(&entry).ok());
        Ok(leaf.and_then(|leaf| match leaf {
            Leaf::Verdict { evidence, .. } => Some(evidence),
            _ => None,
        }))
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
        self.write(|transaction| {
            mark_time(transaction, now)?;
            append(transaction, leaves)
        })
    }
}

/// Keeps the highest instant ever written, and refuses to write before it.
pub(super) fn mark_time(transaction: &Transaction<'_>, now: i64) -> Result<(), Refusal> {
    let sql = "SELECT value FROM meta WHERE key = 'time-high-water'";
    let held: Option<Vec<u8>> = transaction
        .query_row(sql, [], |row| row.get(0))
        .optional()?;
    let held = held
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, i64::from_be_bytes);
    if now < held.saturating_sub(SKEW_SECS_MAX) {
        let refusal = Refusal::new("time.jump", 503, "the clock is behind what is on record");
        return Err(refusal.difference(now.to_string(), format!("not before {held}")));
    }
    transaction.execute(
        "INSERT OR REPLACE INTO meta (key, value) VALUES ('time-high-water', ?1)",
        params![now.max(held).to_be_bytes().as_slice()],
    )?;
    Ok(())
}

/// Appends leaves; their numbers have no gap because only this function gives them.
pub(super) fn append(transaction: &Transaction<'_>, leaves: &[NewLeaf]) -> Result<u64, Refusal> {
    let sql = "SELECT COALESCE(MAX(number), -1) + 1 FROM leaves";
    let first: i64 = transaction.query_row(sql, [], |row| row.get(0))?;
    for (number, leaf) in (first..).zip(leaves) {
        transaction.execute(
            "INSERT INTO leaves (number, entry) VALUES (?1, ?2)",
            params![number, leaf.entry],
        )?;
        for Opening { label, salt, value } in &leaf.openings {
            transaction.execute(
                "INSERT INTO openings (leaf, label, salt, value) VALUES (?1, ?2, ?3, ?4)",
                params![number, label, salt.as_slice(), value],
            )?;
        }
    }
    u64::try_from(first).map_err(|error| Refusal::store(&error))
}

/// Writes the leaves of endorsements that were never seen before.
fn first_seen(transaction: &Transaction<'_>, endorsements: &[FirstSeen]) -> Result<(), Refusal> {
    for FirstSeen { fingerprint, leaf } in endorsements {
        let known: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM endorsements WHERE fingerprint = ?1)",
            [fingerprint.as_slice()],
            |row| row.get(0),
        )?;
        if known {
            continue;
        }
        let number = append(transaction, std::slice::from_ref(leaf))?;
        transaction.execute(
            "INSERT INTO endorsements (fingerprint, leaf) VALUES (?1, ?2)",
            params![
                fingerprint.as_slice(),
                i64::try_from(number).unwrap_or(i64::MAX)
            ],
        )?;
    }
    Ok(())
}

pub(super) fn epoch(connection: &Connection, tenant: &str) -> Result<u64, Refusal> {
    let sql = "SELECT epoch FROM tenants WHERE name = ?1";
    let found: Option<i64> = connection
        .query_row(sql, [tenant], |row| row.get(0))
        .optional()?;
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
        epoch(&*self.lock()?, tenant)
    }

    fn commit(&self, decision: &Decision) -> Result<u64, Refusal> {
        self.write(|transaction| {
            mark_time(transaction, decision.now)?;
            if decision.now >= decision.expires {
                let refusal = Refusal::new(
                    "challenge.expired",
                    403,
                    "the challenge expired while the evidence was judged",
                );
                return Err(refusal.difference(
                    decision.now.to_string(),
                    format!("before {}", decision.expires),
                ));
            }
            // Long gone ones cannot pass the check above, so they may be forgotten.
            let gone = decision.now.saturating_sub(SKEW_SECS_MAX.saturating_mul(2));
            transaction.execute("DELETE FROM spent WHERE expires < ?1", [gone])?;
            let spent = transaction.execute(
                "INSERT OR IGNORE INTO spent (nonce, expires) VALUES (?1, ?2)",
                params![decision.nonce.as_slice(), decision.expires],
            )?;
            if spent == 0 {
                let because = "this challenge was answered before; ask for a new one";
                let refusal = Refusal::new(SPENT, 403, because);
                return Err(refusal.difference(hex::encode(decision.nonce), "an unused nonce"));
            }
            let held = epoch(transaction, &decision.tenant)?;
            if held != decision.epoch {
                let because = "the owners' documents changed while the evidence was judged";
                let refusal = Refusal::new("release.epoch", 503, because).retry_after(1);
                return Err(refusal.difference(decision.epoch.to_string(), held.to_string()));
            }
            if let Some(stand) = &decision.stand {
                super::clocks::mark(transaction, stand)?;
            }
            let first = append(transaction, &decision.leaves)?;
            first_seen(transaction, &decision.endorsements)?;
            let VerdictRow {
                machine,
                word,
                released,
                json,
                record,
            } = &decision.verdict;
            super::appraisals::keep(transaction, first, record)?;
            transaction.execute(
                "INSERT INTO verdicts (leaf, time, tenant, machine, word, released, json)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    i64::try_from(first).unwrap_or(i64::MAX),
                    decision.now,
                    decision.tenant,
                    machine,
                    word,
                    released,
                    json
                ],
            )?;
            Ok(first)
        })
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
        let connection = self.lock()?;
        let sql = "SELECT size, root, note FROM checkpoint";
        let row: Option<(i64, Vec<u8>, String)> = connection
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(size, root, note)| {
            let broken = || Refusal::store(&"the stored checkpoint is not one");
            Ok(Published {
                size: u64::try_from(size).map_err(|_| broken())?,
                root: root.try_into().map_err(|_| broken())?,
                note,
            })
        })
        .transpose()
    }

    fn entries(&self, from: u64, limit: u32) -> Result<Vec<Vec<u8>>, Refusal> {
        let from = i64::try_from(from).map_err(|error| Refusal::store(&error))?;
        let connection = self.lock()?;
        let mut statement = connection.prepare(
            "SELECT number, entry FROM leaves WHERE number >= ?1 ORDER BY number LIMIT ?2",
        )?;
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

    fn publish(&self, checkpoint: &Published) -> Result<(), Refusal> {
        let size = i64::try_from(checkpoint.size).map_err(|error| Refusal::store(&error))?;
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO checkpoint (one, size, root, note) VALUES (1, ?1, ?2, ?3)",
                params![size, checkpoint.root.as_slice(), checkpoint.note],
            )?;
            Ok(())
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Arc;

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
                record: "{}".to_owned(),
            },
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
