//! The boot log of a trust domain (CCEL) against the registers that its quote signs.
//!
//! RTMR0 and RTMR1 are the firmware's and the boot loader's: nobody extends them later, so the log
//! must add up to them. RTMR2 and RTMR3 go on after the boot without a record (IMA, agents, the mark
//! `zeuge:closed`); where the log does not add up to one of these it is not believed about it, and
//! says so. Never believes a record of a register that the log does not explain.

use zeuge_evidence::{
    dcap::Body,
    eventlog::{self, EventKind, EventLog},
    tpm::HashAlgorithm,
};

use super::{Broken, Difference, QuoteFacts};
use crate::{Error, Verified};

/// The only bank of RTMRs.
const BANK: HashAlgorithm = HashAlgorithm::SHA384;
/// RTMR0 and RTMR1 must be explained.
const BOOT_REGISTERS: usize = 2;

/// What a boot log adds to a proven quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootLog {
    /// For RTMR0 to RTMR3, whether the log adds up to the signed value.
    pub explained: [bool; 4],
    /// The records of the registers that it explains, in the log's order.
    pub events: Vec<RtmrEvent>,
}

/// One record of an RTMR that the log explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtmrEvent {
    /// Index of the record in the log.
    pub index: usize,
    /// The register, 0 to 3.
    pub rtmr: usize,
    /// The type of the record.
    pub kind: EventKind,
    /// The digest, SHA-384.
    pub digest: Vec<u8>,
    /// What the log calls it; a label, not a fact.
    pub label: String,
}

/// Holds the area that a CCEL table points to against the RTMRs of a proven quote.
///
/// # Errors
/// `eventlog.header`, `eventlog.event` for a log that cannot be read; `tdx.eventlog.replay` when it
/// does not add up to RTMR0 or RTMR1, with the first register that differs and the record to look
/// at, when it has no SHA-384, or when the quote is an enclave's, which has no such registers.
pub fn with_event_log(
    quote: &Verified<QuoteFacts>,
    area: &[u8],
) -> Result<Verified<QuoteFacts>, Error> {
    let log = EventLog::parse_ccel(area)?;
    let mut trail = quote.trail().clone();
    let mut facts = quote.fact().clone();
    let mut boot = None;
    // spec: dcap.tdx.event-log
    trail.check("tdx.eventlog.replay", || {
        let differs = |found: &str, wanted: &str| {
            Error::from(Broken::EventLogReplay(Difference::new(found, wanted)))
        };
        let Body::Tdx(report) = &facts.claims else {
            return Err(differs("an enclave", "a trust domain, which has RTMRs"));
        };
        let read = read(&log, &report.rtmr)
            .ok_or_else(|| differs("a log without SHA-384", "a log of the RTMRs' bank"))?;
        let open = read.explained.iter().take(BOOT_REGISTERS);
        if let Some((rtmr, value)) = open
            .zip(report.rtmr.iter().enumerate())
            .find_map(|(explained, register)| (!explained).then_some(register))
        {
            let wanted = format!("RTMR{rtmr} {}", hex::encode(value));
            return Err(differs(&told(&log, rtmr, value), &wanted));
        }
        boot = Some((read, report.rtmr));
        Ok(())
    })?;
    if let Some((read, rtmr)) = boot {
        let signed = rtmr.iter().enumerate().zip(read.explained);
        for ((rtmr, value), _) in signed.filter(|(_, explained)| !explained) {
            facts.notes.push(format!(
                "the boot log does not explain RTMR{rtmr}, which software goes on to extend: {}",
                told(&log, rtmr, value)
            ));
        }
        if log.unread {
            let note = "bytes follow the boot log that are neither records nor padding";
            facts.notes.push(note.to_owned());
        }
        facts.boot = Some(read);
    }
    Ok(Verified::assertion(facts, trail))
}

/// The log's name of an RTMR: 0 is MRTD there.
fn register(rtmr: usize) -> u32 {
    u32::try_from(rtmr).map_or(u32::MAX, |rtmr| rtmr.saturating_add(1))
}

fn read(log: &EventLog<'_>, rtmr: &[[u8; 48]; 4]) -> Option<BootLog> {
    let replay = log.replay(BANK)?;
    let mut explained = [false; 4];
    for ((index, value), explained) in rtmr.iter().enumerate().zip(&mut explained) {
        *explained = replay.value(register(index)).as_deref() == Some(value);
    }
    let rtmr_of = |event: &eventlog::Event<'_>| {
        let known = explained.iter().enumerate().filter(|(_, known)| **known);
        let found = known.map(|(rtmr, _)| rtmr);
        found
            .into_iter()
            .find(|rtmr| register(*rtmr) == event.register)
    };
    let records = log
        .events
        .iter()
        .enumerate()
        .filter(|(_, event)| event.extends());
    let events = records.filter_map(|(index, event)| {
        Some(RtmrEvent {
            index,
            rtmr: rtmr_of(event)?,
            kind: event.kind,
            digest: event.digest(BANK)?.to_vec(),
            label: eventlog::describe(event),
        })
    });
    Some(BootLog {
        explained,
        events: events.collect(),
    })
}

/// What the log says of a register that it does not explain, and where to look.
fn told(log: &EventLog<'_>, rtmr: usize, value: &[u8]) -> String {
    let register = register(rtmr);
    let sum = log.replay(BANK).and_then(|replay| replay.value(register));
    let sum = sum.map_or_else(|| "nothing".to_owned(), hex::encode);
    match log.suspect(BANK, register, value) {
        Some(index) => {
            let kind = log.events.get(index).map(|event| event.kind.to_string());
            let kind = kind.unwrap_or_default();
            format!("RTMR{rtmr} {sum} (look at event {index}, {kind})")
        }
        None => format!("RTMR{rtmr} {sum} (no record speaks of it)"),
    }
}
