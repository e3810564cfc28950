//! What the benches share: made captures, a scan, chance.
//!
//! In: a workload and a number of packets, or a seed. Out: captures in memory, their packets, a scan to run over them.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use bordertap::bench::traffic::{self, SEED, Size, Workload};
use bordertap::capture::{Packet, Replay, Source};
use bordertap::scan::Scan;

/// Packets of an image: enough that a scan outweighs its beginning and end, few enough for many runs.
pub const PACKETS: u64 = 100_000;
/// Memory for flow state; no bench comes near it.
pub const MEMORY: usize = 2 << 30;

/// A capture in memory.
#[derive(Clone)]
pub struct Image(pub Arc<Vec<u8>>);

impl Image {
    pub fn new(workload: Workload, packets: u64) -> Image {
        Image(Arc::new(traffic::image(workload, Size::Packets(packets), SEED)))
    }

    /// A source that goes over it once.
    pub fn source(&self) -> Replay {
        Replay::new(vec![("image".into(), self.0.clone())], 1)
    }

    /// Its packets; their offsets point into the image.
    pub fn packets(&self) -> Vec<Packet> {
        let mut source = self.source();
        std::iter::from_fn(|| source.next_block()).flat_map(|block| block.packets).collect()
    }
}

/// A scan with what is built in.
pub fn scan(workers: usize) -> Scan {
    Scan { workers, memory: MEMORY, ..Scan::builtin().unwrap() }
}

/// Numbers that look like chance, the same every time (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}
