//! Limits of what one worker gathers: at the limit nothing more is taken in, and every refusal is counted.
//!
//! In: flow records, made by the million, as an attacker makes flows. Out: lengths and counters.

use std::collections::BTreeMap;
use std::sync::Arc;

use bordertap::collect::{
    Collector, Desk, EDGES_MAX, EVIDENCE_MAX, GISTS_MAX, HOSTS_MAX, MACS_MAX, NAMED_ADDRESSES_MAX,
    NAMES_PER_ADDRESS_MAX, ROLLUPS_MAX, ROLLUPS_SILENT_MAX,
};
use bordertap::fact::{Facts, Seen, Side};
use bordertap::flow::key::Key;
use bordertap::parse::{dns, tls};
use bordertap::record::FlowRecord;
use bordertap::scan::Scan;
use bordertap::time::Time;
use bordertap::worker::{Gather, Told};

use crate::common::conversation::{Conversation, From};
use crate::common::packets::Endpoint;
use crate::common::pipeline::flows;

/// So many more than there is room for.
const MORE: u64 = 300;
const SEEN: Seen = Seen { time: Time(0), packet: 1 };

fn desk() -> Arc<Desk> {
    Arc::new(Desk::new(Scan::builtin().unwrap().judging))
}

/// A flow of TCP that says nothing, to be changed.
fn plain() -> FlowRecord {
    let client = Endpoint::new([2, 0, 0, 0, 0, 1], "10.1.1.1", 40_000);
    let server = Endpoint::new([2, 0, 0, 0, 0, 2], "192.0.2.80", 9999);
    let mut talk = Conversation::new(client, server, 1_790_000_000_000_000_000, 1000);
    talk.open().send(From::Client, &[0xee; 30]).send(From::Server, &[0xdd; 30]).close();
    FlowRecord { facts: Facts::default(), protocol: None, ..flows(&talk.packets()).remove(0) }
}

/// An address of ours and a hardware address, of their number.
fn host(n: u64) -> ([u8; 4], [u8; 6]) {
    let [.., a, b, c] = (n as u32).to_be_bytes();
    ([10, a, b, c], [2, 1, 0, a, b, c])
}

fn between(record: &mut FlowRecord, n: u64, port: u16) {
    let (address, mac) = host(n);
    let (key, low) = Key::v4(address, 40_000, [192, 0, 2, 80], port, 6);
    (record.key, record.opener_low) = (key, low);
    record.macs = Some([mac, [2, 0, 0, 0, 0, 2]]);
}

/// Every host is another one, with another hardware address, and is told another name: all that is kept by host is full at
/// the same moment, and no more is kept.
#[test]
fn hosts_hardware_addresses_names_and_sums_of_a_worker() {
    let rooms = [HOSTS_MAX, MACS_MAX, NAMED_ADDRESSES_MAX, ROLLUPS_MAX];
    let most = rooms[0];
    assert_eq!(rooms, [most; 4]);
    let mut collector = Collector::new(desk(), false);
    let mut record = FlowRecord { protocol: Some(dns::PROTOCOL.name), ..plain() };
    record.facts.add(&dns::RESOLVED, Side::Destination, SEEN, b"\x04\xc0\x00\x02\x01www.example.com");
    for n in 0..most as u64 + MORE {
        between(&mut record, n, 53);
        collector.add_flow(&record);
    }
    let (gathered, _) = collector.into_parts();
    assert_eq!((gathered.hosts.len(), gathered.names.len()), (most, most));
    assert_eq!(gathered.macs.len(), most);
    assert_eq!(gathered.rollups.iter().map(|rollups| rollups.len()).sum::<usize>(), most);
    let limits: BTreeMap<&str, u64> = gathered.limits.iter().map(|(name, count)| (*name, count.0)).collect();
    // The hardware address of the server takes the place of one.
    let expected = [("hosts.limit", MORE), ("macs.limit", MORE + 1), ("names.limit", MORE), ("rollup.limit", MORE)];
    assert_eq!(limits, BTreeMap::from(expected));
    assert_eq!(gathered.flows.0, most as u64 + MORE, "every flow is counted all the same");
}

/// Flows that nobody answered fill half of the room for sums; those that talked have the other half.
#[test]
fn sums_of_flows_in_which_a_side_was_silent() {
    let mut collector = Collector::new(desk(), false);
    let mut record = plain();
    record.payload = [false; 2];
    for n in 0..ROLLUPS_SILENT_MAX as u64 + MORE {
        between(&mut record, n, 9999);
        collector.add_flow(&record);
    }
    record.payload = [true; 2];
    for n in 0..MORE {
        between(&mut record, 1 << 22 | n, 9999);
        collector.add_flow(&record);
    }
    let (gathered, _) = collector.into_parts();
    let sums = gathered.rollups.iter().map(|rollups| rollups.len()).sum::<usize>();
    assert_eq!(sums, ROLLUPS_SILENT_MAX + MORE as usize);
    assert_eq!(gathered.limits["rollup.limit"].0, MORE);
}

/// Flows to ever other names: what they come to is numbered up to a limit, and names are kept in short form up to another.
#[test]
fn kinds_of_flows_of_a_worker() {
    let mut collector = Collector::new(desk(), false);
    let mut record = plain();
    for n in 0..GISTS_MAX as u64 + MORE {
        record.facts.clear();
        record.facts.add(&tls::SNI, Side::Source, SEEN, format!("n{n}.example").as_bytes());
        collector.add_flow(&record);
    }
    let (gathered, _) = collector.into_parts();
    assert_eq!(gathered.limits["gist.limit"].0, MORE);
    assert_eq!(gathered.rollups.iter().map(|rollups| rollups.len()).sum::<usize>(), GISTS_MAX);
}

/// One host shows ever other values that tell who it is.
#[test]
fn evidence_of_a_worker() {
    let mut collector = Collector::new(desk(), false);
    let mut record = plain();
    for n in 0..EVIDENCE_MAX as u64 + MORE {
        record.facts.clear();
        record.facts.add(
            &tls::X509_SUBJECT,
            Side::Source,
            SEEN,
            format!("CN=FGT{n:013},OU=FortiGate,O=Fortinet").as_bytes(),
        );
        collector.add_flow(&record);
    }
    let (gathered, _) = collector.into_parts();
    assert_eq!(gathered.evidence.len(), EVIDENCE_MAX);
    assert!(gathered.limits["evidence.limit"].0 >= MORE);
}

/// Many names of one address told to one client: the first are kept.
#[test]
fn names_of_an_address_told_to_a_client() {
    let mut collector = Collector::new(desk(), false);
    let mut record = FlowRecord { protocol: Some(dns::PROTOCOL.name), ..plain() };
    for n in 0..10 * NAMES_PER_ADDRESS_MAX {
        record.facts.clear();
        let value = [&b"\x04\xc0\x00\x02\x01"[..], format!("n{n:05}.example").as_bytes()].concat();
        record.facts.add(&dns::RESOLVED, Side::Destination, SEEN, &value);
        record.first = Time(n as i64);
        collector.add_flow(&record);
    }
    let (gathered, _) = collector.into_parts();
    let [names] = gathered.names.values().collect::<Vec<_>>()[..] else { panic!("{} addresses", gathered.names.len()) };
    let kept: Vec<&str> = names.iter().map(|(_, name)| &**name).collect();
    let expected: Vec<String> = (0..NAMES_PER_ADDRESS_MAX).map(|n| format!("n{n:05}.example")).collect();
    assert_eq!(kept, expected);
    assert!(names.had_more());
}

/// Flows at the edges of a capture are held back up to a limit; beyond it they count at once.
#[test]
fn flows_at_the_edges_of_a_capture() {
    let mut collector = Collector::holding(desk(), false);
    let mut record = plain();
    record.edges.closed = false;
    for n in 0..EDGES_MAX as u64 + MORE {
        between(&mut record, n, 9999);
        Gather::take(&mut collector, &record, 0, &Told::default());
    }
    assert_eq!(collector.take_held().len(), EDGES_MAX);
    let (gathered, _) = collector.into_parts();
    assert_eq!(gathered.limits["edges.limit"].0, MORE);
    assert_eq!(gathered.flows.0, MORE);
}
