//! What is left of a flow when it is over.
//!
//! In: the state of a flow. Out: a [`FlowRecord`] that owns what it says: everything later stages
//! and yesterday's records need, and no judgement.

use std::net::IpAddr;

use crate::fact::{Facts, Flag, Side};
use crate::flow::key::{Key, protocol};
use crate::time::Time;

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
    /// Hardware addresses by side.
    pub macs: Option<[[u8; 6]; 2]>,
    /// Outermost VLAN of the first packet.
    pub vlan: Option<u16>,
    /// The protocol that claimed it.
    pub protocol: Option<&'static str>,
    /// What was seen, and flags.
    pub facts: Facts,
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

    /// The word for the transport protocol, as Elastic Common Schema and IANA write it.
    pub fn transport(&self) -> &'static str {
        transport(self.key.protocol())
    }

    /// Sets what can only be told at the end.
    pub fn finish_flags(&mut self) {
        if self.packets.contains(&0) && self.key.protocol() == protocol::TCP {
            self.facts.flags.set(Flag::OneSided);
        }
    }
}

/// The word for an IP protocol number; `ip` for those without one.
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
        _ => "ip",
    }
}
