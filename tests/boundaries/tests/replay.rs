//! Everything that is kept from fuzzing, through the functions that fuzzing runs, with memory
//! counted: corpora, past findings, fresh seeds, and the hostile shapes at their limits.

#![expect(clippy::print_stderr, reason = "a failing input must be named")]

use std::{fs, path::PathBuf};

use zeuge_boundaries::{TARGETS, by_name, meter::Counting, seeds};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Files of one kept folder, `corpus` or `regressions`: target, name, content.
fn kept(folder: &str) -> Vec<(String, String, Vec<u8>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz")
        .join(folder);
    let mut out = Vec::new();
    for target in fs::read_dir(&root).expect("the folder is committed") {
        let target = target.expect("an entry");
        for file in fs::read_dir(target.path()).expect("a folder") {
            let file = file.expect("an entry");
            let name = |name: std::ffi::OsString| name.to_string_lossy().into_owned();
            let bytes = fs::read(file.path()).expect("a file");
            out.push((name(target.file_name()), name(file.file_name()), bytes));
        }
    }
    out.sort();
    out
}

fn replay(target: &str, name: &str, bytes: &[u8]) {
    let found = by_name(target).unwrap_or_else(|| panic!("{target}/{name}: no such boundary"));
    // The harness shows this line only when the test fails.
    eprintln!("{target}/{name}: {} bytes", bytes.len());
    (found.run)(bytes);
}

#[test]
fn every_input_of_the_corpora_holds() {
    let corpus = kept("corpus");
    for target in TARGETS {
        let inputs = corpus.iter().filter(|(folder, ..)| folder == target.name);
        assert!(inputs.count() > 0, "{} has no corpus", target.name);
    }
    for (target, name, bytes) in corpus {
        replay(&target, &name, &bytes);
    }
}

#[test]
fn no_past_finding_comes_back() {
    for (target, name, bytes) in kept("regressions") {
        replay(&target, &name, &bytes);
    }
}

#[test]
fn fresh_toy_evidence_holds_at_every_boundary() {
    let all = seeds::all();
    for (name, bytes) in &all {
        let (target, rest) = name.split_once('/').expect("target/name");
        replay(target, rest, bytes);
    }
}
