//! A result as text: warnings first, then tables, then on what and how it was measured.
//!
//! In: a [`Bench`]. Out: text. Median of the runs, and their range where it matters.

use std::io::{self, Write};

use super::result::{Bench, Build, Machine, Measured, Percentiles, Verdict};
use super::spread::Spread;
use super::units;
use crate::report::paint::{self, BOLD, DIM, GREEN, RED, YELLOW};

/// Writes the result.
///
/// # Errors
/// When it cannot be written.
pub fn write(bench: &Bench, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page { color, out };
    page.head(bench)?;
    page.table("Throughput", &throughput(bench))?;
    page.table("Latency (one worker, service time, median of the passes)", &latency(bench))?;
    page.table("Time by stage (one worker, ns a packet)", &stages(bench))?;
    page.table("Memory (flow state at the end of the capture)", &memory(bench))?;
    if bench.workloads.iter().any(|measured| measured.floor.is_some()) {
        page.table("Beside the floor (a bare loop: records, 5-tuples, one hash table)", &floor(bench))?;
    }
    if bench.workloads.iter().any(|measured| measured.scan.is_some()) {
        page.table(
            "As `bordertap scan` (a process that reads one round from a file; packets/s without the start-up)",
            &scan(bench),
        )?;
    }
    if bench.settings.flows {
        page.table("With flow records written to a file", &flows(bench))?;
    }
    page.comparison(bench)?;
    page.foot(bench)
}

/// Cells by row; the first row is the head.
pub(super) type Table = Vec<Vec<String>>;

pub(super) fn head(names: &[&str]) -> Table {
    vec![names.iter().map(|name| (*name).to_owned()).collect()]
}

fn throughput(bench: &Bench) -> Table {
    let mut table =
        head(&["workload", "-j", "packets/s", "min … max", "Gb/s", "ns/packet", "scaling", "cycles", "instr.", "peak"]);
    for measured in &bench.workloads {
        for (at, by) in measured.throughput.iter().enumerate() {
            table.push(vec![
                if at == 0 { measured.name.clone() } else { String::new() },
                by.workers.to_string(),
                units::amount(by.packets_per_second.median),
                range(by.packets_per_second, units::amount),
                units::digits(by.gigabits_per_second.median),
                units::digits(by.ns_per_packet.median),
                format!("{:.2}×", by.scaling),
                or_dash(median(by.cycles_per_packet), units::digits),
                or_dash(median(by.instructions_per_packet), units::digits),
                or_dash(by.peak_bytes.map(|bytes| bytes as f64), units::bytes),
            ]);
        }
    }
    table
}

pub(super) fn median(spread: Option<Spread>) -> Option<f64> {
    spread.map(|spread| spread.median)
}

/// What may not have been told.
pub(super) fn or_dash(value: Option<f64>, unit: impl Fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), unit)
}

pub(super) fn range(spread: Spread, unit: impl Fn(f64) -> String) -> String {
    format!("{} … {}", unit(spread.min), unit(spread.max))
}

fn latency(bench: &Bench) -> Table {
    let mut table = head(&["workload", "of", "p50", "p90", "p99", "p99.9", "max", "values"]);
    for measured in &bench.workloads {
        let watched = &measured.watched;
        table.push(percentiles(&measured.name, "batch", &watched.batch));
        table.push(match &watched.finding {
            Some(finding) => percentiles("", "finding", finding),
            None => vec![String::new(), "finding".to_owned(), "no signature matched".to_owned()],
        });
    }
    table
}

fn percentiles(name: &str, of: &str, percentiles: &Percentiles) -> Vec<String> {
    let mut row = vec![name.to_owned(), of.to_owned()];
    row.extend(percentiles.named().map(|(_, value)| units::time(value.median)));
    row.push(units::amount(percentiles.count as f64));
    row
}

fn stages(bench: &Bench) -> Table {
    let Some(first) = bench.workloads.first() else { return Table::new() };
    let mut names = vec!["workload"];
    names.extend(first.watched.stages.iter().map(|stage| stage.stage.as_str()));
    names.push("watched");
    let mut table = head(&names);
    for measured in &bench.workloads {
        let mut row = vec![measured.name.clone()];
        row.extend(measured.watched.stages.iter().map(|stage| {
            format!("{} {:>5}", units::digits(stage.ns_per_packet.median), units::percent(stage.share.median))
        }));
        row.push(units::digits(measured.watched.ns_per_packet.median));
        table.push(row);
    }
    table
}

fn memory(bench: &Bench) -> Table {
    let mut table = head(&["workload", "open flows", "flow state", "bytes/flow", "capture in memory"]);
    for Measured { name, memory, traffic, .. } in &bench.workloads {
        table.push(vec![
            name.clone(),
            units::amount(memory.open_flows as f64),
            units::bytes(memory.state_bytes as f64),
            or_dash(memory.bytes_per_flow, units::digits),
            units::bytes(traffic.capture_bytes as f64),
        ]);
    }
    table
}

fn floor(bench: &Bench) -> Table {
    let mut table = head(&["workload", "floor ns/packet", "bordertap/floor", "min … max"]);
    for measured in &bench.workloads {
        let Some(floor) = &measured.floor else { continue };
        table.push(vec![
            measured.name.clone(),
            units::digits(floor.ns_per_packet.median),
            format!("{}×", units::digits(floor.ratio.median)),
            range(floor.ratio, units::digits),
        ]);
    }
    table
}

fn scan(bench: &Bench) -> Table {
    let mut table = head(&["workload", "start-up", "packets/s", "min … max", "scan/pipeline", "min … max"]);
    for measured in &bench.workloads {
        let Some(scan) = &measured.scan else { continue };
        table.push(vec![
            measured.name.clone(),
            units::time(scan.start_seconds.median * 1e9),
            units::amount(scan.packets_per_second.median),
            range(scan.packets_per_second, units::amount),
            format!("{}×", units::digits(scan.ratio.median)),
            range(scan.ratio, units::digits),
        ]);
    }
    table
}

fn flows(bench: &Bench) -> Table {
    let mut table = head(&["workload", "time with/without", "min … max", "written"]);
    for measured in &bench.workloads {
        let Some(flows) = &measured.flows else { continue };
        table.push(vec![
            measured.name.clone(),
            format!("{}×", units::digits(flows.ratio.median)),
            range(flows.ratio, units::digits),
            units::bytes(flows.written_bytes as f64),
        ]);
    }
    table
}

/// Where text goes, and whether in colour.
pub(super) struct Page<'a> {
    pub(super) color: bool,
    pub(super) out: &'a mut dyn Write,
}

impl Page<'_> {
    pub(super) fn paint(&self, color: &str, text: &str) -> String {
        paint::paint(self.color, color, text)
    }

    fn head(&mut self, bench: &Bench) -> io::Result<()> {
        let (settings, machine, build) = (&bench.settings, &bench.machine, &bench.build);
        let title = format!("{}, {} size, seed {}", bench.program, settings.size, settings.seed);
        writeln!(self.out, "{}", self.paint(BOLD, &title))?;
        self.machine(machine, build)?;
        if let Some(reason) = &bench.not_counted {
            writeln!(self.out, "Cycles and instructions are not counted: {reason}.")?;
        }
        self.warnings(&bench.warnings)
    }

    /// Processor, memory, system; compiler and profile.
    pub(super) fn machine(&mut self, machine: &Machine, build: &Build) -> io::Result<()> {
        let cpu = machine.cpu.as_deref().unwrap_or("unknown processor");
        let memory = machine.memory_bytes.map_or("unknown memory".to_owned(), |bytes| units::bytes(bytes as f64));
        writeln!(self.out, "{cpu}, {} cores, {memory}, {}", machine.cores, machine.kernel)?;
        writeln!(self.out, "{}, {} (opt-level {}), {}", build.rustc, build.profile, build.opt_level, build.target)
    }

    pub(super) fn warnings(&mut self, warnings: &[String]) -> io::Result<()> {
        for warning in warnings {
            let text = format!("Warning: {warning}.");
            writeln!(self.out, "{}", self.paint(YELLOW, &text))?;
        }
        Ok(())
    }

    /// A table: the first column to the left, numbers to the right.
    pub(super) fn table(&mut self, title: &str, table: &Table) -> io::Result<()> {
        writeln!(self.out, "\n{}", self.paint(BOLD, title))?;
        let columns = table.iter().map(Vec::len).max().unwrap_or(0);
        // A row that is cut short holds a sentence.
        let full = || table.iter().filter(|row| row.len() == columns);
        let width = |at: usize| full().map(|row| visible(&row[at])).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in table.iter().enumerate() {
            let mut line = String::new();
            for (at, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[at].saturating_sub(visible(cell)));
                let left = at == 0 || row.len() < columns;
                line += &if left { format!("  {cell}{pad}") } else { format!("  {pad}{cell}") };
            }
            let line = line.trim_end();
            writeln!(self.out, "{}", if number == 0 { self.paint(DIM, line) } else { line.to_owned() })?;
        }
        Ok(())
    }

    fn comparison(&mut self, bench: &Bench) -> io::Result<()> {
        let Some(comparison) = &bench.comparison else { return Ok(()) };
        let mut table = head(&["workload", "metric", "then", "now", "ratio", "noise", "verdict"]);
        let mut quiet = 0;
        for change in &comparison.changes {
            let (color, verdict) = match change.verdict {
                Verdict::Better => (GREEN, "better"),
                Verdict::Worse => (RED, "worse"),
                Verdict::WithinNoise => {
                    quiet += 1;
                    continue;
                }
            };
            table.push(change.row(self.paint(color, verdict)).to_vec());
        }
        self.table(&format!("Compared with {}", comparison.old), &table)?;
        writeln!(self.out, "  {quiet} of {} differences are within noise.", comparison.changes.len())?;
        for note in &comparison.notes {
            writeln!(self.out, "  Note: {note}.")?;
        }
        Ok(())
    }

    fn foot(&mut self, bench: &Bench) -> io::Result<()> {
        let settings = &bench.settings;
        let text = format!(
            "\nMedian of {} after {}, each a process of its own. Batch: up to {} packets, until all went through. Finding:\n\
             from the hand-over of the block with the packet that ended a flow until a signature matched that flow. Watched\n\
             passes cost one clock reading ({:.0} ns) a mark, taken off the stages. Gb/s: without FCS and gap.\n\
             Again: {}",
            count(settings.runs, "run"),
            count(settings.warm_ups, "warm-up"),
            settings.batch_packets,
            bench.workloads.first().map_or(0.0, |measured| measured.watched.clock_ns),
            settings.command,
        );
        writeln!(self.out, "{}", self.paint(DIM, &text))
    }
}

/// Characters that take room: colour takes none.
fn visible(cell: &str) -> usize {
    let mut in_color = false;
    let takes_room = |c: &char| {
        in_color |= *c == '\x1b';
        let room = !in_color;
        in_color &= *c != 'm';
        room
    };
    cell.chars().filter(takes_room).count()
}

/// `1 run`, `2 runs`.
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::compare::compare;
    use super::super::example::example;
    use super::*;
    use crate::report::paint::RESET;

    #[test]
    fn colour_does_not_move_columns() {
        let mut bench = example();
        bench.workloads[0].memory.bytes_per_flow = Some(300.0);
        bench.comparison = Some(compare(&example(), &bench));
        let page = |color: bool| {
            let mut out = Vec::new();
            assert!(write(&bench, color, &mut out).is_ok());
            String::from_utf8(out).unwrap_or_default()
        };
        let mut colored = page(true);
        assert!(colored.contains(&format!("{RED}worse{RESET}")), "{colored}");
        for code in [DIM, BOLD, RED, GREEN, YELLOW, RESET] {
            colored = colored.replace(code, "");
        }
        assert_eq!(colored, page(false));
    }
}
