//! Another tool's conformance cases: what a case says about its evidence, and what its policy
//! would be in our documents.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use zeuge_evidence::UnixTime;

use super::Call;

/// What a manifest expects.
pub(crate) struct Expects {
    /// Whether the other tool accepts.
    pub(crate) accepted: bool,
    /// Its names for why not; any of them.
    pub(crate) codes: Vec<String>,
}

/// Reads the `expects` block of a manifest: `exit_code` and `rejection_code` are all that these
/// files use of YAML here, plain, quoted, or as a list in brackets.
pub(crate) fn expects(manifest: &str) -> Expects {
    let block = manifest
        .lines()
        .skip_while(|line| *line != "expects:")
        .skip(1)
        .take_while(|line| line.starts_with("  "));
    let (mut accepted, mut codes) = (None, Vec::new());
    for line in block {
        let (key, value) = line.trim().split_once(':').expect("a key and a value");
        let value = value.trim();
        match key {
            "exit_code" => accepted = Some(value == "0"),
            "rejection_code" => {
                let list = value.trim_start_matches('[').trim_end_matches(']');
                let words = list.split(',').map(|word| word.trim().trim_matches('"'));
                codes = words.map(str::to_owned).collect();
            }
            _ => panic!("{key} is not known"),
        }
    }
    let accepted = accepted.expect("every manifest has an exit code");
    Expects { accepted, codes }
}

/// The ids (or beginnings of ids) under which this program says what another tool's code says.
pub(crate) fn ids(code: &str) -> &'static [&'static str] {
    match code {
        "WRONG_REPORT_VERSION" => &["snp.report.version"],
        "REPORT_FORMAT_UNSUPPORTED" => &["snp.report.", "x509.certificate"],
        "REPORT_SIGNATURE_INVALID" => &["snp.signature"],
        "REPORT_TRUNCATED" => &["snp.report.length"],
        "VCEK_CHAIN_INVALID" => &["snp.vcek.", "amd.", "x509.certificate"],
        "VCEK_EXPIRED" => &["snp.vcek.validity"],
        "MEASUREMENT_MISMATCH"
        | "ID_KEY_DIGEST_MISMATCH"
        | "AUTHOR_KEY_DIGEST_MISMATCH"
        | "MRTD_MISMATCH" => &["policy.measurement"],
        "RTMR3_NONZERO" => &["policy.rtmr"],
        "MR_CONFIG_ID_MISMATCH" => &["policy.mr-config-id"],
        "MR_SEAM_NOT_ALLOWED" => &["policy.mr-seam"],
        "HOST_DATA_MISMATCH" => &["policy.host-data"],
        "REPORT_DATA_MISMATCH" => &["binding.report-data"],
        "TCB_OUT_OF_DATE" => &["policy.tcb"],
        "GUEST_POLICY_DEBUG_SET" => &["policy.debug"],
        "GUEST_POLICY_RESERVED_BIT_SET" => &["snp.guest-policy.must-be-one"],
        "QUOTE_FORMAT_UNSUPPORTED" => &[
            "dcap.quote.length",
            "dcap.quote.version",
            "dcap.quote.tee-type",
        ],
        "WRONG_TEE_TYPE" => &["dcap.quote.tee-type"],
        "ATTESTATION_KEY_TYPE_UNSUPPORTED" => &["dcap.quote.key-type"],
        "QE_VENDOR_UNKNOWN" => &["dcap.quote.vendor"],
        "QUOTE_TRUNCATED" => &["dcap.quote.length"],
        "PCK_CHAIN_INVALID" => &[
            "dcap.pck.signature",
            "dcap.intermediate.",
            "dcap.root.",
            "dcap.crl.",
        ],
        "PCK_CHAIN_INCOMPLETE" => &["dcap.certification-data"],
        "ROOT_CA_UNTRUSTED" => &["dcap.root."],
        "QUOTE_SIGNATURE_INVALID" => &["dcap.quote.signature"],
        "QE_REPORT_SIGNATURE_INVALID" => &["dcap.qe.report-signature"],
        _ => &[],
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn at(case: &Value) -> String {
    let stated = &case["expiration_check_date_unix"];
    let seconds = stated.as_i64().or_else(|| stated.as_str()?.parse().ok());
    UnixTime(seconds.expect("every case has an instant")).to_string()
}

fn report_data(policy: &Value) -> Option<[u8; 64]> {
    let wanted = hex::decode(text(policy, "expected_report_data_hex")).ok()?;
    wanted.try_into().ok()
}

/// A case about an SEV-SNP report; where it brings a root of its own, that is trusted, and its
/// intermediate is written into `folder`.
pub(crate) fn sev(input: &[u8], folder: &Path) -> Call {
    let case: Value = serde_json::from_slice(input).expect("JSON");
    let policy = &case["policy"];
    let mut values = String::new();
    let id_key = text(policy, "expected_id_key_digest_hex");
    let author = text(policy, "expected_author_key_digest_hex");
    let measurement = text(policy, "expected_measurement_hex");
    let host_data = text(policy, "expected_host_data_hex");
    if [id_key, author, measurement, host_data]
        .iter()
        .any(|pin| !pin.is_empty())
    {
        values.push_str("[[snp]]\nname = \"case\"\n");
        if !host_data.is_empty() {
            values.push_str(&format!("host_data = [\"{host_data}\"]\n"));
        }
        if measurement.is_empty() && id_key.is_empty() && author.is_empty() {
            // A pin of HOST_DATA belongs to a workload: the one of the cases' one real report.
            values.push_str(&format!("measurements = [\"{REAL_MEASUREMENT}\"]\n"));
        } else if !measurement.is_empty() {
            values.push_str(&format!("measurements = [\"{measurement}\"]\n"));
        } else {
            let key = match id_key {
                "" => format!("author_key_digest = \"{author}\""),
                digest => format!("id_key_digest = \"{digest}\""),
            };
            let zero = "00".repeat(16);
            values.push_str(&format!(
                "[snp.id_block]\n{key}\nfamily_id = \"{zero}\"\nimage_id = \"{zero}\"\n\
                 minimum_guest_svn = 0\n"
            ));
        }
    }
    if let Some(least) = policy["min_tcb_bl_spl"].as_u64() {
        if values.is_empty() {
            values.push_str(&format!(
                "[[snp]]\nname = \"case\"\nmeasurements = [\"{REAL_MEASUREMENT}\"]\n"
            ));
        }
        let microcode = policy["min_tcb_ucode_spl"].as_u64().unwrap_or(0);
        values.push_str(&format!(
            "[minimum_tcb.Genoa]\nboot_loader = {least}\nmicrocode = {microcode}\n"
        ));
    }
    let mut paths = Vec::new();
    let root = text(&case, "amd_root_ca_pem");
    let trust = (!root.is_empty()).then(|| {
        let ask = folder.join("ask.pem");
        fs::write(&ask, text(&case, "ask_pem")).expect("a file can be written");
        paths.push(ask);
        serde_json::json!({"schema": "zeuge.sim-trust.v1", "amd": {"Genoa": root}}).to_string()
    });
    Call {
        evidence: input.to_vec(),
        paths,
        at: at(&case),
        trust,
        policy: Some(
            "schema = \"zeuge.policy.v1\"\n[snp]\n\
             dangerous_without_crl = \"the cases bring no revocation list\"\n"
                .to_owned(),
        ),
        reference_values: document(&values),
        report_data: report_data(policy),
    }
}

/// The measurement of the one real report that the SEV cases are made from.
const REAL_MEASUREMENT: &str = "09ef32acf90fcfeb6206d1a46c13145cef736ebbb83f18eaff680b686232031546ff5fd39c44599699ee8734cbbeb519";
/// MRTD of the one real quote that the TDX cases are made from.
const REAL_MRTD: &str = "6363b8043668a3ad953278e10389574d326c6749fb78aa810ecd9336923db86f22fc00b8dcd404bc10d5e119d7215cbb";

fn document(values: &str) -> Option<String> {
    (!values.is_empty()).then(|| format!("schema = \"zeuge.reference-values.v1\"\n{values}"))
}

/// A case about a TDX quote; its collateral is written into `folder`.
pub(crate) fn tdx(input: &[u8], folder: &Path) -> Call {
    let case: Value = serde_json::from_slice(input).expect("JSON");
    let (policy, collateral) = (&case["policy"], &case["collateral"]);
    let mut paths = Vec::new();
    let mut put = |name: &str, bytes: Vec<u8>| {
        if !bytes.is_empty() {
            let path = folder.join(name);
            fs::write(&path, bytes).expect("a file can be written");
            paths.push(path);
        }
    };
    for name in [
        "tcb_info_json",
        "qe_identity_json",
        "tcb_info_issuer_chain_pem",
        "qe_identity_issuer_chain_pem",
        "pck_crl_issuer_chain_pem",
    ] {
        put(name, text(collateral, name).as_bytes().to_vec());
    }
    for name in ["pck_crl_der_b64", "root_crl_der_b64"] {
        put(
            name,
            STANDARD.decode(text(collateral, name)).expect("base64"),
        );
    }
    let root = text(collateral, "intel_root_ca_pem");
    let trust = (!root.is_empty()).then(|| {
        serde_json::json!({"schema": "zeuge.sim-trust.v1", "intel": {"root": root}}).to_string()
    });
    let mut pins = Vec::new();
    for (name, pin) in [
        ("expected_rtmr3_hex", "rtmr.3"),
        ("expected_mr_config_id_hex", "mr_config_id"),
    ] {
        let value = text(policy, name);
        if !value.is_empty() {
            pins.push(format!("{pin} = [\"{value}\"]"));
        }
    }
    if let Some(list) = policy["expected_mrseam_allowlist"].as_array() {
        pins.push(format!("mr_seam = {}", Value::from(list.clone())));
    }
    let mrtd = match text(policy, "expected_mrtd_hex") {
        "" => REAL_MRTD,
        pinned => pinned,
    };
    let values = match (pins.is_empty(), mrtd == REAL_MRTD) {
        (true, true) => String::new(),
        _ => format!(
            "[[tdx]]\nname = \"case\"\nmr_td = [\"{mrtd}\"]\n{}\n",
            pins.join("\n")
        ),
    };
    Call {
        evidence: STANDARD.decode(text(&case, "quote_b64")).expect("base64"),
        paths,
        at: at(&case),
        trust,
        policy: None,
        reference_values: document(&values),
        report_data: report_data(policy),
    }
}
