//! The protobuf messages `tdx.QuoteV4` and `tdx.QuoteV5` of go-tdx-guest: a quote field by field.
//!
//! Which of the two it is says the version in the header, their first field. Puts the quote together again byte by byte, so that its signatures can be checked. Widths are
//! strict, a field may occur once (but for the RTMRs), and a field that the message does not have
//! is refused. Never fills in a value: in proto3 a number that is missing is zero.

use super::{
    QUOTE_BYTES_MAX,
    forms::{Evidence, Form},
};
use crate::{Malformed, der, protobuf::varint, reader::Reader};

/// A message that is broken.
pub(super) const PROTOBUF: &str = "dcap.protobuf";
/// Tags and lengths add under 1 KiB to a quote.
const PROTOBUF_BYTES_MAX: usize = QUOTE_BYTES_MAX + 1024;

/// What a field becomes in the quote.
#[derive(Clone, Copy)]
enum Part {
    /// A byte string of exactly this width.
    Bytes(usize),
    /// The same, or nothing: what only one type of body has.
    Optional(usize),
    /// As many byte strings of this width: the repeated field.
    Repeated(usize, usize),
    /// A little-endian number of this width.
    Number(usize),
    /// A byte string of any length.
    Rest,
    /// A message with its own fields.
    Message(&'static [Part]),
}

/// Fields stand at their number less one; the quote has them in the same order.
const HEADER: &[Part] = &[
    Part::Number(2),
    Part::Number(2),
    Part::Number(4),
    Part::Bytes(2),
    Part::Bytes(2),
    Part::Bytes(16),
    Part::Bytes(20),
];
const BODY: &[Part] = &[
    Part::Bytes(16),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Bytes(8),
    Part::Bytes(8),
    Part::Bytes(8),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Repeated(48, 4),
    Part::Bytes(64),
];
/// Body type and size, and the body; what TDX 1.5 added is missing in a body of TDX 1.0. Its width
/// must be the one of its type, as the quote's own reader sees to.
const BODY5: &[Part] = &[Part::Number(2), Part::Number(4), Part::Message(TD15_BODY)];
const TD15_BODY: &[Part] = &[
    Part::Bytes(16),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Bytes(8),
    Part::Bytes(8),
    Part::Bytes(8),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Bytes(48),
    Part::Repeated(48, 4),
    Part::Bytes(64),
    Part::Optional(16),
    Part::Optional(48),
];
const QE_REPORT: &[Part] = &[
    Part::Bytes(16),
    Part::Number(4),
    Part::Bytes(28),
    Part::Bytes(16),
    Part::Bytes(32),
    Part::Bytes(32),
    Part::Bytes(32),
    Part::Bytes(96),
    Part::Number(2),
    Part::Number(2),
    Part::Bytes(60),
    Part::Bytes(64),
];
const AUTHENTICATION: &[Part] = &[Part::Number(2), Part::Rest];
const CHAIN: &[Part] = &[Part::Number(2), Part::Number(4), Part::Rest];
const QE_CERTIFICATION: &[Part] = &[
    Part::Message(QE_REPORT),
    Part::Bytes(64),
    Part::Message(AUTHENTICATION),
    Part::Message(CHAIN),
];
const CERTIFICATION: &[Part] = &[
    Part::Number(2),
    Part::Number(4),
    Part::Message(QE_CERTIFICATION),
];
const SIGNED_DATA: &[Part] = &[
    Part::Bytes(64),
    Part::Bytes(64),
    Part::Message(CERTIFICATION),
];
const QUOTE: &[Part] = &[
    Part::Message(HEADER),
    Part::Message(BODY),
    Part::Number(4),
    Part::Message(SIGNED_DATA),
    Part::Rest,
];

const QUOTE5: &[Part] = &[
    Part::Message(HEADER),
    Part::Message(BODY5),
    Part::Number(4),
    Part::Message(SIGNED_DATA),
    Part::Rest,
];

/// Whether the bytes begin like the message: its first field is a header, which begins with the
/// version.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    matches!(bytes, [0x0a, 0x01..=0x7f, 0x08, 0x03..=0x05, ..])
}

/// Reads the message. The lengths that it repeats are checked by the quote's own reader.
pub(super) fn read(bytes: &[u8]) -> Result<Evidence, Malformed> {
    der::at_most(bytes, PROTOBUF_BYTES_MAX, PROTOBUF)?;
    let mut quote = Vec::new();
    let parts = match bytes {
        [_, _, 0x08, 5, ..] => QUOTE5,
        _ => QUOTE,
    };
    message(Reader::new(bytes, PROTOBUF), parts, &mut quote)?;
    // go-tdx-guest calls the bytes at 8 PCE SVN and those at 10 QE SVN, and numbers the QE's
    // first. Both are zero in every real quote of versions 4 and 5.
    if let Some(svns) = quote.get_mut(8..12) {
        svns.rotate_left(2);
    }
    Ok(Evidence {
        quote,
        event_log: None,
        form: Form::Protobuf,
        notes: Vec::new(),
    })
}

/// One field as it stands on the wire.
enum Value<'a> {
    Number(u64),
    Bytes(Reader<'a>),
}

fn bad<T>(at: usize, because: &'static str) -> Result<T, Malformed> {
    Err(Malformed::invalid(PROTOBUF, at, "field", because))
}

fn message(mut at: Reader<'_>, parts: &[Part], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let start = at.offset();
    let mut fields: Vec<Vec<Value<'_>>> = parts.iter().map(|_| Vec::new()).collect();
    while !at.is_empty() {
        let place = at.offset();
        let tag = varint(&mut at)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut at)?),
            2 => {
                let length = usize::try_from(varint(&mut at)?).unwrap_or(usize::MAX);
                Value::Bytes(at.part(length)?)
            }
            _ => return bad(place, "it is neither a number nor a byte string"),
        };
        let index = usize::try_from(tag >> 3)
            .ok()
            .and_then(|number| number.checked_sub(1));
        match index.and_then(|index| fields.get_mut(index)) {
            // The most that any field may occur is four times.
            Some(values) if values.len() < 4 => values.push(value),
            Some(_) => return bad(place, "it occurs too often"),
            None => return bad(place, "the message has no such field"),
        }
    }
    for (part, values) in parts.iter().zip(fields) {
        append(*part, values, start, out)?;
    }
    Ok(())
}

fn append(
    part: Part,
    values: Vec<Value<'_>>,
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let wanted = match part {
        Part::Repeated(_, count) => count,
        // What is zero or empty is left out on the wire.
        Part::Number(_) | Part::Optional(_) | Part::Rest => values.len().min(1),
        Part::Bytes(_) | Part::Message(_) => 1,
    };
    if values.len() != wanted {
        return bad(start, "one is missing or stands twice");
    }
    if let (Part::Number(width), true) = (part, values.is_empty()) {
        out.extend(std::iter::repeat_n(0, width));
    }
    for value in values {
        match (part, value) {
            (Part::Number(width), Value::Number(number)) => {
                let bytes = number.to_le_bytes();
                let (low, high) = bytes.split_at_checked(width).unwrap_or_default();
                if high.iter().any(|byte| *byte != 0) {
                    return bad(start, "a number is wider than its place in the quote");
                }
                out.extend_from_slice(low);
            }
            (
                Part::Bytes(width) | Part::Optional(width) | Part::Repeated(width, _),
                Value::Bytes(bytes),
            ) if bytes.left() == width => out.extend_from_slice(bytes.rest()),
            (Part::Rest, Value::Bytes(bytes)) => out.extend_from_slice(bytes.rest()),
            (Part::Message(parts), Value::Bytes(bytes)) => message(bytes, parts, out)?,
            _ => {
                return bad(
                    start,
                    "one has another type or width than its place in the quote",
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_varint(out: &mut Vec<u8>, mut number: u64) {
        while number > 0x7f {
            out.push(number as u8 | 0x80);
            number >>= 7;
        }
        out.push(number as u8);
    }

    /// Writes a quote as the message; numbers that are zero are left out, as proto3 does.
    fn write(quote: &mut &[u8], parts: &[Part], rest: &[usize]) -> Vec<u8> {
        let mut rest = rest.iter();
        let mut out = Vec::new();
        write_into(quote, parts, &mut rest, &mut out);
        out
    }

    fn write_into(
        quote: &mut &[u8],
        parts: &[Part],
        rest: &mut std::slice::Iter<'_, usize>,
        out: &mut Vec<u8>,
    ) {
        let take = |quote: &mut &[u8], width: usize| {
            let (head, tail) = quote.split_at(width);
            *quote = tail;
            head.to_vec()
        };
        for (number, part) in (1u64..).zip(parts) {
            let put = |content: &[u8], out: &mut Vec<u8>| {
                put_varint(out, number << 3 | 2);
                put_varint(out, content.len() as u64);
                out.extend(content);
            };
            match *part {
                Part::Bytes(width) | Part::Optional(width) => put(&take(quote, width), out),
                Part::Repeated(width, count) => {
                    for _ in 0..count {
                        put(&take(quote, width), out);
                    }
                }
                Part::Rest => put(&take(quote, *rest.next().unwrap()), out),
                Part::Number(width) => {
                    let mut bytes = take(quote, width);
                    bytes.resize(8, 0);
                    let value = u64::from_le_bytes(bytes.try_into().unwrap());
                    if value != 0 {
                        put_varint(out, number << 3);
                        put_varint(out, value);
                    }
                }
                Part::Message(parts) => {
                    let mut inner = Vec::new();
                    write_into(quote, parts, rest, &mut inner);
                    put(&inner, out);
                }
            }
        }
    }

    /// A quote of version 4 whose bytes count up wherever its shape leaves them free.
    fn quote() -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..48 + 584 + 4 + 128 + 6 + 384 + 64 + 2 + 32 + 6 + 10)
            .map(|at| (at % 251) as u8)
            .collect();
        bytes[..12].copy_from_slice(&[4, 0, 2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]);
        bytes[12..28].copy_from_slice(&crate::dcap::INTEL_VENDOR);
        let mut put =
            |at: usize, content: &[u8]| bytes[at..at + content.len()].copy_from_slice(content);
        put(632, &(128u32 + 6 + 498).to_le_bytes());
        put(764, &[6, 0]);
        put(766, &498u32.to_le_bytes());
        put(770 + 448, &[32, 0]);
        put(770 + 482, &[5, 0, 10, 0, 0, 0]);
        bytes.extend([0; 7]);
        bytes
    }

    #[test]
    fn a_quote_comes_back_byte_by_byte() {
        let mut wanted = quote();
        wanted[8..12].copy_from_slice(&[1, 2, 3, 4]);
        let mut numbered = wanted.clone();
        numbered[8..12].copy_from_slice(&[3, 4, 1, 2]);
        let message = write(&mut numbered.as_slice(), QUOTE, &[32, 10, 7]);
        assert!(looks_like(&message));
        let found = Evidence::read(&message).unwrap();
        assert_eq!((found.form, found.quote), (Form::Protobuf, wanted.clone()));
        assert_eq!(crate::dcap::Quote::parse(&wanted).unwrap().trailing, [0; 7]);
        for end in 0..message.len() {
            let cut = read(&message[..end]);
            assert!(cut.is_err() || cut.unwrap().quote.len() < wanted.len());
        }
    }

    /// The same quote in version 5, with a body of TDX 1.5.
    fn quote5() -> Vec<u8> {
        let four = quote();
        let added: Vec<u8> = (0..64).map(|at| 255 - at).collect();
        let mut five = [&four[..48], &[3, 0, 0x88, 2, 0, 0], &four[48..632]].concat();
        five[0] = 5;
        five.extend(added);
        five.extend(&four[632..]);
        five
    }

    #[test]
    fn a_quote_of_version_5_comes_back_byte_by_byte() {
        let wanted = quote5();
        let message = write(&mut wanted.as_slice(), QUOTE5, &[32, 10, 7]);
        assert!(looks_like(&message));
        let found = Evidence::read(&message).unwrap();
        assert_eq!((found.form, found.quote), (Form::Protobuf, wanted.clone()));
        let read = crate::dcap::Quote::parse(&wanted).unwrap();
        assert_eq!(
            (read.header.version, read.trailing),
            (5, [0u8; 7].as_slice())
        );
    }

    #[test]
    fn a_body_of_tdx_1_0_lacks_what_1_5_added() {
        let mut wanted = quote5();
        wanted[48..54].copy_from_slice(&[2, 0, 0x48, 2, 0, 0]);
        wanted.drain(638..702);
        // The message of version 5 with a body that ends before its last two fields.
        let short: Vec<Part> = TD15_BODY[..12].to_vec();
        let short: &'static [Part] = Box::leak(short.into_boxed_slice());
        let descriptor: &'static [Part] = Box::leak(Box::new([
            Part::Number(2),
            Part::Number(4),
            Part::Message(short),
        ]));
        let mut parts = QUOTE5.to_vec();
        parts[1] = Part::Message(descriptor);
        let message = write(&mut wanted.as_slice(), &parts, &[32, 10, 7]);
        let found = Evidence::read(&message).unwrap();
        assert_eq!(found.quote, wanted);
        assert!(crate::dcap::Quote::parse(&wanted).is_ok());
        // A body that is shorter than its type says is no quote any more.
        let mut lying = wanted.clone();
        lying[48..54].copy_from_slice(&[3, 0, 0x88, 2, 0, 0]);
        let message = write(&mut lying.as_slice(), &parts, &[32, 10, 7]);
        let quote = Evidence::read(&message).unwrap().quote;
        assert!(crate::dcap::Quote::parse(&quote).is_err());
    }

    #[test]
    fn fields_that_do_not_fit_are_refused() {
        let message = write(&mut quote().as_slice(), QUOTE, &[32, 10, 7]);
        let mut twice = message.clone();
        twice.extend([0x18, 1]);
        let mut unknown = message.clone();
        unknown.extend([0x38, 1]);
        let mut typed = message.clone();
        typed.extend([0x1d, 0, 0, 0, 0]);
        for broken in [twice, unknown, typed] {
            assert_eq!(read(&broken).unwrap_err().check, PROTOBUF);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = read(&bytes);
        }
    }
}
