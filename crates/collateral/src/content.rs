//! Whether bytes are what was asked for, and until when they count.
//!
//! Decides by the pinned roots alone. The same rules hold for answers, for the cache and for
//! bundles.

use zeuge_verify::{
    Anchors, Endorsements, Error, UnixTime,
    amd::held::{self, Basis},
    crypto::AWS_LC,
    snp::EndorsementId,
};

use crate::{Problem, Wanted, mark::Mark};

/// What is known about bytes that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The last instant at which they count; `None` for a list that does not say.
    pub(crate) until: Option<UnixTime>,
    /// For a list: its issuer (SHA-256 of the root in hex) and its mark.
    pub(crate) mark: Option<(String, Mark)>,
}

/// Holds bytes against what was asked for. `heap` has the chain that a leaf is held against.
///
/// A certificate past its end fails here; a list past its end does not, for that may be forgiven.
///
/// # Errors
/// `collateral.size`, `collateral.response`.
pub(crate) fn check(
    wanted: &Wanted,
    bytes: &[u8],
    heap: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> Result<Content, Problem> {
    let bytes_max = wanted.bytes_max();
    if bytes.len() > bytes_max {
        return Err(Problem::Size { bytes_max });
    }
    let Wanted::Amd(id) = wanted;
    amd(id, bytes, heap, anchors, at).map_err(|error| Problem::Response {
        check: error.check(),
        found: error.to_string(),
    })
}

fn amd(
    id: &EndorsementId,
    bytes: &[u8],
    heap: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> Result<Content, Error> {
    let basis = |heap| Basis {
        heap,
        anchors,
        at,
        crypto: &AWS_LC,
    };
    let plain = |until| Content {
        until: Some(until),
        mark: None,
    };
    match id {
        EndorsementId::AmdChain { product, vlek } => {
            let mut own = Endorsements::new();
            own.add("the answer", bytes);
            held::intermediate(*product, *vlek, basis(&own)).map(plain)
        }
        EndorsementId::Vcek { product, hwid, tcb } => {
            held::vcek(bytes, *product, hwid, *tcb, basis(heap)).map(plain)
        }
        EndorsementId::AmdCrl { product, .. } => {
            let proven = held::list(bytes, *product, anchors, &AWS_LC)?;
            let facts = proven.fact();
            let mark = Mark {
                number: facts.number,
                this_update: facts.this_update.0,
            };
            Ok(Content {
                until: facts.next_update,
                mark: Some((hex::encode(facts.issuer), mark)),
            })
        }
    }
}
