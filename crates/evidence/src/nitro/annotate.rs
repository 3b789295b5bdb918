//! A document field by field, for `zeuge inspect`.

use super::{Signed, Source};
use crate::{Malformed, annotate::Node};

const SPEC: &str = "AWS NSM API, attestation_process.md §2.2";

/// The tree of a signed document.
///
/// # Errors
/// As [`Signed::parse`] and [`super::Document::parse`].
pub fn annotate(bytes: &[u8]) -> Result<Node, Malformed> {
    let signed = Signed::parse(bytes)?;
    let document = signed.document()?;
    let at = |part: &[u8]| place(bytes, part);
    let shown = |name: String, part: &[u8]| Node::bytes(name, at(part), part).spec(SPEC);
    let payload = signed.payload;
    let mut members = vec![
        Node::field(
            "module_id",
            at(document.module_id.as_bytes()),
            document.module_id.len(),
            document.module_id,
        )
        .spec(SPEC),
        Node::field(
            "timestamp",
            signed.payload_offset,
            payload.len(),
            document.timestamp.to_string(),
        )
        .meaning("milliseconds since 1970")
        .spec(SPEC),
    ];
    for (index, value) in &document.pcrs {
        let zero = value.iter().all(|byte| *byte == 0);
        let meaning = match (document.source, index, zero) {
            (Source::Enclave, 0, true) => "all zero: the enclave runs in debug mode",
            (Source::Enclave, 0, false) => "the enclave image",
            (Source::Enclave, 1, _) => "kernel and first file system",
            (Source::Enclave, 2, _) => "the application",
            (Source::Enclave, 3, _) => "the IAM role of the parent instance",
            (Source::Enclave, 4, _) => "the parent instance's identifier",
            (Source::Enclave, 8, _) => "the certificate that signed the image",
            (Source::Tpm, 4, _) => "boot loader and kernel",
            (Source::Tpm, 7, _) => "Secure Boot",
            _ => "",
        };
        members.push(shown(format!("PCR {index}"), value).meaning(meaning));
    }
    members.push(shown("certificate".to_owned(), document.certificate));
    for certificate in &document.bundle {
        members.push(shown("cabundle".to_owned(), certificate));
    }
    for (name, part) in [
        ("public_key", document.public_key),
        ("user_data", document.user_data),
        ("nonce", document.nonce),
    ] {
        members.extend(part.map(|part| shown(name.to_owned(), part)));
    }
    let kind = match document.source {
        Source::Enclave => "a Nitro enclave",
        Source::Tpm => "the NitroTPM of an instance",
    };
    let children = vec![
        Node::bytes("protected", at(signed.protected), signed.protected)
            .meaning("ES384")
            .spec("RFC 9052 §4.2"),
        Node::group("document", signed.payload_offset, payload.len(), members).meaning(kind),
        Node::bytes(
            "signature",
            bytes.len().saturating_sub(signed.signature.len()),
            &signed.signature,
        )
        .spec("RFC 9052 §4.2"),
    ];
    Ok(Node::group("COSE_Sign1", 0, bytes.len(), children))
}

/// Where a part of the input begins in it: behind what is as long as the rest.
fn place(whole: &[u8], part: &[u8]) -> usize {
    let from = whole.as_ptr().addr();
    part.as_ptr().addr().saturating_sub(from)
}
