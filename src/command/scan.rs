//! `bordertap scan`.

use std::time::Instant;

use bordertap::capture::{Inputs, Source};
use bordertap::cli::{RunArgs, ScanArgs, Vlans};
use bordertap::collect::Judging;
use bordertap::evidence::Wish;
use bordertap::report::{Report, text};
use bordertap::scan::{Scan, Scanned};

use super::outputs::write_all;
use super::{Failure, Log, conclude, judge_to_run, pages, progress_bar, verify, workers};

pub(crate) fn scan(args: &ScanArgs, log: &Log) -> Result<u8, Failure> {
    let judge = judge_to_run(&args.run)?;
    let wish = verify::wish(&args.run, &args.inputs, &judge)?;
    let filter = args.run.filter.as_deref();
    let mut inputs = Inputs::open(&args.inputs, filter).map_err(|e| Failure::Usage(e.to_string()))?;
    read(&mut inputs, &args.inputs, &args.run, judge, wish, log)
}

/// Reads a source to its end and writes what was asked for.
fn read(
    source: &mut dyn Source,
    names: &[String],
    args: &RunArgs,
    judging: Judging,
    wish: Option<Wish>,
    log: &Log,
) -> Result<u8, Failure> {
    let bar = progress_bar(&args.talk, source.progress().1);
    let scan = Scan {
        judging: judging.clone(),
        workers: workers(args),
        memory: usize::try_from(args.memory).unwrap_or(usize::MAX),
        packets_max: args.count.unwrap_or(u64::MAX),
        vlans_apart: args.vlans == Vlans::Apart,
        keep_flows: args.outputs.needs_flows() || wish.is_some(),
        mergeable: args.outputs.json.is_some(),
        digests: args.outputs.report.is_some() || wish.is_some(),
        filter: args.filter.clone(),
    };
    pages::huge();
    let started = Instant::now();
    let scanned = scan.run(source, names, &|bytes, packets| {
        if let Some(bar) = &bar {
            bar.set_position(bytes);
            let rate = packets as f64 / started.elapsed().as_secs_f64().max(0.001);
            bar.set_message(format!("{}, {}/s", text::count(packets as usize, "packet"), text::grouped(rate as u64)));
        }
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let Scanned { report, mut flows, damage, .. } = scanned;
    let write = |report: &Report| {
        if let Some(wish) = &wish {
            verify::write(wish, report, &mut flows, names, &judging, log)?;
        }
        write_all(&args.outputs, &args.talk, report, flows)
    };
    conclude(args.into(), &report, &damage, write, log)
}
