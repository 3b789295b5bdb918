//! Quotes of TPMs through the program: the toy's, honest and with every lie that a file can tell,
//! and every capture, against what `INDEX.tsv` expects.
//!
//! Captures need `ZEUGE_VECTORS` and stay outside the repository. `tpm_exceptions.tsv` lists what
//! cannot be shown, with its reason: strict in both directions.
#![expect(
    clippy::print_stdout,
    reason = "a test that is skipped says so, and the counts are worth reading"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use zeuge_evidence::UnixTime;
use zeuge_protocol::{
    bundle::{Bundle, Media},
    name::Name,
};
use zeuge_sim::{
    Product, ReportSpec, Room, ToyAmd, ToyTpm, ToyTpmQuote, TpmLie, TpmSpec,
    tpm::{AkKind, COMMAND_LINE, EkKind, Proof, digest_of},
};

const AT: &str = "2026-03-01T00:00:00Z";
const PCRS: &str = "sha256:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15";

fn zeuge(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .args(words)
        .output()
        .expect("the program runs")
}

fn tell(lie: Option<TpmLie>, proof: Proof) -> ToyTpmQuote {
    let spec = TpmSpec {
        proof,
        ..TpmSpec::new(EkKind::P256, AkKind::Ecdsa)
    };
    let now = UnixTime::parse_rfc3339(AT).expect("an instant");
    ToyTpm::shared().tell(lie, &spec, now)
}

/// What was told as files, with the owner's documents beside it.
struct Toy(tempfile::TempDir);

impl Toy {
    fn new(told: &ToyTpmQuote) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, bytes).expect("a file");
        };
        put("quote.json", &told.file);
        put("trust.json", ToyTpm::shared().trust_file().as_bytes());
        put("tpm/none", b"");
        for (name, bytes) in &told.endorsements {
            put(&format!("tpm/{name}"), bytes);
        }
        let registry = format!(
            "schema = \"zeuge.hardware.v1\"\n[[tpm]]\nname = \"rack 7\"\nak_name = \"{}\"\n",
            hex::encode(told.ak_name())
        );
        put("hardware.toml", registry.as_bytes());
        let image = |name: &str| format!("\"{}\"", hex::encode(digest_of(name)));
        let values = format!(
            "schema = \"zeuge.reference-values.v1\"\n[[tpm]]\nname = \"web\"\n\
             images = [{}, {}, {}]\ncommand_lines = [\"{COMMAND_LINE}\"]\n",
            image("shim"),
            image("grub"),
            image("kernel")
        );
        put("values.toml", values.as_bytes());
        let policy = "schema = \"zeuge.policy.v1\"\n[tpm]\nrequire_secure_boot = true\n";
        put("policy.toml", policy.as_bytes());
        Self(folder)
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn verify(&self, file: &str, more: &[&str]) -> Output {
        let paths = ["tpm", "values.toml", "policy.toml", "trust.json", file];
        let [tpm, values, policy, trust, file] = paths.map(|name| self.at(name));
        let nonce = hex::encode("the challenge of a witness");
        let fixed = [
            "verify",
            "--kind",
            "tpm",
            "--at",
            AT,
            "--nonce",
            &nonce,
            "--pcrs",
            PCRS,
            "--endorsements",
            &tpm,
            "--reference-values",
            &values,
            "--policy",
            &policy,
            "--dangerous-trust-sim",
            &trust,
        ];
        let mut words = fixed.to_vec();
        words.extend(more);
        words.push(&file);
        zeuge(&words)
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("no verdict: {}", String::from_utf8_lossy(&output.stderr));
    })
}

#[test]
fn a_certified_quote_is_accepted_with_its_pcrs_clock_maker_and_boot() {
    let toy = Toy::new(&tell(None, Proof::Certificate));
    let output = toy.verify("quote.json", &["--format", "json"]);
    let verdict = json(&output);
    assert_eq!(output.status.code(), Some(10), "{verdict}");
    assert_eq!(verdict["verdict"], "warning");
    assert_eq!(verdict["kind"], "tpm");
    assert_eq!(verdict["product"], "TOY Toy TPM");
    let root = &verdict["roots"][0];
    assert_eq!(
        (&root["kind"], &root["jurisdiction"]),
        (&"tpm".into(), &"none".into())
    );
    let claims = &verdict["claims"]["tpm"];
    assert_eq!(
        claims["pcrs"]["sha256"]
            .as_object()
            .map(serde_json::Map::len),
        Some(16)
    );
    assert_eq!(claims["clock"]["reset_count"], 7);
    assert_eq!(claims["trust"], "certified");
    assert_eq!(claims["manufacturer"], "TOY");
    assert_eq!(claims["secure_boot"], true);
    assert_eq!(claims["firmware"], "toy firmware 1.0");
    assert_eq!(claims["command_lines"][0]["text"], COMMAND_LINE);
    let german = toy.verify("quote.json", &["--lang", "de"]);
    let text = String::from_utf8_lossy(&german.stdout).into_owned();
    assert!(text.contains("Ein TPM sagt, was gestartet wurde"), "{text}");
}

#[test]
fn an_enrolled_ak_is_believed_by_its_name_and_a_stranger_is_not() {
    let toy = Toy::new(&tell(None, Proof::Enrolment));
    let registry = toy.at("hardware.toml");
    let output = toy.verify("quote.json", &["--format", "json", "--hardware", &registry]);
    let verdict = json(&output);
    assert_eq!(output.status.code(), Some(0), "{verdict}");
    assert_eq!(verdict["claims"]["tpm"]["trust"], "enrolled-name");
    let without = toy.verify("quote.json", &["--format", "json"]);
    assert_eq!(without.status.code(), Some(4));
    assert_eq!(json(&without)["failed"][0], "tpm.ak.proof");
    let text = fs::read_to_string(&registry).expect("a file");
    let name = text.split('"').nth(5).expect("a name").to_owned();
    let flipped = format!(
        "{}{}",
        &name[..66],
        if name.ends_with("00") { "11" } else { "00" }
    );
    fs::write(&registry, text.replace(&name, &flipped)).expect("a file");
    let stranger = toy.verify("quote.json", &["--format", "json", "--hardware", &registry]);
    assert_eq!(stranger.status.code(), Some(3));
    assert_eq!(json(&stranger)["failed"][0], "tpm.ak.trust");
}

#[test]
fn a_bundle_of_ours_carries_the_logs_as_members() {
    let told = tell(None, Proof::Certificate);
    let toy = Toy::new(&told);
    let mut quote: Value = serde_json::from_slice(&told.file).expect("JSON");
    let log = quote["eventlog"].take();
    let object = quote.as_object_mut().expect("an object");
    object.remove("eventlog");
    object.remove("ima");
    let name = |text: &str| Name::parse(text).expect("a name");
    let mut bundle = Bundle::new();
    let mut put = |label: &str, media, bytes: Vec<u8>| {
        bundle.put(name(label), media, bytes).expect("a member");
    };
    put("tpm", Media::TpmQuote, quote.to_string().into_bytes());
    use base64::Engine as _;
    let log = base64::engine::general_purpose::STANDARD
        .decode(log.as_str().expect("base64"))
        .expect("base64");
    put("tpm.log", Media::TcgEventLog, log);
    for (file, bytes) in [
        ("bundle.json", bundle.to_json().into_bytes()),
        ("bundle.cbor", bundle.to_cbor()),
    ] {
        fs::write(toy.at(file), bytes).expect("a file");
        let output = toy.verify(file, &["--format", "json"]);
        let verdict = json(&output);
        assert_eq!(output.status.code(), Some(10), "{verdict}");
        assert_eq!(verdict["claims"]["tpm"]["secure_boot"], true);
    }
}

#[test]
fn every_lie_that_a_file_can_tell_ends_with_its_id_and_exit_code() {
    let mut told_of = 0;
    for lie in TpmLie::ALL {
        let proof = match lie {
            // A certificate would carry the key itself.
            TpmLie::AkAttributes | TpmLie::AkAvailable | TpmLie::AkKey => Proof::Enrolment,
            _ => Proof::Certificate,
        };
        let told = tell(Some(*lie), proof);
        // A file holds one quote and no credential; keys behind Secure Boot are read on demand.
        let beyond = matches!(
            lie,
            TpmLie::QuoteClock | TpmLie::QuoteReset | TpmLie::SignatureList
        );
        if told.proof == Some(Proof::Activation) || beyond || lie.room() == Room::Appraise {
            continue;
        }
        let toy = Toy::new(&told);
        let registry = toy.at("hardware.toml");
        let enrolled = ["--format", "json", "--hardware", &registry];
        let words = match told.proof {
            Some(Proof::Enrolment) => &enrolled[..],
            _ => &enrolled[..2],
        };
        let bank = ["--pcrs", "sha1:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"];
        let output = if *lie == TpmLie::QuoteBank {
            let mut words = words.to_vec();
            words.extend(bank);
            // Repeated, the option adds: ask for that bank alone.
            let paths = ["tpm", "trust.json", "quote.json"].map(|name| toy.at(name));
            let nonce = hex::encode("the challenge of a witness");
            let mut all = vec![
                "verify",
                "--at",
                AT,
                "--nonce",
                &nonce,
                "--hardware-only",
                "--endorsements",
                &paths[0],
                "--dangerous-trust-sim",
                &paths[1],
            ];
            all.extend(words);
            all.push(&paths[2]);
            zeuge(&all)
        } else {
            toy.verify("quote.json", words)
        };
        let verdict = json(&output);
        assert_eq!(verdict["failed"][0], lie.check(), "{verdict}");
        let code = match (lie.room(), lie) {
            (Room::Evidence, _) => 2,
            (
                _,
                TpmLie::AkAvailable | TpmLie::AkIssuer | TpmLie::AkProof | TpmLie::QuoteAvailable,
            ) => 4,
            _ => 3,
        };
        assert_eq!(output.status.code(), Some(code), "{verdict}");
        told_of += 1;
    }
    assert!(told_of >= 25, "{told_of}");
}

#[test]
fn roots_of_ones_own_need_a_maker_and_a_jurisdiction() {
    let toy = Toy::new(&tell(None, Proof::Certificate));
    let folder = toy.0.path().join("roots");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("root.der"), ToyTpm::shared().root()).expect("a file");
    let list = |jurisdiction: &str| {
        format!(
            "schema = \"zeuge.roots.v1\"\n[[root]]\nfile = \"root.der\"\nmaker = \"Acme\"\n\
             jurisdiction = \"{jurisdiction}\"\norigin = \"https://pki.example/root.der\"\n"
        )
    };
    let roots = folder.display().to_string();
    let paths = ["tpm", "quote.json"].map(|name| toy.at(name));
    let words = [
        "verify",
        "--at",
        AT,
        "--unbound",
        "a test",
        "--hardware-only",
        "--format",
        "json",
        "--endorsements",
        &paths[0],
        "--tpm-roots",
        &roots,
        &paths[1],
    ];
    fs::write(folder.join("roots.toml"), list("")).expect("a file");
    assert_eq!(zeuge(&words).status.code(), Some(1));
    // The earlier names of option, file and schema.
    let earlier = folder.join("tpm-roots.toml");
    let named = list("NL").replace("zeuge.roots", "zeuge.tpm-roots");
    fs::write(&earlier, named).expect("a file");
    assert_eq!(zeuge(&words).status.code(), Some(1), "one of two files");
    fs::remove_file(folder.join("roots.toml")).expect("a file");
    assert_eq!(zeuge(&words).status.code(), Some(10));
    fs::rename(&earlier, folder.join("roots.toml")).expect("a file");
    fs::write(folder.join("roots.toml"), list("NL")).expect("a file");
    let output = zeuge(&words.map(|word| match word {
        "--tpm-roots" => "--roots",
        word => word,
    }));
    let verdict = json(&output);
    assert_eq!(output.status.code(), Some(10), "{verdict}");
    let root = &verdict["roots"][0];
    assert_eq!(
        (&root["maker"], &root["jurisdiction"]),
        (&"Acme".into(), &"NL".into())
    );
}

/// A toy CPU and a toy TPM that answered one binding, as a bundle of ours.
struct Pair(Toy);

impl Pair {
    fn new(nonce: impl Fn(&[u8; 64]) -> Vec<u8>) -> Self {
        let now = UnixTime::parse_rfc3339(AT).expect("an instant");
        let spec = ReportSpec::new(Product::Milan);
        let report = ToyAmd::shared().tell(None, &spec, now);
        let tpm = TpmSpec {
            proof: Proof::Certificate,
            nonce: nonce(&report.expected_report_data),
            ..TpmSpec::new(EkKind::P256, AkKind::Ecdsa)
        };
        let told = ToyTpm::shared().tell(None, &tpm, now);
        let toy = Toy::new(&told);
        for (name, bytes) in &report.endorsements {
            fs::write(toy.at(&format!("tpm/amd-{name}")), bytes).expect("a file");
        }
        let mut trust: Value = serde_json::from_str(&ToyTpm::shared().trust_file()).expect("JSON");
        let amd = ToyAmd::shared().trust_file(&[Product::Milan]);
        trust["amd"] = serde_json::from_str::<Value>(&amd).expect("JSON")["amd"].take();
        fs::write(toy.at("trust.json"), trust.to_string()).expect("a file");
        let mut bundle = Bundle::new();
        let mut put = |label: &str, media, bytes: Vec<u8>| {
            let label = Name::parse(label).expect("a name");
            bundle.put(label, media, bytes).expect("a member");
        };
        put("snp", Media::SnpReport, report.report.clone());
        put("tpm", Media::TpmQuote, told.file.clone());
        fs::write(toy.at("pair.json"), bundle.to_json()).expect("a file");
        let mut values = fs::read_to_string(toy.at("values.toml")).expect("a file");
        let measurement = hex::encode(spec.measurement);
        values += &format!("[[snp]]\nname = \"web\"\nmeasurements = [\"{measurement}\"]\n");
        fs::write(toy.at("values.toml"), values).expect("a file");
        let chip = format!(
            "schema = \"zeuge.hardware.v1\"\n[[tpm]]\nname = \"rack 7\"\nak_key = \"{}\"\n",
            "00".repeat(32)
        );
        fs::write(toy.at("hardware.toml"), chip).expect("a file");
        fs::write(
            toy.at("report-data"),
            hex::encode(report.expected_report_data),
        )
        .expect("a file");
        Self(toy)
    }

    fn verify(&self, bound: bool) -> Output {
        let at = |name: &str| self.0.at(name);
        let paths = ["tpm", "values.toml", "trust.json", "pair.json"].map(at);
        let data = fs::read_to_string(at("report-data")).expect("a file");
        let binding = if bound {
            ["--report-data", &data]
        } else {
            ["--unbound", "a test"]
        };
        let mut words = vec![
            "verify",
            "--at",
            AT,
            "--pcrs",
            PCRS,
            "--format",
            "json",
            "--endorsements",
            &paths[0],
            "--reference-values",
            &paths[1],
            "--dangerous-trust-sim",
            &paths[2],
        ];
        words.extend(binding);
        words.push(&paths[3]);
        zeuge(&words)
    }
}

#[test]
fn a_cpu_and_a_tpm_are_judged_together_and_keep_their_speakers() {
    let pair = Pair::new(|binding| zeuge_verify::tpm::qualifying_data(binding).to_vec());
    let output = pair.verify(true);
    let verdict = json(&output);
    assert_eq!(output.status.code(), Some(10), "{verdict}");
    assert_eq!(verdict["kind"], "composite");
    assert_eq!(verdict["product"], "Milan with TOY Toy TPM");
    assert!(verdict["claims"]["snp"]["measurement"].is_string());
    assert!(verdict["claims"]["tpm"]["pcrs"]["sha256"]["11"].is_string());
    assert_eq!(verdict["roots"].as_array().map(Vec::len), Some(2));
    let warned = verdict["checks"].as_array().expect("checks").iter();
    let mut warned = warned.filter(|check| check["status"] == "warn");
    assert!(warned.any(|check| check["id"] == "composite.same-machine"));
}

#[test]
fn a_tpm_that_was_swapped_in_is_refused_by_name() {
    let pair = Pair::new(|_| b"the challenge of somebody else".to_vec());
    let bound = pair.verify(true);
    assert_eq!(bound.status.code(), Some(3));
    assert_eq!(json(&bound)["failed"][0], "tpm.quote.nonce");
    let unbound = pair.verify(false);
    assert_eq!(unbound.status.code(), Some(3));
    assert_eq!(json(&unbound)["failed"][0], "composite.binding");
}

fn rows(folder: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(folder.join("INDEX.tsv")).expect("a table");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a head").split('\t').collect();
    lines
        .map(|line| {
            let cells = names.iter().zip(line.split('\t'));
            cells
                .map(|(name, cell)| ((*name).to_owned(), cell.to_owned()))
                .collect()
        })
        .collect()
}

fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: ZEUGE_VECTORS is not set");
    }
    folder
}

/// Path and answer of each exception of this command.
fn exceptions(command: &str) -> BTreeMap<String, String> {
    let lines = include_str!("tpm_exceptions.tsv").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .filter(|cells| cells[0] == command)
        .map(|cells| {
            assert!(cells.len() == 4 && cells[3].len() > 20, "{cells:?}");
            (cells[1].to_owned(), cells[2].to_owned())
        })
        .collect()
}

#[test]
fn every_captured_quote_ends_as_the_index_says() {
    let Some(folder) = vectors() else { return };
    let endorsements: Vec<String> = ["tpm-ek-cert", "tpm-ca"]
        .iter()
        .map(|class| folder.join("open").join(class).display().to_string())
        .collect();
    let mut expected = exceptions("verify");
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows(&folder) {
        if row["class"] != "tpm-quote" {
            continue;
        }
        let path = folder.join(&row["path"]).display().to_string();
        let output = zeuge(&[
            "verify",
            "--kind",
            "tpm",
            "--unbound",
            "a capture",
            "--hardware-only",
            "--at",
            AT,
            "--format",
            "json",
            "--endorsements",
            &endorsements[0],
            "--endorsements",
            &endorsements[1],
            &path,
        ]);
        let failed = json(&output)["failed"][0]
            .as_str()
            .unwrap_or("-")
            .to_owned();
        let said = format!("{} {failed}", output.status.code().unwrap_or(-1));
        *codes.entry(said.clone()).or_default() += 1;
        let good = match row["expected"].as_str() {
            "reject" => matches!(output.status.code(), Some(2 | 3)),
            _ => matches!(output.status.code(), Some(0 | 4 | 5 | 10)),
        };
        match (good, expected.remove(&row["path"])) {
            (true, None) => {}
            (false, Some(listed)) if listed == said => {}
            (_, listed) => wrong.push(format!("verify\t{}\t{said}\t{listed:?}", row["path"])),
        }
    }
    wrong.extend(expected.keys().map(|path| format!("{path}: not used")));
    println!("{codes:?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_captured_log_list_key_and_quote_can_be_inspected() {
    let Some(folder) = vectors() else { return };
    let classes = [
        "tpm-quote",
        "eventlog-tpm",
        "eventlog-ccel",
        "ima-log",
        "tpm-ca",
    ];
    let mut expected = exceptions("inspect");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for row in rows(&folder) {
        if !classes.contains(&row["class"].as_str()) {
            continue;
        }
        let path = folder.join(&row["path"]).display().to_string();
        let output = zeuge(&["inspect", "--format", "json", &path]);
        let shown: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        let kind = shown.as_ref().and_then(|shown| shown["kind"].as_str());
        let right = match row["class"].as_str() {
            "eventlog-tpm" | "eventlog-ccel" => kind == Some("eventlog"),
            "ima-log" => kind == Some("ima"),
            "tpm-quote" => matches!(kind, Some("tpm" | "pem")),
            _ => kind.is_some(),
        };
        *seen.entry(row["class"].clone()).or_default() += 1;
        let said = format!(
            "{} {}",
            output.status.code().unwrap_or(-1),
            kind.unwrap_or("-")
        );
        match (right, expected.remove(&row["path"])) {
            (true, None) => {}
            (false, Some(listed)) if listed == said => {}
            (_, listed) => wrong.push(format!("inspect\t{}\t{said}\t{listed:?}", row["path"])),
        }
    }
    wrong.extend(expected.keys().map(|path| format!("{path}: not used")));
    println!("{seen:?}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
