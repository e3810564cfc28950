//! Link layers: Ethernet with VLAN tags, Linux cooked v1 and v2, null and loopback, raw IP,
//! 802.11 data frames in clear, netfilter log.
//!
//! In: a frame at its first byte and its link type. Out: what the network layer makes of the rest.
//! Sources: IEEE 802.3, 802.1Q; tcpdump.org link-layer header types.

use std::ops::Range;

use super::{Frame, Reason, Segment, VLAN_TAGS_MAX, network};
use crate::capture::LinkType;

/// Link types that are read (tcpdump.org numbers).
pub mod types {
    use crate::capture::LinkType;
    /// BSD loopback: four bytes of address family in the byte order of the writer.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// Raw IP, as some systems number it.
    pub const RAW_12: LinkType = LinkType(12);
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_14: LinkType = LinkType(14);
    /// Raw IP.
    pub const RAW: LinkType = LinkType(101);
    /// 802.11.
    pub const IEEE802_11: LinkType = LinkType(105);
    /// OpenBSD loopback: as NULL, in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux cooked v1.
    pub const SLL: LinkType = LinkType(113);
    /// 802.11 behind a radiotap header.
    pub const RADIOTAP: LinkType = LinkType(127);
    /// Raw IPv4.
    pub const IPV4: LinkType = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux netfilter log.
    pub const NFLOG: LinkType = LinkType(239);
    /// Linux cooked v2.
    pub const SLL2: LinkType = LinkType(276);
}

mod ether_type {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const PPPOE_DISCOVERY: u16 = 0x8863;
    pub const PPPOE: u16 = 0x8864;
    pub const QINQ: u16 = 0x88a8;
    pub const LLDP: u16 = 0x88cc;
    pub const PBB: u16 = 0x88e7;
    pub const QINQ_OLD: u16 = 0x9100;
    /// Below this the field is a length (IEEE 802.3).
    pub const FIRST: u16 = 0x0600;
}

const ETHERNET_BYTES: usize = 14;
const VLAN_BYTES: usize = 4;
const SLL_BYTES: usize = 16;
const SLL2_BYTES: usize = 20;
const FAMILY_BYTES: usize = 4;
const VLAN_ID_MASK: u16 = 0x0fff;

type Decoded<'a> = Result<(Segment, Frame<'a>), Reason>;

/// Reads the link header and everything above it.
#[inline]
pub(crate) fn decode(link: LinkType, frame: Frame<'_>) -> Decoded<'_> {
    match link {
        types::ETHERNET => ethernet(frame),
        types::RAW | types::RAW_12 | types::RAW_14 | types::IPV4 | types::IPV6 => network::decode(frame),
        types::SLL => {
            let kind = u16_at(frame.rest(), 14).ok_or(Reason::LinkTruncated)?;
            payload(kind, frame.skip(SLL_BYTES))
        }
        types::SLL2 => {
            let kind = u16_at(frame.rest(), 0).ok_or(Reason::LinkTruncated)?;
            let rest = frame.rest().len();
            if rest < SLL2_BYTES { Err(Reason::LinkTruncated) } else { payload(kind, frame.skip(SLL2_BYTES)) }
        }
        types::NULL | types::LOOP => {
            // The family's number differs by system (24, 28, 30 are all IPv6); the IP version does not.
            if frame.rest().len() <= FAMILY_BYTES {
                return Err(Reason::LinkTruncated);
            }
            network::decode(frame.skip(FAMILY_BYTES))
        }
        types::NFLOG => nflog(frame),
        types::IEEE802_11 => wireless(frame),
        types::RADIOTAP => {
            let len = frame.rest().get(2..4).and_then(|b| b.first_chunk::<2>()).ok_or(Reason::LinkTruncated)?;
            wireless(frame.skip(usize::from(u16::from_le_bytes(*len))))
        }
        _ => Err(Reason::LinkUnknown),
    }
}

/// Netfilter log: type-length-value records in host byte order, one of which is the packet.
fn nflog(mut frame: Frame<'_>) -> Decoded<'_> {
    const HEADER_BYTES: usize = 4;
    const RECORDS_MAX: usize = 64;
    const PAYLOAD: u16 = 9;
    frame = frame.skip(HEADER_BYTES);
    for _ in 0..RECORDS_MAX {
        let &[len_low, len_high, kind_low, kind_high] = frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?;
        let len = usize::from(u16::from_le_bytes([len_low, len_high]));
        if u16::from_le_bytes([kind_low, kind_high]) == PAYLOAD {
            return network::decode(frame.skip(4));
        }
        if len < 4 {
            return Err(Reason::LinkTruncated);
        }
        frame = frame.skip(len.next_multiple_of(4));
    }
    Err(Reason::LinkNotIp)
}

/// An 802.11 data frame that is not encrypted, with LLC and SNAP (IEEE 802.11-2020, section 9.3.2).
fn wireless(frame: Frame<'_>) -> Decoded<'_> {
    const DATA: u8 = 0x08;
    const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
    let &[control, flags] = frame.rest().first_chunk::<2>().ok_or(Reason::LinkTruncated)?;
    let (encrypted, empty) = (flags & 0x40 != 0, control & 0x40 != 0);
    if control & 0x0f != DATA || encrypted || empty {
        return Err(Reason::LinkNotIp);
    }
    let four_addresses = flags & 0x03 == 0x03;
    let quality = control & 0x80 != 0;
    let mut header = 24usize;
    for (there, bytes) in [(four_addresses, 6), (quality, 2), (quality && flags & 0x80 != 0, 4)] {
        header = header.saturating_add(if there { bytes } else { 0 });
    }
    let frame = frame.skip(header);
    if frame.rest().get(..6) != Some(&SNAP) {
        return Err(Reason::LinkLlc);
    }
    let kind = u16_at(frame.rest(), 6).ok_or(Reason::LinkTruncated)?;
    payload(kind, frame.skip(8))
}

#[inline]
fn ethernet(mut frame: Frame<'_>) -> Decoded<'_> {
    let kind = u16_at(frame.rest(), 12).ok_or(Reason::LinkTruncated)?;
    frame.macs = Some(frame.at);
    payload(kind, frame.skip(ETHERNET_BYTES))
}

/// What follows an EtherType: VLAN tags, then a network layer.
#[inline]
fn payload(mut kind: u16, mut frame: Frame<'_>) -> Decoded<'_> {
    for _ in 0..=VLAN_TAGS_MAX {
        match kind {
            ether_type::IPV4 | ether_type::IPV6 => return network::decode(frame),
            ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD => {
                let tag = u16_at(frame.rest(), 0).ok_or(Reason::LinkTruncated)?;
                kind = u16_at(frame.rest(), 2).ok_or(Reason::LinkTruncated)?;
                frame.vlan = frame.vlan.or(Some(tag & VLAN_ID_MASK));
                frame = frame.skip(VLAN_BYTES);
            }
            ether_type::ARP => return Err(Reason::LinkArp),
            ether_type::LLDP => return Err(Reason::LinkLldp),
            ether_type::MPLS | ether_type::MPLS_MULTICAST => return mpls(frame),
            ether_type::PPPOE => return pppoe(frame),
            ether_type::PPPOE_DISCOVERY | ether_type::PBB => return Err(Reason::LinkTunnel),
            length if length < ether_type::FIRST => return Err(Reason::LinkLlc),
            _ => return Err(Reason::LinkNotIp),
        }
    }
    Err(Reason::VlanDepth)
}

/// EtherType (0 for LLC), place of the payload and outermost VLAN of an Ethernet frame. With LLC the payload ends where
/// the length field says; what stands behind fills the frame up.
pub(crate) fn frame_payload(bytes: &[u8]) -> Option<(u16, Range<usize>, Option<u16>)> {
    let mut kind = u16_at(bytes, 12)?;
    let (mut at, mut vlan) = (ETHERNET_BYTES, None);
    for _ in 0..VLAN_TAGS_MAX {
        if !matches!(kind, ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD) {
            break;
        }
        vlan = vlan.or(Some(u16_at(bytes, at)? & VLAN_ID_MASK));
        kind = u16_at(bytes, at.saturating_add(2))?;
        at = at.saturating_add(VLAN_BYTES);
    }
    let llc = kind < ether_type::FIRST;
    let end = if llc { at.saturating_add(usize::from(kind)).min(bytes.len()) } else { bytes.len() };
    Some((if llc { 0 } else { kind }, at..end, vlan))
}

/// MPLS labels down to the last; what follows has no type of its own, so only IP is read (RFC 3032).
fn mpls(mut frame: Frame<'_>) -> Decoded<'_> {
    const LABELS_MAX: usize = 16;
    for _ in 0..LABELS_MAX {
        let &[_, _, bottom, _] = frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?;
        frame = frame.skip(4);
        if bottom & 1 == 1 {
            let is_ip = matches!(frame.rest().first().map(|first| first >> 4), Some(4 | 6));
            return if is_ip { network::decode(frame) } else { Err(Reason::LinkTunnel) };
        }
    }
    Err(Reason::TunnelDepth)
}

/// A PPPoE session packet that carries IP (RFC 2516, RFC 1332, RFC 5072).
fn pppoe(frame: Frame<'_>) -> Decoded<'_> {
    const HEADER_BYTES: usize = 6;
    const SESSION: [u8; 2] = [0x11, 0];
    const PPP_IPV4: u16 = 0x0021;
    const PPP_IPV6: u16 = 0x0057;
    if frame.rest().first_chunk() != Some(&SESSION) {
        return Err(Reason::LinkTunnel);
    }
    match u16_at(frame.rest(), HEADER_BYTES).ok_or(Reason::LinkTruncated)? {
        PPP_IPV4 | PPP_IPV6 => network::decode(frame.skip(HEADER_BYTES.saturating_add(2))),
        _ => Err(Reason::LinkTunnel),
    }
}

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|two| u16::from_be_bytes(*two))
}
