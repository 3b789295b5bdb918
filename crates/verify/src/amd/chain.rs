//! The links of AMD's chain above the leaf, and the leaf's own signature.
//!
//! Chooses the nearest root and intermediate first and checks them afterwards, so that each rule
//! has exactly one place where it can fail. Being chosen is not being believed. No signature is
//! computed twice in one verification: choosing and checking ask the same question.

use std::cell::Cell;

use zeuge_evidence::{
    snp::Product,
    x509::{Certificate, PublicKeyInfo},
};

use super::{Broken, Context, Window, leaf::Kind, leaf::issuer_name};
use crate::{
    Error, Trail, Unavailable,
    anchors::{Anchor, fingerprint},
    crypto::Scheme,
    pss,
    x509::{KeyKind, is_valid_at, key_kind},
};

/// Intermediates of one name that are looked at: AMD has issued at most two per product and kind;
/// beyond this the rest is not looked at.
pub(crate) const INTERMEDIATES_MAX: usize = 16;
/// Extensions that an intermediate may mark critical: BasicConstraints and KeyUsage.
const CRITICAL_KNOWN: [&str; 2] = ["2.5.29.19", "2.5.29.15"];

/// A certificate and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Sourced<'c> {
    pub(crate) source: &'c str,
    pub(crate) certificate: Certificate<'c>,
}

/// One certificate (whole, as received), one key, and whether the key signed the certificate.
type Answer<'c> = (&'c [u8], &'c [u8], bool);

/// The signatures of one verification that were computed: what was asked, byte for byte, and the
/// answer. Grows by one entry per computed signature, so it is bounded by what bounds those.
#[derive(Default)]
pub(crate) struct Answers<'c>(Cell<Vec<Answer<'c>>>);

impl std::fmt::Debug for Answers<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Answers")
    }
}

impl<'c> Answers<'c> {
    /// The answer for these bytes, computed when they were not asked about before.
    fn or_compute(
        &self,
        certificate: &'c [u8],
        key: &'c [u8],
        compute: impl FnOnce() -> bool,
    ) -> bool {
        let mut known = self.0.take();
        let found = known
            .iter()
            .find(|(other, other_key, _)| *other == certificate && *other_key == key);
        let answer = match found {
            Some((_, _, answer)) => *answer,
            None => {
                let answer = compute();
                known.push((certificate, key, answer));
                answer
            }
        };
        self.0.set(known);
        answer
    }
}

/// Every certificate of the heap that can be read.
pub(crate) fn certificates<'c>(context: &Context<'c>) -> Vec<Sourced<'c>> {
    let held = &context.heap.certificates;
    held.iter()
        .filter_map(|held| {
            Some(Sourced {
                source: &held.source,
                certificate: Certificate::parse(&held.bytes).ok()?,
            })
        })
        .collect()
}

/// The intermediates that may have signed this leaf, nearest first: those that did, else the one
/// that comes nearest.
pub(crate) fn intermediates<'c>(
    context: &Context<'c>,
    held: &[Sourced<'c>],
    leaf: &Certificate<'c>,
    kind: Kind,
    product: Product,
) -> Vec<Sourced<'c>> {
    let wanted = issuer_name(kind, product);
    let is_wanted =
        |sourced: &Sourced<'_>| sourced.certificate.subject.common_name() == Some(wanted);
    let carried = context.anchors.amd_intermediates(product).iter();
    let carried = carried.filter_map(|bytes| {
        Some(Sourced {
            source: "carried by this program",
            certificate: Certificate::parse(bytes).ok()?,
        })
    });
    let mut found: Vec<Sourced<'c>> = carried.filter(is_wanted).collect();
    for sourced in held.iter().filter(|sourced| is_wanted(sourced)) {
        let known = |other: &Sourced<'_>| other.certificate.raw == sourced.certificate.raw;
        if found.len() < INTERMEDIATES_MAX && !found.iter().any(known) {
            found.push(sourced.clone());
        }
    }
    let anchor = Certificate::parse(context.anchors.amd(product).certificate()).ok();
    let signed_leaf = |ask: &Sourced<'c>| is_signed_by(context, leaf, &ask.certificate.public_key);
    let rank = |ask: &Sourced<'c>| {
        let rooted = anchor
            .as_ref()
            .is_some_and(|ark| is_signed_by(context, &ask.certificate, &ark.public_key));
        let in_force = is_valid_at(&ask.certificate, context.at);
        let named = ask.certificate.subject.raw == leaf.issuer.raw;
        (named, rooted, in_force, ask.certificate.not_before)
    };
    found.sort_by_cached_key(|ask| std::cmp::Reverse((signed_leaf(ask), rank(ask))));
    let signers = found.iter().filter(|ask| signed_leaf(ask)).count();
    found.truncate(signers.max(1));
    found
}

/// The root that signed this intermediate: the pinned one, else one that somebody brought, else
/// the pinned one all the same. `amd.ark.pinned` then tells them apart.
pub(crate) fn root<'c>(
    context: &Context<'c>,
    held: &[Sourced<'c>],
    anchor: &'c Anchor,
    ask: &Certificate<'c>,
) -> Result<Certificate<'c>, Error> {
    let pinned = Certificate::parse(anchor.certificate())?;
    if is_signed_by(context, ask, &pinned.public_key) {
        return Ok(pinned);
    }
    let brought = held
        .iter()
        .map(|sourced| &sourced.certificate)
        .filter(|ark| ark.is_self_issued() && ark.subject.raw == ask.issuer.raw)
        .take(INTERMEDIATES_MAX)
        .find(|ark| is_signed_by(context, ask, &ark.public_key));
    Ok(brought.cloned().unwrap_or(pinned))
}

/// Whether there is an intermediate at all.
pub(crate) fn available<'s, 'c>(
    trail: &mut Trail,
    asks: &'s [Sourced<'c>],
    kind: Kind,
    product: Product,
) -> Result<&'s Sourced<'c>, Error> {
    let missing = || Unavailable {
        check: "amd.ask.available",
        what: format!(
            "the intermediate certificate {}",
            issuer_name(kind, product)
        ),
        remedy: "AMD's key service publishes it as cert_chain of this product",
    };
    // spec: sev-snp.chain.intermediate-at-hand
    trail.check("amd.ask.available", || match asks.first() {
        Some(_) => Ok(()),
        None => Err(missing().into()),
    })?;
    // Without the check above: nobody is known to have signed the leaf.
    asks.first().ok_or_else(|| {
        Broken::LeafSignatureBad {
            found: "a leaf without an intermediate".to_owned(),
            wanted: issuer_name(kind, product).to_owned(),
        }
        .into()
    })
}

/// Root and intermediate: pinned, named, signed, allowed to certify, in force.
pub(crate) fn check<'c>(
    trail: &mut Trail,
    context: &Context<'c>,
    anchor: &Anchor,
    ark: &Certificate<'c>,
    ask: &Sourced<'c>,
) -> Result<(), Error> {
    let Sourced {
        source,
        certificate: ask,
    } = ask;
    // spec: sev-snp.chain.pinned
    trail.check("amd.ark.pinned", || {
        let found = fingerprint(ark.raw);
        if found == anchor.root.fingerprint {
            return Ok(());
        }
        Err(Broken::ArkNotPinned {
            found: hex::encode(found),
            wanted: hex::encode(anchor.root.fingerprint),
        }
        .into())
    })?;
    // spec: sev-snp.chain.root-validity
    trail.check("amd.ark.validity", || {
        in_force(context, ark).map_err(|window| Broken::ArkOutOfWindow(window).into())
    })?;
    // spec: sev-snp.chain.intermediate-issuer
    trail.check("amd.ask.issuer", || {
        if ask.issuer.raw == ark.subject.raw {
            return Ok(());
        }
        let (found, wanted) = super::names(&ask.issuer, &ark.subject);
        Err(Broken::AskIssuerDiffers { found, wanted }.into())
    })?;
    // spec: sev-snp.chain.intermediate-signature
    trail.check("amd.ask.signature", || {
        let amds = pss::AMD.is_named(&ask.algorithm, &ask.inner_algorithm);
        if amds && is_signed_by(context, ask, &ark.public_key) {
            return Ok(());
        }
        Err(Broken::AskSignatureBad {
            found: format!("{} of {source}", super::name(&ask.subject)),
            wanted: super::name(&ark.subject),
        }
        .into())
    })?;
    // spec: sev-snp.chain.intermediate-authority
    trail.check("amd.ask.authority", || Ok(authority(ask)?))?;
    // spec: sev-snp.chain.intermediate-validity
    trail.check("amd.ask.validity", || {
        in_force(context, ask).map_err(|window| Broken::AskOutOfWindow(window).into())
    })
}

/// The leaf: signed by the intermediate with AMD's scheme, in force, and about a key on P-384.
pub(crate) fn check_leaf<'c>(
    trail: &mut Trail,
    context: &Context<'c>,
    ask: &Certificate<'c>,
    leaf: &Sourced<'c>,
) -> Result<(), Error> {
    let Sourced {
        source,
        certificate: leaf,
    } = leaf;
    // spec: sev-snp.chain.pss
    trail.check("snp.vcek.algorithm", || {
        if pss::AMD.is_named(&leaf.algorithm, &leaf.inner_algorithm) {
            return Ok(());
        }
        let (outer, inner) = (leaf.algorithm.raw, leaf.inner_algorithm.raw);
        Err(Broken::LeafAlgorithmDiffers {
            found: format!("{} and {}", hex::encode(outer), hex::encode(inner)),
        }
        .into())
    })?;
    // spec: sev-snp.chain.leaf-signature
    trail.check("snp.vcek.signature", || {
        if is_signed_by(context, leaf, &ask.public_key) {
            return Ok(());
        }
        Err(Broken::LeafSignatureBad {
            found: (*source).to_owned(),
            wanted: super::name(&ask.subject),
        }
        .into())
    })?;
    // spec: sev-snp.chain.leaf-validity
    trail.check("snp.vcek.validity", || {
        in_force(context, leaf).map_err(|window| Broken::LeafOutOfWindow(window).into())
    })?;
    // spec: sev-snp.chain.leaf-key
    trail.check("snp.vcek.key", || {
        let uncompressed = matches!(leaf.public_key.key, [4, rest @ ..] if rest.len() == 96);
        if key_kind(&leaf.public_key) == Some(KeyKind::P384) && uncompressed {
            return Ok(());
        }
        Err(Broken::LeafKeyKind {
            found: hex::encode(leaf.public_key.algorithm.raw),
        }
        .into())
    })
}

/// Whether this key made the signature with AMD's scheme. What the identifiers say is a question
/// of its own.
fn is_signed_by<'c>(
    context: &Context<'c>,
    certificate: &Certificate<'c>,
    issuer: &PublicKeyInfo<'c>,
) -> bool {
    let compute = || {
        let signatures = context.crypto.signatures;
        let (message, signature) = (certificate.signed, certificate.signature);
        signatures
            .verify(Scheme::RsaPssSha384, issuer.key, message, signature)
            .is_ok()
    };
    key_kind(issuer) == Some(KeyKind::Rsa)
        && context
            .answers
            .or_compute(certificate.raw, issuer.key, compute)
}

fn in_force(context: &Context<'_>, certificate: &Certificate<'_>) -> Result<(), Window> {
    if is_valid_at(certificate, context.at) {
        return Ok(());
    }
    Err(Window {
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        at: context.at,
    })
}

fn authority(ask: &Certificate<'_>) -> Result<(), Broken> {
    let broken = |found: String, wanted| Broken::AskNotAuthority { found, wanted };
    match ask.basic_constraints() {
        Ok(Some(constraints)) if constraints.authority => {}
        Ok(_) => return Err(broken("no authority".to_owned(), "CA:true")),
        Err(malformed) => return Err(broken(malformed.to_string(), "CA:true")),
    }
    match ask.key_usage() {
        Ok(Some(usage)) if usage.cert_sign() => {}
        Ok(_) => return Err(broken("a key for other uses".to_owned(), "keyCertSign")),
        Err(malformed) => return Err(broken(malformed.to_string(), "keyCertSign")),
    }
    let unknown = ask
        .extensions
        .iter()
        .find(|extension| extension.critical && !CRITICAL_KNOWN.contains(&extension.oid.as_str()));
    match unknown {
        Some(extension) => Err(broken(
            format!("critical extension {}", extension.oid),
            "none that is unknown",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Anchors, Endorsements, crypto::AWS_LC};
    use zeuge_evidence::{UnixTime, x509::Extension};

    const ASK: &[u8] = include_bytes!("../anchors/amd/ask-milan.der");
    const ASVK: &[u8] = include_bytes!("../anchors/amd/asvk-turin.der");

    /// The outcome for an intermediate of Milan that was changed after reading, at a year.
    fn outcome(
        year: i64,
        product: Product,
        change: impl FnOnce(&mut Certificate<'_>),
    ) -> Result<Vec<&'static str>, Error> {
        let (heap, anchors) = (Endorsements::new(), Anchors::makers());
        let at = UnixTime::from_civil(year, 1, 1, 0, 0, 0).unwrap();
        let context = Context::new(&heap, &anchors, at, &AWS_LC);
        let mut ask = Sourced {
            source: "test",
            certificate: Certificate::parse(ASK).unwrap(),
        };
        change(&mut ask.certificate);
        let anchor = anchors.amd(product);
        let ark = root(&context, &[], anchor, &ask.certificate)?;
        let mut trail = Trail::new();
        check(&mut trail, &context, anchor, &ark, &ask)?;
        Ok(trail.passed().to_vec())
    }

    fn refusal(year: i64, change: impl FnOnce(&mut Certificate<'_>)) -> &'static str {
        outcome(year, Product::Milan, change).unwrap_err().check()
    }

    #[test]
    fn the_makers_intermediate_passes_every_check_of_its_link() {
        assert_eq!(
            outcome(2026, Product::Milan, |_| {}),
            Ok(vec![
                "amd.ark.pinned",
                "amd.ark.validity",
                "amd.ask.issuer",
                "amd.ask.signature",
                "amd.ask.authority",
                "amd.ask.validity",
            ])
        );
    }

    // spec: sev-snp.chain.product-root
    #[test]
    fn an_intermediate_of_one_product_does_not_hang_from_the_root_of_another() {
        let error = outcome(2026, Product::Genoa, |_| {}).unwrap_err();
        assert_eq!(error.check(), "amd.ask.issuer");
    }

    #[test]
    fn time_is_checked_for_the_root_and_for_the_intermediate() {
        assert_eq!(refusal(2019, |_| {}), "amd.ark.validity");
        assert_eq!(refusal(2046, |_| {}), "amd.ark.validity");
        let late = UnixTime::from_civil(2030, 1, 1, 0, 0, 0).unwrap();
        assert_eq!(
            refusal(2026, |ask| ask.not_before = late),
            "amd.ask.validity"
        );
    }

    // spec: sev-snp.chain.identifiers-equal
    #[test]
    fn another_algorithm_inside_than_beside_is_refused() {
        let other = Certificate::parse(ASVK).unwrap().public_key.algorithm;
        let change = |ask: &mut Certificate<'_>| ask.inner_algorithm.raw = other.raw;
        let outcome = outcome(2026, Product::Milan, change);
        assert_eq!(outcome.unwrap_err().check(), "amd.ask.signature");
    }

    #[test]
    fn an_intermediate_without_the_right_to_certify_is_refused() {
        for oid in ["2.5.29.19", "2.5.29.15"] {
            let found = refusal(2026, |ask| ask.extensions.retain(|other| other.oid != oid));
            assert_eq!(found, "amd.ask.authority");
        }
        // BasicConstraints without the flag, KeyUsage with digitalSignature alone.
        for (oid, value) in [
            ("2.5.29.19", &[0x30, 0][..]),
            ("2.5.29.15", &[3, 2, 7, 0x80]),
        ] {
            let found = refusal(2026, |ask| {
                let place = ask.extensions.iter_mut().find(|other| other.oid == oid);
                place.unwrap().value = value;
            });
            assert_eq!(found, "amd.ask.authority");
        }
    }

    #[test]
    fn an_unknown_critical_extension_of_the_intermediate_is_refused() {
        let found = refusal(2026, |ask| {
            ask.extensions.push(Extension {
                oid: "1.2.3.4".to_owned(),
                critical: true,
                value: &[5, 0],
                offset: 0,
            });
        });
        assert_eq!(found, "amd.ask.authority");
    }
}
