//! A result as text: warnings first, then the rates, then what was lost above them, then how it was measured.
//!
//! In: a [`LiveBench`]. Out: text. Median of the searches, and their range.

use std::io::{self, Write};

use super::super::text::{Page, Table, count, head, range};
use super::super::units;
use super::result::{LiveBench, Measured, Trial};
use crate::report::paint::{BOLD, DIM};

/// Writes the result.
///
/// # Errors
/// When it cannot be written.
pub fn write(bench: &LiveBench, color: bool, out: &mut dyn Write) -> io::Result<()> {
    let settings = &bench.settings;
    let mut page = Page { color, out };
    let title = format!("{}, sent into {}, heard on {}", bench.program, settings.tx, settings.rx);
    writeln!(page.out, "{}", page.paint(BOLD, &title))?;
    page.machine(&bench.machine, &bench.build)?;
    page.warnings(&bench.warnings)?;
    let title = match settings.loss_max {
        some if some > 0.0 => format!("Highest rate with a loss of {} at most", units::percent(some)),
        _ => "Highest rate without loss".to_owned(),
    };
    page.table(&title, &rates(bench))?;
    page.table("Lowest rate at which packets were lost", &losses(bench))?;
    let text = format!(
        "\nBinary search after RFC 2544, section 26.1, of trials of {}, to {}; median of {}. Rates are those at which\n\
         packets came to {}, never what was offered. Limit: what kept the rate from being higher. CPU: user and system time of\n\
         the receiver; copying into its ring is time of the sender here. In every trial that counts,\n\
         sent = received + lost by name, exactly. Sent through {}, in bursts of up to {} frames; a\n\
         sender that was held up catches up with {} at most. Gb/s: from the link-layer header on, no FCS, no gap.\n\
         Again: {}",
        units::time(settings.trial_seconds * 1e9),
        units::percent(settings.resolution),
        match settings.runs {
            1 => "1 search".to_owned(),
            runs => format!("{runs} searches"),
        },
        settings.rx,
        settings.sent_through,
        settings.burst_frames,
        units::time(settings.catch_up_seconds * 1e9),
        settings.command,
    );
    writeln!(page.out, "{}", page.paint(DIM, &text))
}

fn rates(bench: &LiveBench) -> Table {
    let mut table = head(&[
        "traffic",
        "receiver",
        "packets/s",
        "min … max",
        "Gb/s",
        "to the first",
        "limit",
        "CPU ns/packet",
        "trials",
        "broken",
    ]);
    for measured in &bench.results {
        let [trials, broken] = trials(measured);
        let found = measured.rate.median > 0.0;
        let or_none = |text: String| if found { text } else { "–".to_owned() };
        table.push(vec![
            measured.traffic.clone(),
            measured.receiver.clone(),
            or_none(units::amount(measured.rate.median)),
            or_none(range(measured.rate, units::amount)),
            or_none(units::digits(measured.gigabits_per_second.median)),
            to_first(bench, measured).map_or("–".to_owned(), |ratio| format!("{ratio:.2}×")),
            limits(measured),
            or_none(units::digits(measured.processor_ns_per_packet.median)),
            trials.to_string(),
            broken.to_string(),
        ]);
    }
    table
}

/// Trials, and those of them that are broken.
pub(super) fn trials(measured: &Measured) -> [usize; 2] {
    let trials = || measured.searches.iter().flat_map(|search| &search.trials);
    [trials().count(), trials().filter(|trial| trial.broken.is_some()).count()]
}

/// Its rate beside that of the first receiver with the same traffic.
pub(super) fn to_first(bench: &LiveBench, measured: &Measured) -> Option<f64> {
    let first = bench.results.iter().find(|other| other.traffic == measured.traffic)?;
    (first.rate.median > 0.0 && measured.rate.median > 0.0).then(|| measured.rate.median / first.rate.median)
}

/// What was the limit of the searches.
pub(super) fn limits(measured: &Measured) -> String {
    let mut limits: Vec<_> = measured.searches.iter().map(|search| search.limit).collect();
    limits.sort_unstable();
    limits.dedup();
    limits.iter().map(|limit| limit.words()).collect::<Vec<_>>().join(", ")
}

fn losses(bench: &LiveBench) -> Table {
    let mut table = head(&["traffic", "receiver", "packets/s", "loss", "of", "lost"]);
    for measured in &bench.results {
        table.push(match lowest_loss(measured) {
            Some(trial) => vec![
                measured.traffic.clone(),
                measured.receiver.clone(),
                units::amount(trial.rate),
                units::percent(trial.loss),
                count(usize::try_from(trial.received).unwrap_or(usize::MAX), "packet"),
                lost(trial),
            ],
            None => vec![measured.traffic.clone(), measured.receiver.clone(), "nothing was lost".to_owned()],
        });
    }
    table
}

/// The trial with the lowest rate of those with loss.
pub(super) fn lowest_loss(measured: &Measured) -> Option<&Trial> {
    let trials = measured.searches.iter().flat_map(|search| &search.trials);
    let lossy = trials.filter(|trial| trial.broken.is_none() && trial.loss > 0.0);
    lossy.min_by(|a, b| a.rate.total_cmp(&b.rate))
}

/// Losses by name.
pub(super) fn lost(trial: &Trial) -> String {
    trial.lost.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
