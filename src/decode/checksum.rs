//! Internet checksums, where it matters whether bytes belong together.
//!
//! In: addresses and the payload of an IP packet, or an IP header. Out: whether its checksum contradicts it.
//! Source: RFC 1071; the pseudo-headers of RFC 9293 section 3.1, RFC 768 and RFC 8200 section 8.1.

use crate::flow::key::protocol;

/// Whether the checksum of TCP, UDP or ICMP is there and wrong. Of other protocols nothing is known.
pub(super) fn transport_is_wrong(from: &[u8; 16], to: &[u8; 16], version: u8, number: u8, payload: &[u8]) -> bool {
    let pseudo = match number {
        protocol::UDP if payload.get(6..8) == Some(&[0, 0]) => return false,
        protocol::TCP | protocol::UDP => true,
        protocol::ICMP6 if version == 6 => true,
        protocol::ICMP if version == 4 => false,
        _ => return false,
    };
    let mut sum = add(0, payload);
    if pseudo {
        // The first twelve bytes of an IPv4 address in its long form are zero.
        sum = add(add(sum, from), to);
        sum = sum.saturating_add(payload.len() as u64).saturating_add(u64::from(number));
    }
    folded(sum) != 0xffff
}

/// Whether the checksum of an IPv4 header is right.
pub(super) fn ipv4_header_is_right(header: &[u8]) -> bool {
    folded(add(0, header)) == 0xffff
}

fn add(sum: u64, bytes: &[u8]) -> u64 {
    let (pairs, last) = bytes.as_chunks::<2>();
    let sum = pairs.iter().fold(sum, |sum, pair| sum.saturating_add(u64::from(u16::from_be_bytes(*pair))));
    last.iter().fold(sum, |sum, &byte| sum.saturating_add(u64::from(byte) << 8))
}

fn folded(mut sum: u64) -> u64 {
    while sum > 0xffff {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    sum
}
