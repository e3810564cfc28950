//! SSH over TCP: who the two programs are, before anything is encrypted.
//!
//! In: the prefixes of both sides. Out: the identification line of each side, and HASSH of the
//! algorithms that each offers. RFC 4253, sections 4.2 (identification), 6 (packets) and 7.1
//! (KEXINIT); HASSH as salesforce/hassh defines it. Nothing behind a side's KEXINIT is read.
//!
//! SSH 1 has an identification line and no KEXINIT; a side that says 1.99 speaks both.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use md5::{Digest, Md5};

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// Identification line, with its comment, without its end.
pub static BANNER: Field = Field::new("ssh.banner", Kind::Text, "SSH identification line", "RFC 4253 section 4.2");
/// MD5 of what a client offers: key exchange, encryption, MAC and compression from client to server.
pub static HASSH: Field = Field::new("ssh.hassh", Kind::Hex, "HASSH of the client", "salesforce/hassh");
/// MD5 of what a server offers, from server to client.
pub static HASSH_SERVER: Field = Field::new("ssh.hassh_server", Kind::Hex, "HASSH of the server", "salesforce/hassh");

/// SSH.
pub static PROTOCOL: Protocol = Protocol {
    name: "ssh",
    over: &[Transport::Tcp],
    fields: &[&BANNER, &HASSH, &HASSH_SERVER],
    claim,
    embedded: false,
    parser: |_| Box::new(Ssh::default()),
};

/// Bytes of an identification line with its end (RFC 4253, 4.2).
pub const BANNER_BYTES_MAX: usize = 255;
/// Bytes of the lines that a server may send before it (RFC 4253, 4.2, sets no limit).
pub const PREFACE_BYTES_MAX: usize = 4096;
/// Bytes of a packet without its length (RFC 4253, 6.1).
pub const PACKET_BYTES_MAX: usize = 35_000;
/// Packets looked at before a KEXINIT: notes that may stand anywhere.
const PACKETS_MAX: usize = 8;
/// Where other lines before the identification line are waited for.
const PORT: u16 = 22;

const START: &[u8] = b"SSH-";
/// Bytes within which the version after `SSH-` ends with a hyphen.
const VERSION_BYTES_MAX: usize = 12;
/// Bytes of the length before a packet, and of the length of its padding.
const LENGTH_BYTES: usize = 4;
const PADDING_BYTES_MIN: usize = 4;
/// Message numbers, RFC 4253 section 12.
const DISCONNECT: u8 = 1;
const IGNORE: u8 = 2;
const DEBUG: u8 = 4;
const KEXINIT: u8 = 20;
const COOKIE_BYTES: usize = 16;

/// Names in a list of key exchange methods that only one of the roles sends (RFC 8308, 2.1;
/// OpenSSH PROTOCOL, 1.10).
const CLIENT_MARKS: [&[u8]; 2] = [b"ext-info-c", b"kex-strict-c-v00@openssh.com"];
const SERVER_MARKS: [&[u8]; 2] = [b"ext-info-s", b"kex-strict-s-v00@openssh.com"];

fn claim(&Opening { ports, side, bytes, .. }: &Opening<'_>) -> Claim {
    let Some(before) = preface(bytes) else { return Claim::No };
    let line = bytes.get(before..).unwrap_or_default();
    let more = Claim::NeedBytes(bytes.len().saturating_add(1));
    let begins = line.len() < START.len() && START.starts_with(line)
        || line
            .strip_prefix(START)
            .is_some_and(|rest| rest.len() < VERSION_BYTES_MAX && rest.iter().all(is_of_version));
    // A server on the usual port may greet with other lines first.
    let usual = side == Side::Destination && is_at(ports, &[PORT]);
    match before == 0 || usual {
        true if version(line).is_some() => Claim::Yes,
        true if begins || usual && !line.starts_with(START) => more,
        _ => Claim::No,
    }
}

/// Bytes of the whole lines before the identification line, or before the line that is not whole
/// yet; `None` if they are no text or too many.
fn preface(bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(START) {
            return Some(at);
        }
        let text = line.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\r' | b'\n' | b'\t'));
        if !text || at.saturating_add(line.len()) > PREFACE_BYTES_MAX {
            return None;
        }
        if line.ends_with(b"\n") {
            at = at.saturating_add(line.len());
        }
    }
    Some(at)
}

fn is_of_version(byte: &u8) -> bool {
    byte.is_ascii_digit() || *byte == b'.'
}

/// Major and minor version of a line that says them: `SSH-2.0-…`.
fn version(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(START)?;
    let end = rest.iter().take(VERSION_BYTES_MAX).position(|byte| *byte == b'-')?;
    let mut parts = rest.get(..end)?.split(|byte| *byte == b'.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let good = [major, minor].iter().all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit));
    (good && parts.next().is_none()).then_some((major, minor))
}

/// What one side said so far.
#[derive(Clone, Copy, Default)]
struct Half {
    /// Offset of the next packet; 0 before the identification line.
    at: usize,
    packets: usize,
}

#[derive(Default)]
struct Ssh {
    halves: [Half; 2],
    /// A side speaks SSH 1 only: no KEXINIT will come.
    version1: bool,
}

impl Parser for Ssh {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let half = side.of_mut(&mut self.halves);
        if half.at == 0 {
            let more = Progress::NeedBytes(prefix.bytes.len().saturating_add(1));
            let Some(before) = preface(prefix.bytes) else {
                facts.flags.set(Flag::ParseError);
                return Progress::Done;
            };
            let line = prefix.bytes.get(before..).unwrap_or_default();
            let Some(end) = line.iter().take(BANNER_BYTES_MAX).position(|byte| *byte == b'\n') else {
                if line.len() < BANNER_BYTES_MAX || !line.starts_with(START) {
                    return more;
                }
                facts.flags.set(Flag::ParseError);
                return Progress::Done;
            };
            let text = line.get(..end).unwrap_or_default();
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let Some((major, minor)) = version(text).filter(|_| !text.contains(&0)) else {
                facts.flags.set(Flag::ParseError);
                return Progress::Done;
            };
            facts.add(&BANNER, side, prefix.seen, text);
            self.version1 |= major == b"1" && minor != b"99";
            half.at = before.saturating_add(end).saturating_add(1);
        }
        if self.version1 {
            return Progress::Done;
        }
        let mut progress = half.packets(side, prefix, facts);
        if matches!(progress, Progress::NeedBytes(_)) && prefix.last {
            progress = Progress::Done;
        }
        progress
    }
}

impl Half {
    /// Reads packets up to a KEXINIT.
    fn packets(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        while self.packets < PACKETS_MAX {
            let mut reader = Reader::new(prefix.bytes.get(self.at..).unwrap_or_default());
            let Some(length) = reader.u32().map(|length| length as usize) else {
                return Progress::NeedBytes(self.at.saturating_add(LENGTH_BYTES));
            };
            if length > PACKET_BYTES_MAX {
                break;
            }
            let end = self.at.saturating_add(LENGTH_BYTES).saturating_add(length);
            let Some(packet) = reader.take(length) else {
                return Progress::NeedBytes(end);
            };
            self.at = end;
            self.packets = self.packets.saturating_add(1);
            match payload(packet) {
                Some([DISCONNECT, ..]) => return Progress::Done,
                Some([IGNORE..=DEBUG, ..]) => {}
                Some([KEXINIT, body @ ..]) => {
                    if let Some(offer) = Offer::read(body) {
                        let (field, hash) = offer.hassh(side);
                        facts.add(field, side, prefix.seen, &hash);
                        return Progress::Done;
                    }
                    break;
                }
                _ => break,
            }
        }
        facts.flags.set(Flag::ParseError);
        Progress::Done
    }
}

/// The payload of a packet whose length is taken off (RFC 4253, 6).
fn payload(packet: &[u8]) -> Option<&[u8]> {
    let (padding, rest) = packet.split_first()?;
    let padding = usize::from(*padding);
    let payload = rest.get(..rest.len().checked_sub(padding)?)?;
    (padding >= PADDING_BYTES_MIN && !payload.is_empty()).then_some(payload)
}

/// The name lists of a KEXINIT that HASSH is made of.
struct Offer<'a> {
    kex: &'a [u8],
    /// To the server, to the client.
    encryption: [&'a [u8]; 2],
    mac: [&'a [u8]; 2],
    compression: [&'a [u8]; 2],
}

impl<'a> Offer<'a> {
    /// Reads a KEXINIT behind its message number; `None` if anything does not fit.
    fn read(body: &'a [u8]) -> Option<Offer<'a>> {
        let mut reader = Reader::new(body);
        reader.take(COOKIE_BYTES)?;
        let kex = name_list(&mut reader)?;
        name_list(&mut reader)?; // host keys
        let mut both = || Some([name_list(&mut reader)?, name_list(&mut reader)?]);
        let offer = Offer { kex, encryption: both()?, mac: both()?, compression: both()? };
        both()?; // languages
        reader.u8().filter(|follows| *follows <= 1)?;
        reader.u32()?; // reserved
        reader.is_empty().then_some(offer)
    }

    /// HASSH and its field. Some names tell the role; otherwise who opened the flow is the client.
    fn hassh(&self, side: Side) -> (&'static Field, [u8; 16]) {
        let has = |marks: &[&[u8]]| self.kex.split(|byte| *byte == b',').any(|name| marks.contains(&name));
        let client = match (has(&CLIENT_MARKS), has(&SERVER_MARKS)) {
            (true, false) => true,
            (false, true) => false,
            _ => side == Side::Source,
        };
        let mut hash = Md5::new();
        hash.update(self.kex);
        for [to_server, to_client] in [self.encryption, self.mac, self.compression] {
            hash.update(b";");
            hash.update(if client { to_server } else { to_client });
        }
        (if client { &HASSH } else { &HASSH_SERVER }, hash.finalize().into())
    }
}

/// A name list: printable US-ASCII with commas between (RFC 4251, 5 and 6).
fn name_list<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = reader.u32()? as usize;
    reader.take(length).filter(|names| names.iter().all(u8::is_ascii_graphic))
}

#[cfg(test)]
mod tests;
