//! The habits of the repository, each also a test:
//! `cargo xtask arch | tidy [--write] | deps | specs [--write]`.
//!
//! Reads the tree and `cargo metadata`. Never changes a file, except the list of assertion call
//! sites under `tidy --write` and the counts of kept rules under `specs --write`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program speaks on its standard streams"
)]

mod arch;
mod deps;
mod specs;
mod table;
mod tidy;
mod tree;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let findings = match words.as_slice() {
        ["arch"] => arch::findings(),
        ["deps"] => deps::findings(),
        ["specs"] => specs::findings(),
        ["specs", "--write"] => specs::write().and_then(|()| specs::findings()),
        ["tidy"] => tidy::findings(),
        ["tidy", "--write"] => tidy::write_assertions().and_then(|()| tidy::findings()),
        _ => Err("usage: cargo xtask arch | tidy [--write] | deps | specs [--write]".to_owned()),
    };
    match findings {
        Ok(list) if list.is_empty() => {
            println!("{}: in order", words.join(" "));
            ExitCode::SUCCESS
        }
        Ok(list) => {
            for finding in &list {
                eprintln!("{finding}");
            }
            eprintln!("{}: {} findings", words.join(" "), list.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
