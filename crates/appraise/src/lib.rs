//! Verified facts, reference values and policy: **the verdict, and perhaps an admission**.
//!
//! Takes only [`zeuge_verify::Verified`] where something may be released, so that the order
//! (well-formed, then proven, then wanted) cannot be got wrong. Lists every finding, where
//! verification stops at the first. Never reads a clock, never fetches, never checks a signature.
//!
//! The floor of every verdict needs no policy: debug off, migration off, a declared privilege
//! level, versions not below the built-in floor, a known measurement, a fresh revocation list.
//! What weakens it is spelled `dangerous_…` and shows in the verdict.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

pub mod admission;
pub mod azure;
pub mod composite;
pub mod dcap;
pub mod document;
mod findings;
mod floor;
pub mod google;
pub mod hardware;
pub mod nitro;
pub mod outlook;
pub mod policy;
pub mod reference;
pub mod rule;
pub mod snp;
pub mod threats;
pub mod tpm;
mod verdict;

pub use admission::{Admissible, Admission, Admitted, Grant, admit};
pub use document::DocumentError;
pub use findings::{Finding, Findings, Status};
pub use hardware::{Chip, HardwareRegistry, IntelPlatform, PinnedKey, PinnedPck};
pub use policy::{Expect, Policy};
pub use reference::{BindingProfile, IdBlock, ReferenceValues, SnpReference, TcbFloor};
pub use rule::{Chips, ReleaseRule, Suite};
pub use threats::{JudgedBy, Knowledge};
pub use verdict::{Kind, NotProved, RootNamed, Verdict, Word};

pub use zeuge_evidence::dcap::Body;
pub use zeuge_evidence::{UnixTime, snp::TcbBytes};
pub use zeuge_verify::{
    azure::AzureFacts,
    composite::{CompositeFacts, Cpu},
    dcap::{BootLog, QuoteFacts},
    nitro::NitroFacts,
    snp::SnpFacts,
    tpm::TpmFacts,
};

/// The ids of this room.
pub const CHECKS: &[&[&str]] = &[
    azure::CHECKS,
    composite::CHECKS,
    dcap::CHECKS,
    outlook::CHECKS,
    document::CHECKS,
    google::CHECKS,
    snp::CHECKS,
    hardware::CHECKS,
    nitro::CHECKS,
    rule::CHECKS,
    tpm::CHECKS,
];

/// What is proven about one machine, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Facts {
    /// A machine behind Azure's paravisor: its CPU's report, and its virtual TPM.
    Azure(Box<AzureFacts>),
    /// A CPU and a TPM that answered one challenge.
    Composite(Box<CompositeFacts>),
    /// An attestation document of AWS's Nitro hypervisor.
    Nitro(Box<NitroFacts>),
    /// A quote of Intel TDX or SGX.
    Quote(Box<QuoteFacts>),
    /// An AMD SEV-SNP report.
    Snp(Box<SnpFacts>),
    /// A quote of a TPM, with the logs that came along.
    Tpm(Box<TpmFacts>),
}

impl Facts {
    /// The kinds of evidence that these facts come from, as release rules name them.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        match self {
            // A paravisor's report is no report of a direct guest, whoever made the chip.
            Self::Azure(_) => vec![Kind::Azure],
            Self::Composite(facts) => {
                let mut kinds = composite::cpu(facts).kinds();
                kinds.push(Kind::Tpm);
                kinds
            }
            Self::Quote(facts) => vec![match facts.claims {
                Body::Sgx(_) => Kind::Sgx,
                Body::Tdx(_) => Kind::Tdx,
            }],
            Self::Nitro(_) => vec![Kind::Nitro],
            Self::Snp(_) => vec![Kind::Snp],
            Self::Tpm(_) => vec![Kind::Tpm],
        }
    }
}

impl From<AzureFacts> for Facts {
    fn from(facts: AzureFacts) -> Self {
        Self::Azure(Box::new(facts))
    }
}

impl From<CompositeFacts> for Facts {
    fn from(facts: CompositeFacts) -> Self {
        Self::Composite(Box::new(facts))
    }
}

impl From<NitroFacts> for Facts {
    fn from(facts: NitroFacts) -> Self {
        Self::Nitro(Box::new(facts))
    }
}

impl From<TpmFacts> for Facts {
    fn from(facts: TpmFacts) -> Self {
        Self::Tpm(Box::new(facts))
    }
}

impl From<QuoteFacts> for Facts {
    fn from(facts: QuoteFacts) -> Self {
        Self::Quote(Box::new(facts))
    }
}

impl From<SnpFacts> for Facts {
    fn from(facts: SnpFacts) -> Self {
        Self::Snp(Box::new(facts))
    }
}

/// What a machine is measured against: the owner's wishes and the instant.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The owner's policy; [`Policy::default`] is the floor and nothing else.
    pub policy: &'a Policy,
    /// The owner's reference values.
    pub reference_values: &'a ReferenceValues,
    /// The enrolled chips; `None` where no registry is asked (the verdict says so).
    pub hardware: Option<&'a HardwareRegistry>,
    /// The highest tcbEvaluationDataNumber of Intel's documents about this kind of platform that
    /// whoever judges has ever seen proven; `None` where nobody remembers.
    pub evaluation_number_seen: Option<u32>,
    /// What the same quote proves under newer documents of Intel's than those in force; `None` where
    /// none are known. Only warns.
    pub ahead: Option<&'a QuoteFacts>,
    /// `Some` when no measurement is demanded, with the reason; shows in the verdict.
    pub hardware_only: Option<&'a str>,
    /// The instant of the appraisal.
    pub at: UnixTime,
}

/// Judges facts, also recorded ones. Gives a verdict and never an admission.
#[must_use]
pub fn judge(facts: &Facts, passed: &[&'static str], wanted: &Wanted<'_>) -> Verdict {
    let mut verdict = findings(facts, passed, wanted);
    verdict.assess(Knowledge::built_in(), JudgedBy::Owner);
    verdict
}

/// As [`judge`], with neither threats nor adversaries: for who assesses with other knowledge, and
/// where findings alone decide.
#[must_use]
pub fn findings(facts: &Facts, passed: &[&'static str], wanted: &Wanted<'_>) -> Verdict {
    let mut findings = Findings::new(passed);
    match facts {
        Facts::Azure(facts) => azure::judge(facts, passed, wanted),
        Facts::Composite(facts) => composite::judge(facts, passed, wanted),
        Facts::Nitro(facts) => nitro::judge(facts, wanted, &mut findings),
        Facts::Quote(facts) => dcap::judge(facts, wanted, &mut findings),
        Facts::Snp(facts) => snp::judge(facts, wanted, &mut findings),
        Facts::Tpm(facts) => tpm::judge(facts, wanted, &mut findings),
    }
}
