//! PostgreSQL, and TLS behind its request for encryption.
//!
//! In: the prefixes of both sides. Out: the version of the server and the name of the client's program. Reading ends
//! where a side begins to authenticate or is ready: user names, data bases, passwords and queries are not kept.
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol".

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Version that the server reports.
pub static VERSION: Field = Field::new(
    "postgresql.version",
    Kind::Text,
    "server_version of a PostgreSQL server",
    "PostgreSQL documentation, Message Formats: ParameterStatus",
);
/// Name that the client's program gives itself.
pub static APPLICATION: Field = Field::new(
    "postgresql.application",
    Kind::Text,
    "application_name of a PostgreSQL client",
    "PostgreSQL documentation, Message Formats: StartupMessage",
);

/// PostgreSQL.
pub static PROTOCOL: Protocol = Protocol {
    name: "postgresql",
    over: &[Transport::Tcp],
    fields: &[&VERSION, &APPLICATION],
    claim,
    embedded: false,
    parser: |_| Box::new(PostgreSql { inner: Inner::tls(), at: [0; 2] }),
};

/// Codes in the place of a version.
const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// Major version 3 in the upper two bytes.
const VERSION_3: u32 = 3;
/// Bytes of a message without a type: length and code.
const REQUEST_BYTES: usize = 8;
/// The longest that servers take before somebody has logged in (PG_MAX_AUTH_TOKEN_LENGTH is as large).
const MESSAGE_BYTES_MAX: usize = 65_535;
/// Bytes of the longest first message of a client.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Bytes of the name of a parameter.
const NAME_BYTES_MAX: usize = 64;

fn claim(&Opening { side, bytes, .. }: &Opening<'_>) -> Claim {
    match (side, bytes.first()) {
        (_, None) => Claim::NeedBytes(1),
        (Side::Source, Some(0)) => claim_request(bytes),
        (Side::Destination, Some(b'R')) => claim_answer(bytes),
        (Side::Destination, Some(b'S')) => match crate::parse::tls::claim(bytes.get(1..).unwrap_or_default()) {
            Claim::NeedBytes(more) => Claim::NeedBytes(more.saturating_add(1)),
            other => other,
        },
        _ => Claim::No,
    }
}

fn claim_request(bytes: &[u8]) -> Claim {
    let mut reader = Reader::new(bytes);
    let (Some(length), Some(code)) = (reader.u32(), reader.u32()) else { return Claim::NeedBytes(REQUEST_BYTES) };
    let length = length as usize;
    match code {
        SSL | GSS if length == REQUEST_BYTES => return Claim::Yes,
        CANCEL if length == 16 => return Claim::Yes,
        _ if code >> 16 != VERSION_3 || !(9..=STARTUP_BYTES_MAX).contains(&length) => return Claim::No,
        _ => {}
    }
    // Names and values, each with a zero behind it.
    let name = reader.rest().iter().take(NAME_BYTES_MAX).position(|byte| *byte == 0);
    let is_name = |name: &[u8]| name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_' || *byte == b'.');
    match name.and_then(|end| reader.take(end)) {
        Some(name) if !name.is_empty() && is_name(name) => Claim::Yes,
        None if is_name(reader.rest()) && reader.left() < NAME_BYTES_MAX => {
            Claim::NeedBytes(bytes.len().saturating_add(1))
        }
        _ => Claim::No,
    }
}

/// The server asks for authentication, or needs none.
fn claim_answer(bytes: &[u8]) -> Claim {
    let mut reader = Reader::new(bytes);
    reader.u8();
    let (Some(length), Some(kind)) = (reader.u32(), reader.u32()) else { return Claim::NeedBytes(9) };
    match (kind, length) {
        (0 | 2 | 3 | 6 | 7 | 9, 8) | (5, 12) | (10..=12, 9..=2048) => Claim::Yes,
        _ => Claim::No,
    }
}

struct PostgreSql {
    inner: Inner,
    /// Offset of the next message of each side.
    at: [usize; 2],
}

/// Where a side goes from here.
enum Step {
    /// To the message at this offset.
    To(usize),
    Need(usize),
    Done,
}

impl Parser for PostgreSql {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        loop {
            if self.inner.has_begun(side) {
                return self.inner.feed(side, prefix, facts);
            }
            let [source, destination] = self.at;
            let step = match side {
                Side::Source => self.request(source, prefix, facts),
                Side::Destination => self.answer(destination, prefix, facts),
            };
            match step {
                Step::To(next) => {
                    *side.of_mut(&mut self.at) = next;
                }
                Step::Need(bytes) if !prefix.last => return Progress::NeedBytes(bytes),
                Step::Need(_) | Step::Done => return Progress::Done,
            }
        }
    }
}

impl PostgreSql {
    fn request(&mut self, at: usize, prefix: Prefix<'_>, facts: &mut Facts) -> Step {
        match self.inner.begins(Side::Source, at, prefix) {
            Claim::Yes => return Step::To(at),
            Claim::NeedBytes(bytes) => return Step::Need(bytes),
            Claim::No => {}
        }
        let mut reader = Reader::new(prefix.bytes.get(at..).unwrap_or_default());
        let (Some(length), Some(code)) = (reader.u32(), reader.u32()) else {
            return Step::Need(at.saturating_add(REQUEST_BYTES));
        };
        let length = length as usize;
        match code {
            SSL | GSS if length == REQUEST_BYTES => return Step::To(at.saturating_add(REQUEST_BYTES)),
            _ if code >> 16 != VERSION_3 || length > STARTUP_BYTES_MAX => return Step::Done,
            _ => {}
        }
        let Some(parameters) = reader.take(length.saturating_sub(REQUEST_BYTES)) else {
            return Step::Need(at.saturating_add(length));
        };
        let mut words = parameters.split(|byte| *byte == 0);
        while let Some(name) = words.next().filter(|name| !name.is_empty()) {
            let value = words.next().unwrap_or_default();
            if name == b"application_name" && !value.is_empty() {
                facts.add(&APPLICATION, Side::Source, prefix.seen, value);
            }
        }
        Step::Done
    }

    fn answer(&mut self, at: usize, prefix: Prefix<'_>, facts: &mut Facts) -> Step {
        let mut reader = Reader::new(prefix.bytes.get(at..).unwrap_or_default());
        let behind = at.saturating_add(1);
        let Some(kind) = reader.u8() else { return Step::Need(behind) };
        // One letter answers a request for encryption; as a message it would have a length behind it.
        match (kind, reader.rest().first()) {
            (b'S', _) => match self.inner.begins(Side::Destination, behind, prefix) {
                Claim::Yes => return Step::To(at),
                Claim::NeedBytes(bytes) => return Step::Need(bytes),
                Claim::No => {}
            },
            (b'N' | b'G', None) => return Step::Need(behind.saturating_add(1)),
            (b'N', Some(1..)) => return Step::To(behind),
            _ => {}
        }
        let Some(length) = reader.u32().map(|length| length as usize) else { return Step::Need(at.saturating_add(5)) };
        if !matches!(kind, b'R' | b'S' | b'N' | b'K' | b'v') || !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            if !matches!(kind, b'Z' | b'E' | b'G') {
                facts.flags.set(Flag::ParseError);
            }
            return Step::Done;
        }
        let next = behind.saturating_add(length);
        let Some(body) = reader.take(length.saturating_sub(4)) else { return Step::Need(next) };
        if kind == b'S'
            && let Some(version) = body.strip_prefix(b"server_version\0").and_then(|value| value.strip_suffix(b"\0"))
            && !version.is_empty()
        {
            facts.add(&VERSION, Side::Destination, prefix.seen, version);
        }
        Step::To(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::{C, S, Talk, claim, is_taken_over};

    /// From the page "Message Formats".
    const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
    const GSS_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
    const STARTUP: &[u8] = b"\0\0\0\x29\0\x03\0\0user\0anna\0application_name\0psql\0\0";
    const READY: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0016.1\0Z";

    #[test]
    fn tls_behind_the_request() {
        is_taken_over(&PROTOCOL, SSL_REQUEST, b"S");
        is_taken_over(&PROTOCOL, &[GSS_REQUEST, SSL_REQUEST].concat(), b"NS");
    }

    #[test]
    fn without_encryption() {
        let talk = Talk::new(&PROTOCOL)
            .send(C, SSL_REQUEST)
            .send(S, b"N")
            .send(C, STARTUP)
            .send(S, b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0016.1\0")
            .send(S, b"Z\0\0\0\x05I");
        assert_eq!(talk.text(&VERSION), ["16.1"]);
        assert_eq!(talk.text(&APPLICATION), ["psql"]);
        assert!(talk.is_done(C) && talk.is_done(S));
        talk.keeps_out("anna");
        assert!(!talk.facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn what_is_cut_or_damaged_is_no_version() {
        let cut = Talk::new(&PROTOCOL).send(S, READY.get(..30).unwrap()).end();
        assert!(cut.text(&VERSION).is_empty());
        let damaged = Talk::new(&PROTOCOL).send(S, b"R\0\0\0\x08\0\0\0\0\x01\0\0\0\x05x").end();
        assert!(damaged.facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn claims() {
        for bytes in [SSL_REQUEST, GSS_REQUEST, STARTUP, b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02"] {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::Yes);
            assert_eq!(claim(&PROTOCOL, C, bytes.get(..7).unwrap()), Claim::NeedBytes(8));
        }
        assert_eq!(claim(&PROTOCOL, S, READY), Claim::Yes);
        let no: [&[u8]; 5] = [
            b"\0\0\0\x09\x04\xd2\x16\x2f",
            b"\0\0\0\x29\0\x03\0\0\0\0\0\0",
            b"\0\x03\0\0\0\x03\0\0user",
            b"\0\0\0\x29\0\x02\0\0user\0",
            b"\0\0\0\x29\0\x03\0\0User\0",
        ];
        for bytes in no {
            assert_eq!(claim(&PROTOCOL, C, bytes), Claim::No, "{bytes:?}");
        }
        assert_eq!(claim(&PROTOCOL, S, b"RTSP/1.0 200"), Claim::No);
    }
}
