//! `deps.toml` against the graph that is built for what ships: licences, bans, several versions.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, PackageId};
use serde::Deserialize;

use crate::tree;

/// Workspace packages that never ship.
const NOT_SHIPPED: &[&str] = &["xtask", "zeuge-boundaries", "zeuge-sim"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    licences: Vec<String>,
    exceptions: Vec<String>,
    banned: Vec<String>,
    duplicates: BTreeMap<String, String>,
}

/// Every crate of the built graph that the rules refuse.
pub(crate) fn findings() -> Result<Vec<String>, String> {
    let rules: Rules =
        toml::from_str(&tree::read("deps.toml")?).map_err(|error| format!("deps.toml: {error}"))?;
    let metadata = tree::metadata()?;
    let built = built(&metadata)?;
    let compiled = tree::compiled(NOT_SHIPPED)?;
    let mut found = Vec::new();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata
        .packages
        .iter()
        .filter(|package| built.contains(&package.id))
    {
        let name = package.name.to_string();
        let version = package.version.to_string();
        if !compiled.contains(&(name.clone(), version.clone())) {
            continue;
        }
        versions.entry(name.clone()).or_default().insert(version);
        if rules.banned.contains(&name) {
            found.push(format!("{name}: banned by deps.toml"));
        }
        let licence = package.license.clone().unwrap_or_default();
        if !permitted(&licence, &rules) {
            found.push(format!(
                "{name}: licence {licence:?} is not permitted by deps.toml"
            ));
        }
    }
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        let list: Vec<&str> = versions.iter().map(String::as_str).collect();
        match rules.duplicates.get(name) {
            Some(reason) if !reason.trim().is_empty() => {
                println!("{name}: {} ({reason})", list.join(", "));
            }
            _ => found.push(format!(
                "{name}: {}: no reason in deps.toml",
                list.join(", ")
            )),
        }
    }
    for name in rules.duplicates.keys() {
        if versions.get(name).is_none_or(|versions| versions.len() < 2) {
            found.push(format!(
                "{name}: deps.toml excuses several versions, there are none"
            ));
        }
    }
    Ok(found)
}

/// Everything that the shipped crates reach by normal and build dependencies.
fn built(metadata: &Metadata) -> Result<BTreeSet<PackageId>, String> {
    let resolve = metadata
        .resolve
        .as_ref()
        .ok_or("cargo metadata: no graph")?;
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut waiting: Vec<PackageId> = metadata
        .workspace_packages()
        .iter()
        .filter(|package| !NOT_SHIPPED.contains(&package.name.to_string().as_str()))
        .map(|package| package.id.clone())
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let deps = nodes
            .get(&id)
            .map(|node| node.deps.as_slice())
            .unwrap_or_default();
        for dep in deps {
            let shipped = |kind| matches!(kind, DependencyKind::Normal | DependencyKind::Build);
            if dep.dep_kinds.iter().any(|info| shipped(info.kind)) {
                waiting.push(dep.pkg.clone());
            }
        }
    }
    Ok(seen)
}

/// Whether an SPDX expression (or the older form with slashes) can be met by the rules alone.
fn permitted(expression: &str, rules: &Rules) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let outcome = any_of(&mut words, rules);
    outcome == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>, rules: &Rules) -> Option<bool> {
    let mut met = all_of(words, rules)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, rules)?;
    }
    Some(met)
}

fn all_of(words: &mut Words<'_>, rules: &Rules) -> Option<bool> {
    let mut met = one(words, rules)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, rules)?;
    }
    Some(met)
}

fn one(words: &mut Words<'_>, rules: &Rules) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let met = any_of(words, rules)?;
        return (words.next()? == ")").then_some(met);
    }
    let known = |list: &[String], word: &str| list.iter().any(|entry| entry == word);
    let mut met = known(&rules.licences, word);
    if words.next_if_eq(&"WITH").is_some() {
        met &= known(&rules.exceptions, words.next()?);
    }
    Some(met)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            licences: vec!["MIT".into(), "Apache-2.0".into()],
            exceptions: vec!["LLVM-exception".into()],
            banned: Vec::new(),
            duplicates: BTreeMap::new(),
        }
    }

    #[test]
    fn an_expression_is_permitted_when_one_choice_is() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-2.0-only OR MIT",
            "(MIT OR GPL-2.0-only) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(permitted(good, &rules()), "{good}");
        }
    }

    #[test]
    fn an_expression_is_refused_when_a_part_is_unknown_or_broken() {
        for bad in [
            "",
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "MIT OR",
            "(MIT",
            "MIT MIT",
            "MIT WITH other",
        ] {
            assert!(!permitted(bad, &rules()), "{bad}");
        }
    }

    #[test]
    fn the_built_graph_keeps_the_rules() {
        assert_eq!(super::findings(), Ok(Vec::new()));
    }
}
