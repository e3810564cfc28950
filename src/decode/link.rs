//! Link layers: Ethernet with its tags, Linux cooked v1 and v2, null and loopback, raw IP, PPP, netfilter log, Apple's.
//!
//! In: a frame at its first byte and its link type. Out: what the network layer makes of the rest. Four VLAN tags are
//! read; other tags and the frames of providers count as tunnels. Sources: IEEE 802.3, 802.1Q (also for I-TAGs), 802.1BR;
//! Cisco on VN-Tag; RFC 1042; tcpdump.org link-layer header types; bsd/net/pktap.h of Apple's kernel.

use std::ops::Range;

use super::{Frame, Reason, Refused, Segment, VLAN_TAGS_MAX, mpls, network, ppp, tunnel, wireless};
use crate::capture::LinkType;
use crate::flow::tunnels::Tunnel;

/// Link types that are read (tcpdump.org numbers).
pub mod types {
    use crate::capture::LinkType;
    /// BSD loopback: four bytes of address family in the byte order of the writer.
    pub const NULL: LinkType = LinkType(0);
    /// Ethernet.
    pub const ETHERNET: LinkType = LinkType(1);
    /// PPP.
    pub const PPP: LinkType = LinkType(9);
    /// Raw IP, as some systems number it.
    pub const RAW_12: LinkType = LinkType(12);
    /// Raw IP, as OpenBSD numbers it.
    pub const RAW_14: LinkType = LinkType(14);
    /// PPP on a serial line, or Cisco HDLC.
    pub const PPP_HDLC: LinkType = LinkType(50);
    /// PPP over Ethernet, from its header on.
    pub const PPP_ETHER: LinkType = LinkType(51);
    /// Raw IP.
    pub const RAW: LinkType = LinkType(101);
    /// Cisco HDLC.
    pub const CISCO_HDLC: LinkType = LinkType(104);
    /// 802.11.
    pub const IEEE802_11: LinkType = LinkType(105);
    /// OpenBSD loopback: as NULL, in network byte order.
    pub const LOOP: LinkType = LinkType(108);
    /// Linux cooked v1.
    pub const SLL: LinkType = LinkType(113);
    /// 802.11 behind a radiotap header.
    pub const RADIOTAP: LinkType = LinkType(127);
    /// IP over FireWire, as Apple writes it.
    pub const APPLE_IEEE1394: LinkType = LinkType(138);
    /// Apple's PKTAP under the private number that its tools write.
    pub const PKTAP_OLD: LinkType = LinkType(149);
    /// Raw IPv4.
    pub const IPV4: LinkType = LinkType(228);
    /// Raw IPv6.
    pub const IPV6: LinkType = LinkType(229);
    /// Linux netfilter log.
    pub const NFLOG: LinkType = LinkType(239);
    /// Apple's PKTAP.
    pub const PKTAP: LinkType = LinkType(258);
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
    pub const VN_TAG: u16 = 0x8926;
    pub const E_TAG: u16 = 0x893f;
    pub const NSH: u16 = 0x894f;
    pub const QINQ_OLD: u16 = 0x9100;
    /// Below this the field is a length (IEEE 802.3).
    pub const FIRST: u16 = 0x0600;
}

const ETHERNET_BYTES: usize = 14;
const VLAN_BYTES: usize = 4;
const SLL_BYTES: usize = 16;
const SLL2_BYTES: usize = 20;
const FAMILY_BYTES: usize = 4;
const IEEE1394_BYTES: usize = 18;
/// Priority and service of an I-TAG; the frame of the customer follows.
const PBB_BYTES: usize = 4;
/// Bytes between the EtherTypes of a tag and of what it stands before.
const VN_TAG_BYTES: usize = 4;
const E_TAG_BYTES: usize = 6;
const VLAN_ID_MASK: u16 = 0x0fff;

/// Reads the link header and everything above it.
#[inline]
pub(super) fn decode(link: LinkType, frame: Frame<'_>) -> Result<Segment, Refused> {
    match link {
        types::ETHERNET => ethernet(frame),
        types::PKTAP | types::PKTAP_OLD => {
            let (link, inner) = pktap(frame)?;
            // One in another is nothing that is written.
            if matches!(link, types::PKTAP | types::PKTAP_OLD) {
                return Err(Reason::LinkUnknown.into());
            }
            plain(link, inner)
        }
        _ => plain(link, frame),
    }
}

fn plain(link: LinkType, frame: Frame<'_>) -> Result<Segment, Refused> {
    let rest = frame.rest();
    match link {
        types::ETHERNET => ethernet(frame),
        types::RAW | types::RAW_12 | types::RAW_14 | types::IPV4 | types::IPV6 => network::decode(frame),
        types::SLL => {
            let kind = u16_at(rest, 14).ok_or(Reason::LinkTruncated)?;
            payload(kind, frame.skip(SLL_BYTES))
        }
        types::SLL2 => {
            let kind = u16_at(rest, 0).ok_or(Reason::LinkTruncated)?;
            if rest.len() < SLL2_BYTES {
                return Err(Reason::LinkTruncated.into());
            }
            payload(kind, frame.skip(SLL2_BYTES))
        }
        types::NULL | types::LOOP => {
            // The family's number differs by system (24, 28, 30 are all IPv6); the IP version does not.
            if rest.len() <= FAMILY_BYTES {
                return Err(Reason::LinkTruncated.into());
            }
            network::decode(frame.skip(FAMILY_BYTES))
        }
        types::NFLOG => nflog(frame),
        types::PPP => ppp::decode(frame),
        types::PPP_HDLC => ppp::serial(frame),
        types::CISCO_HDLC => ppp::cisco(frame),
        types::PPP_ETHER => ppp::over_ethernet(frame.inside(Tunnel::Pppoe)?),
        types::APPLE_IEEE1394 => {
            let kind = u16_at(rest, 16).ok_or(Reason::LinkTruncated)?;
            payload(kind, frame.skip(IEEE1394_BYTES))
        }
        types::IEEE802_11 => wireless::decode(frame, false),
        types::RADIOTAP => {
            let len = rest.get(2..4).and_then(|b| b.first_chunk::<2>()).ok_or(Reason::LinkTruncated)?;
            wireless::decode(frame.skip(usize::from(u16::from_le_bytes(*len))), false)
        }
        _ => Err(Reason::LinkUnknown.into()),
    }
}

/// Apple's header in front of the frame of any interface: how long it is, and the link type behind it. The second form
/// says so in its flags. The header is in the byte order of the writer, which is little-endian on every such machine.
fn pktap(frame: Frame<'_>) -> Result<(LinkType, Frame<'_>), Reason> {
    const PACKET: u32 = 1;
    const FLAGS_AT: usize = 36;
    const SECOND_FORM: u32 = 0x0008_0000;
    const FIRST_FORM_BYTES: usize = 108;
    const SECOND_FORM_BYTES: usize = 40;
    let rest = frame.rest();
    let word = |at: usize| rest.get(at..).and_then(|b| b.first_chunk()).map(|four| u32::from_le_bytes(*four));
    let flags = word(FLAGS_AT).ok_or(Reason::LinkTruncated)?;
    let (length, least, link) = if flags & SECOND_FORM != 0 {
        let &[length, _, _, _, _, _, low, high] = rest.first_chunk().ok_or(Reason::LinkTruncated)?;
        (usize::from(length), SECOND_FORM_BYTES, u32::from(u16::from_le_bytes([low, high])))
    } else {
        let (length, kind, link) = (word(0).unwrap_or(0), word(4), word(8).unwrap_or(u32::MAX));
        if kind != Some(PACKET) {
            return Err(Reason::LinkNotIp);
        }
        (length as usize, FIRST_FORM_BYTES, link)
    };
    if length < least || length > rest.len() {
        return Err(Reason::LinkTruncated);
    }
    let link = u16::try_from(link).map_or(LinkType(u16::MAX), LinkType);
    Ok((link, frame.skip(length)))
}

/// Records that a netfilter log may have up to its packet.
pub(super) const NFLOG_RECORDS_MAX: usize = 64;

/// Netfilter log: type-length-value records in host byte order, one of which is the packet.
fn nflog(mut frame: Frame<'_>) -> Result<Segment, Refused> {
    const HEADER_BYTES: usize = 4;
    const PAYLOAD: u16 = 9;
    frame = frame.skip(HEADER_BYTES);
    for _ in 0..NFLOG_RECORDS_MAX {
        let &[len_low, len_high, kind_low, kind_high] = frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?;
        let len = usize::from(u16::from_le_bytes([len_low, len_high]));
        if u16::from_le_bytes([kind_low, kind_high]) == PAYLOAD {
            return network::decode(frame.skip(4));
        }
        if len < 4 {
            return Err(Reason::LinkTruncated.into());
        }
        frame = frame.skip(len.next_multiple_of(4));
    }
    Err(Reason::LinkNotIp.into())
}

/// An Ethernet frame.
#[inline]
pub(super) fn ethernet(mut frame: Frame<'_>) -> Result<Segment, Refused> {
    let kind = u16_at(frame.rest(), 12).ok_or(Reason::LinkTruncated)?;
    frame.macs = Some(frame.at);
    payload(kind, frame.skip(ETHERNET_BYTES))
}

/// What follows an EtherType: tags, then a network layer or another frame.
#[inline]
pub(super) fn payload(mut kind: u16, mut frame: Frame<'_>) -> Result<Segment, Refused> {
    let mut tags = 0;
    loop {
        let rest = frame.rest();
        match kind {
            ether_type::IPV4 | ether_type::IPV6 => return network::decode(frame),
            ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD if tags < VLAN_TAGS_MAX => {
                let tag = u16_at(rest, 0).ok_or(Reason::LinkTruncated)?;
                kind = u16_at(rest, 2).ok_or(Reason::LinkTruncated)?;
                frame.vlan = frame.vlan.or(Some(tag & VLAN_ID_MASK));
                frame = frame.skip(VLAN_BYTES);
                tags = tags.saturating_add(1);
            }
            ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD => return Err(Reason::VlanDepth.into()),
            ether_type::ARP => return Err(Reason::LinkArp.into()),
            ether_type::LLDP => return Err(Reason::LinkLldp.into()),
            ether_type::MPLS | ether_type::MPLS_MULTICAST => return mpls::stack(frame.inside(Tunnel::Mpls)?),
            ether_type::PPPOE => return ppp::over_ethernet(frame.inside(Tunnel::Pppoe)?),
            ether_type::PPPOE_DISCOVERY => return Err(Reason::LinkTunnel.into()),
            ether_type::NSH => return tunnel::nsh(frame),
            ether_type::PBB => return ethernet(frame.inside(Tunnel::Pbb)?.skip(PBB_BYTES)),
            ether_type::VN_TAG => {
                kind = u16_at(rest, VN_TAG_BYTES).ok_or(Reason::LinkTruncated)?;
                frame = frame.inside(Tunnel::VnTag)?.skip(VN_TAG_BYTES.saturating_add(2));
            }
            ether_type::E_TAG => {
                kind = u16_at(rest, E_TAG_BYTES).ok_or(Reason::LinkTruncated)?;
                frame = frame.inside(Tunnel::ETag)?.skip(E_TAG_BYTES.saturating_add(2));
            }
            length if length < ether_type::FIRST => return snap(frame.only(usize::from(length))),
            _ => return Err(Reason::LinkNotIp.into()),
        }
    }
}

/// LLC; with SNAP and an EtherType of IP or of a tag the rest is as on Ethernet (RFC 1042).
#[cold]
pub(super) fn snap(frame: Frame<'_>) -> Result<Segment, Refused> {
    const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
    match u16_at(frame.rest(), SNAP.len()) {
        Some(kind) if kind >= ether_type::FIRST && frame.rest().starts_with(&SNAP) => {
            match payload(kind, frame.skip(8)) {
                // Whoever reads frames has to know that this one has LLC.
                Err(Refused::Reason(reason)) if reason.is_frame() => Err(Reason::LinkLlc.into()),
                result => result,
            }
        }
        _ => Err(Reason::LinkLlc.into()),
    }
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

#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|two| u16::from_be_bytes(*two))
}
