//! `zeuge threats`: what is known about attacks, and where it was read.
//!
//! Judges nothing. Takes new knowledge only with the owners' signatures, and only upwards.

use serde_json::{Value, json};
use zeuge_appraise::{
    Knowledge,
    threats::{State, Texts, Threat, Who},
};
use zeuge_protocol::document::Document;
use zeuge_report::{Language, assessed};

use crate::{
    Outcome,
    args::{
        Format,
        knowledge::{Shown, Threats, Update},
    },
    clock, input,
    knowledge::{self, Held},
    output, payload,
    verify::language,
};

/// Runs the command.
pub(crate) fn run(command: &Threats) -> Outcome {
    match command {
        Threats::List { whole: true, .. } => {
            crate::say(Knowledge::built_in_text())?;
            Ok(0)
        }
        Threats::List { id, shown, .. } => list(id.as_deref(), shown),
        Threats::Show { id, shown } => show(id, shown),
        Threats::Explain { word, shown } => explain(word, shown),
        Threats::Update(update) => self::update(update),
    }
}

fn positions(threat: &Threat) -> Vec<&'static str> {
    threat.positions.iter().map(|at| at.word()).collect()
}

fn list(prefix: Option<&str>, shown: &Shown) -> Outcome {
    let knowledge = knowledge::in_use(shown.knowledge.as_deref())?;
    let language = language(shown.lang);
    let fits = |threat: &&Threat| prefix.is_none_or(|prefix| threat.id.starts_with(prefix));
    let mut text = String::new();
    for threat in knowledge.threats().iter().filter(fits) {
        if shown.format == Format::Text {
            let sure = assessed::confidence(threat.confidence, language);
            text.push_str(&format!(
                "{}  {} ({})  {}  [{sure}]\n",
                threat.id,
                assessed::name(threat, language),
                assessed::year(threat, language),
                positions(threat).join(" ")
            ));
        } else {
            text.push_str(&format!("{}\n", brief(threat)));
        }
    }
    if text.is_empty() {
        return Err("no threat has such an id".to_owned());
    }
    crate::say(&text)?;
    Ok(0)
}

fn brief(threat: &Threat) -> Value {
    json!({"id": threat.id, "name": threat.name, "year": threat.year, "cves": threat.cves,
           "bulletins": threat.bulletins, "positions": positions(threat),
           "confidence": threat.confidence.word(), "sources": threat.sources})
}

fn find<'k>(knowledge: &'k Knowledge, id: &str) -> Result<&'k Threat, String> {
    let wanted = id.to_uppercase();
    knowledge.threat(&wanted).ok_or_else(|| {
        let area = wanted.split('-').next().unwrap_or(&wanted);
        let near = knowledge.threats().iter().map(|threat| threat.id.as_str());
        let near: Vec<&str> = near.filter(|known| known.starts_with(area)).collect();
        format!("there is no threat {id}; near it: {}", near.join(" "))
    })
}

fn show(id: &str, shown: &Shown) -> Outcome {
    let knowledge = knowledge::in_use(shown.knowledge.as_deref())?;
    let threat = find(&knowledge, id)?;
    if shown.format == Format::Text {
        crate::say(&page(threat, &knowledge, language(shown.lang)))?;
    } else {
        let mut whole = brief(threat);
        let both = |texts: &Texts| json!({"en": texts.en, "de": texts.de});
        whole["general"] = both(&threat.general);
        whole["mitigation"] = both(&threat.mitigation);
        whole["affected"] = json!(threat.affected);
        whole["notes"] = json!(threat.notes);
        let breaks: Vec<_> = threat.breaks.iter().map(|one| one.word()).collect();
        whole["breaks"] = json!(breaks);
        whole["figures"] = figures(threat, &knowledge)
            .map(|floor| {
                json!({"set": floor.set, "line": floor.line, "component": floor.component,
                       "minimum": floor.minimum, "confidence": floor.confidence.word(),
                       "standing": floor.standing.word(), "sources": floor.sources,
                       "checked": floor.checked, "note": floor.note})
            })
            .collect();
        crate::say(&format!("{whole}\n"))?;
    }
    Ok(0)
}

/// The figures of a threat's bulletins, withdrawn ones too.
fn figures<'k>(
    threat: &'k Threat,
    knowledge: &'k Knowledge,
) -> impl Iterator<Item = &'k zeuge_appraise::threats::Floor> {
    let all = knowledge.floors().iter();
    all.filter(|floor| threat.bulletins.contains(&floor.set))
}

fn page(threat: &Threat, knowledge: &Knowledge, language: Language) -> String {
    let pick = |en: &'static str, de: &'static str| match language {
        Language::En => en,
        Language::De => de,
    };
    let breaks: Vec<_> = threat.breaks.iter().map(|one| one.word()).collect();
    let mut out = format!(
        "{} {} ({})\n\n{}\n\n{}: {}\n{}: {}\n{}: {}\n{}: {}\n{}: {} {}\n",
        threat.id,
        assessed::name(threat, language),
        assessed::year(threat, language),
        assessed::text(&threat.general, language),
        pick("who can do it", "wer es kann"),
        positions(threat).join(" "),
        pick("breaks", "bricht"),
        breaks.join(" "),
        pick("affected", "betroffen"),
        threat.affected,
        pick("remedy", "Abhilfe"),
        assessed::text(&threat.mitigation, language),
        pick("numbers", "Nummern"),
        threat.cves.join(" "),
        threat.bulletins.join(" "),
    );
    for floor in figures(threat, knowledge) {
        out.push_str(&format!(
            "{}: {} {} {} >= {} [{}, {}, {}] {}\n",
            pick("figure", "Zahl"),
            floor.set,
            floor.line,
            floor.component,
            floor.minimum,
            floor.standing.word(),
            floor.confidence.word(),
            floor.sources.join(" "),
            floor.note
        ));
    }
    for note in assessed::notes(threat, language) {
        out.push_str(&format!("{}: {note}\n", pick("note", "Anmerkung")));
    }
    out.push_str(&format!(
        "{}: {}\n",
        pick("how sure", "wie sicher"),
        assessed::confidence(threat.confidence, language)
    ));
    for key in &threat.sources {
        let source = knowledge.source(key);
        let title = source.map_or("", |source| assessed::title(source, language));
        let url = source.map_or("", |source| source.url.as_str());
        out.push_str(&format!("  {key}: {title} {url}\n"));
    }
    out
}

fn explain(word: &str, shown: &Shown) -> Outcome {
    let knowledge = knowledge::in_use(shown.knowledge.as_deref())?;
    let language = language(shown.lang);
    let states = [
        State::Forgeable,
        State::Exposed,
        State::NoThreshold,
        State::Unprovable,
        State::Invisible,
        State::Proven,
        State::NotApplicable,
    ];
    let wanted = word.replace('-', "_").to_uppercase();
    let who = Who::ALL.into_iter().find(|who| who.word() == word);
    let text = if let Some(state) = states.into_iter().find(|state| state.word() == wanted) {
        assessed::state(state, language).to_owned()
    } else if let Some(known) = who.and_then(|who| knowledge.adversary(who)) {
        let name = assessed::text(&known.name, language);
        format!("{name}. {}", assessed::text(&known.general, language))
    } else {
        let threat = find(&knowledge, word)?;
        let general = assessed::text(&threat.general, language);
        format!("{general} {}", assessed::text(&threat.mitigation, language))
    };
    let text = match shown.format {
        Format::Text => format!("{word}: {text}\n"),
        _ => format!("{}\n", json!({"word": word, "text": text})),
    };
    crate::say(&text)?;
    Ok(0)
}

fn update(arguments: &Update) -> Outcome {
    let place = knowledge::place().ok_or("neither XDG_DATA_HOME nor HOME is set")?;
    if arguments.drop {
        match std::fs::remove_file(&place) {
            Ok(()) => crate::say("The built-in threat knowledge is in use again.\n")?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                crate::say("Nothing is kept; the built-in threat knowledge is in use.\n")?;
            }
            Err(error) => return Err(format!("{}: {error}", place.display())),
        }
        return Ok(0);
    }
    let (Some(file), Some(owners)) = (&arguments.file, &arguments.owners) else {
        return Err("a signed document and --owners are wanted".to_owned());
    };
    let named = |because: String| format!("{}: {because}", file.display());
    let document = Document::parse(&input::read(file)?)
        .map_err(payload::refused)
        .map_err(named)?;
    let owners = payload::owner_set(&input::text(owners)?)
        .map_err(|because| format!("{}: {because}", owners.display()))?;
    let floor = match knowledge::held()? {
        Some(held) if held.owners != owners => {
            return Err(named(
                "document.owners: other owners signed what is kept; zeuge threats update --drop \
                 forgets it first"
                    .to_owned(),
            ));
        }
        Some(held) => held.document.header.version.saturating_add(1),
        None => 1,
    };
    let held = Held { owners, document };
    let knowledge = held.knowledge(floor, clock::now()?).map_err(named)?;
    let json = serde_json::to_string_pretty(&held).map_err(|error| error.to_string())?;
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    output::replace(&place, json.as_bytes())?;
    crate::say(&format!(
        "Threat knowledge version {} of {} is in use: {} threats, sha256:{}\n",
        knowledge.id().version,
        knowledge.state_of(),
        knowledge.threats().len(),
        hex::encode(knowledge.id().digest)
    ))?;
    Ok(0)
}
