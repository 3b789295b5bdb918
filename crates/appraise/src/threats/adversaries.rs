//! Against whom a machine protects: nine adversaries, each with its own word.
//!
//! The worst threat that an adversary can use decides, and stands first among the reasons. Never
//! an average. Whoever has hands on the hardware, makes the processor, owns the building or runs
//! the witness is never plainly `protected` from, whatever the knowledge says.

use serde::Deserialize;

use super::{Assessed, Knowledge, Position, State, Threat};
use crate::Verdict;

/// An adversary (DESIGN §5.1), in the order in which reports list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Somebody on the network.
    Remote,
    /// Another customer on the same host.
    CoTenant,
    /// An employee of the provider's with access to the hypervisor.
    ProviderEmployee,
    /// Somebody who can plug something in.
    PhysicalBrief,
    /// Somebody with the hardware on a bench.
    PhysicalLaboratory,
    /// The provider as an organisation, with its own keys.
    ProviderOrganisation,
    /// The maker of the processor, or who can compel it.
    CpuMaker,
    /// Whoever runs the witness.
    WitnessOperator,
    /// The owner's own mistakes.
    OwnerMistake,
}

impl Who {
    /// Every adversary.
    pub const ALL: [Self; 9] = [
        Self::Remote,
        Self::CoTenant,
        Self::ProviderEmployee,
        Self::PhysicalBrief,
        Self::PhysicalLaboratory,
        Self::ProviderOrganisation,
        Self::CpuMaker,
        Self::WitnessOperator,
        Self::OwnerMistake,
    ];

    /// The word in `zeuge.verdict.v1`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Remote => "remote",
            Self::CoTenant => "co-tenant",
            Self::ProviderEmployee => "provider-employee",
            Self::PhysicalBrief => "physical-brief",
            Self::PhysicalLaboratory => "physical-laboratory",
            Self::ProviderOrganisation => "provider-organisation",
            Self::CpuMaker => "cpu-maker",
            Self::WitnessOperator => "witness-operator",
            Self::OwnerMistake => "owner-mistake",
        }
    }

    /// The best word that may ever stand here. No evidence excludes hands on the memory, a maker
    /// that derives the chip's own key, or a sole witness that releases unlogged.
    #[must_use]
    pub const fn best(self) -> Protection {
        match self {
            Self::Remote | Self::CoTenant | Self::ProviderEmployee => Protection::Protected,
            Self::PhysicalBrief
            | Self::PhysicalLaboratory
            | Self::ProviderOrganisation
            | Self::CpuMaker
            | Self::WitnessOperator
            | Self::OwnerMistake => Protection::Conditional,
        }
    }
}

/// Whether a machine protects from somebody; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// The evidence shows it.
    Protected,
    /// If something holds that no evidence shows.
    Conditional,
    /// Nobody can tell.
    Unknown,
    /// It does not.
    NotProtected,
}

impl Protection {
    /// The word in `zeuge.verdict.v1`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Conditional => "conditional",
            Self::Unknown => "unknown",
            Self::NotProtected => "not_protected",
        }
    }
}

/// Why a word stands where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deciding {
    /// Verification failed: nothing about the machine is proven.
    NothingProven {
        /// The check that failed.
        check: String,
    },
    /// No threat of this adversary is known for this evidence, so nothing is known at all.
    NothingKnown,
    /// A threat, by its id; its state stands in [`Verdict::threats`].
    Threat(String),
    /// No evidence ever says more about this adversary.
    Never,
}

/// One adversary's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adversary {
    /// Who.
    pub who: Who,
    /// The word.
    pub protection: Protection,
    /// What decided, the worst first.
    pub because: Vec<Deciding>,
    /// Ids of threats whose mitigation would improve it, then of approaches.
    pub improve: Vec<String>,
}

/// The least powerful adversary who can do this.
pub(super) fn least(threat: &Threat, knowledge: &Knowledge) -> Option<Who> {
    Who::ALL
        .into_iter()
        .find(|who| can(*who, &threat.positions, knowledge))
}

fn can(who: Who, positions: &[Position], knowledge: &Knowledge) -> bool {
    knowledge
        .adversary(who)
        .is_some_and(|known| known.can.iter().any(|one| positions.contains(one)))
}

/// What one state makes of the verdict against somebody.
fn makes(state: State, invisible: Protection) -> Protection {
    match state {
        State::NotApplicable | State::Proven => Protection::Protected,
        State::Invisible => invisible,
        State::Unprovable | State::NoThreshold => Protection::Unknown,
        State::Exposed | State::Forgeable => Protection::NotProtected,
    }
}

/// All nine, in their order.
pub(super) fn assess(verdict: &Verdict, knowledge: &Knowledge) -> Vec<Adversary> {
    let of = |who| {
        if verdict.facts.is_some() {
            assess_one(who, &verdict.threats, knowledge)
        } else {
            Adversary {
                who,
                protection: Protection::Unknown,
                because: vec![Deciding::NothingProven {
                    check: verdict.failed().first().copied().unwrap_or("").to_owned(),
                }],
                improve: Vec::new(),
            }
        }
    };
    Who::ALL.into_iter().map(of).collect()
}

fn assess_one(who: Who, all: &[Assessed], knowledge: &Knowledge) -> Adversary {
    let invisible = knowledge
        .adversary(who)
        .map_or(Protection::Unknown, |known| known.invisible);
    let mut usable: Vec<(Protection, &Assessed)> = Vec::new();
    for one in all {
        let Some(threat) = knowledge.threat(&one.id) else {
            continue;
        };
        if one.state == State::NotApplicable || !can(who, &threat.positions, knowledge) {
            continue;
        }
        let made = makes(one.state, invisible);
        let made = threat.at_worst.map_or(made, |worst| made.min(worst));
        usable.push((made, one));
    }
    // The worst first; among equals what voids the rest, then what this adversary alone can do,
    // then the graver state, then the order of the knowledge.
    let rank = |(made, one): &(Protection, &Assessed)| {
        let forges = one.state == State::Forgeable && one.voided_by.is_none();
        (*made, forges, one.who == Some(who), one.state)
    };
    usable.sort_by_key(|entry| std::cmp::Reverse(rank(entry)));
    let worst = usable.first().map(|(made, _)| *made);
    let protection = worst.unwrap_or(Protection::Unknown).max(who.best());
    let mut because: Vec<Deciding> = usable
        .iter()
        .filter(|(made, _)| Some(*made) == worst)
        .map(|(_, one)| Deciding::Threat(one.id.clone()))
        .collect();
    if usable.is_empty() {
        because.push(Deciding::NothingKnown);
    } else if worst < Some(protection) {
        because.insert(0, Deciding::Never);
    }
    let mut improve: Vec<String> = usable
        .iter()
        .filter(|(made, one)| *made > Protection::Protected && one.voided_by.is_none())
        .map(|(_, one)| one.id.clone())
        .collect();
    if let Some(known) = knowledge.adversary(who) {
        improve.extend(known.approaches.iter().cloned());
    }
    Adversary {
        who,
        protection,
        because,
        improve,
    }
}
