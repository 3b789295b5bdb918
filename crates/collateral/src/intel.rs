//! How new Intel's documents and lists are that a quote was proven under, held against the marks.
//!
//! Raises marks, never lowers one, and calls nobody; what raised one is kept by `quote.rs`. Marks of documents are per kind
//! of platform (FMSPC) and environment, because Intel numbers all documents together and publishes
//! them at different times and in two channels: what one kind of platform brought says nothing
//! about the documents of another.

use zeuge_verify::{
    Endorsements, UnixTime, Verified,
    dcap::{Body, Quote, QuoteFacts, Revocation, Tee},
};

use crate::{CacheError, Collateral, Mark, Problem, pcs::word};

/// What the marks say after a quote was held against them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The highest tcbEvaluationDataNumber seen for such platforms, this quote's included.
    pub evaluation_number: u32,
    /// Whether a mark was raised: what this quote was proven under is newer than all before.
    pub raised: bool,
}

impl Collateral {
    /// Raises the marks by what a quote was proven under, and keeps what raised one: a mark without
    /// its bytes would refuse every machine after a restart. Only for evidence verified at an
    /// instant of the real clock. `heap` is what was at hand.
    ///
    /// The inner error is `collateral.rollback`: a revocation list that counted is older than one
    /// already seen. An older document is no error here: appraisal compares the number.
    ///
    /// # Errors
    /// [`CacheError`] when marks or bytes cannot be written.
    pub fn observe_quote(
        &self,
        proven: &Verified<QuoteFacts>,
        quote: &Quote<'_>,
        heap: &Endorsements,
        now: UnixTime,
    ) -> Result<Result<Seen, Problem>, CacheError> {
        let facts = proven.fact();
        let root = hex::encode(facts.root.fingerprint);
        let lists = [
            ("root", &facts.root_revocation),
            (facts.pck_issuer.as_str(), &facts.pck_revocation),
        ];
        let lists: Vec<_> = lists
            .into_iter()
            .filter_map(|(issuer, list)| Some((format!("{root}/list/{issuer}"), of_list(list)?)))
            .collect();
        let fmspc = hex::encode(facts.platform.fmspc);
        let documents = (
            format!("{root}/{}/{fmspc}", word(tee_of(facts))),
            Mark {
                number: Some(u64::from(facts.evaluation_number)),
                this_update: 0,
            },
        );
        let raising = self.with_cache(|cache| {
            for mark in &lists {
                if let Err(problem) = cache.behind(Some(mark)) {
                    return Ok(Err(problem));
                }
            }
            let raises = |(key, mark): &(String, Mark)| {
                let seen = cache.mark(key);
                seen.is_none_or(|seen| seen.raised_by(*mark) != seen)
            };
            let raising = lists.iter().chain([&documents]).filter(|mark| raises(mark));
            Ok(Ok(raising.cloned().collect::<Vec<_>>()))
        })?;
        let raising = match raising {
            Ok(raising) => raising,
            Err(problem) => return Ok(Err(problem)),
        };
        if !raising.is_empty() {
            // The bytes first: after a crash between the two a mark may be lower than it could be,
            // but none is higher than what is held.
            self.keep_of_quote(facts, quote, heap, now)?;
        }
        self.with_cache(|cache| {
            for (key, mark) in &raising {
                cache.raise(key, *mark)?;
            }
            let (key, own) = &documents;
            let highest = cache.mark(key).unwrap_or(*own).number;
            let highest = highest.and_then(|number| u32::try_from(number).ok());
            Ok(Ok(Seen {
                evaluation_number: highest.unwrap_or(u32::MAX),
                raised: !raising.is_empty(),
            }))
        })
    }
}

pub(crate) const fn tee_of(facts: &QuoteFacts) -> Tee {
    match facts.claims {
        Body::Tdx(_) => Tee::Tdx,
        Body::Sgx(_) => Tee::Sgx,
    }
}

pub(crate) fn of_list(list: &Revocation) -> Option<Mark> {
    match list {
        Revocation::Checked {
            this_update,
            number,
            ..
        } => Some(Mark {
            number: *number,
            this_update: this_update.0,
        }),
        Revocation::Missing => None,
    }
}
