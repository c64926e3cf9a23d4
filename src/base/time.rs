//! Moments on a clock that all processes of one host share, and that never goes back: what one process has
//! measured, another can put beside its own. It says nothing of the time of day, and clocks of different
//! hosts have nothing to do with each other.

use std::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use bytemuck::{Pod, Zeroable};
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        Self(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// How long ago it was.
    pub fn elapsed(self) -> Duration {
        Duration::from_nanos(Self::now().0.saturating_sub(self.0))
    }
}

/// When something was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Interval {
    /// When it began.
    pub began: Timestamp,
    /// When it was done.
    pub ended: Timestamp,
}

impl Interval {
    /// What began at `began` is done now.
    pub fn since(began: Timestamp) -> Self {
        Self { began, ended: Timestamp::now() }
    }

    /// How long it took.
    pub fn took(self) -> Duration {
        Duration::from_nanos(self.ended.0.saturating_sub(self.began.0))
    }
}

/// Seconds of 400 years: in any 400 years the calendar comes round again, to the day of the week.
const CYCLE: u64 = 146_097 * 24 * 60 * 60;

/// `time` in UTC, as RFC 3339 has it. Years beyond four digits, which a file's time may have, have a sign and six digits
/// or more, as in ECMAScript.
pub fn utc(time: SystemTime) -> String {
    let nanos = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let since = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => nanos(after),
        Err(before) => -nanos(before.duration()),
    };
    let millis = since.div_euclid(1_000_000);
    // The same day of the years from 1970 to 2369, which the library can tell.
    let cycle = i128::from(CYCLE) * 1000;
    let (cycles, within) = (millis.div_euclid(cycle), millis.rem_euclid(cycle));
    let within = UNIX_EPOCH + Duration::from_millis(u64::try_from(within).unwrap_or(0));
    let text = humantime::format_rfc3339_millis(within).to_string();
    let (year, rest) = text.split_at(4);
    match year.parse::<i128>().map_or(0, |year| year + 400 * cycles) {
        year @ 0..=9999 => format!("{year:04}{rest}"),
        year => format!("{year:+07}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_follow_one_another() {
        let first = Interval::since(Timestamp::now());
        let second = Interval::since(first.ended);
        assert!(first.began <= first.ended && first.ended <= second.ended);
        assert!(second.took() <= first.ended.elapsed());
        assert_eq!(Interval { began: Timestamp(3), ended: Timestamp(5) }.took(), Duration::from_nanos(2));
    }

    #[test]
    fn times_of_all_years_are_told() {
        let at = |seconds: i64, millis: u64| {
            let far = Duration::from_secs(seconds.unsigned_abs());
            let time = if seconds < 0 { UNIX_EPOCH - far } else { UNIX_EPOCH + far };
            utc(time + Duration::from_millis(millis))
        };
        assert_eq!(at(0, 7), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(-1, 0), "1969-12-31T23:59:59.000Z");
        assert_eq!(at(-1, 999), "1969-12-31T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        // As `date -u -d @N` has them.
        assert_eq!(at(-62_167_219_200, 0), "0000-01-01T00:00:00.000Z");
        assert_eq!(at(-62_167_219_201, 0), "-000001-12-31T23:59:59.000Z");
        assert_eq!(at(253_402_300_799, 0), "9999-12-31T23:59:59.000Z");
        assert_eq!(at(253_402_300_800, 0), "+010000-01-01T00:00:00.000Z");
        assert_eq!(at(1_000_000_000_000, 0), "+033658-09-27T01:46:40.000Z");
        assert_eq!(utc(UNIX_EPOCH - Duration::from_nanos(1)), "1969-12-31T23:59:59.999Z");
        for far in [i64::MIN, i64::MAX] {
            assert!(at(far, 0).starts_with(if far < 0 { '-' } else { '+' }));
        }
    }
}
