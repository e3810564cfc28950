//! What can be typed behind `bench live`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::live::{parse_duration, parse_ring_size};
use super::{Through, When};
use crate::bench::traffic::SEED;

/// Frame sizes, FCS counted: Ethernet allows no smaller one.
const FRAME_BYTES: std::ops::RangeInclusive<i64> = 64..=65_535;

/// `bordertap bench live`.
#[derive(Debug, Args)]
#[command(after_long_help = METHOD)]
pub struct BenchLiveArgs {
    /// The interface to send into. Nothing is sent without it
    #[arg(long, value_name = "IFACE")]
    pub tx: String,

    /// The interface to listen on
    #[arg(long, value_name = "IFACE")]
    pub rx: String,

    /// Workloads of `bench`, or captures of your own, repeated with other addresses in every round [default: mixed,
    /// elephants, churn, small; with --sizes none]
    #[arg(value_name = "WORKLOAD|FILE")]
    pub names: Vec<String>,

    /// Frames of one size, UDP and TCP, for each of these sizes, FCS counted: RFC 2544 has 64,128,256,512,1024,1280,1518
    #[arg(long, value_name = "BYTES,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(FRAME_BYTES))]
    pub sizes: Vec<u32>,

    /// Traffic of about N packets, gone over again and again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub packets: Option<u64>,

    /// Seed of the traffic
    #[arg(long, value_name = "N", default_value_t = SEED)]
    pub seed: u64,

    /// Length of a trial; RFC 2544 wants 60s [default: 5s; with --quick 1s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub trial: Option<Duration>,

    /// Searches of each kind, in turn [default: 3; with --quick 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: Option<u16>,

    /// End a search when the rates with and without loss are so near each other, as a ratio [default: 0.05; with --quick
    /// 0.1]
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio)]
    pub resolution: Option<f64>,

    /// Begin a search with so many packets a second [default: 50000]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub start_rate: Option<f64>,

    /// Never send more packets a second than this [default: 20000000]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub max_rate: Option<f64>,

    /// Loss that still counts as none, as a ratio
    #[arg(long, value_name = "RATIO", default_value = "0", value_parser = parse_ratio)]
    pub loss_max: f64,

    /// Shorter trials, one search, a coarser answer
    #[arg(long)]
    pub quick: bool,

    /// Worker threads of the sensor, as a list [default: as it decides]
    #[arg(short = 'j', long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Vec<u16>,

    /// Through what the sensor captures, as a list
    #[arg(long, value_enum, value_name = "WAY,..", value_delimiter = ',', default_value = "ring")]
    pub capture: Vec<Through>,

    /// Kernel memory of the sensor for packets that wait to be read
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_ring_size)]
    pub ring_size: u64,

    /// Measure another program in turn with the sensor; may be given several times. {rx} stands for the interface; words end
    /// at blanks, there is no shell. It says `listening on` when it is ready, ends at SIGINT and says as tcpdump does what it
    /// captured and dropped: 'tcpdump -n -i {rx} -w /dev/null'
    #[arg(long = "receiver", value_name = "COMMAND")]
    pub receivers: Vec<String>,

    /// Write the result as one JSON document (- for standard output, in place of the text)
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// Write the result as one self-contained HTML page
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,

    /// Say nothing on standard error but errors, and what is sent where
    #[arg(short, long)]
    pub quiet: bool,

    /// Colour in the text (NO_COLOR is honoured)
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}

const METHOD: &str = "\
How it is measured:
  search      RFC 2544, section 26.1: the rate is doubled until packets are lost, then the interval
              between the rates with and without loss is halved until it is small enough
  rate        what came to --rx, by its counters; never what was offered. Where the sender cannot
              reach a rate the result says that the sender was the limit
  loss        what the receiver counts as lost, by name. In every trial what was sent is what counters
              of the interfaces say was lost between them and what the receiver accounts for,
              exactly; a trial for which that does not hold is broken and counts for nothing
  traffic     in every round over it the same bits of all addresses are turned: no flow comes back,
              both directions of one stay one, inside stays inside. Frames that --tx cannot send
              (longer than its MTU) are left out and counted
A kernel buffer hides a loss that a longer trial would show: the shorter the trial, the smaller
--ring-size should be.";

#[cfg(target_os = "linux")]
impl BenchLiveArgs {
    /// What to measure, and how.
    ///
    /// # Errors
    /// When this program does not know where it lies.
    pub fn options(&self) -> std::io::Result<crate::bench::live::Options> {
        use crate::bench::live::search::Bounds;
        use crate::bench::live::{Options, RATES, RESOLUTION, RUNS, TRIAL};
        use crate::bench::traffic::Size;
        let way = |through: &Through| match through {
            Through::Ring => "ring".to_owned(),
            Through::Libpcap => "libpcap".to_owned(),
            Through::Xdp => "xdp".to_owned(),
        };
        Ok(Options {
            tx: self.tx.clone(),
            rx: self.rx.clone(),
            names: self.names.clone(),
            sizes: self.sizes.clone(),
            size: self.packets.map_or(Size::Quick, Size::Packets),
            seed: self.seed,
            trial: self.trial.unwrap_or(if self.quick { TRIAL.1 } else { TRIAL.0 }),
            runs: self.runs.map_or(if self.quick { RUNS.1 } else { RUNS.0 }, usize::from),
            bounds: Bounds {
                start_rate: self.start_rate.unwrap_or(RATES.0),
                max_rate: self.max_rate.unwrap_or(RATES.1),
                resolution: self.resolution.unwrap_or(if self.quick { RESOLUTION.1 } else { RESOLUTION.0 }),
                loss_max: self.loss_max,
            },
            program: std::env::current_exe()?,
            workers: self.workers.iter().map(|&workers| workers.into()).collect(),
            through: self.capture.iter().map(way).collect(),
            ring_bytes: self.ring_size,
            receivers: self.receivers.clone(),
        })
    }
}

/// A part of one.
fn parse_ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..1.0).contains(&ratio) => Ok(ratio),
        _ => Err("a number from 0 to less than 1, please".to_owned()),
    }
}

/// Packets a second.
fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (1.0..=1e9).contains(&rate) => Ok(rate),
        _ => Err("a number from 1 to 1000000000, please".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BenchCommand, Cli, Command};
    use super::*;
    use clap::Parser;

    fn bench(words: &[&str]) -> Result<Box<super::super::BenchArgs>, String> {
        let words = ["bordertap", "bench"].iter().chain(words);
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Bench(args) => Ok(args),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn live_is_a_word_of_its_own_and_a_file_with_a_path() {
        let args = bench(&["live", "--tx", "a", "--rx", "b", "--sizes", "64,1518", "mixed"]);
        let Ok(Some(BenchCommand::Live(live))) = args.map(|args| args.command) else { unreachable!() };
        assert_eq!((live.tx.as_str(), live.sizes.as_slice()), ("a", &[64, 1518][..]));
        assert_eq!(live.names, ["mixed"]);
        let args = bench(&["--quick", "mixed", "./live"]);
        assert_eq!(args.map(|args| args.names.clone()), Ok(vec!["mixed".to_owned(), "./live".to_owned()]));
        assert!(bench(&["live", "--rx", "b"]).is_err_and(|error| error.contains("--tx <IFACE>")));
        assert!(bench(&["--tx", "a", "--rx", "b"]).is_err());
    }

    #[test]
    fn ratios_and_rates_have_bounds() {
        assert_eq!((parse_ratio("0.05"), parse_rate("50000")), (Ok(0.05), Ok(50_000.0)));
        for bad in ["1", "-0.1", "NaN", "x"] {
            assert!(parse_ratio(bad).is_err(), "{bad}");
        }
        for bad in ["0", "inf", "NaN", "-1"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
