//! Inputs whose reads fail, or give a few bytes: at every single one.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::input::Input;
use super::compressed::{gzip, lz4, xz, zstd};
use super::{Got, Order, block, drain, pcap_file, put32};

/// Bytes that a read gives at most.
const PIECE_BYTES: usize = 1024;
const WORDS: &str = "the disk has gone away";

/// A file on a disk that fails at one read, and at all after it.
struct Failing {
    bytes: Vec<u8>,
    at: usize,
    reads: Arc<AtomicUsize>,
    fails_at: usize,
}

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::Relaxed) + 1 >= self.fails_at {
            return Err(io::Error::other(WORDS));
        }
        let n = buffer.len().min(PIECE_BYTES).min(self.bytes.len() - self.at);
        buffer[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Packets and flaws, or why nothing could be read.
type ReadOf = Result<(Vec<Got>, Vec<String>), String>;

/// What is read of a file whose disk fails at this read, and how many reads there were.
fn read(bytes: &[u8], fails_at: usize) -> (ReadOf, usize) {
    let reads = Arc::new(AtomicUsize::new(0));
    let file = Failing { bytes: bytes.to_vec(), at: 0, reads: reads.clone(), fails_at };
    let result = Input::stream(Box::new(file), false).map(|input| {
        let (packets, flaws) = drain(input, 16);
        (packets, flaws.into_iter().map(|flaw| flaw.reason).collect())
    });
    (result, reads.load(Ordering::Relaxed))
}

fn captures() -> Vec<(&'static str, Vec<u8>)> {
    // Numerical Recipes' generator: bytes that no format makes small.
    let mut state = 11u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let payloads: Vec<Vec<u8>> = (0..40).map(|n| (0..100 + n * 20).map(|_| byte()).collect()).collect();
    let records: Vec<(u32, &[u8])> = (1..).zip(&payloads).map(|(n, bytes)| (n, bytes.as_slice())).collect();
    let pcap = pcap_file(&records);
    let little = |value| put32(Order::Little, value);
    let section = [&little(0x1a2b_3c4d)[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let mut pcapng = block(Order::Little, 0x0a0d_0d0a, &section);
    pcapng.extend(block(Order::Little, 1, &[1, 0, 0, 0, 0, 0, 4, 0]));
    for (seconds, data) in &records {
        let length = little(data.len() as u32);
        let body = [&little(0)[..], &little(0), &little(*seconds), &length, &length, data].concat();
        pcapng.extend(block(Order::Little, 6, &body));
    }
    vec![
        ("gzip", gzip(&pcap)),
        ("zstd", zstd(&pcap)),
        ("lz4", lz4(&pcap)),
        ("xz", xz(&pcap)),
        ("pcap", pcap),
        ("pcapng", pcapng),
    ]
}

#[test]
fn a_read_that_fails_is_named_and_costs_nothing_that_was_read() {
    for (name, bytes) in captures() {
        let (whole, reads) = read(&bytes, usize::MAX);
        let (whole, flaws) = whole.unwrap();
        assert_eq!((whole.len(), flaws.len()), (40, 0), "{name}: in pieces of {PIECE_BYTES} bytes: {flaws:?}");
        assert!(reads > 10, "{name}: {reads} reads");
        let mut most = 0;
        for fails_at in 1..=reads {
            match read(&bytes, fails_at).0 {
                Err(reason) => assert!(reason.contains(WORDS) && most == 0, "{name}, read {fails_at}: {reason}"),
                Ok((packets, flaws)) => {
                    assert!(flaws.iter().any(|flaw| flaw.contains(WORDS)), "{name}, read {fails_at}: {flaws:?}");
                    assert_eq!(packets[..], whole[..packets.len()], "{name}, read {fails_at}");
                    // A later failure costs no more than an earlier one.
                    assert!(packets.len() >= most, "{name}, read {fails_at}: {} packets", packets.len());
                    most = packets.len();
                }
            }
        }
        // What a format checks at its end was read as well.
        assert!(most > 20, "{name}: {most} packets before the last read");
    }
}
