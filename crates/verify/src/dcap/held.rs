//! What Intel's service answered, held against what it was asked for, before anybody keeps it.
//!
//! For rooms that store collateral. An answer is the file that [`crate::Endorsements::add`] reads:
//! the body together with its issuer's chain. Decides nothing about a machine: a quote is verified
//! by [`super::quote()`], which checks everything again. Never fetches.

use zeuge_evidence::{UnixTime, dcap::Tee};

use super::{
    Broken, Context, Difference, Issue, PckExtension, chain,
    document::{self, Envelope, Kind},
    identity, lists, signers, tcb,
};
use crate::{Anchors, Endorsements, Error, Trail, Verified, crypto::CryptoProvider};

/// The ids of the checks that only stored collateral has: a quote does not need this document.
pub const CHECKS: &[&str] = &[
    "dcap.evaluation-numbers.duplicate-key",
    "dcap.evaluation-numbers.format",
    "dcap.evaluation-numbers.signature",
    "dcap.evaluation-numbers.window",
];

/// Numbers in one document; Intel serves a handful.
const NUMBERS_MAX: usize = 256;

/// What an answer is held against.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'b> {
    /// The trusted roots.
    pub anchors: &'b Anchors,
    /// The instant.
    pub at: UnixTime,
    /// Who checks signatures.
    pub crypto: &'b CryptoProvider,
}

impl<'b> Basis<'b> {
    const fn context(self, heap: &'b Endorsements) -> Context<'b> {
        Context {
            heap,
            anchors: self.anchors,
            at: self.at,
            crypto: self.crypto,
        }
    }
}

/// What is proven about one revocation list: an issuer under the pinned root signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFacts {
    /// SHA-256 of the root's certificate in DER.
    pub root: [u8; 32],
    /// The issuer's common name; `None` for the root.
    pub issuer: Option<String>,
    /// When the list was made.
    pub this_update: UnixTime,
    /// When the next one is due; `None` for a list that does not say.
    pub next_update: Option<UnixTime>,
    /// The list's number (RFC 5280 §5.2.3), if it has one that fits 64 bits.
    pub number: Option<u64>,
}

/// One state of Intel's knowledge that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvaluationNumber {
    /// tcbEvaluationDataNumber.
    pub number: u32,
    /// When the weaknesses of this recovery became public.
    pub recovery_event: UnixTime,
    /// The date of the levels that count as up to date under it.
    pub tcb_date: UnixTime,
}

/// Which states of Intel's knowledge are served, and until when this list of them counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvaluationNumbers {
    /// When Intel issued it.
    pub issue_date: UnixTime,
    /// Until when it counts.
    pub next_update: UnixTime,
    /// The numbers, in the order of the document.
    pub numbers: Vec<EvaluationNumber>,
}

fn own(answer: &[u8]) -> Endorsements {
    let mut heap = Endorsements::new();
    heap.add("the answer", answer);
    heap
}

/// Proves that the answer holds a list of the root (`ca` is `None`), or of the PCK CA `platform`
/// or `processor` with that CA's certificate. Says nothing about whether the list is in force.
///
/// # Errors
/// `dcap.crl.signature` for a list of anybody else or none at all, `dcap.intermediate.…` for a CA
/// that is not proven.
pub fn list(
    answer: &[u8],
    ca: Option<&str>,
    basis: Basis<'_>,
) -> Result<Verified<ListFacts>, Error> {
    let heap = own(answer);
    let context = basis.context(&heap);
    let part = ca.map(|ca| match ca {
        "processor" => "PCK Processor CA",
        _ => "PCK Platform CA",
    });
    let mut failure = None;
    for held in &heap.revocation_lists {
        let mut trail = Trail::new();
        match chain::held_list(&mut trail, &context, &held.bytes, part) {
            Ok((list, issuer)) => {
                let facts = ListFacts {
                    root: basis.anchors.intel().root.fingerprint,
                    issuer: ca.map(|_| issuer),
                    this_update: list.this_update,
                    next_update: list.next_update,
                    number: list.number(),
                };
                return Ok(Verified::assertion(facts, trail));
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| {
        let wanted = part.unwrap_or("Intel's root");
        Broken::CrlSignatureBad(Difference::new("no revocation list", wanted)).into()
    }))
}

/// The keys in the answer that may sign documents.
fn signers(
    trail: &mut Trail,
    context: &Context<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Vec<u8>>, Error> {
    let lists = lists::read(context);
    let ground = chain::Ground::of(context, &lists, notes)?;
    signers::tcb_signers(trail, context, &ground)
}

/// Proves that the answer holds a TCB Info in force about this kind of platform.
///
/// # Errors
/// Those of `dcap.tcb-signer.…` and `dcap.tcb-info.…`.
pub fn tcb_info(
    answer: &[u8],
    tee: Tee,
    fmspc: [u8; 6],
    basis: Basis<'_>,
) -> Result<Verified<Issue>, Error> {
    let heap = own(answer);
    let context = basis.context(&heap);
    let (mut trail, mut notes) = (Trail::new(), Vec::new());
    let signers = signers(&mut trail, &context, &mut notes)?;
    let wanted = tcb::Subject {
        tee,
        fmspc,
        pce_id: None,
    };
    let (infos, _) = document::of_heap(&context, &mut notes);
    let info = tcb::find(&mut trail, &context, &signers, infos, wanted, &mut notes)?;
    Ok(Verified::assertion(info.issue, trail))
}

/// Proves that the answer holds an identity in force of the quoting enclave.
///
/// # Errors
/// Those of `dcap.tcb-signer.…` and `dcap.qe-identity.…`.
pub fn qe_identity(answer: &[u8], tee: Tee, basis: Basis<'_>) -> Result<Verified<Issue>, Error> {
    let heap = own(answer);
    let context = basis.context(&heap);
    let (mut trail, mut notes) = (Trail::new(), Vec::new());
    let signers = signers(&mut trail, &context, &mut notes)?;
    let (_, identities) = document::of_heap(&context, &mut notes);
    let identity = identity::find(&mut trail, &context, &signers, identities, tee, &mut notes)?;
    Ok(Verified::assertion(identity.issue, trail))
}

/// What is proven about a PCK certificate that is held apart from any quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PckFacts {
    /// What it says about the platform.
    pub platform: PckExtension,
    /// Common name of its issuer.
    pub issuer: String,
    /// Until when it and its issuer count.
    pub until: UnixTime,
}

/// Proves that the answer holds a PCK certificate that counts, with its CA.
///
/// # Errors
/// `dcap.pck.available` when there is none, else those of `dcap.pck.…` and `dcap.intermediate.…`.
pub fn pck(answer: &[u8], basis: Basis<'_>) -> Result<Verified<PckFacts>, Error> {
    let heap = own(answer);
    let context = basis.context(&heap);
    let mut failure = None;
    for held in &heap.certificates {
        let named = zeuge_evidence::x509::Certificate::parse(&held.bytes)
            .is_ok_and(|certificate| PckExtension::of(&certificate).is_ok());
        if !named {
            continue;
        }
        let mut trail = Trail::new();
        match chain::held_leaf(&mut trail, &context, &held.bytes) {
            Ok((platform, issuer, until)) => {
                let facts = PckFacts {
                    platform,
                    issuer,
                    until,
                };
                return Ok(Verified::assertion(facts, trail));
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| chain::no_pck("a PCK certificate in the answer")))
}

/// Proves that the document names the evaluation numbers of this environment, signed by one of the
/// keys that may sign TCB Info, and is in force. `chain` is the answer with the signer's chain.
///
/// # Errors
/// Those of `dcap.tcb-signer.…` and `dcap.evaluation-numbers.…`.
pub fn evaluation_numbers(
    document: &[u8],
    chain: &[u8],
    tee: Tee,
    basis: Basis<'_>,
) -> Result<Verified<EvaluationNumbers>, Error> {
    let kind = Kind::EvaluationNumbers;
    let heap = own(chain);
    let context = basis.context(&heap);
    let (mut trail, mut notes) = (Trail::new(), Vec::new());
    let signers = signers(&mut trail, &context, &mut notes)?;
    let envelope = Envelope::open(kind, "the answer", document)
        .ok_or_else(|| Error::from(kind.format("another document", kind.title())))?;
    envelope.check(&mut trail, &context, &signers)?;
    let mut read = None;
    trail.check("dcap.evaluation-numbers.format", || {
        read = Some(numbers(&envelope, tee)?);
        Ok(())
    })?;
    let facts = read.ok_or_else(|| Error::from(kind.format("nothing", kind.title())))?;
    let issue = Issue {
        issue_date: facts.issue_date,
        next_update: facts.next_update,
        evaluation_number: 0,
        fingerprint: crate::anchors::fingerprint(document),
        source: "the answer".to_owned(),
    };
    document::window(&mut trail, kind, &issue, basis.at)?;
    Ok(Verified::assertion(facts, trail))
}

fn numbers(envelope: &Envelope<'_>, tee: Tee) -> Result<EvaluationNumbers, Broken> {
    let (kind, content) = (envelope.kind, envelope.content.view());
    if content.get("id").and_then(super::json::View::text) != Some(tee.id()) {
        return Err(kind.format("id", tee.id()));
    }
    if document::unsigned(content, "version", u64::MAX) != Some(1) {
        return Err(kind.format("version", "1"));
    }
    let list = content
        .get("tcbEvalNumbers")
        .and_then(super::json::View::list)
        .filter(|list| list.clone().count() <= NUMBERS_MAX)
        .ok_or_else(|| kind.format("tcbEvalNumbers", "a list of numbers"))?;
    let mut numbers = Vec::new();
    for object in list {
        let number = document::unsigned(object, "tcbEvaluationDataNumber", u32::MAX.into());
        numbers.push(EvaluationNumber {
            number: number
                .and_then(|number| u32::try_from(number).ok())
                .ok_or_else(|| kind.format("tcbEvaluationDataNumber", "a number"))?,
            recovery_event: document::instant(kind, object, "tcbRecoveryEventDate")?,
            tcb_date: document::instant(kind, object, "tcbDate")?,
        });
    }
    Ok(EvaluationNumbers {
        issue_date: document::instant(kind, content, "issueDate")?,
        next_update: document::instant(kind, content, "nextUpdate")?,
        numbers,
    })
}
