//! Results that come again: clients of one make send the same lists over and over.
//!
//! In: a list and a way to make the result. Out: the result, made or remembered; nobody can tell which. The memory is
//! bounded, and a list takes a place only when it comes a second time, so lists that never repeat (shuffled
//! extensions) push nothing out.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

/// Places, a power of two.
const PLACES: usize = 1024;
/// Items of a list that is remembered; longer ones are made anew every time.
const ITEMS_MAX: usize = 512;

/// Remembers results by the list they were made from.
pub struct Memo<V> {
    hasher: RandomState,
    places: Vec<Place<V>>,
}

struct Place<V> {
    /// Hash of the last list that found no result here.
    missed: u64,
    kept: Option<(Box<[u16]>, V)>,
}

impl<V: Copy> Memo<V> {
    /// Remembers nothing yet.
    pub fn new() -> Memo<V> {
        Memo { hasher: RandomState::new(), places: (0..PLACES).map(|_| Place { missed: 0, kept: None }).collect() }
    }

    /// The result for a list.
    pub fn get(&mut self, list: &[u16], make: impl FnOnce() -> V) -> V {
        if list.len() > ITEMS_MAX {
            return make();
        }
        let hash = self.hash(list);
        let place = &mut self.places[hash as usize & (PLACES - 1)];
        if let Some((kept, value)) = &place.kept
            && **kept == *list
        {
            return *value;
        }
        let value = make();
        if std::mem::replace(&mut place.missed, hash) == hash {
            place.kept = Some((list.into(), value));
        }
        value
    }

    fn hash(&self, list: &[u16]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        let (fours, rest) = list.as_chunks::<4>();
        for &[a, b, c, d] in fours {
            hasher.write_u64(u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48);
        }
        for &word in rest {
            hasher.write_u16(word);
        }
        hasher.write_usize(list.len());
        hasher.finish()
    }
}

impl<V: Copy> Default for Memo<V> {
    fn default() -> Memo<V> {
        Memo::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Few lists and many calls, so that places are found, missed and fought for.
        #[test]
        fn a_memo_changes_no_result(calls in prop::collection::vec(prop::collection::vec(0u16..3, 0..6), 0..400)) {
            let mut memo = Memo::new();
            for list in calls {
                let sum = || list.iter().fold(7u64, |sum, &word| sum.wrapping_mul(31) + u64::from(word));
                prop_assert_eq!(memo.get(&list, sum), sum());
            }
        }
    }

    #[test]
    fn a_list_is_remembered_when_it_comes_again() {
        let mut memo = Memo::new();
        let mut made = 0;
        for _ in 0..10 {
            memo.get(&[1, 2, 3], || made += 1);
        }
        assert_eq!(made, 2, "once when it is new, once when it is kept");
        let long = vec![0; ITEMS_MAX + 1];
        memo.get(&long, || made += 1);
        memo.get(&long, || made += 1);
        memo.get(&long, || made += 1);
        assert_eq!(made, 5);
    }
}
