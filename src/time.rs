//! Packet time: nanoseconds since 1970-01-01 UTC, as the capture says it.
//!
//! Nothing below `run` asks a clock. A time that a capture writes and that does not fit
//! (before 1677 or after 2262) is held at the nearest end.

use std::fmt;

/// A moment of packet time, in nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

/// Nanoseconds in one second.
pub const SECOND: i64 = 1_000_000_000;

impl Time {
    /// From whole seconds and nanoseconds, held at the ends of the range.
    pub fn new(seconds: i64, nanos: i64) -> Time {
        Time(seconds.saturating_mul(SECOND).saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to `self`; negative when time ran backwards.
    pub fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Year and month, UTC.
    pub fn date(self) -> (i16, i8) {
        let date = jiff::tz::Offset::UTC.to_datetime(self.stamp()).date();
        (date.year(), date.month())
    }

    /// The calendar month it lies in, UTC: its first moment, and that of the next month.
    pub fn month_bounds(self) -> (Time, Time) {
        let first = jiff::tz::Offset::UTC.to_datetime(self.stamp()).date().first_of_month();
        let next = first.last_of_month().tomorrow();
        let start = |date: jiff::civil::Date| {
            let stamp = jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
            stamp.map_or(Time(i64::MAX), |stamp| Time::new(stamp.as_second(), 0))
        };
        (start(first), next.map_or(Time(i64::MAX), start))
    }

    /// Year and month as `2026-11`, UTC.
    pub fn month(self) -> String {
        let (year, month) = self.date();
        format!("{year:04}-{month:02}")
    }

    fn stamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Time {
    /// RFC 3339 with nine digits of a second, UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stamp().strftime("%Y-%m-%dT%H:%M:%S.%9fZ"))
    }
}
