//! The report, field by field, on bytes made by hand from the fact sheet's offsets.

use super::*;

/// A report of this version in which every readable byte is its own marker.
pub(crate) fn sample(version: u8) -> Vec<u8> {
    let mut bytes = vec![0_u8; Report::LEN];
    bytes[0] = version;
    bytes[0x04] = 7;
    bytes[0x08..0x10].copy_from_slice(&0x3_001f_u64.to_le_bytes());
    bytes[0x30] = 1;
    bytes[0x34] = 1;
    bytes[0x38..0x40].copy_from_slice(&[3, 1, 0, 0, 0, 0, 8, 115]);
    bytes[0x40] = 0x65;
    bytes[0x48] = 0b101;
    for (at, length, marker) in [
        (0x10, 16, 0xf1),
        (0x20, 16, 0xf2),
        (0x50, 64, 0xd1),
        (0x90, 48, 0xd2),
        (0xc0, 32, 0xd3),
        (0xe0, 48, 0xd4),
        (0x110, 48, 0xd5),
        (0x140, 32, 0xd6),
        (0x160, 32, 0xff),
        (0x1a0, 64, 0xc1),
        (0x2a0, 48, 0x11),
        (0x2a0 + 72, 48, 0x22),
    ] {
        bytes[at..at + length].fill(marker);
    }
    bytes[0x180..0x188].copy_from_slice(&[2, 1, 0, 0, 0, 0, 7, 110]);
    if version >= 3 {
        bytes[0x188..0x18b].copy_from_slice(&[0x19, 0xa0, 2]);
    }
    bytes[0x1e0..0x1e8].copy_from_slice(&[3, 1, 0, 0, 0, 0, 8, 112]);
    bytes[0x1e8..0x1eb].copy_from_slice(&[29, 55, 1]);
    bytes[0x1ec..0x1ef].copy_from_slice(&[28, 54, 2]);
    bytes[0x1f0..0x1f8].copy_from_slice(&[3, 1, 0, 0, 0, 0, 8, 111]);
    if version >= 5 {
        bytes[0x1f8] = 0x3f;
        bytes[0x200] = 0x7f;
    }
    bytes
}

// spec: sev-snp.report.fields
#[test]
fn every_field_is_read_from_its_place() {
    let bytes = sample(5);
    let claims = Report::parse(&bytes).unwrap().claims;
    assert_eq!((claims.version, claims.guest_svn, claims.vmpl), (5, 7, 1));
    assert_eq!(
        (claims.policy.abi_major(), claims.policy.abi_minor()),
        (0, 31)
    );
    assert!(claims.policy.smt() && !claims.policy.debug());
    assert_eq!(claims.platform_info.unknown_bits(), 1 << 6);
    assert!(claims.key_info.author_key_en() && !claims.key_info.mask_chip_key());
    assert_eq!(claims.key_info.signing_key(), SigningKey::Vlek);
    assert_eq!(
        (claims.family_id, claims.image_id),
        ([0xf1; 16], [0xf2; 16])
    );
    assert_eq!(
        (claims.report_data, claims.measurement),
        ([0xd1; 64], [0xd2; 48])
    );
    assert_eq!(
        (claims.host_data, claims.id_key_digest),
        ([0xd3; 32], [0xd4; 48])
    );
    assert_eq!(
        (claims.author_key_digest, claims.report_id),
        ([0xd5; 48], [0xd6; 32])
    );
    assert_eq!(
        (claims.report_id_ma, claims.chip_id),
        ([0xff; 32], [0xc1; 64])
    );
    assert_eq!(
        claims.cpuid,
        Some(Cpuid {
            family: 0x19,
            model: 0xa0,
            stepping: 2
        })
    );
    assert_eq!(claims.current_version.to_string(), "1.55.29");
    assert_eq!(claims.committed_version.to_string(), "2.54.28");
    assert_eq!(
        claims.mitigations,
        Some(Mitigations {
            launch: 0x3f,
            current: 0x7f
        })
    );
    let microcode = |tcb: TcbBytes| tcb.parts(TcbLayout::Milan).microcode;
    assert_eq!(microcode(claims.current_tcb), 115);
    assert_eq!(microcode(claims.committed_tcb), 112);
    assert_eq!(microcode(claims.launch_tcb), 111);
    assert_eq!(microcode(claims.reported_tcb), 110);
}

#[test]
fn versions_one_and_six_are_refused_by_number() {
    for version in [0, 1, 6, 255] {
        let refusal = Report::parse(&sample(version)).unwrap_err();
        let what = What::Unsupported {
            field: "VERSION",
            found: u64::from(version),
        };
        assert_eq!(refusal, Malformed::new(VERSION, 0, what));
    }
}

// spec: sev-snp.report.truncated
#[test]
fn every_truncation_is_refused_by_its_length() {
    let bytes = sample(3);
    for length in 0..Report::LEN {
        let what = What::TooShort {
            wanted: Report::LEN,
            found: length,
        };
        assert_eq!(
            Report::parse(&bytes[..length]),
            Err(Malformed::new(LENGTH, 0, what))
        );
    }
}

// spec: sev-snp.report.cpuid-since-3, sev-snp.report.mitigations-since-5
#[test]
fn every_reserved_byte_must_be_zero_in_every_version() {
    for version in 2..=5 {
        let mut reserved: Vec<usize> = (0x4c..0x50).chain(0x18b..0x1a0).collect();
        reserved.extend([0x1eb, 0x1ef]);
        reserved.extend(0x208..0x2a0);
        if version == 2 {
            reserved.extend(0x188..0x18b);
        }
        if version < 5 {
            reserved.extend(0x1f8..0x208);
        }
        for at in reserved {
            let mut bytes = sample(version);
            bytes[at] = 1;
            let refusal = Report::parse(&bytes).unwrap_err();
            assert_eq!(
                (refusal.check, refusal.offset),
                (RESERVED, at),
                "version {version}"
            );
        }
    }
}

#[test]
fn a_signature_wider_than_the_curve_is_refused() {
    for at in (0x2d0..0x2e8).chain(0x318..0x4a0) {
        let mut bytes = sample(3);
        bytes[at] = 1;
        let refusal = Report::parse(&bytes).unwrap_err();
        assert_eq!((refusal.check, refusal.offset), (SIGNATURE_FORMAT, at));
    }
}

#[test]
fn a_policy_without_its_constant_bit_is_refused() {
    let mut bytes = sample(3);
    bytes[0x0a] = 0x01;
    let refusal = Report::parse(&bytes).unwrap_err();
    assert_eq!((refusal.check, refusal.offset), (POLICY_BIT_17, 8));
}

// spec: sev-snp.policy.unknown-bits
#[test]
fn unknown_flags_are_surfaced_and_not_refused() {
    let mut bytes = sample(3);
    bytes[0x0f] = 0x80;
    bytes[0x47] = 0x80;
    bytes[0x4b] = 0x80;
    let claims = Report::parse(&bytes).unwrap().claims;
    assert_eq!(claims.policy.unknown_bits(), 1 << 63);
    assert_eq!(claims.platform_info.unknown_bits(), 1 << 63 | 1 << 6);
    assert_eq!(claims.key_info.reserved_bits(), 1 << 31);
}

// spec: sev-snp.signature.encoding
#[test]
fn the_signature_is_turned_to_big_endian() {
    let mut bytes = sample(3);
    bytes[0x2a0] = 0xaa;
    bytes[0x2a0 + 72 + 47] = 0xbb;
    let report = Report::parse(&bytes).unwrap();
    let fixed = report.signature_fixed();
    assert_eq!((fixed[47], fixed[48]), (0xaa, 0xbb));
    assert_eq!(report.signed_part(), &bytes[..672]);
}

// spec: sev-snp.tcb.layout
#[test]
fn the_two_layouts_read_the_same_bytes_differently() {
    let bytes = TcbBytes([1, 2, 3, 4, 0, 0, 6, 0x51]);
    let milan = Tcb {
        fmc: None,
        boot_loader: 1,
        tee: 2,
        snp: 6,
        microcode: 0x51,
    };
    let turin = Tcb {
        fmc: Some(1),
        boot_loader: 2,
        tee: 3,
        snp: 4,
        microcode: 0x51,
    };
    assert_eq!(bytes.parts(TcbLayout::Milan), milan);
    assert_eq!(bytes.parts(TcbLayout::Turin), turin);
    assert!(bytes.uses_reserved(TcbLayout::Milan) && bytes.uses_reserved(TcbLayout::Turin));
}

#[test]
fn versions_are_compared_component_by_component() {
    let tcb = |snp, microcode| Tcb {
        fmc: None,
        boot_loader: 1,
        tee: 0,
        snp,
        microcode,
    };
    assert!(tcb(8, 100).at_least(tcb(8, 100)));
    assert!(!tcb(9, 99).at_least(tcb(8, 100)));
    assert!(!tcb(7, 200).at_least(tcb(8, 100)));
}

#[test]
fn products_are_told_apart_by_family_and_model() {
    for (family, model, product) in [
        (0x19, 0x01, Some(Product::Milan)),
        (0x19, 0x0f, Some(Product::Milan)),
        (0x19, 0x11, Some(Product::Genoa)),
        (0x19, 0xa0, Some(Product::Genoa)),
        (0x19, 0xaf, Some(Product::Genoa)),
        (0x19, 0x20, None),
        (0x1a, 0x02, Some(Product::Turin)),
        (0x1a, 0x11, Some(Product::Turin)),
        (0x1a, 0x50, None),
        (0x17, 0x31, None),
    ] {
        assert_eq!(
            Product::from_cpuid(family, model),
            product,
            "{family:#x}/{model:#x}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(
        version in 0_u8..8,
        bytes in proptest::collection::vec(proptest::num::u8::ANY, Report::LEN),
    ) {
        let mut bytes = bytes;
        bytes[..4].copy_from_slice(&[version, 0, 0, 0]);
        let _ = Report::parse(&bytes);
    }
}
