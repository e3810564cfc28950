//! What hangs off a flow that somebody reads or has read, and what such flows hand on to each other.
//!
//! In: flows that begin to be read, and flows that are done. Out: memory that was used before, so that a flow at rest
//! costs one piece of memory with its facts and a new one hardly any allocation.

use super::reading::Reading;
use crate::fact::Facts;

/// What hangs off a flow that somebody reads or has read.
#[derive(Default)]
pub(super) struct Cold {
    pub(super) facts: Facts,
    pub(super) protocol: Option<&'static str>,
    pub(super) reading: Option<Box<Reading>>,
    /// What it was judged to be.
    pub(super) gist: Option<u32>,
}

impl Cold {
    pub(super) fn heap_bytes(&self) -> usize {
        self.facts.heap_bytes() + self.reading.as_ref().map_or(0, |r| r.heap_bytes())
    }
}

/// Spare pieces kept of each kind.
const SPARE_MAX: usize = 256;
/// Larger ones are not kept.
const SPARE_FACTS_BYTES_MAX: usize = 8 * 1024;

/// What flows have while they are read, handed from one to the next.
#[derive(Default)]
pub(super) struct Spare {
    facts: Vec<Facts>,
    // A box goes from flow to flow as it is.
    #[allow(clippy::vec_box)]
    readings: Vec<Box<Reading>>,
}

impl Spare {
    /// Gives a flow what it needs to be read.
    pub(super) fn lend(&mut self, cold: &mut Cold) {
        if cold.facts.is_empty() && cold.facts.heap_bytes() == 0 {
            cold.facts = self.facts.pop().unwrap_or_default();
        }
        if cold.reading.is_none() {
            cold.reading = Some(self.readings.pop().unwrap_or_default());
        }
    }

    /// Nobody reads a flow any more: takes back what it does not need while it rests. Of facts that are not needed the
    /// flags are kept.
    pub(super) fn settle(&mut self, cold: &mut Cold, without_facts: bool) {
        self.keep_reading(cold.reading.take());
        let facts = if without_facts { cold.facts.flags.into() } else { cold.facts.clone() };
        self.keep_facts(std::mem::replace(&mut cold.facts, facts));
    }

    pub(super) fn keep_reading(&mut self, reading: Option<Box<Reading>>) {
        if let Some(mut reading) = reading.filter(|_| self.readings.len() < SPARE_MAX) {
            *reading = Reading::default();
            self.readings.push(reading);
        }
    }

    pub(super) fn keep_facts(&mut self, mut facts: Facts) {
        if self.facts.len() < SPARE_MAX && (1..=SPARE_FACTS_BYTES_MAX).contains(&facts.heap_bytes()) {
            facts.clear();
            self.facts.push(facts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Seen, Side};
    use crate::parse::tls;

    /// Spare pieces are kept up to a number, and of facts only small ones.
    #[test]
    fn pieces_that_are_kept() {
        let facts = |bytes: usize| {
            let mut facts = Facts::default();
            for n in 0..bytes.div_ceil(1000) {
                facts.add(&tls::SNI, Side::Source, Seen::default(), format!("{n:0>900}").as_bytes());
            }
            facts
        };
        let mut spare = Spare::default();
        let large = facts(2 * SPARE_FACTS_BYTES_MAX);
        assert!(large.heap_bytes() > SPARE_FACTS_BYTES_MAX);
        spare.keep_facts(large);
        assert!(spare.facts.is_empty());
        for _ in 0..SPARE_MAX + 9 {
            spare.keep_facts(facts(1));
            spare.keep_reading(Some(Box::default()));
        }
        assert_eq!((spare.facts.len(), spare.readings.len()), (SPARE_MAX, SPARE_MAX));
        assert!(spare.facts.iter().all(|facts| facts.is_empty() && facts.heap_bytes() <= SPARE_FACTS_BYTES_MAX));
    }
}
