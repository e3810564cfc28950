//! Sequence and acknowledgement numbers of a TCP flow: what never came by, and what is data.
//!
//! In: the hot line of a flow and one segment. Out: payload that was skipped over, or acknowledged and never seen: the
//! estimate of loss before the sensor. Source: RFC 9293, section 3.4.

use crate::decode::{Segment, tcp};
use crate::flow::table::{Hot, state};

/// A SYN or payload so many bytes behind the newest may be a repetition.
pub(super) const REPEATED_WITHIN: i32 = 1 << 20;

/// TCP payload that was not seen, by what one segment tells.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// Skipped over, or acknowledged and never seen, by side.
    skipped: [u32; 2],
    /// Counted as skipped before, and here it is.
    late: u32,
}

impl Lost {
    /// All of the segment was there before.
    pub(super) fn is_repeated(self) -> bool {
        self.late > 0
    }

    /// Counts it; `sender` sent the segment.
    #[cold]
    pub(super) fn note(self, missing: &mut [u32; 2], sender: usize) {
        missing[sender] = missing[sender].saturating_sub(self.late);
        for (total, more) in missing.iter_mut().zip(self.skipped) {
            *total = total.saturating_add(more);
        }
    }
}

/// A SYN tells where its side begins, and its answer which of several it was. Whether it can be one of this flow: when the
/// other side has agreed to another number, or there was payload, only a repetition can.
pub(super) fn begins(hot: &mut Hot, s: usize, segment: &Segment, first_byte: u32) -> bool {
    let other = 1 - s;
    let answers = segment.tcp_flags & tcp::ACK != 0;
    if answers && !hot.is(state::PAYLOAD[other]) {
        agree(hot, other, segment.ack);
    }
    let known = hot.is(state::SEQ[s]);
    let ahead = first_byte.wrapping_sub(hot.next_seq[s]) as i32;
    let repeats = if hot.is(state::PAYLOAD[s]) { (-REPEATED_WITHIN..=0).contains(&ahead) } else { ahead == 0 };
    if hot.is(state::AGREED[s]) && !repeats {
        return false;
    }
    hot.state &= !state::MIDSTREAM;
    if hot.is(state::PAYLOAD[s]) {
        return true;
    }
    if known && ahead != 0 && hot.is(state::SYN[s] | state::TWO_STARTS[s]) {
        // Until the other side has answered one of them the first payload tells.
        hot.state &= !state::SYN[s];
        hot.state |= if answers { 0 } else { state::TWO_STARTS[s] };
    } else if !hot.is(state::TWO_STARTS[s]) {
        hot.state |= state::SYN[s];
    }
    hot.next_seq[s] = first_byte;
    hot.state |= state::SEQ[s];
    true
}

/// The answer to a SYN of a side says where that begins.
fn agree(hot: &mut Hot, s: usize, first_byte: u32) {
    if hot.is(state::SYN[s]) && hot.next_seq[s] == first_byte {
        hot.state |= state::AGREED[s];
    } else if hot.is(state::SYN[s]) {
        // Nobody sent that SYN, or answers contradict each other.
        hot.state &= !state::SYN[s];
        hot.state |= state::TWO_STARTS[s];
    } else if hot.is(state::TWO_STARTS[s]) && !hot.is(state::AGREED[s]) {
        hot.next_seq[s] = first_byte;
        hot.state &= !state::TWO_STARTS[s];
        hot.state |= state::SYN[s] | state::AGREED[s];
    }
}

/// Whether a segment begins before the end of what was there of its side.
pub(super) fn is_behind(hot: &Hot, s: usize, first_byte: u32) -> bool {
    hot.is(state::SEQ[s]) && (first_byte.wrapping_sub(hot.next_seq[s]) as i32) < 0
}

/// Follows sequence and acknowledgement numbers for the estimate of what never came by.
#[inline]
pub(super) fn follow(hot: &mut Hot, s: usize, segment: &Segment, first_byte: u32, payload_len: u32) -> Lost {
    let end = first_byte.wrapping_add(payload_len).wrapping_add(u32::from(segment.tcp_flags & tcp::FIN != 0));
    let mut lost = Lost::default();
    if !hot.is(state::SEQ[s]) {
        hot.next_seq[s] = end;
        hot.state |= state::SEQ[s];
    } else {
        let ahead = first_byte.wrapping_sub(hot.next_seq[s]) as i32;
        let grows = end.wrapping_sub(hot.next_seq[s]) as i32;
        if ahead > 0 {
            lost.skipped[s] = ahead as u32;
        } else if ahead < 0 && grows <= 0 {
            lost.late = payload_len;
        }
        if grows > 0 {
            hot.next_seq[s] = end;
            if payload_len == 0 {
                forget_start(hot, s);
            }
        }
    }
    let other = 1 - s;
    if segment.tcp_flags & tcp::ACK != 0 && hot.is(state::SEQ[other]) {
        let unseen = segment.ack.wrapping_sub(hot.next_seq[other]) as i32;
        if unseen > 0 {
            // A FIN that was not seen counts one; it is no byte.
            lost.skipped[other] += (unseen as u32).saturating_sub(1);
            hot.next_seq[other] = segment.ack;
            forget_start(hot, other);
        }
    }
    lost
}

/// The next number of a side has moved on before any payload came: it is no longer that of the first byte, which may
/// still come by when the two directions are captured by different cards.
#[inline]
fn forget_start(hot: &mut Hot, s: usize) {
    if !hot.is(state::PAYLOAD[s]) {
        hot.state &= !state::SYN[s];
    }
}

/// Whether a segment behind a hello carries more than the rest of a TLS handshake: not a record of
/// handshake, alert or cipher change, and not the encrypted Finished of TLS 1.3, which looks like
/// data (RFC 8446, section 5) and has at most `FINISHED_BYTES_MAX` bytes. `len`: bytes it had on the wire, of which
/// the first must have been captured.
#[inline]
pub fn is_data(payload: &[u8], len: u32) -> bool {
    payload.first().is_some_and(|kind| !matches!(kind, 0x14..=0x16)) && len > FINISHED_BYTES_MAX
}

/// Record header, handshake header, SHA-384, content type and tag: 74; with room for padding.
const FINISHED_BYTES_MAX: u32 = 80;
