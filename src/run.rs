//! The only file that starts threads: one source, workers, what they gathered.
//!
//! In: an ordered [`Source`] and a [`Gather`] for each worker. Out: the gathered parts and the
//! ledger. Every worker owns the flows of one shard and helps to decode: whoever has nothing to do
//! takes the next block of packets, decodes it, and deals its segments out. Blocks are numbered and
//! each worker takes its parts in that order, so a flow sees its packets in capture order whoever
//! decoded them. A full window is a wait, never a loss. One worker needs no thread at all.
//!
//! A run that goes on ([`run_turns`]) is led from outside: its workers hand over what they gathered whenever they are
//! asked. Where there is a source for each worker, nothing is dealt.

mod joining;
mod times;
mod turns;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ahash::RandomState;
use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::capture::{Block, Bytes, Packet, Source};
use crate::decode::fragments::{Piece, Whole};
use crate::decode::{self, REASONS, Refused, Segment};
use crate::ledger::Ledger;
use crate::merge::{Merge, Tally};
use crate::parse::{self, Opening};
use crate::time::Time;
use crate::watch::{Stage, Watch};
use crate::worker::{Counters, Gather, Worker};
use joining::{Joining, Order, take};
use times::Times;
use turns::{Between, Common, Turner};

pub use turns::{Clock, Hand, Read, Turned, Turns};

/// Blocks in flight for each worker before decoding waits.
const WINDOW_BLOCKS: u64 = 16;
/// Packets decoded before their flows are looked up, when one worker does both.
const STRIDE_PACKETS: usize = 64;

/// How a run is cut short and followed.
pub struct Settings<'a> {
    /// Worker threads, at least one.
    pub workers: usize,
    /// Bytes of flow state, all workers together.
    pub memory: usize,
    /// Stop after this many packets.
    pub packets_max: u64,
    /// Flows are told apart by their VLANs too.
    pub vlans_apart: bool,
    /// Told the bytes read and the packets so far, now and then.
    pub progress: &'a (dyn Fn(u64, u64) + Sync),
}

/// What a run gives.
pub struct Done<G> {
    /// Every packet accounted for.
    pub ledger: Ledger,
    /// Packets received and decoded by input.
    pub inputs: ByInput,
    /// What each worker gathered.
    pub gathered: Vec<G>,
    /// Flow state at the end of the source.
    pub state: State,
}

/// Flow state, all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Flows that were open.
    pub open_flows: u64,
    /// Bytes of memory behind them, about.
    pub bytes: u64,
}

impl State {
    fn of<G: Gather, W: Watch>(worker: &Worker<G, W>) -> State {
        State { open_flows: worker.open_flows() as u64, bytes: worker.heap_bytes() as u64 }
    }
}

/// Reads a source to its end.
pub fn run<G: Gather>(source: &mut dyn Source, settings: &Settings<'_>, gather: impl Fn() -> G + Sync) -> Done<G> {
    let left = AtomicU64::new(settings.packets_max);
    let reader = Reader::new(source, &left, settings);
    match settings.workers {
        0 | 1 => alone(reader, settings.memory, gather(), (), ()),
        workers => together(reader, workers, settings.memory / workers, &gather, &|_| ()),
    }
}

/// As [`run`], with one worker that is watched.
pub fn run_watched<G: Gather, W: Watch>(
    source: &mut dyn Source,
    settings: &Settings<'_>,
    gather: G,
    watch: W,
) -> Done<G> {
    let left = AtomicU64::new(settings.packets_max);
    alone(Reader::new(source, &left, settings), settings.memory, gather, watch, ())
}

/// Reads sources until all are over or so many packets were read, and hands over what was gathered at every turn. One
/// source is dealt to as many workers as are set; of several each has a worker of its own. `lead` takes the hands, on this
/// thread, until there are no more; each worker's last one says so.
pub fn run_turns<G: Turned, T>(
    mut sources: Vec<Box<dyn Source>>,
    settings: &Settings<'_>,
    turns: &Turns,
    clock: Clock<'_>,
    gather: impl Fn() -> G + Sync,
    lead: impl FnOnce(&Receiver<Hand<G::Part>>) -> T,
) -> T {
    let left = &AtomicU64::new(settings.packets_max);
    let (hands, taken) = unbounded();
    let gather = &gather;
    let turner = move |me| Turner { me, turns, clock, hands: hands.clone(), done: 0, swept: Time::default(), jumps: 0 };
    std::thread::scope(|scope| {
        let memory = settings.memory / sources.len().max(1);
        let dealt = sources.len() == 1 && settings.workers > 1;
        for (me, source) in sources.iter_mut().enumerate() {
            let reader = Reader::new(source.as_mut(), left, settings);
            if dealt {
                let (workers, share, turner) = (settings.workers, memory / settings.workers, turner.clone());
                scope.spawn(move || {
                    together(reader, workers, share, gather, &turner);
                });
            } else {
                let turner = turner(me);
                scope.spawn(move || {
                    alone(reader, memory, gather(), (), turner);
                });
            }
        }
        // Only the workers' ends are left: when they are gone, all is taken.
        drop(turner);
        lead(&taken)
    })
}

/// Threads on which `rayon` shares work out.
pub struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    /// So many and no more; where no more are to be had, that of the caller.
    pub fn new(threads: usize) -> Threads {
        Threads(rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build().ok())
    }

    /// Does something there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

/// The source, with what was read of it.
struct Reader<'a> {
    source: &'a mut dyn Source,
    /// Packets that may still be read, by all readers of a run together.
    left: &'a AtomicU64,
    packets: u64,
    blocks: u64,
    times: Times,
    vlans_apart: bool,
    progress: &'a (dyn Fn(u64, u64) + Sync),
}

impl<'a> Reader<'a> {
    fn new(source: &'a mut dyn Source, left: &'a AtomicU64, settings: &Settings<'a>) -> Reader<'a> {
        let Settings { vlans_apart, progress, .. } = *settings;
        Reader { source, left, packets: 0, blocks: 0, times: Times::default(), vlans_apart, progress }
    }

    /// The next block and its number in the run; clocks that jump in it are counted.
    fn next(&mut self, counts: &mut Counts) -> Option<(u64, Block)> {
        if self.left.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut block = self.source.next_block()?;
        let wanted = block.packets.len() as u64;
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or_default();
        block.packets.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        self.packets += block.packets.len() as u64;
        let [back, ahead] = self.times.see(&block);
        counts.back += back;
        counts.ahead += ahead;
        let number = self.blocks;
        self.blocks += 1;
        (self.progress)(self.source.progress().0, self.packets);
        Some((number, block))
    }

    fn read(&mut self) -> Read {
        Read {
            packets: self.packets,
            bytes: self.source.progress().0,
            losses: self.source.losses(),
            damage: self.source.damage().to_vec(),
        }
    }
}

/// Where VLANs are apart, the key of a flow has its VLAN.
#[inline]
fn tell_apart(vlans_apart: bool, segment: &mut Segment) {
    if vlans_apart {
        segment.key = segment.key.in_vlan(segment.vlan);
    }
}

/// Packets of one input: received, decoded.
pub type ByInput = BTreeMap<Arc<str>, [Tally; 2]>;

/// Packets seen and packets refused, by reason, and both by input.
struct Counts {
    received: u64,
    /// Packets that are much older, and much newer, than the newest before them.
    back: u64,
    ahead: u64,
    reasons: [u64; REASONS.len()],
    /// Fragments so far; what became of them is counted where they meet.
    fragments: u64,
    inputs: ByInput,
    /// Fragments of the packets decoded last, in capture order.
    pieces: Vec<Piece>,
}

impl Counts {
    fn new() -> Counts {
        Counts {
            received: 0,
            back: 0,
            ahead: 0,
            reasons: [0; REASONS.len()],
            fragments: 0,
            inputs: ByInput::new(),
            pieces: Vec::new(),
        }
    }

    /// Decodes packets of a block; what is not read is counted, or kept when it is a fragment.
    #[inline]
    fn decode(&mut self, bytes: &[u8], packets: &[Packet], first_number: u64, mut each: impl FnMut(Segment)) {
        self.received += packets.len() as u64;
        for (packet, number) in packets.iter().zip(first_number..) {
            match decode::decode(bytes, packet, number) {
                Ok(segment) => each(segment),
                Err(refused) => {
                    if let Some(segment) = self.refused_packet(refused, bytes, packet, number) {
                        each(segment);
                    }
                }
            }
        }
    }

    /// A packet without IP is counted by its reason, unless a protocol reads such frames.
    #[cold]
    fn refused_packet(&mut self, refused: Refused, bytes: &[u8], packet: &Packet, number: u64) -> Option<Segment> {
        let reason = match refused {
            Refused::Reason(reason) => reason,
            Refused::Piece(piece) => {
                self.fragments += 1;
                self.pieces.push(*piece);
                return None;
            }
        };
        let frame = if reason.is_frame() { decode::frame(bytes, packet, number) } else { None };
        let claimed = frame.filter(|segment| {
            let payload = bytes.get(segment.payload..segment.payload + segment.payload_len as usize);
            let ether_type = segment.key.endpoint(false).1;
            !parse::nobody_claims(&Opening::of_frame(ether_type, payload.unwrap_or_default()))
        });
        if claimed.is_none() {
            self.reasons[reason as usize] += 1;
        }
        claimed
    }

    /// A block of this input was decoded; so many packets were refused before it.
    fn finish_block(&mut self, block: &Block, refused_before: u64) {
        let received = block.packets.len() as u64;
        let refused = self.refused() - refused_before;
        let sums = [Tally(received), Tally(received - refused)];
        match self.inputs.get_mut(&block.input) {
            Some(there) => there.merge(sums),
            None => {
                self.inputs.insert(block.input.clone(), sums);
            }
        }
    }

    fn refused(&self) -> u64 {
        self.reasons.iter().sum::<u64>() + self.fragments
    }

    fn into_ledger(self, counters: Counters) -> (Ledger, ByInput) {
        let mut ledger = Ledger {
            received: self.received,
            decoded: counters.segments,
            tcp_payload_bytes: counters.tcp_payload_bytes,
            missing_bytes: counters.missing_bytes,
            ..Ledger::default()
        };
        ledger.add_reasons(&self.reasons);
        ledger.note("flow.evicted", counters.evicted);
        ledger.note("quic.unread", counters.unread);
        ledger.note("clock.back", self.back);
        ledger.note("clock.ahead", self.ahead);
        (ledger, self.inputs)
    }
}

/// One worker does it all, without a thread.
fn alone<G: Gather, W: Watch>(
    mut reader: Reader<'_>,
    memory: usize,
    gather: G,
    watch: W,
    mut between: impl Between<G, W>,
) -> Done<G> {
    let mut worker = Worker::new(memory, gather, watch);
    let mut counts = Counts::new();
    let mut joining = Joining::default();
    let vlans_apart = reader.vlans_apart;
    let mut segments = Vec::with_capacity(STRIDE_PACKETS);
    while let Some((_, block)) = reader.next(&mut counts) {
        worker.watch.lap(Stage::Capture);
        worker.watch.block_begins();
        let bytes = block.bytes.as_slice();
        let refused = counts.refused();
        let numbers = (block.first_number..).step_by(STRIDE_PACKETS);
        for (packets, first_number) in block.packets.chunks(STRIDE_PACKETS).zip(numbers) {
            segments.clear();
            counts.decode(bytes, packets, first_number, |mut segment| {
                tell_apart(vlans_apart, &mut segment);
                segments.push(segment);
            });
            let mut wholes = joining.join(&block.input, &mut counts.pieces, bytes);
            wholes.iter_mut().for_each(|whole| tell_apart(vlans_apart, &mut whole.segment));
            worker.watch.lap(Stage::Decode);
            take(&mut worker, &segments, bytes, &wholes);
            worker.watch.lap(Stage::Flow);
        }
        counts.finish_block(&block, refused);
        worker.watch.block_ends();
        let time = block.packets.last().map(|packet| packet.time).unwrap_or_default();
        between.look(&mut worker, &mut counts, time, || Some(joining.common(reader.read())));
    }
    let mut wholes = joining.end();
    wholes.iter_mut().for_each(|whole| tell_apart(vlans_apart, &mut whole.segment));
    take(&mut worker, &[], &[], &wholes);
    let state = State::of(&worker);
    worker.finish();
    between.end(&mut worker, &mut counts, || Some(joining.common(reader.read())));
    let (ledger, inputs) = counts.into_ledger(worker.counters);
    let mut done = Done { ledger, inputs, gathered: vec![worker.gather], state };
    joining.finish(&mut done.ledger, &mut done.inputs);
    done
}

/// What is dealt to a worker: its share of a block, or that there are no more blocks.
enum Part {
    Share(u64, Share),
    End(u64),
}

/// The segments of a block that are of one shard, and what its fragments came to.
struct Share {
    bytes: Bytes,
    /// Of the last packet.
    time: Time,
    segments: Vec<Segment>,
    wholes: Vec<Whole>,
}

/// What all workers of a run can see.
struct Shared<'a> {
    reader: Mutex<Reader<'a>>,
    vlans_apart: bool,
    /// How far it was when the last block was taken, where that is asked: whoever waits for a block holds the reader.
    read: Option<Mutex<Read>>,
    hasher: RandomState,
    senders: Vec<Sender<Part>>,
    order: Mutex<Order>,
    /// Blocks each worker has finished.
    finished: Vec<AtomicU64>,
}

fn together<G: Gather, B: Between<G, ()> + Send>(
    reader: Reader<'_>,
    workers: usize,
    memory: usize,
    gather: &(impl Fn() -> G + Sync),
    between: &(impl Fn(usize) -> B + Sync),
) -> Done<G> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded()).unzip();
    let shared = Shared {
        vlans_apart: reader.vlans_apart,
        reader: Mutex::new(reader),
        read: B::ASKS.then(Mutex::default),
        hasher: RandomState::new(),
        senders,
        order: Mutex::new(Order::default()),
        finished: (0..workers).map(|_| AtomicU64::new(0)).collect(),
    };
    let mut done = Done {
        ledger: Ledger::default(),
        inputs: ByInput::new(),
        gathered: Vec::with_capacity(workers),
        state: State::default(),
    };
    std::thread::scope(|scope| {
        let shared = &shared;
        let threads: Vec<_> = receivers
            .into_iter()
            .enumerate()
            .map(|(me, receiver)| scope.spawn(move || work(me, shared, &receiver, memory, gather(), between(me))))
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(((ledger, inputs), gather, state)) => {
                    done.ledger.merge(&ledger);
                    Merge::merge(&mut done.inputs, inputs);
                    done.gathered.push(gather);
                    done.state.open_flows += state.open_flows;
                    done.state.bytes += state.bytes;
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let order = shared.order.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    order.joining.finish(&mut done.ledger, &mut done.inputs);
    done
}

/// One of several workers: its own parts first, in order; otherwise the next block.
fn work<G: Gather>(
    me: usize,
    shared: &Shared<'_>,
    parts: &Receiver<Part>,
    memory: usize,
    gather: G,
    mut between: impl Between<G, ()>,
) -> ((Ledger, ByInput), G, State) {
    let mut worker = Worker::new(memory, gather, ());
    let mut counts = Counts::new();
    let mut waiting: BTreeMap<u64, Share> = BTreeMap::new();
    let mut next = 0;
    let mut end = u64::MAX;
    while next < end {
        let arrived = match waiting.remove(&next) {
            Some(mut share) => {
                share.wholes.iter_mut().for_each(|whole| tell_apart(shared.vlans_apart, &mut whole.segment));
                take(&mut worker, &share.segments, share.bytes.as_slice(), &share.wholes);
                next += 1;
                shared.finished[me].store(next, Ordering::Release);
                between.look(&mut worker, &mut counts, share.time, || shared.common(me));
                continue;
            }
            None => parts.try_recv().ok(),
        };
        let arrived = match arrived {
            Some(part) => Some(part),
            None if end == u64::MAX && shared.may_read() => {
                shared.deal(&mut counts);
                None
            }
            // Nothing to do but wait for whoever decodes the block that is next.
            None => parts.recv().ok(),
        };
        match arrived {
            Some(Part::Share(number, share)) => {
                waiting.insert(number, share);
            }
            Some(Part::End(blocks)) => end = end.min(blocks),
            None => {}
        }
    }
    let state = State::of(&worker);
    worker.finish();
    between.end(&mut worker, &mut counts, || shared.common(me));
    (counts.into_ledger(worker.counters), worker.gather, state)
}

impl Shared<'_> {
    /// Whether the window has room: the slowest worker is not too far behind.
    fn may_read(&self) -> bool {
        let slowest = self.finished.iter().map(|n| n.load(Ordering::Acquire)).min().unwrap_or(0);
        let dealt = lock(&self.reader).blocks;
        dealt < slowest + WINDOW_BLOCKS * self.finished.len() as u64
    }

    /// Takes the next block, decodes it and deals its segments to their shards.
    fn deal(&self, counts: &mut Counts) {
        let (taken, blocks) = {
            let mut reader = lock(&self.reader);
            let taken = reader.next(counts);
            if let Some(read) = &self.read {
                *lock(read) = reader.read();
            }
            (taken, reader.blocks)
        };
        let Some((number, block)) = taken else {
            let mut order = lock(&self.order);
            order.end(blocks);
            self.hand_out(&mut order);
            for sender in &self.senders {
                // One more, with what is left of fragments.
                let _ = sender.send(Part::End(blocks + 1));
            }
            return;
        };
        let shards = self.senders.len();
        let mut parts: Vec<Vec<Segment>> =
            (0..shards).map(|_| Vec::with_capacity(block.packets.len() / shards + 16)).collect();
        let refused = counts.refused();
        counts.decode(block.bytes.as_slice(), &block.packets, block.first_number, |mut segment| {
            tell_apart(self.vlans_apart, &mut segment);
            parts[self.shard(&segment)].push(segment);
        });
        counts.finish_block(&block, refused);
        let pieces = std::mem::take(&mut counts.pieces);
        let time = block.packets.last().map(|packet| packet.time).unwrap_or_default();
        let share = |segments| Share { bytes: block.bytes.clone(), time, segments, wholes: Vec::new() };
        let shares = parts.into_iter().map(share);
        let mut order = lock(&self.order);
        order.add(number, joining::Dealt { input: block.input, pieces, shares: shares.collect() });
        self.hand_out(&mut order);
    }

    /// Whoever closes a gap hands out what waited behind it.
    fn hand_out(&self, order: &mut Order) {
        while let Some((number, shares)) = order.next(self.senders.len(), |segment| self.shard(segment)) {
            for (sender, share) in self.senders.iter().zip(shares) {
                let _ = sender.send(Part::Share(number, share));
            }
        }
    }

    /// What the first worker hands over for all of them.
    fn common(&self, me: usize) -> Option<Common> {
        let read = lock(self.read.as_ref().filter(|_| me == 0)?).clone();
        Some(lock(&self.order).joining.common(read))
    }

    /// The worker that has the flow of a segment.
    #[inline]
    fn shard(&self, segment: &Segment) -> usize {
        let mut hasher = self.hasher.build_hasher();
        for word in segment.key.address_words() {
            hasher.write_u64(word);
        }
        (hasher.finish() >> 32) as usize % self.senders.len()
    }
}

/// A worker that panicked ends the run when it is joined; until then the others may go on.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
