//! SOCKS 4, 4a and 5, and what is behind it.
//!
//! In: the prefixes of both sides. Out: the host that the proxy is asked for, and the facts of what runs through it,
//! as if it ran alone. User names and passwords are stepped over.
//! Sources: "SOCKS: A protocol for TCP proxy across firewalls" (Ying-Da Lee), its extension 4A, RFC 1928, RFC 1929.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Host that a proxy was asked for: a name, or an address as text.
pub static HOST: Field =
    Field::new("socks.host", Kind::Name, "host that a SOCKS proxy is asked for", "RFC 1928 section 4");

/// SOCKS.
pub static PROTOCOL: Protocol = Protocol {
    name: "socks",
    over: &[Transport::Tcp],
    fields: &[&HOST],
    claim,
    embedded: false,
    parser: |_| Box::new(Socks { inner: Inner::behind(&PROTOCOL), ends: [None; 2] }),
};

const PORT: u16 = 1080;
/// Bytes of a user id or a name, without the zero behind it.
const STRING_BYTES_MAX: usize = 255;
const VERSION_4: u8 = 4;
const VERSION_5: u8 = 5;
/// A SOCKS 4 server grants a request with this, and refuses with the three that follow.
const GRANTED_4: u8 = 0x5a;
/// User name and password (RFC 1929).
const METHOD_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;

/// The handshake of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// It takes so many bytes to read on.
    Need(usize),
    /// It is no SOCKS.
    Not,
    /// The other side refused, or this is not followed by data.
    Refused,
    /// What was asked for, if this side tells it, and where the data begins.
    Granted(Option<(Vec<u8>, u16)>, usize),
}

fn claim(&Opening { ports, side, bytes, last, .. }: &Opening<'_>) -> Claim {
    let known_port = ports.1 == PORT;
    let step = match (side, bytes.first()) {
        (_, None) => return Claim::NeedBytes(1),
        (Side::Source, Some(&VERSION_4 | &VERSION_5)) => request(bytes),
        (Side::Destination, Some(0 | &VERSION_5)) => answer(bytes),
        _ => return Claim::No,
    };
    match step {
        // Eight bytes are not enough to know an answer of SOCKS 4.
        Step::Granted(None, end) if bytes.first() == Some(&0) => {
            if known_port {
                Claim::Yes
            } else {
                Claim::NeedBytes(end.max(bytes.len()).saturating_add(1))
            }
        }
        // So few bytes of anything look like that, in a flow whose beginning was not seen.
        Step::Granted(_, end)
            if bytes.first() == Some(&VERSION_4) && !known_port && (end == usize::MAX || !has_name(bytes)) =>
        {
            Claim::No
        }
        // What follows may be there at once, when packets came in another order.
        Step::Granted(..) => Claim::Yes,
        Step::Refused if known_port => Claim::Yes,
        // All that will come: the greeting alone.
        Step::Need(_) if last && known_port && side == Side::Source && greeting(bytes).is_some() => Claim::Yes,
        Step::Need(bytes) => Claim::NeedBytes(bytes),
        Step::Not | Step::Refused => Claim::No,
    }
}

/// The number of bytes of a complete SOCKS 5 greeting with methods that exist.
fn greeting(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    reader.u8().filter(|version| *version == VERSION_5)?;
    let methods = reader.vec8().filter(|methods| !methods.is_empty())?;
    methods.rest().iter().all(|method| is_method(*method)).then(|| bytes.len().saturating_sub(reader.left()))
}

/// IANA, "SOCKS Methods": assigned and private ones.
fn is_method(method: u8) -> bool {
    matches!(method, 0..=9 | 0x80..=0xfe)
}

/// What the client sends.
fn request(bytes: &[u8]) -> Step {
    let mut reader = Reader::new(bytes);
    match reader.u8() {
        Some(VERSION_4) => return request_4(bytes, reader),
        Some(VERSION_5) => {}
        _ => return Step::Not,
    }
    let Some(count) = reader.u8() else { return Step::Need(2) };
    let Some(methods) = reader.take(usize::from(count)) else {
        return Step::Need(usize::from(count).saturating_add(2));
    };
    if methods.is_empty() || !methods.iter().all(|method| is_method(*method)) {
        return Step::Not;
    }
    let need =
        |more: usize, reader: &Reader<'_>| Step::Need(bytes.len().saturating_sub(reader.left()).saturating_add(more));
    if reader.rest().first() == Some(&1) && methods.contains(&METHOD_PASSWORD) {
        let mut password = reader;
        let Some(length) = password.take(2).and_then(|head| head.last()) else { return need(2, &reader) };
        let Some(length) = password.take(usize::from(*length)).and_then(|_| password.u8()) else {
            return need(usize::from(*length).saturating_add(3), &reader);
        };
        if password.take(usize::from(length)).is_none() {
            return need(usize::from(length), &password);
        }
        reader = password;
    }
    let at = bytes.len().saturating_sub(reader.left());
    let Some(&[version, command, reserved, _]) = reader.rest().first_chunk() else { return need(4, &reader) };
    // Tor has two commands of its own (socks-extensions.txt).
    if version != VERSION_5 || !matches!(command, 1..=3 | 0xf0 | 0xf1) || reserved != 0 {
        return Step::Not;
    }
    match (target(bytes, at), command) {
        (Step::Granted(Some(target), end), CONNECT) => Step::Granted(Some(target), end),
        // Data does not follow, or from somewhere else; nobody looks behind it.
        (Step::Granted(Some(target), _), _) => Step::Granted(Some(target), usize::MAX),
        (step, _) => step,
    }
}

/// The address of a SOCKS 5 request or answer that begins at an offset (RFC 1928 section 5).
fn target(bytes: &[u8], at: usize) -> Step {
    let mut reader = Reader::new(bytes.get(at..).unwrap_or_default());
    let Some(kind) = reader.take(4).and_then(|head| head.last()) else { return Step::Need(at.saturating_add(4)) };
    let (length, head) = match kind {
        1 => (4, 4),
        4 => (16, 4),
        3 => match reader.u8() {
            Some(length) => (usize::from(length), 5),
            None => return Step::Need(at.saturating_add(5)),
        },
        _ => return Step::Not,
    };
    let whole = at.saturating_add(head).saturating_add(length).saturating_add(2);
    let (Some(address), Some(port)) = (reader.take(length), reader.u16()) else { return Step::Need(whole) };
    let host = match kind {
        3 if is_host(address) => address.to_vec(),
        3 => return Step::Not,
        _ => address_text(address),
    };
    Step::Granted(Some((host, port)), whole)
}

/// Whether a request of SOCKS 4 has a name in the place of an address: SOCKS 4A.
fn has_name(request: &[u8]) -> bool {
    request.get(4..8).is_some_and(|address| matches!(address, [0, 0, 0, last] if *last > 0))
}

fn request_4<'a>(bytes: &'a [u8], mut reader: Reader<'a>) -> Step {
    let (Some(command), Some(port), Some(address)) = (reader.u8(), reader.u16(), reader.take(4)) else {
        let plausible = matches!(bytes.get(1), None | Some(1 | 2));
        return if plausible { Step::Need(9) } else { Step::Not };
    };
    let named = has_name(bytes);
    if !matches!(command, 1 | 2) || port == 0 || address == [0; 4] {
        return Step::Not;
    }
    let mut string = |is_good: fn(&[u8]) -> bool| {
        let length = reader.rest().iter().take(STRING_BYTES_MAX.saturating_add(1)).position(|byte| *byte == 0);
        match length {
            Some(length) => {
                let string = reader.take(length).unwrap_or_default();
                reader.u8();
                if is_good(string) { Ok(string) } else { Err(Step::Not) }
            }
            None if reader.left() > STRING_BYTES_MAX => Err(Step::Not),
            None if !reader.is_empty() && !is_good(reader.rest()) => Err(Step::Not),
            None => Err(Step::Need(bytes.len().saturating_add(1))),
        }
    };
    if let Err(step) = string(is_printable) {
        return step;
    }
    let host = match named {
        true => match string(is_host) {
            Ok(name) => name.to_vec(),
            Err(step) => return step,
        },
        false => address_text(address),
    };
    let end = bytes.len().saturating_sub(reader.left());
    Step::Granted(Some((host, port)), if command == CONNECT { end } else { usize::MAX })
}

/// What the server sends.
fn answer(bytes: &[u8]) -> Step {
    match bytes {
        [] => Step::Need(2),
        [0, code, ..] if !(GRANTED_4..=0x5d).contains(code) => Step::Not,
        [0, code, _, _, _, _, _, _, ..] => {
            if *code == GRANTED_4 {
                Step::Granted(None, 8)
            } else {
                Step::Refused
            }
        }
        [0, ..] => Step::Need(8),
        [VERSION_5] => Step::Need(2),
        [VERSION_5, NO_METHOD, ..] => Step::Refused,
        [VERSION_5, method, ..] if is_method(*method) => {
            let at = if *method == METHOD_PASSWORD { 4 } else { 2 };
            match bytes.get(at..).unwrap_or_default() {
                [VERSION_5, 0, 0, _, ..] => match target(bytes, at) {
                    Step::Granted(_, end) => Step::Granted(None, end),
                    step => step,
                },
                [VERSION_5, 1..=8, 0, ..] => Step::Refused,
                [VERSION_5, 1..=8] => Step::Need(at.saturating_add(3)),
                rest if [VERSION_5, 0, 0].starts_with(rest.get(..3).unwrap_or(rest)) => {
                    Step::Need(at.saturating_add(4))
                }
                // Another way of authentication, of which the end is not known.
                _ => Step::Not,
            }
        }
        _ => Step::Not,
    }
}

fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn is_host(name: &[u8]) -> bool {
    let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | 0x80..);
    !name.is_empty() && name.iter().all(good)
}

fn address_text(address: &[u8]) -> Vec<u8> {
    let text = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(four), _) => Ipv4Addr::from(four).to_string(),
        (_, Ok(sixteen)) => Ipv6Addr::from(sixteen).to_string(),
        _ => String::new(),
    };
    text.into_bytes()
}

struct Socks {
    inner: Inner,
    /// Offset of the data of each side, once it is known.
    ends: [Option<usize>; 2],
}

impl Parser for Socks {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let end = side.of_mut(&mut self.ends);
        let at = match end {
            Some(at) => *at,
            None => {
                let step = if side == Side::Source { request(prefix.bytes) } else { answer(prefix.bytes) };
                match step {
                    Step::Need(bytes) if !prefix.last => return Progress::NeedBytes(bytes),
                    Step::Granted(asked, at) => {
                        if let Some((host, port)) = asked {
                            facts.add(&HOST, side, prefix.seen, &host);
                            self.inner.port = port;
                        }
                        *end = Some(at);
                        at
                    }
                    Step::Need(_) | Step::Refused | Step::Not => return Progress::Done,
                }
            }
        };
        if at == usize::MAX {
            return Progress::Done;
        }
        self.inner.follow(side, at, prefix, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over, tcp};
    use crate::parse::{http, smtp, tls};

    /// The forms of the three documents, towards port 443.
    const REQUEST_4: &[u8] = b"\x04\x01\x01\xbb\xc0\x00\x02\x07fred\0";
    const REQUEST_4A: &[u8] = b"\x04\x01\x01\xbb\0\0\0\x01fred\0cloud.example\0";
    const ANSWER_4: &[u8] = b"\0\x5a\0\0\0\0\0\0";
    const GREETING: &[u8] = b"\x05\x01\0";
    const REQUEST_5: &[u8] = b"\x05\x01\0\x03\x0dcloud.example\x01\xbb";
    const ANSWER_5: &[u8] = b"\x05\0\x05\0\0\x01\xc0\0\x02\x01\x9c\x40";
    const PASSWORD_5: &[u8] =
        b"\x05\x02\0\x02\x01\x04fred\x06secret\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb";
    const PASSWORD_ANSWER_5: &[u8] = b"\x05\x02\x01\0\x05\0\0\x01\0\0\0\0\0\0";

    #[test]
    fn tls_behind_every_version() {
        let request_5 = [GREETING, REQUEST_5].concat();
        for (client, server, host) in [
            (REQUEST_4, ANSWER_4, "192.0.2.7"),
            (REQUEST_4A, ANSWER_4, "cloud.example"),
            (&request_5, ANSWER_5, "cloud.example"),
            (PASSWORD_5, PASSWORD_ANSWER_5, "2001:db8::1"),
        ] {
            is_taken_over(&PROTOCOL, client, server);
            let talk = Talk::new(&PROTOCOL).send(C, client).send(S, server);
            assert_eq!(talk.text(&HOST), [host]);
            talk.keeps_out("fred");
            talk.keeps_out("secret");
        }
    }

    #[test]
    fn other_protocols_behind_it() {
        let web = Talk::new(&PROTOCOL)
            .send(C, &[GREETING, REQUEST_5].concat())
            .send(S, ANSWER_5)
            .send(C, b"GET /x HTTP/1.1\r\nHost: cloud.example\r\n\r\n")
            .send(S, b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n");
        assert_eq!(web.text(&http::HOST), ["cloud.example"]);
        assert_eq!(web.text(&http::SERVER), ["x"]);
        // Nobody knows the greeting before the client has spoken.
        let mail = Talk::new(&PROTOCOL)
            .send(C, REQUEST_4)
            .send(S, ANSWER_4)
            .send(S, b"220 a.example ready\r\n")
            .send(C, b"EHLO b.example\r\n")
            .send(S, b"250 a.example\r\n");
        assert_eq!(mail.text(&smtp::BANNER), ["a.example ready"]);
    }

    #[test]
    fn proxies_do_not_nest_without_end() {
        let talk = Talk::new(&PROTOCOL).send(C, &REQUEST_4.repeat(3000)).send(S, &ANSWER_4.repeat(3000)).end();
        assert_eq!(talk.text(&HOST).len(), 1);
        assert!(talk.text(&tls::SNI).is_empty());
    }

    #[test]
    fn a_name_of_any_letters_reads_the_same_in_pieces() {
        let request = b"\x04\x01\x01\xbb\0\0\0\x01fred\0b\xc3\xbccher.example\0";
        let drops = Talk::new(&PROTOCOL).drip(C, request);
        assert_eq!(drops.everything(), Talk::new(&PROTOCOL).send(C, request).everything());
        assert_eq!(drops.text(&HOST).len(), 1);
        assert_eq!((PROTOCOL.claim)(&tcp((40000, PORT), S, b"\x05\0\x05\x01")), Claim::NeedBytes(5), "a refusal");
        assert_eq!((PROTOCOL.claim)(&tcp((40000, PORT), S, b"\x05\0\x05\x01\0")), Claim::Yes);
    }

    #[test]
    fn a_refused_request() {
        let talk = Talk::new(&PROTOCOL).send(C, b"\x05\x02\0\x01").send(S, b"\x05\xff").end();
        assert!(talk.everything().is_empty() && talk.is_done(S));
        let talk = Talk::new(&PROTOCOL).send(C, REQUEST_4).send(S, b"\0\x5b\0\0\0\0\0\0");
        assert!(talk.is_done(S));
    }

    /// RFC 1928, section 4: a request to wait for a flow or for datagrams names the other end, and no data follows it
    /// here; a kind of address that is none is no request.
    #[test]
    fn requests_that_open_nothing() {
        for command in [2, 3] {
            let request = [GREETING, &[5, command, 0, 1, 192, 0, 2, 7, 1, 187]].concat();
            assert_eq!(claim(&PROTOCOL, C, &request), Claim::Yes);
            let talk =
                Talk::new(&PROTOCOL).send(C, &[&request[..], b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat());
            assert_eq!(talk.text(&HOST), ["192.0.2.7"]);
            assert!(talk.text(&http::HOST).is_empty() && talk.is_done(C));
        }
        assert_eq!(claim(&PROTOCOL, C, &[GREETING, &[5, 1, 0, 2, 192, 0, 2, 7, 1, 187]].concat()), Claim::No);
        // Eight bytes are an answer of SOCKS 4 on its port; elsewhere what follows may say more.
        assert_eq!((PROTOCOL.claim)(&tcp((40000, PORT), S, ANSWER_4)), Claim::Yes);
        assert_eq!(claim(&PROTOCOL, S, ANSWER_4), Claim::NeedBytes(9));
    }

    #[test]
    fn claims() {
        let request_5 = [GREETING, REQUEST_5].concat();
        for bytes in [REQUEST_4, REQUEST_4A, &request_5, PASSWORD_5] {
            // A request without a name is too short to be known elsewhere than on the port of SOCKS.
            let elsewhere = if bytes == REQUEST_4 { Claim::No } else { Claim::Yes };
            for more in [&b""[..], b"more"] {
                let bytes = [bytes, more].concat();
                assert_eq!((PROTOCOL.claim)(&tcp((40000, PORT), C, &bytes)), Claim::Yes);
                assert_eq!(claim(&PROTOCOL, C, &bytes), elsewhere);
            }
            for end in 1..bytes.len() {
                let part = claim(&PROTOCOL, C, &bytes[..end]);
                assert!(matches!(part, Claim::NeedBytes(n) if n > end), "{end}: {part:?}");
            }
        }
        assert_eq!(claim(&PROTOCOL, S, ANSWER_5), Claim::Yes);
        let greeting = tcp((40000, PORT), C, GREETING);
        assert_eq!((PROTOCOL.claim)(&greeting), Claim::NeedBytes(GREETING.len() + 4));
        assert_eq!((PROTOCOL.claim)(&Opening { last: true, ..greeting }), Claim::Yes);
        let no: [&[u8]; 6] = [
            // The end of a hello.
            b"\x04\x02\x05\x02\x06\x02\0\x2b\0\x05\x04\x03\x04\x03\x03\0\x2d\0\x02\x01\x01",
            b"\x04\x01\0\0\xc0\0\x02\x07fred\0",
            b"\x04\x01\x01\xbb\xc0\0\x02\x07\x01\0",
            b"\x05\0\x0b\x03\x10\0\0\0\x48\0\0\0",
            b"\x05\x01\0\x16\x03\x01\0",
            b"\x05\x01\0\x05\x01\0\x03\x01\x20\0\x50",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No, "{bytes:?}");
        }
    }
}
