//! Processes of this program over the traffic: each run of the pipeline is one, and a `scan` as a user types it.
//!
//! In: a [`Load`]. Out: what a process measured of itself, or its wall time. A run in a process that ran before would go
//! over memory that the kernel has cleared already, which no `scan` of a user finds.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use super::load::Load;
use super::run::{Asked, Run};
use super::traffic::{self, Size, Workload};

/// Packets of the capture that shows what a start costs.
const FEW_PACKETS: u64 = 10;

/// A program and the files it is to read.
pub struct Whole {
    program: PathBuf,
    files: Vec<NamedTempFile>,
    few: NamedTempFile,
}

impl Whole {
    /// Writes one round of the traffic to temporary files.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn new(program: PathBuf, load: &Load) -> io::Result<Whole> {
        let file = |image: &[u8]| {
            let mut file = NamedTempFile::with_prefix("bordertap-bench-")?;
            file.write_all(image)?;
            Ok(file)
        };
        let files = load.images().map(file).collect::<io::Result<_>>()?;
        let few = file(&traffic::image(Workload::Small, Size::Packets(FEW_PACKETS), 1))?;
        Ok(Whole { program, files, few })
    }

    /// A process that makes one run, from memory, and says what it took.
    ///
    /// # Errors
    /// When it cannot be run or fails.
    pub fn run(&self, asked: Asked) -> io::Result<Run> {
        let mut command = Command::new(&self.program);
        command.args(["bench", "one-run"]).args(asked.kind.to_possible_value().iter().map(PossibleValue::get_name));
        command.args([format!("-j{}", asked.workers), format!("--rounds={}", asked.rounds)]);
        command.arg("--").args(self.files.iter().map(NamedTempFile::path));
        answer(command)
    }

    /// Seconds of a `scan` of one round, from its start to its end.
    ///
    /// # Errors
    /// As [`Whole::run`].
    pub fn scan(&self, workers: usize) -> io::Result<f64> {
        self.scan_of(&self.files, workers)
    }

    /// The same of next to nothing: what a start costs.
    ///
    /// # Errors
    /// As [`Whole::run`].
    pub fn start(&self, workers: usize) -> io::Result<f64> {
        self.scan_of(std::slice::from_ref(&self.few), workers)
    }

    fn scan_of(&self, files: &[NamedTempFile], workers: usize) -> io::Result<f64> {
        let mut command = Command::new(&self.program);
        command.args(["scan", "-q", "-j", &workers.to_string()]);
        command.args(files.iter().map(NamedTempFile::path));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begun = Instant::now();
        let status = command.status()?;
        let seconds = begun.elapsed().as_secs_f64();
        // 3: a capture of the user's own may be damaged.
        match status.code() {
            Some(0 | 3) => Ok(seconds),
            _ => Err(io::Error::other(format!("{} scan: {status}", self.program.display()))),
        }
    }
}

/// The JSON document that a process prints; what it says on standard error is said.
///
/// # Errors
/// When it cannot be run, fails, or prints something else.
pub fn answer<T: DeserializeOwned>(mut command: Command) -> io::Result<T> {
    let output = command.stdin(Stdio::inherit()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("not measured ({})", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(io::Error::from)
}
