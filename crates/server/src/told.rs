//! What verdicts say about threats and adversaries: made once for every state of a machine, kept as
//! text, and put into the verdicts that say the same.
//!
//! Never says what another state said: an assessment answers only for equal findings, equal facts as
//! far as a condition may read them, and the same knowledge. What is not kept is assessed anew.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use zeuge_appraise::threats::{Adversary, Assessable, KnowledgeId};
use zeuge_appraise::{JudgedBy, Knowledge, Verdict};
use zeuge_log::hash::sha256;
use zeuge_protocol::api;

use crate::refusal::Refusal;

/// Assessments that are kept: states of machines, not machines. Each has some ten KiB.
pub const ASSESSMENTS_MAX: usize = 64;
/// The lists of a verdict whose assessment stands elsewhere. Within strings quotation marks are
/// escaped, so only the keys themselves read like this.
const EMPTY: &str = r#""threats":[],"adversaries":[]"#;

/// One assessment as the text that stands in verdicts.
#[derive(Debug)]
pub struct Told {
    about: Option<(Assessable, KnowledgeId)>,
    /// The word on every adversary, without reasons: what tokens say.
    words: Vec<Adversary>,
    /// SHA-256 of the text.
    pub digest: [u8; 32],
    /// Both lists with their keys, as JSON without braces.
    pub text: String,
    /// Whether the database has it already.
    is_stored: AtomicBool,
}

impl Told {
    /// Of a text that the database holds or will hold.
    #[must_use]
    pub fn of(text: String) -> Self {
        Self {
            about: None,
            words: Vec::new(),
            digest: sha256(&[text.as_bytes()]),
            text,
            is_stored: AtomicBool::new(false),
        }
    }

    /// Whether the database has it already, as far as this process knows.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.is_stored.load(Ordering::Relaxed)
    }

    /// The transaction that wrote it, or found it written, is durable.
    pub fn stored(&self) {
        self.is_stored.store(true, Ordering::Relaxed);
    }
}

/// The assessments that are kept, the latest used first.
#[derive(Debug, Default)]
pub struct Assessments(Mutex<VecDeque<Arc<Told>>>);

impl Assessments {
    /// What is to be told of the threats of this verdict, which learns the knowledge's id and the
    /// word on every adversary; reasons and threats stand in the text alone.
    ///
    /// # Errors
    /// `store.unavailable` when it cannot be written as JSON, which cannot happen.
    pub fn of(&self, verdict: &mut Verdict, knowledge: &Knowledge) -> Result<Arc<Told>, Refusal> {
        verdict.knowledge = knowledge.id();
        let about = (verdict.assessable(), knowledge.id());
        if let Some(told) = self.kept(&about) {
            verdict.adversaries.clone_from(&told.words);
            return Ok(told);
        }
        verdict.assess(knowledge, JudgedBy::Witness);
        let (threats, adversaries) = zeuge_report::assessment(verdict, knowledge);
        verdict.threats.clear();
        for adversary in &mut verdict.adversaries {
            adversary.because.clear();
            adversary.improve.clear();
        }
        let mut told = Told::of(written(&threats, &adversaries)?);
        told.about = Some(about);
        told.words.clone_from(&verdict.adversaries);
        let told = Arc::new(told);
        if let Ok(mut kept) = self.0.lock() {
            kept.truncate(ASSESSMENTS_MAX.saturating_sub(1));
            kept.push_front(Arc::clone(&told));
        }
        Ok(told)
    }

    fn kept(&self, about: &(Assessable, KnowledgeId)) -> Option<Arc<Told>> {
        let mut kept = self.0.lock().ok()?;
        let place = kept
            .iter()
            .position(|told| told.about.as_ref() == Some(about))?;
        if place > 0
            && let Some(told) = kept.remove(place)
        {
            kept.push_front(told);
        }
        kept.front().map(Arc::clone)
    }
}

fn written(threats: &[api::Threat], adversaries: &[api::Adversary]) -> Result<String, Refusal> {
    let json = |error: serde_json::Error| Refusal::store(&error);
    let threats = serde_json::to_string(threats).map_err(json)?;
    let adversaries = serde_json::to_string(adversaries).map_err(json)?;
    Ok(format!(
        r#""threats":{threats},"adversaries":{adversaries}"#
    ))
}

/// The JSON of a verdict, or of what it stands first in, with the assessment in its place.
#[must_use]
pub fn whole(alone: &str, told: &str) -> String {
    match alone.split_once(EMPTY) {
        Some((before, after)) => [before, told, after].concat(),
        None => alone.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeuge_protocol::api::{AttestAnswer, VerdictWord};

    #[test]
    fn a_verdict_put_together_is_the_one_written_at_once() {
        let mut verdict = api::Verdict::new(VerdictWord::Warning, "2026-11-27T00:00:00Z");
        verdict.claims = serde_json::json!({"snp": {"note": EMPTY}});
        verdict.not_proved = vec![EMPTY.to_owned()];
        let mut answer = AttestAnswer {
            verdict,
            token: Some(EMPTY.to_owned()),
            receipt: None,
            secrets: Vec::new(),
            refused: Vec::new(),
        };
        let alone = serde_json::to_string(&answer).unwrap();
        answer.verdict.threats = vec![api::Threat {
            id: "one".to_owned(),
            adversary: "remote".to_owned(),
            state: "PROVEN".to_owned(),
            because: "\"threats\":[]".to_owned(),
            confidence: String::new(),
            sources: Vec::new(),
        }];
        answer.verdict.adversaries = vec![api::Adversary {
            who: "remote".to_owned(),
            verdict: "protected".to_owned(),
            because: Vec::new(),
            improve: Vec::new(),
        }];
        let told = written(&answer.verdict.threats, &answer.verdict.adversaries).unwrap();
        assert_eq!(
            whole(&alone, &told),
            serde_json::to_string(&answer).unwrap()
        );
    }
}
