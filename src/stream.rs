//! The first bytes of one side of a TCP flow, in order, whatever order they arrived in.
//!
//! In: segments with sequence numbers. Out: the contiguous prefix from the side's first byte.
//! At most [`PREFIX_BYTES_MAX`] a side; the first copy of a byte wins, a second one that differs is
//! reported and kept as another reading; a hole stays a hole and is said to be one. Sources: RFC 9293 section 3.4 (sequence
//! numbers are compared modulo 2^32).
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[cfg(test)]
mod tests;

/// Bytes kept of one side.
pub const PREFIX_BYTES_MAX: usize = 64 * 1024;
/// Separate pieces kept behind a hole; a segment that would make one more is dropped.
pub const PIECES_MAX: usize = 512;
/// Other readings kept of a side; the last of them takes in what would make one more.
pub const OTHERS_MAX: usize = 4;

/// What a segment did to the prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// It overlaps bytes that were there and differ.
    pub conflict: bool,
    /// A limit kept some of it out.
    pub limited: bool,
    /// It starts before the first byte so far; the prefix now starts there.
    pub rebased: bool,
}

/// The first bytes of one side, as far as they have arrived.
#[derive(Debug, Default)]
pub struct Stream {
    /// Sequence number of the first byte; `None` until one is known.
    base: Option<u32>,
    /// The base was told by a SYN: nothing comes before it.
    anchored: bool,
    /// Bytes from the base on; those in no piece are not there yet.
    bytes: Vec<u8>,
    /// Ranges of `bytes` that arrived: sorted, disjoint, not touching.
    pieces: Vec<(usize, usize)>,
    /// As `bytes`, but as if later copies that differed had won, up to one such copy each.
    others: Vec<Vec<u8>>,
    /// Nothing is taken in from here on.
    end: Option<usize>,
}

impl Stream {
    /// A SYN tells where the side starts.
    pub fn anchor(&mut self, first_byte: u32) {
        if self.base.is_none() {
            self.base = Some(first_byte);
        }
        self.anchored |= self.base == Some(first_byte);
    }

    /// Somebody has read from the first byte on: nothing comes before it any more.
    pub fn pin(&mut self) {
        self.anchored |= self.base.is_some();
    }

    /// Whether nothing can come before the first byte.
    pub fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// Offset of a sequence number from the first byte; the first one seen becomes the base.
    pub fn offset(&mut self, seq: u32) -> i32 {
        let base = *self.base.get_or_insert(seq);
        seq.wrapping_sub(base) as i32
    }

    /// The contiguous bytes from the first.
    pub fn prefix(&self) -> &[u8] {
        match self.pieces.first() {
            Some(&(0, end)) => self.bytes.get(..end).unwrap_or_default(),
            _ => &[],
        }
    }

    /// What the contiguous bytes are when later copies of them count: nothing as long as all copies were the same.
    pub fn others(&self) -> impl Iterator<Item = &[u8]> {
        let length = self.prefix().len();
        self.others.iter().map(move |other| other.get(..length).unwrap_or(other))
    }

    /// No more is wanted than is there, and `more` bytes. What is there stays, so that copies of it can be compared.
    pub fn stop(&mut self, more: usize) {
        let length = self.prefix().len();
        for bytes in self.others.iter_mut().chain([&mut self.bytes]) {
            bytes.truncate(length);
        }
        self.pieces.truncate(usize::from(length > 0));
        self.end = Some(length.saturating_add(more));
    }

    /// Bytes wait behind a hole.
    pub fn has_hole(&self) -> bool {
        match self.pieces.first() {
            Some(&(0, _)) => self.pieces.len() > 1,
            Some(_) => true,
            None => false,
        }
    }

    /// What waits behind holes; each begins where a segment began.
    pub fn behind_holes(&self) -> impl Iterator<Item = &[u8]> {
        let behind = self.pieces.iter().filter(|(start, _)| *start > 0);
        behind.filter_map(|&(start, end)| self.bytes.get(start..end))
    }

    /// The prefix has all it may have.
    pub fn is_full(&self) -> bool {
        self.prefix().len() >= PREFIX_BYTES_MAX
    }

    /// Bytes of memory behind it.
    pub fn heap_bytes(&self) -> usize {
        let pieces = self.pieces.capacity().saturating_mul(size_of::<(usize, usize)>());
        let others: usize = self.others.iter().map(Vec::capacity).sum();
        self.bytes.capacity().saturating_add(pieces).saturating_add(others)
    }

    /// Adds a segment. The prefix may grow by more than this segment when it closes a hole.
    pub fn insert(&mut self, seq: u32, segment: &[u8]) -> Inserted {
        let mut done = Inserted::default();
        let offset = self.offset(seq);
        let mut segment = segment;
        if offset < 0 {
            let before = offset.unsigned_abs() as usize;
            if self.anchored || self.end.is_some() || before > PREFIX_BYTES_MAX {
                segment = segment.get(before..).unwrap_or_default();
            } else {
                self.rebase(seq, before);
                done.rebased = true;
            }
        }
        let start = if done.rebased { 0 } else { usize::try_from(offset).unwrap_or(0) };
        let room = self.end.unwrap_or(PREFIX_BYTES_MAX).min(PREFIX_BYTES_MAX).saturating_sub(start);
        if segment.len() > room {
            done.limited = true;
            segment = segment.get(..room).unwrap_or_default();
        }
        if !segment.is_empty() {
            self.place(start, segment, &mut done);
        }
        done
    }

    /// Moves everything back by `before` bytes: an earlier byte than the first has come.
    fn rebase(&mut self, seq: u32, before: usize) {
        self.base = Some(seq);
        if self.pieces.is_empty() {
            return;
        }
        for bytes in self.others.iter_mut().chain([&mut self.bytes]) {
            let mut moved = vec![0; before];
            moved.append(bytes);
            moved.truncate(PREFIX_BYTES_MAX);
            *bytes = moved;
        }
        let end = self.bytes.len();
        for piece in &mut self.pieces {
            piece.0 = piece.0.saturating_add(before).min(end);
            piece.1 = piece.1.saturating_add(before).min(end);
        }
        self.pieces.retain(|(start, end)| start < end);
    }

    fn place(&mut self, start: usize, segment: &[u8], done: &mut Inserted) {
        let end = start.saturating_add(segment.len());
        // Pieces that touch or overlap [start, end) become one with it.
        let first = self.pieces.partition_point(|&(_, piece_end)| piece_end < start);
        let after = self.pieces.partition_point(|&(piece_start, _)| piece_start <= end);
        if first == after && self.pieces.len() >= PIECES_MAX {
            done.limited = true;
            return;
        }
        let touched = self.pieces.get(first..after).unwrap_or_default();
        let mut merged = (start, end);
        for &(piece_start, piece_end) in touched {
            let (low, high) = (piece_start.max(start), piece_end.min(end));
            done.conflict |= low < high && self.bytes.get(low..high) != segment_range(segment, start, low, high);
            merged = (merged.0.min(piece_start), merged.1.max(piece_end));
        }
        for bytes in self.others.iter_mut().chain([&mut self.bytes]) {
            fill(bytes, segment, start, touched);
        }
        if done.conflict {
            self.read_otherwise(start, segment);
        }
        self.pieces.splice(first..after, [merged]);
    }

    /// A copy that differs from what was there is another reading of it, unless there is one that says so.
    fn read_otherwise(&mut self, start: usize, segment: &[u8]) {
        let end = start.saturating_add(segment.len());
        if self.others.iter().any(|other| other.get(start..end) == Some(segment)) {
            return;
        }
        if self.others.len() < OTHERS_MAX {
            self.others.push(self.others.last().unwrap_or(&self.bytes).clone());
        }
        if let Some(other) = self.others.last_mut() {
            copy(other, segment, start, start, end);
        }
    }
}

/// Puts in of a segment at `start` what is not there: `pieces` are what it touches of that which is.
fn fill(bytes: &mut Vec<u8>, segment: &[u8], start: usize, pieces: &[(usize, usize)]) {
    let end = start.saturating_add(segment.len());
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    let mut at = start;
    for &(piece_start, piece_end) in pieces {
        copy(bytes, segment, start, at, piece_start.min(end));
        at = at.max(piece_end);
    }
    copy(bytes, segment, start, at, end);
}

/// The part of a segment that covers stream bytes `low..high`.
fn segment_range(segment: &[u8], start: usize, low: usize, high: usize) -> Option<&[u8]> {
    segment.get(low.checked_sub(start)?..high.checked_sub(start)?)
}

/// Copies stream bytes `low..high` of a segment that starts at `start`.
fn copy(bytes: &mut [u8], segment: &[u8], start: usize, low: usize, high: usize) {
    if low >= high {
        return;
    }
    if let (Some(to), Some(from)) = (bytes.get_mut(low..high), segment_range(segment, start, low, high)) {
        to.copy_from_slice(from);
    }
}
