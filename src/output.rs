//! Where records of a sensor go.
//!
//! In: lines, as they arise. Out: the same on files, standard output, a socket or the system's log, and a count of those
//! that could not be put there. The sensor never waits for an output: each has a queue with a limit and a thread of its own,
//! and what does not fit is lost and counted. Every record that was put is waiting, written or lost, at any time.

mod file;
mod keeping;
mod queue;
mod replace;
mod store;
mod stream;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;

pub use keeping::{Age, Keeping, Rotate, parse_keep_bytes, parse_size};
pub use replace::{Document, replace};
pub use writer::{Clock, wall_clock};

use crate::ledger::Ledger;
use file::{FileSink, is_device, without_links};
use queue::Queue;
use store::{Names, Store};
use writer::Sink;

/// Bytes that wait for all outputs together.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;

/// What became of the records of one output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputCount {
    /// As it was typed.
    pub name: String,
    /// Records that were written.
    pub written: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were lost: no room, no reader, an error.
    pub dropped: u64,
    /// What the system said last, when something failed.
    pub error: Option<String>,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file, a named pipe or a device.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// A Unix socket, of streams or of datagrams.
    Unix(PathBuf),
    /// The system's log behind its socket.
    Syslog(PathBuf),
}

/// Where the log of the system listens.
const SYSLOG: &str = "/dev/log";

impl Target {
    /// Reads `-`, `unix:PATH`, `syslog:`, `syslog:PATH`, or the path of a file.
    pub fn parse(text: &str) -> Result<Target, String> {
        if text == "-" {
            return Ok(Target::Stdout);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err("unix: needs a path".to_owned()) } else { Ok(Target::Unix(path.into())) };
        }
        match text.strip_prefix("syslog:") {
            Some("") => Ok(Target::Syslog(SYSLOG.into())),
            Some(path) => Ok(Target::Syslog(path.into())),
            None if text.is_empty() || text.ends_with('/') => Err(format!("`{text}` is not the name of a file")),
            None => Ok(Target::File(text.into())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::File(path) => write!(f, "{}", path.display()),
            Target::Stdout => f.write_str("-"),
            Target::Unix(path) => write!(f, "unix:{}", path.display()),
            Target::Syslog(path) if path == Path::new(SYSLOG) => f.write_str("syslog:"),
            Target::Syslog(path) => write!(f, "syslog:{}", path.display()),
        }
    }
}

/// Records that go together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Whole records, each a line with its end.
    pub bytes: Vec<u8>,
    /// How many.
    pub records: u64,
}

/// Why an output cannot be used at all.
#[derive(Debug, Error)]
pub enum OutputError {
    /// It cannot be opened.
    #[error("{target}: {error}")]
    Open {
        /// As it was typed.
        target: Target,
        /// What the system said.
        error: io::Error,
    },
    /// It is a socket.
    #[error("{0}: is a socket; write unix:{0}")]
    Socket(Target),
    /// Two kinds of records would go to one file.
    #[error("{0}: only one kind of record can go there")]
    Twice(Target),
}

/// All outputs of a sensor.
pub struct Outputs {
    outputs: Vec<Output>,
    stdout_closed: Arc<AtomicBool>,
}

struct Output {
    kind: &'static str,
    queue: Arc<Queue>,
}

impl Outputs {
    /// Opens outputs for kinds of records (`flows`, `findings`, …). A kind may have several. A file is opened now, a
    /// listener is looked for when the first record comes.
    pub fn open(wanted: Vec<(&'static str, Target)>, keeping: Keeping) -> Result<Outputs, OutputError> {
        Outputs::open_with_clock(wanted, keeping, &wall_clock())
    }

    /// The same, by another clock.
    pub fn open_with_clock(
        wanted: Vec<(&'static str, Target)>,
        keeping: Keeping,
        clock: &Clock,
    ) -> Result<Outputs, OutputError> {
        let bytes_max = QUEUE_BYTES_MAX / wanted.len().max(1);
        let mut files: Vec<PathBuf> = Vec::new();
        for (_, target) in &wanted {
            let Some(path) = plain_file(target)? else { continue };
            if files.contains(&path) {
                return Err(OutputError::Twice(target.clone()));
            }
            files.push(path);
        }
        let store = Arc::new(Store::new(keeping, files.iter().map(|path| Names::new(path)).collect()));
        let mut shelves = files.into_iter().enumerate();
        let stdout_closed = Arc::new(AtomicBool::new(false));
        // A limit on the length of files has to be an error, as a full disk is, and not the end of the process.
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()).ok();
        let mut sinks = Vec::new();
        for (kind, target) in wanted {
            let failed = |error| OutputError::Open { target: target.clone(), error };
            let sink: Box<dyn Sink> = match &target {
                Target::File(path) if plain_file(&target)?.is_none() => Box::new(stream::Pipe::new(path.clone())),
                Target::File(_) => {
                    let Some((shelf, path)) = shelves.next() else { continue };
                    Box::new(FileSink::open(path, store.clone(), shelf, clock()).map_err(failed)?)
                }
                Target::Stdout => {
                    let closed = stdout_closed.clone();
                    let tell = Box::new(move || closed.store(true, Ordering::Relaxed));
                    Box::new(stream::Stdout::new(tell).map_err(failed)?)
                }
                Target::Unix(path) => Box::new(stream::Unix::new(path.clone())),
                Target::Syslog(path) => Box::new(stream::Syslog::new(path.clone(), kind)),
            };
            sinks.push((kind, target, sink));
        }
        store.fit().map_err(|error| OutputError::Open { target: Target::Stdout, error })?;
        let mut outputs = Vec::new();
        for (kind, target, sink) in sinks {
            let queue = Arc::new(Queue::new(target.to_string(), bytes_max));
            writer::start(sink, queue.clone(), clock.clone()).map_err(|error| OutputError::Open { target, error })?;
            outputs.push(Output { kind, queue });
        }
        Ok(Outputs { outputs, stdout_closed })
    }

    /// Whether anybody wants records of a kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.outputs.iter().any(|output| output.kind == kind)
    }

    /// Hands records over to all outputs of their kind. Never waits: where there is no room they are lost and counted.
    pub fn put(&self, kind: &str, mut batch: Batch) {
        if batch.bytes.is_empty() {
            return;
        }
        if batch.bytes.last() != Some(&b'\n') {
            batch.bytes.push(b'\n');
        }
        let batch = Arc::new(batch);
        for output in self.outputs.iter().filter(|output| output.kind == kind) {
            output.queue.put(&batch);
        }
    }

    /// What became of records, output by output.
    pub fn counts(&self) -> Vec<OutputCount> {
        self.outputs.iter().map(|output| output.queue.count()).collect()
    }

    /// Records that were lost, by kind.
    pub fn dropped(&self) -> BTreeMap<&'static str, u64> {
        let mut dropped = BTreeMap::new();
        for output in &self.outputs {
            *dropped.entry(output.kind).or_default() += output.queue.count().dropped;
        }
        dropped
    }

    /// Writes into a ledger what was lost: `output.dropped` are records, `output.repaired` are files whose incomplete last
    /// record was cut off. The ledger must not have them yet.
    pub fn note(&self, ledger: &mut Ledger) {
        ledger.note("output.dropped", self.dropped().values().sum());
        ledger.note("output.repaired", self.outputs.iter().map(|output| output.queue.repairs()).sum());
    }

    /// Begins new files, behind what waits.
    pub fn rotate_now(&self) {
        for output in &self.outputs {
            output.queue.rotate();
        }
    }

    /// Whether the reader of standard output has closed it.
    pub fn stdout_closed(&self) -> bool {
        self.stdout_closed.load(Ordering::Relaxed)
    }

    /// Writes what waits and ends. Gives up on outputs that are stuck when this time is over; what they did not take is
    /// counted as lost. [`counts`](Outputs::counts) and the like still answer.
    pub fn close(&self, patience: Duration) {
        for output in &self.outputs {
            output.queue.close();
        }
        writer::wait(self.outputs.iter().map(|output| &*output.queue), patience);
    }
}

impl Drop for Outputs {
    /// Threads end when they have written what waits; nobody waits for them.
    fn drop(&mut self) {
        for output in &self.outputs {
            output.queue.close();
        }
    }
}

/// The path of a file that can be cut, renamed and counted; nothing when the target is something else.
fn plain_file(target: &Target) -> Result<Option<PathBuf>, OutputError> {
    use std::os::unix::fs::FileTypeExt;
    let Target::File(path) = target else { return Ok(None) };
    let path = without_links(&std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    // One file has one name here, by whichever way it was reached.
    let path = match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    };
    match path.metadata().map(|metadata| metadata.file_type()) {
        Ok(kind) if kind.is_socket() => Err(OutputError::Socket(target.clone())),
        Ok(kind) if kind.is_dir() => {
            Err(OutputError::Open { target: target.clone(), error: io::ErrorKind::IsADirectory.into() })
        }
        Ok(kind) if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() => Ok(None),
        _ if is_device(&path) => Ok(None),
        _ => Ok(Some(path)),
    }
}

#[cfg(test)]
mod tests;
