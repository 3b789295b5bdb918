//! Refusals on their way into the log: counted per source and check, one leaf per source and
//! window, so that nobody can write the log full by being refused.
//!
//! A source stands in its leaf as a salted commitment only.

use std::collections::BTreeMap;
use std::sync::Mutex;

use zeuge_log::leaf::Leaf;

use crate::refusal::Refusal;
use crate::sequencer::{NewLeaf, salted};

/// Sources counted apart in one window; further ones are counted together.
pub const SOURCES_MAX: usize = 64;
/// The name under which further sources are counted.
const OTHERS: &str = "others";

/// Counts by source, then by check.
type Counts = BTreeMap<String, BTreeMap<&'static str, u64>>;

/// The refusals of the present window.
#[derive(Debug, Default)]
pub struct Denials {
    window: Mutex<(i64, Counts)>,
}

impl Denials {
    /// Counts a refusal.
    pub fn count(&self, source: &str, check: &'static str, now: i64) {
        let Ok(mut window) = self.window.lock() else {
            return;
        };
        let (from, counts) = &mut *window;
        if counts.is_empty() {
            *from = now;
        }
        let known = counts.contains_key(source) || counts.len() < SOURCES_MAX;
        let source = if known { source } else { OTHERS };
        let checks = counts.entry(source.to_owned()).or_default();
        let count = checks.entry(check).or_default();
        *count = count.saturating_add(1);
    }

    /// Ends the window and makes its leaves.
    ///
    /// # Errors
    /// `log.leaf`, which cannot happen for check ids.
    pub fn end(&self, now: i64) -> Result<Vec<NewLeaf>, Refusal> {
        let window = self
            .window
            .lock()
            .map(|mut window| std::mem::take(&mut *window));
        let (from, counts) = window.unwrap_or_default();
        let seconds = |at: i64| u64::try_from(at).unwrap_or(0);
        let leaves = counts.into_iter().map(|(source, checks)| {
            let opening = salted("source", source.as_bytes());
            let leaf = Leaf::Denials {
                from: seconds(from),
                until: seconds(now.max(from)),
                counts: checks
                    .into_iter()
                    .map(|(check, count)| (check.to_owned(), count))
                    .collect(),
                source: opening.commit(),
            };
            NewLeaf::new(leaf, vec![opening])
        });
        leaves.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_one_source_are_one_leaf_and_a_crowd_is_bounded() {
        let denials = Denials::default();
        for _ in 0..1000 {
            denials.count("192.0.2.1", "challenge.mac", 10);
        }
        let leaves = denials.end(20).unwrap();
        assert_eq!(leaves.len(), 1);
        let Leaf::Denials {
            from,
            until,
            counts,
            ..
        } = &leaves[0].leaf
        else {
            panic!("another leaf");
        };
        assert_eq!((*from, *until), (10, 20));
        assert_eq!(counts, &[("challenge.mac".to_owned(), 1000)]);
        for number in 0..1000 {
            denials.count(&number.to_string(), "challenge.mac", 30);
        }
        assert_eq!(denials.end(40).unwrap().len(), SOURCES_MAX + 1);
        assert!(denials.end(50).unwrap().is_empty());
    }
}
