//! One SNP report with what lies beside it and, where that does not do, with cache and maker.
//!
//! *Flow*: verify → name what is lacking → obtain it → verify again → hold the list that counted
//! against the mark, and raise the mark by it.
//!
//! *Guarantees*: nobody is called for a report that needs nothing; a report is never proven under
//! an older list than one already seen. *Caveats*: whoever brings a report without its certificate
//! causes a request before anything is proven; the budget of the asker bounds that.

use zeuge_verify::{
    Binding, Endorsements, Error, SnpFacts, UnixTime, Verified,
    amd::{Revocation, held},
    crypto::AWS_LC,
    snp::{EndorsementId, KeptChain, Report, Signer, needs},
};

use crate::{CacheError, Collateral, Mark, Outcome, Problem, Wanted, cache::Cache, warm};

/// Two machines may raise the mark by turns; nobody does it more often within one request.
const ROUNDS_MAX: usize = 3;

/// What is to be proven.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The report.
    pub report: &'q Report<'q>,
    /// What is at hand beside it.
    pub heap: &'q Endorsements,
    /// What it must be bound to.
    pub binding: &'q Binding,
    /// Who asks, for the budget.
    pub source: &'q str,
    /// The instant of the real clock.
    pub now: UnixTime,
}

/// What came of it.
#[derive(Debug)]
pub struct Proof {
    /// The outcome of verification with everything that was at hand in the end.
    pub outcome: Result<Verified<SnpFacts>, Error>,
    /// Everything that was at hand in the end.
    pub heap: Endorsements,
    /// What was obtained, or why not; empty where nothing was lacking.
    pub obtained: Vec<Outcome>,
    /// `collateral.rollback`: the report holds, but under an older list than one already seen.
    pub rollback: Option<Problem>,
}

impl Proof {
    /// What stood in the way of obtaining something, each with the key that it is about.
    pub fn problems(&self) -> impl Iterator<Item = (String, &Problem)> {
        self.obtained.iter().flat_map(|outcome| {
            let key = outcome.wanted.key();
            outcome
                .problems
                .iter()
                .map(move |problem| (key.clone(), problem))
        })
    }
}

impl Collateral {
    /// Verifies a report, and obtains what that needs and is not at hand. The list that counted
    /// raises the mark of its issuer and is kept, so that the next machine profits from it.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used. What verification refuses is no error here.
    pub async fn prove(&self, question: &Question<'_>) -> Result<Proof, CacheError> {
        let mut proof = Proof {
            outcome: verify(self, question, question.heap),
            heap: question.heap.clone(),
            obtained: Vec::new(),
            rollback: None,
        };
        let mut wanted = self.lacking(question, &proof.outcome)?;
        for _ in 0..ROUNDS_MAX {
            if !wanted.is_empty() {
                let got = self.obtain(&wanted, question.source, question.now).await?;
                proof.obtained.extend(got.outcomes);
                if add(&mut proof.heap, &got.endorsements) {
                    proof.outcome = verify(self, question, &proof.heap);
                }
            }
            let Ok(verified) = &proof.outcome else {
                break;
            };
            proof.rollback = self.observe(verified, &proof.heap, question.now)?.err();
            if proof.rollback.is_none() {
                break;
            }
            wanted = vec![list_of(verified.fact())];
        }
        Ok(proof)
    }

    /// What might mend an outcome. A refusal that no certificate can mend wants nothing.
    fn lacking(
        &self,
        question: &Question<'_>,
        outcome: &Result<Verified<SnpFacts>, Error>,
    ) -> Result<Vec<Wanted>, CacheError> {
        let all = || {
            needs(question.report)
                .into_iter()
                .map(Wanted::from)
                .collect()
        };
        Ok(match outcome {
            Err(Error::Unavailable(_)) => all(),
            // A certificate of another chip, another TCB or another year was the nearest at hand.
            Err(error) if is_of_a_certificate(error.check()) => all(),
            Err(_) => Vec::new(),
            Ok(verified) if self.is_list_fresh(verified, question.now)? => Vec::new(),
            Ok(verified) => vec![list_of(verified.fact())],
        })
    }

    /// Whether the list that counted need not be asked for again: young, in force, not behind.
    fn is_list_fresh(
        &self,
        verified: &Verified<SnpFacts>,
        now: UnixTime,
    ) -> Result<bool, CacheError> {
        let facts = verified.fact();
        let Revocation::Checked {
            this_update,
            next_update,
            ..
        } = &facts.revocation
        else {
            return Ok(false);
        };
        let age = now.0.saturating_sub(this_update.0);
        let is_young = (0..self.ages().list_secs_max).contains(&age);
        let in_force = next_update.is_some_and(|next| now <= next);
        let behind = mark_of(facts).is_some_and(|mark| self.is_behind(&mark));
        Ok(is_young && in_force && !behind)
    }

    /// Raises the mark of the issuer by the list under which something was proven, and keeps that
    /// list. Never lowers a mark. Only for evidence verified at an instant of the real clock.
    ///
    /// The inner error is `collateral.rollback`: that list is older than one already seen, and
    /// what was proven under it must not count.
    ///
    /// # Errors
    /// [`CacheError`] when mark or list cannot be written.
    pub fn observe(
        &self,
        proven: &Verified<SnpFacts>,
        heap: &Endorsements,
        now: UnixTime,
    ) -> Result<Result<(), Problem>, CacheError> {
        let facts = proven.fact();
        let Some(mark) = mark_of(facts) else {
            return Ok(Ok(()));
        };
        // Nothing new: no signature of a list need be looked at again.
        let is_known = |cache: &mut Cache| Ok(cache.mark(&mark.0) == Some(mark.1));
        if self.with_cache(is_known)? {
            return Ok(Ok(()));
        }
        let lists = heap.revocation_lists.iter();
        let bytes = lists.map(|list| list.bytes.as_slice()).find(|bytes| {
            let list = held::list(bytes, facts.product, self.anchors(), &AWS_LC);
            list.is_ok_and(|list| {
                let list = list.fact();
                (list.number, list.this_update.0) == (mark.1.number, mark.1.this_update)
            })
        });
        self.saw(&list_of(facts), &mark, bytes, now)
    }
}

/// By the chain that is kept of this machine if that answers, else anew, and then it is kept.
fn verify(
    collateral: &Collateral,
    question: &Question<'_>,
    heap: &Endorsements,
) -> Result<Verified<SnpFacts>, Error> {
    let (report, binding, at) = (question.report, question.binding, question.now);
    let (key, anchors) = (warm::key(report), collateral.anchors());
    let kept = collateral.warm().chains().held(&key);
    let answer = kept.and_then(|chain| chain.verify(report, heap, anchors, binding, at));
    if let Some(verified) = answer {
        return Ok(verified);
    }
    let size = collateral.warm().chains().size(heap);
    let Some(bytes) = size else {
        return zeuge_verify::snp(report, heap, anchors, binding, at, &AWS_LC);
    };
    let (verified, chain) =
        KeptChain::verify_and_keep(report, heap, anchors, binding, at, &AWS_LC)?;
    collateral.warm().chains().keep(key, chain, bytes);
    Ok(verified)
}

fn is_of_a_certificate(check: &str) -> bool {
    check.starts_with("snp.vcek.") || check.starts_with("amd.ask.")
}

/// Issuer and mark of the list that counted.
fn mark_of(facts: &SnpFacts) -> Option<(String, Mark)> {
    match &facts.revocation {
        Revocation::Checked {
            this_update,
            number,
            ..
        } => Some((
            hex::encode(facts.root.fingerprint),
            Mark {
                number: *number,
                this_update: this_update.0,
            },
        )),
        Revocation::Missing => None,
    }
}

fn list_of(facts: &SnpFacts) -> Wanted {
    Wanted::Amd(EndorsementId::AmdCrl {
        product: facts.product,
        vlek: matches!(facts.signer, Signer::Vlek { .. }),
    })
}

/// Adds what is new; returns whether anything was.
fn add(heap: &mut Endorsements, more: &Endorsements) -> bool {
    let before = heap.len();
    for held in more.certificates.iter().chain(&more.revocation_lists) {
        heap.add(&held.source, &held.bytes);
    }
    heap.len() > before
}
