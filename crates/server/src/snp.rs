//! Reports of SEV-SNP: verified with what lies beside them, in the folder of endorsements, in the
//! cache, or at AMD's.
//!
//! Never lets an older revocation list count once a newer one has been seen. What is asked for is
//! asked under the budget of the source.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use zeuge_collateral::{Problem, Proof, Question};
use zeuge_evidence::snp::{CertificateTable, Report};
use zeuge_log::hash::sha256;
use zeuge_protocol::bundle::{Bundle, Media};
use zeuge_verify::snp::SnpFacts;
use zeuge_verify::{Binding, Endorsements, Verified};

use crate::appraisal::{Asked, Evidence, Judge, Proven};
use crate::endorsements;
use crate::refusal::Refusal;

/// Tables of certificates that were read before: machines bring the same ones for months.
#[derive(Debug, Default)]
pub(crate) struct Tables(Mutex<HashMap<[u8; 32], Arc<Endorsements>>>);

/// Tables that are kept; with more of them all are forgotten.
const TABLES_MAX: usize = 512;
/// The longest of them: what one machine brings has some KiB.
const TABLE_BYTES_MAX: usize = 16 * 1024;

impl Tables {
    /// What stands in a table, believed by nobody yet.
    fn read(&self, table: &[u8]) -> Result<Arc<Endorsements>, Refusal> {
        let name = sha256(&[table]);
        let tables = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = tables().get(&name) {
            return Ok(Arc::clone(held));
        }
        let mut heap = Endorsements::new();
        let read = CertificateTable::parse(table).map_err(zeuge_verify::Error::from)?;
        for entry in &read.entries {
            heap.add("evidence", entry.data);
        }
        let heap = Arc::new(heap);
        if table.len() <= TABLE_BYTES_MAX {
            let mut tables = tables();
            if tables.len() >= TABLES_MAX {
                tables.clear();
            }
            tables.insert(name, Arc::clone(&heap));
        }
        Ok(heap)
    }
}

impl Judge {
    /// Verifies the one report of a bundle.
    pub(crate) fn snp(
        &self,
        bundle: &Bundle,
        report: &[u8],
        asked: &Asked<'_>,
    ) -> Result<Proven, Refusal> {
        let (heap, mut endorsements) = self.with_certificates(bundle)?;
        let report = Report::parse(report).map_err(zeuge_verify::Error::from)?;
        let proof = self.snp_proof(&report, &heap, asked.report_data, asked)?;
        let (verified, heap) = believe(proof)?;
        endorsements.extend(counted(verified.fact(), &heap));
        Ok(Proven {
            evidence: Evidence::Snp(Box::new(verified)),
            seen: None,
            ahead: None,
            endorsements,
            epoch: None,
            stand: None,
        })
    }

    /// What is at hand with the certificates of a bundle, and their table for the archive.
    pub(crate) fn with_certificates(
        &self,
        bundle: &Bundle,
    ) -> Result<(Endorsements, Vec<Vec<u8>>), Refusal> {
        let mut heap = self.at_hand().as_ref().clone();
        let mut brought = Vec::new();
        if let Some(table) = bundle.only(Media::SnpCertificates) {
            brought.push(table.to_vec());
            let read = self.tables.read(table)?;
            heap.extend(&read);
            heap.skipped.extend(read.skipped.iter().cloned());
            heap.skipped.sort();
        }
        Ok((heap, brought))
    }

    /// Verifies a report that must carry this report data, with what can be obtained.
    pub(crate) fn snp_proof(
        &self,
        report: &Report<'_>,
        heap: &Endorsements,
        report_data: [u8; 64],
        asked: &Asked<'_>,
    ) -> Result<Proof, Refusal> {
        let question = Question {
            report,
            heap,
            binding: &Binding::ReportData(report_data),
            source: asked.source,
            now: asked.at,
        };
        let proving = self.line(asked.tenant).prove(&question);
        tokio::runtime::Handle::current()
            .block_on(proving)
            .map_err(|error| Refusal::store(&error))
    }
}

/// The certificates and lists that counted, for the archive.
pub(crate) fn counted(facts: &SnpFacts, heap: &Endorsements) -> Vec<Vec<u8>> {
    endorsements::kept(heap, &endorsements::of_snp(facts))
}

/// Takes a proof apart: what holds, or the refusal with what stood in the way of mending it.
fn believe(proof: Proof) -> Result<(Verified<SnpFacts>, Endorsements), Refusal> {
    let told = told(&proof);
    if let Some(problem) = &proof.rollback {
        return Err(because_of(behind(problem), &told));
    }
    match proof.outcome {
        Ok(verified) => {
            if !told.is_empty() {
                tracing::debug!(problems = told, "held without the makers");
            }
            Ok((verified, proof.heap))
        }
        Err(error) => Err(because_of(Refusal::from(error), &told)),
    }
}

/// What stood in the way of obtaining something, in one line.
pub(crate) fn told(proof: &Proof) -> String {
    let problems = proof.problems();
    let told = problems.map(|(key, problem)| format!("{key}: {}: {problem}", problem.check()));
    told.collect::<Vec<_>>().join("; ")
}

/// A refusal that also says what could not be obtained.
pub(crate) fn because_of(refusal: Refusal, told: &str) -> Refusal {
    Refusal {
        because: match told.is_empty() {
            true => refusal.because,
            false => format!("{}; {told}", refusal.because),
        },
        ..refusal
    }
}

/// The refusal of what holds only under an older list.
pub(crate) fn behind(problem: &Problem) -> Refusal {
    let (found, wanted) = problem.difference();
    let because = "the evidence holds only under an older revocation list than one seen before";
    Refusal::new(problem.check(), 403, because).difference(found, wanted)
}
