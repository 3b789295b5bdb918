//! The check table against the source: every id explained, every explanation used.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree;

const TABLE: &str = "crates/report/checks.toml";
const START: &str = "const CHECKS: &[&str] =";
const SEVERITIES: &[&str] = &[
    "malformed",
    "refused",
    "unavailable",
    "untrusted",
    "warning",
];

/// Ids without a block, blocks without an id, blocks with a hole.
pub(crate) fn findings(sources: &[(String, String)]) -> Result<Vec<String>, String> {
    let table: toml::Table =
        toml::from_str(&tree::read(TABLE)?).map_err(|error| format!("{TABLE}: {error}"))?;
    let mut listed: BTreeMap<String, String> = BTreeMap::new();
    let mut elsewhere = BTreeSet::new();
    let mut constants = Vec::new();
    let mut code = String::new();
    for (path, text) in sources
        .iter()
        .filter(|(path, _)| path.starts_with("crates/"))
    {
        if tree::is_test_file(path) {
            continue;
        }
        let (ids, rest, named) = split(tree::without_tests(text));
        listed.extend(ids.into_iter().map(|id| (id, path.clone())));
        elsewhere.extend(literals(&rest));
        constants.extend(named);
        code.push_str(&rest);
    }
    // A constant counts as used where its name stands outside its definition and the lists.
    let words: BTreeSet<&str> = code
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .collect();
    let used = constants
        .into_iter()
        .filter(|(_, name)| words.contains(name.as_str()));
    elsewhere.extend(used.map(|(id, _)| id));
    let mut found = Vec::new();
    for (id, path) in &listed {
        if !table.contains_key(id) {
            found.push(format!("{path}: {id} has no block in {TABLE}"));
        }
    }
    for (id, block) in &table {
        found.extend(holes(id, block));
        if !listed.contains_key(id) {
            found.push(format!("{TABLE}: {id} is in no list named CHECKS"));
        } else if !elsewhere.contains(id) {
            found.push(format!("{TABLE}: {id} is listed and never used"));
        }
    }
    Ok(found)
}

/// What one block lacks.
fn holes(id: &str, block: &toml::Value) -> Vec<String> {
    let filled = |path: [&str; 2]| {
        let value = path
            .iter()
            .filter(|key| !key.is_empty())
            .try_fold(block, |at, key| at.get(key));
        value
            .and_then(toml::Value::as_str)
            .is_some_and(|text| !text.trim().is_empty())
    };
    let mut found: Vec<String> = [
        ["spec", ""],
        ["general", "en"],
        ["general", "de"],
        ["detail", "en"],
        ["detail", "de"],
    ]
    .into_iter()
    .filter(|path| !filled(*path))
    .map(|path| {
        format!(
            "{TABLE}: {id} lacks {}",
            path.join(".").trim_end_matches('.')
        )
    })
    .collect();
    let severity = block
        .get("severity")
        .and_then(toml::Value::as_str)
        .unwrap_or_default();
    if !SEVERITIES.contains(&severity) {
        found.push(format!(
            "{TABLE}: {id}: severity {severity:?} is none of {SEVERITIES:?}"
        ));
    }
    found
}

/// The ids of all lists named CHECKS; the text without these lists, without comments and without
/// the constants that the lists name; and these constants as id and name.
fn split(text: &str) -> (Vec<String>, String, Vec<(String, String)>) {
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    let mut ids = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut named = Vec::new();
    let mut rest = String::new();
    let mut left = code.as_str();
    while let Some((before, after)) = left.split_once(START) {
        let (list, tail) = after.split_once("];").unwrap_or((after, ""));
        ids.extend(literals(list));
        let words = list.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let constant = |word: &&str| {
            word.len() > 1
                && word.bytes().all(|byte| !byte.is_ascii_lowercase())
                && !list.contains(&format!("\"{word}"))
        };
        names.extend(words.filter(constant).map(str::to_owned));
        rest.push_str(before);
        left = tail;
    }
    rest.push_str(left);
    for name in names {
        let definition = format!("const {name}: &str = \"");
        let Some((before, after)) = rest.split_once(&definition) else {
            continue;
        };
        let Some((id, after)) = after.split_once('"') else {
            continue;
        };
        ids.push(id.to_owned());
        named.push((id.to_owned(), name.clone()));
        rest = format!("{before}{after}");
    }
    (ids, rest, named)
}

/// Everything between double quotes that has the shape of an id.
fn literals(text: &str) -> Vec<String> {
    let shaped = |part: &&str| {
        part.contains('.')
            && part.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
            })
    };
    text.split('"').filter(shaped).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_are_taken_out_and_the_rest_stays() {
        let text = "pub const CHECKS: &[&str] = &[\"a.b\", \"a.c\"];\n// \"a.e\"\ncheck(\"a.d\");";
        let (ids, rest, _) = super::split(text);
        assert_eq!(ids, ["a.b", "a.c"]);
        assert_eq!(super::literals(&rest), ["a.d"]);
    }
}
