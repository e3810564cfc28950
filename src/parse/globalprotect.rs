//! The tunnel of GlobalProtect: ESP in datagrams, or frames inside TLS.
//!
//! In: datagrams to port 4501, or the stream of a connection whose TLS was opened for the sensor.
//! Out: which of the two it is.
//!
//! Datagrams carry ESP alone (RFC 4303), without the marker and the IKE of RFC 3948; the port is
//! that of gateway configurations. They are believed when a client begins to count and goes on
//! under the same SPI. Frames: openconnect/openconnect: gpst.c.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

/// `esp`, or `tls`.
pub static TUNNEL: Field = Field::new(
    "globalprotect.tunnel",
    Kind::Text,
    "what carries a GlobalProtect tunnel: esp, tls",
    "openconnect/openconnect: gpst.c; RFC 4303",
);

/// GlobalProtect tunnels.
pub static PROTOCOL: Protocol = Protocol {
    name: "globalprotect",
    over: &[Transport::Tcp, Transport::Udp],
    fields: &[&TUNNEL],
    claim,
    embedded: false,
    parser: |transport| Box::new(GlobalProtect { transport, first: None }),
};

/// Where gateways take ESP.
const ESP_PORT: u16 = 4501;
/// Smaller ones are reserved (RFC 4303 section 2.1).
const SPI_MIN: u32 = 256;
/// Packets that may be missing before the first one.
const FIRST_NUMBER_MAX: u32 = 8;
/// Packets that may be missing between the first two, whichever of them comes first.
const STEP_MAX: u32 = 64;
/// SPI, number, a short initialisation vector, a block, and a short checksum.
const ESP_BYTES_MIN: usize = 8 + 8 + 4 + 12;
const MAGIC: u32 = 0x1a2b_3c4d;
const FRAME_BYTES: usize = 16;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// What a gateway says before its first frame.
const START: &[u8] = b"START_TUNNEL";

/// SPI and number of a packet; ESP ends at a multiple of four bytes (RFC 4303 section 2.4).
fn esp(datagram: &[u8]) -> Option<(u32, u32)> {
    let mut reader = Reader::new(datagram);
    let (spi, number) = (reader.u32()?, reader.u32()?);
    let fits = datagram.len() >= ESP_BYTES_MIN && datagram.len().is_multiple_of(4);
    (fits && spi >= SPI_MIN && number > 0).then_some((spi, number))
}

/// Whether a frame begins here; `None` when there are too few bytes to know.
fn frame(bytes: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(bytes);
    if !MAGIC.to_be_bytes().iter().zip(bytes).all(|(a, b)| a == b) {
        return Some(false);
    }
    let _magic = reader.u32()?;
    let (kind, length) = (reader.u16()?, reader.u16()?);
    let (one, zero) = (reader.u32()?.swap_bytes(), reader.u32()?);
    if kind == 0 {
        return Some((length, one, zero) == (0, 0, 0));
    }
    let version = match kind {
        IPV4 => 4,
        IPV6 => 6,
        _ => return Some(false),
    };
    if (one, zero) != (1, 0) || length == 0 {
        return Some(false);
    }
    Some(reader.u8()? >> 4 == version)
}

fn claim(opening: &Opening<'_>) -> Claim {
    let &Opening { transport, bytes, .. } = opening;
    if transport != Transport::Tcp {
        // Of an answer that overtook the first packet the gateway seems to have asked.
        let begins = esp(bytes).is_some_and(|(_, number)| number <= FIRST_NUMBER_MAX);
        return if opening.to() == ESP_PORT && begins { Claim::Yes } else { Claim::No };
    }
    if bytes.first() == START.first() {
        return match START.iter().zip(bytes).all(|(a, b)| a == b) {
            true if bytes.len() < START.len() => Claim::NeedBytes(START.len()),
            true => Claim::Yes,
            false => Claim::No,
        };
    }
    match frame(bytes) {
        Some(true) => Claim::Yes,
        Some(false) => Claim::No,
        None if bytes.len() < FRAME_BYTES => Claim::NeedBytes(FRAME_BYTES),
        None => Claim::NeedBytes(FRAME_BYTES.saturating_add(1)),
    }
}

struct GlobalProtect {
    transport: Transport,
    /// The client's first packet: its side, SPI and number.
    first: Option<(Side, u32, u32)>,
}

impl Parser for GlobalProtect {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match self.transport {
            Transport::Tcp => stream(side, prefix, facts),
            _ => self.datagram(side, prefix, facts),
        }
    }
}

/// One frame is enough, also behind the gateway's first word.
fn stream(side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
    let bytes = prefix.bytes.strip_prefix(START).unwrap_or(prefix.bytes);
    // The first word may not be whole yet.
    let frame = if START.starts_with(bytes) { None } else { frame(bytes) };
    match frame {
        Some(true) => {
            facts.add(&TUNNEL, side, prefix.seen, b"tls");
            Progress::Done
        }
        None if !prefix.last => Progress::NeedBytes(START.len().saturating_add(FRAME_BYTES).saturating_add(1)),
        _ => Progress::Done,
    }
}

impl GlobalProtect {
    fn datagram(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match (esp(prefix.bytes), self.first) {
            (_, Some((client, ..))) if client != side => Progress::NeedBytes(0),
            (Some((spi, number)), None) => {
                self.first = Some((side, spi, number));
                Progress::NeedBytes(0)
            }
            (Some((spi, number)), Some((_, first_spi, first_number))) => {
                if spi != first_spi || number.abs_diff(first_number) > STEP_MAX {
                    return Progress::NotMine;
                }
                // The same packet again says nothing.
                if number == first_number {
                    return Progress::NeedBytes(0);
                }
                facts.add(&TUNNEL, side, prefix.seen, b"esp");
                Progress::AllDone
            }
            (None, _) => Progress::NotMine,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;
    use crate::fact::Seen;
    use crate::parse::testing::{tcp, udp};

    const TO_GATEWAY: (u16, u16) = (51000, ESP_PORT);

    /// A packet as RFC 4303 has it, with AES-128 in CBC mode and SHA-1: a vector of 16 bytes, blocks of
    /// 16, a checksum of 12.
    fn packet(spi: u32, number: u32) -> Vec<u8> {
        [&spi.to_be_bytes()[..], &number.to_be_bytes(), &[0xa7; 16 + 96 + 12]].concat()
    }

    /// A frame built from the layout in gpst.c.
    fn data(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = payload.len() as u16;
        let words = [&MAGIC.to_be_bytes()[..], &kind.to_be_bytes(), &length.to_be_bytes(), &[1, 0, 0, 0, 0, 0, 0, 0]];
        [&words.concat()[..], payload].concat()
    }

    fn keep_alive() -> Vec<u8> {
        [&MAGIC.to_be_bytes()[..], &[0; 12]].concat()
    }

    fn feed(parser: &mut dyn Parser, side: Side, bytes: &[u8], facts: &mut Facts) -> Progress {
        parser.feed(side, Prefix { bytes, seen: Seen::default(), last: true, split: false }, facts)
    }

    fn datagrams(all: &[(Side, Vec<u8>)]) -> (Facts, Progress) {
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Udp);
        let mut progress = Progress::NeedBytes(0);
        for (side, bytes) in all {
            assert_eq!(progress, Progress::NeedBytes(0));
            progress = feed(&mut *parser, *side, bytes, &mut facts);
        }
        (facts, progress)
    }

    #[test]
    fn a_tunnel_counts_on_under_one_spi() {
        let (to, from) = (Side::Source, Side::Destination);
        let all = [(to, packet(0xdead_beef, 1)), (from, packet(0x0102_0304, 1)), (to, packet(0xdead_beef, 2))];
        let (facts, progress) = datagrams(&all);
        assert_eq!(progress, Progress::AllDone);
        assert_eq!(facts.first(&TUNNEL).unwrap().value, b"esp");
        assert_eq!(datagrams(&[(to, packet(0xdead_beef, 2)), (to, packet(0xdead_beef, 1))]).0.len(), 1, "overtaken");
        for (other, expected) in [
            (packet(0xdead_beef, 1), Progress::NeedBytes(0)),
            (packet(0xdead_bee0, 2), Progress::NotMine),
            (packet(0xdead_beef, 2000), Progress::NotMine),
            (b"something else".to_vec(), Progress::NotMine),
        ] {
            let (facts, progress) = datagrams(&[(to, packet(0xdead_beef, 1)), (to, other)]);
            assert_eq!((facts.len(), progress), (0, expected));
        }
    }

    #[test]
    fn datagrams_are_claimed_from_a_client_that_begins() {
        let first = packet(0xdead_beef, 1);
        assert_eq!(claim(&udp(TO_GATEWAY, Side::Source, &first)), Claim::Yes);
        assert_eq!(claim(&udp(TO_GATEWAY, Side::Destination, &first)), Claim::No);
        assert_eq!(claim(&udp((ESP_PORT, 51000), Side::Source, &first)), Claim::No);
        assert_eq!(claim(&udp((ESP_PORT, 51000), Side::Destination, &first)), Claim::Yes, "behind an answer");
        assert_eq!(claim(&udp((51000, 4500), Side::Source, &first)), Claim::No);
        assert_eq!(claim(&udp(TO_GATEWAY, Side::Source, &packet(0xdead_beef, 1000))), Claim::No, "in the middle");
        assert_eq!(claim(&udp(TO_GATEWAY, Side::Source, &packet(0xdead_beef, 0))), Claim::No);
        assert_eq!(claim(&udp(TO_GATEWAY, Side::Source, &packet(255, 1))), Claim::No, "reserved SPI");
        assert_eq!(claim(&udp(TO_GATEWAY, Side::Source, &first[..first.len() - 1])), Claim::No, "odd length");
        assert_eq!(claim(&udp(TO_GATEWAY, Side::Source, &first[..28])), Claim::No, "short");
    }

    #[test]
    fn frames_inside_tls() {
        let ip = [&[0x45, 0, 0, 84][..], &[0; 80]].concat();
        for bytes in [data(IPV4, &ip), data(IPV6, &[0x60; 48]), keep_alive(), [START, &data(IPV4, &ip)].concat()] {
            assert_eq!(claim(&tcp((1, 443), Side::Destination, &bytes)), Claim::Yes);
            let mut facts = Facts::default();
            feed(&mut *(PROTOCOL.parser)(Transport::Tcp), Side::Destination, &bytes, &mut facts);
            assert_eq!(facts.first(&TUNNEL).unwrap().value, b"tls");
        }
        let whole = data(IPV4, &ip);
        for end in 1..17 {
            assert!(
                matches!(claim(&tcp((1, 443), Side::Source, &whole[..end])), Claim::NeedBytes(n) if n > end),
                "{end}"
            );
        }
        for end in 1..START.len() {
            assert_eq!(claim(&tcp((1, 443), Side::Source, &START[..end])), Claim::NeedBytes(START.len()), "{end}");
        }
        for at in 0..17 {
            let mut other = whole.clone();
            other[at] ^= 0x80;
            // Any length is possible.
            let expected = if matches!(at, 6 | 7) { Claim::Yes } else { Claim::No };
            assert_eq!(claim(&tcp((1, 443), Side::Source, &other)), expected, "byte {at}");
        }
        assert_eq!(claim(&tcp((1, 443), Side::Source, b"START TLS")), Claim::No);
    }

    #[test]
    fn the_first_word_alone_gives_nothing() {
        let mut facts = Facts::default();
        feed(&mut *(PROTOCOL.parser)(Transport::Tcp), Side::Destination, START, &mut facts);
        assert_eq!(facts.len(), 0);
    }

    #[test]
    fn a_byte_at_a_time_gives_the_same() {
        let stream = [START, &keep_alive()].concat();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        let mut facts = Facts::default();
        for end in 1..stream.len() {
            let prefix = Prefix { bytes: &stream[..end], seen: Seen::default(), last: false, split: true };
            let progress = parser.feed(Side::Destination, prefix, &mut facts);
            assert!(matches!(progress, Progress::NeedBytes(more) if more > end), "{end} bytes: {progress:?}");
        }
        feed(&mut *parser, Side::Destination, &stream, &mut facts);
        assert_eq!(facts.first(&TUNNEL).unwrap().value, b"tls");
    }
}
