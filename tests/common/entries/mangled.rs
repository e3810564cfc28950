//! A flow of the fixtures, and a script of what happens to its segments or datagrams on the way.
//!
//! In: four bytes that choose the flow, then steps of four bytes. Out: nothing; facts may become fewer. One that is not
//! read in the intact flow is allowed only where two copies contradict each other, and then only where it was said that the
//! flow can be read in more than one way or that bytes are missing (what came by behind them may be gone when another copy
//! comes), or where it was read before the second copy came by: when both sides are read, copies are not compared any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bordertap::parse::Transport;

use super::super::sample::{self, Piece, Read, Sample};

/// Steps of one script.
const STEPS_MAX: usize = 64;
/// Pieces a flow may be cut into: streams keep 512 behind a hole.
const PIECES_MAX: usize = 400;

/// The step that contradicts.
const LIE: u8 = 6;

/// A flow, with what may be read in it.
struct Intact {
    sample: Sample,
    readable: Read,
}

fn intact() -> &'static [Intact] {
    static ALL: OnceLock<Vec<Intact>> = OnceLock::new();
    ALL.get_or_init(|| {
        let all = sample::samples().into_values().flatten();
        all.map(|sample| Intact { readable: sample.readable(&sample.read_whole()), sample }).collect()
    })
}

/// The flow whose name goes best with these bytes: another flow in the fixtures seldom changes which one that is.
fn chosen(by: [u8; 4]) -> Option<&'static Intact> {
    let fit = |name: &str| {
        let bytes = by.iter().chain(name.as_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    };
    intact().iter().max_by_key(|intact| fit(&intact.sample.name).rotate_left(32))
}

/// A flow of the fixtures, mangled by a script.
pub fn flow(data: &[u8]) {
    let Some((by, script)) = data.split_first_chunk() else { return };
    let Some(Intact { sample, readable }) = chosen(*by) else { return };
    let mut pieces = sample.pieces.clone();
    let mut syn = sample.syn;
    let steps: &[[u8; 4]] = script.as_chunks().0;
    // What contradicts comes last: nobody can tell that a byte is another one when only one copy of it came by.
    let (lies, others): (Vec<[u8; 4]>, Vec<_>) =
        steps.iter().copied().take(STEPS_MAX).partition(|step| step[0] % 12 == LIE);
    for step in others {
        mangle(step, sample.transport, &mut pieces, &mut syn);
    }
    for lie in lies.into_iter().filter(|_| sample.transport == Transport::Tcp) {
        contradict(lie, &mut pieces);
    }
    let read = sample.read(&pieces, syn);
    let twice = if sample.transport == Transport::Tcp { contradicted(&pieces) } else { Vec::new() };
    let said = read.conflict || read.gap && !twice.is_empty();
    // It comes of bytes of which no other copy had come by.
    let was_before = |holds: &dyn Fn(&Read) -> bool| {
        let moments: BTreeSet<usize> = twice.iter().map(|(_, other)| *other).collect();
        moments.into_iter().any(|moment| {
            let later = twice.iter().filter(|(_, other)| *other >= moment).map(|(byte, _)| *byte);
            holds(&sample.read(&pieces[..moment], syn)) && !holds(&sample.read(&as_sent(sample, &pieces, later), syn))
        })
    };
    for (field, low, value) in &read.facts {
        let fact = (*field, *low, value.clone());
        let may_be = said || readable.has(&fact) || was_before(&|read| read.facts.contains(&fact));
        let value = value.escape_ascii();
        assert!(may_be, "{}: {field} of {} is {value}", sample.name, if *low { "low" } else { "high" });
    }
    let others = read.protocols.difference(&readable.protocols);
    let others: BTreeSet<_> = others.filter(|other| !was_before(&|read| read.protocols.contains(*other))).collect();
    assert!(said || others.is_empty(), "{}: is read as {others:?}", sample.name);
}

/// One step: what is done, to which piece, and two numbers.
fn mangle([what, which, a, b]: [u8; 4], transport: Transport, pieces: &mut Vec<Piece>, syn: &mut [bool; 2]) {
    let count = pieces.len();
    if count == 0 {
        return;
    }
    let is_stream = transport == Transport::Tcp;
    let one = usize::from(which) % count;
    let number = usize::from(u16::from_be_bytes([a, b]));
    let length = pieces[one].bytes.len();
    match what % 12 {
        // Cut in two.
        0 if is_stream && length > 1 && count < PIECES_MAX => {
            let (front, back) = cut(&pieces[one], 1 + number % (length - 1));
            pieces.splice(one..=one, [front, back]);
        }
        // Cut bytewise at its front.
        1 if is_stream && count < PIECES_MAX => {
            for _ in 0..number % 24 {
                let at = pieces.len().min(one + number % 24);
                let Some(last) = pieces[one..at.max(one + 1)].last() else { break };
                if last.bytes.len() < 2 {
                    break;
                }
                let place = one + pieces[one..at.max(one + 1)].len() - 1;
                let (front, back) = cut(&pieces[place], 1);
                pieces.splice(place..=place, [front, back]);
            }
        }
        2 => pieces.swap(one, number % count),
        3 => drop(pieces.remove(one)),
        // Once more, somewhere.
        4 if count < PIECES_MAX => {
            let copy = pieces[one].clone();
            pieces.insert(number % (count + 1), copy);
        }
        // A range of the stream once more, over the borders of pieces.
        5 if is_stream && count < PIECES_MAX => {
            if let Some(again) = range(pieces, one, usize::from(a), usize::from(b)) {
                pieces.insert(usize::from(a ^ b) % (count + 1), again);
            }
        }
        // Cut by the snap length.
        7 if length > 0 => {
            let piece = &mut pieces[one];
            piece.bytes.truncate(number % length);
            piece.cut = true;
        }
        8 => syn[usize::from(which) % 2] = false,
        9 => pieces[one..(one + 1 + number % 8).min(count)].reverse(),
        10 => pieces.rotate_left(one),
        // The end or the start is missing.
        11 if number % 2 == 0 => pieces.truncate(one + 1),
        11 => drop(pieces.drain(..one)),
        _ => {}
    }
}

/// A byte of a stream: whether it is of the low side, and its place.
type Byte = (bool, usize);

/// The bytes of which copies differ, and the first piece with another copy.
fn contradicted(pieces: &[Piece]) -> Vec<(Byte, usize)> {
    let mut seen: BTreeMap<Byte, u8> = BTreeMap::new();
    let mut twice: BTreeMap<Byte, usize> = BTreeMap::new();
    for (number, piece) in pieces.iter().enumerate() {
        for (at, value) in (piece.at..).zip(&piece.bytes) {
            if *seen.entry((piece.low, at)).or_insert(*value) != *value {
                twice.entry((piece.low, at)).or_insert(number);
            }
        }
    }
    twice.into_iter().collect()
}

/// The pieces with some bytes in all their copies as the sample has them.
fn as_sent(sample: &Sample, pieces: &[Piece], bytes: impl Iterator<Item = Byte>) -> Vec<Piece> {
    let mut pieces = pieces.to_vec();
    for (low, at) in bytes {
        let holds = |piece: &&Piece| piece.low == low && (piece.at..piece.at + piece.bytes.len()).contains(&at);
        let sent = sample.pieces.iter().find(holds).map(|piece| piece.bytes[at - piece.at]);
        for piece in pieces.iter_mut().filter(|piece| holds(&&**piece)) {
            piece.bytes[at - piece.at] = sent.unwrap_or_default();
        }
    }
    pieces
}

/// Other bytes for the same range, later or earlier.
fn contradict([_, which, a, b]: [u8; 4], pieces: &mut Vec<Piece>) {
    let count = pieces.len();
    let Some(one) = usize::from(which).checked_rem(count).filter(|_| count < PIECES_MAX) else { return };
    let mut copy = pieces[one].clone();
    let Some(byte) = usize::from(a).checked_rem(copy.bytes.len()) else { return };
    copy.bytes[byte] ^= b | 1;
    let place = (one + usize::from(a)) % (count + 1);
    pieces.insert(place, copy);
}

fn cut(piece: &Piece, at: usize) -> (Piece, Piece) {
    let (front, back) = piece.bytes.split_at(at);
    let front = Piece { bytes: front.to_vec(), cut: false, ..*piece };
    (front, Piece { at: piece.at + at, bytes: back.to_vec(), ..*piece })
}

/// Bytes of the side of a piece, from somewhere before its end, as far as they follow each other.
fn range(pieces: &[Piece], one: usize, back: usize, length: usize) -> Option<Piece> {
    let piece = &pieces[one];
    let start = (piece.at + piece.bytes.len()).saturating_sub(1 + back);
    let byte = |at: usize| {
        let holds = |p: &&Piece| p.low == piece.low && (p.at..p.at + p.bytes.len()).contains(&at);
        pieces.iter().find(holds).map(|p| p.bytes[at - p.at])
    };
    let bytes: Vec<u8> = (start..=start + length).map_while(byte).collect();
    (!bytes.is_empty()).then_some(Piece { at: start, bytes, cut: false, ..*piece })
}
