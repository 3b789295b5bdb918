//! Other wrappings of a document: base64 as people paste it, and the record of dstack's agents.
//!
//! Takes the document out and says what else was there; decides nothing about it.

use std::borrow::Cow;

use base64::Engine as _;

use super::{BYTES_MAX, COSE};
use crate::{Malformed, What};

/// How a document in base64 begins, without and with its tag.
pub(crate) const BASE64: [&[u8]; 2] = [b"hEShATgi", b"0oREoQE4"];

/// The document in a file, and a note about what lay around it.
///
/// # Errors
/// `nitro.cose` for a file over twice the limit, or base64 that is none.
pub fn unwrapped(file: &[u8]) -> Result<(Cow<'_, [u8]>, Option<&'static str>), Malformed> {
    let limit = BYTES_MAX.saturating_mul(2);
    if file.len() > limit {
        let what = What::TooLong {
            limit,
            found: file.len(),
        };
        return Err(Malformed::new(COSE, limit, what));
    }
    let text = file.trim_ascii();
    if BASE64.iter().any(|mark| text.starts_with(mark)) {
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|_| Malformed::invalid(COSE, 0, "base64", "it is none"))?;
        return Ok((Cow::Owned(decoded), None));
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
        let long = vec![0; BYTES_MAX * 2 + 1];
        assert_eq!(unwrapped(&long).unwrap_err().offset, BYTES_MAX * 2);
        assert_eq!(unwrapped(b"hEShATgi!").unwrap_err().check, COSE);
    }
}
