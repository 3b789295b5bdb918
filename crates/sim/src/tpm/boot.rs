//! A plausible boot of a PC with UEFI, shim, GRUB and Linux, as records of a log and as what the
//! TPM was told; and the IMA list of the system that came up.
//!
//! Digests are made up from the names of things, so that a test can know them. Never reads a log.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::TpmLie as Lie;
use crate::uefi_write::{INITRD_TAG, LOAD_OPTIONS_TAG, image, length, tagged, utf16, variable};

/// Type of a list of SHA-256 hashes.
const CERT_SHA256: [u8; 16] = [
    0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28,
];
/// The kernel's command line on an honest machine.
pub const COMMAND_LINE: &str = "BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet";

/// One record.
pub(super) struct Record {
    pub(super) pcr: u32,
    pub(super) kind: u32,
    pub(super) digest: [u8; 32],
    pub(super) data: Vec<u8>,
}

/// The digest of a thing of this name.
#[must_use]
pub fn digest_of(name: &str) -> [u8; 32] {
    hash(name.as_bytes())
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// A signature list with one hash; `fits` is whether its entries fill it.
fn signature_list(fits: bool) -> Vec<u8> {
    let mut out = CERT_SHA256.to_vec();
    let size = if fits { 28 + 48_u32 } else { 28 + 47 };
    for number in [size, 0, 48] {
        out.extend(number.to_le_bytes());
    }
    out.extend(vec![0x5a; size as usize - 28]);
    out
}

/// A story of records.
struct Story(Vec<Record>);

impl Story {
    /// A record whose digest covers its data.
    fn whole(&mut self, pcr: u32, kind: u32, data: &[u8]) {
        self.told(pcr, kind, hash(data), data);
    }

    /// A record whose digest is of something else.
    fn told(&mut self, pcr: u32, kind: u32, digest: [u8; 32], data: &[u8]) {
        self.0.push(Record {
            pcr,
            kind,
            digest,
            data: data.to_vec(),
        });
    }
}

const VARIABLE: u32 = 0x8000_0001;
const APPLICATION: u32 = 0x8000_0003;
const DRIVER: u32 = 0x8000_0004;
const ACTION: u32 = 0x8000_0007;
const AUTHORITY: u32 = 0x8000_00e0;
const IPL: u32 = 0x0d;

/// What the machine did, in order, without the header.
pub(super) fn records(lie: Option<Lie>) -> Vec<Record> {
    let mut story = Story(Vec::new());
    firmware(lie, &mut story);
    loaders(lie, &mut story);
    kernel(lie, &mut story);
    story.0
}

/// `name`, or something else in its place where this lie is told.
fn unless(lie: Option<Lie>, told: Lie, name: &str) -> [u8; 32] {
    if lie == Some(told) {
        digest_of("something else")
    } else {
        digest_of(name)
    }
}

fn firmware(lie: Option<Lie>, story: &mut Story) {
    story.whole(0, 3, b"StartupLocality\0\x03");
    story.whole(0, 8, &utf16("toy firmware 1.0\0"));
    story.told(0, 0x8000_0008, digest_of("firmware volume"), &[0; 16]);
    story.told(
        1,
        0x8000_0009,
        unless(lie, Lie::PolicyPcr, "platform configuration"),
        &[0; 8],
    );
    let rom = unless(lie, Lie::PolicyBootEvent, "option rom");
    story.told(2, DRIVER, rom, &image("\\rom.efi"));
    let on = u8::from(lie != Some(Lie::PolicySecureBoot));
    story.whole(7, VARIABLE, &variable("SecureBoot", &[on]));
    for name in ["PK", "KEK"] {
        story.whole(7, VARIABLE, &variable(name, &signature_list(true)));
    }
    let db = signature_list(lie != Some(Lie::SignatureList));
    story.whole(7, VARIABLE, &variable("db", &db));
    story.whole(7, VARIABLE, &variable("dbx", &signature_list(true)));
    story.whole(4, ACTION, b"Calling EFI Application from Boot Option");
    for pcr in 0..=7 {
        story.whole(pcr, 4, &[0; 4]);
    }
}

fn loaders(lie: Option<Lie>, story: &mut Story) {
    story.whole(7, AUTHORITY, &variable("db", &[0x5a; 48]));
    let shim = unless(lie, Lie::PolicyBootImage, "shim");
    story.told(4, APPLICATION, shim, &image("\\EFI\\toy\\shimx64.efi"));
    let level = if lie == Some(Lie::PolicySbat) {
        "sbat,1,2021030218\n"
    } else {
        "sbat,1,2024040900\nshim,4\ngrub,4\n"
    };
    story.whole(7, AUTHORITY, &variable("SbatLevel", level.as_bytes()));
    let list = unless(lie, Lie::PolicyMok, "MokList");
    story.told(14, IPL, list, b"MokList\0");
    story.told(14, IPL, digest_of("MokListX"), b"MokListX\0");
    story.told(
        4,
        APPLICATION,
        digest_of("grub"),
        &image("\\EFI\\toy\\grubx64.efi"),
    );
    story.told(
        8,
        IPL,
        hash(b"linux /vmlinuz"),
        b"grub_cmd: linux /vmlinuz\0",
    );
    let kernel = unless(lie, Lie::PolicyBootFile, "vmlinuz");
    story.told(9, IPL, kernel, b"/vmlinuz\0");
}

fn kernel(lie: Option<Lie>, story: &mut Story) {
    let line = if lie == Some(Lie::PolicyCommandLine) {
        "BOOT_IMAGE=/vmlinuz root=/dev/vda1 rw init=/bin/sh"
    } else {
        COMMAND_LINE
    };
    let data = format!("kernel_cmdline: {line}\0");
    story.told(8, IPL, hash(line.as_bytes()), data.as_bytes());
    story.told(4, APPLICATION, digest_of("kernel"), &image("\\vmlinuz"));
    // systemd-stub: the name with its end, then the content.
    for name in [".linux", ".osrel"] {
        let label = utf16(&format!("{name}\0"));
        story.told(11, IPL, hash(format!("{name}\0").as_bytes()), &label);
        let content = match name {
            ".osrel" => unless(lie, Lie::PolicyStubSection, name),
            _ => digest_of(name),
        };
        story.told(11, IPL, content, &label);
    }
    let initrd = unless(lie, Lie::PolicyInitrd, "initrd");
    story.told(9, 6, initrd, &tagged(INITRD_TAG, "Linux initrd\0"));
    let options = hash(&utf16(&format!("{line}\0")));
    story.told(
        9,
        6,
        options,
        &tagged(LOAD_OPTIONS_TAG, "LOADED_IMAGE::LoadOptions\0"),
    );
    story.whole(5, ACTION, b"Exit Boot Services Invocation");
    story.whole(5, ACTION, b"Exit Boot Services Returned with Success");
}

/// The log's bytes.
pub(super) fn log(records: &[Record], lie: Option<Lie>) -> Vec<u8> {
    let algorithms: &[u16] = match lie {
        Some(Lie::Header) => &[0x0b, 0x0b],
        _ => &[0x0b],
    };
    let mut header = b"Spec ID Event03\0".to_vec();
    header.extend([0, 0, 0, 0, 0, 2, 105, 2]);
    header.extend((algorithms.len() as u32).to_le_bytes());
    for algorithm in algorithms {
        header.extend(algorithm.to_le_bytes());
        header.extend(32_u16.to_le_bytes());
    }
    header.push(0);
    let mut out = [&[0; 4][..], &[3, 0, 0, 0], &[0; 20], &length(&header)].concat();
    out.extend(header);
    for record in records {
        out.extend(record.pcr.to_le_bytes());
        out.extend(record.kind.to_le_bytes());
        out.extend([1, 0, 0, 0, 0x0b, 0]);
        out.extend(record.digest);
        out.extend(length(&record.data));
        out.extend(&record.data);
    }
    if lie == Some(Lie::Event) {
        out.pop();
    }
    out
}

/// The PCRs after these records: 24 values. The start of PCR 0 is the locality's.
pub(super) fn pcrs(records: &[Record]) -> Vec<[u8; 32]> {
    let mut out = vec![[0_u8; 32]; 24];
    for value in &mut out[17..=22] {
        *value = [0xff; 32];
    }
    out[0][31] = 3;
    for record in records.iter().filter(|record| record.kind != 3) {
        extend(&mut out[record.pcr as usize], &record.digest);
    }
    out
}

pub(super) fn extend(value: &mut [u8; 32], digest: &[u8]) {
    *value = hash(&[&value[..], digest].concat());
}

/// The paths of the IMA list behind its first entry.
pub const PROGRAMS: [&str; 2] = ["/usr/bin/init", "/usr/bin/web"];

/// The text of an IMA list after these PCRs, and the value of PCR 10.
pub(super) fn ima(pcrs: &[[u8; 32]], lie: Option<Lie>) -> (String, [u8; 32]) {
    let aggregate = hash(&pcrs[..=9].concat());
    let mut files = vec![("boot_aggregate".to_owned(), aggregate)];
    for path in PROGRAMS {
        files.push((path.to_owned(), digest_of(path)));
    }
    if lie == Some(Lie::PolicyIma) {
        files.push(("/tmp/stranger".to_owned(), digest_of("a stranger")));
    }
    let mut text = String::new();
    let mut register = [0; 32];
    for (path, file) in &files {
        let stored = [&b"sha256:\0"[..], file].concat();
        let name = [path.as_bytes(), &[0]].concat();
        let data = [&length(&stored)[..], &stored, &length(&name), &name].concat();
        extend(&mut register, &hash(&data));
        let template = digest(&SHA1_FOR_LEGACY_USE_ONLY, &data);
        text += &format!(
            "10 {} ima-ng sha256:{} {path}\n",
            hex::encode(template.as_ref()),
            hex::encode(file)
        );
    }
    match lie {
        Some(Lie::ImaLine) => text = text.replace("ima-ng", "ima-new"),
        Some(Lie::ImaReplay) => {
            let told = hex::encode(digest_of(PROGRAMS[1]));
            text = text.replace(&told, &hex::encode(digest_of("something else")));
        }
        _ => {}
    }
    (text, register)
}
