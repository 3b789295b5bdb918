//! Signatures of certificates and lists by a given key, and windows of time.
//!
//! Builds no paths: each platform knows the two or three links of its maker and asks for them by
//! name. Never searches, never trusts a name.

use zeuge_evidence::{
    UnixTime,
    x509::{Algorithm, Certificate, PublicKeyInfo, RevocationList},
};

use crate::crypto::{BadSignature, CryptoProvider, Scheme};

/// NULL, as parameters of an AlgorithmIdentifier.
const NULL: [u8; 2] = [5, 0];

/// OID of P-256 as parameters of id-ecPublicKey.
pub const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// OID of P-384 as parameters of id-ecPublicKey.
pub const P384: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x22];
/// OID of P-521 as parameters of id-ecPublicKey.
pub const P521: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x23];

/// The kind of a certified key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// An elliptic-curve key on P-256.
    P256,
    /// An elliptic-curve key on P-384.
    P384,
    /// An elliptic-curve key on P-521.
    P521,
    /// An RSA key.
    Rsa,
}

/// The kind of this key; `None` for one that no scheme here can use.
#[must_use]
pub fn key_kind(key: &PublicKeyInfo<'_>) -> Option<KeyKind> {
    match (key.algorithm.oid.as_str(), key.algorithm.parameters) {
        ("1.2.840.10045.2.1", parameters) if parameters == P256 => Some(KeyKind::P256),
        ("1.2.840.10045.2.1", parameters) if parameters == P384 => Some(KeyKind::P384),
        ("1.2.840.10045.2.1", parameters) if parameters == P521 => Some(KeyKind::P521),
        // id-RSAES-OAEP (real EK certificates) and plain rsaEncryption hold the same key.
        ("1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.7", _) => Some(KeyKind::Rsa),
        _ => None,
    }
}

/// The scheme that an algorithm identifier names for a key of this kind; `None` when it names
/// none of ours, or parameters that differ from the ones that the scheme stands for.
///
/// PSS parameters are not decided here: see [`crate::amd`] for AMD's exact ones.
#[must_use]
pub fn scheme(algorithm: &Algorithm<'_>, key: KeyKind) -> Option<Scheme> {
    let plain = algorithm.parameters.is_empty() || algorithm.parameters == NULL;
    if !plain {
        return None;
    }
    match (algorithm.oid.as_str(), key) {
        ("1.2.840.10045.4.3.2", KeyKind::P256) => Some(Scheme::EcdsaP256Sha256Der),
        ("1.2.840.10045.4.3.2", KeyKind::P384) => Some(Scheme::EcdsaP384Sha256Der),
        ("1.2.840.10045.4.3.3", KeyKind::P384) => Some(Scheme::EcdsaP384Sha384Der),
        ("1.2.840.10045.4.3.2", KeyKind::P521) => Some(Scheme::EcdsaP521Sha256Der),
        ("1.2.840.10045.4.3.3", KeyKind::P256) => Some(Scheme::EcdsaP256Sha384Der),
        ("1.2.840.10045.4.3.3", KeyKind::P521) => Some(Scheme::EcdsaP521Sha384Der),
        ("1.2.840.10045.4.3.4", KeyKind::P384) => Some(Scheme::EcdsaP384Sha512Der),
        ("1.2.840.10045.4.3.4", KeyKind::P521) => Some(Scheme::EcdsaP521Sha512Der),
        ("1.2.840.113549.1.1.11", KeyKind::Rsa) => Some(Scheme::RsaPkcs1Sha256),
        ("1.2.840.113549.1.1.12", KeyKind::Rsa) => Some(Scheme::RsaPkcs1Sha384),
        ("1.2.840.113549.1.1.13", KeyKind::Rsa) => Some(Scheme::RsaPkcs1Sha512),
        _ => None,
    }
}

/// Checks the signature on a certificate by an issuer's key, with the scheme its identifier
/// names; the identifiers inside and beside the signed part must be equal.
///
/// # Errors
/// [`BadSignature`]: another key, other bytes, or a scheme that is not ours.
pub fn signed_by(
    certificate: &Certificate<'_>,
    issuer: &PublicKeyInfo<'_>,
    crypto: &CryptoProvider,
) -> Result<(), BadSignature> {
    let scheme = key_kind(issuer)
        .and_then(|kind| scheme(&certificate.algorithm, kind))
        .filter(|_| certificate.algorithm.raw == certificate.inner_algorithm.raw)
        .ok_or(BadSignature)?;
    crypto.signatures.verify(
        scheme,
        issuer.key,
        certificate.signed,
        certificate.signature,
    )
}

/// Checks the signature on a revocation list; as [`signed_by`].
///
/// # Errors
/// [`BadSignature`]: another key, other bytes, or a scheme that is not ours.
pub fn list_signed_by(
    list: &RevocationList<'_>,
    issuer: &PublicKeyInfo<'_>,
    crypto: &CryptoProvider,
) -> Result<(), BadSignature> {
    let scheme = key_kind(issuer)
        .and_then(|kind| scheme(&list.algorithm, kind))
        .filter(|_| list.algorithm.raw == list.inner_algorithm.raw)
        .ok_or(BadSignature)?;
    crypto
        .signatures
        .verify(scheme, issuer.key, list.signed, list.signature)
}

/// Whether the instant lies in the certificate's window, both ends included.
#[must_use]
pub fn is_valid_at(certificate: &Certificate<'_>, at: UnixTime) -> bool {
    certificate.not_before <= at && at <= certificate.not_after
}
