//! `zeuge report`: the trust report on one file, signed where an owner's key is given, with an
//! archive that reproduces it.
//!
//! Judges as `zeuge verify` does, through the same functions. Overwrites nothing.

use std::path::{Path, PathBuf};

use zeuge_report::page::{self, Input, Report};

use crate::{
    Outcome,
    archive::{self, Signature},
    args::knowledge::{Report as Arguments, ReportFormat},
    input, knowledge, output,
    owner::KeyFile,
    verify::{self, Judged, language},
};

/// Runs the command.
pub(crate) fn run(arguments: &Arguments) -> Outcome {
    let [file] = arguments.verify.files.as_slice() else {
        return Err("a report is about one file".to_owned());
    };
    let knowledge = knowledge::in_use(arguments.verify.knowledge.as_deref())?;
    input::record();
    let judged = verify::judged(&arguments.verify, &knowledge);
    let read = input::recorded();
    let judged = judged?;
    let key = arguments.sign.as_deref().map(KeyFile::read).transpose()?;
    let signer = key
        .as_ref()
        .map(|key| format!("{} ({})", key.person, key.key.public().id()));
    let inputs: Vec<Input> = read
        .iter()
        .map(|(path, bytes)| Input {
            what: archive::what(path, file).to_owned(),
            name: path.display().to_string(),
            sha256: archive::sha256(bytes),
        })
        .collect();
    let (program, program_sha256) = archive::this_program();
    let name = file.display().to_string();
    let text = rendered(
        &Report {
            verdict: &judged.verdict,
            file: Some(&name),
            knowledge: &knowledge,
            program: &program,
            program_sha256,
            signer: signer.as_deref(),
            inputs: &inputs,
        },
        arguments,
    )?;
    let signature = key
        .as_ref()
        .map(|key| archive::sign(text.as_bytes(), &key.person, &key.key));
    match &arguments.out {
        Some(path) => write(path, &text, signature.as_ref())?,
        None => crate::say(&text)?,
    }
    if let Some(to) = &arguments.bundle {
        let source = match arguments.verify.knowledge.as_deref() {
            Some(path) => input::text(path)?,
            None => knowledge::text_in_use()?,
        };
        bundle(to, &judged, &read, (&source, &text), arguments, signature)?;
    }
    Ok(judged.wire.verdict.exit_code())
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
    judged: &Judged,
    read: &[(PathBuf, Vec<u8>)],
    (knowledge, text): (&str, &str),
    arguments: &Arguments,
    signature: Option<Signature>,
) -> Result<(), String> {
    let out = arguments.out.as_deref();
    let named = out.map_or_else(|| "report".to_owned(), |path| path.display().to_string());
    let all: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let verdict = serde_json::to_value(&judged.wire).map_err(|error| error.to_string())?;
    let json = archive::make(
        &all,
        &judged.verdict.at.to_string(),
        verdict,
        knowledge,
        read,
        Some((&named, text.as_bytes())),
        signature,
    )?;
    output::public(to, json.as_bytes())
}
