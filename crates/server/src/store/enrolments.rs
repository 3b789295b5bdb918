//! Activated TPMs that wait for their owners, in the database.

use rusqlite::params;

use super::sqlite::{Sqlite, epoch};
use crate::enrolment::{Queue, WAITING_MAX, WaitingRow, full};
use crate::refusal::Refusal;

impl Queue for Sqlite {
    fn wait(&self, row: &WaitingRow, now: i64) -> Result<(), Refusal> {
        self.write(|transaction| {
            epoch(transaction, &row.tenant)?;
            transaction.execute("DELETE FROM enrolments WHERE expires <= ?1", [now])?;
            let sql = "SELECT count(*) FROM enrolments WHERE id <> ?1";
            let held: i64 = transaction.query_row(sql, [&row.id], |row| row.get(0))?;
            if usize::try_from(held).unwrap_or(usize::MAX) >= WAITING_MAX {
                return Err(full());
            }
            transaction.execute(
                "INSERT OR REPLACE INTO enrolments (id, tenant, ak_name, expires, json)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![row.id, row.tenant, row.ak_name, row.expires, row.json],
            )?;
            Ok(())
        })
    }

    fn waiting(&self, tenant: &str, now: i64) -> Result<Vec<WaitingRow>, Refusal> {
        let connection = self.lock()?;
        let mut statement = connection.prepare(
            "SELECT id, ak_name, expires, json FROM enrolments
             WHERE tenant = ?1 AND expires > ?2 ORDER BY expires, id",
        )?;
        let rows = statement.query_map(params![tenant, now], |row| {
            Ok(WaitingRow {
                id: row.get(0)?,
                tenant: tenant.to_owned(),
                ak_name: row.get(1)?,
                expires: row.get(2)?,
                json: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
