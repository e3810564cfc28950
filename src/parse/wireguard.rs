//! WireGuard: recognised, and opaque.
//!
//! In: datagrams. Out: that the flow is WireGuard; everything that matters in it is encrypted. A handshake is told by its
//! type, three reserved zeros and a length that fits to the byte. Data and cookies say too little for that and count
//! only at the registered port, for flows whose handshake was not captured. Source: Donenfeld, "WireGuard: Next
//! Generation Kernel Network Tunnel", section 5.4; wireguard.com/protocol.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// WireGuard.
pub static PROTOCOL: Protocol = Protocol {
    name: "wireguard",
    over: &[Transport::Udp],
    fields: &[],
    claim,
    embedded: false,
    parser: |_| Box::new(Opaque),
};

const PORT: u16 = 51_820;
const INITIATION: u8 = 1;
const INITIATION_BYTES: usize = 148;
const RESPONSE: u8 = 2;
const RESPONSE_BYTES: usize = 92;
const COOKIE: u8 = 3;
const COOKIE_BYTES: usize = 64;
const DATA: u8 = 4;
const DATA_BYTES_MIN: usize = 32;
/// Payload is padded to a multiple of this; so are header and tag.
const DATA_UNIT_BYTES: usize = 16;
/// Bytes of a key: of the ephemeral one, behind one index in a first message and behind two in an answer.
const KEY_BYTES: usize = 32;

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let &[kind, 0, 0, 0, ..] = bytes else { return Claim::No };
    let at_port = is_at(ports, &[PORT]);
    let fits = match kind {
        INITIATION => bytes.len() == INITIATION_BYTES && has_key_at(bytes, 8),
        RESPONSE => bytes.len() == RESPONSE_BYTES && has_key_at(bytes, 12),
        COOKIE => at_port && bytes.len() == COOKIE_BYTES,
        DATA => at_port && bytes.len() >= DATA_BYTES_MIN && bytes.len().is_multiple_of(DATA_UNIT_BYTES),
        _ => false,
    };
    if fits { Claim::Yes } else { Claim::No }
}

/// A key looks random: of what is mostly zeros or one byte again and again it is none.
fn has_key_at(bytes: &[u8], at: usize) -> bool {
    const VALUES_MIN: u32 = 16;
    let mut reader = Reader::new(bytes);
    let (Some(_), Some(key)) = (reader.take(at), reader.take(KEY_BYTES)) else { return false };
    let mut values = [0u64; 4];
    for &byte in key {
        if let Some(word) = values.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }
    values.iter().fold(0, |sum: u32, word| sum.saturating_add(word.count_ones())) >= VALUES_MIN
}

/// There is nothing to read.
struct Opaque;

impl Parser for Opaque {
    fn feed(&mut self, _: Side, _: Prefix<'_>, _: &mut Facts) -> Progress {
        Progress::AllDone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::testing::udp;

    /// A message as the paper lays it out: type, zeros, and what looks random.
    fn message(kind: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend((4..len).map(|n| n.wrapping_mul(167) as u8));
        bytes
    }

    fn claimed(ports: (u16, u16), bytes: &[u8]) -> bool {
        claim(&udp(ports, Side::Source, bytes)) == Claim::Yes
    }

    #[test]
    fn a_handshake_is_told_at_any_port() {
        for (kind, len) in [(INITIATION, 148), (RESPONSE, 92)] {
            assert!(claimed((40_000, 443), &message(kind, len)));
            for wrong in [4, len.saturating_sub(1), len.saturating_add(1)] {
                assert!(!claimed((PORT, PORT), &message(kind, wrong)), "{kind} {wrong}");
            }
            // The reserved bytes, and no key.
            let mut other = message(kind, len);
            other.splice(2..3, [1]);
            assert!(!claimed((PORT, PORT), &other));
            let mut zeros = vec![0; len];
            let mut words: Vec<u8> = b"abcd".iter().copied().cycle().take(len).collect();
            for bytes in [&mut zeros, &mut words] {
                bytes.splice(..4, [kind, 0, 0, 0]);
            }
            assert!(!claimed((PORT, PORT), &zeros));
            assert!(!claimed((PORT, PORT), &words));
        }
    }

    /// Nothing is in clear: one datagram is enough, and no fact comes of it.
    #[test]
    fn nothing_is_read() {
        let bytes = message(INITIATION, 148);
        let prefix = Prefix { bytes: &bytes, seen: crate::fact::Seen::default(), last: true, split: false };
        let mut facts = Facts::default();
        assert_eq!((PROTOCOL.parser)(Transport::Udp).feed(Side::Source, prefix, &mut facts), Progress::AllDone);
        assert!(facts.is_empty());
    }

    #[test]
    fn data_and_cookies_need_the_port() {
        for (kind, len) in [(DATA, 32), (DATA, 1312), (COOKIE, 64)] {
            assert!(claimed((40_000, PORT), &message(kind, len)));
            assert!(claimed((PORT, 40_000), &message(kind, len)));
            assert!(!claimed((40_000, 443), &message(kind, len)));
            assert!(!claimed((40_000, PORT), &message(kind, len.saturating_add(1))));
        }
        assert!(!claimed((40_000, PORT), &message(DATA, 16)));
        assert!(!claimed((40_000, PORT), &message(5, 64)));
        assert!(!claimed((40_000, PORT), &[4, 0, 0]));
    }
}
