//! The certificate table of the extended guest request (AMD 56421, `MSG_REPORT_REQ` with
//! certificates): 24-byte entries of GUID, offset and length, then the data.
//!
//! The host writes this table. Every bound is checked before a read, no two entries may share a
//! byte, and no entry may point into the table itself.

use super::forms::{ENDORSEMENTS_MAX, Evidence};
use crate::{Malformed, der, reader::Reader};

/// A table that is broken.
// spec: sev-snp.table.entries
pub const TABLE: &str = "snp.table";
/// Hosts hand out a few pages (Linux asks with at most 16 KiB); eight times that is hostile.
pub const TABLE_BYTES_MAX: usize = 128 * 1024;

const ENTRY: usize = 24;

/// GUIDs in the order of their printed form, with the names that are used here.
const KNOWN: [(&str, &str); 7] = [
    ("63da758d-e664-4564-adc5-f4b93be8accd", "VCEK"),
    ("a8074bc2-a25a-483e-aae6-39c045a0b8a1", "VLEK"),
    ("4ab7b379-bbac-4fe4-a02f-05aef327c782", "ASK"),
    ("c0b406a4-a803-4952-9743-3fb6014cd0ae", "ARK"),
    ("92f81bc3-5811-4d3d-97ff-d19f88dc67ea", "CRL"),
    (
        "ecae0c0f-9502-43b1-afa2-0ae2e0d565b6",
        "EXTRA_PLATFORM_INFO",
    ),
    (
        "9f4116cd-c503-4f5a-8f6f-fb68882f4ce2",
        "GCE_FIRMWARE_ENDORSEMENT",
    ),
];

/// The name of a GUID in printed form; `None` for one that is not known here.
#[must_use]
pub fn guid_name(guid: &str) -> Option<&'static str> {
    let found = KNOWN.iter().find(|(known, _)| *known == guid);
    found.map(|(_, name)| *name)
}

/// One entry of the table with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableEntry<'a> {
    /// The GUID as printed, in the order of its bytes.
    pub guid: String,
    /// Offset of the entry in the whole input, in bytes.
    pub at: usize,
    /// Offset of the data in the whole input, in bytes.
    pub data_at: usize,
    /// The data as received.
    pub data: &'a [u8],
}

impl TableEntry<'_> {
    /// The short name, or the GUID where none is known.
    #[must_use]
    pub fn name(&self) -> &str {
        guid_name(&self.guid).unwrap_or(&self.guid)
    }
}

/// A certificate table, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateTable<'a> {
    /// The entries in their order.
    pub entries: Vec<TableEntry<'a>>,
    /// Length of the entries with their terminator, in bytes.
    pub length: usize,
    /// What follows the last data: usually the zeros of the last page.
    pub rest: &'a [u8],
}

impl<'a> CertificateTable<'a> {
    /// Reads a table that stands alone, as Linux's `auxblob` gives it.
    ///
    /// # Errors
    /// `snp.table` for more than [`TABLE_BYTES_MAX`] bytes or 32 entries, a missing terminator,
    /// and data that lies in the table, outside the input, or in another entry's data.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_at(bytes, 0)
    }

    /// Reads a table that begins at `base` in the whole input.
    pub(crate) fn parse_at(bytes: &'a [u8], base: usize) -> Result<Self, Malformed> {
        der::at_most(bytes, TABLE_BYTES_MAX, TABLE)?;
        let heads = heads(bytes, base)?;
        let length = ENTRY.saturating_mul(heads.len().saturating_add(1));
        let mut ranges: Vec<(usize, usize)> = Vec::with_capacity(heads.len());
        let mut entries = Vec::with_capacity(heads.len());
        for (index, head) in heads.iter().enumerate() {
            let at = base.saturating_add(ENTRY.saturating_mul(index));
            let refuse = |because| Err(Malformed::invalid(TABLE, at, "entry", because));
            let end = head.offset.saturating_add(head.length);
            if head.length == 0 {
                return refuse("its data is empty");
            }
            if head.offset < length {
                return refuse("its data lies in the table itself");
            }
            let Some(data) = bytes.get(head.offset..end) else {
                return refuse("its data ends after the input");
            };
            if ranges
                .iter()
                .any(|(from, to)| head.offset < *to && *from < end)
            {
                return refuse("its data overlaps the data of another entry");
            }
            ranges.push((head.offset, end));
            entries.push(TableEntry {
                guid: printed(&head.guid),
                at,
                data_at: base.saturating_add(head.offset),
                data,
            });
        }
        let last = ranges.iter().map(|(_, to)| *to).max().unwrap_or(length);
        Ok(Self {
            entries,
            length,
            rest: bytes.get(last..).unwrap_or_default(),
        })
    }

    /// Hands the entries over to the evidence that they came with.
    pub(super) fn give(&self, evidence: &mut Evidence) {
        for entry in &self.entries {
            // spec: sev-snp.table.guid
            if guid_name(&entry.guid).is_none() {
                evidence.ignored("table entry", &entry.guid);
            }
            let named = (entry.name().to_owned(), entry.data.to_vec());
            evidence.endorsements.push(named);
        }
        evidence.trailing("the certificate table", self.rest);
    }
}

/// Whether bytes behind a report are meant as a table: one of the first entries has a GUID that
/// is known, or the whole is a table without a fault and with at least one entry.
pub(super) fn looks_like(bytes: &[u8]) -> bool {
    let known = bytes
        .chunks_exact(ENTRY)
        .take(ENDORSEMENTS_MAX)
        .take_while(|entry| entry.iter().any(|byte| *byte != 0))
        .filter_map(|entry| entry.first_chunk())
        .any(|guid| guid_name(&printed(guid)).is_some());
    known || CertificateTable::parse(bytes).is_ok_and(|table| !table.entries.is_empty())
}

struct Head {
    guid: [u8; 16],
    offset: usize,
    length: usize,
}

/// The entries up to the one that is all zero.
fn heads(bytes: &[u8], base: usize) -> Result<Vec<Head>, Malformed> {
    let mut at = Reader::at_offset(bytes, base, TABLE);
    let mut heads = Vec::new();
    loop {
        let offset = at.offset();
        let head = Head {
            guid: at.array()?,
            offset: length(at.u32_le()?),
            length: length(at.u32_le()?),
        };
        if head.guid == [0; 16] && head.offset == 0 && head.length == 0 {
            return Ok(heads);
        }
        if heads.len() == ENDORSEMENTS_MAX {
            let because = "there are more than 32 entries before the terminator";
            return Err(Malformed::invalid(TABLE, offset, "entry", because));
        }
        heads.push(head);
    }
}

/// A length on the wire; one that does not fit this machine is longer than any input.
fn length(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The printed form of a GUID whose bytes stand in that order.
fn printed(guid: &[u8; 16]) -> String {
    let text = hex::encode(guid);
    let mut out = String::with_capacity(36);
    for (index, digit) in text.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::What;
    use proptest::prelude::*;

    /// A table of these entries, data packed behind it.
    pub(crate) fn table(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut at = ENTRY * (entries.len() + 1);
        let (mut head, mut data) = (Vec::new(), Vec::new());
        for (guid, bytes) in entries {
            head.extend(hex::decode(guid.replace('-', "")).unwrap());
            head.extend(u32::try_from(at).unwrap().to_le_bytes());
            head.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            data.extend_from_slice(bytes);
            at += bytes.len();
        }
        head.extend([0; ENTRY]);
        head.extend(data);
        head
    }

    const VCEK: &str = "63da758d-e664-4564-adc5-f4b93be8accd";
    const OTHER: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn with(table: &[u8]) -> Vec<u8> {
        let mut bytes = vec![2; 1184];
        bytes.extend_from_slice(table);
        bytes
    }

    fn refusal(at: usize, because: &'static str) -> Result<Evidence, Malformed> {
        Err(Malformed::invalid(TABLE, at, "entry", because))
    }

    // spec: sev-snp.table.guid
    #[test]
    fn entries_are_named_and_unknown_ones_noted() {
        let mut bytes = with(&table(&[(VCEK, b"leaf"), (OTHER, b"what")]));
        bytes.extend([0; 7]);
        let evidence = Evidence::read(&bytes).unwrap();
        assert_eq!(evidence.form, super::super::Form::WithTable);
        assert_eq!(
            evidence.endorsements,
            [
                ("VCEK".to_owned(), b"leaf".to_vec()),
                (OTHER.to_owned(), b"what".to_vec())
            ]
        );
        assert_eq!(
            evidence.notes,
            [
                "table entry 00112233-4455-6677-8899-aabbccddeeff is not used",
                "7 bytes follow the certificate table, all zero"
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_table_are_counted() {
        for (rest, zero) in [(vec![0; 4096], "all zero"), (vec![9; 31], "not all zero")] {
            let evidence = Evidence::read(&with(&rest)).unwrap();
            assert_eq!(evidence.form, super::super::Form::Raw);
            let note = format!("{} bytes follow the report, {zero}", rest.len());
            assert_eq!(evidence.notes, [note]);
        }
    }

    #[test]
    fn data_outside_the_input_or_inside_the_table_is_refused() {
        let good = table(&[(VCEK, b"leaf"), (OTHER, b"what")]);
        let mut bytes = good.clone();
        bytes[16..20].copy_from_slice(&71_u32.to_le_bytes());
        let inside = refusal(1184, "its data lies in the table itself");
        assert_eq!(Evidence::read(&with(&bytes)), inside);
        let mut bytes = good.clone();
        bytes[44..48].copy_from_slice(&u32::MAX.to_le_bytes());
        let outside = refusal(1208, "its data ends after the input");
        assert_eq!(Evidence::read(&with(&bytes)), outside);
        let mut bytes = good.clone();
        bytes[40..44].copy_from_slice(&75_u32.to_le_bytes());
        let overlap = refusal(1208, "its data overlaps the data of another entry");
        assert_eq!(Evidence::read(&with(&bytes)), overlap);
        let mut bytes = good;
        bytes[20..24].fill(0);
        let empty = refusal(1184, "its data is empty");
        assert_eq!(Evidence::read(&with(&bytes)), empty);
    }

    #[test]
    fn a_table_without_its_terminator_is_refused() {
        let mut bytes = with(&table(&[(VCEK, b"leaf")]));
        bytes.truncate(1184 + 30);
        let what = What::TooShort {
            wanted: 16,
            found: 6,
        };
        let refused = Err(Malformed::new(TABLE, 1208, what));
        assert_eq!(Evidence::read(&bytes), refused);
    }

    #[test]
    fn a_table_of_too_many_entries_or_bytes_is_refused() {
        let many = table(&[(VCEK, &b"x"[..]); 33]);
        let because = "there are more than 32 entries before the terminator";
        assert_eq!(Evidence::read(&with(&many)), refusal(1184 + 768, because));
        let long = table(&[(VCEK, &vec![1; TABLE_BYTES_MAX])]);
        let what = What::TooLong {
            limit: TABLE_BYTES_MAX,
            found: long.len(),
        };
        let refused = Err(Malformed::new(TABLE, TABLE_BYTES_MAX, what));
        assert_eq!(Evidence::read(&with(&long)), refused);
    }

    proptest! {
        #[test]
        fn no_table_panics(
            entries in proptest::collection::vec((any::<[u8; 16]>(), 0_u32..300, 0_u32..300), 0..6),
            tail in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = Vec::new();
            for (guid, offset, length) in entries {
                bytes.extend(guid);
                bytes.extend(offset.to_le_bytes());
                bytes.extend(length.to_le_bytes());
            }
            bytes.extend(tail);
            if let Ok(table) = CertificateTable::parse(&bytes) {
                let held: usize = table.entries.iter().map(|entry| entry.data.len()).sum();
                prop_assert!(held <= bytes.len());
            }
            let _ = Evidence::read(&with(&bytes));
        }
    }
}
