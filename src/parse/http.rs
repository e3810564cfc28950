//! HTTP/1.0 and 1.1 over TCP, HTTP over UDP (SSDP), and what runs inside a CONNECT tunnel.
//!
//! In: the prefixes of both sides, or datagrams. Out: who was asked for what by whom: host,
//! method, path, user agent, server, status; of a proxy the host it was asked to connect to, and
//! the TLS facts of the bytes inside. RFC 9110, RFC 9112, UPnP Device Architecture 1.3 (SSDP).
//!
//! Not kept, for privacy: queries and fragments of targets, user names and passwords in
//! authorities, credentials and cookies. Bodies are stepped over as far as their length is
//! known; where it is not, nothing more is read of that side.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod half;
mod line;

use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, dns};
use half::{Body, Half, Mark, Message, Phase, Step};
use line::Start;

/// Host header, and the authority of an absolute target; without port and brackets.
pub static HOST: Field =
    Field::new("http.host", Kind::Name, "HTTP Host header or authority of the target", "RFC 9110 section 7.2");
/// Method of a request.
pub static METHOD: Field = Field::new("http.method", Kind::Text, "HTTP method", "RFC 9110 section 9");
/// Path of a request's target, without query and fragment; at most [`PATH_BYTES_MAX`] bytes.
pub static PATH: Field =
    Field::new("http.path", Kind::Text, "path of an HTTP request, without its query", "RFC 9112 section 3.2");
/// User-Agent header of a request.
pub static USER_AGENT: Field =
    Field::new("http.user_agent", Kind::Text, "HTTP User-Agent header", "RFC 9110 section 10.1.5");
/// Server header of a response or of an SSDP announcement.
pub static SERVER: Field = Field::new("http.server", Kind::Text, "HTTP Server header", "RFC 9110 section 10.2.4");
/// Status code of a response.
pub static STATUS: Field = Field::new("http.status", Kind::Number, "HTTP status code", "RFC 9110 section 15");
/// Protocol that a client offers to go on with, and the one a server goes on with.
pub static UPGRADE: Field =
    Field::new("http.upgrade", Kind::Text, "protocol that HTTP is upgraded to", "RFC 9110 section 7.8");
/// Host that a proxy was asked to connect to, without port and brackets.
pub static CONNECT_HOST: Field =
    Field::new("connect.host", Kind::Name, "host in an HTTP CONNECT request", "RFC 9110 section 9.3.6");

/// HTTP/1.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    over: &[Transport::Tcp, Transport::Udp],
    fields: &[&HOST, &METHOD, &PATH, &USER_AGENT, &SERVER, &STATUS, &UPGRADE, &CONNECT_HOST],
    claim: |&Opening { bytes, .. }| line::claim(bytes),
    embedded: true,
    parser: |transport| Box::new(Http::new(transport, Inner::tls())),
};

/// Bytes of a path; a longer one is cut there and flagged.
pub const PATH_BYTES_MAX: usize = 1024;
/// Bytes of a message before its body; more flag the flow and end the reading of its side.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Header lines of a message; more flag the flow and end the reading of its side.
pub const HEADER_LINES_MAX: usize = 256;
/// Empty lines between two messages.
const EMPTY_LINES_MAX: usize = 8;
/// HEAD and CONNECT requests whose answers are still to come.
const MARKED_REQUESTS_MAX: usize = 64;
/// Protocols of one Upgrade header.
const UPGRADES_MAX: usize = 8;
/// What DNS over HTTPS has in its headers and usually as its path (RFC 8484 sections 4.1 and 6).
const DNS_MESSAGE: &[u8] = b"application/dns-message";
const DNS_PATH: &[u8] = b"/dns-query";
/// Start of a status line, enough to tell it from a body.
const STATUS_LINE: &[u8] = b"HTTP/1.";

struct Http {
    transport: Transport,
    halves: [Half; 2],
    /// A start line was found on either side.
    found: bool,
    requests: usize,
    responses: usize,
    /// Requests by number that need care when their answer comes.
    marks: Vec<(usize, Mark)>,
    /// What is inside a CONNECT tunnel.
    inner: Inner,
}

impl Parser for Http {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match self.transport {
            Transport::Tcp => self.stream(side, prefix, facts),
            _ => {
                // A datagram is a whole message; nothing connects it with another.
                let mut datagram = Http::new(Transport::Udp, Inner::tls());
                datagram.stream(side, Prefix { last: true, ..prefix }, facts);
                if !datagram.found {
                    facts.flags.set(Flag::ParseError);
                }
                Progress::NeedBytes(0)
            }
        }
    }
}

impl Http {
    fn new(transport: Transport, inner: Inner) -> Http {
        Http {
            transport,
            halves: [Half::new(), Half::new()],
            found: false,
            requests: 0,
            responses: 0,
            marks: Vec::new(),
            inner,
        }
    }

    fn half(&mut self, side: Side) -> &mut Half {
        side.of_mut(&mut self.halves)
    }

    fn stream(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        loop {
            let step = match self.half(side).phase {
                Phase::Start => self.start(side, prefix, facts),
                Phase::Head => self.head(side, prefix, facts),
                Phase::Body(end) => self.body(side, prefix, end),
                Phase::ChunkSize => self.chunk_size(side, prefix),
                Phase::Chunk(end) => self.chunk(side, prefix, end),
                Phase::Trailer => self.trailer(side, prefix, facts),
                Phase::Open => self.open(side, prefix),
                Phase::Tunnel => return self.inner.feed(side, prefix, facts),
                Phase::Over => return self.over(),
            };
            match step {
                Step::Again => {}
                Step::Need(_) if prefix.last => {
                    self.header(side, prefix, facts);
                    self.half(side).phase = Phase::Over;
                    return self.over();
                }
                Step::Need(bytes) => return Progress::NeedBytes(bytes),
            }
        }
    }

    fn over(&self) -> Progress {
        let [source, destination] = &self.halves;
        let both = matches!((source.phase, destination.phase), (Phase::Over, Phase::Over));
        if both && !self.found { Progress::NotMine } else { Progress::Done }
    }

    fn start(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Step {
        let half = self.half(side);
        let Some(range) = half.line(prefix.bytes) else {
            return half.more(prefix, facts);
        };
        let line = prefix.bytes.get(range).unwrap_or_default();
        if line.is_empty() && half.lines < EMPTY_LINES_MAX {
            half.lines = half.lines.saturating_add(1);
            return Step::Again;
        }
        let Some(start) = line::start(line) else {
            half.phase = Phase::Over;
            return Step::Again;
        };
        half.phase = Phase::Head;
        half.lines = 0;
        half.body = Body::default();
        self.found = true;
        let message = match start {
            Start::Request { method, target } => {
                facts.add(&METHOD, side, prefix.seen, method);
                Message::Request(self.request(side, prefix, method, target, facts))
            }
            Start::Response { status } => {
                facts.add_number(&STATUS, side, prefix.seen, u64::from(status));
                Message::Response(status)
            }
        };
        self.half(side).message = message;
        Step::Again
    }

    /// Reads a target (RFC 9112, 3.2).
    fn request(
        &mut self,
        side: Side,
        prefix: Prefix<'_>,
        method: &[u8],
        target: &[u8],
        facts: &mut Facts,
    ) -> Option<Mark> {
        if method == b"CONNECT" {
            if let Some((host, port)) = line::host_and_port(target) {
                facts.add(&CONNECT_HOST, side, prefix.seen, host);
                self.inner.port = port;
            }
            return Some(Mark::Connect);
        }
        let mut path = target;
        if let Some((authority, rest)) = line::absolute(target) {
            add_host(&HOST, authority, side, prefix.seen, facts);
            path = rest;
        }
        add_path(path, side, prefix.seen, facts);
        (method == b"HEAD").then_some(Mark::Head)
    }

    fn head(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Step {
        let half = self.half(side);
        let Some(range) = half.line(prefix.bytes) else {
            return half.more(prefix, facts);
        };
        half.lines = half.lines.saturating_add(1);
        if half.lines > HEADER_LINES_MAX || half.at.saturating_sub(half.began) > HEAD_BYTES_MAX {
            return half.limit(facts);
        }
        let first = prefix.bytes.get(range.clone()).and_then(|line| line.first());
        match (first, &mut half.header) {
            (Some(b' ' | b'\t'), Some(header)) => {
                header.end = range.end;
                return Step::Again;
            }
            (None, _) => {}
            _ => {
                self.header(side, prefix, facts);
                self.half(side).header = Some(range);
                return Step::Again;
            }
        }
        self.header(side, prefix, facts);
        self.head_end(side, facts);
        Step::Again
    }

    /// Reads the header line that is complete now.
    fn header(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
        let half = self.half(side);
        let Some(range) = half.header.take() else {
            return;
        };
        let line = prefix.bytes.get(range).unwrap_or_default();
        let Some((name, value)) = line::header(line) else {
            return;
        };
        if value.is_empty() {
            return;
        }
        let request = matches!(half.message, Message::Request(_));
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        let unfolded;
        let value = if value.contains(&b'\n') {
            unfolded = line::unfold(value);
            &unfolded
        } else {
            value
        };
        if is(b"host") && request {
            add_host(&HOST, value, side, prefix.seen, facts);
        } else if is(b"user-agent") && request {
            facts.add(&USER_AGENT, side, prefix.seen, value);
        } else if is(b"server") {
            facts.add(&SERVER, side, prefix.seen, value);
        } else if is(b"upgrade") && (request || matches!(half.message, Message::Response(101))) {
            let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
            names.take(UPGRADES_MAX).for_each(|name| facts.add(&UPGRADE, side, prefix.seen, name));
        } else if (is(b"content-type") || is(b"accept") && request) && is_dns_message(value) {
            add_dns(side, prefix.seen, facts);
        } else if is(b"content-length") {
            let length = line::number(value);
            let other = half.body.length.is_some() && half.body.length != length;
            half.body.unsure |= other || length.is_none();
            half.body.length = length;
        } else if is(b"transfer-encoding") {
            let coding = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            half.body.chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            half.body.unsure |= !half.body.chunked;
        }
    }

    /// Decides what follows a head (RFC 9112, 6.3).
    fn head_end(&mut self, side: Side, facts: &mut Facts) {
        let message = self.half(side).message;
        let mut tunnel = false;
        let mut empty = false;
        match message {
            Message::Request(mark) => {
                tunnel = mark == Some(Mark::Connect);
                match mark {
                    Some(mark) if self.marks.len() < MARKED_REQUESTS_MAX => self.marks.push((self.requests, mark)),
                    Some(_) => facts.flags.set(Flag::LimitReached),
                    None => {}
                }
                self.requests = self.requests.saturating_add(1);
            }
            Message::Response(100 | 102..=199) => empty = true,
            Message::Response(status) => {
                let number = self.responses;
                self.responses = self.responses.saturating_add(1);
                let mark = self.marks.iter().find(|(request, _)| *request == number);
                let mark = mark.map(|(_, mark)| *mark);
                self.marks.retain(|(request, _)| *request > number);
                tunnel = mark == Some(Mark::Connect) && (200..300).contains(&status);
                empty = mark == Some(Mark::Head) || matches!(status, 204 | 304);
            }
        }
        let half = self.half(side);
        let Body { length, chunked, unsure } = half.body;
        let response = matches!(message, Message::Response(_));
        match length {
            _ if tunnel => half.phase = Phase::Open,
            _ if matches!(message, Message::Response(101)) => half.phase = Phase::Over,
            _ if empty => half.next_message(),
            _ if unsure => half.phase = Phase::Over,
            _ if chunked => half.phase = Phase::ChunkSize,
            Some(length) => half.skip(length, Phase::Body),
            None if response => half.phase = Phase::Open,
            None => half.next_message(),
        }
    }

    fn body(&mut self, side: Side, prefix: Prefix<'_>, end: usize) -> Step {
        // Without its request, the answer to a HEAD shows only by the next answer at its end.
        let response = matches!(self.half(side).message, Message::Response(_));
        let blind = self.requests == 0 && response;
        let half = self.half(side);
        let rest = prefix.bytes.get(half.at..).unwrap_or_default();
        if blind && half.at < end {
            if rest.starts_with(STATUS_LINE) {
                half.next_message();
                return Step::Again;
            }
            if STATUS_LINE.starts_with(rest) && !prefix.last {
                return Step::Need(half.at.saturating_add(STATUS_LINE.len()));
            }
        }
        if prefix.bytes.len() < end {
            // One more than the body: what follows is what is wanted.
            return Step::Need(end.saturating_add(1));
        }
        half.jump(end);
        half.next_message();
        Step::Again
    }

    fn chunk_size(&mut self, side: Side, prefix: Prefix<'_>) -> Step {
        let half = self.half(side);
        let Some(range) = half.line(prefix.bytes) else {
            return half.need_line();
        };
        match line::chunk_size(prefix.bytes.get(range).unwrap_or_default()) {
            Some(0) => {
                half.phase = Phase::Trailer;
                half.lines = 0;
                half.began = half.at;
            }
            Some(size) => half.skip(size, Phase::Chunk),
            None => half.phase = Phase::Over,
        }
        Step::Again
    }

    fn chunk(&mut self, side: Side, prefix: Prefix<'_>, end: usize) -> Step {
        let half = self.half(side);
        if prefix.bytes.len() < end {
            return Step::Need(end.saturating_add(1));
        }
        if half.at < end {
            half.jump(end);
        }
        let Some(range) = half.line(prefix.bytes) else {
            return half.need_line();
        };
        half.phase = if range.is_empty() { Phase::ChunkSize } else { Phase::Over };
        Step::Again
    }

    fn trailer(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Step {
        let half = self.half(side);
        let Some(range) = half.line(prefix.bytes) else {
            return half.more(prefix, facts);
        };
        half.lines = half.lines.saturating_add(1);
        if range.is_empty() {
            half.next_message();
        } else if half.lines > HEADER_LINES_MAX {
            return half.limit(facts);
        }
        Step::Again
    }

    /// Behind a CONNECT, or an answer that ends with the flow: TLS, more HTTP, or neither.
    fn open(&mut self, side: Side, prefix: Prefix<'_>) -> Step {
        let at = self.half(side).at;
        let rest = prefix.bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Step::Need(at.saturating_add(1));
        }
        let mut wanted = usize::MAX;
        match self.inner.begins(side, at, prefix) {
            Claim::Yes => {
                self.half(side).phase = Phase::Tunnel;
                return Step::Again;
            }
            Claim::NeedBytes(bytes) => wanted = bytes,
            Claim::No => {}
        }
        let half = self.half(side);
        match line::claim(rest) {
            Claim::Yes => {
                half.next_message();
                return Step::Again;
            }
            Claim::NeedBytes(bytes) => {
                let bytes = bytes.max(rest.len().saturating_add(1));
                wanted = wanted.min(bytes.saturating_add(at));
            }
            Claim::No => {}
        }
        if wanted == usize::MAX {
            half.phase = Phase::Over;
            return Step::Again;
        }
        Step::Need(wanted)
    }
}

/// Adds the host of an authority, without user name and port.
pub(super) fn add_host(field: &'static Field, authority: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
    let host = line::without_port(line::without_user(authority));
    if !host.is_empty() {
        facts.add(field, side, seen, host);
    }
}

/// Adds the path of a target without its query, and says when it is that of DNS.
pub(super) fn add_path(target: &[u8], side: Side, seen: Seen, facts: &mut Facts) {
    let path = match line::without_query(target) {
        b"" => b"/",
        path => path,
    };
    let kept = path.get(..PATH_BYTES_MAX).unwrap_or(path);
    if kept.len() < path.len() {
        facts.flags.set(Flag::LimitReached);
    }
    facts.add(&PATH, side, seen, kept);
    if path == DNS_PATH {
        add_dns(side, seen, facts);
    }
}

/// Whether DNS messages are among the media types of a header.
pub(super) fn is_dns_message(types: &[u8]) -> bool {
    line::has_type(types, DNS_MESSAGE)
}

/// Says that DNS travels in HTTP.
pub(super) fn add_dns(side: Side, seen: Seen, facts: &mut Facts) {
    facts.add(&dns::TRANSPORT, side, seen, b"doh");
}

#[cfg(test)]
mod tests;
