//! What owners write: policies, rules, reference values, registries, threat knowledge, and the trust file of a toy.

use zeuge_appraise::{
    DocumentError, HardwareRegistry, Knowledge, Policy, ReferenceValues, ReleaseRule,
};
use zeuge_verify::Anchors;

use crate::{
    meter::{Bound, within},
    must,
};

fn document<T>(bytes: &[u8], parse: fn(&str) -> Result<T, DocumentError>) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // 65,536 parts at most, each of up to 1,200 bytes, and the texts.
    let parts = bytes.iter().filter(|byte| b".,=[{".contains(byte)).count();
    let bound = Bound::new(8, 64 * 1024 + 1200 * parts.min(64 * 1024));
    if let Err(error) = within(bound, bytes.len(), || parse(text)) {
        must::name_a_check(error.check());
        assert!(
            error.to_string().len() <= 4 * bytes.len() + 2000,
            "a refusal as long as {}",
            error.to_string().len()
        );
    }
}

/// A policy.
pub(crate) fn policy(bytes: &[u8]) {
    document(bytes, Policy::parse);
}

/// Reference values.
pub(crate) fn reference_values(bytes: &[u8]) {
    document(bytes, ReferenceValues::parse);
}

/// A release rule.
pub(crate) fn release_rule(bytes: &[u8]) {
    document(bytes, ReleaseRule::parse);
}

/// A hardware registry.
pub(crate) fn hardware(bytes: &[u8]) {
    document(bytes, HardwareRegistry::parse);
}

/// Roots of TPM makers, as their file names them.
pub(crate) fn tpm_roots(bytes: &[u8]) {
    document(bytes, zeuge_appraise::tpm::named_roots);
}

/// Threat knowledge.
pub(crate) fn knowledge(bytes: &[u8]) {
    document(bytes, Knowledge::parse);
}

/// The trust file of a toy vendor.
pub(crate) fn trust_file(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = within(Bound::new(64, 64 * 1024), bytes.len(), || {
            Anchors::dangerous_sim(text)
        });
    }
}
