//! One timed run over the traffic.
//!
//! In: a [`Load`] and what is [`Asked`]. Out: a [`Run`]. [`whole`](super::whole) has it made by a process of its own.

use std::io::{self, BufWriter, Seek, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::counters::{Counters, Counts};
use super::load::Load;
use super::{Error, floor, machine};
use crate::report::text;
use crate::scan::{Scan, Scanned};

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The pipeline.
    Plain,
    /// The pipeline, with every flow written to a temporary file.
    Flows,
    /// The bare loop.
    Floor,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What.
    pub kind: Kind,
    /// Worker threads; the bare loop has one.
    pub workers: usize,
    /// How often the traffic is gone over.
    pub rounds: u64,
}

/// What a run took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Wall time: of the pipeline from the first block asked for until the report stands in memory, or until the last
    /// flow record was handed to the system.
    pub seconds: f64,
    /// Wall time of writing that report as text to nowhere.
    pub told_seconds: f64,
    /// Packets that were read.
    pub packets: u64,
    /// Cycles and instructions, where they are counted.
    pub counts: Option<Counts>,
    /// Most memory of the process meanwhile.
    pub peak_bytes: Option<u64>,
    /// Bytes of flow records.
    pub written_bytes: u64,
}

/// Makes runs in this process.
pub struct Runner {
    /// The pipeline, with everything built in.
    pub scan: Scan,
    counters: Option<Counters>,
}

impl Runner {
    /// With these counters, if any.
    ///
    /// # Errors
    /// When what is built in is broken.
    pub fn new(counters: Option<Counters>) -> Result<Runner, Error> {
        Ok(Runner { scan: Scan::builtin().map_err(Error::BuiltIn)?, counters })
    }

    /// One run.
    ///
    /// # Errors
    /// When a temporary file cannot be written.
    pub fn run(&mut self, load: &Load, asked: Asked) -> Result<Run, Error> {
        match asked.kind {
            Kind::Plain => self.plain(load, asked).map(|(run, _)| run),
            Kind::Flows => self.flows(load, asked),
            Kind::Floor => Ok(bare(load, asked.rounds)),
        }
    }

    /// One run of the pipeline, with what came of it.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn plain(&mut self, load: &Load, asked: Asked) -> Result<(Run, Scanned), Error> {
        self.scan.workers = asked.workers;
        let mut source = load.replay(asked.rounds);
        let can_forget = machine::forget_peak();
        if let Some(counters) = &mut self.counters {
            counters.start();
        }
        let begun = Instant::now();
        let scanned = self.scan.run(&mut source, &[], &|_, _| {});
        let seconds = begun.elapsed().as_secs_f64();
        let counts = self.counters.as_mut().and_then(Counters::stop);
        let peak_bytes = machine::peak_bytes().filter(|_| can_forget);
        let begun = Instant::now();
        let mut nowhere = BufWriter::new(io::sink());
        text::write(&scanned.report, text::Style::default(), &mut nowhere).map_err(temporary)?;
        let told_seconds = begun.elapsed().as_secs_f64();
        let packets = scanned.report.ledger.received;
        Ok((Run { seconds, told_seconds, packets, counts, peak_bytes, written_bytes: 0 }, scanned))
    }

    fn flows(&mut self, load: &Load, asked: Asked) -> Result<Run, Error> {
        let mut file = tempfile::tempfile().map_err(temporary)?;
        (self.scan.workers, self.scan.keep_flows) = (asked.workers, true);
        let mut source = load.replay(asked.rounds);
        let begun = Instant::now();
        let scanned = self.scan.run(&mut source, &[], &|_, _| {});
        self.scan.keep_flows = false;
        let mut out = BufWriter::new(&mut file);
        scanned.flows.write(&mut out).and_then(|()| out.flush()).map_err(temporary)?;
        drop(out);
        let seconds = begun.elapsed().as_secs_f64();
        let written_bytes = file.stream_position().map_err(temporary)?;
        Ok(Run { seconds, packets: scanned.report.ledger.received, written_bytes, ..Run::default() })
    }
}

/// The bare loop over all rounds. It reads no packets of other links than Ethernet.
fn bare(load: &Load, rounds: u64) -> Run {
    let begun = Instant::now();
    let mut packets = 0;
    for _ in 0..rounds {
        packets += load.images().map(|image| std::hint::black_box(floor::run(image)).packets).sum::<u64>();
    }
    Run { seconds: begun.elapsed().as_secs_f64(), packets, ..Run::default() }
}

/// One run over images in files, in this process, which made no other: `bordertap bench one-run`.
///
/// # Errors
/// A file that cannot be read, or as [`Runner::run`].
pub fn once(files: &[PathBuf], asked: Asked) -> Result<Run, Error> {
    let load = Load::unread(files)?;
    Runner::new(Counters::open().ok())?.run(&load, asked)
}

/// A temporary file cannot be written or read.
pub(super) fn temporary(error: io::Error) -> Error {
    Error::File(std::env::temp_dir(), error)
}
