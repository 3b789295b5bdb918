//! Google's launch endorsements of the firmware in its confidential machines, where one comes along.
//!
//! *Flow*: pinned root → the signer's certificate → signature → the measurement that the CPU's
//! report was proven to hold.
//!
//! *Guarantees*: Google put its name to this very measurement, for the shapes and with the security
//! version that are told.
//!
//! *Caveats*: an endorsement says who built the firmware, not what the firmware started. It adds to
//! what is proven and decides nothing by itself: one that is broken or of another measurement is a
//! fact ([`Firmware::Refused`]) which appraisal weighs, because whoever runs the host may put any
//! bytes beside a good report. The root is pinned by its fingerprint; its certificate travels in the
//! endorsement or lies among the caller's. No revocation lists are published for it.

mod broken;

use zeuge_evidence::{
    UnixTime,
    dcap::Body,
    google::{Golden, LaunchEndorsement},
    x509::Certificate,
};

use crate::{
    Anchors, Endorsements, Error, Root, Trail, Verified,
    anchors::fingerprint,
    crypto::{CryptoProvider, Scheme},
    pss,
    x509::{KeyKind, is_valid_at, key_kind},
};

pub use broken::{Broken, Difference};

/// The ids of the checks in this file.
pub const CHECKS: &[&str] = &[
    "google.endorsement.issuer",
    "google.endorsement.measurement",
    "google.endorsement.root",
    "google.endorsement.signature",
    "google.endorsement.usage",
    "google.endorsement.validity",
];

/// Endorsements that are tried for one report; a folder with more is cut here.
const ENDORSEMENTS_MAX: usize = 64;
/// Extensions that are understood; another critical one breaks the chain.
const UNDERSTOOD: [&str; 2] = ["2.5.29.15", "2.5.29.19"];

/// What the CPU measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured<'a> {
    /// MEASUREMENT of an SEV-SNP report.
    Snp(&'a [u8; 48]),
    /// MRTD of a trust domain.
    Tdx(&'a [u8; 48]),
}

/// What Google says about the measured firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsedFirmware {
    /// Google's security version of it.
    pub svn: u32,
    /// When it was endorsed.
    pub timestamp: UnixTime,
    /// SHA-384 of its file; empty where the endorsement names none.
    pub digest: Vec<u8>,
    /// The shapes of machines that have this measurement, in words.
    pub shapes: Vec<String>,
    /// SHA-256 of the signer's certificate.
    pub signer: [u8; 32],
    /// Last instant of that certificate.
    pub signer_not_after: UnixTime,
    /// The root that the chain ends in.
    pub root: Root,
}

/// What is known about the firmware beside the CPU's measurement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Firmware {
    /// No endorsement came along.
    #[default]
    NotGiven,
    /// Its builder put its name to the measurement.
    Endorsed(Box<EndorsedFirmware>),
    /// What came along proves nothing about this measurement, and why.
    Refused(Box<Error>),
}

/// Where verification looks.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What somebody brought.
    pub endorsements: &'a Endorsements,
    /// The makers' roots.
    pub anchors: &'a Anchors,
    /// The instant.
    pub at: UnixTime,
    /// Who checks signatures.
    pub crypto: &'a CryptoProvider,
}

/// Verifies one endorsement of one measurement at an instant.
///
/// # Errors
/// `google.endorsement`; else the first check that fails, in the order `google.endorsement.root`,
/// `….validity`, `….issuer`, `….usage`, `….signature`, `….measurement`.
pub fn endorsed(
    bytes: &[u8],
    measured: Measured<'_>,
    context: &Context<'_>,
) -> Result<Verified<EndorsedFirmware>, Error> {
    let read = LaunchEndorsement::parse(bytes)?;
    let golden = &read.golden;
    let signer = Certificate::parse(golden.certificate)?;
    let pinned = context.anchors.google();
    let mut trail = Trail::new();
    let root = root(&mut trail, golden, context)?;
    trail.check("google.endorsement.validity", || {
        let mut chain = [&root, &signer].into_iter();
        match chain.find(|certificate| !is_valid_at(certificate, context.at)) {
            None => Ok(()),
            Some(certificate) => {
                Err(Broken::OutOfWindow(Difference::window(context.at, certificate)).into())
            }
        }
    })?;
    trail.check("google.endorsement.issuer", || {
        issued(&signer, &root, context.crypto)
    })?;
    trail.check("google.endorsement.usage", || may_sign(&signer))?;
    trail.check("google.endorsement.signature", || {
        context
            .crypto
            .signatures
            .verify(
                Scheme::RsaPssSha256,
                signer.public_key.key,
                read.signed,
                read.signature,
            )
            .map_err(|_| {
                let found = format!("certificate {}", hex::encode(fingerprint(signer.raw)));
                Broken::SignatureBad(Difference::new(found, "a signature by its key")).into()
            })
    })?;
    let (svn, shapes) = shapes(golden, measured);
    trail.check("google.endorsement.measurement", || {
        if !shapes.is_empty() {
            return Ok(());
        }
        let (Measured::Snp(found) | Measured::Tdx(found)) = measured;
        let wanted = listed(golden, measured);
        Err(Broken::MeasurementNotListed(Difference::new(hex::encode(found), wanted)).into())
    })?;
    let facts = EndorsedFirmware {
        svn,
        timestamp: golden.timestamp,
        digest: golden.digest.to_vec(),
        shapes,
        signer: fingerprint(signer.raw),
        signer_not_after: signer.not_after,
        root: pinned.clone(),
    };
    Ok(Verified::assertion(facts, trail))
}

/// The firmware behind a proven measurement, by the endorsement that speaks about it; the latest of
/// several. What holds is recorded on the trail.
pub(crate) fn firmware(
    measured: Measured<'_>,
    context: &Context<'_>,
    trail: &mut Trail,
) -> Firmware {
    let mut refused = None;
    let mut best: Option<Verified<EndorsedFirmware>> = None;
    let brought = &context.endorsements.firmware;
    for held in brought.iter().take(ENDORSEMENTS_MAX) {
        match endorsed(&held.bytes, measured, context) {
            Ok(verified) => {
                let later = |best: &Verified<EndorsedFirmware>| {
                    best.fact().timestamp < verified.fact().timestamp
                };
                if best.as_ref().is_none_or(later) {
                    best = Some(verified);
                }
            }
            // One of another shape lies in every folder; what is broken is more worth telling.
            Err(error) => {
                let other = |error: &Error| error.check() == "google.endorsement.measurement";
                if refused.as_ref().is_none_or(other) {
                    refused = Some(error);
                }
            }
        }
    }
    match (best, refused) {
        (Some(verified), _) => {
            trail.extend(verified.trail().clone());
            Firmware::Endorsed(Box::new(verified.fact().clone()))
        }
        (None, Some(error)) => Firmware::Refused(Box::new(error)),
        (None, None) => Firmware::NotGiven,
    }
}

/// The firmware of a trust domain; an enclave has none.
pub(crate) fn firmware_of(body: &Body, context: &Context<'_>, trail: &mut Trail) -> Firmware {
    match body {
        Body::Tdx(report) => firmware(Measured::Tdx(&report.mr_td), context, trail),
        Body::Sgx(_) => Firmware::NotGiven,
    }
}

/// The certificate of the pinned root, out of the endorsement or from beside it.
fn root<'a>(
    trail: &mut Trail,
    golden: &'a Golden<'_>,
    context: &Context<'a>,
) -> Result<Certificate<'a>, Error> {
    let pinned = context.anchors.google();
    let held = context.endorsements.certificates.iter();
    let mut candidates = golden
        .bundle
        .iter()
        .chain(held.map(|certificate| &certificate.bytes));
    let root = candidates.find(|der| fingerprint(der) == pinned.fingerprint);
    let first = golden.bundle.first();
    trail.check("google.endorsement.root", || match root {
        Some(_) => Ok(()),
        None => {
            let found = first.map_or_else(
                || "no root's certificate".to_owned(),
                |other| hex::encode(fingerprint(other)),
            );
            let wanted = hex::encode(pinned.fingerprint);
            Err(Broken::RootNotPinned(Difference::new(found, wanted)).into())
        }
    })?;
    // Where the check was taken away, the first that claims to be the root stands in its place.
    let root = root.or(first).map(Vec::as_slice);
    Ok(Certificate::parse(root.unwrap_or_default())?)
}

/// The root issued the signer's certificate, and may.
fn issued(
    signer: &Certificate<'_>,
    root: &Certificate<'_>,
    crypto: &CryptoProvider,
) -> Result<(), Error> {
    let authority = root.basic_constraints()?.is_some_and(|one| one.authority)
        && root.key_usage()?.is_some_and(|usage| usage.cert_sign());
    let fault = if signer.issuer.raw != root.subject.raw {
        "another issuer's name"
    } else if !authority {
        "an issuer that may not certify"
    } else if !pss::GOOGLE.is_named(&signer.algorithm, &signer.inner_algorithm)
        || key_kind(&root.public_key) != Some(KeyKind::Rsa)
    {
        "a signature of another kind"
    } else if crypto
        .signatures
        .verify(
            Scheme::RsaPssSha256,
            root.public_key.key,
            signer.signed,
            signer.signature,
        )
        .is_err()
    {
        "a signature that is not the root's"
    } else {
        return Ok(());
    };
    let wanted = "a certificate that the root signed with RSASSA-PSS and SHA-256";
    Err(Broken::NotIssued(Difference::new(fault, wanted)).into())
}

/// The signer's key signs documents, and nothing below it.
fn may_sign(signer: &Certificate<'_>) -> Result<(), Error> {
    let mut extensions = signer.extensions.iter();
    let unknown = extensions
        .find(|extension| extension.critical && !UNDERSTOOD.contains(&extension.oid.as_str()));
    let authority = signer.basic_constraints()?.is_some_and(|one| one.authority);
    let signs = signer
        .key_usage()?
        .is_some_and(|usage| usage.digital_signature());
    let found = match unknown {
        Some(extension) => format!("critical extension {}", extension.oid),
        None if authority => "an authority".to_owned(),
        None if !signs || key_kind(&signer.public_key) != Some(KeyKind::Rsa) => {
            "a key for something else".to_owned()
        }
        None => return Ok(()),
    };
    Err(Broken::SignerUsage(Difference::new(found, "an RSA key that signs documents")).into())
}

/// The security version, and the shapes that have this measurement.
fn shapes(golden: &Golden<'_>, measured: Measured<'_>) -> (u32, Vec<String>) {
    match (measured, &golden.snp, &golden.tdx) {
        (Measured::Snp(found), Some(snp), _) => {
            let of = |(shape, value): (&u32, &&[u8; 48])| {
                (*value == found).then(|| format!("{shape} virtual CPUs"))
            };
            (snp.svn, snp.measurements.iter().filter_map(of).collect())
        }
        (Measured::Tdx(found), _, Some(tdx)) => {
            let listed = tdx.measurements.iter();
            let shapes = listed.filter(|shape| shape.mr_td == found).map(|shape| {
                match (shape.ram_gib, shape.early_accept) {
                    (0, _) => "any memory".to_owned(),
                    (gib, true) => format!("{gib} GiB, all accepted early"),
                    (gib, false) => format!("{gib} GiB"),
                }
            });
            (tdx.svn, shapes.collect())
        }
        _ => (0, Vec::new()),
    }
}

/// What the endorsement lists instead.
fn listed(golden: &Golden<'_>, measured: Measured<'_>) -> String {
    let count = match measured {
        Measured::Snp(_) => golden.snp.as_ref().map(|snp| snp.measurements.len()),
        Measured::Tdx(_) => golden.tdx.as_ref().map(|tdx| tdx.measurements.len()),
    };
    format!("one of the {} listed", count.unwrap_or_default())
}
