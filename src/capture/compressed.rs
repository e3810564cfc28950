//! Compressed inputs: gzip, zstd, lz4 frames and xz, one after another in any mix.
//!
//! In: a stream of compressed bytes. Out: a stream of the bytes inside, and an error when they are
//! cut short, wrong, or grow beyond reason. Standards: RFC 1952, RFC 8878, the LZ4 frame format,
//! the .xz file format. Zero bytes after a frame are padding (tapes, xz stream padding).

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use liblzma::bufread::XzDecoder;
use lz4_flex::frame::FrameDecoder;

/// A compressed capture in a compressed file is read; deeper is refused.
pub(crate) const NESTING_MAX: usize = 2;
/// Below this much output no ratio is held against an input.
pub(crate) const BOMB_BYTES_MIN: u64 = 1024 * 1024 * 1024;
/// Output for each byte of the file, above which it is refused.
pub(crate) const BOMB_RATIO_MAX: u64 = 1000;

/// A zstd frame may look back this far: 2^27 bytes (128 MiB), the tool's own default.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Memory an xz stream may ask for; `xz -9` needs 65 MiB.
pub(super) const XZ_MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Decompressed at a time. A decoder that meets an error gives nothing of what it did in that
/// step, so a step is small.
pub(super) const STEP_BYTES_MAX: usize = 64 * 1024;

const MAGIC_GZIP: &[u8] = &[0x1f, 0x8b];
const MAGIC_ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const MAGIC_LZ4: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
const MAGIC_XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
/// Skippable frames, shared by zstd and lz4: the low half of the first byte is free.
const MAGIC_SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
const SKIPPABLE_HEADER_BYTES: usize = 8;

/// Starts as one of the compressed formats does.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    format(head).is_some()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Gzip,
    Zstd,
    Lz4,
    Xz,
    Skippable,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Gzip => "gzip",
            Format::Zstd => "zstd",
            Format::Lz4 => "lz4",
            Format::Xz => "xz",
            Format::Skippable => "skippable frame",
        }
    }
}

fn format(head: &[u8]) -> Option<Format> {
    if let Some([first, rest @ ..]) = head.first_chunk::<4>()
        && [first & 0xf0].iter().chain(rest).eq(&MAGIC_SKIPPABLE)
    {
        return Some(Format::Skippable);
    }
    [(MAGIC_GZIP, Format::Gzip), (MAGIC_ZSTD, Format::Zstd), (MAGIC_LZ4, Format::Lz4), (MAGIC_XZ, Format::Xz)]
        .into_iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, format)| format)
}

/// A stream whose next bytes can be looked at.
pub(crate) struct Peek {
    inner: Box<dyn BufRead + Send>,
    ahead: Vec<u8>,
    at: usize,
}

impl Peek {
    /// Nothing looked at yet.
    pub(crate) fn new(inner: Box<dyn BufRead + Send>) -> Peek {
        Peek { inner, ahead: Vec::new(), at: 0 }
    }

    /// The next `n` bytes, fewer at the end. They stay unread.
    pub(crate) fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        self.ahead.drain(..self.at.min(self.ahead.len()));
        self.at = 0;
        while self.ahead.len() < n {
            let missing = n.saturating_sub(self.ahead.len());
            let more = match self.inner.fill_buf() {
                Ok(more) => more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let more = more.get(..missing).unwrap_or(more);
            if more.is_empty() {
                break;
            }
            self.ahead.extend_from_slice(more);
            let taken = more.len();
            self.inner.consume(taken);
        }
        Ok(self.ahead.get(..n).unwrap_or(&self.ahead))
    }
}

impl BufRead for Peek {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.ahead.get(self.at..) {
            Some(ahead) if !ahead.is_empty() => Ok(ahead),
            _ => self.inner.fill_buf(),
        }
    }

    fn consume(&mut self, n: usize) {
        match self.at < self.ahead.len() {
            true => self.at = self.at.saturating_add(n),
            false => self.inner.consume(n),
        }
    }
}

impl Read for Peek {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.ahead.get(self.at..) {
            Some(mut ahead) if !ahead.is_empty() => {
                let n = ahead.read(buffer)?;
                self.at = self.at.saturating_add(n);
                Ok(n)
            }
            _ => self.inner.read(buffer),
        }
    }
}

/// A stream that counts what is read from it: the bytes of the file itself.
pub(crate) struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R> Counted<R> {
    /// Adds to `count`.
    pub(crate) fn new(inner: R, count: Arc<AtomicU64>) -> Counted<R> {
        Counted { inner, count }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Tells whether the end of the stream was met: the lz4 decoder does not.
struct Watch {
    inner: Peek,
    ended: bool,
}

impl Read for Watch {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.ended |= n == 0 && !buffer.is_empty();
        Ok(n)
    }
}

/// Where a [`Decompressed`] is.
enum State {
    Between(Peek),
    Gzip(Box<GzDecoder<Peek>>),
    Zstd(Box<zstd::Decoder<'static, Peek>>),
    Lz4(Box<FrameDecoder<Watch>>),
    Xz(Box<XzDecoder<Peek>>),
    Done,
}

/// The bytes inside compressed ones. After an error there is nothing more to read.
pub(crate) struct Decompressed {
    state: State,
    format: Format,
    frames: u64,
    output: u64,
    input: Arc<AtomicU64>,
    bomb_bytes_min: u64,
}

impl Decompressed {
    /// Of this stream; `input` counts the bytes of the file it comes from.
    pub(crate) fn new(source: Peek, input: Arc<AtomicU64>) -> Decompressed {
        Decompressed {
            state: State::Between(source),
            format: Format::Skippable,
            frames: 0,
            output: 0,
            input,
            bomb_bytes_min: BOMB_BYTES_MIN,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_bomb_bytes_min(mut self, bytes: u64) -> Decompressed {
        self.bomb_bytes_min = bytes;
        self
    }

    /// Reads from the frame that is open, or opens the next. `None`: go on.
    fn step(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let most = buffer.len().min(STEP_BYTES_MAX);
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let read = match &mut self.state {
            State::Done => return Ok(Some(0)),
            State::Between(_) => 0,
            State::Gzip(decoder) => decoder.read(buffer)?,
            State::Zstd(decoder) => decoder.read(buffer)?,
            State::Lz4(decoder) => decoder.read(buffer)?,
            State::Xz(decoder) => decoder.read(buffer)?,
        };
        if read > 0 {
            return Ok(Some(read));
        }
        let source = match std::mem::replace(&mut self.state, State::Done) {
            State::Done => return Ok(Some(0)),
            State::Between(source) => source,
            State::Gzip(decoder) => decoder.into_inner(),
            State::Zstd(mut decoder) => {
                decoder.finish_frame()?;
                decoder.into_inner()
            }
            State::Lz4(decoder) => {
                let watch = decoder.into_inner();
                if watch.ended {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                watch.inner
            }
            State::Xz(decoder) => decoder.into_inner(),
        };
        self.open_frame(source)?;
        Ok(None)
    }

    fn open_frame(&mut self, mut source: Peek) -> io::Result<()> {
        let head = source.peek(SKIPPABLE_HEADER_BYTES)?;
        let Some(format) = format(head) else {
            let first = head.first().copied();
            return self.after_last(source, first);
        };
        self.format = format;
        self.frames = self.frames.saturating_add(1);
        self.state = match format {
            Format::Skippable => {
                let size = head.last_chunk::<4>().map_or(0, |n| u32::from_le_bytes(*n));
                let whole = u64::from(size).saturating_add(SKIPPABLE_HEADER_BYTES as u64);
                let skipped = io::copy(&mut (&mut source).take(whole), &mut io::sink())?;
                if skipped < whole {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                State::Between(source)
            }
            Format::Gzip => State::Gzip(Box::new(GzDecoder::new(source))),
            Format::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(source)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                State::Zstd(Box::new(decoder))
            }
            Format::Lz4 => State::Lz4(Box::new(FrameDecoder::new(Watch { inner: source, ended: false }))),
            Format::Xz => {
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES_MAX, 0).map_err(io::Error::other)?;
                State::Xz(Box::new(XzDecoder::new_stream(source, stream)))
            }
        };
        Ok(())
    }

    /// What follows the last frame may only be zero bytes.
    fn after_last(&mut self, mut source: Peek, first: Option<u8>) -> io::Result<()> {
        match first {
            None => return Ok(()),
            Some(0) if self.frames > 0 => {}
            Some(_) => return Err(io::Error::other("followed by bytes of no known kind")),
        }
        loop {
            let zeros = source.fill_buf()?.iter().take_while(|byte| **byte == 0);
            match zeros.count() {
                0 => break,
                n => source.consume(n),
            }
        }
        self.state = State::Between(source);
        Ok(())
    }

    fn refuse_bomb(&mut self, read: usize) -> io::Result<()> {
        self.output = self.output.saturating_add(read as u64);
        let input = self.input.load(Ordering::Relaxed).max(1);
        if self.output > self.bomb_bytes_min && self.output > input.saturating_mul(BOMB_RATIO_MAX) {
            return Err(io::Error::other(format!(
                "{} bytes became {}, more than {BOMB_RATIO_MAX} for each: refused",
                input, self.output
            )));
        }
        Ok(())
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let step = self.step(buffer).and_then(|step| {
                self.refuse_bomb(step.unwrap_or(0))?;
                Ok(step)
            });
            match step {
                Ok(Some(read)) => return Ok(read),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.state = State::Done;
                    return Err(named(self.format, error));
                }
            }
        }
    }
}

/// The error with the name of the format. One that an inner stream has named stays as it is.
fn named(format: Format, error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Named>()) {
        return error;
    }
    let words = match error.kind() {
        io::ErrorKind::UnexpectedEof => "cut short".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), Named(format!("{} data: {words}", format.name())))
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Named(String);
