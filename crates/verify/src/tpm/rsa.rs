//! RSA with a public key, for credentials: OAEP with given random bytes.
//!
//! The crypto library draws the OAEP seed itself, and this room draws nothing, so padding and the
//! public operation stand here. Only encryption: no private key ever comes near. Time depends on
//! the lengths and on the (public) exponent, not on the message.

use zeuge_evidence::tpm::HashAlgorithm;

/// A limb of 32 bits, so that products and carries fit 64.
type Limbs = Vec<u32>;

/// RSAES-OAEP (RFC 8017 §7.1.1) with MGF1 of the same hash.
///
/// `seed` has the length of a digest. `None` when the message does not fit, the hash is not
/// computed here, or the seed has another length.
pub(super) fn oaep(
    modulus: &[u8],
    exponent: u32,
    hash: HashAlgorithm,
    label: &[u8],
    message: &[u8],
    seed: &[u8],
) -> Option<Vec<u8>> {
    let digest = hash.size().filter(|size| *size == seed.len())?;
    let block = modulus.len().checked_sub(digest)?.checked_sub(1)?;
    let zeros = block
        .checked_sub(digest)?
        .checked_sub(1)?
        .checked_sub(message.len())?;
    let mut data = hash.digest(&[label])?;
    data.extend(vec![0; zeros]);
    data.push(1);
    data.extend(message);
    xor(&mut data, &mask(hash, seed, block)?);
    let mut masked_seed = seed.to_vec();
    xor(&mut masked_seed, &mask(hash, &data, digest)?);
    let mut padded = vec![0];
    padded.extend(masked_seed);
    padded.extend(data);
    power(modulus, exponent, &padded)
}

fn xor(bytes: &mut [u8], mask: &[u8]) {
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// MGF1 (RFC 8017 appendix B.2.1).
fn mask(hash: HashAlgorithm, seed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut counter = 0_u32;
    while out.len() < length {
        out.extend(hash.digest(&[seed, &counter.to_be_bytes()])?);
        counter = counter.checked_add(1)?;
    }
    out.truncate(length);
    Some(out)
}

/// `block` to the power of `exponent`, modulo `modulus`; all big-endian and of equal length, the
/// block below the modulus.
fn power(modulus: &[u8], exponent: u32, block: &[u8]) -> Option<Vec<u8>> {
    let n = limbs(modulus);
    let base = limbs(block);
    let odd = n.first().is_some_and(|low| low & 1 == 1);
    if !odd || n.len() != base.len() || exponent < 3 {
        return None;
    }
    let mut out = base.clone();
    let top = exponent.ilog2();
    for bit in (0..top).rev() {
        out = multiply(&out, &out, &n);
        if exponent.wrapping_shr(bit) & 1 == 1 {
            out = multiply(&out, &base, &n);
        }
    }
    let mut bytes: Vec<u8> = out.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    bytes.truncate(modulus.len());
    bytes.reverse();
    Some(bytes)
}

/// Little-endian limbs of a big-endian number.
fn limbs(bytes: &[u8]) -> Limbs {
    bytes
        .rchunks(4)
        .map(|chunk| {
            chunk
                .iter()
                .fold(0, |limb: u32, byte| limb.wrapping_shl(8) | u32::from(*byte))
        })
        .collect()
}

/// `a · b mod n` by doubling and adding, with the same steps for every `a` and `b` below `n`.
fn multiply(a: &[u32], b: &[u32], n: &[u32]) -> Limbs {
    let mut out = vec![0_u32; n.len()];
    for limb in a.iter().rev() {
        for bit in (0..32).rev() {
            let twice = out.clone();
            add(&mut out, &twice, u32::MAX, n);
            let chosen = (limb.wrapping_shr(bit) & 1).wrapping_neg();
            add(&mut out, b, chosen, n);
        }
    }
    out
}

/// `out + (other & mask) mod n`; both below `n`.
fn add(out: &mut [u32], other: &[u32], mask: u32, n: &[u32]) {
    let mut carry = 0_u64;
    for (sum, part) in out.iter_mut().zip(other) {
        let total = u64::from(*sum)
            .wrapping_add(u64::from(part & mask))
            .wrapping_add(carry);
        *sum = low(total);
        carry = total.wrapping_shr(32);
    }
    let mut borrow = 0_u64;
    let mut reduced = Vec::with_capacity(n.len());
    for (sum, part) in out.iter().zip(n) {
        let difference = u64::from(*sum)
            .wrapping_sub(u64::from(*part))
            .wrapping_sub(borrow);
        reduced.push(low(difference));
        borrow = difference.wrapping_shr(63);
    }
    // The sum is at least n when it carried, or when nothing had to be borrowed.
    let take = low(carry | (borrow ^ 1)).wrapping_neg();
    for (sum, reduced) in out.iter_mut().zip(reduced) {
        *sum = (reduced & take) | (*sum & !take);
    }
}

const fn low(number: u64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        encoding::{AsDer as _, PublicKeyX509Der},
        rsa::{KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    };
    use zeuge_evidence::der::{Der, tag};

    use super::*;

    #[test]
    fn small_numbers_are_raised_as_by_hand() {
        assert_eq!(
            power(&[0, 0, 1, 5], 3, &[0, 0, 0, 7]),
            Some(vec![0, 0, 0, 82])
        );
        assert_eq!(power(&[0, 0, 1, 4], 3, &[0, 0, 0, 7]), None);
    }

    #[test]
    fn a_second_implementation_opens_what_is_padded_here() {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let der: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
        let mut info = Der::new(der.as_ref(), "test")
            .expect(tag::SEQUENCE, "info")
            .unwrap()
            .inside();
        info.any().unwrap();
        let bits = info.any().unwrap().bits().unwrap();
        let modulus = crate::tpm::key::rsa_modulus(bits).unwrap();
        let sealed = oaep(
            modulus,
            65537,
            HashAlgorithm::SHA256,
            b"IDENTITY\0",
            b"a secret seed",
            &[9; 32],
        )
        .unwrap();
        let opener = OaepPrivateDecryptingKey::new(key).unwrap();
        let mut out = [0; 256];
        let opened = opener
            .decrypt(
                &OAEP_SHA256_MGF1SHA256,
                &sealed,
                &mut out,
                Some(b"IDENTITY\0"),
            )
            .unwrap();
        assert_eq!(opened, b"a secret seed");
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() {
        let modulus = [0xff; 128];
        let long = [1; 63];
        assert_eq!(
            oaep(&modulus, 3, HashAlgorithm::SHA256, b"", &long, &[0; 32]),
            None
        );
    }
}
