//! A chain that was verified once and is kept, so that the next report of the same machine costs
//! one signature instead of four.
//!
//! *Guarantee*: an answer from here is the answer that [`crate::snp()`] would give, to the byte.
//! A kept chain answers only for the same root, the same endorsements byte for byte (leaf,
//! issuers, lists), and instants at which no certificate or list among them begins, ends or is
//! due. What depends on the report is never kept: its fields, the kind of its key, its chip, its
//! TCB, its signature and its binding are checked every time.
//!
//! Never refuses anybody: where it has no answer, all is verified anew, and that says why.

use zeuge_evidence::{
    UnixTime,
    snp::{Product, Report},
    x509::{Certificate, RevocationList},
};

use super::{
    SnpFacts,
    candidates::{self, Proven},
    fields,
};
use crate::{
    Anchors, Binding, Endorsements, Error, Trail, Verified, anchors::Anchor,
    crypto::CryptoProvider, google, window::Window,
};

/// A verified chain, kept by the caller.
#[derive(Debug, Clone)]
pub struct KeptChain {
    endorsements: Endorsements,
    anchor: Anchor,
    window: Window,
    crypto: CryptoProvider,
    /// The product that the report named; one that names none may choose among other leaves.
    named: Option<Product>,
    proven: Proven,
    /// The ids between those of the report's fields and that of the binding.
    passed: Vec<&'static str>,
}

impl KeptChain {
    /// Verifies as [`crate::snp()`] does, and keeps the chain.
    ///
    /// The kept chain holds a copy of the endorsements: hand over those of one machine, not a
    /// folder of many.
    ///
    /// # Errors
    /// As [`crate::snp()`].
    pub fn verify_and_keep(
        report: &Report<'_>,
        endorsements: &Endorsements,
        anchors: &Anchors,
        binding: &Binding,
        at: UnixTime,
        crypto: &CryptoProvider,
    ) -> Result<(Verified<SnpFacts>, Self), Error> {
        let (trail, named, proven) =
            super::prove(report, endorsements, anchors, binding, at, crypto)?;
        let mut own = Trail::new();
        fields::check(&mut own, &report.claims)?;
        let from = own.passed().len();
        let bound = trail.passed().last() == Some(&"binding.report-data");
        let to = trail.passed().len().saturating_sub(usize::from(bound));
        let kept = Self {
            endorsements: endorsements.clone(),
            anchor: anchors.amd(proven.product).clone(),
            window: window(endorsements, anchors, proven.product, at),
            crypto: *crypto,
            named,
            proven: proven.clone(),
            passed: trail.passed().get(from..to).unwrap_or_default().to_vec(),
        };
        let context = google::Context {
            endorsements,
            anchors,
            at,
            crypto,
        };
        let verified = super::facts(trail, report, named, proven, binding, &context);
        Ok((verified, kept))
    }

    /// The facts about this report, if this chain answers for it: the same as
    /// [`crate::snp()`] proves. `None` says nothing about the report; ask [`crate::snp()`].
    ///
    /// Signatures are checked by the provider with which the chain was verified.
    #[must_use]
    pub fn verify(
        &self,
        report: &Report<'_>,
        endorsements: &Endorsements,
        anchors: &Anchors,
        binding: &Binding,
        at: UnixTime,
    ) -> Option<Verified<SnpFacts>> {
        if !self.window.holds(at) || !self.is_about(endorsements, anchors) {
            return None;
        }
        let mut trail = Trail::with_room(FIELD_CHECKS.saturating_add(self.passed.len()));
        let named = fields::check(&mut trail, &report.claims).ok()?;
        if named != self.named {
            return None;
        }
        let fields = trail.passed().len();
        candidates::check_again(&mut trail, report, &self.proven, &self.crypto).ok()?;
        trail.replace_after(fields, &self.passed);
        let data = &report.claims.report_data;
        binding.check(&mut trail, data).ok()?;
        let proven = self.proven.clone();
        let context = google::Context {
            endorsements,
            anchors,
            at,
            crypto: &self.crypto,
        };
        let verified = super::facts(trail, report, named, proven, binding, &context);
        Some(verified)
    }

    /// The first instant at which this chain no longer answers; `None` if it always will.
    #[must_use]
    pub const fn until(&self) -> Option<UnixTime> {
        self.window.until()
    }

    /// Whether root, certificates and lists are the ones that were verified, byte for byte.
    fn is_about(&self, endorsements: &Endorsements, anchors: &Anchors) -> bool {
        self.endorsements.certificates == endorsements.certificates
            && self.endorsements.revocation_lists == endorsements.revocation_lists
            && self.anchor == *anchors.amd(self.proven.product)
    }
}

/// Checks on the report's fields and its binding, as many as may stand on a trail beside those of
/// the chain.
const FIELD_CHECKS: usize = 9;

/// Verifies one report as [`crate::snp()`] does, with the chain in `kept` if it answers; else all
/// is verified anew and the new chain kept instead. One provider per kept chain: the chain's own
/// checks the signature of a report that it answers for.
///
/// # Errors
/// As [`crate::snp()`]; `kept` then stays as it was.
pub fn snp_with_kept(
    kept: &mut Option<KeptChain>,
    report: &Report<'_>,
    endorsements: &Endorsements,
    anchors: &Anchors,
    binding: &Binding,
    at: UnixTime,
    crypto: &CryptoProvider,
) -> Result<Verified<SnpFacts>, Error> {
    let answer = kept
        .as_ref()
        .and_then(|chain| chain.verify(report, endorsements, anchors, binding, at));
    if let Some(verified) = answer {
        return Ok(verified);
    }
    let (verified, chain) =
        KeptChain::verify_and_keep(report, endorsements, anchors, binding, at, crypto)?;
    *kept = Some(chain);
    Ok(verified)
}

/// The window around this instant, from every date of the endorsements, of the pinned root and of
/// the intermediates that this program carries.
fn window(
    endorsements: &Endorsements,
    anchors: &Anchors,
    product: Product,
    at: UnixTime,
) -> Window {
    let mut window = Window::around(at);
    let held = &endorsements.certificates;
    let certificates = held.iter().map(|held| held.bytes.as_slice());
    let carried = anchors.amd_intermediates(product).iter().copied();
    let pinned = std::iter::once(anchors.amd(product).certificate());
    for bytes in certificates.chain(carried).chain(pinned) {
        if let Ok(certificate) = Certificate::parse(bytes) {
            window.validity(certificate.not_before, Some(certificate.not_after));
        }
    }
    for held in &endorsements.revocation_lists {
        if let Ok(list) = RevocationList::parse(&held.bytes) {
            window.validity(list.this_update, list.next_update);
        }
    }
    window
}
