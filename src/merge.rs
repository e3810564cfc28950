//! Merging: rules that give the same result whatever the order.
//!
//! In: two parts of an answer, from two workers, files or sensors. Out: their sum. `Tally` adds
//! and is not idempotent, so each source counts once; the others are also idempotent. "First to
//! arrive" is never a rule. `tests/merge_laws.rs` checks the laws.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Time;

/// Something that merges: associative and commutative.
pub trait Merge {
    /// Takes the other part in.
    fn merge(&mut self, other: Self);
}

/// Numbers that add: packets, bytes, flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub u64);

impl Merge for Tally {
    fn merge(&mut self, other: Tally) {
        self.0 = self.0.saturating_add(other.0);
    }
}

/// The value with the smallest time; of two at one time the smaller value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First<K: Ord, T: Ord>(pub Option<(K, T)>);

impl<K: Ord, T: Ord> Default for First<K, T> {
    fn default() -> First<K, T> {
        First(None)
    }
}

impl<K: Ord, T: Ord> First<K, T> {
    /// One value.
    pub fn of(key: K, value: T) -> First<K, T> {
        First(Some((key, value)))
    }
}

impl<K: Ord, T: Ord> Merge for First<K, T> {
    fn merge(&mut self, other: First<K, T>) {
        let Some(theirs) = other.0 else { return };
        if self.0.as_ref().is_none_or(|ours| theirs < *ours) {
            self.0 = Some(theirs);
        }
    }
}

/// The `N` smallest values, and whether there were more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Few<T: Ord, const N: usize> {
    values: BTreeSet<T>,
    more: bool,
}

impl<T: Ord, const N: usize> Default for Few<T, N> {
    fn default() -> Few<T, N> {
        Few { values: BTreeSet::new(), more: false }
    }
}

impl<T: Ord, const N: usize> Few<T, N> {
    /// Adds a value.
    pub fn add(&mut self, value: T) {
        if self.values.len() >= N && self.values.last().is_some_and(|last| *last < value) {
            self.more = true;
            return;
        }
        self.values.insert(value);
        if self.values.len() > N {
            self.values.pop_last();
            self.more = true;
        }
    }

    /// The values, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether there were more than are kept.
    pub fn had_more(&self) -> bool {
        self.more
    }
}

impl<T: Ord, const N: usize> Merge for Few<T, N> {
    fn merge(&mut self, other: Few<T, N>) {
        self.more |= other.more;
        for value in other.values {
            self.add(value);
        }
    }
}

/// From the earliest start to the latest end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Earliest moment.
    pub first: Time,
    /// Latest moment.
    pub last: Time,
}

impl Default for Span {
    /// The empty span: start after end.
    fn default() -> Span {
        Span { first: Time(i64::MAX), last: Time(i64::MIN) }
    }
}

impl Span {
    /// From one moment to another.
    pub fn of(first: Time, last: Time) -> Span {
        Span { first, last }
    }

    /// Nothing was put in.
    pub fn is_empty(&self) -> bool {
        self.first > self.last
    }
}

impl Merge for Span {
    fn merge(&mut self, other: Span) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Merge for bool {
    fn merge(&mut self, other: bool) {
        *self |= other;
    }
}

impl<T: Merge> Merge for [T; 2] {
    fn merge(&mut self, other: [T; 2]) {
        for (ours, theirs) in self.iter_mut().zip(other) {
            ours.merge(theirs);
        }
    }
}

impl<K: Ord, V: Merge> Merge for BTreeMap<K, V> {
    fn merge(&mut self, other: BTreeMap<K, V>) {
        for (key, theirs) in other {
            match self.entry(key) {
                std::collections::btree_map::Entry::Vacant(free) => {
                    free.insert(theirs);
                }
                std::collections::btree_map::Entry::Occupied(mut ours) => ours.get_mut().merge(theirs),
            }
        }
    }
}

impl<K: Eq + std::hash::Hash, V: Merge, S: std::hash::BuildHasher> Merge for std::collections::HashMap<K, V, S> {
    fn merge(&mut self, other: std::collections::HashMap<K, V, S>) {
        for (key, theirs) in other {
            match self.entry(key) {
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(theirs);
                }
                std::collections::hash_map::Entry::Occupied(mut ours) => ours.get_mut().merge(theirs),
            }
        }
    }
}
