//! Hash algorithms and sets of PCRs by their TPM numbers.
//!
//! Never picks an algorithm by itself: the caller names the bank.

use std::fmt;

/// A hash algorithm by its `TPM_ALG_ID` (TCG Algorithm Registry §6.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HashAlgorithm(pub u16);

impl HashAlgorithm {
    /// SHA-1, 20 bytes.
    pub const SHA1: Self = Self(0x0004);
    /// SHA-256, 32 bytes.
    pub const SHA256: Self = Self(0x000b);
    /// SHA-384, 48 bytes.
    pub const SHA384: Self = Self(0x000c);
    /// SHA-512, 64 bytes.
    pub const SHA512: Self = Self(0x000d);
    /// SM3, 32 bytes; read, never computed here.
    pub const SM3_256: Self = Self(0x0012);

    /// The length of a digest in bytes; `None` for a number that is not known here.
    #[must_use]
    pub const fn size(self) -> Option<usize> {
        match self.0 {
            0x0004 => Some(20),
            0x000b | 0x0012 | 0x0027 => Some(32),
            0x000c | 0x0028 => Some(48),
            0x000d | 0x0029 => Some(64),
            _ => None,
        }
    }

    /// The digest of the parts one after the other; `None` for an algorithm that this program
    /// does not compute (SM3, SHA-3, unknown numbers).
    #[must_use]
    pub fn digest(self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        self.hash(parts).map(|digest| digest.bytes().to_vec())
    }

    /// As [`HashAlgorithm::digest`], without a heap: replays hash some hundred thousand times.
    pub(crate) fn hash(self, parts: &[&[u8]]) -> Option<Hash> {
        fn run<D: sha2::Digest>(parts: &[&[u8]]) -> Hash {
            let mut state = D::new();
            for part in parts {
                state.update(part);
            }
            Hash::of(&state.finalize())
        }
        match self {
            Self::SHA1 => Some(run::<sha1::Sha1>(parts)),
            Self::SHA256 => Some(run::<sha2::Sha256>(parts)),
            Self::SHA384 => Some(run::<sha2::Sha384>(parts)),
            Self::SHA512 => Some(run::<sha2::Sha512>(parts)),
            _ => None,
        }
    }

    /// The bank with this name as people and tpm2-tools write it (`sha256`).
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Self::SHA1),
            "sha256" => Some(Self::SHA256),
            "sha384" => Some(Self::SHA384),
            "sha512" => Some(Self::SHA512),
            "sm3_256" => Some(Self::SM3_256),
            _ => None,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0004 => out.write_str("sha1"),
            0x000b => out.write_str("sha256"),
            0x000c => out.write_str("sha384"),
            0x000d => out.write_str("sha512"),
            0x0012 => out.write_str("sm3_256"),
            0x0027 => out.write_str("sha3_256"),
            0x0028 => out.write_str("sha3_384"),
            0x0029 => out.write_str("sha3_512"),
            other => write!(out, "algorithm {other:#06x}"),
        }
    }
}

/// A digest, or a register, where it stands: the longest of the SHA family has 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hash {
    /// Zeros behind the size.
    filled: [u8; 64],
    size: usize,
}

impl Hash {
    /// These bytes; what is over 64 of them is cut, which no digest reaches.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut filled = [0; 64];
        let size = bytes.len().min(filled.len());
        for (place, byte) in filled.iter_mut().zip(bytes) {
            *place = *byte;
        }
        Self { filled, size }
    }

    /// So many bytes of one kind, 64 at most.
    pub(crate) fn filled_with(byte: u8, size: usize) -> Self {
        Self::of([byte; 64].get(..size).unwrap_or(&[byte; 64]))
    }

    /// The same bytes, cut or with zeros behind them.
    pub(crate) fn resized(self, size: usize) -> Self {
        Self::of(self.filled.get(..size).unwrap_or(&self.filled))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.filled.get(..self.size).unwrap_or_default()
    }
}

/// A set of PCRs, bit `n` for PCR `n`. A TPM has 24; the wire form could name 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PcrSet(pub u32);

impl PcrSet {
    /// No PCR.
    pub const NONE: Self = Self(0);
    /// PCR 0 to 23, all that a PC has.
    pub const ALL: Self = Self(0x00ff_ffff);

    /// The set of these PCRs; numbers over 31 do not exist and are left out.
    #[must_use]
    pub fn of(indices: &[u32]) -> Self {
        Self(indices.iter().fold(0, |set, index| {
            set | 1_u32.checked_shl(*index).unwrap_or_default()
        }))
    }

    /// Whether this PCR is in the set.
    #[must_use]
    pub fn contains(self, index: u32) -> bool {
        1_u32.checked_shl(index).unwrap_or_default() & self.0 != 0
    }

    /// The PCRs of the set, ascending.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..32).filter(move |index| self.contains(*index))
    }

    /// How many PCRs are in the set.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether no PCR is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for PcrSet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for index in self.iter() {
            let comma = if first { "" } else { "," };
            write!(out, "{comma}{index}")?;
            first = false;
        }
        Ok(())
    }
}

/// One bank and the PCRs chosen in it (`TPMS_PCR_SELECTION`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PcrSelection {
    /// The bank.
    pub bank: HashAlgorithm,
    /// The PCRs.
    pub pcrs: PcrSet,
}

impl fmt::Display for PcrSelection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.bank, self.pcrs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_pcrs_prints_in_ascending_order() {
        let selection = PcrSelection {
            bank: HashAlgorithm::SHA256,
            pcrs: PcrSet::of(&[7, 0, 23, 77]),
        };
        assert_eq!(selection.to_string(), "sha256:0,7,23");
    }

    #[test]
    fn an_algorithm_that_is_not_computed_gives_no_digest() {
        assert_eq!(HashAlgorithm::SM3_256.digest(&[b"x"]), None);
        assert_eq!(HashAlgorithm::SM3_256.size(), Some(32));
    }
}
