//! Certificates and lists of a TPM maker, shaped as the TCG's profile and real makers shape them:
//! an EK certificate has an empty subject and a critical alternative name.
//!
//! Signs with the keys it is given; never decides who signs what.

use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
use zeuge_evidence::UnixTime;

use super::keys::sign_p256;
use crate::{
    der_write::{bits, element, explicit, integer, oid, sequence, set, time, unsigned, utf8},
    x509_write::{Window, authority_key_id, extension, key_id},
};

/// What an issuer puts its name to.
pub(super) struct CertificateBody {
    pub(super) serial: Vec<u8>,
    pub(super) issuer: String,
    /// Empty for an EK.
    pub(super) subject: String,
    pub(super) window: Window,
    /// SubjectPublicKeyInfo in DER.
    pub(super) key: Vec<u8>,
    pub(super) extensions: Vec<Vec<u8>>,
}

impl CertificateBody {
    /// The certificate in DER.
    pub(super) fn signed_with(&self, key: &EcdsaKeyPair) -> Vec<u8> {
        let issuer = key_id(key.public_key().as_ref());
        let mut extensions = self.extensions.clone();
        extensions.push(authority_key_id(&issuer));
        let body = sequence(&[
            &explicit(0, &integer(2)),
            &unsigned(&self.serial),
            &algorithm(),
            &name(&self.issuer),
            &sequence(&[&time(self.window.from), &time(self.window.to)]),
            &name(&self.subject),
            &self.key,
            &explicit(3, &element(0x30, &extensions.concat())),
        ]);
        signed(&body, key)
    }
}

/// A revocation list in DER.
pub(super) fn list(
    issuer: &str,
    key: &EcdsaKeyPair,
    window: Window,
    revoked: Option<(&[u8], UnixTime)>,
) -> Vec<u8> {
    // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
    let revoked = revoked.map_or_else(Vec::new, |(serial, since)| {
        sequence(&[&sequence(&[&unsigned(serial), &time(since)])])
    });
    let extensions = sequence(&[
        &authority_key_id(&key_id(key.public_key().as_ref())),
        &extension(&[2, 5, 29, 20], false, &integer(1)),
    ]);
    let body = sequence(&[
        &integer(1),
        &algorithm(),
        &name(issuer),
        &time(window.from),
        &time(window.to),
        &revoked,
        &explicit(0, &extensions),
    ]);
    signed(&body, key)
}

/// ecdsa-with-SHA256, without parameters (RFC 5758 §3.2).
fn algorithm() -> Vec<u8> {
    sequence(&[&oid(&[1, 2, 840, 10_045, 4, 3, 2])])
}

/// Body, algorithm, signature.
fn signed(body: &[u8], key: &EcdsaKeyPair) -> Vec<u8> {
    let fixed = sign_p256(key, body);
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let signature = sequence(&[&unsigned(r), &unsigned(s)]);
    sequence(&[body, &algorithm(), &bits(0, &signature)])
}

/// The distinguished name with this common name; empty for none.
fn name(common_name: &str) -> Vec<u8> {
    if common_name.is_empty() {
        return sequence(&[]);
    }
    let attribute = |last: u64, value: &[u8]| set(&sequence(&[&oid(&[2, 5, 4, last]), value]));
    sequence(&[
        &attribute(10, &utf8("Toy TPM Maker")),
        &attribute(3, &utf8(common_name)),
    ])
}

/// The critical alternative name with maker, model and version (TCG EK Credential Profile §3.2.9).
pub(super) fn tpm_names() -> Vec<u8> {
    let attribute =
        |last: u64, text: &str| set(&sequence(&[&oid(&[2, 23, 133, 2, last]), &utf8(text)]));
    let directory = sequence(&[
        &attribute(1, "id:544F5900"),
        &attribute(2, "Toy TPM"),
        &attribute(3, "id:00010002"),
    ]);
    let names = sequence(&[&explicit(4, &directory)]);
    extension(&[2, 5, 29, 17], true, &names)
}

/// The TCG's extended usage: 1 for an EK, 3 for an AK.
pub(super) fn tcg_usage(last: u64) -> Vec<u8> {
    extension(
        &[2, 5, 29, 37],
        false,
        &sequence(&[&oid(&[2, 23, 133, 8, last])]),
    )
}
