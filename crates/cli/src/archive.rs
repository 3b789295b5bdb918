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
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeuge_appraise::Knowledge;
use zeuge_protocol::{
    api::VerdictWord,
    document::OwnerSet,
    keys::{KeyId, PublicKey, SigningKey},
    text::{base64url, from_base64url},
};

use crate::{
    Outcome,
    args::{Arguments, Command, Format, Verify},
    input, verify,
};

/// The schema of an archive.
pub(crate) const SCHEMA: &str = "zeuge.report-bundle.v1";
/// The schema of a signature beside a report.
const SIGNATURE_SCHEMA: &str = "zeuge.report-signature.v1";
/// What is signed begins so: no other signature of an owner's can be taken for it.
const LABEL: &[u8] = b"zeuge-report-v1\0";
/// Files of one archive: a folder of endorsements with room to spare.
const FILES_MAX: usize = 20_000;

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    name: String,
    sha256: String,
    content: String,
}

/// The program that judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verifier {
    program: String,
    sha256: Option<String>,
}

/// A signature over a report's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signature {
    schema: String,
    person: String,
    key: KeyId,
    public_key: PublicKey,
    sha256: String,
    signature: String,
}

/// The archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    schema: String,
    verifier: Verifier,
    at: String,
    arguments: Vec<String>,
    knowledge: String,
    files: Vec<Member>,
    verdict: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    report: Option<Member>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Signature>,
}

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

/// Signs a report's bytes with an owner's key.
pub(crate) fn sign(bytes: &[u8], person: &str, key: &SigningKey) -> Signature {
    let digest = sha256(bytes);
    Signature {
        schema: SIGNATURE_SCHEMA.to_owned(),
        person: person.to_owned(),
        key: key.public().id(),
        public_key: key.public(),
        sha256: hex::encode(digest),
        signature: base64url(&key.sign(&[LABEL, &digest[..]].concat())),
    }
}

impl Signature {
    /// Whether the signature is one over these bytes.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let digest = sha256(bytes);
        let signature = from_base64url(&self.signature);
        let Some(signature) = signature.and_then(|bytes| <[u8; 64]>::try_from(bytes).ok()) else {
            return false;
        };
        self.schema == SIGNATURE_SCHEMA
            && self.key == self.public_key.id()
            && self.sha256 == hex::encode(digest)
            && self
                .public_key
                .verifies(&[LABEL, &digest[..]].concat(), &signature)
    }

    fn name(&self) -> String {
        format!("{} ({})", self.person, self.key)
    }
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
        Some(owner) => Ok(format!("{} ({})", owner.person, signature.key)),
        None => Err(format!(
            "{} is none of the owners of the set",
            signature.name()
        )),
    }
}

fn member(name: &str, bytes: &[u8]) -> Member {
    Member {
        name: name.to_owned(),
        sha256: hex::encode(sha256(bytes)),
        content: base64url(bytes),
    }
}

/// Makes an archive of what was read since recording began.
pub(crate) fn make(
    arguments: &[String],
    at: &str,
    verdict: Value,
    knowledge: &str,
    files: &[(PathBuf, Vec<u8>)],
    report: Option<(&str, &[u8])>,
    signature: Option<Signature>,
) -> Result<String, String> {
    let (program, digest) = this_program();
    let archive = Archive {
        schema: SCHEMA.to_owned(),
        verifier: Verifier {
            program,
            sha256: digest.map(hex::encode),
        },
        at: at.to_owned(),
        arguments: arguments.to_vec(),
        knowledge: knowledge.to_owned(),
        files: files
            .iter()
            .map(|(path, bytes)| member(&path.to_string_lossy(), bytes))
            .collect(),
        verdict,
        report: report.map(|(name, bytes)| member(name, bytes)),
        signature,
    };
    let json = serde_json::to_string_pretty(&archive).map_err(|error| error.to_string())?;
    Ok(format!("{json}\n"))
}

/// Whether bytes are an archive, by their first words.
pub(crate) fn is_one(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    // Cheap for what begins otherwise; an archive longer than its beginning does not parse here.
    let begins = bytes.get(..200).unwrap_or(bytes);
    let begins = String::from_utf8_lossy(begins);
    if !begins.trim_start().starts_with('{') {
        return false;
    }
    let whole = serde_json::from_slice::<Head>(bytes);
    begins.contains(SCHEMA) || whole.is_ok_and(|head| head.schema == SCHEMA)
}

/// Judges an archive again and says what differs; the exit code is the verdict's where nothing
/// does, and that of untrusted evidence where something does.
pub(crate) fn again(bytes: &[u8], name: &str, format: Format) -> Outcome {
    let archive = match read(bytes) {
        Ok(archive) => archive,
        Err(because) => {
            crate::complain(&format!("{name}: bundle.malformed: {because}"));
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

fn read(bytes: &[u8]) -> Result<Archive, String> {
    let archive: Archive = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if archive.schema != SCHEMA {
        return Err(format!("its schema is not {SCHEMA}"));
    }
    if archive.files.len() > FILES_MAX {
        return Err(format!("it holds more than {FILES_MAX} files"));
    }
    Ok(archive)
}

/// What was asked for, at the instant of then.
fn arguments(archive: &Archive) -> Result<Verify, String> {
    let program = std::iter::once("zeuge".to_owned());
    let all = program.chain(archive.arguments.iter().cloned());
    let parsed = Arguments::try_parse_from(all)
        .map_err(|error| format!("its arguments are refused: {}", error.kind()))?;
    let Command::Report(report) = parsed.command else {
        return Err("its arguments are not those of zeuge report".to_owned());
    };
    let mut verify = report.verify;
    if verify.fetch {
        return Err("an archive is judged offline: --fetch is refused".to_owned());
    }
    verify.at = Some(archive.at.clone());
    Ok(verify)
}

fn files(archive: &Archive) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let mut out = BTreeMap::new();
    for member in &archive.files {
        let bytes = from_base64url(&member.content)
            .ok_or_else(|| format!("{}: its content is not base64url", member.name))?;
        if hex::encode(sha256(&bytes)) != member.sha256 {
            return Err(format!("{}: its digest is another one", member.name));
        }
        out.insert(PathBuf::from(&member.name), bytes);
    }
    Ok(out)
}

/// Which parts of the verdict differ, with both values where they are short.
fn differences(then: &Value, now: &Value) -> Vec<String> {
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

fn about_verifier(archive: &Archive, knowledge: &Knowledge, told: &mut Vec<String>) {
    let (program, digest) = this_program();
    let digest = digest.map(hex::encode);
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

fn about_signature(archive: &Archive, differences: &mut Vec<String>, told: &mut Vec<String>) {
    let report = archive.report.as_ref().map(|member| {
        let bytes = from_base64url(&member.content).unwrap_or_default();
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
        (None, Some((name, _))) => told.push(format!("the report {name} is not signed")),
        (None, None) => {}
    }
}

/// The name under which a path was read.
pub(crate) fn what(path: &Path, evidence: &Path) -> &'static str {
    if path == evidence {
        "evidence"
    } else {
        "input"
    }
}
