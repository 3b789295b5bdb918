//! Real boot logs, Secure Boot artefacts, IMA lists and TPM files, read one by one.
//!
//! Captures stay outside the repository: `ZEUGE_VECTORS` names their folder. Every capture of
//! these classes must be read, or stand in `boot_exceptions.tsv` with the check that refuses it
//! and the reason; an exception that is not needed fails.
#![expect(clippy::print_stdout, reason = "a skipped test must say so")]

use std::{collections::BTreeMap, fs, path::PathBuf};

use zeuge_evidence::{
    Malformed,
    eventlog::{EventLog, facts::BootFacts, uefi::SignedUpdate},
    ima,
    tpm::{Attest, HashAlgorithm, QuoteBundle, certificate_in},
    x509::Certificate,
};

struct Capture {
    path: String,
    class: String,
    notes: String,
    bytes: Vec<u8>,
}

fn captures(classes: &[&str]) -> Option<Vec<Capture>> {
    let Some(root) = std::env::var_os("ZEUGE_VECTORS").map(PathBuf::from) else {
        println!("skipped: ZEUGE_VECTORS is not set");
        return None;
    };
    let index = fs::read_to_string(root.join("INDEX.tsv")).unwrap();
    let rows = index
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    Some(
        rows.filter(|row| classes.contains(&row[1]))
            .map(|row| Capture {
                path: row[0].to_owned(),
                class: row[1].to_owned(),
                notes: row[13].to_owned(),
                bytes: fs::read(root.join(row[0])).unwrap(),
            })
            .collect(),
    )
}

/// Path and check of each exception; its reason is the third column.
fn exceptions(class: &str) -> BTreeMap<&'static str, &'static str> {
    include_str!("boot_exceptions.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut parts = line.splitn(3, '\t');
            let row = (parts.next().unwrap(), parts.next().unwrap());
            assert!(
                parts.next().is_some_and(|reason| reason.len() > 10),
                "{line}"
            );
            row
        })
        .filter(|(path, _)| path.starts_with(&format!("open/{class}/")))
        .collect()
}

fn walk(classes: &[&str], read: impl Fn(&Capture) -> Result<(), Malformed>) {
    let Some(captures) = captures(classes) else {
        return;
    };
    let mut wrong = Vec::new();
    let mut expected: BTreeMap<_, _> = classes.iter().flat_map(|class| exceptions(class)).collect();
    for capture in &captures {
        let outcome = read(capture).map_err(|refusal| refusal.check);
        let wanted = expected.remove(capture.path.as_str()).map_or(Ok(()), Err);
        if outcome != wanted {
            wrong.push(format!("{}: {outcome:?}, wanted {wanted:?}", capture.path));
        }
    }
    wrong.extend(
        expected
            .keys()
            .map(|path| format!("{path}: no such capture")),
    );
    println!("{} captures of {classes:?}", captures.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The bank and the beginnings of register values in a line like `replay sha256 0=75… 1=bf…;`.
fn replay_in(notes: &str) -> Option<(HashAlgorithm, Vec<(u32, String)>)> {
    let text = notes
        .split("; ")
        .find_map(|part| part.strip_prefix("replay sha"))?;
    let mut words = text.split_whitespace();
    let bank = HashAlgorithm::by_name(&format!("sha{}", words.next()?))?;
    let values = words
        .map_while(|word| {
            let (register, value) = word.split_once('=')?;
            Some((register.parse().ok()?, value.to_owned()))
        })
        .collect();
    Some((bank, values))
}

fn check_replay(capture: &Capture, log: &EventLog<'_>) {
    for bank in log.banks() {
        let facts = BootFacts::of(log, bank);
        assert_eq!(facts.bank, bank);
    }
    if let Some((bank, values)) = replay_in(&capture.notes) {
        let replay = log.replay(bank).unwrap();
        for (register, beginning) in values {
            let value = hex::encode(replay.value(register).unwrap());
            assert!(
                value.starts_with(&beginning),
                "{}: register {register} is {value}, wanted {beginning}",
                capture.path
            );
        }
    }
}

// spec: tpm.log.records, tpm.log.end, tpm.log.old-form, tpm.log.bank-missing
#[test]
fn every_boot_log_of_a_tpm_is_read_and_replays_to_the_known_values() {
    walk(&["eventlog-tpm"], |capture| {
        let log = EventLog::parse_tpm(&capture.bytes)?;
        check_replay(capture, &log);
        Ok(())
    });
}

#[test]
fn every_log_of_a_confidential_vm_is_read_and_replays_to_the_known_values() {
    walk(&["eventlog-ccel"], |capture| {
        let log = EventLog::parse_ccel(&capture.bytes)?;
        check_replay(capture, &log);
        Ok(())
    });
}

#[test]
fn known_facts_of_known_boots_are_found() {
    let Some(captures) = captures(&["eventlog-tpm"]) else {
        return;
    };
    let facts = |name: &str| {
        let capture = captures
            .iter()
            .find(|capture| capture.path.ends_with(name))
            .unwrap();
        let log = EventLog::parse_tpm(&capture.bytes).unwrap();
        BootFacts::of(&log, HashAlgorithm::SHA256)
    };
    let without = facts("go-tpm-tools__ubuntu-2104-no-secure-boot.bin");
    assert_eq!(without.secure_boot, Some(false));
    assert_eq!(without.exit_boot_services, Some(true));
    assert!(!without.command_lines.is_empty());
    let google = facts("go-tpm-tools__cos-101-amd-sev.bin");
    assert_eq!(google.google_technology, Some(1));
    assert_eq!(google.secure_boot, Some(true));
    let fedora = facts("keylime__binary_bios_measurements.bin");
    assert!(fedora.images.len() > 1 && !fedora.mok_lists.is_empty());
    assert!(!fedora.partition_tables.is_empty());
}

#[test]
fn every_artefact_of_secure_boot_is_read() {
    walk(&["secureboot"], |capture| {
        if capture.path.ends_with(".crt") {
            Certificate::parse(&capture.bytes).map(|_| ())
        } else {
            let update = SignedUpdate::parse(&capture.bytes)?;
            assert!(update.entries.len() > 10, "{}", capture.path);
            Ok(())
        }
    });
}

// spec: tpm.ima.legacy
#[test]
fn every_ima_list_is_read_and_its_template_digests_hold() {
    walk(&["ima-log"], |capture| {
        let part = ima::parse_ascii(&capture.bytes)?;
        assert_eq!(part.consumed, capture.bytes.len());
        let holds = part
            .entries
            .iter()
            .filter(|entry| entry.digest_holds())
            .count();
        println!("{}: {holds} of {} hold", capture.path, part.entries.len());
        Ok(())
    });
}

#[test]
fn every_quote_is_read_out_of_its_container() {
    walk(&["tpm-quote"], |capture| {
        if capture.bytes.starts_with(&[0xff, b'T', b'C', b'G']) {
            Attest::parse(&capture.bytes)?;
            return Ok(());
        }
        for bundle in QuoteBundle::read(&capture.bytes)? {
            Attest::parse(&bundle.attest)?;
            let signature = zeuge_evidence::tpm::Signature::parse_any(&bundle.signature)?;
            assert!(bundle.pcrs.len() >= 3, "{} {signature:?}", capture.path);
        }
        Ok(())
    });
}

#[test]
fn every_certificate_of_a_tpm_or_its_maker_is_read() {
    walk(&["tpm-ek-cert", "tpm-ca"], |capture| {
        certificate_in(&capture.bytes).map(|der| {
            assert!(Certificate::parse(&der).is_ok(), "{}", capture.class);
        })
    });
}

#[test]
fn trustees_evidence_gives_its_parts() {
    let Some(captures) = captures(&["evidence-bundle"]) else {
        return;
    };
    let names = ["trustee__tpm-quote-v1.json", "trustee__tpm_evidence.json"];
    for name in names {
        let capture = captures
            .iter()
            .find(|capture| capture.path.ends_with(name))
            .unwrap();
        let bundle = QuoteBundle::read(&capture.bytes).unwrap().remove(0);
        assert_eq!(bundle.pcrs.len(), 24);
        Attest::parse(&bundle.attest).unwrap();
    }
}
