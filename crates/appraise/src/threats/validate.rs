//! What knowledge may not say, however well signed.
//!
//! Owners may know more than this program and say so; they cannot make a figure from memory a
//! proof, leave an adversary out, or point at sources that are not there.

use std::collections::BTreeSet;

use zeuge_evidence::UnixTime;

use super::{
    Condition, Confidence, State, Texts, Threat, Who,
    schema::{Document, Floor},
};

/// What is no better than this never gives PROVEN.
pub const LOW: Confidence = Confidence::Memory;

/// A condition is written by a person: the built-in ones are three deep.
const DEPTH_MAX: usize = 8;
/// Parts of one condition: the built-in ones have under twenty.
const PARTS_MAX: usize = 128;
/// Threats: thirty years at the present rate.
const THREATS_MAX: usize = 2048;
/// Figures, lines and texts of one kind.
const LIST_MAX: usize = 2048;
/// One text: a paragraph.
const TEXT_MAX: usize = 2000;

/// The word of every kind of evidence that this program may meet.
const KINDS: [&str; 6] = ["snp", "tdx", "sgx", "tpm", "azure", "nitro"];
const COMPONENTS: [&str; 5] = ["boot_loader", "fmc", "microcode", "snp", "tee"];
const FIELDS: [&str; 4] = ["KEY_INFO", "PLATFORM_INFO", "POLICY", "TD_ATTRIBUTES"];

type Checked = Result<(), String>;

/// Refuses what claims too much or cannot be evaluated.
pub(super) fn check(document: &Document) -> Checked {
    if document.version == 0 {
        return Err("version begins with 1".to_owned());
    }
    day(&document.state_of)?;
    sizes(document)?;
    let mut seen = BTreeSet::new();
    for threat in &document.threat {
        if !seen.insert(threat.id.as_str()) {
            return Err(format!("the threat {} stands twice", threat.id));
        }
        self::threat(threat, document).map_err(|because| format!("{}: {because}", threat.id))?;
    }
    for floor in &document.floor {
        self::floor(floor, document)
            .map_err(|because| format!("the figure {} of {}: {because}", floor.set, floor.line))?;
    }
    for line in &document.line {
        let [first, last] = line.models;
        let [low, high] = line.steppings;
        if first > last || low > high {
            return Err(format!("the line {} is empty", line.id));
        }
    }
    people(document)?;
    others(document)
}

fn sizes(document: &Document) -> Checked {
    let lists = [
        document.sources.len(),
        document.line.len(),
        document.floor.len(),
        document.root.len(),
        document.limit.len(),
        document.approach.len(),
        document.history.len(),
        document.price.len(),
        document.kind.len(),
        document.regime.len(),
    ];
    if lists.iter().any(|length| *length > LIST_MAX) || document.threat.len() > THREATS_MAX {
        return Err(format!("a list has more than {LIST_MAX} entries"));
    }
    Ok(())
}

fn day(text: &str) -> Checked {
    match UnixTime::parse_rfc3339(&format!("{text}T00:00:00Z")) {
        Some(_) => Ok(()),
        None => Err(format!("{text:?} is no day; write it like 2026-01-31")),
    }
}

fn text(what: &str, text: &Texts) -> Checked {
    for (language, text) in [("en", &text.en), ("de", &text.de)] {
        if text.trim().is_empty() || text.len() > TEXT_MAX {
            return Err(format!(
                "{what}.{language}: 1 to {TEXT_MAX} bytes are wanted"
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{what}.{language}: one line is wanted"));
        }
    }
    Ok(())
}

/// An id, a name, a key: printable, short.
fn word(what: &str, word: &str) -> Checked {
    let plain = word.chars().all(|letter| !letter.is_control());
    if word.trim().is_empty() || word.len() > 200 || !plain {
        return Err(format!("{what}: one line of 1 to 200 bytes is wanted"));
    }
    Ok(())
}

fn sources(keys: &[String], document: &Document) -> Checked {
    if keys.is_empty() {
        return Err("a source is wanted".to_owned());
    }
    let unknown = |key: &&String| !document.sources.contains_key(*key);
    match keys.iter().find(unknown) {
        Some(key) => Err(format!("the source {key} is not there")),
        None => Ok(()),
    }
}

fn threat(threat: &Threat, document: &Document) -> Checked {
    word("id", &threat.id)?;
    word("name", &threat.name)?;
    text("general", &threat.general)?;
    text("mitigation", &threat.mitigation)?;
    sources(&threat.sources, document)?;
    if threat.notes.len() != threat.notes_de.len() {
        return Err("every note stands in both languages".to_owned());
    }
    if threat.positions.is_empty() || threat.breaks.is_empty() {
        return Err("somebody who can do it and something that breaks are wanted".to_owned());
    }
    if threat.otherwise == State::Proven {
        return Err("nothing is PROVEN where no rule holds".to_owned());
    }
    condition(&threat.applies, document)?;
    let mut best = State::Forgeable;
    for rule in &threat.rule {
        condition(&rule.when, document)?;
        if rule.state > best {
            return Err("rules stand in the order of precedence, the worst first".to_owned());
        }
        best = rule.state;
        if !rule.sources.is_empty() {
            sources(&rule.sources, document)?;
        }
        if rule.state == State::Proven && rule.confidence.unwrap_or(threat.confidence) <= LOW {
            return Err("what is known from memory alone is never PROVEN".to_owned());
        }
    }
    Ok(())
}

fn condition(condition: &Condition, document: &Document) -> Checked {
    let (depth, parts) = condition.size();
    if depth > DEPTH_MAX || parts > PARTS_MAX {
        return Err(format!(
            "a condition has {parts} parts and is {depth} deep; at most {PARTS_MAX} and {DEPTH_MAX}"
        ));
    }
    condition
        .leaves()
        .into_iter()
        .try_for_each(|leaf| self::leaf(leaf, document))
}

fn leaf(leaf: &Condition, document: &Document) -> Checked {
    let known = |what: &str, words: &[String], known: &[&str]| {
        let unknown = |word: &&String| !known.contains(&word.as_str());
        match words.iter().find(unknown) {
            Some(word) => Err(format!("the {what} {word:?} is not known")),
            None if words.is_empty() => Err(format!("a {what} is wanted")),
            None => Ok(()),
        }
    };
    match leaf {
        Condition::All(parts) | Condition::Any(parts) if parts.is_empty() => {
            Err("a condition of no parts holds by nothing".to_owned())
        }
        Condition::Evidence(kinds) => known("kind of evidence", kinds, &KINDS),
        Condition::Product(products) => known("product", products, &["Genoa", "Milan", "Turin"]),
        Condition::Line(lines) => {
            let ids: Vec<&str> = document.line.iter().map(|line| line.id.as_str()).collect();
            known("line of silicon", lines, &ids)
        }
        Condition::Floors(set) => {
            let mut all = document.floor.iter();
            match all.any(|floor| floor.set == *set) {
                true => Ok(()),
                false => Err(format!("there are no figures of {set}")),
            }
        }
        Condition::Signer(signer) => {
            known("signer", std::slice::from_ref(signer), &["vcek", "vlek"])
        }
        Condition::SgxType(types) => known(
            "SGX type",
            types,
            &["scalable", "scalable-with-integrity", "standard"],
        ),
        Condition::Bit(bit) => {
            known("field", std::slice::from_ref(&bit.field), &FIELDS)?;
            match bit.number {
                0..=63 => Ok(()),
                number => Err(format!("there is no bit {number}")),
            }
        }
        Condition::Mitigation(64..) => Err("there are mitigations 0 to 63".to_owned()),
        Condition::AdvisoryFixed(fixed) if fixed.ids.is_empty() => {
            Err("an advisory is wanted".to_owned())
        }
        Condition::AdvisoryFixed(fixed) => day(&fixed.out_by),
        Condition::Check(check) => known(
            "outcome of a check",
            std::slice::from_ref(&check.was),
            &["fail", "pass", "unchecked", "warn"],
        ),
        _ => Ok(()),
    }
}

fn floor(floor: &Floor, document: &Document) -> Checked {
    sources(&floor.sources, document)?;
    day(&floor.checked)?;
    if !COMPONENTS.contains(&floor.component.as_str()) {
        return Err(format!("there is no component {}", floor.component));
    }
    if !document.line.iter().any(|line| line.id == floor.line) {
        return Err("there is no such line of silicon".to_owned());
    }
    Ok(())
}

/// Nobody may be left out.
fn people(document: &Document) -> Checked {
    for who in Who::ALL {
        let mut all = document.adversary.iter().filter(|known| known.who == who);
        let (Some(known), None) = (all.next(), all.next()) else {
            return Err(format!("the adversary {} must stand once", who.word()));
        };
        text("name", &known.name)?;
        text("general", &known.general)?;
        if known.invisible == super::Protection::Protected {
            return Err(format!(
                "{}: what nobody can see protects nobody",
                who.word()
            ));
        }
        let mut missing = known.approaches.iter().filter(|id| {
            let mut all = document.approach.iter();
            !all.any(|approach| approach.id == **id)
        });
        if let Some(id) = missing.next() {
            return Err(format!("the approach {id} is not there"));
        }
    }
    Ok(())
}

fn others(document: &Document) -> Checked {
    for root in &document.root {
        text("forges", &root.forges)?;
        text("below", &root.below)?;
    }
    for limit in &document.limit {
        text(&limit.id, &limit.general)?;
    }
    for approach in &document.approach {
        text(&approach.id, &approach.name)?;
        text(&approach.id, &approach.general)?;
        sources(&approach.sources, document)?;
    }
    for entry in &document.history {
        text(&entry.when, &entry.general)?;
        sources(&entry.sources, document)?;
    }
    for price in &document.price {
        text("topic", &price.topic)?;
        text("figure", &price.figure)?;
        sources(&price.sources, document)?;
    }
    for regime in &document.regime {
        for part in [&regime.name, &regime.asks, &regime.gives, &regime.open] {
            text(&regime.id, part)?;
        }
        sources(&regime.sources, document)?;
    }
    for kind in &document.kind {
        text(&kind.id, &kind.name)?;
        text(&kind.id, &kind.general)?;
        crate::Policy::parse(&kind.policy).map_err(|error| format!("{}: {error}", kind.id))?;
        let mut all = kind.threats.iter();
        let missing = all.find(|id| !document.threat.iter().any(|threat| threat.id == **id));
        if let Some(id) = missing {
            return Err(format!("{}: the threat {id} is not there", kind.id));
        }
    }
    Ok(())
}
