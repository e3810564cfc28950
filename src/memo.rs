//! Results that come again: clients of one make send the same lists over and over, servers the same certificates.
//!
//! In: a list and a way to make the result. Out: the result, made or remembered; nobody can tell which. The memory is
//! bounded, and a list takes a place only when it comes a second time, so lists that never repeat (shuffled
//! extensions) push nothing out.

use std::hash::Hash;

use ahash::RandomState;

/// Remembers results by the list they were made from: `PLACES` of them, a power of two. Lists of more than `ITEMS` items
/// are made anew every time.
pub struct Memo<T, V, const PLACES: usize, const ITEMS: usize> {
    hasher: RandomState,
    places: Vec<Place<T, V>>,
}

struct Place<T, V> {
    /// Hash of the last list that found no result here.
    missed: u64,
    kept: Option<(Box<[T]>, V)>,
}

impl<T: Copy + Eq + Hash, V: Clone, const PLACES: usize, const ITEMS: usize> Memo<T, V, PLACES, ITEMS> {
    /// Remembers nothing yet.
    pub fn new() -> Self {
        const { assert!(PLACES.is_power_of_two()) }
        Memo { hasher: RandomState::new(), places: (0..PLACES).map(|_| Place { missed: 0, kept: None }).collect() }
    }

    /// The result for a list.
    pub fn get(&mut self, list: &[T], make: impl FnOnce() -> V) -> V {
        if list.len() > ITEMS {
            return make();
        }
        let hash = self.hasher.hash_one(list);
        let place = &mut self.places[hash as usize & (PLACES - 1)];
        if let Some((kept, value)) = &place.kept
            && **kept == *list
        {
            return value.clone();
        }
        let value = make();
        if std::mem::replace(&mut place.missed, hash) == hash {
            place.kept = Some((list.into(), value.clone()));
        }
        value
    }
}

impl<T: Copy + Eq + Hash, V: Clone, const PLACES: usize, const ITEMS: usize> Default for Memo<T, V, PLACES, ITEMS> {
    fn default() -> Self {
        Memo::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Lists<V> = Memo<u16, V, 1024, 512>;

    proptest! {
        // Few lists and many calls, so that places are found, missed and fought for.
        #[test]
        fn a_memo_changes_no_result(calls in prop::collection::vec(prop::collection::vec(0u16..3, 0..6), 0..400)) {
            let mut memo = Lists::new();
            for list in calls {
                let sum = || list.iter().fold(7u64, |sum, &word| sum.wrapping_mul(31) + u64::from(word));
                prop_assert_eq!(memo.get(&list, sum), sum());
            }
        }
    }

    #[test]
    fn a_list_is_remembered_when_it_comes_again() {
        let mut memo = Lists::new();
        let mut made = 0;
        for _ in 0..10 {
            memo.get(&[1, 2, 3], || made += 1);
        }
        assert_eq!(made, 2, "once when it is new, once when it is kept");
        let long = vec![0; 512 + 1];
        memo.get(&long, || made += 1);
        memo.get(&long, || made += 1);
        memo.get(&long, || made += 1);
        assert_eq!(made, 5);
    }
}
