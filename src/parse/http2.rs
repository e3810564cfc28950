//! HTTP/2 without TLS, where the client knows beforehand that the server speaks it.
//!
//! In: the prefixes of both sides. Out: the same facts as of HTTP/1: host, method, path, user agent, server, status.
//! Bodies are stepped over; credentials and cookies are not kept. Sources: RFC 9113, RFC 7541.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod hpack;

use crate::bytes::Reader;
use crate::fact::{Facts, Flag, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, http};
use hpack::Decoder;

/// HTTP/2. Its fields are those of HTTP/1.
pub static PROTOCOL: Protocol = Protocol {
    name: "http2",
    over: &[Transport::Tcp],
    fields: &[],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: false,
    parser: |_| Box::new(Http2::default()),
};

/// Bytes of a header block with its continuations; more end the reading of its side.
pub const BLOCK_BYTES_MAX: usize = 32 * 1024;
/// Frames of one header block; more end the reading of its side.
pub const BLOCK_FRAMES_MAX: usize = 64;
/// What a client sends before its first frame (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
/// Bytes of a setting.
const SETTING_BYTES: usize = 6;
/// Settings that are a claim: few, each with a number that IANA has given.
const SETTINGS_MAX: usize = 16;

/// Frame types and flags (RFC 9113 section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x04;
const PADDED: u8 = 0x08;
const PRIORITY: u8 = 0x20;

/// The preface of a client, or the settings that a server sends first.
fn claim(bytes: &[u8]) -> Claim {
    match bytes.first() {
        None => return Claim::NeedBytes(1),
        Some(b'P') => {
            let front = bytes.get(..PREFACE.len()).unwrap_or(bytes);
            return match (PREFACE.starts_with(front), front.len() < PREFACE.len()) {
                (true, false) => Claim::Yes,
                (true, true) => Claim::NeedBytes(PREFACE.len()),
                (false, _) => Claim::No,
            };
        }
        Some(0) => {}
        Some(_) => return Claim::No,
    }
    let Some(head) = Head::read(bytes) else {
        let plausible = bytes.get(1).is_none_or(|high| *high == 0) && bytes.get(3).is_none_or(|kind| *kind == SETTINGS);
        return if plausible { Claim::NeedBytes(HEAD_BYTES) } else { Claim::No };
    };
    let fits = head.length.is_multiple_of(SETTING_BYTES) && head.length <= SETTING_BYTES.saturating_mul(SETTINGS_MAX);
    if (head.kind, head.flags, head.stream) != (SETTINGS, 0, 0) || !fits {
        return Claim::No;
    }
    let end = HEAD_BYTES.saturating_add(head.length);
    let Some(settings) = bytes.get(HEAD_BYTES..end) else { return Claim::NeedBytes(end) };
    if settings.is_empty() {
        // Too little to tell by; the client will.
        return if bytes.len() < PREFACE.len() { Claim::NeedBytes(bytes.len().saturating_add(1)) } else { Claim::No };
    }
    let known = |setting: &[u8]| matches!(setting, [0, 1..=6 | 8 | 9, ..]);
    if settings.chunks(SETTING_BYTES).all(known) { Claim::Yes } else { Claim::No }
}

/// The head of a frame.
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Head> {
        let mut reader = Reader::new(bytes);
        let (length, kind, flags) = (reader.u24()? as usize, reader.u8()?, reader.u8()?);
        Some(Head { length, kind, flags, stream: reader.u32()? & 0x7fff_ffff })
    }
}

#[derive(Default)]
struct Half {
    /// Offset of the next frame.
    at: usize,
    started: bool,
    fields: Decoder,
    /// A header block that goes on in the next frame: its stream, its bytes, its frames, whether it is a promise.
    block: Option<(u32, Vec<u8>, usize, bool)>,
}

#[derive(Default)]
struct Http2 {
    halves: [Half; 2],
}

impl Parser for Http2 {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let half = side.of_mut(&mut self.halves);
        loop {
            match half.frame(side, prefix, facts) {
                Some(0) => {}
                Some(bytes) if !prefix.last => return Progress::NeedBytes(bytes),
                Some(_) | None => return Progress::Done,
            }
        }
    }
}

impl Half {
    /// Reads one frame: 0 when it was there, else the bytes that are needed; `None` when nothing more can be read.
    fn frame(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Option<usize> {
        if self.at == 0 && prefix.bytes.first() == Some(&b'P') {
            if prefix.bytes.len() < PREFACE.len() {
                return Some(PREFACE.len());
            }
            self.at = PREFACE.len();
        }
        let rest = prefix.bytes.get(self.at..).unwrap_or_default();
        let Some(head) = Head::read(rest) else { return Some(self.at.saturating_add(HEAD_BYTES)) };
        let body = self.at.saturating_add(HEAD_BYTES);
        let end = body.saturating_add(head.length);
        let in_block = self.block.is_some();
        if !self.started && head.kind != SETTINGS || in_block != (head.kind == CONTINUATION) {
            facts.flags.set(Flag::ParseError);
            return None;
        }
        self.started = true;
        if matches!(head.kind, HEADERS | PUSH_PROMISE | CONTINUATION) {
            let Some(payload) = prefix.bytes.get(body..end) else { return Some(end) };
            self.headers(head, payload, side, prefix, facts)?;
        }
        self.at = end;
        Some(0)
    }

    /// Takes a part of a header block; `None` when it cannot be read and nothing after it can.
    fn headers(&mut self, head: Head, payload: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Option<()> {
        let Some(part) = part(head, payload) else {
            facts.flags.set(Flag::ParseError);
            return None;
        };
        let new = (head.stream, Vec::new(), 0, head.kind == PUSH_PROMISE);
        let (stream, mut bytes, frames, promise) = self.block.take().unwrap_or(new);
        bytes.extend_from_slice(part);
        if bytes.len() > BLOCK_BYTES_MAX || frames >= BLOCK_FRAMES_MAX {
            facts.flags.set(Flag::LimitReached);
            return None;
        }
        if head.flags & END_HEADERS == 0 {
            self.block = Some((stream, bytes, frames.saturating_add(1), promise));
            return Some(());
        }
        let mut message = Message::default();
        let read = self.fields.read(&bytes, |name, value| message.take(name, value));
        if read.is_none() || stream != head.stream {
            facts.flags.set(Flag::ParseError);
            return None;
        }
        // What a server promises nobody has asked for.
        if !promise {
            message.tell(side, prefix, facts);
        }
        Some(())
    }
}

/// The fragment of a header block in a frame, without padding and what stands before it.
fn part(head: Head, payload: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(payload);
    if head.kind == CONTINUATION {
        return Some(payload);
    }
    let padding = if head.flags & PADDED != 0 { usize::from(reader.u8()?) } else { 0 };
    match head.kind {
        HEADERS if head.flags & PRIORITY != 0 => reader.take(5)?,
        PUSH_PROMISE => reader.take(4)?,
        _ => &[],
    };
    let length = reader.left().checked_sub(padding)?;
    reader.take(length)
}

/// What is wanted of a request or response.
#[derive(Default)]
struct Message {
    method: Vec<u8>,
    host: Vec<u8>,
    path: Vec<u8>,
    agent: Vec<u8>,
    status: Vec<u8>,
    server: Vec<u8>,
    dns: bool,
}

impl Message {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        let place = match name {
            b":method" => &mut self.method,
            b":authority" => &mut self.host,
            b"host" if self.host.is_empty() => &mut self.host,
            b":path" => &mut self.path,
            b"user-agent" => &mut self.agent,
            b":status" => &mut self.status,
            b"server" => &mut self.server,
            b"content-type" | b"accept" => {
                self.dns |= http::is_dns_message(value);
                return;
            }
            _ => return,
        };
        *place = value.to_vec();
    }

    fn tell(&self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
        let seen = prefix.seen;
        let mut add = |field, value: &[u8]| {
            if !value.is_empty() {
                facts.add(field, side, seen, value);
            }
        };
        add(&http::METHOD, &self.method);
        add(&http::USER_AGENT, &self.agent);
        add(&http::SERVER, &self.server);
        let host = if self.method == b"CONNECT" { &http::CONNECT_HOST } else { &http::HOST };
        http::add_host(host, &self.host, side, seen, facts);
        if !self.path.is_empty() {
            http::add_path(&self.path, side, seen, facts);
        }
        if let Some(status) = str::from_utf8(&self.status).ok().and_then(|status| status.parse::<u16>().ok()) {
            facts.add_number(&http::STATUS, side, seen, status.into());
        }
        if self.dns {
            http::add_dns(side, seen, facts);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

    use super::*;
    use crate::parse::dns;
    use crate::parse::testing::{C, S, Talk, claim};

    /// RFC 7541, appendix C.4.1 (a request in Huffman code) and C.5.1 (a response in plain text).
    const REQUEST: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";
    const RESPONSE: &[u8] =
        b"\x48\x03302\x58\x07private\x61\x1dMon, 21 Oct 2013 20:13:21 GMT\x6e\x17https://www.example.com";

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    }

    fn client(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE, &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]), &frames.concat()].concat()
    }

    #[test]
    fn a_request_and_its_answer() {
        // A second request knows the host by its place in the table.
        let second = frame(HEADERS, 0x25, 3, &[&[0; 5], &b"\x82\x86\x04\x02/x\xbe\x0f\x2b\x03x/1"[..]].concat());
        let data = frame(0, 1, 1, b"not a frame");
        let bytes = client(&[frame(HEADERS, 4, 1, REQUEST), data, second]);
        let talk = Talk::new(&PROTOCOL)
            .send(S, &frame(SETTINGS, 0, 0, &[]))
            .drip(C, &bytes)
            .send(S, &[frame(SETTINGS, 1, 0, &[]), frame(HEADERS, 4, 1, RESPONSE)].concat());
        assert_eq!(talk.text(&http::HOST), ["www.example.com"]);
        assert_eq!(talk.text(&http::METHOD), ["GET"]);
        assert_eq!(talk.text(&http::PATH), ["/", "/x"]);
        assert_eq!(talk.text(&http::USER_AGENT), ["x/1"]);
        assert_eq!(talk.text(&http::STATUS), ["302"]);
        assert_eq!(talk.facts.flags.names().count(), 0);
    }

    #[test]
    fn blocks_in_several_frames_with_padding() {
        let (front, back) = REQUEST.split_at(5);
        let padded = [&[3], front, &[0; 3]].concat();
        let bytes = client(&[frame(HEADERS, 8, 1, &padded), frame(CONTINUATION, 4, 1, back)]);
        assert_eq!(Talk::new(&PROTOCOL).send(C, &bytes).text(&http::HOST), ["www.example.com"]);
        let cut = Talk::new(&PROTOCOL).send(C, &client(&[frame(HEADERS, 8, 1, &padded)])).end();
        assert!(cut.everything().is_empty());
        let broken = client(&[frame(HEADERS, 8, 1, &padded), frame(0, 0, 1, b"x")]);
        assert!(Talk::new(&PROTOCOL).send(C, &broken).facts.flags.has(Flag::ParseError));
        let endless = [vec![frame(HEADERS, 0, 1, &[])], vec![frame(CONTINUATION, 0, 1, &[]); 100]].concat();
        assert!(Talk::new(&PROTOCOL).send(C, &client(&endless)).facts.flags.has(Flag::LimitReached));
    }

    #[test]
    fn a_damaged_block_tells_nothing() {
        let mut damaged = REQUEST.to_vec();
        damaged[4] = 0x8d;
        let talk = Talk::new(&PROTOCOL).send(C, &client(&[frame(HEADERS, 4, 1, &damaged)]));
        assert!(talk.everything().is_empty() && talk.facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn dns_over_it_and_a_tunnel() {
        // RFC 8484, section 4.1.1, with literals.
        let query = b"\x82\x87\x04\x1b/dns-query?dns=AAABAAABAAAA\x01\x0edns.example:53";
        let talk = Talk::new(&PROTOCOL).send(C, &client(&[frame(HEADERS, 4, 1, query)]));
        assert_eq!(talk.text(&dns::TRANSPORT), ["doh"]);
        assert_eq!(talk.text(&http::PATH), ["/dns-query"]);
        assert_eq!(talk.text(&http::HOST), ["dns.example"]);
        let tunnel = b"\x02\x07CONNECT\x01\x0dx.example:443";
        let talk = Talk::new(&PROTOCOL).send(C, &client(&[frame(HEADERS, 4, 1, tunnel)]));
        assert_eq!(talk.text(&http::CONNECT_HOST), ["x.example"]);
        assert!(talk.text(&http::HOST).is_empty());
    }

    #[test]
    fn claims() {
        assert_eq!(claim(&PROTOCOL, C, PREFACE), Claim::Yes);
        assert_eq!(claim(&PROTOCOL, C, &PREFACE[..5]), Claim::NeedBytes(PREFACE.len()));
        let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
        assert_eq!(claim(&PROTOCOL, S, &settings), Claim::Yes);
        assert_eq!(claim(&PROTOCOL, S, &settings[..10]), Claim::NeedBytes(15));
        assert_eq!(claim(&PROTOCOL, S, &frame(SETTINGS, 0, 0, &[])), Claim::NeedBytes(10));
        let many = |count: usize| claim(&PROTOCOL, S, &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100].repeat(count)));
        assert_eq!((many(SETTINGS_MAX), many(SETTINGS_MAX + 1)), (Claim::Yes, Claim::No));
        let no: [&[u8]; 5] = [
            b"PRI * HTTP/1.1\r\n",
            b"POST / HTTP/1.1\r\n",
            &frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100]),
            &frame(SETTINGS, 0, 0, &[1, 3, 0, 0, 0, 100]),
            &frame(SETTINGS, 0, 0, &[0, 3, 0]),
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, S, bytes), Claim::No, "{bytes:?}");
        }
    }
}
