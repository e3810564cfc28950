//! ESP: recognised, and opaque.
//!
//! In: the payloads of IP protocol 50. Out: that the flow is ESP, and its security parameters index by side. Source:
//! RFC 4303, section 2: an index from 1 to 255 is reserved, 0 never sent; padding makes the length a multiple of four.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::{Claim, Parser, Prefix, Progress, Protocol, Transport};

/// Security parameters index of the first packet of a side.
pub static SPI: Field =
    Field::new("esp.spi", Kind::Hex, "security parameters index of ESP, the first of a side", "RFC 4303 section 2.1");

/// ESP.
pub static PROTOCOL: Protocol = Protocol {
    name: "esp",
    over: &[Transport::Ip],
    fields: &[&SPI],
    claim,
    embedded: false,
    parser: |_| Box::new(Esp::default()),
};

const NUMBER: u16 = 50;
const RESERVED_MAX: u32 = 255;
/// Index, sequence number, and the shortest of what is encrypted: padding to four bytes and a check value of eight.
const BYTES_MIN: usize = 20;
/// Packets of one side that are read while the other says nothing.
const PACKETS_MAX: u8 = 16;

fn claim(ports: (u16, u16), _: Side, bytes: &[u8]) -> Claim {
    match spi(bytes) {
        Some(_) if ports.1 == NUMBER => Claim::Yes,
        _ => Claim::No,
    }
}

/// The index, when the packet can be one.
fn spi(bytes: &[u8]) -> Option<u32> {
    if bytes.len() < BYTES_MIN || !bytes.len().is_multiple_of(4) {
        return None;
    }
    Reader::new(bytes).u32().filter(|&spi| spi > RESERVED_MAX)
}

#[derive(Default)]
struct Esp {
    seen: [bool; 2],
    packets: u8,
}

impl Parser for Esp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let [source, destination] = &mut self.seen;
        let seen = if side == Side::Source { source } else { destination };
        if !*seen && let Some(spi) = spi(prefix.bytes) {
            *seen = true;
            facts.add(&SPI, side, prefix.seen, &spi.to_be_bytes());
        }
        self.packets = self.packets.saturating_add(1);
        if self.seen == [true; 2] || self.packets >= PACKETS_MAX { Progress::AllDone } else { Progress::NeedBytes(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;

    /// A packet as the RFC draws it: index, sequence number, and the rest.
    fn packet(spi: u32, len: usize) -> Vec<u8> {
        let mut bytes = [spi.to_be_bytes(), 1u32.to_be_bytes()].concat();
        bytes.resize(len, 0xa5);
        bytes
    }

    #[test]
    fn it_takes_the_protocol_an_index_and_a_length() {
        let claimed = |number, bytes: &[u8]| claim((0, number), Side::Source, bytes) == Claim::Yes;
        assert!(claimed(50, &packet(256, 20)));
        assert!(claimed(50, &packet(0xc0ff_ee00, 132)));
        for (number, bytes) in [
            (51, packet(256, 20)),
            (47, packet(256, 20)),
            (50, packet(255, 20)),
            (50, packet(0, 20)),
            (50, packet(256, 21)),
            (50, packet(256, 16)),
            (50, vec![]),
        ] {
            assert!(!claimed(number, &bytes), "{number} {bytes:?}");
        }
    }

    #[test]
    fn the_first_index_of_each_side_is_kept() {
        let mut facts = Facts::default();
        let mut esp = Esp::default();
        let mut feed = |side, spi| {
            let bytes = packet(spi, 40);
            esp.feed(side, Prefix { bytes: &bytes, seen: Seen::default(), last: true, split: false }, &mut facts)
        };
        assert_eq!(feed(Side::Source, 0x1001), Progress::NeedBytes(0));
        assert_eq!(feed(Side::Source, 0x1002), Progress::NeedBytes(0));
        assert_eq!(feed(Side::Destination, 0x2001), Progress::AllDone);
        let mut all: Vec<(Side, String)> = facts.iter().map(|fact| (fact.side, fact.text())).collect();
        all.sort();
        assert_eq!(all, [(Side::Source, "00001001".to_owned()), (Side::Destination, "00002001".to_owned())]);
        // Whoever hears one side only stops listening.
        let mut alone = Esp::default();
        let bytes = packet(0x1001, 40);
        let prefix = Prefix { bytes: &bytes, seen: Seen::default(), last: true, split: false };
        let steps = (0..100).position(|_| alone.feed(Side::Source, prefix, &mut facts) == Progress::AllDone);
        assert_eq!(steps, Some(15));
    }
}
