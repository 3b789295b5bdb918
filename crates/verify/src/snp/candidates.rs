//! Finds the leaf that certifies the report's signer in a heap of many, and proves it.
//!
//! Choosing decides nothing: the nearest leaves are taken, and each then runs through every check.
//! If none holds, the failure that is told is that of the nearest.

use std::cmp::Reverse;

use zeuge_evidence::{
    snp::{Product, Report, SigningKey},
    x509::Certificate,
};

use super::Signer;
use crate::{
    Error, Trail, Unavailable,
    amd::{
        self, Broken, Context, Revocation,
        chain::{self, Sourced},
        crl,
        leaf::{self, Kind},
    },
    anchors::fingerprint,
    crypto::CryptoProvider,
    x509::is_valid_at,
};

/// Leaves that fit equally well: AMD issues a few per chip and TCB over the years. The rest, with
/// the earliest dates, is not looked at, so that a hostile heap costs little.
const LEAVES_MAX: usize = 32;

/// What a report is held against, of the leaf that certifies its signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    /// By the subject, by the issuer.
    kinds: (Kind, Kind),
    /// hwID, padded to the width of CHIP_ID.
    chip: Option<[u8; 64]>,
    /// TCB_VERSION, in the layout of the product.
    tcb: Option<[u8; 8]>,
}

/// What a chain proves about its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proven {
    pub(super) spoken: Spoken,
    pub(super) product: Product,
    pub(super) signer: Signer,
    pub(super) leaf_fingerprint: [u8; 32],
    pub(super) intermediate_fingerprint: [u8; 32],
    pub(super) leaf_public_key: Vec<u8>,
    pub(super) leaf_serial: Vec<u8>,
    pub(super) leaf_not_before: zeuge_evidence::UnixTime,
    pub(super) leaf_not_after: zeuge_evidence::UnixTime,
    pub(super) product_name: String,
    pub(super) revocation: Revocation,
    pub(super) notes: Vec<String>,
}

/// How well a leaf fits the report, the weightiest first: kind, product, chip, TCB.
type Fit = (bool, bool, bool, bool);

/// Finds a leaf whose chain holds and which signed the report.
pub(super) fn find<'c>(
    trail: &mut Trail,
    context: &Context<'c>,
    report: &Report<'_>,
    product: Option<Product>,
) -> Result<Proven, Error> {
    let held = chain::certificates(context);
    let leaves = nearest(context, &held, report, product);
    // spec: sev-snp.chain.leaf-at-hand
    trail.check("snp.vcek.available", || match leaves.first() {
        Some(_) => Ok(()),
        None => Err(missing(report).into()),
    })?;
    let mut notes: Vec<String> = Vec::new();
    let mut failure: Option<(usize, Error)> = None;
    for leaf in leaves {
        let asks = intermediates(context, &held, product, leaf);
        // Without any intermediate one attempt says so.
        for from in 0..asks.len().max(1) {
            let mut own = Trail::new();
            let asks = asks.get(from..).unwrap_or_default();
            match prove(&mut own, context, &held, report, product, leaf, asks) {
                Ok(mut proven) => {
                    trail.extend(own);
                    notes.append(&mut proven.notes);
                    proven.notes = notes;
                    return Ok(proven);
                }
                Err(error) => {
                    notes.push(format!("{}: {}: {error}", leaf.source, error.check()));
                    // Of those that fit equally well, the one that came furthest.
                    let depth = own.passed().len();
                    if failure.as_ref().is_none_or(|(deepest, _)| depth > *deepest) {
                        failure = Some((depth, error));
                    }
                }
            }
        }
    }
    Err(failure.map_or_else(unsigned, |(_, error)| error))
}

/// The leaves that fit best, those in force first, then those of the latest date.
fn nearest<'s, 'c>(
    context: &Context<'_>,
    held: &'s [Sourced<'c>],
    report: &Report<'_>,
    product: Option<Product>,
) -> Vec<&'s Sourced<'c>> {
    let mut leaves: Vec<(Fit, &Sourced<'c>)> = held
        .iter()
        .filter_map(|sourced| Some((fit(report, product, &sourced.certificate)?, sourced)))
        .collect();
    let best = leaves.iter().map(|(fit, _)| *fit).max();
    leaves.retain(|(fit, _)| Some(*fit) == best);
    // spec: sev-snp.leaf.reissued
    leaves.sort_by_key(|(_, leaf)| {
        let in_force = is_valid_at(&leaf.certificate, context.at);
        Reverse((in_force, leaf.certificate.not_before))
    });
    leaves.truncate(LEAVES_MAX);
    leaves.into_iter().map(|(_, leaf)| leaf).collect()
}

/// How well this certificate fits; `None` when it is neither a VCEK nor a VLEK.
fn fit(report: &Report<'_>, product: Option<Product>, leaf: &Certificate<'_>) -> Option<Fit> {
    let kind = Kind::of_subject(leaf)?;
    let issuer = leaf::of_issuer(leaf);
    let kind_fits = Some(kind) == wanted_kind(report)
        && issuer.is_none_or(|(issuer_kind, _)| issuer_kind == kind);
    let product_fits = match (product, issuer) {
        (Some(wanted), Some((_, found))) => wanted == found,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let product = product.or(issuer.map(|(_, product)| product))?;
    let chip_fits = match kind {
        Kind::Vcek => names_chip(padded(leaf, product).as_ref(), &report.claims.chip_id),
        Kind::Vlek => true,
    };
    let tcb_fits = leaf::tcb(leaf, product) == Some(report.claims.reported_tcb.0);
    Some((kind_fits, product_fits, chip_fits, tcb_fits))
}

fn intermediates<'c>(
    context: &Context<'c>,
    held: &[Sourced<'c>],
    product: Option<Product>,
    leaf: &Sourced<'c>,
) -> Vec<Sourced<'c>> {
    let issuer = leaf::of_issuer(&leaf.certificate);
    let product = product.or(issuer.map(|(_, product)| product));
    match (Kind::of_subject(&leaf.certificate), product) {
        (Some(kind), Some(product)) => {
            chain::intermediates(context, held, &leaf.certificate, kind, product)
        }
        _ => Vec::new(),
    }
}

/// Every check from the leaf's kind to the report's signature, for one leaf and the first of these
/// intermediates.
fn prove<'c>(
    trail: &mut Trail,
    context: &Context<'c>,
    held: &[Sourced<'c>],
    report: &Report<'_>,
    product: Option<Product>,
    leaf: &Sourced<'c>,
    asks: &[Sourced<'c>],
) -> Result<Proven, Error> {
    let certificate = &leaf.certificate;
    let subject = Kind::of_subject(certificate).ok_or_else(unsigned)?;
    let issuer = leaf::of_issuer(certificate).map_or(subject, |(kind, _)| kind);
    let kinds = (subject, issuer);
    check_kind(trail, report, kinds)?;
    let product = check_product(trail, product, certificate)?;
    // spec: sev-snp.chain.product-root
    let anchor = context.anchors.amd(product);
    let ask = chain::available(trail, asks, subject, product)?;
    check_issuer(trail, certificate, &ask.certificate)?;
    let ark = chain::root(context, held, anchor, &ask.certificate)?;
    chain::check(trail, context, anchor, &ark, ask)?;
    let mut notes = Vec::new();
    let revocation = crl::check(trail, context, &ark, &ask.certificate, &mut notes)?;
    chain::check_leaf(trail, context, &ask.certificate, leaf)?;
    trail.check("snp.vcek.extensions", || {
        Ok(leaf::well_formed(certificate, subject, product)?)
    })?;
    let spoken = Spoken {
        kinds,
        chip: padded(certificate, product),
        tcb: leaf::tcb(certificate, product),
    };
    let signer = match subject {
        Kind::Vcek => {
            check_chip(trail, report, &spoken)?;
            Signer::Vcek {
                chip_id: report.claims.chip_id,
            }
        }
        Kind::Vlek => check_vlek(trail, certificate)?,
    };
    check_tcb(trail, report, &spoken)?;
    let leaf_fingerprint = fingerprint(certificate.raw);
    let key = certificate.public_key.key;
    super::signature(trail, report, key, &leaf_fingerprint, context.crypto)?;
    Ok(Proven {
        spoken,
        product,
        signer,
        leaf_fingerprint,
        intermediate_fingerprint: fingerprint(ask.certificate.raw),
        leaf_public_key: key.to_vec(),
        leaf_serial: certificate.serial.to_vec(),
        leaf_not_before: certificate.not_before,
        leaf_not_after: certificate.not_after,
        product_name: leaf::product_name(certificate)
            .unwrap_or_default()
            .to_owned(),
        revocation,
        notes,
    })
}

fn wanted_kind(report: &Report<'_>) -> Option<Kind> {
    match report.claims.key_info.signing_key() {
        SigningKey::Vcek => Some(Kind::Vcek),
        SigningKey::Vlek => Some(Kind::Vlek),
        SigningKey::Reserved(_) | SigningKey::None => None,
    }
}

/// The checks of one report against a leaf whose chain held before: kind, chip, TCB, signature.
/// They are those of [`find`], which meets them on its way.
pub(super) fn check_again(
    trail: &mut Trail,
    report: &Report<'_>,
    proven: &Proven,
    crypto: &CryptoProvider,
) -> Result<(), Error> {
    check_kind(trail, report, proven.spoken.kinds)?;
    if proven.spoken.kinds.0 == Kind::Vcek {
        check_chip(trail, report, &proven.spoken)?;
    }
    check_tcb(trail, report, &proven.spoken)?;
    let (key, leaf) = (&proven.leaf_public_key, &proven.leaf_fingerprint);
    super::signature(trail, report, key, leaf, crypto)
}

/// The leaf's kind, which must be the one that SIGNING_KEY names, in subject and issuer alike.
fn check_kind(
    trail: &mut Trail,
    report: &Report<'_>,
    (subject, issuer): (Kind, Kind),
) -> Result<(), Error> {
    // spec: sev-snp.key-info.kind
    trail.check("snp.vcek.kind", || {
        let wanted = wanted_kind(report);
        if Some(subject) == wanted && issuer == subject {
            return Ok(());
        }
        let found = if issuer == subject {
            subject.name().to_owned()
        } else {
            format!("{} by the issuer of {}s", subject.name(), issuer.name())
        };
        let wanted = wanted.map_or("none", Kind::name);
        Err(Broken::LeafKindDiffers { found, wanted }.into())
    })
}

/// The product that the report named, else the one that the leaf's issuer names.
fn check_product(
    trail: &mut Trail,
    named: Option<Product>,
    leaf: &Certificate<'_>,
) -> Result<Product, Error> {
    if let Some(product) = named {
        return Ok(product);
    }
    // spec: sev-snp.product.version-2
    let issuer = leaf::of_issuer(leaf).map(|(_, product)| product);
    let unknown = || Broken::ProductUnknown {
        found: format!("a leaf issued by {}", amd::name(&leaf.issuer)),
    };
    trail.check("snp.product", || match issuer {
        Some(_) => Ok(()),
        None => Err(unknown().into()),
    })?;
    issuer.ok_or_else(|| unknown().into())
}

fn check_issuer(
    trail: &mut Trail,
    leaf: &Certificate<'_>,
    ask: &Certificate<'_>,
) -> Result<(), Error> {
    trail.check("snp.vcek.issuer", || {
        if leaf.issuer.raw == ask.subject.raw {
            return Ok(());
        }
        let (found, wanted) = amd::names(&leaf.issuer, &ask.subject);
        Err(Broken::LeafIssuerDiffers { found, wanted }.into())
    })
}

/// hwID as a report would write it: on Turin with zeros after its eight bytes.
fn padded(leaf: &Certificate<'_>, product: Product) -> Option<[u8; 64]> {
    let hwid = leaf::hwid(leaf, product)?;
    let mut chip = [0; 64];
    chip.get_mut(..hwid.len())?.copy_from_slice(hwid);
    Some(chip)
}

// spec: sev-snp.leaf.chip-prefix
/// hwID must be the whole CHIP_ID: a prefix of the chip's id is another id. A masked CHIP_ID, all
/// zero, is no chip's.
fn names_chip(certified: Option<&[u8; 64]>, claimed: &[u8; 64]) -> bool {
    certified == Some(claimed) && *claimed != [0; 64]
}

fn check_chip(trail: &mut Trail, report: &Report<'_>, spoken: &Spoken) -> Result<(), Error> {
    let claimed = &report.claims.chip_id;
    trail.check("snp.vcek.chip-id", || {
        if names_chip(spoken.chip.as_ref(), claimed) {
            return Ok(());
        }
        // spec: sev-snp.leaf.chip-masked
        if *claimed == [0; 64] {
            return Err(Broken::ChipIdMasked.into());
        }
        let certified = spoken.chip.as_ref();
        Err(Broken::ChipIdDiffers {
            report: hex::encode(claimed),
            certificate: certified.map_or_else(|| "none".to_owned(), hex::encode),
        }
        .into())
    })
}

/// A VLEK names its provider and no chip.
fn check_vlek(trail: &mut Trail, leaf: &Certificate<'_>) -> Result<Signer, Error> {
    // spec: sev-snp.vlek.no-hwid
    trail.check("snp.vlek.hwid", || match leaf::hwid_extension(leaf) {
        None => Ok(()),
        Some(extension) => Err(Broken::VlekHwidPresent {
            found: hex::encode(extension.value),
        }
        .into()),
    })?;
    let csp_id = leaf::csp_id(leaf);
    // spec: sev-snp.vlek.provider
    trail.check("snp.vlek.csp-id", || match csp_id {
        Some(_) => Ok(()),
        None => Err(Broken::CspIdAbsent.into()),
    })?;
    Ok(Signer::Vlek {
        csp_id: csp_id.unwrap_or_default().to_owned(),
    })
}

/// The certificate's components must equal REPORTED_TCB, each of them.
fn check_tcb(trail: &mut Trail, report: &Report<'_>, spoken: &Spoken) -> Result<(), Error> {
    trail.check("snp.vcek.tcb", || {
        let reported = report.claims.reported_tcb.0;
        if spoken.tcb == Some(reported) {
            return Ok(());
        }
        let certified = spoken.tcb.as_ref();
        Err(Broken::LeafTcbDiffers {
            certificate: certified.map_or_else(|| "incomplete".to_owned(), hex::encode),
            report: hex::encode(reported),
        }
        .into())
    })
}

/// What is true of a report whose leaf nobody has: no known key signed it. Only reached when the
/// check that asks for a leaf has lost its body.
fn unsigned() -> Error {
    let leaf = "none".to_owned();
    Broken::ReportSignatureBad { leaf }.into()
}

fn missing(report: &Report<'_>) -> Unavailable {
    let kind = wanted_kind(report).map_or("certificate", Kind::name);
    let claims = &report.claims;
    let what = format!(
        "the {kind} for chip {} and REPORTED_TCB {}",
        hex::encode(claims.chip_id),
        hex::encode(claims.reported_tcb.0)
    );
    Unavailable {
        check: "snp.vcek.available",
        what,
        remedy: "a VCEK comes from AMD's key service, a VLEK from the host's certificate table",
    }
}
