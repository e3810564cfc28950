//! FortiTelemetry: a FortiClient reports to its management server (EMS), in clear.
//!
//! In: the prefixes of both sides, usually port 8013. Out: which client and which server these are:
//! identifier, serial number and version of each. Usually all of it runs inside TLS; it is clear
//! behind a proxy that decrypts. Names of users and hosts are never kept.
//!
//! The vendor documents the port alone. Messages: rapid7/metasploit-framework:
//! forticlient_ems_fctid_sqli.rb (CVE-2023-48788); answers also: a public account of CVE-2025-31365.
//! A message is lines of text whose header says how long all of it is; an answer is one line.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::fact::value::is_printable_ascii;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

const SOURCE: &str = "rapid7/metasploit-framework: forticlient_ems_fctid_sqli.rb";

/// Kind of message: `X-FCCK-PROBE`, `X-FCCK-REGISTER`, `FCPROBERPLY`.
pub static MESSAGE: Field =
    Field::new("fortitelemetry.message", Kind::Text, "kind of a FortiTelemetry message", SOURCE);
/// Identifier of an installation of FortiClient.
pub static UID: Field = Field::new("fortitelemetry.uid", Kind::Text, "identifier of a FortiClient (FCTUID)", SOURCE);
/// Serial number of the client, `FCT…`, or of the server, `FCTEMS…`.
pub static SERIAL: Field =
    Field::new("fortitelemetry.serial", Kind::Text, "serial number of a FortiClient or of its server", SOURCE);
/// Version of the client, `7.2.2.0864`, or of the server, `7.2.4`.
pub static VERSION: Field =
    Field::new("fortitelemetry.version", Kind::Text, "version of a FortiClient or of its server", SOURCE);

/// FortiTelemetry in clear.
pub static PROTOCOL: Protocol = Protocol {
    name: "fortitelemetry",
    over: &[Transport::Tcp],
    fields: &[&MESSAGE, &UID, &SERIAL, &VERSION],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: false,
    parser: |_| Box::new(FortiTelemetry),
};

/// How a client begins.
const HEADER: &[u8] = b"MSG_HEADER: FCTUID=";
/// How a server begins.
const ANSWERS: [&[u8]; 3] = [b"FCPROBERPLY: ", b"FCREGRPLY: ", b"FCKARPLY: "];
/// Name of the line whose name is the kind of message.
const KIND: &[u8] = b"X-FCCK-";
/// What stands before the description of a client.
const SYSTEM: &[u8] = b"SYSINFO|";
/// Bytes of the lines that say how long a message is.
const HEADER_BYTES_MAX: usize = 512;
/// Bytes of a message, and of an answer; longer ones are not read.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;

fn claim(bytes: &[u8]) -> Claim {
    let mut beginnings = ANSWERS.into_iter().chain([HEADER]);
    match beginnings.find(|start| start.iter().zip(bytes).all(|(a, b)| a == b)) {
        Some(start) if bytes.len() >= start.len() => Claim::Yes,
        Some(start) => Claim::NeedBytes(start.len()),
        None => Claim::No,
    }
}

struct FortiTelemetry;

impl Parser for FortiTelemetry {
    /// The first message of a side is read; it says who the side is.
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let asks = prefix.bytes.starts_with(HEADER);
        let whole = if asks { message_bytes(prefix.bytes) } else { answer_bytes(prefix.bytes) };
        match whole {
            Size::Whole(message) if asks => read_message(message, side, prefix, facts),
            Size::Whole(answer) => read_answer(answer, side, prefix, facts),
            Size::More(bytes) if !prefix.last => return Progress::NeedBytes(bytes),
            Size::More(_) => {}
            Size::Limit => facts.flags.set(Flag::LimitReached),
            Size::Unknown => facts.flags.set(Flag::ParseError),
        }
        Progress::Done
    }
}

enum Size<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// So many bytes are needed.
    More(usize),
    Limit,
    Unknown,
}

/// Lines without their ends.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').map(|line| line.trim_ascii_end())
}

/// The header says `SIZE=`, then blanks and the length of everything.
fn message_bytes(bytes: &[u8]) -> Size<'_> {
    let header = bytes.get(..HEADER_BYTES_MAX).unwrap_or(bytes);
    // The last line may not be whole yet.
    let Some(end) = header.iter().rposition(|b| *b == b'\n') else {
        return more_header(bytes);
    };
    let size = lines(header.get(..end).unwrap_or_default()).find_map(|line| line.strip_prefix(b"SIZE="));
    let Some(size) = size else { return more_header(bytes) };
    match std::str::from_utf8(size).ok().and_then(|size| size.trim().parse().ok()) {
        None => Size::Unknown,
        Some(size) if size > MESSAGE_BYTES_MAX => Size::Limit,
        Some(size) => bytes.get(..size).map_or(Size::More(size), Size::Whole),
    }
}

fn more_header(bytes: &[u8]) -> Size<'_> {
    if bytes.len() < HEADER_BYTES_MAX { Size::More(bytes.len().saturating_add(1)) } else { Size::Unknown }
}

fn answer_bytes(bytes: &[u8]) -> Size<'_> {
    match bytes.iter().position(|b| *b == b'\n') {
        Some(end) => Size::Whole(bytes.get(..end).unwrap_or_default()),
        None if bytes.len() >= MESSAGE_BYTES_MAX => Size::Limit,
        // Each look is a look at all of it, so not at every byte.
        None => Size::More(bytes.len().saturating_mul(2).clamp(64, MESSAGE_BYTES_MAX)),
    }
}

fn read_message(message: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    let mut text = |field, value: &[u8]| {
        if !value.is_empty() && is_printable_ascii(value) {
            facts.add(field, side, prefix.seen, value);
        }
    };
    if let Some(uid) = lines(message).next().and_then(|line| line.strip_prefix(HEADER)).filter(|uid| is_uid(uid)) {
        text(&UID, uid);
    }
    let Some((kind, body)) = lines(message).find_map(kind) else { return };
    text(&MESSAGE, kind);
    // One bar, or two with nothing between them.
    let Some(system) = body.strip_prefix(SYSTEM) else { return };
    let system = system.split(|b| *b == b'|').find(|part| !part.is_empty()).unwrap_or_default();
    let Ok(system) = STANDARD.decode(system) else { return };
    for line in lines(&system) {
        if let Some(serial) = line.strip_prefix(b"FCT_SN=") {
            text(&SERIAL, serial);
        }
        if let Some(version) = line.strip_prefix(b"FCTVER=") {
            text(&VERSION, version);
        }
    }
}

/// `X-FCCK-PROBE: …`: the kind, and what follows.
fn kind(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':').filter(|_| line.starts_with(KIND))?;
    let (kind, body) = line.split_at_checked(colon)?;
    Some((kind, body.strip_prefix(b":")?.trim_ascii_start()))
}

/// 32 digits: anything else is no identifier of an installation, and may be an attack.
fn is_uid(uid: &[u8]) -> bool {
    uid.len() == 32 && uid.iter().all(u8::is_ascii_hexdigit)
}

/// Names and values in turn, with bars between them.
fn read_answer(answer: &[u8], side: Side, prefix: Prefix<'_>, facts: &mut Facts) {
    let Some((kind, body)) = ANSWERS.iter().find_map(|start| {
        let body = answer.strip_prefix(*start)?;
        Some((start.strip_suffix(b": ")?, body.trim_ascii_end()))
    }) else {
        return;
    };
    facts.add(&MESSAGE, side, prefix.seen, kind);
    let mut words = body.split(|b| *b == b'|');
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        match name {
            b"FGT" => {
                let serial = value.split(|b| *b == b':').next().unwrap_or_default();
                if serial.starts_with(b"FCTEMS") && is_printable_ascii(serial) {
                    facts.add(&SERIAL, side, prefix.seen, serial);
                }
            }
            b"EMSVER" => {
                if let Some(version) = server_version(value) {
                    facts.add(&VERSION, side, prefix.seen, version.as_bytes());
                }
            }
            _ => {}
        }
    }
}

/// `7002004` is 7.2.4.
fn server_version(digits: &[u8]) -> Option<String> {
    let fits = (7..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u32 = std::str::from_utf8(digits).ok().filter(|_| fits)?.parse().ok()?;
    Some(format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;
    use crate::fact::Seen;

    const UID_KNOWN: &str = "CBE8FC122B1A46D18C3541E1A8EFF7BD";

    /// Puts the length of everything into a message, as forticlient_ems_fctid_sqli.rb does.
    fn sized(message: &str) -> Vec<u8> {
        let rest = message.len() - "{}".len();
        let digits = (rest + 3).to_string().len();
        message.replace("{}", &(rest + digits).to_string()).into_bytes()
    }

    /// The messages of forticlient_ems_fctid_sqli.rb.
    fn probe() -> Vec<u8> {
        let lines = "SIZE=    {}\nX-FCCK-PROBE: PROBE_FEATURE_BITMAP0|1|\nX-FCCK-PROBE-END\r\n\r\n";
        sized(&format!("MSG_HEADER: FCTUID={UID_KNOWN}\n{lines}"))
    }

    fn register(bars: [&str; 2]) -> Vec<u8> {
        let system = "FCTOS=WIN64\nFCTVER=7.2.2.0864\nUSER=msfuser\nHOSTNAME=client\nFCT_SN=FCT8003173689730\n";
        let system = STANDARD.encode(system);
        let [before, behind] = bars;
        let lines = format!(
            "SIZE=     {{}}\r\n\nX-FCCK-REGISTER:SYSINFO{before}{system}{behind}\r\n\nX-FCCK-REGISTER-END\r\n\r\n"
        );
        sized(&format!("MSG_HEADER: FCTUID={UID_KNOWN}\n{lines}"))
    }

    const ANSWER: &[u8] = b"FCPROBERPLY: FGT|FCTEMS8823006072:202305081241mp6|FEATURE_BITMAP|7|EMSVER|7002004|\
        PROTO_VERSION|1.0.0|PERCON|0|\r\n";

    fn feed(side: Side, bytes: &[u8], last: bool, facts: &mut Facts) -> Progress {
        let prefix = Prefix { bytes, seen: Seen::default(), last, split: false };
        (PROTOCOL.parser)(Transport::Tcp).feed(side, prefix, facts)
    }

    fn all(side: Side, bytes: &[u8]) -> Vec<(&'static str, String)> {
        let mut facts = Facts::default();
        assert_eq!(feed(side, bytes, false, &mut facts), Progress::Done);
        facts.iter().map(|fact| (fact.field.name, fact.text())).collect()
    }

    fn expected(all: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        all.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    #[test]
    fn a_client_probes_and_registers() {
        let known = [("fortitelemetry.uid", UID_KNOWN), ("fortitelemetry.message", "X-FCCK-PROBE")];
        assert_eq!(all(Side::Source, &probe()), expected(&known));
        let known = [
            ("fortitelemetry.uid", UID_KNOWN),
            ("fortitelemetry.message", "X-FCCK-REGISTER"),
            ("fortitelemetry.version", "7.2.2.0864"),
            ("fortitelemetry.serial", "FCT8003173689730"),
        ];
        for bars in [["|", "|"], ["||", ""]] {
            assert_eq!(all(Side::Source, &register(bars)), expected(&known), "{bars:?}");
        }
    }

    #[test]
    fn a_server_answers() {
        let known = [
            ("fortitelemetry.message", "FCPROBERPLY"),
            ("fortitelemetry.serial", "FCTEMS8823006072"),
            ("fortitelemetry.version", "7.2.4"),
        ];
        assert_eq!(all(Side::Destination, ANSWER), expected(&known));
        let error = b"FCREGRPLY: REG|14|AUTHTYPE|2|AUTHLDAP|title|ERR_MSG|Authentication error|\r\n";
        assert_eq!(all(Side::Destination, error), expected(&[("fortitelemetry.message", "FCREGRPLY")]));
        assert_eq!(server_version(b"7000007").as_deref(), Some("7.0.7"));
    }

    #[test]
    fn a_cut_message_gives_nothing() {
        for (side, whole) in
            [(Side::Source, probe()), (Side::Source, register(["|", "|"])), (Side::Destination, ANSWER.to_vec())]
        {
            let line = whole.iter().position(|b| *b == b'\n').unwrap();
            let end = if side == Side::Source { whole.len() } else { line };
            for end in 13..end {
                let mut facts = Facts::default();
                let progress = feed(side, &whole[..end], false, &mut facts);
                assert!(matches!(progress, Progress::NeedBytes(more) if more > end), "{end} of {}", whole.len());
                feed(side, &whole[..end], true, &mut facts);
                assert!(facts.is_empty(), "{end} bytes");
            }
        }
    }

    #[test]
    fn damaged_messages() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let attack = text(probe()).replace("CBE8FC12", "'OR 1=1-");
        assert_eq!(all(Side::Source, attack.as_bytes()), expected(&[("fortitelemetry.message", "X-FCCK-PROBE")]));
        for (size, flag) in [("99999999", Flag::LimitReached), ("x", Flag::ParseError)] {
            let mut facts = Facts::default();
            let message = format!("MSG_HEADER: FCTUID={UID_KNOWN}\nSIZE={size}\n");
            assert_eq!(feed(Side::Source, message.as_bytes(), false, &mut facts), Progress::Done);
            assert_eq!((facts.len(), facts.flags.has(flag)), (0, true), "{size}");
        }
        let mut facts = Facts::default();
        let endless = [HEADER, &[b'A'; 600]].concat();
        assert_eq!(feed(Side::Source, &endless, false, &mut facts), Progress::Done);
    }

    #[test]
    fn claims_by_the_first_words() {
        for whole in [&probe()[..], ANSWER, b"FCKARPLY: CONT|1|\r\n"] {
            assert_eq!(claim(whole), Claim::Yes);
            for end in 1..10 {
                assert!(matches!(claim(&whole[..end]), Claim::NeedBytes(more) if more > end), "{end} bytes");
            }
        }
        for other in [&b"MSG_HEADER: FCTUIX="[..], b"FCP: x", b"GET / HTTP/1.1\r\n", b"FC\0\0"] {
            assert_eq!(claim(other), Claim::No);
        }
    }

    /// A message and an answer up to the limit are read; longer ones are not, and it is said.
    #[test]
    fn bytes_of_a_message() {
        let asked = |bytes: usize| {
            let start = format!("MSG_HEADER: FCTUID={UID_KNOWN}\nSIZE={bytes}\nX-FCCK-PROBE: x\n");
            format!("{start}{}", " ".repeat(bytes - start.len())).into_bytes()
        };
        let answered = |bytes: usize| [ANSWER.trim_ascii_end(), &vec![b' '; bytes - ANSWER.len() + 1], b"\n"].concat();
        for (bytes, limited) in [(MESSAGE_BYTES_MAX, false), (MESSAGE_BYTES_MAX + 1, true)] {
            for (side, message, wanted) in [(Side::Source, asked(bytes), 2), (Side::Destination, answered(bytes), 3)] {
                let mut facts = Facts::default();
                let mut there = 0;
                while let Progress::NeedBytes(more) = feed(side, &message[..there], false, &mut facts) {
                    assert!(there < message.len(), "{more} of {}", message.len());
                    there = more.min(message.len());
                }
                let expected = if limited { 0 } else { wanted };
                assert_eq!((facts.len(), facts.flags.has(Flag::LimitReached)), (expected, limited), "{bytes}");
                assert!(there <= MESSAGE_BYTES_MAX);
            }
        }
    }
}
