//! Tests of the capture stage over bytes that are built here by the book.
#![allow(clippy::arithmetic_side_effects)]

mod compressed;
mod faults;
#[cfg(feature = "libpcap")]
mod filter;
mod inputs;
mod pcap;
mod pcapng;
mod random;

use std::io::{Cursor, Read, Write};

use super::input::Input;
use super::walk::{Flaw, Order};
use super::{Bytes, Packet};

/// A packet as it came out, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    nanos: i64,
    bytes: Vec<u8>,
    original: u32,
    link: u16,
}

fn got(bytes: &Bytes, packets: &[Packet]) -> Vec<Got> {
    let slice = bytes.as_slice();
    packets
        .iter()
        .map(|packet| Got {
            nanos: packet.time.0,
            bytes: slice[packet.start..packet.start + packet.captured as usize].to_vec(),
            original: packet.original,
            link: packet.link.0,
        })
        .collect()
}

fn drain(mut input: Input, limit: usize) -> (Vec<Got>, Vec<Flaw>) {
    let mut all = Vec::new();
    while let Some((bytes, packets)) = input.next(limit) {
        assert!(packets.len() <= limit);
        all.extend(got(&bytes, &packets));
    }
    assert!(input.next(limit).is_none(), "the end is the end");
    assert_eq!(input.packets(), all.len() as u64);
    (all, input.into_flaws().0)
}

/// Gives at most a few bytes at a time.
struct Dribble(Cursor<Vec<u8>>, usize);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = buffer.len().min(self.1);
        self.0.read(&mut buffer[..n])
    }
}

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Reads bytes mapped, streamed and dribbled; all three must say the same.
fn read(bytes: &[u8]) -> Result<(Vec<Got>, Vec<Flaw>), String> {
    let file = file(bytes);
    let mapped = Input::open(file.path()).map(|input| drain(input, 1024));
    let one_by_one = Input::open(file.path()).map(|input| drain(input, 1));
    let stream = Input::stream(Box::new(Cursor::new(bytes.to_vec())), false);
    let stream = stream.map(|input| drain(input, 3));
    let dribble = Dribble(Cursor::new(bytes.to_vec()), 7);
    let dribble = Input::stream(Box::new(dribble), true).map(|input| drain(input, 2));
    assert_eq!(mapped, one_by_one);
    assert_eq!(mapped, stream);
    assert_eq!(mapped, dribble);
    mapped
}

fn read_clean(bytes: &[u8]) -> Vec<Got> {
    let (packets, flaws) = read(bytes).unwrap();
    assert_eq!(flaws, []);
    packets
}

fn put16(order: Order, value: u16) -> [u8; 2] {
    match order {
        Order::Little => value.to_le_bytes(),
        Order::Big => value.to_be_bytes(),
    }
}

fn put32(order: Order, value: u32) -> [u8; 4] {
    match order {
        Order::Little => value.to_le_bytes(),
        Order::Big => value.to_be_bytes(),
    }
}

const MICRO: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;

/// A pcap file header.
fn pcap_header(order: Order, magic: u32, version: (u16, u16), snap: u32, link: u32) -> Vec<u8> {
    let mut bytes = put32(order, magic).to_vec();
    bytes.extend(put16(order, version.0));
    bytes.extend(put16(order, version.1));
    bytes.extend([0; 8]);
    bytes.extend(put32(order, snap));
    bytes.extend(put32(order, link));
    bytes
}

/// A pcap record with `extra` bytes between its header and the packet.
fn pcap_record(order: Order, words: [u32; 4], extra: usize, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend(put32(order, word));
    }
    bytes.extend(vec![0xee; extra]);
    bytes.extend(data);
    bytes
}

/// A whole little-endian pcap file of Ethernet; times in seconds.
fn pcap_file(records: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = pcap_header(Order::Little, MICRO, (2, 4), 262_144, ETHERNET);
    for (seconds, data) in records {
        let words = [*seconds, 0, data.len() as u32, data.len() as u32];
        bytes.extend(pcap_record(Order::Little, words, 0, data));
    }
    bytes
}

/// A pcapng block: type, length, body padded to four bytes, length.
fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().div_ceil(4) * 4;
    let length = padded as u32 + 12;
    let mut bytes = put32(order, kind).to_vec();
    bytes.extend(put32(order, length));
    bytes.extend(body);
    bytes.extend(vec![0; padded - body.len()]);
    bytes.extend(put32(order, length));
    bytes
}

fn section(order: Order) -> Vec<u8> {
    let mut body = put32(order, 0x1a2b_3c4d).to_vec();
    body.extend(put16(order, 1));
    body.extend(put16(order, 0));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

fn interface(order: Order, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = put16(order, link).to_vec();
    body.extend([0; 2]);
    body.extend(put32(order, snap));
    for (code, value) in options {
        body.extend(put16(order, *code));
        body.extend(put16(order, value.len() as u16));
        body.extend(*value);
        body.extend(vec![0; value.len().div_ceil(4) * 4 - value.len()]);
    }
    if !options.is_empty() {
        body.extend([0; 4]);
    }
    block(order, 1, &body)
}

fn enhanced(order: Order, id: u32, units: u64, original: u32, data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [id, (units >> 32) as u32, units as u32, data.len() as u32, original] {
        body.extend(put32(order, word));
    }
    body.extend(data);
    block(order, 6, &body)
}
