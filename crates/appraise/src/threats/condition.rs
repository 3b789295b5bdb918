//! Conditions over proven facts, in three values.
//!
//! Unknown is its own answer: evidence that has no such field, or a figure that nobody can rely
//! on. It never becomes a yes by being negated.

use serde::Deserialize;

use super::{Knowledge, State, schema::JudgedBy, seen::Seen};

/// What a threat asks of evidence.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    /// All of them.
    All(Vec<Condition>),
    /// One of them.
    Any(Vec<Condition>),
    /// Not that.
    Not(Box<Condition>),
    /// Whatever the evidence.
    Always(bool),
    /// Evidence of one of these kinds is there.
    Evidence(Vec<String>),
    /// The product is one of these.
    Product(Vec<String>),
    /// The line of silicon is one of these.
    Line(Vec<String>),
    /// Every figure of this set is reached, in all four TCB views.
    Floors(String),
    /// This mitigation was active at launch and is active now.
    Mitigation(u8),
    /// A bit of a signed field.
    Bit(Bit),
    /// The report's version is at least this.
    ReportVersion(u32),
    /// The privilege level that asked is one of these.
    Vmpl(Vec<u32>),
    /// The signing key is `vcek` or `vlek`.
    Signer(String),
    /// What runs is what is committed: the host cannot roll it back.
    Committed(bool),
    /// Intel says that one of these advisories applies.
    AdvisoryOpen(Vec<String>),
    /// Intel says that the platform is past these advisories.
    AdvisoryFixed(Fixed),
    /// Intel's status is one of these.
    TcbStatus(Vec<String>),
    /// The module of TDX, in its major version, has at least this minor SVN.
    Module(Module),
    /// A service TD is bound to the trust domain.
    ServiceTd(bool),
    /// The SGX type is one of `standard`, `scalable`, `scalable-with-integrity`.
    SgxType(Vec<String>),
    /// Sibling threads are on, as the platform was registered.
    PckSmt(bool),
    /// Launch and present SVNs of the TDX module are the same.
    Relaunched(bool),
    /// The TPM's maker, as its certificate spells it, is one of these.
    TpmMaker(Vec<String>),
    /// The root behind the TPM belongs to one of these.
    TpmRoot(Vec<String>),
    /// The certified key bears the fingerprint of Infineon's faulty library.
    Roca(bool),
    /// The firmware version that the quote tells is at least this.
    TpmFirmware(u64),
    /// A check ended so: `pass`, `warn`, `fail`, `unchecked`.
    Check(CheckWas),
    /// Somebody used a dangerous setting.
    Dangerous(bool),
    /// Who judged.
    Judged(JudgedBy),
}

/// A bit of a signed field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bit {
    /// `POLICY`, `PLATFORM_INFO`, `KEY_INFO` or `TD_ATTRIBUTES`.
    pub field: String,
    /// Its number.
    pub number: u8,
    /// What it must be.
    pub is: bool,
    /// The report version from which on a zero says something.
    #[serde(default)]
    pub since: u32,
}

/// Advisories that a platform is past.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// The advisories.
    pub ids: Vec<String>,
    /// A day on which all of them were out: an older level says nothing.
    pub out_by: String,
}

/// A version of the TDX module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// `TEE_TCB_SVN[1]`.
    pub major: u8,
    /// The least `TEE_TCB_SVN[0]`.
    pub minor: u8,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckWas {
    /// The check.
    pub id: String,
    /// How it ended.
    pub was: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// This evidence cannot show it.
    NotShown,
    /// There is no figure that can be relied on.
    NoNumber,
}

impl Missing {
    /// The state of a threat where this is the open question.
    #[must_use]
    pub const fn state(self) -> State {
        match self {
            Self::NotShown => State::Unprovable,
            Self::NoNumber => State::NoThreshold,
        }
    }
}

/// One of three values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    No,
    Unknown(Missing),
    Yes,
}

/// A fact that decided: what was looked at, found and wanted. Rooms above make sentences of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What was looked at, as the vendor or this program spells it.
    pub what: Looked,
    /// What was found; empty where nothing could be.
    pub found: String,
    /// What the condition wanted.
    pub wanted: String,
    /// Where the wanted figure was read.
    sources: Vec<String>,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// A field of the evidence, by its vendor's name.
    Field(String),
    /// The kind of evidence.
    Evidence,
    /// The product or its line of silicon.
    Silicon,
    /// A component's version, the lowest of all views.
    Version {
        /// The component.
        component: String,
        /// The set of figures.
        set: String,
    },
    /// A set of figures that has none to rely on here.
    NoFigure(String),
    /// Intel's signed documents.
    Advisories,
    /// A check of this program's.
    Check(String),
    /// Who judged.
    Judge,
}

impl Fact {
    pub(super) fn new(what: Looked, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            what,
            found: found.into(),
            wanted: wanted.into(),
            sources: Vec::new(),
        }
    }

    pub(super) fn read_in(mut self, sources: &[String]) -> Self {
        self.sources = sources.to_vec();
        self
    }

    /// Keys of the sources of the wanted figure.
    #[must_use]
    pub fn sources(&self) -> &[String] {
        &self.sources
    }
}

/// An answer with what decided it.
pub(super) struct Answer {
    pub(super) truth: Truth,
    pub(super) facts: Vec<Fact>,
}

impl Answer {
    pub(super) fn of(truth: Truth, fact: Fact) -> Self {
        Self {
            truth,
            facts: vec![fact],
        }
    }

    /// From something that may not be there.
    pub(super) fn shown(holds: Option<bool>, fact: Fact) -> Self {
        Self::of(
            match holds {
                None => Truth::Unknown(Missing::NotShown),
                Some(true) => Truth::Yes,
                Some(false) => Truth::No,
            },
            fact,
        )
    }
}

impl Condition {
    /// The answer of this evidence.
    pub(super) fn evaluate(&self, seen: &Seen<'_>, knowledge: &Knowledge) -> Answer {
        match self {
            Self::All(parts) => all(parts, seen, knowledge),
            Self::Any(parts) => any(parts, seen, knowledge),
            Self::Not(part) => {
                let answer = part.evaluate(seen, knowledge);
                let truth = match answer.truth {
                    Truth::No => Truth::Yes,
                    Truth::Yes => Truth::No,
                    unknown @ Truth::Unknown(_) => unknown,
                };
                Answer { truth, ..answer }
            }
            Self::Always(always) => Answer {
                truth: if *always { Truth::Yes } else { Truth::No },
                facts: Vec::new(),
            },
            leaf => seen.answer(leaf, knowledge),
        }
    }

    /// How deep it goes, and of how many parts it is made.
    pub(super) fn size(&self) -> (usize, usize) {
        let of = |parts: &mut dyn Iterator<Item = &Self>| {
            parts
                .map(Self::size)
                .fold((1, 1), |one: (usize, usize), other| {
                    let deeper = one.0.max(other.0.saturating_add(1));
                    (deeper, one.1.saturating_add(other.1))
                })
        };
        match self {
            Self::All(parts) | Self::Any(parts) => of(&mut parts.iter()),
            Self::Not(part) => of(&mut std::iter::once(&**part)),
            _ => (1, 1),
        }
    }

    /// Every part that is not made of parts: one of no parts, too.
    pub(super) fn leaves(&self) -> Vec<&Self> {
        match self {
            Self::All(parts) | Self::Any(parts) if !parts.is_empty() => {
                parts.iter().flat_map(Self::leaves).collect()
            }
            Self::Not(part) => part.leaves(),
            leaf => vec![leaf],
        }
    }
}

/// The first no decides; then the first open question; a yes needs all.
fn all(parts: &[Condition], seen: &Seen<'_>, knowledge: &Knowledge) -> Answer {
    let mut open: Option<Answer> = None;
    let mut facts = Vec::new();
    for part in parts {
        let answer = part.evaluate(seen, knowledge);
        match answer.truth {
            Truth::No => return answer,
            Truth::Unknown(_) => open = Some(open.unwrap_or(answer)),
            Truth::Yes => facts.extend(answer.facts),
        }
    }
    open.unwrap_or(Answer {
        truth: Truth::Yes,
        facts,
    })
}

/// The first yes decides; then the first open question; a no needs all.
fn any(parts: &[Condition], seen: &Seen<'_>, knowledge: &Knowledge) -> Answer {
    let mut open: Option<Answer> = None;
    let mut facts = Vec::new();
    for part in parts {
        let answer = part.evaluate(seen, knowledge);
        match answer.truth {
            Truth::Yes => return answer,
            Truth::Unknown(_) => open = Some(open.unwrap_or(answer)),
            Truth::No => facts.extend(answer.facts),
        }
    }
    open.unwrap_or(Answer {
        truth: Truth::No,
        facts,
    })
}
