//! What an interface itself lost, before any program could read it.
//!
//! In: the table of interfaces that the kernel writes for the network namespace of the reader. Out: packets dropped since
//! the start. Counted are the columns `drop` (what the driver or the kernel's queue had no room for, and what the card missed) and
//! `fifo` of what was received. Source: proc_pid_net(5); net/core/net-procfs.c of Linux.

use std::fs;

/// The table. That of the thread: another thread may be in another namespace. /sys shows the namespace in which it was mounted.
const TABLE: &str = "/proc/thread-self/net/dev";
/// Columns behind the name: bytes, packets, errs, drop, fifo.
const DROP: usize = 3;
const FIFO: usize = 4;

/// Drops of one interface since it was begun to count.
pub(super) struct Drops {
    interface: String,
    last: Option<[u64; 2]>,
    sum: u64,
}

impl Drops {
    /// Begins to count.
    pub(super) fn new(interface: &str) -> Drops {
        Drops { interface: interface.to_owned(), last: now(interface), sum: 0 }
    }

    /// Packets since the beginning.
    pub(super) fn count(&mut self) -> u64 {
        let now = now(&self.interface);
        self.add(now);
        self.sum
    }

    fn add(&mut self, now: Option<[u64; 2]>) {
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

/// What the interface dropped since it exists.
pub(super) fn dropped(interface: &str) -> Option<u64> {
    now(interface).map(|[drop, fifo]| drop.saturating_add(fifo))
}

fn now(interface: &str) -> Option<[u64; 2]> {
    read(&fs::read_to_string(TABLE).ok()?, interface)
}

fn read(table: &str, interface: &str) -> Option<[u64; 2]> {
    let numbers = table.lines().find_map(|line| {
        // The number may follow the colon at once; a name may itself have one.
        let (name, numbers) = line.rsplit_once(':')?;
        (name.trim_start() == interface).then_some(numbers)
    })?;
    let mut columns = numbers.split_ascii_whitespace().map(|number| number.parse().ok());
    let drop = columns.nth(DROP)??;
    let fifo = columns.nth(FIFO - DROP - 1)??;
    Some([drop, fifo])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1000      10    0    0    0     0          0         0     1000      10    0    0    0     0       0          0
  eth0:18446744073709551615 20 1 7 5 0 0 0 1 1 1 900 800 1 1 1
eth0.5: 1 2 3 4 0 0 0 0 0 0 0 0 0 0 0 0
 br:x: 1 2 3 44 1 0 0 0 0 0 0 0 0 0 0 0
   bad: 1 2 three
";

    #[test]
    fn the_columns_of_what_was_received_are_read() {
        assert_eq!(read(LINES, "lo"), Some([0, 0]));
        assert_eq!(read(LINES, "eth0"), Some([7, 5]));
        assert_eq!(read(LINES, "eth0.5"), Some([4, 0]));
        assert_eq!(read(LINES, "br:x"), Some([44, 1]));
        for missing in ["eth", "eth1", "bad", "face |bytes    packets errs drop", ""] {
            assert_eq!(read(LINES, missing), None, "{missing}");
        }
    }

    #[test]
    fn a_counter_that_begins_anew_takes_nothing_back() {
        let mut drops = Drops { interface: String::new(), last: Some([10, 0]), sum: 0 };
        let steps = [Some([15, 1]), None, Some([2, 1]), Some([3, 5]), Some([u64::MAX, 5]), Some([0, 0]), Some([9, 0])];
        let sums = steps.map(|now| {
            drops.add(now);
            drops.sum
        });
        assert_eq!(sums, [6, 6, 6, 11, u64::MAX, u64::MAX, u64::MAX]);
    }
}
