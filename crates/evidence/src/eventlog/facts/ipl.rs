//! Records of boot loaders (`EV_IPL`): GRUB, shim, systemd-boot and systemd-stub.
//!
//! The digest rules differ per loader and per age, so each text is tried against the forms that
//! real logs show; a text that no form covers stays a label.

use super::{BootFacts, Measured, Proof, Text};
use crate::eventlog::{Event, uefi};

impl BootFacts {
    pub(super) fn add_ipl(&mut self, index: usize, event: &Event<'_>) {
        match event.register {
            8 | 2..=4 if self.add_grub_text(index, event) => {}
            14 => {
                let name = text(event.data);
                let measured = self.measured(index, event, name);
                self.mok_lists.extend(measured);
            }
            11 => {
                let name = text(event.data);
                let measured = self.section(index, event, name);
                self.stub_sections.extend(measured);
            }
            8 | 12 => self.add_utf16_command_line(index, event),
            9 => {
                let name = text(event.data);
                let measured = self.measured(index, event, name);
                self.grub_files.extend(measured);
            }
            _ => {}
        }
    }

    /// GRUB's commands and command lines: newer ones hash the text alone, older ones the text
    /// with its NUL.
    fn add_grub_text(&mut self, index: usize, event: &Event<'_>) -> bool {
        const FORMS: [(&[u8], bool); 4] = [
            (b"kernel_cmdline: ", true),
            (b"grub_cmd: ", false),
            (b"grub_kernel_cmdline ", true),
            (b"grub_cmd ", false),
        ];
        let Some((rest, is_kernel)) = FORMS
            .iter()
            .find_map(|(prefix, is_kernel)| Some((event.data.strip_prefix(*prefix)?, *is_kernel)))
        else {
            return false;
        };
        let bare = rest.strip_suffix(&[0]).unwrap_or(rest);
        let covered = [bare, rest]
            .into_iter()
            .any(|form| self.proof(event, form) != Proof::Label);
        let text = Text {
            event: index,
            register: event.register,
            text: String::from_utf8_lossy(bare).into_owned(),
            proof: if covered { Proof::Part } else { Proof::Label },
        };
        if is_kernel {
            self.command_lines.push(text);
        } else {
            self.grub_commands.push(text);
        }
        true
    }

    // spec: tpm.log.command-line
    /// systemd-boot and systemd-stub log the command line in UTF-16; its NUL is hashed by some
    /// versions and not by others.
    fn add_utf16_command_line(&mut self, index: usize, event: &Event<'_>) {
        if !is_utf16(event.data) {
            return;
        }
        let bare = event.data.strip_suffix(&[0, 0]).unwrap_or(event.data);
        let proof = match self.proof(event, event.data) {
            Proof::Label => self.proof(event, bare),
            proof => proof,
        };
        self.command_lines.push(Text {
            event: index,
            register: event.register,
            text: uefi::utf16(event.data),
            proof,
        });
    }

    // spec: tpm.log.stub
    /// A section of a unified kernel image: the first record of each covers its name in ASCII
    /// with one NUL, the second its content.
    fn section(&self, index: usize, event: &Event<'_>, name: String) -> Option<Measured> {
        let digest = event.digest(self.bank)?;
        let named = self.bank.digest(&[name.as_bytes(), &[0]])?;
        let proof = if named == digest {
            Proof::Whole
        } else {
            Proof::Label
        };
        Some(Measured {
            event: index,
            register: event.register,
            name,
            digest: digest.to_vec(),
            proof,
        })
    }
}

fn is_utf16(data: &[u8]) -> bool {
    matches!(data, [first, 0, ..] if *first != 0)
}

fn text(data: &[u8]) -> String {
    if is_utf16(data) {
        uefi::utf16(data)
    } else {
        String::from_utf8_lossy(data)
            .trim_end_matches('\0')
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        eventlog::{EventLog, tests::log},
        tpm::HashAlgorithm,
    };

    // spec: tpm.log.command-line
    #[test]
    fn a_command_line_of_systemd_is_accepted_with_its_nul() {
        let data: Vec<u8> = "root=a\0"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let bytes = log(&[(12, 0x0d, &data)]);
        let read = EventLog::parse_tpm(&bytes).unwrap();
        let facts = BootFacts::of(&read, HashAlgorithm::SHA256);
        let line = facts.command_lines.first().unwrap();
        assert_eq!((line.text.as_str(), line.proof), ("root=a", Proof::Whole));
    }

    #[test]
    fn a_command_of_grub_whose_digest_is_of_something_else_stays_a_label() {
        let bytes = log(&[(8, 0x0d, b"grub_cmd: boot\0")]);
        let read = EventLog::parse_tpm(&bytes).unwrap();
        let facts = BootFacts::of(&read, HashAlgorithm::SHA256);
        assert_eq!(facts.grub_commands.first().unwrap().proof, Proof::Label);
    }
}
