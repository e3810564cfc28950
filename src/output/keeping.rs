//! How long records are kept, and in which pieces.
//!
//! In: what was typed behind `--rotate`, `--keep-bytes` and `--keep-for`. Out: when a file begins anew, how much all files
//! may hold, and before which time a file is too old. Days and hours are those of UTC; months are those of the calendar.

use std::time::Duration;

use jiff::tz::Offset;
use jiff::{SignedDuration, Span, Timestamp};

/// What a sensor keeps of its records, over all its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// When a file begins anew.
    pub rotate: Option<Rotate>,
    /// What all files may hold together; the oldest go first.
    pub keep_bytes: Option<u64>,
    /// How old a closed file may become.
    pub keep_for: Age,
}

/// When a file begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotate {
    /// When the clock passes a multiple of this time: `1h` is the full hour, `1d` is midnight UTC.
    Every(Duration),
    /// Before it would be longer than this.
    At(u64),
}

/// How old a closed file may become. The default is six months.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// As old as it likes.
    Forever,
    /// Months of the calendar.
    Months(u32),
    /// A time.
    For(Duration),
}

impl Default for Age {
    fn default() -> Age {
        Age::Months(6)
    }
}

/// Shortest time between two files.
const ROTATE_MIN: Duration = Duration::from_secs(1);
/// Smallest size at which a file begins anew.
const ROTATE_BYTES_MIN: u64 = 64 << 10;
/// Smallest budget.
const KEEP_BYTES_MIN: u64 = 1 << 20;
/// Files that a budget is divided into when nobody says how long one may be.
const SHARES: u64 = 8;

impl Keeping {
    /// The longest file, when `outputs` files are written at a time. Files being written cannot be given up for others, so
    /// they never take more than half of the budget.
    pub(super) fn segment_bytes_max(&self, outputs: usize) -> u64 {
        let at = if let Some(Rotate::At(bytes)) = self.rotate { Some(bytes) } else { None };
        let Some(budget) = self.keep_bytes else { return at.unwrap_or(u64::MAX) };
        let half = budget / 2 / (outputs.max(1) as u64);
        at.unwrap_or(budget / SHARES).min(half).max(1)
    }

    /// Whether a file that began at one time has to end by another.
    pub(super) fn is_over(&self, began: Timestamp, now: Timestamp) -> bool {
        let Some(Rotate::Every(every)) = self.rotate else { return false };
        let every = i128::try_from(every.as_nanos()).unwrap_or(i128::MAX).max(1);
        now.as_nanosecond().div_euclid(every) > began.as_nanosecond().div_euclid(every)
    }
}

impl Rotate {
    /// Reads `1h`, `1d`, `30m`, or a size as `1GiB`.
    pub fn parse(text: &str) -> Result<Rotate, String> {
        if let Ok(every) = parse_time(text) {
            return if every < ROTATE_MIN { Err("at least 1s".to_owned()) } else { Ok(Rotate::Every(every)) };
        }
        match parse_size(text) {
            Ok(bytes) if bytes < ROTATE_BYTES_MIN => Err("at least 64KiB".to_owned()),
            Ok(bytes) => Ok(Rotate::At(bytes)),
            Err(_) => Err(format!("`{text}` is neither a time nor a size; write 1h, 1d or 1GiB")),
        }
    }
}

/// Reads a budget for all files: `100GiB`.
pub fn parse_keep_bytes(text: &str) -> Result<u64, String> {
    parse_size(text).and_then(|size| if size < KEEP_BYTES_MIN { Err("at least 1MiB".to_owned()) } else { Ok(size) })
}

impl Age {
    /// Reads `6mo`, `1y`, `26w`, `200d`, `12h`, or `forever`.
    pub fn parse(text: &str) -> Result<Age, String> {
        if text == "forever" {
            return Ok(Age::Forever);
        }
        let months = [("mo", 1), ("y", 12)].into_iter().find_map(|(unit, months)| {
            let number: u32 = text.strip_suffix(unit)?.trim().parse().ok()?;
            number.checked_mul(months)
        });
        match months {
            Some(0) => Err("longer than nothing, please".to_owned()),
            Some(months) => Ok(Age::Months(months)),
            None => parse_time(text)
                .map(Age::For)
                .map_err(|_| format!("`{text}` is no time to keep files; write 26w, 6mo, 200d or forever")),
        }
    }

    /// What was written before this is too old.
    pub(super) fn before(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Age::Forever => None,
            Age::Months(months) => {
                let span = Span::new().try_months(i64::from(months)).ok()?;
                let then = Offset::UTC.to_datetime(now).checked_sub(span).ok()?;
                Offset::UTC.to_timestamp(then).ok()
            }
            Age::For(time) => now.checked_sub(SignedDuration::try_from(time).ok()?).ok(),
        }
    }
}

/// A time that is longer than nothing: `30s`, `1h30m`, `7d`, `26w`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|_| format!("`{text}` is no time"))?;
    let time = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|e| e.to_string())?;
    let positive = if time.is_positive() { Duration::try_from(time).ok() } else { None };
    positive.ok_or_else(|| "longer than nothing, please".to_owned())
}

/// Bytes from `2GiB`, `512MiB`, `1000000`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        other => return Err(format!("`{other}` is no unit; use KiB, MiB or GiB")),
    };
    let number: u64 = digits.trim().parse().map_err(|_| format!("`{digits}` is no whole number"))?;
    number.checked_mul(unit).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn what_can_be_typed() {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        assert_eq!(Rotate::parse("1h"), Ok(Rotate::Every(hours(1))));
        assert_eq!(Rotate::parse("1d"), Ok(Rotate::Every(hours(24))));
        assert_eq!(Rotate::parse("1GiB"), Ok(Rotate::At(1 << 30)));
        assert_eq!(Rotate::parse("1g"), Ok(Rotate::At(1 << 30)));
        assert!(Rotate::parse("10").is_err());
        assert!(Rotate::parse("-1h").is_err());
        assert!(Rotate::parse("now").is_err());
        assert_eq!(parse_keep_bytes("100GiB"), Ok(100 << 30));
        assert!(parse_keep_bytes("10KiB").is_err());
        assert_eq!(Age::parse("26w"), Ok(Age::For(hours(26 * 7 * 24))));
        assert_eq!(Age::parse("200d"), Ok(Age::For(hours(200 * 24))));
        assert_eq!(Age::parse("6mo"), Ok(Age::Months(6)));
        assert_eq!(Age::parse("2y"), Ok(Age::Months(24)));
        assert_eq!(Age::parse("forever"), Ok(Age::Forever));
        for wrong in ["0mo", "0d", "-6mo", "long", ""] {
            assert!(Age::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn periods_are_those_of_utc() {
        let hourly = Keeping { rotate: Some(Rotate::Every(Duration::from_secs(3600))), ..Keeping::default() };
        assert!(!hourly.is_over(at("2026-11-25T22:00:00Z"), at("2026-11-25T22:59:59.999Z")));
        assert!(hourly.is_over(at("2026-11-25T22:59:59.999Z"), at("2026-11-25T23:00:00Z")));
        // A clock that was put back ends nothing.
        assert!(!hourly.is_over(at("2026-11-25T23:00:00Z"), at("2026-11-25T21:00:00Z")));
        assert!(!Keeping::default().is_over(at("2026-11-25T23:00:00Z"), at("2036-11-25T21:00:00Z")));
    }

    #[test]
    fn six_months_are_those_of_the_calendar() {
        assert_eq!(Age::default().before(at("2026-08-31T12:00:00Z")), Some(at("2026-02-28T12:00:00Z")));
        assert_eq!(
            Age::For(Duration::from_secs(86400)).before(at("2026-03-01T00:00:00Z")),
            Some(at("2026-02-28T00:00:00Z"))
        );
        assert_eq!(Age::Forever.before(at("2026-03-01T00:00:00Z")), None);
    }

    #[test]
    fn open_files_leave_room_for_each_other() {
        let keeping = |rotate, budget| Keeping { rotate, keep_bytes: Some(budget), ..Keeping::default() };
        assert_eq!(keeping(None, 800).segment_bytes_max(1), 100);
        assert_eq!(keeping(None, 800).segment_bytes_max(8), 50);
        assert_eq!(keeping(Some(Rotate::At(1000)), 800).segment_bytes_max(1), 400);
        assert_eq!(keeping(Some(Rotate::At(10)), 800).segment_bytes_max(1), 10);
        assert_eq!(Keeping::default().segment_bytes_max(3), u64::MAX);
    }
}
