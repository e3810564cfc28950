//! Lines of text on both sides, and TLS that may begin where a line would: what SMTP, IMAP, POP3 and FTP share.
//!
//! In: the prefixes of both sides. Out: whole lines, one at a time and each looked at once; where TLS begins it reads
//! the rest of that side. A line begins with a character that can be printed and TLS does not, so nothing depends on
//! the command that asked for it having been seen.

#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use crate::fact::{Facts, Flag, Side};
use crate::parse::inner::Inner;
use crate::parse::{Claim, Prefix, Progress};

/// Bytes of a line; a longer one ends the reading of its side.
pub const LINE_BYTES_MAX: usize = 4096;
/// Lines of a side; more end the reading of it.
pub const LINES_MAX: usize = 256;

/// What comes next on a side.
pub enum Next<'a> {
    /// A line without its end.
    Line(&'a [u8]),
    /// No line for now: the answer of the parser.
    Stop(Progress),
}

#[derive(Default)]
struct Half {
    /// Offset of the next line.
    at: usize,
    /// No line end lies between `at` and this offset.
    scanned: usize,
    lines: usize,
    over: bool,
}

/// The lines of both sides.
pub struct Lines {
    halves: [Half; 2],
    inner: Inner,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { halves: Default::default(), inner: Inner::tls() }
    }
}

impl Lines {
    fn half(&mut self, side: Side) -> &mut Half {
        side.of_mut(&mut self.halves)
    }

    /// Nothing more is wanted of this side.
    pub fn end(&mut self, side: Side) {
        self.half(side).over = true;
    }

    /// Lines of this side so far.
    pub fn count(&mut self, side: Side) -> usize {
        self.half(side).lines
    }

    /// The next line of a side.
    pub fn next<'a>(&mut self, side: Side, prefix: Prefix<'a>, facts: &mut Facts) -> Next<'a> {
        if self.inner.has_begun(side) {
            return Next::Stop(self.inner.feed(side, prefix, facts));
        }
        let half = self.half(side);
        let at = half.at;
        let rest = prefix.bytes.get(at..).unwrap_or_default();
        let Some(&first) = rest.first().filter(|_| !half.over) else {
            return Next::Stop(half.more(at, prefix));
        };
        if !(b' '..0x80).contains(&first) {
            match self.inner.begins(side, at, prefix) {
                Claim::Yes => return Next::Stop(self.inner.feed(side, prefix, facts)),
                Claim::NeedBytes(bytes) => return Next::Stop(Progress::NeedBytes(bytes)),
                Claim::No => {}
            }
        }
        let half = self.half(side);
        let unread = prefix.bytes.get(half.scanned..).unwrap_or_default();
        let end = unread.iter().position(|byte| *byte == b'\n').map(|length| half.scanned.saturating_add(length));
        let length = end.unwrap_or(prefix.bytes.len()).saturating_sub(at);
        if length > LINE_BYTES_MAX || half.lines >= LINES_MAX {
            facts.flags.set(Flag::LimitReached);
            half.over = true;
            return Next::Stop(Progress::Done);
        }
        let Some(end) = end else {
            half.scanned = prefix.bytes.len();
            return Next::Stop(half.more(half.scanned, prefix));
        };
        half.at = end.saturating_add(1);
        half.scanned = half.at;
        half.lines = half.lines.saturating_add(1);
        Next::Line(without_end(prefix.bytes.get(at..end).unwrap_or_default()))
    }
}

impl Half {
    fn more(&mut self, have: usize, prefix: Prefix<'_>) -> Progress {
        self.over |= prefix.last;
        if self.over { Progress::Done } else { Progress::NeedBytes(have.saturating_add(1)) }
    }
}

/// A line without the carriage return before its end.
fn without_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The bytes that a claim judges, of which it waits for `most` at the most, and its answer while they do not tell. What
/// is there at once is so judged like what comes in pieces.
pub fn within(bytes: &[u8], most: usize) -> (&[u8], Claim) {
    match bytes.get(..most) {
        Some(all) => (all, Claim::No),
        None => (bytes, Claim::NeedBytes(bytes.len().saturating_add(1))),
    }
}

/// Lines that are complete, for claims.
pub fn complete(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines = bytes.get(..end).filter(|lines| !lines.is_empty());
    lines.into_iter().flat_map(|lines| lines.split(|byte| *byte == b'\n')).map(without_end)
}

/// The code of a reply in three digits, whether another line of it follows, and its text (RFC 5321 section 4.2,
/// RFC 959 section 4.2).
pub fn reply(line: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let (code, rest) = line.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match rest.split_first() {
        None => Some((code, false, rest)),
        Some((b' ', text)) => Some((code, false, text.trim_ascii())),
        Some((b'-', text)) => Some((code, true, text.trim_ascii())),
        Some(_) => None,
    }
}

/// The first word of a line and what follows it.
pub fn command(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii();
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    (word, rest.trim_ascii())
}

/// Whether a word stands anywhere in a text, in upper or lower case.
pub fn has_word(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len().max(1)).any(|part| part.eq_ignore_ascii_case(word))
}

/// Whether the word is one of these, in upper or lower case.
pub fn is_one_of(word: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|other| word.eq_ignore_ascii_case(other))
}
