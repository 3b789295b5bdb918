//! Archives of reports, reports of witnesses, and sentences that are put into German.

use std::collections::BTreeMap;

use serde_json::json;
use zeuge_protocol::{
    keys::SigningKey,
    name::Name,
    report::{FileDigest, Record, SCHEMA, Statement, WitnessReport},
    report_bundle::{self, Member, ReportBundle, Signature, Verifier},
};
use zeuge_report::{Language, said};

use crate::{
    meter::{Bound, within},
    must,
};

/// Base64 decoded once per file, and the trees of JSON: half a million values at most.
const JSON: Bound = Bound::new(64, 1024 * 1024);
/// The longest sentence that is put into German, and what its words may grow by.
const SENTENCE: Bound = Bound::new(64, 64 * 1024);

/// An archive of a report: read again it is the same, and every file is that of its digest.
pub(crate) fn archive(bytes: &[u8]) {
    let _ = ReportBundle::is_one(bytes);
    match within(JSON, bytes.len(), || ReportBundle::parse(bytes)) {
        Ok(archive) => {
            let again = serde_json::to_vec(&archive).expect("an archive is JSON");
            assert_eq!(ReportBundle::parse(&again).as_ref(), Ok(&archive));
            assert!(ReportBundle::is_one(&again));
            for member in &archive.files {
                let content = member.bytes().expect("parsing looked at it");
                assert_eq!(FileDigest::of(&content), member.sha256);
            }
            let report = archive.report.as_ref().map(Member::bytes);
            if let (Some(signature), Some(Ok(report))) = (&archive.signature, report)
                && signature.holds(&report)
            {
                assert!(!signature.holds(&[report.as_slice(), b" "].concat()));
            }
        }
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// A report of a witness: opens under its own key alone.
pub(crate) fn witness(bytes: &[u8]) {
    match within(JSON, bytes.len(), || WitnessReport::parse(bytes)) {
        Ok(report) => {
            let again = serde_json::to_vec(&report).expect("a report is JSON");
            assert_eq!(WitnessReport::parse(&again).as_ref(), Ok(&report));
            match report.open(&report.key) {
                Ok(statement) => {
                    assert_eq!(statement.schema, SCHEMA);
                    for digest in statement.record.files() {
                        let content = report.file(digest).expect("opening looked at it");
                        assert_eq!(FileDigest::of(content), digest);
                    }
                }
                Err(error) => must::refuse_on_the_wire(&error),
            }
            let stranger = key(99).public();
            if stranger != report.key {
                report.open(&stranger).expect_err("another key");
            }
        }
        Err(error) => must::refuse_on_the_wire(&error),
    }
}

/// Anything that evidence makes a finding say: English stays as it is, German ends in bounded time
/// and loses nothing that it cannot put into German.
pub(crate) fn sentence(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    assert_eq!(said(text, Language::En), text);
    // The table itself is read once, and stays.
    let _ = said("nothing", Language::De);
    let german = within(SENTENCE, bytes.len(), || said(text, Language::De));
    assert_eq!(german.is_empty(), text.is_empty());
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).expect("32 bytes")
}

/// Seeds of this file's boundaries.
pub(crate) fn seeds(out: &mut BTreeMap<String, Vec<u8>>) {
    let verdict = json!({
        "schema": "zeuge.verdict.v1", "verdict": "warning", "at": "2026-03-01T00:00:00Z",
        "checks": [], "failed": [], "claims": {}, "roots": [], "threats": [], "adversaries": [],
        "not_proved": [],
    });
    let archive = ReportBundle {
        schema: report_bundle::SCHEMA.to_owned(),
        verifier: Verifier {
            program: "zeuge".to_owned(),
            sha256: Some(FileDigest([1; 32])),
        },
        at: "2026-03-01T00:00:00Z".to_owned(),
        arguments: vec!["report".to_owned(), "evidence.bin".to_owned()],
        knowledge: String::new(),
        files: vec![Member::new("evidence.bin", b"evidence")],
        verdict: verdict.clone(),
        report: Some(Member::new("report.txt", b"report")),
        signature: Some(Signature::sign(b"report", "anna", &key(5))),
        witness: None,
    };
    let json = serde_json::to_vec(&archive).expect("JSON");
    out.insert("report-bundle/signed".to_owned(), json);
    let statement = Statement {
        schema: SCHEMA.to_owned(),
        witness: Name::parse("w1").expect("a name"),
        tenant: Name::parse("acme").expect("a name"),
        machine: "web-1".to_owned(),
        made: 1_772_323_200,
        record: Record {
            program: "zeuged".to_owned(),
            at: 1_772_323_200,
            report_data: "00".repeat(64),
            evidence: FileDigest::of(b"evidence"),
            endorsements: vec![FileDigest::of(b"list")],
            documents: BTreeMap::from([("policy".to_owned(), FileDigest::of(b"policy"))]),
            knowledge: FileDigest::of(b"knowledge"),
            evaluation_number_seen: Some(20),
        },
        verdict: serde_json::from_value(verdict).expect("a verdict"),
        receipt: "c2sp.org/tlog-proof@v1\n".to_owned(),
        openings: Vec::new(),
    };
    let files = ["evidence", "list", "policy", "knowledge"].map(|file| file.as_bytes().to_vec());
    let report = WitnessReport::sign(&statement, files.to_vec(), &key(6)).expect("a statement");
    let json = serde_json::to_vec(&report).expect("JSON");
    out.insert("witness-report/signed".to_owned(), json);
    for (name, text) in [
        ("plain", "the quote answers another challenge"),
        (
            "nested",
            "certificate a to b, and not after c is refused: it is longer than needed (at byte 7)",
        ),
        ("lists", "0, 1, 2; and 3 to 4 (5), 6 and 7 or 8: 9"),
    ] {
        out.insert(format!("sentence/{name}"), text.as_bytes().to_vec());
    }
}
