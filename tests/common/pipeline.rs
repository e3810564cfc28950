//! From packets to flow records, through the library: decode and one worker, without files.

use bordertap::capture::{LinkType, Packet as Captured};
use bordertap::decode::{self, Segment};
use bordertap::fact::Field;
use bordertap::record::FlowRecord;
use bordertap::time::Time;
use bordertap::worker::Worker;

use super::packets::Packet;

const ETHERNET: LinkType = LinkType(1);
/// Enough for every test that does not test the budget.
const MEMORY: usize = 1 << 30;

/// The flows of these packets, with an ample budget.
pub fn flows(packets: &[Packet]) -> Vec<FlowRecord> {
    flows_within(packets, MEMORY).0
}

/// Packets as a source hands them over: their bytes in one piece, and what is known of each.
pub fn captured(packets: &[Packet]) -> (Vec<u8>, Vec<Captured>) {
    let mut bytes = Vec::with_capacity(packets.iter().map(|packet| packet.bytes.len()).sum());
    let mut captured = Vec::with_capacity(packets.len());
    for packet in packets {
        captured.push(Captured {
            time: Time(packet.time as i64),
            start: bytes.len(),
            captured: packet.bytes.len() as u32,
            original: packet.bytes.len() as u32,
            link: ETHERNET,
            interface: 0,
        });
        bytes.extend_from_slice(&packet.bytes);
    }
    (bytes, captured)
}

/// The flows of these packets within a budget of memory, and the flows that were evicted for it.
pub fn flows_within(packets: &[Packet], memory: usize) -> (Vec<FlowRecord>, u64) {
    let (bytes, captured) = captured(packets);
    let segments: Vec<Segment> =
        captured.iter().zip(1..).filter_map(|(p, number)| decode::decode(&bytes, p, number).ok()).collect();
    let mut worker = Worker::new(memory, Vec::new(), ());
    worker.take(&segments, &bytes);
    worker.finish();
    (worker.gather, worker.counters.evicted)
}

/// The values of a field in a flow as text, sorted.
pub fn texts(flow: &FlowRecord, field: &'static Field) -> Vec<String> {
    let mut all: Vec<String> = flow.facts.iter().filter(|f| f.field == field).map(|f| f.text()).collect();
    all.sort();
    all
}
