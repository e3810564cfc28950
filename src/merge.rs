//! Merging: rules that give the same result whatever the order.
//!
//! In: two parts of an answer, from two workers, files or sensors. Out: their sum. `Tally` adds
//! and is not idempotent, so each source counts once; the others are also idempotent. "First to
//! arrive" is never a rule. `tests/merge_laws.rs` checks the laws.

mod rows;

use std::collections::BTreeMap;
use std::hash::Hash;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use crate::time::Time;

pub use rows::{Entry, Rows};

/// A map whose hash has a random key, so that nobody can aim at one bucket.
pub type Map<K, V> = std::collections::HashMap<K, V, ahash::RandomState>;

/// A set of the same kind.
pub type Set<K> = std::collections::HashSet<K, ahash::RandomState>;

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
    /// Sorted. There is mostly just one, so one has its place without memory of its own.
    values: SmallVec<[T; 1]>,
    more: bool,
}

impl<T: Ord, const N: usize> Default for Few<T, N> {
    fn default() -> Few<T, N> {
        Few { values: SmallVec::new(), more: false }
    }
}

impl<T: Ord, const N: usize> Few<T, N> {
    /// Adds a value.
    pub fn add(&mut self, value: T) {
        if let Err(at) = self.values.binary_search(&value) {
            self.insert(at, value);
        }
    }

    fn insert(&mut self, at: usize, value: T) {
        self.more |= self.values.len() == N;
        if at < N {
            self.values.truncate(N - 1);
            self.values.insert(at, value);
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

impl<T: Ord + Serialize, const N: usize> Serialize for Few<T, N> {
    /// The values, and whether there were more.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.values.as_slice(), self.more).serialize(to)
    }
}

impl<'de, T: Ord + Deserialize<'de>, const N: usize> Deserialize<'de> for Few<T, N> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Few<T, N>, D::Error> {
        let (values, more) = <(Vec<T>, bool)>::deserialize(from)?;
        let mut few = Few::default();
        values.into_iter().for_each(|value| few.add(value));
        few.more |= more;
        Ok(few)
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

/// Sums by a key of which there are few: months, mostly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By<K: Ord, V>(SmallVec<[(K, V); 1]>);

impl<K: Ord, V> Default for By<K, V> {
    fn default() -> By<K, V> {
        By(SmallVec::new())
    }
}

impl<K: Ord, V: Merge> By<K, V> {
    /// One sum.
    pub fn of(key: K, value: V) -> By<K, V> {
        By(SmallVec::from_buf([(key, value)]))
    }

    /// Forgets those whose keys are not wanted.
    pub fn retain(&mut self, wanted: impl Fn(&K) -> bool) {
        self.0.retain(|(key, _)| wanted(key));
    }

    /// The sums, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.0.iter()
    }
}

impl<K: Ord, V: Merge> Merge for By<K, V> {
    fn merge(&mut self, other: By<K, V>) {
        for (key, theirs) in other.0 {
            match self.0.binary_search_by(|(there, _)| there.cmp(&key)) {
                Ok(at) => self.0[at].1.merge(theirs),
                Err(at) => self.0.insert(at, (key, theirs)),
            }
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

impl<K: Eq + Hash, V: Merge> Merge for Map<K, V> {
    fn merge(&mut self, other: Map<K, V>) {
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
