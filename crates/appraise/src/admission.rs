//! The in-process proof that one grant may be released.
//!
//! An [`Admission`] cannot be cloned, made elsewhere, or read from the wire: only [`admit`] makes
//! one, and only from [`Verified`] facts. Recorded facts give verdicts and never admissions.

use zeuge_evidence::UnixTime;
use zeuge_verify::{
    Verified, azure::AzureFacts, composite::CompositeFacts, dcap::QuoteFacts, nitro::NitroFacts,
    snp::SnpFacts, tpm::TpmFacts,
};

use crate::{Facts, ReleaseRule, Status, Suite, Verdict, Wanted, Word, findings};

/// One secret version for one machine key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The tenant.
    pub tenant: String,
    /// The secret's path.
    pub path: String,
    /// The secret's version.
    pub version: u64,
    /// SHA-256 of the recipient's public key.
    pub recipient: [u8; 32],
    /// SHA-256 of the challenge that the machine answered.
    pub challenge: [u8; 32],
    /// The epoch of policy, registry, revocation, collateral and knowledge under which it was
    /// judged.
    pub epoch: u64,
    /// The last instant at which it may be used; at most 5 seconds after the judgement.
    pub expires: UnixTime,
}

/// How long an admission lives, in seconds (DESIGN §5.6).
pub const ADMISSION_SECS_MAX: i64 = 5;

/// The proof that one [`Grant`] may be released.
#[derive(Debug)]
pub struct Admission {
    grant: Grant,
}

impl Admission {
    /// What may be released.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether it may still be used at this instant and under this epoch.
    #[must_use]
    pub fn is_current(&self, at: UnixTime, epoch: u64) -> bool {
        at <= self.grant.expires && epoch == self.grant.epoch
    }
}

/// A verdict under a rule, and the admission if it is good enough.
#[derive(Debug)]
pub struct Admitted {
    /// The verdict with the rule's findings; threats, which no rule reads, are not assessed.
    pub verdict: Verdict,
    /// The admission, unless the verdict refuses.
    pub admission: Option<Admission>,
}

/// Facts that may lead to an admission.
pub trait Admissible: sealed::Sealed + Clone
where
    Facts: From<Self>,
{
}

impl Admissible for SnpFacts {}
impl Admissible for QuoteFacts {}
impl Admissible for TpmFacts {}
impl Admissible for CompositeFacts {}
impl Admissible for AzureFacts {}
impl Admissible for NitroFacts {}

mod sealed {
    /// Nobody else says what may be admitted.
    pub trait Sealed {}

    impl Sealed for zeuge_verify::snp::SnpFacts {}
    impl Sealed for zeuge_verify::dcap::QuoteFacts {}
    impl Sealed for zeuge_verify::tpm::TpmFacts {}
    impl Sealed for zeuge_verify::composite::CompositeFacts {}
    impl Sealed for zeuge_verify::azure::AzureFacts {}
    impl Sealed for zeuge_verify::nitro::NitroFacts {}
}

/// Judges verified facts under a release rule and admits one grant.
///
/// `door` is where the request came in, `suite` the HPKE suite of the recipient. A grant whose
/// tenant or path is not the rule's, or that lives longer than [`ADMISSION_SECS_MAX`], is not
/// admitted, nor is evidence that answers no question: anybody may have kept it.
#[must_use]
pub fn admit<F: Admissible>(
    verified: &Verified<F>,
    rule: &ReleaseRule,
    wanted: &Wanted<'_>,
    door: &str,
    suite: Suite,
    grant: Grant,
) -> Admitted
where
    Facts: From<F>,
{
    let facts = Facts::from(verified.fact().clone());
    let verdict = findings(&facts, verified.trail().passed(), wanted);
    let verdict = rule.apply(&verdict, wanted, door, suite);
    let good = matches!(verdict.word, Word::Affirming | Word::Warning);
    let bound = !verdict
        .findings
        .iter()
        .any(|finding| finding.id == "policy.binding" && finding.status != Status::Pass);
    let named = grant.tenant == rule.tenant && grant.path == rule.path;
    let short = grant.expires <= wanted.at.plus(ADMISSION_SECS_MAX);
    let admission = (good && bound && named && short).then_some(Admission { grant });
    Admitted { verdict, admission }
}
