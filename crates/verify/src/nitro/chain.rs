//! From AWS's pinned root to the certificate of the signing key, in the order of the bundle.
//!
//! Never searches: the order is AWS's. Never takes the root from the document: the first of the
//! bundle must be the pinned one, byte for byte.

use zeuge_evidence::{UnixTime, nitro::Document, x509::Certificate};

use super::{Broken, Difference};
use crate::{
    Anchors, Error, Trail,
    anchors::fingerprint,
    crypto::CryptoProvider,
    x509::{KeyKind, is_valid_at, key_kind, signed_by},
};

/// Extensions that are understood; another critical one breaks the chain.
const UNDERSTOOD: [&str; 5] = [
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.19",
    "2.5.29.31",
    "2.5.29.35",
];

/// The certificate of the signing key, once the way to it holds.
pub(super) fn verify<'a>(
    trail: &mut Trail,
    document: &Document<'a>,
    anchors: &Anchors,
    at: UnixTime,
    crypto: &CryptoProvider,
) -> Result<Certificate<'a>, Error> {
    let root = document.bundle.first().copied().unwrap_or_default();
    trail.check("nitro.root.pinned", || {
        if anchors.nitro_root(root).is_some() {
            return Ok(());
        }
        let found = hex::encode(fingerprint(root));
        let wanted = hex::encode(anchors.nitro().root.fingerprint);
        Err(Broken::RootNotPinned(Difference::new(found, wanted)).into())
    })?;
    let mut chain = Vec::new();
    for der in document.bundle.iter().chain([&document.certificate]) {
        chain.push(Certificate::parse(der)?);
    }
    let mut links = chain.iter().peekable();
    let mut below = chain.len();
    while let Some(issuer) = links.next() {
        trail.check("nitro.chain.validity", || in_force(issuer, at))?;
        let Some(certificate) = links.peek() else {
            break;
        };
        // Authorities between this one and the leaf.
        below = below.saturating_sub(1);
        trail.check("nitro.chain.authority", || {
            may_issue(issuer, below.saturating_sub(1))
        })?;
        trail.check("nitro.chain.issuer", || {
            if certificate.issuer.raw == issuer.subject.raw {
                return Ok(());
            }
            let found = describe(certificate.issuer.common_name());
            let wanted = describe(issuer.subject.common_name());
            Err(Broken::IssuerDiffers(Difference::new(found, wanted)).into())
        })?;
        trail.check("nitro.chain.signature", || {
            signed_by(certificate, &issuer.public_key, crypto).map_err(|_| {
                let found = describe(certificate.subject.common_name());
                let wanted = describe(issuer.subject.common_name());
                let wanted = format!("signed by {wanted}");
                Broken::ChainSignatureBad(Difference::new(found, wanted)).into()
            })
        })?;
    }
    let leaf = Certificate::parse(document.certificate)?;
    trail.check("nitro.leaf.key", || match key_kind(&leaf.public_key) {
        Some(KeyKind::P384) => Ok(()),
        other => {
            let found = format!("{other:?}");
            Err(Broken::LeafKey(Difference::new(found, "a key on P-384")).into())
        }
    })?;
    trail.check("nitro.leaf.usage", || may_sign(&leaf))?;
    Ok(leaf)
}

fn describe(name: Option<&str>) -> String {
    format!("{:?}", name.unwrap_or("without a name"))
}

fn in_force(certificate: &Certificate<'_>, at: UnixTime) -> Result<(), Error> {
    if is_valid_at(certificate, at) {
        return Ok(());
    }
    let name = describe(certificate.subject.common_name());
    let window = format!(
        "{} to {} ({name})",
        certificate.not_before, certificate.not_after
    );
    Err(Broken::OutOfWindow(Difference::new(at.to_string(), window)).into())
}

fn unknown_critical(certificate: &Certificate<'_>) -> Option<String> {
    let mut extensions = certificate.extensions.iter();
    let unknown = extensions
        .find(|extension| extension.critical && !UNDERSTOOD.contains(&extension.oid.as_str()))?;
    Some(format!("critical extension {}", unknown.oid))
}

/// An authority that may certify, with room for the `below` authorities under it.
fn may_issue(issuer: &Certificate<'_>, below: usize) -> Result<(), Error> {
    let constraints = issuer.basic_constraints()?;
    let usage = issuer.key_usage()?;
    let fault = if let Some(unknown) = unknown_critical(issuer) {
        unknown
    } else if !constraints.as_ref().is_some_and(|one| one.authority) {
        "no authority".to_owned()
    } else if !usage.is_some_and(|usage| usage.cert_sign()) {
        "no right to certify".to_owned()
    } else if let Some(most) = constraints.and_then(|one| one.path_length)
        && usize::try_from(most).is_ok_and(|most| below > most)
    {
        format!("{below} authorities below, where {most} may be")
    } else {
        return Ok(());
    };
    let name = describe(issuer.subject.common_name());
    let wanted = "an authority that may certify the next";
    Err(Broken::NotAuthority(Difference::new(format!("{name}: {fault}"), wanted)).into())
}

/// The leaf signs documents, and nothing else below it.
fn may_sign(leaf: &Certificate<'_>) -> Result<(), Error> {
    let authority = leaf.basic_constraints()?.is_some_and(|one| one.authority);
    let signs = leaf
        .key_usage()?
        .is_some_and(|usage| usage.digital_signature());
    let found = if let Some(unknown) = unknown_critical(leaf) {
        unknown
    } else if authority {
        "an authority".to_owned()
    } else if !signs {
        "a key for something else".to_owned()
    } else {
        return Ok(());
    };
    Err(Broken::LeafUsage(Difference::new(found, "a key that signs documents")).into())
}
