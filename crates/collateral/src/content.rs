//! Whether bytes are what was asked for, and until when they count.
//!
//! Decides by the pinned roots alone. The same rules hold for answers, for the cache and for
//! bundles.

use zeuge_verify::{
    Anchors, Endorsements, Error, UnixTime, Verified,
    amd::held::{self, Basis},
    crypto::AWS_LC,
    dcap::{self, Issue},
    snp::EndorsementId,
};

use crate::{
    Problem, Wanted,
    mark::Mark,
    pcs::{self, PckRequest, PcsId},
};

/// What is known about bytes that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The last instant at which they count; `None` for a list that does not say.
    pub(crate) until: Option<UnixTime>,
    /// For a list: its issuer (SHA-256 of the root in hex) and its mark. For a document of Intel's:
    /// root, what it is about and channel, and its evaluation number.
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
    let checked = match wanted {
        Wanted::Amd(id) => amd(id, bytes, heap, anchors, at),
        Wanted::Intel(id) => intel(id, bytes, anchors, at),
    };
    checked.map_err(|error| Problem::Response {
        check: error.check(),
        found: error.to_string(),
    })
}

fn intel(id: &PcsId, file: &[u8], anchors: &Anchors, at: UnixTime) -> Result<Content, Error> {
    let basis = dcap::held::Basis {
        anchors,
        at,
        crypto: &AWS_LC,
    };
    let root = hex::encode(anchors.intel().root.fingerprint);
    match id {
        PcsId::RootCrl => intel_list(file, None, basis),
        PcsId::PckCrl { ca } => intel_list(file, Some(ca), basis),
        PcsId::TcbInfo {
            tee,
            fmspc,
            channel,
        } => {
            let proven = dcap::held::tcb_info(file, *tee, *fmspc, basis)?;
            let about = format!("{}/{}/{channel}", pcs::word(*tee), hex::encode(fmspc));
            Ok(document(&proven, format!("{root}/{about}")))
        }
        PcsId::QeIdentity { tee, channel } => {
            let proven = dcap::held::qe_identity(file, *tee, basis)?;
            Ok(document(
                &proven,
                format!("{root}/{}/qe/{channel}", pcs::word(*tee)),
            ))
        }
        PcsId::EvaluationNumbers { tee } => {
            let text = pcs::numbers(file).unwrap_or_default();
            let proven = dcap::held::evaluation_numbers(text.as_bytes(), file, *tee, basis)?;
            Ok(Content {
                until: Some(proven.fact().next_update),
                mark: None,
            })
        }
        PcsId::PckCertificate(request) => {
            let proven = dcap::held::pck(file, basis)?;
            let facts = proven.fact();
            is_of_platform(request, facts)?;
            Ok(Content {
                until: Some(facts.until),
                mark: None,
            })
        }
    }
}

/// Where the request names the platform in the clear, the certificate must be that platform's.
fn is_of_platform(request: &PckRequest, facts: &dcap::held::PckFacts) -> Result<(), Error> {
    let found = hex::encode(facts.platform.ppid);
    // An encrypted PPID is longer, and only Intel can read it.
    if request.ppid.len() != found.len() || request.ppid == found {
        return Ok(());
    }
    Err(Error::Unavailable(zeuge_verify::Unavailable {
        check: "dcap.pck.available",
        what: format!(
            "the PCK certificate of platform {}, not of {found}",
            request.ppid
        ),
        remedy: "the platform's owner has it from Intel's provisioning certification service",
    }))
}

fn document(proven: &Verified<Issue>, about: String) -> Content {
    let issue = proven.fact();
    let mark = Mark {
        number: Some(u64::from(issue.evaluation_number)),
        // The service answers with documents of yesterday and of today by turns.
        this_update: 0,
    };
    Content {
        until: Some(issue.next_update),
        mark: Some((about, mark)),
    }
}

fn intel_list(
    file: &[u8],
    ca: Option<&str>,
    basis: dcap::held::Basis<'_>,
) -> Result<Content, Error> {
    let proven = dcap::held::list(file, ca, basis)?;
    let facts = proven.fact();
    let mark = Mark {
        number: facts.number,
        this_update: facts.this_update.0,
    };
    let issuer = facts.issuer.as_deref().unwrap_or("root");
    Ok(Content {
        until: facts.next_update,
        mark: Some((format!("{}/list/{issuer}", hex::encode(facts.root)), mark)),
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
