//! `specs/*.toml` against the citations in the source: which rules are kept, which are tested.
//!
//! A rule is *implemented* where `// spec: its.id` stands above a line of the crates outside tests,
//! *tested* where it stands in tests or above the toy's lie about it, *excepted* where the file
//! says why nothing keeps it. `specs/counts.toml` may only improve.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::tree;

const COUNTS: &str = "specs/counts.toml";
const CITATION: &str = "// spec: ";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    rule: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    id: String,
    section: String,
    rule: String,
    excepted: Option<String>,
}

/// How many rules of one file are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    implemented: usize,
    tested: usize,
    excepted: usize,
    missing: usize,
}

/// What the source cites: ids outside tests, ids in tests, and lines that cite wrongly.
#[derive(Default)]
struct Cited {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
    broken: Vec<String>,
}

/// Everything that is wrong between rules, citations and the committed counts.
pub(crate) fn findings() -> Result<Vec<String>, String> {
    let (states, mut found) = states()?;
    let committed: BTreeMap<String, Counts> =
        toml::from_str(&tree::read(COUNTS)?).map_err(|error| format!("{COUNTS}: {error}"))?;
    for (name, counts) in &states {
        println!("{name}: {}", words(counts));
        let before = committed.get(name).copied().unwrap_or_default();
        found.extend(compared(name, counts, &before));
    }
    let gone = committed.keys().filter(|name| !states.contains_key(*name));
    found.extend(gone.map(|name| format!("{COUNTS}: {name} is no file of specs")));
    Ok(found)
}

/// Writes the counts anew, if nothing got worse.
pub(crate) fn write() -> Result<(), String> {
    let (states, _) = states()?;
    let committed: BTreeMap<String, Counts> =
        toml::from_str(&tree::read(COUNTS).unwrap_or_default())
            .map_err(|error| format!("{COUNTS}: {error}"))?;
    let mut text = String::from("# Written by `cargo xtask specs --write`; may only improve.\n");
    for (name, counts) in &states {
        if let Some(before) = committed.get(name)
            && worse(counts, before)
        {
            return Err(format!(
                "{name}: was {}, is {}",
                words(before),
                words(counts)
            ));
        }
        let Counts {
            implemented,
            tested,
            excepted,
            missing,
        } = counts;
        text.push_str(&format!(
            "\n[{name}]\nimplemented = {implemented}\ntested = {tested}\n\
             excepted = {excepted}\nmissing = {missing}\n"
        ));
    }
    std::fs::write(tree::root().join(COUNTS), text).map_err(|error| format!("{COUNTS}: {error}"))
}

/// The counts of each file, and what is wrong with rules and citations.
fn states() -> Result<(BTreeMap<String, Counts>, Vec<String>), String> {
    let mut cited = Cited::default();
    for (path, text) in tree::sources()? {
        cite(&path, &text, &mut cited);
    }
    let mut states = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut found = std::mem::take(&mut cited.broken);
    for (path, text) in tree::texts("specs")? {
        if !path.ends_with(".toml") || path == COUNTS {
            continue;
        }
        let name = path.trim_start_matches("specs/").trim_end_matches(".toml");
        let spec: Spec = toml::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
        let mut counts = Counts::default();
        for rule in &spec.rule {
            if !known.insert(rule.id.clone()) || !rule.id.starts_with(&format!("{name}.")) {
                found.push(format!(
                    "{path}: {} stands twice or under a foreign name",
                    rule.id
                ));
            }
            if rule.section.trim().is_empty() || rule.rule.trim().is_empty() {
                found.push(format!("{path}: {} has no section or no rule", rule.id));
            }
            found.extend(count(&path, rule, &cited, &mut counts));
        }
        states.insert(name.to_owned(), counts);
    }
    let unknown = cited
        .code
        .union(&cited.tests)
        .filter(|id| !known.contains(*id));
    found.extend(unknown.map(|id| format!("cited, and in no file of specs: {id}")));
    Ok((states, found))
}

/// Counts one rule; says what does not fit together.
fn count(path: &str, rule: &Rule, cited: &Cited, counts: &mut Counts) -> Option<String> {
    let (implemented, tested) = (
        cited.code.contains(&rule.id),
        cited.tests.contains(&rule.id),
    );
    match (&rule.excepted, implemented) {
        (Some(because), false) if !because.trim().is_empty() => counts.excepted += 1,
        (Some(_), _) => {
            return Some(format!(
                "{path}: {} is excepted without a reason, or kept all the same",
                rule.id
            ));
        }
        (None, false) => {
            counts.missing += 1;
            println!("missing: {}: {}", rule.id, rule.rule);
        }
        (None, true) => {
            counts.implemented += 1;
            counts.tested += usize::from(tested);
            if !tested {
                println!("not tested: {}: {}", rule.id, rule.rule);
            }
        }
    }
    None
}

/// Takes the citations out of one source file.
fn cite(path: &str, text: &str, cited: &mut Cited) {
    let own = tree::without_tests(text).lines().count();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(ids) = line.trim_start().strip_prefix(CITATION) else {
            continue;
        };
        let tests = tree::is_test_file(path) || number > own || path.ends_with("lies.rs");
        let place = if tests {
            &mut cited.tests
        } else {
            &mut cited.code
        };
        for id in ids.split(", ") {
            let shaped = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
            };
            if id.bytes().all(shaped) && id.contains('.') {
                place.insert(id.to_owned());
            } else {
                cited
                    .broken
                    .push(format!("{path}:{number}: {id:?} is no id of a rule"));
            }
        }
    }
}

fn words(counts: &Counts) -> String {
    let Counts {
        implemented,
        tested,
        excepted,
        missing,
    } = counts;
    format!("{implemented} implemented · {tested} tested · {excepted} excepted · {missing} missing")
}

const fn worse(now: &Counts, before: &Counts) -> bool {
    now.implemented < before.implemented
        || now.tested < before.tested
        || now.missing > before.missing
}

fn compared(name: &str, now: &Counts, before: &Counts) -> Option<String> {
    if worse(now, before) {
        let (was, is) = (words(before), words(now));
        Some(format!("specs/{name}.toml: was {was}, is {is}"))
    } else if now != before {
        Some(format!(
            "specs/{name}.toml: better than {COUNTS} says; cargo xtask specs --write keeps it"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Counts = Counts {
        implemented: 5,
        tested: 4,
        excepted: 1,
        missing: 1,
    };

    #[test]
    fn a_count_that_goes_down_is_a_finding_and_so_is_one_that_nobody_kept() {
        assert_eq!(compared("a", &BEFORE, &BEFORE), None);
        for (implemented, tested, missing) in [(4, 4, 1), (5, 3, 1), (5, 4, 2)] {
            let now = Counts {
                implemented,
                tested,
                missing,
                ..BEFORE
            };
            assert!(compared("a", &now, &BEFORE).is_some_and(|told| told.contains("was")));
        }
        let now = Counts {
            tested: 5,
            ..BEFORE
        };
        assert!(compared("a", &now, &BEFORE).is_some_and(|told| told.contains("better")));
    }

    #[test]
    fn a_citation_counts_as_a_test_in_tests_and_above_a_lie() {
        let mut cited = Cited::default();
        let text = "// spec: x.a, x.b\nfn f() {}\n#[cfg(test)]\nmod tests {\n    // spec: x.c\n}\n";
        cite("crates/a/src/b.rs", text, &mut cited);
        cite("crates/sim/src/lies.rs", "// spec: x.d\n", &mut cited);
        cite(
            "crates/a/tests/c.rs",
            "// spec: x.e\n// spec: X\n",
            &mut cited,
        );
        assert!(cited.code.iter().eq(["x.a", "x.b"]));
        assert!(cited.tests.iter().eq(["x.c", "x.d", "x.e"]));
        assert_eq!(cited.broken.len(), 1);
    }

    #[test]
    fn the_rules_are_kept_as_the_counts_say() {
        assert_eq!(findings(), Ok(Vec::new()));
    }
}
