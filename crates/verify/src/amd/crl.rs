//! AMD's revocation lists: which of the lists at hand counts, and what it says.
//!
//! AMD's root signs them, and they name intermediates only. Never decides whether a list is fresh
//! enough, nor whether one is needed: both are appraisal's, which gets the dates.

use zeuge_evidence::{
    UnixTime,
    x509::{Certificate, RevocationList},
};

use super::{Broken, Context};
use crate::{
    Error, Trail,
    anchors::fingerprint,
    crypto::{CryptoProvider, Scheme},
    pss,
};

/// AMD publishes six lists; a folder with their history of ten years has 60. Beyond, the rest is
/// skipped and named.
const LISTS_MAX: usize = 128;

/// What is known about revocation of AMD's intermediate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// A list that the root signed was at hand and does not name the intermediate. It may be
    /// stale: appraisal compares the dates.
    Checked {
        /// When the list was made.
        this_update: UnixTime,
        /// When the next one is due; `None` for a list that does not say.
        next_update: Option<UnixTime>,
        /// The list's number, if it has one that fits 64 bits.
        number: Option<u64>,
        /// SHA-256 of the list in DER.
        fingerprint: [u8; 32],
        /// Where the list came from.
        source: String,
    },
    /// No list of this root at hand that had been made by the instant.
    Missing,
}

struct Candidate<'a> {
    source: &'a str,
    list: RevocationList<'a>,
    is_signed: bool,
}

impl Candidate<'_> {
    /// In force before stale, then newest, then highest number.
    fn rank(&self, at: UnixTime) -> (bool, UnixTime, Option<u64>) {
        let in_force = self.list.next_update.is_some_and(|next| at <= next);
        (in_force, self.list.this_update, self.list.number())
    }
}

/// Runs `amd.crl.signature` and `amd.crl.revoked` on what is at hand.
///
/// A list with a bad signature is skipped and named, and decides only if no good one is left.
pub(crate) fn check(
    trail: &mut Trail,
    context: &Context<'_>,
    ark: &Certificate<'_>,
    ask: &Certificate<'_>,
    notes: &mut Vec<String>,
) -> Result<Revocation, Error> {
    let at = context.at;
    let candidates = candidates(ark, context, notes);
    let best = |signed: bool| {
        candidates
            .iter()
            .filter(|candidate| candidate.is_signed == signed)
            .max_by_key(|candidate| candidate.rank(at))
    };
    let Some(chosen) = best(true).or_else(|| best(false)) else {
        return Ok(Revocation::Missing);
    };
    // spec: sev-snp.crl.signature
    trail.check("amd.crl.signature", || {
        if chosen.is_signed {
            return Ok(());
        }
        Err(Broken::CrlSignatureBad {
            found: chosen.source.to_owned(),
            wanted: super::name(&ark.subject),
        }
        .into())
    })?;
    for candidate in candidates.iter().filter(|candidate| !candidate.is_signed) {
        notes.push(format!(
            "{}: its signature is not the root's",
            candidate.source
        ));
    }
    // spec: sev-snp.crl.revoked
    trail.check("amd.crl.revoked", || not_listed(&candidates, ask))?;
    Ok(Revocation::Checked {
        this_update: chosen.list.this_update,
        next_update: chosen.list.next_update,
        number: chosen.list.number(),
        fingerprint: fingerprint(chosen.list.raw),
        source: chosen.source.to_owned(),
    })
}

/// A revocation is for ever: any list that the root signed counts, however old.
fn not_listed(candidates: &[Candidate<'_>], ask: &Certificate<'_>) -> Result<(), Error> {
    for candidate in candidates.iter().filter(|candidate| candidate.is_signed) {
        let entry = candidate
            .list
            .revoked
            .iter()
            .find(|entry| entry.serial == ask.serial);
        if let Some(entry) = entry {
            return Err(Broken::AskRevoked {
                serial: hex::encode(ask.serial),
                since: entry.at,
                list: candidate.source.to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

fn candidates<'a>(
    ark: &Certificate<'_>,
    context: &Context<'a>,
    notes: &mut Vec<String>,
) -> Vec<Candidate<'a>> {
    let mut out = Vec::new();
    for held in &context.heap.revocation_lists {
        let Ok(list) = RevocationList::parse(&held.bytes) else {
            continue;
        };
        // spec: sev-snp.crl.issuer
        if list.issuer.raw != ark.subject.raw {
            continue;
        }
        let source = held.source.as_str();
        // spec: sev-snp.crl.future
        if list.this_update > context.at {
            notes.push(format!(
                "{source}: the list is of {}, after the instant",
                list.this_update
            ));
        // spec: sev-snp.crl.partial
        } else if list.extensions.iter().any(|extension| extension.critical) {
            // A delta or partial list says so in a critical extension; AMD issues none.
            notes.push(format!("{source}: the list has a critical extension"));
        } else if out.len() >= LISTS_MAX {
            notes.push(format!(
                "{source}: more than {LISTS_MAX} lists of this root"
            ));
        } else {
            let is_signed = is_signed(&list, ark, context.crypto);
            out.push(Candidate {
                source,
                list,
                is_signed,
            });
        }
    }
    out
}

pub(crate) fn is_signed(
    list: &RevocationList<'_>,
    ark: &Certificate<'_>,
    crypto: &CryptoProvider,
) -> bool {
    pss::AMD.is_named(&list.algorithm, &list.inner_algorithm)
        && crypto
            .signatures
            .verify(
                Scheme::RsaPssSha384,
                ark.public_key.key,
                list.signed,
                list.signature,
            )
            .is_ok()
}
