//! Foreign containers of quotes: the sample of Azure's vTPM client and Google's `Attestation`
//! message.
//!
//! Takes the parts out and decides nothing about them. Sizes are bounded before anything is kept.

use super::{BUNDLE, HashAlgorithm, PcrSelection, PcrSet, PcrValue, QuoteBundle};
use crate::{Malformed, reader::Reader};

/// PCRs in one message: eight banks of 24.
const VALUES_MAX: usize = 256;
/// Quotes in one message: one per bank.
const QUOTES_MAX: usize = 8;

fn bad(offset: usize, field: &'static str, because: &'static str) -> Malformed {
    Malformed::invalid(BUNDLE, offset, field, because)
}

/// Reads the sample that Azure's vTPM client stores: little-endian 64-bit lengths before the
/// bare RSA signature, the `TPMS_ATTEST`, and a count before the PCR values of the SHA-256 bank.
///
/// # Errors
/// `tpm.bundle`, with the offset, for any other shape.
pub fn azure_sample(bytes: &[u8]) -> Result<QuoteBundle, Malformed> {
    let mut reader = Reader::new(bytes, BUNDLE);
    let signature = counted(&mut reader, 512, "signature")?.to_vec();
    let attest = counted(&mut reader, 2048, "message")?.to_vec();
    let at = reader.offset();
    if reader.u64_le()? != 24 {
        return Err(bad(at, "pcrs", "there must be 24 values"));
    }
    let mut pcrs = Vec::new();
    for index in 0..24 {
        pcrs.push(PcrValue {
            bank: HashAlgorithm::SHA256,
            index,
            value: reader.take(32)?.to_vec(),
        });
    }
    if !reader.is_empty() {
        return Err(bad(reader.offset(), "sample", "bytes follow its end"));
    }
    Ok(QuoteBundle {
        attest,
        signature,
        pcrs,
        ..QuoteBundle::default()
    })
}

fn counted<'a>(
    reader: &mut Reader<'a>,
    limit: u64,
    field: &'static str,
) -> Result<&'a [u8], Malformed> {
    let at = reader.offset();
    let length = reader.u64_le()?;
    let length = usize::try_from(length)
        .ok()
        .filter(|_| length <= limit)
        .ok_or_else(|| bad(at, field, "it is longer than any TPM makes it"))?;
    reader.take(length)
}

/// One quote of Google's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleQuote<'a> {
    /// The `TPMS_ATTEST`.
    pub attest: &'a [u8],
    /// The `TPMT_SIGNATURE`.
    pub signature: &'a [u8],
    /// The bank.
    pub selection: PcrSelection,
    /// The values, in the order received.
    pub values: Vec<(u32, &'a [u8])>,
}

/// Google's `Attestation` message (go-tpm-tools `attest.proto`), the fields that this program
/// reads; others are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoogleAttestation<'a> {
    /// The AK's `TPMT_PUBLIC` (field 1).
    pub ak_public: &'a [u8],
    /// One quote per bank (field 2).
    pub quotes: Vec<GoogleQuote<'a>>,
    /// The TCG log (field 3).
    pub event_log: &'a [u8],
    /// The AK certificate (field 6); empty when absent.
    pub ak_certificate: &'a [u8],
    /// Its issuers (field 7).
    pub intermediates: Vec<&'a [u8]>,
}

impl<'a> GoogleAttestation<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// `tpm.bundle`, with the offset, for a broken encoding, a message without a key or a quote,
    /// or more parts than the limits.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut out = Self::default();
        let mut reader = Reader::new(bytes, BUNDLE);
        while !reader.is_empty() {
            let at = reader.offset();
            match field(&mut reader)? {
                (1, Field::Bytes(part)) => out.ak_public = part.rest(),
                (2, Field::Bytes(part)) => {
                    if out.quotes.len() >= QUOTES_MAX {
                        return Err(bad(at, "quotes", "there are more than eight"));
                    }
                    out.quotes.push(quote(part)?);
                }
                (3, Field::Bytes(part)) => out.event_log = part.rest(),
                (6, Field::Bytes(part)) => out.ak_certificate = part.rest(),
                (7, Field::Bytes(part)) if out.intermediates.len() < 8 => {
                    out.intermediates.push(part.rest());
                }
                _ => {}
            }
        }
        if out.ak_public.is_empty() || out.quotes.is_empty() {
            return Err(bad(0, "Attestation", "it holds no key or no quote"));
        }
        Ok(out)
    }

    /// One bundle per quote.
    #[must_use]
    pub fn bundles(&self) -> Vec<QuoteBundle> {
        let optional = |part: &[u8]| (!part.is_empty()).then(|| part.to_vec());
        self.quotes
            .iter()
            .map(|quote| QuoteBundle {
                attest: quote.attest.to_vec(),
                signature: quote.signature.to_vec(),
                ak_public: optional(self.ak_public),
                ak_certificate: optional(self.ak_certificate),
                certificates: self
                    .intermediates
                    .iter()
                    .map(|part| part.to_vec())
                    .collect(),
                pcrs: quote
                    .values
                    .iter()
                    .map(|(index, value)| PcrValue {
                        bank: quote.selection.bank,
                        index: *index,
                        value: value.to_vec(),
                    })
                    .collect(),
                eventlog: optional(self.event_log),
                ..QuoteBundle::default()
            })
            .collect()
    }
}

enum Field<'a> {
    Number(u64),
    Bytes(Reader<'a>),
}

fn varint(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let at = reader.offset();
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7f).wrapping_shl(shift);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(bad(at, "number", "it has more than nine bytes"))
}

fn field<'a>(reader: &mut Reader<'a>) -> Result<(u64, Field<'a>), Malformed> {
    let at = reader.offset();
    let key = varint(reader)?;
    let number = key.wrapping_shr(3);
    match key & 7 {
        0 => Ok((number, Field::Number(varint(reader)?))),
        2 => {
            let length = usize::try_from(varint(reader)?)
                .map_err(|_| bad(at, "length", "it does not fit this machine"))?;
            Ok((number, Field::Bytes(reader.part(length)?)))
        }
        _ => Err(bad(
            at,
            "wire type",
            "only numbers and byte strings occur here",
        )),
    }
}

fn quote(mut reader: Reader<'_>) -> Result<GoogleQuote<'_>, Malformed> {
    let mut attest: &[u8] = &[];
    let mut signature: &[u8] = &[];
    let mut bank = HashAlgorithm(0);
    let mut values = Vec::new();
    while !reader.is_empty() {
        match field(&mut reader)? {
            (1, Field::Bytes(part)) => attest = part.rest(),
            (2, Field::Bytes(part)) => signature = part.rest(),
            (3, Field::Bytes(part)) => (bank, values) = google_pcrs(part)?,
            _ => {}
        }
    }
    let pcrs = values.iter().fold(PcrSet::NONE, |set, (index, _)| {
        PcrSet(set.0 | PcrSet::of(&[*index]).0)
    });
    Ok(GoogleQuote {
        attest,
        signature,
        selection: PcrSelection { bank, pcrs },
        values,
    })
}

type Values<'a> = Vec<(u32, &'a [u8])>;

fn google_pcrs(mut reader: Reader<'_>) -> Result<(HashAlgorithm, Values<'_>), Malformed> {
    let mut bank = HashAlgorithm(0);
    let mut values = Vec::new();
    while !reader.is_empty() {
        let at = reader.offset();
        match field(&mut reader)? {
            (1, Field::Number(number)) => {
                let number = u16::try_from(number)
                    .map_err(|_| bad(at, "hash", "it is no algorithm number"))?;
                bank = HashAlgorithm(number);
            }
            (2, Field::Bytes(mut entry)) => {
                let mut pair = (0_u32, &[][..]);
                while !entry.is_empty() {
                    match field(&mut entry)? {
                        (1, Field::Number(index)) => {
                            pair.0 = u32::try_from(index)
                                .map_err(|_| bad(at, "pcrs", "a PCR has no such number"))?;
                        }
                        (2, Field::Bytes(value)) => pair.1 = value.rest(),
                        _ => {}
                    }
                }
                if values.len() >= VALUES_MAX {
                    return Err(bad(at, "pcrs", "there are more than 256"));
                }
                values.push(pair);
            }
            _ => {}
        }
    }
    Ok((bank, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_with_another_number_of_values_is_refused() {
        let mut bytes = Vec::new();
        for _ in 0..2 {
            bytes.extend(1_u64.to_le_bytes());
            bytes.push(7);
        }
        bytes.extend(3_u64.to_le_bytes());
        let refusal = azure_sample(&bytes).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (BUNDLE, 18));
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_readers_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = azure_sample(&bytes);
            let _ = GoogleAttestation::parse(&bytes);
        }
    }
}
