//! What a measurement gave: these types are the document of `bench --json` (`fixtures/schema/bench.json`).
//!
//! In: numbers from `measure`. Out: what `text`, `html` and `compare` read. Every number has its unit in its name;
//! what was measured more than once is a [`Spread`].

use serde::{Deserialize, Serialize};

use super::spread::Spread;
use super::units;

/// Raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// [`FORMAT`].
    pub format: u32,
    /// Name and version.
    pub program: String,
    /// When it began, RFC 3339, UTC.
    pub measured_at: String,
    /// How long all of it took.
    pub seconds: f64,
    /// On what.
    pub machine: Machine,
    /// What was measured.
    pub build: Build,
    /// How.
    pub settings: Settings,
    /// Why cycles and instructions were not counted; `None` when they were.
    pub not_counted: Option<String>,
    /// What a reader must know before trusting a number.
    pub warnings: Vec<String>,
    /// Results, in the order in which they were measured.
    pub workloads: Vec<Measured>,
    /// Beside an older result.
    pub comparison: Option<Comparison>,
}

/// The machine. `None`: not readable here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: Option<String>,
    /// Threads it runs at once, as far as this process may use them.
    pub cores: usize,
    /// Main memory.
    pub memory_bytes: Option<u64>,
    /// Operating system and kernel release.
    pub kernel: String,
    /// Under a hypervisor.
    pub is_virtual: Option<bool>,
    /// What decides the frequency of the first core.
    pub governor: Option<String>,
    /// Whether it may run above its nominal frequency.
    pub boost: Option<bool>,
    /// Work in the run queue over the minute before.
    pub load_average: Option<f64>,
}

/// The program that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The compiler.
    pub rustc: String,
    /// `release` or `debug`.
    pub profile: String,
    /// Optimisation level.
    pub opt_level: String,
    /// Target triple.
    pub target: String,
    /// Flags given to the compiler beside the profile's.
    pub rustflags: String,
    /// Features that were on.
    pub features: String,
}

/// How it was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `full`, `quick` or a number of packets.
    pub size: String,
    /// Seed of the traffic.
    pub seed: u64,
    /// Counted runs of each kind.
    pub runs: usize,
    /// Runs before them that are not counted.
    pub warm_ups: usize,
    /// Watched passes, for latency and stages.
    pub watched_passes: usize,
    /// Worker threads, in the order of the table.
    pub workers: Vec<usize>,
    /// Budget for flow state.
    pub memory_bytes: u64,
    /// Packets handed over at a time, at most.
    pub batch_packets: usize,
    /// Runs with flow records were made too.
    pub flows: bool,
    /// Digest of the signatures that judged.
    pub signatures_sha256: String,
    /// Type this to do it again.
    pub command: String,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the workload, or the file as it was typed.
    pub name: String,
    /// What it is.
    pub about: String,
    /// The bytes that were read.
    pub traffic: Traffic,
    /// What the pipeline made of them, the same in every run.
    pub outcome: Outcome,
    /// By number of workers.
    pub throughput: Vec<Throughput>,
    /// The least that reading packets can cost, on the same bytes; runs alternate.
    pub floor: Option<Floor>,
    /// `bordertap scan` of one round, as a process; runs alternate. `None` for who is not that program.
    pub scan: Option<AsScan>,
    /// With flow records written too.
    pub flows: Option<WithFlows>,
    /// Latency and stages.
    pub watched: Watched,
    /// Flow state.
    pub memory: Memory,
    /// Who else was at work meanwhile.
    pub noise: Noise,
}

/// The bytes of a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets of one round.
    pub packets: u64,
    /// Bytes they had on the wire, from the link-layer header on; no FCS, preamble or gap.
    pub wire_bytes: u64,
    /// Bytes of the capture in memory.
    pub capture_bytes: u64,
    /// Rounds of a run over it.
    pub rounds: u64,
    /// SHA-256 of the capture in memory (`--write` writes the same bytes).
    pub sha256: String,
    /// Packets by size.
    pub sizes: Vec<SizeClass>,
}

/// Packets up to one of the frame sizes of RFC 2544, section 9.1, and above the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SizeClass {
    /// Largest frame, the FCS of four bytes included; `None`: no limit.
    pub up_to_bytes: Option<u32>,
    /// Packets.
    pub packets: u64,
}

/// What the pipeline made of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Packets received.
    pub received: u64,
    /// Packets that became part of a flow.
    pub decoded: u64,
    /// Flows.
    pub flows: u64,
    /// Findings.
    pub findings: usize,
    /// Assets.
    pub assets: usize,
    /// Flows given up because memory ran out.
    pub evicted: u64,
}

/// Throughput with so many workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Worker threads.
    pub workers: usize,
    /// Wall time of every counted run, each a process of its own: from the first block asked for until the report stands
    /// in memory.
    pub seconds: Vec<f64>,
    /// Packets a second.
    pub packets_per_second: Spread,
    /// Wire bits a second, in units of 10⁹.
    pub gigabits_per_second: Spread,
    /// Wall time a packet, whatever the number of workers.
    pub ns_per_packet: Spread,
    /// Times the throughput of the first number of workers.
    pub scaling: f64,
    /// Processor cycles, all workers, user mode.
    pub cycles_per_packet: Option<Spread>,
    /// Instructions, all workers, user mode.
    pub instructions_per_packet: Option<Spread>,
    /// Most memory of the whole process during a run, the capture in memory included.
    pub peak_bytes: Option<u64>,
}

/// The bare loop over the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Wall time of every run.
    pub seconds: Vec<f64>,
    /// Wall time a packet.
    pub ns_per_packet: Spread,
    /// Time of a run of the pipeline with the first number of workers over the time of the loop just before it.
    pub ratio: Spread,
}

/// Whole processes, with the first number of workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AsScan {
    /// Wall time of every process, from its start to its end.
    pub seconds: Vec<f64>,
    /// Wall time of processes over ten packets, each just after one of those: what a start costs.
    pub start_seconds: Spread,
    /// Packets a second, the start taken off.
    pub packets_per_second: Spread,
    /// That over the packets a second of a run of the pipeline just before, over the same round and with the same report.
    pub ratio: Spread,
}

/// Runs with flow records.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WithFlows {
    /// Wall time of every run, until the last record was handed to the system.
    pub seconds: Vec<f64>,
    /// Over the time of the run without them just before it.
    pub ratio: Spread,
    /// Bytes of the records of a run.
    pub written_bytes: u64,
}

/// Runs of one worker that was watched: slower than the others by the readings of the clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Rounds of a pass; at least two, so that flows of one round end in the next.
    pub rounds: u64,
    /// Cost of one reading of the clock, taken off the stages.
    pub clock_ns: f64,
    /// Wall time a packet while watched.
    pub ns_per_packet: Spread,
    /// From the moment a block of packets is handed over until all of it went through.
    pub batch: Percentiles,
    /// From the moment the block with the packet that ended a flow is handed over until a signature matched that
    /// flow; `None` when none did.
    pub finding: Option<Percentiles>,
    /// Where the time went.
    pub stages: Vec<StageTime>,
}

/// Latencies, in nanoseconds; each the spread over the passes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Values, all passes together.
    pub count: u64,
    /// Half are at most this.
    pub p50_ns: Spread,
    /// 90 of 100 are at most this.
    pub p90_ns: Spread,
    /// 99 of 100 are at most this.
    pub p99_ns: Spread,
    /// 999 of 1,000 are at most this.
    pub p99_9_ns: Spread,
    /// All are at most this.
    pub max_ns: Spread,
}

impl Percentiles {
    /// With their names, in rising order.
    pub fn named(&self) -> [(&'static str, Spread); 5] {
        [
            ("p50", self.p50_ns),
            ("p90", self.p90_ns),
            ("p99", self.p99_ns),
            ("p99.9", self.p99_9_ns),
            ("max", self.max_ns),
        ]
    }
}

/// Time of one stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: String,
    /// Its part of the time of all stages, 0 to 1.
    pub share: Spread,
    /// Time a packet.
    pub ns_per_packet: Spread,
}

/// Flow state at the end of a run with the first number of workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Flows that were open.
    pub open_flows: u64,
    /// Bytes behind them.
    pub state_bytes: u64,
    /// Bytes a flow; `None` without flows.
    pub bytes_per_flow: Option<f64>,
}

/// What may have disturbed the runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Largest `(max - min) / median` of the runs of one kind.
    pub spread: f64,
    /// Cores that other programs kept busy on average; `None`: not readable.
    pub others_cores: Option<f64>,
    /// Part of the machine's time that the hypervisor gave to others, 0 to 1.
    pub steal: Option<f64>,
}

/// Beside an older result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The older document: program and when.
    pub old: String,
    /// What makes the two hard to compare.
    pub notes: Vec<String>,
    /// Metric by metric.
    pub changes: Vec<Change>,
}

/// One metric of one workload, then and now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The workload.
    pub workload: String,
    /// The metric.
    pub metric: String,
    /// Then.
    pub old: Spread,
    /// Now.
    pub new: Spread,
    /// Median now over median then.
    pub ratio: f64,
    /// Differences up to this much of the older median are noise.
    pub noise: f64,
    /// What it means.
    pub verdict: Verdict,
}

impl Change {
    /// What stands in a row of a table: workload, metric, then, now, ratio, noise, verdict.
    pub fn row(&self, verdict: String) -> [String; 7] {
        [
            self.workload.clone(),
            self.metric.clone(),
            units::value(self.old.median),
            units::value(self.new.median),
            format!("{:.3}", self.ratio),
            format!("±{}", units::percent(self.noise)),
            verdict,
        ]
    }
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Beyond the noise, to the good.
    Better,
    /// Beyond the noise, to the bad.
    Worse,
    /// Not told apart from noise.
    WithinNoise,
}
