//! What Linux ran and read, file by file: known digests, known signers.
//!
//! Only entries that the signed PCR 10 covers count. A file that changed while it was measured (a
//! violation) is never accepted.

use zeuge_evidence::ima::Filling;
use zeuge_verify::tpm::{ImaFacts, TpmFacts};

use super::ImaPolicy;
use crate::{Finding, Findings, Wanted};

/// Files named in one refusal; the rest is counted.
const NAMED_MAX: usize = 8;

pub(super) fn check(facts: &TpmFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    findings.check("policy.ima", || {
        let policy = wanted.policy.tpm.ima.as_ref()?;
        let Some(list) = &facts.ima else {
            return Some(
                Finding::fail("policy.ima", "no IMA list came along")
                    .difference("none", "the IMA list"),
            );
        };
        if list.filling == Filling::PaddedSha1 {
            let because = "the kernel filled this bank with SHA-1: the list is only as strong";
            return Some(
                Finding::fail("policy.ima", because)
                    .difference("padded SHA-1", format!("digests of {}", list.bank)),
            );
        }
        if list.boot_aggregate == Some(false) {
            let because = "the list's first entry is not the hash of the quoted boot PCRs";
            return Some(Finding::fail("policy.ima", because));
        }
        Some(files(list, policy))
    });
}

fn files(list: &ImaFacts, policy: &ImaPolicy) -> Finding {
    let mut unknown = Vec::new();
    let mut others = 0_usize;
    for (position, (entry, signer)) in list.attested.iter().zip(&list.signers).enumerate() {
        let digest = format!("{}:{}", entry.algorithm, hex::encode(&entry.digest));
        let first = position == 0 && entry.name == "boot_aggregate";
        let known = policy
            .digests
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&digest));
        let ignored = policy.ignored_paths.contains(&entry.name);
        let good = !entry.is_violation() && (known || signer.is_some() || ignored);
        if first || good {
            continue;
        }
        if unknown.len() < NAMED_MAX {
            let how = if entry.is_violation() {
                "changed while it was measured"
            } else {
                digest.as_str()
            };
            unknown.push(format!("{position}: {} ({how})", entry.name));
        } else {
            others = others.saturating_add(1);
        }
    }
    if unknown.is_empty() {
        return Finding::pass("policy.ima");
    }
    if others > 0 {
        unknown.push(format!("and {others} more"));
    }
    Finding::fail(
        "policy.ima",
        "files ran or were read that nobody vouches for",
    )
    .difference(unknown.join("; "), "files of known digests or signers")
}
