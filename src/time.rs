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

    /// Reads RFC 3339, as reports have it.
    pub fn parse(text: &str) -> Option<Time> {
        let stamp: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(stamp.as_nanosecond()).ok().map(Time)
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
        f.write_str(str::from_utf8(Rfc3339::default().text(*self)).unwrap_or_default())
    }
}

const DAY: i64 = 86_400 * SECOND;

/// Writes times as RFC 3339 with nine digits of a second, UTC, and remembers the day of the last one.
#[derive(Clone, Debug)]
pub struct Rfc3339 {
    day: i64,
    text: [u8; 30],
}

impl Default for Rfc3339 {
    fn default() -> Rfc3339 {
        Rfc3339 { day: 0, text: *b"1970-01-01T00:00:00.000000000Z" }
    }
}

impl Rfc3339 {
    /// The text of a time. Every time that there is has a year of four digits.
    pub fn text(&mut self, time: Time) -> &[u8; 30] {
        let day = time.0.div_euclid(DAY);
        if day != self.day {
            self.day = day;
            let (year, month, date) = civil(day);
            digits(&mut self.text[..4], year);
            digits(&mut self.text[5..7], month);
            digits(&mut self.text[8..10], date);
        }
        let within = time.0.rem_euclid(DAY);
        let (second, nanos) = ((within / SECOND) as u32, (within % SECOND) as u32);
        digits(&mut self.text[11..13], second / 3600);
        digits(&mut self.text[14..16], second / 60 % 60);
        digits(&mut self.text[17..19], second % 60);
        digits(&mut self.text[20..29], nanos);
        &self.text
    }
}

/// Year, month and day of the month, from days since 1970-01-01. Years begin in March here, so that the leap day is
/// the last; 146,097 days are 400 years (H. Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`).
fn civil(days: i64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year as u32, month as u32, day as u32)
}

/// Fills a place with the last digits of a number.
#[inline]
fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(time: Time) -> String {
        time.stamp().strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
    }

    #[test]
    fn times_at_the_ends_and_around_leap_days() {
        let mut writer = Rfc3339::default();
        let new_years = [-1, 0, 951_782_400, 951_868_800, 4_107_542_400, 1_709_164_800].map(|s| s * SECOND);
        let near = new_years.iter().flat_map(|&at| [at - DAY, at - 1, at, at + 1, at + DAY - 1, at + DAY]);
        for time in near.chain([i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]).map(Time) {
            assert_eq!(time.to_string(), reference(time));
            assert_eq!(str::from_utf8(writer.text(time)).unwrap(), reference(time));
        }
        assert_eq!(Time(i64::MIN).to_string(), "1677-09-21T00:12:43.145224192Z");
    }

    #[test]
    fn every_day_there_is() {
        let mut writer = Rfc3339::default();
        for day in i64::MIN / DAY..=i64::MAX / DAY {
            let time = Time(day * DAY);
            let date = jiff::tz::Offset::UTC.to_datetime(time.stamp()).date();
            assert_eq!(&writer.text(time)[..10], date.to_string().as_bytes());
        }
    }

    proptest! {
        #[test]
        fn any_time(times: Vec<i64>) {
            let mut writer = Rfc3339::default();
            for time in times.into_iter().map(Time) {
                prop_assert_eq!(time.to_string(), reference(time));
                prop_assert_eq!(str::from_utf8(writer.text(time)).unwrap(), reference(time));
            }
        }
    }
}
