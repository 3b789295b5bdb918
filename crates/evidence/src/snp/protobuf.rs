//! The protobuf message `sevsnp.Attestation` of go-sev-guest: a report field by field, and the
//! certificates beside it.
//!
//! A reader of just this message: widths are strict, a field may occur once, groups do not
//! occur. The report is put together again byte by byte, so that its signature can be checked.

use super::forms::{Builder, ENDORSEMENTS_MAX, Evidence, Form};
use crate::{
    Malformed, der,
    protobuf::{self, Field, Value},
    reader::Reader,
};

/// A message that is broken.
pub const PROTOBUF: &str = "snp.protobuf";
/// A report and five certificates are under 12 KiB; a table of the largest size fits as well.
pub const PROTOBUF_BYTES_MAX: usize = 256 * 1024;

/// `Report`: field number, offset in the report, width in bytes. Numbers are varints.
const NUMBERS: [(u64, usize, usize); 19] = [
    (1, 0x000, 4),
    (2, 0x004, 4),
    (3, 0x008, 8),
    (6, 0x030, 4),
    (7, 0x034, 4),
    (8, 0x038, 8),
    (9, 0x040, 8),
    (10, 0x048, 4),
    (18, 0x180, 8),
    (20, 0x1e0, 8),
    (21, 0x1e8, 1),
    (22, 0x1e9, 1),
    (23, 0x1ea, 1),
    (24, 0x1ec, 1),
    (25, 0x1ed, 1),
    (26, 0x1ee, 1),
    (27, 0x1f0, 8),
    (30, 0x1f8, 8),
    (31, 0x200, 8),
];

/// `Report`: field number, offset in the report, width in bytes. All of them must be there.
const STRINGS: [(u64, usize, usize); 11] = [
    (4, 0x010, 16),
    (5, 0x020, 16),
    (11, 0x050, 64),
    (12, 0x090, 48),
    (13, 0x0c0, 32),
    (14, 0x0e0, 48),
    (15, 0x110, 48),
    (16, 0x140, 32),
    (17, 0x160, 32),
    (19, 0x1a0, 64),
    (28, 0x2a0, 512),
];

/// `Report.cpuid1eax_fms`.
const CPUID: u64 = 29;
/// Bits of `cpuid1eax_fms` that carry family, model and stepping.
const CPUID_BITS: u64 = 0x0fff_0fff;

/// `CertificateChain`: field number and name.
const CERTIFICATES: [(u64, &str); 5] = [
    (1, "VCEK"),
    (2, "ASK"),
    (3, "ARK"),
    (4, "GCE_FIRMWARE_ENDORSEMENT"),
    (6, "VLEK"),
];
/// `CertificateChain.extras`.
const EXTRAS: u64 = 7;

/// Whether the bytes begin like the message: a tag of one of its three fields, with a length
/// that makes the first four bytes no version number of a report.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    matches!(bytes, [0x0a | 0x12 | 0x1a, rest @ ..] if rest.iter().take(3).any(|byte| *byte != 0))
}

/// Reads the message.
pub(super) fn read(bytes: &[u8]) -> Result<Evidence, Malformed> {
    der::at_most(bytes, PROTOBUF_BYTES_MAX, PROTOBUF)?;
    let mut evidence = Evidence::new(Vec::new(), Form::Protobuf);
    let mut message = Message::new(Reader::new(bytes, PROTOBUF));
    while let Some(field) = message.next()? {
        match (field.number, &field.value) {
            (1, Value::Bytes(part)) => evidence.report = report(part.clone())?,
            (2, Value::Bytes(part)) => chain(part.clone(), &mut evidence)?,
            (3, Value::Bytes(_)) => evidence.ignored("field", "product"),
            (1..=3, _) => return refuse(&field, "it is no message"),
            (number, _) => evidence.ignored("field", &number.to_string()),
        }
    }
    if evidence.report.is_empty() {
        return Err(Malformed::invalid(PROTOBUF, 0, "report", "it is missing"));
    }
    Ok(evidence)
}

fn report(part: Reader<'_>) -> Result<Vec<u8>, Malformed> {
    let start = part.offset();
    let mut builder = Builder::new();
    let mut strings = 0_usize;
    let mut message = Message::new(part);
    while let Some(field) = message.next()? {
        if let Some((_, at, width)) = STRINGS.iter().find(|known| known.0 == field.number) {
            match field.value {
                Value::Bytes(ref part) if part.left() == *width => builder.put(*at, part.rest()),
                _ => return refuse(&field, "it has not the width of its place in the report"),
            }
            strings = strings.saturating_add(1);
        } else if let Some((_, at, width)) = NUMBERS.iter().find(|known| known.0 == field.number) {
            let Value::Number(number) = field.value else {
                return refuse(&field, "it is no number");
            };
            if builder.put_number(*at, *width, number).is_none() {
                return refuse(&field, "it has not the width of its place in the report");
            }
        } else if let (CPUID, &Value::Number(number)) = (field.number, &field.value) {
            match cpuid(number) {
                Some(bytes) => builder.put(0x188, &bytes),
                None => return refuse(&field, "it is no family, model and stepping"),
            }
        } else {
            return refuse(&field, "a report has no such field");
        }
    }
    if strings == STRINGS.len() {
        Ok(builder.finish())
    } else {
        let because = "a byte string of the report is missing";
        Err(Malformed::invalid(PROTOBUF, start, "report", because))
    }
}

/// Combined family, combined model and stepping, as the report has them.
fn cpuid(number: u64) -> Option<[u8; 3]> {
    if number & !CPUID_BITS != 0 {
        return None;
    }
    let base = (number >> 8) & 0xf;
    let extended = number >> 20;
    // The extended family counts only beside the base family 0xF (AMD APM 3, CPUID Fn1).
    if extended != 0 && base != 0xf {
        return None;
    }
    let family = u8::try_from(base.saturating_add(extended)).ok()?;
    let model = u8::try_from((number >> 12) & 0xf0 | (number >> 4) & 0xf).ok()?;
    let stepping = u8::try_from(number & 0xf).ok()?;
    Some([family, model, stepping])
}

fn chain(part: Reader<'_>, evidence: &mut Evidence) -> Result<(), Malformed> {
    let mut message = Message::new(part);
    message.repeated = Some(EXTRAS);
    while let Some(field) = message.next()? {
        let known = CERTIFICATES.iter().find(|known| known.0 == field.number);
        match (known, &field.value) {
            (_, Value::Bytes(part)) if part.is_empty() => {}
            (Some((_, name)), Value::Bytes(part)) => {
                evidence.endorse(name, part.rest().to_vec(), PROTOBUF)?;
            }
            (None, Value::Bytes(part)) if field.number == EXTRAS => extra(part.clone(), evidence)?,
            (None, _) if field.number != EXTRAS => {
                evidence.ignored("field", &format!("certificate_chain.{}", field.number));
            }
            _ => return refuse(&field, "it is no byte string"),
        }
    }
    Ok(())
}

/// One entry of a map from text to bytes: key 1, value 2.
fn extra(part: Reader<'_>, evidence: &mut Evidence) -> Result<(), Malformed> {
    let (mut key, mut value) = (String::new(), Vec::new());
    let mut message = Message::new(part);
    while let Some(field) = message.next()? {
        match (field.number, &field.value) {
            (1, Value::Bytes(part)) => {
                key = String::from_utf8_lossy(part.rest()).to_ascii_lowercase();
            }
            (2, Value::Bytes(part)) => value = part.rest().to_vec(),
            _ => return refuse(&field, "a map has keys and values only"),
        }
    }
    let name = super::table::guid_name(&key);
    if name.is_none() {
        evidence.ignored("certificate", &key);
    }
    let short: String = key.chars().take(40).collect();
    evidence.endorse(name.unwrap_or(&short), value, PROTOBUF)
}

/// The fields of one message, in their order.
struct Message<'a> {
    at: Reader<'a>,
    seen: Vec<u64>,
    repeated: Option<u64>,
}

impl<'a> Message<'a> {
    const fn new(at: Reader<'a>) -> Self {
        Self {
            at,
            seen: Vec::new(),
            repeated: None,
        }
    }

    fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        let Some(field) = protobuf::field(&mut self.at)? else {
            return Ok(None);
        };
        if self.repeated != Some(field.number) {
            if self.seen.contains(&field.number) {
                return refuse(&field, "it occurs twice");
            }
            if self.seen.len() > 2 * ENDORSEMENTS_MAX {
                return refuse(&field, "a message has more than 64 kinds of fields");
            }
            self.seen.push(field.number);
        }
        Ok(Some(field))
    }
}

fn refuse<T>(field: &Field<'_>, because: &'static str) -> Result<T, Malformed> {
    Err(Malformed::invalid(PROTOBUF, field.at, "field", because))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::What;
    use proptest::prelude::*;

    fn put_varint(out: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        out.push(u8::try_from(number).unwrap());
    }

    fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
        put_varint(out, field << 3);
        put_varint(out, number);
    }

    fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
        put_varint(out, field << 3 | 2);
        put_varint(out, bytes.len().try_into().unwrap());
        out.extend_from_slice(bytes);
    }

    /// The report's fields as go-sev-guest writes them; fields that are zero are left out.
    fn fields(report: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (field, at, width) in NUMBERS {
            let mut bytes = [0; 8];
            bytes[..width].copy_from_slice(&report[at..at + width]);
            match u64::from_le_bytes(bytes) {
                0 => {}
                number => put_number(&mut out, field, number),
            }
        }
        for (field, at, width) in STRINGS {
            put_bytes(&mut out, field, &report[at..at + width]);
        }
        put_number(&mut out, CPUID, 0x00a1_0f12);
        out
    }

    /// A report of a Genoa machine: every field that travels has a value of its own.
    fn sample() -> Vec<u8> {
        let mut report = vec![0; 1184];
        for (index, (_, at, width)) in NUMBERS.iter().chain(&STRINGS).enumerate() {
            report[*at..at + width].fill(u8::try_from(index + 1).unwrap());
        }
        report[0x188..0x18b].copy_from_slice(&[0x19, 0x11, 2]);
        report
    }

    fn message(report: &[u8], chain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, 1, report);
        put_bytes(&mut out, 2, chain);
        out
    }

    fn refused(at: usize, because: &'static str) -> Result<Evidence, Malformed> {
        Err(Malformed::invalid(PROTOBUF, at, "field", because))
    }

    #[test]
    fn the_report_is_rebuilt_byte_by_byte() {
        let mut chain = Vec::new();
        put_bytes(&mut chain, 1, b"leaf");
        let mut extra = Vec::new();
        put_bytes(&mut extra, 1, b"9f4116cd-c503-4f5a-8f6f-fb68882f4ce2");
        put_bytes(&mut extra, 2, b"endorsement");
        put_bytes(&mut chain, 7, &extra);
        put_bytes(&mut chain, 6, b"");
        let evidence = Evidence::read(&message(&fields(&sample()), &chain)).unwrap();
        assert_eq!(evidence.form, Form::Protobuf);
        assert_eq!(evidence.report, sample());
        assert_eq!(
            evidence.endorsements,
            [
                ("VCEK".to_owned(), b"leaf".to_vec()),
                (
                    "GCE_FIRMWARE_ENDORSEMENT".to_owned(),
                    b"endorsement".to_vec()
                )
            ]
        );
    }

    #[test]
    fn a_field_of_another_width_twice_or_unknown_is_refused() {
        let good = fields(&sample());
        let at = 3 + good.len();
        for (field, because) in [(11, "it occurs twice"), (32, "a report has no such field")] {
            let mut bytes = good.clone();
            put_bytes(&mut bytes, field, &[0; 64]);
            assert_eq!(Evidence::read(&message(&bytes, b"")), refused(at, because));
        }
        let because = "it has not the width of its place in the report";
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, 11, &[0; 63]);
        assert_eq!(Evidence::read(&message(&bytes, b"")), refused(2, because));
        let mut bytes = Vec::new();
        put_number(&mut bytes, 21, 256);
        assert_eq!(Evidence::read(&message(&bytes, b"x")), refused(2, because));
    }

    #[test]
    fn a_length_past_the_end_and_a_missing_string_are_refused() {
        let what = What::TooShort {
            wanted: 100,
            found: 1,
        };
        let short = Err(Malformed::new(PROTOBUF, 2, what));
        assert_eq!(Evidence::read(&[0x0a, 100, 1]), short);
        let because = "a byte string of the report is missing";
        let missing = Err(Malformed::invalid(PROTOBUF, 2, "report", because));
        assert_eq!(Evidence::read(&[0x0a, 2, 8, 3]), missing);
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut bytes = vec![0x0a, 11, 0x18];
        bytes.extend([0xff; 10]);
        let because = "a number is longer than 64 bits";
        let refused = Err(Malformed::invalid(PROTOBUF, 3, "varint", because));
        assert_eq!(Evidence::read(&bytes), refused);
    }

    #[test]
    fn a_family_below_15_has_no_extension() {
        assert_eq!(cpuid(0x00a1_0f12), Some([0x19, 0x11, 2]));
        assert_eq!(cpuid(0x00b0_0f21), Some([0x1a, 0x02, 1]));
        assert_eq!(cpuid(0x00a1_0e12), None);
        assert_eq!(cpuid(0x10a1_0f12), None);
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&message(&bytes, &bytes));
        }

        #[test]
        fn no_change_of_a_message_panics(at in 0_usize..1200, byte: u8) {
            let mut bytes = message(&fields(&sample()), b"");
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(evidence) = read(&bytes) {
                prop_assert_eq!(evidence.report.len(), 1184);
            }
        }
    }
}
