use super::super::walk::{DAMAGE_LIST_MAX, Order};
use super::{Got, block, enhanced, interface, put16, put32, read, read_clean, section};

const ORDERS: [Order; 2] = [Order::Little, Order::Big];

fn nanos(packets: &[Got]) -> Vec<i64> {
    packets.iter().map(|packet| packet.nanos).collect()
}

fn bytes_of(packets: &[Got]) -> Vec<&[u8]> {
    packets.iter().map(|packet| packet.bytes.as_slice()).collect()
}

#[test]
fn clocks_are_exact_to_the_nanosecond() {
    // Values worked out by hand from the definition of if_tsresol.
    let cases: [(Option<u8>, u64, i64); 15] = [
        (None, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (Some(6), 1_700_000_000_123_456, 1_700_000_000_123_456_000),
        (Some(0), 1_700_000_000, 1_700_000_000_000_000_000),
        (Some(3), 1_700_000_000_999, 1_700_000_000_999_000_000),
        (Some(9), 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (Some(12), 1_700_000_123_456_789_999, 1_700_000_123_456_789),
        (Some(19), u64::MAX, 1_844_674_407),
        (Some(28), u64::MAX, 1),
        (Some(29), u64::MAX, 0),
        (Some(0x7f), u64::MAX, 0),
        // 2^-0, 2^-10 (1023/1024 s), 2^-32 (as NTP), 2^-63, 2^-127.
        (Some(0x80), 5, 5_000_000_000),
        (Some(0x8a), 2047, 1_999_023_437),
        (Some(0xa0), (1_700_000_000 << 32) | 0x8000_0001, 1_700_000_000_500_000_000),
        (Some(0xbf), (1 << 63) | (1 << 62), 1_500_000_000),
        (Some(0xff), u64::MAX, 0),
    ];
    for order in ORDERS {
        let mut bytes = section(order);
        for (resolution, _, _) in cases {
            let value = resolution.map(|value| [value]);
            let options: Vec<(u16, &[u8])> = value.iter().map(|v| (9, v.as_slice())).collect();
            bytes.extend(interface(order, 1, 0, &options));
        }
        for (id, (_, units, _)) in cases.iter().enumerate() {
            bytes.extend(enhanced(order, id as u32, *units, 60, b"p"));
        }
        let expected: Vec<i64> = cases.iter().map(|case| case.2).collect();
        assert_eq!(nanos(&read_clean(&bytes)), expected, "{order:?}");
    }
}

#[test]
fn clock_offsets_and_the_ends_of_time() {
    for order in ORDERS {
        let offset = |seconds: i64| match order {
            Order::Little => seconds.to_le_bytes(),
            Order::Big => seconds.to_be_bytes(),
        };
        let mut bytes = section(order);
        for seconds in [1_000_000_000, -10, i64::MAX, i64::MIN, 0] {
            bytes.extend(interface(order, 1, 0, &[(2, b"eth0\0"), (14, &offset(seconds))]));
        }
        for id in 0..4 {
            bytes.extend(enhanced(order, id, 1_500_000, 60, b"p"));
        }
        bytes.extend(enhanced(order, 4, u64::MAX, 60, b"p"));
        assert_eq!(
            nanos(&read_clean(&bytes)),
            [1_000_000_001_500_000_000, -8_500_000_000, i64::MAX, i64::MIN, i64::MAX]
        );
    }
}

#[test]
fn sections_of_both_byte_orders_with_their_own_interfaces() {
    let mut bytes = Vec::new();
    for (order, links) in [(Order::Big, [1, 113]), (Order::Little, [276, 101])] {
        bytes.extend(section(order));
        for link in links {
            bytes.extend(interface(order, link, 0, &[]));
        }
        bytes.extend(enhanced(order, 1, 1, 9, b"one"));
        bytes.extend(enhanced(order, 0, 2, 9, b"zero"));
    }
    let packets = read_clean(&bytes);
    let links: Vec<u16> = packets.iter().map(|packet| packet.link).collect();
    assert_eq!(links, [113, 1, 101, 276]);
    assert_eq!(bytes_of(&packets), [b"one".as_slice(), b"zero", b"one", b"zero"]);
    assert!(packets.iter().all(|packet| packet.original == 9));
}

#[test]
fn simple_and_obsolete_packet_blocks() {
    for order in ORDERS {
        let mut bytes = section(order);
        bytes.extend(interface(order, 101, 4, &[]));
        bytes.extend(interface(order, 1, 0, &[]));
        let simple = |original: u32, data: &[u8]| {
            let mut body = put32(order, original).to_vec();
            body.extend(data);
            block(order, 3, &body)
        };
        bytes.extend(simple(3, b"abc"));
        // Cut by the snap length of the first interface.
        bytes.extend(simple(1500, b"abcd"));
        let mut body = put16(order, 1).to_vec();
        body.extend(put16(order, 77));
        for word in [0, 2_000_000, 5, 99] {
            body.extend(put32(order, word));
        }
        body.extend(b"hello");
        bytes.extend(block(order, 2, &body));
        let got = read_clean(&bytes);
        assert_eq!(bytes_of(&got), [b"abc".as_slice(), b"abcd", b"hello"]);
        assert_eq!(nanos(&got), [0, 0, 2_000_000_000]);
        let rest: Vec<_> = got.iter().map(|got| (got.original, got.link)).collect();
        assert_eq!(rest, [(3, 101), (1500, 101), (99, 1)]);
    }
}

#[test]
fn other_blocks_and_options_are_passed_by() {
    let order = Order::Little;
    let mut bytes = section(order);
    bytes.extend(block(order, 4, b"name resolution"));
    bytes.extend(interface(order, 1, 0, &[(1, &[b'c'; 65_535]), (9, &[9])]));
    bytes.extend(block(order, 5, &[0; 12]));
    bytes.extend(block(order, 10, b"secrets"));
    bytes.extend(block(order, 0x0bad, b""));
    // A packet with a comment of its own.
    let mut body = Vec::new();
    for word in [0, 0, 7, 2, 2] {
        body.extend(put32(order, word));
    }
    body.extend(b"hi\0\0\x01\0\x04\0note\0\0\0\0");
    bytes.extend(block(order, 6, &body));
    let got = read_clean(&bytes);
    assert_eq!((nanos(&got), bytes_of(&got)), (vec![7], vec![b"hi".as_slice()]));
}

/// A good packet before and after something: both must come, with one flaw at the place between.
fn between(order: Order, bad: &[u8]) -> String {
    let mut bytes = section(order);
    bytes.extend(interface(order, 1, 0, &[]));
    bytes.extend(enhanced(order, 0, 1, 1, b"a"));
    let offset = bytes.len() as u64;
    bytes.extend(bad);
    bytes.extend(enhanced(order, 0, 2, 1, b"b"));
    let (packets, flaws) = read(&bytes).unwrap();
    let named: Vec<_> = bytes_of(&packets).into_iter().filter(|bytes| bytes.len() == 1).collect();
    assert_eq!(named, [b"a", b"b"]);
    assert_eq!((flaws.len(), flaws[0].offset), (1, offset), "{flaws:?}");
    flaws[0].reason.clone()
}

#[test]
fn damage_inside_a_block_costs_that_block_only() {
    for order in ORDERS {
        assert!(between(order, &enhanced(order, 1, 1, 1, b"x")).contains("interface 1"));
        assert!(between(order, &block(order, 6, &[0; 16])).contains("too short"));
        assert!(between(order, &block(order, 2, &[0; 8])).contains("too short"));
        assert!(between(order, &block(order, 3, b"")).contains("too short"));
        assert!(between(order, &block(order, 1, &[0; 4])).contains("too short"));
        let mut long = enhanced(order, 0, 1, 1, b"four");
        long[20..24].copy_from_slice(&put32(order, 5));
        assert!(between(order, &long).contains("5 bytes in a block with room for 4"));
        let mut end = enhanced(order, 0, 1, 1, b"four");
        let last = end.len() - 1;
        end[last] ^= 0x55;
        end[last - 3] ^= 0x55;
        assert!(between(order, &end).contains("at its end"));
        assert!(between(order, &interface(order, 1, 0, &[(9, &[6, 6])])).contains("length"));
        assert!(between(order, &interface(order, 1, 0, &[(14, &[6])])).contains("length"));
        let mut options = interface(order, 1, 0, &[(2, b"eth0")]);
        options[18..20].copy_from_slice(&put16(order, 60_000));
        assert!(between(order, &options).contains("longer than its block"));
    }
}

#[test]
fn packets_before_any_interface_are_damage() {
    let order = Order::Little;
    let mut bytes = section(order);
    bytes.extend(enhanced(order, 0, 1, 1, b"x"));
    bytes.extend(interface(order, 1, 0, &[]));
    bytes.extend(enhanced(order, 0, 1, 1, b"y"));
    bytes.extend(section(order));
    bytes.extend(enhanced(order, 0, 1, 1, b"z"));
    let (packets, flaws) = read(&bytes).unwrap();
    assert_eq!(bytes_of(&packets), [b"y"]);
    assert_eq!(flaws.len(), 2);
    assert_eq!(flaws[0].offset, 28);
}

#[test]
fn an_interface_with_damaged_options_keeps_its_number() {
    let order = Order::Big;
    let mut bytes = section(order);
    bytes.extend(interface(order, 113, 0, &[(9, &[])]));
    bytes.extend(interface(order, 101, 0, &[]));
    bytes.extend(enhanced(order, 1, 1, 1, b"x"));
    bytes.extend(enhanced(order, 0, 1, 1, b"y"));
    let (packets, flaws) = read(&bytes).unwrap();
    let links: Vec<u16> = packets.iter().map(|packet| packet.link).collect();
    assert_eq!((links, flaws.len()), (vec![101, 113], 1));
}

#[test]
fn a_length_that_cannot_be_ends_the_file() {
    for order in ORDERS {
        for length in [0u32, 4, 8, 11, 13, 30, (16 << 20) + 4, u32::MAX] {
            let mut bytes = section(order);
            bytes.extend(interface(order, 1, 0, &[]));
            bytes.extend(enhanced(order, 0, 1, 1, b"a"));
            let offset = bytes.len() as u64;
            let mut bad = enhanced(order, 0, 1, 1, b"x");
            bad[4..8].copy_from_slice(&put32(order, length));
            bytes.extend(bad);
            bytes.extend(enhanced(order, 0, 1, 1, b"b"));
            let (packets, flaws) = read(&bytes).unwrap();
            assert_eq!(bytes_of(&packets), [b"a"], "{length}");
            assert_eq!((flaws.len(), flaws[0].offset), (1, offset));
        }
    }
}

#[test]
fn sections_of_other_versions_are_passed_by() {
    let order = Order::Little;
    let mut strange = section(order);
    strange[12] = 2;
    let mut bytes = strange;
    bytes.extend(interface(order, 1, 0, &[]));
    bytes.extend(enhanced(order, 0, 1, 1, b"a"));
    bytes.extend(section(Order::Big));
    bytes.extend(interface(Order::Big, 1, 0, &[]));
    bytes.extend(enhanced(Order::Big, 0, 1, 1, b"b"));
    let (packets, flaws) = read(&bytes).unwrap();
    assert_eq!(bytes_of(&packets), [b"b"]);
    assert_eq!((flaws.len(), flaws[0].offset), (1, 0));
    assert!(flaws[0].reason.contains("version 2"));
}

#[test]
fn a_section_without_byte_order_ends_the_file() {
    let order = Order::Little;
    let mut bytes = section(order);
    let offset = bytes.len() as u64;
    let mut bad = section(order);
    bad[8] = 0;
    bytes.extend(bad);
    let (packets, flaws) = read(&bytes).unwrap();
    assert_eq!((packets.len(), flaws.len(), flaws[0].offset), (0, 1, offset));
}

#[test]
fn many_flaws_are_counted_not_listed() {
    let order = Order::Little;
    let mut bytes = section(order);
    for _ in 0..DAMAGE_LIST_MAX + 10 {
        bytes.extend(enhanced(order, 0, 1, 1, b"x"));
    }
    let (packets, flaws) = read(&bytes).unwrap();
    assert_eq!((packets.len(), flaws.len()), (0, DAMAGE_LIST_MAX + 1));
    let last = flaws.last().unwrap();
    assert!(last.reason.starts_with("10 more"), "{}", last.reason);
    assert_eq!(last.offset, 28 + 36 * DAMAGE_LIST_MAX as u64);
}

#[test]
fn cut_at_every_byte() {
    let order = Order::Big;
    let blocks = [
        section(order),
        interface(order, 1, 0, &[(9, &[9])]),
        enhanced(order, 0, 1, 5, b"first"),
        block(order, 99, b"unknown"),
        enhanced(order, 0, 1, 5, b"other"),
    ];
    let whole = blocks.concat();
    let mut starts = vec![0];
    for block in &blocks {
        starts.push(starts.last().unwrap() + block.len());
    }
    for cut in 4..whole.len() {
        let (packets, flaws) = read(&whole[..cut]).unwrap();
        let good = [starts[3], starts[5]].into_iter().filter(|end| *end <= cut);
        assert_eq!(packets.len(), good.count(), "cut at {cut}");
        let start = *starts.iter().rev().find(|start| **start <= cut).unwrap();
        match start == cut {
            true => assert_eq!(flaws, []),
            false => assert_eq!((flaws.len(), flaws[0].offset), (1, start as u64)),
        }
    }
}
