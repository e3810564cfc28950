//! The sections with what was measured: each a plot, where one helps, and the numbers behind it.
//!
//! In: a [`Bench`]. Out: HTML.

use std::fmt::Write as _;

use super::super::plot::{self, Bar, Marks, Part, escaped};
use super::super::result::{Bench, Measured, Percentiles, StageTime, Throughput};
use super::super::{text, units};
use super::{Table, legend, note, section, trimmed};

/// Packets a second, by workload and workers.
pub(super) fn throughput(bench: &Bench) -> String {
    let groups: Vec<(String, Vec<Bar>)> =
        bench.workloads.iter().map(|measured| (measured.name.clone(), bars(measured))).collect();
    let counts: Vec<String> = bench.settings.workers.iter().map(|&n| text::count(n, "worker")).collect();
    let mut html = section(
        "Throughput",
        "How many packets a second the whole pipeline reads from memory, until its report is ready. Each run is a process of \
         its own. The bar is the median of the runs, the whisker their range.",
    );
    html += &legend(counts.iter().enumerate().map(|(at, name)| (worker_class(at, counts.len()), name.as_str())));
    html += &plot::bars(
        "Throughput by workload and workers",
        "packets a second",
        &|value| trimmed(&units::amount(value)),
        &groups,
    );
    let mut heads = vec!["workload", "workers", "packets/s", "range", "Gb/s", "ns/packet", "scaling", "peak memory"];
    if bench.not_counted.is_none() {
        heads.extend(["cycles/packet", "instructions/packet"]);
    }
    let mut table = Table::new(&heads);
    for measured in &bench.workloads {
        for (at, by) in measured.throughput.iter().enumerate() {
            let mut row = vec![
                if at == 0 { measured.name.clone() } else { String::new() },
                by.workers.to_string(),
                units::amount(by.packets_per_second.median),
                text::range(by.packets_per_second, units::amount),
                units::digits(by.gigabits_per_second.median),
                units::digits(by.ns_per_packet.median),
                format!("{:.2}×", by.scaling),
                text::or_dash(by.peak_bytes.map(|bytes| bytes as f64), units::bytes),
            ];
            if bench.not_counted.is_none() {
                let counted = [by.cycles_per_packet, by.instructions_per_packet];
                row.extend(counted.map(|spread| text::or_dash(text::median(spread), units::digits)));
            }
            table.row(&row);
        }
    }
    html += &table.finish();
    let counted = match &bench.not_counted {
        Some(reason) => format!("Cycles and instructions are not counted: {reason}."),
        None => "Cycles and instructions: all workers, user mode.".to_owned(),
    };
    html + &note(&format!(
        "Gb/s: bits from the link-layer header on, without FCS, preamble and gap. ns/packet: wall time, whatever the number \
         of workers. Peak memory: of the whole process, the capture in memory included. {counted}"
    )) + "</section>\n"
}

fn bars(measured: &Measured) -> Vec<Bar> {
    let count = measured.throughput.len();
    let bar = |(at, by): (usize, &Throughput)| Bar {
        class: worker_class(at, count),
        title: format!(
            "{}, {}: {} packets/s ({})",
            measured.name,
            text::count(by.workers, "worker"),
            units::amount(by.packets_per_second.median),
            text::range(by.packets_per_second, units::amount)
        ),
        value: by.packets_per_second,
        text: units::amount(by.packets_per_second.median),
    };
    measured.throughput.iter().enumerate().map(bar).collect()
}

/// One hue, stronger with more workers.
fn worker_class(at: usize, count: usize) -> String {
    let (weakest, strongest) = if count > 3 { (1, 4) } else { (2, 4) };
    let step = if count > 1 { weakest + at * (strongest - weakest) / (count - 1) } else { 3 };
    format!("r{step}")
}

/// Percentiles of batches and findings.
pub(super) fn latency(bench: &Bench) -> String {
    let mut html = section(
        "Latency",
        "Service time of one worker, without any wait before it. A batch: from the moment a block of up to 1,024 packets is \
         handed over until all of them went through. A finding: from the moment the block with the packet that ended a \
         flow is handed over until a signature matched that flow.",
    );
    let names = ["p50", "p90", "p99", "p99.9", "max"];
    html += &legend(names.iter().enumerate().map(|(at, name)| (format!("r{}", at + 1), *name)));
    let marks = |p: &Percentiles| p.named().map(|(name, v)| (name, v.median, units::time(v.median))).to_vec();
    let batches: Vec<(String, Marks)> =
        bench.workloads.iter().map(|m| (m.name.clone(), marks(&m.watched.batch))).collect();
    let findings: Vec<(String, Marks)> =
        bench.workloads.iter().filter_map(|m| Some((m.name.clone(), marks(m.watched.finding.as_ref()?)))).collect();
    let axis = |ns: f64| trimmed(&units::time(ns));
    html += "<h3>Of a batch</h3>\n";
    html += &plot::percentiles("Latency of a batch by workload", "time, logarithmic", &axis, &batches);
    if !findings.is_empty() {
        html += "<h3>Of a finding</h3>\n";
        html += &plot::percentiles("Latency of a finding by workload", "time, logarithmic", &axis, &findings);
    }
    let mut table = Table::new(&["workload", "of", "p50", "p90", "p99", "p99.9", "max", "values"]);
    for measured in &bench.workloads {
        let all = [("batch", Some(&measured.watched.batch)), ("finding", measured.watched.finding.as_ref())];
        for (of, percentiles) in all.into_iter().filter_map(|(of, p)| Some((of, p?))) {
            let mut row = vec![if of == "batch" { measured.name.clone() } else { String::new() }, of.to_owned()];
            row.extend(percentiles.named().map(|(_, value)| units::time(value.median)));
            row.push(units::amount(percentiles.count as f64));
            table.row(&row);
        }
    }
    html + &table.finish()
        + &note(
            "Medians of the watched passes. Where no finding is listed no signature matched. Flows that only the end of \
             the capture ends are left out: no packet ended them.",
        )
        + "</section>\n"
}

/// Time by stage.
pub(super) fn stages(bench: &Bench) -> String {
    let Some(first) = bench.workloads.first() else { return String::new() };
    let names: Vec<&str> = first.watched.stages.iter().map(|stage| stage.stage.as_str()).collect();
    let mut html = section(
        "Where the time goes",
        "Capture: walking the records. Decode: headers. Flow: finding the flow and counting. Parse: ordering the first \
         bytes, reading protocols. Match: signatures, places and sums when a flow ends.",
    );
    html += &legend(names.iter().enumerate().map(|(at, name)| (format!("s{}", at + 1), *name)));
    let rows: Vec<(String, Vec<Part>)> = bench
        .workloads
        .iter()
        .map(|measured| {
            let part = |(at, stage): (usize, &StageTime)| {
                let share = stage.share.median;
                let title = format!("{}, {}: {}", measured.name, stage.stage, units::percent(share));
                (format!("s{}", at + 1), title, share)
            };
            (measured.name.clone(), whole(measured.watched.stages.iter().enumerate().map(part).collect()))
        })
        .collect();
    html += &plot::shares("Time by stage and workload", "part of the time of one worker", &rows);
    let mut heads = vec!["ns/packet"];
    heads.extend(&names);
    heads.push("whole pass");
    let mut table = Table::new(&heads);
    for measured in &bench.workloads {
        let watched = &measured.watched;
        let mut row = vec![measured.name.clone()];
        row.extend(watched.stages.iter().map(|stage| units::digits(stage.ns_per_packet.median)));
        row.push(units::digits(watched.ns_per_packet.median));
        table.row(&row);
    }
    html + &table.finish()
        + &note(&format!(
            "From separate passes of one worker that is watched, {} rounds at least. A reading of the clock costs {:.0} ns and \
             is taken off the stages; the whole pass includes it, and what comes after the last packet.",
            first.watched.rounds, first.watched.clock_ns
        ))
        + "</section>\n"
}

/// Medians need not add up to one.
fn whole(mut parts: Vec<Part>) -> Vec<Part> {
    let sum: f64 = parts.iter().map(|(_, _, share)| share).sum();
    parts.iter_mut().for_each(|(_, _, share)| *share /= if sum > 0.0 { sum } else { 1.0 });
    parts
}

/// Flow state.
pub(super) fn memory(bench: &Bench) -> String {
    let mut html = section(
        "Memory",
        "State of the flows that were open at the end of the capture. Where flows are few, what the table begins with weighs.",
    );
    let mut table = Table::new(&["workload", "open flows", "flow state", "bytes/flow", "capture in memory"]);
    for measured in &bench.workloads {
        let memory = &measured.memory;
        table.row(&[
            measured.name.clone(),
            units::amount(memory.open_flows as f64),
            units::bytes(memory.state_bytes as f64),
            text::or_dash(memory.bytes_per_flow, units::digits),
            units::bytes(measured.traffic.capture_bytes as f64),
        ]);
    }
    html += &table.finish();
    html + "</section>\n"
}

/// Times of the floor; as a scan and with flow records, when they were measured.
pub(super) fn floor(bench: &Bench) -> String {
    let mut html = String::new();
    if bench.workloads.iter().any(|measured| measured.floor.is_some()) {
        html += &section(
            "Beside the floor",
            "The floor is a bare loop over the same bytes: it reads records and 5-tuples and counts in one hash table. Its \
             runs alternate with those of the pipeline.",
        );
        let mut table = Table::new(&["workload", "floor, ns/packet", "bordertap over floor", "range"]);
        for (name, floor) in bench.workloads.iter().filter_map(|m| Some((&m.name, m.floor.as_ref()?))) {
            table.row(&[
                name.clone(),
                units::digits(floor.ns_per_packet.median),
                format!("{}×", units::digits(floor.ratio.median)),
                text::range(floor.ratio, units::digits),
            ]);
        }
        html += &(table.finish() + "</section>\n");
    }
    if bench.workloads.iter().any(|measured| measured.scan.is_some()) {
        html += &section(
            "As a scan",
            "A process of bordertap scan that reads one round from a file; its start is taken off, the report as text and its end \
             are in the time. It takes turns with runs of the pipeline over the same round, which write the same report to \
             nowhere.",
        );
        let mut table = Table::new(&["workload", "packets/s", "range", "over the pipeline's", "range"]);
        for (name, scan) in bench.workloads.iter().filter_map(|m| Some((&m.name, m.scan.as_ref()?))) {
            table.row(&[
                name.clone(),
                units::amount(scan.packets_per_second.median),
                text::range(scan.packets_per_second, units::amount),
                format!("{}×", units::digits(scan.ratio.median)),
                text::range(scan.ratio, units::digits),
            ]);
        }
        html += &(table.finish() + "</section>\n");
    }
    if bench.settings.flows {
        html += &section("With flow records", "The same runs, with every flow written to a temporary file as JSON.");
        let mut table = Table::new(&["workload", "time over that without", "range", "written"]);
        for (name, flows) in bench.workloads.iter().filter_map(|m| Some((&m.name, m.flows.as_ref()?))) {
            table.row(&[
                name.clone(),
                format!("{}×", units::digits(flows.ratio.median)),
                text::range(flows.ratio, units::digits),
                units::bytes(flows.written_bytes as f64),
            ]);
        }
        html += &(table.finish() + "</section>\n");
    }
    html
}

/// What was read.
pub(super) fn traffic(bench: &Bench) -> String {
    let mut html = section("Traffic", "Packets by frame size, in the classes of RFC 2544 (bytes, the FCS included).");
    let Some(first) = bench.workloads.first() else { return html + "</section>\n" };
    let size = |up_to: Option<u32>| up_to.map_or("more".to_owned(), |bytes| format!("≤ {bytes}"));
    let sizes: Vec<String> = first.traffic.sizes.iter().map(|class| size(class.up_to_bytes)).collect();
    let mut heads = vec!["workload", "packets", "rounds", "bytes/packet", "flows", "findings"];
    heads.extend(sizes.iter().map(String::as_str));
    let mut table = Table::new(&heads);
    for measured in &bench.workloads {
        let (traffic, outcome) = (&measured.traffic, &measured.outcome);
        let packets = traffic.packets.max(1) as f64;
        let mut row = vec![
            measured.name.clone(),
            units::amount(traffic.packets as f64),
            traffic.rounds.to_string(),
            units::digits(traffic.wire_bytes as f64 / packets),
            units::amount(outcome.flows as f64),
            outcome.findings.to_string(),
        ];
        row.extend(traffic.sizes.iter().map(|class| units::percent(class.packets as f64 / packets)));
        table.row(&row);
    }
    html += &table.finish();
    html += "<dl>\n";
    for measured in &bench.workloads {
        let digest = format!("<code>SHA-256 {}</code>", escaped(&measured.traffic.sha256));
        let _ = writeln!(html, "<dt>{}</dt><dd>{}<br>{digest}</dd>", escaped(&measured.name), escaped(&measured.about));
    }
    html + "</dl>\n</section>\n"
}
