//! Heartbeat backup of a pair of Palo Alto Networks firewalls, in Ethernet frames.
//!
//! In: frames of EtherType 0x8988, which the two send over their management ports when the links
//! between them may have failed. Out: the address that a firewall has there.
//!
//! The vendor documents the feature, not the frames; the layout is that of
//! wireshark/wireshark: epan/dissectors/packet-pa-hbbackup.c: six bytes whose meaning is not known,
//! an EtherType, and what that says.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, had_enough};

const SOURCE: &str = "wireshark/wireshark: packet-pa-hbbackup.c";

/// EtherType of what is inside.
pub static INNER: Field =
    Field::new("pan_heartbeat.ether_type", Kind::Number, "EtherType inside a PAN-OS heartbeat backup frame", SOURCE);
/// Address of the sender, on its management port.
pub static ADDRESS: Field =
    Field::new("pan_heartbeat.address", Kind::Address, "sender inside a PAN-OS heartbeat backup frame", SOURCE);

/// PAN-OS heartbeat backup.
pub static PROTOCOL: Protocol = Protocol {
    name: "pan-heartbeat",
    over: &[Transport::Frame],
    fields: &[&INNER, &ADDRESS],
    claim: |&Opening { ports: (_, ether_type), bytes, .. }| match ether_type == ETHER_TYPE && sender(bytes).is_some() {
        true => Claim::Yes,
        false => Claim::No,
    },
    embedded: false,
    parser: |_| Box::new(Heartbeat { frames: 0 }),
};

const ETHER_TYPE: u16 = 0x8988;
/// Bytes before the inner EtherType.
const UNKNOWN_BYTES: usize = 6;
const IPV4: u16 = 0x0800;
/// Bytes of an IPv4 header without options (RFC 791).
const IPV4_BYTES: usize = 20;
/// Frames of a flow that are read.
pub const FRAMES_MAX: u32 = 16;

/// The source address of the IPv4 packet inside.
fn sender(frame: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(frame);
    reader.take(UNKNOWN_BYTES)?;
    if reader.u16()? != IPV4 {
        return None;
    }
    let there = reader.left();
    let header_bytes = usize::from(reader.u8().filter(|first| first >> 4 == 4)? & 0x0f).checked_mul(4)?;
    let _service = reader.u8()?;
    let total = usize::from(reader.u16()?);
    // Number, fragment, time to live, protocol, checksum.
    reader.take(8)?;
    let source = reader.take(4)?;
    let _destination = reader.u32()?;
    (header_bytes >= IPV4_BYTES && total >= header_bytes && total <= there).then_some(source)
}

struct Heartbeat {
    frames: u32,
}

impl Parser for Heartbeat {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if had_enough(&mut self.frames, FRAMES_MAX, facts) {
            return Progress::AllDone;
        }
        match sender(prefix.bytes) {
            Some(address) => {
                facts.add_number(&INNER, side, prefix.seen, u64::from(IPV4));
                facts.add(&ADDRESS, side, prefix.seen, address);
            }
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;

    /// A frame built from the layout in packet-pa-hbbackup.c around an echo request (RFC 791, RFC 792).
    fn frame() -> Vec<u8> {
        let ip = [0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 8, 0, 0, 0, 0, 1, 0, 1];
        [&[0x5f, 1, 2, 3, 4, 5][..], &[0x08, 0x00], &ip, &[0; 10]].concat()
    }

    fn claim(ether_type: u16, bytes: &[u8]) -> Claim {
        (PROTOCOL.claim)(&Opening::of_frame(ether_type, bytes))
    }

    #[test]
    fn a_firewall_shows_its_address() {
        let mut facts = Facts::default();
        let bytes = frame();
        let prefix = Prefix { bytes: &bytes, seen: Seen::default(), last: true, split: false };
        let progress = (PROTOCOL.parser)(Transport::Frame).feed(Side::Source, prefix, &mut facts);
        assert_eq!(progress, Progress::NeedBytes(0));
        assert_eq!(facts.first(&ADDRESS).unwrap().text(), "192.0.2.1");
        assert_eq!(facts.first(&INNER).unwrap().text(), "2048");
    }

    #[test]
    fn claims_by_type_and_the_packet_inside() {
        let whole = frame();
        assert_eq!(claim(ETHER_TYPE, &whole), Claim::Yes);
        assert_eq!(claim(0x8989, &whole), Claim::No);
        for end in 0..36 {
            assert_eq!(claim(ETHER_TYPE, &whole[..end]), Claim::No, "{end} bytes");
        }
        for (at, value) in [(6, 0x86), (8, 0x65), (8, 0x44), (10, 1), (11, 19)] {
            let mut other = whole.clone();
            other[at] = value;
            assert_eq!(claim(ETHER_TYPE, &other), Claim::No, "byte {at}");
        }
    }
}
