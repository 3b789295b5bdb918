//! Every lie of every toy, told to a German reader: no sentence stays English.
//!
//! A sentence that the tables do not know is shown as it was said, in quotes after `im Original`;
//! here that must not happen. Words of the field (TCB, REPORT_DATA, names of certificates) are the
//! same in both languages.

use std::{fs, path::Path, process::Command};

use zeuge_evidence::UnixTime;
use zeuge_sim::{
    AzureCpu, AzureLie, AzureSpec, IntelLie, Lie, NitroLie, NitroSpec, Product, QuoteForm,
    QuoteSpec, RatlsForm, RatlsLie, ReportSpec, ToyAmd, ToyAzure, ToyIntel, ToyNitro, ToyTpm,
    TpmLie, TpmSpec,
    tpm::{AkKind, EkKind},
};

const NOW: UnixTime = UnixTime(1_772_323_200);

/// Words that stand in English sentences and in no German one.
const ENGLISH: [&str; 11] = [
    " the ", " is ", " are ", " of ", " not ", " its ", " with ", " and ", " found ", " wanted ",
    " has ",
];

/// One machine's evidence in a folder, and how it is asked.
struct Told {
    name: String,
    evidence: Vec<u8>,
    endorsements: Vec<(String, Vec<u8>)>,
    trust: String,
    at: UnixTime,
    asked: Vec<String>,
}

/// What `zeuge verify` says of it in German.
fn said(folder: &Path, told: &Told) -> String {
    let at = folder.join("machine");
    let _ = fs::remove_dir_all(&at);
    fs::create_dir_all(at.join("endorsements")).expect("a folder");
    let put = |name: &str, bytes: &[u8]| fs::write(at.join(name), bytes).expect("a file");
    put("evidence.bin", &told.evidence);
    put("trust.json", told.trust.as_bytes());
    put("endorsements/notes.txt", b"nothing here");
    for (name, bytes) in &told.endorsements {
        put(&format!("endorsements/{name}"), bytes);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_zeuge"))
        .current_dir(&at)
        .env("HOME", folder)
        .args(["verify", "--lang", "de", "--endorsements", "endorsements"])
        .args(["--dangerous-trust-sim", "trust.json", "--at"])
        .arg(told.at.to_string())
        .args(&told.asked)
        .arg("evidence.bin")
        .output()
        .expect("it runs");
    assert_ne!(output.status.code(), Some(1), "{}: {output:?}", told.name);
    String::from_utf8(output.stdout).expect("text")
}

/// The lines that a German reader cannot read.
fn english(text: &str) -> Vec<&str> {
    let foreign = |line: &&str| {
        // Names of attacks and sources stand in the language of their work.
        let named = line.trim_start().starts_with('[');
        let words = ENGLISH.iter().filter(|word| line.contains(**word)).count();
        line.contains("im Original") || (!named && words >= 1)
    };
    text.lines().filter(foreign).collect()
}

fn report_data(bytes: &[u8]) -> Vec<String> {
    vec!["--report-data".to_owned(), hex::encode(bytes)]
}

fn nonce(bytes: &[u8]) -> Vec<String> {
    vec!["--nonce".to_owned(), hex::encode(bytes)]
}

fn all() -> Vec<Told> {
    let mut out = Vec::new();
    let amd = ToyAmd::shared();
    for lie in [None].into_iter().chain(Lie::ALL.iter().copied().map(Some)) {
        let told = amd.tell(lie, &ReportSpec::new(Product::Genoa), NOW);
        out.push(Told {
            name: format!("AMD {lie:?}"),
            evidence: told.evidence_file,
            endorsements: told.endorsements,
            trust: amd.trust_file(&Product::ALL),
            at: told.at,
            asked: report_data(&told.expected_report_data),
        });
    }
    let intel = ToyIntel::shared();
    let lies = IntelLie::ALL.iter().copied().map(Some);
    for lie in [None].into_iter().chain(lies) {
        let told = intel.tell(lie, &QuoteSpec::new(QuoteForm::Tdx4), NOW);
        out.push(Told {
            name: format!("Intel {lie:?}"),
            evidence: told.evidence_file,
            endorsements: told.endorsements,
            trust: intel.trust_file(),
            at: told.at,
            asked: report_data(&told.expected_report_data),
        });
    }
    for lie in [None]
        .into_iter()
        .chain(RatlsLie::ALL.iter().copied().map(Some))
    {
        let spec = QuoteSpec::new(QuoteForm::Sgx3);
        let (evidence, endorsements) = intel.ra_tls(lie, RatlsForm::Gramine, &spec, NOW);
        out.push(Told {
            name: format!("RA-TLS {lie:?}"),
            evidence,
            endorsements,
            trust: intel.trust_file(),
            at: NOW,
            asked: vec!["--unbound".to_owned(), "Probe".to_owned()],
        });
    }
    behind(&mut out);
    let toy = ToyTpm::shared();
    let lies = TpmLie::ALL.iter().copied().map(Some);
    for lie in [None].into_iter().chain(lies) {
        let spec = TpmSpec::new(EkKind::P256, AkKind::Ecdsa);
        let told = toy.tell(lie, &spec, NOW);
        out.push(Told {
            name: format!("TPM {lie:?}"),
            asked: nonce(&told.nonce),
            at: told.at,
            evidence: told.file,
            endorsements: told.endorsements,
            trust: toy.trust_file(),
        });
    }
    out
}

/// Machines behind a cloud's layer.
fn behind(out: &mut Vec<Told>) {
    let azure = ToyAzure::shared();
    for cpu in [AzureCpu::Snp(Product::Genoa), AzureCpu::Tdx] {
        let lies = AzureLie::ALL.iter().copied().map(Some);
        for lie in [None].into_iter().chain(lies) {
            let told = azure.tell(lie, &AzureSpec::new(cpu), NOW);
            out.push(Told {
                name: format!("Azure {cpu:?} {lie:?}"),
                asked: nonce(&told.nonce),
                evidence: told.file,
                endorsements: told.endorsements,
                trust: azure.trust_file(cpu),
                at: told.at,
            });
        }
    }
    let nitro = ToyNitro::shared();
    for tpm in [false, true] {
        let lies = NitroLie::ALL.iter().copied().map(Some);
        for lie in [None].into_iter().chain(lies) {
            let told = nitro.tell(lie, &NitroSpec::new(tpm), NOW);
            out.push(Told {
                name: format!("Nitro {tpm} {lie:?}"),
                asked: nonce(&told.nonce),
                evidence: told.file,
                endorsements: Vec::new(),
                trust: nitro.trust_file(),
                at: told.at,
            });
        }
    }
}

#[test]
fn no_sentence_of_a_german_verdict_is_english_over_all_lies() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = all();
    assert!(all.len() > 150, "{}", all.len());
    let mut foreign = Vec::new();
    for told in &all {
        let text = said(folder.path(), told);
        assert!(text.contains("Nachweis: "), "{}: {text}", told.name);
        for line in english(&text) {
            foreign.push(format!("{}: {}", told.name, line.trim()));
        }
    }
    foreign.sort();
    foreign.dedup();
    assert!(foreign.is_empty(), "{}", foreign.join("\n"));
}
