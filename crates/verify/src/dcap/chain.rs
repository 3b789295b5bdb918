//! Intel's certificates: root → PCK CA → PCK leaf, root → TCB signing, and the lists that revoke.
//!
//! The root is pinned by key: Intel has published more than one certificate of it. Intermediates
//! are found by name and signature, in the quote first and then in the heap, because genuine
//! quotes bring them in any order. Never trusts a root from evidence.

use zeuge_evidence::{
    Malformed, UnixTime,
    dcap::{CertificationData, PpidForm, Quote},
    der,
    x509::{Certificate, Name, RevocationList},
};

use super::{Broken, Context, Difference, pck::PckExtension, qe};
use crate::{
    Error, Trail, Unavailable,
    anchors::fingerprint,
    x509::{KeyKind, is_valid_at, key_kind, list_signed_by, signed_by},
};

/// A chain has three certificates; a quote with more than this is hostile.
const CHAIN_MAX: usize = 8;
/// A folder with years of lists has a few dozen per issuer; beyond, the rest is skipped and named.
const LISTS_MAX: usize = 128;
const ROOT_NAME: &str = "SGX Root CA";
const LEAF_NAME: &str = "SGX PCK Certificate";
const SIGNER_NAME: &str = "SGX TCB Signing";

/// What is known from one issuer's revocation lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// A list that the issuer signed was at hand and names nobody of this chain. It may be stale:
    /// appraisal compares the dates.
    Checked {
        /// When the list was made.
        this_update: UnixTime,
        /// When the next one is due; `None` for a list that does not say.
        next_update: Option<UnixTime>,
        /// The list's number, if it has one that fits 64 bits.
        number: Option<u64>,
        /// SHA-256 of the list in DER.
        fingerprint: [u8; 32],
        /// Where the list came from.
        source: String,
    },
    /// No list of this issuer at hand that had been made by the instant.
    Missing,
}

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
fn name(name: &Name<'_>) -> String {
    name.common_name()
        .map_or_else(|| hex::encode(name.raw), str::to_owned)
}

fn is_named(certificate: &Certificate<'_>, part: &str) -> bool {
    certificate
        .subject
        .common_name()
        .is_some_and(|name| name.contains(part))
}

/// The certificates that the quote brings, in its order. Intel's order is leaf first.
pub(crate) fn brought(quote: &Quote<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
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
    for block in &blocks {
        Certificate::parse(block)?;
    }
    Ok(blocks)
}

/// Whether every line that begins or ends a block belongs to one of the `blocks` that were read:
/// the reader of PEM passes over the rest in silence, and a changed chain must not pass.
fn is_whole(text: &[u8], blocks: usize) -> bool {
    let count = |line: &[u8]| {
        let windows = text.windows(line.len());
        windows.filter(|window| *window == line).count()
    };
    [
        &b"-----BEGIN "[..],
        b"-----BEGIN CERTIFICATE-----",
        b"-----END CERTIFICATE-----",
    ]
    .iter()
    .all(|line| count(line) == blocks)
}

/// Proves the PCK certificate of a quote; returns with it the root's lists, whose signatures were
/// checked on the way.
pub(crate) fn pck<'c>(
    trail: &mut Trail,
    context: &Context<'c>,
    quote: &Quote<'_>,
    notes: &mut Vec<String>,
) -> Result<(Pck, Lists<'c>), Error> {
    let brought = brought(quote)?;
    let root = root(trail, context)?;
    check_brought_roots(trail, context, &brought, &root)?;
    let leaf_bytes = match brought.first() {
        Some(first) => first.as_slice(),
        None => from_heap(trail, context, quote)?,
    };
    let leaf = Certificate::parse(leaf_bytes)?;
    let intermediate_bytes = intermediate(trail, context, &root, &leaf, &brought)?;
    let intermediate = Certificate::parse(&intermediate_bytes)?;
    let extension = check_leaf(trail, context, &leaf)?;
    let root_lists = lists(context, &root, notes);
    let root_list = revoked(
        trail,
        context,
        (&root, &root_lists),
        notes,
        |trail, lists| {
            // spec: dcap.chain.intermediate-revoked
            trail.check("dcap.intermediate.revoked", || {
                not_listed(lists, &intermediate).map_err(|d| Broken::IntermediateRevoked(d).into())
            })
        },
    )?;
    let pck_lists = lists(context, &intermediate, notes);
    let issuer = (&intermediate, &pck_lists);
    let pck_list = revoked(trail, context, issuer, notes, |trail, lists| {
        // spec: dcap.pck.revoked
        trail.check("dcap.pck.revoked", || {
            not_listed(lists, &leaf).map_err(|d| Broken::PckRevoked(d).into())
        })
    })?;
    let pck = Pck {
        fingerprint: fingerprint(leaf_bytes),
        public_key: leaf.public_key.key.to_vec(),
        serial: leaf.serial.to_vec(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        issuer: name(&intermediate.subject),
        issuer_fingerprint: fingerprint(&intermediate_bytes),
        extension,
        root_list,
        pck_list,
    };
    Ok((pck, root_lists))
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
    brought: &[Vec<u8>],
    root: &Certificate<'_>,
) -> Result<(), Error> {
    // spec: dcap.chain.root
    trail.check("dcap.root.pinned", || {
        for bytes in brought.iter().skip(1) {
            // The pinned certificate itself is what everything is held against.
            if bytes == context.anchors.intel().certificate() {
                continue;
            }
            let certificate = Certificate::parse(bytes)?;
            if !certificate.is_self_issued() && !is_named(&certificate, ROOT_NAME) {
                continue;
            }
            let found = certificate.public_key.raw;
            if found != root.public_key.raw {
                let difference = Difference::hex(certificate.public_key.key, root.public_key.key);
                return Err(Broken::RootNotPinned(difference).into());
            }
            if signed_by(&certificate, &root.public_key, context.crypto).is_err() {
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
) -> Result<&'c [u8], Error> {
    let held = context.heap.certificates.iter().find(|held| {
        Certificate::parse(&held.bytes).is_ok_and(|certificate| {
            PckExtension::of(&certificate).is_ok_and(|extension| is_meant(quote, &extension))
                && qe::report_signed_by(quote, certificate.public_key.key, context.crypto)
        })
    });
    // spec: dcap.pck.at-hand
    trail.check("dcap.pck.available", || match (held, &quote.certification) {
        (Some(_), _) => Ok(()),
        (None, CertificationData::Platform { cpu_svn, pce_svn, .. }) => Err(no_pck(format!(
            "a PCK certificate with CPUSVN {} and PCESVN {pce_svn} whose key signed the QE report",
            hex::encode(cpu_svn)
        ))),
        (None, _) => Err(no_pck("the PCK certificate of this quote")),
    })?;
    // Without the check above: no platform is known to have signed the QE report.
    held.map(|held| held.bytes.as_slice()).ok_or_else(|| {
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

/// Finds the leaf's issuer and proves it under the root; returns it in DER.
fn intermediate(
    trail: &mut Trail,
    context: &Context<'_>,
    root: &Certificate<'_>,
    leaf: &Certificate<'_>,
    brought: &[Vec<u8>],
) -> Result<Vec<u8>, Error> {
    // A quote that brings the issuer is taken at its word: a broken one is not mended from the heap.
    let is_issuer = |bytes: &&Vec<u8>| {
        Certificate::parse(bytes)
            .is_ok_and(|certificate| certificate.subject.raw == leaf.issuer.raw)
    };
    let own: Vec<&Vec<u8>> = brought.iter().skip(1).filter(is_issuer).collect();
    let held = context.heap.certificates.iter().map(|held| &held.bytes);
    let candidates = if own.is_empty() {
        held.filter(is_issuer).collect()
    } else {
        own
    };
    let mut first = None;
    for bytes in candidates {
        let Ok(candidate) = Certificate::parse(bytes) else {
            continue;
        };
        if candidate.is_self_issued() {
            continue;
        }
        let mut own = Trail::new();
        match check_intermediate(&mut own, context, root, &candidate, leaf) {
            Ok(()) => {
                trail.extend(own);
                return Ok(bytes.clone());
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
    let issuer = Certificate::parse(&issuer)?;
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
        check_list(trail, context, &list, &root)?;
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
            .and_then(|()| check_list(&mut own, context, &list, &candidate));
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

fn check_list(
    trail: &mut Trail,
    context: &Context<'_>,
    list: &RevocationList<'_>,
    issuer: &Certificate<'_>,
) -> Result<(), Error> {
    trail.check("dcap.crl.signature", || {
        // A delta or partial list says so in a critical extension; Intel issues none.
        let whole = list.extensions.iter().all(|extension| !extension.critical);
        let named = list.issuer.raw == issuer.subject.raw;
        if named && whole && list_signed_by(list, &issuer.public_key, context.crypto).is_ok() {
            return Ok(());
        }
        let difference = Difference::new(name(&list.issuer), name(&issuer.subject));
        Err(Broken::CrlSignatureBad(difference).into())
    })
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

/// The keys that may sign TCB Info and QE Identity at the instant.
///
/// Intel renews the certificate of one key, so every certificate at hand is looked at, and one
/// that is in force now vouches for documents that were signed before it. `root_lists` are those that
/// [`pck`] returned, where it ran before.
pub(crate) fn tcb_signers(
    trail: &mut Trail,
    context: &Context<'_>,
    root_lists: Option<&Lists<'_>>,
    notes: &mut Vec<String>,
) -> Result<Vec<Vec<u8>>, Error> {
    let root = root(&mut Trail::new(), context)?;
    let own;
    let root_lists = match root_lists {
        Some(lists) => lists,
        None => {
            own = lists(context, &root, notes);
            &own
        }
    };
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut good: Option<Trail> = None;
    let mut failures = Vec::new();
    for held in &context.heap.certificates {
        let Ok(candidate) = Certificate::parse(&held.bytes) else {
            continue;
        };
        if !is_named(&candidate, SIGNER_NAME) || candidate.issuer.raw != root.subject.raw {
            continue;
        }
        let mut own = Trail::new();
        match check_signer(&mut own, context, (&root, root_lists), &candidate) {
            Ok(()) => {
                good.get_or_insert(own);
                if !keys.iter().any(|key| key == candidate.public_key.key) {
                    keys.push(candidate.public_key.key.to_vec());
                }
            }
            Err(error) => failures.push(error),
        }
    }
    if let Some(own) = good {
        trail.extend(own);
        return Ok(keys);
    }
    // A certificate of Intel's that is out of its window is nearer than one of somebody else's.
    let nearest = failures
        .iter()
        .position(|error| error.check() != "dcap.tcb-signer.signature");
    if let Some(index) = nearest.or((!failures.is_empty()).then_some(0)) {
        return Err(failures.swap_remove(index));
    }
    // spec: dcap.tcb-signer.at-hand
    trail.check("dcap.tcb-signer.available", || {
        Err(no_signer("dcap.tcb-signer.available", context.at))
    })?;
    // Without the check above: nobody is known to have signed the documents.
    Err(Broken::TcbSignerSignatureBad(Difference::new("nobody", name(&root.subject))).into())
}

fn no_signer(check: &'static str, at: UnixTime) -> Error {
    Error::Unavailable(Unavailable {
        check,
        what: format!("a certificate of Intel's TCB signing key in force at {at}"),
        remedy: "it comes with every answer of Intel's provisioning certification service",
    })
}

fn check_signer(
    trail: &mut Trail,
    context: &Context<'_>,
    (root, root_lists): (&Certificate<'_>, &Lists<'_>),
    candidate: &Certificate<'_>,
) -> Result<(), Error> {
    // spec: dcap.tcb-signer.signature
    trail.check("dcap.tcb-signer.signature", || {
        signed_by(candidate, &root.public_key, context.crypto).map_err(|_| {
            let difference = Difference::new(name(&candidate.subject), name(&root.subject));
            Broken::TcbSignerSignatureBad(difference).into()
        })
    })?;
    // spec: dcap.tcb-signer.validity
    trail.check("dcap.tcb-signer.validity", || {
        if is_valid_at(candidate, context.at) {
            return Ok(());
        }
        Err(no_signer("dcap.tcb-signer.validity", context.at))
    })?;
    let signed: Vec<_> = root_lists.iter().filter(|list| list.is_signed).collect();
    // spec: dcap.tcb-signer.revoked
    trail.check("dcap.tcb-signer.revoked", || {
        not_listed(&signed, candidate).map_err(|d| Broken::TcbSignerRevoked(d).into())
    })
}

/// One list of an issuer, by name.
#[derive(Debug)]
pub(crate) struct List<'a> {
    source: &'a str,
    list: RevocationList<'a>,
    is_signed: bool,
}

/// The lists that name one issuer.
pub(crate) type Lists<'a> = Vec<List<'a>>;

impl List<'_> {
    /// In force before stale, then newest, then highest number.
    fn rank(&self, at: UnixTime) -> (bool, UnixTime, Option<u64>) {
        let in_force = self.list.next_update.is_some_and(|next| at <= next);
        (in_force, self.list.this_update, self.list.number())
    }
}

fn lists<'a>(
    context: &Context<'a>,
    issuer: &Certificate<'_>,
    notes: &mut Vec<String>,
) -> Lists<'a> {
    let mut out = Vec::new();
    for held in &context.heap.revocation_lists {
        let Ok(list) = RevocationList::parse(&held.bytes) else {
            continue;
        };
        if list.issuer.raw != issuer.subject.raw || list.this_update > context.at {
            continue;
        }
        let source = held.source.as_str();
        if list.extensions.iter().any(|extension| extension.critical) {
            // A delta or partial list says so in a critical extension; Intel issues none.
            notes.push(format!("{source}: the list has a critical extension"));
        } else if out.len() >= LISTS_MAX {
            notes.push(format!(
                "{source}: more than {LISTS_MAX} lists of this issuer"
            ));
        } else {
            let is_signed = list_signed_by(&list, &issuer.public_key, context.crypto).is_ok();
            out.push(List {
                source,
                list,
                is_signed,
            });
        }
    }
    out
}

/// Runs `dcap.crl.signature` and the given check on an issuer's lists.
///
/// A list with a bad signature is skipped and named, and decides only if no good one is left. A
/// revocation is for ever: any list that the issuer signed counts, however old.
fn revoked(
    trail: &mut Trail,
    context: &Context<'_>,
    (issuer, all): (&Certificate<'_>, &Lists<'_>),
    notes: &mut Vec<String>,
    check: impl FnOnce(&mut Trail, &[&List<'_>]) -> Result<(), Error>,
) -> Result<Revocation, Error> {
    let (signed, bad): (Vec<_>, Vec<_>) = all.iter().partition(|list| list.is_signed);
    let best = |lists: &[&List<'_>]| {
        lists
            .iter()
            .max_by_key(|list| list.rank(context.at))
            .map(|list| Revocation::Checked {
                this_update: list.list.this_update,
                next_update: list.list.next_update,
                number: list.list.number(),
                fingerprint: fingerprint(list.list.raw),
                source: list.source.to_owned(),
            })
    };
    if signed.is_empty() && bad.is_empty() {
        return Ok(Revocation::Missing);
    }
    // spec: dcap.chain.crl-signature
    trail.check("dcap.crl.signature", || match bad.first() {
        Some(list) if signed.is_empty() => {
            let difference = Difference::new(list.source, name(&issuer.subject));
            Err(Broken::CrlSignatureBad(difference).into())
        }
        _ => Ok(()),
    })?;
    for list in &bad {
        notes.push(format!(
            "{}: its signature is not its issuer's",
            list.source
        ));
    }
    check(trail, &signed)?;
    Ok(best(&signed)
        .or_else(|| best(&bad))
        .unwrap_or(Revocation::Missing))
}

fn not_listed(lists: &[&List<'_>], certificate: &Certificate<'_>) -> Result<(), Difference> {
    for list in lists {
        let entry = list
            .list
            .revoked
            .iter()
            .find(|entry| entry.serial == certificate.serial);
        if let Some(entry) = entry {
            let serial = hex::encode(certificate.serial);
            let found = format!("serial {serial} in {}, since {}", list.source, entry.at);
            return Err(Difference::new(found, "no entry"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(path: &str) -> Option<Vec<u8>> {
        let Some(folder) = std::env::var_os("ZEUGE_VECTORS") else {
            println!("skipped: ZEUGE_VECTORS is not set");
            return None;
        };
        Some(std::fs::read(std::path::Path::new(&folder).join(path)).unwrap())
    }

    #[test]
    fn a_listed_serial_number_is_found_and_no_other() {
        let Some(crl) = capture("open/crl/attestation-rs__pck_crl_platform.der") else {
            return;
        };
        let Some(der) = capture("open/intel-cert/phala-cloud__api-quickstart-1.der") else {
            return;
        };
        let list = RevocationList::parse(&crl).unwrap();
        assert!(list.revoked.len() > 50);
        let mut certificate = Certificate::parse(&der).unwrap();
        let serials: Vec<&[u8]> = list.revoked.iter().map(|entry| entry.serial).collect();
        let list = List {
            source: "list.der",
            list,
            is_signed: true,
        };
        let lists = [&list];
        assert_eq!(not_listed(&lists, &certificate), Ok(()));
        for serial in serials {
            certificate.serial = serial;
            assert!(not_listed(&lists, &certificate).is_err());
        }
    }

    #[test]
    fn the_extension_of_a_real_certificate_is_read() {
        let Some(der) = capture("open/intel-cert/phala-cloud__api-quickstart-1.der") else {
            return;
        };
        let certificate = Certificate::parse(&der).unwrap();
        let extension = PckExtension::of(&certificate).unwrap();
        assert_eq!(extension.pce_id, [0, 0]);
        assert_eq!(extension.tcb.components, extension.tcb.cpu_svn);
        assert!(extension.platform_instance_id.is_some() && extension.configuration.is_some());
    }

    #[test]
    fn no_changed_byte_makes_the_reader_of_the_extension_panic() {
        let Some(der) = capture("open/intel-cert/phala-cloud__api-quickstart-1.der") else {
            return;
        };
        for index in 0..der.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[index] ^= flip;
                if let Ok(certificate) = Certificate::parse(&changed) {
                    let _ = PckExtension::of(&certificate);
                }
            }
        }
    }
}
