//! What a witness reports of one machine (`zeuge.witness-report.v1`): the verdict that it gave,
//! everything that the verdict depended on, the receipt of its leaf, signed with the report key.
//!
//! The reader judges the same bytes again and compares: nobody has to believe the witness's
//! rendering of its own verdict. Never holds a secret, and never turns into a token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::api::Verdict;
use crate::keys::{PublicKey, SigningKey};
use crate::name::Name;
use crate::text::{JSON_VALUES_MAX, b64, from_base64url, hex_array, json_values};

/// The ids of this file.
pub const CHECKS: &[&str] = &["report.record", "report.signature"];
/// The schema of a statement.
pub const SCHEMA: &str = "zeuge.witness-report.v1";
/// Evidence, some certificates and lists, the owners' documents and the threat knowledge; base64
/// takes a third more.
pub const REPORT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Files of one report: a bundle, a chain with its lists, the documents.
const FILES_MAX: usize = 256;
/// What is signed begins so: no other signature of a witness's can be taken for it.
const LABEL: &[u8] = b"zeuge-witness-report-v1\0";

/// SHA-256 of a file, lower-case hexadecimal on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileDigest(#[serde(with = "hex_array")] pub [u8; 32]);

impl FileDigest {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for FileDigest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

/// What one verdict depended on: enough to give it again, offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The program that judged, by its version.
    pub program: String,
    /// The instant for which it judged, POSIX seconds.
    pub at: i64,
    /// What the evidence had to carry, 128 hexadecimal digits.
    pub report_data: String,
    /// The bundle of evidence.
    pub evidence: FileDigest,
    /// What endorsed it.
    pub endorsements: Vec<FileDigest>,
    /// The texts of the owners' documents in force, by kind.
    pub documents: BTreeMap<String, FileDigest>,
    /// The text of the threat knowledge.
    pub knowledge: FileDigest,
    /// The highest tcbEvaluationDataNumber that had been seen for such platforms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_number_seen: Option<u32>,
}

/// What opens one commitment of the leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// What the value is, such as `tenant`.
    pub label: String,
    /// The salt.
    #[serde(with = "hex_array")]
    pub salt: [u8; 32],
    /// The value.
    #[serde(with = "b64")]
    pub value: Vec<u8>,
}

/// What the witness states and signs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// The witness.
    pub witness: Name,
    /// Whose machine.
    pub tenant: Name,
    /// The machine, by the owner's name or by its chip.
    pub machine: String,
    /// When the report was made, POSIX seconds.
    pub made: i64,
    /// What the verdict depended on.
    pub record: Record,
    /// The verdict as it was given then.
    pub verdict: Verdict,
    /// The receipt of its leaf (C2SP tlog-proof with the entry).
    pub receipt: String,
    /// What opens the leaf's commitments.
    pub openings: Vec<Opened>,
}

/// A statement with its signature and the files that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessReport {
    /// The statement's JSON, byte for byte as it is signed.
    pub statement: String,
    /// The report key.
    pub key: PublicKey,
    /// Ed25519 over the label and the SHA-256 of the statement, base64url.
    pub signature: String,
    /// The files by their digest.
    pub files: BTreeMap<String, Content>,
}

/// A file's bytes; base64url on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Content(#[serde(with = "b64")] pub Vec<u8>);

fn signed(statement: &str) -> Vec<u8> {
    let digest: [u8; 32] = Sha256::digest(statement.as_bytes()).into();
    [LABEL, &digest[..]].concat()
}

const fn broken(because: &'static str) -> Error {
    Error::Unproven {
        check: "report.record",
        because,
    }
}

/// No more values than a statement has, before a tree is built of them.
fn few(json: &[u8]) -> Result<(), Error> {
    if json_values(json) > JSON_VALUES_MAX {
        return Err(broken("it holds more values than a report has"));
    }
    Ok(())
}

impl WitnessReport {
    /// Signs a statement with the report key. `files` are those that its record names.
    ///
    /// # Errors
    /// `report.record` when the statement cannot be written.
    pub fn sign(
        statement: &Statement,
        files: Vec<Vec<u8>>,
        key: &SigningKey,
    ) -> Result<Self, Error> {
        let statement = serde_json::to_string(statement)
            .map_err(|_| broken("the statement cannot be written"))?;
        let signature = key.sign(&signed(&statement));
        let named = |bytes: Vec<u8>| (FileDigest::of(&bytes).to_string(), Content(bytes));
        Ok(Self {
            statement,
            key: key.public(),
            signature: crate::text::base64url(&signature),
            files: files.into_iter().map(named).collect(),
        })
    }

    /// Reads a report; believes nothing of it.
    ///
    /// # Errors
    /// `report.record` for one longer than [`REPORT_BYTES_MAX`], with more files than a report has,
    /// or of another form.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        if json.len() > REPORT_BYTES_MAX {
            return Err(broken("the report is longer than 32 MiB"));
        }
        few(json)?;
        let report: Self =
            serde_json::from_slice(json).map_err(|_| broken("this is no report of a witness"))?;
        if report.files.len() > FILES_MAX {
            return Err(broken("the report holds more than 256 files"));
        }
        Ok(report)
    }

    /// The statement, once the signature holds under this key and every file is the one named.
    ///
    /// # Errors
    /// `report.signature` for another key or a signature that does not hold; `report.record` for
    /// another form, and for files that are missing or others.
    pub fn open(&self, key: &PublicKey) -> Result<Statement, Error> {
        if self.key != *key {
            return Err(Error::differs(
                "report.signature",
                self.key.id().to_string(),
                key.id().to_string(),
            ));
        }
        let signature = from_base64url(&self.signature).unwrap_or_default();
        if !key.verifies(&signed(&self.statement), &signature) {
            return Err(Error::Unproven {
                check: "report.signature",
                because: "the report key did not sign this statement",
            });
        }
        few(self.statement.as_bytes())?;
        let statement: Statement = serde_json::from_str(&self.statement)
            .map_err(|_| broken("the statement is of another form"))?;
        if statement.schema != SCHEMA {
            return Err(Error::differs("report.record", &statement.schema, SCHEMA));
        }
        for digest in statement.record.files() {
            self.file(digest)?;
        }
        Ok(statement)
    }

    /// A file that the record names.
    ///
    /// # Errors
    /// `report.record` when it is missing, or is another one.
    pub fn file(&self, digest: FileDigest) -> Result<&[u8], Error> {
        let wanted = digest.to_string();
        let Content(bytes) = self.files.get(&wanted).ok_or_else(|| {
            Error::differs("report.record", "no such file in the report", &wanted)
        })?;
        let found = FileDigest::of(bytes);
        if found != digest {
            return Err(Error::differs("report.record", found.to_string(), wanted));
        }
        Ok(bytes)
    }
}

impl Record {
    /// The digests of all files that it names.
    pub fn files(&self) -> impl Iterator<Item = FileDigest> + '_ {
        let own = [self.evidence, self.knowledge];
        own.into_iter()
            .chain(self.endorsements.iter().copied())
            .chain(self.documents.values().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    fn statement() -> Statement {
        let verdict = serde_json::json!({
            "schema": "zeuge.verdict.v1", "verdict": "warning", "at": "2026-03-01T00:00:00Z",
            "checks": [], "failed": [], "claims": {}, "roots": [], "threats": [],
            "adversaries": [], "not_proved": [],
        });
        Statement {
            schema: SCHEMA.to_owned(),
            witness: Name::parse("witness-1").unwrap(),
            tenant: Name::parse("acme").unwrap(),
            machine: "web-1".to_owned(),
            made: 1,
            record: Record {
                program: "zeuged".to_owned(),
                at: 1,
                report_data: "00".repeat(64),
                evidence: FileDigest::of(b"evidence"),
                endorsements: vec![FileDigest::of(b"list")],
                documents: BTreeMap::from([("policy".to_owned(), FileDigest::of(b"policy"))]),
                knowledge: FileDigest::of(b"knowledge"),
                evaluation_number_seen: None,
            },
            verdict: serde_json::from_value(verdict).unwrap(),
            receipt: String::new(),
            openings: Vec::new(),
        }
    }

    fn files() -> Vec<Vec<u8>> {
        ["evidence", "list", "policy", "knowledge"]
            .map(|text| text.as_bytes().to_vec())
            .to_vec()
    }

    fn check<T: std::fmt::Debug>(refused: Result<T, Error>) -> &'static str {
        refused.unwrap_err().check()
    }

    #[test]
    fn a_report_opens_with_the_key_that_signed_it_alone() {
        let report = WitnessReport::sign(&statement(), files(), &key(1)).unwrap();
        let json = serde_json::to_vec(&report).unwrap();
        let read = WitnessReport::parse(&json).unwrap();
        assert_eq!(read.open(&key(1).public()).unwrap(), statement());
        assert_eq!(check(read.open(&key(2).public())), "report.signature");
        let mut changed = read.clone();
        changed.statement = changed.statement.replace("warning", "affirming");
        assert_eq!(check(changed.open(&key(1).public())), "report.signature");
        let mut exchanged = read;
        exchanged.key = key(2).public();
        assert_eq!(check(exchanged.open(&key(2).public())), "report.signature");
    }

    #[test]
    fn files_are_those_that_the_statement_names() {
        let report = WitnessReport::sign(&statement(), files(), &key(1)).unwrap();
        let list = FileDigest::of(b"list");
        assert_eq!(report.file(list).unwrap(), b"list");
        let mut missing = report.clone();
        missing.files.remove(&list.to_string());
        assert_eq!(check(missing.open(&key(1).public())), "report.record");
        let mut other = report;
        other
            .files
            .insert(list.to_string(), Content(b"another".to_vec()));
        assert_eq!(check(other.open(&key(1).public())), "report.record");
    }

    #[test]
    fn other_json_is_no_report() {
        assert_eq!(check(WitnessReport::parse(b"{}")), "report.record");
        let many = [b"[", ",".repeat(JSON_VALUES_MAX).as_bytes(), b"]"].concat();
        let refusal = WitnessReport::parse(&many).unwrap_err().to_string();
        assert!(refusal.contains("more values"), "{refusal}");
        let long = vec![b' '; REPORT_BYTES_MAX + 1];
        assert_eq!(check(WitnessReport::parse(&long)), "report.record");
    }
}
