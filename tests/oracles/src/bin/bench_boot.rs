//! `bench_boot`: what the replay of a boot log and of an IMA list costs, from one run.
//!
//! A boot log of 300 KiB and an IMA list of 100 000 lines, beside the bare hashing of the same
//! library: the hashes that no replay can do without, one after the other over bytes that lie
//! ready. What reading the bytes costs on top is printed too, without a target: it is bound by
//! memory. A list that grew by 1000 lines is taken up where it was left. CPU time of this thread, the
//! median of rounds in turns; `--check` fails where a target is missed.

use std::{hint::black_box, process::ExitCode};

use sha2::{Digest as _, Sha256};
use zeuge_evidence::{
    eventlog::{EventLog, facts::BootFacts},
    ima::{ImaReplay, parse_any, parse_ascii, parse_binary},
    tpm::HashAlgorithm,
};
use zeuge_oracles::turns::{Candidate, Target, medians};

const BANK: HashAlgorithm = HashAlgorithm::SHA256;
/// The length of the boot log in bytes.
const LOG_BYTES: usize = 300 * 1024;
/// The lines of the IMA list, and those that come later.
const LINES: usize = 100_000;
const NEW_LINES: usize = 1_000;

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("short").to_le_bytes()
}

/// A log as GRUB leaves it: a revocation list of 16 KiB, then its commands and files, in two banks.
fn boot_log() -> Vec<u8> {
    let mut header = b"Spec ID Event03\0".to_vec();
    header.extend([0, 0, 0, 0, 0, 2, 105, 2, 2, 0, 0, 0]);
    header.extend([0x04, 0, 20, 0, 0x0b, 0, 32, 0, 0]);
    let mut out = [&[0; 4][..], &[3, 0, 0, 0], &[0; 20], &length(&header)].concat();
    out.extend(header);
    let mut record = |pcr: u32, kind: u32, covered: &[u8], data: &[u8]| {
        out.extend(pcr.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend([2, 0, 0, 0, 0x04, 0]);
        out.extend(BANK_SHA1.digest(&[covered]).expect("SHA-1"));
        out.extend([0x0b, 0]);
        out.extend(sha256(covered));
        out.extend(length(data));
        out.extend(data);
        out.len()
    };
    let dbx = vec![0x5a; 16 * 1024];
    let mut size = record(7, 0x8000_0001, &dbx, &dbx);
    let mut number = 0;
    while size < LOG_BYTES {
        let said = format!("search --no-floppy --set=root --fs-uuid {number:08x}-5a5a");
        let data = format!("grub_cmd: {said}\0");
        record(8, 0x0d, said.as_bytes(), data.as_bytes());
        let path = format!("/boot/grub/x86_64-efi/module-{number}.mod\0");
        size = record(
            9,
            0x0d,
            format!("content {number}").as_bytes(),
            path.as_bytes(),
        );
        number += 1;
    }
    out
}

const BANK_SHA1: HashAlgorithm = HashAlgorithm::SHA1;

/// One entry of a list: what the kernel hashes, the line of text, the binary record.
fn entry(number: usize) -> (Vec<u8>, String, Vec<u8>) {
    let file = sha256(&number.to_le_bytes());
    let name = format!(
        "/usr/lib/x86_64-linux-gnu/libexample-{number}.so.{}",
        number % 7
    );
    let stored = [&b"sha256:\0"[..], &file].concat();
    let path = [name.as_bytes(), &[0]].concat();
    let data = [&length(&stored)[..], &stored, &length(&path), &path].concat();
    let template = BANK_SHA1.digest(&[&data]).expect("SHA-1");
    let line = format!(
        "10 {} ima-ng sha256:{} {name}\n",
        hex::encode(&template),
        hex::encode(file)
    );
    let mut record = 10_u32.to_le_bytes().to_vec();
    record.extend(&template);
    record.extend(length(b"ima-ng"));
    record.extend(b"ima-ng");
    record.extend(length(&data));
    record.extend(&data);
    (data, line, record)
}

struct List {
    data: Vec<Vec<u8>>,
    text: String,
    binary: Vec<u8>,
}

fn list(numbers: std::ops::Range<usize>) -> List {
    let mut out = List {
        data: Vec::new(),
        text: String::new(),
        binary: Vec::new(),
    };
    for number in numbers {
        let (data, line, record) = entry(number);
        out.data.push(data);
        out.text += &line;
        out.binary.extend(record);
    }
    out
}

/// The hashes of a replay and nothing else: every entry, and the register after it.
fn bare_list(data: &[Vec<u8>], mut register: [u8; 32]) -> [u8; 32] {
    let mut block = [0; 64];
    for data in data {
        block[..32].copy_from_slice(&register);
        block[32..].copy_from_slice(&sha256(data));
        register = sha256(&block);
    }
    register
}

fn boot() -> Vec<bool> {
    let bytes = boot_log();
    let log = EventLog::parse_tpm(&bytes).expect("a log");
    let digests: Vec<(usize, &[u8], &[u8])> = log
        .events
        .iter()
        .map(|event| {
            let digest = event.digest(BANK).expect("a digest of the bank");
            let place = usize::try_from(event.register).expect("a register");
            (place, digest, event.data)
        })
        .collect();
    println!("boot log: {} bytes, {} records", bytes.len(), digests.len());
    let bare = |data: bool| {
        let mut registers = [[0_u8; 32]; 24];
        let mut block = [0; 64];
        for (place, digest, content) in &digests {
            block[..32].copy_from_slice(&registers[*place]);
            block[32..].copy_from_slice(digest);
            registers[*place] = sha256(&block);
            if data {
                black_box(sha256(content));
            }
        }
        registers
    };
    let replayed = log.replay(BANK).expect("a bank of the log");
    assert_eq!(replayed.value(9).as_deref(), Some(&bare(false)[9][..]));
    let read = || EventLog::parse_tpm(black_box(&bytes)).expect("a log");
    let mut candidates: Vec<Candidate<'_>> = vec![
        (
            "boot log: bare extensions",
            Box::new(|| {
                black_box(bare(false));
            }),
        ),
        (
            "boot log: replayed",
            Box::new(|| {
                black_box(log.replay(BANK));
            }),
        ),
        (
            "boot log: read and replayed",
            Box::new(|| {
                black_box(read().replay(BANK));
            }),
        ),
        (
            "boot log: bare extensions, and all data",
            Box::new(|| {
                black_box(bare(true));
            }),
        ),
        (
            "boot log: read, replayed, facts taken",
            Box::new(|| {
                let log = read();
                black_box((log.replay(BANK), BootFacts::of(&log, BANK)));
            }),
        ),
    ];
    let times = told(&mut candidates, 41, 10);
    let target = |name, ratio| Target {
        name,
        ratio,
        bound: 1.3,
        at_least: false,
    };
    vec![target("boot log replayed / bare", times[1] / times[0]).tell()]
}

fn told(candidates: &mut [Candidate<'_>], rounds: usize, calls: u32) -> Vec<f64> {
    let times = medians(candidates, rounds, calls);
    for ((name, _), time) in candidates.iter().zip(&times) {
        println!("{name:<48} {time:>9.1} µs");
    }
    times
}

fn ima() -> Vec<bool> {
    let old = list(0..LINES);
    let new = list(LINES..LINES + NEW_LINES);
    let (text, binary) = (old.text.as_bytes(), old.binary.as_slice());
    println!("IMA list: {LINES} lines, {} bytes of text", text.len());
    let value = bare_list(&old.data, [0; 32]);
    let after = bare_list(&new.data, value);
    let entries = parse_any(text).expect("a list").entries;
    assert_eq!(parse_binary(binary).expect("a list").entries.len(), LINES);
    let begun = ImaReplay::new(BANK).expect("a bank");
    let mut stood = begun.clone();
    assert_eq!(
        stood.find(&entries, &value).map(|found| found.0),
        Some(LINES)
    );
    let mut candidates: Vec<Candidate<'_>> = vec![
        (
            "IMA list: bare hashes",
            Box::new(|| {
                black_box(bare_list(&old.data, [0; 32]));
            }),
        ),
        (
            "IMA list: replayed",
            Box::new(|| {
                assert!(begun.clone().find(&entries, &value).is_some());
            }),
        ),
        (
            "IMA list: binary, read and replayed",
            Box::new(|| {
                let part = parse_binary(black_box(binary)).expect("a list");
                assert!(begun.clone().find(&part.entries, &value).is_some());
            }),
        ),
        (
            "IMA list: text, read and replayed",
            Box::new(|| {
                let part = parse_ascii(black_box(text)).expect("a list");
                assert!(begun.clone().find(&part.entries, &value).is_some());
            }),
        ),
        (
            "IMA list: 1000 new lines, read and replayed",
            Box::new(|| {
                let part = parse_ascii(black_box(new.text.as_bytes())).expect("a list");
                assert!(stood.clone().find(&part.entries, &after).is_some());
            }),
        ),
    ];
    let times = told(&mut candidates, 11, 1);
    let target = |name, ratio, bound| Target {
        name,
        ratio,
        bound,
        at_least: false,
    };
    // A hundredth of the lines; twice that leaves room for a cache that is cold.
    vec![
        target("IMA list replayed / bare", times[1] / times[0], 1.3).tell(),
        target(
            "IMA 1% new lines / the whole text",
            times[4] / times[3],
            0.02,
        )
        .tell(),
    ]
}

fn main() -> ExitCode {
    let met = [boot(), ima()].concat();
    if met.contains(&false) && std::env::args().any(|word| word == "--check") {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
