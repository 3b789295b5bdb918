//! `architecture.toml` against `cargo metadata`: who may use whom, and what from outside.

use std::collections::BTreeMap;

use cargo_metadata::DependencyKind;
use serde::Deserialize;

use crate::tree;

/// What no core room may name in its manifest: clocks, sockets, disks and randomness live there.
const CORE_NEVER: &[&str] = &["getrandom", "rand", "reqwest", "rusqlite", "tokio"];

/// What the head of every core room says.
const CORE_HEAD: &[&str] = &[
    "#![forbid(unsafe_code)]",
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::panic",
    "clippy::indexing_slicing",
    "clippy::arithmetic_side_effects",
    "clippy::as_conversions",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Architecture {
    rings: BTreeMap<String, Vec<String>>,
    rooms: BTreeMap<String, Room>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Room {
    ring: String,
    may_use: Vec<String>,
    #[serde(default)]
    outside: Vec<String>,
}

/// Every arrow that the map does not hold.
pub(crate) fn findings() -> Result<Vec<String>, String> {
    let map: Architecture = toml::from_str(&tree::read("architecture.toml")?)
        .map_err(|error| format!("architecture.toml: {error}"))?;
    let mut found = map_findings(&map);
    let metadata = tree::metadata()?;
    for package in metadata.workspace_packages() {
        let name = package.name.to_string();
        // Tests that may link everything stand outside the rooms (DESIGN §3), as this program does.
        if name == "xtask" || tree::is_outside(package) {
            continue;
        }
        let Some((short, room)) = name
            .strip_prefix("zeuge-")
            .and_then(|short| map.rooms.get_key_value(short))
        else {
            found.push(format!("{name}: not in architecture.toml"));
            continue;
        };
        for dependency in &package.dependencies {
            let developing = dependency.kind == DependencyKind::Development;
            found.extend(arrow(&map, short, room, &dependency.name, developing));
        }
        if room.ring == "core" {
            let path = format!("crates/{short}/src/lib.rs");
            let text = tree::read(&path)?;
            for line in CORE_HEAD.iter().filter(|line| !text.contains(**line)) {
                found.push(format!("{path}: a core room must say {line}"));
            }
        }
    }
    Ok(found)
}

/// What is wrong with the map itself.
fn map_findings(map: &Architecture) -> Vec<String> {
    let mut found = Vec::new();
    for (name, room) in &map.rooms {
        if !map.rings.contains_key(&room.ring) {
            found.push(format!("architecture.toml: {name}: no ring {}", room.ring));
        }
        for other in &room.may_use {
            match map.rooms.get(other) {
                None => found.push(format!("architecture.toml: {name}: no room {other}")),
                Some(other_room) if other_room.ring == "door" => {
                    found.push(format!(
                        "architecture.toml: {name} -> {other}: nothing depends on a door"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    found
}

/// What is wrong with one dependency of one room.
fn arrow(
    map: &Architecture,
    name: &str,
    room: &Room,
    wanted: &str,
    developing: bool,
) -> Option<String> {
    if let Some(other) = wanted.strip_prefix("zeuge-") {
        if developing && other == "sim" || room.may_use.iter().any(|allowed| allowed == other) {
            return None;
        }
        let kind = if developing { "development " } else { "" };
        return Some(format!(
            "{name} -> {other}: no such {kind}arrow in architecture.toml"
        ));
    }
    if developing {
        return None;
    }
    if room.ring == "core" && CORE_NEVER.contains(&wanted) {
        return Some(format!("{name} -> {wanted}: never in a core room"));
    }
    let ring = map.rings.get(&room.ring).into_iter().flatten();
    if ring.chain(&room.outside).any(|allowed| allowed == wanted) {
        return None;
    }
    Some(format!(
        "{name} -> {wanted}: not among the outside crates of its ring"
    ))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arrows_are_those_of_the_map() {
        assert_eq!(super::findings(), Ok(Vec::new()));
    }
}
