//! AMD's certificates and lists: ARK → ASK or ASVK → VCEK or VLEK, and the list of revoked
//! intermediates (AMD 57230, 58369).
//!
//! The leaf has serial number 0 and neither BasicConstraints nor KeyUsage, so no general path
//! builder takes it: the three links are checked one by one, by name. Never trusts a root from
//! evidence, never fetches. What a report has to do with its leaf stands in [`mod@crate::snp`].

use zeuge_evidence::{UnixTime, x509};

use crate::{Anchors, Endorsements, crypto::CryptoProvider};

mod broken;
pub(crate) mod chain;
pub(crate) mod crl;
pub mod held;
pub(crate) mod leaf;

pub use broken::{Broken, Window};
pub use crl::Revocation;

/// The ids of the checks on AMD's certificates and lists.
pub const CHECKS: &[&str] = &[
    "amd.ark.pinned",
    "amd.ark.validity",
    "amd.ask.authority",
    "amd.ask.available",
    "amd.ask.issuer",
    "amd.ask.signature",
    "amd.ask.validity",
    "amd.crl.revoked",
    "amd.crl.signature",
];

/// What one verification may look at.
#[derive(Debug)]
pub(crate) struct Context<'c> {
    pub(crate) heap: &'c Endorsements,
    pub(crate) anchors: &'c Anchors,
    pub(crate) at: UnixTime,
    pub(crate) crypto: &'c CryptoProvider,
    /// Certificates whose signature was asked about before, within this verification.
    pub(crate) answers: chain::Answers<'c>,
}

impl<'c> Context<'c> {
    pub(crate) fn new(
        heap: &'c Endorsements,
        anchors: &'c Anchors,
        at: UnixTime,
        crypto: &'c CryptoProvider,
    ) -> Self {
        Self {
            heap,
            anchors,
            at,
            crypto,
            answers: chain::Answers::default(),
        }
    }
}

/// A name for people: the common name, or the whole name in hex where there is none.
pub(crate) fn name(name: &x509::Name<'_>) -> String {
    name.common_name()
        .map_or_else(|| hex::encode(name.raw), str::to_owned)
}

/// Two names that differ, told apart: by common name where that differs, else in hex.
pub(crate) fn names(found: &x509::Name<'_>, wanted: &x509::Name<'_>) -> (String, String) {
    let pair = (name(found), name(wanted));
    if pair.0 == pair.1 {
        (hex::encode(found.raw), hex::encode(wanted.raw))
    } else {
        pair
    }
}
