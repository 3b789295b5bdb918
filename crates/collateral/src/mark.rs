//! The latest list seen from each issuer, so that nobody can bring back an older one.
//!
//! Raised by lists that the root signed, wherever they came from; lowered by nothing.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeuge_verify::UnixTime;

/// Number and date of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// CRLNumber; `None` where no list of this issuer had one.
    pub number: Option<u64>,
    /// thisUpdate, as seconds since 1970.
    pub this_update: i64,
}

impl Mark {
    /// Whether a list with this mark is older than `seen`: a lower or missing number, or an
    /// earlier date.
    #[must_use]
    pub fn is_behind(self, seen: Self) -> bool {
        self.number < seen.number || self.this_update < seen.this_update
    }

    /// The higher of both, part by part.
    #[must_use]
    pub fn raised_by(self, other: Self) -> Self {
        Self {
            number: self.number.max(other.number),
            this_update: self.this_update.max(other.this_update),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = UnixTime(self.this_update);
        match self.number {
            Some(number) => write!(out, "list {number} of {date}"),
            None => write!(out, "a list of {date}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(number: Option<u64>, this_update: i64) -> Mark {
        Mark {
            number,
            this_update,
        }
    }

    #[test]
    fn a_lower_number_a_missing_one_and_an_earlier_date_are_behind() {
        let seen = mark(Some(3), 100);
        for behind in [mark(Some(2), 200), mark(None, 200), mark(Some(4), 99)] {
            assert!(behind.is_behind(seen), "{behind}");
        }
        for level in [mark(Some(3), 100), mark(Some(3), 101), mark(Some(4), 100)] {
            assert!(!level.is_behind(seen), "{level}");
        }
    }

    proptest::proptest! {
        #[test]
        fn raising_never_lowers(a: (Option<u64>, i64), b: (Option<u64>, i64)) {
            let (a, b) = (mark(a.0, a.1), mark(b.0, b.1));
            let raised = a.raised_by(b);
            proptest::prop_assert!(!raised.is_behind(a) && !raised.is_behind(b));
        }
    }
}
