//! What is known so far, of an input that may go on for years.
//!
//! In: what workers gathered, part by part. Out: findings and assets at any time. What came in lately is kept as it is: a
//! name or an identity that is learnt later may still say what it was. Now and then that window is closed
//! ([`Knowledge::settle`]) and kept for as long as the next one is open; then its sums are added to those of the findings
//! they are, and whatever is no finding is forgotten. So memory depends on how many appliances there are and where they
//! talk to, not on time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::assets::{self, Identified, Total};
use super::findings::{self, Sums, View};
use super::names::NAMES_MAX;
use super::neighbours::Neighbours;
use super::{Carried, Context, Joined, NameBook};
use crate::collect::{EVIDENCE_MAX, Gathered, HOSTS_MAX, MacHosts, Rollups};
use crate::fact;
use crate::merge::{First, Map, Merge, Set, Span, Tally};
use crate::record::{EvidenceKey, HostTraits, TRAITS_MAX};
use crate::signature::{Signatures, Translator};
use crate::time::{SECOND, Time};

/// Sums of findings that are kept when a window is closed; of more those that were quiet for longest go.
pub const SUMS_MAX: usize = 100_000;
/// Calendar months of which sums are kept.
pub const MONTHS_MAX: i32 = 25;
/// Hosts, hardware addresses and pieces of evidence that are kept of all workers: several times as many as one hands over.
const HOSTS_TOLD_MAX: usize = 4 * HOSTS_MAX;
const EVIDENCE_TOLD_MAX: usize = 4 * EVIDENCE_MAX;
/// What tells a shared address is looked for in one day.
const DAY_SECONDS: i64 = 24 * 3600;

/// Months since year 0, as sums by month are kept.
fn months(year: i16, month: i8) -> i32 {
    i32::from(year) * 12 + i32::from(month) - 1
}

/// Counts of the whole input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Flows.
    pub flows: Tally,
    /// Flows between two outside addresses.
    pub transit_flows: Tally,
    /// TCP flows, and those of them of which one direction only was seen.
    pub tcp_flows: [Tally; 2],
    /// First to last packet.
    pub span: Span,
}

impl Seen {
    /// Of what was gathered.
    pub fn of(gathered: &Gathered) -> Seen {
        let Gathered { flows, transit_flows, tcp_flows, span, .. } = *gathered;
        Seen { flows, transit_flows, tcp_flows, span }
    }
}

impl Merge for Seen {
    fn merge(&mut self, other: Seen) {
        self.flows.merge(other.flows);
        self.transit_flows.merge(other.transit_flows);
        self.tcp_flows.merge(other.tcp_flows);
        self.span.merge(other.span);
    }
}

/// Sums of findings, totals of hosts, who hosts are.
pub(super) type Window = (Sums, Map<IpAddr, Total>, Map<IpAddr, Identified>);

/// What is known so far.
#[derive(Default)]
pub struct Knowledge {
    /// Counts of the whole input.
    pub seen: Seen,
    /// Sums of the window that is open.
    rollups: Vec<Rollups>,
    /// Sums of the window before it.
    before: Vec<Rollups>,
    pub(super) evidence: Map<EvidenceKey, First<fact::Seen, ()>>,
    traits: Map<IpAddr, HostTraits>,
    macs: MacHosts,
    names: Arc<NameBook>,
    /// Sums of windows that are over.
    pub(super) sums: Sums,
    pub(super) totals: Map<IpAddr, Total>,
    /// When shared addresses were last forgotten.
    day: Time,
    /// Things that were forgotten for want of room, by name.
    pub forgotten: BTreeMap<&'static str, Tally>,
}

impl Knowledge {
    /// Takes in what was gathered.
    pub fn add(&mut self, gathered: Gathered) {
        self.seen.merge(Seen::of(&gathered));
        let Gathered { rollups, evidence, hosts, macs, names, limits, .. } = gathered;
        Merge::merge(&mut self.forgotten, limits);
        if self.rollups.is_empty() {
            self.rollups = rollups;
        } else if let Some(window) = self.rollups.first_mut() {
            for part in rollups {
                for (key, gist, rollup) in part.iter() {
                    if !window.add(key, gist, rollup) {
                        self.forgotten.entry("window.limit").or_default().merge(Tally(1));
                    }
                }
            }
        }
        self.evidence.merge(evidence);
        self.traits.merge(hosts);
        self.macs.merge(macs);
        let refused = match Arc::get_mut(&mut self.names) {
            Some(book) => book.add(names, NAMES_MAX),
            // Somebody still prints with it.
            None => names.len(),
        };
        self.forget_some("names.limit", refused);
        self.bound(HOSTS_TOLD_MAX);
    }

    fn forget_some(&mut self, name: &'static str, count: usize) {
        if count > 0 {
            self.forgotten.entry(name).or_default().merge(Tally(count as u64));
        }
    }

    /// What grew too large is learnt anew; `hosts`: so many hosts and hardware addresses are not too many.
    fn bound(&mut self, hosts: usize) {
        if self.traits.len() > hosts {
            self.forget_some("hosts.forgotten", self.traits.len());
            self.traits.clear();
        }
        if self.macs.len() > hosts {
            self.forget_some("macs.forgotten", self.macs.len());
            self.macs.clear();
        }
        if self.evidence.len() > EVIDENCE_TOLD_MAX {
            self.thin_evidence();
        }
    }

    /// All that is known, for a report that is to be merged. Names from DNS are settled with what they explained.
    pub fn carried(&self, context: Context<'_>) -> Carried {
        let hosts = Gathered { hosts: self.traits.clone(), macs: self.macs.clone(), ..Gathered::default() };
        Carried::new(&hosts, &[], Some(self.store(context)), context.signatures)
    }

    /// Names of addresses. What is told while somebody holds them is lost.
    pub fn names(&self) -> Arc<NameBook> {
        self.names.clone()
    }

    /// Sums in the window that is open.
    pub fn window_len(&self) -> usize {
        self.rollups.iter().map(Rollups::len).sum()
    }

    fn windows(&self) -> Vec<&Rollups> {
        self.before.iter().chain(&self.rollups).collect()
    }

    /// What all that says.
    pub fn join(&self, context: Context<'_>) -> Joined {
        let neighbours = Neighbours::new(&self.macs, &self.traits, context.policy);
        let hosts = assets::identify(&self.evidence, &self.traits, &neighbours, context);
        let view = View { hosts: &hosts, names: &self.names, context };
        let windows = self.windows();
        let new = findings::add_up(&windows, &self.sums, view);
        let (findings, by_channel) = findings::find(&self.sums, &new, &neighbours, view);
        let assets = assets::list(&hosts, by_channel, &windows, &self.totals, &neighbours, context);
        Joined { findings, assets, hosts, names: self.names.clone() }
    }

    /// Closes the window. What was seen in the one before it is judged by what is known at `now`, and stays so.
    pub fn settle(&mut self, context: Context<'_>, now: Time) {
        let (sums, totals, hosts) = self.come_to(&self.before.iter().collect::<Vec<_>>(), context);
        self.totals.merge(totals);
        Merge::merge(&mut self.sums, sums);
        self.before = std::mem::take(&mut self.rollups);
        self.forget(&hosts, now);
    }

    /// What is not settled comes to this by what is known now.
    pub(super) fn unsettled(&self, context: Context<'_>) -> Window {
        self.come_to(&self.windows(), context)
    }

    fn come_to(&self, rollups: &[&Rollups], context: Context<'_>) -> Window {
        let neighbours = Neighbours::new(&self.macs, &self.traits, context.policy);
        let hosts = assets::identify(&self.evidence, &self.traits, &neighbours, context);
        let view = View { hosts: &hosts, names: &self.names, context };
        let sums = findings::add_up(rollups, &self.sums, view);
        let wanted: Set<IpAddr> = sums.keys().map(|group| group.host).chain(hosts.keys().copied()).collect();
        let totals = assets::totals(rollups, &wanted, context);
        (sums, totals, hosts)
    }

    /// Forgets what is old, and what there is too much of.
    fn forget(&mut self, hosts: &Map<IpAddr, Identified>, now: Time) {
        let (year, month) = now.date();
        let oldest = months(year, month) - MONTHS_MAX + 1;
        self.sums.retain(|_, sum| {
            let (year, month) = sum.rollup.span.last.date();
            sum.rollup.by_month.retain(|&month| month >= oldest);
            months(year, month) >= oldest
        });
        if self.sums.len() > SUMS_MAX {
            let surplus = self.sums.len() - SUMS_MAX;
            let mut quiet: Vec<_> = self.sums.iter().map(|(group, sum)| (sum.rollup.span.last, group)).collect();
            quiet.sort_unstable();
            let gone: Vec<_> = quiet.into_iter().take(surplus).map(|(_, group)| group.clone()).collect();
            gone.iter().for_each(|group| drop(self.sums.remove(group)));
            self.forget_some("findings.limit", surplus);
        }
        let kept =
            |host: &IpAddr| hosts.contains_key(host) || self.sums.range(findings::all_of(*host)).next().is_some();
        self.totals.retain(|host, _| kept(host));
        if now.since(self.day) >= DAY_SECONDS * SECOND {
            self.day = now;
            for traits in self.traits.values_mut() {
                let crowded = |len: usize| len >= TRAITS_MAX;
                if !crowded(traits.client_fingerprints.len()) && !crowded(traits.user_agents.len()) {
                    (traits.client_fingerprints, traits.user_agents) = Default::default();
                }
            }
        }
        let forgotten = Arc::get_mut(&mut self.names).map_or(0, |book| book.forget(now, NAMES_MAX));
        self.forget_some("names.forgotten", forgotten);
    }

    /// Of many values that show the same of a host the first stays.
    fn thin_evidence(&mut self) {
        let mut first: Map<(IpAddr, u32, &'static str), fact::Seen> = Map::default();
        let seen = |first: &First<fact::Seen, ()>| first.0.map(|(seen, ())| seen).unwrap_or_default();
        for (key, value) in &self.evidence {
            let there = first.entry((key.host, key.when, key.field)).or_insert_with(|| seen(value));
            *there = (*there).min(seen(value));
        }
        let before = self.evidence.len();
        self.evidence.retain(|key, value| first.get(&(key.host, key.when, key.field)) == Some(&seen(value)));
        if self.evidence.len() > EVIDENCE_TOLD_MAX {
            self.evidence.clear();
        }
        self.forget_some("evidence.forgotten", before - self.evidence.len());
    }

    /// Signatures were read again. Both windows must have been settled with those from before.
    pub fn translate(&mut self, old: &Signatures, new: &Signatures) {
        let table = Translator::to(new).table(old);
        let number = |when: u32| table.get(when as usize).copied().flatten();
        for (key, first) in std::mem::take(&mut self.evidence) {
            if let Some(when) = number(key.when) {
                self.evidence.entry(EvidenceKey { when, ..key }).or_default().merge(first);
            }
        }
        for sum in self.sums.values_mut() {
            sum.whens = sum.whens.iter().filter_map(|&when| number(when)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join::findings::{Group, Sum};

    /// Of too many sums those that were quiet for longest go, as many as there are too many, also when all are of one time.
    #[test]
    fn sums_that_are_kept() {
        let group = |n: u32| Group {
            host: std::net::Ipv4Addr::from_bits(n).into(),
            channel: None,
            domain: None,
            country: None,
            outbound: true,
        };
        for apart in [0, 1] {
            let mut knowledge = Knowledge::default();
            for n in 0..SUMS_MAX as u32 + 9 {
                let mut sum = Sum::default();
                sum.rollup.span.last = Time(i64::from(n) * apart);
                knowledge.sums.insert(group(n), sum);
            }
            knowledge.forget(&Map::default(), Time(1));
            assert_eq!(knowledge.sums.len(), SUMS_MAX);
            assert_eq!(knowledge.forgotten["findings.limit"], Tally(9));
            assert!(!knowledge.sums.contains_key(&group(0)) && knowledge.sums.contains_key(&group(SUMS_MAX as u32)));
        }
    }

    /// Of too many hosts and hardware addresses all are learnt anew, and it is said how many.
    #[test]
    fn hosts_that_are_kept() {
        const MOST: u32 = 10;
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
        let mac = |n: u32| [2, 0, 0, 0, 0, n as u8];
        let gathered = |numbers: std::ops::Range<u32>| Gathered {
            hosts: numbers.clone().map(|n| (address(n), HostTraits::default())).collect(),
            macs: numbers.map(|n| (mac(n), Default::default())).collect(),
            ..Gathered::default()
        };
        let mut knowledge = Knowledge::default();
        knowledge.add(gathered(0..MOST));
        knowledge.bound(MOST as usize);
        assert_eq!((knowledge.traits.len(), knowledge.macs.len(), knowledge.forgotten.len()), (10, 10, 0));
        knowledge.add(gathered(5..MOST + 1));
        knowledge.bound(MOST as usize);
        assert_eq!((knowledge.traits.len(), knowledge.macs.len()), (0, 0));
        let forgotten = ["hosts.forgotten", "macs.forgotten"].map(|name| knowledge.forgotten[name]);
        assert_eq!(forgotten, [Tally(11); 2]);
    }

    /// Many values that show the same of a host come down to the first, and of too many hosts nothing is left; it is said.
    #[test]
    fn evidence_that_is_kept() {
        let key = |host: u32, value: u32| EvidenceKey {
            host: std::net::Ipv4Addr::from_bits(host).into(),
            when: 1,
            field: "x509.subject",
            value: value.to_be_bytes().into(),
            ambiguous: false,
        };
        let most = EVIDENCE_TOLD_MAX as u32;
        let mut knowledge = Knowledge::default();
        let told = |packet: u32| First(Some((fact::Seen { time: Time(0), packet: u64::from(packet) }, ())));
        for n in 0..most {
            knowledge.evidence.insert(key(n / 1024, n), told(n));
        }
        knowledge.bound(HOSTS_TOLD_MAX);
        assert_eq!((knowledge.evidence.len(), knowledge.forgotten.len()), (EVIDENCE_TOLD_MAX, 0));
        knowledge.evidence.insert(key(0, most), told(most));
        knowledge.bound(HOSTS_TOLD_MAX);
        assert_eq!(knowledge.evidence.len(), EVIDENCE_TOLD_MAX / 1024);
        assert!(knowledge.evidence.contains_key(&key(0, 0)), "the first stays");
        let gone = EVIDENCE_TOLD_MAX + 1 - EVIDENCE_TOLD_MAX / 1024;
        assert_eq!(knowledge.forgotten["evidence.forgotten"], Tally(gone as u64));
    }
}
