//! What can be typed: commands, options, their defaults and their words.
//!
//! This is the program's table of contents: help, man page and shell completions are made from it.

mod again;
mod bench_live;
mod diff;
mod evidence;
mod formats;
mod live;
mod policy;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench;
use crate::bench::run::{Asked, Kind};
use crate::bench::traffic::{SEED, Size};
use crate::output::parse_size;
use crate::service;

pub use again::{EndingArgs, MergeArgs, RecheckArgs};
pub use bench_live::BenchLiveArgs;
pub use diff::DiffArgs;
pub use evidence::{EvidenceArgs, Payload, VerifyArgs};
pub use formats::{Format, FormatArgs};
pub use live::{CHECK_TIME, LiveArgs, Sandbox, Through, Timestamps};
pub use policy::PolicyCommand;

/// Which foreign security appliances are here, what they send, to which country, and how much.
///
/// bordertap only listens. It reads captures and interfaces, recognises security products by what they show on the
/// wire, and reports for each who it is, which channel it uses and what data that channel carries,
/// where it goes and how much: with evidence, with a confidence, and with an account of what
/// could not be seen.
#[derive(Debug, Parser)]
#[command(name = "bordertap", version, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 everything read; 1 nothing usable, or an I/O error; 2 bad usage; \
3 some input was damaged or skipped, what was readable is reported; 4 something leaves the country (only with --fail-on-finding, and diff --fail-on-new).";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read captures and say which security products talk to which country
    Scan(Box<ScanArgs>),
    /// Listen on interfaces until Ctrl-C, --duration or --count, then say the same as scan
    Live(Box<LiveArgs>),
    /// Hold a folder that --evidence wrote against what it claims
    ///
    /// Checks every digest and the signature, then reads each file as scan does and says whether the same finding comes out:
    /// asset, channel, name, country, direction and crossing. Volumes are not compared: a file has the packets that prove a
    /// finding, not all of them. Exit status 0 when all is well, 1 when anything is damaged or comes out otherwise.
    Verify(Box<VerifyArgs>),
    /// Measure how fast this build is on this machine, and where the time goes
    ///
    /// Without an argument, traffic of every kind is made in memory and read by the real pipeline. Nothing is read from a
    /// disk or a network meanwhile. Workloads: mixed (an office link), elephants (long downloads), churn (a new TLS flow
    /// every 8 packets), small (64-byte packets), flows-10m (ten million open flows), hostile (split and reordered hellos).
    Bench(Box<BenchArgs>),
    /// Make one report of several: of sensors, captures, months
    ///
    /// The result says what one scan of everything would say: a name or an appliance that one report knows explains what
    /// another one saw. Packets are numbered through in the order of the first packets. A capture that is in two reports, or
    /// one interface of one sensor at the same time, is refused.
    Merge(Box<MergeArgs>),
    /// Judge flow records of before by the signatures, databases and policy of today
    ///
    /// No capture is needed: a record holds all that signatures ask for. With --flows the records are written with their new
    /// verdicts.
    Recheck(Box<RecheckArgs>),
    /// List, check or explain the signatures
    #[command(subcommand)]
    Signatures(SignatureCommand),
    /// Say what is otherwise in a newer report: what appeared, what stopped, what changed
    ///
    /// Findings are the same when they have the same id, assets when they have the same address and maker. What the newer report
    /// is too short to show is not taken for stopped. Volumes are compared by the time that the reports cover. What differs in
    /// how the reports were made (signatures, home, policy, databases) is said first, because a difference may come from there.
    Diff(DiffArgs),
    /// Check policy files, and say what they mean
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Say in which country an address or host name is, and how that is known
    Where(WhereArgs),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// `bordertap scan`.
#[derive(Debug, Args)]
pub struct ScanArgs {
    /// Capture files, directories with capture files, or - for standard input. The kind (pcap,
    /// pcapng, each also in gzip, zstd, lz4, xz) is found from the bytes. Several inputs are
    /// read as one capture in the order of their first packet
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<String>,

    /// How it is read and judged, and where results go
    #[command(flatten)]
    pub run: RunArgs,
}

/// How packets are read and judged, and where results go.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What is home, what is inside, and what is known
    #[command(flatten)]
    pub judge: JudgeArgs,

    /// Read only packets that match a libpcap filter expression
    #[arg(short, long, value_name = "BPF")]
    pub filter: Option<String>,

    /// Stop after N packets
    #[arg(short, long, value_name = "N")]
    pub count: Option<u64>,

    /// Whether VLANs tell flows apart: joined, the two directions of a flow may be in different ones; apart, the same
    /// addresses and ports in another VLAN are another flow
    #[arg(long, value_enum, default_value_t = Vlans::Joined, value_name = "HOW")]
    pub vlans: Vlans,

    /// Worker threads [default: one per core]
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,

    /// Memory for flow state: bytes, or with KiB, MiB, GiB
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = parse_size)]
    pub memory: u64,

    /// Where results go
    #[command(flatten)]
    pub outputs: OutputArgs,

    /// The packets behind findings
    #[command(flatten)]
    pub evidence: EvidenceArgs,

    /// Mark what an older report (a --json file) does not have as new; --fail-on-finding then counts only what is new
    #[arg(long, value_name = "OLD.json")]
    pub baseline: Option<PathBuf>,

    /// Exit with 4 when anything leaves the country; where the policy has an alert section: when anything fits that
    #[arg(long)]
    pub fail_on_finding: bool,

    /// How much is said
    #[command(flatten)]
    pub talk: TalkArgs,
}

/// Whether VLANs tell flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Vlans {
    /// They do not.
    Joined,
    /// They do.
    Apart,
}

/// What is home, what is inside, and what is known.
#[derive(Debug, Args)]
pub struct JudgeArgs {
    /// The home country or countries, ISO 3166-1 alpha-2, or groups such as EU and EEA [default: CN]
    #[arg(long, value_name = "CN[,..]", value_delimiter = ',')]
    pub home: Option<Vec<String>>,

    /// TOML file with homes, inside prefixes, sites, exempt channels, severities, alerts; or a preset: cn, eu, none (write
    /// ./cn for a file of that name)
    #[arg(long, value_name = "FILE|PRESET")]
    pub policy: Option<PathBuf>,

    /// Which addresses are ours [default: RFC 1918, RFC 6598, RFC 4193, link-local]
    #[arg(long, value_name = "PREFIX,..", value_delimiter = ',')]
    pub inside: Option<Vec<String>>,

    /// Replace addresses and names of our own hosts, in every output, by others that depend on the key in this file (64
    /// hexadecimal digits: openssl rand -hex 32). The same key gives the same, so that reports can be merged and compared.
    /// merge and recheck: what they read was written with this key, and sites and exemptions are found by it
    #[arg(long, value_name = "KEYFILE")]
    pub anonymise: Option<PathBuf>,

    /// Replace names in these domains as well: a name of the Internet is otherwise replaced only where it is seen to be that
    /// of a host of ours
    #[arg(long, value_name = "DOMAIN,..", value_delimiter = ',', requires = "anonymise")]
    pub anonymise_names: Vec<String>,

    /// Which signatures
    #[command(flatten)]
    pub signatures: SignatureArgs,

    /// Where places come from
    #[command(flatten)]
    pub databases: DatabaseArgs,
}

/// Where places come from.
#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// Country database in MaxMind format (one is built in)
    #[arg(long, value_name = "FILE")]
    pub country_db: Option<PathBuf>,

    /// AS number database in MaxMind format
    #[arg(long, value_name = "FILE")]
    pub asn_db: Option<PathBuf>,
}

/// Where results go. Without any of these the report is printed as text.
#[derive(Debug, Args, Default)]
pub struct OutputArgs {
    /// Write every flow as JSON lines
    #[arg(long, value_name = "PATH", help_heading = "Output (PATH may be - for standard output)")]
    pub flows: Option<PathBuf>,

    /// Write every finding as JSON lines
    #[arg(long, value_name = "PATH", help_heading = "Output (PATH may be - for standard output)")]
    pub findings: Option<PathBuf>,

    /// Write every identified appliance as JSON lines
    #[arg(long, value_name = "PATH", help_heading = "Output (PATH may be - for standard output)")]
    pub assets: Option<PathBuf>,

    /// Write the whole report as one JSON document
    #[arg(long, value_name = "PATH", help_heading = "Output (PATH may be - for standard output)")]
    pub json: Option<PathBuf>,

    /// Write the report as one self-contained HTML page, for the person who decides
    #[arg(long, value_name = "PATH", help_heading = "Output (PATH may be - for standard output)")]
    pub report: Option<PathBuf>,

    /// Language in which the page of --report opens; it has both
    #[arg(long, value_enum, default_value_t, value_name = "LANG", requires = "report")]
    #[arg(help_heading = "Output (PATH may be - for standard output)")]
    pub lang: Language,

    /// Formats beside JSON
    #[command(flatten)]
    pub formats: FormatArgs,
}

/// A language of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Chinese.
    Zh,
}

impl OutputArgs {
    /// Whether one was asked for.
    pub fn any(&self) -> bool {
        self.records().next().is_some()
            || self.json.is_some()
            || self.report.is_some()
            || self.formats.wanted().next().is_some()
    }

    /// Where records go that are lines of their own, by kind.
    pub fn records(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let formats = &self.formats;
        let all = [
            (service::FLOWS, &self.flows),
            (service::FINDINGS, &self.findings),
            (service::ASSETS, &self.assets),
            (service::EVE, &formats.eve),
            (service::CEF, &formats.cef),
        ];
        all.into_iter().filter_map(|(kind, path)| Some((kind, path.as_deref()?)))
    }

    /// Whether flow records are needed for it.
    pub fn needs_flows(&self) -> bool {
        self.flows.is_some() || self.formats.wanted().any(|(format, _)| format.has_flows())
    }
}

/// How much is said on standard error, and how.
#[derive(Debug, Args)]
pub struct TalkArgs {
    /// Progress bar on standard error
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub progress: When,

    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more; in the report: every reason of every finding
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// How messages are written to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// Colour in the report (NO_COLOR is honoured)
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}

/// Automatic, always or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `bordertap bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = BENCH_METHOD)]
pub struct BenchArgs {
    /// Something else than the pipeline in memory
    #[command(subcommand)]
    pub command: Option<BenchCommand>,

    /// Workloads, or captures of your own (any kind that `scan` reads, repeated from memory). What is no workload's name is
    /// a file; write ./mixed or ./live for a file of that name [default: every workload]
    #[arg(value_name = "WORKLOAD|FILE")]
    pub names: Vec<String>,

    /// Less traffic and fewer runs: every workload within a minute on two cores
    #[arg(long)]
    pub quick: bool,

    /// Traffic of about N packets a workload
    #[arg(long, value_name = "N", conflicts_with = "quick", value_parser = clap::value_parser!(u64).range(1..))]
    pub packets: Option<u64>,

    /// Counted runs of each kind, after one that is not counted [default: 5; with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: Option<u16>,

    /// Seed of the traffic: the same seed gives the same bytes on every machine
    #[arg(long, value_name = "N", default_value_t = SEED)]
    pub seed: u64,

    /// Worker threads to measure with, as a list [default: 1, 2, 4 and so on up to the cores]
    #[arg(short = 'j', long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Vec<u16>,

    /// Measure also with flow records written to a temporary file
    #[arg(long)]
    pub flows: bool,

    /// Write the result as one JSON document (- for standard output, in place of the text)
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,

    /// Write the result as one self-contained HTML page
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,

    /// Compare with an older result (a --json file): ratios, and which of them are more than noise
    #[arg(long, value_name = "OLD.json")]
    pub compare: Option<PathBuf>,

    /// Write the traffic as WORKLOAD.pcap into a folder for other tools, and measure nothing
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "report", "compare"])]
    pub write: Option<PathBuf>,

    /// Say nothing but errors on standard error
    #[arg(short, long)]
    pub quiet: bool,

    /// Colour in the text (NO_COLOR is honoured)
    #[arg(long, value_enum, default_value_t = When::Auto, value_name = "WHEN")]
    pub color: When,
}

/// What else can be measured.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Send into one interface and find the highest rate that is heard on another without loss (Linux)
    ///
    /// Sends generated traffic or captures into --tx at stepped rates, while the sensor listens on --rx as a process of its
    /// own, and searches for the highest rate without loss. Nothing is sent anywhere else, and what is sent is said before.
    /// The two should be the ends of one wire on which nobody else speaks.
    Live(Box<BenchLiveArgs>),
    /// One run over captures that the bench wrote, for the bench itself
    #[command(hide = true)]
    OneRun(BenchRunArgs),
}

/// `bordertap bench one-run`.
#[derive(Debug, Args)]
pub struct BenchRunArgs {
    /// What to run
    #[arg(value_enum)]
    pub kind: Kind,

    /// Classic pcap, not compressed
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// How often to go over it
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub rounds: u64,

    /// Worker threads
    #[arg(short = 'j', long, value_name = "N", default_value_t = 1)]
    pub workers: u16,
}

impl BenchRunArgs {
    /// What is asked for.
    pub fn asked(&self) -> Asked {
        Asked { kind: self.kind, workers: self.workers.into(), rounds: self.rounds }
    }
}

const BENCH_METHOD: &str = "\
What is measured:
  throughput  from the first block of packets asked for until the report stands in memory,
              capture in memory; median and range of the runs, each a process of its own, so that
              none finds memory which the one before left. A file loses nothing: this is how fast,
              not how much loss
  batch       from the hand-over of a block of up to 1,024 packets until all went through
  finding     from the hand-over of the block with the packet that ended a flow until a
              signature matched that flow; service time without any wait in a queue
  stages      capture, decode, flow, parse, match: separate passes of one watched worker
  memory      flow state at the end of the capture by open flow; peak of the process, the
              capture in memory included
  floor       a bare loop over the same bytes that reads records and 5-tuples and counts in one
              hash table; its runs alternate with the others
  scan        `bordertap scan` of one round from a file: wall time of the process without its
              start; its runs alternate with the others
A difference to an older result counts when it is larger than the ranges of both results
together, and than 2 % (10 % for latency, stages and peak memory).";

impl BenchArgs {
    /// What to measure, and how.
    pub fn options(&self) -> bench::Options {
        let (full, quick) = bench::RUNS;
        bench::Options {
            names: self.names.clone(),
            size: match self.packets {
                Some(packets) => Size::Packets(packets),
                None if self.quick => Size::Quick,
                None => Size::Full,
            },
            seed: self.seed,
            runs: self.runs.map_or(if self.quick { quick } else { full }, usize::from),
            workers: self.workers.iter().map(|&workers| workers.into()).collect(),
            flows: self.flows,
            program: std::env::current_exe().ok(),
        }
    }
}

/// `bordertap signatures`.
#[derive(Debug, Subcommand)]
pub enum SignatureCommand {
    /// Every identity, channel and gap
    List {
        /// Which signatures
        #[command(flatten)]
        which: SignatureArgs,
        /// How to print it
        #[arg(long, value_enum, default_value_t = ListFormat::Text)]
        format: ListFormat,
    },
    /// Find mistakes: examples that do not match, conflicts, names too broad, stale dates
    Check {
        /// Which signatures
        #[command(flatten)]
        which: SignatureArgs,
    },
    /// One entry with its conditions, sources and examples
    Explain {
        /// The entry's id, `fortinet.device`
        id: String,
        /// Which signatures
        #[command(flatten)]
        which: SignatureArgs,
    },
    /// The words that conditions may use
    Fields,
    /// Vendor by function, how each is known, what is missing: a Markdown page
    Coverage {
        /// Which signatures
        #[command(flatten)]
        which: SignatureArgs,
    },
    /// Put a folder of signature files into one pack, to be signed with `minisign -S -m PACK`
    Pack {
        /// The folder
        dir: PathBuf,
        /// Grows with every pack: the date as YYYYMMDD and two digits
        #[arg(long, value_name = "N")]
        serial: u64,
        /// The pack; - for standard output
        #[arg(short, long, value_name = "PATH")]
        out: PathBuf,
    },
}

/// Which signatures.
#[derive(Debug, Args)]
pub struct SignatureArgs {
    /// Use these signatures as well: a folder of files, or a signed pack; a vendor that is built in
    /// is replaced
    #[arg(long, value_name = "DIR|PACK")]
    pub signatures: Option<PathBuf>,

    /// The minisign public key that must have signed the pack: base64, or the file with it
    #[arg(long, value_name = "KEY", requires = "signatures")]
    pub signature_key: Option<String>,

    /// Remember the serial of the pack in this file, and refuse an older pack next time
    #[arg(long, value_name = "FILE", requires = "signature_key")]
    pub last_pack: Option<PathBuf>,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people.
    Text,
    /// JSON.
    Json,
    /// Markdown tables.
    Md,
}

/// `bordertap where`.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// IP addresses or host names; names are looked up in the signatures, never resolved
    #[arg(required = true, value_name = "ADDRESS|NAME")]
    pub what: Vec<String>,

    /// What is home, what is inside, and what is known
    #[command(flatten)]
    pub judge: JudgeArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        assert_eq!(parse_size("512m"), Ok(512 << 20));
        assert_eq!(parse_size("1000"), Ok(1000));
        assert!(parse_size("2 apples").is_err());
        assert!(parse_size("99999999999TiB").is_err());
    }
}
