//! One quote of TDX or SGX with what lies beside it and, where that does not do, with cache and
//! maker; what a machine brought that is newer than all before is kept beside the marks.
//!
//! *Flow*: what is held → verify → name what is lacking or old → obtain it → verify again → hold
//! lists and documents that counted against the marks, raise these, and keep those.
//!
//! *Guarantees*: nobody is called where everything is young; a quote is never proven under an older
//! list than one already seen; a mark never outlives the bytes that raised it, so that a restart
//! leaves nothing without its collateral. *Caveats*: as for reports, whoever brings a quote without
//! its collateral causes requests before anything is proven; the budget of the asker bounds that.

use zeuge_verify::{
    Binding, Endorsements, Error, UnixTime, Verified,
    crypto::AWS_LC,
    dcap::{self, Issue, KeptPlatform, Quote, QuoteFacts, Revocation, ca_of, needs},
};

use crate::{
    CacheError, Collateral, Mark, Outcome, Problem, Seen, Wanted,
    content::Content,
    intel::{of_list, tee_of},
    pcs::{Channel, PcsId},
};

/// A PCK certificate first, what it names second; then once more where another machine was faster.
const ROUNDS_MAX: usize = 4;

/// What is to be proven.
#[derive(Debug, Clone, Copy)]
pub struct QuoteQuestion<'q> {
    /// The quote.
    pub quote: &'q Quote<'q>,
    /// What is at hand beside it.
    pub heap: &'q Endorsements,
    /// What it must be bound to.
    pub binding: &'q Binding,
    /// In which state of Intel's knowledge documents are asked for.
    pub channel: Channel,
    /// Who asks, for the budget.
    pub source: &'q str,
    /// The instant of the real clock.
    pub now: UnixTime,
}

/// What came of it.
#[derive(Debug)]
pub struct QuoteProof {
    /// The outcome of verification with everything that was at hand in the end.
    pub outcome: Result<Verified<QuoteFacts>, Error>,
    /// Everything that was at hand in the end.
    pub heap: Endorsements,
    /// What was obtained, or why not; empty where nothing was lacking.
    pub obtained: Vec<Outcome>,
    /// What the marks say, where the quote holds.
    pub seen: Option<Seen>,
    /// `collateral.rollback`: the quote holds, but under an older list than one already seen.
    pub rollback: Option<Problem>,
    /// What the quote proves under the early documents, where they are newer than those that
    /// counted.
    pub ahead: Option<QuoteFacts>,
}

impl QuoteProof {
    /// What stood in the way of obtaining something, each with the key that it is about.
    pub fn problems(&self) -> impl Iterator<Item = (String, &Problem)> {
        self.obtained.iter().flat_map(|outcome| {
            let key = outcome.wanted.key();
            let problems = outcome.problems.iter();
            problems.map(move |problem| (key.clone(), problem))
        })
    }
}

impl Collateral {
    /// Verifies a quote, and obtains what that needs and is not at hand or not young. What counted
    /// raises the marks and is kept, so that the next machine profits from it.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used. What verification refuses is no error here.
    pub async fn prove_quote(
        &self,
        question: &QuoteQuestion<'_>,
    ) -> Result<QuoteProof, CacheError> {
        let channels = [Channel::Evidence, question.channel];
        let mut proof = self.held_proof(question, question.heap.clone(), &channels)?;
        self.complete(question, &mut proof).await?;
        for _ in 0..ROUNDS_MAX {
            let Ok(verified) = &proof.outcome else {
                break;
            };
            match self.observe_quote(verified, question.quote, &proof.heap, question.now)? {
                Ok(seen) => {
                    proof.seen = Some(seen);
                    proof.rollback = None;
                    break;
                }
                Err(problem) => {
                    proof.rollback = Some(problem);
                    self.complete(question, &mut proof).await?;
                }
            }
        }
        proof.ahead = self.ahead_of(question, &proof).await?;
        Ok(proof)
    }

    /// Verifies with this heap and with what is held in these channels. Asks nobody.
    pub(crate) fn held_proof(
        &self,
        question: &QuoteQuestion<'_>,
        mut heap: Endorsements,
        channels: &[Channel],
    ) -> Result<QuoteProof, CacheError> {
        for wanted in self.wanted_of(question, channels)? {
            self.add_held(&wanted, question.now, &mut heap)?;
        }
        Ok(QuoteProof {
            outcome: verify(self, question, &heap),
            heap,
            obtained: Vec::new(),
            seen: None,
            rollback: None,
            ahead: None,
        })
    }

    /// Obtains what is lacking, until nothing is or nothing more is had.
    pub(crate) async fn complete(
        &self,
        question: &QuoteQuestion<'_>,
        proof: &mut QuoteProof,
    ) -> Result<(), CacheError> {
        for _ in 0..ROUNDS_MAX {
            let asked = |wanted: &Wanted| proof.obtained.iter().any(|one| one.wanted == *wanted);
            let mut wanted = self.lacking_of(question, proof)?;
            wanted.retain(|wanted| !asked(wanted));
            if wanted.is_empty() {
                return Ok(());
            }
            let got = self.obtain(&wanted, question.source, question.now).await?;
            proof.obtained.extend(got.outcomes);
            let before = proof.heap.len();
            proof.heap.extend(&got.endorsements);
            if proof.heap.len() > before {
                proof.outcome = verify(self, question, &proof.heap);
            }
        }
        Ok(())
    }

    /// What might mend an outcome, or is older than it need be. A refusal that no collateral can
    /// mend wants nothing.
    fn lacking_of(
        &self,
        question: &QuoteQuestion<'_>,
        proof: &QuoteProof,
    ) -> Result<Vec<Wanted>, CacheError> {
        let all = || self.wanted_of(question, &[question.channel]);
        let facts = match &proof.outcome {
            Err(Error::Unavailable(_)) => return all(),
            // The nearest at hand was of somebody else, broken, or of another year.
            Err(error) if is_of_collateral(error.check()) => return all(),
            Err(_) => return Ok(Vec::new()),
            Ok(verified) => verified.fact(),
        };
        let tee = tee_of(facts);
        let mut wanted = Vec::new();
        for (id, is_young) in [
            (
                Some(PcsId::RootCrl),
                self.is_young_list("root", facts, &facts.root_revocation, question.now),
            ),
            (
                ca_of(&facts.pck_issuer).map(|ca| PcsId::PckCrl { ca }),
                self.is_young_list(
                    &facts.pck_issuer,
                    facts,
                    &facts.pck_revocation,
                    question.now,
                ),
            ),
            (
                Some(PcsId::TcbInfo {
                    tee,
                    fmspc: facts.platform.fmspc,
                    channel: question.channel,
                }),
                self.is_young(facts.tcb_info.issue_date, question.now),
            ),
            (
                Some(PcsId::QeIdentity {
                    tee,
                    channel: question.channel,
                }),
                self.is_young(facts.qe_identity.issue_date, question.now),
            ),
        ] {
            wanted.extend(id.filter(|_| !is_young).map(Wanted::Intel));
        }
        Ok(wanted)
    }

    fn is_young(&self, made: UnixTime, now: UnixTime) -> bool {
        let age = now.0.saturating_sub(made.0);
        (0..self.ages().list_secs_max).contains(&age)
    }

    fn is_young_list(
        &self,
        issuer: &str,
        facts: &QuoteFacts,
        list: &Revocation,
        now: UnixTime,
    ) -> bool {
        let Revocation::Checked {
            this_update,
            next_update,
            ..
        } = list
        else {
            return false;
        };
        let in_force = next_update.is_some_and(|next| now <= next);
        let behind = of_list(list).is_some_and(|mark| {
            let key = format!("{}/list/{issuer}", hex::encode(facts.root.fingerprint));
            self.is_behind(&(key, mark))
        });
        self.is_young(*this_update, now) && in_force && !behind
    }

    /// Everything that this quote needs, in these channels. What a quote does not say itself stands
    /// in its PCK certificate, once that is in the cache.
    fn wanted_of(
        &self,
        question: &QuoteQuestion<'_>,
        channels: &[Channel],
    ) -> Result<Vec<Wanted>, CacheError> {
        let mut ids = needs(question.quote);
        for id in ids.clone() {
            if !matches!(id, dcap::EndorsementId::PckCertificate { .. }) {
                continue;
            }
            let wanted = Wanted::Intel(PcsId::of(&id, Channel::Standard));
            let Some(file) = self.held_file(&wanted, question.now)? else {
                continue;
            };
            let basis = self.basis(question.now);
            if let Ok(proven) = dcap::held::pck(&file, basis) {
                let facts = proven.fact();
                let (tee, fmspc) = (question.quote.header.tee, facts.platform.fmspc);
                ids.extend(ca_of(&facts.issuer).map(|ca| dcap::EndorsementId::PckCrl { ca }));
                ids.push(dcap::EndorsementId::TcbInfo { tee, fmspc });
            }
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        for channel in channels {
            for id in &ids {
                let one = Wanted::Intel(PcsId::of(id, *channel));
                if !wanted.contains(&one) {
                    wanted.push(one);
                }
            }
        }
        Ok(wanted)
    }

    fn basis(&self, at: UnixTime) -> dcap::held::Basis<'_> {
        dcap::held::Basis {
            anchors: self.anchors(),
            at,
            crypto: &AWS_LC,
        }
    }

    /// Adds what is in the cache under this name and would be handed out.
    fn add_held(
        &self,
        wanted: &Wanted,
        now: UnixTime,
        heap: &mut Endorsements,
    ) -> Result<(), CacheError> {
        if let Some(file) = self.held_file(wanted, now)? {
            heap.add(&wanted.key(), &file);
        }
        Ok(())
    }

    /// Keeps what counted for a quote and raised a mark: lists under the names under which they
    /// are asked for, documents under those of what machines brought.
    pub(crate) fn keep_of_quote(
        &self,
        facts: &QuoteFacts,
        quote: &Quote<'_>,
        heap: &Endorsements,
        now: UnixTime,
    ) -> Result<(), CacheError> {
        let mut pool = heap.clone();
        for certificate in dcap::certificates(quote) {
            pool.add("the quote", &certificate);
        }
        let chain = chain(&pool);
        let tee = tee_of(facts);
        let root = Wanted::Intel(PcsId::RootCrl);
        self.keep_list(
            &root,
            "root",
            &facts.root_revocation,
            (facts, &pool, &chain),
            now,
        )?;
        if let Some(ca) = ca_of(&facts.pck_issuer) {
            let wanted = Wanted::Intel(PcsId::PckCrl { ca });
            let (issuer, list) = (facts.pck_issuer.as_str(), &facts.pck_revocation);
            self.keep_list(&wanted, issuer, list, (facts, &pool, &chain), now)?;
        }
        let fmspc = facts.platform.fmspc;
        let channel = Channel::Evidence;
        let info = PcsId::TcbInfo {
            tee,
            fmspc,
            channel,
        };
        let identity = PcsId::QeIdentity { tee, channel };
        for (id, issue) in [(info, &facts.tcb_info), (identity, &facts.qe_identity)] {
            self.keep_document(&id, issue, &pool, &chain, now)?;
        }
        Ok(())
    }

    /// Keeps a file that a machine brought and that passes; a mark already as high changes nothing
    /// but the bytes, where they are not there.
    ///
    /// The inner error is `collateral.rollback`.
    fn keep_brought(
        &self,
        wanted: &Wanted,
        mark: &(String, Mark),
        file: &[u8],
        now: UnixTime,
    ) -> Result<Result<(), Problem>, CacheError> {
        self.with_cache(|cache| {
            let asked = match cache.held(wanted)? {
                Some(held) if held.bytes == file => return Ok(Ok(())),
                held => held.map(|held| held.entry.fetched_at),
            };
            // Not as young as if the maker had been asked now: what a machine brings may be old.
            let since = asked.unwrap_or(0).max(mark.1.this_update);
            let since = UnixTime(since).min(now);
            cache.keep(wanted, file, Some(mark), since, "evidence")
        })
    }

    /// What passes at this instant, as for an answer to this name.
    fn passing(&self, wanted: &Wanted, file: &[u8], now: UnixTime) -> Result<Content, Problem> {
        self.passes(wanted, file, &Endorsements::new(), now)
    }

    fn keep_list(
        &self,
        wanted: &Wanted,
        issuer: &str,
        list: &Revocation,
        (facts, pool, chain): (&QuoteFacts, &Endorsements, &str),
        now: UnixTime,
    ) -> Result<(), CacheError> {
        let Some(mark) = of_list(list) else {
            return Ok(());
        };
        let key = format!("{}/list/{issuer}", hex::encode(facts.root.fingerprint));
        for held in &pool.revocation_lists {
            let file = wanted.file(held.bytes.clone(), Some(chain));
            let Ok(content) = self.passing(wanted, &file, now) else {
                continue;
            };
            if content.mark != Some((key.clone(), mark)) {
                continue;
            }
            let marked = (key, mark);
            // Somebody was faster, with a later one: that is kept then.
            let _ = self.keep_brought(wanted, &marked, &file, now)?;
            return Ok(());
        }
        Ok(())
    }

    fn keep_document(
        &self,
        id: &PcsId,
        issue: &Issue,
        pool: &Endorsements,
        chain: &str,
        now: UnixTime,
    ) -> Result<(), CacheError> {
        let wanted = Wanted::Intel(id.clone());
        let number = Some(u64::from(issue.evaluation_number));
        for held in &pool.documents {
            if held.source != issue.source {
                continue;
            }
            let file = wanted.file(held.bytes.clone(), Some(chain));
            let Ok(content) = self.passing(&wanted, &file, now) else {
                continue;
            };
            if let Some(marked) = content.mark.filter(|(_, mark)| mark.number == number) {
                let _ = self.keep_brought(&wanted, &marked, &file, now)?;
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Certificates of authorities and of signers out of a heap, as PEM in one text. Certificates of
/// platforms stay out.
fn chain(pool: &Endorsements) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    let mut text = String::new();
    for held in &pool.certificates {
        if !dcap::is_of_authority(&held.bytes) {
            continue;
        }
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            BASE64_STANDARD.encode(&held.bytes)
        );
        text.push_str(&pem);
    }
    text
}

/// By what is kept of this platform if that answers, else anew, and then it is kept.
pub(crate) fn verify(
    collateral: &Collateral,
    question: &QuoteQuestion<'_>,
    heap: &Endorsements,
) -> Result<Verified<QuoteFacts>, Error> {
    let (quote, binding, at) = (question.quote, question.binding, question.now);
    let anchors = collateral.anchors();
    let key = KeptPlatform::name(quote);
    let kept = key.and_then(|key| collateral.warm().platforms().held(&key));
    let answer = kept.and_then(|kept| kept.verify(quote, heap, anchors, binding, at));
    if let Some(verified) = answer {
        return Ok(verified);
    }
    let size = collateral.warm().platforms().size(heap);
    let (Some(key), Some(bytes)) = (key, size) else {
        return dcap::quote(quote, heap, anchors, binding, at, &AWS_LC);
    };
    let (verified, kept) =
        KeptPlatform::verify_and_keep(quote, heap, anchors, binding, at, &AWS_LC)?;
    if let Some(kept) = kept {
        collateral.warm().platforms().keep(key, kept, bytes);
    }
    Ok(verified)
}

fn is_of_collateral(check: &str) -> bool {
    [
        "dcap.crl.",
        "dcap.qe-identity.",
        "dcap.tcb-info.",
        "dcap.tcb-signer.",
    ]
    .iter()
    .any(|part| check.starts_with(part))
}
