//! Wrapped SNP reports from real tools: each gives 1184 bytes that the report's reader accepts,
//! or stands in the list below with the byte that it stumbles over.

#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::path::{Path, PathBuf};

use zeuge_evidence::snp::{Evidence, Report};

/// Files that are refused, on purpose: file name's end, check, offset.
const REFUSED: [(&str, &str, usize); 3] = [
    // Byte 0 was set from 3 to 2 on purpose; the processor's family then stands in a range that
    // version 2 reserves.
    (
        "210-wrong-report-version.input.json",
        "snp.report.reserved",
        0x188,
    ),
    // Unpacks to 1183 bytes: cut on purpose.
    ("211-truncated-report.input.json", "snp.report.length", 0),
    // The policy's bit 17 was cleared on purpose.
    (
        "601-synth-reserved-mbo-cleared.input.json",
        "snp.guest-policy.must-be-one",
        0x008,
    ),
];

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ZEUGE_VECTORS");
    if folder.is_none() {
        println!("skipped: ZEUGE_VECTORS is not set");
    }
    folder.map(PathBuf::from)
}

/// Paths of the captures of these classes.
fn captures(folder: &Path, classes: &[&str]) -> Vec<PathBuf> {
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let rows = index.lines().skip(1).filter_map(|row| {
        let (path, rest) = row.split_once('\t')?;
        let class = rest.split('\t').next()?;
        classes.contains(&class).then(|| folder.join(path))
    });
    rows.collect()
}

/// Whether a wrapped file is about SNP: not an Azure bundle, another machine's quote, a report
/// by somebody else or a file of certificates alone.
fn is_snp(name: &str, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let marks = [
        "\"attestation_report\"",
        "\"attestation_doc_b64\"",
        "sev-snp-guest",
    ];
    name.ends_with(".json")
        && !name.ends_with(".expected.json")
        && marks.iter().any(|mark| text.contains(mark))
}

#[test]
fn every_wrapped_report_is_found_and_read() {
    let Some(folder) = folder() else { return };
    let (mut read, mut refused) = (0, 0);
    for path in captures(&folder, &["evidence-bundle", "conformance-sev"]) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        if !is_snp(&name, &bytes) {
            continue;
        }
        let found = Evidence::read(&bytes)
            .and_then(|evidence| Report::parse(&evidence.report).map(|_| evidence.clone()));
        let exception = REFUSED.iter().find(|known| name.ends_with(known.0));
        match (found, exception) {
            (Ok(evidence), None) => {
                read += 1;
                println!("{name}: {:?} {:?}", evidence.form, evidence.notes);
                let leaf = ["VCEK", "VLEK"];
                let leaves = evidence.endorsements.iter();
                assert!(
                    leaves
                        .filter(|(name, _)| leaf.contains(&name.as_str()))
                        .count()
                        == 1,
                    "{name} brings no leaf"
                );
            }
            (Err(error), Some((_, check, offset))) => {
                refused += 1;
                assert_eq!((error.check, error.offset), (*check, *offset), "{name}");
            }
            (found, _) => panic!("{name}: {:?}", found.map(|evidence| evidence.notes)),
        }
    }
    println!("{read} read, {refused} refused on purpose");
    assert_eq!(refused, REFUSED.len());
    assert!(read >= 15);
}

#[test]
fn every_bare_report_is_raw_and_ends_where_it_should() {
    let Some(folder) = folder() else { return };
    for path in captures(&folder, &["snp-report"]) {
        let bytes = std::fs::read(&path).unwrap();
        let evidence = Evidence::read(&bytes).unwrap();
        assert_eq!(evidence.report, bytes);
        assert!(evidence.notes.is_empty());
    }
}

#[test]
fn every_wrapped_report_is_shown_with_its_certificates() {
    let Some(folder) = folder() else { return };
    let mut shown = 0;
    for path in captures(
        &folder,
        &["evidence-bundle", "conformance-sev", "snp-report"],
    ) {
        let bytes = std::fs::read(&path).unwrap();
        let Ok(evidence) = Evidence::read(&bytes) else {
            continue;
        };
        if Report::parse(&evidence.report).is_ok() {
            let node = zeuge_evidence::snp::annotate::evidence(&bytes).unwrap();
            let wanted = 1 + evidence.endorsements.len();
            assert_eq!(node.children.len(), wanted, "{}", path.display());
            shown += 1;
        }
    }
    println!("{shown} files shown");
    assert!(shown >= 35, "{shown}");
}
