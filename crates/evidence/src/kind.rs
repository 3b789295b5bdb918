//! What a file seems to be, by its first bytes and its outermost names: the `auto` of DESIGN §5.2.
//!
//! A guess that chooses a parser and nothing else: whatever is guessed, the parser decides, and a
//! wrong guess ends in a refusal. Never allocates, never reads more than [`SCAN_BYTES_MAX`].

use crate::{
    der::{Der, tag},
    eventlog::EventKind,
    reader::Reader,
};

/// The id under which input of no known kind is refused.
pub const UNKNOWN: &str = "evidence.kind";
/// The ids of this file.
pub const CHECKS: &[&str] = &["evidence.kind"];

/// How much of a text or CBOR file is looked at: a bundle with event logs has under 4 MiB.
pub const SCAN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How deep objects are followed for names: a wrapper, the evidence, its parts.
const DEPTH_MAX: usize = 2;

/// What a file seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An HCL report of an Azure machine, as its vTPM's NV index holds it.
    AzureHcl,
    /// JSON around an HCL report and a TPM quote.
    AzureJson,
    /// Our own bundle: a CMW collection in JSON or CBOR.
    Bundle,
    /// A certificate in DER.
    Certificate,
    /// A revocation list in DER.
    Crl,
    /// A boot event log, of a TPM or of a confidential machine.
    EventLog,
    /// Google's launch endorsement of firmware.
    GoogleEndorsement,
    /// The IMA list of a Linux kernel, text or binary.
    ImaList,
    /// JSON of no known kind.
    Json,
    /// A COSE_Sign1 document of AWS Nitro.
    NitroCose,
    /// PEM blocks: certificates, lists or keys.
    Pem,
    /// JSON around a TDX or SGX quote; which of the two the quote says.
    QuoteJson,
    /// An SGX quote of this version.
    SgxQuote(u16),
    /// JSON around an SNP report.
    SnpJson,
    /// The protobuf message `sevsnp.Attestation`.
    SnpProtobuf,
    /// An SNP report, perhaps with a certificate table or other bytes behind it. A report of an
    /// unknown version or cut short is one too: its parser says what is wrong.
    SnpReport,
    /// The protobuf message `tdx.QuoteV4` or `tdx.QuoteV5`.
    TdxProtobuf,
    /// A TDX quote of this version.
    TdxQuote(u16),
    /// What a TPM signed (`TPMS_ATTEST`).
    TpmAttest,
    /// JSON around a TPM quote.
    TpmJson,
    /// The public part of a TPM's key (`TPMT_PUBLIC` or `TPM2B_PUBLIC`).
    TpmPublic,
    /// A TPM quote with its parts in the binary form of another project.
    TpmQuote,
    /// None of these.
    Unknown,
}

/// Guesses what these bytes are.
#[must_use]
pub fn detect(bytes: &[u8]) -> Kind {
    let bytes = bytes.get(..SCAN_BYTES_MAX).unwrap_or(bytes);
    let text = bytes.trim_ascii_start();
    if text.first() == Some(&b'{') {
        return json(text);
    }
    if holds(bytes, b"-----BEGIN ") && !bytes.contains(&0) {
        return Kind::Pem;
    }
    binary(bytes)
}

fn binary(bytes: &[u8]) -> Kind {
    match bytes {
        [b'H', b'C', b'L', b'A', ..] => Kind::AzureHcl,
        [0xff, b'T', b'C', b'G', ..] => Kind::TpmAttest,
        [b'C', b'C', b'E', b'L', ..] => Kind::EventLog,
        // Protected header {1: -35}, with or without tag 18 before the array.
        [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, ..]
        | [0xd2, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, ..] => Kind::NitroCose,
        _ if nitro(bytes) => Kind::NitroCose,
        // A CBOR map with the key of a collection's type.
        [0xa0..=0xbf, ..] if holds(bytes, b"\x68__cmwc_t") => Kind::Bundle,
        [0x30, ..] => der(bytes),
        [0x0a, ..] if crate::google::looks_like(bytes) => Kind::GoogleEndorsement,
        [0x0a, ..] if let Some(kind) = protobuf(bytes) => kind,
        _ if let Some(kind) = tpm(bytes) => kind,
        _ => header(bytes),
    }
}

/// A Nitro document in base64 or hex, or in the record of another project's agents.
fn nitro(bytes: &[u8]) -> bool {
    crate::nitro::is_text(bytes) || crate::nitro::recorded(bytes).is_some()
}

/// What begins with a TPM's big-endian numbers, or wraps them.
fn tpm(bytes: &[u8]) -> Option<Kind> {
    // Type RSA or ECC, and SHA-256, -384 or -512 as the hash of the name.
    let is_public = |bytes: &[u8]| matches!(bytes, [0, 1 | 0x23, 0, 0x0b..=0x0d, 0, ..]);
    let sized = |bytes: &[u8]| {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        (usize::from(u16::from_be_bytes(*length)) == rest.len()).then_some(is_public(rest))
    };
    if is_public(bytes) || sized(bytes) == Some(true) {
        return Some(Kind::TpmPublic);
    }
    // Azure's client: the length of a bare RSA signature, it, the length of the statement, it.
    if let Some((length, rest)) = bytes.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let statement = length.checked_add(8).and_then(|at| rest.get(at..));
        if length <= 512 && statement.is_some_and(|at| at.starts_with(b"\xffTCG")) {
            return Some(Kind::TpmQuote);
        }
    }
    // Google's message: field 1 is the AK.
    if let [0x0a, first, second, rest @ ..] = bytes {
        let public = if first & 0x80 == 0 {
            bytes.get(2..)
        } else {
            (second & 0x80 == 0).then_some(rest)
        };
        if public.is_some_and(is_public) {
            return Some(Kind::TpmQuote);
        }
    }
    is_ima(bytes).then_some(Kind::ImaList)
}

/// An IMA list: register 10, the template's digest, and a template whose name begins with `ima`.
fn is_ima(bytes: &[u8]) -> bool {
    if let [10, 0, 0, 0, rest @ ..] = bytes {
        return rest.get(24..27) == Some(b"ima");
    }
    let line = bytes.get(..256).unwrap_or(bytes);
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |text: &[u8]| (1..=2).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    fields.next().is_some_and(number)
        && fields
            .next()
            .is_some_and(|text| text.iter().all(u8::is_ascii_hexdigit))
        && fields.next().is_some_and(|text| text.starts_with(b"ima"))
}

/// Quotes and reports begin with a little-endian version.
fn header(bytes: &[u8]) -> Kind {
    if is_event_log(bytes) {
        return Kind::EventLog;
    }
    let mut at = Reader::new(bytes, "");
    let (Ok(version), Ok(second)) = (at.u16_le(), at.u16_le()) else {
        return Kind::Unknown;
    };
    match (version, second) {
        // A quote has the type of its attestation key here: 2 for P-256, 3 for P-384.
        (3, 2 | 3) => Kind::SgxQuote(version),
        (4 | 5, 2 | 3) => match at.u32_le() {
            Ok(0x81) => Kind::TdxQuote(version),
            Ok(0) => Kind::SgxQuote(version),
            _ => Kind::Unknown,
        },
        // A report has a version of 32 bits. AMD's older certificates begin with one as well, so
        // an unknown version needs a guest policy: a constant bit, and zeros above.
        (2..=5, 0) => Kind::SnpReport,
        (1 | 6..=15, 0)
            if bytes.get(10).is_none_or(|byte| byte & 2 != 0)
                && bytes.get(12..16).is_none_or(|above| above == [0; 4]) =>
        {
            Kind::SnpReport
        }
        _ => Kind::Unknown,
    }
}

/// The first event of a log in TCG's format says so: type `EV_NO_ACTION`, and a name behind the
/// fixed fields.
///
/// The old form has no header: two records of known types for registers of a TPM must follow each
/// other.
fn is_event_log(bytes: &[u8]) -> bool {
    let names = [&b"Spec ID E"[..], b"StartupLocality\0"];
    let statement = |name: &[u8]| bytes.get(32..).is_some_and(|data| data.starts_with(name));
    let header = bytes.get(4..8) == Some(&[3, 0, 0, 0]) && names.into_iter().any(statement);
    let mut at = Reader::new(bytes, "");
    header || (old_record(&mut at).is_some() && old_record(&mut at).is_some())
}

/// One record in the form of TPM 1.2.
fn old_record(at: &mut Reader<'_>) -> Option<()> {
    let register = at.u32_le().ok()?;
    let kind = EventKind(at.u32_le().ok()?);
    let digest = at.take(20).ok()?;
    let length = usize::try_from(at.u32_le().ok()?).ok()?;
    let is_digest = kind == EventKind::NO_ACTION || digest.iter().any(|byte| *byte != 0);
    if register > 23 || kind.name().is_empty() || !is_digest {
        return None;
    }
    at.take(length).ok().map(|_| ())
}

/// A list has an instant after its issuer, a certificate a SEQUENCE of two.
fn der(bytes: &[u8]) -> Kind {
    let third = || -> Result<(bool, Option<u8>), crate::Malformed> {
        let mut body = Der::new(bytes, "").any()?.inside().any()?.inside();
        let named = body.optional(tag::context(0))?.is_some();
        body.optional(tag::INTEGER)?;
        body.optional(tag::SEQUENCE)?;
        body.optional(tag::SEQUENCE)?;
        Ok((named, body.peek()))
    };
    match third() {
        Ok((false, Some(tag::UTC_TIME | tag::GENERALIZED_TIME))) => Kind::Crl,
        Ok((_, Some(tag::SEQUENCE))) => Kind::Certificate,
        _ => Kind::Unknown,
    }
}

/// Field 1 of both messages is a message whose field 1 is a version: a whole report, or the
/// header of a quote, which is under 100 bytes. Other projects wrap raw reports in protobuf; in
/// theirs a byte string follows.
fn protobuf(bytes: &[u8]) -> Option<Kind> {
    const REPORT_MIN: u64 = 600;
    let mut at = Reader::new(bytes, "");
    at.u8().ok()?;
    let mut length = 0_u64;
    for shift in [0_u32, 7, 14] {
        let byte = at.u8().ok()?;
        length |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (key, version, next) = (at.u8().ok()?, at.u8().ok()?, at.u8().ok()?);
    match (key, version, next, length) {
        // GUEST_SVN or, where that is zero and hence absent, POLICY: both are numbers.
        (0x08, 1..=15, 0x10 | 0x18, REPORT_MIN..) => Some(Kind::SnpProtobuf),
        (0x08, 3..=5, 0x10, _) => Some(Kind::TdxProtobuf),
        _ => None,
    }
}

/// The names that tell JSON apart, in the two outermost objects.
#[derive(Debug, Default)]
struct Names {
    attest: bool,
    chip_id: bool,
    collection: bool,
    hcl_report: bool,
    measurement: bool,
    message: bool,
    pcrs: bool,
    quote: bool,
    report: bool,
    snp: bool,
    tinfoil: bool,
    tpm_quote: bool,
    vcek: bool,
}

impl Names {
    fn see(&mut self, name: &[u8]) {
        match name {
            b"__cmwc_t" => self.collection = true,
            b"attest" => self.attest = true,
            b"attestation_report" => self.snp = true,
            b"chip_id" => self.chip_id = true,
            b"attestation_doc_b64" | b"enclaveAttestationReport" => self.tinfoil = true,
            b"hcl_report" => self.hcl_report = true,
            b"measurement" => self.measurement = true,
            b"message" => self.message = true,
            b"pcrs" => self.pcrs = true,
            b"quote" | b"quote_b64" => self.quote = true,
            b"report" => self.report = true,
            b"tpm_quote" => self.tpm_quote = true,
            b"vcek" | b"vcek_der_b64" => self.vcek = true,
            _ => {}
        }
    }

    const fn kind(&self) -> Kind {
        if self.collection {
            Kind::Bundle
        } else if self.hcl_report || (self.quote && self.report && self.vcek) {
            Kind::AzureJson
        } else if self.snp || (self.tinfoil && self.vcek) || (self.measurement && self.chip_id) {
            Kind::SnpJson
        } else if self.tpm_quote || ((self.message || self.attest) && self.pcrs) {
            Kind::TpmJson
        } else if self.quote {
            Kind::QuoteJson
        } else {
            Kind::Json
        }
    }
}

/// Walks over strings and brackets; what stands between them does not matter for a guess.
fn json(text: &[u8]) -> Kind {
    let mut names = Names::default();
    let mut depth = 0_usize;
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let length = string(after);
                let (content, behind) = after.split_at_checked(length).unwrap_or((after, &[]));
                rest = behind.get(1..).unwrap_or_default();
                if depth <= DEPTH_MAX && rest.trim_ascii_start().first() == Some(&b':') {
                    names.see(content);
                }
            }
            _ => {}
        }
    }
    names.kind()
}

/// Length of a string without its quotes.
fn string(text: &[u8]) -> usize {
    let mut escaped = false;
    text.iter()
        .position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        })
        .unwrap_or(text.len())
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_not_taken_for_a_report() {
        for (header, kind) in [
            (&[4, 0, 2, 0, 0x81, 0, 0, 0][..], Kind::TdxQuote(4)),
            (&[5, 0, 2, 0, 0x81, 0, 0, 0], Kind::TdxQuote(5)),
            (&[5, 0, 3, 0, 0x81, 0, 0, 0], Kind::TdxQuote(5)),
            (&[4, 0, 2, 0, 0, 0, 0, 0], Kind::SgxQuote(4)),
            (&[3, 0, 2, 0, 0, 0, 0, 0], Kind::SgxQuote(3)),
            (&[4, 0, 2, 0, 0x82, 0, 0, 0], Kind::Unknown),
            (&[6, 0, 2, 0, 0x81, 0, 0, 0], Kind::Unknown),
            (&[4, 0, 2, 0, 0x81], Kind::Unknown),
            (&[1, 0, 0, 0, 0, 0, 0, 0], Kind::SnpReport),
            (&[5, 0, 0, 0], Kind::SnpReport),
            (&[10, 0, 0, 0], Kind::SnpReport),
            (&[5, 0, 0], Kind::Unknown),
            (&[0, 0, 0, 0], Kind::Unknown),
            (&[], Kind::Unknown),
        ] {
            assert_eq!(detect(header), kind, "{header:?}");
        }
    }

    #[test]
    fn an_event_log_is_not_taken_for_a_report_of_version_one() {
        let mut log = vec![0; 64];
        log[0] = 1;
        log[4] = 3;
        log[10] = 2;
        assert_eq!(detect(&log), Kind::SnpReport);
        log[10] = 0;
        assert_eq!(detect(&log), Kind::Unknown);
        log[32..48].copy_from_slice(b"Spec ID Event03\0");
        assert_eq!(detect(&log), Kind::EventLog);
    }

    #[test]
    fn json_is_told_apart_by_names_and_not_by_text_in_values() {
        for (text, kind) in [
            (
                r#" {"attestation_report":{},"cert_chain":null}"#,
                Kind::SnpJson,
            ),
            (
                r#"{"platform":"snp","evidence":{"attestation_report":"AA"}}"#,
                Kind::SnpJson,
            ),
            (
                r#"{"attestation_doc_b64":"","vcek_der_b64":""}"#,
                Kind::SnpJson,
            ),
            (
                r#"{"enclaveAttestationReport":{"body":""},"vcek":""}"#,
                Kind::SnpJson,
            ),
            (
                r#"{"version":3,"measurement":[0],"chip_id":[0]}"#,
                Kind::SnpJson,
            ),
            (r#"{"quote":{},"report":[72],"vcek":""}"#, Kind::AzureJson),
            (
                r#"{"hcl_report":"","td_quote":"","tpm_quote":{}}"#,
                Kind::AzureJson,
            ),
            (
                r#"{"tpm_quote":{"message":"","pcrs":[]},"ak_public":""}"#,
                Kind::TpmJson,
            ),
            (r#"{"signature":"","message":"","pcrs":[]}"#, Kind::TpmJson),
            (r#"{"schema":"","attest":"","pcrs":{}}"#, Kind::TpmJson),
            (r#"{"quote":"BAAC","cc_eventlog":null}"#, Kind::QuoteJson),
            (r#"{"__cmwc_t":"tag:x","quote":["m","v"]}"#, Kind::Bundle),
            (r#"{"a":"attestation_report","b":"\"quote\":"}"#, Kind::Json),
            (r#"{"a":[[{"attestation_report":1}]]}"#, Kind::Json),
            (r#"{"attestation_report"#, Kind::Json),
            ("{", Kind::Json),
        ] {
            assert_eq!(detect(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn the_two_protobuf_messages_are_told_apart() {
        assert_eq!(
            detect(&[0x0a, 0xb4, 0x09, 0x08, 3, 0x18]),
            Kind::SnpProtobuf
        );
        assert_eq!(detect(&[0x0a, 0x30, 0x08, 4, 0x10, 2]), Kind::TdxProtobuf);
        // A message that begins with the public area of a TPM's key, and one of another project
        // that carries a raw report.
        let google = [0x0a, 0x98, 0x02, 0, 1, 0, 0x0b, 0];
        assert_eq!(detect(&google), Kind::TpmQuote);
        assert_eq!(detect(&[0x0a, 0x8d, 0x0a, 8, 1, 0x12, 0xa0]), Kind::Unknown);
    }

    #[test]
    fn keys_and_lists_of_a_tpm_are_known_by_their_first_fields() {
        let key = [0, 0x23, 0, 0x0b, 0, 5, 0, 0x72];
        assert_eq!(detect(&key), Kind::TpmPublic);
        assert_eq!(detect(&[&[0, 8][..], &key].concat()), Kind::TpmPublic);
        assert_eq!(detect(&[&[0, 9][..], &key].concat()), Kind::Unknown);
        let sample = [&256_u64.to_le_bytes()[..], &[7; 256], &[9; 8], b"\xffTCG"].concat();
        assert_eq!(detect(&sample), Kind::TpmQuote);
        assert_eq!(detect(b"10 00ff ima-ng sha1:00 /a\n"), Kind::ImaList);
        assert_eq!(detect(b"10 00ff other sha1:00 /a\n"), Kind::Unknown);
        let mut binary = vec![10, 0, 0, 0];
        binary.extend([7; 20]);
        binary.extend(b"\x06\0\0\0ima-ng");
        assert_eq!(detect(&binary), Kind::ImaList);
        let record = |kind: u32| {
            let head = [&[0; 4][..], &kind.to_le_bytes(), &[7; 20], &[4, 0, 0, 0]].concat();
            [head, vec![1; 4]].concat()
        };
        assert_eq!(detect(&[record(8), record(4)].concat()), Kind::EventLog);
        assert_eq!(detect(&[record(8), record(0x77)].concat()), Kind::Unknown);
    }

    #[test]
    fn other_forms_are_known_by_their_marks() {
        assert_eq!(detect(b"HCLA\x01\0\0\0"), Kind::AzureHcl);
        assert_eq!(detect(b"\xffTCG\x80\x18"), Kind::TpmAttest);
        assert_eq!(detect(b"\x84\x44\xa1\x01\x38\x22\xa0"), Kind::NitroCose);
        assert_eq!(detect(b"\xd2\x84\x44\xa1\x01\x38\x22\xa0"), Kind::NitroCose);
        assert_eq!(detect(b"\xa2\x61a\x01\x68__cmwc_t\x61x"), Kind::Bundle);
        let pem = b"Subject: x\n-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(detect(pem), Kind::Pem);
        assert_eq!(detect(b"\x30\x03\x02\x01\x00"), Kind::Unknown);
        assert_eq!(detect(b"\0\0binary -----BEGIN "), Kind::Unknown);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_guess_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..256),
            first in proptest::sample::select(&b"{0\x0a\x84\xa2\x04"[..]),
        ) {
            let _ = detect(&bytes);
            let _ = detect(&[&[first][..], &bytes].concat());
        }

        #[test]
        fn no_text_makes_the_guess_panic(text in "[{}\\[\\]\"\\\\:a-z ,]{0,200}") {
            let _ = detect(format!("{{{text}").as_bytes());
        }
    }
}
