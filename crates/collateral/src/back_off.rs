//! When a service may be asked again: pauses that it asked for, and our own after errors.
//!
//! Pure: the instant is an argument, nothing is kept here.

use serde::{Deserialize, Serialize};
use zeuge_verify::UnixTime;

/// The first pause without a word from the service; each further error doubles it.
const PAUSE_SECS: i64 = 30;
/// The longest pause of our own choice.
const PAUSE_SECS_MAX: i64 = 3600;
/// The longest pause that a service may ask for: AMD asks for seconds. Longer would let one wrong
/// header keep a witness from its maker for ever.
const ASKED_SECS_MAX: i64 = 86_400;

/// A pause of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackOff {
    /// Seconds since 1970 at which it may be asked again.
    pub(crate) until: i64,
    /// Errors in a row.
    pub(crate) failures: u32,
}

impl BackOff {
    /// The pause after one more error. `asked` is what the service asked for, in seconds.
    pub(crate) fn after(earlier: Option<Self>, asked: Option<i64>, now: UnixTime) -> Self {
        let failures = earlier.map_or(0, |earlier| earlier.failures);
        let doubled = PAUSE_SECS.saturating_mul(1_i64.checked_shl(failures.min(16)).unwrap_or(1));
        let own = doubled.min(PAUSE_SECS_MAX);
        let pause = asked.map_or(own, |asked| asked.clamp(1, ASKED_SECS_MAX));
        Self {
            until: now.plus(pause).0,
            failures: failures.saturating_add(1),
        }
    }

    /// When it ends, if it has not ended; a pause longer than any that we keep was written under
    /// another clock and does not count.
    pub(crate) const fn running(self, now: UnixTime) -> Option<UnixTime> {
        let left = self.until.saturating_sub(now.0);
        if left > 0 && left <= ASKED_SECS_MAX {
            Some(UnixTime(self.until))
        } else {
            None
        }
    }
}

/// The pause that a Retry-After header asks for (RFC 9110 §10.2.3), in seconds from `now`: digits,
/// or a date as `Sun, 06 Nov 1994 08:49:37 GMT`. `None` for anything else; a date that has passed is 0.
#[must_use]
pub fn retry_after_secs(header: &str, now: UnixTime) -> Option<i64> {
    let text = header.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(i64::MAX));
    }
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, clock, "GMT"] = parts.as_slice() else {
        return None;
    };
    let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = months
        .iter()
        .position(|name| name == month)?
        .checked_add(1)?;
    let then = UnixTime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{clock}Z"))?;
    Some(then.0.saturating_sub(now.0).max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime(784_111_777);

    #[test]
    fn a_pause_doubles_up_to_an_hour() {
        let mut held = None;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let next = BackOff::after(held, None, NOW);
            pauses.push(next.until - NOW.0);
            held = Some(next);
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn what_the_service_asks_for_counts_and_has_an_end() {
        let pause = |asked| BackOff::after(None, Some(asked), NOW).until - NOW.0;
        assert_eq!(pause(17), 17);
        assert_eq!(pause(0), 1);
        assert_eq!(pause(i64::MAX), 86_400);
    }

    #[test]
    fn a_pause_ends_and_one_of_another_clock_does_not_count() {
        let held = BackOff::after(None, Some(10), NOW);
        assert_eq!(held.running(NOW.plus(9)), Some(NOW.plus(10)));
        assert_eq!(held.running(NOW.plus(10)), None);
        assert_eq!(held.running(NOW.plus(-1_000_000)), None);
    }

    #[test]
    fn both_forms_of_the_header_are_read() {
        assert_eq!(retry_after_secs(" 120 ", NOW), Some(120));
        assert_eq!(
            retry_after_secs("Sun, 06 Nov 1994 08:50:37 GMT", NOW),
            Some(60)
        );
        assert_eq!(
            retry_after_secs("Sun, 06 Nov 1994 08:00:00 GMT", NOW),
            Some(0)
        );
        for other in ["", "-1", "soon", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(retry_after_secs(other, NOW), None, "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_without_a_panic(header in ".{0,60}") {
            let _ = retry_after_secs(&header, NOW);
        }
    }
}
