//! Keys of TPMs in the form that signatures are checked with.
//!
//! Reads `TPMT_PUBLIC` and SubjectPublicKeyInfo, re-encodes only the *key* (never a signed
//! message). Never decides about trust.

use sha2::{Digest as _, Sha256};
use zeuge_evidence::{
    Malformed,
    der::{self, Der, tag},
    tpm::{HashAlgorithm, ObjectAttributes, PUBLIC, Public, PublicKey, Signature, SignatureValue},
    x509::{Algorithm, Certificate, PublicKeyInfo},
};

use super::Broken;
use crate::{
    Error,
    crypto::{CryptoProvider, Scheme},
    x509::{KeyKind, key_kind},
};

/// A public key of a TPM, with what its container says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    /// Its kind.
    pub kind: KeyKind,
    /// Its length in bits.
    pub bits: usize,
    /// The DER of RSAPublicKey, or the uncompressed point: what a certificate would hold.
    pub key: Vec<u8>,
    /// Its name; only a `TPMT_PUBLIC` has one.
    pub name: Option<Vec<u8>>,
    /// Its attributes; only a `TPMT_PUBLIC` has them.
    pub attributes: Option<ObjectAttributes>,
}

impl AttestationKey {
    /// Reads `TPMT_PUBLIC`, `TPM2B_PUBLIC`, or SubjectPublicKeyInfo in DER or PEM.
    ///
    /// # Errors
    /// `tpm.public` for anything else; `tpm.ak.key` for a key that no scheme here can use.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let pem = der::pem_blocks(bytes, &["PUBLIC KEY"], 1).pop();
        let bytes = pem.as_deref().unwrap_or(bytes);
        if bytes.first() == Some(&tag::SEQUENCE) {
            let info = public_key_info(bytes)?;
            return Self::of_info(&info);
        }
        Self::of_public(&Public::parse(bytes)?)
    }

    /// The key of a `TPMT_PUBLIC`.
    ///
    /// # Errors
    /// `tpm.ak.key` for a curve that no scheme here can use.
    pub fn of_public(public: &Public<'_>) -> Result<Self, Error> {
        let (kind, bits, key) = match public.key {
            PublicKey::Rsa {
                exponent, modulus, ..
            } => {
                let bits = modulus.len().saturating_mul(8);
                (KeyKind::Rsa, bits, rsa_public_key(modulus, exponent))
            }
            PublicKey::Ecc { curve, x, y } => {
                let (kind, bits, width) = match curve {
                    3 => (KeyKind::P256, 256, 32),
                    4 => (KeyKind::P384, 384, 48),
                    5 => (KeyKind::P521, 521, 66),
                    other => {
                        let found = format!("curve {other}");
                        return Err(Broken::AkKey { found }.into());
                    }
                };
                let point = [vec![4], padded(x, width), padded(y, width)].concat();
                (kind, bits, point)
            }
        };
        Ok(Self {
            kind,
            bits,
            key,
            name: public.name(),
            attributes: Some(public.attributes),
        })
    }

    /// An RSA key by its numbers, with the name that a TPM gives it, where that is known.
    pub(crate) fn of_rsa(modulus: &[u8], exponent: u32, name: Option<Vec<u8>>) -> Self {
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        Self {
            kind: KeyKind::Rsa,
            bits: modulus.len().saturating_sub(zeros).saturating_mul(8),
            key: rsa_public_key(modulus, exponent),
            name,
            attributes: None,
        }
    }

    /// The key of a certificate.
    ///
    /// # Errors
    /// `tpm.ak.key` for a key that no scheme here can use.
    pub fn of_certificate(certificate: &Certificate<'_>) -> Result<Self, Error> {
        Self::of_info(&certificate.public_key)
    }

    // spec: tpm.ek.oaep-oid
    fn of_info(info: &PublicKeyInfo<'_>) -> Result<Self, Error> {
        let found = || format!("algorithm {}", info.algorithm.oid);
        let kind = key_kind(info).ok_or_else(|| Broken::AkKey { found: found() })?;
        let bits = match kind {
            KeyKind::P256 => 256,
            KeyKind::P384 => 384,
            KeyKind::P521 => 521,
            KeyKind::Rsa => {
                let modulus = rsa_modulus(info.key)?;
                modulus.len().saturating_mul(8)
            }
        };
        Ok(Self {
            kind,
            bits,
            key: info.key.to_vec(),
            name: None,
            attributes: None,
        })
    }

    /// SHA-256 of kind and key: names a key that has no `TPMT_PUBLIC`.
    #[must_use]
    pub fn key_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.key).into()
    }

    /// The name in hex, or the digest of the key.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.name {
            Some(name) => format!("name {}", hex::encode(name)),
            None => format!("key sha256:{}", hex::encode(self.key_sha256())),
        }
    }

    /// Checks a TPM's signature over `message`.
    ///
    /// # Errors
    /// `tpm.quote.signature`: a scheme that does not fit the key, SHA-1, or a signature that does
    /// not hold.
    pub fn verify(
        &self,
        message: &[u8],
        signature: &Signature<'_>,
        crypto: &CryptoProvider,
    ) -> Result<(), Error> {
        let holds = self.schemes(signature).iter().any(|scheme| {
            let bytes = signature_bytes(&signature.value);
            crypto
                .signatures
                .verify(*scheme, &self.key, message, &bytes)
                .is_ok()
        });
        if holds {
            Ok(())
        } else {
            let found = format!(
                "scheme {:#06x} with {}",
                signature.algorithm, signature.hash
            );
            Err(Broken::QuoteSignature {
                found,
                wanted: format!("a signature of the AK, {}", self.text()),
            }
            .into())
        }
    }

    /// Whether this key signed a digest that somebody else computed (PKCS #1 v1.5, or ECDSA).
    pub(super) fn signed_digest(
        &self,
        hash: HashAlgorithm,
        digest: &[u8],
        signature: &[u8],
        crypto: &CryptoProvider,
    ) -> bool {
        let scheme = match (hash, self.kind) {
            (HashAlgorithm::SHA256, KeyKind::Rsa) => Scheme::RsaPkcs1Sha256,
            (HashAlgorithm::SHA384, KeyKind::Rsa) => Scheme::RsaPkcs1Sha384,
            (HashAlgorithm::SHA512, KeyKind::Rsa) => Scheme::RsaPkcs1Sha512,
            (HashAlgorithm::SHA256, KeyKind::P256) => Scheme::EcdsaP256Sha256Der,
            (HashAlgorithm::SHA256, KeyKind::P384) => Scheme::EcdsaP384Sha256Der,
            (HashAlgorithm::SHA384, KeyKind::P384) => Scheme::EcdsaP384Sha384Der,
            (HashAlgorithm::SHA512, KeyKind::P521) => Scheme::EcdsaP521Sha512Der,
            _ => return false,
        };
        let verifier = crypto.signatures;
        verifier
            .verify_digest(scheme, &self.key, digest, signature)
            .is_ok()
    }

    // spec: tpm.signature.pss-salt, tpm.signature.hash
    /// The schemes that a signature may mean: a TPM's PSS has a salt of the digest's length or
    /// of the greatest possible length.
    fn schemes(&self, signature: &Signature<'_>) -> &'static [Scheme] {
        const RSASSA: u16 = Signature::RSASSA;
        const RSAPSS: u16 = Signature::RSAPSS;
        const ECDSA: u16 = Signature::ECDSA;
        match (signature.algorithm, signature.hash, self.kind) {
            (RSASSA, HashAlgorithm::SHA256, KeyKind::Rsa) => &[Scheme::RsaPkcs1Sha256],
            (RSASSA, HashAlgorithm::SHA384, KeyKind::Rsa) => &[Scheme::RsaPkcs1Sha384],
            (RSASSA, HashAlgorithm::SHA512, KeyKind::Rsa) => &[Scheme::RsaPkcs1Sha512],
            (RSAPSS, HashAlgorithm::SHA256, KeyKind::Rsa) => {
                &[Scheme::RsaPssSha256, Scheme::RsaPssSha256LongSalt]
            }
            (RSAPSS, HashAlgorithm::SHA384, KeyKind::Rsa) => {
                &[Scheme::RsaPssSha384, Scheme::RsaPssSha384LongSalt]
            }
            (RSAPSS, HashAlgorithm::SHA512, KeyKind::Rsa) => {
                &[Scheme::RsaPssSha512, Scheme::RsaPssSha512LongSalt]
            }
            (ECDSA, HashAlgorithm::SHA256, KeyKind::P256) => &[Scheme::EcdsaP256Sha256Der],
            (ECDSA, HashAlgorithm::SHA256, KeyKind::P384) => &[Scheme::EcdsaP384Sha256Der],
            (ECDSA, HashAlgorithm::SHA384, KeyKind::P384) => &[Scheme::EcdsaP384Sha384Der],
            (ECDSA, HashAlgorithm::SHA512, KeyKind::P521) => &[Scheme::EcdsaP521Sha512Der],
            _ => &[],
        }
    }
}

fn public_key_info(bytes: &[u8]) -> Result<PublicKeyInfo<'_>, Malformed> {
    let mut outer = Der::new(bytes, PUBLIC);
    let whole = outer.expect(tag::SEQUENCE, "SubjectPublicKeyInfo")?;
    outer.finish("SubjectPublicKeyInfo")?;
    let mut inside = whole.inside();
    let algorithm = inside.expect(tag::SEQUENCE, "algorithm")?;
    let key = inside.expect(tag::BIT_STRING, "subjectPublicKey")?.bits()?;
    inside.finish("SubjectPublicKeyInfo")?;
    let mut parts = algorithm.inside();
    let oid = parts.expect(tag::OID, "algorithm")?.oid()?;
    let parameters = if parts.is_empty() {
        &[][..]
    } else {
        parts.any()?.raw
    };
    Ok(PublicKeyInfo {
        algorithm: Algorithm {
            oid,
            parameters,
            raw: algorithm.raw,
            offset: algorithm.offset,
        },
        key,
        raw: whole.raw,
    })
}

/// The modulus of an RSAPublicKey, without leading zeros.
pub(super) fn rsa_modulus(key: &[u8]) -> Result<&[u8], Malformed> {
    let mut inside = Der::new(key, PUBLIC)
        .expect(tag::SEQUENCE, "RSAPublicKey")?
        .inside();
    inside.expect(tag::INTEGER, "modulus")?.unsigned()
}

/// The bytes that the schemes of [`Scheme`] take: RSA as it is, elliptic curves as DER.
fn signature_bytes(value: &SignatureValue<'_>) -> Vec<u8> {
    match value {
        SignatureValue::Rsa(bytes) => bytes.to_vec(),
        SignatureValue::Ecc { r, s } => sequence(&[integer(r), integer(s)].concat()),
    }
}

/// DER of RSAPublicKey.
fn rsa_public_key(modulus: &[u8], exponent: u32) -> Vec<u8> {
    sequence(&[integer(modulus), integer(&exponent.to_be_bytes())].concat())
}

fn sequence(content: &[u8]) -> Vec<u8> {
    element(tag::SEQUENCE, content)
}

/// DER of a non-negative number, big-endian, of any padding.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut number = bytes.get(zeros..).unwrap_or_default().to_vec();
    if number.first().is_none_or(|first| first & 0x80 != 0) {
        number.insert(0, 0);
    }
    element(tag::INTEGER, &number)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let short = length.get(zeros..).unwrap_or_default();
    let mut out = vec![tag];
    match (short, u8::try_from(short.len())) {
        ([], _) => out.push(0),
        ([one], _) if *one < 0x80 => out.push(*one),
        (_, Ok(count)) => {
            out.push(0x80 | count);
            out.extend(short);
        }
        // A length has at most eight bytes.
        (_, Err(_)) => {}
    }
    out.extend(content);
    out
}

// spec: tpm.signature.ecdsa-width
/// The number filled up with zeros on the left to `width` bytes.
pub(super) fn padded(bytes: &[u8], width: usize) -> Vec<u8> {
    let mut out = vec![0; width.saturating_sub(bytes.len())];
    out.extend(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_minimal_and_never_negative() {
        assert_eq!(integer(&[0, 0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(integer(&[1, 2]), [2, 2, 1, 2]);
    }

    #[test]
    fn long_content_gets_a_long_length() {
        let long = sequence(&[7; 300]);
        assert_eq!(long[..4], [0x30, 0x82, 1, 44]);
    }
}
