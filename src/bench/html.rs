//! A result as one HTML page that needs nothing else: no script, no font, no request.
//!
//! In: a [`Bench`]. Out: the page. The answer first, then a section for each question, each with a plot and the numbers
//! behind it (`sections`); light or dark as the reader's system is.

mod sections;
mod style;

use std::fmt::Write as _;
use std::io::{self, Write};

use super::plot::escaped;
use super::result::{Bench, Change, Comparison, Verdict};
use super::{text, units};
use style::STYLE;

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write(bench: &Bench, out: &mut dyn Write) -> io::Result<()> {
    let mut page = begin(&format!("bordertap bench, {}", units::moment(&bench.measured_at)));
    page += &head(bench);
    page += &comparison(bench);
    for part in [
        sections::throughput,
        sections::latency,
        sections::stages,
        sections::memory,
        sections::floor,
        sections::traffic,
    ] {
        page += &part(bench);
    }
    page += &setup(bench);
    page += "</main>\n</html>\n";
    out.write_all(page.as_bytes())
}

/// The page until its first element.
pub(super) fn begin(title: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <style>\n{STYLE}</style>\n<main>\n",
        escaped(title)
    )
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
        escaped(&units::moment(&bench.measured_at)),
    );
    html += &warnings(&bench.warnings);
    html + "</header>\n"
}

/// What a reader must know first.
pub(super) fn warnings(warnings: &[String]) -> String {
    if warnings.is_empty() {
        return String::new();
    }
    let lines: String = warnings.iter().map(|warning| format!("<li>{}</li>\n", escaped(warning))).collect();
    format!("<div class=\"warn\"><p>Read the numbers with care.</p><ul>\n{lines}</ul></div>\n")
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
             and 2 % (10 % for latency, stages and peak memory).",
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
        table.classed(class, &change.row(verdict.to_owned()));
    }
    table.finish()
}

pub(super) fn section(title: &str, lead: &str) -> String {
    let lead = if lead.is_empty() { String::new() } else { format!("<p>{}</p>\n", escaped(lead)) };
    format!("<section>\n<h2>{title}</h2>\n{lead}")
}

/// A paragraph in small print. Its text is HTML.
pub(super) fn note(html: &str) -> String {
    format!("<p class=\"note\">{html}</p>\n")
}

pub(super) fn legend<'a>(entries: impl Iterator<Item = (String, &'a str)>) -> String {
    let entries: String =
        entries.map(|(class, name)| format!("<li><i class=\"{class}\"></i>{}</li>", escaped(name))).collect();
    format!("<ul class=\"legend\">{entries}</ul>\n")
}

/// Numbers on an axis are round: `2 M` for `2.00 M`.
pub(super) fn trimmed(text: &str) -> String {
    let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}").trim_end().to_owned()
}

/// A table; cells are escaped.
pub(super) struct Table(String);

impl Table {
    pub(super) fn new(heads: &[&str]) -> Table {
        let cells: String = heads.iter().map(|head| format!("<th>{}</th>", escaped(head))).collect();
        Table(format!("<div class=\"wide\"><table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n"))
    }

    /// A row; without a name it goes on with the one before.
    pub(super) fn row(&mut self, cells: &[String]) {
        let goes_on = cells.first().is_some_and(String::is_empty);
        self.classed(if goes_on { "more" } else { "" }, cells);
    }

    fn classed(&mut self, class: &str, cells: &[String]) {
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        let _ = writeln!(self.0, "<tr class=\"{class}\">{cells}</tr>");
    }

    pub(super) fn finish(self) -> String {
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
