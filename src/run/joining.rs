//! Where the fragments of a run meet: one table, fed in capture order.
//!
//! In: the fragments of decoded blocks, whoever decoded them. Out: the datagrams that they complete, each with the block
//! that holds its last fragment, and blocks in their order. So what a worker gets does not depend on how many there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ByInput, Share};
use crate::decode::Segment;
use crate::decode::fragments::{Fragments, Piece, Whole};
use crate::ledger::Ledger;
use crate::merge::{Merge, Tally};
use crate::watch::Watch;
use crate::worker::{Gather, Worker};

/// Fragments, and the datagrams that came of them by input.
#[derive(Default)]
pub(super) struct Joining {
    fragments: Fragments,
    inputs: ByInput,
}

impl Joining {
    /// Takes fragments of an input whose offsets point into `bytes`. The datagrams that are whole now, in the order of
    /// the packets that completed them.
    #[inline]
    pub(super) fn join(&mut self, input: &Arc<str>, pieces: &mut Vec<Piece>, bytes: &[u8]) -> Vec<Whole> {
        if pieces.is_empty() { Vec::new() } else { self.join_some(input, pieces, bytes) }
    }

    #[cold]
    fn join_some(&mut self, input: &Arc<str>, pieces: &mut Vec<Piece>, bytes: &[u8]) -> Vec<Whole> {
        let wholes: Vec<Whole> = pieces.drain(..).filter_map(|piece| self.fragments.take(&piece, bytes)).collect();
        let [_, decoded] = self.inputs.entry(input.clone()).or_default();
        decoded.merge(Tally(wholes.len() as u64));
        wholes
    }

    /// The source is over.
    pub(super) fn finish(mut self, ledger: &mut Ledger, inputs: &mut ByInput) {
        self.fragments.finish();
        ledger.add_reasons(&self.fragments.counts);
        Merge::merge(inputs, self.inputs);
    }
}

/// A block that was decoded.
pub(super) struct Dealt {
    pub(super) input: Arc<str>,
    pub(super) pieces: Vec<Piece>,
    /// One for each worker.
    pub(super) shares: Vec<Share>,
}

/// Decoded blocks on their way to the workers, put in order.
#[derive(Default)]
pub(super) struct Order {
    pub(super) joining: Joining,
    next: u64,
    waiting: BTreeMap<u64, Dealt>,
}

impl Order {
    /// A block was decoded.
    pub(super) fn add(&mut self, number: u64, block: Dealt) {
        self.waiting.insert(number, block);
    }

    /// The next block, when it is there, with what its fragments completed.
    pub(super) fn next(&mut self, shard: impl Fn(&Segment) -> usize) -> Option<(u64, Vec<Share>)> {
        let mut block = self.waiting.remove(&self.next)?;
        let number = self.next;
        self.next += 1;
        if !block.pieces.is_empty() {
            let bytes = block.shares.first()?.bytes.clone();
            for whole in self.joining.join(&block.input, &mut block.pieces, bytes.as_slice()) {
                block.shares[shard(&whole.segment)].wholes.push(whole);
            }
        }
        Some((number, block.shares))
    }
}

/// Hands segments to a worker, and each datagram that was put together in its place among them.
#[inline]
pub(super) fn take<G: Gather, W: Watch>(
    worker: &mut Worker<G, W>,
    segments: &[Segment],
    bytes: &[u8],
    wholes: &[Whole],
) {
    let mut rest = segments;
    for whole in wholes {
        let (before, behind) = rest.split_at(rest.partition_point(|s| s.number < whole.segment.number));
        worker.take(before, bytes);
        worker.take(std::slice::from_ref(&whole.segment), &whole.bytes);
        rest = behind;
    }
    worker.take(rest, bytes);
}
