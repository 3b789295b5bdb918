//! `zeuge report`: the trust report on one file, signed where an owner's key is given, with an
//! archive that reproduces it; on a file, or on a machine of a witness's.
//!
//! Judges as `zeuge verify` does, through the same functions. Overwrites nothing.

use std::path::{Path, PathBuf};

use zeuge_appraise::Knowledge;
use zeuge_protocol::{
    api::VerdictWord,
    report_bundle::{Signature, WitnessWord},
};
use zeuge_report::page::{self, Input, Report, Witnessed};

use crate::{
    Outcome,
    archive::{self, Making},
    args::knowledge::{Report as Arguments, ReportFormat},
    input, knowledge, output,
    owner::KeyFile,
    verify::{self, Judged, language},
    witnessed::{self, Fetched},
};

/// What a report is made of.
struct Made {
    judged: Judged,
    knowledge: Knowledge,
    /// The text of the knowledge.
    source: String,
    /// The arguments that judge it again.
    arguments: Vec<String>,
    /// The file with the evidence, and every file that was read.
    evidence: PathBuf,
    read: Vec<(PathBuf, Vec<u8>)>,
    /// What a witness signed, and how the report tells it.
    witness: Option<(WitnessWord, Witnessed)>,
}

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    if let Some(machine) = &arguments.machine {
        return match witnessed::fetch(arguments, machine) {
            Ok(fetched) => finish(of_machine(fetched, arguments)?, arguments),
            Err(failure) => failure.told(),
        };
    }
    finish(of_file(arguments)?, arguments)
}

fn of_file(arguments: &Arguments) -> Result<Made, String> {
    let [file] = arguments.verify.files.as_slice() else {
        return Err("a report is about one file".to_owned());
    };
    let knowledge = knowledge::in_use(arguments.verify.knowledge.as_deref())?;
    input::record();
    let judged = verify::judged(&arguments.verify, &knowledge);
    let read = input::recorded();
    let source = match arguments.verify.knowledge.as_deref() {
        Some(path) => input::text(path)?,
        None => knowledge::text_in_use()?,
    };
    let all = std::env::args_os().skip(1);
    Ok(Made {
        judged: judged?,
        knowledge: knowledge.into_owned(),
        source,
        arguments: all
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        evidence: file.clone(),
        read,
        witness: None,
    })
}

/// Judges again what a witness judged.
fn of_machine(fetched: Fetched, arguments: &Arguments) -> Result<Made, String> {
    let knowledge = Knowledge::parse(&fetched.knowledge)
        .map_err(|error| format!("{}: {error}", error.check()))?;
    let mut asked = archive::asked(&fetched.arguments)?;
    asked.lang = arguments.verify.lang;
    input::serve(fetched.files.iter().cloned().collect());
    let judged = verify::judged(&asked, &knowledge);
    input::serve_nothing();
    let judged = judged?;
    let told = fetched.held.told(fetched.held.differences(&judged.wire)?);
    let evidence = asked.files.first().cloned().unwrap_or_default();
    Ok(Made {
        judged,
        knowledge,
        source: fetched.knowledge,
        arguments: fetched.arguments,
        evidence,
        read: fetched.files,
        witness: Some((fetched.word, told)),
    })
}

/// Signs, writes and packs a report; the exit code is the verdict's, and that of untrusted evidence
/// where a witness said something else.
fn finish(made: Made, arguments: &Arguments) -> Outcome {
    let key = arguments.sign.as_deref().map(KeyFile::read).transpose()?;
    let signer = key
        .as_ref()
        .map(|key| format!("{} ({})", key.person, key.key.public().id()));
    let inputs: Vec<Input> = made
        .read
        .iter()
        .map(|(path, bytes)| Input {
            what: archive::what(path, &made.evidence).to_owned(),
            name: path.display().to_string(),
            sha256: archive::sha256(bytes),
        })
        .collect();
    let (program, program_sha256) = archive::this_program();
    let witnessed = made.witness.as_ref().map(|(_, told)| told);
    let name = match witnessed {
        Some(told) => format!("{}/{}", told.tenant, told.machine),
        None => made.evidence.display().to_string(),
    };
    let text = rendered(
        &Report {
            verdict: &made.judged.verdict,
            file: Some(&name),
            knowledge: &made.knowledge,
            program: &program,
            program_sha256,
            signer: signer.as_deref(),
            witnessed,
            inputs: &inputs,
        },
        arguments,
    )?;
    let signature = key
        .as_ref()
        .map(|key| Signature::sign(text.as_bytes(), &key.person, &key.key));
    match &arguments.out {
        Some(path) => write(path, &text, signature.as_ref())?,
        None => crate::say(&text)?,
    }
    let code = made.judged.wire.verdict.exit_code();
    let differs = witnessed.is_some_and(|told| !told.differences.is_empty());
    if let Some(to) = &arguments.bundle {
        bundle(to, made, &text, arguments.out.as_deref(), signature)?;
    }
    if differs {
        crate::complain("report.record: the witness's verdict does not come out of what it sent");
        return Ok(VerdictWord::Untrusted.exit_code());
    }
    Ok(code)
}

fn rendered(report: &Report<'_>, arguments: &Arguments) -> Result<String, String> {
    let language = language(arguments.verify.lang);
    Ok(match arguments.format {
        ReportFormat::Text => page::text(report, language),
        ReportFormat::Html => page::page(report, language),
        ReportFormat::Json => {
            let json = serde_json::to_string_pretty(&page::json(report));
            format!("{}\n", json.map_err(|error| error.to_string())?)
        }
    })
}

fn write(path: &Path, text: &str, signature: Option<&Signature>) -> Result<(), String> {
    output::public(path, text.as_bytes())?;
    if let Some(signature) = signature {
        let json = serde_json::to_string_pretty(signature).map_err(|error| error.to_string())?;
        let beside = output::with_suffix(path, ".sig");
        output::public(&beside, format!("{json}\n").as_bytes())?;
    }
    Ok(())
}

fn bundle(
    to: &Path,
    made: Made,
    text: &str,
    out: Option<&Path>,
    signature: Option<Signature>,
) -> Result<(), String> {
    let named = out.map_or_else(|| "report".to_owned(), |path| path.display().to_string());
    let verdict = serde_json::to_value(&made.judged.wire).map_err(|error| error.to_string())?;
    let json = archive::make(Making {
        arguments: &made.arguments,
        at: made.judged.verdict.at.to_string(),
        verdict,
        knowledge: &made.source,
        files: &made.read,
        report: (&named, text.as_bytes()),
        signature,
        witness: made.witness.map(|(word, _)| word),
    })?;
    output::public(to, json.as_bytes())
}
