//! The trust report: one verdict, told once for anyone and once in detail, as one page of HTML
//! without scripts, as text, and as `zeuge.report.v1`.
//!
//! Adds no judgement to the verdict and leaves nothing of it out: limits, adversaries and what was
//! not proved stand on every report. Everything that comes from evidence or from an owner's
//! knowledge is escaped; nothing on the page is fetched.

mod draw;
mod html;
mod sections;
mod words;

use serde_json::{Value, json};
use zeuge_appraise::{Knowledge, Verdict};

use crate::{Language, assessed, render_with, verdict_with};

pub use html::page;

/// The schema of the report in JSON.
pub const SCHEMA: &str = "zeuge.report.v1";

/// Something that the verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What it is: `evidence`, `endorsement`, `policy`, …
    pub what: String,
    /// Its name where it was read.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// What a witness said about the same evidence, signed with its report key and found in its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// The witness's id.
    pub witness: String,
    /// Whose machine it is.
    pub tenant: String,
    /// The machine.
    pub machine: String,
    /// The id of the report key.
    pub key: String,
    /// The instant of its verdict.
    pub at: String,
    /// The origin of its log.
    pub log: String,
    /// The number of the verdict's entry.
    pub leaf: u64,
    /// The entries under the checkpoint of the receipt.
    pub size: u64,
    /// The root of that checkpoint.
    pub root: [u8; 32],
    /// The check that only the witness could make, where it warned.
    pub alone: Option<String>,
    /// What came out otherwise here; empty where the same did.
    pub differences: Vec<String>,
}

/// A verdict with what a report says beside it.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The verdict.
    pub verdict: &'a Verdict,
    /// The name of what was judged.
    pub file: Option<&'a str>,
    /// The knowledge that threats were assessed with.
    pub knowledge: &'a Knowledge,
    /// The program that verified, with its version.
    pub program: &'a str,
    /// SHA-256 of that program.
    pub program_sha256: Option<[u8; 32]>,
    /// Who signs this report, in words and by key id; `None` for an unsigned one.
    pub signer: Option<&'a str>,
    /// What a witness said, where the evidence came from one.
    pub witnessed: Option<&'a Witnessed>,
    /// Everything that the verdict depends on.
    pub inputs: &'a [Input],
}

/// The report in JSON: `zeuge.report.v1`, texts in English.
#[must_use]
pub fn json(report: &Report<'_>) -> Value {
    let knowledge = report.knowledge;
    let en = |texts| assessed::text(texts, Language::En);
    json!({
        "schema": SCHEMA,
        "verdict": verdict_with(report.verdict, report.file, knowledge),
        "limits": knowledge.limits().iter().map(|limit| en(&limit.general)).collect::<Vec<_>>(),
        "history": sections::history(report).map(|entry| json!({
            "when": entry.when, "of": entry.of, "what": en(&entry.general),
            "confidence": entry.confidence.word(), "sources": entry.sources,
        })).collect::<Vec<_>>(),
        "auditors": knowledge.regimes().iter().map(|regime| json!({
            "id": regime.id, "name": en(&regime.name), "asks": en(&regime.asks),
            "contributes": en(&regime.gives), "open": en(&regime.open),
            "confidence": regime.confidence.word(), "sources": regime.sources,
        })).collect::<Vec<_>>(),
        "knowledge": {
            "version": knowledge.id().version,
            "digest": format!("sha256:{}", hex::encode(knowledge.id().digest)),
            "state_of": knowledge.state_of(),
        },
        "verifier": {
            "program": report.program,
            "sha256": report.program_sha256.map(hex::encode),
        },
        "inputs": report.inputs.iter().map(|input| json!({
            "what": input.what, "name": input.name, "sha256": hex::encode(input.sha256),
        })).collect::<Vec<_>>(),
        "signer": report.signer,
        "witnessed": report.witnessed.map(|told| json!({
            "witness": told.witness, "tenant": told.tenant, "machine": told.machine,
            "report_key": told.key, "at": told.at, "log": told.log, "leaf": told.leaf,
            "size": told.size, "root": hex::encode(told.root), "same": told.differences.is_empty(),
            "alone": told.alone,
            "differences": told.differences,
        })),
    })
}

/// The report as text: the verdict, then what stands on every report.
#[must_use]
pub fn text(report: &Report<'_>, language: Language) -> String {
    let mut out = render_with(report.verdict, report.file, report.knowledge, language);
    let mut list = |heading: &str, lines: Vec<String>| {
        out.push('\n');
        out.push_str(heading);
        out.push('\n');
        for line in lines {
            out.push_str("  - ");
            out.push_str(&line);
            out.push('\n');
        }
    };
    let verdict = report.verdict;
    for one in &verdict.adversaries {
        let name = assessed::who(one.who, report.knowledge, language);
        let word = assessed::protection(one.protection, language);
        let mut lines = assessed::reasons(one, verdict, report.knowledge, language);
        let improve = assessed::improvements(one, report.knowledge, language);
        let would = language.pick("would improve it", "würde es verbessern");
        lines.extend(improve.into_iter().map(|line| format!("{would}: {line}")));
        list(&format!("{name}: {word}"), lines);
    }
    if let Some(told) = report.witnessed {
        list(
            words::WITNESSED.get(language),
            sections::said_by_witness(told, language),
        );
    }
    let limits = report.knowledge.limits().iter();
    let limits = limits.map(|limit| assessed::text(&limit.general, language).to_owned());
    list(words::LIMITS.get(language), limits.collect());
    let history = sections::history(report).map(|entry| {
        let text = assessed::text(&entry.general, language);
        let sure = assessed::confidence(entry.confidence, language);
        format!("{}, {}: {text} [{sure}]", entry.when, entry.of)
    });
    list(words::HISTORY.get(language), history.collect());
    let inputs = report.inputs.iter().map(|input| {
        let digest = hex::encode(input.sha256);
        format!(
            "{} {} sha256:{digest}",
            sections::what(&input.what, language),
            input.name
        )
    });
    list(words::INPUTS.get(language), inputs.collect());
    out
}
