//! What flows come to, each thing once, and the memory that knows it again.
//!
//! In: what a flow was judged to be. Out: a number for it, the same for all flows of one worker that come to the
//! same. Most flows are like one before: the same program asks the same host. What decided about that one is kept, and
//! a flow that says the same is not judged again.

use hashbrown::HashTable;

use ahash::RandomState;

use crate::merge::Map;
use crate::record::Gist;

/// Gists kept by one worker; flows beyond it are counted in the ledger and not judged.
pub const GISTS_MAX: usize = 1 << 20;
/// Flows that one worker knows again.
const REMEMBERED_MAX: usize = 1 << 14;
/// Bytes that decide about one of them, at most.
const REMEMBERED_BYTES_MAX: usize = 2048;

/// Every gist once. Numbers begin at 1.
#[derive(Default)]
pub struct Gists {
    hasher: RandomState,
    numbers: HashTable<u32>,
    list: Vec<Gist>,
}

impl Gists {
    /// The number of a gist; `None` when there are too many.
    pub(super) fn number(&mut self, gist: Gist) -> Option<u32> {
        let hash = self.hasher.hash_one(&gist);
        if let Some(number) = self.find(hash, &gist) {
            return Some(number);
        }
        if self.list.len() >= GISTS_MAX {
            return None;
        }
        self.list.push(gist);
        let number = self.list.len() as u32;
        let (hasher, list) = (&self.hasher, &self.list);
        self.numbers.insert_unique(hash, number, |&other| hasher.hash_one(&list[other as usize - 1]));
        Some(number)
    }

    /// As [`Gists::number`], of one that is only copied when it is new.
    pub(super) fn number_of(&mut self, gist: &Gist) -> Option<u32> {
        self.find(self.hasher.hash_one(gist), gist).or_else(|| self.number(gist.clone()))
    }

    fn find(&self, hash: u64, gist: &Gist) -> Option<u32> {
        self.numbers.find(hash, |&number| self.list[number as usize - 1] == *gist).copied()
    }

    /// Gists.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// The gist of a number.
    pub fn get(&self, number: u32) -> Option<&Gist> {
        self.list.get((number as usize).checked_sub(1)?)
    }
}

/// Gists by all that decided about them.
#[derive(Default)]
pub(super) struct Remembered {
    /// What decides about the flow at hand.
    pub(super) key: Vec<u8>,
    known: Map<Box<[u8]>, u32>,
}

impl Remembered {
    /// The gist of an earlier flow of which the key was the same.
    pub(super) fn find(&self) -> Option<u32> {
        self.known.get(self.key.as_slice()).copied()
    }

    /// The flow at hand came to this. Of too many all are forgotten: those that come again are soon known again.
    pub(super) fn keep(&mut self, number: u32) {
        if self.key.len() > REMEMBERED_BYTES_MAX {
            return;
        }
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        self.known.insert(self.key.as_slice().into(), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_gists_have_one_number() {
        let of = |port| Gist { port, ..Gist::default() };
        let mut gists = Gists::default();
        let numbers: Vec<_> = [443, 80, 443, 53, 80].into_iter().map(|port| gists.number(of(port))).collect();
        assert_eq!(numbers, [Some(1), Some(2), Some(1), Some(3), Some(2)]);
        assert_eq!(gists.get(3), Some(&of(53)));
        assert_eq!((gists.get(0), gists.get(4)), (None, None));
    }

    #[test]
    fn what_was_kept_is_found_until_there_is_too_much() {
        let mut remembered = Remembered::default();
        for n in 0..REMEMBERED_MAX as u32 {
            remembered.key = n.to_le_bytes().to_vec();
            remembered.keep(n + 1);
        }
        remembered.key = 7u32.to_le_bytes().to_vec();
        assert_eq!(remembered.find(), Some(8));
        remembered.key = vec![1; REMEMBERED_BYTES_MAX];
        remembered.keep(5);
        assert_eq!((remembered.find(), remembered.known.len()), (Some(5), 1));
        remembered.key.push(1);
        remembered.keep(6);
        assert_eq!(remembered.find(), None, "too long to be kept");
    }
}
