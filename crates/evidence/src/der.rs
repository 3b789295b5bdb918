//! A bounded reader of DER (ITU-T X.690), as far as certificates and revocation lists need it.
//!
//! Accepts what real makers issue: AMD encodes a DEFAULT value explicitly, so this reader checks
//! definite, minimal lengths and leaves DEFAULT rules to its callers. Never recurses by itself,
//! never copies, never looks past the element it was given.

use crate::{Malformed, UnixTime, What, reader::Reader};

/// Tag numbers with their class and constructed bit, as they stand in the first byte.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0a;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// TeletexString.
    pub const TELETEX_STRING: u8 = 0x14;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// BMPString.
    pub const BMP_STRING: u8 = 0x1e;
    /// SEQUENCE.
    pub const SEQUENCE: u8 = 0x30;
    /// SET.
    pub const SET: u8 = 0x31;

    /// `[number]`, constructed (EXPLICIT, or IMPLICIT of a constructed type).
    #[must_use]
    pub const fn context(number: u8) -> u8 {
        0xa0 | number
    }

    /// `[number]`, primitive (IMPLICIT of a primitive type).
    #[must_use]
    pub const fn context_primitive(number: u8) -> u8 {
        0x80 | number
    }
}

/// One element: its tag, its content, and where it lies in the whole input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element<'a> {
    /// Class, constructed bit and number, as in the first byte.
    pub tag: u8,
    /// The content without tag and length.
    pub content: &'a [u8],
    /// Tag, length and content, as received.
    pub raw: &'a [u8],
    /// Offset of the tag byte in the whole input.
    pub offset: usize,
    /// The check id under which faults inside are reported.
    check: &'static str,
}

impl<'a> Element<'a> {
    /// Offset of the first content byte in the whole input.
    #[must_use]
    pub const fn content_offset(&self) -> usize {
        self.offset
            .saturating_add(self.raw.len().saturating_sub(self.content.len()))
    }

    /// A reader over the elements inside.
    #[must_use]
    pub const fn inside(&self) -> Der<'a> {
        Der(Reader::at_offset(
            self.content,
            self.content_offset(),
            self.check,
        ))
    }

    /// A refusal at this element.
    #[must_use]
    pub const fn invalid(&self, field: &'static str, because: &'static str) -> Malformed {
        Malformed::invalid(self.check, self.offset, field, because)
    }

    /// The text of a string type: UTF-8, printable, IA5 or teletex (taken as UTF-8).
    ///
    /// # Errors
    /// Another type, or bytes that are not UTF-8.
    pub fn text(&self) -> Result<&'a str, Malformed> {
        match self.tag {
            tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING | tag::TELETEX_STRING => {
                std::str::from_utf8(self.content)
                    .map_err(|_| self.invalid("string", "its bytes are not UTF-8"))
            }
            _ => Err(self.invalid("string", "a string type was expected")),
        }
    }

    /// The instant of a UTCTime or GeneralizedTime in UTC (RFC 5280 §4.1.2.5).
    ///
    /// # Errors
    /// Another type, another form than with seconds and `Z`, or a date that does not exist.
    pub fn time(&self) -> Result<UnixTime, Malformed> {
        let bad = || self.invalid("time", "it is not a date and time in UTC with seconds");
        let digits = |from: usize, to: usize| -> Option<u8> {
            let part = self.content.get(from..to)?;
            if !part.iter().all(u8::is_ascii_digit) {
                return None;
            }
            std::str::from_utf8(part).ok()?.parse().ok()
        };
        let read = || -> Option<UnixTime> {
            let (year, rest) = match (self.tag, self.content.len()) {
                (tag::UTC_TIME, 13) => {
                    let short = i64::from(digits(0, 2)?);
                    let century = if short >= 50 { 1900 } else { 2000 };
                    (short.checked_add(century)?, 2)
                }
                (tag::GENERALIZED_TIME, 15) => {
                    let century = i64::from(digits(0, 2)?).checked_mul(100)?;
                    (century.checked_add(i64::from(digits(2, 4)?))?, 4)
                }
                _ => return None,
            };
            if self.content.last() != Some(&b'Z') {
                return None;
            }
            let pair = |index: usize| {
                let from = index.checked_mul(2)?.checked_add(rest)?;
                digits(from, from.checked_add(2)?)
            };
            UnixTime::from_civil(year, pair(0)?, pair(1)?, pair(2)?, pair(3)?, pair(4)?)
        };
        read().ok_or_else(bad)
    }

    /// The bytes of a non-negative INTEGER without leading zeros; empty for zero.
    ///
    /// # Errors
    /// Another type, a negative number, or one that is not minimal.
    pub fn unsigned(&self) -> Result<&'a [u8], Malformed> {
        if self.tag != tag::INTEGER {
            return Err(self.invalid("integer", "an INTEGER was expected"));
        }
        match self.content {
            [] => Err(self.invalid("integer", "it has no bytes")),
            [0] => Ok(&[]),
            [0, next, ..] if next & 0x80 == 0 => {
                Err(self.invalid("integer", "it has a needless leading zero"))
            }
            [0, rest @ ..] => Ok(rest),
            [first, ..] if first & 0x80 != 0 => Err(self.invalid("integer", "it is negative")),
            bytes => Ok(bytes),
        }
    }

    /// A non-negative INTEGER that fits 64 bits.
    ///
    /// # Errors
    /// As [`Element::unsigned`], or a larger number.
    pub fn u64(&self) -> Result<u64, Malformed> {
        let bytes = self.unsigned()?;
        if bytes.len() > 8 {
            return Err(self.invalid("integer", "it is larger than 64 bits"));
        }
        Ok(bytes
            .iter()
            .fold(0, |number: u64, byte| (number << 8) | u64::from(*byte)))
    }

    /// A BOOLEAN.
    ///
    /// # Errors
    /// Another type or another value than 00 and FF.
    pub fn boolean(&self) -> Result<bool, Malformed> {
        match (self.tag, self.content) {
            (tag::BOOLEAN, [0x00]) => Ok(false),
            (tag::BOOLEAN, [0xff]) => Ok(true),
            _ => Err(self.invalid("boolean", "it is neither 00 nor FF")),
        }
    }

    /// The bytes of a BIT STRING without unused bits.
    ///
    /// # Errors
    /// Another type, or unused bits.
    pub fn bits(&self) -> Result<&'a [u8], Malformed> {
        match (self.tag, self.content) {
            (tag::BIT_STRING, [0, rest @ ..]) => Ok(rest),
            _ => Err(self.invalid("bit string", "whole bytes were expected")),
        }
    }

    /// The object identifier in dotted form.
    ///
    /// # Errors
    /// Another type or a broken encoding.
    pub fn oid(&self) -> Result<String, Malformed> {
        if self.tag != tag::OID {
            return Err(self.invalid("object identifier", "an OBJECT IDENTIFIER was expected"));
        }
        dotted(self.content)
            .ok_or_else(|| self.invalid("object identifier", "its encoding is broken"))
    }
}

/// The dotted form of an encoded object identifier; `None` for a broken encoding.
#[must_use]
pub fn dotted(content: &[u8]) -> Option<String> {
    // Two digits and a point for a byte; a certificate holds twenty identifiers.
    let mut out = String::with_capacity(content.len().saturating_mul(3));
    let mut arc: u64 = 0;
    let mut first = true;
    let mut open = false;
    for byte in content {
        if !open && *byte == 0x80 {
            return None;
        }
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        open = byte & 0x80 != 0;
        if open {
            continue;
        }
        if first {
            let root = (arc / 40).min(2);
            push_number(&mut out, root);
            arc = arc.checked_sub(root.checked_mul(40)?)?;
            first = false;
        }
        out.push('.');
        push_number(&mut out, arc);
        arc = 0;
    }
    if open || first { None } else { Some(out) }
}

/// Appends a number in decimal digits.
fn push_number(out: &mut String, number: u64) {
    if number > 9 {
        push_number(out, number / 10);
    }
    let digit = u32::try_from(number % 10).unwrap_or_default();
    out.extend(char::from_digit(digit, 10));
}

/// Reads elements one after the other.
#[derive(Debug, Clone)]
pub struct Der<'a>(Reader<'a>);

impl<'a> Der<'a> {
    /// A reader from the start of `bytes`; faults are reported under `check`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], check: &'static str) -> Self {
        Self(Reader::new(bytes, check))
    }

    /// A reader over a part of an input that begins at `base` in the whole.
    #[must_use]
    pub const fn at_offset(bytes: &'a [u8], base: usize, check: &'static str) -> Self {
        Self(Reader::at_offset(bytes, base, check))
    }

    /// Whether every element has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The offset of the next element in the whole input.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.0.offset()
    }

    /// The tag byte of the next element, without reading it.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.0.rest().first().copied()
    }

    /// The next element of any type.
    ///
    /// # Errors
    /// A tag of more than one byte, an indefinite or needlessly long length, or an element that
    /// ends after the input.
    pub fn any(&mut self) -> Result<Element<'a>, Malformed> {
        let check = self.0.check();
        let offset = self.0.offset();
        let whole = self.0.rest();
        let tag = self.0.u8()?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed::invalid(
                check,
                offset,
                "tag",
                "it has more than one byte",
            ));
        }
        let length = self.length(check)?;
        let content = self.0.take(length)?;
        let used = whole.len().saturating_sub(self.0.left());
        let raw = whole.get(..used).unwrap_or_default();
        Ok(Element {
            tag,
            content,
            raw,
            offset,
            check,
        })
    }

    fn length(&mut self, check: &'static str) -> Result<usize, Malformed> {
        let offset = self.0.offset();
        let bad = |because| Malformed::invalid(check, offset, "length", because);
        let first = self.0.u8()?;
        let count = match first {
            0..=0x7f => return Ok(usize::from(first)),
            0x80 => return Err(bad("it is indefinite")),
            // Four length bytes reach 4 GiB; no certificate or list comes near.
            0x81..=0x84 => usize::from(first & 0x7f),
            _ => return Err(bad("it has more than four bytes")),
        };
        let bytes = self.0.take(count)?;
        let value = bytes
            .iter()
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        if bytes.first() == Some(&0) || value < 0x80 {
            return Err(bad("it is longer than needed"));
        }
        usize::try_from(value).map_err(|_| bad("it does not fit this machine"))
    }

    /// The next element, which must have this tag.
    ///
    /// # Errors
    /// Another tag, or as [`Der::any`].
    pub fn expect(&mut self, tag: u8, field: &'static str) -> Result<Element<'a>, Malformed> {
        let element = self.any()?;
        if element.tag == tag {
            Ok(element)
        } else {
            Err(element.invalid(field, "it has another type than the format says"))
        }
    }

    /// The next element if it has this tag.
    ///
    /// # Errors
    /// As [`Der::any`], for an element with this tag.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Malformed> {
        if self.peek() == Some(tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    /// Says that nothing may follow.
    ///
    /// # Errors
    /// Bytes after the last element.
    pub fn finish(&self, field: &'static str) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Malformed::invalid(
                self.0.check(),
                self.0.offset(),
                field,
                "bytes follow its end",
            ))
        }
    }
}

/// The bytes of PEM blocks with one of these labels, in order; text around them is ignored.
///
/// Reads at most `limit` blocks. A block whose base64 is broken is left out: whoever needs it
/// will miss it by name.
#[must_use]
pub fn pem_blocks(text: &[u8], labels: &[&str], limit: usize) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let text = String::from_utf8_lossy(text);
    let mut rest: &str = &text;
    let mut out = Vec::new();
    while out.len() < limit {
        let Some((_, after)) = rest.split_once("-----BEGIN ") else {
            break;
        };
        let Some((label, body)) = after.split_once("-----") else {
            break;
        };
        let Some((body, next)) = body.split_once("-----END ") else {
            break;
        };
        rest = next;
        if labels.contains(&label) {
            let mut packed = String::with_capacity(body.len());
            for line in body.split_ascii_whitespace() {
                packed.push_str(line);
            }
            if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(packed) {
                out.push(bytes);
            }
        }
    }
    out
}

/// An input longer than `limit` bytes is refused before anything in it is read.
///
/// # Errors
/// [`What::TooLong`] under `check`.
pub fn at_most(bytes: &[u8], limit: usize, check: &'static str) -> Result<(), Malformed> {
    if bytes.len() <= limit {
        Ok(())
    } else {
        Err(Malformed::new(
            check,
            limit,
            What::TooLong {
                limit,
                found: bytes.len(),
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Element<'_>, Malformed> {
        Der::new(bytes, "test.der").any()
    }

    #[test]
    fn lengths_that_are_indefinite_or_padded_are_refused() {
        for (bytes, because) in [
            (&[0x30, 0x80, 0, 0][..], "it is indefinite"),
            (&[0x04, 0x81, 0x01, 0], "it is longer than needed"),
            (&[0x04, 0x82, 0x00, 0x80], "it is longer than needed"),
            (&[0x04, 0x85, 1, 1, 1, 1, 1], "it has more than four bytes"),
        ] {
            assert_eq!(
                one(bytes),
                Err(Malformed::invalid("test.der", 1, "length", because))
            );
        }
    }

    #[test]
    fn an_element_longer_than_its_input_is_refused() {
        assert_eq!(
            one(&[0x04, 0x05, 1, 2]),
            Err(Malformed::new(
                "test.der",
                2,
                What::TooShort {
                    wanted: 5,
                    found: 2
                }
            ))
        );
    }

    #[test]
    fn integers_are_read_as_numbers_and_negative_ones_refused() {
        assert_eq!(one(&[2, 2, 0, 0xdb]).unwrap().u64(), Ok(0xdb));
        assert_eq!(one(&[2, 1, 0]).unwrap().unsigned(), Ok(&[][..]));
        for bytes in [&[2, 1, 0xdb][..], &[2, 2, 0, 1], &[2, 0]] {
            assert!(one(bytes).unwrap().unsigned().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn object_identifiers_are_printed_in_dotted_form() {
        assert_eq!(
            dotted(&[0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1]).as_deref(),
            Some("1.3.6.1.4.1.3704.1")
        );
        assert_eq!(dotted(&[0x88, 0x37]).as_deref(), Some("2.999"));
        assert_eq!(dotted(&[0x2b, 0x80, 0x01]), None);
        assert_eq!(dotted(&[0x2b, 0x86]), None);
        assert_eq!(dotted(&[]), None);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        assert_eq!(
            one(b"\x17\x0d201022172305Z")
                .unwrap()
                .time()
                .unwrap()
                .to_string(),
            "2020-10-22T17:23:05Z"
        );
        assert_eq!(
            one(b"\x17\x0d500101000000Z")
                .unwrap()
                .time()
                .unwrap()
                .to_string(),
            "1950-01-01T00:00:00Z"
        );
        assert_eq!(
            one(b"\x18\x0f20501231235959Z")
                .unwrap()
                .time()
                .unwrap()
                .to_string(),
            "2050-12-31T23:59:59Z"
        );
        assert!(one(b"\x17\x0b2010221723Z").unwrap().time().is_err());
    }

    #[test]
    fn pem_blocks_are_found_between_other_text() {
        let text = b"hello\n-----BEGIN CERTIFICATE-----\nAQ\n ID\n-----END CERTIFICATE-----\n-----BEGIN X509 CRL-----\nBA==\n-----END X509 CRL-----";
        assert_eq!(pem_blocks(text, &["CERTIFICATE"], 9), vec![vec![1, 2, 3]]);
        assert_eq!(pem_blocks(text, &["CERTIFICATE", "X509 CRL"], 9).len(), 2);
        assert_eq!(pem_blocks(text, &["CERTIFICATE", "X509 CRL"], 1).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let mut der = Der::new(&bytes, "test.der");
            while let Ok(element) = der.any() {
                let _ = (element.text(), element.time(), element.u64(), element.oid(), element.bits());
            }
        }
    }
}
