//! How many requests to the makers one asker may cause: whoever invents chips spends his own.
//!
//! Pure but for the counters: the instant is an argument. Counters live as long as the process.

use std::collections::HashMap;

use zeuge_verify::UnixTime;

use crate::Problem;

/// Askers that are counted apart; more share one counter, so that the memory has an end.
const SOURCES_MAX: usize = 4096;
const HOUR: i64 = 3600;
/// Askers that wait for makers at once. A silent maker holds them for many seconds; whoever needs no
/// maker must not wait behind them.
pub const ASKING_MAX: usize = 32;

/// `collateral.budget` for one more than [`ASKING_MAX`].
pub(crate) fn too_many(now: UnixTime) -> Problem {
    Problem::Budget {
        source: "all".to_owned(),
        until: now.plus(1),
    }
}

/// Requests per hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// That one asker may cause. A machine needs three on its first day.
    pub per_source: u32,
    /// That this process makes in all.
    pub all: u32,
}

impl Default for Allowance {
    /// 30 for each asker, 600 in all.
    fn default() -> Self {
        Self {
            per_source: 30,
            all: 600,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: UnixTime,
    used: u32,
}

/// The counters.
#[derive(Debug)]
pub(crate) struct Budget {
    allowance: Allowance,
    all: Window,
    sources: HashMap<String, Window>,
}

impl Budget {
    pub(crate) fn new(allowance: Allowance) -> Self {
        let all = Window {
            since: UnixTime(0),
            used: 0,
        };
        Self {
            allowance,
            all,
            sources: HashMap::new(),
        }
    }

    /// Takes one request from the budget of this asker.
    ///
    /// # Errors
    /// `collateral.budget`; then nothing is taken.
    pub(crate) fn spend(&mut self, source: &str, now: UnixTime) -> Result<(), Problem> {
        let used_up = |source: &str, window: Window| Problem::Budget {
            source: source.to_owned(),
            until: window.since.plus(HOUR),
        };
        let all = current(Some(self.all), now);
        if all.used >= self.allowance.all {
            return Err(used_up("all", all));
        }
        let name = if self.sources.contains_key(source) || self.make_room(now) {
            source
        } else {
            "others"
        };
        let own = current(self.sources.get(name).copied(), now);
        if own.used >= self.allowance.per_source {
            return Err(used_up(name, own));
        }
        let spent = |window: Window| Window {
            used: window.used.saturating_add(1),
            ..window
        };
        self.all = spent(all);
        self.sources.insert(name.to_owned(), spent(own));
        Ok(())
    }

    fn make_room(&mut self, now: UnixTime) -> bool {
        if self.sources.len() >= SOURCES_MAX {
            self.sources.retain(|_, window| is_current(*window, now));
        }
        self.sources.len() < SOURCES_MAX
    }
}

const fn is_current(window: Window, now: UnixTime) -> bool {
    let age = now.0.saturating_sub(window.since.0);
    age >= 0 && age < HOUR
}

fn current(window: Option<Window>, now: UnixTime) -> Window {
    window
        .filter(|window| is_current(*window, now))
        .unwrap_or(Window {
            since: now,
            used: 0,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(1_772_323_200);

    #[test]
    fn an_asker_spends_only_its_own_budget_and_gets_it_back_after_an_hour() {
        let mut budget = Budget::new(Allowance {
            per_source: 2,
            all: 10,
        });
        assert_eq!(budget.spend("a", NOW), Ok(()));
        assert_eq!(budget.spend("a", NOW.plus(5)), Ok(()));
        let refused = Problem::Budget {
            source: "a".to_owned(),
            until: NOW.plus(HOUR),
        };
        assert_eq!(budget.spend("a", NOW.plus(6)), Err(refused));
        assert_eq!(budget.spend("b", NOW.plus(6)), Ok(()));
        assert_eq!(budget.spend("a", NOW.plus(HOUR)), Ok(()));
    }

    #[test]
    fn all_askers_together_have_an_end() {
        let mut budget = Budget::new(Allowance {
            per_source: 2,
            all: 3,
        });
        for source in ["a", "b", "c"] {
            assert_eq!(budget.spend(source, NOW), Ok(()));
        }
        let refused = Problem::Budget {
            source: "all".to_owned(),
            until: NOW.plus(HOUR),
        };
        assert_eq!(budget.spend("d", NOW), Err(refused));
    }

    #[test]
    fn askers_beyond_the_limit_share_one_counter() {
        let mut budget = Budget::new(Allowance {
            per_source: 1,
            all: u32::MAX,
        });
        for number in 0..SOURCES_MAX {
            assert_eq!(budget.spend(&number.to_string(), NOW), Ok(()));
        }
        assert_eq!(budget.spend("x", NOW), Ok(()));
        let refused = budget.spend("y", NOW).unwrap_err();
        assert_eq!(refused.check(), "collateral.budget");
        assert!(budget.sources.len() <= SOURCES_MAX + 1);
    }
}
