//! The ledger of what was not seen: every packet is accounted for.
//!
//! In: counts of each stage. Out: `received = decoded + Σ named reasons`, checked by
//! [`Ledger::adds_up`], and the limits and losses of later stages by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capture::Losses;
use crate::decode::REASONS;

/// Counts of one worker or of a whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Packets that came to the source, with those that it filtered or that were lost on the way.
    pub received: u64,
    /// Packets that became part of a flow.
    pub decoded: u64,
    /// Packets that did not, by reason.
    pub not_decoded: BTreeMap<String, u64>,
    /// Limits reached and things lost after decoding, by name: flows, not packets; and packets whose clock jumped
    /// (`clock.back`, `clock.ahead`).
    pub later: BTreeMap<String, u64>,
    /// TCP payload bytes that came by.
    pub tcp_payload_bytes: u64,
    /// TCP payload bytes that were skipped over or acknowledged and never came by: loss before the
    /// sensor or in it, estimated.
    pub missing_bytes: u64,
}

impl Ledger {
    /// Adds counts by reason number.
    pub fn add_reasons(&mut self, counts: &[u64; REASONS.len()]) {
        for ((_, name), &count) in REASONS.iter().zip(counts) {
            if count > 0 {
                *self.not_decoded.entry((*name).to_owned()).or_default() += count;
            }
        }
    }

    /// Adds packets that were lost before the source could hand them over.
    pub fn add_losses(&mut self, losses: &Losses) {
        for (name, &count) in &losses.packets {
            self.received += count;
            *self.not_decoded.entry((*name).to_owned()).or_default() += count;
        }
        for (name, &count) in &losses.limits {
            self.note(name, count);
        }
    }

    /// Adds to a named count of a later stage.
    pub fn note(&mut self, name: &str, count: u64) {
        if count > 0 {
            *self.later.entry(name.to_owned()).or_default() += count;
        }
    }

    /// Takes another ledger in.
    pub fn merge(&mut self, other: &Ledger) {
        self.received += other.received;
        self.decoded += other.decoded;
        self.tcp_payload_bytes += other.tcp_payload_bytes;
        self.missing_bytes += other.missing_bytes;
        for (name, count) in &other.not_decoded {
            *self.not_decoded.entry(name.clone()).or_default() += count;
        }
        for (name, count) in &other.later {
            *self.later.entry(name.clone()).or_default() += count;
        }
    }

    /// Whether every packet is accounted for.
    pub fn adds_up(&self) -> bool {
        self.received == self.decoded + self.not_decoded.values().sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_on_the_way_was_received() {
        let mut ledger = Ledger { received: 5, decoded: 5, ..Ledger::default() };
        let mut losses = Losses::default();
        losses.packets.insert("kernel.ring-dropped", 7);
        losses.limits.insert("kernel.ring-full", 2);
        ledger.add_losses(&losses);
        assert_eq!((ledger.received, ledger.decoded), (12, 5));
        assert_eq!(ledger.not_decoded["kernel.ring-dropped"], 7);
        assert_eq!(ledger.later["kernel.ring-full"], 2);
        assert!(ledger.adds_up());
    }
}
