//! `bordertap bench` and `bordertap bench live`.

use std::path::Path;

use bordertap::bench;
use bordertap::cli::{BenchArgs, BenchLiveArgs, BenchRunArgs};
use bordertap::report::jsonl;

use super::{Failure, has_color, pages, to};

impl From<bench::Error> for Failure {
    fn from(error: bench::Error) -> Failure {
        match error {
            bench::Error::Neither(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

pub(crate) fn measure(args: &BenchArgs) -> Result<u8, Failure> {
    let (options, stdout) = (args.options(), Path::new("-"));
    if let Some(folder) = &args.write {
        let lines = bench::write_traffic(&options, folder)?;
        to(stdout, |out| out.write_all(lines.as_bytes()))?;
        return Ok(0);
    }
    pages::huge();
    let old = args.compare.as_deref().map(bench::read_result).transpose()?;
    let mut result = bench::apart::measure_apart(&options, args.quiet)?;
    result.comparison = old.map(|old| bench::compare::compare(&old, &result));
    if let Some(path) = &args.json {
        to(path, |out| jsonl::document(&result, out))?;
    }
    if let Some(path) = &args.report {
        to(path, |out| bench::html::write(&result, out))?;
    }
    if ![&args.json, &args.report].into_iter().flatten().any(|path| path == stdout) {
        to(stdout, |out| bench::text::write(&result, has_color(args.color), out))?;
    }
    Ok(0)
}

pub(crate) fn one_run(args: &BenchRunArgs) -> Result<u8, Failure> {
    pages::huge();
    let run = bench::run::once(&args.files, args.asked())?;
    to(Path::new("-"), |out| jsonl::document(&run, out))?;
    Ok(0)
}

#[cfg(target_os = "linux")]
impl From<bench::live::Error> for Failure {
    fn from(error: bench::live::Error) -> Failure {
        match error {
            bench::live::Error::Bench(error) => error.into(),
            bench::live::Error::Live(error) => error.into(),
            bench::live::Error::Same(_) => Failure::Usage(error.to_string()),
            other => Failure::Useless(other.to_string()),
        }
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn measure_live(args: &BenchLiveArgs) -> Result<u8, Failure> {
    let (options, stdout) = (args.options()?, Path::new("-"));
    // Whoever is on this wire should know: this line is never left out.
    eprintln!("bordertap: {}", options.announcement()?);
    let result = {
        let shown = bench::progress::Progress::new(args.quiet);
        bench::live::measure(&options, &|what| shown.tell(what))?
    };
    if let Some(path) = &args.json {
        to(path, |out| jsonl::document(&result, out))?;
    }
    if let Some(path) = &args.report {
        to(path, |out| bench::live::html::write(&result, out))?;
    }
    if ![&args.json, &args.report].into_iter().flatten().any(|path| path == stdout) {
        to(stdout, |out| bench::live::text::write(&result, has_color(args.color), out))?;
    }
    Ok(0)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn measure_live(_: &BenchLiveArgs) -> Result<u8, Failure> {
    Err(Failure::Usage("bench live sends through AF_PACKET: it works on Linux only".to_owned()))
}
