//! `hostile`: hellos as a sender writes them who wants a sensor to work or to miss them.
//!
//! In: a number of packets and a seed. Out: hellos in one-byte and odd segments, out of order, sent twice, overlapping
//! with the same and with other bytes, in many records, with a hole, and such that never end. Every packet by itself
//! is valid.

use super::hello::{CLIENT_HELLO, Shape};
use super::image::{Image, Script};
use super::network::{Network, VENDOR_NAMES};
use super::packet::{SEGMENT_BYTES_MAX, flag};
use super::random::Random;
use super::talk::Talk;
use super::talk::Who::{Client, Server as Host};
use super::tls::{self, Noise};

const RECORD_BYTES: usize = 260;
const PAUSE_NANOSECONDS: u64 = 1_000;
const CLIENTS: usize = 5_000;
const OPEN_MAX: usize = 4_096;
/// A handshake message that says it is this long and stops before.
const NEVER_BYTES: usize = 16_000;

type Trick = fn(&mut Random, &[u8]) -> Vec<Piece>;

/// How often each trick is played, and the trick.
const TRICKS: &[(usize, Trick)] = &[
    (10, single_bytes),
    (25, odd),
    (20, reordered),
    (12, repeated),
    (12, overlapping),
    (8, contradicting),
    (8, holed),
];
/// Flows whose hello stands in many records, and whose hello never ends, in a hundred.
const RECORDS_PERCENT: usize = 20;
const NEVER_PERCENT: usize = 10;

/// Some bytes of a side and where they belong.
struct Piece {
    at: usize,
    bytes: Vec<u8>,
}

/// The capture.
pub fn image(packets: u64, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut network = Network::new(CLIENTS, &mut random);
    let noise = Noise::new(&mut random);
    let mut image = Image::new(packets as usize * RECORD_BYTES, PAUSE_NANOSECONDS, seed);
    let open = (packets as usize / 200).clamp(8, OPEN_MAX);
    let mut order = random.clone();
    image.interleave(packets, open, &mut order, |script| flow(script, &mut network, &noise, &mut random));
    image.finish()
}

fn flow(script: &mut Script, network: &mut Network, noise: &Noise, random: &mut Random) {
    let server = network.server(random).clone();
    let [client, host] = network.ends(&server, 443, false, random);
    let mut talk = Talk::new(script, client, host, random);
    talk.open();
    if random.percent(NEVER_PERCENT) {
        return never(&mut talk, noise, random);
    }
    let name = if random.percent(20) { *random.pick(VENDOR_NAMES) } else { server.name.as_str() };
    let mut hello = Vec::new();
    Shape::pick(random, |_| true).write(name, random, &mut hello);
    let mut sent = Vec::new();
    if random.percent(RECORDS_PERCENT) {
        for part in hello.chunks(random.between(1, 24)) {
            tls::record(&mut sent, tls::HANDSHAKE, 0x0301, |out| out.extend_from_slice(part));
        }
    } else {
        tls::record(&mut sent, tls::HANDSHAKE, 0x0301, |out| out.extend_from_slice(&hello));
    }
    let start = talk.seq(Client);
    for piece in trick(random)(random, &sent) {
        talk.segment_at(Client, flag::ACK | flag::PSH, start.wrapping_add(piece.at as u32), &piece.bytes);
        if random.percent(25) {
            talk.ack(Host);
        }
    }
    talk.skip(Client, sent.len() as u32);
    let mut answer = Vec::new();
    tls::server_hello_13(&mut answer, &hello, random);
    tls::server_flight_13(&mut answer, random.between(200, 2_000), noise, random);
    talk.send(Host, &answer);
    talk.close(Client);
}

/// A hello that is announced, begun, and never finished: by a flow that stays open.
fn never(talk: &mut Talk<'_>, noise: &Noise, random: &mut Random) {
    let mut sent = Vec::new();
    tls::record(&mut sent, tls::HANDSHAKE, 0x0301, |out| {
        let length = (NEVER_BYTES as u32).to_be_bytes();
        out.extend_from_slice(&[CLIENT_HELLO, length[1], length[2], length[3], 3, 3]);
        out.extend_from_slice(noise.piece(NEVER_BYTES, random));
    });
    let sent = &sent[..random.between(20, 4_000)];
    for part in sent.chunks(random.between(100, SEGMENT_BYTES_MAX)) {
        talk.segment(Client, flag::ACK, part);
    }
}

fn trick(random: &mut Random) -> Trick {
    let mut at = random.below(TRICKS.iter().map(|(weight, _)| weight).sum());
    for (weight, trick) in TRICKS {
        match at.checked_sub(*weight) {
            Some(rest) => at = rest,
            None => return *trick,
        }
    }
    odd
}

/// Cut into pieces of these lengths, over and over.
fn cut(bytes: &[u8], mut length: impl FnMut() -> usize) -> Vec<Piece> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = bytes.len().min(at + length());
        pieces.push(Piece { at, bytes: bytes[at..end].to_vec() });
        at = end;
    }
    pieces
}

/// The first bytes one by one, the rest in one.
fn single_bytes(random: &mut Random, bytes: &[u8]) -> Vec<Piece> {
    let mut left = random.between(6, 160);
    cut(bytes, || {
        left = left.saturating_sub(1);
        if left > 0 { 1 } else { SEGMENT_BYTES_MAX }
    })
}

fn odd(random: &mut Random, bytes: &[u8]) -> Vec<Piece> {
    let length = 2 * random.between(3, 120) + 1;
    cut(bytes, || length)
}

fn reordered(random: &mut Random, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = odd(random, bytes);
    random.shuffle(&mut pieces);
    pieces
}

fn repeated(random: &mut Random, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = odd(random, bytes);
    for n in 0..pieces.len() {
        if random.percent(40) {
            let again = Piece { at: pieces[n].at, bytes: pieces[n].bytes.clone() };
            pieces.push(again);
        }
    }
    pieces
}

/// Every piece begins some bytes before the end of the one before.
fn overlapping(random: &mut Random, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = odd(random, bytes);
    for piece in &mut pieces {
        let back = random.below(piece.at.min(40) + 1);
        piece.at -= back;
        piece.bytes = bytes[piece.at..piece.at + back + piece.bytes.len()].to_vec();
    }
    pieces
}

/// A piece comes twice, the second time with other bytes.
fn contradicting(random: &mut Random, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = odd(random, bytes);
    let n = random.below(pieces.len());
    let mut other = Piece { at: pieces[n].at, bytes: pieces[n].bytes.clone() };
    other.bytes.iter_mut().for_each(|byte| *byte ^= 0x20);
    pieces.insert((n + 1).min(pieces.len()), other);
    pieces
}

/// A piece never comes.
fn holed(random: &mut Random, bytes: &[u8]) -> Vec<Piece> {
    let mut pieces = odd(random, bytes);
    let n = random.below(pieces.len());
    pieces.remove(n);
    pieces
}
