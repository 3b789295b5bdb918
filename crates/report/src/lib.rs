//! A verdict for machines and for people: `zeuge.verdict.v1`, and text in English and German.
//!
//! Judges nothing: words, ids and findings are taken as they are. Holds the one table of checks
//! (`checks.toml`) with the sentences that explain each of them.
#![forbid(unsafe_code)]

pub mod assessed;
mod ear;
mod json;
mod json_tpm;
mod outlook;
pub mod page;
mod phrase;
mod table;
mod text;

pub use ear::{appraisal, unsigned};
pub use json::{assessment, claims, verdict, verdict_alone, verdict_with};
pub use outlook::{InChannel, platform};
pub use phrase::said;
pub use table::{Explanation, Severity, Table};
pub use text::{Language, render, render_with};
