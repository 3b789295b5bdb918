//! Google's launch endorsements: which measurements the firmware of its confidential machines has,
//! in Google's words (`VMLaunchEndorsement` of the public `gce-tcb-verifier`).
//!
//! A message of two byte strings: what is signed, itself a message (`VMGoldenMeasurement`), and the
//! signature. SEV-SNP hosts hand it out in the certificate table under the GUID
//! `9f4116cd-c503-4f5a-8f6f-fb68882f4ce2`; Google also publishes it under the measurement's name.
//! Believes nothing: neither the signature nor that a listed value is anybody's.

mod annotate;

use std::collections::BTreeMap;

pub use annotate::annotate;

use crate::{
    Malformed, UnixTime, What, der,
    protobuf::{Field, Value, field},
    reader::Reader,
};

/// An endorsement that is broken.
pub const ENDORSEMENT: &str = "google.endorsement";
/// The ids of this file.
pub const CHECKS: &[&str] = &[ENDORSEMENT];

/// The longest endorsement in bytes. A real one has some 20 KiB: a measurement for each number of
/// virtual CPUs and two certificates.
pub const ENDORSEMENT_BYTES_MAX: usize = 256 * 1024;
/// Measurements of one kind: Google lists some 200 shapes; more is hostile.
const MEASUREMENTS_MAX: usize = 2048;
/// Certificates above the signer's.
const CERTIFICATES_MAX: usize = 4;
/// A measurement, or the digest of the firmware.
const DIGEST_BYTES: usize = 48;

/// One endorsement, read and not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchEndorsement<'a> {
    /// The bytes that are signed, as received.
    pub signed: &'a [u8],
    /// RSASSA-PSS with SHA-256 over them.
    pub signature: &'a [u8],
    /// What they say.
    pub golden: Golden<'a>,
}

/// What Google says about one build of its firmware.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Golden<'a> {
    /// When it was endorsed.
    pub timestamp: UnixTime,
    /// The change from which it was built, by number; zero where a commit is named.
    pub change: u64,
    /// The commit from which it was built.
    pub commit: &'a [u8],
    /// The certificate of the signing key in DER.
    pub certificate: &'a [u8],
    /// SHA-384 of the firmware's file.
    pub digest: &'a [u8],
    /// The certificates above it, from the root on, in DER; may be empty.
    pub bundle: Vec<Vec<u8>>,
    /// Its measurements under SEV-SNP.
    pub snp: Option<SnpGolden<'a>>,
    /// Its measurements under TDX.
    pub tdx: Option<TdxGolden<'a>>,
}

/// Its measurements under SEV-SNP.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnpGolden<'a> {
    /// Google's security version of this firmware.
    pub svn: u32,
    /// MEASUREMENT, by the number of virtual CPUs.
    pub measurements: BTreeMap<u32, &'a [u8; DIGEST_BYTES]>,
    /// FAMILY_ID of Google's firmware; may be empty.
    pub family_id: &'a [u8],
    /// IMAGE_ID of this release; may be empty.
    pub image_id: &'a [u8],
    /// The guest policy to expect.
    pub policy: u64,
}

/// Its measurements under TDX.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TdxGolden<'a> {
    /// Google's security version of this firmware.
    pub svn: u32,
    /// MRTD of each shape.
    pub measurements: Vec<TdxMeasurement<'a>>,
}

/// One shape of a trust domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxMeasurement<'a> {
    /// Memory in GiB; zero where the measurement does not depend on it.
    pub ram_gib: u32,
    /// Whether the firmware accepts all memory before the system starts.
    pub early_accept: bool,
    /// The measurement.
    pub mr_td: &'a [u8; DIGEST_BYTES],
}

/// Whether the bytes begin like the message, for who sorts files: its first field is a message
/// whose first field is an instant.
#[must_use]
pub fn looks_like(bytes: &[u8]) -> bool {
    let inside = || -> Option<Reader<'_>> {
        let mut outer = Reader::new(bytes, ENDORSEMENT);
        let first = field(&mut outer).ok()??;
        match (first.number, first.value) {
            (1, Value::Bytes(inside)) => Some(inside),
            _ => None,
        }
    };
    inside().is_some_and(|inside| {
        // A timestamp of under 16 bytes, which begins with its seconds.
        matches!(inside.rest(), [0x0a, 2..=15, 0x08, ..])
    })
}

impl<'a> LaunchEndorsement<'a> {
    /// Reads one message.
    ///
    /// # Errors
    /// `google.endorsement`, with the offset: over [`ENDORSEMENT_BYTES_MAX`], a broken encoding, a
    /// field of another type or twice, a digest of another length, more entries than the limits,
    /// or a message without its signed part, signature or certificate. Fields that this program
    /// does not know are skipped: the signature covers them.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > ENDORSEMENT_BYTES_MAX {
            let what = What::TooLong {
                limit: ENDORSEMENT_BYTES_MAX,
                found: bytes.len(),
            };
            return Err(Malformed::new(ENDORSEMENT, ENDORSEMENT_BYTES_MAX, what));
        }
        let mut once = Once::default();
        let (mut signed, mut signature) = (None, None);
        let mut outer = Reader::new(bytes, ENDORSEMENT);
        while let Some(field) = once.next(&mut outer)? {
            match field.number {
                1 => signed = Some(inside(field)?),
                2 => signature = Some(inside(field)?.rest()),
                _ => {}
            }
        }
        let missing = |what| Malformed::invalid(ENDORSEMENT, 0, what, "it is missing");
        let signed = signed.ok_or_else(|| missing("serialized_uefi_golden"))?;
        let signature = signature.ok_or_else(|| missing("signature"))?;
        let golden = Golden::read(signed.clone())?;
        if golden.certificate.is_empty() {
            return Err(missing("cert"));
        }
        Ok(Self {
            signed: signed.rest(),
            signature,
            golden,
        })
    }
}

impl<'a> Golden<'a> {
    fn read(mut at: Reader<'a>) -> Result<Self, Malformed> {
        let (mut once, mut out) = (Once::default(), Self::default());
        while let Some(field) = once.next(&mut at)? {
            match field.number {
                1 => out.timestamp = timestamp(inside(field)?)?,
                2 => out.change = number(&field)?,
                3 => out.commit = inside(field)?.rest(),
                4 => out.certificate = inside(field)?.rest(),
                5 => {
                    let part = inside(field)?;
                    out.digest = digest(&part)?.as_slice();
                }
                6 => {
                    let part = inside(field)?;
                    out.bundle = der::pem_blocks(part.rest(), &["CERTIFICATE"], CERTIFICATES_MAX);
                }
                7 => out.snp = Some(SnpGolden::read(inside(field)?)?),
                8 => out.tdx = Some(TdxGolden::read(inside(field)?)?),
                _ => {}
            }
        }
        Ok(out)
    }
}

impl<'a> SnpGolden<'a> {
    fn read(mut at: Reader<'a>) -> Result<Self, Malformed> {
        let mut once = Once::but(2);
        let mut out = Self::default();
        while let Some(field) = once.next(&mut at)? {
            let place = field.at;
            match field.number {
                1 => out.svn = narrow(&field)?,
                2 => {
                    let (shape, value) = entry(inside(field)?)?;
                    if out.measurements.len() >= MEASUREMENTS_MAX {
                        return Err(bad(place, "there are more measurements than shapes"));
                    }
                    if out.measurements.insert(shape, value).is_some() {
                        return Err(bad(place, "a number of virtual CPUs stands twice"));
                    }
                }
                3 => out.family_id = inside(field)?.rest(),
                4 => out.image_id = inside(field)?.rest(),
                5 => out.policy = number(&field)?,
                _ => {}
            }
        }
        Ok(out)
    }
}

/// One entry of the map from a number of virtual CPUs to a measurement.
fn entry(mut at: Reader<'_>) -> Result<(u32, &[u8; DIGEST_BYTES]), Malformed> {
    let (place, mut once) = (at.offset(), Once::default());
    let (mut shape, mut value) = (0, None);
    while let Some(field) = once.next(&mut at)? {
        match field.number {
            1 => shape = narrow(&field)?,
            2 => value = Some(digest(&inside(field)?)?),
            _ => return Err(bad(field.at, "a map has keys and values only")),
        }
    }
    let value = value.ok_or_else(|| bad(place, "a measurement is missing"))?;
    Ok((shape, value))
}

impl<'a> TdxGolden<'a> {
    fn read(mut at: Reader<'a>) -> Result<Self, Malformed> {
        let (mut once, mut out) = (Once::but(2), Self::default());
        while let Some(field) = once.next(&mut at)? {
            match field.number {
                1 => out.svn = narrow(&field)?,
                2 => {
                    if out.measurements.len() >= MEASUREMENTS_MAX {
                        return Err(bad(field.at, "there are more measurements than shapes"));
                    }
                    out.measurements.push(TdxMeasurement::read(inside(field)?)?);
                }
                _ => {}
            }
        }
        Ok(out)
    }
}

impl<'a> TdxMeasurement<'a> {
    fn read(mut at: Reader<'a>) -> Result<Self, Malformed> {
        let (place, mut once) = (at.offset(), Once::default());
        let (mut ram_gib, mut early_accept, mut mr_td) = (0, false, None);
        while let Some(field) = once.next(&mut at)? {
            match field.number {
                1 => ram_gib = narrow(&field)?,
                2 => early_accept = number(&field)? != 0,
                3 => mr_td = Some(digest(&inside(field)?)?),
                _ => {}
            }
        }
        Ok(Self {
            ram_gib,
            early_accept,
            mr_td: mr_td.ok_or_else(|| bad(place, "a measurement is missing"))?,
        })
    }
}

/// Takes fields one after the other, and each number once but for the repeated one.
#[derive(Default)]
struct Once {
    seen: u64,
    repeated: Option<u64>,
}

impl Once {
    const fn but(repeated: u64) -> Self {
        Self {
            seen: 0,
            repeated: Some(repeated),
        }
    }

    fn next<'a>(&mut self, at: &mut Reader<'a>) -> Result<Option<Field<'a>>, Malformed> {
        let Some(field) = field(at)? else {
            return Ok(None);
        };
        // Fields over 63 are nobody's yet, and skipped.
        let bit = u32::try_from(field.number)
            .ok()
            .and_then(|number| 1_u64.checked_shl(number))
            .unwrap_or_default();
        if self.repeated != Some(field.number) && self.seen & bit != 0 {
            return Err(bad(field.at, "it occurs twice"));
        }
        self.seen |= bit;
        Ok(Some(field))
    }
}

fn bad(at: usize, because: &'static str) -> Malformed {
    Malformed::invalid(ENDORSEMENT, at, "field", because)
}

fn inside(field: Field<'_>) -> Result<Reader<'_>, Malformed> {
    match field.value {
        Value::Bytes(part) => Ok(part),
        Value::Number(_) => Err(bad(field.at, "it is no byte string")),
    }
}

fn number(field: &Field<'_>) -> Result<u64, Malformed> {
    match field.value {
        Value::Number(number) => Ok(number),
        Value::Bytes(_) => Err(bad(field.at, "it is no number")),
    }
}

fn narrow(field: &Field<'_>) -> Result<u32, Malformed> {
    u32::try_from(number(field)?).map_err(|_| bad(field.at, "it is wider than 32 bits"))
}

fn digest<'a>(part: &Reader<'a>) -> Result<&'a [u8; DIGEST_BYTES], Malformed> {
    let wrong = || bad(part.offset(), "it is not of 48 bytes");
    part.rest().try_into().map_err(|_| wrong())
}

/// Seconds since 1970, which may be negative; what is below a second is left out.
fn timestamp(mut at: Reader<'_>) -> Result<UnixTime, Malformed> {
    let (mut once, mut seconds) = (Once::default(), 0);
    while let Some(field) = once.next(&mut at)? {
        if field.number == 1 {
            seconds = i64::from_le_bytes(number(&field)?.to_le_bytes());
        }
    }
    Ok(UnixTime(seconds))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn varint(out: &mut Vec<u8>, mut number: u64) {
        while number >= 0x80 {
            out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        out.push(u8::try_from(number).unwrap());
    }

    fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
        varint(out, field << 3);
        varint(out, number);
    }

    fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
        varint(out, field << 3 | 2);
        varint(out, u64::try_from(bytes.len()).unwrap());
        out.extend(bytes);
    }

    fn message(parts: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        parts(&mut out);
        out
    }

    fn measurement(shape: u64, byte: u8) -> Vec<u8> {
        message(|out| {
            put_number(out, 1, shape);
            put_bytes(out, 2, &[byte; 48]);
        })
    }

    fn golden() -> Vec<u8> {
        message(|out| {
            put_bytes(out, 1, &message(|out| put_number(out, 1, 1_700_000_000)));
            put_number(out, 2, 77);
            put_bytes(out, 4, b"certificate");
            put_bytes(out, 5, &[9; 48]);
            let snp = message(|out| {
                put_number(out, 1, 3);
                put_bytes(out, 2, &measurement(2, 0x22));
                put_bytes(out, 2, &measurement(4, 0x44));
                put_number(out, 5, 0x7_0000);
            });
            put_bytes(out, 7, &snp);
            let tdx = message(|out| {
                put_number(out, 1, 5);
                let shape = message(|out| {
                    put_number(out, 1, 16);
                    put_number(out, 2, 1);
                    put_bytes(out, 3, &[0x77; 48]);
                });
                put_bytes(out, 2, &shape);
            });
            put_bytes(out, 8, &tdx);
        })
    }

    /// A whole endorsement that nobody signed.
    pub(crate) fn sample() -> Vec<u8> {
        with(&golden())
    }

    fn with(golden: &[u8]) -> Vec<u8> {
        message(|out| {
            put_bytes(out, 1, golden);
            put_bytes(out, 2, b"signature");
        })
    }

    #[test]
    fn an_endorsement_gives_its_parts() {
        let bytes = sample();
        assert!(looks_like(&bytes));
        let read = LaunchEndorsement::parse(&bytes).unwrap();
        assert_eq!(read.signed, golden());
        assert_eq!(read.signature, b"signature");
        let golden = read.golden;
        assert_eq!(golden.timestamp, UnixTime(1_700_000_000));
        assert_eq!(
            (golden.change, golden.certificate),
            (77, &b"certificate"[..])
        );
        let snp = golden.snp.unwrap();
        assert_eq!((snp.svn, snp.policy), (3, 0x7_0000));
        assert_eq!(*snp.measurements[&4], [0x44; 48]);
        let tdx = golden.tdx.unwrap();
        assert_eq!(tdx.svn, 5);
        let shape = &tdx.measurements[0];
        assert_eq!((shape.ram_gib, shape.early_accept), (16, true));
        assert_eq!(*shape.mr_td, [0x77; 48]);
    }

    #[test]
    fn what_is_missing_twice_or_of_another_length_is_refused_by_place() {
        let twice = message(|out| {
            put_number(out, 2, 1);
            put_number(out, 2, 1);
            put_bytes(out, 4, b"certificate");
        });
        let wide = message(|out| put_bytes(out, 7, &message(|out| put_number(out, 1, 1 << 32))));
        let short = message(|out| put_bytes(out, 5, &[9; 47]));
        let doubled = message(|out| {
            let snp = message(|out| {
                put_bytes(out, 2, &measurement(2, 1));
                put_bytes(out, 2, &measurement(2, 2));
            });
            put_bytes(out, 7, &snp);
        });
        let bare = message(|out| put_bytes(out, 7, &message(|out| put_bytes(out, 2, &[8, 1]))));
        for (golden, offset, because) in [
            (twice, 4, "it occurs twice"),
            (wide, 4, "it is wider than 32 bits"),
            (short, 4, "it is not of 48 bytes"),
            (doubled, 58, "a number of virtual CPUs stands twice"),
            (bare, 6, "a measurement is missing"),
            (
                message(|out| put_number(out, 7, 1)),
                2,
                "it is no byte string",
            ),
            (message(|out| put_bytes(out, 2, &[])), 2, "it is no number"),
            (Vec::new(), 0, "it is missing"),
        ] {
            let bytes = with(&golden);
            let refusal = LaunchEndorsement::parse(&bytes).unwrap_err();
            assert_eq!((refusal.check, refusal.offset), (ENDORSEMENT, offset));
            assert!(refusal.to_string().contains(because), "{refusal}");
        }
        assert_eq!(LaunchEndorsement::parse(&[]).unwrap_err().offset, 0);
        let long = vec![0; ENDORSEMENT_BYTES_MAX + 1];
        let refusal = LaunchEndorsement::parse(&long).unwrap_err();
        assert_eq!(refusal.offset, ENDORSEMENT_BYTES_MAX);
    }

    #[test]
    fn fields_of_tomorrow_are_skipped() {
        let later = message(|out| {
            put_bytes(out, 4, b"certificate");
            put_bytes(out, 99, b"new");
            put_bytes(out, 99, b"new");
        });
        assert!(LaunchEndorsement::parse(&with(&later)).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_reader_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            at in 0_usize..320,
            byte in proptest::num::u8::ANY,
        ) {
            let _ = LaunchEndorsement::parse(&bytes);
            let mut whole = sample();
            if let Some(target) = whole.get_mut(at) {
                *target = byte;
            }
            let _ = LaunchEndorsement::parse(&whole);
        }
    }
}
