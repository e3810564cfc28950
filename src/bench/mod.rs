//! `bordertap bench`: how fast this build is on this machine, and where the time goes.
//!
//! In: [`Options`]. Out: a [`result::Bench`], which [`text`] and [`html`] print. The parts, in the order of their work:
//! [`traffic`] makes packets and [`load`] holds them, or a capture of the user's own, in memory; [`measure`] has one
//! [`run`] made after the other, of the real pipeline and of the bare loop of [`floor`] in turn, each by a process of its own
//! and beside a `scan` ([`whole`]), with [`counters`], [`watcher`] and [`machine`] as instruments; [`apart`] has another
//! process for every workload; [`spread`] has median and range; [`compare`] sets a result beside an older one; [`plot`] draws.
//! On Linux `live` measures between two interfaces instead: how much comes before the first packet is lost.
//!
//! Method: after RFC 2544 (frames a second, repeated trials, frame sizes) and RFC 9411 (a report states set-up,
//! settings and traffic mix), as far as they fit a program that reads from memory: nothing is lost here, so throughput
//! is how fast all of it was read.

pub mod apart;
pub mod compare;
pub mod counters;
#[cfg(test)]
mod example;
pub mod floor;
pub mod html;
#[cfg(target_os = "linux")]
pub mod live;
pub mod load;
pub mod machine;
pub mod measure;
pub mod plot;
pub mod progress;
pub mod result;
pub mod run;
pub mod spread;
pub mod text;
pub mod traffic;
pub mod units;
pub mod watcher;
pub mod whole;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use load::Name;
use traffic::{Size, Workload};

/// Counted runs: full, quick.
pub const RUNS: (usize, usize) = (5, 3);

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workloads and files; none: every workload.
    pub names: Vec<String>,
    /// How much traffic.
    pub size: Size,
    /// Seed of the traffic.
    pub seed: u64,
    /// Counted runs of each kind.
    pub runs: usize,
    /// Worker threads; empty: 1, 2, 4 … up to the cores.
    pub workers: Vec<usize>,
    /// With flow records too.
    pub flows: bool,
    /// This program, to be run as `scan` too.
    pub program: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            names: Vec::new(),
            size: Size::Full,
            seed: traffic::SEED,
            runs: RUNS.0,
            workers: Vec::new(),
            flows: false,
            program: None,
        }
    }
}

impl Options {
    /// The names, understood.
    ///
    /// # Errors
    /// A name that is neither a workload nor a file.
    pub fn names(&self) -> Result<Vec<Name>, Error> {
        match self.names.as_slice() {
            [] => Ok(Workload::ALL.map(Name::Workload).to_vec()),
            names => names.iter().map(|name| Name::parse(name)).collect(),
        }
    }

    /// What to type for the same measurement.
    pub fn command(&self) -> String {
        let mut words = vec!["bordertap bench".to_owned()];
        match self.size {
            Size::Full => {}
            Size::Quick => words.push("--quick".to_owned()),
            Size::Packets(packets) => words.push(format!("--packets {packets}")),
        }
        words.push(format!("--seed {} --runs {}", self.seed, self.runs));
        let workers: Vec<String> = self.workers().iter().map(ToString::to_string).collect();
        words.push(format!("-j {}", workers.join(",")));
        words.extend(self.flows.then(|| "--flows".to_owned()));
        words.extend(self.names.iter().map(|name| quoted(name)));
        words.join(" ")
    }

    /// Worker threads to measure with.
    pub fn workers(&self) -> Vec<usize> {
        if !self.workers.is_empty() {
            return self.workers.clone();
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let doubled = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|&n| n < cores);
        doubled.chain([cores]).collect()
    }
}

/// A word for a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that means nothing.
    #[error("`{0}` is neither a file nor a workload; workloads are mixed, elephants, churn, small, flows-10m, hostile")]
    Neither(String),
    /// A capture that cannot be used: its name, the reason.
    #[error("{0}: {1}")]
    Unreadable(String, String),
    /// A workload that another process could not measure: its name, the reason.
    #[error("{0}: {1}")]
    Apart(String, String),
    /// A file that cannot be written or read.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The built-in signatures or policy cannot be used.
    #[error("{0}")]
    BuiltIn(String),
    /// An older result that is none.
    #[error("{0}: no result of `bordertap bench --json` that this version reads: {1}")]
    NoResult(PathBuf, String),
}

/// Reads an older result.
///
/// # Errors
/// When the file cannot be read or is something else.
pub fn read_result(path: &Path) -> Result<result::Bench, Error> {
    let bytes = fs::read(path).map_err(|error| Error::File(path.to_owned(), error))?;
    let bad = |reason: String| Error::NoResult(path.to_owned(), reason);
    let old: result::Bench = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    match old.format {
        result::FORMAT => Ok(old),
        other => Err(bad(format!("format {other}"))),
    }
}

/// Writes the traffic of the workloads into a folder, one round each, for other tools. Returns a line for each file,
/// as `sha256sum` prints it.
///
/// # Errors
/// A name that is no workload, or a file that cannot be written.
pub fn write_traffic(options: &Options, folder: &Path) -> Result<String, Error> {
    let mut lines = String::new();
    fs::create_dir_all(folder).map_err(|error| Error::File(folder.to_owned(), error))?;
    for name in options.names()? {
        let Name::Workload(workload) = name else {
            return Err(Error::Unreadable(
                name.to_string(),
                "a file already; traffic is written of workloads".to_owned(),
            ));
        };
        let load = load::Load::new(&name, options)?;
        let path = folder.join(format!("{workload}.pcap"));
        let image = load.images().next().unwrap_or_default();
        fs::write(&path, image).map_err(|error| Error::File(path.clone(), error))?;
        lines += &format!("{}  {}\n", load.traffic.sha256, path.display());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_repeats_what_was_asked() {
        let options = Options {
            names: vec!["mixed".to_owned(), "it's <b>.pcap".to_owned()],
            size: Size::Quick,
            workers: vec![1, 3],
            flows: true,
            ..Options::default()
        };
        let command = options.command();
        assert_eq!(command, r"bordertap bench --quick --seed 1 --runs 5 -j 1,3 --flows mixed 'it'\''s <b>.pcap'");
    }

    #[test]
    fn workers_double_up_to_the_cores() {
        let workers = Options::default().workers();
        assert_eq!(workers[0], 1);
        assert_eq!(workers.last().copied(), std::thread::available_parallelism().ok().map(usize::from));
        assert!(workers.is_sorted_by(|a, b| a < b));
    }
}
