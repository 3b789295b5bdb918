//! The forms in which an SNP report travels: bare, with a certificate table, in JSON, in protobuf.
//!
//! Takes the 1184 bytes and whatever certificates lie beside them out of their wrapping. Never
//! looks at a field's meaning ([`super::Report::parse`] does), never believes a certificate:
//! everything beside the report was added by the host or by somebody on the way.

use super::{LENGTH, Report, json, protobuf, table};
use crate::{Malformed, What, der};

/// How many certificates may lie beside a report: real hosts give two to five.
pub const ENDORSEMENTS_MAX: usize = 32;

/// How the report was wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// JSON: the serde form of virtee's library, or an object that carries the raw bytes.
    Json,
    /// The protobuf message `sevsnp.Attestation` of go-sev-guest.
    Protobuf,
    /// The bare report, perhaps with bytes behind it that mean nothing here.
    Raw,
    /// The report with the GUID table of the extended request behind it.
    WithTable,
}

/// A report out of its wrapping, with what lay beside it. Nothing here is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The report: always 1184 bytes, not yet read.
    pub report: Vec<u8>,
    /// What lay beside the report, by name: `VCEK`, `VLEK`, `ASK`, `ARK`, `CRL`, or the GUID of
    /// a table entry. PEM is taken apart; the rest stands as received.
    pub endorsements: Vec<(String, Vec<u8>)>,
    /// How it was wrapped.
    pub form: Form,
    /// What was found and not used, as short sentences: trailing bytes, unknown GUIDs, ignored
    /// members.
    pub notes: Vec<String>,
}

impl Evidence {
    /// Reads a report in any of the forms. The first bytes decide: `{` after white space is
    /// JSON, a protobuf tag that cannot be a version number is protobuf, all else is raw.
    ///
    /// # Errors
    /// `snp.report.length` for fewer than 1184 bytes, `snp.table`, `snp.json` or `snp.protobuf`
    /// for a wrapping that is broken or over its limit. The report itself is not read.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.trim_ascii_start().first() == Some(&b'{') {
            json::read(bytes)
        } else if protobuf::looks_like(bytes) {
            protobuf::read(bytes)
        } else {
            Self::raw(bytes)
        }
    }

    /// A bare report, with or without a table.
    pub(super) fn raw(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some((report, rest)) = bytes.split_at_checked(Report::LEN) else {
            let short = What::TooShort {
                wanted: Report::LEN,
                found: bytes.len(),
            };
            return Err(Malformed::new(LENGTH, 0, short));
        };
        let mut evidence = Self::new(report.to_vec(), Form::Raw);
        if rest.is_empty() {
            return Ok(evidence);
        }
        if table::looks_like(rest) {
            let table = table::CertificateTable::parse_at(rest, Report::LEN)?;
            evidence.form = Form::WithTable;
            table.give(&mut evidence);
        } else {
            evidence.trailing("the report", rest);
        }
        Ok(evidence)
    }

    pub(super) const fn new(report: Vec<u8>, form: Form) -> Self {
        Self {
            report,
            endorsements: Vec::new(),
            form,
            notes: Vec::new(),
        }
    }

    /// Notes bytes that follow the last thing that was read.
    pub(super) fn trailing(&mut self, what: &str, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        let zero = match rest.iter().all(|byte| *byte == 0) {
            true => "all zero",
            false => "not all zero",
        };
        self.notes
            .push(format!("{} bytes follow {what}, {zero}", rest.len()));
    }

    /// Notes a member by a name that somebody else chose: escaped, and cut.
    pub(super) fn ignored(&mut self, what: &str, name: &str) {
        if self.notes.len() < ENDORSEMENTS_MAX {
            let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
            self.notes.push(format!("{what} {name} is not used"));
        }
    }

    /// Keeps what lay beside the report; PEM is taken apart, block by block.
    pub(super) fn endorse(
        &mut self,
        name: &str,
        bytes: Vec<u8>,
        check: &'static str,
    ) -> Result<(), Malformed> {
        let parts = if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            let labels = ["CERTIFICATE", "X509 CRL"];
            der::pem_blocks(&bytes, &labels, ENDORSEMENTS_MAX)
        } else {
            vec![bytes]
        };
        if self.endorsements.len().saturating_add(parts.len()) > ENDORSEMENTS_MAX {
            let because = "more than 32 certificates lie beside the report";
            return Err(Malformed::invalid(check, 0, "certificates", because));
        }
        let parts = parts.into_iter().map(|part| (name.to_owned(), part));
        self.endorsements.extend(parts);
        Ok(())
    }
}

/// A report that is put together from fields: 1184 zeros to begin with.
pub(super) struct Builder(Vec<u8>);

impl Builder {
    pub(super) fn new() -> Self {
        Self(vec![0; Report::LEN])
    }

    /// Writes a field at its offset; one that does not fit is a mistake of the caller's table
    /// and leaves zeros, which no signature survives.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if let Some(field) = self.0.get_mut(at..end) {
            field.copy_from_slice(bytes);
        }
    }

    /// Writes the low `width` bytes of a number, little-endian; `None` when it is wider.
    pub(super) fn put_number(&mut self, at: usize, width: usize, number: u64) -> Option<()> {
        let bytes = number.to_le_bytes();
        let (low, high) = bytes.split_at_checked(width)?;
        if high.iter().any(|byte| *byte != 0) {
            return None;
        }
        self.put(at, low);
        Some(())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}
