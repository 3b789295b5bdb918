//! Reports of real machines, against the makers' own roots. Needs `ZEUGE_VECTORS`; the captures
//! stay outside the repository.
#![expect(
    clippy::print_stdout,
    reason = "a test that is skipped says so, and what real machines answer is worth reading"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use zeuge_evidence::{
    UnixTime,
    snp::{Product, Report},
};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error, SnpFacts, Verified,
    amd::Revocation,
    crypto::AWS_LC,
    snp,
    snp::{ProductSource, Signer},
};

/// One line of the index.
struct Capture {
    path: PathBuf,
    expected: String,
    at: Option<UnixTime>,
    basis: String,
}

fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: ZEUGE_VECTORS is not set");
    }
    folder
}

fn captures(folder: &Path, class: &str) -> Vec<Capture> {
    let index = fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let lines = index
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    lines
        .filter(|fields| fields[1] == class)
        .map(|fields| Capture {
            path: folder.join(fields[0]),
            expected: fields[3].to_owned(),
            at: UnixTime::parse_rfc3339(fields[4]),
            basis: fields[5].to_owned(),
        })
        .collect()
}

fn heap(folder: &Path) -> Endorsements {
    let mut heap = Endorsements::new();
    for class in ["amd-cert", "crl"] {
        let mut files: Vec<PathBuf> = fs::read_dir(folder.join("open").join(class))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            heap.add(&name, &fs::read(&file).unwrap());
        }
    }
    heap
}

fn verify(bytes: &[u8], heap: &Endorsements, at: UnixTime) -> Result<Verified<SnpFacts>, Error> {
    let report = Report::parse(bytes)?;
    let binding = Binding::Unbound {
        because: "a capture".to_owned(),
    };
    snp(&report, heap, &Anchors::makers(), &binding, at, &AWS_LC)
}

fn named(folder: &Path, name: &str) -> (Vec<u8>, UnixTime) {
    let capture = captures(folder, "snp-report")
        .into_iter()
        .find(|capture| capture.path.ends_with(name))
        .unwrap();
    (fs::read(&capture.path).unwrap(), capture.at.unwrap())
}

/// A heap of those files only whose name begins so.
fn only(folder: &Path, beginnings: &[&str]) -> Endorsements {
    let mut all = heap(folder);
    let wanted = |source: &str| beginnings.iter().any(|start| source.starts_with(start));
    all.certificates.retain(|held| wanted(&held.source));
    all.revocation_lists.retain(|held| wanted(&held.source));
    all
}

fn check_of(outcome: Result<Verified<SnpFacts>, Error>) -> &'static str {
    outcome.unwrap_err().check()
}

const MILAN: &str = "v2-milan-vcek__go-sev-guest__attestation.bin";
const MILAN_V3: &str = "v3-milan-vcek__oak__cb_evidence-emb1.bin";
const TURIN: &str = "v5-turin-vcek__trustee__turin-report.bin";
const VLEK: &str = "v3-milan-vlek__trustee__test-vlek-report.bin";

#[test]
fn every_signed_capture_verifies_and_every_altered_one_fails() {
    let Some(folder) = vectors() else { return };
    let heap = heap(&folder);
    let (mut good, mut bad) = (0, 0);
    for capture in captures(&folder, "snp-report") {
        let name = capture
            .path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&capture.path).unwrap();
        let at = capture.at.unwrap_or(UnixTime(1_700_000_000));
        let outcome = verify(&bytes, &heap, at);
        match capture.expected.as_str() {
            "signed-ok" => {
                let verified =
                    outcome.unwrap_or_else(|error| panic!("{name}: {}: {error}", error.check()));
                let facts = verified.fact();
                let checked = matches!(facts.revocation, Revocation::Checked { .. });
                assert!(
                    name.contains(&format!("{:?}", facts.product).to_lowercase()),
                    "{name}"
                );
                assert_eq!(
                    name.contains("vlek"),
                    matches!(facts.signer, Signer::Vlek { .. }),
                    "{name}"
                );
                assert_eq!(
                    name.starts_with("v2"),
                    facts.product_from == ProductSource::Certificate
                );
                // spec: sev-snp.leaf.product-name
                assert!(facts.product_name_agrees, "{name}: {}", facts.product_name);
                if capture.basis == "crl" {
                    assert!(checked, "{name}");
                }
                if facts.product != Product::Milan {
                    assert!(!checked, "{name}");
                }
                good += 1;
            }
            "reject" => {
                let error = outcome.unwrap_err();
                println!("{name}: {}: {error}", error.check());
                assert_eq!(error.check(), "snp.signature", "{name}: {error}");
                bad += 1;
            }
            _ => println!(
                "{name}: {:?}",
                outcome.map(|_| ()).map_err(|e| (e.check(), e.to_string()))
            ),
        }
    }
    assert_eq!((good, bad), (18, 1));
}

#[test]
fn reports_inside_bundles_and_cases_verify_or_fail_by_name() {
    let Some(folder) = vectors() else { return };
    let heap = heap(&folder);
    let mut found = 0;
    for class in ["evidence-bundle", "conformance-sev", "azure-hcl"] {
        for capture in captures(&folder, class) {
            let bytes = fs::read(&capture.path).unwrap();
            for report in embedded(&bytes) {
                let name = capture
                    .path
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                let at = capture.at.unwrap_or(UnixTime(1_780_000_000));
                let outcome = verify(&report, &heap, at);
                let told = outcome
                    .map(|verified| verified.fact().product)
                    .map_err(|error| error.check());
                println!("{class} {name}: {told:?}");
                found += 1;
            }
        }
    }
    assert!(found > 5, "{found}");
}

/// Raw, hex and base64 reports in a file, found by their version and length.
fn embedded(bytes: &[u8]) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let engines = [
        base64::engine::general_purpose::STANDARD,
        base64::engine::general_purpose::URL_SAFE_NO_PAD,
    ];
    let mut blobs = vec![bytes.to_vec()];
    let is_text = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte);
    for word in bytes
        .split(|byte| !is_text(byte))
        .filter(|word| word.len() > 1500)
    {
        blobs.extend(engines.iter().filter_map(|engine| engine.decode(word).ok()));
    }
    let mut out = Vec::new();
    for blob in blobs {
        let mut at = 0;
        while at + 1184 <= blob.len() {
            let part = &blob[at..at + 1184];
            // Version, then VMPL and algorithm where they belong.
            if part[1..4] == [0; 3] && (2..6).contains(&part[0]) && part[0x34..0x38] == [1, 0, 0, 0]
            {
                out.push(part.to_vec());
                at += 1184;
            } else {
                at += 1;
            }
        }
    }
    out
}

#[test]
fn no_flipped_bit_of_a_real_report_passes() {
    let Some(folder) = vectors() else { return };
    for name in [MILAN, TURIN, VLEK] {
        let heap = heap(&folder);
        let (bytes, at) = named(&folder, name);
        assert!(verify(&bytes, &heap, at).is_ok());
        for byte in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 1 << (byte % 8);
            assert!(verify(&flipped, &heap, at).is_err(), "{name}: byte {byte}");
        }
    }
}

#[test]
fn bytes_that_a_parser_ignores_are_signed_all_the_same() {
    // Other verifiers check a re-encoding, in which reserved bytes are zero again. Whichever door
    // refuses it here, it is refused.
    let Some(folder) = vectors() else { return };
    let (mut bytes, at) = named(&folder, MILAN);
    bytes[0x18b] = 1;
    let check = check_of(verify(&bytes, &heap(&folder), at));
    assert!(
        ["snp.report.reserved", "snp.signature"].contains(&check),
        "{check}"
    );
}

#[test]
fn a_report_of_an_unknown_version_is_not_read_as_the_newest() {
    let Some(folder) = vectors() else { return };
    let (mut bytes, at) = named(&folder, TURIN);
    bytes[0] = 6;
    assert_eq!(
        check_of(verify(&bytes, &heap(&folder), at)),
        "snp.report.version"
    );
}

#[test]
fn the_vcek_of_a_neighbour_is_not_the_chips_own() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN);
    let neighbour = only(&folder, &["vcek-milan__cmc__x509_test-1.der"]);
    assert_eq!(check_of(verify(&bytes, &neighbour, at)), "snp.vcek.chip-id");
}

#[test]
fn a_leaf_of_another_product_is_refused_by_its_issuer() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, TURIN);
    let genoa = only(
        &folder,
        &["vcek-genoa__attestation-rs__live-vcek-genoa.der"],
    );
    assert_eq!(check_of(verify(&bytes, &genoa, at)), "snp.vcek.issuer");
}

#[test]
fn a_vlek_is_not_taken_for_a_vcek_nor_a_vcek_for_a_vlek() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN_V3);
    let vleks = only(&folder, &["vlek-"]);
    assert_eq!(check_of(verify(&bytes, &vleks, at)), "snp.vcek.kind");
    let (bytes, at) = named(&folder, VLEK);
    let vceks = only(&folder, &["vcek-"]);
    assert_eq!(check_of(verify(&bytes, &vceks, at)), "snp.vcek.kind");
}

#[test]
fn signing_key_decides_which_kind_of_leaf_counts() {
    // SIGNING_KEY of a VCEK report set to VLEK, with leaves of both kinds at hand.
    let Some(folder) = vectors() else { return };
    let (mut bytes, at) = named(&folder, MILAN_V3);
    bytes[0x48] |= 1 << 2;
    assert!(verify(&bytes, &heap(&folder), at).is_err());
    let own = only(&folder, &["vcek-"]);
    assert_eq!(check_of(verify(&bytes, &own, at)), "snp.vcek.kind");
}

#[test]
fn without_any_leaf_the_leaf_is_unavailable() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN);
    let none = only(&folder, &["go-sev-guest__milan.pem"]);
    let error = verify(&bytes, &none, at).unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)));
    assert_eq!(error.check(), "snp.vcek.available");
}

#[test]
fn a_leaf_counts_only_inside_its_window() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN);
    let own = only(&folder, &["vcek-milan__go-sev-guest__vcek.der"]);
    assert!(verify(&bytes, &own, at).is_ok());
    for years in [-2, 8] {
        let other = at.plus(years * 365 * 86_400);
        assert_eq!(check_of(verify(&bytes, &own, other)), "snp.vcek.validity");
    }
}

#[test]
fn a_damaged_leaf_decides_only_when_no_good_one_is_left() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN);
    let mut own = only(&folder, &["vcek-milan__go-sev-guest__vcek.der"]);
    let mut damaged = own.certificates[0].clone();
    *damaged.bytes.last_mut().unwrap() ^= 1;
    damaged.source = "damaged.der".to_owned();
    own.certificates.insert(0, damaged.clone());
    let verified = verify(&bytes, &own, at).unwrap();
    assert!(
        verified
            .fact()
            .notes
            .iter()
            .any(|note| note.starts_with("damaged.der: snp.vcek.signature"))
    );
    own.certificates = vec![damaged];
    assert_eq!(check_of(verify(&bytes, &own, at)), "snp.vcek.signature");
}

#[test]
fn a_missing_list_is_a_fact_and_a_damaged_one_decides_only_alone() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN);
    let mut heap = heap(&folder);
    let checked =
        |heap: &Endorsements| verify(&bytes, heap, at).map(|v| v.fact().revocation.clone());
    assert!(matches!(checked(&heap), Ok(Revocation::Checked { .. })));
    let milan = |held: &zeuge_verify::Endorsement| held.source.contains("milan");
    let mut damaged = heap
        .revocation_lists
        .iter()
        .find(|held| milan(held))
        .unwrap()
        .clone();
    *damaged.bytes.last_mut().unwrap() ^= 1;
    heap.revocation_lists.insert(0, damaged.clone());
    assert!(matches!(checked(&heap), Ok(Revocation::Checked { .. })));
    heap.revocation_lists = vec![damaged];
    assert_eq!(checked(&heap).unwrap_err().check(), "amd.crl.signature");
    heap.revocation_lists.clear();
    assert_eq!(checked(&heap), Ok(Revocation::Missing));
}

#[test]
fn a_list_of_the_future_is_not_used() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN);
    let before = UnixTime::parse_rfc3339("2022-10-01T00:00:00Z").unwrap();
    let heap = heap(&folder);
    let facts = |at| verify(&bytes, &heap, at).unwrap().fact().clone();
    let Revocation::Checked { this_update, .. } = facts(at).revocation else {
        panic!("the list was not used");
    };
    if this_update > before {
        assert_eq!(facts(before).revocation, Revocation::Missing);
    }
}

#[test]
fn a_binding_is_checked_over_all_64_bytes() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, TURIN);
    let report = Report::parse(&bytes).unwrap();
    let heap = heap(&folder);
    let bound = |wanted| {
        let binding = Binding::ReportData(wanted);
        snp(&report, &heap, &Anchors::makers(), &binding, at, &AWS_LC)
    };
    let mut wanted = report.claims.report_data;
    let verified = bound(wanted).unwrap();
    assert_eq!(
        verified.trail().passed().last(),
        Some(&"binding.report-data")
    );
    wanted[63] ^= 1;
    assert_eq!(check_of(bound(wanted)), "binding.report-data");
}

#[test]
fn the_trail_of_a_real_report_names_every_check_that_ran() {
    let Some(folder) = vectors() else { return };
    let (bytes, at) = named(&folder, MILAN);
    let verified = verify(&bytes, &heap(&folder), at).unwrap();
    let mut passed = verified.trail().passed().to_vec();
    passed.sort_unstable();
    let vlek = ["snp.vlek.csp-id", "snp.vlek.hwid"];
    let mut wanted: Vec<&str> = zeuge_verify::CHECKS
        .iter()
        .flat_map(|ids| ids.iter().copied())
        .filter(|id| id.starts_with("snp.") || id.starts_with("amd."))
        .filter(|id| !vlek.contains(id))
        .collect();
    wanted.sort_unstable();
    assert_eq!(passed, wanted);
}
