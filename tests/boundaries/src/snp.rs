//! Reports of SEV-SNP, bare and wrapped.

use zeuge_evidence::snp::{
    CertificateTable, ENDORSEMENTS_MAX, Evidence, FirmwareVersion, Form, Report, TABLE, annotate,
};

use crate::{
    meter::{Bound, within},
    must, sparing,
};

/// Notes of a reader: each about one thing beside the report.
const NOTES_MAX: usize = 2 * ENDORSEMENTS_MAX + 8;

/// A bare report.
pub(crate) fn report(bytes: &[u8]) {
    match within(Bound::BORROWS, bytes.len(), || Report::parse(bytes)) {
        Ok(report) => {
            assert_eq!(report.bytes()[..], bytes[..Report::LEN]);
            assert_eq!(report.signed_part(), &bytes[..Report::SIGNED_LEN]);
            assert_eq!(written(&report), bytes[..Report::LEN]);
            if sparing::chosen(bytes) {
                assert!(zeuge_verify::snp::needs(&report).len() <= 8);
                let tree = annotate::annotate(bytes, 0).expect("what is read can be shown");
                must::show_in_place(&tree, bytes);
            }
        }
        Err(malformed) => {
            must::refuse(&malformed, bytes.len());
            if sparing::chosen(bytes) {
                assert!(annotate::annotate(bytes, 0).is_err());
            }
        }
    }
}

/// The report written again from its typed fields, by offsets of AMD 56860 that share nothing with
/// the reader. Equal bytes mean that every bit is either in a field or refused.
fn written(report: &Report<'_>) -> Vec<u8> {
    let mut out = vec![0; Report::LEN];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    let claims = &report.claims;
    put(0x000, &claims.version.to_le_bytes());
    put(0x004, &claims.guest_svn.to_le_bytes());
    put(0x008, &claims.policy.0.to_le_bytes());
    put(0x010, &claims.family_id);
    put(0x020, &claims.image_id);
    put(0x030, &claims.vmpl.to_le_bytes());
    put(0x034, &claims.signature_algo.to_le_bytes());
    put(0x038, &claims.current_tcb.0);
    put(0x040, &claims.platform_info.0.to_le_bytes());
    put(0x048, &claims.key_info.0.to_le_bytes());
    put(0x050, &claims.report_data);
    put(0x090, &claims.measurement);
    put(0x0c0, &claims.host_data);
    put(0x0e0, &claims.id_key_digest);
    put(0x110, &claims.author_key_digest);
    put(0x140, &claims.report_id);
    put(0x160, &claims.report_id_ma);
    put(0x180, &claims.reported_tcb.0);
    if let Some(cpuid) = claims.cpuid {
        put(0x188, &[cpuid.family, cpuid.model, cpuid.stepping]);
    }
    put(0x1a0, &claims.chip_id);
    put(0x1e0, &claims.committed_tcb.0);
    let version = |version: FirmwareVersion| [version.build, version.minor, version.major];
    put(0x1e8, &version(claims.current_version));
    put(0x1ec, &version(claims.committed_version));
    put(0x1f0, &claims.launch_tcb.0);
    if let Some(mitigations) = claims.mitigations {
        put(0x1f8, &mitigations.launch.to_le_bytes());
        put(0x200, &mitigations.current.to_le_bytes());
    }
    let signature = report.signature_fixed();
    for (at, number) in [(0x2a0, &signature[..48]), (0x2e8, &signature[48..])] {
        let little: Vec<u8> = number.iter().rev().copied().collect();
        put(at, &little);
    }
    out
}

/// What every wrapping must keep.
fn evidence(bytes: &[u8], bound: Bound) {
    match within(bound, bytes.len(), || Evidence::read(bytes)) {
        Ok(evidence) => {
            assert_eq!(evidence.report.len(), Report::LEN);
            assert!(evidence.endorsements.len() <= ENDORSEMENTS_MAX);
            assert!(evidence.notes.len() <= NOTES_MAX, "{:?}", evidence.notes);
            for note in &evidence.notes {
                must::be_short(note);
                assert!(!note.contains(char::is_control), "{note:?}");
            }
            let held: usize = evidence.endorsements.iter().map(|(_, one)| one.len()).sum();
            assert!(held <= bytes.len().saturating_mul(1100));
            // The report itself is the business of `snp-report`.
            if sparing::chosen(bytes) {
                unwrapped(bytes, &evidence);
            }
        }
        Err(malformed) => must::refuse(&malformed, bytes.len()),
    }
}

/// What was taken out of a wrapping is evidence itself, and can be shown.
fn unwrapped(bytes: &[u8], evidence: &Evidence) {
    let bare = Evidence::read(&evidence.report).map(|bare| bare.report);
    // A bare report may begin like another form; then its own reader refuses it as well.
    if Report::parse(&evidence.report).is_ok() {
        assert_eq!(bare.as_ref(), Ok(&evidence.report));
    }
    report(&evidence.report);
    if let Ok(tree) = annotate::evidence(bytes) {
        match evidence.form {
            Form::Raw | Form::WithTable => must::show_in_place(&tree, bytes),
            Form::Json | Form::Protobuf => must::show_unwrapped(&tree),
        }
    }
}

/// The evidence of Trustee clients and others in JSON.
pub(crate) fn json(bytes: &[u8]) {
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        evidence(bytes, Bound::TREE);
    }
}

/// The protobuf of go-sev-guest.
pub(crate) fn protobuf(bytes: &[u8]) {
    if bytes.first() == Some(&0x0a) {
        evidence(bytes, Bound::new(4, 16 * 1024));
    }
}

/// A report with a certificate table behind it, and the table alone.
pub(crate) fn table(bytes: &[u8]) {
    match within(Bound::new(4, 4096), bytes.len(), || {
        CertificateTable::parse(bytes)
    }) {
        Ok(table) => {
            for entry in &table.entries {
                must::be_short(entry.name());
                assert_eq!(
                    bytes.get(entry.data_at..entry.data_at + entry.data.len()),
                    Some(entry.data)
                );
            }
        }
        Err(malformed) => {
            assert_eq!(malformed.check, TABLE);
            must::refuse(&malformed, bytes.len());
        }
    }
    let mut whole = crate::seeds::bare_report();
    whole.extend_from_slice(bytes);
    evidence(&whole, Bound::new(6, 16 * 1024));
}
