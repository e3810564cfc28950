//! The floor: the least that anybody must do to count flows, as plain Rust does it.
//!
//! In: a classic pcap file in memory (little-endian, micro- or nanoseconds, Ethernet). Out: its packets and flows. It
//! walks the records, reads addresses and ports, and adds up both directions in a hash table; it checks nothing, reads
//! no payload and judges nobody. What a scan costs beside it is the price of all that.

use std::collections::HashMap;
use std::hash::Hash;

use ahash::RandomState;

const MAGIC_MICROSECONDS: [u8; 4] = 0xa1b2_c3d4_u32.to_le_bytes();
const MAGIC_NANOSECONDS: [u8; 4] = 0xa1b2_3c4d_u32.to_le_bytes();
const LINK_ETHERNET: [u8; 4] = 1_u32.to_le_bytes();
const FILE_HEADER_BYTES: usize = 24;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_VLAN_OUTER: u16 = 0x88a8;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The part of a fragment's offset field that is the offset: only the first fragment has ports.
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// What the loop counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// Records of the file, whatever is in them.
    pub packets: u64,
    /// Bytes that these packets had on the wire.
    pub bytes: u64,
    /// Packets in no flow: not TCP or UDP over IP, a later fragment, cut short, IPv6 with further headers.
    pub skipped: u64,
    /// Different pairs of endpoints.
    pub flows: u64,
}

/// Packets and bytes of one direction.
#[derive(Clone, Copy, Default)]
struct Direction {
    packets: u64,
    bytes: u64,
}

/// Both ends, the lower one first, so that both directions meet.
#[derive(PartialEq, Eq, Hash)]
struct Key<E> {
    low: E,
    high: E,
    protocol: u8,
}

/// The flows between ends of one family of addresses.
struct Flows<E>(HashMap<Key<E>, [Direction; 2], RandomState>);

impl<E: Ord + Hash> Flows<E> {
    fn new() -> Flows<E> {
        Flows(HashMap::with_hasher(RandomState::new()))
    }

    #[inline]
    fn add(&mut self, from: E, to: E, protocol: u8, bytes: u64) {
        let (low, high, side) = if from <= to { (from, to, 0) } else { (to, from, 1) };
        let direction = &mut self.0.entry(Key { low, high, protocol }).or_default()[side];
        direction.packets += 1;
        direction.bytes += bytes;
    }
}

/// Walks a capture. What is no such file has no packets; a last record that is cut short is left out.
pub fn run(image: &[u8]) -> Floor {
    let mut floor = Floor::default();
    let mut v4 = Flows::<u64>::new();
    let mut v6 = Flows::<(u128, u16)>::new();
    let mut records = records(image).unwrap_or_default();
    while let Some((packet, wire_bytes, rest)) = record(records) {
        records = rest;
        floor.packets += 1;
        floor.bytes += wire_bytes;
        if count(packet, wire_bytes, &mut v4, &mut v6).is_none() {
            floor.skipped += 1;
        }
    }
    // The sums are part of the work: a compiler that saw nobody read them might leave them out.
    std::hint::black_box((&v4.0, &v6.0));
    floor.flows = (v4.0.len() + v6.0.len()) as u64;
    floor
}

/// What follows the header of the file.
fn records(image: &[u8]) -> Option<&[u8]> {
    let (header, records) = image.split_first_chunk::<FILE_HEADER_BYTES>()?;
    let [m0, m1, m2, m3, .., l0, l1, l2, l3] = *header;
    let known = matches!([m0, m1, m2, m3], MAGIC_MICROSECONDS | MAGIC_NANOSECONDS);
    (known && [l0, l1, l2, l3] == LINK_ETHERNET).then_some(records)
}

/// The first packet, its bytes on the wire, and the records behind it.
#[inline]
fn record(records: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let (header, rest) = records.split_first_chunk::<16>()?;
    let [.., c0, c1, c2, c3, w0, w1, w2, w3] = *header;
    let (packet, rest) = rest.split_at_checked(u32::from_le_bytes([c0, c1, c2, c3]) as usize)?;
    Some((packet, u64::from(u32::from_le_bytes([w0, w1, w2, w3])), rest))
}

/// Adds a packet to its flow, if it has one.
#[inline]
fn count(packet: &[u8], bytes: u64, v4: &mut Flows<u64>, v6: &mut Flows<(u128, u16)>) -> Option<()> {
    let (header, mut rest) = packet.split_first_chunk::<14>()?;
    let mut kind = u16::from_be_bytes([header[12], header[13]]);
    if kind == TYPE_VLAN || kind == TYPE_VLAN_OUTER {
        let (tag, behind) = rest.split_first_chunk::<4>()?;
        (kind, rest) = (u16::from_be_bytes([tag[2], tag[3]]), behind);
    }
    match kind {
        TYPE_IPV4 => {
            let header = rest.first_chunk::<20>()?;
            let [first, _, _, _, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header;
            if u16::from_be_bytes([f0, f1]) & FRAGMENT_OFFSET != 0 {
                return None;
            }
            let [from_port, to_port] = ports(protocol, rest.get(usize::from(first & 15) * 4..)?)?;
            let end = |address, port| u64::from(u32::from_be_bytes(address)) << 16 | u64::from(port);
            v4.add(end([s0, s1, s2, s3], from_port), end([d0, d1, d2, d3], to_port), protocol, bytes);
        }
        TYPE_IPV6 => {
            let (header, behind) = rest.split_first_chunk::<8>()?;
            let (from, behind) = behind.split_first_chunk::<16>()?;
            let (to, behind) = behind.split_first_chunk::<16>()?;
            let [from_port, to_port] = ports(header[6], behind)?;
            let end = |address: &[u8; 16], port| (u128::from_be_bytes(*address), port);
            v6.add(end(from, from_port), end(to, to_port), header[6], bytes);
        }
        _ => return None,
    }
    Some(())
}

/// Ports of source and destination.
#[inline]
fn ports(protocol: u8, transport: &[u8]) -> Option<[u16; 2]> {
    let [s0, s1, d0, d1] = *transport.first_chunk::<4>()?;
    matches!(protocol, TCP | UDP).then_some([u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bench::traffic::{Size, Workload, image};
    use crate::capture::{Replay, Source};
    use crate::scan::Scan;

    fn picture(workload: Workload) -> Arc<Vec<u8>> {
        Arc::new(image(workload, Size::Packets(20_000), 3))
    }

    fn replay(image: &Arc<Vec<u8>>) -> Replay {
        Replay::new(vec![("image".into(), image.clone())], 1)
    }

    #[test]
    fn every_packet_is_counted_once() {
        for workload in Workload::ALL {
            let image = picture(workload);
            let floor = run(&image);
            let (mut packets, mut bytes, mut source) = (0, 0, replay(&image));
            while let Some(block) = source.next_block() {
                packets += block.packets.len() as u64;
                bytes += block.packets.iter().map(|packet| u64::from(packet.captured)).sum::<u64>();
            }
            assert_eq!((floor.packets, floor.bytes), (packets, bytes), "{workload}");
            // Only the office link carries anything that is neither TCP nor UDP.
            assert_eq!(floor.skipped > 0, workload == Workload::Mixed, "{workload}: {floor:?}");
            assert!(floor.skipped * 10 < floor.packets, "{workload}: {floor:?}");
        }
    }

    #[test]
    fn a_scan_finds_the_same_flows() {
        let scan = Scan { memory: 1 << 30, ..Scan::builtin().unwrap() };
        for workload in [Workload::Small, Workload::Churn, Workload::Elephants, Workload::Flows10M] {
            let image = picture(workload);
            let scanned = scan.run(&mut replay(&image), &[], &|_, _| {});
            let floor = run(&image);
            assert_eq!(floor.packets, scanned.report.ledger.decoded, "{workload}");
            assert_eq!(floor.flows, scanned.report.header.flows, "{workload}");
        }
    }

    /// A file of one packet.
    fn file(magic: u32, link: u32, packet: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [magic, 0x0004_0002, 0, 0, 65_535, link, 0, 0, packet.len() as u32, packet.len() as u32] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(packet);
        bytes
    }

    /// UDP over IPv4 behind this Ethernet type (and tag).
    fn udp(kind: &[u8], fragment: [u8; 2], swapped: bool) -> Vec<u8> {
        let mut packet = vec![2; 12];
        packet.extend_from_slice(kind);
        packet.extend_from_slice(&[0x45, 0, 0, 28, 0, 0, fragment[0], fragment[1], 64, UDP, 0, 0]);
        let ends = [[10, 0, 0, 1], [192, 0, 2, 1]];
        let ports = [[0x30, 0x39], [0, 53]];
        let (a, b) = if swapped { (1, 0) } else { (0, 1) };
        packet.extend_from_slice(&[ends[a], ends[b]].concat());
        packet.extend_from_slice(&[ports[a], ports[b]].concat());
        packet.extend_from_slice(&[0, 8, 0, 0]);
        packet
    }

    #[test]
    fn both_directions_and_a_tag_are_one_flow() {
        let mut bytes = file(0xa1b2_c3d4, 1, &udp(&[8, 0], [0x40, 0], false));
        bytes.extend_from_slice(&file(0xa1b2_c3d4, 1, &udp(&[8, 0], [0, 0], true))[24..]);
        bytes.extend_from_slice(&file(0xa1b2_c3d4, 1, &udp(&[0x81, 0, 0, 7, 8, 0], [0, 0], true))[24..]);
        assert_eq!(run(&bytes), Floor { packets: 3, bytes: 42 + 42 + 46, skipped: 0, flows: 1 });
    }

    #[test]
    fn what_has_no_ports_is_skipped() {
        for packet in [
            udp(&[8, 0], [0, 1], false),
            udp(&[8, 6], [0, 0], false),
            udp(&[0x81, 0, 0, 7, 0x81, 0, 0, 7, 8, 0], [0, 0], false),
            vec![0; 13],
            vec![],
        ] {
            let floor = run(&file(0xa1b2_3c4d, 1, &packet));
            assert_eq!((floor.packets, floor.skipped, floor.flows), (1, 1, 0));
        }
    }

    #[test]
    fn other_files_and_cut_ones_are_harmless() {
        let whole = file(0xa1b2_c3d4, 1, &udp(&[8, 0], [0, 0], false));
        for end in 0..whole.len() {
            assert_eq!(run(&whole[..end]), Floor::default());
        }
        assert_eq!(run(&file(0xd4c3_b2a1, 1, &[0; 60])), Floor::default());
        assert_eq!(run(&file(0xa1b2_c3d4, 113, &[0; 60])), Floor::default());
        for end in 0..54 {
            let floor = run(&file(0xa1b2_c3d4, 1, &vec![0x86; end]));
            assert_eq!(floor.skipped, 1);
        }
    }
}
