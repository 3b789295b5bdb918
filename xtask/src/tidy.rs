//! Sizes, heads, leftovers, dead files, assertion call sites and the check table.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::{table, tree};

/// Lines of a source file without its tests: what a reviewer reads in one sitting.
const FILE_LINES_MAX: usize = 800;
/// Lines of code in a function, as in `clippy.toml`.
const FUNCTION_LINES_MAX: usize = 70;
/// Where facts become believed: every place is listed, so that a new one is seen in review.
const ASSERTIONS: &str = "crates/verify/assertions.txt";
/// Mutants that live, each with a reason; `make mutants-whole` holds it against a run.
const SURVIVORS: &str = "tests/mutants/survivors.tsv";

/// Everything untidy.
pub(crate) fn findings() -> Result<Vec<String>, String> {
    let sources = tree::sources()?;
    let mut found = Vec::new();
    for (path, text) in &sources {
        found.extend(source(path, text));
    }
    found.extend(dead(&sources)?);
    found.extend(manifests()?);
    found.extend(survivors(&tree::read(SURVIVORS)?, &sources));
    found.extend(table::findings(&sources)?);
    let listed = tree::read(ASSERTIONS)?;
    if listed != assertions(&sources) {
        found.push(format!(
            "{ASSERTIONS}: differs from the source; review, then cargo xtask tidy --write"
        ));
    }
    for (path, text) in tree::texts("")? {
        if !path.ends_with("Cargo.lock") {
            found.extend(places(&path, &text));
        }
    }
    Ok(found)
}

/// Writes the list of assertion call sites anew.
pub(crate) fn write_assertions() -> Result<(), String> {
    let list = assertions(&tree::sources()?);
    std::fs::write(tree::root().join(ASSERTIONS), list)
        .map_err(|error| format!("{ASSERTIONS}: {error}"))
}

/// `path:count` of calls that turn checked facts into believed ones, tests left out.
fn assertions(sources: &[(String, String)]) -> String {
    let mut list = String::new();
    for (path, text) in sources {
        if !path.starts_with("crates/") || tree::is_test_file(path) {
            continue;
        }
        let calls = tree::without_tests(text)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//") && !line.contains("fn assertion("))
            .map(|line| line.matches("assertion(").count())
            .sum::<usize>();
        if calls > 0 {
            list.push_str(&format!("{path}:{calls}\n"));
        }
    }
    list
}

/// What is untidy in one source file.
fn source(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if (path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")) && !text.starts_with("//!") {
        found.push(format!("{path}: does not begin with a head (//!)"));
    }
    // In pieces, so that this file does not find itself.
    let markers =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["HA", "CK"]].map(|pieces| pieces.concat());
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split(|letter: char| !letter.is_ascii_alphanumeric());
        if words.any(|word| markers.iter().any(|marker| marker == word)) {
            found.push(format!("{path}:{number}: leftover marker"));
        }
        let line = line.trim_start();
        if line.starts_with("allow(")
            || line.starts_with("#[allow(")
            || line.starts_with("#![allow(")
            || line.starts_with('#') && line.contains(", allow(")
        {
            found.push(format!(
                "{path}:{number}: expect with a reason instead of allow"
            ));
        }
    }
    if !tree::is_test_file(path) {
        let own = tree::without_tests(text);
        let lines = own.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!(
                "{path}: {lines} lines without tests, at most {FILE_LINES_MAX}"
            ));
        }
        found.extend(functions(path, own));
    }
    found
}

/// Functions with too many lines of code. Relies on the formatter's indentation.
fn functions(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        if !begins_function(code) || code.ends_with('}') {
            continue;
        }
        let indent = line
            .get(..line.len().saturating_sub(code.len()))
            .unwrap_or_default();
        let end = format!("{indent}}}");
        let rest = lines.get(start..).unwrap_or_default();
        let open = rest
            .iter()
            .position(|line| line.ends_with('{') || line.ends_with(';'));
        let Some(open) =
            open.filter(|open| rest.get(*open).is_some_and(|line| line.ends_with('{')))
        else {
            continue;
        };
        let body = rest
            .iter()
            .skip(open.saturating_add(1))
            .take_while(|line| **line != end);
        let count = body
            .filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"))
            .count();
        if count > FUNCTION_LINES_MAX {
            let number = start.saturating_add(1);
            found.push(format!(
                "{path}:{number}: function of {count} lines, at most {FUNCTION_LINES_MAX}"
            ));
        }
    }
    found
}

/// Whether a line of code, without its indentation, begins a function.
fn begins_function(code: &str) -> bool {
    let mut words = code.split_whitespace();
    let qualifier = |word: &&str| {
        word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(word)
    };
    words.by_ref().find(|word| !qualifier(word)) == Some("fn") && words.next().is_some()
}

/// Source files that no target and no `mod` reaches.
fn dead(sources: &[(String, String)]) -> Result<Vec<String>, String> {
    let metadata = tree::metadata()?;
    let root = tree::root();
    let mut waiting: Vec<(PathBuf, bool)> = Vec::new();
    for package in metadata.workspace_packages() {
        waiting.extend(
            package
                .targets
                .iter()
                .map(|target| (PathBuf::from(target.src_path.as_str()), true)),
        );
    }
    let mut reached = BTreeSet::new();
    while let Some((path, is_root)) = waiting.pop() {
        let relative = path
            .strip_prefix(&root)
            .unwrap_or(&path)
            .display()
            .to_string();
        let Some((_, text)) = sources.iter().find(|(known, _)| *known == relative) else {
            continue;
        };
        if reached.insert(relative) {
            let flat = is_root || path.ends_with("mod.rs");
            waiting.extend(
                children(&path, text, flat)
                    .into_iter()
                    .map(|path| (path, false)),
            );
        }
    }
    let unreached = sources.iter().filter(|(path, _)| !reached.contains(path));
    Ok(unreached
        .map(|(path, _)| format!("{path}: no target and no mod reaches it"))
        .collect())
}

/// The files that the `mod` lines of a file may mean.
fn children(path: &Path, text: &str, flat: bool) -> Vec<PathBuf> {
    let parent = path.parent().unwrap_or(path);
    let folder = if flat {
        parent.to_path_buf()
    } else {
        path.with_extension("")
    };
    let mut files = Vec::new();
    let mut named = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"))
        {
            named = Some(parent.join(name));
        } else if let Some((head, name)) = line
            .strip_suffix(';')
            .and_then(|line| line.split_once("mod "))
            && (head.is_empty() || head.starts_with("pub"))
        {
            match named.take() {
                Some(file) => files.push(file),
                None => files.extend([
                    folder.join(format!("{name}.rs")),
                    folder.join(name).join("mod.rs"),
                ]),
            }
        }
    }
    files
}

/// Manifests that do not inherit the workspace's lints.
fn manifests() -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let folders = ["crates", "tests/boundaries", "xtask"].map(tree::texts);
    let folders: Result<Vec<_>, _> = folders.into_iter().collect();
    let all = folders?.concat();
    for (path, text) in all.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let manifest: toml::Table =
            toml::from_str(text).map_err(|error| format!("{path}: {error}"))?;
        let inherits = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if inherits.and_then(toml::Value::as_bool) != Some(true) {
            found.push(format!("{path}: does not inherit the workspace's lints"));
        }
    }
    Ok(found)
}

/// Rows about functions that are gone, or without a reason.
fn survivors(table: &str, sources: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, row) in (2..).zip(table.lines().skip(1)) {
        let cells: Vec<&str> = row.split('\t').collect();
        let [path, function, _, reason] = cells.as_slice() else {
            found.push(format!("{SURVIVORS}:{number}: not four cells"));
            continue;
        };
        let name = function.rsplit("::").next().unwrap_or_default();
        let text = sources.iter().find(|(known, _)| known == path);
        if text.is_none_or(|(_, text)| !text.contains(&format!("fn {name}"))) {
            found.push(format!(
                "{SURVIVORS}:{number}: there is no {function} in {path}"
            ));
        }
        if reason.trim().len() < 10 {
            found.push(format!("{SURVIVORS}:{number}: no reason"));
        }
    }
    found
}

/// Folders of somebody's machine, and hosts that packages come from.
fn places(path: &str, text: &str) -> Vec<String> {
    // In pieces, so that this file does not find itself.
    let folders = ["work", "root", "home"].map(|name| format!("/{name}/"));
    let hosts = [
        ["index.crates", ".io"],
        ["static.rust-lang", ".org"],
        ["deb.debian", ".org"],
        ["pypi", ".org"],
        ["proxy.golang", ".org"],
    ]
    .map(|pieces| pieces.concat());
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // A folder counts where a path begins, not inside a longer path or address.
        let begins = |folder: &String| {
            line.match_indices(folder.as_str()).any(|(at, _)| {
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                before.is_none_or(|letter| !letter.is_alphanumeric() && !"._-}".contains(letter))
            })
        };
        if folders.iter().any(begins) || hosts.iter().any(|host| line.contains(host.as_str())) {
            found.push(format!(
                "{path}:{number}: names a place of one machine or a package host"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_named_with_its_line() {
        let text = format!("// head\nfn long() {{\n{}}}\n", "    step();\n".repeat(71));
        assert_eq!(
            functions("a.rs", &text),
            ["a.rs:2: function of 71 lines, at most 70"]
        );
        let text = format!("fn short() {{\n{}}}\n", "    step();\n\n".repeat(70));
        assert!(functions("a.rs", &text).is_empty());
    }

    #[test]
    fn a_survivor_stands_in_a_function_that_is_there() {
        let sources = [("a.rs".to_owned(), "fn told() {}".to_owned())];
        let table = |row: &str| survivors(&format!("head\n{row}\n"), &sources);
        let reason = "the same by construction";
        assert!(table(&format!("a.rs\tFacts::told\twhat\t{reason}")).is_empty());
        assert_eq!(table(&format!("a.rs\tgone\twhat\t{reason}")).len(), 1);
        assert_eq!(table("a.rs\ttold\twhat\t?").len(), 1);
        assert_eq!(table("a.rs\ttold").len(), 1);
    }

    #[test]
    fn a_leftover_marker_is_found_as_a_word_only() {
        let marker = ["TO", "DO"].concat();
        assert_eq!(source("a.rs", &format!("// {marker}: more\n")).len(), 1);
        assert!(source("a.rs", &format!("// {marker}S\n")).is_empty());
    }

    #[test]
    fn a_folder_counts_only_where_a_path_begins() {
        let folder = ["/ho", "me/"].concat();
        assert_eq!(places("a", &format!("x \"{folder}me\"")).len(), 1);
        assert!(places("a", &format!("crates{folder}x")).is_empty());
    }

    #[test]
    fn the_tree_is_tidy() {
        assert_eq!(findings(), Ok(Vec::new()));
    }
}
