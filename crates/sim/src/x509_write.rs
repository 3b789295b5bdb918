//! What the certificates of both toy makers have in common: windows, key ids, common extensions.
//!
//! Writes what it is told, as `der_write` does. Never decides who signs what.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use zeuge_evidence::UnixTime;

use crate::der_write::{bits, element, integer, octets, oid, sequence, yes};

/// A day in seconds.
pub(crate) const DAY: i64 = 86_400;
/// The curve secp256r1.
pub(crate) const P256: [u64; 7] = [1, 2, 840, 10_045, 3, 1, 7];
/// The curve secp384r1.
pub(crate) const P384: [u64; 5] = [1, 3, 132, 0, 34];

// Bits of KeyUsage from the left, as the encoding has them.
pub(crate) const DIGITAL_SIGNATURE: u8 = 0b1000_0000;
pub(crate) const NON_REPUDIATION: u8 = 0b0100_0000;
pub(crate) const CERT_SIGN: u8 = 0b0000_0100;
pub(crate) const CRL_SIGN: u8 = 0b0000_0010;

/// First and last instant of validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: UnixTime,
    pub(crate) to: UnixTime,
}

impl Window {
    /// A window of a year that ended the day before.
    pub(crate) fn ended_yesterday(at: UnixTime) -> Self {
        Self {
            from: at.plus(-366 * DAY),
            to: at.plus(-DAY),
        }
    }
}

/// The same date and time in a later year; 28 February where the 29th does not exist.
pub(crate) fn years_later(from: UnixTime, years: i64) -> UnixTime {
    let text = from.to_string();
    let (year, rest) = text.split_at(4);
    let year = year.parse::<i64>().unwrap_or(9999) + years;
    UnixTime::parse_rfc3339(&format!("{year:04}{rest}"))
        .or_else(|| UnixTime::parse_rfc3339(&format!("{year:04}-02-28{}", &text[10..])))
        .unwrap_or(from)
}

/// Flips the last bit of a certificate or list, which belongs to its signature.
pub(crate) fn flip_last_bit(der: &mut [u8]) {
    if let Some(last) = der.last_mut() {
        *last ^= 1;
    }
}

/// An extension with this identifier (RFC 5280 §4.1).
pub(crate) fn extension(id: &[u64], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { yes() } else { Vec::new() };
    sequence(&[&oid(id), &critical, &octets(value)])
}

pub(crate) fn authority_key_id(key_id: &[u8]) -> Vec<u8> {
    extension(&[2, 5, 29, 35], false, &sequence(&[&element(0x80, key_id)]))
}

pub(crate) fn subject_key_id(key_id: &[u8]) -> Vec<u8> {
    extension(&[2, 5, 29, 14], false, &octets(key_id))
}

pub(crate) fn basic_constraints(authority: bool, path_length: Option<u64>) -> Vec<u8> {
    let authority = if authority { yes() } else { Vec::new() };
    let path_length = path_length.map(integer).unwrap_or_default();
    extension(
        &[2, 5, 29, 19],
        true,
        &sequence(&[&authority, &path_length]),
    )
}

/// KeyUsage; `first` holds the bits from the left, as the encoding has them.
pub(crate) fn key_usage(first: u8) -> Vec<u8> {
    let unused = u8::try_from(first.trailing_zeros().min(7)).unwrap_or(7);
    extension(&[2, 5, 29, 15], true, &bits(unused, &[first]))
}

/// SHA-1 of the key bits (RFC 5280 §4.2.1.2, method 1).
pub(crate) fn key_id(key: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, key).as_ref().to_vec()
}

/// SubjectPublicKeyInfo of a point on the curve with this object identifier.
pub(crate) fn curve_key_info(curve: &[u64], point: &[u8]) -> Vec<u8> {
    let algorithm = sequence(&[&oid(&[1, 2, 840, 10_045, 2, 1]), &oid(curve)]);
    sequence(&[&algorithm, &bits(0, point)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_day_is_followed_by_the_28th_of_february() {
        let at = UnixTime::parse_rfc3339("2024-02-29T12:00:00Z").unwrap();
        assert_eq!(years_later(at, 1).to_string(), "2025-02-28T12:00:00Z");
        assert_eq!(years_later(at, 4).to_string(), "2028-02-29T12:00:00Z");
    }
}
