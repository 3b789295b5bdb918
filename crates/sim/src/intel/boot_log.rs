//! What a toy trust domain logs of its boot: a CCEL area in the form that OVMF leaves, the ACPI
//! table that points to it, and the registers that the boot ends with.
//!
//! Digests are of the data where they are in real logs, else made up from names. Never reads a log.

use aws_lc_rs::digest::{SHA384, digest};

use crate::uefi_write::{INITRD_TAG, LOAD_OPTIONS_TAG, image, length, tagged, variable};

/// OVMF reserves 64 KiB and erases it with ones; less shows the same.
const AREA_BYTES: usize = 8192;
/// Where the toy's area lies in memory.
const AREA_START: u64 = 0x7fbf_0000;
const SHA384_ID: u16 = 0x000c;

const NO_ACTION: u32 = 3;
const SEPARATOR: u32 = 4;
const EVENT_TAG: u32 = 6;
const VARIABLE_DRIVER_CONFIG: u32 = 0x8000_0001;
const BOOT_SERVICES_APPLICATION: u32 = 0x8000_0003;
const EFI_ACTION: u32 = 0x8000_0007;

type Digest = [u8; 48];

/// One record: RTMR, type, digest, data.
struct Record(u32, u32, Digest, Vec<u8>);

fn hash(parts: &[&[u8]]) -> Digest {
    let mut out = [0; 48];
    out.copy_from_slice(digest(&SHA384, &parts.concat()).as_ref());
    out
}

fn records() -> Vec<Record> {
    let whole = |rtmr, kind, data: Vec<u8>| Record(rtmr, kind, hash(&[&data]), data);
    let of = |rtmr, kind, thing: &str, data| Record(rtmr, kind, hash(&[thing.as_bytes()]), data);
    let action = |text: &str| whole(1, EFI_ACTION, text.as_bytes().to_vec());
    vec![
        whole(0, VARIABLE_DRIVER_CONFIG, variable("SecureBoot", &[1])),
        whole(0, VARIABLE_DRIVER_CONFIG, variable("PK", &[])),
        whole(0, SEPARATOR, vec![0; 4]),
        action("Calling EFI Application from Boot Option"),
        whole(1, SEPARATOR, vec![0; 4]),
        of(
            1,
            BOOT_SERVICES_APPLICATION,
            "the kernel",
            image("\\vmlinuz.efi"),
        ),
        of(
            2,
            EVENT_TAG,
            "quiet",
            tagged(LOAD_OPTIONS_TAG, "LOADED_IMAGE::LoadOptions"),
        ),
        of(
            2,
            EVENT_TAG,
            "the initrd",
            tagged(INITRD_TAG, "Linux initrd"),
        ),
        action("Exit Boot Services Invocation"),
        action("Exit Boot Services Returned with Success"),
    ]
}

/// `old` extended by this digest.
#[must_use]
pub fn extended(old: &Digest, by: &Digest) -> Digest {
    hash(&[old, by])
}

/// `old` extended by the mark that says that the boot is over.
#[must_use]
pub fn closed(old: &Digest) -> Digest {
    extended(old, &hash(&[b"zeuge:closed"]))
}

/// RTMR0 to RTMR3 after this boot.
pub(super) fn registers() -> [Digest; 4] {
    let mut out = [[0; 48]; 4];
    for Record(rtmr, _, digest, _) in records() {
        let register = &mut out[rtmr as usize];
        *register = extended(register, &digest);
    }
    out
}

/// The area that the table points to, padded as erased memory is. `false_record` is the index of a
/// record whose digest is of something else than what was measured.
pub(super) fn area(false_record: Option<usize>) -> Vec<u8> {
    let mut out = Vec::new();
    let put = |out: &mut Vec<u8>, value: u32| out.extend(value.to_le_bytes());
    // The header is written in the form of TPM 1.2, with a digest of zeros.
    put(&mut out, 1);
    put(&mut out, NO_ACTION);
    out.extend([0; 20]);
    put(&mut out, 33);
    out.extend(b"Spec ID Event03\0");
    // Class 0, version 2.0 errata 0, 64-bit; one algorithm; no vendor's bytes.
    out.extend([0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0]);
    out.extend(SHA384_ID.to_le_bytes());
    out.extend([48, 0, 0]);
    for (index, Record(rtmr, kind, digest, data)) in records().into_iter().enumerate() {
        let digest = if false_record == Some(index) {
            hash(&[b"something else"])
        } else {
            digest
        };
        put(&mut out, rtmr + 1);
        put(&mut out, kind);
        put(&mut out, 1);
        out.extend(SHA384_ID.to_le_bytes());
        out.extend(digest);
        out.extend(length(&data));
        out.extend(data);
    }
    out.resize(AREA_BYTES.max(out.len()), 0xff);
    out
}

/// The ACPI table: header, type 2 (TDX), length and place of the area.
#[must_use]
pub fn table() -> Vec<u8> {
    let mut out = b"CCEL".to_vec();
    out.extend(56_u32.to_le_bytes());
    // Revision, and a checksum that is set last.
    out.extend([1, 0]);
    out.extend(b"ZEUGE TOYCCEL ");
    out.extend(1_u32.to_le_bytes());
    out.extend(b"TOY ");
    out.extend(1_u32.to_le_bytes());
    out.extend([2, 0, 0, 0]);
    out.extend((AREA_BYTES as u64).to_le_bytes());
    out.extend(AREA_START.to_le_bytes());
    let sum = out.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    out[9] = sum.wrapping_neg();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_shape_of_acpi() {
        let table = table();
        assert_eq!(table.len(), 56);
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!((sum, table[36]), (0, 2));
    }

    #[test]
    fn a_boot_leaves_the_last_register_to_what_runs_later() {
        let [firmware, loader, system, later] = registers();
        assert!(
            [firmware, loader, system]
                .iter()
                .all(|value| *value != [0; 48])
        );
        assert_eq!(later, [0; 48]);
        assert_ne!(closed(&later), later);
    }
}
