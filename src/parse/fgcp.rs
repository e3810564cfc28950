//! The heartbeat of the FortiGate Clustering Protocol (FGCP), in Ethernet frames.
//!
//! In: frames, usually of EtherType 0x8890 or 0x8891, which an administrator can change. Out: the
//! serial number of the unit, its cluster, and how the cluster shares its work.
//!
//! The vendor documents the EtherTypes; the layout is that of
//! wireshark/wireshark: epan/dissectors/packet-fortinet-fgcp.c. What follows the serial number may
//! be encrypted and is not read.

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

const SOURCE: &str = "wireshark/wireshark: packet-fortinet-fgcp.c";

/// Serial number of the unit; its first letters and digits name the model.
pub static SERIAL: Field = Field::new("fgcp.serial", Kind::Text, "serial number of a FortiGate in a cluster", SOURCE);
/// Name of the cluster.
pub static GROUP: Field = Field::new("fgcp.group", Kind::Text, "name of a FortiGate cluster", SOURCE);
/// Number of the cluster.
pub static GROUP_ID: Field = Field::new("fgcp.group_id", Kind::Number, "number of a FortiGate cluster", SOURCE);
/// 1 all units work, 2 one works and the others stand by.
pub static MODE: Field =
    Field::new("fgcp.mode", Kind::Number, "mode of a FortiGate cluster, 1 active-active, 2 active-passive", SOURCE);

/// FGCP heartbeats.
pub static PROTOCOL: Protocol = Protocol {
    name: "fgcp",
    over: &[Transport::Frame],
    fields: &[&SERIAL, &GROUP, &GROUP_ID, &MODE],
    claim: |&Opening { bytes, .. }| if heartbeat(bytes).is_some() { Claim::Yes } else { Claim::No },
    embedded: false,
    parser: |_| Box::new(Fgcp { frames: 0 }),
};

/// Bytes of the name of a cluster.
const GROUP_BYTES: usize = 32;
/// Bytes between the number of the cluster and the name of the port; what they mean is not known.
const UNKNOWN_BYTES: usize = 12;
/// Bytes of the name of the port that the heartbeat leaves by.
const PORT_BYTES: usize = 16;
/// Bytes of a serial number.
const SERIAL_BYTES: usize = 16;
/// Letters and digits of the shortest serial number.
const SERIAL_BYTES_MIN: usize = 12;
/// Frames of a flow that are read. Units repeat themselves several times a second.
pub const FRAMES_MAX: u32 = 64;

struct Heartbeat<'a> {
    mode: u8,
    group: &'a [u8],
    group_id: u16,
    serial: &'a [u8],
}

fn heartbeat(frame: &[u8]) -> Option<Heartbeat<'_>> {
    let mut reader = Reader::new(frame);
    let _magic = reader.u16()?;
    let mode = reader.u8().filter(|mode| matches!(mode, 1 | 2))?;
    let _flags = reader.u8()?;
    let group = reader.padded_text(GROUP_BYTES)?;
    let _unknown = reader.u16()?;
    let group_id = reader.u16_le()?;
    let _unknown = reader.take(UNKNOWN_BYTES)?;
    reader.padded_text(PORT_BYTES).filter(|port| !port.is_empty())?;
    let _revision = reader.u16()?;
    let _checksum = reader.u16()?;
    let serial = reader.padded_text(SERIAL_BYTES).filter(|serial| is_serial(serial))?;
    Some(Heartbeat { mode, group, group_id, serial })
}

/// `FG100ETK00000000`: every FortiGate and FortiWiFi begins with an F.
fn is_serial(serial: &[u8]) -> bool {
    serial.len() >= SERIAL_BYTES_MIN
        && serial.starts_with(b"F")
        && serial.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'-')
        && serial.iter().any(u8::is_ascii_digit)
}

struct Fgcp {
    frames: u32,
}

impl Parser for Fgcp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if had_enough(&mut self.frames, FRAMES_MAX, facts) {
            return Progress::AllDone;
        }
        match heartbeat(prefix.bytes) {
            Some(heartbeat) => {
                facts.add(&SERIAL, side, prefix.seen, heartbeat.serial);
                if !heartbeat.group.is_empty() {
                    facts.add(&GROUP, side, prefix.seen, heartbeat.group);
                }
                facts.add_number(&GROUP_ID, side, prefix.seen, u64::from(heartbeat.group_id));
                facts.add_number(&MODE, side, prefix.seen, u64::from(heartbeat.mode));
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

    fn padded(text: &[u8], bytes: usize) -> Vec<u8> {
        let mut field = text.to_vec();
        field.resize(bytes, 0);
        field
    }

    /// A heartbeat built from the layout in packet-fortinet-fgcp.c: encrypted, with a MAC at its end.
    fn frame(mode: u8, group: &[u8], port: &[u8], serial: &[u8]) -> Vec<u8> {
        let parts = [
            vec![0x01, 0x00, mode, 0x03],
            padded(group, 32),
            vec![0, 0],
            vec![0x2a, 0x01],
            vec![0; 12],
            padded(port, 16),
            vec![5, 0, 0xaa, 0x55],
            padded(serial, 16),
            vec![0x9c; 64],
            vec![0xe1; 32],
        ];
        parts.concat()
    }

    fn known() -> Vec<u8> {
        frame(2, b"fortinet-ha", b"port3", b"FG100ETK18000001")
    }

    #[test]
    fn a_heartbeat_tells_serial_number_and_cluster() {
        let mut facts = Facts::default();
        let bytes = known();
        let prefix = Prefix { bytes: &bytes, seen: Seen::default(), last: true, split: false };
        let mut parser = (PROTOCOL.parser)(Transport::Frame);
        assert_eq!(parser.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        let all: Vec<_> = facts.iter().map(|fact| (fact.field.name, fact.text())).collect();
        let expected = [
            ("fgcp.serial", "FG100ETK18000001"),
            ("fgcp.group", "fortinet-ha"),
            ("fgcp.group_id", "298"),
            ("fgcp.mode", "2"),
        ];
        assert_eq!(all, expected.map(|(name, value)| (name, value.to_owned())));
        for _ in 1..FRAMES_MAX {
            assert_eq!(parser.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        }
        assert_eq!(parser.feed(Side::Source, prefix, &mut facts), Progress::AllDone);
    }

    #[test]
    fn claims_what_has_a_serial_number_where_it_belongs() {
        let claim = |bytes: &[u8]| (PROTOCOL.claim)(&Opening::of_frame(0x8890, bytes));
        let whole = known();
        assert_eq!(claim(&whole), Claim::Yes);
        assert_eq!(claim(&frame(1, b"", b"ha1", b"FGT60ETK18000001")), Claim::Yes, "a cluster without a name");
        for end in 0..88 {
            assert_eq!(claim(&whole[..end]), Claim::No, "{end} bytes");
        }
        assert_eq!(claim(&whole[..88]), Claim::Yes);
        assert_eq!(claim(&frame(0, b"a", b"port3", b"FG100ETK18000001")), Claim::No, "no such mode");
        assert_eq!(claim(&frame(2, b"a", b"", b"FG100ETK18000001")), Claim::No, "no port");
        assert_eq!(claim(&frame(2, b"a\0b", b"port3", b"FG100ETK18000001")), Claim::No, "name goes on behind its end");
        for serial in [&b""[..], b"FG1", b"PA00ETK180000012", b"fg100etk18000001", b"FORTIGATEFORTIGA"] {
            assert_eq!(claim(&frame(2, b"a", b"port3", serial)), Claim::No, "{serial:?}");
        }
        assert_eq!(claim(&[0; 200]), Claim::No);
        assert_eq!(claim(&[b'F'; 200]), Claim::No);
    }
}
