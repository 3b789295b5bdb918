//! The truth: one SQLite database in the data folder, WAL, `synchronous=FULL`.
//!
//! The traits that it implements stand beside their users; nothing else knows SQL. Secrets lie in
//! it sealed only; deleted bytes are overwritten (`secure_delete`).

mod appraisals;
mod enrolments;
mod register;
pub mod sqlite;

pub use appraisals::AppraisalRow;
pub use sqlite::Sqlite;

/// The store cannot be read or written.
pub const UNAVAILABLE: &str = "store.unavailable";
/// The ids of this module.
pub const CHECKS: &[&str] = &["store.unavailable"];
