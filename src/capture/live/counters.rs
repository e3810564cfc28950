//! What an interface itself lost, before any program could read it.
//!
//! In: an interface. Out: packets since the start for which the card, or the path from it to memory, had no room: `missed`
//! and `fifo` of what was received. `dropped` is left out: it also counts packets that came and that no protocol of this
//! host wanted, such as those with two VLAN tags. The kernel is asked through netlink, which is of the namespace of the
//! reader; its table in /proc adds `missed` and `dropped` up, and /sys shows the namespace in which it was mounted. Sources: rtnetlink(7);
//! include/uapi/linux/if_link.h and Documentation/networking/statistics.rst of Linux.

use std::fs::File;
use std::io::{self, Read, Write};

use super::super::ring;

/// A question for the counters of one interface, and its answer.
const GET_STATS: u16 = 94;
const NEW_STATS: u16 = 92;
const REQUEST: u16 = 1;
/// Headers of a message and of its body, which is followed by attributes.
const MESSAGE_BYTES: usize = 16;
const BODY_BYTES: usize = 12;
const ATTRIBUTE_BYTES: usize = 4;
/// The attribute with counters of 64 bits, and the bit that asks for it.
const LINK_64: u16 = 1;
const WANT_LINK_64: u32 = 1;
/// Counters of that attribute: `rx_fifo_errors` and `rx_missed_errors`.
const COUNTERS: [usize; 2] = [14, 15];
const ANSWER_BYTES_MAX: usize = 4096;

/// Losses of one interface since it was begun to count.
pub(super) struct Drops {
    /// Made once: a program may later be forbidden to make sockets.
    asking: Option<Asking>,
    last: Option<[u64; COUNTERS.len()]>,
    sum: u64,
}

impl Drops {
    /// Begins to count.
    pub(super) fn new(interface: &str) -> Drops {
        let mut asking = Asking::new(interface).ok();
        let last = asking.as_mut().and_then(Asking::ask);
        Drops { asking, last, sum: 0 }
    }

    /// Packets since the beginning.
    pub(super) fn count(&mut self) -> u64 {
        let now = self.asking.as_mut().and_then(Asking::ask);
        self.add(now);
        self.sum
    }

    fn add(&mut self, now: Option<[u64; COUNTERS.len()]>) {
        let Some(now) = now else { return };
        if let Some(last) = self.last {
            for (now, last) in now.iter().zip(last) {
                // A counter that went back began anew or ran over: what was lost meanwhile is not known.
                self.sum = self.sum.saturating_add(now.saturating_sub(last));
            }
        }
        self.last = Some(now);
    }
}

/// What the interface lost since it exists.
pub(super) fn dropped(interface: &str) -> Option<u64> {
    let counters = Asking::new(interface).ok()?.ask()?;
    Some(counters.iter().fold(0, |sum: u64, count| sum.saturating_add(*count)))
}

/// A socket to the kernel, and the number of the interface.
struct Asking {
    socket: File,
    index: u32,
}

impl Asking {
    fn new(interface: &str) -> io::Result<Asking> {
        let index = u32::try_from(ring::index_of(interface)?).map_err(io::Error::other)?;
        Ok(Asking { socket: ring::netlink()?, index })
    }

    fn ask(&mut self) -> Option<[u64; COUNTERS.len()]> {
        self.socket.write_all(&question(self.index)).ok()?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        let length = self.socket.read(&mut answer).ok()?;
        read(answer.get(..length)?)
    }
}

/// A message that asks for the counters of an interface.
fn question(index: u32) -> [u8; MESSAGE_BYTES + BODY_BYTES] {
    let mut message = [0; MESSAGE_BYTES + BODY_BYTES];
    let [low, high] = [GET_STATS, REQUEST];
    let words =
        [(MESSAGE_BYTES + BODY_BYTES) as u32, u32::from_ne_bytes(join(low, high)), 0, 0, 0, index, WANT_LINK_64];
    for (place, word) in message.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_ne_bytes();
    }
    message
}

/// Two numbers beside each other.
fn join(first: u16, second: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    [a, b, c, d]
}

fn read(answer: &[u8]) -> Option<[u64; COUNTERS.len()]> {
    if half(answer, 4)? != NEW_STATS {
        return None;
    }
    let mut rest = answer.get(MESSAGE_BYTES.checked_add(BODY_BYTES)?..)?;
    loop {
        let (length, kind) = (usize::from(half(rest, 0)?), half(rest, 2)?);
        if kind == LINK_64 {
            let counters = rest.get(ATTRIBUTE_BYTES..length)?;
            let counter = |n: usize| counters.as_chunks().0.get(n).copied().map(u64::from_ne_bytes);
            let [fifo, missed] = COUNTERS;
            return Some([counter(fifo)?, counter(missed)?]);
        }
        rest = rest.get(length.max(ATTRIBUTE_BYTES).next_multiple_of(4)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer with another attribute before the counters, which are their own numbers.
    fn answer() -> Vec<u8> {
        let mut bytes = vec![0; MESSAGE_BYTES + BODY_BYTES];
        bytes[4..6].copy_from_slice(&NEW_STATS.to_ne_bytes());
        bytes.extend(join(7, 9));
        bytes.extend([1, 2, 3, 0]);
        bytes.extend(join(4 + 24 * 8, LINK_64));
        for n in 0..24u64 {
            bytes.extend((n << 32 | 100).to_ne_bytes());
        }
        bytes
    }

    /// What this kernel says of an interface fits.
    #[test]
    fn bytes_of_an_answer() {
        let mut asking = Asking::new("lo").unwrap();
        assert!(asking.ask().is_some());
        asking.socket.write_all(&question(asking.index)).unwrap();
        let mut answer = vec![0; 4 * ANSWER_BYTES_MAX];
        let length = asking.socket.read(&mut answer).unwrap();
        assert!((1..=ANSWER_BYTES_MAX).contains(&length), "{length}");
    }

    #[test]
    fn the_counters_of_what_had_no_room_are_read() {
        let whole = answer();
        assert_eq!(read(&whole), Some([14 << 32 | 100, 15 << 32 | 100]));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        let mut refused = whole;
        refused[4] = 2;
        assert_eq!(read(&refused), None);
    }

    #[test]
    fn the_kernel_answers_for_the_loopback() {
        assert_eq!(dropped("lo"), Some(0));
        let mut drops = Drops::new("lo");
        assert_eq!((drops.last, drops.count()), (Some([0, 0]), 0));
        assert_eq!(dropped("nowhere9"), None);
    }

    #[test]
    fn a_counter_that_begins_anew_takes_nothing_back() {
        let mut drops = Drops { asking: None, last: Some([10, 0]), sum: 0 };
        let steps = [Some([15, 1]), None, Some([2, 1]), Some([3, 5]), Some([u64::MAX, 5]), Some([0, 0]), Some([9, 0])];
        let sums = steps.map(|now| {
            drops.add(now);
            drops.sum
        });
        assert_eq!(sums, [6, 6, 6, 11, u64::MAX, u64::MAX, u64::MAX]);
    }
}
