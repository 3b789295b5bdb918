//! Deterministic CBOR (RFC 8949 §4.2.1) for the small set of values that the wire uses.
//!
//! Written deterministically by construction; read strictly: shortest heads, definite lengths,
//! sorted and unique map keys, no floating point, no simple values but `false`, `true`, `null`.
//! So one value has one encoding, and a digest over received bytes speaks for the value.
//! Never reads past its limits of size, depth and item count.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::Error;

/// How deep values may nest. Ours nest five deep at most; a signed CWT in a bundle adds a few.
pub const DEPTH_MAX: usize = 16;
/// How many items one encoding may hold: the largest of ours (64 secrets wanted, 32 members) has
/// some hundreds. It bounds memory at about forty times this many bytes beyond the input.
pub const ITEMS_MAX: usize = 4096;

/// A CBOR value of the subset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Major types 0 and 1, within 64-bit signed range.
    Integer(i64),
    /// Major type 2.
    Bytes(Vec<u8>),
    /// Major type 3.
    Text(String),
    /// Major type 4.
    Array(Vec<Value>),
    /// Major type 5; the order of [`Key`] is the order on the wire.
    Map(BTreeMap<Key, Value>),
    /// Major type 6.
    Tag(u64, Box<Value>),
    /// Simple values 20 and 21.
    Bool(bool),
    /// Simple value 22.
    Null,
}

/// A map key: an integer or a text. Ordered as RFC 8949 §4.2.1 orders their encodings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// An integer key.
    Integer(i64),
    /// A text key.
    Text(String),
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        // Bytewise order of encodings: unsigned, then negative by distance from zero, then text
        // by length and bytes.
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => match (*a >= 0, *b >= 0) {
                (true, true) => a.cmp(b),
                (false, false) => b.cmp(a),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
            },
            (Self::Integer(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Integer(_)) => Ordering::Greater,
            (Self::Text(a), Self::Text(b)) => a
                .len()
                .cmp(&b.len())
                .then_with(|| a.as_bytes().cmp(b.as_bytes())),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<i64> for Key {
    fn from(key: i64) -> Self {
        Self::Integer(key)
    }
}

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Self::Text(key.to_owned())
    }
}

impl Value {
    /// A byte string.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }

    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A map from pairs; a later pair with the same key wins.
    #[must_use]
    pub fn map<K: Into<Key>>(pairs: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        )
    }

    /// A version or counter; those beyond 63 bits do not occur and are written as the largest.
    #[must_use]
    pub fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The deterministic encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(number) => integer(*number, out),
            Self::Bytes(bytes) => {
                head(2, length(bytes.len()), out);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => string(text, out),
            Self::Array(items) => {
                head(4, length(items.len()), out);
                for item in items {
                    item.write(out);
                }
            }
            Self::Map(entries) => {
                head(5, length(entries.len()), out);
                for (key, value) in entries {
                    match key {
                        Key::Integer(number) => integer(*number, out),
                        Key::Text(text) => string(text, out),
                    }
                    value.write(out);
                }
            }
            Self::Tag(number, content) => {
                head(6, *number, out);
                content.write(out);
            }
            Self::Bool(truth) => out.push(if *truth { 0xf5 } else { 0xf4 }),
            Self::Null => out.push(0xf6),
        }
    }

    /// Reads one value that fills `bytes` exactly; refusals stand under `check`.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `bytes` are longer than `limit`, not deterministic CBOR of the
    /// subset, deeper than [`DEPTH_MAX`] or of more items than [`ITEMS_MAX`].
    pub fn parse(bytes: &[u8], limit: usize, check: &'static str) -> Result<Self, Error> {
        if bytes.len() > limit {
            return Err(Error::malformed(
                check,
                limit,
                "it is longer than its limit",
            ));
        }
        let mut reader = Reader {
            bytes,
            at: 0,
            items: 0,
            check,
        };
        let value = reader.value(0)?;
        if reader.at != bytes.len() {
            return Err(reader.refuse("bytes follow the value"));
        }
        Ok(value)
    }

    /// The integer, if it is one.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The integer as a counter, if it is one and not negative.
    #[must_use]
    pub fn as_count(&self) -> Option<u64> {
        self.as_integer()
            .and_then(|number| u64::try_from(number).ok())
    }

    /// The byte string, if it is one.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The byte string as an array, if it is one of that length.
    #[must_use]
    pub fn as_array_of<const N: usize>(&self) -> Option<[u8; N]> {
        self.as_bytes().and_then(|bytes| bytes.try_into().ok())
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if it is an array.
    #[must_use]
    pub fn as_items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    #[must_use]
    pub const fn as_map(&self) -> Option<&BTreeMap<Key, Self>> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn integer(number: i64, out: &mut Vec<u8>) {
    match u64::try_from(number) {
        Ok(number) => head(0, number, out),
        // -1 - n is the bitwise complement of n.
        Err(_) => head(1, (!number).unsigned_abs(), out),
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    head(3, length(text.len()), out);
    out.extend_from_slice(text.as_bytes());
}

fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    if let Ok(small) = u8::try_from(argument) {
        if small < 24 {
            out.push(major | small);
        } else {
            out.extend_from_slice(&[major | 24, small]);
        }
    } else if let Ok(short) = u16::try_from(argument) {
        out.push(major | 25);
        out.extend_from_slice(&short.to_be_bytes());
    } else if let Ok(word) = u32::try_from(argument) {
        out.push(major | 26);
        out.extend_from_slice(&word.to_be_bytes());
    } else {
        out.push(major | 27);
        out.extend_from_slice(&argument.to_be_bytes());
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
    check: &'static str,
}

impl<'a> Reader<'a> {
    const fn refuse(&self, because: &'static str) -> Error {
        Error::malformed(self.check, self.at, because)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Error> {
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length));
        match end.and_then(|end| Some((end, self.bytes.get(self.at..end)?))) {
            Some((end, taken)) => {
                self.at = end;
                Ok(taken)
            }
            None => Err(self.refuse("it ends too early")),
        }
    }

    /// Major type and argument, in the shortest form.
    fn head(&mut self) -> Result<(u8, u64), Error> {
        let start = self.at;
        let first = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (first >> 5, first & 0x1f);
        let width = match info {
            0..=23 => return Ok((major, u64::from(info))),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => {
                return Err(Error::malformed(
                    self.check,
                    start,
                    "indefinite lengths and reserved heads are not allowed",
                ));
            }
        };
        let argument = self
            .take(width)?
            .iter()
            .fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        let least = match width {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if argument < least {
            return Err(Error::malformed(
                self.check,
                start,
                "a number is not in its shortest form",
            ));
        }
        Ok((major, argument))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > DEPTH_MAX {
            return Err(self.refuse("it nests too deep"));
        }
        self.items = self.items.saturating_add(1);
        if self.items > ITEMS_MAX {
            return Err(self.refuse("it holds too many items"));
        }
        let start = self.at;
        let deeper = depth.saturating_add(1);
        let (major, argument) = self.head()?;
        match major {
            0 | 1 => self.integer(major, argument, start),
            2 => Ok(Value::bytes(self.take(argument)?)),
            3 => self.string(argument).map(Value::Text),
            4 => {
                let mut items = Vec::new();
                for _ in 0..argument {
                    items.push(self.value(deeper)?);
                }
                Ok(Value::Array(items))
            }
            5 => self.map(argument, deeper),
            6 => Ok(Value::Tag(argument, Box::new(self.value(deeper)?))),
            _ => match argument {
                20 => Ok(Value::Bool(false)),
                21 => Ok(Value::Bool(true)),
                22 => Ok(Value::Null),
                _ => Err(Error::malformed(
                    self.check,
                    start,
                    "floating point and other simple values are not allowed",
                )),
            },
        }
    }

    fn integer(&self, major: u8, argument: u64, start: usize) -> Result<Value, Error> {
        let number = i64::try_from(argument).map_err(|_| {
            Error::malformed(self.check, start, "an integer is wider than 64 bits signed")
        })?;
        Ok(Value::Integer(if major == 0 { number } else { !number }))
    }

    fn string(&mut self, length: u64) -> Result<String, Error> {
        let start = self.at;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| Error::malformed(self.check, start, "a text is not UTF-8"))
    }

    fn map(&mut self, count: u64, depth: usize) -> Result<Value, Error> {
        let mut entries: BTreeMap<Key, Value> = BTreeMap::new();
        for _ in 0..count {
            let start = self.at;
            let key = match self.value(depth)? {
                Value::Integer(number) => Key::Integer(number),
                Value::Text(text) => Key::Text(text),
                _ => {
                    return Err(Error::malformed(
                        self.check,
                        start,
                        "a map key is neither integer nor text",
                    ));
                }
            };
            if entries
                .last_key_value()
                .is_some_and(|(last, _)| *last >= key)
            {
                return Err(Error::malformed(
                    self.check,
                    start,
                    "map keys are not sorted, or one stands twice",
                ));
            }
            let value = self.value(depth)?;
            entries.insert(key, value);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(bytes: &[u8]) -> Error {
        Value::parse(bytes, 1024, "test.cbor").unwrap_err()
    }

    #[test]
    fn a_number_in_a_long_form_is_refused() {
        let because = "a number is not in its shortest form";
        assert_eq!(
            refused(&[0x18, 23]),
            Error::malformed("test.cbor", 0, because)
        );
        assert_eq!(
            refused(&[0x19, 0, 255]),
            Error::malformed("test.cbor", 0, because)
        );
        assert_eq!(
            refused(&[0x81, 0x58, 0]),
            Error::malformed("test.cbor", 1, because)
        );
    }

    #[test]
    fn map_keys_out_of_order_or_twice_are_refused() {
        let because = "map keys are not sorted, or one stands twice";
        assert_eq!(
            refused(&[0xa2, 2, 0, 1, 0]),
            Error::malformed("test.cbor", 3, because)
        );
        assert_eq!(
            refused(&[0xa2, 1, 0, 1, 0]),
            Error::malformed("test.cbor", 3, because)
        );
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_without_reserving_it() {
        assert_eq!(
            refused(&[0x5b, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
            Error::malformed("test.cbor", 9, "it ends too early")
        );
        assert_eq!(
            refused(&[0x9b, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
            Error::malformed("test.cbor", 9, "it ends too early")
        );
    }

    #[test]
    fn depth_and_item_count_have_an_end() {
        let mut deep = vec![0x81; DEPTH_MAX + 1];
        deep.push(0);
        assert_eq!(
            refused(&deep),
            Error::malformed("test.cbor", DEPTH_MAX + 1, "it nests too deep")
        );
        let mut many = vec![0x19, 0, 0];
        many[0] = 0x99;
        many[1..3].copy_from_slice(&5000_u16.to_be_bytes());
        many.extend(vec![0; 5000]);
        assert_eq!(
            Value::parse(&many, 10_000, "test.cbor"),
            Err(Error::malformed(
                "test.cbor",
                3 + ITEMS_MAX - 1,
                "it holds too many items"
            ))
        );
    }

    #[test]
    fn indefinite_lengths_floats_and_trailing_bytes_are_refused() {
        assert_eq!(
            refused(&[0x9f, 0xff]),
            Error::malformed(
                "test.cbor",
                0,
                "indefinite lengths and reserved heads are not allowed"
            )
        );
        assert_eq!(
            refused(&[0xf9, 0x3c, 0]),
            Error::malformed(
                "test.cbor",
                0,
                "floating point and other simple values are not allowed"
            )
        );
        assert_eq!(
            refused(&[0, 0]),
            Error::malformed("test.cbor", 1, "bytes follow the value")
        );
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Integer),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
            ".{0,20}".prop_map(Value::Text),
            any::<bool>().prop_map(Value::Bool),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            let key = prop_oneof![
                any::<i64>().prop_map(Key::Integer),
                "[a-z]{0,6}".prop_map(Key::Text)
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
                proptest::collection::btree_map(key, inner.clone(), 0..8).prop_map(Value::Map),
                (any::<u32>(), inner)
                    .prop_map(|(tag, value)| Value::Tag(u64::from(tag), Box::new(value))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(value in values()) {
            let bytes = value.encode();
            prop_assert_eq!(Value::parse(&bytes, bytes.len(), "test.cbor"), Ok(value));
        }

        #[test]
        fn whatever_parses_is_the_only_encoding_of_its_value(
            bytes in proptest::collection::vec(any::<u8>(), 0..64)
        ) {
            if let Ok(value) = Value::parse(&bytes, 64, "test.cbor") {
                prop_assert_eq!(value.encode(), bytes);
            }
        }

        #[test]
        fn another_implementation_reads_the_same_value(value in values()) {
            // ciborium is the oracle: it must accept our bytes and write the same ones back.
            let bytes = value.encode();
            let read: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
            let mut again = Vec::new();
            ciborium::into_writer(&read, &mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }
}
