//! MySQL and MariaDB, and TLS that begins behind the request for it.
//!
//! In: the prefixes of both sides. Out: the version in the server's greeting. Reading ends with the login: user names,
//! passwords and queries are not kept.
//! Source: MySQL Source Code Documentation, "Connection Phase".

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Version in the server's greeting, with the name of its maker if it stands there.
pub static VERSION: Field = Field::new(
    "mysql.version",
    Kind::Text,
    "version of a MySQL or MariaDB server",
    "MySQL Source Code Documentation, Protocol::HandshakeV10",
);

/// MySQL.
pub static PROTOCOL: Protocol = Protocol {
    name: "mysql",
    over: &[Transport::Tcp],
    fields: &[&VERSION],
    claim,
    embedded: false,
    parser: |_| Box::new(MySql { inner: Inner::tls() }),
};

/// Length in three bytes, least significant first, and a number.
const HEAD_BYTES: usize = 4;
const PROTOCOL_VERSION: u8 = 10;
/// Bytes of a version.
const VERSION_BYTES_MAX: usize = 128;
/// Bytes of a greeting: version, salts, the name of a plugin.
const GREETING_BYTES: std::ops::RangeInclusive<usize> = 33..=512;
/// Bytes of a request for TLS, and the capability that says it is one.
const SSL_REQUEST_BYTES: usize = 32;
const CLIENT_SSL: u8 = 0x08;
const CLIENT_PROTOCOL_41: u8 = 0x02;

/// What was read of a packet that begins a side.
enum Packet<'a> {
    /// The server's greeting and where it ends.
    Greeting(&'a [u8], usize),
    /// The client wants TLS.
    SslRequest,
    Need(usize),
    Other,
}

fn claim(&Opening { bytes, .. }: &Opening<'_>) -> Claim {
    match packet(bytes) {
        Packet::Greeting(..) | Packet::SslRequest => Claim::Yes,
        Packet::Need(bytes) => Claim::NeedBytes(bytes),
        Packet::Other => Claim::No,
    }
}

fn packet(bytes: &[u8]) -> Packet<'_> {
    let length = match bytes {
        [low, high, 0, 0, PROTOCOL_VERSION, b'0'..=b'9', ..] | [low, high, 0, 1, ..] => {
            usize::from(u16::from_le_bytes([*low, *high]))
        }
        [_, _, 0, 0, PROTOCOL_VERSION] | [_, _, 0, 0] | [_, _, 0] | [_, _] | [_] | [] => return Packet::Need(6),
        _ => return Packet::Other,
    };
    let whole = HEAD_BYTES.saturating_add(length);
    let is_greeting = bytes.get(3) == Some(&0);
    let fits = if is_greeting { GREETING_BYTES.contains(&length) } else { length == SSL_REQUEST_BYTES };
    let Some(body) = bytes.get(HEAD_BYTES..whole).filter(|_| fits) else {
        return if fits { Packet::Need(whole) } else { Packet::Other };
    };
    if is_greeting {
        return version(body).map_or(Packet::Other, |version| Packet::Greeting(version, whole));
    }
    // Capabilities, packet size, character set, then zeros; MariaDB has more capabilities in the last four bytes.
    let zeros = body.get(9..28).is_some_and(|zeros| zeros.iter().all(|byte| *byte == 0));
    let wanted = CLIENT_SSL | CLIENT_PROTOCOL_41;
    let asks = body.get(1).is_some_and(|capabilities| capabilities & wanted == wanted);
    if zeros && asks { Packet::SslRequest } else { Packet::Other }
}

/// The version in a greeting: protocol, version, zero, thread, eight bytes of salt, zero.
fn version(body: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    reader.u8()?;
    let length = reader.rest().iter().take(VERSION_BYTES_MAX).position(|byte| *byte == 0)?;
    let version = reader.take(length)?;
    reader.take(13)?;
    let printable = version.iter().all(|byte| (b' '..=b'~').contains(byte));
    (printable && reader.u8()? == 0).then_some(version)
}

struct MySql {
    inner: Inner,
}

impl Parser for MySql {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.inner.has_begun(side) {
            return self.inner.feed(side, prefix, facts);
        }
        let end = match packet(prefix.bytes) {
            Packet::Greeting(version, end) => {
                facts.add(&VERSION, side, prefix.seen, version);
                end
            }
            Packet::SslRequest => HEAD_BYTES.saturating_add(SSL_REQUEST_BYTES),
            Packet::Need(bytes) if !prefix.last => return Progress::NeedBytes(bytes),
            Packet::Need(_) | Packet::Other => return Progress::Done,
        };
        self.inner.enter(side, end, prefix, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over};

    /// The greeting in the page "Protocol::HandshakeV10", and a request as in "Protocol::SSLRequest".
    const GREETING: &[u8] = b"\x36\0\0\0\x0a5.5.2-m2\0\x0b\0\0\0dvH@I-CJ\0\xff\xf7\x08\x02\0\
        \0\0\0\0\0\0\0\0\0\0\0\0\0*4d|cZwk4^]:\0";
    const REQUEST: &[u8] = b"\x20\0\0\x01\x05\xae\x03\0\0\0\0\x01\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn tls_behind_the_request() {
        is_taken_over(&PROTOCOL, REQUEST, GREETING);
        let talk = Talk::new(&PROTOCOL).send(S, GREETING).send(C, REQUEST);
        assert_eq!(talk.text(&VERSION), ["5.5.2-m2"]);
    }

    #[test]
    fn a_login_without_tls() {
        let talk = Talk::new(&PROTOCOL)
            .send(S, GREETING)
            .send(C, b"\x54\0\0\x01\x8d\xa6\x0f\0\0\0\0\x01\x08\0\0\0\0")
            .send(S, b"\x07\0\0\x02\0\0\0\x02\0\0\0");
        assert!(talk.is_done(C) && talk.is_done(S));
        assert_eq!(talk.everything().len(), 1);
    }

    #[test]
    fn claims() {
        for (side, bytes) in [(S, GREETING), (C, REQUEST)] {
            assert_eq!(claim(&PROTOCOL, side, bytes), Claim::Yes);
            for end in 1..bytes.len() {
                let part = claim(&PROTOCOL, side, bytes.get(..end).unwrap());
                assert!(matches!(part, Claim::NeedBytes(n) if n > end), "{end}: {part:?}");
            }
        }
        let no: [&[u8]; 5] = [
            b"\x36\0\0\0\x0bx",
            b"\x36\0\0\0\x0am",
            b"\x36\0\0\x02\0\0",
            b"\x20\0\0\x01\x05\xa6\x03\0\0\0\0\x01\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\x16\x03\x01\0\xa5\x01",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::No, "{bytes:?}");
        }
    }
}
