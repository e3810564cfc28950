//! One scan, from inputs to a report.
//!
//! In: a source of packets and what to judge by. Out: a [`Scanned`]: the report, the flow records,
//! what was damaged. This is what `bordertap scan` runs and what tests call.

use std::io::{self, Write};
use std::sync::Arc;

use crate::capture::{Damage, Source};
use crate::collect::{Collector, Gathered};
use crate::fact::{Flag, Side, value};
use crate::join::{Context, Identified, Joined, NameBook, join};
use crate::merge::Merge;
use crate::parse::{dns, tls};
use crate::place::Places;
use crate::policy::{Policy, Zone};
use crate::record::FlowRecord;
use crate::record::spool::Spool;
use crate::report::flow::{Learnt, Verdict};
use crate::report::{DamageLine, FORMAT, Gap, Header, Report, SignatureSummary, flow};
use crate::run::{Settings, run};
use crate::signature::Signatures;

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
