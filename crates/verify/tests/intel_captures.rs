//! Real quotes of Intel machines, and what one or two independent verifiers said about them.
//!
//! Walks `INDEX.tsv` (classes `tdx-quote`, `sgx-quote`) and `INTEL-STATUS.tsv` of the folder
//! that `ZEUGE_VECTORS` names. What may differ stands with its reason in
//! `intel_exceptions.tsv`: a difference that is not listed fails, and so does a line that is not
//! needed.

#![expect(
    clippy::print_stdout,
    reason = "a test says what it counted and what it skipped"
)]

use std::{collections::BTreeMap, fs, path::PathBuf};

use zeuge_evidence::{UnixTime, dcap::Quote};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, QuoteFacts, Verified,
    crypto::AWS_LC,
    dcap::{self, EndorsementId, Revocation, TcbStatus},
};

/// The folder of captures; `None` (and a line that says so) where it is not named.
fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: ZEUGE_VECTORS is not set");
    }
    folder
}

fn rows(folder: &std::path::Path, file: &str) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let row = |line: &str| {
        let cells = names.iter().zip(line.split('\t'));
        cells
            .map(|(name, cell)| ((*name).to_owned(), cell.to_owned()))
            .collect()
    };
    lines.map(row).collect()
}

/// Every file that may endorse, as a folder given to the command line would be read.
fn heap(folder: &std::path::Path) -> Endorsements {
    let mut heap = Endorsements::new();
    for class in ["intel-cert", "intel-collateral", "crl"] {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder.join("open").join(class))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            heap.add(
                &path.file_name().unwrap().to_string_lossy(),
                &fs::read(&path).unwrap(),
            );
        }
    }
    heap
}

fn verify(bytes: &[u8], heap: &Endorsements, at: UnixTime) -> Result<Verified<QuoteFacts>, Error> {
    let because = "a capture".to_owned();
    let quote = Quote::parse(bytes)?;
    dcap::quote(
        &quote,
        heap,
        &Anchors::makers(),
        &Binding::Unbound { because },
        at,
        &AWS_LC,
    )
}

/// `status advisories` or `exit-code check`, in the words of the table.
fn outcome(result: &Result<Verified<QuoteFacts>, Error>) -> String {
    match result {
        Ok(verified) => {
            let standing = &verified.fact().standing;
            format!("{} {}", standing.status, standing.advisories.join(","))
        }
        Err(error @ Error::Malformed(_)) => format!("2 {}", error.check()),
        Err(error @ Error::Untrusted(_)) => format!("3 {}", error.check()),
        Err(error @ Error::Unavailable(_)) => format!("4 {}", error.check()),
    }
}

/// Differences that somebody looked at: place, what this program says, reason.
fn exceptions() -> BTreeMap<(String, String), (String, String)> {
    include_str!("intel_exceptions.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [path, at, ours, reason] = cells.as_slice() else {
                panic!("a line of four cells was expected: {line}");
            };
            let place = ((*path).to_owned(), (*at).to_owned());
            (place, ((*ours).to_owned(), (*reason).to_owned()))
        })
        .collect()
}

/// Whether an outcome is one that the row of the status table allows.
fn agrees(row: &BTreeMap<String, String>, ours: &str) -> bool {
    match row["status"].as_str() {
        "NoTcbInfo" => ours.starts_with("4 dcap.tcb-info."),
        "NoQeIdentity" => ours.starts_with("4 dcap.qe-identity."),
        "TcbNotSupported" => ours.starts_with("TcbNotSupported "),
        status if status.starts_with("NoPckChain") => ours == "4 dcap.pck.available",
        "Reject:quote signature" => ours == "3 dcap.quote.signature",
        "Reject:no certificate in the PCK chain" => ours == "2 dcap.certification-data",
        "Reject:PCK chain unparsable" => ours == "2 x509.certificate",
        status => ours == format!("{status} {}", row["advisories"]),
    }
}

#[test]
fn the_status_table_is_reproduced_row_by_row() {
    let Some(folder) = vectors() else { return };
    let heap = heap(&folder);
    let mut exceptions = exceptions();
    let mut wrong = Vec::new();
    let rows = rows(&folder, "INTEL-STATUS.tsv");
    for row in &rows {
        let at = UnixTime::parse_rfc3339(&row["at"]).unwrap_or(UnixTime(1_700_000_000));
        let bytes = fs::read(folder.join(&row["path"])).unwrap();
        let result = verify(&bytes, &heap, at);
        let ours = outcome(&result);
        let place = (row["path"].clone(), row["at"].clone());
        match exceptions.remove(&place) {
            Some((listed, _)) if listed == ours && !agrees(row, &ours) => {}
            Some((listed, reason)) => wrong.push(format!(
                "exception {place:?} {listed:?} ({reason}): now {ours}"
            )),
            None if agrees(row, &ours) => {}
            None => wrong.push(format!(
                "{} at {}: {ours}, the table says {} {} ({}); {}",
                row["path"],
                row["at"],
                row["status"],
                row["advisories"],
                row["agreed_by"],
                result
                    .err()
                    .map(|error| error.to_string())
                    .unwrap_or_default()
            )),
        }
    }
    wrong.extend(
        exceptions
            .into_keys()
            .map(|place| format!("an exception without a row: {place:?}")),
    );
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
    println!("{} rows reproduced", rows.len());
}

/// FMSPC, TEE, first and last instant of every TCB Info in a file, found in its text alone: quotes of
/// nested JSON are undone, and nothing of this program's readers is used.
fn told_in(text: &str) -> Vec<(String, String, UnixTime, UnixTime)> {
    let text = text.replace(['\\', ' '], "");
    let field = |from: &str, name: &str| {
        let (_, rest) = from.split_once(&format!("\"{name}\":\""))?;
        Some(rest.split('"').next()?.to_owned())
    };
    let instant = |from: &str, name: &str| UnixTime::parse_rfc3339(&field(from, name)?);
    let starts = text.match_indices("\"id\":\"").map(|(at, _)| at);
    let told = starts.filter_map(|at| {
        let rest = text.get(at..)?;
        let head: String = rest.chars().take(600).collect();
        Some((
            field(&head, "fmspc")?.to_lowercase(),
            field(&head, "id")?,
            instant(&head, "issueDate")?,
            instant(&head, "nextUpdate")?,
        ))
    });
    told.collect()
}

/// Rows that are excepted because the set holds no TCB Info in force: a search without our readers
/// finds none either in any class of captures, and finds those that other rows were judged by.
#[test]
fn where_a_tcb_info_is_missed_the_set_holds_none() {
    let Some(folder) = vectors() else { return };
    let mut told = Vec::new();
    for class in fs::read_dir(folder.join("open")).unwrap() {
        for entry in fs::read_dir(class.unwrap().path()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            if bytes.windows(6).any(|window| window == b"tcbLev") {
                told.extend(told_in(&String::from_utf8_lossy(&bytes)));
            }
        }
    }
    assert!(told.len() > 30, "{} documents were found", told.len());
    let holds = |fmspc: &str, at: UnixTime| {
        told.iter()
            .any(|(of, tee, from, to)| of == fmspc && tee == "TDX" && *from <= at && at <= *to)
    };
    let mut missed = 0;
    let exceptions = exceptions();
    for row in rows(&folder, "INTEL-STATUS.tsv") {
        let place = (row["path"].clone(), row["at"].clone());
        let excepted = exceptions.get(&place);
        let name = row["path"].rsplit('/').next().unwrap();
        let fmspc = name.split("__").next().unwrap().split('-').nth(1).unwrap();
        let Some(at) = UnixTime::parse_rfc3339(&row["at"]) else {
            continue;
        };
        if excepted.is_some_and(|(ours, _)| ours == "4 dcap.tcb-info.window") {
            assert!(!holds(fmspc, at), "{place:?}");
            missed += 1;
        } else if row["path"].contains("tdx-quote") && row["status"] == "UpToDate" {
            assert!(holds(fmspc, at), "the search is blind: {place:?}");
        }
    }
    println!("{missed} rows miss a TCB Info that the set does not hold");
}

#[test]
fn every_quote_of_the_index_ends_as_it_says() {
    let Some(folder) = vectors() else { return };
    let heap = heap(&folder);
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in rows(&folder, "INDEX.tsv") {
        if !matches!(row["class"].as_str(), "tdx-quote" | "sgx-quote") {
            continue;
        }
        let at = UnixTime::parse_rfc3339(&row["at"]).unwrap_or(UnixTime(1_700_000_000));
        let bytes = fs::read(folder.join(&row["path"])).unwrap();
        let result = verify(&bytes, &heap, at);
        let allowed = match (row["expected"].as_str(), row["basis"].as_str(), &result) {
            ("signed-ok", _, Ok(_)) => true,
            ("signed-ok", "leaf", Err(Error::Unavailable(_))) => true,
            ("reject", _, Err(Error::Malformed(_) | Error::Untrusted(_))) => true,
            // Nobody knew; the status table's exceptions say what was found out.
            ("unknown", _, Err(_)) => true,
            _ => false,
        };
        if let ("full", Ok(verified)) = (row["basis"].as_str(), &result) {
            let fact = verified.fact();
            for list in [&fact.root_revocation, &fact.pck_revocation] {
                let fresh = matches!(list, Revocation::Checked { next_update: Some(next), .. } if at <= *next);
                if !fresh {
                    wrong.push(format!("{}: no fresh list: {list:?}", row["path"]));
                }
            }
        }
        let word = outcome(&result);
        let word = word.split(' ').next().unwrap_or_default().to_owned();
        *counts
            .entry(format!("{} {} -> {word}", row["expected"], row["basis"]))
            .or_default() += 1;
        if !allowed {
            wrong.push(format!(
                "{} ({} {}): {}",
                row["path"],
                row["expected"],
                row["basis"],
                outcome(&result)
            ));
        }
    }
    for (what, count) in counts {
        println!("{count:4} {what}");
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_quote_says_what_its_verification_needs() {
    let Some(folder) = vectors() else { return };
    let bytes = fs::read(folder.join(TDX)).unwrap();
    let needs = dcap::needs(&Quote::parse(&bytes).unwrap());
    assert!(needs.contains(&EndorsementId::RootCrl));
    assert!(needs.contains(&EndorsementId::PckCrl { ca: "platform" }));
    let fmspc = [0xb0, 0xc0, 0x6f, 0, 0, 0];
    let tee = zeuge_evidence::dcap::Tee::Tdx;
    assert!(needs.contains(&EndorsementId::TcbInfo { tee, fmspc }));
    assert!(needs.contains(&EndorsementId::QeIdentity { tee }));
}

const TDX: &str = "open/tdx-quote/v4-b0c06f000000__dcap-qvl__tdx_quote.bin";
const TDX_AT: &str = "2026-03-11T03:08:59Z";

/// Flips one bit of every byte of a genuine quote: nothing may panic, and nothing that is signed
/// may be believed.
#[test]
fn a_flipped_bit_anywhere_in_a_genuine_quote_is_never_believed() {
    let Some(folder) = vectors() else { return };
    let all = heap(&folder);
    let at = UnixTime::parse_rfc3339(TDX_AT).unwrap();
    let genuine = fs::read(folder.join(TDX)).unwrap();
    let verified = verify(&genuine, &all, at).unwrap();
    assert_eq!(verified.fact().standing.status, TcbStatus::UpToDate);
    // What is not needed for this quote only makes the loop slow.
    let mut heap = all.clone();
    heap.documents.retain(|held| {
        [&verified.fact().tcb_info, &verified.fact().qe_identity]
            .iter()
            .any(|issue| issue.source == held.source)
    });
    let quote = Quote::parse(&genuine).unwrap();
    let signed = genuine.len() - quote.trailing.len();
    let chain = genuine
        .windows(11)
        .position(|window| window == b"-----BEGIN ")
        .unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    // The certificates' text is long, and each of its bytes is like its neighbours.
    let wanted = verified.fact();
    for index in (0..chain).chain((chain..signed).step_by(7)) {
        let mut flipped = genuine.clone();
        flipped[index] ^= 1;
        let result = verify(&flipped, &heap, at);
        let word = outcome(&result);
        *seen.entry(word.clone()).or_default() += 1;
        if index < chain {
            assert!(result.is_err(), "byte {index}: {word}");
        }
        if let Ok(verified) = result {
            // Line breaks, padding and unread copies of certificates are not signed; everything
            // that is said stays as it was.
            let found = verified.fact();
            assert_eq!(found.claims, wanted.claims, "byte {index}");
            assert_eq!(found.platform, wanted.platform, "byte {index}");
            assert_eq!(
                found.pck_fingerprint, wanted.pck_fingerprint,
                "byte {index}"
            );
        }
    }
    for (word, count) in &seen {
        println!("{count:5} {word}");
    }
    for check in [
        "2 dcap.quote.length",
        "2 dcap.quote.vendor",
        "3 dcap.qe.binding",
        "3 dcap.qe.report-signature",
        "3 dcap.quote.signature",
        "3 dcap.pck.signature",
    ] {
        assert!(
            seen.contains_key(check),
            "{check} was never the first to fail"
        );
    }
}

/// Two genuine quotes of two machines: `(bytes, offset of the QE report)`.
fn two_machines(folder: &std::path::Path) -> [Vec<u8>; 2] {
    let other = "open/tdx-quote/v4-b0c06f000000__flashtestations__run-1750814571-1.bin";
    [TDX, other].map(|path| fs::read(folder.join(path)).unwrap())
}

/// Offsets in a TDX quote of version 4.
const SIGNED: usize = 632;
const ATTESTATION_KEY: usize = 636 + 64;
const QE_REPORT: usize = ATTESTATION_KEY + 64 + 6;
const CERTIFICATION: usize = QE_REPORT + 384 + 64 + 2 + 32;

#[test]
fn parts_of_two_machines_do_not_make_a_quote() {
    let Some(folder) = vectors() else { return };
    let heap = heap(&folder);
    let at = UnixTime::parse_rfc3339(TDX_AT).unwrap();
    let [ours, theirs] = two_machines(&folder);
    let check = |bytes: &[u8]| verify(bytes, &heap, at).unwrap_err().check();
    // What one machine measured, signed by the other.
    let body = [&theirs[..SIGNED], &ours[SIGNED..]].concat();
    assert_eq!(check(&body), "dcap.quote.signature");
    // The QE report of the one, with all that hangs on it, beside the key of the other.
    let report = [&ours[..QE_REPORT], &theirs[QE_REPORT..]].concat();
    let mut lengths = report;
    lengths[SIGNED..636].copy_from_slice(&theirs[SIGNED..636]);
    lengths[QE_REPORT - 4..QE_REPORT].copy_from_slice(&theirs[QE_REPORT - 4..QE_REPORT]);
    assert_eq!(check(&lengths), "dcap.qe.binding");
    // The certificate of the other chip.
    let mut chip = [&ours[..CERTIFICATION], &theirs[CERTIFICATION..]].concat();
    chip[SIGNED..636].copy_from_slice(&theirs[SIGNED..636]);
    chip[QE_REPORT - 4..QE_REPORT].copy_from_slice(&theirs[QE_REPORT - 4..QE_REPORT]);
    assert_eq!(check(&chip), "dcap.qe.report-signature");
}

#[test]
fn a_quote_without_lists_verifies_and_says_so() {
    let Some(folder) = vectors() else { return };
    let mut heap = heap(&folder);
    let at = UnixTime::parse_rfc3339(TDX_AT).unwrap();
    let genuine = fs::read(folder.join(TDX)).unwrap();
    heap.revocation_lists.clear();
    let verified = verify(&genuine, &heap, at).unwrap();
    assert_eq!(verified.fact().root_revocation, Revocation::Missing);
    assert_eq!(verified.fact().pck_revocation, Revocation::Missing);
}

#[test]
fn without_collateral_each_kind_is_missed_by_name() {
    let Some(folder) = vectors() else { return };
    let all = heap(&folder);
    let at = UnixTime::parse_rfc3339(TDX_AT).unwrap();
    let genuine = fs::read(folder.join(TDX)).unwrap();
    let check = |heap: &Endorsements| verify(&genuine, heap, at).unwrap_err();
    assert_eq!(
        check(&Endorsements::new()).check(),
        "dcap.tcb-signer.available"
    );
    let mut without = all.clone();
    without.documents.clear();
    assert_eq!(check(&without).check(), "dcap.tcb-info.available");
    without.documents = all.documents.clone();
    let is = |held: &zeuge_verify::Endorsement, text: &str| {
        String::from_utf8_lossy(&held.bytes).contains(text)
    };
    without
        .documents
        .retain(|held| !is(held, "enclaveIdentity"));
    assert_eq!(check(&without).check(), "dcap.qe-identity.available");
    without.documents = all.documents.clone();
    without
        .documents
        .retain(|held| is(held, "\"SGX\"") || is(held, "enclaveIdentity"));
    assert!(matches!(check(&without), Error::Unavailable(_)));
}

#[test]
fn a_binding_is_compared_with_the_report_data_before_anything_is_missed() {
    let Some(folder) = vectors() else { return };
    let at = UnixTime::parse_rfc3339(TDX_AT).unwrap();
    let bytes = fs::read(folder.join(TDX)).unwrap();
    let quote = Quote::parse(&bytes).unwrap();
    let bound = |report_data: [u8; 64], heap: &Endorsements| {
        dcap::quote(
            &quote,
            heap,
            &Anchors::makers(),
            &Binding::ReportData(report_data),
            at,
            &AWS_LC,
        )
        .map(|verified| verified.trail().passed().contains(&"binding.report-data"))
        .map_err(|error| error.check())
    };
    assert_eq!(bound(*quote.report_data(), &heap(&folder)), Ok(true));
    let mut other = *quote.report_data();
    other[63] ^= 1;
    assert_eq!(
        bound(other, &Endorsements::new()),
        Err("binding.report-data")
    );
}
