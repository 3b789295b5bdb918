//! Reports out of other tools' JSON verify with the certificates that came with them: that a
//! signature holds proves that every byte was put together again. Needs `ZEUGE_VECTORS`.
#![expect(
    clippy::print_stdout,
    reason = "a test that is skipped says so, and what each bundle answers is worth reading"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use zeuge_evidence::{
    UnixTime,
    kind::{Kind, detect},
    snp::{Evidence, Report},
};
use zeuge_verify::{Anchors, Binding, Endorsements, crypto::AWS_LC, snp};

/// What each wrapped report must end as, by the end of its file's name; `None` is verified.
/// Cases 400 to 460 pin values by another tool's policy: the evidence in them is genuine.
const WANTED: [(&str, Option<&str>); 20] = [
    ("trustee__evidence.json", None),
    ("attestation-rs__live-evidence-genoa.json", None),
    ("tinfoil-conformance__real_genoa_bundle.json", None),
    ("200-real-sev-snp-happy", None),
    ("210-wrong-report-version", Some("snp.report.reserved")),
    ("211-truncated-report", Some("snp.report.length")),
    ("220-signature-byte-flipped", Some("snp.signature")),
    ("230-vcek-first-byte-flipped", Some("snp.vcek.available")),
    ("240-vcek-expired", Some("snp.vcek.validity")),
    ("400-measurement-pin-mismatch", None),
    ("410-host-data-pin-mismatch", None),
    ("420-report-data-pin-mismatch", None),
    ("430-id-key-digest-pin-mismatch", None),
    ("440-author-key-digest-pin-mismatch", None),
    ("450-tcb-bl-spl-below-min", None),
    ("460-measurement-pin-match", None),
    ("461-all-pins-match", None),
    // Chains to a root that the case made up.
    ("600-synth-debug-bit-set", Some("amd.ark.pinned")),
    (
        "601-synth-reserved-mbo-cleared",
        Some("snp.guest-policy.must-be-one"),
    ),
    ("602-synth-reserved-mbz-set", Some("amd.ark.pinned")),
];

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: ZEUGE_VECTORS is not set");
    }
    folder
}

/// Issuers and lists of the captures, without any leaf: each bundle brings its own.
fn issuers(folder: &Path) -> Endorsements {
    let mut heap = Endorsements::new();
    for class in ["amd-cert", "crl"] {
        for entry in fs::read_dir(folder.join("open").join(class)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.contains("vcek") && !name.contains("vlek-") {
                heap.add(&name, &fs::read(&path).unwrap());
            }
        }
    }
    heap
}

/// The instant of a case: what its file says, or the index.
fn instant(bytes: &[u8], index: &str) -> UnixTime {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let stated = value.get("expiration_check_date_unix");
    match stated.and_then(serde_json::Value::as_i64) {
        Some(seconds) => UnixTime(seconds),
        None => UnixTime::parse_rfc3339(index).unwrap_or(UnixTime(1_780_000_000)),
    }
}

fn outcome(bytes: &[u8], issuers: &Endorsements, at: UnixTime) -> Result<(), &'static str> {
    let evidence = Evidence::read(bytes).map_err(|refusal| refusal.check)?;
    let report = Report::parse(&evidence.report).map_err(|refusal| refusal.check)?;
    let mut heap = issuers.clone();
    for (name, bytes) in &evidence.endorsements {
        heap.add(&format!("evidence/{name}"), bytes);
    }
    let binding = Binding::Unbound {
        because: "a capture".to_owned(),
    };
    let verified = snp(&report, &heap, &Anchors::makers(), &binding, at, &AWS_LC);
    verified.map(|_| ()).map_err(|error| error.check())
}

#[test]
fn every_wrapped_report_ends_as_its_bytes_deserve() {
    let Some(folder) = folder() else { return };
    let issuers = issuers(&folder);
    let index = fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let (mut found, mut wrong) = (BTreeMap::new(), Vec::new());
    for row in index
        .lines()
        .skip(1)
        .map(|row| row.split('\t').collect::<Vec<_>>())
    {
        if !["evidence-bundle", "conformance-sev"].contains(&row[1]) {
            continue;
        }
        let name = row[0].rsplit('/').next().unwrap();
        let name = name.strip_suffix(".input.json").unwrap_or(name);
        let bytes = fs::read(folder.join(row[0])).unwrap();
        if detect(&bytes) != Kind::SnpJson || name.ends_with(".expected.json") {
            continue;
        }
        let told = outcome(&bytes, &issuers, instant(&bytes, row[4])).err();
        let known = WANTED.iter().find(|(end, _)| name.ends_with(end));
        let (end, wanted) = known.unwrap_or_else(|| panic!("{name} is not listed"));
        println!("{name}: {}", told.unwrap_or("verified"));
        if told != *wanted {
            wrong.push(format!("{name}: {told:?}, not {wanted:?}"));
        }
        found.insert(*end, ());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(found.len(), WANTED.len());
}
