//! `zeuge advise`: would a confidential machine help, which kind, what it costs, what it will not do.
//!
//! Every statement is one of the knowledge base, with its source; this file chooses and says
//! nothing of its own. Never a product's praise: what does not help is said first.

use std::io::{BufRead as _, IsTerminal as _};

use clap::ValueEnum;
use serde_json::{Value, json};
use zeuge_appraise::{
    Knowledge,
    threats::{Kinds, Price, Protection, Regime, Who},
};
use zeuge_report::{Language, assessed};

use crate::{
    Outcome,
    args::{
        Format,
        knowledge::{Advise, Budget, Data, Provider},
    },
    knowledge,
    verify::language,
};

/// Reads an adversary as verdicts spell it.
///
/// # Errors
/// A sentence with the words that are known.
pub(crate) fn parse_who(word: &str) -> Result<Who, String> {
    Who::ALL
        .into_iter()
        .find(|who| who.word() == word)
        .ok_or_else(|| {
            let all: Vec<_> = Who::ALL.iter().map(|who| who.word()).collect();
            format!("the adversaries are {}", all.join(", "))
        })
}

/// The answers to the questions.
struct Answers {
    data: Data,
    against: Vec<Who>,
    provider: Provider,
    budget: Budget,
}

/// Runs the command.
pub(crate) fn run(arguments: &Advise) -> Outcome {
    let knowledge = knowledge::in_use(arguments.knowledge.as_deref())?;
    let language = language(arguments.lang);
    let answers = answers(arguments, &knowledge, language)?;
    let advice = Advice::of(&answers, &knowledge);
    let text = match arguments.format {
        Format::Text => advice.text(language),
        _ => format!("{}\n", advice.json()),
    };
    crate::say(&text)?;
    Ok(0)
}

fn answers(
    arguments: &Advise,
    knowledge: &Knowledge,
    language: Language,
) -> Result<Answers, String> {
    let pick = |en: &'static str, de: &'static str| match language {
        Language::En => en,
        Language::De => de,
    };
    let data = match arguments.data {
        Some(data) => data,
        None => ask(
            pick("What kind of data?", "Welche Art von Daten?"),
            language,
        )?,
    };
    let against = if arguments.against.is_empty() {
        let question = pick(
            "Against whom? (several, with spaces)",
            "Vor wem? (mehrere, mit Leerzeichen)",
        );
        let mut words = Vec::new();
        for who in Who::ALL {
            words.push((
                who.word().to_owned(),
                assessed::who(who, knowledge, language),
            ));
        }
        asked(question, "--against", &words, language, |line| {
            let all = line.split_whitespace().map(parse_who);
            let all = all.collect::<Result<Vec<_>, _>>().ok()?;
            (!all.is_empty()).then_some(all)
        })?
    } else {
        arguments.against.clone()
    };
    let provider = match arguments.provider {
        Some(provider) => provider,
        None => ask(pick("Where shall it run?", "Wo soll es laufen?"), language)?,
    };
    let budget = match arguments.budget {
        Some(budget) => budget,
        None => {
            let question = pick(
                "How much slower or dearer may it be?",
                "Wie viel langsamer oder teurer darf es sein?",
            );
            ask(question, language)?
        }
    };
    Ok(Answers {
        data,
        against,
        provider,
        budget,
    })
}

/// What the words of a question mean, in German; in English the command line's own help says it.
const GERMAN: [(&str, &str); 13] = [
    ("public", "Jeder darf es wissen."),
    ("business", "Geschäftsgeheimnisse."),
    ("personal", "Daten über Menschen."),
    ("health", "Daten über die Gesundheit."),
    ("keys", "Schlüssel, die anderes öffnen."),
    ("own", "Eigene Hardware."),
    ("aws", "Amazon."),
    ("azure", "Microsoft."),
    ("gcp", "Google."),
    ("other", "Jemand anderes."),
    ("small", "Kaum."),
    ("medium", "Spürbar."),
    ("large", "So viel wie nötig."),
];

/// Asks for one of a few words.
fn ask<T: ValueEnum>(question: &str, language: Language) -> Result<T, String> {
    let words: Vec<_> = T::value_variants()
        .iter()
        .filter_map(|value| {
            let value = value.to_possible_value()?;
            let name = value.get_name();
            let german = GERMAN.iter().find(|(word, _)| *word == name);
            let meaning = match (language, german) {
                (Language::De, Some((_, meaning))) => (*meaning).to_owned(),
                _ => value
                    .get_help()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            };
            Some((name.to_owned(), meaning))
        })
        .collect();
    let flag = "a flag for each question";
    asked(question, flag, &words, language, |line| {
        T::from_str(line.trim(), true).ok()
    })
}

/// How often one question is asked before it is given up.
const TRIES: usize = 3;

/// Asks until an answer is one of the words that are shown.
fn asked<T>(
    question: &str,
    flag: &str,
    words: &[(String, String)],
    language: Language,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let shown = words.iter();
    let shown: String = shown
        .map(|(word, meaning)| format!("\n  {word}: {meaning}"))
        .collect();
    for _ in 0..TRIES {
        let line = line(&format!("{question}{shown}"), flag)?;
        if let Some(answer) = read(&line) {
            return Ok(answer);
        }
        crate::complain(match language {
            Language::En => "write one of the words before the colons",
            Language::De => "eines der Wörter vor den Doppelpunkten schreiben",
        });
    }
    Err(match language {
        Language::En => "no answer that is known here".to_owned(),
        Language::De => "keine Antwort, die hier bekannt ist".to_owned(),
    })
}

fn line(question: &str, flag: &str) -> Result<String, String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(format!(
            "{question}\nThere is nobody to ask here; give {flag} (zeuge advise --help)"
        ));
    }
    crate::complain(question);
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .map_err(|error| format!("standard input: {error}"))?;
    Ok(line)
}

/// What is said.
struct Advice<'k> {
    knowledge: &'k Knowledge,
    helped: Vec<Who>,
    not_helped: Vec<Who>,
    kinds: Vec<&'k Kinds>,
    prices: Vec<&'k Price>,
    regimes: Vec<&'k Regime>,
}

/// Ids of rules that auditors of such data ask about.
const fn regimes_of(data: Data) -> &'static [&'static str] {
    match data {
        Data::Public => &[],
        Data::Business => &["nis2", "dora"],
        Data::Personal => &["c5-ops-32", "c5-ops-33", "nis2"],
        Data::Health => &["c5-ops-32", "c5-ops-33", "gematik"],
        Data::Keys => &["dora", "nis2"],
    }
}

impl<'k> Advice<'k> {
    fn of(answers: &Answers, knowledge: &'k Knowledge) -> Self {
        let provider = answers.provider.word();
        let here = |kind: &&Kinds| kind.providers.iter().any(|word| word == provider);
        let mut kinds: Vec<&Kinds> = knowledge.kinds().iter().filter(here).collect();
        let wanted = |kind: &Kinds| {
            let all = answers.against.iter();
            all.filter(|who| kind.against.contains(who)).count()
        };
        // Programs split for enclaves cost the most to build: last where little may be spent.
        let dear = |kind: &Kinds| answers.budget == Budget::Small && kind.id == "sgx";
        kinds.sort_by_key(|kind| (dear(kind), std::cmp::Reverse(wanted(kind))));
        let (helped, not_helped) = answers.against.iter().partition(|who| {
            let plain = who.best() == Protection::Protected || **who == Who::OwnerMistake;
            plain && kinds.iter().any(|kind| kind.against.contains(who))
        });
        kinds.retain(|kind| wanted(kind) > 0);
        let about = |price: &&Price| {
            price.kinds.is_empty()
                || kinds.iter().any(|kind| {
                    let base = kind.id.split('-').next().unwrap_or(&kind.id);
                    price.kinds.iter().any(|id| id == base)
                })
        };
        let prices = knowledge.prices().iter().filter(about).collect();
        let asked = regimes_of(answers.data);
        let regimes = knowledge.regimes().iter();
        Self {
            knowledge,
            helped,
            not_helped,
            kinds,
            prices,
            regimes: regimes
                .filter(|regime| asked.contains(&regime.id.as_str()))
                .collect(),
        }
    }

    fn text(&self, language: Language) -> String {
        let pick = |en: &'static str, de: &'static str| match language {
            Language::En => en,
            Language::De => de,
        };
        let mut out = String::new();
        let mut say = |line: &str| {
            out.push_str(line);
            out.push('\n');
        };
        say(pick(
            "Does a confidential machine help?",
            "Hilft eine vertrauliche Maschine?",
        ));
        for who in &self.not_helped {
            let name = assessed::who(*who, self.knowledge, language);
            say(&format!("  {}: {name}", pick("NO", "NEIN")));
            for line in self.instead(*who, language) {
                say(&format!("    {line}"));
            }
        }
        for who in &self.helped {
            let name = assessed::who(*who, self.knowledge, language);
            say(&format!(
                "  {}: {name}",
                pick(
                    "YES, where evidence proves the fixes",
                    "JA, wo der Nachweis die Abhilfen beweist"
                )
            ));
        }
        for (index, kind) in self.kinds.iter().enumerate() {
            let heading = pick("Which kind", "Welche Art");
            say("");
            let number = index.saturating_add(1);
            let name = assessed::text(&kind.name, language);
            say(&format!("{heading} ({number}): {name}"));
            say(&format!("  {}", assessed::text(&kind.general, language)));
            for id in &kind.threats {
                if let Some(threat) = self.knowledge.threat(id) {
                    let general = assessed::text(&threat.general, language);
                    let sources = threat.sources.join(", ");
                    let name = assessed::name(threat, language);
                    say(&format!("  {id} {name}: {general} [{sources}]"));
                }
            }
            say(&format!(
                "  {}:",
                pick("A policy to begin with", "Eine Richtlinie für den Anfang")
            ));
            for line in kind.policy.lines() {
                say(&format!("    {line}"));
            }
        }
        self.rest(language, &mut say);
        out
    }

    fn rest(&self, language: Language, say: &mut dyn FnMut(&str)) {
        let pick = |en: &'static str, de: &'static str| match language {
            Language::En => en,
            Language::De => de,
        };
        say("");
        say(pick(
            "What it costs, as published",
            "Was es kostet, laut Veröffentlichungen",
        ));
        for price in &self.prices {
            say(&format!(
                "  {}: {} [{}: {}]",
                assessed::text(&price.topic, language),
                assessed::text(&price.figure, language),
                assessed::confidence(price.confidence, language),
                price.sources.join(", ")
            ));
        }
        say("");
        say(pick("What it will not do", "Was sie nicht leistet"));
        for limit in self.knowledge.limits() {
            say(&format!("  - {}", assessed::text(&limit.general, language)));
        }
        if !self.regimes.is_empty() {
            say("");
            say(pick(
                "What auditors of such data ask (no claim of compliance)",
                "Wonach Prüfer bei solchen Daten fragen (ohne Konformitätsaussage)",
            ));
        }
        for regime in &self.regimes {
            say(&format!(
                "  {}: {}",
                assessed::text(&regime.name, language),
                assessed::text(&regime.asks, language)
            ));
        }
        say("");
        say(&match language {
            Language::En => format!(
                "Threat knowledge version {}, state of {}. Sources: zeuge threats show ID.",
                self.knowledge.id().version,
                self.knowledge.state_of()
            ),
            Language::De => format!(
                "Bedrohungswissen Version {}, Stand {}. Quellen: zeuge threats show ID.",
                self.knowledge.id().version,
                self.knowledge.state_of()
            ),
        });
    }

    /// Who that is, and what helps instead.
    fn instead(&self, who: Who, language: Language) -> Vec<String> {
        let Some(known) = self.knowledge.adversary(who) else {
            return Vec::new();
        };
        let mut out = vec![assessed::text(&known.general, language).to_owned()];
        for id in &known.approaches {
            if let Some(approach) = self.knowledge.approach(id) {
                let general = assessed::text(&approach.general, language);
                out.push(format!("{id}: {general} [{}]", approach.sources.join(", ")));
            }
        }
        out
    }

    fn json(&self) -> Value {
        let words = |list: &[Who]| -> Vec<&str> { list.iter().map(|who| who.word()).collect() };
        let en = |texts| assessed::text(texts, Language::En);
        json!({
            "schema": "zeuge.advice.v1",
            "helps_against": words(&self.helped),
            "does_not_help_against": words(&self.not_helped),
            "kinds": self.kinds.iter().map(|kind| json!({"id": kind.id, "name": en(&kind.name),
                "general": en(&kind.general), "threats": kind.threats, "policy": kind.policy}))
                .collect::<Vec<_>>(),
            "prices": self.prices.iter().map(|price| json!({"topic": en(&price.topic),
                "figure": en(&price.figure), "confidence": price.confidence.word(),
                "sources": price.sources})).collect::<Vec<_>>(),
            "limits": self.knowledge.limits().iter().map(|limit| en(&limit.general))
                .collect::<Vec<_>>(),
            "regimes": self.regimes.iter().map(|regime| &regime.id).collect::<Vec<_>>(),
            "knowledge_version": self.knowledge.id().version,
        })
    }
}
