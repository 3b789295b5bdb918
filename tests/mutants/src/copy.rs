//! A copy of the workspace below the target folder, in which chosen crates hold every mutant.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest, Sha256};

use crate::{
    constants::Constants,
    edits::Changed,
    rewrite::{Mutant, Rewriter},
};

/// What the tests of `verify` and `appraise` are made of: a change elsewhere changes no fate.
const COUNTED: [&str; 8] = [
    "crates/appraise/",
    "crates/evidence/",
    "crates/sim/",
    "crates/verify/",
    "tests/mutants/src/constants.rs",
    "tests/mutants/src/edits.rs",
    "tests/mutants/src/rewrite.rs",
    "tests/mutants/switch/",
];
/// In front of every test of a changed crate.
const TEST_HEAD: &str = "#![feature(custom_test_frameworks)] #![test_runner(::zeuge_switch::runner)] #![allow(warnings)] ";
/// In front of every changed crate.
const LIB_HEAD: &str = "#![cfg_attr(test, feature(custom_test_frameworks))] #![cfg_attr(test, test_runner(::zeuge_switch::runner))] #![allow(warnings, arithmetic_overflow, overflowing_literals, unconditional_panic)] ";

/// The tree that is changed.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// Where the copy stands.
    pub copy: PathBuf,
    packages: Vec<String>,
    /// Path and text of every Rust file and manifest.
    texts: BTreeMap<String, String>,
    constants: Constants,
    /// Changes when any file of the tree does.
    pub digest: String,
}

/// All mutants of a tree, and the changed files by path.
#[derive(Debug)]
pub struct Plan {
    /// By number.
    pub mutants: BTreeMap<u32, Mutant>,
    /// By path in the copy.
    pub changed: BTreeMap<String, Changed>,
}

impl Tree {
    /// Reads every file that git knows or would add.
    ///
    /// # Errors
    /// When git or a file cannot be read.
    pub fn read(root: &Path, copy: &Path, packages: &[String]) -> Result<Self, String> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "-co", "--exclude-standard", "--", "."])
            .current_dir(root)
            .output()
            .map_err(|error| format!("git ls-files: {error}"))?;
        let mut digest = Sha256::new();
        let mut texts = BTreeMap::new();
        let mut constants = Constants::default();
        for path in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            let own = path.starts_with("tests/mutants/");
            if path.starts_with("fuzz/") || (own && !path.ends_with(".rs")) {
                continue;
            }
            let Ok(bytes) = fs::read(root.join(path)) else {
                continue;
            };
            if COUNTED.iter().any(|folder| path.starts_with(folder)) {
                digest.update(path.as_bytes());
                digest.update(Sha256::digest(&bytes));
            }
            if own {
                continue;
            }
            match String::from_utf8(bytes) {
                Ok(text) => {
                    if path.ends_with(".rs")
                        && let Ok(file) = syn::parse_file(&text)
                    {
                        constants.see(&file);
                    }
                    texts.insert(path.to_owned(), text);
                }
                Err(error) => write(&copy.join(path), error.as_bytes())?,
            }
        }
        constants.close();
        Ok(Self {
            root: root.to_owned(),
            copy: copy.to_owned(),
            packages: packages.to_vec(),
            texts,
            constants,
            digest: digest
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        })
    }

    /// The target folder of the repository: what the crates depend on is built there already.
    #[must_use]
    pub fn target(&self) -> &Path {
        self.copy.ancestors().nth(2).unwrap_or(&self.copy)
    }

    fn is_changed(&self, path: &str) -> bool {
        self.packages.iter().any(|package| {
            let folder = format!("crates/{package}/src/");
            path.starts_with(&folder) && path.ends_with(".rs")
        }) && !path.ends_with("/tests.rs")
            && !path.contains("/tests/")
    }

    /// Every mutant but the refused ones, with the changed files.
    ///
    /// # Errors
    /// When a file is no Rust.
    pub fn plan(&self, refused: &BTreeSet<u32>) -> Result<Plan, String> {
        let mut next = 1;
        let mut plan = Plan {
            mutants: BTreeMap::new(),
            changed: BTreeMap::new(),
        };
        for (path, text) in self.texts.iter().filter(|(path, _)| self.is_changed(path)) {
            let (changed, mutants) =
                Rewriter::rewrite(path, text, &self.constants, refused, &mut next)?;
            plan.mutants
                .extend(mutants.into_iter().map(|mutant| (mutant.id, mutant)));
            plan.changed.insert(path.clone(), changed);
        }
        Ok(plan)
    }

    /// Writes the copy; files that stand already keep their times.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, plan: &Plan) -> Result<(), String> {
        for (path, text) in &self.texts {
            let text = match plan.changed.get(path) {
                Some(changed) => changed.text.clone(),
                None => text.clone(),
            };
            let text = self.dressed(path, text);
            write(&self.copy.join(path), text.as_bytes())?;
        }
        let switch = self.root.join("tests/mutants/switch");
        for path in [
            "Cargo.toml",
            "src/lib.rs",
            "src/methods.rs",
            "src/runner.rs",
        ] {
            let bytes = fs::read(switch.join(path)).map_err(|error| format!("{path}: {error}"))?;
            write(&self.copy.join("switch").join(path), &bytes)?;
        }
        let wrapper = self.copy.join("rustc-with-tests");
        write(&wrapper, b"#!/bin/sh\n# The tests run under a runner of their own.\nRUSTC_BOOTSTRAP=1 exec \"$@\"\n")?;
        executable(&wrapper)
    }

    /// How many bytes [`Self::write`] puts in front of a file.
    #[must_use]
    pub fn head(path: &str) -> usize {
        if path.ends_with("/src/lib.rs") {
            LIB_HEAD.len()
        } else {
            0
        }
    }

    fn dressed(&self, path: &str, text: String) -> String {
        if path == "Cargo.toml" {
            let members: Vec<String> = self
                .packages
                .iter()
                .map(|package| format!("\"crates/{package}\""))
                .chain(["\"switch\"".to_owned()])
                .collect();
            return text
                .lines()
                .map(|line| match line {
                    _ if line.starts_with("members = ") => {
                        format!("members = [{}]\n", members.join(", "))
                    }
                    _ if line.starts_with("exclude = ") => String::new(),
                    _ => format!("{line}\n"),
                })
                .collect();
        }
        for package in &self.packages {
            let folder = format!("crates/{package}/");
            let Some(rest) = path.strip_prefix(&folder) else {
                continue;
            };
            if rest == "Cargo.toml" {
                return text.replace("[lints]\nworkspace = true\n", "").replace(
                    "[dependencies]\n",
                    "[dependencies]\nzeuge-switch = { path = \"../../switch\" }\n",
                );
            }
            if rest == "src/lib.rs" {
                return format!("{LIB_HEAD}{text}");
            }
            if rest.starts_with("tests/") && rest.matches('/').count() == 1 && rest.ends_with(".rs")
            {
                return format!("{TEST_HEAD}{text}");
            }
        }
        text
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|held| held == bytes) {
        return Ok(());
    }
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(told)?;
    }
    fs::write(path, bytes).map_err(told)
}

fn executable(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("{}: {error}", path.display()))
}
