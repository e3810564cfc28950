//! Packets of several rings put into the order of time.
//!
//! In: parts, each in order, as rings hand them over. Out: runs of packets, oldest first. A ring hands over what has come
//! at the latest when the kernel's timeout runs out, so what is older than the newest packet by more than that is waited
//! for by nobody; what is younger is held back while another ring may still have something older. One ring is handed
//! through.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::{BLOCK_PACKETS_MAX, Packet};
use super::Part;
use crate::time::{SECOND, Time};

/// Packets are held back for so long: twice what the kernel keeps a block that is not full.
pub(super) const HOLD_MILLISECONDS: u32 = 100;
const HOLD: i64 = HOLD_MILLISECONDS as i64 * 1_000_000;
/// A clock that goes back by more was set: what is held then goes on.
const CLOCK_SET: i64 = 10 * SECOND;
/// Bytes that are held back; beyond it packets go on, in order or not.
const HOLD_BYTES_MAX: usize = 64 << 20;

/// Packets of one ring that follow each other.
pub(super) struct Run {
    /// Which ring.
    pub(super) ring: usize,
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) packets: Vec<Packet>,
}

/// A part that was handed over up to a packet.
struct Held {
    bytes: Arc<Vec<u8>>,
    packets: Vec<Packet>,
    next: usize,
}

impl Held {
    fn rest(&self) -> &[Packet] {
        self.packets.get(self.next..).unwrap_or_default()
    }
}

#[derive(Default)]
struct Queue {
    parts: VecDeque<Held>,
    /// Nothing more comes.
    over: bool,
}

impl Queue {
    fn head(&self) -> Option<Time> {
        self.parts.front()?.rest().first().map(|packet| packet.time)
    }
}

/// What is held back, by ring.
pub(super) struct Merging {
    queues: Vec<Queue>,
    bytes: usize,
    /// Time of the newest packet that came in this round of questions.
    newest: Option<Time>,
    /// Up to here every ring has handed over what it had.
    settled: Time,
    /// All that is held may go.
    quiet: bool,
    /// Time of the packet that was handed over last.
    last: Time,
    /// How often one was handed over that is older than the one before it.
    out_of_order: u64,
}

impl Merging {
    /// Of so many rings.
    pub(super) fn new(rings: usize) -> Merging {
        let queues = std::iter::repeat_with(Queue::default).take(rings).collect();
        let (settled, last) = (Time(i64::MIN), Time(i64::MIN));
        Merging { queues, bytes: 0, newest: None, settled, quiet: false, last, out_of_order: 0 }
    }

    /// Every ring will now be asked for what it has.
    pub(super) fn begin_round(&mut self) {
        self.quiet = false;
        // What came before this round is older than any answer in it.
        if let Some(newest) = self.newest.take() {
            self.quiet = self.settled.since(newest) > CLOCK_SET;
            self.settled = Time(newest.0.saturating_sub(HOLD));
        }
    }

    /// A ring had this.
    pub(super) fn put(&mut self, ring: usize, (bytes, packets): Part) {
        let (Some(queue), Some(last)) = (self.queues.get_mut(ring), packets.last()) else { return };
        self.newest = self.newest.max(Some(last.time));
        self.bytes = self.bytes.saturating_add(bytes.len());
        queue.parts.push_back(Held { bytes: Arc::new(bytes), packets, next: 0 });
    }

    /// A ring has ended.
    pub(super) fn end(&mut self, ring: usize) {
        if let Some(queue) = self.queues.get_mut(ring) {
            queue.over = true;
        }
    }

    /// No ring had anything for as long as packets are held back.
    pub(super) fn is_quiet(&mut self) {
        self.quiet = true;
    }

    /// How often packets went on out of order.
    pub(super) fn out_of_order(&self) -> u64 {
        self.out_of_order
    }

    /// The oldest packets, when nothing older can come.
    pub(super) fn next(&mut self) -> Option<Run> {
        let heads = self.queues.iter().enumerate().filter_map(|(n, queue)| Some((queue.head()?, n)));
        let (head, ring) = heads.min()?;
        let limit = self.limit(ring);
        if head > limit {
            return None;
        }
        let queue = self.queues.get_mut(ring)?;
        let held = queue.parts.front_mut()?;
        let count = held.rest().iter().take(BLOCK_PACKETS_MAX).take_while(|packet| packet.time <= limit).count();
        let packets = held.rest().get(..count)?.to_vec();
        let bytes = held.bytes.clone();
        held.next = held.next.saturating_add(count);
        if held.rest().is_empty() {
            self.bytes = self.bytes.saturating_sub(bytes.len());
            queue.parts.pop_front();
        }
        if self.queues.len() > 1 {
            self.out_of_order = self.out_of_order.saturating_add((head < self.last).into());
            self.last = packets.last().map_or(head, |packet| packet.time);
        }
        Some(Run { ring, bytes, packets })
    }

    /// Until when packets of this ring may go before those of the others.
    fn limit(&self, ring: usize) -> Time {
        let all = self.quiet || self.bytes > HOLD_BYTES_MAX;
        let of = |queue: &Queue| match queue.head() {
            Some(head) => head,
            None if queue.over || all => Time(i64::MAX),
            None => self.settled,
        };
        let others = self.queues.iter().enumerate().filter(|(n, _)| *n != ring);
        others.map(|(_, queue)| of(queue)).min().unwrap_or(Time(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::LinkType;
    use super::*;

    const MILLISECOND: i64 = 1_000_000;

    fn part(times: &[i64]) -> Part {
        let packet = |time: &i64| Packet {
            time: Time(*time),
            start: 0,
            captured: 1,
            original: 1,
            link: LinkType(1),
            interface: 0,
        };
        (vec![0], times.iter().map(packet).collect())
    }

    /// Ring and times of every run that may go.
    fn runs(merging: &mut Merging) -> Vec<(usize, Vec<i64>)> {
        std::iter::from_fn(|| merging.next())
            .map(|run| (run.ring, run.packets.iter().map(|packet| packet.time.0).collect()))
            .collect()
    }

    #[test]
    fn one_ring_is_handed_through() {
        let mut merging = Merging::new(1);
        merging.begin_round();
        merging.put(0, part(&[5, 3, 9]));
        assert_eq!(runs(&mut merging), [(0, vec![5, 3, 9])]);
        assert_eq!(merging.out_of_order(), 0);
    }

    #[test]
    fn two_rings_go_in_turn_as_far_as_both_are_known() {
        let mut merging = Merging::new(2);
        merging.begin_round();
        merging.put(0, part(&[1, 2, 5]));
        merging.put(1, part(&[3, 4, 8]));
        // Behind 5 the first ring may still have something before 8.
        assert_eq!(runs(&mut merging), [(0, vec![1, 2]), (1, vec![3, 4]), (0, vec![5])]);
        merging.begin_round();
        merging.put(0, part(&[6, 9]));
        assert_eq!(runs(&mut merging), [(0, vec![6]), (1, vec![8])]);
        merging.end(1);
        assert_eq!(runs(&mut merging), [(0, vec![9])]);
        assert_eq!(merging.out_of_order(), 0);
    }

    #[test]
    fn what_is_old_enough_waits_for_nobody() {
        let mut merging = Merging::new(2);
        merging.begin_round();
        merging.put(0, part(&[0, 50 * MILLISECOND]));
        assert!(runs(&mut merging).is_empty());
        // The packet at 140 ms was there before the second question, to which ring 1 had no answer.
        merging.begin_round();
        merging.put(0, part(&[140 * MILLISECOND]));
        assert!(runs(&mut merging).is_empty());
        merging.begin_round();
        assert_eq!(runs(&mut merging), [(0, vec![0])]);
        merging.is_quiet();
        assert_eq!(runs(&mut merging), [(0, vec![50 * MILLISECOND]), (0, vec![140 * MILLISECOND])]);
        // That was all there was then: what comes now is held again.
        merging.begin_round();
        merging.put(0, part(&[150 * MILLISECOND]));
        assert!(runs(&mut merging).is_empty());
    }

    #[test]
    fn a_late_ring_is_counted() {
        let mut merging = Merging::new(2);
        merging.put(0, part(&[10]));
        merging.is_quiet();
        assert_eq!(runs(&mut merging), [(0, vec![10])]);
        merging.begin_round();
        merging.put(1, part(&[7, 8]));
        merging.put(0, part(&[11]));
        assert_eq!(runs(&mut merging), [(1, vec![7, 8])]);
        assert_eq!(merging.out_of_order(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut merging = Merging::new(2);
        merging.put(0, part(&[3600 * SECOND]));
        merging.begin_round();
        merging.put(0, part(&[1]));
        merging.begin_round();
        assert_eq!(runs(&mut merging), [(0, vec![3600 * SECOND]), (0, vec![1])]);
        merging.put(1, part(&[2]));
        merging.begin_round();
        assert!(runs(&mut merging).is_empty(), "and then it is as before");
    }

    #[test]
    fn no_more_is_held_than_the_limit() {
        let mut merging = Merging::new(2);
        merging.begin_round();
        for time in 0..3 {
            let (_, packets) = part(&[time]);
            merging.put(0, (vec![0; HOLD_BYTES_MAX / 2], packets));
        }
        assert_eq!(runs(&mut merging), [(0, vec![0])], "the oldest; what is left is within the limit");
    }
}
