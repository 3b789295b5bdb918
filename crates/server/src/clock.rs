//! The one clock of the witness. Read once per request; the instant travels as an argument.
//!
//! Watches the wall clock against the monotonic one and against the highest instant that was ever
//! written down (DESIGN §5.6). A jump stops release until the clocks agree again or, after a
//! person has looked, the witness is restarted. Never corrects the time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::refusal::Refusal;

/// The ids of this file.
pub const CHECKS: &[&str] = &["time.jump"];
/// Seconds by which clocks may differ (DESIGN §5.6).
pub const SKEW_SECS_MAX: i64 = 30;
/// Seconds that a witness may plausibly have been off: a year and a day. A clock further ahead of
/// the last instant on record is wrong.
pub const OFF_SECS_MAX: i64 = 366 * 86_400;

/// Reads seconds.
type Seconds = Box<dyn Fn() -> i64 + Send + Sync>;

/// The clock.
pub struct Clock {
    wall: Seconds,
    monotonic: Seconds,
    /// Wall and monotonic seconds when it was started.
    start: Mutex<(i64, i64)>,
    high_water: AtomicI64,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Clock")
    }
}

impl Clock {
    /// The machine's clocks; `high_water` is the highest instant on record.
    #[must_use]
    pub fn system(high_water: i64) -> Self {
        let start = Instant::now();
        let monotonic = move || i64::try_from(start.elapsed().as_secs()).unwrap_or(i64::MAX);
        Self::new(wall, monotonic, high_water)
    }

    /// A clock of two sources of seconds.
    pub fn new(
        wall: impl Fn() -> i64 + Send + Sync + 'static,
        monotonic: impl Fn() -> i64 + Send + Sync + 'static,
        high_water: i64,
    ) -> Self {
        let start = Mutex::new((wall(), monotonic()));
        Self {
            wall: Box::new(wall),
            monotonic: Box::new(monotonic),
            start,
            high_water: AtomicI64::new(high_water),
        }
    }

    /// The present instant in Unix seconds, for records and answers that release nothing.
    #[must_use]
    pub fn wall(&self) -> i64 {
        (self.wall)()
    }

    /// The present instant, if the clocks can be believed.
    ///
    /// # Errors
    /// `time.jump` when the wall clock is more than [`SKEW_SECS_MAX`] behind the record, further
    /// ahead of it than [`OFF_SECS_MAX`], or has moved otherwise than the monotonic clock.
    pub fn now(&self) -> Result<i64, Refusal> {
        let (wall, monotonic) = ((self.wall)(), (self.monotonic)());
        let mark = self.high_water.load(Ordering::Relaxed);
        let jump = |wanted: String| {
            let because = "the clock jumped; nothing is released. Set the clock, then restart";
            Err(Refusal::new("time.jump", 503, because).difference(wall.to_string(), wanted))
        };
        if wall < mark.saturating_sub(SKEW_SECS_MAX) {
            return jump(format!("not before {mark}"));
        }
        if mark > 0 && wall > mark.saturating_add(OFF_SECS_MAX) {
            return jump(format!("not a year after {mark}"));
        }
        let (wall_start, monotonic_start) = self.start.lock().map_or((wall, monotonic), |at| *at);
        let expected = wall_start.saturating_add(monotonic.saturating_sub(monotonic_start));
        if wall.abs_diff(expected) > SKEW_SECS_MAX.unsigned_abs() {
            return jump(format!("about {expected}"));
        }
        self.high_water.fetch_max(wall, Ordering::Relaxed);
        Ok(wall)
    }
}

fn wall() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn clock(high_water: i64) -> (Arc<AtomicI64>, Arc<AtomicI64>, Clock) {
        let wall = Arc::new(AtomicI64::new(1_000_000));
        let mono = Arc::new(AtomicI64::new(5));
        let (a, b) = (wall.clone(), mono.clone());
        let clock = Clock::new(
            move || a.load(Ordering::Relaxed),
            move || b.load(Ordering::Relaxed),
            high_water,
        );
        (wall, mono, clock)
    }

    #[test]
    fn a_wall_clock_that_moves_without_time_passing_stops_release() {
        let (wall, mono, clock) = clock(0);
        assert_eq!(clock.now(), Ok(1_000_000));
        wall.store(1_000_100, Ordering::Relaxed);
        assert_eq!(
            clock.now().map_err(|refusal| refusal.check),
            Err("time.jump")
        );
        mono.store(105, Ordering::Relaxed);
        assert_eq!(clock.now(), Ok(1_000_100));
        wall.store(1_000_000, Ordering::Relaxed);
        assert_eq!(
            clock.now().map_err(|refusal| refusal.check),
            Err("time.jump")
        );
    }

    #[test]
    fn a_clock_behind_or_a_year_ahead_of_the_record_stops_release() {
        let (_, _, behind) = clock(1_000_031);
        assert_eq!(
            behind.now().map_err(|refusal| refusal.check),
            Err("time.jump")
        );
        let (_, _, tolerated) = clock(1_000_030);
        assert_eq!(tolerated.now(), Ok(1_000_000));
        let (wall, _, ahead) = clock(1_000_000);
        wall.store(1_000_000 + OFF_SECS_MAX + 1, Ordering::Relaxed);
        assert_eq!(
            ahead.now().map_err(|refusal| refusal.check),
            Err("time.jump")
        );
    }
}
