//! Turns: a run that goes on hands over what it gathered whenever it is asked.
//!
//! In: a number that whoever leads the run counts up. Out: a [`Hand`] of every worker for every number, between two of its
//! blocks; what stays behind are the flows that are open. Nothing is counted twice: the hands of a run add up to what the
//! run would have given at its end.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::Sender;

use super::{ByInput, Counts, State};
use crate::capture::{Damage, Losses};
use crate::ledger::Ledger;
use crate::time::{SECOND, Time};
use crate::watch::Watch;
use crate::worker::{Gather, Worker};

/// Time between two looks at flows that may be over.
const SWEEP_NANOSECONDS: i64 = SECOND / 10;
/// A clock that goes on by more between two looks was put on: they are a fraction of a second apart.
const JUMP_NANOSECONDS: i64 = 3600 * SECOND;

/// A worker's gatherer that hands over what it has, and goes on.
pub trait Turned: Gather {
    /// What is handed over.
    type Part: Send;

    /// What was gathered since the last turn.
    fn turn(&mut self) -> Self::Part;

    /// Whether gists get new numbers now: if so, [`Turned::renumber`] is asked for each that a flow has. Asked after
    /// [`Turned::turn`], before what it gave is sent.
    fn begin_renewal(&mut self) -> bool;

    /// The new number.
    fn renumber(&mut self, gist: u32) -> u32;

    /// All were asked for.
    fn end_renewal(&mut self);
}

/// The number of the turn that is asked for.
#[derive(Debug, Default)]
pub struct Turns(AtomicU64);

impl Turns {
    /// Asks for the next turn; its number.
    pub fn ask(&self) -> u64 {
        self.0.fetch_add(1, Ordering::AcqRel) + 1
    }

    fn asked(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What a worker hands over.
pub struct Hand<P> {
    /// Which worker.
    pub worker: usize,
    /// The number that was asked for.
    pub turn: u64,
    /// It was the last: the run is over.
    pub last: bool,
    /// What became of packets since its last hand.
    pub ledger: Ledger,
    /// The same by input.
    pub inputs: ByInput,
    /// Its source, when it speaks for one.
    pub read: Option<Read>,
    /// Its flows now.
    pub state: State,
    /// What it gathered since its last hand.
    pub part: P,
}

/// How far a source was read, since the beginning.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Packets that were handed over.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was lost before that.
    pub losses: Losses,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// What is common to a run: how far its source is, and what became of fragments since that was asked last.
pub(super) type Common = (Read, Ledger, ByInput);

/// What a worker does between two blocks.
pub(super) trait Between<G: Gather, W: Watch> {
    /// It asks how far the source is.
    const ASKS: bool;

    /// Looks up from work at this packet time. `common` is asked at most once.
    fn look(
        &mut self,
        worker: &mut Worker<G, W>,
        counts: &mut Counts,
        time: Time,
        common: impl FnOnce() -> Option<Common>,
    );

    /// The run is over and every flow has ended.
    fn end(&mut self, worker: &mut Worker<G, W>, counts: &mut Counts, common: impl FnOnce() -> Option<Common>);
}

impl<G: Gather, W: Watch> Between<G, W> for () {
    const ASKS: bool = false;

    #[inline(always)]
    fn look(&mut self, _: &mut Worker<G, W>, _: &mut Counts, _: Time, _: impl FnOnce() -> Option<Common>) {}

    fn end(&mut self, _: &mut Worker<G, W>, _: &mut Counts, _: impl FnOnce() -> Option<Common>) {}
}

/// Tells the time from the time of the latest packet.
pub type Clock<'a> = &'a (dyn Fn(Time) -> Time + Sync);

/// Does what a run with turns asks of a worker.
pub(super) struct Turner<'a, G: Turned> {
    pub(super) me: usize,
    pub(super) turns: &'a Turns,
    pub(super) clock: Clock<'a>,
    pub(super) hands: Sender<Hand<G::Part>>,
    pub(super) done: u64,
    pub(super) swept: Time,
    /// How often the clock was put on or back.
    pub(super) jumps: u64,
}

impl<G: Turned> Turner<'_, G> {
    fn hand<W: Watch>(
        &mut self,
        worker: &mut Worker<G, W>,
        counts: &mut Counts,
        common: impl FnOnce() -> Option<Common>,
        last: bool,
    ) {
        self.done = self.turns.asked();
        let counts = std::mem::replace(counts, Counts::new());
        let (mut ledger, mut inputs) = counts.into_ledger(std::mem::take(&mut worker.counters));
        if self.jumps > 0 {
            ledger.note("clock.jump", std::mem::take(&mut self.jumps));
        }
        let read = common().map(|(read, of_fragments, by_input)| {
            ledger.merge(&of_fragments);
            crate::merge::Merge::merge(&mut inputs, by_input);
            read
        });
        let (state, part) = (State::of(worker), worker.gather.turn());
        // Before it is handed over: whoever leads may then prepare the next turn, which is not for the flows of this one.
        if !last && worker.gather.begin_renewal() {
            worker.renumber(|gather, gist| gather.renumber(gist));
            worker.gather.end_renewal();
        }
        // Nobody is left to take it when whoever leads has given up.
        let _ = self.hands.send(Hand { worker: self.me, turn: self.done, last, ledger, inputs, read, state, part });
    }
}

impl<G: Turned, W: Watch> Between<G, W> for Turner<'_, G> {
    const ASKS: bool = true;

    fn look(
        &mut self,
        worker: &mut Worker<G, W>,
        counts: &mut Counts,
        time: Time,
        common: impl FnOnce() -> Option<Common>,
    ) {
        let now = (self.clock)(time);
        let since = now.since(self.swept);
        if since < 0 || since > JUMP_NANOSECONDS && self.swept != Time::default() {
            self.jumps += 1;
        }
        if !(0..SWEEP_NANOSECONDS).contains(&since) {
            self.swept = now;
            worker.sweep(now);
        }
        if self.turns.asked() != self.done {
            self.hand(worker, counts, common, false);
        }
    }

    fn end(&mut self, worker: &mut Worker<G, W>, counts: &mut Counts, common: impl FnOnce() -> Option<Common>) {
        self.hand(worker, counts, common, true);
    }
}
