//! Short seeds of wrapped SNP reports: a toy's files are longer than what reaches new code quickly.

use std::collections::BTreeMap;

use super::{bare_report, by_hand::standard};

/// [`bare_report`] packed with gzip.
const PACKED: [u8; 38] = [
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0x63, 0x62, 0x80, 1, 0x26, 6, 0x62, 1, 0x23, 0xc3, 0x28,
    0x18, 5, 0xa3, 0x60, 0x14, 0xd0, 0x1e, 0, 0, 0x26, 0x53, 0x21, 0xcb, 0xa0, 4, 0, 0,
];

pub(super) fn put_all(out: &mut BTreeMap<String, Vec<u8>>) {
    let mut put = |name: &str, bytes: Vec<u8>| out.insert(format!("snp-{name}"), bytes);
    put("json/packed", packed().into_bytes());
    put("json/whole", whole().into_bytes());
    put("json/fields", fields().into_bytes());
    put("table/short", table());
    put("table/empty", vec![0; 24]);
}

fn packed() -> String {
    let report = standard(&PACKED);
    format!(
        r#"{{"tee":"snp","verification_requests":[{{"evidence":{{"attestation_report":"{report}","vcek":"MAA="}}}}]}}"#
    )
}

fn whole() -> String {
    let report = standard(&bare_report());
    format!(
        r#"{{"attestation_report":"{report}","cert_chain":[{{"cert_type":"VCEK","data":[48,0]}},{{"cert_type":{{"OTHER":"92f81bc3-5811-4d3d-97ff-d19f88dc67ea"}},"data":[48,0]}}]}}"#
    )
}

/// The serde form, with its byte strings in base64.
fn fields() -> String {
    let bytes = |width: usize| standard(&vec![0; width]);
    let (b16, b32, b48, b64, b72) = (bytes(16), bytes(32), bytes(48), bytes(64), bytes(72));
    let tcb = r#"{"fmc":null,"bootloader":10,"tee":1,"snp":23,"microcode":25}"#;
    format!(
        r#"{{"attestation_report":{{"version":3,"guest_svn":2,"policy":196608,"family_id":"{b16}","image_id":"{b16}","vmpl":0,"sig_algo":1,"current_tcb":{tcb},"plat_info":37,"key_info":0,"report_data":"{b64}","measurement":"{b48}","host_data":"{b32}","id_key_digest":"{b48}","author_key_digest":"{b48}","report_id":"{b32}","report_id_ma":"{b32}","reported_tcb":{tcb},"cpuid_fam_id":25,"cpuid_mod_id":160,"cpuid_step":2,"chip_id":"{b64}","committed_tcb":{tcb},"current":{{"major":1,"minor":55,"build":40}},"committed":{{"major":1,"minor":54,"build":39}},"launch_tcb":{tcb},"launch_mit_vector":null,"signature":{{"r":"{b72}","s":"{b72}","_reserved":[0]}}}},"cert_chain":null}}"#
    )
}

/// A leaf, a list and something unknown, of four bytes each.
fn table() -> Vec<u8> {
    let guids = [
        0x63da_758d_e664_4564_adc5_f4b9_3be8_accd_u128,
        0x92f8_1bc3_5811_4d3d_97ff_d19f_88dc_67ea,
        0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
    ];
    let mut out = Vec::new();
    for (guid, offset) in guids.into_iter().zip((96_u32..).step_by(4)) {
        out.extend(guid.to_be_bytes());
        out.extend(offset.to_le_bytes());
        out.extend(4_u32.to_le_bytes());
    }
    out.extend([0; 24]);
    out.extend([0x30, 2, 5, 0, 0x30, 2, 5, 0, 1, 2, 3, 4]);
    out
}
