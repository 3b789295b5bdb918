//! The few items of deterministic CBOR (RFC 8949 §4.2.1) that leaves are made of: unsigned
//! integers, byte and text strings, arrays. Refuses every longer or indefinite spelling.

use crate::Error;

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;

/// Writes items one after another.
#[derive(Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let bytes = value.to_be_bytes();
        let (info, length) = match value {
            0..=23 => {
                self.out.push(major | u8::try_from(value).unwrap_or(23));
                return;
            }
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        self.out.push(major | info);
        self.out
            .extend(bytes.iter().skip(8_usize.saturating_sub(length)));
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, u64::try_from(value.len()).unwrap_or(u64::MAX));
        self.out.extend_from_slice(value);
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.head(TEXT, u64::try_from(value.len()).unwrap_or(u64::MAX));
        self.out.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn array(&mut self, items: usize) {
        self.head(ARRAY, u64::try_from(items).unwrap_or(u64::MAX));
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Reads items one after another.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            total: bytes.len(),
        }
    }

    /// A refusal at the present offset.
    pub(crate) const fn refuse(&self, wanted: &'static str) -> Error {
        Error::Leaf {
            offset: self.total.saturating_sub(self.rest.len()),
            wanted,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.refuse("as many bytes as the length says"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self, major: u8, wanted: &'static str) -> Result<u64, Error> {
        let first = *self.rest.first().ok_or_else(|| self.refuse(wanted))?;
        if first >> 5 != major {
            return Err(self.refuse(wanted));
        }
        let info = first & 31;
        let (length, least) = match info {
            0..=23 => (0, 0),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            _ => return Err(self.refuse("a definite length")),
        };
        let start = self.refuse("the shortest form of a number");
        self.take(1)?;
        let value = if length == 0 {
            u64::from(info)
        } else {
            self.take(length)?
                .iter()
                .fold(0, |value, byte| (value << 8) | u64::from(*byte))
        };
        if value < least {
            return Err(start);
        }
        Ok(value)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Error> {
        self.head(UINT, "an unsigned integer")
    }

    /// Head with a length of at most `most`.
    fn length(&mut self, major: u8, wanted: &'static str, most: usize) -> Result<usize, Error> {
        let refusal = self.refuse("a length within its limit");
        let length = usize::try_from(self.head(major, wanted)?).unwrap_or(usize::MAX);
        if length > most {
            Err(refusal)
        } else {
            Ok(length)
        }
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Result<&'a [u8], Error> {
        let length = self.length(BYTES, "a byte string", most)?;
        self.take(length)
    }

    pub(crate) fn text(&mut self, most: usize) -> Result<&'a str, Error> {
        let refusal = self.refuse("a text in UTF-8");
        let length = self.length(TEXT, "a text string", most)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| refusal)
    }

    pub(crate) fn array(&mut self, most: usize) -> Result<usize, Error> {
        self.length(ARRAY, "an array", most)
    }

    pub(crate) fn finish(&self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.refuse("nothing after the leaf"))
        }
    }
}
