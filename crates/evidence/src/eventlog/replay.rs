//! What the registers would hold if the log were true.
//!
//! Per bank and per register: one register that cannot be replayed says so and the others still
//! can. Never guesses a missing digest.

use std::collections::BTreeMap;

use super::{Event, EventKind, EventLog, Registers};
use crate::tpm::{Hash, HashAlgorithm};

/// A register after the replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Register {
    /// Every record had a digest of the bank.
    Value {
        /// The value at the end.
        value: Vec<u8>,
        /// Index of the last record that extended it.
        last_event: Option<usize>,
    },
    /// A record has no digest of the bank; the register cannot be replayed.
    Incomplete {
        /// Index of the first such record.
        event: usize,
    },
}

/// All registers of one bank after the replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The bank.
    pub bank: HashAlgorithm,
    /// The registers that records extend.
    pub registers: BTreeMap<u32, Register>,
    size: usize,
    kind: Registers,
    locality: u8,
}

impl Replay {
    /// The value at the end; the start value for a register that no record extends; `None` for
    /// one that cannot be replayed.
    #[must_use]
    pub fn value(&self, register: u32) -> Option<Vec<u8>> {
        match self.registers.get(&register) {
            Some(Register::Value { value, .. }) => Some(value.clone()),
            Some(Register::Incomplete { .. }) => None,
            None => Some(self.start(register)),
        }
    }

    // spec: tpm.log.start
    /// The value that the register starts with: zeros, ones for the registers of a dynamic
    /// launch (PCR 17 to 22), the startup locality in the last byte of PCR 0.
    #[must_use]
    pub fn start(&self, register: u32) -> Vec<u8> {
        let mut value = vec![0; self.size];
        if self.kind == Registers::Tpm {
            if (17..=22).contains(&register) {
                value.fill(0xff);
            } else if register == 0
                && let Some(last) = value.last_mut()
            {
                *last = self.locality;
            }
        }
        value
    }
}

impl EventLog<'_> {
    /// The locality that started the TPM, if a record says so (`StartupLocality`).
    #[must_use]
    pub fn startup_locality(&self) -> Option<u8> {
        let event = self.events.iter().find(|event| {
            event.kind == EventKind::NO_ACTION
                && event.register == 0
                && event.data.len() == 17
                && event.data.starts_with(b"StartupLocality\0")
        })?;
        event.data.last().copied()
    }

    /// Whether the hardware measured the first firmware code before the TPM was started
    /// (`EV_EFI_HCRTM_EVENT`) and no record says from which locality: PCR 0 may then have begun
    /// at 4 (TPM 2.0 Library, part 1 §35; no real quote at hand shows which).
    #[must_use]
    pub fn may_start_at_locality_4(&self) -> bool {
        let hardware = |event: &Event<'_>| event.kind.0 == 0x8000_0010 && event.register == 0;
        self.startup_locality().is_none() && self.events.iter().any(hardware)
    }

    fn empty_replay(&self, bank: HashAlgorithm) -> Option<Replay> {
        self.empty_at(bank, self.startup_locality().unwrap_or_default())
    }

    fn empty_at(&self, bank: HashAlgorithm, locality: u8) -> Option<Replay> {
        bank.digest(&[])?;
        Some(Replay {
            bank,
            registers: BTreeMap::new(),
            size: bank.size()?,
            kind: self.registers,
            locality,
        })
    }

    /// Replays one bank; `None` for a bank that the log does not announce or whose hash this
    /// program does not compute.
    #[must_use]
    pub fn replay(&self, bank: HashAlgorithm) -> Option<Replay> {
        self.replay_at(bank, self.startup_locality().unwrap_or_default())
    }

    /// As [`EventLog::replay`], with PCR 0 begun at this locality whatever the log says.
    #[must_use]
    pub fn replay_at(&self, bank: HashAlgorithm, locality: u8) -> Option<Replay> {
        if !self.banks().contains(&bank) {
            return None;
        }
        let mut replay = self.empty_at(bank, locality)?;
        let mut running: BTreeMap<u32, Running> = BTreeMap::new();
        for (index, event) in self.events.iter().enumerate() {
            if self.counts(event) {
                let register = event.register;
                let register = running.entry(register).or_insert_with(|| Running {
                    value: Hash::of(&replay.start(register)),
                    last: Ok(None),
                });
                register.extend(bank, event, index);
            }
        }
        let ended = |running: Running| match running.last {
            Ok(last_event) => Register::Value {
                value: running.value.bytes().to_vec(),
                last_event,
            },
            Err(event) => Register::Incomplete { event },
        };
        let running = running.into_iter();
        replay.registers = running.map(|(index, it)| (index, ended(it))).collect();
        Some(replay)
    }

    /// The last record of the shortest beginning of the log that explains `value` in this
    /// register: `Some(None)` when the start value does, `None` when no beginning does.
    #[must_use]
    pub fn explains(
        &self,
        bank: HashAlgorithm,
        register: u32,
        value: &[u8],
    ) -> Option<Option<usize>> {
        let start = self.empty_replay(bank)?.start(register);
        if start == value {
            return Some(None);
        }
        let mut running = Running {
            value: Hash::of(&start),
            last: Ok(None),
        };
        for (index, event) in self.events.iter().enumerate() {
            if event.register == register && self.counts(event) {
                running.extend(bank, event, index);
                running.last.ok()?;
                if running.value.bytes() == value {
                    return Some(Some(index));
                }
            }
        }
        None
    }

    /// The record to look at where the replay of this register differs from `value`: where a
    /// beginning of the log explains the value, the first record behind it; else the last of the
    /// register, for one of those up to it is not what was measured. `None` when no record speaks
    /// of the register, or the bank cannot be replayed.
    #[must_use]
    pub fn suspect(&self, bank: HashAlgorithm, register: u32, value: &[u8]) -> Option<usize> {
        if let Some(reached) = self.explains(bank, register, value) {
            let behind = |index: usize| reached.is_none_or(|at| index > at);
            return self.events.iter().enumerate().find_map(|(index, event)| {
                (event.register == register && self.counts(event) && behind(index)).then_some(index)
            });
        }
        match self.replay(bank)?.registers.get(&register)? {
            Register::Value { last_event, .. } => *last_event,
            Register::Incomplete { event } => Some(*event),
        }
    }

    // spec: tpm.log.ccel
    /// Register 0 of a confidential VM is its launch measurement, which no record extends.
    fn counts(&self, event: &Event<'_>) -> bool {
        event.extends()
            && event.register != u32::MAX
            && !(self.registers == Registers::ConfidentialComputing && event.register == 0)
    }
}

/// A register while it is replayed.
struct Running {
    value: Hash,
    /// Index of the last record that extended it, or of the first without a digest of the bank.
    last: Result<Option<usize>, usize>,
}

impl Running {
    // spec: tpm.log.extend, tpm.log.bank-missing
    fn extend(&mut self, bank: HashAlgorithm, event: &Event<'_>, index: usize) {
        if self.last.is_err() {
            return;
        }
        let digest = event.digest(bank);
        let after = digest.and_then(|digest| bank.hash(&[self.value.bytes(), digest]));
        self.last = after.map_or(Err(index), |after| {
            self.value = after;
            Ok(Some(index))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventlog::tests::log;

    // spec: tpm.log.no-action, tpm.log.start
    #[test]
    fn a_statement_extends_nothing_and_the_locality_starts_pcr_0() {
        let bytes = log(&[(0, 3, b"StartupLocality\0\x03"), (0, 8, b"v1")]);
        let read = EventLog::parse_tpm(&bytes).unwrap();
        let replay = read.replay(HashAlgorithm::SHA256).unwrap();
        let mut start = [0; 32];
        start[31] = 3;
        let digest = HashAlgorithm::SHA256.digest(&[b"v1"]).unwrap();
        let wanted = HashAlgorithm::SHA256.digest(&[&start, &digest]).unwrap();
        assert_eq!(replay.value(0), Some(wanted.clone()));
        assert_eq!(replay.value(1), Some(vec![0; 32]));
        assert_eq!(replay.value(17), Some(vec![0xff; 32]));
        assert_eq!(
            read.explains(HashAlgorithm::SHA256, 0, &wanted),
            Some(Some(1))
        );
    }

    #[test]
    fn a_bank_that_the_log_does_not_announce_is_not_replayed() {
        let bytes = log(&[(0, 8, b"v1")]);
        let read = EventLog::parse_tpm(&bytes).unwrap();
        assert_eq!(read.replay(HashAlgorithm::SHA384), None);
    }

    // spec: tpm.log.ccel
    #[test]
    fn the_launch_measurement_of_a_confidential_vm_is_extended_by_nothing() {
        let bytes = log(&[(0, 8, b"v1"), (1, 8, b"v1")]);
        let read = EventLog::parse_ccel(&bytes).unwrap();
        let replay = read.replay(HashAlgorithm::SHA256).unwrap();
        assert_eq!(replay.value(0), Some(vec![0; 32]));
        assert_ne!(replay.value(1), Some(vec![0; 32]));
    }
}
