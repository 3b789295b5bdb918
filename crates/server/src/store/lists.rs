//! What people look at: verdicts and machines as rows of JSON. Reads only.

use rusqlite::params;

use crate::refusal::Refusal;
use crate::store::Sqlite;
use crate::told::whole;

impl Sqlite {
    /// The newest verdicts of a tenant, or of all, as rows of JSON; newest first.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn verdicts(
        &self,
        tenant: Option<&str>,
        limit: u32,
    ) -> Result<Vec<serde_json::Value>, Refusal> {
        let connection = self.lock()?;
        let mut statement = connection.prepare(
            "SELECT leaf, time, tenant, machine, word, released, json, text FROM verdicts
             LEFT JOIN assessments ON digest = assessment
             WHERE ?1 IS NULL OR tenant = ?1 ORDER BY leaf DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![tenant, limit], verdict_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The verdicts of a tenant, or of all, whose leaves are `from` to below `below`; oldest first,
    /// each with its leaf.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn verdicts_between(
        &self,
        tenant: Option<&str>,
        (from, below): (u64, u64),
        limit: u32,
    ) -> Result<Vec<(u64, serde_json::Value)>, Refusal> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let connection = self.lock()?;
        let mut statement = connection.prepare(
            "SELECT leaf, time, tenant, machine, word, released, json, text FROM verdicts
             LEFT JOIN assessments ON digest = assessment
             WHERE leaf >= ?1 AND leaf < ?2 AND (?3 IS NULL OR tenant = ?3)
             ORDER BY leaf LIMIT ?4",
        )?;
        let bounds = params![number(from), number(below), tenant, limit];
        let rows = statement.query_map(bounds, |row| {
            let leaf = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
            Ok((leaf, verdict_row(row)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Each machine with its newest verdict and the number of its verdicts.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn machines(
        &self,
        tenant: Option<&str>,
        limit: u32,
    ) -> Result<Vec<serde_json::Value>, Refusal> {
        let connection = self.lock()?;
        // SQLite takes the bare columns from the row of the maximum.
        let mut statement = connection.prepare(
            "SELECT tenant, machine, word, MAX(leaf), time, COUNT(*) FROM verdicts
             WHERE ?1 IS NULL OR tenant = ?1 GROUP BY tenant, machine ORDER BY 4 DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![tenant, limit], |row| {
            Ok(serde_json::json!({
                "tenant": row.get::<_, String>(0)?,
                "machine": row.get::<_, String>(1)?,
                "word": row.get::<_, String>(2)?,
                "leaf": row.get::<_, i64>(3)?,
                "time": row.get::<_, i64>(4)?,
                "verdicts": row.get::<_, i64>(5)?,
            }))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A row of verdicts in JSON.
fn verdict_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<serde_json::Value> {
    let json = |text: String| serde_json::from_str(&text).unwrap_or_default();
    let released: serde_json::Value = json(row.get(5)?);
    let told: Option<String> = row.get(7)?;
    let alone: String = row.get(6)?;
    let verdict: serde_json::Value = json(match told {
        Some(told) => whole(&alone, &told),
        None => alone,
    });
    Ok(serde_json::json!({
        "leaf": row.get::<_, i64>(0)?,
        "time": row.get::<_, i64>(1)?,
        "tenant": row.get::<_, String>(2)?,
        "machine": row.get::<_, String>(3)?,
        "word": row.get::<_, String>(4)?,
        "released": released,
        "verdict": verdict,
    }))
}
