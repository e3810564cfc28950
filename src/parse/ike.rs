//! IKE versions 1 and 2 over UDP on any port, and what shares a port with it behind NAT.
//!
//! In: datagrams, with or without the four zero bytes before IKE on port 4500. Out: vendor IDs, what a
//! side proposes, which payloads stand in a message and in which order. RFC 2408 and 2409 (version 1), RFC 7296
//! (version 2), RFC 7383 (its fragments), RFC 3948 (ESP and keepalives in UDP).
//!
//! Encrypted messages, fragments and ESP are recognised and say nothing. A message must have the length that its
//! header says and payloads that fill it to the last byte, or it is nobody's.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod proposal;

use std::fmt::Write;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// Each vendor ID payload.
pub static VENDOR_ID: Field =
    Field::new("ike.vendor_id", Kind::Hex, "IKE vendor ID payload", "RFC 7296 section 3.12, RFC 2408 section 3.16");
/// What one security association payload proposes, in the order of the wire.
pub static PROPOSAL: Field = Field::new(
    "ike.proposal",
    Kind::Text,
    "proposals with their transforms by IANA number, in order",
    "RFC 7296 section 3.3, RFC 2408 section 3.4",
);
/// Version of the messages.
pub static VERSION: Field =
    Field::new("ike.version", Kind::Text, "version of IKE, 1.0 or 2.0", "RFC 7296 section 3.1, RFC 2408 section 3.1");
/// Exchange types of the messages.
pub static EXCHANGE: Field = Field::new(
    "ike.exchange",
    Kind::Number,
    "IKE exchange type: 2 main mode, 4 aggressive mode, 34 IKE_SA_INIT",
    "RFC 7296 section 3.1, RFC 2408 section 3.1",
);
/// Payload types of a message that proposes something, in order; a notification with its type: `33 34 40 41:16388`.
pub static PAYLOADS: Field = Field::new(
    "ike.payloads",
    Kind::Text,
    "payload types of a message with proposals, in order; notifications with their type",
    "RFC 7296 section 3.2, RFC 2408 section 3.1",
);

/// IKE.
pub static PROTOCOL: Protocol = Protocol {
    name: "ike",
    over: &[Transport::Udp],
    fields: &[&VENDOR_ID, &PROPOSAL, &VERSION, &EXCHANGE, &PAYLOADS],
    claim,
    embedded: false,
    parser: |_| Box::new(Ike::default()),
};

/// Payloads read in a message.
pub const PAYLOADS_MAX: usize = 128;
/// ESP datagrams after which no IKE in clear is waited for.
pub const ESP_DATAGRAMS_MAX: u32 = 32;

/// Where ESP shares a port with IKE (RFC 3948, 2).
const NAT_PORT: u16 = 4500;
/// Stands before IKE there: no ESP has such an SPI (RFC 3948, 2.2).
const NON_ESP_MARKER: [u8; 4] = [0; 4];
/// The whole of a keepalive (RFC 3948, 2.3).
const KEEPALIVE: [u8; 1] = [0xff];
/// SPIs below are reserved (RFC 4303, 2.1).
const ESP_SPI_MIN: u32 = 256;
/// Packets of an SA that was not seen from its start; a larger number is taken for something else.
const ESP_SEQUENCE_MAX: u32 = 1 << 24;
/// SPI, sequence number, and the shortest data and check value in use.
const ESP_BYTES_MIN: usize = 28;
/// Bytes of data that are looked at.
const CIPHER_BYTES: usize = 64;

const PAYLOAD_HEADER_BYTES: usize = 4;
/// Blocks of the ciphers in version 1 are this long or a multiple.
const BLOCK_BYTES: usize = 8;

/// Payload types.
const SA_1: u8 = 1;
const VENDOR_ID_1: u8 = 13;
const SA_2: u8 = 33;
const NOTIFY_2: u8 = 41;
const VENDOR_ID_2: u8 = 43;
const ENCRYPTED_2: u8 = 46;
const FRAGMENT_2: u8 = 53;

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let nat_port = is_at(ports, &[NAT_PORT]);
    let mine = Message::read(bytes).is_some() || nat_port && is_esp(bytes);
    if mine { Claim::Yes } else { Claim::No }
}

/// Whether a datagram looks like ESP although nothing announced it: a young sequence number, and behind it bytes that
/// differ as those of a cipher do. Names, zeros and counters repeat themselves.
fn is_esp(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let (Some(spi), Some(sequence)) = (reader.u32(), reader.u32()) else { return false };
    let aligned = bytes.len() >= ESP_BYTES_MIN && bytes.len().is_multiple_of(4);
    if !aligned || spi < ESP_SPI_MIN || !(1..ESP_SEQUENCE_MAX).contains(&sequence) {
        return false;
    }
    let data = reader.rest().get(..CIPHER_BYTES).unwrap_or(reader.rest());
    let (mut there, mut different) = ([false; 256], 0_usize);
    for byte in data {
        if let Some(there) = there.get_mut(usize::from(*byte)) {
            different = different.saturating_add(usize::from(!*there));
            *there = true;
        }
    }
    // Of 64 random bytes 57 differ, and 48 nearly always.
    different.saturating_mul(4) >= data.len().saturating_mul(3)
}

#[derive(Default)]
struct Ike {
    /// IKE itself was seen: what has an SPI beside it is ESP.
    found: bool,
    esp: u32,
}

impl Parser for Ike {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let datagram = prefix.bytes;
        if let Some(message) = Message::read(datagram) {
            self.found = true;
            message.tell(side, prefix, facts);
        } else if datagram == KEEPALIVE {
            return Progress::NeedBytes(0);
        } else if is_esp(datagram) || self.found && !datagram.starts_with(&NON_ESP_MARKER) {
            self.esp = self.esp.saturating_add(1);
            if self.esp >= ESP_DATAGRAMS_MAX {
                return Progress::AllDone;
            }
        } else if self.found {
            facts.flags.set(Flag::ParseError);
        } else {
            return Progress::NotMine;
        }
        Progress::NeedBytes(0)
    }
}

/// A message whose header and payloads fit its length.
struct Message<'a> {
    version: u8,
    exchange: u8,
    encrypted: bool,
    first: u8,
    body: Reader<'a>,
}

impl<'a> Message<'a> {
    /// Reads a datagram, with or without the marker.
    fn read(datagram: &'a [u8]) -> Option<Message<'a>> {
        Message::behind(datagram).or_else(|| Message::behind(datagram.strip_prefix(&NON_ESP_MARKER)?))
    }

    fn behind(bytes: &'a [u8]) -> Option<Message<'a>> {
        const VERSION_AT: usize = 17;
        // Two values of one byte: most datagrams end here.
        let version = *bytes.get(VERSION_AT)? >> 4;
        let mut reader = Reader::new(bytes);
        let initiator = (reader.u32()?, reader.u32()?);
        let responder = (reader.u32()?, reader.u32()?);
        let first = reader.u8()?;
        let minor = reader.u8()? & 0x0f;
        let exchange = reader.u8()?;
        let flags = reader.u8()?;
        reader.u32()?; // message ID
        let length = reader.u32()? as usize;
        let begins = match (version, exchange) {
            (1, 1 | 2 | 4 | 5) | (2, 34 | 37 | 38) => true,
            (1, 3 | 6 | 32 | 33) | (2, 35 | 36 | 39..=44) => false,
            _ => return None,
        };
        let unused = if version == 1 { !0x07 } else { !0x38 };
        let fits = length == bytes.len() && minor == 0 && flags & unused == 0;
        if !fits || initiator == (0, 0) || responder == (0, 0) && !begins {
            return None;
        }
        let encrypted = version == 1 && flags & 1 != 0;
        let message = Message { version, exchange, encrypted, first, body: reader };
        if encrypted {
            let blocks = reader.left() > 0 && reader.left().is_multiple_of(BLOCK_BYTES) && is_payload(version, first);
            return blocks.then_some(message);
        }
        message.each(|_, _| ()).map(|()| message)
    }

    /// Every payload in clear. `None`: they do not fit.
    fn each(&self, mut each: impl FnMut(u8, Reader<'a>)) -> Option<()> {
        let (mut kind, mut body) = (self.first, self.body);
        for _ in 0..PAYLOADS_MAX {
            if kind == 0 {
                return body.is_empty().then_some(());
            }
            let next = body.u8()?;
            let reserved = body.u8()?;
            let length = usize::from(body.u16()?).checked_sub(PAYLOAD_HEADER_BYTES)?;
            // The top bit is that of critical payloads in version 2.
            let critical = if self.version == 2 { 0x80 } else { 0 };
            if !is_payload(self.version, kind) || reserved & !critical != 0 {
                return None;
            }
            each(kind, body.sub(length)?);
            if self.version == 2 && matches!(kind, ENCRYPTED_2 | FRAGMENT_2) {
                // It is the last; what it calls the next is inside.
                return (body.is_empty() && length > 0).then_some(());
            }
            kind = next;
        }
        None
    }

    fn tell(&self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
        facts.add(&VERSION, side, prefix.seen, if self.version == 1 { b"1.0" } else { b"2.0" });
        facts.add_number(&EXCHANGE, side, prefix.seen, u64::from(self.exchange));
        if self.encrypted {
            return;
        }
        let (mut payloads, mut proposes) = (String::new(), false);
        self.each(|kind, mut body| {
            let space = if payloads.is_empty() { "" } else { " " };
            // A string takes everything.
            let _ = write!(payloads, "{space}{kind}");
            match (self.version, kind) {
                (1, VENDOR_ID_1) | (2, VENDOR_ID_2) if !body.is_empty() => {
                    facts.add(&VENDOR_ID, side, prefix.seen, body.rest());
                }
                (1, SA_1) | (2, SA_2) => {
                    proposes = true;
                    match proposal::text(self.version, body) {
                        Some(text) => facts.add(&PROPOSAL, side, prefix.seen, text.as_bytes()),
                        None => facts.flags.set(Flag::ParseError),
                    }
                }
                (2, NOTIFY_2) => {
                    body.u16(); // protocol, size of the SPI
                    if let Some(kind) = body.u16() {
                        let _ = write!(payloads, ":{kind}");
                    }
                }
                _ => {}
            }
        });
        if proposes {
            facts.add(&PAYLOADS, side, prefix.seen, payloads.as_bytes());
        }
    }
}

/// Payload types that IANA has assigned, and those of drafts for version 1 that are in use: NAT traversal (130, 131)
/// and fragments (132).
fn is_payload(version: u8, kind: u8) -> bool {
    if version == 1 { matches!(kind, 1..=22 | 130..=132) } else { matches!(kind, 33..=54) }
}

#[cfg(test)]
mod tests;
