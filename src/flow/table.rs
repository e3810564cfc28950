//! The flow table: key to state, in memory that a sender cannot steer and a budget bounds.
//!
//! In: keys with their keyed hash. Out: the number of the flow, old or new. One probe of a
//! compact index, one 64-byte line of state. What a flow needs rarely (its start, hardware
//! addresses) lies apart, and so does whatever later stages attach (`C`), for the flows that have it.

use ahash::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU16;

use super::expiry;
use super::key::Key;
use super::tunnels::Tunnels;
use crate::fact::Side;
use crate::slab::Slab;
use crate::time::Time;

/// State bits of a flow.
pub mod state {
    /// The lower endpoint of the key opened the flow.
    pub const OPENER_LOW: u32 = 1;
    /// Nothing more is read of this flow: count its packets and go on.
    pub const DONE: u32 = 1 << 1;
    /// Its start was not captured.
    pub const MIDSTREAM: u32 = 1 << 2;
    /// Reset, or both sides finished.
    pub const CLOSED: u32 = 1 << 3;
    /// Closed for want of memory.
    pub const EVICTED: u32 = 1 << 4;
    /// A packet was cut by the snap length inside its payload.
    pub const CUT: u32 = 1 << 5;
    /// A protocol began in the middle of it.
    pub const LATE: u32 = 1 << 6;
    /// Packets of it came in fragments.
    pub const FRAGMENTED: u32 = 1 << 7;
    /// Two bits each from here on: source, then destination.
    /// The side sent a SYN: until its first payload `next_seq` is the number of its first byte.
    pub const SYN: [u32; 2] = [1 << 8, 1 << 9];
    /// The side sent a FIN.
    pub const FIN: [u32; 2] = [1 << 10, 1 << 11];
    /// `next_seq` of the side counts.
    pub const SEQ: [u32; 2] = [1 << 12, 1 << 13];
    /// The side sent payload.
    pub const PAYLOAD: [u32; 2] = [1 << 14, 1 << 15];
    /// The side sent payload after its parser was done.
    pub const MORE: [u32; 2] = [1 << 16, 1 << 17];
    /// No protocol claims the first bytes of the side.
    pub const REFUSED: [u32; 2] = [1 << 18, 1 << 19];
    /// Fragments contradicted each other.
    pub const FRAG_CONFLICT: u32 = 1 << 20;
    /// The side sent payload that is no mere alert before all that is read of it was read.
    pub const DATA: [u32; 2] = [1 << 21, 1 << 22];
    /// The other side acknowledged the SYN of the side: that is where it begins, whatever other SYNs say.
    pub const AGREED: [u32; 2] = [1 << 23, 1 << 24];
    /// The side sent SYNs with different numbers, and which of them counts is not known.
    pub const TWO_STARTS: [u32; 2] = [1 << 25, 1 << 26];
    /// Too many flows of its protocol began at once: it was not read.
    pub const UNREAD: u32 = 1 << 27;
}

/// What every packet of a flow touches: one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Hot {
    key: [u64; 2],
    /// Time of the latest packet.
    pub last: Time,
    /// IP bytes by side: source, destination.
    pub bytes: [u64; 2],
    /// Packets by side, modulo 2^32; the rest is in [`Rest::packets_high`].
    pub packets: [u32; 2],
    /// TCP: the sequence number expected next of each side.
    pub next_seq: [u32; 2],
    /// Number of what is attached plus one; 0 for nothing.
    cold: u32,
    /// Bits of [`state`].
    pub state: u32,
}

impl Hot {
    /// The side that sent a segment of this flow.
    #[inline]
    pub fn side(&self, from_low: bool) -> Side {
        if from_low == (self.state & state::OPENER_LOW != 0) { Side::Source } else { Side::Destination }
    }

    /// Whether any of these bits is set.
    #[inline]
    pub fn is(&self, bits: u32) -> bool {
        self.state & bits != 0
    }
}

/// What a flow needs only at its start and its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rest {
    /// Time of the earliest packet.
    pub first: Time,
    /// Number of the first packet.
    pub number: u64,
    /// Overflows of [`Hot::packets`] by side.
    pub packets_high: [u16; 2],
    /// TCP payload by side that was skipped over or acknowledged and that never came by.
    pub missing: [u32; 2],
    /// Hardware addresses: of the source, of the destination.
    pub macs: Option<[[u8; 6]; 2]>,
    /// Outermost VLAN of the first packet.
    pub vlan: Vlan,
    /// Tunnels around the first packet.
    pub tunnels: Tunnels,
}

/// A VLAN or none, in two bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vlan(Option<NonZeroU16>);

impl From<Option<u16>> for Vlan {
    fn from(id: Option<u16>) -> Vlan {
        // An id has twelve bits.
        Vlan(id.and_then(|id| NonZeroU16::new(id.wrapping_add(1))))
    }
}

impl From<Vlan> for Option<u16> {
    fn from(vlan: Vlan) -> Option<u16> {
        vlan.0.map(|more| more.get() - 1)
    }
}

const KEY_V4: u64 = 4;
const KEY_LONG: u64 = 6;
const INDEX_SLOTS_MIN: usize = 1 << 12;
const EMPTY: u64 = 0;
/// Flows looked at to find one to evict.
const EVICTION_CANDIDATES: u32 = 64;

/// Flows by key.
pub struct Table<C> {
    hasher: RandomState,
    /// Tag (upper half of the hash) and flow number plus one.
    index: Vec<u64>,
    used: usize,
    hot: Slab<Hot>,
    rest: Slab<Rest>,
    long_keys: Slab<Key>,
    cold: Slab<C>,
    hand: u32,
    removed: u64,
}

/// What a look-up gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A flow that was there.
    Old(u32),
    /// A flow that this key began.
    New(u32),
}

impl<C: Default> Table<C> {
    /// An empty table with a hash key of its own.
    pub fn new() -> Table<C> {
        Table {
            hasher: RandomState::new(),
            index: vec![EMPTY; INDEX_SLOTS_MIN],
            used: 0,
            hot: Slab::new(),
            rest: Slab::new(),
            long_keys: Slab::new(),
            cold: Slab::new(),
            hand: 0,
            removed: 0,
        }
    }

    /// The keyed hash of a key.
    #[inline]
    pub fn hash(&self, key: &Key) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        if is_short(key) {
            for word in short(key) {
                hasher.write_u64(word);
            }
        } else {
            for word in key.words() {
                hasher.write_u64(word);
            }
        }
        hasher.finish()
    }

    /// The flow most likely meant by this hash, without looking at the flow itself. Asking for a
    /// whole batch first lets the memory fetch for one packet overlap with the next.
    #[inline]
    pub fn guess(&self, hash: u64) -> Option<u32> {
        let slot = self.index[self.home(tag(hash))];
        (slot != EMPTY).then(|| slot_id(slot))
    }

    /// Whether the flow `id` has this key.
    #[inline]
    pub fn is(&self, id: u32, key: &Key) -> bool {
        let hot = &self.hot[id];
        if is_short(key) { hot.key == short(key) } else { self.is_long(hot, key) }
    }

    #[cold]
    fn is_long(&self, hot: &Hot, key: &Key) -> bool {
        hot.key[1] == KEY_LONG && self.long_keys[hot.key[0] as u32] == *key
    }

    /// The flow of this key, made if it was not there.
    #[inline]
    pub fn find_or_insert(&mut self, key: &Key, hash: u64) -> Found {
        let mask = self.index.len() - 1;
        let mut at = self.home(tag(hash));
        loop {
            let slot = self.index[at];
            if slot == EMPTY {
                return Found::New(self.insert(key, hash, at));
            }
            if slot_tag(slot) == tag(hash) && self.is(slot_id(slot), key) {
                return Found::Old(slot_id(slot));
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, key: &Key, hash: u64, mut at: usize) -> u32 {
        if (self.used + 1) * 4 > self.index.len() * 3 {
            self.grow();
            at = self.free_slot(tag(hash));
        }
        let short_key = if is_short(key) { short(key) } else { [u64::from(self.long_keys.insert(*key)), KEY_LONG] };
        let hot = Hot {
            key: short_key,
            last: Time::default(),
            bytes: [0; 2],
            packets: [0; 2],
            next_seq: [0; 2],
            cold: 0,
            state: 0,
        };
        let id = self.hot.insert(hot);
        let same = self.rest.insert(Rest::default());
        debug_assert_eq!(id, same);
        self.index[at] = slot(hash, id);
        self.used += 1;
        id
    }

    /// Where a key belongs. Told by the tag alone, so that moving a slot needs no look at its flow.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        tag as usize & (self.index.len() - 1)
    }

    fn free_slot(&self, tag: u32) -> usize {
        let mask = self.index.len() - 1;
        let mut at = self.home(tag);
        while self.index[at] != EMPTY {
            at = (at + 1) & mask;
        }
        at
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.index);
        self.index = vec![EMPTY; old.len() * 2];
        for entry in old {
            if entry != EMPTY {
                let at = self.free_slot(slot_tag(entry));
                self.index[at] = entry;
            }
        }
    }

    /// Takes a flow out of the index and frees its number. Its parts must have been read before.
    pub fn remove(&mut self, id: u32) {
        let mask = self.index.len() - 1;
        let mut at = self.home(tag(self.hash(&self.key(id))));
        while self.index[at] == EMPTY || slot_id(self.index[at]) != id {
            at = (at + 1) & mask;
        }
        // Close the gap: move up what would no longer be found behind it.
        let mut next = (at + 1) & mask;
        while self.index[next] != EMPTY {
            let home = self.home(slot_tag(self.index[next]));
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(at) & mask) {
                self.index[at] = self.index[next];
                at = next;
            }
            next = (next + 1) & mask;
        }
        self.index[at] = EMPTY;
        self.used -= 1;
        self.removed += 1;
        self.take_cold(id);
        let hot = &mut self.hot[id];
        if hot.key[1] == KEY_LONG {
            self.long_keys.release(hot.key[0] as u32);
        }
        hot.key = [0, 0];
        self.hot.release(id);
        self.rest.release(id);
    }

    /// The key of a flow.
    pub fn key(&self, id: u32) -> Key {
        let hot = &self.hot[id];
        if hot.key[1] == KEY_LONG { self.long_keys[hot.key[0] as u32] } else { long(hot.key) }
    }

    /// The hot line of a flow.
    #[inline]
    pub fn hot(&self, id: u32) -> &Hot {
        &self.hot[id]
    }

    /// The hot line of a flow.
    #[inline]
    pub fn hot_mut(&mut self, id: u32) -> &mut Hot {
        &mut self.hot[id]
    }

    /// Start and hardware addresses of a flow.
    pub fn rest(&self, id: u32) -> &Rest {
        &self.rest[id]
    }

    /// Start and hardware addresses of a flow.
    pub fn rest_mut(&mut self, id: u32) -> &mut Rest {
        &mut self.rest[id]
    }

    /// What later stages attached.
    #[inline]
    pub fn cold(&self, id: u32) -> Option<&C> {
        match self.hot[id].cold {
            0 => None,
            number => Some(&self.cold[number - 1]),
        }
    }

    /// What later stages attached.
    #[inline]
    pub fn cold_mut(&mut self, id: u32) -> Option<&mut C> {
        match self.hot[id].cold {
            0 => None,
            number => Some(&mut self.cold[number - 1]),
        }
    }

    /// What is attached; at first it is empty.
    #[inline]
    pub fn attach(&mut self, id: u32) -> &mut C {
        if self.hot[id].cold == 0 {
            self.hot[id].cold = self.cold.insert(C::default()) + 1;
        }
        &mut self.cold[self.hot[id].cold - 1]
    }

    /// Takes it off.
    pub fn take_cold(&mut self, id: u32) -> Option<C> {
        let number = std::mem::take(&mut self.hot[id].cold).checked_sub(1)?;
        self.cold.release(number);
        Some(std::mem::take(&mut self.cold[number]))
    }

    /// Flows that were taken out so far: while it stays the same, a number means the same flow.
    #[inline]
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// Flows in the table.
    pub fn len(&self) -> usize {
        self.used
    }

    /// No flows.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Bytes of memory of the table itself; what is attached counts for whoever attached it.
    pub fn heap_bytes(&self) -> usize {
        self.index.capacity() * size_of::<u64>()
            + self.hot.heap_bytes()
            + self.rest.heap_bytes()
            + self.long_keys.heap_bytes()
            + self.cold.heap_bytes()
    }

    /// Every flow, by number.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.high_water()).filter(|&id| self.is_used(id))
    }

    /// Numbers handed out so far; the flows have some of them.
    pub fn high_water(&self) -> u32 {
        self.hot.high_water()
    }

    /// Whether a flow has this number, which was handed out.
    #[inline]
    pub fn is_used(&self, id: u32) -> bool {
        self.hot[id].key[1] != 0
    }

    /// The flow to give up when memory runs out, never `spared`: of the next few under the hand one that carried least, so
    /// that a flood of attempts gives up attempts; of those the one without a packet for longest.
    pub fn least_near_hand(&mut self, spared: u32) -> Option<u32> {
        let mut best: Option<((u8, Time), u32)> = None;
        let mut looked = 0;
        for _ in 0..self.hot.high_water() {
            self.hand = if self.hand + 1 >= self.hot.high_water() { 0 } else { self.hand + 1 };
            let hot = &self.hot[self.hand];
            if hot.key[1] == 0 || self.hand == spared {
                continue;
            }
            looked += 1;
            let worth = (state::PAYLOAD.map(|side| u8::from(hot.is(side))).iter().sum(), hot.last);
            if best.is_none_or(|(least, _)| worth < least) {
                best = Some((worth, self.hand));
            }
            if looked == EVICTION_CANDIDATES {
                break;
            }
        }
        best.map(|(_, id)| id)
    }

    /// Whether a packet at `now` starts a new flow under the same key.
    #[inline]
    pub fn is_over(&self, id: u32, protocol: u8, now: Time) -> bool {
        let hot = &self.hot[id];
        expiry::is_over(protocol, hot.is(state::CLOSED), hot.last, now)
    }
}

impl<C: Default> Default for Table<C> {
    fn default() -> Table<C> {
        Table::new()
    }
}

/// Whether a key fits into two words.
#[inline]
fn is_short(key: &Key) -> bool {
    key.version() == 4 && key.is_plain()
}

/// An IPv4 key in two words.
#[inline]
fn short(key: &Key) -> [u64; 2] {
    let [_, low, _, high, tail] = key.words();
    // IPv4 addresses stand in the last four of sixteen bytes: the upper half of the second word.
    [(low >> 32) << 32 | high >> 32, (tail & 0xffff_ffff_ffff) << 8 | KEY_V4]
}

fn long(words: [u64; 2]) -> Key {
    let address = |value: u64| value << 32;
    Key::from_words([0, address(words[0] >> 32), 0, address(words[0] & 0xffff_ffff), words[1] >> 8])
}

#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline]
fn slot(hash: u64, id: u32) -> u64 {
    (hash >> 32) << 32 | u64::from(id + 1)
}

#[inline]
fn slot_tag(slot: u64) -> u32 {
    (slot >> 32) as u32
}

#[inline]
fn slot_id(slot: u64) -> u32 {
    (slot as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn key(n: u32, v6: bool, one_way: bool) -> Key {
        let (from, to): (std::net::IpAddr, std::net::IpAddr) = if v6 {
            (std::net::Ipv6Addr::from(u128::from(n) << 70).into(), "2001:db8::1".parse().unwrap())
        } else {
            (std::net::Ipv4Addr::from(n.wrapping_mul(2_654_435_761)).into(), "192.0.2.1".parse().unwrap())
        };
        if one_way {
            let octets = |a: std::net::IpAddr| match a {
                std::net::IpAddr::V4(a) => a.to_ipv6_compatible().octets(),
                std::net::IpAddr::V6(a) => a.octets(),
            };
            return Key::one_way(octets(from), 3, octets(to), 1, 1, if v6 { 6 } else { 4 });
        }
        Key::new(from, (n % 65536) as u16, to, 443, 6).0
    }

    // Miri takes a minute for a hundred steps.
    const STEPS: usize = if cfg!(miri) { 200 } else { 3000 };

    proptest! {
        // A map from the standard library is the reference.
        #[test]
        fn holds_what_was_put_in(steps in prop::collection::vec((0u32..6000, any::<bool>(), any::<bool>(), 0u8..4), 1..STEPS)) {
            let mut table: Table<()> = Table::new();
            let mut reference: HashMap<Key, u32> = HashMap::new();
            for (n, v6, one_way, action) in steps {
                let key = key(n, v6, one_way);
                if action == 0 {
                    if let Some(id) = reference.remove(&key) {
                        table.remove(id);
                    }
                    continue;
                }
                let hash = table.hash(&key);
                match table.find_or_insert(&key, hash) {
                    Found::Old(id) => prop_assert_eq!(reference.get(&key), Some(&id)),
                    Found::New(id) => prop_assert_eq!(reference.insert(key, id), None),
                }
            }
            prop_assert_eq!(table.len(), reference.len());
            let mut ids: Vec<u32> = table.ids().collect();
            let mut expected: Vec<u32> = reference.values().copied().collect();
            ids.sort();
            expected.sort();
            prop_assert_eq!(ids, expected);
            for (key, id) in &reference {
                prop_assert_eq!(&table.key(*id), key);
            }
        }
    }

    #[test]
    fn a_hot_line_is_one_cache_line() {
        assert_eq!(size_of::<Hot>(), 64);
        assert!(size_of::<Rest>() <= 48);
    }
}
