//! The same traffic as a user reads it: files, and this program's own `scan` over them.
//!
//! In: a [`Load`]. Out: wall times of whole processes. The pipeline is measured in memory that was touched before; a
//! `scan` starts, maps its files, gets new memory, prints and ends, and a user waits for all of that.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::NamedTempFile;

use super::load::Load;
use super::machine::children_kernel_seconds;
use super::traffic::{self, Size, Workload};

/// Packets of the capture that shows what a start costs.
const FEW_PACKETS: u64 = 10;

/// Seconds of one process.
#[derive(Clone, Copy)]
pub struct Took {
    /// From its start until it ended.
    pub wall: f64,
    /// In the kernel, where that is told.
    pub kernel: Option<f64>,
}

/// A program and the files it is to read.
pub struct Whole {
    program: PathBuf,
    workers: usize,
    files: Vec<NamedTempFile>,
    few: NamedTempFile,
}

impl Whole {
    /// Writes one round of the traffic to temporary files.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn new(program: PathBuf, workers: usize, load: &Load) -> io::Result<Whole> {
        let file = |image: &[u8]| {
            let mut file = NamedTempFile::with_prefix("bordertap-bench-")?;
            file.write_all(image)?;
            Ok(file)
        };
        let files = load.images().map(file).collect::<io::Result<_>>()?;
        let few = file(&traffic::image(Workload::Small, Size::Packets(FEW_PACKETS), 1))?;
        Ok(Whole { program, workers, files, few })
    }

    /// One process over the traffic.
    ///
    /// # Errors
    /// When it cannot be run or fails.
    pub fn process(&self) -> io::Result<Took> {
        self.scan(&self.files)
    }

    /// The same over next to nothing: what a start costs.
    ///
    /// # Errors
    /// As [`Whole::process`].
    pub fn start(&self) -> io::Result<Took> {
        self.scan(std::slice::from_ref(&self.few))
    }

    fn scan(&self, files: &[NamedTempFile]) -> io::Result<Took> {
        let mut command = Command::new(&self.program);
        command.args(["scan", "-q", "-j", &self.workers.to_string()]);
        command.args(files.iter().map(NamedTempFile::path));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let kernel = children_kernel_seconds();
        let begun = Instant::now();
        let status = command.status()?;
        let wall = begun.elapsed().as_secs_f64();
        let kernel = children_kernel_seconds().zip(kernel).map(|(after, before)| after - before);
        // 3: a capture of the user's own may be damaged.
        match status.code() {
            Some(0 | 3) => Ok(Took { wall, kernel }),
            _ => Err(io::Error::other(format!("{} scan: {status}", self.program.display()))),
        }
    }
}
