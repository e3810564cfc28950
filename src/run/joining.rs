//! Where the fragments of a run meet: one table, fed in capture order.
//!
//! In: the fragments of decoded blocks, whoever decoded them. Out: the datagrams that they complete, each with the block
//! that holds its last fragment, the first fragments of those that were given up, and blocks in their order, one more
//! than there were for what is left at the end. So what a worker gets does not depend on how many there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::turns::Common;
use super::{ByInput, Read, Share};
use crate::capture::Bytes;
use crate::decode::fragments::{Fragments, Piece, Whole};
use crate::decode::{REASONS, Segment};
use crate::ledger::Ledger;
use crate::merge::{Merge, Tally};
use crate::time::Time;
use crate::watch::Watch;
use crate::worker::{Gather, Worker};

/// Fragments, and the datagrams that came of them by input.
#[derive(Default)]
pub(super) struct Joining {
    fragments: Fragments,
    inputs: ByInput,
    /// The inputs that had fragments, by the numbers that pieces know them by.
    names: Vec<Arc<str>>,
}

impl Joining {
    /// Takes fragments of an input whose offsets point into `bytes`. The datagrams that are whole now, in the order of
    /// the packets that completed them, and behind them those that were given up.
    #[inline]
    pub(super) fn join(&mut self, input: &Arc<str>, pieces: &mut Vec<Piece>, bytes: &[u8]) -> Vec<Whole> {
        if pieces.is_empty() { Vec::new() } else { self.join_some(input, pieces, bytes) }
    }

    #[cold]
    fn join_some(&mut self, input: &Arc<str>, pieces: &mut Vec<Piece>, bytes: &[u8]) -> Vec<Whole> {
        // Most often it is that of the fragments before.
        let known = self.names.iter().rposition(|name| name == input);
        let number = known.unwrap_or_else(|| {
            self.names.push(input.clone());
            self.names.len() - 1
        });
        let of_input = |piece| Piece { input: number as u32, ..piece };
        let wholes = pieces.drain(..).filter_map(|piece| self.fragments.take(&of_input(piece), bytes)).collect();
        self.count(wholes)
    }

    /// The source is over: what is left of datagrams that never became whole.
    pub(super) fn end(&mut self) -> Vec<Whole> {
        self.fragments.finish();
        self.count(Vec::new())
    }

    /// Counts datagrams for their inputs, those that were given up among them.
    fn count(&mut self, mut wholes: Vec<Whole>) -> Vec<Whole> {
        wholes.append(&mut self.fragments.fronts());
        for whole in &wholes {
            if let Some(input) = self.names.get(whole.input as usize) {
                let [_, decoded] = self.inputs.entry(input.clone()).or_default();
                decoded.merge(Tally(1));
            }
        }
        wholes
    }

    /// What was counted since this was asked last, beside how far the source is.
    pub(super) fn common(&mut self, read: Read) -> Common {
        let mut ledger = Ledger::default();
        ledger.add_reasons(&std::mem::replace(&mut self.fragments.counts, [0; REASONS.len()]));
        (read, ledger, std::mem::take(&mut self.inputs))
    }

    /// What was counted.
    pub(super) fn finish(self, ledger: &mut Ledger, inputs: &mut ByInput) {
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
    /// How many blocks there were, once that is known.
    blocks: Option<u64>,
}

impl Order {
    /// A block was decoded.
    pub(super) fn add(&mut self, number: u64, block: Dealt) {
        self.waiting.insert(number, block);
    }

    /// There are no more blocks than these.
    pub(super) fn end(&mut self, blocks: u64) {
        self.blocks = Some(blocks);
    }

    /// The next block, when it is there, with what its fragments completed; behind the last one what is left of
    /// fragments, for so many workers.
    pub(super) fn next(&mut self, workers: usize, shard: impl Fn(&Segment) -> usize) -> Option<(u64, Vec<Share>)> {
        let number = self.next;
        let (mut shares, wholes) = match self.waiting.remove(&number) {
            Some(mut block) => {
                let bytes = block.shares.first()?.bytes.clone();
                let wholes = self.joining.join(&block.input, &mut block.pieces, bytes.as_slice());
                (block.shares, wholes)
            }
            None if self.blocks == Some(number) => {
                let empty = || Share {
                    bytes: Bytes::Owned(Arc::default()),
                    time: Time::default(),
                    segments: Vec::new(),
                    wholes: Vec::new(),
                };
                ((0..workers).map(|_| empty()).collect(), self.joining.end())
            }
            None => return None,
        };
        self.next += 1;
        for whole in wholes {
            shares[shard(&whole.segment)].wholes.push(whole);
        }
        Some((number, shares))
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
