//! Times of packets as they come: clocks that were put back, and clocks that ran ahead.
//!
//! In: the blocks of a run in their order. Out: how many packets are much older, and how many much newer, than the newest
//! before them of the same input; each input has a clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::capture::Block;
use crate::time::{SECOND, Time};

/// Packets of several queues or interfaces come in less disorder than this.
const BACK_NANOSECONDS: i64 = SECOND;
/// No link that is worth listening to is silent for longer.
const AHEAD_NANOSECONDS: i64 = 24 * 3600 * SECOND;

/// The newest time of each input.
#[derive(Default)]
pub(super) struct Times(BTreeMap<Arc<str>, Time>);

impl Times {
    /// Packets of a block that are older by more than a second, and newer by more than a day.
    pub(super) fn see(&mut self, block: &Block) -> [u64; 2] {
        let Some(first) = block.packets.first() else { return [0; 2] };
        let newest = match self.0.get_mut(&block.input) {
            Some(newest) => newest,
            None => self.0.entry(block.input.clone()).or_insert(first.time),
        };
        let (mut back, mut ahead) = (0, 0);
        for packet in &block.packets {
            let since = packet.time.since(*newest);
            back += u64::from(since < -BACK_NANOSECONDS);
            ahead += u64::from(since > AHEAD_NANOSECONDS);
            *newest = packet.time.max(*newest);
        }
        [back, ahead]
    }
}
