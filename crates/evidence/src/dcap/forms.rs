//! The forms in which a quote travels: bare, as text, or in JSON with a log beside it.
//!
//! Takes the bytes out of their wrapping and looks at nothing in them ([`super::Quote::parse`]
//! does). Everything beside the quote was added on the way and is believed by nobody.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use super::{QUOTE_BYTES_MAX, protobuf};
use crate::{Malformed, der, json::tree};

/// JSON that holds no quote, or a broken one.
pub(super) const JSON: &str = "dcap.json";
/// A quote and a boot log of 64 KiB as base64 are under 200 KiB; clients that dump their log as
/// text beside it reach 1 MiB.
pub const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Members that are named as not used; real files have under five.
const NOTES_MAX: usize = 32;
/// Objects around the quote: the deepest real one has one.
const WRAPS_MAX: usize = 2;

/// How the quote was wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// JSON with the quote in base64, hex or as a list of numbers.
    Json,
    /// The protobuf message `tdx.QuoteV4` or `tdx.QuoteV5` of go-tdx-guest.
    Protobuf,
    /// The bare quote, perhaps with bytes behind it.
    Raw,
    /// The bare quote as text: hex or base64.
    Text,
}

/// A quote out of its wrapping, with what lay beside it. Nothing here is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The quote, not yet read.
    pub quote: Vec<u8>,
    /// The boot log that lay beside it (a CCEL table's content), as received.
    pub event_log: Option<Vec<u8>>,
    /// How it was wrapped.
    pub form: Form,
    /// Members that were found and not used, by name.
    pub notes: Vec<String>,
}

impl Evidence {
    /// Reads a quote in any of the forms. `{` after white space is JSON, a protobuf tag that
    /// cannot be a version number is protobuf, printable text is hex or base64, all else is raw.
    ///
    /// # Errors
    /// `dcap.json` or `dcap.protobuf` for a wrapping that holds no quote or is over its limit. The
    /// quote is not read.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = bytes.trim_ascii();
        if text.first() == Some(&b'{') {
            return json(bytes);
        }
        if protobuf::looks_like(bytes) {
            return protobuf::read(bytes);
        }
        let decoded = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.len() <= QUOTE_BYTES_MAX.saturating_mul(2))
            .and_then(decode)
            .filter(|bytes| super::looks_like(bytes));
        let (quote, form) = match decoded {
            Some(quote) => (quote, Form::Text),
            None => (bytes.to_vec(), Form::Raw),
        };
        Ok(Self {
            quote,
            event_log: None,
            form,
            notes: Vec::new(),
        })
    }
}

impl Evidence {
    /// Notes a member by a name that somebody else chose: escaped, and cut.
    fn ignored(&mut self, name: &str) {
        if self.notes.len() < NOTES_MAX {
            let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
            self.notes.push(format!("member {name} is not used"));
        }
    }
}

fn bad(field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(JSON, 0, field, because)
}

fn json(bytes: &[u8]) -> Result<Evidence, Malformed> {
    der::at_most(bytes, JSON_BYTES_MAX, JSON)?;
    let value = tree(bytes).ok_or_else(|| bad("JSON", "it cannot be read"))?;
    let object = find(&value, WRAPS_MAX).ok_or_else(|| bad("quote", "there is none"))?;
    let mut evidence = Evidence {
        quote: Vec::new(),
        event_log: None,
        form: Form::Json,
        notes: Vec::new(),
    };
    for (name, value) in object {
        match (name.as_str(), value) {
            ("quote" | "quote_b64", value) => {
                if !evidence.quote.is_empty() {
                    return Err(bad("quote", "it stands there twice"));
                }
                evidence.quote = content(value)
                    .ok_or_else(|| bad("quote", "it is neither base64 nor hex nor bytes"))?;
            }
            // Newer clients leave the log out or say null.
            ("cc_eventlog", Value::Null) => {}
            ("cc_eventlog", value) => {
                let log = content(value)
                    .ok_or_else(|| bad("cc_eventlog", "it is neither base64 nor hex nor bytes"))?;
                evidence.event_log = Some(log);
            }
            (other, _) => evidence.ignored(other),
        }
    }
    Ok(evidence)
}

/// The object that holds the quote: the outermost, or one that it wraps.
fn find(value: &Value, wraps: usize) -> Option<&Map<String, Value>> {
    let object = value.as_object()?;
    if object.contains_key("quote") || object.contains_key("quote_b64") {
        return Some(object);
    }
    let inner = wraps.checked_sub(1)?;
    object.values().find_map(|value| find(value, inner))
}

fn content(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => decode(text.trim()),
        Value::Array(list) => {
            let byte = |value: &Value| value.as_u64().and_then(|byte| u8::try_from(byte).ok());
            list.iter().map(byte).collect()
        }
        _ => None,
    }
}

/// Hex (with or without `0x`) or base64 (either alphabet, padded or not). A text that is both is
/// hex: base64 of a quote begins with `A` or `B` and holds letters that hex has not.
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if let Ok(bytes) = hex::decode(digits) {
        return Some(bytes);
    }
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let joined: String = text.split_ascii_whitespace().collect();
    [STANDARD, URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(&joined).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTE: [u8; 28] = [
        4, 0, 2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0, 0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
        0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
    ];

    fn base64() -> String {
        base64::engine::general_purpose::STANDARD.encode(QUOTE)
    }

    #[test]
    fn the_evidence_of_trustee_clients_is_opened() {
        let text = format!(
            r#"{{"cc_eventlog":"AQID","quote":"{}","extra":1}}"#,
            base64()
        );
        let evidence = Evidence::read(text.as_bytes()).unwrap();
        assert_eq!(evidence.quote, QUOTE);
        assert_eq!(evidence.event_log, Some(vec![1, 2, 3]));
        assert_eq!(evidence.form, Form::Json);
        assert_eq!(evidence.notes, ["member extra is not used"]);
        let without = format!(r#"{{"cc_eventlog":null,"quote":"{}"}}"#, base64());
        assert_eq!(Evidence::read(without.as_bytes()).unwrap().event_log, None);
    }

    #[test]
    fn a_quote_in_hex_in_numbers_and_in_a_wrapper_is_opened() {
        let hex = hex::encode(QUOTE);
        for text in [
            format!(r#"{{"quote":"{hex}"}}"#),
            format!(r#"{{"quote":"0x{hex}"}}"#),
            format!(r#"{{"evidence":{{"quote":{QUOTE:?}}}}}"#),
            format!(
                r#"{{"quote_b64":"{}"}}"#,
                base64()
                    .replace('+', "-")
                    .replace('/', "_")
                    .replace('=', "")
            ),
            hex.clone(),
            base64(),
        ] {
            assert_eq!(
                Evidence::read(text.as_bytes()).unwrap().quote,
                QUOTE,
                "{text}"
            );
        }
        let raw = Evidence::read(&QUOTE).unwrap();
        assert_eq!((raw.quote.as_slice(), raw.form), (&QUOTE[..], Form::Raw));
    }

    #[test]
    fn json_without_a_quote_is_refused_by_name() {
        for text in [
            "{}",
            "{",
            r#"{"quote":"*"}"#,
            r#"{"quote":[256]}"#,
            r#"{"quote":"00","quote_b64":"00"}"#,
            r#"{"quote":"00","cc_eventlog":7}"#,
        ] {
            assert_eq!(
                Evidence::read(text.as_bytes()).unwrap_err().check,
                "dcap.json",
                "{text}"
            );
        }
        let long = format!("{{{}", " ".repeat(JSON_BYTES_MAX));
        assert_eq!(
            Evidence::read(long.as_bytes()).unwrap_err().check,
            "dcap.json"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(text in "[{}\\[\\]:,\"a-z0-9_ ]{0,80}") {
            let _ = Evidence::read(text.as_bytes());
        }
    }
}
