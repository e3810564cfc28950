//! The cluster control protocol (CCP) of Check Point's ClusterXL, over UDP.
//!
//! In: datagrams, usually from and to port 8116. Out: which version the members speak, the number
//! of their cluster, which member sent, and what kind of message. The header is that of
//! wireshark/wireshark: packet-cpha.c. Bodies are not read: what is known of them
//! is twenty years older than the versions in use, and newer ones may be encrypted.

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

const SOURCE: &str = "wireshark/wireshark: packet-cpha.c";

/// Version of the protocol; grows with the release of the gateway.
pub static VERSION: Field = Field::new("ccp.version", Kind::Number, "version of a ClusterXL control message", SOURCE);
/// Number of the cluster.
pub static CLUSTER: Field = Field::new("ccp.cluster", Kind::Number, "number of a ClusterXL cluster", SOURCE);
/// Kind of message: 1 state report, 2 state query, 3 and 4 interface probe, 5 and 6 interface
/// configuration, 7 and 8 load balancing, 9 policy change, 10 state synchronisation.
pub static OPCODE: Field = Field::new("ccp.opcode", Kind::Number, "kind of a ClusterXL control message", SOURCE);
/// Number of the member that sent the message.
pub static MEMBER: Field =
    Field::new("ccp.member", Kind::Number, "number of the cluster member that sent a control message", SOURCE);

/// ClusterXL control.
pub static PROTOCOL: Protocol = Protocol {
    name: "ccp",
    over: &[Transport::Udp],
    fields: &[&VERSION, &CLUSTER, &OPCODE, &MEMBER],
    claim,
    embedded: false,
    parser: |_| Box::new(Ccp { datagrams: 0 }),
};

const PORT: u16 = 8116;
const MAGIC: u16 = 0x1a90;
/// Version of release 4.1, whose header lacks the number of the policy.
const VERSION_4_1: u16 = 1;
/// Kinds of message that are documented.
const OPCODE_MAX: u16 = 10;
/// Kinds of message that are believed on the usual port.
const OPCODE_ANY_MAX: u16 = 255;
/// Members of a cluster that are believed on another port.
const MEMBER_MAX: u16 = 255;
/// From here on a destination is not one member but all.
const MEMBER_ALL: u16 = 0xfffe;
/// Datagrams of a flow that are read. Members repeat themselves several times a second.
pub const DATAGRAMS_MAX: u32 = 64;

/// The header of a message.
struct Header {
    version: u16,
    cluster: u16,
    opcode: u16,
    member: u16,
    destination: u16,
}

fn header(datagram: &[u8]) -> Option<Header> {
    let mut reader = Reader::new(datagram);
    if reader.u16()? != MAGIC {
        return None;
    }
    let version = reader.u16()?;
    let cluster = reader.u16()?;
    let opcode = reader.u16()?;
    let _interface = reader.u16()?;
    let _random = reader.u16()?;
    let member = reader.u16()?;
    let destination = reader.u16()?;
    if version != VERSION_4_1 {
        let _policy_and_filler = reader.u32()?;
    }
    // 4.1, NG FP2, then three digits and more.
    let known = matches!(version, VERSION_4_1 | 6 | 530..=9999);
    let header = Header { version, cluster, opcode, member, destination };
    (known && (1..=OPCODE_ANY_MAX).contains(&opcode)).then_some(header)
}

fn claim(&Opening { ports, bytes, .. }: &Opening<'_>) -> Claim {
    let Some(header) = header(bytes) else { return Claim::No };
    let small = |number: u16| number <= MEMBER_MAX;
    let sure = header.opcode <= OPCODE_MAX
        && small(header.member)
        && (small(header.destination) || header.destination >= MEMBER_ALL);
    match ports {
        (PORT, PORT) => Claim::Yes,
        (from, to) if from == to && sure => Claim::Yes,
        _ => Claim::No,
    }
}

struct Ccp {
    datagrams: u32,
}

impl Parser for Ccp {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        if had_enough(&mut self.datagrams, DATAGRAMS_MAX, facts) {
            return Progress::AllDone;
        }
        match header(prefix.bytes) {
            Some(header) => {
                facts.add_number(&VERSION, side, prefix.seen, u64::from(header.version));
                facts.add_number(&CLUSTER, side, prefix.seen, u64::from(header.cluster));
                facts.add_number(&OPCODE, side, prefix.seen, u64::from(header.opcode));
                facts.add_number(&MEMBER, side, prefix.seen, u64::from(header.member));
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
    use crate::parse::testing::udp;

    /// A message built from the layout in packet-cpha.c, with the version of "NG with Application
    /// Intelligence": a state report of member 1 to all, its body left out.
    const REPORT: [u16; 10] = [0x1a90, 541, 2001, 1, 3, 777, 1, 65534, 4242, 0];

    fn bytes(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn with(at: usize, value: u16) -> Vec<u8> {
        let mut words = REPORT;
        words[at] = value;
        bytes(&words)
    }

    fn facts(datagram: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes: datagram, seen: Seen::default(), last: true, split: false };
        let progress = (PROTOCOL.parser)(Transport::Udp).feed(Side::Source, prefix, &mut facts);
        assert_eq!(progress, Progress::NeedBytes(0));
        facts
    }

    #[test]
    fn a_state_report_tells_version_cluster_and_member() {
        let report = bytes(&REPORT);
        assert_eq!(claim(&udp((PORT, PORT), Side::Source, &report)), Claim::Yes);
        let facts = facts(&report);
        let value = |field| facts.first(field).map(|fact| fact.text());
        assert_eq!(value(&VERSION).as_deref(), Some("541"));
        assert_eq!(value(&CLUSTER).as_deref(), Some("2001"));
        assert_eq!(value(&OPCODE).as_deref(), Some("1"));
        assert_eq!(value(&MEMBER).as_deref(), Some("1"));
    }

    #[test]
    fn the_header_of_4_1_is_shorter() {
        let short = bytes(&REPORT[..8]);
        assert_eq!(claim(&udp((PORT, PORT), Side::Source, &short)), Claim::No);
        let mut old = REPORT;
        old[1] = VERSION_4_1;
        assert_eq!(claim(&udp((PORT, PORT), Side::Source, &bytes(&old[..8]))), Claim::Yes);
    }

    #[test]
    fn other_datagrams_are_refused_on_any_port() {
        for ports in [(PORT, PORT), (40000, PORT), (9000, 9000)] {
            assert_eq!(claim(&udp(ports, Side::Source, &with(0, 0x1a91))), Claim::No);
            assert_eq!(claim(&udp(ports, Side::Source, &with(1, 17))), Claim::No);
            assert_eq!(claim(&udp(ports, Side::Source, &with(3, 0))), Claim::No);
            assert_eq!(claim(&udp(ports, Side::Source, &with(3, 256))), Claim::No);
            for cut in 0..20 {
                assert_eq!(claim(&udp(ports, Side::Source, &bytes(&REPORT)[..cut])), Claim::No);
            }
        }
    }

    #[test]
    fn another_port_takes_more_to_believe() {
        assert_eq!(claim(&udp((9000, 9000), Side::Source, &bytes(&REPORT))), Claim::Yes);
        assert_eq!(claim(&udp((9000, 9001), Side::Source, &bytes(&REPORT))), Claim::No);
        assert_eq!(claim(&udp((9000, 9000), Side::Source, &with(3, 11))), Claim::No);
        assert_eq!(claim(&udp((9000, 9000), Side::Source, &with(6, 256))), Claim::No);
        assert_eq!(claim(&udp((9000, 9000), Side::Source, &with(7, 300))), Claim::No);
        assert_eq!(claim(&udp((PORT, PORT), Side::Source, &with(3, 11))), Claim::Yes);
    }

    #[test]
    fn a_damaged_datagram_adds_nothing() {
        let facts = facts(&bytes(&REPORT)[..19]);
        assert_eq!(facts.len(), 0);
        assert!(facts.flags.has(Flag::ParseError));
    }

    #[test]
    fn a_long_flow_is_let_go() {
        let report = bytes(&REPORT);
        let mut parser = (PROTOCOL.parser)(Transport::Udp);
        let mut facts = Facts::default();
        let prefix = Prefix { bytes: &report, seen: Seen::default(), last: true, split: false };
        for _ in 0..DATAGRAMS_MAX {
            assert_eq!(parser.feed(Side::Source, prefix, &mut facts), Progress::NeedBytes(0));
        }
        assert!(!facts.flags.has(Flag::LimitReached));
        assert_eq!(parser.feed(Side::Source, prefix, &mut facts), Progress::AllDone);
        assert!(facts.flags.has(Flag::LimitReached));
    }
}
