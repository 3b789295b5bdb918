//! What a boot left behind: event logs, IMA lists, the variables of secure boot.

use zeuge_evidence::{
    Malformed,
    eventlog::{
        EventLog, annotate,
        facts::BootFacts,
        uefi::{PartitionTable, SignedUpdate, Variable, file_path, image_path, signature_lists},
    },
    ima::{ImaReplay, Part, parse_ascii, parse_binary},
    tpm::HashAlgorithm,
};

use crate::{
    meter::{Bound, within},
    must,
};

const BANKS: [HashAlgorithm; 2] = [HashAlgorithm::SHA1, HashAlgorithm::SHA256];

/// The log of a TPM's firmware or of a confidential machine: read, replayed, told.
pub(crate) fn event_log(bytes: &[u8]) {
    let length = bytes.len();
    // An event of 32 bytes becomes one of about 100, in a list that grows by doubling.
    let bound = Bound::new(16, 8192);
    for result in [
        within(bound, length, || EventLog::parse_tpm(bytes)),
        within(bound, length, || EventLog::parse_ccel(bytes)),
    ] {
        match result {
            Ok(log) => held_log(&log, bytes),
            Err(malformed) => must::refuse(&malformed, length),
        }
    }
}

fn held_log(log: &EventLog<'_>, bytes: &[u8]) {
    let length = bytes.len();
    assert!(log.end <= length);
    assert!(log.events.len() <= zeuge_evidence::eventlog::EVENTS_MAX);
    must::show_in_place(&annotate(log), bytes);
    for bank in log.banks().into_iter().chain(BANKS) {
        if let Some(replay) = log.replay(bank) {
            for register in 0..24 {
                if let Some(value) = replay.value(register) {
                    assert_eq!(Some(value.len()), bank.size());
                }
            }
        }
        let facts = within(Bound::new(256, 64 * 1024), length, || {
            BootFacts::of(log, bank)
        });
        drop(facts);
    }
}

type ReadList = fn(&[u8]) -> Result<Part, Malformed>;

/// A list of IMA, as text and as binary; reading it in two parts gives the same.
pub(crate) fn ima(bytes: &[u8]) {
    let readers: [ReadList; 2] = [parse_ascii, parse_binary];
    for read in readers {
        match within(Bound::new(16, 16 * 1024), bytes.len(), || read(bytes)) {
            Ok(part) => {
                assert!(part.consumed <= bytes.len());
                let again = read(&bytes[..part.consumed]);
                assert_eq!(again.as_ref(), Ok(&part));
                for bank in BANKS {
                    let mut replay = ImaReplay::new(bank).expect("a known bank");
                    for entry in &part.entries {
                        replay.extend(entry);
                        let _ = (entry.is_violation(), entry.digest_holds());
                    }
                    assert_eq!(replay.entries(), part.entries.len());
                }
            }
            Err(malformed) => must::refuse(&malformed, bytes.len()),
        }
    }
}

/// Contents of events: variables, signature lists, partition tables, device paths.
pub(crate) fn secure_boot(bytes: &[u8]) {
    let length = bytes.len();
    match within(Bound::new(16, 4096), length, || signature_lists(bytes, 0)) {
        Ok(entries) => assert!(entries.len() <= length),
        Err(malformed) => must::refuse(&malformed, length),
    }
    if let Err(malformed) = within(Bound::new(16, 4096), length, || SignedUpdate::parse(bytes)) {
        must::refuse(&malformed, length);
    }
    within(Bound::new(16, 4096), length, || {
        let _ = Variable::read(bytes);
        let _ = PartitionTable::read(bytes);
        let _ = file_path(bytes);
        let _ = image_path(bytes);
    });
}
