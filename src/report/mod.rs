//! What is printed: text and a page for people, JSON for programs.
//!
//! In: a finished [`Report`], or ended flows one by one. Out: bytes on a writer. Nothing is judged
//! here and nothing is counted; the same report gives the same bytes.

pub mod answer;
pub mod cef;
pub mod csv;
pub mod eve;
pub mod flow;
pub mod html;
pub mod jsonl;
mod lines;
pub mod markup;
pub mod misp;
pub mod paint;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod read;
pub mod stix;
pub mod text;
mod uuid;
mod words;
pub mod zeek;

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use flow::Flow;
pub use lines::Lines;

use crate::ledger::Ledger;
use crate::record::{Asset, Finding, Origin};
use crate::signature::Seal;

/// Version of the output formats; `fixtures/schema` describes them.
pub const FORMAT: u32 = 1;

/// Who wrote a document: name and version.
pub const PROGRAM: &str = concat!("bordertap ", env!("CARGO_PKG_VERSION"));

/// Takes flows as they are handed over, one after the other.
pub trait Sink {
    /// One flow.
    fn flow(&mut self, flow: &Flow<'_>) -> io::Result<()>;
    /// There are no more.
    fn end(&mut self) -> io::Result<()>;
}

/// What became of a record that a sensor told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was not there before.
    New,
    /// It has changed.
    Updated,
    /// What was taken for it turned out to be something else: later records say what.
    Withdrawn,
}

impl Status {
    /// The word in records.
    pub fn name(self) -> &'static str {
        match self {
            Status::New => "new",
            Status::Updated => "updated",
            Status::Withdrawn => "withdrawn",
        }
    }
}

/// A record with its revision.
#[derive(Serialize)]
pub struct Change<'a, T> {
    /// What became of it.
    pub status: Status,
    /// Counts from 1.
    pub revision: u64,
    /// The record.
    #[serde(flatten)]
    pub record: &'a T,
}

impl<'a, T> Change<'a, T> {
    /// A record that is told once.
    pub fn new(record: &'a T) -> Change<'a, T> {
        Change { status: Status::New, revision: 1, record }
    }
}

/// Everything a run says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was read, with what, and when it was captured.
    pub header: Header,
    /// What was not seen.
    pub ledger: Ledger,
    /// Who talks where, most serious first.
    pub findings: Vec<Finding>,
    /// The appliances.
    pub assets: Vec<Asset>,
    /// Documented traffic of the vendors found that nothing on the wire can tell apart yet.
    pub gaps: Vec<Gap>,
    /// The sums that all this was made of, where reports are to be merged; see `join::Carried`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sums: Option<Box<RawValue>>,
}

impl Report {
    /// Something counts for `--fail-on-finding`; with a baseline, something new.
    pub fn alerts(&self) -> bool {
        self.findings.iter().any(|finding| finding.alert && finding.new != Some(false))
    }
}

/// What was read and what it was judged by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Version of the output formats.
    pub format: u32,
    /// `bordertap` and its version.
    pub program: String,
    /// The name of the sensor that listened; none of captures.
    pub sensor: Option<String>,
    /// The inputs in the order they were read.
    pub inputs: Vec<String>,
    /// What they held.
    pub sources: Vec<Source>,
    /// What could not be read of them.
    pub damage: Vec<DamageLine>,
    /// Packet time of the first packet, RFC 3339.
    pub first_seen: Option<String>,
    /// Packet time of the last packet, RFC 3339.
    pub last_seen: Option<String>,
    /// Flows.
    pub flows: u64,
    /// Flows between two addresses that are both not ours: counted, not judged.
    pub transit_flows: u64,
    /// Home countries, groups as their members; none when the policy has no home.
    pub home: Vec<String>,
    /// Prefixes that are ours.
    pub inside: Vec<String>,
    /// Addresses and names of our hosts are replaced: the id of the key. Absent when they stand as they were seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub anonymised: Option<String>,
    /// The policy file or preset; flags win over it.
    pub policy: Option<Origin>,
    /// The older report beside which findings and assets are new.
    pub baseline: Option<Origin>,
    /// The filter expression.
    pub filter: Option<String>,
    /// The signatures used.
    pub signatures: SignatureSummary,
    /// Where countries come from.
    pub country_database: String,
    /// Where AS numbers come from.
    pub asn_database: Option<String>,
}

/// One capture or interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub input: String,
    /// SHA-256 of the file as it lay on the disk, in lower-case hex; none of what is no file.
    pub sha256: Option<String>,
    /// Tells the same file again, without reading all of it: SHA-256 over its length, its beginning and its end, in lower-case
    /// hex; none of what is no file.
    pub fingerprint: Option<String>,
    /// Packets that were received from it.
    pub packets: u64,
}

/// Which signatures a report was made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignatureSummary {
    /// SHA-256 over the files.
    pub sha256: String,
    /// Vendors.
    pub vendors: usize,
    /// Identities.
    pub identities: usize,
    /// Channels.
    pub channels: usize,
    /// The oldest date at which a vendor's file was checked.
    pub oldest_check: String,
    /// The signed pack that some of them came in.
    pub pack: Option<Seal>,
}

/// Something in an input that could not be read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DamageLine {
    /// The input.
    pub input: String,
    /// Offset in its (decompressed) bytes.
    pub offset: u64,
    /// What is wrong.
    pub reason: String,
}

/// Documented traffic that nothing can tell apart yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// The entry's id.
    pub id: String,
    /// Whose traffic.
    pub vendor: String,
    /// Which product.
    pub product: String,
    /// What it is.
    pub what: String,
}
