//! Boot logs, beside `tpm2_eventlog` of tpm2-tools.
//!
//! Two questions of every log: can it be read, and, where both read it, are the replayed registers
//! the same in every bank that both know. The peer is a program; where it is not installed, nothing
//! is asked and that is said.

use std::{collections::BTreeMap, fs, process::Command};

use zeuge_evidence::{
    eventlog::{EventLog, Register},
    tpm::{HashAlgorithm, QuoteBundle},
};
use zeuge_sim::{ToyTpm, TpmLie, TpmSpec};

use crate::{
    corpus::{self, NOW},
    random::Random,
    table::{ACCEPTED, Ledger},
    tpm::{Scratch, specs},
};

const EVENTLOG: &str = "tpm2_eventlog";
/// The digest of the bank by its name, PCR by PCR.
type Registers = BTreeMap<(String, u32), String>;

/// Whether the peer is installed.
#[must_use]
pub fn installed() -> bool {
    Command::new(EVENTLOG).arg("--version").output().is_ok()
}

/// What the peer makes of a log: the registers, or a word.
fn theirs(scratch: &Scratch, bytes: &[u8]) -> Result<Registers, String> {
    let path = scratch.file("log", bytes);
    let done = Command::new(EVENTLOG)
        .arg(&path)
        .output()
        .expect("the peer");
    match done.status.code() {
        Some(0) => {}
        Some(_) => return Err("refused".to_owned()),
        None => return Err("crashed".to_owned()),
    }
    let text = String::from_utf8_lossy(&done.stdout);
    // Records are printed before registers, and may hold any words.
    let registers = text.rsplit_once("\npcrs:\n").map_or("", |(_, tail)| tail);
    let mut out = Registers::new();
    let mut bank = String::new();
    for line in registers.lines() {
        match line.trim().split_once(':') {
            Some((name, "")) => name.trim().clone_into(&mut bank),
            Some((index, value)) => {
                let value = value.trim().trim_start_matches("0x").to_lowercase();
                if let Ok(index) = index.trim().parse() {
                    out.insert((bank.clone(), index), value);
                }
            }
            None => {}
        }
    }
    Ok(out)
}

/// The registers that records extend, by our replay, in banks that this program computes.
fn ours(log: &EventLog<'_>) -> Registers {
    let mut out = Registers::new();
    for bank in log.banks() {
        let registers = log.replay(bank).map(|replay| replay.registers);
        for (index, register) in registers.unwrap_or_default() {
            if let Register::Value { value, .. } = register {
                out.insert((bank.to_string(), index), hex::encode(value));
            }
        }
    }
    out
}

/// The first register that both have and that differs.
fn difference(log: &EventLog<'_>, ours: &Registers, theirs: &Registers) -> Option<&'static str> {
    let (place, _) = ours
        .iter()
        .find(|(place, value)| theirs.get(*place).is_some_and(|other| other != *value))?;
    let locality = log.startup_locality().is_some();
    Some(match place.1 {
        0 if locality => "another PCR 0, with a locality",
        17..=22 => "another register of a dynamic launch",
        _ => "another register",
    })
}

/// Asks both about one log.
pub fn ask(ledger: &mut Ledger, scratch: &Scratch, class: &str, bytes: &[u8]) {
    let files: [(&str, &[u8]); 1] = [("log.bin", bytes)];
    let read = EventLog::parse_tpm(bytes);
    let said = theirs(scratch, bytes);
    let own = read.as_ref().map_or_else(|bad| bad.check, |_| ACCEPTED);
    let word = said.as_ref().map_or_else(String::as_str, |_| ACCEPTED);
    ledger.record(class, EVENTLOG, own, word, &files);
    if let (Ok(log), Ok(theirs)) = (&read, &said) {
        let word = difference(log, &ours(log), theirs).unwrap_or(ACCEPTED);
        let class = format!("{class}-registers");
        ledger.record(&class, EVENTLOG, ACCEPTED, word, &files);
    }
}

/// The log of every toy and of every lie.
pub fn toys(ledger: &mut Ledger, scratch: &Scratch) {
    for lie in std::iter::once(None).chain(TpmLie::ALL.iter().copied().map(Some)) {
        let told = ToyTpm::shared().tell(lie, &specs()[0], NOW);
        let quote = QuoteBundle::read(&told.file)
            .ok()
            .map(|mut all| all.remove(0));
        if let Some(log) = quote.and_then(|quote| quote.eventlog) {
            let class = if lie.is_some() { "lie-log" } else { "toy-log" };
            ask(ledger, scratch, class, &log);
        }
    }
}

/// The logs of real machines.
pub fn captures(ledger: &mut Ledger, scratch: &Scratch, folder: &std::path::Path) {
    for capture in corpus::of_classes(folder, &["eventlog-tpm"]) {
        ask(ledger, scratch, "capture-log", &capture.bytes);
    }
}

/// A toy's log with one to three changes: a byte, a number of a header or record, a record left
/// out or told twice.
///
/// # Panics
/// When the toy tells no log.
pub fn mutants(ledger: &mut Ledger, scratch: &Scratch, seed: u64, numbers: std::ops::Range<u64>) {
    let told = ToyTpm::shared().tell(
        None,
        &TpmSpec {
            ima: false,
            ..specs()[0].clone()
        },
        NOW,
    );
    let honest = QuoteBundle::read(&told.file).expect("a quote").remove(0);
    let honest = honest.eventlog.expect("a log");
    let log = EventLog::parse_tpm(&honest).expect("the toy's log");
    let records: Vec<(usize, usize)> = log
        .events
        .iter()
        .map(|event| (event.offset, event.offset + event.length))
        .collect();
    for number in numbers {
        let mut random = Random::of(seed, number);
        let mut bytes = honest.clone();
        let (from, to) = *random.one_of(&records);
        match random.below(6) {
            0 => drop(bytes.drain(from..to)),
            1 => {
                let again = bytes[from..to].to_vec();
                bytes.splice(to..to, again);
            }
            2 => bytes.truncate(from + random.below(to - from)),
            _ => {
                for _ in 0..=random.below(2) {
                    // Records begin with register, type, count, algorithm: the numbers matter.
                    let at = match random.below(3) {
                        0 => from + random.below(14),
                        1 => random.below(65),
                        _ => random.below(bytes.len()),
                    };
                    bytes[at] = match random.below(3) {
                        0 => bytes[at] ^ (1 << random.below(8)),
                        1 => bytes[at].wrapping_add(1),
                        _ => random.byte(),
                    };
                }
            }
        }
        ask(ledger, scratch, "log-mutant", &bytes);
    }
    let _ = fs::remove_file(scratch.path("log"));
    debug_assert!(log.banks().contains(&HashAlgorithm::SHA256));
}
