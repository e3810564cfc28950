//! IPv4 and IPv6 with extension headers.
//!
//! In: a frame at the first byte of an IP header. Out: what the transport layer makes of the
//! rest. A total length of zero (written by hosts that let the card cut their packets) means all
//! that was captured. Sources: RFC 791, RFC 8200, RFC 7045 (list of extension headers).

use super::{EXTENSION_HEADERS_MAX, Frame, Reason, Segment, fragments, transport};

const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;

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
    /// Bytes of the IP packet.
    pub total: u32,
    /// Bytes of its payload that the header promises and that are not there.
    pub cut: u32,
}

/// Reads an IP header and everything above it.
#[inline]
pub(crate) fn decode(frame: Frame<'_>) -> Result<(Segment, Frame<'_>), Reason> {
    match frame.rest().first().map(|first| first >> 4) {
        Some(4) => ipv4(frame),
        Some(6) => ipv6(frame),
        Some(_) => Err(Reason::Ipv4Malformed),
        None => Err(Reason::Ipv4Truncated),
    }
}

#[inline]
fn ipv4(mut frame: Frame<'_>) -> Result<(Segment, Frame<'_>), Reason> {
    let rest = frame.rest();
    let header: &[u8; IPV4_BYTES] = rest.first_chunk().ok_or(Reason::Ipv4Truncated)?;
    let header_len = usize::from(header[0] & 0x0f).saturating_mul(4);
    let total = match usize::from(u16::from_be_bytes([header[2], header[3]])) {
        0 => rest.len(),
        total => total,
    };
    if header_len < IPV4_BYTES || total < header_len {
        return Err(Reason::Ipv4Malformed);
    }
    if rest.len() < header_len {
        return Err(Reason::Ipv4Truncated);
    }
    if fragments::ipv4(u16::from_be_bytes([header[6], header[7]])) {
        return Err(Reason::Fragment);
    }
    let here = rest.len().min(total);
    // Ethernet padding and trailers lie behind the total length.
    frame.bytes = frame.bytes.get(..frame.at.saturating_add(here)).unwrap_or(frame.bytes);
    let (mut from, mut to) = ([0u8; 16], [0u8; 16]);
    if let (Some(a), Some(b)) = (from.last_chunk_mut::<4>(), to.last_chunk_mut::<4>()) {
        *a = [header[12], header[13], header[14], header[15]];
        *b = [header[16], header[17], header[18], header[19]];
    }
    let ip =
        Ip { from, to, version: 4, protocol: header[9], total: total as u32, cut: total.saturating_sub(here) as u32 };
    transport::decode(&ip, frame.skip(header_len)).map(|segment| (segment, frame))
}

#[inline]
fn ipv6(mut frame: Frame<'_>) -> Result<(Segment, Frame<'_>), Reason> {
    let rest = frame.rest();
    let header: &[u8; IPV6_BYTES] = rest.first_chunk().ok_or(Reason::Ipv6Truncated)?;
    let (fixed, addresses) = header.split_at(8);
    let (from, to) = addresses.split_at(16);
    let (Ok(from), Ok(to)) = (from.try_into(), to.try_into()) else { return Err(Reason::Ipv6Truncated) };
    let Some(&[a, b, mut next, _]) = fixed.last_chunk::<4>() else { return Err(Reason::Ipv6Truncated) };
    // Zero: a jumbogram or a packet that the card was to cut; take what is there.
    let total = match usize::from(u16::from_be_bytes([a, b])) {
        0 => rest.len(),
        payload => payload.saturating_add(IPV6_BYTES),
    };
    let here = rest.len().min(total);
    frame.bytes = frame.bytes.get(..frame.at.saturating_add(here)).unwrap_or(frame.bytes);
    let mut upper = frame.skip(IPV6_BYTES);
    for _ in 0..EXTENSION_HEADERS_MAX {
        let skip = match next {
            extension::HOP_BY_HOP
            | extension::ROUTING
            | extension::DESTINATION
            | extension::MOBILITY
            | extension::HIP
            | extension::SHIM6 => header_bytes(upper, 8, 1)?,
            extension::AUTHENTICATION => header_bytes(upper, 4, 2)?,
            extension::FRAGMENT => {
                let fields = upper.rest().get(2..4).and_then(|b| b.first_chunk::<2>()).ok_or(Reason::Ipv6Truncated)?;
                if fragments::ipv6(u16::from_be_bytes(*fields)) {
                    return Err(Reason::Fragment);
                }
                8
            }
            protocol => {
                let ip =
                    Ip { from, to, version: 6, protocol, total: total as u32, cut: total.saturating_sub(here) as u32 };
                return transport::decode(&ip, upper).map(|segment| (segment, frame));
            }
        };
        next = *upper.rest().first().ok_or(Reason::Ipv6Truncated)?;
        upper = upper.skip(skip);
    }
    Err(Reason::Ipv6Depth)
}

/// Length of an extension header: its second byte counts units, `more` of which are not counted.
fn header_bytes(frame: Frame<'_>, unit: usize, more: usize) -> Result<usize, Reason> {
    let units = *frame.rest().get(1).ok_or(Reason::Ipv6Truncated)?;
    Ok(usize::from(units).saturating_add(more).saturating_mul(unit))
}
