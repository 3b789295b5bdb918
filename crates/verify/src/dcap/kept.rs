//! A platform that was proven once and is kept with the documents about it, so that the next quote of
//! the same machine costs two signatures instead of eight.
//!
//! *Guarantee*: an answer from here is the answer that [`super::quote`] would give, to the byte. What is
//! kept answers only for the same root, the same certification data and the same endorsements byte for
//! byte (certificates, lists, documents), and at instants at which nothing among them begins, ends or is
//! due. What depends on the quote is never kept: its signatures, its binding, the quoting enclave and
//! the TDX module, and the levels that they reach are checked every time.
//!
//! Never refuses anybody: where it has no answer, all is verified anew, and that says why.

use sha2::{Digest as _, Sha256};
use zeuge_evidence::{
    UnixTime,
    dcap::{CertificationData, Quote, Tee},
    x509::{Certificate, RevocationList},
};

use super::{
    Context, Proven, QuoteFacts, chain,
    document::{Envelope, Kind},
    spoken,
};
use crate::{
    Anchors, Binding, Endorsements, Error, Trail, Verified, anchors::Anchor,
    crypto::CryptoProvider, window::Window,
};

/// A proven platform and the documents about it, kept by the caller.
#[derive(Debug, Clone)]
pub struct KeptPlatform {
    tee: Tee,
    /// What the quote brought to prove its platform: the same bytes, the same certificate.
    certification: Vec<u8>,
    endorsements: Endorsements,
    anchor: Anchor,
    window: Window,
    crypto: CryptoProvider,
    proven: Proven,
}

/// The certificates in a quote, as received; `None` where it only names its platform.
const fn brought<'q>(quote: &'q Quote<'_>) -> Option<&'q [u8]> {
    match quote.certification {
        CertificationData::Leaf(bytes) | CertificationData::Chain(bytes) => Some(bytes),
        CertificationData::Platform { .. } | CertificationData::Manifest(_) => None,
    }
}

impl KeptPlatform {
    /// A name for what a quote stands on, to keep it under: the hash of the certificates in the quote;
    /// `None` where it only names its platform. The same name promises nothing.
    #[must_use]
    pub fn name(quote: &Quote<'_>) -> Option<[u8; 32]> {
        let tee = [u8::from(quote.header.tee == Tee::Tdx)];
        let hash = Sha256::new_with_prefix(tee).chain_update(brought(quote)?);
        Some(hash.finalize().into())
    }

    /// Verifies as [`super::quote`] does, and keeps what the next quote of this machine may stand on;
    /// `None` where nothing can be kept: the quote only names its platform, or a note tells of this very
    /// instant.
    ///
    /// It holds a copy of the endorsements: hand over those of one machine, not a folder of many.
    ///
    /// # Errors
    /// As [`super::quote`].
    pub fn verify_and_keep(
        quote: &Quote<'_>,
        endorsements: &Endorsements,
        anchors: &Anchors,
        binding: &Binding,
        at: UnixTime,
        crypto: &CryptoProvider,
    ) -> Result<(Verified<QuoteFacts>, Option<Self>), Error> {
        let context = Context {
            heap: endorsements,
            anchors,
            at,
            crypto,
        };
        let (trail, proven) = super::prove(&context, quote, binding)?;
        let verified = proven.answer(trail, &context, quote, binding)?;
        let instant = at.to_string();
        let lasts = proven.notes.iter().all(|note| !note.contains(&instant));
        let kept = brought(quote).filter(|_| lasts).map(|bytes| Self {
            tee: quote.header.tee,
            certification: bytes.to_vec(),
            endorsements: endorsements.clone(),
            anchor: anchors.intel().clone(),
            window: window(quote, endorsements, anchors, at),
            crypto: *crypto,
            proven,
        });
        Ok((verified, kept))
    }

    /// The facts about this quote, if what is kept answers for it: the same as [`super::quote`] proves.
    /// `None` says nothing about the quote; ask [`super::quote`].
    ///
    /// Signatures are checked by the provider with which the platform was proven.
    #[must_use]
    pub fn verify(
        &self,
        quote: &Quote<'_>,
        endorsements: &Endorsements,
        anchors: &Anchors,
        binding: &Binding,
        at: UnixTime,
    ) -> Option<Verified<QuoteFacts>> {
        let same = self.window.holds(at)
            && self.tee == quote.header.tee
            && brought(quote) == Some(&self.certification)
            && self.anchor == *anchors.intel()
            && self.is_about(endorsements);
        if !same {
            return None;
        }
        let proven = &self.proven;
        let ids = proven.chain.len().saturating_add(proven.documents.len());
        let mut trail = Trail::with_room(ids.saturating_add(QUOTE_CHECKS));
        trail.replace_after(0, &proven.chain);
        spoken(&mut trail, &self.crypto, quote, &proven.pck, binding).ok()?;
        let spoken = trail.passed().len();
        trail.replace_after(spoken, &proven.documents);
        let context = Context {
            heap: endorsements,
            anchors,
            at,
            crypto: &self.crypto,
        };
        proven.answer(trail, &context, quote, binding).ok()
    }

    /// The first instant at which this no longer answers; `None` if it always will.
    #[must_use]
    pub const fn until(&self) -> Option<UnixTime> {
        self.window.until()
    }

    /// Whether certificates, lists and documents are the ones that were verified, byte for byte.
    fn is_about(&self, endorsements: &Endorsements) -> bool {
        self.endorsements.certificates == endorsements.certificates
            && self.endorsements.revocation_lists == endorsements.revocation_lists
            && self.endorsements.documents == endorsements.documents
    }
}

/// Checks on a quote, its binding, its quoting enclave and its module.
const QUOTE_CHECKS: usize = 12;

/// Verifies one quote as [`super::quote`] does, with the platform in `kept` if it answers; else all is
/// verified anew and what can be kept is kept instead. One provider per kept platform.
///
/// # Errors
/// As [`super::quote`]; `kept` then stays as it was.
pub fn quote_with_kept(
    kept: &mut Option<KeptPlatform>,
    quote: &Quote<'_>,
    endorsements: &Endorsements,
    anchors: &Anchors,
    binding: &Binding,
    at: UnixTime,
    crypto: &CryptoProvider,
) -> Result<Verified<QuoteFacts>, Error> {
    let answer = kept
        .as_ref()
        .and_then(|platform| platform.verify(quote, endorsements, anchors, binding, at));
    if let Some(verified) = answer {
        return Ok(verified);
    }
    let (verified, platform) =
        KeptPlatform::verify_and_keep(quote, endorsements, anchors, binding, at, crypto)?;
    if platform.is_some() {
        *kept = platform;
    }
    Ok(verified)
}

/// The window around this instant, from every date of the endorsements, of the certificates in the
/// quote and of the pinned root.
fn window(
    quote: &Quote<'_>,
    endorsements: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> Window {
    let mut window = Window::around(at);
    let own = chain::brought(quote).unwrap_or_default();
    let held = endorsements.certificates.iter().map(|held| &held.bytes);
    let held = held.chain(&own).map(Vec::as_slice);
    for bytes in held.chain([anchors.intel().certificate()]) {
        if let Ok(certificate) = Certificate::parse(bytes) {
            window.validity(certificate.not_before, Some(certificate.not_after));
        }
    }
    for held in &endorsements.revocation_lists {
        if let Ok(list) = RevocationList::parse(&held.bytes) {
            window.validity(list.this_update, list.next_update);
        }
    }
    for held in &endorsements.documents {
        for kind in [Kind::TcbInfo, Kind::QeIdentity] {
            let envelope = Envelope::open(kind, &held.source, &held.bytes);
            // One whose dates cannot be read is of no use at any instant.
            if let Some(Ok(issue)) = envelope.map(|envelope| envelope.issue()) {
                window.validity(issue.issue_date, Some(issue.next_update));
            }
        }
    }
    window
}
