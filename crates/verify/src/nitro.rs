//! Attestation documents of AWS's Nitro hypervisor, down to AWS's pinned root.
//!
//! *Flow*: pinned root → issuers in the order of the bundle → certificate → signature of the
//! document → instant → nonce and user data.
//!
//! *Guarantees*: AWS's hypervisor signed these registers for this challenge, under a chain in force
//! at the instant.
//!
//! *Caveats*: no maker of silicon says anything here; AWS alone does, and AWS publishes no
//! revocation lists for this chain: its certificates live for hours to weeks instead. Whether an
//! enclave runs in debug mode is a fact for appraisal. Never fetches.

mod broken;
mod chain;

use std::collections::BTreeMap;

use zeuge_evidence::{
    UnixTime,
    nitro::{Document, Signed},
    x509::Certificate,
};

use crate::{
    Anchors, Error, Root, Trail, Verified,
    anchors::fingerprint,
    crypto::{CryptoProvider, Scheme},
};

pub use broken::{Broken, Difference};
pub use zeuge_evidence::nitro::Source;

/// The ids of the checks in this file and its folder.
pub const CHECKS: &[&str] = &[
    "nitro.chain.authority",
    "nitro.chain.issuer",
    "nitro.chain.signature",
    "nitro.chain.validity",
    "nitro.leaf.key",
    "nitro.leaf.usage",
    "nitro.nonce",
    "nitro.root.pinned",
    "nitro.signature",
    "nitro.timestamp",
    "nitro.user-data",
];

/// How far AWS's clock may be ahead of ours.
const SKEW_SECONDS_MAX: i64 = 30;

/// What the document must be bound to.
#[derive(Debug, Clone, Copy)]
pub enum Demand<'a> {
    /// Exactly this nonce.
    Nonce(&'a [u8]),
    /// Exactly this user data (our own agents put the binding there).
    UserData(&'a [u8]),
    /// Anything, for a reason that somebody wrote down.
    Unbound {
        /// Why no binding is demanded.
        because: &'a str,
    },
}

/// What is proven about one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NitroFacts {
    /// Which module of the hypervisor signed: instance and enclave.
    pub module_id: String,
    /// When, in milliseconds since 1970.
    pub timestamp: u64,
    /// Whose registers these are.
    pub source: Source,
    /// The registers.
    pub pcrs: BTreeMap<u8, Vec<u8>>,
    /// A key of the enclave's own, as it handed it in.
    pub public_key: Option<Vec<u8>>,
    /// Whatever it wanted signed.
    pub user_data: Option<Vec<u8>>,
    /// The challenge that it was given.
    pub nonce: Option<Vec<u8>>,
    /// SHA-256 of the certificate of the signing key.
    pub leaf_fingerprint: [u8; 32],
    /// Last instant of that certificate.
    pub leaf_not_after: UnixTime,
    /// The root that the chain ends in.
    pub root: Root,
    /// Why no binding was demanded; `None` when one was.
    pub unbound: Option<String>,
}

/// Verifies one document at an instant.
///
/// # Errors
/// The first check that fails, in the order of the flow above.
pub fn nitro(
    signed: &Signed<'_>,
    demand: Demand<'_>,
    anchors: &Anchors,
    at: UnixTime,
    crypto: &CryptoProvider,
) -> Result<Verified<NitroFacts>, Error> {
    let document = signed.document()?;
    let mut trail = Trail::new();
    let leaf = chain::verify(&mut trail, &document, anchors, at, crypto)?;
    trail.check("nitro.signature", || {
        crypto
            .signatures
            .verify(
                Scheme::EcdsaP384Sha384Fixed,
                leaf.public_key.key,
                &signed.signed_message(),
                &signed.signature,
            )
            .map_err(|_| {
                let found = format!("certificate {}", hex::encode(fingerprint(leaf.raw)));
                Broken::SignatureBad(Difference::new(found, "a signature by its key")).into()
            })
    })?;
    trail.check("nitro.timestamp", || in_time(&document, &leaf, at))?;
    bound(&mut trail, &document, demand)?;
    let owned = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
    let first = document.bundle.first().copied().unwrap_or_default();
    // Where the check was taken away, the commercial partition's stands in its place.
    let root = anchors.nitro_root(first).unwrap_or(anchors.nitro());
    let facts = NitroFacts {
        module_id: document.module_id.to_owned(),
        timestamp: document.timestamp,
        source: document.source,
        pcrs: document
            .pcrs
            .iter()
            .map(|(index, value)| (*index, value.to_vec()))
            .collect(),
        public_key: owned(document.public_key),
        user_data: owned(document.user_data),
        nonce: owned(document.nonce),
        leaf_fingerprint: fingerprint(leaf.raw),
        leaf_not_after: leaf.not_after,
        root: root.root.clone(),
        unbound: match demand {
            Demand::Unbound { because } => Some(because.to_owned()),
            _ => None,
        },
    };
    Ok(Verified::assertion(facts, trail))
}

/// The document is from the life of its certificate, and not from the future.
fn in_time(document: &Document<'_>, leaf: &Certificate<'_>, at: UnixTime) -> Result<(), Error> {
    let seconds = document.timestamp.div_euclid(1000);
    let made = UnixTime(i64::try_from(seconds).unwrap_or(i64::MAX));
    // A certificate's first second may be the one in which the document was made.
    if leaf.not_before <= made && made <= leaf.not_after && made <= at.plus(SKEW_SECONDS_MAX) {
        return Ok(());
    }
    let wanted = format!(
        "{} to {}, and not after {at}",
        leaf.not_before, leaf.not_after
    );
    Err(Broken::TimestampOutOfWindow(Difference::new(made.to_string(), wanted)).into())
}

fn bound(trail: &mut Trail, document: &Document<'_>, demand: Demand<'_>) -> Result<(), Error> {
    let printed = |part: Option<&[u8]>| part.map_or_else(|| "nothing".to_owned(), hex::encode);
    match demand {
        Demand::Nonce(wanted) => trail.check("nitro.nonce", || {
            if document.nonce == Some(wanted) {
                return Ok(());
            }
            let found = printed(document.nonce);
            Err(Broken::NonceDiffers(Difference::new(found, hex::encode(wanted))).into())
        }),
        Demand::UserData(wanted) => trail.check("nitro.user-data", || {
            if document.user_data == Some(wanted) {
                return Ok(());
            }
            let found = printed(document.user_data);
            Err(Broken::UserDataDiffers(Difference::new(found, hex::encode(wanted))).into())
        }),
        Demand::Unbound { .. } => Ok(()),
    }
}
