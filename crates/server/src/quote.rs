//! Quotes of TDX and SGX: verified with what lies beside them, in the folder of endorsements, or
//! was brought by an earlier machine and is newer.
//!
//! Never lets an older revocation list count once a newer one has been seen; how old the documents
//! are is appraised. Never calls Intel.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use zeuge_collateral::Seen;
use zeuge_evidence::dcap::Quote;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::crypto::AWS_LC;
use zeuge_verify::dcap::{QuoteFacts, Revocation};
use zeuge_verify::{Binding, Endorsements, Verified, dcap};

use crate::appraisal::{Asked, Evidence, Judge, Proven};
use crate::refusal::Refusal;

/// Collateral of so many kinds of platform is remembered; a fleet has a handful, and one has at
/// most 512 KiB.
const KEPT_MAX: usize = 32;
/// Another machine may raise a mark between verification and comparison; nobody does it more often.
const ROUNDS_MAX: usize = 3;

/// What machines brought that was newer than everything before: the marks are raised by it, so the
/// next machine must have it too. Lives in memory; after a start the folder has to be as new.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<VecDeque<Endorsements>>);

impl Kept {
    fn add_to(&self, heap: &mut Endorsements) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for held in kept.iter().cloned() {
            heap.certificates.extend(held.certificates);
            heap.revocation_lists.extend(held.revocation_lists);
            heap.documents.extend(held.documents);
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut held = Endorsements::new();
        held.add("an earlier machine's evidence", bytes);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(held);
    }
}

impl Judge {
    /// Verifies the one quote of a bundle.
    pub(crate) fn quote(
        &self,
        bundle: &Bundle,
        quote: &[u8],
        asked: &Asked<'_>,
    ) -> Result<Proven, Refusal> {
        let brought = bundle.only(Media::IntelCollateral);
        let quote = Quote::parse(quote).map_err(zeuge_verify::Error::from)?;
        let line = self.line(asked.tenant);
        let mut refusal = None;
        for _ in 0..ROUNDS_MAX {
            let mut heap = self.at_hand().as_ref().clone();
            self.kept.add_to(&mut heap);
            if let Some(collateral) = brought {
                heap.add("evidence", collateral);
            }
            let verified = dcap::quote(
                &quote,
                &heap,
                line.anchors(),
                &Binding::ReportData(asked.report_data),
                asked.at,
                &AWS_LC,
            )?;
            let seen = line.observe_quote(&verified);
            match seen.map_err(|error| Refusal::store(&error))? {
                Ok(seen) => return Ok(self.proven(verified, seen, &heap, brought)),
                Err(problem) => {
                    let (found, wanted) = problem.difference();
                    let because =
                        "the quote holds only under an older revocation list than one seen before";
                    let refused = Refusal::new(problem.check(), 403, because);
                    refusal = Some(refused.difference(found, wanted));
                }
            }
        }
        Err(refusal.unwrap_or_else(|| Refusal::store(&"the quote was not looked at")))
    }

    fn proven(
        &self,
        verified: Verified<QuoteFacts>,
        seen: Seen,
        heap: &Endorsements,
        brought: Option<&[u8]>,
    ) -> Proven {
        if let Some(collateral) = brought.filter(|_| seen.raised) {
            self.kept.keep(collateral);
        }
        let mut endorsements = counted(verified.fact(), heap);
        endorsements.extend(brought.map(<[u8]>::to_vec));
        Proven {
            evidence: Evidence::Quote(Box::new(verified)),
            seen: Some(seen.evaluation_number),
            endorsements,
            epoch: None,
        }
    }
}

/// What lies in the sources that counted, for the archive.
fn counted(facts: &QuoteFacts, heap: &Endorsements) -> Vec<Vec<u8>> {
    let mut sources = vec![&facts.tcb_info.source, &facts.qe_identity.source];
    for list in [&facts.root_revocation, &facts.pck_revocation] {
        if let Revocation::Checked { source, .. } = list {
            sources.push(source);
        }
    }
    let held = heap.documents.iter().chain(&heap.revocation_lists);
    let counted = held.filter(|held| sources.contains(&&held.source));
    counted.map(|held| held.bytes.clone()).collect()
}
