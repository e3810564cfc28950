//! Several workloads, each measured by a process of its own: watched passes, which run in it, inherit nothing that another
//! workload left in the allocator.
//!
//! In: [`Options`] with any number of names. Out: one [`Bench`]. The processes are this program, run one after another.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::measure::measure;
use super::progress::Progress;
use super::result::Bench;
use super::traffic::Size;
use super::whole::answer;
use super::{Error, Options, compare};

/// Measures everything that was asked for. What is being done is told on standard error unless `quiet`.
///
/// # Errors
/// As [`measure`]; and when this program cannot be run again.
pub fn measure_apart(options: &Options, quiet: bool) -> Result<Bench, Error> {
    let names = options.names()?;
    if names.len() < 2 {
        let shown = Progress::new(quiet);
        return measure(options, &|what| shown.tell(what));
    }
    let begun = Instant::now();
    let program = env::current_exe().map_err(|error| Error::File(PathBuf::from("bordertap"), error))?;
    let mut all: Option<Bench> = None;
    for name in &names {
        let mut command = Command::new(&program);
        command.args(arguments(options, &name.to_string(), quiet));
        let one: Bench = answer(command).map_err(|reason| Error::Apart(name.to_string(), reason.to_string()))?;
        match &mut all {
            Some(all) => all.workloads.extend(one.workloads),
            None => all = Some(one),
        }
    }
    let mut all = all.ok_or_else(|| Error::Neither(String::new()))?;
    all.seconds = begun.elapsed().as_secs_f64();
    all.settings.command = options.command();
    all.warnings = compare::warnings(&all);
    Ok(all)
}

/// What to type for one of the names.
fn arguments(options: &Options, name: &str, quiet: bool) -> Vec<String> {
    let workers: Vec<String> = options.workers().iter().map(ToString::to_string).collect();
    let mut words: Vec<String> = ["bench", "--json", "-", "--seed"].map(str::to_owned).to_vec();
    words.extend([options.seed.to_string(), format!("--runs={}", options.runs), format!("-j{}", workers.join(","))]);
    match options.size {
        Size::Full => {}
        Size::Quick => words.push("--quick".to_owned()),
        Size::Packets(packets) => words.push(format!("--packets={packets}")),
    }
    words.extend(options.flows.then(|| "--flows".to_owned()));
    words.extend(quiet.then(|| "--quiet".to_owned()));
    words.extend(["--".to_owned(), name.to_owned()]);
    words
}
