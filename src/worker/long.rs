//! A run that does not end: flows are closed by the clock, and long ones are told of while they go on.
//!
//! In: the time. Out: the same flows that their own next packets would end, ended now; and of flows that go on what they
//! carried since they were last told of. Every call looks at a part of the table, so no packet waits for all of it.

use super::{Gather, Worker};
use crate::fact::Facts;
use crate::flow::expiry;
use crate::flow::table::state;
use crate::merge::Map;
use crate::record::FlowRecord;
use crate::time::{SECOND, Time};
use crate::watch::Watch;

/// A flow that goes on is told of after so long, and then again.
pub const TELL_SECONDS: i64 = 30;
/// For the first time it is told of so early, while not too many were.
const TELL_FIRST_SECONDS: i64 = 1;
/// Flows that were told of and are open, of one worker: so many early, so many at all. Others are told of at their end.
const TOLD_EARLY_MAX: usize = 1 << 16;
const TOLD_MAX: usize = 1 << 20;
/// Flows looked at in one call: at least so many, and such a part of all.
const SWEEP_FLOWS_MIN: u32 = 4096;
const SWEEP_PART: u32 = 64;

/// What was told of a flow before. Arrays of two are by side: source, destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Time of the latest packet of that; nothing was told yet when there is none.
    pub until: Option<Time>,
    /// IP bytes.
    pub bytes: [u64; 2],
    /// Payload that never came by.
    pub missing: u64,
    /// The side had sent payload.
    pub payload: [bool; 2],
    /// The side had sent payload after its first messages.
    pub more: [bool; 2],
}

impl Told {
    fn of(record: &FlowRecord) -> Told {
        Told {
            until: Some(record.last),
            bytes: record.bytes,
            missing: record.missing.iter().sum(),
            payload: record.payload,
            more: record.more,
        }
    }
}

/// The flows that were told of while they went on, and how far the table was looked through.
#[derive(Default)]
pub(super) struct Long {
    told: Map<u32, Told>,
    hand: u32,
}

impl Long {
    /// What was told of a flow that is over now.
    #[inline]
    pub(super) fn end(&mut self, id: u32) -> Told {
        if self.told.is_empty() { Told::default() } else { self.told.remove(&id).unwrap_or_default() }
    }
}

impl<G: Gather, W: Watch> Worker<G, W> {
    /// Looks at the next part of the flows: those that are over at `now` end, those that go on for long are told of.
    pub fn sweep(&mut self, now: Time) {
        let all = self.table.high_water();
        for _ in 0..all.min(SWEEP_FLOWS_MIN.max(all / SWEEP_PART)) {
            let id = self.long.hand;
            self.long.hand = if id + 1 >= all { 0 } else { id + 1 };
            if !self.table.is_used(id) {
                continue;
            }
            let hot = self.table.hot(id);
            let (closed, last, done) = (hot.is(state::CLOSED), hot.last, hot.is(state::DONE));
            let protocol = self.table.key(id).protocol();
            // A clock that was put back leaves flows behind that would never be over.
            if expiry::is_over(protocol, closed, last, now) || expiry::is_over(protocol, closed, now, last) {
                self.end(id);
            } else if done {
                self.tell(id, now);
            }
        }
    }

    /// Tells what a flow carried since it was last told of, when that is long ago and there was something.
    fn tell(&mut self, id: u32, now: Time) {
        let before = self.long.told.get(&id).copied().unwrap_or_default();
        let since = before.until.unwrap_or(self.table.rest(id).first);
        let early = before.until.is_none() && self.long.told.len() < TOLD_EARLY_MAX;
        let pause = if early { TELL_FIRST_SECONDS } else { TELL_SECONDS };
        let full = before.until.is_none() && self.long.told.len() >= TOLD_MAX;
        if full || now.since(since) < pause * SECOND || before.until == Some(self.table.hot(id).last) {
            return;
        }
        let (known, protocol) = self.table.cold(id).map(|cold| (cold.gist, cold.protocol)).unwrap_or_default();
        let gist = match known {
            Some(gist) => gist,
            None => self.judge_unread(id),
        };
        let record = self.record(id, Facts::default(), protocol);
        self.gather.tell(&record, gist, &before);
        self.long.told.insert(id, Told::of(&record));
    }

    /// A flow that goes on and that nobody reads any more is judged once, as it stands.
    fn judge_unread(&mut self, id: u32) -> u32 {
        let cold = self.table.cold(id).map(|cold| (cold.facts.clone(), cold.protocol));
        let (facts, protocol) = cold.unwrap_or_default();
        let gist = self.judge(&self.record(id, facts, protocol)).gist;
        self.table.attach(id).gist = Some(gist);
        gist
    }

    /// Hands over every number of a gist that a flow has, to be changed.
    pub fn renumber(&mut self, mut number: impl FnMut(&mut G, u32) -> u32) {
        for id in 0..self.table.high_water() {
            if !self.table.is_used(id) {
                continue;
            }
            if let Some(gist) = self.table.cold_mut(id).and_then(|cold| cold.gist.as_mut()) {
                *gist = number(&mut self.gather, *gist);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Segment, tcp};
    use crate::flow::key::{Key, protocol};
    use crate::record::FlowRecord;
    use crate::worker::Judged;

    /// Counts flows that it is told of.
    #[derive(Default)]
    struct Heard(usize);

    impl Gather for Heard {
        fn judge(&mut self, _: &FlowRecord) -> Judged {
            Judged::default()
        }

        fn take(&mut self, _: &FlowRecord, _: u32, _: &Told) {}

        fn tell(&mut self, _: &FlowRecord, _: u32, _: &Told) {
            self.0 += 1;
        }
    }

    /// One flow that nobody reads any more, and so many that were told of: how often it is told of at these seconds.
    fn told(others: usize, at: &[i64]) -> Vec<usize> {
        let (key, from_low) = Key::v4([10, 0, 0, 1], 4000, [192, 0, 2, 1], 443, protocol::UDP);
        let mut worker = Worker::new(1 << 30, Heard::default(), ());
        worker.long.told.extend((1..=others as u32).map(|id| (id, Told::default())));
        let payload = [0xee; 8];
        let segment = |n: i64| Segment {
            time: Time(n * SECOND / 100),
            number: n as u64 + 1,
            tcp_flags: tcp::ACK,
            ip_bytes: 36,
            payload_len: 8,
            ..Segment::bare(key, from_low)
        };
        // More than nobody knows in a flow of datagrams.
        worker.take(&(0..20).map(segment).collect::<Vec<_>>(), &payload);
        let heard = |seconds: &i64| {
            worker.long.hand = 0;
            worker.sweep(Time(seconds * SECOND));
            worker.gather.0
        };
        at.iter().map(heard).collect()
    }

    /// So many flows are told of early, and so many at all while they go on.
    #[test]
    fn flows_that_were_told_of_and_are_open() {
        let at = [TELL_FIRST_SECONDS + 1, TELL_SECONDS + 1];
        assert_eq!(told(TOLD_EARLY_MAX - 1, &at), [1, 1]);
        assert_eq!(told(TOLD_EARLY_MAX, &at), [0, 1]);
        assert_eq!(told(TOLD_MAX, &at), [0, 0]);
    }
}
