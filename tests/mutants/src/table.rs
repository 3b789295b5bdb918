//! What became of every mutant, kept from run to run, and the rows that explain those that live.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{ask::Fate, copy::Plan, rewrite::Mutant};

/// A mutant by what it is: file, function, change, and which of several alike.
pub type Key = (String, String, String, usize);

/// The keys of all mutants.
pub fn keys(plan: &Plan) -> BTreeMap<u32, Key> {
    let mut seen: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for mutant in plan.mutants.values() {
        let what = (
            mutant.file.clone(),
            mutant.function.clone(),
            mutant.what.clone(),
        );
        let count = seen.entry(what.clone()).or_default();
        *count += 1;
        out.insert(mutant.id, (what.0, what.1, what.2, *count));
    }
    out
}

fn line(key: &Key) -> String {
    format!("{}\t{}\t{}\t{}", key.0, key.1, key.2, key.3)
}

/// Mutants that did not compile in an earlier run, by their numbers in this one.
pub fn read_refused(path: &Path, keys: &BTreeMap<u32, Key>) -> BTreeSet<u32> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let known: BTreeSet<&str> = text.lines().collect();
    let known = keys
        .iter()
        .filter(|(_, key)| known.contains(line(key).as_str()));
    known.map(|(id, _)| *id).collect()
}

/// Keeps them for the next run.
///
/// # Errors
/// When the file cannot be written.
pub fn write_refused(
    path: &Path,
    keys: &BTreeMap<u32, Key>,
    refused: &BTreeSet<u32>,
) -> Result<(), String> {
    let text: String = refused
        .iter()
        .filter_map(|id| Some(format!("{}\n", line(keys.get(id)?))))
        .collect();
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// What became of each, in a file that grows line by line.
#[derive(Debug)]
pub struct Fates {
    path: PathBuf,
    held: BTreeMap<String, Fate>,
}

impl Fates {
    /// Reads what an earlier run found of the same tree. Of another tree, what was killed stays
    /// killed where that is asked for; all else is forgotten.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path, digest: &str, keep_killed: bool) -> Result<Self, String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let mut lines = text.lines();
        let same = lines.next() == Some(digest);
        let mut held = BTreeMap::new();
        for kept in lines {
            let Some((word, rest)) = kept.split_once('\t') else {
                continue;
            };
            let Some((told, key)) = rest.split_once('\t') else {
                continue;
            };
            let fate = match word {
                "killed" => Fate::Killed(told.to_owned()),
                "ended" => Fate::Ended(told.to_owned()),
                "lived" => Fate::Lived,
                _ => Fate::Unreached,
            };
            let dead = matches!(fate, Fate::Killed(_) | Fate::Ended(_));
            if (same && !keep_killed) || (dead && (same || keep_killed)) {
                held.insert(key.to_owned(), fate);
            }
        }
        let mut text = format!("{digest}\n");
        for (key, fate) in &held {
            text.push_str(&written(key, fate));
        }
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            held,
        })
    }

    /// What became of one.
    pub fn of(&self, key: &Key) -> Option<&Fate> {
        self.held.get(&line(key))
    }

    /// Writes one down.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put(&mut self, key: &Key, fate: &Fate) -> Result<(), String> {
        let key = line(key);
        let told = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&self.path)
            .map_err(told)?;
        file.write_all(written(&key, fate).as_bytes())
            .map_err(told)?;
        self.held.insert(key, fate.clone());
        Ok(())
    }
}

fn written(key: &str, fate: &Fate) -> String {
    let (word, told) = match fate {
        Fate::Killed(test) => ("killed", test.as_str()),
        Fate::Ended(how) => ("ended", how.as_str()),
        Fate::Lived => ("lived", ""),
        Fate::Unreached => ("unreached", ""),
    };
    format!("{word}\t{told}\t{key}\n")
}

type Place = (String, String, String);

/// Rows of the table: file, function, change, reason.
fn rows(path: &Path) -> Result<BTreeMap<Place, String>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut out = BTreeMap::new();
    for row in text.lines().skip(1).filter(|row| !row.is_empty()) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [file, function, what, reason] = fields.as_slice() else {
            return Err(format!("survivors.tsv: not four fields: {row}"));
        };
        if reason.trim().len() < 10 {
            return Err(format!("survivors.tsv: no reason: {row}"));
        }
        let place = (
            (*file).to_owned(),
            (*function).to_owned(),
            (*what).to_owned(),
        );
        if out.insert(place, (*reason).to_owned()).is_some() {
            return Err(format!("survivors.tsv: twice: {row}"));
        }
    }
    Ok(out)
}

/// Counts by file, and whether the table says of every survivor why, and of nothing else.
pub fn close(
    here: &Path,
    asked: &[&Mutant],
    keys: &BTreeMap<u32, Key>,
    fates: &Fates,
    whole: bool,
) -> bool {
    let mut counts: BTreeMap<&str, [usize; 5]> = BTreeMap::new();
    let mut living: BTreeSet<Place> = BTreeSet::new();
    let mut open = 0;
    for mutant in asked {
        let fate = fates.of(&keys[&mutant.id]);
        let column = match fate {
            Some(Fate::Killed(_)) => 0,
            Some(Fate::Ended(_)) => 1,
            Some(Fate::Lived) => 2,
            Some(Fate::Unreached) => 3,
            None => 4,
        };
        open += usize::from(fate.is_none());
        counts.entry(&mutant.file).or_default()[column] += 1;
        if matches!(fate, Some(Fate::Lived | Fate::Unreached)) {
            living.insert((
                mutant.file.clone(),
                mutant.function.clone(),
                mutant.what.clone(),
            ));
        }
    }
    println!("file\tkilled\tended\tlived\tunreached\tnot asked");
    let mut sum = [0; 5];
    for (file, count) in &counts {
        println!(
            "{file}\t{}",
            count.map(|number| number.to_string()).join("\t")
        );
        sum.iter_mut()
            .zip(count)
            .for_each(|(sum, count)| *sum += count);
    }
    println!("all\t{}", sum.map(|number| number.to_string()).join("\t"));
    let rows = match rows(&here.join("survivors.tsv")) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("mutants: {error}");
            return false;
        }
    };
    let mut good = true;
    for (file, function, what) in living.iter().filter(|place| !rows.contains_key(*place)) {
        eprintln!("lives, and no row says why: {file}\t{function}\t{what}");
        good = false;
    }
    if whole && open == 0 {
        for (file, function, what) in rows.keys().filter(|place| !living.contains(*place)) {
            eprintln!("a row of nothing that lives: {file}\t{function}\t{what}");
            good = false;
        }
    }
    good
}
