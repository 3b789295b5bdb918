//! Entries of an IMA list, from text or from bytes.
//!
//! Rebuilds the exact bytes that the template digest covers, since the text form does not carry
//! them. Stops before an entry that is not complete yet.

use std::borrow::Cow;

use super::{ENTRIES_MAX, ENTRY_BYTES_MAX, Entry, IMA_BYTES_MAX, LINE, Part};
use crate::{Malformed, What, reader::Reader};

/// Every template that is read here (kernel `security/integrity/ima/ima_template.c`).
const TEMPLATES: [&str; 7] = [
    "ima-ng",
    "ima-sig",
    "ima-buf",
    "ima-ngv2",
    "ima-sigv2",
    "ima-modsig",
    "ima",
];
/// The usual names of hashes; others are kept as they are.
const ALGORITHMS: [&str; 4] = ["sha256", "sha1", "sha384", "sha512"];
/// Real entries have 150 bytes or more: a first guess that saves moving a long list.
const ENTRY_BYTES_USUAL: usize = 128;

fn bad(offset: usize, field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(LINE, offset, field, because)
}

fn limited(bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.len() > IMA_BYTES_MAX {
        let what = What::TooLong {
            limit: IMA_BYTES_MAX,
            found: bytes.len(),
        };
        return Err(Malformed::new(LINE, IMA_BYTES_MAX, what));
    }
    Ok(())
}

fn empty(length: usize) -> Part {
    let guess = length.checked_div(ENTRY_BYTES_USUAL).unwrap_or_default();
    Part {
        entries: Vec::with_capacity(guess.min(ENTRIES_MAX)),
        consumed: 0,
    }
}

/// Reads a list of either form: a binary one begins with a register, whose upper bytes are zero, a
/// text with a digit.
///
/// # Errors
/// As [`parse_ascii`] and [`parse_binary`].
pub fn parse_any(bytes: &[u8]) -> Result<Part, Malformed> {
    if bytes.first().is_some_and(u8::is_ascii_digit) {
        parse_ascii(bytes)
    } else {
        parse_binary(bytes)
    }
}

/// Reads `ascii_runtime_measurements`: `PCR template-hash template fields…`, one entry a line. A
/// last line without its newline is left for the next call.
///
/// # Errors
/// `ima.line`, with the offset of the line: over the limits, a field that is not what its
/// template says, a template that is not known here.
pub fn parse_ascii(bytes: &[u8]) -> Result<Part, Malformed> {
    limited(bytes)?;
    let mut out = empty(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(text) = line.strip_suffix(b"\n") else {
            break;
        };
        let offset = out.consumed;
        if text.len() > ENTRY_BYTES_MAX.saturating_mul(2) {
            return Err(bad(offset, "line", "it is longer than any entry"));
        }
        if !text.trim_ascii().is_empty() {
            if out.entries.len() >= ENTRIES_MAX {
                return Err(bad(offset, "list", "it has more than 500000 entries"));
            }
            out.entries.push(ascii(text, offset)?);
        }
        out.consumed = out.consumed.saturating_add(line.len());
    }
    Ok(out)
}

/// A path need not be UTF-8 and is hashed as it is; all other fields are ASCII.
fn ascii(line: &[u8], offset: usize) -> Result<Entry, Malformed> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = |field: &'static str| {
        fields
            .next()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| bad(offset, field, "it is missing"))
    };
    let pcr = text(next("PCR")?, offset)?
        .parse()
        .ok()
        .filter(|pcr| *pcr < 32)
        .ok_or_else(|| bad(offset, "PCR", "it is no number from 0 to 31"))?;
    let template_digest = hexadecimal(next("template-hash")?, offset, "template-hash")?;
    if !matches!(template_digest.len(), 20 | 32 | 48 | 64) {
        return Err(bad(offset, "template-hash", "no hash has its length"));
    }
    let template = template(next("template")?, offset)?;
    let digest = next("digest")?;
    let path = next("name")?;
    let rest: Vec<&[u8]> = fields.collect();
    let mut entry = Entry {
        pcr,
        template_digest,
        template,
        algorithm: Cow::Borrowed("sha1"),
        digest: Vec::new(),
        name: String::from_utf8_lossy(path).into_owned(),
        verity: false,
        signature: Vec::new(),
        buffer: Vec::new(),
        data: Vec::new(),
        offset,
    };
    ascii_fields(&mut entry, digest, path, &rest)?;
    Ok(entry)
}

// spec: tpm.ima.template
/// The template's name, if it is one that is known here.
fn template(name: &[u8], offset: usize) -> Result<&'static str, Malformed> {
    TEMPLATES
        .into_iter()
        .find(|known| known.as_bytes() == name)
        .ok_or_else(|| bad(offset, "template", "it is not known here"))
}

// spec: tpm.ima.text
/// The digest and what stands behind the name, by the template.
fn ascii_fields(
    entry: &mut Entry,
    digest: &[u8],
    path: &[u8],
    rest: &[&[u8]],
) -> Result<(), Malformed> {
    let offset = entry.offset;
    if entry.template == "ima" {
        entry.digest = hexadecimal(digest, offset, "digest")?;
        entry.data = legacy_data(&entry.digest, path, offset)?;
        return Ok(());
    }
    let extra = |index: usize| {
        let text = rest.get(index).copied().unwrap_or_default();
        hexadecimal(text, offset, "signature")
    };
    let (prefix, value) =
        halves(digest).ok_or_else(|| bad(offset, "digest", "its algorithm is missing"))?;
    entry.digest = hexadecimal(value, offset, "digest")?;
    set_algorithm(entry, text(prefix, offset)?);
    // Lengths, separators and ends take 11 bytes.
    let stored = prefix.len().saturating_add(entry.digest.len());
    let mut data = Vec::with_capacity(stored.saturating_add(path.len()).saturating_add(11));
    field(&mut data, &[prefix, b":\0", &entry.digest]);
    field(&mut data, &[path, &[0]]);
    let fields_wanted = match entry.template {
        "ima-sig" | "ima-sigv2" => {
            entry.signature = extra(0)?;
            field(&mut data, &[&entry.signature]);
            1
        }
        "ima-buf" => {
            entry.buffer = extra(0)?;
            field(&mut data, &[&entry.buffer]);
            1
        }
        "ima-modsig" => {
            entry.signature = extra(0)?;
            field(&mut data, &[&entry.signature]);
            field(&mut data, &[&appended_digest(rest, offset)?]);
            field(&mut data, &[&extra(2)?]);
            3
        }
        _ => 0,
    };
    // A name holds no spaces in the list; more fields than the template has hide something.
    if rest.iter().skip(fields_wanted).any(|text| !text.is_empty()) {
        return Err(bad(offset, "line", "it has more fields than its template"));
    }
    entry.data = data;
    Ok(())
}

/// What stands before and behind the last colon.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|byte| *byte == b':')?;
    let (prefix, value) = text.split_at_checked(at)?;
    Some((prefix, value.get(1..)?))
}

fn appended_digest(rest: &[&[u8]], offset: usize) -> Result<Vec<u8>, Malformed> {
    match rest.get(1).copied().unwrap_or_default() {
        b"" => Ok(Vec::new()),
        text => {
            let (prefix, value) =
                halves(text).ok_or_else(|| bad(offset, "d-modsig", "its algorithm is missing"))?;
            let value = hexadecimal(value, offset, "d-modsig")?;
            Ok([prefix, b":\0", &value].concat())
        }
    }
}

fn set_algorithm(entry: &mut Entry, prefix: &str) {
    let (kind, algorithm) = prefix.rsplit_once(':').unwrap_or(("", prefix));
    entry.verity = kind == "verity";
    let known = ALGORITHMS.into_iter().find(|known| *known == algorithm);
    entry.algorithm = known.map_or_else(|| algorithm.to_owned().into(), Cow::Borrowed);
}

fn hexadecimal(text: &[u8], offset: usize, field: &'static str) -> Result<Vec<u8>, Malformed> {
    hex::decode(text).map_err(|_| bad(offset, field, "it is not hex"))
}

/// Appends a length and the parts, as the kernel hashes them.
fn field(data: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    data.extend(length.to_le_bytes());
    parts.iter().for_each(|part| data.extend_from_slice(part));
}

// spec: tpm.ima.legacy
/// The oldest template hashes 20 bytes and the name filled up to 256, without lengths.
fn legacy_data(digest: &[u8], name: &[u8], offset: usize) -> Result<Vec<u8>, Malformed> {
    if digest.len() != 20 || name.len() > 255 {
        return Err(bad(offset, "ima", "digest or name have another length"));
    }
    let mut data = [digest, name].concat();
    data.resize(276, 0);
    Ok(data)
}

/// Reads `binary_runtime_measurements` of a little-endian machine. An entry that is not complete
/// is left for the next call.
///
/// # Errors
/// `ima.line`, with the offset: over the limits, a length over its limit, fields that do not fill
/// the entry, a template that is not known here.
pub fn parse_binary(bytes: &[u8]) -> Result<Part, Malformed> {
    limited(bytes)?;
    let mut out = empty(bytes.len());
    loop {
        let rest = bytes.get(out.consumed..).unwrap_or_default();
        let mut reader = Reader::at_offset(rest, out.consumed, LINE);
        if rest.is_empty() {
            return Ok(out);
        }
        match binary(&mut reader) {
            Ok(entry) => {
                if out.entries.len() >= ENTRIES_MAX {
                    return Err(bad(out.consumed, "list", "it has more than 500000 entries"));
                }
                out.entries.push(entry);
                out.consumed = reader.offset();
            }
            Err(refusal) if matches!(refusal.what, What::TooShort { .. }) => return Ok(out),
            Err(refusal) => return Err(refusal),
        }
    }
}

fn length(reader: &mut Reader<'_>, limit: usize, field: &'static str) -> Result<usize, Malformed> {
    let at = reader.offset();
    usize::try_from(reader.u32_le()?)
        .ok()
        .filter(|length| *length <= limit)
        .ok_or_else(|| bad(at, field, "it is longer than any entry"))
}

// spec: tpm.ima.binary
fn binary(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let offset = reader.offset();
    let pcr = reader.u32_le()?;
    if pcr >= 32 {
        return Err(bad(offset, "PCR", "it is no number from 0 to 31"));
    }
    let template_digest = reader.take(20)?.to_vec();
    let name_length = length(reader, 64, "template")?;
    let template = template(reader.take(name_length)?, offset)?;
    let mut entry = Entry {
        pcr,
        template_digest,
        template,
        algorithm: Cow::Borrowed("sha1"),
        digest: Vec::new(),
        name: String::new(),
        verity: false,
        signature: Vec::new(),
        buffer: Vec::new(),
        data: Vec::new(),
        offset,
    };
    if entry.template == "ima" {
        entry.digest = reader.take(20)?.to_vec();
        let name_length = length(reader, 255, "name")?;
        let path = reader.take(name_length)?;
        entry.name = String::from_utf8_lossy(path).into_owned();
        entry.data = legacy_data(&entry.digest, path, offset)?;
        return Ok(entry);
    }
    let data_length = length(reader, ENTRY_BYTES_MAX, "template data")?;
    let base = reader.offset();
    let data = reader.take(data_length)?;
    template_fields(&mut entry, data, base)?;
    entry.data = data.to_vec();
    Ok(entry)
}

/// Fields inside complete data: shortness there is a fault, not an entry that still grows.
fn template_fields(entry: &mut Entry, data: &[u8], base: usize) -> Result<(), Malformed> {
    let mut parts: [&[u8]; 5] = [&[]; 5];
    let mut found: usize = 0;
    let mut reader = Reader::at_offset(data, base, LINE);
    while !reader.is_empty() {
        let at = reader.offset();
        let part = length(&mut reader, ENTRY_BYTES_MAX, "field")
            .and_then(|length| reader.take(length))
            .map_err(|_| bad(at, "field", "it ends after its entry"))?;
        if let Some(place) = parts.get_mut(found) {
            *place = part;
        }
        found = found.saturating_add(1);
    }
    let wanted = match entry.template {
        "ima-ng" | "ima-ngv2" => 2,
        "ima-modsig" => 5,
        _ => 3,
    };
    let [digest, name, third, ..] = parts;
    if found < 2 {
        return Err(bad(base, "template data", "it has too few fields"));
    }
    if found != wanted {
        return Err(bad(
            base,
            "template data",
            "it has another number of fields",
        ));
    }
    let split = digest
        .windows(2)
        .position(|pair| pair == b":\0")
        .ok_or_else(|| bad(base, "digest", "its algorithm is missing"))?;
    let (prefix, value) = digest.split_at_checked(split).unwrap_or_default();
    set_algorithm(entry, text(prefix, base)?);
    entry.digest = value.get(2..).unwrap_or_default().to_vec();
    let name = name
        .strip_suffix(&[0])
        .ok_or_else(|| bad(base, "name", "its end is missing"))?;
    entry.name = String::from_utf8_lossy(name).into_owned();
    let third = third.to_vec();
    if entry.template == "ima-buf" {
        entry.buffer = third;
    } else {
        entry.signature = third;
    }
    Ok(())
}

fn text(bytes: &[u8], offset: usize) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| bad(offset, "name", "it is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpm::HashAlgorithm;

    fn binary_of(entry: &Entry) -> Vec<u8> {
        let mut out = entry.pcr.to_le_bytes().to_vec();
        out.extend(&entry.template_digest);
        field(&mut out, &[entry.template.as_bytes()]);
        field(&mut out, &[&entry.data]);
        out
    }

    #[test]
    fn a_line_that_is_not_complete_is_left_for_the_next_call() {
        let line = format!(
            "10 {} ima-ng sha256:{} /bin/sh\n",
            "00".repeat(20),
            "11".repeat(32)
        );
        let text = format!("{line}10 00");
        let part = parse_ascii(text.as_bytes()).unwrap();
        assert_eq!((part.entries.len(), part.consumed), (1, line.len()));
        assert!(part.entries.first().unwrap().is_violation());
    }

    // spec: tpm.ima.text, tpm.ima.binary
    #[test]
    fn text_and_binary_give_the_same_entry_and_its_digest_holds() {
        let digest = "11".repeat(32);
        let line = |hash: &str| format!("10 {hash} ima-sig sha256:{digest} /bin/sh 0302\n");
        let draft = parse_ascii(line(&"22".repeat(20)).as_bytes()).unwrap();
        let data = &draft.entries.first().unwrap().data;
        let hash = hex::encode(HashAlgorithm::SHA1.digest(&[data]).unwrap());
        let entry = parse_ascii(line(&hash).as_bytes())
            .unwrap()
            .entries
            .remove(0);
        assert!(entry.digest_holds());
        assert_eq!(entry.signature, [3, 2]);
        let bytes = binary_of(&entry);
        assert_eq!(parse_binary(&bytes).unwrap().entries, [entry]);
        let part = parse_binary(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!((part.entries.len(), part.consumed), (0, 0));
    }

    #[test]
    fn a_path_that_is_not_utf_8_is_hashed_as_it_is() {
        let mut line =
            format!("10 {} ima-ng sha1:{} /", "22".repeat(20), "11".repeat(20)).into_bytes();
        line.extend([0xff, b'\n']);
        let entry = parse_ascii(&line).unwrap().entries.remove(0);
        assert_eq!(entry.name, "/\u{fffd}");
        assert!(entry.data.ends_with(&[b'/', 0xff, 0]));
    }

    #[test]
    fn an_unknown_template_is_refused_with_the_offset_of_its_line() {
        let line = format!("\n10 {} ima-x sha1:00 /a\n", "00".repeat(20));
        assert_eq!(
            parse_ascii(line.as_bytes()),
            Err(bad(1, "template", "it is not known here"))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_readers_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), text in "[0-9a-f: \n]{0,200}") {
            let _ = parse_ascii(&bytes);
            let _ = parse_binary(&bytes);
            let _ = parse_ascii(text.as_bytes());
        }
    }
}
