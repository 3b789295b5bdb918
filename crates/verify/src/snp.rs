//! AMD SEV-SNP reports: which chip or provider said this, through which chain, bound to what.
//!
//! *Flow*: the fields that name the signer → the nearest leaf → root, intermediate, revocation,
//! leaf → the report's signature → the binding. The order is that of the checks' ids on the trail.
//!
//! *Guarantees*: the report's bytes **as received** were signed by a key that the pinned root of
//! this product certifies for exactly this REPORTED_TCB and, with a VCEK, for exactly this chip.
//!
//! *Caveats*: revocation is a fact with dates, perhaps [`Revocation::Missing`]; debug bits, VMPL,
//! measurement and TCB floors are read by appraisal. A VLEK binds a provider, never a chip. A
//! version 2 report does not name its product: the leaf does, and only under that product's root.

use zeuge_evidence::{Malformed, UnixTime, snp::Claims, x509};

use crate::{
    Anchors, Binding, Endorsements, Error, Root, Trail, Verified,
    amd::{Broken, Context, Revocation},
    crypto::{CryptoProvider, Scheme},
    google::{self, Firmware, Measured},
};

mod candidates;
mod fields;
mod kept;
mod needs;

use candidates::Proven;
pub use kept::{KeptChain, snp_with_kept};
pub use needs::{EndorsementId, needs};
// Words of this file's signatures, for rooms that may use this one alone.
pub use zeuge_evidence::snp::{Product, Report};

/// The ids of the checks on SNP reports and their leaves.
pub const CHECKS: &[&str] = &[
    "snp.host-requested",
    "snp.key-info.masked",
    "snp.key-info.reserved",
    "snp.key-info.signing-key",
    "snp.product",
    "snp.signature",
    "snp.signature-algorithm",
    "snp.tcb.order",
    "snp.vcek.algorithm",
    "snp.vcek.available",
    "snp.vcek.chip-id",
    "snp.vcek.extensions",
    "snp.vcek.issuer",
    "snp.vcek.key",
    "snp.vcek.kind",
    "snp.vcek.signature",
    "snp.vcek.tcb",
    "snp.vcek.validity",
    "snp.vlek.csp-id",
    "snp.vlek.hwid",
    "snp.vmpl.range",
];

/// Who signed the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// The key of one chip.
    Vcek {
        /// CHIP_ID of the report, equal to hwID of the certificate; on Turin the last 56 bytes
        /// are zero.
        chip_id: [u8; 64],
    },
    /// The key of one provider, loaded into chips that the provider chose.
    Vlek {
        /// The provider as the certificate names it.
        csp_id: String,
    },
}

/// Which signed bytes named the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductSource {
    /// The report's CPUID fields (version 3 and later).
    Report,
    /// The issuer of the leaf (version 2).
    Certificate,
}

/// What is proven about one report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpFacts {
    /// The report's fields.
    pub claims: Claims,
    /// The product whose root the chain ends in.
    pub product: Product,
    /// Where the product was read.
    pub product_from: ProductSource,
    /// Whose key signed.
    pub signer: Signer,
    /// SHA-256 of the leaf in DER. AMD issues several certificates for one key: compare keys.
    pub leaf_fingerprint: [u8; 32],
    /// SHA-256 of the intermediate in DER that certified the leaf.
    pub intermediate_fingerprint: [u8; 32],
    /// The certified key: an uncompressed point on P-384, 97 bytes.
    pub leaf_public_key: Vec<u8>,
    /// The leaf's serial number without leading zeros; AMD's is zero, hence empty.
    pub leaf_serial: Vec<u8>,
    /// First instant of the leaf's validity.
    pub leaf_not_before: UnixTime,
    /// Last instant of the leaf's validity.
    pub leaf_not_after: UnixTime,
    /// productName of the leaf, perhaps with a stepping: `Milan-B0`.
    pub product_name: String,
    /// Whether the part of `product_name` before the hyphen is the product. AMD is known to have
    /// mislabelled chips, so this is a fact and not a check.
    pub product_name_agrees: bool,
    /// What is known about revocation.
    pub revocation: Revocation,
    /// The root that the chain ends in.
    pub root: Root,
    /// What its builder says about the measured firmware, where that came along.
    pub firmware: Firmware,
    /// What was skipped on the way, each with its source and the reason.
    pub notes: Vec<String>,
    /// What the evidence was bound to.
    pub binding: Binding,
}

/// Verifies one report at an instant.
///
/// `endorsements` may hold certificates and lists of many machines: the right ones are found, bad
/// ones are skipped and named in the notes, and decide only where no good one is left. Leaves
/// must be there; AMD's intermediates are carried by this program (see
/// [`Anchors::amd_intermediates`]).
///
/// # Errors
/// The first check that fails: [`Error::Unavailable`] where no leaf or no intermediate is at hand,
/// else [`Error::Untrusted`].
pub fn snp(
    report: &Report<'_>,
    endorsements: &Endorsements,
    anchors: &Anchors,
    binding: &Binding,
    at: UnixTime,
    crypto: &CryptoProvider,
) -> Result<Verified<SnpFacts>, Error> {
    let (trail, named, proven) = prove(report, endorsements, anchors, binding, at, crypto)?;
    let context = google::Context {
        endorsements,
        anchors,
        at,
        crypto,
    };
    Ok(facts(trail, report, named, proven, binding, &context))
}

/// Every check, in the order of the ids on the trail; the product that the report named.
fn prove(
    report: &Report<'_>,
    endorsements: &Endorsements,
    anchors: &Anchors,
    binding: &Binding,
    at: UnixTime,
    crypto: &CryptoProvider,
) -> Result<(Trail, Option<Product>, Proven), Error> {
    let context = Context::new(endorsements, anchors, at, crypto);
    let mut trail = Trail::new();
    let named = fields::check(&mut trail, &report.claims)?;
    let proven = candidates::find(&mut trail, &context, report, named)?;
    binding.check(&mut trail, &report.claims.report_data)?;
    Ok((trail, named, proven))
}

/// What is proven, as the caller gets it.
fn facts(
    mut trail: Trail,
    report: &Report<'_>,
    named: Option<Product>,
    proven: Proven,
    binding: &Binding,
    context: &google::Context<'_>,
) -> Verified<SnpFacts> {
    let measured = Measured::Snp(&report.claims.measurement);
    let firmware = google::firmware(measured, context, &mut trail);
    let facts = SnpFacts {
        claims: report.claims.clone(),
        product: proven.product,
        product_from: if named.is_some() {
            ProductSource::Report
        } else {
            ProductSource::Certificate
        },
        signer: proven.signer,
        leaf_fingerprint: proven.leaf_fingerprint,
        intermediate_fingerprint: proven.intermediate_fingerprint,
        leaf_public_key: proven.leaf_public_key,
        leaf_serial: proven.leaf_serial,
        leaf_not_before: proven.leaf_not_before,
        leaf_not_after: proven.leaf_not_after,
        // spec: sev-snp.leaf.product-name
        product_name_agrees: proven.product_name.split('-').next() == Some(proven.product.name()),
        product_name: proven.product_name,
        revocation: proven.revocation,
        root: context.anchors.amd(proven.product).root.clone(),
        firmware,
        notes: proven.notes,
        binding: binding.clone(),
    };
    Verified::assertion(facts, trail)
}

/// The same outcome, unless what is missing in it lay beside the report and was broken: then that
/// decides. `broken` comes from [`Endorsements::add_beside`].
///
/// # Errors
/// As [`snp`]; [`Error::Malformed`] with `x509.certificate` instead of an issuer or leaf that is
/// not at hand, with `x509.crl` where no other revocation list was found.
pub fn unless_broken_beside(
    outcome: Result<Verified<SnpFacts>, Error>,
    broken: &[Malformed],
) -> Result<Verified<SnpFacts>, Error> {
    let missing = match &outcome {
        Err(Error::Unavailable(_)) => x509::CERTIFICATE,
        Ok(verified) if verified.fact().revocation == Revocation::Missing => x509::CRL,
        _ => return outcome,
    };
    match broken.iter().find(|broken| broken.check == missing) {
        Some(broken) => Err(broken.clone().into()),
        None => outcome,
    }
}

/// The report's signature, over the bytes as received.
fn signature(
    trail: &mut Trail,
    report: &Report<'_>,
    key: &[u8],
    leaf_fingerprint: &[u8; 32],
    crypto: &CryptoProvider,
) -> Result<(), Error> {
    // spec: sev-snp.signature.bytes
    trail.check("snp.signature", || {
        crypto
            .signatures
            .verify(
                Scheme::EcdsaP384Sha384Fixed,
                key,
                report.signed_part(),
                &report.signature_fixed(),
            )
            .map_err(|_| {
                Broken::ReportSignatureBad {
                    leaf: hex::encode(leaf_fingerprint),
                }
                .into()
            })
    })
}
