//! SNMP versions 1, 2c and 3 over UDP on any port.
//!
//! In: datagrams. Out: version, engine ID, and what an agent says of itself: sysDescr, sysObjectID, and of a trap
//! what sent it. RFC 1157 (version 1), RFC 3416 (operations), RFC 3412 and 3414 (version 3), RFC 3418 (the objects).
//!
//! Not kept, for privacy: communities, user and context names, and all other objects. What a manager asks or sets is
//! no word of the agent and not told either.
//!
//! A message must fill the datagram, and each part the part around it. Nesting is as deep as the standard's and no
//! deeper, so nothing here calls itself.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::fmt::Write;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// Version of the messages.
pub static VERSION: Field = Field::new("snmp.version", Kind::Text, "SNMP version: 1, 2c or 3", "RFC 3584 section 2");
/// Engine ID of the sender: only of messages for which the sender is the authority.
pub static ENGINE_ID: Field = Field::new("snmp.engine_id", Kind::Hex, "SNMPv3 engine ID", "RFC 3411 section 5");
/// What an agent gives as its sysDescr.
pub static SYSDESCR: Field = Field::new("snmp.sysdescr", Kind::Text, "SNMP sysDescr", "RFC 3418");
/// What an agent gives as its sysObjectID.
pub static SYSOBJID: Field = Field::new("snmp.sysobjid", Kind::Text, "SNMP sysObjectID, dotted", "RFC 3418");
/// Kind of object that sent a trap.
pub static ENTERPRISE: Field = Field::new(
    "snmp.enterprise",
    Kind::Text,
    "enterprise of an SNMP trap, dotted",
    "RFC 1157 section 4.1.6, RFC 3418 (snmpTrapEnterprise)",
);
/// What a trap tells.
pub static TRAP_OID: Field = Field::new(
    "snmp.trap_oid",
    Kind::Text,
    "snmpTrapOID of a trap or inform, dotted",
    "RFC 3416 section 4.2.6, RFC 3418",
);

/// SNMP.
pub static PROTOCOL: Protocol = Protocol {
    name: "snmp",
    over: &[Transport::Udp],
    fields: &[&VERSION, &ENGINE_ID, &SYSDESCR, &SYSOBJID, &ENTERPRISE, &TRAP_OID],
    claim: |&Opening { bytes, .. }| if Message::read(bytes).is_some() { Claim::Yes } else { Claim::No },
    embedded: false,
    parser: |_| Box::new(Snmp),
};

/// Variables read in a message; a flag says when there were more.
pub const VARIABLES_MAX: usize = 1024;
/// Numbers in an object identifier (RFC 3416, 4.1).
const OID_NUMBERS_MAX: usize = 128;
/// Bytes of an engine ID (RFC 3411, 5).
const ENGINE_ID_BYTES: std::ops::RangeInclusive<usize> = 5..=32;
/// The smallest message size that may be announced (RFC 3412, 6).
const MESSAGE_SIZE_MIN: i64 = 484;
/// The bit that asks for a report: set in what wants an answer, so the receiver is the authority (RFC 3412, 6.4).
const REPORTABLE: u8 = 0x04;
/// The user-based security model (RFC 3411, 5).
const SECURITY_MODEL_USM: i64 = 3;

/// Tags of BER, and of the application types and operations.
mod tag {
    pub(super) const INTEGER: u8 = 0x02;
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const OID: u8 = 0x06;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const ADDRESS: u8 = 0x40;
    pub(super) const TICKS: u8 = 0x43;
    pub(super) const GET: u8 = 0xa0;
    pub(super) const RESPONSE: u8 = 0xa2;
    pub(super) const TRAP_1: u8 = 0xa4;
    pub(super) const BULK: u8 = 0xa5;
    pub(super) const INFORM: u8 = 0xa6;
    pub(super) const TRAP_2: u8 = 0xa7;
    pub(super) const REPORT: u8 = 0xa8;
}

/// 1.3.6.1.2.1.1.1.0, 1.3.6.1.2.1.1.2.0, 1.3.6.1.6.3.1.1.4.1.0 and 1.3.6.1.6.3.1.1.4.3.0 as they stand in BER.
const OID_SYSDESCR: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 1, 0];
const OID_SYSOBJECTID: &[u8] = &[0x2b, 6, 1, 2, 1, 1, 2, 0];
const OID_TRAP: &[u8] = &[0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0];
const OID_TRAP_ENTERPRISE: &[u8] = &[0x2b, 6, 1, 6, 3, 1, 1, 4, 3, 0];

struct Snmp;

impl Parser for Snmp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match Message::read(prefix.bytes) {
            Some(message) => message.tell(side, prefix.seen, facts),
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

/// A message that fits its lengths.
struct Message<'a> {
    version: &'static [u8],
    /// Engine ID of the sender, when it is the authority.
    engine_id: Option<&'a [u8]>,
    /// Not there when it is encrypted.
    pdu: Option<Pdu<'a>>,
}

/// An operation.
struct Pdu<'a> {
    tag: u8,
    /// Version 1 traps name it here.
    enterprise: Option<&'a [u8]>,
    variables: Reader<'a>,
}

impl<'a> Message<'a> {
    fn read(datagram: &'a [u8]) -> Option<Message<'a>> {
        if datagram.first() != Some(&tag::SEQUENCE) {
            return None;
        }
        let mut outer = Reader::new(datagram);
        let mut message = value(&mut outer, tag::SEQUENCE).filter(|_| outer.is_empty())?;
        let version = match integer(&mut message)? {
            0 => &b"1"[..],
            1 => b"2c",
            3 => return Message::version_3(message),
            _ => return None,
        };
        value(&mut message, tag::OCTETS)?; // the community
        let pdu = Pdu::read(message)?;
        // Version 1 knows neither bulk nor the later traps, version 2c no old trap.
        let known = if version == b"1" { pdu.tag <= tag::TRAP_1 } else { pdu.tag != tag::TRAP_1 };
        known.then_some(Message { version, engine_id: None, pdu: Some(pdu) })
    }

    /// The rest of a version 3 message (RFC 3412, 6).
    fn version_3(mut message: Reader<'a>) -> Option<Message<'a>> {
        let mut header = value(&mut message, tag::SEQUENCE)?;
        integer(&mut header)?; // message ID
        let size = integer(&mut header)?;
        let mut flags = value(&mut header, tag::OCTETS)?;
        let model = integer(&mut header)?;
        let mut security = value(&mut message, tag::OCTETS)?;
        let flag = flags.u8()?;
        if !header.is_empty() || !flags.is_empty() || size < MESSAGE_SIZE_MIN || model < 1 {
            return None;
        }
        let mut engine_id = None;
        if model == SECURITY_MODEL_USM {
            let mut usm = value(&mut security, tag::SEQUENCE).filter(|_| security.is_empty())?;
            engine_id = Some(value(&mut usm, tag::OCTETS)?.rest());
            integer(&mut usm)?; // boots
            integer(&mut usm)?; // time
            for _ in ["user", "authentication", "privacy"] {
                value(&mut usm, tag::OCTETS)?;
            }
            usm.is_empty().then_some(())?;
        }
        let engine_id = engine_id.filter(|id| flag & REPORTABLE == 0 && ENGINE_ID_BYTES.contains(&id.len()));
        let mut peek = message;
        let pdu = if peek.u8()? == tag::OCTETS {
            value(&mut message, tag::OCTETS).filter(|_| message.is_empty())?;
            None
        } else {
            let mut scoped = value(&mut message, tag::SEQUENCE).filter(|_| message.is_empty())?;
            value(&mut scoped, tag::OCTETS)?; // context engine
            value(&mut scoped, tag::OCTETS)?; // context name
            Some(Pdu::read(scoped)?)
        };
        Some(Message { version: b"3", engine_id, pdu })
    }

    fn tell(&self, side: Side, seen: Seen, facts: &mut Facts) {
        facts.add(&VERSION, side, seen, self.version);
        if let Some(id) = self.engine_id {
            facts.add(&ENGINE_ID, side, seen, id);
        }
        let Some(pdu) = &self.pdu else { return };
        if let Some(enterprise) = pdu.enterprise.and_then(dotted) {
            facts.add(&ENTERPRISE, side, seen, enterprise.as_bytes());
        }
        let own_word = matches!(pdu.tag, tag::RESPONSE | tag::TRAP_1 | tag::INFORM | tag::TRAP_2);
        if own_word && pdu.tell(side, seen, facts).is_none() {
            facts.flags.set(Flag::ParseError);
        }
    }
}

impl<'a> Pdu<'a> {
    /// The operation that fills the rest of a message.
    fn read(mut rest: Reader<'a>) -> Option<Pdu<'a>> {
        let tag = rest.u8().filter(|tag| (tag::GET..=tag::REPORT).contains(tag))?;
        let mut pdu = contents(&mut rest).filter(|_| rest.is_empty())?;
        let mut enterprise = None;
        if tag == tag::TRAP_1 {
            enterprise = Some(value(&mut pdu, tag::OID)?.rest());
            value(&mut pdu, tag::ADDRESS)?;
            integer(&mut pdu)?; // generic
            integer(&mut pdu)?; // specific
            value(&mut pdu, tag::TICKS)?;
        } else {
            integer(&mut pdu)?; // request
            let status = integer(&mut pdu)?;
            // Error status and index; of a bulk request two counts.
            let index = integer(&mut pdu)?;
            if tag != tag::BULK && !((0..=18).contains(&status) && index >= 0) {
                return None;
            }
        }
        let variables = value(&mut pdu, tag::SEQUENCE).filter(|_| pdu.is_empty())?;
        Some(Pdu { tag, enterprise, variables })
    }

    /// The objects that are told. `None`: a variable does not fit; what stood before it has been added.
    fn tell(&self, side: Side, seen: Seen, facts: &mut Facts) -> Option<()> {
        let mut variables = self.variables;
        for _ in 0..VARIABLES_MAX {
            if variables.is_empty() {
                return Some(());
            }
            let mut variable = value(&mut variables, tag::SEQUENCE)?;
            let name = value(&mut variable, tag::OID)?.rest();
            let kind = variable.u8()?;
            let data = contents(&mut variable).filter(|_| variable.is_empty())?.rest();
            let field = match (name, kind) {
                (OID_SYSDESCR, tag::OCTETS) if !data.is_empty() => {
                    facts.add(&SYSDESCR, side, seen, data);
                    continue;
                }
                (OID_SYSOBJECTID, tag::OID) => &SYSOBJID,
                (OID_TRAP, tag::OID) => &TRAP_OID,
                (OID_TRAP_ENTERPRISE, tag::OID) => &ENTERPRISE,
                _ => continue,
            };
            facts.add(field, side, seen, dotted(data)?.as_bytes());
        }
        facts.flags.set(Flag::LimitReached);
        Some(())
    }
}

/// The contents of the next element, which must have this tag.
fn value<'a>(reader: &mut Reader<'a>, tag: u8) -> Option<Reader<'a>> {
    reader.u8().filter(|found| *found == tag)?;
    contents(reader)
}

/// The contents behind a tag. Lengths may be longer than they need be (RFC 3417, 8), but not left open.
fn contents<'a>(reader: &mut Reader<'a>) -> Option<Reader<'a>> {
    let length = match reader.u8()? {
        short @ 0..=0x7f => u32::from(short),
        0x81 => u32::from(reader.u8()?),
        0x82 => u32::from(reader.u16()?),
        0x83 => reader.u24()?,
        0x84 => reader.u32()?,
        _ => return None,
    };
    reader.sub(length as usize)
}

/// An INTEGER of 32 bits.
fn integer(reader: &mut Reader<'_>) -> Option<i64> {
    let bytes = value(reader, tag::INTEGER)?.rest();
    if bytes.len() > size_of::<i32>() {
        return None;
    }
    let negative = bytes.first()? & 0x80 != 0;
    let start = if negative { -1 } else { 0 };
    Some(bytes.iter().fold(start, |sum: i64, byte| sum << 8 | i64::from(*byte)))
}

/// An object identifier in its usual form.
fn dotted(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    let (mut numbers, mut number, mut open) = (0_usize, 0_u64, false);
    for byte in bytes {
        number = number << 7 | u64::from(byte & 0x7f);
        open = byte & 0x80 != 0;
        if number > u64::from(u32::MAX) {
            return None;
        }
        if open {
            continue;
        }
        numbers = numbers.saturating_add(1);
        if numbers >= OID_NUMBERS_MAX {
            return None;
        }
        // The first two numbers are one on the wire. A string takes everything.
        let first = number.checked_div(40).unwrap_or_default().min(2);
        let _ = match numbers {
            1 => write!(text, "{first}.{}", number.saturating_sub(first.saturating_mul(40))),
            _ => write!(text, ".{number}"),
        };
        number = 0;
    }
    (!open && numbers > 0).then_some(text)
}

#[cfg(test)]
mod tests;
