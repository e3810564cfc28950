//! What a collector hands over at a turn of a run that goes on, and how it begins to judge by something else.
//!
//! In: the desk, on which the signatures, places and policy of the day lie. Out: the sums since the last turn.
//! Flows that are open keep what they were judged to be: the numbers of their gists are given anew
//! when signatures changed, and when there are too many that no flow needs any more.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Collector, GISTS_MAX, Gathered, Gists, ROLLUPS_MAX, Remembered, Rollups};
use crate::merge::{self, Map, Merge};
use crate::place::Places;
use crate::policy::Policy;
use crate::record::Baseline;
use crate::record::spool::Spool;
use crate::record::{Gist, Rollup, RollupKey};
use crate::run::Turned;
use crate::signature::{Signatures, Translator, WhenId};

/// Gists after which those that no open flow has are forgotten: some 30 MiB of them.
const GISTS_ENOUGH: usize = GISTS_MAX / 8;

/// What flows are judged by.
#[derive(Clone)]
pub struct Judging {
    /// Signatures.
    pub signatures: Arc<Signatures>,
    /// Databases of places.
    pub places: Arc<Places>,
    /// Homes, inside prefixes, exemptions.
    pub policy: Arc<Policy>,
    /// What was known before, where that is asked.
    pub baseline: Option<Arc<Baseline>>,
}

/// Where it lies for all workers.
pub struct Desk(Mutex<Arc<Judging>>);

impl Desk {
    /// A desk on which this lies.
    pub fn new(judging: Judging) -> Desk {
        Desk(Mutex::new(Arc::new(judging)))
    }

    /// What lies there.
    pub fn judging(&self) -> Arc<Judging> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From its next turn on every worker judges by this.
    pub fn put(&self, judging: Judging) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(judging);
    }
}

/// What one worker gathered since its last turn.
pub struct Part {
    /// The sums.
    pub gathered: Gathered,
    /// The flows that ended, when they are kept.
    pub spool: Option<Spool>,
}

/// Numbers of gists that are being given anew.
pub(super) struct Renewal {
    old: Gists,
    new: Map<u32, u32>,
    /// Numbers of `when` blocks; none when they stay.
    whens: Option<Vec<Option<WhenId>>>,
}

impl Turned for Collector {
    type Part = Part;

    fn turn(&mut self) -> Part {
        let mut gathered = std::mem::take(&mut self.gathered);
        self.familiar.clear();
        let mut rollups = Rollups::default();
        let rows = std::mem::take(&mut self.rollups.rows);
        for (key, rollup) in rows.iter() {
            let Some(gist) = self.rollups.gists.get(key.gist) else { continue };
            if !rollups.add(key, gist, rollup) {
                gathered.limit("rollup.limit");
            }
        }
        gathered.rollups.push(rollups);
        Part { gathered, spool: self.spool.as_mut().map(std::mem::take) }
    }

    fn begin_renewal(&mut self) -> bool {
        let judging = self.desk.judging();
        let changed = !Arc::ptr_eq(&judging, &self.judging);
        if !changed && self.rollups.gists.len() < GISTS_ENOUGH {
            return false;
        }
        let whens = changed.then(|| Translator::to(&judging.signatures).table(&self.judging.signatures));
        self.judging = judging;
        self.renewal = Some(Renewal { old: std::mem::take(&mut self.rollups.gists), new: Map::default(), whens });
        self.remembered = Remembered::default();
        true
    }

    fn renumber(&mut self, gist: u32) -> u32 {
        let Some(renewal) = &mut self.renewal else { return gist };
        if let Some(&known) = renewal.new.get(&gist) {
            return known;
        }
        let Some(old) = renewal.old.get(gist) else { return 0 };
        let number = self.rollups.gists.number(renewed(old, renewal.whens.as_deref())).unwrap_or(0);
        renewal.new.insert(gist, number);
        number
    }

    fn end_renewal(&mut self) {
        self.renewal = None;
    }
}

/// A gist in other numbers of `when` blocks.
fn renewed(gist: &Gist, whens: Option<&[Option<WhenId>]>) -> Gist {
    let Some(table) = whens else { return gist.clone() };
    let of = |numbers: &[u32]| -> Box<[u32]> {
        let mut new: Vec<u32> =
            numbers.iter().filter_map(|&number| table.get(number as usize).copied().flatten()).collect();
        new.sort_unstable();
        new.dedup();
        new.into()
    };
    Gist { whens: of(&gist.whens), candidates: of(&gist.candidates), ..gist.clone() }
}

impl Rollups {
    /// Adds a sum; whether there was room.
    pub fn add(&mut self, key: &RollupKey, gist: &Gist, rollup: &Rollup) -> bool {
        let Some(number) = self.gists.number_of(gist) else { return false };
        let make = |len| (len < ROLLUPS_MAX).then(|| rollup.clone());
        match self.rows.entry(RollupKey { gist: number, ..key.clone() }, make) {
            merge::Entry::There(sum) => sum.merge(rollup.clone()),
            merge::Entry::Made => {}
            merge::Entry::Refused => return false,
        }
        true
    }

    /// Sums.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
