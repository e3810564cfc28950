//! A result as one HTML page that needs nothing else.
//!
//! In: a [`LiveBench`]. Out: the page: the answer, rates by traffic with a plot, every trial, machine and settings. Style
//! and parts are those of the page of `bench`.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::super::html::{Table, begin, legend, note, section, trimmed, warnings};
use super::super::plot::{self, Bar, escaped};
use super::super::text::{count, range};
use super::super::units;
use super::result::{LiveBench, Measured, Trial};
use super::text;

/// Colours of the style sheet for receivers.
const CLASSES: usize = 5;

/// Writes the page.
///
/// # Errors
/// When it cannot be written.
pub fn write(bench: &LiveBench, out: &mut dyn Write) -> io::Result<()> {
    let mut page = begin(&format!("bordertap bench live, {}", units::moment(&bench.measured_at)));
    page += &head(bench);
    page += &rates(bench);
    page += &trials(bench);
    page += &setup(bench);
    page += "</main>\n</html>\n";
    out.write_all(page.as_bytes())
}

fn head(bench: &LiveBench) -> String {
    let answer = match bench.results.first() {
        Some(first) if first.rate.median > 0.0 => {
            let rate = units::amount(first.rate.median);
            format!("{}: {rate} packets/s without loss ({})", first.traffic, first.receiver)
        }
        Some(first) => format!("{}: no rate without loss was found", first.traffic),
        None => "Nothing was measured".to_owned(),
    };
    let machine = &bench.machine;
    let mut html = format!(
        "<header>\n<p class=\"over\">{} bench live</p>\n<h1>{}</h1>\n<p class=\"sub\">{}, {}, {} · {}</p>\n",
        escaped(&bench.program),
        escaped(&answer),
        escaped(machine.cpu.as_deref().unwrap_or("unknown processor")),
        escaped(&count(machine.cores, "core")),
        escaped(&machine.kernel),
        escaped(&units::moment(&bench.measured_at)),
    );
    html += &warnings(&bench.warnings);
    html + "</header>\n"
}

/// Names of the receivers, in the order in which they took turns.
fn receivers(bench: &LiveBench) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for measured in &bench.results {
        if !names.contains(&measured.receiver.as_str()) {
            names.push(&measured.receiver);
        }
    }
    names
}

fn rates(bench: &LiveBench) -> String {
    let names = receivers(bench);
    let class = |name: &str| format!("s{}", names.iter().position(|other| *other == name).unwrap_or(0) % CLASSES + 1);
    let mut groups: Vec<(String, Vec<Bar>)> = Vec::new();
    for measured in &bench.results {
        let bar = Bar {
            class: class(&measured.receiver),
            title: format!("{}, {}", measured.traffic, measured.receiver),
            value: measured.rate,
            text: units::amount(measured.rate.median),
        };
        match groups.last_mut() {
            Some((traffic, bars)) if *traffic == measured.traffic => bars.push(bar),
            _ => groups.push((measured.traffic.clone(), vec![bar])),
        }
    }
    let mut html = section(
        "Highest rate without loss",
        "Packets a second that came to the interface while the receiver lost none of them. Median of the searches; the \
         whisker is their range.",
    );
    html += &legend(names.iter().map(|name| (class(name), *name)));
    html += &plot::bars("highest rate without loss", "packets/s", &|v| trimmed(&units::amount(v)), &groups);
    let mut table = Table::new(&[
        "traffic",
        "receiver",
        "packets/s",
        "range",
        "Gb/s",
        "to the first",
        "limit",
        "CPU ns/packet",
        "first loss at",
        "lost there",
    ]);
    for measured in &bench.results {
        let lowest = text::lowest_loss(measured);
        table.row(&[
            measured.traffic.clone(),
            measured.receiver.clone(),
            units::amount(measured.rate.median),
            range(measured.rate, units::amount),
            units::digits(measured.gigabits_per_second.median),
            text::to_first(bench, measured).map_or("–".to_owned(), |ratio| format!("{ratio:.2}×")),
            text::limits(measured),
            units::digits(measured.processor_ns_per_packet.median),
            lowest.map_or("–".to_owned(), |trial| units::amount(trial.rate)),
            lowest.map_or("–".to_owned(), |trial| units::percent(trial.loss)),
        ]);
    }
    html += &table.finish();
    html + &note(
        "Limit: what kept the rate from being higher. Where it is the sender, the receiver lost nothing of the most that could \
         be sent.",
    ) + "</section>\n"
}

fn trials(bench: &LiveBench) -> String {
    let mut html = section(
        "Every trial",
        "What was sent is what was lost between the interfaces and what the receiver accounts for, exactly; a trial for \
         which that does not hold is broken and counts for nothing.",
    );
    for measured in &bench.results {
        let [all, broken] = text::trials(measured);
        let summary = format!("{}, {}: {}, {broken} broken", measured.traffic, measured.receiver, count(all, "trial"));
        let _ =
            writeln!(html, "<details><summary>{}</summary>\n{}</details>", escaped(&summary), trial_table(measured));
    }
    html + "</section>\n"
}

fn trial_table(measured: &Measured) -> String {
    let mut table = Table::new(&[
        "search",
        "offered/s",
        "reached/s",
        "sent",
        "lost on the way",
        "received",
        "lost",
        "loss",
        "by name",
    ]);
    for (number, search) in measured.searches.iter().enumerate() {
        for (at, trial) in search.trials.iter().enumerate() {
            table.row(&trial_row(if at == 0 { (number + 1).to_string() } else { String::new() }, trial));
        }
    }
    table.finish()
}

fn trial_row(search: String, trial: &Trial) -> [String; 9] {
    let what = trial.broken.as_ref().map_or_else(|| text::lost(trial), |reason| format!("broken: {reason}"));
    [
        search,
        units::amount(trial.offered_rate),
        units::amount(trial.rate),
        trial.sent.to_string(),
        trial.on_the_way.values().sum::<u64>().to_string(),
        trial.received.to_string(),
        trial.lost.values().sum::<u64>().to_string(),
        units::percent(trial.loss),
        what,
    ]
}

fn setup(bench: &LiveBench) -> String {
    let (settings, build) = (&bench.settings, &bench.build);
    let seconds = |seconds: f64| units::time(seconds * 1e9);
    let load = bench.machine.load_average.map_or("not readable".to_owned(), |load| format!("{load:.2}"));
    let mut pairs = vec![
        ("Sent into", settings.tx.clone()),
        ("Heard on", settings.rx.clone()),
        ("Sent through", settings.sent_through.clone()),
        ("Trial", seconds(settings.trial_seconds)),
        ("Searches", settings.runs.to_string()),
        ("Resolution", units::percent(settings.resolution)),
        ("Loss that is none", units::percent(settings.loss_max)),
        ("Rates", format!("{} to {}", units::amount(settings.start_rate), units::amount(settings.max_rate))),
        ("Burst", format!("{} frames at most", settings.burst_frames)),
        ("Catching up", format!("{} at most", seconds(settings.catch_up_seconds))),
        ("Load before", load),
        ("Build", format!("{}, {} (opt-level {}), {}", bench.program, build.profile, build.opt_level, build.rustc)),
        ("Took", format!("{:.0} s", bench.seconds)),
    ];
    for measured in &bench.results {
        let bytes = measured.bytes as f64 / measured.frames.max(1) as f64;
        let traffic = format!("{} frames of {bytes:.0} bytes, SHA-256 {}", measured.frames, measured.sha256);
        if !pairs.iter().any(|(_, value)| *value == traffic) {
            pairs.push((&measured.traffic, traffic));
        }
    }
    let mut html = section("Machine and settings", "");
    html += "<dl class=\"pairs\">\n";
    for (name, value) in pairs {
        let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(&value));
    }
    html += "</dl>\n<h3>Receivers</h3>\n<pre>";
    let mut commands: Vec<&str> = bench.results.iter().map(|measured| measured.receiver_command.as_str()).collect();
    commands.sort_unstable();
    commands.dedup();
    html += &escaped_lines(&commands);
    let _ = write!(html, "</pre>\n<h3>Run it again</h3>\n<pre>{}</pre>\n", escaped(&settings.command));
    html + &note(
        "Method: RFC 2544, section 26.1 (throughput): the rate is doubled until packets are lost, then the interval is halved. \
         It wants trials of 60 s and one receiver alone on its machine.",
    ) + "</section>\n"
}

fn escaped_lines(lines: &[&str]) -> String {
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n")
}
