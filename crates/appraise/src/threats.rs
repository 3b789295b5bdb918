//! What is known about attacks, held against what is proven: one state per threat.
//!
//! The knowledge is data (`zeuge.threat-knowledge.v1`): owners may replace it, so it is bounded,
//! read strictly, and refused where it would claim too much. Conditions are evaluated over facts
//! that verification proved, in three values: what evidence cannot show never counts as shown.
//! Never gives a score: states and adversaries stand side by side, the worst first.

mod adversaries;
mod condition;
mod roca;
mod schema;
mod seen;
mod validate;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use crate::{DocumentError, Facts, Finding, Verdict, document};

pub use adversaries::{Adversary, Deciding, Protection, Who};
pub use condition::{Condition, Fact, Looked, Missing};
pub use schema::{
    Approach, Breaks, Confidence, Floor, Group, History, JudgedBy, Kinds, Limit, Line, Position,
    Price, Regime, RootKnown, Rule, Source, Standing, State, Texts, Threat, WhoKnown,
};
pub use validate::LOW;

/// The schema of the document.
pub const SCHEMA: &str = "zeuge.threat-knowledge.v1";

/// The knowledge that this program brings along.
const BUILT_IN: &str = concat!(
    include_str!("../knowledge/head.toml"),
    include_str!("../knowledge/floors.toml"),
    include_str!("../knowledge/amd.toml"),
    include_str!("../knowledge/intel.toml"),
    include_str!("../knowledge/physical.toml"),
    include_str!("../knowledge/tpm.toml"),
    include_str!("../knowledge/protocol.toml"),
    include_str!("../knowledge/people.toml"),
    include_str!("../knowledge/history.toml"),
    include_str!("../knowledge/prices.toml"),
    include_str!("../knowledge/regimes.toml"),
);

/// What is known, with its version and the digest of its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Knowledge {
    document: schema::Document,
    digest: [u8; 32],
    /// Where each threat stands: every verdict asks for every one of them, nine times over.
    places: BTreeMap<String, usize>,
}

/// Which knowledge a verdict was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnowledgeId {
    /// Counts up with every issue; 0 where nothing was assessed.
    pub version: u64,
    /// SHA-256 of its text.
    pub digest: [u8; 32],
}

/// One threat as it stands against one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessed {
    /// The threat's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The least powerful adversary who can do it.
    pub who: Option<Who>,
    /// How it stands.
    pub state: State,
    /// How sure the knowledge is of what decided.
    pub confidence: Confidence,
    /// The keys of the sources of what decided.
    pub sources: Vec<String>,
    /// What decided.
    pub facts: Vec<Fact>,
    /// The threat that voids a state which would be PROVEN otherwise.
    pub voided_by: Option<String>,
}

impl Knowledge {
    /// Reads knowledge.
    ///
    /// # Errors
    /// `document.schema`: longer than a document of an owner's may be, another form, or a claim
    /// that its own confidence does not carry.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let document: schema::Document =
            document::read(text, SCHEMA, |document: &schema::Document| {
                document.schema.as_str()
            })?;
        validate::check(&document).map_err(|because| DocumentError {
            wanted: SCHEMA,
            because,
        })?;
        let digest = Sha256::digest(text.as_bytes()).into();
        let ids = document.threat.iter().enumerate();
        let places = ids.map(|(place, threat)| (threat.id.clone(), place));
        Ok(Self {
            places: places.collect(),
            document,
            digest,
        })
    }

    /// The knowledge that this program brings along. A test proves that it can be read; were it
    /// broken, nothing would be known, and every adversary `unknown`.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static KNOWLEDGE: OnceLock<Knowledge> = OnceLock::new();
        KNOWLEDGE.get_or_init(|| Self::parse(BUILT_IN).unwrap_or_else(|_| Self::nothing()))
    }

    /// The text of [`Knowledge::built_in`], to begin one's own with.
    #[must_use]
    pub const fn built_in_text() -> &'static str {
        BUILT_IN
    }

    fn nothing() -> Self {
        Self {
            document: schema::Document::default(),
            digest: [0; 32],
            places: BTreeMap::new(),
        }
    }

    /// Version and digest.
    #[must_use]
    pub const fn id(&self) -> KnowledgeId {
        KnowledgeId {
            version: self.document.version,
            digest: self.digest,
        }
    }

    /// The day whose state of knowledge this is.
    #[must_use]
    pub fn state_of(&self) -> &str {
        &self.document.state_of
    }

    /// Every threat, in the order of the document.
    #[must_use]
    pub fn threats(&self) -> &[Threat] {
        &self.document.threat
    }

    /// The threat with this id.
    #[must_use]
    pub fn threat(&self, id: &str) -> Option<&Threat> {
        self.document.threat.get(*self.places.get(id)?)
    }

    /// Every figure, withdrawn ones too.
    #[must_use]
    pub fn floors(&self) -> &[Floor] {
        &self.document.floor
    }

    /// Every line of silicon that figures speak of.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.document.line
    }

    /// The source with this key.
    #[must_use]
    pub fn source(&self, key: &str) -> Option<&Source> {
        self.document.sources.get(key)
    }

    /// Every source with its key, sorted by key.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &Source)> {
        let all = self.document.sources.iter();
        all.map(|(key, source)| (key.as_str(), source))
    }

    /// What is known of one adversary.
    #[must_use]
    pub fn adversary(&self, who: Who) -> Option<&WhoKnown> {
        self.document
            .adversary
            .iter()
            .find(|known| known.who == who)
    }

    /// The approach with this id.
    #[must_use]
    pub fn approach(&self, id: &str) -> Option<&Approach> {
        let mut all = self.document.approach.iter();
        all.find(|approach| approach.id == id)
    }

    /// What is known of a root of this maker for this purpose.
    #[must_use]
    pub fn root(&self, maker: &str, kind: &str) -> Option<&RootKnown> {
        let fits = |known: &&RootKnown| known.kind == kind;
        let exact = |known: &&RootKnown| known.maker == maker;
        let mut all = self.document.root.iter().filter(fits);
        all.find(exact).or_else(|| {
            let mut all = self.document.root.iter().filter(fits);
            all.find(|known| known.maker == "*")
        })
    }

    /// What no evidence can show.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.document.limit
    }

    /// Keys of makers that leaked or could be taken.
    #[must_use]
    pub fn history(&self) -> &[History] {
        &self.document.history
    }

    /// What confidential machines cost, as published.
    #[must_use]
    pub fn prices(&self) -> &[Price] {
        &self.document.price
    }

    /// What auditors ask, and what of it a verdict can answer.
    #[must_use]
    pub fn regimes(&self) -> &[Regime] {
        &self.document.regime
    }

    /// Kinds of confidential machines, for advice.
    #[must_use]
    pub fn kinds(&self) -> &[Kinds] {
        &self.document.kind
    }
}

/// All that [`Verdict::assess`] looks at beside the knowledge. Two verdicts in which it is the same
/// have the same threats and adversaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessable {
    facts: Option<Facts>,
    findings: Vec<Finding>,
}

impl Verdict {
    /// What its assessment depends on: what a condition may read, without what names the session,
    /// the machine, or its workload.
    #[must_use]
    pub fn assessable(&self) -> Assessable {
        Assessable {
            facts: self.facts.as_ref().map(seen::readable),
            findings: self.findings.clone(),
        }
    }

    /// Assesses threats and adversaries anew, with this knowledge and for this judge.
    ///
    /// `judge` does so with the built-in knowledge, as the owner's own judgement.
    pub fn assess(&mut self, knowledge: &Knowledge, by: JudgedBy) {
        self.knowledge = knowledge.id();
        self.threats = match &self.facts {
            None => Vec::new(),
            Some(facts) => {
                let seen = seen::Seen::new(facts, &self.findings, by);
                let all = knowledge.threats().iter();
                let each = all.map(|threat| assess(threat, &seen, knowledge));
                voided(each.collect(), knowledge)
            }
        };
        self.adversaries = adversaries::assess(self, knowledge);
    }
}

/// One threat against one machine.
fn assess(threat: &Threat, seen: &seen::Seen<'_>, knowledge: &Knowledge) -> Assessed {
    let mut out = Assessed {
        id: threat.id.clone(),
        name: threat.name.clone(),
        who: adversaries::least(threat, knowledge),
        state: State::NotApplicable,
        confidence: threat.confidence,
        sources: threat.sources.clone(),
        facts: Vec::new(),
        voided_by: None,
    };
    let applies = threat.applies.evaluate(seen, knowledge);
    if applies.truth == condition::Truth::No {
        out.facts = applies.facts;
        return out;
    }
    // The worst open question: it takes a PROVEN away, and otherwise says why there is no state.
    let mut open: Option<(State, Vec<Fact>)> = None;
    // What the best state lacked: it says why only the last one is left.
    let mut lacked = Vec::new();
    for rule in &threat.rule {
        let found = rule.when.evaluate(seen, knowledge);
        match found.truth {
            condition::Truth::No => lacked = found.facts,
            condition::Truth::Unknown(missing) => {
                if open.is_none() {
                    open = Some((missing.state(), found.facts));
                }
            }
            condition::Truth::Yes if rule.state == State::Proven && open.is_some() => {}
            condition::Truth::Yes => {
                out.state = rule.state;
                out.confidence = rule.confidence.unwrap_or(threat.confidence);
                out.sources = sources(threat, rule, &found.facts);
                out.facts = found.facts;
                return out;
            }
        }
    }
    (out.state, out.facts) = open.unwrap_or((threat.otherwise, lacked));
    out
}

/// The rule's own sources, or the threat's, with those of the figures that decided.
fn sources(threat: &Threat, rule: &Rule, facts: &[Fact]) -> Vec<String> {
    let own = if rule.sources.is_empty() {
        &threat.sources
    } else {
        &rule.sources
    };
    let mut out = own.clone();
    for fact in facts {
        for source in fact.sources() {
            if !out.contains(source) {
                out.push(source.clone());
            }
        }
    }
    out
}

/// Where the evidence itself can be made by the attacker, nothing that rests on it is proven.
fn voided(mut all: Vec<Assessed>, knowledge: &Knowledge) -> Vec<Assessed> {
    let forged = all.iter().find(|one| one.state == State::Forgeable);
    let Some((id, confidence, sources)) =
        forged.map(|one| (one.id.clone(), one.confidence, one.sources.clone()))
    else {
        return all;
    };
    for one in &mut all {
        let group = knowledge.threat(&one.id).map(|threat| threat.group);
        if one.state == State::Proven && group.is_some_and(Group::rests_on_the_cpu) {
            one.state = State::Forgeable;
            one.confidence = confidence;
            one.sources.clone_from(&sources);
            one.voided_by = Some(id.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests;
