//! Other wrappings of a document: base64 or hex as people paste them, and the record of dstack's
//! agents.
//!
//! Takes the document out and says what else was there; decides nothing about it.

use std::borrow::Cow;

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{BYTES_MAX, COSE};
use crate::{Malformed, What};

/// How a document in base64 begins, without and with its tag.
const BASE64: [&[u8]; 2] = [b"hEShATgi", b"0oREoQE4"];
/// How a document in hex begins, without and with its tag.
const HEX: [&[u8]; 2] = [b"8444a1013822", b"d28444a1013822"];
/// Hex has twice the length; room for the ends of lines.
const FILE_BYTES_MAX: usize = BYTES_MAX.saturating_mul(2).saturating_add(4096);

/// Base64 in either alphabet, with or without padding.
const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Whether a file begins as a document in text does.
pub(crate) fn is_text(file: &[u8]) -> bool {
    let text = file.trim_ascii_start();
    BASE64.iter().any(|mark| text.starts_with(mark)) || is_hex(text)
}

fn is_hex(text: &[u8]) -> bool {
    HEX.iter().any(|mark| {
        let start = text.get(..mark.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(mark))
    })
}

/// The document in a text, which may be broken into lines.
fn decoded(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut joined = Vec::with_capacity(text.len());
    joined.extend(text.iter().filter(|byte| !byte.is_ascii_whitespace()));
    if is_hex(&joined) {
        // In one piece: a list that grows costs more than the limit allows for.
        let mut out = vec![0; joined.len().div_euclid(2)];
        hex::decode_to_slice(&joined, &mut out)
            .map_err(|_| Malformed::invalid(COSE, 0, "hex", "it is none"))?;
        return Ok(out);
    }
    let alphabet = match joined.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        true => &base64::alphabet::URL_SAFE,
        false => &base64::alphabet::STANDARD,
    };
    GeneralPurpose::new(alphabet, ANY_PADDING)
        .decode(&joined)
        .map_err(|_| Malformed::invalid(COSE, 0, "base64", "it is none"))
}

/// The document in a file, and a note about what lay around it.
///
/// # Errors
/// `nitro.cose` for a file over the limit, or base64 or hex that is none.
pub fn unwrapped(file: &[u8]) -> Result<(Cow<'_, [u8]>, Option<&'static str>), Malformed> {
    if file.len() > FILE_BYTES_MAX {
        let what = What::TooLong {
            limit: FILE_BYTES_MAX,
            found: file.len(),
        };
        return Err(Malformed::new(COSE, FILE_BYTES_MAX, what));
    }
    if is_text(file) {
        return Ok((Cow::Owned(decoded(file)?), None));
    }
    Ok(match recorded(file) {
        Some((document, true)) => (
            Cow::Borrowed(document),
            Some("bytes follow the document in its wrapping; nobody signed them"),
        ),
        Some((document, false)) => (Cow::Borrowed(document), None),
        None => (Cow::Borrowed(file), None),
    })
}

/// The document in dstack's record: version 0, variant 2, its length (SCALE, two or four bytes),
/// the document, and other members; whether there are some.
pub(crate) fn recorded(file: &[u8]) -> Option<(&[u8], bool)> {
    let [0, 2, rest @ ..] = file else {
        return None;
    };
    let (length, rest) = match rest {
        [low, high, rest @ ..] if low & 3 == 1 => {
            (u32::from(u16::from_le_bytes([*low, *high])), rest)
        }
        [a, b, c, d, rest @ ..] if a & 3 == 2 => (u32::from_le_bytes([*a, *b, *c, *d]), rest),
        _ => return None,
    };
    let length = usize::try_from(length.wrapping_shr(2)).ok()?;
    let (document, behind) = rest.split_at_checked(length)?;
    let is_document = document.starts_with(&[0x84, 0x44]) || document.starts_with(&[0xd2, 0x84]);
    is_document.then_some((document, !behind.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nitro::tests::sign1;

    #[test]
    fn base64_and_records_give_the_document() {
        let document = sign1(&[1; 30]);
        let text = base64::engine::general_purpose::STANDARD.encode(&document);
        assert_eq!(
            unwrapped(format!(" {text}\n").as_bytes()).unwrap().0,
            document
        );
        // As tools print it: in lines, without padding, for addresses, in hex.
        let lines: Vec<_> = text.as_bytes().chunks(76).map(<[u8]>::to_vec).collect();
        let bare = text.trim_end_matches('=').to_owned();
        let safe = bare.replace('+', "-").replace('/', "_");
        for other in [
            lines.join(&b"\r\n"[..]),
            bare.into_bytes(),
            safe.into_bytes(),
            hex::encode(&document).into_bytes(),
            format!("\n{}\n", hex::encode_upper(&document)).into_bytes(),
        ] {
            assert_eq!(unwrapped(&other).unwrap().0, document);
        }
        let length = u16::try_from(document.len()).unwrap();
        let head = (length << 2 | 1).to_le_bytes();
        let record = [&[0, 2][..], &head, &document, &[0]].concat();
        let (found, note) = unwrapped(&record).unwrap();
        assert_eq!(
            (found.as_ref(), note.is_some()),
            (document.as_slice(), true)
        );
        let head = (u32::from(length) << 2 | 2).to_le_bytes();
        let record = [&[0, 2][..], &head, &document].concat();
        assert_eq!(
            unwrapped(&record).unwrap(),
            (document.as_slice().into(), None)
        );
        assert_eq!(
            unwrapped(&document).unwrap(),
            (document.as_slice().into(), None)
        );
        assert_eq!(recorded(&[0, 2, 1]), None);
        assert_eq!(recorded(&[0, 2, 0xff, 0xff, 0x84]), None);
    }

    #[test]
    fn a_long_file_and_broken_base64_are_refused() {
        let long = vec![0; FILE_BYTES_MAX + 1];
        assert_eq!(unwrapped(&long).unwrap_err().offset, FILE_BYTES_MAX);
        for broken in [&b"hEShATgi!"[..], b"8444A1013822f", b"8444a1013822xy"] {
            assert_eq!(unwrapped(broken).unwrap_err().check, COSE);
        }
    }
}
