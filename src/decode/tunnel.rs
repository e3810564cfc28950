//! Tunnels inside IP and UDP. The flow is that of the innermost addresses; the tunnels are kept with it.
//!
//! In: an IP protocol or UDP ports, and a frame at the first byte behind that header. Out: the segment of the packet
//! inside, or nothing when the bytes are not such a tunnel, or carry what is no IP packet that can be read: then the
//! outer flow is the flow. A port alone says nothing. What is inside is entered at most
//! [`TUNNELS_MAX`](crate::flow::tunnels::TUNNELS_MAX) deep.

mod ip;
mod udp;

use super::checksum::ipv4_header_is_right;
use super::network::Ip;
use super::{Frame, Reason, Refused, Segment, VLAN_TAGS_MAX, link, mpls, network, ppp, transport, wireless};
use crate::flow::tunnels::Tunnel;

const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;

/// What a tunnel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Ip,
    Ethernet,
    /// What this EtherType says.
    EtherType(u16),
    /// A PPP frame.
    Ppp,
    /// A stack of labels.
    Mpls,
    /// A network service header.
    Nsh,
    /// An 802.11 frame; with the bytes of its frame control field the wrong way round.
    Wireless {
        swapped: bool,
    },
    /// Another protocol of the same IP packet.
    Upper(u8),
}

/// A tunnel that was found, and where what it carries begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    tunnel: Tunnel,
    inside: Inside,
    at: usize,
}

impl Found {
    fn new(tunnel: Tunnel, inside: Inside, at: usize) -> Option<Found> {
        Some(Found { tunnel, inside, at })
    }
}

/// What a packet with this IP protocol carries.
pub(super) fn in_ip(number: u8, outer: &Ip, frame: Frame<'_>) -> Option<Result<Segment, Refused>> {
    enter(ip::find(number, frame.rest())?, outer, frame)
}

/// What a datagram with these ports carries; its payload had `wire` bytes before it was captured.
#[cold]
pub(super) fn in_udp(ports: [u16; 2], outer: &Ip, frame: Frame<'_>, wire: usize) -> Option<Result<Segment, Refused>> {
    enter(udp::find(ports, frame.rest(), wire)?, outer, frame)
}

/// Whether a datagram with these ports has to be asked what it carries.
#[inline]
pub(super) fn may_be_at(ports: [u16; 2]) -> bool {
    let [from, to] = ports.map(|port| (IS_PORT.get(usize::from(port >> 6)).copied().unwrap_or(0) >> (port & 63)) & 1);
    from | to != 0
}

/// A bit for each port.
static IS_PORT: [u64; 1024] = port_bits();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Evaluated when it is compiled.
pub(super) const fn port_bits() -> [u64; 1024] {
    let mut bits = [0; 1024];
    let mut at = 0;
    while at < udp::PORTS.len() {
        bits[(udp::PORTS[at] >> 6) as usize] |= 1 << (udp::PORTS[at] & 63);
        at += 1;
    }
    bits
}

/// Reads what is inside. What cannot be read there leaves the packet to the outer flow.
fn enter(found: Found, outer: &Ip, frame: Frame<'_>) -> Option<Result<Segment, Refused>> {
    let mut inner = match frame.inside(found.tunnel) {
        Ok(inner) => inner.skip(found.at),
        Err(reason) => return Some(Err(reason.into())),
    };
    if !matches!(found.inside, Inside::Upper(_)) {
        // The addresses outside are those of the ends of the tunnel.
        inner.macs = None;
        inner.outer = mixed(inner.outer, outer);
    }
    let result = match found.inside {
        Inside::Ip => network::decode(inner),
        Inside::Ethernet => link::ethernet(inner),
        Inside::EtherType(kind) => link::payload(kind, inner),
        Inside::Ppp => ppp::decode(inner),
        Inside::Mpls => mpls::stack(inner),
        Inside::Nsh => nsh(inner),
        Inside::Wireless { swapped } => wireless::decode(inner, swapped),
        Inside::Upper(protocol) => transport::decode(&Ip { protocol, ..*outer }, inner),
    };
    match result {
        Err(Refused::Reason(reason)) if reason != Reason::TunnelDepth => None,
        result => Some(result),
    }
}

/// Addresses of one more tunnel, added to those of the tunnels around it.
fn mixed(sum: u64, outer: &Ip) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let both = u128::from_be_bytes(outer.from) ^ u128::from_be_bytes(outer.to).rotate_left(64);
    ((both >> 64) as u64 ^ both as u64 ^ sum.rotate_left(17)).wrapping_mul(ODD)
}

/// Behind a network service header (RFC 8300, section 2.2).
pub(super) fn nsh(frame: Frame<'_>) -> Result<Segment, Refused> {
    let &[version, length, kind, next] = frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?;
    let words = usize::from(length & 0x3f);
    // Context headers of a fixed length, or of any.
    let fits = match kind & 0x0f {
        1 => words == 6,
        2 => words >= 2,
        _ => false,
    };
    if version & 0xc0 != 0 || !fits {
        return Err(Reason::LinkTunnel.into());
    }
    let inner = frame.inside(Tunnel::Nsh)?.skip(words.saturating_mul(4));
    match next {
        1 | 2 => network::decode(inner),
        3 => link::ethernet(inner),
        4 => nsh(inner),
        5 => mpls::stack(inner.inside(Tunnel::Mpls)?),
        _ => Err(Reason::LinkTunnel.into()),
    }
}

/// Whether an IP packet that could fill these bytes stands here; `wire` bytes were there before they were captured.
fn ip_fits(bytes: &[u8], wire: usize) -> bool {
    let length = |at: usize| bytes.get(at..)?.first_chunk::<2>().map(|two| usize::from(u16::from_be_bytes(*two)));
    match bytes.first().map(|first| first >> 4) {
        Some(4) => {
            let header = usize::from(bytes.first().map_or(0, |first| first & 0x0f)).saturating_mul(4);
            bytes.len() >= IPV4_BYTES
                && header >= IPV4_BYTES
                && length(2).is_some_and(|total| total >= header && total <= wire)
        }
        Some(6) => {
            bytes.len() >= IPV6_BYTES && length(4).is_some_and(|payload| payload.saturating_add(IPV6_BYTES) <= wire)
        }
        _ => false,
    }
}

/// As [`ip_fits`], and no other bytes look like that: a right header checksum, or a length that fits to the byte.
pub(super) fn ip_is_certain(bytes: &[u8], wire: usize) -> bool {
    let header = usize::from(bytes.first().map_or(0, |first| first & 0x0f)).saturating_mul(4);
    ip_fits(bytes, wire)
        && match bytes.first().map(|first| first >> 4) {
            Some(4) => bytes.get(..header).is_some_and(ipv4_header_is_right),
            _ => bytes
                .get(4..)
                .and_then(|rest| rest.first_chunk::<2>())
                .is_some_and(|two| usize::from(u16::from_be_bytes(*two)).saturating_add(IPV6_BYTES) == wire),
        }
}

/// Where the IP packet of an Ethernet frame begins, over any VLAN tags.
fn ethernet_ip(bytes: &[u8]) -> Option<usize> {
    let mut at = 12usize;
    for _ in 0..=VLAN_TAGS_MAX {
        match u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?) {
            0x0800 | 0x86dd => return at.checked_add(2),
            0x8100 | 0x88a8 | 0x9100 => at = at.saturating_add(4),
            _ => return None,
        }
    }
    None
}

/// Whether an Ethernet frame could stand here: one with an IP packet that fits, or with another EtherType.
fn ethernet_fits(bytes: &[u8], wire: usize) -> bool {
    match ethernet_ip(bytes) {
        Some(at) => ip_fits(bytes.get(at..).unwrap_or_default(), wire.saturating_sub(at)),
        None => true,
    }
}

/// Whether an Ethernet frame stands here: one with an IP packet that nothing else looks like. A short one is padded.
pub(super) fn ethernet_is_certain(bytes: &[u8], wire: usize) -> bool {
    ethernet_ip(bytes).is_some_and(|at| ip_is_certain(bytes.get(at..).unwrap_or_default(), wire.saturating_sub(at)))
}
