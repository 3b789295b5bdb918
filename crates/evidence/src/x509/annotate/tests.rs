//! Trees of certificates and lists that are written here, byte by byte.

use super::*;

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ ..=0x7f => out.push(length as u8),
        length @ ..=0xff => out.extend([0x81, length as u8]),
        length => {
            out.push(0x82);
            out.extend((length as u16).to_be_bytes());
        }
    }
    out.extend(content);
    out
}

fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    der(tag::SEQUENCE, &parts.concat())
}

fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut out = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        groups.reverse();
        out.extend(groups);
    }
    der(tag::OID, &out)
}

fn pss_algorithm(trailer: bool) -> Vec<u8> {
    let sha384 = seq(&[oid("2.16.840.1.101.3.4.2.2"), der(tag::NULL, &[])]);
    let mut parameters = vec![
        der(tag::context(0), &sha384),
        der(tag::context(1), &seq(&[oid(names::MGF1), sha384.clone()])),
        der(tag::context(2), &der(tag::INTEGER, &[48])),
    ];
    if trailer {
        parameters.push(der(tag::context(3), &der(tag::INTEGER, &[1])));
    }
    seq(&[oid(names::RSASSA_PSS), seq(&parameters)])
}

fn common_name(text: &str) -> Vec<u8> {
    let pair = seq(&[oid("2.5.4.3"), der(tag::UTF8_STRING, text.as_bytes())]);
    seq(&[der(tag::SET, &pair)])
}

fn extension(dotted: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(dotted)];
    if critical {
        parts.push(der(tag::BOOLEAN, &[0xff]));
    }
    parts.push(der(tag::OCTET_STRING, value));
    seq(&parts)
}

fn leaf(extensions: &[Vec<u8>]) -> Vec<u8> {
    let key = seq(&[
        seq(&[oid("1.2.840.10045.2.1"), oid("1.3.132.0.34")]),
        der(tag::BIT_STRING, &[&[0, 4][..], &[7; 96]].concat()),
    ]);
    let body = seq(&[
        der(tag::context(0), &der(tag::INTEGER, &[2])),
        der(tag::INTEGER, &[0]),
        pss_algorithm(false),
        common_name("SEV-Milan"),
        seq(&[
            der(tag::UTC_TIME, b"240101000000Z"),
            der(tag::UTC_TIME, b"310101000000Z"),
        ]),
        common_name("SEV-VCEK"),
        key,
        der(tag::context(3), &seq(extensions)),
    ]);
    let signature = der(tag::BIT_STRING, &[&[0][..], &[9; 512]].concat());
    seq(&[body, pss_algorithm(false), signature])
}

fn list(revoked: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![
        der(tag::INTEGER, &[1]),
        pss_algorithm(true),
        common_name("ARK-Genoa"),
        der(tag::UTC_TIME, b"240101000000Z"),
        der(tag::UTC_TIME, b"250101000000Z"),
    ];
    if !revoked.is_empty() {
        body.push(seq(revoked));
    }
    let number = extension("2.5.29.20", false, &der(tag::INTEGER, &[2]));
    body.push(der(tag::context(0), &seq(&[number])));
    let signature = der(tag::BIT_STRING, &[&[0][..], &[9; 512]].concat());
    seq(&[seq(&body), pss_algorithm(true), signature])
}

fn find<'n>(node: &'n Node, name: &str) -> &'n Node {
    fn search<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
        if node.name == name {
            return Some(node);
        }
        node.children.iter().find_map(|child| search(child, name))
    }
    search(node, name).unwrap_or_else(|| panic!("{name} in {node:#?}"))
}

fn lies_inside(node: &Node) {
    let mut next = node.offset;
    for child in &node.children {
        assert!(child.offset >= next, "{} before its neighbour", child.name);
        next = child.offset + child.length;
        lies_inside(child);
    }
    assert!(next <= node.offset + node.length, "{} ends late", node.name);
}

#[test]
fn a_leaf_of_amd_is_explained_field_by_field() {
    let number = |suffix: &str, value: &[u8]| {
        extension(
            &format!("1.3.6.1.4.1.3704.1.{suffix}"),
            false,
            &der(tag::INTEGER, value),
        )
    };
    let bytes = leaf(&[
        number("1", &[0]),
        extension(
            "1.3.6.1.4.1.3704.1.2",
            false,
            &der(tag::IA5_STRING, b"Milan-B0"),
        ),
        number("3.1", &[3]),
        number("3.8", &[0, 0xdb]),
        extension("1.3.6.1.4.1.3704.1.4", false, &[0xab; 64]),
        extension("1.2.3.4", true, &[1, 2]),
    ]);
    let node = annotate(&bytes, 500).unwrap();
    assert_eq!((node.name.as_str(), node.offset), ("Certificate", 500));
    assert_eq!(node.length, bytes.len());
    lies_inside(&node);
    for (name, value) in [
        ("version", "3"),
        ("serialNumber", "0"),
        ("notAfter", "2031-01-01T00:00:00Z"),
        ("commonName", "SEV-Milan"),
        ("saltLength", "48"),
        ("maskGenAlgorithm", "MGF1 with SHA-384"),
        ("structVersion (1.3.6.1.4.1.3704.1.1)", "0"),
        ("productName (1.3.6.1.4.1.3704.1.2)", "Milan-B0"),
        ("blSPL (1.3.6.1.4.1.3704.1.3.1)", "3"),
        ("ucodeSPL (1.3.6.1.4.1.3704.1.3.8)", "219"),
        ("hwID (1.3.6.1.4.1.3704.1.4)", &"ab".repeat(64)),
        ("1.2.3.4", "0102"),
    ] {
        assert_eq!(find(&node, name).value, value, "{name}");
    }
    assert_eq!(find(&node, "trailerField").meaning, "absent: the default");
    assert_eq!(find(&node, "1.2.3.4").meaning, "critical; raw bytes");
}

#[test]
fn a_badly_encoded_extension_of_amd_is_shown_raw_and_said_to_be_so() {
    for (suffix, value) in [
        ("3.1", der(tag::INTEGER, &[1, 0])),
        ("3.1", vec![3]),
        ("2", der(tag::UTF8_STRING, b"Milan")),
        ("4", vec![1; 63]),
    ] {
        let bytes = leaf(&[extension(
            &format!("1.3.6.1.4.1.3704.1.{suffix}"),
            false,
            &value,
        )]);
        let node = annotate(&bytes, 0).unwrap();
        let shown = &find(&node, "extensions").children[0];
        assert_eq!(shown.value, hex::encode(&value));
        assert!(shown.meaning.contains("not in the form"), "{suffix}");
    }
}

#[test]
fn a_list_is_told_from_a_certificate_and_shows_its_entries() {
    let entry = seq(&[
        der(tag::INTEGER, &[2, 0, 1]),
        der(tag::UTC_TIME, b"221031000000Z"),
        seq(&[extension("2.5.29.21", false, &[0x0a, 1, 4])]),
    ]);
    let bytes = list(&[entry]);
    let node = annotate(&bytes, 0).unwrap();
    lies_inside(&node);
    assert_eq!(node.name, "CertificateList");
    for (name, value) in [
        ("userCertificate", "0x020001"),
        ("revocationDate", "2022-10-31T00:00:00Z"),
        ("reasonCode (2.5.29.21)", "superseded"),
        ("nextUpdate", "2025-01-01T00:00:00Z"),
        ("cRLNumber (2.5.29.20)", "2"),
        ("trailerField", "1"),
    ] {
        assert_eq!(find(&node, name).value, value, "{name}");
    }
    assert_eq!(annotate(&list(&[]), 0).unwrap().name, "CertificateList");
}

#[test]
fn a_long_list_is_cut_where_the_limit_says() {
    let entry = seq(&[
        der(tag::INTEGER, &[1]),
        der(tag::UTC_TIME, b"221031000000Z"),
    ]);
    let bytes = list(&vec![entry; ENTRIES_SHOWN_MAX + 1]);
    let node = annotate(&bytes, 0).unwrap();
    let shown = find(&node, "revokedCertificates");
    assert_eq!(shown.children.len(), ENTRIES_SHOWN_MAX);
    assert_eq!(
        shown.meaning,
        "1001 entries, of which the first 1000 are shown"
    );
}

#[test]
fn every_truncation_is_refused_with_the_parsers_own_words() {
    let bytes = leaf(&[]);
    for length in 0..bytes.len() {
        let refusal = Certificate::parse(&bytes[..length]).unwrap_err();
        let wanted = moved(refusal, 7);
        assert_eq!(certificate(&bytes[..length], 7), Err(wanted));
    }
}

proptest::proptest! {
    #[test]
    fn no_change_to_a_certificate_or_list_makes_the_tree_panic(
        at in 0_usize..1200,
        value in proptest::num::u8::ANY,
    ) {
        for mut bytes in [leaf(&[extension("2.5.29.19", true, &[0x30, 0])]), list(&[])] {
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(node) = annotate(&bytes, 0) {
                lies_inside(&node);
            }
        }
    }
}
