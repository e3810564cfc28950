//! Serial ports of virtual machines that a vSphere host connects to a proxy: telnet with VMware's
//! extension, over TCP.
//!
//! In: both sides of a flow. Out: which virtual machine is connected, and which address its proxy was
//! asked to serve: whatever the machine prints on its console goes there. Each command stands between
//! `IAC SB 232` and `IAC SE`. VMware: Using a Proxy with vSphere Virtual Serial Ports, chapter VMware
//! Telnet Extension Commands for Proxy Communication; RFC 854 for telnet.
//!
//! Not read: what the machine prints, and the secrets by which proxies recognise a moving machine.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

const SOURCE: &str = "VMware: Using a Proxy with vSphere Virtual Serial Ports";

/// What the proxy is asked to serve: a URI, left out when it holds a user name.
pub static URI: Field =
    Field::new("vmware.serial_uri", Kind::Text, "URI a virtual serial port asks its proxy to serve", SOURCE);
/// Name of the machine with the serial port.
pub static VM_NAME: Field =
    Field::new("vmware.vm_name", Kind::Text, "name of the virtual machine behind a virtual serial port", SOURCE);
/// Identity of the machine in vCenter.
pub static VM_UUID: Field = Field::new(
    "vmware.vm_uuid",
    Kind::Text,
    "vCenter identity of the virtual machine behind a virtual serial port",
    SOURCE,
);
/// Codes of the commands that a side sent.
pub static COMMAND: Field = Field::new(
    "vmware.serial_command",
    Kind::Number,
    "code of a command of the virtual serial port proxy, 40 begins a vMotion",
    SOURCE,
);

/// Virtual serial ports.
pub static PROTOCOL: Protocol = Protocol {
    name: "vmware-serial",
    over: &[Transport::Tcp],
    fields: &[&URI, &VM_NAME, &VM_UUID, &COMMAND],
    claim,
    embedded: false,
    parser: |_| Box::new(Serial { at: [0; 2] }),
};

const IAC: u8 = 255;
const WILL: u8 = 251;
const DO: u8 = 253;
const DONT: u8 = 254;
const SB: u8 = 250;
const SE: u8 = 240;
/// VMWARE-TELNET-EXT.
const EXTENSION: u8 = 232;
const DO_PROXY: u8 = 70;
const VC_UUID: u8 = 80;
const NAME: u8 = 82;
/// Options that may be negotiated before the extension.
const OPTIONS_MAX: usize = 16;
/// Bytes of one command of three: IAC, verb, option.
const OPTION_BYTES: usize = 3;
/// Bytes of a side that are read; the commands stand at its beginning.
pub const SIDE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a command with its parameters; a longer one ends the reading of its side.
pub const COMMAND_BYTES_MAX: usize = 1024;

/// Options come first, and the extension is among them.
fn claim(&Opening { bytes, .. }: &Opening<'_>) -> Claim {
    for option in bytes.chunks(OPTION_BYTES).take(OPTIONS_MAX) {
        match option {
            [IAC, WILL | DO, EXTENSION] | [IAC, SB, EXTENSION] => return Claim::Yes,
            [IAC, WILL..=DONT, _] => {}
            [IAC, SB..=DONT] | [IAC] => return Claim::NeedBytes(bytes.len().saturating_add(1)),
            _ => return Claim::No,
        }
    }
    if bytes.len() >= OPTIONS_MAX.saturating_mul(OPTION_BYTES) {
        return Claim::No;
    }
    Claim::NeedBytes(bytes.len().saturating_add(1))
}

struct Serial {
    /// Offset of the next byte to read, of each side.
    at: [usize; 2],
}

/// What stands at the beginning of some bytes.
enum Piece<'a> {
    /// A command of the extension: its code and its parameters.
    Command(u8, &'a [u8], usize),
    /// So many bytes of something else.
    Other(usize),
    /// A command that is not whole.
    Cut,
    /// A command without end.
    TooLong,
}

impl Parser for Serial {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let at = side.of_mut(&mut self.at);
        loop {
            let rest = prefix.bytes.get(*at..).unwrap_or_default();
            if *at >= SIDE_BYTES_MAX {
                return Progress::Done;
            }
            if rest.is_empty() {
                return Progress::NeedBytes(prefix.bytes.len().saturating_add(1));
            }
            match piece(rest) {
                Piece::Command(code, parameters, length) => {
                    command(code, parameters, side, prefix, facts);
                    *at = at.saturating_add(length);
                }
                Piece::Other(length) => *at = at.saturating_add(length),
                Piece::Cut => return Progress::NeedBytes(prefix.bytes.len().saturating_add(1)),
                Piece::TooLong => {
                    facts.flags.set(Flag::LimitReached);
                    return Progress::Done;
                }
            }
        }
    }
}

fn piece(bytes: &[u8]) -> Piece<'_> {
    match bytes {
        [IAC, SB, rest @ ..] => negotiation(rest),
        [IAC, WILL..=DONT, _, ..] => Piece::Other(OPTION_BYTES),
        [IAC, WILL..=DONT] | [IAC] => Piece::Cut,
        [IAC, _, ..] => Piece::Other(2),
        _ => Piece::Other(bytes.iter().position(|byte| *byte == IAC).unwrap_or(bytes.len())),
    }
}

/// What stands behind `IAC SB`, up to `IAC SE`.
fn negotiation(bytes: &[u8]) -> Piece<'_> {
    let within = bytes.get(..COMMAND_BYTES_MAX).unwrap_or(bytes);
    let mut pairs = within.windows(2).enumerate();
    let mut escaped = false;
    let end = pairs.find_map(|(at, pair)| {
        // A byte 255 among the parameters is written twice.
        let iac = pair.first() == Some(&IAC) && !escaped;
        escaped = iac && pair.last() == Some(&IAC);
        (iac && pair.last() == Some(&SE)).then_some(at)
    });
    let Some(end) = end else {
        return if within.len() < COMMAND_BYTES_MAX { Piece::Cut } else { Piece::TooLong };
    };
    // IAC SB before it, IAC SE behind it.
    let length = end.saturating_add(4);
    match within.get(..end).unwrap_or_default() {
        [EXTENSION, code, parameters @ ..] => Piece::Command(*code, parameters, length),
        _ => Piece::Other(length),
    }
}

fn command(code: u8, parameters: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    facts.add_number(&COMMAND, side, prefix.seen, u64::from(code));
    let (field, text) = match (code, parameters) {
        (NAME, text) => (&VM_NAME, text),
        (VC_UUID, text) => (&VM_UUID, text),
        (DO_PROXY, [b'S' | b'C', uri @ ..]) if !uri.contains(&b'@') => (&URI, uri),
        _ => return,
    };
    if !text.is_empty() && std::str::from_utf8(text).is_ok_and(|text| !text.contains(char::is_control)) {
        facts.add(field, side, prefix.seen, text);
    }
}

#[cfg(test)]
mod tests {
    use crate::parse::testing::tcp;
    use proptest::prelude::*;

    use super::*;
    use crate::fact::Seen;

    /// The exchange of the vendor's document: the extension, its commands, the proxy, the machine.
    fn machine() -> Vec<u8> {
        let known = b"\xff\xfa\xe8\0\0\x01\x02\x03\x28\x29\x2b\x2c\x2d\x2e\x30\x46\x47\x49\x50\x51\x52\x53\xff\xf0";
        [
            &b"\xff\xfb\xe8"[..],
            known,
            b"\xff\xfa\xe8\x46Stelnet://example.com\xff\xf0",
            b"\xff\xfa\xe8\x52web-01\xff\xf0",
            b"\xff\xfa\xe8\x5050 2e 8f 1a 00 00 00 00-00 00 00 00 00 00 00 01\xff\xf0",
            b"login: ",
        ]
        .concat()
    }

    fn prefix(bytes: &[u8], last: bool) -> Prefix<'_> {
        Prefix { bytes, seen: Seen::default(), last, split: false }
    }

    fn read(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        (PROTOCOL.parser)(Transport::Tcp).feed(Side::Source, prefix(bytes, false), &mut facts);
        facts
    }

    fn value(facts: &Facts, field: &'static Field) -> Option<String> {
        facts.first(field).map(|fact| fact.text())
    }

    #[test]
    fn the_machine_and_its_proxy_are_named() {
        let bytes = machine();
        assert_eq!(claim(&tcp((40000, 13370), Side::Source, &bytes)), Claim::Yes);
        let facts = read(&bytes);
        assert_eq!(value(&facts, &URI).as_deref(), Some("telnet://example.com"));
        assert_eq!(value(&facts, &VM_NAME).as_deref(), Some("web-01"));
        assert!(value(&facts, &VM_UUID).is_some_and(|uuid| uuid.starts_with("50 2e 8f")));
        let codes: Vec<String> = facts.of(&COMMAND).map(|fact| fact.text()).collect();
        assert_eq!(codes, ["0", "70", "82", "80"]);
    }

    #[test]
    fn byte_by_byte_it_is_the_same_and_never_half_a_name() {
        let bytes = machine();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        let mut facts = Facts::default();
        for cut in 1..=bytes.len() {
            let progress = parser.feed(Side::Source, prefix(&bytes[..cut], cut == bytes.len()), &mut facts);
            assert_eq!(progress, Progress::NeedBytes(cut + 1));
            assert!(value(&facts, &VM_NAME).is_none_or(|name| name == "web-01"));
        }
        assert_eq!(facts.packed(), read(&bytes).packed());
    }

    #[test]
    fn the_extension_may_stand_behind_other_options() {
        let options = b"\xff\xfb\x00\xff\xfd\x03\xff\xfb\xe8";
        assert_eq!(claim(&tcp((40000, 13370), Side::Source, options)), Claim::Yes);
        for cut in 0..options.len() {
            assert!(matches!(claim(&tcp((40000, 23), Side::Source, &options[..cut])), Claim::NeedBytes(n) if n > cut));
        }
        let answer = b"\xff\xfd\xe8\xff\xfa\xe8\x01\0\x01\xff\xf0";
        assert_eq!(claim(&tcp((40000, 13370), Side::Destination, answer)), Claim::Yes);
    }

    #[test]
    fn other_telnet_is_refused() {
        for bytes in [
            &b"\xff\xfd\x18\xff\xfd\x20login: "[..],
            b"\xff\xfa\x18\x01\xff\xf0",
            b"\xff\xfc\xe8x",
            b"\xff\xd8\xff\xe0",
            b"SSH-2.0-x\r\n",
            &b"\xff\xfd\x18".repeat(OPTIONS_MAX),
        ] {
            assert_eq!(claim(&tcp((40000, 23), Side::Source, bytes)), Claim::No, "{bytes:?}");
        }
    }

    #[test]
    fn a_user_name_and_unreadable_names_are_left_out() {
        let facts = read(
            b"\xff\xfb\xe8\xff\xfa\xe8\x46Ctelnet://me:pw@example.com\xff\xf0\xff\xfa\xe8\x52a\xff\xff\xf0\xff\xf0",
        );
        assert_eq!(value(&facts, &URI), None);
        assert_eq!(value(&facts, &VM_NAME), None, "255 255 is a byte, not an end");
        assert_eq!(facts.of(&COMMAND).count(), 2);
    }

    #[test]
    fn a_command_without_end_is_let_go() {
        let bytes = [&b"\xff\xfb\xe8\xff\xfa\xe8\x52"[..], &[b'x'; COMMAND_BYTES_MAX]].concat();
        let facts = read(&bytes);
        assert_eq!(facts.len(), 0);
        assert!(facts.flags.has(Flag::LimitReached));
    }

    proptest! {
        #[test]
        fn parts_of_any_size_give_the_same(
            noise in prop::collection::vec(
                prop_oneof![Just(IAC), Just(SB), Just(SE), Just(EXTENSION), any::<u8>()],
                0..40,
            ),
            at in 0usize..80,
            step in 1usize..9,
        ) {
            let mut bytes = machine();
            let at = at.min(bytes.len());
            bytes.splice(at..at, noise.iter().copied());
            claim(&tcp((40000, 23), Side::Source, &bytes));
            let whole = read(&bytes);
            let mut parser = (PROTOCOL.parser)(Transport::Tcp);
            let mut facts = Facts::default();
            for cut in (step..bytes.len()).step_by(step).chain([bytes.len()]) {
                parser.feed(Side::Source, prefix(&bytes[..cut], false), &mut facts);
            }
            prop_assert_eq!(facts.packed(), whole.packed());
        }
    }
}
