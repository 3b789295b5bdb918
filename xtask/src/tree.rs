//! The files of the repository as text, and what cargo knows about its packages.
//! Never follows a link, never reads build output.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Metadata, MetadataCommand};

/// The folder that holds the workspace's `Cargo.toml`.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// What cargo knows, for the platform that ships, from the committed lock file.
pub(crate) fn metadata() -> Result<Metadata, String> {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec![
            "--locked".to_owned(),
            "--filter-platform".to_owned(),
            "x86_64-unknown-linux-gnu".to_owned(),
        ])
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))
}

/// Name and version of every crate that is built for the platform that ships, but for the workspace
/// packages named and what only they need. Unlike [`metadata`], which also holds optional crates
/// that a weak feature (`name?/feature`) merely mentions.
pub(crate) fn compiled(without: &[&str]) -> Result<BTreeSet<(String, String)>, String> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root());
    cargo.args(["tree", "--locked", "--workspace", "--edges", "normal,build"]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none"]);
    cargo.args(["--format", "{p}"]);
    for name in without {
        cargo.args(["--exclude", name]);
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo tree: {said}"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let crates = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(" v")?;
        let version = rest.split(' ').next()?;
        Some((name.to_owned(), version.to_owned()))
    });
    Ok(crates.collect())
}

/// One file as text, from a path relative to the root.
pub(crate) fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// All text files below `folder` (relative, empty for the root): relative path and text, sorted.
pub(crate) fn texts(folder: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        let entries =
            std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|error| error.to_string())?;
            let kind = entry.file_type().map_err(|error| error.to_string())?;
            let path = entry.path();
            let name = entry.file_name();
            if kind.is_dir() && name != ".git" && name != "target" {
                waiting.push(path);
            } else if kind.is_file()
                && name != ".git"
                && let Ok(text) = std::fs::read_to_string(&path)
            {
                let relative = path.strip_prefix(root()).unwrap_or(&path);
                found.push((relative.display().to_string(), text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The Rust source of the crates and of this program.
pub(crate) fn sources() -> Result<Vec<(String, String)>, String> {
    let mut all = texts("crates")?;
    all.extend(texts("tests/boundaries")?);
    all.extend(texts("xtask")?);
    all.retain(|(path, _)| path.ends_with(".rs"));
    Ok(all)
}

/// Whether the whole file is tests.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// The text before the module of tests.
pub(crate) fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ")
        .and_then(|end| text.get(..end))
        .unwrap_or(text)
}

/// Whether a package of the workspace stands outside the rooms: below `tests/`.
pub(crate) fn is_outside(package: &cargo_metadata::Package) -> bool {
    let path = package.manifest_path.as_std_path();
    path.strip_prefix(root())
        .is_ok_and(|path| path.starts_with("tests"))
}
