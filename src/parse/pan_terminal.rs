//! The Terminal Services agent of Palo Alto Networks: which ports each user of a terminal server has.
//!
//! In: the prefixes of both sides, usually port 5009. Out: what the agent says first: the range of
//! ports that it hands out.
//!
//! The vendor documents the port alone; the greeting is that of nmap/nmap: nmap-service-probes,
//! recorded from agent 7.0. A message is `PTA`, a version, a kind and a length, and words of four
//! bytes. Users are never kept.

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

const SOURCE: &str = "nmap/nmap: nmap-service-probes";

/// Lowest port that the agent hands out.
pub static FIRST_PORT: Field =
    Field::new("pan_terminal.first_port", Kind::Number, "lowest port of a PAN-OS Terminal Services agent", SOURCE);
/// Highest port that the agent hands out.
pub static LAST_PORT: Field =
    Field::new("pan_terminal.last_port", Kind::Number, "highest port of a PAN-OS Terminal Services agent", SOURCE);

/// PAN-OS Terminal Services agent.
pub static PROTOCOL: Protocol = Protocol {
    name: "pan-terminal",
    over: &[Transport::Tcp],
    fields: &[&FIRST_PORT, &LAST_PORT],
    claim: |&Opening { bytes, .. }| claim(bytes),
    embedded: false,
    parser: |_| Box::new(Terminal),
};

/// Name and version of the protocol, then the kind of message that tells the ports.
const START: &[u8] = &[b'P', b'T', b'A', 0, 0, 0, 3, 0, 0x20, 0, 0, 0];
/// Bytes up to the length, and with it.
const HEADER_BYTES: usize = 16;
/// Bytes of the message that tells the ports.
const PORTS_BYTES: usize = 36;

fn claim(bytes: &[u8]) -> Claim {
    if !START.iter().zip(bytes).all(|(a, b)| a == b) {
        return Claim::No;
    }
    match ports(bytes) {
        Some(Some(_)) => Claim::Yes,
        Some(None) => Claim::No,
        None => Claim::NeedBytes(HEADER_BYTES.saturating_add(PORTS_BYTES)),
    }
}

/// The range in a greeting; `None` as long as it is not whole, `Some(None)` when it is none.
fn ports(bytes: &[u8]) -> Option<Option<(u32, u32)>> {
    let mut reader = Reader::new(bytes);
    reader.take(START.len())?;
    if reader.u32()? as usize != PORTS_BYTES {
        return Some(None);
    }
    let mut words = reader.sub(PORTS_BYTES)?;
    let _unknown = words.u32()?;
    let (first, last) = (words.u32()?, words.u32()?);
    let range = (1..=last).contains(&first) && last <= u32::from(u16::MAX);
    Some(range.then_some((first, last)))
}

struct Terminal;

impl Parser for Terminal {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if let Claim::NeedBytes(bytes) = claim(prefix.bytes)
            && !prefix.last
        {
            return Progress::NeedBytes(bytes);
        }
        if prefix.bytes.starts_with(START)
            && let Some(Some((first, last))) = ports(prefix.bytes)
        {
            facts.add_number(&FIRST_PORT, side, prefix.seen, u64::from(first));
            facts.add_number(&LAST_PORT, side, prefix.seen, u64::from(last));
        }
        Progress::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;

    /// The greeting in nmap-service-probes.
    const GREETING: [u8; 52] = [
        0x50, 0x54, 0x41, 0x00, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x24, 0x00, 0x00,
        0x00, 0x0f, 0x00, 0x00, 0x4e, 0x20, 0x00, 0x00, 0x9c, 0x3f, 0x00, 0x00, 0x00, 0xc8, 0x00, 0x00, 0x07, 0xd0,
        0x00, 0x00, 0x00, 0x64, 0x00, 0x00, 0x4e, 0x20, 0x00, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn the_agent_tells_its_ports() {
        let mut facts = Facts::default();
        let mut parser = (PROTOCOL.parser)(Transport::Tcp);
        for end in 1..=GREETING.len() {
            let prefix = Prefix { bytes: &GREETING[..end], seen: Seen::default(), last: false, split: true };
            let progress = parser.feed(Side::Destination, prefix, &mut facts);
            let wanted = if end < GREETING.len() { Progress::NeedBytes(GREETING.len()) } else { Progress::Done };
            assert_eq!(progress, wanted, "{end} bytes");
        }
        assert_eq!(facts.first(&FIRST_PORT).unwrap().text(), "20000");
        assert_eq!(facts.first(&LAST_PORT).unwrap().text(), "39999");
    }

    #[test]
    fn claims_the_whole_greeting() {
        assert_eq!(claim(&GREETING), Claim::Yes);
        assert_eq!(claim(&[&GREETING[..], b"PTA\0"].concat()), Claim::Yes);
        for end in 1..GREETING.len() {
            assert_eq!(claim(&GREETING[..end]), Claim::NeedBytes(GREETING.len()), "{end} bytes");
        }
        for at in 0..HEADER_BYTES {
            let mut other = GREETING;
            other[at] ^= 0x10;
            assert_eq!(claim(&other), Claim::No, "byte {at}");
        }
        let mut backwards = GREETING;
        backwards[26] = 0;
        assert_eq!(claim(&backwards), Claim::No, "from 20000 to 63");
    }
}
