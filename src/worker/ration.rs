//! How many flows of a costly protocol begin to be read.
//!
//! In: the hosts of a flow and the time of a packet. Out: whether one more may begin. What opens the first packet of QUIC is
//! derived from a connection id that its sender chose, so a flood of chosen ids would cost a derivation each and tell
//! nothing. Two hosts share out what is theirs, and a flood between them leaves the others theirs; what floods come to
//! under many addresses is bounded for the worker.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use crate::flow::key::Key;
use crate::time::{SECOND, Time};

/// Flows that begin to be read in a second of packet time, of all hosts of a worker.
pub const FLOWS_PER_SECOND_MAX: u32 = 1 << 15;
/// The same in one share. Pairs of hosts have two shares, which chance gives to others too.
pub const FLOWS_PER_SHARE_MAX: u32 = 256;
const SHARES: usize = 1024;

/// What was taken in one second.
#[derive(Clone, Copy, Default)]
struct Share {
    second: i64,
    taken: u32,
}

impl Share {
    /// Takes one if fewer than `most` were taken. Times come nearly in order; after a jump back it begins anew.
    fn take(&mut self, second: i64, most: u32) -> bool {
        if second > self.second || second.saturating_add(1) < self.second {
            *self = Share { second, taken: 0 };
        }
        let one = u32::from(self.taken < most);
        self.taken += one;
        one > 0
    }
}

/// What is left to take.
#[derive(Default)]
pub(super) struct Ration {
    hasher: RandomState,
    all: Share,
    /// None before the first is asked for.
    shares: Vec<Share>,
}

impl Ration {
    /// Whether one more flow between the hosts of this key may begin to be read.
    pub(super) fn takes(&mut self, key: &Key, time: Time) -> bool {
        if self.shares.is_empty() {
            self.shares = vec![Share::default(); SHARES];
        }
        let mut hasher = self.hasher.build_hasher();
        key.address_words().into_iter().for_each(|word| hasher.write_u64(word));
        let hash = hasher.finish();
        let second = time.0.div_euclid(SECOND);
        let mut one_of = |hash: u64| self.shares[hash as usize % SHARES].take(second, FLOWS_PER_SHARE_MAX);
        (one_of(hash) || one_of(hash >> 32)) && self.all.take(second, FLOWS_PER_SECOND_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::key::protocol;

    fn key(from: u32, port: u16) -> Key {
        Key::v4(from.to_be_bytes(), port, [203, 0, 113, 9], 443, protocol::UDP).0
    }

    fn seconds(n: i64) -> Time {
        Time(n * SECOND)
    }

    #[test]
    fn a_flood_between_two_hosts_leaves_others_theirs() {
        let mut ration = Ration::default();
        for second in 0..3 {
            let flood =
                |ration: &mut Ration| (0..5000).filter(|&port| ration.takes(&key(1, port), seconds(second))).count();
            let taken = flood(&mut ration) as u32;
            assert!((FLOWS_PER_SHARE_MAX..=2 * FLOWS_PER_SHARE_MAX).contains(&taken), "{taken}");
            assert_eq!(flood(&mut ration), 0);
            // Chance may give one or two of them both shares of the flood.
            let others = (100..200).filter(|&host| ration.takes(&key(host, 1), seconds(second))).count();
            assert!(others >= 98, "{others}");
        }
    }

    #[test]
    fn under_many_addresses_a_flood_is_bounded() {
        let mut ration = Ration::default();
        let taken = (0..200_000).filter(|&host| ration.takes(&key(host, 1), seconds(7))).count();
        assert_eq!(taken, FLOWS_PER_SECOND_MAX as usize);
        assert!(ration.takes(&key(1, 1), seconds(8)), "a second later");
        assert!(ration.takes(&key(1, 1), seconds(-1000)), "long before");
    }
}
