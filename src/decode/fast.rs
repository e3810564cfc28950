//! The plain packet in one go: Ethernet with at most one tag, IPv4 without options or IPv6 without
//! extension headers, TCP or UDP.
//!
//! In: a packet. Out: its segment, or `None` for whatever is not that plain or looks wrong; the
//! layers one by one then say what it is. For a plain packet both give the same segment: a test
//! compares them on every fixture and on mutated packets.

use super::{Fragmented, Segment, link, transport, tunnel};
use crate::capture::Packet;
use crate::flow::key::{Key, protocol};
use crate::flow::tunnels::Tunnels;

const ETHERNET_BYTES: usize = 14;
const VLAN_BYTES: usize = 4;
const IPV4_BYTES: usize = 20;
const IPV6_BYTES: usize = 40;
const TCP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;
const ETHER_VLAN: u16 = 0x8100;
const VLAN_ID_MASK: u16 = 0x0fff;
/// Version 4, five words of header.
const IPV4_PLAIN: u8 = 0x45;
const IPV4_MORE_AND_OFFSET: u16 = 0x3fff;

/// Reads a plain packet of a block whose bytes are `block`; `number` is its number in the input.
#[inline(always)]
pub(super) fn decode(block: &[u8], packet: &Packet, number: u64) -> Option<Segment> {
    if packet.link != link::types::ETHERNET {
        return None;
    }
    let end = packet.start.checked_add(packet.captured as usize)?;
    let bytes = block.get(packet.start..end)?;
    let ethernet: &[u8; ETHERNET_BYTES] = bytes.first_chunk()?;
    let mut kind = u16::from_be_bytes([ethernet[12], ethernet[13]]);
    let mut at = ETHERNET_BYTES;
    let mut vlan = None;
    if kind == ETHER_VLAN {
        let &[a, b, c, d] = bytes.get(at..)?.first_chunk::<VLAN_BYTES>()?;
        vlan = Some(u16::from_be_bytes([a, b]) & VLAN_ID_MASK);
        kind = u16::from_be_bytes([c, d]);
        at = at.checked_add(VLAN_BYTES)?;
    }
    let rest = bytes.get(at..)?;
    let (total, number_of_protocol, upper) = match kind {
        ETHER_IPV4 => {
            let ip: &[u8; IPV4_BYTES] = rest.first_chunk()?;
            let total = u16::from_be_bytes([ip[2], ip[3]]);
            let fragment = u16::from_be_bytes([ip[6], ip[7]]) & IPV4_MORE_AND_OFFSET != 0;
            if ip[0] != IPV4_PLAIN || fragment {
                return None;
            }
            (usize::from(total), ip[9], IPV4_BYTES)
        }
        ETHER_IPV6 => {
            let ip: &[u8; IPV6_BYTES] = rest.first_chunk()?;
            let payload = u16::from_be_bytes([ip[4], ip[5]]);
            if ip[0] >> 4 != 6 || payload == 0 {
                return None;
            }
            (usize::from(payload).checked_add(IPV6_BYTES)?, ip[6], IPV6_BYTES)
        }
        _ => return None,
    };
    // What lies behind the packet is padding of the frame.
    let here = rest.get(..total.min(rest.len()))?;
    let cut = total.saturating_sub(rest.len());
    let body = here.get(upper..)?;
    let (ports, tcp, header, payload_cut) = match number_of_protocol {
        protocol::TCP => {
            let tcp: &[u8; TCP_BYTES] = body.first_chunk()?;
            let header = usize::from(tcp[12] >> 4).checked_mul(4)?;
            if header < TCP_BYTES || header > body.len() {
                return None;
            }
            ([tcp[0], tcp[1], tcp[2], tcp[3]], Some(tcp), header, cut)
        }
        protocol::UDP => {
            let udp: &[u8; UDP_BYTES] = body.first_chunk()?;
            let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
            let ports = [u16::from_be_bytes([udp[0], udp[1]]), u16::from_be_bytes([udp[2], udp[3]])];
            // A length that leaves bytes over, or is more than there is, is for the layers to judge.
            if length != body.len() || tunnel::may_be_at(ports) {
                return None;
            }
            ([udp[0], udp[1], udp[2], udp[3]], None, UDP_BYTES, 0)
        }
        _ => return None,
    };
    let [a, b, c, d] = ports;
    let (from_port, to_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let (key, from_low) = match upper {
        IPV4_BYTES => {
            let (&from, &to) = (rest.get(12..)?.first_chunk()?, rest.get(16..)?.first_chunk()?);
            Key::v4(from, from_port, to, to_port, number_of_protocol)
        }
        _ => {
            let (&from, &to) = (rest.get(8..)?.first_chunk()?, rest.get(24..)?.first_chunk()?);
            Key::from_octets(from, from_port, to, to_port, number_of_protocol, 6)
        }
    };
    let (seq, ack, tcp_flags, urgent) = match tcp {
        Some(tcp) => (
            u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
            u32::from_be_bytes([tcp[8], tcp[9], tcp[10], tcp[11]]),
            tcp[13],
            transport::urgent(tcp),
        ),
        None => (0, 0, 0, 0),
    };
    let payload = at.checked_add(upper)?.checked_add(header)?;
    Some(Segment {
        time: packet.time,
        number,
        key,
        from_low,
        tcp_flags,
        seq,
        ack,
        urgent,
        ip_bytes: total as u32,
        payload: packet.start.checked_add(payload)?,
        payload_len: body.len().checked_sub(header)? as u32,
        payload_cut: payload_cut as u32,
        macs: Some(packet.start),
        vlan,
        packets: 1,
        fragments: Fragmented::No,
        tunnels: Tunnels::NONE,
    })
}
