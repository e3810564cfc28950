//! What an interface counts of itself.
//!
//! In: its name, and `/proc/thread-self/net/dev` (proc_pid_net(5)), which is that of the namespace this thread is in.
//! Out: packets and drops, both ways.

use std::fs;
use std::io;

/// Counters of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in.
    pub received: u64,
    /// Packets that came and were dropped by it.
    pub received_dropped: u64,
    /// Packets that went out.
    pub sent: u64,
    /// Packets that were to go out and were dropped by it.
    pub sent_dropped: u64,
}

impl Counters {
    /// Now.
    ///
    /// # Errors
    /// When they cannot be read, or there is no such interface.
    pub fn now(interface: &str) -> io::Result<Counters> {
        let text = fs::read_to_string("/proc/thread-self/net/dev")?;
        Counters::parse(&text, interface).ok_or_else(|| io::Error::other("no counters of this interface"))
    }

    /// From the text of the file.
    fn parse(text: &str, interface: &str) -> Option<Counters> {
        let lines = text.lines().filter_map(|line| line.rsplit_once(':'));
        let (_, numbers) = lines.into_iter().find(|(name, _)| name.trim() == interface)?;
        let numbers: Vec<u64> = numbers.split_whitespace().map_while(|number| number.parse().ok()).collect();
        // Received: bytes, packets, errors, dropped, and four more; then the same of what was sent.
        let at = |index: usize| numbers.get(index).copied();
        Some(Counters { received: at(1)?, received_dropped: at(3)?, sent: at(9)?, sent_dropped: at(11)? })
    }

    /// Since an earlier moment.
    pub fn since(&self, before: &Counters) -> Counters {
        Counters {
            received: self.received.wrapping_sub(before.received),
            received_dropped: self.received_dropped.wrapping_sub(before.received_dropped),
            sent: self.sent.wrapping_sub(before.sent),
            sent_dropped: self.sent_dropped.wrapping_sub(before.sent_dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_under_their_heads() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n\
            eth0.7:    1000      10    0    1    0     0          0         0     2000      20    0    2    0     0       0          0\n  \
            eth0: 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n";
        let counters = Counters::parse(text, "eth0").unwrap_or_default();
        assert_eq!(counters, Counters { received: 6, received_dropped: 8, sent: 14, sent_dropped: 16 });
        let tagged = Counters::parse(text, "eth0.7").unwrap_or_default();
        assert_eq!(tagged, Counters { received: 10, received_dropped: 1, sent: 20, sent_dropped: 2 });
        assert_eq!(Counters::parse(text, "eth1"), None);
    }
}
