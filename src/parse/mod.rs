//! Protocols: found by content, read into facts.
//!
//! In: the ordered first bytes of each side of a TCP flow, the datagrams of a UDP flow, or frames.
//! Out: facts. A protocol is one file and its line in [`PROTOCOLS`]; it declares the fields that
//! signatures may use. A parser says how many bytes it needs and reports what it saw.

pub mod arp;
pub mod capwap;
pub mod ccp;
pub mod cdp;
pub mod checkpoint_rdp;
pub mod dhcp;
pub mod dhcpv6;
pub mod dns;
pub mod dtls;
pub mod eap;
pub mod esp;
pub mod fgcp;
pub mod fgfm;
pub mod fortilink;
pub mod fortitelemetry;
pub mod fsso;
pub mod ftp;
pub mod fw1;
pub mod globalprotect;
pub mod http;
pub mod http2;
pub mod ike;
pub mod imap;
pub mod inner;
pub mod ldap;
pub mod lines;
pub mod lldp;
pub mod mysql;
pub mod netbios;
pub mod netflow;
pub mod ntp;
pub mod pan_heartbeat;
pub mod pan_terminal;
pub mod pop3;
pub mod postgresql;
pub mod proxy;
pub mod quic;
pub mod radius;
pub mod rdp;
pub mod slp;
pub mod smtp;
pub mod snmp;
pub mod socks;
pub mod ssh;
pub mod syslog;
pub mod tls;
pub mod vmware_authd;
pub mod vmware_heartbeat;
pub mod vmware_serial;
pub mod wireguard;
pub mod xmpp;

#[cfg(test)]
pub(crate) mod testing;

use crate::fact::{Facts, Field, Seen, Side};

/// What carries a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A byte stream: `prefix` grows from one call to the next.
    Tcp,
    /// Datagrams: each call gets one whole datagram.
    Udp,
    /// The payload of any other IP protocol, a packet a call. The port of the destination is the
    /// number of the protocol.
    Ip,
    /// The payload of an Ethernet frame that carries no IP, from behind the EtherType or from the LLC
    /// header. The port of the destination is the EtherType, 0 with LLC. The sender is the source.
    Frame,
}

/// What a protocol says of the first bytes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// These bytes are mine.
    Yes,
    /// They cannot be mine.
    No,
    /// Ask again when there are this many bytes on this side.
    NeedBytes(usize),
}

/// What a parser says after reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Call again when this side's prefix has this many bytes in all (TCP); otherwise: with the next datagram.
    NeedBytes(usize),
    /// Nothing more is wanted of this side.
    Done,
    /// Nothing more is wanted of either side.
    AllDone,
    /// The claim was wrong; what was added to facts so far stands.
    NotMine,
}

/// The bytes of one side as a parser sees them.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'a> {
    /// TCP: all bytes of this side from its first, in order. Otherwise one datagram or frame.
    pub bytes: &'a [u8],
    /// Packet that completed these bytes, for the facts found now.
    pub seen: Seen,
    /// No more bytes will come: the flow ended, the prefix is full or a gap follows. Of a datagram: it is whole, the
    /// capture did not cut it.
    pub last: bool,
    /// The bytes came in more than one segment.
    pub split: bool,
}

/// A protocol: how it is recognised and who reads it.
pub struct Protocol {
    /// Name in records (`network.protocol`).
    pub name: &'static str,
    /// What can carry it.
    pub over: &'static [Transport],
    /// The fields it fills.
    pub fields: &'static [&'static Field],
    /// Looks at the first bytes of a side. `ports` are those of the source and the destination:
    /// a hint that may make a claim stricter or laxer, never the only reason for a `Yes`.
    pub claim: fn(ports: (u16, u16), side: Side, bytes: &[u8]) -> Claim,
    /// It may begin inside a flow that began as something else: after STARTTLS, behind a proxy.
    pub embedded: bool,
    /// Makes the parser of one flow.
    pub parser: fn(Transport) -> Box<dyn Parser>,
}

/// Reads one flow of one protocol.
pub trait Parser: Send {
    /// Reads what is new in `prefix` of `side`. Called again only when the bytes asked for are
    /// there, or with `prefix.last` when they never will be.
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress;

    /// Bytes of memory that it holds beside the prefixes; counted for those that gather datagrams.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Every protocol, asked in this order.
pub static PROTOCOLS: &[&Protocol] = &[
    &tls::PROTOCOL,
    &http::PROTOCOL,
    &http2::PROTOCOL,
    &dns::PROTOCOL,
    &quic::PROTOCOL,
    &dtls::PROTOCOL,
    &vmware_authd::PROTOCOL,
    &smtp::PROTOCOL,
    &pop3::PROTOCOL,
    &imap::PROTOCOL,
    &ftp::PROTOCOL,
    &socks::PROTOCOL,
    &proxy::PROTOCOL,
    &postgresql::PROTOCOL,
    &mysql::PROTOCOL,
    &rdp::PROTOCOL,
    &ldap::PROTOCOL,
    &xmpp::PROTOCOL,
    &eap::PROTOCOL,
    &radius::PROTOCOL,
    &dhcp::PROTOCOL,
    &dhcpv6::PROTOCOL,
    &lldp::PROTOCOL,
    &cdp::PROTOCOL,
    &arp::PROTOCOL,
    &ccp::PROTOCOL,
    &checkpoint_rdp::PROTOCOL,
    &fw1::PROTOCOL,
    &vmware_heartbeat::PROTOCOL,
    &vmware_serial::PROTOCOL,
    &slp::PROTOCOL,
    &ssh::PROTOCOL,
    &snmp::PROTOCOL,
    &ike::PROTOCOL,
    &syslog::PROTOCOL,
    &netflow::PROTOCOL,
    &ntp::PROTOCOL,
    &netbios::PROTOCOL,
    &fgfm::PROTOCOL,
    &fsso::PROTOCOL,
    &fgcp::PROTOCOL,
    &fortilink::PROTOCOL,
    &capwap::PROTOCOL,
    &globalprotect::PROTOCOL,
    &pan_heartbeat::PROTOCOL,
    &pan_terminal::PROTOCOL,
    &fortitelemetry::PROTOCOL,
    &wireguard::PROTOCOL,
    &esp::PROTOCOL,
];

/// Protocols that carry any other, each only those that stand behind it here and those that are not here.
pub static CARRIERS: &[&Protocol] = &[&proxy::PROTOCOL, &socks::PROTOCOL];

/// Whether every protocol refuses these first bytes.
pub fn nobody_claims(transport: Transport, ports: (u16, u16), side: Side, bytes: &[u8]) -> bool {
    let refuses = |claim| match claim {
        Claim::Yes => false,
        Claim::No => true,
        // There are no more bytes in a datagram.
        Claim::NeedBytes(_) => transport != Transport::Tcp,
    };
    PROTOCOLS.iter().filter(|p| p.over.contains(&transport)).all(|p| refuses((p.claim)(ports, side, bytes)))
}

/// Every field a signature may use: those of the flow, of the protocols, and the planned ones.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    crate::fact::FLOW_FIELDS
        .iter()
        .chain(PROTOCOLS.iter().flat_map(|p| p.fields))
        .chain(crate::fact::PLANNED_FIELDS)
        .copied()
}

/// The field of this name.
pub fn field(name: &str) -> Option<&'static Field> {
    fields().find(|f| f.name == name)
}
