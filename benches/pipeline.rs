//! Throughput of the packet path, stage by stage: decode, flows with their parsers, the whole scan.
//!
//! The traffic is that of the fixtures, repeated with fresh client addresses until there are enough packets, so that
//! flows are born and read as in life. `BORDERTAP_BENCH_CAPTURE=FILE` uses a capture of your own instead.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use bordertap::capture::{Block, Bytes, Damage, Inputs, Packet, Source};
use bordertap::decode;
use bordertap::place::Places;
use bordertap::policy::Policy;
use bordertap::scan::Scan;
use bordertap::signature::Signatures;
use bordertap::worker::Worker;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Packets of one run.
const PACKETS: usize = 400_000;
const BLOCK_PACKETS: usize = 1024;

/// Packets in memory, handed out block by block.
struct Memory {
    bytes: Arc<Vec<u8>>,
    packets: Arc<Vec<Packet>>,
    next: usize,
}

impl Source for Memory {
    fn next_block(&mut self) -> Option<Block> {
        let end = self.packets.len().min(self.next + BLOCK_PACKETS);
        let packets = self.packets[self.next..end].to_vec();
        let first_number = self.next as u64 + 1;
        self.next = end;
        let bytes = Bytes::Owned(self.bytes.clone());
        (!packets.is_empty()).then(|| Block { input: "memory".into(), bytes, packets, first_number })
    }

    fn damage(&self) -> &[Damage] {
        &[]
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (self.next as u64, None)
    }
}

/// The capture of the user, or the fixtures again and again.
fn traffic() -> (Arc<Vec<u8>>, Arc<Vec<Packet>>) {
    let own = std::env::var("BORDERTAP_BENCH_CAPTURE").ok();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let names = match &own {
        Some(name) => vec![name.clone()],
        None => ["demo", "tls", "http", "dns"].map(|d| fixtures.join(d).to_str().unwrap().to_owned()).to_vec(),
    };
    let (mut bytes, mut packets) = (Vec::new(), Vec::new());
    for round in 0..u16::MAX {
        let mut inputs = Inputs::open(&names, None).unwrap();
        while let Some(block) = inputs.next_block() {
            for packet in block.packets {
                let start = bytes.len();
                let end = packet.start + packet.captured as usize;
                bytes.extend_from_slice(&block.bytes.as_slice()[packet.start..end]);
                if own.is_none() {
                    renumber(&mut bytes[start..], round);
                }
                packets.push(Packet { start, ..packet });
                if packets.len() == PACKETS {
                    return (Arc::new(bytes), Arc::new(packets));
                }
            }
        }
        assert!(!packets.is_empty(), "no packets in {names:?}");
    }
    (Arc::new(bytes), Arc::new(packets))
}

/// Gives the inside hosts of an Ethernet frame with IPv4 other addresses in each round.
fn renumber(frame: &mut [u8], round: u16) {
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    for at in [26, 30] {
        if matches!(frame[at], 10 | 192 | 172) {
            frame[at] = 10;
            frame[at + 1] = frame[at + 1].wrapping_add(round as u8);
            frame[at + 2] = frame[at + 2].wrapping_add((round >> 8) as u8);
        }
    }
}

fn scan(workers: usize) -> Scan {
    Scan {
        signatures: Arc::new(Signatures::builtin().unwrap()),
        places: Arc::new(Places::builtin()),
        policy: Arc::new(Policy::new(None, None, None).unwrap()),
        workers,
        memory: 2 << 30,
        packets_max: u64::MAX,
        keep_flows: false,
        filter: None,
    }
}

fn stages(c: &mut Criterion) {
    let (bytes, packets) = traffic();
    let mut group = c.benchmark_group("packets");
    group.sample_size(10).throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("decode", |b| {
        b.iter(|| packets.iter().filter(|p| decode::decode(&bytes, p, 1).is_ok()).count());
    });
    group.bench_function("decode, flows and parsers", |b| {
        b.iter_batched(
            || Worker::new(2 << 30, Vec::new(), ()),
            |mut worker| {
                for chunk in packets.chunks(64) {
                    let segments: Vec<_> = chunk.iter().filter_map(|p| decode::decode(&bytes, p, 1).ok()).collect();
                    worker.take(&segments, &bytes);
                }
                worker.finish();
                worker.gather.len()
            },
            BatchSize::PerIteration,
        );
    });
    for workers in [1, 2] {
        let scan = scan(workers);
        group.bench_function(format!("scan, {workers} workers"), |b| {
            b.iter_batched(
                || Memory { bytes: bytes.clone(), packets: packets.clone(), next: 0 },
                |mut source| scan.run(&mut source, &[], &|_, _| {}).report.findings.len(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn startup(c: &mut Criterion) {
    let mut group = c.benchmark_group("start-up");
    group.sample_size(20);
    group.bench_function("signatures", |b| b.iter(|| Signatures::builtin().unwrap().index.len()));
    group.finish();
}

criterion_group!(benches, stages, startup);
criterion_main!(benches);
