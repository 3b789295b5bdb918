//! One way to judge a file twice: through the rooms as a library, and through the program. Both
//! must say the same.

pub(crate) mod case;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use zeuge_appraise::{Facts, Kind, Policy, ReferenceValues, Verdict, Wanted, judge};
use zeuge_evidence::{UnixTime, azure, dcap, kind, nitro, snp};
use zeuge_verify::{
    Anchors, Binding, Endorsements, Error,
    crypto::AWS_LC,
    tpm::{Nonce, Selection},
};

/// Why no measurement is demanded of captures.
const HARDWARE_ONLY: &str = "--hardware-only was given: no measurement is demanded";

/// Everything that one judgement depends on.
pub(crate) struct Call {
    pub(crate) evidence: Vec<u8>,
    /// Folders and files for the program; their content is in `heap` for the library.
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) at: String,
    pub(crate) trust: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) reference_values: Option<String>,
    pub(crate) report_data: Option<[u8; 64]>,
}

/// What one judgement said.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) failed: Vec<String>,
    pub(crate) claims: serde_json::Value,
}

impl Said {
    /// In the words of `exceptions.tsv`.
    pub(crate) fn words(&self) -> String {
        format!("{} {}", self.code, self.failed.join(" "))
            .trim()
            .to_owned()
    }
}

/// The folder of captures; `None` (and a line that says so) where it is not named.
pub(crate) fn vectors() -> Option<PathBuf> {
    let folder = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: ZEUGE_VECTORS is not set");
    }
    folder
}

/// Everything in these folders and files that may endorse.
pub(crate) fn heap(paths: &[PathBuf]) -> Endorsements {
    let mut heap = Endorsements::new();
    for path in paths {
        let mut files = vec![path.clone()];
        if path.is_dir() {
            let entries = fs::read_dir(path).expect("a folder");
            files = entries
                .map(|entry| entry.expect("an entry").path())
                .collect();
        }
        files.sort();
        for file in files {
            heap.add(&file.to_string_lossy(), &fs::read(&file).expect("a file"));
        }
    }
    heap
}

/// Through the rooms.
pub(crate) fn library(call: &Call, heap: &Endorsements) -> Said {
    let anchors = match &call.trust {
        Some(file) => Anchors::dangerous_sim(file).expect("a trust file"),
        None => Anchors::makers(),
    };
    let at = UnixTime::parse_rfc3339(&call.at).expect("an instant");
    let verdict = match proven(call, heap, &anchors, at) {
        Ok((facts, passed)) => {
            let policy = call.policy.as_deref().map_or_else(Policy::default, |text| {
                Policy::parse(text).expect("a policy")
            });
            let values = call.reference_values.as_deref();
            let values = values.map_or_else(ReferenceValues::default, |text| {
                ReferenceValues::parse(text).expect("reference values")
            });
            let wanted = Wanted {
                policy: &policy,
                reference_values: &values,
                hardware: None,
                evaluation_number_seen: None,
                ahead: None,
                hardware_only: call.reference_values.is_none().then_some(HARDWARE_ONLY),
                at,
            };
            judge(&facts, &passed, &wanted)
        }
        Err(error) => Verdict::refused(Kind::Unknown, &error, at),
    };
    let wire = zeuge_report::verdict(&verdict, None);
    Said {
        code: i32::from(wire.verdict.exit_code()),
        failed: wire.failed.clone(),
        claims: wire.claims,
    }
}

fn proven(
    call: &Call,
    heap: &Endorsements,
    anchors: &Anchors,
    at: UnixTime,
) -> Result<(Facts, Vec<&'static str>), Error> {
    use kind::Kind as Seen;
    let binding = match call.report_data {
        Some(bytes) => Binding::ReportData(bytes),
        None => Binding::Unbound {
            because: "a capture".to_owned(),
        },
    };
    match kind::detect(&call.evidence) {
        Seen::NitroCose => {
            let (document, _) = nitro::unwrapped(&call.evidence)?;
            let signed = nitro::Signed::parse(&document)?;
            let demand = zeuge_verify::nitro::Demand::Unbound {
                because: "a capture",
            };
            let verified = zeuge_verify::nitro::nitro(&signed, demand, anchors, at, &AWS_LC)?;
            let passed = verified.trail().passed().to_vec();
            Ok((verified.fact().clone().into(), passed))
        }
        Seen::AzureHcl | Seen::AzureJson => {
            let evidence = azure::Evidence::read(&call.evidence)?;
            let demand = zeuge_verify::azure::Demand {
                nonce: Nonce::Unbound {
                    because: "a capture",
                },
                user_data: None,
                selection: Selection::Exactly(&zeuge_verify::azure::ALL_PCRS),
                previous: None,
                held: None,
                ima_signers: &[],
            };
            let context = zeuge_verify::azure::Context {
                endorsements: heap,
                anchors,
                at,
                crypto: &AWS_LC,
            };
            let verified = zeuge_verify::azure::verify(&evidence, &demand, context)?;
            let passed = verified.trail().passed().to_vec();
            Ok((verified.fact().clone().into(), passed))
        }
        Seen::SnpReport | Seen::SnpJson | Seen::SnpProtobuf => {
            let evidence = snp::Evidence::read(&call.evidence)?;
            let mut heap = heap.clone();
            let broken = heap.add_beside(&evidence.endorsements);
            let report = snp::Report::parse(&evidence.report)?;
            let verified = zeuge_verify::snp::snp(&report, &heap, anchors, &binding, at, &AWS_LC);
            let verified = zeuge_verify::snp::unless_broken_beside(verified, &broken)?;
            let passed = verified.trail().passed().to_vec();
            Ok((verified.fact().clone().into(), passed))
        }
        Seen::TdxQuote(_) | Seen::SgxQuote(_) | Seen::TdxProtobuf | Seen::QuoteJson => {
            let evidence = dcap::Evidence::read(&call.evidence)?;
            let quote = dcap::Quote::parse(&evidence.quote)?;
            let verified = zeuge_verify::dcap::quote(&quote, heap, anchors, &binding, at, &AWS_LC)?;
            let passed = verified.trail().passed().to_vec();
            Ok((verified.fact().clone().into(), passed))
        }
        _ => {
            let because = "it is no evidence of a known form; name its kind with --kind";
            Err(zeuge_evidence::Malformed::invalid(kind::UNKNOWN, 0, "the input", because).into())
        }
    }
}

/// Through the program, with files in `folder`.
pub(crate) fn program(call: &Call, folder: &Path) -> Said {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a file can be written");
        path
    };
    let mut command = zeuge();
    command.args(["verify", "--format", "json", "--at", &call.at]);
    match call.report_data {
        Some(bytes) => command.args(["--report-data", &hex::encode(bytes)]),
        None => command.args(["--unbound", "a capture"]),
    };
    for path in &call.paths {
        command.arg("--endorsements").arg(path);
    }
    if let Some(trust) = &call.trust {
        let path = put("trust.json", trust.as_bytes());
        command.arg("--dangerous-trust-sim").arg(path);
    }
    if let Some(policy) = &call.policy {
        let path = put("policy.toml", policy.as_bytes());
        command.arg("--policy").arg(path);
    }
    match &call.reference_values {
        Some(values) => {
            let path = put("values.toml", values.as_bytes());
            command.arg("--reference-values").arg(path)
        }
        None => command.arg("--hardware-only"),
    };
    command.arg(put("evidence.bin", &call.evidence));
    let output = command.output().expect("the program runs");
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let failed = printed["failed"].as_array().expect("a list");
    Said {
        code: code(&output),
        failed: failed
            .iter()
            .map(|id| id.as_str().unwrap_or_default().to_owned())
            .collect(),
        claims: printed["claims"].clone(),
    }
}

/// The program under test.
pub(crate) fn zeuge() -> Command {
    Command::new(env!("CARGO_BIN_EXE_zeuge"))
}

/// The exit code; a program that a signal ended has none.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal ended the program")
}
