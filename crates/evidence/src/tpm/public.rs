//! `TPMT_PUBLIC`: the public part of a key in a TPM (TCG TPM 2.0 Library, part 2 §12.2).
//!
//! Keeps the received bytes: the key's name is a hash over exactly them. Never decides whether a
//! key may attest: its attributes are facts here.

use super::{HashAlgorithm, PUBLIC, attest::sized};
use crate::{Malformed, What, reader::Reader};

/// An RSA-4096 key has 600 bytes; beyond 2 KiB no TPM key is known.
pub const PUBLIC_BYTES_MAX: usize = 2048;

/// `TPMA_OBJECT`: what a key may be used for and where it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectAttributes(pub u32);

impl ObjectAttributes {
    /// Names and bits, in ascending order (part 2 §8.3).
    pub const NAMES: [(u32, &'static str); 11] = [
        (1, "fixedTPM"),
        (2, "stClear"),
        (4, "fixedParent"),
        (5, "sensitiveDataOrigin"),
        (6, "userWithAuth"),
        (7, "adminWithPolicy"),
        (10, "noDA"),
        (11, "encryptedDuplication"),
        (16, "restricted"),
        (17, "decrypt"),
        (18, "sign"),
    ];

    /// Whether the bit is set.
    #[must_use]
    pub const fn has(self, bit: u32) -> bool {
        self.0.wrapping_shr(bit) & 1 == 1
    }
    /// The key never leaves this TPM.
    #[must_use]
    pub const fn fixed_tpm(self) -> bool {
        self.has(1)
    }
    /// The key never moves to another parent.
    #[must_use]
    pub const fn fixed_parent(self) -> bool {
        self.has(4)
    }
    /// The TPM made the private part itself.
    #[must_use]
    pub const fn sensitive_data_origin(self) -> bool {
        self.has(5)
    }
    /// The key signs only what the TPM made (or data that cannot pass for it).
    #[must_use]
    pub const fn restricted(self) -> bool {
        self.has(16)
    }
    /// The key may decrypt.
    #[must_use]
    pub const fn decrypt(self) -> bool {
        self.has(17)
    }
    /// The key may sign.
    #[must_use]
    pub const fn sign(self) -> bool {
        self.has(18)
    }
}

impl std::fmt::Display for ObjectAttributes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:#010x}", self.0)?;
        for (bit, name) in Self::NAMES {
            if self.has(bit) {
                write!(out, " {name}")?;
            }
        }
        Ok(())
    }
}

/// The symmetric cipher of a storage key (`TPMT_SYM_DEF_OBJECT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symmetric {
    /// `TPM_ALG_ID` of the cipher; 6 is AES.
    pub algorithm: u16,
    /// Length of its keys in bits.
    pub key_bits: u16,
    /// `TPM_ALG_ID` of the mode; 0x43 is CFB.
    pub mode: u16,
}

/// The scheme that a key is bound to (`TPMT_ASYM_SCHEME`); the null scheme is `None` in [`Public`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// `TPM_ALG_ID` of the scheme.
    pub algorithm: u16,
    /// Its hash; `None` for schemes without one.
    pub hash: Option<HashAlgorithm>,
}

/// The key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKey<'a> {
    /// An RSA key.
    Rsa {
        /// Length of the modulus in bits, as stated.
        key_bits: u16,
        /// The public exponent; the wire's 0 is already 65537 here.
        exponent: u32,
        /// The modulus, big-endian.
        modulus: &'a [u8],
    },
    /// A key on an elliptic curve.
    Ecc {
        /// `TPM_ECC_CURVE`: 3 = P-256, 4 = P-384, 5 = P-521.
        curve: u16,
        /// First coordinate, big-endian, perhaps without leading zeros.
        x: &'a [u8],
        /// Second coordinate.
        y: &'a [u8],
    },
}

/// A `TPMT_PUBLIC`, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Public<'a> {
    /// The `TPMT_PUBLIC` as received, without a length before it.
    pub bytes: &'a [u8],
    /// Hash of the key's name.
    pub name_algorithm: HashAlgorithm,
    /// What the key may be used for.
    pub attributes: ObjectAttributes,
    /// Digest of the policy that allows its use; empty without one.
    pub auth_policy: &'a [u8],
    /// The cipher for what the key protects; `None` for keys that only sign.
    pub symmetric: Option<Symmetric>,
    /// The scheme it is bound to, if any.
    pub scheme: Option<Scheme>,
    /// The key.
    pub key: PublicKey<'a>,
}

impl<'a> Public<'a> {
    // spec: tpm.public.fields, tpm.public.type
    /// Reads a `TPMT_PUBLIC`, or a `TPM2B_PUBLIC` (the same behind its length); nothing may follow.
    ///
    /// # Errors
    /// `tpm.public`, with the offset, for anything else, and for key types but RSA and ECC.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > PUBLIC_BYTES_MAX {
            let what = What::TooLong {
                limit: PUBLIC_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(PUBLIC, PUBLIC_BYTES_MAX, what));
        }
        let (bytes, base) = match bytes {
            // A TPMT_PUBLIC begins with its type, 1 or 35: no key is that short.
            [high, low, rest @ ..]
                if usize::from(u16::from_be_bytes([*high, *low])) == rest.len() =>
            {
                (rest, 2)
            }
            _ => (bytes, 0),
        };
        let mut reader = Reader::at_offset(bytes, base, PUBLIC);
        let kind_at = reader.offset();
        let kind = reader.u16_be()?;
        let name_algorithm = HashAlgorithm(reader.u16_be()?);
        let attributes = ObjectAttributes(reader.u32_be()?);
        let auth_policy = sized(&mut reader, 64, "authPolicy")?;
        let symmetric = symmetric(&mut reader)?;
        let scheme = scheme(&mut reader)?;
        let key = match kind {
            0x0001 => rsa(&mut reader)?,
            0x0023 => ecc(&mut reader)?,
            other => {
                let what = What::Unsupported {
                    field: "type",
                    found: u64::from(other),
                };
                return Err(Malformed::new(PUBLIC, kind_at, what));
            }
        };
        if !reader.is_empty() {
            return Err(Malformed::invalid(
                PUBLIC,
                reader.offset(),
                "TPMT_PUBLIC",
                "bytes follow its end",
            ));
        }
        Ok(Self {
            bytes,
            name_algorithm,
            attributes,
            auth_policy,
            symmetric,
            scheme,
            key,
        })
    }

    // spec: tpm.public.name
    /// The key's name: algorithm number and digest of the structure (part 1 §16); `None` for a
    /// hash that this program does not compute.
    #[must_use]
    pub fn name(&self) -> Option<Vec<u8>> {
        let digest = self.name_algorithm.digest(&[self.bytes])?;
        let mut name = self.name_algorithm.0.to_be_bytes().to_vec();
        name.extend(digest);
        Some(name)
    }
}

// spec: tpm.public.qualified-name
/// The qualified name of a key directly below a hierarchy: `nameAlg ‖ H(handle ‖ name)`.
///
/// `hierarchy` is its handle, 0x4000000B for endorsement. `None` for a name too short to hold an
/// algorithm, or an algorithm that is not computed here.
#[must_use]
pub fn qualified_name(hierarchy: u32, name: &[u8]) -> Option<Vec<u8>> {
    let [high, low, ..] = name else { return None };
    let algorithm = HashAlgorithm(u16::from_be_bytes([*high, *low]));
    let digest = algorithm.digest(&[&hierarchy.to_be_bytes(), name])?;
    let mut out = algorithm.0.to_be_bytes().to_vec();
    out.extend(digest);
    Some(out)
}

const ALG_NULL: u16 = 0x0010;
const ALG_RSAES: u16 = 0x0015;
const ALG_ECDAA: u16 = 0x001a;

fn symmetric(reader: &mut Reader<'_>) -> Result<Option<Symmetric>, Malformed> {
    match reader.u16_be()? {
        ALG_NULL => Ok(None),
        algorithm => Ok(Some(Symmetric {
            algorithm,
            key_bits: reader.u16_be()?,
            mode: reader.u16_be()?,
        })),
    }
}

fn scheme(reader: &mut Reader<'_>) -> Result<Option<Scheme>, Malformed> {
    let algorithm = reader.u16_be()?;
    match algorithm {
        ALG_NULL => return Ok(None),
        ALG_RSAES => {
            return Ok(Some(Scheme {
                algorithm,
                hash: None,
            }));
        }
        _ => {}
    }
    let hash = Some(HashAlgorithm(reader.u16_be()?));
    if algorithm == ALG_ECDAA {
        reader.u16_be()?;
    }
    Ok(Some(Scheme { algorithm, hash }))
}

// spec: tpm.public.exponent
fn rsa<'a>(reader: &mut Reader<'a>) -> Result<PublicKey<'a>, Malformed> {
    let key_bits = reader.u16_be()?;
    let exponent = match reader.u32_be()? {
        0 => 65537,
        other => other,
    };
    let at = reader.offset();
    // RSA-8192 would have 1024 bytes; TPMs reach 4096 bits.
    let modulus = sized(reader, 1024, "unique")?;
    if modulus.len().saturating_mul(8) != usize::from(key_bits) || modulus.first() < Some(&0x80) {
        return Err(Malformed::invalid(
            PUBLIC,
            at,
            "unique",
            "the modulus is not as long as keyBits says",
        ));
    }
    Ok(PublicKey::Rsa {
        key_bits,
        exponent,
        modulus,
    })
}

fn ecc<'a>(reader: &mut Reader<'a>) -> Result<PublicKey<'a>, Malformed> {
    let curve = reader.u16_be()?;
    if reader.u16_be()? != ALG_NULL {
        reader.u16_be()?;
    }
    let width = match curve {
        3 => 32,
        4 => 48,
        _ => 66,
    };
    Ok(PublicKey::Ecc {
        curve,
        x: sized(reader, width, "x")?,
        y: sized(reader, width, "y")?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A restricted P-256 signing key.
    pub(crate) fn key() -> Vec<u8> {
        let mut out = hex::decode("0023000b00050072000000100018000b00030010").unwrap();
        for filling in [1_u8, 2] {
            out.extend([0, 32]);
            out.extend([filling; 32]);
        }
        out
    }

    #[test]
    fn the_same_key_is_read_with_and_without_a_length_before_it() {
        let bare = key();
        let mut sized = u16::try_from(bare.len()).unwrap().to_be_bytes().to_vec();
        sized.extend(&bare);
        let first = Public::parse(&bare).unwrap();
        let second = Public::parse(&sized).unwrap();
        assert_eq!(first, second);
        assert!(first.attributes.restricted() && first.attributes.sign());
        assert_eq!(first.name(), second.name());
    }

    #[test]
    fn an_unknown_key_type_is_refused_by_its_number() {
        let mut bytes = key();
        bytes[1] = 0x08;
        assert_eq!(
            Public::parse(&bytes),
            Err(Malformed::new(
                PUBLIC,
                0,
                What::Unsupported {
                    field: "type",
                    found: 8
                }
            ))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), at in 0_usize..80, value: u8) {
            let _ = Public::parse(&bytes);
            let mut changed = key();
            changed[at] = value;
            let _ = Public::parse(&changed);
        }
    }
}
