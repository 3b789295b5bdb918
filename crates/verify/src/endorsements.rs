//! The heap of certificates, lists and documents that somebody brought, believed by nobody yet.
//!
//! Never fetches, never orders by trust. A platform asks for what it needs and checks it.

use zeuge_evidence::{
    der,
    x509::{CRL_BYTES_MAX, Certificate, RevocationList},
};

/// Certificates and lists in one file: real bundles have under 20; more is hostile.
const BLOCKS_MAX: usize = 1024;

/// One thing that may endorse, as received, with the name of where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsement {
    /// A file name, `evidence` for what came with the evidence, or a cache key; for people.
    pub source: String,
    /// The bytes as received (DER for certificates and lists, JSON for documents).
    pub bytes: Vec<u8>,
}

/// What somebody brought, sorted by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endorsements {
    /// Certificates in DER that could be read.
    pub certificates: Vec<Endorsement>,
    /// Revocation lists in DER that could be read.
    pub revocation_lists: Vec<Endorsement>,
    /// JSON documents (Intel's TCB Info and identities), as received.
    pub documents: Vec<Endorsement>,
    /// Sources in which nothing was recognised, named in the verdict.
    pub skipped: Vec<String>,
}

impl Endorsements {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            certificates: Vec::new(),
            revocation_lists: Vec::new(),
            documents: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Adds one file: DER or PEM certificates and lists (any number of PEM blocks, also hex of a
    /// DER list as Intel's service answers), or a JSON document. Anything else is named in
    /// `skipped`. Returns how many endorsements were found. The same bytes are kept once.
    pub fn add(&mut self, source: &str, bytes: &[u8]) -> usize {
        let before = self.len();
        self.add_content(source, bytes);
        let found = self.len().saturating_sub(before);
        if found == 0 && !self.holds(bytes) {
            self.skipped.push(source.to_owned());
        }
        found
    }

    /// How many endorsements are held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.certificates
            .len()
            .saturating_add(self.revocation_lists.len())
            .saturating_add(self.documents.len())
    }

    /// Whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        let all = [&self.certificates, &self.revocation_lists, &self.documents];
        let pem = der::pem_blocks(bytes, &PEM_LABELS, 1);
        let wanted = pem.first().map_or(bytes, Vec::as_slice);
        all.iter()
            .any(|kind| kind.iter().any(|held| held.bytes == wanted))
    }

    fn add_content(&mut self, source: &str, bytes: &[u8]) {
        if bytes.len() > CRL_BYTES_MAX.saturating_mul(2) {
            return;
        }
        if self.add_der(source, bytes) {
            return;
        }
        let blocks = der::pem_blocks(bytes, &PEM_LABELS, BLOCKS_MAX);
        if !blocks.is_empty() {
            for block in blocks {
                self.add_der(source, &block);
            }
            return;
        }
        let trimmed = bytes.trim_ascii();
        if trimmed.starts_with(b"{") {
            push(&mut self.documents, source, bytes);
        } else if let Ok(decoded) = hex::decode(trimmed) {
            self.add_der(source, &decoded);
        }
    }

    fn add_der(&mut self, source: &str, bytes: &[u8]) -> bool {
        if Certificate::parse(bytes).is_ok() {
            push(&mut self.certificates, source, bytes);
            true
        } else if RevocationList::parse(bytes).is_ok() {
            push(&mut self.revocation_lists, source, bytes);
            true
        } else {
            false
        }
    }
}

const PEM_LABELS: [&str; 4] = [
    "CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "X509 CRL",
    "X509 CERTIFICATE",
];

fn push(kind: &mut Vec<Endorsement>, source: &str, bytes: &[u8]) {
    if !kind.iter().any(|held| held.bytes == bytes) {
        kind.push(Endorsement {
            source: source.to_owned(),
            bytes: bytes.to_vec(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_endorsements_is_named() {
        let mut heap = Endorsements::new();
        assert_eq!(heap.add("notes.txt", b"nothing here"), 0);
        assert_eq!(heap.skipped, ["notes.txt"]);
    }

    #[test]
    fn the_same_document_is_kept_once() {
        let mut heap = Endorsements::new();
        assert_eq!(heap.add("a.json", b"{}"), 1);
        assert_eq!(heap.add("b.json", b"{}"), 0);
        assert!(heap.skipped.is_empty());
    }
}
