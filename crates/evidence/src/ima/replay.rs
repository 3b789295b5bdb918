//! PCR 10 from an IMA list, entry by entry.
//!
//! A kernel extends a bank with its own hash of the entry, or, where it could not load that hash
//! at start, with the SHA-1 template digest filled up with zeros: both are carried, never mixed.

use super::Entry;
use crate::tpm::HashAlgorithm;

/// The register of IMA.
const PCR: u32 = 10;

/// A replay that can go on when the list has grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImaReplay {
    bank: HashAlgorithm,
    entries: usize,
    /// The register for either filling; gone once the other one explained a value.
    hashed: Option<Vec<u8>>,
    padded: Option<Vec<u8>>,
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
        bank.digest(&[])?;
        let zeros = vec![0; bank.size()?];
        Some(Self {
            bank,
            entries: 0,
            hashed: Some(zeros.clone()),
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
            if let Some(running) = self.register(filling).take() {
                let next = step(self.bank, running, entry, filling);
                *self.register(filling) = Some(next);
            }
        }
    }

    const fn register(&mut self, filling: Filling) -> &mut Option<Vec<u8>> {
        match filling {
            Filling::Hashed => &mut self.hashed,
            Filling::PaddedSha1 => &mut self.padded,
        }
    }

    /// Whether the register now holds `value`, and how the kernel filled it. Before the first
    /// entry both fillings are the same.
    #[must_use]
    pub fn holds(&self, value: &[u8]) -> Option<Filling> {
        if self.hashed.as_deref() == Some(value) {
            Some(Filling::Hashed)
        } else if self.padded.as_deref() == Some(value) {
            Some(Filling::PaddedSha1)
        } else {
            None
        }
    }

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
            let Some(mut running) = self.register(filling).clone() else {
                continue;
            };
            for (taken, entry) in (1_usize..).zip(entries) {
                running = step(self.bank, running, entry, filling);
                if running == value {
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

/// The register after one more entry.
fn step(bank: HashAlgorithm, running: Vec<u8>, entry: &Entry, filling: Filling) -> Vec<u8> {
    if entry.pcr != PCR {
        return running;
    }
    let size = running.len();
    let next = match filling {
        _ if entry.is_violation() => vec![0xff; size],
        Filling::Hashed => bank.digest(&[&entry.data]).unwrap_or_default(),
        Filling::PaddedSha1 => {
            let sha1 = HashAlgorithm::SHA1.digest(&[&entry.data]);
            let mut sha1 = sha1.unwrap_or_default();
            sha1.resize(size, 0);
            sha1
        }
    };
    bank.digest(&[&running, &next]).unwrap_or_default()
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

    #[test]
    fn a_value_after_the_first_entry_is_found_and_the_rest_is_unattested() {
        let entries = entries();
        let mut first = ImaReplay::new(HashAlgorithm::SHA384).unwrap();
        first.extend(&entries[0]);
        let mut replay = ImaReplay::new(HashAlgorithm::SHA384).unwrap();
        let padded = first.padded.clone().unwrap();
        assert_eq!(
            replay.find(&entries, &padded),
            Some((1, Filling::PaddedSha1))
        );
        let mut replay = ImaReplay::new(HashAlgorithm::SHA384).unwrap();
        assert_eq!(replay.find(&entries, &[9; 48]), None);
    }
}
