//! The thread that writes one output, and the only one that waits for it.
//!
//! In: a [`Queue`] and a [`Sink`]. Out: records on the sink, each counted as written or lost. The clock of this thread is
//! the wall clock, or that of a test.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::queue::{Queue, Work};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How often a writer without work looks at the clock.
const TICK: Duration = Duration::from_millis(500);
/// First pause after something failed; it doubles with each further failure.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause after something failed.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A place that takes records.
pub trait Sink: Send {
    /// Writes some of these records, from the first on. Records are whole lines, and there is at least one. A sink that
    /// wrote part of a record sends the rest of it first when it is called again.
    fn write(&mut self, records: &[u8], now: Timestamp) -> Wrote;

    /// Begins a new file.
    fn rotate(&mut self, _now: Timestamp) -> io::Result<()> {
        Ok(())
    }

    /// Does what the clock asks for.
    fn tick(&mut self, _now: Timestamp) -> io::Result<()> {
        Ok(())
    }

    /// Makes sure that what was written stays.
    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Files whose incomplete last line was cut off since this was asked last.
    fn repaired(&mut self) -> u64 {
        0
    }
}

/// How far a sink came.
#[derive(Debug)]
pub struct Wrote {
    /// Bytes of whole records that are out.
    pub bytes: usize,
    /// Why not further.
    pub stop: Option<Stop>,
}

/// Why a sink did not come further.
#[derive(Debug)]
pub enum Stop {
    /// The rest may be tried again after a pause.
    Later(io::Error),
    /// So many bytes can never be put there; what follows can.
    Never(usize, io::Error),
    /// The rest of the batch is lost; the next may be tried after a pause.
    Failed(io::Error),
    /// Nothing can be put there any more.
    Ended(io::Error),
}

/// The wall clock.
pub fn wall_clock() -> Clock {
    Arc::new(Timestamp::now)
}

/// Waits until the writers of these queues have ended, all of them together no longer than this.
pub fn wait<'a>(queues: impl Iterator<Item = &'a Queue>, patience: Duration) {
    let began = Instant::now();
    for queue in queues {
        queue.wait(patience.saturating_sub(began.elapsed()));
    }
}

/// Starts the thread of an output.
pub fn start(sink: Box<dyn Sink>, queue: Arc<Queue>, clock: Clock) -> io::Result<()> {
    let name = "output".to_owned();
    std::thread::Builder::new().name(name).spawn(move || Writer { sink, queue, clock, pause: PAUSE_MIN }.run())?;
    Ok(())
}

struct Writer {
    sink: Box<dyn Sink>,
    queue: Arc<Queue>,
    clock: Clock,
    pause: Duration,
}

impl Writer {
    fn run(mut self) {
        loop {
            let work = self.queue.take(TICK);
            let now = (self.clock)();
            let done = match &work {
                Work::Rotate => self.sink.rotate(now),
                Work::Batch(_) | Work::Tick => self.sink.tick(now),
                Work::End => self.sink.close(),
            };
            if let Err(error) = done {
                self.queue.failed(&error);
            }
            match work {
                Work::Batch(batch) => self.write(&batch.bytes, now),
                Work::Rotate | Work::Tick => {}
                Work::End => break,
            }
            let repaired = self.sink.repaired();
            if repaired > 0 {
                self.queue.repaired(repaired);
            }
        }
        self.queue.ended();
    }

    fn write(&mut self, mut rest: &[u8], now: Timestamp) {
        let mut whole = true;
        while !rest.is_empty() {
            let Wrote { bytes, stop } = self.sink.write(rest, now);
            let (done, left) = rest.split_at_checked(bytes).unwrap_or((rest, &[]));
            if !self.queue.wrote(records(done), done.len() as u64) {
                return;
            }
            rest = left;
            whole = stop.is_none();
            match stop {
                None => self.pause = PAUSE_MIN,
                Some(Stop::Never(bytes, error)) => {
                    self.queue.failed(&error);
                    let (lost, left) = rest.split_at_checked(bytes).unwrap_or((rest, &[]));
                    self.queue.lost(records(lost));
                    rest = left;
                }
                Some(Stop::Later(error)) => {
                    self.queue.failed(&error);
                    if !self.wait() {
                        break;
                    }
                }
                Some(Stop::Failed(error)) => {
                    self.queue.failed(&error);
                    // Counted before the pause: who looks meanwhile should see it.
                    self.queue.settle(false);
                    self.wait();
                    return;
                }
                Some(Stop::Ended(error)) => {
                    self.queue.failed(&error);
                    self.queue.give_up();
                    return;
                }
            }
        }
        self.queue.settle(whole);
    }

    /// Waits a little longer each time; false when all is over.
    fn wait(&mut self) -> bool {
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        self.queue.pause(pause)
    }
}

/// How many records these are.
fn records(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|b| **b == b'\n').count() as u64
}

/// Whole records from the beginning of these: at most so many bytes, but at least one record.
pub fn piece(records: &[u8], bytes_max: usize) -> &[u8] {
    if records.len() <= bytes_max {
        return records;
    }
    let within = records.get(..bytes_max).unwrap_or(records);
    let end = within.iter().rposition(|b| *b == b'\n').or_else(|| records.iter().position(|b| *b == b'\n'));
    end.and_then(|end| records.get(..=end)).unwrap_or(records)
}
