//! Several reports as one.
//!
//! In: reports that carry their sums. Out: the report that one scan of everything would give. Nothing is added up twice: a
//! capture that is in two reports is refused.

use std::sync::Arc;

use thiserror::Error;

use crate::anonymise::other_key;
use crate::capture::Damage;
use crate::collect::{Desk, Gathered, Joiner, Judging, judge_held};
use crate::join::{Carried, Joined, Knowledge, Parts, Seen};
use crate::ledger::Ledger;
use crate::merge::Merge;
use crate::record::FlowRecord;
use crate::report::{DamageLine, Header, Report, Source};
use crate::scan::{gaps, header};

/// Why reports cannot be merged.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// A report has nothing to be merged from.
    #[error("{report}: it carries no sums; `--json` of scan, live, merge or recheck writes them")]
    WithoutSums {
        /// The report.
        report: String,
    },
    /// The sums of a report cannot be read.
    #[error("{report}: {reason}")]
    Sums {
        /// The report.
        report: String,
        /// What is wrong.
        reason: String,
    },
    /// Addresses of our hosts stand for others in one than in another.
    #[error("{report}: {}", other_key(.other))]
    OtherKey {
        /// The report.
        report: String,
        /// Another one, or the key that was given.
        other: String,
    },
    /// One capture is in two reports.
    #[error("{second}: {what} is in {first} too; what it holds would count twice")]
    Twice {
        /// The report that has it.
        first: String,
        /// The report that has it again.
        second: String,
        /// The capture, or the interface of a sensor and its time.
        what: String,
    },
}

/// A report, and the name of the file it was read from.
pub struct Named {
    /// The name, for messages.
    pub name: String,
    /// The report.
    pub report: Report,
}

/// What came out.
pub struct Merged {
    /// The report.
    pub report: Report,
    /// Flows that went on from one capture into another.
    pub joined: u64,
}

/// Several reports as one.
///
/// # Errors
/// When one cannot be merged, or two hold the same.
pub fn merge(mut reports: Vec<Named>, judging: &Judging) -> Result<Merged, MergeError> {
    refuse_twice(&reports)?;
    let anonymised = one_key(&reports, judging)?;
    let inputs: Vec<String> = reports.iter().flat_map(|named| named.report.header.inputs.iter().cloned()).collect();
    // Packets are numbered through in the order in which one scan would read them.
    reports.sort_by(|a, b| order(&a.report.header).cmp(&order(&b.report.header)));
    let mut sum = Sum::default();
    for Named { name, report } in reports {
        sum.add(name, report, judging)?;
    }
    let joined = sum.joiner.joined;
    let mut report = sum.report(&inputs, judging);
    report.header = Header { anonymised, inputs, ..report.header };
    Ok(Merged { report, joined })
}

/// The key of all reports; with a key given they are of that one.
fn one_key(reports: &[Named], judging: &Judging) -> Result<Option<String>, MergeError> {
    let of = |named: &Named| named.report.header.anonymised.clone();
    let given = judging.policy.key_id().map(|id| (Some(id.to_owned()), "--anonymise"));
    let first = reports.first().map(|named| (of(named), named.name.as_str()));
    let Some((key, whose)) = given.or(first) else { return Ok(None) };
    match reports.iter().find(|named| of(named) != key) {
        Some(other) => Err(MergeError::OtherKey { report: other.name.clone(), other: whose.to_owned() }),
        None => Ok(key),
    }
}

fn order(header: &Header) -> (Option<&str>, Option<&Source>) {
    (header.first_seen.as_deref(), header.sources.first())
}

/// Reports, added up.
#[derive(Default)]
struct Sum {
    gathered: Gathered,
    joiner: Joiner,
    knowledge: Knowledge,
    /// Something was settled.
    settled: bool,
    ledger: Ledger,
    sources: Vec<Source>,
    damage: Vec<DamageLine>,
    filters: Vec<Option<String>>,
    packets: u64,
}

impl Sum {
    fn add(&mut self, name: String, report: Report, judging: &Judging) -> Result<(), MergeError> {
        let Report { header, ledger, sums, .. } = report;
        let Some(sums) = sums else { return Err(MergeError::WithoutSums { report: name }) };
        let bad = |reason| MergeError::Sums { report: name.clone(), reason };
        let carried = Carried::from_json(&sums).map_err(bad)?;
        let Parts { gathered, edges, settled } = carried.into_parts(&judging.signatures, self.packets).map_err(bad)?;
        self.gathered.merge(gathered);
        self.joiner.add(self.filters.len(), edges, self.packets);
        if let Some(settled) = settled {
            self.knowledge.restore(settled, &judging.signatures).map_err(bad)?;
            self.settled = true;
        }
        self.packets += header.sources.iter().map(|source| source.packets).sum::<u64>();
        self.ledger.merge(&ledger);
        self.sources.extend(header.sources);
        self.damage.extend(header.damage);
        self.filters.push(header.filter);
        Ok(())
    }

    fn report(mut self, inputs: &[String], judging: &Judging) -> Report {
        let context = judging.context();
        let settled = self.settled.then(|| self.knowledge.store(context));
        let carry = |gathered: &Gathered, edges: &[FlowRecord]| {
            Carried::new(gathered, edges, settled, &judging.signatures).into_json()
        };
        let desk = Arc::new(Desk::new(judging.clone()));
        let (sums, _) = judge_held(self.joiner.into_records(), &mut self.gathered, &desk, false, carry);
        let limits = std::mem::take(&mut self.gathered.limits);
        let mut seen = self.knowledge.seen;
        seen.merge(Seen::of(&self.gathered));
        self.knowledge.add(self.gathered);
        for (name, count) in limits.iter().chain(&self.knowledge.forgotten) {
            self.ledger.note(name, count.0);
        }
        let Joined { findings, assets, .. } = self.knowledge.join(context);
        self.filters.dedup();
        let filter = match self.filters.as_slice() {
            [one] => one.clone(),
            several => {
                Some(several.iter().map(|f| f.as_deref().unwrap_or("everything")).collect::<Vec<_>>().join(" | "))
            }
        };
        // All of it was shown before as it may be shown.
        let mut header = header(judging, seen, inputs, &[] as &[Damage], None);
        header.filter = filter;
        self.sources.sort();
        header.sources = self.sources;
        header.damage = self.damage;
        let gaps = gaps(&judging.signatures, &assets);
        Report { header, ledger: self.ledger, gaps, findings, assets, sums }
    }
}

/// One capture in two reports: by its fingerprint; of an interface by the sensor, its name and the time.
fn refuse_twice(reports: &[Named]) -> Result<(), MergeError> {
    for (at, second) in reports.iter().enumerate() {
        for first in &reports[..at] {
            let twice = |what| MergeError::Twice { first: first.name.clone(), second: second.name.clone(), what };
            for source in &second.report.header.sources {
                if let Some(there) = first.report.header.sources.iter().find(|there| is_same(there, source)) {
                    return Err(twice(format!("the capture {}", there.input)));
                }
            }
            if let Some(interface) = same_interface(&first.report.header, &second.report.header) {
                return Err(twice(format!("the same time of {interface}")));
            }
        }
    }
    Ok(())
}

fn is_same(one: &Source, other: &Source) -> bool {
    one.fingerprint.is_some() && (&one.fingerprint, one.packets) == (&other.fingerprint, other.packets)
}

/// What two reports heard at the same time.
fn same_interface<'a>(one: &'a Header, other: &Header) -> Option<&'a str> {
    let overlap = one.first_seen <= other.last_seen && other.first_seen <= one.last_seen;
    let seen = |header: &Header| header.first_seen.is_some();
    if one.sensor != other.sensor || !overlap || !seen(one) || !seen(other) {
        return None;
    }
    let without_file = |header: &'a Header| header.sources.iter().filter(|source| source.fingerprint.is_none());
    let others: Vec<&Source> = other.sources.iter().filter(|source| source.fingerprint.is_none()).collect();
    let mut both = without_file(one).filter(|source| others.iter().any(|there| there.input == source.input));
    both.next().map(|source| source.input.as_str())
}
