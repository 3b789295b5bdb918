//! Attestation documents of AWS's Nitro hypervisor: of Nitro Enclaves, and of NitroTPM.
//!
//! A document is a COSE_Sign1 (RFC 9052) by ES384 around a CBOR map. Reads shape and the bounds
//! that AWS documents (`attestation_process.md` of the NSM API; EC2 user guide, NitroTPM). Never
//! checks the signature, never looks at a certificate, never compares a register.

mod annotate;
mod cbor;
mod document;
mod wrapping;

use crate::{Malformed, What};

pub use annotate::annotate;
pub use document::{Document, Source};
pub use wrapping::unwrapped;
pub(crate) use wrapping::{is_text, recorded};

use cbor::{Head, Items};

/// The id under which a broken COSE_Sign1 is refused.
pub const COSE: &str = "nitro.cose";
/// The id under which a broken document inside it is refused.
pub const DOCUMENT: &str = "nitro.document";

/// Every id that this module refuses under.
pub const CHECKS: &[&str] = &[COSE, DOCUMENT];

/// AWS's bound of the payload, and room for headers and signature.
pub const BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 1024;
/// AWS's bound of the payload.
const PAYLOAD_BYTES_MAX: usize = 16_384;
/// `{1: -35}`: ES384, and nothing else.
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];
/// r‖s on P-384.
pub const SIGNATURE_BYTES: usize = 96;

/// A signed document, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The protected header as received.
    pub protected: &'a [u8],
    /// The document as received.
    pub payload: &'a [u8],
    /// Where the document begins in the input.
    pub payload_offset: usize,
    /// r‖s.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Signed<'a> {
    /// Reads a COSE_Sign1, with or without its tag; nothing may follow it.
    ///
    /// # Errors
    /// `nitro.cose`, with the offset: over the limit, another structure or algorithm, an
    /// unprotected header, a signature of another length.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > BYTES_MAX {
            let what = What::TooLong {
                limit: BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(COSE, BYTES_MAX, what));
        }
        let mut items = Items::new(bytes, 0, COSE);
        let bad = |at, field, because| Malformed::invalid(COSE, at, field, because);
        let at = items.offset();
        let mut head = items.head()?;
        if head == Head::Tag(18) {
            head = items.head()?;
        }
        if head != Head::Array(Some(4)) {
            return Err(bad(at, "COSE_Sign1", "it is no list of four"));
        }
        let at = items.offset();
        let protected = items.bytes("protected")?;
        if protected != PROTECTED {
            let because = "only ES384 and nothing else is known there";
            return Err(bad(at, "protected", because));
        }
        let at = items.offset();
        let empty = match items.head()? {
            Head::Map(Some(0)) => true,
            Head::Map(None) => items.head()? == Head::Break,
            _ => false,
        };
        if !empty {
            return Err(bad(at, "unprotected", "it is no empty map"));
        }
        let at = items.offset();
        let payload = items.bytes("payload")?;
        let payload_offset = items.offset().saturating_sub(payload.len());
        if payload.is_empty() || payload.len() > PAYLOAD_BYTES_MAX {
            return Err(bad(at, "payload", "it is empty or longer than 16384 bytes"));
        }
        let at = items.offset();
        let signature = items.bytes("signature")?;
        let signature = signature
            .try_into()
            .map_err(|_| bad(at, "signature", "it is not of 96 bytes"))?;
        items.end("COSE_Sign1")?;
        Ok(Self {
            protected,
            payload,
            payload_offset,
            signature,
        })
    }

    /// The bytes that were signed: `Sig_structure` of RFC 9052 §4.4, without external data.
    #[must_use]
    pub fn signed_message(&self) -> Vec<u8> {
        let mut out = vec![0x84, 0x6a];
        out.extend(b"Signature1");
        cbor::put_bytes(&mut out, self.protected);
        cbor::put_bytes(&mut out, &[]);
        cbor::put_bytes(&mut out, self.payload);
        out
    }

    /// The document inside.
    ///
    /// # Errors
    /// As [`Document::parse`], with offsets in the whole input.
    pub fn document(&self) -> Result<Document<'a>, Malformed> {
        Document::parse(self.payload, self.payload_offset)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sign1(payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0x84];
        cbor::put_bytes(&mut out, &PROTECTED);
        out.push(0xa0);
        cbor::put_bytes(&mut out, payload);
        cbor::put_bytes(&mut out, &[7; 96]);
        out
    }

    #[test]
    fn a_document_is_read_with_and_without_its_tag() {
        let bytes = sign1(&[1; 30]);
        let read = Signed::parse(&bytes).unwrap();
        assert_eq!((read.payload, read.signature[95]), (&[1; 30][..], 7));
        assert_eq!(&bytes[read.payload_offset..][..30], [1; 30]);
        let tagged = [&[0xd2], bytes.as_slice()].concat();
        assert_eq!(Signed::parse(&tagged).unwrap().payload, [1; 30]);
        let message = read.signed_message();
        let wanted = [
            &b"\x84\x6aSignature1\x44\xa1\x01\x38\x22\x40\x58\x1e"[..],
            &[1; 30],
        ]
        .concat();
        assert_eq!(message, wanted);
    }

    #[test]
    fn every_other_form_is_refused_at_its_place() {
        let good = sign1(&[1; 30]);
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        let behind = [good.clone(), vec![0]].concat();
        for (bytes, offset) in [
            (changed(0, 0x83), 0),
            (changed(0, 0xd1), 0),
            (changed(5, 0x23), 1),
            (changed(6, 0xa1), 6),
            (changed(7, 0x98), 7),
            (changed(39, 0x59), 42),
            (changed(39, 0x78), 39),
            (behind.clone(), behind.len() - 1),
            (sign1(&[]), 7),
            (sign1(&[0; PAYLOAD_BYTES_MAX + 1]), 7),
            (vec![0; BYTES_MAX + 1], BYTES_MAX),
        ] {
            let refusal = Signed::parse(&bytes).unwrap_err();
            assert_eq!((refusal.check, refusal.offset), (COSE, offset), "{refusal}");
        }
        for length in 0..good.len() {
            assert!(Signed::parse(&good[..length]).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_readers_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Signed::parse(&bytes);
            let _ = Document::parse(&bytes, 0);
            let _ = unwrapped(&bytes);
        }
    }
}
