//! Tunnels in UDP: VXLAN, Geneve, GTP-U, L2TP, Teredo, CAPWAP, GRE and MPLS.
//!
//! In: ports and payload of a datagram. Out: the tunnel and what is inside, or nothing: a port only says which tunnel to
//! ask for, and the whole header and what is behind it have to fit. Sources: RFC 7348, draft-ietf-nvo3-vxlan-gpe,
//! RFC 8926, 3GPP TS 29.281 section 5, 3GPP TS 29.060 section 6 (version 0), RFC 2661, RFC 3931, RFC 4380, RFC 5415,
//! RFC 8086, RFC 7510; IANA port numbers.

use super::{Found, Inside, ethernet_fits, ip, ip_fits, mpls};
use crate::flow::tunnels::Tunnel;

mod port {
    pub const L2TP: u16 = 1701;
    pub const GTP_U: u16 = 2152;
    pub const GTP_0: u16 = 3386;
    pub const TEREDO: u16 = 3544;
    pub const GRE: u16 = 4754;
    pub const VXLAN: u16 = 4789;
    pub const VXLAN_GPE: u16 = 4790;
    pub const CAPWAP: u16 = 5247;
    pub const GENEVE: u16 = 6081;
    pub const MPLS: u16 = 6635;
    /// What Linux used before a port was registered, and still does unless told.
    pub const VXLAN_LINUX: u16 = 8472;
}

/// Ports whose datagrams are asked; of either side, for answers come from them.
pub(super) const PORTS: [u16; 11] = [
    port::L2TP,
    port::GTP_U,
    port::GTP_0,
    port::TEREDO,
    port::GRE,
    port::VXLAN,
    port::VXLAN_GPE,
    port::CAPWAP,
    port::GENEVE,
    port::MPLS,
    port::VXLAN_LINUX,
];

/// What a datagram with these ports carries.
pub(super) fn find([from, to]: [u16; 2], bytes: &[u8], wire: usize) -> Option<Found> {
    let found = at_port(to, bytes, wire).or_else(|| at_port(from, bytes, wire))?;
    let behind = wire.saturating_sub(found.at);
    let rest = bytes.get(found.at..)?;
    let fits = match found.inside {
        Inside::Ip => ip_fits(rest, behind),
        Inside::Ethernet => ethernet_fits(rest, behind),
        _ => true,
    };
    fits.then_some(found)
}

fn at_port(port: u16, bytes: &[u8], wire: usize) -> Option<Found> {
    match port {
        port::L2TP => l2tp(bytes, wire),
        port::GTP_U => gtp_u(bytes, wire),
        port::GTP_0 => gtp_0(bytes, wire),
        port::TEREDO => teredo(bytes),
        port::GRE => ip::gre(bytes),
        port::VXLAN | port::VXLAN_GPE | port::VXLAN_LINUX => vxlan(bytes),
        port::CAPWAP => capwap(bytes),
        port::GENEVE => geneve(bytes),
        port::MPLS if mpls::is_stack(bytes, wire) => Found::new(Tunnel::Mpls, Inside::Mpls, 0),
        _ => None,
    }
}

/// GTP-U version 1, a message that carries a user's packet.
fn gtp_u(bytes: &[u8], wire: usize) -> Option<Found> {
    const USER_PACKET: u8 = 255;
    const HEADER_BYTES: usize = 8;
    let &[flags, kind, length_high, length_low] = bytes.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if flags & 0xf8 != 0x30 || kind != USER_PACKET || length.saturating_add(HEADER_BYTES) != wire {
        return None;
    }
    if flags & 0x07 == 0 {
        return Found::new(Tunnel::GtpU, Inside::Ip, HEADER_BYTES);
    }
    // Sequence number, N-PDU number, next extension header; then extensions in units of four bytes.
    let mut at = HEADER_BYTES.saturating_add(4);
    let mut next = if flags & 0x04 != 0 { *bytes.get(at.saturating_sub(1))? } else { 0 };
    while next != 0 {
        let len = usize::from(*bytes.get(at)?).saturating_mul(4);
        if len == 0 {
            return None;
        }
        at = at.saturating_add(len);
        next = *bytes.get(at.saturating_sub(1))?;
    }
    Found::new(Tunnel::GtpU, Inside::Ip, at)
}

/// GTP version 0, a message that carries a user's packet.
fn gtp_0(bytes: &[u8], wire: usize) -> Option<Found> {
    const USER_PACKET: u8 = 255;
    const HEADER_BYTES: usize = 20;
    let &[flags, kind, length_high, length_low] = bytes.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if flags & 0xf0 != 0x10 || kind != USER_PACKET || length.saturating_add(HEADER_BYTES) != wire {
        return None;
    }
    Found::new(Tunnel::GtpU, Inside::Ip, HEADER_BYTES)
}

/// VXLAN: the network identifier bit, the last reserved byte zero. Other flags are ignored, as RFC 7348 says, but the
/// one that announces a next protocol.
fn vxlan(bytes: &[u8]) -> Option<Found> {
    const HEADER_BYTES: usize = 8;
    const NETWORK: u8 = 0x08;
    const NEXT_PROTOCOL: u8 = 0x04;
    let &[flags, _, _, next, .., 0] = bytes.first_chunk::<HEADER_BYTES>()? else { return None };
    if flags & NETWORK == 0 {
        return None;
    }
    if flags & NEXT_PROTOCOL == 0 {
        return Found::new(Tunnel::Vxlan, Inside::Ethernet, HEADER_BYTES);
    }
    let inside = match next {
        1 | 2 => Inside::Ip,
        3 => Inside::Ethernet,
        4 => Inside::Nsh,
        _ => return None,
    };
    Found::new(Tunnel::VxlanGpe, inside, HEADER_BYTES)
}

/// Geneve version 0; its options have to end where the header says.
fn geneve(bytes: &[u8]) -> Option<Found> {
    const HEADER_BYTES: usize = 8;
    const BRIDGED: u16 = 0x6558;
    let &[first, flags, kind_high, kind_low, .., 0] = bytes.first_chunk::<HEADER_BYTES>()? else { return None };
    if first & 0xc0 != 0 || flags & 0x3f != 0 {
        return None;
    }
    let end = usize::from(first & 0x3f).saturating_mul(4).saturating_add(HEADER_BYTES);
    let mut at = HEADER_BYTES;
    while at < end {
        let &[_, _, _, words] = bytes.get(at..)?.first_chunk()?;
        at = at.saturating_add(4).saturating_add(usize::from(words & 0x1f).saturating_mul(4));
    }
    if at != end {
        return None;
    }
    let inside = match u16::from_be_bytes([kind_high, kind_low]) {
        BRIDGED => Inside::Ethernet,
        0x0800 | 0x86dd => Inside::Ip,
        kind => Inside::EtherType(kind),
    };
    Found::new(Tunnel::Geneve, inside, end)
}

/// A data message of L2TP version 2, or 3 over UDP.
fn l2tp(bytes: &[u8], wire: usize) -> Option<Found> {
    const LENGTH: u8 = 0x40;
    const SEQUENCE: u8 = 0x08;
    const OFFSET: u8 = 0x02;
    const PRIORITY: u8 = 0x01;
    let &[flags, version] = bytes.first_chunk()?;
    if version == 3 && flags == 0 {
        let &[_, _, reserved_high, reserved_low, a, b, c, d] = bytes.first_chunk()?;
        let fits = [reserved_high, reserved_low] == [0, 0] && [a, b, c, d] != [0; 4];
        return if fits { ip::l2tp_session(bytes, 8) } else { None };
    }
    if version != 2 || flags & !(LENGTH | SEQUENCE | OFFSET | PRIORITY) != 0 {
        return None;
    }
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|two| usize::from(u16::from_be_bytes(*two)));
    // Flags, tunnel and session, and what the flags say; then PPP.
    let mut at = 6usize;
    if flags & LENGTH != 0 {
        if word(2)? != wire {
            return None;
        }
        at = at.saturating_add(2);
    }
    at = at.saturating_add(if flags & SEQUENCE != 0 { 4 } else { 0 });
    if flags & OFFSET != 0 {
        at = at.saturating_add(2).saturating_add(word(at)?);
    }
    Found::new(Tunnel::L2tp, Inside::Ppp, at)
}

/// IPv6 behind an authentication header and an indication of origin, each there or not; at one end a Teredo address or
/// that of a link.
fn teredo(bytes: &[u8]) -> Option<Found> {
    const AUTHENTICATION: [u8; 2] = [0, 1];
    const AUTHENTICATION_BYTES: usize = 13;
    const ORIGIN: [u8; 2] = [0, 0];
    const ORIGIN_BYTES: usize = 8;
    const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
    let mut at = 0usize;
    if bytes.first_chunk() == Some(&AUTHENTICATION) {
        let lengths = usize::from(*bytes.get(2)?).saturating_add(usize::from(*bytes.get(3)?));
        at = at.saturating_add(AUTHENTICATION_BYTES).saturating_add(lengths);
    }
    if bytes.get(at..)?.first_chunk() == Some(&ORIGIN) {
        at = at.saturating_add(ORIGIN_BYTES);
    }
    let header: &[u8; super::IPV6_BYTES] = bytes.get(at..)?.first_chunk()?;
    let of_teredo = |address: &[u8]| address.starts_with(&PREFIX) || address.starts_with(&[0xfe, 0x80]);
    let (from, to) = header.get(8..)?.split_at_checked(16)?;
    if header[0] >> 4 != 6 || !of_teredo(from) && !of_teredo(to) {
        return None;
    }
    Found::new(Tunnel::Teredo, Inside::Ip, at)
}

/// CAPWAP data that is in clear and no fragment: an 802.11 frame, as Cisco sends them with the bytes of the frame
/// control field swapped, or an Ethernet frame.
fn capwap(bytes: &[u8]) -> Option<Found> {
    const WIRELESS_BINDING: u8 = 1;
    const NATIVE: u8 = 0x01;
    const FRAGMENT: u8 = 0x80;
    const KEEP_ALIVE: u8 = 0x08;
    let &[preamble, first, second, flags] = bytes.first_chunk()?;
    let at = usize::from(first >> 3).saturating_mul(4);
    if preamble != 0 || flags & (FRAGMENT | KEEP_ALIVE) != 0 || at < 8 || second >> 1 & 0x1f != WIRELESS_BINDING {
        return None;
    }
    if second & NATIVE == 0 {
        return Found::new(Tunnel::Capwap, Inside::Ethernet, at);
    }
    // A data frame says so in its first byte; the second holds flags, and those do not look like it.
    let &[control, next] = bytes.get(at..)?.first_chunk()?;
    let swapped = control & 0x0f != 0x08 && next & 0x0f == 0x08;
    Found::new(Tunnel::Capwap, Inside::Wireless { swapped }, at)
}
