//! Instants between which no date of certificates, lists and documents lies, so that every choice
//! among them comes out the same. What kept proofs are bounded by.

use zeuge_evidence::UnixTime;

/// A span of instants around one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    at: UnixTime,
    from: UnixTime,
    /// The first instant at which something changes; `None` if nothing ever does.
    until: Option<UnixTime>,
}

impl Window {
    /// All instants, around this one.
    pub(crate) const fn around(at: UnixTime) -> Self {
        Self {
            at,
            from: UnixTime(i64::MIN),
            until: None,
        }
    }

    /// Takes in the first and the last instant of something. The last one still counts, so the turn
    /// is one second later.
    pub(crate) fn validity(&mut self, first: UnixTime, last: Option<UnixTime>) {
        self.turn(first);
        if let Some(last) = last {
            self.turn(UnixTime(last.0.saturating_add(1)));
        }
    }

    fn turn(&mut self, instant: UnixTime) {
        if instant <= self.at {
            self.from = self.from.max(instant);
        } else {
            let until = self.until.map_or(instant, |until| until.min(instant));
            self.until = Some(until);
        }
    }

    /// Whether nothing changes between the one instant and this one.
    pub(crate) fn holds(self, at: UnixTime) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// The first instant at which something changes; `None` if nothing ever does.
    pub(crate) const fn until(&self) -> Option<UnixTime> {
        self.until
    }
}
