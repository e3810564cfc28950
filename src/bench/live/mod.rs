//! `bordertap bench live`: how much comes over a wire before a receiver loses the first packet.
//!
//! In: [`Options`]: an interface to send into, another to listen on, traffic, receivers. Out: a [`result::LiveBench`],
//! which [`text`] and [`html`] print. [`frames`] has the traffic in memory, [`pace`] says when a frame may go,
//! [`receiver`] is who listens, [`interface`] has the counters of both ends; [`trial`] sends at one rate and accounts for
//! every frame, [`search`] finds the highest rate without loss.
//!
//! Method: RFC 2544, section 26.1 (throughput), with the parts of RFC 9411 that a report states. Nothing is sent but
//! into the one interface that was named for it.

pub mod frames;
pub mod html;
pub mod interface;
pub mod pace;
pub mod receiver;
pub mod result;
pub mod search;
pub mod text;
pub mod trial;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::load::{Load, Name};
use super::spread::Spread;
use super::traffic::{Size, Workload};
use super::{machine, quoted, units};
use crate::capture::live::LiveError;
use crate::capture::send::Sender;
use crate::report::PROGRAM;
use frames::Frames;
use receiver::Receiver;
use result::{FORMAT, Limit, LiveBench, Measured, Search, Settings};
use search::Bounds;
use trial::{Link, SETTLE_MAX};

/// What is sent unless something is named.
pub const WORKLOADS: [Workload; 4] = [Workload::Mixed, Workload::Elephants, Workload::Churn, Workload::Small];
/// Length of a trial: full, quick.
pub const TRIAL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));
/// Searches: full, quick.
pub const RUNS: (usize, usize) = (3, 1);
/// Resolution: full, quick.
pub const RESOLUTION: (f64, f64) = (0.05, 0.1);
/// Where a search begins, and where it ends at the latest, packets/s.
pub const RATES: (f64, f64) = (50_000.0, 20_000_000.0);
/// What RFC 2544 wants of a trial at least (section 24).
const TRIAL_RFC: Duration = Duration::from_secs(60);
/// Frames of one size that are made.
const FIXED_FRAMES: u64 = 50_000;
/// What starting and ending a receiver takes, about: for the guess of how long all of it takes.
const AROUND_TRIAL: Duration = Duration::from_secs(1);
/// Searches of one kind may differ by so much.
const SPREAD_MAX: f64 = 0.2;
/// Work in the run queue before the start, for each core, that is too much for a number to be trusted.
const LOAD_MAX: f64 = 0.5;

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Interface to send into.
    pub tx: String,
    /// Interface to listen on.
    pub rx: String,
    /// Workloads and files.
    pub names: Vec<String>,
    /// Frame sizes, FCS counted.
    pub sizes: Vec<u32>,
    /// How much traffic is made; it is gone over again and again.
    pub size: Size,
    /// Seed of the traffic.
    pub seed: u64,
    /// Length of a trial.
    pub trial: Duration,
    /// Searches of each kind.
    pub runs: usize,
    /// Where searches begin and end.
    pub bounds: Bounds,
    /// This program.
    pub program: PathBuf,
    /// Worker threads of the sensor; empty: as it decides.
    pub workers: Vec<usize>,
    /// Through what the sensor captures.
    pub through: Vec<String>,
    /// Kernel memory of the sensor for packets.
    pub ring_bytes: u64,
    /// Other programs to measure beside the sensor.
    pub receivers: Vec<String>,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Traffic.
    #[error(transparent)]
    Bench(#[from] super::Error),
    /// An interface that cannot be used.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// Counters that cannot be read.
    #[error("{0}: {1}")]
    Interface(String, io::Error),
    /// Somebody who does not listen.
    #[error("{0}: {1}")]
    Receiver(String, io::Error),
    /// The same interface for both.
    #[error("{0}: --tx and --rx name one interface; what is sent into one must come out of another")]
    Same(String),
    /// Nothing that could be sent.
    #[error("{0}: no frame of it can be sent into {1}: not Ethernet, or longer than its MTU")]
    NotSendable(String, String),
}

/// Traffic by name or by size.
enum Kind {
    Named(Name),
    Fixed(u32),
}

impl Options {
    /// What is sent.
    fn kinds(&self) -> Result<Vec<Kind>, Error> {
        if self.tx == self.rx {
            return Err(Error::Same(self.tx.clone()));
        }
        let mut kinds = Vec::new();
        for name in &self.names {
            kinds.push(Kind::Named(Name::parse(name)?));
        }
        kinds.extend(self.sizes.iter().map(|&size| Kind::Fixed(size)));
        if kinds.is_empty() {
            kinds.extend(WORKLOADS.map(|workload| Kind::Named(Name::Workload(workload))));
        }
        Ok(kinds)
    }

    /// Who listens, in turn.
    fn receivers(&self) -> Vec<Receiver> {
        let workers: Vec<Option<usize>> = match self.workers.as_slice() {
            [] => vec![None],
            some => some.iter().copied().map(Some).collect(),
        };
        let mut receivers = Vec::new();
        for through in &self.through {
            for workers in &workers {
                let mut options = vec!["--capture".to_owned(), through.clone()];
                options.extend(["--ring-size".to_owned(), self.ring_bytes.to_string()]);
                options.extend(workers.map(|workers| format!("-j{workers}")));
                let name = workers.map_or(through.clone(), |workers| format!("{through} -j{workers}"));
                receivers.push(Receiver::Sensor { program: self.program.clone(), name, options });
            }
        }
        let words = |command: &String| command.split_whitespace().map(str::to_owned).collect();
        receivers.extend(self.receivers.iter().map(|command| Receiver::Other(words(command))));
        receivers
    }

    /// What is about to be sent, where and for how long: to be said before [`measure`].
    ///
    /// # Errors
    /// A name that means nothing; one interface for both.
    pub fn announcement(&self) -> Result<String, Error> {
        let kinds = self.kinds()?;
        let names: Vec<String> = kinds
            .iter()
            .map(|kind| match kind {
                Kind::Named(name) => name.to_string(),
                Kind::Fixed(size) => format!("{size}-byte frames"),
            })
            .collect();
        let bounds = &self.bounds;
        let doublings = (bounds.max_rate / bounds.start_rate).log2().max(0.0).ceil();
        let trials = doublings + bounds.resolution.recip().log2().max(0.0).ceil() + 1.0;
        let searches = (kinds.len() * self.receivers().len() * self.runs) as f64;
        let minutes = searches * trials * (self.trial + AROUND_TRIAL).as_secs_f64() / 60.0;
        Ok(format!(
            "sending into {}: {}; trials of {}, up to {} packets/s; {minutes:.0} minutes at most, about",
            self.tx,
            names.join(", "),
            units::time(self.trial.as_secs_f64() * 1e9),
            units::amount(bounds.max_rate),
        ))
    }

    /// What to type for the same measurement.
    pub fn command(&self) -> String {
        let list = |numbers: Vec<String>| numbers.join(",");
        let mut words = vec!["bordertap bench live".to_owned()];
        words.push(format!("--tx {} --rx {}", quoted(&self.tx), quoted(&self.rx)));
        if !self.sizes.is_empty() {
            words.push(format!("--sizes {}", list(self.sizes.iter().map(ToString::to_string).collect())));
        }
        if let Size::Packets(packets) = self.size {
            words.push(format!("--packets {packets}"));
        }
        words.push(format!("--seed {} --trial {}ms --runs {}", self.seed, self.trial.as_millis(), self.runs));
        let Bounds { start_rate, max_rate, resolution, loss_max } = self.bounds;
        words.push(format!("--start-rate {start_rate} --max-rate {max_rate} --resolution {resolution}"));
        words.extend((loss_max > 0.0).then(|| format!("--loss-max {loss_max}")));
        if !self.workers.is_empty() {
            words.push(format!("-j {}", list(self.workers.iter().map(ToString::to_string).collect())));
        }
        words.push(format!("--capture {} --ring-size {}", self.through.join(","), self.ring_bytes));
        words.extend(self.receivers.iter().map(|command| format!("--receiver {}", quoted(command))));
        words.extend(self.names.iter().map(|name| quoted(name)));
        words.join(" ")
    }
}

/// Measures everything that was asked for. `progress` is told what is being done.
///
/// # Errors
/// When something cannot be sent, listened to or counted.
pub fn measure(options: &Options, progress: &dyn Fn(&str)) -> Result<LiveBench, Error> {
    let kinds = options.kinds()?;
    let (begun, measured_at) = (Instant::now(), jiff::Timestamp::now().to_string());
    let machine = machine::machine();
    let sender = Sender::open(&options.tx)?;
    let settings = settings(options, sender.way());
    let mut link = Link { sender, tx: &options.tx, rx: &options.rx, length: options.trial };
    let mut results = Vec::new();
    for kind in kinds {
        results.extend(traffic(options, &kind, &mut link, progress)?);
    }
    let mut bench = LiveBench {
        format: FORMAT,
        program: PROGRAM.to_owned(),
        measured_at,
        seconds: begun.elapsed().as_secs_f64(),
        machine,
        build: machine::build(),
        settings,
        warnings: Vec::new(),
        results,
    };
    bench.warnings = warnings(options, &bench);
    Ok(bench)
}

fn settings(options: &Options, sent_through: String) -> Settings {
    Settings {
        tx: options.tx.clone(),
        rx: options.rx.clone(),
        sent_through,
        trial_seconds: options.trial.as_secs_f64(),
        runs: options.runs,
        resolution: options.bounds.resolution,
        loss_max: options.bounds.loss_max,
        start_rate: options.bounds.start_rate,
        max_rate: options.bounds.max_rate,
        burst_frames: pace::BURST_FRAMES_MAX,
        catch_up_seconds: pace::DEPTH.as_secs_f64(),
        settle_seconds: SETTLE_MAX.as_secs_f64(),
        seed: options.seed,
        command: options.command(),
    }
}

/// One kind of traffic with every receiver; they take turns, search after search.
fn traffic(
    options: &Options,
    kind: &Kind,
    link: &mut Link<'_>,
    progress: &dyn Fn(&str),
) -> Result<Vec<Measured>, Error> {
    let load = match kind {
        Kind::Named(name) => {
            let made = super::Options { size: options.size, seed: options.seed, ..super::Options::default() };
            Load::new(name, &made)?
        }
        Kind::Fixed(size) => {
            let frames = if let Size::Packets(packets) = options.size { packets } else { FIXED_FRAMES };
            Load::fixed(*size, frames, options.seed)
        }
    };
    let frames = Frames::new(&load, link.sender.frame_bytes_max()?);
    if frames.count() == 0 {
        return Err(Error::NotSendable(load.name, options.tx.clone()));
    }
    let receivers = options.receivers();
    let mut searches: Vec<Vec<Search>> = receivers.iter().map(|_| Vec::new()).collect();
    for run in 1..=options.runs {
        for (receiver, searches) in receivers.iter().zip(&mut searches) {
            let search = search::search(&options.bounds, |rate| {
                let (who, rate_text) = (receiver.name(), units::amount(rate));
                progress(&format!("{}: {who}, run {run} of {}, {rate_text} packets/s", load.name, options.runs));
                link.trial(&frames, receiver, rate)
            })?;
            searches.push(search);
        }
    }
    let measured = receivers.iter().zip(searches).map(|(receiver, searches)| {
        let rates = || searches.iter().filter_map(|search| search.rate);
        let bits = frames.bytes() as f64 / frames.count() as f64 * 8.0;
        let best = searches.iter().filter_map(Search::best);
        let costs = best.filter_map(|trial| Some(trial.processor_seconds? * 1e9 / trial.received.max(1) as f64));
        let processor_ns_per_packet = Spread::of(costs);
        let words: Vec<String> = receiver.words(&options.rx, options.trial).iter().map(|word| quoted(word)).collect();
        Measured {
            traffic: load.name.clone(),
            about: load.about.clone(),
            frames: frames.count(),
            bytes: frames.bytes(),
            not_sendable: frames.not_sendable,
            sha256: load.traffic.sha256.clone(),
            receiver: receiver.name(),
            receiver_command: words.join(" "),
            rate: Spread::of(rates()),
            gigabits_per_second: Spread::of(rates().map(|rate| rate * bits / 1e9)),
            processor_ns_per_packet,
            searches,
        }
    });
    Ok(measured.collect())
}

/// What a reader must know before trusting a number.
fn warnings(options: &Options, bench: &LiveBench) -> Vec<String> {
    let mut warnings = Vec::new();
    if bench.build.profile != "release" {
        warnings.push("this build is not optimised (profile debug): its numbers say nothing".to_owned());
    }
    if options.trial < TRIAL_RFC {
        let length = units::time(options.trial.as_secs_f64() * 1e9);
        warnings.push(format!(
            "trials of {length}: RFC 2544 wants 60 s. The memory of a receiver hides a loss that a longer trial would show"
        ));
    }
    let cores = bench.machine.cores;
    if let Some(load) = bench.machine.load_average.filter(|load| *load > LOAD_MAX * cores as f64) {
        warnings.push(format!("others were at work on this machine: load {load:.1} on {cores} cores before the start"));
    }
    for measured in &bench.results {
        let name = format!("{}, {}", measured.traffic, measured.receiver);
        if measured.rate.relative() > SPREAD_MAX {
            warnings.push(format!("{name}: searches differ by {}", units::percent(measured.rate.relative())));
        }
        if measured.not_sendable > 0 {
            let all = measured.not_sendable + measured.frames;
            warnings
                .push(format!("{name}: {} of {all} frames cannot be sent and were left out", measured.not_sendable));
        }
        let trials = || measured.searches.iter().flat_map(|search| &search.trials);
        let broken = trials().filter(|trial| trial.broken.is_some()).count();
        if let Some(reason) = trials().find_map(|trial| trial.broken.as_deref()) {
            let all = trials().count();
            warnings.push(format!("{name}: {broken} of {all} trials did not add up and count for nothing: {reason}"));
        }
        let short = measured.searches.iter().filter(|search| search.limit == Limit::Sender).count();
        if short > 0 {
            let all = measured.searches.len();
            warnings.push(format!(
                "{name}: the sender was the limit in {short} of {all}; the receiver could perhaps take more"
            ));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            tx: "a0".to_owned(),
            rx: "b0".to_owned(),
            names: vec!["mixed".to_owned()],
            sizes: vec![64, 1518],
            size: Size::Quick,
            seed: 1,
            trial: Duration::from_secs(5),
            runs: 3,
            bounds: Bounds { start_rate: 1e4, max_rate: 1e6, resolution: 0.05, loss_max: 0.0 },
            program: PathBuf::from("bordertap"),
            workers: vec![1, 2],
            through: vec!["ring".to_owned(), "libpcap".to_owned()],
            ring_bytes: 8 << 20,
            receivers: vec!["tcpdump -i {rx} -w /dev/null".to_owned()],
        }
    }

    #[test]
    fn it_says_where_what_and_how_long_before_it_sends() {
        let Ok(text) = options().announcement() else { unreachable!() };
        assert!(
            text.starts_with("sending into a0: mixed, 64-byte frames, 1518-byte frames; trials of 5.00 s"),
            "{text}"
        );
        // 3 kinds, 5 receivers, 3 runs, 13 trials, 6 s each.
        assert!(text.ends_with("up to 1.00 M packets/s; 58 minutes at most, about"), "{text}");
    }

    #[test]
    fn every_way_and_number_of_workers_is_a_receiver() {
        let names: Vec<String> = options().receivers().iter().map(Receiver::name).collect();
        assert_eq!(names, ["ring -j1", "ring -j2", "libpcap -j1", "libpcap -j2", "tcpdump"]);
    }

    #[test]
    fn the_command_repeats_what_was_asked() {
        let command = options().command();
        assert_eq!(
            command,
            "bordertap bench live --tx a0 --rx b0 --sizes 64,1518 --seed 1 --trial 5000ms --runs 3 --start-rate 10000 \
             --max-rate 1000000 --resolution 0.05 -j 1,2 --capture ring,libpcap --ring-size 8388608 \
             --receiver 'tcpdump -i {rx} -w /dev/null' mixed"
        );
    }
}
