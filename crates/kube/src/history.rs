//! What a report over a span of time needs to know of one machine: lives, verdicts and steps, in
//! few bytes, because they stand in its AttestedNode.
//!
//! Consecutive verdicts of one kind are one span, which ends at the latest with the day (UTC), so
//! that a report over whole days counts exactly. What no longer fits is dropped from the oldest
//! end, and [`History::complete_since`] says from when on nothing is missing. Reads no clock.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::belief::{seconds, time};
use crate::waiver::Believed;

/// Two months of days without trouble.
const SPANS_MAX: usize = 64;
/// A machine that goes down the whole ladder and comes back takes about ten steps.
const STEPS_MAX: usize = 64;
/// How often a Node object may be made anew.
const LIVES_MAX: usize = 16;
/// Two months with one a day are rarer than that.
const WAIVERS_MAX: usize = 64;
const DAY_SECS: i64 = 86_400;

/// The past of one machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// The Node objects that there were under this name, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub lives: Vec<Life>,
    /// Verdicts, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub verdicts: Vec<Span>,
    /// Steps that were taken, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub steps: Vec<Taken>,
    /// What owners waived, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub waivers: Vec<Waived>,
    /// Before that, something was dropped; absent while nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete_since: Option<Time>,
}

/// One Node object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Life {
    /// Its UID.
    pub uid: String,
    /// When it was made.
    pub from: Time,
    /// When it was seen to be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// Verdicts of one kind, none of them further from the next than a verdict may be old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// When the first was made.
    pub from: Time,
    /// When the last was made.
    pub to: Time,
    /// How many.
    pub count: i64,
    /// affirming, warning or contraindicated.
    pub verdict: String,
    /// The checks that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// When.
    pub at: Time,
    /// Which.
    pub step: String,
}

/// A waiver that named the machine, whether or not it was needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waived {
    /// From when.
    pub from: Time,
    /// The first instant at which it no longer counted.
    pub until: Time,
    /// The checks that might fail.
    pub checks: Vec<String>,
    /// Why.
    pub because: String,
    /// The owners who signed.
    pub by: Vec<String>,
    /// Where it stands in a witness's log, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged: Option<String>,
}

impl History {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A verdict was believed.
    pub fn judged(&mut self, at: i64, verdict: &str, failed: &[String], age_secs_max: i64) {
        if let Some(last) = self.verdicts.last_mut()
            && let Some(to) = seconds(Some(&last.to))
            && last.verdict == verdict
            && last.failed == failed
            && at.saturating_sub(to) <= age_secs_max
            && at.div_euclid(DAY_SECS) == to.div_euclid(DAY_SECS)
            && let Some(at) = time(at)
        {
            last.to = at;
            last.count = last.count.saturating_add(1);
            return;
        }
        let Some(at) = time(at) else { return };
        self.verdicts.push(Span {
            from: at.clone(),
            to: at,
            count: 1,
            verdict: verdict.to_owned(),
            failed: failed.to_vec(),
        });
        if let Some(dropped) = surplus(&mut self.verdicts, SPANS_MAX) {
            self.forgotten(dropped.to);
        }
    }

    /// A step was taken; the same again, one after the other, counts once.
    pub fn stepped(&mut self, at: i64, step: &str) {
        let Some(at) = time(at) else { return };
        if self.steps.last().is_some_and(|it| it.step == step) {
            return;
        }
        self.steps.push(Taken {
            at,
            step: step.to_owned(),
        });
        if let Some(dropped) = surplus(&mut self.steps, STEPS_MAX) {
            self.forgotten(dropped.at);
        }
    }

    /// A waiver that names the machine was believed, and perhaps written down by a witness; whether
    /// any of that was news.
    pub fn waived(&mut self, waiver: &Believed, logged: Option<&str>) -> bool {
        let (said, people) = (&waiver.waiver, &waiver.people);
        let (Some(from), Some(until)) = (time(said.from), time(said.until)) else {
            return false;
        };
        let next = Waived {
            from,
            until,
            checks: said.checks.clone(),
            because: said.because.clone(),
            by: people.clone(),
            logged: None,
        };
        let same = |it: &&mut Waived| {
            let known = Waived {
                logged: None,
                ..(**it).clone()
            };
            known == next
        };
        if let Some(known) = self.waivers.iter_mut().find(same) {
            let news = logged.is_some() && known.logged.as_deref() != logged;
            if news {
                known.logged = logged.map(str::to_owned);
            }
            return news;
        }
        let next = Waived {
            logged: logged.map(str::to_owned),
            ..next
        };
        self.waivers.push(next);
        if let Some(dropped) = surplus(&mut self.waivers, WAIVERS_MAX) {
            self.forgotten(dropped.until);
        }
        true
    }

    /// There is a Node object; whether that was news.
    pub fn lives(&mut self, uid: &str, from: i64, now: i64) -> bool {
        if self
            .lives
            .last()
            .is_some_and(|it| it.uid == uid && it.until.is_none())
        {
            return false;
        }
        self.gone(now);
        let Some(from) = time(from) else { return false };
        self.lives.push(Life {
            uid: uid.to_owned(),
            from,
            until: None,
        });
        if let Some(dropped) = surplus(&mut self.lives, LIVES_MAX)
            && let Some(until) = dropped.until
        {
            self.forgotten(until);
        }
        true
    }

    /// There is no Node object; whether that was news.
    pub fn gone(&mut self, now: i64) -> bool {
        match self.lives.last_mut() {
            Some(life) if life.until.is_none() => {
                life.until = time(now);
                true
            }
            _ => false,
        }
    }

    fn forgotten(&mut self, at: Time) {
        if seconds(self.complete_since.as_ref()) < seconds(Some(&at)) {
            self.complete_since = Some(at);
        }
    }
}

/// The last of those that were too many.
fn surplus<T>(list: &mut Vec<T>, max: usize) -> Option<T> {
    let surplus = list.len().saturating_sub(max);
    list.drain(..surplus).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 20_000 * DAY_SECS + DAY_SECS / 2;

    #[test]
    fn verdicts_of_one_kind_are_one_span_until_a_gap_a_change_or_midnight() {
        let mut history = History::default();
        for at in [0, 300, 600] {
            history.judged(NOON + at, "affirming", &[], 900);
        }
        history.judged(NOON + 1501, "affirming", &[], 900);
        let failed = ["policy.debug".to_owned()];
        history.judged(NOON + 1600, "contraindicated", &failed, 900);
        let midnight = NOON + DAY_SECS / 2;
        history.judged(midnight - 1, "affirming", &[], 90_000);
        history.judged(midnight, "affirming", &[], 90_000);
        let counts: Vec<i64> = history.verdicts.iter().map(|it| it.count).collect();
        assert_eq!(counts, [3, 1, 1, 1, 1]);
        assert_eq!(history.verdicts[2].failed, failed);
        assert_eq!(history.complete_since, None);
    }

    #[test]
    fn what_is_dropped_moves_the_instant_from_which_nothing_is_missing() {
        let mut history = History::default();
        for day in 0..70 {
            history.judged(NOON + day * DAY_SECS, "affirming", &[], 900);
        }
        assert_eq!(history.verdicts.len(), SPANS_MAX);
        assert_eq!(
            seconds(history.complete_since.as_ref()),
            Some(NOON + 5 * DAY_SECS)
        );
        for at in 0..100 {
            history.stepped(NOON + at, if at % 2 == 0 { "Trust" } else { "Distrust" });
        }
        assert_eq!(history.steps.len(), STEPS_MAX);
        // The older of the two instants says nothing new.
        assert_eq!(
            seconds(history.complete_since.as_ref()),
            Some(NOON + 5 * DAY_SECS)
        );
    }

    #[test]
    fn a_node_that_is_made_anew_has_two_lives_and_news_come_once() {
        let mut history = History::default();
        assert!(!history.gone(NOON));
        assert!(history.lives("a", NOON, NOON + 5));
        assert!(!history.lives("a", NOON, NOON + 6));
        assert!(history.gone(NOON + 10));
        assert!(!history.gone(NOON + 11));
        assert!(history.lives("b", NOON + 20, NOON + 21));
        // Deleted and made anew between two looks.
        assert!(history.lives("c", NOON + 30, NOON + 31));
        let until: Vec<_> = history
            .lives
            .iter()
            .map(|it| seconds(it.until.as_ref()))
            .collect();
        assert_eq!(until, [Some(NOON + 10), Some(NOON + 31), None]);
    }

    #[test]
    fn a_waiver_is_remembered_once_and_the_oldest_is_dropped_with_its_instant() {
        let mut history = History::default();
        let waiver = |from: i64| Believed {
            waiver: crate::waiver::Waiver {
                from,
                until: from + 60,
                because: "a test".into(),
                ..crate::waiver::Waiver::new("c".into(), vec!["n".into()], vec!["x".into()])
            },
            people: vec!["anna".into()],
            author: zeuge_protocol::keys::SigningKey::from_seed(&[1; 32])
                .unwrap()
                .public()
                .id(),
            digest: [0; 32],
        };
        assert!(history.waived(&waiver(NOON), None));
        assert!(!history.waived(&waiver(NOON), None));
        assert_eq!(history.waivers[0].by, ["anna"]);
        // Written down afterwards, it is the same waiver.
        assert!(history.waived(&waiver(NOON), Some("leaf 3 of w")));
        assert!(!history.waived(&waiver(NOON), Some("leaf 3 of w")));
        assert!(!history.waived(&waiver(NOON), None));
        assert_eq!(history.waivers.len(), 1);
        assert_eq!(history.waivers[0].logged.as_deref(), Some("leaf 3 of w"));
        for at in 1..=64 {
            assert!(history.waived(&waiver(NOON + at), None));
        }
        assert_eq!(history.waivers.len(), WAIVERS_MAX);
        assert_eq!(seconds(history.complete_since.as_ref()), Some(NOON + 60));
    }

    #[test]
    fn a_step_that_is_repeated_counts_once() {
        let mut history = History::default();
        for (at, step) in [(0, "Evict"), (5, "Evict"), (9, "Stuck"), (10, "Evict")] {
            history.stepped(NOON + at, step);
        }
        assert_eq!(history.steps.len(), 3);
    }
}
