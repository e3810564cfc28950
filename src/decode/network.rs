//! IPv4 and IPv6 with extension headers.
//!
//! In: a frame at the first byte of an IP header. Out: what the transport layer makes of the
//! rest, or a fragment. A total length of zero (written by hosts that let the card cut their packets) means all
//! that was captured. Sources: RFC 791, RFC 8200, RFC 7045 (list of extension headers), RFC 2675.

use super::fragments::{self, Id, Piece};
use super::{EXTENSION_HEADERS_MAX, Frame, Reason, Refused, Segment, transport};

const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const FRAGMENT_BYTES: usize = 8;
/// Shorter payloads of Ethernet frames are padded (IEEE 802.3, section 3.2.8).
const ETHERNET_PAYLOAD_MIN: usize = 46;

/// IPv6 extension headers that are walked over.
mod extension {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    pub const DESTINATION: u8 = 60;
    pub const MOBILITY: u8 = 135;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

/// What an IP header says, for the transport layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub from: [u8; 16],
    pub to: [u8; 16],
    pub version: u8,
    pub protocol: u8,
    /// Bytes of the IP packet; of all fragments, when it was put together.
    pub total: u32,
    /// Bytes of its payload that the header promises and that are not there.
    pub cut: u32,
    /// Packets that carried it.
    pub packets: u16,
}

/// Reads an IP header and everything above it.
#[inline]
pub(crate) fn decode(frame: Frame<'_>) -> Result<Segment, Refused> {
    match frame.rest().first().map(|first| first >> 4) {
        Some(4) => ipv4(frame),
        Some(6) => ipv6(frame),
        Some(_) => Err(Reason::Ipv4Malformed.into()),
        None => Err(Reason::Ipv4Truncated.into()),
    }
}

/// Reads what is behind the IP header of a datagram that was put together.
pub(super) fn whole(ip: Ip, frame: Frame<'_>) -> Result<Segment, Refused> {
    match ip.version {
        6 => ipv6_upper(ip, frame, ip.total as usize),
        _ => transport::decode(&ip, frame),
    }
}

#[inline]
fn ipv4(frame: Frame<'_>) -> Result<Segment, Refused> {
    let rest = frame.rest();
    let header: &[u8; IPV4_BYTES] = rest.first_chunk().ok_or(Reason::Ipv4Truncated)?;
    let header_len = usize::from(header[0] & 0x0f).saturating_mul(4);
    let total = match usize::from(u16::from_be_bytes([header[2], header[3]])) {
        0 => rest.len(),
        total => total,
    };
    if header_len < IPV4_BYTES || total < header_len {
        return Err(Reason::Ipv4Malformed.into());
    }
    if rest.len() < header_len {
        return Err(Reason::Ipv4Truncated.into());
    }
    let here = rest.len().min(total);
    // Ethernet padding and trailers (time stamps of taps among them) lie behind the total length.
    let frame = frame.only(here);
    let (mut from, mut to) = ([0u8; 16], [0u8; 16]);
    if let (Some(a), Some(b)) = (from.last_chunk_mut::<4>(), to.last_chunk_mut::<4>()) {
        *a = [header[12], header[13], header[14], header[15]];
        *b = [header[16], header[17], header[18], header[19]];
    }
    let cut = total.saturating_sub(here) as u32;
    let ip = Ip { from, to, version: 4, protocol: header[9], total: total as u32, cut, packets: 1 };
    let upper = frame.skip(header_len);
    let field = u16::from_be_bytes([header[6], header[7]]);
    if fragments::ipv4(field) {
        if header[2..4] == [0, 0] {
            return Err(Reason::FragmentMalformed.into());
        }
        let number = u32::from(u16::from_be_bytes([header[4], header[5]]));
        let place = Place { offset: u32::from(field & 0x1fff).saturating_mul(8), more: field & 0x2000 != 0, number };
        return Err(piece(ip, upper, place));
    }
    transport::decode(&ip, upper)
}

#[inline]
fn ipv6(frame: Frame<'_>) -> Result<Segment, Refused> {
    let rest = frame.rest();
    let header: &[u8; IPV6_BYTES] = rest.first_chunk().ok_or(Reason::Ipv6Truncated)?;
    let (fixed, addresses) = header.split_at(8);
    let (from, to) = addresses.split_at(16);
    let (Ok(from), Ok(to)) = (from.try_into(), to.try_into()) else { return Err(Reason::Ipv6Truncated.into()) };
    let Some(&[a, b, next, _]) = fixed.last_chunk::<4>() else { return Err(Reason::Ipv6Truncated.into()) };
    let total = match usize::from(u16::from_be_bytes([a, b])) {
        // A jumbogram, a packet that the card was to cut, or nothing but the padding of a frame.
        0 => match jumbo_payload(next, rest.get(IPV6_BYTES..).unwrap_or_default()) {
            Some(payload) => payload.saturating_add(IPV6_BYTES),
            None if rest.len() <= ETHERNET_PAYLOAD_MIN => IPV6_BYTES,
            None => rest.len(),
        },
        payload => payload.saturating_add(IPV6_BYTES),
    };
    let here = rest.len().min(total);
    let cut = total.saturating_sub(here) as u32;
    let ip = Ip { from, to, version: 6, protocol: next, total: total as u32, cut, packets: 1 };
    ipv6_upper(ip, frame.only(here).skip(IPV6_BYTES), total)
}

/// Walks over extension headers.
fn ipv6_upper(mut ip: Ip, mut frame: Frame<'_>, total: usize) -> Result<Segment, Refused> {
    for _ in 0..EXTENSION_HEADERS_MAX {
        let skip = match ip.protocol {
            extension::HOP_BY_HOP
            | extension::ROUTING
            | extension::DESTINATION
            | extension::MOBILITY
            | extension::HIP
            | extension::SHIM6 => header_bytes(frame, 8, 1)?,
            extension::AUTHENTICATION => header_bytes(frame, 4, 2)?,
            extension::FRAGMENT => {
                let &[next, _, a, b, c, d, e, f] = frame.rest().first_chunk().ok_or(Reason::Ipv6Truncated)?;
                let field = u16::from_be_bytes([a, b]);
                if fragments::ipv6(field) {
                    let number = u32::from_be_bytes([c, d, e, f]);
                    let place = Place { offset: u32::from(field & 0xfff8), more: field & 1 != 0, number };
                    ip.protocol = next;
                    ip.total = total as u32;
                    return Err(piece(ip, frame.skip(FRAGMENT_BYTES), place));
                }
                FRAGMENT_BYTES
            }
            _ => return transport::decode(&ip, frame),
        };
        ip.protocol = *frame.rest().first().ok_or(Reason::Ipv6Truncated)?;
        frame = frame.skip(skip);
    }
    Err(Reason::Ipv6Depth.into())
}

/// Where a fragment belongs.
struct Place {
    offset: u32,
    more: bool,
    number: u32,
}

/// A fragment whose payload begins at the frame.
#[cold]
fn piece(ip: Ip, frame: Frame<'_>, Place { offset, more, number }: Place) -> Refused {
    let captured = frame.rest().len() as u32;
    // Of IPv6 the protocol is what the first fragment says.
    let protocol = if ip.version == 6 { 0 } else { ip.protocol };
    Refused::Piece(Box::new(Piece {
        id: Id {
            from: ip.from,
            to: ip.to,
            version: ip.version,
            protocol,
            number,
            vlan: frame.vlan,
            tunnels: frame.tunnels,
            outer: frame.outer,
        },
        time: frame.time,
        number: frame.number,
        offset,
        len: captured.saturating_add(ip.cut),
        more,
        protocol: ip.protocol,
        ip_bytes: ip.total,
        payload: frame.at,
        captured,
        macs: frame.macs,
        conflict: false,
        input: 0,
    }))
}

/// The payload length that the jumbo option of a hop-by-hop header says (RFC 2675).
#[cold]
fn jumbo_payload(next: u8, rest: &[u8]) -> Option<usize> {
    const JUMBO: [u8; 2] = [0xc2, 4];
    if next != extension::HOP_BY_HOP || rest.get(2..4) != Some(&JUMBO) {
        return None;
    }
    let length = rest.get(4..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*length) as usize).filter(|&length| length > usize::from(u16::MAX))
}

/// Length of an extension header: its second byte counts units, `more` of which are not counted.
fn header_bytes(frame: Frame<'_>, unit: usize, more: usize) -> Result<usize, Reason> {
    let units = *frame.rest().get(1).ok_or(Reason::Ipv6Truncated)?;
    Ok(usize::from(units).saturating_add(more).saturating_mul(unit))
}
