//! The form of `zeuge.threat-knowledge.v1`.
//!
//! Unknown fields are refused: a word that nobody evaluates would read as a promise. Texts stand
//! beside what they explain, in both languages.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Condition, Who};

/// The document as it is written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) schema: String,
    pub(super) version: u64,
    pub(super) state_of: String,
    pub(super) sources: BTreeMap<String, Source>,
    pub(super) line: Vec<Line>,
    pub(super) floor: Vec<Floor>,
    pub(super) threat: Vec<Threat>,
    pub(super) adversary: Vec<WhoKnown>,
    pub(super) root: Vec<RootKnown>,
    pub(super) limit: Vec<Limit>,
    pub(super) approach: Vec<Approach>,
    pub(super) history: Vec<History>,
    pub(super) price: Vec<Price>,
    pub(super) kind: Vec<Kinds>,
    pub(super) regime: Vec<Regime>,
}

/// The same text in two languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// English.
    pub en: String,
    /// German.
    pub de: String,
}

/// Where something was read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What it is.
    pub title: String,
    /// The same in German, where the title is a description and not that of a work.
    #[serde(default)]
    pub title_de: String,
    /// Where it is, when it has an address.
    #[serde(default)]
    pub url: String,
}

/// How sure a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// From memory: never gives PROVEN.
    Memory,
    /// Read in a secondary public document; the maker's own was not opened.
    Secondary,
    /// The text of a primary source was read.
    Primary,
}

impl Confidence {
    /// The word in the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Secondary => "secondary",
            Self::Primary => "primary",
        }
    }
}

/// Whether a figure still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It counts.
    Active,
    /// Sources disagree: it never gives PROVEN.
    Disputed,
    /// Another figure of the same kind is higher and counts.
    Superseded,
    /// Its maker took it back: it gives nothing.
    Withdrawn,
}

impl Standing {
    /// The word in the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disputed => "disputed",
            Self::Superseded => "superseded",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// A line of silicon, by signed CPUID; microcode is numbered within one line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its id.
    pub id: String,
    /// The product whose root signs for it.
    pub product: String,
    /// Combined family.
    pub family: u8,
    /// First and last combined model.
    pub models: [u8; 2],
    /// First and last stepping.
    pub steppings: [u8; 2],
    /// What people call it.
    pub name: String,
}

/// One figure: what a component must at least be, on one line of silicon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// The bulletin that it belongs to; all figures of a set must hold.
    pub set: String,
    /// The line of silicon.
    pub line: String,
    /// The component, as verdicts spell it: `snp`, `microcode`, `boot_loader`, `tee`, `fmc`.
    pub component: String,
    /// The lowest version with the fix.
    pub minimum: u8,
    /// How sure.
    pub confidence: Confidence,
    /// Whether it counts.
    pub standing: Standing,
    /// Where it was read.
    pub sources: Vec<String>,
    /// When somebody last looked.
    pub checked: String,
    /// What else is known: a conflict, a withdrawal.
    #[serde(default)]
    pub note: String,
}

impl Floor {
    /// Whether reaching this figure may count as proof.
    #[must_use]
    pub fn can_prove(&self) -> bool {
        self.standing == Standing::Active && self.confidence > super::LOW
    }
}

/// Where an attacker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Somewhere on the network.
    Remote,
    /// Another guest of the same host.
    Cotenant,
    /// Code or an administrator inside the machine.
    Guest,
    /// The hypervisor or the host's administrator.
    Hv,
    /// Whoever can flash the host's firmware.
    Fw,
    /// Short access to the hardware: something is plugged in.
    Phys1,
    /// Hardware on a laboratory's bench.
    Phys2,
    /// The maker of the processor.
    Vendor,
    /// The provider's own key authority.
    CspCa,
    /// Whoever runs the witness.
    Witness,
    /// The owner's own wish or omission.
    Owner,
}

impl Position {
    /// The word in the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::Cotenant => "cotenant",
            Self::Guest => "guest",
            Self::Hv => "hv",
            Self::Fw => "fw",
            Self::Phys1 => "phys1",
            Self::Phys2 => "phys2",
            Self::Vendor => "vendor",
            Self::CspCa => "csp-ca",
            Self::Witness => "witness",
            Self::Owner => "owner",
        }
    }
}

/// What an attack breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Breaks {
    /// It keeps the machine from running.
    Availability,
    /// It reads.
    Confidentiality,
    /// It changes.
    Integrity,
    /// It takes keys of attestation, or forges evidence.
    Keys,
}

impl Breaks {
    /// The word in the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Confidentiality => "confidentiality",
            Self::Integrity => "integrity",
            Self::Keys => "keys",
        }
    }
}

/// How a threat stands against a machine; the order is that of precedence, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// The product or silicon is not affected.
    NotApplicable,
    /// Signed evidence shows the mitigation.
    Proven,
    /// No form of evidence can show it.
    Invisible,
    /// The mitigation exists; this evidence cannot show it.
    Unprovable,
    /// Known, with no figure that can be relied on.
    NoThreshold,
    /// Signed evidence shows that the mitigation is missing.
    Exposed,
    /// The evidence itself can be made by the attacker.
    Forgeable,
}

impl State {
    /// The word in `zeuge.verdict.v1`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotApplicable => "NOT_APPLICABLE",
            Self::Proven => "PROVEN",
            Self::Invisible => "INVISIBLE",
            Self::Unprovable => "UNPROVABLE",
            Self::NoThreshold => "NO_THRESHOLD",
            Self::Exposed => "EXPOSED",
            Self::Forgeable => "FORGEABLE",
        }
    }
}

/// What a threat is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// AMD SEV.
    Amd,
    /// GPUs.
    Gpu,
    /// Intel TDX.
    Tdx,
    /// The maker of the processor.
    Maker,
    /// The owner.
    Owner,
    /// Hands on the memory.
    Physical,
    /// Protocols and verifiers.
    Protocol,
    /// The provider's layers and keys.
    Provider,
    /// Intel SGX.
    Sgx,
    /// TPMs.
    Tpm,
    /// The witness.
    Witness,
}

impl Group {
    /// Whether a PROVEN of this group rests on what the processor signed.
    #[must_use]
    pub const fn rests_on_the_cpu(self) -> bool {
        match self {
            Self::Amd
            | Self::Gpu
            | Self::Maker
            | Self::Physical
            | Self::Provider
            | Self::Sgx
            | Self::Tdx => true,
            Self::Owner | Self::Protocol | Self::Tpm | Self::Witness => false,
        }
    }
}

/// A published attack or a known weakness.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threat {
    /// Its id; it never changes.
    pub id: String,
    /// What it is about.
    pub group: Group,
    /// Its names.
    pub name: String,
    /// Its name in German, where it is not a proper name.
    #[serde(default)]
    pub name_de: String,
    /// When it became known.
    pub year: String,
    /// CVE numbers.
    #[serde(default)]
    pub cves: Vec<String>,
    /// Bulletins and advisories.
    #[serde(default)]
    pub bulletins: Vec<String>,
    /// Who can do it.
    pub positions: Vec<Position>,
    /// What it breaks.
    pub breaks: Vec<Breaks>,
    /// Affected silicon or software.
    pub affected: String,
    /// Plain sentences: what can happen.
    pub general: Texts,
    /// What helps.
    pub mitigation: Texts,
    /// How sure the row is.
    pub confidence: Confidence,
    /// Where it was read.
    pub sources: Vec<String>,
    /// Conflicts and withdrawals, kept as they are.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The same in German.
    #[serde(default)]
    pub notes_de: Vec<String>,
    /// To which evidence it applies at all.
    pub applies: Condition,
    /// The states that evidence can show, worst first.
    #[serde(default)]
    pub rule: Vec<Rule>,
    /// The state where no rule holds; never PROVEN.
    pub otherwise: State,
    /// What this threat makes of an adversary's verdict at worst: `conditional` for one that needs
    /// something else, too.
    #[serde(default)]
    pub at_worst: Option<super::Protection>,
}

/// One way to a state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The state.
    pub state: State,
    /// When it holds.
    pub when: Condition,
    /// How sure this rule is; the threat's own confidence where absent.
    #[serde(default)]
    pub confidence: Option<Confidence>,
    /// Where it was read; the threat's own sources where empty.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// Who judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgedBy {
    /// Whoever ran the program, on a machine of theirs.
    Owner,
    /// One witness, over the network.
    Witness,
}

/// One adversary.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhoKnown {
    /// Which.
    pub who: Who,
    /// What people call them.
    pub name: Texts,
    /// Who that is, and what they can do.
    pub general: Texts,
    /// Where they stand; all of it.
    pub can: Vec<Position>,
    /// What an INVISIBLE threat makes of the verdict.
    pub invisible: super::Protection,
    /// Ids of approaches that improve it.
    pub approaches: Vec<String>,
}

/// A root, as the verdict explains it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootKnown {
    /// The maker as verdicts name it; `*` for all others.
    pub maker: String,
    /// `cpu` or `tpm`.
    pub kind: String,
    /// What its holder can forge.
    pub forges: Texts,
    /// Who can issue below it.
    pub below: Texts,
}

/// Something that no evidence can show.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its id.
    pub id: String,
    /// The statement.
    pub general: Texts,
}

/// A way to need less trust.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approach {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Texts,
    /// What to do, and what it changes.
    pub general: Texts,
    /// How sure.
    pub confidence: Confidence,
    /// Where it was read.
    pub sources: Vec<String>,
}

/// A key of a maker's that leaked or could be taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// When.
    pub when: String,
    /// What, and how.
    pub general: Texts,
    /// Whose: `AMD`, `Intel`, `TPM`, `provider`.
    pub of: String,
    /// How sure.
    pub confidence: Confidence,
    /// Where it was read.
    pub sources: Vec<String>,
}

/// A published figure of what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of what.
    pub topic: Texts,
    /// The figure, as published.
    pub figure: Texts,
    /// How sure.
    pub confidence: Confidence,
    /// Where it was read.
    pub sources: Vec<String>,
    /// The kinds that it is about; none for all.
    #[serde(default)]
    pub kinds: Vec<String>,
}

/// A kind of confidential machine, for advice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kinds {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: Texts,
    /// What speaks for it and against it.
    pub general: Texts,
    /// Providers where it can be had, as the questionnaire spells them.
    pub providers: Vec<String>,
    /// Adversaries that it does something about.
    pub against: Vec<Who>,
    /// Threats that decide here.
    pub threats: Vec<String>,
    /// A policy to begin with (`zeuge.policy.v1`).
    pub policy: String,
}

/// What an auditor asks, and what of it a verdict can answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Regime {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: Texts,
    /// What is asked.
    pub asks: Texts,
    /// What this report contributes.
    pub gives: Texts,
    /// What it does not answer.
    pub open: Texts,
    /// How sure.
    pub confidence: Confidence,
    /// Where it was read.
    pub sources: Vec<String>,
}
