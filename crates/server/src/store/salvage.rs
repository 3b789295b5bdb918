//! What recovery reads and changes in the database.

use rusqlite::{Transaction, params};

use super::sqlite::{Sqlite, append, mark_time};
use crate::recovery::{Reopening, Salvage};
use crate::refusal::Refusal;

impl Salvage for Sqlite {
    fn unbroken(&self) -> Result<u64, Refusal> {
        // The first number that is not there, from 0 on.
        let sql = "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM leaves WHERE number = 0) THEN 0
             ELSE (SELECT MIN(number) + 1 FROM leaves AS one
                   WHERE NOT EXISTS (SELECT 1 FROM leaves WHERE number = one.number + 1)
                     AND number >= 0) END";
        let count: i64 = self.lock()?.query_row(sql, [], |row| row.get(0))?;
        u64::try_from(count).map_err(|error| Refusal::store(&error))
    }

    fn reopen(&self, reopening: &Reopening<'_>) -> Result<(), Refusal> {
        let keep = i64::try_from(reopening.keep).map_err(|error| Refusal::store(&error))?;
        self.write(|transaction| {
            mark_time(transaction, reopening.now)?;
            transaction.execute(
                "DELETE FROM leaves WHERE number >= ?1 OR number < 0",
                [keep],
            )?;
            for table in about_leaves(transaction)? {
                let sql = format!("DELETE FROM {table} WHERE leaf >= ?1");
                transaction.execute(&sql, [keep])?;
            }
            transaction.execute_batch(
                "DELETE FROM checkpoint; DELETE FROM tokens;
                 UPDATE tenants SET epoch = epoch + 1; DELETE FROM meta WHERE key = 'halt';",
            )?;
            append(transaction, reopening.leaves)?;
            let origin = reopening.origin.as_bytes();
            for (key, value) in [("origin", origin), ("recovered", reopening.record)] {
                transaction.execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)",
                    params![key, value],
                )?;
            }
            Ok(())
        })
    }
}

/// The tables whose rows belong to leaves, by their column `leaf`: also those that come later.
fn about_leaves(transaction: &Transaction<'_>) -> Result<Vec<String>, Refusal> {
    let mut statement = transaction.prepare(
        "SELECT held.name FROM sqlite_schema AS held
         JOIN pragma_table_info(held.name) AS columns
         WHERE held.type = 'table' AND columns.name = 'leaf'",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_belongs_to_a_leaf_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("db")).unwrap();
        let mut tables = store.write(about_leaves).unwrap();
        tables.sort();
        assert_eq!(
            tables,
            [
                "appraisals",
                "endorsements",
                "openings",
                "verdicts",
                "waivers"
            ]
        );
    }
}
