//! The outcome of one bundle: a word, every finding, every root that has to be trusted.
//!
//! Never one green light: the word is read together with the roots and with what was not proved.

use zeuge_evidence::UnixTime;
use zeuge_verify::{Error, Root};

use crate::{
    Facts, Finding, Status,
    threats::{Adversary, Assessed, JudgedBy, Knowledge, KnowledgeId},
};

/// The word of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Verified, and as wanted.
    Affirming,
    /// Verified, and refused: not as wanted.
    Contraindicated,
    /// Bytes that break their format.
    Malformed,
    /// Something that verification cannot go on without is not at hand.
    Unavailable,
    /// A chain, signature, date or binding does not hold.
    Untrusted,
    /// Verified, and accepted with warnings.
    Warning,
}

impl Word {
    /// The word in `zeuge.verdict.v1`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Affirming => "affirming",
            Self::Contraindicated => "contraindicated",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
            Self::Untrusted => "untrusted",
            Self::Warning => "warning",
        }
    }
}

/// What kind of evidence was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nobody could tell.
    Unknown,
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
    /// Intel SGX.
    Sgx,
    /// A TPM or vTPM.
    Tpm,
    /// A CPU and a TPM in one bundle.
    Composite,
    /// A machine behind Azure's paravisor.
    Azure,
    /// An attestation document of AWS's Nitro hypervisor.
    Nitro,
}

impl Kind {
    /// The word in `zeuge.verdict.v1` and in release rules.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Snp => "snp",
            Self::Tdx => "tdx",
            Self::Sgx => "sgx",
            Self::Tpm => "tpm",
            Self::Composite => "composite",
            Self::Azure => "azure",
            Self::Nitro => "nitro",
        }
    }
}

/// A root that has to be trusted for this verdict to mean anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootNamed {
    /// Who holds the key.
    pub maker: String,
    /// Under whose law.
    pub jurisdiction: String,
    /// For what: `cpu`, `hypervisor`, `paravisor`, `provider-key`, `tpm`.
    pub kind: String,
    /// SHA-256 of the root certificate.
    pub fingerprint: [u8; 32],
    /// Not a maker at all, but the toy of tests and demonstrations.
    pub toy: bool,
}

impl From<&Root> for RootNamed {
    fn from(root: &Root) -> Self {
        Self {
            maker: root.maker.clone(),
            jurisdiction: root.jurisdiction.clone(),
            kind: root.kind.to_string(),
            fingerprint: root.fingerprint,
            toy: root.toy,
        }
    }
}

/// Something that no evidence of this kind can prove. Printed with every verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotProved {
    /// That the maker kept its keys.
    MakerKeys,
    /// That nobody has hands on the hardware.
    Hands,
    /// What happened after launch, where there is no run-time register.
    AfterLaunch,
    /// That the machine is one of the owner's.
    OwnMachine,
    /// Which chip it is, under a provider's key.
    WhichChip,
    /// That the evidence is fresh.
    Freshness,
    /// What the run-time registers stand for, without the boot log.
    Registers,
    /// That nobody reads the machine's memory: a TPM alone says nothing about it.
    Memory,
    /// Which programs ran after the boot, without an IMA list.
    Programs,
    /// What the provider's code at the highest privilege inside the machine does.
    Paravisor,
    /// That anybody but the provider stands behind what it says.
    ProviderAlone,
}

/// The appraised outcome of one bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The outcome.
    pub word: Word,
    /// What was judged.
    pub kind: Kind,
    /// The product line, where the maker has several.
    pub product: Option<String>,
    /// The instant of the judgement.
    pub at: UnixTime,
    /// Every finding, verification's first.
    pub findings: Vec<Finding>,
    /// What is proven; `None` when verification failed.
    pub facts: Option<Facts>,
    /// Everybody who has to be trusted.
    pub roots: Vec<RootNamed>,
    /// What this evidence cannot prove.
    pub not_proved: Vec<NotProved>,
    /// What was noticed and decides nothing: skipped endorsements, unknown flags.
    pub notes: Vec<String>,
    /// How every known threat stands; empty when verification failed.
    pub threats: Vec<Assessed>,
    /// Against whom the machine protects: all nine adversaries.
    pub adversaries: Vec<Adversary>,
    /// The knowledge that both were assessed with.
    pub knowledge: KnowledgeId,
}

impl Verdict {
    /// The verdict on evidence that verification refused.
    #[must_use]
    pub fn refused(kind: Kind, error: &Error, at: UnixTime) -> Self {
        let (found, wanted) = error.difference().unwrap_or_default();
        let word = match error {
            Error::Malformed(_) => Word::Malformed,
            Error::Unavailable(_) => Word::Unavailable,
            Error::Untrusted(_) => Word::Untrusted,
        };
        let finding = Finding::fail(error.check(), error.to_string()).difference(found, wanted);
        Self::stopped(word, kind, finding, at)
    }

    /// A verdict on evidence about which nothing is proven: one finding, and every adversary
    /// unknown.
    #[must_use]
    pub fn stopped(word: Word, kind: Kind, finding: Finding, at: UnixTime) -> Self {
        let mut verdict = Self {
            word,
            kind,
            product: None,
            at,
            findings: vec![finding],
            facts: None,
            roots: Vec::new(),
            not_proved: Vec::new(),
            notes: Vec::new(),
            threats: Vec::new(),
            adversaries: Vec::new(),
            knowledge: KnowledgeId::default(),
        };
        verdict.assess(Knowledge::built_in(), JudgedBy::Owner);
        verdict
    }

    /// The verdict on proven facts: the worst finding decides.
    pub(crate) fn of(facts: Facts, findings: Vec<Finding>, at: UnixTime) -> Self {
        let worst = findings.iter().map(|finding| finding.status).max();
        let word = match worst {
            Some(Status::Fail) => Word::Contraindicated,
            Some(Status::Warn | Status::Unchecked) => Word::Warning,
            Some(Status::Pass) | None => Word::Affirming,
        };
        Self {
            word,
            kind: Kind::Unknown,
            product: None,
            at,
            findings,
            facts: Some(facts),
            roots: Vec::new(),
            not_proved: Vec::new(),
            notes: Vec::new(),
            threats: Vec::new(),
            adversaries: Vec::new(),
            knowledge: KnowledgeId::default(),
        }
    }

    /// The ids that failed, in order.
    #[must_use]
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = |finding: &&Finding| finding.status == Status::Fail;
        self.findings
            .iter()
            .filter(failed)
            .map(|finding| finding.id)
            .collect()
    }
}
