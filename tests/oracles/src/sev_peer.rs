//! The `sev` crate (virtee) with its pure-Rust cryptography, as a verifier of reports.
//!
//! Does what its documentation shows: reads the report, makes a chain of ARK, ASK and leaf, and
//! calls `verify`. That crate reads no revocation list, no date, and no policy.

use sev::{
    certs::snp::{Certificate, Chain, Verifiable as _},
    firmware::guest::AttestationReport,
    parser::ByteParser as _,
};

use crate::table::ACCEPTED;

/// A chain that was read, and what became of it.
pub struct Peer {
    chain: Result<Chain, &'static str>,
    chain_word: &'static str,
}

impl Peer {
    /// Reads and verifies a chain once.
    #[must_use]
    pub fn new(ark: &[u8], ask: &[u8], leaf: &[u8]) -> Self {
        let chain = Chain::from_der(ark, ask, leaf).map_err(|_| "chain unreadable");
        let chain_word = match &chain {
            Ok(chain) if chain.verify().is_ok() => ACCEPTED,
            Ok(_) => "chain refused",
            Err(word) => word,
        };
        Self { chain, chain_word }
    }

    /// What the peer says of this report under the chain.
    #[must_use]
    pub fn answer(&self, report: &[u8]) -> &'static str {
        let read = match AttestationReport::from_bytes(report) {
            Ok(read) => read,
            Err(error) if error.to_string().contains("MASK_CHIP_ID") => return "masked chip id",
            Err(error) if error.to_string().contains("zeroed") => return "reserved not zero",
            Err(error) if error.to_string().contains("SEV-SNP model") => return "unknown product",
            Err(_) => return "report unreadable",
        };
        let chain = match &self.chain {
            Ok(chain) if self.chain_word == ACCEPTED => chain,
            _ => return self.chain_word,
        };
        match (&chain.vek, &read).verify() {
            Ok(()) => ACCEPTED,
            Err(_) => "signature refused",
        }
    }

    /// The same from the beginning, chain included, as one call: what a user of that crate pays.
    #[must_use]
    pub fn whole(ark: &[u8], ask: &[u8], leaf: &[u8], report: &[u8]) -> bool {
        let Ok(read) = AttestationReport::from_bytes(report) else {
            return false;
        };
        Chain::from_der(ark, ask, leaf).is_ok_and(|chain| (&chain, &read).verify().is_ok())
    }

    /// Only the report, under a leaf that was read before.
    #[must_use]
    pub fn leaf_only(leaf: &Certificate, report: &[u8]) -> bool {
        AttestationReport::from_bytes(report).is_ok_and(|read| (leaf, &read).verify().is_ok())
    }
}
