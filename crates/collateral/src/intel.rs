//! How new Intel's documents and lists are that a quote was proven under, held against the marks.
//!
//! Raises marks, never lowers one; keeps no bytes and calls nobody. Marks of documents are per kind
//! of platform (FMSPC) and environment, because Intel numbers all documents together and publishes
//! them at different times and in two channels: what one kind of platform brought says nothing
//! about the documents of another.

use zeuge_verify::{
    Verified,
    dcap::{Body, QuoteFacts, Revocation},
};

use crate::{CacheError, Collateral, Mark, Problem};

/// What the marks say after a quote was held against them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The highest tcbEvaluationDataNumber seen for such platforms, this quote's included.
    pub evaluation_number: u32,
    /// Whether a mark was raised: what this quote was proven under is newer than all before.
    pub raised: bool,
}

impl Collateral {
    /// Raises the marks by what a quote was proven under. Only for evidence verified at an instant
    /// of the real clock.
    ///
    /// The inner error is `collateral.rollback`: a revocation list that counted is older than one
    /// already seen. An older document is no error here: appraisal compares the number.
    ///
    /// # Errors
    /// [`CacheError`] when the marks cannot be written.
    pub fn observe_quote(
        &self,
        proven: &Verified<QuoteFacts>,
    ) -> Result<Result<Seen, Problem>, CacheError> {
        let facts = proven.fact();
        let root = hex::encode(facts.root.fingerprint);
        let lists = [
            ("root", &facts.root_revocation),
            (facts.pck_issuer.as_str(), &facts.pck_revocation),
        ];
        let marks: Vec<_> = lists
            .into_iter()
            .filter_map(|(issuer, list)| Some((format!("{root}/list/{issuer}"), of_list(list)?)))
            .collect();
        let tee = match &facts.claims {
            Body::Tdx(_) => "tdx",
            Body::Sgx(_) => "sgx",
        };
        let fmspc = hex::encode(facts.platform.fmspc);
        let documents = (
            format!("{root}/{tee}/{fmspc}"),
            Mark {
                number: Some(u64::from(facts.evaluation_number)),
                this_update: 0,
            },
        );
        self.raise_all(&marks, &documents)
    }

    fn raise_all(
        &self,
        lists: &[(String, Mark)],
        documents: &(String, Mark),
    ) -> Result<Result<Seen, Problem>, CacheError> {
        self.with_cache(|cache| {
            for mark in lists {
                if let Err(problem) = cache.behind(Some(mark)) {
                    return Ok(Err(problem));
                }
            }
            let mut raised = false;
            for (key, mark) in lists.iter().chain([documents]) {
                let seen = cache.mark(key);
                if seen.is_none_or(|seen| seen.raised_by(*mark) != seen) {
                    raised = true;
                    cache.raise(key, *mark)?;
                }
            }
            let (key, own) = documents;
            let highest = cache.mark(key).unwrap_or(*own).number;
            let highest = highest.and_then(|number| u32::try_from(number).ok());
            Ok(Ok(Seen {
                evaluation_number: highest.unwrap_or(u32::MAX),
                raised,
            }))
        })
    }
}

fn of_list(list: &Revocation) -> Option<Mark> {
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
