//! From captured bytes to a segment: one transport payload with its key and direction.
//!
//! In: a packet and its link type. Out: a [`Segment`], or the [`Reason`] why there is none.
//! Every packet is one or the other, so the ledger adds up. Nothing is copied: offsets point
//! into the block's bytes.
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod checksum;
mod fast;
pub mod fragments;
pub mod link;
mod mpls;
pub mod network;
mod ppp;
pub mod transport;
pub mod tunnel;
mod wireless;

#[cfg(test)]
mod tests;

use crate::capture::Packet;
use crate::flow::key::Key;
use crate::flow::tunnels::{Tunnel, Tunnels};
use crate::time::Time;
use fragments::Piece;

/// VLAN tags read before a frame is given up.
pub const VLAN_TAGS_MAX: usize = 4;
/// IPv6 extension headers read before a packet is given up.
pub const EXTENSION_HEADERS_MAX: usize = 16;

/// One transport payload with its key; offsets point into the block's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Packet time.
    pub time: Time,
    /// Number of the packet in the whole input, from 1.
    pub number: u64,
    /// Both endpoints and the protocol.
    pub key: Key,
    /// The lower endpoint of the key sent it.
    pub from_low: bool,
    /// TCP flags; zero otherwise.
    pub tcp_flags: u8,
    /// TCP sequence number of the first byte (of the SYN, when there is one).
    pub seq: u32,
    /// TCP acknowledgement number.
    pub ack: u32,
    /// TCP urgent pointer; 0 without the flag that makes it count.
    pub urgent: u16,
    /// Bytes of the IP packet, header included, as the header says.
    pub ip_bytes: u32,
    /// Offset of the payload in the block's bytes.
    pub payload: usize,
    /// Payload bytes that were captured.
    pub payload_len: u32,
    /// Payload bytes that the snap length cut off.
    pub payload_cut: u32,
    /// Offset of destination and source hardware address (twelve bytes) in the block's bytes.
    pub macs: Option<usize>,
    /// Outermost VLAN, if any.
    pub vlan: Option<u16>,
    /// IP packets that it stands for: more than one when it was put together from fragments.
    pub packets: u16,
    /// Whether fragments were put together to get it.
    pub fragments: Fragmented,
    /// The tunnels around it.
    pub tunnels: Tunnels,
}

impl Segment {
    /// One packet that carries nothing, of no time and no number: for those who fill in what there is.
    #[inline]
    pub fn bare(key: Key, from_low: bool) -> Segment {
        Segment {
            time: Time(0),
            number: 0,
            key,
            from_low,
            tcp_flags: 0,
            seq: 0,
            ack: 0,
            urgent: 0,
            ip_bytes: 0,
            payload: 0,
            payload_len: 0,
            payload_cut: 0,
            macs: None,
            vlan: None,
            packets: 1,
            fragments: Fragmented::No,
            tunnels: Tunnels::NONE,
        }
    }
}

/// Whether a segment was put together from fragments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Fragmented {
    /// It came in one packet.
    #[default]
    No,
    /// It was put together.
    Joined,
    /// It was put together from fragments that contradict each other.
    Conflict,
    /// It is the first fragment of one that never became whole.
    First,
}

/// TCP flag bits (RFC 9293, section 3.1).
pub mod tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

macro_rules! reasons {
    ($($id:ident $name:literal $about:literal;)*) => {
        /// Why a packet gave no segment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $(#[doc = $about] $id),* }

        /// Every reason with its name in the ledger, in the order of the enum.
        pub const REASONS: &[(Reason, &str)] = &[$((Reason::$id, $name)),*];
    };
}

reasons! {
    LinkUnknown "link.unknown-type" "The link type is not one that is read.";
    LinkTruncated "link.truncated" "Fewer bytes than the link header has.";
    LinkLlc "link.llc" "An 802.3 frame with a length and LLC instead of an EtherType.";
    LinkNotIp "link.not-ip" "An EtherType that carries no IP and is not named below.";
    LinkArp "link.arp" "ARP.";
    LinkLldp "link.lldp" "LLDP.";
    LinkTunnel "link.tunnel" "A tunnel or tag below IP with something else than IP in it, or that cannot be.";
    VlanDepth "vlan.depth" "More VLAN tags than are read.";
    Ipv4Truncated "ipv4.truncated" "Fewer bytes than an IPv4 header has.";
    Ipv4Malformed "ipv4.malformed" "A version, header length or total length that cannot be.";
    Ipv6Truncated "ipv6.truncated" "Fewer bytes than the IPv6 headers have.";
    Ipv6Malformed "ipv6.malformed" "A version or header that cannot be.";
    Ipv6Depth "ipv6.depth" "More extension headers than are read.";
    FragmentJoined "fragment.joined" "A fragment that went into a datagram, which counts with its last fragment.";
    FragmentDuplicate "fragment.duplicate" "A fragment that came before.";
    FragmentIncomplete "fragment.incomplete" "A fragment of a datagram of which others never came; its first fragment is read.";
    FragmentMixed "fragment.mixed" "Fragments of two datagrams under one ID, as the checksum tells.";
    FragmentMalformed "fragment.malformed" "A fragment of a length or at a place that cannot be.";
    FragmentPieces "fragment.pieces" "A fragment of a datagram that comes in more pieces than are put together.";
    FragmentBudget "fragment.budget" "A fragment given up because the budget of fragments ran out.";
    TunnelDepth "tunnel.depth" "More tunnels inside each other than are opened.";
    TcpTruncated "tcp.truncated" "Fewer bytes than the TCP header has.";
    TcpMalformed "tcp.malformed" "A TCP header length below twenty bytes.";
    UdpTruncated "udp.truncated" "Fewer bytes than the UDP header has.";
    UdpMalformed "udp.malformed" "A UDP length below eight bytes.";
    IcmpTruncated "icmp.truncated" "Fewer bytes than the ICMP header has.";
    SctpTruncated "sctp.truncated" "Fewer bytes than the SCTP header has.";
}

impl Reason {
    /// Whether the frame was refused because it carries no IP: [`frame`] may still read it.
    pub fn is_frame(self) -> bool {
        matches!(self, Reason::LinkLlc | Reason::LinkNotIp | Reason::LinkArp | Reason::LinkLldp)
    }

    /// The name in the ledger.
    pub fn name(self) -> &'static str {
        REASONS.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }
}

/// What a packet gave instead of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing.
    Reason(Reason),
    /// A fragment; [`fragments::Fragments`] puts them together.
    Piece(Box<Piece>),
}

impl Refused {
    /// As [`Reason::is_frame`].
    pub fn is_frame(&self) -> bool {
        matches!(self, Refused::Reason(reason) if reason.is_frame())
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Refused {
        Refused::Reason(reason)
    }
}

/// What the layers so far say of a packet, handed from one layer to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// All captured bytes of the packet, as far as the layers so far say that they belong to it.
    pub bytes: &'a [u8],
    /// Offset of the current layer in `bytes`.
    pub at: usize,
    /// Packet time.
    pub time: Time,
    /// Number of the packet in the whole input.
    pub number: u64,
    /// Offset of the two hardware addresses in `bytes`.
    pub macs: Option<usize>,
    /// Outermost VLAN.
    pub vlan: Option<u16>,
    /// Tunnels opened so far.
    pub tunnels: Tunnels,
    /// A sum of the addresses of those.
    pub outer: u64,
}

impl<'a> Frame<'a> {
    /// The bytes from the current layer on.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The same packet, `n` bytes further.
    #[inline]
    pub fn skip(mut self, n: usize) -> Frame<'a> {
        self.at = self.at.saturating_add(n);
        self
    }

    /// The same packet, of which only `n` bytes from here on belong to the layer.
    #[inline]
    pub fn only(mut self, n: usize) -> Frame<'a> {
        self.bytes = self.bytes.get(..self.at.saturating_add(n)).unwrap_or(self.bytes);
        self
    }

    /// The same packet inside this tunnel.
    pub fn inside(mut self, tunnel: Tunnel) -> Result<Frame<'a>, Reason> {
        self.tunnels = self.tunnels.and(tunnel).ok_or(Reason::TunnelDepth)?;
        Ok(self)
    }
}

/// The segment of an Ethernet frame that carries no IP; its payload starts behind the EtherType, or
/// at the LLC header. For frames that [`decode`] refused and that somebody may still read.
#[cold]
pub fn frame(block: &[u8], packet: &Packet, number: u64) -> Option<Segment> {
    if packet.link != link::types::ETHERNET {
        return None;
    }
    let end = packet.start.saturating_add(packet.captured as usize);
    let bytes = block.get(packet.start..end)?;
    let (to, rest) = bytes.split_first_chunk::<6>()?;
    let (from, _) = rest.split_first_chunk::<6>()?;
    let (ether_type, payload, vlan) = link::frame_payload(bytes)?;
    Some(Segment {
        time: packet.time,
        number,
        ip_bytes: packet.original,
        payload: packet.start.saturating_add(payload.start),
        payload_len: payload.len() as u32,
        payload_cut: packet.original.saturating_sub(packet.captured),
        macs: Some(packet.start),
        vlan,
        ..Segment::bare(Key::frame(*from, *to, ether_type), true)
    })
}

/// Decodes one packet of a block whose bytes are `block`; `number` is its number in the input.
#[inline]
pub fn decode(block: &[u8], packet: &Packet, number: u64) -> Result<Segment, Refused> {
    match fast::decode(block, packet, number) {
        Some(segment) => Ok(segment),
        None => by_layers(block, packet, number),
    }
}

/// Any packet, layer by layer.
#[inline(never)]
fn by_layers(block: &[u8], packet: &Packet, number: u64) -> Result<Segment, Refused> {
    let end = packet.start.saturating_add(packet.captured as usize);
    // Offsets of the layers are those in the block.
    let bytes = block.get(..end).ok_or(Reason::LinkTruncated)?;
    let frame = Frame {
        bytes,
        at: packet.start,
        time: packet.time,
        number,
        macs: None,
        vlan: None,
        tunnels: Tunnels::NONE,
        outer: 0,
    };
    link::decode(packet.link, frame)
}
