//! The file of a TPM quote: `zeuge.tpm-quote.v1`, Trustee's `tpm` evidence, and the foreign
//! containers next door.
//!
//! Only takes the parts out of their encoding; whoever verifies reads and checks them. A part
//! that is not base64 or hex is refused, a field that is not known here is ignored.
//!
//! ```json
//! {"schema":"zeuge.tpm-quote.v1",
//!  "attest":"base64 TPMS_ATTEST", "signature":"base64 TPMT_SIGNATURE",
//!  "ak_public":"base64 TPMT_PUBLIC, TPM2B_PUBLIC or SubjectPublicKeyInfo",
//!  "pcrs":{"sha256":{"0":"hex","7":"hex"}},
//!  "eventlog":"base64", "ima":"base64",
//!  "ak_certificate":"base64 DER", "ek_certificate":"base64 DER", "certificates":["base64 DER"]}
//! ```

use base64::Engine as _;
use serde_json::{Map, Value};

use super::{Attest, BUNDLE, GoogleAttestation, HashAlgorithm, TPM_GENERATED_VALUE, azure_sample};
use crate::{Malformed, What, json::tree};

/// The name of our own format.
pub const BUNDLE_SCHEMA: &str = "zeuge.tpm-quote.v1";
/// A log of 1 MiB and an IMA list of 8 MiB in base64 fit; nothing real is larger.
pub const BUNDLE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Certificates in one file: a chain has at most four below its root.
const CERTIFICATES_MAX: usize = 16;

/// One PCR as somebody says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PcrValue {
    /// The bank.
    pub bank: HashAlgorithm,
    /// The PCR.
    pub index: u32,
    /// Its value.
    pub value: Vec<u8>,
}

/// The parts of one quote, as received and out of their encoding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuoteBundle {
    /// The `TPMS_ATTEST`.
    pub attest: Vec<u8>,
    /// The `TPMT_SIGNATURE`, or bare RSA bytes; empty where the statement came alone.
    pub signature: Vec<u8>,
    /// The AK: `TPMT_PUBLIC`, `TPM2B_PUBLIC` or SubjectPublicKeyInfo.
    pub ak_public: Option<Vec<u8>>,
    /// A certificate of the AK.
    pub ak_certificate: Option<Vec<u8>>,
    /// The certificate of the TPM's endorsement key.
    pub ek_certificate: Option<Vec<u8>>,
    /// Issuers that came along; believed only below a known root.
    pub certificates: Vec<Vec<u8>>,
    /// The PCR values; believed only when they hash to the quoted digest.
    pub pcrs: Vec<PcrValue>,
    /// The TCG log.
    pub eventlog: Option<Vec<u8>>,
    /// The IMA list, text or binary.
    pub ima: Option<Vec<u8>>,
}

fn bad(field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(BUNDLE, 0, field, because)
}

/// Takes one field out of its encoding.
type Decode = fn(&Map<String, Value>, &'static str) -> Result<Vec<u8>, Malformed>;

impl QuoteBundle {
    /// Reads a file of quotes in any form that is known here: one bundle per quote (Google sends
    /// one per bank).
    ///
    /// # Errors
    /// `tpm.bundle`: over the limit, none of the forms, or a part that is missing or not in its
    /// encoding.
    pub fn read(bytes: &[u8]) -> Result<Vec<Self>, Malformed> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            let what = What::TooLong {
                limit: BUNDLE_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(BUNDLE, BUNDLE_BYTES_MAX, what));
        }
        if bytes.trim_ascii_start().first() == Some(&b'{') {
            return Self::from_json(bytes).map(|bundle| vec![bundle]);
        }
        // The bare statement: whoever verifies says what is missing.
        if bytes.starts_with(&TPM_GENERATED_VALUE.to_be_bytes()) {
            let attest = Attest::parse(bytes)?.bytes.to_vec();
            return Ok(vec![Self {
                attest,
                ..Self::default()
            }]);
        }
        if let Ok(sample) = azure_sample(bytes) {
            return Ok(vec![sample]);
        }
        GoogleAttestation::parse(bytes).map(|message| message.bundles())
    }

    /// Whether this JSON object is a quote in one of the forms that [`QuoteBundle::read`] knows.
    #[must_use]
    pub fn is_quote_json(object: &Map<String, Value>) -> bool {
        object.get("schema").and_then(Value::as_str) == Some(BUNDLE_SCHEMA)
            || (object.contains_key("ak_public") && object.contains_key("tpm_quote"))
            || (object.contains_key("message") && object.contains_key("pcrs"))
    }

    fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let value = tree(bytes).ok_or_else(|| bad("JSON", "it cannot be read"))?;
        let object = value
            .as_object()
            .ok_or_else(|| bad("JSON", "it is no object"))?;
        match object.get("schema").and_then(Value::as_str) {
            Some(BUNDLE_SCHEMA) => Self::from_own(object),
            Some(_) => Err(bad("schema", "another format than zeuge.tpm-quote.v1")),
            None => match object.get("tpm_quote").and_then(Value::as_object) {
                Some(quote) => {
                    let ak_public = Some(base64(object, "ak_public")?);
                    Ok(Self {
                        ak_public,
                        ..Self::from_foreign(quote, base64)?
                    })
                }
                None => Self::from_foreign(object, hexadecimal),
            },
        }
    }

    fn from_own(object: &Map<String, Value>) -> Result<Self, Malformed> {
        Ok(Self {
            attest: base64(object, "attest")?,
            signature: base64(object, "signature")?,
            ak_public: optional(object, "ak_public")?,
            ak_certificate: optional(object, "ak_certificate")?,
            ek_certificate: optional(object, "ek_certificate")?,
            certificates: certificates(object)?,
            pcrs: banks(object)?,
            eventlog: optional(object, "eventlog")?,
            ima: optional(object, "ima")?,
        })
    }

    /// Trustee's quote: `signature`, `message`, and 24 PCR values of the SHA-256 bank in hex. Its
    /// TPM attester writes base64, its Azure ones hex.
    fn from_foreign(object: &Map<String, Value>, decode: Decode) -> Result<Self, Malformed> {
        let list = object
            .get("pcrs")
            .and_then(Value::as_array)
            .filter(|list| list.len() == 24)
            .ok_or_else(|| bad("pcrs", "a list of 24 values was expected"))?;
        let mut pcrs = Vec::new();
        for (index, value) in (0_u32..).zip(list) {
            let value = value.as_str().and_then(|text| hex::decode(text).ok());
            pcrs.push(PcrValue {
                bank: HashAlgorithm::SHA256,
                index,
                value: value
                    .filter(|value| value.len() == 32)
                    .ok_or_else(|| bad("pcrs", "a value is not 32 bytes in hex"))?,
            });
        }
        Ok(Self {
            attest: decode(object, "message")?,
            signature: decode(object, "signature")?,
            pcrs,
            ..Self::default()
        })
    }
}

fn decoded(text: &str, field: &'static str) -> Result<Vec<u8>, Malformed> {
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|_| bad(field, "it is not base64"))
}

fn text<'a>(object: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Malformed> {
    object
        .get(field)
        .and_then(Value::as_str)
        .ok_or_else(|| bad(field, "it is missing or no text"))
}

fn base64(object: &Map<String, Value>, field: &'static str) -> Result<Vec<u8>, Malformed> {
    decoded(text(object, field)?, field)
}

fn hexadecimal(object: &Map<String, Value>, field: &'static str) -> Result<Vec<u8>, Malformed> {
    hex::decode(text(object, field)?).map_err(|_| bad(field, "it is not hex"))
}

fn optional(
    object: &Map<String, Value>,
    field: &'static str,
) -> Result<Option<Vec<u8>>, Malformed> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => base64(object, field).map(Some),
    }
}

fn certificates(object: &Map<String, Value>) -> Result<Vec<Vec<u8>>, Malformed> {
    let list = match object.get("certificates") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= CERTIFICATES_MAX => list,
        Some(_) => return Err(bad("certificates", "a list of at most 16 was expected")),
    };
    list.iter()
        .map(|value| {
            let text = value
                .as_str()
                .ok_or_else(|| bad("certificates", "an entry is no text"))?;
            decoded(text, "certificates")
        })
        .collect()
}

fn banks(object: &Map<String, Value>) -> Result<Vec<PcrValue>, Malformed> {
    let all = object
        .get("pcrs")
        .and_then(Value::as_object)
        .ok_or_else(|| bad("pcrs", "an object of banks was expected"))?;
    let mut out = Vec::new();
    for (name, values) in all {
        let bank = HashAlgorithm::by_name(name)
            .ok_or_else(|| bad("pcrs", "a bank has a name that is not known"))?;
        let values = values
            .as_object()
            .ok_or_else(|| bad("pcrs", "a bank is no object of PCRs"))?;
        for (index, value) in values {
            let index = index
                .parse()
                .ok()
                .filter(|index| *index < 32)
                .ok_or_else(|| bad("pcrs", "a PCR has no number from 0 to 31"))?;
            let value = value
                .as_str()
                .and_then(|text| hex::decode(text).ok())
                .filter(|value| Some(value.len()) == bank.size())
                .ok_or_else(|| bad("pcrs", "a value is not a digest of its bank in hex"))?;
            out.push(PcrValue { bank, index, value });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_format_gives_its_parts() {
        let value = "11".repeat(32);
        let text = format!(
            r#"{{"schema":"zeuge.tpm-quote.v1","attest":"AQ==","signature":"Ag==","ak_public":"Aw==","pcrs":{{"sha256":{{"7":"{value}"}}}},"eventlog":null}}"#
        );
        let bundle = QuoteBundle::read(text.as_bytes()).unwrap().remove(0);
        assert_eq!((bundle.attest, bundle.signature), (vec![1], vec![2]));
        assert_eq!(bundle.ak_public, Some(vec![3]));
        assert_eq!(bundle.pcrs.first().unwrap().index, 7);
        assert_eq!(bundle.eventlog, None);
    }

    #[test]
    fn another_schema_is_refused_by_name() {
        assert_eq!(
            QuoteBundle::read(br#"{"schema":"zeuge.tpm-quote.v9"}"#),
            Err(bad("schema", "another format than zeuge.tpm-quote.v1"))
        );
    }

    #[test]
    fn a_value_of_another_length_than_its_bank_is_refused() {
        let text = br#"{"schema":"zeuge.tpm-quote.v1","attest":"","signature":"","pcrs":{"sha256":{"7":"11"}}}"#;
        assert_eq!(
            QuoteBundle::read(text),
            Err(bad("pcrs", "a value is not a digest of its bank in hex"))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = QuoteBundle::read(&bytes);
        }
    }
}
