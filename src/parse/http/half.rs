//! Where the reading of one side of an HTTP flow stands.
//!
//! In: the prefix of the side, longer at each call. Out: complete lines, each looked at once, and
//! how many bytes are needed for the next step.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::ops::Range;

use super::HEAD_BYTES_MAX;
use crate::fact::{Facts, Flag};
use crate::parse::Prefix;
use crate::stream::PREFIX_BYTES_MAX;

/// Requests whose answers have no body in the usual sense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Head,
    Connect,
}

/// Where one side is.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// Before a start line.
    Start,
    /// In header lines.
    Head,
    /// In a body that ends at this offset.
    Body(usize),
    /// Before the line with a chunk's size.
    ChunkSize,
    /// In a chunk whose data ends at this offset.
    Chunk(usize),
    /// In the trailer behind the last chunk.
    Trailer,
    /// Another protocol, or the next message, may start here.
    Open,
    /// TLS inside a tunnel.
    Tunnel,
    /// Nothing more is wanted.
    Over,
}

/// What the head of a message says about its body.
#[derive(Clone, Copy, Default)]
pub(super) struct Body {
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    /// The headers contradict each other, or use a coding that does not show its end.
    pub(super) unsure: bool,
}

/// The message that is being read.
#[derive(Clone, Copy)]
pub(super) enum Message {
    Request(Option<Mark>),
    Response(u16),
}

/// One side of the flow.
pub(super) struct Half {
    pub(super) phase: Phase,
    /// Offset of the first byte that is not read yet.
    pub(super) at: usize,
    /// No line end lies between `at` and this offset.
    pub(super) scanned: usize,
    /// Offset where the message began.
    pub(super) began: usize,
    /// Header lines, or empty lines before a start line.
    pub(super) lines: usize,
    /// The last header line; the next may continue it (RFC 9112, 5.2).
    pub(super) header: Option<Range<usize>>,
    pub(super) message: Message,
    pub(super) body: Body,
}

impl Half {
    pub(super) fn new() -> Half {
        Half {
            phase: Phase::Start,
            at: 0,
            scanned: 0,
            began: 0,
            lines: 0,
            header: None,
            message: Message::Response(0),
            body: Body::default(),
        }
    }

    /// The next line without its end, or `None` while its end is not there.
    pub(super) fn line(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let rest = bytes.get(self.scanned..).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
            self.scanned = bytes.len().max(self.scanned);
            return None;
        };
        let end = self.scanned.saturating_add(length);
        let start = self.at;
        self.jump(end.saturating_add(1));
        let line = bytes.get(start..end).unwrap_or_default();
        let cut = usize::from(line.last() == Some(&b'\r'));
        Some(start..end.saturating_sub(cut))
    }

    pub(super) fn jump(&mut self, to: usize) {
        self.at = to;
        self.scanned = to;
    }

    pub(super) fn next_message(&mut self) {
        self.phase = Phase::Start;
        self.began = self.at;
        self.lines = 0;
    }

    /// Goes to `Body` or `Chunk`, unless they end where no bytes will come from.
    pub(super) fn skip(&mut self, length: u64, into: fn(usize) -> Phase) {
        let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(self.at);
        self.phase = if end < PREFIX_BYTES_MAX { into(end) } else { Phase::Over };
    }

    /// Asks for the rest of a line.
    pub(super) fn need_line(&self) -> Step {
        Step::Need(self.scanned.saturating_add(1))
    }

    /// Asks for the rest of a line of a head, up to the limit.
    pub(super) fn more(&mut self, prefix: Prefix<'_>, facts: &mut Facts) -> Step {
        if prefix.bytes.len().saturating_sub(self.began) > HEAD_BYTES_MAX {
            return self.limit(facts);
        }
        self.need_line()
    }

    pub(super) fn limit(&mut self, facts: &mut Facts) -> Step {
        facts.flags.set(Flag::LimitReached);
        self.phase = Phase::Over;
        Step::Again
    }
}

/// What a step of a side leads to.
pub(super) enum Step {
    /// Look at the phase again.
    Again,
    /// So many bytes of this side in all are needed.
    Need(usize),
}
