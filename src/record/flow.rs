//! What is left of a flow when it is over.
//!
//! In: the state of a flow. Out: a [`FlowRecord`] that owns what it says: everything later stages
//! and yesterday's records need, and no judgement.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::fact::{Fact, Facts, Field, Flag, Side, value};
use crate::flow::key::{Key, protocol};
use crate::flow::tunnels::Tunnels;
use crate::parse::{dns, http, quic, socks, tls};
use crate::time::Time;

/// Fields from which the name of the destination is taken, best first.
pub const NAME_FIELDS: &[&Field] = &[&tls::SNI, &quic::SNI, &http::HOST, &http::CONNECT_HOST, &socks::HOST];

/// Those of them that are in hellos.
pub const HELLO_NAMES: &[&Field] = &[&tls::SNI, &quic::SNI];

/// Whether a name is an IP address, with or without brackets.
fn is_address(name: &[u8]) -> bool {
    // No top-level domain ends in a digit, and no host name has a colon.
    let may_be = name.contains(&b':') || name.last().is_some_and(u8::is_ascii_digit);
    may_be && str::from_utf8(name).is_ok_and(|text| text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok())
}

/// A host name for comparing: lower case, no trailing dot, no port.
pub fn normal_name(name: &str) -> String {
    bare(name).to_ascii_lowercase()
}

/// The name without what stands around it.
fn bare(name: &str) -> &str {
    let name = name.trim().trim_end_matches('.');
    let name = match name.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => {
            host
        }
        _ => name,
    };
    name.trim_end_matches('.')
}

/// Whether two names in the form of [`normal_name`] belong to one registrable domain, as publicsuffix.org has them.
pub fn is_one_domain(one: &str, other: &str) -> bool {
    one == other || psl::domain_str(one).is_some_and(|domain| psl::domain_str(other) == Some(domain))
}

/// A flow that ended. Arrays of two are by side: source, destination.
#[derive(Clone, Debug)]
pub struct FlowRecord {
    /// Both endpoints and the protocol.
    pub key: Key,
    /// The lower endpoint of the key opened the flow.
    pub opener_low: bool,
    /// Time of the earliest packet.
    pub first: Time,
    /// Time of the latest packet.
    pub last: Time,
    /// Number of the first packet in the whole input.
    pub number: u64,
    /// Packets by side.
    pub packets: [u64; 2],
    /// IP bytes by side.
    pub bytes: [u64; 2],
    /// TCP payload by side that was skipped over or acknowledged and that never came by.
    pub missing: [u64; 2],
    /// The side sent payload.
    pub payload: [bool; 2],
    /// The side sent payload after its first messages were read.
    pub more: [bool; 2],
    /// How it begins and ends, for whoever has the rest of it.
    pub edges: Edges,
    /// Hardware addresses by side.
    pub macs: Option<[[u8; 6]; 2]>,
    /// Outermost VLAN of the first packet.
    pub vlan: Option<u16>,
    /// Tunnels around the first packet.
    pub tunnels: Tunnels,
    /// The protocol that claimed it.
    pub protocol: Option<&'static str>,
    /// What was seen, and flags.
    pub facts: Facts,
}

/// How a flow begins and ends in a capture. Of a record that was kept nothing of it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edges {
    /// The SYN of the side that opened it was seen; TCP only.
    pub opened: bool,
    /// The side closed it.
    pub fin: [bool; 2],
    /// Both sides closed it, or one reset it.
    pub closed: bool,
    /// All that is read of it was read.
    pub done: bool,
    /// The side sent payload before that which is no mere alert; TCP only.
    pub data: [bool; 2],
}

impl FlowRecord {
    /// Address and port of a side.
    pub fn endpoint(&self, side: Side) -> (IpAddr, u16) {
        self.key.endpoint(self.opener_low == (side == Side::Source))
    }

    /// Address of a side.
    pub fn address(&self, side: Side) -> IpAddr {
        self.endpoint(side).0
    }

    /// Port of a side.
    pub fn port(&self, side: Side) -> u16 {
        self.endpoint(side).1
    }

    /// The word for the transport protocol, as Elastic Common Schema and IANA write it.
    pub fn transport(&self) -> &'static str {
        transport(self.key.protocol())
    }

    /// The best name that the flow itself tells for its destination, in the form of [`normal_name`], replaces what
    /// `name` holds. The field it came from; without one `name` is empty.
    pub fn own_name(&self, name: &mut String) -> Option<&'static str> {
        name.clear();
        let fact = self.naming_facts().find(|fact| {
            match str::from_utf8(fact.value) {
                Ok(text) if value::is_printable_ascii(fact.value) => name.push_str(bare(text)),
                _ => name.push_str(bare(&fact.text())),
            }
            !name.is_empty()
        })?;
        name.make_ascii_lowercase();
        Some(fact.field.name)
    }

    /// What the flow itself says of the name of its destination, best first. An address in a hello, where only names
    /// belong (RFC 6066, section 3), tells nothing that the flow's key does not.
    pub fn naming_facts(&self) -> impl Iterator<Item = Fact<'_>> {
        let facts = NAME_FIELDS.iter().filter_map(|field| self.facts.first(field));
        facts.filter(|fact| !(HELLO_NAMES.contains(&fact.field) && is_address(fact.value)))
    }

    /// Sets what can only be told at the end.
    pub fn finish(&mut self) {
        if self.key.protocol() != protocol::TCP {
            return;
        }
        if self.packets.contains(&0) {
            self.facts.flags.set(Flag::OneSided);
        }
        // Without a name in ALPN it is the port that tells (RFC 7858 section 3.1).
        let hello = (self.port(Side::Destination) == dns::DOT_PORT).then(|| self.facts.first(&tls::JA3)).flatten();
        if let Some((side, seen)) = hello.map(|hello| (hello.side, hello.seen)) {
            self.facts.add(&dns::TRANSPORT, side, seen, b"dot");
        }
    }
}

/// What stands for an IP protocol without a word of its own.
pub const NO_WORD: &str = "ip";

/// The word for an IP protocol number; [`NO_WORD`] for those without one.
pub fn transport(number: u8) -> &'static str {
    match number {
        protocol::ICMP => "icmp",
        2 => "igmp",
        4 => "ipip",
        protocol::TCP => "tcp",
        protocol::UDP => "udp",
        41 => "ipv6",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        protocol::ICMP6 => "ipv6-icmp",
        89 => "ospf",
        103 => "pim",
        112 => "vrrp",
        protocol::SCTP => "sctp",
        _ => NO_WORD,
    }
}

/// The IP protocol number of a word.
pub fn transport_number(word: &str) -> Option<u8> {
    (0..=u8::MAX).find(|&number| transport(number) == word)
}
