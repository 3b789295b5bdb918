//! A launch endorsement field by field, for `zeuge inspect`.

use super::{Golden, LaunchEndorsement};
use crate::{Malformed, annotate::Node};

const SPEC: &str = "gce-tcb-verifier, endorsement.proto";
/// Measurements that are shown one by one; Google lists some 200.
const SHOWN_MAX: usize = 64;

/// The tree of an endorsement.
///
/// # Errors
/// As [`LaunchEndorsement::parse`].
pub fn annotate(bytes: &[u8]) -> Result<Node, Malformed> {
    let read = LaunchEndorsement::parse(bytes)?;
    let from = bytes.as_ptr().addr();
    let at = |part: &[u8]| part.as_ptr().addr().saturating_sub(from);
    let signed = read.signed;
    let members = golden(&read.golden, signed, at);
    let children = vec![
        Node::group("serialized_uefi_golden", at(signed), signed.len(), members)
            .meaning("what Google signed about one build of its firmware"),
        Node::bytes("signature", at(read.signature), read.signature)
            .meaning("RSASSA-PSS with SHA-256")
            .spec(SPEC),
    ];
    Ok(Node::group("VMLaunchEndorsement", 0, bytes.len(), children))
}

fn golden(golden: &Golden<'_>, signed: &[u8], at: impl Fn(&[u8]) -> usize) -> Vec<Node> {
    let whole = (at(signed), signed.len());
    // What was decoded has no place of its own: it stands somewhere in the whole.
    let told = |name: String, value: String| Node::field(name, whole.0, whole.1, value).spec(SPEC);
    let shown = |name: &str, part: &[u8]| Node::bytes(name.to_owned(), at(part), part).spec(SPEC);
    let mut out = vec![told("timestamp".to_owned(), golden.timestamp.to_string())];
    if golden.change != 0 {
        out.push(told("cl_spec".to_owned(), golden.change.to_string()));
    }
    if !golden.commit.is_empty() {
        out.push(shown("commit", golden.commit));
    }
    out.push(shown("cert", golden.certificate).meaning("the certificate of the signing key"));
    if !golden.digest.is_empty() {
        out.push(shown("digest", golden.digest).meaning("SHA-384 of the firmware's file"));
    }
    for certificate in &golden.bundle {
        let name = "ca_bundle".to_owned();
        out.push(told(name, format!("{} bytes", certificate.len())));
    }
    let mut left = 0_usize;
    if let Some(snp) = &golden.snp {
        out.push(told("sev_snp.svn".to_owned(), snp.svn.to_string()));
        out.push(told(
            "sev_snp.policy".to_owned(),
            format!("{:#x}", snp.policy),
        ));
        for (name, part) in [("family_id", snp.family_id), ("image_id", snp.image_id)] {
            if !part.is_empty() {
                out.push(shown(name, part));
            }
        }
        for (shape, value) in snp.measurements.iter().take(SHOWN_MAX) {
            let name = format!("MEASUREMENT with {shape} virtual CPUs");
            out.push(Node::bytes(name, at(*value), *value).spec(SPEC));
        }
        left = snp.measurements.len().saturating_sub(SHOWN_MAX);
    }
    if let Some(tdx) = &golden.tdx {
        out.push(told("tdx.svn".to_owned(), tdx.svn.to_string()));
        for shape in tdx.measurements.iter().take(SHOWN_MAX) {
            let memory = match (shape.ram_gib, shape.early_accept) {
                (0, _) => "MRTD of any memory".to_owned(),
                (gib, true) => format!("MRTD with {gib} GiB, all accepted early"),
                (gib, false) => format!("MRTD with {gib} GiB"),
            };
            out.push(Node::bytes(memory, at(shape.mr_td), shape.mr_td).spec(SPEC));
        }
        left = left.saturating_add(tdx.measurements.len().saturating_sub(SHOWN_MAX));
    }
    if left > 0 {
        out.push(told(
            "more".to_owned(),
            format!("{left} further measurements"),
        ));
    }
    out
}
