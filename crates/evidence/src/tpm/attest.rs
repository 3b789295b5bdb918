//! `TPMS_ATTEST`: what a TPM signs (TCG TPM 2.0 Library, part 2 §10.12).
//!
//! Keeps the received bytes: the signature is over exactly them. Never believes the magic: it is
//! a field, and whether it is the right one is a check of verification.

use super::{ATTEST, HashAlgorithm, PcrSelection, PcrSet};
use crate::{Malformed, What, reader::Reader};

/// The magic of everything that a TPM made itself (`TPM_GENERATED_VALUE`).
pub const TPM_GENERATED_VALUE: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_QUOTE`.
pub const TAG_QUOTE: u16 = 0x8018;

/// Real quotes are under 180 bytes; sixteen banks and the longest names stay under 2 KiB.
pub const ATTEST_BYTES_MAX: usize = 2048;
/// Banks in one selection: there are eight hash algorithms.
const SELECTIONS_MAX: u32 = 16;

/// The TPM's clock (`TPMS_CLOCK_INFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds of powered time since the TPM was last cleared.
    pub clock: u64,
    /// How often the TPM was reset since it was last cleared.
    pub reset_count: u32,
    /// How often it was restarted or resumed since the last reset.
    pub restart_count: u32,
    /// Whether no greater clock value can have been shown before.
    pub safe: bool,
}

/// What the statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// PCR values.
    Quote {
        /// Banks and PCRs, in the order in which their values were hashed.
        selections: Vec<PcrSelection>,
        /// Hash of the values, by the hash of the signature scheme.
        pcr_digest: &'a [u8],
    },
    /// Another key of the same TPM.
    Certify {
        /// Its name.
        name: &'a [u8],
        /// Its qualified name.
        qualified_name: &'a [u8],
    },
    /// The making of a key in this TPM.
    Creation {
        /// Its name.
        name: &'a [u8],
        /// Hash of its creation data.
        creation_hash: &'a [u8],
    },
    /// Another statement, kept as received.
    Other(&'a [u8]),
}

/// A `TPMS_ATTEST`, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attest<'a> {
    /// The structure as received: the bytes that are signed.
    pub bytes: &'a [u8],
    /// Must be [`TPM_GENERATED_VALUE`]; whoever verifies checks it.
    pub magic: u32,
    /// The structure tag, [`TAG_QUOTE`] for quotes.
    pub kind: u16,
    /// Qualified name of the signing key.
    pub qualified_signer: &'a [u8],
    /// The caller's qualifying data: the nonce.
    pub extra_data: &'a [u8],
    /// Clock and counters.
    pub clock: ClockInfo,
    /// The TPM's firmware version; obfuscated for keys outside endorsement and platform.
    pub firmware_version: u64,
    /// What the statement is about.
    pub body: Body<'a>,
    /// Offset of `body` in the input.
    pub body_offset: usize,
}

/// The content of a TPM2B of at most `limit` bytes.
pub(super) fn sized<'a>(
    reader: &mut Reader<'a>,
    limit: usize,
    field: &'static str,
) -> Result<&'a [u8], Malformed> {
    let at = reader.offset();
    let length = usize::from(reader.u16_be()?);
    if length > limit {
        return Err(Malformed::invalid(
            reader.check(),
            at,
            field,
            "it is longer than the TPM allows",
        ));
    }
    reader.take(length)
}

impl<'a> Attest<'a> {
    // spec: tpm.attest.fields, tpm.attest.no-trailing
    /// Reads one structure; nothing may follow it.
    ///
    /// # Errors
    /// `tpm.attest`, with the offset: too long, too short, a length over its limit, a flag that is
    /// neither 0 nor 1, bytes behind the end. A wrong magic or type is *not* refused here.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > ATTEST_BYTES_MAX {
            let what = What::TooLong {
                limit: ATTEST_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(ATTEST, ATTEST_BYTES_MAX, what));
        }
        let mut reader = Reader::new(bytes, ATTEST);
        let magic = reader.u32_be()?;
        let kind = reader.u16_be()?;
        // A name is an algorithm number and a digest: at most 2 + 64 bytes.
        let qualified_signer = sized(&mut reader, 66, "qualifiedSigner")?;
        let extra_data = sized(&mut reader, 66, "extraData")?;
        let clock = ClockInfo {
            clock: reader.u64_be()?,
            reset_count: reader.u32_be()?,
            restart_count: reader.u32_be()?,
            safe: flag(&mut reader)?,
        };
        let firmware_version = reader.u64_be()?;
        let body_offset = reader.offset();
        let body = match kind {
            TAG_QUOTE => Body::Quote {
                selections: selections(&mut reader)?,
                pcr_digest: sized(&mut reader, 64, "pcrDigest")?,
            },
            0x8017 => Body::Certify {
                name: sized(&mut reader, 66, "name")?,
                qualified_name: sized(&mut reader, 66, "qualifiedName")?,
            },
            0x801a => Body::Creation {
                name: sized(&mut reader, 66, "objectName")?,
                creation_hash: sized(&mut reader, 64, "creationHash")?,
            },
            _ => Body::Other(reader.take(reader.left())?),
        };
        if !reader.is_empty() {
            return Err(Malformed::invalid(
                ATTEST,
                reader.offset(),
                "TPMS_ATTEST",
                "bytes follow its end",
            ));
        }
        Ok(Self {
            bytes,
            magic,
            kind,
            qualified_signer,
            extra_data,
            clock,
            firmware_version,
            body,
            body_offset,
        })
    }
}

// spec: tpm.attest.safe-flag
fn flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    let at = reader.offset();
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::invalid(
            ATTEST,
            at,
            "safe",
            "it is neither yes nor no",
        )),
    }
}

// spec: tpm.attest.selection
/// `TPML_PCR_SELECTION`: banks in order, each with a bitmap.
fn selections(reader: &mut Reader<'_>) -> Result<Vec<PcrSelection>, Malformed> {
    let at = reader.offset();
    let count = reader.u32_be()?;
    if count > SELECTIONS_MAX {
        return Err(Malformed::invalid(
            ATTEST,
            at,
            "pcrSelect",
            "it has more banks than there are algorithms",
        ));
    }
    let mut out = Vec::new();
    for _ in 0..count {
        let bank = HashAlgorithm(reader.u16_be()?);
        let at = reader.offset();
        let size = usize::from(reader.u8()?);
        if size > 4 {
            return Err(Malformed::invalid(
                ATTEST,
                at,
                "sizeofSelect",
                "it names more than 32 PCRs",
            ));
        }
        let mut bitmap = [0_u8; 4];
        for (to, from) in bitmap.iter_mut().zip(reader.take(size)?) {
            *to = *from;
        }
        out.push(PcrSelection {
            bank,
            pcrs: PcrSet(u32::from_le_bytes(bitmap)),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote() -> Vec<u8> {
        let mut out = hex::decode("ff54434780180022000b").unwrap();
        out.extend([7; 32]);
        out.extend(hex::decode("00026869").unwrap());
        out.extend(hex::decode("00000000000000050000000200000003010000000000000009").unwrap());
        out.extend(hex::decode("00000001000b03810000").unwrap());
        out.extend([0, 32]);
        out.extend([9; 32]);
        out
    }

    // spec: tpm.attest.fields
    #[test]
    fn a_quote_gives_its_nonce_counters_and_selection() {
        let bytes = quote();
        let attest = Attest::parse(&bytes).unwrap();
        assert_eq!(attest.extra_data, b"hi");
        assert_eq!((attest.clock.clock, attest.clock.reset_count), (5, 2));
        assert!(attest.clock.safe);
        let Body::Quote { selections, .. } = attest.body else {
            panic!("not a quote");
        };
        assert_eq!(selections.first().unwrap().to_string(), "sha256:0,7");
    }

    #[test]
    fn a_byte_behind_the_end_is_refused_at_its_place() {
        let mut bytes = quote();
        bytes.push(0);
        let refusal = Attest::parse(&bytes).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (ATTEST, bytes.len() - 1));
    }

    // spec: tpm.attest.selection
    #[test]
    fn a_selection_of_more_than_32_pcrs_is_refused() {
        let mut bytes = quote();
        let at = bytes.len() - 38;
        bytes[at] = 5;
        let refusal = Attest::parse(&bytes).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (ATTEST, at));
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = Attest::parse(&bytes);
        }

        // spec: tpm.attest.safe-flag
        #[test]
        fn no_change_of_one_byte_makes_the_reader_panic(at in 0_usize..120, value: u8) {
            let mut bytes = quote();
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = Attest::parse(&bytes);
        }
    }
}
