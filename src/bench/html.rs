//! A result as one HTML page that needs nothing else: no script, no font, no request.
//!
//! In: a [`Bench`]. Out: the page. The answer first, then a section for each question, each with a plot and the numbers
//! behind it; light or dark as the reader's system is. The style sheet stands beside this file.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::plot::{self, Bar, Marks, Part, escaped};
use super::result::{Bench, Change, Comparison, Measured, Percentiles, Verdict};
use super::spread::Spread;
use super::{text, units};

const STYLE: &str = include_str!("html.css");

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write(bench: &Bench, out: &mut dyn Write) -> io::Result<()> {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>bordertap bench, {}</title>\n\
         <style>\n{STYLE}</style>\n<main>\n",
        escaped(&moment(&bench.measured_at))
    );
    page += &head(bench);
    page += &comparison(bench);
    page += &throughput(bench);
    page += &latency(bench);
    page += &stages(bench);
    page += &memory(bench);
    page += &floor(bench);
    page += &traffic(bench);
    page += &setup(bench);
    page += "</main>\n</html>\n";
    out.write_all(page.as_bytes())
}

fn head(bench: &Bench) -> String {
    let machine = &bench.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
    let mut html = format!(
        "<header>\n<p class=\"over\">{} bench</p>\n<h1>{}</h1>\n<p class=\"sub\">{}, {}, {} · {} size · {}</p>\n",
        escaped(&bench.program),
        escaped(&answer(bench)),
        escaped(cpu),
        escaped(&text::count(machine.cores, "core")),
        escaped(&machine.kernel),
        escaped(&bench.settings.size),
        escaped(&moment(&bench.measured_at)),
    );
    if !bench.warnings.is_empty() {
        html += "<div class=\"warn\"><p>Read the numbers with care.</p><ul>\n";
        for warning in &bench.warnings {
            let _ = writeln!(html, "<li>{}</li>", escaped(warning));
        }
        html += "</ul></div>\n";
    }
    html + "</header>\n"
}

/// The first workload in a sentence.
fn answer(bench: &Bench) -> String {
    let Some(first) = bench.workloads.first() else { return "Nothing was measured".to_owned() };
    let rates: Vec<String> = first
        .throughput
        .iter()
        .map(|by| {
            let workers = text::count(by.workers, "worker");
            format!("{} packets/s with {workers}", units::amount(by.packets_per_second.median))
        })
        .collect();
    format!("{}: {}", first.name, rates.join(", "))
}

fn throughput(bench: &Bench) -> String {
    let groups: Vec<(String, Vec<Bar>)> =
        bench.workloads.iter().map(|measured| (measured.name.clone(), bars(measured))).collect();
    let counts: Vec<String> = bench.settings.workers.iter().map(|&n| text::count(n, "worker")).collect();
    let mut html = section(
        "Throughput",
        "How many packets a second the whole pipeline reads from memory, until its report is ready. The bar is the median \
         of the runs, the whisker their range.",
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
            let counted = |value: Option<Spread>| value.map_or("–".to_owned(), |v| units::digits(v.median));
            let mut row = vec![
                if at == 0 { measured.name.clone() } else { String::new() },
                by.workers.to_string(),
                units::amount(by.packets_per_second.median),
                text::range(by.packets_per_second, units::amount),
                units::digits(by.gigabits_per_second.median),
                units::digits(by.ns_per_packet.median),
                format!("{:.2}×", by.scaling),
                by.peak_bytes.map_or("–".to_owned(), |bytes| units::bytes(bytes as f64)),
            ];
            if bench.not_counted.is_none() {
                row.extend([by.cycles_per_packet, by.instructions_per_packet].map(counted));
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
    let bar = |(at, by): (usize, &super::result::Throughput)| Bar {
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

/// One hue, stronger with more workers; five steps.
fn worker_class(at: usize, count: usize) -> String {
    let step = if count <= 1 { 3 } else { 2 + (at * 3).div_ceil(count - 1).min(3) };
    format!("r{step}")
}

fn latency(bench: &Bench) -> String {
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

fn stages(bench: &Bench) -> String {
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
            let part = |(at, stage): (usize, &super::result::StageTime)| {
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

fn memory(bench: &Bench) -> String {
    let mut html = section("Memory", "State of the flows that were open at the end of the capture.");
    let mut table = Table::new(&["workload", "open flows", "flow state", "bytes/flow", "capture in memory"]);
    for measured in &bench.workloads {
        let memory = &measured.memory;
        table.row(&[
            measured.name.clone(),
            units::amount(memory.open_flows as f64),
            units::bytes(memory.state_bytes as f64),
            memory.bytes_per_flow.map_or("–".to_owned(), units::digits),
            units::bytes(measured.traffic.capture_bytes as f64),
        ]);
    }
    html += &table.finish();
    html + "</section>\n"
}

fn floor(bench: &Bench) -> String {
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

fn traffic(bench: &Bench) -> String {
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

fn setup(bench: &Bench) -> String {
    let (machine, build, settings) = (&bench.machine, &bench.build, &bench.settings);
    let unknown = || "not readable".to_owned();
    let boost = machine.boost.map_or_else(unknown, |on| if on { "on" } else { "off" }.to_owned());
    let workers: Vec<String> = settings.workers.iter().map(ToString::to_string).collect();
    let watched = match settings.watched_passes {
        1 => "1 watched pass".to_owned(),
        passes => format!("{passes} watched passes"),
    };
    let pairs = [
        ("Processor", machine.cpu.clone().unwrap_or_else(unknown)),
        ("Cores", machine.cores.to_string()),
        ("Memory", machine.memory_bytes.map_or_else(unknown, |bytes| units::bytes(bytes as f64))),
        ("Kernel", machine.kernel.clone()),
        ("Virtual", machine.is_virtual.map_or_else(unknown, |yes| if yes { "yes" } else { "no" }.to_owned())),
        ("Frequency", format!("governor {}, boost {boost}", machine.governor.clone().unwrap_or_else(unknown))),
        ("Load before", machine.load_average.map_or_else(unknown, |load| format!("{load:.2}"))),
        ("Build", format!("{}, {} (opt-level {})", bench.program, build.profile, build.opt_level)),
        ("Compiler", format!("{}, {} {}", build.rustc, build.target, build.rustflags)),
        ("Features", build.features.clone()),
        ("Signatures", format!("SHA-256 {}", settings.signatures_sha256)),
        ("Size and seed", format!("{}, seed {}", settings.size, settings.seed)),
        (
            "Runs",
            format!(
                "{} after {}; {}",
                text::count(settings.runs, "run"),
                text::count(settings.warm_ups, "warm-up"),
                watched
            ),
        ),
        ("Workers", workers.join(", ")),
        ("Flow state", format!("{} at most", units::bytes(settings.memory_bytes as f64))),
        ("Batch", format!("{} packets at most", settings.batch_packets)),
        ("Took", format!("{:.0} s", bench.seconds)),
    ];
    let mut html = section("Machine and settings", "");
    html += "<dl class=\"pairs\">\n";
    for (name, value) in pairs {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escaped(value.trim()));
    }
    html += "</dl>\n";
    html += &noise(bench);
    let _ = write!(html, "<h3>Run it again</h3>\n<pre>{}</pre>\n", escaped(&settings.command));
    html + &note(
        "Method after RFC 2544 (frames a second, repeated trials, frame sizes) and RFC 9411 (set-up, settings and traffic \
         mix are stated), as far as they fit a program that reads from memory: nothing is lost here, so throughput is how \
         fast all of it was read. <code>bordertap bench --write DIR</code> writes the same traffic for other tools.",
    ) + "</section>\n"
}

fn noise(bench: &Bench) -> String {
    let mut table =
        Table::new(&["while measured", "range of the runs", "cores busy with others", "time taken by the host"]);
    for measured in &bench.workloads {
        let noise = &measured.noise;
        table.row(&[
            measured.name.clone(),
            units::percent(noise.spread),
            noise.others_cores.map_or("not readable".to_owned(), units::digits),
            noise.steal.map_or("not readable".to_owned(), units::percent),
        ]);
    }
    table.finish()
}

fn comparison(bench: &Bench) -> String {
    let Some(Comparison { old, notes, changes }) = &bench.comparison else { return String::new() };
    let quiet = changes.iter().filter(|change| change.verdict == Verdict::WithinNoise).count();
    let mut html = section(
        "Compared",
        &format!(
            "With {old}. {quiet} of {} differences are within noise: no larger than the ranges of both results together, \
             and 2 %.",
            changes.len()
        ),
    );
    for text in notes {
        html += &note(&format!("{}.", escaped(text)));
    }
    let (within, beyond): (Vec<&Change>, Vec<&Change>) =
        changes.iter().partition(|change| change.verdict == Verdict::WithinNoise);
    if !beyond.is_empty() {
        html += &changes_table(&beyond);
    }
    if !within.is_empty() {
        let summary = format!("{} within noise", text::count(within.len(), "difference"));
        let _ = writeln!(html, "<details><summary>{summary}</summary>\n{}</details>", changes_table(&within));
    }
    html + "</section>\n"
}

fn changes_table(changes: &[&Change]) -> String {
    let mut table = Table::new(&["workload", "metric", "then", "now", "ratio", "noise", "verdict"]);
    for change in changes {
        let (class, verdict) = match change.verdict {
            Verdict::Better => ("good", "better"),
            Verdict::Worse => ("bad", "worse"),
            Verdict::WithinNoise => ("dim", "within noise"),
        };
        table.classed(
            class,
            &[
                change.workload.clone(),
                change.metric.clone(),
                units::amount(change.old.median),
                units::amount(change.new.median),
                format!("{:.3}", change.ratio),
                format!("±{}", units::percent(change.noise)),
                verdict.to_owned(),
            ],
        );
    }
    table.finish()
}

fn section(title: &str, lead: &str) -> String {
    let lead = if lead.is_empty() { String::new() } else { format!("<p>{}</p>\n", escaped(lead)) };
    format!("<section>\n<h2>{title}</h2>\n{lead}")
}

/// A paragraph in small print. Its text is HTML.
fn note(html: &str) -> String {
    format!("<p class=\"note\">{html}</p>\n")
}

fn legend<'a>(entries: impl Iterator<Item = (String, &'a str)>) -> String {
    let entries: String =
        entries.map(|(class, name)| format!("<li><i class=\"{class}\"></i>{}</li>", escaped(name))).collect();
    format!("<ul class=\"legend\">{entries}</ul>\n")
}

/// Numbers on an axis are round: `2 M` for `2.00 M`.
fn trimmed(text: &str) -> String {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}").trim_end().to_owned()
}

/// `2026-01-05T10:20:30.123Z` as `2026-01-05 10:20 UTC`.
fn moment(time: &str) -> String {
    time.get(..16).map_or(time.to_owned(), |minutes| format!("{} UTC", minutes.replace('T', " ")))
}

/// A table; cells are escaped.
struct Table(String);

impl Table {
    fn new(heads: &[&str]) -> Table {
        let cells: String = heads.iter().map(|head| format!("<th>{}</th>", escaped(head))).collect();
        Table(format!("<div class=\"wide\"><table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n"))
    }

    fn row(&mut self, cells: &[String]) {
        self.classed("", cells);
    }

    fn classed(&mut self, class: &str, cells: &[String]) {
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        let _ = writeln!(self.0, "<tr class=\"{class}\">{cells}</tr>");
    }

    fn finish(self) -> String {
        self.0 + "</tbody></table></div>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::compare;
    use super::super::example::example;
    use super::*;

    fn page(bench: &Bench) -> String {
        let mut out = Vec::new();
        assert!(write(bench, &mut out).is_ok());
        String::from_utf8(out).unwrap_or_default()
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&example());
        for bad in ["http://", "https://", "<script", "<link", "@import", "url(", "src=", "href=", "<iframe", "<img"] {
            assert!(!page.contains(bad), "{bad}");
        }
        assert!(!page.contains("NaN"));
    }

    #[test]
    fn names_of_files_stay_text() {
        let mut bench = example();
        bench.settings.command = "bordertap bench '<script>alert(1)</script>.pcap'".to_owned();
        bench.warnings = vec!["<script>alert(1)</script>.pcap: noisy".to_owned()];
        bench.comparison = Some(compare(&example(), &bench));
        let page = page(&bench);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;.pcap"));
        assert!(!page.contains("<script"), "a name became markup");
    }

    #[test]
    fn every_workload_and_stage_is_there() {
        let page = page(&example());
        for word in ["mixed", "capture", "decode", "match", "p99.9", "Run it again", "ab".repeat(32).as_str()] {
            assert!(page.contains(word), "{word}");
        }
    }
}
