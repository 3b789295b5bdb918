//! The truth: one SQLite database in the data folder, WAL, `synchronous=FULL`.
//!
//! The traits that it implements stand beside their users; nothing else knows SQL. Secrets lie in
//! it sealed only; deleted bytes are overwritten (`secure_delete`).

mod appraisals;
mod clocks;
mod decide;
mod enrolments;
mod lists;
mod measure;
mod register;
mod salvage;
mod schema;
pub mod sqlite;
mod stops;
mod vault;

pub use appraisals::AppraisalRow;
pub use sqlite::Sqlite;

use crate::refusal::Refusal;

/// The store cannot be read or written.
pub const UNAVAILABLE: &str = "store.unavailable";
/// The ids of this module.
pub const CHECKS: &[&str] = &["store.unavailable"];

const DAMAGED: &str = "the database is damaged. Stop the witness, keep its folder, restore the newest \
                       backup and recover it";

/// The refusal of a database whose pages do not fit together; what was found goes to the log.
#[must_use]
pub fn damaged(found: &str) -> Refusal {
    tracing::error!(check = UNAVAILABLE, found, "the database is damaged");
    Refusal::new(UNAVAILABLE, 503, DAMAGED)
}

/// Whether a refusal is that of a damaged database.
#[must_use]
pub fn is_damage(refusal: &Refusal) -> bool {
    refusal.check == UNAVAILABLE && refusal.because == DAMAGED
}

/// What is said of an error of the driver, with what helps; its own words go to the log.
pub(crate) fn refused(error: &rusqlite::Error) -> Refusal {
    use rusqlite::ErrorCode;
    let because = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            return damaged(&error.to_string());
        }
        Some(ErrorCode::DiskFull) => {
            "the witness cannot write its store: the disk of the data folder is full. Make room; it \
             goes on by itself"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            "the witness cannot write its store: the disk of the data folder is read-only. Make it \
             writable; it goes on by itself"
        }
        Some(ErrorCode::SystemIoFailure) => {
            // A file that was open when its disk became read-only fails like this too.
            "the disk of the data folder refuses reads or writes: it is read-only, or it fails. Look at \
             it; the witness goes on by itself when it can"
        }
        _ => return Refusal::store(error),
    };
    tracing::error!(check = UNAVAILABLE, %error, "the store failed");
    Refusal::new(UNAVAILABLE, 503, because).retry_after(1)
}
