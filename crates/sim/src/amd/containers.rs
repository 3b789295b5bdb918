//! The other files in which a report travels: with a GUID certificate table behind it, as the
//! JSON of Trustee clients, as the protobuf of go-sev-guest.
//!
//! Written from the bytes of the finished report, by offsets of its own.

use serde_json::{Value, json};

use super::{Product, Signer};

/// What a table may carry, by its GUID in the order of the printed form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    Vcek,
    Vlek,
    Ask,
    Ark,
    Crl,
}

impl Slot {
    pub(crate) const fn of_leaf(signer: Signer) -> Self {
        match signer {
            Signer::Vcek => Self::Vcek,
            Signer::Vlek => Self::Vlek,
        }
    }

    const fn guid(self) -> u128 {
        match self {
            Self::Vcek => 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd,
            Self::Vlek => 0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1,
            Self::Ask => 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782,
            Self::Ark => 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae,
            Self::Crl => 0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea,
        }
    }
}

/// Bytes of one entry of the table: GUID, offset, length.
const ENTRY_BYTES: usize = 24;

/// The certificate table (AMD 56421, extended guest request): entries, an entry of zeros, data.
/// `beyond` bytes are added to the length that the last entry claims.
pub(crate) fn table(parts: &[(Slot, Vec<u8>)], beyond: usize) -> Vec<u8> {
    let mut offset = ENTRY_BYTES * (parts.len() + 1);
    let mut entries = Vec::new();
    let mut data = Vec::new();
    for (index, (slot, bytes)) in parts.iter().enumerate() {
        let claimed = if index + 1 == parts.len() {
            bytes.len() + beyond
        } else {
            bytes.len()
        };
        entries.extend(slot.guid().to_be_bytes());
        entries.extend(little(offset));
        entries.extend(little(claimed));
        data.extend_from_slice(bytes);
        offset += bytes.len();
    }
    entries.extend([0; ENTRY_BYTES]);
    [entries, data].concat()
}

fn little(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

/// The evidence of Trustee clients: the report field by field, byte strings as arrays of numbers.
/// With `short`, the measurement lacks its last byte.
pub(crate) fn json(report: &[u8], product: Product, leaf: (Signer, &[u8]), short: bool) -> Vec<u8> {
    let bytes = |from: usize, to: usize| report[from..to].to_vec();
    let number = |at: usize| u32_at(report, at);
    let version = number(0);
    let since = |first: u32, value: Value| if version >= first { value } else { Value::Null };
    let firmware =
        |at: usize| json!({"build": report[at], "minor": report[at + 1], "major": report[at + 2]});
    let tcb = |at: usize| tcb_json(product, &report[at..at + 8]);
    let evidence = json!({
        "attestation_report": {
            "version": version,
            "guest_svn": number(0x004),
            "policy": u64_at(report, 0x008),
            "family_id": bytes(0x010, 0x020),
            "image_id": bytes(0x020, 0x030),
            "vmpl": number(0x030),
            "sig_algo": number(0x034),
            "current_tcb": tcb(0x038),
            "plat_info": u64_at(report, 0x040),
            "key_info": number(0x048),
            "report_data": bytes(0x050, 0x090),
            "measurement": bytes(0x090, if short { 0x0bf } else { 0x0c0 }),
            "host_data": bytes(0x0c0, 0x0e0),
            "id_key_digest": bytes(0x0e0, 0x110),
            "author_key_digest": bytes(0x110, 0x140),
            "report_id": bytes(0x140, 0x160),
            "report_id_ma": bytes(0x160, 0x180),
            "reported_tcb": tcb(0x180),
            "cpuid_fam_id": since(3, json!(report[0x188])),
            "cpuid_mod_id": since(3, json!(report[0x189])),
            "cpuid_step": since(3, json!(report[0x18a])),
            "chip_id": bytes(0x1a0, 0x1e0),
            "committed_tcb": tcb(0x1e0),
            "current": firmware(0x1e8),
            "committed": firmware(0x1ec),
            "launch_tcb": tcb(0x1f0),
            "launch_mit_vector": since(5, json!(u64_at(report, 0x1f8))),
            "current_mit_vector": since(5, json!(u64_at(report, 0x200))),
            "signature": {"r": bytes(0x2a0, 0x2e8), "s": bytes(0x2e8, 0x330)},
        },
        "cert_chain": [{"cert_type": leaf.0.name().to_uppercase(), "data": leaf.1}],
    });
    evidence.to_string().into_bytes()
}

fn tcb_json(product: Product, tcb: &[u8]) -> Value {
    let (fmc, boot_loader, tee, snp) = match product {
        Product::Milan | Product::Genoa => (Value::Null, tcb[0], tcb[1], tcb[6]),
        Product::Turin => (json!(tcb[0]), tcb[1], tcb[2], tcb[3]),
    };
    json!({"fmc": fmc, "bootloader": boot_loader, "tee": tee, "snp": snp, "microcode": tcb[7]})
}

fn u32_at(report: &[u8], at: usize) -> u32 {
    report[at..at + 4]
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 8) | u32::from(*byte))
}

fn u64_at(report: &[u8], at: usize) -> u64 {
    report[at..at + 8]
        .iter()
        .rev()
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// The `Attestation` message of go-sev-guest. With `beyond`, the certificate claims one byte more
/// than its message has.
pub(crate) fn protobuf(report: &[u8], leaf: (Signer, &[u8]), beyond: bool) -> Vec<u8> {
    let mut message = Vec::new();
    let small = [(1, 0x000), (2, 0x004)];
    for (field, at) in small {
        number(&mut message, field, u64::from(u32_at(report, at)));
    }
    number(&mut message, 3, u64_at(report, 0x008));
    string(&mut message, 4, &report[0x010..0x020]);
    string(&mut message, 5, &report[0x020..0x030]);
    number(&mut message, 6, u64::from(u32_at(report, 0x030)));
    number(&mut message, 7, u64::from(u32_at(report, 0x034)));
    number(&mut message, 8, u64_at(report, 0x038));
    number(&mut message, 9, u64_at(report, 0x040));
    number(&mut message, 10, u64::from(u32_at(report, 0x048)));
    let strings = [
        (0x050, 0x090),
        (0x090, 0x0c0),
        (0x0c0, 0x0e0),
        (0x0e0, 0x110),
        (0x110, 0x140),
        (0x140, 0x160),
        (0x160, 0x180),
    ];
    for (field, (from, to)) in (11..).zip(strings) {
        string(&mut message, field, &report[from..to]);
    }
    number(&mut message, 18, u64_at(report, 0x180));
    string(&mut message, 19, &report[0x1a0..0x1e0]);
    number(&mut message, 20, u64_at(report, 0x1e0));
    for (field, at) in (21..).zip([0x1e8, 0x1e9, 0x1ea, 0x1ec, 0x1ed, 0x1ee]) {
        number(&mut message, field, u64::from(report[at]));
    }
    number(&mut message, 27, u64_at(report, 0x1f0));
    string(&mut message, 28, &report[0x2a0..]);
    number(
        &mut message,
        29,
        cpuid_eax(report[0x188], report[0x189], report[0x18a]),
    );
    number(&mut message, 30, u64_at(report, 0x1f8));
    number(&mut message, 31, u64_at(report, 0x200));

    let mut chain = Vec::new();
    let field = match leaf.0 {
        Signer::Vcek => 1,
        Signer::Vlek => 6,
    };
    tag(&mut chain, field, 2);
    varint(
        &mut chain,
        u64::try_from(leaf.1.len()).unwrap_or(u64::MAX) + u64::from(beyond),
    );
    chain.extend_from_slice(leaf.1);

    let mut out = Vec::new();
    string(&mut out, 1, &message);
    string(&mut out, 2, &chain);
    out
}

/// CPUID(1).EAX without its reserved bits, from combined family and model.
fn cpuid_eax(family: u8, model: u8, stepping: u8) -> u64 {
    if family == 0 {
        return 0;
    }
    let (family, model, stepping) = (u64::from(family), u64::from(model), u64::from(stepping));
    let extended_family = family - 0xf;
    (extended_family << 20) | ((model >> 4) << 16) | (0xf << 8) | ((model & 0xf) << 4) | stepping
}

/// A number; proto3 omits zero.
fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    if value != 0 {
        tag(out, field, 0);
        varint(out, value);
    }
}

fn string(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    tag(out, field, 2);
    varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

fn tag(out: &mut Vec<u8>, field: u64, wire_type: u64) {
    varint(out, (field << 3) | wire_type);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_one_entry_of_zeros() {
        assert_eq!(table(&[], 0), [0; ENTRY_BYTES]);
    }

    #[test]
    fn a_table_stores_guids_in_printed_order_and_offsets_from_its_start() {
        let bytes = table(&[(Slot::Vcek, vec![9, 9])], 0);
        assert_eq!(bytes[..4], [0x63, 0xda, 0x75, 0x8d]);
        assert_eq!(bytes[16..24], [48, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[48..], [9, 9]);
    }

    #[test]
    fn the_cpuid_word_is_packed_as_the_processor_does() {
        assert_eq!(cpuid_eax(0x19, 0x01, 0x01), 0x00a0_0f11);
        assert_eq!(cpuid_eax(0x19, 0x11, 0x01), 0x00a1_0f11);
        assert_eq!(cpuid_eax(0x1a, 0x02, 0x01), 0x00b0_0f21);
    }

    #[test]
    fn varints_have_seven_bits_a_byte() {
        let mut out = Vec::new();
        varint(&mut out, 300);
        assert_eq!(out, [0xac, 0x02]);
    }
}
