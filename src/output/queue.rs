//! What waits for one output, and what became of the rest.
//!
//! In: batches from the sensor, which never waits. Out: the same to the thread that writes them. A batch that finds no room
//! is lost and counted; every record that was put is at any time waiting, in the writer's hand, written or lost.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Batch, OutputCount};

/// What a batch costs beside its bytes.
const ITEM_BYTES: usize = 128;
/// Longest pause of a writer that is about to end.
const LAST_PAUSE: Duration = Duration::from_millis(50);

/// The queue of one output.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// Records of the batch that is being written.
    in_hand: u64,
    count: OutputCount,
    repaired: u64,
    phase: Phase,
    /// The writer has ended.
    ended: bool,
}

#[derive(Debug)]
enum Item {
    Batch(Arc<Batch>),
    Rotate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Open,
    /// What waits is written, nothing is added.
    Closing,
    /// What waits is lost.
    Deaf,
}

/// What the writer has to do next.
#[derive(Debug)]
pub enum Work {
    /// To write this; every record of it is settled before the next work is asked for.
    Batch(Arc<Batch>),
    /// To begin a new file.
    Rotate,
    /// To look at the clock.
    Tick,
    /// To end.
    End,
}

impl Queue {
    /// A queue of so many bytes for an output of that name.
    pub fn new(name: String, bytes_max: usize) -> Queue {
        let state = State { count: OutputCount { name, ..OutputCount::default() }, ..State::default() };
        Queue { state: Mutex::new(state), changed: Condvar::new(), bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a batch over, or counts it as lost; never waits for the writer.
    pub fn put(&self, batch: &Arc<Batch>) {
        let mut state = self.lock();
        let cost = batch.bytes.len().saturating_add(ITEM_BYTES);
        if state.phase != Phase::Open || state.bytes.saturating_add(cost) > self.bytes_max {
            state.count.dropped += batch.records;
            return;
        }
        state.bytes += cost;
        state.items.push_back(Item::Batch(batch.clone()));
        self.changed.notify_all();
    }

    /// Asks for a new file behind all that waits.
    pub fn rotate(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open && !matches!(state.items.back(), Some(Item::Rotate)) {
            state.items.push_back(Item::Rotate);
            self.changed.notify_all();
        }
    }

    /// What is to be done next; waits for it, but not longer than this.
    pub fn take(&self, patience: Duration) -> Work {
        let mut state = self.lock();
        for last in [false, true] {
            if let Some(item) = state.items.pop_front() {
                let Item::Batch(batch) = item else { return Work::Rotate };
                state.bytes = state.bytes.saturating_sub(batch.bytes.len() + ITEM_BYTES);
                state.in_hand = batch.records;
                return Work::Batch(batch);
            }
            if state.phase != Phase::Open {
                return Work::End;
            }
            if !last {
                state = self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        Work::Tick
    }

    /// Counts records in hand as written; false when nobody wants the rest.
    pub fn wrote(&self, records: u64, bytes: u64) -> bool {
        let mut state = self.lock();
        // Records that were given up as lost stay lost, even when a stuck writer comes free at last.
        let records = records.min(state.in_hand);
        state.in_hand -= records;
        if records > 0 {
            state.count.written += records;
            state.count.bytes += bytes;
        }
        state.phase != Phase::Deaf
    }

    /// Counts records in hand as lost.
    pub fn lost(&self, records: u64) {
        let mut state = self.lock();
        let records = records.min(state.in_hand);
        state.in_hand -= records;
        state.count.dropped += records;
    }

    /// Counts all that is in hand: as written when nothing went wrong with its last record.
    pub fn settle(&self, written: bool) {
        let records = self.lock().in_hand;
        if written {
            self.wrote(records, 0);
        } else {
            self.lost(records);
        }
    }

    /// Remembers what the system said.
    pub fn failed(&self, error: &io::Error) {
        self.lock().count.error = Some(error.to_string());
    }

    /// Counts files whose incomplete last line was cut off.
    pub fn repaired(&self, files: u64) {
        self.lock().repaired += files;
    }

    /// Waits before something is tried again, unless all ends; false when it is over.
    pub fn pause(&self, pause: Duration) -> bool {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state = self
                .changed
                .wait_timeout_while(state, pause, |state| state.phase == Phase::Open)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        } else if state.phase == Phase::Closing {
            let pause = pause.min(LAST_PAUSE);
            state = self
                .changed
                .wait_timeout_while(state, pause, |state| state.phase == Phase::Closing)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        state.phase != Phase::Deaf
    }

    /// Takes nothing any more; what waits is still written.
    pub fn close(&self) {
        let mut state = self.lock();
        state.phase = state.phase.max(Phase::Closing);
        self.changed.notify_all();
    }

    /// Gives up what waits and what is in hand.
    pub fn give_up(&self) {
        let mut state = self.lock();
        let waiting: u64 = state.items.iter().map(|i| if let Item::Batch(b) = i { b.records } else { 0 }).sum();
        state.count.dropped += waiting + state.in_hand;
        state.in_hand = 0;
        state.items.clear();
        state.bytes = 0;
        state.phase = Phase::Deaf;
        self.changed.notify_all();
    }

    /// The writer says that it has ended.
    pub fn ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits for the end of the writer; gives up what is left when this time is over.
    pub fn wait(&self, left: Duration) {
        let state = self.lock();
        let (state, _) =
            self.changed.wait_timeout_while(state, left, |state| !state.ended).unwrap_or_else(PoisonError::into_inner);
        let ended = state.ended;
        drop(state);
        if !ended {
            self.failed(&io::Error::new(io::ErrorKind::TimedOut, "not written within the time to end"));
            self.give_up();
        }
    }

    /// What became of the records so far.
    pub fn count(&self) -> OutputCount {
        self.lock().count.clone()
    }

    /// Files whose incomplete last line was cut off.
    pub fn repairs(&self) -> u64 {
        self.lock().repaired
    }
}
