//! UEFI structures inside records and Secure Boot's lists: variables, signature lists, updates,
//! partition tables, load options.
//!
//! Reads shape only; whether the bytes were measured is decided in [`super::facts`].

use super::SIGNATURE_LIST;
use crate::{Malformed, What, reader::Reader};

/// `EFI_GLOBAL_VARIABLE`.
pub const GLOBAL: Guid = Guid([
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
]);
/// Type of a list of X.509 certificates.
pub const CERT_X509: Guid = Guid([
    0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72,
]);
/// Type of a list of SHA-256 hashes of images.
pub const CERT_SHA256: Guid = Guid([
    0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28,
]);
const CERT_PKCS7: Guid = Guid([
    0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7,
]);

/// A dbx update has 15 KiB; sixty times that is hostile.
pub const SIGNATURE_LIST_BYTES_MAX: usize = 1024 * 1024;
/// The largest dbx has under 1000 entries.
const SIGNATURES_MAX: usize = 16_384;
/// Partitions in one table: the standard's own table has 128.
const PARTITIONS_MAX: u64 = 256;

/// A GUID in the byte order of UEFI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

impl std::fmt::Display for Guid {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        let first = u32::from_le_bytes([a, b, c, d]);
        let second = u16::from_le_bytes([e, f]);
        let third = u16::from_le_bytes([g, h]);
        let tail = hex::encode(rest);
        let (fourth, fifth) = tail.split_at_checked(4).unwrap_or_default();
        write!(out, "{first:08x}-{second:04x}-{third:04x}-{fourth}-{fifth}")
    }
}

/// Text of UTF-16 without its final NUL; what is not UTF-16 becomes the replacement character.
#[must_use]
pub fn utf16(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .filter_map(|pair| pair.try_into().ok().map(u16::from_le_bytes))
        .collect();
    let text = String::from_utf16_lossy(&units);
    text.trim_end_matches('\0').to_owned()
}

/// `UEFI_VARIABLE_DATA` (Firmware Profile §10.4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<'a> {
    /// The variable's namespace.
    pub guid: Guid,
    /// Its name.
    pub name: String,
    /// Its content.
    pub data: &'a [u8],
    /// Bytes behind the content: old shims leave six.
    pub surplus: &'a [u8],
}

impl<'a> Variable<'a> {
    // spec: tpm.log.variable
    /// Reads the data of a record; `None` when the lengths do not fit.
    #[must_use]
    pub fn read(data: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(data, super::EVENT);
        let guid = Guid(reader.array().ok()?);
        let characters = usize::try_from(reader.u64_le().ok()?).ok()?;
        let length = usize::try_from(reader.u64_le().ok()?).ok()?;
        let name = utf16(reader.take(characters.checked_mul(2)?).ok()?);
        let data = reader.take(length).ok()?;
        Some(Self {
            guid,
            name,
            data,
            surplus: reader.rest(),
        })
    }
}

/// One entry of a signature list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureEntry<'a> {
    /// The type of its list: [`CERT_X509`], [`CERT_SHA256`], or another.
    pub kind: Guid,
    /// Who put it there.
    pub owner: Guid,
    /// A certificate in DER, or a hash.
    pub data: &'a [u8],
}

// spec: tpm.log.signature-list
/// Reads `EFI_SIGNATURE_LIST`s back to back (UEFI 2.10 §32.4.1): the content of PK, KEK, db, dbx.
/// `base` is where they begin in the whole input.
///
/// # Errors
/// `secureboot.signature-list`: over the limits, or sizes that do not fit each other.
pub fn signature_lists(bytes: &[u8], base: usize) -> Result<Vec<SignatureEntry<'_>>, Malformed> {
    if bytes.len() > SIGNATURE_LIST_BYTES_MAX {
        let what = What::TooLong {
            limit: SIGNATURE_LIST_BYTES_MAX,
            found: bytes.len(),
        };
        return Err(Malformed::new(SIGNATURE_LIST, base, what));
    }
    let mut reader = Reader::at_offset(bytes, base, SIGNATURE_LIST);
    let mut out = Vec::new();
    while !reader.is_empty() {
        let at = reader.offset();
        let bad = |because| Malformed::invalid(SIGNATURE_LIST, at, "EFI_SIGNATURE_LIST", because);
        let kind = Guid(reader.array()?);
        let mut sizes = [0_usize; 3];
        for size in &mut sizes {
            *size = usize::try_from(reader.u32_le()?).unwrap_or(usize::MAX);
        }
        let [list, header, signature] = sizes;
        let body = list
            .checked_sub(28)
            .and_then(|body| body.checked_sub(header))
            .ok_or_else(|| bad("it is shorter than its header"))?;
        if signature <= 16 || body.checked_rem(signature) != Some(0) {
            return Err(bad("its entries do not fill it"));
        }
        reader.take(header)?;
        let mut entries = reader.part(body)?;
        while !entries.is_empty() {
            if out.len() >= SIGNATURES_MAX {
                return Err(bad("there are more than 16384 entries"));
            }
            let mut entry = entries.part(signature)?;
            out.push(SignatureEntry {
                kind,
                owner: Guid(entry.array()?),
                data: entry.rest(),
            });
        }
    }
    Ok(out)
}

/// An authenticated update of a Secure Boot variable (`EFI_VARIABLE_AUTHENTICATION_2`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedUpdate<'a> {
    /// When, as `EFI_TIME`: the signed bytes as received.
    pub time: &'a [u8],
    /// The PKCS #7 SignedData; not checked here.
    pub signature: &'a [u8],
    /// The new entries.
    pub entries: Vec<SignatureEntry<'a>>,
}

impl<'a> SignedUpdate<'a> {
    /// Reads one update file.
    ///
    /// # Errors
    /// `secureboot.signature-list` for another certificate type or revision, or broken sizes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes, SIGNATURE_LIST);
        let time = reader.take(16)?;
        let length = usize::try_from(reader.u32_le()?).unwrap_or(usize::MAX);
        let revision = reader.u16_le()?;
        let kind = reader.u16_le()?;
        let guid = Guid(reader.array()?);
        if (revision, kind, guid) != (0x0200, 0x0ef1, CERT_PKCS7) {
            return Err(Malformed::invalid(
                SIGNATURE_LIST,
                16,
                "WIN_CERTIFICATE_UEFI_GUID",
                "only PKCS #7 signatures of revision 2.0 occur here",
            ));
        }
        let signature = length.checked_sub(24).ok_or_else(|| {
            Malformed::invalid(
                SIGNATURE_LIST,
                16,
                "dwLength",
                "it is shorter than its header",
            )
        })?;
        let signature = reader.take(signature)?;
        let entries = signature_lists(reader.rest(), reader.offset())?;
        Ok(Self {
            time,
            signature,
            entries,
        })
    }
}

/// A partition table as measured (`UEFI_GPT_DATA`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTable {
    /// The disk.
    pub disk: Guid,
    /// Type, own GUID and name of each partition in use.
    pub partitions: Vec<(Guid, Guid, String)>,
}

impl PartitionTable {
    /// Reads the data of a record; `None` when it has another shape.
    #[must_use]
    pub fn read(data: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(data, super::EVENT);
        let header = reader.take(92).ok()?;
        if !header.starts_with(b"EFI PART") {
            return None;
        }
        let disk = Guid(header.get(56..72)?.try_into().ok()?);
        let count = reader.u64_le().ok()?;
        if count > PARTITIONS_MAX {
            return None;
        }
        let mut partitions = Vec::new();
        for _ in 0..count {
            let mut entry = reader.part(128).ok()?;
            let kind = Guid(entry.array().ok()?);
            let own = Guid(entry.array().ok()?);
            entry.take(24).ok()?;
            partitions.push((kind, own, utf16(entry.rest())));
        }
        Some(Self { disk, partitions })
    }
}

/// The file path inside a device path, as far as it has one (UEFI 2.10 §10.3.5.4).
#[must_use]
pub fn file_path(device_path: &[u8]) -> Option<String> {
    let mut reader = Reader::new(device_path, super::EVENT);
    let mut out = String::new();
    loop {
        let kind = reader.u8().ok()?;
        let subtype = reader.u8().ok()?;
        let length = usize::from(reader.u16_le().ok()?).checked_sub(4)?;
        let body = reader.take(length).ok()?;
        match (kind, subtype) {
            (0x7f, 0xff) => return (!out.is_empty()).then_some(out),
            (4, 4) => out.push_str(&utf16(body)),
            _ => {}
        }
    }
}

/// The file path in an `UEFI_IMAGE_LOAD_EVENT`; the digest of such a record is over the image,
/// never over this path.
#[must_use]
pub fn image_path(data: &[u8]) -> Option<String> {
    let mut reader = Reader::new(data, super::EVENT);
    reader.take(24).ok()?;
    let length = usize::try_from(reader.u64_le().ok()?).ok()?;
    file_path(reader.take(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_prints_in_its_usual_form() {
        assert_eq!(GLOBAL.to_string(), "8be4df61-93ca-11d2-aa0d-00e098032b8c");
        assert_eq!(
            CERT_SHA256.to_string(),
            "c1c41626-504c-4092-aca9-41f936934328"
        );
    }

    #[test]
    fn a_list_whose_entries_do_not_fill_it_is_refused() {
        let mut list = CERT_SHA256.0.to_vec();
        for size in [28 + 47_u32, 0, 48] {
            list.extend(size.to_le_bytes());
        }
        list.extend([0; 47]);
        let refusal = signature_lists(&list, 5).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (SIGNATURE_LIST, 5));
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_readers_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = signature_lists(&bytes, 0);
            let _ = SignedUpdate::parse(&bytes);
            let _ = PartitionTable::read(&bytes);
            let _ = file_path(&bytes);
            let _ = image_path(&bytes);
            let _ = Variable::read(&bytes);
        }
    }
}
