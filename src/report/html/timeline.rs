//! When each channel spoke: a strip for each, and its rhythm in words when it has one.
//!
//! In: findings with the starts of their flows by piece of time. Out: rows with a strip as `<svg>`. A rhythm is said only when
//! enough starts keep it.

use std::fmt::Write as _;

use serde::Serialize;

use super::lang::{self, Lang};
use crate::record::{Crossing, Finding, Schedule};
use crate::report::Report;
use crate::report::markup::escaped;

/// Channels with a strip.
const ROWS_MAX: usize = 40;
/// Fewer starts than these make no rhythm.
const STARTS_MIN: u64 = 6;
/// Of all gaps these keep the rhythm, in per cent.
const STEADY_PERCENT: usize = 75;
/// Lengths of time that programs are set to, in seconds: a rhythm that may be one of them is called so.
const ROUND: [u64; 21] = [
    10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600, 28_800, 43_200,
    86_400, 604_800,
];
/// Width of a strip in its own units; the page stretches it.
const WIDTH: f64 = 1000.0;
/// Thinnest mark.
const MARK: f64 = 4.0;

/// One strip.
#[derive(Debug, Serialize)]
pub struct Row {
    channel: String,
    asset: String,
    crossing: &'static str,
    strip: String,
    span: String,
    rhythm: Option<String>,
}

/// What the section shows.
#[derive(Debug, Default, Serialize)]
pub struct Timeline {
    /// Strips, in the order of the findings.
    pub rows: Vec<Row>,
    /// Findings without a strip.
    pub more: usize,
    /// Ends and middle of the axis.
    pub ticks: Vec<String>,
}

/// Strips over the whole time of the report.
pub fn timeline(report: &Report, lang: Lang) -> Timeline {
    let ends = (report.header.first_seen.as_deref(), report.header.last_seen.as_deref());
    let (Some(first), Some(last)) = ends else { return Timeline::default() };
    let (Some(from), Some(to)) = (lang::seconds(first), lang::seconds(last)) else { return Timeline::default() };
    let axis = Axis { from, to: to.max(from + 1) };
    let away: Vec<&Finding> = report.findings.iter().filter(|f| f.crossing != Crossing::Home).collect();
    let row = |finding: &&Finding| Row {
        channel: super::channel_name(finding, lang),
        asset: format!("{} {}", finding.asset.ip, finding.asset.product),
        crossing: finding.crossing.name(),
        strip: axis.strip(finding, lang),
        span: span(finding, lang),
        rhythm: rhythm(&finding.schedule, lang),
    };
    let middle = jiff::Timestamp::from_second(from + (to - from) / 2).map(|t| t.to_string()).unwrap_or_default();
    Timeline {
        rows: away.iter().take(ROWS_MAX).map(row).collect(),
        more: away.len().saturating_sub(ROWS_MAX),
        ticks: [first, &middle, last].map(|time| lang::moment(time).get(..16).unwrap_or_default().to_owned()).to_vec(),
    }
}

/// From when to when, and for how long.
fn span(finding: &Finding, lang: Lang) -> String {
    let (first, last) = (lang::moment(&finding.first_seen), lang::moment(&finding.last_seen));
    // The day is said once.
    let last = match (first.get(..10), last.get(..10)) {
        (Some(day), Some(same)) if day == same => last.get(11..).unwrap_or_default().to_owned(),
        _ => last,
    };
    let flows = match finding.sessions {
        0 => lang.text("attempt").to_owned(),
        n => lang.count(n, "flow"),
    };
    // A moment is no span.
    match first.ends_with(&last) {
        true => format!("{first} · {flows}"),
        false => format!("{first} – {last} · {flows}"),
    }
}

struct Axis {
    from: i64,
    to: i64,
}

impl Axis {
    fn x(&self, second: i64) -> f64 {
        let part = (second - self.from) as f64 / (self.to - self.from) as f64;
        part.clamp(0.0, 1.0) * WIDTH
    }

    fn strip(&self, finding: &Finding, lang: Lang) -> String {
        let seconds = |time: &str| lang::seconds(time).unwrap_or(self.from);
        let (first, last) = (self.x(seconds(&finding.first_seen)), self.x(seconds(&finding.last_seen)));
        let mut svg = format!(
            r#"<svg class="strip" viewBox="0 0 {WIDTH} 20" preserveAspectRatio="none" role="img" aria-label="{}"><path class="axis" d="M0 10H{WIDTH}"/><rect class="span" x="{:.1}" y="8" width="{:.1}" height="4"/>"#,
            escaped(&span(finding, lang)),
            first.min(WIDTH - MARK),
            (last - first).max(MARK),
        );
        let bucket = i64::try_from(finding.schedule.bucket_seconds).unwrap_or(i64::MAX);
        let most = finding.schedule.starts.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
        for (start, n) in &finding.schedule.starts {
            let start = seconds(start);
            let x = self.x(start).min(WIDTH - MARK);
            let width = (self.x(start.saturating_add(bucket)) - x).clamp(MARK, WIDTH) - 0.5;
            let height = 6.0 + 14.0 * (*n as f64 / most as f64);
            let _ = write!(
                svg,
                r#"<rect class="start {}" x="{x:.1}" y="{:.1}" width="{width:.1}" height="{height:.1}"/>"#,
                finding.crossing.name(),
                10.0 - height / 2.0,
            );
        }
        svg + "</svg>"
    }
}

/// How regular the starts are, in words; `None` when there are too few of them or they keep no rhythm.
pub fn rhythm(schedule: &Schedule, lang: Lang) -> Option<String> {
    let (every, slack) = period(schedule)?;
    let round =
        ROUND.iter().copied().min_by_key(|round| round.abs_diff(every)).filter(|round| round.abs_diff(every) <= slack);
    Some(lang.fill("time.every", &[("n", &lang.duration(round.unwrap_or(every)))]))
}

/// Seconds between starts, when they are regular, and how far off that may be: pieces of time hide where in them a flow began.
fn period(schedule: &Schedule) -> Option<(u64, u64)> {
    let bucket = schedule.bucket_seconds.max(1);
    let mut starts: Vec<(u64, u64)> = Vec::with_capacity(schedule.starts.len());
    for (start, n) in &schedule.starts {
        starts.push((u64::try_from(lang::seconds(start)?).ok()?, *n));
    }
    let all: u64 = starts.iter().map(|(_, n)| *n).fold(0, u64::saturating_add);
    if all < STARTS_MIN {
        return None;
    }
    let gaps: Vec<u64> = starts.windows(2).filter_map(|pair| pair[1].0.checked_sub(pair[0].0)).collect();
    if starts.iter().all(|(_, n)| *n == 1) {
        return steady_gap(&gaps, bucket);
    }
    // Several in each piece: as regular as the counts are even and no piece is empty.
    let inner = starts.get(1..starts.len().checked_sub(1)?)?;
    let even = gaps.iter().all(|gap| *gap == bucket) && inner.len() >= 3;
    let (least, most) = (inner.iter().map(|(_, n)| *n).min()?, inner.iter().map(|(_, n)| *n).max()?);
    let sum: u64 = inner.iter().map(|(_, n)| *n).fold(0, u64::saturating_add);
    let close = most - least <= 1 + least / 4;
    let every = (bucket * inner.len() as u64 + sum / 2).checked_div(sum).filter(|&every| every > 0)?;
    (even && close && least > 0).then_some((every, every / 20))
}

/// The gap that most gaps have, give or take one piece of time or a fifth.
fn steady_gap(gaps: &[u64], bucket: u64) -> Option<(u64, u64)> {
    let mut sorted = gaps.to_vec();
    sorted.sort_unstable();
    let middle = *sorted.get(sorted.len() / 2)?;
    // Finer than the pieces are, nothing can be told.
    if middle < 2 * bucket {
        return None;
    }
    let slack = bucket.max(middle / 5);
    let steady: Vec<u64> = gaps.iter().copied().filter(|gap| gap.abs_diff(middle) <= slack).collect();
    if steady.len() * 100 < gaps.len() * STEADY_PERCENT {
        return None;
    }
    let sum: u64 = steady.iter().sum();
    let n = steady.len() as u64;
    Some(((sum + n / 2) / n, bucket / n + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schedule of starts at seconds after a moment.
    fn schedule(bucket: u64, starts: &[(i64, u64)]) -> Schedule {
        let text = |s: i64| jiff::Timestamp::from_second(1_793_606_400 + s).unwrap().to_string();
        Schedule { bucket_seconds: bucket, starts: starts.iter().map(|&(s, n)| (text(s), n)).collect() }
    }

    #[test]
    fn a_rhythm_is_said_when_it_is_kept() {
        let every_five: Vec<(i64, u64)> = (0..12).map(|n| (n * 300 / 16 * 16, 1)).collect();
        assert_eq!(rhythm(&schedule(16, &every_five), Lang::En).as_deref(), Some("about every 5 min"));
        assert_eq!(rhythm(&schedule(16, &every_five), Lang::Zh).as_deref(), Some("约每 5 分钟一次"));
        let daily: Vec<(i64, u64)> = (0..8).map(|n| (n * 86_400 / 16_384 * 16_384, 1)).collect();
        assert_eq!(rhythm(&schedule(16_384, &daily), Lang::En).as_deref(), Some("about every 24 h"));
        let crowded: Vec<(i64, u64)> = (0..10).map(|n| (n * 1024, 17)).collect();
        assert_eq!(rhythm(&schedule(1024, &crowded), Lang::En).as_deref(), Some("about every 60 s"));
    }

    #[test]
    fn without_a_rhythm_nothing_is_said() {
        for starts in [&[][..], &[(0, 1)], &[(0, 1), (320, 1), (640, 1), (960, 1)]] {
            assert_eq!(rhythm(&schedule(16, starts), Lang::En), None, "too few");
        }
        let wild = [(0, 1), (16, 1), (640, 1), (656, 1), (4096, 1), (4112, 1), (9600, 1), (9616, 1)];
        assert_eq!(rhythm(&schedule(16, &wild), Lang::En), None);
        let uneven = [(0, 40), (16, 1), (32, 90), (48, 3), (64, 7)];
        assert_eq!(rhythm(&schedule(16, &uneven), Lang::En), None);
    }
}
