//! What AMD's service answered, held against what it was asked for, before anybody keeps it.
//!
//! For rooms that store endorsements. Decides nothing about a machine: a report is verified by
//! [`crate::snp()`], which checks everything again. Never fetches.

use zeuge_evidence::{
    UnixTime,
    snp::Product,
    x509::{Certificate, RevocationList},
};

use super::{
    Broken, Context,
    chain::{self, Sourced},
    crl,
    leaf::{self, Kind},
};
use crate::{Anchors, Endorsements, Error, Trail, Unavailable, Verified, crypto::CryptoProvider};

/// What an answer is held against.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'b> {
    /// Certificates at hand, believed by nobody.
    pub heap: &'b Endorsements,
    /// The trusted roots.
    pub anchors: &'b Anchors,
    /// The instant.
    pub at: UnixTime,
    /// Who checks signatures.
    pub crypto: &'b CryptoProvider,
}

impl<'b> Basis<'b> {
    fn context(self) -> Context<'b> {
        Context::new(self.heap, self.anchors, self.at, self.crypto)
    }
}

/// What is proven about one revocation list: the pinned root of this product signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFacts {
    /// SHA-256 of the root's certificate in DER.
    pub issuer: [u8; 32],
    /// When the list was made.
    pub this_update: UnixTime,
    /// When the next one is due; `None` for a list that does not say.
    pub next_update: Option<UnixTime>,
    /// The list's number (RFC 5280 §5.2.3), if it has one that fits 64 bits.
    pub number: Option<u64>,
}

/// Proves that the pinned root of this product signed this list (DER). Says nothing about whether
/// the list is in force.
///
/// # Errors
/// `x509.crl` for what is no list, `amd.crl.signature` for a list of anybody else.
pub fn list(
    bytes: &[u8],
    product: Product,
    anchors: &Anchors,
    crypto: &CryptoProvider,
) -> Result<Verified<ListFacts>, Error> {
    let list = RevocationList::parse(bytes)?;
    let anchor = anchors.amd(product);
    let ark = Certificate::parse(anchor.certificate())?;
    let mut trail = Trail::new();
    trail.check("amd.crl.signature", || {
        // A delta or partial list says so in a critical extension; AMD issues none.
        let whole = list.extensions.iter().all(|extension| !extension.critical);
        let named = list.issuer.raw == ark.subject.raw;
        if named && whole && crl::is_signed(&list, &ark, crypto) {
            return Ok(());
        }
        Err(Broken::CrlSignatureBad {
            found: super::name(&list.issuer),
            wanted: super::name(&ark.subject),
        }
        .into())
    })?;
    let facts = ListFacts {
        issuer: anchor.root.fingerprint,
        this_update: list.this_update,
        next_update: list.next_update,
        number: list.number(),
    };
    Ok(Verified::assertion(facts, trail))
}

/// Checks that an intermediate of this product and kind is in the heap and that the pinned root
/// certified it. Returns the last instant at which it counts.
///
/// # Errors
/// `amd.ask.available`, or the first `amd.ark.…` or `amd.ask.…` check that fails.
pub fn intermediate(product: Product, vlek: bool, basis: Basis<'_>) -> Result<UnixTime, Error> {
    let context = basis.context();
    let wanted = leaf::issuer_name(if vlek { Kind::Vlek } else { Kind::Vcek }, product);
    let held = chain::certificates(&context);
    let mut failure = None;
    let named = held
        .iter()
        .filter(|ask| ask.certificate.subject.common_name() == Some(wanted));
    for ask in named.take(chain::INTERMEDIATES_MAX) {
        match rooted(&context, &held, product, ask) {
            Ok(until) => return Ok(until),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| missing(wanted)))
}

/// Checks that this certificate (DER) is the VCEK of this chip at this TCB, certified by an
/// intermediate that is carried or in the heap. Returns the last instant at which it counts.
///
/// `hwid` is lower-case hex, `tcb` the eight bytes of REPORTED_TCB.
///
/// # Errors
/// `x509.certificate`, `amd.ask.available`, or the first `snp.vcek.…` or `amd.…` check that fails.
pub fn vcek(
    bytes: &[u8],
    product: Product,
    hwid: &str,
    tcb: [u8; 8],
    basis: Basis<'_>,
) -> Result<UnixTime, Error> {
    let context = basis.context();
    let vcek = Sourced {
        source: "the answer",
        certificate: Certificate::parse(bytes)?,
    };
    let mut trail = Trail::new();
    fits(&mut trail, &vcek.certificate, product, hwid, tcb)?;
    let held = chain::certificates(&context);
    let asks = chain::intermediates(&context, &held, &vcek.certificate, Kind::Vcek, product);
    let ask = chain::available(&mut trail, &asks, Kind::Vcek, product)?;
    rooted(&context, &held, product, ask)?;
    chain::check_leaf(&mut trail, &context, &ask.certificate, &vcek)?;
    Ok(vcek.certificate.not_after)
}

/// Whether the certificate speaks of what was asked for.
fn fits(
    trail: &mut Trail,
    vcek: &Certificate<'_>,
    product: Product,
    hwid: &str,
    tcb: [u8; 8],
) -> Result<(), Error> {
    // spec: sev-snp.chain.leaf-issuer
    trail.check("snp.vcek.issuer", || {
        let kind = Kind::of_subject(vcek);
        if kind == Some(Kind::Vcek) && leaf::of_issuer(vcek) == Some((Kind::Vcek, product)) {
            return Ok(());
        }
        Err(Broken::LeafIssuerDiffers {
            found: super::name(&vcek.issuer),
            wanted: leaf::issuer_name(Kind::Vcek, product).to_owned(),
        }
        .into())
    })?;
    // spec: sev-snp.leaf.extensions
    trail.check("snp.vcek.extensions", || {
        Ok(leaf::well_formed(vcek, Kind::Vcek, product)?)
    })?;
    // spec: sev-snp.leaf.chip
    trail.check("snp.vcek.chip-id", || {
        let found = leaf::hwid(vcek, product).map(hex::encode);
        if found.as_deref() == Some(hwid) {
            return Ok(());
        }
        Err(Broken::ChipIdDiffers {
            report: hwid.to_owned(),
            certificate: found.unwrap_or_default(),
        }
        .into())
    })?;
    // spec: sev-snp.leaf.tcb
    trail.check("snp.vcek.tcb", || {
        let found = leaf::tcb(vcek, product);
        if found == Some(tcb) {
            return Ok(());
        }
        Err(Broken::LeafTcbDiffers {
            report: hex::encode(tcb),
            certificate: found.map(hex::encode).unwrap_or_default(),
        }
        .into())
    })
}

fn rooted<'c>(
    context: &Context<'c>,
    held: &[Sourced<'c>],
    product: Product,
    ask: &Sourced<'c>,
) -> Result<UnixTime, Error> {
    let anchor = context.anchors.amd(product);
    let ark = chain::root(context, held, anchor, &ask.certificate)?;
    chain::check(&mut Trail::new(), context, anchor, &ark, ask)?;
    Ok(ask.certificate.not_after)
}

fn missing(wanted: &str) -> Error {
    Unavailable {
        check: "amd.ask.available",
        what: format!("the intermediate certificate {wanted}"),
        remedy: "AMD's key service publishes it as cert_chain of this product",
    }
    .into()
}
