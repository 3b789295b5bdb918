//! Credentials: a puzzle that only one TPM can solve, and only for one of its keys.
//!
//! TCG TPM 2.0 Library, part 1 §24 (MakeCredential). The solver proves that the AK's name and the
//! certified EK live in the same TPM. Draws no random byte: they are an argument and must be
//! fresh for every credential. The witness keeps a digest of the secret, never the secret.
//!
//! *Assumption*: the caller sends the credential only to the machine that asked, and redeems it
//! once. *Caveat*: an activation proves the binding at that time; the owner's enrolment carries it
//! on.

use aws_lc_rs::{
    agreement::{self, PrivateKey, UnparsedPublicKey},
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};
use zeuge_evidence::tpm::{HashAlgorithm, Public, PublicKey};

use super::{
    Broken,
    ek::{EkFacts, sha256},
    key::{AttestationKey, padded},
    quote::attests_only,
    rsa,
};
use crate::{Error, Trail, Verified};

/// Fresh random bytes for one credential. Never used twice, never written down.
pub struct Randomness {
    /// The secret that the TPM must return.
    pub secret: [u8; 32],
    /// The seed of the credential's keys; as much of it is used as the EK's hash is long.
    pub seed: [u8; 64],
    /// The seed of the OAEP padding, for RSA keys.
    pub oaep: [u8; 64],
    /// A private key, for elliptic-curve keys; as much of it is used as the curve is wide.
    pub ephemeral: [u8; 66],
}

impl std::fmt::Debug for Randomness {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Randomness")
    }
}

/// A credential as `TPM2_ActivateCredential` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// `TPM2B_ID_OBJECT`, with its length.
    pub id_object: Vec<u8>,
    /// `TPM2B_ENCRYPTED_SECRET`, with its length.
    pub encrypted_secret: Vec<u8>,
}

impl Credential {
    /// The file that `tpm2_activatecredential -i` reads: magic, version 1, both parts.
    #[must_use]
    pub fn tpm2_tools_file(&self) -> Vec<u8> {
        let mut out = vec![0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];
        out.extend(&self.id_object);
        out.extend(&self.encrypted_secret);
        out
    }
}

/// A credential that waits for its answer.
#[derive(Debug)]
pub struct Pending {
    ak_name: Vec<u8>,
    ek: EkFacts,
    answer: [u8; 32],
}

impl Pending {
    /// The name of the AK that is asked about.
    #[must_use]
    pub fn ak_name(&self) -> &[u8] {
        &self.ak_name
    }
}

/// The proof that a TPM with this EK holds the AK of this name. Cannot be read from the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Activation {
    ak_name: Vec<u8>,
    ek: EkFacts,
}

impl Activation {
    /// The AK's name.
    #[must_use]
    pub fn ak_name(&self) -> &[u8] {
        &self.ak_name
    }

    /// The TPM.
    #[must_use]
    pub const fn ek(&self) -> &EkFacts {
        &self.ek
    }
}

impl Pending {
    // spec: tpm.activation.answer
    /// Takes the answer; right or wrong, the credential is spent.
    ///
    /// # Errors
    /// `tpm.ak.activation` when it is not the secret.
    pub fn redeem(self, answer: &[u8]) -> Result<Activation, Error> {
        // Digests are compared, so the time that this takes says nothing about the secret.
        Trail::new().check("tpm.ak.activation", || {
            if sha256(answer) == self.answer {
                return Ok(());
            }
            Err(Broken::ActivationDiffers.into())
        })?;
        Ok(Activation {
            ak_name: self.ak_name,
            ek: self.ek,
        })
    }
}

// spec: tpm.activation.before
/// Begins the activation of an AK: checks that the EK shown is the certified one and that the AK
/// may only attest, then makes a credential for both.
///
/// `ek_public` and `ak_public` are `TPMT_PUBLIC` or `TPM2B_PUBLIC`.
///
/// # Errors
/// `tpm.public`, `tpm.ek.key`, `tpm.ak.key`, `tpm.ak.attributes`.
pub fn begin(
    ek: &Verified<EkFacts>,
    ek_public: &[u8],
    ak_public: &[u8],
    random: &Randomness,
) -> Result<(Credential, Pending), Error> {
    let shown = Public::parse(ek_public)?;
    let shown_key = AttestationKey::of_public(&shown)?;
    let certified = &ek.fact().key;
    let attributes = shown.attributes;
    let decrypts_only = attributes.fixed_tpm()
        && attributes.fixed_parent()
        && attributes.restricted()
        && attributes.decrypt()
        && !attributes.sign();
    let same = (certified.kind, &certified.key) == (shown_key.kind, &shown_key.key);
    let mut trail = Trail::new();
    trail.check("tpm.ek.key", || {
        if same && decrypts_only {
            return Ok(());
        }
        Err(Broken::EkKey {
            found: format!("{}, {attributes}", shown_key.text()),
            wanted: certified.text(),
        }
        .into())
    })?;
    let ak = AttestationKey::of_public(&Public::parse(ak_public)?)?;
    trail.check("tpm.ak.attributes", || attests_only(&ak))?;
    let ak_name = ak
        .name
        .clone()
        .ok_or_else(|| Broken::AkKey { found: ak.text() })?;
    let credential = make_credential(&shown, &ak_name, &random.secret, random)?;
    let pending = Pending {
        ak_name,
        ek: ek.fact().clone(),
        answer: sha256(&random.secret),
    };
    Ok((credential, pending))
}

/// `TPM2_MakeCredential` in software: encrypts `secret` so that only the TPM with this EK, and
/// only for the key of this name, can open it. The secret is at most as long as a digest of the
/// EK's name algorithm.
///
/// # Errors
/// `tpm.ek.key` for an EK whose key, hash or cipher is not among RSA, P-256, P-384; SHA-256,
/// SHA-384, SHA-512; AES-128, AES-256 in CFB; or a secret that is too long.
pub fn make_credential(
    ek: &Public<'_>,
    ak_name: &[u8],
    secret: &[u8],
    random: &Randomness,
) -> Result<Credential, Error> {
    build(ek, ak_name, secret, random).ok_or_else(|| {
        Broken::EkKey {
            found: format!("name algorithm {}, {}", ek.name_algorithm, ek.attributes),
            wanted: "RSA, P-256 or P-384 with SHA-2 and AES-CFB, and a short secret".to_owned(),
        }
        .into()
    })
}

const AES: u16 = 6;
const CFB: u16 = 0x43;

// spec: tpm.activation.blob
fn build(
    ek: &Public<'_>,
    ak_name: &[u8],
    secret: &[u8],
    random: &Randomness,
) -> Option<Credential> {
    let hash = ek.name_algorithm;
    let size = hash.size()?;
    let symmetric = ek
        .symmetric
        .filter(|symmetric| (symmetric.algorithm, symmetric.mode) == (AES, CFB))?;
    if secret.len() > size {
        return None;
    }
    let (seed, encrypted_secret) = seed(ek, hash, size, random)?;
    let key_bits = u32::from(symmetric.key_bits);
    let key = kdf_a(hash, &seed, "STORAGE", ak_name, key_bits)?;
    let mut identity = sized(secret)?;
    encrypt(&key, &mut identity)?;
    let digest_bits = u32::try_from(size.checked_mul(8)?).ok()?;
    let integrity = kdf_a(hash, &seed, "INTEGRITY", &[], digest_bits)?;
    let outer = mac(hash, &integrity, &[&identity, ak_name])?;
    let mut object = sized(&outer)?;
    object.extend(identity);
    Some(Credential {
        id_object: sized(&object)?,
        encrypted_secret: sized(&encrypted_secret)?,
    })
}

// spec: tpm.activation.seed
/// The seed and how the TPM learns it.
fn seed(
    ek: &Public<'_>,
    hash: HashAlgorithm,
    size: usize,
    random: &Randomness,
) -> Option<(Vec<u8>, Vec<u8>)> {
    match ek.key {
        PublicKey::Rsa {
            exponent, modulus, ..
        } => {
            let seed = random.seed.get(..size)?;
            let padding = random.oaep.get(..size)?;
            let sealed = rsa::oaep(modulus, exponent, hash, b"IDENTITY\0", seed, padding)?;
            Some((seed.to_vec(), sealed))
        }
        PublicKey::Ecc { curve, x, y } => {
            let (algorithm, width) = match curve {
                3 => (&agreement::ECDH_P256, 32),
                4 => (&agreement::ECDH_P384, 48),
                _ => return None,
            };
            let (x, y) = (padded(x, width), padded(y, width));
            let private =
                PrivateKey::from_private_key(algorithm, random.ephemeral.get(..width)?).ok()?;
            let public = private.compute_public_key().ok()?;
            let (own_x, own_y) = public.as_ref().get(1..)?.split_at_checked(width)?;
            let peer = [vec![4], x.clone(), y].concat();
            let seed = agreement::agree(
                &private,
                UnparsedPublicKey::new(algorithm, &peer),
                (),
                |shared| {
                    // KDFe of one block: counter, Z, label with its NUL, both x coordinates.
                    let one = 1_u32.to_be_bytes();
                    hash.digest(&[&one, shared, b"IDENTITY\0", own_x, &x])
                        .ok_or(())
                },
            )
            .ok()?;
            let mut point = sized(own_x)?;
            point.extend(sized(own_y)?);
            Some((seed, point))
        }
    }
}

// spec: tpm.activation.kdfa
/// KDFa: SP 800-108 in counter mode with HMAC; at most one block is ever needed here.
fn kdf_a(
    hash: HashAlgorithm,
    key: &[u8],
    label: &str,
    context: &[u8],
    bits: u32,
) -> Option<Vec<u8>> {
    let one = 1_u32.to_be_bytes();
    let parts = [&one, label.as_bytes(), &[0], context, &bits.to_be_bytes()];
    let mut out = mac(hash, key, &parts)?;
    let wanted = usize::try_from(bits.checked_div(8)?).ok()?;
    if wanted > out.len() {
        return None;
    }
    out.truncate(wanted);
    Some(out)
}

fn mac(hash: HashAlgorithm, key: &[u8], parts: &[&[u8]]) -> Option<Vec<u8>> {
    let algorithm = match hash {
        HashAlgorithm::SHA256 => hmac::HMAC_SHA256,
        HashAlgorithm::SHA384 => hmac::HMAC_SHA384,
        HashAlgorithm::SHA512 => hmac::HMAC_SHA512,
        _ => return None,
    };
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), &parts.concat());
    Some(tag.as_ref().to_vec())
}

/// AES-CFB with a zero IV: the key is used for this one message only.
fn encrypt(key: &[u8], bytes: &mut [u8]) -> Option<()> {
    let algorithm = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return None,
    };
    let key = UnboundCipherKey::new(algorithm, key).ok()?;
    let zero = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    EncryptingKey::cfb128(key)
        .ok()?
        .less_safe_encrypt(bytes, zero)
        .ok()?;
    Some(())
}

/// The bytes behind their 16-bit length.
fn sized(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(bytes.len()).ok()?;
    let mut out = length.to_be_bytes().to_vec();
    out.extend(bytes);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_never_printed() {
        let random = Randomness {
            secret: [1; 32],
            seed: [2; 64],
            oaep: [3; 64],
            ephemeral: [4; 66],
        };
        assert_eq!(format!("{random:?}"), "Randomness");
    }
}
