//! FortiLink discovery: FortiSwitch and FortiGate find each other, in Ethernet frames.
//!
//! In: frames of EtherType 0x88ff. Out: the serial number of the sender and the kind of message.
//!
//! The vendor does not document the frames; the layout is that of
//! sanderzegers/fortilink_dissector: fortilink.lua. Joins and echoes carry the serial number of the
//! other unit as well, which is left out: a fact speaks of its sender.

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

const SOURCE: &str = "sanderzegers/fortilink_dissector: fortilink.lua";

/// Serial number of the sender; its first letters and digits name the model.
pub static SERIAL: Field =
    Field::new("fortilink.serial", Kind::Text, "serial number of the sender of a FortiLink frame", SOURCE);
/// Kind of message: 0 discovery, 1 its answer, 2 request to join, 4 echo, 6 update.
pub static MESSAGE: Field = Field::new("fortilink.message", Kind::Number, "kind of a FortiLink frame", SOURCE);

/// FortiLink.
pub static PROTOCOL: Protocol = Protocol {
    name: "fortilink",
    over: &[Transport::Frame],
    fields: &[&SERIAL, &MESSAGE],
    claim: |&Opening { ports: (_, ether_type), bytes, .. }| match ether_type == ETHER_TYPE && message(bytes).is_some() {
        true => Claim::Yes,
        false => Claim::No,
    },
    embedded: false,
    parser: |_| Box::new(FortiLink { frames: 0 }),
};

const ETHER_TYPE: u16 = 0x88ff;
/// Bytes of a serial number or of the name of an interface.
const TEXT_BYTES: usize = 32;
/// Letters and digits of the shortest serial number.
const SERIAL_BYTES_MIN: usize = 12;
/// Frames of a flow that are read. Units repeat themselves all the time.
pub const FRAMES_MAX: u32 = 64;

struct Message<'a> {
    kind: u8,
    serial: &'a [u8],
}

/// A message that names its sender: answers to a join or an echo do not.
fn message(frame: &[u8]) -> Option<Message<'_>> {
    let mut reader = Reader::new(frame);
    let _version = reader.u24()?;
    let kind = reader.u8()?;
    let _length = reader.u16()?;
    let _reserved = reader.u16()?;
    let _nonce = reader.u16()?;
    match kind {
        0 | 2 | 6 => {}
        1 | 4 => {
            let _unknown = reader.u16()?;
        }
        _ => return None,
    }
    let serial = reader.padded_text(TEXT_BYTES).filter(|serial| is_serial(serial))?;
    reader.padded_text(TEXT_BYTES).filter(|interface| !interface.is_empty())?;
    Some(Message { kind, serial })
}

/// `S108EN0000000001` of a switch, `FG100ETK00000000` of a firewall.
fn is_serial(serial: &[u8]) -> bool {
    serial.len() >= SERIAL_BYTES_MIN
        && serial.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'-')
        && matches!(serial.first(), Some(b'S' | b'F'))
        && serial.iter().any(u8::is_ascii_digit)
}

struct FortiLink {
    frames: u32,
}

impl Parser for FortiLink {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if had_enough(&mut self.frames, FRAMES_MAX, facts) {
            return Progress::AllDone;
        }
        match message(prefix.bytes) {
            Some(message) => {
                facts.add(&SERIAL, side, prefix.seen, message.serial);
                facts.add_number(&MESSAGE, side, prefix.seen, u64::from(message.kind));
            }
            // Answers come in the same flow.
            None if matches!(prefix.bytes.get(3), Some(3 | 5)) => {}
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;

    fn padded(text: &[u8]) -> Vec<u8> {
        let mut field = text.to_vec();
        field.resize(32, 0);
        field
    }

    /// A frame built from the layout in fortilink.lua.
    fn frame(kind: u8, serial: &[u8], interface: &[u8]) -> Vec<u8> {
        let header = vec![0, 0, 1, kind, 0, 140, 0, 0, 0xf1, 0xdc];
        let unknown = if matches!(kind, 1 | 4) { vec![0, 0] } else { vec![] };
        [header, unknown, padded(serial), padded(interface), vec![0; 80]].concat()
    }

    fn claim(bytes: &[u8]) -> Claim {
        (PROTOCOL.claim)(&Opening::of_frame(ETHER_TYPE, bytes))
    }

    fn facts(parser: &mut dyn Parser, bytes: &[u8], facts: &mut Facts) -> Progress {
        parser.feed(Side::Source, Prefix { bytes, seen: Seen::default(), last: true, split: false }, facts)
    }

    #[test]
    fn the_sender_names_itself() {
        let mut found = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Frame);
        for kind in [0, 1, 2, 4, 6] {
            let bytes = frame(kind, b"S108EN5918003682", b"internal");
            assert_eq!(claim(&bytes), Claim::Yes, "kind {kind}");
            assert_eq!(facts(&mut *parser, &bytes, &mut found), Progress::NeedBytes(0));
        }
        for answer in [3, 5] {
            let bytes = frame(answer, b"S108EN5918003682", b"internal");
            assert_eq!(claim(&bytes), Claim::No, "kind {answer}");
            facts(&mut *parser, &bytes, &mut found);
        }
        assert_eq!(found.first(&SERIAL).unwrap().value, b"S108EN5918003682");
        let kinds: Vec<_> = found.of(&MESSAGE).map(|fact| fact.text()).collect();
        assert_eq!(kinds, ["0", "1", "2", "4", "6"]);
        assert!(!found.flags.has(Flag::ParseError));
    }

    #[test]
    fn claims_by_type_kind_and_serial_number() {
        let whole = frame(0, b"FG100ETK18000001", b"fortilink");
        assert_eq!((PROTOCOL.claim)(&Opening::of_frame(0x88fe, &whole)), Claim::No, "another EtherType");
        for end in 0..74 {
            assert_eq!(claim(&whole[..end]), Claim::No, "{end} bytes");
        }
        assert_eq!(claim(&whole[..74]), Claim::Yes);
        assert_eq!(claim(&frame(7, b"FG100ETK18000001", b"fortilink")), Claim::No);
        assert_eq!(claim(&frame(0, b"FG100ETK18000001", b"")), Claim::No);
        for serial in [&b""[..], b"FG1", b"PA00ETK180000012", b"s108en5918003682", b"SWITCHSWITCHSWITCH"] {
            assert_eq!(claim(&frame(0, serial, b"internal")), Claim::No, "{serial:?}");
        }
        assert_eq!(claim(&[0; 200]), Claim::No);
    }
}
