//! Fortinet Single Sign-On (FSSO): agents report who is logged on where.
//!
//! In: the TCP stream between a collector agent and a FortiGate (port 8000), or the datagrams of a
//! domain controller agent to a collector (port 8002). Out: what software speaks, and that logons
//! are reported. User, host and domain names are never kept.
//!
//! The vendor documents only the ports. Stream: nmap/nmap nmap-service-probes (greeting) and a free
//! collector written in Python on a public code host. A message is a container, and what it
//! contains are items: four bytes of length, the header included; a code; a type; the value.
//! Datagrams: wireshark/wireshark epan/dissectors/packet-fortinet-sso.c.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::value::is_printable_ascii;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, had_enough};

/// `hello` on a stream; `logon` and `keep-alive` in datagrams.
pub static MESSAGE: Field = Field::new(
    "fsso.message",
    Kind::Text,
    "kind of an FSSO message: hello, logon, keep-alive",
    "wireshark/wireshark: packet-fortinet-sso.c",
);
/// Software of a collector, `FSSO 5.0.0241`, or version of an agent.
pub static VERSION: Field = Field::new(
    "fsso.version",
    Kind::Text,
    "software that speaks FSSO, as it names itself",
    "nmap/nmap: nmap-service-probes; wireshark/wireshark: packet-fortinet-sso.c",
);
/// How a side of a stream calls itself: `FSAE_SERVER_10001`, or the FortiGate.
pub static ID: Field =
    Field::new("fsso.id", Kind::Text, "identifier in an FSSO greeting", "nmap/nmap: nmap-service-probes");

/// FSSO, both the stream and the datagrams.
pub static PROTOCOL: Protocol = Protocol {
    name: "fsso",
    over: &[Transport::Tcp, Transport::Udp],
    fields: &[&MESSAGE, &VERSION, &ID],
    claim,
    embedded: false,
    parser: |transport| Box::new(Fsso { transport, datagrams: 0 }),
};

/// Where agents send their datagrams.
const AGENT_PORT: u16 = 8002;
/// Code and type of a container that greets.
const HELLO: [u8; 2] = [0x80, 0x06];
/// The first item of a greeting up to its value: ten bytes, a counter, a number.
const COUNTER: [u8; 6] = [0, 0, 0, 10, 0x01, 0x03];
/// Bytes of a greeting that tell it apart.
const START_BYTES: usize = 12;
/// Bytes of the length, code and type before each value.
const ITEM_BYTES: usize = 6;
/// Bytes of a greeting; the known ones have about 90.
const HELLO_BYTES_MAX: usize = 1024;
/// Item with the software: code and type.
const BANNER: (u8, u8) = (0x11, 0x05);
/// Item with the identifier: code and type.
const IDENTIFIER: (u8, u8) = (0x13, 0x01);
/// Address of the client in a datagram that only says that the agent lives.
const NO_CLIENT: u32 = u32::MAX;
/// Datagrams of a flow that are read.
pub const DATAGRAMS_MAX: u32 = 64;

fn claim(opening: &Opening<'_>) -> Claim {
    let &Opening { transport, bytes, .. } = opening;
    if transport != Transport::Tcp {
        return if opening.to() == AGENT_PORT && report(bytes).is_some() { Claim::Yes } else { Claim::No };
    }
    let mut reader = Reader::new(bytes);
    match reader.u32() {
        None if bytes.iter().take(2).any(|b| *b != 0) => return Claim::No,
        None => return Claim::NeedBytes(START_BYTES),
        Some(length) if !(START_BYTES..=HELLO_BYTES_MAX).contains(&(length as usize)) => return Claim::No,
        Some(_) => {}
    }
    let mut expected = HELLO.iter().chain(&COUNTER);
    match reader.rest().iter().zip(expected.by_ref()).all(|(a, b)| a == b) {
        false => Claim::No,
        true if bytes.len() < START_BYTES => Claim::NeedBytes(START_BYTES),
        true => Claim::Yes,
    }
}

struct Fsso {
    transport: Transport,
    datagrams: u32,
}

impl Parser for Fsso {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.transport == Transport::Tcp {
            return stream(side, prefix, facts);
        }
        if had_enough(&mut self.datagrams, DATAGRAMS_MAX, facts) {
            return Progress::AllDone;
        }
        match report(prefix.bytes) {
            Some(Report::Alive(version)) => {
                facts.add(&MESSAGE, side, prefix.seen, b"keep-alive");
                facts.add(&VERSION, side, prefix.seen, version);
            }
            Some(Report::Logon) => facts.add(&MESSAGE, side, prefix.seen, b"logon"),
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

/// The first message of a side, when it greets; what follows is about users.
fn stream(side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
    let mut reader = Reader::new(prefix.bytes);
    let whole = match reader.u32().map(|length| length as usize) {
        Some(length) if length > HELLO_BYTES_MAX => return Progress::Done,
        Some(length) => length,
        None => ITEM_BYTES,
    };
    if prefix.bytes.len() < whole {
        return if prefix.last { Progress::Done } else { Progress::NeedBytes(whole) };
    }
    let mut reader = Reader::new(prefix.bytes.get(..whole).unwrap_or_default());
    let hello = item(&mut reader).filter(|(code, kind, _)| [*code, *kind] == HELLO);
    if hello.is_some_and(|(_, _, items)| greeting(items, side, prefix, facts).is_none()) {
        facts.flags.set(Flag::ParseError);
    }
    Progress::Done
}

/// Code, type and value of the next item.
fn item<'a>(reader: &mut Reader<'a>) -> Option<(u8, u8, &'a [u8])> {
    let length = reader.u32()? as usize;
    let (code, kind) = (reader.u8()?, reader.u8()?);
    Some((code, kind, reader.take(length.checked_sub(ITEM_BYTES)?)?))
}

fn greeting(items: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Option<()> {
    let mut reader = Reader::new(items);
    let (mut version, mut id) = (None, None);
    while !reader.is_empty() {
        let (code, kind, value) = item(&mut reader)?;
        let text = Some(value).filter(|value| !value.is_empty() && is_printable_ascii(value));
        match (code, kind) {
            BANNER => version = text,
            IDENTIFIER => id = text,
            _ => {}
        }
    }
    facts.add(&MESSAGE, side, prefix.seen, b"hello");
    for (field, value) in [(&VERSION, version), (&ID, id)] {
        if let Some(value) = value {
            facts.add(field, side, prefix.seen, value);
        }
    }
    Some(())
}

/// What an agent reports in a datagram.
#[derive(Debug, PartialEq, Eq)]
enum Report<'a> {
    /// It lives; this is its version.
    Alive(&'a [u8]),
    /// A user logged on.
    Logon,
}

/// A whole datagram: its length, the time, an address, and `HOST/DOMAIN/USER` or
/// `DOMAIN/KEEPALIVE/VERSION` with its length before it and a zero byte behind it or at its end.
fn report(datagram: &[u8]) -> Option<Report<'_>> {
    let mut reader = Reader::new(datagram);
    if usize::from(reader.u16()?) != datagram.len() {
        return None;
    }
    let _time = reader.u32()?;
    let client = reader.u32()?;
    let text = reader.vec16()?.rest();
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    let mut parts = text.splitn(3, |b| *b == b'/');
    let (_, _, last) = (parts.next()?, parts.next()?, parts.next()?);
    if last.is_empty() || text.iter().any(u8::is_ascii_control) {
        return None;
    }
    if client != NO_CLIENT {
        return Some(Report::Logon);
    }
    is_printable_ascii(last).then_some(Report::Alive(last))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;
    use crate::fact::Seen;
    use crate::parse::testing::{tcp, udp};

    fn item(code: u8, kind: u8, value: &[u8]) -> Vec<u8> {
        [&((value.len() + ITEM_BYTES) as u32).to_be_bytes()[..], &[code, kind], value].concat()
    }

    /// A greeting as the pattern in nmap-service-probes has it, with the lengths that stand there.
    fn hello(banner: &[u8], id: &[u8]) -> Vec<u8> {
        let items = [
            item(0x01, 3, &[0, 0, 0, 1]),
            item(0x10, 3, &[0, 0, 0, 2]),
            item(0x11, 5, banner),
            item(0x12, 1, &[7; 16]),
            item(0x13, 1, id),
        ];
        item(0x80, 6, &items.concat())
    }

    /// A datagram built from the layout in packet-fortinet-sso.c.
    fn datagram(client: [u8; 4], text: &[u8], more: &[u8]) -> Vec<u8> {
        let length = 12 + text.len() + more.len();
        let mut bytes = (length as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(&1_700_000_000_u32.to_be_bytes());
        bytes.extend_from_slice(&client);
        bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(more);
        bytes
    }

    fn read(transport: Transport, side: Side, bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        (PROTOCOL.parser)(transport).feed(side, prefix, &mut facts);
        facts
    }

    fn all(facts: &Facts) -> Vec<(&'static str, String)> {
        facts.iter().map(|fact| (fact.field.name, fact.text())).collect()
    }

    const TO_AGENT: (u16, u16) = (51000, AGENT_PORT);

    #[test]
    fn a_collector_greets() {
        let new = hello(b"FSSO 5.0.0241", b"FSAE_SERVER_10001");
        // The lengths that the pattern knows.
        assert_eq!((new[3], &new[26..32]), (90, &[0, 0, 0, 0x13, 0x11, 5][..]));
        let facts = read(Transport::Tcp, Side::Destination, &new);
        let expected = [("fsso.message", "hello"), ("fsso.version", "FSSO 5.0.0241"), ("fsso.id", "FSAE_SERVER_10001")];
        assert_eq!(all(&facts), expected.map(|(name, value)| (name, value.to_owned())));
        let old = hello(b"FSAE server 1.1", b"FSAE_SERVER_10001");
        assert_eq!(old[3], 0x5c, "the length in the older pattern");
        assert_eq!(read(Transport::Tcp, Side::Destination, &old).first(&VERSION).unwrap().value, b"FSAE server 1.1");
    }

    #[test]
    fn a_cut_greeting_gives_nothing() {
        let whole = hello(b"FSSO 5.0.0241", b"FSAE_SERVER_10001");
        for end in 0..whole.len() {
            let facts = read(Transport::Tcp, Side::Destination, &whole[..end]);
            assert!(facts.is_empty(), "{end} bytes");
        }
        let more = [&whole[..], b"what follows"].concat();
        assert_eq!(read(Transport::Tcp, Side::Source, &more).len(), 3);
    }

    #[test]
    fn a_damaged_greeting_gives_nothing() {
        let mut bytes = hello(b"FSSO 5.0.0241", b"FSAE_SERVER_10001");
        bytes[29] = 0xff;
        let facts = read(Transport::Tcp, Side::Destination, &bytes);
        assert_eq!((facts.len(), facts.flags.has(Flag::ParseError)), (0, true));
        let nonsense = hello(b"FSSO\x01", b"");
        assert_eq!(read(Transport::Tcp, Side::Destination, &nonsense).len(), 1);
    }

    #[test]
    fn datagrams_tell_no_names() {
        let logon = datagram([192, 0, 2, 7], b"pc7.example/EXAMPLE/alice\0", &[192, 0, 2, 7]);
        let facts = read(Transport::Udp, Side::Source, &logon);
        assert_eq!(all(&facts), [("fsso.message", "logon".to_owned())]);
        let alive = datagram([255; 4], b"EXAMPLE/keepalive/5.0.0310", b"\0");
        let facts = read(Transport::Udp, Side::Source, &alive);
        let expected = [("fsso.message", "keep-alive"), ("fsso.version", "5.0.0310")];
        assert_eq!(all(&facts), expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn datagrams_are_claimed_whole_and_on_their_port() {
        let logon = datagram([192, 0, 2, 7], b"pc7/EXAMPLE/alice\0", b"");
        assert_eq!(claim(&udp(TO_AGENT, Side::Source, &logon)), Claim::Yes);
        assert_eq!(claim(&udp(TO_AGENT, Side::Destination, &logon)), Claim::No, "an answer");
        assert_eq!(claim(&udp((51000, 8003), Side::Source, &logon)), Claim::No);
        assert_eq!(claim(&udp(TO_AGENT, Side::Source, &logon[..logon.len() - 1])), Claim::No, "cut");
        for text in [&b"pc7/EXAMPLE"[..], b"pc7/EXAMPLE/", b"pc7/EXAMPLE/al\x01ce", b""] {
            let other = datagram([192, 0, 2, 7], text, b"");
            assert_eq!(claim(&udp(TO_AGENT, Side::Source, &other)), Claim::No, "{text:?}");
        }
    }

    #[test]
    fn a_greeting_is_claimed_by_its_first_twelve_bytes() {
        let ports = (8000, 51000);
        let whole = hello(b"FSSO 5.0.0241", b"FSAE_SERVER_10001");
        assert_eq!(claim(&tcp(ports, Side::Source, &whole)), Claim::Yes);
        for end in 1..START_BYTES {
            assert_eq!(claim(&tcp(ports, Side::Source, &whole[..end])), Claim::NeedBytes(START_BYTES), "{end} bytes");
        }
        for at in 4..START_BYTES {
            let mut other = whole.clone();
            other[at] ^= 0x40;
            assert_eq!(claim(&tcp(ports, Side::Source, &other)), Claim::No, "byte {at}");
            assert_eq!(claim(&tcp(ports, Side::Source, &other[..at + 1])), Claim::No, "byte {at}");
        }
        assert_eq!(claim(&tcp(ports, Side::Source, &[0, 1, 0, 90])), Claim::No);
        assert_eq!(claim(&tcp(ports, Side::Source, b"GET")), Claim::No);
        assert_eq!(claim(&tcp(ports, Side::Source, &[0; 64])), Claim::No);
    }
}
