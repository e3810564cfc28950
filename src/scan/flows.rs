//! The flow records of a scan, with what the whole input taught about them.
//!
//! In: packed records as the workers left them, names, identities, places. Out: each flow once, handed to every sink there
//! is. What is asked again and again about an address is remembered.

use std::collections::hash_map::Entry;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use crate::collect::Judging;
use crate::fact::{ETH_OUI, Flag, Side};
use crate::join::{Identified, NameBook};
use crate::merge::Map;
use crate::place::Country;
use crate::policy::{Location, Policy};
use crate::record::FlowRecord;
use crate::record::spool::Spool;
use crate::report::flow::{Columns, JsonLines, Learnt, Verdict};
use crate::report::{Flow, Sink};

/// Addresses whose places are remembered; then all are forgotten.
const ADDRESSES_MAX: usize = 1 << 16;

/// Flow records, with what the whole input taught about them.
pub struct Flows {
    pub(crate) spools: Vec<Spool>,
    pub(crate) hosts: Arc<Map<IpAddr, Identified>>,
    pub(crate) names: Arc<NameBook>,
    pub(crate) judging: Judging,
}

/// Country and autonomous system of an address.
type Place = (Option<Country>, Option<(u32, String)>);

impl Flows {
    /// Writes every flow as a line of JSON, each worker's in the order in which they ended.
    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        self.hand_to(&mut [&mut JsonLines::new(out)])
    }

    /// What is home and what is inside.
    pub fn policy(&self) -> Arc<Policy> {
        self.judging.policy.clone()
    }

    /// Hands every flow to all sinks, and tells them when there are no more. Each worker's flows come in the order in which
    /// they ended.
    pub fn hand_to(self, sinks: &mut [&mut dyn Sink]) -> io::Result<()> {
        let columns = Columns::new();
        self.each(|record, learnt| {
            let flow = Flow::new(record, learnt, &columns);
            sinks.iter_mut().try_for_each(|sink| sink.flow(&flow))
        })?;
        sinks.iter_mut().try_for_each(|sink| sink.end())
    }

    /// Hands over every flow as it ended, with the numbers of the conditions that matched it, and keeps them.
    pub(crate) fn look(&mut self, mut take: impl FnMut(&FlowRecord, &[u32]) -> io::Result<()>) -> io::Result<()> {
        self.spools.iter_mut().try_for_each(|spool| spool.look(|record, whens| take(record, whens)))
    }

    /// Hands over every flow with what was learnt of it.
    pub(crate) fn each(mut self, mut take: impl FnMut(&FlowRecord, &Learnt<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut own_name = String::new();
        let mut known: Map<IpAddr, Place> = Map::default();
        for spool in std::mem::take(&mut self.spools) {
            spool.read(|record, whens| {
                record.own_name(&mut own_name);
                self.judge_ech(record, &own_name);
                let [source, destination] = [Side::Source, Side::Destination].map(|side| record.address(side));
                let own = (!own_name.is_empty()).then_some(own_name.as_str());
                let (country, asn) = self.place(destination, &mut known);
                let learnt = Learnt {
                    domain: own.or_else(|| self.names.name(source, destination, record.first)),
                    country: *country,
                    asn: asn.as_ref().map(|(number, name)| (*number, name.as_str())),
                    verdicts: if whens.is_empty() { Vec::new() } else { self.verdicts(record, whens) },
                };
                take(record, &learnt)
            })?;
        }
        Ok(())
    }

    /// An ECH extension in a hello whose name the client had asked for, at the address it was given,
    /// hides nothing: it is a placeholder (RFC 9849, section 6.2).
    fn judge_ech(&self, record: &mut FlowRecord, own_name: &str) {
        if own_name.is_empty() || !record.facts.flags.has(Flag::Ech) {
            return;
        }
        let [source, destination] = [Side::Source, Side::Destination].map(|side| record.address(side));
        if self.names.was_told(source, destination, own_name) {
            record.facts.flags.clear(Flag::Ech);
            record.facts.flags.set(Flag::EchGrease);
        }
    }

    fn place<'a>(&self, address: IpAddr, known: &'a mut Map<IpAddr, Place>) -> &'a Place {
        if known.len() >= ADDRESSES_MAX {
            known.clear();
        }
        match known.entry(address) {
            Entry::Occupied(place) => place.into_mut(),
            Entry::Vacant(place) => {
                place.insert((self.judging.places.country(address), self.judging.places.asn(address)))
            }
        }
    }

    fn verdicts(&self, record: &FlowRecord, whens: &[u32]) -> Vec<Verdict<'_>> {
        let [source, destination] = [Side::Source, Side::Destination].map(|side| record.address(side));
        let outside = self.judging.policy.side_of(source) != Location::Inside
            && self.judging.policy.side_of(destination) == Location::Inside;
        let host = self.hosts.get(if outside { &destination } else { &source });
        let settled = self.judging.signatures.settle(whens, |id| host.is_some_and(|h| h.is(id)));
        let is_either = |id: &str| {
            let mut hosts = [source, destination].into_iter().filter_map(|end| self.hosts.get(&end));
            hosts.any(|host| host.identities.contains_key(id))
        };
        let verdict = |when| {
            let when = self.judging.signatures.when(when)?;
            let of_maker = when.when.conditions.iter().any(|condition| condition.fields.contains(&&ETH_OUI));
            // A router's hardware address speaks of the router, not of those whose packets it passes on.
            if of_maker && when.entry.role.channel().is_none() && !record.key.is_frame() && !is_either(&when.entry.id) {
                return None;
            }
            Some(Verdict {
                id: &when.entry.id,
                vendor: &when.file.vendor,
                product: &when.entry.product,
                function: when.entry.role.channel().map_or("identity", |c| c.function.name()),
                confidence: when.when.worth(record.facts.flags.are_ambiguous()),
                file: &when.file.file,
                line: when.when.line,
            })
        };
        settled.into_iter().filter_map(verdict).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Scan;

    /// Places are remembered of so many addresses at a time, and what is forgotten is found again.
    #[test]
    fn addresses_whose_places_are_remembered() {
        let judging = Scan::builtin().unwrap().judging;
        let flows = Flows { spools: Vec::new(), hosts: Arc::default(), names: Arc::default(), judging };
        let (mut known, mut most) = (Map::default(), 0);
        let google = IpAddr::from([8, 8, 8, 8]);
        let place = flows.place(google, &mut known).clone();
        assert!(place.0.is_some());
        for n in 0..ADDRESSES_MAX as u32 + 9 {
            flows.place(std::net::Ipv4Addr::from_bits(n).into(), &mut known);
            most = most.max(known.len());
        }
        assert_eq!((most, known.contains_key(&google)), (ADDRESSES_MAX, false));
        assert_eq!(*flows.place(google, &mut known), place);
    }
}
