//! What was found, held against the table of differences, strict in both directions.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

/// Which inputs were asked, by whom the other answer came, our answer, theirs.
pub type Place = (String, String, String, String);

/// The word for an input that somebody accepts.
pub const ACCEPTED: &str = "accepted";

/// The committed table, compiled in.
const TABLE: &str = include_str!("../differences.tsv");

/// One row of the table.
struct Row {
    /// Whether the row can only be demanded where captures are at hand.
    needs_captures: bool,
    /// Whether the peer is a program that a machine need not have.
    needs_program: bool,
    when: When,
    used: bool,
}

/// Which runs must find a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Every run.
    Always,
    /// A whole run only.
    Whole,
    /// None: a handful in a million.
    Rare,
}

/// Counts agreements and differences of one run.
pub struct Ledger {
    rows: BTreeMap<Place, Row>,
    counts: BTreeMap<Place, u64>,
    asked: BTreeMap<(String, String), u64>,
    unlisted: BTreeSet<Place>,
    keep: Option<PathBuf>,
}

/// The files of one input, for whoever wants to ask again.
pub type Files<'a> = &'a [(&'a str, &'a [u8])];

impl Ledger {
    /// An empty ledger over the committed table; unlisted differences are written below `keep`.
    ///
    /// # Panics
    /// When the table has a line that is not six cells with a reason, or lists a place twice.
    #[must_use]
    pub fn new(keep: Option<PathBuf>) -> Self {
        let mut rows = BTreeMap::new();
        for line in TABLE
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let cells: Vec<&str> = line.split('\t').collect();
            let [class, oracle, ours, theirs, when, reason] = cells.as_slice() else {
                panic!("differences.tsv: six cells were expected: {line}");
            };
            assert!(
                !reason.trim().is_empty(),
                "a difference has a reason: {line}"
            );
            let place = (
                (*class).to_owned(),
                (*oracle).to_owned(),
                (*ours).to_owned(),
                (*theirs).to_owned(),
            );
            let row = Row {
                needs_captures: class.starts_with("capture"),
                needs_program: oracle.starts_with("tpm2_"),
                when: match *when {
                    "always" => When::Always,
                    "whole" => When::Whole,
                    "rare" => When::Rare,
                    _ => panic!("differences.tsv: always, whole or rare: {line}"),
                },
                used: false,
            };
            assert!(rows.insert(place, row).is_none(), "listed twice: {line}");
        }
        Self {
            rows,
            counts: BTreeMap::new(),
            asked: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            keep,
        }
    }

    /// Records one input and both answers: a check id or [`ACCEPTED`], and the peer's word.
    pub fn record(
        &mut self,
        class: &str,
        oracle: &str,
        ours: &str,
        theirs: &str,
        files: Files<'_>,
    ) {
        let question = (class.to_owned(), oracle.to_owned());
        *self.asked.entry(question).or_default() += 1;
        if (ours == ACCEPTED) == (theirs == ACCEPTED) {
            return;
        }
        let place = (
            class.to_owned(),
            oracle.to_owned(),
            ours.to_owned(),
            theirs.to_owned(),
        );
        *self.counts.entry(place.clone()).or_default() += 1;
        if let Some(row) = self.rows.get_mut(&place) {
            row.used = true;
        } else if self.unlisted.insert(place.clone()) {
            self.keep_files(&place, files);
        }
    }

    /// What was asked and found so far, for [`Self::restore`].
    #[must_use]
    pub fn written(&self) -> String {
        let asked = self.asked.iter();
        let asked = asked.map(|((class, oracle), count)| format!("{class}\t{oracle}\t{count}\n"));
        let counts = self
            .counts
            .iter()
            .map(|((class, oracle, ours, theirs), count)| {
                format!("{class}\t{oracle}\t{ours}\t{theirs}\t{count}\n")
            });
        asked.chain(counts).collect()
    }

    /// Adds what an earlier run of the same program had written.
    pub fn restore(&mut self, text: &str) {
        for line in text.lines() {
            let cells: Vec<&str> = line.split('\t').collect();
            match cells.as_slice() {
                [class, oracle, count] => {
                    let question = ((*class).to_owned(), (*oracle).to_owned());
                    *self.asked.entry(question).or_default() += count.parse::<u64>().unwrap_or(0);
                }
                [class, oracle, ours, theirs, count] => {
                    let cell = |text: &str| text.to_owned();
                    let place = (cell(class), cell(oracle), cell(ours), cell(theirs));
                    *self.counts.entry(place.clone()).or_default() +=
                        count.parse::<u64>().unwrap_or(0);
                    match self.rows.get_mut(&place) {
                        Some(row) => row.used = true,
                        None => drop(self.unlisted.insert(place)),
                    }
                }
                _ => {}
            }
        }
    }

    /// Prints what was asked and found; returns what is wrong. `whole` says that enough was asked
    /// for rare rows to be found too, `programs` that the peers that are programs were there.
    #[must_use]
    pub fn close(self, with_captures: bool, whole: bool, programs: bool) -> Vec<String> {
        for ((class, oracle), count) in &self.asked {
            let differ = self
                .counts
                .iter()
                .filter(|((c, o, _, _), _)| c == class && o == oracle);
            let differ: u64 = differ.map(|(_, count)| count).sum();
            println!("{class:<22} {oracle:<12} {count:>9} asked, {differ:>7} listed differences");
        }
        for ((class, oracle, ours, theirs), count) in &self.counts {
            println!("  {count:>7} {class}\t{oracle}\t{ours}\t{theirs}");
        }
        let mut wrong: Vec<String> = self
            .unlisted
            .iter()
            .map(|(class, oracle, ours, theirs)| {
                format!("not in differences.tsv: {class}\t{oracle}\t{ours}\t{theirs}")
            })
            .collect();
        for ((class, oracle, ours, theirs), row) in &self.rows {
            let long_enough = match row.when {
                When::Always => true,
                When::Whole => whole,
                When::Rare => false,
            };
            let demanded = long_enough
                && (with_captures || !row.needs_captures)
                && (programs || !row.needs_program);
            if !row.used && demanded {
                wrong.push(format!(
                    "no longer occurs: {class}\t{oracle}\t{ours}\t{theirs}"
                ));
            }
        }
        wrong
    }

    fn keep_files(&self, place: &Place, files: Files<'_>) {
        let Some(folder) = &self.keep else { return };
        let (class, oracle, ours, theirs) = place;
        let name = format!("{class}-{oracle}-{ours}-{theirs}");
        let folder = folder.join(name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
        if fs::create_dir_all(&folder).is_ok() {
            for (name, bytes) in files {
                let _ = fs::write(folder.join(name), bytes);
            }
        }
    }
}
