//! A small writer of DER (ITU-T X.690), enough for the makers' certificates and lists.
//!
//! Certificate builders refuse or normalise what AMD really issues: serial number 0, a DEFAULT
//! value written out, an extension whose content is not DER at all. This writer writes what it is
//! told. It never reads, and it shares no code with the reader that it is used against.

use zeuge_evidence::UnixTime;

/// The last instant that UTCTime can name (RFC 5280 §4.1.2.5): 2049-12-31T23:59:59Z.
const UTC_TIME_LAST: i64 = 2_524_607_999;

/// One element: tag, definite and minimal length, content.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    let needed: Vec<u8> = length
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    match needed.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // A length has at most eight bytes, so the count fits the low bits.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of the given elements.
pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// SET of one element.
pub(crate) fn set(part: &[u8]) -> Vec<u8> {
    element(0x31, part)
}

/// `[number]`, EXPLICIT.
pub(crate) fn explicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// INTEGER, never negative.
pub(crate) fn integer(value: u64) -> Vec<u8> {
    unsigned(&value.to_be_bytes())
}

/// INTEGER from big-endian bytes, never negative.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut minimal: Vec<u8> = bytes
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    if minimal.first().is_none_or(|first| first & 0x80 != 0) {
        minimal.insert(0, 0);
    }
    element(0x02, &minimal)
}

/// ENUMERATED below 128.
pub(crate) fn enumerated(value: u8) -> Vec<u8> {
    element(0x0a, &[value])
}

/// BOOLEAN FALSE.
pub(crate) fn no() -> Vec<u8> {
    element(0x01, &[0])
}

/// BOOLEAN TRUE.
pub(crate) fn yes() -> Vec<u8> {
    element(0x01, &[0xff])
}

/// NULL.
pub(crate) fn null() -> Vec<u8> {
    element(0x05, &[])
}

/// OBJECT IDENTIFIER from its numbers; the first two must be those of a real identifier.
pub(crate) fn oid(numbers: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    if let [first, second, rest @ ..] = numbers {
        base128(first * 40 + second, &mut content);
        for number in rest {
            base128(*number, &mut content);
        }
    }
    element(0x06, &content)
}

fn base128(number: u64, out: &mut Vec<u8>) {
    let digit = |shift: u32| (number >> shift).to_le_bytes()[0] & 0x7f;
    let first = (0..9)
        .rev()
        .find(|place| number >> (place * 7) != 0)
        .unwrap_or(0);
    for place in (0..=first).rev() {
        let more = if place == 0 { 0 } else { 0x80 };
        out.push(digit(place * 7) | more);
    }
}

/// UTF8String.
pub(crate) fn utf8(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

/// PrintableString.
pub(crate) fn printable(text: &str) -> Vec<u8> {
    element(0x13, text.as_bytes())
}

/// IA5String.
pub(crate) fn ia5(text: &str) -> Vec<u8> {
    element(0x16, text.as_bytes())
}

/// OCTET STRING.
pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    element(0x04, content)
}

/// BIT STRING with `unused` bits at its end.
pub(crate) fn bits(unused: u8, content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[unused], content].concat())
}

/// UTCTime up to 2049, GeneralizedTime after (RFC 5280 §4.1.2.5).
pub(crate) fn time(at: UnixTime) -> Vec<u8> {
    let digits: String = at
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    if at.0 <= UTC_TIME_LAST {
        let short = digits.get(2..).unwrap_or_default();
        element(0x17, format!("{short}Z").as_bytes())
    } else {
        element(0x18, format!("{digits}Z").as_bytes())
    }
}

/// `-----BEGIN label-----` with lines of 64 characters (RFC 7468).
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for (index, character) in text.chars().enumerate() {
        if index != 0 && index % 64 == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out.push_str(&format!("\n-----END {label}-----\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal() {
        assert_eq!(element(4, &[]), [4, 0]);
        assert_eq!(element(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(element(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(element(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
    }

    #[test]
    fn integers_are_never_negative() {
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(127), [2, 1, 127]);
        assert_eq!(integer(0xdb), [2, 2, 0, 0xdb]);
        assert_eq!(integer(0x10000), [2, 3, 1, 0, 0]);
    }

    #[test]
    fn object_identifiers_are_written_as_in_real_certificates() {
        assert_eq!(
            oid(&[1, 2, 840, 113_549, 1, 1, 10])[2..],
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 0x0a]
        );
        assert_eq!(
            oid(&[1, 3, 6, 1, 4, 1, 3704, 1, 3, 8])[2..],
            [0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1, 3, 8]
        );
        assert_eq!(oid(&[2, 5, 29, 20])[2..], [0x55, 0x1d, 0x14]);
    }

    #[test]
    fn times_change_their_form_in_2050() {
        assert_eq!(time(UnixTime(0)), element(0x17, b"700101000000Z"));
        assert_eq!(
            time(UnixTime(UTC_TIME_LAST)),
            element(0x17, b"491231235959Z")
        );
        assert_eq!(
            time(UnixTime(UTC_TIME_LAST + 1)),
            element(0x18, b"20500101000000Z")
        );
    }
}
