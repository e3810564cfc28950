//! Tunnels that have an IP protocol of their own: IP in IP, GRE and what it carries, EtherIP, L2TPv3, MPLS, and the
//! authentication header.
//!
//! In: a protocol number and the bytes behind the IP header. Out: the tunnel and what is inside, or nothing. Sources:
//! RFC 2003, RFC 2473, RFC 4213, RFC 2784 with RFC 2890 and RFC 1701 (source routes), RFC 2637 (PPTP), RFC 7637
//! (NVGRE), draft-foschiano-erspan-03, RFC 3378, RFC 3931, RFC 4023, RFC 4302; IANA EtherTypes.

use super::{Found, Inside, ethernet_is_certain, ip_is_certain};
use crate::flow::tunnels::Tunnel;

/// IANA protocol numbers of tunnels.
mod protocol {
    pub const IPV4: u8 = 4;
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const AH: u8 = 51;
    pub const IPIP: u8 = 94;
    pub const ETHER_IP: u8 = 97;
    pub const L2TP: u8 = 115;
    pub const MPLS: u8 = 137;
}

/// What GRE says it carries.
mod kind {
    pub const IPV4: u16 = 0x0800;
    pub const ERSPAN_3: u16 = 0x22eb;
    pub const BRIDGED: u16 = 0x6558;
    pub const VLAN: u16 = 0x8100;
    /// Frames between Aruba access points and their controller: one number for each priority.
    pub const ARUBA: std::ops::RangeInclusive<u16> = 0x8200..=0x83f0;
    pub const IPV6: u16 = 0x86dd;
    pub const PPP: u16 = 0x880b;
    /// Cisco's web cache communication: IP, with a redirect header before it in version 2.
    pub const WCCP: u16 = 0x883e;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    /// ERSPAN type I without, type II with a header of its own.
    pub const ERSPAN: u16 = 0x88be;
    pub const NSH: u16 = 0x894f;
}

/// Source routes read before a GRE packet is given up.
const ROUTES_MAX: usize = 16;

/// What a packet with this IP protocol carries.
pub(super) fn find(number: u8, bytes: &[u8]) -> Option<Found> {
    match number {
        protocol::IPV4 | protocol::IPV6 | protocol::IPIP => starts_ip(Tunnel::IpInIp, bytes, 0),
        protocol::GRE => gre(bytes),
        protocol::AH => authentication(bytes),
        protocol::ETHER_IP if bytes.starts_with(&[0x30, 0]) => Found::new(Tunnel::EtherIp, Inside::Ethernet, 2),
        protocol::L2TP if bytes.first_chunk() != Some(&[0; 4]) => l2tp_session(bytes, 4),
        protocol::MPLS => Found::new(Tunnel::Mpls, Inside::Mpls, 0),
        _ => None,
    }
}

/// An IP packet at `at`, when a version and enough bytes for a header stand there.
pub(super) fn starts_ip(tunnel: Tunnel, bytes: &[u8], at: usize) -> Option<Found> {
    let rest = bytes.get(at..)?;
    let enough = match rest.first()? >> 4 {
        4 => rest.len() >= super::IPV4_BYTES,
        6 => rest.len() >= super::IPV6_BYTES,
        _ => false,
    };
    if enough { Found::new(tunnel, Inside::Ip, at) } else { None }
}

/// The authentication header: what is behind it is in clear.
fn authentication(bytes: &[u8]) -> Option<Found> {
    let &[next, words, 0, 0] = bytes.first_chunk()? else { return None };
    let at = usize::from(words).saturating_add(2).saturating_mul(4);
    if words < 1 || bytes.len() < at { None } else { Found::new(Tunnel::Ah, Inside::Upper(next), at) }
}

/// GRE version 0, or version 1 as PPTP has it.
pub(super) fn gre(bytes: &[u8]) -> Option<Found> {
    const CHECKSUM: u8 = 0x80;
    const ROUTES: u8 = 0x40;
    const KEY: u8 = 0x20;
    const SEQUENCE: u8 = 0x10;
    let &[flags, version, kind_high, kind_low] = bytes.first_chunk()?;
    let kind = u16::from_be_bytes([kind_high, kind_low]);
    if version & 0x07 == 1 {
        return pptp(flags, version, kind);
    }
    if flags & 0x07 != 0 || version != 0 {
        return None;
    }
    // The offset of the routes shares a word with the checksum.
    let words = [CHECKSUM | ROUTES, KEY, SEQUENCE].iter().filter(|&&bits| flags & bits != 0).count();
    let mut at = words.saturating_mul(4).saturating_add(4);
    if flags & ROUTES != 0 {
        at = behind_routes(bytes, at)?;
    }
    match kind {
        kind::IPV4 | kind::IPV6 => starts_ip(Tunnel::Gre, bytes, at),
        kind::BRIDGED => Found::new(Tunnel::Gre, Inside::Ethernet, at),
        kind::VLAN => Found::new(Tunnel::Gre, Inside::EtherType(kind), at),
        kind::MPLS | kind::MPLS_MULTICAST | kind::NSH => Found::new(Tunnel::Gre, Inside::EtherType(kind), at),
        kind::PPP => Found::new(Tunnel::Gre, Inside::Ppp, at),
        kind::WCCP => starts_ip(Tunnel::Gre, bytes, at).or_else(|| starts_ip(Tunnel::Gre, bytes, at.saturating_add(4))),
        kind::ERSPAN if flags & SEQUENCE == 0 => Found::new(Tunnel::Erspan, Inside::Ethernet, at),
        kind::ERSPAN => erspan_2(bytes, at),
        kind::ERSPAN_3 => erspan_3(bytes, at),
        kind if kind::ARUBA.contains(&kind) && kind & 0x0f == 0 => {
            Found::new(Tunnel::Gre, Inside::Wireless { swapped: false }, at)
        }
        _ => None,
    }
}

/// Source route entries, of which an empty one is the last (RFC 1701).
fn behind_routes(bytes: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..ROUTES_MAX {
        let &[a, b, _, length] = bytes.get(at..)?.first_chunk()?;
        at = at.saturating_add(4).saturating_add(usize::from(length));
        if (a, b, length) == (0, 0, 0) {
            return Some(at);
        }
    }
    None
}

/// PPP in GRE: a key always, a sequence number when there is payload, an acknowledgement or not.
fn pptp(flags: u8, version: u8, kind: u16) -> Option<Found> {
    const KEY_AND_SEQUENCE: u8 = 0x30;
    const ACKNOWLEDGED: u8 = 0x80;
    if flags != KEY_AND_SEQUENCE || version & 0x78 != 0 || kind != kind::PPP {
        return None;
    }
    Found::new(Tunnel::Gre, Inside::Ppp, if version & ACKNOWLEDGED != 0 { 16 } else { 12 })
}

/// Type II has eight bytes of header, which say version 1.
fn erspan_2(bytes: &[u8], at: usize) -> Option<Found> {
    const HEADER_BYTES: usize = 8;
    if bytes.get(at)? >> 4 != 1 {
        return None;
    }
    Found::new(Tunnel::Erspan, Inside::Ethernet, at.saturating_add(HEADER_BYTES))
}

/// Type III has twelve bytes, which say version 2, eight more when the last bit says so, and any frame.
fn erspan_3(bytes: &[u8], at: usize) -> Option<Found> {
    const HEADER_BYTES: usize = 12;
    const MORE_BYTES: usize = 8;
    const ETHERNET: u8 = 0;
    const IP: u8 = 2;
    let header: &[u8; HEADER_BYTES] = bytes.get(at..)?.first_chunk()?;
    if header[0] >> 4 != 2 {
        return None;
    }
    let more = if header[11] & 1 != 0 { MORE_BYTES } else { 0 };
    let inside = match header[10] >> 2 & 0x1f {
        ETHERNET => Inside::Ethernet,
        IP => Inside::Ip,
        _ => return None,
    };
    Found::new(Tunnel::Erspan, inside, at.saturating_add(HEADER_BYTES).saturating_add(more))
}

/// A data message of L2TPv3 behind its session ID. How long cookie and sublayer are only the ends know, so the place
/// counts at which a frame or a packet stands for certain.
pub(super) fn l2tp_session(bytes: &[u8], at: usize) -> Option<Found> {
    const COOKIE_AND_SUBLAYER_BYTES: [usize; 4] = [0, 4, 8, 12];
    COOKIE_AND_SUBLAYER_BYTES.into_iter().find_map(|more| {
        let at = at.saturating_add(more);
        let rest = bytes.get(at..)?;
        if ethernet_is_certain(rest, rest.len()) {
            Found::new(Tunnel::L2tp, Inside::Ethernet, at)
        } else if ip_is_certain(rest, rest.len()) {
            Found::new(Tunnel::L2tp, Inside::Ip, at)
        } else {
            None
        }
    })
}
