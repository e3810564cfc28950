//! Measures: warm-up, repeated runs that alternate, watched passes.
//!
//! In: [`Options`]. Out: a [`Bench`]. One workload at a time is made, measured and dropped. A round of trials is: the
//! bare loop, then the pipeline with each number of workers, then beside a `scan`, then with flow records; so a machine
//! that drifts drifts for all of them.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::counters::{Counters, Counts};
use super::load::Load;
use super::machine::{self, Ticks};
use super::result::{
    AsScan, Bench, FORMAT, Floor, Measured, Memory, Noise, Outcome, Percentiles, Settings, StageTime, Throughput,
    Watched, WithFlows,
};
use super::run::{Asked, Kind, Run, Runner, temporary};
use super::spread::Spread;
use super::traffic::Size;
use super::watcher::{self, Times, Watcher};
use super::whole::Whole;
use super::{Error, Options, compare};
use crate::capture::BLOCK_PACKETS_MAX;
use crate::report::PROGRAM;
use crate::scan::Scanned;
use crate::watch::Stage;

/// Runs that are not counted.
const WARM_UPS: usize = 1;
/// Time beside its start that a process is taken to need at least.
const RESOLUTION_SECONDS: f64 = 1e-3;
/// Rounds of a watched pass, at least: the second ends the flows of the first.
const WATCHED_ROUNDS_MIN: u64 = 2;

/// Measures every workload that was asked for. `progress` is told what is being done.
///
/// # Errors
/// A name that means nothing, a capture that cannot be read, a temporary file that cannot be written.
pub fn measure(options: &Options, progress: &dyn Fn(&str)) -> Result<Bench, Error> {
    let names = options.names()?;
    let begun = Instant::now();
    let measured_at = jiff::Timestamp::now().to_string();
    let machine = machine::machine();
    let counters = Counters::open();
    let not_counted = counters.as_ref().err().cloned();
    let mut bench = Bencher::new(options, counters.ok())?;
    let mut workloads = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let place = if names.len() > 1 { format!(" ({} of {})", at + 1, names.len()) } else { String::new() };
        let step = |what: &str, load: &str| progress(&format!("{load}: {what}{place}"));
        step("traffic", &name.to_string());
        let load = Load::new(name, options)?;
        workloads.push(bench.workload(&load, &|what| step(what, &load.name))?);
    }
    let settings = bench.settings(options);
    let mut result = Bench {
        format: FORMAT,
        program: PROGRAM.to_owned(),
        measured_at,
        seconds: begun.elapsed().as_secs_f64(),
        machine,
        build: machine::build(),
        settings,
        not_counted,
        warnings: Vec::new(),
        workloads,
        comparison: None,
    };
    result.warnings = compare::warnings(&result);
    Ok(result)
}

/// What stays the same from workload to workload.
struct Bencher {
    runner: Runner,
    workers: Vec<usize>,
    runs: usize,
    flows: bool,
    program: Option<PathBuf>,
    clock_ns: f64,
}

/// The counted runs with one number of workers.
#[derive(Default)]
struct Trials {
    seconds: Vec<f64>,
    counts: Vec<Counts>,
    peak: Option<u64>,
}

impl Bencher {
    fn new(options: &Options, counters: Option<Counters>) -> Result<Bencher, Error> {
        let (workers, runs) = (options.workers(), options.runs.max(1));
        let (flows, program, clock_ns) = (options.flows, options.program.clone(), watcher::clock_ns());
        Ok(Bencher { runner: Runner::new(counters)?, workers, runs, flows, program, clock_ns })
    }

    fn settings(&self, options: &Options) -> Settings {
        Settings {
            size: match options.size {
                Size::Full => "full".to_owned(),
                Size::Quick => "quick".to_owned(),
                Size::Packets(packets) => format!("{packets} packets"),
            },
            seed: options.seed,
            runs: self.runs,
            warm_ups: WARM_UPS,
            watched_passes: self.watched_passes(),
            workers: self.workers.clone(),
            memory_bytes: self.runner.scan.memory as u64,
            batch_packets: BLOCK_PACKETS_MAX,
            flows: self.flows,
            signatures_sha256: self.runner.scan.judging.signatures.digest.clone(),
            command: options.command(),
        }
    }

    /// They go over the traffic twice, so half as many will do, and one more.
    fn watched_passes(&self) -> usize {
        self.runs / 2 + 1
    }

    fn workload(&mut self, load: &Load, step: &dyn Fn(&str)) -> Result<Measured, Error> {
        let first = self.workers.first().copied().unwrap_or(1);
        let asked = |kind, workers| Asked { kind, workers, rounds: load.traffic.rounds };
        step("warm-up");
        let has_floor = self.runner.run(load, asked(Kind::Floor, 1))?.packets == load.packets();
        let (_, warm) = self.runner.plain(load, asked(Kind::Plain, first))?;
        let (outcome, memory) = (outcome(&warm), memory(&warm));
        drop(warm);
        let program = self.program.clone();
        let whole = program.map(|program| Whole::new(program, load)).transpose().map_err(temporary)?;
        let apart = |error: io::Error| Error::Apart(load.name.clone(), error.to_string());
        let before = Ticks::now();
        let mut trials: Vec<Trials> = self.workers.iter().map(|_| Trials::default()).collect();
        let (mut floors, mut scans, mut with_flows, mut written_bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for run in 1..=self.runs {
            step(&format!("run {run} of {}", self.runs));
            // A process of its own each, where this program can be run again.
            let mut one = |asked| match &whole {
                Some(whole) => whole.run(asked).map_err(apart),
                None => self.runner.run(load, asked),
            };
            if has_floor {
                floors.push(one(asked(Kind::Floor, 1))?.seconds);
            }
            for (&workers, trials) in self.workers.iter().zip(&mut trials) {
                trials.add(&one(asked(Kind::Plain, workers))?);
            }
            if let Some(whole) = &whole {
                let pipeline = one(Asked { rounds: 1, ..asked(Kind::Plain, first) })?;
                let (scan, start) = (whole.scan(first).map_err(apart)?, whole.start(first).map_err(apart)?);
                scans.push(AsOne { pipeline, scan, start });
            }
            if self.flows {
                let run = one(asked(Kind::Flows, first))?;
                with_flows.push(run.seconds);
                written_bytes = run.written_bytes;
            }
        }
        let after = Ticks::now();
        step("watched");
        let watched = self.watched(load)?;
        let throughput = self.throughput(load, &trials);
        let plain = trials.first().map_or(&[][..], |trials| &trials.seconds);
        Ok(Measured {
            name: load.name.clone(),
            about: load.about.clone(),
            traffic: load.traffic.clone(),
            outcome,
            floor: floor_result(load, plain, floors),
            scan: whole.map(|_| scan_result(load, &scans)),
            flows: self.flows.then(|| WithFlows {
                ratio: ratio(&with_flows, plain),
                seconds: with_flows,
                written_bytes,
            }),
            watched,
            memory,
            noise: noise(&throughput, before.zip(after)),
            throughput,
        })
    }

    fn watched(&mut self, load: &Load) -> Result<Watched, Error> {
        let rounds = load.traffic.rounds.max(WATCHED_ROUNDS_MIN);
        let packets = (load.traffic.packets * rounds).max(1) as f64;
        let (mut passes, mut seconds) = (Vec::new(), Vec::new());
        self.runner.scan.workers = 1;
        for _ in 0..self.watched_passes() {
            let mut times = Times::new().map_err(|error| Error::BuiltIn(error.to_string()))?;
            let begun = Instant::now();
            self.runner.scan.run_watched(&mut load.replay(rounds), &[], Watcher::new(&mut times));
            seconds.push(begun.elapsed().as_secs_f64());
            passes.push(times);
        }
        let stages: Vec<_> = passes.iter().map(|times| times.stages(self.clock_ns)).collect();
        let stage = |stage: Stage| {
            let time = |pass: &[f64; Stage::ALL.len()]| pass[stage as usize];
            StageTime {
                stage: stage.name().to_owned(),
                share: Spread::of(stages.iter().map(|pass| time(pass) / pass.iter().sum::<f64>().max(1.0))),
                ns_per_packet: Spread::of(stages.iter().map(|pass| time(pass) / packets)),
            }
        };
        Ok(Watched {
            rounds,
            clock_ns: self.clock_ns,
            ns_per_packet: Spread::of(seconds.iter().map(|s| s * 1e9 / packets)),
            batch: percentiles(&passes, |times| &times.batch),
            finding: Some(percentiles(&passes, |times| &times.finding)).filter(|p| p.count > 0),
            stages: Stage::ALL.map(stage).to_vec(),
        })
    }

    fn throughput(&self, load: &Load, trials: &[Trials]) -> Vec<Throughput> {
        let packets = load.packets().max(1) as f64;
        let bits = load.traffic.wire_bytes as f64 * load.traffic.rounds as f64 * 8.0;
        let mut all = Vec::new();
        for (&workers, trials) in self.workers.iter().zip(trials) {
            let spread = |per_run: &dyn Fn(f64) -> f64| Spread::of(trials.seconds.iter().map(|&s| per_run(s)));
            let counted = |which: usize| {
                let per_packet = trials.counts.iter().map(|counts| counts[which] as f64 / packets);
                (trials.counts.len() == trials.seconds.len()).then(|| Spread::of(per_packet))
            };
            let packets_per_second = spread(&|s| packets / s);
            let first = all.first().map_or(packets_per_second, |t: &Throughput| t.packets_per_second);
            all.push(Throughput {
                workers,
                seconds: trials.seconds.clone(),
                packets_per_second,
                gigabits_per_second: spread(&|s| bits / s / 1e9),
                ns_per_packet: spread(&|s| s * 1e9 / packets),
                scaling: packets_per_second.median / first.median,
                cycles_per_packet: counted(0),
                instructions_per_packet: counted(1),
                peak_bytes: trials.peak,
            });
        }
        all
    }
}

impl Trials {
    fn add(&mut self, run: &Run) {
        self.seconds.push(run.seconds);
        self.counts.extend(run.counts);
        self.peak = self.peak.max(run.peak_bytes);
    }
}

fn floor_result(load: &Load, plain: &[f64], seconds: Vec<f64>) -> Option<Floor> {
    let per_packet = |s: &f64| s * 1e9 / load.packets().max(1) as f64;
    let ns_per_packet = Spread::of(seconds.iter().map(per_packet));
    (!seconds.is_empty()).then(|| Floor { ns_per_packet, ratio: ratio(plain, &seconds), seconds })
}

/// One round as a run of the pipeline, as a `scan`, and what the start of a `scan` takes.
struct AsOne {
    pipeline: Run,
    scan: f64,
    start: f64,
}

fn scan_result(load: &Load, scans: &[AsOne]) -> AsScan {
    let start_seconds = Spread::of(scans.iter().map(|one| one.start));
    // What a process over hardly any packets needs beside its start cannot be told from noise.
    let taken = |one: &AsOne| (one.scan - start_seconds.median).max(RESOLUTION_SECONDS);
    AsScan {
        seconds: scans.iter().map(|one| one.scan).collect(),
        start_seconds,
        packets_per_second: Spread::of(scans.iter().map(|one| load.traffic.packets as f64 / taken(one))),
        ratio: Spread::of(scans.iter().map(|one| (one.pipeline.seconds + one.pipeline.told_seconds) / taken(one))),
    }
}

/// Run by run, so that both saw the same weather.
fn ratio(these: &[f64], those: &[f64]) -> Spread {
    Spread::of(these.iter().zip(those).map(|(this, that)| this / that))
}

fn outcome(scanned: &Scanned) -> Outcome {
    let Scanned { report, .. } = scanned;
    Outcome {
        received: report.ledger.received,
        decoded: report.ledger.decoded,
        flows: report.header.flows,
        findings: report.findings.len(),
        assets: report.assets.len(),
        evicted: report.ledger.later.get("flow.evicted").copied().unwrap_or(0),
    }
}

fn memory(scanned: &Scanned) -> Memory {
    let (open_flows, state_bytes) = (scanned.state.open_flows, scanned.state.bytes);
    let bytes_per_flow = (open_flows > 0).then(|| state_bytes as f64 / open_flows as f64);
    Memory { open_flows, state_bytes, bytes_per_flow }
}

fn noise(throughput: &[Throughput], ticks: Option<(Ticks, Ticks)>) -> Noise {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let others = ticks.map(|(before, after)| after.since(&before, cores));
    Noise {
        spread: throughput.iter().map(|t| t.packets_per_second.relative()).fold(0.0, f64::max),
        others_cores: others.map(|(cores, _)| cores),
        steal: others.map(|(_, steal)| steal),
    }
}

fn percentiles(passes: &[Times], which: impl Fn(&Times) -> &hdrhistogram::Histogram<u64>) -> Percentiles {
    let all: Vec<_> = passes.iter().map(which).filter(|histogram| !histogram.is_empty()).collect();
    let at = |quantile: f64| Spread::of(all.iter().map(|histogram| histogram.value_at_quantile(quantile) as f64));
    Percentiles {
        count: all.iter().map(|histogram| histogram.len()).sum(),
        p50_ns: at(0.5),
        p90_ns: at(0.9),
        p99_ns: at(0.99),
        p99_9_ns: at(0.999),
        max_ns: at(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_cannot_be_made_is_told_by_its_workload() {
        let options = Options {
            names: vec!["small".to_owned()],
            size: Size::Packets(200),
            runs: 1,
            workers: vec![1],
            program: Some(PathBuf::from("there/is/no/such/program")),
            ..Options::default()
        };
        let Err(error) = measure(&options, &|_| {}) else { unreachable!() };
        assert!(matches!(&error, Error::Apart(name, _) if name == "small"), "{error}");
    }
}
