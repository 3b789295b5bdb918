//! Did the builder of the measured firmware put its name to it, as the owner demands?
//!
//! An endorsement adds to a known measurement and never replaces one: Google's firmware starts
//! whatever its customer brings. Never checks who signed it; that is proven before.

use serde::Deserialize;
pub use zeuge_verify::google::Firmware;

use crate::{Finding, Findings, RootNamed, Wanted};

/// The ids of this file.
pub const CHECKS: &[&str] = &["policy.firmware-endorsement", "policy.firmware-svn"];

/// The part of the policy for firmware that Google endorses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GooglePolicy {
    /// An endorsement of this very measurement must come along and hold.
    #[serde(default)]
    pub require_endorsement: bool,
    /// Lowest security version of the firmware, in Google's counting; means that an endorsement is
    /// demanded.
    #[serde(default)]
    pub minimum_svn: Option<u32>,
}

/// Judges what is known about the firmware.
pub(crate) fn judge(firmware: &Firmware, wanted: &Wanted<'_>, findings: &mut Findings) {
    let policy = &wanted.policy.google;
    let demanded = policy.require_endorsement || policy.minimum_svn.is_some();
    findings.check("policy.firmware-endorsement", || {
        let id = "policy.firmware-endorsement";
        match firmware {
            Firmware::Endorsed(_) => Some(Finding::pass(id)),
            Firmware::NotGiven => demanded.then(|| {
                Finding::fail(
                    id,
                    "no endorsement of the firmware by its builder came along",
                )
                .difference("none", "one of this measurement")
            }),
            Firmware::Refused(error) => {
                let because = format!(
                    "the endorsement of the firmware that came along proves nothing: {} ({error})",
                    error.check()
                );
                Some(match demanded {
                    true => Finding::fail(id, because).difference(error.check(), "one that holds"),
                    false => Finding::warn(id, because),
                })
            }
        }
    });
    findings.check("policy.firmware-svn", || {
        let (Some(least), Firmware::Endorsed(facts)) = (policy.minimum_svn, firmware) else {
            return None;
        };
        let id = "policy.firmware-svn";
        Some(if facts.svn >= least {
            Finding::pass(id)
        } else {
            let because = "the firmware is older than the policy allows";
            Finding::fail(id, because)
                .difference(facts.svn.to_string(), format!("at least {least}"))
        })
    });
}

/// The root of an endorsement that counted.
pub(crate) fn root(firmware: &Firmware) -> Option<RootNamed> {
    match firmware {
        Firmware::Endorsed(facts) => Some(RootNamed::from(&facts.root)),
        Firmware::NotGiven | Firmware::Refused(_) => None,
    }
}
