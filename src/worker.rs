//! One worker: segments in, ended flows out. Workers share nothing.
//!
//! In: the segments of one shard, in capture order. Out: a [`FlowRecord`] for every flow, when it
//! ends. Once the parsers of a flow are done, a packet costs one probe and one line of state.

mod cold;
mod long;
mod ration;
mod reading;
mod sequence;

use crate::decode::{Fragmented, Segment, tcp};
use crate::fact::{Facts, Flag, Side};
use crate::flow::key::protocol;
use crate::flow::table::{Found, Hot, Rest, Table, state};
use crate::parse::{self, Opening, Transport, tls};
use crate::record::{Edges, FlowRecord};
use crate::watch::{Stage, Watch};
use cold::{Cold, Spare};
use long::Long;
use ration::Ration;
use reading::{Numbers, Payload, Verdict};
use sequence::{Lost, begins, follow, is_behind};

pub use long::{TELL_SECONDS, Told};
pub use ration::{FLOWS_PER_SECOND_MAX, FLOWS_PER_SHARE_MAX};
pub use sequence::is_data;

/// Takes the flows of one worker.
pub trait Gather: Send {
    /// All that a flow says was read. Its sums are those so far.
    fn judge(&mut self, record: &FlowRecord) -> Judged;

    /// A flow ended; it was judged to be this, and so much was told of it before. Of one that is settled the facts are
    /// gone.
    fn take(&mut self, record: &FlowRecord, gist: u32, before: &Told);

    /// A flow of this gist showed these facts too, which contradict what it was judged by: its gist from here on.
    fn contradicted(&mut self, gist: u32, _told: &Facts) -> u32 {
        gist
    }

    /// A flow goes on; it carried this so far.
    fn tell(&mut self, _record: &FlowRecord, _gist: u32, _before: &Told) {}
}

/// What became of a flow that was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// What it comes to, in numbers of whoever judged.
    pub gist: u32,
    /// A signature matched.
    pub matched: bool,
    /// Its facts are not needed again.
    pub settled: bool,
}

impl Gather for Vec<FlowRecord> {
    fn judge(&mut self, _: &FlowRecord) -> Judged {
        Judged::default()
    }

    fn take(&mut self, record: &FlowRecord, _: u32, _: &Told) {
        self.push(record.clone());
    }
}

/// Segments whose flows are looked up together, so that their memory fetches overlap.
const LOOKAHEAD: usize = 64;

/// Flows handed over together when the source is at its end.
const FINISHED_TOGETHER: usize = 16;

/// What a worker counts beside its flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Segments that became part of a flow.
    pub segments: u64,
    /// Flows that were given up because memory ran out.
    pub evicted: u64,
    /// Flows of a costly protocol that were not read because too many began at once.
    pub unread: u64,
    /// Payload that was skipped over or acknowledged and never came by.
    pub missing_bytes: u64,
    /// TCP payload bytes seen.
    pub tcp_payload_bytes: u64,
}

/// The flows of one shard.
pub struct Worker<G, W = ()> {
    table: Table<Cold>,
    memory: usize,
    cold_bytes: usize,
    spare: Spare,
    long: Long,
    ration: Ration,
    hashes: Vec<(u64, Option<u32>)>,
    /// What it counted.
    pub counters: Counters,
    /// Takes the flows that end.
    pub gather: G,
    /// Watches the work.
    pub watch: W,
}

impl<G: Gather, W: Watch> Worker<G, W> {
    /// A worker that keeps at most about `memory` bytes of flow state.
    pub fn new(memory: usize, gather: G, watch: W) -> Worker<G, W> {
        Worker {
            table: Table::new(),
            memory,
            cold_bytes: 0,
            spare: Spare::default(),
            long: Long::default(),
            ration: Ration::default(),
            hashes: Vec::with_capacity(LOOKAHEAD),
            counters: Counters::default(),
            gather,
            watch,
        }
    }

    /// Takes segments whose offsets point into `bytes`. Flows that ended go to [`Worker::gather`].
    pub fn take(&mut self, segments: &[Segment], bytes: &[u8]) {
        for batch in segments.chunks(LOOKAHEAD) {
            let mut hashes = std::mem::take(&mut self.hashes);
            hashes.clear();
            for segment in batch {
                let hash = self.table.hash(&segment.key);
                hashes.push((hash, self.table.guess(hash)));
            }
            for (segment, (_, guess)) in batch.iter().zip(&mut hashes) {
                *guess = guess.filter(|&id| self.table.is(id, &segment.key));
            }
            let removed = self.table.removed();
            for (segment, &(hash, guess)) in batch.iter().zip(&hashes) {
                // The guess was right a moment ago; a flow that ended since has lost its key.
                let same = |&id: &u32| self.table.removed() == removed || self.table.is(id, &segment.key);
                let known = guess.filter(same);
                self.segment(segment, hash, known, bytes);
            }
            self.hashes = hashes;
        }
    }

    /// The source is over: every flow ends.
    pub fn finish(&mut self) {
        let ids: Vec<u32> = self.table.ids().collect();
        for batch in ids.chunks(FINISHED_TOGETHER) {
            // Flows at rest lie far apart: what is looked at together is fetched together.
            let first_bytes = batch.iter().filter_map(|&id| self.table.cold(id)?.facts.packed().first());
            std::hint::black_box(first_bytes.fold(0, |sum: u8, byte| sum ^ byte));
            for &id in batch {
                self.hand_over(id);
            }
        }
        self.table = Table::new();
    }

    /// Bytes of flow state, about.
    pub fn heap_bytes(&self) -> usize {
        self.table.heap_bytes() + self.cold_bytes
    }

    /// Flows open now.
    pub fn open_flows(&self) -> usize {
        self.table.len()
    }

    #[inline]
    fn segment(&mut self, segment: &Segment, hash: u64, known: Option<u32>, bytes: &[u8]) {
        self.counters.segments += 1;
        let proto = segment.key.protocol();
        let found = known.map_or_else(|| self.table.find_or_insert(&segment.key, hash), Found::Old);
        let id = match found {
            Found::New(id) => {
                self.begin(id, segment, bytes);
                id
            }
            Found::Old(id) if self.table.is_over(id, proto, segment.time) || self.starts_anew(id, segment) => {
                self.end(id);
                let (Found::New(id) | Found::Old(id)) = self.table.find_or_insert(&segment.key, hash);
                self.begin(id, segment, bytes);
                id
            }
            Found::Old(id) => id,
        };
        let hot = self.table.hot_mut(id);
        let side = hot.side(segment.from_low);
        let s = side.index();
        hot.last = hot.last.max(segment.time);
        hot.bytes[s] += u64::from(segment.ip_bytes);
        let (packets, overflow) = hot.packets[s].overflowing_add(1);
        hot.packets[s] = packets;
        if segment.payload_cut > 0 {
            hot.state |= state::CUT;
        }
        if segment.fragments != Fragmented::No {
            note_fragments(hot, s, segment);
        }
        let done = hot.is(state::DONE);
        if overflow {
            let high = &mut self.table.rest_mut(id).packets_high[s];
            *high = high.saturating_add(1);
        }
        if proto == protocol::TCP {
            self.tcp(id, side, segment, bytes);
        } else if !done {
            self.datagram(id, side, segment, bytes);
        } else if segment.payload_len + segment.payload_cut > 0 {
            self.table.hot_mut(id).state |= state::MORE[s] | state::PAYLOAD[s];
        }
    }

    /// A first packet: who opened the flow, and what is only needed at its end.
    fn begin(&mut self, id: u32, segment: &Segment, bytes: &[u8]) {
        let is_tcp = segment.key.protocol() == protocol::TCP;
        let (_, from_port) = segment.key.endpoint(segment.from_low);
        let (_, to_port) = segment.key.endpoint(!segment.from_low);
        let syn = is_tcp && segment.tcp_flags & tcp::SYN != 0;
        let sender_opens = match (syn, segment.tcp_flags & tcp::ACK != 0) {
            (true, ack) => !ack,
            // Nobody answers a frame.
            (false, _) if segment.key.is_frame() => true,
            // Somebody who sends from a service's port answers; otherwise the first to speak asks.
            (false, _) => !(from_port < 1024 && to_port >= 1024),
        };
        let hot = self.table.hot_mut(id);
        hot.last = segment.time;
        hot.state = 0;
        if sender_opens == segment.from_low {
            hot.state |= state::OPENER_LOW;
        }
        if is_tcp && !syn {
            hot.state |= state::MIDSTREAM;
        }
        let macs = segment.macs.and_then(|at| bytes.get(at..at + 12)).map(|both| {
            let (mut to, mut from) = ([0; 6], [0; 6]);
            to.copy_from_slice(&both[..6]);
            from.copy_from_slice(&both[6..]);
            if sender_opens { [from, to] } else { [to, from] }
        });
        *self.table.rest_mut(id) = Rest {
            first: segment.time,
            number: segment.number,
            packets_high: [0; 2],
            missing: [0; 2],
            macs,
            vlan: segment.vlan.into(),
            tunnels: segment.tunnels,
        };
        if self.heap_bytes() > self.memory {
            self.evict(id);
        }
    }

    /// Memory ran out: a flow that carried little and was quiet for long goes, but never the newest.
    #[cold]
    fn evict(&mut self, newest: u32) {
        while self.table.len() > 1 && self.heap_bytes() > self.memory {
            let Some(id) = self.table.least_near_hand(newest) else { return };
            self.table.hot_mut(id).state |= state::EVICTED;
            self.counters.evicted += 1;
            self.end(id);
            // A freed number is used again, so one flow for one flow keeps the table as it is.
            if self.cold_bytes == 0 || self.table.heap_bytes() > self.memory {
                return;
            }
        }
    }

    /// A SYN that cannot belong to the flow that has its key.
    fn starts_anew(&self, id: u32, segment: &Segment) -> bool {
        if segment.key.protocol() != protocol::TCP || segment.tcp_flags & (tcp::SYN | tcp::ACK) != tcp::SYN {
            return false;
        }
        let hot = self.table.hot(id);
        if hot.is(state::CLOSED) {
            return true;
        }
        let s = hot.side(segment.from_low).index();
        let far = segment.seq.wrapping_add(1).wrapping_sub(hot.next_seq[s]) as i32;
        // Payload was exchanged and this number is ahead of all of it, or far behind: not a repetition.
        let elsewhere = !(-sequence::REPEATED_WITHIN..=0).contains(&far);
        // While it is read such a SYN is nothing that the other side would take, after it agreed to where it begins.
        let read = hot.is(state::AGREED[s]) && !hot.is(state::DONE | state::FIN[s]);
        hot.is(state::PAYLOAD[s]) && hot.is(state::SEQ[s]) && elsewhere && !read
    }

    #[inline]
    fn tcp(&mut self, id: u32, side: Side, segment: &Segment, bytes: &[u8]) {
        let s = side.index();
        let flags = segment.tcp_flags;
        let payload_len = segment.payload_len + segment.payload_cut;
        let syn = flags & tcp::SYN != 0;
        let first_byte = segment.seq.wrapping_add(u32::from(syn));
        let hot = self.table.hot_mut(id);
        let done = hot.is(state::DONE);
        let mut start_known = None;
        self.counters.tcp_payload_bytes += u64::from(payload_len);
        if syn {
            if !begins(hot, s, segment, first_byte) {
                return;
            }
            start_known = (payload_len > 0).then_some(first_byte);
        } else if hot.is(state::SYN[s]) && !hot.is(state::PAYLOAD[s]) {
            start_known = Some(hot.next_seq[s]);
        } else if hot.is(state::TWO_STARTS[s]) && !hot.is(state::PAYLOAD[s]) {
            hot.next_seq[s] = first_byte;
        }
        let again = is_behind(hot, s, first_byte);
        let lost = match flags & tcp::RST {
            0 => follow(hot, s, segment, first_byte, payload_len),
            _ => Lost::default(),
        };
        if payload_len > 0 {
            hot.state |= state::PAYLOAD[s];
            if done && !hot.is(state::MORE[s]) && is_data(Payload::of(segment, side, bytes).bytes, payload_len) {
                hot.state |= state::MORE[s];
            }
        }
        if flags & tcp::FIN != 0 {
            hot.state |= state::FIN[s];
        }
        if flags & tcp::RST != 0 || hot.state & state::FIN[0] != 0 && hot.state & state::FIN[1] != 0 {
            hot.state |= state::CLOSED;
        }
        let two_starts = hot.is(state::TWO_STARTS[s]);
        if lost != Lost::default() {
            lost.note(&mut self.table.rest_mut(id).missing, s);
            if done && lost.is_repeated() {
                self.repeated(id, side, segment, bytes);
            }
        }
        if syn
            && !two_starts
            && let Some(reading) = self.table.cold_mut(id).and_then(|c| c.reading.as_mut())
        {
            reading.anchor(side, first_byte);
        }
        if payload_len > 0 && !done {
            let payload = Payload::of(segment, side, bytes);
            if is_data(payload.bytes, payload_len) {
                self.table.hot_mut(id).state |= state::DATA[s];
            }
            if segment.urgent > 0 {
                self.urgent(id, side, first_byte, segment);
            }
            self.read(id, payload, Numbers { start: start_known, seq: first_byte }, again);
        }
    }

    /// Payload of a TCP flow that is still being read. `again`: it begins before the end of what was there of its side.
    fn read(&mut self, id: u32, payload: Payload<'_>, numbers: Numbers, again: bool) {
        let (side, ports) = (payload.side, self.ports(id));
        if self.table.hot(id).is(state::REFUSED[side.index()]) {
            if !self.begins_late(id, payload, numbers.seq, ports) {
                return;
            }
            // What was nobody's is forgotten, and another copy of it is somebody's.
            if let Some(cold) = self.table.cold_mut(id).filter(|_| again) {
                cold.facts.flags.set(Flag::OverlapConflict);
            }
        }
        // Most flows that nobody reads are known by their first bytes: no memory for them.
        let first_bytes = self.table.cold(id).is_none() && numbers.start == Some(numbers.seq);
        let opening = Opening::new(Transport::Tcp, ports, side, payload.bytes);
        if first_bytes && parse::nobody_claims(&opening) {
            return self.refuse(id, side);
        }
        let cold = self.table.attach(id);
        let before = cold.heap_bytes();
        self.spare.lend(cold);
        let Some(reading) = &mut cold.reading else { return };
        self.watch.lap(Stage::Flow);
        let verdict = reading.tcp(payload, numbers, ports, &mut cold.facts);
        if verdict == Verdict::Done {
            reading.read_otherwise(ports, &mut cold.facts);
        }
        self.watch.lap(Stage::Parse);
        cold.protocol = reading.protocol_name();
        let after = cold.heap_bytes();
        self.cold_bytes = (self.cold_bytes + after).saturating_sub(before);
        match verdict {
            Verdict::Done => self.settle(id),
            Verdict::Refused => {
                self.refuse(id, side);
                // The bytes so far were nobody's; a protocol may begin with this very segment.
                if numbers.start.is_none() && reading::late_claim(ports, side, payload.bytes).is_some() {
                    self.read(id, payload, numbers, false);
                }
            }
            Verdict::Reading => {}
        }
    }

    /// A byte of a segment that will be read is urgent: the one before that which the pointer names, as all systems do it
    /// (RFC 6093, section 3.1).
    #[cold]
    fn urgent(&mut self, id: u32, side: Side, first_byte: u32, segment: &Segment) {
        let offset = u32::from(segment.urgent) - 1;
        if offset >= segment.payload_len || self.table.hot(id).is(state::REFUSED[side.index()]) {
            return;
        }
        let cold = self.table.attach(id);
        let before = cold.heap_bytes();
        self.spare.lend(cold);
        if let Some(reading) = &mut cold.reading {
            reading.note_urgent(side, first_byte.wrapping_add(offset), &mut cold.facts);
        }
        self.cold_bytes = (self.cold_bytes + cold.heap_bytes()).saturating_sub(before);
    }

    /// Bytes came again after all was read. When it is another hello than the one before, the flow says so; the first,
    /// which was answered, counts.
    #[cold]
    fn repeated(&mut self, id: u32, side: Side, segment: &Segment, bytes: &[u8]) {
        let payload = Payload::of(segment, side, bytes);
        if tls::claim(payload.bytes) != parse::Claim::Yes {
            return;
        }
        let told = reading::read_alone(side, payload.bytes, self.ports(id), payload.seen);
        let Some(cold) = self.table.cold_mut(id).filter(|_| told.has(&tls::SNI)) else { return };
        let before = cold.heap_bytes();
        let contradicted = cold.gist.map(|gist| (gist, self.gather.contradicted(gist, &told)));
        let differs = match contradicted {
            Some((gist, other)) if other != gist => true,
            _ => {
                let known = |value: &[u8]| cold.facts.of(&tls::SNI).any(|name| name.value == value);
                cold.facts.has(&tls::SNI) && told.of(&tls::SNI).any(|name| !known(name.value))
            }
        };
        if !differs {
            return;
        }
        cold.gist = contradicted.map(|(_, other)| other).or(cold.gist);
        cold.facts.flags.set(Flag::OverlapConflict);
        if !cold.facts.is_empty() {
            cold.facts.merge(&told);
        }
        self.cold_bytes = (self.cold_bytes + cold.heap_bytes()).saturating_sub(before);
    }

    /// Nobody knew the first bytes of this side. Whether a protocol begins with this segment.
    fn begins_late(&mut self, id: u32, payload: Payload<'_>, seq: u32, ports: (u16, u16)) -> bool {
        let side = payload.side;
        let Some(protocol) = reading::late_claim(ports, side, payload.bytes) else {
            let hot = self.table.hot_mut(id);
            if hot.packets[0].saturating_add(hot.packets[1]) > reading::LATE_PACKETS_MAX {
                hot.state |= state::DONE;
            }
            return false;
        };
        // What the other side said so far was part of the other beginning too.
        let hot = self.table.hot_mut(id);
        let known = hot.is(state::LATE);
        hot.state = hot.state & !state::REFUSED[side.index()] | state::LATE;
        if !known {
            hot.state |= state::REFUSED[side.other().index()];
        }
        let cold = self.table.attach(id);
        let before = cold.heap_bytes();
        self.spare.lend(cold);
        if let Some(reading) = &mut cold.reading {
            reading.begin_late(protocol, payload, seq, ports, &mut cold.facts);
        }
        self.cold_bytes = (self.cold_bytes + cold.heap_bytes()).saturating_sub(before);
        true
    }

    /// Nobody knows the first bytes of this side; when the other side is no better, forget them.
    fn refuse(&mut self, id: u32, side: Side) {
        let hot = self.table.hot_mut(id);
        hot.state |= state::REFUSED[side.index()];
        let both = hot.is(state::REFUSED[0]) && hot.is(state::REFUSED[1]);
        if let Some(cold) = self.table.cold_mut(id).filter(|_| both) {
            let before = cold.heap_bytes();
            self.spare.settle(cold, false);
            let after = cold.heap_bytes();
            self.cold_bytes = (self.cold_bytes + after).saturating_sub(before);
        }
    }

    /// A datagram of a flow that is still being read.
    fn datagram(&mut self, id: u32, side: Side, segment: &Segment, bytes: &[u8]) {
        if segment.payload_len + segment.payload_cut == 0 {
            return;
        }
        let hot = self.table.hot_mut(id);
        hot.state |= state::PAYLOAD[side.index()];
        if segment.payload_len == 0 {
            return;
        }
        let tries = hot.packets[0].saturating_add(hot.packets[1]);
        let (transport, ports) = match segment.key.protocol() {
            protocol::UDP => (Transport::Udp, self.ports(id)),
            _ if segment.key.is_frame() => (Transport::Frame, self.ports(id)),
            protocol::ICMP | protocol::ICMP6 | protocol::SCTP => {
                hot.state |= state::DONE;
                return;
            }
            number => (Transport::Ip, (0, u16::from(number))),
        };
        let payload = Payload::of(segment, side, bytes);
        if self.table.cold(id).is_none() {
            let claimed = parse::claim(&Opening::new(transport, ports, side, payload.bytes)).ok();
            let costly = claimed.is_some_and(parse::is_costly);
            let unread = costly && !self.ration.takes(&segment.key, segment.time);
            let hot = self.table.hot_mut(id);
            if unread {
                hot.state |= state::UNREAD;
            } else if costly {
                hot.state &= !state::UNREAD;
            }
            if unread || claimed.is_none() {
                if tries >= reading::DATAGRAM_TRIES_MAX {
                    hot.state |= state::DONE;
                }
                return;
            }
        }
        let cold = self.table.attach(id);
        let before = cold.heap_bytes();
        self.spare.lend(cold);
        let Some(reading) = &mut cold.reading else { return };
        self.watch.lap(Stage::Flow);
        let verdict = reading.datagram(transport, payload, ports, &mut cold.facts);
        self.watch.lap(Stage::Parse);
        cold.protocol = reading.protocol_name();
        let after = cold.heap_bytes();
        self.cold_bytes = (self.cold_bytes + after).saturating_sub(before);
        let full = cold.facts.is_nearly_full();
        if verdict == Verdict::Done {
            self.settle(id);
        } else if full {
            // A resolver's flow may carry questions without end: the next packet begins a new one.
            self.end(id);
        }
    }

    /// Ports of source and destination.
    fn ports(&self, id: u32) -> (u16, u16) {
        let low_opens = self.table.hot(id).is(state::OPENER_LOW);
        let key = self.table.key(id);
        (key.endpoint(low_opens).1, key.endpoint(!low_opens).1)
    }

    /// A flow is over.
    fn end(&mut self, id: u32) {
        self.hand_over(id);
        self.table.remove(id);
    }

    /// All was read: the flow is judged while its facts are at hand, and rests with what is needed at its end.
    fn settle(&mut self, id: u32) {
        self.table.hot_mut(id).state |= state::DONE;
        let Some(cold) = self.table.cold_mut(id) else { return };
        let before = cold.heap_bytes();
        let (facts, protocol) = (std::mem::take(&mut cold.facts), cold.protocol);
        let flags = facts.flags;
        let record = self.record(id, facts, protocol);
        let judged = self.judge(&record);
        let Some(cold) = self.table.cold_mut(id) else { return };
        cold.facts = record.facts;
        // What the flow as a whole is like is told at its end.
        cold.facts.flags = flags;
        cold.gist = Some(judged.gist);
        self.spare.settle(cold, judged.settled);
        let after = cold.heap_bytes();
        self.cold_bytes = (self.cold_bytes + after).saturating_sub(before);
    }

    /// What was waiting is read as it is, the record is made, what hung off the flow is freed.
    fn hand_over(&mut self, id: u32) {
        let ports = self.ports(id);
        let mut cold = self.table.take_cold(id).unwrap_or_default();
        self.cold_bytes = self.cold_bytes.saturating_sub(cold.heap_bytes());
        if let Some(mut reading) = cold.reading.take() {
            reading.finish(ports, &mut cold.facts);
            cold.protocol = reading.protocol_name();
            self.spare.keep_reading(Some(reading));
        }
        let record = self.record(id, cold.facts, cold.protocol);
        self.counters.missing_bytes += record.missing.iter().sum::<u64>();
        self.counters.unread += u64::from(self.table.hot(id).is(state::UNREAD));
        let gist = match cold.gist {
            Some(gist) => gist,
            None => self.judge(&record).gist,
        };
        self.watch.lap(Stage::Flow);
        self.gather.take(&record, gist, &self.long.end(id));
        self.watch.lap(Stage::Match);
        self.spare.keep_facts(record.facts);
    }

    fn judge(&mut self, record: &FlowRecord) -> Judged {
        self.watch.lap(Stage::Flow);
        let judged = self.gather.judge(record);
        self.watch.judged(judged.matched);
        self.watch.lap(Stage::Match);
        judged
    }

    /// What there is of a flow so far.
    fn record(&self, id: u32, mut facts: Facts, protocol: Option<&'static str>) -> FlowRecord {
        let hot = self.table.hot(id);
        let rest = self.table.rest(id);
        for (bit, flag) in [
            (state::MIDSTREAM, Flag::Midstream),
            (state::EVICTED, Flag::Evicted),
            (state::CUT, Flag::Truncated),
            (state::FRAGMENTED, Flag::Fragmented),
            (state::FRAG_CONFLICT, Flag::FragConflict),
            (state::UNREAD, Flag::LimitReached),
            (two_starts(hot), Flag::OverlapConflict),
        ] {
            if hot.is(bit) {
                facts.flags.set(flag);
            }
        }
        let mut record = FlowRecord {
            key: self.table.key(id),
            opener_low: hot.is(state::OPENER_LOW),
            first: rest.first,
            last: hot.last,
            number: rest.number,
            packets: [0, 1].map(|s| u64::from(rest.packets_high[s]) << 32 | u64::from(hot.packets[s])),
            bytes: hot.bytes,
            missing: rest.missing.map(u64::from),
            payload: [0, 1].map(|s| hot.is(state::PAYLOAD[s])),
            more: [0, 1].map(|s| hot.is(state::MORE[s])),
            edges: Edges {
                opened: hot.is(state::SYN[Side::Source.index()] | state::TWO_STARTS[Side::Source.index()]),
                fin: [0, 1].map(|s| hot.is(state::FIN[s])),
                closed: hot.is(state::CLOSED),
                done: hot.is(state::DONE),
                data: [0, 1].map(|s| hot.is(state::DATA[s])),
            },
            macs: rest.macs,
            vlan: rest.vlan.into(),
            tunnels: rest.tunnels,
            protocol,
            facts,
        };
        record.finish();
        record
    }
}

/// The sides that begin at two places and went on from one of them.
#[inline]
fn two_starts(hot: &Hot) -> u32 {
    let of = |s: usize| if hot.is(state::PAYLOAD[s]) { state::TWO_STARTS[s] } else { 0 };
    of(0) | of(1)
}

/// A datagram that was put together counts all its packets.
#[cold]
fn note_fragments(hot: &mut Hot, s: usize, segment: &Segment) {
    hot.packets[s] = hot.packets[s].saturating_add(u32::from(segment.packets.saturating_sub(1)));
    hot.state |= state::FRAGMENTED;
    if segment.fragments == Fragmented::Conflict {
        hot.state |= state::FRAG_CONFLICT;
    }
}
