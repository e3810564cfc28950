//! One scan, from inputs to a report.
//!
//! In: a source of packets and what to judge by. Out: a [`Scanned`]: the report, the flow records,
//! what was damaged. This is what `bordertap scan` and `live` run and what tests call.

mod flows;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::capture::{Damage, Source};
use crate::collect::{Collector, Desk, Gathered, Judging, judge_held};
use crate::fact::value;
use crate::join::{Carried, Joined, Seen, join};
use crate::merge::{Merge, Tally};
use crate::place::{self, Places};
use crate::policy::{Location, Policy};
use crate::record::{Asset, FlowRecord};
use crate::report::{self, DamageLine, FORMAT, Gap, Header, PROGRAM, Report, SignatureSummary};
use crate::run::{ByInput, Done, Settings, State, Threads, run, run_watched};
use crate::signature::Signatures;
use crate::watch::Watch;

pub use flows::Flows;

/// Bytes of a file that are read at once for its digest.
const DIGEST_BYTES: usize = 1 << 20;
/// Bytes at the beginning and at the end of a file that make its fingerprint.
const FINGERPRINT_BYTES: u64 = 16 << 10;
/// Bytes of flow state where nothing else is said.
pub const MEMORY_BYTES_USUAL: usize = 2 << 30;

/// What a scan is made with.
pub struct Scan {
    /// What flows are judged by.
    pub judging: Judging,
    /// Worker threads.
    pub workers: usize,
    /// Bytes of flow state.
    pub memory: usize,
    /// Stop after this many packets.
    pub packets_max: u64,
    /// Flows are told apart by their VLANs too.
    pub vlans_apart: bool,
    /// Keep flow records.
    pub keep_flows: bool,
    /// The report is to be merged with others: it carries the sums that it was made of.
    pub mergeable: bool,
    /// The report has the digest of each input that is a file, which is read once more for that.
    pub digests: bool,
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

impl Scan {
    /// A scan with what is built in, one worker and no limits.
    ///
    /// # Errors
    /// When what is built in is broken.
    pub fn builtin() -> Result<Scan, String> {
        let signatures = Arc::new(Signatures::builtin().map_err(|error| error.to_string())?);
        let policy = Arc::new(Policy::new(None, None, None).map_err(|error| error.to_string())?);
        Ok(Scan {
            judging: Judging { signatures, places: Arc::new(Places::builtin()), policy, baseline: None },
            workers: 1,
            memory: MEMORY_BYTES_USUAL,
            packets_max: u64::MAX,
            vlans_apart: false,
            keep_flows: false,
            mergeable: false,
            digests: false,
            filter: None,
        })
    }

    /// Reads a source to its end and says what there is to say.
    pub fn run(&self, source: &mut dyn Source, inputs: &[String], progress: &(dyn Fn(u64, u64) + Sync)) -> Scanned {
        if self.workers > 1 {
            let places = self.judging.places.clone();
            rayon::spawn(move || places.warm());
        }
        let desk = self.desk();
        let collector = if self.mergeable { Collector::holding } else { Collector::new };
        let done = run(source, &self.settings(progress), || collector(desk.clone(), self.keep_flows));
        self.conclude(done, source, inputs)
    }

    /// As [`Scan::run`], with one worker that is watched.
    pub fn run_watched(&self, source: &mut dyn Source, inputs: &[String], watch: impl Watch) -> Scanned {
        let collector = Collector::new(self.desk(), self.keep_flows);
        let done = run_watched(source, &self.settings(&|_, _| {}), collector, watch);
        self.conclude(done, source, inputs)
    }

    fn settings<'a>(&self, progress: &'a (dyn Fn(u64, u64) + Sync)) -> Settings<'a> {
        let Scan { workers, memory, packets_max, vlans_apart, .. } = *self;
        Settings { workers, memory, packets_max, vlans_apart, progress }
    }

    fn desk(&self) -> Arc<Desk> {
        Arc::new(Desk::new(self.judging.clone()))
    }

    /// What the gathered parts say together.
    fn conclude(&self, done: Done<Collector>, source: &mut dyn Source, inputs: &[String]) -> Scanned {
        let Done { mut ledger, inputs: by_input, gathered: collectors, state } = done;
        let filtered = source.filtered();
        ledger.received += filtered;
        ledger.not_decoded.extend((filtered > 0).then(|| ("filter.not-matched".to_owned(), filtered)));
        ledger.add_losses(&source.losses());
        let (mut gathered, mut held, mut spools) = (Gathered::default(), Vec::new(), Vec::new());
        for mut collector in collectors {
            held.append(&mut collector.take_held());
            let (part, spool) = collector.into_parts();
            gathered.merge(part);
            spools.extend(spool);
        }
        let carry = |gathered: &Gathered, edges: &[FlowRecord]| {
            Carried::new(gathered, edges, None, &self.judging.signatures).into_json()
        };
        let mut sums = None;
        if self.mergeable {
            let (carried, more) = judge_held(held, &mut gathered, &self.desk(), self.keep_flows, carry);
            sums = carried;
            spools.extend(more);
        }
        for (name, count) in &gathered.limits {
            ledger.note(name, count.0);
        }
        source.settle();
        let mut damage = source.damage().to_vec();
        damage.extend(silent(&by_input).chain(without(&self.judging.places)));
        let seen = Seen::of(&gathered);
        let mut header = header(&self.judging, seen, inputs, &damage, self.filter.as_deref());
        let threads = Threads::new(self.workers);
        header.sources = threads.run(|| sources(&by_input, self.mergeable, self.digests));
        let joined = threads.run(|| join(gathered, self.judging.context()));
        let Joined { findings, assets, hosts, names } = joined;
        let gaps = gaps(&self.judging.signatures, &assets);
        let report = Report { header, ledger, gaps, findings, assets, sums };
        let flows = Flows { spools, hosts: Arc::new(hosts), names, judging: self.judging.clone() };
        Scanned { report, flows, damage, state }
    }
}

/// What was read and by what it was judged.
pub(crate) fn header(
    judging: &Judging,
    seen: Seen,
    inputs: &[String],
    damage: &[Damage],
    filter: Option<&str>,
) -> Header {
    let Judging { signatures, places, policy, baseline } = judging;
    let entries = || signatures.files.iter().flat_map(|file| &file.entries);
    let identities = entries().filter(|entry| entry.role.is_identity()).count();
    let oldest = signatures.files.iter().map(|file| file.checked).min();
    let span = seen.span;
    // What was typed may have an address of ours in it.
    let shown = |text: &str| policy.anonymiser().map_or(text.to_owned(), |a| a.text(text).into_owned());
    Header {
        format: FORMAT,
        program: PROGRAM.to_owned(),
        sensor: None,
        inputs: inputs.iter().map(|input| shown(input)).collect(),
        sources: Vec::new(),
        damage: damage
            .iter()
            .map(|d| DamageLine { input: shown(&d.input), offset: d.offset, reason: d.reason.clone() })
            .collect(),
        first_seen: (!span.is_empty()).then(|| span.first.to_string()),
        last_seen: (!span.is_empty()).then(|| span.last.to_string()),
        flows: seen.flows.0,
        transit_flows: seen.transit_flows.0,
        home: policy.homes().iter().map(ToString::to_string).collect(),
        inside: policy.inside().iter().map(ToString::to_string).collect(),
        anonymised: policy.key_id().map(str::to_owned),
        policy: policy.origin().cloned(),
        baseline: baseline.as_ref().map(|baseline| baseline.origin.clone()),
        filter: filter.map(shown),
        signatures: SignatureSummary {
            sha256: signatures.digest.clone(),
            vendors: signatures.files.len(),
            identities,
            channels: entries().count() - identities,
            oldest_check: oldest.map(|date| date.to_string()).unwrap_or_default(),
            pack: signatures.seal.clone(),
        },
        country_database: places.country_title(),
        asn_database: places.asn_title(),
    }
}

/// What nothing can tell apart yet, of the vendors that were found.
pub(crate) fn gaps(signatures: &Signatures, assets: &[Asset]) -> Vec<Gap> {
    let is_found = |vendor: &str| assets.iter().any(|asset| asset.vendor == vendor);
    let mut gaps: Vec<Gap> = signatures
        .files
        .iter()
        .filter(|file| is_found(&file.vendor))
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

/// What each input held; `files`: they are files, and told again by their fingerprints.
pub(crate) fn sources(by_input: &ByInput, files: bool, digests: bool) -> Vec<report::Source> {
    let source = |(input, [received, _]): (&Arc<str>, &[Tally; 2])| report::Source {
        input: input.to_string(),
        sha256: digests.then(|| digest(Path::new(&**input)).ok()).flatten(),
        fingerprint: files.then(|| fingerprint(Path::new(&**input)).ok()).flatten(),
        packets: received.0,
    };
    by_input.par_iter().map(source).collect()
}

/// SHA-256 over the length, the first and the last bytes of a file, in lower-case hex.
///
/// # Errors
/// As [`digest`].
pub fn fingerprint(path: &Path) -> io::Result<String> {
    let mut file = regular(path)?;
    let len = file.metadata()?.len();
    let mut digest = Sha256::new();
    digest.update(len.to_be_bytes());
    for at in [0, len.saturating_sub(FINGERPRINT_BYTES)] {
        let mut piece = Vec::new();
        file.seek(SeekFrom::Start(at))?;
        (&mut file).take(FINGERPRINT_BYTES).read_to_end(&mut piece)?;
        digest.update(piece);
    }
    Ok(value::hex(&digest.finalize()))
}

/// A file that is one.
fn regular(path: &Path) -> io::Result<File> {
    // Opening a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    File::open(path)
}

/// SHA-256 of a file in lower-case hex.
///
/// # Errors
/// When it cannot be read, or is no regular file.
pub fn digest(path: &Path) -> io::Result<String> {
    let mut file = regular(path)?;
    let (mut digest, mut piece) = (Sha256::new(), vec![0; DIGEST_BYTES]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(value::hex(&digest.finalize())),
            len => digest.update(piece.get(..len).unwrap_or_default()),
        }
    }
}

/// Databases of places that were wanted and could not be used.
pub(crate) fn without(places: &Places) -> impl Iterator<Item = Damage> + '_ {
    places.refused().iter().map(|(path, reason)| Damage {
        input: path.clone(),
        offset: 0,
        reason: format!("goes without: {reason}"),
        fatal: false,
    })
}

/// Inputs whose packets were all refused: nobody should take that for an empty network.
pub(crate) fn silent(by_input: &ByInput) -> impl Iterator<Item = Damage> + '_ {
    by_input.iter().filter(|(_, [received, decoded])| received.0 > 0 && decoded.0 == 0).map(|(input, [received, _])| {
        Damage {
            input: input.to_string(),
            offset: 0,
            reason: format!("none of its {} packets could be decoded; the ledger says why", received.0),
            fatal: true,
        }
    })
}
