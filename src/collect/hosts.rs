//! What flows tell of our hosts, whatever they are for: hardware addresses, and what tells that many share an address.
//!
//! In: flows. Out: the traits of each host and the addresses behind each hardware address. A host does most of what it
//! does with the same programs: what a flow tells is looked up in one small table first, and is mostly no news.

use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use ahash::RandomState;

use super::{Collector, Ends, HOSTS_MAX, MACS_MAX, is_one_device};
use crate::fact::{Fact, Side};
use crate::parse::{http, tls};
use crate::record::{FlowRecord, HostTraits, digest};

/// Things that one worker knows were told before, a power of two.
const FAMILIAR_MAX: usize = 1 << 16;

/// What was told lately, by its hash. The key of the hash is random: that one is taken for another has odds of one in
/// 2^64, and nobody can aim at it.
#[derive(Default)]
pub(super) struct Familiar {
    hasher: RandomState,
    hashes: Vec<u64>,
}

impl Familiar {
    /// The place of a hash.
    fn place(&mut self, hash: u64) -> &mut u64 {
        if self.hashes.is_empty() {
            self.hashes.resize(FAMILIAR_MAX, 0);
        }
        &mut self.hashes[hash as usize % FAMILIAR_MAX]
    }

    /// All that was told is news again.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
    }
}

/// What a side sent that tells its programs apart.
fn programs(record: &FlowRecord, side: Side) -> [impl Iterator<Item = Fact<'_>>; 2] {
    [&tls::JA4, &http::USER_AGENT].map(|field| record.facts.of(field).filter(move |fact| fact.side == side))
}

impl Collector {
    /// What a flow tells of both its ends.
    pub(super) fn hosts(&mut self, record: &FlowRecord, ends: &Ends) {
        for side in [Side::Source, Side::Destination] {
            if !ends.is_inside(side) {
                self.neighbour(record, ends, side);
                continue;
            }
            let hash = self.hash_of(record, ends, side);
            if *self.familiar.place(hash) == hash {
                continue;
            }
            self.neighbour(record, ends, side);
            self.traits(record, ends, side);
            // What found no room is told again.
            if self.gathered.hosts.len() < HOSTS_MAX && self.gathered.macs.len() < MACS_MAX {
                *self.familiar.place(hash) = hash;
            }
        }
    }

    /// Of all that [`Collector::neighbour`] and [`Collector::traits`] read.
    fn hash_of(&self, record: &FlowRecord, ends: &Ends, side: Side) -> u64 {
        let mut hasher = self.familiar.hasher.build_hasher();
        let (address, mac) = (ends.address(side), ends.mac(side).unwrap_or([0xff; 6]));
        match address {
            IpAddr::V4(v4) => hasher.write_u32(v4.to_bits()),
            IpAddr::V6(v6) => hasher.write_u128(v6.to_bits()),
        }
        let [a, b, c, d, e, f] = mac;
        hasher.write_u64(u64::from_le_bytes([a, b, c, d, e, f, ends.is_its_own(record, side).into(), 0]));
        for (number, facts) in (0..).zip(programs(record, side)) {
            for fact in facts {
                hasher.write_u16(number);
                hasher.write(fact.value);
            }
        }
        hasher.finish()
    }

    /// What tells a shared address.
    fn traits(&mut self, record: &FlowRecord, ends: &Ends, side: Side) {
        let full = self.gathered.hosts.len() >= HOSTS_MAX;
        let host = match self.gathered.hosts.entry(ends.address(side)) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) if !full => free.insert(HostTraits::default()),
            Entry::Vacant(_) => return self.gathered.limit("hosts.limit"),
        };
        if let Some(mac) = ends.mac(side).filter(is_one_device) {
            host.macs.add(mac);
        }
        let [fingerprints, user_agents] = programs(record, side);
        fingerprints.for_each(|fact| host.client_fingerprints.add(digest(fact.value)));
        user_agents.for_each(|fact| host.user_agents.add(digest(fact.value)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is pushed out is news again, and the table is never larger.
    #[test]
    fn more_is_told_than_is_remembered() {
        let mut familiar = Familiar::default();
        let hash = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut known = 0;
        for n in (0..3 * FAMILIAR_MAX as u64).chain(0..3 * FAMILIAR_MAX as u64) {
            let place = familiar.place(hash(n));
            known += usize::from(*place == hash(n));
            *place = hash(n);
            assert_eq!(*familiar.place(hash(n)), hash(n));
        }
        assert_eq!(familiar.hashes.len(), FAMILIAR_MAX);
        assert!(known < FAMILIAR_MAX, "{known} were still there");
        familiar.clear();
        assert_eq!(*familiar.place(hash(1)), 0);
    }
}
