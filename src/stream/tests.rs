#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use proptest::prelude::*;

fn stream(base: u32) -> Stream {
    let mut stream = Stream::default();
    stream.anchor(base);
    stream
}

#[test]
fn bytes_in_order_are_the_prefix() {
    let mut s = stream(100);
    assert_eq!(s.insert(100, b"abc"), Inserted::default());
    assert_eq!(s.insert(103, b"def"), Inserted::default());
    assert_eq!(s.prefix(), b"abcdef");
    assert!(!s.has_hole());
}

#[test]
fn a_hole_is_a_hole_until_it_is_filled() {
    let mut s = stream(u32::MAX - 1);
    s.insert(2, b"efg");
    assert_eq!(s.prefix(), b"");
    assert!(s.has_hole());
    s.insert(u32::MAX - 1, b"abcd");
    assert_eq!(s.prefix(), b"abcdefg");
    assert!(!s.has_hole());
}

#[test]
fn the_first_copy_wins_and_a_different_one_is_told() {
    let mut s = stream(0);
    s.insert(0, b"abcd");
    assert!(!s.insert(2, b"cd").conflict);
    assert!(s.insert(2, b"xyz").conflict);
    assert_eq!(s.prefix(), b"abcdz");
}

#[test]
fn every_copy_that_differs_is_another_reading() {
    let mut s = stream(0);
    s.insert(0, b"abcd");
    s.insert(2, b"XY");
    s.insert(8, b"ij");
    s.insert(4, b"efgh");
    assert_eq!(s.prefix(), b"abcdefghij");
    assert_eq!(s.others().collect::<Vec<_>>(), [b"abXYefghij"], "what came later is in both");
    s.insert(2, b"XY");
    s.insert(2, b"cd");
    assert_eq!(s.others().count(), 1, "each of them is known");
    for copy in [b"12", b"34", b"56", b"78", b"90"] {
        s.insert(0, copy);
    }
    let others: Vec<&[u8]> = s.others().collect();
    assert_eq!(others.len(), OTHERS_MAX);
    assert_eq!(others[OTHERS_MAX - 1], b"90XYefghij", "the last takes in what is too many");
    assert!(s.heap_bytes() < (OTHERS_MAX + 2) * 64 + PIECES_MAX);
}

#[test]
fn what_was_read_stays_to_be_compared_and_nothing_is_added() {
    let mut s = stream(0);
    s.insert(0, b"hello");
    s.insert(9, b"behind a hole");
    s.stop(1);
    assert!(!s.has_hole());
    assert!(s.insert(5, b"xyz").limited);
    assert_eq!(s.prefix(), b"hellox", "one byte more was asked for");
    assert!(!s.insert(0, b"hello").conflict);
    assert!(s.insert(3, b"p!").conflict);
    assert_eq!((s.prefix(), s.others().next().unwrap()), (&b"hellox"[..], &b"help!x"[..]));
}

#[test]
fn a_syn_that_says_otherwise_changes_nothing() {
    let mut s = stream(1000);
    s.anchor(5000);
    assert!(s.is_anchored());
    s.insert(1000, b"abc");
    assert_eq!(s.prefix(), b"abc");
}

#[test]
fn without_a_syn_an_earlier_byte_moves_the_start() {
    let mut s = Stream::default();
    s.insert(1000, b"world");
    assert!(s.insert(994, b"hello ").rebased);
    assert_eq!(s.prefix(), b"hello world");
}

#[test]
fn nothing_comes_before_a_syn() {
    let mut s = stream(1000);
    s.insert(990, b"0123456789abc");
    assert_eq!(s.prefix(), b"abc");
}

#[test]
fn no_more_than_the_limit_is_kept() {
    let mut s = stream(0);
    let piece = vec![7; 60_000];
    assert!(!s.insert(0, &piece).limited);
    assert!(s.insert(60_000, &piece).limited);
    assert_eq!(s.prefix().len(), PREFIX_BYTES_MAX);
    assert!(s.is_full());
    assert!(s.heap_bytes() < 4 * PREFIX_BYTES_MAX);
}

#[test]
fn pieces_behind_holes_are_limited() {
    let mut s = stream(0);
    let limited = (0..2000u32).filter(|n| s.insert(1 + n * 2, b"x").limited).count();
    assert_eq!(limited, 2000 - PIECES_MAX);
}

proptest! {
    // Whatever the order, the cuts and the repetitions: the prefix is the original bytes.
    #[test]
    fn order_does_not_matter(
        text in prop::collection::vec(any::<u8>(), 1..600),
        cuts in prop::collection::vec((0usize..600, 1usize..80), 0..60),
        base in any::<u32>(),
        shuffle in any::<u64>(),
    ) {
        let mut segments: Vec<(usize, usize)> = cuts
            .iter()
            .map(|&(start, len)| (start % text.len(), len))
            .map(|(start, len)| (start, (start + len).min(text.len())))
            .collect();
        segments.extend((0..text.len()).step_by(37).map(|start| (start, (start + 37).min(text.len()))));
        let mut seed = shuffle | 1;
        for i in (1..segments.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            segments.swap(i, (seed >> 33) as usize % (i + 1));
        }
        for anchored in [true, false] {
            let mut s = Stream::default();
            if anchored {
                s.anchor(base);
            }
            for &(start, end) in &segments {
                let done = s.insert(base.wrapping_add(start as u32), &text[start..end]);
                prop_assert!(!done.conflict && !done.limited);
            }
            prop_assert_eq!(s.prefix(), &text[..]);
            prop_assert!(!s.has_hole());
        }
    }
}
