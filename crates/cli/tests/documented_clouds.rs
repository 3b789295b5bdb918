//! The commands that the documentation of each cloud gives to try with a toy, run as they stand there:
//! every line of the block below "Try it with a toy", from the root of a repository.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of the programs.
fn programs() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_zeuge"));
    program.parent().expect("a folder").to_owned()
}

/// Commands with their exit codes.
fn commands(text: &str) -> Vec<(String, i32)> {
    let (_, section) = text.split_once("## Try it with a toy").expect("a section");
    let (_, block) = section.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let lines = block.lines().map(|line| match line.split_once("    # ") {
        Some((command, code)) => (command.to_owned(), code.parse().expect("an exit code")),
        None => (line.to_owned(), 0),
    });
    lines.collect()
}

fn try_out(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !programs().join("zeuge-sim").exists() {
        println!("skipped: zeuge-sim is not built (cargo build -p zeuge-sim)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let docs = root.join("docs").canonicalize().expect("the documentation");
    std::os::unix::fs::symlink(&docs, folder.path().join("docs")).expect("a link");
    let text = fs::read_to_string(docs.join(name)).expect("a page");
    let commands = commands(&text);
    assert!(commands.len() > 5, "{name}");
    let path = std::env::var("PATH").unwrap_or_default();
    for (command, code) in commands {
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .env("PATH", format!("{}:{path}", programs().display()))
            .output()
            .expect("a shell");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).into_owned();
        assert_eq!(output.status.code(), Some(code), "{command}\n{told}");
    }
}

#[test]
fn the_commands_of_the_page_about_azure_end_as_it_says() {
    try_out("azure.md");
}

#[test]
fn the_commands_of_the_page_about_aws_end_as_it_says() {
    try_out("aws.md");
}

#[test]
fn the_commands_of_the_page_about_google_end_as_it_says() {
    try_out("google.md");
}
