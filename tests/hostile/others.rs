//! Other tools, and other ways to run.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bordertap::again::{Named, merge};
use bordertap::capture::{Inputs, Replay};
use bordertap::report::{Report, jsonl};
use bordertap::scan::Scan;

use crate::common::capture::pcap;
use crate::common::conversation::{Conversation, From};
use crate::common::demo;
use crate::common::hostile;
use crate::common::messages::{self, Answer, TYPE_A};
use crate::common::packets::{self, Endpoint, Packet};
use crate::common::random::Random;
use crate::common::sensors::START;
use crate::common::tls::{self, Version};

/// Findings and assets as they are written.
fn written(report: &Report) -> Vec<u8> {
    assert!(report.ledger.adds_up());
    let mut out = Vec::new();
    jsonl::lines(&report.findings, &mut out).unwrap();
    jsonl::lines(&report.assets, &mut out).unwrap();
    out
}

fn scan(workers: usize) -> Scan {
    Scan { workers, mergeable: true, ..Scan::builtin().unwrap() }
}

fn scanned(packets: &[Packet], workers: usize) -> Report {
    let mut source = Replay::new(vec![("image".into(), Arc::new(pcap(true, packets)))], 1);
    scan(workers).run(&mut source, &["image".to_owned()], &|_, _| {}).report
}

/// The demonstration, and an appliance that is told names nobody wants.
fn everything() -> Vec<Packet> {
    let mut packets = [demo::packets(), hostile::packets()].concat();
    packets.sort_by_key(|packet| packet.time);
    packets
}

fn first_difference(a: &[u8], b: &[u8]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
    let around =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..bytes.len().min(at + 80)]).into_owned();
    format!("{} and {} bytes; at {at}:\n{}\n{}", a.len(), b.len(), around(a), around(b))
}

/// Any number of workers writes the same bytes.
#[test]
fn row_47_any_number_of_workers_writes_the_same() {
    let packets = everything();
    let expected = written(&scanned(&packets, 1));
    assert!(expected.iter().filter(|byte| **byte == b'\n').count() > 20);
    for workers in 2..=32 {
        let report = written(&scanned(&packets, workers));
        assert!(report == expected, "{workers} workers: {}", first_difference(&expected, &report));
    }
}

/// Files may be named in any order, and be cut at any packet.
#[test]
fn row_47b_files_in_any_order_say_the_same() {
    let packets = everything();
    let expected = written(&scanned(&packets, 1));
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(47);
    for parts in [2, 7, 23, 200] {
        let mut cuts: Vec<usize> = (1..parts).map(|_| 1 + random.below(packets.len() - 1)).collect();
        cuts.extend([0, packets.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let files = write_parts(folder.path(), &packets, &cuts);
        for round in 0..3 {
            let mut files = files.clone();
            random.shuffle(&mut files);
            let mut inputs = Inputs::open(&files, None).unwrap();
            let report = scan(1 + round).run(&mut inputs, &["image".to_owned()], &|_, _| {}).report;
            let report = written(&report);
            assert!(report == expected, "{parts} parts: {}", first_difference(&expected, &report));
        }
    }
}

fn write_parts(folder: &Path, packets: &[Packet], cuts: &[usize]) -> Vec<String> {
    let write = |(n, pair): (usize, &[usize])| {
        let path = folder.join(format!("part-{}-{n}.pcap", cuts.len()));
        fs::write(&path, pcap(true, &packets[pair[0]..pair[1]])).unwrap();
        path.to_str().unwrap().to_owned()
    };
    cuts.windows(2).enumerate().map(write).collect()
}

/// An appliance that resolves a name and goes there, twice, and a host that does not. No message is longer than a segment:
/// what lies across a cut in one message no report can bring together again.
fn short_messages() -> Vec<Packet> {
    let resolver = Endpoint::new([2, 0, 0, 0, 0, 9], "10.1.1.53", 53);
    let router = |address: &str| Endpoint::new([2, 0, 0, 0, 0, 2], address, 443);
    let mut packets = Vec::new();
    for n in 0..3u64 {
        let start = START + n * 700_000_000;
        let host = |port| Endpoint::new([2, 0, 0, 0, 0, 1], if n < 2 { "10.1.1.1" } else { "10.1.1.7" }, port);
        let name = if n < 2 { "usguardservice.fortinet.net" } else { "www.example.com" };
        let server = if n < 2 { "173.243.138.76" } else { "192.0.2.80" };
        let client = host(50_000 + n as u16);
        let answer = [Answer::Address(name, server.parse().unwrap())];
        let asks = host(40_000 + n as u16);
        packets.push(packets::datagram(start, asks, resolver, &[], &messages::dns_query(n as u16, name, TYPE_A)));
        let answer = messages::dns_response(n as u16, name, TYPE_A, &answer);
        packets.push(packets::datagram(start + 1_000_000, resolver, asks, &[], &answer));
        let mut flow = Conversation::new(client, router(server), start + 2_000_000, 20_000_000);
        flow.open();
        flow.send(From::Client, &tls::client_hello(Version::Tls13, Some(name)));
        flow.send(From::Server, &tls::server_hello(Version::Tls13));
        for n in 0..3 {
            flow.send(From::Client, &tls::application_data(Version::Tls13, 1000, n));
            flow.wait(300_000_000);
            flow.send(From::Server, &tls::application_data(Version::Tls13, 600, n));
        }
        flow.close();
        packets.extend(flow.packets());
    }
    packets.sort_by_key(|packet| packet.time);
    packets
}

/// Split at every packet, the reports of the two parts come to the report of the whole.
#[test]
fn row_47c_reports_of_parts_come_to_the_whole_wherever_it_is_split() {
    let packets = short_messages();
    let expected = written(&scanned(&packets, 1));
    assert!(expected.iter().filter(|byte| **byte == b'\n').count() >= 2);
    let judging = Scan::builtin().unwrap().judging;
    for at in 1..packets.len() {
        let (first, second) = packets.split_at(at);
        let named = |name: &str, part: &[Packet]| Named { name: name.to_owned(), report: scanned(part, 1 + at % 3) };
        let merged = merge(vec![named("second", second), named("first", first)], &judging).unwrap();
        let merged = written(&merged.report);
        assert!(merged == expected, "split at {at}: {}", first_difference(&expected, &merged));
    }
}
