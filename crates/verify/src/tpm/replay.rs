//! Logs against signed PCRs.
//!
//! Names the first register that differs and the record to look at. Registers that the demand
//! leaves out are compared too, but only reported. Never believes a log for a register that was
//! not quoted.

use std::collections::BTreeMap;

use zeuge_evidence::{
    eventlog::{EventLog, Register, facts::BootFacts},
    ima::{self, Entry, Filling, ImaReplay},
    tpm::{HashAlgorithm, PcrSet, QuoteBundle},
};

use super::Broken;
use crate::{Error, Trail};

type Values = BTreeMap<HashAlgorithm, BTreeMap<u32, Vec<u8>>>;

/// What a verified IMA list says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaFacts {
    /// The bank whose PCR 10 was signed.
    pub bank: HashAlgorithm,
    /// The entries that the signed value covers.
    pub attested: Vec<Entry>,
    /// Entries behind them, which nothing covers yet.
    pub unattested: usize,
    /// How the kernel filled the bank; padded SHA-1 is only as strong as SHA-1.
    pub filling: Filling,
    /// Whether the first entry is the hash of the quoted PCRs 0 to 9 (or 0 to 7); `None` when
    /// they were not quoted or the entry has another form.
    pub boot_aggregate: Option<bool>,
}

/// Replays the boot log in the strongest quoted bank that the log has.
pub(super) fn boot(
    bundle: &QuoteBundle,
    pcrs: &Values,
    wanted: PcrSet,
    trail: &mut Trail,
) -> Result<(Option<BootFacts>, PcrSet), Error> {
    let Some(bytes) = &bundle.eventlog else {
        return Ok((None, PcrSet::NONE));
    };
    let log = EventLog::parse_tpm(bytes)?;
    // Numbers of the SHA family grow with their length; the last one is the strongest.
    let bank = pcrs
        .keys()
        .rev()
        .find(|bank| log.replay(**bank).is_some())
        .copied();
    let Some((bank, replay)) = bank.and_then(|bank| Some((bank, log.replay(bank)?))) else {
        let found = "no quoted bank is in the log".to_owned();
        return Err(Broken::EventLogReplay {
            pcr: 0,
            event: None,
            found,
            wanted: "a log of the quoted bank".to_owned(),
        }
        .into());
    };
    let quoted = pcrs.get(&bank).cloned().unwrap_or_default();
    let explained = quoted
        .iter()
        .filter(|(index, value)| replay.value(**index).as_ref() == Some(value))
        .fold(PcrSet::NONE, |set, (index, _)| {
            PcrSet(set.0 | PcrSet::of(&[*index]).0)
        });
    trail.check("tpm.eventlog.replay", || {
        let differs = quoted
            .iter()
            .find(|(index, _)| wanted.contains(**index) && !explained.contains(**index));
        match differs {
            None => Ok(()),
            Some((pcr, value)) => {
                let found = replay.value(*pcr).map(hex::encode).unwrap_or_default();
                Err(Broken::EventLogReplay {
                    pcr: *pcr,
                    event: suspect(&log, bank, *pcr, value, replay.registers.get(pcr)),
                    found,
                    wanted: hex::encode(value),
                }
                .into())
            }
        }
    })?;
    Ok((Some(BootFacts::of(&log, bank)), explained))
}

/// The record to look at. Where a beginning of the log explains the signed value, it is the first
/// one behind it; else the last of the register: one of those up to it is not what was measured.
fn suspect(
    log: &EventLog<'_>,
    bank: HashAlgorithm,
    pcr: u32,
    value: &[u8],
    register: Option<&Register>,
) -> Option<usize> {
    let after = log.explains(bank, pcr, value);
    let last = match register {
        Some(Register::Value { last_event, .. }) => *last_event,
        Some(Register::Incomplete { event }) => Some(*event),
        None => None,
    };
    match after {
        Some(reached) => log
            .events
            .iter()
            .enumerate()
            .find(|(index, event)| {
                event.register == pcr && event.extends() && reached.is_none_or(|at| *index > at)
            })
            .map(|(index, _)| index),
        None => last,
    }
}

/// Replays the IMA list in the strongest quoted bank.
pub(super) fn ima(
    bundle: &QuoteBundle,
    pcrs: &Values,
    trail: &mut Trail,
) -> Result<Option<ImaFacts>, Error> {
    let Some(bytes) = &bundle.ima else {
        return Ok(None);
    };
    // A binary list begins with the register, 10 and three zeros; a text with two digits.
    let part = if bytes.first().is_some_and(u8::is_ascii_digit) {
        ima::parse_ascii(bytes)?
    } else {
        ima::parse_binary(bytes)?
    };
    let mut entries = part.entries;
    let signed = pcrs
        .iter()
        .rev()
        .find_map(|(bank, values)| Some((*bank, values.get(&10)?.clone(), ImaReplay::new(*bank)?)));
    let mut found = None;
    trail.check("tpm.ima.replay", || {
        if let Some((_, value, replay)) = &signed {
            found = replay.clone().find(&entries, value);
        }
        if found.is_some() {
            return Ok(());
        }
        Err(Broken::ImaReplay {
            entries: entries.len(),
            wanted: match &signed {
                Some((_, value, _)) => hex::encode(value),
                None => "a quote of PCR 10".to_owned(),
            },
        }
        .into())
    })?;
    let (Some((taken, filling)), Some((bank, ..))) = (found, signed) else {
        return Ok(None);
    };
    let unattested = entries.len().saturating_sub(taken);
    entries.truncate(taken);
    Ok(Some(ImaFacts {
        bank,
        boot_aggregate: aggregate(entries.first(), pcrs),
        attested: entries,
        unattested,
        filling,
    }))
}

fn aggregate(first: Option<&Entry>, pcrs: &Values) -> Option<bool> {
    let first = first.filter(|entry| entry.name == "boot_aggregate")?;
    let bank = HashAlgorithm::by_name(&first.algorithm)?;
    let values = pcrs.get(&bank)?;
    let hash = |last: u32| {
        let parts: Option<Vec<&[u8]>> = (0..=last)
            .map(|index| values.get(&index).map(Vec::as_slice))
            .collect();
        bank.digest(&parts?)
    };
    let wide = hash(9)?;
    let narrow = hash(7)?;
    Some(wide == first.digest || narrow == first.digest)
}
