//! Real reports, certificates and lists, as `zeuge inspect` shows them.
//!
//! Captures stay outside the repository: `ZEUGE_VECTORS` names their folder. What the parser
//! accepts must be shown whole, and AMD's own leaves without a field that does not decode.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::{fs, path::PathBuf};

use zeuge_evidence::{
    annotate::Node,
    der, snp,
    x509::{self, Certificate, RevocationList},
};

fn captures(classes: &[&str]) -> Vec<(String, Vec<u8>)> {
    let Some(root) = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return Vec::new();
    };
    let index = fs::read_to_string(root.join("INDEX.tsv")).unwrap();
    index
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|row| classes.contains(&row[1]))
        .map(|row| (row[0].to_owned(), fs::read(root.join(row[0])).unwrap()))
        .collect()
}

/// Parts stand in order, inside their group, and do not overlap.
fn lies_inside(node: &Node, path: &str) {
    let mut next = node.offset;
    for child in &node.children {
        assert!(child.offset >= next, "{path}: {} overlaps", child.name);
        // Several flags share a byte, and a number of several bits shares bytes with flags.
        if !child.name.starts_with("bit") {
            next = child.offset + child.length;
        }
        lies_inside(child, path);
    }
    assert!(next <= node.offset + node.length, "{path}: {}", node.name);
}

fn each<'n>(node: &'n Node, see: &mut impl FnMut(&'n Node)) {
    see(node);
    for child in &node.children {
        each(child, see);
    }
}

#[test]
fn every_real_report_is_shown_whole() {
    let mut shown = 0;
    for (path, bytes) in captures(&["snp-report"]) {
        match (
            snp::Report::parse(&bytes),
            snp::annotate::annotate(&bytes, 0),
        ) {
            (Ok(_), Ok(node)) => {
                lies_inside(&node, &path);
                let covered: usize = node.children.iter().map(|part| part.length).sum();
                assert_eq!(covered, snp::Report::LEN, "{path}");
                shown += 1;
            }
            (Err(wanted), Err(found)) => assert_eq!(found, wanted, "{path}"),
            (parsed, shown) => panic!("{path}: {parsed:?}, {shown:?}"),
        }
    }
    println!("{shown} reports shown");
}

#[test]
fn every_real_certificate_and_list_is_shown_and_amds_are_decoded() {
    let classes = [
        "amd-cert",
        "crl",
        "intel-cert",
        "secureboot",
        "tpm-ca",
        "tpm-ek-cert",
    ];
    let (mut certificates, mut lists, mut leaves) = (0, 0, 0);
    for (path, bytes) in captures(&classes) {
        let mut blocks = der::pem_blocks(&bytes, &["CERTIFICATE", "X509 CRL"], 64);
        if blocks.is_empty() {
            blocks.push(bytes);
        }
        for block in blocks {
            let (certificate, list) = (Certificate::parse(&block), RevocationList::parse(&block));
            if certificate.is_err() && list.is_err() {
                assert!(x509::annotate::annotate(&block, 0).is_err(), "{path}");
                continue;
            }
            let node = x509::annotate::annotate(&block, 0).unwrap();
            lies_inside(&node, &path);
            assert_eq!(node.length, block.len(), "{path}");
            certificates += usize::from(certificate.is_ok());
            lists += usize::from(list.is_ok());
            assert_eq!(node.name == "CertificateList", list.is_ok(), "{path}");
            let Ok(certificate) = certificate else {
                continue;
            };
            let name = certificate.subject.common_name().unwrap_or_default();
            if name.starts_with("SEV-V") && certificate.extensions.len() > 8 {
                leaves += 1;
                each(&node, &mut |part| {
                    assert!(
                        !part.meaning.contains("not in the form"),
                        "{path}: {part:?}"
                    );
                });
            }
        }
    }
    println!("{certificates} certificates ({leaves} leaves of AMD's) and {lists} lists shown");
}
