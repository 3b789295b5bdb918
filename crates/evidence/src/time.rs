//! An instant, as whole seconds since 1970-01-01T00:00:00Z.
//!
//! Never read from a clock here: time is an argument.

use std::fmt;

/// Seconds since the Unix epoch, leap seconds not counted. Negative before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(pub i64);

const SECONDS_PER_DAY: i64 = 86_400;

impl UnixTime {
    /// The instant of a date and time of the Gregorian calendar in UTC.
    ///
    /// Returns `None` for a month, day, hour, minute or second that does not exist and for years
    /// outside 1 to 9999.
    #[must_use]
    pub fn from_civil(
        year: i64,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
    ) -> Option<Self> {
        let known = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && day >= 1
            && day <= days_in_month(year, month)
            && hour < 24
            && minute < 60
            && second < 60;
        if !known {
            return None;
        }
        let days = days_from_civil(year, i64::from(month), i64::from(day))?;
        let of_day = i64::from(hour)
            .checked_mul(3600)?
            .checked_add(i64::from(minute).checked_mul(60)?)?
            .checked_add(i64::from(second))?;
        days.checked_mul(SECONDS_PER_DAY)?
            .checked_add(of_day)
            .map(Self)
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS` with an optional fraction (dropped) and `Z` or an offset
    /// `±HH:MM` (RFC 3339).
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let part = bytes.get(from..to)?;
            if !part.iter().all(u8::is_ascii_digit) {
                return None;
            }
            std::str::from_utf8(part).ok()?.parse().ok()
        };
        let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
        let shaped = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
        if !shaped {
            return None;
        }
        let small = |from: usize, to: usize| number(from, to).and_then(|n| u8::try_from(n).ok());
        let local = Self::from_civil(
            number(0, 4)?,
            small(5, 7)?,
            small(8, 10)?,
            small(11, 13)?,
            small(14, 16)?,
            small(17, 19)?,
        )?;
        let mut rest = bytes.get(19..)?;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let digits = fraction
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            rest = fraction.get(digits..).filter(|_| digits > 0)?;
        }
        let offset = match rest {
            b"Z" | b"z" => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let digit = |byte: u8| char::from(byte).to_digit(10).map(i64::from);
                let pair =
                    |high: u8, low: u8| digit(high)?.checked_mul(10)?.checked_add(digit(low)?);
                let (hours, minutes) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let seconds = hours
                    .checked_mul(3600)?
                    .checked_add(minutes.checked_mul(60)?)?;
                if *sign == b'+' {
                    seconds
                } else {
                    seconds.checked_neg()?
                }
            }
            _ => return None,
        };
        local.0.checked_sub(offset).map(Self)
    }

    /// This instant moved by `seconds`; stays at the ends of the range.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl fmt::Display for UnixTime {
    /// `YYYY-MM-DDTHH:MM:SSZ`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(SECONDS_PER_DAY);
        let of_day = self.0.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = civil_from_days(days);
        let hour = of_day.div_euclid(3600);
        let minute = of_day.rem_euclid(3600).div_euclid(60);
        let second = of_day.rem_euclid(60);
        write!(
            out,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

fn days_in_month(year: i64, month: u8) -> u8 {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, counted in years that begin in March so that the leap day is last.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let month = if month > 2 {
        month.checked_sub(3)?
    } else {
        month.checked_add(9)?
    };
    let leaps = year
        .div_euclid(4)
        .checked_sub(year.div_euclid(100))?
        .checked_add(year.div_euclid(400))?;
    let of_year = month
        .checked_mul(153)?
        .checked_add(2)?
        .div_euclid(5)
        .checked_add(day)?;
    year.checked_mul(365)?
        .checked_add(leaps)?
        .checked_add(of_year)?
        .checked_sub(719_469)
}

/// The inverse of [`days_from_civil`], in saturating steps: display never fails.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = of_era
        .saturating_sub(of_era.div_euclid(1460))
        .saturating_add(of_era.div_euclid(36_524))
        .saturating_sub(of_era.div_euclid(146_096))
        .div_euclid(365);
    let of_year = of_era.saturating_sub(
        year_of_era
            .saturating_mul(365)
            .saturating_add(year_of_era.div_euclid(4))
            .saturating_sub(year_of_era.div_euclid(100)),
    );
    let march_month = of_year.saturating_mul(5).saturating_add(2).div_euclid(153);
    let day = of_year
        .saturating_sub(
            march_month
                .saturating_mul(153)
                .saturating_add(2)
                .div_euclid(5),
        )
        .saturating_add(1);
    let month = if march_month < 10 {
        march_month.saturating_add(3)
    } else {
        march_month.saturating_sub(9)
    };
    let year = year_of_era.saturating_add(era.saturating_mul(400));
    (
        if month <= 2 {
            year.saturating_add(1)
        } else {
            year
        },
        month,
        day,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_read_and_print_the_same() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:34:56Z", 951_827_696),
            ("2023-11-07T21:12:10Z", 1_699_391_530),
            ("2049-12-31T23:59:59Z", 2_524_607_999),
        ] {
            assert_eq!(
                UnixTime::parse_rfc3339(text),
                Some(UnixTime(seconds)),
                "{text}"
            );
            assert_eq!(UnixTime(seconds).to_string(), text);
        }
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        assert_eq!(
            UnixTime::parse_rfc3339("1970-01-01T01:30:00.250+01:30"),
            Some(UnixTime(0))
        );
        assert_eq!(
            UnixTime::parse_rfc3339("1969-12-31T23:00:00-01:00"),
            Some(UnixTime(0))
        );
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:00",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00+25:00",
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn print_and_read_are_inverse(seconds in -62_135_596_800_i64..=253_402_300_799) {
            let instant = UnixTime(seconds);
            proptest::prop_assert_eq!(UnixTime::parse_rfc3339(&instant.to_string()), Some(instant));
        }
    }
}
