//! The IMA list of a Linux kernel: what was run and read, in order (PCR 10).
//!
//! Reads the text and the binary form, and replays them step by step, so that a list which grows
//! is read only once. A list is a story until a beginning of it equals a signed PCR 10. Never
//! decides whether a file is wanted, never checks a file signature.
//! Sources: kernel `Documentation/security/IMA-templates.rst`, `security/integrity/ima`.

mod annotate;
mod line;
mod replay;

pub use annotate::annotate;
pub use line::{parse_any, parse_ascii, parse_binary};
pub use replay::{Filling, ImaReplay};

use std::borrow::Cow;

use crate::tpm::HashAlgorithm;

/// A machine that runs for months has some 100 000 entries of about 150 bytes.
pub const IMA_BYTES_MAX: usize = 64 * 1024 * 1024;
/// As many entries as fit with the shortest real ones.
pub const ENTRIES_MAX: usize = 500_000;
/// A path has at most 4096 bytes, a modsig some thousands, a key buffer less than 64 KiB.
pub const ENTRY_BYTES_MAX: usize = 128 * 1024;

/// The id under which a broken entry is refused.
pub const LINE: &str = "ima.line";

/// Every id that this module refuses under.
pub const CHECKS: &[&str] = &[LINE];

/// One entry. `data` is what its template digest is a hash of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The register, 10 unless the kernel was told otherwise.
    pub pcr: u32,
    /// The template digest as the list has it: SHA-1 in most lists.
    pub template_digest: Vec<u8>,
    /// The template: `ima`, `ima-ng`, `ima-sig`, `ima-buf`, `ima-modsig`, `ima-ngv2`, `ima-sigv2`.
    pub template: &'static str,
    /// Hash algorithm of the file digest, by the kernel's name; `sha1` for `ima`.
    pub algorithm: Cow<'static, str>,
    /// The file digest, or the digest of the buffer.
    pub digest: Vec<u8>,
    /// Path, or name of the buffer.
    pub name: String,
    /// Whether the digest is one of fs-verity.
    pub verity: bool,
    /// The file's signature (`security.ima`), where the template has one.
    pub signature: Vec<u8>,
    /// The buffer of `ima-buf`.
    pub buffer: Vec<u8>,
    /// What the template digest is a hash of.
    pub data: Vec<u8>,
    /// Where the entry begins, in bytes.
    pub offset: usize,
}

impl Entry {
    /// Whether the kernel saw the file change while it was measured: its template digest is zero
    /// and the register was extended with ones.
    #[must_use]
    pub fn is_violation(&self) -> bool {
        self.template_digest.iter().all(|byte| *byte == 0)
    }

    /// Whether the template digest is a hash of the data, by SHA-1 or a hash of its length;
    /// violations hold by rule.
    #[must_use]
    pub fn digest_holds(&self) -> bool {
        let banks = [
            HashAlgorithm::SHA1,
            HashAlgorithm::SHA256,
            HashAlgorithm::SHA384,
            HashAlgorithm::SHA512,
        ];
        self.is_violation()
            || banks.iter().any(|bank| {
                bank.size() == Some(self.template_digest.len())
                    && bank.digest(&[&self.data]).as_ref() == Some(&self.template_digest)
            })
    }
}

/// Entries that were complete, and how many bytes they took: give the rest to the next call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The bytes that they took.
    pub consumed: usize,
}
