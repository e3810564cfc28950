//! A capture in memory that grows packet by packet: classic pcap, nanoseconds, Ethernet.
//!
//! In: frames, or scripts of flows to be dealt out among each other. Out: the bytes of the file.
//! Source: draft-ietf-opsawg-pcap.

use super::random::Random;

/// Most bytes of an image; a generator stops there.
pub const IMAGE_BYTES_MAX: usize = 1_150_000_000;
/// 2026-01-05T00:00:00Z in nanoseconds: the first packet.
const FIRST_TIME: u64 = 1_767_571_200_000_000_000;
/// Packets of one flow that follow each other at most.
const BURST_PACKETS_MAX: usize = 4;

/// A capture that grows.
pub struct Image {
    bytes: Vec<u8>,
    time: u64,
    pause: u64,
    packets: u64,
    seed: Random,
}

impl Image {
    /// An empty capture whose packets come `pause` nanoseconds after each other on average.
    pub fn new(bytes_expected: usize, pause: u64, seed: u64) -> Image {
        let mut bytes = Vec::with_capacity(bytes_expected.min(IMAGE_BYTES_MAX) + (1 << 16));
        bytes.extend_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
        bytes.extend_from_slice(&[2, 0, 4, 0]); // version 2.4
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&262_144_u32.to_le_bytes()); // snap length
        bytes.extend_from_slice(&1_u32.to_le_bytes()); // LINKTYPE_ETHERNET
        Image { bytes, time: FIRST_TIME, pause, packets: 0, seed: Random::new(!seed) }
    }

    /// Adds a frame that `write` appends.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let header = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 16]);
        write(&mut self.bytes);
        let length = ((self.bytes.len() - header - 16) as u32).to_le_bytes();
        let numbers = [
            ((self.time / 1_000_000_000) as u32).to_le_bytes(),
            ((self.time % 1_000_000_000) as u32).to_le_bytes(),
            length,
            length,
        ];
        self.bytes[header..header + 16].copy_from_slice(numbers.as_flattened());
        self.time += self.pause / 2 + self.seed.below(self.pause as usize + 1) as u64;
        self.packets += 1;
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// No more should be added.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= IMAGE_BYTES_MAX
    }

    /// Deals out flows among each other until about `packets` were added and every flow has ended: `open` flows at a
    /// time, in bursts, a new one for each that ends.
    pub fn interleave(&mut self, packets: u64, open: usize, random: &mut Random, mut begin: impl FnMut(&mut Script)) {
        let mut scripts: Vec<Script> = (0..open.max(1)).map(|_| Script::default()).collect();
        let mut begun = 0;
        while !scripts.is_empty() {
            let at = random.below(scripts.len());
            let script = &mut scripts[at];
            if script.is_over() {
                if begun >= packets || self.is_full() {
                    scripts.swap_remove(at);
                    continue;
                }
                script.clear();
                begin(script);
                begun += script.packets() as u64;
            }
            for _ in 0..random.between(1, BURST_PACKETS_MAX) {
                let Some(frame) = script.next() else { break };
                self.add(|out| out.extend_from_slice(frame));
            }
        }
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// The frames of one flow in their order.
#[derive(Default)]
pub struct Script {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    next: usize,
}

impl Script {
    /// Adds a frame that `write` appends.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Frames in all.
    pub fn packets(&self) -> usize {
        self.ends.len()
    }

    fn next(&mut self) -> Option<&[u8]> {
        let end = *self.ends.get(self.next)?;
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.next += 1;
        self.bytes.get(start..end)
    }

    fn is_over(&self) -> bool {
        self.next >= self.ends.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.next = 0;
    }
}
