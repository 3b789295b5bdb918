//! An HCL report field by field, for `zeuge inspect`.

use super::{HARDWARE_BYTES, Hardware, HclReport, RuntimeClaims, VmConfiguration};
use crate::{Malformed, annotate::Node, snp};

const SPEC: &str = "OpenHCL attestation protocol, IGVM attest report";

fn number(name: &str, offset: usize, value: u32) -> Node {
    Node::field(name, offset, 4, format!("{value} ({value:#x})")).spec(SPEC)
}

/// The tree of an HCL report.
///
/// # Errors
/// As [`HclReport::parse`], [`RuntimeClaims::parse`] and the readers of the hardware report.
pub fn annotate(bytes: &[u8]) -> Result<Node, Malformed> {
    let hcl = HclReport::parse(bytes)?;
    let claims = RuntimeClaims::parse(hcl.claims)?;
    let hardware_at = HclReport::report_offset();
    let behind = hardware_at.saturating_add(HARDWARE_BYTES);
    let claims_at = behind.saturating_add(20);
    let (kind, meaning) = match hcl.hardware {
        Hardware::Snp => (2, "AMD SEV-SNP"),
        Hardware::Tdx => (
            4,
            "Intel TDX: a TDREPORT, to be believed only with a TD quote",
        ),
    };
    let children = vec![
        Node::bytes("signature", 0, bytes.get(..4).unwrap_or_default())
            .meaning("HCLA; signed by nobody, like all of this header")
            .spec(SPEC),
        number("version", 4, hcl.version),
        number("request_type", 12, hcl.request_type),
        hardware(&hcl, bytes)?,
        number("report_type", behind.saturating_add(8), kind).meaning(meaning),
        Node::field(
            "hash type",
            behind.saturating_add(12),
            4,
            hcl.hash.to_string(),
        )
        .spec(SPEC),
        runtime(&hcl, &claims, claims_at),
    ];
    Ok(Node::group("HCL report", 0, bytes.len(), children).spec(SPEC))
}

fn hardware(hcl: &HclReport<'_>, bytes: &[u8]) -> Result<Node, Malformed> {
    let at = HclReport::report_offset();
    match hcl.hardware {
        Hardware::Snp => snp::annotate::annotate(hcl.report, at),
        Hardware::Tdx => {
            super::LocalTdReport::parse(hcl.report)?;
            let field = |name: &str, offset: usize, length: usize| {
                let from = at.saturating_add(offset);
                let part = bytes.get(from..from.saturating_add(length));
                Node::bytes(name, from, part.unwrap_or_default())
                    .spec("Intel TDX Module ABI, TDREPORT_STRUCT")
            };
            let parts = vec![
                field("REPORTTYPE", 0, 4),
                field("CPUSVN", 16, 16),
                field("REPORTDATA", 128, 64),
                field("ATTRIBUTES", 512, 8),
                field("XFAM", 520, 8),
                field("MRTD", 528, 48),
                field("MRCONFIGID", 576, 48),
                field("MROWNER", 624, 48),
                field("MROWNERCONFIG", 672, 48),
                field("RTMR0", 720, 48),
                field("RTMR1", 768, 48),
                field("RTMR2", 816, 48),
                field("RTMR3", 864, 48),
            ];
            Ok(Node::group("TDREPORT", at, super::TD_REPORT_BYTES, parts)
                .meaning("its MAC can be checked on the same machine only"))
        }
    }
}

fn runtime(hcl: &HclReport<'_>, claims: &RuntimeClaims, at: usize) -> Node {
    let length = hcl.claims.len();
    // Members of JSON have no fixed place: each is shown at the beginning of the whole.
    let field = |name: &str, value: String| Node::field(name, at, 0, value);
    let mut parts = Vec::new();
    for key in &claims.keys {
        let bits = key.modulus.len().saturating_mul(8);
        parts.push(
            field(&key.kid, hex::encode(&key.modulus))
                .meaning(format!("RSA of {bits} bits, exponent {}", key.exponent)),
        );
    }
    let VmConfiguration {
        current_time,
        root_cert_thumbprint,
        console_enabled,
        interactive_console_enabled,
        secure_boot,
        tpm_enabled,
        tpm_persisted,
        filtered_vpci_devices_allowed,
        unique_id,
        hardware_sealing_policy,
    } = &claims.vm;
    let flags = [
        ("console-enabled", console_enabled),
        ("interactive-console-enabled", interactive_console_enabled),
        ("secure-boot", secure_boot),
        ("tpm-enabled", tpm_enabled),
        ("tpm-persisted", tpm_persisted),
        (
            "filtered-vpci-devices-allowed",
            filtered_vpci_devices_allowed,
        ),
    ];
    let flags = flags
        .into_iter()
        .filter_map(|(name, flag)| Some((name, flag.map(|flag| flag.to_string())?)));
    let texts = [
        ("root-cert-thumbprint", root_cert_thumbprint),
        ("vmUniqueId", unique_id),
        ("hardware-sealing-policy", hardware_sealing_policy),
    ];
    let texts = texts
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.clone()?)));
    let time = current_time.map(|time| ("current-time", time.to_string()));
    for (name, value) in time.into_iter().chain(flags).chain(texts) {
        parts.push(field(name, value));
    }
    if let Some(data) = &claims.user_data {
        parts.push(field("user-data", hex::encode(data)).meaning("NV index 0x01400002"));
    }
    Node::group("runtime claims", at, length, parts)
        .meaning("believed only where the report data is their hash")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::tests::hcl;

    #[test]
    fn a_tdx_report_is_shown_with_its_claims() {
        let claims = br#"{"keys":[{"kid":"HCLAkPub","kty":"RSA","e":"AQAB","n":"wAE"}],
            "vm-configuration":{"secure-boot":true},"user-data":"01"}"#;
        let mut bytes = hcl(4, claims);
        bytes[32] = 0x81;
        let tree = annotate(&bytes).unwrap();
        assert_eq!(tree.length, bytes.len());
        let names: Vec<&str> = tree
            .children
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        assert_eq!(
            names,
            [
                "signature",
                "version",
                "request_type",
                "TDREPORT",
                "report_type",
                "hash type",
                "runtime claims"
            ]
        );
        let shown: Vec<&str> = tree.children[6]
            .children
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        assert_eq!(shown, ["HCLAkPub", "secure-boot", "user-data"]);
    }
}
