//! A flow for the tests of parsers: what each side sends, handed over as a flow would.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

use super::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};
use crate::fact::{Facts, Field, Flag, Seen, Side};

/// The side that opened the flow.
pub const C: Side = Side::Source;
/// The side that was asked.
pub const S: Side = Side::Destination;

/// Both sides of a TCP flow and the parser that reads them.
pub struct Talk {
    parser: Box<dyn Parser>,
    bytes: [Vec<u8>; 2],
    need: [Option<usize>; 2],
    /// What was found.
    pub facts: Facts,
    /// What the parser answered last.
    pub outcome: Option<Progress>,
}

impl Talk {
    /// Nothing sent yet.
    pub fn new(protocol: &'static Protocol) -> Talk {
        Talk {
            parser: (protocol.parser)(Transport::Tcp),
            bytes: Default::default(),
            need: [Some(0); 2],
            facts: Facts::default(),
            outcome: None,
        }
    }

    /// One segment.
    pub fn send(mut self, side: Side, bytes: &[u8]) -> Talk {
        self.bytes[side.index()].extend_from_slice(bytes);
        self.feed(side, false);
        self
    }

    /// A segment for every byte.
    pub fn drip(self, side: Side, bytes: &[u8]) -> Talk {
        bytes.iter().fold(self, |talk, byte| talk.send(side, &[*byte]))
    }

    /// The flow is over.
    pub fn end(mut self) -> Talk {
        self.feed(C, true);
        self.feed(S, true);
        self
    }

    fn feed(&mut self, side: Side, last: bool) {
        let bytes = &self.bytes[side.index()];
        let Some(need) = self.need[side.index()] else { return };
        if bytes.is_empty() || (bytes.len() < need && !last) {
            return;
        }
        let prefix = Prefix { bytes, seen: Seen::default(), last, split: true };
        let progress = self.parser.feed(side, prefix, &mut self.facts);
        match progress {
            Progress::NeedBytes(need) => {
                assert!(!last && need > bytes.len(), "asks for {need} of {}", bytes.len());
                self.need[side.index()] = Some(need);
            }
            Progress::Done => self.need[side.index()] = None,
            Progress::AllDone | Progress::NotMine => self.need = [None; 2],
        }
        self.outcome = Some(progress);
    }

    /// Nothing more is wanted of this side.
    pub fn is_done(&self, side: Side) -> bool {
        self.need[side.index()].is_none()
    }

    /// The values of a field as they are printed, sorted.
    pub fn text(&self, field: &'static Field) -> Vec<String> {
        let mut all: Vec<String> = self.facts.of(field).map(|fact| fact.text()).collect();
        all.sort();
        all
    }

    /// Every fact, for comparing two flows.
    pub fn everything(&self) -> Vec<(&'static str, Side, Vec<u8>)> {
        let mut all: Vec<_> = self.facts.iter().map(|f| (f.field.name, f.side, f.value.to_vec())).collect();
        all.sort();
        all
    }

    /// Panics when a word stands in any fact.
    pub fn keeps_out(&self, secret: &str) {
        for fact in self.facts.iter() {
            assert!(!fact.text().contains(secret), "{} in {}", secret, fact.field.name);
        }
    }
}

/// What a protocol says of the first bytes of a side, towards a port that tells nothing.
pub fn claim(protocol: &'static Protocol, side: Side, bytes: &[u8]) -> Claim {
    (protocol.claim)(&tcp((40000, 12345), side, bytes))
}

/// The first bytes of a side of a stream, of which more may come.
pub fn tcp(ports: (u16, u16), side: Side, bytes: &[u8]) -> Opening<'_> {
    Opening::new(Transport::Tcp, ports, side, bytes)
}

/// A datagram.
pub fn udp(ports: (u16, u16), side: Side, bytes: &[u8]) -> Opening<'_> {
    Opening::new(Transport::Udp, ports, side, bytes)
}

/// A ClientHello and its answer, TLS 1.2.
pub const HELLOS: [&[u8]; 2] = [
    include_bytes!("../../fixtures/tls/tls12-client-hello.bin"),
    include_bytes!("../../fixtures/tls/tls12-server-hello.bin"),
];

/// The same talk in one segment a side, byte by byte, one side after the other, and with one side missing: TLS behind
/// it is found wherever its side was captured, and the facts of that side are the same.
pub fn is_taken_over(protocol: &'static Protocol, client: &[u8], server: &[u8]) {
    use crate::parse::tls;
    let sides = [[client, HELLOS[0]].concat(), [server, HELLOS[1]].concat()];
    let [client, server] = &sides;
    let whole = Talk::new(protocol).send(S, server).send(C, client).end();
    for field in [&tls::JA3, &tls::JA4, &tls::JA3S] {
        assert_eq!(whole.text(field).len(), 1, "{} {}", protocol.name, field.name);
    }
    assert!(!whole.facts.flags.has(Flag::ParseError) && !whole.facts.flags.has(Flag::LimitReached));
    let other_way = Talk::new(protocol).send(C, client).send(S, server).end();
    assert_eq!(other_way.everything(), whole.everything(), "{}: the other side first", protocol.name);
    let drops = Talk::new(protocol).drip(S, server).drip(C, client).end();
    assert_eq!(drops.everything(), whole.everything(), "{}: byte by byte", protocol.name);
    for at in 1..client.len() {
        let (front, back) = client.split_at(at);
        let cut = Talk::new(protocol).send(C, front).send(S, server).send(C, back).end();
        assert_eq!(cut.everything(), whole.everything(), "{}: cut at {at}", protocol.name);
    }
    for side in [C, S] {
        let half = Talk::new(protocol).send(side, &sides[side.index()]).end();
        let mut wanted = whole.everything();
        wanted.retain(|(_, from, _)| *from == side);
        assert_eq!(half.everything(), wanted, "{}: only the {}", protocol.name, side.name());
    }
}
