//! Watches a run: latency of batches and findings, time by stage.
//!
//! In: the marks of [`Watch`]. Out: [`Times`]. Latency is service time: from the moment a block of packets is handed
//! over, without any wait before that.

use std::time::Instant;

use hdrhistogram::{CreationError, Histogram};

use crate::watch::{Stage, Watch};

/// Longest latency that is told apart from longer ones: a minute.
const LATENCY_NS_MAX: u64 = 60_000_000_000;
/// Significant digits of a latency.
const DIGITS: u8 = 3;
/// Readings from which the cost of one is known.
const CLOCK_READINGS: u32 = 100_000;

/// What a watched run gave.
pub struct Times {
    /// Blocks, in nanoseconds.
    pub batch: Histogram<u64>,
    /// Findings, in nanoseconds.
    pub finding: Histogram<u64>,
    /// Nanoseconds and marks of each stage, in the order of [`Stage::ALL`].
    stages: [(u64, u64); Stage::ALL.len()],
}

impl Times {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never with these limits.
    pub fn new() -> Result<Times, CreationError> {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS);
        Ok(Times { batch: histogram()?, finding: histogram()?, stages: [(0, 0); Stage::ALL.len()] })
    }

    /// Nanoseconds by stage, the readings of a clock that costs `clock_ns` each taken off.
    pub fn stages(&self, clock_ns: f64) -> [f64; Stage::ALL.len()] {
        self.stages.map(|(time, marks)| (time as f64 - marks as f64 * clock_ns).max(0.0))
    }
}

/// Fills [`Times`] while a run goes on.
pub struct Watcher<'a> {
    times: &'a mut Times,
    mark: Instant,
    block: Option<Instant>,
}

impl<'a> Watcher<'a> {
    /// Starts now.
    pub fn new(times: &'a mut Times) -> Watcher<'a> {
        Watcher { times, mark: Instant::now(), block: None }
    }
}

impl Watch for Watcher<'_> {
    #[inline]
    fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        let (time, marks) = &mut self.times.stages[stage as usize];
        *time += nanoseconds(now - self.mark);
        *marks += 1;
        self.mark = now;
    }

    fn block_begins(&mut self) {
        self.block = Some(self.mark);
    }

    fn block_ends(&mut self) {
        if let Some(begun) = self.block.take() {
            self.times.batch.saturating_record(nanoseconds(begun.elapsed()));
        }
    }

    fn judged(&mut self, matched: bool) {
        // Flows that only the end of the capture ends were ended by no packet.
        if let (Some(begun), true) = (self.block, matched) {
            self.times.finding.saturating_record(nanoseconds(begun.elapsed()));
        }
    }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds that one reading of the clock costs.
pub fn clock_ns() -> f64 {
    let begun = Instant::now();
    for _ in 0..CLOCK_READINGS {
        std::hint::black_box(Instant::now());
    }
    begun.elapsed().as_nanos() as f64 / f64::from(CLOCK_READINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_findings_and_stages_are_told_apart() {
        let mut times = Times::new().unwrap_or_else(|_| unreachable!());
        let mut watcher = Watcher::new(&mut times);
        watcher.lap(Stage::Capture);
        watcher.block_begins();
        watcher.judged(false);
        watcher.judged(true);
        watcher.lap(Stage::Match);
        watcher.lap(Stage::Match);
        watcher.block_ends();
        // The end of the capture: no block.
        watcher.judged(true);
        assert_eq!((times.batch.len(), times.finding.len()), (1, 1));
        assert_eq!(times.stages.map(|(_, marks)| marks), [1, 0, 0, 0, 2]);
        assert!(times.finding.max() <= times.batch.max(), "a finding lies within its block");
        assert_eq!(times.stages(1e12), [0.0; 5], "never below nothing");
    }
}
