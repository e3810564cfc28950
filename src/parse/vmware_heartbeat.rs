//! The heartbeat of ESXi hosts to vCenter, over UDP, usually port 902.
//!
//! In: datagrams. Out: the build number, which is the exact version of the hypervisor, and the
//! address the host has for itself. Layout as read by wireshark/wireshark:
//! packet-vmware-hb.c; the mark at the start from ntop/nDPI:
//! src/lib/protocols/vmware.c, which knows its first byte only. Numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | mark, begins with `a4` |
//! | 4 | build number |
//! | 4 | number of the host in vCenter |
//! | 1, n | host key, ASCII |
//! | 4 × 4 | counters |
//! | 1, n | IPv4 address as text |
//! | rest | signature |
//!
//! Not kept: the host key.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::net::Ipv4Addr;

use crate::bytes::Reader;
use crate::fact::{Facts, Field, Flag, Kind, Side};
use crate::parse::{Claim, Opening, Parser, Prefix, Progress, Protocol, Transport};

const SOURCE: &str = "wireshark/wireshark: packet-vmware-hb.c";

/// Build number of the hypervisor: 22380479 is ESXi 8.0 Update 2.
pub static BUILD: Field =
    Field::new("vmware.build", Kind::Number, "build number of an ESXi host, from its heartbeat", SOURCE);
/// Address of the host, as it tells vCenter.
pub static ADDRESS: Field =
    Field::new("vmware.address", Kind::Address, "address that an ESXi host gives in its heartbeat", SOURCE);

/// Heartbeat of ESXi hosts.
pub static PROTOCOL: Protocol = Protocol {
    name: "vmware-heartbeat",
    over: &[Transport::Udp],
    fields: &[&BUILD, &ADDRESS],
    claim: |&Opening { bytes, .. }| if heartbeat(bytes).is_some() { Claim::Yes } else { Claim::No },
    embedded: false,
    parser: |_| Box::new(Heartbeat),
};

const MARK: u8 = 0xa4;
/// ESXi 4.0 is build 164009; eight digits are enough for long.
const BUILDS: std::ops::RangeInclusive<u32> = 100_000..=99_999_999;
/// Bytes of the counters behind the host key.
const COUNTERS_BYTES: usize = 16;

/// Build number and address.
fn heartbeat(datagram: &[u8]) -> Option<(u32, Ipv4Addr)> {
    let mut reader = Reader::new(datagram);
    if reader.u8()? != MARK {
        return None;
    }
    let _rest_of_mark = reader.u24()?;
    let build = reader.u32()?.swap_bytes();
    if !BUILDS.contains(&build) {
        return None;
    }
    let _host = reader.u32()?;
    let key = reader.vec8()?;
    if !key.rest().iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let _counters = reader.take(COUNTERS_BYTES)?;
    let address = reader.vec8()?;
    let address = std::str::from_utf8(address.rest()).ok()?.parse().ok()?;
    Some((build, address))
}

struct Heartbeat;

impl Parser for Heartbeat {
    fn feed(&mut self, side: Side, prefix: Prefix<'_>, facts: &mut Facts) -> Progress {
        let Some((build, address)) = heartbeat(prefix.bytes) else {
            facts.flags.set(Flag::ParseError);
            return Progress::NeedBytes(0);
        };
        facts.add_number(&BUILD, side, prefix.seen, u64::from(build));
        facts.add(&ADDRESS, side, prefix.seen, &address.octets());
        // It says the same every few seconds.
        Progress::AllDone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Seen;
    use crate::parse::testing::udp;

    /// A heartbeat built from the documented layout, 66 bytes long as ntop/nDPI says.
    fn datagram(build: u32, key: &str, address: &str) -> Vec<u8> {
        let head = [&b"\xa4\0\0\0"[..], &build.to_le_bytes(), &7u32.to_le_bytes()].concat();
        let counted = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        [head, counted(key), vec![1; COUNTERS_BYTES], counted(address), vec![0xee; 20]].concat()
    }

    fn facts(bytes: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let prefix = Prefix { bytes, seen: Seen::default(), last: true, split: false };
        (PROTOCOL.parser)(Transport::Udp).feed(Side::Source, prefix, &mut facts);
        facts
    }

    fn claimed(bytes: &[u8]) -> bool {
        (PROTOCOL.claim)(&udp((40000, 902), Side::Source, bytes)) == Claim::Yes
    }

    #[test]
    fn a_heartbeat_tells_build_and_address() {
        let bytes = datagram(22_380_479, "hk03", "192.168.10.5");
        assert_eq!(bytes.len(), 66);
        assert!(claimed(&bytes));
        let facts = facts(&bytes);
        assert_eq!(facts.first(&BUILD).map(|fact| fact.text()).as_deref(), Some("22380479"));
        assert_eq!(facts.first(&ADDRESS).map(|fact| fact.text()).as_deref(), Some("192.168.10.5"));
        assert_eq!(facts.len(), 2, "the host key is not kept");
    }

    #[test]
    fn lengths_may_differ() {
        assert!(claimed(&datagram(164_009, "52cf8c64-9343-7cb7-d151-1bfc481bb7d5", "10.0.0.1")));
        assert!(claimed(&datagram(15_843_807, "", "172.16.100.200")));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let good = datagram(22_380_479, "hk03", "192.168.10.5");
        for cut in 0..good.len() - 20 {
            assert!(!claimed(&good[..cut]), "{cut} bytes");
        }
        let mut mark = good.clone();
        mark[0] = 0xa5;
        assert!(!claimed(&mark));
        assert!(!claimed(&datagram(99_999, "hk03", "192.168.10.5")));
        assert!(!claimed(&datagram(100_000_000, "hk03", "192.168.10.5")));
        assert!(!claimed(&datagram(22_380_479, "hk\n3", "192.168.10.5")));
        assert!(!claimed(&datagram(22_380_479, "hk03", "192.168.10")));
        assert!(!claimed(&datagram(22_380_479, "hk03", "192.168.10.500")));
        assert!(!claimed(&[0xa4; 66]));
    }

    #[test]
    fn a_damaged_heartbeat_adds_nothing() {
        let facts = facts(&datagram(22_380_479, "hk03", "nowhere"));
        assert_eq!(facts.len(), 0);
        assert!(facts.flags.has(Flag::ParseError));
    }
}
