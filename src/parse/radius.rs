//! RADIUS, and the EAP that it carries.
//!
//! In: datagrams. Out: who asks: names and addresses of access servers, the makers whose attributes are in use, and
//! the TLS facts of EAP methods. User names, passwords, called and calling stations are not kept.
//! Sources: RFC 2865, RFC 2866, RFC 3162, RFC 3579, RFC 5176.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::eap::Conversation;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// Name of the access server.
pub static NAS_IDENTIFIER: Field =
    Field::new("radius.nas_identifier", Kind::Text, "NAS-Identifier of a RADIUS client", "RFC 2865 section 5.32");
/// Address of the access server.
pub static NAS_IP: Field =
    Field::new("radius.nas_ip", Kind::Address, "NAS-IP-Address or NAS-IPv6-Address", "RFC 2865 section 5.4, RFC 3162");
/// IANA enterprise number of a maker whose attributes are in use.
pub static VENDOR_ID: Field =
    Field::new("radius.vendor_id", Kind::Number, "Vendor-Id of a Vendor-Specific attribute", "RFC 2865 section 5.26");

/// RADIUS.
pub static PROTOCOL: Protocol = Protocol {
    name: "radius",
    over: &[Transport::Udp],
    fields: &[&NAS_IDENTIFIER, &NAS_IP, &VENDOR_ID],
    claim: |&Opening { ports, bytes, .. }| claim(ports, bytes),
    embedded: false,
    parser: |_| Box::new(Radius { talks: Vec::new() }),
};

const PORTS: [u16; 5] = [1812, 1813, 1645, 1646, 3799];
/// Code, identifier, length, authenticator.
const HEAD_BYTES: usize = 20;
const PACKET_BYTES_MAX: usize = 4096;
/// EAP conversations that run through one flow at a time.
const TALKS_MAX: usize = 16;

/// Attributes (RFC 2865, 2866, 3162, 3579).
const USER_NAME: u8 = 1;
const NAS_IP_ADDRESS: u8 = 4;
const STATE: u8 = 24;
const VENDOR_SPECIFIC: u8 = 26;
const CALLING_STATION: u8 = 31;
const NAS_NAME: u8 = 32;
const ACCOUNTING_STATUS: u8 = 40;
const EAP_MESSAGE: u8 = 79;
const AUTHENTICATOR: u8 = 80;
const NAS_IPV6_ADDRESS: u8 = 95;

/// Type and value of each attribute; `None` in place of one that does not fit.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let kind = reader.u8()?;
        let value = reader.u8().and_then(|length| reader.take(usize::from(length).checked_sub(2)?));
        if value.is_none() {
            reader = Reader::new(&[]);
        }
        Some(value.map(|value| (kind, value)))
    })
}

/// Code, identifier and attributes of a packet.
fn packet(bytes: &[u8]) -> Option<(u8, u8, &[u8])> {
    let mut reader = Reader::new(bytes);
    let (code, identifier, length) = (reader.u8()?, reader.u8()?, usize::from(reader.u16()?));
    // What stands behind the length is padding (RFC 2865 section 3).
    let fits = (HEAD_BYTES..=PACKET_BYTES_MAX).contains(&length);
    bytes.get(HEAD_BYTES..length).filter(|_| fits).map(|attributes| (code, identifier, attributes))
}

fn claim(ports: (u16, u16), bytes: &[u8]) -> Claim {
    let known_port = is_at(ports, &PORTS);
    let Some((code, _, rest)) = packet(bytes) else { return Claim::No };
    let exact = bytes.len() == rest.len().saturating_add(HEAD_BYTES);
    if !matches!(code, 1..=5 | 11..=13 | 40..=45) || !exact && !known_port {
        return Claim::No;
    }
    // Elsewhere a packet must have what its kind cannot be without, or be signed.
    let telling = |kind: u8| match code {
        1 => matches!(kind, NAS_IP_ADDRESS | NAS_NAME | NAS_IPV6_ADDRESS),
        4 => kind == ACCOUNTING_STATUS,
        11 => kind == STATE,
        _ => false,
    };
    let mut told = known_port;
    for attribute in attributes(rest) {
        let Some((kind, value)) = attribute else { return Claim::No };
        told |= telling(kind) || kind == AUTHENTICATOR && value.len() == 16;
        if kind == 0 {
            return Claim::No;
        }
    }
    if told { Claim::Yes } else { Claim::No }
}

/// The EAP between a server and one station.
struct Talk {
    /// What tells one station from another; never a fact.
    station: Vec<u8>,
    /// Identifier of its last request: the answer has the same.
    identifier: u8,
    eap: Conversation,
}

struct Radius {
    /// The one used last stands last.
    talks: Vec<Talk>,
}

impl Parser for Radius {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.read(side, prefix, facts).is_none() {
            facts.flags.set(Flag::ParseError);
        }
        Progress::NeedBytes(0)
    }

    fn heap_bytes(&self) -> usize {
        let of = |talk: &Talk| talk.station.capacity().saturating_add(talk.eap.heap_bytes());
        self.talks.iter().fold(size_of::<Radius>(), |sum, talk| sum.saturating_add(of(talk)))
    }
}

impl Radius {
    fn read(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Option<()> {
        let (code, identifier, rest) = packet(prefix.bytes)?;
        // Nothing of a packet that is damaged.
        let whole: Option<Vec<(u8, &[u8])>> = attributes(rest).collect();
        let whole = whole?;
        let mut eap = Vec::new();
        let mut station: &[u8] = &[];
        let mut user: &[u8] = &[];
        for (kind, value) in whole {
            match (kind, value.len()) {
                (NAS_NAME, 1..) => facts.add(&NAS_IDENTIFIER, side, prefix.seen, value),
                (NAS_IP_ADDRESS, 4) | (NAS_IPV6_ADDRESS, 16) => facts.add(&NAS_IP, side, prefix.seen, value),
                (VENDOR_SPECIFIC, 5..) => {
                    let number = Reader::new(value).u32()?;
                    facts.add_number(&VENDOR_ID, side, prefix.seen, number.into());
                }
                (CALLING_STATION, _) => station = value,
                (USER_NAME, _) => user = value,
                (EAP_MESSAGE, _) => eap.extend_from_slice(value),
                _ => {}
            }
        }
        if eap.is_empty() {
            return Some(());
        }
        let station = if station.is_empty() { user } else { station };
        let talk = if code == 1 {
            self.talk_of(station, identifier, facts)
        } else {
            self.talks.iter_mut().rev().find(|talk| talk.identifier == identifier)
        };
        if let Some(talk) = talk {
            talk.eap.take(&eap, side, prefix.seen, facts);
        }
        Some(())
    }

    /// The talk of a station, now the one used last.
    fn talk_of(&mut self, station: &[u8], identifier: u8, facts: &mut Facts) -> Option<&mut Talk> {
        let at = self.talks.iter().position(|talk| talk.station == station);
        let mut talk = match at {
            Some(at) => self.talks.remove(at),
            None => Talk { station: station.to_vec(), identifier, eap: Conversation::default() },
        };
        talk.identifier = identifier;
        if self.talks.len() >= TALKS_MAX && self.talks.remove(0).eap.is_underway() {
            facts.flags.set(Flag::LimitReached);
        }
        self.talks.push(talk);
        self.talks.last_mut()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;
    use crate::fact::Seen;
    use crate::parse::eap::tests::fragments;
    use crate::parse::testing::{C, HELLOS, S};
    use crate::parse::tls;

    /// RFC 2865, section 7.1: a user at port 3 of 192.168.1.16 telnets to a host.
    const REQUEST: &[u8] = b"\x01\x00\x00\x38\x0f\x40\x3f\x94\x73\x97\x80\x57\xbd\x83\xd5\xcb\x98\xf4\x22\x7a\
        \x01\x06\x6e\x65\x6d\x6f\x02\x12\x0d\xbe\x70\x8d\x93\xd4\x13\xce\x31\x96\xe4\x3f\x78\x2a\x0a\xee\
        \x04\x06\xc0\xa8\x01\x10\x05\x06\x00\x00\x00\x03";
    const ACCEPT: &[u8] = b"\x02\x00\x00\x26\x86\xfe\x22\x0e\x76\x24\xba\x2a\x10\x05\xf6\xbf\x9b\x55\xe0\xb2\
        \x06\x06\x00\x00\x00\x01\x0f\x06\x00\x00\x00\x00\x0e\x06\xc0\xa8\x01\x03";

    fn read(packets: &[(Side, Vec<u8>)]) -> Facts {
        let mut parser = (PROTOCOL.parser)(Transport::Udp);
        let mut facts = Facts::default();
        for (side, bytes) in packets {
            let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
            assert_eq!(parser.feed(*side, prefix, &mut facts), Progress::NeedBytes(0));
        }
        facts
    }

    fn packet_of(code: u8, identifier: u8, attributes: &[(u8, &[u8])]) -> Vec<u8> {
        let mut rest = vec![0; 16];
        for (kind, value) in attributes {
            rest.extend([*kind, u8::try_from(value.len() + 2).unwrap()]);
            rest.extend(*value);
        }
        let length = u16::try_from(rest.len() + 4).unwrap().to_be_bytes();
        [&[code, identifier, length[0], length[1]], &rest[..]].concat()
    }

    #[test]
    fn the_exchange_of_rfc2865() {
        let facts = read(&[(C, REQUEST.to_vec()), (S, ACCEPT.to_vec())]);
        assert_eq!(facts.first(&NAS_IP).unwrap().text(), "192.168.1.16");
        assert_eq!(facts.len(), 1, "no user name");
        let vendor = packet_of(1, 7, &[(26, b"\0\0\x2d\x23\x01\x06\0\0\0\x01"), (32, b"fw-01"), (95, &[0x20; 16])]);
        let facts = read(&[(C, vendor)]);
        assert_eq!(facts.first(&NAS_IDENTIFIER).unwrap().text(), "fw-01");
        assert_eq!(facts.first(&VENDOR_ID).unwrap().text(), "11555");
    }

    #[test]
    fn tls_of_two_stations_at_once() {
        let chunked = |packet: &[u8]| packet.chunks(253).map(|part| (EAP_MESSAGE, part.to_vec())).collect::<Vec<_>>();
        let make = |code: u8, identifier: u8, station: &[u8], eap: &[u8]| {
            let parts = chunked(eap);
            let mut all: Vec<(u8, &[u8])> = parts.iter().map(|(kind, value)| (*kind, &value[..])).collect();
            if code == 1 {
                all.push((CALLING_STATION, station));
            }
            packet_of(code, identifier, &all)
        };
        let hello = fragments(2, 10, 25, HELLOS[0], 70);
        let answer = fragments(1, 60, 25, HELLOS[1], 60);
        let mut packets = Vec::new();
        for (number, part) in hello.iter().enumerate() {
            for (offset, station) in [(0, &b"00-00-5E-00-53-01"[..]), (100, b"00-00-5E-00-53-02")] {
                packets.push((C, make(1, u8::try_from(number).unwrap() + offset, station, part)));
            }
        }
        let last = u8::try_from(hello.len() - 1).unwrap();
        for (number, part) in answer.iter().enumerate() {
            let number = u8::try_from(number).unwrap();
            for (offset, station) in [(0, &b"00-00-5E-00-53-01"[..]), (100, b"00-00-5E-00-53-02")] {
                packets.push((S, make(11, last + number + offset, station, part)));
                let acknowledged = [2, 60 + number, 0, 6, 25, 0];
                packets.push((C, make(1, last + number + 1 + offset, station, &acknowledged)));
            }
        }
        let facts = read(&packets);
        assert_eq!(facts.of(&tls::JA3).count(), 1);
        assert_eq!(facts.of(&tls::JA3S).count(), 1);
        assert!(!facts.flags.has(Flag::Gap) && !facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn claims() {
        let away = (40000, 40001);
        assert_eq!(claim(away, REQUEST), Claim::Yes);
        assert_eq!(claim(away, ACCEPT), Claim::No, "nothing in it tells");
        assert_eq!(claim((40000, 1812), ACCEPT), Claim::Yes);
        assert_eq!(claim((40000, 1812), REQUEST.get(..40).unwrap()), Claim::No);
        assert_eq!(claim(away, &[REQUEST, b"x"].concat()), Claim::No);
        let mut bad = REQUEST.to_vec();
        bad[21] = 0;
        assert_eq!(claim((40000, 1812), &bad), Claim::No);
    }

    /// More stations than are followed at a time: the one that was heard longest ago is given up, and it is said.
    #[test]
    fn stations_at_a_time() {
        let hello = fragments(2, 10, 25, HELLOS[0], 100);
        assert!(hello.len() > 1);
        let send =
            |number: u8, part: &[u8]| (C, packet_of(1, number, &[(EAP_MESSAGE, part), (CALLING_STATION, &[number])]));
        let mixed = |stations: u8| {
            let all: Vec<_> =
                hello.iter().flat_map(|part| (0..stations).map(move |number| send(number, part))).collect();
            read(&all)
        };
        let (at, beyond) = (mixed(TALKS_MAX as u8), mixed(TALKS_MAX as u8 + 1));
        assert!(at.has(&tls::JA3) && !at.flags.has(Flag::LimitReached));
        assert!(!beyond.has(&tls::JA3) && beyond.flags.has(Flag::LimitReached));
        // One after the other they are all heard out.
        let one_by_one: Vec<_> = (0..40).flat_map(|number| hello.iter().map(move |part| send(number, part))).collect();
        let mut radius = Radius { talks: Vec::new() };
        let mut facts = Facts::default();
        for (side, bytes) in &one_by_one {
            radius.read(*side, Prefix { bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
        }
        assert!(facts.has(&tls::JA3) && radius.talks.len() == TALKS_MAX);
        let mut radius = Radius { talks: Vec::new() };
        let idle = radius.heap_bytes();
        let begun = [&[2, 1, 0x02, 0x0a, 25, 0xc0, 0, 0, 0x50, 0][..], &[0x16; 512]].concat();
        let parts: Vec<(u8, &[u8])> = begun.chunks(253).map(|part| (EAP_MESSAGE, part)).collect();
        let bytes = packet_of(1, 1, &[&parts[..], &[(CALLING_STATION, b"x")]].concat());
        radius.read(C, Prefix { bytes: &bytes, seen: Seen::default(), last: true, split: false }, &mut facts);
        assert!(radius.heap_bytes() >= idle + 400, "what is kept is counted: {idle} {}", radius.heap_bytes());
    }
}
