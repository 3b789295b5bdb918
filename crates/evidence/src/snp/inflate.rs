//! Unpacks gzip (RFC 1952, RFC 1951): some tools pack a report before they put it into JSON.
//!
//! One member, no preset dictionary, and never more output than the caller allows. The length
//! and the CRC at the end are checked.

/// How long a Huffman code can be, in bits.
const CODE_BITS_MAX: usize = 15;
/// Order in which the lengths of the code of code lengths are sent (RFC 1951 §3.2.7).
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];
/// Base and extra bits of the length symbols from 257 (RFC 1951 §3.2.5).
const LENGTHS: [(usize, u32); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];

/// The content of a gzip file; `None` when it is broken, cut, longer than `limit` bytes, or
/// followed by anything.
pub(super) fn gunzip(bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
    let (head, rest) = bytes.split_first_chunk::<10>()?;
    let [0x1f, 0x8b, 8, flags, ..] = *head else {
        return None;
    };
    // Names, comments and extra fields do not occur where a program packs a report.
    if flags != 0 {
        return None;
    }
    let mut bits = Bits {
        bytes: rest,
        held: 0,
        count: 0,
    };
    let out = inflate(&mut bits, limit)?;
    let (crc, length) = (bits.aligned(4)?, bits.aligned(4)?);
    let found = u32::try_from(out.len()).ok()?.to_le_bytes();
    let whole = crc == crc32(&out).to_le_bytes() && length == found && bits.bytes.is_empty();
    whole.then_some(out)
}

/// CRC-32 as in RFC 1952 §8, bit by bit: inputs are short.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = match crc & 1 {
                1 => (crc >> 1) ^ 0xedb8_8320,
                _ => crc >> 1,
            };
        }
    }
    !crc
}

/// Bits from the lowest of each byte on.
struct Bits<'a> {
    bytes: &'a [u8],
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// The next `count` bits as a number, at most 16.
    fn take(&mut self, count: u32) -> Option<usize> {
        while self.count < count {
            let (byte, rest) = self.bytes.split_first()?;
            self.held |= u64::from(*byte).checked_shl(self.count)?;
            self.count = self.count.saturating_add(8);
            self.bytes = rest;
        }
        let mask = 1_u64.checked_shl(count)?.checked_sub(1)?;
        let out = self.held & mask;
        self.held = self.held.checked_shr(count)?;
        self.count = self.count.saturating_sub(count);
        usize::try_from(out).ok()
    }

    /// The next whole bytes, after the rest of the current one is dropped. At most seven bits
    /// are ever held, so no byte is lost.
    fn aligned(&mut self, count: usize) -> Option<&'a [u8]> {
        (self.held, self.count) = (0, 0);
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }
}

/// A canonical Huffman code: how many codes there are of each length, and the symbols in order.
struct Code {
    counts: [usize; CODE_BITS_MAX + 1],
    symbols: Vec<usize>,
}

impl Code {
    /// The code of these lengths, by symbol; `None` when more codes are claimed than exist.
    fn new(lengths: &[usize]) -> Option<Self> {
        let mut counts = [0_usize; CODE_BITS_MAX + 1];
        for length in lengths {
            let count = counts.get_mut(*length)?;
            *count = count.saturating_add(1);
        }
        let mut free = 1_usize;
        for count in counts.iter().skip(1) {
            free = free.saturating_mul(2).checked_sub(*count)?;
        }
        let mut symbols = Vec::with_capacity(lengths.len());
        for length in 1..=CODE_BITS_MAX {
            let of_length = lengths.iter().enumerate();
            symbols.extend(
                of_length
                    .filter(|(_, at)| **at == length)
                    .map(|(index, _)| index),
            );
        }
        Some(Self { counts, symbols })
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Option<usize> {
        let (mut code, mut first, mut index) = (0_usize, 0_usize, 0_usize);
        for count in self.counts.iter().skip(1) {
            code |= bits.take(1)?;
            if let Some(place) = code.checked_sub(first)
                && place < *count
            {
                return self.symbols.get(index.saturating_add(place)).copied();
            }
            index = index.saturating_add(*count);
            first = first.saturating_add(*count).saturating_mul(2);
            code = code.saturating_mul(2);
        }
        None
    }
}

fn inflate(bits: &mut Bits<'_>, limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => {
                let head: &[u8; 4] = bits.aligned(4)?.try_into().ok()?;
                let [low, high, not_low, not_high] = *head;
                if (low, high) != (!not_low, !not_high) {
                    return None;
                }
                let length = usize::from(u16::from_le_bytes([low, high]));
                out.extend_from_slice(bits.aligned(length)?);
            }
            1 => {
                let (literals, distances) = fixed()?;
                block(bits, &literals, &distances, &mut out, limit)?;
            }
            2 => {
                let (literals, distances) = dynamic(bits)?;
                block(bits, &literals, &distances, &mut out, limit)?;
            }
            _ => return None,
        }
        if out.len() > limit {
            return None;
        }
        if last {
            return Some(out);
        }
    }
}

/// The codes that need no table (RFC 1951 §3.2.6).
fn fixed() -> Option<(Code, Code)> {
    let lengths: Vec<usize> = (0..288)
        .map(|symbol| match symbol {
            0..=143 => 8,
            144..=255 => 9,
            256..=279 => 7,
            _ => 8,
        })
        .collect();
    Some((Code::new(&lengths)?, Code::new(&[5; 30])?))
}

/// The codes that stand before a block (RFC 1951 §3.2.7).
fn dynamic(bits: &mut Bits<'_>) -> Option<(Code, Code)> {
    let literals = bits.take(5)?.saturating_add(257);
    let distances = bits.take(5)?.saturating_add(1);
    let sent = bits.take(4)?.saturating_add(4);
    let mut lengths = [0_usize; 19];
    for at in ORDER.iter().take(sent) {
        *lengths.get_mut(*at)? = bits.take(3)?;
    }
    let code = Code::new(&lengths)?;
    let total = literals.saturating_add(distances);
    let mut lengths: Vec<usize> = Vec::with_capacity(total);
    while lengths.len() < total {
        let (value, times) = match code.symbol(bits)? {
            16 => (*lengths.last()?, bits.take(2)?.saturating_add(3)),
            17 => (0, bits.take(3)?.saturating_add(3)),
            18 => (0, bits.take(7)?.saturating_add(11)),
            length => (length, 1),
        };
        lengths.extend(std::iter::repeat_n(value, times));
    }
    if lengths.len() != total {
        return None;
    }
    let (literals, distances) = lengths.split_at_checked(literals)?;
    Some((Code::new(literals)?, Code::new(distances)?))
}

fn block(
    bits: &mut Bits<'_>,
    literals: &Code,
    distances: &Code,
    out: &mut Vec<u8>,
    limit: usize,
) -> Option<()> {
    loop {
        if out.len() > limit {
            return None;
        }
        let symbol = literals.symbol(bits)?;
        if let Ok(byte) = u8::try_from(symbol) {
            out.push(byte);
            continue;
        }
        let Some(symbol) = symbol.checked_sub(257) else {
            return Some(());
        };
        let (base, extra) = LENGTHS.get(symbol)?;
        let length = base.saturating_add(bits.take(*extra)?);
        let distance = distance(distances.symbol(bits)?, bits)?;
        let from = out.len().checked_sub(distance)?;
        for at in from..from.saturating_add(length) {
            out.push(*out.get(at)?);
        }
    }
}

/// How far back a copy begins: two symbols for each number of extra bits (RFC 1951 §3.2.5).
fn distance(symbol: usize, bits: &mut Bits<'_>) -> Option<usize> {
    let extra = u32::try_from(symbol.checked_div(2)?.saturating_sub(1)).ok()?;
    let base = match symbol {
        0..=3 => symbol,
        4..=29 => (2 | (symbol & 1)).checked_shl(extra)?,
        _ => return None,
    };
    Some(base.saturating_add(bits.take(extra)?).saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// "witness witness witness\n" with fixed codes and one copy, made with zlib.
    const FIXED: &str = "1f8b08000000000002032bcf2cc94b2d2e562847a5b900bb2f5e9518000000";
    /// 600 bytes of a skewed sequence with a table of its own, made with zlib.
    const DYNAMIC: &str = "1f8b0800000000000203ed8f494a00400c04b376929efcffbdce88087af7e6315054ba44637cc9f509158ddc\
        067a75904886548d18cb1ca58c00b66467a59c7c98e9511bedc655484f8fb79908e8b6677152d7738c874721\
        738e04d3d49efcd73102bd186dd257f3e00acc0911b3f6ab6eb953d1fdfd769bf4af410b44500b6e4593a97a\
        f29bf1b0d7949f813f6affd3ff2afd0355ca426658020000";

    fn sequence() -> Vec<u8> {
        (0_u32..600)
            .map(|n| u8::try_from(n * n % 251 % 13).unwrap())
            .collect()
    }

    #[test]
    fn the_three_kinds_of_blocks_are_unpacked() {
        let text = b"witness witness witness\n";
        assert_eq!(gunzip(&hex::decode(FIXED).unwrap(), 64).unwrap(), text);
        assert_eq!(
            gunzip(&hex::decode(DYNAMIC).unwrap(), 600).unwrap(),
            sequence()
        );
        let mut stored = hex::decode("1f8b0800000000000003010200fdff6162").unwrap();
        stored.extend(crc32(b"ab").to_le_bytes());
        stored.extend([2, 0, 0, 0]);
        assert_eq!(gunzip(&stored, 2).unwrap(), b"ab");
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn more_than_the_limit_a_changed_byte_and_a_tail_are_refused() {
        let good = hex::decode(DYNAMIC).unwrap();
        assert_eq!(gunzip(&good, 599), None);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            // MTIME, XFL and OS say nothing about the content.
            assert_eq!(
                gunzip(&bytes, 1 << 16).is_some(),
                (4..10).contains(&at),
                "{at}"
            );
        }
        let mut bytes = good;
        bytes.push(0);
        assert_eq!(gunzip(&bytes, 600), None);
    }

    proptest! {
        #[test]
        fn no_input_panics_or_grows(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut bits = Bits { bytes: &bytes, held: 0, count: 0 };
            if let Some(out) = inflate(&mut bits, 1000) {
                prop_assert!(out.len() <= 1000);
            }
        }
    }
}
