//! How far a long run has come, in a file: a run that was stopped goes on from its last step.

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    time::Instant,
};

use sha2::{Digest, Sha256};

use crate::table::Ledger;

/// Between the parts that are done and what was found in them.
const FOUND: &str = "found";

/// What is done.
#[derive(Debug)]
pub struct Progress {
    path: Option<PathBuf>,
    /// The program and what it was asked: another one begins anew.
    run: String,
    done: BTreeMap<String, u64>,
    begin: Instant,
}

impl Progress {
    /// Reads the file, if there is one and it was written by this program for this run.
    #[must_use]
    pub fn open(path: Option<&Path>, run: &str, ledger: &mut Ledger) -> Self {
        let program = std::env::current_exe()
            .and_then(fs::read)
            .unwrap_or_default();
        let mut out = Self {
            path: path.map(Path::to_owned),
            run: format!("{:x?} {run}", &Sha256::digest(program)[..8]),
            done: BTreeMap::new(),
            begin: Instant::now(),
        };
        let text = path.and_then(|path| fs::read_to_string(path).ok());
        let text = text.unwrap_or_default();
        let mut lines = text.split_inclusive('\n');
        if lines.next().map(str::trim_end) != Some(out.run.as_str()) {
            return out;
        }
        for line in lines
            .by_ref()
            .map(str::trim_end)
            .take_while(|line| *line != FOUND)
        {
            if let Some((part, count)) = line.split_once('\t') {
                out.done.insert(part.to_owned(), count.parse().unwrap_or(0));
            }
        }
        ledger.restore(&lines.collect::<String>());
        println!("going on after {:?}", out.done);
        out
    }

    /// Asks `range` of one part in steps, each written down.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn part(
        &mut self,
        ledger: &mut Ledger,
        name: &str,
        range: Range<u64>,
        step: u64,
        ask: impl Fn(&mut Ledger, Range<u64>),
    ) {
        let mut at = self.done.get(name).copied().unwrap_or(range.start);
        while at < range.end {
            let to = at.saturating_add(step.max(1)).min(range.end);
            ask(ledger, at..to);
            at = to;
            self.done.insert(name.to_owned(), at);
            if let Some(path) = &self.path {
                let mut text = format!("{}\n", self.run);
                for (part, count) in &self.done {
                    text.push_str(&format!("{part}\t{count}\n"));
                }
                text.push_str(&format!("{FOUND}\n{}", ledger.written()));
                let beside = path.with_extension("new");
                fs::write(&beside, text).expect("the folder can be written");
                fs::rename(&beside, path).expect("the folder can be written");
                let seconds = self.begin.elapsed().as_secs();
                println!("{seconds:>6} s  {name}: {at} of {}", range.end);
            }
        }
    }

    /// The run is over: the next one begins anew.
    pub fn close(&self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}
