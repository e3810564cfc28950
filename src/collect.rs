//! From ended flows to sums that merge: one collector a worker.
//!
//! In: ended flows. Out: rollups by (inside host, other host, name, candidate channels), evidence
//! for identities, names learnt from DNS answers, and, if asked for, the flows themselves. Nothing
//! is decided that another flow could change; that is left to `join`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::fact::{ETH_OUI, Facts, Flag, Seen, Side};
use crate::flow::key::protocol;
use crate::merge::{Few, First, Merge, Span, Tally};
use crate::parse::{dns, http, tls};
use crate::place::Places;
use crate::policy::{Policy, Zone};
use crate::record::spool::Spool;
use crate::record::{EvidenceKey, FlowRecord, HostTraits, Rollup, RollupKey, Volume};
use crate::run::Gather;
use crate::signature::{FlowValues, Scratch, Signatures};

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
    pub macs: HashMap<[u8; 6], Few<IpAddr, 2>>,
    /// (client, address) to the names it was told.
    pub names: Names,
    /// ECH configurations told by DNS: (client, name) to config ids.
    pub ech: HashMap<(IpAddr, Box<str>), Few<u8, 8>>,
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
        self.ech.merge(other.ech);
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
    pub fn new(
        signatures: Arc<Signatures>,
        places: Arc<Places>,
        policy: Arc<Policy>,
        keep_flows: bool,
    ) -> Collector {
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

/// Which ends of a flow are ours, and how they stand to each other.
struct Ends {
    host: Side,
    remote_inside: bool,
}

impl Gather for Collector {
    fn take(&mut self, record: FlowRecord) {
        self.gathered.flows.0 += 1;
        self.gathered.span.merge(Span::of(record.first, record.last));
        self.learn_names(&record);
        self.traits(&record);
        let whens = self.matched(&record);
        match self.ends(&record) {
            Some(ends) => {
                self.evidence(&record, &whens);
                self.add(&record, &ends);
            }
            None => self.gathered.transit_flows.0 += 1,
        }
        if let Some(spool) = &mut self.spool {
            spool.push(&record, &whens);
        }
    }
}

impl Collector {
    /// Our end of a flow; `None` when neither end is ours.
    fn ends(&self, record: &FlowRecord) -> Option<Ends> {
        let zones = [Side::Source, Side::Destination].map(|side| self.policy.zone(record.address(side)));
        match zones {
            [Zone::Inside, Zone::Inside] => Some(Ends { host: Side::Source, remote_inside: true }),
            [Zone::Inside, _] => Some(Ends { host: Side::Source, remote_inside: false }),
            [_, Zone::Inside] => Some(Ends { host: Side::Destination, remote_inside: false }),
            _ => None,
        }
    }

    /// Conditions whose parts about the flow all hold, sorted; what matters to evidence stays in
    /// the scratch.
    fn matched(&mut self, record: &FlowRecord) -> Vec<u32> {
        let values = self.flow_values(record);
        let mut whens: Vec<u32> = Vec::new();
        if is_dns(record) {
            // One flow carries many questions: each is judged as if it stood alone.
            let base = without_questions(&record.facts);
            whens.extend(self.signatures.select(&base, &values, &mut self.scratch).iter().map(|hit| hit.when));
        } else {
            whens.extend(self.signatures.select(&record.facts, &values, &mut self.scratch).iter().map(|hit| hit.when));
        }
        whens.sort_unstable();
        whens.dedup();
        whens
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
}
