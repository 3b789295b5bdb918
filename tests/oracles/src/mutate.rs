//! How inputs are broken: by field for reports, by element for DER. Every choice comes from the
//! seed, so that the same number makes the same change.

use crate::random::Random;

/// The fields of a report: offset and length (AMD 56860 §7.3).
pub const FIELDS: [(usize, usize); 38] = [
    (0x000, 4),
    (0x004, 4),
    (0x008, 8),
    (0x010, 16),
    (0x020, 16),
    (0x030, 4),
    (0x034, 4),
    (0x038, 8),
    (0x040, 8),
    (0x048, 4),
    (0x04c, 4),
    (0x050, 64),
    (0x090, 48),
    (0x0c0, 32),
    (0x0e0, 48),
    (0x110, 48),
    (0x140, 32),
    (0x160, 32),
    (0x180, 8),
    (0x188, 1),
    (0x189, 1),
    (0x18a, 1),
    (0x18b, 21),
    (0x1a0, 8),
    (0x1a8, 56),
    (0x1e0, 8),
    (0x1e8, 3),
    (0x1eb, 1),
    (0x1ec, 3),
    (0x1ef, 1),
    (0x1f0, 8),
    (0x1f8, 8),
    (0x200, 8),
    (0x208, 152),
    (0x2a0, 48),
    (0x2d0, 24),
    (0x2e8, 48),
    (0x318, 392),
];

/// Ways to change one field.
const WAYS: usize = 9;
/// How many changes of a single field there are, each made once before chance decides.
pub const SINGLE_CHANGES: u64 = FIELDS.len() as u64 * WAYS as u64;

/// Changes one to four fields of a report; the first [`SINGLE_CHANGES`] numbers change one field
/// in one way each. Returns whether only signed bytes were changed.
pub fn report(random: &mut Random, number: u64, bytes: &mut Vec<u8>) -> bool {
    if number < SINGLE_CHANGES {
        let number = usize::try_from(number).unwrap_or_default();
        let (at, length) = FIELDS[number / WAYS];
        field(random, number % WAYS, &mut bytes[at..at + length]);
        return at < 0x2a0;
    }
    let mut signed = true;
    for _ in 0..=random.below(4) {
        let (at, length) = *random.one_of(&FIELDS);
        let way = random.below(WAYS);
        field(random, way, &mut bytes[at..at + length]);
        signed &= at < 0x2a0;
    }
    if random.below(200) == 0 {
        let length = random.below(bytes.len() + 64);
        bytes.resize(length, 0);
        return false;
    }
    signed
}

fn field(random: &mut Random, way: usize, field: &mut [u8]) {
    let at = random.below(field.len());
    match way {
        0 => field.fill(0),
        1 => field.fill(0xff),
        2 => field[at] ^= 1 << random.below(8),
        3 => field[at] = random.byte(),
        4 => field.iter_mut().for_each(|byte| *byte = random.byte()),
        5 => {
            field.fill(0);
            field[0] = u8::try_from(random.below(8)).unwrap_or_default();
        }
        6 => field[at] = field[at].wrapping_add(1),
        7 => field[at] = field[at].wrapping_sub(1),
        _ => field.reverse(),
    }
}

/// One element of DER, taken apart as far as its tags say.
#[derive(Debug, Clone)]
struct Element {
    tag: u8,
    /// Written with one byte of length more than it needs.
    long: bool,
    inside: Inside,
}

#[derive(Debug, Clone)]
enum Inside {
    Bytes(Vec<u8>),
    Elements(Vec<Element>),
}

impl Element {
    /// Reads elements until the end; `None` for what is no DER.
    fn all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let (tag, first) = (*bytes.first()?, usize::from(*bytes.get(1)?));
            let (length, head) = if first < 0x80 {
                (first, 2)
            } else {
                let width = first - 0x80;
                let digits = bytes.get(2..2 + width)?;
                let length = digits
                    .iter()
                    .fold(0, |sum, digit| sum * 256 + usize::from(*digit));
                (length, 2 + width)
            };
            let content = bytes.get(head..head.checked_add(length)?)?;
            let inside = (tag & 0x20 != 0).then(|| Self::all(content)).flatten();
            let inside = inside.map_or_else(|| Inside::Bytes(content.to_vec()), Inside::Elements);
            out.push(Self {
                tag,
                long: false,
                inside,
            });
            bytes = bytes.get(head + length..)?;
        }
        Some(out)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let content = match &self.inside {
            Inside::Bytes(bytes) => bytes.clone(),
            Inside::Elements(elements) => {
                let mut content = Vec::new();
                elements
                    .iter()
                    .for_each(|element| element.write(&mut content));
                content
            }
        };
        out.push(self.tag);
        let mut digits: Vec<u8> = content.len().to_be_bytes().to_vec();
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros.min(7));
        if self.long || content.len() > 127 {
            if self.long {
                digits.insert(0, 0);
            }
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
        }
        if content.len() <= 127 && !self.long {
            digits = vec![u8::try_from(content.len()).unwrap_or_default()];
        }
        out.extend(digits);
        out.extend(content);
    }

    fn count(&self) -> usize {
        1 + match &self.inside {
            Inside::Bytes(_) => 0,
            Inside::Elements(elements) => elements.iter().map(Self::count).sum(),
        }
    }
}

/// Changes the element with this number; counts down while it looks.
fn change(
    elements: &mut Vec<Element>,
    number: &mut usize,
    random: &mut Random,
    way: usize,
) -> bool {
    for place in 0..elements.len() {
        if *number == 0 {
            change_at(elements, place, random, way);
            return true;
        }
        *number -= 1;
        if let Inside::Elements(inside) = &mut elements[place].inside
            && change(inside, number, random, way)
        {
            return true;
        }
    }
    false
}

/// Ways to change one element.
const DER_WAYS: usize = 16;

fn change_at(elements: &mut Vec<Element>, place: usize, random: &mut Random, way: usize) {
    let element = &mut elements[place];
    match (way, &mut element.inside) {
        (0, _) => {
            elements.remove(place);
        }
        (1, _) => {
            let again = element.clone();
            elements.insert(place, again);
        }
        (2, _) if place > 0 => elements.swap(place - 1, place),
        (3, _) => element.long = true,
        (4, _) => element.tag ^= 1 << random.below(8),
        (5, _) => {
            let tags = [
                1, 2, 3, 4, 5, 6, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0xa0,
            ];
            element.tag = *random.one_of(&tags);
        }
        (6, _) => element.inside = Inside::Bytes(Vec::new()),
        (7, Inside::Bytes(bytes)) => bytes.insert(0, 0),
        (8, Inside::Bytes(bytes)) => bytes.push(random.byte()),
        (9, Inside::Bytes(bytes)) => {
            bytes.pop();
        }
        (10, Inside::Bytes(bytes)) if !bytes.is_empty() => bytes[0] ^= 0x80,
        (11, Inside::Bytes(bytes)) if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] = random.byte();
        }
        (12, Inside::Bytes(bytes)) if !bytes.is_empty() => {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        (13, Inside::Bytes(bytes)) => bytes.iter_mut().for_each(|byte| *byte = random.byte()),
        (14, Inside::Elements(inside)) => {
            let null = Element {
                tag: 5,
                long: false,
                inside: Inside::Bytes(Vec::new()),
            };
            inside.push(null);
        }
        (_, Inside::Bytes(bytes)) if !bytes.is_empty() => {
            let last = bytes.len() - 1;
            bytes[last] = bytes[last].wrapping_add(1);
        }
        _ => {}
    }
}

/// The same certificate or list with one to three elements changed; outer lengths are made to fit
/// most of the time. The first numbers change each element in each way once.
#[must_use]
pub fn der(random: &mut Random, number: u64, bytes: &[u8]) -> Vec<u8> {
    let Some(mut elements) = Element::all(bytes) else {
        return bytes.to_vec();
    };
    let total: usize = elements.iter().map(Element::count).sum();
    let single = usize::try_from(number).unwrap_or(usize::MAX);
    if single < total * DER_WAYS {
        change(
            &mut elements,
            &mut (single / DER_WAYS),
            random,
            single % DER_WAYS,
        );
    } else {
        for _ in 0..=random.below(3) {
            let (mut at, way) = (random.below(total), random.below(DER_WAYS));
            change(&mut elements, &mut at, random, way);
        }
    }
    let mut out = Vec::new();
    elements.iter().for_each(|element| element.write(&mut out));
    if single >= total * DER_WAYS && random.below(8) == 0 && !out.is_empty() {
        let at = random.below(out.len());
        out[at] ^= 1 << random.below(8);
    }
    out
}
