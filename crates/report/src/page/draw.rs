//! Two small drawings: who vouches for whom, and who can do what. Plain SVG, labelled for readers
//! who hear the page, legible without colour.

use zeuge_appraise::{
    Facts,
    threats::{Breaks, Deciding, State, Who},
};

use super::{Report, html::escape, words};
use crate::{Language, assessed};

const WIDTH: usize = 680;
/// The tip of arrows; on a page one drawing alone has arrows.
const TIP: &str = "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" \
                   markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 \
                   z\" class=\"tip\"/></marker></defs>";

/// Root, key, evidence, machine: one row per root.
pub(super) fn chain(report: &Report<'_>, language: Language) -> String {
    let verdict = report.verdict;
    let mut rows: Vec<[String; 4]> = Vec::new();
    for root in &verdict.roots {
        let key = match (
            root.kind.as_str(),
            signer_is_provider(verdict.facts.as_ref()),
        ) {
            ("tpm" | "paravisor", _) => words::TPM_KEY,
            ("firmware", _) => words::FIRMWARE_KEY,
            ("hypervisor", _) | (_, true) => words::PROVIDER_KEY,
            (_, false) => words::CHIP_KEY,
        };
        rows.push([
            format!(
                "{}: {} ({})",
                words::ROOT_OF.get(language),
                root.maker,
                root.jurisdiction
            ),
            key.get(language).to_owned(),
            words::EVIDENCE.get(language).to_owned(),
            words::MACHINE.get(language).to_owned(),
        ]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let height = rows.len().saturating_mul(84).saturating_add(8);
    let title = words::CHAIN.get(language);
    let spoken: Vec<String> = rows.iter().map(|row| row.join(" → ")).collect();
    let mut out = open(title, &spoken.join("; "), height);
    out.push_str(TIP);
    for (index, row) in rows.iter().enumerate() {
        let y = index.saturating_mul(84).saturating_add(12);
        for (column, label) in row.iter().enumerate() {
            let x = column.saturating_mul(172).saturating_add(2);
            boxed(&mut out, x, y, label, column == 0);
            if column > 0 {
                let from = x.saturating_sub(20);
                let middle = y.saturating_add(28);
                let tip = x.saturating_sub(3);
                out.push_str(&format!(
                    "<path d=\"M{from} {middle} H{tip}\" class=\"arrow\" marker-end=\"url(#tip)\"/>"
                ));
            }
        }
    }
    out.push_str("</svg>");
    out
}

fn signer_is_provider(facts: Option<&Facts>) -> bool {
    let claims = facts.map(crate::claims).unwrap_or_default();
    claims["snp"]["signing_key"] == "VLEK"
}

fn open(title: &str, spoken: &str, height: usize) -> String {
    format!(
        "<svg role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">\
         <title>{}</title><desc>{}</desc>",
        escape(title),
        escape(spoken)
    )
}

/// A box of 152 by 56 with up to three lines of text.
fn boxed(out: &mut String, x: usize, y: usize, label: &str, first: bool) {
    let class = if first { "box root" } else { "box" };
    out.push_str(&format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"152\" height=\"56\" rx=\"8\" class=\"{class}\"/>"
    ));
    let lines = wrapped(label, 21);
    let middle = x.saturating_add(76);
    let above = lines.len().saturating_sub(1).saturating_mul(8);
    for (index, line) in lines.iter().enumerate() {
        let at = y
            .saturating_add(32)
            .saturating_sub(above)
            .saturating_add(index.saturating_mul(16));
        out.push_str(&format!(
            "<text x=\"{middle}\" y=\"{at}\" text-anchor=\"middle\">{}</text>",
            escape(line)
        ));
    }
}

/// Letters of one line of a name beside the marks.
const NAME_LETTERS: usize = 46;

/// Words in lines of about `width` letters; at most three.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.len() >= 3;
        let Some(line) = lines.last_mut() else { break };
        let length = line.chars().count().saturating_add(word.chars().count());
        if line.is_empty() || length < width || full {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// How one adversary stands to reading, changing and forging.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Shown,
    Unknown,
    Possible,
}

impl Mark {
    const fn sign(self) -> &'static str {
        match self {
            Self::Shown => "○",
            Self::Unknown => "◐",
            Self::Possible => "●",
        }
    }
}

fn mark(report: &Report<'_>, who: Who, breaks: Breaks) -> Mark {
    let known = report.knowledge.adversary(who);
    let worst = report.verdict.threats.iter().filter_map(|one| {
        let threat = report.knowledge.threat(&one.id)?;
        let can = known?.can.iter().any(|at| threat.positions.contains(at));
        if !can || !threat.breaks.contains(&breaks) {
            return None;
        }
        Some(match one.state {
            State::NotApplicable | State::Proven => Mark::Shown,
            State::Unprovable | State::NoThreshold => Mark::Unknown,
            State::Invisible => match known?.invisible {
                zeuge_appraise::threats::Protection::NotProtected => Mark::Possible,
                _ => Mark::Unknown,
            },
            State::Exposed | State::Forgeable => Mark::Possible,
        })
    });
    // Of whom the knowledge says nothing here, nobody can tell anything.
    let mut adversaries = report.verdict.adversaries.iter();
    let blank = adversaries.any(|one| one.who == who && one.because == [Deciding::NothingKnown]);
    let nothing = if blank { Mark::Unknown } else { Mark::Shown };
    worst.max().unwrap_or(nothing)
}

/// The table of who can do what.
pub(super) fn abilities(report: &Report<'_>, language: Language) -> String {
    let columns = [
        (words::READ, Breaks::Confidentiality),
        (words::CHANGE, Breaks::Integrity),
        (words::FORGE, Breaks::Keys),
    ];
    let mut y = 52_usize;
    let mut spoken = Vec::new();
    let mut inner = String::new();
    for (index, (word, _)) in columns.iter().enumerate() {
        let x = index.saturating_mul(100).saturating_add(412);
        inner.push_str(&format!(
            "<text x=\"{x}\" y=\"20\" text-anchor=\"middle\" class=\"head\">{}</text>",
            escape(word.get(language))
        ));
    }
    for who in Who::ALL {
        let name = assessed::who(who, report.knowledge, language);
        // A long name goes on in further lines; nothing of it is left out.
        let lines = wrapped(&name, NAME_LETTERS);
        let more = lines.len().saturating_sub(1).saturating_mul(16);
        let line = y.saturating_add(9).saturating_add(more);
        inner.push_str(&format!("<path d=\"M0 {line} H{WIDTH}\" class=\"rule\"/>"));
        for (index, part) in lines.iter().enumerate() {
            let at = y.saturating_add(index.saturating_mul(16));
            inner.push_str(&format!("<text x=\"4\" y=\"{at}\">{}</text>", escape(part)));
        }
        let mut said = vec![name];
        for (index, (word, breaks)) in columns.iter().enumerate() {
            let x = index.saturating_mul(100).saturating_add(412);
            let mark = mark(report, who, *breaks);
            let class = match mark {
                Mark::Shown => "ok",
                Mark::Unknown => "open",
                Mark::Possible => "bad",
            };
            inner.push_str(&format!(
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" class=\"mark {class}\">{}</text>",
                mark.sign()
            ));
            said.push(format!("{} {}", word.get(language), mark.sign()));
        }
        spoken.push(said.join(", "));
        y = y.saturating_add(28).saturating_add(more);
    }
    let height = y.saturating_sub(8);
    let title = words::CAN_DO.get(language);
    format!(
        "{}{inner}</svg><p class=\"legend\">{}</p>",
        open(title, &spoken.join("; "), height),
        escape(words::LEGEND.get(language))
    )
}
