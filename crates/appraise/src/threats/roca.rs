//! The fingerprint of RSA keys that Infineon's faulty library made (ROCA, CVE-2017-15361).
//!
//! Such a modulus is a power of 65537 modulo every small prime. A good key is one of those by
//! chance less than once in a hundred million. Factors nothing.

use zeuge_evidence::der::{Der, tag};

/// The primes that the library's smallest keys cover.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];
const GENERATOR: u32 = 65_537;

/// Whether a key (RSAPublicKey in DER) bears the fingerprint; `None` for what is no such key.
pub(super) fn is_marked(key: &[u8]) -> Option<bool> {
    let mut outer = Der::at_offset(key, 0, "tpm.ak.key");
    let whole = outer.expect(tag::SEQUENCE, "RSAPublicKey").ok()?;
    let modulus = whole
        .inside()
        .expect(tag::INTEGER, "modulus")
        .ok()?
        .unsigned()
        .ok()?
        .to_vec();
    Some(PRIMES.into_iter().all(|prime| is_power(&modulus, prime)))
}

/// Whether a number (big-endian) is a power of the generator modulo this prime.
fn is_power(number: &[u8], prime: u32) -> bool {
    let next = |value: u32, factor: u32, more: u32| {
        let product = value
            .checked_mul(factor)
            .and_then(|it| it.checked_add(more));
        product.and_then(|it| it.checked_rem(prime)).unwrap_or(0)
    };
    let rest = number
        .iter()
        .fold(0, |rest, byte| next(rest, 256, u32::from(*byte)));
    let step = next(GENERATOR, 1, 0);
    let mut power = 1;
    for _ in 0..prime {
        if power == rest {
            return true;
        }
        power = next(power, step, 0);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RSAPublicKey with this modulus and the usual exponent.
    fn key(modulus: &[u8]) -> Vec<u8> {
        let length = |length: usize| {
            let [.., high, low] = length.to_be_bytes();
            vec![0x82, high, low]
        };
        let sign: &[u8] = if modulus[0] & 0x80 == 0 { &[] } else { &[0] };
        let mut inner = vec![0x02];
        inner.extend(length(sign.len() + modulus.len()));
        inner.extend(sign);
        inner.extend(modulus);
        inner.extend([0x02, 3, 1, 0, 1]);
        [vec![0x30], length(inner.len()), inner].concat()
    }

    /// 65537 to this power, big-endian.
    fn power(exponent: u32) -> Vec<u8> {
        let mut little = vec![1_u8];
        for _ in 0..exponent {
            let mut carry = 0_u64;
            for byte in &mut little {
                let product = u64::from(*byte) * 65_537 + carry;
                *byte = u8::try_from(product & 0xff).unwrap();
                carry = product >> 8;
            }
            while carry > 0 {
                little.push(u8::try_from(carry & 0xff).unwrap());
                carry >>= 8;
            }
        }
        little.reverse();
        little
    }

    #[test]
    fn a_power_of_the_generator_is_marked_and_its_neighbours_are_not() {
        let marked = power(140);
        assert!(marked.len() > 250);
        assert_eq!(is_marked(&key(&marked)), Some(true));
        let mut other = marked;
        *other.last_mut().unwrap() ^= 2;
        assert_eq!(is_marked(&key(&other)), Some(false));
    }

    #[test]
    fn what_is_no_key_is_not_judged() {
        assert_eq!(is_marked(b""), None);
        assert_eq!(is_marked(&[4; 65]), None);
    }
}
