//! What is coming: how a platform of Intel's stands under newer documents than those in force, and
//! from when the owner's policy would refuse it.
//!
//! Warns and never refuses: what is in force decides today. Foretells nothing that no document
//! says: what Intel publishes tomorrow is unknown.

use zeuge_evidence::UnixTime;
use zeuge_verify::dcap::QuoteFacts;

use crate::{Finding, Findings, Status, Wanted, dcap};

/// The ids of this file.
pub const CHECKS: &[&str] = &["policy.tcb-outlook"];

/// From when the wishes refuse a platform as it stands under some documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFrom {
    /// The first instant.
    pub from: UnixTime,
    /// The check that refuses it then.
    pub check: &'static str,
}

/// From when these wishes refuse this platform under the documents of these facts, if the documents
/// stay as they are; `None` if never. Revocation lists are left out: they are fetched anew.
#[must_use]
pub fn refused_from(facts: &QuoteFacts, wanted: &Wanted<'_>) -> Option<RefusedFrom> {
    let grace = i64::from(wanted.policy.intel.grace_days).saturating_mul(86_400);
    let grace_ends = facts.standing.tcb_date.map(|date| date.plus(grace).plus(1));
    let certificate_ends = facts.pck_not_after.plus(1);
    let mut instants = vec![wanted.at];
    instants.extend(grace_ends.into_iter().chain([certificate_ends]));
    instants.retain(|instant| *instant >= wanted.at);
    instants.sort();
    instants.into_iter().find_map(|from| {
        let refused = |check| RefusedFrom { from, check };
        if from > facts.pck_not_after {
            return Some(refused("dcap.pck.validity"));
        }
        let then = Wanted {
            at: from,
            ..wanted.clone()
        };
        let mut findings = Findings::new(&[]);
        dcap::platform(facts, &then, &mut findings);
        let list = findings.into_list();
        let failed = list.iter().find(|finding| finding.status == Status::Fail)?;
        Some(refused(failed.id))
    })
}

/// How long ahead the end of a platform's own certificate is worth a warning.
const CERTIFICATE_SECS: i64 = 90 * 86_400;

/// Warns of what the newer documents say, of the end of grace, and of the end of the platform's
/// certificate when it is near.
pub(crate) fn check(facts: &QuoteFacts, wanted: &Wanted<'_>, findings: &mut Findings) {
    findings.check("policy.tcb-outlook", || {
        let far = |refused: &RefusedFrom| {
            refused.check == "dcap.pck.validity" && refused.from > wanted.at.plus(CERTIFICATE_SECS)
        };
        let foreseen = |facts| refused_from(facts, wanted).filter(|refused| !far(refused));
        let now = foreseen(facts);
        if now.as_ref().is_some_and(|now| now.from <= wanted.at) {
            // Refused today, by its own check.
            return None;
        }
        let ahead = wanted
            .ahead
            .filter(|ahead| ahead.evaluation_number > facts.evaluation_number);
        let refused = ahead.and_then(|ahead| Some((ahead, foreseen(ahead)?)));
        Some(match (refused, now, ahead) {
            (Some((ahead, refused)), _, _) => Finding::warn(
                "policy.tcb-outlook",
                format!(
                    "once newer documents of Intel's are in force, {} refuses this platform",
                    refused.check
                ),
            )
            .difference(
                format!(
                    "{} under number {}, refused from {}",
                    ahead.standing.status, ahead.evaluation_number, refused.from
                ),
                "a platform that stays accepted",
            ),
            (None, Some(refused), _) => Finding::warn(
                "policy.tcb-outlook",
                format!(
                    "from {} on {} refuses this platform",
                    refused.from, refused.check
                ),
            )
            .difference(
                format!("{}, refused from {}", facts.standing.status, refused.from),
                "a platform that stays accepted",
            ),
            (None, None, Some(_)) => Finding::pass("policy.tcb-outlook"),
            // Nothing newer is known: nothing is foretold.
            (None, None, None) => return None,
        })
    });
}
