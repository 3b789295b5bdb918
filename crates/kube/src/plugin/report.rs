//! `report`: a span of time in one signed page, for whoever has to show that nodes were attested.
//!
//! Counts from the histories in AttestedNode objects. Expected is what the policy of *today*
//! demands for the time that a Node object lived: one verdict per `maxAgeSeconds`. A gap is time
//! that no verdict covers. The signature says who made the report, not that the cluster's objects
//! are true: verdicts stand, provable, in the log of the witness.

use std::path::{Path, PathBuf};

use clap::Args;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeuge_protocol::keys::PublicKey;
use zeuge_protocol::text::{base64url, from_base64url};

use super::key::{self, Signer};
use super::table::{span, table as columns};
use super::{Picture, json};
use crate::api::{AttestedNode, Declaration};
use crate::belief::{seconds, time};
use crate::error::Error;
use crate::history::{History, Span, Taken, Waived};

/// What stands before the payload under the signature.
const LABEL: &[u8] = b"zeuge-kube-report-v1\0";
const SCHEMA: &str = "zeuge.kube-report.v1";
/// 5,000 nodes with a full history are under 64 MiB.
const REPORT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Options of `report`.
#[derive(Args)]
pub(super) struct Options {
    /// The first instant: RFC 3339, or a date, which begins at midnight UTC.
    #[arg(long, value_name = "WHEN")]
    from: String,
    /// The first instant that no longer counts; by default now.
    #[arg(long, value_name = "WHEN")]
    to: Option<String>,
    /// Sign with this key, as `zeuge owner init` makes it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Write the report there; it must not exist.
    #[arg(long, value_name = "FILE", requires = "key")]
    out: Option<PathBuf>,
}

/// What was asked for, read and checked.
#[derive(Debug)]
pub(super) struct Asked {
    from: i64,
    to: Option<i64>,
    signer: Option<Signer>,
}

impl Options {
    pub(super) fn check(&self) -> Result<Asked, Error> {
        let asked = Asked {
            from: instant(&self.from)?,
            to: self.to.as_deref().map(instant).transpose()?,
            signer: self.key.as_deref().map(key::read).transpose()?,
        };
        if asked.to.is_some_and(|to| to <= asked.from) {
            return Err(Error::Local("--to is not after --from".into()));
        }
        Ok(asked)
    }
}

fn instant(text: &str) -> Result<i64, Error> {
    let whole = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00Z")
    };
    let read = whole.parse::<jiff::Timestamp>();
    let read = read.map_err(|error| Error::Local(format!("{text}: {error}")))?;
    Ok(read.as_second())
}

/// The page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    schema: String,
    /// The UID of the namespace kube-system.
    cluster: String,
    from: Time,
    to: Time,
    made_at: Time,
    /// Who signed, as the key file says.
    signer: Option<String>,
    /// The policy as it is now, its declarations and waivers among it.
    policy: Value,
    summary: Summary,
    nodes: Vec<NodeReport>,
    /// What this page does not say.
    notes: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Summary {
    nodes: usize,
    expected: i64,
    actual: i64,
    gap_seconds: i64,
    failures: usize,
    /// Waivers, once for each node that they name.
    #[serde(default)]
    waivers: usize,
    /// From the verdict that failed to the first step, at the slowest.
    slowest_reaction_seconds: Option<i64>,
    /// Nodes whose history does not reach back to the beginning.
    incomplete: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct NodeReport {
    node: String,
    /// The bootstrap group of a machine that is not attested: no verdict is expected of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_applicable: Option<String>,
    /// What a pod on it declared last (DaemonSet mode): no verdict, so all of its life is a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    declared: Option<Declaration>,
    /// Seconds within the span in which a Node object existed.
    lived_seconds: i64,
    lives: Vec<Interval>,
    expected: i64,
    actual: i64,
    gaps: Vec<Interval>,
    gap_seconds: i64,
    failures: Vec<Failure>,
    steps: Vec<Taken>,
    /// What owners waived for it and counted within the span, if only for a part of it.
    #[serde(default)]
    waivers: Vec<Waived>,
    /// Nothing is missing from then on, if it is later than the beginning.
    complete_since: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Interval {
    from: Time,
    to: Time,
}

/// A machine began to fail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Failure {
    at: Time,
    checks: Vec<String>,
    /// The first step after that, and how long it took.
    step: Option<Taken>,
    reaction_seconds: Option<i64>,
    /// The next verdict that did not fail.
    repaired_at: Option<Time>,
}

/// The page with its signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    /// The report in JSON, base64url.
    payload: String,
    /// The signer's key; whoever verifies brings their own copy.
    public_key: PublicKey,
    /// Ed25519 over the label and the payload's bytes, base64url.
    signature: String,
}

/// Unix seconds, from and to.
type Stretch = (i64, i64);

fn clip((from, to): Stretch, (low, high): Stretch) -> Option<Stretch> {
    let both = (from.max(low), to.min(high));
    (both.0 < both.1).then_some(both)
}

fn interval((from, to): Stretch) -> Option<Interval> {
    Some(Interval {
        from: time(from)?,
        to: time(to)?,
    })
}

fn length(all: &[Stretch]) -> i64 {
    all.iter().map(|(from, to)| to.saturating_sub(*from)).sum()
}

fn lives(history: &History, range: Stretch, now: i64) -> Vec<Stretch> {
    let lived = history.lives.iter().filter_map(|life| {
        let until = seconds(life.until.as_ref()).unwrap_or(now);
        clip((seconds(Some(&life.from))?, until), range)
    });
    lived.collect()
}

/// The parts of the lives that no verdict covers.
fn gaps(lives: &[Stretch], verdicts: &[Span], age_secs_max: i64) -> Vec<Stretch> {
    let mut covered: Vec<Stretch> = verdicts
        .iter()
        .filter_map(|it| {
            let to = seconds(Some(&it.to))?.saturating_add(age_secs_max);
            Some((seconds(Some(&it.from))?, to))
        })
        .collect();
    covered.sort_unstable();
    let mut gaps = Vec::new();
    for &(mut from, to) in lives {
        for &(begin, end) in &covered {
            if begin > from && begin < to {
                gaps.push((from, begin));
            }
            if end > from && begin < to {
                from = end.max(from);
            }
        }
        if from < to {
            gaps.push((from, to));
        }
    }
    gaps
}

fn failures(history: &History, range: Stretch) -> Vec<Failure> {
    let bad = |it: &Span| it.verdict == "contraindicated";
    let mut found = Vec::new();
    let mut before_failed = false;
    for (at, span) in history.verdicts.iter().enumerate() {
        let begins = bad(span) && !before_failed;
        before_failed = bad(span);
        let since = seconds(Some(&span.from)).unwrap_or_default();
        if !begins || !(range.0..range.1).contains(&since) {
            continue;
        }
        let later = history.verdicts.iter().skip(at);
        let repaired = later.clone().find(|it| !bad(it)).map(|it| it.from.clone());
        let until = seconds(repaired.as_ref()).unwrap_or(i64::MAX);
        // Clocks of witness and controller may differ by the skew that is allowed.
        let earliest = since.saturating_sub(crate::plan::SKEW_SECS_MAX);
        let step = history.steps.iter().find(|it| {
            let at = seconds(Some(&it.at)).unwrap_or_default();
            at >= earliest && at <= until && it.step != "Trust"
        });
        let took = step.and_then(|it| seconds(Some(&it.at)));
        found.push(Failure {
            at: span.from.clone(),
            checks: span.failed.clone(),
            step: step.cloned(),
            reaction_seconds: took.map(|at| at.saturating_sub(since).max(0)),
            repaired_at: repaired,
        });
    }
    found
}

fn node(memory: &AttestedNode, range: Stretch, age_secs_max: i64, now: i64) -> NodeReport {
    let status = memory.status.clone().unwrap_or_default();
    let (history, not_applicable) = (status.history, status.not_applicable);
    let lives = lives(&history, range, now);
    let lived_seconds = length(&lives);
    let inside = |at: &Time| seconds(Some(at)).is_some_and(|it| (range.0..range.1).contains(&it));
    let within = |it: &&Waived| {
        let both = (seconds(Some(&it.from)), seconds(Some(&it.until)));
        matches!(both, (Some(from), Some(until)) if clip((from, until), range).is_some())
    };
    let counted = history.verdicts.iter().filter(|it| inside(&it.from));
    let (mut expected, mut gaps) = (
        lived_seconds.checked_div(age_secs_max).unwrap_or(0),
        gaps(&lives, &history.verdicts, age_secs_max),
    );
    if not_applicable.is_some() {
        (expected, gaps) = (0, Vec::new());
    }
    let late = seconds(history.complete_since.as_ref()).is_some_and(|it| it > range.0);
    NodeReport {
        node: memory.name_any(),
        lived_seconds,
        not_applicable,
        declared: status.declared,
        expected,
        actual: counted.map(|it| it.count).sum(),
        gap_seconds: length(&gaps),
        gaps: gaps.into_iter().filter_map(interval).collect(),
        failures: failures(&history, range),
        steps: history
            .steps
            .iter()
            .filter(|it| inside(&it.at))
            .cloned()
            .collect(),
        waivers: history
            .waivers
            .iter()
            .filter(|it| within(it))
            .cloned()
            .collect(),
        complete_since: history.complete_since.clone().filter(|_| late),
        lives: lives.into_iter().filter_map(interval).collect(),
    }
}

fn make(picture: &Picture, asked: &Asked) -> Result<Report, Error> {
    let now = picture.now;
    let range = (asked.from, asked.to.unwrap_or(now).min(now));
    let when =
        |at: i64| time(at).ok_or_else(|| Error::Local("an instant that nobody can write".into()));
    if range.0 >= range.1 {
        return Err(Error::Local("the span has not begun".into()));
    }
    let all = picture.memories.iter().map(|it| {
        let groups = it.status.as_ref().map(|it| it.bootstrap_groups.as_slice());
        let demands = picture
            .rules
            .demands(&it.name_any(), groups.unwrap_or_default());
        node(it, range, demands.age_secs_max, now)
    });
    // A name that neither lived nor was judged in the span is nothing to report.
    let nodes: Vec<NodeReport> = all
        .filter(|it| it.lived_seconds > 0 || it.actual > 0)
        .collect();
    let slowest = nodes.iter().flat_map(|it| &it.failures);
    let late = |it: &&NodeReport| it.complete_since.is_some();
    Ok(Report {
        schema: SCHEMA.to_owned(),
        cluster: picture.cluster_uid.clone(),
        from: when(range.0)?,
        to: when(range.1)?,
        made_at: when(now)?,
        signer: asked.signer.as_ref().map(|it| it.person.clone()),
        policy: serde_json::to_value(&picture.policy.spec)
            .map_err(|error| Error::Local(error.to_string()))?,
        summary: Summary {
            nodes: nodes.len(),
            expected: nodes.iter().map(|it| it.expected).sum(),
            actual: nodes.iter().map(|it| it.actual).sum(),
            gap_seconds: nodes.iter().map(|it| it.gap_seconds).sum(),
            failures: nodes.iter().map(|it| it.failures.len()).sum(),
            waivers: nodes.iter().map(|it| it.waivers.len()).sum(),
            slowest_reaction_seconds: slowest.filter_map(|it| it.reaction_seconds).max(),
            incomplete: nodes
                .iter()
                .filter(late)
                .map(|it| it.node.clone())
                .collect(),
        },
        nodes,
        notes: NOTES.map(str::to_owned).to_vec(),
    })
}

const NOTES: [&str; 4] = [
    "Made from AttestedNode objects of the cluster: whoever runs its API server can change them. \
     What proves a verdict is the log of the witness.",
    "Expected counts and gaps follow the policy as it is now, not as it was.",
    "Verdicts are kept as spans that end with the day (UTC); a span that begins inside of the time \
     asked for counts as a whole.",
    "Nodes that were made and deleted while no controller ran are not known.",
];

fn signed(report: &Report, signer: &Signer) -> Result<Signed, Error> {
    let payload = serde_json::to_vec(report).map_err(|error| Error::Local(error.to_string()))?;
    Ok(Signed {
        signature: base64url(&signer.key.sign(&[LABEL, &payload].concat())),
        payload: base64url(&payload),
        public_key: signer.key.public(),
    })
}

pub(super) fn run(
    picture: &Picture,
    options: &Options,
    asked: &Asked,
    text: bool,
) -> Result<u8, Error> {
    let report = make(picture, asked)?;
    let signed = asked
        .signer
        .as_ref()
        .map(|it| signed(&report, it))
        .transpose()?;
    match (&signed, &options.out) {
        (Some(signed), Some(path)) => {
            write_new(path, &json(signed)?)?;
            print!("{}", report.text());
            println!("signed, in {}", path.display());
        }
        (Some(signed), None) => print!("{}", json(signed)?),
        (None, _) if text => {
            print!("{}", report.text());
            println!("not signed (--key)");
        }
        (None, _) => print!("{}", json(&report)?),
    }
    Ok(if report.summary.incomplete.is_empty() {
        0
    } else {
        10
    })
}

/// Writes a file that was not there.
fn write_new(path: &Path, text: &str) -> Result<(), Error> {
    use std::io::Write as _;
    let failed = |error: std::io::Error| Error::Local(format!("{}: {error}", path.display()));
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)
}

/// The report, if this key signed it.
pub(super) fn opened(text: &str, public: &PublicKey) -> Result<Report, &'static str> {
    let signed: Signed = serde_json::from_str(text).map_err(|_| "this is no signed report")?;
    let payload = from_base64url(&signed.payload).ok_or("the payload is not base64url")?;
    let signature = from_base64url(&signed.signature).ok_or("the signature is not base64url")?;
    if !public.verifies(&[LABEL, &payload].concat(), &signature) {
        return Err("the signature is not this key's");
    }
    let report: Report = serde_json::from_slice(&payload).map_err(|_| "this is no report")?;
    if report.schema != SCHEMA {
        return Err("the report is of another version");
    }
    Ok(report)
}

pub(super) fn verify(path: &Path, public_key: &str, text: bool) -> Result<u8, Error> {
    use std::io::Read as _;
    let public = key::public(public_key)?;
    let mut whole = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(REPORT_BYTES_MAX).read_to_string(&mut whole))
        .map_err(|error| Error::Local(format!("{}: {error}", path.display())))?;
    match opened(&whole, &public) {
        Ok(report) => {
            print!("{}", if text { report.text() } else { json(&report)? });
            eprintln!("the signature holds");
            Ok(0)
        }
        Err(because) => {
            eprintln!("kubectl zeuge: {}: {because}", path.display());
            Ok(3)
        }
    }
}

impl Report {
    pub(super) fn text(&self) -> String {
        let sum = &self.summary;
        let mut out = format!(
            "cluster {}, {} to {}\n{} nodes; {} verdicts, {} expected; gaps {}; {} failures",
            self.cluster,
            self.from.0,
            self.to.0,
            sum.nodes,
            sum.actual,
            sum.expected,
            span(sum.gap_seconds),
            sum.failures
        );
        if let Some(slowest) = sum.slowest_reaction_seconds {
            out.push_str(&format!("; slowest reaction {}", span(slowest)));
        }
        out.push_str("\n\n");
        let head = [
            "NODE", "LIVED", "EXPECTED", "ACTUAL", "GAPS", "FAILURES", "COMPLETE",
        ];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        lines.extend(self.nodes.iter().map(|it| {
            vec![
                it.node.clone(),
                span(it.lived_seconds),
                it.expected.to_string(),
                it.actual.to_string(),
                format!("{} ({})", span(it.gap_seconds), it.gaps.len()),
                it.failures.len().to_string(),
                match &it.complete_since {
                    Some(since) => format!("since {}", since.0),
                    None => "yes".to_owned(),
                },
            ]
        }));
        out.push_str(&columns(&lines));
        for node in &self.nodes {
            for failure in &node.failures {
                out.push_str(&failure.text(&node.node));
            }
            for waiver in &node.waivers {
                out.push_str(&format!(
                    "{} waived {} to {} ({}) by {}: {} ({})\n",
                    node.node,
                    waiver.from.0,
                    waiver.until.0,
                    waiver.checks.join(" "),
                    waiver.by.join(" and "),
                    waiver.because,
                    waiver.logged.as_deref().unwrap_or("in no witness's log")
                ));
            }
        }
        let declared = ["compromised", "maintenance"];
        for name in declared {
            for one in self.policy[name].as_array().into_iter().flatten() {
                out.push_str(&format!("{name}: {one}\n"));
            }
        }
        out.push('\n');
        for note in &self.notes {
            out.push_str(&format!("note: {note}\n"));
        }
        out
    }
}

impl Failure {
    fn text(&self, node: &str) -> String {
        let reaction = match (&self.step, self.reaction_seconds) {
            (Some(step), Some(took)) => format!("{} after {}", step.step, span(took)),
            _ => "no step".to_owned(),
        };
        let repaired = match &self.repaired_at {
            Some(at) => format!("good again {}", at.0),
            None => "not repaired".to_owned(),
        };
        let checks = self.checks.join(" ");
        format!(
            "{node} failed {} ({checks}): {reaction}, {repaired}\n",
            self.at.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const START: i64 = 20_000 * DAY;

    fn memory(history: History) -> AttestedNode {
        let mut memory = AttestedNode::new("worker-1", Default::default());
        memory.status = Some(crate::api::AttestedNodeStatus {
            history,
            ..Default::default()
        });
        memory
    }

    /// Judged every five minutes for an hour, then silent for half an hour, then failed, tainted
    /// after 2 s, and repaired after ten minutes.
    fn eventful() -> History {
        let mut history = History::default();
        history.lives("u", START, START);
        for at in 0..=12 {
            history.judged(START + at * 300, "affirming", &[], 900);
        }
        let failed = START + 3600 + 1800;
        history.judged(failed, "contraindicated", &["policy.debug".into()], 900);
        history.stepped(START + 5, "Trust");
        history.stepped(failed + 2, "Distrust");
        history.stepped(failed + 3, "Cordon");
        history.judged(failed + 600, "affirming", &[], 900);
        history.stepped(failed + 601, "Uncordon");
        history
    }

    #[test]
    fn expected_actual_gaps_and_reactions_of_a_node() {
        let range = (START, START + 2 * 3600);
        let told = node(&memory(eventful()), range, 900, START + 10 * DAY);
        assert_eq!(
            (told.lived_seconds, told.expected, told.actual),
            (7200, 8, 15)
        );
        // The last good verdict covers 15 of the 30 silent minutes.
        // And the verdict after the repair the first 15 of the minutes that follow.
        let silent = [(4500, 5400), (6900, 7200)];
        let wanted = silent.map(|(from, to)| interval((START + from, START + to)).unwrap());
        assert_eq!(told.gaps, wanted);
        let [failure] = told.failures.as_slice() else {
            panic!("{told:?}");
        };
        assert_eq!(failure.reaction_seconds, Some(2));
        assert_eq!(failure.step.as_ref().unwrap().step, "Distrust");
        assert_eq!(failure.checks, ["policy.debug"]);
        assert_eq!(seconds(failure.repaired_at.as_ref()), Some(START + 6000));
        assert_eq!((told.steps.len(), told.complete_since), (4, None));
    }

    #[test]
    fn a_node_that_was_never_judged_is_one_gap_and_one_that_went_is_not_missed() {
        let mut history = History::default();
        history.lives("u", START, START);
        history.gone(START + 3600);
        let told = node(
            &memory(history),
            (START - DAY, START + DAY),
            900,
            START + DAY,
        );
        assert_eq!((told.expected, told.actual, told.gap_seconds), (4, 0, 3600));
        let elsewhere = node(&memory(eventful()), (START - DAY, START), 900, START + DAY);
        assert_eq!((elsewhere.lived_seconds, elsewhere.actual), (0, 0));
    }

    #[test]
    fn a_waiver_is_reported_for_every_span_that_it_touches() {
        let mut history = eventful();
        let waiver = crate::waiver::Waiver {
            from: START + 10,
            until: START + 3610,
            because: "firmware".into(),
            ..crate::waiver::Waiver::new("c".into(), vec!["n".into()], vec!["policy.tcb".into()])
        };
        let believed = crate::waiver::Believed {
            waiver,
            people: vec!["anna".into()],
            author: zeuge_protocol::keys::SigningKey::from_seed(&[1; 32])
                .unwrap()
                .public()
                .id(),
            digest: [0; 32],
        };
        history.waived(&believed, None);
        history.waived(&believed, Some("leaf 7 of https://w1"));
        let memory = memory(history);
        let waived = |from: i64, to: i64| {
            let told = node(&memory, (START + from, START + to), 900, START + DAY);
            told.waivers.len()
        };
        let spans = [(0, 10), (0, 11), (3609, 7200), (3610, 7200)];
        assert_eq!(spans.map(|(from, to)| waived(from, to)), [0, 1, 1, 0]);
    }

    #[test]
    fn gaps_are_what_verdicts_do_not_cover_whatever_their_order() {
        let span = |from: i64, to: i64| Span {
            from: time(from).unwrap(),
            to: time(to).unwrap(),
            count: 1,
            verdict: "affirming".into(),
            failed: vec![],
        };
        let verdicts = [span(500, 600), span(0, 100), span(90, 95)];
        assert_eq!(
            gaps(&[(0, 1000)], &verdicts, 100),
            [(200, 500), (700, 1000)]
        );
        assert_eq!(
            gaps(&[(650, 690), (690, 800)], &verdicts, 100),
            [(700, 800)]
        );
        assert_eq!(gaps(&[(0, 10)], &[], 100), [(0, 10)]);
    }

    #[test]
    fn a_report_is_opened_by_the_right_key_and_whole_or_not_at_all() {
        let (text, public) = key::sample();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, text).unwrap();
        let signer = key::read(&file).unwrap();
        let report = Report {
            schema: SCHEMA.into(),
            cluster: "u".into(),
            from: time(START).unwrap(),
            to: time(START + DAY).unwrap(),
            made_at: time(START + DAY).unwrap(),
            signer: Some("Ada".into()),
            policy: Value::Null,
            summary: Summary::default(),
            nodes: vec![node(
                &memory(eventful()),
                (START, START + DAY),
                900,
                START + DAY,
            )],
            notes: vec![],
        };
        let sealed = signed(&report, &signer).unwrap();
        let text = serde_json::to_string(&sealed).unwrap();
        assert_eq!(opened(&text, &public), Ok(report.clone()));
        let other = zeuge_protocol::keys::SigningKey::from_seed(&[1; 32])
            .unwrap()
            .public();
        assert_eq!(
            opened(&text, &other),
            Err("the signature is not this key's")
        );
        // The key beside the payload is believed by nobody.
        let forged = Signed {
            public_key: other,
            ..sealed.clone()
        };
        let forged = serde_json::to_string(&forged).unwrap();
        assert_eq!(opened(&forged, &public), Ok(report.clone()));
        let mut payload = from_base64url(&sealed.payload).unwrap();
        let at = payload.len() / 2;
        payload[at] ^= 1;
        let changed = Signed {
            payload: base64url(&payload),
            ..sealed
        };
        let changed = serde_json::to_string(&changed).unwrap();
        assert_eq!(
            opened(&changed, &public),
            Err("the signature is not this key's")
        );
        assert_eq!(opened("{}", &public), Err("this is no signed report"));
        assert!(report.text().contains("worker-1 failed"));
    }

    #[test]
    fn instants_are_dates_or_rfc_3339() {
        assert_eq!(instant("2024-10-04").unwrap(), START);
        assert_eq!(instant("2024-10-04T00:00:01Z").unwrap(), START + 1);
        assert!(instant("yesterday").is_err());
    }
}
