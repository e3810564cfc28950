//! Reads the TCP flows of a small capture and feeds them to the TLS parser, packet by packet.
//! Only for tests: no fragments, no tunnels, no limits.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bordertap::fact::{Fact, Facts, Kind, Seen, Side};
use bordertap::parse::tls::{PROTOCOL, claim};
use bordertap::parse::{Claim, Parser, Prefix, Progress, Transport};
use bordertap::time::Time;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// The packets of a capture: link type and bytes.
pub fn packets(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    if file.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) { pcapng(file) } else { pcap(file) }
}

fn word(bytes: &[u8], at: usize, little: bool) -> u32 {
    let four = bytes[at..at + 4].try_into().unwrap();
    if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) }
}

fn pcap(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let little = matches!(file[..4], [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]);
    let link = word(file, 20, little);
    let mut found = Vec::new();
    let mut at = 24;
    while at + 16 <= file.len() {
        let length = word(file, at + 8, little) as usize;
        let Some(bytes) = file.get(at + 16..at + 16 + length) else {
            break;
        };
        found.push((link, bytes.to_vec()));
        at += 16 + length;
    }
    found
}

fn pcapng(file: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut links = Vec::new();
    let mut little = true;
    let mut at = 0;
    while at + 12 <= file.len() {
        if file[at..].starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            little = file[at + 8] == 0x4d;
            links.clear();
        }
        let kind = word(file, at, little);
        let length = word(file, at + 4, little) as usize;
        let Some(block) = file.get(at..at + length) else {
            break;
        };
        match kind {
            1 => links.push(word(block, 8, little) & 0xffff),
            3 => found.push((links[0], block[12..length - 4].to_vec())),
            6 => {
                let link = links[word(block, 8, little) as usize];
                let captured = word(block, 20, little) as usize;
                found.push((link, block[28..28 + captured].to_vec()));
            }
            _ => {}
        }
        at += length;
    }
    found
}

struct Segment {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    seq: u32,
    syn: bool,
    ack: bool,
    payload: Vec<u8>,
}

fn segment(link: u32, bytes: &[u8]) -> Option<Segment> {
    let sliced = match link {
        1 => SlicedPacket::from_ethernet(bytes),
        12 | 14 | 101 | 228 | 229 => SlicedPacket::from_ip(bytes),
        0 => SlicedPacket::from_ip(bytes.get(4..)?),
        113 => SlicedPacket::from_ip(bytes.get(16..)?),
        _ => return None,
    };
    let sliced = sliced.ok()?;
    let (from, to): (IpAddr, IpAddr) = match sliced.net? {
        NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
        return None;
    };
    Some(Segment {
        from: (from, tcp.source_port()),
        to: (to, tcp.destination_port()),
        seq: tcp.sequence_number().wrapping_add(u32::from(tcp.syn())),
        syn: tcp.syn(),
        ack: tcp.ack(),
        payload: tcp.payload().to_vec(),
    })
}

#[derive(Default)]
struct Half {
    base: Option<u32>,
    prefix: Vec<u8>,
    waiting: BTreeMap<u32, Vec<u8>>,
    segments: usize,
    need: usize,
    done: bool,
    refused: bool,
}

impl Half {
    fn claimed(&mut self) -> bool {
        if self.refused || self.prefix.len() < self.need.max(1) {
            return false;
        }
        match claim(&self.prefix) {
            Claim::Yes => return true,
            Claim::No => self.refused = true,
            Claim::NeedBytes(bytes) => {
                assert!(bytes > self.prefix.len());
                self.need = bytes;
            }
        }
        false
    }

    fn push(&mut self, seq: u32, payload: &[u8]) {
        let base = *self.base.get_or_insert(seq);
        let offset = seq.wrapping_sub(base);
        if payload.is_empty() || offset > 0x4000_0000 {
            return;
        }
        let longer = self.waiting.get(&offset).is_none_or(|old| old.len() < payload.len());
        if longer {
            self.waiting.insert(offset, payload.to_vec());
        }
        while let Some((&at, _)) = self.waiting.first_key_value() {
            if at as usize > self.prefix.len() {
                break;
            }
            let bytes = self.waiting.remove(&at).unwrap();
            let known = self.prefix.len() - at as usize;
            if bytes.len() > known && self.prefix.len() < 65_536 {
                self.prefix.extend_from_slice(&bytes[known..]);
                self.segments += 1;
            }
        }
    }
}

/// The value of a fact, as the report prints it.
pub fn values(fact: Fact<'_>) -> Option<String> {
    Some(match fact.field.kind {
        Kind::Hex => fact.value.iter().map(|b| format!("{b:02x}")).collect(),
        Kind::Number => u64::from_be_bytes(fact.value.try_into().ok()?).to_string(),
        _ => String::from_utf8_lossy(fact.value).into_owned(),
    })
}

/// One TCP flow and what the parser said of it.
pub struct Flow {
    /// The side that opened it, then the other.
    pub ends: [(IpAddr, u16); 2],
    halves: [Half; 2],
    parser: Option<Box<dyn Parser>>,
    /// What was found.
    pub facts: Facts,
    /// The parser wants no more.
    pub finished: bool,
}

impl Flow {
    /// The bytes of the side that opened the flow, or of the other.
    pub fn prefix(&self, side: Side) -> &[u8] {
        &self.halves[side.index()].prefix
    }

    /// Values of a field, as the report prints them.
    pub fn values(&self, field: &str) -> Vec<String> {
        let mut values: Vec<String> =
            self.facts.iter().filter(|fact| fact.field.name == field).flat_map(values).collect();
        values.sort();
        values
    }

    fn turn(&mut self, last: bool, packet: u64) {
        if self.parser.is_none() {
            let claimed = self.halves.iter_mut().any(Half::claimed);
            if !claimed {
                return;
            }
            self.parser = Some((PROTOCOL.parser)(Transport::Tcp));
            self.halves.iter_mut().for_each(|half| half.need = 0);
        }
        let Some(parser) = &mut self.parser else {
            return;
        };
        let seen = Seen { time: Time(0), packet };
        for (side, half) in [Side::Source, Side::Destination].into_iter().zip(&mut self.halves) {
            let waits = half.prefix.len() < half.need && !last;
            if self.finished || half.done || half.prefix.is_empty() || waits {
                continue;
            }
            let prefix = Prefix { bytes: &half.prefix, seen, last, split: half.segments > 1 };
            match parser.feed(side, prefix, &mut self.facts) {
                Progress::NeedBytes(bytes) => {
                    assert!(bytes > half.prefix.len() && !last);
                    half.need = bytes;
                }
                Progress::Done => half.done = true,
                Progress::AllDone | Progress::NotMine => self.finished = true,
            }
        }
    }
}

/// Every TCP flow of a capture, read to its end.
pub fn flows(file: &[u8]) -> Vec<Flow> {
    let mut flows: Vec<Flow> = Vec::new();
    let mut number = 0;
    for (link, bytes) in packets(file) {
        number += 1;
        let Some(segment) = segment(link, &bytes) else {
            continue;
        };
        let opens = segment.syn && !segment.ack;
        let known = flows
            .iter_mut()
            .rev()
            .find(|flow| flow.ends == [segment.from, segment.to] || flow.ends == [segment.to, segment.from]);
        let flow = match known {
            Some(flow) if !(opens && flow.halves[0].prefix.len() + flow.halves[1].prefix.len() > 0) => flow,
            _ => {
                let accepted = segment.syn && segment.ack;
                let ends = if accepted { [segment.to, segment.from] } else { [segment.from, segment.to] };
                flows.push(Flow {
                    ends,
                    halves: Default::default(),
                    parser: None,
                    facts: Facts::default(),
                    finished: false,
                });
                flows.last_mut().unwrap()
            }
        };
        let side = usize::from(flow.ends[0] != segment.from);
        flow.halves[side].push(segment.seq, &segment.payload);
        flow.turn(false, number);
    }
    for flow in &mut flows {
        flow.turn(true, number);
    }
    flows
}
