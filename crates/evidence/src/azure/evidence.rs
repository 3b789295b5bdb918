//! The JSON in which an HCL report travels: the evidence of Trustee's clients, versions 0 to 2.
//!
//! Only takes the parts out of their encoding. Version 0 has no `version` and writes byte strings
//! as lists of numbers; 1 and 2 write hex and base64, with or without padding. A wrapper with the
//! evidence inside its member `evidence` is looked through.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use super::EVIDENCE;
use crate::{
    Malformed, What, der,
    json::tree,
    tpm::{HashAlgorithm, PcrValue, QuoteBundle},
};

/// All parts as lists of numbers have under 50 KiB; ten times that is hostile.
pub const EVIDENCE_BYTES_MAX: usize = 512 * 1024;
/// Certificates in one part: a leaf with its two issuers, and room.
const CERTIFICATES_MAX: usize = 8;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The parts of one machine's evidence, as received and out of their encoding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Version of the JSON; `None` where the parts came otherwise.
    pub version: Option<u8>,
    /// The HCL report.
    pub hcl: Vec<u8>,
    /// The quote of the virtual TPM.
    pub quote: Option<QuoteBundle>,
    /// Certificates that came along (the VCEK), in DER.
    pub certificates: Vec<Vec<u8>>,
    /// The quote of the trust domain.
    pub td_quote: Option<Vec<u8>>,
}

fn bad(field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(EVIDENCE, 0, field, because)
}

impl Evidence {
    /// Reads a file: the HCL report alone, or the JSON around it.
    ///
    /// # Errors
    /// `azure.evidence`: over the limit, of another form or version, or a part that is missing or
    /// not in its encoding. The parts themselves are not read here.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > EVIDENCE_BYTES_MAX {
            let what = What::TooLong {
                limit: EVIDENCE_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(EVIDENCE, EVIDENCE_BYTES_MAX, what));
        }
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Ok(Self {
                hcl: bytes.to_vec(),
                ..Self::default()
            });
        }
        let value = tree(bytes).ok_or_else(|| bad("JSON", "it cannot be read"))?;
        let object = match value.get("evidence") {
            Some(inside) => inside.as_object(),
            None => value.as_object(),
        };
        Self::of(object.ok_or_else(|| bad("JSON", "it is no object"))?)
    }

    fn of(object: &Map<String, Value>) -> Result<Self, Malformed> {
        let version = match object.get("version") {
            None => 0,
            Some(value) => match value.as_u64() {
                Some(0) => 0,
                Some(1) => 1,
                Some(2) => 2,
                other => {
                    let what = What::Unsupported {
                        field: "version",
                        found: other.unwrap_or(u64::MAX),
                    };
                    return Err(Malformed::new(EVIDENCE, 0, what));
                }
            },
        };
        let first = |names: [&'static str; 2]| {
            let found = names.into_iter().find_map(|name| {
                let value = object.get(name).filter(|value| !value.is_null());
                value.map(|value| (name, value))
            });
            found.ok_or_else(|| bad(names[0], "it is missing"))
        };
        let (name, report) = first(["hcl_report", "report"])?;
        let (_, quote) = first(["tpm_quote", "quote"])?;
        let part = |name| {
            let value = object.get(name).filter(|value| !value.is_null());
            value.map(|value| bytes(value, name)).transpose()
        };
        Ok(Self {
            version: Some(version),
            hcl: bytes(report, name)?,
            quote: Some(quote_of(quote)?),
            certificates: part("vcek")?.map_or_else(Vec::new, |part| {
                let blocks = der::pem_blocks(&part, &["CERTIFICATE"], CERTIFICATES_MAX);
                if blocks.is_empty() {
                    vec![part]
                } else {
                    blocks
                }
            }),
            td_quote: part("td_quote")?,
        })
    }
}

/// A byte string in whatever form: a list of numbers, base64, or (of certificates) PEM.
fn bytes(value: &Value, field: &'static str) -> Result<Vec<u8>, Malformed> {
    match value {
        Value::Array(list) => numbers(list).ok_or_else(|| bad(field, "it is no list of bytes")),
        Value::String(text) if text.trim_start().starts_with("-----BEGIN ") => {
            Ok(text.as_bytes().to_vec())
        }
        Value::String(text) => {
            let alphabet = if text.contains(['-', '_']) {
                &base64::alphabet::URL_SAFE
            } else {
                &base64::alphabet::STANDARD
            };
            GeneralPurpose::new(alphabet, ANY_PADDING)
                .decode(text)
                .map_err(|_| bad(field, "it is not base64"))
        }
        _ => Err(bad(field, "it is no byte string")),
    }
}

fn numbers(list: &[Value]) -> Option<Vec<u8>> {
    let byte = |value: &Value| value.as_u64().and_then(|number| u8::try_from(number).ok());
    list.iter().map(byte).collect()
}

/// A byte string as a list of numbers or in hex.
fn hexadecimal(value: Option<&Value>, field: &'static str) -> Result<Vec<u8>, Malformed> {
    let decoded = match value {
        Some(Value::Array(list)) => numbers(list),
        Some(Value::String(text)) => hex::decode(text).ok(),
        _ => None,
    };
    decoded.ok_or_else(|| bad(field, "it is neither hex nor a list of bytes"))
}

/// The quote: signature, statement, and the 24 values of the SHA-256 bank.
fn quote_of(value: &Value) -> Result<QuoteBundle, Malformed> {
    let list = value
        .get("pcrs")
        .and_then(Value::as_array)
        .filter(|list| list.len() == 24)
        .ok_or_else(|| bad("pcrs", "a list of 24 values was expected"))?;
    let mut pcrs = Vec::new();
    for (index, value) in (0_u32..).zip(list) {
        let value = hexadecimal(Some(value), "pcrs")?;
        if value.len() != 32 {
            return Err(bad("pcrs", "a value is not of 32 bytes"));
        }
        pcrs.push(PcrValue {
            bank: HashAlgorithm::SHA256,
            index,
            value,
        });
    }
    Ok(QuoteBundle {
        attest: hexadecimal(value.get("message"), "message")?,
        signature: hexadecimal(value.get("signature"), "signature")?,
        pcrs,
        ..QuoteBundle::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old() -> String {
        let pcrs = vec![vec![7; 32]; 24];
        format!(
            r#"{{"quote":{{"signature":[1],"message":[2,3],"pcrs":{pcrs:?}}},"report":[72],"vcek":"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n"}}"#
        )
    }

    fn new(version: u8, report: &str) -> String {
        let pcrs = vec!["07".repeat(32); 24];
        format!(
            r#"{{"platform":"x","evidence":{{"version":{version},"tpm_quote":{{"signature":"01","message":"0203","pcrs":{pcrs:?}}},"hcl_report":"{report}","td_quote":"BAA="}}}}"#
        )
    }

    #[test]
    fn every_version_gives_the_same_parts() {
        let first = Evidence::read(old().as_bytes()).unwrap();
        assert_eq!((first.version, first.hcl.as_slice()), (Some(0), &[72][..]));
        assert_eq!(first.certificates, [vec![0, 1, 2]]);
        let named = old().replacen('{', "{\"version\":0,", 1);
        assert_eq!(Evidence::read(named.as_bytes()), Ok(first.clone()));
        let second = Evidence::read(new(2, "SA").as_bytes()).unwrap();
        assert_eq!(
            (second.version, second.hcl.as_slice()),
            (Some(2), &[72][..])
        );
        assert_eq!(second.td_quote, Some(vec![4, 0]));
        assert_eq!(first.quote, second.quote);
        let quote = second.quote.unwrap();
        assert_eq!((quote.attest, quote.signature), (vec![2, 3], vec![1]));
        assert_eq!(quote.pcrs[23].index, 23);
    }

    #[test]
    fn an_hcl_report_alone_is_evidence_too() {
        let read = Evidence::read(b"HCLA").unwrap();
        assert_eq!((read.version, read.hcl.as_slice()), (None, &b"HCLA"[..]));
        assert_eq!(read.quote, None);
    }

    #[test]
    fn other_forms_are_refused_by_part() {
        for (text, field) in [
            (new(3, "SA"), "version 3"),
            (new(1, "S!"), "hcl_report"),
            (old().replace("[72]", "[256]"), "report"),
            (old().replace("[72]", "7"), "report"),
            (old().replace("\"report\"", "\"other\""), "hcl_report"),
            (old().replace("\"quote\"", "\"other\""), "tpm_quote"),
            (old().replace("[2,3]", "\"0\""), "message"),
            (new(1, "SA").replacen("\"0707", "\"07", 1), "pcrs"),
            (new(1, "SA").replacen("\"pcrs\"", "\"other\"", 1), "pcrs"),
            ("{".to_owned(), "JSON"),
        ] {
            let refusal = Evidence::read(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.check, EVIDENCE);
            assert!(refusal.to_string().starts_with(field), "{refusal}");
        }
        let long = vec![b' '; EVIDENCE_BYTES_MAX + 1];
        let refusal = Evidence::read(&long).unwrap_err();
        assert_eq!(refusal.offset, EVIDENCE_BYTES_MAX);
    }
}
