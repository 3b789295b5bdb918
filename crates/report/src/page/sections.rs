//! The parts of the page, each told in detail.

use zeuge_appraise::{
    Status,
    threats::{Adversary, Assessed, Deciding, History, Protection, State},
};

use super::{
    Report, Witnessed, draw,
    html::{badge, escape},
    words,
};
use crate::{Language, Table, assessed, said, text::not_proved};

/// Hints on the first page.
const HELPFUL_MAX: usize = 4;

/// Every section behind the first page.
pub(super) fn all(report: &Report<'_>, language: Language) -> String {
    let mut out = String::new();
    let mut section = |id: &str, heading: words::Word, body: String| {
        if !body.is_empty() {
            out.push_str(&format!(
                "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{}</h2>\n{body}</section>\n",
                heading.get(language)
            ));
        }
    };
    if report.verdict.facts.is_some() {
        let drawn = format!("<figure>{}</figure>\n", draw::abilities(report, language));
        section("can-do", words::CAN_DO, drawn);
    }
    if let Some(told) = report.witnessed {
        let lines = bullets(said_by_witness(told, language));
        section("witnessed", words::WITNESSED, lines);
    }
    section(
        "adversaries",
        words::ADVERSARIES,
        adversaries(report, language),
    );
    section("threats", words::THREATS, threats(report, language));
    section("checks", words::CHECKS, checks(report, language));
    section("roots", words::ROOTS, roots(report, language));
    section(
        "not-proved",
        words::NOT_PROVED,
        open_questions(report, language),
    );
    section("limits", words::LIMITS, limits(report, language));
    section("history", words::HISTORY, histories(report, language));
    section("facts", words::FACTS, facts(report, language));
    section("inputs", words::INPUTS, inputs(report, language));
    section("annex", words::ANNEX, annex(report, language));
    section("sources", words::SOURCES, sources(report, language));
    out
}

/// The first reason of an adversary's word, as its threat tells it to anyone.
pub(super) fn plain_reason(report: &Report<'_>, one: &Adversary, language: Language) -> String {
    let threat = one.because.iter().find_map(|reason| match reason {
        Deciding::Threat(id) => report.knowledge.threat(id),
        _ => None,
    });
    match (threat, one.because.first()) {
        (Some(threat), _) if one.protection != Protection::Protected => {
            let general = assessed::text(&threat.general, language);
            // An id is not broken over two lines.
            format!("{general} ({})", threat.id.replace('-', "\u{2011}"))
        }
        (Some(_), _) => language
            .pick(
                "Signed evidence shows a remedy for every attack of theirs that is known here.",
                "Der signierte Nachweis zeigt eine Abhilfe gegen jeden hier bekannten Angriff.",
            )
            .to_owned(),
        (None, Some(reason)) => {
            let (verdict, knowledge) = (report.verdict, report.knowledge);
            as_sentence(&assessed::deciding(reason, verdict, knowledge, language))
        }
        (None, None) => String::new(),
    }
}

/// A line of a list as a sentence of its own.
fn as_sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    let mut out: String = first.into_iter().flatten().collect();
    out.push_str(letters.as_str());
    if !out.ends_with('.') {
        out.push('.');
    }
    out
}

/// Remedies that stand behind the most adversaries, most first.
pub(super) fn helpful(report: &Report<'_>, language: Language) -> Vec<String> {
    let mut counted: Vec<(usize, String)> = Vec::new();
    for one in &report.verdict.adversaries {
        let deciding = one.because.iter().filter_map(|reason| match reason {
            Deciding::Threat(id) => report.knowledge.threat(id),
            _ => None,
        });
        if one.protection == Protection::Protected {
            continue;
        }
        for threat in deciding {
            let line = assessed::text(&threat.mitigation, language).to_owned();
            match counted.iter_mut().find(|(_, held)| *held == line) {
                Some((count, _)) => *count = count.saturating_add(1),
                None => counted.push((1, line)),
            }
        }
    }
    counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    counted
        .into_iter()
        .take(HELPFUL_MAX)
        .map(|(_, line)| line)
        .collect()
}

fn bullets(lines: impl IntoIterator<Item = String>) -> String {
    let items: String = lines
        .into_iter()
        .map(|line| format!("<li>{}</li>\n", escape(&line)))
        .collect();
    if items.is_empty() {
        items
    } else {
        format!("<ul>\n{items}</ul>\n")
    }
}

fn adversaries(report: &Report<'_>, language: Language) -> String {
    let mut out = String::new();
    for one in &report.verdict.adversaries {
        let general = report
            .knowledge
            .adversary(one.who)
            .map_or("", |known| assessed::text(&known.general, language));
        out.push_str(&format!(
            "<h3>{} {}</h3>\n<p class=\"sub\">{}</p>\n",
            escape(&assessed::who(one.who, report.knowledge, language)),
            badge(one.protection, language),
            escape(general)
        ));
        out.push_str(&bullets(assessed::reasons(
            one,
            report.verdict,
            report.knowledge,
            language,
        )));
        let improve = assessed::improvements(one, report.knowledge, language);
        if one.protection != Protection::Protected && !improve.is_empty() {
            out.push_str(&format!(
                "<p class=\"sub\"><strong>{}</strong></p>\n",
                words::WOULD_IMPROVE.get(language)
            ));
            out.push_str(&bullets(improve.into_iter().take(8)));
        }
    }
    out
}

const fn class(state: State) -> &'static str {
    match state {
        State::Forgeable | State::Exposed => "bad",
        State::NoThreshold | State::Unprovable | State::NotApplicable => "open",
        State::Invisible => "warn",
        State::Proven => "good",
    }
}

fn threats(report: &Report<'_>, language: Language) -> String {
    if report.verdict.threats.is_empty() {
        return String::new();
    }
    let mut concerned: Vec<&Assessed> = report
        .verdict
        .threats
        .iter()
        .filter(|one| one.state != State::NotApplicable)
        .collect();
    concerned.sort_by_key(|one| std::cmp::Reverse(one.state));
    let mut out = format!(
        "<table class=\"threats\">\n<thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th>\
         <th scope=\"col\">{}</th></tr></thead>\n<tbody>\n",
        words::ATTACK.get(language),
        words::STANDS.get(language),
        words::REMEDY.get(language)
    );
    for one in concerned {
        let Some(threat) = report.knowledge.threat(&one.id) else {
            continue;
        };
        // A number is not broken over two lines.
        let numbers: String = threat
            .cves
            .iter()
            .chain(&threat.bulletins)
            .map(|number| format!(" <span class=\"nb\">{}</span>", escape(number)))
            .collect();
        let dot = if numbers.is_empty() { "" } else { " ·" };
        let notes = assessed::notes(threat, language).join(" ");
        out.push_str(&format!(
            "<tr><th scope=\"row\">{} {}<p class=\"sub\">{}{dot}{numbers}</p></th><td><span \
             class=\"state {}\">{}</span> {}<p class=\"sub\">{}</p></td><td>{}<p \
             class=\"sub\">{}</p></td></tr>\n",
            escape(&one.id),
            escape(assessed::name(threat, language)),
            escape(assessed::year(threat, language)),
            class(one.state),
            one.state.word(),
            escape(assessed::text(&threat.general, language)),
            escape(&assessed::because(one, report.knowledge, language)),
            escape(assessed::text(&threat.mitigation, language)),
            escape(&notes)
        ));
    }
    out.push_str("</tbody>\n</table>\n");
    let rest = report.verdict.threats.iter();
    let rest = rest.filter(|one| one.state == State::NotApplicable);
    let named = |one: &Assessed| {
        let threat = report.knowledge.threat(&one.id);
        let name = threat.map_or("", |threat| assessed::name(threat, language));
        format!("{} {name}", one.id)
    };
    let rest: Vec<String> = rest.map(named).collect();
    out.push_str(&format!(
        "<p class=\"note\">{}: {}.</p>\n",
        words::NOT_CONCERNED.get(language),
        escape(&rest.join("; "))
    ));
    out
}

fn checks(report: &Report<'_>, language: Language) -> String {
    let findings = &report.verdict.findings;
    let mut out = String::new();
    let weighty = |status: Status| status != Status::Pass;
    if findings.iter().any(|finding| weighty(finding.status)) {
        out.push_str(&format!(
            "<table class=\"checks\">\n<thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}\
             </th><th scope=\"col\">{}</th></tr></thead>\n<tbody>\n",
            words::CHECK.get(language),
            words::OUTCOME.get(language),
            words::MEANING.get(language)
        ));
    }
    let mut held = Vec::new();
    for finding in findings {
        let (class, word) = match finding.status {
            Status::Pass => {
                held.push(finding.id);
                continue;
            }
            Status::Fail => ("bad", language.pick("failed", "nicht bestanden")),
            Status::Warn => ("warn", language.pick("warning", "Warnung")),
            Status::Unchecked => ("open", language.pick("not checked", "nicht geprüft")),
        };
        let entry = Table::get().explain(finding.id);
        let general = entry.map_or("", |entry| entry.general(language));
        let detail = entry.map_or_else(String::new, |entry| {
            let (found, wanted) = (&finding.found, &finding.wanted);
            entry.detail(language, &said(found, language), &said(wanted, language))
        });
        out.push_str(&format!(
            "<tr><th scope=\"row\"><code>{}</code></th><td><span class=\"state {class}\">{word}\
             </span></td><td>{}<p class=\"sub\">{} {}</p></td></tr>\n",
            finding.id,
            escape(general),
            escape(&said(&finding.because, language)),
            escape(&detail)
        ));
    }
    if held.len() < findings.len() {
        out.push_str("</tbody>\n</table>\n");
    }
    if !held.is_empty() {
        out.push_str(&format!(
            "<p class=\"note\"><strong>{}:</strong> <span class=\"mono\">{}</span></p>\n",
            words::HELD.get(language),
            held.join(" ")
        ));
    }
    out
}

fn roots(report: &Report<'_>, language: Language) -> String {
    let mut out = String::new();
    for root in &report.verdict.roots {
        out.push_str(&format!(
            "<h3>{} ({}), {}</h3>\n<p class=\"mono\">sha256:{}</p>\n",
            escape(&root.maker),
            escape(&root.jurisdiction),
            escape(&root.kind),
            hex::encode(root.fingerprint)
        ));
        let known = report.knowledge.root(&root.maker, &root.kind);
        if let Some(known) = known.filter(|_| !root.toy) {
            out.push_str(&bullets([
                format!(
                    "{}: {}",
                    words::FORGES.get(language),
                    assessed::text(&known.forges, language)
                ),
                format!(
                    "{}: {}",
                    words::BELOW.get(language),
                    assessed::text(&known.below, language)
                ),
            ]));
        }
    }
    if out.is_empty() {
        out = format!("<p>{}</p>\n", words::NO_ROOT.get(language));
    }
    out
}

fn open_questions(report: &Report<'_>, language: Language) -> String {
    let sentences = report.verdict.not_proved.iter();
    let mut out = bullets(sentences.map(|item| not_proved(*item, language).to_owned()));
    let notes = bullets(report.verdict.notes.iter().map(|note| said(note, language)));
    if !notes.is_empty() {
        out.push_str(&format!("<h3>{}</h3>\n{notes}", words::NOTED.get(language)));
    }
    out
}

fn limits(report: &Report<'_>, language: Language) -> String {
    let all = report.knowledge.limits().iter();
    bullets(all.map(|limit| assessed::text(&limit.general, language).to_owned()))
}

/// The history of the makers whose roots stand behind this verdict.
pub(super) fn history<'a>(report: &Report<'a>) -> impl Iterator<Item = &'a History> {
    let roots = &report.verdict.roots;
    let concerns = |entry: &&History| {
        roots.iter().any(|root| {
            root.maker.ends_with(&entry.of)
                || root.kind == "tpm" && (entry.of == "TPM" || entry.of == "provider")
        })
    };
    report.knowledge.history().iter().filter(concerns)
}

fn histories(report: &Report<'_>, language: Language) -> String {
    bullets(history(report).map(|entry| {
        format!(
            "{}, {}: {} [{}: {}]",
            entry.when,
            entry.of,
            assessed::text(&entry.general, language),
            assessed::confidence(entry.confidence, language),
            entry.sources.join(", ")
        )
    }))
}

fn facts(report: &Report<'_>, language: Language) -> String {
    let claims = report.verdict.facts.as_ref().map(crate::claims);
    let mut rows = String::new();
    for (kind, fields) in claims
        .iter()
        .filter_map(|claims| claims.as_object())
        .flatten()
    {
        for (name, value) in fields.as_object().into_iter().flatten() {
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            let text: String = text.chars().take(2000).collect();
            rows.push_str(&format!(
                "<tr><th scope=\"row\">{} {}</th><td class=\"mono\">{}</td></tr>\n",
                escape(kind),
                escape(name),
                escape(&text)
            ));
        }
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<table class=\"facts\">\n<thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th>\
         </tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n",
        words::FIELD.get(language),
        words::VALUE.get(language)
    )
}

fn inputs(report: &Report<'_>, language: Language) -> String {
    let program = report.program_sha256.map_or_else(
        || report.program.to_owned(),
        |digest| format!("{}, sha256:{}", report.program, hex::encode(digest)),
    );
    let knowledge = report.knowledge.id();
    let own = [
        program,
        format!(
            "{} {}, sha256:{}",
            words::KNOWLEDGE.get(language),
            knowledge.version,
            hex::encode(knowledge.digest)
        ),
    ];
    let all = report.inputs.iter().map(|input| {
        let digest = hex::encode(input.sha256);
        let what = what(&input.what, language);
        format!("{what} {}, sha256:{digest}", input.name)
    });
    bullets(own.into_iter().chain(all))
}

/// What an input is, in the reader's language.
pub(super) fn what(word: &str, language: Language) -> &str {
    match word {
        "evidence" => language.pick("evidence", "Nachweis"),
        "input" => language.pick("input", "Eingabe"),
        other => other,
    }
}

/// What a witness said about the same evidence.
pub(super) fn said_by_witness(told: &Witnessed, language: Language) -> Vec<String> {
    let Witnessed {
        witness,
        tenant,
        machine,
        key,
        at,
        log,
        leaf,
        size,
        root,
        alone,
        differences,
    } = told;
    let root = hex::encode(root);
    let mut lines = match language {
        Language::En => vec![
            format!(
                "The witness {witness} judged the machine {machine} of {tenant} for {at} and signed \
                 its verdict with its report key {key}."
            ),
            format!(
                "The verdict is entry {leaf} of the log {log}; the receipt holds under a checkpoint \
                 of {size} entries with the root {root}."
            ),
        ],
        Language::De => vec![
            format!(
                "Der Zeuge {witness} hat die Maschine {machine} von {tenant} für {at} beurteilt und \
                 sein Urteil mit seinem Berichtsschlüssel {key} unterschrieben."
            ),
            format!(
                "Das Urteil ist Eintrag {leaf} des Protokolls {log}; die Quittung gilt unter einem \
                 Prüfpunkt von {size} Einträgen mit der Wurzel {root}."
            ),
        ],
    };
    if let Some(check) = alone {
        lines.push(match language {
            Language::En => format!(
                "The witness also warned of what is coming ({check}); that needs documents which \
                 are not in force yet, and it is not repeated here."
            ),
            Language::De => format!(
                "Der Zeuge hat auch vor Kommendem gewarnt ({check}); dazu braucht es Dokumente, die \
                 noch nicht gelten, und hier wird es nicht wiederholt."
            ),
        });
    }
    if differences.is_empty() {
        let same = language.pick(
            "Judged again here from the same bytes, it comes out the same.",
            "Hier aus denselben Bytes noch einmal beurteilt, kommt dasselbe heraus.",
        );
        lines.push(same.to_owned());
        return lines;
    }
    let other = language.pick(
        "JUDGED AGAIN HERE FROM THE SAME BYTES, SOMETHING ELSE COMES OUT",
        "HIER AUS DENSELBEN BYTES NOCH EINMAL BEURTEILT, KOMMT ETWAS ANDERES HERAUS",
    );
    let all = differences.iter().map(|line| format!("{other}: {line}"));
    lines.extend(all);
    lines
}

fn annex(report: &Report<'_>, language: Language) -> String {
    let regimes = report.knowledge.regimes();
    if regimes.is_empty() {
        return String::new();
    }
    let mut out = format!("<p>{}</p>\n", words::NO_CLAIM.get(language));
    for regime in regimes {
        out.push_str(&format!(
            "<h3>{}</h3>\n",
            escape(assessed::text(&regime.name, language))
        ));
        let said = |word: words::Word, texts| {
            format!(
                "{}: {}",
                word.get(language),
                assessed::text(texts, language)
            )
        };
        out.push_str(&bullets([
            said(words::ASKS, &regime.asks),
            said(words::GIVES, &regime.gives),
            said(words::OPEN, &regime.open),
            format!(
                "{}: {}",
                assessed::confidence(regime.confidence, language),
                regime.sources.join(", ")
            ),
        ]));
    }
    out
}

/// Titles of works stand in their own language, descriptions in the reader's.
fn sources(report: &Report<'_>, language: Language) -> String {
    bullets(report.knowledge.sources().map(|(key, source)| {
        let title = assessed::title(source, language);
        if source.url.is_empty() {
            format!("{key}: {title}")
        } else {
            format!("{key}: {title}, {}", source.url)
        }
    }))
}
