//! Flows that may go on in the capture before or after: kept as records, so that a flow that was cut in two is one again
//! when the reports of both captures are merged.
//!
//! In: flows as they end. Out: those near the first or the last moment of all that was read, and for two records of one
//! flow the record that it would have been. What a parser reads from bytes on both sides of a cut stays unread: no payload
//! is kept.

use std::sync::Arc;

use super::{Collector, Desk, Gathered};
use crate::fact::{Facts, Flag, Seen, Side};
use crate::flow::expiry::{OTHER_IDLE_SECONDS, TCP_IDLE_SECONDS, is_over};
use crate::flow::key::{Key, protocol};
use crate::merge::{Map, Merge, Span};
use crate::record::FlowRecord;
use crate::record::spool::Spool;
use crate::time::{SECOND, Time};

/// Flows that one worker holds back; of more it is not known whether they go on elsewhere.
pub const EDGES_MAX: usize = 1 << 16;

/// Flows of one worker that are held back until all was read.
#[derive(Default)]
pub(super) struct Held {
    records: Vec<FlowRecord>,
    span: Span,
}

impl Held {
    /// Holds a flow back when it may be at an edge; whether it did. What was read so far tells less than all will, so it
    /// may be too many.
    pub(super) fn hold(&mut self, record: &FlowRecord) -> Result<bool, Full> {
        self.look(record);
        if !is_at_edge(record, self.span) {
            return Ok(false);
        }
        if self.records.len() >= EDGES_MAX {
            return Err(Full);
        }
        self.records.push(record.clone());
        Ok(true)
    }

    /// A flow was seen until then.
    pub(super) fn look(&mut self, record: &FlowRecord) {
        self.span.merge(Span::of(record.first, record.last));
    }

    pub(super) fn into_records(self) -> Vec<FlowRecord> {
        self.records
    }
}

/// There is no room.
pub(super) struct Full;

/// Whether a flow may have begun before, or may go on after, what was read.
pub fn is_at_edge(record: &FlowRecord, span: Span) -> bool {
    !is_over(record.key.protocol(), record.edges.closed, record.last, span.last) || may_go_on_from(record, span.first)
}

/// Whether it may be the rest of a flow that was cut at this moment.
fn may_go_on_from(record: &FlowRecord, start: Time) -> bool {
    let (begins, idle) = match record.key.protocol() {
        protocol::TCP => (record.edges.opened, TCP_IDLE_SECONDS),
        _ => (false, OTHER_IDLE_SECONDS),
    };
    !begins && record.first.since(start) <= idle * SECOND
}

/// Judges flows that were held back: first those that are at no edge of all that was read, then, after `between` has seen
/// the sums without them, the others too.
pub fn judge_held<T>(
    held: Vec<FlowRecord>,
    gathered: &mut Gathered,
    desk: &Arc<Desk>,
    keep_flows: bool,
    between: impl FnOnce(&Gathered, &[FlowRecord]) -> T,
) -> (T, Vec<Spool>) {
    let mut span = gathered.span;
    held.iter().for_each(|record| span.merge(Span::of(record.first, record.last)));
    let (mut edges, inner): (Vec<_>, Vec<_>) = held.into_iter().partition(|record| is_at_edge(record, span));
    edges.sort_by_key(|record| (record.first, record.number, record.key));
    let mut spools = Vec::new();
    let mut add = |records: &[FlowRecord], gathered: &mut Gathered| {
        let mut collector = Collector::new(desk.clone(), keep_flows);
        records.iter().for_each(|record| collector.add_flow(record));
        let (part, spool) = collector.into_parts();
        gathered.merge(part);
        spools.extend(spool);
    };
    add(&inner, gathered);
    let seen = between(gathered, &edges);
    add(&edges, gathered);
    (seen, spools)
}

/// Puts flows of several captures together, in the order in which the captures are read.
#[derive(Default)]
pub struct Joiner {
    /// The last record of every key, and the capture it is of.
    open: Map<Key, (usize, FlowRecord)>,
    over: Vec<FlowRecord>,
    /// Flows that went on in another capture.
    pub joined: u64,
}

impl Joiner {
    /// Takes the flows at the edges of the next capture; packets are numbered on from `packets`.
    pub fn add(&mut self, capture: usize, mut records: Vec<FlowRecord>, packets: u64) {
        records.sort_by_key(|record| (record.first, record.number));
        for mut record in records {
            renumber(&mut record, packets);
            let key = record.key;
            let record = match self.open.remove(&key) {
                Some((earlier, before)) if earlier != capture && goes_on(&before, &record) => {
                    self.joined += 1;
                    one(before, &record)
                }
                Some((_, before)) => {
                    self.over.push(before);
                    record
                }
                None => record,
            };
            self.open.insert(key, (capture, record));
        }
    }

    /// All flows, by their first packet.
    pub fn into_records(self) -> Vec<FlowRecord> {
        let mut records = self.over;
        records.extend(self.open.into_values().map(|(_, record)| record));
        records.sort_by_key(|record| (record.first, record.number, record.key));
        records
    }
}

/// Whether the second record is of the same flow as the first.
fn goes_on(before: &FlowRecord, record: &FlowRecord) -> bool {
    let anew = record.edges.opened && (before.edges.closed || before.payload.contains(&true));
    !anew && !is_over(before.key.protocol(), before.edges.closed, before.last, record.first)
}

fn renumber(record: &mut FlowRecord, packets: u64) {
    if packets == 0 {
        return;
    }
    record.number = record.number.saturating_add(packets);
    let mut facts = Facts::from(record.facts.flags);
    for fact in record.facts.iter() {
        let seen = Seen { packet: fact.seen.packet.saturating_add(packets), ..fact.seen };
        facts.add(fact.field, fact.side, seen, fact.value);
    }
    record.facts = facts;
}

/// Both records as one.
fn one(mut flow: FlowRecord, rest: &FlowRecord) -> FlowRecord {
    // Who opened it is best known where it began.
    let turned = flow.opener_low != rest.opener_low;
    let side = |side: Side| if turned { side.other() } else { side };
    for here in [Side::Source, Side::Destination] {
        let (i, there) = (here.index(), side(here).index());
        flow.packets[i] = flow.packets[i].saturating_add(rest.packets[there]);
        flow.bytes[i] = flow.bytes[i].saturating_add(rest.bytes[there]);
        flow.missing[i] = flow.missing[i].saturating_add(rest.missing[there]);
        let more = if flow.key.protocol() == protocol::TCP { rest.edges.data[there] } else { rest.payload[there] };
        flow.more[i] |= rest.more[there] || flow.edges.done && more;
        flow.payload[i] |= rest.payload[there];
        flow.edges.fin[i] |= rest.edges.fin[there];
        flow.edges.data[i] |= !flow.edges.done && rest.edges.data[there];
    }
    flow.first = flow.first.min(rest.first);
    flow.last = flow.last.max(rest.last);
    flow.edges.closed |= rest.edges.closed || flow.edges.fin == [true; 2];
    take_facts(&mut flow, rest, side);
    flow.finish();
    flow
}

/// Flags of the packets of a flow, whoever reads it.
const OF_PACKETS: [Flag; 4] = [Flag::Evicted, Flag::Fragmented, Flag::FragConflict, Flag::Truncated];

/// What the rest shows. Of a flow that was read to the end nothing more would have been read.
fn take_facts(flow: &mut FlowRecord, rest: &FlowRecord, side: impl Fn(Side) -> Side) {
    let facts = &mut flow.facts;
    facts.flags.clear(Flag::OneSided);
    let flags = rest.facts.flags;
    OF_PACKETS.into_iter().filter(|&flag| flags.has(flag)).for_each(|flag| facts.flags.set(flag));
    if flow.edges.done {
        return;
    }
    let midstream = facts.flags.has(Flag::Midstream);
    facts.flags.0 |= flags.0;
    facts.flags.clear(Flag::OneSided);
    if !midstream {
        facts.flags.clear(Flag::Midstream);
    }
    for fact in rest.facts.iter() {
        facts.add(fact.field, side(fact.side), fact.seen, fact.value);
    }
    flow.edges.done |= rest.edges.done;
    flow.protocol = flow.protocol.or(rest.protocol);
}
