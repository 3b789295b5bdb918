//! `TPMT_SIGNATURE` (TCG TPM 2.0 Library, part 2 §11.3).
//!
//! Never checks the signature.

use super::{HashAlgorithm, SIGNATURE, attest::sized};
use crate::{Malformed, What, reader::Reader};

/// An RSA-4096 signature has 518 bytes; beyond 2 KiB none is known.
pub const SIGNATURE_BYTES_MAX: usize = 2048;

/// The numbers of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureValue<'a> {
    /// RSA: one number as long as the modulus.
    Rsa(&'a [u8]),
    /// Elliptic curve: two numbers, big-endian, perhaps without leading zeros.
    Ecc {
        /// First number.
        r: &'a [u8],
        /// Second number.
        s: &'a [u8],
    },
}

/// A signature with the scheme that it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature<'a> {
    /// `TPM_ALG_ID` of the scheme.
    pub algorithm: u16,
    /// Hash of the scheme; the PCR digest of a quote uses the same.
    pub hash: HashAlgorithm,
    /// The numbers.
    pub value: SignatureValue<'a>,
}

impl<'a> Signature<'a> {
    /// RSASSA-PKCS1-v1_5.
    pub const RSASSA: u16 = 0x0014;
    /// RSASSA-PSS.
    pub const RSAPSS: u16 = 0x0016;
    /// ECDSA.
    pub const ECDSA: u16 = 0x0018;

    // spec: tpm.signature.schemes
    /// Reads a marshalled signature; nothing may follow it.
    ///
    /// # Errors
    /// `tpm.signature-format`, with the offset: another scheme than RSASSA, RSAPSS and ECDSA
    /// (refused by its number), lengths over the limit, bytes behind the end.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > SIGNATURE_BYTES_MAX {
            let what = What::TooLong {
                limit: SIGNATURE_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(SIGNATURE, SIGNATURE_BYTES_MAX, what));
        }
        let mut reader = Reader::new(bytes, SIGNATURE);
        let algorithm = reader.u16_be()?;
        let hash = HashAlgorithm(reader.u16_be()?);
        let value = match algorithm {
            Self::RSASSA | Self::RSAPSS => {
                SignatureValue::Rsa(sized(&mut reader, 1024, "signature")?)
            }
            Self::ECDSA => SignatureValue::Ecc {
                r: sized(&mut reader, 66, "signatureR")?,
                s: sized(&mut reader, 66, "signatureS")?,
            },
            other => {
                let what = What::Unsupported {
                    field: "sigAlg",
                    found: u64::from(other),
                };
                return Err(Malformed::new(SIGNATURE, 0, what));
            }
        };
        if !reader.is_empty() {
            return Err(Malformed::invalid(
                SIGNATURE,
                reader.offset(),
                "TPMT_SIGNATURE",
                "bytes follow its end",
            ));
        }
        Ok(Self {
            algorithm,
            hash,
            value,
        })
    }

    /// A bare RSA signature as Azure's clients send it: always RSASSA with SHA-256.
    #[must_use]
    pub const fn bare_rsassa_sha256(bytes: &'a [u8]) -> Self {
        Self {
            algorithm: Self::RSASSA,
            hash: HashAlgorithm::SHA256,
            value: SignatureValue::Rsa(bytes),
        }
    }

    /// A marshalled signature, or bare RSA bytes (256, 384 or 512 of them, which no marshalled
    /// signature has).
    ///
    /// # Errors
    /// As [`Signature::parse`].
    pub fn parse_any(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if matches!(bytes.len(), 256 | 384 | 512) {
            Ok(Self::bare_rsassa_sha256(bytes))
        } else {
            Self::parse(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anonymous_scheme_is_refused_by_its_number() {
        let refusal = Signature::parse(&hex::decode("001a000b00010100").unwrap()).unwrap_err();
        assert_eq!(
            refusal,
            Malformed::new(
                SIGNATURE,
                0,
                What::Unsupported {
                    field: "sigAlg",
                    found: 0x1a
                }
            )
        );
    }

    // spec: tpm.signature.ecdsa-width
    #[test]
    fn short_numbers_of_an_ecdsa_signature_are_kept_as_received() {
        let bytes = hex::decode("0018000b0002010200020304").unwrap();
        assert_eq!(
            Signature::parse(&bytes).unwrap().value,
            SignatureValue::Ecc {
                r: &[1, 2],
                s: &[3, 4]
            }
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let _ = Signature::parse_any(&bytes);
        }
    }
}
