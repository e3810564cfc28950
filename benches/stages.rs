//! What each stage of the packet path costs, and the whole scan; what start-up costs, and what grows with what.
//!
//! In: made traffic (`bordertap::bench::traffic`), hellos of `fixtures/tls`. Out: criterion's times.
//! `cargo bench --bench stages -- NAME` runs the groups with that name. `BORDERTAP_BENCH_CAPTURE=FILE` runs the whole
//! scan over a capture of your own and nothing else.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "../tests/common/mod.rs"]
mod made;

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::time::Duration;

use bordertap::bench::traffic::Workload;
use bordertap::capture::{Inputs, LinkType, Packet};
use bordertap::decode::{self, Segment};
use bordertap::fact::{Facts, Seen, Side};
use bordertap::fingerprint::{ja3, ja4};
use bordertap::flow::key::protocol;
use bordertap::parse::tls::{self, certificate, hello::ClientHello};
use bordertap::parse::{Prefix, Transport};
use bordertap::place::Places;
use bordertap::record::FlowRecord;
use bordertap::report::flow::{self, Learnt};
use bordertap::scan::Scan;
use bordertap::signature::{FlowValues, Scratch, Signatures};
use bordertap::stream::Stream;
use bordertap::time::Time;
use bordertap::worker::{Gather, Judged, Told, Worker};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use common::{Image, MEMORY, PACKETS, Random, scan};
use made::der::{self, Part};
use made::tls as records;

/// Segments handed to a worker at a time, as a run does.
const STRIDE: usize = 64;
/// Bytes of record and handshake headers before the body of a message.
const HEADERS: usize = 5 + 4;

/// Ended flows go nowhere.
#[derive(Default)]
struct Nobody(u64);

impl Gather for Nobody {
    fn judge(&mut self, _: &FlowRecord) -> Judged {
        Judged { settled: true, ..Judged::default() }
    }

    fn take(&mut self, record: &FlowRecord, _: u32, _: &Told) {
        self.0 += record.packets[0];
    }
}

/// The capture of the user, if there is one.
fn own_capture() -> Option<String> {
    std::env::var("BORDERTAP_BENCH_CAPTURE").ok()
}

fn segments(image: &Image) -> Vec<Segment> {
    let packets = image.packets();
    packets.iter().zip(1..).filter_map(|(packet, number)| decode::decode(&image.0, packet, number).ok()).collect()
}

fn take<G: Gather>(worker: &mut Worker<G>, segments: &[Segment], bytes: &[u8]) {
    for chunk in segments.chunks(STRIDE) {
        worker.take(chunk, bytes);
    }
}

fn group<'a>(c: &'a mut Criterion, name: &str, samples: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sample_size(samples).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

/// Headers only.
fn decode_stage(c: &mut Criterion) {
    let mut group = group(c, "decode", 20);
    for workload in [Workload::Small, Workload::Mixed, Workload::Elephants] {
        let image = Image::new(workload, PACKETS);
        let packets = image.packets();
        group.throughput(Throughput::Elements(packets.len() as u64));
        group.bench_function(workload.name(), |b| {
            b.iter(|| packets.iter().filter(|packet| decode::decode(&image.0, black_box(packet), 1).is_ok()).count());
        });
    }
    group.finish();
}

/// Finding flows and counting; with `churn` also what parsers read.
fn flow_stage(c: &mut Criterion) {
    let mut group = group(c, "flow", 10);
    for (workload, name) in [(Workload::Small, "small, nothing to read"), (Workload::Churn, "churn, with parsers")] {
        let image = Image::new(workload, PACKETS);
        let segments = segments(&image);
        group.throughput(Throughput::Elements(segments.len() as u64));
        group.bench_function(name, |b| {
            b.iter_batched(
                || Worker::new(MEMORY, Nobody::default(), ()),
                |mut worker| {
                    take(&mut worker, &segments, &image.0);
                    worker.finish();
                    worker.gather.0
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// UDP frames of this many flows, one each, back to back.
fn datagrams(flows: u32) -> (Vec<u8>, Vec<Packet>) {
    const FRAME: usize = 60;
    let mut bytes = Vec::with_capacity(flows as usize * FRAME);
    let mut packets = Vec::with_capacity(flows as usize);
    for flow in 0..flows {
        let start = bytes.len();
        bytes.extend_from_slice(&[
            2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 17, 0, 0,
        ]);
        let [_, a, b, c] = flow.to_be_bytes();
        bytes.extend_from_slice(&[10, a, b, c, 203, 0, 113, 1, 0x9c, 0x40, 0x9c, 0x41, 0, 26, 0, 0]);
        bytes.resize(start + FRAME, 0x2a);
        packets.push(Packet { time: Time(1), start, captured: 60, original: 60, link: LinkType(1), interface: 0 });
    }
    (bytes, packets)
}

/// A packet of any of so many open flows.
fn open_flows(c: &mut Criterion) {
    let mut group = group(c, "flow by open flows", 10);
    group.throughput(Throughput::Elements(PACKETS));
    for flows in [1_000, 100_000, 1_000_000] {
        let (bytes, packets) = datagrams(flows);
        let all: Vec<Segment> = packets.iter().map(|packet| decode::decode(&bytes, packet, 1).unwrap()).collect();
        let mut worker = Worker::new(MEMORY, Nobody::default(), ());
        // Often enough that no parser wants to see more of any flow.
        for _ in 0..8 {
            take(&mut worker, &all, &bytes);
        }
        let mut random = Random(1);
        let picked: Vec<Segment> = (0..PACKETS).map(|_| all[random.below(all.len())]).collect();
        group.bench_function(BenchmarkId::from_parameter(flows), |b| b.iter(|| take(&mut worker, &picked, &bytes)));
        assert_eq!(worker.open_flows(), flows as usize, "no flow ended meanwhile");
    }
    group.finish();
}

/// A side of 6 KiB put in order.
fn stream_stage(c: &mut Criterion) {
    let bytes: Vec<u8> = (0..6_144_u32).map(|n| n as u8).collect();
    let pieces =
        |length: usize| bytes.chunks(length).enumerate().map(|(n, piece)| (n * length, piece)).collect::<Vec<_>>();
    let ordered = pieces(1_448);
    let mut backwards = ordered.clone();
    backwards.reverse();
    let mut shuffled = pieces(48);
    let mut random = Random(1);
    for at in (1..shuffled.len()).rev() {
        shuffled.swap(at, random.below(at + 1));
    }
    let mut group = group(c, "stream", 30);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for (name, pieces) in [("in order", &ordered), ("backwards", &backwards), ("128 pieces, shuffled", &shuffled)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut stream = Stream::default();
                stream.anchor(1_000);
                for &(offset, piece) in pieces {
                    stream.insert(1_000 + offset as u32, black_box(piece));
                }
                assert_eq!(stream.prefix().len(), bytes.len());
                stream
            });
        });
    }
    group.finish();
}

fn feed(side: Side, bytes: &[u8], facts: &mut Facts) {
    let mut parser = (tls::PROTOCOL.parser)(Transport::Tcp);
    parser.feed(side, Prefix { bytes, seen: Seen::default(), last: false, split: false }, facts);
}

/// Hellos read into facts, fingerprints among them.
fn tls_stage(c: &mut Criterion) {
    let mut group = group(c, "tls", 30);
    for (version, name) in [(records::Version::Tls12, "1.2"), (records::Version::Tls13, "1.3")] {
        let client = records::client_hello(version, Some("update.vendor.example"));
        let server = records::server_hello(version);
        for (side, bytes, who) in [(Side::Source, client, "client"), (Side::Destination, server, "server")] {
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            group.bench_function(format!("{who} hello {name}"), |b| {
                b.iter(|| {
                    let mut facts = Facts::default();
                    feed(side, black_box(&bytes), &mut facts);
                    assert!(!facts.is_empty());
                    facts
                });
            });
        }
    }
    group.finish();
}

/// JA3 and JA4 alone, and the reading of a hello they rest on.
fn fingerprints(c: &mut Criterion) {
    let record = records::client_hello(records::Version::Tls13, Some("update.vendor.example"));
    let body = &record[HEADERS..];
    let hello = ClientHello::parse(body).unwrap();
    let mut group = group(c, "fingerprint", 30);
    group.bench_function("hello parsed", |b| b.iter(|| ClientHello::parse(black_box(body)).is_ok()));
    let (offer3, offer4) = hello.offers(ja4::Transport::Tls);
    group.bench_function("ja3", |b| b.iter(|| ja3::ja3(black_box(&offer3))));
    group.bench_function("ja4", |b| b.iter(|| ja4::ja4(black_box(&offer4))));
    group.bench_function("ja3 and ja4, remembered", |b| {
        b.iter(|| black_box(&hello).fingerprints(ja4::Transport::Tls));
    });
    group.finish();
}

/// A chain of two, as a web server sends it.
fn certificates(c: &mut Criterion) {
    let root = [Part::Country("US"), Part::Organisation("Example Trust"), Part::CommonName("Example CA 3")];
    let issuer = [Part::Country("US"), Part::Organisation("Example Trust"), Part::CommonName("Example TLS 2024")];
    let subject = [
        Part::Country("US"),
        Part::State("California"),
        Part::Organisation("Vendor"),
        Part::Unit("Gateway"),
        Part::CommonName("update.vendor.example"),
    ];
    let names = ["update.vendor.example", "*.vendor.example", "vendor.example", "cdn.vendor.example"];
    let chain = [
        der::certificate(der::Certificate { subject: &subject, issuer: &issuer, names: &names, seed: 1 }),
        der::certificate(der::Certificate { subject: &issuer, issuer: &root, names: &[], seed: 2 }),
    ];
    let message = records::certificate(&chain);
    let body = &message[HEADERS..];
    let mut group = group(c, "certificate", 30);
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("chain of two", |b| {
        b.iter(|| {
            let mut facts = Facts::default();
            certificate::add_chain(black_box(body), Side::Destination, Seen::default(), &mut facts);
            assert!(facts.has(&tls::X509_SAN));
            facts
        });
    });
    group.finish();
}

/// What a hello with this server name leaves behind.
fn hello_facts(name: &str) -> (Facts, FlowValues) {
    let mut facts = Facts::default();
    feed(Side::Source, &records::client_hello(records::Version::Tls13, Some(name)), &mut facts);
    feed(Side::Destination, &records::server_hello(records::Version::Tls13), &mut facts);
    let destination = Ipv4Addr::new(203, 0, 113, 9).into();
    (facts, FlowValues { destination, protocol: protocol::TCP, port: 443, asn: None, ouis: [None; 2] })
}

fn bench_select(group: &mut BenchmarkGroup<'_, WallTime>, signatures: &Signatures, what: &str, hit: &str, miss: &str) {
    for (name, host, matches) in [("hit", hit, true), ("miss", miss, false)] {
        let (facts, values) = hello_facts(host);
        let mut scratch = Scratch::default();
        group.bench_function(format!("{what}{name}"), |b| {
            b.iter(|| {
                let hits = signatures.select(black_box(&facts), &values, &mut scratch).hits().len();
                assert_eq!(hits > 0, matches);
                hits
            });
        });
    }
}

/// The built-in signatures asked about one flow.
fn match_stage(c: &mut Criterion) {
    let signatures = Signatures::builtin().unwrap();
    let mut group = group(c, "match", 30);
    bench_select(&mut group, &signatures, "", "globalupdate.fortinet.net", "www.harbour3.example");
    group.finish();
}

/// A folder with so many entries of a vendor, each with two names of its own.
fn signature_folder(entries: usize) -> tempfile::TempDir {
    let mut text = "format = 1\nvendor = \"Made up\"\nchecked = 2026-01-01\n".to_owned();
    for n in 0..entries {
        write!(
            text,
            r#"
[[channel]]
id         = "made.channel-{n}"
product    = "Product {n}"
function   = "update"
data       = ["device-identity"]
data_basis = "vendor-document"
basis      = "vendor-document"
source     = ["a manual, page {n}"]
  [[channel.when]]
  host       = ["update{n}.made.example", ".cdn{n}.made.example"]
  region     = "US"
  confidence = 95
  [[channel.example]]
  tls.sni = "update{n}.made.example"
  region  = "US"
  [[channel.counterexample]]
  why     = "another name"
  tls.sni = "www{n}.made.example"
"#
        )
        .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("made.toml"), text).unwrap();
    folder
}

/// Thousands of names must cost a flow the same as ten.
fn by_signatures(c: &mut Criterion) {
    let mut group = group(c, "match by signatures", 10);
    for entries in [10, 1_000, 10_000] {
        let folder = signature_folder(entries);
        let signatures = Signatures::with_dir(folder.path()).unwrap();
        let hit = format!("a.cdn{}.made.example", entries / 2);
        bench_select(&mut group, &signatures, &format!("{entries}: "), &hit, "www.harbour3.example");
        group.bench_function(format!("{entries}: read and checked"), |b| {
            b.iter(|| Signatures::with_dir(folder.path()).unwrap().index.len());
        });
    }
    group.finish();
}

/// Countries of addresses from anywhere. AS numbers need a database that is not built in.
fn place_stage(c: &mut Criterion) {
    const ADDRESSES: usize = 4_096;
    let places = Places::builtin();
    let mut random = Random(1);
    let v4: Vec<IpAddr> = (0..ADDRESSES).map(|_| Ipv4Addr::from(random.next() as u32).into()).collect();
    let v6: Vec<IpAddr> = (0..ADDRESSES)
        .map(|_| {
            let low = u128::from(random.next());
            let high = u128::from(random.next() >> 3 | 1 << 61); // 2000::/3
            Ipv6Addr::from(high << 64 | low).into()
        })
        .collect();
    let mut group = group(c, "place", 30);
    group.throughput(Throughput::Elements(ADDRESSES as u64));
    for (name, addresses) in [("IPv4", v4), ("IPv6", v6)] {
        group.bench_function(format!("country, {name}"), |b| {
            b.iter(|| addresses.iter().filter(|&&address| places.country(address).is_some()).count());
        });
        group.bench_function(format!("everything known, {name}"), |b| {
            b.iter(|| addresses.iter().filter(|&&address| places.look_up(address).special.is_some()).count());
        });
    }
    group.finish();
}

/// Flow records written as JSON lines.
fn json_stage(c: &mut Criterion) {
    let mut group = group(c, "json", 20);
    for workload in [Workload::Churn, Workload::Small] {
        let image = Image::new(workload, PACKETS / 10);
        let mut worker = Worker::new(MEMORY, Vec::new(), ());
        take(&mut worker, &segments(&image), &image.0);
        worker.finish();
        let flows: Vec<FlowRecord> = worker.gather;
        let (mut writer, mut line) = (flow::Writer::new(), Vec::new());
        group.throughput(Throughput::Elements(flows.len() as u64));
        group.bench_function(format!("flows of {workload}"), |b| {
            b.iter(|| {
                let mut written = 0;
                for record in &flows {
                    line.clear();
                    writer.write(black_box(record), &Learnt::default(), &mut line);
                    written += line.len();
                }
                written
            });
        });
    }
    group.finish();
}

fn findings(scan: &Scan, source: &mut dyn bordertap::capture::Source) -> usize {
    scan.run(source, &[], &|_, _| {}).report.findings.len()
}

/// Everything, from packets to findings.
fn whole_scan(c: &mut Criterion) {
    let mut group = group(c, "scan", 10);
    if let Some(name) = own_capture() {
        let names = [name];
        for workers in [1, 2] {
            let scan = scan(workers);
            let open = || Inputs::open(&names, None).unwrap();
            let ledger = scan.run(&mut open(), &[], &|_, _| {}).report.ledger;
            group.throughput(Throughput::Elements(ledger.received));
            group.bench_function(format!("own capture, {workers} workers"), |b| {
                b.iter_batched(open, |mut source| findings(&scan, &mut source), BatchSize::PerIteration);
            });
        }
        return group.finish();
    }
    for workload in [Workload::Mixed, Workload::Churn, Workload::Elephants] {
        let image = Image::new(workload, PACKETS);
        group.throughput(Throughput::Elements(image.packets().len() as u64));
        for workers in [1, 2] {
            let scan = scan(workers);
            group.bench_function(format!("{workload}, {workers} workers"), |b| {
                b.iter_batched(|| image.source(), |mut source| findings(&scan, &mut source), BatchSize::PerIteration);
            });
        }
    }
    group.finish();
}

/// What is done before the first packet.
fn start_up(c: &mut Criterion) {
    let mut group = group(c, "start-up", 10);
    group.bench_function("signatures", |b| b.iter(|| Signatures::builtin().unwrap().index.len()));
    // The country database is made ready once in a process: only a new one tells what that costs.
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("few.pcap");
    std::fs::write(&capture, &*Image::new(Workload::Small, 10).0).unwrap();
    group.bench_function("the program and ten packets", |b| {
        b.iter(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_bordertap"));
            command.args(["scan", "-j1", "-q", "--json", "/dev/null"]).arg(&capture);
            assert!(command.stdout(Stdio::null()).status().unwrap().success());
        });
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    whole_scan(c);
    if own_capture().is_some() {
        return;
    }
    decode_stage(c);
    flow_stage(c);
    open_flows(c);
    stream_stage(c);
    tls_stage(c);
    fingerprints(c);
    certificates(c);
    match_stage(c);
    by_signatures(c);
    place_stage(c);
    json_stage(c);
    start_up(c);
}

criterion_group!(benches, all);
criterion_main!(benches);
