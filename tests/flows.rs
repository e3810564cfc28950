//! Flows begin and end by their own packets: keys, sides, counters, idle rules, budget.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use bordertap::fact::{Flag, Side};
use bordertap::flow::expiry::{OTHER_IDLE_SECONDS, TCP_CLOSED_SECONDS, TCP_IDLE_SECONDS};
use bordertap::parse::dns;
use common::conversation::{Conversation, From};
use common::packets::{ACK, Endpoint, Packet, datagram};
use common::pipeline::{flows, flows_within, texts};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_790_000_000 * SECOND;
const ROUND_TRIP: u64 = 20_000_000;

fn client(port: u16) -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", port)
}

fn server() -> Endpoint {
    Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 8443)
}

fn talk(port: u16, start: u64) -> Conversation {
    Conversation::new(client(port), server(), start, ROUND_TRIP)
}

#[test]
fn both_directions_are_one_flow_with_its_sides_and_sums() {
    let mut t = talk(50_000, START);
    t.open().send(From::Client, &[7; 3000]).send(From::Server, &[9; 500]).close();
    let packets = t.packets();
    let all = flows(&packets);
    assert_eq!(all.len(), 1);
    let flow = &all[0];
    assert_eq!(flow.endpoint(Side::Source), ("10.0.0.1".parse().unwrap(), 50_000));
    assert_eq!(flow.endpoint(Side::Destination), ("203.0.113.9".parse().unwrap(), 8443));
    assert_eq!(flow.packets.iter().sum::<u64>(), packets.len() as u64);
    // Sums of the total length fields, read here by hand.
    let total = |mac: [u8; 6]| -> u64 {
        let of = packets.iter().filter(|p| p.bytes[6..12] == mac);
        of.map(|p| u64::from(u16::from_be_bytes([p.bytes[16], p.bytes[17]]))).sum()
    };
    assert_eq!(flow.bytes, [total([2, 0, 0, 0, 0, 1]), total([2, 0, 0, 0, 0, 2])]);
    assert_eq!(flow.macs, Some([[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]]));
    assert_eq!((flow.first.0 as u64, flow.last.0 as u64), (START, packets.last().unwrap().time));
    assert_eq!(flow.missing, [0, 0]);
    assert_eq!(flow.facts.flags.names().count(), 0, "{:?}", flow.facts.flags.names().collect::<Vec<_>>());
}

#[test]
fn the_one_who_answers_a_syn_did_not_open() {
    let mut t = talk(50_000, START);
    t.open().close();
    // The SYN was lost before the sensor.
    let packets = t.packets().split_off(1);
    let flow = flows(&packets).remove(0);
    assert_eq!(flow.endpoint(Side::Source).1, 50_000);
}

#[test]
fn a_new_syn_after_the_end_is_a_new_flow() {
    let mut first = talk(50_000, START);
    first.open().send(From::Client, b"one").close();
    let mut second = talk(50_000, START + 5 * SECOND).with_sequence(77);
    second.open().send(From::Client, b"two").close();
    let packets = [first.packets(), second.packets()].concat();
    assert_eq!(flows(&packets).len(), 2);
}

#[test]
fn late_packets_still_belong_to_a_closed_flow_and_later_ones_do_not() {
    let late = |after: u64| {
        let mut t = talk(50_000, START);
        t.open().send(From::Client, b"one").close();
        let at = t.now() + after;
        t.put_raw(From::Server, at, 0, ACK, b"");
        flows(&t.packets()).len()
    };
    assert_eq!(late(SECOND), 1);
    assert_eq!(late((TCP_CLOSED_SECONDS as u64 - 1) * SECOND), 1);
    assert_eq!(late((TCP_CLOSED_SECONDS as u64 + 1) * SECOND), 2);
}

#[test]
fn silence_ends_a_flow_only_by_its_own_next_packet() {
    let silent = |seconds: i64| {
        let mut t = talk(50_000, START);
        t.open().send(From::Client, b"one");
        let at = t.now() + seconds as u64 * SECOND;
        t.put_raw(From::Client, at, 0, ACK, b"two");
        let mut packets = t.packets();
        // Packets of another flow in between change nothing.
        let mut other = talk(50_001, START + seconds as u64 * SECOND / 2);
        other.open().close();
        packets.extend(other.packets());
        packets.sort_by_key(|p| p.time);
        flows(&packets).iter().filter(|f| f.endpoint(Side::Source).1 == 50_000).count()
    };
    assert_eq!(silent(TCP_IDLE_SECONDS - 1), 1);
    assert_eq!(silent(TCP_IDLE_SECONDS + 1), 2);
    let datagrams = |seconds: i64| {
        let at = |time| datagram(time, client(50_000), server(), &[], b"hello");
        flows(&[at(START), at(START + seconds as u64 * SECOND)]).len()
    };
    assert_eq!(datagrams(OTHER_IDLE_SECONDS - 1), 1);
    assert_eq!(datagrams(OTHER_IDLE_SECONDS + 1), 2);
}

#[test]
fn time_that_runs_backwards_ends_nothing() {
    let mut t = talk(50_000, START);
    t.open().send(From::Client, b"one");
    let before = START - 100 * 24 * 3600 * SECOND;
    t.put_raw(From::Server, before, 0, ACK, b"");
    let all = flows(&t.packets());
    assert_eq!(all.len(), 1);
    assert!(all[0].last.0 as u64 > START);
}

#[test]
fn a_repeated_syn_is_the_same_flow() {
    let mut t = talk(50_000, START);
    t.attempt();
    t.put_raw(From::Client, START + SECOND, -1, 2, b"");
    t.put_raw(From::Client, START + 3 * SECOND, -1, 2, b"");
    let all = flows(&t.packets());
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].packets, [3, 0]);
    assert!(all[0].facts.flags.has(Flag::OneSided));
}

#[test]
fn payload_that_never_came_by_is_estimated() {
    let mut t = talk(50_000, START);
    t.open().send(From::Client, &[1; 14_600]).send(From::Server, &[2; 2000]).close();
    let mut packets = t.packets();
    assert_eq!(flows(&packets)[0].missing, [0, 0]);
    // The sensor loses the third segment of the client; the server acknowledges it all the same.
    let lost = packets.iter().enumerate().filter(|(_, p)| p.bytes.len() > 1000).nth(2).unwrap().0;
    packets.remove(lost);
    assert_eq!(flows(&packets)[0].missing, [1460, 0]);
}

#[test]
fn a_budget_is_kept_by_giving_up_the_quietest_and_saying_so() {
    let packets: Vec<Packet> = (0..40_000u64)
        .map(|n| {
            let from = Endpoint::new([2, 0, 0, 0, 0, 1], &format!("10.{}.{}.1", n / 250 % 250, n % 250), 4000);
            datagram(START + n * 1000, from, server(), &[], b"x")
        })
        .collect();
    let (all, evicted) = flows_within(&packets, 4 << 20);
    assert!(evicted > 1000, "{evicted}");
    assert_eq!(all.len(), 40_000, "every flow has its record");
    let flagged = all.iter().filter(|f| f.facts.flags.has(Flag::Evicted)).count();
    assert_eq!(flagged as u64, evicted);
    assert_eq!(all.iter().map(|f| f.packets[0] + f.packets[1]).sum::<u64>(), 40_000);
    // With room for all nothing is given up.
    assert_eq!(flows_within(&packets, 1 << 30).1, 0);
}

#[test]
fn a_resolver_flow_without_end_loses_no_question() {
    let from = Endpoint::new([2, 0, 0, 0, 0, 1], "10.0.0.1", 5353);
    let to = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 53);
    let question = |n: u16| {
        let mut message = vec![(n >> 8) as u8, n as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let label = format!("host{n}");
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
        message.extend_from_slice(b"\x07example\x00\x00\x01\x00\x01");
        message
    };
    let packets: Vec<Packet> =
        (0..500u16).map(|n| datagram(START + u64::from(n) * 1000, from, to, &[], &question(n))).collect();
    let all = flows(&packets);
    let mut names: Vec<String> = all.iter().flat_map(|f| texts(f, &dns::QNAME)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 500);
    assert!(all.iter().all(|f| !f.facts.flags.has(Flag::LimitReached)));
    assert!(all.len() < 30, "{} flows", all.len());
}

#[test]
fn a_claim_of_datagrams_that_is_given_back_leaves_no_name() {
    let nat = Endpoint::new([2, 0, 0, 0, 0, 2], "203.0.113.9", 4500);
    let cipher: Vec<u8> = (0_u8..40).map(|n| n.wrapping_mul(37)).collect();
    let esp = [&[0xcb, 0xb7, 0xa0, 0xc6, 0, 0, 0, 7][..], &cipher].concat();
    let send = |n: u64, payload: &[u8]| datagram(START + n * SECOND, client(50_000), nat, &[], payload);
    let flow = flows(&[send(0, &esp), send(1, &esp)]).remove(0);
    assert_eq!(flow.protocol, Some("ike"));
    let flow = flows(&[send(0, &esp), send(1, b"no ESP at all")]).remove(0);
    assert_eq!(flow.protocol, None);
}
