//! `bordertap recheck`.

use bordertap::again::Recheck;
use bordertap::cli::RecheckArgs;
use bordertap::report::Report;
use bordertap::scan::Scanned;

use super::outputs::write_all;
use super::{Failure, Log, conclude, judge};

pub(crate) fn recheck(args: &RecheckArgs, log: &Log) -> Result<u8, Failure> {
    let outputs = &args.ending.outputs;
    let recheck =
        Recheck { judging: judge(&args.judge)?, keep_flows: outputs.needs_flows(), mergeable: outputs.json.is_some() };
    let Scanned { report, flows, damage, .. } = recheck.run(&args.records).map_err(Failure::Usage)?;
    let write = |report: &Report| write_all(outputs, &args.ending.talk, report, flows);
    conclude((&args.ending).into(), &report, &damage, write, log)
}
