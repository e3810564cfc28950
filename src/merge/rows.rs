//! A map of large values that are put in, added up and read in order, never taken out.
//!
//! In: keys and sums. Out: the same, in the order in which the keys came first. Values lie in pages that never move;
//! when the map grows, only a table of small numbers is made anew, front to back.

use std::hash::Hash;

use ahash::RandomState;
use hashbrown::HashTable;

use crate::slab::Slab;

/// Keys of a table that has just been made.
const KEYS_MIN: usize = 256;

/// A map whose values do not move.
pub struct Rows<K, V> {
    hasher: RandomState,
    /// Number of the row, and the lower half of its hash: most other keys are told apart without a look at the row.
    table: HashTable<(u32, u32)>,
    rows: Slab<Row<K, V>>,
}

struct Row<K, V> {
    hash: u64,
    key: K,
    value: V,
}

impl<K: Eq + Hash, V> Rows<K, V> {
    /// The value of a key; when it is new, `make` may say what it is.
    pub fn entry(&mut self, key: K, make: impl FnOnce(usize) -> Option<V>) -> Entry<'_, V> {
        let hash = self.hasher.hash_one(&key);
        let rows = &self.rows;
        let there = self.table.find(hash, |&(id, low)| low == hash as u32 && rows[id].key == key);
        if let Some(&(id, _)) = there {
            return Entry::There(&mut self.rows[id].value);
        }
        let Some(value) = make(self.len()) else { return Entry::Refused };
        if self.table.len() == self.table.capacity() {
            self.grow();
        }
        let id = self.rows.insert(Row { hash, key, value });
        // Room was made above, so nothing is hashed again.
        self.table.insert_unique(hash, (id, hash as u32), |_| hash);
        Entry::Made
    }

    #[cold]
    fn grow(&mut self) {
        let mut table = HashTable::with_capacity((self.table.capacity() * 2).max(KEYS_MIN));
        for id in 0..self.rows.high_water() {
            let hash = self.rows[id].hash;
            table.insert_unique(hash, (id, hash as u32), |_| hash);
        }
        self.table = table;
    }

    /// Keys.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys and values in the order in which the keys came first.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        (0..self.rows.high_water()).map(|id| {
            let Row { key, value, .. } = &self.rows[id];
            (key, value)
        })
    }
}

/// What became of a key.
pub enum Entry<'a, V> {
    /// It was there: its value.
    There(&'a mut V),
    /// It is new and has the value that was made.
    Made,
    /// It is new and was not wanted.
    Refused,
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Rows<K, V> {
        Rows { hasher: RandomState::new(), table: HashTable::new(), rows: Slab::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    use proptest::prelude::*;

    proptest! {
        // A map from the standard library is the reference.
        #[test]
        fn holds_what_was_put_in(keys in prop::collection::vec(0u32..2000, 0..4000), limit in 1usize..1500) {
            let mut rows: Rows<u32, u64> = Rows::default();
            let mut reference: HashMap<u32, u64> = HashMap::new();
            let mut order = Vec::new();
            for key in keys {
                let full = reference.len() >= limit;
                match rows.entry(key, |len| (len < limit).then_some(1)) {
                    Entry::There(sum) => *sum += 1,
                    Entry::Made => order.push(key),
                    Entry::Refused => prop_assert!(full && !reference.contains_key(&key)),
                }
                if !full || reference.contains_key(&key) {
                    *reference.entry(key).or_default() += 1;
                }
            }
            prop_assert_eq!(rows.len(), reference.len());
            prop_assert_eq!(rows.iter().map(|(key, _)| *key).collect::<Vec<_>>(), order);
            prop_assert!(rows.iter().all(|(key, sum)| reference.get(key) == Some(sum)));
        }
    }
}
