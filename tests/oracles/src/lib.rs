//! Other people's verifiers and parsers, asked the same questions as ours.
//!
//! Both must give the same answer (accept or refuse), or the difference is a row of
//! `differences.tsv` with its reason; a row that no longer occurs is a failure too. Captures of real
//! machines, everything that the toy makers can say, and mutations of it, chosen by a seed.
//! Never ships, believes nobody, and is the only place that may link a peer.

pub mod boot;
pub mod certificates;
pub mod corpus;
pub mod mutate;
pub mod progress;
pub mod quotes;
pub mod random;
pub mod reports;
pub mod sev_peer;
pub mod table;
pub mod tpm;
pub mod turns;
