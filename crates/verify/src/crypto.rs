//! Which signatures can be checked, and by whom: a struct of trait objects, chosen by the binary.
//!
//! Never signs, never holds a private key, never draws a random byte. [`AWS_LC`] is the one
//! provider that ships; tests may bring a second one as an oracle.

use std::fmt;

use aws_lc_rs::{
    digest::{self, Digest},
    signature::{self, UnparsedPublicKey},
};

/// A signature scheme with all its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// ECDSA on P-256 with SHA-256; the signature is r‖s, 64 bytes.
    EcdsaP256Sha256Fixed,
    /// ECDSA on P-256 with SHA-256; the signature is the DER sequence of certificates.
    EcdsaP256Sha256Der,
    /// ECDSA on P-384 with SHA-384; the signature is r‖s, 96 bytes.
    EcdsaP384Sha384Fixed,
    /// ECDSA on P-384 with SHA-384; the signature is the DER sequence of certificates.
    EcdsaP384Sha384Der,
    /// ECDSA on P-384 with SHA-256, DER (some TPM makers' certificates).
    EcdsaP384Sha256Der,
    /// ECDSA on P-256 with SHA-384, DER (TPM makers may sign with a longer hash than the curve).
    EcdsaP256Sha384Der,
    /// ECDSA on P-384 with SHA-512, DER.
    EcdsaP384Sha512Der,
    /// ECDSA on P-521 with SHA-256, DER.
    EcdsaP521Sha256Der,
    /// ECDSA on P-521 with SHA-384, DER.
    EcdsaP521Sha384Der,
    /// ECDSA on P-521 with SHA-512, DER.
    EcdsaP521Sha512Der,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 8192 bits.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256, salt of 32 bytes.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1-SHA-384, salt of 48 bytes (AMD's chain).
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512, MGF1-SHA-512, salt of 64 bytes.
    RsaPssSha512,
    /// RSASSA-PSS with SHA-256 and the longest salt that fits (TPMs).
    RsaPssSha256LongSalt,
    /// RSASSA-PSS with SHA-384 and the longest salt that fits (TPMs).
    RsaPssSha384LongSalt,
    /// RSASSA-PSS with SHA-512 and the longest salt that fits (TPMs).
    RsaPssSha512LongSalt,
}

/// The signature does not hold: another key, other bytes, or a key that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the signature does not hold")
    }
}

impl std::error::Error for BadSignature {}

/// Checks signatures. Implementations must be pure: the same arguments, the same answer.
pub trait Signatures: fmt::Debug + Send + Sync {
    /// Checks `signature` over `message` with `key`.
    ///
    /// `key` is the content of the certificate's BIT STRING: for elliptic curves the uncompressed
    /// point (65, 97 or 133 bytes), for RSA the DER of RSAPublicKey.
    ///
    /// # Errors
    /// [`BadSignature`], whatever the reason: an attacker learns nothing more.
    fn verify(
        &self,
        scheme: Scheme,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature>;

    /// Checks `signature` over a digest that somebody else computed: signatures on files in IMA's
    /// list. As [`Signatures::verify`] otherwise; a provider without it refuses.
    ///
    /// # Errors
    /// [`BadSignature`], also for a digest of another length than the scheme's hash.
    fn verify_digest(
        &self,
        scheme: Scheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let _ = (scheme, key, digest, signature);
        Err(BadSignature)
    }
}

/// What verification may call.
#[derive(Debug, Clone, Copy)]
pub struct CryptoProvider {
    /// Checks signatures.
    pub signatures: &'static dyn Signatures,
}

/// AWS-LC, the provider that ships.
pub const AWS_LC: CryptoProvider = CryptoProvider { signatures: &AwsLc };

const LONGEST: signature::RsaPssSaltLength = signature::RsaPssSaltLength::Max;

#[derive(Debug)]
struct AwsLc;

impl Signatures for AwsLc {
    fn verify(
        &self,
        scheme: Scheme,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(algorithm(scheme), key)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }

    fn verify_digest(
        &self,
        scheme: Scheme,
        key: &[u8],
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let hash = match digest.len() {
            32 => &digest::SHA256,
            48 => &digest::SHA384,
            64 => &digest::SHA512,
            _ => return Err(BadSignature),
        };
        let digest = Digest::import_less_safe(digest, hash).map_err(|_| BadSignature)?;
        UnparsedPublicKey::new(algorithm(scheme), key)
            .verify_digest(&digest, signature)
            .map_err(|_| BadSignature)
    }
}

fn algorithm(scheme: Scheme) -> &'static dyn signature::VerificationAlgorithm {
    match scheme {
        Scheme::EcdsaP256Sha256Fixed => &signature::ECDSA_P256_SHA256_FIXED,
        Scheme::EcdsaP256Sha256Der => &signature::ECDSA_P256_SHA256_ASN1,
        Scheme::EcdsaP384Sha384Fixed => &signature::ECDSA_P384_SHA384_FIXED,
        Scheme::EcdsaP384Sha384Der => &signature::ECDSA_P384_SHA384_ASN1,
        Scheme::EcdsaP384Sha256Der => &signature::ECDSA_P384_SHA256_ASN1,
        Scheme::EcdsaP256Sha384Der => &signature::ECDSA_P256_SHA384_ASN1,
        Scheme::EcdsaP384Sha512Der => &signature::ECDSA_P384_SHA512_ASN1,
        Scheme::EcdsaP521Sha256Der => &signature::ECDSA_P521_SHA256_ASN1,
        Scheme::EcdsaP521Sha384Der => &signature::ECDSA_P521_SHA384_ASN1,
        Scheme::EcdsaP521Sha512Der => &signature::ECDSA_P521_SHA512_ASN1,
        Scheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Scheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Scheme::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Scheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        Scheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        Scheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        Scheme::RsaPssSha256LongSalt => {
            &const { signature::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(LONGEST) }
        }
        Scheme::RsaPssSha384LongSalt => {
            &const { signature::RSA_PSS_2048_8192_SHA384.with_pss_salt_length(LONGEST) }
        }
        Scheme::RsaPssSha512LongSalt => {
            &const { signature::RSA_PSS_2048_8192_SHA512.with_pss_salt_length(LONGEST) }
        }
    }
}
