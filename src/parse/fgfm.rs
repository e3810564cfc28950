//! FGFM: FortiGate and FortiManager talk about management, in clear.
//!
//! In: the prefixes of both sides. Out: what is asked, and what a device says of itself: serial
//! number, platform, host name and firmware. Usually all of it runs inside TLS on port 541, where
//! nobody sees it; it is clear behind a proxy that decrypts.
//!
//! The vendor describes the protocol, not its bytes: the framing is the one that public checks for
//! CVE-2024-47575 and CVE-2024-23113 speak, and phikshun/rsulley: fuzzies/fgfm.rb. A message is four
//! bytes of flags, four of length (big-endian, these eight included) and lines of text up to an
//! empty one; what follows that in a `channel` message belongs to somebody else. Passwords stand
//! there too; only what is named below is kept.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::value::is_printable_ascii;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

const SOURCE: &str = "framing as used in public checks for CVE-2024-47575 (FortiManager)";

/// First line of a message: `get auth`, `reply 200`, `channel`.
pub static MESSAGE: Field = Field::new("fgfm.message", Kind::Text, "first line of an FGFM message", SOURCE);
/// Serial number that a device gives in a request, or a manager in its answer.
pub static SERIAL: Field =
    Field::new("fgfm.serial", Kind::Text, "serial number that the sender of an FGFM message gives", SOURCE);
/// Model that a device gives in a request, `FortiGate-60E`.
pub static PLATFORM: Field = Field::new("fgfm.platform", Kind::Text, "model in an FGFM request", SOURCE);
/// Host name that a device gives in a request.
pub static HOSTNAME: Field = Field::new("fgfm.hostname", Kind::Text, "host name in an FGFM request", SOURCE);
/// Firmware of a device, `7.2.2`.
pub static VERSION: Field = Field::new("fgfm.version", Kind::Text, "firmware in an FGFM request", SOURCE);
/// Build number of the firmware.
pub static BUILD: Field = Field::new("fgfm.build", Kind::Number, "build of the firmware in an FGFM request", SOURCE);

/// FGFM in clear.
pub static PROTOCOL: Protocol = Protocol {
    name: "fgfm",
    over: &[Transport::Tcp],
    fields: &[&MESSAGE, &SERIAL, &PLATFORM, &HOSTNAME, &VERSION, &BUILD],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: false,
    parser: |_| Box::new(Fgfm { next: [0; 2] }),
};

/// Flags of a message, the two sets of them that are known.
const MAGICS: [u32; 2] = [0x36e0_1100, 0x34e0_0100];
/// Bytes of flags and length.
const HEADER_BYTES: usize = 8;
/// How a text begins.
const VERBS: [&[u8]; 3] = [b"get ", b"reply ", b"channel"];
/// Bytes of the longest of them.
const VERB_BYTES_MAX: usize = 7;
/// Bytes of a message; a longer one is none.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a message that is read; a longer one is stepped over.
const READ_BYTES_MAX: usize = 16 * 1024;
/// How the serial number of a manager begins. Others in an answer may be those of who asked.
const MANAGER: &[u8] = b"FMG";
/// Lines of a message; further ones are not read.
pub const LINES_MAX: usize = 64;

/// Length of the message that begins here, with its header; `None` when none does.
fn header(reader: &mut Reader<'_>) -> Option<usize> {
    let magic = reader.u32()?;
    let length = reader.u32()? as usize;
    (MAGICS.contains(&magic) && (HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&length)).then_some(length)
}

fn claim(bytes: &[u8]) -> Claim {
    let starts = |magic: &u32| magic.to_be_bytes().iter().zip(bytes).all(|(a, b)| a == b);
    if !MAGICS.iter().any(starts) {
        return Claim::No;
    }
    if bytes.len() < HEADER_BYTES {
        return Claim::NeedBytes(HEADER_BYTES);
    }
    let mut reader = Reader::new(bytes);
    match header(&mut reader) {
        None => Claim::No,
        // The side that was called greets with a header alone.
        Some(HEADER_BYTES) => Claim::Yes,
        Some(_) if VERBS.iter().any(|verb| reader.rest().starts_with(verb)) => Claim::Yes,
        Some(_) if reader.left() < VERB_BYTES_MAX => Claim::NeedBytes(HEADER_BYTES.saturating_add(VERB_BYTES_MAX)),
        Some(_) => Claim::No,
    }
}

struct Fgfm {
    /// Offset of the next message of each side.
    next: [usize; 2],
}

impl Parser for Fgfm {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let next = side.of_mut(&mut self.next);
        loop {
            let rest = prefix.bytes.get(*next..).unwrap_or_default();
            if rest.len() < HEADER_BYTES {
                return need(*next, HEADER_BYTES, prefix);
            }
            let mut reader = Reader::new(rest);
            let Some(length) = header(&mut reader) else {
                facts.flags.set(Flag::ParseError);
                return Progress::Done;
            };
            if length <= READ_BYTES_MAX {
                let Some(text) = reader.take(length.saturating_sub(HEADER_BYTES)) else {
                    return need(*next, length, prefix);
                };
                read(text, side, prefix, facts);
            } else {
                facts.flags.set(Flag::LimitReached);
            }
            *next = next.saturating_add(length);
        }
    }
}

fn need(at: usize, more: usize, prefix: Prefix<'_>) -> Progress {
    if prefix.last { Progress::Done } else { Progress::NeedBytes(at.saturating_add(more)) }
}

/// A number as a device writes it.
fn number(value: &[u8]) -> Option<u64> {
    let digits = (1..=9).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

/// Reads a whole message: its first line, and what its sender says of itself.
fn read(text: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    let mut lines = text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let Some(first) = lines.next().filter(|line| is_printable_ascii(line)) else { return };
    if !VERBS.iter().any(|verb| first.starts_with(verb)) {
        return;
    }
    facts.add(&MESSAGE, side, prefix.seen, first);
    let asks = first.starts_with(b"get ");
    let mut release = [None; 3];
    for line in lines.take(LINES_MAX).take_while(|line| !line.is_empty()) {
        let Some(at) = line.iter().position(|b| *b == b'=') else { continue };
        let (key, value) = (line.get(..at).unwrap_or_default(), line.get(at.saturating_add(1)..).unwrap_or_default());
        if value.is_empty() || !is_printable_ascii(value) {
            continue;
        }
        let [major, minor, patch] = &mut release;
        match key {
            b"serialno" if asks || value.starts_with(MANAGER) => facts.add(&SERIAL, side, prefix.seen, value),
            _ if !asks => {}
            b"platform" => facts.add(&PLATFORM, side, prefix.seen, value),
            b"hostname" => facts.add(&HOSTNAME, side, prefix.seen, value),
            b"major" => *major = number(value),
            b"minor" => *minor = number(value),
            b"patch" => *patch = number(value),
            b"build" => {
                if let Some(build) = number(value) {
                    facts.add_number(&BUILD, side, prefix.seen, build);
                }
            }
            _ => {}
        }
    }
    if let [Some(major), Some(minor), Some(patch)] = release {
        facts.add(&VERSION, side, prefix.seen, format!("{major}.{minor}.{patch}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;
    use crate::fact::Seen;

    /// Framed as the checks for CVE-2024-47575 do; their texts, with the values they send.
    fn message(text: &str) -> Vec<u8> {
        let length = (text.len() + HEADER_BYTES) as u32;
        [&[0x36, 0xe0, 0x11, 0x00][..], &length.to_be_bytes(), text.as_bytes()].concat()
    }

    const GET_AUTH: &str = "get auth\r\nserialno=FGVMEVWG8YMT3R63\r\nplatform=FortiGate-60E\r\nhostname=fw1\r\n\r\n\0";
    const GET_IP: &str = "get ip\r\nserialno=FGVMEVWG8YMT3R63\r\nplatform=FortiGate-VM64\r\nfos_ver=700\r\n\
        major=7\r\nminor=2\r\npatch=2\r\nbuild=1255\r\nfg_ip=192.168.1.53\r\nhostname=FGVMEVWG8YMT3R63\r\n\r\n\0";

    fn feed(parser: &mut dyn Parser, side: Side, bytes: &[u8], last: bool, facts: &mut Facts) -> Progress {
        parser.feed(side, Prefix { bytes, seen: Seen::default(), last, split: false }, facts)
    }

    fn facts(side: Side, bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let progress = feed(&mut *(PROTOCOL.parser)(Transport::Tcp), side, bytes, true, &mut facts);
        assert_eq!(progress, Progress::Done);
        facts
    }

    fn text(facts: &Facts, field: &'static Field) -> Vec<String> {
        let mut all: Vec<String> = facts.of(field).map(|fact| fact.text()).collect();
        all.sort();
        all
    }

    #[test]
    fn a_device_says_who_it_is() {
        let facts = facts(Side::Source, &[message(GET_IP), message(GET_AUTH)].concat());
        assert_eq!(text(&facts, &MESSAGE), ["get auth", "get ip"]);
        assert_eq!(text(&facts, &SERIAL), ["FGVMEVWG8YMT3R63"]);
        assert_eq!(text(&facts, &PLATFORM), ["FortiGate-60E", "FortiGate-VM64"]);
        assert_eq!(text(&facts, &HOSTNAME), ["FGVMEVWG8YMT3R63", "fw1"]);
        assert_eq!(text(&facts, &VERSION), ["7.2.2"]);
        assert_eq!(text(&facts, &BUILD), ["1255"]);
        assert!(!facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn an_answer_names_the_manager_and_nobody_else() {
        // The answer of fuzzies/fgfm.rb.
        let reply = message(
            "reply 200\r\nrequest=auth\r\nserialno=FMG-VM0A12000459\r\nuser=admin\r\npasswd=test\r\n\
            keepalive_interval=120\r\n\r\n\0",
        );
        let greeted = [&message("")[..], &reply].concat();
        let answered = facts(Side::Destination, &greeted);
        assert_eq!(text(&answered, &MESSAGE), ["reply 200"]);
        assert_eq!(text(&answered, &SERIAL), ["FMG-VM0A12000459"]);
        assert_eq!(answered.len(), 2, "no password");
        let echo = message("reply 200\r\nserialno=FGVMEVWG8YMT3R63\r\nhostname=fw1\r\nmajor=7\r\n\r\n\0");
        assert_eq!(facts(Side::Destination, &echo).len(), 1, "only the first line");
    }

    #[test]
    fn what_follows_the_empty_line_is_not_read() {
        let facts = facts(Side::Source, &message("get auth\r\nhostname=fw1\r\n\r\nserialno=FGVM000000000000\r\n"));
        assert_eq!(text(&facts, &HOSTNAME), ["fw1"]);
        assert!(!facts.has(&SERIAL));
    }

    #[test]
    fn a_cut_message_gives_nothing() {
        let whole = message(GET_AUTH);
        for end in 0..whole.len() {
            assert!(facts(Side::Source, &whole[..end]).is_empty(), "{end} bytes");
        }
    }

    #[test]
    fn a_byte_at_a_time_gives_the_same() {
        let whole = [message(GET_IP), message(GET_AUTH)].concat();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        let (mut slowly, mut wanted) = (Facts::default(), 0);
        for end in 1..=whole.len() {
            if end < wanted && end < whole.len() {
                continue;
            }
            match feed(&mut *parser, Side::Source, &whole[..end], end == whole.len(), &mut slowly) {
                Progress::NeedBytes(more) => {
                    assert!(more > end, "{more} at {end}");
                    wanted = more;
                }
                progress => assert_eq!((progress, end), (Progress::Done, whole.len())),
            }
        }
        assert_eq!(slowly.packed(), facts(Side::Source, &whole).packed());
    }

    #[test]
    fn claims_by_flags_length_and_first_word() {
        let whole = message(GET_AUTH);
        assert_eq!(claim(&whole), Claim::Yes);
        assert_eq!(claim(&[&[0x34, 0xe0, 0x01, 0x00][..], &whole[4..]].concat()), Claim::Yes, "CVE-2024-23113");
        assert_eq!(claim(&message("")), Claim::Yes);
        assert_eq!(claim(&message("reply 200\r\n\r\n\0")), Claim::Yes);
        for end in 1..12 {
            assert!(matches!(claim(&whole[..end]), Claim::NeedBytes(more) if more > end), "{end} bytes");
        }
        assert_eq!(claim(&whole[..12]), Claim::Yes);
        assert_eq!(claim(b"GET / HTTP/1.1\r\n\r\n"), Claim::No);
        assert_eq!(claim(&message("GET / HTTP/1.1\r\n\r\n")), Claim::No);
        let with_length = |length: u32| [&whole[..4], &length.to_be_bytes(), &whole[8..]].concat();
        assert_eq!(claim(&with_length(7)), Claim::No);
        assert_eq!(claim(&with_length(u32::MAX)), Claim::No);
        assert_eq!(claim(&whole[1..]), Claim::No);
    }

    #[test]
    fn nonsense_in_values_is_left_out() {
        let facts = facts(
            Side::Source,
            &message("get ip\nserialno=\u{1}\nplatform=\nmajor=7\nminor=x\npatch=1\nbuild=99999999999\n\n"),
        );
        assert_eq!(facts.len(), 1, "only the first line");
    }

    /// A message up to the limit is read; a longer one is stepped over, and it is said.
    #[test]
    fn bytes_of_a_message() {
        let padded = |bytes: usize| {
            let start = "get auth\r\nhostname=fw1\r\n\r\n";
            message(&format!("{start}{}", " ".repeat(bytes - HEADER_BYTES - start.len())))
        };
        for (bytes, hosts) in [(READ_BYTES_MAX, 1), (READ_BYTES_MAX + 1, 0)] {
            let facts = facts(Side::Source, &[padded(bytes), message(GET_IP)].concat());
            assert_eq!(text(&facts, &HOSTNAME).iter().filter(|name| *name == "fw1").count(), hosts);
            assert_eq!(text(&facts, &BUILD), ["1255"], "what is behind it is read");
            assert_eq!(facts.flags.has(Flag::LimitReached), hosts == 0);
        }
    }
}
