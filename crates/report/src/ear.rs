//! A verdict as one device of an EAR: status, AR4SI vector and facts (draft-ietf-rats-ear,
//! draft-ietf-rats-ar4si).
//!
//! Never says more than the verdict, and signs nothing.

use zeuge_appraise::{Finding, Status, Verdict, Word};
use zeuge_protocol::ear::{self, Appraisal, Vector};

/// AR4SI, of every claim: the evidence has elements that cannot be read.
const UNREADABLE: i8 = 1;
/// AR4SI, of every claim: the cryptographic validation of the evidence failed.
const NOT_VALID: i8 = 99;

/// The claim of the checks with these ids: affirming, warning or contraindicated by the worst of
/// them, 0 where none of them ran.
fn claim(verdict: &Verdict, ids: &[&str]) -> i8 {
    let named = |finding: &&Finding| ids.contains(&finding.id);
    let found = verdict.findings.iter().filter(named);
    match found.map(|finding| finding.status).max() {
        None | Some(Status::Unchecked) => 0,
        Some(Status::Pass) => 2,
        Some(Status::Warn) => 32,
        Some(Status::Fail) => 96,
    }
}

fn vector(verdict: &Verdict) -> Vector {
    let of = |ids: &[&str]| claim(verdict, ids);
    match verdict.word {
        Word::Malformed => Vector {
            hardware: UNREADABLE,
            ..Vector::default()
        },
        Word::Untrusted => Vector {
            hardware: NOT_VALID,
            ..Vector::default()
        },
        Word::Unavailable => Vector::default(),
        Word::Affirming | Word::Warning | Word::Contraindicated => Vector {
            instance_identity: of(&["hardware.enrolled", "hardware.key"]),
            configuration: of(&["policy.debug", "policy.migration", "policy.vmpl"]),
            executables: of(&[
                "policy.measurement",
                "policy.host-data",
                "policy.guest-boot",
            ]),
            hardware: of(&["policy.tcb", "amd.crl.fresh", "dangerous.sim-root"]),
            runtime_opaque: of(&["policy.debug", "policy.migration"]),
            ..Vector::default()
        },
    }
}

/// Everybody whose keys have to be trusted, each once.
fn makers(verdict: &Verdict) -> Vec<String> {
    let mut makers: Vec<String> = verdict.roots.iter().map(|it| it.maker.clone()).collect();
    makers.sort_unstable();
    makers.dedup();
    makers
}

/// The appraisal of the one device that a verdict is about.
#[must_use]
pub fn appraisal(verdict: &Verdict, policy_ids: Vec<String>) -> Appraisal {
    let status = match verdict.word {
        Word::Affirming => ear::Status::Affirming,
        Word::Warning => ear::Status::Warning,
        // Nothing is known against the machine, and nothing for it.
        Word::Unavailable => ear::Status::None,
        Word::Contraindicated | Word::Malformed | Word::Untrusted => ear::Status::Contraindicated,
    };
    let vector = vector(verdict);
    Appraisal {
        status: status.max(vector.worst()),
        vector,
        policy_ids,
        failed: verdict
            .findings
            .iter()
            .filter(|finding| finding.status == Status::Fail)
            .map(|finding| finding.id.to_owned())
            .collect(),
        makers: makers(verdict),
        product: verdict.product.clone(),
        adversaries: verdict
            .adversaries
            .iter()
            .map(|it| (it.who.word().to_owned(), it.protection.word().to_owned()))
            .collect(),
        claims: verdict
            .facts
            .as_ref()
            .map(crate::claims)
            .unwrap_or_default(),
    }
}

/// The claims set of an EAR without issuer, audience, expiry and signature (EAT-UCS): for people
/// and pipes, never for relying parties, who could not know who says so.
///
/// `build` names the program that verified.
#[must_use]
pub fn unsigned(
    verdict: &Verdict,
    policy_ids: Vec<String>,
    build: &str,
    developer: &str,
) -> serde_json::Value {
    serde_json::json!({
        "eat_profile": ear::PROFILE,
        "iat": verdict.at.0,
        "zeuge_knowledge_version": verdict.knowledge.version,
        "ear_verifier_id": {"developer": developer, "build": build},
        "submods": {verdict.kind.word(): appraisal(verdict, policy_ids)},
    })
}
