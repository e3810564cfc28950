//! The page of losses: every named reason and limit, from the interface to the output.
//!
//! In: a picture, and counts of earlier ones. Out: rows with the sum since the start and the rate of now, and above them
//! the equation that they must fulfil: received = decoded + the sum of the reasons.

use std::collections::{BTreeMap, VecDeque};

use super::table::{Cell, Column, Row, Tone};
use super::words::{harmless, rate};
use crate::decode::REASONS;
use crate::report::text::{bytes_text, grouped};
use crate::time::{SECOND, Time};
use crate::view::View;

/// Pictures of which counts are kept: rates are measured over this many turns.
const TURNS_MAX: usize = 10;

pub(super) const COLUMNS: &[Column] = &[
    Column::words("STAGE", (9, 10), 2),
    Column::words("NAME", (16, 40), 0),
    Column::words("COUNTS", (8, 8), 4),
    Column::numbers("SINCE START", 0),
    Column::numbers("A SECOND", 1),
    Column::numbers("SHARE", 3),
];

/// A named count.
struct Count {
    /// Where it stands between interface and output.
    place: u128,
    stage: &'static str,
    name: String,
    counts: &'static str,
    count: u64,
}

/// How a stage is called, and where it stands; names of reasons begin with it.
const STAGES: [&str; 4] = ["interface", "kernel", "queue", "filter"];
/// Losses that are shown even when there are none.
const ALWAYS: [&str; 2] = ["interface.dropped", "kernel.ring-dropped"];

fn counts(view: &View) -> Vec<Count> {
    let ledger = &view.report.ledger;
    let mut packets: BTreeMap<&str, u64> = ALWAYS.into_iter().map(|name| (name, 0)).collect();
    packets.extend(ledger.not_decoded.iter().map(|(name, count)| (name.as_str(), *count)));
    let mut counts: Vec<Count> = packets
        .into_iter()
        .map(|(name, count)| {
            let before = STAGES.iter().position(|stage| name.split('.').next() == Some(stage));
            let reason = REASONS.iter().position(|(_, known)| *known == name).unwrap_or(REASONS.len());
            let (place, stage) = match before.and_then(|at| STAGES.get(at).map(|stage| (at, *stage))) {
                Some((at, stage)) => (at as u128, stage),
                None => ((STAGES.len() + reason) as u128, "decode"),
            };
            Count { place, stage, name: name.to_owned(), counts: "packets", count }
        })
        .collect();
    const LIMIT: u128 = 1_000;
    const OUTPUT: u128 = 2_000;
    for (name, &count) in &ledger.later {
        counts.push(Count { place: LIMIT, stage: "limit", name: name.clone(), counts: "times", count });
    }
    let mut outputs: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for output in &view.outputs {
        let [written, dropped] = outputs.entry(&output.name).or_default();
        *written += output.written;
        *dropped += output.dropped;
    }
    for (name, [written, dropped]) in outputs {
        for (what, count) in [("written", written), ("dropped", dropped)] {
            let name = format!("{name} {what}");
            counts.push(Count { place: OUTPUT, stage: "output", name, counts: "records", count });
        }
    }
    counts.sort_by(|a, b| (a.place, &a.name).cmp(&(b.place, &b.name)));
    counts
}

/// Rows in the order in which a packet meets them.
pub(super) fn rows(view: &View, speeds: &Speeds) -> Vec<Row> {
    let received = view.report.ledger.received;
    let row = |count: Count| {
        let speed = speeds.of(&count.name, count.count, view.now);
        let share = if count.counts == "packets" && received > 0 {
            format!("{:.2} %", count.count as f64 * 100.0 / received as f64)
        } else {
            String::new()
        };
        let lost = count.count > 0 && (count.stage == "kernel" || count.stage == "interface" || count.stage == "limit");
        let dropped = count.count > 0 && count.stage == "output" && count.name.ends_with(" dropped");
        Row {
            cells: vec![
                Cell::number(count.place, count.stage.to_owned()),
                Cell::words(&count.name),
                Cell::words(count.counts),
                Cell::number(count.count, grouped(count.count)),
                Cell::number((speed * 1000.0) as u64, rate(speed)),
                Cell::number(count.count, share),
            ],
            more: String::new(),
            tone: if lost || dropped { Tone::Bad } else { Tone::Plain },
            key: count.name,
        }
    };
    counts(view).into_iter().map(row).collect()
}

/// The equation, and what never came by.
pub(super) fn notes(view: &View) -> Vec<String> {
    let ledger = &view.report.ledger;
    let verdict = if ledger.adds_up() { "it adds up" } else { "IT DOES NOT ADD UP" };
    let missing = format!(
        "{} of TCP payload came by; about {} more never did",
        bytes_text(ledger.tcp_payload_bytes),
        bytes_text(ledger.missing_bytes)
    );
    let equation = format!(
        "received {} = decoded {} + by reason {}: {verdict}",
        grouped(ledger.received),
        grouped(ledger.decoded),
        grouped(view.not_decoded())
    );
    let failed = view
        .outputs
        .iter()
        .filter_map(|output| Some(format!("{}: {}", harmless(&output.name), harmless(output.error.as_deref()?))));
    [equation, missing].into_iter().chain(failed).collect()
}

/// Counts of the last turns.
#[derive(Clone, Debug, Default)]
pub struct Speeds(VecDeque<(Time, BTreeMap<String, u64>)>);

impl Speeds {
    /// A new picture was taken.
    pub(super) fn look(&mut self, view: &View) {
        if self.0.back().is_some_and(|(time, _)| *time >= view.now) {
            self.0.clear();
        }
        self.0.push_back((view.now, counts(view).into_iter().map(|count| (count.name, count.count)).collect()));
        while self.0.len() > TURNS_MAX {
            self.0.pop_front();
        }
    }

    /// How fast a count grew, a second.
    fn of(&self, name: &str, count: u64, now: Time) -> f64 {
        let Some((then, counts)) = self.0.front() else { return 0.0 };
        let seconds = now.since(*then) as f64 / SECOND as f64;
        let before = counts.get(name).copied().unwrap_or_default();
        if seconds > 0.0 { count.saturating_sub(before) as f64 / seconds } else { 0.0 }
    }
}
