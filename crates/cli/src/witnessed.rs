//! `zeuge report --machine`: a machine's verdict as its witness gave it, held against the report
//! key, the log and the leaf, and judged again here from the same bytes.
//!
//! Believes the witness in nothing that it can check itself: what comes out here is the report,
//! and where the witness said something else, the report says so.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use zeuge_evidence::UnixTime;
use zeuge_log::{
    commitment::{Commitment, Opening},
    hash::sha256,
    leaf::{Leaf, Outcome},
    note::VerifierKey,
    receipt::WireReceipt,
};
use zeuge_protocol::{
    api::{self, VerdictWord},
    keys::PublicKey,
    name::Name,
    report::{Content, FileDigest, Statement, WitnessReport},
    report_bundle::WitnessWord,
    text::base64url,
};
use zeuge_report::page;

use crate::{
    archive,
    args::knowledge::Report as Arguments,
    contexts, input, judge_tpm,
    witness::{Client, Failure},
};

/// The name of the evidence in the archive.
const EVIDENCE: &str = "evidence.cmw";
/// The check of what is coming.
const OUTLOOK: &str = "policy.tcb-outlook";
/// The folder of endorsements in the archive.
const ENDORSEMENTS: &str = "endorsements";

/// A statement that holds, and where it stands in the log.
pub(crate) struct Held {
    pub(crate) statement: Statement,
    key: PublicKey,
    origin: String,
    leaf: u64,
    size: u64,
    root: [u8; 32],
}

/// Everything for the report of one machine.
pub(crate) struct Fetched {
    /// What was stated.
    pub(crate) held: Held,
    /// The same for the archive.
    pub(crate) word: WitnessWord,
    /// The arguments that judge it again.
    pub(crate) arguments: Vec<String>,
    /// The files that they name.
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
    /// The text of the threat knowledge.
    pub(crate) knowledge: String,
}

fn refused(error: zeuge_protocol::Error) -> Failure {
    Failure::untrusted(error.to_string())
}

fn unfit(because: &str) -> String {
    format!("report.record: {because}")
}

/// What is stated, once signature, receipt and leaf hold; `files` are those at hand.
///
/// # Errors
/// A sentence with the check that refuses.
pub(crate) fn hold(word: &WitnessWord, files: BTreeMap<String, Content>) -> Result<Held, String> {
    let report = WitnessReport {
        statement: word.statement.clone(),
        key: word.key,
        signature: word.signature.clone(),
        files,
    };
    let statement = report.open(&word.key).map_err(|error| error.to_string())?;
    logged(word, statement)
}

/// The statement, once its receipt is that of its own leaf.
fn logged(word: &WitnessWord, statement: Statement) -> Result<Held, String> {
    let said = |error: zeuge_log::Error| format!("{}: {error}", error.check());
    let log = VerifierKey::parse(&word.log).map_err(said)?;
    if log.name() != statement.witness.as_str() {
        return Err(unfit("the log is another witness's"));
    }
    let receipt = WireReceipt::parse(statement.receipt.as_bytes()).map_err(said)?;
    let receipt = receipt.verify(&log, &[], 0).map_err(said)?;
    let leaf = Leaf::decode(receipt.entry()).map_err(said)?;
    same(&leaf, &statement)?;
    let body = receipt.checkpoint().checkpoint();
    Ok(Held {
        key: word.key,
        origin: body.origin.clone(),
        leaf: receipt.index(),
        size: body.size,
        root: body.root,
        statement,
    })
}

/// Whether a leaf is that of the verdict that is stated.
fn same(leaf: &Leaf, statement: &Statement) -> Result<(), String> {
    let Leaf::Verdict {
        time,
        platform,
        outcome,
        failed,
        evidence,
        policy,
        knowledge,
        commitments,
    } = leaf
    else {
        return Err(unfit("the receipt is not that of a verdict"));
    };
    let (record, verdict) = (&statement.record, &statement.verdict);
    let word = match verdict.verdict {
        VerdictWord::Affirming => Outcome::Affirming,
        VerdictWord::Warning => Outcome::Warning,
        _ => Outcome::Contraindicated,
    };
    let mut named = verdict.failed.clone();
    named.sort();
    named.dedup();
    let rules = record.documents.get("policy");
    let rules = rules.map_or_else(|| sha256(&[]), |digest| digest.0);
    let known = verdict.knowledge.as_ref();
    let known = known.map(|known| known.version.to_string());
    for (holds, what) in [
        (i64::try_from(*time) == Ok(record.at), "the instant"),
        (Some(platform) == verdict.kind.as_ref(), "the platform"),
        (*outcome == word, "the word"),
        (*failed == named, "the failed checks"),
        (*evidence == record.evidence.0, "the evidence"),
        (*policy == rules, "the policy"),
        (Some(knowledge) == known.as_ref(), "the threat knowledge"),
        (
            opens(commitments, statement, "tenant", statement.tenant.as_str()),
            "the tenant",
        ),
        (
            opens(commitments, statement, "machine", &statement.machine),
            "the machine",
        ),
    ] {
        if !holds {
            let because = format!("{what} in the log is another than in the report");
            return Err(unfit(&because));
        }
    }
    Ok(())
}

fn opens(
    commitments: &[(String, Commitment)],
    statement: &Statement,
    label: &str,
    value: &str,
) -> bool {
    let commitment = commitments.iter().find(|(held, _)| held == label);
    let mut openings = statement.openings.iter();
    let opened = openings.find(|opened| opened.label == label);
    commitment
        .zip(opened)
        .is_some_and(|((_, commitment), opened)| {
            let opening = Opening {
                label: label.to_owned(),
                salt: opened.salt,
                value: value.as_bytes().to_vec(),
            };
            opening.verify(commitment).is_ok()
        })
}

impl Held {
    /// How the report tells it; `differences` are those of the verdict that came out here.
    pub(crate) fn told(&self, differences: Vec<String>) -> page::Witnessed {
        let statement = &self.statement;
        page::Witnessed {
            witness: statement.witness.to_string(),
            tenant: statement.tenant.to_string(),
            machine: statement.machine.clone(),
            key: self.key.id().to_string(),
            at: UnixTime(statement.record.at).to_string(),
            log: self.origin.clone(),
            leaf: self.leaf,
            size: self.size,
            root: self.root,
            alone: self.alone().then(|| OUTLOOK.to_owned()),
            differences,
        }
    }

    /// Whether the witness warned of what is coming: it needs documents that are not yet in force
    /// and not among those that the verdict rested on.
    fn alone(&self) -> bool {
        let checks = &self.statement.verdict.checks;
        let mut about = checks.iter().filter(|check| check.id == OUTLOOK);
        about.any(|check| check.status == api::CheckStatus::Warn)
    }

    /// The same in one sentence.
    pub(crate) fn said(&self) -> String {
        let statement = &self.statement;
        format!(
            "the witness {} signed its verdict with the report key {}; it is entry {} of its log, \
             under a checkpoint of {} entries that the log's key signed",
            statement.witness,
            self.key.id(),
            self.leaf,
            self.size
        )
    }

    /// What differs between the verdict of then and this one, in everything that both can know.
    pub(crate) fn differences(&self, now: &api::Verdict) -> Result<Vec<String>, String> {
        let both = [&self.statement.verdict, now].map(|one| comparable(one, self.alone()));
        let [then, now] = both;
        Ok(archive::differences(&then?, &now?))
    }
}

/// A verdict without its sentences and what only one side can know: the name of a file, whether
/// somebody holds checkpoints of the witness's log, and, where the witness warned of it, what is
/// coming.
fn comparable(verdict: &api::Verdict, but_outlook: bool) -> Result<Value, String> {
    let mut verdict = verdict.clone();
    if but_outlook {
        verdict.checks.retain(|check| check.id != OUTLOOK);
        let word = &mut verdict.verdict;
        if *word == VerdictWord::Warning {
            *word = VerdictWord::Affirming;
        }
    }
    let mut whole = serde_json::to_value(verdict).map_err(|error| error.to_string())?;
    if let Some(fields) = whole.as_object_mut() {
        fields.remove("file");
        fields.remove("not_proved");
        for list in ["checks", "threats", "adversaries"] {
            let rows = fields.get_mut(list).and_then(Value::as_array_mut);
            for row in rows.into_iter().flatten() {
                if let Some(row) = row.as_object_mut() {
                    row.remove("because");
                }
            }
        }
    }
    Ok(whole)
}

/// A machine's name in a path.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Fetches the report of a machine, and believes of it what holds.
///
/// # Errors
/// The witness's problem; `report.signature`, `report.record` and those of the log for what does
/// not hold.
pub(crate) fn fetch(arguments: &Arguments, machine: &str) -> Result<Fetched, Failure> {
    let tenant = arguments.tenant.as_ref();
    let tenant = tenant.ok_or_else(|| "say whose machine with --tenant".to_owned())?;
    let (client, context) = contexts::client(&arguments.target)?;
    let (witness, key, log) = about(&client)?;
    if context.id.as_ref().is_some_and(|id| *id != witness) {
        let because = "the witness has another id than its context names";
        return Err(Failure::untrusted(unfit(because)));
    }
    let named = [
        (&arguments.report_key, base64url(&key.0), "report.signature"),
        (&arguments.log_key, log.clone(), "report.record"),
    ];
    for (wanted, found, check) in named {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| **wanted != found) {
            let because =
                format!("{check}: the witness names another key (found {found}, wanted {wanted})");
            return Err(Failure::untrusted(because));
        }
    }
    let mut at = format!("/v1/machines/{}/report?tenant={tenant}", escaped(machine));
    if let Some(leaf) = arguments.leaf {
        at.push_str(&format!("&leaf={leaf}"));
    }
    let body = client.get(&at)?.good()?.body;
    let report = WitnessReport::parse(&body).map_err(refused)?;
    let statement = report.open(&key).map_err(refused)?;
    if (statement.witness.as_str(), &statement.tenant) != (witness.as_str(), tenant)
        || statement.machine != machine
    {
        let because = "it speaks of another witness, tenant or machine than was asked for";
        return Err(Failure::untrusted(unfit(because)));
    }
    let word = WitnessWord {
        statement: report.statement.clone(),
        key,
        signature: report.signature.clone(),
        log,
    };
    let held = logged(&word, statement).map_err(Failure::untrusted)?;
    if arguments.leaf.is_some_and(|leaf| leaf != held.leaf) {
        let because = "it speaks of another leaf than was asked for";
        return Err(Failure::untrusted(unfit(because)));
    }
    again(arguments, report, held, word)
}

/// Id, report key and log key, as the witness names them over its authenticated connection.
fn about(client: &Client) -> Result<(String, PublicKey, String), Failure> {
    #[derive(Deserialize)]
    struct About {
        witness: Name,
        report_key: PublicKey,
        log_vkey: String,
    }
    let about = client.get("/v1/witness")?.json()?;
    let about: About = serde_json::from_value(about)
        .map_err(|error| format!("this witness makes no reports: {error}"))?;
    Ok((about.witness.to_string(), about.report_key, about.log_vkey))
}

/// The arguments and files that judge a statement's evidence again.
fn again(
    arguments: &Arguments,
    report: WitnessReport,
    held: Held,
    word: WitnessWord,
) -> Result<Fetched, Failure> {
    let record = &held.statement.record;
    let bytes = |digest: FileDigest| report.file(digest).map(<[u8]>::to_vec).map_err(refused);
    let mut files = vec![(PathBuf::from(EVIDENCE), bytes(record.evidence)?)];
    let mut line: Vec<String> = ["report", "--kind", "bundle", "--as-witness"]
        .map(str::to_owned)
        .to_vec();
    let mut option = |name: &str, value: &str| {
        line.push(format!("--{name}"));
        line.push(value.to_owned());
    };
    option("at", &UnixTime(record.at).to_string());
    option("report-data", &record.report_data);
    if let Some(number) = record.evaluation_number_seen {
        option("evaluation-number-seen", &number.to_string());
    }
    for digest in &record.endorsements {
        files.push((
            Path::new(ENDORSEMENTS).join(digest.to_string()),
            bytes(*digest)?,
        ));
    }
    if !record.endorsements.is_empty() {
        option("endorsements", ENDORSEMENTS);
    }
    for (kind, name) in [
        ("policy", "policy"),
        ("reference-values", "reference-values"),
        ("hardware-registry", "hardware"),
    ] {
        if let Some(digest) = record.documents.get(kind) {
            let file = format!("{name}.toml");
            option(name, &file);
            files.push((PathBuf::from(file), bytes(*digest)?));
        }
    }
    // Whom to trust beyond the shipped roots is said here, not by the witness.
    input::record();
    let own = trusted(arguments, &mut option);
    let read = input::recorded();
    own?;
    files.extend(read);
    line.push(EVIDENCE.to_owned());
    let knowledge = String::from_utf8(bytes(record.knowledge)?)
        .map_err(|_| Failure::untrusted(unfit("the threat knowledge is no text")))?;
    Ok(Fetched {
        held,
        word,
        arguments: line,
        files,
        knowledge,
    })
}

/// Reads the caller's own roots, so that they are served with the rest.
fn trusted(arguments: &Arguments, option: &mut impl FnMut(&str, &str)) -> Result<(), String> {
    if let Some(path) = &arguments.verify.dangerous_trust_sim {
        input::text(path)?;
        option("dangerous-trust-sim", &path.to_string_lossy());
    }
    for path in &arguments.verify.roots {
        judge_tpm::roots(path)?;
        option("roots", &path.to_string_lossy());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use zeuge_protocol::{keys::SigningKey, report::Record};

    fn verdict(word: &str, checks: &[(&str, &str)]) -> api::Verdict {
        let rows = checks
            .iter()
            .map(|(id, status)| json!({"id": id, "status": status}));
        serde_json::from_value(json!({
            "schema": "zeuge.verdict.v1", "verdict": word, "at": "2026-03-01T00:00:00Z",
            "checks": rows.collect::<Vec<_>>(), "failed": [], "claims": {}, "roots": [],
            "threats": [], "adversaries": [], "not_proved": [],
        }))
        .unwrap()
    }

    fn held(verdict: api::Verdict) -> Held {
        let name = |text| Name::parse(text).unwrap();
        Held {
            statement: Statement {
                schema: String::new(),
                witness: name("w1"),
                tenant: name("acme"),
                machine: "web-1".to_owned(),
                made: 0,
                record: Record {
                    program: String::new(),
                    at: 0,
                    report_data: String::new(),
                    evidence: FileDigest([0; 32]),
                    endorsements: Vec::new(),
                    documents: BTreeMap::new(),
                    knowledge: FileDigest([0; 32]),
                    evaluation_number_seen: None,
                },
                verdict,
                receipt: String::new(),
                openings: Vec::new(),
            },
            key: SigningKey::from_seed(&[1; 32]).unwrap().public(),
            origin: "w1".to_owned(),
            leaf: 0,
            size: 1,
            root: [0; 32],
        }
    }

    #[test]
    fn a_warning_of_what_is_coming_is_told_and_every_other_difference_counts() {
        let here = verdict("affirming", &[("policy.debug", "pass")]);
        let warned = [("policy.debug", "pass"), (OUTLOOK, "warn")];
        let then = held(verdict("warning", &warned));
        assert_eq!(then.differences(&here), Ok(Vec::new()));
        assert_eq!(then.told(Vec::new()).alone.as_deref(), Some(OUTLOOK));
        let other = held(verdict("warning", &[("policy.debug", "warn")]));
        let differences = other.differences(&here).unwrap();
        assert!(differences[0].starts_with("checks: "), "{differences:?}");
        assert!(differences[1].starts_with("verdict: "), "{differences:?}");
        assert_eq!(other.told(Vec::new()).alone, None);
        let worse = verdict("contraindicated", &[("policy.debug", "fail")]);
        assert_eq!(then.differences(&worse).unwrap().len(), 2);
    }

    #[test]
    fn a_machines_name_is_one_segment_of_a_path() {
        assert_eq!(escaped("web-1.rack_7~"), "web-1.rack_7~");
        assert_eq!(escaped("a/b?c d"), "a%2Fb%3Fc%20d");
    }
}
