//! The laws of merging: whatever the order and the grouping, the same result.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fmt::Debug;

use bordertap::merge::{Few, First, Merge, Span, Tally};
use bordertap::time::Time;
use proptest::prelude::*;

fn merged<T: Merge + Clone>(mut a: T, b: &T) -> T {
    a.merge(b.clone());
    a
}

fn laws<T: Merge + Clone + Default + PartialEq + Debug>(a: T, b: T, c: T, idempotent: bool) {
    assert_eq!(merged(merged(a.clone(), &b), &c), merged(a.clone(), &merged(b.clone(), &c)), "associative");
    assert_eq!(merged(a.clone(), &b), merged(b.clone(), &a), "commutative");
    assert_eq!(merged(a.clone(), &T::default()), a, "neutral");
    if idempotent {
        assert_eq!(merged(a.clone(), &a), a, "idempotent");
    }
}

fn few() -> impl Strategy<Value = Few<u8, 4>> {
    prop::collection::vec(any::<u8>(), 0..9).prop_map(|values| {
        let mut few = Few::default();
        values.into_iter().for_each(|v| few.add(v));
        few
    })
}

fn span() -> impl Strategy<Value = Span> {
    (any::<i64>(), any::<i64>()).prop_map(|(a, b)| Span::of(Time(a.min(b)), Time(a.max(b))))
}

fn first() -> impl Strategy<Value = First<u8, u8>> {
    prop::option::of((any::<u8>(), any::<u8>())).prop_map(First)
}

proptest! {
    #[test]
    fn tally(a in 0u64..1 << 40, b in 0u64..1 << 40, c in 0u64..1 << 40) {
        laws(Tally(a), Tally(b), Tally(c), false);
    }

    #[test]
    fn smallest_few(a in few(), b in few(), c in few()) {
        laws(a, b, c, true);
    }

    #[test]
    fn spans(a in span(), b in span(), c in span()) {
        laws(a, b, c, true);
    }

    #[test]
    fn first_seen(a in first(), b in first(), c in first()) {
        laws(a, b, c, true);
    }

    #[test]
    fn maps(
        a in prop::collection::btree_map(0u8..5, (0u64..1000).prop_map(Tally), 0..4),
        b in prop::collection::btree_map(0u8..5, (0u64..1000).prop_map(Tally), 0..4),
        c in prop::collection::btree_map(0u8..5, (0u64..1000).prop_map(Tally), 0..4),
    ) {
        laws::<BTreeMap<u8, Tally>>(a, b, c, false);
    }

    // Few is what its definition says: the smallest of all values ever put in.
    #[test]
    fn few_is_the_smallest(values in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut few: Few<u8, 4> = Few::default();
        values.iter().for_each(|&v| few.add(v));
        let mut all = values.clone();
        all.sort();
        all.dedup();
        prop_assert_eq!(few.iter().copied().collect::<Vec<_>>(), all.iter().take(4).copied().collect::<Vec<_>>());
        prop_assert_eq!(few.had_more(), all.len() > 4);
    }
}
