//! The same flow as a sensor might see it: cut elsewhere, in another order, twice, in part.
//!
//! In: the pieces of a sample and a row of numbers. Out: other pieces, and what must hold of what is read in them.
//! A turn is what one side sends before the other answers: within it a network may change the order of things, across
//! it only a bad capture does.

use super::random::Random;
use super::sample::{Piece, Sample};
use bordertap::parse::Transport;

/// Pieces that one turn is cut into, at most; streams keep 512 behind a hole.
const CUTS_MAX: usize = 40;

/// What must hold of the facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Nothing was lost: they are the same.
    Equal,
    /// Something is missing, or came in an order that nothing but a bad capture has: none is new.
    Subset,
}

/// A sample as somebody might see it.
#[derive(Clone, Debug)]
pub struct Mutated {
    /// What was done to it.
    pub what: &'static str,
    /// What came by.
    pub pieces: Vec<Piece>,
    /// Which SYNs came by before.
    pub syn: [bool; 2],
    /// What must hold.
    pub law: Law,
}

/// Everything that is done to a stream, once.
pub fn stream(sample: &Sample, random: &mut Random) -> Vec<Mutated> {
    let turns = turns(&sample.pieces);
    let whole = |what, pieces| Mutated { what, pieces, syn: sample.syn, law: Law::Equal };
    let part = |what, pieces| Mutated { what, pieces, syn: sample.syn, law: Law::Subset };
    let recut = |random: &mut Random| -> Vec<Vec<Piece>> { turns.iter().map(|turn| cut_turn(turn, random)).collect() };
    let mut all = Vec::new();

    all.push(whole("cut elsewhere", recut(random).concat()));
    let mut other = recut(random);
    other.iter_mut().for_each(|turn| turn.reverse());
    all.push(whole("cut elsewhere, each turn backwards", other.concat()));
    let mut other = recut(random);
    other.iter_mut().for_each(|turn| random.shuffle(turn));
    all.push(whole("cut elsewhere, each turn in another order", other.concat()));
    let mut other = recut(random);
    other.iter_mut().for_each(|turn| repeat_some(turn, random));
    all.push(whole("cut elsewhere, some of it twice", other.concat()));
    let mut other = recut(random);
    other.iter_mut().for_each(|turn| contradict_some(turn, random));
    all.push(whole("cut elsewhere, with second copies that differ", other.concat()));

    let mut other = recut(random);
    other.iter_mut().for_each(acknowledge_first);
    all.push(whole("cut elsewhere, each turn acknowledged before it came by", other.concat()));

    let mut other = recut(random).concat();
    random.shuffle(&mut other);
    all.push(part("cut elsewhere, all in another order", other));
    let mut other = recut(random).concat();
    let loss = 1 + random.below(6);
    other.retain(|_| random.below(8) >= loss);
    all.push(part("cut elsewhere, some of it lost", other));
    let mut other = recut(random);
    other.iter_mut().for_each(|turn| random.shuffle(turn));
    let mut other = other.concat();
    other.truncate(random.below(other.len() + 1));
    all.push(part("the end missing", other));
    let mut other = recut(random).concat();
    shorten_some(&mut other, random);
    all.push(part("cut by the snap length", other));

    for low in [true, false] {
        let mut other = recut(random).concat();
        other.retain(|piece| piece.low == low);
        let syn = if random.below(2) == 0 { [false; 2] } else { [sample.syn[0] && low, sample.syn[1] && !low] };
        all.push(Mutated { what: "one side only", pieces: other, syn, law: Law::Subset });
    }
    let mut other = recut(random).concat();
    other.drain(..random.below(other.len() + 1));
    all.push(Mutated { what: "the start missing", pieces: other, syn: [false; 2], law: Law::Subset });
    let mut other = sample.pieces.clone();
    other.drain(..random.below(other.len() + 1));
    all.push(Mutated { what: "the first segments missing", pieces: other, syn: [false; 2], law: Law::Subset });
    let mut other = recut(random);
    other.iter_mut().for_each(|turn| random.shuffle(turn));
    all.push(Mutated { what: "no SYN, another order", pieces: other.concat(), syn: [false; 2], law: Law::Subset });
    all
}

/// Everything that is done to datagrams, packets or frames, once.
pub fn datagrams(sample: &Sample, random: &mut Random) -> Vec<Mutated> {
    let whole = |what, pieces| Mutated { what, pieces, syn: [false; 2], law: Law::Equal };
    let part = |what, pieces| Mutated { what, pieces, syn: [false; 2], law: Law::Subset };
    let mut all = Vec::new();

    let mut other = sample.pieces.clone();
    repeat_some(&mut other, random);
    all.push(whole("some of it twice", other));
    let mut other = turns(&sample.pieces);
    other.iter_mut().for_each(|turn| random.shuffle(turn));
    all.push(whole("each turn in another order", other.concat()));
    let mut other = sample.pieces.clone();
    random.shuffle(&mut other);
    all.push(whole("all in another order", other.clone()));
    other.truncate(random.below(other.len() + 1));
    all.push(part("some of it, in another order", other));
    for low in [true, false] {
        let mut other = sample.pieces.clone();
        other.retain(|piece| piece.low == low);
        all.push(part("one side only", other));
    }
    let mut other = sample.pieces.clone();
    other.drain(..random.below(other.len() + 1));
    all.push(part("the start missing", other));
    let mut other = sample.pieces.clone();
    shorten_some(&mut other, random);
    all.push(part("cut by the snap length", other));
    let mut other = sample.pieces.clone();
    shorten_all(&mut other, random);
    all.push(part("all cut by one snap length", other));
    all
}

/// Everything that is done to a sample, once.
pub fn all(sample: &Sample, random: &mut Random) -> Vec<Mutated> {
    match sample.transport {
        Transport::Tcp => stream(sample, random),
        _ => datagrams(sample, random),
    }
}

/// The pieces, turn by turn.
fn turns(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    pieces.chunk_by(|a, b| a.low == b.low).map(<[Piece]>::to_vec).collect()
}

/// One turn cut anew: bytewise at its front, here and there, or as it was.
fn cut_turn(turn: &[Piece], random: &mut Random) -> Vec<Piece> {
    let total: usize = turn.iter().map(|piece| piece.bytes.len()).sum();
    let bytewise = if random.below(3) == 0 { random.below(24) } else { 0 };
    let cuts = random.below(CUTS_MAX.min(total / 2 + 1));
    let mut at: Vec<usize> = (0..cuts).map(|_| random.below(total.max(1))).chain(1..bytewise).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut before = 0;
    for piece in turn {
        let end = before + piece.bytes.len();
        let inside = at.iter().copied().filter(|&cut| cut > before && cut < end).map(|cut| cut - before);
        let mut start = 0;
        for cut in inside.chain([piece.bytes.len()]) {
            if cut > start {
                pieces.push(sub(piece, start, cut));
            }
            start = cut;
        }
        before = end;
    }
    pieces
}

/// A part of a piece.
fn sub(piece: &Piece, start: usize, end: usize) -> Piece {
    let cut = piece.cut && end == piece.bytes.len();
    Piece { at: piece.at + start, bytes: piece.bytes[start..end].to_vec(), cut, ..*piece }
}

/// Sends some of them again, somewhat later.
fn repeat_some(turn: &mut Vec<Piece>, random: &mut Random) {
    for _ in 0..1 + turn.len() / 3 {
        let from = random.below(turn.len());
        let copy = turn[from].clone();
        let to = from + 1 + random.below(turn.len() - from);
        turn.insert(to, copy);
    }
}

/// Lets the other side acknowledge all of it beforehand: captured by two cards, the directions overtake each other.
fn acknowledge_first(turn: &mut Vec<Piece>) {
    let Some(first) = turn.first() else { return };
    let end = turn.iter().map(|piece| piece.at + piece.bytes.len()).max().unwrap_or(0);
    let answer = Piece { low: !first.low, at: first.acknowledged, bytes: Vec::new(), acknowledged: end, cut: false };
    turn.insert(0, answer);
}

/// Sends some of them again, somewhat later and with other bytes.
fn contradict_some(turn: &mut Vec<Piece>, random: &mut Random) {
    for _ in 0..1 + turn.len() / 3 {
        let from = random.below(turn.len());
        let mut copy = turn[from].clone();
        copy.bytes = random.bytes(copy.bytes.len());
        let to = from + 1 + random.below(turn.len() - from);
        turn.insert(to, copy);
    }
}

/// Takes the end off some.
fn shorten_some(pieces: &mut [Piece], random: &mut Random) {
    for _ in 0..1 + pieces.len() / 4 {
        if pieces.is_empty() {
            return;
        }
        let piece = &mut pieces[random.below(pieces.len())];
        shorten(piece, random.below(piece.bytes.len().max(1)));
    }
}

/// Takes the end off all that are longer than some length.
fn shorten_all(pieces: &mut [Piece], random: &mut Random) {
    let longest = pieces.iter().map(|piece| piece.bytes.len()).max().unwrap_or(0);
    let snap = random.below(longest.max(1));
    for piece in pieces.iter_mut() {
        shorten(piece, snap);
    }
}

fn shorten(piece: &mut Piece, to: usize) {
    if to < piece.bytes.len() {
        piece.bytes.truncate(to);
        piece.cut = true;
    }
}
