//! What was told of records that have an id, and what is to be told now.
//!
//! In: the records as they are. Out: those that are new, at once; those that have changed, each at most once in
//! [`UPDATE_SECONDS`]; those that are no more. A record that is told again has the same id and the next revision.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::record::digest;
use crate::report::{Change, Status};
use crate::time::{SECOND, Time};

/// A record that changes all the time is told again after so long.
pub const UPDATE_SECONDS: i64 = 60;

struct Told<T> {
    record: T,
    revision: u64,
    digest: u64,
    at: Time,
}

/// Records that were told, by id.
pub struct Changes<T>(BTreeMap<String, Told<T>>);

impl<T: Serialize + Clone> Changes<T> {
    /// Nothing was told.
    pub fn new() -> Changes<T> {
        Changes(BTreeMap::new())
    }

    /// Hands over what is to be told of these records; all that has changed when it is the last time.
    pub fn tell<'a>(
        &mut self,
        records: impl Iterator<Item = (String, &'a T)>,
        now: Time,
        last: bool,
        each: &mut dyn FnMut(Change<'_, T>),
    ) where
        T: 'a,
    {
        let mut there = BTreeSet::new();
        for (id, record) in records {
            let digest = digest(&serde_json::to_vec(record).unwrap_or_default());
            let before = self.0.get(&id);
            let is_due = |told: &Told<T>| last || now.since(told.at) >= UPDATE_SECONDS * SECOND;
            let status = match before {
                None => Some(Status::New),
                Some(told) if told.digest != digest && is_due(told) => Some(Status::Updated),
                Some(_) => None,
            };
            if let Some(status) = status {
                let revision = before.map_or(1, |told| told.revision + 1);
                each(Change { status, revision, record });
                self.0.insert(id.clone(), Told { record: record.clone(), revision, digest, at: now });
            }
            there.insert(id);
        }
        let gone: Vec<String> = self.0.keys().filter(|id| !there.contains(*id)).cloned().collect();
        for told in gone.iter().filter_map(|id| self.0.remove(id)) {
            each(Change { status: Status::Withdrawn, revision: told.revision + 1, record: &told.record });
        }
    }
}

impl<T: Serialize + Clone> Default for Changes<T> {
    fn default() -> Changes<T> {
        Changes::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Serialize)]
    struct Record {
        bytes: u64,
    }

    /// Status, revision and bytes of every change.
    fn told(
        changes: &mut Changes<Record>,
        records: &[(&str, u64)],
        second: i64,
        last: bool,
    ) -> Vec<(String, u64, u64)> {
        let records: Vec<_> = records.iter().map(|&(id, bytes)| (id.to_owned(), Record { bytes })).collect();
        let mut told = Vec::new();
        let records = records.iter().map(|(id, record)| (id.clone(), record));
        changes.tell(records, Time(second * SECOND), last, &mut |change| {
            told.push((change.status.name().to_owned(), change.revision, change.record.bytes));
        });
        told
    }

    #[test]
    fn new_at_once_changed_now_and_then_and_all_at_the_end() {
        let mut changes = Changes::new();
        let line = |status: &str, revision, bytes| (status.to_owned(), revision, bytes);
        assert_eq!(told(&mut changes, &[("a", 1)], 0, false), [line("new", 1, 1)]);
        assert_eq!(told(&mut changes, &[("a", 2), ("b", 7)], 10, false), [line("new", 1, 7)]);
        assert_eq!(told(&mut changes, &[("a", 3), ("b", 7)], 60, false), [line("updated", 2, 3)]);
        assert_eq!(told(&mut changes, &[("a", 3), ("b", 7)], 200, false), []);
        assert_eq!(
            told(&mut changes, &[("a", 4), ("b", 8)], 201, true),
            [line("updated", 3, 4), line("updated", 2, 8)]
        );
    }

    #[test]
    fn what_is_no_more_is_withdrawn_once() {
        let mut changes = Changes::new();
        told(&mut changes, &[("a", 1), ("b", 2)], 0, false);
        assert_eq!(told(&mut changes, &[("b", 2)], 1, false), [("withdrawn".to_owned(), 2, 1)]);
        assert_eq!(told(&mut changes, &[("b", 2)], 2, false), []);
    }
}
