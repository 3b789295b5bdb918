//! Seeds that no toy makes yet, written by hand: what TPMs and boots leave behind.

use std::collections::BTreeMap;

use zeuge_protocol::text::base64url;

pub(super) fn put_all(out: &mut BTreeMap<String, Vec<u8>>) {
    tpm(out);
    tpm_files(out);
    event_logs(out);
    secure_boot(out);
    ima(out);
}

/// A number of TPM 2.0: big-endian, with the bytes behind it.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short part");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// What a TPM's quote over PCR 0 to 7 says (TCG part 2, TPMS_ATTEST).
fn attest() -> Vec<u8> {
    let mut out = vec![0xff, b'T', b'C', b'G', 0x80, 0x18];
    out.extend(sized(
        &[0, 0x0b]
            .iter()
            .chain(&[7; 32])
            .copied()
            .collect::<Vec<u8>>(),
    ));
    out.extend(sized(b"the question"));
    // Clock, reset and restart counts, safe, firmware version.
    out.extend([0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1]);
    out.extend([0; 8]);
    out.extend([0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0, 0]);
    out.extend(sized(&[9; 32]));
    out
}

/// A restricted signing key on P-256 (TPMT_PUBLIC).
fn public() -> Vec<u8> {
    let mut out = vec![
        0, 0x23, 0, 0x0b, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 0x0b, 0, 3, 0, 0x10,
    ];
    out.extend(sized(&[1; 32]));
    out.extend(sized(&[2; 32]));
    out
}

/// A signature on P-256 (TPMT_SIGNATURE).
fn ecdsa() -> Vec<u8> {
    [vec![0, 0x18, 0, 0x0b], sized(&[1; 32]), sized(&[2; 32])].concat()
}

fn tpm(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let ecdsa = ecdsa();
    let rsa = [vec![0, 0x14, 0, 0x0b], sized(&[3; 256])].concat();
    put("tpm-attest/quote", attest());
    put("tpm-public/ecc", public());
    put("tpm-public/sized", sized(&public()));
    let modulus = [
        vec![
            0, 1, 0, 0x0b, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0,
        ],
        sized(&[0xc1; 256]),
    ]
    .concat();
    put("tpm-public/rsa", modulus);
    put("tpm-signature/ecdsa", ecdsa);
    put("tpm-signature/rsa", rsa);
    put("tpm-signature/bare", vec![5; 256]);
}

/// Files of quotes, and of an endorsement key's certificate.
fn tpm_files(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let ecdsa = ecdsa();
    let own = format!(
        r#"{{"schema":"zeuge.tpm-quote.v1","attest":"{}","signature":"{}","ak_public":"{}","pcrs":{{"sha256":{{"0":"{}"}}}}}}"#,
        standard(&attest()),
        standard(&ecdsa),
        standard(&public()),
        "00".repeat(32)
    );
    put("tpm-bundle/own", own.into_bytes());
    let protobuf = |number: u8, bytes: &[u8]| {
        let length = bytes.len();
        let mut out = vec![(number << 3) | 2];
        if length >= 128 {
            out.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
            out.push(u8::try_from(length >> 7).expect("a short part"));
        } else {
            out.push(u8::try_from(length).expect("a short part"));
        }
        out.extend_from_slice(bytes);
        out
    };
    let pcrs = [
        vec![8, 11],
        protobuf(2, &[vec![8, 0], protobuf(2, &[0; 32])].concat()),
    ]
    .concat();
    let quote = [
        protobuf(1, &attest()),
        protobuf(2, &ecdsa),
        protobuf(3, &pcrs),
    ]
    .concat();
    put(
        "tpm-bundle/google",
        [protobuf(1, &public()), protobuf(2, &quote)].concat(),
    );
    let long = |bytes: &[u8]| {
        [
            &u64::try_from(bytes.len()).unwrap_or(0).to_le_bytes()[..],
            bytes,
        ]
        .concat()
    };
    put(
        "tpm-bundle/azure",
        [
            long(&[1; 256]),
            long(&attest()),
            24_u64.to_le_bytes().to_vec(),
            vec![0; 24 * 32],
        ]
        .concat(),
    );
    put("ek/der", zeuge_sim::ToyIntel::shared().root().to_vec());
    let wrapped = [
        &[0x10, 1, 0, 4, 0, 0x10, 2][..],
        zeuge_sim::ToyIntel::shared().root(),
    ]
    .concat();
    put("ek/wrapped", wrapped);
}

/// Base64 with padding (RFC 4648 §4).
pub(super) fn standard(bytes: &[u8]) -> String {
    let mut text = base64url(bytes).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// An event of a crypto-agile log with one SHA-256 digest (TCG PC Client, TCG_PCR_EVENT2).
fn event(register: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("a short event");
    [
        &register.to_le_bytes()[..],
        &kind.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &0x0b_u16.to_le_bytes(),
        &[6; 32],
        &length.to_le_bytes(),
        data,
    ]
    .concat()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// The content of an event about a variable (UEFI_VARIABLE_DATA).
fn variable() -> Vec<u8> {
    let head = [&[8; 16][..], &10_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat();
    [head, utf16("SecureBoot"), vec![1]].concat()
}

fn event_logs(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let spec = [
        &b"Spec ID Event03\0"[..],
        &[0, 0, 0, 0, 0, 2, 0, 2],
        &[1, 0, 0, 0, 0x0b, 0, 32, 0],
        &[0],
    ]
    .concat();
    let first = |register: u32| {
        let length = u32::try_from(spec.len()).expect("a short event");
        [
            &register.to_le_bytes()[..],
            &3_u32.to_le_bytes(),
            &[0; 20],
            &length.to_le_bytes(),
            &spec,
        ]
        .concat()
    };
    let variable = variable();
    let command_line = b"kernel_cmdline: /vmlinuz root=/dev/sda1\0";
    let events = [
        event(7, 0x8000_0001, &variable),
        event(4, 0x8000_0003, &[0; 40]),
        event(8, 0x0d, command_line),
        event(0, 4, &[0; 4]),
        event(5, 0x8000_0007, b"Exit Boot Services Invocation"),
    ]
    .concat();
    put("event-log/agile", [first(0), events.clone()].concat());
    put(
        "event-log/ccel",
        [first(1), events, vec![0xff; 64]].concat(),
    );
    let old = [
        &[0, 0, 0, 0, 8, 0, 0, 0][..],
        &[5; 20],
        &[4, 0, 0, 0],
        b"1.23",
    ]
    .concat();
    put("event-log/sha1", old);
}

fn secure_boot(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    put("secure-boot/variable", variable());
    let list = [
        &[0x26; 16][..],
        &76_u32.to_le_bytes(),
        &0_u32.to_le_bytes(),
        &48_u32.to_le_bytes(),
        &[7; 48],
    ]
    .concat();
    put("secure-boot/list", list.clone());
    put(
        "secure-boot/path",
        [&[4, 4, 14, 0][..], &utf16("\\EFI\0"), &[0x7f, 0xff, 4, 0]].concat(),
    );
    put(
        "secure-boot/partitions",
        [&b"EFI PART"[..], &[0; 84], &1_u64.to_le_bytes(), &[9; 128]].concat(),
    );
}

fn ima(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(name.to_owned(), bytes);
    let digest = "11".repeat(20);
    let file = "22".repeat(32);
    put(
        "ima/text",
        format!(
            "10 {digest} ima-ng sha256:{file} boot_aggregate\n10 {digest} ima {digest} /init\n"
        )
        .into_bytes(),
    );
    let number = |number: usize| u32::try_from(number).unwrap_or(0).to_le_bytes();
    let fields = [
        &number(40)[..],
        b"sha256:\0",
        &[2; 32],
        &number(6),
        b"/init\0",
    ]
    .concat();
    put(
        "ima/binary",
        [
            &number(10)[..],
            &[1; 20],
            &number(6),
            b"ima-ng",
            &number(fields.len()),
            &fields,
        ]
        .concat(),
    );
}
