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

use super::json::{Json, View};

/// Blocks in one text: a chain has three.
const BLOCKS_MAX: usize = 64;
/// Objects within objects that are looked into; real wrappers have three.
const DEPTH_MAX: usize = 8;
/// Parts of Open Enclave's structure: there are nine.
const OPEN_ENCLAVE_PARTS_MAX: u32 = 16;
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
            let json = json.view();
            if json.get("tcbInfo").is_some() || json.get("enclaveIdentity").is_some() {
                parts.documents.push(bytes.to_vec());
            }
            parts.object(json, 0);
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
            parts.blob(reader.take(size).ok()?);
        }
        Some(parts)
    }

    /// Looks into the endorsements of Open Enclave: version 1, type 2 (SGX), length, the number of
    /// parts, where each begins, the parts. The length counts where they begin as well. Lines with
    /// `#` may stand before it.
    pub(crate) fn of_open_enclave(bytes: &[u8]) -> Self {
        Self::read_open_enclave(bytes).unwrap_or_default()
    }

    fn read_open_enclave(mut bytes: &[u8]) -> Option<Self> {
        while bytes.starts_with(b"#") {
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            bytes = bytes.get(end.checked_add(1)?..)?;
        }
        let mut reader = Reader::new(bytes, "dcap.open-enclave");
        let head = (reader.u32_le().ok()?, reader.u32_le().ok()?);
        let length = usize::try_from(reader.u32_le().ok()?).ok()?;
        let count = reader.u32_le().ok()?;
        if head != (1, 2) || count > OPEN_ENCLAVE_PARTS_MAX {
            return None;
        }
        let mut starts = Vec::new();
        for _ in 0..count {
            starts.push(usize::try_from(reader.u32_le().ok()?).ok()?);
        }
        let length = length.checked_sub(starts.len().checked_mul(4)?)?;
        let content = reader.take(length).ok()?;
        let ends = starts.iter().skip(1).copied().chain([length]);
        let mut parts = Self::default();
        for (start, end) in starts.iter().zip(ends) {
            parts.blob(content.get(*start..end)?);
        }
        Some(parts)
    }

    /// One part of a structure in memory: a document, PEM, a list in hex or DER; nothing in a part
    /// that is none of these.
    fn blob(&mut self, blob: &[u8]) {
        let text = blob.strip_suffix(&[0]).unwrap_or(blob).trim_ascii();
        if text.starts_with(b"{") {
            self.documents.push(text.to_vec());
        } else if blob.first() == Some(&tag::SEQUENCE) {
            // DER ends where it says; a NUL may follow.
            let whole = Der::new(blob, "dcap.part").any();
            self.der.extend(whole.map(|whole| whole.raw.to_vec()));
        } else {
            self.text(&String::from_utf8_lossy(text));
            self.list(text);
        }
    }

    /// Looks into the text of a response header: URL-encoded PEM.
    pub(crate) fn of_header(bytes: &[u8]) -> Self {
        let mut parts = Self::default();
        parts.text(&String::from_utf8_lossy(bytes));
        parts
    }

    fn object(&mut self, json: View<'_, '_>, depth: usize) {
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
        for (name, value) in json.members().into_iter().flatten() {
            self.member(name, value, depth);
        }
        for value in json.list().into_iter().flatten() {
            match value.text() {
                Some(text) => self.text(text),
                None => self.object(value, depth.saturating_add(1)),
            }
        }
    }

    fn member(&mut self, name: &str, value: View<'_, '_>, depth: usize) {
        let is_list = matches!(name, "root_ca_crl" | "pck_crl");
        let Some(text) = value.text() else {
            if is_list && value.list().is_some() {
                self.der.extend(byte_list(value));
            } else {
                self.object(value, depth.saturating_add(1));
            }
            return;
        };
        match name {
            "tcb_info_json" | "enclave_identity_json" => {
                self.documents.push(text.as_bytes().to_vec());
            }
            _ => self.text(text),
        }
        if is_list {
            self.list(text.as_bytes());
        }
        if name == "crl_data_base64" {
            self.der.extend(STANDARD.decode(text.trim()));
        }
    }

    /// A document whose inner object and signature stand apart.
    fn split_document(&mut self, json: View<'_, '_>, member: &str, body: &str, signature: &str) {
        let (Some(body), Some(signature)) =
            (json.get(body).and_then(View::text), json.get(signature))
        else {
            return;
        };
        let signature = match signature.text() {
            Some(text) => hex::decode(text).ok(),
            None => byte_list(signature),
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

fn byte_list(json: View<'_, '_>) -> Option<Vec<u8>> {
    let bytes = json.list()?.map(|byte| u8::try_from(byte.number()?).ok());
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

    #[test]
    fn the_parts_of_open_enclave_s_structure_are_found_behind_its_comment() {
        let chain = b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n\0";
        let parts: [&[u8]; 4] = [
            &[1, 0, 0, 0],
            b"{\"tcbInfo\":{},\"signature\":\"\"}\0",
            chain,
            &[0x30, 1, 7, 0],
        ];
        let mut file = b"# one\n# two\n".to_vec();
        let numbers =
            |numbers: &[u32]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_le_bytes()).collect() };
        let content = parts.concat();
        file.extend(numbers(&[1, 2, content.len() as u32 + 16, 4]));
        let mut at = 0;
        for part in parts {
            file.extend(numbers(&[at]));
            at += part.len() as u32;
        }
        file.extend(&content);
        let found = Parts::of_open_enclave(&file);
        assert_eq!(found.documents, [parts[1][..parts[1].len() - 1].to_vec()]);
        assert_eq!(found.der, [vec![1, 2, 3], vec![0x30, 1, 7]]);
        for end in 0..file.len() {
            assert!(Parts::of_open_enclave(&file[..end]).documents.is_empty());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Parts::of_json(&bytes);
            let _ = Parts::of_dump(&bytes);
            let _ = Parts::of_open_enclave(&bytes);
            let _ = Parts::of_open_enclave(&[&[1, 0, 0, 0, 2, 0, 0, 0], &bytes[..]].concat());
            let _ = Parts::of_header(&bytes);
            let _ = fixed(&bytes);
        }
    }
}
