//! The shapes in which Intel's collateral lies in files, brought to one: certificates and lists in
//! DER, documents as Intel's service answers them (`{"tcbInfo": …, "signature": "hex"}`).
//!
//! The signed text is moved, never re-serialised. Believes nothing and refuses nothing: what fits
//! no shape is left out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeuge_evidence::{
    der::{self, Der, tag},
    reader::Reader,
};

use super::json::Json;

/// Blocks in one text: a chain has three.
const BLOCKS_MAX: usize = 64;
/// Objects within objects that are looked into; real wrappers have three.
const DEPTH_MAX: usize = 8;
/// A signature r‖s in bytes.
const SIGNATURE_BYTES: usize = 64;

/// What one file held.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Certificates and lists in DER, not yet told apart.
    pub(crate) der: Vec<Vec<u8>>,
    /// Documents in the form of Intel's service.
    pub(crate) documents: Vec<Vec<u8>>,
}

impl Parts {
    /// Looks into a JSON file: Intel's own answer, dcap-qvl's QuoteCollateralV3 and the wrappers
    /// of rust-sgx and teepot.
    pub(crate) fn of_json(bytes: &[u8]) -> Self {
        let mut parts = Self::default();
        if let Some(json) = Json::parse(bytes) {
            if json.get("tcbInfo").is_some() || json.get("enclaveIdentity").is_some() {
                parts.documents.push(bytes.to_vec());
            }
            parts.object(&json, 0);
        }
        parts
    }

    /// Looks into a dump of Intel's `sgx_ql_qve_collateral_t`: version, TEE type, seven sizes,
    /// seven blobs.
    pub(crate) fn of_dump(bytes: &[u8]) -> Self {
        Self::read_dump(bytes).unwrap_or_default()
    }

    fn read_dump(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes, "dcap.dump");
        let major = reader.u16_le().ok()?;
        reader.u16_le().ok()?;
        let tee = reader.u32_le().ok()?;
        if !(3..=4).contains(&major) || !matches!(tee, 0 | 0x81) {
            return None;
        }
        let mut sizes = Vec::new();
        for _ in 0..7 {
            reader.take(8).ok()?;
            sizes.push(usize::try_from(reader.u32_le().ok()?).ok()?);
            reader.take(4).ok()?;
        }
        let mut parts = Self::default();
        for size in sizes {
            let blob = reader.take(size).ok()?;
            let text = blob.strip_suffix(&[0]).unwrap_or(blob).trim_ascii();
            if text.starts_with(b"{") {
                parts.documents.push(text.to_vec());
            } else {
                parts.text(&String::from_utf8_lossy(text));
                parts.list(text);
            }
        }
        Some(parts)
    }

    /// Looks into the text of a response header: URL-encoded PEM.
    pub(crate) fn of_header(bytes: &[u8]) -> Self {
        let mut parts = Self::default();
        parts.text(&String::from_utf8_lossy(bytes));
        parts
    }

    fn object(&mut self, json: &Json, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        self.split_document(json, "tcbInfo", "tcb_info", "tcb_info_signature");
        self.split_document(
            json,
            "enclaveIdentity",
            "qe_identity",
            "qe_identity_signature",
        );
        self.split_document(json, "tcbInfo", "raw_tcb_info", "signature");
        self.split_document(json, "enclaveIdentity", "raw_enclave_identity", "signature");
        match json {
            Json::Object(members) => {
                for (name, value) in members {
                    match (name.as_str(), value) {
                        ("tcb_info_json" | "enclave_identity_json", Json::Text(text)) => {
                            self.documents.push(text.clone().into_bytes());
                        }
                        ("root_ca_crl" | "pck_crl", Json::List(_)) => {
                            self.der.extend(byte_list(value));
                        }
                        (_, Json::Text(text)) => self.text(text),
                        _ => self.object(value, depth.saturating_add(1)),
                    }
                    if let ("root_ca_crl" | "pck_crl", Json::Text(text)) = (name.as_str(), value) {
                        self.list(text.as_bytes());
                    }
                    if let ("crl_data_base64", Json::Text(text)) = (name.as_str(), value) {
                        self.der.extend(STANDARD.decode(text.trim()));
                    }
                }
            }
            Json::List(list) => {
                for value in list {
                    match value {
                        Json::Text(text) => self.text(text),
                        _ => self.object(value, depth.saturating_add(1)),
                    }
                }
            }
            Json::Other | Json::Number(_) | Json::Text(_) => {}
        }
    }

    /// A document whose inner object and signature stand apart.
    fn split_document(&mut self, json: &Json, member: &str, body: &str, signature: &str) {
        let (Some(body), Some(signature)) =
            (json.get(body).and_then(Json::text), json.get(signature))
        else {
            return;
        };
        let signature = match signature {
            Json::Text(text) => hex::decode(text).ok(),
            other => byte_list(other),
        };
        // A document without a usable signature is kept, so that its refusal can be named.
        let signature = signature
            .as_deref()
            .and_then(fixed)
            .map(hex::encode)
            .unwrap_or_default();
        let document = format!("{{\"{member}\":{body},\"signature\":\"{signature}\"}}");
        self.documents.push(document.into_bytes());
    }

    /// PEM, plain or URL-encoded.
    fn text(&mut self, text: &str) {
        if !text.contains("-----BEGIN") {
            return;
        }
        // No character of PEM itself is a per cent sign.
        let decoded = if text.contains('%') {
            url_decoded(text)
        } else {
            text.as_bytes().to_vec()
        };
        self.der.extend(der::pem_blocks(
            &decoded,
            &["CERTIFICATE", "X509 CRL"],
            BLOCKS_MAX,
        ));
    }

    /// A list in hex.
    fn list(&mut self, text: &[u8]) {
        self.der.extend(hex::decode(text.trim_ascii()));
    }
}

fn byte_list(json: &Json) -> Option<Vec<u8>> {
    let bytes = json
        .list()?
        .iter()
        .map(|byte| u8::try_from(byte.number()?).ok());
    bytes.collect()
}

/// r‖s out of r‖s or out of the DER sequence of two integers.
fn fixed(signature: &[u8]) -> Option<[u8; SIGNATURE_BYTES]> {
    if let Ok(fixed) = signature.try_into() {
        return Some(fixed);
    }
    let mut parts = Der::new(signature, "dcap.signature")
        .expect(tag::SEQUENCE, "signature")
        .ok()?
        .inside();
    let mut out = [0u8; SIGNATURE_BYTES];
    for half in out.chunks_exact_mut(SIGNATURE_BYTES / 2) {
        let number = parts.any().ok()?.unsigned().ok()?;
        let from = half.len().checked_sub(number.len())?;
        half.get_mut(from..)?.copy_from_slice(number);
    }
    Some(out)
}

fn url_decoded(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let coded = after.get(..2).filter(|_| *first == b'%');
        match coded.and_then(|digits| hex::decode(digits).ok()) {
            Some(byte) => {
                out.extend(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_text_is_moved_byte_by_byte() {
        let parts = Parts::of_json(
            br#"{"tcb_info":"{\"id\": \"SGX\",\n \"x\":1}","tcb_info_signature":"00"}"#,
        );
        assert_eq!(
            parts.documents,
            [b"{\"tcbInfo\":{\"id\": \"SGX\",\n \"x\":1},\"signature\":\"\"}".to_vec()]
        );
    }

    #[test]
    fn a_signature_in_der_becomes_r_and_s() {
        let mut wanted = [0; 64];
        wanted[31] = 0x7f;
        wanted[62] = 0x80;
        wanted[63] = 1;
        assert_eq!(
            fixed(&[0x30, 8, 2, 1, 0x7f, 2, 3, 0, 0x80, 1]),
            Some(wanted)
        );
        assert_eq!(fixed(&[0x30, 3, 2, 1, 1]), None);
        assert_eq!(fixed(&wanted), Some(wanted));
    }

    #[test]
    fn lists_lie_in_hex_in_bytes_and_in_base64() {
        let parts = Parts::of_json(
            br#"{"a":{"root_ca_crl":"0a0b","pck_crl":[12,13]},"crl_data_base64":"Dg8="}"#,
        );
        assert_eq!(parts.der, [vec![10, 11], vec![12, 13], vec![14, 15]]);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Parts::of_json(&bytes);
            let _ = Parts::of_dump(&bytes);
            let _ = Parts::of_header(&bytes);
            let _ = fixed(&bytes);
        }
    }
}
