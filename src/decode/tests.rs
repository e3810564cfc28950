#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::net::IpAddr;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::capture::LinkType;
use crate::flow::key::protocol;
use crate::flow::tunnels::TUNNELS_MAX;

mod broken;
mod fragments;
mod links;
mod tunnels;

fn packet(bytes: &[u8], link: LinkType) -> Packet {
    Packet { time: Time(7), start: 0, captured: bytes.len() as u32, original: bytes.len() as u32, link, interface: 0 }
}

fn read(bytes: &[u8], link: LinkType) -> Result<Segment, Reason> {
    decode(bytes, &packet(bytes, link), 1).map_err(reason)
}

fn piece(bytes: &[u8], link: LinkType) -> super::fragments::Piece {
    match decode(bytes, &packet(bytes, link), 1) {
        Err(Refused::Piece(piece)) => *piece,
        other => panic!("{other:?}"),
    }
}

fn reason(refused: Refused) -> Reason {
    match refused {
        Refused::Reason(reason) => reason,
        Refused::Piece(piece) => panic!("{piece:?}"),
    }
}

fn addresses(segment: &Segment) -> (IpAddr, u16, IpAddr, u16) {
    let (from, from_port) = segment.key.endpoint(segment.from_low);
    let (to, to_port) = segment.key.endpoint(!segment.from_low);
    (from, from_port, to, to_port)
}

/// A TCP packet with a payload over Ethernet, as another library builds it.
fn tcp_packet(vlans: usize, v6: bool, payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut out = Vec::new();
    let v4 =
        |step: etherparse::PacketBuilderStep<etherparse::Ethernet2Header>| step.ipv4([10, 0, 0, 9], [192, 0, 2, 1], 64);
    match (vlans, v6) {
        (0, false) => v4(link).tcp(40000, 443, 1000, 8192).write(&mut out, payload).unwrap(),
        (0, true) => {
            link.ipv6([1; 16], [2; 16], 64).tcp(40000, 443, 1000, 8192).write(&mut out, payload).unwrap();
        }
        (1, _) => link
            .single_vlan(7u16.try_into().unwrap())
            .ipv4([10, 0, 0, 9], [192, 0, 2, 1], 64)
            .tcp(40000, 443, 1000, 8192)
            .write(&mut out, payload)
            .unwrap(),
        _ => link
            .double_vlan(7u16.try_into().unwrap(), 9u16.try_into().unwrap())
            .ipv4([10, 0, 0, 9], [192, 0, 2, 1], 64)
            .tcp(40000, 443, 1000, 8192)
            .write(&mut out, payload)
            .unwrap(),
    }
    out
}

#[test]
fn tcp_over_ethernet_and_vlans() {
    for vlans in 0..3 {
        let bytes = tcp_packet(vlans, false, b"payload");
        let segment = read(&bytes, link::types::ETHERNET).unwrap();
        assert_eq!(addresses(&segment), ("10.0.0.9".parse().unwrap(), 40000, "192.0.2.1".parse().unwrap(), 443));
        assert_eq!((segment.seq, segment.payload_len, segment.payload_cut), (1000, 7, 0));
        assert_eq!(&bytes[segment.payload..], b"payload");
        assert_eq!(segment.vlan, (vlans > 0).then_some(7));
        assert_eq!(segment.macs, Some(0));
        assert_eq!(segment.ip_bytes, 47);
    }
}

#[test]
fn every_link_type_leads_to_the_same_segment() {
    let whole = tcp_packet(0, false, b"payload");
    let ip = &whole[14..];
    let sll = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], ip].concat();
    let sll2 = [&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], ip].concat();
    let null = [&[2, 0, 0, 0], ip].concat();
    let loopback = [&[0, 0, 0, 2], ip].concat();
    let expected = addresses(&read(&whole, link::types::ETHERNET).unwrap());
    for (bytes, link) in [
        (ip.to_vec(), link::types::RAW),
        (ip.to_vec(), link::types::RAW_12),
        (ip.to_vec(), link::types::IPV4),
        (sll, link::types::SLL),
        (sll2, link::types::SLL2),
        (null, link::types::NULL),
        (loopback, link::types::LOOP),
    ] {
        let segment = read(&bytes, link).unwrap();
        assert_eq!(addresses(&segment), expected, "{link:?}");
        assert_eq!(&bytes[segment.payload..], b"payload", "{link:?}");
    }
}

#[test]
fn what_is_not_read_has_a_name() {
    let mut frame = tcp_packet(0, false, b"");
    let cases: &[(u16, Reason)] = &[
        (0x0806, Reason::LinkArp),
        (0x88cc, Reason::LinkLldp),
        (0x0100, Reason::LinkLlc),
        (0x1234, Reason::LinkNotIp),
    ];
    for (kind, reason) in cases {
        frame[12..14].copy_from_slice(&kind.to_be_bytes());
        assert_eq!(read(&frame, link::types::ETHERNET).unwrap_err(), *reason);
    }
    assert_eq!(read(&frame, LinkType(147)).unwrap_err(), Reason::LinkUnknown);
    assert_eq!(read(&frame[..10], link::types::ETHERNET).unwrap_err(), Reason::LinkTruncated);
    let five_tags = [vec![0; 12], [0x81, 0, 0, 1].repeat(5), vec![8, 0]].concat();
    assert_eq!(read(&five_tags, link::types::ETHERNET).unwrap_err(), Reason::VlanDepth);
    let names: std::collections::BTreeSet<_> = REASONS.iter().map(|(_, name)| name).collect();
    assert_eq!(names.len(), REASONS.len());
}

#[test]
fn padding_is_not_payload_and_a_cut_is_told() {
    let mut bytes = tcp_packet(0, false, b"payload");
    bytes.extend_from_slice(&[0; 20]);
    let segment = read(&bytes, link::types::ETHERNET).unwrap();
    assert_eq!((segment.payload_len, segment.payload_cut), (7, 0));
    let cut = &bytes[..bytes.len() - 24];
    let segment = read(cut, link::types::ETHERNET).unwrap();
    assert_eq!((segment.payload_len, segment.payload_cut), (3, 4));
}

#[test]
fn a_total_length_of_zero_means_all_of_it() {
    let mut bytes = tcp_packet(0, false, b"payload");
    bytes[16..18].copy_from_slice(&[0, 0]);
    assert_eq!(read(&bytes, link::types::ETHERNET).unwrap().payload_len, 7);
}

#[test]
fn fragments_are_told_apart() {
    let mut bytes = tcp_packet(0, false, b"payload");
    bytes[20] = 0x20; // more fragments
    let piece = piece(&bytes, link::types::ETHERNET);
    assert_eq!((piece.offset, piece.len, piece.more, piece.protocol), (0, 27, true, protocol::TCP));
    assert_eq!((piece.ip_bytes, piece.macs, &bytes[piece.payload + 20..]), (47, Some(0), b"payload".as_slice()));
    bytes[20] = 0x40; // do not fragment
    assert!(read(&bytes, link::types::ETHERNET).is_ok());
}

/// An IPv6 packet: fixed header, extension headers as given, UDP.
fn ipv6_chain(first: u8, extensions: &[u8]) -> Vec<u8> {
    let udp = [0, 53, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
    let len = (extensions.len() + udp.len()) as u16;
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(&[first, 64]);
    bytes.extend_from_slice(&[1; 16]);
    bytes.extend_from_slice(&[2; 16]);
    bytes.extend_from_slice(extensions);
    bytes.extend_from_slice(&udp);
    bytes
}

#[test]
fn ipv6_extension_headers_are_walked() {
    // Hop-by-hop, destination options, routing, authentication (its length counts four-byte units), then UDP.
    let chain = [
        [60, 0, 0, 0, 0, 0, 0, 0].as_slice(),
        &[43, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[51, 0, 0, 0, 0, 0, 0, 0],
        &[17, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let bytes = ipv6_chain(0, &chain);
    let segment = read(&bytes, link::types::RAW).unwrap();
    assert_eq!((segment.key.protocol(), segment.payload_len), (protocol::UDP, 4));
    // An atomic fragment is whole, a real one is not.
    let atomic = ipv6_chain(44, &[17, 0, 0, 0, 0, 0, 0, 1]);
    assert!(read(&atomic, link::types::RAW).is_ok());
    let real = ipv6_chain(44, &[17, 0, 0, 1, 0, 0, 0, 1]);
    let real = piece(&real, link::types::RAW);
    assert_eq!((real.offset, real.len, real.more, real.protocol, real.id.number), (0, 12, true, protocol::UDP, 1));
    let endless = ipv6_chain(60, &[60, 0, 0, 0, 0, 0, 0, 0].repeat(40));
    assert_eq!(read(&endless, link::types::RAW).unwrap_err(), Reason::Ipv6Depth);
}

#[test]
fn a_ping_and_its_echo_are_one_flow() {
    let icmp = |kind: u8, from: u8, to: u8| {
        let mut bytes = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, from, 10, 0, 0, to];
        bytes.extend_from_slice(&[kind, 0, 0, 0, 0, 1, 0, 1]);
        read(&bytes, link::types::RAW).unwrap()
    };
    let (ask, echo) = (icmp(8, 1, 2), icmp(0, 2, 1));
    assert_eq!(ask.key, echo.key);
    assert_ne!(ask.from_low, echo.from_low);
    let (error, other_way) = (icmp(3, 1, 2), icmp(3, 2, 1));
    assert_ne!(error.key, other_way.key);
    assert_eq!(error.key.address_words(), other_way.key.address_words());
}

proptest! {
    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), link in 0u16..300) {
        let _ = decode(&bytes, &packet(&bytes, LinkType(link)), 1);
    }

    // Whatever the bytes behind a plausible front: etherparse and we see the same.
    #[test]
    fn agrees_with_etherparse(
        front in prop::sample::select(vec![0x45u8, 0x46, 0x60, 0x4f]),
        next in prop::sample::select(vec![6u8, 17, 1, 58, 0, 43, 60]),
        mut bytes in prop::collection::vec(any::<u8>(), 40..160),
    ) {
        bytes[0] = front;
        if front >> 4 == 4 {
            let len = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[6] &= 0x40;
            bytes[7] = 0;
            bytes[9] = next;
        } else {
            let len = bytes.len() as u16 - 40;
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
            bytes[6] = next;
        }
        let ours = read(&bytes, link::types::RAW);
        let Ok(theirs) = SlicedPacket::from_ip(&bytes) else { return Ok(()) };
        let (Some(transport), Some(net)) = (theirs.transport, theirs.net) else { return Ok(()) };
        let (from, to): (IpAddr, IpAddr) = match &net {
            NetSlice::Ipv4(v4) => (v4.header().source_addr().into(), v4.header().destination_addr().into()),
            NetSlice::Ipv6(v6) => (v6.header().source_addr().into(), v6.header().destination_addr().into()),
            _ => return Ok(()),
        };
        match transport {
            TransportSlice::Tcp(tcp) => {
                let ours = ours.unwrap();
                prop_assert_eq!(addresses(&ours), (from, tcp.source_port(), to, tcp.destination_port()));
                prop_assert_eq!((ours.seq, ours.ack), (tcp.sequence_number(), tcp.acknowledgment_number()));
                prop_assert_eq!(ours.payload_len as usize, tcp.payload().len());
            }
            TransportSlice::Udp(udp) => {
                let ours = ours.unwrap();
                prop_assert_eq!(addresses(&ours), (from, udp.source_port(), to, udp.destination_port()));
                prop_assert_eq!(ours.payload_len as usize, udp.payload().len());
            }
            _ => {}
        }
    }
}

/// The IP packet of [`tcp_packet`].
fn inner() -> Vec<u8> {
    tcp_packet(0, false, b"payload")[14..].to_vec()
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 198, 51, 100, 1, 198, 51, 100, 2];
    bytes.extend_from_slice(payload);
    let len = bytes.len() as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() + 8) as u16;
    let [p, q] = port.to_be_bytes();
    let [l, m] = len.to_be_bytes();
    ipv4(17, &[&[0xc0, 0, p, q, l, m, 0, 0], payload].concat())
}

#[test]
fn a_frame_without_ip_ends_where_its_length_says() {
    let with = |kind: [u8; 2], tag: &[u8]| {
        let mut bytes = [&[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 2], tag, &kind, b"payload"].concat();
        bytes.resize(60, 0);
        bytes
    };
    let payload = |bytes: &[u8]| {
        let segment = frame(bytes, &packet(bytes, link::types::ETHERNET), 1).unwrap();
        let end = segment.payload + segment.payload_len as usize;
        (segment.key.endpoint(false).1, bytes[segment.payload..end].to_vec())
    };
    assert_eq!(payload(&with([0, 7], &[])), (0, b"payload".to_vec()));
    assert_eq!(payload(&with([0, 7], &[0x81, 0, 0, 5])), (0, b"payload".to_vec()));
    // A length beyond the frame is no reason to read beyond it; an EtherType says nothing of the length.
    assert_eq!(payload(&with([5, 0], &[])).1.len(), 60 - 14);
    assert_eq!(payload(&with([0x88, 0xcc], &[])), (0x88cc, with([0x88, 0xcc], &[])[14..].to_vec()));
}

/// Every packet of the fixtures: the fast path gives what the layers give, or nothing.
#[test]
fn the_fast_path_agrees_with_the_layers_on_every_fixture() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let names = ["demo", "tls", "http", "dns", "flow", "capture", "tunnel"]
        .map(|dir| fixtures.join(dir).to_str().unwrap().to_owned());
    let mut inputs = crate::capture::Inputs::open(&names, None).unwrap();
    let (mut plain, mut all) = (0, 0);
    while let Some(block) = crate::capture::Source::next_block(&mut inputs) {
        for packet in &block.packets {
            all += 1;
            if let Some(segment) = fast::decode(block.bytes.as_slice(), packet, all) {
                plain += 1;
                assert_eq!(Ok(segment), by_layers(block.bytes.as_slice(), packet, all), "{} {packet:?}", block.input);
            }
        }
    }
    assert!(plain * 2 > all, "only {plain} of {all} packets are plain");
}

proptest! {
    #[test]
    fn the_fast_path_agrees_with_the_layers_on_mutated_packets(
        vlans in 0usize..3,
        v6: bool,
        udp_port in prop::option::of(prop::sample::select(vec![53u16, 443, 2152, 4754, 4789, 6081])),
        payload in prop::collection::vec(any::<u8>(), 0..80),
        changes in prop::collection::vec((0usize..80, any::<u8>()), 0..3),
        padding in 0usize..8,
        cut in 0usize..60,
    ) {
        let mut bytes = match udp_port {
            Some(port) => {
                let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
                frame.extend(ipv4(17, &udp(port, &payload)));
                frame
            }
            None => tcp_packet(vlans, v6, &payload),
        };
        bytes.resize(bytes.len() + padding, 0);
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        let original = bytes.len() as u32;
        bytes.truncate(bytes.len().saturating_sub(cut));
        let packet = Packet { original, ..packet(&bytes, link::types::ETHERNET) };
        if let Some(segment) = fast::decode(&bytes, &packet, 1) {
            prop_assert_eq!(Ok(segment), by_layers(&bytes, &packet, 1));
        }
    }
}
