//! ESP: recognised, and opaque.
//!
//! In: the payloads of IP protocol 50. Out: that the flow is ESP; all that matters in it is encrypted. Source: RFC 4303,
//! section 2: an index from 1 to 255 is reserved, 0 is never sent; padding makes the length a multiple of four.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// ESP.
pub static PROTOCOL: Protocol =
    Protocol { name: "esp", over: &[Transport::Ip], fields: &[], claim, embedded: false, parser: |_| Box::new(Opaque) };

const NUMBER: u16 = 50;
const RESERVED_MAX: u32 = 255;
/// Keys are changed long before so many packets; text and patterns count further.
const SEQUENCE_MAX: u32 = 0x00ff_ffff;
/// Index, sequence number, and the shortest of what is encrypted: padding to four bytes and a check value of eight.
const BYTES_MIN: usize = 20;

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    if ports.1 == NUMBER && fits(bytes) { Claim::Yes } else { Claim::No }
}

fn fits(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let (Some(index), Some(sequence)) = (reader.u32(), reader.u32()) else { return false };
    index > RESERVED_MAX && sequence <= SEQUENCE_MAX && bytes.len() >= BYTES_MIN && bytes.len().is_multiple_of(4)
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

    /// A packet as the RFC draws it: index, sequence number, and the rest.
    fn packet(index: u32, sequence: u32, len: usize) -> Vec<u8> {
        let mut bytes = [index.to_be_bytes(), sequence.to_be_bytes()].concat();
        bytes.resize(len, 0xa5);
        bytes
    }

    #[test]
    fn it_takes_the_protocol_an_index_a_count_and_a_length() {
        let claimed = |number, bytes: &[u8]| claim(&udp((0, number), Side::Source, bytes)) == Claim::Yes;
        assert!(claimed(50, &packet(256, 0, 20)));
        assert!(claimed(50, &packet(0xc0ff_ee00, 70_000, 132)));
        for (number, bytes) in [
            (51, packet(256, 1, 20)),
            (47, packet(256, 1, 20)),
            (50, packet(255, 1, 20)),
            (50, packet(0, 1, 20)),
            (50, packet(256, 1, 21)),
            (50, packet(256, 1, 16)),
            (50, b"a line of text in it".to_vec()),
            (50, vec![]),
        ] {
            assert!(!claimed(number, &bytes), "{number} {bytes:?}");
        }
    }
}
