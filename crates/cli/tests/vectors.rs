//! One driver over every capture that has a verdict: through the rooms as a library and through
//! the program, against what `INDEX.tsv`, `INTEL-STATUS.tsv` and the conformance cases expect.
//!
//! `exceptions.tsv` lists the differences with their reasons: strict in both directions, and at
//! most one in twenty of a class. Needs `ZEUGE_VECTORS`; captures stay outside the repository.
#![expect(
    clippy::print_stdout,
    reason = "a test that is skipped says so, and the counts are worth reading"
)]

mod walk;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use walk::{Call, Said, case, code, heap, library, program, vectors, zeuge};
use zeuge_evidence::kind::{self, Kind};

type Row = BTreeMap<String, String>;

fn rows(folder: &Path, file: &str) -> Vec<Row> {
    let text = fs::read_to_string(folder.join(file)).expect("a table");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a head").split('\t').collect();
    let owned = |(name, cell): (&&str, &str)| ((*name).to_owned(), cell.to_owned());
    lines
        .map(|line| names.iter().zip(line.split('\t')).map(owned).collect())
        .collect()
}

/// The differences that somebody looked at, and what was found without one.
struct Exceptions {
    listed: BTreeMap<String, String>,
    used: BTreeMap<String, usize>,
    seen: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Exceptions {
    /// Those whose place begins with one of these.
    fn of(classes: &[&str]) -> Self {
        let mut listed = BTreeMap::new();
        for line in include_str!("exceptions.tsv").lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            if line.starts_with('#') {
                continue;
            }
            let [place, said, because] = cells.as_slice() else {
                panic!("three cells are wanted: {line}");
            };
            assert!(because.len() > 30, "a reason is wanted: {line}");
            if classes
                .iter()
                .any(|class| place.contains(&format!("/{class}/")))
            {
                let twice = listed.insert((*place).to_owned(), (*said).to_owned());
                assert_eq!(twice, None, "{place} stands twice");
            }
        }
        Self {
            listed,
            used: BTreeMap::new(),
            seen: BTreeMap::new(),
            wrong: Vec::new(),
        }
    }

    /// Judges one place: what was said, and whether that is as expected.
    fn look(&mut self, class: &str, place: &str, said: &str, fits: Result<(), String>) {
        *self.seen.entry(class.to_owned()).or_default() += 1;
        match (self.listed.remove(place), fits) {
            (None, Ok(())) => {}
            (None, Err(wanted)) => self.wrong.push(format!("{place}\t{said}\t{wanted}")),
            (Some(listed), Err(_)) if listed == said => {
                *self.used.entry(class.to_owned()).or_default() += 1;
            }
            (Some(listed), fits) => self.wrong.push(format!(
                "{place}: the exception says {listed:?}, found {said:?} ({fits:?})"
            )),
        }
    }

    fn end(mut self) {
        for place in self.listed.keys() {
            self.wrong
                .push(format!("{place}: the exception is not used"));
        }
        for (class, seen) in &self.seen {
            let used = self.used.get(class).copied().unwrap_or(0);
            println!("{class}: {seen} looked at, {used} exceptions");
            if !class.starts_with("conformance") && used * 20 > *seen {
                self.wrong
                    .push(format!("{class}: {used} of {seen} are exceptions"));
            }
        }
        assert!(self.wrong.is_empty(), "\n{}", self.wrong.join("\n"));
    }
}

fn folders(vectors: &Path, names: &[&str]) -> Vec<PathBuf> {
    names
        .iter()
        .map(|name| vectors.join("open").join(name))
        .collect()
}

/// Whether an answer is one that the row of the index allows.
fn fits(row: &Row, said: &Said) -> Result<(), String> {
    let quote = row["class"].ends_with("-quote");
    let (expected, basis) = (row["expected"].as_str(), row["basis"].as_str());
    let good = match expected {
        "signed-ok" => match said.code {
            0 | 5 | 10 => true,
            4 => quote && basis == "leaf",
            _ => false,
        },
        "reject" => matches!(said.code, 2 | 3),
        // Nobody knew what these are; what is said is at least said twice.
        _ => matches!(said.code, 0 | 2..=5 | 10),
    };
    // The basis says which documents are in force: neither more nor less may be found.
    let stale = |id: &str| said.failed.iter().any(|failed| failed == id);
    let documents = match (expected, basis, quote) {
        ("signed-ok", "leaf", false) if row["class"] != "nitro" => stale("amd.crl.fresh"),
        ("signed-ok", "crl", false) => !stale("amd.crl.fresh"),
        ("signed-ok", "full", true) => !stale("dcap.crl.fresh") && said.code != 4,
        _ => true,
    };
    if good && documents {
        Ok(())
    } else {
        Err(format!("{expected} with {basis}"))
    }
}

/// Whether an answer shows the status and advisories of the row.
fn shows(status: &Row, said: &Said) -> Result<(), String> {
    let claims = ["tdx", "sgx"].map(|kind| &said.claims[kind]);
    let claims = claims.into_iter().find(|claims| !claims.is_null());
    let shown = claims.map_or_else(String::new, |claims| {
        let ids = claims["advisories"].as_array().cloned().unwrap_or_default();
        let ids: Vec<_> = ids.iter().filter_map(serde_json::Value::as_str).collect();
        let status = claims["tcb_status"].as_str().unwrap_or_default();
        format!("{status} {}", ids.join(","))
    });
    let failed = said.failed.join(" ");
    let wanted = status["status"].as_str();
    let good = match wanted {
        "NoTcbInfo" => failed.starts_with("dcap.tcb-info."),
        "NoQeIdentity" => failed.starts_with("dcap.qe-identity."),
        "TcbNotSupported" => said.code == 5 && shown.starts_with("TcbNotSupported "),
        // The quote brings no chain; what else the set holds about its platform decides.
        "NoPckChain:type1" => matches!(said.code, 3 | 4),
        wanted if wanted.starts_with("Reject:") => matches!(said.code, 2 | 3),
        wanted => shown == format!("{wanted} {}", status["advisories"]),
    };
    if good {
        Ok(())
    } else {
        let advisories = &status["advisories"];
        Err(format!("{wanted} {advisories}, not {shown}"))
    }
}

fn walk_classes(classes: &[&str], endorsements: &[&str]) {
    let Some(folder) = vectors() else { return };
    let temporary = tempfile::tempdir().expect("a folder");
    let paths = folders(&folder, endorsements);
    let heap = heap(&paths);
    let statuses = rows(&folder, "INTEL-STATUS.tsv");
    let mut exceptions = Exceptions::of(classes);
    for row in rows(&folder, "INDEX.tsv") {
        let class = row["class"].as_str();
        let evidence = fs::read(folder.join(&row["path"])).expect("a capture");
        if !classes.contains(&class) || !is_looked_at(class, &evidence) {
            continue;
        }
        let stated = if row["at"].is_empty() {
            "2026-01-01T00:00:00Z"
        } else {
            &row["at"]
        };
        let call = Call {
            evidence,
            paths: paths.clone(),
            at: stated.to_owned(),
            trust: None,
            policy: None,
            reference_values: None,
            report_data: None,
        };
        let said = library(&call, &heap);
        assert_eq!(program(&call, temporary.path()), said, "{}", row["path"]);
        let known = |status: &&Row| status["path"] == row["path"] && status["at"] == row["at"];
        let shown = match statuses.iter().find(known) {
            Some(status) => shows(status, &said),
            None => Ok(()),
        };
        let fits = fits(&row, &said).and(shown);
        exceptions.look(class, &row["path"], &said.words(), fits);
    }
    exceptions.end();
}

/// Of bundles, those of kinds that can be verified.
fn is_looked_at(class: &str, evidence: &[u8]) -> bool {
    let verified = matches!(
        kind::detect(evidence),
        Kind::AzureJson
            | Kind::SnpReport
            | Kind::SnpJson
            | Kind::SnpProtobuf
            | Kind::TdxQuote(_)
            | Kind::SgxQuote(_)
            | Kind::TdxProtobuf
            | Kind::QuoteJson
    );
    class != "evidence-bundle" || verified
}

#[test]
fn every_snp_report_ends_as_the_index_says() {
    walk_classes(&["snp-report"], &["amd-cert", "crl"]);
}

#[test]
fn every_quote_ends_as_the_index_and_the_status_table_say() {
    walk_classes(
        &["tdx-quote", "sgx-quote"],
        &["crl", "intel-cert", "intel-collateral"],
    );
}

#[test]
fn every_hcl_report_ends_as_the_index_says() {
    walk_classes(
        &["azure-hcl"],
        &["amd-cert", "crl", "intel-cert", "intel-collateral"],
    );
}

#[test]
fn every_nitro_document_ends_as_the_index_says_and_debug_is_refused() {
    walk_classes(&["nitro"], &[]);
    let Some(folder) = vectors() else { return };
    let mut debug = 0;
    for row in rows(&folder, "INDEX.tsv") {
        if row["class"] != "nitro" || row["expected"] != "signed-ok" {
            continue;
        }
        let mut command = zeuge();
        command.args([
            "verify",
            "--kind",
            "nitro",
            "--hardware-only",
            "--format",
            "json",
        ]);
        command.args(["--unbound", "a capture", "--at", &row["at"]]);
        let output = command.arg(folder.join(&row["path"])).output();
        let output = output.expect("the program runs");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        if row["what"].contains("debug (PCR0 all zero)") {
            let failed = serde_json::json!(["policy.debug"]);
            assert_eq!(
                (code(&output), &said["failed"]),
                (5, &failed),
                "{}",
                row["path"]
            );
            debug += 1;
        } else {
            assert_eq!(code(&output), 10, "{}: {said}", row["path"]);
        }
    }
    assert!(debug > 0);
}

/// Instants at which everything is in force that this set holds about a bundle of Azure's, and the
/// challenge: the text that its source states, or in hex the one that stands in its quote.
const AZURE_BUNDLES: [(&str, &str, &str); 9] = [
    (
        "trustee__evidence-genoa.json",
        "2025-12-24T01:10:54Z",
        GENOA,
    ),
    (
        "trustee__evidence-v0.json",
        "2025-12-26T08:13:27Z",
        "challenge",
    ),
    (
        "trustee__evidence-v1.json",
        "2025-12-26T08:13:27Z",
        "challenge",
    ),
    (
        "attestation-rs__evidence-v1.json",
        "2023-05-06T10:11:09Z",
        "challenge",
    ),
    (
        "attestation-rs__live-evidence.json",
        "2025-12-23T21:49:00Z",
        "attestation-test-fixture",
    ),
    (
        "trustee__evidence-v0-591ac6.json",
        "2025-06-01T00:00:00Z",
        "challenge",
    ),
    (
        "trustee__evidence-v1-d656db.json",
        "2025-06-01T00:00:00Z",
        "challenge",
    ),
    (
        "attestation-rs__evidence-v1-dcc872.json",
        "2025-06-01T00:00:00Z",
        "challenge",
    ),
    (DOMAIN, DOMAIN_AT, "attestation-test-fixture"),
];

/// A trust domain, and an instant at which all of Intel's collateral for its platform is in force.
const DOMAIN: &str = "attestation-rs__live-evidence-cb3de6.json";
const DOMAIN_AT: &str = "2026-03-01T00:00:00Z";

/// The challenge of the bundle from Genoa, which its source does not state.
const GENOA: &str = "0218488bae25d2509232bf676f1a66a30d7372add909109b36016ef136f2938ca05475f8b46094de6b64270ea35d950f";

fn challenge(stated: &str) -> String {
    match stated {
        GENOA => GENOA.to_owned(),
        text => hex::encode(text),
    }
}

#[test]
fn bundles_of_azure_answer_their_own_challenge_and_no_other() {
    let Some(folder) = vectors() else { return };
    let names = ["amd-cert", "crl", "intel-cert", "intel-collateral"];
    for (name, at, nonce) in AZURE_BUNDLES {
        let verify = |nonce: &str| {
            let mut command = zeuge();
            command.args([
                "verify",
                "--kind",
                "azure",
                "--hardware-only",
                "--format",
                "json",
            ]);
            command.args(["--at", at]);
            for path in folders(&folder, &names) {
                command.arg("--endorsements").arg(path);
            }
            command.args(["--nonce", &challenge(nonce)]);
            command.arg(folder.join("open/evidence-bundle").join(name));
            let output = command.output().expect("the program runs");
            let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
            (code(&output), said)
        };
        let (own, said) = verify(nonce);
        let failed = said["failed"].to_string();
        assert!(matches!(own, 0 | 5 | 10), "{name}: {said}");
        // What no list of that time is in the set for, and old versions.
        let chip = [
            "amd.crl.fresh",
            "dcap.crl.fresh",
            "policy.tcb",
            "policy.tcb-status",
        ];
        if name == DOMAIN {
            assert_eq!((own, failed.as_str()), (10, "[]"), "{said}");
            assert_eq!(said["claims"]["tdx"]["tcb_status"], "UpToDate");
        }
        for id in said["failed"].as_array().expect("a list") {
            assert!(
                chip.contains(&id.as_str().unwrap_or_default()),
                "{name}: {failed}"
            );
        }
        assert_eq!(said["claims"]["azure"]["same_machine"], "proven", "{name}");
        assert_eq!(said["claims"]["tpm"]["nonce"], challenge(nonce), "{name}");
        let (other, said) = verify("another challenge");
        assert_eq!(
            (other, &said["failed"][0]),
            (3, &"tpm.quote.nonce".into()),
            "{name}"
        );
    }
}

/// The bytes of a part of a bundle, in whatever form.
fn part(bundle: &serde_json::Value, names: [&str; 2]) -> Vec<u8> {
    use base64::Engine as _;
    let part = names.iter().find_map(|name| bundle.get(name));
    match part.expect("the part") {
        serde_json::Value::String(text) => base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .expect("base64url"),
        list => serde_json::from_value(list.clone()).expect("bytes"),
    }
}

#[test]
fn every_broken_link_of_a_trust_domain_at_azure_has_its_own_check() {
    let Some(folder) = vectors() else { return };
    let bundles = folder.join("open/evidence-bundle");
    let read = |name: &str| -> serde_json::Value {
        let bytes = fs::read(bundles.join(name)).expect("a file");
        let file: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        file.get("evidence").cloned().unwrap_or(file)
    };
    let (own, neighbour) = (
        read(DOMAIN),
        read("attestation-rs__evidence-v1-dcc872.json"),
    );
    let temporary = tempfile::tempdir().expect("a folder");
    let failed = |bundle: &serde_json::Value, nonce: &str| {
        let file = temporary.path().join("bundle.json");
        fs::write(&file, bundle.to_string()).expect("a file");
        let mut command = zeuge();
        command.args(["verify", "--kind", "azure", "--hardware-only"]);
        command.args(["--format", "json", "--at", DOMAIN_AT, "--nonce", nonce]);
        for path in folders(&folder, &["intel-cert", "intel-collateral"]) {
            command.arg("--endorsements").arg(path);
        }
        let output = command.arg(file).output().expect("the program runs");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (code(&output), said["failed"].to_string())
    };
    let nonce = challenge("attestation-test-fixture");
    assert_eq!(failed(&own, &nonce), (10, "[]".to_owned()));
    for (member, id) in [
        ("td_quote", "azure.td-quote.report"),
        ("hcl_report", "azure.td-quote.report"),
        ("tpm_quote", "azure.ak.signer"),
    ] {
        let mut bundle = own.clone();
        bundle[member] = neighbour[member].clone();
        assert!(!bundle[member].is_null(), "{member}");
        assert_eq!(
            failed(&bundle, &nonce),
            (3, format!("[\"{id}\"]")),
            "{member}"
        );
    }
    let mut alone = own.clone();
    alone["td_quote"] = serde_json::Value::Null;
    let missing = (4, "[\"azure.td-quote.available\"]".to_owned());
    assert_eq!(failed(&alone, &nonce), missing);
    let other = failed(&own, &challenge("another challenge"));
    assert_eq!(other, (3, "[\"tpm.quote.nonce\"]".to_owned()));
}

#[test]
fn every_broken_link_of_a_bundle_of_azure_has_its_own_check() {
    let Some(folder) = vectors() else { return };
    let bundles = folder.join("open/evidence-bundle");
    let read = |name: &str| -> serde_json::Value {
        let bytes = fs::read(bundles.join(name)).expect("a file");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let own = read("trustee__evidence-genoa.json");
    let neighbour = read("trustee__evidence-v0.json");
    let hcl = part(&own, ["report", "hcl_report"]);
    let mut claims = hcl.clone();
    let text = b"\"tpm-enabled\":true";
    let at = claims.windows(text.len()).position(|part| part == text);
    claims[at.expect("the claim") + 14..][..4].copy_from_slice(b"null");
    let mut area = hcl.clone();
    // The whole report of the neighbour's chip, under the machine's own claims.
    area[32..1216].copy_from_slice(&part(&neighbour, ["report", "hcl_report"])[32..1216]);
    let with = |member: &str, value: serde_json::Value| {
        let mut bundle = own.clone();
        bundle[member] = value;
        bundle
    };
    let temporary = tempfile::tempdir().expect("a folder");
    let failed = |bundle: &serde_json::Value, nonce: &str, at: &str| {
        let file = temporary.path().join("bundle.json");
        fs::write(&file, bundle.to_string()).expect("a file");
        let mut command = zeuge();
        command.args(["verify", "--kind", "azure", "--hardware-only"]);
        command.args(["--format", "json", "--at", at, "--nonce", nonce]);
        for path in folders(&folder, &["amd-cert", "crl"]) {
            command.arg("--endorsements").arg(path);
        }
        let output = command.arg(file).output().expect("the program runs");
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (code(&output), said["failed"].to_string())
    };
    let at = "2025-12-27T00:00:00Z";
    let refused = |id: &str| (3, format!("[\"{id}\"]"));
    let shown = |claim: Vec<u8>| with("report", claim.into());
    assert_eq!(
        failed(&shown(claims), GENOA, at),
        refused("azure.claims.hash")
    );
    assert_eq!(
        failed(&shown(area), GENOA, at),
        refused("azure.claims.hash")
    );
    let other = shown(part(&neighbour, ["report", "hcl_report"]));
    assert_eq!(failed(&other, GENOA, at), refused("azure.report.machine"));
    let stranger = with("quote", neighbour["quote"].clone());
    assert_eq!(failed(&stranger, GENOA, at), refused("azure.ak.signer"));
    let challenge = hex::encode("another challenge");
    assert_eq!(failed(&own, &challenge, at), refused("tpm.quote.nonce"));
    // The neighbour's key, which signed the neighbour's quote, beside the own one: no link at all.
    let mut signature = own["quote"].clone();
    signature["signature"] = neighbour["quote"]["signature"].clone();
    let forged = with("quote", signature);
    assert_eq!(failed(&forged, GENOA, at), refused("tpm.quote.signature"));
}

#[test]
fn every_bundle_is_judged_alike_by_library_and_program() {
    walk_classes(
        &["evidence-bundle"],
        &["amd-cert", "crl", "intel-cert", "intel-collateral"],
    );
}

fn cases(class: &str, call: impl Fn(&[u8], &Path) -> Call, endorsements: &[&str], leaf: bool) {
    let Some(folder) = vectors() else { return };
    let common = tempfile::tempdir().expect("a folder");
    // The cases bring lists, documents and leaves themselves.
    for source in folders(&folder, endorsements) {
        for entry in fs::read_dir(source).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let mut alone = zeuge_verify::Endorsements::new();
            alone.add(&name, &fs::read(&path).expect("a file"));
            if leaf || !name.starts_with("vcek") && !name.starts_with("vlek-") {
                for (number, certificate) in alone.certificates.iter().enumerate() {
                    let path = common.path().join(format!("{name}-{number}.der"));
                    fs::write(path, &certificate.bytes).expect("a file can be written");
                }
            }
        }
    }
    let mut exceptions = Exceptions::of(&[class]);
    for row in rows(&folder, "INDEX.tsv") {
        let Some(stem) = row["path"].strip_suffix(".input.json") else {
            continue;
        };
        if row["class"] != class {
            continue;
        }
        let temporary = tempfile::tempdir().expect("a folder");
        let input = fs::read(folder.join(&row["path"])).expect("a case");
        let manifest = folder.join(format!("{stem}.manifest.yaml"));
        let expects = case::expects(&fs::read_to_string(manifest).expect("a manifest"));
        let mut call = call(&input, temporary.path());
        call.paths.push(common.path().to_owned());
        let said = library(&call, &heap(&call.paths));
        assert_eq!(program(&call, temporary.path()), said, "{}", row["path"]);
        let named = |failed: &String| {
            let ids = expects.codes.iter().flat_map(|code| case::ids(code));
            ids.into_iter().any(|id| failed.starts_with(id))
        };
        let fits = match expects.accepted {
            true => matches!(said.code, 0 | 10),
            false => said.failed.iter().any(named),
        };
        let fits = if fits {
            same_facts(&folder, stem, &said)
        } else {
            Err(format!("accepted {} {:?}", expects.accepted, expects.codes))
        };
        exceptions.look(class, stem, &said.words(), fits);
    }
    exceptions.end();
}

/// What the case's expected output says about the evidence, for what is believed.
fn same_facts(folder: &Path, stem: &str, said: &Said) -> Result<(), String> {
    let Ok(text) = fs::read_to_string(folder.join(format!("{stem}.expected.json"))) else {
        return Ok(());
    };
    let expected: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fields = &expected["outputs"]["body_fields"];
    for (kind, ours, theirs) in [
        ("snp", "measurement", "measurement_hex"),
        ("snp", "report_data", "report_data_hex"),
        ("snp", "host_data", "host_data_hex"),
        ("snp", "chip_id", "chip_id_hex"),
        ("snp", "report_id", "report_id_hex"),
        ("tdx", "mrtd", "mrtd_hex"),
        ("tdx", "report_data", "report_data_hex"),
        ("tdx", "mrseam", "mrseam_hex"),
        ("tdx", "rtmr", "rtmrs_hex"),
    ] {
        let (claims, wanted) = (&said.claims[kind], &fields[theirs]);
        if !claims.is_null() && !wanted.is_null() && claims[ours] != *wanted {
            return Err(format!("{ours} is {}, not {wanted}", claims[ours]));
        }
    }
    Ok(())
}

#[test]
fn the_sev_cases_of_another_tool_end_as_their_manifests_say() {
    cases("conformance-sev", case::sev, &["amd-cert"], false);
}

#[test]
fn the_tdx_cases_of_another_tool_end_as_their_manifests_say() {
    cases(
        "conformance-tdx",
        case::tdx,
        &["intel-cert", "intel-collateral"],
        true,
    );
}

#[test]
fn every_certificate_and_list_can_be_inspected() {
    let Some(folder) = vectors() else { return };
    let classes = ["amd-cert", "crl", "intel-cert"];
    let mut exceptions = Exceptions::of(&classes);
    let rows = rows(&folder, "INDEX.tsv").into_iter();
    for row in rows.filter(|row| classes.contains(&row["class"].as_str())) {
        let path = folder.join(&row["path"]);
        let mut command = zeuge();
        command.args(["inspect", "--format", "json"]).arg(&path);
        let output = command.output().expect("the program runs");
        let line = String::from_utf8_lossy(&output.stdout);
        let fields = serde_json::from_str::<serde_json::Value>(&line)
            .ok()
            .and_then(|shown| shown["fields"].as_array().map(Vec::len));
        let said = format!(
            "{} {}",
            code(&output),
            if fields > Some(0) {
                "fields"
            } else {
                "nothing"
            }
        );
        let wanted = match (row["expected"].as_str(), said.as_str()) {
            (_, "0 fields") => Ok(()),
            // Source code, and certificates of SEV before SNP, which nothing here reads.
            ("unknown" | "reject", "2 nothing") => Ok(()),
            _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        };
        exceptions.look(&row["class"], &row["path"], &said, wanted);
    }
    exceptions.end();
}
