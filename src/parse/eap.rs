//! EAP in Ethernet frames (802.1X), and TLS inside EAP-TLS, TTLS, PEAP and TEAP.
//!
//! In: EAPOL frames, or EAP packets that RADIUS carries. Out: the method, and the facts of the TLS handshake that is
//! put together from its fragments. Identities and what the methods carry beside TLS are not kept. A message is only
//! read when all its fragments came by.
//! Sources: IEEE 802.1X-2020 section 11, RFC 3748, RFC 5216 section 3, RFC 5281 section 9, RFC 7170 section 4.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::tls::{self, TlsParser};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Method that carries TLS: 13 EAP-TLS, 21 TTLS, 25 PEAP, 55 TEAP.
pub static METHOD: Field =
    Field::new("eap.method", Kind::Number, "EAP method that carries TLS", "IANA, EAP Method Types");

/// EAP over LAN.
pub static PROTOCOL: Protocol = Protocol {
    name: "eap",
    over: &[Transport::Frame],
    fields: &[&METHOD],
    claim: |&Opening { ports, bytes, .. }| claim(ports.1, bytes),
    embedded: false,
    parser: |_| Box::new(Eapol(Conversation::default())),
};

const ETHER_TYPE: u16 = 0x888e;
/// Bytes of the TLS of one side that are kept.
pub const TLS_BYTES_MAX: usize = 24 * 1024;

const EAPOL_EAP: u8 = 0;
const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const TEAP: u8 = 55;
/// Bits before the TLS data (RFC 5216 section 3.1; RFC 7170 section 4.1 for the last one).
const HAS_LENGTH: u8 = 0x80;
const MORE: u8 = 0x40;
const START: u8 = 0x20;
const HAS_OUTER: u8 = 0x10;

fn claim(ether_type: u16, bytes: &[u8]) -> Claim {
    let mut reader = Reader::new(bytes);
    let (version, kind, length) = (reader.u8(), reader.u8(), reader.u16());
    let whole = length.is_some_and(|length| usize::from(length) <= reader.left());
    let good = ether_type == ETHER_TYPE && matches!((version, kind), (Some(1..=3), Some(0..=8))) && whole;
    if good { Claim::Yes } else { Claim::No }
}

struct Eapol(Conversation);

impl Parser for Eapol {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let mut reader = Reader::new(prefix.bytes);
        let head = reader.take(4);
        if let Some(&[_, EAPOL_EAP, high, low]) = head.and_then(|head| head.first_chunk())
            && let Some(packet) = reader.take(usize::from(u16::from_be_bytes([high, low])))
        {
            self.0.take(packet, side, prefix.seen, facts);
        }
        Progress::NeedBytes(0)
    }

    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

/// The packets between one client and its server.
#[derive(Default)]
pub struct Conversation {
    tls: TlsParser,
    halves: [Half; 2],
    over: bool,
}

/// One side.
#[derive(Default)]
struct Half {
    /// Identifier of the last packet with data: it may come again.
    last: Option<u8>,
    /// Fragments of a message so far, and its length if it was told.
    message: Vec<u8>,
    length: Option<usize>,
    fragments: usize,
    /// The start of the message that comes in fragments was not seen.
    headless: bool,
    /// All messages.
    stream: Vec<u8>,
    done: bool,
}

impl Conversation {
    /// Bytes of memory that it holds.
    pub fn heap_bytes(&self) -> usize {
        let of = |half: &Half| half.message.capacity().saturating_add(half.stream.capacity());
        self.halves.iter().fold(size_of::<Conversation>(), |sum, half| sum.saturating_add(of(half)))
    }

    /// A handshake has begun and may go on.
    pub fn is_underway(&self) -> bool {
        self.halves.iter().any(|half| !(half.done || half.stream.is_empty() && half.message.is_empty()))
    }

    /// Reads an EAP packet.
    pub fn take(&mut self, packet: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
        let mut reader = Reader::new(packet);
        let (Some(code), Some(id), Some(length)) = (reader.u8(), reader.u8(), reader.u16()) else { return };
        let Some(mut reader) = usize::from(length).checked_sub(4).and_then(|length| reader.sub(length)) else { return };
        let (Some(method), Some(bits)) = (reader.u8(), reader.u8()) else { return };
        if !matches!((code, method), (REQUEST | RESPONSE, 13 | 21 | 25 | TEAP)) {
            return;
        }
        facts.add_number(&METHOD, side, seen, method.into());
        if code == REQUEST && bits & START != 0 {
            // A handshake begins anew; what comes with it is no TLS.
            *self = Conversation::default();
            return;
        }
        let total = if bits & HAS_LENGTH != 0 { reader.u32() } else { None };
        if method == TEAP && bits & HAS_OUTER != 0 {
            // Fields of TEAP stand behind the data, as many bytes as are told here.
            let Some(outer) = reader.u32() else { return };
            let Some(data) = reader.left().checked_sub(outer as usize).and_then(|data| reader.sub(data)) else {
                return;
            };
            reader = data;
        }
        if self.over || reader.is_empty() {
            return;
        }
        let half = side.of_mut(&mut self.halves);
        if half.done || half.last.replace(id) == Some(id) {
            return;
        }
        let more = bits & MORE != 0;
        if !half.add(reader.rest(), total.map(|total| total as usize), more, facts) {
            return;
        }
        let prefix = Prefix { bytes: &half.stream, seen, last: false, split: half.fragments > 1 };
        match self.tls.feed(side, prefix, facts) {
            Progress::NeedBytes(_) => half.fragments = 0,
            Progress::Done => half.end(),
            Progress::AllDone | Progress::NotMine => {
                *self = Conversation { over: true, ..Conversation::default() };
            }
        }
    }
}

impl Half {
    /// Adds a fragment; whether a message is whole now and lies behind the others.
    fn add(&mut self, data: &[u8], total: Option<usize>, more: bool, facts: &mut Facts) -> bool {
        let first = self.message.is_empty();
        // The first of several fragments tells the length of all (RFC 5216 section 2.1.5).
        self.headless |= first && more && total.is_none();
        if self.headless {
            self.headless = more;
            return false;
        }
        if first {
            self.length = total;
        }
        if self.stream.len().saturating_add(self.message.len()).saturating_add(data.len()) > TLS_BYTES_MAX {
            facts.flags.set(Flag::LimitReached);
            self.end();
            return false;
        }
        self.message.extend_from_slice(data);
        self.fragments = self.fragments.saturating_add(1);
        if more {
            return false;
        }
        if self.length.is_some_and(|length| length != self.message.len()) {
            facts.flags.set(Flag::Gap);
            self.end();
            return false;
        }
        if self.stream.is_empty() && tls::claim(&self.message) != Claim::Yes {
            // The handshake began before.
            self.end();
            return false;
        }
        self.stream.append(&mut self.message);
        true
    }

    /// Nothing more is wanted of this side.
    fn end(&mut self) {
        *self = Half { done: true, ..Half::default() };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;
    use crate::parse::testing::{C, HELLOS, S};

    /// The packets that carry a message in fragments of so many bytes, as in RFC 5216, section 2.1.5.
    pub(crate) fn fragments(code: u8, first_id: u8, method: u8, message: &[u8], bytes: usize) -> Vec<Vec<u8>> {
        let count = message.chunks(bytes).count();
        let packet = |(number, data): (usize, &[u8])| {
            let more = if number + 1 < count { MORE } else { 0 };
            let total = u32::try_from(message.len()).unwrap().to_be_bytes();
            let (bits, total) = if number == 0 && count > 1 { (HAS_LENGTH, &total[..]) } else { (0, &[][..]) };
            let length = u16::try_from(6 + total.len() + data.len()).unwrap().to_be_bytes();
            let id = first_id.wrapping_add(u8::try_from(number).unwrap());
            [&[code, id, length[0], length[1], method, bits | more], total, data].concat()
        };
        message.chunks(bytes).enumerate().map(packet).collect()
    }

    fn frame(packet: &[u8]) -> Vec<u8> {
        [&[2, EAPOL_EAP], &u16::try_from(packet.len()).unwrap().to_be_bytes()[..], packet].concat()
    }

    fn read(packets: &[(Side, Vec<u8>)]) -> Facts {
        let mut parser = (PROTOCOL.parser)(Transport::Frame);
        let mut facts = Facts::default();
        for (side, packet) in packets {
            let bytes = frame(packet);
            assert_eq!(claim(ETHER_TYPE, &bytes), Claim::Yes);
            let prefix = Prefix { bytes: &bytes, seen: Seen::default(), last: true, split: false };
            assert_eq!(parser.feed(*side, prefix, &mut facts), Progress::NeedBytes(0));
        }
        facts
    }

    fn handshake(bytes: usize) -> Vec<(Side, Vec<u8>)> {
        let client = fragments(RESPONSE, 10, 13, HELLOS[0], bytes).into_iter().map(|packet| (C, packet));
        let server = fragments(REQUEST, 60, 13, HELLOS[1], bytes).into_iter().map(|packet| (S, packet));
        client.chain(server).collect()
    }

    #[test]
    fn fragments_are_put_together() {
        let whole = read(&handshake(5000));
        assert_eq!(whole.of(&tls::JA3).count() + whole.of(&tls::JA3S).count(), 2);
        assert_eq!(whole.first(&METHOD).unwrap().text(), "13");
        let cut = read(&handshake(50));
        for field in [&tls::JA3, &tls::JA4, &tls::JA3S, &tls::SNI] {
            assert!(cut.of(field).map(|f| f.text()).eq(whole.of(field).map(|f| f.text())), "{}", field.name);
        }
        assert!(cut.flags.has(Flag::HelloSplit) && !whole.flags.has(Flag::HelloSplit));
        let twice: Vec<_> = handshake(50).into_iter().flat_map(|packet| [packet.clone(), packet]).collect();
        assert_eq!(read(&twice).of(&tls::JA3).count(), 1, "a fragment that is sent again");
    }

    #[test]
    fn a_lost_fragment_makes_no_facts() {
        let client: Vec<_> = handshake(50).into_iter().filter(|(side, _)| *side == C).collect();
        for lost in 0..client.len() {
            let mut rest = client.clone();
            rest.remove(lost);
            assert!(!read(&rest).has(&tls::JA3), "without fragment {lost}");
        }
    }

    #[test]
    fn a_start_begins_anew() {
        let start = (S, vec![REQUEST, 9, 0, 6, 25, START]);
        let mut packets = vec![handshake(50).swap_remove(0), start];
        packets.extend(handshake(50));
        assert!(read(&packets).has(&tls::JA3));
    }

    /// TEAP (RFC 7170, section 4.1): behind the length of the message stands that of fields behind its data.
    #[test]
    fn fields_behind_the_data_are_no_tls() {
        let teap = |outer: u32, behind: &[u8]| {
            let body = [&(HELLOS[0].len() as u32).to_be_bytes()[..], &outer.to_be_bytes(), HELLOS[0], behind].concat();
            let length = u16::try_from(6 + body.len()).unwrap().to_be_bytes();
            let bits = HAS_LENGTH | HAS_OUTER | 1;
            (C, [&[RESPONSE, 1, length[0], length[1], TEAP, bits], &body[..]].concat())
        };
        let wanted = read(&handshake(5000)).of(&tls::JA3).map(|fact| fact.text()).next();
        let found = read(&[teap(4, b"\x80\x01\0\0")]);
        assert_eq!(found.of(&tls::JA3).map(|fact| fact.text()).next(), wanted);
        assert!(wanted.is_some() && !found.flags.has(Flag::ParseError));
        // More of them than there are bytes: nothing is data.
        assert!(!read(&[teap(100_000, b"")]).has(&tls::JA3));
    }

    /// What begins in the middle of a handshake is left alone, and so is all that follows it.
    #[test]
    fn a_handshake_that_began_before() {
        let mut packets = vec![(C, vec![RESPONSE, 9, 0, 10, 13, 0, 1, 2, 3, 4])];
        packets.extend(handshake(5000));
        let facts = read(&packets);
        assert!(!facts.has(&tls::JA3) && facts.has(&tls::JA3S));
    }

    #[test]
    fn identities_are_not_kept() {
        let facts = read(&[(C, b"\x02\x01\0\x0c\x01fred@ab".to_vec()), (S, b"\x03\x02\0\x04".to_vec())]);
        assert!(facts.is_empty());
    }

    #[test]
    fn claims() {
        assert_eq!(claim(0x0800, &frame(b"\x01\x02\0\x05\x01")), Claim::No);
        assert_eq!(claim(ETHER_TYPE, b"\x02\0\0\x09\x01"), Claim::No, "cut");
        assert_eq!(claim(ETHER_TYPE, b"\x02\x01\0\0"), Claim::Yes, "a start of EAPOL");
    }

    /// A handshake is kept up to its limit; one that is longer is left out, and it is said.
    #[test]
    fn bytes_of_a_handshake() {
        let hello = |bytes: usize| {
            let padded = [HELLOS[0], &vec![0; bytes - HELLOS[0].len()]].concat();
            let packets = fragments(RESPONSE, 10, 13, &padded, 1000);
            read(&packets.into_iter().map(|packet| (C, packet)).collect::<Vec<_>>())
        };
        let (whole, beyond) = (hello(TLS_BYTES_MAX), hello(TLS_BYTES_MAX + 1));
        assert!(whole.has(&tls::JA3) && !whole.flags.has(Flag::LimitReached));
        assert!(!beyond.has(&tls::JA3) && beyond.flags.has(Flag::LimitReached));
        let (mut half, mut facts) = (Half::default(), Facts::default());
        for _ in 0..100 {
            half.add(&[0; 1000], Some(100_000), true, &mut facts);
        }
        assert!(half.done && half.message.is_empty() && half.stream.is_empty());
    }
}
