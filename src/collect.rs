//! From ended flows to sums that merge: one collector a worker.
//!
//! In: ended flows. Out: rollups by (inside host, other host, name, candidate channels), evidence
//! for identities, names learnt from DNS answers, and, if asked for, the flows themselves. Nothing
//! is decided that another flow could change; that is left to `join`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use crate::fact::{Facts, Flag, Seen, Side, value};
use crate::merge::{Few, First, Merge, Span, Tally};
use crate::parse::{dns, http, tls};
use crate::place::Places;
use crate::policy::{Location, Policy};
use crate::record::spool::Spool;
use crate::record::{EvidenceKey, FlowRecord, HostTraits, Rollup, RollupKey, Volume, normal_name};
use crate::signature::{FlowValues, Scratch, Signatures};
use crate::time::Time;
use crate::worker::Gather;

/// Rollups kept by one worker; flows beyond it are counted in the ledger and not judged.
pub const ROLLUPS_MAX: usize = 1 << 20;
/// (client, address) pairs whose names are kept by one worker.
pub const NAMED_ADDRESSES_MAX: usize = 1 << 20;
/// Names kept of one address told to one client.
pub const NAMES_PER_ADDRESS_MAX: usize = 16;
/// Hosts whose traits are kept by one worker.
pub const HOSTS_MAX: usize = 1 << 20;
/// Pieces of evidence kept by one worker.
pub const EVIDENCE_MAX: usize = 1 << 18;

/// When a name was first told for an address.
pub type Names = HashMap<(IpAddr, IpAddr), Few<(Seen, Box<str>), NAMES_PER_ADDRESS_MAX>>;

/// Addresses seen behind a hardware address; two are enough to know that it is a router's.
pub type MacHosts = HashMap<[u8; 6], Few<IpAddr, 2>>;

/// What one worker gathered, and what merges into the whole.
#[derive(Default)]
pub struct Gathered {
    /// Sums by key.
    pub rollups: HashMap<RollupKey, Rollup>,
    /// First sight of every piece of identity evidence.
    pub evidence: HashMap<EvidenceKey, First<Seen, ()>>,
    /// What tells a shared address, by inside host.
    pub hosts: HashMap<IpAddr, HostTraits>,
    /// Addresses seen behind a hardware address, inside and outside.
    pub macs: MacHosts,
    /// (client, address) to the names it was told.
    pub names: Names,
    /// Limits that were reached, by name.
    pub limits: std::collections::BTreeMap<&'static str, Tally>,
    /// Flows seen.
    pub flows: Tally,
    /// Flows between two outside addresses: nobody's asset.
    pub transit_flows: Tally,
    /// First to last packet.
    pub span: Span,
}

impl Merge for Gathered {
    fn merge(&mut self, other: Gathered) {
        self.rollups.merge(other.rollups);
        self.evidence.merge(other.evidence);
        self.hosts.merge(other.hosts);
        self.macs.merge(other.macs);
        self.names.merge(other.names);
        Merge::merge(&mut self.limits, other.limits);
        self.flows.merge(other.flows);
        self.transit_flows.merge(other.transit_flows);
        self.span.merge(other.span);
    }
}

impl Gathered {
    fn limit(&mut self, name: &'static str) {
        self.limits.entry(name).or_default().0 += 1;
    }
}

/// Gathers for one worker.
pub struct Collector {
    signatures: Arc<Signatures>,
    places: Arc<Places>,
    policy: Arc<Policy>,
    scratch: Scratch,
    /// The sums.
    pub gathered: Gathered,
    /// The flows, when somebody wants them.
    pub spool: Option<Spool>,
}

impl Collector {
    /// A collector; `keep_flows` when flow records are asked for.
    pub fn new(signatures: Arc<Signatures>, places: Arc<Places>, policy: Arc<Policy>, keep_flows: bool) -> Collector {
        Collector {
            signatures,
            places,
            policy,
            scratch: Scratch::default(),
            gathered: Gathered::default(),
            spool: keep_flows.then(Spool::default),
        }
    }
}

/// Conditions that hold for a flow, by dense number, sorted.
#[derive(Default)]
struct Matched {
    all: Vec<u32>,
    channels: Vec<u32>,
}

/// Our end of a flow, and whether the other one is ours too.
#[derive(Clone, Copy)]
struct Ends {
    host: Side,
    remote_inside: bool,
}

impl Gather for Collector {
    fn take(&mut self, record: &FlowRecord) -> bool {
        self.gathered.flows.0 += 1;
        self.gathered.span.merge(Span::of(record.first, record.last));
        self.learn_names(record);
        if !record.key.is_frame() {
            self.traits(record);
        }
        let ends = self.ends(record);
        let whens = match record.protocol {
            // A frame tells who somebody is; it goes nowhere.
            _ if record.key.is_frame() => self.matched(record, &record.facts).all,
            Some(name) if name == dns::PROTOCOL.name => self.questions(record, ends),
            _ => self.flow(record, ends),
        };
        if ends.is_none() && !record.key.is_frame() {
            self.gathered.transit_flows.0 += 1;
        }
        if let Some(spool) = &mut self.spool {
            spool.push(record, &whens);
        }
        !whens.is_empty()
    }
}

impl Collector {
    /// Our end of a flow; `None` when neither end is ours.
    fn ends(&self, record: &FlowRecord) -> Option<Ends> {
        let zones = [Side::Source, Side::Destination].map(|side| self.policy.side_of(record.address(side)));
        match zones {
            [Location::Inside, other] => Some(Ends { host: Side::Source, remote_inside: other == Location::Inside }),
            [_, Location::Inside] => Some(Ends { host: Side::Destination, remote_inside: false }),
            _ => None,
        }
    }

    /// An ordinary flow: its evidence and its place in the sums. Returns the conditions that hold.
    fn flow(&mut self, record: &FlowRecord, ends: Option<Ends>) -> Vec<u32> {
        let matched = self.matched(record, &record.facts);
        if let Some(ends) = ends {
            self.add(record, ends, matched.channels.clone());
        }
        matched.all
    }

    /// A DNS flow carries many questions: each is judged as if it stood alone, and so is the flow
    /// to the resolver itself.
    fn questions(&mut self, record: &FlowRecord, ends: Option<Ends>) -> Vec<u32> {
        let mut all = Vec::new();
        for question in record.facts.iter().filter(|f| *f.field == dns::QNAME && f.side == Side::Source) {
            let mut alone = Facts::default();
            alone.add(&dns::QNAME, question.side, question.seen, question.value);
            let matched = self.matched(record, &alone);
            all.extend(matched.all);
            if ends.is_some_and(|e| e.host == Side::Source) && !matched.channels.is_empty() {
                self.add_question(record, &question.text(), question.seen, matched.channels);
            }
        }
        if let Some(ends) = ends {
            self.add(record, ends, Vec::new());
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The conditions that these facts of a flow satisfy; evidence for identities is kept.
    fn matched(&mut self, record: &FlowRecord, facts: &Facts) -> Matched {
        let values = self.flow_values(record);
        let first = Seen { time: record.first, packet: record.number };
        let verdicts = self.signatures.select(facts, &values, &mut self.scratch);
        let mut matched = Matched::default();
        for hit in verdicts.iter() {
            matched.all.push(hit.when);
            if !hit.identity {
                matched.channels.push(hit.when);
                continue;
            }
            let host = record.address(hit.side);
            // A device that inspects TLS signs for hosts outside: only our own hosts are assets.
            let ours = record.key.is_frame() || self.policy.side_of(host) == Location::Inside;
            if !ours || hit.conditional {
                continue;
            }
            for piece in verdicts.evidence(hit) {
                let seen = piece.seen.unwrap_or(first);
                evidence(&mut self.gathered, host, hit.when, piece.field.name, piece.value, seen);
            }
        }
        matched.all.dedup();
        matched.channels.dedup();
        matched
    }

    fn flow_values(&self, record: &FlowRecord) -> FlowValues {
        let (address, port) = record.endpoint(Side::Destination);
        FlowValues {
            destination: address,
            protocol: record.key.protocol(),
            port,
            asn: self.places.asn(address).map(|(number, _)| number),
            ouis: record.macs.map_or([None; 2], |macs| macs.map(|[a, b, c, ..]| Some([a, b, c]))),
        }
    }

    /// A question for a channel's name: evidence that is weak until a flow follows.
    fn add_question(&mut self, record: &FlowRecord, name: &str, seen: Seen, candidates: Vec<u32>) {
        let name = normal_name(name);
        let client = record.address(Side::Source);
        let mut rollup = Rollup { flows: Tally(1), span: Span::of(seen.time, seen.time), ..Rollup::default() };
        rollup.first = First::of(seen, ());
        for (_, address, told) in resolved(record) {
            if normal_name(&told) == name {
                rollup.addresses.add(address);
            }
        }
        let key = RollupKey {
            host: client,
            remote: None,
            name: Some(name.into()),
            name_field: Some(dns::QNAME.name),
            protocol: record.key.protocol(),
            port: record.endpoint(Side::Destination).1,
            outbound: true,
            remote_inside: false,
            via_proxy: false,
            hidden: false,
            candidates: candidates.into(),
        };
        self.roll_up(key, rollup);
    }

    /// Adds a flow to the sums.
    fn add(&mut self, record: &FlowRecord, ends: Ends, candidates: Vec<u32>) {
        let (host, remote) = (ends.host, ends.host.other());
        let outbound = host == Side::Source;
        let own_name = record.own_name().filter(|_| outbound);
        let via_proxy = record.facts.has(&http::CONNECT_HOST);
        let hidden = record.facts.flags.has(Flag::Ech);
        let (h, r) = (host.index(), remote.index());
        let volume = Volume { bytes_out: Tally(record.bytes[h]), bytes_in: Tally(record.bytes[r]) };
        let is_tls = record.protocol == Some(tls::PROTOCOL.name);
        let one = |yes: bool| Tally(u64::from(yes));
        let flags = record.facts.flags;
        // A hello alone is a handshake: data follows it.
        let carried = record.payload[h] && (!is_tls || record.more[h]);
        let rollup = Rollup {
            volume,
            flows: Tally(1),
            spoke_out: one(record.payload[h]),
            spoke_in: one(record.payload[r]),
            carried: one(carried),
            span: Span::of(record.first, record.last),
            by_month: [(months(record.first), volume)].into(),
            addresses: Few::default(),
            missing: Tally(record.missing.iter().sum()),
            one_sided: one(flags.has(Flag::OneSided)),
            midstream: one(flags.has(Flag::Midstream)),
            truncated: one(flags.has(Flag::Truncated)),
            evicted: one(flags.has(Flag::Evicted)),
            first: First::of(Seen { time: record.first, packet: record.number }, ()),
        };
        let key = RollupKey {
            host: record.address(host),
            remote: Some(record.address(remote)),
            name_field: own_name.as_ref().map(|(_, field)| *field),
            name: own_name.map(|(name, _)| name.into()),
            protocol: record.key.protocol(),
            port: record.endpoint(Side::Destination).1,
            outbound,
            remote_inside: ends.remote_inside,
            via_proxy,
            hidden,
            candidates: candidates.into(),
        };
        self.roll_up(key, rollup);
    }

    fn roll_up(&mut self, key: RollupKey, rollup: Rollup) {
        let full = self.gathered.rollups.len() >= ROLLUPS_MAX;
        match self.gathered.rollups.entry(key) {
            Entry::Occupied(mut there) => there.get_mut().merge(rollup),
            Entry::Vacant(free) if !full => {
                free.insert(rollup);
            }
            Entry::Vacant(_) => self.gathered.limit("rollup.limit"),
        }
    }

    /// What this flow teaches about names of addresses.
    fn learn_names(&mut self, record: &FlowRecord) {
        for (client, address, name) in resolved(record) {
            let full = self.gathered.names.len() >= NAMED_ADDRESSES_MAX;
            let seen = Seen { time: record.first, packet: record.number };
            match self.gathered.names.entry((client, address)) {
                Entry::Occupied(mut there) => there.get_mut().add((seen, normal_name(&name).into())),
                Entry::Vacant(free) if !full => free.insert(Few::default()).add((seen, normal_name(&name).into())),
                Entry::Vacant(_) => self.gathered.limit("names.limit"),
            }
        }
    }

    /// What tells a shared address, and who stands behind which hardware address.
    fn traits(&mut self, record: &FlowRecord) {
        for side in [Side::Source, Side::Destination] {
            let address = record.address(side);
            if let Some(macs) = record.macs {
                self.gathered.macs.entry(macs[side.index()]).or_default().add(address);
            }
            if self.policy.side_of(address) != Location::Inside {
                continue;
            }
            let full = self.gathered.hosts.len() >= HOSTS_MAX;
            let host = match self.gathered.hosts.entry(address) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) if !full => free.insert(HostTraits::default()),
                Entry::Vacant(_) => {
                    self.gathered.limit("hosts.limit");
                    continue;
                }
            };
            if let Some(macs) = record.macs {
                host.macs.add(macs[side.index()]);
            }
            host.volume.bytes_out.0 += record.bytes[side.index()];
            host.volume.bytes_in.0 += record.bytes[side.other().index()];
            for fact in record.facts.iter().filter(|f| f.side == side) {
                if *fact.field == tls::JA4 {
                    host.client_fingerprints.add(fact.value.into());
                } else if *fact.field == http::USER_AGENT {
                    host.user_agents.add(fact.value.into());
                }
            }
        }
    }
}

fn evidence(gathered: &mut Gathered, host: IpAddr, when: u32, field: &'static str, value: &[u8], seen: Seen) {
    let full = gathered.evidence.len() >= EVIDENCE_MAX;
    match gathered.evidence.entry(EvidenceKey { host, when, field, value: value.into() }) {
        Entry::Occupied(mut there) => there.get_mut().merge(First::of(seen, ())),
        Entry::Vacant(free) if !full => {
            free.insert(First::of(seen, ()));
        }
        Entry::Vacant(_) => gathered.limit("evidence.limit"),
    }
}

/// What a flow says about names: (client that was told, address, name).
fn resolved(record: &FlowRecord) -> impl Iterator<Item = (IpAddr, IpAddr, String)> + '_ {
    record.facts.iter().filter(|f| *f.field == dns::RESOLVED).filter_map(|fact| {
        let (address, name) = dns::unpack_resolved(fact.value)?;
        Some((record.address(fact.side.other()), address, value::escaped(name)))
    })
}

/// Calendar months since year 0, UTC.
fn months(time: Time) -> i32 {
    let date = time.date();
    i32::from(date.0) * 12 + i32::from(date.1) - 1
}
