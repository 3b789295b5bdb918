//! PCR 10 from an IMA list, entry by entry.
//!
//! A kernel extends a bank with its own hash of the entry, or, where it could not load that hash
//! at start, with the SHA-1 template digest filled up with zeros: both are carried, never mixed.

use super::Entry;
use crate::tpm::{Hash, HashAlgorithm};

/// The register of IMA.
const PCR: u32 = 10;

/// A replay that can go on when the list has grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaReplay {
    bank: HashAlgorithm,
    entries: usize,
    /// The register for either filling; gone once the other one explained a value.
    hashed: Option<Hash>,
    padded: Option<Hash>,
}

/// How the kernel filled the bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// With the bank's own hash of every entry.
    Hashed,
    /// With SHA-1 digests filled up with zeros: only as strong as SHA-1.
    PaddedSha1,
}

impl ImaReplay {
    /// A replay of this bank from an empty register; `None` for a bank that this program does not
    /// compute.
    #[must_use]
    pub fn new(bank: HashAlgorithm) -> Option<Self> {
        let zeros = Hash::filled_with(0, bank.hash(&[])?.bytes().len());
        Some(Self {
            bank,
            entries: 0,
            hashed: Some(zeros),
            padded: Some(zeros),
        })
    }

    /// How many entries were taken.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// Takes the next entry.
    ///
    /// A policy of the kernel can send entries to other registers than 10; those are counted and
    /// extend nothing here.
    pub fn extend(&mut self, entry: &Entry) {
        self.entries = self.entries.saturating_add(1);
        for filling in [Filling::Hashed, Filling::PaddedSha1] {
            let bank = self.bank;
            if let Some(running) = self.register(filling) {
                step(bank, running, entry, filling);
            }
        }
    }

    const fn register(&mut self, filling: Filling) -> &mut Option<Hash> {
        match filling {
            Filling::Hashed => &mut self.hashed,
            Filling::PaddedSha1 => &mut self.padded,
        }
    }

    /// Whether the register now holds `value`, and how the kernel filled it. Before the first
    /// entry both fillings are the same.
    #[must_use]
    pub fn holds(&self, value: &[u8]) -> Option<Filling> {
        let is = |register: &Option<Hash>| register.as_ref().is_some_and(|it| it.bytes() == value);
        if is(&self.hashed) {
            Some(Filling::Hashed)
        } else if is(&self.padded) {
            Some(Filling::PaddedSha1)
        } else {
            None
        }
    }

    // spec: tpm.ima.padding, tpm.ima.prefix
    /// Takes entries until the register holds `value`: how many of them it took, and the
    /// filling. `None` when no beginning of the list explains the value. The replay then stands
    /// behind the last entry taken.
    ///
    /// A list is read after the quote, so entries behind the match are normal and unattested.
    pub fn find(&mut self, entries: &[Entry], value: &[u8]) -> Option<(usize, Filling)> {
        if let Some(filling) = self.holds(value) {
            return Some((0, filling));
        }
        // One filling after the other: nearly every kernel hashes, and the way it goes is known
        // from the first match on.
        for filling in [Filling::Hashed, Filling::PaddedSha1] {
            let Some(mut running) = *self.register(filling) else {
                continue;
            };
            for (taken, entry) in (1_usize..).zip(entries) {
                step(self.bank, &mut running, entry, filling);
                if running.bytes() == value {
                    self.entries = self.entries.saturating_add(taken);
                    (self.hashed, self.padded) = (None, None);
                    *self.register(filling) = Some(running);
                    return Some((taken, filling));
                }
            }
            *self.register(filling) = Some(running);
        }
        self.entries = self.entries.saturating_add(entries.len());
        None
    }
}

// spec: tpm.ima.violation
/// Extends the register by one more entry.
fn step(bank: HashAlgorithm, running: &mut Hash, entry: &Entry, filling: Filling) {
    if entry.pcr != PCR {
        return;
    }
    let size = running.bytes().len();
    let next = match filling {
        _ if entry.is_violation() => Some(Hash::filled_with(0xff, size)),
        Filling::Hashed => bank.hash(&[&entry.data]),
        Filling::PaddedSha1 => {
            let sha1 = HashAlgorithm::SHA1.hash(&[&entry.data]);
            sha1.map(|sha1| sha1.resized(size))
        }
    };
    // A bank that is not computed has no replay at all.
    if let Some(after) = next.and_then(|next| bank.hash(&[running.bytes(), next.bytes()])) {
        *running = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ima::parse_ascii;

    fn entries() -> Vec<Entry> {
        let text = format!(
            "10 {} ima-ng sha256:{} /a\n10 {} ima-ng sha256:{} /b\n",
            "22".repeat(20),
            "11".repeat(32),
            "00".repeat(20),
            "00".repeat(32)
        );
        parse_ascii(text.as_bytes()).unwrap().entries
    }

    #[test]
    fn a_list_that_grew_is_taken_up_where_it_was_left() {
        let entries = entries();
        let mut all = ImaReplay::new(HashAlgorithm::SHA256).unwrap();
        entries.iter().for_each(|entry| all.extend(entry));
        let mut steps = ImaReplay::new(HashAlgorithm::SHA256).unwrap();
        steps.extend(&entries[0]);
        steps.extend(&entries[1]);
        assert_eq!(steps, all);
        assert_eq!(steps.entries(), 2);
    }

    #[test]
    fn an_entry_of_another_register_extends_nothing() {
        let mut entries = entries();
        let mut alone = ImaReplay::new(HashAlgorithm::SHA256).unwrap();
        alone.extend(&entries[1]);
        entries[0].pcr = 11;
        let mut both = ImaReplay::new(HashAlgorithm::SHA256).unwrap();
        entries.iter().for_each(|entry| both.extend(entry));
        assert_eq!((both.hashed, both.entries), (alone.hashed, 2));
    }

    // spec: tpm.ima.padding
    #[test]
    fn a_value_after_the_first_entry_is_found_and_the_rest_is_unattested() {
        let entries = entries();
        let mut first = ImaReplay::new(HashAlgorithm::SHA384).unwrap();
        first.extend(&entries[0]);
        let mut replay = ImaReplay::new(HashAlgorithm::SHA384).unwrap();
        let padded = first.padded.unwrap();
        assert_eq!(
            replay.find(&entries, padded.bytes()),
            Some((1, Filling::PaddedSha1))
        );
        let mut replay = ImaReplay::new(HashAlgorithm::SHA384).unwrap();
        assert_eq!(replay.find(&entries, &[9; 48]), None);
    }
}
