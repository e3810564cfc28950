//! NetBIOS over UDP: the name service (port 137) and the datagram service (port 138), found on any port.
//!
//! In: datagrams. Out: what a host says of itself: its name, and the workgroup or domain it is in. RFC 1001, RFC 1002;
//! the suffixes of names are those of MS-NBTE, 2.2.1 and 2.2.2.
//!
//! A name that somebody asks for is not his own, and the name of the user who is logged on is nobody's business:
//! neither is told.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Name of the host that sends it.
pub static NAME: Field =
    Field::new("netbios.name", Kind::Text, "NetBIOS name of the sender", "RFC 1001 section 14, RFC 1002 section 4");
/// Workgroup or domain of the host that sends it.
pub static WORKGROUP: Field = Field::new(
    "netbios.workgroup",
    Kind::Text,
    "NetBIOS workgroup or domain of the sender",
    "RFC 1002 section 4, MS-NBTE section 2.2.2",
);

/// NetBIOS name and datagram service.
pub static PROTOCOL: Protocol = Protocol {
    name: "netbios",
    over: &[Transport::Udp],
    fields: &[&NAME, &WORKGROUP],
    claim: |&Opening { bytes, .. }| if Message::read(bytes).is_some() { Claim::Yes } else { Claim::No },
    embedded: false,
    parser: |_| Box::new(NetBios),
};

/// Bytes of a name, with its suffix, and of its encoded form (RFC 1001, 14.1).
const NAME_BYTES: usize = 16;
const ENCODED_BYTES: u8 = 32;
/// Labels of a scope behind a name.
const SCOPE_LABELS_MAX: usize = 16;
/// Questions and records of a message.
const RECORDS_MAX: u16 = 16;

/// Flags of the name service (RFC 1002, 4.2.1.1).
const RESPONSE: u16 = 0x8000;
const OPCODE_SHIFT: u16 = 11;
const OPCODE_MASK: u16 = 0x0f;
const OPCODE_QUERY: u16 = 0;
/// Types of records (RFC 1002, 4.2.1.3); the class is always that of the Internet.
const TYPE_NULL: u16 = 0x000a;
const TYPE_NB: u16 = 0x0020;
const TYPE_NBSTAT: u16 = 0x0021;
const CLASS_IN: u16 = 1;
/// A name belongs to a group (RFC 1002, 4.2.1.3 and 4.2.18).
const GROUP: u16 = 0x8000;
/// Bytes of a pointer to a name before it.
const POINTER_MASK: u8 = 0xc0;

/// Datagrams to a name, to a group, to all (RFC 1002, 4.4.1), and the flags in use.
const DATAGRAM_UNIQUE: u8 = 0x10;
const DATAGRAM_ALL: u8 = 0x12;
const DATAGRAM_FLAGS: u8 = 0x0f;
/// Bytes of their header.
const DATAGRAM_HEADER_BYTES: usize = 14;

/// What a name is for.
mod suffix {
    pub(super) const WORKSTATION: u8 = 0x00;
    pub(super) const SERVER: u8 = 0x20;
    pub(super) const MASTER: u8 = 0x1d;
    pub(super) const ELECTION: u8 = 0x1e;
}

struct NetBios;

impl Parser for NetBios {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match Message::read(prefix.bytes) {
            Some(message) => message.tell(side, prefix.seen, facts),
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

/// A name with its suffix.
type Name = [u8; NAME_BYTES];

/// A message that could be read to its end.
enum Message<'a> {
    /// Somebody takes a name for himself, alone or as one of a group.
    Takes(Name, bool),
    /// The names of the sender: name and flags, 18 bytes each.
    Status(Reader<'a>),
    /// From a name to a name.
    Datagram(Name, Name),
    /// Anything else.
    Other,
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Option<Message<'a>> {
        match bytes.first() {
            Some(DATAGRAM_UNIQUE..=DATAGRAM_ALL) => Message::datagram(bytes).or_else(|| Message::service(bytes)),
            _ => Message::service(bytes),
        }
    }

    fn datagram(bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut reader = Reader::new(bytes);
        reader.u8()?; // kind
        let flags = reader.u8()?;
        reader.take(8)?; // number, address, port
        let length = usize::from(reader.u16()?);
        reader.u16()?; // offset
        if flags & !DATAGRAM_FLAGS != 0 || bytes.len().checked_sub(DATAGRAM_HEADER_BYTES)? != length {
            return None;
        }
        Some(Message::Datagram(name(&mut reader)?, name(&mut reader)?))
    }

    fn service(bytes: &'a [u8]) -> Option<Message<'a>> {
        let mut reader = Reader::new(bytes);
        reader.u16()?; // number
        let flags = reader.u16()?;
        let [questions, answers, authority, additional] = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let records = [answers, authority, additional];
        let opcode = flags >> OPCODE_SHIFT & OPCODE_MASK;
        let few = questions <= 1 && records.iter().all(|count| *count <= RECORDS_MAX);
        // Query, registration, release, wait, refresh twice, registration with several addresses.
        if !few || !matches!(opcode, OPCODE_QUERY | 5..=9 | 15) {
            return None;
        }
        let mut first = None;
        if questions == 1 {
            first = Some(name(&mut reader)?);
            let kind = reader.u16()?;
            if !matches!(kind, TYPE_NB | TYPE_NBSTAT) || reader.u16()? != CLASS_IN {
                return None;
            }
        }
        let (mut status, mut group) = (None, None);
        for _ in 0..records.iter().sum::<u16>() {
            let mut pointer = reader;
            if pointer.u8()? & POINTER_MASK == POINTER_MASK {
                // Only the name before it can be meant.
                first?;
                reader.u16()?;
            } else {
                let name = name(&mut reader)?;
                first.get_or_insert(name);
            }
            let kind = reader.u16()?;
            let class = reader.u16()?;
            reader.u32()?; // time to live
            let mut data = reader.vec16()?;
            match kind {
                TYPE_NB => group = data.u16().map(|flags| flags & GROUP != 0),
                TYPE_NBSTAT => status = Some(data),
                1 | 2 | TYPE_NULL => {}
                _ => return None,
            }
            (class == CLASS_IN).then_some(())?;
        }
        let name = first.filter(|_| reader.is_empty())?;
        Some(match (flags & RESPONSE != 0, opcode, status, group) {
            (true, OPCODE_QUERY, Some(mut names), _) => {
                let count = usize::from(names.u8()?);
                // Behind the names stand a hardware address and counters.
                Message::Status(names.sub(count.checked_mul(NAME_BYTES.saturating_add(2))?)?)
            }
            (false, 5 | 8 | 9 | 15, _, Some(group)) => Message::Takes(name, group),
            _ => Message::Other,
        })
    }

    fn tell(self, side: Side, seen: Seen, facts: &mut Facts) {
        match self {
            Message::Takes(name, group) => own(&name, group, side, seen, facts),
            Message::Status(mut names) => {
                while let (Some(name), Some(flags)) = (names.take(NAME_BYTES), names.u16()) {
                    if let Ok(name) = Name::try_from(name) {
                        own(&name, flags & GROUP != 0, side, seen, facts);
                    }
                }
            }
            Message::Datagram(from, to) => {
                own(&from, false, side, seen, facts);
                // Browsers speak to those of their own workgroup.
                if matches!(split(&to), Some((_, suffix::MASTER | suffix::ELECTION))) {
                    own(&to, true, side, seen, facts);
                }
            }
            Message::Other => {}
        }
    }
}

/// Tells a name that belongs to the sender.
fn own(name: &Name, group: bool, side: Side, seen: Seen, facts: &mut Facts) {
    match (split(name), group) {
        (Some((text, suffix::WORKSTATION | suffix::SERVER)), false) => facts.add(&NAME, side, seen, text),
        (Some((text, suffix::WORKSTATION | suffix::MASTER | suffix::ELECTION)), true) => {
            facts.add(&WORKGROUP, side, seen, text);
        }
        _ => {}
    }
}

/// The text of a name without its padding, and its suffix.
fn split(name: &Name) -> Option<(&[u8], u8)> {
    let (suffix, text) = name.split_last()?;
    let text = text.split(|byte| *byte == 0).next()?.trim_ascii_end();
    let good = !text.is_empty() && text.iter().all(|byte| *byte >= b' ');
    good.then_some((text, *suffix))
}

/// Reads an encoded name with its scope (RFC 1002, 4.1): two letters from A to P for each byte.
fn name(reader: &mut Reader<'_>) -> Option<Name> {
    if reader.u8()? != ENCODED_BYTES {
        return None;
    }
    let mut name = [0; NAME_BYTES];
    for byte in &mut name {
        let (high, low) = (reader.u8()?, reader.u8()?);
        if ![high, low].iter().all(|letter| (b'A'..=b'P').contains(letter)) {
            return None;
        }
        *byte = high.saturating_sub(b'A') << 4 | low.saturating_sub(b'A');
    }
    for _ in 0..SCOPE_LABELS_MAX {
        let label = reader.u8()?;
        if label == 0 {
            return Some(name);
        }
        if label & POINTER_MASK != 0 {
            return None;
        }
        reader.take(usize::from(label))?;
    }
    None
}

#[cfg(test)]
mod tests;
