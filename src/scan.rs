//! One scan, from inputs to a report.
//!
//! In: a source of packets and what to judge by. Out: a [`Scanned`]: the report, the flow records,
//! what was damaged. This is what `bordertap scan` and `live` run and what tests call.

mod flows;

use std::net::IpAddr;
use std::sync::Arc;

use crate::capture::{Damage, Source};
use crate::collect::{Collector, Gathered};
use crate::join::{Context, Joined, join};
use crate::merge::Merge;
use crate::place::{self, Places};
use crate::policy::{Location, Policy};
use crate::report::{DamageLine, FORMAT, Gap, Header, Report, SignatureSummary};
use crate::run::{ByInput, Done, Settings, State, run, run_watched, with_threads};
use crate::signature::Signatures;
use crate::watch::Watch;

pub use flows::Flows;

/// What a scan is made with.
pub struct Scan {
    /// Signatures.
    pub signatures: Arc<Signatures>,
    /// Databases of places.
    pub places: Arc<Places>,
    /// Homes, inside prefixes, exemptions.
    pub policy: Arc<Policy>,
    /// Worker threads.
    pub workers: usize,
    /// Bytes of flow state.
    pub memory: usize,
    /// Stop after this many packets.
    pub packets_max: u64,
    /// Keep flow records.
    pub keep_flows: bool,
    /// The filter expression, for the report.
    pub filter: Option<String>,
}

/// What a scan gave.
pub struct Scanned {
    /// The report.
    pub report: Report,
    /// The flow records, when they were asked for.
    pub flows: Flows,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// Flow state when the source was at its end.
    pub state: State,
}

impl Scanned {
    /// Some input was damaged, skipped, or gave nothing.
    pub fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// Something could be read.
    pub fn is_usable(&self) -> bool {
        self.report.ledger.decoded > 0
    }

    /// Something leaves the country.
    pub fn leaves(&self) -> bool {
        use crate::record::Crossing::{Observed, Probable};
        self.report.findings.iter().any(|f| matches!(f.crossing, Observed | Probable))
    }
}

impl Scan {
    /// Reads a source to its end and says what there is to say.
    pub fn run(&self, source: &mut dyn Source, inputs: &[String], progress: &(dyn Fn(u64, u64) + Sync)) -> Scanned {
        if self.workers > 1 {
            let places = self.places.clone();
            rayon::spawn(move || places.warm());
        }
        let done = run(source, &self.settings(progress), || self.collector());
        self.conclude(done, source, inputs)
    }

    /// As [`Scan::run`], with one worker that is watched.
    pub fn run_watched(&self, source: &mut dyn Source, inputs: &[String], watch: impl Watch) -> Scanned {
        let done = run_watched(source, &self.settings(&|_, _| {}), self.collector(), watch);
        self.conclude(done, source, inputs)
    }

    fn settings<'a>(&self, progress: &'a (dyn Fn(u64, u64) + Sync)) -> Settings<'a> {
        Settings { workers: self.workers, memory: self.memory, packets_max: self.packets_max, progress }
    }

    fn collector(&self) -> Collector {
        Collector::new(self.signatures.clone(), self.places.clone(), self.policy.clone(), self.keep_flows)
    }

    /// What the gathered parts say together.
    fn conclude(&self, done: Done<Collector>, source: &mut dyn Source, inputs: &[String]) -> Scanned {
        let Done { mut ledger, inputs: by_input, gathered: collectors, state } = done;
        let filtered = source.filtered();
        ledger.received += filtered;
        ledger.not_decoded.extend((filtered > 0).then(|| ("filter.not-matched".to_owned(), filtered)));
        ledger.add_losses(&source.losses());
        let mut gathered: Option<Gathered> = None;
        let mut spools = Vec::new();
        for collector in collectors {
            let (part, spool) = collector.into_parts();
            match &mut gathered {
                None => gathered = Some(part),
                Some(sum) => sum.merge(part),
            }
            spools.extend(spool);
        }
        let gathered = gathered.unwrap_or_default();
        for (name, count) in &gathered.limits {
            ledger.note(name, count.0);
        }
        let mut damage = source.damage().to_vec();
        damage.extend(silent(&by_input));
        let header = self.header(&gathered, inputs, &damage);
        let context = Context { signatures: &self.signatures, places: &self.places, policy: &self.policy };
        let Joined { findings, assets, hosts, names } = with_threads(self.workers, || join(gathered, context));
        let vendors: Vec<&str> = assets.iter().map(|a| a.vendor.as_str()).collect();
        let report = Report { header, ledger, gaps: self.gaps(&vendors), findings, assets };
        let flows = Flows {
            spools,
            hosts,
            names,
            signatures: self.signatures.clone(),
            places: self.places.clone(),
            policy: self.policy.clone(),
        };
        Scanned { report, flows, damage, state }
    }

    fn header(&self, gathered: &Gathered, inputs: &[String], damage: &[Damage]) -> Header {
        let entries = || self.signatures.files.iter().flat_map(|file| &file.entries);
        let identities = entries().filter(|entry| entry.role.is_identity()).count();
        let oldest = self.signatures.files.iter().map(|file| file.checked).min();
        let span = gathered.span;
        Header {
            format: FORMAT,
            program: concat!("bordertap ", env!("CARGO_PKG_VERSION")).to_owned(),
            inputs: inputs.to_vec(),
            damage: damage
                .iter()
                .map(|d| DamageLine { input: d.input.clone(), offset: d.offset, reason: d.reason.clone() })
                .collect(),
            first_seen: (!span.is_empty()).then(|| span.first.to_string()),
            last_seen: (!span.is_empty()).then(|| span.last.to_string()),
            flows: gathered.flows.0,
            transit_flows: gathered.transit_flows.0,
            home: self.policy.homes().iter().map(ToString::to_string).collect(),
            inside: self.policy.inside().iter().map(ToString::to_string).collect(),
            filter: self.filter.clone(),
            signatures: SignatureSummary {
                sha256: self.signatures.digest.clone(),
                vendors: self.signatures.files.len(),
                identities,
                channels: entries().count() - identities,
                oldest_check: oldest.map(|date| date.to_string()).unwrap_or_default(),
                pack: self.signatures.seal.clone(),
            },
            country_database: self.places.country_title(),
            asn_database: self.places.asn_title(),
        }
    }

    /// What nothing can tell apart yet, of the vendors that were found.
    fn gaps(&self, vendors: &[&str]) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = self
            .signatures
            .files
            .iter()
            .filter(|file| vendors.contains(&file.vendor.as_str()))
            .flat_map(|file| file.gaps.iter().map(move |gap| (file, gap)))
            .map(|(file, gap)| Gap {
                id: gap.id.clone(),
                vendor: file.vendor.clone(),
                product: gap.product.clone(),
                what: gap.what.clone(),
            })
            .collect();
        gaps.sort();
        gaps
    }
}

/// What is known of an address or a host name: `bordertap where`. Names are looked up in the
/// signatures; nothing is resolved.
pub fn place_of(what: &str, signatures: &Signatures, places: &Places, policy: &Policy) -> String {
    let mut lines = match what.parse::<IpAddr>() {
        Ok(address) => {
            let mut lines = place::explain(places, address);
            if policy.side_of(address) == Location::Inside {
                lines.push("It is inside: one of our own addresses.".to_owned());
            }
            lines
        }
        Err(_) => name_lines(what, signatures),
    };
    for line in lines.iter_mut().skip(1) {
        line.insert_str(0, "  ");
    }
    lines.join("\n") + "\n"
}

/// The channels and identities that a host name belongs to, best first.
fn name_lines(name: &str, signatures: &Signatures) -> Vec<String> {
    let found = signatures.naming(name);
    if found.is_empty() {
        return vec![format!("{name}: no signature knows this name, and names are never resolved")];
    }
    let mut lines = vec![name.to_owned()];
    for when in found {
        let what = match when.entry.role.channel() {
            Some(channel) => format!("function {}", channel.function.name()),
            None => "identity".to_owned(),
        };
        let region = when.when.region.map(|region| format!(", declared region {region}")).unwrap_or_default();
        let mut more = when.when.besides_names();
        if !more.is_empty() {
            more = format!(", only together with {more}");
        }
        lines.push(format!(
            "{} {}: {what}{region}, confidence {}{more} ({}, {})",
            when.file.vendor,
            when.entry.product,
            when.when.confidence,
            when.entry.id,
            when.matched()
        ));
    }
    lines
}

/// Inputs whose packets were all refused: nobody should take that for an empty network.
fn silent(by_input: &ByInput) -> impl Iterator<Item = Damage> + '_ {
    by_input.iter().filter(|(_, [received, decoded])| received.0 > 0 && decoded.0 == 0).map(|(input, [received, _])| {
        Damage {
            input: input.to_string(),
            offset: 0,
            reason: format!("none of its {} packets could be decoded; the ledger says why", received.0),
            fatal: true,
        }
    })
}
