//! What a log says about the boot, as typed facts, each with the record that says it and how far
//! its digest covers the words.
//!
//! Owned values, one bank: the bank whose registers were signed. A fact is worth something only
//! after the replay equals those registers, and its *text* only where [`Proof`] says that the
//! digest is a hash of it. Never guesses: what is absent stays absent, what contradicts the order
//! of a boot is a [`Note`] and not a fact.

use super::{
    Event, EventKind, EventLog, Registers,
    uefi::{self, Guid, PartitionTable, Variable},
};
use crate::tpm::HashAlgorithm;

mod ipl;

/// How far the digest of a record covers its data. Computed per record, never assumed by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The digest is the hash of the whole data.
    Whole,
    /// The digest is the hash of the part that the fact quotes.
    Part,
    /// The digest is of something else (an image, a file, a section): the data is a label.
    Label,
}

/// A thing with a digest: the digest is the fact, the name a label unless proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Index of the record.
    pub event: usize,
    /// The register.
    pub register: u32,
    /// Name or path, as the log has it; empty without one.
    pub name: String,
    /// The digest in the bank.
    pub digest: Vec<u8>,
    /// How far the digest covers the name.
    pub proof: Proof,
}

/// A text that was measured: a command line, a GRUB command, a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Index of the record.
    pub event: usize,
    /// The register.
    pub register: u32,
    /// The text.
    pub text: String,
    /// How far the digest covers it.
    pub proof: Proof,
}

/// A UEFI variable that was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredVariable {
    /// Index of the record.
    pub event: usize,
    /// The register.
    pub register: u32,
    /// The type of its record.
    pub kind: EventKind,
    /// Its namespace.
    pub guid: Guid,
    /// Its name.
    pub name: String,
    /// Its content.
    pub data: Vec<u8>,
    /// How far the digest covers name and content ([`Proof::Part`]: the content alone).
    pub proof: Proof,
}

/// The end of the firmware's part of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separator {
    /// Index of the record.
    pub event: usize,
    /// The register.
    pub register: u32,
    /// 0 or 0xFFFFFFFF = normal, 1 = error; `None` for other data (Windows' `WBCL`).
    pub value: Option<u32>,
}

/// A partition table that was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasuredTable {
    /// Index of the record.
    pub event: usize,
    /// Disk and partitions.
    pub table: PartitionTable,
    /// How far the digest covers it.
    pub proof: Proof,
}

/// Something in the log that a reader should know before believing facts beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note {
    /// A second separator in the same register: nothing between them is the firmware's.
    SecondSeparator {
        /// Index of the record.
        event: usize,
    },
    /// A variable of Secure Boot after the separator of its register; not taken as a fact.
    VariableAfterSeparator {
        /// Index of the record.
        event: usize,
    },
    /// A variable of Secure Boot whose digest does not cover it; not taken as a fact.
    VariableNotProven {
        /// Index of the record.
        event: usize,
    },
    /// A separator that reports an error of the firmware.
    ErrorSeparator {
        /// Index of the record.
        event: usize,
    },
    /// Bytes behind the end of the log that are no padding.
    UnreadBytes,
}

/// What a log says about the boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFacts {
    /// The bank whose digests stand in the facts.
    pub bank: HashAlgorithm,
    /// Whether Secure Boot was on: the first `SecureBoot` variable before the separator whose
    /// digest covers it. `None`: the log does not prove it either way.
    pub secure_boot: Option<bool>,
    /// PK, KEK, db, dbx and the other variables.
    pub variables: Vec<MeasuredVariable>,
    /// The certificates (or hashes) that allowed images to run.
    pub authorities: Vec<MeasuredVariable>,
    /// The revocation level of shim's boot chain (`SbatLevel`), where the digest covers it.
    pub sbat_level: Option<String>,
    /// Shim's lists (`MokList`, `MokListX`, `MokListTrusted`): digests of their content.
    pub mok_lists: Vec<Measured>,
    /// EFI applications and drivers in order: shim, loader, kernel. The digest is Authenticode.
    pub images: Vec<Measured>,
    /// Kernel command lines: of GRUB, systemd-boot, systemd-stub.
    pub command_lines: Vec<Text>,
    /// Digests of the command line that Linux' EFI stub was given.
    pub load_options: Vec<Measured>,
    /// Digests of initrds that Linux' EFI stub loaded.
    pub initrds: Vec<Measured>,
    /// GRUB's commands.
    pub grub_commands: Vec<Text>,
    /// Files that GRUB read (kernel and initrd among them): digests, paths as labels.
    pub grub_files: Vec<Measured>,
    /// Sections of a unified kernel image that systemd-stub measured.
    pub stub_sections: Vec<Measured>,
    /// Partition tables.
    pub partition_tables: Vec<MeasuredTable>,
    /// Separators in order.
    pub separators: Vec<Separator>,
    /// The locality that started the TPM.
    pub startup_locality: Option<u8>,
    /// Whether the firmware handed over: `Some(true)` = "Exit Boot Services Returned with Success".
    pub exit_boot_services: Option<bool>,
    /// The firmware's version as it measured it.
    pub firmware_version: Option<Text>,
    /// Google's statement about confidential computing: 0 none, 1 SEV, 2 SEV-ES, 3 TDX, 4 SNP.
    pub google_technology: Option<u8>,
    /// What a reader should know first.
    pub notes: Vec<Note>,
}

const TAG_INITRD: u32 = 0x8f3b_22ec;
const TAG_LOAD_OPTIONS: u32 = 0x8f3b_22ed;

impl BootFacts {
    /// Reads the facts out of a log by the digests of one bank.
    #[must_use]
    pub fn of(log: &EventLog<'_>, bank: HashAlgorithm) -> Self {
        let mut out = Self::empty(bank);
        out.startup_locality = log.startup_locality();
        if log.unread {
            out.notes.push(Note::UnreadBytes);
        }
        for (index, event) in log.events.iter().enumerate() {
            out.add(log.registers, index, event);
        }
        out
    }

    const fn empty(bank: HashAlgorithm) -> Self {
        Self {
            bank,
            secure_boot: None,
            variables: Vec::new(),
            authorities: Vec::new(),
            sbat_level: None,
            mok_lists: Vec::new(),
            images: Vec::new(),
            command_lines: Vec::new(),
            load_options: Vec::new(),
            initrds: Vec::new(),
            grub_commands: Vec::new(),
            grub_files: Vec::new(),
            stub_sections: Vec::new(),
            partition_tables: Vec::new(),
            separators: Vec::new(),
            startup_locality: None,
            exit_boot_services: None,
            firmware_version: None,
            google_technology: None,
            notes: Vec::new(),
        }
    }

    fn add(&mut self, registers: Registers, index: usize, event: &Event<'_>) {
        match event.kind {
            EventKind::SEPARATOR => self.add_separator(registers, index, event),
            EventKind::VARIABLE_DRIVER_CONFIG
            | EventKind::VARIABLE_BOOT
            | EventKind::VARIABLE_BOOT2
            | EventKind::VARIABLE_AUTHORITY => self.add_variable(registers, index, event),
            EventKind::BOOT_SERVICES_APPLICATION
            | EventKind::BOOT_SERVICES_DRIVER
            | EventKind::RUNTIME_SERVICES_DRIVER => {
                let name = uefi::image_path(event.data).unwrap_or_default();
                let measured = self.measured(index, event, name);
                self.images.extend(measured);
            }
            EventKind::GPT_EVENT => {
                if let Some(table) = PartitionTable::read(event.data) {
                    let proof = self.proof(event, event.data);
                    self.partition_tables.push(MeasuredTable {
                        event: index,
                        table,
                        proof,
                    });
                }
            }
            EventKind::EFI_ACTION => self.add_action(event),
            EventKind::S_CRTM_VERSION | EventKind::NONHOST_INFO => {
                self.add_firmware(registers, index, event);
            }
            EventKind::EVENT_TAG => self.add_tag(index, event),
            EventKind::IPL => self.add_ipl(index, event),
            _ => {}
        }
    }

    /// What the firmware says of itself. Whoever runs later can extend the same register with the
    /// same kind of record, so only the first one counts, and only before the separator.
    fn add_firmware(&mut self, registers: Registers, index: usize, event: &Event<'_>) {
        let wanted = match registers {
            Registers::Tpm => 0,
            Registers::ConfidentialComputing => 1,
        };
        if event.register != wanted || self.is_separated(event.register) {
            return;
        }
        let proof = self.proof(event, event.data);
        if event.kind == EventKind::NONHOST_INFO {
            let technology = event.data.strip_prefix(b"GCE NonHostInfo\0");
            if let Some([technology, ..]) = technology.filter(|_| proof == Proof::Whole) {
                self.google_technology.get_or_insert(*technology);
            }
            return;
        }
        let text = match event.data {
            [_, 0, ..] => uefi::utf16(event.data),
            _ => String::from_utf8_lossy(event.data).into_owned(),
        };
        self.firmware_version.get_or_insert(Text {
            event: index,
            register: event.register,
            text,
            proof,
        });
    }

    // spec: tpm.log.data
    fn proof(&self, event: &Event<'_>, part: &[u8]) -> Proof {
        let covers = event
            .digest(self.bank)
            .is_some_and(|digest| self.bank.digest(&[part]).as_deref() == Some(digest));
        match covers {
            true if part.len() == event.data.len() => Proof::Whole,
            true => Proof::Part,
            false => Proof::Label,
        }
    }

    fn measured(&self, index: usize, event: &Event<'_>, name: String) -> Option<Measured> {
        Some(Measured {
            event: index,
            register: event.register,
            name,
            digest: event.digest(self.bank)?.to_vec(),
            proof: self.proof(event, event.data),
        })
    }

    fn add_separator(&mut self, registers: Registers, index: usize, event: &Event<'_>) {
        let value = event.data.try_into().ok().map(u32::from_le_bytes);
        let again = registers == Registers::Tpm && self.is_separated(event.register);
        if again && value.is_some() {
            self.notes.push(Note::SecondSeparator { event: index });
        }
        if value == Some(1) {
            self.notes.push(Note::ErrorSeparator { event: index });
        }
        self.separators.push(Separator {
            event: index,
            register: event.register,
            value,
        });
    }

    // spec: tpm.log.separator
    fn is_separated(&self, register: u32) -> bool {
        self.separators
            .iter()
            .any(|separator| separator.register == register)
    }

    fn add_variable(&mut self, registers: Registers, index: usize, event: &Event<'_>) {
        let Some(variable) = Variable::read(event.data) else {
            return;
        };
        let without_last = event.data.split_last().map_or(event.data, |(_, rest)| rest);
        let proof = match self.proof(event, event.data) {
            // Old shims hash everything but the last byte of the six that they leave behind.
            Proof::Label
                if !variable.surplus.is_empty()
                    && self.proof(event, without_last) == Proof::Part =>
            {
                Proof::Whole
            }
            Proof::Label => self.proof(event, variable.data),
            proof => proof,
        };
        let measured = MeasuredVariable {
            event: index,
            register: event.register,
            kind: event.kind,
            guid: variable.guid,
            name: variable.name,
            data: variable.data.to_vec(),
            proof,
        };
        let wanted = match registers {
            Registers::Tpm => 7,
            Registers::ConfidentialComputing => 1,
        };
        if event.kind == EventKind::VARIABLE_AUTHORITY {
            // Shim says it once; a later record of the same name is somebody else's word.
            if measured.name == "SbatLevel"
                && proof == Proof::Whole
                && event.register == wanted
                && self.sbat_level.is_none()
            {
                self.sbat_level = std::str::from_utf8(variable.data).ok().map(str::to_owned);
            }
            self.authorities.push(measured);
            return;
        }
        if event.kind == EventKind::VARIABLE_DRIVER_CONFIG {
            // A confidential VM's register holds PCR 1 and 7: only the first separator counts.
            if self.is_separated(event.register) || event.register != wanted {
                self.notes
                    .push(Note::VariableAfterSeparator { event: index });
                return;
            }
            if proof != Proof::Whole {
                self.notes.push(Note::VariableNotProven { event: index });
                return;
            }
            if measured.name == "SecureBoot" && measured.guid == uefi::GLOBAL {
                self.secure_boot.get_or_insert(variable.data == [1]);
            }
        }
        self.variables.push(measured);
    }

    fn add_action(&mut self, event: &Event<'_>) {
        if self.proof(event, event.data) != Proof::Whole {
            return;
        }
        if event
            .data
            .starts_with(b"Exit Boot Services Returned with Success")
        {
            self.exit_boot_services = Some(true);
        } else if event
            .data
            .starts_with(b"Exit Boot Services Returned with Failure")
        {
            self.exit_boot_services = Some(false);
        }
    }

    fn add_tag(&mut self, index: usize, event: &Event<'_>) {
        let tag = event
            .data
            .first_chunk::<4>()
            .map(|bytes| u32::from_le_bytes(*bytes));
        let name = event.data.get(8..).unwrap_or_default();
        let name = String::from_utf8_lossy(name)
            .trim_end_matches('\0')
            .to_owned();
        let measured = self.measured(index, event, name);
        match tag {
            Some(TAG_INITRD) => self.initrds.extend(measured),
            Some(TAG_LOAD_OPTIONS) => self.load_options.extend(measured),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventlog::tests::log;

    fn variable(name: &str, data: &[u8]) -> Vec<u8> {
        let mut out = uefi::GLOBAL.0.to_vec();
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        out.extend((units.len() as u64 / 2).to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        out.extend(units);
        out.extend(data);
        out
    }

    fn facts(records: &[(u32, u32, &[u8])]) -> BootFacts {
        let bytes = log(records);
        let read = EventLog::parse_tpm(&bytes).unwrap();
        BootFacts::of(&read, HashAlgorithm::SHA256)
    }

    // spec: tpm.log.separator, tpm.log.variable
    #[test]
    fn secure_boot_counts_only_before_the_separator() {
        let on = variable("SecureBoot", &[1]);
        let off = variable("SecureBoot", &[]);
        let before = facts(&[(7, 0x8000_0001, &off), (7, 4, &[0; 4])]);
        assert_eq!(before.secure_boot, Some(false));
        let after = facts(&[(7, 4, &[0; 4]), (7, 0x8000_0001, &on)]);
        assert_eq!(after.secure_boot, None);
        assert_eq!(after.notes, [Note::VariableAfterSeparator { event: 1 }]);
    }

    // spec: tpm.log.data
    #[test]
    fn a_variable_whose_digest_does_not_cover_it_is_a_note_and_not_a_fact() {
        let on = variable("SecureBoot", &[1]);
        let mut bytes = log(&[(7, 0x8000_0001, &on)]);
        let last = bytes.len() - 1;
        bytes[last] = 0;
        let read = EventLog::parse_tpm(&bytes).unwrap();
        let facts = BootFacts::of(&read, HashAlgorithm::SHA256);
        assert_eq!(facts.secure_boot, None);
        assert_eq!(facts.notes, [Note::VariableNotProven { event: 0 }]);
    }

    #[test]
    fn what_runs_later_cannot_raise_the_sbat_level_or_change_the_firmware() {
        let level = |text: &str| variable("SbatLevel", text.as_bytes());
        let (true_level, raised) = (level("sbat,1,2023\n"), level("sbat,1,2099\n"));
        let facts = facts(&[
            (0, 8, b"v1"),
            (0, 4, &[0; 4]),
            (5, 0x8000_00e0, &raised),
            (7, 0x8000_00e0, &true_level),
            (7, 0x8000_00e0, &raised),
            (0, 8, b"v2"),
            (0, 0x11, b"GCE NonHostInfo\0\x04"),
        ]);
        assert_eq!(facts.sbat_level.as_deref(), Some("sbat,1,2023\n"));
        assert_eq!(facts.firmware_version.unwrap().text, "v1");
        assert_eq!(facts.google_technology, None);
    }

    #[test]
    fn a_second_separator_in_one_register_is_noted() {
        let facts = facts(&[(0, 4, &[0; 4]), (0, 4, &[0; 4])]);
        assert_eq!(facts.notes, [Note::SecondSeparator { event: 1 }]);
    }
}
