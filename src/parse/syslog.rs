//! Syslog in clear, over UDP, and over TCP with either framing.
//!
//! In: datagrams, or streams of messages with their length before them or a line end behind them. Out: who logs
//! (host, application, serial number of a device), and the shape of its messages, by which vendors can be told
//! apart. RFC 5424 and RFC 3164 (messages), RFC 5426 (UDP), RFC 6587 (TCP).
//!
//! What is logged is other people's data: the shape keeps names of fields and drops their values, see [`FORMAT`].
//! Every value must end with what ends it in its format; the end of a message that a capture cut off ends nothing.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod header;
mod shape;

use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};
use header::Message;

/// The shape of a message, without time, host and whatever is logged:
/// - RFC 5424: `1 - - APP - MSGID SD`, the header with `-` for time, host and process, each element of structured
///   data as `[id name= name=]`; Check Point's as `[name: name:`;
/// - RFC 3164: `APP:`, and the first element in the manner of RFC 5424, if any: `Hostd: [Originator@6876 sub=]`;
/// - then, if the text is in a form for machines, `CEF:0|vendor|product|version`, `LEEF:1.0|vendor|product|version`,
///   the first names of FortiOS with the model in the serial number, `date= time= devname= devid=FG100E`, or type
///   and subtype of PAN-OS, `,,,TRAFFIC,end`.
pub static FORMAT: Field = Field::new(
    "syslog.format",
    Kind::Text,
    "shape of a syslog message: application, names of fields, vendor and product, no values",
    "RFC 5424 section 6, RFC 3164 section 4; ArcSight CEF, IBM LEEF, FortiOS and PAN-OS log formats",
);
/// Serial number or other id of the device that logs.
pub static DEVICE_ID: Field = Field::new(
    "syslog.device_id",
    Kind::Text,
    "serial number or id of a device in its log",
    "FortiOS log reference (devid), PAN-OS syslog field descriptions (Serial Number), CEF (deviceExternalId)",
);
/// Host in the header, or the name that the device gives itself.
pub static HOSTNAME: Field = Field::new(
    "syslog.hostname",
    Kind::Name,
    "host in the header of a syslog message",
    "RFC 5424 section 6.2.4, RFC 3164 section 4.1.2, FortiOS log reference (devname)",
);
/// Application in the header.
pub static APP: Field = Field::new(
    "syslog.app",
    Kind::Text,
    "application (APP-NAME, TAG) of a syslog message",
    "RFC 5424 section 6.2.5, RFC 3164 section 4.1.3",
);

/// Syslog.
pub static PROTOCOL: Protocol = Protocol {
    name: "syslog",
    over: &[Transport::Udp, Transport::Tcp],
    fields: &[&FORMAT, &DEVICE_ID, &HOSTNAME, &APP],
    claim,
    embedded: false,
    parser: |transport| Box::new(Syslog { transport, halves: [Half::default(); 2] }),
};

/// Bytes of a message over TCP; a longer one flags the flow and ends the reading of its side.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Messages read of one side over TCP; more flag the flow.
pub const MESSAGES_MAX: usize = 64;
/// Bytes of a message that are looked at.
pub const LOOK_BYTES_MAX: usize = 2048;
/// Bytes of a first message after which a claim is settled.
const CLAIM_BYTES_MAX: usize = 512;
/// Digits of the length before a message (RFC 6587, 3.4.1; it sets no limit).
const LENGTH_DIGITS_MAX: usize = 5;
/// Where a message needs nothing but its priority: UDP and TCP, and common choices of administrators.
const PORTS: [u16; 3] = [514, 601, 1514];

fn claim(&Opening { transport, ports, bytes, last, .. }: &Opening<'_>) -> Claim {
    let first = bytes.first().copied().unwrap_or_default();
    if !matches!(first, b'<' | b'C' | b'L' | b'1'..=b'9') {
        return Claim::No;
    }
    let more = Claim::NeedBytes(bytes.len().saturating_add(1));
    let (at, length) = match length(bytes) {
        Length::Is(length, at) => (at, Some(length)),
        Length::No if transport == Transport::Tcp => (0, bytes.iter().position(is_end)),
        Length::No => (0, None),
        Length::Open => return more,
    };
    let rest = bytes.get(at..).unwrap_or_default();
    let most = length.unwrap_or(CLAIM_BYTES_MAX).min(CLAIM_BYTES_MAX);
    let message = rest.get(..most).unwrap_or(rest);
    let is_whole = last || message.len() == most;
    let usual = PORTS.iter().any(|port| *port == ports.0 || *port == ports.1);
    match Message::read(message) {
        None if is_whole || !header::may_begin(message) => Claim::No,
        _ if !is_whole => more,
        Some(told) if told.is_sure || usual && told.is_text() && !told.is_empty() => Claim::Yes,
        _ => Claim::No,
    }
}

/// The length before a message.
enum Length {
    /// So many bytes from this offset on.
    Is(usize, usize),
    /// There is none.
    No,
    /// It is not whole yet.
    Open,
}

fn length(bytes: &[u8]) -> Length {
    let digits = bytes.iter().take(LENGTH_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || bytes.first() == Some(&b'0') {
        return Length::No;
    }
    let number = bytes
        .iter()
        .take(digits)
        .fold(0_usize, |sum, digit| sum.saturating_mul(10).saturating_add(usize::from(digit.saturating_sub(b'0'))));
    match (bytes.get(digits), bytes.get(digits.saturating_add(1))) {
        (Some(b' '), Some(b'<')) => Length::Is(number, digits.saturating_add(1)),
        (Some(b' '), None) | (None, _) => Length::Open,
        _ => Length::No,
    }
}

/// How far one side of a stream has been read.
#[derive(Clone, Copy, Default)]
struct Half {
    at: usize,
    messages: usize,
}

struct Syslog {
    transport: Transport,
    halves: [Half; 2],
}

impl Parser for Syslog {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.transport != Transport::Tcp {
            if prefix.last {
                read(prefix.bytes, side, prefix, facts);
            }
            return Progress::NeedBytes(0);
        }
        let half = side.of_mut(&mut self.halves);
        while half.messages < MESSAGES_MAX {
            let rest = prefix.bytes.get(half.at..).unwrap_or_default();
            let blank = rest.iter().take_while(|byte| is_end(byte)).count();
            let rest = rest.get(blank..).unwrap_or_default();
            let start = half.at.saturating_add(blank);
            let more = Progress::NeedBytes(prefix.bytes.len().saturating_add(1));
            let (message, end) = match (length(rest), rest.iter().take(MESSAGE_BYTES_MAX).position(is_end)) {
                (Length::Is(length, at), _) if length <= MESSAGE_BYTES_MAX => {
                    let end = start.saturating_add(at).saturating_add(length);
                    let Some(message) = prefix.bytes.get(start.saturating_add(at)..end) else {
                        return Progress::NeedBytes(end);
                    };
                    (message, end)
                }
                (Length::Open, _) if rest.len() <= LENGTH_DIGITS_MAX => return more,
                (Length::No, Some(end)) => {
                    (rest.get(..end).unwrap_or_default(), start.saturating_add(end).saturating_add(1))
                }
                (Length::No, None) if rest.len() < MESSAGE_BYTES_MAX => return more,
                _ => {
                    facts.flags.set(Flag::LimitReached);
                    return Progress::Done;
                }
            };
            half.at = end;
            half.messages = half.messages.saturating_add(1);
            if !read(message, side, prefix, facts) {
                return Progress::Done;
            }
        }
        facts.flags.set(Flag::LimitReached);
        Progress::Done
    }
}

/// What stands behind a message without a length: a line end, or a zero (RFC 6587, 3.4.2).
fn is_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

/// Tells what a message says; whether it is one.
fn read(message: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> bool {
    let look = message.get(..LOOK_BYTES_MAX).unwrap_or(message);
    let Some(message) = Message::read(look) else {
        facts.flags.set(Flag::ParseError);
        return false;
    };
    for (field, value) in [(&APP, message.app), (&HOSTNAME, message.host), (&DEVICE_ID, message.device_id)] {
        if let Some(value) = value {
            facts.add(field, side, prefix.seen, value);
        }
    }
    if !message.format.is_empty() {
        facts.add(&FORMAT, side, prefix.seen, &message.format);
    }
    true
}

#[cfg(test)]
mod tests;
