//! TCP, UDP, ICMP and SCTP headers; any other protocol becomes a flow without ports.
//!
//! In: an IP header and a frame at the first byte behind it. Out: a [`Segment`].
//! Checksums are not verified: a host that leaves them to its card writes wrong ones.
//! Sources: RFC 9293, RFC 768, RFC 792, RFC 4443, RFC 9260; Community ID v1 for ICMP.

use super::network::Ip;
use super::{Frame, Reason, Refused, Segment, tcp as flag, tunnel};
use crate::flow::key::{Key, protocol};

const TCP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const ICMP_BYTES: usize = 4;
const SCTP_BYTES: usize = 12;

/// Reads the transport header.
#[inline]
pub(crate) fn decode(ip: &Ip, frame: Frame<'_>) -> Result<Segment, Refused> {
    match ip.protocol {
        protocol::TCP => Ok(tcp(ip, frame)?),
        protocol::UDP => udp(ip, frame),
        protocol::ICMP | protocol::ICMP6 => Ok(icmp(ip, frame)?),
        protocol::SCTP => {
            let header: &[u8; SCTP_BYTES] = frame.rest().first_chunk().ok_or(Reason::SctpTruncated)?;
            Ok(segment(ip, ports(header), frame, SCTP_BYTES))
        }
        number => match tunnel::in_ip(number, ip, frame) {
            Some(inside) => inside,
            None => Ok(segment(ip, (0, 0), frame, 0)),
        },
    }
}

#[inline]
fn tcp(ip: &Ip, frame: Frame<'_>) -> Result<Segment, Reason> {
    let rest = frame.rest();
    let header: &[u8; TCP_BYTES] = rest.first_chunk().ok_or(Reason::TcpTruncated)?;
    let header_len = usize::from(header[12] >> 4).saturating_mul(4);
    if header_len < TCP_BYTES {
        return Err(Reason::TcpMalformed);
    }
    if rest.len() < header_len {
        return Err(Reason::TcpTruncated);
    }
    let mut segment = segment(ip, ports(header), frame, header_len);
    segment.seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    segment.ack = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    segment.tcp_flags = header[13];
    segment.urgent = urgent(header);
    Ok(segment)
}

/// The urgent pointer, when it counts.
#[inline]
pub(super) fn urgent(header: &[u8; TCP_BYTES]) -> u16 {
    if header[13] & flag::URG == 0 { 0 } else { u16::from_be_bytes([header[18], header[19]]) }
}

#[inline]
fn udp(ip: &Ip, frame: Frame<'_>) -> Result<Segment, Refused> {
    let rest = frame.rest();
    let header: &[u8; UDP_BYTES] = rest.first_chunk().ok_or(Reason::UdpTruncated)?;
    // Zero: a jumbogram or a packet that the card was to cut.
    let length = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
        0 => rest.len(),
        length if length < UDP_BYTES => return Err(Reason::UdpMalformed.into()),
        length => length,
    };
    let frame = frame.only(length);
    let (from_port, to_port) = ports(header);
    if tunnel::may_be_at([from_port, to_port])
        && let Some(inside) =
            tunnel::in_udp([from_port, to_port], ip, frame.skip(UDP_BYTES), length.saturating_sub(UDP_BYTES))
    {
        return inside;
    }
    let mut segment = segment(ip, (from_port, to_port), frame, UDP_BYTES);
    segment.payload_cut = length.saturating_sub(rest.len()) as u32;
    Ok(segment)
}

/// ICMP has no ports: type and the type of its answer stand in, or type and code when there is
/// no answer to expect.
fn icmp(ip: &Ip, frame: Frame<'_>) -> Result<Segment, Reason> {
    let header: &[u8; ICMP_BYTES] = frame.rest().first_chunk().ok_or(Reason::IcmpTruncated)?;
    let (kind, code) = (header[0], header[1]);
    match answer(ip.protocol, kind) {
        Some(answer) => Ok(segment(ip, (u16::from(kind), u16::from(answer)), frame, ICMP_BYTES)),
        None => {
            let mut segment = segment(ip, (0, 0), frame, ICMP_BYTES);
            segment.key = Key::one_way(ip.from, u16::from(kind), ip.to, u16::from(code), ip.protocol, ip.version);
            segment.from_low = true;
            Ok(segment)
        }
    }
}

/// The ICMP type that answers this one, as Community ID v1 pairs them.
fn answer(protocol: u8, kind: u8) -> Option<u8> {
    let pairs: &[(u8, u8)] = match protocol {
        protocol::ICMP => &[(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)],
        _ => &[(128, 129), (133, 134), (135, 136), (130, 131), (139, 140), (144, 145)],
    };
    pairs.iter().find_map(|&(ask, reply)| match kind {
        k if k == ask => Some(reply),
        k if k == reply => Some(ask),
        _ => None,
    })
}

#[inline]
fn ports(header: &[u8]) -> (u16, u16) {
    match header.first_chunk::<4>() {
        Some(&[a, b, c, d]) => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
        None => (0, 0),
    }
}

#[inline]
fn segment(ip: &Ip, (from_port, to_port): (u16, u16), frame: Frame<'_>, header_len: usize) -> Segment {
    let (key, from_low) = Key::from_octets(ip.from, from_port, ip.to, to_port, ip.protocol, ip.version);
    let payload = frame.skip(header_len);
    Segment {
        time: frame.time,
        number: frame.number,
        ip_bytes: ip.total,
        payload: payload.at.min(frame.bytes.len()),
        payload_len: payload.rest().len() as u32,
        payload_cut: ip.cut,
        macs: frame.macs,
        vlan: frame.vlan,
        packets: ip.packets,
        tunnels: frame.tunnels,
        ..Segment::bare(key, from_low)
    }
}
