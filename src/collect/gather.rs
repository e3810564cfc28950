//! What a worker hands to a collector: flows when all they say was read, flows that end, flows that go on.
//!
//! In: flows as they were read. Out: the same, as everything from here on may see them, to those who judge and add up.

use std::borrow::Cow;
use std::sync::Arc;

use super::edges::Full;
use super::{Collector, OTHER_NAMES_MAX, other_names};
use crate::fact::Facts;
use crate::record::{FlowRecord, Gist};
use crate::worker::{Gather, Judged, Told};

impl Gather for Collector {
    fn judge(&mut self, record: &FlowRecord) -> Judged {
        let record = &*self.shown(record);
        match &mut self.held {
            // At its end.
            Some(held) => {
                held.look(record);
                Judged::default()
            }
            None => self.judge_flow(record),
        }
    }

    fn take(&mut self, record: &FlowRecord, gist: u32, before: &Told) {
        let record = &*self.shown(record);
        match self.held.as_mut().map(|held| held.hold(record)) {
            None => self.take_flow(record, gist, before),
            Some(Ok(true)) => {}
            Some(Ok(false)) => self.add_flow(record),
            Some(Err(Full)) => {
                self.gathered.limit("edges.limit");
                self.add_flow(record);
            }
        }
    }

    fn tell(&mut self, record: &FlowRecord, gist: u32, before: &Told) {
        let record = &*self.shown(record);
        self.count(record, gist, before);
    }

    fn contradicted(&mut self, gist: u32, told: &Facts) -> u32 {
        let Some(known) = self.rollups.gists.get(gist) else { return gist };
        // A name that nobody asked the flow for contradicts nothing.
        let Some(name) = &known.name else { return gist };
        let told = match self.judging.policy.anonymiser() {
            None => Cow::Borrowed(told),
            Some(a) => Cow::Owned(a.names(told, known.remote_inside && !known.via_proxy, &self.judging.signatures)),
        };
        let others = other_names(&told, known.other_names.iter().chain([name]).cloned());
        if others.is_empty() {
            return gist;
        }
        let mut other_names: Vec<Arc<str>> = known.other_names.iter().chain(&*others).cloned().collect();
        other_names.sort_unstable();
        other_names.truncate(OTHER_NAMES_MAX);
        let other = Gist { ambiguous: true, other_names: other_names.into(), ..known.clone() };
        self.number(other)
    }
}

impl Collector {
    /// A flow as everything from here on sees it.
    fn shown<'a>(&self, record: &'a FlowRecord) -> Cow<'a, FlowRecord> {
        match self.judging.policy.anonymiser() {
            None => Cow::Borrowed(record),
            Some(anonymiser) => Cow::Owned(anonymiser.record(record, &self.judging.signatures)),
        }
    }
}
