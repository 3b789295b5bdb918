//! Builds the copy, and leaves out the mutants that do not compile.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::copy::{Plan, Tree};

/// Rounds of leaving out; each learns what the one before hid.
const ROUNDS_MAX: usize = 40;

/// Tests that need a program which not every clone has, and wait for it.
const LEFT_OUT: [&str; 1] = ["real_tpm"];

/// One program of tests.
#[derive(Debug, Clone)]
pub struct Program {
    /// `verify/snp_lies`, or `verify/lib` for the tests inside a crate.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Where its package stands.
    pub folder: PathBuf,
}

fn cargo(tree: &Tree, packages: &[String], words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(words)
        .args(["--message-format=json", "--offline", "--quiet"]);
    for package in packages {
        command.args(["--package", &format!("zeuge-{package}")]);
    }
    command
        .current_dir(&tree.copy)
        .env("CARGO_TARGET_DIR", tree.target())
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            tree.copy.join("rustc-with-tests"),
        )
        .env("CARGO_INCREMENTAL", "0")
        // Tests run thousands of times, so it pays to make them quick.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    command
}

fn messages(mut command: Command) -> Result<(bool, Vec<Value>), String> {
    let output = command
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    Ok((output.status.success(), lines.collect()))
}

/// Leaves out what does not compile until everything does.
///
/// # Errors
/// When an error lies outside every mutant.
pub fn settle(
    tree: &Tree,
    packages: &[String],
    refused: &mut BTreeSet<u32>,
) -> Result<Plan, String> {
    for round in 1..=ROUNDS_MAX {
        let plan = tree.plan(refused)?;
        tree.write(&plan)?;
        let (good, messages) =
            messages(cargo(tree, packages, &["check", "--lib", "--keep-going"]))?;
        if good {
            return Ok(plan);
        }
        let before = refused.len();
        let mut unknown = Vec::new();
        for message in &messages {
            let message = &message["message"];
            if message["level"] != "error" || message["spans"].as_array().is_none_or(Vec::is_empty)
            {
                continue;
            }
            let blamed = blamed(&plan, message);
            if blamed.is_empty() {
                unknown.push(message["rendered"].as_str().unwrap_or_default().to_owned());
            }
            refused.extend(blamed.into_iter().filter(|id| *id > 0));
        }
        println!("round {round}: {} mutants do not compile", refused.len());
        if refused.len() == before {
            return Err(unknown.join("\n"));
        }
    }
    Err(format!(
        "after {ROUNDS_MAX} rounds something still does not compile"
    ))
}

fn blamed(plan: &Plan, message: &Value) -> Vec<u32> {
    let spans = message["spans"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let primary = |span: &&Value| span["is_primary"] == true;
    for span in spans
        .iter()
        .filter(primary)
        .chain(spans.iter().filter(|span| !primary(span)))
    {
        let mut span = span;
        while let inner @ Value::Object(_) = &span["expansion"]["span"] {
            span = inner;
        }
        let file = span["file_name"].as_str().unwrap_or_default();
        let Some(changed) = plan.changed.get(file) else {
            continue;
        };
        let head = Tree::head(file);
        let at = |name: &str| {
            let at = span[name].as_u64().and_then(|at| usize::try_from(at).ok());
            at.unwrap_or(0).saturating_sub(head)
        };
        let range = at("byte_start")..at("byte_end");
        let found = changed.blamed(&range);
        if !found.is_empty() {
            return found.to_vec();
        }
        let touched = changed.touched(&range);
        if !touched.is_empty() {
            return touched;
        }
    }
    Vec::new()
}

/// Builds all tests.
///
/// # Errors
/// When one does not compile.
pub fn programs(tree: &Tree, packages: &[String]) -> Result<Vec<Program>, String> {
    let (good, messages) = messages(cargo(tree, packages, &["test", "--no-run"]))?;
    if !good {
        let rendered = messages
            .iter()
            .filter(|message| message["message"]["level"] == "error");
        let rendered = rendered.filter_map(|message| message["message"]["rendered"].as_str());
        return Err(rendered.take(5).collect());
    }
    let mut out = Vec::new();
    for message in &messages {
        let (Some(path), Some(manifest)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
        ) else {
            continue;
        };
        if message["profile"]["test"] != true {
            continue;
        }
        let folder = PathBuf::from(manifest)
            .parent()
            .map(PathBuf::from)
            .unwrap_or_default();
        let package = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let target = message["target"]["name"].as_str().unwrap_or_default();
        if LEFT_OUT.contains(&target) {
            continue;
        }
        let is_lib = message["target"]["kind"][0] == "lib";
        out.push(Program {
            name: format!(
                "{}/{}",
                package.unwrap_or_default(),
                if is_lib { "lib" } else { target }
            ),
            path: path.into(),
            folder,
        });
    }
    out.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(out)
}
