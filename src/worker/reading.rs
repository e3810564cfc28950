//! Reading a flow: which protocol it is, and feeding that protocol's parser.
//!
//! In: the payloads of one flow in arrival order. Out: facts, and whether anybody still wants to
//! read. Copies of the same bytes that differ are read too, each for itself: nobody can tell which of them arrived.
//! A side that was not seen from its start waits for a few segments in case an earlier one
//! arrives late, before it is given up.

use smallvec::SmallVec;

use crate::decode::Segment;
use crate::fact::{Facts, Flag, Flags, Seen, Side};
use crate::parse::{self, Opening, Parser, Prefix, Progress, Protocol, Transport};
use crate::stream::Stream;
use crate::time::Time;

/// Datagrams of a flow that protocols may look at before the flow is given up.
pub const DATAGRAM_TRIES_MAX: u32 = 8;
/// Packets of a flow that nobody claimed in which a protocol may still begin (STARTTLS and the like).
pub const LATE_PACKETS_MAX: u32 = 64;
/// Segments a side without a SYN is kept for although nobody claims it: an earlier one may come.
const UNANCHORED_SEGMENTS_MAX: u32 = 8;
/// Urgent bytes of a side that are left out of its other reading.
const URGENT_MAX: usize = 4;

/// What is to be done with the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Reading,
    /// Nobody knows this side.
    Refused,
    /// Nothing more is wanted.
    Done,
}

/// Bytes of one side of a flow.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// Who sent them.
    pub side: Side,
    /// What was captured of them.
    pub bytes: &'a [u8],
    /// The capture holds only the front of them.
    pub cut: bool,
    /// When, and in which packet.
    pub seen: Seen,
}

impl<'a> Payload<'a> {
    /// What a segment carries; `bytes`: those that its offsets count in.
    #[inline]
    pub fn of(segment: &Segment, side: Side, bytes: &'a [u8]) -> Payload<'a> {
        let end = segment.payload + segment.payload_len as usize;
        let bytes = bytes.get(segment.payload..end).unwrap_or_default();
        let seen = Seen { time: segment.time, packet: segment.number };
        Payload { side, bytes, cut: segment.payload_cut > 0, seen }
    }
}

/// Where a TCP payload stands among those of its side.
#[derive(Clone, Copy)]
pub struct Numbers {
    /// The side's first sequence number, when a SYN told it and this is the first payload.
    pub start: Option<u32>,
    /// Sequence number of the first byte.
    pub seq: u32,
}

/// One side of a flow that is being read.
#[derive(Default)]
struct Half {
    stream: Stream,
    /// Bytes of prefix the parser or a claim waits for.
    wanted: usize,
    segments: u32,
    done: bool,
    last_seen: Seen,
    /// Sequence numbers of bytes that were marked urgent.
    urgent: SmallVec<[u32; URGENT_MAX]>,
}

impl Half {
    /// Nothing more is wanted of it; what was read stays while the other side is read.
    fn stop(&mut self) {
        self.done = true;
        // Without its urgent bytes it would have gone on so much further.
        self.stream.stop(self.urgent.len());
    }

    /// Holes will not be filled: reads what begins behind them. What was lost may be what stands before: a command that
    /// asks for TLS, a request to a proxy. Which protocol that was.
    fn behind_holes(&self, side: Side, ports: (u16, u16), facts: &mut Facts) -> Option<&'static Protocol> {
        let mut late = None;
        if self.stream.has_hole() {
            facts.flags.set(Flag::Gap);
            for bytes in self.stream.behind_holes() {
                if let Some(protocol) = late_claim(ports, side, bytes) {
                    facts.merge(&read_as(protocol, side, bytes, self.last_seen));
                    late = late.or(Some(protocol));
                }
            }
        }
        late
    }

    /// What its bytes are when later copies count, or without those that were urgent.
    fn others(&mut self) -> Vec<Vec<u8>> {
        let mut others: Vec<Vec<u8>> = self.stream.others().map(<[u8]>::to_vec).collect();
        let mut urgent: Vec<usize> =
            self.urgent.iter().filter_map(|&seq| usize::try_from(self.stream.offset(seq)).ok()).collect();
        urgent.sort_unstable();
        urgent.dedup();
        let prefix = self.stream.prefix();
        if urgent.first().is_some_and(|&first| first < prefix.len()) {
            let kept = prefix.iter().enumerate().filter(|(at, _)| urgent.binary_search(at).is_err());
            others.push(kept.map(|(_, &byte)| byte).collect());
        }
        others
    }
}

/// A flow that is being read.
#[derive(Default)]
pub struct Reading {
    protocol: Option<&'static Protocol>,
    parser: Option<Box<dyn Parser>>,
    halves: [Half; 2],
}

/// The protocol that begins in the middle of a flow with these bytes.
pub fn late_claim(ports: (u16, u16), side: Side, bytes: &[u8]) -> Option<&'static Protocol> {
    let opening = Opening { transport: Transport::Tcp, ports, side, bytes, last: true };
    parse::ask(parse::embedded().iter().copied(), &opening).ok()
}

/// What bytes say that begin a side, without those of the other side.
pub fn read_alone(side: Side, bytes: &[u8], ports: (u16, u16), seen: Seen) -> Facts {
    match parse::claim(&Opening { transport: Transport::Tcp, ports, side, bytes, last: true }) {
        Ok(protocol) => read_as(protocol, side, bytes, seen),
        Err(_) => Facts::default(),
    }
}

/// The same of a protocol that is known.
fn read_as(protocol: &'static Protocol, side: Side, bytes: &[u8], seen: Seen) -> Facts {
    let mut facts = Facts::default();
    let mut parser = (protocol.parser)(Transport::Tcp);
    parser.feed(side, Prefix { bytes, seen, last: true, split: false }, &mut facts);
    // That it is cut or wrong is no news of the flow; that it hides a name is.
    let hides = facts.flags.has(Flag::Ech);
    facts.flags = Flags::default();
    if hides {
        facts.flags.set(Flag::Ech);
    }
    facts
}

/// A moment later: of two names the one that came first counts, and these are read after it.
fn after(seen: Seen) -> Seen {
    Seen { time: Time(seen.time.0.saturating_add(1)), ..seen }
}

impl Reading {
    /// Bytes of memory behind it.
    pub fn heap_bytes(&self) -> usize {
        let parser = self.parser.as_ref().map_or(0, |parser| parser.heap_bytes());
        size_of::<Reading>() + parser + self.halves.iter().map(|h| h.stream.heap_bytes()).sum::<usize>()
    }

    /// Name of the protocol that claimed the flow.
    pub fn protocol_name(&self) -> Option<&'static str> {
        self.protocol.map(|p| p.name)
    }

    /// A SYN came late: the side starts here.
    pub fn anchor(&mut self, side: Side, first_byte: u32) {
        self.halves[side.index()].stream.anchor(first_byte);
    }

    /// A protocol begins with this segment of a side that nobody had claimed. What is known of the side is forgotten.
    pub fn begin_late(
        &mut self,
        protocol: &'static Protocol,
        payload: Payload<'_>,
        seq: u32,
        ports: (u16, u16),
        facts: &mut Facts,
    ) {
        let Payload { side, bytes, .. } = payload;
        if self.protocol.is_none_or(|p| p.name != protocol.name) {
            self.protocol = Some(protocol);
            self.parser = Some((protocol.parser)(Transport::Tcp));
        }
        let mut half = Half::default();
        half.stream.anchor(seq);
        let mut before = std::mem::replace(&mut self.halves[side.index()], half);
        before.behind_holes(side, ports, facts);
        if before.stream.insert(seq, bytes).conflict {
            facts.flags.set(Flag::OverlapConflict);
        }
    }

    /// One datagram, or the payload of one packet or frame of a transport without a stream.
    pub fn datagram(
        &mut self,
        transport: Transport,
        payload: Payload<'_>,
        ports: (u16, u16),
        facts: &mut Facts,
    ) -> Verdict {
        let Payload { side, bytes, cut, seen } = payload;
        if self.parser.is_none() {
            let opening = Opening::new(transport, ports, side, bytes);
            let Ok(protocol) = parse::claim(&opening) else { return Verdict::Reading };
            self.protocol = Some(protocol);
            self.parser = Some((protocol.parser)(transport));
        }
        let Some(parser) = &mut self.parser else { return Verdict::Reading };
        match parser.feed(side, Prefix { bytes, seen, last: !cut, split: false }, facts) {
            Progress::NeedBytes(_) => Verdict::Reading,
            Progress::Done | Progress::AllDone => Verdict::Done,
            Progress::NotMine => {
                self.protocol = None;
                Verdict::Done
            }
        }
    }

    /// One TCP payload.
    pub fn tcp(&mut self, payload: Payload<'_>, numbers: Numbers, ports: (u16, u16), facts: &mut Facts) -> Verdict {
        let (Payload { side, bytes, cut, seen }, Numbers { start, seq }) = (payload, numbers);
        let half = &mut self.halves[side.index()];
        if half.done {
            if half.stream.insert(seq, bytes).conflict {
                half.last_seen = half.last_seen.max(seen);
                facts.flags.set(Flag::OverlapConflict);
            }
            return Verdict::Reading;
        }
        if let Some(first_byte) = start {
            half.stream.anchor(first_byte);
        }
        half.segments += 1;
        half.last_seen = half.last_seen.max(seen);
        // The whole message in one segment, in place: nothing is copied.
        let whole = half.segments == 1 && half.urgent.is_empty();
        if whole && half.stream.is_anchored() && half.stream.offset(seq) == 0 {
            let verdict = self.offer(side, Some(bytes), cut, ports, facts);
            let half = &mut self.halves[side.index()];
            if verdict == Verdict::Reading {
                half.stream.insert(seq, bytes);
                if half.done {
                    half.stop();
                }
            }
            return verdict;
        }
        let inserted = half.stream.insert(seq, bytes);
        if inserted.conflict {
            facts.flags.set(Flag::OverlapConflict);
        }
        if inserted.rebased {
            half.wanted = 0;
        }
        // A few segments that no window has room for may be a stranger's.
        let stuck = inserted.limited && half.stream.has_hole() && half.segments > LATE_PACKETS_MAX;
        if stuck {
            facts.flags.set(Flag::Gap);
        }
        self.offer(side, None, cut || stuck, ports, facts)
    }

    /// The flow is over: what is there is all there will be.
    pub fn finish(&mut self, ports: (u16, u16), facts: &mut Facts) {
        let mut late = None;
        for side in [Side::Source, Side::Destination] {
            let half = &self.halves[side.index()];
            if half.done || half.segments == 0 {
                continue;
            }
            late = late.or(half.behind_holes(side, ports, facts));
            self.offer(side, None, true, ports, facts);
        }
        self.protocol = self.protocol.or(late);
        self.read_otherwise(ports, facts);
    }

    /// A byte of a side was marked urgent (RFC 6093): some receivers hand it to the program out of line.
    pub fn note_urgent(&mut self, side: Side, seq: u32, facts: &mut Facts) {
        let half = &mut self.halves[side.index()];
        if half.done {
            return;
        }
        facts.flags.set(Flag::Urgent);
        if half.urgent.len() < URGENT_MAX {
            half.urgent.push(seq);
        } else {
            facts.flags.set(Flag::LimitReached);
        }
    }

    /// Reads what the bytes of both sides may have been instead, to be called when nothing more is wanted of either.
    pub fn read_otherwise(&mut self, ports: (u16, u16), facts: &mut Facts) {
        for side in [Side::Source, Side::Destination] {
            let half = &mut self.halves[side.index()];
            for bytes in half.others() {
                facts.merge(&read_alone(side, &bytes, ports, after(half.last_seen)));
            }
        }
    }

    /// Shows the prefix of a side to the parser, or to all protocols while none has claimed it.
    fn offer(
        &mut self,
        side: Side,
        in_place: Option<&[u8]>,
        last: bool,
        ports: (u16, u16),
        facts: &mut Facts,
    ) -> Verdict {
        let half = &self.halves[side.index()];
        let bytes = in_place.unwrap_or_else(|| half.stream.prefix());
        let full = half.stream.is_full();
        let last = last || full;
        if !last && (bytes.is_empty() || bytes.len() < half.wanted) {
            return Verdict::Reading;
        }
        if self.parser.is_none() {
            let opening = Opening { transport: Transport::Tcp, ports, side, bytes, last };
            match parse::claim(&opening) {
                Ok(protocol) => {
                    self.protocol = Some(protocol);
                    self.parser = Some((protocol.parser)(Transport::Tcp));
                    let verdict = self.feed(side, in_place, last, facts);
                    let other = side.other();
                    // The other side may have spoken first, unrecognised: now it has a reader.
                    if verdict == Verdict::Reading && !self.halves[other.index()].stream.prefix().is_empty() {
                        return self.feed(other, None, false, facts);
                    }
                    return verdict;
                }
                Err(Some(wanted)) => {
                    self.halves[side.index()].wanted = wanted.max(bytes.len() + 1);
                    return Verdict::Reading;
                }
                Err(None) => {
                    let half = &mut self.halves[side.index()];
                    // Somebody may know another reading of it, when all of that is there.
                    for bytes in half.others() {
                        match parse::claim(&Opening { transport: Transport::Tcp, ports, side, bytes: &bytes, last }) {
                            Err(None) => {}
                            _ if !last => return Verdict::Reading,
                            _ => facts.merge(&read_alone(side, &bytes, ports, after(half.last_seen))),
                        }
                    }
                    if last || half.stream.is_anchored() || half.segments >= UNANCHORED_SEGMENTS_MAX {
                        half.behind_holes(side, ports, facts);
                        half.done = true;
                        half.stream = Stream::default();
                        half.stream.stop(0);
                        return Verdict::Refused;
                    }
                    return Verdict::Reading;
                }
            }
        }
        self.feed(side, in_place, last, facts)
    }

    fn feed(&mut self, side: Side, in_place: Option<&[u8]>, last: bool, facts: &mut Facts) -> Verdict {
        let half = &mut self.halves[side.index()];
        let Some(parser) = &mut self.parser else { return Verdict::Reading };
        if half.done {
            return Verdict::Reading;
        }
        let bytes = in_place.unwrap_or_else(|| half.stream.prefix());
        let prefix = Prefix { bytes, seen: half.last_seen, last, split: half.segments > 1 };
        let progress = parser.feed(side, prefix, facts);
        match progress {
            Progress::NeedBytes(wanted) if !last => {
                half.wanted = wanted.max(bytes.len() + 1);
                // The parser counts from this first byte.
                half.stream.pin();
                Verdict::Reading
            }
            Progress::NeedBytes(_) | Progress::Done => {
                if matches!(progress, Progress::NeedBytes(_)) && half.stream.is_full() {
                    facts.flags.set(Flag::LimitReached);
                }
                half.done = true;
                if in_place.is_none() {
                    half.stop();
                }
                if self.halves[side.other().index()].done { Verdict::Done } else { Verdict::Reading }
            }
            Progress::AllDone | Progress::NotMine => {
                if progress == Progress::NotMine {
                    self.protocol = None;
                }
                Verdict::Done
            }
        }
    }
}
