//! Headers with correct lengths and checksums: Ethernet II, 802.1Q, ARP, IPv4, IPv6, ICMP, TCP, UDP.
//!
//! In: addresses and payloads. Out: frames without a frame check sequence, padded as a card pads them (IEEE 802.3,
//! RFC 826, RFC 791, RFC 8200, RFC 792, RFC 9293, RFC 768).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A hardware address.
pub type Mac = [u8; 6];

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;

/// IP protocol number of ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

/// TCP flag FIN.
pub const FIN: u8 = 0x01;
/// TCP flag SYN.
pub const SYN: u8 = 0x02;
/// TCP flag RST.
pub const RST: u8 = 0x04;
/// TCP flag PSH.
pub const PSH: u8 = 0x08;
/// TCP flag ACK.
pub const ACK: u8 = 0x10;

/// Shortest Ethernet frame without its check sequence.
const FRAME_BYTES_MIN: usize = 60;
/// Hop limit of every packet.
const HOPS: u8 = 64;

/// One packet of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub time: u64,
    /// From the first byte of the destination address on.
    pub bytes: Vec<u8>,
    /// A remark for people who open the capture.
    pub comment: Option<String>,
}

impl Packet {
    /// A packet without a remark.
    pub fn new(time: u64, bytes: Vec<u8>) -> Packet {
        Packet { time, bytes, comment: None }
    }
}

/// One end of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The hardware address in its frames: its own, or the router's.
    pub mac: Mac,
    /// Address and port.
    pub address: SocketAddr,
}

impl Endpoint {
    /// Puts the parts together; `ip` is written as text.
    pub fn new(mac: Mac, ip: &str, port: u16) -> Endpoint {
        Endpoint { mac, address: SocketAddr::new(ip.parse().unwrap(), port) }
    }
}

/// What a TCP header says beside the ports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    /// Sequence number of the first payload byte.
    pub sequence: u32,
    /// Next byte expected from the other side.
    pub acknowledged: u32,
    /// FIN, SYN, …
    pub flags: u8,
    /// The window field, unscaled.
    pub window: u16,
    /// Urgent pointer; the URG flag is set when it is not zero.
    pub urgent: u16,
    /// Options, a multiple of four bytes.
    pub options: &'a [u8],
}

/// An Ethernet frame, with one tag for each VLAN, the outermost first.
pub fn ethernet(source: Mac, destination: Mac, vlans: &[u16], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 22);
    frame.extend_from_slice(&destination);
    frame.extend_from_slice(&source);
    for vlan in vlans {
        frame.extend_from_slice(&ETHERTYPE_VLAN.to_be_bytes());
        frame.extend_from_slice(&vlan.to_be_bytes());
    }
    frame.extend_from_slice(&ethertype.to_be_bytes());
    frame.extend_from_slice(payload);
    let shortest = FRAME_BYTES_MIN + 4 * vlans.len();
    if frame.len() < shortest {
        frame.resize(shortest, 0);
    }
    frame
}

/// An IPv4 or IPv6 packet, after the kind of the addresses. `id` is the identification of IPv4.
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(payload.len() + 40);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total = u16::try_from(payload.len() + 20).unwrap();
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&total.to_be_bytes());
            packet.extend_from_slice(&id.to_be_bytes());
            packet.extend_from_slice(&[0x40, 0, HOPS, protocol, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(payload.len()).unwrap();
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(&[protocol, HOPS]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
        }
        _ => panic!("addresses of two kinds"),
    }
    packet.extend_from_slice(payload);
    packet
}

/// A TCP segment with its checksum.
pub fn tcp(source: SocketAddr, destination: SocketAddr, header: Tcp<'_>, payload: &[u8]) -> Vec<u8> {
    assert!(header.options.len().is_multiple_of(4) && header.options.len() <= 40, "TCP options of that length");
    let words = u8::try_from(5 + header.options.len() / 4).unwrap();
    let urgent_flag = if header.urgent == 0 { 0 } else { 0x20 };
    let mut segment = Vec::with_capacity(payload.len() + 60);
    segment.extend_from_slice(&source.port().to_be_bytes());
    segment.extend_from_slice(&destination.port().to_be_bytes());
    segment.extend_from_slice(&header.sequence.to_be_bytes());
    segment.extend_from_slice(&header.acknowledged.to_be_bytes());
    segment.extend_from_slice(&[words << 4, header.flags | urgent_flag]);
    segment.extend_from_slice(&header.window.to_be_bytes());
    segment.extend_from_slice(&[0, 0]);
    segment.extend_from_slice(&header.urgent.to_be_bytes());
    segment.extend_from_slice(header.options);
    segment.extend_from_slice(payload);
    let sum = transport_checksum(source.ip(), destination.ip(), PROTOCOL_TCP, &segment);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    segment
}

/// A UDP datagram with its checksum.
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).unwrap();
    let mut datagram = Vec::with_capacity(payload.len() + 8);
    datagram.extend_from_slice(&source.port().to_be_bytes());
    datagram.extend_from_slice(&destination.port().to_be_bytes());
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    // A sum of zero means "none" and is sent as all ones.
    let sum = match transport_checksum(source.ip(), destination.ip(), PROTOCOL_UDP, &datagram) {
        0 => 0xffff,
        sum => sum,
    };
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// An ICMP (IPv4) echo request or its reply.
pub fn icmp_echo(reply: bool, id: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![if reply { 0 } else { 8 }, 0, 0, 0];
    message.extend_from_slice(&id.to_be_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(payload);
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The frame of an ARP request (to everybody) or of the reply to it.
pub fn arp(reply: bool, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, if reply { 2 } else { 1 }];
    message.extend_from_slice(&sender.0);
    message.extend_from_slice(&sender.1.octets());
    message.extend_from_slice(&if reply { target.0 } else { [0; 6] });
    message.extend_from_slice(&target.1.octets());
    let destination = if reply { target.0 } else { [0xff; 6] };
    ethernet(sender.0, destination, &[], ETHERTYPE_ARP, &message)
}

/// The frame of an IP packet between two ends.
pub fn frame(source: Endpoint, destination: Endpoint, vlans: &[u16], protocol: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let packet = ip(source.address.ip(), destination.address.ip(), protocol, id, payload);
    let ethertype = if source.address.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
    ethernet(source.mac, destination.mac, vlans, ethertype, &packet)
}

/// The packet of one UDP datagram.
pub fn datagram(time: u64, source: Endpoint, destination: Endpoint, vlans: &[u16], payload: &[u8]) -> Packet {
    let datagram = udp(source.address, destination.address, payload);
    let id = (time / 1000) as u16;
    Packet::new(time, frame(source, destination, vlans, PROTOCOL_UDP, id, &datagram))
}

/// The Internet checksum (RFC 1071) over parts, all but the last of even length.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, segment: &[u8]) -> u16 {
    let mut pseudo = Vec::with_capacity(40);
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => pseudo.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => pseudo.extend_from_slice(&address.octets()),
        }
    }
    pseudo.extend_from_slice(&u32::try_from(segment.len()).unwrap().to_be_bytes());
    pseudo.extend_from_slice(&[0, 0, 0, protocol]);
    checksum(&[&pseudo, segment])
}
