//! The heap of certificates, lists and documents that somebody brought, believed by nobody yet.
//!
//! Never fetches, never orders by trust. A platform asks for what it needs and checks it.

use zeuge_evidence::{
    Malformed, der, google,
    x509::{CRL_BYTES_MAX, Certificate, RevocationList},
};

use crate::dcap::Parts;

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

/// What somebody brought, sorted by kind and, inside a kind, by bytes: the order in which files
/// are offered decides nothing and shows in no verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Endorsements {
    /// Certificates in DER that could be read.
    pub certificates: Vec<Endorsement>,
    /// Revocation lists in DER that could be read.
    pub revocation_lists: Vec<Endorsement>,
    /// JSON documents (Intel's TCB Info and identities), as received.
    pub documents: Vec<Endorsement>,
    /// Google's launch endorsements of firmware, as received.
    pub firmware: Vec<Endorsement>,
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
            firmware: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Adds one file: DER or PEM certificates and lists (any number of PEM blocks, also hex of a
    /// DER list as Intel's service answers), a JSON document, a dump of Intel's collateral
    /// structure or of Open Enclave's, one of the JSON wrappers in which several of these lie
    /// together, or a launch endorsement of Google's. Anything else is named in `skipped`. Returns
    /// how many endorsements were found. The same bytes are kept once, under the first of their
    /// sources by name.
    pub fn add(&mut self, source: &str, bytes: &[u8]) -> usize {
        let before = self.len();
        if !self.add_content(source, bytes) {
            self.skip(source);
        }
        self.len().saturating_sub(before)
    }

    /// Adds what lay beside a report, by the names that its reader gives. What is not the
    /// certificate or list that its name promises is skipped like any other file, and returned:
    /// it decides where no good one is left (see [`crate::snp::unless_broken_beside`]).
    pub fn add_beside(&mut self, beside: &[(String, Vec<u8>)]) -> Vec<Malformed> {
        let mut broken = Vec::new();
        for (name, bytes) in beside {
            let source = format!("{name} beside the report");
            if name == FIRMWARE {
                push(&mut self.firmware, &source, bytes);
                continue;
            }
            if self.add_content(&source, bytes) {
                continue;
            }
            self.skip(&source);
            broken.extend(match name.as_str() {
                "VCEK" | "VLEK" | "ASK" | "ARK" => Certificate::parse(bytes).err(),
                "CRL" => RevocationList::parse(bytes).err(),
                _ => None,
            });
        }
        broken
    }

    /// Adds what somebody else has sorted already.
    pub fn extend(&mut self, other: &Self) {
        for held in &other.certificates {
            push(&mut self.certificates, &held.source, &held.bytes);
        }
        for held in &other.revocation_lists {
            push(&mut self.revocation_lists, &held.source, &held.bytes);
        }
        for held in &other.documents {
            push(&mut self.documents, &held.source, &held.bytes);
        }
        for held in &other.firmware {
            push(&mut self.firmware, &held.source, &held.bytes);
        }
    }

    /// How many endorsements are held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.certificates
            .len()
            .saturating_add(self.revocation_lists.len())
            .saturating_add(self.documents.len())
            .saturating_add(self.firmware.len())
    }

    /// Whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names a source, at its place by name.
    fn skip(&mut self, source: &str) {
        let at = self
            .skipped
            .partition_point(|other| other.as_str() <= source);
        self.skipped.insert(at, source.to_owned());
    }

    /// Whether anything was recognised, new or not.
    fn add_content(&mut self, source: &str, bytes: &[u8]) -> bool {
        if bytes.len() > CRL_BYTES_MAX.saturating_mul(2) {
            return false;
        }
        if self.add_der(source, bytes) {
            return true;
        }
        if google::looks_like(bytes) {
            push(&mut self.firmware, source, bytes);
            return true;
        }
        let trimmed = bytes.trim_ascii();
        if trimmed.starts_with(b"{") {
            let recognised = self.add_parts(source, Parts::of_json(trimmed));
            if !recognised {
                push(&mut self.documents, source, bytes);
            }
            return true;
        }
        let mut recognised = false;
        for block in der::pem_blocks(bytes, &PEM_LABELS, BLOCKS_MAX) {
            recognised |= self.add_der(source, &block);
        }
        if let Ok(decoded) = hex::decode(trimmed) {
            recognised |= self.add_der(source, &decoded);
        }
        recognised |= self.add_parts(source, Parts::of_dump(bytes));
        recognised |= self.add_parts(source, Parts::of_open_enclave(bytes));
        recognised | self.add_parts(source, Parts::of_header(bytes))
    }

    fn add_parts(&mut self, source: &str, parts: Parts) -> bool {
        let mut recognised = false;
        for bytes in parts.der {
            recognised |= self.add_der(source, &bytes);
        }
        for document in parts.documents {
            push(&mut self.documents, source, &document);
            recognised = true;
        }
        recognised
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

/// The name of the entry in a certificate table that holds Google's endorsement.
const FIRMWARE: &str = "GCE_FIRMWARE_ENDORSEMENT";
const PEM_LABELS: [&str; 4] = [
    "CERTIFICATE",
    "TRUSTED CERTIFICATE",
    "X509 CRL",
    "X509 CERTIFICATE",
];

fn push(kind: &mut Vec<Endorsement>, source: &str, bytes: &[u8]) {
    match kind.binary_search_by(|held| held.bytes.as_slice().cmp(bytes)) {
        Ok(at) => {
            if let Some(held) = kind
                .get_mut(at)
                .filter(|held| source < held.source.as_str())
            {
                source.clone_into(&mut held.source);
            }
        }
        Err(at) => kind.insert(
            at,
            Endorsement {
                source: source.to_owned(),
                bytes: bytes.to_vec(),
            },
        ),
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
    fn the_order_of_offering_is_forgotten() {
        let files = [
            ("b", "{\"x\":1}"),
            ("a", "{\"x\":1}"),
            ("c", "{}"),
            ("z", "?"),
            ("y", "!"),
        ];
        let heap = |files: &mut dyn Iterator<Item = &(&str, &str)>| {
            let mut heap = Endorsements::new();
            for (source, text) in files {
                heap.add(source, text.as_bytes());
            }
            heap
        };
        let forward = heap(&mut files.iter());
        assert_eq!(forward, heap(&mut files.iter().rev()));
        assert_eq!(forward.documents[0].source, "a");
        assert_eq!(forward.skipped, ["y", "z"]);
    }

    #[test]
    fn the_same_document_is_kept_once() {
        let mut heap = Endorsements::new();
        assert_eq!(heap.add("a.json", b"{}"), 1);
        assert_eq!(heap.add("b.json", b"{}"), 0);
        assert!(heap.skipped.is_empty());
    }
}
