//! PPP: on a serial line, over Ethernet, in a tunnel.
//!
//! In: a frame at the first byte of PPP or PPPoE. Out: what the network layer makes of the IP packet inside. Sources:
//! RFC 1661 (with compressed address, control and protocol fields), RFC 1662, RFC 2516, RFC 1332, RFC 5072, RFC 3032
//! section 4; tcpdump.org on Cisco HDLC.

use super::{Frame, Reason, Refused, Segment, link, mpls, network};
use crate::flow::tunnels::Tunnel;

/// PPP protocol numbers.
mod protocol {
    pub const IPV4: u16 = 0x0021;
    pub const IPV6: u16 = 0x0057;
    pub const MPLS: u16 = 0x0281;
    pub const MPLS_MULTICAST: u16 = 0x0283;
}

/// Address "all stations" and control "unnumbered information".
const ADDRESS_AND_CONTROL: [u8; 2] = [0xff, 0x03];
/// Addresses of Cisco HDLC: to one station, to all.
const CISCO: [[u8; 2]; 2] = [[0x0f, 0], [0x8f, 0]];

/// A PPP frame.
pub(super) fn decode(mut frame: Frame<'_>) -> Result<Segment, Refused> {
    if frame.rest().first_chunk() == Some(&ADDRESS_AND_CONTROL) {
        frame = frame.skip(2);
    }
    // A number of one byte is odd; the first of two is even.
    let &first = frame.rest().first().ok_or(Reason::LinkTruncated)?;
    let (protocol, at) = match first & 1 {
        1 => (u16::from(first), 1),
        _ => (u16::from_be_bytes(*frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?), 2),
    };
    let inner = frame.skip(at);
    match protocol {
        protocol::IPV4 | protocol::IPV6 => network::decode(inner),
        protocol::MPLS | protocol::MPLS_MULTICAST => mpls::stack(inner.inside(Tunnel::Mpls)?),
        _ => Err(Reason::LinkTunnel.into()),
    }
}

/// A frame of a serial line: PPP, or Cisco's.
pub(super) fn serial(frame: Frame<'_>) -> Result<Segment, Refused> {
    match frame.rest().first_chunk() {
        Some(start) if CISCO.contains(start) => cisco(frame),
        _ => decode(frame),
    }
}

/// Address, control, EtherType.
pub(super) fn cisco(frame: Frame<'_>) -> Result<Segment, Refused> {
    let &[_, _, high, low] = frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?;
    link::payload(u16::from_be_bytes([high, low]), frame.skip(4))
}

/// A PPPoE session packet; its length leaves the padding of the frame behind.
pub(super) fn over_ethernet(frame: Frame<'_>) -> Result<Segment, Refused> {
    const HEADER_BYTES: usize = 6;
    const SESSION: [u8; 2] = [0x11, 0];
    let &[version, code, _, _, high, low] = frame.rest().first_chunk().ok_or(Reason::LinkTruncated)?;
    if [version, code] != SESSION {
        return Err(Reason::LinkTunnel.into());
    }
    let inner = frame.skip(HEADER_BYTES).only(usize::from(u16::from_be_bytes([high, low])));
    decode(inner)
}
