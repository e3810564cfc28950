//! The Service Location Protocol, version 2, over UDP and TCP, usually port 427.
//!
//! In: datagrams, or a stream of messages. Out: which services hosts offer and ask for, and what they
//! say of them: an ESXi host tells its product, version, build and hardware identity to anybody.
//! RFC 2608; version 1 (RFC 2165) is not read.
//!
//! What one side asks for and what the other offers are different fields.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, had_enough, is_at};

/// Service type that the sender looks for.
pub static REQUEST: Field =
    Field::new("slp.request", Kind::Text, "service type in an SLP service request", "RFC 2608 section 8.1");
/// Service type that the sender offers, or knows of as a directory.
pub static SERVICE_TYPE: Field = Field::new(
    "slp.service_type",
    Kind::Text,
    "service type that an SLP agent offers",
    "RFC 2608 sections 8.3 and 10.2",
);
/// URL of a service that the sender offers, or knows of as a directory.
pub static URL: Field =
    Field::new("slp.url", Kind::Text, "URL of a service that an SLP agent offers", "RFC 2608 section 4.3");
/// `tag=value` of a service, without the parentheses.
pub static ATTRIBUTE: Field = Field::new(
    "slp.attribute",
    Kind::Text,
    "attribute of a service that an SLP agent offers, tag=value",
    "RFC 2608 section 5",
);

/// SLP.
pub static PROTOCOL: Protocol = Protocol {
    name: "slp",
    over: &[Transport::Udp, Transport::Tcp],
    fields: &[&REQUEST, &SERVICE_TYPE, &URL, &ATTRIBUTE],
    claim,
    embedded: false,
    parser: |transport| Box::new(Slp { transport, at: [0; 2], messages: 0 }),
};

const PORT: u16 = 427;
const VERSION: u8 = 2;
/// Bytes of a header before its language tag.
const HEADER_BYTES: usize = 14;
/// Bytes up to the end of the length.
const LENGTH_END_BYTES: usize = 5;
/// Bits of the flags that must be zero.
const FLAGS_RESERVED: u16 = 0x1fff;
/// Bytes of a language tag (RFC 1766 has tags of eight and eight).
const LANGUAGE_BYTES_MAX: usize = 35;
/// Bytes of a message; a longer one is not read.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// Messages of a flow that are read.
pub const MESSAGES_MAX: u32 = 64;
/// Values of a message; more are left out and flagged.
pub const VALUES_MAX: usize = 64;

/// What a message says: values of fields.
#[derive(Default)]
struct Message<'a> {
    values: Vec<(&'static Field, &'a [u8])>,
    limited: bool,
}

impl<'a> Message<'a> {
    fn add(&mut self, field: &'static Field, value: &'a [u8]) {
        match value {
            [] => {}
            _ if self.values.len() >= VALUES_MAX => self.limited = true,
            _ => self.values.push((field, value)),
        }
    }

    /// A URL entry (RFC 2608, 4.3).
    fn url_entry(&mut self, reader: &mut Reader<'a>) -> Option<()> {
        let _reserved = reader.u8()?;
        let _lifetime = reader.u16()?;
        let url = text(reader)?;
        self.url(url);
        authentication(reader)
    }

    /// A URL; one with a user name is left out.
    fn url(&mut self, url: &'a [u8]) {
        if !url.contains(&b'@') {
            self.add(&URL, url);
        }
    }

    /// `(tag=value,value),(tag=value),keyword`: parentheses and commas inside values are escaped.
    fn attributes(&mut self, list: &'a [u8]) {
        let mut rest = list;
        while !rest.is_empty() {
            let end = if rest.first() == Some(&b'(') { b')' } else { b',' };
            let length = rest.iter().position(|byte| *byte == end).unwrap_or(rest.len());
            let (attribute, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            self.add(&ATTRIBUTE, attribute.strip_prefix(b"(").unwrap_or(attribute));
            let behind = behind.strip_prefix(b")").unwrap_or(behind);
            rest = behind.strip_prefix(b",").unwrap_or(behind);
        }
    }
}

/// The length of the message that begins here, from a header that can be one.
fn length(bytes: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8()?;
    let function = reader.u8()?;
    let length = reader.u24()? as usize;
    let fits = (HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&length);
    (version == VERSION && (1..=11).contains(&function) && fits).then_some(length)
}

/// Reads a message that is whole.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let length = length(bytes).filter(|length| *length == bytes.len())?;
    let mut header = Reader::new(bytes);
    let _version = header.u8()?;
    let function = header.u8()?;
    let _length = header.u24()?;
    let flags = header.u16()?;
    let extension = header.u24()? as usize;
    let _transaction = header.u16()?;
    let language = header.vec16()?.rest();
    let tag = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    if flags & FLAGS_RESERVED != 0 || !(1..=LANGUAGE_BYTES_MAX).contains(&language.len()) || !language.iter().all(tag) {
        return None;
    }
    // Extensions stand behind the body.
    let read = length.checked_sub(header.left())?;
    let end = if extension == 0 { length } else { extension };
    let mut body = header.sub(end.checked_sub(read)?)?;
    let message = read_body(function, &mut body)?;
    body.is_empty().then_some(message)
}

fn read_body<'a>(function: u8, body: &mut Reader<'a>) -> Option<Message<'a>> {
    let mut message = Message::default();
    match function {
        // Service request.
        1 => {
            let _responders = text(body)?;
            message.add(&REQUEST, text(body)?);
            skip_texts(body, 3)?;
        }
        // Service reply.
        2 => {
            let error = body.u16()?;
            let count = if error != 0 && body.is_empty() { 0 } else { body.u16()? };
            for _ in 0..count {
                message.url_entry(body)?;
            }
        }
        // Registration.
        3 => {
            message.url_entry(body)?;
            message.add(&SERVICE_TYPE, text(body)?);
            skip_texts(body, 1)?;
            message.attributes(text(body)?);
            authentication(body)?;
        }
        // The end of one.
        4 => {
            skip_texts(body, 1)?;
            Message::default().url_entry(body)?;
            skip_texts(body, 1)?;
        }
        // Acknowledgement.
        5 => {
            let _error = body.u16()?;
        }
        // Request for attributes: the URL is that of the other side.
        6 => skip_texts(body, 5)?,
        // Attributes.
        7 => {
            let error = body.u16()?;
            if error == 0 || !body.is_empty() {
                message.attributes(text(body)?);
                authentication(body)?;
            }
        }
        // A directory announces itself.
        8 => {
            let _error = body.u16()?;
            let _boot = body.u32()?;
            message.url(text(body)?);
            skip_texts(body, 1)?;
            message.attributes(text(body)?);
            skip_texts(body, 1)?;
            authentication(body)?;
        }
        // Request for types: all naming authorities, or one.
        9 => {
            skip_texts(body, 1)?;
            match body.u16()? {
                u16::MAX => {}
                bytes => {
                    let _authority = body.take(usize::from(bytes))?;
                }
            }
            skip_texts(body, 1)?;
        }
        // Types.
        10 => {
            let error = body.u16()?;
            if error == 0 || !body.is_empty() {
                for service_type in text(body)?.split(|byte| *byte == b',') {
                    message.add(&SERVICE_TYPE, service_type);
                }
            }
        }
        // An agent announces itself.
        11 => {
            message.url(text(body)?);
            skip_texts(body, 1)?;
            message.attributes(text(body)?);
            authentication(body)?;
        }
        _ => return None,
    }
    Some(message)
}

/// Text with its length before it; control characters are refused.
fn text<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let text = reader.vec16()?.rest();
    // Attribute lists may be folded.
    let plain = |byte: &u8| !byte.is_ascii_control() || matches!(*byte, b'\t' | b'\r' | b'\n');
    text.iter().all(plain).then_some(text)
}

fn skip_texts(reader: &mut Reader<'_>, count: usize) -> Option<()> {
    for _ in 0..count {
        text(reader)?;
    }
    Some(())
}

/// A count, and so many authentication blocks (RFC 2608, 9.2), whose lengths count all their bytes.
fn authentication(reader: &mut Reader<'_>) -> Option<()> {
    for _ in 0..reader.u8()? {
        let _method = reader.u16()?;
        let length = usize::from(reader.u16()?);
        let _block = reader.take(length.checked_sub(4)?)?;
    }
    Some(())
}

fn claim(&Opening { transport, ports, bytes, .. }: &Opening<'_>) -> Claim {
    let judged = |message: &[u8]| if self::message(message).is_some() { Claim::Yes } else { Claim::No };
    if transport != Transport::Tcp {
        // On the usual port something may stand behind the message.
        let whole = length(bytes).and_then(|length| bytes.get(..length)).filter(|_| is_at(ports, &[PORT]));
        return judged(whole.unwrap_or(bytes));
    }
    let may_begin = bytes.first().is_none_or(|version| *version == VERSION);
    match length(bytes) {
        Some(length) => bytes.get(..length).map_or(Claim::NeedBytes(length), judged),
        None if may_begin && bytes.len() < LENGTH_END_BYTES => Claim::NeedBytes(LENGTH_END_BYTES),
        None => Claim::No,
    }
}

struct Slp {
    transport: Transport,
    /// Offset of the next message, of each side.
    at: [usize; 2],
    messages: u32,
}

impl Slp {
    /// Whether the message could be read.
    fn read(&mut self, bytes: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> bool {
        let Some(message) = message(bytes) else {
            facts.flags.set(Flag::ParseError);
            return false;
        };
        for (field, value) in message.values {
            facts.add(field, side, prefix.seen, value);
        }
        if message.limited {
            facts.flags.set(Flag::LimitReached);
        }
        true
    }

    fn stream(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        loop {
            let at = *side.of(&self.at);
            let rest = prefix.bytes.get(at..).unwrap_or_default();
            if rest.len() < LENGTH_END_BYTES {
                return Progress::NeedBytes(at.saturating_add(LENGTH_END_BYTES));
            }
            let Some(length) = length(rest) else {
                facts.flags.set(Flag::ParseError);
                return Progress::Done;
            };
            let next = at.saturating_add(length);
            let Some(whole) = rest.get(..length) else { return Progress::NeedBytes(next) };
            if had_enough(&mut self.messages, MESSAGES_MAX, facts) {
                return Progress::AllDone;
            }
            if !self.read(whole, side, prefix, facts) {
                return Progress::Done;
            }
            *side.of_mut(&mut self.at) = next;
        }
    }
}

impl Parser for Slp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if self.transport == Transport::Tcp {
            return self.stream(side, prefix, facts);
        }
        if had_enough(&mut self.messages, MESSAGES_MAX, facts) {
            return Progress::AllDone;
        }
        self.read(prefix.bytes, side, prefix, facts);
        Progress::NeedBytes(0)
    }
}

#[cfg(test)]
mod tests;
