//! From ended flows to sums that merge: one collector a worker.
//!
//! In: flows, twice: when all they say was read, and when they end. Out: rollups by (inside host, other host, gist),
//! evidence for identities, names learnt from DNS answers, and, if asked for, the flows themselves. Nothing is decided
//! that another flow could change; that is left to `join`.

mod certificate;
mod edges;
mod gather;
mod gist;
mod hosts;
mod link;
mod names;
mod turn;

use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use crate::fact::{Facts, Flag, Seen, Side};
use crate::flow::key::{link_local, protocol};
use crate::merge::{self, By, Few, First, Map, Merge, Rows, Span, Tally};
use crate::parse::{dhcp, dns, http, socks, tls};
use crate::policy::Location;
use crate::record::spool::Spool;
use crate::record::{
    EvidenceKey, FlowRecord, Gist, HostTraits, NAME_FIELDS, Rare, Rollup, RollupKey, Starts, Unseen, Volume,
};
use crate::signature::{FlowValues, Scratch};
use crate::time::Time;
use crate::worker::{Judged, Told};
use certificate::{is_compared, other_certificate};
use edges::Held;
use gist::Remembered;
use hosts::Familiar;
use names::{Interned, compared, other_names};
use turn::Renewal;

pub use certificate::is_in_hello;
pub use edges::{EDGES_MAX, Joiner, judge_held};
pub use gist::{GISTS_MAX, Gists};
pub use link::{Behind, MANAGED_MAX, MacHosts, OWN_MAX, SEEN_MAX, is_link_local, is_one_device};
pub use names::OTHER_NAMES_MAX;
pub use turn::{Desk, Judging, Part};

/// Rollups kept by one worker; flows beyond it are counted in the ledger and not judged.
pub const ROLLUPS_MAX: usize = 1 << 20;
/// As many of them may be of flows in which a side was silent: a flood of attempts leaves room for those that talked.
pub const ROLLUPS_SILENT_MAX: usize = ROLLUPS_MAX / 2;
/// (client, address) pairs whose names are kept by one worker.
pub const NAMED_ADDRESSES_MAX: usize = 1 << 20;
/// Names kept of one address told to one client.
pub const NAMES_PER_ADDRESS_MAX: usize = 16;
/// Hosts whose traits are kept by one worker.
pub const HOSTS_MAX: usize = 1 << 20;
/// Hardware addresses kept by one worker.
pub const MACS_MAX: usize = 1 << 20;
/// Pieces of evidence kept by one worker.
pub const EVIDENCE_MAX: usize = 1 << 18;

/// When a name was first told for an address.
pub type Names = Map<(IpAddr, IpAddr), Few<(Seen, Arc<str>), NAMES_PER_ADDRESS_MAX>>;

/// The sums of one worker.
#[derive(Default)]
pub struct Rollups {
    gists: Gists,
    rows: Rows<RollupKey, Rollup>,
}

impl Rollups {
    /// Every sum with what its flows come to.
    pub fn iter(&self) -> impl Iterator<Item = (&RollupKey, &Gist, &Rollup)> {
        self.rows.iter().filter_map(|(key, rollup)| Some((key, self.gists.get(key.gist)?, rollup)))
    }
}

/// What one worker gathered, and what merges into the whole.
#[derive(Default)]
pub struct Gathered {
    /// Sums by key, of each worker by itself: flows of one key all came to one of them, but for names that were only
    /// asked for. They are added up when findings are made of them.
    pub rollups: Vec<Rollups>,
    /// First sight of every piece of identity evidence.
    pub evidence: Map<EvidenceKey, First<Seen, ()>>,
    /// What tells a shared address, by inside host.
    pub hosts: Map<IpAddr, HostTraits>,
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
    /// TCP flows, and those of them of which one direction only was seen.
    pub tcp_flows: [Tally; 2],
    /// First to last packet.
    pub span: Span,
}

impl Merge for Gathered {
    fn merge(&mut self, other: Gathered) {
        self.rollups.extend(other.rollups);
        self.evidence.merge(other.evidence);
        self.hosts.merge(other.hosts);
        self.macs.merge(other.macs);
        self.names.merge(other.names);
        Merge::merge(&mut self.limits, other.limits);
        self.flows.merge(other.flows);
        self.transit_flows.merge(other.transit_flows);
        self.tcp_flows.merge(other.tcp_flows);
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
    desk: Arc<Desk>,
    judging: Arc<Judging>,
    scratch: Scratch,
    interned: Interned,
    remembered: Remembered,
    familiar: Familiar,
    renewal: Option<Renewal>,
    month: Month,
    rollups: Rollups,
    gathered: Gathered,
    spool: Option<Spool>,
    held: Option<Held>,
}

impl Collector {
    /// A collector that judges by what lies on the desk; `keep_flows` when flow records are asked for.
    pub fn new(desk: Arc<Desk>, keep_flows: bool) -> Collector {
        Collector {
            judging: desk.judging(),
            desk,
            scratch: Scratch::default(),
            interned: Interned::default(),
            remembered: Remembered::default(),
            familiar: Familiar::default(),
            renewal: None,
            month: Month::default(),
            rollups: Rollups::default(),
            gathered: Gathered::default(),
            spool: keep_flows.then(Spool::default),
            held: None,
        }
    }

    /// As [`Collector::new`], but flows are judged when they end, and those at the edges of what was read not at all: they
    /// are held back.
    pub fn holding(desk: Arc<Desk>, keep_flows: bool) -> Collector {
        Collector { held: Some(Held::default()), ..Collector::new(desk, keep_flows) }
    }

    /// A flow that was held back.
    pub fn add_flow(&mut self, record: &FlowRecord) {
        let Judged { gist, .. } = self.judge_flow(record);
        self.take_flow(record, gist, &Told::default());
    }
}

impl Collector {
    /// The sums, and the flows when they were kept.
    pub fn into_parts(mut self) -> (Gathered, Option<Spool>) {
        self.gathered.rollups.push(self.rollups);
        (self.gathered, self.spool)
    }

    /// Takes out the flows that were held back.
    pub fn take_held(&mut self) -> Vec<FlowRecord> {
        self.held.take().unwrap_or_default().into_records()
    }
}

/// Conditions that hold for a flow, by dense number, sorted.
#[derive(Default)]
struct Matched {
    all: Vec<u32>,
    channels: Vec<u32>,
    /// One of them told who a host is.
    evidence: bool,
}

/// The two ends of a flow, by side, seen from our network.
#[derive(Clone, Copy)]
struct Ends {
    addresses: [IpAddr; 2],
    locations: [Location; 2],
    macs: Option<[[u8; 6]; 2]>,
}

impl Ends {
    fn address(&self, side: Side) -> IpAddr {
        self.addresses[side.index()]
    }

    fn mac(&self, side: Side) -> Option<[u8; 6]> {
        self.macs.map(|macs| macs[side.index()])
    }

    /// Who sends from 0.0.0.0 or :: on this segment, by the hardware address, as a frame's sender is.
    fn without_address(&self, side: Side) -> Option<IpAddr> {
        let mac = self.mac(side).filter(|_| side == Side::Source && self.address(side).is_unspecified())?;
        Some(link_local(mac).into())
    }

    fn is_inside(&self, side: Side) -> bool {
        self.locations[side.index()] == Location::Inside
    }

    /// Our end; `None` when neither end is ours.
    fn ours(&self) -> Option<Side> {
        [Side::Source, Side::Destination].into_iter().find(|&side| self.is_inside(side))
    }
}

impl Collector {
    fn judge_flow(&mut self, record: &FlowRecord) -> Judged {
        let addresses = [Side::Source, Side::Destination].map(|side| record.address(side));
        let ends = Ends {
            addresses,
            locations: addresses.map(|address| self.judging.policy.side_of(address)),
            macs: record.macs,
        };
        let gist = if record.key.is_frame() {
            // A frame tells who somebody is; it goes nowhere.
            self.announced(record);
            let matched = self.matched(record, &ends, &record.facts);
            let gist = Gist { ours: None, ..self.gist(record, &ends, matched.all, Vec::new()) };
            self.number(gist)
        } else {
            self.hosts(record, &ends);
            if record.protocol == Some(dns::PROTOCOL.name) {
                self.learn_names(record, &ends);
                self.questions(record, &ends)
            } else if record.facts.has(&dhcp::CLIENT) {
                self.clients(record, &ends)
            } else {
                self.flow(record, &ends)
            }
        };
        let matched = self.rollups.gists.get(gist).is_some_and(|gist| !gist.whens.is_empty());
        Judged { gist, matched, settled: self.spool.is_none() }
    }

    fn take_flow(&mut self, record: &FlowRecord, gist: u32, before: &Told) {
        if let Some(spool) = &mut self.spool {
            let known = self.rollups.gists.get(gist);
            spool.push(record, known.map_or(&[], |gist| &gist.whens));
        }
        self.count(record, gist, before);
    }

    /// Adds what a flow carried since it was told of before.
    fn count(&mut self, record: &FlowRecord, gist: u32, before: &Told) {
        let new = before.until.is_none();
        self.gathered.flows.0 += u64::from(new);
        if new && record.key.protocol() == protocol::TCP {
            let one_sided = record.facts.flags.has(Flag::OneSided);
            self.gathered.tcp_flows.merge([Tally(1), Tally(u64::from(one_sided))]);
        }
        self.gathered.span.merge(Span::of(record.first, record.last));
        match self.rollups.gists.get(gist).map(|gist| (gist.ours, gist.tls)) {
            Some((Some(host), is_tls)) => self.add(record, host, is_tls, gist, before),
            Some((None, _)) if !record.key.is_frame() => self.gathered.transit_flows.0 += u64::from(new),
            _ => {}
        }
    }

    /// An ordinary flow: its evidence and what it comes to.
    fn flow(&mut self, record: &FlowRecord, ends: &Ends) -> u32 {
        let known_again = self.decides(record, ends);
        if let Some(gist) = self.remembered.find().filter(|_| known_again) {
            return gist;
        }
        let matched = self.matched(record, ends, &record.facts);
        let gist = self.gist(record, ends, matched.all, matched.channels);
        let number = self.number(gist);
        // Evidence has its first sight: that is another one every time.
        if known_again && !matched.evidence && number != 0 {
            self.remembered.keep(number);
        }
        number
    }

    /// Writes down all that decides what a flow comes to; whether that is all.
    fn decides(&mut self, record: &FlowRecord, ends: &Ends) -> bool {
        let values = self.flow_values(record, ends);
        if self.judging.signatures.look_at_ends(&values) {
            return false;
        }
        let key = &mut self.remembered.key;
        key.clear();
        let inside = [Side::Source, Side::Destination].map(|side| u8::from(ends.is_inside(side)));
        let flags = record.facts.flags;
        let (hidden, ambiguous) = (u8::from(flags.has(Flag::Ech)), u8::from(flags.are_ambiguous()));
        key.extend_from_slice(&[values.protocol, inside[0], inside[1], hidden, ambiguous, u8::from(has_tls(record))]);
        key.extend_from_slice(&values.port.to_le_bytes());
        let mut named = [false; NAME_FIELDS.len()];
        for fact in record.facts.iter() {
            match NAME_FIELDS.iter().position(|field| *field == fact.field) {
                // Of several names the first counts, and which that is stands elsewhere.
                Some(at) if std::mem::replace(&mut named[at], true) => return false,
                Some(_) => {}
                None if is_compared(fact.field) || self.judging.signatures.may_match(&fact) => {}
                None => continue,
            }
            key.extend_from_slice(&fact.field.number().to_le_bytes());
            key.push(fact.side.index() as u8);
            key.extend_from_slice(&(fact.value.len() as u16).to_le_bytes());
            key.extend_from_slice(fact.value);
        }
        true
    }

    /// A DNS flow carries many questions: each is judged as if it stood alone, and so is the flow
    /// to the resolver itself. Of a single one it is known what the answers say.
    fn questions(&mut self, record: &FlowRecord, ends: &Ends) -> u32 {
        let mut all = Vec::new();
        let mut alone = Facts::default();
        let asked = || record.facts.of(&dns::QNAME).filter(|f| f.side == Side::Source);
        let is_single = asked().nth(1).is_none();
        for question in asked() {
            alone.clear();
            alone.add(&dns::QNAME, question.side, question.seen, question.value);
            for fact in record.facts.iter().filter(|fact| is_single && *fact.field != dns::QNAME) {
                alone.add(fact.field, fact.side, fact.seen, fact.value);
            }
            let matched = self.matched(record, ends, &alone);
            all.extend(matched.all);
            if ends.is_inside(Side::Source) && !matched.channels.is_empty() {
                self.add_question(record, question.value, question.seen, matched.channels);
            }
        }
        all.sort_unstable();
        all.dedup();
        let gist = self.gist(record, ends, all, Vec::new());
        self.number(gist)
    }

    /// What a flow comes to.
    fn gist(&mut self, record: &FlowRecord, ends: &Ends, whens: Vec<u32>, candidates: Vec<u32>) -> Gist {
        let own_name = if ends.ours() == Some(Side::Source) { self.own_name(record) } else { None };
        gist(record, ends, own_name, whens, candidates)
    }

    /// The number of a gist; 0 when there are too many.
    fn number(&mut self, gist: Gist) -> u32 {
        self.rollups.gists.number(gist).unwrap_or_else(|| {
            self.gathered.limit("gist.limit");
            0
        })
    }

    /// The conditions that these facts of a flow satisfy; evidence for identities is kept.
    fn matched(&mut self, record: &FlowRecord, ends: &Ends, facts: &Facts) -> Matched {
        let values = self.flow_values(record, ends);
        let first = Seen { time: record.first, packet: record.number };
        let verdicts = self.judging.signatures.select(facts, &values, &mut self.scratch);
        let mut matched = Matched::default();
        for hit in verdicts.iter() {
            matched.all.push(hit.when);
            if !hit.identity {
                matched.channels.push(hit.when);
                continue;
            }
            // A device that inspects TLS signs for hosts outside: only our own hosts are assets.
            let nameless = ends.without_address(hit.side);
            let ours = record.key.is_frame() || ends.is_inside(hit.side) || nameless.is_some();
            if !ours || hit.conditional {
                continue;
            }
            matched.evidence = true;
            let host = nameless.unwrap_or_else(|| ends.address(hit.side));
            for piece in verdicts.evidence(hit) {
                let seen = piece.seen.unwrap_or(first);
                let (field, value) = (piece.field.name, piece.value.into());
                let ambiguous = record.facts.flags.are_ambiguous();
                evidence(&mut self.gathered, EvidenceKey { host, when: hit.when, field, value, ambiguous }, seen);
            }
        }
        matched.all.dedup();
        matched.channels.dedup();
        matched
    }

    fn flow_values(&self, record: &FlowRecord, ends: &Ends) -> FlowValues {
        let destination = ends.address(Side::Destination);
        FlowValues {
            destination,
            protocol: record.key.protocol(),
            port: record.port(Side::Destination),
            asn: self.judging.places.asn(destination).map(|(number, _)| number),
            ouis: ends.macs.map_or([None; 2], |macs| macs.map(|[a, b, c, ..]| Some([a, b, c]))),
        }
    }

    /// A question for a channel's name: evidence that is weak until a flow follows.
    fn add_question(&mut self, record: &FlowRecord, name: &[u8], seen: Seen, candidates: Vec<u32>) {
        let Some(name) = self.interned.name(name) else { return };
        let client = record.address(Side::Source);
        let mut rollup = Rollup { flows: Tally(1), span: Span::of(seen.time, seen.time), ..Rollup::default() };
        rollup.first = First::of(seen, ());
        rollup.starts = Starts::of(seen.time);
        for (_, address, told) in resolved(record) {
            if self.interned.name(told).is_some_and(|told| told == name) {
                rollup.rare.get_or_insert_default().addresses.add(address);
            }
        }
        let gist = Gist {
            name: Some(name),
            name_field: Some(dns::QNAME.name),
            protocol: record.key.protocol(),
            port: record.port(Side::Destination),
            ours: Some(Side::Source),
            whens: Box::default(),
            candidates: candidates.into(),
            ..Gist::default()
        };
        let gist = self.number(gist);
        if gist != 0 {
            self.roll_up(RollupKey { host: client, remote: None, gist }, rollup, ROLLUPS_MAX);
        }
    }

    /// The best name that the flow itself tells for its destination, and the field it came from.
    fn own_name(&mut self, record: &FlowRecord) -> Option<(Arc<str>, &'static str)> {
        record.naming_facts().find_map(|fact| Some((self.interned.name(fact.value)?, fact.field.name)))
    }

    /// Adds a flow of one of our hosts to the sums, without what was told of it before.
    fn add(&mut self, record: &FlowRecord, host: Side, is_tls: bool, gist: u32, before: &Told) {
        let remote = host.other();
        let (h, r) = (host.index(), remote.index());
        let bytes = |side: usize| Tally(record.bytes[side].saturating_sub(before.bytes[side]));
        let volume = Volume { bytes_out: bytes(h), bytes_in: bytes(r) };
        let new = before.until.is_none();
        let one = |yes: bool| Tally(u64::from(yes));
        let flags = record.facts.flags;
        // A hello alone is a handshake: data follows it.
        let carried = |payload: [bool; 2], more: [bool; 2]| payload[h] && (!is_tls || more[h]);
        let carried_now = carried(record.payload, record.more) && !carried(before.payload, before.more);
        let unseen = Unseen {
            missing: Tally(record.missing.iter().sum::<u64>().saturating_sub(before.missing)),
            one_sided: one(new && flags.has(Flag::OneSided)),
            midstream: one(new && flags.has(Flag::Midstream)),
            truncated: one(new && flags.has(Flag::Truncated)),
            evicted: one(flags.has(Flag::Evicted)),
        };
        let rollup = Rollup {
            flows: one(new),
            spoke_out: one(record.payload[h] && !before.payload[h]),
            spoke_in: one(record.payload[r] && !before.payload[r]),
            carried: one(carried_now),
            span: Span::of(record.first, record.last),
            by_month: By::of(self.month.of(before.until.unwrap_or(record.first)), volume),
            rare: (unseen != Unseen::default()).then(|| Rare { unseen, ..Rare::default() }.into()),
            first: First::of(Seen { time: record.first, packet: record.number }, ()),
            starts: if new { Starts::of(record.first) } else { Starts::default() },
        };
        let key = RollupKey { host: record.address(host), remote: Some(record.address(remote)), gist };
        let most = if record.payload == [true; 2] { ROLLUPS_MAX } else { ROLLUPS_SILENT_MAX };
        self.roll_up(key, rollup, most);
    }

    /// Adds to a sum, or makes it where there are fewer than `most`.
    fn roll_up(&mut self, key: RollupKey, rollup: Rollup, most: usize) {
        let mut rollup = Some(rollup);
        let make = |len| if len < most { rollup.take() } else { None };
        match self.rollups.rows.entry(key, make) {
            merge::Entry::There(sum) => sum.merge(rollup.unwrap_or_default()),
            merge::Entry::Made => {}
            merge::Entry::Refused => self.gathered.limit("rollup.limit"),
        }
    }

    /// What this flow teaches about names of addresses.
    fn learn_names(&mut self, record: &FlowRecord, ends: &Ends) {
        for (side, address, name) in resolved(record) {
            let Some(name) = self.interned.name(name) else { continue };
            let client = ends.address(side.other());
            let full = self.gathered.names.len() >= NAMED_ADDRESSES_MAX;
            let seen = Seen { time: record.first, packet: record.number };
            match self.gathered.names.entry((client, address)) {
                Entry::Occupied(mut there) => there.get_mut().add((seen, name)),
                Entry::Vacant(free) if !full => free.insert(Few::default()).add((seen, name)),
                Entry::Vacant(_) => self.gathered.limit("names.limit"),
            }
        }
    }
}

/// What a flow comes to that was judged to satisfy these conditions.
pub fn gist_of(record: &FlowRecord, judging: &Judging, whens: &[u32]) -> Gist {
    let addresses = [Side::Source, Side::Destination].map(|side| record.address(side));
    let locations = addresses.map(|address| judging.policy.side_of(address));
    let ends = Ends { addresses, locations, macs: record.macs };
    let own_name = record.naming_facts().find_map(|fact| Some((compared(fact.value)?, fact.field.name)));
    let is_channel = |when: &u32| judging.signatures.when(*when).is_some_and(|w| w.entry.role.channel().is_some());
    // What a flow of questions satisfies its questions do.
    let asks = record.protocol == Some(dns::PROTOCOL.name);
    let candidates = whens.iter().copied().filter(|when| !asks && is_channel(when)).collect();
    gist(record, &ends, own_name.filter(|_| ends.ours() == Some(Side::Source)), whens.to_vec(), candidates)
}

fn gist(
    record: &FlowRecord,
    ends: &Ends,
    own_name: Option<(Arc<str>, &'static str)>,
    whens: Vec<u32>,
    candidates: Vec<u32>,
) -> Gist {
    let ours = ends.ours();
    let by_hello = own_name.as_ref().is_some_and(|(_, field)| is_in_hello(field));
    let ambiguous = record.facts.flags.are_ambiguous();
    let own = own_name.as_ref().map(|(name, _)| name);
    let other_names = if ambiguous { other_names(&record.facts, own.into_iter().cloned()) } else { Box::default() };
    Gist {
        name_field: own_name.as_ref().map(|(_, field)| *field),
        name: own_name.map(|(name, _)| name),
        protocol: record.key.protocol(),
        port: record.port(Side::Destination),
        ours,
        remote_inside: ours.is_some_and(|side| ends.is_inside(side.other())),
        via_proxy: record.facts.has(&http::CONNECT_HOST) || record.facts.has(&socks::HOST),
        hidden: record.facts.flags.has(Flag::Ech),
        ambiguous,
        other_names,
        tls: has_tls(record),
        // A certificate contradicts a name in a hello, and no other.
        certificate: if by_hello { other_certificate(record) } else { Box::default() },
        whens: whens.into(),
        candidates: candidates.into(),
    }
}

fn evidence(gathered: &mut Gathered, key: EvidenceKey, seen: Seen) {
    let full = gathered.evidence.len() >= EVIDENCE_MAX;
    match gathered.evidence.entry(key) {
        Entry::Occupied(mut there) => there.get_mut().merge(First::of(seen, ())),
        Entry::Vacant(free) if !full => {
            free.insert(First::of(seen, ()));
        }
        Entry::Vacant(_) => gathered.limit("evidence.limit"),
    }
}

/// Whether a TLS client shook hands in a flow, also inside another protocol.
fn has_tls(record: &FlowRecord) -> bool {
    record.protocol == Some(tls::PROTOCOL.name) || record.facts.has(&tls::JA3)
}

/// What a flow says about names: (side that told it, address, name as it stood).
pub fn resolved(record: &FlowRecord) -> impl Iterator<Item = (Side, IpAddr, &[u8])> + '_ {
    record.facts.of(&dns::RESOLVED).filter_map(|fact| {
        let (address, name) = dns::unpack_resolved(fact.value)?;
        Some((fact.side, address, name))
    })
}

/// The calendar month of a time, UTC. The last one is kept with its bounds: times come nearly in order.
#[derive(Default)]
struct Month {
    first: Time,
    next: Time,
    number: i32,
}

impl Month {
    /// Months since year 0.
    fn of(&mut self, time: Time) -> i32 {
        if !(self.first..self.next).contains(&time) {
            let (year, month) = time.date();
            self.number = i32::from(year) * 12 + i32::from(month) - 1;
            (self.first, self.next) = time.month_bounds();
        }
        self.number
    }
}
