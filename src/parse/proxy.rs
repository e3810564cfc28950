//! The PROXY protocol, versions 1 and 2, and what follows it.
//!
//! In: the prefixes of both sides; the header stands before the first byte of the side that opened the flow. Out: the
//! addresses between which the flow ran before the proxy, and the facts of what follows, as if it ran alone.
//! Source: haproxy/haproxy, doc/proxy-protocol.txt.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::IpAddr;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Address from which the proxy was reached.
pub static SOURCE: Field = Field::new(
    "proxy.source",
    Kind::Address,
    "real source address in a PROXY header",
    "haproxy/haproxy, doc/proxy-protocol.txt section 2",
);
/// Address at which the proxy was reached.
pub static DESTINATION: Field = Field::new(
    "proxy.destination",
    Kind::Address,
    "real destination address in a PROXY header",
    "haproxy/haproxy, doc/proxy-protocol.txt section 2",
);
/// Host name that the client asked the proxy for.
pub static AUTHORITY: Field = Field::new(
    "proxy.authority",
    Kind::Name,
    "host name in a PROXY header",
    "haproxy/haproxy, doc/proxy-protocol.txt section 2.2.2",
);

/// PROXY protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "proxy",
    over: &[Transport::Tcp],
    fields: &[&SOURCE, &DESTINATION, &AUTHORITY],
    claim,
    embedded: false,
    parser: |_| Box::new(Proxy { inner: Inner::behind(&PROTOCOL), end: None }),
};

const WORD_1: &[u8] = b"PROXY ";
/// Bytes of a version 1 header with its line end.
const LINE_BYTES_MAX: usize = 107;
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const HEAD_2_BYTES: usize = 16;
/// Bytes behind the head; the document has fields for some hundred.
const BODY_2_BYTES_MAX: u16 = 4096;
/// Path of a socket of Unix: the document gives both 216 bytes.
const PATH_BYTES: usize = 108;
/// Type of a field with a host name.
const TLV_AUTHORITY: u8 = 2;

fn claim(&Opening { side, bytes, .. }: &Opening<'_>) -> Claim {
    if side != Side::Source {
        return Claim::No;
    }
    if bytes.starts_with(WORD_1) || WORD_1.starts_with(bytes) {
        return match (line(bytes), bytes.len() < LINE_BYTES_MAX) {
            (Some(line), _) if read_line(line).is_some() => Claim::Yes,
            (None, true) => Claim::NeedBytes(bytes.len().max(WORD_1.len()).saturating_add(1)),
            _ => Claim::No,
        };
    }
    let front = bytes.get(..SIGNATURE_2.len()).unwrap_or(bytes);
    if !SIGNATURE_2.starts_with(front) {
        return Claim::No;
    }
    match head_2(bytes) {
        Some((0x20 | 0x21, length)) if length <= BODY_2_BYTES_MAX => Claim::Yes,
        Some(_) => Claim::No,
        None => Claim::NeedBytes(HEAD_2_BYTES),
    }
}

/// The first line, without its end.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n')?;
    bytes.get(..end)?.strip_suffix(b"\r")
}

/// Source and destination of a version 1 header; none of what the proxy does not know.
fn read_line(line: &[u8]) -> Option<Option<(IpAddr, IpAddr)>> {
    let line = str::from_utf8(line).ok()?;
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let [source, destination] = [words.next()?, words.next()?].map(|word| word.parse::<IpAddr>().ok());
    let [from, to] = [words.next()?, words.next()?].map(|word| word.parse::<u16>().ok());
    let addresses = source.zip(destination)?;
    from.and(to)?;
    let four = [addresses.0, addresses.1].iter().all(IpAddr::is_ipv4);
    let six = [addresses.0, addresses.1].iter().all(IpAddr::is_ipv6);
    let good = words.next().is_none() && (family == "TCP4" && four || family == "TCP6" && six);
    good.then_some(Some(addresses))
}

/// Version and command, and the number of bytes behind the head of version 2.
fn head_2(bytes: &[u8]) -> Option<(u8, u16)> {
    let mut reader = Reader::new(bytes);
    reader.take(SIGNATURE_2.len())?;
    let command = reader.u8()?;
    reader.u8()?;
    Some((command, reader.u16()?))
}

struct Proxy {
    inner: Inner,
    /// Offset behind the header.
    end: Option<usize>,
}

impl Parser for Proxy {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let at = match (side, self.end) {
            (Side::Destination, _) => 0,
            (Side::Source, Some(at)) => at,
            (Side::Source, None) => match header(prefix, facts) {
                Ok(at) => *self.end.insert(at),
                Err(bytes) if !prefix.last && bytes > prefix.bytes.len() => return Progress::NeedBytes(bytes),
                Err(_) => return Progress::Done,
            },
        };
        self.inner.follow(side, at, prefix, facts)
    }
}

/// Reads the header; its bytes, or how many it takes to read it.
fn header(prefix: Prefix<'_>, facts: &mut Facts) -> Result<usize, usize> {
    let bytes = prefix.bytes;
    if bytes.starts_with(WORD_1) {
        let Some(line) = line(bytes) else { return Err(bytes.len().saturating_add(1)) };
        if let Some(Some((source, destination))) = read_line(line) {
            add(&SOURCE, source, prefix.seen, facts);
            add(&DESTINATION, destination, prefix.seen, facts);
        }
        return Ok(line.len().saturating_add(2));
    }
    let Some((command, length)) = head_2(bytes) else { return Err(HEAD_2_BYTES) };
    let end = HEAD_2_BYTES.saturating_add(usize::from(length));
    let Some(body) = bytes.get(HEAD_2_BYTES..end) else { return Err(end) };
    // 0x20 is the proxy's own talk: its addresses mean nothing.
    if command == 0x21 && read_body(bytes.get(13).copied().unwrap_or(0), body, prefix.seen, facts).is_none() {
        facts.flags.set(Flag::ParseError);
    }
    Ok(end)
}

fn add(field: &'static Field, address: IpAddr, seen: Seen, facts: &mut Facts) {
    match address {
        IpAddr::V4(four) => facts.add(field, Side::Source, seen, &four.octets()),
        IpAddr::V6(six) => facts.add(field, Side::Source, seen, &six.octets()),
    }
}

/// Addresses and fields of version 2.
fn read_body(family: u8, body: &[u8], seen: Seen, facts: &mut Facts) -> Option<()> {
    let mut reader = Reader::new(body);
    let address_bytes = match family >> 4 {
        1 => 4,
        2 => 16,
        3 => PATH_BYTES,
        _ => return Some(()),
    };
    let (source, destination) = (reader.take(address_bytes)?, reader.take(address_bytes)?);
    if address_bytes <= 16 {
        facts.add(&SOURCE, Side::Source, seen, source);
        facts.add(&DESTINATION, Side::Source, seen, destination);
        reader.take(4)?;
    }
    while let Some(kind) = reader.u8() {
        let value = reader.vec16()?;
        if kind == TLV_AUTHORITY && !value.is_empty() {
            facts.add(&AUTHORITY, Side::Source, seen, value.rest());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::http;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over};

    /// Section 2.1 of the document.
    const LINE: &[u8] = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";

    /// Section 2.2: TCP over IPv6, with a host name.
    fn header_2() -> Vec<u8> {
        let mut bytes = b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x21\x00\x34".to_vec();
        bytes.extend([[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]; 2].concat());
        bytes.extend(b"\xdc\x04\x01\xbb\x02\x00\x0dcloud.example");
        bytes
    }

    #[test]
    fn tls_behind_both_versions() {
        is_taken_over(&PROTOCOL, LINE, b"");
        is_taken_over(&PROTOCOL, &header_2(), b"");
        is_taken_over(&PROTOCOL, b"PROXY UNKNOWN\r\n", b"");
    }

    #[test]
    fn addresses_and_what_follows() {
        let talk = Talk::new(&PROTOCOL)
            .send(C, &[LINE, b"GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat())
            .send(S, b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n");
        assert_eq!(talk.text(&SOURCE), ["192.168.0.1"]);
        assert_eq!(talk.text(&DESTINATION), ["192.168.0.11"]);
        assert_eq!(talk.text(&http::HOST), ["a.example"]);
        assert_eq!(talk.text(&http::SERVER), ["x"]);
        let talk = Talk::new(&PROTOCOL).send(C, &header_2());
        assert_eq!(
            (talk.text(&SOURCE), talk.text(&AUTHORITY)),
            (vec!["2001:db8::1".into()], vec!["cloud.example".into()])
        );
        let own = [&header_2()[..12], b"\x20\x00\x00\x00"].concat();
        assert!(Talk::new(&PROTOCOL).send(C, &own).everything().is_empty());
    }

    /// Section 2.2: TCP over IPv4 in version 2, sockets of Unix, which have no addresses, and lengths that do not fit.
    #[test]
    fn families_of_version_2() {
        let talk = |family: u8, body: &[u8]| {
            let length = u16::try_from(body.len()).unwrap_or(0).to_be_bytes();
            Talk::new(&PROTOCOL).send(C, &[&header_2()[..12], &[0x21, family], &length, body].concat())
        };
        let four = talk(0x11, b"\xc0\0\x02\x01\xc0\0\x02\x02\xdc\x04\x01\xbb\x02\0\x01x");
        assert_eq!((four.text(&SOURCE), four.text(&DESTINATION)), (vec!["192.0.2.1".into()], vec!["192.0.2.2".into()]));
        assert_eq!(four.text(&AUTHORITY), ["x"]);
        let unix = talk(0x31, &[&[0; 216][..], b"\x02\0\x01y"].concat());
        assert_eq!((unix.text(&AUTHORITY), unix.everything().len()), (vec!["y".into()], 1));
        assert!(talk(0, b"").everything().is_empty() && talk(0x51, &[1; 40]).everything().is_empty());
        assert!(talk(0x11, b"\xc0\0\x02").facts.flags.has(Flag::ParseError));
        let six = Talk::new(&PROTOCOL).send(C, b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n");
        assert_eq!(six.text(&DESTINATION), ["2001:db8::2"]);
        // Another command, and more fields than the document has.
        for head in [&[0x22, 0x11, 0, 12], &[0x21, 0x11, 0x20, 0]] {
            assert_eq!(claim(&PROTOCOL, C, &[&header_2()[..12], &head[..]].concat()), Claim::No);
        }
        assert!(Talk::new(&PROTOCOL).send(C, &header_2()[..20]).end().is_done(C), "the flow ended before the header");
    }

    #[test]
    fn claims() {
        for whole in [LINE, &header_2(), b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"] {
            assert_eq!(claim(&PROTOCOL, C, whole), Claim::Yes);
            assert!(matches!(claim(&PROTOCOL, C, &whole[..9]), Claim::NeedBytes(n) if n > 9));
        }
        let no: [&[u8]; 5] = [
            b"PROXY TCP4 192.168.0.1 ::1 56324 443\r\n",
            b"PROXY / HTTP/1.1\r\n",
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 99999\r\n",
            b"\r\n\r\nGET / HTTP/1.1\r\n",
            b"POST / HTTP/1.1\r\n",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No, "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(claim(&PROTOCOL, S, LINE), Claim::No);
    }
}
