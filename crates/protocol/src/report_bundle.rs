//! Archives of reports (`zeuge.report-bundle.v1`): everything that one verdict depends on, with the
//! report, its signature, and what a witness signed.
//!
//! Hostile input like any other: bounded, and every file is held to its digest before anybody uses
//! it. Judges nothing, and knows no file but those inside.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error;
use crate::keys::{KeyId, PublicKey, SigningKey};
use crate::report::FileDigest;
use crate::text::{JSON_VALUES_MAX, base64url, from_base64url, json_values};

/// The schema of an archive.
pub const SCHEMA: &str = "zeuge.report-bundle.v1";
/// A folder of endorsements and a report, in base64.
pub const REPORT_BUNDLE_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Files of one archive: a folder of endorsements with room to spare.
const FILES_MAX: usize = 20_000;
/// Arguments of one archive; the command line has some thirty options.
const ARGUMENTS_MAX: usize = 1024;
/// The schema of a signature over a report.
const SIGNATURE_SCHEMA: &str = "zeuge.report-signature.v1";
/// What is signed begins so: no other signature of an owner's can be taken for it.
const LABEL: &[u8] = b"zeuge-report-v1\0";

/// One file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its name where it was read.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: FileDigest,
    /// Its bytes, base64url.
    content: String,
}

impl Member {
    /// A file.
    #[must_use]
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            sha256: FileDigest::of(bytes),
            content: base64url(bytes),
        }
    }

    /// Its bytes, once they are those of its digest.
    ///
    /// # Errors
    /// `bundle.malformed` for other bytes, or none.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        let bytes = from_base64url(&self.content)
            .ok_or_else(|| malformed("the content of a file is not base64url"))?;
        if FileDigest::of(&bytes) != self.sha256 {
            return Err(malformed("the digest of a file is another one"));
        }
        Ok(bytes)
    }
}

/// The program that judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verifier {
    /// Its name and version.
    pub program: String,
    /// SHA-256 of its file, where it could be read.
    pub sha256: Option<FileDigest>,
}

/// An owner's signature over a report's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    schema: String,
    /// Who signed.
    pub person: String,
    key: KeyId,
    /// The key.
    pub public_key: PublicKey,
    sha256: FileDigest,
    signature: String,
}

impl Signature {
    /// Signs a report's bytes.
    #[must_use]
    pub fn sign(bytes: &[u8], person: &str, key: &SigningKey) -> Self {
        let digest = FileDigest::of(bytes);
        Self {
            schema: SIGNATURE_SCHEMA.to_owned(),
            person: person.to_owned(),
            key: key.public().id(),
            public_key: key.public(),
            sha256: digest,
            signature: base64url(&key.sign(&[LABEL, &digest.0[..]].concat())),
        }
    }

    /// Whether the signature is one over these bytes.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let digest = FileDigest::of(bytes);
        let signature = from_base64url(&self.signature).unwrap_or_default();
        self.schema == SIGNATURE_SCHEMA
            && self.key == self.public_key.id()
            && self.sha256 == digest
            && self
                .public_key
                .verifies(&[LABEL, &digest.0[..]].concat(), &signature)
    }

    /// The person and the key, for people.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} ({})", self.person, self.key)
    }
}

/// What a witness signed, without the files: they lie beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessWord {
    /// The statement's JSON, byte for byte as it is signed.
    pub statement: String,
    /// The report key.
    pub key: PublicKey,
    /// The signature.
    pub signature: String,
    /// The log's key (C2SP signed-note).
    pub log: String,
}

/// The archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportBundle {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The program that judged.
    pub verifier: Verifier,
    /// The instant for which it was judged, RFC 3339.
    pub at: String,
    /// The arguments of `zeuge report` that judge it again.
    pub arguments: Vec<String>,
    /// The text of the threat knowledge.
    pub knowledge: String,
    /// Every file that was read.
    pub files: Vec<Member>,
    /// The verdict, `zeuge.verdict.v1`.
    pub verdict: Value,
    /// The report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Member>,
    /// An owner's signature over the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// What a witness signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<WitnessWord>,
}

const fn malformed(because: &'static str) -> Error {
    Error::malformed("bundle.malformed", 0, because)
}

impl ReportBundle {
    /// Reads an archive; every file is the one that its digest names.
    ///
    /// # Errors
    /// `bundle.malformed` when it is longer than [`REPORT_BUNDLE_BYTES_MAX`], of another form or
    /// schema, holds more than a command line and a folder give, or a file that is another one.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        if json.len() > REPORT_BUNDLE_BYTES_MAX {
            return Err(malformed("it is longer than 96 MiB"));
        }
        // Before a tree is built of them.
        if json_values(json) > JSON_VALUES_MAX {
            return Err(malformed("it holds more values than an archive has"));
        }
        let bundle: Self = serde_json::from_slice(json)
            .map_err(|_| malformed("it is no archive of a report (zeuge.report-bundle.v1)"))?;
        if bundle.schema != SCHEMA {
            return Err(malformed("its schema is not zeuge.report-bundle.v1"));
        }
        if bundle.files.len() > FILES_MAX {
            return Err(malformed("it holds more than 20,000 files"));
        }
        if bundle.arguments.len() > ARGUMENTS_MAX {
            return Err(malformed("it holds more than 1024 arguments"));
        }
        for member in bundle.files.iter().chain(&bundle.report) {
            member.bytes()?;
        }
        Ok(bundle)
    }

    /// Whether bytes are an archive, by their first words; cheap for what begins otherwise.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let begins = bytes.get(..200).unwrap_or(bytes);
        let begins = String::from_utf8_lossy(begins);
        if !begins.trim_start().starts_with('{') {
            return false;
        }
        // An archive longer than what was read of it does not parse, and says it at its beginning.
        let whole = serde_json::from_slice::<Head>(bytes);
        begins.contains(SCHEMA) || whole.is_ok_and(|head| head.schema == SCHEMA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> ReportBundle {
        ReportBundle {
            schema: SCHEMA.to_owned(),
            verifier: Verifier {
                program: "zeuge 0".to_owned(),
                sha256: None,
            },
            at: "2026-03-01T00:00:00Z".to_owned(),
            arguments: vec!["report".to_owned()],
            knowledge: String::new(),
            files: vec![Member::new("evidence.bin", b"bytes")],
            verdict: Value::Null,
            report: None,
            signature: None,
            witness: None,
        }
    }

    fn refusal(archive: &ReportBundle) -> String {
        let json = serde_json::to_vec(archive).unwrap();
        ReportBundle::parse(&json).unwrap_err().to_string()
    }

    #[test]
    fn an_archive_is_read_as_it_was_written_and_known_by_its_beginning() {
        let json = serde_json::to_vec(&archive()).unwrap();
        let read = ReportBundle::parse(&json).unwrap();
        assert_eq!(read, archive());
        assert_eq!(read.files[0].bytes().unwrap(), b"bytes");
        assert!(ReportBundle::is_one(&json) && ReportBundle::is_one(&json[..150]));
        assert!(!ReportBundle::is_one(b"{\"schema\":\"zeuge.verdict.v1\"}"));
    }

    #[test]
    fn a_file_that_is_another_one_is_refused_and_so_is_what_no_command_line_gives() {
        let mut changed = archive();
        changed.files[0].content = base64url(b"other");
        assert!(refusal(&changed).contains("the digest of a file is another one"));
        changed.files[0].content = "=".to_owned();
        assert!(refusal(&changed).contains("base64url"));
        let mut long = archive();
        long.arguments = vec![String::new(); ARGUMENTS_MAX + 1];
        assert!(refusal(&long).contains("1024 arguments"));
        let mut other = archive();
        other.schema = "zeuge.report.v1".to_owned();
        assert!(refusal(&other).contains("schema"));
        let many = [b"{\"a\":[", ",".repeat(JSON_VALUES_MAX).as_bytes(), b"]}"].concat();
        let refusal = ReportBundle::parse(&many).unwrap_err().to_string();
        assert!(refusal.contains("more values"), "{refusal}");
        let whole = vec![b' '; REPORT_BUNDLE_BYTES_MAX + 1];
        assert!(ReportBundle::parse(&whole).is_err());
    }

    #[test]
    fn a_signature_holds_over_these_bytes_under_its_own_key_alone() {
        let key = SigningKey::from_seed(&[5; 32]).unwrap();
        let made = Signature::sign(b"report", "anna", &key);
        assert!(made.holds(b"report") && !made.holds(b"another"));
        let stranger = SigningKey::from_seed(&[6; 32]).unwrap();
        let mut exchanged = made;
        exchanged.public_key = stranger.public();
        assert!(!exchanged.holds(b"report"));
    }
}
