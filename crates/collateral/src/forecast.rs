//! How a platform of Intel's stands in both update channels: what is coming, as far as published
//! documents tell it.
//!
//! Judges nothing, raises no mark: what a channel says is held against the roots and handed out.

use zeuge_verify::{Endorsements, Error, dcap::QuoteFacts};

use crate::{
    CacheError, Collateral, Problem, QuoteProof, QuoteQuestion, Wanted,
    pcs::{Channel, PcsId},
    quote::verify,
};

/// What one quote proves under the documents of one channel alone.
#[derive(Debug)]
pub struct ChannelFacts {
    /// Which.
    pub channel: Channel,
    /// The facts, or why there are none.
    pub outcome: Result<QuoteFacts, Error>,
    /// What stood in the way of obtaining something, each with the key that it is about.
    pub problems: Vec<(String, Problem)>,
}

impl Collateral {
    /// Verifies a quote once in each channel. Documents in the heap of the question, and what
    /// machines brought, are left aside: they are of no channel. Asks the service only if `ask`.
    ///
    /// # Errors
    /// [`CacheError`] when the folder cannot be used.
    pub async fn both_channels(
        &self,
        question: &QuoteQuestion<'_>,
        ask: bool,
    ) -> Result<Vec<ChannelFacts>, CacheError> {
        let mut both = Vec::new();
        for channel in Channel::SERVED {
            let question = QuoteQuestion {
                channel,
                ..*question
            };
            let heap = Endorsements {
                documents: Vec::new(),
                ..question.heap.clone()
            };
            let mut proof = self.held_proof(&question, heap, &[channel])?;
            if ask {
                self.complete(&question, &mut proof).await?;
            }
            let problems = proof.problems();
            both.push(ChannelFacts {
                channel,
                problems: problems.map(|(key, one)| (key, one.clone())).collect(),
                outcome: proof.outcome.map(|verified| verified.fact().clone()),
            });
        }
        Ok(both)
    }

    /// What a quote that holds proves with the early documents added, where they are newer than
    /// those that counted. Asks the service at most once a day for each kind of platform.
    pub(crate) async fn ahead_of(
        &self,
        question: &QuoteQuestion<'_>,
        proof: &QuoteProof,
    ) -> Result<Option<QuoteFacts>, CacheError> {
        let Ok(verified) = &proof.outcome else {
            return Ok(None);
        };
        let facts = verified.fact();
        let tee = question.quote.header.tee;
        let channel = Channel::Early;
        let wanted = [
            Wanted::Intel(PcsId::TcbInfo {
                tee,
                fmspc: facts.platform.fmspc,
                channel,
            }),
            Wanted::Intel(PcsId::QeIdentity { tee, channel }),
        ];
        if question.channel == channel {
            return Ok(None);
        }
        let got = self.obtain(&wanted, question.source, question.now).await?;
        if got.endorsements.documents.is_empty() {
            return Ok(None);
        }
        let mut heap = proof.heap.clone();
        heap.extend(&got.endorsements);
        let newer = verify(self, question, &heap).map(|verified| verified.fact().clone());
        Ok(newer
            .ok()
            .filter(|newer| newer.evaluation_number > facts.evaluation_number))
    }
}
