//! A whole file with an SNP report for people: the report, the certificate table entry by entry,
//! the certificates, and what follows.
//!
//! Claims nothing: everything beside the report was added by the host or by somebody on the way.

use super::annotate;
use crate::{
    Malformed,
    annotate::Node,
    snp::{CertificateTable, Evidence, Form, Report, TableEntry},
    x509,
};

const SPEC: &str = "AMD 56421, extended guest request";
/// Bytes of unknown data that are printed; a tree is for people.
const PRINTED_MAX: usize = 256;
/// Length of one entry of the table, and of the zeros that end it.
const ENTRY: usize = 24;

/// The parts of a file in any form that [`Evidence::read`] knows.
///
/// In JSON and protobuf there is no place in the file where the report stands in its own
/// layout: there the offsets of the report, and of each certificate, count from its own start.
///
/// # Errors
/// As [`Evidence::read`] and [`Report::parse`].
pub fn evidence(bytes: &[u8]) -> Result<Node, Malformed> {
    let evidence = Evidence::read(bytes)?;
    let (name, children) = match evidence.form {
        Form::Json => ("SNP report in JSON", unwrapped(&evidence)?),
        Form::Protobuf => ("SNP report in protobuf", unwrapped(&evidence)?),
        Form::Raw => ("SNP report", in_place(bytes, false)?),
        Form::WithTable => ("SNP report with certificates", in_place(bytes, true)?),
    };
    Ok(Node::group(name, 0, bytes.len(), children)
        .meaning(evidence.notes.join("; "))
        .spec(SPEC))
}

fn unwrapped(evidence: &Evidence) -> Result<Vec<Node>, Malformed> {
    let mut out = vec![annotate(&evidence.report, 0)?];
    for (name, bytes) in &evidence.endorsements {
        out.push(content(name, bytes, 0));
    }
    Ok(out)
}

fn in_place(bytes: &[u8], with_table: bool) -> Result<Vec<Node>, Malformed> {
    let mut out = vec![annotate(bytes, 0)?];
    let rest = bytes.get(Report::LEN..).unwrap_or_default();
    let mut end = Report::LEN;
    if with_table {
        let table = CertificateTable::parse_at(rest, Report::LEN)?;
        out.push(entries(&table));
        end = end.saturating_add(table.length);
        let mut data: Vec<&TableEntry<'_>> = table.entries.iter().collect();
        data.sort_by_key(|entry| entry.data_at);
        for entry in data {
            out.extend(unused("between certificates", bytes, end, entry.data_at));
            out.push(content(entry.name(), entry.data, entry.data_at));
            end = entry.data_at.saturating_add(entry.data.len());
        }
    }
    out.extend(unused("trailing bytes", bytes, end, bytes.len()));
    Ok(out)
}

/// The entries with their GUIDs, and the zeros that end them.
fn entries(table: &CertificateTable<'_>) -> Node {
    let mut children: Vec<Node> = table.entries.iter().map(entry).collect();
    let end = Report::LEN.saturating_add(table.length.saturating_sub(ENTRY));
    let terminator = Node::field("terminator", end, ENTRY, "").meaning("zeros end the table");
    children.push(terminator);
    Node::group("certificate table", Report::LEN, table.length, children)
        .meaning("added by the host")
        .spec(SPEC)
}

fn entry(entry: &TableEntry<'_>) -> Node {
    let meaning = match crate::snp::guid_name(&entry.guid) {
        Some(name) => name.to_owned(),
        None => "no document known to this program says what it is".to_owned(),
    };
    let number = |name, at: usize, number: usize| {
        Node::field(name, entry.at.saturating_add(at), 4, number.to_string())
    };
    let offset = entry.data_at.saturating_sub(Report::LEN);
    let children = vec![
        Node::field("GUID", entry.at, 16, entry.guid.clone()).meaning(meaning),
        number("offset", 16, offset).meaning("in bytes from the start of the table"),
        number("length", 20, entry.data.len()).meaning("in bytes"),
    ];
    let name = format!("entry {}", entry.name());
    Node::group(name, entry.at, ENTRY, children).spec(SPEC)
}

/// A certificate or list field by field, or the bytes where it is neither.
fn content(name: &str, bytes: &[u8], at: usize) -> Node {
    match x509::annotate::annotate(bytes, at) {
        Ok(node) => Node {
            name: format!("{name}: {}", node.name),
            ..node
        },
        Err(_) => cut(name, bytes, at),
    }
}

fn unused(name: &str, bytes: &[u8], from: usize, to: usize) -> Option<Node> {
    let part = bytes.get(from..to).filter(|part| !part.is_empty())?;
    let meaning = match part.iter().all(|byte| *byte == 0) {
        true => "all zero",
        false => "not zero, and not read by this program",
    };
    Some(cut(name, part, from).meaning(meaning))
}

fn cut(name: &str, bytes: &[u8], at: usize) -> Node {
    let shown = bytes.get(..PRINTED_MAX).unwrap_or(bytes);
    let node = Node::field(name, at, bytes.len(), hex::encode(shown));
    if shown.len() < bytes.len() {
        return node.meaning(format!("the first {PRINTED_MAX} bytes"));
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report() -> Vec<u8> {
        let mut bytes = vec![0; Report::LEN];
        bytes[0] = 3;
        bytes[0x0a] = 3;
        bytes
    }

    /// A VCEK and something unknown, seven bytes apart, and a page's end of zeros.
    fn with_table() -> Vec<u8> {
        let mut bytes = report();
        for (guid, offset, length) in [
            ("63da758de6644564adc5f4b93be8accd", 83_u32, 4_u32),
            ("00112233445566778899aabbccddeeff", 72, 4),
        ] {
            bytes.extend(hex::decode(guid).unwrap());
            bytes.extend(offset.to_le_bytes());
            bytes.extend(length.to_le_bytes());
        }
        bytes.extend([0; 24]);
        bytes.extend(b"what--gap--leaf");
        bytes.extend([0; 9]);
        bytes
    }

    #[test]
    fn the_parts_of_a_file_leave_no_gap() {
        for bytes in [report(), [report(), vec![1; 300]].concat(), with_table()] {
            let node = evidence(&bytes).unwrap();
            let mut at = 0;
            for child in &node.children {
                assert_eq!(child.offset, at, "{}", child.name);
                at += child.length;
            }
            assert_eq!(at, bytes.len());
        }
    }

    #[test]
    fn a_table_is_shown_entry_by_entry() {
        let node = evidence(&with_table()).unwrap();
        let names: Vec<&str> = node
            .children
            .iter()
            .map(|part| part.name.as_str())
            .collect();
        let unknown = "00112233-4455-6677-8899-aabbccddeeff";
        let wanted = [
            "ATTESTATION_REPORT",
            "certificate table",
            unknown,
            "between certificates",
            "VCEK",
            "trailing bytes",
        ];
        assert_eq!(names, wanted);
        let entries = &node.children[1].children;
        assert_eq!(entries[0].name, "entry VCEK");
        assert_eq!(entries[0].children[1].value, "83");
        assert_eq!(entries[1].children[0].value, unknown);
        assert_eq!(entries[2].offset + entries[2].length, 1184 + 72);
        assert_eq!(
            node.meaning,
            format!(
                "table entry {unknown} is not used; 9 bytes follow the certificate table, all zero"
            )
        );
    }

    #[test]
    fn a_wrapped_report_is_shown_in_its_own_layout() {
        let text = format!(
            r#"{{"attestation_doc_b64":"{}","vcek":"AQI="}}"#,
            hex::encode(report())
        );
        let node = evidence(text.as_bytes()).unwrap();
        assert_eq!(
            (node.name.as_str(), node.length),
            ("SNP report in JSON", text.len())
        );
        assert_eq!(node.children[0].length, 1184);
        assert_eq!(node.children[1].value, "0102");
    }

    proptest! {
        #[test]
        fn no_file_panics(at in 0_usize..1400, byte: u8, length in 0_usize..1400) {
            let mut bytes = with_table();
            let last = bytes.len() - 1;
            bytes[at.min(last)] = byte;
            let _ = evidence(&bytes);
            bytes.truncate(length);
            let _ = evidence(&bytes);
        }
    }
}
