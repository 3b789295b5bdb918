//! Certificates that carry a quote (RA-TLS): which extension, which quote, and what it is bound to.
//!
//! Reads Gramine's own extension, Open Enclave's and EGo's, and the tagged evidence of TCG DICE.
//! Takes the quote out and looks at nothing in it; believes neither it nor the certificate.

use crate::{
    Malformed, der,
    x509::{CERTIFICATE_BYTES_MAX, Certificate},
};

/// The ids of this file.
pub const CHECKS: &[&str] = &[CHECK];
const CHECK: &str = "ratls.evidence";

/// TCG DICE, tagged evidence.
const DICE: &str = "2.23.133.5.4.9";
/// Gramine's own: the bare quote.
const GRAMINE: &str = "1.2.840.113741.1337.6";
/// Open Enclave's remote report, as EGo writes it: a header of 16 bytes, then the quote.
const OPEN_ENCLAVE: &str = "1.3.6.1.4.1.311.105.1";
/// The tag of a quote of Intel's with its claims (IANA, CBOR tags).
const QUOTE_TAG: u64 = 60_000;
/// Version 1, type 2 (remote report), both in 32 bits with the low byte first.
const REMOTE_REPORT: [u8; 8] = [1, 0, 0, 0, 2, 0, 0, 0];
const KEY_HASH: &[u8] = b"pubkey-hash";

/// How the quote lies in the certificate, and so what its report data commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// TCG DICE tagged evidence: report data is SHA-256 of the claims, which hold the hash of the
    /// certificate's key.
    Dice {
        /// The claims as received.
        claims: Vec<u8>,
        /// The hash by IANA's registry of named information: 1, 7, 8 are SHA-256, -384, -512.
        algorithm: u64,
        /// The hash of the SubjectPublicKeyInfo.
        key_hash: Vec<u8>,
    },
    /// Gramine: report data is SHA-256 of the SubjectPublicKeyInfo.
    Gramine,
    /// Open Enclave and EGo: likewise.
    OpenEnclave,
}

/// A certificate with the quote that it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The certificate in DER.
    pub certificate: Vec<u8>,
    /// How the quote lies in it.
    pub form: Form,
    /// The quote, not yet read.
    pub quote: Vec<u8>,
    /// What else was found and not used.
    pub notes: Vec<String>,
}

impl Carried {
    /// Reads a certificate, in DER or as the first one in PEM; `None` for one that carries no quote
    /// in any of the known extensions, and for what is no certificate. Of several the standard one
    /// counts, and the others are named.
    ///
    /// # Errors
    /// `ratls.evidence` for such an extension with anything else in it, or twice.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        // In PEM, with a chain behind it.
        if bytes.len() > CERTIFICATE_BYTES_MAX.saturating_mul(8) {
            return Ok(None);
        }
        // A quote has PEM in it: DER must not be searched for it.
        let blocks = match bytes.first() {
            Some(0x30) => Vec::new(),
            _ => der::pem_blocks(bytes, &["CERTIFICATE"], 1),
        };
        let bytes = blocks.first().map_or(bytes, Vec::as_slice);
        let Ok(certificate) = Certificate::parse(bytes) else {
            return Ok(None);
        };
        let mut found = None;
        let mut notes = Vec::new();
        for oid in [DICE, GRAMINE, OPEN_ENCLAVE] {
            let mut held = certificate
                .extensions
                .iter()
                .filter(|extension| extension.oid == oid);
            let Some(extension) = held.next() else {
                continue;
            };
            if held.next().is_some() {
                return Err(bad(extension.offset, "the extension stands twice"));
            }
            if found.is_some() {
                notes.push(format!("the extension {oid} is not used"));
            } else {
                found = Some(quote_of(oid, extension.value, extension.offset)?);
            }
        }
        Ok(found.map(|(form, quote)| Self {
            certificate: bytes.to_vec(),
            form,
            quote,
            notes,
        }))
    }
}

fn bad(offset: usize, because: &'static str) -> Malformed {
    Malformed::invalid(CHECK, offset, "the quote in the certificate", because)
}

fn quote_of(oid: &str, value: &[u8], offset: usize) -> Result<(Form, Vec<u8>), Malformed> {
    let quote = match oid {
        DICE => {
            return tagged(value)
                .ok_or_else(|| bad(offset, "it is no tagged evidence with a quote and claims"));
        }
        OPEN_ENCLAVE => {
            let wrong = || {
                bad(
                    offset,
                    "it is no remote report with the length that it says",
                )
            };
            let (head, rest) = value.split_first_chunk::<16>().ok_or_else(wrong)?;
            let (kind, length) = head.split_at(8);
            let length = length
                .iter()
                .rev()
                .fold(0_u64, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte));
            if kind != REMOTE_REPORT || u64::try_from(rest.len()) != Ok(length) {
                return Err(wrong());
            }
            return Ok((Form::OpenEnclave, rest.to_vec()));
        }
        _ => value,
    };
    if quote.is_empty() {
        return Err(bad(offset, "it is empty"));
    }
    Ok((Form::Gramine, quote.to_vec()))
}

/// `60000([quote, claims])`, claims `{"pubkey-hash": bytes of [algorithm, hash], …}`.
fn tagged(value: &[u8]) -> Option<(Form, Vec<u8>)> {
    let mut outer = Cbor(value);
    if outer.head(6)? != QUOTE_TAG || outer.head(4)? != 2 {
        return None;
    }
    let (quote, claims) = (outer.string(2)?, outer.string(2)?);
    if !outer.0.is_empty() || quote.is_empty() {
        return None;
    }
    let mut inner = Cbor(claims);
    let mut entry = None;
    for _ in 0..inner.head(5)? {
        let name = inner.string(3)?;
        let content = inner.string(2)?;
        if name == KEY_HASH && entry.replace(content).is_some() {
            return None;
        }
    }
    if !inner.0.is_empty() {
        return None;
    }
    let mut entry = Cbor(entry?);
    if entry.head(4)? != 2 {
        return None;
    }
    let (algorithm, key_hash) = (entry.head(0)?, entry.string(2)?.to_vec());
    entry.0.is_empty().then(|| {
        let claims = claims.to_vec();
        let form = Form::Dice {
            claims,
            algorithm,
            key_hash,
        };
        (form, quote.to_vec())
    })
}

/// CBOR of definite lengths, as far as this evidence needs it.
struct Cbor<'a>(&'a [u8]);

impl<'a> Cbor<'a> {
    /// The argument of a head of this major type.
    fn head(&mut self, major: u8) -> Option<u64> {
        let (first, mut rest) = self.0.split_first()?;
        if first.checked_shr(5)? != major {
            return None;
        }
        let mut number = |width: usize| {
            let (bytes, after) = rest.split_at_checked(width)?;
            rest = after;
            Some(
                bytes
                    .iter()
                    .fold(0_u64, |sum, byte| sum.wrapping_shl(8) | u64::from(*byte)),
            )
        };
        let argument = match first & 0x1f {
            small @ 0..=23 => u64::from(small),
            24 => number(1)?,
            25 => number(2)?,
            26 => number(4)?,
            27 => number(8)?,
            _ => return None,
        };
        self.0 = rest;
        Some(argument)
    }

    /// A string of this major type.
    fn string(&mut self, major: u8) -> Option<&'a [u8]> {
        let length = usize::try_from(self.head(major)?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dice(claims: &[u8]) -> Vec<u8> {
        let mut out = vec![0xd9, 0xea, 0x60, 0x82, 0x43, 1, 2, 3, 0x58];
        out.push(u8::try_from(claims.len()).unwrap());
        out.extend(claims);
        out
    }

    fn claims() -> Vec<u8> {
        [&[0xa1, 0x6b][..], KEY_HASH, &[0x45, 0x82, 1, 0x42, 7, 8]].concat()
    }

    #[test]
    fn tagged_evidence_is_taken_apart() {
        let (form, quote) = tagged(&dice(&claims())).unwrap();
        assert_eq!(quote, [1, 2, 3]);
        let wanted = Form::Dice {
            claims: claims(),
            algorithm: 1,
            key_hash: vec![7, 8],
        };
        assert_eq!(form, wanted);
    }

    #[test]
    fn tagged_evidence_of_another_form_is_none() {
        let twice = [
            &[0xa2, 0x6b][..],
            KEY_HASH,
            &[0x45, 0x82, 1, 0x42, 7, 8, 0x6b],
            KEY_HASH,
            &[0x45, 0x82, 1, 0x42, 7, 9],
        ]
        .concat();
        let mut longer = dice(&claims());
        longer.push(0);
        let mut other_tag = dice(&claims());
        other_tag[2] = 0x61;
        for value in [longer, other_tag, dice(&twice), dice(&[0xa0]), vec![]] {
            assert_eq!(tagged(&value), None, "{value:?}");
        }
    }

    #[test]
    fn a_remote_report_has_the_length_that_it_says() {
        let report =
            |length: u8| [&REMOTE_REPORT[..], &[length, 0, 0, 0, 0, 0, 0, 0], b"quote"].concat();
        let read = |value: &[u8]| quote_of(OPEN_ENCLAVE, value, 0);
        assert_eq!(read(&report(5)), Ok((Form::OpenEnclave, b"quote".to_vec())));
        for wrong in [report(4), report(6), b"quote".to_vec()] {
            assert_eq!(read(&wrong).unwrap_err().check, CHECK);
        }
        assert_eq!(quote_of(GRAMINE, &[], 0).unwrap_err().check, CHECK);
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Carried::read(&bytes);
            let _ = tagged(&bytes);
            let _ = quote_of(OPEN_ENCLAVE, &bytes, 0);
        }
    }
}
