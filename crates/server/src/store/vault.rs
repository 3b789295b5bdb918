//! Secrets in the database, sealed. Deleted rows stay as marks without a payload.

use rusqlite::{OptionalExtension as _, params};

use super::sqlite::{Known, Sqlite, append, epoch, mark_time, next_epoch};
use crate::refusal::Refusal;
use crate::secrets::{SecretRow, Vault};
use crate::sequencer::NewLeaf;

/// Bytes of sealed secrets that are remembered together.
const REMEMBERED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The same of one secret: a key, not a file.
const REMEMBERED_ONE_BYTES_MAX: usize = 64 * 1024;

impl Known {
    /// Remembers a row, sealed as it is; with too many bytes of them all are forgotten.
    fn keep(&mut self, key: (String, String, u64), row: &SecretRow) {
        let bytes = [&row.manifest, &row.payload, &row.share];
        let bytes = bytes
            .into_iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if bytes > REMEMBERED_ONE_BYTES_MAX {
            return;
        }
        if self.secrets_bytes.saturating_add(bytes) > REMEMBERED_BYTES_MAX {
            self.secrets.clear();
            self.secrets_bytes = 0;
        }
        if self.secrets.insert(key, row.clone()).is_none() {
            self.secrets_bytes = self.secrets_bytes.saturating_add(bytes);
        }
    }
}

impl Vault for Sqlite {
    fn put_secret(&self, secret: &SecretRow, leaf: &NewLeaf, now: i64) -> Result<(), Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            epoch(transaction, &secret.tenant)?;
            // Deleted rows stay as marks, so that an old version never comes back.
            let sql =
                "SELECT COALESCE(MAX(version), 0) FROM secrets WHERE tenant = ?1 AND path = ?2";
            let held: i64 =
                transaction.query_row(sql, [&secret.tenant, &secret.path], |row| row.get(0))?;
            if secret.version <= held {
                let because = "the versions of a secret count up";
                let refusal = Refusal::new("document.version", 403, because);
                return Err(refusal.difference(secret.version.to_string(), format!("above {held}")));
            }
            transaction.execute(
                "INSERT INTO secrets (tenant, path, version, manifest, payload, share)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    secret.tenant,
                    secret.path,
                    secret.version,
                    secret.manifest,
                    secret.payload,
                    secret.share
                ],
            )?;
            append(transaction, std::slice::from_ref(leaf))?;
            next_epoch(transaction, &secret.tenant)
        })
    }

    fn secret(&self, tenant: &str, path: &str, version: u64) -> Result<Option<SecretRow>, Refusal> {
        let Ok(wanted) = i64::try_from(version) else {
            return Ok(None);
        };
        let key = (tenant.to_owned(), path.to_owned(), version);
        if let Some(row) = self.known().secrets.get(&key) {
            return Ok(Some(row.clone()));
        }
        // Until the connection is let go nobody changes what was read.
        let connection = self.lock()?;
        let found = connection
            .query_row(
                "SELECT version, manifest, payload, share FROM secrets
                 WHERE tenant = ?1 AND path = ?2 AND deleted = 0 AND (?3 = 0 OR version = ?3)
                 ORDER BY version DESC LIMIT 1",
                params![tenant, path, wanted],
                |row| {
                    Ok(SecretRow {
                        tenant: tenant.to_owned(),
                        path: path.to_owned(),
                        version: row.get(0)?,
                        manifest: row.get(1)?,
                        payload: row.get(2)?,
                        share: row.get(3)?,
                    })
                },
            )
            .optional()?;
        if let Some(row) = &found {
            self.known().keep(key, row);
        }
        Ok(found)
    }

    fn secrets(&self, tenant: &str) -> Result<Vec<(String, i64, Vec<u8>)>, Refusal> {
        let connection = self.lock()?;
        epoch(&connection, tenant)?;
        let mut statement = connection.prepare(
            "SELECT path, version, manifest FROM secrets WHERE tenant = ?1 AND deleted = 0
             ORDER BY path, version",
        )?;
        let rows =
            statement.query_map([tenant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn delete_secret(
        &self,
        tenant: &str,
        path: &str,
        leaf: &NewLeaf,
        now: i64,
    ) -> Result<usize, Refusal> {
        self.write(|transaction| {
            mark_time(transaction, now)?;
            let count = transaction.execute(
                "UPDATE secrets SET deleted = 1, payload = x'', share = x''
                 WHERE tenant = ?1 AND path = ?2 AND deleted = 0",
                params![tenant, path],
            )?;
            if count > 0 {
                append(transaction, std::slice::from_ref(leaf))?;
                next_epoch(transaction, tenant)?;
            }
            Ok(count)
        })
    }
}
