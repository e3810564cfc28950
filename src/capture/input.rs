//! One input that is open: a mapped file, or a stream (compressed, a pipe, standard input).
//!
//! In: a name. Out: packets with the bytes they point into, and the flaws that were met. A stream
//! is read in pieces; a record that straddles two is carried over to the later one.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compressed::{Counted, Decompressed, NESTING_MAX, Peek};
use super::walk::{Flaw, Flaws, Found, KIND_BYTES, Kind, Place, Stop, Walker, kind};
use super::{Bytes, Map, Packet};

/// Bytes of a piece of a stream.
const PIECE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of its first piece, and of every piece of a pipe, which is not waited for.
const PIECE_BYTES_SMALL: usize = 256 * 1024;
/// Buffer between a file and its decompressor.
const FILE_BUFFER_BYTES: usize = 256 * 1024;
/// Mapped bytes behind the reader that stay resident for those who still look at them, and the
/// step in which they are given back.
const RESIDENT_BYTES: usize = 32 * 1024 * 1024;

/// The name of standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// An input that is open and known to be a capture.
pub(crate) struct Input {
    bytes: Bytes,
    at: usize,
    base: u64,
    more: Option<Box<dyn Read + Send>>,
    // Hand on what a read gives instead of waiting for a full piece.
    eager: bool,
    // What ended the stream before its end.
    failure: Option<String>,
    walker: Walker,
    done: bool,
    flaws: Flaws,
    packets: u64,
    released: usize,
    raw: Arc<AtomicU64>,
}

impl Input {
    /// Opens a file, a pipe, or standard input; finds out from the bytes what it is.
    ///
    /// Errors: why nothing can be read from it.
    pub(crate) fn open(path: &Path) -> Result<Input, String> {
        if path == Path::new(STANDARD_INPUT) {
            return Input::stream(Box::new(io::stdin()), true);
        }
        let file = File::open(path).map_err(|error| error.to_string())?;
        let about = file.metadata().map_err(|error| error.to_string())?;
        if about.is_dir() {
            return Err("a directory".to_owned());
        }
        if about.is_file()
            && let Ok(map) = Map::new(&file)
        {
            let kind = kind(map.get(..KIND_BYTES).unwrap_or(&map));
            if let Some(walker) = Walker::new(kind) {
                return Ok(Input::new(Bytes::Mapped(Arc::new(map)), walker));
            }
        }
        Input::stream(Box::new(file), !about.is_file())
    }

    /// From a stream, decompressed as often as needed.
    pub(crate) fn stream(reader: Box<dyn Read + Send>, eager: bool) -> Result<Input, String> {
        let raw = Arc::new(AtomicU64::new(0));
        let counted = Counted::new(reader, raw.clone());
        let buffered = BufReader::with_capacity(FILE_BUFFER_BYTES, counted);
        let mut source = Peek::new(Box::new(buffered));
        let mut depth = 0usize;
        loop {
            let head = source.peek(KIND_BYTES).map_err(|error| error.to_string())?;
            let kind = kind(head);
            if let Some(walker) = Walker::new(kind) {
                let mut input = Input::new(Bytes::Owned(Arc::new(Vec::new())), walker);
                input.more = Some(Box::new(source));
                input.eager = eager;
                input.raw = raw;
                return Ok(input);
            }
            match kind {
                _ if head.is_empty() => return Err("empty".to_owned()),
                Kind::Compressed if depth < NESTING_MAX => {}
                Kind::Compressed => {
                    return Err(format!("compressed more than {NESTING_MAX} times over"));
                }
                _ => return Err("not a capture file".to_owned()),
            }
            let inside = Decompressed::new(source, raw.clone());
            source = Peek::new(Box::new(BufReader::with_capacity(FILE_BUFFER_BYTES, inside)));
            depth = depth.saturating_add(1);
        }
    }

    fn new(bytes: Bytes, walker: Walker) -> Input {
        Input {
            bytes,
            at: 0,
            base: 0,
            more: None,
            eager: false,
            failure: None,
            walker,
            done: false,
            flaws: Flaws::default(),
            packets: 0,
            released: 0,
            raw: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Up to `limit` packets and what they point into; `None` at the end.
    pub(crate) fn next(&mut self, limit: usize) -> Option<(Bytes, Vec<Packet>)> {
        let mut packets = Vec::with_capacity(limit);
        while !self.done && packets.is_empty() {
            let mut place = Place::new(self.bytes.as_slice(), self.at, self.base);
            let mut found = Found { packets: &mut packets, limit, flaws: &mut self.flaws };
            let stop = self.walker.walk(&mut place, &mut found);
            self.at = place.at;
            match stop {
                Stop::Full => break,
                Stop::Broken => self.done = true,
                Stop::Need(_) if !packets.is_empty() && self.more.is_some() => break,
                Stop::Need(need) => self.refill(need),
            }
        }
        if let Bytes::Mapped(map) = &self.bytes
            && let Some((from, reason)) = map.cut()
        {
            packets.retain(|packet| (packet.start as u64).saturating_add(u64::from(packet.captured)) <= from);
            // Up to there all is well.
            if self.done || self.at as u64 > from {
                self.done = true;
                self.flaws.cut(from, reason);
            }
        }
        self.release();
        self.packets = self.packets.saturating_add(packets.len() as u64);
        (!packets.is_empty()).then(|| (self.bytes.clone(), packets))
    }

    /// The name of an interface, where the format tells it.
    pub(crate) fn interface(&self, number: u32) -> Option<Arc<str>> {
        self.walker.interface(number)
    }

    /// Packets so far.
    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of the file that were consumed.
    pub(crate) fn consumed(&self) -> u64 {
        match &self.bytes {
            Bytes::Mapped(_) => self.at as u64,
            Bytes::Owned(_) => self.raw.load(Ordering::Relaxed),
        }
    }

    /// The flaws that were met, and the map, where somebody may still look at it.
    pub(crate) fn into_flaws(mut self) -> (Vec<Flaw>, Option<Arc<Map>>) {
        let map = self.map();
        if let Some(map) = &map
            && let grown @ 1.. = map.grown()
        {
            self.flaws.note(map.len() as u64, || {
                format!("the file grew by {grown} bytes while it was read: they were not read")
            });
        }
        (self.flaws.take(), map)
    }

    /// The file, where it is mapped.
    pub(crate) fn map(&self) -> Option<Arc<Map>> {
        match &self.bytes {
            Bytes::Mapped(map) => Some(map.clone()),
            Bytes::Owned(_) => None,
        }
    }

    /// Gets bytes enough for a record of `need` bytes at the position, or ends the input.
    fn refill(&mut self, need: usize) {
        let rest = self.bytes.as_slice().get(self.at..).unwrap_or_default();
        let have = rest.len();
        let offset = self.base.saturating_add(self.at as u64);
        let Some(more) = &mut self.more else {
            self.done = true;
            if let Some(failure) = self.failure.take() {
                let end = offset.saturating_add(have as u64);
                self.flaws.note(end, || failure);
            } else if have > 0 {
                self.flaws.note(offset, || {
                    format!("the input ends inside a header or record: {have} of {need} bytes are there")
                });
            }
            return;
        };
        let usual = match self.eager || offset == 0 {
            true => PIECE_BYTES_SMALL,
            false => PIECE_BYTES,
        };
        let size = usual.max(need);
        let mut piece = Vec::with_capacity(size);
        piece.extend_from_slice(rest);
        let result = match self.eager {
            true => fill_to(more, &mut piece, need, size),
            false => {
                let missing = size.saturating_sub(have) as u64;
                more.take(missing).read_to_end(&mut piece).map(|_| ())
            }
        };
        if let Err(error) = result {
            self.failure = Some(error.to_string());
            self.more = None;
        } else if piece.len() < need {
            self.more = None;
        }
        self.bytes = Bytes::Owned(Arc::new(piece));
        self.at = 0;
        self.base = offset;
    }

    fn release(&mut self) {
        let Bytes::Mapped(map) = &self.bytes else {
            return;
        };
        let behind = self.at.saturating_sub(RESIDENT_BYTES);
        if behind.saturating_sub(self.released) >= RESIDENT_BYTES {
            map.release(self.released, behind);
            self.released = behind;
        }
    }
}

/// Reads until there are `need` bytes, up to `size` when they come at once.
fn fill_to(reader: &mut dyn Read, piece: &mut Vec<u8>, need: usize, size: usize) -> io::Result<()> {
    let mut filled = piece.len();
    piece.resize(size, 0);
    let result = loop {
        if filled >= need {
            break Ok(());
        }
        match reader.read(piece.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break Ok(()),
            Ok(n) => filled = filled.saturating_add(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    piece.truncate(filled);
    result
}
