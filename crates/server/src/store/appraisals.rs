//! What each verdict depended on, by the number of its leaf.

use rusqlite::{OptionalExtension as _, params};
use zeuge_log::commitment::Opening;

use super::Sqlite;
use crate::archive::Evidence;
use crate::refusal::Refusal;
use crate::told::whole;

/// One verdict with what it depended on.
#[derive(Debug)]
pub struct AppraisalRow {
    /// The number of its leaf.
    pub leaf: u64,
    /// The leaf's entry.
    pub entry: Vec<u8>,
    /// What it depended on, as JSON; `None` for verdicts of builds that did not keep it.
    pub record: Option<String>,
    /// `zeuge.verdict.v1`.
    pub verdict: String,
    /// The evidence; `None` where it was archived as a file.
    pub evidence: Option<Evidence>,
    /// What opens the leaf's commitments.
    pub openings: Vec<Opening>,
}

impl Sqlite {
    /// The newest verdict of a tenant's machine, or that of this leaf.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn appraisal(
        &self,
        tenant: &str,
        machine: &str,
        leaf: Option<u64>,
    ) -> Result<Option<AppraisalRow>, Refusal> {
        let connection = self.lock()?;
        let wanted = leaf.map(|leaf| i64::try_from(leaf).unwrap_or(i64::MAX));
        let sql = "SELECT verdicts.leaf, leaves.entry,
               COALESCE(verdicts.record, appraisals.record), verdicts.json, assessments.text,
               archived.bytes, archived.at, archived.shared
             FROM verdicts JOIN leaves ON leaves.number = verdicts.leaf
             LEFT JOIN appraisals ON appraisals.leaf = verdicts.leaf
             LEFT JOIN assessments ON assessments.digest = verdicts.assessment
             LEFT JOIN archived ON archived.id = verdicts.evidence
             WHERE verdicts.tenant = ?1 AND verdicts.machine = ?2
               AND (?3 IS NULL OR verdicts.leaf = ?3)
             ORDER BY verdicts.leaf DESC LIMIT 1";
        let found = connection
            .query_row(sql, params![tenant, machine, wanted], |row| {
                let alone: String = row.get(3)?;
                let told: Option<String> = row.get(4)?;
                Ok(AppraisalRow {
                    leaf: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
                    entry: row.get(1)?,
                    record: row.get(2)?,
                    verdict: match told {
                        Some(told) => whole(&alone, &told),
                        None => alone,
                    },
                    evidence: super::decide::evidence(row, 5)?,
                    openings: Vec::new(),
                })
            })
            .optional()?;
        let Some(mut found) = found else {
            return Ok(None);
        };
        let mut statement = connection
            .prepare("SELECT label, salt, value FROM openings WHERE leaf = ?1 ORDER BY label")?;
        let number = i64::try_from(found.leaf).unwrap_or(i64::MAX);
        let openings = statement.query_map([number], |row| {
            Ok(Opening {
                label: row.get(0)?,
                salt: row.get(1)?,
                value: row.get(2)?,
            })
        })?;
        found.openings = openings.collect::<Result<_, _>>()?;
        Ok(Some(found))
    }
}
