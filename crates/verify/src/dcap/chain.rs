//! Intel's certificates: root → PCK CA → PCK leaf.
//!
//! The root is pinned by key: Intel has published more than one certificate of it. Intermediates
//! are found by name and signature, in the quote first and then in the heap, because genuine
//! quotes bring them in any order. Never trusts a root from evidence.

use std::borrow::Cow;

use zeuge_evidence::{
    Malformed, UnixTime,
    dcap::{CertificationData, PpidForm, Quote},
    der,
    x509::{Certificate, Name, RevocationList},
};

use super::{
    Broken, Context, Difference,
    lists::{self, Lists, Read, Revocation},
    pck::PckExtension,
    qe,
};
use crate::{
    Error, Trail, Unavailable,
    anchors::fingerprint,
    x509::{KeyKind, is_valid_at, key_kind, signed_by},
};

/// A chain has three certificates; a quote with more than this is hostile.
const CHAIN_MAX: usize = 8;
const ROOT_NAME: &str = "SGX Root CA";
const LEAF_NAME: &str = "SGX PCK Certificate";

/// A PCK certificate that is proven, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pck {
    /// SHA-256 of the certificate in DER.
    pub(crate) fingerprint: [u8; 32],
    /// The certified key, an uncompressed point.
    pub(crate) public_key: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    /// The issuer's common name.
    pub(crate) issuer: String,
    /// SHA-256 of the issuer's certificate in DER.
    pub(crate) issuer_fingerprint: [u8; 32],
    pub(crate) extension: PckExtension,
    pub(crate) root_list: Revocation,
    pub(crate) pck_list: Revocation,
}

/// A name for people: the common name, or the whole name in hex where there is none.
pub(crate) fn name(name: &Name<'_>) -> String {
    name.common_name()
        .map_or_else(|| hex::encode(name.raw), str::to_owned)
}

/// Whether the subject's common name has this part.
pub(crate) fn is_named(certificate: &Certificate<'_>, part: &str) -> bool {
    certificate
        .subject
        .common_name()
        .is_some_and(|name| name.contains(part))
}

/// The certificates that the quote brings in DER, in its order; each can be read. Intel's order is
/// leaf first.
pub(crate) fn brought(quote: &Quote<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    let blocks = blocks(quote)?;
    parsed(&blocks)?;
    Ok(blocks)
}

/// The blocks of PEM that the quote brings in place of certificates.
fn blocks(quote: &Quote<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    let bytes = match quote.certification {
        CertificationData::Chain(bytes) | CertificationData::Leaf(bytes) => bytes,
        CertificationData::Platform { .. } | CertificationData::Manifest(_) => {
            return Ok(Vec::new());
        }
    };
    let alone = matches!(quote.certification, CertificationData::Leaf(_));
    let blocks = der::pem_blocks(bytes, &["CERTIFICATE"], CHAIN_MAX);
    let blocks = if blocks.is_empty() && alone {
        vec![bytes.to_vec()]
    } else {
        blocks
    };
    let bare = alone && !bytes.starts_with(b"-----");
    let whole = bare || is_whole(bytes, blocks.len());
    if blocks.is_empty() || !whole || (alone && blocks.len() > 1) {
        return Err(Malformed::invalid(
            // spec: dcap.quote.certification-data
            "dcap.certification-data",
            0,
            "PCK certificate chain",
            "it holds no certificate, one that cannot be read, or too many for its type",
        ));
    }
    Ok(blocks)
}

fn parsed(blocks: &[Vec<u8>]) -> Result<Vec<Certificate<'_>>, Malformed> {
    blocks.iter().map(|der| Certificate::parse(der)).collect()
}

/// Whether every line that begins or ends a block belongs to one of the `blocks` that were read:
/// the reader of PEM passes over the rest in silence, and a changed chain must not pass.
fn is_whole(text: &[u8], blocks: usize) -> bool {
    let (mut begun, mut certificates, mut ended) = (0_usize, 0_usize, 0_usize);
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'-' {
            begun = begun.saturating_add(rest.starts_with(b"-----BEGIN ").into());
            let first = rest.starts_with(b"-----BEGIN CERTIFICATE-----");
            certificates = certificates.saturating_add(first.into());
            ended = ended.saturating_add(rest.starts_with(b"-----END CERTIFICATE-----").into());
        }
        rest = after;
    }
    [begun, certificates, ended] == [blocks; 3]
}

/// What all of Intel's chains stand on: the pinned root, and the lists that it signed.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    pub(crate) root: Certificate<'a>,
    pub(crate) lists: Lists<'a>,
}

impl<'a> Ground<'a> {
    /// The ground for documents alone, where no platform is proven.
    pub(crate) fn of(
        context: &Context<'a>,
        all: &'a [Read<'a>],
        notes: &mut Vec<String>,
    ) -> Result<Self, Error> {
        let root = root(&mut Trail::new(), context)?;
        let lists = lists::of_issuer(context, all, &root, notes);
        Ok(Self { root, lists })
    }
}

/// Proves the PCK certificate of a quote; returns with it the ground that it stands on.
pub(crate) fn pck<'a>(
    trail: &mut Trail,
    context: &Context<'a>,
    quote: &Quote<'_>,
    all: &'a [Read<'a>],
    notes: &mut Vec<String>,
) -> Result<(Pck, Ground<'a>), Error> {
    let blocks = blocks(quote)?;
    let brought = parsed(&blocks)?;
    let root = root(trail, context)?;
    check_brought_roots(trail, context, &brought, &root)?;
    let leaf = match brought.first() {
        Some(first) => Cow::Borrowed(first),
        None => Cow::Owned(from_heap(trail, context, quote)?),
    };
    let intermediate = intermediate(trail, context, &root, &leaf, &brought)?;
    let extension = check_leaf(trail, context, &leaf)?;
    let root_lists = lists::of_issuer(context, all, &root, notes);
    let root_list = lists::revoked(
        trail,
        context,
        (&root, &root_lists),
        notes,
        |trail, lists| {
            // spec: dcap.chain.intermediate-revoked
            trail.check("dcap.intermediate.revoked", || {
                lists::not_listed(lists, &intermediate)
                    .map_err(|d| Broken::IntermediateRevoked(d).into())
            })
        },
    )?;
    let pck_lists = lists::of_issuer(context, all, &intermediate, notes);
    let issuer = (&*intermediate, &pck_lists);
    let pck_list = lists::revoked(trail, context, issuer, notes, |trail, lists| {
        // spec: dcap.pck.revoked
        trail.check("dcap.pck.revoked", || {
            lists::not_listed(lists, &leaf).map_err(|d| Broken::PckRevoked(d).into())
        })
    })?;
    let pck = Pck {
        fingerprint: fingerprint(leaf.raw),
        public_key: leaf.public_key.key.to_vec(),
        serial: leaf.serial.to_vec(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        issuer: name(&intermediate.subject),
        issuer_fingerprint: fingerprint(intermediate.raw),
        extension,
        root_list,
        pck_list,
    };
    let lists = root_lists;
    Ok((pck, Ground { root, lists }))
}

/// The pinned root, in force at the instant.
fn root<'c>(trail: &mut Trail, context: &Context<'c>) -> Result<Certificate<'c>, Error> {
    let root = Certificate::parse(context.anchors.intel().certificate())?;
    // spec: dcap.chain.root-validity
    trail.check("dcap.root.validity", || {
        if is_valid_at(&root, context.at) {
            return Ok(());
        }
        Err(Broken::RootOutOfWindow(Difference::window(context.at, &root)).into())
    })?;
    Ok(root)
}

/// Whatever calls itself a root in the evidence must be a certificate of the pinned key by the
/// pinned key.
fn check_brought_roots(
    trail: &mut Trail,
    context: &Context<'_>,
    brought: &[Certificate<'_>],
    root: &Certificate<'_>,
) -> Result<(), Error> {
    // spec: dcap.chain.root
    trail.check("dcap.root.pinned", || {
        for certificate in brought.iter().skip(1) {
            // The pinned certificate itself is what everything is held against.
            if certificate.raw == context.anchors.intel().certificate() {
                continue;
            }
            if !certificate.is_self_issued() && !is_named(certificate, ROOT_NAME) {
                continue;
            }
            let found = certificate.public_key.raw;
            if found != root.public_key.raw {
                let difference = Difference::hex(certificate.public_key.key, root.public_key.key);
                return Err(Broken::RootNotPinned(difference).into());
            }
            if signed_by(certificate, &root.public_key, context.crypto).is_err() {
                let difference = Difference::new("a changed certificate", name(&root.subject));
                return Err(Broken::RootNotPinned(difference).into());
            }
        }
        Ok(())
    })
}

/// A certificate of the heap for certification data that names the platform only.
fn from_heap<'c>(
    trail: &mut Trail,
    context: &Context<'c>,
    quote: &Quote<'_>,
) -> Result<Certificate<'c>, Error> {
    let held = context.heap.certificates.iter().find_map(|held| {
        let certificate = Certificate::parse(&held.bytes).ok()?;
        let extension = PckExtension::of(&certificate).ok()?;
        let fits = is_meant(quote, &extension)
            && qe::report_signed_by(quote, certificate.public_key.key, context.crypto);
        fits.then_some(certificate)
    });
    // spec: dcap.pck.at-hand
    trail.check("dcap.pck.available", || match (&held, &quote.certification) {
        (Some(_), _) => Ok(()),
        (None, CertificationData::Platform { cpu_svn, pce_svn, .. }) => Err(no_pck(format!(
            "a PCK certificate with CPUSVN {} and PCESVN {pce_svn} whose key signed the QE report",
            hex::encode(cpu_svn)
        ))),
        (None, _) => Err(no_pck("the PCK certificate of this quote")),
    })?;
    // Without the check above: no platform is known to have signed the QE report.
    held.ok_or_else(|| {
        Broken::QeReportSignatureBad(Difference::new("nobody", "a PCK certificate")).into()
    })
}

/// Whether a certificate is of the platform and the TCB that certification data 1 to 3 name.
fn is_meant(quote: &Quote<'_>, extension: &PckExtension) -> bool {
    let CertificationData::Platform {
        form,
        ppid,
        cpu_svn,
        pce_svn,
        pce_id,
    } = &quote.certification
    else {
        return false;
    };
    extension.tcb.cpu_svn == *cpu_svn
        && extension.tcb.pce_svn == *pce_svn
        && pce_id.is_none_or(|id| id == extension.pce_id || id == reversed(extension.pce_id))
        && (*form != PpidForm::Plain || extension.ppid == *ppid)
}

/// Quotes hold PCEID as a little-endian number, certificates as a byte string.
const fn reversed([first, second]: [u8; 2]) -> [u8; 2] {
    [second, first]
}

pub(crate) fn no_pck(what: impl Into<String>) -> Error {
    Error::Unavailable(Unavailable {
        check: "dcap.pck.available",
        what: what.into(),
        remedy: "the platform's owner has it from Intel's provisioning certification service",
    })
}

/// Finds the leaf's issuer and proves it under the root.
fn intermediate<'b, 'c: 'b>(
    trail: &mut Trail,
    context: &Context<'c>,
    root: &Certificate<'_>,
    leaf: &Certificate<'_>,
    brought: &'b [Certificate<'b>],
) -> Result<Cow<'b, Certificate<'b>>, Error> {
    // A quote that brings the issuer is taken at its word: a broken one is not mended from the heap.
    let is_issuer = |certificate: &Certificate<'_>| certificate.subject.raw == leaf.issuer.raw;
    let own = brought.iter().skip(1).filter(|own| is_issuer(own));
    let mut candidates: Vec<Cow<'_, Certificate<'_>>> = own.map(Cow::Borrowed).collect();
    if candidates.is_empty() {
        let held = context.heap.certificates.iter();
        let held = held.filter_map(|held| Certificate::parse(&held.bytes).ok());
        candidates.extend(held.filter(is_issuer).map(Cow::Owned));
    }
    let mut first = None;
    for candidate in candidates {
        if candidate.is_self_issued() {
            continue;
        }
        let mut own = Trail::new();
        match check_intermediate(&mut own, context, root, &candidate, leaf) {
            Ok(()) => {
                trail.extend(own);
                return Ok(candidate);
            }
            Err(error) if first.is_none() => first = Some(error),
            Err(_) => {}
        }
    }
    if let Some(error) = first {
        return Err(error);
    }
    // spec: dcap.chain.intermediate-at-hand
    trail.check("dcap.intermediate.available", || {
        Err(Error::Unavailable(Unavailable {
            check: "dcap.intermediate.available",
            what: format!("the certificate of {}", name(&leaf.issuer)),
            remedy: "quotes usually bring it, and Intel's provisioning certification service has it",
        }))
    })?;
    // Without the check above: nobody is known to have signed the leaf.
    Err(Broken::PckSignatureBad(Difference::new(
        "a leaf without its issuer",
        name(&leaf.issuer),
    ))
    .into())
}

fn check_intermediate(
    trail: &mut Trail,
    context: &Context<'_>,
    root: &Certificate<'_>,
    candidate: &Certificate<'_>,
    leaf: &Certificate<'_>,
) -> Result<(), Error> {
    check_authority(trail, context, root, candidate)?;
    // spec: dcap.pck.signature
    trail.check("dcap.pck.signature", || {
        signed_by(leaf, &candidate.public_key, context.crypto).map_err(|_| {
            let difference = Difference::new(name(&leaf.subject), name(&candidate.subject));
            Broken::PckSignatureBad(difference).into()
        })
    })
}

/// Proves a PCK CA under the root.
fn check_authority(
    trail: &mut Trail,
    context: &Context<'_>,
    root: &Certificate<'_>,
    candidate: &Certificate<'_>,
) -> Result<(), Error> {
    // spec: dcap.chain.intermediate-issuer
    trail.check("dcap.intermediate.issuer", || {
        if candidate.issuer.raw == root.subject.raw {
            return Ok(());
        }
        let difference = Difference::new(name(&candidate.issuer), name(&root.subject));
        Err(Broken::IntermediateIssuerDiffers(difference).into())
    })?;
    // spec: dcap.chain.intermediate-signature
    trail.check("dcap.intermediate.signature", || {
        signed_by(candidate, &root.public_key, context.crypto).map_err(|_| {
            let difference = Difference::new(name(&candidate.subject), name(&root.subject));
            Broken::IntermediateSignatureBad(difference).into()
        })
    })?;
    // spec: dcap.chain.intermediate-authority
    trail.check("dcap.intermediate.authority", || {
        let constraints = candidate.basic_constraints()?;
        let usage = candidate.key_usage()?;
        let authority = constraints.is_some_and(|constraints| constraints.authority);
        if authority && usage.is_some_and(zeuge_evidence::x509::KeyUsage::cert_sign) {
            return Ok(());
        }
        let difference = Difference::new("no authority", "CA with keyCertSign");
        Err(Broken::IntermediateNotAuthority(difference).into())
    })?;
    // spec: dcap.chain.intermediate-validity
    trail.check("dcap.intermediate.validity", || {
        if is_valid_at(candidate, context.at) {
            return Ok(());
        }
        Err(Broken::IntermediateOutOfWindow(Difference::window(context.at, candidate)).into())
    })
}

/// Proves a PCK certificate that is held apart from any quote, with its CA from the heap; returns
/// what it says, the CA's common name, and until when both count.
pub(crate) fn held_leaf(
    trail: &mut Trail,
    context: &Context<'_>,
    bytes: &[u8],
) -> Result<(PckExtension, String, UnixTime), Error> {
    let root = root(trail, context)?;
    let leaf = Certificate::parse(bytes)?;
    let issuer = intermediate(trail, context, &root, &leaf, &[])?;
    let extension = check_leaf(trail, context, &leaf)?;
    let until = leaf.not_after.min(issuer.not_after);
    Ok((extension, name(&issuer.subject), until))
}

/// Proves a list (DER) of the root, or of the PCK CA whose common name has this part and whose
/// certificate is in the heap; returns the list and the issuer's common name.
pub(crate) fn held_list<'b>(
    trail: &mut Trail,
    context: &Context<'_>,
    bytes: &'b [u8],
    ca: Option<&str>,
) -> Result<(RevocationList<'b>, String), Error> {
    let list = RevocationList::parse(bytes)?;
    let root = root(trail, context)?;
    let Some(part) = ca else {
        lists::check_list(trail, context, &list, &root)?;
        return Ok((list, name(&root.subject)));
    };
    let mut failure = None;
    for held in &context.heap.certificates {
        let Ok(candidate) = Certificate::parse(&held.bytes) else {
            continue;
        };
        if candidate.is_self_issued() || !is_named(&candidate, part) {
            continue;
        }
        let mut own = Trail::new();
        let proven = check_authority(&mut own, context, &root, &candidate)
            .and_then(|()| lists::check_list(&mut own, context, &list, &candidate));
        match proven {
            Ok(()) => {
                trail.extend(own);
                return Ok((list, name(&candidate.subject)));
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| {
        Error::Unavailable(Unavailable {
            check: "dcap.intermediate.available",
            what: format!("the certificate of Intel's {part}, which signs this list"),
            remedy: "it comes with every answer of Intel's provisioning certification service",
        })
    }))
}

/// What the leaf says of itself.
fn check_leaf(
    trail: &mut Trail,
    context: &Context<'_>,
    leaf: &Certificate<'_>,
) -> Result<PckExtension, Error> {
    // spec: dcap.pck.validity
    trail.check("dcap.pck.validity", || {
        if is_valid_at(leaf, context.at) {
            return Ok(());
        }
        Err(Broken::PckOutOfWindow(Difference::window(context.at, leaf)).into())
    })?;
    // spec: dcap.pck.name
    trail.check("dcap.pck.name", || {
        if is_named(leaf, LEAF_NAME) {
            return Ok(());
        }
        Err(Broken::PckNameDiffers(Difference::new(name(&leaf.subject), LEAF_NAME)).into())
    })?;
    // spec: dcap.pck.authority
    trail.check("dcap.pck.authority", || {
        if leaf
            .basic_constraints()?
            .is_none_or(|constraints| !constraints.authority)
        {
            return Ok(());
        }
        Err(Broken::PckIsAuthority(Difference::new("CA", "no CA")).into())
    })?;
    // spec: dcap.pck.key
    trail.check("dcap.pck.key", || match key_kind(&leaf.public_key) {
        Some(KeyKind::P256) => Ok(()),
        other => {
            let found = format!("{} ({other:?})", leaf.public_key.algorithm.oid);
            Err(Broken::PckKeyKind(Difference::new(found, "P-256")).into())
        }
    })?;
    let mut read = None;
    // spec: dcap.pck.extension
    trail.check("dcap.pck.extension", || {
        let extension = PckExtension::of(leaf).map_err(|refusal| {
            let wanted = "platform, TCB, PCEID, FMSPC and SGX type";
            Broken::PckExtensionBad(Difference::new(refusal.to_string(), wanted))
        })?;
        read = Some(extension);
        Ok(())
    })?;
    let Some(extension) = read else {
        return Err(no_pck("a PCK certificate with an SGX extension"));
    };
    // spec: dcap.pck.components
    trail.check("dcap.pck.components", || {
        let tcb = &extension.tcb;
        if tcb.components == tcb.cpu_svn {
            return Ok(());
        }
        Err(Broken::PckComponentsDiffer(Difference::hex(&tcb.cpu_svn, &tcb.components)).into())
    })?;
    Ok(extension)
}
