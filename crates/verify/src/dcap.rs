//! Quotes of Intel SGX and TDX (DCAP): which platform and which code said this, at which TCB.
//!
//! *Flow*: pinned root → PCK CA → PCK leaf → lists → QE report → attestation key → quote →
//! binding → TCB signing key → TCB Info and QE Identity → QE, TDX module → level → status.
//!
//! *Guarantees*: the quote's bytes **as received** were signed by a key that a quoting enclave of
//! Intel's vouched for, on a platform that the pinned root certifies; the status comes from
//! Intel-signed documents about exactly this platform, in force at the instant.
//!
//! *Caveats*: revocation, status and advisories are facts with dates; debug and migration bits,
//! measurements and acceptable statuses are read by appraisal. Never fetches: [`needs()`].

use zeuge_evidence::UnixTime;

use crate::{
    Anchors, Binding, Endorsements, Error, Root, Trail, Verified,
    crypto::CryptoProvider,
    google::{self, Firmware},
};

mod broken;
mod ccel;
mod chain;
mod document;
mod forms;
pub mod held;
mod identity;
mod json;
mod kept;
mod lists;
mod needs;
mod pck;
mod qe;
mod signers;
mod tcb;

pub use broken::{Broken, Difference};
pub use ccel::{BootLog, RtmrEvent, with_event_log};
pub use document::{DOCUMENT_BYTES_MAX, Issue};
pub(crate) use forms::Parts;
pub use kept::{KeptPlatform, quote_with_kept};
pub use lists::Revocation;
pub use needs::{EndorsementId, ca_of, certificates, is_of_authority, needs};
pub use pck::{Configuration, PckExtension, PckTcb, SgxType};
pub use tcb::{Standing, TcbStatus};
pub use zeuge_evidence::dcap::{Body, Quote, Tee};

/// The ids of the checks on Intel's quotes, certificates and documents.
pub const CHECKS: &[&str] = &[
    "dcap.crl.signature",
    "dcap.intermediate.authority",
    "dcap.intermediate.available",
    "dcap.intermediate.issuer",
    "dcap.intermediate.revoked",
    "dcap.intermediate.signature",
    "dcap.intermediate.validity",
    "dcap.pck.authority",
    "dcap.pck.available",
    "dcap.pck.components",
    "dcap.pck.extension",
    "dcap.pck.key",
    "dcap.pck.name",
    "dcap.pck.revoked",
    "dcap.pck.signature",
    "dcap.pck.validity",
    "dcap.qe-identity.available",
    "dcap.qe-identity.duplicate-key",
    "dcap.qe-identity.format",
    "dcap.qe-identity.id",
    "dcap.qe-identity.order",
    "dcap.qe-identity.signature",
    "dcap.qe-identity.window",
    "dcap.qe.attributes",
    "dcap.qe.binding",
    "dcap.qe.misc-select",
    "dcap.qe.product",
    "dcap.qe.report-signature",
    "dcap.qe.signer",
    "dcap.quote.signature",
    "dcap.root.pinned",
    "dcap.root.validity",
    "dcap.tcb-info.available",
    "dcap.tcb-info.duplicate-key",
    "dcap.tcb-info.fmspc",
    "dcap.tcb-info.format",
    "dcap.tcb-info.module-order",
    "dcap.tcb-info.order",
    "dcap.tcb-info.pce-id",
    "dcap.tcb-info.signature",
    "dcap.tcb-info.tee",
    "dcap.tcb-info.window",
    "dcap.tcb-signer.available",
    "dcap.tcb-signer.revoked",
    "dcap.tcb-signer.signature",
    "dcap.tcb-signer.validity",
    "tdx.eventlog.replay",
    "tdx.module.attributes",
    "tdx.module.identity",
    "tdx.module.loaded",
    "tdx.module.signer",
];

/// What one verification may look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'c> {
    heap: &'c Endorsements,
    anchors: &'c Anchors,
    at: UnixTime,
    crypto: &'c CryptoProvider,
}

/// What is proven about one quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteFacts {
    /// Version of the quote format: 3, 4 or 5.
    pub version: u16,
    /// What the quote says about the enclave or the trust domain.
    pub claims: Body,
    /// The platform as its PCK certificate describes it: FMSPC, PCEID, PPID, platform instance,
    /// SVNs, SGX type, configuration.
    pub platform: PckExtension,
    /// SHA-256 of the PCK certificate in DER.
    pub pck_fingerprint: [u8; 32],
    /// The certified key: an uncompressed point on P-256, 65 bytes.
    pub pck_public_key: Vec<u8>,
    /// The PCK certificate's serial number without leading zeros.
    pub pck_serial: Vec<u8>,
    /// Common name of the CA that issued the PCK certificate.
    pub pck_issuer: String,
    /// SHA-256 of that CA's certificate in DER.
    pub pck_issuer_fingerprint: [u8; 32],
    /// First instant of the PCK certificate's validity.
    pub pck_not_before: UnixTime,
    /// Last instant of the PCK certificate's validity.
    pub pck_not_after: UnixTime,
    /// How the platform stands: status, its parts, date and advisories.
    pub standing: Standing,
    /// Number, window and source of the TCB Info.
    pub tcb_info: Issue,
    /// Number, window and source of the QE Identity.
    pub qe_identity: Issue,
    /// The number of the whole: the smaller of the two documents'.
    pub evaluation_number: u32,
    /// When the first of the two documents stops counting.
    pub collateral_until: UnixTime,
    /// What the root's lists say about the PCK CA.
    pub root_revocation: Revocation,
    /// What the PCK CA's lists say about the PCK certificate.
    pub pck_revocation: Revocation,
    /// Bytes that follow the quote and that nobody signed.
    pub trailing_bytes: usize,
    /// The root that the chain ends in.
    pub root: Root,
    /// What its builder says about the firmware of a trust domain, where that came along.
    pub firmware: Firmware,
    /// What was skipped on the way, each with its source and the reason.
    pub notes: Vec<String>,
    /// What the evidence was bound to.
    pub binding: Binding,
    /// What the boot log says of the registers; `None` where none was held against them.
    pub boot: Option<BootLog>,
}

/// Verifies one quote at an instant.
///
/// `endorsements` may hold certificates, lists and documents of many platforms: those that verify,
/// are in force and speak about this platform are found (highest evaluation number, then latest
/// issue); bad ones are skipped and named in the notes, and decide only where no good one is left.
///
/// # Errors
/// The first check that fails: [`Error::Malformed`] for a chain that is none,
/// [`Error::Unavailable`] where a certificate or a document in force is missing, else
/// [`Error::Untrusted`].
pub fn quote(
    quote: &Quote<'_>,
    endorsements: &Endorsements,
    anchors: &Anchors,
    binding: &Binding,
    at: UnixTime,
    crypto: &CryptoProvider,
) -> Result<Verified<QuoteFacts>, Error> {
    let context = Context {
        heap: endorsements,
        anchors,
        at,
        crypto,
    };
    let (trail, proven) = prove(&context, quote, binding)?;
    proven.answer(trail, &context, quote, binding)
}

/// What is proven apart from the quote itself: the platform and the documents about it.
#[derive(Debug, Clone)]
struct Proven {
    pck: chain::Pck,
    info: tcb::TcbInfo,
    identity: identity::QeIdentity,
    notes: Vec<String>,
    /// The ids of the PCK chain, before those of the quoting enclave.
    chain: Vec<&'static str>,
    /// The ids of the documents, behind that of the binding.
    documents: Vec<&'static str>,
}

/// Proves the platform, its quoting enclave and the documents about both.
fn prove(
    context: &Context<'_>,
    quote: &Quote<'_>,
    binding: &Binding,
) -> Result<(Trail, Proven), Error> {
    let mut trail = Trail::new();
    let mut notes = Vec::new();
    let lists = lists::read(context);
    let (pck, ground) = chain::pck(&mut trail, context, quote, &lists, &mut notes)?;
    let chain = trail.passed().to_vec();
    spoken(&mut trail, context.crypto, quote, &pck, binding)?;
    let from = trail.passed().len();
    let signers = signers::tcb_signers(&mut trail, context, &ground)?;
    let tee = quote.header.tee;
    let subject = tcb::Subject::of(tee, &pck.extension);
    let (infos, identities) = document::of_heap(context, &mut notes);
    let info = tcb::find(&mut trail, context, &signers, infos, subject, &mut notes)?;
    let identity = identity::find(&mut trail, context, &signers, identities, tee, &mut notes)?;
    notes.sort();
    notes.dedup();
    let documents = trail.passed().get(from..).unwrap_or_default().to_vec();
    let proven = Proven {
        pck,
        info,
        identity,
        notes,
        chain,
        documents,
    };
    Ok((trail, proven))
}

/// Checks what the quoting enclave said, and for which question: never the same twice.
fn spoken(
    trail: &mut Trail,
    crypto: &CryptoProvider,
    quote: &Quote<'_>,
    pck: &chain::Pck,
    binding: &Binding,
) -> Result<(), Error> {
    qe::check(trail, crypto, quote, &pck.public_key)?;
    binding.check(trail, quote.report_data())
}

impl Proven {
    /// Holds the quote against what is proven of its platform; the checks on its signatures are on
    /// the trail already.
    fn answer(
        &self,
        mut trail: Trail,
        context: &Context<'_>,
        quote: &Quote<'_>,
        binding: &Binding,
    ) -> Result<Verified<QuoteFacts>, Error> {
        let (pck, info, identity) = (&self.pck, &self.info, &self.identity);
        identity.check(&mut trail, &quote.qe_report)?;
        let standing = standing(&mut trail, quote, &pck.extension, info, identity)?;
        let beside = google::Context {
            endorsements: context.heap,
            anchors: context.anchors,
            at: context.at,
            crypto: context.crypto,
        };
        let firmware = google::firmware_of(&quote.body, &beside, &mut trail);
        let facts = QuoteFacts {
            firmware,
            version: quote.header.version,
            claims: quote.body.clone(),
            platform: pck.extension,
            pck_fingerprint: pck.fingerprint,
            pck_public_key: pck.public_key.clone(),
            pck_serial: pck.serial.clone(),
            pck_issuer: pck.issuer.clone(),
            pck_issuer_fingerprint: pck.issuer_fingerprint,
            pck_not_before: pck.not_before,
            pck_not_after: pck.not_after,
            standing,
            evaluation_number: info
                .issue
                .evaluation_number
                .min(identity.issue.evaluation_number),
            collateral_until: info.issue.next_update.min(identity.issue.next_update),
            tcb_info: info.issue.clone(),
            qe_identity: identity.issue.clone(),
            root_revocation: pck.root_list.clone(),
            pck_revocation: pck.pck_list.clone(),
            trailing_bytes: quote.trailing.len(),
            root: context.anchors.intel().root.clone(),
            notes: self.notes.clone(),
            binding: binding.clone(),
            boot: None,
        };
        Ok(Verified::assertion(facts, trail))
    }
}

/// The status of the platform, after the checks on the TDX module.
fn standing(
    trail: &mut Trail,
    quote: &Quote<'_>,
    pck: &PckExtension,
    info: &tcb::TcbInfo,
    identity: &identity::QeIdentity,
) -> Result<Standing, Error> {
    let level = tcb::svn_match(&identity.levels, quote.qe_report.isv_svn);
    match &quote.body {
        Body::Sgx(_) => Ok(info.standing_sgx(&pck.tcb, level)),
        Body::Tdx(report) => {
            info.check_module(trail, report)?;
            let (standing, loaded_unknown) = info.standing_tdx(&pck.tcb, report, level);
            // spec: dcap.tdx.module-loaded
            trail.check("tdx.module.loaded", || {
                loaded_unknown.map_or(Ok(()), |broken| Err(broken.into()))
            })?;
            Ok(standing)
        }
    }
}

#[cfg(test)]
mod tests;
