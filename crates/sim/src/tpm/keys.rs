//! Keys of a toy TPM: EKs that open credentials, AKs that sign.
//!
//! Everything a TPM would keep inside stays in this file. The structures are written here anew
//! (TCG TPM 2.0 Library, part 2 §12.2 and part 1 §24) and share no code with their readers.

use aws_lc_rs::{
    agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey},
    cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey},
    digest::{SHA256, digest},
    encoding::{AsDer as _, PublicKeyX509Der},
    hmac,
    iv::FixedLength,
    rand::SystemRandom,
    rsa::{
        KeyPair, KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
    },
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PSS_SHA256, RsaEncoding,
    },
};

use crate::{
    der_write::{bits, null, oid, sequence},
    x509_write::{P256, curve_key_info},
};

/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
const AK_ATTRIBUTES: u32 = 0x0005_0072;
/// The same without restricted: such a key signs anything.
const FREE_ATTRIBUTES: u32 = 0x0004_0072;
/// fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt.
const EK_ATTRIBUTES: u32 = 0x0003_00b2;
/// PolicySecret of the endorsement hierarchy (TCG EK Credential Profile, policy A).
const POLICY_A: &str = "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa";
const RANDOM: &str = "the operating system has random bytes";

/// How an AK signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AkKind {
    /// RSA-2048, PKCS #1 v1.5.
    Rsassa,
    /// RSA-2048, PSS.
    Rsapss,
    /// P-256.
    Ecdsa,
}

impl AkKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rsassa, Self::Rsapss, Self::Ecdsa];

    /// `TPM_ALG_ID` of the scheme.
    const fn scheme(self) -> u16 {
        match self {
            Self::Rsassa => 0x0014,
            Self::Rsapss => 0x0016,
            Self::Ecdsa => 0x0018,
        }
    }
}

/// The kind of an EK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EkKind {
    /// RSA-2048.
    Rsa,
    /// P-256.
    P256,
}

impl EkKind {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Rsa, Self::P256];
}

pub(super) fn new_curve_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(RANDOM)
}

/// r‖s, 64 bytes.
pub(super) fn sign_p256(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), message)
        .expect("a curve key signs any message")
        .as_ref()
        .to_vec()
}

/// A length of 16 bits, and the bytes.
pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], bytes].concat()
}

/// The modulus of an RSA-2048 key out of the DER of RSAPublicKey with exponent 65537: it is
/// followed by five bytes.
fn modulus(key: &[u8]) -> &[u8] {
    &key[key.len() - 5 - 256..key.len() - 5]
}

fn rsa_info(key: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&oid(&[1, 2, 840, 113_549, 1, 1, 1]), &null()]);
    sequence(&[&algorithm, &bits(0, key)])
}

/// Type, name algorithm, attributes and policy: how every public area begins.
fn public_head(kind: u16, attributes: u32, policy: &[u8]) -> Vec<u8> {
    let mut out = kind.to_be_bytes().to_vec();
    out.extend(0x000b_u16.to_be_bytes());
    out.extend(attributes.to_be_bytes());
    out.extend(sized(policy));
    out
}

/// The name of a key: the number of SHA-256, and its digest over the public area.
pub(super) fn name(public: &[u8]) -> Vec<u8> {
    [&[0, 0x0b][..], digest(&SHA256, public).as_ref()].concat()
}

enum AkSecret {
    Rsa(Box<KeyPair>),
    Curve(EcdsaKeyPair),
}

/// A key that attests.
pub(super) struct Ak {
    kind: AkKind,
    secret: AkSecret,
}

impl Ak {
    pub(super) fn new(kind: AkKind) -> Self {
        let secret = match kind {
            AkKind::Ecdsa => AkSecret::Curve(new_curve_key()),
            _ => AkSecret::Rsa(Box::new(KeyPair::generate(KeySize::Rsa2048).expect(RANDOM))),
        };
        Self { kind, secret }
    }

    /// `TPMT_PUBLIC`.
    pub(super) fn public(&self, restricted: bool) -> Vec<u8> {
        let attributes = if restricted {
            AK_ATTRIBUTES
        } else {
            FREE_ATTRIBUTES
        };
        let scheme = |out: &mut Vec<u8>| {
            // No cipher; the scheme with SHA-256.
            out.extend([0, 0x10]);
            out.extend(self.kind.scheme().to_be_bytes());
            out.extend([0, 0x0b]);
        };
        match &self.secret {
            AkSecret::Rsa(key) => {
                let mut out = public_head(1, attributes, &[]);
                scheme(&mut out);
                out.extend([0x08, 0, 0, 0, 0, 0]);
                out.extend(sized(modulus(key.public_key().as_ref())));
                out
            }
            AkSecret::Curve(key) => {
                let mut out = public_head(0x23, attributes, &[]);
                scheme(&mut out);
                out.extend([0, 3, 0, 0x10]);
                for coordinate in key.public_key().as_ref()[1..].chunks(32) {
                    out.extend(sized(coordinate));
                }
                out
            }
        }
    }

    /// SubjectPublicKeyInfo.
    pub(super) fn info(&self) -> Vec<u8> {
        match &self.secret {
            AkSecret::Rsa(key) => rsa_info(key.public_key().as_ref()),
            AkSecret::Curve(key) => curve_key_info(&P256, key.public_key().as_ref()),
        }
    }

    /// `TPMT_SIGNATURE` over these bytes.
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut out = self.kind.scheme().to_be_bytes().to_vec();
        out.extend([0, 0x0b]);
        match &self.secret {
            AkSecret::Rsa(key) => {
                let padding: &dyn RsaEncoding = match self.kind {
                    AkKind::Rsapss => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &SystemRandom::new(), message, &mut signature)
                    .expect("a key of 2048 bits signs any message");
                out.extend(sized(&signature));
            }
            AkSecret::Curve(key) => {
                for number in sign_p256(key, message).chunks(32) {
                    out.extend(sized(number));
                }
            }
        }
        out
    }
}

/// An RSA public area of 1024 bits, whose private key nobody has.
pub(super) fn short_public() -> Vec<u8> {
    let mut out = public_head(1, AK_ATTRIBUTES, &[]);
    out.extend([0, 0x10, 0, 0x14, 0, 0x0b, 0x04, 0, 0, 0, 0, 0]);
    out.extend(sized(&[0xd5; 128]));
    out
}

enum EkSecret {
    Rsa(OaepPrivateDecryptingKey),
    Curve(PrivateKey),
}

/// The key that the maker certifies.
pub(super) struct Ek {
    secret: EkSecret,
    /// SubjectPublicKeyInfo.
    info: Vec<u8>,
}

impl Ek {
    pub(super) fn new(kind: EkKind) -> Self {
        match kind {
            EkKind::Rsa => {
                let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).expect(RANDOM);
                let info: PublicKeyX509Der<'_> =
                    key.public_key().as_der().expect("a key has an encoding");
                Self {
                    info: info.as_ref().to_vec(),
                    secret: EkSecret::Rsa(OaepPrivateDecryptingKey::new(key).expect("an RSA key")),
                }
            }
            EkKind::P256 => {
                let key = PrivateKey::generate(&ECDH_P256).expect(RANDOM);
                let point = key.compute_public_key().expect("a key has a point");
                Self {
                    info: curve_key_info(&P256, point.as_ref()),
                    secret: EkSecret::Curve(key),
                }
            }
        }
    }

    pub(super) fn info(&self) -> &[u8] {
        &self.info
    }

    /// The uncompressed point behind the BIT STRING's head.
    fn point(&self) -> &[u8] {
        &self.info[self.info.len() - 65..]
    }

    /// `TPMT_PUBLIC` after the standard templates L-1 and L-2.
    pub(super) fn public(&self) -> Vec<u8> {
        let policy = hex::decode(POLICY_A).expect("hex");
        // AES-128 in CFB, no scheme.
        let cipher = [0, 6, 0, 0x80, 0, 0x43, 0, 0x10];
        match self.secret {
            EkSecret::Rsa(_) => {
                let mut out = public_head(1, EK_ATTRIBUTES, &policy);
                out.extend(cipher);
                out.extend([0x08, 0, 0, 0, 0, 0]);
                out.extend(sized(modulus(&self.info)));
                out
            }
            EkSecret::Curve(_) => {
                let mut out = public_head(0x23, EK_ATTRIBUTES, &policy);
                out.extend(cipher);
                out.extend([0, 3, 0, 0x10]);
                for coordinate in self.point()[1..].chunks(32) {
                    out.extend(sized(coordinate));
                }
                out
            }
        }
    }

    /// `TPM2_ActivateCredential`: opens a credential for the key of this name. `None` where a TPM
    /// would refuse.
    ///
    /// Both parts with their lengths before them.
    pub(super) fn activate(
        &self,
        ak_name: &[u8],
        id_object: &[u8],
        encrypted_secret: &[u8],
    ) -> Option<Vec<u8>> {
        let seed = self.seed(encrypted_secret.get(2..)?)?;
        let object = id_object.get(2..)?;
        let (length, rest) = object.split_first_chunk::<2>()?;
        let (integrity, identity) =
            rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let key = kdf_a(&seed, b"INTEGRITY", &[], 256);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        hmac::verify(&key, &[identity, ak_name].concat(), integrity).ok()?;
        let key = kdf_a(&seed, b"STORAGE", ak_name, 128);
        let mut opened = identity.to_vec();
        let zero = DecryptionContext::Iv128(FixedLength::from([0; 16]));
        let key = UnboundCipherKey::new(&AES_128, &key[..16]).ok()?;
        DecryptingKey::cfb128(key)
            .ok()?
            .decrypt(&mut opened, zero)
            .ok()?;
        let (length, secret) = opened.split_first_chunk::<2>()?;
        (usize::from(u16::from_be_bytes(*length)) == secret.len()).then(|| secret.to_vec())
    }

    fn seed(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        match &self.secret {
            EkSecret::Rsa(key) => {
                let mut out = vec![0; key.min_output_size()];
                let label = Some(&b"IDENTITY\0"[..]);
                let seed = key
                    .decrypt(&OAEP_SHA256_MGF1SHA256, sealed, &mut out, label)
                    .ok()?;
                Some(seed.to_vec())
            }
            EkSecret::Curve(key) => {
                // Two numbers of 32 bytes, each behind its length.
                let (x, y) = (sealed.get(2..34)?, sealed.get(36..68)?);
                let peer = [&[4][..], x, y].concat();
                let own = &self.point()[1..33];
                agreement::agree(
                    key,
                    UnparsedPublicKey::new(&ECDH_P256, &peer),
                    (),
                    |shared| {
                        let parts = [&[0, 0, 0, 1][..], shared, b"IDENTITY\0", x, own];
                        Ok(digest(&SHA256, &parts.concat()).as_ref().to_vec())
                    },
                )
                .ok()
            }
        }
    }
}

/// One block of SP 800-108 in counter mode with HMAC-SHA-256.
fn kdf_a(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> Vec<u8> {
    let message = [&[0, 0, 0, 1][..], label, &[0], context, &bits.to_be_bytes()].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, &message).as_ref().to_vec()
}
