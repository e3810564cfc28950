//! Sets a result beside an older one, and says when a result should not be trusted.
//!
//! In: two results. Out: a [`Comparison`]: for every metric the ratio, and whether it is more than noise. The noise of a
//! metric is the whole range of its runs, then and now together, and never less than [`NOISE_MIN`]
//! or [`NOISE_MIN_ROUGH`].

use super::result::{Bench, Change, Comparison, Measured, Noise, Verdict};
use super::spread::Spread;
use super::units;

/// Runs of one process resemble each other more than two processes do: differences below this are always noise.
pub const NOISE_MIN: f64 = 0.02;
/// The same for what is repeated less often (latency, stages) or depends on what the allocator kept (peak memory).
pub const NOISE_MIN_ROUGH: f64 = 0.10;
/// Runs that differ by more than this part of their median make a result doubtful.
pub const SPREAD_MAX: f64 = 0.10;
/// Cores kept busy by others that make a result doubtful.
const OTHERS_CORES_MAX: f64 = 0.2;
/// Part of the time given to other machines that makes a result doubtful.
const STEAL_MAX: f64 = 0.02;

/// One number of a workload that can be set beside another.
struct Metric {
    name: String,
    value: Spread,
    higher_is_better: bool,
    noise_min: f64,
}

/// Compares a result with an older one.
pub fn compare(old: &Bench, new: &Bench) -> Comparison {
    let mut comparison = Comparison {
        old: format!("{}, {}", old.program, units::moment(&old.measured_at)),
        notes: differences(old, new),
        changes: Vec::new(),
    };
    for now in &new.workloads {
        let Some(then) = old.workloads.iter().find(|then| then.name == now.name) else {
            comparison.notes.push(format!("{}: not in the older result", now.name));
            continue;
        };
        if (&then.traffic.sha256, then.traffic.rounds) != (&now.traffic.sha256, now.traffic.rounds) {
            comparison.notes.push(format!("{}: other traffic than in the older result, not compared", now.name));
            continue;
        }
        if !doubts(&then.noise).is_empty() || !doubts(&now.noise).is_empty() {
            comparison.notes.push(format!("{}: one of the two was a noisy measurement", now.name));
        }
        let before = metrics(then);
        for metric in metrics(now) {
            if let Some(older) = before.iter().find(|older| older.name == metric.name) {
                comparison.changes.push(change(&now.name, older, &metric));
            }
        }
    }
    comparison
}

fn change(workload: &str, old: &Metric, new: &Metric) -> Change {
    let ratio = new.value.median / old.value.median;
    let range = |spread: Spread| spread.max - spread.min;
    let noise = ((range(old.value) + range(new.value)) / old.value.median).max(new.noise_min);
    let verdict = match ratio - 1.0 {
        difference if difference.abs() <= noise => Verdict::WithinNoise,
        difference if (difference > 0.0) == new.higher_is_better => Verdict::Better,
        _ => Verdict::Worse,
    };
    Change {
        workload: workload.to_owned(),
        metric: new.name.clone(),
        old: old.value,
        new: new.value,
        ratio,
        noise,
        verdict,
    }
}

/// What is compared, where it was measured and is not zero.
fn metrics(measured: &Measured) -> Vec<Metric> {
    let mut all = Vec::new();
    let mut add = |name: String, value: Spread, higher_is_better: bool, noise_min: f64| {
        if value.median > 0.0 {
            all.push(Metric { name, value, higher_is_better, noise_min });
        }
    };
    for by in &measured.throughput {
        let workers = by.workers;
        add(format!("packets/s, -j{workers}"), by.packets_per_second, true, NOISE_MIN);
        let counted = [("cycles", by.cycles_per_packet), ("instructions", by.instructions_per_packet)];
        for (name, value) in counted {
            add(format!("{name} a packet, -j{workers}"), value.unwrap_or_default(), false, NOISE_MIN);
        }
        let peak = by.peak_bytes.map(|bytes| bytes as f64);
        add(format!("peak bytes, -j{workers}"), Spread::of(peak), false, NOISE_MIN_ROUGH);
    }
    if let Some(floor) = &measured.floor {
        add("times the floor".to_owned(), floor.ratio, false, NOISE_MIN);
    }
    if let Some(scan) = &measured.scan {
        add("packets/s as a scan".to_owned(), scan.packets_per_second, true, NOISE_MIN);
    }
    if let Some(flows) = &measured.flows {
        add("time with --flows over without".to_owned(), flows.ratio, false, NOISE_MIN);
    }
    let latencies = [("batch", Some(&measured.watched.batch)), ("finding", measured.watched.finding.as_ref())];
    for (what, percentiles) in latencies.into_iter().filter_map(|(what, p)| Some((what, p?))) {
        add(format!("{what} p50, ns"), percentiles.p50_ns, false, NOISE_MIN_ROUGH);
        add(format!("{what} p99, ns"), percentiles.p99_ns, false, NOISE_MIN_ROUGH);
    }
    for stage in &measured.watched.stages {
        add(format!("{}, ns a packet", stage.stage), stage.ns_per_packet, false, NOISE_MIN_ROUGH);
    }
    add("bytes a flow".to_owned(), Spread::of(measured.memory.bytes_per_flow), false, NOISE_MIN);
    all
}

/// What differs between two results beside the program.
fn differences(old: &Bench, new: &Bench) -> Vec<String> {
    let cpu = |bench: &Bench| format!("{}, {} cores", text(&bench.machine.cpu), bench.machine.cores);
    let pairs = [
        ("processor", cpu(old), cpu(new)),
        ("kernel", old.machine.kernel.clone(), new.machine.kernel.clone()),
        ("governor", text(&old.machine.governor), text(&new.machine.governor)),
        ("compiler", old.build.rustc.clone(), new.build.rustc.clone()),
        ("profile", profile(old), profile(new)),
        ("signatures", old.settings.signatures_sha256.clone(), new.settings.signatures_sha256.clone()),
    ];
    let differ = pairs.into_iter().filter(|(_, then, now)| then != now);
    differ.map(|(what, then, now)| format!("another {what}: {then} then, {now} now")).collect()
}

fn text(value: &Option<String>) -> String {
    value.clone().unwrap_or_else(|| "not readable".to_owned())
}

fn profile(bench: &Bench) -> String {
    let build = &bench.build;
    [&build.profile, &build.opt_level, &build.rustflags].map(String::as_str).join(" ").trim_end().to_owned()
}

/// What a reader must know before trusting a number.
pub fn warnings(bench: &Bench) -> Vec<String> {
    let mut warnings = Vec::new();
    if bench.build.profile != "release" {
        warnings.push("this build is not optimised (profile debug): its numbers say nothing".to_owned());
    }
    for measured in &bench.workloads {
        let reasons = doubts(&measured.noise);
        if !reasons.is_empty() {
            warnings.push(format!("{}: a noisy measurement: {}", measured.name, reasons.join("; ")));
        }
        let outcome = &measured.outcome;
        if outcome.evicted > 0 {
            let evicted = units::amount(outcome.evicted as f64);
            warnings.push(format!("{}: {evicted} flows were given up because memory ran out", measured.name));
        }
    }
    let busy = bench.settings.workers.iter().max().is_some_and(|&workers| workers > bench.machine.cores);
    if busy {
        warnings.push(format!("more workers than the {} cores of this machine", bench.machine.cores));
    }
    warnings
}

/// Why a measurement should not be trusted.
fn doubts(noise: &Noise) -> Vec<String> {
    let mut reasons = Vec::new();
    if noise.spread > SPREAD_MAX {
        reasons.push(format!("runs differ by {}", units::percent(noise.spread)));
    }
    if let Some(cores) = noise.others_cores.filter(|&cores| cores > OTHERS_CORES_MAX) {
        reasons.push(format!("others kept {cores:.1} cores busy"));
    }
    if let Some(steal) = noise.steal.filter(|&steal| steal > STEAL_MAX) {
        reasons.push(format!("{} of the time went to other machines", units::percent(steal)));
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::super::example::example;
    use super::*;

    /// The example with its throughput times a factor, its runs spread by a part.
    fn scaled(factor: f64, spread: f64) -> Bench {
        let mut bench = example();
        for by in &mut bench.workloads[0].throughput {
            let median = by.packets_per_second.median * factor;
            by.packets_per_second =
                Spread { median, min: median * (1.0 - spread / 2.0), max: median * (1.0 + spread / 2.0) };
        }
        bench
    }

    fn verdict(old: &Bench, new: &Bench, metric: &str) -> Verdict {
        let comparison = compare(old, new);
        let mut changes = comparison.changes.iter();
        let change = changes.find(|c| c.workload == new.workloads[0].name && c.metric == metric);
        change.map_or_else(|| unreachable!("{metric}: {comparison:?}"), |change| change.verdict)
    }

    #[test]
    fn a_difference_within_the_runs_is_noise() {
        let throughput = "packets/s, -j1";
        assert_eq!(verdict(&scaled(1.0, 0.06), &scaled(1.10, 0.06), throughput), Verdict::WithinNoise);
        assert_eq!(verdict(&scaled(1.0, 0.06), &scaled(0.90, 0.06), throughput), Verdict::WithinNoise);
        assert_eq!(verdict(&scaled(1.0, 0.0), &scaled(1.015, 0.0), throughput), Verdict::WithinNoise);
    }

    #[test]
    fn a_difference_beyond_the_runs_has_a_direction() {
        let throughput = "packets/s, -j1";
        assert_eq!(verdict(&scaled(1.0, 0.03), &scaled(1.10, 0.03), throughput), Verdict::Better);
        assert_eq!(verdict(&scaled(1.0, 0.03), &scaled(0.90, 0.03), throughput), Verdict::Worse);
        // Where less is better it is the other way round.
        let mut lean = example();
        lean.workloads[0].memory.bytes_per_flow = lean.workloads[0].memory.bytes_per_flow.map(|bytes| bytes * 0.5);
        assert_eq!(verdict(&example(), &lean, "bytes a flow"), Verdict::Better);
        assert_eq!(verdict(&lean, &example(), "bytes a flow"), Verdict::Worse);
    }

    #[test]
    fn other_traffic_is_not_compared_and_other_machines_are_named() {
        let mut other = example();
        other.workloads[0].traffic.sha256 = "0".repeat(64);
        other.machine.cpu = Some("Another CPU".to_owned());
        let comparison = compare(&example(), &other);
        let name = &other.workloads[0].name;
        assert!(comparison.changes.iter().all(|change| &change.workload != name));
        assert!(comparison.notes.iter().any(|note| note.contains("other traffic")));
        assert!(comparison.notes.iter().any(|note| note.contains("Another CPU")), "{:?}", comparison.notes);
    }

    #[test]
    fn noise_is_told() {
        let mut bench = example();
        assert!(warnings(&bench).is_empty(), "{:?}", warnings(&bench));
        bench.workloads[0].noise.spread = 0.2;
        bench.workloads[1].noise.others_cores = Some(1.5);
        let told = warnings(&bench);
        assert_eq!(told.len(), 2);
        assert!(told[0].contains("20 %") && told[1].contains("1.5 cores"), "{told:?}");
        let notes = compare(&example(), &bench).notes;
        assert_eq!(notes.iter().filter(|note| note.contains("noisy")).count(), 2, "{notes:?}");
    }
}
