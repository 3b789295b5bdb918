//! Threats and adversaries as sentences, in English or German.
//!
//! Every sentence is made of what decided: field, found, wanted, source, how sure. Judges nothing
//! and softens nothing; what a threat is comes from the knowledge itself.

use zeuge_appraise::{
    Knowledge, Verdict,
    threats::{
        Adversary, Assessed, Confidence, Deciding, Fact, Looked, Protection, Source, State, Texts,
        Threat, Who,
    },
};

use crate::{Language, said};

/// Reasons that one adversary's word names; the rest are counted.
const REASONS_MAX: usize = 6;

/// The text in this language.
#[must_use]
pub fn text(texts: &Texts, language: Language) -> &str {
    match language {
        Language::En => &texts.en,
        Language::De => &texts.de,
    }
}

/// The word of a protection, for people.
#[must_use]
pub const fn protection(protection: Protection, language: Language) -> &'static str {
    match protection {
        Protection::Protected => language.pick("protected", "geschützt"),
        Protection::Conditional => language.pick("conditionally", "bedingt"),
        Protection::Unknown => language.pick("unknown", "unbekannt"),
        Protection::NotProtected => language.pick("not protected", "nicht geschützt"),
    }
}

/// What a state means, as the beginning of a sentence.
#[must_use]
pub const fn state(state: State, language: Language) -> &'static str {
    match state {
        State::NotApplicable => language.pick(
            "does not concern this evidence",
            "betrifft diesen Nachweis nicht",
        ),
        State::Proven => language.pick(
            "signed evidence shows the remedy",
            "der signierte Nachweis zeigt die Abhilfe",
        ),
        State::Invisible => language.pick(
            "no form of evidence can show it",
            "kein Nachweis irgendeiner Form kann es zeigen",
        ),
        State::Unprovable => language.pick(
            "there is a remedy, and this evidence cannot show it",
            "es gibt eine Abhilfe, doch dieser Nachweis kann sie nicht zeigen",
        ),
        State::NoThreshold => language.pick(
            "known, with no figure that can be relied on",
            "bekannt, doch ohne verlässliche Zahl",
        ),
        State::Exposed => language.pick(
            "signed evidence shows that the remedy is missing",
            "der signierte Nachweis zeigt, dass die Abhilfe fehlt",
        ),
        State::Forgeable => language.pick(
            "the evidence itself can be made by the attacker",
            "den Nachweis selbst kann der Angreifer herstellen",
        ),
    }
}

/// How sure, for people.
#[must_use]
pub const fn confidence(confidence: Confidence, language: Language) -> &'static str {
    match confidence {
        Confidence::Memory => language.pick("from memory", "nicht nachgelesen"),
        Confidence::Secondary => language.pick("secondary source", "aus zweiter Hand"),
        Confidence::Primary => language.pick("primary source", "aus erster Hand"),
    }
}

/// The name of a threat.
#[must_use]
pub fn name(threat: &Threat, language: Language) -> &str {
    if threat.name_de.is_empty() {
        &threat.name
    } else {
        language.pick_text(&threat.name, &threat.name_de)
    }
}

/// What is noted beside a threat.
#[must_use]
pub fn notes(threat: &Threat, language: Language) -> &[String] {
    match language {
        Language::En => &threat.notes,
        Language::De => &threat.notes_de,
    }
}

/// When a threat became known.
#[must_use]
pub fn year(threat: &Threat, language: Language) -> &str {
    match (language, threat.year.as_str()) {
        (Language::De, "by design") => "bauartbedingt",
        (Language::De, "by mistake") => "durch Fehler",
        (Language::De, "always possible") => "immer möglich",
        (Language::De, "always") => "immer",
        (Language::De, "known for long") => "lange bekannt",
        (_, year) => year,
    }
}

/// One fact that decided.
#[must_use]
pub fn fact(fact: &Fact, language: Language) -> String {
    let (found, wanted) = (said(&fact.found, language), said(&fact.wanted, language));
    match (&fact.what, language) {
        (Looked::Field(name), Language::En) if found.is_empty() => {
            format!("{name} is not in this evidence")
        }
        (Looked::Field(name), Language::De) if found.is_empty() => {
            format!("{name} steht nicht in diesem Nachweis")
        }
        (Looked::Field(name), Language::En) => format!("{name}: {found} (asked: {wanted})"),
        (Looked::Field(name), Language::De) => format!("{name}: {found} (gefragt: {wanted})"),
        (Looked::Evidence, Language::En) => format!("the evidence is of the kind {found}"),
        (Looked::Evidence, Language::De) => format!("der Nachweis ist von der Art {found}"),
        (Looked::Silicon, Language::En) if found.is_empty() => {
            "the report does not say which silicon it comes from".to_owned()
        }
        (Looked::Silicon, Language::De) if found.is_empty() => {
            "der Bericht sagt nicht, von welchem Silizium er stammt".to_owned()
        }
        (Looked::Silicon, Language::En) => format!("the processor is {found}"),
        (Looked::Silicon, Language::De) => format!("der Prozessor ist {found}"),
        (Looked::Version { component, set }, Language::En) => {
            format!("{component} {found} is the lowest of the four views; {set} names {wanted}")
        }
        (Looked::Version { component, set }, Language::De) => {
            format!("{component} {found} ist der niedrigste der vier Stände; {set} nennt {wanted}")
        }
        (Looked::NoFigure(set), Language::En) => {
            format!("no figure of {set} is known for this silicon {found}")
                .trim_end()
                .to_owned()
        }
        (Looked::NoFigure(set), Language::De) => {
            format!("für dieses Silizium {found} ist keine Zahl aus {set} bekannt")
        }
        (Looked::Advisories, Language::En) if found.is_empty() => {
            format!("Intel's documents name none of {wanted} here")
        }
        (Looked::Advisories, Language::De) if found.is_empty() => {
            format!("Intels Dokumente nennen hier nichts von {wanted}")
        }
        (Looked::Advisories, Language::En) => {
            format!("Intel's documents say {found} (asked: {wanted})")
        }
        (Looked::Advisories, Language::De) => {
            format!("Intels Dokumente sagen {found} (gefragt: {wanted})")
        }
        (Looked::Check(id), Language::En) if found.is_empty() => {
            format!("the check {id} was not made")
        }
        (Looked::Check(id), Language::De) if found.is_empty() => {
            format!("der Prüfpunkt {id} kam nicht vor")
        }
        (Looked::Check(id), _) => format!("{id}: {found}"),
        (Looked::Judge, Language::En) => format!("judged by: {found}"),
        (Looked::Judge, Language::De) => format!(
            "geurteilt hat: {}",
            if fact.found == "witness" {
                "der Zeuge"
            } else {
                "der Eigentümer"
            }
        ),
    }
}

/// Why a threat stands as it does: state, facts, how sure, from where.
#[must_use]
pub fn because(one: &Assessed, knowledge: &Knowledge, language: Language) -> String {
    let mut out = state(one.state, language).to_owned();
    if let Some(by) = &one.voided_by {
        out.push_str(&match language {
            Language::En => format!(", by {by}; otherwise it would be PROVEN"),
            Language::De => format!(", wegen {by}; sonst wäre es PROVEN"),
        });
    }
    let mut facts: Vec<String> = Vec::new();
    for one in &one.facts {
        let sentence = fact(one, language);
        if !facts.contains(&sentence) {
            facts.push(sentence);
        }
    }
    if !facts.is_empty() {
        out.push_str(": ");
        out.push_str(&facts.join("; "));
    }
    if one.state != State::NotApplicable {
        let sources: Vec<String> = one
            .sources
            .iter()
            .map(|key| source(key, knowledge, language))
            .collect();
        out.push_str(" [");
        out.push_str(confidence(one.confidence, language));
        out.push_str(": ");
        out.push_str(&sources.join("; "));
        out.push(']');
    }
    out
}

/// The title of a source: that of a work stays as it is, a description is in the reader's language.
#[must_use]
pub fn title(source: &Source, language: Language) -> &str {
    if source.title_de.is_empty() {
        &source.title
    } else {
        language.pick_text(&source.title, &source.title_de)
    }
}

/// A source by its key, with its address where it has one.
fn source(key: &str, knowledge: &Knowledge, language: Language) -> String {
    match knowledge.source(key) {
        Some(source) if !source.url.is_empty() => format!("{key}, {}", source.url),
        Some(source) => format!("{key}, {}", title(source, language)),
        None => key.to_owned(),
    }
}

/// One reason of an adversary's word.
#[must_use]
pub fn deciding(
    one: &Deciding,
    verdict: &Verdict,
    knowledge: &Knowledge,
    language: Language,
) -> String {
    match (one, language) {
        (Deciding::NothingProven { check }, Language::En) => {
            format!("nothing about this machine is proven: {check} failed")
        }
        (Deciding::NothingProven { check }, Language::De) => {
            format!("über diese Maschine ist nichts bewiesen: {check} nicht bestanden")
        }
        (Deciding::NothingKnown, Language::En) => {
            "the knowledge base says nothing about such evidence".to_owned()
        }
        (Deciding::NothingKnown, Language::De) => {
            "die Wissensbasis sagt über solche Nachweise nichts".to_owned()
        }
        (Deciding::Never, Language::En) => {
            "no evidence ever shows plain protection from this adversary".to_owned()
        }
        (Deciding::Never, Language::De) => {
            "kein Nachweis zeigt je vollen Schutz vor diesem Gegner".to_owned()
        }
        (Deciding::Threat(id), _) => {
            let held = verdict.threats.iter().find(|held| held.id == *id);
            held.map_or_else(
                || id.clone(),
                |held| {
                    let why = because(held, knowledge, language);
                    let name = knowledge
                        .threat(id)
                        .map_or(held.name.as_str(), |threat| name(threat, language));
                    format!("{id} {name} {}: {why}", held.state.word())
                },
            )
        }
    }
}

/// The reasons of an adversary's word, the worst first; what does not fit is counted.
#[must_use]
pub fn reasons(
    adversary: &Adversary,
    verdict: &Verdict,
    knowledge: &Knowledge,
    language: Language,
) -> Vec<String> {
    let all = adversary.because.iter();
    let mut out: Vec<String> = all
        .take(REASONS_MAX)
        .map(|one| deciding(one, verdict, knowledge, language))
        .collect();
    let rest: Vec<&str> = adversary
        .because
        .iter()
        .skip(REASONS_MAX)
        .filter_map(|one| match one {
            Deciding::Threat(id) => Some(id.as_str()),
            _ => None,
        })
        .collect();
    if !rest.is_empty() {
        let list = rest.join(", ");
        out.push(match language {
            Language::En => format!("and as badly: {list}"),
            Language::De => format!("und ebenso: {list}"),
        });
    }
    out
}

/// What would improve an adversary's word, each sentence once.
#[must_use]
pub fn improvements(
    adversary: &Adversary,
    knowledge: &Knowledge,
    language: Language,
) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for id in &adversary.improve {
        let sentence = match (knowledge.threat(id), knowledge.approach(id)) {
            (Some(threat), _) => format!("{id}: {}", text(&threat.mitigation, language)),
            (None, Some(approach)) => format!("{id}: {}", text(&approach.general, language)),
            (None, None) => continue,
        };
        let said = sentence.split_once(": ").map_or("", |(_, rest)| rest);
        if !out.iter().any(|held| held.ends_with(said)) {
            out.push(sentence);
        }
    }
    out
}

/// The name of an adversary.
#[must_use]
pub fn who(who: Who, knowledge: &Knowledge, language: Language) -> String {
    knowledge.adversary(who).map_or_else(
        || who.word().to_owned(),
        |known| text(&known.name, language).to_owned(),
    )
}
