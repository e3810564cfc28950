//! Fragments in a whole run: the same flows as without them, for any number of workers, and every packet in the ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use bordertap::capture::Replay;
use bordertap::fact::{Flag, Side};
use bordertap::ledger::Ledger;
use bordertap::parse::http;
use bordertap::record::FlowRecord;
use bordertap::run::{self, Settings};
use common::capture::pcap;
use common::conversation::{Conversation, From};
use common::packets::{Endpoint, Packet, datagram, ethernet, ip};
use common::pipeline::texts;
use common::random::Random;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_790_000_000 * SECOND;
const CLIENTS: u64 = 300;
const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;

/// The flows of a capture, sorted, and its ledger.
fn scan(packets: &[Packet], workers: usize) -> (Vec<FlowRecord>, Ledger) {
    let mut replay = Replay::new(vec![("image".into(), Arc::new(pcap(true, packets)))], 1);
    let settings =
        Settings { workers, memory: 1 << 30, packets_max: u64::MAX, vlans_apart: false, progress: &|_, _| {} };
    let done = run::run(&mut replay, &settings, Vec::new);
    assert_eq!(done.ledger.received, packets.len() as u64);
    assert!(done.ledger.adds_up(), "{:?}", done.ledger);
    let by_input: u64 = done.inputs.values().map(|[_, decoded]| decoded.0).sum();
    assert_eq!(by_input, done.ledger.decoded);
    let mut flows: Vec<FlowRecord> = done.gathered.into_iter().flatten().collect();
    flows.sort_by_key(|flow| (flow.key, flow.number));
    (flows, done.ledger)
}

/// Requests and answers of many clients, mixed.
fn talks() -> Vec<Packet> {
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 8080);
    let mut packets = Vec::new();
    for n in 0..CLIENTS {
        let address = format!("10.0.{}.{}", n / 250, 1 + n % 250);
        let client = Endpoint::new([2, 0, 0, 0, 0, 1], &address, 40_000);
        let mut talk = Conversation::new(client, server, START + n * 1_000_000, 20_000_000);
        let filler = "x".repeat(400 + 3 * n as usize);
        let request = format!("GET / HTTP/1.1\r\nHost: host{n}.example\r\nX-Filler: {filler}\r\n\r\n");
        talk.open().send(From::Client, request.as_bytes());
        talk.send(From::Server, b"HTTP/1.1 200 OK\r\nServer: test\r\nContent-Length: 0\r\n\r\n").close();
        packets.extend(talk.packets());
    }
    packets.sort_by_key(|packet| packet.time);
    packets
}

/// The fragments of an IPv4 packet in an Ethernet frame, of at most `most` bytes of payload each.
fn fragments(packet: &Packet, most: usize) -> Vec<Packet> {
    let (front, payload) = packet.bytes.split_at(ETHERNET_BYTES + IPV4_BYTES);
    let total = usize::from(u16::from_be_bytes([front[16], front[17]]));
    let payload = &payload[..total - IPV4_BYTES];
    let step = most / 8 * 8;
    let last = payload.len().saturating_sub(1) / step;
    let part = |n: usize| {
        let part = &payload[n * step..payload.len().min((n + 1) * step)];
        let mut bytes = [front, part].concat();
        bytes[16..18].copy_from_slice(&((IPV4_BYTES + part.len()) as u16).to_be_bytes());
        let field = (n * step / 8) as u16 | if n == last { 0 } else { 0x2000 };
        bytes[20..22].copy_from_slice(&field.to_be_bytes());
        Packet::new(packet.time, bytes)
    };
    if last == 0 { vec![packet.clone()] } else { (0..=last).map(part).collect() }
}

/// Every packet in fragments, in an order that a network could make of them.
fn torn(packets: &[Packet]) -> Vec<Packet> {
    let mut random = Random::new(7);
    let mut all: Vec<Packet> = packets.iter().flat_map(|packet| fragments(packet, 200)).collect();
    for at in 1..all.len() {
        // A few places, and now and then some more. Packets that came whole stay.
        let far = if random.next().is_multiple_of(50) { 60 } else { 4 };
        let other = at.saturating_sub((random.next() % far) as usize);
        let is_fragment = |packet: &Packet| packet.bytes[20] & 0x3f != 0 || packet.bytes[21] != 0;
        if is_fragment(&all[at]) && is_fragment(&all[other]) {
            all.swap(at, other);
        }
    }
    all
}

#[test]
fn flows_in_fragments_are_the_flows_and_no_number_of_workers_matters() {
    let packets = talks();
    let torn = torn(&packets);
    assert!(torn.len() > 4 * 1024, "{}", torn.len());
    let (whole, _) = scan(&packets, 1);
    let (one, ledger) = scan(&torn, 1);
    assert_eq!(ledger.decoded, packets.len() as u64, "{:?}", ledger.not_decoded);
    assert_eq!(ledger.not_decoded.keys().collect::<Vec<_>>(), ["fragment.joined"]);
    assert_eq!((whole.len(), one.len()), (CLIENTS as usize, CLIENTS as usize));
    for (n, (before, after)) in whole.iter().zip(&one).enumerate() {
        assert_eq!(texts(before, &http::HOST), texts(after, &http::HOST), "{n}");
        let sums = |flow: &FlowRecord| (flow.packets.iter().sum::<u64>(), flow.bytes.iter().sum::<u64>());
        let (more, bytes) = (sums(after).0 - sums(before).0, sums(after).1 - sums(before).1);
        // Each further fragment has a header of its own.
        assert_eq!(bytes, more * IPV4_BYTES as u64, "{n}");
        assert!(after.facts.flags.has(Flag::Fragmented) && !before.facts.flags.has(Flag::Fragmented));
        assert!(!after.facts.flags.has(Flag::FragConflict));
    }
    assert_eq!(one.iter().map(|flow| flow.packets.iter().sum::<u64>()).sum::<u64>(), torn.len() as u64);
    for workers in [2, 3, 8] {
        let (many, other) = scan(&torn, workers);
        assert_eq!(format!("{one:?}"), format!("{many:?}"), "{workers} workers");
        assert_eq!(ledger, other, "{workers} workers");
    }
}

#[test]
fn what_is_lost_repeated_or_forged_is_in_the_ledger() {
    let from = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 4000);
    let to = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 5000);
    let mut packets = Vec::new();
    for n in 0..600u64 {
        let whole = datagram(START + n * 1_000_000, from, to, &[], &[n as u8; 500]);
        let mut parts = fragments(&whole, 200);
        match n % 4 {
            0 => drop(parts.remove(1)),
            1 => parts.insert(2, parts[1].clone()),
            2 => {
                let mut forged = parts[1].clone();
                *forged.bytes.last_mut().unwrap() ^= 1;
                parts.insert(2, forged);
            }
            _ => {}
        }
        packets.extend(parts);
    }
    let (one, ledger) = scan(&packets, 1);
    let named = |name: &str| ledger.not_decoded.get(name).copied().unwrap_or(0);
    assert_eq!((ledger.decoded, named("fragment.incomplete"), named("fragment.duplicate")), (600, 150, 150));
    assert_eq!(named("fragment.joined"), 150 * 2 + 150 * 3 + 150 * 2);
    assert_eq!(one.len(), 1);
    assert!(one[0].facts.flags.has(Flag::FragConflict));
    // Of a datagram that lost a fragment the first one counts.
    assert_eq!(one[0].packets, [150 + 150 * 3 + 150 * 4 + 150 * 3, 0]);
    assert_eq!((one[0].endpoint(Side::Source).1, one[0].endpoint(Side::Destination).1), (4000, 5000));
    for workers in [2, 5] {
        let (many, other) = scan(&packets, workers);
        assert_eq!((format!("{one:?}"), &ledger), (format!("{many:?}"), &other));
    }
}

#[test]
fn tunnels_shard_by_what_is_inside() {
    // GRE between two ends, with the packets of many hosts inside, in fragments of theirs.
    let packets = torn(&talks());
    let outer = |packet: &Packet| {
        let total = usize::from(u16::from_be_bytes([packet.bytes[16], packet.bytes[17]]));
        let inner = &packet.bytes[ETHERNET_BYTES..ETHERNET_BYTES + total];
        let (from, to) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let gre = ip(from, to, 47, 1, &[&[0, 0, 8, 0][..], inner].concat());
        Packet::new(packet.time, ethernet([2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 4], &[], 0x0800, &gre))
    };
    let packets: Vec<Packet> = packets.iter().map(outer).collect();
    let (one, ledger) = scan(&packets, 1);
    assert_eq!(one.len(), CLIENTS as usize);
    assert!(one.iter().all(|flow| flow.tunnels.names().eq(["gre"]) && flow.macs.is_none()));
    let (many, other) = scan(&packets, 4);
    assert_eq!((format!("{one:?}"), ledger), (format!("{many:?}"), other));
}
