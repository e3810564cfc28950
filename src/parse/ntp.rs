//! NTP and SNTP, versions 1 to 4, with the control messages that tell what a server is.
//!
//! In: datagrams. Out: version and mode, of a server its stratum and reference, and system and daemon where a control
//! answer names them. RFC 5905 (version 4), RFC 1305 (version 3), RFC 9327 (control messages), RFC 7822 (extensions).
//!
//! A client's first packet is nearly all zeros, so elsewhere than on port 123 only a packet whose times fit together,
//! or that is nothing but a time, is claimed.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::Ipv4Addr;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Seen, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// Version in the packets.
pub static VERSION: Field = Field::new("ntp.version", Kind::Number, "NTP version", "RFC 5905 section 7.3");
/// Mode of the packets.
pub static MODE: Field =
    Field::new("ntp.mode", Kind::Number, "NTP mode: 3 client, 4 server, 6 control", "RFC 5905 section 7.3");
/// Distance of a server from its reference clock.
pub static STRATUM: Field =
    Field::new("ntp.stratum", Kind::Number, "stratum of an NTP server or peer", "RFC 5905 section 7.3");
/// What a server follows: the code of a clock or of a refusal, else the address of its server, or four bytes of a
/// hash of it in the same form.
pub static REFID: Field =
    Field::new("ntp.refid", Kind::Text, "reference ID of an NTP server or peer", "RFC 5905 section 7.3");
/// The variable `system` of a control answer: the operating system.
pub static SYSTEM: Field =
    Field::new("ntp.system", Kind::Text, "system variable of an NTP control answer", "RFC 9327 section 4");
/// The variable `version` of a control answer: the daemon.
pub static DAEMON: Field =
    Field::new("ntp.daemon", Kind::Text, "version variable of an NTP control answer", "RFC 9327 section 4");

/// NTP.
pub static PROTOCOL: Protocol = Protocol {
    name: "ntp",
    over: &[Transport::Udp],
    fields: &[&VERSION, &MODE, &STRATUM, &REFID, &SYSTEM, &DAEMON],
    claim,
    embedded: false,
    parser: |_| Box::new(Ntp::default()),
};

const PORT: u16 = 123;
/// Bytes of a packet without extensions and digest.
const PACKET_BYTES: usize = 48;
/// Bytes of a key number and digest: none, a refusal, DES, MD5, SHA-1.
const DIGEST_BYTES: [usize; 5] = [0, 4, 12, 20, 24];
/// Bytes of the digest that Windows domains use (MS-SNTP, 2.2.2).
const WINDOWS_DIGEST_BYTES: usize = 72;
/// The shortest extension, and what their lengths are multiples of (RFC 7822, 7.5).
const EXTENSION_BYTES_MIN: usize = 16;
const EXTENSION_ALIGNMENT: usize = 4;
const STRATUM_MAX: u8 = 16;
/// Logarithms of seconds.
const POLL: std::ops::RangeInclusive<i8> = -6..=17;
const PRECISION: std::ops::RangeInclusive<i8> = -32..=0;
/// Seconds a server may take to answer, and delay or dispersion that a good one has, on an unusual port.
const ANSWER_SECONDS_MAX: u32 = 16;

/// Modes.
const SYMMETRIC: u8 = 1;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
const BROADCAST: u8 = 5;
const CONTROL: u8 = 6;
/// Control messages: response, error and more bits, and the operation that reads variables.
const RESPONSE: u8 = 0x80;
const ERROR: u8 = 0x40;
const OPERATION: u8 = 0x1f;
const READ_VARIABLES: u8 = 2;
/// Operations of control messages (RFC 9327, 2): 0 to 12 and 31.
const OPERATION_MAX: u8 = 12;
const OPERATION_LAST: u8 = 31;

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let usual = is_at(ports, &[PORT]);
    let mine = match bytes.first().map(|first| first & 7) {
        Some(SYMMETRIC..=BROADCAST) => Packet::read(bytes).is_some_and(|packet| usual || packet.is_sure()),
        Some(CONTROL) => usual && Control::read(bytes).is_some(),
        _ => false,
    };
    if mine { Claim::Yes } else { Claim::No }
}

#[derive(Default)]
struct Ntp {
    heard: [bool; 2],
}

impl Parser for Ntp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if let Some(packet) = Packet::read(prefix.bytes) {
            packet.tell(side, prefix.seen, facts);
            *side.of_mut(&mut self.heard) = true;
            // The next hours say the same.
            return if self.heard == [true; 2] { Progress::AllDone } else { Progress::NeedBytes(0) };
        }
        match Control::read(prefix.bytes) {
            Some(control) => control.tell(side, prefix.seen, facts),
            None => facts.flags.set(Flag::ParseError),
        }
        Progress::NeedBytes(0)
    }
}

/// Version and mode of the first byte.
fn head(first: u8) -> Option<(u8, u8)> {
    let version = first >> 3 & 7;
    (1..=4).contains(&version).then_some((version, first & 7))
}

struct Packet<'a> {
    version: u8,
    mode: u8,
    stratum: u8,
    /// Delay and dispersion, in whole seconds.
    root: [u16; 2],
    refid: &'a [u8],
    /// Whole seconds and fractions: reference, origin, receive, transmit.
    times: [(u32, u32); 4],
}

impl<'a> Packet<'a> {
    fn read(bytes: &'a [u8]) -> Option<Packet<'a>> {
        let mut reader = Reader::new(bytes);
        let (version, mode) = head(reader.u8()?)?;
        if bytes.len() < PACKET_BYTES || !(SYMMETRIC..=BROADCAST).contains(&mode) {
            return None;
        }
        let stratum = reader.u8()?;
        let poll = reader.u8()?.cast_signed();
        let precision = reader.u8()?.cast_signed();
        if stratum > STRATUM_MAX || !POLL.contains(&poll) || !PRECISION.contains(&precision) {
            return None;
        }
        let mut seconds = || reader.u32().map(|fixed| (fixed >> 16) as u16);
        let root = [seconds()?, seconds()?];
        let refid = reader.take(4)?;
        let mut time = || Some((reader.u32()?, reader.u32()?));
        let times = [time()?, time()?, time()?, time()?];
        is_tail(version, reader).then_some(Packet { version, mode, stratum, root, refid, times })
    }

    /// Whether nothing but NTP looks like this.
    fn is_sure(&self) -> bool {
        let [reference, origin, receive, transmit] = self.times;
        let zero = (0, 0);
        match self.mode {
            CLIENT => {
                let empty = self.stratum == 0 && self.root == [0; 2] && self.refid == [0; 4];
                empty && [reference, origin, receive] == [zero; 3] && transmit != zero
            }
            SERVER => {
                let took = transmit.0.wrapping_sub(receive.0);
                let good = self.root.iter().all(|seconds| u32::from(*seconds) < ANSWER_SECONDS_MAX);
                let told = [reference, origin, receive].iter().all(|time| *time != zero);
                told && good && self.stratum > 0 && took < ANSWER_SECONDS_MAX
            }
            _ => false,
        }
    }

    fn tell(&self, side: Side, seen: Seen, facts: &mut Facts) {
        facts.add_number(&VERSION, side, seen, u64::from(self.version));
        facts.add_number(&MODE, side, seen, u64::from(self.mode));
        if self.mode == CLIENT {
            return;
        }
        facts.add_number(&STRATUM, side, seen, u64::from(self.stratum));
        let code = self.refid.trim_ascii_end().split(|byte| *byte == 0).next().unwrap_or_default();
        if self.stratum > 1 {
            if let Ok(address) = <[u8; 4]>::try_from(self.refid)
                && address != [0; 4]
            {
                facts.add(&REFID, side, seen, Ipv4Addr::from(address).to_string().as_bytes());
            }
        } else if !code.is_empty() && code.iter().all(u8::is_ascii_graphic) {
            facts.add(&REFID, side, seen, code);
        }
    }
}

/// Whether what stands behind a packet can be extensions and a digest.
fn is_tail(version: u8, mut tail: Reader<'_>) -> bool {
    loop {
        let left = tail.left();
        if DIGEST_BYTES.contains(&left) || left == WINDOWS_DIGEST_BYTES {
            return true;
        }
        let (Some(_), Some(length)) = (tail.u16(), tail.u16()) else { return false };
        let length = usize::from(length);
        let good = version == 4 && length >= EXTENSION_BYTES_MIN && length % EXTENSION_ALIGNMENT == 0;
        // Its type and length are read already.
        if !good || tail.take(length.saturating_sub(4)).is_none() {
            return false;
        }
    }
}

/// A control message.
struct Control<'a> {
    version: u8,
    flags: u8,
    association: u16,
    offset: u16,
    data: &'a [u8],
}

impl<'a> Control<'a> {
    fn read(bytes: &'a [u8]) -> Option<Control<'a>> {
        let mut reader = Reader::new(bytes);
        let (version, mode) = head(reader.u8()?)?;
        let flags = reader.u8()?;
        reader.u16()?; // sequence
        reader.u16()?; // status
        let association = reader.u16()?;
        let offset = reader.u16()?;
        let data = reader.vec16()?.rest();
        let padding = data.len().wrapping_neg() % EXTENSION_ALIGNMENT;
        let digest = reader.left().checked_sub(padding)?;
        let known = matches!(flags & OPERATION, 0..=OPERATION_MAX | OPERATION_LAST);
        let text = data.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
        let mine = mode == CONTROL && known && text && DIGEST_BYTES.contains(&digest);
        mine.then_some(Control { version, flags, association, offset, data })
    }

    fn tell(&self, side: Side, seen: Seen, facts: &mut Facts) {
        facts.add_number(&VERSION, side, seen, u64::from(self.version));
        facts.add_number(&MODE, side, seen, u64::from(CONTROL));
        let answers = self.flags & (RESPONSE | ERROR | OPERATION) == RESPONSE | READ_VARIABLES;
        // The variables of the system itself, from their start.
        if !answers || self.association != 0 || self.offset != 0 {
            return;
        }
        for (name, field) in [(&b"system=\""[..], &SYSTEM), (b"version=\"", &DAEMON)] {
            if let Some(value) = variable(self.data, name) {
                facts.add(field, side, seen, value);
            }
        }
    }
}

/// The value of a variable in quotes. `name` is all that stands before the value.
fn variable<'a>(data: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let begins = |at: usize| match at.checked_sub(1) {
        None => true,
        Some(before) => data.get(before).is_some_and(|byte| matches!(byte, b',' | b' ' | b'\r' | b'\n')),
    };
    let at = data.windows(name.len()).enumerate().find(|(at, window)| *window == name && begins(*at))?.0;
    let value = data.get(at.saturating_add(name.len())..)?;
    let end = value.iter().position(|byte| *byte == b'"')?;
    value.get(..end).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
