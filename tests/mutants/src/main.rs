//! `mutants [--packages verify,appraise] [--files PART] [--minutes N] [--lanes N] [--again lived]
//! [--quick MILLISECONDS] [--list yes]`: changes one expression of these crates at a time and asks whether any of their
//! tests notices.
//!
//! All mutants are built at once, each behind a switch; tests run in processes forked from one that
//! has made its toys already, so a mutant costs a fork and the tests that reach it, up to the first
//! that fails. What was asked stands in `target/mutants/fates.tsv`, and a run that was stopped goes on
//! from there. Mutants that live must be rows of `survivors.tsv`, each with its reason, and every row
//! must be one that lives.
//!
//! `--quick 200` asks only tests that take no longer, and writes down only what they kill: a first
//! round that leaves the dear tests to those that are left.
//!
//! Captures are not used, so that every clone gives the same answer.

mod ask;
mod compile;
mod constants;
mod copy;
mod edits;
mod rewrite;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
    time::{Duration, Instant},
};

use ask::{Fate, Lane};
use copy::{Plan, Tree};
use table::{Fates, Key};

struct Options {
    packages: Vec<String>,
    files: Option<String>,
    minutes: Option<u64>,
    lanes: usize,
    again: bool,
    list: bool,
    /// Microseconds that a test may take to be asked.
    most: u64,
}

impl Options {
    fn read() -> Result<Self, String> {
        let mut options = Self {
            packages: vec!["appraise".to_owned(), "verify".to_owned()],
            files: None,
            minutes: None,
            lanes: 1,
            again: false,
            list: false,
            most: u64::MAX,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{word} needs a number"))
            };
            match word.as_str() {
                "--packages" => options.packages = value.split(',').map(str::to_owned).collect(),
                "--files" => options.files = Some(value),
                "--minutes" => options.minutes = Some(number()?),
                "--lanes" => options.lanes = usize::try_from(number()?.max(1)).unwrap_or(1),
                "--again" => options.again = value == "lived",
                "--quick" => options.most = number()?.saturating_mul(1000),
                "--list" => options.list = value == "yes",
                _ => return Err(format!("{word} is not an option")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::read().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here
        .parent()
        .and_then(Path::parent)
        .ok_or("no repository around")?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let folder = target.join("mutants");
    let tree = Tree::read(root, &folder.join("copy"), &options.packages)?;
    let all = tree.plan(&BTreeSet::new())?;
    let keys = table::keys(&all);
    if options.list {
        for mutant in all.mutants.values() {
            println!(
                "{}:{} {}: {}",
                mutant.file, mutant.line, mutant.function, mutant.what
            );
        }
        println!("{} mutants of {}", all.mutants.len(), tree.digest);
        return Ok(true);
    }
    let refused_file = folder.join("refused.tsv");
    let mut refused = table::read_refused(&refused_file, &keys);
    let plan = compile::settle(&tree, &options.packages, &mut refused)?;
    table::write_refused(&refused_file, &keys, &refused)?;
    println!(
        "{} mutants, {} more do not compile",
        plan.mutants.len(),
        refused.len()
    );
    let programs = compile::programs(&tree, &options.packages)?;
    let reach = ask::reach(&programs, &folder, &tree.digest)?;
    for name in &reach.failing {
        println!("left out, it fails without a mutant: {name}");
    }
    let fates = Fates::open(&folder.join("fates.tsv"), &tree.digest, options.again)?;
    let wanted = |mutant: &rewrite::Mutant| {
        options
            .files
            .as_ref()
            .is_none_or(|part| mutant.file.contains(part.as_str()))
    };
    let waiting: Vec<u32> = plan
        .mutants
        .values()
        .filter(|mutant| wanted(mutant) && fates.of(&keys[&mutant.id]).is_none())
        .map(|mutant| mutant.id)
        .collect();
    println!(
        "{} tests, {} mutants to ask",
        reach.tests.len(),
        waiting.len()
    );
    let fates = ask_all(options, &programs, &reach, &plan, &keys, fates, waiting)?;
    let asked: Vec<&rewrite::Mutant> = plan
        .mutants
        .values()
        .filter(|mutant| wanted(mutant))
        .collect();
    Ok(table::close(
        here,
        &asked,
        &keys,
        &fates,
        options.files.is_none(),
    ))
}

fn ask_all(
    options: &Options,
    programs: &[compile::Program],
    reach: &ask::Reach,
    plan: &Plan,
    keys: &BTreeMap<u32, Key>,
    fates: Fates,
    waiting: Vec<u32>,
) -> Result<Fates, String> {
    let begin = Instant::now();
    let limit = options
        .minutes
        .map(|minutes| Duration::from_secs(60 * minutes));
    let total = waiting.len();
    let shared = Mutex::new((waiting.into_iter(), fates, 0_usize));
    let lane = || -> Result<(), String> {
        let mut lane = Lane::new(programs, reach, options.most);
        loop {
            if limit.is_some_and(|limit| begin.elapsed() > limit) {
                return Ok(());
            }
            let next = shared.lock().map_err(|_| "a lane broke")?.0.next();
            let Some(id) = next else { return Ok(()) };
            let fate = lane.fate(id)?;
            let mut shared = shared.lock().map_err(|_| "a lane broke")?;
            shared.2 += 1;
            if shared.2.is_multiple_of(100) {
                let seconds = begin.elapsed().as_secs();
                println!(
                    "{} of {total}, {seconds} s, {}",
                    shared.2, plan.mutants[&id].file
                );
            }
            if matches!(fate, Some(Fate::Lived | Fate::Unreached) | None) {
                let mutant = &plan.mutants[&id];
                let word = fate
                    .as_ref()
                    .map_or("Lived so far".to_owned(), |fate| format!("{fate:?}"));
                println!(
                    "{word}: {}:{} {}: {}",
                    mutant.file, mutant.line, mutant.function, mutant.what
                );
            }
            if let Some(fate) = fate {
                shared.1.put(&keys[&id], &fate)?;
            }
        }
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..options.lanes).map(|_| scope.spawn(lane)).collect();
        let joined = lanes
            .into_iter()
            .map(|lane| lane.join().map_err(|_| "a lane broke")?);
        joined.collect::<Result<(), String>>()
    })?;
    println!("asked {} in {} s", total, begin.elapsed().as_secs());
    shared
        .into_inner()
        .map(|shared| shared.1)
        .map_err(|_| "a lane broke".to_owned())
}
