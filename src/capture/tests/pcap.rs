use super::super::pcap::SNAP_BYTES_MAX;
use super::super::walk::Order;
use super::{ETHERNET, Got, MICRO, pcap_file, pcap_header, pcap_record, put32, read, read_clean};

const NANO: u32 = 0xa1b2_3c4d;
const KUZNETZOV: u32 = 0xa1b2_cd34;
const NAVTEL: u32 = 0xa12b_3c4d;
const ORDERS: [Order; 2] = [Order::Little, Order::Big];

fn one(nanos: i64, bytes: &[u8], original: u32, link: u16) -> Got {
    Got { nanos, bytes: bytes.to_vec(), original, link }
}

#[test]
fn every_magic_in_both_byte_orders() {
    for order in ORDERS {
        for (magic, extra, nanos) in [
            (MICRO, 0, 1_700_000_000_123_456_000),
            (NANO, 0, 1_700_000_000_000_123_456),
            (KUZNETZOV, 8, 1_700_000_000_123_456_000),
            (NAVTEL, 0, 1_700_000_000_000_123_456),
        ] {
            let mut bytes = pcap_header(order, magic, (2, 4), 65_535, ETHERNET);
            let words = [1_700_000_000, 123_456, 3, 60];
            bytes.extend(pcap_record(order, words, extra, b"abc"));
            bytes.extend(pcap_record(order, words, extra, b"xyz"));
            let expected = [one(nanos, b"abc", 60, 1), one(nanos, b"xyz", 60, 1)];
            assert_eq!(read_clean(&bytes), expected, "{magic:x} {order:?}");
        }
    }
}

#[test]
fn old_versions_have_the_lengths_the_other_way_round() {
    // (version, first length, second length) of a record with two bytes of nine captured.
    for (version, first, second) in
        [((2, 0), 9, 2), ((2, 2), 9, 2), ((2, 3), 2, 9), ((2, 3), 9, 2), ((2, 4), 2, 9), ((543, 0), 9, 2)]
    {
        let mut bytes = pcap_header(Order::Big, MICRO, version, 65_535, ETHERNET);
        bytes.extend(pcap_record(Order::Big, [1, 0, first, second], 0, b"ab"));
        assert_eq!(read_clean(&bytes), [one(1_000_000_000, b"ab", 9, 1)], "{version:?}");
    }
}

#[test]
fn versions_nobody_wrote_are_refused() {
    for version in [(1, 2), (2, 5), (3, 0), (543, 1)] {
        let mut bytes = pcap_header(Order::Little, MICRO, version, 65_535, ETHERNET);
        bytes.extend(pcap_record(Order::Little, [1, 0, 1, 1], 0, b"a"));
        let (packets, flaws) = read(&bytes).unwrap();
        assert_eq!(packets, []);
        assert_eq!((flaws.len(), flaws[0].offset), (1, 0));
        assert!(flaws[0].reason.contains("version"), "{}", flaws[0].reason);
    }
}

#[test]
fn link_type_without_the_frame_check_bits() {
    // Four bytes of frame check sequence: P bit and length 2 (of 16 bits).
    for link in [0x2400_0001, 0x0400_0001, 0x03ff_0001] {
        let mut bytes = pcap_header(Order::Little, MICRO, (2, 4), 65_535, link);
        bytes.extend(pcap_record(Order::Little, [0, 0, 1, 1], 0, b"a"));
        assert_eq!(read_clean(&bytes), [one(0, b"a", 1, 1)]);
    }
    let mut bytes = pcap_header(Order::Little, MICRO, (2, 4), 65_535, 276);
    bytes.extend(pcap_record(Order::Little, [0, 0, 1, 1], 0, b"a"));
    assert_eq!(read_clean(&bytes), [one(0, b"a", 1, 276)]);
}

#[test]
fn odd_lengths_are_kept_as_they_are() {
    let order = Order::Little;
    let mut bytes = pcap_header(order, MICRO, (2, 4), 65_535, ETHERNET);
    // More captured than there was, nothing captured, nothing at all, beyond the snap length.
    bytes.extend(pcap_record(order, [1, 0, 4, 2], 0, b"abcd"));
    bytes.extend(pcap_record(order, [2, 0, 0, 1500], 0, b""));
    bytes.extend(pcap_record(order, [3, 0, 0, 0], 0, b""));
    let large = vec![7; 100_000];
    bytes.extend(pcap_record(order, [4, 0, 100_000, 100_000], 0, &large));
    let expected = [
        one(1_000_000_000, b"abcd", 2, 1),
        one(2_000_000_000, b"", 1500, 1),
        one(3_000_000_000, b"", 0, 1),
        one(4_000_000_000, &large, 100_000, 1),
    ];
    assert_eq!(read_clean(&bytes), expected);
}

#[test]
fn times_reach_2106_and_fractions_may_overflow() {
    let order = Order::Little;
    let mut bytes = pcap_header(order, MICRO, (2, 4), 65_535, ETHERNET);
    bytes.extend(pcap_record(order, [u32::MAX, 999_999, 0, 0], 0, b""));
    bytes.extend(pcap_record(order, [0, 0, 0, 0], 0, b""));
    bytes.extend(pcap_record(order, [10, 2_500_000, 0, 0], 0, b""));
    let nanos: Vec<i64> = read_clean(&bytes).iter().map(|got| got.nanos).collect();
    assert_eq!(nanos, [4_294_967_295_999_999_000, 0, 12_500_000_000]);
}

#[test]
fn an_absurd_length_ends_the_file_and_keeps_what_was_before() {
    for (snap, length, refused) in [
        (65_535, 262_144, false),
        (65_535, 262_145, true),
        (1_000_000, 1_000_000, false),
        (1_000_000, 1_000_001, true),
        (u32::MAX, 262_145, true),
        (0, 256 << 20, true),
        (65_535, u32::MAX, true),
    ] {
        let mut bytes = pcap_header(Order::Big, MICRO, (2, 4), snap, ETHERNET);
        bytes.extend(pcap_record(Order::Big, [1, 0, 2, 2], 0, b"ab"));
        let offset = bytes.len() as u64;
        bytes.extend(pcap_record(Order::Big, [1, 0, length, length], 0, b"more"));
        let (packets, flaws) = read(&bytes).unwrap();
        assert_eq!(packets, [one(1_000_000_000, b"ab", 2, 1)]);
        assert_eq!(flaws.len(), 1);
        assert_eq!(flaws[0].offset, offset);
        // Either way the rest is no good: refused for the length, or for the missing bytes.
        let by_length = flaws[0].reason.contains("more than the");
        assert_eq!(by_length, refused, "{snap} {length} {}", flaws[0].reason);
    }
}

#[test]
fn cut_at_every_byte() {
    let whole = pcap_file(&[(1, b"first"), (2, b""), (3, b"the third packet")]);
    let ends = [24, 24 + 21, 24 + 21 + 16, 24 + 21 + 16 + 32];
    for cut in 0..whole.len() {
        let result = read(&whole[..cut]);
        if cut < 4 {
            let reason = if cut == 0 { "empty" } else { "not a capture file" };
            assert_eq!(result, Err(reason.to_owned()));
            continue;
        }
        let (packets, flaws) = result.unwrap();
        let good = ends.iter().skip(1).filter(|end| **end <= cut).count();
        assert_eq!(packets.len(), good, "cut at {cut}");
        let start = *ends.iter().rev().find(|end| **end <= cut).unwrap_or(&0);
        match start == cut {
            true => assert_eq!(flaws, []),
            false => {
                assert_eq!(flaws.len(), 1);
                assert_eq!(flaws[0].offset, start as u64, "cut at {cut}");
            }
        }
    }
}

#[test]
fn records_straddle_the_pieces_of_a_stream() {
    // Fourteen megabytes in records whose lengths share no factor with a piece.
    let mut bytes = pcap_header(Order::Little, MICRO, (2, 4), 262_144, ETHERNET);
    let mut expected = Vec::new();
    for number in 0..400u32 {
        let length = 30_011 + number * 31;
        let data: Vec<u8> = (0..length).map(|i| (i ^ number) as u8).collect();
        let words = [number, 0, length, length];
        bytes.extend(pcap_record(Order::Little, words, 0, &data));
        expected.push(one(i64::from(number) * 1_000_000_000, &data, length, 1));
    }
    let stream = super::Input::stream(Box::new(std::io::Cursor::new(bytes.clone())), false);
    let (packets, flaws) = super::drain(stream.unwrap(), 1024);
    assert!(packets == expected && flaws.is_empty());
    let dribble = super::Dribble(std::io::Cursor::new(bytes), 65_536);
    let stream = super::Input::stream(Box::new(dribble), true);
    let (packets, flaws) = super::drain(stream.unwrap(), 1024);
    assert!(packets == expected && flaws.is_empty());
}

#[test]
fn a_header_alone_is_an_empty_capture() {
    assert_eq!(read_clean(&pcap_file(&[])), []);
}

#[test]
fn other_magics_are_not_captures() {
    for magic in [0xa1b2_34cdu32, 0x1a2b_3c4d, 0x0000_0000, 0xd4c3_b2a0] {
        let bytes = put32(Order::Little, magic).repeat(8);
        assert_eq!(read(&bytes), Err("not a capture file".to_owned()));
    }
}

/// A snap length that nobody has is not believed: packets are then as long as usual at most.
#[test]
fn snap_lengths_that_are_believed() {
    for (snap, believed) in [(SNAP_BYTES_MAX, true), (SNAP_BYTES_MAX + 1, false)] {
        let mut bytes = pcap_header(Order::Big, MICRO, (2, 4), snap, ETHERNET);
        bytes.extend(pcap_record(Order::Big, [1, 0, 1_000_000, 1_000_000], 0, &vec![7; 1_000_000]));
        let read = read(&bytes);
        assert_eq!(read.is_ok_and(|(packets, flaws)| packets.len() == 1 && flaws.is_empty()), believed, "{snap}");
    }
}
