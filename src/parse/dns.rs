//! DNS over UDP and TCP, with its look-alikes mDNS and LLMNR.
//!
//! In: datagrams, or a stream of messages with two bytes of length before each. Out: the names
//! asked for, the addresses given, and above all which name was answered with which address.
//! RFC 1035 (messages), 6891 (EDNS), 6762 (mDNS), 4795 (LLMNR), 9460 (SVCB and HTTPS records),
//! 9849 (ECH configurations).
//!
//! Only the question and answer sections are read into facts; authority and additional records
//! are looked at when a claim on an unusual port must be sure. A question that stands before a
//! damaged place counts.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod message;
mod name;

use std::net::IpAddr;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};
use message::Trust;

/// Name in a question, `.` for the root. Labels keep their bytes and case; a dot inside a label
/// is written `\046`, so that every `.` is a label boundary.
pub static QNAME: Field = Field::new("dns.qname", Kind::Name, "name in a DNS question", "RFC 1035 section 4.1.2");
/// Type in a question.
pub static QTYPE: Field = Field::new(
    "dns.qtype",
    Kind::Number,
    "record type in a DNS question, 1 is A, 28 is AAAA",
    "RFC 1035 section 4.1.2",
);
/// Response code without the EDNS extension; 3 is NXDOMAIN.
pub static RCODE: Field =
    Field::new("dns.rcode", Kind::Number, "response code of a DNS answer", "RFC 1035 section 4.1.1");
/// Address of an A or AAAA answer.
pub static ANSWER: Field =
    Field::new("dns.answer", Kind::Address, "address in a DNS answer (A, AAAA)", "RFC 1035 section 3.4.1, RFC 3596");
/// Owner of an address answer that does not answer the question, as in mDNS announcements.
pub static ANSWER_NAME: Field = Field::new(
    "dns.answer_name",
    Kind::Name,
    "owner of an address that was announced without a question for it",
    "RFC 1035 section 4.1.3, RFC 6762",
);
/// Target of a CNAME answer.
pub static CNAME: Field = Field::new("dns.cname", Kind::Name, "target of a CNAME answer", "RFC 1035 section 3.3.1");
/// How DNS travels when it is not in the clear: `dot`, `doh`, `doq`.
pub static TRANSPORT: Field =
    Field::new("dns.transport", Kind::Text, "how hidden DNS travels: dot, doh, doq", "RFC 7858, RFC 8484, RFC 9250");
/// Type of a service that is announced in the domain `local`: `_ipp._tcp`. Names of instances are often those of
/// people and not told.
pub static SERVICE: Field =
    Field::new("mdns.service", Kind::Text, "type of a service announced by mDNS", "RFC 6763 sections 4 and 9");
/// The sender told the other side: this name has this address. See [`unpack_resolved`].
pub static RESOLVED: Field = Field::internal(
    "dns.resolved",
    "address length, address and the question name in lower case: what an answer said",
    "RFC 1035 section 4.1.3",
);
/// The sender told the other side: ECH for this name uses this key. See [`unpack_ech`].
pub static ECH: Field = Field::internal(
    "dns.ech",
    "ECH config_id, length of public_name, public_name and the question name in lower case",
    "RFC 9460, RFC 9849",
);

/// DNS, mDNS and LLMNR.
pub static PROTOCOL: Protocol = Protocol {
    name: "dns",
    over: &[Transport::Udp, Transport::Tcp],
    fields: &[&QNAME, &QTYPE, &RCODE, &ANSWER, &ANSWER_NAME, &CNAME, &TRANSPORT, &SERVICE, &RESOLVED, &ECH],
    claim,
    embedded: false,
    parser: |transport| Box::new(Dns { transport, next: [0; 2] }),
};

/// Ports where a message that is cut or damaged is still taken for DNS: DNS, mDNS, LLMNR.
const KNOWN_PORTS: [u16; 3] = [53, 5353, 5355];
/// DNS over TLS (RFC 7858).
pub const DOT_PORT: u16 = 853;
/// NetBIOS name service: its messages have the form of DNS, its names have not.
const NETBIOS_PORT: u16 = 137;
/// Bytes of the length before a message over TCP (RFC 1035, 4.2.2).
const LENGTH_BYTES: usize = 2;

/// The address and the question name (lower case) of a [`RESOLVED`] value; `None` if it is none.
pub fn unpack_resolved(value: &[u8]) -> Option<(IpAddr, &[u8])> {
    let mut reader = Reader::new(value);
    let address = reader.vec8()?.rest();
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    Some((address, reader.rest()))
}

/// The config_id, the public_name and the question name (lower case) of an [`ECH`] value.
pub fn unpack_ech(value: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let mut reader = Reader::new(value);
    let config_id = reader.u8()?;
    let public_name = reader.vec8()?.rest();
    Some((config_id, public_name, reader.rest()))
}

fn claim(&Opening { transport, ports, bytes, .. }: &Opening<'_>) -> Claim {
    if is_at(ports, &[NETBIOS_PORT]) {
        return Claim::No;
    }
    let trust = if is_at(ports, &KNOWN_PORTS) { Trust::Start } else { Trust::Whole };
    match transport {
        Transport::Tcp => claim_stream(bytes, trust),
        _ if message::is_dns(bytes, trust) => Claim::Yes,
        _ => Claim::No,
    }
}

/// By the first message, behind its length.
fn claim_stream(bytes: &[u8], trust: Trust) -> Claim {
    let mut reader = Reader::new(bytes);
    let Some(length) = reader.u16().map(usize::from) else {
        return Claim::NeedBytes(LENGTH_BYTES.saturating_add(message::HEADER_BYTES));
    };
    let there = reader.rest().get(..length).unwrap_or(reader.rest());
    if length < message::HEADER_BYTES || !message::may_become_dns(there, trust) {
        return Claim::No;
    }
    let is_whole = there.len() == length;
    if (is_whole || trust == Trust::Start) && message::is_dns(there, trust) {
        return Claim::Yes;
    }
    let wanted = if there.len() < message::HEADER_BYTES { message::HEADER_BYTES } else { length };
    if is_whole { Claim::No } else { Claim::NeedBytes(wanted.saturating_add(LENGTH_BYTES)) }
}

struct Dns {
    transport: Transport,
    /// TCP: offset of the next message of each side.
    next: [usize; 2],
}

impl Parser for Dns {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match self.transport {
            Transport::Tcp => self.stream(side, prefix, facts),
            _ => {
                read(prefix.bytes, side, prefix, facts);
                Progress::NeedBytes(0)
            }
        }
    }
}

impl Dns {
    fn stream(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let next = side.of_mut(&mut self.next);
        loop {
            let mut reader = Reader::new(prefix.bytes.get(*next..).unwrap_or_default());
            let Some(length) = reader.u16().map(usize::from) else {
                return need(*next, LENGTH_BYTES, prefix);
            };
            let Some(message) = reader.take(length) else {
                if prefix.last {
                    // What is there of the last message; its end is missing, not wrong.
                    message::read(reader.rest(), side, prefix.seen, facts);
                }
                return need(*next, LENGTH_BYTES.saturating_add(length), prefix);
            };
            *next = next.saturating_add(LENGTH_BYTES).saturating_add(length);
            if length < message::HEADER_BYTES {
                // No message is that short: the lengths are not where we think.
                facts.flags.set(Flag::ParseError);
                return Progress::Done;
            }
            read(message, side, prefix, facts);
        }
    }
}

fn need(at: usize, more: usize, prefix: Prefix<'_>) -> Progress {
    if prefix.last { Progress::Done } else { Progress::NeedBytes(at.saturating_add(more)) }
}

fn read(message: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    if message::read(message, side, prefix.seen, facts).is_none() {
        facts.flags.set(Flag::ParseError);
    }
}

#[cfg(test)]
mod tests;
