//! TPM structures for people: the trees behind `zeuge inspect`.
//!
//! Made from parsed bytes alone; claims nothing.

use super::{Attest, Body, Public, PublicKey};
use crate::{Malformed, annotate::Node};

const ATTEST_SPEC: &str = "TPM 2.0 Library, part 2 §10.12";
const PUBLIC_SPEC: &str = "TPM 2.0 Library, part 2 §12.2";

/// The fields of a `TPMS_ATTEST` that begins at `base` in the whole input.
///
/// # Errors
/// As [`Attest::parse`].
pub fn annotate_attest(bytes: &[u8], base: usize) -> Result<Node, Malformed> {
    let attest = Attest::parse(bytes)?;
    let at = |offset: usize| base.saturating_add(offset);
    let signer_at = 8_usize;
    let extra_at = signer_at
        .saturating_add(attest.qualified_signer.len())
        .saturating_add(2);
    let clock_at = extra_at.saturating_add(attest.extra_data.len());
    let clock = attest.clock;
    let children = vec![
        Node::field("magic", at(0), 4, format!("{:#010x}", attest.magic))
            .meaning("ff544347 marks what a TPM made itself"),
        Node::field("type", at(4), 2, format!("{:#06x}", attest.kind)).meaning(kind(attest.kind)),
        Node::bytes("qualifiedSigner", at(signer_at), attest.qualified_signer)
            .meaning("qualified name of the signing key"),
        Node::bytes("extraData", at(extra_at), attest.extra_data)
            .meaning("the nonce that was asked for"),
        Node::field("clock", at(clock_at), 8, clock.clock.to_string())
            .meaning("milliseconds of powered time"),
        Node::field(
            "resetCount",
            at(clock_at.saturating_add(8)),
            4,
            clock.reset_count.to_string(),
        )
        .meaning("boots since the TPM was cleared"),
        Node::field(
            "restartCount",
            at(clock_at.saturating_add(12)),
            4,
            clock.restart_count.to_string(),
        )
        .meaning("resumes since the last boot"),
        Node::field(
            "safe",
            at(clock_at.saturating_add(16)),
            1,
            clock.safe.to_string(),
        )
        .meaning("whether the clock cannot have been shown higher before"),
        Node::field(
            "firmwareVersion",
            at(clock_at.saturating_add(17)),
            8,
            format!("{:#018x}", attest.firmware_version),
        ),
        body(&attest, base),
    ];
    Ok(Node::group("TPMS_ATTEST", base, bytes.len(), children).spec(ATTEST_SPEC))
}

fn kind(kind: u16) -> &'static str {
    match kind {
        0x8014 => "contents of an NV index",
        0x8015 => "command audit",
        0x8016 => "session audit",
        0x8017 => "certifies another key",
        0x8018 => "quote of PCRs",
        0x8019 => "time",
        0x801a => "creation of a key",
        0x801c => "digest of an NV index",
        _ => "not known",
    }
}

fn body(attest: &Attest<'_>, base: usize) -> Node {
    let offset = base.saturating_add(attest.body_offset);
    let length = attest.bytes.len().saturating_sub(attest.body_offset);
    let end = offset.saturating_add(length);
    let last = |bytes: &[u8]| end.saturating_sub(bytes.len());
    match &attest.body {
        Body::Quote {
            selections,
            pcr_digest,
        } => {
            let chosen: Vec<String> = selections.iter().map(ToString::to_string).collect();
            let digest_at = last(pcr_digest);
            Node::group(
                "quote",
                offset,
                length,
                vec![
                    Node::field(
                        "pcrSelect",
                        offset,
                        digest_at.saturating_sub(2).saturating_sub(offset),
                        chosen.join("+"),
                    )
                    .meaning("banks and PCRs, in the order of their hashing"),
                    Node::bytes("pcrDigest", digest_at, pcr_digest)
                        .meaning("hash of the values by the hash of the signature"),
                ],
            )
        }
        Body::Certify {
            name,
            qualified_name,
        } => Node::group(
            "certify",
            offset,
            length,
            vec![
                Node::bytes("name", offset.saturating_add(2), name),
                Node::bytes("qualifiedName", last(qualified_name), qualified_name),
            ],
        ),
        Body::Creation {
            name,
            creation_hash,
        } => Node::group(
            "creation",
            offset,
            length,
            vec![
                Node::bytes("objectName", offset.saturating_add(2), name),
                Node::bytes("creationHash", last(creation_hash), creation_hash),
            ],
        ),
        Body::Other(bytes) => Node::bytes("attested", offset, bytes),
    }
}

/// The fields of a `TPMT_PUBLIC` or `TPM2B_PUBLIC` that begins at `base` in the whole input.
///
/// # Errors
/// As [`Public::parse`].
pub fn annotate_public(bytes: &[u8], base: usize) -> Result<Node, Malformed> {
    let public = Public::parse(bytes)?;
    let start = base.saturating_add(bytes.len().saturating_sub(public.bytes.len()));
    let at = |offset: usize| start.saturating_add(offset);
    let end = start.saturating_add(public.bytes.len());
    let last = |bytes: &[u8]| end.saturating_sub(bytes.len());
    let mut children = vec![
        Node::field("nameAlg", at(2), 2, public.name_algorithm.to_string()),
        Node::field("objectAttributes", at(4), 4, public.attributes.to_string())
            .meaning("what the key may do and where it may go"),
        Node::bytes("authPolicy", at(10), public.auth_policy),
    ];
    match public.key {
        PublicKey::Rsa {
            key_bits,
            exponent,
            modulus,
        } => children.push(
            Node::bytes("unique", last(modulus), modulus)
                .meaning(format!("RSA-{key_bits}, exponent {exponent}")),
        ),
        PublicKey::Ecc { curve, x, y } => {
            let y_at = last(y);
            let x_at = y_at.saturating_sub(2).saturating_sub(x.len());
            children.push(Node::bytes("x", x_at, x).meaning(format!("curve {curve}")));
            children.push(Node::bytes("y", y_at, y));
        }
    }
    if let Some(name) = public.name() {
        children.push(
            Node::field("name", start, 0, hex::encode(name)).meaning("computed over the structure"),
        );
    }
    Ok(Node::group("TPMT_PUBLIC", base, bytes.len(), children).spec(PUBLIC_SPEC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_a_key_covers_its_last_byte() {
        let bytes = super::super::public::tests::key();
        let tree = annotate_public(&bytes, 100).unwrap();
        let y = tree.children.iter().find(|node| node.name == "y").unwrap();
        assert_eq!(y.offset + y.length, 100 + bytes.len());
    }
}
