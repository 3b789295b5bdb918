//! `oracles [--reports N] [--chains N] [--certificates N] [--quotes N] [--structures N]
//! [--programs N] [--seed S] [--from N] [--keep DIR] [--state FILE] [--whole yes]`: asks the peers,
//! prints what was asked, and fails where the answers differ otherwise than `differences.tsv` says.
//! `--whole yes` makes a million mutations (unless numbers are given after it) and demands the rare
//! rows of the table too; the first input of each difference that is not listed is written below
//! `--keep DIR`. With `--state FILE` a run that was stopped goes on where it was.
//!
//! Captures are asked when `ZEUGE_VECTORS` names their folder. The toys' keys are made at random
//! in each run; what is changed depends on the seed and the number alone.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use zeuge_oracles::{
    boot, certificates, corpus,
    progress::Progress,
    quotes, reports,
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
    state: Option<PathBuf>,
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
            state: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            if word == "--keep" {
                options.keep = Some(PathBuf::from(value));
                continue;
            }
            if word == "--state" {
                options.state = Some(PathBuf::from(value));
                continue;
            }
            if word == "--whole" {
                options.whole = value == "yes";
                (options.reports, options.chains) = (80_000, 15_000);
                (options.certificates, options.quotes) = (800_000, 10_000);
                (options.structures, options.programs) = (200_000, 1_500);
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

/// Captures, toys and lies, once each.
fn kept(ledger: &mut Ledger, folder: Option<&Path>, scratch: Option<&Scratch>) {
    if let Some(folder) = folder {
        reports::captures(ledger, folder);
        certificates::captures(ledger, folder);
        quotes::captures(ledger, folder);
        tpm::captures(ledger, scratch, folder);
    }
    reports::toys(ledger);
    certificates::toys(ledger);
    quotes::toys(ledger);
    tpm::toys(ledger, scratch);
    if let Some(scratch) = scratch {
        if let Some(folder) = folder {
            boot::captures(ledger, scratch, folder);
        }
        boot::toys(ledger, scratch);
    }
}

/// Everything that changes what the peers are asked.
fn mutations(
    ledger: &mut Ledger,
    progress: &mut Progress,
    options: &Options,
    scratch: Option<&Scratch>,
) {
    let range = |count: u64| options.from..options.from.saturating_add(count);
    let seed = options.seed;
    progress.part(
        ledger,
        "reports",
        range(options.reports),
        5_000,
        |ledger, numbers| {
            reports::mutants(ledger, seed, numbers);
        },
    );
    progress.part(
        ledger,
        "chains",
        range(options.chains),
        2_500,
        |ledger, numbers| {
            reports::chain_mutants(ledger, seed, numbers);
        },
    );
    progress.part(
        ledger,
        "certificates",
        range(options.certificates),
        100_000,
        |ledger, numbers| {
            certificates::mutants(ledger, seed, numbers);
        },
    );
    progress.part(
        ledger,
        "quotes",
        range(options.quotes),
        1_000,
        |ledger, numbers| {
            quotes::mutants(ledger, seed, numbers);
        },
    );
    progress.part(
        ledger,
        "structures",
        range(options.structures),
        100_000,
        |ledger, numbers| {
            tpm::structures(ledger, seed, numbers);
        },
    );
    if let Some(scratch) = scratch {
        progress.part(
            ledger,
            "programs",
            range(options.programs),
            250,
            |ledger, numbers| {
                tpm::mutants(ledger, scratch, seed, numbers.clone());
                boot::mutants(ledger, scratch, seed, numbers);
            },
        );
    }
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
    if folder.is_none() {
        println!("skipped: captures (ZEUGE_VECTORS is not set)");
    }
    let scratch = (tpm::installed() && boot::installed()).then(Scratch::new);
    if scratch.is_none() {
        println!("skipped: tpm2_checkquote and tpm2_eventlog (package tpm2-tools)");
    }
    let run = format!(
        "{:?} {:?} {:?}",
        std::env::args().skip(1),
        folder,
        scratch.is_some()
    );
    let mut progress = Progress::open(options.state.as_deref(), &run, &mut ledger);
    progress.part(&mut ledger, "kept", 0..1, 1, |ledger, _| {
        kept(ledger, folder.as_deref(), scratch.as_ref());
    });
    mutations(&mut ledger, &mut progress, &options, scratch.as_ref());
    progress.close();
    let wrong = ledger.close(folder.is_some(), options.whole, scratch.is_some());
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
