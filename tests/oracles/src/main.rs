//! `oracles [--reports N] [--chains N] [--certificates N] [--quotes N] [--structures N]
//! [--programs N] [--seed S] [--from N] [--keep DIR] [--whole yes]`: asks the peers, prints what was asked, and fails where the answers
//! differ otherwise than `differences.tsv` says. `--whole yes` makes a million mutations (unless
//! numbers are given after it) and demands the rare rows of the table too; the first input of each
//! difference that is not listed is written below `--keep DIR`.
//!
//! Captures are asked when `ZEUGE_VECTORS` names their folder. The toys' keys are made at random
//! in each run; what is changed depends on the seed and the number alone.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use zeuge_oracles::{
    boot, certificates, corpus, quotes, reports,
    table::Ledger,
    tpm::{self, Scratch},
};

/// Numbers of mutations where nobody asks for others: a few seconds.
struct Options {
    reports: u64,
    chains: u64,
    certificates: u64,
    quotes: u64,
    structures: u64,
    programs: u64,
    seed: u64,
    from: u64,
    whole: bool,
    keep: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            reports: 8_000,
            chains: 1_500,
            certificates: 60_000,
            quotes: 400,
            structures: 60_000,
            programs: 150,
            seed: 1,
            from: 0,
            whole: false,
            keep: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            if word == "--keep" {
                options.keep = Some(PathBuf::from(value));
                continue;
            }
            if word == "--whole" {
                options.whole = value == "yes";
                (options.reports, options.chains) = (150_000, 30_000);
                (options.certificates, options.quotes) = (800_000, 20_000);
                (options.structures, options.programs) = (1_000_000, 5_000);
                continue;
            }
            let number = value
                .parse()
                .map_err(|_| format!("{word} needs a number"))?;
            match word.as_str() {
                "--reports" => options.reports = number,
                "--chains" => options.chains = number,
                "--certificates" => options.certificates = number,
                "--quotes" => options.quotes = number,
                "--structures" => options.structures = number,
                "--programs" => options.programs = number,
                "--seed" => options.seed = number,
                "--from" => options.from = number,
                _ => return Err(format!("{word} is not an option")),
            }
        }
        Ok(options)
    }
}

/// Structures for the crate, and for the programs where they are installed: whether they are.
fn the_tpm(ledger: &mut Ledger, options: &Options, folder: Option<&Path>) -> bool {
    let range = |count: u64| options.from..options.from.saturating_add(count);
    let programs = tpm::installed() && boot::installed();
    let scratch = programs.then(Scratch::new);
    tpm::toys(ledger, scratch.as_ref());
    tpm::structures(ledger, options.seed, range(options.structures));
    if let Some(folder) = folder {
        tpm::captures(ledger, scratch.as_ref(), folder);
    }
    match &scratch {
        Some(scratch) => {
            if let Some(folder) = folder {
                boot::captures(ledger, scratch, folder);
            }
            boot::toys(ledger, scratch);
            let (seed, numbers) = (options.seed, range(options.programs));
            tpm::mutants(ledger, scratch, seed, numbers.clone());
            boot::mutants(ledger, scratch, seed, numbers);
        }
        None => println!("skipped: tpm2_checkquote and tpm2_eventlog (package tpm2-tools)"),
    }
    programs
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("oracles: {error}");
            return ExitCode::FAILURE;
        }
    };
    let start = Instant::now();
    let mut ledger = Ledger::new(options.keep.clone());
    let folder = corpus::captures();
    match &folder {
        Some(folder) => {
            reports::captures(&mut ledger, folder);
            certificates::captures(&mut ledger, folder);
            quotes::captures(&mut ledger, folder);
        }
        None => println!("skipped: captures (ZEUGE_VECTORS is not set)"),
    }
    reports::toys(&mut ledger);
    certificates::toys(&mut ledger);
    quotes::toys(&mut ledger);
    let range = |count: u64| options.from..options.from.saturating_add(count);
    reports::mutants(&mut ledger, options.seed, range(options.reports));
    reports::chain_mutants(&mut ledger, options.seed, range(options.chains));
    certificates::mutants(&mut ledger, options.seed, range(options.certificates));
    quotes::mutants(&mut ledger, options.seed, range(options.quotes));
    let programs = the_tpm(&mut ledger, &options, folder.as_deref());
    let wrong = ledger.close(folder.is_some(), options.whole, programs);
    println!(
        "seed {}, numbers from {}, {:.1} s",
        options.seed,
        options.from,
        start.elapsed().as_secs_f64()
    );
    for line in &wrong {
        eprintln!("{line}");
    }
    if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        eprintln!(
            "oracles: {} differences that the table does not know",
            wrong.len()
        );
        ExitCode::FAILURE
    }
}
