//! Quotes of TDX and SGX: verified with what lies beside them, in the folder of endorsements, in
//! the cache, or at Intel's.
//!
//! Never lets an older revocation list count once a newer one has been seen; how old the documents
//! are is appraised. What is asked for is asked under the budget of the source.

use zeuge_collateral::{QuoteProof, QuoteQuestion};
use zeuge_evidence::dcap::Quote;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::dcap::{self, QuoteFacts, Revocation};
use zeuge_verify::{Binding, Endorsements};

use crate::appraisal::{Asked, Evidence, Judge, Proven};
use crate::endorsements;
use crate::refusal::Refusal;
use crate::snp::{because_of, behind};

impl Judge {
    /// Verifies the one quote of a bundle.
    pub(crate) fn quote(
        &self,
        bundle: &Bundle,
        quote: &[u8],
        asked: &Asked<'_>,
    ) -> Result<Proven, Refusal> {
        let brought = bundle.only(Media::IntelCollateral);
        let mut heap = self.at_hand().as_ref().clone();
        if let Some(collateral) = brought {
            heap.add("evidence", collateral);
        }
        let quote = Quote::parse(quote).map_err(zeuge_verify::Error::from)?;
        believe(
            self.quote_proof(&quote, &heap, asked.report_data, asked)?,
            brought,
            bundle.only(Media::CcEventLog),
        )
    }

    /// Verifies a quote that must carry this report data, with what can be obtained.
    pub(crate) fn quote_proof(
        &self,
        quote: &Quote<'_>,
        heap: &Endorsements,
        report_data: [u8; 64],
        asked: &Asked<'_>,
    ) -> Result<QuoteProof, Refusal> {
        let question = QuoteQuestion {
            quote,
            heap,
            binding: &Binding::ReportData(report_data),
            channel: self.channel,
            source: asked.source,
            now: asked.at,
        };
        let proving = self.line(asked.tenant).prove_quote(&question);
        tokio::runtime::Handle::current()
            .block_on(proving)
            .map_err(|error| Refusal::store(&error))
    }
}

/// Takes a proof apart: what holds, also against the boot log that came along, or the refusal with
/// what stood in the way of mending it.
fn believe(
    proof: QuoteProof,
    brought: Option<&[u8]>,
    log: Option<&[u8]>,
) -> Result<Proven, Refusal> {
    let told = told(&proof);
    if let Some(problem) = &proof.rollback {
        return Err(because_of(behind(problem), &told));
    }
    let mut verified = proof
        .outcome
        .map_err(|error| because_of(Refusal::from(error), &told))?;
    if let Some(log) = log {
        verified = dcap::with_event_log(&verified, log)?;
    }
    let mut endorsements = counted(verified.fact(), &proof.heap);
    endorsements.extend(brought.map(<[u8]>::to_vec));
    Ok(Proven {
        evidence: Evidence::Quote(Box::new(verified)),
        seen: proof.seen.map(|seen| seen.evaluation_number),
        ahead: proof.ahead.map(Box::new),
        endorsements,
        epoch: None,
        stand: None,
    })
}

/// What stood in the way of obtaining something, in one line.
pub(crate) fn told(proof: &QuoteProof) -> String {
    let problems = proof.problems();
    let told = problems.map(|(key, problem)| format!("{key}: {}: {problem}", problem.check()));
    told.collect::<Vec<_>>().join("; ")
}

/// What lies in the sources that counted, for the archive.
pub(crate) fn counted(facts: &QuoteFacts, heap: &Endorsements) -> Vec<Vec<u8>> {
    let mut sources = vec![&facts.tcb_info.source, &facts.qe_identity.source];
    for list in [&facts.root_revocation, &facts.pck_revocation] {
        if let Revocation::Checked { source, .. } = list {
            sources.push(source);
        }
    }
    let held = heap.documents.iter().chain(&heap.revocation_lists);
    let counted = held.filter(|held| sources.contains(&&held.source));
    let mut kept: Vec<_> = counted.map(|held| held.bytes.clone()).collect();
    kept.extend(endorsements::kept(heap, &endorsements::of_quote(facts)));
    kept
}
