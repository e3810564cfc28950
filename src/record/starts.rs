//! When the flows of a rollup began: the schedule of a channel.
//!
//! In: moments. Out: how many there were in each piece of time. Pieces are a second long, and twice as long whenever more
//! than [`PIECES_MAX`] of them hold something; so a few flows stand to the second and many years fit. Which length comes out
//! depends on all moments together and not on their order.

use smallvec::{SmallVec, smallvec};

use crate::merge::Merge;
use crate::time::{SECOND, Time};

/// Pieces of time that hold something, at most.
pub const PIECES_MAX: usize = 64;

/// How many flows began when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// A piece is two to the power of this seconds long.
    doubled: u8,
    /// Number of the piece since 1970, and how many began in it; sorted. There is mostly just one, so one has its place
    /// without memory of its own.
    pieces: SmallVec<[(u32, u32); 1]>,
}

impl Starts {
    /// One flow.
    pub fn of(time: Time) -> Starts {
        let second = time.0.div_euclid(SECOND).clamp(0, i64::from(u32::MAX)) as u32;
        Starts { doubled: 0, pieces: smallvec![(second, 1)] }
    }

    /// From its parts, as [`Starts::parts`] gave them; sorts and shortens what does not hold to the rules.
    pub fn from_parts(doubled: u8, pieces: Vec<(u32, u32)>) -> Starts {
        let mut starts = Starts { doubled: doubled.min(32), pieces: pieces.into() };
        starts.tidy();
        starts
    }

    /// How often the second was doubled, and the pieces.
    pub fn parts(&self) -> (u8, &[(u32, u32)]) {
        (self.doubled, &self.pieces)
    }

    /// Seconds in a piece.
    pub fn seconds(&self) -> u64 {
        1 << self.doubled
    }

    /// When each piece began and how many flows in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Time, u32)> + '_ {
        let begin = |piece: u32| Time::new((u64::from(piece) << self.doubled) as i64, 0);
        self.pieces.iter().map(move |&(piece, count)| (begin(piece), count))
    }

    fn double(&mut self, times: u8) {
        self.doubled += times;
        for (piece, _) in &mut self.pieces {
            *piece = piece.checked_shr(times.into()).unwrap_or(0);
        }
    }

    /// Sorted, each piece once, and not too many.
    fn tidy(&mut self) {
        self.pieces.sort_unstable();
        loop {
            self.pieces.dedup_by(|later, there| {
                let same = later.0 == there.0;
                if same {
                    there.1 = there.1.saturating_add(later.1);
                }
                same
            });
            if self.pieces.len() <= PIECES_MAX {
                return;
            }
            self.double(1);
        }
    }
}

impl Merge for Starts {
    fn merge(&mut self, mut other: Starts) {
        let doubled = self.doubled.max(other.doubled);
        self.double(doubled - self.doubled);
        other.double(doubled - other.doubled);
        match other.pieces.as_slice() {
            // Flow after flow, mostly in time.
            [(piece, count)] if self.pieces.last().is_some_and(|(last, _)| last == piece) => {
                if let Some((_, there)) = self.pieces.last_mut() {
                    *there = there.saturating_add(*count);
                }
            }
            _ => {
                self.pieces.append(&mut other.pieces);
                self.tidy();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(seconds: &[u32]) -> Starts {
        let mut sum = Starts::default();
        seconds.iter().for_each(|&second| sum.merge(Starts::of(Time::new(second.into(), 0))));
        sum
    }

    #[test]
    fn few_stand_to_the_second_and_many_fit() {
        let few = all(&[300, 0, 600, 300]);
        assert_eq!(few.parts(), (0, [(0, 1), (300, 2), (600, 1)].as_slice()));
        let minutes: Vec<u32> = (0..1440).map(|minute| minute * 60).collect();
        let day = all(&minutes);
        assert_eq!(day.seconds(), 2048, "86,400 seconds in at most 64 pieces");
        assert_eq!(day.iter().map(|(_, count)| u64::from(count)).sum::<u64>(), 1440);
        assert_eq!(day.iter().nth(1).map(|(time, _)| time), Some(Time::new(2048, 0)));
    }

    proptest! {
        #[test]
        fn order_and_grouping_do_not_matter(
            mut seconds in prop::collection::vec(prop_oneof![0u32..500, any::<u32>()], 0..300),
            cut: prop::sample::Index,
        ) {
            let whole = all(&seconds);
            let at = if seconds.is_empty() { 0 } else { cut.index(seconds.len()) };
            let mut parts = all(&seconds[..at]);
            parts.merge(all(&seconds[at..]));
            prop_assert_eq!(&parts, &whole);
            seconds.reverse();
            prop_assert_eq!(all(&seconds), whole);
        }
    }
}
