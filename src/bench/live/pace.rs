//! When how many frames may go: a token bucket by time.
//!
//! In: a rate, and the time since the start. Out: frames that are due, never more at a time than [`DEPTH`] holds. What
//! the bucket cannot hold is never sent: a sender that was held up falls short, and that is seen in the rate it reached.

use std::time::Duration;

/// Frames that go to the kernel with one call, at most.
pub const BURST_FRAMES_MAX: usize = 64;
/// What the bucket holds: a sender that was held up catches up with so much time.
pub const DEPTH: Duration = Duration::from_millis(10);
/// What is worth a call to the kernel, where so much does not come together in a burst.
const CALL: Duration = Duration::from_millis(1);
/// Shortest wait for which it is worth to sleep; below it other threads are let on.
pub const SLEEP_MIN: Duration = Duration::from_micros(150);

/// Tokens, of which a frame takes one.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Duration,
}

impl Bucket {
    /// Empty, at time zero; so many frames a second.
    pub fn new(rate: f64) -> Bucket {
        Bucket { rate, tokens: 0.0, filled: Duration::ZERO }
    }

    /// Frames that are due now.
    pub fn due(&mut self, now: Duration) -> usize {
        let depth = (self.rate * DEPTH.as_secs_f64()).max(1.0);
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + self.rate * passed).min(depth);
        self.filled = now;
        self.tokens as usize
    }

    /// Takes the tokens of frames that went.
    pub fn take(&mut self, frames: usize) {
        self.tokens -= frames as f64;
    }

    /// Time until the next call is worth it: half a burst, or what comes together in a millisecond, at least one frame.
    pub fn wait(&self) -> Duration {
        let burst = (BURST_FRAMES_MAX as f64 / 2.0).min(self.rate * CALL.as_secs_f64()).max(1.0);
        Duration::try_from_secs_f64((burst - self.tokens).max(0.0) / self.rate).unwrap_or(DEPTH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_due_at_the_rate() {
        let mut bucket = Bucket::new(1000.0);
        let mut sent = 0;
        for millisecond in 1..=500 {
            let due = bucket.due(Duration::from_millis(millisecond));
            bucket.take(due);
            sent += due;
        }
        assert!((499..=500).contains(&sent), "{sent}");
    }

    #[test]
    fn what_was_missed_is_made_up_for_within_the_depth_only() {
        let mut bucket = Bucket::new(100_000.0);
        assert_eq!(bucket.due(Duration::from_millis(5)), 500);
        assert_eq!(bucket.due(Duration::from_secs(1)), 1000, "10 ms of it");
        let mut slow = Bucket::new(2.0);
        assert_eq!((slow.due(Duration::from_millis(400)), slow.due(Duration::from_millis(600))), (0, 1));
    }

    #[test]
    fn a_wait_ends_when_a_burst_is_due() {
        for rate in [1.0, 900.0, 50_000.0, 3_000_000.0] {
            let mut bucket = Bucket::new(rate);
            let wait = bucket.wait();
            assert!(bucket.due(wait + Duration::from_nanos(2)) >= 1, "{rate}: {wait:?}");
        }
    }
}
