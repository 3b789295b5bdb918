//! The tables, and what older builds made otherwise.

use rusqlite::{Connection, OptionalExtension as _};

/// Tables as they are made. What is written with every decision lies in the order in which it is
/// written: `leaf`, `id` and `expires` count up, so that a batch touches few pages.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tenants (name TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS spent (nonce BLOB NOT NULL, expires INTEGER NOT NULL,
  PRIMARY KEY (expires, nonce)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaves (number INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS openings (leaf INTEGER NOT NULL, label TEXT NOT NULL, salt BLOB NOT NULL,
  value BLOB NOT NULL, PRIMARY KEY (leaf, label)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checkpoint (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL,
  root BLOB NOT NULL, note TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS documents (tenant TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  version INTEGER NOT NULL, json BLOB NOT NULL, PRIMARY KEY (tenant, kind, name)) STRICT;
CREATE TABLE IF NOT EXISTS secrets (tenant TEXT NOT NULL, path TEXT NOT NULL, version INTEGER NOT NULL,
  manifest BLOB NOT NULL, payload BLOB NOT NULL, share BLOB NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, path, version)) STRICT;
CREATE TABLE IF NOT EXISTS verdicts (leaf INTEGER PRIMARY KEY, time INTEGER NOT NULL, tenant TEXT NOT NULL,
  machine TEXT NOT NULL, word TEXT NOT NULL, released TEXT NOT NULL, json TEXT NOT NULL,
  record TEXT, assessment BLOB, evidence INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS appraisals (leaf INTEGER PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS assessments (digest BLOB PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS archived (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL, at INTEGER,
  shared BLOB) STRICT;
CREATE TABLE IF NOT EXISTS endorsements (fingerprint BLOB PRIMARY KEY, leaf INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tokens (tenant TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL,
  hash BLOB NOT NULL UNIQUE, expires INTEGER NOT NULL, PRIMARY KEY (tenant, name)) STRICT;
CREATE TABLE IF NOT EXISTS enrolments (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, ak_name BLOB NOT NULL,
  expires INTEGER NOT NULL, json TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS tpm_clocks (tenant TEXT NOT NULL, machine TEXT NOT NULL, ak BLOB NOT NULL,
  stand BLOB NOT NULL, PRIMARY KEY (tenant, machine, ak)) STRICT;
CREATE TABLE IF NOT EXISTS stops (tenant TEXT NOT NULL, name TEXT NOT NULL, scope TEXT NOT NULL,
  machine TEXT NOT NULL, because TEXT NOT NULL, since INTEGER NOT NULL,
  PRIMARY KEY (tenant, name, scope, machine)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waivers (tenant TEXT NOT NULL, digest BLOB NOT NULL, leaf INTEGER NOT NULL,
  json BLOB NOT NULL, PRIMARY KEY (tenant, digest)) STRICT, WITHOUT ROWID;
";

/// Columns that came later: table, name, type.
const COLUMNS: [(&str, &str, &str); 5] = [
    ("archived", "at", "INTEGER"),
    ("archived", "shared", "BLOB"),
    ("verdicts", "record", "TEXT"),
    ("verdicts", "assessment", "BLOB"),
    ("verdicts", "evidence", "INTEGER"),
];
/// Tables that were made with a row number beside their key, and their columns.
const REORDERED: [(&str, &str); 2] = [
    ("spent", "nonce, expires"),
    ("openings", "leaf, label, salt, value"),
];

/// Makes what is missing, in one transaction.
pub(super) fn make(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for (table, _) in REORDERED {
        let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let held: Option<String> = transaction
            .query_row(sql, [table], |row| row.get(0))
            .optional()?;
        if held.is_some_and(|held| !held.contains("WITHOUT ROWID")) {
            transaction.execute_batch(&format!("ALTER TABLE {table} RENAME TO {table}_before"))?;
        }
    }
    transaction.execute_batch(TABLES)?;
    for (table, columns) in REORDERED {
        let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)";
        let before: bool =
            transaction.query_row(sql, [format!("{table}_before")], |row| row.get(0))?;
        if before {
            transaction.execute_batch(&format!(
                "INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}_before;
                 DROP TABLE {table}_before;"
            ))?;
        }
    }
    for (table, column, kind) in COLUMNS {
        let sql = "SELECT EXISTS (SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2)";
        let is_there: bool = transaction.query_row(sql, [table, column], |row| row.get(0))?;
        if !is_there {
            transaction
                .execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_an_older_build_keeps_what_it_held() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE spent (nonce BLOB PRIMARY KEY, expires INTEGER NOT NULL) STRICT;
                 CREATE TABLE openings (leaf INTEGER NOT NULL, label TEXT NOT NULL, salt BLOB NOT NULL,
                   value BLOB NOT NULL, PRIMARY KEY (leaf, label)) STRICT;
                 CREATE TABLE verdicts (leaf INTEGER PRIMARY KEY, time INTEGER NOT NULL, tenant TEXT NOT NULL,
                   machine TEXT NOT NULL, word TEXT NOT NULL, released TEXT NOT NULL, json TEXT NOT NULL) STRICT;
                 INSERT INTO spent VALUES (x'01', 7);
                 INSERT INTO openings VALUES (3, 'tenant', x'02', x'03');
                 INSERT INTO verdicts VALUES (3, 1, 't', 'm', 'affirming', '[]', '{}');",
            )
            .unwrap();
        for _ in 0..2 {
            make(&mut connection).unwrap();
            let count =
                |sql: &str| -> i64 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
            assert_eq!(count("SELECT expires FROM spent WHERE nonce = x'01'"), 7);
            assert_eq!(count("SELECT leaf FROM openings WHERE value = x'03'"), 3);
            assert_eq!(
                count("SELECT COUNT(*) FROM verdicts WHERE record IS NULL"),
                1
            );
            assert_eq!(
                count("SELECT COUNT(*) FROM sqlite_schema WHERE name LIKE '%_before'"),
                0
            );
        }
    }
}
