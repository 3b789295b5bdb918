//! Figures of the database for whoever watches it. Reads only.

use crate::refusal::Refusal;
use crate::store::Sqlite;

impl Sqlite {
    /// How many leaves are committed.
    ///
    /// # Errors
    /// `store.unavailable`.
    pub fn leaves(&self) -> Result<u64, Refusal> {
        let sql = "SELECT COALESCE(MAX(number), -1) + 1 FROM leaves";
        let count: i64 = self.lock()?.query_row(sql, [], |row| row.get(0))?;
        u64::try_from(count).map_err(|error| Refusal::store(&error))
    }
}
