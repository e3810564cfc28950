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
pub mod openvpn;
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

use std::sync::LazyLock;

use crate::fact::{Facts, Field, Flag, Seen, Side};

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

/// The first bytes of one side, about which protocols are asked.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// What carries them.
    pub transport: Transport,
    /// Of the flow's source and destination: a hint that may make a claim stricter or laxer, never the only reason for
    /// a `Yes`.
    pub ports: (u16, u16),
    /// Whose they are.
    pub side: Side,
    /// TCP: what is there of this side, from its first byte. Otherwise a whole datagram or frame.
    pub bytes: &'a [u8],
    /// No more bytes will come. Always so of datagrams and frames.
    pub last: bool,
}

impl Opening<'_> {
    /// The start of a stream that may go on, or a whole datagram or frame.
    #[inline]
    pub fn new(transport: Transport, ports: (u16, u16), side: Side, bytes: &[u8]) -> Opening<'_> {
        Opening { transport, ports, side, bytes, last: transport != Transport::Tcp }
    }

    /// A frame of this EtherType (0 with LLC) without its header.
    pub fn of_frame(ether_type: u16, bytes: &[u8]) -> Opening<'_> {
        Opening::new(Transport::Frame, (0, ether_type), Side::Source, bytes)
    }

    /// The port that these bytes go to.
    pub fn to(&self) -> u16 {
        if self.side == Side::Source { self.ports.1 } else { self.ports.0 }
    }
}

/// What a protocol says of the first bytes of one side. Of a stream `Yes` and `No` stand whatever follows: so who reads a
/// flow does not depend on where its segments were cut.
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
    /// Looks at the first bytes of a side.
    pub claim: fn(&Opening<'_>) -> Claim,
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
    &openvpn::PROTOCOL,
    &wireguard::PROTOCOL,
    &esp::PROTOCOL,
];

/// Protocols that carry any other, each only those that stand behind it here and those that are not here.
pub static CARRIERS: &[&Protocol] = &[&proxy::PROTOCOL, &socks::PROTOCOL];

/// Protocols of which the first datagram of a flow costs much before it tells anything; not over TCP. How many flows of them
/// begin to be read in a second is bounded.
pub static COSTLY: &[&Protocol] = &[&quic::PROTOCOL];

/// Whether it is one of [`COSTLY`].
pub fn is_costly(protocol: &Protocol) -> bool {
    COSTLY.iter().any(|costly| costly.name == protocol.name)
}

/// The protocols that something can carry, in their order: sorted out once, because many flows are nobody's.
pub fn over(transport: Transport) -> &'static [&'static Protocol] {
    static BY_TRANSPORT: LazyLock<[Vec<&'static Protocol>; 4]> = LazyLock::new(|| {
        [Transport::Tcp, Transport::Udp, Transport::Ip, Transport::Frame]
            .map(|transport| PROTOCOLS.iter().copied().filter(|protocol| protocol.over.contains(&transport)).collect())
    });
    let [tcp, udp, ip, frame] = &*BY_TRANSPORT;
    match transport {
        Transport::Tcp => tcp,
        Transport::Udp => udp,
        Transport::Ip => ip,
        Transport::Frame => frame,
    }
}

/// The protocols over TCP that may begin inside a flow that began as something else.
pub fn embedded() -> &'static [&'static Protocol] {
    static EMBEDDED: LazyLock<Vec<&'static Protocol>> =
        LazyLock::new(|| over(Transport::Tcp).iter().copied().filter(|protocol| protocol.embedded).collect());
    &EMBEDDED
}

/// The first of these protocols that claims the first bytes of a side, or the fewest bytes that it takes to know. One that
/// does not know yet comes before those behind it while more bytes may come: else who is first would depend on how many
/// were there when it was asked.
///
/// # Errors
/// `None`: no more bytes will make them anybody's.
#[inline]
pub fn ask(
    protocols: impl IntoIterator<Item = &'static Protocol>,
    opening: &Opening<'_>,
) -> Result<&'static Protocol, Option<usize>> {
    let mut wanted: Option<usize> = None;
    for protocol in protocols {
        match (protocol.claim)(opening) {
            Claim::Yes => return wanted.map_or(Ok(protocol), |fewest| Err(Some(fewest))),
            Claim::NeedBytes(bytes) if !opening.last => {
                wanted = Some(wanted.map_or(bytes, |fewest| fewest.min(bytes)));
            }
            Claim::No | Claim::NeedBytes(_) => {}
        }
    }
    Err(wanted)
}

/// Counts datagrams of a flow that repeats itself, and whether it was read for long enough: the one beyond the limit is left
/// out, and the flow says so.
pub fn had_enough(read: &mut u32, most: u32, facts: &mut Facts) -> bool {
    let enough = *read >= most;
    if enough {
        facts.flags.set(Flag::LimitReached);
    }
    *read = read.saturating_add(1);
    enough
}

/// Whether one of these ports is among the known ones.
#[inline]
pub fn is_at((from, to): (u16, u16), known: &[u16]) -> bool {
    known.iter().any(|port| *port == from || *port == to)
}

/// The protocol whose the first bytes of a side are: see [`ask`].
#[inline]
pub fn claim(opening: &Opening<'_>) -> Result<&'static Protocol, Option<usize>> {
    ask(over(opening.transport).iter().copied(), opening)
}

/// Whether every protocol refuses these first bytes.
pub fn nobody_claims(opening: &Opening<'_>) -> bool {
    claim(opening).is_err_and(|wanted| wanted.is_none())
}

/// Every field a signature may use: those of the flow and of the protocols.
pub fn fields() -> impl Iterator<Item = &'static Field> {
    crate::fact::FLOW_FIELDS.iter().chain(PROTOCOLS.iter().flat_map(|p| p.fields)).copied()
}

/// Fields that a later stage needs and that no signature may use.
pub static INTERNAL_FIELDS: &[&Field] = &[&arp::SENDER, &dhcp::CLIENT, &dns::RESOLVED, &dns::ECH];

/// As [`field`], of those too that no signature may use.
pub fn any_field(name: &str) -> Option<&'static Field> {
    field(name).or_else(|| INTERNAL_FIELDS.iter().copied().find(|field| field.name == name))
}

/// The field of this name.
pub fn field(name: &str) -> Option<&'static Field> {
    fields().find(|f| f.name == name)
}

#[cfg(test)]
mod tests {
    use super::testing::tcp;
    use super::*;
    use crate::parse::ssh;

    /// `A` and four more bytes.
    static FIRST: Protocol = Protocol {
        name: "first",
        claim: |&Opening { bytes, .. }| match bytes {
            [b'A', b'A', b'A', b'A', b'A', ..] => Claim::Yes,
            [b'A', rest @ ..] if rest.iter().all(|byte| *byte == b'A') => Claim::NeedBytes(5),
            _ => Claim::No,
        },
        ..ssh::PROTOCOL
    };
    /// `A`.
    static SECOND: Protocol = Protocol {
        name: "second",
        claim: |opening| if opening.bytes.starts_with(b"A") { Claim::Yes } else { Claim::No },
        ..ssh::PROTOCOL
    };

    #[test]
    fn the_first_in_order_comes_first_however_the_bytes_come() {
        let asked = |bytes: &[u8], last: bool| {
            let opening = Opening { last, ..tcp((40_000, 40_001), Side::Source, bytes) };
            ask([&FIRST, &SECOND], &opening).map(|protocol| protocol.name)
        };
        for end in 1..5 {
            assert_eq!(asked(&b"AAAAA"[..end], false), Err(Some(5)), "{end}");
            assert_eq!(asked(&b"AAAAA"[..end], true), Ok("second"), "no more will come: {end}");
        }
        assert_eq!(asked(b"AAAAA", false), Ok("first"));
        assert_eq!(asked(b"AB", false), Ok("second"));
        assert_eq!(asked(b"B", false), Err(None));
    }
}
