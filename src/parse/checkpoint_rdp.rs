//! Check Point's reliable datagram protocol, over UDP port 259.
//!
//! In: datagrams. Out: that it is there, and who sends it. Gateways probe each other's links and
//! entry points with it ("RDP probing"), remote access clients look for a gateway. It has nothing
//! in common with RFC 908 and RFC 1151, or with remote desktops. Only the four bytes at its start
//! are public (LibtraceTeam/libprotoident: lib/udp/lpi_checkpoint_rdp.cc), so it is taken for what
//! it is on its port alone.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::fact::{Facts, Field, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport, is_at};

/// The four bytes that begin each message; always the same.
pub static MAGIC: Field = Field::new(
    "checkpoint_rdp.magic",
    Kind::Hex,
    "first bytes of a Check Point RDP message, always f001cccc",
    "LibtraceTeam/libprotoident: lib/udp/lpi_checkpoint_rdp.cc",
);

/// Check Point RDP.
pub static PROTOCOL: Protocol = Protocol {
    name: "checkpoint-rdp",
    over: &[Transport::Udp],
    fields: &[&MAGIC],
    claim,
    embedded: false,
    parser: |_| Box::new(Rdp),
};

const PORT: u16 = 259;
const MAGIC_BYTES: &[u8] = &[0xf0, 0x01, 0xcc, 0xcc];

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let port = is_at(ports, &[PORT]);
    if bytes.starts_with(MAGIC_BYTES) && port { Claim::Yes } else { Claim::No }
}

struct Rdp;

impl Parser for Rdp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if prefix.bytes.starts_with(MAGIC_BYTES) {
            facts.add(&MAGIC, side, prefix.seen, MAGIC_BYTES);
        }
        // The other end shows what it is by its answer.
        let both = facts.of(&MAGIC).count() > 1;
        if both { Progress::AllDone } else { Progress::NeedBytes(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;
    use crate::parse::testing::udp;

    /// The four documented bytes; what follows is not public and stands for anything.
    const PROBE: &[u8] = b"\xf0\x01\xcc\xcc\0\0\0\x14\0\0\0\x01";

    fn feed(parser: &mut Box<dyn Parser>, side: Side, bytes: &[u8], facts: &mut Facts) -> Progress {
        parser.feed(side, Prefix { bytes, seen: Seen::default(), last: true, split: false }, facts)
    }

    #[test]
    fn both_ends_show_themselves() {
        assert_eq!(claim(&udp((33000, PORT), Side::Source, PROBE)), Claim::Yes);
        let mut parser = (PROTOCOL.parser)(Transport::Udp);
        let mut facts = Facts::default();
        assert_eq!(feed(&mut parser, Side::Source, PROBE, &mut facts), Progress::NeedBytes(0));
        assert_eq!(feed(&mut parser, Side::Destination, b"else", &mut facts), Progress::NeedBytes(0));
        assert_eq!(facts.first(&MAGIC).map(|fact| fact.side), Some(Side::Source));
        assert_eq!(feed(&mut parser, Side::Destination, PROBE, &mut facts), Progress::AllDone);
        assert_eq!(facts.first(&MAGIC).map(|fact| fact.text()).as_deref(), Some("f001cccc"));
        assert_eq!(facts.of(&MAGIC).count(), 2);
    }

    #[test]
    fn neither_the_port_nor_the_bytes_alone_are_enough() {
        assert_eq!(claim(&udp((33000, 3389), Side::Source, PROBE)), Claim::No);
        assert_eq!(claim(&udp((33000, PORT), Side::Source, &PROBE[1..])), Claim::No);
        assert_eq!(claim(&udp((33000, PORT), Side::Source, &PROBE[..3])), Claim::No);
        assert_eq!(claim(&udp((PORT, 33000), Side::Source, b"")), Claim::No);
    }
}
