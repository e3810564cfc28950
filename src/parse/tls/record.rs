//! The record layer: handshake messages out of the records of one side.
//!
//! In: the prefix of one side, a little longer at each call. Out: one step at a time. A message
//! that lies in one record is handed out where it lies; one that crosses records is put together
//! in a buffer. Every byte is looked at once, however small the pieces in which it comes.
//! Source: RFC 8446 section 5.1, RFC 5246 section 6.2.1.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use super::hello::{START_BYTES, Start, hello_start};
use super::{CERTIFICATE, CLIENT_HELLO, SERVER_HELLO};

/// Bytes of a record header: type, version, length.
pub const RECORD_HEADER_BYTES: usize = 5;
/// The longest content of a record in clear, RFC 8446 section 5.1.
const PLAIN_BYTES_MAX: usize = 16_384;
/// The longest record that RFC 5246 section 6.2.3 allows, encrypted.
pub const RECORD_BYTES_MAX: usize = 16_384 + 2_048;
/// Bytes of a handshake header: type, length.
const MESSAGE_HEADER_BYTES: usize = 4;
/// A handshake message longer than this is not waited for.
pub(super) const MESSAGE_BYTES_MAX: usize = 0x2_0000;

/// Content types, RFC 8446 section 5.1.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// A notice of one side to the other.
pub const NOTICE: u8 = 21;
/// Handshake messages.
pub const HANDSHAKE: u8 = 22;
/// Application data, or anything in TLS 1.3.
const APPLICATION_DATA: u8 = 23;
/// RFC 6520.
const HEARTBEAT: u8 = 24;

/// What comes next on a side.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing until the prefix has this many bytes.
    Need(usize),
    /// A handshake message. Its body only when it is a hello or a certificate message.
    Message {
        /// Handshake type.
        kind: u8,
        /// Bytes after the handshake header.
        body: &'a [u8],
        /// Records it stood in.
        records: u32,
    },
    /// The side says that it encrypts from here on.
    ChangeCipher,
    /// What follows cannot be read.
    Encrypted,
    /// Not a record.
    Foreign,
}

/// How far one side has been read.
#[derive(Debug, Default)]
pub struct Records {
    /// Offset in the prefix of the first byte not consumed.
    at: usize,
    /// Bytes of the current handshake record not consumed.
    left: usize,
    /// Bytes of a message nobody wants that are still to come.
    skip: usize,
    /// First part of a message that crosses records.
    message: Vec<u8>,
    /// Records that `message` has bytes of.
    records: u32,
    /// `message` has no byte of the current record yet.
    fresh: bool,
    /// `message` was handed out.
    ready: bool,
    /// A message was handed out or skipped.
    spoke: bool,
    /// It said that it encrypts.
    sealed: bool,
    /// A record was longer than any may be.
    pub oversize: bool,
}

impl Records {
    /// Starts behind `bytes` that were read in another way.
    pub fn start_at(&mut self, bytes: usize) {
        self.at = bytes;
        self.spoke = true;
    }

    /// No byte was consumed.
    pub fn is_at_start(&self) -> bool {
        self.at == 0
    }

    /// The next step in `bytes`, the whole prefix.
    pub fn next<'a>(&'a mut self, bytes: &'a [u8]) -> Step<'a> {
        if self.ready {
            self.message.clear();
            self.ready = false;
        }
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            if self.left == 0 {
                if let Some(step) = self.header(rest) {
                    return step;
                }
            } else if self.skip > 0 {
                let want = self.skip.min(self.left);
                let have = want.min(rest.len());
                self.consume(have);
                self.skip = self.skip.saturating_sub(have);
                if have < want {
                    return self.need(want.saturating_sub(have));
                }
            } else if self.message.is_empty() && self.left >= MESSAGE_HEADER_BYTES {
                let Some((kind, length)) = message_header(rest) else { return self.need(MESSAGE_HEADER_BYTES) };
                let whole = length.saturating_add(MESSAGE_HEADER_BYTES);
                if !is_wanted(kind) || length > MESSAGE_BYTES_MAX {
                    self.consume(MESSAGE_HEADER_BYTES);
                    return self.pass_over(kind, length);
                }
                if whole > self.left {
                    // Its header first, then the loop gathers the rest.
                    let header = rest.get(..MESSAGE_HEADER_BYTES).unwrap_or_default();
                    self.records = 1;
                    self.fresh = false;
                    self.message.extend_from_slice(header);
                    self.consume(MESSAGE_HEADER_BYTES);
                    continue;
                }
                let Some(body) = rest.get(MESSAGE_HEADER_BYTES..whole) else { return self.need(whole) };
                self.consume(whole);
                self.spoke = true;
                return Step::Message { kind, body, records: 1 };
            } else {
                let want = self.missing().min(self.left);
                let Some(piece) = rest.get(..want) else { return self.need(want) };
                self.gather(piece);
                let Some((kind, length)) = message_header(&self.message) else { continue };
                if !is_wanted(kind) || length > MESSAGE_BYTES_MAX {
                    self.message.clear();
                    return self.pass_over(kind, length);
                }
                if self.message.len() == length.saturating_add(MESSAGE_HEADER_BYTES) {
                    self.ready = true;
                    self.spoke = true;
                    let body = self.message.get(MESSAGE_HEADER_BYTES..).unwrap_or_default();
                    return Step::Message { kind, body, records: self.records };
                }
            }
        }
    }

    /// The message that was cut off, when no more bytes will come: its type, what is there of its
    /// body, and the prefix that would have been needed for all of it.
    pub fn cut<'a>(&'a mut self, bytes: &'a [u8]) -> Option<(u8, &'a [u8], usize)> {
        if self.ready || self.skip > 0 {
            return None;
        }
        let rest = bytes.get(self.at..).unwrap_or_default();
        let rest = rest.get(..self.left).unwrap_or(rest);
        let part = if self.message.is_empty() {
            rest
        } else {
            self.gather(rest);
            &self.message
        };
        let (kind, length) = message_header(part)?;
        let body = part.get(MESSAGE_HEADER_BYTES..)?;
        let missing = length.saturating_sub(body.len());
        Some((kind, body, bytes.len().saturating_add(missing)))
    }

    fn need(&self, more: usize) -> Step<'static> {
        Step::Need(self.at.saturating_add(more))
    }

    fn consume(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
        self.left = self.left.saturating_sub(bytes);
    }

    fn gather(&mut self, piece: &[u8]) {
        if self.message.is_empty() {
            self.records = 0;
            self.fresh = true;
        }
        if self.fresh && !piece.is_empty() {
            self.records = self.records.saturating_add(1);
            self.fresh = false;
        }
        self.message.extend_from_slice(piece);
        self.consume(piece.len());
    }

    /// Bytes until the gathered message, or at first its header, is complete.
    fn missing(&self) -> usize {
        let whole = match message_header(&self.message) {
            Some((_, length)) => length.saturating_add(MESSAGE_HEADER_BYTES),
            None => MESSAGE_HEADER_BYTES,
        };
        whole.saturating_sub(self.message.len())
    }

    fn pass_over(&mut self, kind: u8, length: usize) -> Step<'static> {
        if !is_known(kind) || length > MESSAGE_BYTES_MAX {
            return Step::Encrypted;
        }
        self.skip = length;
        self.spoke = true;
        Step::Message { kind, body: &[], records: 1 }
    }

    /// Reads a record header and whatever is not handshake.
    fn header(&mut self, rest: &[u8]) -> Option<Step<'static>> {
        let Some((&[kind, major, minor, high, low], payload)) = rest.split_first_chunk() else {
            return Some(self.need(RECORD_HEADER_BYTES));
        };
        if !is_record(kind, major, minor) {
            return Some(Step::Foreign);
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        let in_clear = kind == HANDSHAKE && !self.sealed;
        self.oversize |= length > if in_clear { PLAIN_BYTES_MAX } else { RECORD_BYTES_MAX };
        match kind {
            HANDSHAKE => {
                if self.sealed {
                    // Behind this only a second ClientHello or the answer to it is plain text.
                    let look = length.min(START_BYTES);
                    let Some(start) = payload.get(..look) else {
                        return Some(self.need(RECORD_HEADER_BYTES.saturating_add(look)));
                    };
                    if hello_start(start) == Start::Other {
                        return Some(Step::Encrypted);
                    }
                    self.sealed = false;
                }
                self.consume(RECORD_HEADER_BYTES);
                self.left = length;
                self.fresh = true;
                None
            }
            APPLICATION_DATA => Some(Step::Encrypted),
            NOTICE if self.sealed => Some(Step::Encrypted),
            _ => {
                let whole = RECORD_HEADER_BYTES.saturating_add(length);
                if rest.len() < whole {
                    return Some(self.need(whole));
                }
                self.consume(whole);
                if kind != CHANGE_CIPHER_SPEC || !self.spoke || self.skip > 0 || !self.message.is_empty() {
                    return None;
                }
                self.sealed = true;
                Some(Step::ChangeCipher)
            }
        }
    }
}

/// Whether three bytes can start a record: a content type and version 3.x.
pub fn is_record(kind: u8, major: u8, minor: u8) -> bool {
    (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) && major == 3 && minor <= 4
}

fn message_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let &[kind, a, b, c] = bytes.first_chunk()?;
    Some((kind, u32::from_be_bytes([0, a, b, c]) as usize))
}

/// Messages whose bodies are read.
fn is_wanted(kind: u8) -> bool {
    matches!(kind, CLIENT_HELLO | SERVER_HELLO | CERTIFICATE)
}

/// Handshake types that may stand in plain text (IANA, "TLS HandshakeType"); anything else is
/// an encrypted record.
fn is_known(kind: u8) -> bool {
    matches!(kind, 0..=8 | 11..=16 | 20..=24 | 67)
}
