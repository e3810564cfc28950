//! Records to who listens on this machine: standard output, a pipe, a Unix socket, the system's log.
//!
//! In: whole records. Out: the same as a stream of lines, or one a datagram, or one a message of the log (RFC 5424 in
//! datagrams, as `/dev/log` takes them). A connection that is lost is made again, and begins with a whole record. Nothing
//! here leaves the machine.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::writer::{Sink, Stop, Wrote, piece};

/// Bytes that are handed to a stream at a time: what a stuck reader leaves in doubt.
pub(super) const STREAM_BYTES_MAX: usize = 16 << 10;
/// Pause when a stream that does not wait has no room.
const FULL_PAUSE: Duration = Duration::from_millis(10);
/// Facility `daemon`, severity `informational` (RFC 5424, 6.2.1).
const PRIORITY: u32 = 3 * 8 + 6;
/// Longest HOSTNAME and MSGID (RFC 5424, 6).
const HOSTNAME_MAX: usize = 255;
const MSGID_MAX: usize = 32;
/// A datagram is longer than the system carries (`EMSGSIZE`, errno.h of Linux, and of the BSDs).
const TOO_LONG: i32 = if cfg!(target_os = "linux") { 90 } else { 40 };

/// Outputs that share standard output take turns, a few whole records each.
static TURN: Mutex<()> = Mutex::new(());

/// Standard output.
pub struct Stdout {
    lines: Lines<File>,
    /// Called when the reader has closed it.
    closed: Box<dyn Fn() + Send>,
}

impl Stdout {
    /// Standard output of this process; `closed` is called when its reader is gone.
    pub fn new(closed: Box<dyn Fn() + Send>) -> io::Result<Stdout> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Stdout { lines: Lines::new(file), closed })
    }
}

impl Sink for Stdout {
    fn write(&mut self, records: &[u8], _now: Timestamp) -> Wrote {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut bytes, mut rest) = (0, piece(records, STREAM_BYTES_MAX));
        while !rest.is_empty() {
            let stop = match self.lines.write(rest) {
                Ok(done) => {
                    bytes += done;
                    rest = rest.get(done..).unwrap_or(&[]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    (self.closed)();
                    Stop::Ended(error)
                }
                Err(error) => Stop::Later(error),
            };
            return Wrote { bytes, stop: Some(stop) };
        }
        Wrote { bytes, stop: None }
    }
}

/// A named pipe or a device.
pub struct Pipe {
    path: PathBuf,
    lines: Option<Lines<File>>,
}

impl Pipe {
    /// The pipe or device at a path; it is opened when the first record comes.
    pub fn new(path: PathBuf) -> Pipe {
        Pipe { path, lines: None }
    }
}

impl Sink for Pipe {
    fn write(&mut self, records: &[u8], _now: Timestamp) -> Wrote {
        // Opening a named pipe waits for its reader: this thread may.
        let open = || OpenOptions::new().append(true).open(&self.path).map(Lines::new);
        send(&mut self.lines, open, |lines| lines.write(records), records.len())
    }
}

/// A Unix socket.
pub struct Unix {
    path: PathBuf,
    peer: Option<Peer>,
}

enum Peer {
    Stream(Lines<UnixStream>),
    Datagrams(UnixDatagram),
}

impl Unix {
    /// The socket at a path; it is connected when the first record comes.
    pub fn new(path: PathBuf) -> Unix {
        Unix { path, peer: None }
    }
}

impl Sink for Unix {
    fn write(&mut self, records: &[u8], _now: Timestamp) -> Wrote {
        let record = piece(records, 1);
        let put = |peer: &mut Peer| match peer {
            Peer::Stream(lines) => lines.write(records),
            Peer::Datagrams(socket) => socket.send(record).map(|_| record.len()),
        };
        send(&mut self.peer, || connect(&self.path), put, record.len())
    }
}

/// The log of the system.
pub struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    /// What stands between the time and the record.
    middle: String,
}

impl Syslog {
    /// The log behind a socket; the kind of record is the message id.
    pub fn new(path: PathBuf, kind: &str) -> Syslog {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let (host, kind) = (word(&host, HOSTNAME_MAX), word(kind, MSGID_MAX));
        Syslog { path, socket: None, middle: format!(" {host} bordertap {} {kind} - ", std::process::id()) }
    }
}

impl Sink for Syslog {
    fn write(&mut self, records: &[u8], now: Timestamp) -> Wrote {
        let record = piece(records, 1);
        let mut message = format!("<{PRIORITY}>1 {now:.6}{}", self.middle).into_bytes();
        message.extend_from_slice(record.strip_suffix(b"\n").unwrap_or(record));
        let put = |socket: &mut UnixDatagram| socket.send(&message).map(|_| record.len());
        send(&mut self.socket, || datagrams(&self.path), put, record.len())
    }
}

/// Printable ASCII without blanks, or the nil value.
fn word(text: &str, most: usize) -> String {
    let word: String = text.trim().chars().filter(char::is_ascii_graphic).take(most).collect();
    if word.is_empty() { "-".to_owned() } else { word }
}

/// A stream that takes lines, and remembers how much of the line it is in the middle of is out.
struct Lines<W> {
    out: W,
    torn: usize,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Lines<W> {
        Lines { out, torn: 0 }
    }

    /// Writes some bytes and says how many of them belong to records that are out now; the next call has to begin with
    /// the record that is not.
    fn write(&mut self, records: &[u8]) -> io::Result<usize> {
        let rest = records.get(self.torn..).unwrap_or(&[]);
        let rest = rest.get(..STREAM_BYTES_MAX).unwrap_or(rest);
        let count = match self.out.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(FULL_PAUSE);
                0
            }
            Err(error) => return Err(error),
        };
        let last = rest.get(..count).and_then(|out| out.iter().rposition(|b| *b == b'\n'));
        let whole = last.map_or(0, |at| self.torn + at + 1);
        self.torn = self.torn + count - whole;
        Ok(whole)
    }
}

/// Sends over a connection, which is made when there is none and let go when it fails.
fn send<P>(
    peer: &mut Option<P>,
    connect: impl FnOnce() -> io::Result<P>,
    put: impl FnOnce(&mut P) -> io::Result<usize>,
    record: usize,
) -> Wrote {
    let mut connected = match peer.take().map_or_else(connect, Ok) {
        Ok(connected) => connected,
        Err(error) => return Wrote { bytes: 0, stop: Some(Stop::Later(error)) },
    };
    match put(&mut connected) {
        Ok(bytes) => {
            *peer = Some(connected);
            Wrote { bytes, stop: None }
        }
        Err(error) if error.raw_os_error() == Some(TOO_LONG) => {
            *peer = Some(connected);
            Wrote { bytes: 0, stop: Some(Stop::Never(record, error)) }
        }
        Err(error) => Wrote { bytes: 0, stop: Some(Stop::Later(error)) },
    }
}

/// Connects to a socket of streams, or of datagrams.
fn connect(path: &Path) -> io::Result<Peer> {
    let stream = match UnixStream::connect(path) {
        Ok(stream) => return Ok(Peer::Stream(Lines::new(stream))),
        Err(error) => error,
    };
    match datagrams(path) {
        Ok(socket) => Ok(Peer::Datagrams(socket)),
        // The other reasons say no more than that the socket is not one of datagrams.
        Err(error) if [ErrorKind::NotFound, ErrorKind::ConnectionRefused].contains(&error.kind()) => Err(error),
        Err(_) => Err(stream),
    }
}

fn datagrams(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}
