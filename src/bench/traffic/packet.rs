//! Frames as a wire carries them: Ethernet, IPv4 and IPv6, TCP, UDP, ICMP, ARP, with right lengths and checksums.
//!
//! In: two ends and what one says to the other. Out: the frame's bytes, appended (without the frame check sequence, which
//! captures lack, padded to the Ethernet minimum).
//! Sources: IEEE 802.3, RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443, RFC 826, RFC 1071.

use std::net::IpAddr;

/// Shortest Ethernet frame without its check sequence.
pub const FRAME_BYTES_MIN: usize = 60;
/// Payload bytes of a full TCP segment with timestamps in a frame of 1,514 bytes over IPv4.
pub const SEGMENT_BYTES_MAX: usize = 1448;

const ETHER_BYTES: usize = 14;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const TYPE_IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;

/// TCP flags.
pub mod flag {
    pub use crate::decode::tcp::{ACK, FIN, SYN};
    /// Hand over at once.
    pub const PSH: u8 = 0x08;
}

/// One end of a flow.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Hardware address.
    pub mac: [u8; 6],
    /// IP address; both ends are of one family.
    pub address: IpAddr,
    /// Port; 0 where there is none.
    pub port: u16,
    /// Time to live its packets have when they pass the tap.
    pub ttl: u8,
}

/// What a TCP header says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// Window as written.
    pub window: u16,
    /// Options, padded to four bytes.
    pub options: &'a [u8],
}

/// Appends a TCP segment.
pub fn tcp(out: &mut Vec<u8>, from: &End, to: &End, id: u16, header: &Tcp<'_>, payload: &[u8]) {
    let header_bytes = 20 + header.options.len();
    ip(out, from, to, TCP, id, header_bytes + payload.len(), |out| {
        out.extend_from_slice(&from.port.to_be_bytes());
        out.extend_from_slice(&to.port.to_be_bytes());
        out.extend_from_slice(&header.seq.to_be_bytes());
        out.extend_from_slice(&header.ack.to_be_bytes());
        out.extend_from_slice(&[((header_bytes / 4) << 4) as u8, header.flags]);
        out.extend_from_slice(&header.window.to_be_bytes());
        out.extend_from_slice(&[0; 4]); // checksum, urgent pointer
        out.extend_from_slice(header.options);
        out.extend_from_slice(payload);
        16
    });
}

/// Appends a UDP datagram.
pub fn udp(out: &mut Vec<u8>, from: &End, to: &End, id: u16, payload: &[u8]) {
    ip(out, from, to, UDP, id, 8 + payload.len(), |out| {
        out.extend_from_slice(&from.port.to_be_bytes());
        out.extend_from_slice(&to.port.to_be_bytes());
        out.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(payload);
        6
    });
}

/// Appends an echo request or reply.
pub fn echo(out: &mut Vec<u8>, from: &End, to: &End, reply: bool, numbers: [u16; 2], payload: &[u8]) {
    let (protocol, kind) = match (from.address, reply) {
        (IpAddr::V4(_), false) => (ICMP, 8),
        (IpAddr::V4(_), true) => (ICMP, 0),
        (IpAddr::V6(_), false) => (ICMP6, 128),
        (IpAddr::V6(_), true) => (ICMP6, 129),
    };
    ip(out, from, to, protocol, numbers[1], 8 + payload.len(), |out| {
        out.extend_from_slice(&[kind, 0, 0, 0]);
        out.extend_from_slice(&numbers[0].to_be_bytes());
        out.extend_from_slice(&numbers[1].to_be_bytes());
        out.extend_from_slice(payload);
        2
    });
}

/// Appends an ARP request of one end for the other, or its reply. Both have IPv4 addresses.
pub fn arp(out: &mut Vec<u8>, from: &End, to: &End, reply: bool) {
    let start = out.len();
    let (IpAddr::V4(sender), IpAddr::V4(target)) = (from.address, to.address) else { return };
    out.extend_from_slice(if reply { &to.mac } else { &[0xff; 6] });
    out.extend_from_slice(&from.mac);
    out.extend_from_slice(&TYPE_ARP.to_be_bytes());
    out.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, if reply { 2 } else { 1 }]);
    out.extend_from_slice(&from.mac);
    out.extend_from_slice(&sender.octets());
    out.extend_from_slice(if reply { &to.mac } else { &[0; 6] });
    out.extend_from_slice(&target.octets());
    pad(out, start);
}

/// Ethernet and IP around a transport that `write` appends; it returns the offset of its checksum.
fn ip(
    out: &mut Vec<u8>,
    from: &End,
    to: &End,
    protocol: u8,
    id: u16,
    length: usize,
    write: impl FnOnce(&mut Vec<u8>) -> usize,
) {
    let start = out.len();
    out.extend_from_slice(&to.mac);
    out.extend_from_slice(&from.mac);
    let pseudo = match (from.address, to.address) {
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            out.extend_from_slice(&TYPE_IPV6.to_be_bytes());
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
            out.extend_from_slice(&[protocol, from.ttl]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&target.octets());
            sum(&out[start + ETHER_BYTES + 8..])
        }
        (source, target) => {
            let [source, target] = [source, target].map(|address| match address {
                IpAddr::V4(address) => address.octets(),
                IpAddr::V6(_) => [0; 4],
            });
            out.extend_from_slice(&TYPE_IPV4.to_be_bytes());
            let at = out.len();
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&((20 + length) as u16).to_be_bytes());
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&[0x40, 0, from.ttl, protocol, 0, 0]); // do not fragment
            out.extend_from_slice(&source);
            out.extend_from_slice(&target);
            let checksum = !folded(sum(&out[at..]));
            out[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
            sum(&out[at + 12..])
        }
    };
    let at = out.len();
    let offset = write(out);
    // ICMP over IPv4 is the one that does not cover the addresses.
    let mut total = sum(&out[at..]);
    if protocol != ICMP {
        total += pseudo + u64::from(protocol) + length as u64;
    }
    let checksum = match !folded(total) {
        0 if protocol == UDP => 0xffff, // zero would say that there is none
        sum => sum,
    };
    out[at + offset..at + offset + 2].copy_from_slice(&checksum.to_be_bytes());
    pad(out, start);
}

fn pad(out: &mut Vec<u8>, start: usize) {
    if out.len() - start < FRAME_BYTES_MIN {
        out.resize(start + FRAME_BYTES_MIN, 0);
    }
}

/// Sum of the sixteen-bit words, not yet folded (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let total: u64 = words.chunks(1 << 14).map(|part| u64::from(part.iter().map(word).sum::<u32>())).sum();
    total + rest.first().map_or(0, |&last| u64::from(last) << 8)
}

fn word(bytes: &[u8; 2]) -> u32 {
    u32::from(u16::from_be_bytes(*bytes))
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
