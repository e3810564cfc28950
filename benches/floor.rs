//! How far a scan is from the floor: both over the same captures in memory, in turn, in one run.
//!
//! In: nothing, or names of workloads. Out: a table of nanoseconds a packet and their ratio. A pair is the floor and a
//! scan right after each other, so that a slow moment of the machine hits both; the ratio is the median over the
//! pairs, which is steady where the times themselves are not.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::hint::black_box;
use std::time::Instant;

use bordertap::bench::floor;
use bordertap::bench::traffic::Workload;
use common::{Image, PACKETS, scan};

/// Packets of `small`: its 10,000 flows begin with the first of them.
const PACKETS_SMALL: u64 = 5 * PACKETS;

/// Floor and scan, this often.
const PAIRS: usize = 11;
/// Floors in one measurement: one alone is too short for the clock of a shared machine.
const FLOORS: u32 = 4;

fn nanoseconds(packets: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / packets as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    // Options are those of other benches, and a word that is no workload is their filter.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let default = [Workload::Mixed, Workload::Churn, Workload::Elephants, Workload::Small];
    let asked: Vec<Workload> = match words.is_empty() {
        true => default.to_vec(),
        false => words.iter().filter_map(|word| word.parse().ok()).collect(),
    };
    if asked.is_empty() {
        return;
    }
    let scan = scan(1);
    println!("{:<10} {:>9} {:>16} {:>15} {:>7}", "workload", "packets", "floor ns/packet", "scan ns/packet", "ratio");
    for workload in asked {
        let image = Image::new(workload, if workload == Workload::Small { PACKETS_SMALL } else { PACKETS });
        let packets = floor::run(&image.0).packets;
        let mut pairs = Vec::with_capacity(PAIRS);
        // The first pair warms caches and the allocator and does not count.
        for pair in 0..=PAIRS {
            let mut source = image.source();
            let low = nanoseconds(packets * u64::from(FLOORS), || {
                for _ in 0..FLOORS {
                    black_box(floor::run(black_box(&image.0)));
                }
            });
            let high = nanoseconds(packets, || {
                black_box(scan.run(&mut source, &[], &|_, _| {}).report.findings.len());
            });
            if pair > 0 {
                pairs.push((low, high));
            }
        }
        let low = median(pairs.iter().map(|pair| pair.0).collect());
        let high = median(pairs.iter().map(|pair| pair.1).collect());
        let ratio = median(pairs.iter().map(|pair| pair.1 / pair.0).collect());
        println!("{:<10} {packets:>9} {low:>16.1} {high:>15.1} {ratio:>7.2}", workload.name());
    }
}
