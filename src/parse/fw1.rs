//! How Check Point hosts greet each other before internal trust (SIC), and the topology service.
//!
//! In: both sides of a TCP flow. Out: the SIC names: the gateway and the management server it
//! belongs to, in clear, before anybody has logged in. A host begins with its version; the topology
//! service (port 264) then hears a length and `securemote`, and answers with its SIC name and the
//! names of the ways to authenticate. Numbers are big-endian, lengths count the closing NUL:
//!
//! | side | bytes |
//! |---|---|
//! | client | `51 00 00 00`, `00 00 00 21`, then length, name |
//! | server | `59 00 00 00`, then length, SIC name, count, count times: length, method |
//!
//! rapid7/metasploit-framework: modules/auxiliary/gather/checkpoint_hostname.rb and zmap/zgrab2:
//! modules/checkpoint for the topology service; nmap/nmap: nmap-service-probes for the greetings on
//! ports 256 and 257. What follows on other ports of internal trust is not public.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

const TOPOLOGY: &str = "zmap/zgrab2: modules/checkpoint";

/// First four bytes of a greeting: the version of the sender.
pub static VERSION: Field = Field::new(
    "fw1.version",
    Kind::Hex,
    "version in the greeting of a Check Point host, 51000000 or 41000000",
    "nmap/nmap: nmap-service-probes",
);
/// Distinguished name of a host in the internal trust of Check Point.
pub static SIC_NAME: Field =
    Field::new("fw1.sic_name", Kind::Text, "SIC name of a Check Point host, CN=gateway,O=management..xxxxxx", TOPOLOGY);
/// The CN of the SIC name.
pub static GATEWAY: Field = Field::new("fw1.gateway", Kind::Name, "name of a gateway, from its SIC name", TOPOLOGY);
/// The O of the SIC name without its random end.
pub static MANAGEMENT: Field =
    Field::new("fw1.management", Kind::Name, "name of the management server of a gateway, from its SIC name", TOPOLOGY);
/// Name of a way to authenticate, as `sslca` and `asym_sslca_comp`.
pub static METHOD: Field =
    Field::new("fw1.method", Kind::Text, "way to authenticate that a Check Point host offers", TOPOLOGY);

/// The greeting of Check Point hosts.
pub static PROTOCOL: Protocol = Protocol {
    name: "fw1",
    over: &[Transport::Tcp],
    fields: &[&VERSION, &SIC_NAME, &GATEWAY, &MANAGEMENT, &METHOD],
    claim,
    embedded: false,
    parser: |_| Box::new(Fw1 { shown: false }),
};

/// Gateway service, log service, topology service.
const PORTS: [u16; 3] = [256, 257, 264];
/// Greeting of the topology client; the second word is the same in all that is public.
const CLIENT: &[u8] = &[0x51, 0, 0, 0, 0, 0, 0, 0x21];
/// The topology service agrees.
const AGREED: &[u8] = b"Y\0\0\0";
/// How the log service writes its version: length and text.
const VERSION_TEXT: &[u8] = b"\0\0\0\x0951000000\0";
/// Bytes of a greeting in binary.
const GREETING_BYTES: usize = 8;
/// Bytes of an answer up to `CN=`, by which it is known without the question.
const ANSWER_KNOWN_BYTES: usize = 11;
/// Bytes of a SIC name with its NUL; longer ones are not believed.
pub const SIC_NAME_BYTES_MAX: u32 = 512;
/// Bytes of the name of a method with its NUL.
const METHOD_BYTES_MAX: u32 = 64;
/// Methods in a list.
const METHODS_MAX: u32 = 64;
/// The bytes behind the dots at the end of a SIC name.
const RANDOM_BYTES: usize = 6;

/// What a side said.
enum Said<'a> {
    /// A greeting with this version.
    Version([u8; 4]),
    /// The whole answer of the topology service.
    Answer(Answer<'a>),
    /// Maybe one of these, with this many bytes in all.
    Need(usize),
    /// Neither.
    Else,
}

struct Answer<'a> {
    name: &'a [u8],
    gateway: &'a [u8],
    management: &'a [u8],
    methods: Vec<&'a [u8]>,
}

fn claim(&Opening { ports, side, bytes, .. }: &Opening<'_>) -> Claim {
    let usual = is_at(ports, &PORTS);
    match (bytes.first(), bytes.get(1)) {
        (Some(0 | 0x41 | 0x51 | b'Y'), Some(0) | None) => {}
        (None, _) => return Claim::NeedBytes(1),
        _ => return Claim::No,
    }
    if bytes.starts_with(VERSION_TEXT) || bytes.starts_with(CLIENT) {
        return Claim::Yes;
    }
    if VERSION_TEXT.starts_with(bytes) {
        return Claim::NeedBytes(VERSION_TEXT.len());
    }
    let known = bytes.get(..ANSWER_KNOWN_BYTES).filter(|_| side == Side::Destination && bytes.starts_with(AGREED));
    match said(known.unwrap_or(bytes), side) {
        Said::Answer(_) => Claim::Yes,
        Said::Version(_) if usual => Claim::Yes,
        Said::Need(_) if known.is_some() => Claim::Yes,
        Said::Need(wanted) => Claim::NeedBytes(wanted),
        Said::Version(_) | Said::Else => Claim::No,
    }
}

fn said(bytes: &[u8], side: Side) -> Said<'_> {
    if bytes.starts_with(VERSION_TEXT) {
        return Said::Version([0x51, 0, 0, 0]);
    }
    if !bytes.is_empty() && VERSION_TEXT.starts_with(bytes) {
        return Said::Need(VERSION_TEXT.len());
    }
    if side == Side::Destination && (bytes.starts_with(AGREED) || AGREED.starts_with(bytes)) {
        return answer(bytes);
    }
    match bytes {
        [version @ (0x41 | 0x51), 0, 0, 0, 0, 0, 0, 1..=u8::MAX, ..] => Said::Version([*version, 0, 0, 0]),
        [0x41 | 0x51, zeros @ ..] if bytes.len() < GREETING_BYTES && zeros.iter().all(|zero| *zero == 0) => {
            Said::Need(GREETING_BYTES)
        }
        [] => Said::Need(1),
        _ => Said::Else,
    }
}

/// Text with its length before it and a NUL at its end; `Err` with the bytes it takes when cut.
fn text<'a>(reader: &mut Reader<'a>, bytes_max: u32) -> Result<&'a [u8], Option<usize>> {
    let length = reader.u32().ok_or(Some(4))?;
    if !(2..=bytes_max).contains(&length) {
        return Err(None);
    }
    let seen = reader.rest();
    let whole = reader.take(length as usize).ok_or(Some(length as usize));
    let start = whole.unwrap_or(seen);
    // A cut text shows that it is none before all of it is there.
    let end = if whole.is_ok() { start.len().saturating_sub(1) } else { start.len() };
    let printable = start.get(..end).unwrap_or_default().iter().all(|byte| (b' '..0x7f).contains(byte));
    if !printable || (whole.is_ok() && start.last() != Some(&0)) {
        return Err(None);
    }
    whole.map(|text| text.get(..end).unwrap_or_default())
}

fn answer(bytes: &[u8]) -> Said<'_> {
    let mut reader = Reader::new(bytes);
    if reader.take(AGREED.len()).is_none() {
        return Said::Need(ANSWER_KNOWN_BYTES);
    }
    match read_answer(&mut reader) {
        Ok(answer) => Said::Answer(answer),
        // The name shows at its beginning whether it is one.
        Err(Some(missing)) if bytes.get(8..).unwrap_or_default().starts_with(b"CN=") || bytes.len() < 11 => {
            Said::Need(bytes.len().saturating_sub(reader.left()).saturating_add(missing).max(ANSWER_KNOWN_BYTES))
        }
        Err(_) => Said::Else,
    }
}

fn read_answer<'a>(reader: &mut Reader<'a>) -> Result<Answer<'a>, Option<usize>> {
    let name = text(reader, SIC_NAME_BYTES_MAX)?;
    let (gateway, management) = names(name).ok_or(None)?;
    let count = reader.u32().ok_or(Some(4))?;
    if count > METHODS_MAX {
        return Err(None);
    }
    let mut methods = Vec::new();
    for _ in 0..count {
        methods.push(text(reader, METHOD_BYTES_MAX)?);
    }
    Ok(Answer { name, gateway, management, methods })
}

/// `CN=gateway,O=management..xxxxxx`: the gateway, and the management server. One dot stands before
/// the random end when the management server has a domain name.
fn names(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let comma = name.iter().position(|byte| *byte == b',')?;
    let (common, rest) = name.split_at_checked(comma)?;
    let gateway = common.strip_prefix(b"CN=")?;
    let organisation = rest.strip_prefix(b",O=")?;
    let (management, random) = organisation.split_at_checked(organisation.len().checked_sub(RANDOM_BYTES)?)?;
    let management = management.strip_suffix(b".")?;
    let management = management.strip_suffix(b".").unwrap_or(management);
    let plain = random.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let single = !management.contains(&b',') && !management.is_empty() && !gateway.is_empty();
    (plain && single).then_some((gateway, management))
}

struct Fw1 {
    /// A side has shown that it speaks this.
    shown: bool,
}

impl Parser for Fw1 {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        match said(prefix.bytes, side) {
            Said::Version(version) => {
                facts.add(&VERSION, side, prefix.seen, &version);
            }
            Said::Answer(answer) => {
                facts.add(&SIC_NAME, side, prefix.seen, answer.name);
                facts.add(&GATEWAY, side, prefix.seen, answer.gateway);
                facts.add(&MANAGEMENT, side, prefix.seen, answer.management);
                for method in answer.methods {
                    facts.add(&METHOD, side, prefix.seen, method);
                }
            }
            // The very next byte may show that it is something else: that must not depend on how the stream is cut.
            Said::Need(_) if !prefix.last => return Progress::NeedBytes(prefix.bytes.len().saturating_add(1)),
            Said::Need(_) => return Progress::Done,
            Said::Else if self.shown => facts.flags.set(Flag::ParseError),
            Said::Else => return Progress::NotMine,
        }
        self.shown = true;
        Progress::Done
    }
}

#[cfg(test)]
mod tests;
