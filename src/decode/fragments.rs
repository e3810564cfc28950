//! Fragments of IP packets put together again, in whatever order they come.
//!
//! In: fragments in capture order, as the network layer tells them apart. Out: a whole datagram as soon as nothing of it
//! is missing, and by name what became of every other fragment. Bytes that came first stand; bytes that contradict them
//! are flagged, never taken. Of a datagram that is given up the first fragment is read as if the capture had cut it
//! there: it says who talks to whom. One table for a whole run, fed in capture order, so that the answer does not depend
//! on the number of workers.
//! Sources: RFC 791 section 3.2, RFC 8200 section 4.5, RFC 5722 (overlaps), RFC 6946 (atomic fragments), RFC 6864 (what
//! an ID is good for).

use std::collections::{BTreeMap, HashMap, VecDeque};

use ahash::RandomState;

use super::checksum::transport_is_wrong;
use super::network::{self, Ip};
use super::{Fragmented, Frame, REASONS, Reason, Refused, Segment};
use crate::flow::tunnels::Tunnels;
use crate::time::{SECOND, Time};

/// Bytes kept of fragments whose datagram is not whole, with what it takes to keep them.
pub const FRAGMENT_BYTES_MAX: usize = 16 << 20;
/// Datagrams kept, whole ones among them: these only to know their late duplicates.
pub const FRAGMENT_DATAGRAMS_MAX: usize = 1 << 14;
/// Pieces of one datagram; one in more is given up. The longest has 119 in packets of 576 bytes, the least that every
/// host takes.
pub const FRAGMENT_PIECES_MAX: u32 = 128;
/// A fragment that comes later than this after the one before it belongs to another datagram with the same ID.
pub const FRAGMENT_SECONDS: i64 = 30;
/// Datagrams that took longer than this from their first fragment to their last have to have a right checksum: at ten
/// thousand packets a second an ID of sixteen bits comes round every few seconds.
pub const FRAGMENT_SPREAD_SECONDS: i64 = 1;
/// Longest datagram: what a length field can say, which of IPv4 counts the header too.
const DATAGRAM_BYTES_MAX: u32 = 65_535;
const IPV4_HEADER_BYTES_MIN: u32 = 20;
/// Datagrams that are fragments of datagrams, one in another.
pub(super) const LEVELS_MAX: usize = 4;
/// Memory of a datagram and of one part of it, beside its bytes, about.
const DATAGRAM_OVERHEAD: usize = 320;
const PART_OVERHEAD: usize = 96;

const IPV4_MORE_AND_OFFSET: u16 = 0x3fff;
const IPV6_OFFSET_AND_MORE: u16 = 0xfff9;

/// Whether an IPv4 packet with these flags and offset is a fragment. "Do not fragment" and the reserved bit say nothing
/// about that.
#[inline]
pub fn ipv4(flags_and_offset: u16) -> bool {
    flags_and_offset & IPV4_MORE_AND_OFFSET != 0
}

/// Whether an IPv6 packet with this fragment header is a fragment; an atomic one is whole.
#[inline]
pub fn ipv6(offset_and_more: u16) -> bool {
    offset_and_more & IPV6_OFFSET_AND_MORE != 0
}

/// What fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// Source address; IPv4 in the last four bytes.
    pub from: [u8; 16],
    /// Destination address.
    pub to: [u8; 16],
    /// 4 or 6.
    pub version: u8,
    /// The protocol, of IPv4 only: of IPv6 the first fragment's counts.
    pub protocol: u8,
    /// The identification field.
    pub number: u32,
    /// Outermost VLAN.
    pub vlan: Option<u16>,
    /// The tunnels around it.
    pub tunnels: Tunnels,
    /// A sum of the addresses of the tunnels around it.
    pub outer: u64,
}

/// One fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is a piece of.
    pub id: Id,
    /// Packet time.
    pub time: Time,
    /// Number of the packet in the whole input.
    pub number: u64,
    /// Where its payload belongs in the datagram's.
    pub offset: u32,
    /// Payload bytes that its header promises.
    pub len: u32,
    /// More fragments are to follow behind it.
    pub more: bool,
    /// What the payload of the datagram is, by the first fragment.
    pub protocol: u8,
    /// Bytes of the whole packet, header included.
    pub ip_bytes: u32,
    /// Offset of its payload in the bytes it points into.
    pub payload: usize,
    /// Payload bytes that were captured.
    pub captured: u32,
    /// Offset of the two hardware addresses.
    pub macs: Option<usize>,
    /// It came in a datagram whose fragments contradict each other.
    pub conflict: bool,
    /// Which input it came from, in numbers of whoever puts fragments together.
    pub input: u32,
}

/// The segment of a datagram that was put together or given up, and the bytes it points into.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Its transport payload; the time and the number are those of the packet that completed it, or of the first
    /// fragment.
    pub segment: Segment,
    /// What the offsets point into.
    pub bytes: Vec<u8>,
    /// The input of that packet.
    pub input: u32,
}

/// A stretch of a datagram's payload.
#[derive(Debug)]
struct Part {
    len: u32,
    /// As much of it as was captured.
    bytes: Box<[u8]>,
}

/// What a fragment looked like: to know a late duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Print {
    offset: u32,
    len: u32,
    hash: u64,
}

/// The packet with the first part of a datagram.
#[derive(Clone, Copy, Debug)]
struct Start {
    time: Time,
    number: u64,
    ip_bytes: u32,
    input: u32,
}

/// A datagram that is not whole yet.
#[derive(Debug)]
struct Open {
    first: Time,
    /// By offset, without overlaps.
    parts: BTreeMap<u32, Part>,
    prints: Vec<Print>,
    /// Bytes of all parts.
    covered: u32,
    /// Where the payload ends, once the last fragment was seen.
    end: Option<u32>,
    protocol: u8,
    macs: Option<[u8; 12]>,
    packets: u32,
    ip_bytes: u32,
    conflict: bool,
    /// The packet with the first part.
    start: Option<Start>,
}

#[derive(Debug)]
enum State {
    Open(Box<Open>),
    /// Given out; what its fragments looked like, sorted.
    Done(Box<[Print]>),
    /// In too many pieces: the rest of them goes with those that came.
    GivenUp,
}

#[derive(Debug)]
struct Datagram {
    state: State,
    last: Time,
    /// It began anew in its old place in the queue.
    renewed: bool,
    bytes: usize,
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
enum Added {
    Kept,
    Duplicate,
    /// Nothing is missing.
    Completes,
    /// It is one of a datagram in too many pieces.
    TooMany,
}

/// Datagrams that are not whole yet.
#[derive(Debug)]
pub struct Fragments {
    datagrams: HashMap<Id, Datagram, RandomState>,
    /// The same datagrams, the one that was begun first in front.
    queue: VecDeque<Id>,
    bytes: usize,
    bytes_max: usize,
    prints: RandomState,
    /// First fragments of datagrams that were given up.
    fronts: Vec<Whole>,
    /// Fragments that did not become part of a flow, by reason.
    pub counts: [u64; REASONS.len()],
}

impl Default for Fragments {
    fn default() -> Fragments {
        Fragments::new(FRAGMENT_BYTES_MAX)
    }
}

impl Fragments {
    /// An empty table that keeps at most so many bytes.
    pub fn new(bytes_max: usize) -> Fragments {
        Fragments {
            datagrams: HashMap::default(),
            queue: VecDeque::new(),
            bytes: 0,
            bytes_max,
            prints: RandomState::new(),
            fronts: Vec::new(),
            counts: [0; REASONS.len()],
        }
    }

    /// Takes a fragment whose offsets point into `bytes`. The datagram, when nothing of it is missing any more; what
    /// gives none is counted.
    pub fn take(&mut self, piece: &Piece, bytes: &[u8]) -> Option<Whole> {
        let input = piece.input;
        let (mut refused, mut bytes) = match self.join(piece, bytes)? {
            (Ok(segment), bytes) => return Some(Whole { segment, bytes, input }),
            (Err(refused), bytes) => (refused, bytes),
        };
        for _ in 0..LEVELS_MAX {
            match refused {
                Refused::Reason(reason) => {
                    self.count(reason, 1);
                    return None;
                }
                // What was put together is a fragment again: a tunnel's packets were fragmented, and inside it too.
                Refused::Piece(inner) => match self.join(&Piece { input, ..*inner }, &bytes)? {
                    (Ok(segment), bytes) => return Some(Whole { segment, bytes, input }),
                    (Err(again), inner_bytes) => (refused, bytes) = (again, inner_bytes),
                },
            }
        }
        self.count(Reason::TunnelDepth, 1);
        None
    }

    /// The first fragments of datagrams that were given up since the last call.
    #[inline]
    pub fn fronts(&mut self) -> Vec<Whole> {
        std::mem::take(&mut self.fronts)
    }

    /// The source is over: what is not whole never will be.
    pub fn finish(&mut self) {
        let mut left: Vec<(Id, Datagram)> = std::mem::take(&mut self.datagrams).into_iter().collect();
        left.sort_unstable_by_key(|(id, datagram)| match &datagram.state {
            State::Open(open) => (open.start.map_or(0, |start| start.number), id.number),
            State::Done(_) | State::GivenUp => (0, 0),
        });
        for (id, datagram) in left {
            if let State::Open(open) = datagram.state {
                self.give_up(&id, *open, Reason::FragmentIncomplete);
            }
        }
        self.queue.clear();
        self.bytes = 0;
    }

    /// What is missing of a datagram will not come: reads its first fragment, when there is one, as the only packet.
    fn give_up(&mut self, id: &Id, open: Open, reason: Reason) {
        let (Some(Start { time, number, ip_bytes, input }), Some(part)) = (open.start, open.parts.get(&0)) else {
            return self.count(reason, open.packets);
        };
        self.count(reason, open.packets.saturating_sub(1));
        let end = open.parts.last_key_value().map_or(0, |(at, part)| at.saturating_add(part.len));
        // At least a byte is missing, or it would be whole.
        let cut = open.end.unwrap_or(end).saturating_sub(part.bytes.len() as u32).max(1);
        let bytes = open.macs.iter().flatten().chain(&*part.bytes).copied().collect();
        match open.read(id, bytes, Origin { time, number, total: ip_bytes, cut, packets: 1 }) {
            (Ok(mut segment), bytes) => {
                if segment.fragments == Fragmented::Joined {
                    segment.fragments = Fragmented::First;
                }
                self.fronts.push(Whole { segment, bytes, input });
            }
            (Err(Refused::Reason(reason)), _) => self.count(reason, 1),
            (Err(Refused::Piece(_)), _) => self.count(reason, 1),
        }
    }

    /// Bytes of memory, about.
    pub fn heap_bytes(&self) -> usize {
        self.bytes
    }

    fn count(&mut self, reason: Reason, packets: u32) {
        if let Some(count) = self.counts.get_mut(reason as usize) {
            *count = count.saturating_add(u64::from(packets));
        }
    }

    /// Adds a fragment to its datagram; reads the datagram when that makes it whole.
    fn join(&mut self, piece: &Piece, bytes: &[u8]) -> Option<(Result<Segment, Refused>, Vec<u8>)> {
        let end = piece.offset.saturating_add(piece.len);
        let header = if piece.id.version == 4 { IPV4_HEADER_BYTES_MIN } else { 0 };
        let whole_units = piece.len.is_multiple_of(8) || !piece.more;
        if piece.len == 0 || !whole_units || end.saturating_add(header) > DATAGRAM_BYTES_MAX {
            self.count(Reason::FragmentMalformed, 1);
            return None;
        }
        let at = piece.payload;
        let payload = bytes.get(at..at.saturating_add(piece.captured as usize)).unwrap_or_default();
        let print = Print { offset: piece.offset, len: piece.len, hash: self.prints.hash_one(payload) };
        match self.add(piece, payload, bytes, print) {
            Added::Kept => {
                self.make_room(piece.time);
                None
            }
            Added::Duplicate => {
                self.count(Reason::FragmentDuplicate, 1);
                None
            }
            Added::TooMany => {
                self.count(Reason::FragmentPieces, 1);
                None
            }
            Added::Completes => self.complete(piece, payload, bytes, print),
        }
    }

    fn add(&mut self, piece: &Piece, payload: &[u8], bytes: &[u8], print: Print) -> Added {
        let Some(datagram) = self.datagrams.get_mut(&piece.id) else {
            self.begin(piece, payload, bytes, print);
            return Added::Kept;
        };
        let is_late = piece.time.0.saturating_sub(datagram.last.0) > FRAGMENT_SECONDS.saturating_mul(SECOND);
        datagram.last = datagram.last.max(piece.time);
        match &mut datagram.state {
            State::Open(open) if !is_late && open.packets >= FRAGMENT_PIECES_MAX => {
                self.bytes = self.bytes.saturating_sub(datagram.bytes).saturating_add(DATAGRAM_OVERHEAD);
                datagram.bytes = DATAGRAM_OVERHEAD;
                if let State::Open(open) = std::mem::replace(&mut datagram.state, State::GivenUp) {
                    self.give_up(&piece.id, *open, Reason::FragmentPieces);
                }
                Added::TooMany
            }
            State::Open(open) if !is_late => {
                let before = open.covered;
                let added = open.add(piece, payload, print);
                let more = match open.covered.saturating_sub(before) {
                    0 => 0,
                    _ => PART_OVERHEAD.saturating_add(payload.len()),
                };
                datagram.bytes = datagram.bytes.saturating_add(more);
                self.bytes = self.bytes.saturating_add(more);
                added
            }
            State::Done(prints) if !is_late && prints.binary_search(&print).is_ok() => Added::Duplicate,
            State::GivenUp if !is_late => Added::TooMany,
            state => {
                if let State::Open(open) = std::mem::replace(state, State::GivenUp) {
                    self.give_up(&piece.id, *open, Reason::FragmentIncomplete);
                }
                self.begin(piece, payload, bytes, print);
                Added::Kept
            }
        }
    }

    /// A datagram begins with this fragment, in the place of an older one with its ID if there was one.
    fn begin(&mut self, piece: &Piece, payload: &[u8], bytes: &[u8], print: Print) {
        let macs = piece.macs.and_then(|at| bytes.get(at..)?.first_chunk::<12>().copied());
        let mut open = Open {
            first: piece.time,
            parts: BTreeMap::new(),
            prints: Vec::new(),
            covered: 0,
            end: None,
            protocol: piece.protocol,
            macs,
            packets: 0,
            ip_bytes: 0,
            conflict: false,
            start: None,
        };
        open.add(piece, payload, print);
        let size = DATAGRAM_OVERHEAD.saturating_add(PART_OVERHEAD).saturating_add(payload.len());
        let state = State::Open(Box::new(open));
        let new = Datagram { state, last: piece.time, renewed: false, bytes: size };
        self.bytes = self.bytes.saturating_add(size);
        match self.datagrams.insert(piece.id, new) {
            None => self.queue.push_back(piece.id),
            Some(old) => {
                self.bytes = self.bytes.saturating_sub(old.bytes);
                if let Some(new) = self.datagrams.get_mut(&piece.id) {
                    new.renewed = true;
                }
            }
        }
    }

    /// Gives out a datagram that this fragment made whole.
    fn complete(
        &mut self,
        piece: &Piece,
        payload: &[u8],
        bytes: &[u8],
        print: Print,
    ) -> Option<(Result<Segment, Refused>, Vec<u8>)> {
        let datagram = self.datagrams.get_mut(&piece.id)?;
        let State::Open(open) = &mut datagram.state else { return None };
        let mut prints = std::mem::take(&mut open.prints);
        prints.sort_unstable();
        let size = DATAGRAM_OVERHEAD.saturating_add(prints.len().saturating_mul(size_of::<Print>()));
        let State::Open(open) = std::mem::replace(&mut datagram.state, State::Done(prints.into_boxed_slice())) else {
            return None;
        };
        self.bytes = self.bytes.saturating_sub(datagram.bytes).saturating_add(size);
        datagram.bytes = size;
        let whole = open.bytes();
        let start = open.macs.map_or(0, |macs| macs.len());
        let body = whole.get(start..).unwrap_or_default();
        let cut = open.covered.saturating_sub(body.len() as u32);
        let Id { from, to, version, .. } = piece.id;
        let spread = piece.time.0.saturating_sub(open.first.0) > FRAGMENT_SPREAD_SECONDS.saturating_mul(SECOND);
        if spread && cut == 0 && transport_is_wrong(&from, &to, version, open.protocol, body) {
            // Parts of two datagrams under one ID: this fragment is of the newer one.
            self.count(Reason::FragmentMixed, open.packets.saturating_sub(1));
            self.begin(piece, payload, bytes, print);
            return None;
        }
        self.count(Reason::FragmentJoined, open.packets.saturating_sub(1));
        let packets = open.packets.min(u32::from(u16::MAX)) as u16;
        let total = open.ip_bytes;
        Some(open.read(&piece.id, whole, Origin { time: piece.time, number: piece.number, total, cut, packets }))
    }

    /// Keeps the budget: the datagrams that were begun first go.
    fn make_room(&mut self, now: Time) {
        while self.bytes > self.bytes_max || self.datagrams.len() > FRAGMENT_DATAGRAMS_MAX {
            let Some(id) = self.queue.pop_front() else { return };
            if let Some(datagram) = self.datagrams.get_mut(&id).filter(|datagram| datagram.renewed) {
                datagram.renewed = false;
                self.queue.push_back(id);
                continue;
            }
            let Some(datagram) = self.datagrams.remove(&id) else { continue };
            self.bytes = self.bytes.saturating_sub(datagram.bytes);
            if let State::Open(open) = datagram.state {
                let old = now.0.saturating_sub(datagram.last.0) > FRAGMENT_SECONDS.saturating_mul(SECOND);
                let reason = if old { Reason::FragmentIncomplete } else { Reason::FragmentBudget };
                self.give_up(&id, *open, reason);
            }
        }
    }
}

/// How a datagram came.
struct Origin {
    time: Time,
    number: u64,
    /// Bytes of the packets that count for it.
    total: u32,
    /// Bytes of its payload that are not there.
    cut: u32,
    packets: u16,
}

impl Open {
    /// Reads the hardware addresses, if any, and the payload behind them.
    fn read(&self, id: &Id, bytes: Vec<u8>, origin: Origin) -> (Result<Segment, Refused>, Vec<u8>) {
        let Origin { time, number, total, cut, packets } = origin;
        let Id { from, to, version, .. } = *id;
        let ip = Ip { from, to, version, protocol: self.protocol, total, cut, packets };
        let frame = Frame {
            bytes: &bytes,
            at: self.macs.map_or(0, |macs| macs.len()),
            time,
            number,
            macs: self.macs.map(|_| 0),
            vlan: id.vlan,
            tunnels: id.tunnels,
            outer: id.outer,
        };
        let result = match network::whole(ip, frame) {
            Ok(mut segment) => {
                segment.fragments = if self.conflict { Fragmented::Conflict } else { Fragmented::Joined };
                Ok(segment)
            }
            Err(Refused::Piece(mut inner)) => {
                inner.conflict |= self.conflict;
                Err(Refused::Piece(inner))
            }
            refused => refused,
        };
        (result, bytes)
    }

    fn add(&mut self, piece: &Piece, payload: &[u8], print: Print) -> Added {
        let end = piece.offset.saturating_add(piece.len);
        let known_end = self.parts.last_key_value().map_or(0, |(at, part)| at.saturating_add(part.len));
        let fits = match self.end {
            Some(there) if piece.more => end <= there,
            Some(there) => end == there,
            None => piece.more || end >= known_end,
        };
        let (before, has_start) = (self.covered, self.parts.contains_key(&0));
        let conflict = !fits || self.fill(piece.offset, piece.len, payload);
        let tells_the_end = !piece.more && self.end.is_none();
        if !conflict && !tells_the_end && self.covered == before {
            return Added::Duplicate;
        }
        self.conflict |= conflict || piece.conflict;
        self.packets = self.packets.saturating_add(1);
        self.ip_bytes = self.ip_bytes.saturating_add(piece.ip_bytes);
        if self.covered != before {
            self.prints.push(print);
        }
        if !fits {
            return Added::Kept;
        }
        if piece.offset == 0 && !has_start {
            self.protocol = piece.protocol;
            let Piece { time, number, ip_bytes, input, .. } = *piece;
            self.start = Some(Start { time, number, ip_bytes, input });
        }
        if !piece.more {
            self.end = Some(end);
        }
        if self.end == Some(self.covered) { Added::Completes } else { Added::Kept }
    }

    /// Fills what is missing of a stretch; whether what was there says something else.
    fn fill(&mut self, offset: u32, len: u32, payload: &[u8]) -> bool {
        let end = offset.saturating_add(len);
        // Only what begins before the end, from the part that may reach into the stretch on.
        let from = self.parts.range(..=offset).next_back().map_or(offset, |(&at, _)| at);
        let mut at = offset;
        let mut conflict = false;
        let mut missing: Vec<(u32, u32)> = Vec::new();
        for (&there, part) in self.parts.range(from..end) {
            let there_end = there.saturating_add(part.len);
            if there_end <= offset {
                continue;
            }
            if there > at {
                missing.push((at, there));
            }
            let (begin, stop) = (there.max(offset), there_end.min(end));
            let old = slice(&part.bytes, begin.saturating_sub(there), stop.saturating_sub(there));
            let new = slice(payload, begin.saturating_sub(offset), stop.saturating_sub(offset));
            // Of what was cut nothing can be said.
            conflict |= old.iter().zip(new).any(|(a, b)| a != b);
            at = at.max(there_end);
        }
        if at < end {
            missing.push((at, end));
        }
        for (begin, stop) in missing {
            let bytes = slice(payload, begin.saturating_sub(offset), stop.saturating_sub(offset)).into();
            let len = stop.saturating_sub(begin);
            self.covered = self.covered.saturating_add(len);
            self.parts.insert(begin, Part { len, bytes });
        }
        conflict
    }

    /// The hardware addresses, if any, and the payload as far as it was captured without a gap.
    fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity((self.covered as usize).saturating_add(12));
        all.extend(self.macs.iter().flatten());
        for part in self.parts.values() {
            all.extend_from_slice(&part.bytes);
            if part.bytes.len() < part.len as usize {
                break;
            }
        }
        all
    }
}

/// As much of `from..to` as there is.
fn slice(bytes: &[u8], from: u32, to: u32) -> &[u8] {
    let to = (to as usize).min(bytes.len());
    bytes.get((from as usize).min(to)..to).unwrap_or_default()
}
