//! A report for people: every byte of it as a named field, every flag as a line of its own.
//!
//! Made from parsed bytes alone; claims nothing. The parts leave no gap, reserved ranges
//! included: what is signed is what is shown.

mod wrapping;

pub use wrapping::evidence;

use super::{
    Bit, Claims, FirmwareVersion, GuestPolicy, KeyInfo, PlatformInfo, Product, Report, SigningKey,
    TcbBytes, TcbLayout,
};
use crate::{Malformed, annotate::Node};

const SPEC: &str = "AMD 56860 §7.3, ATTESTATION_REPORT";
const POLICY_SPEC: &str = "AMD 56860 §4.3, GUEST_POLICY";
const PLATFORM_SPEC: &str = "AMD 56860 §7.3, PLATFORM_INFO";
const KEY_SPEC: &str = "AMD 56860 §7.3, KEY_INFO";
const TCB_SPEC: &str = "AMD 56860 §2.2, TCB_VERSION";

/// The fields of the report in the first 1184 of `bytes`, which begin at `base` in the whole
/// input.
///
/// # Errors
/// As [`Report::parse`], with offsets from `base`.
pub fn annotate(bytes: &[u8], base: usize) -> Result<Node, Malformed> {
    let report = Report::parse(bytes).map_err(|refusal| Malformed {
        offset: base.saturating_add(refusal.offset),
        ..refusal
    })?;
    let page = Page {
        bytes: report.bytes(),
        base,
    };
    let claims = &report.claims;
    let mut children = head(&page, claims);
    children.extend(identity(&page, claims));
    children.extend(versions(&page, claims));
    children.push(signature(&page));
    let meaning = match claims.cpuid.map(|id| id.codename()) {
        Some(Some(codename)) => format!("a report of an AMD {codename}, believed by nobody yet"),
        Some(None) => "a report of a processor that this program does not know".to_owned(),
        None => "a report that does not name its processor (version 2)".to_owned(),
    };
    Ok(
        Node::group("ATTESTATION_REPORT", base, Report::LEN, children)
            .meaning(meaning)
            .spec(SPEC),
    )
}

/// The report's bytes and where they begin in the whole input.
struct Page<'a> {
    bytes: &'a [u8; Report::LEN],
    base: usize,
}

impl Page<'_> {
    const fn at(&self, offset: usize) -> usize {
        self.base.saturating_add(offset)
    }

    fn raw(&self, offset: usize, length: usize) -> &[u8] {
        self.bytes
            .get(offset..offset.saturating_add(length))
            .unwrap_or_default()
    }

    fn bytes(&self, name: &str, offset: usize, length: usize) -> Node {
        Node::bytes(name, self.at(offset), self.raw(offset, length)).spec(SPEC)
    }

    fn reserved(&self, offset: usize, length: usize) -> Node {
        self.bytes("reserved", offset, length)
            .meaning("reserved, zero")
    }

    fn number(&self, name: &str, offset: usize, number: u32) -> Node {
        let value = format!("{number} ({number:#x})");
        Node::field(name, self.at(offset), 4, value).spec(SPEC)
    }

    /// A field of flags: the whole value, and one part per flag that has a name or is set.
    fn flags(&self, name: &str, offset: usize, field: u64, known: &[Bit]) -> Node {
        let mut node = Node::field(name, self.at(offset), 8, format!("{field:#018x}"));
        for bit in 0..u64::BITS {
            let set = field & 1_u64.checked_shl(bit).unwrap_or_default() != 0;
            let named = known
                .iter()
                .find(|(number, ..)| u32::from(*number) == bit)
                .map(|(_, name, meaning)| (*name, *meaning));
            let (name, meaning) = match (named, set) {
                (Some((name, meaning)), true) => (format!("bit {bit} {name}"), meaning.to_owned()),
                (Some((name, meaning)), false) => (
                    format!("bit {bit} {name}"),
                    format!("not set; set it would mean: {meaning}"),
                ),
                (None, true) => (
                    format!("bit {bit}"),
                    "set, and no document known to this program says what it means".to_owned(),
                ),
                (None, false) => continue,
            };
            node.children
                .push(self.bit(name, offset, bit, set, meaning));
        }
        node
    }

    fn bit(&self, name: String, offset: usize, bit: u32, set: bool, meaning: String) -> Node {
        let byte = usize::try_from(bit.checked_div(8).unwrap_or_default()).unwrap_or_default();
        Node::field(
            name,
            self.at(offset.saturating_add(byte)),
            1,
            u8::from(set).to_string(),
        )
        .meaning(meaning)
    }
}

/// 0x000 to 0x04F.
fn head(page: &Page<'_>, claims: &Claims) -> Vec<Node> {
    let policy = claims.policy;
    let signature_algo = match claims.signature_algo {
        1 => "ECDSA on P-384 with SHA-384",
        _ => "not defined",
    };
    vec![
        page.number("VERSION", 0x000, claims.version)
            .meaning("version of the report's layout"),
        page.number("GUEST_SVN", 0x004, claims.guest_svn)
            .meaning("security version of the guest, from its ID block; 0 without one"),
        policy_node(page, policy),
        page.bytes("FAMILY_ID", 0x010, 16)
            .meaning("family of the guest, from its ID block"),
        page.bytes("IMAGE_ID", 0x020, 16)
            .meaning("image of the guest, from its ID block"),
        page.number("VMPL", 0x030, claims.vmpl)
            .meaning(vmpl(claims.vmpl)),
        page.number("SIGNATURE_ALGO", 0x034, claims.signature_algo)
            .meaning(signature_algo),
        tcb(page, "CURRENT_TCB", 0x038, claims.current_tcb, claims)
            .meaning("versions that run now"),
        page.flags(
            "PLATFORM_INFO",
            0x040,
            claims.platform_info.0,
            &PlatformInfo::BITS,
        )
        .meaning("what the platform says of itself")
        .spec(PLATFORM_SPEC),
        key_info(page, claims.key_info),
        page.reserved(0x04c, 4),
    ]
}

fn policy_node(page: &Page<'_>, policy: GuestPolicy) -> Node {
    let mut node = page
        .flags("POLICY", 0x008, policy.0, &GuestPolicy::BITS)
        .meaning("what the guest's owner allowed at launch")
        .spec(POLICY_SPEC);
    // The two lowest bytes are numbers, not flags.
    node.children.retain(|child| child.offset >= page.at(0x00a));
    let abi = |name: &str, offset, value: u8, meaning: &str| {
        Node::field(name, page.at(offset), 1, value.to_string()).meaning(meaning)
    };
    let minor = "minimum minor version of the firmware's interface";
    let major = "minimum major version of the firmware's interface";
    node.children.splice(
        0..0,
        [
            abi("bits 7:0 ABI_MINOR", 0x008, policy.abi_minor(), minor),
            abi("bits 15:8 ABI_MAJOR", 0x009, policy.abi_major(), major),
        ],
    );
    node
}

const fn vmpl(level: u32) -> &'static str {
    match level {
        0 => "the most privileged level of the guest asked",
        1..=3 => "a less privileged level of the guest asked",
        u32::MAX => "the host asked, not the guest",
        _ => "no such level exists",
    }
}

fn key_info(page: &Page<'_>, key_info: KeyInfo) -> Node {
    let author = match key_info.author_key_en() {
        true => "the guest has an author key, whose digest is below",
        false => "the guest has no author key",
    };
    let mask = match key_info.mask_chip_key() {
        true => "the chip's key is masked: the signature is zeros and proves nothing",
        false => "the chip's key is not masked",
    };
    let signing = match key_info.signing_key() {
        SigningKey::Vcek => "signed by the chip's own key",
        SigningKey::Vlek => "signed by a key that AMD gave to a provider",
        SigningKey::None => "not signed",
        SigningKey::Reserved(_) => "no known document names this kind of key",
    };
    let at = page.at(0x048);
    let flag = |set: bool| u8::from(set).to_string();
    let mut children = vec![
        Node::field("bit 0 AUTHOR_KEY_EN", at, 1, flag(key_info.author_key_en())).meaning(author),
        Node::field("bit 1 MASK_CHIP_KEY", at, 1, flag(key_info.mask_chip_key())).meaning(mask),
        Node::field(
            "bits 4:2 SIGNING_KEY",
            at,
            1,
            key_info.signing_key().to_string(),
        )
        .meaning(signing),
    ];
    let reserved = key_info.reserved_bits();
    let meaning = match reserved {
        0 => "reserved, zero",
        _ => "not zero, and no document known to this program says what it means",
    };
    children.push(
        Node::field("bits 31:5 reserved", at, 4, format!("{reserved:#010x}")).meaning(meaning),
    );
    Node {
        children,
        ..Node::field("KEY_INFO", at, 4, format!("{:#010x}", key_info.0))
            .meaning("which key signed, and whether there is an author key")
            .spec(KEY_SPEC)
    }
}

/// 0x050 to 0x17F.
fn identity(page: &Page<'_>, claims: &Claims) -> Vec<Node> {
    let author = match claims.key_info.author_key_en() {
        true => "SHA-384 of the author key that signed the ID key",
        false => "zeros: there is no author key",
    };
    let migration = match claims.report_id_ma == [0xff; 32] {
        true => "all ones: there is no migration agent",
        false => "REPORT_ID of the migration agent",
    };
    vec![
        page.bytes("REPORT_DATA", 0x050, 64)
            .meaning("chosen by the guest: what the report is bound to"),
        page.bytes("MEASUREMENT", 0x090, 48)
            .meaning("launch digest: SHA-384 over what was loaded before the guest ran"),
        page.bytes("HOST_DATA", 0x0c0, 32)
            .meaning("chosen by the hypervisor at launch"),
        page.bytes("ID_KEY_DIGEST", 0x0e0, 48)
            .meaning("SHA-384 of the key that signed the ID block; zeros without one"),
        page.bytes("AUTHOR_KEY_DIGEST", 0x110, 48).meaning(author),
        page.bytes("REPORT_ID", 0x140, 32)
            .meaning("random per guest, stable for its life"),
        page.bytes("REPORT_ID_MA", 0x160, 32).meaning(migration),
    ]
}

/// 0x180 to 0x29F.
fn versions(page: &Page<'_>, claims: &Claims) -> Vec<Node> {
    let mut out = vec![
        tcb(page, "REPORTED_TCB", 0x180, claims.reported_tcb, claims)
            .meaning("versions from which the signing key was derived"),
    ];
    out.extend(cpuid(page, claims));
    out.push(page.bytes("CHIP_ID", 0x1a0, 64).meaning(chip_id(claims)));
    out.push(
        tcb(page, "COMMITTED_TCB", 0x1e0, claims.committed_tcb, claims)
            .meaning("versions below which the firmware cannot be rolled back"),
    );
    out.extend(firmware(page, "CURRENT", 0x1e8, claims.current_version));
    out.extend(firmware(page, "COMMITTED", 0x1ec, claims.committed_version));
    out.push(
        tcb(page, "LAUNCH_TCB", 0x1f0, claims.launch_tcb, claims)
            .meaning("versions when the guest was launched or imported"),
    );
    match claims.mitigations {
        None => out.push(page.reserved(0x1f8, 168)),
        Some(vectors) => {
            let vector = |name: &str, offset, value, meaning: &str| {
                page.flags(name, offset, value, &[])
                    .meaning(meaning)
                    .spec(SPEC)
            };
            let launch = "mitigations that were active when the guest was launched";
            let current = "mitigations that are active now";
            out.push(vector("LAUNCH_MIT_VECTOR", 0x1f8, vectors.launch, launch));
            out.push(vector(
                "CURRENT_MIT_VECTOR",
                0x200,
                vectors.current,
                current,
            ));
            out.push(page.reserved(0x208, 152));
        }
    }
    out
}

/// 0x188 to 0x19F.
fn cpuid(page: &Page<'_>, claims: &Claims) -> Vec<Node> {
    let Some(id) = claims.cpuid else {
        return vec![page.reserved(0x188, 24)];
    };
    let number = |name: &str, offset, value: u8| {
        Node::field(name, page.at(offset), 1, format!("{value:#04x}")).spec(SPEC)
    };
    let codename = id.codename().map_or_else(
        || "with the family, a processor that this program does not know".to_owned(),
        |codename| format!("with the family: {codename}"),
    );
    vec![
        number("CPUID_FAM_ID", 0x188, id.family).meaning("combined family of the processor"),
        number("CPUID_MOD_ID", 0x189, id.model).meaning(codename),
        number("CPUID_STEP", 0x18a, id.stepping).meaning("stepping of the processor"),
        page.reserved(0x18b, 21),
    ]
}

fn chip_id(claims: &Claims) -> &'static str {
    if claims.chip_id == [0; 64] {
        "zeros: the host masks the chip's identity, or a provider's key signed"
    } else if is_turin_like(claims) {
        "identity of the chip: the first 8 bytes; the rest is not used"
    } else {
        "identity of the chip"
    }
}

/// Turin fills 8 bytes of CHIP_ID, earlier products 64.
fn is_turin_like(claims: &Claims) -> bool {
    let (used, unused) = claims.chip_id.split_at(8);
    used.iter().any(|byte| *byte != 0) && unused.iter().all(|byte| *byte == 0)
}

/// The layout of the product; for version 2, which names none, what CHIP_ID suggests; none for an
/// unknown product.
fn layout(claims: &Claims) -> Option<TcbLayout> {
    match claims.cpuid {
        Some(id) => Product::from_cpuid(id.family, id.model).map(Product::layout),
        None if is_turin_like(claims) => Some(TcbLayout::Turin),
        None => Some(TcbLayout::Milan),
    }
}

fn tcb(page: &Page<'_>, name: &str, offset: usize, bytes: TcbBytes, claims: &Claims) -> Node {
    let names: [(&str, &str); 8] = match layout(claims) {
        None => {
            [(
                "byte",
                "its meaning depends on a product that is not known here",
            ); 8]
        }
        Some(TcbLayout::Milan) => [
            BOOT_LOADER,
            TEE,
            UNUSED,
            UNUSED,
            UNUSED,
            UNUSED,
            SNP,
            MICROCODE,
        ],
        Some(TcbLayout::Turin) => [
            FMC,
            BOOT_LOADER,
            TEE,
            SNP,
            UNUSED,
            UNUSED,
            UNUSED,
            MICROCODE,
        ],
    };
    let children = names
        .iter()
        .zip(bytes.0)
        .enumerate()
        .map(|(index, ((name, meaning), value))| {
            let at = page.at(offset.saturating_add(index));
            let meaning = match (*name, value) {
                ("reserved", 1..) => "reserved by this layout, and not zero",
                _ => meaning,
            };
            Node::field(*name, at, 1, value.to_string()).meaning(meaning)
        })
        .collect();
    Node {
        children,
        ..page.bytes(name, offset, 8).spec(TCB_SPEC)
    }
}

const FMC: (&str, &str) = ("FMC", "first mutable code");
const BOOT_LOADER: (&str, &str) = ("BOOT_LOADER", "boot loader of the secure processor");
const TEE: (&str, &str) = ("TEE", "operating system of the secure processor");
const SNP: (&str, &str) = ("SNP", "SNP firmware");
const MICROCODE: (&str, &str) = ("MICROCODE", "microcode of the cores");
const UNUSED: (&str, &str) = ("reserved", "reserved, zero");

fn firmware(page: &Page<'_>, which: &str, offset: usize, version: FirmwareVersion) -> Vec<Node> {
    let part = |name: &str, index: usize, value: u8, meaning: String| {
        let at = page.at(offset.saturating_add(index));
        Node::field(format!("{which}_{name}"), at, 1, value.to_string())
            .meaning(meaning)
            .spec(SPEC)
    };
    let whole = match which {
        "CURRENT" => format!("firmware that runs now: {version}"),
        _ => format!("firmware that was committed: {version}"),
    };
    vec![
        part("BUILD", 0, version.build, whole),
        part("MINOR", 1, version.minor, "minor version".to_owned()),
        part("MAJOR", 2, version.major, "major version".to_owned()),
        page.reserved(offset.saturating_add(3), 1),
    ]
}

/// 0x2A0 to 0x49F.
fn signature(page: &Page<'_>) -> Node {
    let children = vec![
        page.bytes("R", 0x2a0, 72)
            .meaning("first number of the signature, little-endian; 48 bytes are used"),
        page.bytes("S", 0x2e8, 72)
            .meaning("second number of the signature, little-endian; 48 bytes are used"),
        page.reserved(0x330, 368),
    ];
    Node::group("SIGNATURE", page.at(0x2a0), 512, children)
        .meaning("over the first 672 bytes, as received")
        .spec(SPEC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snp::tests::sample;

    /// Top-level parts in order: name, offset, length.
    fn parts(node: &Node) -> Vec<(&str, usize, usize)> {
        node.children
            .iter()
            .map(|child| (child.name.as_str(), child.offset, child.length))
            .collect()
    }

    fn find<'n>(node: &'n Node, name: &str) -> &'n Node {
        fn search<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
            if node.name == name {
                return Some(node);
            }
            node.children.iter().find_map(|child| search(child, name))
        }
        search(node, name).unwrap()
    }

    #[test]
    fn every_byte_of_every_version_stands_in_exactly_one_part() {
        for version in 2..=5 {
            let node = annotate(&sample(version), 100).unwrap();
            let mut next = 100;
            for (name, offset, length) in parts(&node) {
                assert_eq!(offset, next, "version {version}, {name}");
                next += length;
            }
            assert_eq!(next, 100 + Report::LEN);
            for group in node
                .children
                .iter()
                .filter(|child| child.name.ends_with("_TCB"))
            {
                let places: Vec<usize> = group.children.iter().map(|byte| byte.offset).collect();
                let wanted: Vec<usize> = (group.offset..group.offset + 8).collect();
                assert_eq!(places, wanted, "{}", group.name);
            }
        }
    }

    #[test]
    fn every_part_says_what_it_means_and_where_that_is_written() {
        for version in 2..=5 {
            for part in annotate(&sample(version), 0).unwrap().children {
                assert!(!part.meaning.is_empty(), "{}", part.name);
                assert!(part.spec.starts_with("AMD 56860"), "{}", part.name);
            }
        }
    }

    #[test]
    fn flags_stand_one_by_one_at_their_byte() {
        let node = annotate(&sample(5), 0).unwrap();
        let smt = find(&node, "bit 16 SMT");
        assert_eq!((smt.offset, smt.value.as_str()), (0x00a, "1"));
        let debug = find(&node, "bit 19 DEBUG");
        assert_eq!((debug.offset, debug.value.as_str()), (0x00a, "0"));
        assert!(debug.meaning.starts_with("not set"));
        assert_eq!(find(&node, "bits 7:0 ABI_MINOR").value, "31");
        // Set in genuine reports of Turin, and named nowhere.
        assert!(find(&node, "bit 6").meaning.contains("no document"));
        assert_eq!(find(&node, "bits 4:2 SIGNING_KEY").value, "VLEK");
        assert_eq!(
            find(&node, "POLICY").children.len(),
            2 + GuestPolicy::BITS.len()
        );
    }

    #[test]
    fn versions_are_read_in_the_layout_of_the_product() {
        let mut bytes = sample(3);
        let names = |bytes: &[u8]| {
            let node = annotate(bytes, 0).unwrap();
            let tcb = find(&node, "REPORTED_TCB");
            tcb.children
                .iter()
                .map(|c| c.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&bytes)[6], "SNP");
        bytes[0x188..0x18a].copy_from_slice(&[0x1a, 0x02]);
        assert_eq!(names(&bytes)[..4], ["FMC", "BOOT_LOADER", "TEE", "SNP"]);
        bytes[0x188..0x18a].copy_from_slice(&[0x1a, 0x50]);
        assert_eq!(names(&bytes)[0], "byte");
        let node = annotate(&bytes, 0).unwrap();
        assert!(node.meaning.contains("Venice"), "{}", node.meaning);
    }

    #[test]
    fn a_refusal_counts_from_the_start_of_the_whole_input() {
        let mut bytes = sample(3);
        bytes[0x1eb] = 1;
        assert_eq!(annotate(&bytes, 1000).unwrap_err().offset, 1000 + 0x1eb);
    }
}
