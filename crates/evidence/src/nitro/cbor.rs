//! As much of CBOR (RFC 8949) as attestation documents use: heads of any width, maps and lists of
//! either kind of length, strings in one piece. Never nests, never copies.

use crate::{Malformed, reader::Reader};

/// The head of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    Unsigned(u64),
    Bytes(usize),
    Text(usize),
    /// A list; `None` where a break ends it.
    Array(Option<u64>),
    /// A map; `None` where a break ends it.
    Map(Option<u64>),
    Tag(u64),
    Null,
    Break,
}

/// Reads items one after the other.
#[derive(Debug, Clone)]
pub(super) struct Items<'a> {
    reader: Reader<'a>,
}

impl<'a> Items<'a> {
    pub(super) const fn new(bytes: &'a [u8], base: usize, check: &'static str) -> Self {
        Self {
            reader: Reader::at_offset(bytes, base, check),
        }
    }

    pub(super) const fn offset(&self) -> usize {
        self.reader.offset()
    }

    fn bad(&self, at: usize, field: &'static str, because: &'static str) -> Malformed {
        Malformed::invalid(self.reader.check(), at, field, because)
    }

    pub(super) fn head(&mut self) -> Result<Head, Malformed> {
        let at = self.offset();
        let first = self.reader.u8()?;
        let argument = match first & 0x1f {
            small @ 0..=23 => Some(u64::from(small)),
            24 => Some(u64::from(self.reader.u8()?)),
            25 => Some(u64::from(self.reader.u16_be()?)),
            26 => Some(u64::from(self.reader.u32_be()?)),
            27 => Some(self.reader.u64_be()?),
            31 => None,
            _ => return Err(self.bad(at, "CBOR", "a length is of a reserved kind")),
        };
        let length = |argument: u64| usize::try_from(argument).unwrap_or(usize::MAX);
        match (first >> 5, argument) {
            (0, Some(number)) => Ok(Head::Unsigned(number)),
            (2, Some(number)) => Ok(Head::Bytes(length(number))),
            (3, Some(number)) => Ok(Head::Text(length(number))),
            (4, number) => Ok(Head::Array(number)),
            (5, number) => Ok(Head::Map(number)),
            (6, Some(number)) => Ok(Head::Tag(number)),
            (7, Some(22)) => Ok(Head::Null),
            (7, None) => Ok(Head::Break),
            _ => Err(self.bad(at, "CBOR", "an item is of a type that does not occur here")),
        }
    }

    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let at = self.offset();
        match self.head()? {
            Head::Bytes(length) => self.reader.take(length),
            _ => Err(self.bad(at, field, "it is no byte string")),
        }
    }

    pub(super) fn text(&mut self, field: &'static str) -> Result<&'a str, Malformed> {
        let at = self.offset();
        match self.head()? {
            Head::Text(length) => {
                let bytes = self.reader.take(length)?;
                std::str::from_utf8(bytes).map_err(|_| self.bad(at, field, "it is no UTF-8"))
            }
            _ => Err(self.bad(at, field, "it is no text")),
        }
    }

    pub(super) fn number(&mut self, field: &'static str) -> Result<u64, Malformed> {
        let at = self.offset();
        match self.head()? {
            Head::Unsigned(number) => Ok(number),
            _ => Err(self.bad(at, field, "it is no number")),
        }
    }

    /// A byte string, or nothing (null).
    pub(super) fn optional(&mut self, field: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        let at = self.offset();
        match self.head()? {
            Head::Null => Ok(None),
            Head::Bytes(length) => self.reader.take(length).map(Some),
            _ => Err(self.bad(at, field, "it is neither bytes nor null")),
        }
    }

    /// Whether a list or map of this length goes on; takes the break that ends it.
    pub(super) fn goes_on(&mut self, length: Option<u64>, so_far: u64) -> bool {
        match length {
            Some(length) => so_far < length,
            None if self.reader.rest().first() == Some(&0xff) => {
                // The byte is there.
                let _ = self.reader.u8();
                false
            }
            None => true,
        }
    }

    /// Nothing may follow.
    pub(super) fn end(&self, field: &'static str) -> Result<(), Malformed> {
        if self.reader.is_empty() {
            return Ok(());
        }
        Err(self.bad(self.offset(), field, "bytes follow its end"))
    }
}

/// Writes a byte string with the shortest head.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(length), _) if length < 24 => out.push(0x40 | length),
        (Ok(length), _) => out.extend([0x58, length]),
        (_, Ok(length)) => {
            out.push(0x59);
            out.extend(length.to_be_bytes());
        }
        // No string here is longer than 64 KiB: the limit of the whole is below.
        _ => {}
    }
    out.extend(bytes);
}
