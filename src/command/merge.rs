//! `bordertap merge`.

use std::path::Path;

use bordertap::again::{self, MergeError, Merged, Named};
use bordertap::cli::{JudgeArgs, MergeArgs};
use bordertap::report::{self, text};

use super::outputs::{check_reports, write_records, write_report};
use super::{Ending, Failure, Log, judge_with};

pub(crate) fn merge(args: &MergeArgs, log: &Log) -> Result<u8, Failure> {
    let outputs = &args.ending.outputs;
    check_reports(outputs)?;
    let reports = args.reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let judging = judge_with(&args.judge, &home(&args.judge, &reports)?, &inside(&args.judge, &reports))?;
    let digests = reports.iter().map(|named| &named.report.header.signatures.sha256);
    if digests.into_iter().any(|digest| *digest != judging.signatures.digest) {
        log.warn("reports were made with other signatures: what those did not know is only found again by recheck");
    }
    let Merged { report, joined } = again::merge(reports, &judging).map_err(|error| match error {
        MergeError::Twice { .. } | MergeError::OtherKey { .. } => Failure::Usage(error.to_string()),
        other => Failure::Useless(other.to_string()),
    })?;
    if joined > 0 {
        log.info(&format!("{} went on from one capture into another", text::count(joined as usize, "flow")));
    }
    write_records(outputs, &report)?;
    write_report(outputs, &args.ending.talk, &report)?;
    Ok(Ending::from(&args.ending).status(&report, !report.header.damage.is_empty()))
}

/// A report from a file.
fn read(path: &Path) -> Result<Named, Failure> {
    let report = report::read::read(path).map_err(|error| Failure::Useless(error.to_string()))?;
    Ok(Named { name: path.display().to_string(), report })
}

/// The home that is meant: what was typed, else that of the reports.
fn home(args: &JudgeArgs, reports: &[Named]) -> Result<Option<Vec<String>>, Failure> {
    if args.home.is_some() || args.policy.is_some() {
        return Ok(args.home.clone());
    }
    let mut homes = reports.iter().map(|named| &named.report.header.home);
    let first = homes.next();
    match homes.find(|home| Some(*home) != first) {
        Some(other) => Err(Failure::Usage(format!(
            "the reports have different homes ({}; {}): say which one counts with --home or --policy",
            first.map(|home| home.join(", ")).unwrap_or_default(),
            other.join(", ")
        ))),
        None => Ok(first.cloned()),
    }
}

/// What is inside: what was typed, else all that is in one of the reports.
fn inside(args: &JudgeArgs, reports: &[Named]) -> Option<Vec<String>> {
    if args.inside.is_some() || args.policy.is_some() {
        return args.inside.clone();
    }
    let mut inside: Vec<String> = Vec::new();
    for prefix in reports.iter().flat_map(|named| &named.report.header.inside) {
        if !inside.contains(prefix) {
            inside.push(prefix.clone());
        }
    }
    Some(inside)
}
