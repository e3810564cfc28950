//! Takes out of payload what the finding does not need.
//!
//! In: the packets of a file. Out: the same; what is more than a handshake ends where the finding needs no more of it, and
//! every word in it that can be another without the finding coming out otherwise is `x`. The scan is the judge: whatever it
//! was told by a word shows in the finding or its evidence. Halving finds the few words that are needed among the many.

use std::ops::Range;

use super::Limits;
use super::cut::Kept;
use super::packets::{RECORD_HEAD_BYTES, is_record};
use super::replay::How;
use crate::record::Finding;

/// Scans that are made of one file to find out what it needs.
const TRIALS_MAX: usize = 2_000;
/// Printable bytes in a row that are taken for a word where a payload is not text.
const WORD_BYTES_MIN: usize = 4;
/// Bytes at the front of a payload that tell text from what is not.
const FRONT_BYTES: usize = 4;
/// What stands between words of text, and stays.
const SEPARATORS: &[u8] = b" \r\n\t:/?&=#;,@\"";
/// What stands in place of a byte.
const BLANK: u8 = b'x';
/// First byte of a TLS record with data (RFC 8446, section 5.1).
const APPLICATION_DATA: u8 = 0x17;

/// Type of a handshake message, and of extensions in it (IANA, TLS parameters).
const CLIENT_HELLO: u8 = 1;
const SESSION_TICKET: usize = 35;
const PRE_SHARED_KEY: usize = 41;

/// A word: which packet, which of its bytes.
type Word = (usize, Range<usize>);

struct Judge<'a> {
    id: &'a str,
    how: How<'a>,
    /// What the finding says with all words; none when the packets do not show it anyway.
    expected: Option<String>,
    trials: usize,
}

/// Takes out what is not needed. `shows`: the packets show the finding now.
pub(super) fn blank(id: &str, packets: &mut [Kept], how: How<'_>, shows: bool, limits: &mut Limits) {
    let mut judge = Judge { id, how, expected: None, trials: 0 };
    judge.expected = shows.then(|| how.finding(id, packets)).flatten().map(|finding| said(&finding));
    for at in 0..packets.len() {
        judge.end(packets, at);
    }
    // Whole words first; then what is left of long ones, of which a part is needed; then without what may be a length.
    for cut in [Cut::Words, Cut::Parts, Cut::Tails] {
        let found = |(at, kept)| words(kept, cut).map(move |word| (at, word));
        let words: Vec<Word> = packets.iter().enumerate().flat_map(found).collect();
        judge.words(packets, &words);
    }
    let found = |(at, kept): (usize, &Kept)| resumption(kept).into_iter().map(move |range| (at, range));
    let tickets: Vec<Word> = packets.iter().enumerate().flat_map(found).collect();
    judge.words(packets, &tickets);
    limits.reach("finding.trials", TRIALS_MAX, judge.trials.saturating_sub(TRIALS_MAX));
}

/// All that a finding says of what it was made from, but for numbers of packets and volumes.
fn said(finding: &Finding) -> String {
    let Finding { asset, channel, destination, crossing, .. } = finding;
    let evidence: Vec<_> = asset.evidence.iter().map(|e| (&e.field, &e.value, &e.signature, &e.matched)).collect();
    let name = (&destination.domain, &destination.domain_basis, &destination.country);
    format!("{:?}", (&asset.vendor, &asset.product, evidence, &channel.id, &channel.matched, name, crossing))
}

impl Judge<'_> {
    /// Whether packets still show the finding, with all it says. Without trials left they do not.
    fn holds(&mut self, packets: &[Kept]) -> bool {
        let Some(expected) = &self.expected else { return true };
        self.trials += 1;
        self.trials <= TRIALS_MAX
            && self.how.finding(self.id, packets).is_some_and(|finding| said(&finding) == *expected)
    }

    /// Ends the payload of a packet where no more of it is needed.
    fn end(&mut self, packets: &mut [Kept], at: usize) {
        let Some(kept) = packets.get(at) else { return };
        let (whole, payload) = (kept.bytes.clone(), kept.payload);
        if !kept.is_content {
            let end = payload + before_data(whole.get(payload..).unwrap_or_default());
            if end < whole.len() {
                self.try_end(packets, at, &whole, end);
            }
            return;
        }
        // Needed up to `most`, as far as known; not up to `least` alone.
        let (mut least, mut most) = (payload, whole.len());
        if least >= most || self.try_end(packets, at, &whole, least) {
            return;
        }
        while most - least > 1 {
            let middle = least.midpoint(most);
            if self.try_end(packets, at, &whole, middle) {
                most = middle;
            } else {
                least = middle;
            }
        }
        set(packets, at, whole.get(..most).unwrap_or(&whole));
    }

    /// Ends a packet there; whether it stays so.
    fn try_end(&mut self, packets: &mut [Kept], at: usize, whole: &[u8], end: usize) -> bool {
        set(packets, at, whole.get(..end).unwrap_or(whole));
        let holds = self.holds(packets);
        if !holds {
            set(packets, at, whole);
        }
        holds
    }

    /// Blanks those of these words that are not needed.
    fn words(&mut self, packets: &mut [Kept], words: &[Word]) {
        if words.is_empty() {
            return;
        }
        let before: Vec<Vec<u8>> = words.iter().map(|word| blank_word(packets, word)).collect();
        if self.holds(packets) {
            return;
        }
        // Whatever is not known to be needed stays away when there are no trials left.
        if self.trials > TRIALS_MAX {
            return;
        }
        for ((at, range), bytes) in words.iter().zip(before) {
            if let Some(place) = packets.get_mut(*at).and_then(|kept| kept.bytes.get_mut(range.clone())) {
                place.copy_from_slice(&bytes);
            }
        }
        if words.len() > 1 {
            let (left, right) = words.split_at(words.len() / 2);
            self.words(packets, left);
            self.words(packets, right);
        }
    }
}

fn set(packets: &mut [Kept], at: usize, bytes: &[u8]) {
    if let Some(kept) = packets.get_mut(at) {
        kept.bytes.clear();
        kept.bytes.extend_from_slice(bytes);
    }
}

/// Blanks a word; what it was.
fn blank_word(packets: &mut [Kept], (at, range): &Word) -> Vec<u8> {
    let Some(place) = packets.get_mut(*at).and_then(|kept| kept.bytes.get_mut(range.clone())) else {
        return Vec::new();
    };
    let word = place.to_vec();
    place.fill(BLANK);
    word
}

/// Bytes of TLS records before the first one with data, its head included.
fn before_data(payload: &[u8]) -> usize {
    let mut at = 0;
    while let Some([kind, _, _, high, low]) =
        payload.get(at..).filter(|rest| is_record(rest)).and_then(|r| r.first_chunk())
    {
        if *kind == APPLICATION_DATA {
            return at + RECORD_HEAD_BYTES;
        }
        at += RECORD_HEAD_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
    }
    payload.len()
}

/// How the words of a payload that is not text are told; text has but one kind of words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Bytes that can be printed.
    Words,
    /// The same up to what stands between words of text.
    Parts,
    /// Those without their first byte, which may be a length that can be printed.
    Tails,
}

/// The words of a packet's payload.
fn words(kept: &Kept, cut: Cut) -> impl Iterator<Item = Range<usize>> + use<> {
    let fine = cut != Cut::Words;
    let payload = if kept.is_content { kept.bytes.get(kept.payload..).unwrap_or_default() } else { &[] };
    let is_text = payload.iter().take(FRONT_BYTES).all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t'));
    let payload = if is_text && fine { &[] } else { payload };
    let in_word = |byte: u8| match is_text {
        // Numbers of a protocol that begins as text hold it together.
        true => !SEPARATORS.contains(&byte) && !byte.is_ascii_control(),
        false => matches!(byte, b'!'..=b'~') && !(fine && (byte == b'.' || SEPARATORS.contains(&byte))),
    };
    let least = if is_text { 1 } else { WORD_BYTES_MIN };
    let mut found = Vec::new();
    let mut start = None;
    for (at, byte) in payload.iter().copied().chain([b' ']).enumerate() {
        match (in_word(byte) && at < payload.len(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                let long = at - from >= least;
                let from = from + usize::from(cut == Cut::Tails);
                let is_blank = || payload.get(from..at).unwrap_or_default().iter().all(|byte| *byte == BLANK);
                if long && !(fine && is_blank()) {
                    found.push(kept.payload + from..kept.payload + at);
                }
                start = None;
            }
            _ => {}
        }
    }
    found.into_iter()
}

/// What a ClientHello in this packet resumes a session with: its session id, and the bodies of the extensions that hold a
/// ticket (RFC 5077, section 3.2) or keys by name (RFC 8446, section 4.2.11). No fingerprint is made of them.
fn resumption(kept: &Kept) -> Vec<Range<usize>> {
    const HEADERS_BYTES: usize = RECORD_HEAD_BYTES + 4 + 2 + 32;
    let payload = kept.bytes.get(kept.payload..).unwrap_or_default();
    let is_hello = is_record(payload) && payload.get(RECORD_HEAD_BYTES) == Some(&CLIENT_HELLO);
    let mut found = Vec::new();
    if !is_hello {
        return found;
    }
    let number = |at: usize, bytes: usize| {
        payload.get(at..at + bytes).map(|bytes| bytes.iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let mut note = |from: usize, len: usize| {
        let end = (from + len).min(payload.len());
        if from < end {
            found.push(kept.payload + from..kept.payload + end);
        }
    };
    let mut walk = || {
        let mut at = HEADERS_BYTES;
        let session = number(at, 1)?;
        note(at + 1, session);
        at += 1 + session;
        at += 2 + number(at, 2)?;
        at += 1 + number(at, 1)?;
        at += 2;
        loop {
            let (kind, len) = (number(at, 2)?, number(at + 2, 2)?);
            if [SESSION_TICKET, PRE_SHARED_KEY].contains(&kind) {
                note(at + 4, len);
            }
            at += 4 + len;
        }
    };
    let _: Option<std::convert::Infallible> = walk();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::LinkType;
    use crate::scan::Scan;
    use crate::time::Time;

    /// When there were too many trials, what is not known to be needed is blanked, and it is said.
    #[test]
    fn trials_of_a_file() {
        let judging = Scan::builtin().unwrap().judging;
        let text = b"a secret that nobody asked for";
        let mut packets = [Kept {
            time: Time(0),
            link: LinkType(1),
            input: 0,
            interface: None,
            original: text.len() as u32,
            bytes: text.to_vec(),
            payload: 0,
            is_content: true,
            remarks: Vec::new(),
        }];
        let expected = Some("never".to_owned());
        let how = How { judging: &judging, vlans_apart: false };
        let mut judge = Judge { id: "none", how, expected, trials: TRIALS_MAX - 1 };
        let all: Vec<Word> = words(&packets[0], Cut::Words).map(|word| (0, word)).collect();
        assert!(all.len() > 5);
        // The last trial says that something is needed: what it was is not looked for any more.
        judge.words(&mut packets, &all);
        assert!(judge.trials > TRIALS_MAX && judge.trials <= TRIALS_MAX + 9, "{}", judge.trials);
        judge.words(&mut packets, &all);
        assert_eq!(String::from_utf8_lossy(&packets[0].bytes), "x xxxxxx xxxx xxxxxx xxxxx xxx");
        let mut limits = Limits::default();
        limits.reach("finding.trials", TRIALS_MAX, judge.trials.saturating_sub(TRIALS_MAX));
        assert_eq!(limits.0["finding.trials"].limit, TRIALS_MAX as u64);
    }
}
