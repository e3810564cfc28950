//! Every packet is valid to `etherparse`, every hello readable by `tls-parser`; the bytes are the same everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use sha2::{Digest, Sha256};
use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_client_hello_extensions, parse_tls_plaintext,
};

use super::certificate;
use super::hello::{SHAPES, Shape};
use super::network::VENDOR_NAMES;
use super::random::Random;
use super::tls;
use super::{Size, Workload, image};

const SEED: u64 = 7;

/// The packets of an image; its headers are checked on the way.
fn packets(image: &[u8]) -> Vec<&[u8]> {
    assert_eq!(&image[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0], "nanoseconds, little-endian, version 2.4");
    assert_eq!(&image[20..24], [1, 0, 0, 0], "Ethernet");
    let number = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
    let (mut found, mut at, mut before) = (Vec::new(), 24, (0, 0));
    while at < image.len() {
        let time = (number(at), number(at + 4));
        assert!(time >= before && time.1 < 1_000_000_000, "time runs on");
        before = time;
        let length = number(at + 8);
        assert_eq!(length, number(at + 12));
        found.push(&image[at + 16..at + 16 + length as usize]);
        at += 16 + length as usize;
    }
    found
}

fn small_image(workload: Workload, packets: u64) -> Vec<u8> {
    image(workload, Size::Packets(packets), SEED)
}

/// Both addresses and ports of a packet, sorted, and its protocol.
fn flow(packet: &[u8]) -> Option<(u8, [(IpAddr, u16); 2])> {
    let sliced = SlicedPacket::from_ethernet(packet).unwrap();
    let [source, target]: [IpAddr; 2] = match sliced.net? {
        NetSlice::Ipv4(ip) => [ip.header().source_addr().into(), ip.header().destination_addr().into()],
        NetSlice::Ipv6(ip) => [ip.header().source_addr().into(), ip.header().destination_addr().into()],
        NetSlice::Arp(_) => return None,
    };
    let (protocol, ports) = match sliced.transport? {
        TransportSlice::Tcp(tcp) => (6, [tcp.source_port(), tcp.destination_port()]),
        TransportSlice::Udp(udp) => (17, [udp.source_port(), udp.destination_port()]),
        _ => (1, [0, 0]),
    };
    let mut ends = [(source, ports[0]), (target, ports[1])];
    ends.sort_unstable();
    Some((protocol, ends))
}

#[test]
fn every_packet_is_valid_with_its_checksums() {
    for workload in Workload::ALL {
        let image = small_image(workload, 20_000);
        let mut seen = BTreeSet::new();
        for packet in packets(&image) {
            assert!((60..=1514).contains(&packet.len()), "{workload}: {} bytes", packet.len());
            let sliced = SlicedPacket::from_ethernet(packet).unwrap();
            match (sliced.net.unwrap(), sliced.transport) {
                (NetSlice::Arp(_), _) => _ = seen.insert("arp"),
                (NetSlice::Ipv4(ip), Some(transport)) => {
                    let header = ip.header();
                    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
                    let (from, to) = (header.source(), header.destination());
                    let (given, right, name) = match transport {
                        TransportSlice::Tcp(tcp) => (tcp.checksum(), tcp.calc_checksum_ipv4(from, to).unwrap(), "tcp4"),
                        TransportSlice::Udp(udp) => {
                            let header = udp.to_header();
                            let right = header.calc_checksum_ipv4_raw(from, to, udp.payload()).unwrap();
                            (udp.checksum(), right, "udp4")
                        }
                        TransportSlice::Icmpv4(icmp) => {
                            (icmp.checksum(), icmp.icmp_type().calc_checksum(icmp.payload()), "icmp4")
                        }
                        other => panic!("{other:?} in IPv4"),
                    };
                    assert_eq!(given, right, "{workload}: {name}");
                    seen.insert(name);
                }
                (NetSlice::Ipv6(ip), Some(transport)) => {
                    let (from, to) = (ip.header().source(), ip.header().destination());
                    let (given, right, name) = match transport {
                        TransportSlice::Tcp(tcp) => (tcp.checksum(), tcp.calc_checksum_ipv6(from, to).unwrap(), "tcp6"),
                        TransportSlice::Udp(udp) => {
                            let header = udp.to_header();
                            let right = header.calc_checksum_ipv6_raw(from, to, udp.payload()).unwrap();
                            (udp.checksum(), right, "udp6")
                        }
                        TransportSlice::Icmpv6(icmp) => {
                            assert!(icmp.is_checksum_valid(from, to));
                            (0, 0, "icmp6")
                        }
                        other => panic!("{other:?} in IPv6"),
                    };
                    assert_eq!(given, right, "{workload}: {name}");
                    seen.insert(name);
                }
                (_, None) => panic!("{workload}: no transport"),
            }
        }
        let expected: &[&str] = match workload {
            Workload::Mixed => &["arp", "icmp4", "icmp6", "tcp4", "tcp6", "udp4", "udp6"],
            Workload::Churn => &["tcp4", "tcp6"],
            Workload::Small | Workload::Flows10M => &["tcp4", "udp4"],
            Workload::Elephants | Workload::Hostile => &["tcp4"],
        };
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected, "{workload}");
    }
}

/// A change here is a change of what every number was measured on: raise the version of the traffic and say so in the
/// changelog.
#[test]
fn the_bytes_are_the_same_everywhere() {
    let known = [
        (Workload::Mixed, "03b40a1c705b40ffb794bfdce694ef6c2d051866dad404be40385760c029cc2b"),
        (Workload::Elephants, "fa7913f99436f72518c7c6004013da6b4c66996d3950a65d29549a5e584e7571"),
        (Workload::Churn, "8171a024cf95ced15934854ca67701ba9c6412f61a8e82c215fa9bc4ac9f42df"),
        (Workload::Small, "afc47881aad10fcd6dcf0a51157c4c7eeecef530bf1e46a235aa0520a36cf6ee"),
        (Workload::Flows10M, "0e75caa2a464943559ded97c134701868e7650b471f6d8267604f058273f4390"),
        (Workload::Hostile, "a9ce746be0f6faf8b724c5721e8ba24feebe915ade4798ade6b550f15e3bb42c"),
    ];
    let found = known.map(|(workload, _)| {
        let digest = Sha256::digest(small_image(workload, 5_000));
        (workload, digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    });
    for ((workload, digest), (_, expected)) in found.iter().zip(known) {
        assert_eq!(digest, expected, "{workload}: {found:#?}");
    }
}

#[test]
fn another_seed_is_other_traffic() {
    for workload in Workload::ALL {
        assert_ne!(image(workload, Size::Packets(500), 1), image(workload, Size::Packets(500), 2), "{workload}");
    }
}

#[test]
fn the_workloads_are_what_they_say() {
    let mean = |packets: &[&[u8]]| packets.iter().map(|p| p.len()).sum::<usize>() / packets.len();
    let flows = |packets: &[&[u8]]| {
        let mut flows = BTreeMap::new();
        packets.iter().filter_map(|p| flow(p)).for_each(|key| *flows.entry(key).or_insert(0_usize) += 1);
        flows
    };
    let within = |what: &str, value: usize, low: usize, high: usize| {
        assert!((low..=high).contains(&value), "{what}: {value}");
    };

    let image = small_image(Workload::Mixed, 100_000);
    let all = packets(&image);
    within("packets", all.len(), 99_900, 101_000);
    within("mixed: bytes a packet", mean(&all), 335, 365);
    within("mixed: packets a flow", all.len() / flows(&all).len(), 18, 24);

    let image = small_image(Workload::Elephants, 60_000);
    let all = packets(&image);
    within("elephants: bytes a packet", mean(&all), 1_430, 1_460);
    within("elephants: flows", flows(&all).len(), super::elephants::FLOWS, super::elephants::FLOWS);

    let image = small_image(Workload::Churn, 40_000);
    let all = packets(&image);
    let by_flow = flows(&all);
    within("churn: flows", by_flow.len(), 4_995, 5_000);
    within("churn: most packets of one", *by_flow.values().max().unwrap(), 8, 16);
    let hosts: BTreeSet<IpAddr> = by_flow.keys().flat_map(|(_, ends)| ends.map(|(address, _)| address)).collect();
    within("churn: hosts", hosts.len(), 4_000, 10_000);

    let image = small_image(Workload::Small, 80_000);
    let all = packets(&image);
    assert!(all.iter().all(|packet| packet.len() == super::small::PACKET_BYTES));
    within("small: flows", flows(&all).len(), super::small::FLOWS - 10, super::small::FLOWS);

    let image = small_image(Workload::Flows10M, 50_000);
    let all = packets(&image);
    let by_flow = flows(&all);
    within("flows-10m: flows", by_flow.len(), 40_000, 40_000);
    assert!(by_flow.values().all(|&n| n == 1 || n == 2));
    assert_eq!(super::flows::flows(Workload::Flows10M.amount(Size::Full).0), 10_000_000);
}

/// A hello of a shape in a record.
fn hello(shape: &Shape, name: &str, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    tls::record(&mut bytes, tls::HANDSHAKE, 0x0301, |out| shape.write(name, random, out));
    bytes
}

#[test]
fn tls_parser_reads_every_hello() {
    let mut random = Random::new(SEED);
    for shape in SHAPES {
        for _ in 0..40 {
            let bytes = hello(shape, "www.lotus0.example", &mut random);
            let (rest, record) = parse_tls_plaintext(&bytes).unwrap();
            assert!(rest.is_empty() && record.msg.len() == 1);
            let TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) = &record.msg[0] else {
                panic!("{}: not a hello", shape.name)
            };
            let (rest, extensions) = parse_tls_client_hello_extensions(hello.ext.unwrap()).unwrap();
            assert!(rest.is_empty(), "{}", shape.name);
            let name = extensions.iter().find_map(|e| match e {
                TlsExtension::SNI(names) => Some(names[0].1),
                _ => None,
            });
            assert_eq!(name, Some(&b"www.lotus0.example"[..]), "{}", shape.name);
            let offers_13 = extensions.iter().any(
                |e| matches!(e, TlsExtension::SupportedVersions(versions) if versions.iter().any(|v| v.0 == 0x0304)),
            );
            assert_eq!(offers_13, shape.tls13, "{}", shape.name);
            assert_eq!(shape.is_small(), bytes.len() <= 1_000, "{}: {} bytes", shape.name, bytes.len());
        }
    }
}

#[test]
fn certificates_parse_and_name_their_host() {
    let chain = certificate::chain("www.harbour3.example", &mut Random::new(SEED));
    assert_eq!(chain.len(), 2);
    let leaf = x509_parser::parse_x509_certificate(&chain[0]).unwrap().1;
    let issuer = x509_parser::parse_x509_certificate(&chain[1]).unwrap().1;
    assert_eq!(leaf.subject().to_string(), "CN=www.harbour3.example");
    assert_eq!(leaf.issuer(), issuer.subject());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 3);
    let total: usize = chain.iter().map(Vec::len).sum();
    assert!((1_400..2_400).contains(&total), "{total} bytes");
}

#[test]
fn the_signatures_know_the_vendors_names() {
    let signatures = crate::signature::Signatures::builtin().unwrap();
    let places = crate::place::Places::builtin();
    let policy = crate::policy::Policy::new(None, None, None).unwrap();
    for name in VENDOR_NAMES {
        let known = crate::scan::place_of(name, &signatures, &places, &policy);
        assert!(!known.contains("no signature knows"), "{known}");
    }
}
