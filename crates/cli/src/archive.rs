//! Archives of reports (`zeuge.report-bundle.v1`): everything that one verdict depends on, to judge
//! it again offline, and to say what differs.
//!
//! An archive is hostile input like any other: bounded, its arguments read by the same reader as
//! the command line's and used for `zeuge report` alone, its files served from memory. Nothing is
//! written, and nothing beside the archive is read.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use clap::Parser as _;
use serde_json::Value;
use zeuge_appraise::Knowledge;
use zeuge_protocol::{
    api::{self, VerdictWord},
    document::OwnerSet,
    report::{Content, FileDigest},
    report_bundle::{Member, ReportBundle, SCHEMA, Signature, Verifier, WitnessWord},
};

use crate::{
    Outcome,
    args::{Arguments, Command, Format, Verify},
    input, verify, witnessed,
};

/// SHA-256 of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

/// This program, by its version and the SHA-256 of its file.
pub(crate) fn this_program() -> (String, Option<[u8; 32]>) {
    let name = concat!("zeuge ", env!("CARGO_PKG_VERSION")).to_owned();
    let file = std::env::current_exe().and_then(std::fs::read);
    (name, file.ok().map(|bytes| sha256(&bytes)))
}

/// Whose signature this is over these bytes, among the owners of a set.
///
/// # Errors
/// A sentence, for another form, a signature that does not hold, and a stranger's.
pub(crate) fn checked(text: &str, bytes: &[u8], owners: &OwnerSet) -> Result<String, String> {
    let signature: Signature = serde_json::from_str(text)
        .map_err(|error| format!("this is no signature of a report: {error}"))?;
    if !signature.holds(bytes) {
        return Err("the signature does not hold over these bytes".to_owned());
    }
    let mut all = owners.owners.iter();
    let owner = all.find(|owner| owner.public_key == signature.public_key);
    match owner {
        Some(owner) => Ok(format!("{} ({})", owner.person, owner.public_key.id())),
        None => Err(format!(
            "{} is none of the owners of the set",
            signature.name()
        )),
    }
}

/// What an archive is made of.
pub(crate) struct Making<'a> {
    /// The arguments that judge it again.
    pub(crate) arguments: &'a [String],
    /// The instant for which it was judged.
    pub(crate) at: String,
    /// The verdict.
    pub(crate) verdict: Value,
    /// The text of the threat knowledge.
    pub(crate) knowledge: &'a str,
    /// Every file that was read.
    pub(crate) files: &'a [(PathBuf, Vec<u8>)],
    /// The report's name and bytes.
    pub(crate) report: (&'a str, &'a [u8]),
    /// An owner's signature over the report.
    pub(crate) signature: Option<Signature>,
    /// What a witness signed.
    pub(crate) witness: Option<WitnessWord>,
}

/// Makes an archive.
///
/// # Errors
/// A sentence, when it cannot be written as JSON.
pub(crate) fn make(making: Making<'_>) -> Result<String, String> {
    let Making {
        arguments,
        at,
        verdict,
        knowledge,
        files,
        report: (name, bytes),
        signature,
        witness,
    } = making;
    let (program, digest) = this_program();
    let archive = ReportBundle {
        schema: SCHEMA.to_owned(),
        verifier: Verifier {
            program,
            sha256: digest.map(FileDigest),
        },
        at,
        arguments: arguments.to_vec(),
        knowledge: knowledge.to_owned(),
        files: files
            .iter()
            .map(|(path, bytes)| Member::new(&path.to_string_lossy(), bytes))
            .collect(),
        verdict,
        report: Some(Member::new(name, bytes)),
        signature,
        witness,
    };
    let json = serde_json::to_string_pretty(&archive).map_err(|error| error.to_string())?;
    Ok(format!("{json}\n"))
}

/// Judges an archive again and says what differs; the exit code is the verdict's where nothing
/// does, and that of untrusted evidence where something does.
pub(crate) fn again(bytes: &[u8], name: &str, format: Format) -> Outcome {
    let archive = match ReportBundle::parse(bytes) {
        Ok(archive) => archive,
        Err(error) => {
            crate::complain(&format!("{name}: {error}"));
            return Ok(VerdictWord::Malformed.exit_code());
        }
    };
    let arguments = arguments(&archive).map_err(|because| format!("{name}: {because}"))?;
    let files = files(&archive).map_err(|because| format!("{name}: {because}"))?;
    let knowledge = Knowledge::parse(&archive.knowledge)
        .map_err(|error| format!("{name}: {}: {error}", error.check()))?;
    input::serve(files);
    let judged = verify::judged(&arguments, &knowledge);
    input::serve_nothing();
    let judged = judged.map_err(|because| format!("{name}: {because}"))?;
    let now = serde_json::to_value(&judged.wire).map_err(|error| error.to_string())?;
    let mut differences = differences(&archive.verdict, &now);
    let mut told = Vec::new();
    about_verifier(&archive, &knowledge, &mut told);
    about_signature(&archive, &mut differences, &mut told);
    about_witness(&archive, &judged.wire, &mut differences, &mut told);
    let code = if differences.is_empty() {
        judged.wire.verdict.exit_code()
    } else {
        VerdictWord::Untrusted.exit_code()
    };
    if format == Format::Text {
        let head = if differences.is_empty() {
            "reproduced: the same verdict, byte for byte"
        } else {
            "NOT reproduced"
        };
        let word = now.get("verdict").and_then(Value::as_str).unwrap_or("");
        let mut text = format!("{name}: {head} ({word}, at {})\n", archive.at);
        for line in differences {
            text.push_str(&format!("  differs: {line}\n"));
        }
        for line in told {
            text.push_str(&format!("  {line}\n"));
        }
        crate::say(&text)?;
    } else {
        let whole = serde_json::json!({"schema": "zeuge.reproduction.v1", "file": name,
            "reproduced": differences.is_empty(), "differences": differences, "told": told,
            "verdict": now});
        crate::say(&format!("{whole}\n"))?;
    }
    Ok(code)
}

/// What was asked for, at the instant of then.
fn arguments(archive: &ReportBundle) -> Result<Verify, String> {
    let mut verify = asked(&archive.arguments)?;
    verify.at = Some(archive.at.clone());
    Ok(verify)
}

/// What these arguments of `zeuge report` ask to be judged.
///
/// # Errors
/// A sentence, for other arguments and for those that would ask the makers.
pub(crate) fn asked(arguments: &[String]) -> Result<Verify, String> {
    let program = std::iter::once("zeuge".to_owned());
    let all = program.chain(arguments.iter().cloned());
    let parsed = Arguments::try_parse_from(all)
        .map_err(|error| format!("its arguments are refused: {}", error.kind()))?;
    let Command::Report(report) = parsed.command else {
        return Err("its arguments are not those of zeuge report".to_owned());
    };
    let verify = report.verify;
    if verify.fetch {
        return Err("an archive is judged offline: --fetch is refused".to_owned());
    }
    Ok(verify)
}

fn files(archive: &ReportBundle) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let named = |member: &Member| {
        let bytes = member.bytes().map_err(|error| error.to_string())?;
        Ok((PathBuf::from(&member.name), bytes))
    };
    archive.files.iter().map(named).collect()
}

/// Which parts of the verdict differ, with both values where they are short.
pub(crate) fn differences(then: &Value, now: &Value) -> Vec<String> {
    let empty = serde_json::Map::new();
    let (then, now) = (
        then.as_object().unwrap_or(&empty),
        now.as_object().unwrap_or(&empty),
    );
    let mut names: Vec<&String> = then.keys().chain(now.keys()).collect();
    names.sort();
    names.dedup();
    let null = Value::Null;
    let mut out = Vec::new();
    for name in names {
        let (old, new) = (
            then.get(name).unwrap_or(&null),
            now.get(name).unwrap_or(&null),
        );
        if old != new {
            out.push(format!("{name}: then {}, now {}", short(old), short(new)));
        }
    }
    out
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 120 {
        return text;
    }
    let begin: String = text.chars().take(100).collect();
    let digest = hex::encode(sha256(text.as_bytes()));
    let digest: String = digest.chars().take(16).collect();
    format!("{begin}… (sha256 {digest}…)")
}

fn about_verifier(archive: &ReportBundle, knowledge: &Knowledge, told: &mut Vec<String>) {
    let (program, digest) = this_program();
    let digest = digest.map(FileDigest);
    if archive.verifier.program != program {
        let then = &archive.verifier.program;
        told.push(format!("the verifier was {then}, this is {program}"));
    } else if archive.verifier.sha256 != digest {
        told.push("the verifier has the same version and another digest".to_owned());
    } else {
        told.push(format!("by the same verifier: {program}"));
    }
    let (then, now) = (knowledge.id(), Knowledge::built_in().id());
    if then == now {
        told.push(format!(
            "threat knowledge version {}, as built in",
            then.version
        ));
    } else {
        told.push(format!(
            "judged with the archive's threat knowledge version {} (sha256:{}); this program \
             brings version {} along",
            then.version,
            hex::encode(then.digest),
            now.version
        ));
    }
}

fn about_signature(archive: &ReportBundle, differences: &mut Vec<String>, told: &mut Vec<String>) {
    let report = archive.report.as_ref().map(|member| {
        let bytes = member.bytes().unwrap_or_default();
        (member.name.as_str(), bytes)
    });
    match (&archive.signature, report) {
        (Some(signature), Some((name, bytes))) if signature.holds(&bytes) => told.push(format!(
            "the report {name} is signed by {}; compare the key with the owners you know",
            signature.name()
        )),
        (Some(signature), _) => differences.push(format!(
            "the signature of {} does not hold over the report",
            signature.name()
        )),
        (None, Some((name, _))) => told.push(format!("not signed: the file {name} of the archive")),
        (None, None) => {}
    }
}

/// Whether what a witness signed holds, and is what comes out here.
fn about_witness(
    archive: &ReportBundle,
    now: &api::Verdict,
    differences: &mut Vec<String>,
    told: &mut Vec<String>,
) {
    let Some(word) = &archive.witness else {
        return;
    };
    let held = archive.files.iter().filter_map(|member| {
        let bytes = member.bytes().ok()?;
        Some((member.sha256.to_string(), Content(bytes)))
    });
    let knowledge = archive.knowledge.as_bytes();
    let knowledge = (hex::encode(sha256(knowledge)), Content(knowledge.to_vec()));
    let held = match witnessed::hold(word, held.chain([knowledge]).collect()) {
        Ok(held) => held,
        Err(because) => {
            differences.push(because);
            return;
        }
    };
    match held.differences(now) {
        Ok(all) => differences.extend(all.into_iter().map(|line| format!("the witness's {line}"))),
        Err(because) => differences.push(because),
    }
    told.push(format!(
        "{}; compare both keys with those you know",
        held.said()
    ));
}

/// The name under which a path was read.
pub(crate) fn what(path: &Path, evidence: &Path) -> &'static str {
    if path == evidence {
        "evidence"
    } else {
        "input"
    }
}
