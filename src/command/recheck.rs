//! `bordertap recheck`.

use bordertap::again::Recheck;
use bordertap::cli::RecheckArgs;
use bordertap::report::Report;
use bordertap::scan::Scanned;

use super::outputs::write_all;
use super::{Ending, Failure, Log, conclude, judge};

pub(crate) fn recheck(args: &RecheckArgs, log: &Log) -> Result<u8, Failure> {
    let outputs = &args.outputs;
    let recheck =
        Recheck { judging: judge(&args.judge)?, keep_flows: outputs.needs_flows(), mergeable: outputs.json.is_some() };
    let Scanned { report, flows, damage, .. } = recheck.run(&args.records).map_err(Failure::Usage)?;
    let write = |report: &Report| write_all(outputs, &args.talk, report, flows);
    let ending = Ending { outputs, fail_on_finding: args.fail_on_finding };
    conclude(ending, &report, &damage, write, log)
}
